//! Metrics: how good predictions are.
//!
//! Scores are `[n, classes]`, logits or probabilities alike, since only their order matters; labels are `[n]`. Among
//! equal scores the lower class comes first. A sample with a NaN score has no prediction and counts as wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The class with the largest score, the lowest of equals; `None` if a score is NaN or there are none.
///
/// ```
/// use striate::train::metrics::argmax;
/// assert_eq!(argmax(&[0.1, 0.7, 0.7]), Some(1));
/// assert_eq!(argmax(&[0.1, f32::NAN]), None);
/// ```
pub fn argmax(scores: &[f32]) -> Option<usize> {
    let first = scores.first()?;
    let (mut best, mut most) = (0, *first);
    for (class, score) in scores.iter().enumerate() {
        if score.is_nan() {
            return None;
        }
        if *score > most {
            (best, most) = (class, *score);
        }
    }
    Some(best)
}

/// How many samples have their label among the `k` classes with the largest scores; `k = 1` counts the correct ones.
///
/// # Errors
/// The number of scores is not that of the labels times `classes`, or `k` or `classes` is 0.
pub fn correct(scores: &[f32], classes: usize, labels: &[u32], k: usize) -> Result<usize> {
    check(scores, classes, labels)?;
    if k == 0 {
        return Err(Error::argument("top-0 accuracy is always 0").with_help("give a k of at least 1"));
    }
    let rows = scores.chunks_exact(classes).zip(labels);
    Ok(rows.filter(|(row, label)| rank(row, **label as usize).is_some_and(|rank| rank < k)).count())
}

/// The share of samples whose label has the largest score; NaN if there are none.
///
/// # Errors
/// As for [`correct`].
pub fn accuracy(scores: &[f32], classes: usize, labels: &[u32]) -> Result<f64> {
    top_k_accuracy(scores, classes, labels, 1)
}

/// The share of samples whose label is among the `k` largest scores; NaN if there are none.
///
/// # Errors
/// As for [`correct`].
pub fn top_k_accuracy(scores: &[f32], classes: usize, labels: &[u32], k: usize) -> Result<f64> {
    correct(scores, classes, labels, k).map(|count| count as f64 / labels.len() as f64)
}

/// How many samples of a single output are on their label's side: at least `threshold` for label 1, below it for 0.
///
/// The threshold is 0 for logits and 0.5 for probabilities.
///
/// # Errors
/// There is not one score for each label.
pub fn correct_binary(scores: &[f32], labels: &[u32], threshold: f32) -> Result<usize> {
    check(scores, 1, labels)?;
    let right = |(score, label): &(&f32, &u32)| match label {
        0 => **score < threshold,
        1 => **score >= threshold,
        _ => false,
    };
    Ok(scores.iter().zip(labels).filter(right).count())
}

/// Wilson's 95 % confidence interval for a share, `correct` of `n` (Wilson 1927, doi:10.1080/01621459.1927.10502953).
///
/// With `p = correct / n` and `z = 1.96`:
/// `(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`; the whole `(0, 1)` if `n` is 0.
///
/// ```
/// let (low, high) = striate::train::metrics::wilson(9919, 10_000);
/// assert_eq!(format!("{low:.4} {high:.4}"), "0.9899 0.9935");
/// ```
pub fn wilson(correct: usize, n: usize) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    if n == 0 {
        return (0.0, 1.0);
    }
    let (total, p) = (n as f64, correct as f64 / n as f64);
    let z2 = Z * Z / total;
    let center = p + z2 / 2.0;
    let reach = Z * ((p * (1.0 - p) + z2 / 4.0) / total).sqrt();
    // At the ends the bounds are exactly 0 and 1, whatever the rounding.
    let low = if correct == 0 { 0.0 } else { (center - reach) / (1.0 + z2) };
    let high = if correct == n { 1.0 } else { (center + reach) / (1.0 + z2) };
    (low, high)
}

/// A confusion matrix: how often samples of one class were taken for another.
///
/// ```
/// use striate::train::Confusion;
/// let mut confusion = Confusion::new(2)?;
/// confusion.add(&[0.9, 0.1, 0.6, 0.4, 0.2, 0.8], &[0, 1, 1])?;
/// assert_eq!((confusion.count(1, 0), confusion.accuracy()), (1, 2.0 / 3.0));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    classes: usize,
    /// `[classes, classes + 1]`: rows are labels, columns predictions, the last one "none".
    counts: Vec<u64>,
}

/// Quality of one class, or of all of them on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Of the samples taken for this class, the share that belongs to it; 0 if none was.
    pub precision: f64,
    /// Of the samples of this class, the share that was found; 0 if there are none.
    pub recall: f64,
    /// The harmonic mean of both, `2 tp / (2 tp + fp + fn)`; 0 if the class neither occurs nor is predicted.
    pub f1: f64,
    /// Samples of this class.
    pub support: u64,
}

impl Confusion {
    /// An empty matrix.
    ///
    /// # Errors
    /// There are no classes, or more than 65,536.
    pub fn new(classes: usize) -> Result<Self> {
        if classes == 0 || classes > 1 << 16 {
            return Err(Error::argument(format!("a confusion matrix of {classes} classes"))
                .with_help("give 1 to 65536 classes"));
        }
        Ok(Self { classes, counts: vec![0; classes * (classes + 1)] })
    }

    /// Adds a batch: `scores` are `[n, classes]`, `labels` `[n]`.
    ///
    /// # Errors
    /// The lengths do not agree, or a label is out of range; nothing is added then.
    pub fn add(&mut self, scores: &[f32], labels: &[u32]) -> Result<()> {
        check(scores, self.classes, labels)?;
        if let Some(label) = labels.iter().find(|label| **label as usize >= self.classes) {
            return Err(Error::argument(format!("label {label}, but there are {} classes", self.classes))
                .with_help(format!("labels are numbered 0 to {}", self.classes - 1)));
        }
        for (row, label) in scores.chunks_exact(self.classes).zip(labels) {
            let predicted = argmax(row).unwrap_or(self.classes);
            self.counts[*label as usize * (self.classes + 1) + predicted] += 1;
        }
        Ok(())
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How often a sample of class `label` was taken for `predicted`; both are below the number of classes.
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        assert!(predicted < self.classes, "class {predicted} of {}", self.classes);
        self.row(label)[predicted]
    }

    /// How many samples of class `label` had no prediction, since a score was NaN.
    pub fn unanswered(&self, label: usize) -> u64 {
        self.row(label)[self.classes]
    }

    /// All samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Samples whose class was found.
    pub fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }

    /// The share of samples whose class was found; NaN if there are none.
    pub fn accuracy(&self) -> f64 {
        self.correct() as f64 / self.total() as f64
    }

    /// The 95 % interval of the accuracy; see [`wilson`].
    pub fn accuracy_interval(&self) -> (f64, f64) {
        wilson(self.correct() as usize, self.total() as usize)
    }

    /// Precision, recall and F1 of a class.
    pub fn score(&self, class: usize) -> Score {
        let hit = self.count(class, class);
        let (support, predicted) = (self.row(class).iter().sum::<u64>(), self.predicted(class));
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Score {
            precision: share(hit, predicted),
            recall: share(hit, support),
            f1: share(2 * hit, support + predicted),
            support,
        }
    }

    /// The plain mean of the scores of all classes that occur or were predicted; zeros if there are none.
    pub fn macro_average(&self) -> Score {
        let present = |class: &usize| self.predicted(*class) > 0 || self.row(*class).iter().any(|n| *n > 0);
        let scores: Vec<Score> = (0..self.classes).filter(present).map(|class| self.score(class)).collect();
        let mean = |f: fn(&Score) -> f64| scores.iter().map(f).sum::<f64>() / scores.len().max(1) as f64;
        Score {
            precision: mean(|s| s.precision),
            recall: mean(|s| s.recall),
            f1: mean(|s| s.f1),
            support: self.total(),
        }
    }

    /// The mistakes that were made most often, as `(label, predicted, count)`, the most frequent first.
    pub fn worst(&self, most: usize) -> Vec<(usize, usize, u64)> {
        let pairs = (0..self.classes).flat_map(|label| (0..self.classes).map(move |predicted| (label, predicted)));
        let mut mistakes: Vec<_> = pairs
            .filter(|(label, predicted)| label != predicted)
            .map(|(label, predicted)| (label, predicted, self.count(label, predicted)))
            .filter(|(.., count)| *count > 0)
            .collect();
        // Stable: equal counts stay in the order of the classes.
        mistakes.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
        mistakes.truncate(most);
        mistakes
    }

    fn row(&self, label: usize) -> &[u64] {
        &self.counts[label * (self.classes + 1)..(label + 1) * (self.classes + 1)]
    }

    fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|label| self.count(label, class)).sum()
    }
}

/// A table: one row a label with its counts, precision, recall and F1; the last row has the averages.
impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = self.counts.iter().max().copied().unwrap_or(0).max(self.classes as u64 - 1);
        let width = largest.to_string().len().max(4);
        let none = (0..self.classes).any(|label| self.unanswered(label) > 0);
        write!(f, "{:>7}", "label")?;
        (0..self.classes).try_for_each(|class| write!(f, " {class:>width$}"))?;
        if none {
            write!(f, " {:>width$}", "none")?;
        }
        writeln!(f, "  precision  recall      f1")?;
        for label in 0..self.classes {
            write!(f, "{label:>7}")?;
            let shown = &self.row(label)[..self.classes + usize::from(none)];
            shown.iter().try_for_each(|count| write!(f, " {count:>width$}"))?;
            writeln!(f, "{}", self.score(label))?;
        }
        let gap = (self.classes + usize::from(none)) * (width + 1);
        write!(f, "{:>7}{:gap$}{}", "mean", "", self.macro_average())
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:>9.4}  {:>6.4}  {:>6.4}", self.precision, self.recall, self.f1)
    }
}

fn check(scores: &[f32], classes: usize, labels: &[u32]) -> Result<()> {
    if classes > 0 && labels.len().checked_mul(classes) == Some(scores.len()) {
        return Ok(());
    }
    Err(Error::shape(format!("{} scores for {} labels and {classes} classes", scores.len(), labels.len()))
        .with_help("there must be one score for each class of each sample"))
}

// How many classes come before this one; none if a score is NaN or there is no such class.
fn rank(scores: &[f32], class: usize) -> Option<usize> {
    let own = *scores.get(class)?;
    if scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    Some(scores.iter().enumerate().filter(|(c, s)| **s > own || (**s == own && *c < class)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_class() {
        assert_eq!(argmax(&[1.0, 1.0, 1.0]), Some(0));
        assert_eq!(argmax(&[f32::NEG_INFINITY; 2]), Some(0));
        assert_eq!(argmax(&[]), None);
        let scores = [0.5, 0.5, 0.5];
        assert_eq!(correct(&scores, 3, &[1], 1).unwrap(), 0);
        assert_eq!(correct(&scores, 3, &[1], 2).unwrap(), 1);
    }

    #[test]
    fn top_k_counts_labels_among_the_k_largest() {
        let scores = [0.1, 0.5, 0.4, 0.7, 0.2, 0.1, 0.3, 0.3, 0.4];
        let labels = [2, 0, 1];
        let top = |k| top_k_accuracy(&scores, 3, &labels, k).unwrap();
        assert_eq!((top(1), top(2), top(3), top(9)), (1.0 / 3.0, 2.0 / 3.0, 1.0, 1.0));
        assert_eq!(accuracy(&scores, 3, &labels).unwrap(), top(1));
        assert!(accuracy(&[], 3, &[]).unwrap().is_nan());
    }

    #[test]
    fn nan_rows_are_wrong_even_among_all_classes() {
        let scores = [f32::NAN, 1.0, 1.0, f32::NAN];
        assert_eq!(correct(&scores, 2, &[1, 0], 2).unwrap(), 0);
        assert_eq!(correct(&[0.0, 1.0], 2, &[7], 2).unwrap(), 0, "a label that does not exist");
        assert_eq!(correct_binary(&[f32::NAN, f32::NAN], &[0, 1], 0.0).unwrap(), 0);
    }

    #[test]
    fn a_single_output_is_compared_with_the_threshold() {
        assert_eq!(correct_binary(&[-1.0, 0.0, 3.0, 2.0], &[0, 1, 1, 0], 0.0).unwrap(), 3);
    }

    // Bounds worked out by hand: at p = 0 the upper one is z^2 / (n + z^2).
    #[test]
    fn wilson_holds_at_the_ends() {
        let (z2, n) = (3.841_458_820_694_124, 10);
        let (low, high) = wilson(0, n);
        assert!(low == 0.0 && (high - z2 / (10.0 + z2)).abs() < 1e-12);
        let (low, high) = wilson(n, n);
        assert!(high == 1.0 && (low - 10.0 / (10.0 + z2)).abs() < 1e-12);
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        // R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        let (low, high) = wilson(81, 263);
        assert!((low - 0.255_288_519_878_274_2).abs() < 1e-15 && (high - 0.366_209_576_982_800_1).abs() < 1e-15);
        let (low, high) = wilson(50, 100);
        assert!((low + high - 1.0).abs() < 1e-12 && (high - 0.596_170).abs() < 1e-5, "{high}");
    }

    // Labels 0 0 0 1 1 2, predictions 0 0 1 1 none 1; class 3 never occurs.
    fn example() -> Confusion {
        let mut confusion = Confusion::new(4).unwrap();
        let rows: [[f32; 4]; 6] = [
            [1.0, 0.0, 0.0, 0.0],
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [f32::NAN; 4],
            [0.0, 1.0, 0.0, 0.0],
        ];
        confusion.add(rows[..4].as_flattened(), &[0, 0, 0, 1]).unwrap();
        confusion.add(rows[4..].as_flattened(), &[1, 2]).unwrap();
        confusion
    }

    #[test]
    fn scores_follow_their_definitions() {
        let c = example();
        assert_eq!((c.total(), c.correct(), c.count(0, 1), c.unanswered(1)), (6, 3, 1, 1));
        assert_eq!(c.score(0), Score { precision: 1.0, recall: 2.0 / 3.0, f1: 0.8, support: 3 });
        assert_eq!(c.score(1), Score { precision: 1.0 / 3.0, recall: 0.5, f1: 0.4, support: 2 });
        assert_eq!(c.score(2), Score { precision: 0.0, recall: 0.0, f1: 0.0, support: 1 });
        assert_eq!(c.score(3), Score { precision: 0.0, recall: 0.0, f1: 0.0, support: 0 });
        let mean = c.macro_average();
        assert!((mean.f1 - 0.4).abs() < 1e-15 && (mean.recall - (2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-15);
        assert_eq!(c.worst(5), [(0, 1, 1), (2, 1, 1)]);
        assert!(Confusion::new(2).unwrap().accuracy().is_nan());
    }

    #[test]
    fn the_table_has_a_row_for_each_label() {
        let expect = "  label    0    1    2    3 none  precision  recall      f1
      0    2    1    0    0    0     1.0000  0.6667  0.8000
      1    0    1    0    0    1     0.3333  0.5000  0.4000
      2    0    1    0    0    0     0.0000  0.0000  0.0000
      3    0    0    0    0    0     0.0000  0.0000  0.0000
   mean                              0.4444  0.3889  0.4000";
        assert_eq!(example().to_string(), expect);
    }

    #[test]
    fn lengths_and_labels_are_checked() {
        assert!(correct(&[0.0; 5], 2, &[0, 1], 1).is_err());
        assert!(correct(&[], 0, &[], 1).is_err());
        assert!(correct(&[0.0; 2], 2, &[0], 0).is_err());
        assert!(Confusion::new(0).is_err());
        let mut confusion = Confusion::new(2).unwrap();
        let e = confusion.add(&[0.0; 4], &[0, 2]).unwrap_err().to_string();
        assert_eq!(e, "label 2, but there are 2 classes (labels are numbered 0 to 1)");
        assert_eq!(confusion.total(), 0, "nothing was added");
    }
}
