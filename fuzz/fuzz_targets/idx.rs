//! No bytes make the readers of IDX images and labels panic, hang or allocate beyond their size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate::data::idx;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(images) = idx::images(bytes) {
        assert_eq!(images.pixels.len(), images.n * images.h * images.w);
    }
    let _ = idx::labels(bytes);
});
