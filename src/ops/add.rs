//! The sum of several inputs, as at the end of a residual block.
//!
//! Source: He, Zhang, Ren and Sun, "Deep Residual Learning", 2015, arXiv:1512.03385.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::ops::broadcast::{self, Fold};
use crate::ops::merge::seen;
use crate::ops::pieces::{copy, rows_per_piece, with_step};
use crate::ops::{Compiled, Ctx, Io, Rule, Step, Twin};
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
        Ok(with_step(Box::new(Sum { piece: rows_per_piece(1) })))
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let y = self.shape(t.shapes).expect("shapes were checked before");
        (0..t.batch * y.len()).map(|at| seen(t, y, at).iter().sum()).collect()
    }
}

struct Sum {
    piece: usize,
}

impl Step for Sum {
    fn forward(&self, io: &Io<'_>) {
        let (a, b, mut y) = (io.x(0), io.x(1), io.y_mut());
        let (a, b) = (&*a, &*b);
        io.team.chunks(&mut y, self.piece, |i, y| {
            let at = i * self.piece;
            y.iter_mut().zip(&a[at..]).zip(&b[at..]).for_each(|((y, a), b)| *y = a + b);
        });
        for input in 2..io.inputs() {
            let x = io.x(input);
            let x = &*x;
            io.team.chunks(&mut y, self.piece, |i, y| {
                y.iter_mut().zip(&x[i * self.piece..]).for_each(|(y, x)| *y += x);
            });
        }
    }

    fn backward(&self, io: &Io<'_>) {
        let dy = io.dy();
        for mut dx in (0..io.inputs()).filter_map(|i| io.dx(i)) {
            copy(io, &dy, &mut dx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;

    #[test]
    fn two_three_and_four_inputs_everywhere() {
        for n in 2..5 {
            everywhere(&Add::new(), &vec![[13, 7, 3].into(); n], 2, 1e-6);
        }
        everywhere(&Add::new(), &[[40_001].into(); 2], 2, 1e-6);
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
