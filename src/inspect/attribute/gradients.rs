//! The methods that are a gradient to the input, or a mean of many.

use super::Look;
use crate::error::{Error, Result};
use crate::inspect::tape::{ReluRule, Spot, Tape};
use crate::rng::Rng;
use crate::tensor::Tensor;

// Samples that are run together.
pub(super) const BATCH: usize = 4;
const MOST: usize = 10_000;

/// The gradient to the input, `[h, w, c]`.
pub(super) fn gradient(look: &Look<'_>, rule: ReluRule) -> Result<Tensor> {
    let mut tape = Tape::new(look.model, 1, &look.tape())?;
    if rule == ReluRule::Guided && !tape.has_relu() {
        return Err(Error::argument(format!(
            "{} has no ReLU for the gradient to be guided by",
            look.model.graph().name()
        ))
        .with_help("use saliency, smoothgrad or integrated-gradients"));
    }
    tape.forward(look.x)?;
    tape.backward(Spot::Logits, &look.seed(1)?, rule)?;
    tape.input_gradient().reshape(&look.dims)
}

/// The mean gradient of noisy copies, `[h, w, c]`.
pub(super) fn smooth(look: &Look<'_>) -> Result<Tensor> {
    let noise = look.config.noise;
    if !(noise.is_finite() && noise > 0.0) {
        return Err(Error::argument(format!("noise of {noise} is out of range"))
            .with_help("give a part of the range of the input, such as 0.15"));
    }
    let (low, high) = look.x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let spread = noise * (high - low).max(f32::MIN_POSITIVE);
    let rng = Rng::new(look.config.seed).split("smoothgrad");
    let mean = mean_gradient(look, |i, x| {
        let mut rng = rng.split_at(i as u64);
        x.iter_mut().zip(look.x).for_each(|(x, of)| *x = of + spread * rng.normal() as f32);
    })?;
    Tensor::new(&look.dims, mean.iter().map(|v| *v as f32).collect())
}

// The mean of the gradient to the input over samples that `fill` makes. The sum is in f64 and has one order.
fn mean_gradient(look: &Look<'_>, fill: impl Fn(usize, &mut [f32])) -> Result<Vec<f64>> {
    let n = checked(look)?;
    let mut sum = vec![0.0; look.x.len()];
    let add = |_: usize, dx: &[f32]| sum.iter_mut().zip(dx).for_each(|(sum, dx)| *sum += f64::from(*dx));
    Gradients::new(look, BATCH.min(n))?.each(n, fill, add)?;
    Ok(sum.into_iter().map(|sum| sum / n as f64).collect())
}

pub(super) fn checked(look: &Look<'_>) -> Result<usize> {
    match look.config.samples {
        n if n == 0 || n > MOST => {
            Err(Error::argument(format!("{n} samples are out of range")).with_help(format!("give 1 to {MOST}")))
        }
        n => Ok(n),
    }
}

/// Gradients of the class's score to many samples.
pub(super) struct Gradients<'a> {
    tape: Tape,
    x: Vec<f32>,
    seed: Vec<f32>,
    look: &'a Look<'a>,
}

impl<'a> Gradients<'a> {
    /// So many samples are run together.
    pub fn new(look: &'a Look<'a>, batch: usize) -> Result<Self> {
        let tape = Tape::new(look.model, batch, &look.tape())?;
        Ok(Self { tape, x: vec![0.0; batch * look.x.len()], seed: look.seed(batch)?, look })
    }

    /// The gradients of `n` samples that `fill` makes, in their order.
    pub fn each(
        &mut self,
        n: usize,
        fill: impl Fn(usize, &mut [f32]),
        mut take: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        let (len, batch) = (self.look.x.len(), self.tape.batch());
        for start in (0..n).step_by(batch) {
            let count = batch.min(n - start);
            self.x.chunks_mut(len).take(count).enumerate().for_each(|(i, x)| fill(start + i, x));
            self.tape.forward(&self.x)?;
            self.tape.backward(Spot::Logits, &self.seed, ReluRule::Derivative)?;
            let dx = self.tape.input_gradient();
            dx.data().chunks(len).take(count).enumerate().for_each(|(i, dx)| take(start + i, dx));
        }
        Ok(())
    }
}

/// The largest size over the channels of each pixel, `[h, w]`.
pub(super) fn largest(dx: &Tensor) -> Result<Tensor> {
    let [h, w, c] = [dx.dims()[0], dx.dims()[1], dx.dims()[2]];
    Tensor::new(&[h, w], dx.data().chunks(c).map(|pixel| pixel.iter().fold(0.0, |m: f32, v| m.max(v.abs()))).collect())
}
