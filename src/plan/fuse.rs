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
//! - in training, a pool behind a ReLU masks the gradient by which winners were flat, of which there is one an output; the
//!   layer that applied the ReLU need not read all it wrote once more, nor keep it.
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
    /// Whether the gradient of its activation is left to the one act that reads its output.
    pub masked: bool,
    /// The activation before it whose gradient it applies.
    pub masks: Activation,
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
        let can = self.op.rule().fuses(&self.shapes, mode);
        let (lines, residual) = (can.lines && !passing.residual, can.residual && !passing.residual);
        Fuses { lines, residual, ..can }
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

    /// In training, leaves the gradients of ReLUs to the pools behind them.
    pub fn mask(&mut self, graph: &Graph) {
        for i in 0..self.acts.len() {
            let Some((maker, function)) = self.mask_of(i) else { continue };
            let name = &graph.nodes()[self.acts[maker].node].name;
            let pool = &mut self.acts[i].passing;
            pool.masks = function;
            pool.notes.push(format!("applies the gradient of the {function} of '{name}' in passing"));
            self.acts[maker].passing.masked = true;
        }
    }

    // Whose activation's gradient act `i` can apply, and which activation that is.
    fn mask_of(&self, i: usize) -> Option<(usize, Activation)> {
        let able = |act: &Act| act.op.rule().fuses(&act.shapes, Mode::Train);
        let (pool, lane) = (&self.acts[i], *self.acts[i].x.first()?);
        let is_end = self.ends.iter().any(|end| end.output == lane || end.logits == lane);
        let readers = self.acts.iter().filter(|act| act.x.contains(&lane)).count();
        if !able(pool).masks || is_end || readers != 1 {
            return None;
        }
        let at = self.maker(lane)?;
        let maker = &self.acts[at];
        let function = match maker.op.activation() {
            Activation::Linear => maker.passing.activation,
            own => own,
        };
        let is_relu = matches!(function, Activation::Relu | Activation::Relu6);
        (able(maker).masked && is_relu).then_some((at, function))
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
