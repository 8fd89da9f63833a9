//! Rows and columns of zeros around an image.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pieces::{only, rows_per_piece, with_step};
use crate::ops::{Compiled, Ctx, Io, Rule, Step, Twin};
use crate::tensor::Shape;

/// `y[i, j, c] = x[i - top, j - left, c]`, 0 outside; `[h, w, c] -> [top + h + bottom, left + w + right, c]`.
///
/// ```
/// use striate::ops::{Rule, ZeroPad};
/// assert_eq!(ZeroPad::all(3).shape(&[[224, 224, 3].into()])?, [230, 230, 3].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZeroPad {
    /// Rows above the first.
    pub top: usize,
    /// Rows below the last.
    pub bottom: usize,
    /// Columns before the first.
    pub left: usize,
    /// Columns after the last.
    pub right: usize,
}

impl ZeroPad {
    /// So many rows and columns on all four sides.
    pub fn all(p: usize) -> Self {
        Self::sides(p, p, p, p)
    }

    /// So many rows above and below, so many columns before and after.
    pub fn sides(top: usize, bottom: usize, left: usize, right: usize) -> Self {
        Self { top, bottom, left, right }
    }
}

impl Rule for ZeroPad {
    fn class(&self) -> &'static str {
        "ZeroPadding2D"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        let &[h, w, c] = x.dims() else {
            return Err(Error::shape(format!("ZeroPadding2D takes images [h, w, c], and {x} is none")));
        };
        if let Some(side) = [self.top, self.bottom, self.left, self.right].into_iter().find(|p| *p > 1 << 20) {
            return Err(Error::argument(format!("padding by {side} is out of range"))
                .with_help(format!("pad by at most {}", 1 << 20)));
        }
        Shape::new(&[self.top + h + self.bottom, self.left + w + self.right, c])
    }

    fn mul_adds(&self, _x: &[Shape], _y: Shape) -> u64 {
        0
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let ([h, w, c], [oh, ow, _]) = (ctx.x[0].hwc()?, ctx.y.hwc()?);
        Ok(with_step(Box::new(Pad { top: self.top, left: self.left * c, h, oh, row: w * c, y_row: ow * c })))
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let [h, w, c] = t.shapes[0].hwc().expect("checked by `shape`");
        let (oh, ow) = (self.top + h + self.bottom, self.left + w + self.right);
        let mut y = vec![0.0; t.batch * oh * ow * c];
        for (i, x) in t.x[0].iter().enumerate() {
            let (n, iy, ix, channel) = (i / c / w / h, i / c / w % h, i / c % w, i % c);
            y[((n * oh + iy + self.top) * ow + ix + self.left) * c + channel] = *x;
        }
        y
    }
}

// Sizes of rows and the left margin are in numbers, not pixels.
struct Pad {
    top: usize,
    left: usize,
    h: usize,
    oh: usize,
    row: usize,
    y_row: usize,
}

impl Step for Pad {
    fn forward(&self, io: &Io<'_>) {
        let (x, mut y) = (io.x(0), io.y_mut());
        let x = &*x;
        let rows = rows_per_piece(self.y_row);
        io.team.chunks(&mut y, rows * self.y_row, |piece, y| {
            for (i, y) in y.chunks_exact_mut(self.y_row).enumerate() {
                let (n, oy) = ((piece * rows + i) / self.oh, (piece * rows + i) % self.oh);
                match oy.checked_sub(self.top).filter(|iy| *iy < self.h) {
                    None => y.fill(0.0),
                    Some(iy) => {
                        let (left, rest) = y.split_at_mut(self.left);
                        let (middle, right) = rest.split_at_mut(self.row);
                        left.fill(0.0);
                        middle.copy_from_slice(&x[(n * self.h + iy) * self.row..][..self.row]);
                        right.fill(0.0);
                    }
                }
            }
        });
    }

    fn backward(&self, io: &Io<'_>) {
        let Some(mut dx) = io.dx(0) else { return };
        let dy = io.dy();
        let dy = &*dy;
        let rows = rows_per_piece(self.row);
        io.team.chunks(&mut dx, rows * self.row, |piece, dx| {
            for (i, dx) in dx.chunks_exact_mut(self.row).enumerate() {
                let (n, iy) = ((piece * rows + i) / self.h, (piece * rows + i) % self.h);
                let start = (n * self.oh + self.top + iy) * self.y_row + self.left;
                dx.copy_from_slice(&dy[start..start + self.row]);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;

    #[test]
    fn several_paddings_everywhere() {
        for pad in [ZeroPad::all(0), ZeroPad::all(2), ZeroPad::sides(1, 0, 0, 3), ZeroPad::sides(0, 2, 1, 0)] {
            everywhere(&pad, &[[4, 5, 3].into()], 3, 1e-6);
            everywhere(&pad, &[[50, 40, 17].into()], 2, 1e-6);
        }
    }

    #[test]
    fn what_is_no_image_or_too_large_is_refused() {
        assert!(ZeroPad::all(1).shape(&[[4, 4].into()]).is_err());
        assert!(ZeroPad::all(usize::MAX).shape(&[[4, 4, 1].into()]).is_err());
    }
}
