//! Global pooling: one number per channel, from the whole image or sequence (M32).
//!
//! The code is that of [`Pool2D`] with a window as large as the image.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pieces::only;
use crate::ops::{Compiled, Ctx, Pool2D, PoolKind, Rule, Twin};
use crate::tensor::Shape;

/// Global pooling: `y[c] = mean x[.., c]`, or the maximum; `[h, w, c] -> [c]` and `[l, c] -> [c]`.
///
/// With `keep_dims` the axes stay, with size 1: `[h, w, c] -> [1, 1, c]` and `[l, c] -> [1, c]`.
///
/// Source: Lin, Chen and Yan, "Network In Network", 2013, arXiv:1312.4400.
///
/// ```
/// use striate::ops::{GlobalPool, Rule};
/// assert_eq!(GlobalPool::average().shape(&[[7, 7, 512].into()])?, [512].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalPool {
    /// What is taken of a channel.
    pub kind: PoolKind,
    /// Whether the pooled axes stay, with size 1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_dims: bool,
}

impl GlobalPool {
    /// Global pooling of `kind`.
    pub fn new(kind: PoolKind) -> Self {
        Self { kind, keep_dims: false }
    }

    /// The mean of each channel.
    pub fn average() -> Self {
        Self::new(PoolKind::Average)
    }

    /// The maximum of each channel.
    pub fn max() -> Self {
        Self::new(PoolKind::Max)
    }

    /// Keeps the pooled axes, with size 1.
    #[must_use]
    pub fn keep_dims(self, keep_dims: bool) -> Self {
        Self { keep_dims, ..self }
    }

    // The pool over the whole of an image, and the image's shape.
    fn whole(&self, x: Shape) -> Result<(Pool2D, Shape)> {
        let [h, w, c] = x.hwc()?;
        Ok((Pool2D::new(self.kind, [h, w]), [h, w, c].into()))
    }
}

impl Rule for GlobalPool {
    fn class(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "GlobalMaxPooling2D",
            PoolKind::Average => "GlobalAveragePooling2D",
            PoolKind::Min => "GlobalMinPooling2D",
        }
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        if x.rank() == 1 {
            return Err(Error::shape(format!("{} takes [h, w, c] or [l, c], and {x} has one axis", self.class()))
                .with_help("leave it out: a vector is pooled already"));
        }
        let (pool, image) = self.whole(x)?;
        pool.shape(&[image])?;
        let c = x.channels();
        Ok(match (self.keep_dims, x.rank()) {
            (false, _) => [c].into(),
            (true, 2) => [1, c].into(),
            (true, _) => [1, 1, c].into(),
        })
    }

    fn mul_adds(&self, x: &[Shape], _y: Shape) -> u64 {
        if self.kind == PoolKind::Average { x[0].len() as u64 } else { 0 }
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let (pool, image) = self.whole(ctx.x[0])?;
        pool.compile(&Ctx { x: &[image], y: [1, 1, ctx.y.channels()].into(), ..*ctx })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let c = t.shapes[0].channels();
        let pixels = t.shapes[0].len() / c;
        let channel = |n: usize, ch: usize| (0..pixels).map(move |i| t.x[0][(n * pixels + i) * c + ch]);
        let reduce = |(n, ch): (usize, usize)| match self.kind {
            PoolKind::Max => channel(n, ch).fold(f64::NEG_INFINITY, f64::max),
            PoolKind::Min => channel(n, ch).fold(f64::INFINITY, f64::min),
            PoolKind::Average => channel(n, ch).sum::<f64>() / pixels as f64,
        };
        (0..t.batch * c).map(|i| reduce((i / c, i % c))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::{everywhere, without_ties};

    #[test]
    fn m32_several_geometries_everywhere() {
        for pool in [GlobalPool::average(), GlobalPool::max(), GlobalPool::new(PoolKind::Min)] {
            for shape in [Shape::from([4, 5, 1]), [7, 7, 20].into(), [9, 6].into()] {
                everywhere(&pool, &[shape], 3, 1e-5);
                everywhere(&pool.clone().keep_dims(true), &[shape], 3, 1e-5);
                assert!(without_ties(&pool, &[shape], 3) < 1e-5);
            }
        }
    }

    #[test]
    fn kept_axes_have_size_1() {
        let shape = |x: Shape| GlobalPool::average().keep_dims(true).shape(&[x]).unwrap();
        assert_eq!(shape([4, 5, 7].into()), [1, 1, 7].into());
        assert_eq!(shape([9, 6].into()), [1, 6].into());
        let written = serde_json::to_string(&[GlobalPool::max(), GlobalPool::max().keep_dims(true)]).unwrap();
        assert_eq!(written, r#"[{"kind":"max"},{"kind":"max","keep_dims":true}]"#);
    }

    #[test]
    fn vectors_are_refused() {
        assert!(GlobalPool::max().shape(&[[4].into()]).unwrap_err().to_string().contains("leave it out"));
    }
}
