//! Weights without a network: tensors with names, in PyTorch's layout or in ours.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::format::torch::{self, Named};
use crate::graph::Graph;
use crate::model::Model;

/// Tensors with names.
pub(super) enum Weights<'a> {
    /// Names with dots, axes as in PyTorch.
    Torch(Vec<Named<'a>>),
    /// Names with a slash such as `conv2d/kernel`, axes as in Keras and here.
    Ours(Vec<Named<'a>>),
}

impl<'a> Weights<'a> {
    /// The tensors of a file; their names tell the layout.
    pub fn of(tensors: Vec<Named<'a>>) -> Result<Self> {
        if tensors.is_empty() {
            return Err(Error::new(ErrorKind::Format, "the file holds no tensors"));
        }
        let ours = tensors.iter().all(|t| t.name().contains('/'));
        Ok(if ours { Self::Ours(tensors) } else { Self::Torch(tensors) })
    }

    pub fn tensors(&self) -> &[Named<'a>] {
        match self {
            Self::Torch(tensors) | Self::Ours(tensors) => tensors,
        }
    }

    /// How many classes a network must have for these weights, by its last layer.
    pub fn classes_for(&self, graph: &Graph) -> Option<usize> {
        match self {
            Self::Torch(tensors) => torch::classes(graph, tensors),
            Self::Ours(tensors) => {
                let model = Model::without_weights(graph.clone()).ok()?;
                by_name(tensors).get(model.params().last()?.name.as_str())?.dims().last().copied()
            }
        }
    }

    /// Whether these are the weights of a network.
    pub fn fit(&self, graph: &Graph) -> bool {
        match self {
            Self::Torch(tensors) => torch::fits(graph, tensors),
            Self::Ours(tensors) => {
                Model::without_weights(graph.clone()).is_ok_and(|model| find(&model, tensors).is_ok())
            }
        }
    }

    /// Puts the weights into a model; what was left out is noted.
    pub fn load(&self, model: &mut Model, notes: &mut Vec<String>) -> Result<()> {
        match self {
            Self::Ours(tensors) => load(model, tensors),
            Self::Torch(tensors) => {
                let loaded = torch::load_into(model, tensors)?;
                if loaded.matched == torch::Matched::Order {
                    notes.push(
                        "the names are others than the network's; weights and layers were matched in order".into(),
                    );
                }
                let unused: Vec<&String> =
                    loaded.unused.iter().filter(|n| !n.ends_with("num_batches_tracked")).collect();
                if let Some(first) = unused.first() {
                    notes.push(format!("{} tensors of the file are not used, such as '{first}'", unused.len()));
                }
                Ok(())
            }
        }
    }
}

fn by_name<'t, 'a>(tensors: &'t [Named<'a>]) -> BTreeMap<&'t str, &'t Named<'a>> {
    tensors.iter().map(|t| (t.name(), t)).collect()
}

fn load(model: &mut Model, tensors: &[Named]) -> Result<()> {
    let found = find(model, tensors)?;
    for (param, tensor) in model.params_mut().iter_mut().zip(found) {
        param.data = tensor.tensor()?.into_data().into();
    }
    Ok(())
}

// The tensor of each parameter, of the same name and axes.
fn find<'t, 'a>(model: &Model, tensors: &'t [Named<'a>]) -> Result<Vec<&'t Named<'a>>> {
    let named = by_name(tensors);
    let network = model.graph().name().to_string();
    let mut found = Vec::new();
    for param in model.params() {
        let names: Vec<&str> = named.keys().copied().collect();
        let tensor = named.get(param.name.as_str()).ok_or_else(|| {
            let e = Error::new(
                ErrorKind::Format,
                format!("the file has no '{}' {:?} for {network}", param.name, param.dims),
            );
            e.with_help(match crate::error::nearest(&param.name, &names) {
                Some(near) => format!("the nearest name in the file is '{near}' {:?}", named[near].dims()),
                None => format!("the file has {} tensors, such as '{}'", names.len(), names.first().unwrap_or(&"")),
            })
        })?;
        if tensor.dims() != param.dims {
            let message =
                format!("'{}' has the shape {:?}, but {network} needs {:?}", param.name, tensor.dims(), param.dims);
            return Err(Error::new(ErrorKind::Format, message).with_help("give the network that the weights are for"));
        }
        found.push(*tensor);
    }
    if let Some(extra) = tensors.iter().find(|t| !model.params().iter().any(|p| p.name == t.name())) {
        let message =
            format!("the file has a tensor '{}' {:?} that {network} has no place for", extra.name(), extra.dims());
        return Err(Error::new(ErrorKind::Format, message).with_help("give the network that the weights are for"));
    }
    Ok(found)
}
