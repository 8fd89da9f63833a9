//! Which layers run strip by strip at inference, as one act: a depthwise convolution with the layers around it.
//!
//! Each of them must be the only one to read what the one before it writes. All three together are asked for first, then
//! the first two.

use super::PlanConfig;
use super::lower::{Act, Lowered};
use crate::graph::Graph;
use crate::ops::chain::{Member, Members};
use crate::ops::{Compiled, Conv2D, Mode, Op};

impl Act {
    // As a layer of a chain.
    fn member(&self) -> Option<Member<'_>> {
        let Op::Conv2D(op) = &self.op else { return None };
        Some(Member { op, x: *self.shapes.first()?, lines: &self.passing.lines, activation: self.passing.activation })
    }

    fn conv(&self) -> Option<&Conv2D> {
        if let Op::Conv2D(op) = &self.op { Some(op) } else { None }
    }

    /// The step of an act that stands for a chain of layers.
    pub fn compile_chain(&self, config: &PlanConfig) -> Result<Compiled, String> {
        let members = self.links.iter().chain([self]).map(|act| act.member().ok_or("a layer is no convolution"));
        let members = members.collect::<Result<Vec<_>, _>>()?;
        let (residual, &PlanConfig { batch, isa, threads, .. }) = (self.passing.residual, config);
        Members { all: &members, residual, batch, isa, threads }.compile()
    }
}

impl Lowered {
    /// Makes one act of each chain that runs faster so.
    pub fn chain(&mut self, graph: &Graph, config: &PlanConfig) {
        if config.mode != Mode::Infer || config.keep || config.algorithm.is_some() {
            return;
        }
        let mut at = 0;
        while at < self.acts.len() {
            let chain = self.around(at).into_iter().find(|chain| chain.compile_chain(config).is_ok());
            match chain {
                Some(chain) => at = self.replace(graph, chain),
                None => at += 1,
            }
        }
    }

    // The chains around act `at`, the longest first; none unless it is a depthwise convolution.
    fn around(&self, at: usize) -> Vec<Act> {
        let act = &self.acts[at];
        let is_depthwise = |op: &Conv2D| op.groups > 1 && op.groups == op.filters;
        if !act.conv().is_some_and(is_depthwise) || act.passing.residual || !act.links.is_empty() {
            return Vec::new();
        }
        let is_first = |a: &&Act| a.y == act.x[0] && a.links.is_empty() && a.conv().is_some() && !a.passing.residual;
        let before = self.acts[..at].iter().find(is_first);
        let Some(before) = before.filter(|a| self.is_read_once(a.y)) else { return Vec::new() };
        let after = self.acts[at + 1..].iter().find(|a| a.x[0] == act.y && is_1x1(a) && self.is_read_once(act.y));
        let join = |links: &[&Act], last: &Act| {
            let links: Vec<Act> = links.iter().map(|act| (*act).clone()).collect();
            let x = before.x.iter().chain(&last.x[1..]).copied().collect();
            Act { x, links, ..last.clone() }
        };
        after.map(|after| join(&[before, act], after)).into_iter().chain([join(&[before], act)]).collect()
    }

    // Puts a chain in the place of its last act; gives the place of the act behind it.
    fn replace(&mut self, graph: &Graph, mut chain: Act) -> usize {
        let names: Vec<String> = chain.links.iter().map(|a| format!("'{}'", graph.nodes()[a.node].name)).collect();
        chain.passing.notes.push(format!("runs {} too, strip by strip", names.join(" and ")));
        let gone: Vec<usize> = chain.links.iter().map(|act| act.y).collect();
        for lane in &gone {
            // Nobody writes it, and nobody reads it.
            self.lanes[*lane].len = 0;
        }
        let last = chain.y;
        self.acts.retain(|act| !gone.contains(&act.y));
        let at = self.acts.iter().position(|act| act.y == last).unwrap_or(0);
        self.acts[at] = chain;
        at + 1
    }

    // Whether one act alone reads a lane, once, and it is no output.
    fn is_read_once(&self, lane: usize) -> bool {
        let reads = self.acts.iter().flat_map(|act| &act.x).filter(|x| **x == lane).count();
        reads == 1 && !self.ends.iter().any(|end| end.output == lane || end.logits == lane)
    }
}

fn is_1x1(act: &Act) -> bool {
    act.links.is_empty() && act.conv().is_some_and(|op| op.kernel == [1, 1] && op.groups == 1)
}
