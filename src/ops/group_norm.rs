//! Group normalisation: in each sample, groups of channels are brought to mean 0 and variance 1.
//!
//! ```text
//! mean = sum x / m,  var = sum (x - mean)^2 / m      over the pixels and channels of a group of one sample
//! xh = (x - mean) / sqrt(var + epsilon),  y = gamma xh + beta
//! dbeta = sum dy,  dgamma = sum dy xh                over batch and pixels, for each channel
//! dx = (gamma dy - sum(gamma dy) / m - xh sum(gamma dy xh) / m) / sqrt(var + epsilon)
//! ```
//!
//! As many groups as channels make instance normalisation. The sums are taken
//! by channel and added up to those of the groups in f64, so the code for a
//! group of any size is that of batch normalisation, sample by sample.
//!
//! Source: Wu and He, "Group Normalization", 2018, arXiv:1803.08494.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::init::Init;
use crate::ops::channels::Channels;
use crate::ops::pieces::{not_negative, only};
use crate::ops::{Compiled, Ctx, Io, Mode, Needs, ParamSpec, Rule, Step, Twin};
use crate::tensor::Shape;

/// Normalises groups of neighbouring channels over all pixels of a sample; `[.., c] -> [.., c]`.
///
/// Parameters: `gamma` (ones) if `scale`, `beta` (zeros) if `center`, one number for each channel.
///
/// ```
/// use striate::ops::{GroupNorm, Rule};
/// assert!(GroupNorm::new(32).shape(&[[14, 14, 256].into()]).is_ok());
/// assert!(GroupNorm::new(32).shape(&[[14, 14, 100].into()]).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupNorm {
    /// Into how many groups the channels are divided.
    pub groups: usize,
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

impl Default for GroupNorm {
    fn default() -> Self {
        Self { groups: 32, epsilon: 1e-3, center: true, scale: true }
    }
}

impl GroupNorm {
    /// With so many groups, and an epsilon of 0.001 as in Keras (PyTorch: 0.00001).
    pub fn new(groups: usize) -> Self {
        Self { groups, ..Self::default() }
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
}

impl Rule for GroupNorm {
    fn class(&self) -> &'static str {
        "GroupNormalization"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        not_negative("epsilon", self.epsilon)?;
        let x = only(self.class(), x)?;
        if self.groups == 0 || !x.channels().is_multiple_of(self.groups) {
            let (groups, c) = (self.groups, x.channels());
            return Err(Error::shape(format!("GroupNormalization: {c} channels do not divide into {groups} groups"))
                .with_help("the number of groups must divide the number of channels"));
        }
        Ok(x)
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let c = x[0].channels();
        let spec = |name, init| ParamSpec { name, dims: vec![c], init, fans: (c, c), trainable: true };
        let gamma = self.scale.then(|| spec("gamma", Init::Ones));
        gamma.into_iter().chain(self.center.then(|| spec("beta", Init::Zeros))).collect()
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        y.len() as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let channels = Channels::new(ctx.y.channels(), ctx.isa);
        let (n, sample) = (ctx.batch, ctx.y.len());
        let pieces = channels.pieces(sample);
        let work = n * (channels.coefficients() + pieces * channels.sums());
        let saved = if ctx.mode == Mode::Train { vec![3 * n * self.groups] } else { Vec::new() };
        let cuts = (0..n * pieces).map(|i| i / pieces * sample + i % pieces * channels.piece);
        let cuts = cuts.chain([n * sample]).collect();
        let step = Normalise { rule: self.clone(), mode: ctx.mode, n, sample, pieces, cuts, channels };
        Ok(Compiled { needs: Needs { x: true, y: false }, saved, work, ..Compiled::new(Box::new(step)) })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let (c, len) = (t.shapes[0].channels(), t.shapes[0].len());
        let of = |at: usize| at / len * self.groups + at % c / (c / self.groups);
        let m = (len / self.groups) as f64;
        let mut mean = vec![0.0; t.batch * self.groups];
        t.x[0].iter().enumerate().for_each(|(at, x)| mean[of(at)] += x / m);
        let mut variance = vec![0.0; t.batch * self.groups];
        t.x[0].iter().enumerate().for_each(|(at, x)| variance[of(at)] += (x - mean[of(at)]).powi(2) / m);
        let one = |(at, x): (usize, &f64)| {
            let hat = (x - mean[of(at)]) / libm::sqrt(variance[of(at)] + f64::from(self.epsilon));
            let scaled = self.gamma().map_or(hat, |gamma| t.w[gamma][at % c] * hat);
            self.beta().map_or(scaled, |beta| scaled + t.w[beta][at % c])
        };
        t.x[0].iter().enumerate().map(one).collect()
    }
}

struct Normalise {
    rule: GroupNorm,
    mode: Mode,
    n: usize,
    /// Numbers of a sample.
    sample: usize,
    /// Pieces of a sample.
    pieces: usize,
    /// Where the pieces of the whole batch begin and end.
    cuts: Vec<usize>,
    channels: Channels,
}

/// The statistics of a group of one sample; `rest` is what rounding `center` to f32 took from the mean, in standard
/// deviations.
#[derive(Clone, Copy)]
struct Group {
    center: f32,
    inverse: f64,
    rest: f64,
}

impl Step for Normalise {
    fn forward(&self, io: &Io<'_>) {
        let (channels, x, mut y, mut work) = (&self.channels, io.x(0), io.y_mut(), io.work());
        let (coefficients, sums) = self.split(&mut work);
        let x = &*x;
        for (x, coefficients) in x.chunks(self.sample).zip(coefficients.chunks_mut(channels.coefficients())) {
            channels.shift(x, coefficients);
        }
        let shift = &*coefficients;
        io.team.chunks(sums, channels.sums(), |i, sums| {
            (channels.moments)(&self.of(shift, i)[..channels.lanes], self.part(x, i), sums);
        });
        for sample in 0..self.n {
            self.prepare(io, sample, coefficients, sums);
        }
        let coefficients = &*coefficients;
        io.team.cuts_with((&mut y, &self.cuts), (&mut [0.0_f32; 0], 0), |i, y, _| {
            (channels.line)(self.of(coefficients, i), self.part(x, i), y);
        });
    }

    fn backward(&self, io: &Io<'_>) {
        let (channels, x, dy, mut work, saved) = (&self.channels, io.x(0), io.dy(), io.work(), io.saved(0));
        let (coefficients, sums) = self.split(&mut work);
        let (x, dy) = (&*x, &*dy);
        for (sample, coefficients) in coefficients.chunks_mut(channels.coefficients()).enumerate() {
            for c in 0..channels.channels {
                let center = self.saved(&saved, sample, c).center;
                channels.spread(coefficients, c, [center, 0.0, 0.0, 0.0]);
            }
        }
        let centers = &*coefficients;
        io.team.chunks(sums, channels.sums(), |i, sums| {
            let centers = &self.of(centers, i)[..channels.lanes];
            (channels.products)(centers, self.part(x, i), self.part(dy, i), sums);
        });
        self.learn(io, &saved, sums);
        let Some(mut dx) = io.dx(0) else { return };
        for sample in 0..self.n {
            self.prepare_gradient(io, sample, &saved, (coefficients, sums));
        }
        let coefficients = &*coefficients;
        io.team.cuts_with((&mut dx, &self.cuts), (&mut [0.0_f32; 0], 0), |i, dx, _| {
            (channels.gradient)(self.of(coefficients, i), self.part(x, i), self.part(dy, i), dx);
        });
    }
}

impl Normalise {
    // The scratch: coefficients of each sample, and sums of each piece.
    fn split<'a>(&self, work: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
        let (coefficients, sums) = work.split_at_mut(self.n * self.channels.coefficients());
        (coefficients, &mut sums[..self.n * self.pieces * self.channels.sums()])
    }

    // Piece `i` of the batch.
    fn part<'a>(&self, x: &'a [f32], i: usize) -> &'a [f32] {
        &x[self.cuts[i]..self.cuts[i + 1]]
    }

    // The coefficients of the sample of piece `i`.
    fn of<'a>(&self, coefficients: &'a [f32], i: usize) -> &'a [f32] {
        let len = self.channels.coefficients();
        &coefficients[i / self.pieces * len..][..len]
    }

    fn own<'a>(&self, sums: &'a [f32], sample: usize) -> &'a [f32] {
        let len = self.pieces * self.channels.sums();
        &sums[sample * len..][..len]
    }

    fn width(&self) -> usize {
        self.channels.channels / self.rule.groups
    }

    fn gamma(&self, io: &Io<'_>, c: usize) -> f64 {
        self.rule.gamma().map_or(1.0, |gamma| f64::from(io.w(gamma)[c]))
    }

    fn saved(&self, saved: &[f32], sample: usize, c: usize) -> Group {
        let at = 3 * (sample * self.rule.groups + c / self.width());
        Group { center: saved[at], inverse: saved[at + 1].into(), rest: saved[at + 2].into() }
    }

    // The statistics of the group that begins with channel `first`: those of its channels, put together.
    fn statistics(&self, first: usize, shift: &[f32], sums: &[f32]) -> Group {
        let (rows, width) = ((self.sample / self.channels.channels) as f64, self.width() as f64);
        // The mean and the variance of a channel.
        let channel = |c: usize| {
            let [sum, squares] = self.channels.totals(c, sums);
            let mean = sum / rows;
            (f64::from(shift[c]) + mean, (squares / rows - mean * mean).max(0.0))
        };
        let group = first..first + self.width();
        let mean = group.clone().map(|c| channel(c).0).sum::<f64>() / width;
        let variance = group.map(channel).map(|(m, v)| v + (m - mean).powi(2)).sum::<f64>() / width;
        let inverse = 1.0 / (variance + f64::from(self.rule.epsilon)).sqrt();
        let center = mean as f32;
        Group { center, inverse, rest: (f64::from(center) - mean) * inverse }
    }

    // From the shifts and sums of a sample to the coefficients of `y = (x - center) scale + offset`.
    fn prepare(&self, io: &Io<'_>, sample: usize, coefficients: &mut [f32], sums: &[f32]) {
        let (channels, sums) = (&self.channels, self.own(sums, sample));
        let coefficients = &mut coefficients[sample * channels.coefficients()..][..channels.coefficients()];
        for group in 0..self.rule.groups {
            let first = group * self.width();
            let Group { center, inverse, rest } = self.statistics(first, coefficients, sums);
            if self.mode == Mode::Train {
                let at = 3 * (sample * self.rule.groups + group);
                io.saved(0)[at..at + 3].copy_from_slice(&[center, inverse as f32, rest as f32]);
            }
            for c in first..first + self.width() {
                let gamma = self.gamma(io, c);
                let offset = self.rule.beta().map_or(0.0, |beta| f64::from(io.w(beta)[c])) + gamma * rest;
                channels.spread(coefficients, c, [center, (gamma * inverse) as f32, offset as f32, 0.0]);
            }
        }
    }

    // `[sum dy, sum dy xh]` of a channel of one sample.
    fn gradients(&self, sample: usize, c: usize, group: Group, sums: &[f32]) -> [f64; 2] {
        let [sum, product] = self.channels.totals(c, self.own(sums, sample));
        [sum, group.inverse * product + group.rest * sum]
    }

    // The gradients to gamma and beta.
    fn learn(&self, io: &Io<'_>, saved: &[f32], sums: &[f32]) {
        for c in 0..self.channels.channels {
            let (mut dbeta, mut dgamma) = (0.0, 0.0);
            for sample in 0..self.n {
                let [b, g] = self.gradients(sample, c, self.saved(saved, sample, c), sums);
                (dbeta, dgamma) = (dbeta + b, dgamma + g);
            }
            self.rule.gamma().into_iter().for_each(|i| io.dw(i)[c] = dgamma as f32);
            self.rule.beta().into_iter().for_each(|i| io.dw(i)[c] = dbeta as f32);
        }
    }

    // The coefficients of `dx = p dy + q (x - center) + r` of a sample.
    fn prepare_gradient(&self, io: &Io<'_>, sample: usize, saved: &[f32], (all, sums): (&mut [f32], &[f32])) {
        let channels = &self.channels;
        let coefficients = &mut all[sample * channels.coefficients()..][..channels.coefficients()];
        let m = (self.sample / self.rule.groups) as f64;
        for first in (0..channels.channels).step_by(self.width()) {
            let group = self.saved(saved, sample, first);
            let (mut sum, mut product) = (0.0, 0.0);
            for c in first..first + self.width() {
                let [b, g] = self.gradients(sample, c, group, sums);
                (sum, product) = (sum + self.gamma(io, c) * b, product + self.gamma(io, c) * g);
            }
            let q = -group.inverse * group.inverse * product / m;
            let r = -group.inverse * (sum + group.rest * product) / m;
            for c in first..first + self.width() {
                let p = self.gamma(io, c) * group.inverse;
                channels.spread(coefficients, c, [group.center, p as f32, q as f32, r as f32]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{Numbers, Options, run};
    use crate::ops::proof::{everywhere, options};

    #[test]
    fn several_groups_and_shapes_everywhere() {
        for (groups, shape) in [
            (1, Shape::from([6])),
            (3, [6].into()),
            (2, [5, 4].into()),
            (4, [5, 3, 4].into()),
            (2, [9, 7, 6].into()),
            (5, [4, 5, 70].into()),
            (1, [30, 20, 17].into()),
            (17, [61, 33, 17].into()),
        ] {
            everywhere(&GroupNorm::new(groups), &[shape], 3, 2e-5);
        }
    }

    #[test]
    fn without_offset_or_scale_everywhere() {
        for (center, scale) in [(false, true), (true, false), (false, false)] {
            everywhere(&GroupNorm::new(2).center(center).scale(scale).epsilon(1e-5), &[[5, 4, 6].into()], 3, 2e-5);
        }
    }

    #[test]
    fn means_far_from_zero_cost_no_digits() {
        let x: Vec<f32> = (0..4000).map(|i| 4096.0 + 64.0 * (i % 2) as f32 + (i % 61) as f32 / 64.0).collect();
        let numbers = Numbers { dy: vec![0.0; x.len()], x: vec![x.clone()], w: vec![vec![1.0; 2], vec![0.0; 2]] };
        let o = run(&GroupNorm::new(1), &[[2000, 2].into()], Options { batch: 1, ..options() }, &numbers).unwrap();
        let x: Vec<f64> = x.into_iter().map(f64::from).collect();
        let mean = x.iter().sum::<f64>() / 4e3;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4e3;
        let worst = x.iter().zip(&o.y).map(|(v, y)| ((v - mean) / (variance + 1e-3).sqrt() - f64::from(*y)).abs());
        assert!(worst.fold(0.0, f64::max) < 1e-6);
    }

    #[test]
    fn groups_that_do_not_divide_are_refused() {
        for groups in [0, 4, 12] {
            let e = GroupNorm::new(groups).shape(&[[5, 6].into()]).unwrap_err();
            assert!(e.to_string().contains("6 channels do not divide into"), "{e}");
        }
        assert!(GroupNorm::new(2).epsilon(f32::NAN).shape(&[[6].into()]).is_err());
    }
}
