//! A short name for the exact bits of a set of tensors.

use std::fmt::Write as _;
use std::io;

use sha2::{Digest, Sha256};

use super::safetensors::{TensorRef, write_f32};

/// The first 16 hex digits of the SHA-256 over names, shapes and bits of `tensors`, in the given order.
///
/// For each tensor: the length of its name and the name, the number of axes and
/// the axes (all as u64), then the numbers; everything little-endian. Bits count,
/// not values: `-0.0` differs from `0.0`, and one NaN from another. The same
/// weights have the same digest on every machine.
///
/// ```
/// use striate::format::{TensorRef, digest};
/// let zero = |data| digest([TensorRef { name: "b", dims: &[1], data }]);
/// assert_eq!(zero(&[0.0]), "0f7cfcd175911aed");
/// assert_ne!(zero(&[0.0]), zero(&[-0.0]));
/// ```
pub fn digest<'a>(tensors: impl IntoIterator<Item = TensorRef<'a>>) -> String {
    let mut sink = HashSink::default();
    for TensorRef { name, dims, data } in tensors {
        sink.number(name.len());
        sink.update(name.as_bytes());
        sink.number(dims.len());
        dims.iter().for_each(|d| sink.number(*d));
        sink.numbers(data);
    }
    sink.hex()[..16].to_string()
}

/// SHA-256 as a place to write to.
#[derive(Default)]
pub(super) struct HashSink(Sha256);

impl HashSink {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The bits of `data`, little-endian.
    pub(super) fn numbers(&mut self, data: &[f32]) {
        let _hashing_cannot_fail = write_f32(data, self);
    }

    fn number(&mut self, n: usize) {
        self.update(&(n as u64).to_le_bytes());
    }

    /// All 64 hex digits, lower case.
    pub(super) fn hex(self) -> String {
        self.0.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl io::Write for HashSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let base = TensorRef { name: "kernel", dims: &[2, 1], data: &[1.0, 2.0] };
        let name = digest([base]);
        assert_eq!(name.len(), 16);
        assert_ne!(name, digest([TensorRef { name: "kerne", ..base }]));
        assert_ne!(name, digest([TensorRef { dims: &[1, 2], ..base }]));
        assert_ne!(name, digest([TensorRef { data: &[1.0, 2.000_000_2], ..base }]));
        let other = TensorRef { name: "bias", ..base };
        assert_ne!(digest([base, other]), digest([other, base]));
        let nan = |bits| digest([TensorRef { name: "x", dims: &[1], data: &[f32::from_bits(bits)] }]);
        assert_ne!(nan(0x7fc0_0000), nan(0x7fc0_0001));
    }

    /// SHA-256 of nothing and of "abc", from FIPS 180-4's examples.
    #[test]
    fn the_hash_is_sha_256() {
        assert!(HashSink::default().hex().starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
        let mut sink = HashSink::default();
        io::Write::write_all(&mut sink, b"abc").unwrap();
        assert!(sink.hex().starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }
}
