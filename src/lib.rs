//! Convolutional neural networks: one engine, from the formula to a shipped model.

pub mod conv;
pub mod data;
pub mod error;
pub mod init;
pub mod ops;
pub mod parallel;
pub mod rng;
pub mod simd;
mod tensor;

pub use error::{Error, ErrorKind, Result};
pub use tensor::{Shape, Tensor};
