//! Training: everything between the last layer's output and the next weights.
//!
//! - [`loss`]: what is minimised; softmax and sigmoid are fused into their cross-entropies.
//! - [`optim`]: how a gradient changes the weights, and how gradients are clipped before.
//! - [`schedule`]: how the learning rate changes while a network is trained.
//! - [`metrics`]: accuracy, confusion matrix, confidence intervals.
//! - [`FitConfig`]: the settings of a run; [`Trainer`]: its state, step by step; [`Fit`]: the loop over epochs.
//!
//! All of them are plain values that a text file can hold: [`Loss`], [`Optimizer`] and [`Schedule`] are read
//! from a name alone (`"adam"`) or from a table with settings; see [`name_or_table`].

mod config;
mod evaluate;
mod fit;
mod history;
pub mod loss;
mod memory;
pub mod metrics;
mod named;
pub mod optim;
pub mod schedule;
mod trainer;

pub use config::{EarlyStopping, FitConfig};
pub use evaluate::{Answered, EvaluateConfig, Evaluation, evaluate, evaluate_each};
pub use fit::{Callback, Checkpoints, Event, Fit, StepEvent};
pub use history::{EpochLog, History};
pub use loss::{Loss, LossKernel, Targets};
pub use memory::{MemoryUse, memory_of_inference, memory_of_training};
pub use metrics::Confusion;
pub use named::name_or_table;
pub use optim::{At, Clip, Optimizer};
pub use schedule::{Plateau, Progress, Schedule};
pub(crate) use trainer::fingerprint;
pub use trainer::{Best, StepResult, Trainer, load_checkpoint_weights, read_checkpoint};
