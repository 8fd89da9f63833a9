//! Files: how they are written, and how they are read without trusting them.
//!
//! - [`atomic`] replaces a file whole or not at all;
//! - [`safetensors`] is the plain tensor file that other tools read and write;
//! - [`container`] is the striate file: a safetensors file with documents and a checksum;
//! - [`digest()`] is a short name for the exact bits of a set of tensors;
//! - [`keras`] reads and writes the files of Keras, `h5` the HDF5 files that they are;
//! - [`layout`] has the order of axes, here and in PyTorch;
//! - [`npy`] reads and writes NumPy's `.npy` and `.npz`;
//! - [`onnx`] reads and writes the networks that frameworks exchange;
//! - [`torch`] reads the files of PyTorch and puts weights into networks by name;
//! - `native` puts models into striate files;
//! - [`FileKind`] says which format a file has;
//! - [`zip`] reads and writes the archives that `.npz` (and others) are.
//!
//! Only `native`, `onnx` and `torch` know what a model is. Every reader checks what a file
//! claims against the size the file has before it allocates for it.

pub mod atomic;
pub mod container;
mod digest;
mod dtype;
mod h5;
pub mod keras;
mod kind;
pub mod layout;
mod native;
pub mod npy;
pub mod onnx;
pub mod safetensors;
mod sniff;
#[cfg(test)]
mod testing;
pub mod torch;
pub mod zip;

pub use container::{Container, ContainerRef, Kind};
pub use digest::digest;
pub use dtype::Dtype;
pub use kind::FileKind;
pub use safetensors::TensorRef;
