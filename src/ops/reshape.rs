//! Reshape: the same numbers with other axes.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pieces::{copying, only};
use crate::ops::{Compiled, Ctx, Mode, Rule, Twin};
use crate::tensor::Shape;

/// The same numbers, in memory order, with the axes `dims`; one of them may be -1 and is worked out. A view.
///
/// ```
/// use striate::ops::{Reshape, Rule};
/// assert_eq!(Reshape::new(&[28, 28, -1]).shape(&[[784].into()])?, [28, 28, 1].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The axes, without the batch; at most one is -1.
    pub dims: Vec<i64>,
}

impl Reshape {
    /// To these axes.
    pub fn new(dims: &[i64]) -> Self {
        Self { dims: dims.to_vec() }
    }

    // The axes for `len` numbers, if there are any.
    fn resolve(&self, len: usize) -> Option<Vec<usize>> {
        let known = self.dims.iter().filter(|d| **d != -1);
        let known = known.map(|d| usize::try_from(*d).ok()).collect::<Option<Vec<usize>>>()?;
        let product = known.iter().try_fold(1_usize, |n, d| n.checked_mul(*d))?;
        let free = match self.dims.len() - known.len() {
            0 => (product == len).then_some(1),
            1 => len.checked_rem(product).filter(|rest| *rest == 0).map(|_| len / product),
            _ => None,
        }?;
        Some(self.dims.iter().map(|d| usize::try_from(*d).unwrap_or(free)).collect())
    }
}

impl Rule for Reshape {
    fn class(&self) -> &'static str {
        "Reshape"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        let dims = self.resolve(x.len()).ok_or_else(|| {
            Error::shape(format!("Reshape: {} numbers of {x} do not fill {:?}", x.len(), self.dims))
                .with_help("the product of the axes must be the same; one axis may be -1")
        })?;
        Shape::new(&dims)
    }

    fn mul_adds(&self, _x: &[Shape], _y: Shape) -> u64 {
        0
    }

    fn is_view(&self, _mode: Mode) -> bool {
        true
    }

    fn compile(&self, _ctx: &Ctx<'_>) -> Result<Compiled> {
        Ok(copying())
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        t.x[0].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;

    #[test]
    fn keeps_the_numbers_everywhere() {
        everywhere(&Reshape::new(&[5, -1]), &[[5, 7, 3].into()], 3, 1e-6);
    }

    #[test]
    fn what_does_not_fill_is_refused() {
        let shape = |dims: &[i64]| Reshape::new(dims).shape(&[[12].into()]);
        assert_eq!(shape(&[3, -1, 2]).unwrap(), [3, 2, 2].into());
        for bad in [&[5, 2][..], &[-1, -1], &[5, -1], &[0, -1], &[-2, 6], &[], &[i64::MAX, i64::MAX], &[1, 1, 1, 1, 12]]
        {
            assert!(shape(bad).is_err(), "{bad:?}");
        }
    }
}
