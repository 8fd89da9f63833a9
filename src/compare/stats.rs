//! What a few runs say about a difference: means with intervals, paired tests, and their correction.
//!
//! All tests are two-sided. They are small and exact where that can be: no table, no normal approximation.

use serde::Serialize;

use super::special::{coin_tail, t_quantile, t_tails};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// The share of cases in which an interval holds what it is for.
pub const CONFIDENCE: f64 = 0.95;
/// The probability of a false alarm that a test allows itself.
pub const ALPHA: f64 = 0.05;

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, with `n - 1`; `None` for one value.
    pub sd: Option<f64>,
    /// The 95 % interval of the mean; `None` for one value.
    pub interval: Option<(f64, f64)>,
}

impl Mean {
    /// The mean of `values` with Student's interval, `mean -+ t sd / sqrt(n)`; `None` if there are none.
    ///
    /// ```
    /// use striate::compare::Mean;
    /// let m = Mean::of(&[0.98, 0.99, 0.97]).unwrap();
    /// assert_eq!(format!("{:.2} {:.2}", m.mean, m.sd.unwrap()), "0.98 0.01");
    /// assert_eq!(Mean::of(&[0.98]).unwrap().interval, None);
    /// ```
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n;
        if values.len() == 1 {
            return Some(Self { mean, sd: None, interval: None });
        }
        let sd = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0)).sqrt();
        let reach = t_quantile(1.0 - CONFIDENCE, n - 1.0) * sd / n.sqrt();
        Some(Self { mean, sd: Some(sd), interval: Some((mean - reach, mean + reach)) })
    }
}

/// What the paired t test found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedT {
    /// The mean of the differences.
    pub difference: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
    /// The mean over its standard error; infinite if all differences are one number other than 0.
    pub t: f64,
    /// Degrees of freedom, pairs less one.
    pub df: usize,
    /// The probability of a `t` at least as far from 0, were there no difference.
    pub p: f64,
}

/// Student's paired t test of the differences `a - b`: `t = mean / (sd / sqrt(n))` with `n - 1` degrees of freedom.
///
/// ```
/// // Hours of sleep gained with each of two drugs by ten patients (Student 1908): t = 4.06, p = 0.0028.
/// let a = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
/// let b = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
/// let test = striate::compare::paired_t(&a, &b)?;
/// assert_eq!(format!("{:.2} {:.4}", test.t, test.p), "4.06 0.0028");
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// There are fewer than two pairs, or a value without a partner or not finite.
///
/// # Source
/// "Student", The probable error of a mean, Biometrika 6 (1908).
pub fn paired_t(a: &[f64], b: &[f64]) -> Result<PairedT> {
    let d = differences(a, b)?;
    let (n, df) = (d.len() as f64, d.len() - 1);
    let Some(Mean { mean, sd: Some(sd), interval: Some(interval) }) = Mean::of(&d) else {
        return Err(Error::argument(format!("{} pair of values", d.len()))
            .with_help("a paired test needs at least 2: run more seeds"));
    };
    // Equal differences have no spread: then any mean but 0 is certain.
    let t = if mean == 0.0 { 0.0 } else { mean / (sd / n.sqrt()) };
    Ok(PairedT { difference: mean, interval, t, df, p: t_tails(t, df as f64) })
}

/// What the sign-flip test found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SignFlip {
    /// The share of sign patterns whose mean is at least as far from 0.
    pub p: f64,
    /// Whether all `2^n` patterns were tried, not a random choice of them.
    pub exact: bool,
}

/// Up to so many pairs all patterns are tried.
const MOST_EXACT: usize = 16;
/// Above, so many random ones.
const DRAWS: u32 = 100_000;

/// Fisher's randomisation test of the differences `a - b`: if there were no difference, each sign could as well be the
/// other. It assumes no normal distribution; with `n` pairs its `p` cannot be below `2 / 2^n`.
///
/// Above 16 pairs 100,000 patterns are drawn, always the same, and `p = (hits + 1) / (draws + 1)`.
///
/// # Errors
/// As [`paired_t`].
///
/// # Source
/// R. A. Fisher, The Design of Experiments (1935), section 21.
pub fn sign_flip(a: &[f64], b: &[f64]) -> Result<SignFlip> {
    let d = differences(a, b)?;
    // Sums that differ by rounding alone count as equal; where all but cancels, that is as small as the terms allow.
    let seen = d.iter().sum::<f64>().abs() - 1e-12 * d.iter().map(|d| d.abs()).sum::<f64>();
    let is_as_far = |flips: u32| {
        let sum: f64 = d.iter().enumerate().map(|(i, d)| if flips >> i & 1 == 1 { -d } else { *d }).sum();
        sum.abs() >= seen
    };
    if d.len() <= MOST_EXACT {
        let all = 1_u32 << d.len();
        let hits = (0..all).filter(|flips| is_as_far(*flips)).count();
        return Ok(SignFlip { p: hits as f64 / f64::from(all), exact: true });
    }
    let mut rng = Rng::new(0).split("sign-flip");
    let hits = (0..DRAWS).filter(|_| random_sum(&d, &mut rng).abs() >= seen).count();
    Ok(SignFlip { p: (hits + 1) as f64 / f64::from(DRAWS + 1), exact: false })
}

fn random_sum(d: &[f64], rng: &mut Rng) -> f64 {
    let flip = |block: &[f64], word: u32| -> f64 {
        block.iter().enumerate().map(|(i, d)| if word >> i & 1 == 1 { -d } else { *d }).sum()
    };
    d.chunks(32).map(|block| flip(block, rng.next_u32())).sum()
}

/// What McNemar's test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Discordant {
    /// Samples that only the first got right.
    pub only_a: usize,
    /// Samples that only the second got right.
    pub only_b: usize,
}

impl Discordant {
    /// Counts the samples that one of two models got right and the other wrong.
    ///
    /// # Errors
    /// The models were not tested on equally many samples.
    pub fn count(a: &[bool], b: &[bool]) -> Result<Self> {
        if a.len() != b.len() {
            return Err(Error::argument(format!("{} and {} answers cannot be paired", a.len(), b.len()))
                .with_help("test both models on the same samples"));
        }
        let only = |x: &[bool], y: &[bool]| x.iter().zip(y).filter(|(x, y)| **x && !**y).count();
        Ok(Self { only_a: only(a, b), only_b: only(b, a) })
    }

    /// McNemar's exact test: were both equally good, each of these samples would be a fair coin.
    ///
    /// ```
    /// let split = striate::compare::Discordant { only_a: 10, only_b: 2 };
    /// // 1 + 12 + 66 of 2^12 ways, on either side
    /// assert!((split.p() - 2.0 * 79.0 / 4096.0).abs() < 1e-12);
    /// ```
    ///
    /// # Source
    /// Q. McNemar, Psychometrika 12 (1947), in its exact, binomial form.
    pub fn p(&self) -> f64 {
        let n = self.only_a + self.only_b;
        (2.0 * coin_tail(self.only_a.min(self.only_b), n)).min(1.0)
    }
}

/// Holm's correction: `p` values as if each were the only one, for all of them together.
///
/// The smallest is multiplied by their number `m`, the next by `m - 1`, ...; none gets below one that was smaller.
///
/// ```
/// assert_eq!(striate::compare::holm(&[0.25, 0.125, 0.5]), [0.5, 0.375, 0.5]);
/// ```
///
/// # Source
/// S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|i, j| p[*i].total_cmp(&p[*j]));
    let (mut adjusted, mut least) = (vec![0.0; p.len()], 0.0_f64);
    for (rank, &i) in order.iter().enumerate() {
        least = least.max(p[i] * (p.len() - rank) as f64).min(1.0);
        adjusted[i] = least;
    }
    adjusted
}

fn differences(a: &[f64], b: &[f64]) -> Result<Vec<f64>> {
    if a.len() != b.len() || a.is_empty() {
        return Err(Error::argument(format!("{} and {} values make no pairs", a.len(), b.len()))
            .with_help("give both the same seeds"));
    }
    let d: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    match d.iter().position(|d| !d.is_finite()) {
        None => Ok(d),
        Some(i) => Err(Error::argument(format!("pair {} is {} and {}", i + 1, a[i], b[i]))
            .with_help("leave out what did not end in a finite number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Cushny and Peebles' sleep data, as in Student 1908 and in R: t.test(extra ~ group, paired = TRUE).
    const DRUGS: [[f64; 10]; 2] =
        [[1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4], [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]];
    // Darwin's maize: crossed minus self-fertilised heights, in eighths of an inch (Fisher 1935, section 17).
    const MAIZE: [f64; 15] = [49.0, -67.0, 8.0, 16.0, 6.0, 23.0, 28.0, 41.0, 14.0, 29.0, 56.0, 24.0, 75.0, 60.0, -48.0];

    #[test]
    fn paired_t_is_that_of_student_e18() {
        let test = paired_t(&DRUGS[0], &DRUGS[1]).unwrap();
        assert!((test.difference - 1.58).abs() < 1e-12 && test.df == 9);
        assert!((test.t - 4.062_128).abs() < 1e-6 && (test.p - 0.002_832_89).abs() < 1e-8, "{test:?}");
        assert!((test.interval.0 - 0.700_114).abs() < 1e-6 && (test.interval.1 - 2.459_886).abs() < 1e-6);
        let turned = paired_t(&DRUGS[1], &DRUGS[0]).unwrap();
        assert_eq!((turned.t, turned.p), (-test.t, test.p));
    }

    // Fisher counted 863 of 32,768 patterns on one side.
    #[test]
    fn sign_flip_is_that_of_fisher_e18() {
        let test = sign_flip(&MAIZE, &[0.0; 15]).unwrap();
        assert_eq!((test.p, test.exact), (2.0 * 863.0 / 32_768.0, true));
        let all_one_way = sign_flip(&[1.0, 2.0, 3.0], &[0.0; 3]).unwrap();
        assert_eq!(all_one_way.p, 2.0 / 8.0);
    }

    // Three correct answers more here and three fewer there: the sum is 0 but for rounding, and every pattern is as far.
    #[test]
    fn sums_that_cancel_are_0_whatever_their_rounding() {
        let a = [0.1, 0.2, 0.4, 0.1, 0.6];
        let b = [0.0, 0.0, 0.7, 0.2, 0.5];
        assert_ne!(a.iter().zip(&b).map(|(a, b)| a - b).sum::<f64>(), 0.0, "the case must have a rounding error");
        assert_eq!(sign_flip(&a, &b).unwrap().p, 1.0);
    }

    #[test]
    fn many_pairs_are_sampled_and_always_the_same() {
        let (d, zeros) = ([MAIZE, MAIZE].concat(), [0.0; 30]);
        let test = sign_flip(&d, &zeros).unwrap();
        assert!(!test.exact && test == sign_flip(&d, &zeros).unwrap());
        // Twice the data: t grows to 3.09, whose tails are 0.0044.
        assert!((0.002..0.008).contains(&test.p), "{test:?}");
    }

    #[test]
    fn equal_differences_are_certain_and_none_are_nothing() {
        let certain = paired_t(&[1.5, 2.5, 3.5], &[1.0, 2.0, 3.0]).unwrap();
        assert!(certain.t.is_infinite() && certain.p == 0.0 && certain.interval == (0.5, 0.5));
        let same = paired_t(&[1.0, 2.0], &[1.0, 2.0]).unwrap();
        assert_eq!((same.t, same.p), (0.0, 1.0));
        assert_eq!(sign_flip(&[1.0, 2.0], &[1.0, 2.0]).unwrap().p, 1.0);
    }

    #[test]
    fn what_makes_no_pairs_is_refused() {
        let message = |a: &[f64], b: &[f64]| paired_t(a, b).unwrap_err().to_string();
        assert!(message(&[1.0], &[2.0]).contains("run more seeds"));
        assert!(message(&[1.0, 2.0], &[2.0]).contains("2 and 1 values"));
        assert!(message(&[1.0, f64::NAN], &[2.0, 1.0]).contains("pair 2 is NaN and 1"));
        assert!(sign_flip(&[], &[]).is_err() && Discordant::count(&[true], &[]).is_err());
    }

    #[test]
    fn mcnemar_counts_what_only_one_got_right() {
        let (t, f) = (true, false);
        let split = Discordant::count(&[t, t, f, f, t], &[t, f, t, f, f]).unwrap();
        assert_eq!(split, Discordant { only_a: 2, only_b: 1 });
        assert_eq!((split.p(), Discordant { only_a: 0, only_b: 0 }.p()), (1.0, 1.0));
        // 2 (1 + 10) / 2^10.
        assert!((Discordant { only_a: 1, only_b: 9 }.p() - 22.0 / 1024.0).abs() < 1e-12);
    }

    // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").
    #[test]
    fn holm_is_that_of_r() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (a, e) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((a - e).abs() < 1e-15, "{adjusted:?}");
        }
        assert_eq!((holm(&[0.9, 0.8]), holm(&[])), (vec![1.0, 1.0], vec![]));
    }

    proptest! {
        #[test]
        fn correction_keeps_the_order_and_never_helps(p in prop::collection::vec(0.0..1.0_f64, 1..12)) {
            let adjusted = holm(&p);
            for (i, a) in adjusted.iter().enumerate() {
                prop_assert!(*a >= p[i] && *a <= 1.0);
                prop_assert!(p.iter().zip(&adjusted).all(|(q, b)| *q < p[i] || b >= a));
            }
        }

        #[test]
        fn an_interval_without_zero_is_a_small_p(d in prop::collection::vec(-1.0..1.0_f64, 2..9)) {
            let test = paired_t(&d, &vec![0.0; d.len()]).unwrap();
            let outside = test.interval.0 > 0.0 || test.interval.1 < 0.0;
            prop_assert!(outside == (test.p < ALPHA) || (test.p - ALPHA).abs() < 1e-9);
        }
    }
}
