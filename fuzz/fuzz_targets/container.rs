//! No bytes make the reader of striate files panic, hang or allocate beyond their size.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use striate::format::{Container, Kind};

fuzz_target!(|bytes: &[u8]| {
    for kind in [Kind::Model, Kind::Checkpoint] {
        let _ = Container::read_from(Path::new("fuzz"), bytes, bytes.len() as u64, kind);
    }
});
