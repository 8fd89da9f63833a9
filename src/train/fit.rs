//! The training loop.
//!
//! [`Fit`] runs a [`Trainer`] over a data set: epochs, batches in a seeded
//! order, validation, early stopping, and what callbacks want to know. It can
//! start anywhere in the middle of an epoch; where a run is stopped and goes on
//! has no influence on a single bit of the result.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::data::{Dataset, Loader};
use crate::error::Result;
use crate::model::Model;
use crate::rng::Rng;
use crate::session::Machine;
use crate::train::evaluate::{EvaluateConfig, check_fit, evaluate};
use crate::train::schedule;
use crate::train::trainer::{Best, StepResult, Trainer};
use crate::train::{EpochLog, FitConfig, History};

/// What a callback is told.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The run starts, or goes on after this many updates.
    Begin {
        /// Updates that were done before.
        step: u64,
        /// Updates of the whole run.
        steps: u64,
    },
    /// An epoch starts, or goes on after a resume.
    EpochBegin {
        /// The epoch, from 1.
        epoch: u32,
        /// Epochs of the whole run.
        epochs: u32,
    },
    /// An update was made.
    Step(StepEvent),
    /// A batch was validated.
    Validate {
        /// Batches so far.
        done: usize,
        /// Batches in all.
        of: usize,
    },
    /// An epoch ended.
    EpochEnd(&'a EpochLog),
    /// A checkpoint was written.
    Checkpoint(&'a std::path::Path),
}

/// An update, as a callback sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepEvent {
    /// Updates in this epoch so far.
    pub done: u64,
    /// Updates of this epoch.
    pub of: u64,
    /// Mean loss of the epoch so far, as it ran.
    pub loss: f64,
    /// Mean loss of the batch, before its update.
    pub batch_loss: f64,
    /// Accuracy of the epoch so far, as it ran.
    pub accuracy: f64,
    /// Seconds of training in this epoch so far.
    pub seconds: f64,
}

/// Something that wants to know how a run goes, and may end it.
pub trait Callback {
    /// Is told what happened; `Break` ends the run after this update, as Ctrl-C does.
    ///
    /// # Errors
    /// An error ends the run and is passed on.
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>>;
}

/// Where and how often checkpoints are written. They change no bit of the result.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    /// The file.
    pub path: PathBuf,
    /// The time between two checkpoints; one is written at each end of an epoch, too.
    pub every: Duration,
}

/// A training run, put together step by step.
///
/// ```
/// use striate::ops::{Activation, Dense, Flatten};
/// use striate::train::{Fit, FitConfig};
/// use striate::{Sequential, data};
///
/// let data = data::load("mnist")?;
/// let few = data.first(500, 100);
/// let mut model = Sequential::new([28, 28, 1])
///     .add(Flatten::new())
///     .add(Dense::new(10).activation(Activation::Softmax))
///     .build(0)?;
/// let config = FitConfig { epochs: 2, ..FitConfig::default() };
/// let history = Fit::new(&*few.train, &config).run(&mut model)?;
/// assert!(history.epochs[1].loss < history.epochs[0].loss);
/// # Ok::<(), striate::Error>(())
/// ```
pub struct Fit<'a> {
    data: &'a dyn Dataset,
    config: &'a FitConfig,
    machine: Machine,
    validation: Option<&'a dyn Dataset>,
    callbacks: Vec<&'a mut dyn Callback>,
    checkpoints: Option<Checkpoints>,
    resume: bool,
    stop: Option<&'a AtomicBool>,
}

impl<'a> Fit<'a> {
    /// A run on `data` with these settings.
    pub fn new(data: &'a dyn Dataset, config: &'a FitConfig) -> Self {
        Self {
            data,
            config,
            machine: Machine::default(),
            validation: None,
            callbacks: Vec::new(),
            checkpoints: None,
            resume: false,
            stop: None,
        }
    }

    /// The machine to run on.
    #[must_use]
    pub fn machine(mut self, machine: Machine) -> Self {
        self.machine = machine;
        self
    }

    /// Measures loss and accuracy on `data` after each epoch.
    #[must_use]
    pub fn validate(mut self, data: &'a dyn Dataset) -> Self {
        self.validation = Some(data);
        self
    }

    /// Adds a callback.
    #[must_use]
    pub fn callback(mut self, callback: &'a mut dyn Callback) -> Self {
        self.callbacks.push(callback);
        self
    }

    /// Writes checkpoints.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// Goes on from the checkpoint.
    #[must_use]
    pub fn resume(mut self) -> Self {
        self.resume = true;
        self
    }

    /// Ends the run after the update during which this becomes true.
    #[must_use]
    pub fn stop_on(mut self, stop: &'a AtomicBool) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Trains the model. A run that was stopped leaves a checkpoint, and its history says so.
    ///
    /// # Errors
    /// The data do not fit the network, a setting is out of range, the loss is no longer finite (the layer and the
    /// step are named), or a checkpoint cannot be written or read.
    pub fn run(mut self, model: &mut Model) -> Result<History> {
        let mut trainer = self.trainer(model)?;
        if let (true, Some(checkpoints)) = (self.resume, &self.checkpoints) {
            trainer.load_checkpoint(&checkpoints.path, self.data)?;
        }
        // The trainer has the weights now, and need not copy them to change them.
        model.release();
        let result = self.epochs(&mut trainer);
        trainer.store(model);
        result?;
        Ok(std::mem::take(&mut trainer.progress.history))
    }

    /// Whether the run could start: whoever makes a folder for it can know before.
    ///
    /// # Errors
    /// The data do not fit the network, or a setting is out of range.
    pub fn check(&self, model: &Model) -> Result<()> {
        self.trainer(model).map(|_| ())
    }

    fn trainer(&self, model: &Model) -> Result<Trainer> {
        check_fit(model.graph(), self.data)?;
        self.validation.map_or(Ok(()), |data| check_fit(model.graph(), data))?;
        Trainer::new(model, self.config.clone(), self.machine.clone())
    }

    fn epochs(&mut self, trainer: &mut Trainer) -> Result<()> {
        let totals = Totals::of(self.config, self.data.len());
        let _ = self.tell(&Event::Begin { step: trainer.progress.step, steps: totals.steps })?;
        trainer.progress.history.stopped = false;
        while trainer.progress.step < totals.steps && !self.is_over(trainer) {
            if self.epoch(trainer, totals)?.is_break() {
                trainer.progress.history.stopped = trainer.progress.step < totals.steps;
                return self.save(trainer);
            }
        }
        if let (Some(early), Some(best)) = (self.config.early_stopping, trainer.progress.best)
            && early.restore_best
            && best.wait > 0
        {
            trainer.restore_best()?;
            trainer.progress.history.restored_epoch = Some(best.epoch);
        }
        Ok(())
    }

    fn is_over(&self, trainer: &Trainer) -> bool {
        let wait = trainer.progress.best.map_or(0, |b| b.wait);
        self.config.early_stopping.is_some_and(|early| wait >= early.patience)
    }

    // One epoch, or what is left of it.
    fn epoch(&mut self, trainer: &mut Trainer, totals: Totals) -> Result<ControlFlow<()>> {
        let (index, done) = totals.at(trainer.progress.step);
        let _ = self.tell(&Event::EpochBegin { epoch: index + 1, epochs: totals.epochs })?;
        let rng = Rng::new(self.config.seed);
        let loader = Loader::new(self.data, self.config.batch_size)?;
        let loader = if self.config.shuffle { loader.shuffled(rng) } else { loader };
        let size = self.data.shape().len();
        let of = totals.steps_of(index);
        let mut clock = Clock::new(trainer.progress.epoch_seconds);
        let mut rate = 0.0;
        let mut flow = ControlFlow::Continue(());
        let _ = loader.run(u64::from(index), done as usize, |batch| {
            let factor = self.factor(trainer, totals);
            let result = trainer.step(&batch.x[..batch.valid * size], &batch.labels[..batch.valid], factor)?;
            rate = result.learning_rate;
            let event =
                note(trainer, result, batch.valid, (totals.at_end(trainer.progress.step, index), of), clock.seconds());
            flow = self.tell(&Event::Step(event))?;
            if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                flow = ControlFlow::Break(());
            }
            let ended = event.done == event.of;
            if !ended && flow.is_continue() && self.is_due(&mut clock) {
                self.save(trainer)?;
            }
            Ok(if ended || flow.is_break() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if totals.at_end(trainer.progress.step, index) < of {
            return Ok(ControlFlow::Break(()));
        }
        self.end_of_epoch(trainer, index, rate)?;
        self.save(trainer)?;
        Ok(flow)
    }

    fn factor(&self, trainer: &Trainer, totals: Totals) -> f64 {
        let at = schedule::Progress {
            step: trainer.progress.step,
            steps_total: totals.steps,
            epoch: u64::from(totals.at(trainer.progress.step).0),
            steps_per_epoch: totals.steps_per_epoch,
        };
        self.config.schedule.factor(at) * trainer.progress.plateau.factor
    }

    fn end_of_epoch(&mut self, trainer: &mut Trainer, index: u32, learning_rate: f32) -> Result<()> {
        trainer.check_weights()?;
        let (val_loss, val_accuracy) = self.measure(trainer)?.unzip();
        let p = &trainer.progress;
        let samples = p.epoch_samples.max(1) as f64;
        let log = EpochLog {
            epoch: index + 1,
            step: p.step,
            loss: p.epoch_loss / samples,
            accuracy: p.epoch_hits as f64 / samples,
            val_loss,
            val_accuracy,
            learning_rate,
            seconds: p.epoch_seconds,
            digest: trainer.digest(),
        };
        self.watch(trainer, &log);
        let p = &mut trainer.progress;
        (p.epoch_loss, p.epoch_hits, p.epoch_samples, p.epoch_seconds) = (0.0, 0, 0, 0.0);
        p.history.epochs.push(log.clone());
        self.tell(&Event::EpochEnd(&log)).map(|_| ())
    }

    fn measure(&mut self, trainer: &mut Trainer) -> Result<Option<(f64, f64)>> {
        let Some(data) = self.validation else { return Ok(None) };
        let config = EvaluateConfig { loss: &self.config.loss, batch_size: self.config.batch_size };
        let callbacks = &mut self.callbacks;
        let mut progress = |done, of| {
            // A validation is short: it is finished before a stop takes effect.
            let _ = callbacks.iter_mut().try_for_each(|c| c.on(&Event::Validate { done, of }).map(|_| ()));
            ControlFlow::Continue(())
        };
        let result = evaluate(trainer.session(), data, config, &mut progress)?;
        Ok(Some((result.loss, result.accuracy())))
    }

    // Early stopping and the plateau schedule look at the validation loss, or the training loss where there is none.
    fn watch(&self, trainer: &mut Trainer, log: &EpochLog) {
        let loss = log.val_loss.unwrap_or(log.loss);
        let rate = self.config.optimizer.learning_rate();
        self.config.schedule.end_epoch(&mut trainer.progress.plateau, rate, loss);
        let Some(early) = self.config.early_stopping else { return };
        match &mut trainer.progress.best {
            Some(best) if loss >= best.loss - early.min_delta => best.wait += 1,
            best => {
                *best = Some(Best { loss, epoch: log.epoch, wait: 0 });
                if early.restore_best {
                    trainer.keep_best();
                }
            }
        }
    }

    fn is_due(&self, clock: &mut Clock) -> bool {
        self.checkpoints.as_ref().is_some_and(|c| clock.is_due(c.every))
    }

    fn save(&mut self, trainer: &Trainer) -> Result<()> {
        let Some(checkpoints) = &self.checkpoints else { return Ok(()) };
        let path = checkpoints.path.clone();
        // Bad weights never replace good ones.
        trainer.check_weights()?;
        trainer.save_checkpoint(&path, self.data)?;
        self.tell(&Event::Checkpoint(&path)).map(|_| ())
    }

    fn tell(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        for callback in &mut self.callbacks {
            if callback.on(event)?.is_break() {
                flow = ControlFlow::Break(());
            }
        }
        Ok(flow)
    }
}

// Adds a step to the progress of its epoch.
fn note(trainer: &mut Trainer, result: StepResult, samples: usize, (done, of): (u64, u64), seconds: f64) -> StepEvent {
    let p = &mut trainer.progress;
    p.epoch_loss += result.loss * samples as f64;
    p.epoch_hits += result.hits as u64;
    p.epoch_samples += samples as u64;
    p.epoch_seconds = seconds;
    p.history.step_loss.push(result.loss as f32);
    let total = p.epoch_samples as f64;
    let (loss, accuracy) = (p.epoch_loss / total, p.epoch_hits as f64 / total);
    StepEvent { done, of, loss, batch_loss: result.loss, accuracy, seconds }
}

impl Model {
    /// Trains this model on `data` (E14).
    ///
    /// # Errors
    /// As [`Fit::run`].
    pub fn fit(&mut self, data: &dyn Dataset, config: &FitConfig) -> Result<History> {
        Fit::new(data, config).run(self)
    }
}

// How many updates a run has, and in which epoch an update lies.
#[derive(Debug, Clone, Copy)]
struct Totals {
    epochs: u32,
    steps: u64,
    steps_per_epoch: u64,
}

impl Totals {
    fn of(config: &FitConfig, samples: usize) -> Self {
        let steps_per_epoch = samples.div_ceil(config.batch_size) as u64;
        let all = steps_per_epoch * u64::from(config.epochs);
        let steps = config.updates.map_or(all, |updates| updates.min(all));
        Self { epochs: steps.div_ceil(steps_per_epoch) as u32, steps, steps_per_epoch }
    }

    // The epoch of the next update, and the updates of that epoch before it.
    fn at(&self, step: u64) -> (u32, u64) {
        ((step / self.steps_per_epoch) as u32, step % self.steps_per_epoch)
    }

    // Updates of an epoch: the last one is shorter where updates are limited.
    fn steps_of(&self, epoch: u32) -> u64 {
        (self.steps - u64::from(epoch) * self.steps_per_epoch).min(self.steps_per_epoch)
    }

    // Updates of this epoch after `step` updates in all.
    fn at_end(&self, step: u64, epoch: u32) -> u64 {
        step - u64::from(epoch) * self.steps_per_epoch
    }
}

// Seconds of an epoch over several sittings, and since the last checkpoint.
struct Clock {
    start: Instant,
    before: f64,
    saved: Instant,
}

impl Clock {
    fn new(before: f64) -> Self {
        Self { start: Instant::now(), before, saved: Instant::now() }
    }

    fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    fn is_due(&mut self, every: Duration) -> bool {
        let due = self.saved.elapsed() >= every;
        if due {
            self.saved = Instant::now();
        }
        due
    }
}
