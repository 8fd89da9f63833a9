//! A few layers of a model, cut out and run alone on given numbers.
//!
//! This is what a guess is tested on: the layer that deviates, fed with the input that the other model's layer had.

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Value};
use crate::model::Model;
use crate::ops::check::{Numbers, Options, run};
use crate::ops::{Activation, Mode, Op, Rule, fuses};
use crate::session::Machine;
use crate::tensor::Shape;

use super::align::{Block, Role, role, source};

/// A batch of values.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// Of one sample.
    pub shape: Shape,
    /// Of all samples.
    pub data: Vec<f32>,
}

/// An op with its weights.
#[derive(Debug, Clone)]
pub(super) struct Act {
    /// The layer's name.
    pub layer: String,
    /// What it is to its block.
    pub role: Role,
    /// The op.
    pub op: Op,
    /// Its parameters: name, axes, weights.
    pub params: Vec<(String, Vec<usize>, Vec<f32>)>,
}

/// Acts in a row; the first may have several inputs, each brought there by layers that only move numbers.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// For each input of the first act, what is done to it before.
    pub leads: Vec<Vec<Act>>,
    /// What is computed.
    pub acts: Vec<Act>,
    /// The shape in which each input is expected.
    pub expects: Vec<Shape>,
}

impl Piece {
    /// The acts of a block from `from` to `to`, both among them.
    pub fn of(model: &Model, block: &Block, from: usize, to: usize) -> Self {
        let graph = model.graph();
        let nodes = graph.nodes();
        let first = &nodes[block.stages[from].node];
        let sources: Vec<usize> = first.inputs.iter().map(|v| source(graph, *v)).collect();
        let leads = first.inputs.iter().map(|v| lead(model, *v)).collect();
        // Several stages may lie in one layer, and passive layers between two of them.
        let mut acts: Vec<Act> = Vec::new();
        let mut before = None;
        for stage in &block.stages[from..=to] {
            if before == Some(stage.node) {
                continue;
            }
            if before.is_some() {
                acts.extend(lead(model, nodes[stage.node].inputs[0]));
            }
            acts.push(act(model, stage.node, stage.role));
            before = Some(stage.node);
        }
        Self { leads, acts, expects: sources.iter().map(|s| nodes[*s].shape).collect() }
    }

    /// Runs on one batch of values for each input.
    pub fn run(&self, inputs: &[Batch], batch: usize, machine: &Machine) -> Result<Batch> {
        if inputs.len() != self.leads.len() {
            return Err(Error::shape(format!("{} inputs, not {}", self.leads.len(), inputs.len())));
        }
        let mut x = Vec::new();
        for ((input, lead), expect) in inputs.iter().zip(&self.leads).zip(&self.expects) {
            // [1, 1, c] of one model may be [c] of the other.
            let shape = if expect.len() == input.shape.len() { *expect } else { input.shape };
            let mut value = Batch { shape, data: input.data.clone() };
            for act in lead {
                value = act.run(&[value], batch, machine)?;
            }
            x.push(value);
        }
        for act in &self.acts {
            x = vec![act.run(&x, batch, machine)?];
        }
        x.pop().ok_or_else(|| Error::argument("nothing to run"))
    }
}

impl Act {
    /// Runs the op on these inputs, its activation last.
    fn run(&self, x: &[Batch], batch: usize, machine: &Machine) -> Result<Batch> {
        let shapes: Vec<Shape> = x.iter().map(|x| x.shape).collect();
        let w: Vec<Vec<f32>> = self.params.iter().map(|p| p.2.clone()).collect();
        let specs = self.op.rule().params(&shapes);
        if specs.iter().map(|s| &s.dims).ne(self.params.iter().map(|p| &p.1)) {
            return Err(Error::shape(format!("layer '{}': the weights do not fit", self.layer)));
        }
        let last = self.op.activation();
        let apart = self.op.with_activation(Activation::Linear).filter(|_| !fuses(last));
        let op = apart.as_ref().unwrap_or(&self.op);
        let x: Vec<Vec<f32>> = x.iter().map(|x| x.data.clone()).collect();
        let y = forward(op.rule(), &shapes, Numbers { x, w, dy: Vec::new() }, batch, machine)?;
        if apart.is_none() {
            return Ok(y);
        }
        let numbers = Numbers { x: vec![y.data], w: Vec::new(), dy: Vec::new() };
        forward(Op::from(last).rule(), &[y.shape], numbers, batch, machine)
    }
}

fn forward(rule: &dyn Rule, shapes: &[Shape], numbers: Numbers, batch: usize, machine: &Machine) -> Result<Batch> {
    let shape = rule.shape(shapes)?;
    let options = Options {
        batch,
        mode: Mode::Infer,
        isa: machine.isa,
        threads: machine.threads,
        algorithm: machine.algorithm.as_deref(),
        ..Options::default()
    };
    Ok(Batch { shape, data: run(rule, shapes, options, &numbers)?.y })
}

/// A layer as an act.
pub(super) fn act(model: &Model, node: usize, role: Role) -> Act {
    let Node { name, op, .. } = &model.graph().nodes()[node];
    let own = format!("{name}/");
    let params = model.params().iter().filter_map(|p| {
        let short = p.name.strip_prefix(&own)?;
        Some((short.to_string(), p.dims.clone(), p.data.to_vec()))
    });
    Act { layer: name.clone(), role, op: op.clone(), params: params.collect() }
}

// The passive layers that lead to a value, in order.
fn lead(model: &Model, value: Value) -> Vec<Act> {
    let graph: &Graph = model.graph();
    let mut acts = Vec::new();
    let mut at = value.0;
    while let (Role::Passive, [one]) = (role(&graph.nodes()[at].op), &graph.nodes()[at].inputs[..]) {
        acts.push(act(model, at, Role::Passive));
        at = one.0;
    }
    acts.reverse();
    acts
}
