//! The verdict of a report in plain words: what is known, and what is not.

use super::contest::{Choice, Edge};
use super::report::{Metric, Pair, Report, Test};
use super::table::probability;

impl Report {
    /// What the numbers say, a sentence or two in each line, the answer first.
    pub fn verdict(&self) -> Vec<String> {
        let mut lines = vec![self.answer()];
        lines.extend(self.doubt());
        lines.extend(self.without_spread());
        lines.extend(self.rows.iter().filter(|row| row.diverged > 0).map(|row| {
            format!(
                "{} diverged in {} of {} runs: it is not ranked by its other runs, and not tested.",
                row.name, row.diverged, row.runs
            )
        }));
        lines.extend(self.rows.iter().filter_map(|row| edge(&row.name, row.choice.as_ref()?)));
        lines
    }

    fn answer(&self) -> String {
        let Some(best) = self.rows.first().filter(|row| row.diverged == 0) else {
            return "No answer: each of them diverged.".into();
        };
        let pairs: Vec<&Pair> = (1..self.rows.len()).filter_map(|i| self.against_best(i)).collect();
        let (told, open): (Vec<&Pair>, Vec<&Pair>) = pairs.into_iter().partition(|pair| pair.is_told());
        let mean = best.mean(self.metric).map_or(f64::NAN, |m| m.mean);
        let (what, name) = (self.what(), &best.name);
        if told.is_empty() && open.is_empty() {
            return format!("{name} alone came through, with a test {what} of {mean:.4}.");
        }
        if open.is_empty() {
            let most = told.iter().map(|pair| pair.adjusted_p).fold(0.0, f64::max);
            let nearest = told.first().map_or(String::new(), |pair| self.lead(pair));
            let others = if told.len() > 1 { "than each of the others" } else { "than the other" };
            return format!(
                "{name} is the best: its test {what} of {mean:.4} is {} {others} (p {}){nearest}.",
                self.better(),
                upto(most)
            );
        }
        let unknown: Vec<String> =
            open.iter().map(|pair| format!("{} (p {})", self.rows[pair.b].name, equal(pair.adjusted_p))).collect();
        let seeds = self.units();
        let mut text = format!(
            "No single best: {name} has the {} test {what}, {mean:.4}, but cannot be told apart from {} with {seeds}.",
            if self.metric == Metric::Accuracy { "highest" } else { "lowest" },
            list(&unknown)
        );
        if !told.is_empty() {
            let names: Vec<String> = told.iter().map(|pair| self.rows[pair.b].name.clone()).collect();
            let most = told.iter().map(|pair| pair.adjusted_p).fold(0.0, f64::max);
            text.push_str(&format!(" It is {} than {} (p {}).", self.better(), list(&names), upto(most)));
        }
        text
    }

    // By how much the best leads the next.
    fn lead(&self, pair: &Pair) -> String {
        let name = &self.rows[pair.b].name;
        let (unit, factor) = if self.metric == Metric::Accuracy { (" percentage points", 100.0) } else { ("", 1.0) };
        let size = |v: f64| format!("{:.3}", v.abs() * factor);
        match (pair.interval, pair.test) {
            (Some((a, b)), _) => {
                let (low, high) = if a.abs() < b.abs() { (a, b) } else { (b, a) };
                let interval = format!("95 % interval {} to {}", size(low), size(high));
                format!("; it leads {name} by {}{unit} ({interval})", size(pair.difference))
            }
            (None, Test::McNemar(split)) => format!(
                "; of the samples that only one of the two got right, {} are its own and {} those of {name}",
                split.only_a, split.only_b
            ),
            (None, _) => String::new(),
        }
    }

    // Where the two tests disagree, or one of them could not have said anything.
    fn doubt(&self) -> Option<String> {
        let seeds = self.seeds();
        let by_t = |pair: &&Pair| matches!(pair.test, Test::PairedT { .. });
        let against: Vec<&Pair> = (1..self.rows.len()).filter_map(|i| self.against_best(i)).filter(by_t).collect();
        let least = 2.0 / 2.0_f64.powi(seeds.min(60) as i32);
        if against.is_empty() {
            return None;
        }
        if least >= super::ALPHA {
            return Some(format!(
                "The t test assumes that differences between seeds are normally distributed; {seeds} seeds are too few \
                 to do without (the sign-flip test cannot give less than p = {least:.3}, 6 seeds are the least for it)."
            ));
        }
        let apart = |pair: &Pair| match pair.test {
            Test::PairedT { sign_flip_p, .. } => (pair.p < super::ALPHA) != (sign_flip_p < super::ALPHA),
            Test::McNemar(_) => false,
        };
        let names: Vec<String> = against.iter().filter(|p| apart(p)).map(|p| self.rows[p.b].name.clone()).collect();
        Some(match names.is_empty() {
            true => {
                "Fisher's sign-flip test, which assumes no normal distribution, agrees at 5 % for each one against \
                     the best (both without correction)."
                    .into()
            }
            false => format!(
                "Take {} with care: without correction the t test and Fisher's sign-flip test disagree there at 5 %.",
                list(&names)
            ),
        })
    }

    // A difference without spread is certain to the t test, which few samples to test on make likely.
    fn without_spread(&self) -> Option<String> {
        let is_even = |pair: &&Pair| matches!(pair.test, Test::PairedT { t, .. } if t.is_infinite());
        let pairs = (1..self.rows.len()).filter_map(|i| self.against_best(i)).filter(is_even);
        let names: Vec<String> = pairs.map(|pair| self.rows[pair.b].name.clone()).collect();
        (!names.is_empty()).then(|| {
            format!(
                "Take the p against {} for nothing: the difference is the same number with each seed, which the t test \
                 takes for certainty.",
                list(&names)
            )
        })
    }

    fn what(&self) -> &'static str {
        if self.metric == Metric::Accuracy { "accuracy" } else { "loss" }
    }

    fn better(&self) -> &'static str {
        if self.metric == Metric::Accuracy { "higher" } else { "lower" }
    }

    fn units(&self) -> String {
        match self.seeds() {
            1 if self.samples > 0 => format!("{} test samples", self.samples),
            1 => "these test samples".into(),
            n => format!("{n} seeds"),
        }
    }
}

fn edge(name: &str, choice: &Choice) -> Option<String> {
    let (end, other) = match choice.edge? {
        Edge::Lowest => ("smallest", "smaller"),
        Edge::Highest => ("largest", "larger"),
    };
    let rate = choice.rate;
    Some(format!("{name}: the best learning rate, {rate}, is the {end} that was tried; a {other} one might do better."))
}

fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

fn equal(p: f64) -> String {
    let text = probability(p);
    if text.starts_with('<') { text } else { format!("= {text}") }
}

fn upto(p: f64) -> String {
    let text = probability(p);
    if text.starts_with('<') { text } else { format!("<= {text}") }
}

#[cfg(test)]
mod tests {
    use crate::compare::report::tests::{row, some};
    use crate::compare::{Choice, Edge, Metric, Report, Row, Tried};

    fn verdict(rows: Vec<Row>) -> Vec<String> {
        Report::new(rows, Metric::Accuracy).unwrap().verdict()
    }

    fn around(middle: f64, step: f64) -> Vec<Option<f64>> {
        some(&[-2.0, 1.0, 0.0, -1.0, 2.0, 1.5, -1.5].map(|i: f64| middle + i * step))
    }

    #[test]
    fn a_clear_winner_is_named_with_its_lead() {
        let lines = verdict(vec![row("sgd", &around(0.90, 0.001)), row("adam", &around(0.95, 0.0015))]);
        assert!(
            lines[0].starts_with("adam is the best: its test accuracy of 0.9500 is higher than the other (p < 0.001)")
        );
        assert!(lines[0].contains("it leads sgd by 5.000 percentage points (95 % interval 4.9"), "{lines:?}");
        assert!(lines[1].contains("sign-flip test") && lines[1].contains("agrees"), "{lines:?}");
    }

    #[test]
    fn what_cannot_be_told_apart_is_said_so_e18() {
        let noisy = some(&[0.94, 0.97, 0.95, 0.96, 0.93, 0.955, 0.951]);
        let lines = verdict(vec![row("a", &around(0.95, 0.001)), row("b", &noisy), row("c", &around(0.8, 0.001))]);
        let first = &lines[0];
        assert!(first.starts_with("No single best: b has the highest test accuracy, 0.9509, but cannot be told apart"));
        assert!(
            first.contains("from a (p = ") && first.contains("with 7 seeds. It is higher than c (p < 0.001)."),
            "{first}"
        );
    }

    #[test]
    fn few_seeds_divergence_and_edges_are_told() {
        let mut edge = row("a", &some(&[0.9, 0.91]));
        edge.choice =
            Some(Choice { rate: 0.1, tried: vec![Tried { rate: 0.1, losses: vec![] }], edge: Some(Edge::Highest) });
        let lines = verdict(vec![edge, row("b", &some(&[0.8, 0.82])), row("c", &[None, Some(0.99)])]);
        let all = lines.join("\n");
        assert!(all.contains("2 seeds are too few"), "{all}");
        assert!(all.contains("c diverged in 1 of 2 runs: it is not ranked"), "{all}");
        assert!(all.contains("a: the best learning rate, 0.1, is the largest that was tried; a larger one"), "{all}");
        let none = verdict(vec![row("a", &[None, None]), row("b", &[None, None])]);
        assert_eq!(none[0], "No answer: each of them diverged.");
        let alone = verdict(vec![row("a", &[None, None]), row("b", &some(&[0.9, 0.9]))]);
        assert!(alone[0].starts_with("b alone came through"), "{alone:?}");
    }

    #[test]
    fn differences_without_spread_are_not_taken_for_certainty() {
        let lines = verdict(vec![row("a", &some(&[0.75, 0.75, 0.75])), row("b", &some(&[0.5, 0.5, 0.5]))]);
        assert!(lines.iter().any(|l| l.starts_with("Take the p against b for nothing")), "{lines:?}");
        let lines = verdict(vec![row("a", &some(&[0.75, 0.5, 0.75])), row("b", &some(&[0.5, 0.5, 0.5]))]);
        assert!(!lines.iter().any(|l| l.contains("for nothing")), "{lines:?}");
    }

    #[test]
    fn single_models_are_told_apart_by_their_samples() {
        let lines = verdict(vec![row("a", &some(&[0.5])), row("b", &some(&[0.7]))]);
        assert!(lines[0].contains("only one of the two got right, 20 are its own and 0 those of a"), "{lines:?}");
        let lines = verdict(vec![row("a", &some(&[0.7])), row("b", &some(&[0.69]))]);
        assert!(lines[0].contains("cannot be told apart from b (p = 1.00) with these test samples"), "{lines:?}");
        assert_eq!(lines.len(), 1);
    }
}
