//! No bytes make the reader of zip archives panic, hang or allocate beyond their size, whatever archive they look like;
//! seeds are in golden/torch.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use striate::format::npy::npz_from_bytes;
use striate::format::{FileKind, torch};

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz");
    let archive = [&b"PK"[..], bytes].concat();
    for bytes in [bytes, &archive] {
        let _ = FileKind::of(path, bytes);
        let _ = npz_from_bytes(path, bytes);
        let _ = torch::tensors(path, bytes);
    }
});
