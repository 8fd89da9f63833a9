//! What a contest gave: a row for each entrant, the best first, and a test for each pair.

use serde::Serialize;

use super::contest::{Choice, Contest, Outcomes};
use super::run::{Measured, Outcome};
use super::stats::{ALPHA, Discordant, Mean, holm, paired_t, sign_flip};
use crate::error::{Error, Result};
use crate::train::metrics::wilson;

/// What "best" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The highest test accuracy.
    #[default]
    Accuracy,
    /// The lowest test loss.
    Loss,
}

/// An entrant with its results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// Its learning rate and how that was found; a finished model has none.
    pub choice: Option<Choice>,
    /// Runs for the result, diverged ones among them.
    pub runs: usize,
    /// Of these, how many diverged.
    pub diverged: usize,
    /// Updates of a run.
    pub updates: Option<u64>,
    /// Test accuracy, evaluated, of each run that did not diverge.
    pub accuracies: Vec<f64>,
    /// Test loss, evaluated, of each.
    pub losses: Vec<f64>,
    /// Mean test accuracy; of a single run the interval is Wilson's, over test samples.
    pub accuracy: Option<Mean>,
    /// Mean test loss.
    pub loss: Option<Mean>,
    /// Mean training accuracy as it ran, in the last epoch.
    pub running_accuracy: Option<f64>,
    /// Mean training accuracy, evaluated.
    pub train_accuracy: Option<f64>,
    /// Which run each of these numbers is of, counted from 0 in the order of the seeds.
    pub finished: Vec<usize>,
    /// The training loss of each update, of each run that did not diverge.
    #[serde(skip)]
    pub curves: Vec<Vec<f32>>,
    /// The same of each run that diverged, up to there.
    #[serde(skip)]
    pub broken: Vec<Vec<f32>>,
    /// Which test samples the single run got right.
    #[serde(skip)]
    right: Vec<bool>,
}

/// How a pair was tested.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Student's paired t test over seeds.
    PairedT {
        /// The mean of the differences over its standard error.
        t: f64,
        /// Degrees of freedom.
        df: usize,
        /// The `p` of Fisher's sign-flip test, which assumes no normal distribution.
        sign_flip_p: f64,
    },
    /// McNemar's exact test over test samples.
    McNemar(Discordant),
}

/// Two rows that were compared; `a` is the better one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The row that is the better one by its mean.
    pub a: usize,
    /// The other row.
    pub b: usize,
    /// The mean of `a` less that of `b`.
    pub difference: f64,
    /// Its 95 % interval, over seeds.
    pub interval: Option<(f64, f64)>,
    /// The test.
    pub test: Test,
    /// The probability of such a difference, were there none.
    pub p: f64,
    /// The same with Holm's correction for all pairs.
    pub adjusted_p: f64,
}

impl Pair {
    /// Whether the two can be told apart: the corrected `p` is below 0.05.
    pub fn is_told(&self) -> bool {
        self.adjusted_p < ALPHA
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What "best" means.
    pub metric: Metric,
    /// Test samples.
    pub samples: usize,
    /// The entrants, the best first; those with diverged runs last.
    pub rows: Vec<Row>,
    /// Each two rows without diverged runs.
    pub pairs: Vec<Pair>,
}

impl Row {
    /// The row of these runs.
    pub fn new(name: &str, choice: Option<Choice>, outcomes: &[&Outcome]) -> Self {
        let measured: Vec<&Measured> = outcomes.iter().filter_map(|o| o.measured()).collect();
        let (accuracies, losses) = measured.iter().map(|m| (m.accuracy, m.loss)).unzip();
        let training = || measured.iter().filter_map(|m| m.training.as_ref());
        let broken = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Diverged { step_loss, .. } => Some(step_loss.clone()),
            Outcome::Finished(_) => None,
        });
        let mut row = Self {
            name: name.into(),
            choice,
            runs: outcomes.len(),
            diverged: outcomes.len() - measured.len(),
            updates: training().map(|t| t.updates).max(),
            accuracies,
            losses,
            accuracy: None,
            loss: None,
            running_accuracy: mean(training().map(|t| t.running_accuracy)),
            train_accuracy: mean(training().filter_map(|t| t.train_accuracy)),
            finished: (0..outcomes.len()).filter(|i| outcomes[*i].measured().is_some()).collect(),
            curves: training().map(|t| t.step_loss.clone()).collect(),
            broken: broken.filter(|losses| !losses.is_empty()).collect(),
            right: Vec::new(),
        };
        (row.accuracy, row.loss) = (Mean::of(&row.accuracies), Mean::of(&row.losses));
        if let ([single], [_], Some(accuracy)) = (measured.as_slice(), outcomes, &mut row.accuracy) {
            let right = &single.right.0;
            accuracy.interval = Some(wilson(right.iter().filter(|r| **r).count(), right.len()));
            row.right.clone_from(right);
        }
        row
    }

    /// Whether there is a loss of any update, as finished models have none.
    pub fn has_curves(&self) -> bool {
        !(self.curves.is_empty() && self.broken.is_empty())
    }

    /// The values that decide, one for each run.
    pub fn values(&self, metric: Metric) -> &[f64] {
        match metric {
            Metric::Accuracy => &self.accuracies,
            Metric::Loss => &self.losses,
        }
    }

    /// Their mean.
    pub fn mean(&self, metric: Metric) -> Option<Mean> {
        match metric {
            Metric::Accuracy => self.accuracy,
            Metric::Loss => self.loss,
        }
    }

    // The lower the better; those that diverged come last.
    fn rank(&self, metric: Metric) -> (usize, f64) {
        let value = self.mean(metric).map_or(f64::INFINITY, |m| m.mean);
        (self.diverged, if metric == Metric::Accuracy { -value } else { value })
    }
}

impl Report {
    /// The report of a contest whose runs are all finished.
    ///
    /// # Errors
    /// Some are not, or one seed is to decide by loss, for which there is no test.
    pub fn of(contest: &Contest, done: &Outcomes, metric: Metric) -> Result<Self> {
        if contest.next(done).is_some() {
            return Err(Error::argument(format!("after {} runs the comparison is not finished", done.len()))
                .with_help("make all runs first"));
        }
        let row = |(i, entrant): (usize, &super::Entrant)| {
            Row::new(&entrant.name, contest.choice(i, done), &contest.results(i, done))
        };
        Self::new(contest.entrants.iter().enumerate().map(row).collect(), metric)
    }

    /// The report of these rows.
    ///
    /// # Errors
    /// Their runs cannot be paired: another number of seeds, or other test samples.
    pub fn new(mut rows: Vec<Row>, metric: Metric) -> Result<Self> {
        let rank = |row: &Row| row.rank(metric);
        rows.sort_by(|a, b| rank(a).0.cmp(&rank(b).0).then(rank(a).1.total_cmp(&rank(b).1)));
        let sound = rows.iter().filter(|row| row.diverged == 0 && row.runs > 0).count();
        let mut pairs = Vec::new();
        for b in 1..sound {
            for a in 0..b {
                pairs.push(pair((a, &rows[a]), (b, &rows[b]), metric)?);
            }
        }
        let p: Vec<f64> = pairs.iter().map(|pair: &Pair| pair.p).collect();
        pairs.iter_mut().zip(holm(&p)).for_each(|(pair, adjusted)| pair.adjusted_p = adjusted);
        Ok(Self { metric, samples: 0, rows, pairs })
    }

    /// The same, measured on so many test samples.
    #[must_use]
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// The test of the best row against another.
    pub fn against_best(&self, row: usize) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.a == 0 && pair.b == row)
    }

    /// Runs for each row's result.
    pub fn seeds(&self) -> usize {
        self.rows.iter().map(|row| row.runs).max().unwrap_or(0)
    }
}

fn pair((a, first): (usize, &Row), (b, second): (usize, &Row), metric: Metric) -> Result<Pair> {
    let (x, y) = (first.values(metric), second.values(metric));
    if let ([x], [y], Metric::Accuracy) = (x, y, metric) {
        let split = Discordant::count(&first.right, &second.right)?;
        let test = Test::McNemar(split);
        return Ok(Pair { a, b, difference: x - y, interval: None, test, p: split.p(), adjusted_p: 1.0 });
    }
    if let [_] = x {
        return Err(Error::argument("by loss, one run of each cannot be told apart")
            .with_help("give more seeds, or compare by accuracy"));
    }
    let t = paired_t(x, y).map_err(|e| e.within(format_args!("{} and {}", first.name, second.name)))?;
    let test = Test::PairedT { t: t.t, df: t.df, sign_flip_p: sign_flip(x, y)?.p };
    Ok(Pair { a, b, difference: t.difference, interval: Some(t.interval), test, p: t.p, adjusted_p: 1.0 })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    Mean::of(&values.collect::<Vec<f64>>()).map(|m| m.mean)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::compare::run::{Hits, Training};

    /// A row of runs with these accuracies; `None` diverged.
    pub(crate) fn row(name: &str, accuracies: &[Option<f64>]) -> Row {
        let outcome = |accuracy: &Option<f64>| match accuracy {
            None => Outcome::Diverged { updates: 3, why: "layer 'x'".into(), step_loss: vec![2.3, 40.0, 5e6] },
            Some(accuracy) => Outcome::Finished(Measured {
                loss: 2.0 - accuracy,
                accuracy: *accuracy,
                right: Hits((0..100).map(|i| f64::from(i) < accuracy * 100.0).collect()),
                training: Some(Training {
                    updates: 40,
                    running_accuracy: accuracy - 0.1,
                    train_accuracy: Some(accuracy + 0.01),
                    step_loss: (1..=40).map(|i| (2.3 / f64::from(i) + 1.0 - accuracy) as f32).collect(),
                    digest: "0".into(),
                }),
            }),
        };
        let outcomes: Vec<Outcome> = accuracies.iter().map(outcome).collect();
        Row::new(name, None, &outcomes.iter().collect::<Vec<_>>())
    }

    pub(crate) fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn rows_are_ranked_and_pairs_tested_e18() {
        let rows = vec![
            row("low", &some(&[0.80, 0.82, 0.81])),
            row("wild", &[Some(0.99), None, Some(0.99)]),
            row("high", &some(&[0.95, 0.97, 0.955])),
            row("near", &some(&[0.96, 0.95, 0.96])),
        ];
        let report = Report::new(rows, Metric::Accuracy).unwrap();
        let names: Vec<&str> = report.rows.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["high", "near", "low", "wild"]);
        assert_eq!((report.rows[3].diverged, report.rows[3].accuracies.len(), report.pairs.len()), (1, 2, 3));
        let near = report.against_best(1).unwrap();
        let t = paired_t(&report.rows[0].accuracies, &report.rows[1].accuracies).unwrap();
        assert_eq!((near.p, near.difference, near.is_told()), (t.p, t.difference, false));
        assert!(report.pairs.iter().all(|pair| pair.adjusted_p >= pair.p && pair.difference >= 0.0));
        // By loss, which here is 2 less the accuracy, the same order.
        let by_loss = Report::new(report.rows.clone(), Metric::Loss).unwrap();
        assert_eq!(by_loss.rows[0].name, "high");
        assert!(by_loss.pairs[0].difference <= 0.0);
    }

    #[test]
    fn single_runs_are_paired_by_the_samples_they_got_right() {
        let report = Report::new(vec![row("a", &some(&[0.5])), row("b", &some(&[0.7]))], Metric::Accuracy).unwrap();
        let pair = report.against_best(1).unwrap();
        assert_eq!(pair.test, Test::McNemar(Discordant { only_a: 20, only_b: 0 }));
        assert!((pair.p - 2.0 * 0.5_f64.powi(20)).abs() < 1e-15 && pair.is_told());
        assert_eq!(report.rows[0].accuracy.unwrap().interval, Some(wilson(70, 100)));
        let e = Report::new(report.rows.clone(), Metric::Loss).unwrap_err().to_string();
        assert!(e.contains("more seeds"), "{e}");
    }

    #[test]
    fn answers_are_kept_in_few_digits() {
        for n in [0, 1, 4, 7, 100] {
            let hits = Hits((0..n).map(|i| i % 3 == 1).collect());
            let text = serde_json::to_string(&hits).unwrap();
            assert_eq!(serde_json::from_str::<Hits>(&text).unwrap(), hits);
        }
        assert!(serde_json::from_str::<Hits>(r#"{ "samples": 9, "bits": "ff" }"#).is_err());
        assert!(serde_json::from_str::<Hits>(r#"{ "samples": 4, "bits": "x" }"#).is_err());
    }
}
