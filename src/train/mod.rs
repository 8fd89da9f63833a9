//! Training: everything between the last layer's output and the next weights.
//!
//! - [`loss`]: what is minimised; softmax and sigmoid are fused into their cross-entropies.
//! - [`optim`]: how a gradient changes the weights, and how gradients are clipped before.
//! - [`schedule`]: how the learning rate changes while a network is trained.
//! - [`metrics`]: accuracy, confusion matrix, confidence intervals.
//!
//! All of them are plain values that a text file can hold: [`Loss`], [`Optimizer`] and [`Schedule`] are read
//! from a name alone (`"adam"`) or from a table with settings; see [`name_or_table`].

pub mod loss;
pub mod metrics;
mod named;
pub mod optim;
pub mod schedule;

pub use loss::{Loss, LossKernel, Targets};
pub use metrics::Confusion;
pub use named::name_or_table;
pub use optim::{At, Clip, Optimizer};
pub use schedule::{Plateau, Progress, Schedule};
