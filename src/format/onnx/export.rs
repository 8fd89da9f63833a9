//! From a network of ours to an ONNX graph.
//!
//! Each layer becomes one node or a few, with `[n, c, h, w]` as ONNX wants it.
//! [`Held`] knows how our axes lie in ONNX's tensor, so a `Transpose` is written
//! only where numbers really change places; a dense layer behind a flattened
//! image gets its rows in the order of `[c, h, w]` instead.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::layout::Layout;
use super::proto::{
    AttributeProto, Dim, Dims, Entry, GraphProto, Held as Attribute, ModelProto, NodeProto, Pair, TensorProto,
    TensorType, ValueInfo,
};
use super::wire::{Message, Writer};
use super::{KEYS, PRODUCER};
use crate::error::{Error, Result};
use crate::graph::Node;
use crate::model::{Model, Param};
use crate::ops::{Activation, Op};
use crate::tensor::Shape;

mod activation;
mod convolution;
mod normalisation;
mod pooling;
mod shape;

/// How a file is to be written.
///
/// ```
/// use striate::format::onnx::Export;
/// assert_eq!(Export::default().opset, 17);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Export {
    /// The version of the operators, 13 to 22.
    pub opset: i64,
}

impl Default for Export {
    fn default() -> Self {
        Self { opset: 17 }
    }
}

// The version of the file format that came with a version of the operators.
const IR_VERSIONS: [(i64, i64); 4] = [(21, 10), (19, 9), (15, 8), (13, 7)];
const NEWEST: i64 = 22;

// Protobuf readers refuse more.
const MAX_BYTES: usize = (1 << 31) - 1;

const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// A value of ours in the file: the name of its tensor, and how our axes lie in it. The batch comes first.
#[derive(Debug, Clone)]
struct Held {
    name: String,
    /// The sizes of the tensor without the batch.
    dims: Vec<usize>,
    layout: Layout,
}

/// A file in the making.
struct Exporter<'m> {
    params: BTreeMap<&'m str, &'m Param>,
    opset: i64,
    nodes: Vec<NodeProto<'m>>,
    constants: Vec<TensorProto<'m>>,
    names: BTreeSet<String>,
    /// The layer that is being written.
    layer: String,
}

/// The file of a model.
pub(super) fn export(model: &Model, options: &Export) -> Result<Vec<u8>> {
    let ir = IR_VERSIONS.iter().find(|(opset, _)| *opset <= options.opset).map(|(_, ir)| *ir);
    let Some(ir_version) = ir.filter(|_| options.opset <= NEWEST) else {
        return Err(Error::argument(format!("operator set {} is not written", options.opset))
            .with_help(format!("13 to {NEWEST} are; 17 is read everywhere")));
    };
    let bytes: usize = model.params().iter().map(|p| p.data.len() * 4).sum();
    if bytes > MAX_BYTES {
        return Err(Error::argument(format!(
            "{bytes} bytes of weights do not fit an ONNX file, which has 2 GiB at most"
        ))
        .with_help("save it as .striate or .safetensors"));
    }
    let mut exporter = Exporter {
        params: model.params().iter().map(|p| (p.name.as_str(), p)).collect(),
        opset: options.opset,
        nodes: Vec::new(),
        constants: Vec::new(),
        names: BTreeSet::new(),
        layer: String::new(),
    };
    let (input, output) = exporter.graph(model)?;
    let graph = GraphProto {
        nodes: exporter.nodes,
        name: model.graph().name().into(),
        initializers: exporter.constants,
        inputs: vec![input],
        outputs: vec![output],
        sparse: 0,
    };
    let proto = ModelProto {
        ir_version,
        producer: PRODUCER.into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opsets: vec![Pair { domain: String::new(), version: options.opset }],
        metadata: metadata(model)?,
    };
    let mut writer = Writer::default();
    proto.encode(&mut writer);
    Ok(writer.bytes)
}

fn metadata(model: &Model) -> Result<Vec<Entry>> {
    let text = |value: serde_json::Result<String>| value.map_err(|e| Error::argument(format!("metadata: {e}")));
    let [labels, preprocess, record] = KEYS;
    let mut entries = Vec::new();
    if !model.labels.is_empty() {
        entries.push(Entry { key: labels.into(), value: text(serde_json::to_string(&model.labels))? });
    }
    if model.preprocess.is_some() {
        entries.push(Entry { key: preprocess.into(), value: text(serde_json::to_string(&model.preprocess))? });
    }
    if !model.record.entries.is_empty() {
        entries.push(Entry { key: record.into(), value: text(serde_json::to_string(&model.record))? });
    }
    Ok(entries)
}

// `n` samples of these sizes.
fn info(name: &str, dims: &[usize]) -> ValueInfo {
    let batch = Dim { value: None, param: "n".into() };
    let sizes = dims.iter().map(|d| Dim { value: Some(*d as i64), param: String::new() });
    let dims = Some(Dims([batch].into_iter().chain(sizes).collect()));
    ValueInfo { name: name.into(), tensor: Some(TensorType { data_type: FLOAT, dims }) }
}

// The axes with the channels in front.
fn channels_first(rank: usize) -> Vec<usize> {
    [rank - 1].into_iter().chain(0..rank - 1).collect()
}

impl<'m> Exporter<'m> {
    fn graph(&mut self, model: &'m Model) -> Result<(ValueInfo, ValueInfo)> {
        let graph = model.graph();
        let x = Held::channels_first("x", graph.input_shape()?);
        let input = info(&x.name, &x.dims);
        let mut held = vec![x.clone()];
        // Auxiliary heads are for training; the output does not need them.
        for (node, used) in graph.nodes().iter().zip(graph.used()?).skip(1) {
            if !used {
                held.push(x.clone());
                continue;
            }
            let x: Vec<Held> = node.inputs.iter().map(|v| held[v.0].clone()).collect();
            self.layer.clone_from(&node.name);
            let shapes = graph.input_shapes(node);
            held.push(self.node(node, &shapes, &x).map_err(|e| e.within(format_args!("layer '{}'", node.name)))?);
        }
        let last = graph.node(graph.output()?);
        let is_softmax = [last.op.activation(), bare(&last.op)].contains(&Activation::Softmax);
        let name = if is_softmax { "probabilities" } else { "logits" };
        let mut y = self.canonical(&held[graph.output()?.0])?;
        if y.name == "x" {
            // The input itself is no output.
            y.name = self.emit("Identity", &["x"], Vec::new());
        }
        self.rename(&y.name, name);
        Ok((input, info(name, &y.dims)))
    }

    fn node(&mut self, node: &Node, shapes: &[Shape], x: &[Held]) -> Result<Held> {
        let (y, first) = (node.shape, &x[0]);
        let held = match &node.op {
            Op::Input(_) => Err(Error::argument("a second input cannot be written")),
            Op::Conv2D(op) => self.conv2d(op, shapes[0], y, first),
            Op::Conv1D(op) => self.conv1d(op, shapes[0], y, first),
            Op::ConvTranspose2D(op) => self.conv_transpose(op, shapes[0], y, first),
            Op::SeparableConv2D(op) => self.separable(op, shapes[0], y, first),
            Op::Dense(op) => self.dense(op, y, first),
            Op::Activation(op) => return self.activation(op.function, first),
            Op::Pool2D(op) => self.pool2d(op, shapes[0], y, first),
            Op::Pool1D(op) => self.pool1d(op, shapes[0], y, first),
            Op::AdaptivePool2D(op) => self.adaptive(op, shapes[0], y, first),
            Op::GlobalPool(op) => self.global(op, y, first),
            Op::BatchNorm(op) => self.batch_norm(op, first),
            Op::GroupNorm(op) => self.group_norm(op, first),
            Op::LayerNorm(op) => self.layer_norm(op, first),
            Op::Lrn(op) => self.lrn(op, first),
            Op::Affine(op) => self.affine(op, first),
            Op::PRelu(op) => self.prelu(op, first),
            Op::Dropout(op) => self.dropout(op, first),
            Op::StochasticDepth(_) => Ok(first.clone()),
            Op::Add(_) => self.merge("Sum", shapes, y, x),
            Op::Merge(op) => self.merge(shape::operator(op.kind), shapes, y, x),
            Op::Concat(_) => self.concat(y, x),
            Op::Flatten(_) | Op::Reshape(_) => self.reshape(y, first),
            Op::Permute(op) => Ok(Held { layout: first.layout.transpose(&op.axes), ..first.clone() }),
            Op::Slice(op) => self.slice(op, shapes[0], y, first),
            Op::ZeroPad(op) => self.zero_pad(op, y, first),
            Op::Pad2D(op) => self.pad2d(op, y, first),
            Op::Upsample2D(op) => self.upsample(op, shapes[0], y, first),
            Op::Custom(op) => Err(Error::argument(format!("a custom op ({}) cannot be written", op.class()))
                .with_help("ONNX has only its own operators")),
        }?;
        self.activation(node.op.activation(), &held)
    }

    // The weights of a parameter of this layer.
    fn param(&self, name: &str) -> Result<&'m Param> {
        let full = format!("{}/{name}", self.layer);
        self.params.get(full.as_str()).copied().ok_or_else(|| Error::argument(format!("it has no weights '{name}'")))
    }

    // A name that begins with the layer's and is not taken.
    fn fresh(&mut self, what: &str) -> String {
        let first = format!("{}/{what}", self.layer);
        let numbered = (1..).map(|i| format!("{first}_{i}"));
        let name = [first.clone()].into_iter().chain(numbered).find(|name| !self.names.contains(name));
        let name = name.unwrap_or(first);
        self.names.insert(name.clone());
        name
    }

    /// Writes a node; its output is named after it. The first one of a layer has the layer's name.
    fn emit(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto<'m>>) -> String {
        let output = self.fresh(op);
        // What only rearranges comes before the layer's own node.
        let rearranges = ["Transpose", "Reshape", "Flatten"].contains(&op);
        let name =
            if !rearranges && self.names.insert(self.layer.clone()) { self.layer.clone() } else { output.clone() };
        self.nodes.push(NodeProto {
            inputs: inputs.iter().map(|name| (*name).to_string()).collect(),
            outputs: vec![output.clone()],
            name,
            op: op.into(),
            attributes,
            domain: String::new(),
        });
        output
    }

    fn floats(&mut self, what: &str, dims: &[usize], data: &[f32]) -> String {
        let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(what, dims, FLOAT, raw)
    }

    fn ints(&mut self, what: &str, list: &[i64]) -> String {
        let raw = list.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(what, &[list.len()], INT64, raw)
    }

    fn constant(&mut self, what: &str, dims: &[usize], data_type: i64, raw: Vec<u8>) -> String {
        let name = self.fresh(what);
        let dims = dims.iter().map(|d| *d as i64).collect();
        let raw = Some(Cow::Owned(raw));
        self.constants.push(TensorProto { dims, data_type, name: name.clone(), raw, ..TensorProto::default() });
        name
    }

    fn rename(&mut self, from: &str, to: &str) {
        for name in self.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().chain(&mut n.outputs)) {
            if name == from {
                *name = to.into();
            }
        }
    }

    /// The tensor with these groups of our axes, one after the other; each group becomes one axis of it.
    fn arrange(&mut self, x: &Held, groups: &[&[usize]]) -> Held {
        let axes = groups.concat();
        let mut name = x.name.clone();
        let mut dims = x.dims.clone();
        if let Some(route) = x.layout.route(&axes) {
            name = self.view(name, &dims, &route.dims);
            let order: Vec<i64> = [0].into_iter().chain(route.order.iter().map(|axis| *axis as i64 + 1)).collect();
            name = self.emit("Transpose", &[&name], vec![ints("perm", &order)]);
            dims = route.order.iter().map(|axis| route.dims[*axis]).collect();
        }
        let sizes: Vec<usize> = groups.iter().map(|g| g.iter().map(|axis| x.layout.size(*axis)).product()).collect();
        let name = self.view(name, &dims, &sizes);
        Held { name, dims: sizes, layout: Layout::new(&x.layout.dims(), &axes) }
    }

    // The same tensor with other sizes.
    fn view(&mut self, name: String, from: &[usize], to: &[usize]) -> String {
        if from == to {
            return name;
        }
        if let [_] = to {
            return self.emit("Flatten", &[&name], vec![int("axis", 1)]);
        }
        // 0 keeps the batch.
        let list: Vec<i64> = [0].into_iter().chain(to.iter().map(|d| *d as i64)).collect();
        let shape = self.ints("shape", &list);
        self.emit("Reshape", &[&name, &shape], Vec::new())
    }

    /// The tensor as ONNX's layers want it: `[n, c, h, w]`, `[n, c, l]`, `[n, c]`.
    fn canonical(&mut self, x: &Held) -> Result<Held> {
        let order = channels_first(x.layout.rank());
        Ok(self.arrange(x, &order.iter().map(std::slice::from_ref).collect::<Vec<_>>()))
    }
}

impl Held {
    /// A tensor in the order that ONNX's layers want, of a value of ours with this shape.
    fn channels_first(name: impl Into<String>, shape: Shape) -> Self {
        let order = channels_first(shape.rank());
        let dims = order.iter().map(|axis| shape.dims()[*axis]).collect();
        Self { name: name.into(), dims, layout: Layout::new(shape.dims(), &order) }
    }

    /// The same tensor under another name, of the same sizes.
    fn named(&self, name: String) -> Self {
        Self { name, ..self.clone() }
    }
}

// The function of a layer that is nothing else.
fn bare(op: &Op) -> Activation {
    match op {
        Op::Activation(op) => op.function,
        _ => Activation::Linear,
    }
}

fn attribute<'m>(name: &str, held: Attribute<'m>) -> AttributeProto<'m> {
    AttributeProto { name: name.into(), held, kind: 0 }
}

fn int<'m>(name: &str, value: i64) -> AttributeProto<'m> {
    attribute(name, Attribute::Int(value))
}

fn float<'m>(name: &str, value: f32) -> AttributeProto<'m> {
    attribute(name, Attribute::Float(value))
}

fn ints<'m>(name: &str, list: &[i64]) -> AttributeProto<'m> {
    attribute(name, Attribute::Ints(list.to_vec()))
}

fn sizes<'m>(name: &str, list: &[usize]) -> AttributeProto<'m> {
    ints(name, &list.iter().map(|v| *v as i64).collect::<Vec<_>>())
}

fn text<'m>(name: &str, value: &'static str) -> AttributeProto<'m> {
    attribute(name, Attribute::Text(value.as_bytes().into()))
}
