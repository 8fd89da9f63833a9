//! The sum of several inputs, as at the end of a residual block.
//!
//! Source: He, Zhang, Ren and Sun, "Deep Residual Learning", 2015, arXiv:1512.03385.

use serde::{Deserialize, Serialize};

use crate::conv::Fused;
use crate::error::Result;
use crate::ops::broadcast::{self, Fold};
use crate::ops::convolve::must_fuse;
use crate::ops::merge::seen;
use crate::ops::pieces::{copy, rows_per_piece};
use crate::ops::{Compiled, Ctx, Fuses, Io, Mode, Needs, Rule, Step, Twin};
use crate::parallel::Team;
use crate::simd::{Isa, stamp};
use crate::tensor::Shape;

/// `y = x_0 + x_1 + ...`; as in [`Merge`](crate::ops::Merge), axes of size 1 are repeated.
///
/// ```
/// use striate::ops::{Add, Rule};
/// assert_eq!(Add::new().shape(&[[8, 8, 4].into(), [8, 8, 4].into()])?, [8, 8, 4].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {}

impl Add {
    /// The op; it has nothing to set.
    pub fn new() -> Self {
        Self {}
    }
}

impl Rule for Add {
    fn class(&self) -> &'static str {
        "Add"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        broadcast::shape(self.class(), x)
    }

    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
        ((x.len() - 1) * y.len()) as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        if ctx.x.iter().any(|x| *x != ctx.y) {
            return Ok(broadcast::compile(ctx, Fold::Sum));
        }
        let fused = must_fuse(ctx.fusion.activation)?;
        let needs = Needs { x: false, y: ctx.mode == Mode::Train && fused != Fused::Linear };
        let hands_on = (0..ctx.x.len()).collect();
        let step = Box::new(Sum { piece: rows_per_piece(1), isa: ctx.isa, fused });
        Ok(Compiled { needs, hands_on, ..Compiled::new(step) })
    }

    fn fuses(&self, x: &[Shape], _mode: Mode) -> Fuses {
        Fuses { activation: x.iter().all(|shape| *shape == x[0]), ..Fuses::default() }
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let y = self.shape(t.shapes).expect("shapes were checked before");
        (0..t.batch * y.len()).map(|at| seen(t, y, at).iter().sum()).collect()
    }
}

// Numbers that are copied and then added to, while they are in the first-level cache.
const BLOCK: usize = 2048;

struct Sum {
    piece: usize,
    isa: Isa,
    fused: Fused,
}

impl Step for Sum {
    fn forward(&self, io: &Io<'_>) {
        let (a, mut y, sum) = (io.x(0), io.y_mut(), sum(self.isa));
        let a = &*a;
        let last = io.inputs() - 1;
        let fused = |input| if input == last { self.fused } else { Fused::Linear };
        {
            let b = io.x(1);
            let b = &*b;
            io.team.chunks(&mut y, self.piece, |i, y| {
                for (j, y) in y.chunks_mut(BLOCK).enumerate() {
                    let at = i * self.piece + j * BLOCK;
                    y.copy_from_slice(&a[at..at + y.len()]);
                    sum(&b[at..], fused(1), y);
                }
            });
        }
        for input in 2..io.inputs() {
            let x = io.x(input);
            let x = &*x;
            io.team.chunks(&mut y, self.piece, |i, y| sum(&x[i * self.piece..], fused(input), y));
        }
    }

    fn backward(&self, io: &Io<'_>) {
        if self.fused != Fused::Linear {
            let (mut dy, y, mask) = (io.dy_mut(), io.y(), mask(self.isa));
            let y = &*y;
            io.team.chunks(&mut dy, self.piece, |i, dy| mask(&y[i * self.piece..], self.fused, dy));
        }
        let dy = io.dy();
        for mut dx in (0..io.inputs()).filter_map(|i| io.dx(i)) {
            copy(io, &dy, &mut dx);
        }
    }
}

/// `into += from`, by all threads.
pub(crate) fn accumulate(team: Team, isa: Isa, into: &mut [f32], from: &[f32]) {
    let (piece, sum) = (rows_per_piece(1), sum(isa));
    team.chunks(into, piece, |i, into| sum(&from[i * piece..], Fused::Linear, into));
}

stamp! {
    /// `y = f(y + x)`
    fn sum(x: &[f32], fused: Fused, y: &mut [f32]) = sum_body[FMA, LANES];
}

stamp! {
    /// `dy = dy f'(y)`
    fn mask(y: &[f32], fused: Fused, dy: &mut [f32]) = mask_body[FMA, LANES];
}

#[inline(always)]
fn sum_body<const FMA: bool, const LANES: usize>(x: &[f32], fused: Fused, y: &mut [f32]) {
    let numbers = y.iter_mut().zip(x);
    match fused {
        Fused::Linear => numbers.for_each(|(y, x)| *y += x),
        Fused::Relu => numbers.for_each(|(y, x)| *y = Fused::Relu.apply(*y + x)),
        Fused::Relu6 => numbers.for_each(|(y, x)| *y = Fused::Relu6.apply(*y + x)),
        Fused::LeakyRelu(slope) => numbers.for_each(|(y, x)| *y = Fused::LeakyRelu(slope).apply(*y + x)),
    }
}

#[inline(always)]
fn mask_body<const FMA: bool, const LANES: usize>(y: &[f32], fused: Fused, dy: &mut [f32]) {
    let numbers = dy.iter_mut().zip(y);
    match fused {
        Fused::Linear => {}
        Fused::Relu => numbers.for_each(|(dy, y)| *dy = Fused::Relu.gradient(*dy, *y)),
        Fused::Relu6 => numbers.for_each(|(dy, y)| *dy = Fused::Relu6.gradient(*dy, *y)),
        Fused::LeakyRelu(slope) => numbers.for_each(|(dy, y)| *dy = Fused::LeakyRelu(slope).gradient(*dy, *y)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Activation;
    use crate::ops::proof::{Passing, everywhere};

    #[test]
    fn two_three_and_four_inputs_everywhere() {
        for n in 2..5 {
            everywhere(&Add::new(), &vec![[13, 7, 3].into(); n], 2, 1e-6);
        }
        everywhere(&Add::new(), &[[40_001].into(); 2], 2, 1e-6);
    }

    #[test]
    fn with_activations_everywhere() {
        for activation in [Activation::Relu, Activation::Relu6, Activation::LeakyRelu(0.1)] {
            for n in 2..5 {
                let add = Passing { activation, ..Passing::new(Add::new()) };
                everywhere(&add, &vec![[13, 7, 3].into(); n], 2, 1e-6);
            }
        }
    }

    #[test]
    fn repeated_axes_everywhere() {
        everywhere(&Add::new(), &[[13, 7, 3].into(), [3].into(), [13, 1, 1].into()], 2, 2e-6);
        everywhere(&Add::new(), &[[1, 1, 40].into(), [30, 30, 40].into()], 2, 2e-6);
    }

    #[test]
    fn unequal_shapes_are_refused() {
        let e = Add::new().shape(&[[4, 2].into(), [4, 2].into(), [4, 3].into()]).unwrap_err();
        assert!(e.to_string().contains("input 2 has (None, 4, 3)"), "{e}");
        assert!(Add::new().shape(&[[4].into()]).is_err());
    }
}
