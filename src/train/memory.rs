//! How much memory a network takes, in training and in use, before any of it is asked for.
//!
//! ```text
//! training:   weights + gradients + states of the optimiser + values (outputs kept for backward, their gradients)
//!             + scratch
//! inference:  weights + weights as the kernels read them + values + scratch
//! ```
//!
//! A model and its session share the weights; a model that is kept beside a trainer has them a second time, which
//! [`Fit`](crate::train::Fit) avoids. A validation in the middle of training adds the weights as the kernels read them.
//! The program itself and a batch being read come on top: some 20 MB.

use crate::error::Result;
use crate::graph::Graph;
use crate::ops::Mode;
use crate::parallel::available;
use crate::plan::{Plan, PlanConfig, PlanMemory};
use crate::session::Machine;
use crate::train::{Loss, Optimizer};

/// Bytes of a network at work, by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// The weights, which model and session share.
    pub weights: usize,
    /// The gradients of the weights.
    pub gradients: usize,
    /// The weights as the kernels read them at inference.
    pub ready: usize,
    /// What the optimiser keeps from step to step.
    pub optimizer: usize,
    /// The layers' outputs, what they keep for backward, and the gradients of the outputs.
    pub values: usize,
    /// Scratch that the kernels share.
    pub scratch: usize,
}

impl MemoryUse {
    /// All of it.
    pub fn total(&self) -> usize {
        self.weights + self.ready + self.gradients + self.optimizer + self.values + self.scratch
    }

    fn new(plan: PlanMemory, states: usize) -> Self {
        let PlanMemory { weights, gradients, ready, values, scratch, .. } = plan;
        Self { weights, ready, gradients, optimizer: states * gradients, values, scratch }
    }
}

/// The memory of a training run with batches of `batch` samples.
///
/// ```
/// use striate::session::Machine;
/// use striate::train::{memory_of_training, optim::Adam};
/// let graph = striate::zoo::recipe("keras-mnist")?.graph;
/// let memory = memory_of_training(&graph, &Adam::default().into(), 64, &Machine::default())?;
/// // 93,322 weights of 4 bytes; Adam keeps two numbers for each.
/// assert_eq!((memory.gradients, memory.optimizer), (373_288, 746_576));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The graph has no output, or the machine cannot run it.
pub fn memory_of_training(graph: &Graph, optimizer: &Optimizer, batch: usize, machine: &Machine) -> Result<MemoryUse> {
    Ok(MemoryUse::new(plan(graph, Mode::Train, batch, machine)?, optimizer.states()))
}

/// The memory of predictions in batches of `batch` samples.
///
/// # Errors
/// The graph has no output, or the machine cannot run it.
pub fn memory_of_inference(graph: &Graph, batch: usize, machine: &Machine) -> Result<MemoryUse> {
    Ok(MemoryUse::new(plan(graph, Mode::Infer, batch, machine)?, 0))
}

fn plan(graph: &Graph, mode: Mode, batch: usize, machine: &Machine) -> Result<PlanMemory> {
    let threads = if machine.threads == 0 { available() } else { machine.threads };
    let strip_head = mode == Mode::Train && crate::train::evaluate::takes_logits(&Loss::default());
    let (isa, algorithm) = (machine.isa, machine.algorithm.clone());
    let config = PlanConfig { batch, mode, strip_head, keep: false, recompute: true, isa, threads, algorithm };
    Ok(Plan::compile(graph, config)?.memory())
}
