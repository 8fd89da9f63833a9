//! One run of a contest: trained with its seed, then measured.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::contest::{Contest, Run, Stage};
use crate::data::{Dataset, Subset};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::session::{Machine, Session};
use crate::train::{
    Callback, Checkpoints, EvaluateConfig, Evaluation, Event, Fit, FitConfig, History, Loss, evaluate, fingerprint,
    read_checkpoint,
};

/// The parts of the data of a contest.
#[derive(Clone)]
pub struct Parts {
    /// What is trained on.
    pub train: Arc<dyn Dataset>,
    /// What learning rates are chosen by; not a part of the others.
    pub validation: Option<Arc<dyn Dataset>>,
    /// What the result is measured on.
    pub test: Arc<dyn Dataset>,
}

impl Parts {
    /// The parts in one line each: name, size, shape, and a digest of the labels.
    pub fn fingerprints(&self) -> Vec<String> {
        let all = [Some(&self.train), self.validation.as_ref(), Some(&self.test)];
        all.into_iter().flatten().map(|part| fingerprint(&**part)).collect()
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With a network that was measured.
    Finished(Measured),
    /// With numbers that are not finite: that is a result too.
    Diverged {
        /// Updates before that.
        updates: u64,
        /// Where it was seen.
        why: String,
        /// The training loss of each of these updates; kept of runs for the result alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        step_loss: Vec<f32>,
    },
}

impl Outcome {
    /// What was measured, if the run did not diverge.
    pub fn measured(&self) -> Option<&Measured> {
        match self {
            Self::Finished(measured) => Some(measured),
            Self::Diverged { .. } => None,
        }
    }
}

/// What was measured of a trained network: on the test set, or in a search on the validation set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Mean loss, evaluated.
    pub loss: f64,
    /// Accuracy, evaluated.
    pub accuracy: f64,
    /// Which samples were right, in the order of the set; empty in a search.
    pub right: Hits,
    /// How it was trained; a model that came finished has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
}

/// What the training of a run left. Two kinds of training accuracy differ, so each has its name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Updates.
    pub updates: u64,
    /// Training accuracy *as it ran*, in the last epoch: each batch was measured before its update.
    pub running_accuracy: f64,
    /// Training accuracy *evaluated* with the final weights, on as many training samples as there are to test.
    pub train_accuracy: Option<f64>,
    /// The training loss of each update.
    pub step_loss: Vec<f32>,
    /// The digest of the weights.
    pub digest: String,
}

/// Right or wrong for each sample, in files as hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Packed", into = "Packed")]
pub struct Hits(pub Vec<bool>);

#[derive(Serialize, Deserialize)]
struct Packed {
    samples: usize,
    bits: String,
}

impl From<Hits> for Packed {
    fn from(hits: Hits) -> Self {
        let digit = |four: &[bool]| four.iter().enumerate().map(|(i, hit)| u32::from(*hit) << i).sum::<u32>();
        let bits = hits.0.chunks(4).filter_map(|four| char::from_digit(digit(four), 16)).collect();
        Self { samples: hits.0.len(), bits }
    }
}

impl TryFrom<Packed> for Hits {
    type Error = String;

    fn try_from(packed: Packed) -> Result<Self, String> {
        let digits: Option<Vec<u32>> = packed.bits.chars().map(|c| c.to_digit(16)).collect();
        let digits = digits.filter(|d| d.len() == packed.samples.div_ceil(4)).ok_or("damaged answers")?;
        Ok(Self((0..packed.samples).map(|i| digits[i / 4] >> (i % 4) & 1 == 1).collect()))
    }
}

/// Where and how runs are made.
pub struct Course<'a> {
    /// The data.
    pub parts: &'a Parts,
    /// The machine.
    pub machine: Machine,
    /// Ends the run when it becomes true.
    pub stop: Option<&'a AtomicBool>,
    /// A file that keeps a long run's state, so that it too can be stopped; it is gone when the run is finished.
    pub checkpoint: Option<&'a Path>,
}

/// Seconds between two checkpoints of a run.
const EVERY: Duration = Duration::from_secs(20);
/// Samples in a batch of an evaluation, as Keras takes.
const BATCH: usize = 32;

impl Contest {
    /// Whether all runs could start on these data.
    ///
    /// # Errors
    /// An entrant does not fit the data or cannot be trained, or a search has no validation set.
    pub fn check(&self, parts: &Parts) -> Result<()> {
        for (i, entrant) in self.entrants.iter().enumerate() {
            if entrant.rates != super::Rates::Own && parts.validation.is_none() {
                return Err(Error::argument(format!("{}: a search needs a validation set", entrant.name))
                    .with_help("hold a share of the training set out"));
            }
            let run = Run { entrant: i, stage: Stage::Final, rate: 1.0, seed: self.first_seed };
            let model = Model::new(entrant.recipe.graph.clone(), run.seed)?;
            let config = self.config(&run);
            let fit = Fit::new(&*parts.train, &config).validate(&*parts.test);
            fit.check(&model).map_err(|e| e.within(&entrant.name))?;
        }
        Ok(())
    }

    /// The updates of each of an entrant's runs on so many samples, and how many samples they see.
    pub fn budget(&self, entrant: usize, samples: usize) -> (u64, u64) {
        let FitConfig { epochs, updates, batch_size, .. } = self.entrants[entrant].recipe.train;
        let per_epoch = samples.div_ceil(batch_size.max(1)).max(1) as u64;
        let all = per_epoch * u64::from(epochs);
        let made = updates.map_or(all, |updates| updates.min(all));
        (made, made / per_epoch * samples as u64 + made % per_epoch * batch_size as u64)
    }

    /// The settings of a run.
    pub fn config(&self, run: &Run) -> FitConfig {
        let config = &self.entrants[run.entrant].recipe.train;
        FitConfig { seed: run.seed, optimizer: config.optimizer.with_learning_rate(run.rate), ..config.clone() }
    }

    /// Trains and measures one run. The same run gives the same bits on any number of threads.
    ///
    /// # Errors
    /// The run was stopped, the data do not fit, or the checkpoint cannot be written or read. Numbers that are not
    /// finite are no error, but [`Outcome::Diverged`].
    pub fn train(&self, run: &Run, on: &Course<'_>, callback: &mut dyn Callback) -> Result<Outcome> {
        let mut model = Model::new(self.entrants[run.entrant].recipe.graph.clone(), run.seed)?;
        let config = self.config(run);
        let before = on.before()?;
        let mut heard = Heard { step_loss: before.clone().unwrap_or_default(), inner: callback };
        let mut fit = Fit::new(&*on.parts.train, &config).machine(on.machine.clone()).callback(&mut heard);
        // Early stopping watches the validation set where there is one.
        if let (Some(data), true) = (&on.parts.validation, config.early_stopping.is_some()) {
            fit = fit.validate(&**data);
        }
        if let Some(stop) = on.stop {
            fit = fit.stop_on(stop);
        }
        if let Some(path) = on.checkpoint {
            fit = fit.checkpoints(Checkpoints { path: path.to_path_buf(), every: EVERY });
            fit = if before.is_some() { fit.resume() } else { fit };
        }
        let result = fit.run(&mut model);
        let step_loss = heard.step_loss;
        let outcome = match result {
            Err(e) if e.kind() == ErrorKind::Numeric => diverged(run.stage, step_loss, e.message()),
            result => self.judged(run, on, &model, result?)?,
        };
        finished(on, outcome)
    }

    // A network that was trained to the end, measured.
    fn judged(&self, run: &Run, on: &Course<'_>, model: &Model, history: History) -> Result<Outcome> {
        if history.stopped {
            return Err(Error::new(ErrorKind::Stopped, format!("stopped after {} updates", history.step_loss.len())));
        }
        let loss = &self.entrants[run.entrant].recipe.train.loss;
        let mut measured = measure(model, on.measured(run.stage), loss, on)?;
        if !measured.loss.is_finite() {
            let why = format!("the loss after the last update is {}", measured.loss);
            return Ok(diverged(run.stage, history.step_loss, &why));
        }
        if run.stage == Stage::Search {
            measured.right = Hits::default();
        }
        measured.training = Some(Training {
            updates: history.step_loss.len() as u64,
            running_accuracy: history.last().map_or(f64::NAN, |e| e.accuracy),
            train_accuracy: match run.stage {
                Stage::Search => None,
                Stage::Final => Some(measure(model, &on.trained_on(), loss, on)?.accuracy),
            },
            digest: history.last().map_or(String::new(), |e| e.digest.clone()),
            step_loss: if run.stage == Stage::Search { Vec::new() } else { history.step_loss },
        });
        Ok(Outcome::Finished(measured))
    }
}

fn diverged(stage: Stage, step_loss: Vec<f32>, why: &str) -> Outcome {
    let updates = step_loss.len() as u64;
    let step_loss = if stage == Stage::Search { Vec::new() } else { step_loss };
    Outcome::Diverged { updates, why: why.into(), step_loss }
}

fn finished(on: &Course<'_>, outcome: Outcome) -> Result<Outcome> {
    match on.checkpoint.filter(|path| path.exists()) {
        None => Ok(outcome),
        Some(path) => std::fs::remove_file(path).map_err(|e| Error::io(path, "remove", &e)).map(|()| outcome),
    }
}

impl Course<'_> {
    // The losses of the updates that a run to go on has behind it; none for a new run.
    fn before(&self) -> Result<Option<Vec<f32>>> {
        let path = self.checkpoint.filter(|path| path.exists());
        path.map(|path| read_checkpoint(path).map(|(.., progress)| progress.history.step_loss)).transpose()
    }

    fn measured(&self, stage: Stage) -> &dyn Dataset {
        match (stage, &self.parts.validation) {
            (Stage::Search, Some(validation)) => &**validation,
            _ => &*self.parts.test,
        }
    }

    fn trained_on(&self) -> Subset {
        Subset::first(Arc::clone(&self.parts.train), self.parts.test.len())
    }
}

/// Measures a model: its loss, its accuracy, and which samples it gets right.
///
/// # Errors
/// The data do not fit the network, or the work was stopped.
pub fn measure(model: &Model, data: &dyn Dataset, loss: &Loss, on: &Course<'_>) -> Result<Measured> {
    let mut session = Session::new(model, on.machine.clone())?;
    let go_on = |_, _| match on.stop {
        Some(stop) if stop.load(Ordering::Relaxed) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let config = EvaluateConfig { loss, batch_size: BATCH };
    let result: Evaluation = evaluate(&mut session, data, config, &mut { go_on })?;
    let accuracy = result.accuracy();
    Ok(Measured { loss: result.loss, accuracy, right: Hits(result.right), training: None })
}

// Keeps the losses on their way, since a run that diverges leaves no history.
struct Heard<'a> {
    step_loss: Vec<f32>,
    inner: &'a mut dyn Callback,
}

impl Callback for Heard<'_> {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        if let Event::Step(step) = event {
            self.step_loss.push(step.batch_loss as f32);
        }
        self.inner.on(event)
    }
}
