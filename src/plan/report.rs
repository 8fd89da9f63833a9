//! What a plan decided, in words and numbers.

use std::fmt;

use super::lower::Lowered;
use super::requests::Requests;
use crate::graph::Graph;
use crate::ops::Compiled;

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
}

impl Report {
    pub(super) fn new(
        graph: &Graph,
        lowered: &Lowered,
        compiled: &[Compiled],
        requests: &Requests,
        buffers: &[usize],
    ) -> Self {
        let line = |(act, compiled): (&super::lower::Act, &Compiled)| {
            let again = requests.again[act.y].map(|id| {
                let bytes = requests.all[id].len * size_of::<f32>();
                format!("its {:.1} MB are computed once more in backward, not kept", bytes as f64 / 1e6)
            });
            Line {
                layer: graph.nodes()[act.node].name.clone(),
                class: act.op.rule().class(),
                notes: act.passing.notes.iter().chain(&compiled.notes).cloned().chain(again).collect(),
            }
        };
        let lines = lowered.acts.iter().zip(compiled).map(line).collect();
        Self { lines, bytes: buffers.iter().sum::<usize>() * size_of::<f32>() }
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
