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
//! the result. The sums run over pieces that are cut by shape; within a piece
//! they are f32 in blocks of rows, and the pieces are added in order in f64. The
//! squares are those of `x - shift`, where `shift` is the mean of the first few
//! rows, so that a mean far from 0 costs no digits.
//!
//! Source: Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::init::Init;
use crate::ops::pieces::{not_negative, only, rows_per_piece};
use crate::ops::{Compiled, Ctx, Io, Mode, Needs, ParamSpec, Rule, Step, Twin};
use crate::simd::{mul_add, stamp};
use crate::tensor::Shape;

/// Normalises each channel (the last axis) over the batch; `[.., c] -> [.., c]`.
///
/// Parameters: `gamma` (ones), `beta` (zeros), and the statistics `moving_mean` (zeros) and `moving_variance` (ones),
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
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { momentum: 0.99, epsilon: 1e-3 }
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
}

const GAMMA: usize = 0;
const BETA: usize = 1;
const MEAN: usize = 2;
const VARIANCE: usize = 3;

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
        vec![
            spec("gamma", Init::Ones, true),
            spec("beta", Init::Zeros, true),
            spec("moving_mean", Init::Zeros, false),
            spec("moving_variance", Init::Ones, false),
        ]
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        y.len() as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let channels = ctx.y.channels();
        let lanes = channels * MIN_LANES.div_ceil(channels);
        let piece = rows_per_piece(lanes).max(BLOCK_ROWS) * lanes;
        let len = ctx.batch * ctx.y.len();
        let step = Normalise {
            rule: self.clone(),
            mode: ctx.mode,
            channels,
            lanes,
            piece,
            moments: moments(ctx.isa),
            products: products(ctx.isa),
            normalise: normalise(ctx.isa),
            gradient: gradient(ctx.isa),
        };
        let saved = if ctx.mode == Mode::Train { vec![3 * channels] } else { Vec::new() };
        let work = COEFFICIENTS * lanes + len.div_ceil(piece) * SUMS * lanes;
        Ok(Compiled { step: Box::new(step), needs: Needs { x: true, y: false }, saved, work, notes: Vec::new() })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let (x, c) = (t.x[0], t.shapes[0].channels());
        let n = (x.len() / c) as f64;
        let of = |ch: usize| x.iter().skip(ch).step_by(c);
        let statistics: Vec<(f64, f64)> = (0..c)
            .map(|ch| {
                let mean = of(ch).sum::<f64>() / n;
                let variance = of(ch).map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                if t.mode == Mode::Train { (mean, variance) } else { (t.w[MEAN][ch], t.w[VARIANCE][ch]) }
            })
            .collect();
        let one = |(i, v): (usize, &f64)| {
            let (mean, variance) = statistics[i % c];
            t.w[GAMMA][i % c] * (v - mean) / libm::sqrt(variance + f64::from(self.epsilon)) + t.w[BETA][i % c]
        };
        x.iter().enumerate().map(one).collect()
    }
}

// Few channels are repeated until a row is at least a vector wide.
const MIN_LANES: usize = 64;
// Rows whose sums are taken in one go, before they are added to the piece's.
const BLOCK_ROWS: usize = 64;
// Arrays of `lanes` numbers: a centre and three coefficients.
const COEFFICIENTS: usize = 4;
// Of each piece: two sums, and the two of the running block.
const SUMS: usize = 4;

type Unary = fn(&[f32], &[f32], &mut [f32]);
type Binary = fn(&[f32], &[f32], &[f32], &mut [f32]);

struct Normalise {
    rule: BatchNorm,
    mode: Mode,
    channels: usize,
    lanes: usize,
    piece: usize,
    moments: Unary,
    products: Binary,
    normalise: Unary,
    gradient: Binary,
}

/// The statistics of one channel; `rest` is what rounding `center` to f32 took from the mean, in standard deviations.
struct Channel {
    center: f32,
    inverse: f64,
    rest: f64,
}

impl Step for Normalise {
    fn forward(&self, io: &Io<'_>) {
        let (x, mut y, mut work) = (io.x(0), io.y_mut(), io.work());
        let (coefficients, partial) = work.split_at_mut(COEFFICIENTS * self.lanes);
        let x = &*x;
        if self.mode == Mode::Train {
            self.centre(x, coefficients);
            let shift = &coefficients[..self.lanes];
            io.team.chunks(&mut partial[..self.partials(x)], SUMS * self.lanes, |i, sums| {
                (self.moments)(shift, self.part(x, i), sums);
            });
        }
        for c in 0..self.channels {
            let channel = match self.mode {
                Mode::Train => self.learn(io, c, f64::from(coefficients[c]), x, partial),
                Mode::Infer => self.recall(io, c),
            };
            let scale = f64::from(io.w(GAMMA)[c]) * channel.inverse;
            let offset = f64::from(io.w(BETA)[c]) + f64::from(io.w(GAMMA)[c]) * channel.rest;
            self.spread(coefficients, c, [channel.center, scale as f32, offset as f32, 0.0]);
        }
        let coefficients = &*coefficients;
        io.team.chunks(&mut y, self.piece, |i, y| (self.normalise)(coefficients, self.part(x, i), y));
    }

    fn backward(&self, io: &Io<'_>) {
        let (x, dy, mut work, saved) = (io.x(0), io.dy(), io.work(), io.saved(0));
        let (x, dy) = (&*x, &*dy);
        let (coefficients, partial) = work.split_at_mut(COEFFICIENTS * self.lanes);
        for c in 0..self.channels {
            self.spread(coefficients, c, [saved[3 * c], 0.0, 0.0, 0.0]);
        }
        let centers = &coefficients[..self.lanes];
        io.team.chunks(&mut partial[..self.partials(x)], SUMS * self.lanes, |i, sums| {
            (self.products)(centers, self.part(x, i), self.part(dy, i), sums);
        });
        for c in 0..self.channels {
            let [center, inverse, rest] = [saved[3 * c], saved[3 * c + 1], saved[3 * c + 2]];
            let gradient = self.learn_gradient(io, c, [inverse.into(), rest.into()], x.len(), partial);
            self.spread(coefficients, c, [center, gradient[0], gradient[1], gradient[2]]);
        }
        let coefficients = &*coefficients;
        if let Some(mut dx) = io.dx(0) {
            io.team.chunks(&mut dx, self.piece, |i, dx| {
                (self.gradient)(coefficients, self.part(x, i), self.part(dy, i), dx);
            });
        }
    }
}

impl Normalise {
    fn part<'a>(&self, x: &'a [f32], i: usize) -> &'a [f32] {
        &x[i * self.piece..x.len().min((i + 1) * self.piece)]
    }

    // The length of the partial sums for an input.
    fn partials(&self, x: &[f32]) -> usize {
        x.len().div_ceil(self.piece) * SUMS * self.lanes
    }

    // Writes a channel's centre and coefficients to all of its lanes.
    fn spread(&self, coefficients: &mut [f32], c: usize, values: [f32; COEFFICIENTS]) {
        for (array, value) in coefficients.chunks_exact_mut(self.lanes).zip(values) {
            array.iter_mut().skip(c).step_by(self.channels).for_each(|v| *v = value);
        }
    }

    // The shift of each channel: the mean of its first rows.
    fn centre(&self, x: &[f32], coefficients: &mut [f32]) {
        let rows = &x[..x.len().min(32 * self.channels)];
        let count = (rows.len() / self.channels) as f32;
        for c in 0..self.channels {
            let sum: f32 = rows.iter().skip(c).step_by(self.channels).sum();
            self.spread(coefficients, c, [sum / count, 0.0, 0.0, 0.0]);
        }
    }

    // The two sums of a channel over all pieces.
    fn totals(&self, c: usize, partial: &[f32], pieces: usize) -> [f64; 2] {
        let mut totals = [0.0; 2];
        for sums in partial.chunks_exact(SUMS * self.lanes).take(pieces) {
            for lane in (c..self.lanes).step_by(self.channels) {
                totals[0] += f64::from(sums[lane]);
                totals[1] += f64::from(sums[self.lanes + lane]);
            }
        }
        totals
    }

    // The batch's statistics of a channel, which also move the moving ones and are kept for backward.
    fn learn(&self, io: &Io<'_>, c: usize, shift: f64, x: &[f32], partial: &[f32]) -> Channel {
        let n = (x.len() / self.channels) as f64;
        let [sum, squares] = self.totals(c, partial, x.len().div_ceil(self.piece));
        let mean = shift + sum / n;
        let variance = (squares / n - (sum / n) * (sum / n)).max(0.0);
        for (i, batch) in [(MEAN, mean), (VARIANCE, variance)] {
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
        let variance = f64::from(io.w(VARIANCE)[c]);
        let inverse = 1.0 / (variance + f64::from(self.rule.epsilon)).sqrt();
        Channel { center: io.w(MEAN)[c], inverse, rest: 0.0 }
    }

    // Writes the gradients to gamma and beta of a channel, and tells `p, q, r` of `dx = p dy + q (x - center) + r`.
    fn learn_gradient(
        &self,
        io: &Io<'_>,
        c: usize,
        [inverse, rest]: [f64; 2],
        len: usize,
        partial: &[f32],
    ) -> [f32; 3] {
        let n = (len / self.channels) as f64;
        let [dbeta, product] = self.totals(c, partial, len.div_ceil(self.piece));
        let dgamma = inverse * product + rest * dbeta;
        io.dw(GAMMA)[c] = dgamma as f32;
        io.dw(BETA)[c] = dbeta as f32;
        let scale = f64::from(io.w(GAMMA)[c]) * inverse;
        [scale as f32, (-scale * inverse * dgamma / n) as f32, (-scale * (dbeta + rest * dgamma) / n) as f32]
    }
}

stamp! {
    // `sums = [sum (x - shift), sum (x - shift)^2, ..]` for each lane.
    fn moments(shift: &[f32], x: &[f32], sums: &mut [f32]) = moments_body[FMA, LANES];
}

stamp! {
    // `sums = [sum dy, sum dy (x - center), ..]` for each lane.
    fn products(center: &[f32], x: &[f32], dy: &[f32], sums: &mut [f32]) = products_body[FMA, LANES];
}

stamp! {
    // `y = (x - center) scale + offset`.
    fn normalise(coefficients: &[f32], x: &[f32], y: &mut [f32]) = normalise_body[FMA, LANES];
}

stamp! {
    // `dx = p dy + q (x - center) + r`.
    fn gradient(coefficients: &[f32], x: &[f32], dy: &[f32], dx: &mut [f32]) = gradient_body[FMA, LANES];
}

#[inline(always)]
fn moments_body<const FMA: bool, const LANES: usize>(shift: &[f32], x: &[f32], sums: &mut [f32]) {
    let lanes = shift.len();
    in_blocks(x, x, lanes, sums, |x, _, a, b| {
        for (((x, shift), a), b) in x.iter().zip(shift).zip(a).zip(b) {
            let d = x - shift;
            *a += d;
            *b = mul_add::<FMA>(d, d, *b);
        }
    });
}

#[inline(always)]
fn products_body<const FMA: bool, const LANES: usize>(center: &[f32], x: &[f32], dy: &[f32], sums: &mut [f32]) {
    let lanes = center.len();
    in_blocks(x, dy, lanes, sums, |x, dy, a, b| {
        for ((((x, center), dy), a), b) in x.iter().zip(center).zip(dy).zip(a).zip(b) {
            *a += dy;
            *b = mul_add::<FMA>(*dy, x - center, *b);
        }
    });
}

// Calls `add(x row, y row, a, b)` for each row of `lanes`, where `a` and `b` are the sums of its block, and adds the
// blocks up in the first half of `sums`. The last row may be shorter.
#[inline(always)]
fn in_blocks(
    x: &[f32],
    y: &[f32],
    lanes: usize,
    sums: &mut [f32],
    add: impl Fn(&[f32], &[f32], &mut [f32], &mut [f32]),
) {
    let (total, block) = sums.split_at_mut(2 * lanes);
    total.fill(0.0);
    for (x, y) in x.chunks(BLOCK_ROWS * lanes).zip(y.chunks(BLOCK_ROWS * lanes)) {
        block.fill(0.0);
        let (a, b) = block.split_at_mut(lanes);
        x.chunks(lanes).zip(y.chunks(lanes)).for_each(|(x, y)| add(x, y, a, b));
        total.iter_mut().zip(&*block).for_each(|(total, block)| *total += block);
    }
}

#[inline(always)]
fn normalise_body<const FMA: bool, const LANES: usize>(coefficients: &[f32], x: &[f32], y: &mut [f32]) {
    let lanes = coefficients.len() / COEFFICIENTS;
    let [center, scale, offset, _] = std::array::from_fn(|i| &coefficients[i * lanes..(i + 1) * lanes]);
    for (x, y) in x.chunks(lanes).zip(y.chunks_mut(lanes)) {
        for ((((x, y), center), scale), offset) in x.iter().zip(y).zip(center).zip(scale).zip(offset) {
            *y = mul_add::<FMA>(x - center, *scale, *offset);
        }
    }
}

#[inline(always)]
fn gradient_body<const FMA: bool, const LANES: usize>(coefficients: &[f32], x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let lanes = coefficients.len() / COEFFICIENTS;
    let [center, p, q, r] = std::array::from_fn(|i| &coefficients[i * lanes..(i + 1) * lanes]);
    for ((x, dy), dx) in x.chunks(lanes).zip(dy.chunks(lanes)).zip(dx.chunks_mut(lanes)) {
        let numbers = x.iter().zip(dy).zip(dx).zip(center).zip(p).zip(q).zip(r);
        for ((((((x, dy), dx), center), p), q), r) in numbers {
            *dx = mul_add::<FMA>(*p, *dy, mul_add::<FMA>(*q, x - center, *r));
        }
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
        assert!((w[MEAN][0] - 0.03).abs() < 1e-7 && (w[VARIANCE][0] - 1.01).abs() < 1e-6, "{w:?}");
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
        assert!((f64::from(w[VARIANCE][0]) / 0.01 / variance - 1.0).abs() < 1e-6);
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
