//! Local response normalisation across channels, AlexNet's normalisation after ReLU (L19, D11).
//!
//! ```text
//! s_i = k + a sum_{|j - i| <= (n - 1) / 2} x_j^2        a = alpha, or alpha / n
//! y_i = x_i s_i^-beta
//! dx_i = dy_i s_i^-beta - 2 a beta x_i sum_{|j - i| <= (n - 1) / 2} dy_j x_j s_j^(-beta - 1)
//! ```
//!
//! The sums run over channels at one pixel, cut off at the first and last one; of
//! an even window, one more lies above `i` than below.
//! Forward saves `s`; backward uses `dy` as scratch for the terms of its sum.
//!
//! Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep
//! Convolutional Neural Networks", 2012, section 3.3.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pieces::{not_negative, only, rows_per_piece};
use crate::ops::{Compiled, Ctx, Io, Mode, Needs, Rule, Step, Twin};
use crate::simd::{mul_add, stamp};
use crate::tensor::Shape;
use crate::vmath::inverse_power_lane;

/// `y_i = x_i (k + a sum x_j^2)^-beta` over `size` neighbouring channels; `[.., c] -> [.., c]`.
///
/// The paper, and TensorFlow, multiply the sum by `alpha`: `average: false`, the default. Caffe, PyTorch and ONNX
/// multiply it by `alpha / size`: `average: true`.
///
/// ```
/// use striate::ops::{Lrn, Rule};
/// let paper = Lrn::default();
/// assert_eq!((paper.size, paper.k, paper.alpha, paper.beta), (5, 2.0, 1e-4, 0.75));
/// assert!(paper.shape(&[[55, 55, 96].into()]).is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lrn {
    /// Channels under the window; TensorFlow's `depth_radius` is `(size - 1) / 2`. Of an even number, one more lies
    /// above than below, as in ONNX (in PyTorch, one more below).
    pub size: usize,
    /// What is added to the sum, more than 0; TensorFlow's `bias`.
    pub k: f32,
    /// The factor of the sum.
    pub alpha: f32,
    /// The exponent.
    pub beta: f32,
    /// Whether the sum is divided by `size`.
    pub average: bool,
}

impl Default for Lrn {
    fn default() -> Self {
        Self { size: 5, k: 2.0, alpha: 1e-4, beta: 0.75, average: false }
    }
}

impl Lrn {
    /// Over so many channels, with the paper's constants.
    pub fn new(size: usize) -> Self {
        Self { size, ..Self::default() }
    }

    /// Sets `k`, `alpha` and `beta`.
    #[must_use]
    pub fn constants(mut self, k: f32, alpha: f32, beta: f32) -> Self {
        (self.k, self.alpha, self.beta) = (k, alpha, beta);
        self
    }

    /// Divides the sum by `size`, as PyTorch and ONNX do.
    #[must_use]
    pub fn average(mut self, average: bool) -> Self {
        self.average = average;
        self
    }

    // Channels of the window below and above its middle.
    fn sides(&self) -> [usize; 2] {
        [(self.size - 1) / 2, self.size / 2]
    }

    fn factor(&self) -> f32 {
        if self.average { self.alpha / self.size as f32 } else { self.alpha }
    }
}

impl Rule for Lrn {
    fn class(&self) -> &'static str {
        "LRN"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        if self.size == 0 {
            return Err(Error::argument("a window of 0 channels").with_help("size must be 1 or more; the paper has 5"));
        }
        not_negative("alpha", self.alpha)?;
        not_negative("beta", self.beta)?;
        not_negative("k", self.k)?;
        if self.k < f32::MIN_POSITIVE {
            return Err(Error::argument("k is 0, and where all inputs are 0 nothing else keeps the sum positive")
                .with_help("the paper has 2, TensorFlow 1"));
        }
        only(self.class(), x)
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        (y.len() * (self.size + 1)) as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let channels = ctx.y.channels();
        let formula = Formula {
            channels,
            sides: self.sides().map(|side| side.min(channels - 1)),
            k: self.k,
            factor: self.factor(),
            beta: self.beta,
        };
        let train = ctx.mode == Mode::Train;
        let step = Respond {
            formula,
            train,
            piece: rows_per_piece(channels * 4) * channels,
            sums: sums(ctx.isa),
            scale: scale(ctx.isa),
            gradient: gradient(ctx.isa),
        };
        let saved = if train { vec![ctx.batch * ctx.y.len()] } else { Vec::new() };
        Ok(Compiled { needs: Needs { x: true, y: false }, saved, ..Compiled::new(Box::new(step)) })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let (c, [below, above]) = (t.shapes[0].channels(), self.sides());
        let n = if self.average { self.size as f64 } else { 1.0 };
        let one = |(at, v): (usize, &f64)| {
            let (pixel, i) = (at / c * c, at % c);
            let window = i.saturating_sub(below)..=(i + above).min(c - 1);
            let squares: f64 = window.map(|j| t.x[0][pixel + j].powi(2)).sum();
            v * libm::pow(f64::from(self.k) + f64::from(self.alpha) / n * squares, -f64::from(self.beta))
        };
        t.x[0].iter().enumerate().map(one).collect()
    }
}

/// The constants of the formula, as the kernels use them.
#[derive(Debug, Clone, Copy)]
struct Formula {
    channels: usize,
    /// Neighbours below and above.
    sides: [usize; 2],
    k: f32,
    factor: f32,
    beta: f32,
}

type Gradient = fn(Formula, &[f32], &[f32], &mut [f32], &mut [f32]);

struct Respond {
    formula: Formula,
    train: bool,
    piece: usize,
    sums: fn(Formula, &[f32], &mut [f32]),
    scale: fn(Formula, &[f32], &mut [f32]),
    gradient: Gradient,
}

impl Step for Respond {
    fn forward(&self, io: &Io<'_>) {
        let (x, mut y) = (io.x(0), io.y_mut());
        let x = &*x;
        let part = |i: usize, len: usize| &x[i * self.piece..][..len];
        if self.train {
            io.team.chunks2((&mut y, self.piece), (&mut io.saved(0), self.piece), |i, y, s| {
                let x = part(i, y.len());
                (self.sums)(self.formula, x, s);
                y.copy_from_slice(s);
                (self.scale)(self.formula, x, y);
            });
        } else {
            io.team.chunks(&mut y, self.piece, |i, y| {
                let x = part(i, y.len());
                (self.sums)(self.formula, x, y);
                (self.scale)(self.formula, x, y);
            });
        }
    }

    fn backward(&self, io: &Io<'_>) {
        let Some(mut dx) = io.dx(0) else { return };
        let (x, s, mut dy) = (io.x(0), io.saved(0), io.dy_mut());
        let (x, s) = (&*x, &*s);
        io.team.chunks2((&mut dx, self.piece), (&mut dy, self.piece), |i, dx, dy| {
            let range = i * self.piece..i * self.piece + dx.len();
            (self.gradient)(self.formula, &x[range.clone()], &s[range], dy, dx);
        });
    }
}

stamp! {
    // `s_i = k + factor sum x_j^2`.
    fn sums(formula: Formula, x: &[f32], s: &mut [f32]) = sums_body[FMA, LANES];
}

stamp! {
    // `y = x y^-beta`, where `y` holds the sums.
    fn scale(formula: Formula, x: &[f32], y: &mut [f32]) = scale_body[FMA, LANES];
}

stamp! {
    // The formula of dx; `dy` becomes `dy_j x_j s_j^(-beta - 1)`.
    fn gradient(formula: Formula, x: &[f32], s: &[f32], dy: &mut [f32], dx: &mut [f32]) = gradient_body[FMA, LANES];
}

#[inline(always)]
fn sums_body<const FMA: bool, const LANES: usize>(formula: Formula, x: &[f32], s: &mut [f32]) {
    let Formula { channels, sides: [below, above], k, factor, .. } = formula;
    // Over all pixels in one go, which makes long loops; the channels whose window reaches into the next pixel are
    // done again.
    s.fill(0.0);
    for_neighbours(x.len(), [below, above], |to, from| {
        s[to].iter_mut().zip(&x[from]).for_each(|(s, x)| *s = mul_add::<FMA>(*x, *x, *s));
    });
    for (x, s) in x.chunks_exact(channels).zip(s.chunks_exact_mut(channels)) {
        for i in (0..below).chain(channels.saturating_sub(above).max(below)..channels) {
            let window = &x[i.saturating_sub(below)..(i + above + 1).min(channels)];
            s[i] = window.iter().fold(0.0, |s, x| mul_add::<FMA>(*x, *x, s));
        }
    }
    s.iter_mut().for_each(|s| *s = mul_add::<FMA>(*s, factor, k));
}

#[inline(always)]
fn scale_body<const FMA: bool, const LANES: usize>(formula: Formula, x: &[f32], y: &mut [f32]) {
    inverse_power::<FMA>(y, formula.beta);
    y.iter_mut().zip(x).for_each(|(y, x)| *y *= x);
}

#[inline(always)]
fn gradient_body<const FMA: bool, const LANES: usize>(
    formula: Formula,
    x: &[f32],
    s: &[f32],
    dy: &mut [f32],
    dx: &mut [f32],
) {
    let Formula { channels, sides: [below, above], factor, beta, .. } = formula;
    dx.copy_from_slice(s);
    inverse_power::<FMA>(dx, beta);
    for (((dx, dy), x), s) in dx.iter_mut().zip(dy.iter_mut()).zip(x).zip(s) {
        let own = *dy * *dx;
        (*dx, *dy) = (own, own * x / s);
    }
    let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
    for ((x, term), dx) in rows.zip(dx.chunks_exact_mut(channels)) {
        // Those whose windows hold this channel: as many below as a window has above.
        for_neighbours(channels, [above, below], |to, from| {
            for ((dx, x), term) in dx[to.clone()].iter_mut().zip(&x[to]).zip(&term[from]) {
                *dx = mul_add::<FMA>(-2.0 * factor * beta * x, *term, *dx);
            }
        });
    }
}

// Calls `f(to, from)` for each distance within the window: the channels that have a neighbour there, and these.
#[inline(always)]
fn for_neighbours(
    channels: usize,
    [most_below, most_above]: [usize; 2],
    mut f: impl FnMut(Range<usize>, Range<usize>),
) {
    for below in (1..=most_below).rev() {
        f(below..channels, 0..channels - below);
    }
    for above in 0..=most_above {
        f(0..channels - above, above..channels);
    }
}

// `s = s^-beta`; the exponents in use need only square roots.
#[inline(always)]
fn inverse_power<const FMA: bool>(s: &mut [f32], beta: f32) {
    if beta == 0.75 {
        s.iter_mut().for_each(|s| *s = 1.0 / (s.sqrt() * s.sqrt().sqrt()));
    } else if beta == 0.5 {
        s.iter_mut().for_each(|s| *s = 1.0 / s.sqrt());
    } else if beta == 1.0 {
        s.iter_mut().for_each(|s| *s = 1.0 / *s);
    } else {
        s.iter_mut().for_each(|s| *s = inverse_power_lane::<FMA>(*s, beta));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;
    use crate::rng::Rng;

    #[test]
    fn several_windows_and_exponents_everywhere() {
        for beta in [0.75, 0.5, 1.0, 0.6] {
            for (size, shape) in [
                (5, Shape::from([5, 7, 20])),
                (1, [9].into()),
                (7, [3, 4].into()),
                (4, [3, 19].into()),
                (2, [7].into()),
                (10, [4].into()),
                (3, [70, 33].into()),
            ] {
                let lrn = Lrn::new(size).constants(1.5, 0.3, beta);
                everywhere(&lrn, &[shape], 2, 1e-5);
                everywhere(&lrn.average(true), &[shape], 2, 1e-5);
            }
        }
    }

    // L19, D11: across channels, not over the batch; with x = 1 everywhere the middle channels see 5 ones.
    #[test]
    fn l19_paper_formula() {
        let shapes = [Shape::from([6])];
        let twin = |lrn: Lrn| {
            let t = Twin { batch: 1, x: &[&[1.0; 6]], shapes: &shapes, w: &[], mode: Mode::Infer, rng: Rng::new(0) };
            lrn.twin(&t)
        };
        let y = twin(Lrn::default());
        for (y, n) in y.iter().zip([3.0, 4.0, 5.0, 5.0, 4.0, 3.0]) {
            assert!((y - (2.0_f64 + 1e-4 * n).powf(-0.75)).abs() < 1e-9);
        }
        assert!((twin(Lrn::default().average(true))[2] - (2.0_f64 + 1e-4).powf(-0.75)).abs() < 1e-9);
    }

    // ONNX: the sum runs from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2).
    #[test]
    fn an_even_window_has_one_more_above() {
        let shapes = [Shape::from([5])];
        let x: &[f64] = &[1.0, 0.0, 0.0, 2.0, 0.0];
        let t = Twin { batch: 1, x: &[x], shapes: &shapes, w: &[], mode: Mode::Infer, rng: Rng::new(0) };
        let y = Lrn::new(4).constants(1.0, 1.0, 1.0).twin(&t);
        // Windows: channels 0..=2, 0..=3, 1..=4, 2..=4, 3..=4.
        assert_eq!(y, [0.5, 0.0, 0.0, 0.4, 0.0]);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let shape = |lrn: Lrn| lrn.shape(&[[4].into()]);
        assert!(shape(Lrn::new(0)).unwrap_err().to_string().contains("0 channels"));
        assert!(shape(Lrn::new(5).constants(0.0, 1.0, 0.75)).is_err());
        assert!(shape(Lrn::new(5).constants(1.0, -1.0, 0.75)).is_err());
        assert!(shape(Lrn::new(1_000_001)).is_ok());
    }
}
