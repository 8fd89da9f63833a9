//! The curves of a training run: loss and accuracy by epoch, and loss by update.

use super::axis::{AxisStyle, Scale, Unit};
use super::chart::LineChart;
use super::picture::{HEAD_TITLE, Picture, draw_head};
use super::scene::{Rect, Scene};
use super::series::{Best, Line, Series};
use crate::error::{Error, Result};

/// What a training run left behind, one value an epoch unless said otherwise.
///
/// ```
/// use striate::visual::{TrainingCurves, training_curves};
/// let curves = TrainingCurves {
///     title: "simple convnet on digits",
///     train_loss: &[0.9, 0.4, 0.2],
///     train_accuracy: &[0.75, 0.88, 0.94],
///     test_loss: Some(&[0.6, 0.35, 0.3]),
///     test_accuracy: Some(&[0.82, 0.90, 0.92]),
///     ..TrainingCurves::default()
/// };
/// assert!(training_curves(&curves)?.svg().contains("92.00 %"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct TrainingCurves<'a> {
    /// What was trained on what.
    pub title: &'a str,
    /// How it was trained; may be empty.
    pub subtitle: &'a str,
    /// The mean loss of the epoch as it ran.
    pub train_loss: &'a [f64],
    /// The share of right answers in the epoch as it ran, from 0 to 1.
    pub train_accuracy: &'a [f64],
    /// The loss on held-out data after the epoch.
    pub test_loss: Option<&'a [f64]>,
    /// The share of right answers on held-out data after the epoch.
    pub test_accuracy: Option<&'a [f64]>,
    /// The name of the held-out data; empty stands for "test".
    pub held_out: &'a str,
    /// The loss of every update of all epochs, for a pale line behind.
    pub step_loss: Option<&'a [f64]>,
    /// How the loss axis is divided.
    pub loss_scale: Scale,
}

const PANEL: (f64, f64) = (560.0, 340.0);
const MARGIN: f64 = 24.0;

/// Loss and accuracy by epoch, side by side.
///
/// # Errors
///
/// No epoch, or sequences whose lengths differ.
pub fn training_curves(curves: &TrainingCurves<'_>) -> Result<Picture> {
    let panels = curves.charts()?;
    let width = 2.0 * PANEL.0 + 3.0 * MARGIN;
    let head = if curves.subtitle.is_empty() { 36.0 } else { 54.0 };
    let height = 2.0 * MARGIN + head + PANEL.1;
    let words: Vec<String> = panels.iter().map(LineChart::describe).collect();
    let mut scene = Scene::new(width, height, curves.title, words.join(" "));
    let frame = Rect::new(MARGIN, MARGIN, width - 2.0 * MARGIN, head);
    draw_head(&mut scene, frame, HEAD_TITLE, curves.title, curves.subtitle);
    for (i, panel) in panels.iter().enumerate() {
        let x = MARGIN + i as f64 * (PANEL.0 + MARGIN);
        panel.draw(&mut scene, Rect::new(x, MARGIN + head, PANEL.0, PANEL.1), 13.0)?;
    }
    Ok(Picture::new(scene))
}

impl TrainingCurves<'_> {
    /// Loss and accuracy as charts of their own.
    ///
    /// # Errors
    ///
    /// As [`training_curves`].
    pub fn charts(&self) -> Result<[LineChart; 2]> {
        self.check()?;
        Ok([self.loss_panel(), self.accuracy_panel()])
    }

    fn check(&self) -> Result<()> {
        let epochs = self.train_loss.len();
        if epochs == 0 {
            return Err(Error::argument("a training run without an epoch has no curves")
                .with_help("train for at least one epoch"));
        }
        let others = [
            ("training accuracy", Some(self.train_accuracy)),
            ("held-out loss", self.test_loss),
            ("held-out accuracy", self.test_accuracy),
        ];
        for (name, values) in others {
            if let Some(values) = values.filter(|v| v.len() != epochs) {
                return Err(Error::argument(format!("{name} has {} values for {epochs} epochs", values.len()))
                    .with_help("give one value an epoch, NaN where there is none"));
            }
        }
        Ok(())
    }

    fn loss_panel(&self) -> LineChart {
        let mut series = Vec::new();
        if let Some(steps) = self.step_loss.filter(|s| !s.is_empty()) {
            let epoch = self.train_loss.len() as f64 / steps.len() as f64;
            let points = steps.iter().enumerate().map(|(i, v)| ((i + 1) as f64 * epoch, *v)).collect();
            series.push(Series::new("each update", points).line(Line::Faint));
        }
        series.extend(self.pair(self.train_loss, self.test_loss, Best::Lowest));
        panel("Loss", series, AxisStyle::default().scale(self.loss_scale))
    }

    fn accuracy_panel(&self) -> LineChart {
        let series = self.pair(self.train_accuracy, self.test_accuracy, Best::Highest);
        panel("Accuracy", series, AxisStyle::default().unit(Unit::Percent))
    }

    // The best epoch is chosen on held-out data where there are any.
    fn pair(&self, train: &[f64], test: Option<&[f64]>, best: Best) -> Vec<Series> {
        let name = if self.held_out.is_empty() { "test" } else { self.held_out };
        let train = Series::counted("training", train);
        match test {
            Some(test) => vec![train.line(Line::Dashed), Series::counted(name, test).colour(1).best(best)],
            None => vec![train.best(best)],
        }
    }
}

fn panel(title: &str, series: Vec<Series>, y: AxisStyle) -> LineChart {
    let x = AxisStyle::new("Epoch").unit(Unit::Whole);
    LineChart { title: title.into(), x, y, series, ..LineChart::default() }
}

/// The loss of every update of a training run.
#[derive(Debug, Clone, Copy, Default)]
pub struct LossCurve<'a> {
    /// What was trained on what.
    pub title: &'a str,
    /// How it was trained; may be empty.
    pub subtitle: &'a str,
    /// The loss of update 1, 2, 3, ...
    pub loss: &'a [f64],
    /// How the loss axis is divided.
    pub scale: Scale,
    /// How many updates a mean is over; 0 stands for a hundredth of all, at least 5.
    pub window: usize,
}

/// The loss by update, pale, under its moving mean.
///
/// # Errors
///
/// No update.
pub fn loss_curve(curve: &LossCurve<'_>) -> Result<Picture> {
    let window = if curve.window == 0 { (curve.loss.len() / 100).max(5) } else { curve.window };
    // A window has a middle, so it is odd.
    let window = window | 1;
    let raw = Series::counted("each update", curve.loss).line(Line::Faint);
    let mean = raw.smoothed(format!("mean of {window} updates"), window);
    let chart = LineChart {
        title: curve.title.into(),
        subtitle: curve.subtitle.into(),
        x: AxisStyle::new("Update").unit(Unit::Whole),
        y: AxisStyle::new("Loss").scale(curve.scale),
        series: if curve.loss.len() > window { vec![raw, mean] } else { vec![Series::counted("loss", curve.loss)] },
        ..LineChart::default()
    };
    chart.picture()
}
