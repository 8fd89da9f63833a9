//! What a visit showed, as text and as loss curves.

use std::fmt;

use super::sandbox::{CONV, Net};
use super::{Bug, Check, Run, Visit};
use crate::error::Result;
use crate::ops::{Padding, Pool2D, Rule};
use crate::visual::{AxisStyle, Line, LineChart, Picture, Series, Unit, charts};

/// Numbers that belong to one mistake.
pub(super) fn facts(bug: Bug, net: &Net, wrong: &Run) -> Vec<String> {
    let moved = format!("the filters moved by {:.1} % of their size", 100.0 * wrong.moved);
    match bug {
        Bug::NoStep => {
            let (read, all) = (net.pixels_read(), CONV * CONV);
            vec![format!(
                "2x2 pooling reads {read} of {all} pixels of each map, {:.0} %",
                100.0 * read as f64 / all as f64
            )]
        }
        Bug::LostTranspose => {
            let right = Pool2D::max(3).stride(2).padding(Padding::all(1)).shape(&[[CONV, CONV, 1].into()]);
            let right = right.map_or(0, |s| s.dims()[0]);
            let wrong = (CONV - 3) / 2 + 1;
            vec![
                moved,
                format!(
                    "a 3x3 pool, stride 2, padding 1, of {CONV}x{CONV}: {right}x{right} are right, {wrong}x{wrong} without the padding"
                ),
            ]
        }
        _ => vec![moved],
    }
}

impl Visit {
    /// What the loss says, and what the checks say, in two lines.
    pub fn verdict(&self) -> [String; 2] {
        let (wrong, right) = (self.wrong.last_loss(), self.right.last_loss());
        let loss = format!("the loss falls from {:.2} to {wrong:.2} (right: {right:.2})", self.wrong.loss[0]);
        let failed = |checks: &[Check]| {
            let failed = checks.iter().filter(|c| !c.passed());
            failed.map(|c| format!("{} off by {}", c.name, percent(c.error))).collect::<Vec<_>>()
        };
        let (formula, gradients) = (failed(&self.formula), failed(&self.gradients));
        let told = |what: &str, failed: &[String]| match failed {
            [] => format!("{what} passes"),
            names => format!("{what}: {}", names.join(", ")),
        };
        [loss, format!("{}; {}", told("forward check", &formula), told("gradient check", &gradients))]
    }

    /// The loss with and without the mistake.
    ///
    /// # Errors
    /// None; a chart with points can be drawn.
    pub fn picture(&self) -> Result<Picture> {
        LineChart { height: 420.0, ..self.chart() }.picture()
    }

    fn chart(&self) -> LineChart {
        let curve = |name: &str, run: &Run, colour: usize| {
            let raw = Series::counted(format!("{name}, each update"), &run.loss).colour(colour).line(Line::Faint);
            let window = (run.loss.len() / 12).max(3) | 1;
            let share = 100.0 * run.accuracy;
            raw.smoothed(format!("{name}: {share:.1} % right"), window)
        };
        let right = curve("correct", &self.right, 0).line(Line::Dashed);
        let wrong = curve(self.exhibit.id, &self.wrong, 1);
        LineChart {
            title: format!("{}: {}", self.exhibit.id, self.exhibit.title),
            subtitle: self.verdict()[1].clone(),
            x: AxisStyle::new("Update").unit(Unit::Whole),
            y: AxisStyle::new("Loss (mean of neighbours)"),
            series: vec![right, wrong],
            ..LineChart::default()
        }
    }

    /// Several visits side by side.
    ///
    /// # Errors
    /// There are none.
    pub fn pictures(visits: &[Self]) -> Result<Picture> {
        let all: Vec<LineChart> = visits.iter().map(Self::chart).collect();
        let subtitle = "each network is trained with and without the mistake; the loss falls either way, the checks tell the truth";
        charts(("The museum of mistakes", subtitle), &all, 2)
    }
}

fn percent(error: f64) -> String {
    if error < 0.001 { format!("{:.1e}", error) } else { format!("{:.1} %", 100.0 * error) }
}

impl fmt::Display for Visit {
    /// A page for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = self.exhibit;
        writeln!(f, "{}: {}\n", e.id, e.title)?;
        for (head, text) in [("The mistake", e.mistake), ("Where it is seen", e.seen)] {
            writeln!(f, "{head}")?;
            wrapped(f, text)?;
        }
        writeln!(f, "Right\n  {}\nWrong\n  {}\n", e.right, e.wrong)?;
        let c = &self.config;
        writeln!(
            f,
            "{} updates of gradient descent at {}, {} images of MNIST in batches of {}",
            c.updates, c.rate, c.images, c.batch
        )?;
        writeln!(f, "  {:<10}{:>12}{:>12}{:>16}", "", "first loss", "last loss", "right answers")?;
        for (name, run) in [("right", &self.right), (e.id, &self.wrong)] {
            let share = format!("{:.1} %", 100.0 * run.accuracy);
            writeln!(f, "  {name:<10}{:>12.4}{:>12.4}{share:>16}", run.loss[0], run.last_loss())?;
        }
        for (head, checks) in
            [("Forward against its formula", &self.formula), ("Gradients against finite differences", &self.gradients)]
        {
            writeln!(f, "\n{head}")?;
            for check in checks {
                let verdict = if check.passed() { "ok" } else { "WRONG" };
                writeln!(f, "  {:<14}{:>10}   {verdict}", check.name, percent(check.error))?;
            }
        }
        writeln!(f)?;
        for fact in &self.facts {
            writeln!(f, "In numbers: {fact}")?;
        }
        writeln!(f, "\nThe lesson")?;
        wrapped(f, e.lesson)
    }
}

// Words in lines of at most 80 columns, and an empty line.
fn wrapped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() + 3 > 80 {
            writeln!(f, "  {line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(f, "  {line}\n")
}

#[cfg(test)]
mod tests {
    use super::super::{VisitConfig, exhibits, visit};
    use super::*;

    #[test]
    fn a_visit_is_told_and_drawn() {
        let config = VisitConfig {
            updates: 12,
            batch: 10,
            images: 60,
            test: 40,
            kernels: 2,
            hidden: 8,
            ..VisitConfig::default()
        };
        let all: Vec<_> = exhibits().iter().collect();
        let visits = visit(&all, &config, &mut |_| {}).unwrap();
        for visit in &visits {
            let text = visit.to_string();
            for part in [
                visit.exhibit.right,
                visit.exhibit.wrong,
                "The lesson",
                "Gradients against finite differences",
                "right answers",
            ] {
                assert!(text.contains(part), "'{part}' is not in:\n{text}");
            }
            assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
            assert!(text.contains("WRONG"), "{text}");
            let svg = visit.picture().unwrap().svg();
            assert!(svg.contains(visit.exhibit.title) && svg.contains("% right"));
        }
        assert!(visits[0].to_string().contains("2x2 pooling reads 196 of 576 pixels"));
        assert!(visits[4].to_string().contains("12x12 are right, 11x11 without the padding"));
        let together = Visit::pictures(&visits).unwrap();
        let titles = together.scene().texts().filter(|t| visits.iter().any(|v| t.content().contains(v.exhibit.title)));
        assert_eq!(titles.count(), 7);
        assert!(Visit::pictures(&[]).is_err());
    }
}
