//! What a plan decided, in words and numbers.

use std::fmt;

use super::adjoint::Back;
use super::lower::{Act, Lowered};
use super::requests::Requests;
use crate::graph::Graph;
use crate::ops::Compiled;
use crate::tensor::Shape;

/// What a plan decided.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One line for each act.
    pub lines: Vec<Line>,
    /// Bytes of all shared buffers and the scratch.
    pub bytes: usize,
}

/// What was decided for one act.
#[derive(Debug, Clone)]
pub struct Line {
    /// The layer.
    pub layer: String,
    /// The class of the op that is run.
    pub class: &'static str,
    /// What was chosen and why.
    pub notes: Vec<String>,
    /// The shape of its output.
    pub shape: Shape,
    /// What it takes, for one sample.
    pub work: LineWork,
}

/// What an act takes, for one sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineWork {
    /// Multiply-adds of the forward pass.
    pub mul_adds: u64,
    /// Numbers that it reads, those of all inputs together.
    pub reads: usize,
    /// Numbers that it writes.
    pub writes: usize,
    /// Its parameters, which all samples share.
    pub params: usize,
    /// Whether it computes a gradient to an input.
    pub dx: bool,
    /// Whether it computes a gradient to its parameters.
    pub dw: bool,
}

/// What a report is made of.
pub(super) struct Made<'a> {
    pub lowered: &'a Lowered,
    pub compiled: &'a [Compiled],
    pub backs: &'a [Back],
    pub requests: &'a Requests,
}

impl Report {
    pub(super) fn new(graph: &Graph, made: &Made<'_>, buffers: &[usize]) -> Self {
        let Made { lowered, compiled, backs, requests } = *made;
        let line = |(i, (act, compiled)): (usize, (&Act, &Compiled))| {
            let again = requests.again[act.y].map(|id| {
                let bytes = requests.all[id].len * size_of::<f32>();
                format!("its {:.1} MB are computed once more in backward, not kept", bytes as f64 / 1e6)
            });
            Line {
                layer: graph.nodes()[act.node].name.clone(),
                class: act.op.rule().class(),
                notes: act.passing.notes.iter().chain(&compiled.notes).cloned().chain(again).collect(),
                shape: act.shape,
                work: work(graph, lowered, act, backs.iter().find(|back| back.act == i)),
            }
        };
        let lines = lowered.acts.iter().zip(compiled).enumerate().map(line).collect();
        Self { lines, bytes: buffers.iter().sum::<usize>() * size_of::<f32>() }
    }
}

fn work(graph: &Graph, lowered: &Lowered, act: &Act, back: Option<&Back>) -> LineWork {
    let specs: Vec<_> = act.owners().flat_map(|node| graph.params(&graph.nodes()[node])).collect();
    LineWork {
        mul_adds: act.mul_adds(),
        reads: act.x.iter().map(|lane| lowered.lanes[*lane].len).sum(),
        writes: lowered.lanes[act.y].len,
        params: specs.iter().map(|p| p.len()).sum(),
        dx: back.is_some_and(|back| back.dx.iter().any(Option::is_some)),
        dw: back.is_some() && specs.iter().any(|p| p.trainable),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{:<24} {:<20} {}", line.layer, line.class, line.notes.join("; "))?;
        }
        write!(f, "shared buffers: {:.1} MB", self.bytes as f64 / 1e6)
    }
}
