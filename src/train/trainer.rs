//! A trainer: a session, an optimiser with its state, and how far the run has come.
//!
//! One [`Trainer::step`] is forward, loss, backward and update. All that a run
//! is made of can be put into a [`Container`] and taken out again, with the
//! same bits; that is a checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Container, ContainerRef, Kind, TensorRef, digest};
use crate::graph::Graph;
use crate::model::Model;
use crate::ops::Aligned;
use crate::rng::Rng;
use crate::session::{Machine, Outlet, Session, TrainAt};
use crate::tensor::Tensor;
use crate::train::evaluate::takes_logits;
use crate::train::optim::{self, At};
use crate::train::{FitConfig, History, LossKernel, Plateau, Targets, metrics};

/// How far a run has come; all that is needed to go on besides weights and optimiser state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Updates so far.
    pub step: u64,
    /// Sum of the losses of this epoch's samples so far.
    pub epoch_loss: f64,
    /// Right answers in this epoch so far.
    pub epoch_hits: u64,
    /// Samples of this epoch so far.
    pub epoch_samples: u64,
    /// Seconds of training in this epoch so far.
    pub epoch_seconds: f64,
    /// The finished epochs.
    pub history: History,
    /// State of the schedule that waits for a plateau.
    pub plateau: Plateau,
    /// The best validation loss so far, its epoch, and the epochs since.
    pub best: Option<Best>,
}

/// The best epoch so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its validation loss.
    pub loss: f64,
    /// The epoch, from 1.
    pub epoch: u32,
    /// Epochs since.
    pub wait: u32,
}

/// A run of training.
pub struct Trainer {
    session: Session,
    config: FitConfig,
    loss: LossKernel,
    per_sample: Vec<f32>,
    /// The optimiser's arrays, by parameter.
    states: Vec<Vec<Aligned>>,
    partials: Vec<f64>,
    /// How far the run has come.
    pub progress: Progress,
    /// The weights of the best epoch, where early stopping keeps them.
    best_weights: Vec<Vec<f32>>,
    names: Vec<(String, Vec<usize>)>,
}

/// What one step gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepResult {
    /// Mean loss of the batch, before the update; the weighted losses of the heads are added.
    pub loss: f64,
    /// Right answers of the network's output in the batch.
    pub hits: usize,
    /// The learning rate of the update.
    pub learning_rate: f32,
}

impl Trainer {
    /// A run that starts from the model's weights.
    ///
    /// # Errors
    /// A setting is out of range, the network has nothing to train, or a head has not as many outputs as the network.
    pub fn new(model: &Model, config: FitConfig, machine: Machine) -> Result<Self> {
        config.validate()?;
        if model.count_params().0 == 0 {
            return Err(Error::argument(format!("network '{}' has no trainable parameters", model.graph().name()))
                .with_help("add a convolution or a dense layer"));
        }
        check_heads(model.graph())?;
        let session = Session::new(model, machine)?;
        let outputs = model.graph().output_shape()?.len();
        let loss =
            config.loss.compile(session.machine().isa, config.batch_size, outputs, config.class_weights.as_deref())?;
        let lens: Vec<usize> = model.params().iter().map(|p| if p.trainable { p.data.len() } else { 0 }).collect();
        let states = lens.iter().map(|len| state(&config, *len)).collect();
        let names = model.params().iter().map(|p| (p.name.clone(), p.dims.clone())).collect();
        let partials = vec![0.0; optim::partials(lens.iter().copied().max().unwrap_or(0))];
        let per_sample = vec![0.0; config.batch_size];
        let (progress, best_weights) = (Progress::default(), Vec::new());
        Ok(Self { session, config, loss, per_sample, states, partials, progress, best_weights, names })
    }

    /// The settings.
    pub fn config(&self) -> &FitConfig {
        &self.config
    }

    /// The session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The digest of the weights: the same weights, to the bit, give the same digest.
    pub fn digest(&self) -> String {
        let weights: Vec<_> = (0..self.names.len()).map(|i| self.session.weights(i)).collect();
        let tensors = self.names.iter().zip(&weights).map(|((name, dims), data)| TensorRef { name, dims, data });
        digest(tensors)
    }

    /// One update from a batch: samples `x` with their classes. `factor` scales the optimiser's learning rate.
    ///
    /// # Errors
    /// There are more samples than the settings' batch size, or the loss is not a finite number: the step and the first
    /// bad layer are named, and no update is made.
    pub fn step(&mut self, x: &[f32], labels: &[u32], factor: f64) -> Result<StepResult> {
        let batch = labels.len();
        if batch > self.config.batch_size {
            let most = self.config.batch_size;
            return Err(Error::shape(format!("a batch of {batch} samples, but the settings say at most {most}"))
                .with_help("set the batch size that is meant"));
        }
        let at = TrainAt {
            batch,
            strip_head: takes_logits(&self.config.loss),
            rng: Rng::new(self.config.seed).split("step").split_at(self.progress.step),
        };
        let (loss, per_sample) = (&self.loss, &mut self.per_sample[..batch]);
        let targets = Targets::Classes(labels);
        let (mut sum, mut right) = (0.0, 0);
        self.session.train(x, at, |Outlet { team, head, weight, y, dy }| {
            sum += f64::from(weight) * loss.forward(team, y, targets, batch, per_sample);
            loss.backward(team, y, targets, batch, dy);
            if head.is_none() {
                right = hits(y, labels);
            }
        })?;
        if !sum.is_finite() {
            return Err(self.blame(x, at));
        }
        self.progress.step += 1;
        let learning_rate = (f64::from(self.config.optimizer.learning_rate()) * factor) as f32;
        self.update(learning_rate);
        Ok(StepResult { loss: sum / batch as f64, hits: right, learning_rate })
    }

    fn update(&mut self, learning_rate: f32) {
        let FitConfig { optimizer, clip, .. } = &self.config;
        let (states, partials) = (&mut self.states, &mut self.partials);
        let at = At { step: self.progress.step, learning_rate };
        let isa = self.session.machine().isa;
        self.session.update(|team, params| {
            clip.apply((team, isa), params.count(), |i| params.gradient(i), partials);
            params.each(|p| optimizer.update(team, isa, at, p.w, p.dw, &mut states[p.index]));
        });
    }

    // The error of a step whose loss is not finite: the first layer that gives a bad number, or else the loss.
    fn blame(&mut self, x: &[f32], at: TrainAt) -> Error {
        let step = self.progress.step + 1;
        let what = match self.session.first_non_finite(x, at) {
            Ok(Some((layer, count))) => {
                format!("layer '{layer}' is the first whose output is not finite ({count} values)")
            }
            _ => "the loss is not finite, though all layers' outputs are".to_string(),
        };
        crate::session::non_finite(step, &what)
    }

    /// Checks that all weights are finite: the last update may have spoilt them, and no loss has told yet.
    ///
    /// # Errors
    /// A weight is infinite or not a number; the step and the parameter are named.
    pub fn check_weights(&self) -> Result<()> {
        for (i, (name, _)) in self.names.iter().enumerate() {
            let bad = self.session.weights(i).iter().filter(|w| !w.is_finite()).count();
            if bad > 0 {
                let layer = name.split('/').next().unwrap_or(name);
                let what = format!("layer '{layer}' has weights that are not finite ({bad} values of {name})");
                return Err(crate::session::non_finite(self.progress.step, &what));
            }
        }
        Ok(())
    }

    /// Copies the weights into the model.
    pub fn store(&self, model: &mut Model) {
        self.session.store(model);
    }

    /// Keeps a copy of the weights as the best so far.
    pub(super) fn keep_best(&mut self) {
        self.best_weights = (0..self.names.len()).map(|i| self.session.weights(i).to_vec()).collect();
    }

    /// Goes back to the best weights, if some were kept.
    ///
    /// # Errors
    /// They do not fit, which a damaged checkpoint could cause.
    pub(super) fn restore_best(&mut self) -> Result<()> {
        let best = std::mem::take(&mut self.best_weights);
        best.iter().enumerate().try_for_each(|(i, w)| self.session.set_weights(i, w))
    }

    /// Writes a checkpoint: to a temporary file, synced, then renamed over the old one.
    ///
    /// # Errors
    /// The file cannot be written; the old one is as before.
    pub fn save_checkpoint(&self, path: &Path, data: &dyn Dataset) -> Result<()> {
        let mut documents = BTreeMap::new();
        documents.insert("graph".to_string(), self.session.graph().to_document()?.to_string());
        documents.insert("settings".to_string(), json(&self.config)?);
        documents.insert("progress".to_string(), json(&self.progress)?);
        documents.insert("data".to_string(), fingerprint(data));
        let weights: Vec<_> = (0..self.names.len()).map(|i| self.session.weights(i)).collect();
        let mut tensors: Vec<(String, Vec<usize>, &[f32])> = Vec::new();
        for (i, (name, dims)) in self.names.iter().enumerate() {
            tensors.push((format!("w/{name}"), dims.clone(), &weights[i]));
            if let Some(best) = self.best_weights.get(i) {
                tensors.push((format!("best/{name}"), dims.clone(), best));
            }
            for (k, state) in self.states[i].iter().enumerate() {
                tensors.push((format!("state{k}/{name}"), vec![state.len()], state));
            }
        }
        let losses = &self.progress.history.step_loss;
        tensors.push(("step_loss".to_string(), vec![losses.len()], losses));
        let tensors: Vec<TensorRef<'_>> =
            tensors.iter().map(|(name, dims, data)| TensorRef { name, dims, data }).collect();
        ContainerRef { kind: Kind::Checkpoint, documents: &documents, tensors: &tensors }.save(path)
    }

    /// Goes on from a checkpoint that [`Trainer::save_checkpoint`] wrote.
    ///
    /// # Errors
    /// The file is damaged, or is of another network, other settings or other data; what differs is named.
    pub fn load_checkpoint(&mut self, path: &Path, data: &dyn Dataset) -> Result<()> {
        let file = Container::load(path, Kind::Checkpoint)?;
        self.same(path, &file, data)?;
        let found: BTreeMap<&str, &[f32]> =
            file.tensors.iter().map(|(name, _, data)| (name.as_str(), data.as_slice())).collect();
        let tensor = |name: &str| {
            let missing = || Error::format(path, format!("the checkpoint has no tensor '{name}'"));
            found.get(name).copied().ok_or_else(missing)
        };
        for i in 0..self.names.len() {
            let name = &self.names[i].0;
            self.session.set_weights(i, tensor(&format!("w/{name}"))?)?;
            for (k, state) in self.states[i].iter_mut().enumerate() {
                fill(state, tensor(&format!("state{k}/{name}"))?, path)?;
            }
        }
        let best = |(name, _): &(String, Vec<usize>)| found.get(format!("best/{name}").as_str()).map(|b| b.to_vec());
        self.best_weights = self.names.iter().filter_map(best).collect();
        self.progress = parse(path, &file, "progress")?;
        self.progress.history.step_loss = tensor("step_loss")?.to_vec();
        Ok(())
    }

    fn same(&self, path: &Path, file: &Container, data: &dyn Dataset) -> Result<()> {
        let settings: FitConfig = parse(path, file, "settings")?;
        // More epochs may be asked for than when the run was started; all else must agree.
        let comparable = FitConfig { epochs: self.config.epochs, updates: self.config.updates, ..settings };
        let graph = self.session.graph().to_document()?.to_string();
        for (what, same) in [
            ("network", document(path, file, "graph")? == graph),
            ("settings", comparable == self.config),
            ("data", document(path, file, "data")? == fingerprint(data)),
        ] {
            if !same {
                return Err(Error::new(ErrorKind::Argument, format!("{} was made with other {what}", path.display()))
                    .with_help("resume with the same network, settings and data, or start a new run"));
            }
        }
        Ok(())
    }
}

/// The graph and settings that a checkpoint was made with, so that a run can go on from it alone, and how far it came.
///
/// # Errors
/// The file is damaged.
pub fn read_checkpoint(path: &Path) -> Result<(Graph, FitConfig, Progress)> {
    let file = Container::load(path, Kind::Checkpoint)?;
    let graph = serde_json::from_str(document(path, &file, "graph")?)
        .map_err(|e| Error::format(path, format!("its graph cannot be read: {e}")))?;
    let graph = Graph::from_document(graph).map_err(|e| Error::format(path, e))?;
    let mut progress: Progress = parse(path, &file, "progress")?;
    let losses = file.tensors.iter().find(|(name, ..)| name == "step_loss");
    progress.history.step_loss = losses.map(|(.., data)| data.clone()).unwrap_or_default();
    Ok((graph, parse(path, &file, "settings")?, progress))
}

/// Gives a model the weights of a checkpoint, those after its last update.
///
/// # Errors
/// The file is damaged, or is of another network.
pub fn load_checkpoint_weights(path: &Path, model: &mut Model) -> Result<()> {
    let file = Container::load(path, Kind::Checkpoint)?;
    let wanted: Vec<(String, Vec<usize>)> = model.params().iter().map(|p| (p.name.clone(), p.dims.clone())).collect();
    for (name, dims) in wanted {
        let key = format!("w/{name}");
        let found = file.tensors.iter().find(|(name, found, _)| *name == key && *found == dims);
        let (.., data) =
            found.ok_or_else(|| Error::format(path, format!("the checkpoint has no tensor '{key}' of {dims:?}")))?;
        model.set_param(&name, &Tensor::new(&dims, data.to_vec())?)?;
    }
    Ok(())
}

// One loss with one set of targets serves all outputs.
fn check_heads(graph: &Graph) -> Result<()> {
    let outputs = graph.output_shape()?;
    match graph.heads().iter().find(|h| graph.shape(h.value) != outputs) {
        None => Ok(()),
        Some(head) => {
            let (name, shape) = (&graph.node(head.value).name, graph.shape(head.value));
            Err(Error::shape(format!("the head '{name}' gives {shape}, but the network {outputs}"))
                .with_help("give both one output for each class"))
        }
    }
}

// The optimiser's arrays for one parameter of `len` trainable weights.
fn state(config: &FitConfig, len: usize) -> Vec<Aligned> {
    let optimizer = &config.optimizer;
    let filled = |_| {
        let mut state = Aligned::zeros(len);
        state.fill(optimizer.initial_state());
        state
    };
    (0..optimizer.states()).map(filled).collect()
}

// How many samples of a batch are right: the largest output, or the side of 0 where there is one output.
fn hits(logits: &[f32], labels: &[u32]) -> usize {
    let outputs = logits.len() / labels.len();
    let right = |(row, label): (&[f32], &u32)| match row {
        [single] => u32::from(*single >= 0.0) == *label,
        _ => metrics::argmax(row) == Some(*label as usize),
    };
    logits.chunks(outputs).zip(labels).filter(|(row, label)| right((row, label))).count()
}

fn fill(state: &mut Aligned, values: &[f32], path: &Path) -> Result<()> {
    if state.len() != values.len() {
        return Err(Error::format(
            path,
            format!("an optimiser state has {} values, not {}", values.len(), state.len()),
        ));
    }
    state.copy_from_slice(values);
    Ok(())
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::argument(format!("cannot be stored: {e}")))
}

fn document<'a>(path: &Path, file: &'a Container, name: &str) -> Result<&'a str> {
    let text = file.documents.get(name).map(String::as_str);
    text.ok_or_else(|| Error::format(path, format!("the checkpoint has no '{name}'")))
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, file: &Container, name: &str) -> Result<T> {
    serde_json::from_str(document(path, file, name)?)
        .map_err(|e| Error::format(path, format!("'{name}' in the checkpoint cannot be read: {e}")))
}

// Enough to tell data sets apart: name, size, shape, and all labels.
/// A data set in one line: name, size, shape, and a digest of its labels.
pub(crate) fn fingerprint(data: &dyn Dataset) -> String {
    let labels: Vec<f32> = (0..data.len()).map(|i| data.label(i) as f32).collect();
    let sum = digest([TensorRef { name: "labels", dims: &[labels.len()], data: &labels }]);
    format!("{} {} {:?} {sum}", data.name(), data.len(), data.shape().dims())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sequential;
    use crate::ops::Dense;

    #[test]
    fn a_batch_of_no_samples_or_too_many_is_an_error() {
        let model = Sequential::new([3]).add(Dense::new(2)).build(0).unwrap();
        let config = FitConfig { batch_size: 2, ..FitConfig::default() };
        let mut trainer = Trainer::new(&model, config, Machine { threads: 1, ..Machine::default() }).unwrap();
        let mut message = |n: usize| trainer.step(&vec![0.5; 3 * n], &vec![0; n], 1.0).unwrap_err().to_string();
        assert!(message(3).contains("a batch of 3 samples, but the settings say at most 2"));
        assert!(message(0).contains("a batch of 0 samples"));
        assert!(trainer.step(&[0.5; 6], &[0, 1], 1.0).unwrap().loss.is_finite());
    }
}
