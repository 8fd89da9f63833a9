//! The settings of a training run.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::train::optim::Adam;
use crate::train::{Clip, Loss, Optimizer, Schedule, name_or_table};

/// The settings of a training run. The same settings, seed and data give the same weights, to the bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitConfig {
    /// Passes over the training set.
    pub epochs: u32,
    /// Stop after so many updates, even in the middle of an epoch.
    pub updates: Option<u64>,
    /// Samples in a batch; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// The optimiser with its learning rate.
    #[serde(deserialize_with = "name_or_table")]
    pub optimizer: Optimizer,
    /// How the learning rate changes.
    #[serde(deserialize_with = "name_or_table")]
    pub schedule: Schedule,
    /// The loss.
    #[serde(deserialize_with = "name_or_table")]
    pub loss: Loss,
    /// Whether gradients are clipped.
    pub clip: Clip,
    /// Whether the order of the samples is drawn anew for each epoch.
    pub shuffle: bool,
    /// A factor on the loss of each class.
    pub class_weights: Option<Vec<f32>>,
    /// Whether and when to stop before the last epoch.
    pub early_stopping: Option<EarlyStopping>,
    /// The seed of the weights, of the order of the samples and of dropout.
    pub seed: u64,
}

/// Stop when the validation loss no longer falls, and go back to the best weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// Epochs without an improvement after which to stop.
    pub patience: u32,
    /// How much lower the loss must be to count as an improvement.
    pub min_delta: f64,
    /// Whether the weights of the best epoch are the result.
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 3, min_delta: 0.0, restore_best: true }
    }
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            epochs: 5,
            updates: None,
            batch_size: 64,
            optimizer: Adam::default().into(),
            schedule: Schedule::default(),
            loss: Loss::default(),
            clip: Clip::default(),
            shuffle: true,
            class_weights: None,
            early_stopping: None,
            seed: 0,
        }
    }
}

impl FitConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// One is out of its range; it is named.
    pub fn validate(&self) -> Result<()> {
        if self.epochs == 0 {
            return Err(Error::argument("0 epochs train nothing").with_help("give at least 1 epoch"));
        }
        if self.updates == Some(0) {
            return Err(Error::argument("0 updates train nothing").with_help("give at least 1 update"));
        }
        if self.batch_size == 0 || self.batch_size > 1 << 20 {
            return Err(Error::argument(format!("a batch of {} samples cannot be trained", self.batch_size))
                .with_help(format!("give 1 to {}", 1 << 20)));
        }
        let bad_weight = |w: &&f32| !w.is_finite() || **w < 0.0;
        if let Some(weight) = self.class_weights.iter().flatten().find(bad_weight) {
            return Err(Error::argument(format!("class weight {weight} is not a number of at least 0")));
        }
        if let Some(EarlyStopping { patience: 0, .. }) = self.early_stopping {
            return Err(
                Error::argument("early stopping with a patience of 0 would stop at once").with_help("give at least 1")
            );
        }
        self.optimizer.validate()?;
        self.schedule.validate()?;
        self.loss.validate()?;
        self.clip.validate()
    }
}
