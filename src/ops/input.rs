//! The input of a graph: a place for samples of one shape. It computes nothing.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::{Compiled, Ctx, Mode, Rule, Twin};
use crate::tensor::Shape;

/// Where the samples come in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The shape of one sample, such as `[28, 28, 1]`.
    pub shape: Shape,
}

impl Rule for Input {
    fn class(&self) -> &'static str {
        "InputLayer"
    }

    fn shape(&self, _x: &[Shape]) -> Result<Shape> {
        Ok(self.shape)
    }

    fn mul_adds(&self, _x: &[Shape], _y: Shape) -> u64 {
        0
    }

    fn is_view(&self, _mode: Mode) -> bool {
        true
    }

    fn compile(&self, _ctx: &Ctx<'_>) -> Result<Compiled> {
        Err(Error::argument("an input is not a step: it cannot be compiled"))
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        t.x[0].to_vec()
    }
}
