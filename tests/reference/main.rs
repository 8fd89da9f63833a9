//! Checks against reference files that are too big for the repository.
//!
//! ```sh
//! STRIATE_REFERENCE=FOLDER cargo test --release --features reference-files --test reference
//! ```
//!
//! One module for each format or network. A file that is not there is a failure, never a skip.

mod efficientnet;
mod files;
mod keras;
mod mnist_cnn;
mod onnx;
mod onnx_node;
mod torch;
