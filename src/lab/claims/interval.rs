//! What a few runs tell: their mean, and the interval in which the mean of all runs lies with 95 % confidence.

use serde::Serialize;

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
        let mean = values.iter().sum::<f64>() / n as f64;
        if n < 2 {
            return Self { n, mean, interval: None };
        }
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        let reach = t_95(n - 1) * (variance / n as f64).sqrt();
        Self { n, mean, interval: Some((mean - reach, mean + reach)) }
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

// The value that |t| exceeds in 5 % of cases, found by bisection.
fn t_95(freedom: usize) -> f64 {
    let (mut low, mut high) = (1.9, 13.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if within(middle, freedom) < 0.95 { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

// The probability of |t| < x; for whole degrees of freedom it is a finite series in the angle atan(x / sqrt(n)).
// Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
fn within(x: f64, freedom: usize) -> f64 {
    let n = freedom as f64;
    let angle = libm::atan(x / n.sqrt());
    let (sine, cosine) = (libm::sin(angle), libm::cos(angle));
    let odd = freedom % 2 == 1;
    let (mut term, mut sum) = if odd { (cosine, 0.0) } else { (1.0, 0.0) };
    let mut k = if odd { 1.0 } else { 0.0 };
    while k <= n - 2.0 {
        sum += term;
        term *= cosine * cosine * (k + 1.0) / (k + 2.0);
        k += 2.0;
    }
    if odd { (angle + sine * sum) * std::f64::consts::FRAC_2_PI } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The table of every book on statistics.
    #[test]
    fn quantiles_are_those_of_the_table() {
        for (freedom, t) in [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (7, 2.365), (10, 2.228), (29, 2.045)] {
            assert!((t_95(freedom) - t).abs() < 6e-4, "{freedom}: {}", t_95(freedom));
        }
    }

    #[test]
    fn pairs_are_compared_seed_by_seed() {
        let e = Estimate::of_differences(&[0.9, 0.8, 0.7], &[0.8, 0.7, 0.6]);
        let (low, high) = e.interval.unwrap();
        assert!((e.mean - 0.1).abs() < 1e-12 && high - low < 1e-9, "{e:?}");
        assert_eq!(Estimate::of(&[3.0]).interval, None);
        assert!(Estimate::of(&[]).mean.is_nan());
    }
}
