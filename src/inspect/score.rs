//! Scores: how probable a network finds a class, for many samples.

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::model::Model;
use crate::ops::{Activation, Mode, Op};
use crate::session::{Machine, Session};

/// Samples that are run together.
const BATCH: usize = 8;

/// A network with one number for each class.
pub(super) struct Scorer {
    session: Session,
    head: Activation,
    sample: usize,
}

impl Scorer {
    pub fn new(model: &Model, machine: &Machine) -> Result<Self> {
        let sample = model.graph().input_shape()?.len();
        Ok(Self { session: Session::new(model, machine.clone())?, head: head(model.graph())?, sample })
    }

    /// The probability of each class for one sample.
    pub fn probabilities(&mut self, x: &[f32]) -> Result<Vec<f32>> {
        self.session.infer(x, 1)?;
        let y = self.session.output();
        finite(&y)?;
        Ok(probabilities(self.head, &y))
    }

    /// The score of a class before the softmax, for each sample of `[n, ..]`.
    pub fn logits(&mut self, x: &[f32], class: usize) -> Result<Vec<f32>> {
        self.each(x, |session, _, n| {
            let y = session.logits();
            y.chunks(y.len() / n).map(|y| y[class]).collect()
        })
    }

    /// The probability of a class for each sample of `[n, ..]`.
    pub fn of_class(&mut self, x: &[f32], class: usize) -> Result<Vec<f32>> {
        self.each(x, |session, head, n| {
            let y = session.output();
            y.chunks(y.len() / n).map(|y| probabilities(head, y)[class]).collect()
        })
    }

    // All runs have the same batch, so that one plan does; the last is filled up with what it has.
    fn each(&mut self, x: &[f32], read: impl Fn(&Session, Activation, usize) -> Vec<f32>) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(x.len() / self.sample);
        let batch = BATCH.min(x.len() / self.sample).max(1);
        for x in x.chunks(batch * self.sample) {
            let n = x.len() / self.sample;
            let mut full = x.to_vec();
            full.resize(batch * self.sample, 0.0);
            self.session.infer(&full, batch)?;
            all.extend(read(&self.session, self.head, batch).into_iter().take(n));
        }
        Ok(all)
    }
}

/// The number of classes: the outputs.
pub(super) fn classes(graph: &Graph) -> Result<usize> {
    Ok(graph.output_shape()?.len())
}

/// The class that was asked for, or the most probable one.
pub(super) fn class(asked: Option<usize>, probabilities: &[f32]) -> Result<usize> {
    match asked {
        Some(class) if class >= probabilities.len() => {
            Err(Error::argument(format!("the network has no class {class}"))
                .with_help(format!("classes are 0 to {}", probabilities.len() - 1)))
        }
        Some(class) => Ok(class),
        None => {
            let best = (0..probabilities.len()).max_by(|a, b| {
                // Of equal ones the first.
                probabilities[*a].total_cmp(&probabilities[*b]).then(b.cmp(a))
            });
            best.ok_or_else(|| Error::argument("the network has no output"))
        }
    }
}

/// An error where the input or the weights hold numbers that are none.
pub(super) fn finite(values: &[f32]) -> Result<()> {
    match values.iter().find(|v| !v.is_finite()) {
        None => Ok(()),
        Some(bad) => {
            Err(Error::new(crate::ErrorKind::Numeric, format!("the network's output is {bad}, and no number"))
                .with_help("its weights or the input hold numbers that went bad; `striate check` tells where"))
        }
    }
}

/// The probabilities of the classes from the outputs `y` of a network for one sample: as they are behind a softmax or a
/// sigmoid, else their softmax.
///
/// # Errors
/// The graph has no output.
pub fn class_probabilities(graph: &Graph, y: &[f32]) -> Result<Vec<f32>> {
    Ok(probabilities(head(graph)?, y))
}

// What the network ends with; views behind it do not count.
fn head(graph: &Graph) -> Result<Activation> {
    let mut at = graph.output()?;
    while graph.node(at).op.rule().is_view(Mode::Infer) && !graph.node(at).inputs.is_empty() {
        at = graph.node(at).inputs[0];
    }
    Ok(match &graph.node(at).op {
        Op::Activation(own) => own.function,
        op => op.activation(),
    })
}

// Networks without a head have their softmax here.
fn probabilities(head: Activation, y: &[f32]) -> Vec<f32> {
    match head {
        Activation::Softmax | Activation::Sigmoid => y.to_vec(),
        Activation::LogSoftmax => y.iter().map(|v| libm::exp(f64::from(*v)) as f32).collect(),
        _ if y.len() == 1 => y.to_vec(),
        _ => softmax(y),
    }
}

fn softmax(y: &[f32]) -> Vec<f32> {
    let largest = y.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = y.iter().map(|v| libm::exp(f64::from(v - largest))).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| (p / sum) as f32).collect()
}
