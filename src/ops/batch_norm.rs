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
//! the result. A sum with another branch and an activation behind are part of the same passes,
//! `y = f(norm(x) + r)`; where there is no `r`, backward works `y` out again from `x`, and so can a plan that would
//! rather not keep it ([`Step::again`]). The squares are those of `x - shift`, where `shift` is the mean
//! of the first few rows, so that a mean far from 0 costs no digits.
//!
//! Source: Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.

mod passes;

use serde::{Deserialize, Serialize};

use crate::conv::Fused;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::ops::channels::Channels;
use crate::ops::convolve::must_fuse;
use crate::ops::pieces::{copy, not_negative, only};
use crate::ops::{Compiled, Ctx, Fuses, Io, Line, Mode, Needs, ParamSpec, Rule, Step, Twin};
use crate::simd::Isa;
use crate::tensor::Shape;
use passes::Rows;

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
        let (train, residual, fused) =
            (ctx.mode == Mode::Train, ctx.fusion.residual, must_fuse(ctx.fusion.activation)?);
        let saved = if train { vec![SAVED * channels.channels] } else { Vec::new() };
        let sums = channels.pieces(ctx.batch * ctx.y.len()) * channels.sums();
        let work = if train { 2 * channels.coefficients() + sums } else { channels.coefficients() };
        let needs = Needs { x: true, y: train && residual && fused != Fused::Linear };
        let hands_on = if residual { vec![1] } else { Vec::new() };
        let step = Box::new(Normalise { rule: self.clone(), mode: ctx.mode, channels, isa: ctx.isa, residual, fused });
        Ok(Compiled { needs, saved, work, again: train && !residual, hands_on, ..Compiled::new(step) })
    }

    fn fuses(&self, _x: &[Shape], _mode: Mode) -> Fuses {
        Fuses { residual: true, activation: true, ..Fuses::default() }
    }

    fn as_line(&self) -> Option<&dyn Line> {
        Some(self)
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

impl Line for BatchNorm {
    fn count(&self) -> usize {
        self.variance() + 1
    }

    fn at(&self, w: &[&[f32]], c: usize) -> [f64; 2] {
        let of = |i: Option<usize>, missing| i.map_or(missing, |i: usize| f64::from(w[i][c]));
        let scale = of(self.gamma(), 1.0) / (f64::from(w[self.variance()][c]) + f64::from(self.epsilon)).sqrt();
        [scale, of(self.beta(), 0.0) - f64::from(w[self.mean()][c]) * scale]
    }
}

// What is kept for backward of each channel: centre, inverse, rest, and the line's scale and offset.
const SAVED: usize = 5;

struct Normalise {
    rule: BatchNorm,
    mode: Mode,
    channels: Channels,
    isa: Isa,
    /// Whether the second input is added.
    residual: bool,
    fused: Fused,
}

/// The statistics of one channel; `rest` is what rounding `center` to f32 took from the mean, in standard deviations.
struct Channel {
    center: f32,
    inverse: f64,
    rest: f64,
}

impl Step for Normalise {
    fn forward(&self, io: &Io<'_>) {
        let (channels, x, mut work) = (&self.channels, io.x(0), io.work());
        let (lines, sums) = work.split_at_mut(channels.coefficients());
        match self.mode {
            Mode::Train => {
                let sums = &mut sums[channels.coefficients()..][..channels.pieces(x.len()) * channels.sums()];
                self.learn(io, &x, lines, sums);
            }
            Mode::Infer => (0..channels.channels).for_each(|c| {
                let line = self.line(io, c, &self.recall(io, c));
                channels.spread(lines, c, line);
            }),
        }
        self.write(io, lines, &x);
    }

    fn backward(&self, io: &Io<'_>) {
        let (channels, x, mut work, saved) = (&self.channels, io.x(0), io.work(), io.saved(0));
        let x = &*x;
        let (lines, rest) = work.split_at_mut(channels.coefficients());
        let (coefficients, sums) = rest.split_at_mut(channels.coefficients());
        let sums = &mut sums[..channels.pieces(x.len()) * channels.sums()];
        self.saved_lines(&saved, lines);
        // With another branch, `dy` becomes its gradient, and is not masked a second time.
        let fused = if self.residual { Fused::Linear } else { self.fused };
        if self.residual && self.fused != Fused::Linear {
            self.mask(io, lines, x, sums);
        } else {
            let (dy, products) = (io.dy(), passes::products(self.isa));
            let dy = &*dy;
            io.team.chunks(sums, channels.sums(), |i, sums| {
                products(self.rows(lines, channels.part(x, i), fused), channels.part(dy, i), sums);
            });
        }
        channels.each_total(sums, |c, totals| {
            let [p, q, r] = self.learn_gradient(io, c, &saved[SAVED * c..][..SAVED], x.len(), totals);
            channels.spread(coefficients, c, [0.0, p, q, r]);
        });
        let (coefficients, dy, gradient) = (&*coefficients, io.dy(), passes::gradient(self.isa));
        let dy = &*dy;
        if let Some(mut dx) = io.dx(0) {
            io.team.chunks(&mut dx, channels.piece, |i, dx| {
                let rows = self.rows(lines, channels.part(x, i), fused);
                gradient(rows, coefficients, channels.part(dy, i), dx);
            });
        }
        if let Some(mut dx) = self.residual.then(|| io.dx(1)).flatten() {
            copy(io, dy, &mut dx);
        }
    }

    fn again(&self, io: &Io<'_>) {
        let (mut work, saved) = (io.work(), io.saved(0));
        let lines = &mut work[..self.channels.coefficients()];
        self.saved_lines(&saved, lines);
        self.write(io, lines, &io.x(0));
    }
}

impl Normalise {
    fn gamma(&self, io: &Io<'_>, c: usize) -> f64 {
        self.rule.gamma().map_or(1.0, |gamma| f64::from(io.w(gamma)[c]))
    }

    fn rows<'a>(&self, line: &'a [f32], x: &'a [f32], fused: Fused) -> Rows<'a> {
        Rows { line, x, residual: &[], fused }
    }

    // y = f(line(x) + r)
    fn write(&self, io: &Io<'_>, lines: &[f32], x: &[f32]) {
        let (channels, mut y, forward) = (&self.channels, io.y_mut(), passes::forward(self.isa));
        let residual = self.residual.then(|| io.x(1));
        let residual = residual.as_deref().unwrap_or(&[]);
        io.team.chunks(&mut y, channels.piece, |i, y| {
            let residual = residual.get(i * channels.piece..).map_or(&[][..], |r| &r[..r.len().min(y.len())]);
            forward(Rows { residual, ..self.rows(lines, channels.part(x, i), self.fused) }, y);
        });
    }

    // The gradient through the activation, written over `dy`, and its sums.
    fn mask(&self, io: &Io<'_>, lines: &[f32], x: &[f32], sums: &mut [f32]) {
        let (channels, mut dy, y, masked) = (&self.channels, io.dy_mut(), io.y(), passes::masked_products(self.isa));
        let y = &*y;
        io.team.chunks2((&mut dy, channels.piece), (sums, channels.sums()), |i, dy, sums| {
            masked(self.rows(lines, channels.part(x, i), self.fused), channels.part(y, i), dy, sums);
        });
    }

    // The lines as forward had them.
    fn saved_lines(&self, saved: &[f32], lines: &mut [f32]) {
        for (c, saved) in saved.chunks_exact(SAVED).enumerate() {
            self.channels.spread(lines, c, [saved[0], saved[3], saved[4], 0.0]);
        }
    }

    // The coefficients of a channel's line.
    fn line(&self, io: &Io<'_>, c: usize, channel: &Channel) -> [f32; 4] {
        let gamma = self.gamma(io, c);
        let offset = self.rule.beta().map_or(0.0, |beta| f64::from(io.w(beta)[c])) + gamma * channel.rest;
        [channel.center, (gamma * channel.inverse) as f32, offset as f32, 0.0]
    }

    // The batch's statistics, which become the lines, move the moving ones, and are kept for backward.
    fn learn(&self, io: &Io<'_>, x: &[f32], lines: &mut [f32], sums: &mut [f32]) {
        let channels = &self.channels;
        channels.shift(x, lines);
        let shift = &lines[..channels.lanes];
        io.team.chunks(sums, channels.sums(), |i, sums| (channels.moments)(shift, channels.part(x, i), sums));
        let n = (x.len() / channels.channels) as f64;
        let (mut means, mut variances) = (io.w_mut(self.rule.mean()), io.w_mut(self.rule.variance()));
        let mut saved = io.saved(0);
        channels.each_total(sums, |c, [sum, squares]| {
            let mean = f64::from(lines[c]) + sum / n;
            let variance = (squares / n - (sum / n) * (sum / n)).max(0.0);
            self.follow(&mut means[c], mean);
            self.follow(&mut variances[c], variance);
            let inverse = 1.0 / (variance + f64::from(self.rule.epsilon)).sqrt();
            let rest = (f64::from(mean as f32) - mean) * inverse;
            let line = self.line(io, c, &Channel { center: mean as f32, inverse, rest });
            let kept = [mean as f32, inverse as f32, rest as f32, line[1], line[2]];
            saved[SAVED * c..][..SAVED].copy_from_slice(&kept);
            channels.spread(lines, c, line);
        });
    }

    fn follow(&self, moving: &mut f32, batch: f64) {
        let keep = f64::from(self.rule.momentum);
        *moving = (f64::from(*moving) * keep + batch * (1.0 - keep)) as f32;
    }

    // The moving statistics of a channel.
    fn recall(&self, io: &Io<'_>, c: usize) -> Channel {
        let variance = f64::from(io.w(self.rule.variance())[c]);
        let inverse = 1.0 / (variance + f64::from(self.rule.epsilon)).sqrt();
        Channel { center: io.w(self.rule.mean())[c], inverse, rest: 0.0 }
    }

    // Writes the gradients to gamma and beta of a channel, and tells `p, q, r` of `dx = p dy + q (x - center) + r`.
    fn learn_gradient(&self, io: &Io<'_>, c: usize, saved: &[f32], len: usize, totals: [f64; 2]) -> [f32; 3] {
        let (n, [dbeta, product]) = ((len / self.channels.channels) as f64, totals);
        let [inverse, rest] = [saved[1], saved[2]].map(f64::from);
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
    use crate::ops::proof::{Passing, everywhere, options};
    use crate::ops::{Activation, Binding, Fusion, Memory, Slot};
    use crate::parallel::Pool;
    use crate::rng::Rng;

    #[test]
    fn several_geometries_everywhere() {
        for shape in
            [Shape::from([1]), [6].into(), [5, 3].into(), [9, 7, 3].into(), [4, 5, 70].into(), [61, 33, 17].into()]
        {
            everywhere(&BatchNorm::default(), &[shape], 4, 2e-5);
        }
    }

    #[test]
    fn with_another_branch_and_activations_everywhere() {
        for activation in [Activation::Linear, Activation::Relu, Activation::Relu6, Activation::LeakyRelu(0.1)] {
            for shape in [Shape::from([6]), [9, 7, 3].into(), [4, 5, 70].into(), [61, 33, 17].into()] {
                let norm = Passing { activation, ..Passing::new(BatchNorm::default()) };
                everywhere(&norm, &[shape], 4, 2e-5);
                everywhere(&Passing { residual: true, ..norm }, &[shape; 2], 4, 2e-5);
            }
        }
    }

    #[test]
    fn the_output_computed_again_has_the_same_bits() {
        let (x, needs_dx) = ([[9, 7, 33].into()], [true]);
        let fusion = Fusion { activation: Activation::Relu, ..Fusion::default() };
        let ctx = Ctx {
            batch: 3,
            x: &x,
            y: x[0],
            mode: Mode::Train,
            isa: Isa::best(),
            threads: 2,
            needs_dx: &needs_dx,
            algorithm: None,
            fusion,
            prepare: false,
        };
        let compiled = BatchNorm::default().compile(&ctx).unwrap();
        assert!(compiled.again);
        let mut memory = Memory::default();
        let mut put = |len: usize| memory.add(len);
        let binding = Binding {
            x: vec![put(3 * x[0].len())],
            y: Some(put(3 * x[0].len())),
            w: (0..4).map(|_| put(33)).collect(),
            saved: vec![put(compiled.saved[0])],
            work: Some(put(compiled.work)),
            ..Binding::default()
        };
        let mut rng = Rng::new(3);
        let mut fill = |slot: Slot| memory.get_mut(slot).iter_mut().for_each(|v| *v = 3.0 * rng.uniform() - 1.0);
        binding.x.iter().chain(&binding.w).for_each(|slot| fill(*slot));
        let y = binding.y.unwrap();
        let mut run = |again: bool| {
            memory.get_mut(y).fill(f32::NAN);
            let (lent, step) = (&mut memory, &compiled.step);
            Pool::new(2).unwrap().run(|team| {
                // As a whole, so that it may go to another thread.
                let lent = lent;
                let io = Io::new(lent, &binding, team, Rng::new(0));
                if again { step.again(&io) } else { step.forward(&io) }
            });
            memory.get(y).iter().map(|v| v.to_bits()).collect::<Vec<u32>>()
        };
        let first = run(false);
        assert!(first.iter().any(|v| *v != 0) && first.contains(&0));
        assert_eq!(run(true), first);
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
