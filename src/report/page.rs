//! A report as an HTML page. The markup is `templates/report.html`, the style `templates/report.css`; here are the words
//! and numbers that they ask for.

use std::borrow::Borrow;
use std::fmt::Write;

use askama::Template;

use super::{Accuracy, Cam, CamExample, Change, Example, LayerPicture, Report};
use crate::error::{Error, Result};
use crate::summary::thousands;
use crate::train::EpochLog;
use crate::visual::{
    AxisStyle, Bitmap, Colour, ColourMap, DotPlot, DotRow, Paint, Picture, Range, Scale, TrainingCurves, Unit, short,
    theme,
};

// The matrix of more classes would be too large to be read.
const MOST_CLASSES: usize = 40;
const MOST_CONFUSIONS: usize = 20;
const HEAT: usize = 10;
// A chart this wide needs not be made smaller for a phone, so that no text in it is less than 12 pixels high there.
const CHART: (f64, f64) = (300.0, 270.0);

#[derive(Template)]
#[template(path = "report.html", whitespace = "minimize")]
struct Page<'a> {
    r: &'a Report,
    style: String,
    accuracy: String,
    loss_chart: String,
    accuracy_chart: String,
    drawing: String,
    matrix: Option<Vec<Row>>,
    unanswered: bool,
    confusions: Vec<(String, String, u64)>,
}

/// A row of the confusion matrix.
struct Row {
    class: String,
    cells: Vec<Cell>,
    unanswered: u64,
}

struct Cell {
    count: u64,
    heat: usize,
}

impl Report {
    /// The report as a page: one file of HTML, its pictures inside.
    ///
    /// # Errors
    /// A chart cannot be drawn, as where no number of a run is finite.
    pub fn html(&self) -> Result<String> {
        let [loss_chart, accuracy_chart] = self.charts()?;
        let page = Page {
            r: self,
            style: style(),
            accuracy: self.intervals()?.inline_svg("intervals"),
            loss_chart: loss_chart.inline_svg("loss-chart"),
            accuracy_chart: accuracy_chart.inline_svg("accuracy-chart"),
            drawing: self.drawing.inline_svg("drawing"),
            matrix: self.matrix(),
            unanswered: (0..self.test.evaluation.confusion.classes())
                .any(|class| self.test.evaluation.confusion.unanswered(class) > 0),
            confusions: self.confusions(),
        };
        page.render().map_err(|e| Error::argument(format!("the report cannot be written as HTML: {e}")))
    }

    fn intervals(&self) -> Result<Picture> {
        let row = |(colour, a): (usize, &Accuracy)| DotRow {
            name: a.name.into(),
            mean: a.value(),
            interval: Some(a.interval()),
            note: percent(a.value()),
            colour,
            ..DotRow::default()
        };
        let x = AxisStyle::new("Accuracy").unit(Unit::Percent);
        let rows = self.accuracies.iter().enumerate().map(row).collect();
        DotPlot { x, rows, width: CHART.0, ..DotPlot::default() }.picture()
    }

    fn charts(&self) -> Result<[Picture; 2]> {
        let epochs = &self.history.epochs;
        let column = |f: fn(&EpochLog) -> f64| epochs.iter().map(f).collect::<Vec<f64>>();
        let held_out = |f: fn(&EpochLog) -> Option<f64>| epochs.iter().map(f).collect::<Option<Vec<f64>>>();
        let steps: Vec<f64> = self.history.step_loss.iter().map(|l| f64::from(*l)).collect();
        let (loss, accuracy) = (column(|e| e.loss), column(|e| e.accuracy));
        let (held_loss, held_accuracy) = (held_out(|e| e.val_loss), held_out(|e| e.val_accuracy));
        let curves = TrainingCurves {
            train_loss: &loss,
            train_accuracy: &accuracy,
            test_loss: held_loss.as_deref(),
            test_accuracy: held_accuracy.as_deref(),
            held_out: "validation",
            step_loss: Some(&steps).filter(|s| !s.is_empty()).map(|s| s.as_slice()),
            loss_scale: Scale::Log,
            ..TrainingCurves::default()
        };
        let [mut loss, mut accuracy] = curves.charts()?;
        (loss.width, loss.height) = CHART;
        (accuracy.width, accuracy.height) = CHART;
        Ok([loss.picture()?, accuracy.picture()?])
    }

    fn matrix(&self) -> Option<Vec<Row>> {
        let confusion = &self.test.evaluation.confusion;
        let n = confusion.classes();
        let row = |label: usize| {
            let total = (0..n).map(|p| confusion.count(label, p)).sum::<u64>() + confusion.unanswered(label);
            let cell = |predicted: usize| {
                let count = confusion.count(label, predicted);
                // The root of the share, so that 1 % can be told from 0.
                let share = (count as f64 / total.max(1) as f64).sqrt();
                Cell { count, heat: if count == 0 { 0 } else { 1 + (share * (HEAT - 2) as f64).round() as usize } }
            };
            Row { class: self.class(label), cells: (0..n).map(cell).collect(), unanswered: confusion.unanswered(label) }
        };
        (n <= MOST_CLASSES).then(|| (0..n).map(row).collect())
    }

    fn confusions(&self) -> Vec<(String, String, u64)> {
        let worst = self.test.evaluation.confusion.worst(MOST_CONFUSIONS);
        worst.into_iter().map(|(label, predicted, n)| (self.class(label), self.class(predicted), n)).collect()
    }
}

// What the template asks for.
impl Page<'_> {
    fn label(&self, class: &usize) -> String {
        self.r.class(*class)
    }

    fn test(&self) -> &Accuracy {
        // The last of the accuracies; there are three at least.
        &self.r.accuracies[self.r.accuracies.len() - 1]
    }

    fn wrong(&self) -> usize {
        self.test().samples - self.test().correct
    }

    fn gap(&self) -> String {
        let (again, test) = (&self.r.accuracies[1], self.test());
        let gap = 100.0 * (again.value() - test.value());
        if gap == 0.0 {
            return format!(
                "These weights are right on {} of the training set and of the test set.",
                percent(test.value())
            );
        }
        let side = if gap >= 0.0 { "more" } else { "less" };
        format!(
            "These weights are right on {} of the training set and on {} of the test set: {:.2} percentage points {side}.",
            percent(again.value()),
            percent(test.value()),
            gap.abs()
        )
    }

    fn whose_weights(&self) -> String {
        match (self.r.epoch, self.r.history.epochs.last()) {
            (Some(epoch), Some(last)) if epoch == last.epoch => format!(
                "The weights of this report have the digest {}, which is that of the last epoch in the table.",
                self.r.digest
            ),
            (Some(epoch), Some(last)) => format!(
                "The weights of this report have the digest {}, which is that of epoch {epoch}: training went on to epoch {} and then came back to it.",
                self.r.digest, last.epoch
            ),
            _ => format!(
                "The weights of this report have the digest {}, which is that of no epoch in the table: the run was stopped within an epoch.",
                self.r.digest
            ),
        }
    }

    fn updates(&self) -> usize {
        self.r.history.last().map_or(0, |e| e.step as usize)
    }

    fn epochs(&self) -> String {
        let n = self.r.history.epochs.len();
        format!("{n} {}", if n == 1 { "epoch" } else { "epochs" })
    }

    fn has_validation(&self) -> bool {
        self.r.history.epochs.iter().any(|e| e.val_loss.is_some())
    }

    // Beside a matrix ten are enough.
    fn few(&self) -> usize {
        if self.matrix.is_some() { MOST_CONFUSIONS / 2 } else { MOST_CONFUSIONS }
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn maps_alt(&self, l: &LayerPicture) -> String {
        format!("{} feature maps of layer {}", l.shown, l.layer)
    }

    fn cam_alt(&self, cam: &Cam) -> String {
        format!("What speaks for {} on it", self.r.class(cam.class))
    }

    fn unit(&self) -> &'static str {
        if self.r.classes.iter().any(|c| c.chars().count() > 4) { "long" } else { "" }
    }

    fn class_rows(&self) -> Vec<(String, crate::train::metrics::Score)> {
        let confusion = &self.r.test.evaluation.confusion;
        (0..confusion.classes()).map(|class| (self.r.class(class), confusion.score(class))).collect()
    }

    fn mean(&self) -> crate::train::metrics::Score {
        self.r.test.evaluation.confusion.macro_average()
    }

    fn answer(&self, example: &Example) -> String {
        example.predicted.map_or_else(|| "no number".to_string(), |class| self.r.class(class))
    }

    /// What a screen reader says of an image.
    fn alt(&self, example: &Example) -> String {
        let (number, label) = (thousands(example.index), self.r.class(example.label));
        if example.is_right() {
            format!("Test image {number}: {label}, told right")
        } else {
            format!("Test image {number}: {label}, taken for {}", self.answer(example))
        }
    }

    fn place(&self, example: &Example) -> String {
        match &example.source {
            Some(source) => format!("{source} (test image {})", thousands(example.index)),
            None => format!("test image {}", thousands(example.index)),
        }
    }

    fn cam_title(&self, cam: &CamExample) -> String {
        let label = self.r.class(cam.example.label);
        if cam.example.is_right() {
            format!("{label}, told right")
        } else {
            format!("{label}, taken for {}", self.answer(&cam.example))
        }
    }
}

fn style() -> String {
    let mut out = theme(&[ColourMap::VIRIDIS, ColourMap::SIGNED]);
    out.push_str(include_str!("../../templates/report.css"));
    for dark in [false, true] {
        if dark {
            out.push_str("@media screen and (prefers-color-scheme:dark){");
        }
        for level in 0..HEAT {
            let back = heat(level, dark);
            let _ = write!(out, ".heat{level}{{background:{back};color:{}}}", ink(level, back, dark));
        }
        out.push_str(if dark { "}\n" } else { "\n" });
    }
    out
}

// The colour of a cell: level 0 is the page, for counts of 0.
fn heat(level: usize, dark: bool) -> Colour {
    let share = level as f64 / (HEAT - 1) as f64;
    match dark {
        _ if level == 0 => {
            if dark {
                Paint::Page.dark()
            } else {
                Paint::Page.light()
            }
        }
        false => ColourMap::BLUES.at(0.08 + 0.92 * share),
        true => Paint::Page.dark().mix(Colour::hex(0x6baed6), 0.12 + 0.88 * share),
    }
}

fn ink(level: usize, back: Colour, dark: bool) -> Colour {
    match (level, dark) {
        (0, false) => Paint::Muted.light(),
        (0, true) => Paint::Muted.dark(),
        _ => back.text_on(),
    }
}

// The template has numbers of several types, and references to them.
fn number(n: impl ToString) -> String {
    thousands(n.to_string().parse().unwrap_or_default())
}

fn percent(share: impl Borrow<f64>) -> String {
    format!("{:.2}\u{a0}%", 100.0 * share.borrow())
}

// A probability is not certain, nor impossible, because of a rounding.
fn probability(p: impl Borrow<f32>) -> String {
    let p = f64::from(*p.borrow());
    match format!("{:.2}", 100.0 * p).as_str() {
        "100.00" if p < 1.0 => "over 99.99\u{a0}%".into(),
        "0.00" if p > 0.0 => "under 0.01\u{a0}%".into(),
        text => format!("{text}\u{a0}%"),
    }
}

fn interval(a: &Accuracy) -> String {
    let (low, high) = a.interval();
    format!("{:.2} to {:.2}\u{a0}%", 100.0 * low, 100.0 * high)
}

fn decimals(v: impl Borrow<f64>) -> String {
    format!("{:.4}", v.borrow())
}

fn perhaps(v: &Option<f64>, show: fn(f64) -> String) -> String {
    v.map_or_else(|| "\u{2013}".into(), show)
}

fn size(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join("\u{a0}×\u{a0}")
}

fn seconds(v: impl Borrow<f64>) -> String {
    format!("{:.1}", v.borrow())
}

fn low(range: &Range) -> String {
    short(range.low)
}

fn high(range: &Range) -> String {
    short(range.high)
}

fn share(change: &Change) -> String {
    change.share.map_or_else(|| "unknown".into(), |share| format!("{:.1}\u{a0}%", 100.0 * share))
}

// Small images are enlarged without smoothing, so that each pixel can be seen.
fn sharp(image: &Bitmap) -> &'static str {
    if image.size().into_iter().max() <= Some(64) { "pixels" } else { "photo" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_on_every_colour_of_the_matrix() {
        for (level, dark) in (0..HEAT).flat_map(|level| [(level, false), (level, true)]) {
            let back = heat(level, dark);
            assert!(back.contrast(ink(level, back, dark)) >= 4.5, "level {level}, dark: {dark}");
        }
    }

    #[test]
    fn probabilities_are_not_certain_by_rounding() {
        let all = [0.0, 1e-6, 0.5, 0.999_96, 1.0_f32].map(probability);
        assert_eq!(all, ["0.00\u{a0}%", "under 0.01\u{a0}%", "50.00\u{a0}%", "over 99.99\u{a0}%", "100.00\u{a0}%"]);
    }
}
