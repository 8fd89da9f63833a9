//! Flatten: the same numbers as one vector. NHWC order, so channels run fastest.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::ops::pieces::{copying, only};
use crate::ops::{Compiled, Ctx, Mode, Rule, Twin};
use crate::tensor::Shape;

/// `[h, w, c] -> [h w c]`, in memory order: `y[(i w + j) c + k] = x[i, j, k]`. A view: nothing is copied.
///
/// ```
/// use striate::ops::{Flatten, Rule};
/// assert_eq!(Flatten::new().shape(&[[7, 7, 64].into()])?, [3136].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl Flatten {
    /// The op; it has nothing to set.
    pub fn new() -> Self {
        Self {}
    }
}

impl Rule for Flatten {
    fn class(&self) -> &'static str {
        "Flatten"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        Ok([only(self.class(), x)?.len()].into())
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
        everywhere(&Flatten::new(), &[[5, 7, 3].into()], 3, 1e-6);
        everywhere(&Flatten::new(), &[[300, 130].into()], 2, 1e-6);
    }
}
