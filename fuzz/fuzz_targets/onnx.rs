//! No bytes make the reader of ONNX files panic, hang or allocate beyond their size; what it reads is written and read again.
//!
//! The small files of `golden/onnx` are the corpus to start from: `cargo +nightly fuzz run onnx corpus/onnx ../golden/onnx`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate::format::onnx::{Export, Import, read, read_with, write};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = read(bytes) {
        let _ = write(&model, &Export::default()).and_then(|file| read(&file));
    }
    let _ = read_with(bytes, &Import { no_batch: true, ..Import::default() });
});
