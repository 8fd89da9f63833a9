//! The other branch of a residual block and the activation, added to what a pass has just written.
//!
//! A tile could read the other branch where it writes its sums, and does where both are in a cache. From memory that is
//! slow: a tile asks for two lines of each of its rows at once, more than the processor fetches at a time, and no
//! prefetcher sees a sequence. In the order of memory, one block behind the sums, it costs what reading costs.

use super::Finish;
use super::tile::Fused;
use crate::simd::{Isa, stamp};

/// What is left for when the sums of a block stand in the output.
#[derive(Clone, Copy)]
pub(super) struct Later<'a> {
    residual: &'a [f32],
    fused: Fused,
}

impl<'a> Finish<'a> {
    /// What happens where sums are written, and what later, in the order of memory.
    pub(super) fn apart(self) -> (Self, Later<'a>) {
        let later = Later { residual: self.residual, fused: self.fused };
        let fused = if self.residual.is_empty() { self.fused } else { Fused::Linear };
        (Self { residual: &[], fused, ..self }, later)
    }
}

impl Later<'_> {
    /// `y = fused(y + residual)`, number by number, where there is another branch.
    pub fn run(self, isa: Isa, y: &mut [f32]) {
        if !self.residual.is_empty() {
            add(isa)(self, y);
        }
    }
}

stamp! {
    fn add(later: Later<'_>, y: &mut [f32]) = body[FMA, LANES];
}

#[inline(always)]
fn body<const FMA: bool, const LANES: usize>(later: Later<'_>, y: &mut [f32]) {
    let pairs = y.iter_mut().zip(later.residual);
    // One loop for each activation: a choice within would leave no vectors.
    match later.fused {
        Fused::Linear => pairs.for_each(|(y, r)| *y += r),
        Fused::Relu => {
            for (y, r) in pairs {
                *y = Fused::Relu.apply(*y + r);
            }
        }
        Fused::Relu6 => {
            for (y, r) in pairs {
                *y = Fused::Relu6.apply(*y + r);
            }
        }
        Fused::LeakyRelu(slope) => {
            for (y, r) in pairs {
                *y = Fused::LeakyRelu(slope).apply(*y + r);
            }
        }
    }
}
