//! The table of a report: for a terminal, as Markdown, and as CSV.

use super::report::{Metric, Report, Row, Test};
use super::stats::Mean;

type Cells = Vec<String>;

impl Report {
    /// The rows, the best first, for a terminal.
    pub fn table(&self) -> String {
        let (head, rows) = self.cells();
        let widths: Vec<usize> = (0..head.len())
            .map(|c| rows.iter().chain([&head]).map(|row| row[c].chars().count()).max().unwrap_or(0))
            .collect();
        let line = |cells: &Cells| {
            let padded = cells.iter().zip(&widths).enumerate().map(|(c, (cell, width))| match c {
                1 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
        };
        let mut out = vec![line(&head)];
        out.extend(rows.iter().map(line));
        out.join("\n")
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> String {
        let (head, rows) = self.cells();
        let line = |cells: &Cells| {
            let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = format!("|{}\n", "---|".repeat(head.len()));
        line(&head) + &rule + &rows.iter().map(line).collect::<String>()
    }

    /// Every run with its numbers as CSV, a header first; run 1 is that of the first seed.
    pub fn csv(&self) -> String {
        let mut out = String::from("rank,name,learning_rate,run,test_accuracy,test_loss\n");
        for (rank, row) in self.rows.iter().enumerate() {
            let rate = row.choice.as_ref().map_or(String::new(), |c| c.rate.to_string());
            let name = match row.name.contains([',', '"', '\n']) {
                true => format!("\"{}\"", row.name.replace('"', "\"\"")),
                false => row.name.clone(),
            };
            for run in 0..row.runs {
                let numbers = match row.finished.iter().position(|i| *i == run) {
                    Some(at) => format!("{},{}", row.accuracies[at], row.losses[at]),
                    None => "diverged,".into(),
                };
                out.push_str(&format!("{},{name},{rate},{},{numbers}\n", rank + 1, run + 1));
            }
        }
        out
    }

    fn cells(&self) -> (Cells, Vec<Cells>) {
        let trained = self.rows.iter().any(|row| row.choice.is_some() || row.updates.is_some());
        let mut head: Cells =
            ["", "", "rate", "test accuracy", "test loss", "as it ran", "evaluated", "p"].map(String::from).to_vec();
        let mut rows: Vec<Cells> = (0..self.rows.len()).map(|i| self.row(i)).collect();
        if !trained {
            // Finished models have neither a rate nor a training.
            for row in rows.iter_mut().chain([&mut head]) {
                row.drain(5..7);
                row.remove(2);
            }
        }
        (head, rows)
    }

    fn row(&self, i: usize) -> Cells {
        let row = &self.rows[i];
        let share = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.4}"));
        let name = match row.diverged {
            0 => row.name.clone(),
            n => format!("{} ({n} of {} diverged)", row.name, row.runs),
        };
        vec![
            format!("{}.", i + 1),
            name,
            row.choice.as_ref().map_or("-".into(), |c| c.rate.to_string()),
            row.accuracy.map_or("-".into(), |m| with_interval(m, row)),
            row.loss.map_or("-".into(), |m| with_interval(m, row)),
            share(row.running_accuracy),
            share(row.train_accuracy),
            self.against_best(i).map_or("-".into(), |pair| probability(pair.adjusted_p)),
        ]
    }

    /// What the columns mean.
    pub fn legend(&self) -> Vec<String> {
        let seeds = self.seeds();
        let interval = match seeds {
            1 => "the 95 % interval of one model's accuracy (Wilson), over test samples".to_string(),
            n => format!("mean of {n} seeds and half its 95 % interval (Student's t), over seeds"),
        };
        let mut lines = vec![format!("test accuracy, test loss: evaluated; {interval}.")];
        if self.rows.iter().any(|row| row.updates.is_some()) {
            lines.push("as it ran: training accuracy of the last epoch, each batch before its update.".into());
            lines.push("evaluated: training accuracy with the final weights.".into());
        }
        if seeds > 1 {
            lines.push(
                "All runs are tested on the same samples: the intervals do not say what others would give.".into(),
            );
        }
        if let Some(pair) = self.pairs.first() {
            let (test, n) = match pair.test {
                Test::PairedT { .. } => ("paired t test over seeds", self.pairs.len()),
                Test::McNemar(_) => ("McNemar's exact test over test samples", self.pairs.len()),
            };
            let what = if self.metric == Metric::Accuracy { "accuracy" } else { "loss" };
            let holm = if n > 1 { format!(", corrected for {n} pairs (Holm)") } else { String::new() };
            lines.push(format!("p: the {what} against that of the best; {test}{holm}."));
        }
        lines
    }
}

// Student's interval is even on both sides, Wilson's is not.
fn with_interval(m: Mean, row: &Row) -> String {
    match m.interval {
        None => format!("{:.4}", m.mean),
        Some((_, high)) if row.runs > 1 => format!("{:.4} ± {:.4}", m.mean, high - m.mean),
        Some((low, high)) => format!("{:.4} ({low:.4} to {high:.4})", m.mean),
    }
}

/// A probability as a report shows it.
pub(super) fn probability(p: f64) -> String {
    match p {
        p if p < 0.001 => "< 0.001".into(),
        p if p < 0.1 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::compare::report::tests::{row, some};
    use crate::compare::{Metric, Report};

    fn report() -> Report {
        let rows = vec![row("a,b", &some(&[0.95, 0.96])), row("long|name", &[Some(0.5), None])];
        Report::new(rows, Metric::Accuracy).unwrap()
    }

    #[test]
    fn the_three_forms_hold_the_same_numbers() {
        let report = report();
        let text = report.table();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("1.  a,b") && lines[1].contains("0.9550 ± 0.0635"), "{text}");
        assert!(lines[2].contains("long|name (1 of 2 diverged)") && lines[2].contains("  0.5000"), "{text}");
        let markdown = report.markdown();
        assert!(markdown.contains("| 0.9550 ± 0.0635 |") && markdown.contains("long\\|name"), "{markdown}");
        assert!(markdown.lines().all(|l| l.replace("\\|", "").matches('|').count() == 9), "{markdown}");
        let expect = "rank,name,learning_rate,run,test_accuracy,test_loss\n\
                      1,\"a,b\",,1,0.95,1.05\n1,\"a,b\",,2,0.96,1.04\n\
                      2,long|name,,1,0.5,1.5\n2,long|name,,2,diverged,\n";
        assert_eq!(report.csv(), expect);
    }

    // Which seed a run had must be seen, or runs of two rows would be paired wrongly.
    #[test]
    fn a_run_that_diverged_keeps_its_place() {
        let rows = vec![row("a", &some(&[0.9, 0.8])), row("b", &[None, Some(0.5)])];
        let csv = Report::new(rows, Metric::Accuracy).unwrap().csv();
        assert!(csv.ends_with("2,b,,1,diverged,\n2,b,,2,0.5,1.5\n"), "{csv}");
    }

    #[test]
    fn small_probabilities_are_not_zero() {
        let show = super::probability;
        assert_eq!([show(1e-9), show(0.0123), show(0.5), show(1.0)], ["< 0.001", "0.012", "0.50", "1.00"]);
    }
}
