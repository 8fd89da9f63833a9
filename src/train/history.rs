//! The history of a training run: what each epoch gave.

use serde::{Deserialize, Serialize};

/// What one epoch gave. Three kinds of accuracy differ, so each has its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochLog {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Updates so far.
    pub step: u64,
    /// Mean training loss *as it ran*: each batch was measured before its update. Where the network has heads, their
    /// weighted losses are added, as they are in what training minimises.
    pub loss: f64,
    /// Training accuracy *as it ran*.
    pub accuracy: f64,
    /// Loss on the validation set after the epoch, without heads.
    pub val_loss: Option<f64>,
    /// Accuracy on the validation set after the epoch.
    pub val_accuracy: Option<f64>,
    /// The learning rate of the last update.
    pub learning_rate: f32,
    /// Seconds of training in this epoch, without validation.
    pub seconds: f64,
    /// The digest of the weights after the epoch.
    pub digest: String,
}

/// What each epoch of a training run gave (E14).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// One entry for each finished epoch.
    pub epochs: Vec<EpochLog>,
    /// The training loss of each update.
    #[serde(skip)]
    pub step_loss: Vec<f32>,
    /// The epoch whose weights were restored by early stopping.
    pub restored_epoch: Option<u32>,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
}

impl History {
    /// The last epoch.
    pub fn last(&self) -> Option<&EpochLog> {
        self.epochs.last()
    }

    /// The epochs as a CSV table with a header.
    pub fn to_csv(&self) -> String {
        let mut out = String::from("epoch,step,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,digest\n");
        let number = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        for e in &self.epochs {
            let (val_loss, val_accuracy) = (number(e.val_loss), number(e.val_accuracy));
            out.push_str(&format!(
                "{},{},{},{},{val_loss},{val_accuracy},{},{:.3},{}\n",
                e.epoch, e.step, e.loss, e.accuracy, e.learning_rate, e.seconds, e.digest
            ));
        }
        out
    }
}
