//! The figures of a report: loss curves, results with their intervals, and the learning rates that were tried.

use super::contest::Tried;
use super::report::{Metric, Report, Row};
use crate::error::Result;
use crate::visual::{AxisStyle, DotPlot, DotRow, Multiple, Multiples, Picture, Scale, Series, Unit};

/// The training loss by update: a panel for each row, its median over seeds in a band from the lowest to the highest.
///
/// Each curve is smoothed first, by a moving mean over a twentieth of the updates. Runs that diverged are thin lines of
/// their own, up to a cross.
///
/// # Errors
/// No row has a curve.
pub fn curves(report: &Report, title: &str) -> Result<Picture> {
    let longest = report.rows.iter().flat_map(|row| &row.curves).map(Vec::len).max().unwrap_or(0);
    let window = (longest / 20).max(5) | 1;
    let with_curves = report.rows.iter().enumerate().filter(|(_, row)| row.has_curves());
    let panels: Vec<Multiple> = with_curves.map(|(i, row)| curve(i, row, window)).collect();
    let seeds = report.seeds();
    let of = if seeds == 1 { String::new() } else { format!("line: median of {seeds} seeds; band: all of them; ") };
    let page = Multiples {
        title: title.into(),
        subtitle: format!("Training loss as it ran; {of}mean of {window} updates; grey: the others"),
        x: AxisStyle::new("Update").unit(Unit::Whole),
        y: AxisStyle::new("Training loss").scale(Scale::Log),
        panels,
        dots: false,
    };
    page.picture()
}

fn smooth(loss: &[f32], window: usize) -> Vec<(f64, f64)> {
    let loss: Vec<f64> = loss.iter().map(|l| f64::from(*l)).collect();
    Series::counted("", &loss).smoothed("", window).points
}

fn curve(i: usize, row: &Row, window: usize) -> Multiple {
    // Runs that stopped early are shorter.
    let shortest = row.curves.iter().map(Vec::len).min().unwrap_or(0);
    let all: Vec<Vec<(f64, f64)>> = row.curves.iter().map(|loss| smooth(&loss[..shortest], window)).collect();
    let broken: Vec<Vec<(f64, f64)>> = row.broken.iter().map(|loss| smooth(loss, window)).collect();
    let places = all.iter().map(Vec::len).min().unwrap_or(0);
    let at = |k: usize| {
        let mut values: Vec<f64> = all.iter().map(|points| points[k].1).collect();
        values.sort_by(f64::total_cmp);
        let (n, x) = (values.len(), all[0][k].0);
        let median = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
        (x, median, values[0], values[n - 1])
    };
    let points: Vec<(f64, f64, f64, f64)> = (0..places).map(at).collect();
    let line: Vec<(f64, f64)> = points.iter().map(|p| (p.0, p.1)).collect();
    let rate = row.choice.as_ref().map(|c| format!("rate {}", c.rate));
    let last = line.last().map(|p| format!("{:.3} at the end", p.1));
    let lost = (row.diverged > 0).then(|| format!("× {} of {} diverged", row.diverged, row.runs));
    let note = [rate, last, lost].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let band = if all.len() > 1 { points.iter().map(|p| (p.0, p.2, p.3)).collect() } else { Vec::new() };
    Multiple { title: row.name.clone(), note, line, band, broken, mark: None, colour: i }
}

/// Test accuracy (or loss, if that decides) of each row: the mean, its 95 % interval, and each seed.
///
/// # Errors
/// There is no row.
pub fn dots(report: &Report, title: &str) -> Result<Picture> {
    let (label, unit) = match report.metric {
        Metric::Accuracy => ("Test accuracy", Unit::Percent),
        Metric::Loss => ("Test loss", Unit::Plain),
    };
    let row = |(i, row): (usize, &Row)| {
        let mean = row.mean(report.metric);
        DotRow {
            name: row.name.clone(),
            mean: mean.map_or(f64::NAN, |m| m.mean),
            interval: mean.and_then(|m| m.interval).map(|ends| within(ends, report.metric)),
            values: row.values(report.metric).to_vec(),
            note: note(report, i),
            colour: i,
        }
    };
    let subtitle = match report.seeds() {
        1 => "95 % interval of one model's accuracy (Wilson), over test samples".to_string(),
        n => format!("Mean of {n} seeds with its 95 % interval (Student's t); each circle is one seed"),
    };
    let plot = DotPlot {
        title: title.into(),
        subtitle,
        x: AxisStyle::new(label).unit(unit),
        notes: "mean; p against the best".into(),
        rows: report.rows.iter().enumerate().map(row).collect(),
        ..DotPlot::default()
    };
    plot.picture()
}

// Student's interval knows no bounds, but an accuracy does.
fn within((low, high): (f64, f64), metric: Metric) -> (f64, f64) {
    if metric == Metric::Accuracy { (low.max(0.0), high.min(1.0)) } else { (low.max(0.0), high) }
}

fn note(report: &Report, i: usize) -> String {
    let row = &report.rows[i];
    let mean = row.mean(report.metric).map(|m| match report.metric {
        Metric::Accuracy => format!("{:.2} %", m.mean * 100.0),
        Metric::Loss => format!("{:.4}", m.mean),
    });
    let test = match (report.against_best(i), row.diverged) {
        (_, n) if n > 0 => format!("{n} of {} diverged", row.runs),
        (Some(pair), _) => {
            let p = super::table::probability(pair.adjusted_p);
            let p = if p.starts_with('<') { format!("p {p}") } else { format!("p = {p}") };
            if pair.is_told() { p } else { format!("{p}, not told apart") }
        }
        (None, _) => return mean.unwrap_or_default(),
    };
    mean.map_or(test.clone(), |mean| format!("{mean}; {test}"))
}

/// Validation loss by learning rate: a panel for each row that searched, the chosen rate ringed.
///
/// # Errors
/// No row searched for its rate.
pub fn rates_tried(report: &Report, title: &str) -> Result<Picture> {
    let searched = |row: &&Row| row.choice.as_ref().is_some_and(|c| !c.tried.is_empty());
    let panels: Vec<Multiple> = report.rows.iter().enumerate().filter(|(_, row)| searched(row)).map(search).collect();
    let page = Multiples {
        title: title.into(),
        subtitle:
            "Validation loss by learning rate; band: all search seeds; ringed: the rate that was taken; grey: the \
                   others"
                .into(),
        x: AxisStyle::new("Learning rate").scale(Scale::Log),
        y: AxisStyle::new("Validation loss").scale(Scale::Log),
        panels,
        dots: true,
    };
    page.picture()
}

fn search((i, row): (usize, &Row)) -> Multiple {
    let tried = row.choice.iter().flat_map(|c| &c.tried);
    let point = |t: &Tried| (f64::from(t.rate), t.loss());
    let line: Vec<(f64, f64)> = tried.clone().map(point).collect();
    let ends = |t: &Tried| {
        let losses = || t.losses.iter().map(|l| l.unwrap_or(f64::INFINITY));
        (f64::from(t.rate), losses().fold(f64::INFINITY, f64::min), losses().fold(0.0, f64::max))
    };
    let band = tried.clone().map(ends).collect();
    let diverged = line.iter().filter(|p| p.1.is_infinite()).count();
    let rate = row.choice.as_ref().map_or(0.0, |c| c.rate);
    let mark = line.iter().find(|p| p.0 == f64::from(rate)).copied();
    let best = mark.map_or(String::new(), |m| format!("{:.4} at {rate}", m.1));
    let note = match diverged {
        0 => best,
        n if n == line.len() => "all diverged".into(),
        n => format!("{best}; {n} of {} diverged", line.len()),
    };
    Multiple { title: row.name.clone(), note, line, band, mark, colour: i, ..Multiple::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::report::tests::{row, some};
    use crate::compare::{Choice, Edge};
    use crate::visual::{Paint, Shape};

    fn report() -> Report {
        let tried = [(0.1, Some(0.5)), (0.3, Some(0.3)), (1.0, None)];
        let tried = tried.map(|(rate, loss)| Tried { rate, losses: vec![loss, Some(0.4)] }).to_vec();
        let mut rows = vec![row("a", &some(&[0.95, 0.96, 0.97])), row("b", &[Some(0.5), None, Some(0.6)])];
        rows[0].choice = Some(Choice { rate: 0.3, tried, edge: Some(Edge::Lowest) });
        Report::new(rows, Metric::Accuracy).unwrap()
    }

    fn words(picture: &Picture) -> Vec<String> {
        picture.scene().texts().map(|t| t.content().to_string()).collect()
    }

    #[test]
    fn curves_have_a_panel_with_median_and_band_for_each() {
        let picture = curves(&report(), "Loss").unwrap();
        let words = words(&picture);
        for wanted in ["Loss", "a", "b", "Update", "Training loss"] {
            assert!(words.iter().any(|w| w == wanted), "{wanted} in {words:?}");
        }
        let bands = picture.scene().shapes().iter().filter(|s| matches!(s, Shape::Polygon(_, Paint::Tint(_)))).count();
        assert_eq!(bands, 2);
        assert!(words.iter().any(|w| w.ends_with("0.509 at the end, × 1 of 3 diverged")), "{words:?}");
        // 40 updates, window 5: the last median of `a` is the mean of updates 38 to 40 with accuracy 0.96.
        let mean = [38.0, 39.0, 40.0].map(|i| 2.3 / i + 0.04).iter().sum::<f64>() / 3.0;
        assert!(words.iter().any(|w| w.ends_with(&format!("{mean:.3} at the end"))), "{mean} {words:?}");
    }

    // Three updates, the last far above all others: a dashed line along the edge, and the two arms of a cross.
    #[test]
    fn a_run_that_diverged_leaves_its_curve_and_a_cross() {
        let report = Report::new(vec![row("a", &some(&[0.9])), row("b", &[None])], Metric::Accuracy).unwrap();
        let picture = curves(&report, "Loss").unwrap();
        let lines = |dashed: bool| {
            let is = move |s: &&Shape| matches!(s, Shape::Line(_, stroke) if stroke.dash.is_empty() != dashed && stroke.paint == Paint::Series(1));
            picture.scene().shapes().iter().filter(is).count()
        };
        assert_eq!((lines(true), lines(false)), (1, 2));
        assert!(words(&picture).iter().any(|w| w == "× 1 of 1 diverged"), "{:?}", words(&picture));
        let page = picture.scene().page();
        for shape in picture.scene().shapes() {
            if let Shape::Line(points, _) = shape {
                assert!(
                    points.iter().all(|(x, y)| *x >= 0.0 && *y >= 0.0 && *x <= page.w && *y <= page.h),
                    "{points:?}"
                );
            }
        }
        // Where nothing else is, it gives the axes.
        let alone = Report::new(vec![row("a", &[None]), row("b", &[None])], Metric::Accuracy).unwrap();
        assert!(words(&curves(&alone, "Loss").unwrap()).iter().any(|w| w.contains("10⁶") || w.contains("10⁷")));
    }

    #[test]
    fn dots_show_every_seed_and_what_diverged() {
        let picture = dots(&report(), "Accuracy").unwrap();
        let circles = picture.scene().shapes().iter().filter(|s| matches!(s, Shape::Circle(_, _, Paint::Tint(_), _)));
        assert_eq!(circles.count(), 5);
        let words = words(&picture);
        assert!(
            words.iter().any(|w| w == "96.00 %") && words.iter().any(|w| w == "55.00 %; 1 of 3 diverged"),
            "{words:?}"
        );
    }

    #[test]
    fn the_search_shows_the_rate_that_was_taken() {
        let picture = rates_tried(&report(), "Rates").unwrap();
        let words = words(&picture);
        assert!(words.iter().any(|w| w == "0.3500 at 0.3; 1 of 3 diverged"), "{words:?}");
        let mut none = report();
        none.rows[0].choice = None;
        assert!(rates_tried(&none, "Rates").is_err());
    }
}
