//! Pooling of sequences: the code of [`Pool2D`] on an image of one row.

use serde::{Deserialize, Serialize};

use crate::conv::Padding;
use crate::error::{Error, Result};
use crate::ops::pieces::only;
use crate::ops::{Compiled, Ctx, Fuses, Mode, Pool2D, PoolKind, Rule, Twin};
use crate::tensor::Shape;

/// Pooling over a window of a sequence: `y[o, c] = reduce x[o stride + k - left, c]` over `k < window`.
///
/// Shapes: `[l, c] -> [ol, c]`. Padding, ceil mode and averages follow [`Pool2D`]; of an explicit padding `left` and
/// `right` count, and `top` and `bottom` must be 0.
///
/// ```
/// use striate::ops::{Pool1D, Rule};
/// assert_eq!(Pool1D::max(2).shape(&[[100, 8].into()])?, [50, 8].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool1D {
    /// What is taken of a window.
    pub kind: PoolKind,
    /// Size of the window.
    pub window: usize,
    /// Step between windows; the size of the window if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Padding of the input.
    #[serde(default)]
    pub padding: Padding,
    /// Whether a last, partial window counts.
    #[serde(default)]
    pub ceil: bool,
    /// Whether an average counts padded places.
    #[serde(default)]
    pub count_padding: bool,
}

impl Pool1D {
    /// Pooling of `kind` over windows of `window` elements, without overlap and padding.
    pub fn new(kind: PoolKind, window: usize) -> Self {
        Self { kind, window, stride: None, padding: Padding::Valid, ceil: false, count_padding: false }
    }

    /// Maximum pooling.
    pub fn max(window: usize) -> Self {
        Self::new(PoolKind::Max, window)
    }

    /// Average pooling.
    pub fn average(window: usize) -> Self {
        Self::new(PoolKind::Average, window)
    }

    /// Minimum pooling.
    pub fn min(window: usize) -> Self {
        Self::new(PoolKind::Min, window)
    }

    /// The step between windows.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = Some(stride);
        self
    }

    /// The padding.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Lets a last, partial window count.
    #[must_use]
    pub fn ceil(mut self, ceil: bool) -> Self {
        self.ceil = ceil;
        self
    }

    /// Lets an average count padded places.
    #[must_use]
    pub fn count_padding(mut self, count: bool) -> Self {
        self.count_padding = count;
        self
    }

    // One row high and one row a step, so that no kind of padding adds rows.
    fn flat(&self) -> Pool2D {
        Pool2D {
            kind: self.kind,
            window: [1, self.window],
            stride: self.stride.map(|s| [1, s]),
            padding: self.padding,
            dilation: [1; 2],
            ceil: self.ceil,
            count_padding: self.count_padding,
        }
    }
}

// A sequence as an image of one row.
fn image(x: Shape) -> Shape {
    [1, x.dims()[0], x.channels()].into()
}

impl Rule for Pool1D {
    fn class(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "MaxPooling1D",
            PoolKind::Average => "AveragePooling1D",
            PoolKind::Min => "MinPooling1D",
        }
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        if x.rank() != 2 {
            return Err(Error::shape(format!("{} takes sequences [l, c], and {x} is none", self.class()))
                .with_help("use Pool2D for images [h, w, c]"));
        }
        if let Padding::Explicit { top: 1.., .. } | Padding::Explicit { bottom: 1.., .. } = self.padding {
            return Err(Error::shape(format!("padding {} has rows, and a sequence has none", self.padding))
                .with_help("give 0 for top and bottom; left and right are its two ends"));
        }
        let y = self.flat().shape(&[image(x)])?;
        Ok([y.dims()[1], y.channels()].into())
    }

    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
        self.flat().mul_adds(x, y)
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        self.flat().compile(&Ctx { x: &[image(ctx.x[0])], y: image(ctx.y), ..*ctx })
    }

    fn fuses(&self, _x: &[Shape], mode: Mode) -> Fuses {
        self.flat().fuses(&[], mode)
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        self.flat().twin(&Twin { shapes: &[image(t.shapes[0])], ..*t })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::{everywhere, without_ties};

    #[test]
    fn several_geometries_everywhere() {
        let explicit = Padding::Explicit { top: 0, bottom: 0, left: 1, right: 1 };
        for kind in [PoolKind::Max, PoolKind::Average, PoolKind::Min] {
            for pool in [
                Pool1D::new(kind, 2),
                Pool1D::new(kind, 3).stride(2).padding(Padding::Same),
                Pool1D::new(kind, 3).stride(1).padding(Padding::Full),
                Pool1D::new(kind, 4).stride(3).padding(explicit).ceil(true).count_padding(true),
            ] {
                for shape in [Shape::from([11, 1]), [8, 5].into(), [9, 18].into()] {
                    everywhere(&pool, &[shape], 3, 1e-5);
                    assert!(without_ties(&pool, &[shape], 3) < 1e-5);
                }
            }
        }
    }

    #[test]
    fn images_and_row_padding_are_refused() {
        assert!(Pool1D::max(2).shape(&[[4, 4, 1].into()]).unwrap_err().to_string().contains("Pool2D"));
        assert!(Pool1D::max(2).padding(Padding::all(1)).shape(&[[4, 1].into()]).is_err());
    }
}
