//! What a few runs tell: their mean, and the interval in which the mean of all runs lies with 95 % confidence.

use serde::Serialize;

use crate::compare::Mean;

/// A mean with its 95 % interval of Student's t distribution.
///
/// `mean ± t(n - 1) s / sqrt(n)`, with `s` the sample's standard deviation. One value alone has no interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number of values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// The interval, where there are two values or more.
    pub interval: Option<(f64, f64)>,
}

impl Estimate {
    /// The estimate of these values; of none, the mean is not a number.
    ///
    /// ```
    /// use striate::lab::claims::Estimate;
    /// let e = Estimate::of(&[1.0, 2.0, 3.0]);
    /// let (low, high) = e.interval.unwrap();
    /// // t(2) = 4.3027, s = 1.
    /// assert!((low - (2.0 - 4.3027 / 3f64.sqrt())).abs() < 1e-4 && (high + low - 4.0).abs() < 1e-12);
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        match Mean::of(values) {
            Some(Mean { mean, interval, .. }) => Self { n, mean, interval },
            None => Self { n, mean: f64::NAN, interval: None },
        }
    }

    /// The estimate of what pairs of runs differ by, `a - b` for each seed.
    pub fn of_differences(a: &[f64], b: &[f64]) -> Self {
        Self::of(&differences(a, b))
    }
}

/// `a - b`, pair by pair.
pub(super) fn differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_compared_seed_by_seed() {
        let e = Estimate::of_differences(&[0.9, 0.8, 0.7], &[0.8, 0.7, 0.6]);
        let (low, high) = e.interval.unwrap();
        assert!((e.mean - 0.1).abs() < 1e-12 && high - low < 1e-9, "{e:?}");
        assert_eq!(Estimate::of(&[3.0]).interval, None);
        assert!(Estimate::of(&[]).mean.is_nan());
    }
}
