//! Layer normalisation: the last axes of each sample are brought to mean 0 and variance 1.
//!
//! ```text
//! mean = sum x / d,  var = sum (x - mean)^2 / d        over the last axes, d numbers: a row
//! xh = (x - mean) / sqrt(var + epsilon),  y = gamma xh + beta
//! dbeta = sum dy,  dgamma = sum dy xh                  over all rows
//! dx = (gamma dy - sum(gamma dy) / d - xh sum(gamma dy xh) / d) / sqrt(var + epsilon)
//! ```
//!
//! Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, arXiv:1607.06450. Over the channels of each pixel alone,
//! as in ConvNeXt: Liu et al., "A ConvNet for the 2020s", 2022, arXiv:2201.03545.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::init::Init;
use crate::ops::pieces::{PARTS, not_negative, only, row_sum, rows_per_piece, total};
use crate::ops::{Compiled, Ctx, Io, Mode, Needs, ParamSpec, Rule, Step, Twin};
use crate::simd::{mul_add, stamp};
use crate::tensor::Shape;

/// Normalises over the last `axes` axes; the shape stays.
///
/// Parameters: `gamma` (ones) if `scale`, `beta` (zeros) if `center`, with the axes that are normalised.
///
/// ```
/// use striate::ops::{LayerNorm, Rule};
/// let norm = LayerNorm::default().epsilon(1e-6);
/// assert_eq!(norm.params(&[[56, 56, 96].into()])[0].dims, [96]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayerNorm {
    /// How many of the last axes are normalised together; 1 stands for the channels.
    pub axes: usize,
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

impl Default for LayerNorm {
    /// Over the channels, with an epsilon of 0.001 as in Keras (PyTorch: 0.00001).
    fn default() -> Self {
        Self { axes: 1, epsilon: 1e-3, center: true, scale: true }
    }
}

impl LayerNorm {
    /// Over so many of the last axes.
    pub fn over(axes: usize) -> Self {
        Self { axes, ..Self::default() }
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

    // The axes that are normalised.
    fn row<'a>(&self, x: &'a Shape) -> &'a [usize] {
        &x.dims()[x.rank() - self.axes..]
    }
}

impl Rule for LayerNorm {
    fn class(&self) -> &'static str {
        "LayerNormalization"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        not_negative("epsilon", self.epsilon)?;
        let x = only(self.class(), x)?;
        if !(1..=x.rank()).contains(&self.axes) {
            return Err(Error::shape(format!("LayerNormalization: {x} has no {} last axes", self.axes))
                .with_help(format!("axes is 1, the channels, to {}, the whole sample", x.rank())));
        }
        Ok(x)
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let dims = self.row(&x[0]);
        let d = dims.iter().product();
        let spec = |name, init| ParamSpec { name, dims: dims.to_vec(), init, fans: (d, d), trainable: true };
        let gamma = self.scale.then(|| spec("gamma", Init::Ones));
        gamma.into_iter().chain(self.center.then(|| spec("beta", Init::Zeros))).collect()
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        y.len() as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let d = self.row(&ctx.y).iter().product::<usize>();
        let rows = ctx.batch * ctx.y.len() / d;
        let long = rows_per_piece(d).max(rows.div_ceil(MAX_SUMS));
        let learns = ctx.mode == Mode::Train && !self.params(ctx.x).is_empty();
        let work = 2 * d + if learns { rows.div_ceil(long) * SUMS * d } else { 0 };
        let step = Normalise {
            rule: self.clone(),
            d,
            rows,
            long,
            forward: forward(ctx.isa),
            sums: sums(ctx.isa),
            gradient: gradient(ctx.isa),
        };
        let saved = vec![STATISTICS * rows];
        Ok(Compiled { needs: Needs { x: true, y: false }, saved, work, ..Compiled::new(Box::new(step)) })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let d: usize = self.row(&t.shapes[0]).iter().product();
        let mut y = t.x[0].to_vec();
        for row in y.chunks_mut(d) {
            let mean = row.iter().sum::<f64>() / d as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
            for (j, x) in row.iter_mut().enumerate() {
                let hat = (*x - mean) / libm::sqrt(variance + f64::from(self.epsilon));
                let scaled = self.gamma().map_or(hat, |gamma| t.w[gamma][j] * hat);
                *x = self.beta().map_or(scaled, |beta| scaled + t.w[beta][j]);
            }
        }
        y
    }
}

// Of each row: centre, 1 / sqrt(var + epsilon), and what rounding the centre to f32 took from the mean, in standard
// deviations: `xh = (x - centre) inverse + rest`.
const STATISTICS: usize = 3;
// Of each long piece: the sums for beta and gamma, and those of the running block of rows.
const SUMS: usize = 4;
const BLOCK_ROWS: usize = 64;
// Into at most so many long pieces the rows are cut, which bounds the scratch.
const MAX_SUMS: usize = 16;
// Numbers of a row whose sum is taken in f32.
const BLOCK: usize = 1024;

/// `(job, x, dy, statistics, out)`.
type Backward = fn(&Job<'_>, &[f32], &[f32], &[f32], &mut [f32]);

struct Normalise {
    rule: LayerNorm,
    d: usize,
    rows: usize,
    /// Rows of the pieces over which the gradients to gamma and beta are summed.
    long: usize,
    forward: fn(&Job<'_>, &[f32], &mut [f32], &mut [f32]),
    sums: Backward,
    gradient: Backward,
}

/// What all rows share.
struct Job<'a> {
    epsilon: f64,
    gamma: &'a [f32],
    beta: &'a [f32],
}

impl Step for Normalise {
    fn forward(&self, io: &Io<'_>) {
        let (x, mut y, mut work, mut saved) = (io.x(0), io.y_mut(), io.work(), io.saved(0));
        let (job, _) = self.job(io, &mut work);
        let (x, rows) = (&*x, rows_per_piece(self.d));
        io.team.chunks2((&mut y, rows * self.d), (&mut saved, rows * STATISTICS), |i, y, saved| {
            (self.forward)(&job, &x[i * rows * self.d..][..y.len()], y, saved);
        });
    }

    fn backward(&self, io: &Io<'_>) {
        let (x, dy, mut work, saved) = (io.x(0), io.dy(), io.work(), io.saved(0));
        let (job, sums) = self.job(io, &mut work);
        let (x, dy, saved) = (&*x, &*dy, &*saved);
        if !sums.is_empty() {
            io.team.chunks(sums, SUMS * self.d, |i, sums| {
                let part = i * self.long..self.rows.min((i + 1) * self.long);
                let of = |v: &'_ [f32], len: usize| part.start * len..(part.end * len).min(v.len());
                let range = of(x, self.d);
                (self.sums)(&job, &x[range.clone()], &dy[range], &saved[of(saved, STATISTICS)], sums);
            });
            self.learn(io, sums);
        }
        let Some(mut dx) = io.dx(0) else { return };
        let rows = rows_per_piece(self.d);
        io.team.chunks(&mut dx, rows * self.d, |i, dx| {
            let (start, len) = (i * rows * self.d, dx.len());
            let saved = &saved[i * rows * STATISTICS..][..len / self.d * STATISTICS];
            (self.gradient)(&job, &x[start..][..len], &dy[start..][..len], saved, dx);
        });
    }
}

impl Normalise {
    // The job with its gamma and beta, ones and zeros where there are none, and the rest of the scratch.
    fn job<'a>(&self, io: &Io<'_>, work: &'a mut [f32]) -> (Job<'a>, &'a mut [f32]) {
        let (gamma, rest) = work.split_at_mut(self.d);
        let (beta, sums) = rest.split_at_mut(self.d);
        gamma.fill(1.0);
        beta.fill(0.0);
        self.rule.gamma().into_iter().for_each(|i| gamma.copy_from_slice(&io.w(i)));
        self.rule.beta().into_iter().for_each(|i| beta.copy_from_slice(&io.w(i)));
        let long = if self.rule.scale || self.rule.center { self.rows.div_ceil(self.long) } else { 0 };
        let len = (long * SUMS * self.d).min(sums.len());
        (Job { epsilon: self.rule.epsilon.into(), gamma, beta }, &mut sums[..len])
    }

    // The sums of the long pieces, added in order.
    fn learn(&self, io: &Io<'_>, sums: &[f32]) {
        let sum = |at: usize| {
            let of_each = sums.chunks_exact(SUMS * self.d).map(|sums| f64::from(sums[at]));
            of_each.sum::<f64>() as f32
        };
        for (i, first) in [(self.rule.beta(), 0), (self.rule.gamma(), self.d)] {
            if let Some(i) = i {
                io.dw(i).iter_mut().enumerate().for_each(|(j, dw)| *dw = sum(first + j));
            }
        }
    }
}

stamp! {
    // Normalises rows and keeps their statistics.
    fn forward(job: &Job<'_>, x: &[f32], y: &mut [f32], saved: &mut [f32]) = forward_body[FMA, LANES];
}

stamp! {
    // `sums = [sum dy, sum dy xh, ..]` over rows.
    fn sums(job: &Job<'_>, x: &[f32], dy: &[f32], saved: &[f32], sums: &mut [f32]) = sums_body[FMA, LANES];
}

stamp! {
    // The gradient to rows of x.
    fn gradient(job: &Job<'_>, x: &[f32], dy: &[f32], saved: &[f32], dx: &mut [f32]) = gradient_body[FMA, LANES];
}

#[inline(always)]
fn forward_body<const FMA: bool, const LANES: usize>(job: &Job<'_>, x: &[f32], y: &mut [f32], saved: &mut [f32]) {
    let d = job.gamma.len();
    let n = d as f64;
    for ((x, y), saved) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(saved.chunks_exact_mut(STATISTICS)) {
        let sum: f64 = x.chunks(BLOCK).map(|x| f64::from(row_sum(x))).sum();
        let center = (sum / n) as f32;
        let [rest, squares] = two_sums(x, x, |x, _| (x - center, (x - center) * (x - center)));
        let variance = (squares / n - (rest / n) * (rest / n)).max(0.0);
        let inverse = 1.0 / (variance + job.epsilon).sqrt();
        let rest = (-rest / n * inverse) as f32;
        let inverse = inverse as f32;
        saved.copy_from_slice(&[center, inverse, rest]);
        for (((x, y), gamma), beta) in x.iter().zip(y).zip(job.gamma).zip(job.beta) {
            *y = mul_add::<FMA>(mul_add::<FMA>(x - center, inverse, rest), *gamma, *beta);
        }
    }
}

#[inline(always)]
fn sums_body<const FMA: bool, const LANES: usize>(
    job: &Job<'_>,
    x: &[f32],
    dy: &[f32],
    saved: &[f32],
    sums: &mut [f32],
) {
    let d = job.gamma.len();
    let (all, block) = sums.split_at_mut(2 * d);
    all.fill(0.0);
    let blocks = x.chunks(BLOCK_ROWS * d).zip(dy.chunks(BLOCK_ROWS * d)).zip(saved.chunks(BLOCK_ROWS * STATISTICS));
    for ((x, dy), saved) in blocks {
        block.fill(0.0);
        let (a, b) = block.split_at_mut(d);
        for ((x, dy), saved) in x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(saved.chunks_exact(STATISTICS)) {
            let (center, inverse, rest) = (saved[0], saved[1], saved[2]);
            for (((x, dy), a), b) in x.iter().zip(dy).zip(&mut *a).zip(&mut *b) {
                *a += dy;
                *b = mul_add::<FMA>(*dy, mul_add::<FMA>(x - center, inverse, rest), *b);
            }
        }
        all.iter_mut().zip(&*block).for_each(|(all, block)| *all += block);
    }
}

#[inline(always)]
fn gradient_body<const FMA: bool, const LANES: usize>(
    job: &Job<'_>,
    x: &[f32],
    dy: &[f32],
    saved: &[f32],
    dx: &mut [f32],
) {
    let d = job.gamma.len();
    let n = d as f64;
    let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(saved.chunks_exact(STATISTICS));
    for (((x, dy), saved), dx) in rows.zip(dx.chunks_exact_mut(d)) {
        let (center, inverse, rest) = (saved[0], saved[1], saved[2]);
        // gamma dy waits in dx.
        dx.iter_mut().zip(dy).zip(job.gamma).for_each(|((dx, dy), gamma)| *dx = dy * gamma);
        let hat = |x: f32| mul_add::<FMA>(x - center, inverse, rest);
        let [sum, product] = two_sums(x, dx, |x, g| (g, g * hat(x)));
        let (mean, slope) = ((sum / n) as f32, (product / n) as f32);
        dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = inverse * mul_add::<FMA>(-hat(*x), slope, *dx - mean));
    }
}

// The sums of both results of `f(x, y)` over a row.
#[inline(always)]
fn two_sums(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> (f32, f32)) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for (x, y) in x.chunks(BLOCK).zip(y.chunks(BLOCK)) {
        let (mut a, mut b) = ([0.0; PARTS], [0.0; PARTS]);
        for (x, y) in x.chunks(PARTS).zip(y.chunks(PARTS)) {
            for (((x, y), a), b) in x.iter().zip(y).zip(&mut a).zip(&mut b) {
                let (p, q) = f(*x, *y);
                *a += p;
                *b += q;
            }
        }
        sums[0] += f64::from(total(a));
        sums[1] += f64::from(total(b));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{Numbers, Options, run};
    use crate::ops::proof::{everywhere, options};

    #[test]
    fn several_axes_and_shapes_everywhere() {
        for (axes, shape) in [
            (1, Shape::from([6])),
            (1, [5, 4].into()),
            (2, [5, 4].into()),
            (1, [9, 7, 24].into()),
            (2, [5, 3, 4].into()),
            (3, [13, 7, 19].into()),
            (1, [40, 50, 33].into()),
            (1, [40_001].into()),
        ] {
            everywhere(&LayerNorm::over(axes), &[shape], 3, 2e-5);
        }
    }

    #[test]
    fn without_offset_or_scale_everywhere() {
        for (center, scale) in [(false, true), (true, false), (false, false)] {
            let norm = LayerNorm::default().center(center).scale(scale).epsilon(1e-5);
            everywhere(&norm, &[[5, 4, 6].into()], 3, 2e-5);
            assert_eq!(norm.params(&[[6].into()]).len(), usize::from(center) + usize::from(scale));
        }
    }

    #[test]
    fn a_mean_far_from_zero_costs_no_digits() {
        let x: Vec<f32> = (0..1000).map(|i| 4096.0 + (i % 61) as f32 / 64.0).collect();
        let numbers = Numbers { dy: vec![0.0; 1000], x: vec![x.clone()], w: vec![vec![1.0; 1000], vec![0.0; 1000]] };
        let o = run(&LayerNorm::default(), &[[1000].into()], Options { batch: 1, ..options() }, &numbers).unwrap();
        let x: Vec<f64> = x.into_iter().map(|x| f64::from(x) - 4096.0).collect();
        let mean = x.iter().sum::<f64>() / 1e3;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e3;
        let worst = x.iter().zip(&o.y).map(|(v, y)| ((v - mean) / (variance + 1e-3).sqrt() - f64::from(*y)).abs());
        assert!(worst.fold(0.0, f64::max) < 1e-6);
    }

    #[test]
    fn axes_and_epsilon_out_of_range_are_refused() {
        for axes in [0, 3] {
            let e = LayerNorm::over(axes).shape(&[[5, 6].into()]).unwrap_err();
            assert!(e.to_string().contains("last axes"), "{e}");
        }
        assert!(LayerNorm::default().epsilon(-1.0).shape(&[[6].into()]).is_err());
    }
}
