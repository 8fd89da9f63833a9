//! Several inputs made one, element by element: their product, difference, quotient, maximum, minimum or average.
//!
//! Axes of size 1 are repeated, so that a product with `[1, 1, c]` scales the
//! channels: the last act of squeeze-and-excite.
//!
//! Source: Hu, Shen and Sun, "Squeeze-and-Excitation Networks", 2017, arXiv:1709.01507.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::broadcast::{self, Fold};
use crate::ops::{Compiled, Ctx, Rule, Twin};
use crate::tensor::Shape;

/// How [`Merge`] makes one number of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeKind {
    /// `x_0 x_1 ...`
    Multiply,
    /// `x_0 - x_1`
    Subtract,
    /// `x_0 / x_1`
    Divide,
    /// The largest; a NaN wins against all.
    Maximum,
    /// The smallest; a NaN wins against all.
    Minimum,
    /// The sum, divided by the number of inputs.
    Average,
}

/// `y = x_0 * x_1 * ...`, element by element, where `*` is of the given kind.
///
/// Shapes are aligned at their last axes, as in NumPy; an axis of size 1 or a missing one is repeated. Of a maximum or
/// minimum, the first of equal inputs gets the whole gradient, as in pooling.
///
/// ```
/// use striate::ops::{Merge, Rule};
/// let scaled = Merge::multiply().shape(&[[8, 8, 4].into(), [1, 1, 4].into()])?;
/// assert_eq!(scaled, [8, 8, 4].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// How the numbers are made one.
    pub kind: MergeKind,
}

impl Merge {
    /// The op of this kind.
    pub fn new(kind: MergeKind) -> Self {
        Self { kind }
    }

    /// The product.
    pub fn multiply() -> Self {
        Self::new(MergeKind::Multiply)
    }

    /// The first input less the second.
    pub fn subtract() -> Self {
        Self::new(MergeKind::Subtract)
    }

    /// The first input divided by the second.
    pub fn divide() -> Self {
        Self::new(MergeKind::Divide)
    }

    /// The largest.
    pub fn maximum() -> Self {
        Self::new(MergeKind::Maximum)
    }

    /// The smallest.
    pub fn minimum() -> Self {
        Self::new(MergeKind::Minimum)
    }

    /// The mean.
    pub fn average() -> Self {
        Self::new(MergeKind::Average)
    }
}

impl Rule for Merge {
    fn class(&self) -> &'static str {
        match self.kind {
            MergeKind::Multiply => "Multiply",
            MergeKind::Subtract => "Subtract",
            MergeKind::Divide => "Divide",
            MergeKind::Maximum => "Maximum",
            MergeKind::Minimum => "Minimum",
            MergeKind::Average => "Average",
        }
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        if matches!(self.kind, MergeKind::Subtract | MergeKind::Divide) && x.len() != 2 {
            return Err(Error::shape(format!("{} takes two inputs, and {} were given", self.class(), x.len())));
        }
        broadcast::shape(self.class(), x)
    }

    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
        ((x.len() - 1) * y.len()) as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let fold = match self.kind {
            MergeKind::Multiply => Fold::Product,
            MergeKind::Subtract => Fold::Difference,
            MergeKind::Divide => Fold::Quotient,
            MergeKind::Maximum => Fold::Largest,
            MergeKind::Minimum => Fold::Smallest,
            MergeKind::Average => Fold::Mean,
        };
        Ok(broadcast::compile(ctx, fold))
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let y = self.shape(t.shapes).expect("shapes were checked before");
        let fold = |x: Vec<f64>| match self.kind {
            MergeKind::Multiply => x.iter().product(),
            MergeKind::Subtract => x[0] - x[1],
            MergeKind::Divide => x[0] / x[1],
            MergeKind::Maximum => x.into_iter().fold(f64::NEG_INFINITY, f64::max),
            MergeKind::Minimum => x.into_iter().fold(f64::INFINITY, f64::min),
            MergeKind::Average => x.iter().sum::<f64>() / x.len() as f64,
        };
        (0..t.batch * y.len()).map(|at| fold(seen(t, y, at))).collect()
    }
}

/// What element `at` of the output sees of each input, for twins.
pub(super) fn seen(t: &Twin<'_>, y: Shape, at: usize) -> Vec<f64> {
    let one = |(x, shape): (&&[f64], &Shape)| {
        let (mut rest, mut place, mut step) = (at % y.len(), at / y.len() * shape.len(), 1);
        for (axis, size) in y.dims().iter().enumerate().rev() {
            let from_end = y.rank() - axis;
            let own = if from_end <= shape.rank() { shape.dims()[shape.rank() - from_end] } else { 1 };
            place += if own == 1 { 0 } else { rest % size * step };
            (rest, step) = (rest / size, step * own);
        }
        x[place]
    };
    t.x.iter().zip(t.shapes).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{Numbers, Options, run};
    use crate::ops::proof::{everywhere, options, without_ties};

    const KINDS: [MergeKind; 6] = [
        MergeKind::Multiply,
        MergeKind::Subtract,
        MergeKind::Divide,
        MergeKind::Maximum,
        MergeKind::Minimum,
        MergeKind::Average,
    ];

    #[test]
    fn all_kinds_and_repeated_axes_everywhere() {
        for kind in KINDS {
            for [a, b] in [
                [Shape::from([5, 4, 3]), [5, 4, 3].into()],
                [[9, 7, 20].into(), [1, 1, 20].into()],
                [[1, 1, 5].into(), [4, 3, 5].into()],
                [[6, 5, 7].into(), [6, 5, 1].into()],
                [[6, 5, 7].into(), [7].into()],
                [[4, 1, 3].into(), [1, 5, 1].into()],
                [[2, 3, 4, 5].into(), [3, 1, 5].into()],
                [[1].into(), [1].into()],
            ] {
                everywhere(&Merge::new(kind), &[a, b], 3, 2e-6);
            }
        }
    }

    #[test]
    fn many_inputs_everywhere() {
        for kind in [MergeKind::Multiply, MergeKind::Maximum, MergeKind::Minimum, MergeKind::Average] {
            everywhere(&Merge::new(kind), &[[4, 3, 5].into(), [1, 3, 1].into(), [4, 1, 5].into()], 2, 2e-6);
            everywhere(&Merge::new(kind), &[[7].into(); 5], 2, 2e-6);
        }
    }

    #[test]
    fn long_rows_and_long_sums_everywhere() {
        for shapes in [[[60, 50, 24].into(), [1, 1, 24].into()], [[1300].into(), [1].into()]] {
            everywhere(&Merge::multiply(), &shapes, 2, 2e-6);
            assert!(without_ties(&Merge::maximum(), &shapes, 2) < 2e-6);
        }
        everywhere(&Merge::subtract(), &[[20_011].into(), [20_011].into()], 2, 2e-6);
    }

    #[test]
    fn of_equal_inputs_the_first_gets_the_gradient_and_nan_wins() {
        let numbers = |a: f32, b: f32| Numbers { x: vec![vec![a], vec![b]], w: vec![], dy: vec![3.0] };
        for kind in [MergeKind::Maximum, MergeKind::Minimum] {
            let ran = |a, b| {
                let shapes = [[1].into(), [1].into()];
                run(&Merge::new(kind), &shapes, Options { batch: 1, ..options() }, &numbers(a, b)).unwrap()
            };
            assert_eq!(ran(2.0, 2.0).dx, [[3.0], [0.0]]);
            assert!(ran(f32::NAN, 1.0).y[0].is_nan() && ran(1.0, f32::NAN).y[0].is_nan());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let e = Merge::multiply().shape(&[[4, 4, 2].into(), [4, 1, 3].into()]).unwrap_err();
        assert!(e.to_string().contains("input 1 has (None, 4, 1, 3)"), "{e}");
        assert!(Merge::multiply().shape(&[[4].into()]).is_err());
        assert!(Merge::average().shape(&[[4].into(); 17]).unwrap_err().to_string().contains("at most 16"));
        assert!(Merge::subtract().shape(&[[4].into(); 3]).unwrap_err().to_string().contains("takes two inputs"));
    }
}
