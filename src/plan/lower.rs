//! From nodes to acts: what is really run.
//!
//! - Nodes that no output uses are left out; the outputs are the network's own and, in training, the heads.
//! - Views (flatten, reshape, dropout at inference) are no act: their value is their input's.
//! - What the op before can do in passing is no act of its own ([`fuse`](super::fuse)): activations, sums,
//!   batch normalisation at inference. An activation that an op cannot do in passing becomes an act of its own.
//! - A softmax or sigmoid at the end of an output can be left to the loss.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::ops::{Activation, Mode, Op, fuses};
use crate::plan::fuse::Passing;
use crate::tensor::Shape;

/// A value while the plan is made: its number of elements for one sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    pub len: usize,
}

/// One thing to run.
#[derive(Debug, Clone)]
pub(super) struct Act {
    /// The node it belongs to.
    pub node: usize,
    pub op: Op,
    /// The lanes it reads, with their shapes as this op sees them.
    pub x: Vec<usize>,
    pub shapes: Vec<Shape>,
    /// The lane it writes.
    pub y: usize,
    pub shape: Shape,
    /// Whether it owns the node's parameters (an activation split off does not).
    pub has_params: bool,
    /// What it does in passing.
    pub passing: Passing,
    /// The acts before it that are run together with it, in order; `x` holds what the first of them reads, then what
    /// else this one does.
    pub links: Vec<Self>,
}

impl Act {
    /// The nodes whose parameters it reads, in the order in which its step numbers them.
    pub fn owners(&self) -> impl Iterator<Item = usize> {
        let of = |act: &Self| {
            let own = act.has_params.then_some(act.node);
            own.into_iter().chain(act.passing.folded.clone())
        };
        self.links.iter().chain([self]).flat_map(of)
    }

    /// Multiply-adds of one sample.
    pub fn mul_adds(&self) -> u64 {
        self.links.iter().chain([self]).map(|act| act.op.rule().mul_adds(&act.shapes, act.shape)).sum()
    }
}

/// The acts in order, and the lanes between them.
#[derive(Debug, Default)]
pub(super) struct Lowered {
    pub acts: Vec<Act>,
    pub lanes: Vec<Lane>,
    /// The lane of each node; none for a node that is not used.
    pub of_node: Vec<Option<usize>>,
    /// The outputs: the network's own, then the heads.
    pub ends: Vec<End>,
}

/// An output, as the loss sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// What the final softmax or sigmoid is applied to.
    pub logits: usize,
    /// The result; the same as `logits` where there is no such function, or the loss takes it over.
    pub output: usize,
    /// What its loss is multiplied by.
    pub weight: f32,
}

/// What is asked of [`lower`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub mode: Mode,
    /// Leave a final softmax or sigmoid to the loss.
    pub strip_head: bool,
    /// Keep each node's own value, those of the heads too: nothing is fused across nodes.
    pub keep: bool,
}

impl Ask {
    // The outputs with their weights.
    fn ends(self, graph: &Graph) -> Result<Vec<(Value, f32)>> {
        let heads = if self.keep || self.mode == Mode::Train { graph.heads() } else { &[] };
        Ok(std::iter::once((graph.output()?, 1.0)).chain(heads.iter().map(|h| (h.value, h.weight))).collect())
    }
}

pub(super) fn lower(graph: &Graph, ask: Ask) -> Result<Lowered> {
    let ends = ask.ends(graph)?;
    let outputs: Vec<Value> = ends.iter().map(|(value, _)| *value).collect();
    let uses = graph.count_uses(&outputs);
    let mut lowered = Lowered { of_node: vec![None; graph.nodes().len()], ..Lowered::default() };
    lowered.of_node[0] = Some(lowered.lane(graph.input_shape()?));
    let mut results = vec![0; ends.len()];
    for (i, node) in graph.nodes().iter().enumerate().skip(1).filter(|(i, _)| uses[*i] > 0) {
        let x: Vec<usize> = node.inputs.iter().map(|v| lowered.of_node[v.0].expect("an input is used")).collect();
        let end = outputs.iter().position(|v| v.0 == i);
        let last = last_activation(&node.op);
        let (lane, result) = if node.op.rule().is_view(ask.mode) {
            (x[0], x[0])
        } else if end.is_some() && ask.strip_head && is_head(last) {
            let logits = lowered.without_head(graph, Value(i), x);
            // Other layers may read what the loss does not.
            let lane = if uses[i] == 1 { logits } else { lowered.activation(graph, Value(i), last, logits) };
            (lane, logits)
        } else if let Some(lane) = (!ask.keep).then(|| lowered.fuse(graph, &uses, Value(i), &x, ask.mode)).flatten() {
            (lane, lane)
        } else {
            let lane = lowered.push(graph, Value(i), x);
            (lane, lane)
        };
        lowered.of_node[i] = Some(lane);
        if let Some(end) = end {
            results[end] = result;
        }
    }
    lowered.ends = results.iter().zip(&ends).map(|(result, (_, weight))| lowered.end(*result, *weight)).collect();
    if ask.mode == Mode::Train {
        lowered.check_ends(graph, &outputs)?;
        if !ask.keep {
            lowered.mask(graph);
        }
    }
    Ok(lowered)
}

impl Lowered {
    fn lane(&mut self, shape: Shape) -> usize {
        self.lanes.push(Lane { len: shape.len() });
        self.lanes.len() - 1
    }

    // One act for the op, and one more for an activation that it cannot do in passing.
    fn push(&mut self, graph: &Graph, value: Value, x: Vec<usize>) -> usize {
        let node = graph.node(value);
        let last = node.op.activation();
        if fuses(last) {
            return self.act(graph, value, node.op.clone(), x);
        }
        let linear = node.op.with_activation(Activation::Linear).expect("an op with an activation");
        let lane = self.act(graph, value, linear, x);
        self.activation(graph, value, last, lane)
    }

    // The activation of a node as an act of its own.
    fn activation(&mut self, graph: &Graph, value: Value, function: Activation, x: usize) -> usize {
        let shape = graph.shape(value);
        let y = self.lane(shape);
        let (op, shapes) = (Op::from(function), vec![shape]);
        self.acts.push(Act {
            node: value.0,
            op,
            x: vec![x],
            shapes,
            y,
            shape,
            has_params: false,
            passing: Passing::default(),
            links: Vec::new(),
        });
        y
    }

    fn without_head(&mut self, graph: &Graph, value: Value, x: Vec<usize>) -> usize {
        match graph.node(value).op.with_activation(Activation::Linear) {
            Some(linear) => self.act(graph, value, linear, x),
            None => x[0],
        }
    }

    fn act(&mut self, graph: &Graph, value: Value, op: Op, x: Vec<usize>) -> usize {
        let node = graph.node(value);
        let (y, shapes) = (self.lane(node.shape), graph.input_shapes(node));
        let (passing, links) = (Passing::default(), Vec::new());
        self.acts.push(Act { node: value.0, op, x, shapes, y, shape: node.shape, has_params: true, passing, links });
        y
    }

    fn end(&self, output: usize, weight: f32) -> End {
        let logits = match self.acts.iter().find(|a| a.y == output) {
            Some(Act { op: Op::Activation(a), x, .. }) if is_head(a.function) => x[0],
            _ => output,
        };
        End { logits, output, weight }
    }

    // Each output has a gradient of its own, which its loss writes.
    fn check_ends(&self, graph: &Graph, outputs: &[Value]) -> Result<()> {
        for (i, end) in self.ends.iter().enumerate() {
            if let Some(other) = self.ends[..i].iter().position(|e| e.output == end.output) {
                let name = |i: usize| &graph.node(outputs[i]).name;
                return Err(Error::argument(format!("'{}' and '{}' are the same output", name(other), name(i)))
                    .with_help("give the head a layer of its own"));
            }
        }
        Ok(())
    }
}

fn last_activation(op: &Op) -> Activation {
    match op {
        Op::Activation(a) => a.function,
        other => other.activation(),
    }
}

pub(super) fn is_head(activation: Activation) -> bool {
    matches!(activation, Activation::Softmax | Activation::Sigmoid)
}
