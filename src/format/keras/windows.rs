//! Convolutions and pools of images as Keras layers: how each padding is said there.

use serde_json::json;

use super::classes::{conv_options, layer, none, option, plain};
use super::export::Exported;
use super::initialisers::to_keras;
use crate::conv::Window;
use crate::error::Result;
use crate::graph::{Graph, Node};
use crate::ops::{
    Activation, AdaptivePool2D, Conv2D, ConvTranspose2D, GlobalPool, MergeKind, Op, Padding, Pool1D, Pool2D, PoolKind,
    SeparableConv2D, Slice,
};
use crate::tensor::Shape;

// Rows above and below, columns before and after.
type Sides = [[usize; 2]; 2];

// How Keras says the padding of a window: by name, or by zeros in front.
enum Said {
    Name(&'static str),
    Zeros(Sides),
}

/// `Conv2D` or `DepthwiseConv2D`, with zeros in front where the padding is none of Keras' two.
pub fn conv2d(node: &Node, op: &Conv2D, x: Shape) -> Result<Vec<Exported>> {
    stride_or_dilation(op.stride != [1, 1], op.dilation != [1, 1])?;
    let window =
        Window { kernel: op.kernel, stride: op.stride, dilation: op.dilation, padding: op.padding, ceil: false };
    let said = said(&window, x)?;
    let padding = match said {
        Said::Name(name) => name,
        Said::Zeros(_) => "valid",
    };
    if op.pad_value != 0.0 && !matches!(said, Said::Name("valid")) {
        return Err(none("Keras pads with 0 only"));
    }
    let mut options = conv_options(op, padding);
    // Keras' depthwise convolution has one stride for both axes.
    let depthwise = op.groups > 1 && op.groups == x.channels() && op.stride[0] == op.stride[1];
    let conv = if depthwise {
        options.insert("depth_multiplier".into(), json!(op.filters / x.channels()));
        options.insert("depthwise_initializer".into(), to_keras(op.kernel_init));
        plain(node, "DepthwiseConv2D", options.into())
    } else {
        options.insert("filters".into(), json!(op.filters));
        options.insert("groups".into(), json!(op.groups));
        options.insert("kernel_initializer".into(), to_keras(op.kernel_init));
        plain(node, "Conv2D", options.into())
    };
    Ok(in_front(node, said, conv))
}

/// `SeparableConv2D`.
pub fn separable(node: &Node, op: &SeparableConv2D, x: Shape) -> Result<Vec<Exported>> {
    stride_or_dilation(op.stride != [1, 1], op.dilation != [1, 1])?;
    if op.stride[0] != op.stride[1] {
        return Err(none("SeparableConv2D of Keras has one stride for both axes"));
    }
    let SeparableConv2D { kernel, stride, dilation, padding, .. } = *op;
    let said = said(&Window { kernel, stride, dilation, padding, ceil: false }, x)?;
    let padding = match said {
        Said::Name(name) => name,
        Said::Zeros(_) => "valid",
    };
    let config = json!({
        "filters": op.filters, "kernel_size": kernel, "strides": stride, "padding": padding,
        "data_format": "channels_last", "dilation_rate": dilation, "depth_multiplier": op.multiplier,
        "activation": option(op.activation), "use_bias": op.bias,
        "depthwise_initializer": to_keras(op.kernel_init), "pointwise_initializer": to_keras(op.kernel_init),
        "bias_initializer": to_keras(op.bias_init),
    });
    Ok(in_front(node, said, plain(node, "SeparableConv2D", config)))
}

/// `Conv2DTranspose`.
pub fn transposed(node: &Node, op: &ConvTranspose2D) -> Result<Exported> {
    stride_or_dilation(op.stride != [1, 1], op.dilation != [1, 1])?;
    let padding = match op.padding {
        Padding::Valid => "valid",
        Padding::Same => "same",
        other => return Err(none(&format!("Conv2DTranspose of Keras has no padding {other}"))),
    };
    if op.groups != 1 {
        return Err(none("Conv2DTranspose of Keras has no groups"));
    }
    let config = json!({
        "filters": op.filters, "kernel_size": op.kernel, "strides": op.stride, "padding": padding,
        "output_padding": op.output_padding, "data_format": "channels_last", "dilation_rate": op.dilation,
        "activation": option(op.activation), "use_bias": op.bias,
        "kernel_initializer": to_keras(op.kernel_init), "bias_initializer": to_keras(op.bias_init),
    });
    Ok(plain(node, "Conv2DTranspose", config))
}

/// `Cropping2D` of rows or columns, `Cropping1D` of a sequence.
pub fn cropping(node: &Node, op: &Slice, x: Shape) -> Result<Exported> {
    let axis = if op.axis < 0 { op.axis + x.rank() as isize } else { op.axis };
    let size = usize::try_from(axis).ok().and_then(|axis| x.dims().get(axis)).copied().unwrap_or(0);
    let cut = [op.start, size.saturating_sub(op.end)];
    match (x.rank(), axis) {
        (3, 0) => Ok(plain(node, "Cropping2D", json!({ "cropping": [cut, [0, 0]], "data_format": "channels_last" }))),
        (3, 1) => Ok(plain(node, "Cropping2D", json!({ "cropping": [[0, 0], cut], "data_format": "channels_last" }))),
        (2, 0) => Ok(plain(node, "Cropping1D", json!({ "cropping": cut }))),
        _ => Err(none("Keras has no layer that takes a part of the channels")),
    }
}

/// Refuses what Keras' convolutions do not do.
pub fn stride_or_dilation(stride: bool, dilation: bool) -> Result<()> {
    if stride && dilation { Err(none("Keras has no convolution with both a stride and a dilation")) } else { Ok(()) }
}

// The padding of a window on an image: in ceil mode, the last partial window is padding too.
fn said(window: &Window, x: Shape) -> Result<Said> {
    let [h, w, _] = x.hwc()?;
    let axes = window.axes(h, w)?;
    let same = Window { padding: Padding::Same, ceil: false, ..*window }.axes(h, w)?;
    let needed = axes.map(|a| {
        let end = (a.output - 1) * a.stride + a.reach();
        [a.before, end.saturating_sub(a.before + a.input)]
    });
    let equals_same =
        axes.iter().zip(&same).zip(needed).all(|((a, same), [before, after])| {
            a.output == same.output && before == same.before && after <= same.after
        });
    Ok(match (window.padding, needed) {
        (Padding::Same, _) if !window.ceil => Said::Name("same"),
        (_, [[0, 0], [0, 0]]) => Said::Name("valid"),
        _ if equals_same => Said::Name("same"),
        (_, sides) => Said::Zeros(sides),
    })
}

fn in_front(node: &Node, said: Said, layer: Exported) -> Vec<Exported> {
    match said {
        Said::Name(_) => vec![layer],
        Said::Zeros(sides) => vec![zero_padding(&format!("{}_pad", node.name), sides), layer],
    }
}

/// `ZeroPadding2D`.
pub fn zero_padding(name: &str, sides: Sides) -> Exported {
    layer(name, "ZeroPadding2D", json!({ "padding": sides, "data_format": "channels_last" }))
}

/// `MaxPooling2D` or `AveragePooling2D`.
pub fn pool2d(graph: &Graph, node: &Node, op: &Pool2D, x: Shape) -> Result<Vec<Exported>> {
    let class = pooling(op.kind, "MaxPooling2D", "AveragePooling2D")?;
    if op.dilation != [1, 1] {
        return Err(none("Keras has no pooling with a dilation"));
    }
    let stride = op.stride.unwrap_or(op.window);
    let window = Window { kernel: op.window, stride, dilation: [1, 1], padding: op.padding, ceil: op.ceil };
    let said = said(&window, x)?;
    let (name, exact) = match said {
        Said::Name("valid") => ("valid", true),
        Said::Name(name) => (name, op.kind == PoolKind::Max || !op.count_padding),
        // A zero never beats numbers that are not negative.
        Said::Zeros(_) if op.kind == PoolKind::Max => ("valid", not_negative(graph, node)),
        Said::Zeros(_) => ("valid", op.count_padding && !op.ceil),
    };
    if !exact {
        return Err(none(&format!("Keras has no {class} with the padding {}, ceil mode {}", op.padding, op.ceil)));
    }
    let config = json!({
        "pool_size": op.window, "strides": stride, "padding": name, "data_format": "channels_last",
    });
    Ok(in_front(node, said, plain(node, class, config)))
}

// Whether the first input of a node is never negative, by the ops that make it.
fn not_negative(graph: &Graph, node: &Node) -> bool {
    let mut known: Vec<bool> = Vec::new();
    for at in &graph.nodes()[..=node.inputs[0].0] {
        let mut inputs = at.inputs.iter().map(|v| known[v.0]);
        let function = match &at.op {
            Op::Activation(op) => op.function,
            other => other.activation(),
        };
        let good = match (function, &at.op) {
            (Activation::Relu | Activation::Relu6 | Activation::Sigmoid | Activation::Softmax, _) => true,
            (Activation::Linear, Op::Merge(op)) if op.kind == MergeKind::Maximum => inputs.any(|good| good),
            (Activation::Linear, Op::Merge(op)) => op.kind != MergeKind::Subtract && inputs.all(|good| good),
            (Activation::Linear, Op::Add(_) | Op::Concat(_) | Op::Pool2D(_) | Op::Dropout(_) | Op::Activation(_)) => {
                inputs.all(|good| good)
            }
            _ => false,
        };
        known.push(good);
    }
    known.last() == Some(&true)
}

/// `MaxPooling1D` or `AveragePooling1D`.
pub fn pool1d(node: &Node, op: &Pool1D, x: Shape) -> Result<Exported> {
    let class = pooling(op.kind, "MaxPooling1D", "AveragePooling1D")?;
    let stride = op.stride.unwrap_or(op.window);
    let (kernel, stride) = ([1, op.window], [1, stride]);
    let said = said(&Window { kernel, stride, dilation: [1, 1], padding: op.padding, ceil: op.ceil }, x)?;
    let padding = match said {
        Said::Name("valid") => "valid",
        Said::Name(name) if op.kind == PoolKind::Max || !op.count_padding => name,
        _ => return Err(none(&format!("Keras has no {class} with the padding {}, ceil mode {}", op.padding, op.ceil))),
    };
    let config = json!({
        "pool_size": [op.window], "strides": [stride[1]], "padding": padding, "data_format": "channels_last",
    });
    Ok(plain(node, class, config))
}

/// The global poolings.
pub fn global(node: &Node, op: &GlobalPool, x: Shape) -> Result<Exported> {
    let class = match x.rank() {
        3 => pooling(op.kind, "GlobalMaxPooling2D", "GlobalAveragePooling2D")?,
        2 => pooling(op.kind, "GlobalMaxPooling1D", "GlobalAveragePooling1D")?,
        _ => return Err(none("Keras has no global pooling of a vector")),
    };
    Ok(plain(node, class, json!({ "keepdims": op.keep_dims, "data_format": "channels_last" })))
}

/// Adaptive pooling, where its windows are all alike.
pub fn adaptive(node: &Node, op: &AdaptivePool2D, x: Shape) -> Result<Exported> {
    let class = pooling(op.kind, "MaxPooling2D", "AveragePooling2D")?;
    let [h, w, _] = x.hwc()?;
    let [oh, ow] = op.size;
    if oh == 0 || ow == 0 || h % oh != 0 || w % ow != 0 {
        return Err(none(&format!("pooling {h}x{w} to {oh}x{ow} needs windows of different sizes")));
    }
    let window = [h / oh, w / ow];
    let config = json!({
        "pool_size": window, "strides": window, "padding": "valid", "data_format": "channels_last",
    });
    Ok(plain(node, class, config))
}

fn pooling(kind: PoolKind, max: &'static str, average: &'static str) -> Result<&'static str> {
    match kind {
        PoolKind::Max => Ok(max),
        PoolKind::Average => Ok(average),
        PoolKind::Min => Err(none("Keras has no minimum pooling")),
    }
}
