//! Dropout: in training each number is dropped with a given probability, and the others grow to make up for it.
//!
//! The mask is not stored. Word `i` of the op's random stream decides on
//! element `i`, so backward draws the same mask again, and it does not matter
//! which thread draws which part.
//!
//! Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks
//! from Overfitting", JMLR 15, 2014; "inverted": inference changes nothing.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pieces::{copying, only, with_step};
use crate::ops::{Compiled, Ctx, Io, Mode, Rule, Step, Twin};
use crate::rng::{Rng, unit};
use crate::simd::stamp;
use crate::tensor::Shape;

/// Dropout: `y_i = x_i / (1 - rate)` with probability `1 - rate`, else 0; at inference `y = x`.
///
/// ```
/// use striate::ops::{Dropout, Rule};
/// assert!(Dropout::new(0.5).shape(&[[128].into()]).is_ok());
/// assert!(Dropout::new(1.0).shape(&[[128].into()]).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The probability that an element is dropped, in `[0, 1)`.
    pub rate: f32,
}

impl Dropout {
    /// Dropout of this rate.
    pub fn new(rate: f32) -> Self {
        Self { rate }
    }

    fn factor(&self) -> f32 {
        1.0 / (1.0 - self.rate)
    }
}

impl Rule for Dropout {
    fn class(&self) -> &'static str {
        "Dropout"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(Error::argument(format!("a dropout rate of {} is out of range", self.rate))
                .with_help("the rate is the part that is dropped: 0 or more, and less than 1"));
        }
        only(self.class(), x)
    }

    fn mul_adds(&self, _x: &[Shape], _y: Shape) -> u64 {
        0
    }

    fn is_view(&self, mode: Mode) -> bool {
        mode == Mode::Infer
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        Ok(match ctx.mode {
            Mode::Infer => copying(),
            Mode::Train => {
                with_step(Box::new(Drop { rate: self.rate, factor: self.factor(), drop: drop_some(ctx.isa) }))
            }
        })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        if t.mode == Mode::Infer {
            return t.x[0].to_vec();
        }
        let one = |(i, x): (usize, &f64)| {
            if unit(t.rng.word(i as u64)) >= self.rate { x / (1.0 - f64::from(self.rate)) } else { 0.0 }
        };
        t.x[0].iter().enumerate().map(one).collect()
    }
}

// Numbers in a piece: a multiple of the four words that the generator makes at a time.
const PIECE: usize = 1 << 14;

struct Drop {
    rate: f32,
    factor: f32,
    drop: fn(&Mask, &[f32], &mut [f32]),
}

/// Which elements are kept: those of `rng` from block `first` on whose uniform number is at least `rate`.
struct Mask {
    rng: Rng,
    first: u64,
    rate: f32,
    factor: f32,
}

impl Drop {
    fn apply(&self, io: &Io<'_>, x: &[f32], y: &mut [f32]) {
        let rng = io.rng;
        io.team.chunks(y, PIECE, |i, y| {
            let mask = Mask { rng, first: (i * PIECE / 4) as u64, rate: self.rate, factor: self.factor };
            (self.drop)(&mask, &x[i * PIECE..][..y.len()], y);
        });
    }
}

impl Step for Drop {
    fn forward(&self, io: &Io<'_>) {
        self.apply(io, &io.x(0), &mut io.y_mut());
    }

    fn backward(&self, io: &Io<'_>) {
        if let Some(mut dx) = io.dx(0) {
            self.apply(io, &io.dy(), &mut dx);
        }
    }
}

stamp! {
    // `y = x factor` where the mask keeps, else 0.
    fn drop_some(mask: &Mask, x: &[f32], y: &mut [f32]) = drop_body[FMA, LANES];
}

#[inline(always)]
fn drop_body<const FMA: bool, const LANES: usize>(mask: &Mask, x: &[f32], y: &mut [f32]) {
    // Words are drawn for many elements at a time, a loop that becomes vector code.
    const GROUP: usize = 64;
    let mut words = [[0_u32; 4]; GROUP / 4];
    for (group, (x, y)) in x.chunks(GROUP).zip(y.chunks_mut(GROUP)).enumerate() {
        for (i, words) in words.iter_mut().enumerate() {
            *words = mask.rng.block(mask.first + (group * GROUP / 4 + i) as u64);
        }
        for ((x, y), word) in x.iter().zip(y).zip(words.as_flattened()) {
            *y = if unit(*word) >= mask.rate { x * mask.factor } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{Numbers, Options, run};
    use crate::ops::proof::{everywhere, options};

    #[test]
    fn the_mask_is_that_of_the_formula_everywhere() {
        for shape in [Shape::from([3]), [7, 9, 5].into(), [20_001].into()] {
            everywhere(&Dropout::new(0.3), &[shape], 3, 1e-6);
        }
        everywhere(&Dropout::new(0.0), &[[10].into()], 2, 1e-6);
    }

    #[test]
    fn keeps_the_mean_and_drops_the_rate() {
        let n = 100_000;
        let numbers = Numbers { x: vec![vec![1.0; n]], w: vec![], dy: vec![1.0; n] };
        let o = run(&Dropout::new(0.25), &[[n].into()], Options { batch: 1, ..options() }, &numbers).unwrap();
        assert_eq!(o.y, o.dx[0]);
        let dropped = o.y.iter().filter(|y| **y == 0.0).count();
        assert!((24_500..25_500).contains(&dropped), "{dropped}");
        assert!(o.y.iter().all(|y| *y == 0.0 || *y == 1.0 / 0.75));
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for rate in [-0.1, 1.0, 2.0, f32::NAN] {
            assert!(Dropout::new(rate).shape(&[[2].into()]).unwrap_err().to_string().contains("dropout rate"));
        }
    }
}
