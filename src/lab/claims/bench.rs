//! Where claims are tried: the data, the machine, the seeds, and how a network is trained and asked.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::data::{Dataset, Loader, Split};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::model::Model;
use crate::session::{Machine, Session};
use crate::tensor::Tensor;
use crate::train::metrics::argmax;
use crate::train::{Fit, FitConfig, History};

/// The bench of one claim.
pub(super) struct Bench<'a> {
    /// The seeds that are left to be counted.
    pub seeds: Vec<u64>,
    /// Updates of each training.
    pub updates: u64,
    /// MNIST.
    pub data: Split,
    /// Whether Ctrl-C cut the list of seeds short.
    pub stopped: bool,
    machine: Machine,
    stop: Option<&'a AtomicBool>,
    told: &'a mut dyn FnMut(&str),
    at: usize,
}

/// What is trained on, and how.
pub(super) struct Job<'a> {
    pub train: &'a dyn Dataset,
    pub validate: Option<&'a dyn Dataset>,
    pub config: FitConfig,
}

/// A network that was trained.
pub(super) struct Trained {
    pub model: Model,
    pub history: History,
}

impl Trained {
    /// The loss of each update.
    pub fn loss(&self) -> Vec<f64> {
        self.history.step_loss.iter().map(|v| f64::from(*v)).collect()
    }

    /// The mean loss of the last tenth of the updates.
    pub fn last_loss(&self) -> f64 {
        let loss = self.loss();
        let tail = &loss[loss.len() - loss.len().div_ceil(10)..];
        tail.iter().sum::<f64>() / tail.len() as f64
    }
}

impl<'a> Bench<'a> {
    pub fn new(data: Split, machine: Machine, stop: Option<&'a AtomicBool>, told: &'a mut dyn FnMut(&str)) -> Self {
        Self { seeds: Vec::new(), updates: 0, data, stopped: false, machine, stop, told, at: 0 }
    }

    /// Runs an experiment for each seed. If it is stopped, what three seeds or more gave is kept.
    pub fn each_seed<T>(&mut self, mut run: impl FnMut(&mut Self, u64) -> Result<T>) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for (i, seed) in self.seeds.clone().into_iter().enumerate() {
            self.at = i + 1;
            match run(self, seed) {
                Ok(result) => all.push(result),
                Err(e) if e.kind() == ErrorKind::Stopped && all.len() >= 3 => {
                    self.stopped = true;
                    self.seeds.truncate(all.len());
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(all)
    }

    /// The settings of a training: Adam, batches of 64, so many updates.
    pub fn config(&self, seed: u64) -> FitConfig {
        // Epochs without end; the updates end it.
        FitConfig { epochs: u32::MAX, updates: Some(self.updates), seed, ..FitConfig::default() }
    }

    /// Trains a network on MNIST.
    pub fn train(&mut self, what: &str, graph: Graph, seed: u64) -> Result<Trained> {
        let (data, config) = (Arc::clone(&self.data.train), self.config(seed));
        self.fit(what, graph, &Job { train: &*data, validate: None, config })
    }

    /// Trains a network.
    pub fn fit(&mut self, what: &str, graph: Graph, job: &Job<'_>) -> Result<Trained> {
        (self.told)(&format!("seed {} of {}: {what}", self.at, self.seeds.len()));
        let mut model = Model::new(graph, job.config.seed)?;
        let mut fit = Fit::new(job.train, &job.config).machine(self.machine.clone());
        if let Some(stop) = self.stop {
            fit = fit.stop_on(stop);
        }
        if let Some(data) = job.validate {
            fit = fit.validate(data);
        }
        let history = fit.run(&mut model).map_err(|e| e.within(what))?;
        if history.stopped || self.is_stopped() {
            return Err(stopped());
        }
        Ok(Trained { model, history })
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// The class that a network sees in each sample; none where it cannot say.
    pub fn answers(&self, model: &Model, data: &dyn Dataset) -> Result<Vec<Option<u32>>> {
        let mut session = Session::new(model, self.machine.clone())?;
        let (classes, size) = (model.graph().output_shape()?.len(), data.shape().len());
        let mut answers = Vec::with_capacity(data.len());
        let _ = Loader::new(data, 100)?.run(0, 0, |batch| {
            session.infer(&batch.x[..batch.valid * size], batch.valid)?;
            answers.extend(session.output().chunks(classes).map(|row| argmax(row).map(|class| class as u32)));
            Ok(if self.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if answers.len() < data.len() { Err(stopped()) } else { Ok(answers) }
    }

    /// The share of samples that a network names rightly.
    pub fn accuracy(&self, model: &Model, data: &dyn Dataset) -> Result<f64> {
        let right = |(i, answer): (usize, Option<u32>)| answer == Some(data.label(i));
        let answers = self.answers(model, data)?;
        let count = answers.into_iter().enumerate().filter(|pair| right(*pair)).count();
        Ok(count as f64 / data.len() as f64)
    }

    /// The share of the test images that a network names rightly.
    pub fn test(&self, model: &Model) -> Result<f64> {
        self.accuracy(model, &*self.data.test)
    }

    /// What some layers make of the first samples of a set, in one batch.
    pub fn look(&self, model: &Model, data: &dyn Dataset, n: usize, layers: &[&str]) -> Result<Vec<Tensor>> {
        let (size, n) = (data.shape().len(), n.min(data.len()));
        let mut x = vec![0.0; n * size];
        x.chunks_mut(size).enumerate().try_for_each(|(i, x)| data.fill(i, x))?;
        let mut session = Session::new(model, self.machine.clone())?;
        session.look(&x, n)?;
        layers.iter().map(|layer| session.value(layer)).collect()
    }

    /// The machine.
    pub fn machine(&self) -> Machine {
        self.machine.clone()
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Stopped, "stopped before three seeds were done, so there is nothing to judge by")
        .with_help("let it run, or give fewer updates: --quick, or --updates N")
}
