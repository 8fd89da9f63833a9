//! PyTorch's files: `.pth` and `.pt` read, weights put into a network by their names, and safetensors written.
//!
//! | layout | since | what it is |
//! |---|---|---|
//! | zip | 1.6 (2020) | an archive: `NAME/data.pkl`, and a file of raw numbers for each storage |
//! | legacy | 0.1.12 (2017) | five pickles one after the other, then the storages |
//! | tar | before | not read; the error says how to convert it |
//!
//! A file of PyTorch is a Python pickle, which is a program. Here it is read by a machine that knows tensors and
//! nothing else (`pickle.rs`): an unknown opcode or name is an error, and nothing is executed.
//!
//! [`tensors`] gives views into the bytes of the file; a tensor's numbers are made when they are asked for, so the
//! file is in memory once. [`load_into`] puts them into a model.
//!
//! Source: `torch/serialization.py` and `torch/_utils.py` of PyTorch 2.

mod archive;
mod family;
mod legacy;
mod load;
mod opcode;
mod pickle;
mod slot;
mod store;
mod tree;

pub use load::{Loaded, Matched, load_into};
pub(crate) use load::{classes, fits};
pub use store::{save, store};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use super::safetensors::shorten;
use super::{Dtype, safetensors};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::Tensor;

/// A tensor of a file with its name there, such as `layer1.0.conv1.weight`.
///
/// Its numbers are made by [`Named::tensor`], so a list of them takes no memory of its own.
#[derive(Debug, Clone)]
pub struct Named<'a> {
    name: String,
    dims: Vec<usize>,
    ordered: bool,
    numbers: Numbers<'a>,
}

#[derive(Debug, Clone)]
enum Numbers<'a> {
    Made(Rc<Vec<f32>>),
    View { bytes: Rc<Cow<'a, [u8]>>, dtype: Dtype, offset: usize, strides: Vec<usize> },
}

impl<'a> Named<'a> {
    /// A tensor that is in memory.
    pub fn new(name: impl Into<String>, tensor: Tensor) -> Self {
        let dims = tensor.dims().to_vec();
        Self { name: name.into(), dims, ordered: false, numbers: Numbers::Made(Rc::new(tensor.into_data())) }
    }

    /// The name in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sizes of its axes, in PyTorch's order.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Whether the file holds its tensors in the order in which the network's layers were made.
    pub fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// The same tensor under another name.
    #[must_use]
    pub fn renamed(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The tensor, as f32.
    ///
    /// # Errors
    /// It holds an integer that no f32 is equal to.
    pub fn tensor(&self) -> Result<Tensor> {
        match &self.numbers {
            Numbers::Made(data) => Tensor::new(&self.dims, data.to_vec()),
            Numbers::View { bytes, dtype, offset, strides } => {
                let data = gather(bytes, *dtype, *offset, &self.dims, strides).map_err(|number| {
                    let message = format!("tensor '{}': {dtype} holds {number}, which no f32 is equal to", self.name);
                    Error::new(ErrorKind::Format, message).with_help("save it in PyTorch as float32: tensor.float()")
                })?;
                Tensor::new(&self.dims, data)
            }
        }
    }

    // A view of a storage whose bytes are there; the pickle's reader has checked that it lies inside.
    fn view(name: String, bytes: &Rc<Cow<'a, [u8]>>, view: &pickle::View) -> Self {
        let offset = view.offset + view.storage.offset as usize;
        let numbers =
            Numbers::View { bytes: Rc::clone(bytes), dtype: view.storage.dtype, offset, strides: view.strides.clone() };
        Self { name, dims: view.dims.clone(), ordered: true, numbers }
    }
}

/// The tensors of the content of a `.pth` or `.pt` file; `path` serves for messages.
///
/// Checkpoints hold more than weights: the dictionary under `state_dict`, `model_state_dict`, `model` and the like is
/// taken, and names inside dictionaries are joined by dots.
///
/// ```no_run
/// # use std::path::Path;
/// let path = Path::new("resnet18.pth");
/// let bytes = std::fs::read(path)?;
/// for tensor in striate::format::torch::tensors(path, &bytes)? {
///     println!("{} {:?}", tensor.name(), tensor.dims());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The file is damaged, big-endian, of a layout before 2017, TorchScript, a whole module instead of its weights, or
/// uses anything else that is no tensor.
pub fn tensors<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<Named<'a>>> {
    if bytes.starts_with(b"PK") {
        archive::tensors(path, bytes)
    } else if legacy::is_legacy(bytes) {
        legacy::tensors(bytes).map_err(|what| failed(path, &what))
    } else {
        Err(foreign(path, bytes))
    }
}

/// The tensors of a safetensors file of PyTorch.
///
/// # Errors
/// The file is missing, damaged, or holds numbers that do not fit f32.
pub fn safetensors(path: &Path) -> Result<Vec<Named<'static>>> {
    let contents = safetensors::read(path)?;
    contents.tensors.into_iter().map(|t| Ok(Named::new(t.name, Tensor::new(&t.dims, t.data)?))).collect()
}

/// Whether the content of a file is one of PyTorch's pickles outside of a zip archive.
pub(crate) fn is_pickle(bytes: &[u8]) -> bool {
    legacy::is_legacy(bytes)
}

// The bytes of the storages by their keys.
type Storages<'a> = BTreeMap<String, Rc<Cow<'a, [u8]>>>;

fn failed(path: &Path, what: &str) -> Error {
    let help = if what.contains("__torch__") {
        "it is a TorchScript file: in Python, torch.save(torch.jit.load(PATH).state_dict(), 'weights.pth')"
    } else if what.contains("which is no tensor") {
        "only tensors are read, and nothing is executed: in Python, torch.save(model.state_dict(), 'weights.pth')"
    } else {
        "the file is damaged, or not what torch.save writes: copy or save it again"
    };
    Error::format(path, what).with_help(help)
}

fn foreign(path: &Path, bytes: &[u8]) -> Error {
    // A tar archive has its name at byte 257.
    if bytes.get(257..262) == Some(b"ustar") {
        return Error::format(path, "PyTorch's tar layout from before 2017 is not read")
            .with_help("in Python with PyTorch: torch.save(torch.load(PATH), 'weights.pth')");
    }
    let looks = match super::sniff::looks_like(&bytes[..bytes.len().min(16)]) {
        _ if bytes.is_empty() => "the file is empty".to_string(),
        Some(what) => format!("it looks like {what}"),
        None => "it is truncated or something else".to_string(),
    };
    Error::format(path, format!("not a file of PyTorch: {looks}")).with_help("give a file made by torch.save")
}

// The numbers of a strided view, the last axis contiguous.
fn gather(bytes: &[u8], dtype: Dtype, offset: usize, dims: &[usize], strides: &[usize]) -> Result<Vec<f32>, i128> {
    let (size, len) = (dtype.size(), dims.iter().product::<usize>());
    let mut data = Vec::with_capacity(len);
    if len == 0 {
        return Ok(data);
    }
    // How many trailing axes lie back to back, and the numbers in a run of them.
    let (mut outer, mut run) = (dims.len(), 1);
    while outer > 0 && (strides[outer - 1] == run || dims[outer - 1] == 1) {
        run *= dims[outer - 1];
        outer -= 1;
    }
    let mut index = vec![0; outer];
    while data.len() < len {
        let at = offset + index.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>();
        dtype.append(&bytes[at * size..(at + run) * size], &mut data)?;
        crate::tensor::advance(&mut index, &dims[..outer]);
    }
    Ok(data)
}

// What names in a message would otherwise fill a screen with.
fn short(name: &str) -> String {
    shorten(name).to_string()
}
