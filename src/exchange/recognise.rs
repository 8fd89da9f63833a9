//! Weights without a network: which network of the zoo they are for.

use std::path::Path;

use super::open::Network;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::format::FileKind;
use crate::graph::Graph;
use crate::model::Model;
use crate::zoo::{self, Entry, Options};

// The classes of ImageNet, whose names and pixels the zoo knows.
const IMAGENET: usize = 1000;

/// A model of these weights and the network that was given, or else the one that they fit.
pub(super) fn fill(
    path: &Path,
    weights: &Weights,
    network: Option<&Network>,
    notes: &mut Vec<String>,
) -> Result<Model> {
    let graph = match network {
        Some(Network::Graph(graph)) => graph.clone(),
        Some(Network::Zoo(name)) => sized(zoo::entry(name)?, weights)?,
        None => recognise(path, weights, notes)?,
    };
    // A file may leave out heads that are for training alone; their weights are drawn.
    let drawn = !graph.heads().is_empty();
    let mut model = if drawn { Model::new(graph, 0)? } else { Model::without_weights(graph)? };
    weights.load(&mut model, notes).map_err(|e| e.within(path.display()))?;
    dress(&mut model)?;
    Ok(model)
}

/// The network that was given, for weights of a format that does not tell it.
pub(super) fn given(path: &Path, kind: FileKind, network: Option<&Network>) -> Result<Graph> {
    match network {
        Some(Network::Graph(graph)) => Ok(graph.clone()),
        Some(Network::Zoo(name)) => Ok(zoo::recipe(name)?.graph),
        None => Err(Error::format(path, format!("{kind}, without the network that they are for"))
            .with_help("give the network: --network NAME of the zoo, or --network net.toml")),
    }
}

/// Labels and preprocessing, where the network is one of the zoo's for ImageNet.
pub(super) fn dress(model: &mut Model) -> Result<()> {
    let graph = model.graph();
    let Ok(entry) = zoo::entry(graph.name()) else { return Ok(()) };
    let (input, output) = (graph.input_shape()?, graph.output_shape()?);
    model.preprocess = input.hwc().ok().and_then(|hwc| entry.preprocess(hwc));
    if output.len() == IMAGENET && entry.classes == IMAGENET {
        model.labels = zoo::imagenet_labels();
    }
    Ok(())
}

fn recognise(path: &Path, weights: &Weights, notes: &mut Vec<String>) -> Result<Graph> {
    for entry in zoo::entries() {
        let graph = sized(entry, weights)?;
        if weights.fit(&graph) {
            let classes = graph.output_shape()?.len();
            notes.push(format!("the weights are those of {} for {classes} classes", entry.name));
            return Ok(graph);
        }
    }
    let tensors = weights.tensors();
    let first: Vec<String> = tensors.iter().take(3).map(|t| format!("'{}' {:?}", t.name(), t.dims())).collect();
    let what = format!(
        "{} tensors without a network ({}, ...), and no network of the zoo has these",
        tensors.len(),
        first.join(", ")
    );
    Err(Error::format(path, what).with_help("give the network: --network NAME of the zoo, or --network net.toml"))
}

// The network of an entry, with as many classes as the weights have.
fn sized(entry: &Entry, weights: &Weights) -> Result<Graph> {
    let graph = entry.build(&Options::default())?.graph;
    match weights.classes_for(&graph) {
        Some(classes) if classes != entry.classes && classes > 0 => {
            Ok(entry.build(&Options { classes: Some(classes), ..Options::default() })?.graph)
        }
        _ => Ok(graph),
    }
}
