//! From an ONNX graph to a network of ours.
//!
//! 1. What the output does not need is left out, and idioms become one node ([`super::rewrite`]).
//! 2. Node by node: what depends on constants alone is worked out ([`super::fold`]); the rest becomes layers by the
//!    tables of the files below this one, over values that know how ONNX's axes lie in memory ([`super::layout`]).
//! 3. Layers that nothing uses any more are dropped, and the weights put into the model.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::call::{Call, Feature, Known};
use super::constant::{BATCH, Constant, MAX_MADE, dtype, is_float};
use super::layout::{Layout, Route};
use super::names::Names;
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfo};
use super::{KEYS, PRODUCER, fold, rewrite};
use crate::error::{Error, Result, unknown};
use crate::graph::{Graph, Value};
use crate::model::Model;
use crate::ops::{Activation, Flatten, Op, Permute, Reshape};
use crate::tensor::Shape;

mod activation;
mod arithmetic;
mod convolution;
mod normalisation;
mod pooling;
mod shape;
mod window;

/// Versions of the operators that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=24;

/// More than any network has; a graph is searched by name for each layer.
const MAX_NODES: usize = 1 << 14;

/// What a file leaves open.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// The sizes of the input with the batch, in the file's order, in place of those that the file gives.
    pub input: Option<Vec<usize>>,
    /// The output that is wanted, of several.
    pub output: Option<String>,
    /// Whether the input is a single sample, without a batch as its first axis.
    pub no_batch: bool,
}

/// What makes a layer, or says a fact, of a node.
pub(super) enum Handler {
    One(fn(&mut Importer, &Call<'_>) -> Result<Known>),
    Many(fn(&mut Importer, &Call<'_>) -> Result<Vec<Known>>),
}

fn tables() -> impl Iterator<Item = &'static (&'static str, Handler)> {
    let tables: [&'static [(&'static str, Handler)]; 6] =
        [activation::TABLE, arithmetic::TABLE, convolution::TABLE, normalisation::TABLE, pooling::TABLE, shape::TABLE];
    tables.into_iter().flatten()
}

/// A network in the making.
pub(super) struct Importer {
    graph: Graph,
    weights: BTreeMap<String, Vec<Vec<f32>>>,
    values: BTreeMap<String, Known>,
    /// The operators that use a value.
    users: BTreeMap<String, Vec<String>>,
    names: Names,
    opset: i64,
    /// The batch, where the file fixes it.
    pub batch: Option<i64>,
    /// What a value became by a permutation, so that each is done once.
    permuted: BTreeMap<(Value, Route), Value>,
    /// Numbers that may still be made of those in the file, so that a small file does not fill memory.
    budget: usize,
}

/// The model of a file.
///
/// The file does not say whether its images are `[n, c, h, w]` or `[n, h, w, c]`; what needs fewer permutations is
/// meant. Files of this library have the former.
pub(super) fn import(proto: &ModelProto<'_>, options: &Import) -> Result<Model> {
    if options.no_batch {
        return Importer::run(proto, options, Order::AsIs).map(|(model, _)| model);
    }
    let first = Importer::run(proto, options, Order::ChannelsLast);
    if matches!(first, Ok((_, 0))) || proto.producer == PRODUCER {
        return first.map(|(model, _)| model);
    }
    match (first, Importer::run(proto, options, Order::AsIs)) {
        (Ok((_, moves)), Ok((model, fewer))) if fewer < moves => Ok(model),
        (Err(_), Ok((model, _))) => Ok(model),
        (first, _) => first.map(|(model, _)| model),
    }
}

/// How the axes of the input and the output lie in memory.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// The file has `[n, c, h, w]`; memory has `[h, w, c]`.
    ChannelsLast,
    /// Memory has the file's order.
    AsIs,
}

impl Order {
    fn memory(self, rank: usize) -> Vec<usize> {
        match self {
            Self::ChannelsLast => (1..rank).chain([0]).collect(),
            Self::AsIs => (0..rank).collect(),
        }
    }
}

impl Importer {
    fn run(proto: &ModelProto<'_>, options: &Import, order: Order) -> Result<(Model, usize)> {
        let graph = proto.graph.as_ref().ok_or_else(|| {
            Error::argument("it holds no graph").with_help("give an ONNX file; this may be another kind of protobuf")
        })?;
        let output = output(graph, options)?;
        let mut importer = Self {
            graph: Graph::new(if graph.name.is_empty() { "network" } else { &graph.name }),
            weights: BTreeMap::new(),
            values: constants(graph)?,
            users: BTreeMap::new(),
            names: Names::default(),
            opset: opset(proto)?,
            batch: None,
            permuted: BTreeMap::new(),
            budget: 0,
        };
        importer.budget = importer.values.values().map(Known::len).sum::<usize>() * 4 + MAX_MADE;
        let nodes = rewrite::rewrite(graph, output)?;
        if nodes.len() > MAX_NODES {
            return Err(Error::argument(format!("it has {} nodes, and {MAX_NODES} are read", nodes.len())));
        }
        for node in &nodes {
            node.inputs.iter().for_each(|x| importer.users.entry(x.clone()).or_default().push(node.op.clone()));
        }
        importer.input(graph, options, order)?;
        for node in &nodes {
            importer.node(node)?;
        }
        let last = importer.output(output, order)?;
        let moves = importer.permuted.len();
        Ok((importer.finish(proto, last)?, moves))
    }

    fn input(&mut self, graph: &GraphProto<'_>, options: &Import, order: Order) -> Result<()> {
        let open: Vec<&ValueInfo> =
            graph.inputs.iter().filter(|i| !self.values.contains_key(i.name.as_str())).collect();
        let [info] = open[..] else {
            let names: Vec<&str> = open.iter().map(|i| i.name.as_str()).collect();
            return Err(Error::argument(format!("it has {} inputs: {}", open.len(), names.join(", ")))
                .with_help("a network has one input here; make constants of the others, or join them"));
        };
        let dims = sizes(info, options).map_err(|e| e.within(format_args!("input '{}'", info.name)))?;
        let batch = (!options.no_batch).then_some(0);
        let sample = if batch.is_some() { &dims[1..] } else { &dims[..] };
        self.batch = batch.and(dims.first().copied()).filter(|n| *n != 0).map(|n| n as i64);
        let order = order.memory(sample.len());
        let memory: Vec<usize> = order.iter().map(|axis| sample[*axis]).collect();
        let shape = if memory.is_empty() { Shape::new(&[1])? } else { Shape::new(&memory)? };
        let feature = Feature { value: self.graph.input(shape)?, layout: Layout::new(sample, &order), batch };
        self.values.insert(info.name.clone(), feature.into());
        Ok(())
    }

    fn node(&mut self, node: &NodeProto<'_>) -> Result<()> {
        let made = self.outputs(node).map_err(|e| e.within(label(node)))?;
        for (name, known) in node.outputs.iter().zip(made).filter(|(name, _)| !name.is_empty()) {
            self.values.insert(name.clone(), known);
        }
        Ok(())
    }

    fn outputs(&mut self, node: &NodeProto<'_>) -> Result<Vec<Known>> {
        let known = |name: &String| match (name.as_str(), self.values.get(name)) {
            ("", _) => Ok(None),
            (_, Some(known)) => Ok(Some(known.clone())),
            (_, None) => Err(Error::argument(format!("nothing before it gives its input '{name}'"))
                .with_help("only the first output of pooling, dropout and normalisation is computed")),
        };
        let inputs = node.inputs.iter().map(known).collect::<Result<Vec<_>>>()?;
        let call = Call::new(node, self.opset, inputs);
        let made = self.made(&call)?;
        call.all_read()?;
        Ok(made)
    }

    fn made(&mut self, call: &Call<'_>) -> Result<Vec<Known>> {
        let op = call.node.op.as_str();
        if ["If", "Loop", "Scan", "SequenceMap"].contains(&op) {
            return Err(Error::argument("control flow is not read")
                .with_help("export the network for inference, with fixed sizes, so that no branch is left"));
        }
        if !["", "ai.onnx", rewrite::DOMAIN].contains(&call.node.domain.as_str()) {
            return Err(Error::argument(format!("operators of '{}' are not known", call.node.domain))
                .with_help("export with the standard operators alone"));
        }
        if call.inputs.iter().flatten().all(|known| matches!(known, Known::Constant(_))) {
            let made = fold::evaluate(call)?;
            self.spend(made.iter().map(Constant::len).sum())?;
            return Ok(made.into_iter().map(Known::from).collect());
        }
        match tables().find(|(name, _)| *name == op) {
            Some((_, Handler::One(make))) => Ok(vec![make(self, call)?]),
            Some((_, Handler::Many(make))) => make(self, call),
            None => Err(unknown("operator", op, tables().map(|(name, _)| *name))),
        }
    }

    fn output(&mut self, name: &str, order: Order) -> Result<Value> {
        let Some(Known::Feature(feature)) = self.values.get(name).cloned() else {
            return Err(Error::argument(format!("the output '{name}' does not depend on the input"))
                .with_help("a network computes something of its input; look at the file with netron.app"));
        };
        let order = order.memory(feature.layout.rank());
        let value = self.arrange(&feature, &order.iter().map(std::slice::from_ref).collect::<Vec<_>>())?.value;
        match self.graph.node(value).op {
            Op::Input(_) => self.graph.add(Activation::Linear, &[value]),
            _ => Ok(value),
        }
    }

    // The model: what leads to `last`, with its weights.
    fn finish(mut self, proto: &ModelProto<'_>, last: Value) -> Result<Model> {
        let mut live = BTreeSet::from([last]);
        for (i, node) in self.graph.nodes().iter().enumerate().rev() {
            if live.contains(&Value(i)) {
                live.extend(node.inputs.iter().copied());
            }
        }
        let mut graph = Graph::new(self.graph.name());
        let mut moved = BTreeMap::new();
        live.insert(Value(0));
        for value in live {
            let node = self.graph.node(value);
            let inputs: Vec<Value> = node.inputs.iter().map(|v| moved[v]).collect();
            moved.insert(value, graph.add_named(&node.name, node.op.clone(), &inputs)?);
        }
        let mut model = Model::without_weights(graph)?;
        for param in model.params_mut() {
            let layer = param.name.rsplit_once('/').map_or(param.name.as_str(), |(layer, _)| layer);
            let weights = self.weights.get_mut(layer).filter(|weights| !weights.is_empty());
            param.data = weights.map(|weights| weights.remove(0)).unwrap_or_default().into();
            if param.data.len() != param.dims.iter().product::<usize>() {
                let message = format!("{} has {} numbers for {:?}", param.name, param.data.len(), param.dims);
                return Err(Error::shape(message));
            }
        }
        describe(&mut model, proto)?;
        Ok(model)
    }

    /// Adds a layer with its weights, named after the node.
    pub fn layer(&mut self, call: &Call<'_>, op: impl Into<Op>, x: &[Value], w: Vec<Vec<f32>>) -> Result<Value> {
        let value = match self.names.choose(call.node) {
            Some(name) => self.graph.add_named(name, op, x)?,
            None => self.graph.add(op, x)?,
        };
        self.spend(w.iter().map(Vec::len).sum())?;
        self.weights.insert(self.graph.node(value).name.clone(), w);
        Ok(value)
    }

    fn spend(&mut self, numbers: usize) -> Result<()> {
        let left = self.budget.checked_sub(numbers);
        self.budget = left.ok_or_else(|| {
            Error::argument("the file uses its weights so often that they would fill memory")
                .with_help("simplify it first, for instance with onnxsim")
        })?;
        Ok(())
    }

    /// The shape of a value of ours.
    pub fn shape(&self, value: Value) -> Shape {
        self.graph.shape(value)
    }

    /// The value with these groups of axes, one after the other in memory; each group becomes one axis of ours.
    pub fn arrange(&mut self, x: &Feature, groups: &[&[usize]]) -> Result<Feature> {
        let axes = groups.concat();
        let mut value = x.value;
        if let Some(route) = x.layout.route(&axes) {
            value = self.permuted(value, route)?;
        }
        let dims: Vec<usize> = groups.iter().map(|g| g.iter().map(|axis| x.layout.size(*axis)).product()).collect();
        let value = self.view(value, &dims)?;
        Ok(Feature { value, layout: Layout::new(&x.layout.dims(), &axes), batch: x.batch })
    }

    fn permuted(&mut self, value: Value, route: Route) -> Result<Value> {
        if let Some(done) = self.permuted.get(&(value, route.clone())) {
            return Ok(*done);
        }
        let seen = self.view(value, &route.dims)?;
        let done = self.graph.add(Permute::new(&route.order), &[seen])?;
        self.permuted.insert((value, route), done);
        Ok(done)
    }

    /// The value as images `[h, w, c]`, sequences `[l, c]` or vectors `[c]`, from ONNX's `[n, c, ..]`.
    pub fn channels_last(&mut self, x: &Feature) -> Result<Feature> {
        let order = Order::ChannelsLast.memory(x.sample()?.len());
        self.arrange(x, &order.iter().map(std::slice::from_ref).collect::<Vec<_>>())
    }

    /// The value with these axes last in memory, as one axis of ours, and the others as they were.
    pub fn with_last(&mut self, x: &Feature, last: &[usize]) -> Result<Feature> {
        let axes = x.layout.ending(last);
        let channels: usize = last.iter().map(|axis| x.layout.size(*axis)).product();
        // Where memory has that order already, our axes stay as they are.
        if x.layout.route(&axes).is_none() && self.shape(x.value).channels() == channels {
            return Ok(x.clone());
        }
        match &axes[..axes.len() - last.len()] {
            &[] => self.arrange(x, &[last]),
            &[l] => self.arrange(x, &[&[l], last]),
            &[h, w] => self.arrange(x, &[&[h], &[w], last]),
            rest => self.arrange(x, &[rest, last]),
        }
    }

    /// The value as one axis, in the order that memory has.
    pub fn flat(&mut self, x: &Feature) -> Result<Value> {
        self.view(x.value, &[x.layout.len()])
    }

    // The same memory with other sizes; a view of a view is one view.
    fn view(&mut self, value: Value, dims: &[usize]) -> Result<Value> {
        let dims = if dims.is_empty() { &[1] } else { dims };
        let node = self.graph.node(value);
        if node.shape.dims() == dims {
            return Ok(value);
        }
        let source = match node.op {
            Op::Flatten(_) | Op::Reshape(_) => node.inputs[0],
            _ => value,
        };
        match dims {
            _ if self.graph.shape(source).dims() == dims => Ok(source),
            [_] => self.graph.add(Flatten::new(), &[source]),
            _ => self.graph.add(Reshape::new(&dims.iter().map(|d| *d as i64).collect::<Vec<_>>()), &[source]),
        }
    }

    /// The operators that use the first output of this node.
    pub fn users(&self, call: &Call<'_>) -> &[String] {
        let output = call.node.outputs.first().and_then(|name| self.users.get(name));
        output.map_or(&[], Vec::as_slice)
    }

    /// Whether a size in a list is that of the batch.
    pub fn is_batch(&self, size: i64) -> bool {
        size == BATCH || self.batch == Some(size)
    }
}

fn label(node: &NodeProto<'_>) -> String {
    let name = if node.name.is_empty() { node.outputs.first() } else { Some(&node.name) };
    format!("node '{}' ({})", name.map_or("", String::as_str), node.op)
}

fn output<'a>(graph: &'a GraphProto<'_>, options: &Import) -> Result<&'a str> {
    let names: Vec<&str> = graph.outputs.iter().map(|o| o.name.as_str()).collect();
    match (&options.output, &names[..]) {
        (None, [one]) => Ok(one),
        (Some(wanted), _) => names
            .iter()
            .copied()
            .find(|name| name == wanted)
            .ok_or_else(|| unknown("output", wanted, names.iter().copied())),
        (None, _) => Err(Error::argument(format!("it has {} outputs: {}", names.len(), names.join(", ")))
            .with_help("say which one is wanted")),
    }
}

fn constants(graph: &GraphProto<'_>) -> Result<BTreeMap<String, Known>> {
    if graph.sparse > 0 {
        return Err(Error::argument("it holds sparse weights").with_help("make them dense before the export"));
    }
    graph.initializers.iter().map(|t| Ok((t.name.clone(), Constant::read(t)?.into()))).collect()
}

fn opset(proto: &ModelProto<'_>) -> Result<i64> {
    let standard = proto.opsets.iter().find(|set| ["", "ai.onnx"].contains(&set.domain.as_str()));
    let version = standard.map_or(1, |set| set.version);
    if OPSETS.contains(&version) {
        return Ok(version);
    }
    Err(Error::argument(format!("it uses operator set {version}, and {OPSETS:?} are read"))
        .with_help("convert it with onnx.version_converter, or export it again with opset 17"))
}

// The sizes of the input; 0 stands for a batch that is open.
fn sizes(info: &ValueInfo, options: &Import) -> Result<Vec<usize>> {
    let open = |what: &str| Error::argument(what.to_string()).with_help("say its sizes, such as 1,3,224,224");
    let tensor = info.tensor.as_ref().ok_or_else(|| open("it is no tensor"))?;
    if !is_float(dtype(tensor.data_type)?) {
        return Err(Error::argument("it takes integers")
            .with_help("export the network with an f32 input; scaling belongs to the preprocessing"));
    }
    if let Some(dims) = &options.input {
        return Ok(dims.clone());
    }
    let dims = tensor.dims.as_ref().ok_or_else(|| open("its sizes are not in the file"))?;
    if dims.0.is_empty() && !options.no_batch {
        return Err(open("it is a single number"));
    }
    let size = |(axis, dim): (usize, &super::proto::Dim)| match dim.value.map(usize::try_from) {
        Some(Ok(size)) if size > 0 => Ok(size),
        _ if axis == 0 && !options.no_batch => Ok(0),
        _ => Err(open(&format!("the file leaves its axis {axis} open"))),
    };
    dims.0.iter().enumerate().map(size).collect()
}

// Labels and preprocessing, if this library wrote the file, and where it comes from.
fn describe(model: &mut Model, proto: &ModelProto<'_>) -> Result<()> {
    let entry = |key: &str| proto.metadata.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let bad = |key: &str, e: serde_json::Error| Error::argument(format!("its metadata '{key}' cannot be read: {e}"));
    let [labels, preprocess, record] = KEYS;
    if let Some(text) = entry(labels) {
        model.labels = serde_json::from_str(text).map_err(|e| bad(labels, e))?;
    }
    if let Some(text) = entry(preprocess) {
        model.preprocess = serde_json::from_str(text).map_err(|e| bad(preprocess, e))?;
    }
    if let Some(text) = entry(record) {
        model.record = serde_json::from_str(text).map_err(|e| bad(record, e))?;
    } else {
        let producer = format!("{} {}", proto.producer, proto.producer_version);
        model.record.entries.insert("imported_from".into(), json!({ "format": "onnx", "producer": producer.trim() }));
    }
    Ok(())
}
