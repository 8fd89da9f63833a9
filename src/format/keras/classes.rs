//! One op as one Keras layer, or a short chain of them.
//!
//! | here | in Keras |
//! |---|---|
//! | padding of its own on each side | `ZeroPadding2D` in front, `valid` |
//! | a convolution with as many groups as channels | `DepthwiseConv2D` |
//! | an activation that has no name in Keras | a layer of its own behind |
//! | maximum pooling with padding or in ceil mode | `ZeroPadding2D` in front, if its input is never negative |
//!
//! Only what gives the same numbers is written; the rest is an error.

use serde_json::{Map, Value as Json, json};

use super::export::{Exported, Weight};
use super::initialisers::to_keras;
use super::{norms_out as norms, windows};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Node};
use crate::model::Model;
use crate::ops::{Activation, Conv1D, Conv2D, Dense, MergeKind, Op, PadMode, Padding, Upsample2D, UpsampleMethod};
use crate::tensor::Shape;

type Chain = Vec<Exported>;

/// The layers of a node, to be called one after the other; their inputs are not set yet.
///
/// # Errors
/// Keras has no layer that computes the same.
pub fn of(model: &Model, node: &Node) -> Result<Chain> {
    let graph = model.graph();
    let x = graph.input_shapes(node);
    let mut chain = match &node.op {
        Op::Input(_) => vec![input(node)],
        Op::Conv2D(op) => windows::conv2d(node, op, x[0])?,
        Op::Conv1D(op) => vec![conv1d(node, op)?],
        Op::Dense(op) => vec![dense(node, op)],
        Op::Activation(op) => vec![activation(&node.name, op.function)?],
        Op::Pool2D(op) => windows::pool2d(graph, node, op, x[0])?,
        Op::Pool1D(op) => vec![windows::pool1d(node, op, x[0])?],
        Op::GlobalPool(op) => vec![windows::global(node, op, x[0])?],
        Op::AdaptivePool2D(op) => vec![windows::adaptive(node, op, x[0])?],
        Op::BatchNorm(op) => vec![norms::batch_norm(node, op)],
        Op::Dropout(op) => vec![plain(node, "Dropout", json!({ "rate": op.rate }))],
        Op::Add(_) => vec![plain(node, "Add", json!({}))],
        Op::Merge(op) => vec![plain(node, merge(op.kind)?, json!({}))],
        Op::Concat(_) => vec![plain(node, "Concatenate", json!({ "axis": -1 }))],
        Op::Flatten(_) => vec![plain(node, "Flatten", json!({ "data_format": "channels_last" }))],
        Op::Reshape(op) => vec![plain(node, "Reshape", json!({ "target_shape": op.dims }))],
        Op::ZeroPad(op) => vec![windows::zero_padding(&node.name, [[op.top, op.bottom], [op.left, op.right]])],
        Op::ConvTranspose2D(op) => vec![windows::transposed(node, op)?],
        Op::SeparableConv2D(op) => windows::separable(node, op, x[0])?,
        Op::Upsample2D(op) => vec![upsampling(node, op)?],
        Op::LayerNorm(op) => vec![norms::layer_norm(node, op, x[0])],
        Op::GroupNorm(op) => vec![norms::group_norm(node, op)],
        Op::Affine(op) => vec![norms::rescaling(model, node, op)],
        Op::PRelu(op) => vec![norms::prelu(node, op, x[0])],
        Op::Permute(op) => {
            let dims: Vec<usize> = op.axes.iter().map(|axis| axis + 1).collect();
            vec![plain(node, "Permute", json!({ "dims": dims }))]
        }
        Op::Slice(op) => vec![windows::cropping(node, op, x[0])?],
        Op::Pad2D(op) if op.mode == PadMode::Constant(0.0) => {
            vec![windows::zero_padding(&node.name, [[op.top, op.bottom], [op.left, op.right]])]
        }
        other => return Err(none(&format!("Keras has no layer that computes what {} does", other.rule().class()))),
    };
    set_weights(graph, node, &mut chain);
    if fused(node.op.activation()).is_none() {
        chain.push(activation(&format!("{}_activation", node.name), node.op.activation())?);
    }
    Ok(chain)
}

/// A layer of this class.
pub fn layer(name: &str, class: &'static str, config: Json) -> Exported {
    let config = match config {
        Json::Object(map) => map,
        _ => Map::new(),
    };
    Exported { name: name.to_string(), class, config, inputs: Vec::new(), weights: Vec::new(), constant: false }
}

/// A layer with the node's name.
pub fn plain(node: &Node, class: &'static str, config: Json) -> Exported {
    layer(&node.name, class, config)
}

/// What cannot be written.
pub fn none(message: &str) -> Error {
    Error::new(ErrorKind::Argument, message).with_help("save it as a striate file, or as ONNX")
}

fn input(node: &Node) -> Exported {
    let shape: Vec<Json> = std::iter::once(Json::Null).chain(node.shape.dims().iter().map(|d| json!(d))).collect();
    plain(node, "InputLayer", json!({ "batch_shape": shape, "sparse": false }))
}

// The weights stand in the one layer of the chain that bears the node's name.
fn set_weights(graph: &Graph, node: &Node, chain: &mut Chain) {
    let x = graph.input_shapes(node);
    let Some(layer) = chain.iter_mut().find(|l| l.name == node.name && !l.constant) else { return };
    let weight = |spec: crate::ops::ParamSpec| {
        let dims = keras_dims(layer.class, spec.name, &spec.dims, &x);
        Weight { param: format!("{}/{}", node.name, spec.name), dims }
    };
    layer.weights = graph.params(node).into_iter().map(weight).collect();
}

// A depthwise kernel is `[kh, kw, ic, m]` in Keras.
fn keras_dims(class: &str, param: &str, dims: &[usize], x: &[Shape]) -> Vec<usize> {
    match (class, param, dims, x) {
        // One slope for each channel: the other axes have size 1.
        ("PReLU", _, [n], [x]) if x.rank() > 1 => [vec![1; x.rank() - 1], vec![*n]].concat(),
        ("DepthwiseConv2D", "kernel", [kh, kw, _, oc], [x]) => vec![*kh, *kw, x.channels(), oc / x.channels()],
        _ => dims.to_vec(),
    }
}

/// The name of an activation where Keras takes one; `None` where it needs a layer of its own.
pub fn fused(function: Activation) -> Option<&'static str> {
    match function {
        Activation::LeakyRelu(slope) => (slope == 0.2).then_some("leaky_relu"),
        Activation::Elu(alpha) => (alpha == 1.0).then_some("elu"),
        Activation::HardSwish => Some("hard_silu"),
        // Keras has it, but no name for it.
        Activation::GeluTanh => None,
        other => Some(other.name()),
    }
}

/// The activation as the option of a layer; linear where a layer of its own follows.
pub fn option(function: Activation) -> Json {
    json!(fused(function).unwrap_or("linear"))
}

fn activation(name: &str, function: Activation) -> Result<Exported> {
    Ok(match function {
        Activation::LeakyRelu(slope) if slope != 0.2 => layer(name, "LeakyReLU", json!({ "negative_slope": slope })),
        Activation::GeluTanh => return Err(none("Keras has no name for the approximation of gelu by tanh")),
        Activation::Elu(alpha) if alpha != 1.0 => layer(name, "ELU", json!({ "alpha": alpha })),
        other => layer(name, "Activation", json!({ "activation": option(other) })),
    })
}

fn dense(node: &Node, op: &Dense) -> Exported {
    let config = json!({
        "units": op.units, "activation": option(op.activation), "use_bias": op.bias,
        "kernel_initializer": to_keras(op.kernel_init), "bias_initializer": to_keras(op.bias_init),
    });
    plain(node, "Dense", config)
}

fn conv1d(node: &Node, op: &Conv1D) -> Result<Exported> {
    let reach = op.kernel.saturating_sub(1) * op.dilation;
    let padding = match op.padding {
        Padding::Valid => "valid",
        Padding::Same => "same",
        Padding::Explicit { left, right: 0, .. } if left == reach => "causal",
        Padding::Explicit { left: 0, right: 0, .. } => "valid",
        other => return Err(none(&format!("Conv1D of Keras has no padding {other}"))),
    };
    windows::stride_or_dilation(op.stride > 1, op.dilation > 1)?;
    if op.pad_value != 0.0 && padding != "valid" {
        return Err(none("Keras pads with 0 only"));
    }
    let config = json!({
        "filters": op.filters, "kernel_size": [op.kernel], "strides": [op.stride], "padding": padding,
        "data_format": "channels_last", "dilation_rate": [op.dilation], "groups": op.groups,
        "activation": option(op.activation), "use_bias": op.bias,
        "kernel_initializer": to_keras(op.kernel_init), "bias_initializer": to_keras(op.bias_init),
    });
    Ok(plain(node, "Conv1D", config))
}

fn upsampling(node: &Node, op: &Upsample2D) -> Result<Exported> {
    if op.align_corners || op.to.is_some() {
        return Err(none("UpSampling2D of Keras enlarges by whole factors, without aligned corners"));
    }
    let interpolation = match op.method {
        UpsampleMethod::Nearest => "nearest",
        UpsampleMethod::Bilinear => "bilinear",
    };
    let config = json!({ "size": op.size, "interpolation": interpolation, "data_format": "channels_last" });
    Ok(plain(node, "UpSampling2D", config))
}

fn merge(kind: MergeKind) -> Result<&'static str> {
    Ok(match kind {
        MergeKind::Multiply => "Multiply",
        MergeKind::Subtract => "Subtract",
        MergeKind::Maximum => "Maximum",
        MergeKind::Minimum => "Minimum",
        MergeKind::Average => "Average",
        MergeKind::Divide => return Err(none("Keras has no layer that divides")),
    })
}

/// The options that `Conv2D` and `DepthwiseConv2D` share.
pub fn conv_options(op: &Conv2D, padding: &str) -> Map<String, Json> {
    let options = json!({
        "kernel_size": op.kernel, "strides": op.stride, "padding": padding, "data_format": "channels_last",
        "dilation_rate": op.dilation, "activation": option(op.activation), "use_bias": op.bias,
        "bias_initializer": to_keras(op.bias_init),
    });
    match options {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}
