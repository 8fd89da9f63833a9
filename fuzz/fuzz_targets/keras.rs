//! No bytes make the readers of Keras files (HDF5, and archives of it) panic, hang or allocate beyond their size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate::Sequential;
use striate::format::keras::{self, Kind};
use striate::ops::{Conv1D, Dense, GlobalPool};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = keras::read(bytes) {
        let _ = keras::write(&model, Kind::Keras).map(|written| keras::read(&written));
    }
    let network = Sequential::new([12, 3]).add(Conv1D::new(4, 3)).add(GlobalPool::average()).add(Dense::new(2));
    let _ = keras::read_weights(bytes, &mut network.build(0).unwrap());
});
