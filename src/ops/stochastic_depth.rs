//! Stochastic depth: in training whole samples are dropped at the end of a residual branch.
//!
//! Word `i` of the op's random stream decides on sample `i`, so backward draws
//! the same samples again.
//!
//! Source: Huang et al., "Deep Networks with Stochastic Depth", 2016, arXiv:1603.09382; as in EfficientNet and ConvNeXt,
//! each sample is dropped by itself and the others grow, so that inference changes nothing.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pieces::{copying, in_rows, only, rows_per_piece, with_step};
use crate::ops::{Compiled, Ctx, Io, Mode, Rule, Step, Twin};
use crate::rng::unit;
use crate::tensor::Shape;

/// `y = x / (1 - rate)` for a sample that is kept, with probability `1 - rate`, else 0; at inference `y = x`.
///
/// ```
/// use striate::ops::{Rule, StochasticDepth};
/// assert!(StochasticDepth::new(0.2).shape(&[[7, 7, 320].into()]).is_ok());
/// assert!(StochasticDepth::new(1.0).shape(&[[7, 7, 320].into()]).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StochasticDepth {
    /// The probability that a sample is dropped, in `[0, 1)`.
    pub rate: f32,
}

impl StochasticDepth {
    /// Stochastic depth of this rate.
    pub fn new(rate: f32) -> Self {
        Self { rate }
    }
}

impl Rule for StochasticDepth {
    fn class(&self) -> &'static str {
        "StochasticDepth"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(Error::argument(format!("a stochastic depth rate of {} is out of range", self.rate))
                .with_help("the rate is the part of the samples that is dropped: 0 or more, and less than 1"));
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
            Mode::Train => with_step(Box::new(Drop { rate: self.rate, sample: ctx.y.len() })),
        })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let keeps = |at: usize| unit(t.rng.word((at / t.shapes[0].len()) as u64)) >= self.rate;
        let one = |(at, x): (usize, &f64)| match t.mode {
            Mode::Infer => *x,
            Mode::Train if keeps(at) => x / (1.0 - f64::from(self.rate)),
            Mode::Train => 0.0,
        };
        t.x[0].iter().enumerate().map(one).collect()
    }
}

struct Drop {
    rate: f32,
    sample: usize,
}

impl Drop {
    fn apply(&self, io: &Io<'_>, x: &[f32], y: &mut [f32]) {
        let (rng, factor, piece) = (io.rng, 1.0 / (1.0 - self.rate), rows_per_piece(1));
        io.team.chunks(y, piece, |i, y| {
            in_rows((self.sample, piece), i * piece, y, |sample, at, y| {
                let x = &x[sample * self.sample + at..][..y.len()];
                match unit(rng.word(sample as u64)) >= self.rate {
                    true => y.iter_mut().zip(x).for_each(|(y, x)| *y = x * factor),
                    false => y.fill(0.0),
                }
            });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{Numbers, Options, run};
    use crate::ops::proof::{everywhere, options};

    #[test]
    fn the_samples_are_those_of_the_formula_everywhere() {
        for shape in [Shape::from([3]), [7, 9, 5].into(), [40_001].into()] {
            everywhere(&StochasticDepth::new(0.3), &[shape], 5, 1e-6);
        }
    }

    #[test]
    fn whole_samples_are_dropped_at_the_rate() {
        let n = 10_000;
        let numbers = Numbers { x: vec![vec![1.0; 3 * n]], w: vec![], dy: vec![1.0; 3 * n] };
        let o = run(&StochasticDepth::new(0.25), &[[3].into()], Options { batch: n, ..options() }, &numbers).unwrap();
        assert_eq!(o.y, o.dx[0]);
        assert!(o.y.chunks(3).all(|y| y == [0.0; 3] || y == [1.0 / 0.75; 3]));
        let dropped = o.y.chunks(3).filter(|y| y[0] == 0.0).count();
        assert!((2_350..2_650).contains(&dropped), "{dropped}");
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for rate in [-0.1, 1.0, f32::NAN] {
            let e = StochasticDepth::new(rate).shape(&[[2].into()]).unwrap_err();
            assert!(e.to_string().contains("stochastic depth rate"), "{e}");
        }
    }
}
