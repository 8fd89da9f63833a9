//! Evaluation: loss, accuracy and confusion matrix of a model on a data set.

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::data::{Dataset, Loader};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::parallel::Team;
use crate::session::{Machine, Session};
use crate::train::metrics::argmax;
use crate::train::{Confusion, Loss, Targets};

/// What an evaluation gave.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Mean loss.
    pub loss: f64,
    /// Which class was taken for which.
    pub confusion: Confusion,
    /// Whether each sample's most probable class is the right one, in the order of the set.
    pub right: Vec<bool>,
    /// Samples.
    pub samples: usize,
    /// Batches.
    pub steps: usize,
}

impl Evaluation {
    /// The share of samples whose most probable class is the right one.
    pub fn accuracy(&self) -> f64 {
        self.confusion.accuracy()
    }
}

/// How a model is evaluated.
#[derive(Debug, Clone, Copy)]
pub struct EvaluateConfig<'a> {
    /// The loss.
    pub loss: &'a Loss,
    /// Samples in a batch; Keras takes 32.
    pub batch_size: usize,
}

/// A batch that has been evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Batches so far, this one among them.
    pub done: usize,
    /// Batches in all.
    pub of: usize,
    /// The number of its first sample in the data set.
    pub first: usize,
    /// What the classes were chosen by, `[samples, classes]`.
    pub scores: &'a [f32],
    /// The labels of its samples.
    pub labels: &'a [u32],
}

/// Evaluates what a session holds on a data set. `progress(done, of)` is called after each batch.
///
/// # Errors
/// The data do not fit the network, or `progress` breaks off.
pub fn evaluate(
    session: &mut Session,
    data: &dyn Dataset,
    config: EvaluateConfig<'_>,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Evaluation> {
    evaluate_each(session, data, config, &mut |batch| Ok(progress(batch.done, batch.of)))
}

/// As [`evaluate`], and `watch` sees the answers of each batch, in the order of the data set.
///
/// # Errors
/// As [`evaluate`], or what `watch` fails with.
pub fn evaluate_each(
    session: &mut Session,
    data: &dyn Dataset,
    config: EvaluateConfig<'_>,
    watch: &mut dyn FnMut(Answered<'_>) -> Result<ControlFlow<()>>,
) -> Result<Evaluation> {
    check_fit(session.graph(), data)?;
    let classes = session.graph().output_shape()?.len();
    // A batch has no more samples than there are, nor room for them.
    let batch_size = config.batch_size.min(data.len().max(1));
    let loss = config.loss.compile(session.machine().isa, batch_size, classes, None)?;
    let mut per_sample = vec![0.0; batch_size];
    let mut confusion = Confusion::new(classes.max(2))?;
    let mut right = Vec::with_capacity(data.len());
    let loader = Loader::new(data, batch_size)?;
    let size = data.shape().len();
    let steps = loader.steps();
    let (mut sum, mut done) = (0.0, 0);
    let _ = loader.run(0, 0, |batch| {
        let (labels, valid) = (&batch.labels[..batch.valid], batch.valid);
        session.infer(&batch.x[..valid * size], valid)?;
        let x = if takes_logits(config.loss) { session.logits() } else { session.output() };
        sum += loss.forward(Team::solo(), &x, Targets::Classes(labels), valid, &mut per_sample[..valid]);
        let output = session.output();
        let scores = scores(&output, classes);
        confusion.add(&scores, labels)?;
        let rows = scores.chunks_exact(classes.max(2)).zip(labels);
        right.extend(rows.map(|(row, label)| argmax(row) == Some(*label as usize)));
        done += 1;
        watch(Answered { done, of: steps, first: (done - 1) * batch_size, scores: &scores, labels })
    })?;
    if done < steps {
        return Err(Error::new(
            crate::ErrorKind::Stopped,
            format!("evaluation was stopped after {done} of {steps} batches"),
        ));
    }
    Ok(Evaluation { loss: sum / data.len() as f64, confusion, right, samples: data.len(), steps })
}

impl Model {
    /// Evaluates this model on a data set, in batches of 32 as Keras does (E15).
    ///
    /// # Errors
    /// The data do not fit the network.
    pub fn evaluate(&self, data: &dyn Dataset) -> Result<Evaluation> {
        let mut session = Session::new(self, Machine::default())?;
        let config = EvaluateConfig { loss: &Loss::default(), batch_size: 32 };
        evaluate(&mut session, data, config, &mut |_, _| ControlFlow::Continue(()))
    }
}

// What the classes are chosen by: the outputs; one output `p` stands for the two classes `1 - p` and `p`.
fn scores(output: &[f32], classes: usize) -> Cow<'_, [f32]> {
    match classes {
        1 => output.iter().flat_map(|p| [1.0 - p, *p]).collect(),
        _ => Cow::Borrowed(output),
    }
}

/// Whether a loss reads the logits (what the head is applied to) rather than the output.
pub(super) fn takes_logits(loss: &Loss) -> bool {
    !matches!(loss, Loss::MeanSquaredError)
}

/// Checks that a data set fits a network: the shape of its samples, and the number of its classes.
pub(super) fn check_fit(graph: &crate::Graph, data: &dyn Dataset) -> Result<()> {
    let (want, have) = (graph.input_shape()?, data.shape());
    if want != have {
        return Err(Error::shape(format!("network '{}' takes {want}, but {} has {have}", graph.name(), data.name()))
            .with_help(format!("give the network the input {:?}, or resize the images", have.dims())));
    }
    if data.is_empty() {
        return Err(Error::argument(format!("{} holds no samples", data.name())).with_help("give at least one image"));
    }
    let (outputs, classes) = (graph.output_shape()?, data.classes().len());
    if outputs.rank() != 1 || (outputs.len() < classes && outputs.len() != 1) {
        return Err(Error::shape(format!(
            "network '{}' ends in {outputs}, but {} has {classes} classes",
            graph.name(),
            data.name()
        ))
        .with_help(format!("end the network with a dense layer of {classes} units")));
    }
    Ok(())
}
