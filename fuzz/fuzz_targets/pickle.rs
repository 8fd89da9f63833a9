//! No bytes make the reader of PyTorch's files panic, hang or allocate beyond their size; seeds are in golden/torch.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use striate::format::torch;

// What stands before the object in the legacy layout, so that the object alone is searched, too.
const START: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\
    \x80\x02}X\x0d\x00\x00\x00little_endian\x88s.";

fn read(bytes: &[u8]) {
    if let Ok(tensors) = torch::tensors(Path::new("fuzz"), bytes) {
        let numbers: usize = tensors.iter().map(|t| t.tensor().map_or(0, |t| t.data().len())).sum();
        assert!(numbers <= 16 * 1032 * bytes.len());
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&[START, bytes].concat());
});
