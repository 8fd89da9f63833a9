//! Normalisations, and dropout.

use super::{Exporter, Held, float, int};
use crate::error::Result;
use crate::ops::{BatchNorm, Dropout, Lrn};

impl Exporter<'_> {
    pub(super) fn batch_norm(&mut self, op: &BatchNorm, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let c = x.dims[0];
        let mut names = vec![x.name.clone()];
        for (name, default) in [("gamma", 1.0), ("beta", 0.0), ("moving_mean", 0.0), ("moving_variance", 1.0)] {
            names.push(self.or_filled(name, c, default));
        }
        let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let attributes = vec![float("epsilon", op.epsilon), float("momentum", op.momentum)];
        Ok(x.named(self.emit("BatchNormalization", &inputs, attributes)))
    }

    // A parameter, or where the layer has none, so many equal numbers.
    pub(super) fn or_filled(&mut self, name: &str, len: usize, default: f32) -> String {
        match self.param(name) {
            Ok(p) => self.floats(name, &[len], &p.data),
            Err(_) => self.floats(name, &[len], &vec![default; len]),
        }
    }

    pub(super) fn lrn(&mut self, op: &Lrn, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let alpha = if op.average { op.alpha } else { op.alpha * op.size as f32 };
        let (beta, k) = (float("beta", op.beta), float("bias", op.k));
        let attributes = vec![int("size", op.size as i64), float("alpha", alpha), beta, k];
        Ok(x.named(self.emit("LRN", &[&x.name], attributes)))
    }

    pub(super) fn dropout(&mut self, op: &Dropout, x: &Held) -> Result<Held> {
        let ratio = self.floats("ratio", &[], &[op.rate]);
        Ok(x.named(self.emit("Dropout", &[&x.name, &ratio], Vec::new())))
    }
}
