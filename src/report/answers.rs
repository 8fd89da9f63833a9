//! The answers of a model on a data set: what it gets wrong, the surest mistakes first, and what it gets right.

use std::ops::ControlFlow;

use crate::data::Dataset;
use crate::error::Result;
use crate::inspect::class_probabilities;
use crate::session::Session;
use crate::train::metrics::argmax;
use crate::train::{Answered, EvaluateConfig, Evaluation, evaluate_each};

/// One sample with what the model says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Its number in the data set, from 0.
    pub index: usize,
    /// Where it comes from, such as a file, if that is known.
    pub source: Option<String>,
    /// Its class.
    pub label: usize,
    /// The most probable class; none if the output is no number.
    pub predicted: Option<usize>,
    /// The probability of each class.
    pub probabilities: Vec<f32>,
}

impl Example {
    /// The probability of the class that was predicted; 1 where an output is no number, so that it counts as the worst.
    pub fn confidence(&self) -> f32 {
        self.predicted.map_or(1.0, |class| self.probabilities[class])
    }

    /// The probability of its own class.
    pub fn of_label(&self) -> f32 {
        self.probabilities.get(self.label).copied().unwrap_or(0.0)
    }

    /// Whether the answer is right.
    pub fn is_right(&self) -> bool {
        self.predicted == Some(self.label)
    }
}

/// The answers of a model on a data set.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Loss, accuracy and confusion matrix.
    pub evaluation: Evaluation,
    /// All mistakes, by how sure the model was, the surest first; of equal ones in the order of the set.
    pub mistakes: Vec<Example>,
    /// The first sample of each class that was answered right, in the order of the classes.
    pub right: Vec<Example>,
}

/// Asks what a session holds about each sample of a data set. `progress(done, of)` is called after each batch.
///
/// # Errors
/// As [`crate::train::evaluate`].
pub fn answers(
    session: &mut Session,
    data: &dyn Dataset,
    config: EvaluateConfig<'_>,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Answers> {
    let graph = session.graph().clone();
    let (mut mistakes, mut right) = (Vec::new(), vec![None; data.classes().len()]);
    let evaluation = evaluate_each(session, data, config, &mut |batch: Answered<'_>| {
        let classes = batch.scores.len() / batch.labels.len();
        for (i, (scores, label)) in batch.scores.chunks(classes).zip(batch.labels).enumerate() {
            let (label, predicted) = (*label as usize, argmax(scores));
            let example = || -> Result<Example> {
                let (index, probabilities) = (batch.first + i, class_probabilities(&graph, scores)?);
                Ok(Example { index, source: data.source(index), label, predicted, probabilities })
            };
            match right.get_mut(label) {
                _ if predicted != Some(label) => mistakes.push(example()?),
                Some(first @ None) => *first = Some(example()?),
                _ => {}
            }
        }
        Ok(progress(batch.done, batch.of))
    })?;
    mistakes.sort_by(|a, b| b.confidence().total_cmp(&a.confidence()).then(a.index.cmp(&b.index)));
    Ok(Answers { evaluation, mistakes, right: right.into_iter().flatten().collect() })
}
