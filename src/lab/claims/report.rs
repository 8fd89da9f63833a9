//! What trying a claim gave, as text; and what the pictures of claims share.

use std::fmt;

use super::verdict::{interval, number};
use super::{Curve, Report, Sample};
use crate::visual::{AxisStyle, DotPlot, DotRow, Item, Line, Series, Unit};

const WIDTH: usize = 100;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claim = self.claim;
        writeln!(f, "{}: {}\n", claim.name, claim.title)?;
        f.write_str(&wrapped("The notes say: ", claim.says))?;
        f.write_str(&wrapped("Measured: ", claim.measured))?;
        let (seeds, first) = (self.seeds.len(), self.seeds.first().copied().unwrap_or(0));
        let last = self.seeds.last().copied().unwrap_or(0);
        let which = if seeds == 1 { format!("seed {first}") } else { format!("{seeds} seeds ({first} to {last})") };
        let budget = format!("{which}, {} updates each, {} test images of MNIST", self.updates, self.test_images);
        f.write_str(&wrapped("Budget: ", &budget))?;
        if self.stopped {
            writeln!(f, "Stopped: the seeds that were done are judged.")?;
        }
        writeln!(f)?;
        table(f, &self.samples)?;
        if !self.facts.is_empty() {
            writeln!(f)?;
        }
        self.facts.iter().try_for_each(|fact| f.write_str(&wrapped("  ", fact)))?;
        writeln!(f, "\nStatements")?;
        for finding in &self.findings {
            f.write_str(&wrapped("  ", &format!("{}: {}", finding.statement, finding.verdict.words().to_uppercase())))?;
            f.write_str(&wrapped("      ", &finding.because))?;
        }
        writeln!(f, "\nVerdict: {}", self.verdict.words())?;
        f.write_str(&wrapped("Caveat: ", claim.caveat))
    }
}

fn table(f: &mut fmt::Formatter<'_>, samples: &[Sample]) -> fmt::Result {
    let cells = |s: &Sample| {
        let range = s
            .estimate
            .interval
            .map_or(String::new(), |(low, high)| format!("{} to {}", number(low, s.unit), number(high, s.unit)));
        [s.what.clone(), number(s.estimate.mean, s.unit), range]
    };
    let head = ["".to_string(), "mean".into(), "95 % interval".into()];
    let rows: Vec<[String; 3]> = std::iter::once(head).chain(samples.iter().map(cells)).collect();
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let [what, mean, range] = [0, 1, 2].map(width);
    for row in &rows {
        let line = format!("  {:<what$}  {:>mean$}  {:>range$}", row[0], row[1], row[2]);
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

// Words in lines of a page, the further ones as far in as the head is long, up to twelve.
fn wrapped(head: &str, words: &str) -> String {
    let indent = " ".repeat(head.chars().count().min(12));
    let (mut out, mut line) = (String::new(), head.to_string());
    let mut empty = true;
    for word in words.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out += line.trim_end();
            out.push('\n');
            line = indent.clone();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    out + line.trim_end() + "\n"
}

/// A difference between two samples in words, with its interval.
pub(super) fn difference(a: &Sample, b: &Sample) -> String {
    interval(&super::Estimate::of_differences(&a.values, &b.values), a.unit)
}

/// The mean of curves that have the same places, point by point.
pub(super) fn mean_curve(name: impl Into<String>, curves: &[Vec<f64>], x: impl Fn(usize) -> f64) -> Curve {
    let points = curves.iter().map(Vec::len).min().unwrap_or(0);
    let mean = |i: usize| curves.iter().map(|c| c[i]).sum::<f64>() / curves.len() as f64;
    Curve { name: name.into(), points: (0..points).map(|i| (x(i), mean(i))).collect() }
}

/// Losses by update, averaged over seeds and then over neighbours.
pub(super) fn loss_curve(name: impl Into<String>, losses: &[Vec<f64>]) -> Curve {
    let mean = mean_curve(name, losses, |i| (i + 1) as f64);
    let window = (mean.points.len() / 12).max(3) | 1;
    let series = Series::new(mean.name, mean.points);
    let smooth = series.smoothed(series.name.clone(), window);
    Curve { name: smooth.name, points: smooth.points }
}

/// Groups of runs as a part of a sheet.
pub(super) fn dots(title: &str, x: AxisStyle, mut rows: Vec<DotRow>, width: f64) -> Item {
    // Student's interval knows no bounds, but a share does.
    let is_share = |v: &f64| (0.0..=1.0).contains(v);
    if x.unit == Unit::Percent && rows.iter().flat_map(|row| &row.values).all(is_share) {
        for (low, high) in rows.iter_mut().filter_map(|row| row.interval.as_mut()) {
            (*low, *high) = (low.max(0.0), high.min(1.0));
        }
    }
    Item::Dots(DotPlot { title: title.into(), x, rows, ..DotPlot::default() }, width)
}

/// A curve as a line of a chart.
pub(super) fn series(curve: &Curve, colour: usize) -> Series {
    let line = [Line::Solid, Line::Dashed, Line::Dotted][colour % 3];
    Series::new(curve.name.clone(), curve.points.clone()).colour(colour).line(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words() {
        let text = wrapped("Head: ", &"word ".repeat(50));
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH && !l.ends_with(' ')));
        assert_eq!(text.matches("word").count(), 50);
        assert!(text.lines().nth(1).unwrap().starts_with("      word"));
    }

    #[test]
    fn curves_are_averaged_point_by_point() {
        let curve = mean_curve("c", &[vec![1.0, 3.0, 9.0], vec![3.0, 5.0]], |i| i as f64);
        assert_eq!(curve.points, [(0.0, 2.0), (1.0, 4.0)]);
    }
}
