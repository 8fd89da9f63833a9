//! Slice: a range of one axis.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pieces::{only, rows_per_piece, with_step};
use crate::ops::{Compiled, Ctx, Io, Rule, Step, Twin};
use crate::tensor::Shape;

/// `y[.., i, ..] = x[.., start + i, ..]` for `i < end - start`, along one axis.
///
/// ```
/// use striate::ops::{Rule, Slice};
/// let half = Slice::channels(48, 96);
/// assert_eq!(Slice::new(2, 48, 96).shape(&[[27, 27, 96].into()])?, [27, 27, 48].into());
/// assert_eq!(half.shape(&[[27, 27, 96].into()])?, [27, 27, 48].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// Which axis, counted from 0 without the batch; below 0 from the last, which is -1.
    pub axis: isize,
    /// The first index that is kept.
    pub start: usize,
    /// The index after the last that is kept.
    pub end: usize,
}

impl Slice {
    /// The range `start..end` of an axis, counted from 0, or from the last, which is -1.
    pub fn new(axis: isize, start: usize, end: usize) -> Self {
        Self { axis, start, end }
    }

    /// The channels `start..end`.
    pub fn channels(start: usize, end: usize) -> Self {
        Self::new(-1, start, end)
    }

    fn axis_of(&self, x: Shape) -> Option<usize> {
        let axis = if self.axis < 0 { self.axis.checked_add_unsigned(x.rank())? } else { self.axis };
        usize::try_from(axis).ok().filter(|axis| *axis < x.rank())
    }
}

impl Rule for Slice {
    fn class(&self) -> &'static str {
        "Slice"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        let Some(axis) = self.axis_of(x) else {
            return Err(Error::shape(format!("Slice: {x} has no axis {}", self.axis))
                .with_help(format!("axes are counted from 0 without the batch, here 0 to {}", x.rank() - 1)));
        };
        let mut dims = x.dims().to_vec();
        if self.start >= self.end || self.end > dims[axis] {
            let Self { start, end, .. } = self;
            return Err(Error::shape(format!("Slice: {start}..{end} is no range of axis {axis} of {x}"))
                .with_help(format!("start must be less than end, and end at most {}", dims[axis])));
        }
        dims[axis] = self.end - self.start;
        Shape::new(&dims)
    }

    fn mul_adds(&self, _x: &[Shape], _y: Shape) -> u64 {
        0
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let x = ctx.x[0];
        let axis = self.axis_of(x).expect("checked by `shape`");
        let below: usize = x.dims()[axis + 1..].iter().product();
        let (skip, keep, all) = (self.start * below, (self.end - self.start) * below, x.dims()[axis] * below);
        Ok(with_step(Box::new(Cut { skip, keep, all })))
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let dims = t.shapes[0].dims();
        let axis = self.axis_of(t.shapes[0]).expect("checked by `shape`");
        let below: usize = dims[axis + 1..].iter().product();
        let inside = |at: &usize| (self.start..self.end).contains(&(at / below % dims[axis]));
        (0..t.x[0].len()).filter(inside).map(|at| t.x[0][at]).collect()
    }
}

/// Of each row of `all` numbers, `keep` are kept from number `skip` on.
struct Cut {
    skip: usize,
    keep: usize,
    all: usize,
}

impl Step for Cut {
    fn forward(&self, io: &Io<'_>) {
        let x = io.x(0);
        let x = &*x;
        let rows = rows_per_piece(self.keep);
        io.team.chunks(&mut io.y_mut(), rows * self.keep, |piece, y| {
            let x = x[piece * rows * self.all..].chunks_exact(self.all);
            y.chunks_exact_mut(self.keep).zip(x).for_each(|(y, x)| y.copy_from_slice(&x[self.skip..][..self.keep]));
        });
    }

    fn backward(&self, io: &Io<'_>) {
        let Some(mut dx) = io.dx(0) else { return };
        let dy = io.dy();
        let dy = &*dy;
        let rows = rows_per_piece(self.all);
        io.team.chunks(&mut dx, rows * self.all, |piece, dx| {
            let dy = dy[piece * rows * self.keep..].chunks_exact(self.keep);
            for (dx, dy) in dx.chunks_exact_mut(self.all).zip(dy) {
                dx[..self.skip].fill(0.0);
                dx[self.skip..][..self.keep].copy_from_slice(dy);
                dx[self.skip + self.keep..].fill(0.0);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;

    #[test]
    fn ranges_of_all_axes_everywhere() {
        for (axis, start, end) in [(0, 0, 2), (0, 1, 5), (1, 3, 4), (2, 0, 3), (2, 1, 2), (-1, 2, 3), (-3, 4, 5)] {
            everywhere(&Slice::new(axis, start, end), &[[5, 4, 3].into()], 3, 1e-6);
        }
        everywhere(&Slice::channels(7, 30), &[[50, 40, 33].into()], 2, 1e-6);
        everywhere(&Slice::new(0, 1, 9), &[[9].into()], 2, 1e-6);
    }

    #[test]
    fn what_is_no_axis_or_range_is_refused() {
        let error = |slice: Slice| slice.shape(&[[5, 4, 3].into()]).unwrap_err().to_string();
        assert!(error(Slice::new(3, 0, 1)).contains("no axis 3"));
        assert!(error(Slice::new(-4, 0, 1)).contains("no axis -4"));
        assert!(error(Slice::new(isize::MIN, 0, 1)).contains("no axis"));
        assert!(error(Slice::new(0, 2, 2)).contains("no range of axis 0"));
        assert!(error(Slice::new(2, 0, 4)).contains("at most 3"));
    }
}
