//! Clipping: gradients are bounded before an optimiser uses them.
//!
//! The square norm of an array is summed in f64: eight sums over every eighth element of a chunk, added in order,
//! then the chunks in order. So its bits depend on the length alone.

use std::ops::DerefMut;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::parallel::Team;
use crate::simd::{Isa, stamp};

/// How gradients are bounded; `|g|` is the Euclidean norm.
///
/// A gradient that holds a NaN stays bad: clipping hides no error.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// Gradients stay as they are.
    #[default]
    None,
    /// Each number is cut to `-c..=c`.
    Value(f32),
    /// Each parameter's gradient is scaled by `c / max(|g|, c)`.
    Norm(f32),
    /// All gradients are scaled by `c / max(|g|, c)`, `|g|` over all parameters together (Pascanu, Mikolov and
    /// Bengio 2013, arXiv:1211.5063).
    GlobalNorm(f32),
}

impl Clip {
    /// Checks the bound.
    ///
    /// # Errors
    /// It is not a finite number above 0.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Value(c) | Self::Norm(c) | Self::GlobalNorm(c) if !(c.is_finite() && c > 0.0) => {
                Err(Error::argument(format!("gradients cannot be clipped to {c}"))
                    .with_help("give a bound above 0, such as 1, or no clipping"))
            }
            _ => Ok(()),
        }
    }

    /// What a gradient (all of them, for [`Clip::GlobalNorm`]) of this square norm is multiplied by: 1 if it is
    /// within the bound, and 1 for the variants that know no norm.
    pub fn factor(&self, sum_of_squares: f64) -> f32 {
        match *self {
            Self::Norm(c) | Self::GlobalNorm(c) => {
                let c = f64::from(c);
                (c / sum_of_squares.sqrt().max(c)) as f32
            }
            Self::None | Self::Value(_) => 1.0,
        }
    }

    /// Clips `count` gradients, lent by `grad` one after the other (twice each for [`Clip::GlobalNorm`]).
    ///
    /// `work` holds [`partials`] of the longest gradient; nothing is allocated.
    pub fn apply<G: DerefMut<Target = [f32]>>(
        &self,
        (team, isa): (Team, Isa),
        count: usize,
        mut grad: impl FnMut(usize) -> G,
        work: &mut [f64],
    ) {
        match *self {
            Self::None => {}
            Self::Value(c) => (0..count).for_each(|i| cut(team, isa, &mut grad(i), c)),
            Self::Norm(_) => (0..count).for_each(|i| {
                let mut g = grad(i);
                let factor = self.factor(sum_of_squares(team, isa, &g, work));
                scale(team, isa, &mut g, factor);
            }),
            Self::GlobalNorm(_) => {
                let all = (0..count).fold(0.0, |sum, i| sum + sum_of_squares(team, isa, &grad(i), work));
                (0..count).for_each(|i| scale(team, isa, &mut grad(i), self.factor(all)));
            }
        }
    }
}

/// The numbers that [`sum_of_squares`] of `len` elements needs as scratch.
pub fn partials(len: usize) -> usize {
    len.div_ceil(CHUNK)
}

/// `sum x_i^2` in f64; `work` holds at least [`partials`] numbers.
pub fn sum_of_squares(team: Team, isa: Isa, x: &[f32], work: &mut [f64]) -> f64 {
    let (work, sum) = (&mut work[..partials(x.len())], squares(isa));
    team.chunks(work, 1, |i, out| sum(&x[i * CHUNK..((i + 1) * CHUNK).min(x.len())], &mut out[0]));
    work.iter().fold(0.0, |sum, part| sum + part)
}

/// `x *= factor`, left alone if that is 1.
pub fn scale(team: Team, isa: Isa, x: &mut [f32], factor: f32) {
    if factor != 1.0 {
        let body = scaled(isa);
        team.chunks(x, CHUNK, |_, chunk| body(chunk, factor));
    }
}

const CHUNK: usize = 16 * 1024;

fn cut(team: Team, isa: Isa, x: &mut [f32], bound: f32) {
    let body = bounded(isa);
    team.chunks(x, CHUNK, |_, chunk| body(chunk, bound));
}

// The product of two f32 is exact in f64, so a fused multiply-add and two roundings agree.
#[inline(always)]
fn squares_body<const FMA: bool, const LANES: usize>(x: &[f32], out: &mut f64) {
    let mut sums = [0.0_f64; 8];
    let (groups, tail) = x.as_chunks::<8>();
    for group in groups {
        for (sum, x) in sums.iter_mut().zip(group) {
            *sum += f64::from(*x) * f64::from(*x);
        }
    }
    for (sum, x) in sums.iter_mut().zip(tail) {
        *sum += f64::from(*x) * f64::from(*x);
    }
    *out = sums.iter().fold(0.0, |a, b| a + b);
}

#[inline(always)]
fn scaled_body<const FMA: bool, const LANES: usize>(x: &mut [f32], factor: f32) {
    x.iter_mut().for_each(|x| *x *= factor);
}

// A NaN stays: both comparisons are false.
#[inline(always)]
fn bounded_body<const FMA: bool, const LANES: usize>(x: &mut [f32], bound: f32) {
    for x in x {
        let low = if *x < -bound { -bound } else { *x };
        *x = if low > bound { bound } else { low };
    }
}

stamp! {
    fn squares(x: &[f32], out: &mut f64) = squares_body[FMA, LANES];
}
stamp! {
    fn scaled(x: &mut [f32], factor: f32) = scaled_body[FMA, LANES];
}
stamp! {
    fn bounded(x: &mut [f32], bound: f32) = bounded_body[FMA, LANES];
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::parallel::Pool;

    fn clipped(clip: Clip, grads: &[&[f32]]) -> Vec<Vec<f32>> {
        let cells: Vec<RefCell<Vec<f32>>> = grads.iter().map(|g| RefCell::new(g.to_vec())).collect();
        let lend = |i: usize| std::cell::RefMut::map(cells[i].borrow_mut(), |v| &mut v[..]);
        clip.apply((Team::solo(), Isa::best()), cells.len(), lend, &mut [0.0; 1]);
        cells.into_iter().map(RefCell::into_inner).collect()
    }

    #[test]
    fn each_kind_bounds_what_it_says() {
        let grads: [&[f32]; 2] = [&[3.0, -4.0], &[0.5, 12.0]];
        assert_eq!(clipped(Clip::None, &grads), grads);
        assert_eq!(clipped(Clip::Value(1.0), &grads), [[1.0, -1.0], [0.5, 1.0]]);
        assert_eq!(clipped(Clip::Norm(2.5), &grads)[0], [1.5, -2.0]);
        let global = clipped(Clip::GlobalNorm(6.5), &[&[3.0, -4.0], &[0.0, 12.0]]);
        assert_eq!(global, [[1.5, -2.0], [0.0, 6.0]]);
        assert_eq!(clipped(Clip::GlobalNorm(100.0), &grads), grads, "within the bound");
        assert_eq!(clipped(Clip::Norm(1.0), &[&[0.0, 0.0]]), [[0.0, 0.0]]);
    }

    #[test]
    fn bad_gradients_stay_bad() {
        for clip in [Clip::Value(1.0), Clip::Norm(1.0), Clip::GlobalNorm(1.0)] {
            assert!(clipped(clip, &[&[f32::NAN, 2.0]])[0][0].is_nan(), "{clip:?}");
        }
    }

    #[test]
    fn the_norm_has_the_same_bits_for_all_threads_and_instruction_sets() {
        let x: Vec<f32> = (0..5 * CHUNK + 13).map(|i| (i as f32 * 0.37).sin() / 3.0).collect();
        let mut work = vec![0.0; partials(x.len())];
        let expect = sum_of_squares(Team::solo(), Isa::best(), &x, &mut work);
        let plain: f64 = x.iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((expect - plain).abs() < 1e-9 * plain);
        for isa in Isa::all() {
            let sum = Pool::new(3).unwrap().run(|team| sum_of_squares(team, isa, &x, &mut work));
            assert_eq!(sum.to_bits(), expect.to_bits(), "{isa}");
        }
    }

    #[test]
    fn bounds_must_be_positive() {
        assert!(Clip::None.validate().is_ok() && Clip::Norm(0.5).validate().is_ok());
        for c in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(Clip::Value(c).validate().is_err(), "{c}");
        }
    }
}
