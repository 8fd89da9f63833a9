//! Adaptive pooling: an image of any size is pooled to a given one, as before the dense layers of AlexNet and VGG.
//!
//! The kernels are those of `Pool2D`, on windows that divide the image.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pair;
use crate::ops::pieces::only;
use crate::ops::pool2d::Pooling;
use crate::ops::sliding::{Line, Sliding};
use crate::ops::{Compiled, Ctx, Fuses, Mode, Pair, PoolKind, Rule, Twin};
use crate::tensor::Shape;

/// Pooling to a given size: `y[oy, ox, c] = reduce x[iy, ix, c]` over the window of the output.
///
/// Window `o` of `size` along an axis of `input` elements is `floor(o input / size) .. ceil((o + 1) input / size)`, as
/// in PyTorch. Where `size` divides `input`, that is an ordinary pool; elsewhere neighbouring windows share elements,
/// and where `size` is larger an element makes several outputs.
///
/// Shapes: `[h, w, c] -> [oh, ow, c]`.
///
/// ```
/// use striate::ops::{AdaptivePool2D, Rule};
/// let pool = AdaptivePool2D::average(6);
/// assert_eq!(pool.shape(&[[13, 13, 256].into()])?, [6, 6, 256].into());
/// assert_eq!(pool, serde_json::from_str(r#"{"kind": "average", "size": 6}"#).unwrap());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptivePool2D {
    /// What is taken of a window.
    pub kind: PoolKind,
    /// Size of the output, `[oh, ow]`.
    #[serde(with = "pair")]
    pub size: [usize; 2],
}

impl AdaptivePool2D {
    /// Pooling of `kind` to `size` (a number, or height and width).
    pub fn new(kind: PoolKind, size: impl Into<Pair>) -> Self {
        Self { kind, size: size.into().0 }
    }

    /// Average pooling to `size`.
    pub fn average(size: impl Into<Pair>) -> Self {
        Self::new(PoolKind::Average, size)
    }

    /// Maximum pooling to `size`.
    pub fn max(size: impl Into<Pair>) -> Self {
        Self::new(PoolKind::Max, size)
    }

    fn sliding(&self, x: Shape) -> Result<Sliding> {
        let [h, w, c] = x.hwc()?;
        for (size, name) in self.size.into_iter().zip(["height", "width"]) {
            if size == 0 || size > 1 << 20 {
                return Err(Error::shape(format!("{size} is not a {name} to pool to"))
                    .with_help(format!("it must be 1 to {}", 1 << 20)));
            }
        }
        let sliding = Sliding::new([Line::adaptive(h, self.size[0]), Line::adaptive(w, self.size[1])], c);
        if sliding.places() > 1 << 24 {
            return Err(Error::shape(format!("{x} to {:?}: a window has more than 2^24 places", self.size))
                .with_help("pool in two steps"));
        }
        Ok(sliding)
    }
}

impl Rule for AdaptivePool2D {
    fn class(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "AdaptiveMaxPooling2D",
            PoolKind::Average => "AdaptiveAveragePooling2D",
            PoolKind::Min => "AdaptiveMinPooling2D",
        }
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        if x.rank() != 3 {
            return Err(Error::shape(format!("{} takes images [h, w, c], and {x} is none", self.class()))
                .with_help("reshape a sequence [l, c] to [1, l, c] first"));
        }
        self.sliding(x)?;
        Shape::new(&[self.size[0], self.size[1], x.channels()])
    }

    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
        match (self.kind, x) {
            (PoolKind::Average, [x]) => x.len().max(y.len()) as u64,
            _ => 0,
        }
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        Ok(Pooling::compile(self.kind, self.sliding(ctx.x[0])?, ctx))
    }

    fn fuses(&self, _x: &[Shape], mode: Mode) -> Fuses {
        Pooling::fuses(self.kind, mode)
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let [h, w, c] = t.shapes[0].hwc().expect("checked by `shape`");
        let [oh, ow] = self.size;
        // Bounds as the formula has them, in real numbers: the quotients are exact enough by far.
        let window = |o: usize, input: usize, size: usize| {
            let bound = |o: usize| o as f64 * input as f64 / size as f64;
            (bound(o).floor() as usize, (bound(o + 1) - 1e-9).ceil() as usize)
        };
        let mut y = Vec::new();
        for at in 0..t.batch * oh * ow * c {
            let (n, oy, ox, channel) = (at / c / ow / oh, at / c / ow % oh, at / c % ow, at % c);
            let ((top, bottom), (left, right)) = (window(oy, h, oh), window(ox, w, ow));
            let rows = (top..bottom).flat_map(|iy| (left..right).map(move |ix| (iy, ix)));
            let seen: Vec<f64> = rows.map(|(iy, ix)| t.x[0][((n * h + iy) * w + ix) * c + channel]).collect();
            y.push(match self.kind {
                PoolKind::Max => seen.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                PoolKind::Min => seen.iter().copied().fold(f64::INFINITY, f64::min),
                PoolKind::Average => seen.iter().sum::<f64>() / seen.len() as f64,
            });
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Pool2D;
    use crate::ops::check::{Options, run};
    use crate::ops::proof::{everywhere, numbers, options, without_ties};

    #[test]
    fn several_sizes_everywhere() {
        for kind in [PoolKind::Max, PoolKind::Average, PoolKind::Min] {
            for (size, shape) in [
                ([6, 6], [13, 13, 20]),
                ([1, 1], [5, 4, 3]),
                ([7, 7], [7, 7, 17]),
                ([3, 5], [8, 7, 1]),
                ([4, 9], [3, 2, 5]),
            ] {
                let pool = AdaptivePool2D::new(kind, size);
                everywhere(&pool, &[shape.into()], 2, 1e-5);
                assert!(without_ties(&pool, &[shape.into()], 2) < 1e-5);
            }
        }
    }

    #[test]
    fn a_size_that_divides_is_an_ordinary_pool() {
        for kind in [PoolKind::Max, PoolKind::Average] {
            let (adaptive, plain) = (AdaptivePool2D::new(kind, [3, 4]), Pool2D::new(kind, [4, 2]));
            let shapes = [Shape::from([12, 8, 18])];
            let numbers = numbers(&plain, &shapes, 2);
            let outcome = |rule: &dyn Rule| run(rule, &shapes, Options { batch: 2, ..options() }, &numbers).unwrap();
            assert_eq!(outcome(&adaptive), outcome(&plain));
        }
    }

    // PyTorch 2: `F.adaptive_avg_pool2d(torch.arange(5.).view(1, 1, 1, 5), (1, 3))`; windows 0..2, 1..4, 3..5.
    #[test]
    fn windows_are_those_of_pytorch() {
        let shapes = [Shape::from([1, 5, 1])];
        let pool = AdaptivePool2D::average([1, 3]);
        let mut numbers = numbers(&pool, &shapes, 1);
        (numbers.x, numbers.dy) = (vec![vec![0., 1., 2., 3., 4.]], vec![6., 12., 18.]);
        let o = run(&pool, &shapes, Options { batch: 1, ..options() }, &numbers).unwrap();
        assert_eq!((o.y, o.dx), (vec![0.5, 2.0, 3.5], vec![vec![3., 7., 4., 13., 9.]]));
    }

    #[test]
    fn what_cannot_be_pooled_is_refused() {
        let error = |pool: AdaptivePool2D, shape: Shape| pool.shape(&[shape]).unwrap_err().to_string();
        assert!(error(AdaptivePool2D::max(2), [8, 4].into()).contains("[1, l, c]"));
        assert!(error(AdaptivePool2D::max([0, 2]), [8, 4, 1].into()).contains("0 is not a height"));
        assert!(error(AdaptivePool2D::max([1, 1]), [8192, 8192, 1].into()).contains("two steps"));
    }
}
