//! From nodes to acts: what is really run.
//!
//! - Nodes that the output does not use are left out.
//! - Views (flatten, reshape, dropout at inference) are no act: their value is their input's.
//! - An activation that follows an op which can do it in passing is fused into it;
//!   one that an op cannot do in passing becomes an act of its own.
//! - The head, a softmax or sigmoid at the end, can be left to the loss.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, Mode, Op, fuses};
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
}

/// The acts in order, and the lanes between them.
#[derive(Debug, Default)]
pub(super) struct Lowered {
    pub acts: Vec<Act>,
    pub lanes: Vec<Lane>,
    /// The lane of each node; none for a node that is not used.
    pub of_node: Vec<Option<usize>>,
    /// What the head is applied to.
    pub logits: usize,
    /// The result; the same as `logits` where there is no head, or the loss takes it over.
    pub output: usize,
}

/// What is asked of [`lower`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub mode: Mode,
    /// Leave a final softmax or sigmoid to the loss.
    pub strip_head: bool,
    /// Keep each node's own value: nothing is fused across nodes.
    pub keep: bool,
}

pub(super) fn lower(graph: &Graph, ask: Ask) -> Result<Lowered> {
    let output = graph.output()?;
    let uses = count_uses(graph, output);
    let mut lowered = Lowered { of_node: vec![None; graph.nodes().len()], ..Lowered::default() };
    lowered.of_node[0] = Some(lowered.lane(graph.input_shape()?));
    for (i, node) in graph.nodes().iter().enumerate().skip(1).filter(|(i, _)| uses[*i] > 0) {
        let is_output = i == output.0;
        let x: Vec<usize> = node.inputs.iter().map(|v| lowered.of_node[v.0].expect("an input is used")).collect();
        let last = last_activation(&node.op);
        if is_output {
            lowered.logits = x[0];
        }
        let lane = if node.op.rule().is_view(ask.mode) {
            x[0]
        } else if is_output && ask.strip_head && is_head(last) {
            lowered.without_head(graph, Value(i), x)
        } else if !ask.keep && uses[node.inputs[0].0] == 1 && lowered.fuse(&node.op, x[0]) {
            x[0]
        } else {
            lowered.push(graph, Value(i), x)
        };
        lowered.of_node[i] = Some(lane);
        if is_output {
            lowered.output = lane;
            lowered.logits = lowered.before_head(lane);
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
        let y = self.lane(node.shape);
        let (op, shapes) = (Op::from(last), vec![node.shape]);
        self.acts.push(Act { node: value.0, op, x: vec![lane], shapes, y, shape: node.shape, has_params: false });
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
        self.acts.push(Act { node: value.0, op, x, shapes, y, shape: node.shape, has_params: true });
        y
    }

    // Merges an activation into the act that makes its only input, if that act can do it in passing.
    fn fuse(&mut self, op: &Op, x: usize) -> bool {
        let Op::Activation(activation) = op else { return false };
        let Some(before) = self.acts.iter_mut().find(|a| a.y == x) else { return false };
        if before.op.activation() != Activation::Linear || !fuses(activation.function) {
            return false;
        }
        match before.op.with_activation(activation.function) {
            Some(fused) => before.op = fused,
            None => return false,
        }
        true
    }

    fn before_head(&self, output: usize) -> usize {
        match self.acts.iter().find(|a| a.y == output) {
            Some(Act { op: Op::Activation(a), x, .. }) if is_head(a.function) => x[0],
            _ => output,
        }
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

// How often each node is read on the way to the output; the output itself counts as read once.
fn count_uses(graph: &Graph, output: Value) -> Vec<usize> {
    let mut uses = vec![0; graph.nodes().len()];
    uses[output.0] = 1;
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        if uses[i] > 0 {
            node.inputs.iter().for_each(|v| uses[v.0] += 1);
        }
    }
    uses
}
