//! The three kinds of accuracy. They differ in which answers are counted, so each has its name and its interval.

use super::Run;
use crate::error::{Error, Result};
use crate::train::metrics::wilson;
use crate::train::{EpochLog, Evaluation};

/// A share of right answers, and which answers they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Its name.
    pub name: &'static str,
    /// Which answers were counted.
    pub what: String,
    /// Right answers.
    pub correct: usize,
    /// All answers.
    pub samples: usize,
    /// The mean loss of the same answers.
    pub loss: f64,
}

impl Accuracy {
    /// The share.
    pub fn value(&self) -> f64 {
        self.correct as f64 / self.samples as f64
    }

    /// Its 95 % interval; see [`wilson`].
    pub fn interval(&self) -> (f64, f64) {
        wilson(self.correct, self.samples)
    }
}

/// The accuracies of a run whose weights are those after `epoch`, of the last epoch if none is known.
pub(super) fn all(run: &Run<'_>, epoch: Option<u32>, again: &Evaluation, test: &Evaluation) -> Result<Vec<Accuracy>> {
    let epochs = &run.history.epochs;
    let at = epochs.iter().position(|e| Some(e.epoch) == epoch).or(epochs.len().checked_sub(1)).ok_or_else(|| {
        Error::argument("a run that has not finished an epoch has nothing to report")
            .with_help("train for at least one epoch")
    })?;
    let log = &epochs[at];
    let before = at.checked_sub(1).map_or(0, |i| epochs[i].step);
    let mut all = vec![as_it_ran(run, log, before), measured(again)];
    all.extend(validation(run, log));
    all.push(Accuracy {
        name: "Test",
        what: format!("the weights of this report on {}, which training did not use", run.test.name()),
        ..of(test)
    });
    Ok(all)
}

// Each batch was answered before the update that learnt from it, so the answers are those of many weights.
fn as_it_ran(run: &Run<'_>, log: &EpochLog, before: u64) -> Accuracy {
    let answered = (log.step.saturating_sub(before) as usize).saturating_mul(run.config.batch_size);
    let samples = answered.min(run.train.len());
    Accuracy {
        name: "Training, as it ran",
        what: format!("each batch of epoch {}, answered just before the update that learnt from it", log.epoch),
        correct: (log.accuracy * samples as f64).round() as usize,
        samples,
        loss: log.loss,
    }
}

fn measured(again: &Evaluation) -> Accuracy {
    Accuracy {
        name: "Training, measured again",
        what: "the weights of this report on all that they learnt from".into(),
        ..of(again)
    }
}

fn validation(run: &Run<'_>, log: &EpochLog) -> Option<Accuracy> {
    let (data, loss, accuracy) = (run.validation?, log.val_loss?, log.val_accuracy?);
    let (name, samples) = ("Validation", data.len());
    let what = format!("the weights after epoch {} on what was held out to watch the training", log.epoch);
    Some(Accuracy { name, what, correct: (accuracy * samples as f64).round() as usize, samples, loss })
}

fn of(result: &Evaluation) -> Accuracy {
    let (correct, samples) = (result.confusion.correct() as usize, result.samples);
    Accuracy { name: "", what: String::new(), correct, samples, loss: result.loss }
}
