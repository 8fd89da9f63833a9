//! The samples that two models are compared on.

use crate::error::{Error, Result};
use crate::model::Model;
use crate::rng::Rng;
use crate::tensor::Tensor;

use super::DiffConfig;

/// Where the samples came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// So many that were given.
    Given(usize),
    /// So many golden samples of one of the models.
    Golden(usize),
    /// So many random ones.
    Random(usize),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (n, kind, which) = match self {
            Self::Given(n) => (n, "", "given"),
            Self::Golden(n) => (n, "golden ", "of the model"),
            Self::Random(n) => (n, "random ", ""),
        };
        let s = if *n == 1 { "" } else { "s" };
        write!(f, "{}", format!("{n} {kind}sample{s} {which}").trim_end())
    }
}

// All are run at once, and every value of both networks is kept.
const MOST: usize = 1000;

/// The samples `[n, ...]` for both models.
pub(super) fn choose(a: &Model, b: &Model, given: Option<&Tensor>, config: &DiffConfig) -> Result<(Tensor, Origin)> {
    let (shape, other) = (a.graph().input_shape()?, b.graph().input_shape()?);
    if shape.len() != other.len() {
        return Err(Error::shape(format!("A takes samples of shape {shape}, B of shape {other}: nothing fits both"))
            .with_help("give two models with the same input"));
    }
    let with = |n: usize| [&[n], shape.dims()].concat();
    if let Some(x) = given {
        let n = x.data().len() / shape.len();
        let fits = [with(n), [&[n], other.dims()].concat()].iter().any(|dims| dims == x.dims());
        if n == 0 || !(fits || x.dims() == shape.dims()) {
            let dims = x.dims();
            return Err(Error::shape(format!("the models take samples of shape {shape}, and {dims:?} was given")));
        }
        return Ok((x.clone(), Origin::Given(n)));
    }
    let golden = [a, b].into_iter().map(|m| &m.golden).find(|g| g.iter().any(|s| s.x.len() == shape.len()));
    if let Some(samples) = golden {
        let fitting: Vec<f32> = samples.iter().filter(|s| s.x.len() == shape.len()).flat_map(|s| s.x.clone()).collect();
        let n = fitting.len() / shape.len();
        return Ok((Tensor::new(&with(n), fitting)?, Origin::Golden(n)));
    }
    let n = config.samples;
    if !(1..=MOST).contains(&n) {
        return Err(
            Error::argument(format!("{n} random samples cannot be drawn")).with_help(format!("give 1 to {MOST}"))
        );
    }
    let mut rng = Rng::new(config.seed).split("diff");
    let x = (0..n * shape.len()).map(|_| rng.normal() as f32).collect();
    Ok((Tensor::new(&with(n), x)?, Origin::Random(n)))
}
