//! What an act does in passing, so that it is no act of its own.
//!
//! ```text
//! y = f(line(op(x)) + residual)
//! ```
//!
//! - an activation behind an op that can apply it as it writes its output;
//! - at inference, a batch normalisation or affine layer behind a convolution or dense layer: it is folded into the
//!   weights;
//! - a sum of two values, if the act that makes one of them can add the other: the one that runs last is asked first.
//!
//! Each needs that nobody else reads what the act would have written.

use super::lower::{Act, Lowered};
use crate::graph::{Graph, Node, Value};
use crate::ops::{Activation, Fuses, Mode, Op, fuses};

/// What an act does in passing.
#[derive(Debug, Clone, Default)]
pub(super) struct Passing {
    /// The nodes that are folded into its weights, in order, and their ops.
    pub folded: Vec<usize>,
    pub lines: Vec<Op>,
    /// Whether the last of its inputs is added.
    pub residual: bool,
    /// Applied last.
    pub activation: Activation,
    /// The same in words.
    pub notes: Vec<String>,
}

impl Act {
    // What it can still do behind all that it does already.
    fn can(&self, mode: Mode) -> Fuses {
        let passing = &self.passing;
        if self.op.activation() != Activation::Linear || passing.activation != Activation::Linear {
            return Fuses::default();
        }
        let Fuses { lines, residual, activation } = self.op.rule().fuses(&self.shapes, mode);
        Fuses { lines: lines && !passing.residual, residual: residual && !passing.residual, activation }
    }
}

impl Lowered {
    /// The lane of a node that an earlier act computes in passing; none if no act can.
    pub fn fuse(&mut self, graph: &Graph, uses: &[usize], value: Value, x: &[usize], mode: Mode) -> Option<usize> {
        let node = graph.node(value);
        let alone = |i: usize| is_read_once(graph, uses, node, i, mode);
        match &node.op {
            Op::Activation(op) if alone(0) => self.fuse_activation(node, op.function, x[0], mode),
            Op::Add(_) if x.len() == 2 => self.fuse_sum(graph, node, x, [alone(0), alone(1)], mode),
            op if op.rule().as_line().is_some() && alone(0) => self.fuse_line(value, node, x[0], mode),
            _ => None,
        }
    }

    fn maker(&self, lane: usize) -> Option<usize> {
        self.acts.iter().position(|act| act.y == lane)
    }

    fn fuse_activation(&mut self, node: &Node, function: Activation, x: usize, mode: Mode) -> Option<usize> {
        let act = self.maker(x)?;
        let act = &mut self.acts[act];
        if !act.can(mode).activation || !fuses(function) {
            return None;
        }
        act.passing.activation = function;
        act.passing.notes.push(format!("applies '{}' ({function}) in passing", node.name));
        Some(x)
    }

    fn fuse_line(&mut self, value: Value, node: &Node, x: usize, mode: Mode) -> Option<usize> {
        let act = self.maker(x)?;
        let act = &mut self.acts[act];
        if !act.can(mode).lines || act.shape.channels() != node.shape.channels() {
            return None;
        }
        act.passing.folded.push(value.0);
        act.passing.lines.push(node.op.clone());
        act.passing.notes.push(format!("'{}' is folded into the weights", node.name));
        Some(x)
    }

    fn fuse_sum(&mut self, graph: &Graph, node: &Node, x: &[usize], alone: [bool; 2], mode: Mode) -> Option<usize> {
        if node.inputs.iter().any(|input| graph.shape(*input) != node.shape) {
            return None;
        }
        let makers = [0, 1].map(|i| self.maker(x[i]));
        let able = |i: usize| {
            let act = makers[i].filter(|_| alone[i])?;
            // The other value must be there when the act runs; the input of the network, which no act makes, is.
            let fits = self.acts[act].can(mode).residual && makers[1 - i].is_none_or(|other| other < act);
            fits.then_some((act, i))
        };
        let (act, i) = [0, 1].into_iter().filter_map(able).max()?;
        let other = &graph.node(node.inputs[1 - i]).name;
        let act = &mut self.acts[act];
        act.x.push(x[1 - i]);
        act.shapes.push(act.shape);
        act.passing.residual = true;
        act.passing.notes.push(format!("adds '{other}' in passing, which is '{}'", node.name));
        Some(x[i])
    }
}

// Whether a node alone reads its input `i`, also where that is a view of a value.
fn is_read_once(graph: &Graph, uses: &[usize], node: &Node, i: usize, mode: Mode) -> bool {
    let Some(at) = node.inputs.get(i) else { return true };
    let before = graph.node(*at);
    uses[at.0] == 1 && (!before.op.rule().is_view(mode) || is_read_once(graph, uses, before, 0, mode))
}
