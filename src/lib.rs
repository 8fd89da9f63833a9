//! Convolutional neural networks: one engine, from the formula to a shipped model.

pub mod conv;
pub mod data;
pub mod error;
pub mod format;
pub mod gemm;
mod graph;
pub mod init;
pub mod inspect;
mod model;
pub mod ops;
pub mod parallel;
pub mod plan;
pub mod rng;
pub mod session;
pub mod simd;
mod summary;
mod tensor;
pub mod train;
pub mod visual;
pub mod vmath;
pub mod zoo;

pub use error::{Error, ErrorKind, Result};
pub use graph::{Graph, Node, Value};
pub use model::{GoldenSample, Model, Param, Record, Sequential};
pub use summary::summary;
pub use tensor::{Shape, Tensor};
