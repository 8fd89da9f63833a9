//! Batch normalisation: each channel is shifted and scaled to mean 0 and variance 1, then to a learned scale and offset.
//!
//! ```text
//! training:   mean = sum x / N,  var = sum (x - mean)^2 / N      over batch and pixels
//!             y = gamma (x - mean) / sqrt(var + epsilon) + beta
//!             moving = momentum moving + (1 - momentum) batch
//! inference:  the same with the moving statistics
//! backward:   xh = (x - mean) / sqrt(var + epsilon),  dbeta = sum dy,  dgamma = sum dy xh
//!             dx = gamma / sqrt(var + epsilon) (dy - dbeta / N - xh dgamma / N)
//! ```
//!
//! Each way takes two passes over memory: one for two sums per channel, one for
//! the result. The squares are those of `x - shift`, where `shift` is the mean
//! of the first few rows, so that a mean far from 0 costs no digits.
//!
//! Source: Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::init::Init;
use crate::ops::channels::Channels;
use crate::ops::pieces::{not_negative, only};
use crate::ops::{Compiled, Ctx, Io, Mode, Needs, ParamSpec, Rule, Step, Twin};
use crate::tensor::Shape;

/// Normalises each channel (the last axis) over the batch; `[.., c] -> [.., c]`.
///
/// Parameters: `gamma` (ones) if `scale`, `beta` (zeros) if `center`, and the statistics `moving_mean` (zeros) and `moving_variance` (ones),
/// which training updates but no optimiser. As in Keras, the moving variance is the mean square (divided by N; PyTorch
/// divides by N - 1).
///
/// ```
/// use striate::ops::{BatchNorm, Rule};
/// let norm = BatchNorm { momentum: 0.9, ..BatchNorm::default() };
/// assert_eq!(norm.params(&[[8, 8, 32].into()])[0].dims, [32]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchNorm {
    /// How much of the moving statistics a step keeps (Keras: 0.99; PyTorch's 0.1 is 0.9 here).
    pub momentum: f32,
    /// What is added to the variance.
    pub epsilon: f32,
    /// Whether there is a learned offset, `beta`.
    #[serde(skip_serializing_if = "is_yes")]
    pub center: bool,
    /// Whether there is a learned scale, `gamma`.
    #[serde(skip_serializing_if = "is_yes")]
    pub scale: bool,
}

fn is_yes(value: &bool) -> bool {
    *value
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { momentum: 0.99, epsilon: 1e-3, center: true, scale: true }
    }
}

impl BatchNorm {
    /// Sets how much of the moving statistics a step keeps.
    #[must_use]
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Sets whether there is a learned offset.
    #[must_use]
    pub fn center(mut self, center: bool) -> Self {
        self.center = center;
        self
    }

    /// Sets whether there is a learned scale.
    #[must_use]
    pub fn scale(mut self, scale: bool) -> Self {
        self.scale = scale;
        self
    }

    // The numbers of the parameters.
    fn gamma(&self) -> Option<usize> {
        self.scale.then_some(0)
    }

    fn beta(&self) -> Option<usize> {
        self.center.then_some(usize::from(self.scale))
    }

    fn mean(&self) -> usize {
        usize::from(self.scale) + usize::from(self.center)
    }

    fn variance(&self) -> usize {
        self.mean() + 1
    }
}

impl Rule for BatchNorm {
    fn class(&self) -> &'static str {
        "BatchNormalization"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        not_negative("epsilon", self.epsilon)?;
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::argument(format!("momentum {} is out of range", self.momentum))
                .with_help("momentum is the part that is kept, 0 to 1; Keras uses 0.99"));
        }
        only(self.class(), x)
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let c = x[0].channels();
        let spec = |name, init, trainable| ParamSpec { name, dims: vec![c], init, fans: (c, c), trainable };
        let gamma = self.scale.then(|| spec("gamma", Init::Ones, true));
        let beta = self.center.then(|| spec("beta", Init::Zeros, true));
        let statistics = [spec("moving_mean", Init::Zeros, false), spec("moving_variance", Init::Ones, false)];
        gamma.into_iter().chain(beta).chain(statistics).collect()
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        y.len() as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let channels = Channels::new(ctx.y.channels(), ctx.isa);
        let saved = if ctx.mode == Mode::Train { vec![3 * channels.channels] } else { Vec::new() };
        let work = channels.coefficients() + channels.pieces(ctx.batch * ctx.y.len()) * channels.sums();
        let step = Box::new(Normalise { rule: self.clone(), mode: ctx.mode, channels });
        Ok(Compiled { step, needs: Needs { x: true, y: false }, saved, work, notes: Vec::new() })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let (x, c) = (t.x[0], t.shapes[0].channels());
        let n = (x.len() / c) as f64;
        let of = |ch: usize| x.iter().skip(ch).step_by(c);
        let statistics: Vec<(f64, f64)> = (0..c)
            .map(|ch| {
                let mean = of(ch).sum::<f64>() / n;
                let variance = of(ch).map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                if t.mode == Mode::Train { (mean, variance) } else { (t.w[self.mean()][ch], t.w[self.variance()][ch]) }
            })
            .collect();
        let one = |(i, v): (usize, &f64)| {
            let (mean, variance) = statistics[i % c];
            let gamma = self.gamma().map_or(1.0, |gamma| t.w[gamma][i % c]);
            let beta = self.beta().map_or(0.0, |beta| t.w[beta][i % c]);
            gamma * (v - mean) / libm::sqrt(variance + f64::from(self.epsilon)) + beta
        };
        x.iter().enumerate().map(one).collect()
    }
}

struct Normalise {
    rule: BatchNorm,
    mode: Mode,
    channels: Channels,
}

/// The statistics of one channel; `rest` is what rounding `center` to f32 took from the mean, in standard deviations.
struct Channel {
    center: f32,
    inverse: f64,
    rest: f64,
}

impl Step for Normalise {
    fn forward(&self, io: &Io<'_>) {
        let (channels, x, mut y, mut work) = (&self.channels, io.x(0), io.y_mut(), io.work());
        let (coefficients, sums) = work.split_at_mut(channels.coefficients());
        let x = &*x;
        let sums = &mut sums[..channels.pieces(x.len()) * channels.sums()];
        if self.mode == Mode::Train {
            channels.shift(x, coefficients);
            let shift = &coefficients[..channels.lanes];
            io.team.chunks(sums, channels.sums(), |i, sums| (channels.moments)(shift, channels.part(x, i), sums));
        }
        for c in 0..channels.channels {
            let channel = match self.mode {
                Mode::Train => self.learn(io, c, f64::from(coefficients[c]), x, sums),
                Mode::Infer => self.recall(io, c),
            };
            let gamma = self.gamma(io, c);
            let offset = self.rule.beta().map_or(0.0, |beta| f64::from(io.w(beta)[c])) + gamma * channel.rest;
            let scale = gamma * channel.inverse;
            channels.spread(coefficients, c, [channel.center, scale as f32, offset as f32, 0.0]);
        }
        let coefficients = &*coefficients;
        io.team.chunks(&mut y, channels.piece, |i, y| (channels.line)(coefficients, channels.part(x, i), y));
    }

    fn backward(&self, io: &Io<'_>) {
        let (channels, x, dy, mut work, saved) = (&self.channels, io.x(0), io.dy(), io.work(), io.saved(0));
        let (x, dy) = (&*x, &*dy);
        let (coefficients, sums) = work.split_at_mut(channels.coefficients());
        let sums = &mut sums[..channels.pieces(x.len()) * channels.sums()];
        for c in 0..channels.channels {
            channels.spread(coefficients, c, [saved[3 * c], 0.0, 0.0, 0.0]);
        }
        let centers = &coefficients[..channels.lanes];
        io.team.chunks(sums, channels.sums(), |i, sums| {
            (channels.products)(centers, channels.part(x, i), channels.part(dy, i), sums);
        });
        for c in 0..channels.channels {
            let [center, inverse, rest] = [saved[3 * c], saved[3 * c + 1], saved[3 * c + 2]];
            let [p, q, r] = self.learn_gradient(io, c, [inverse.into(), rest.into()], x.len(), sums);
            channels.spread(coefficients, c, [center, p, q, r]);
        }
        let coefficients = &*coefficients;
        if let Some(mut dx) = io.dx(0) {
            io.team.chunks(&mut dx, channels.piece, |i, dx| {
                (channels.gradient)(coefficients, channels.part(x, i), channels.part(dy, i), dx);
            });
        }
    }
}

impl Normalise {
    fn gamma(&self, io: &Io<'_>, c: usize) -> f64 {
        self.rule.gamma().map_or(1.0, |gamma| f64::from(io.w(gamma)[c]))
    }

    // The batch's statistics of a channel, which also move the moving ones and are kept for backward.
    fn learn(&self, io: &Io<'_>, c: usize, shift: f64, x: &[f32], sums: &[f32]) -> Channel {
        let n = (x.len() / self.channels.channels) as f64;
        let [sum, squares] = self.channels.totals(c, sums);
        let mean = shift + sum / n;
        let variance = (squares / n - (sum / n) * (sum / n)).max(0.0);
        for (i, batch) in [(self.rule.mean(), mean), (self.rule.variance(), variance)] {
            let (moving, keep) = (&mut io.w_mut(i)[c], f64::from(self.rule.momentum));
            *moving = (f64::from(*moving) * keep + batch * (1.0 - keep)) as f32;
        }
        let inverse = 1.0 / (variance + f64::from(self.rule.epsilon)).sqrt();
        let channel = Channel { center: mean as f32, inverse, rest: (f64::from(mean as f32) - mean) * inverse };
        let saved = [channel.center, inverse as f32, channel.rest as f32];
        io.saved(0)[3 * c..3 * c + 3].copy_from_slice(&saved);
        channel
    }

    // The moving statistics of a channel.
    fn recall(&self, io: &Io<'_>, c: usize) -> Channel {
        let variance = f64::from(io.w(self.rule.variance())[c]);
        let inverse = 1.0 / (variance + f64::from(self.rule.epsilon)).sqrt();
        Channel { center: io.w(self.rule.mean())[c], inverse, rest: 0.0 }
    }

    // Writes the gradients to gamma and beta of a channel, and tells `p, q, r` of `dx = p dy + q (x - center) + r`.
    fn learn_gradient(&self, io: &Io<'_>, c: usize, [inverse, rest]: [f64; 2], len: usize, sums: &[f32]) -> [f32; 3] {
        let n = (len / self.channels.channels) as f64;
        let [dbeta, product] = self.channels.totals(c, sums);
        let dgamma = inverse * product + rest * dbeta;
        if let Some(gamma) = self.rule.gamma() {
            io.dw(gamma)[c] = dgamma as f32;
        }
        if let Some(beta) = self.rule.beta() {
            io.dw(beta)[c] = dbeta as f32;
        }
        let scale = self.gamma(io, c) * inverse;
        [scale as f32, (-scale * inverse * dgamma / n) as f32, (-scale * (dbeta + rest * dgamma) / n) as f32]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{Numbers, Options, run};
    use crate::ops::proof::{everywhere, options};

    #[test]
    fn several_geometries_everywhere() {
        for shape in
            [Shape::from([1]), [6].into(), [5, 3].into(), [9, 7, 3].into(), [4, 5, 70].into(), [61, 33, 17].into()]
        {
            everywhere(&BatchNorm::default(), &[shape], 4, 2e-5);
        }
    }

    #[test]
    fn without_offset_or_scale_everywhere() {
        for (center, scale) in [(false, true), (true, false), (false, false)] {
            let norm = BatchNorm::default().center(center).scale(scale);
            everywhere(&norm, &[[9, 7, 3].into()], 4, 2e-5);
            let names: Vec<&str> = norm.params(&[[3].into()]).iter().map(|p| p.name).collect();
            assert_eq!((names.contains(&"beta"), names.contains(&"gamma")), (center, scale));
        }
        assert!(!serde_json::to_string(&BatchNorm::default()).unwrap().contains("center"));
    }

    fn ran(mode: Mode, x: Vec<f32>, w: [Vec<f32>; 4]) -> (Vec<f32>, Vec<Vec<f32>>) {
        let numbers = Numbers { dy: vec![0.0; x.len()], x: vec![x], w: w.to_vec() };
        let batch = numbers.x[0].len();
        let o = run(&BatchNorm::default(), &[[1].into()], Options { batch, mode, ..options() }, &numbers).unwrap();
        (o.y, o.w)
    }

    // Keras: mean 3, biased variance 2; moving = 0.99 moving + 0.01 batch.
    #[test]
    fn moving_statistics_follow_keras() {
        let start = [vec![1.0], vec![0.0], vec![0.0], vec![1.0]];
        let (_, w) = ran(Mode::Train, vec![1., 2., 3., 4., 5.], start.clone());
        assert!((w[2][0] - 0.03).abs() < 1e-7 && (w[3][0] - 1.01).abs() < 1e-6, "{w:?}");
        let (y, w) = ran(Mode::Infer, vec![2.0], start.clone());
        assert!((y[0] - 2.0 / 1.001_f32.sqrt()).abs() < 1e-6 && w == start);
    }

    #[test]
    fn a_mean_far_from_zero_costs_no_digits() {
        let x: Vec<f32> = (0..10_000).map(|i| 4096.0 + (i % 64) as f32 / 64.0).collect();
        let (y, w) = ran(Mode::Train, x, [vec![1.0], vec![0.0], vec![0.0], vec![0.0]]);
        let values = (0..10_000).map(|i| f64::from(i % 64) / 64.0);
        let mean = values.clone().sum::<f64>() / 1e4;
        let variance = values.clone().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e4;
        assert!((f64::from(w[3][0]) / 0.01 / variance - 1.0).abs() < 1e-6);
        let worst = values.zip(&y).map(|(v, y)| ((v - mean) / (variance + 1e-3).sqrt() - f64::from(*y)).abs());
        assert!(worst.fold(0.0, f64::max) < 1e-6);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(BatchNorm::default().momentum(1.5).shape(&[[2].into()]).is_err());
        assert!(BatchNorm::default().epsilon(-1.0).shape(&[[2].into()]).is_err());
        assert!(BatchNorm::default().epsilon(f32::NAN).shape(&[[2].into()]).is_err());
    }
}
