//! Normalisations, PReLU and per-channel scales as Keras layers.

use serde_json::{Value as Json, json};

use super::classes::plain;
use super::export::Exported;
use crate::graph::Node;
use crate::model::Model;
use crate::ops::{Affine, BatchNorm, GroupNorm, LayerNorm, PRelu, Slopes};
use crate::tensor::Shape;

/// `BatchNormalization`.
pub fn batch_norm(node: &Node, op: &BatchNorm) -> Exported {
    let BatchNorm { momentum, epsilon, center, scale } = *op;
    let config = json!({
        "axis": -1, "momentum": momentum, "epsilon": epsilon, "center": center, "scale": scale,
    });
    plain(node, "BatchNormalization", config)
}

/// `LayerNormalization` over the last axes.
pub fn layer_norm(node: &Node, op: &LayerNorm, x: Shape) -> Exported {
    let last = x.rank();
    let axes: Vec<usize> = (last + 1 - op.axes.min(last)..=last).collect();
    let axis = if op.axes == 1 { json!(-1) } else { json!(axes) };
    let LayerNorm { epsilon, center, scale, .. } = *op;
    plain(node, "LayerNormalization", json!({ "axis": axis, "epsilon": epsilon, "center": center, "scale": scale }))
}

/// `GroupNormalization` of the channels.
pub fn group_norm(node: &Node, op: &GroupNorm) -> Exported {
    let GroupNorm { groups, epsilon, center, scale } = *op;
    let config = json!({ "groups": groups, "axis": -1, "epsilon": epsilon, "center": center, "scale": scale });
    plain(node, "GroupNormalization", config)
}

/// `PReLU`; axes that share a slope are counted from 1.
pub fn prelu(node: &Node, op: &PRelu, x: Shape) -> Exported {
    let shared: Vec<usize> = match op.alpha {
        Slopes::Element => Vec::new(),
        Slopes::Channel => (1..x.rank()).collect(),
        Slopes::One => (1..=x.rank()).collect(),
    };
    let shared = if shared.is_empty() { Json::Null } else { json!(shared) };
    plain(node, "PReLU", json!({ "shared_axes": shared }))
}

/// `Rescaling` by a number for each channel; Keras does not train them.
pub fn rescaling(model: &Model, node: &Node, op: &Affine) -> Exported {
    let values = |name: &str| {
        let name = format!("{}/{name}", node.name);
        model.params().iter().find(|p| p.name == name).map(|p| json!(p.data.to_vec())).unwrap_or_default()
    };
    let scale = if op.scale { values("gamma") } else { json!(1.0) };
    let offset = if op.bias { values("beta") } else { json!(0.0) };
    let mut layer = plain(node, "Rescaling", json!({ "scale": scale, "offset": offset }));
    layer.constant = true;
    layer
}
