//! Permute: the axes of a sample in another order.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pieces::{copying, only, rows_per_piece, with_step};
use crate::ops::{Compiled, Ctx, Io, Mode, Rule, Step, Twin};
use crate::tensor::Shape;

/// Axis `i` of the output is axis `axes[i]` of the input, counted from 0 without the batch (Keras counts from 1).
///
/// ```
/// use striate::ops::{Permute, Rule};
/// assert_eq!(Permute::new(&[2, 0, 1]).shape(&[[7, 5, 64].into()])?, [64, 7, 5].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permute {
    /// The axes of the input, in the order of the output.
    pub axes: Vec<usize>,
}

impl Permute {
    /// To this order of axes.
    pub fn new(axes: &[usize]) -> Self {
        Self { axes: axes.to_vec() }
    }

    fn keeps_order(&self) -> bool {
        self.axes.is_sorted()
    }
}

impl Rule for Permute {
    fn class(&self) -> &'static str {
        "Permute"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.rank()) {
            let all: Vec<usize> = (0..x.rank()).collect();
            return Err(Error::shape(format!("Permute: {:?} is no order of the axes of {x}", self.axes))
                .with_help(format!("name each of {all:?} once; the batch is not counted")));
        }
        let dims: Vec<usize> = self.axes.iter().map(|axis| x.dims()[*axis]).collect();
        Shape::new(&dims)
    }

    fn mul_adds(&self, _x: &[Shape], _y: Shape) -> u64 {
        0
    }

    fn is_view(&self, _mode: Mode) -> bool {
        self.keeps_order()
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        if self.keeps_order() {
            return Ok(copying());
        }
        let mut back = vec![0; self.axes.len()];
        self.axes.iter().enumerate().for_each(|(to, from)| back[*from] = to);
        let forward = Order::new(ctx.x[0], &self.axes);
        Ok(with_step(Box::new(Reorder { forward, backward: Order::new(ctx.y, &back) })))
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let shape = t.shapes[0];
        let y = self.shape(t.shapes).expect("shapes were checked before");
        let mut out = vec![0.0; t.x[0].len()];
        for (at, value) in t.x[0].iter().enumerate() {
            let mut index = vec![0; shape.rank()];
            let mut rest = at % shape.len();
            for axis in (0..shape.rank()).rev() {
                index[axis] = rest % shape.dims()[axis];
                rest /= shape.dims()[axis];
            }
            let place = self.axes.iter().zip(y.dims()).fold(0, |place, (axis, size)| place * size + index[*axis]);
            out[at / shape.len() * shape.len() + place] = *value;
        }
        out
    }
}

// Axes of a sample, filled up with ones in front.
const AXES: usize = 4;

/// For the axes of the output: their sizes, and the distance of neighbours in the input.
struct Order {
    sizes: [usize; AXES],
    strides: [usize; AXES],
}

impl Order {
    fn new(x: Shape, axes: &[usize]) -> Self {
        let mut order = Self { sizes: [1; AXES], strides: [0; AXES] };
        for (to, axis) in (AXES - axes.len()..AXES).zip(axes) {
            order.sizes[to] = x.dims()[*axis];
            order.strides[to] = x.dims()[axis + 1..].iter().product();
        }
        order
    }

    fn len(&self) -> usize {
        self.sizes.iter().product()
    }

    // Where row `row` of the output begins in the input: the last axis is the row.
    fn start(&self, row: usize) -> usize {
        let (mut rest, mut start) = (row, 0);
        for axis in (0..AXES - 1).rev() {
            start += rest % self.sizes[axis] * self.strides[axis];
            rest /= self.sizes[axis];
        }
        start + rest * self.len()
    }

    fn apply(&self, io: &Io<'_>, x: &[f32], y: &mut [f32]) {
        let [.., row] = self.sizes;
        let [.., stride] = self.strides;
        let rows = rows_per_piece(row);
        io.team.chunks(y, rows * row, |piece, y| {
            for (i, y) in y.chunks_exact_mut(row).enumerate() {
                let x = &x[self.start(piece * rows + i)..];
                match stride {
                    1 => y.copy_from_slice(&x[..row]),
                    _ => y.iter_mut().zip(x.iter().step_by(stride)).for_each(|(y, x)| *y = *x),
                }
            }
        });
    }
}

struct Reorder {
    forward: Order,
    backward: Order,
}

impl Step for Reorder {
    fn forward(&self, io: &Io<'_>) {
        self.forward.apply(io, &io.x(0), &mut io.y_mut());
    }

    fn backward(&self, io: &Io<'_>) {
        if let Some(mut dx) = io.dx(0) {
            self.backward.apply(io, &io.dy(), &mut dx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;

    #[test]
    fn all_orders_of_three_axes_and_some_of_others_everywhere() {
        for axes in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            everywhere(&Permute::new(&axes), &[[5, 4, 3].into()], 3, 1e-6);
            everywhere(&Permute::new(&axes), &[[60, 33, 18].into()], 2, 1e-6);
        }
        everywhere(&Permute::new(&[1, 0]), &[[7, 5].into()], 2, 1e-6);
        everywhere(&Permute::new(&[0]), &[[9].into()], 2, 1e-6);
        everywhere(&Permute::new(&[2, 0, 3, 1]), &[[2, 3, 4, 5].into()], 2, 1e-6);
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for axes in [&[1, 2, 3][..], &[0, 1], &[0, 0, 1], &[]] {
            let e = Permute::new(axes).shape(&[[4, 5, 6].into()]).unwrap_err();
            assert!(e.to_string().contains("is no order of the axes"), "{e}");
        }
    }
}
