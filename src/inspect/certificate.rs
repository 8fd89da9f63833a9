//! The certificate of correctness: every operation of *your* network against its literal formula.
//!
//! Each layer runs alone, in f32, on the network's weights and on the values
//! that reach it in the network. Its twin runs beside it in f64; gradients are
//! compared with finite differences of the twin. See [`crate::ops::check`].

use crate::error::{Error, Result};
use crate::graph::{Graph, Node};
use crate::model::Model;
use crate::ops::check::{Numbers, Options, Report, check_on};
use crate::ops::{Activation, Mode, Op, fuses};
use crate::rng::Rng;
use crate::session::{Machine, Session};

// Two samples are enough, but not for a batch normalisation of one pixel a sample: of two numbers it makes -1 and 1
// whatever they are, the true gradient is almost nothing, and its f32 rounding is all that is left.
fn batch(graph: &Graph) -> usize {
    let is_single = |n: &Node| matches!(n.op, Op::BatchNorm(_)) && n.shape.len() == n.shape.channels();
    if graph.nodes().iter().any(is_single) { 5 } else { 2 }
}

/// How a network is checked.
#[derive(Debug, Clone)]
pub struct CheckConfig {
    /// Elements of each tensor to try by finite differences.
    pub samples: usize,
    /// Seed of the input and of the directions.
    pub seed: u64,
    /// The machine.
    pub machine: Machine,
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self { samples: 24, seed: 0, machine: Machine::default() }
    }
}

/// What was found for one layer. Errors are relative to the largest true value of their tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The layer.
    pub layer: String,
    /// Its class.
    pub class: &'static str,
    /// Error of the output.
    pub y: f64,
    /// Largest error of a gradient to an input.
    pub dx: Option<f64>,
    /// Largest error of a gradient to a parameter.
    pub dw: Option<f64>,
    /// What rounding alone may cost; see `tolerance`.
    pub tolerance: f64,
    /// Whether all errors are within the tolerance.
    pub passed: bool,
}

/// What was found for all layers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Certificate {
    /// One line for each operation that computes.
    pub lines: Vec<Line>,
}

impl Certificate {
    /// Whether all operations are right.
    pub fn passed(&self) -> bool {
        self.lines.iter().all(|l| l.passed)
    }

    /// The largest error.
    pub fn worst(&self) -> f64 {
        self.lines.iter().flat_map(|l| [Some(l.y), l.dx, l.dw]).flatten().fold(0.0, f64::max)
    }
}

/// Checks every operation of a model; `progress` is called with each line.
///
/// # Errors
/// The network cannot be run, or no sample of a gradient is to be tried.
pub fn certificate(model: &Model, config: &CheckConfig, progress: &mut dyn FnMut(&Line)) -> Result<Certificate> {
    if config.samples == 0 {
        return Err(Error::argument("with 0 samples no gradient would be tried").with_help("give at least 1"));
    }
    let mut session = Session::new(model, config.machine.clone())?;
    let mut rng = Rng::new(config.seed).split("certificate");
    let batch = batch(model.graph());
    let x: Vec<f32> = (0..batch * model.graph().input_shape()?.len()).map(|_| rng.uniform()).collect();
    session.look(&x, batch)?;
    let mut certificate = Certificate::default();
    let mut first = 0;
    for node in model.graph().nodes() {
        let count = model.graph().params(node).len();
        let params = first..first + count;
        first += count;
        for (name, op) in acts(node) {
            let own = if name.is_empty() { params.clone() } else { 0..0 };
            let report = check_node(model, &mut session, config, &Act { node, op: &op, params: own, batch })?;
            let line = line(format!("{}{name}", node.name), &op, &report, tolerance(model, node, batch));
            progress(&line);
            certificate.lines.push(line);
        }
    }
    Ok(certificate)
}

struct Act<'a> {
    node: &'a Node,
    op: &'a Op,
    params: std::ops::Range<usize>,
    batch: usize,
}

// What a node computes: nothing for a view, and two acts where its activation is one of its own.
fn acts(node: &Node) -> Vec<(&'static str, Op)> {
    if node.op.rule().is_view(Mode::Train) {
        return Vec::new();
    }
    let last = node.op.activation();
    match node.op.with_activation(Activation::Linear) {
        Some(linear) if !fuses(last) => vec![("", linear), (" (activation)", Op::from(last))],
        _ => vec![("", node.op.clone())],
    }
}

fn check_node(model: &Model, session: &mut Session, config: &CheckConfig, act: &Act<'_>) -> Result<Report> {
    let graph = model.graph();
    let is_split = matches!(act.op, Op::Activation(_)) && !matches!(act.node.op, Op::Activation(_));
    let shapes = if is_split { vec![act.node.shape] } else { graph.input_shapes(act.node) };
    let mut rng = Rng::new(config.seed).split(&act.node.name);
    let x = if is_split {
        // What reaches a split activation is not kept: any numbers of its shape do.
        vec![(0..act.batch * act.node.shape.len()).map(|_| rng.normal() as f32).collect()]
    } else {
        act.node.inputs.iter().map(|v| Ok(session.value(&graph.node(*v).name)?.into_data())).collect::<Result<_>>()?
    };
    let w = act.params.clone().map(|i| model.params()[i].data.to_vec()).collect();
    let dy = (0..act.batch * act.node.shape.len()).map(|_| rng.normal() as f32).collect();
    let options = Options {
        batch: act.batch,
        mode: Mode::Train,
        isa: config.machine.isa,
        threads: session.machine().threads,
        seed: config.seed,
        samples: config.samples,
        algorithm: config.machine.algorithm.as_deref(),
    };
    check_on(act.op.rule(), &shapes, options, &Numbers { x, w, dy })
}

fn line(layer: String, op: &Op, report: &Report, tolerance: f64) -> Line {
    let largest = |errors: &mut dyn Iterator<Item = f64>| errors.reduce(f64::max);
    let (dx, dw) = (largest(&mut report.dx.iter().copied()), largest(&mut report.dw.iter().map(|d| d.1)));
    let passed = report.worst() <= tolerance;
    Line { layer, class: op.rule().class(), y: report.y, dx, dw, tolerance, passed }
}

/// What rounding alone may cost: the error of a sum of `n` f32 terms grows like `sqrt(n)` half-ulps for random signs,
/// taken tenfold, and at least 2e-5 (functions such as exp, and the division by a small variance in normalisation).
fn tolerance(model: &Model, node: &Node, batch: usize) -> f64 {
    let graph = model.graph();
    let inputs: usize = graph.input_shapes(node).iter().map(crate::Shape::len).sum();
    let outputs = node.shape.len();
    let terms = batch * inputs.max(outputs);
    (10.0 * (terms as f64).sqrt() * f64::from(f32::EPSILON) / 2.0).max(2e-5)
}
