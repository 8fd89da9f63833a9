//! The folder of the reference files, and what is read from it.

use std::path::PathBuf;

use striate::Tensor;
use striate::format::npy::Array;

/// The path of a reference file, such as `torch/mobilenet_v2.onnx`.
pub fn path(name: &str) -> PathBuf {
    let folder = std::env::var_os("STRIATE_REFERENCE").unwrap_or_else(|| {
        panic!("STRIATE_REFERENCE is not set: give the folder of the reference files, or leave out --features reference-files")
    });
    let path = PathBuf::from(folder).join(name);
    assert!(
        path.exists(),
        "there is no {}: STRIATE_REFERENCE must be the folder of the reference files",
        path.display()
    );
    path
}

/// The content of a reference file.
pub fn bytes(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// The numbers of a file of raw little-endian f32.
pub fn floats(name: &str) -> Vec<f32> {
    let bytes = bytes(name);
    assert_eq!(bytes.len() % 4, 0, "{name} is not a file of f32");
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// A `.npy` file, its numbers as f32.
pub fn npy(name: &str) -> Tensor {
    let array = Array::read(&path(name)).and_then(Array::into_tensor);
    array.unwrap_or_else(|e| panic!("{e}"))
}

/// The largest difference of two lists, divided by the largest magnitude of the second.
pub fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    // `max` would pass over a NaN.
    let larger = |worst: f32, d: f32| if worst.is_nan() || d.is_nan() { f32::NAN } else { worst.max(d) };
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, larger);
    worst / largest
}

#[test]
fn the_folder_holds_every_set() {
    for set in ["torch", "keras_mnist", "efficientnet_lite0", "mnist_cnn", "onnx_node"] {
        assert!(path(set).is_dir(), "{set} is not a folder");
    }
}

#[test]
fn both_kinds_of_numbers_are_read() {
    assert_eq!(floats("mnist_cnn/t10k_first100_logits_100x10.f32").len(), 1000);
    assert_eq!(npy("torch/squeezenet1_1_input_nchw.npy").dims(), [2, 3, 224, 224]);
}

#[test]
fn difference_is_relative_and_sees_nan() {
    assert_eq!(difference(&[1.0, -4.0], &[1.5, -4.0]).to_bits(), 0.125_f32.to_bits());
    assert!(difference(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
}
