//! No bytes make the reader of safetensors panic, hang or allocate beyond their size.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use striate::format::safetensors;

fuzz_target!(|bytes: &[u8]| {
    let _ = safetensors::read_from(Path::new("fuzz"), bytes, bytes.len() as u64);
});
