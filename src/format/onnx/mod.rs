//! ONNX: networks that go to and come from other frameworks.
//!
//! - [`read`] makes a model of a file: nodes become layers, `[n, c, h, w]` becomes `[n, h, w, c]`, weights get our order;
//! - [`write()`] makes a file of a model, which ONNX runtimes compute the same from.
//!
//! How the axes of one side lie in the memory of the other is worked out once,
//! in `layout`; so a file has a `Transpose` only where numbers really change
//! places. The file is protobuf, read and written by `wire` and `proto` without
//! a generator.
//!
//! Reading never executes anything; every size is checked against the bytes that
//! are there, and what cannot be done is named by node, with the remedy.
//!
//! Source: github.com/onnx/onnx, `docs/IR.md` and `docs/Operators.md`.

mod call;
mod constant;
mod export;
mod fold;
mod import;
mod layout;
mod names;
mod proto;
mod rewrite;
#[cfg(test)]
mod tests;
mod wire;

pub use export::Export;
pub use import::Import;

use proto::ModelProto;
use wire::Message;

use crate::error::Result;
use crate::model::Model;

// How files of this library name their maker.
const PRODUCER: &str = "striate";

// The metadata in which the parts of a model are kept that ONNX has no place for.
const KEYS: [&str; 3] = ["striate.labels", "striate.preprocess", "striate.record"];

/// The model in the bytes of an ONNX file.
///
/// Images come out as `[h, w, c]`, sequences as `[l, c]`, whatever order the file has.
///
/// # Errors
/// The bytes are damaged, or hold something that this library does not have; the node is named, with the remedy.
pub fn read(bytes: &[u8]) -> Result<Model> {
    read_with(bytes, &Import::default())
}

/// As [`read`], with what the file leaves open.
///
/// # Errors
/// As [`read`].
pub fn read_with(bytes: &[u8], options: &Import) -> Result<Model> {
    import::import(&ModelProto::decode(bytes)?, options)
}

/// The bytes of the ONNX file of a model; the same model gives the same bytes.
///
/// The input is named `x`, the output `probabilities` if the last function is softmax, else `logits`; the batch is open.
///
/// # Errors
/// A layer cannot be said in the operator set that is asked for; it is named, with the remedy.
pub fn write(model: &Model, options: &Export) -> Result<Vec<u8>> {
    export::export(model, options)
}
