//! No bytes make the readers of .npy and .npz panic, hang or allocate beyond their size.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use striate::format::npy::{Array, npz_from_bytes};

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz");
    if let Ok(array) = Array::from_bytes(path, bytes) {
        assert_eq!(Array::from_bytes(path, &array.to_bytes()).unwrap().to_bytes(), array.to_bytes());
    }
    let _ = npz_from_bytes(path, bytes);
});
