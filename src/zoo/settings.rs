//! Training settings that networks share: those of the papers, for batches that a small machine can hold.
//!
//! Papers train on batches of 128 to 1024 images. Here a batch has 32, and the learning rate is smaller in proportion
//! (the linear rule of Goyal et al. 2017, arXiv:1706.02677).

use crate::train::optim::{Rmsprop, Sgd};
use crate::train::schedule::{Curve, Step};
use crate::train::{FitConfig, Schedule};

const BATCH: usize = 32;

/// A published run: the learning rate, the batch that it was for, the weight decay, and the length.
pub(super) struct Published {
    pub rate: f32,
    pub batch: usize,
    pub decay: f32,
    pub epochs: u32,
    pub curve: Curve,
}

impl Published {
    pub(super) fn rate(&self) -> f32 {
        self.rate * BATCH as f32 / self.batch as f32
    }

    /// Trained with momentum 0.9.
    pub fn sgd(self) -> FitConfig {
        let weight_decay = Some(self.decay).filter(|d| *d > 0.0);
        let sgd = Sgd { learning_rate: self.rate(), momentum: 0.9, weight_decay, ..Sgd::default() };
        FitConfig { optimizer: sgd.into(), ..self.run() }
    }

    /// Trained with RMSprop and momentum 0.9.
    pub fn rmsprop(self, epsilon: f32) -> FitConfig {
        let weight_decay = Some(self.decay).filter(|d| *d > 0.0);
        let settings =
            Rmsprop { learning_rate: self.rate(), momentum: 0.9, epsilon, weight_decay, ..Rmsprop::default() };
        FitConfig { optimizer: settings.into(), ..self.run() }
    }

    /// The length and the schedule, with the optimiser still open.
    pub fn run(&self) -> FitConfig {
        FitConfig {
            epochs: self.epochs,
            batch_size: BATCH,
            schedule: Schedule::from(self.curve),
            ..FitConfig::default()
        }
    }
}

/// A factor on the learning rate every so many epochs.
pub(super) fn steps(every_epochs: u64, factor: f64) -> Curve {
    Curve::Step(Step { every_epochs, factor })
}
