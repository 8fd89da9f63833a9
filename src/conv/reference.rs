//! The convolution as its formula says it: plain loops, for f32 and f64, any geometry.
//!
//! ```text
//! y[n, oh, ow, oc]   = b[oc] + sum over kh, kw, c of  x[n, ih, iw, g icg + c] w[kh, kw, c, oc]
//! ih = oh stride_h + kh dilation_h - before_h,  iw likewise,  g = oc / (oc / groups),  icg = ic / groups
//! ```
//!
//! This is the cross-correlation that the field calls convolution (M6, M20); outside the image `x` is the padding
//! value (M11). It is the oracle of the tests, the fallback of [`super::choose`], and the explanation of the rest.
//! Each sum starts at 0 and runs over `kh`, `kw`, `c` in this order with fused multiply-adds.

use super::{Geometry, Kernel, Pass, Work};
use crate::parallel::Team;

/// A number that a formula can be computed in.
pub trait Real: Copy + PartialEq + Send + Sync + 'static {
    /// 0.
    const ZERO: Self;

    /// A number of this type.
    fn from_f32(x: f32) -> Self;

    /// `self * b + c`, rounded once.
    fn fused(self, b: Self, c: Self) -> Self;

    /// `self + b`.
    fn plus(self, b: Self) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    fn from_f32(x: f32) -> Self {
        x
    }
    fn fused(self, b: Self, c: Self) -> Self {
        self.mul_add(b, c)
    }
    fn plus(self, b: Self) -> Self {
        self + b
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    fn from_f32(x: f32) -> Self {
        Self::from(x)
    }
    fn fused(self, b: Self, c: Self) -> Self {
        self.mul_add(b, c)
    }
    fn plus(self, b: Self) -> Self {
        self + b
    }
}

/// `y = conv(x, w) + b`; an empty `b` stands for no bias.
///
/// # Panics
/// A slice is shorter than [`Geometry`] says.
pub fn forward<T: Real>(g: &Geometry, x: &[T], w: &[T], b: &[T], y: &mut [T]) {
    for (at, out) in y.iter_mut().enumerate().take(g.y_len()) {
        let mut sum = T::ZERO;
        each_term(g, at, |x_at, w_at| {
            let value = x_at.map_or(T::from_f32(g.pad_value), |i| x[i]);
            sum = value.fused(w[w_at], sum);
        });
        *out = if b.is_empty() { sum } else { sum.plus(b[at % g.oc]) };
    }
}

/// `dx`, the gradient to `x`: each `dy` flows back along each of its terms.
///
/// # Panics
/// A slice is shorter than [`Geometry`] says.
pub fn backward_input<T: Real>(g: &Geometry, dy: &[T], w: &[T], dx: &mut [T]) {
    dx.fill(T::ZERO);
    for (at, dy) in dy.iter().enumerate().take(g.y_len()) {
        each_term(g, at, |x_at, w_at| {
            if let Some(i) = x_at {
                dx[i] = dy.fused(w[w_at], dx[i]);
            }
        });
    }
}

/// `dw`, the gradient to `w`: each weight meets what it met in forward, times `dy`.
///
/// # Panics
/// A slice is shorter than [`Geometry`] says.
pub fn backward_weights<T: Real>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    dw.fill(T::ZERO);
    for (at, dy) in dy.iter().enumerate().take(g.y_len()) {
        each_term(g, at, |x_at, w_at| {
            let value = x_at.map_or(T::from_f32(g.pad_value), |i| x[i]);
            dw[w_at] = value.fused(*dy, dw[w_at]);
        });
    }
}

/// `db[oc] = sum of dy over n, oh, ow`, the gradient to the bias.
pub fn backward_bias<T: Real>(dy: &[T], db: &mut [T]) {
    db.fill(T::ZERO);
    for pixel in dy.chunks_exact(db.len()) {
        pixel.iter().zip(&mut *db).for_each(|(dy, db)| *db = db.plus(*dy));
    }
}

// Calls `f(index into x, or None in the padding; index into w)` for each term of output `at`, in the order of the sum.
fn each_term(g: &Geometry, at: usize, mut f: impl FnMut(Option<usize>, usize)) {
    let (oc, pixel) = (at % g.oc, at / g.oc);
    let (ow, oh, n) = (pixel % g.w.output, pixel / g.w.output % g.h.output, pixel / g.w.output / g.h.output);
    let (icg, group) = (g.ic_per_group(), oc / g.oc_per_group());
    for kh in 0..g.h.kernel {
        let ih = g.h.input_at(oh, kh);
        for kw in 0..g.w.kernel {
            let iw = g.w.input_at(ow, kw);
            let start = ih.zip(iw).map(|(ih, iw)| ((n * g.h.input + ih) * g.w.input + iw) * g.ic + group * icg);
            for c in 0..icg {
                f(start.map(|s| s + c), ((kh * g.w.kernel + kw) * icg + c) * g.oc + oc);
            }
        }
    }
}

/// The reference as a kernel: one thread, slow, always right.
struct Reference {
    g: Geometry,
    pass: Pass,
}

pub(super) fn accept(g: &Geometry, pass: Pass, _: super::Machine) -> Result<Box<dyn Kernel>, String> {
    Ok(Box::new(Reference { g: *g, pass }))
}

impl Kernel for Reference {
    fn work(&self) -> usize {
        0
    }

    fn run(&self, _: Team, work: Work<'_>) {
        let Work { inputs: [a, b], out, finish, .. } = work;
        match self.pass {
            Pass::Forward => {
                forward(&self.g, a, b, &[], out);
                finish.apply(out, self.g.oc);
            }
            Pass::BackwardInput => {
                backward_input(&self.g, a, b, out);
                finish.apply(out, self.g.ic);
            }
            Pass::BackwardWeights => backward_weights(&self.g, a, b, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // M20, with k = 0, s = 1: z = b + sum of x w. M8: 4x4 with 2x2 gives 3x3.
    #[test]
    fn m8_m10_m20_worked_example() {
        let g: Geometry = "h4 w4 ic1 oc1 k2".parse().unwrap();
        let x: Vec<f64> = (1..=16).map(f64::from).collect();
        let mut y = vec![0.0; g.y_len()];
        forward(&g, &x, &[1.0, 0.0, 0.0, -1.0], &[0.5], &mut y);
        // Each output is x(i, j) - x(i + 1, j + 1) + 0.5 = -5 + 0.5.
        assert_eq!(y, vec![-4.5; 9]);
    }

    // M18, M19: a kernel has as many channels as the input, and there is one bias for each kernel.
    #[test]
    fn m18_m19_channels_are_summed_and_kernels_stack() {
        let g: Geometry = "h1 w1 ic3 oc2 k1".parse().unwrap();
        let mut y = [0.0; 2];
        forward(&g, &[1.0, 2.0, 3.0], &[1.0, 10.0, 1.0, 10.0, 1.0, 10.0], &[0.5, -0.5], &mut y);
        assert_eq!(y, [6.5, 59.5]);
    }

    #[test]
    fn m11_padding_with_a_value_keeps_the_size() {
        let g: Geometry = "h2 w2 ic1 oc1 k3 p1,1,1,1 v2".parse().unwrap();
        let mut y = [0.0; 4];
        forward(&g, &[1.0; 4], &[1.0; 9], &[], &mut y);
        assert_eq!(y, [4.0 + 5.0 * 2.0; 4]);
    }

    #[test]
    fn m12_a_larger_stride_gives_a_smaller_output() {
        let g: Geometry = "h5 w5 ic1 oc1 k1 s2".parse().unwrap();
        let x: Vec<f64> = (0..25).map(f64::from).collect();
        let mut y = vec![0.0; g.y_len()];
        forward(&g, &x, &[1.0], &[], &mut y);
        assert_eq!(y, [0.0, 2.0, 4.0, 10.0, 12.0, 14.0, 20.0, 22.0, 24.0]);
    }
}
