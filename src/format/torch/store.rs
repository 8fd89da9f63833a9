//! A model's weights as a safetensors file with PyTorch's names and axes.

use std::collections::BTreeMap;
use std::path::Path;

use super::slot::slots;
use crate::error::Result;
use crate::format::safetensors;
use crate::format::safetensors::TensorRef;
use crate::model::Model;
use crate::tensor::Tensor;

/// The bytes of a safetensors file that holds the model's weights with PyTorch's names and axes.
///
/// ```no_run
/// # use striate::{Model, zoo};
/// let model = Model::new(zoo::recipe("resnet-18")?.graph, 0)?;
/// std::fs::write("resnet18.safetensors", striate::format::torch::store(&model)?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In Python: `model.load_state_dict(safetensors.torch.load_file("resnet18.safetensors"))`.
///
/// # Errors
/// Two parameters would have one name.
pub fn store(model: &Model) -> Result<Vec<u8>> {
    let tensors = tensors(model)?;
    safetensors::to_bytes(&metadata(), &refs(&tensors))
}

/// Writes [`store`]'s bytes to a file, whole or not at all.
///
/// # Errors
/// Two parameters would have one name, or the file cannot be written.
pub fn save(model: &Model, path: &Path) -> Result<()> {
    let tensors = tensors(model)?;
    safetensors::write(path, &metadata(), &refs(&tensors))
}

fn tensors(model: &Model) -> Result<Vec<(String, Tensor)>> {
    let params = model.params().iter();
    slots(model.graph())
        .into_iter()
        .zip(params)
        .map(|(slot, p)| Ok((slot.torch.clone(), slot.give(&p.data)?)))
        .collect()
}

fn refs(tensors: &[(String, Tensor)]) -> Vec<TensorRef<'_>> {
    tensors.iter().map(|(name, t)| TensorRef { name, dims: t.dims(), data: t.data() }).collect()
}

// What the readers of PyTorch's safetensors look for.
fn metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("format".to_string(), "pt".to_string())])
}
