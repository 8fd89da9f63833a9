//! Dot plots: groups of runs under each other, each run a dot, their mean a bar, its interval a line.

use super::axis::{Axis, AxisStyle, Fit, Scale, TICK_SIZE, label_width, number};
use super::colour::Paint;
use super::picture::{HEAD_TITLE, Picture, check_side, draw_head};
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use crate::error::{Error, Result};

/// One group of runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DotRow {
    /// What the group is.
    pub label: String,
    /// The value of each run.
    pub values: Vec<f64>,
    /// The mean and the two ends of its interval, where there is one.
    pub mean: Option<(f64, f64, f64)>,
    /// Which colour of the palette it has.
    pub colour: usize,
}

/// Groups of runs on one axis.
///
/// ```
/// use striate::visual::{AxisStyle, DotPlot, DotRow};
/// let row = DotRow { label: "plain".into(), values: vec![0.91, 0.93], mean: Some((0.92, 0.88, 0.96)), colour: 0 };
/// let plot = DotPlot { title: "Accuracy".into(), x: AxisStyle::new("accuracy"), rows: vec![row], ..DotPlot::default() };
/// assert!(plot.picture()?.svg().contains("plain"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DotPlot {
    /// What is compared.
    pub title: String,
    /// How; may be empty.
    pub subtitle: String,
    /// The axis to the right.
    pub x: AxisStyle,
    /// The groups, from the top.
    pub rows: Vec<DotRow>,
    /// The width of the picture; its height follows from the rows.
    pub width: f64,
}

impl Default for DotPlot {
    fn default() -> Self {
        let (title, subtitle) = (String::new(), String::new());
        Self { title, subtitle, x: AxisStyle::default(), rows: Vec::new(), width: 860.0 }
    }
}

const ROW: f64 = 26.0;
const LABEL: f64 = 12.0;
const MARGIN: f64 = 20.0;

impl DotPlot {
    /// The plot as a picture.
    ///
    /// # Errors
    /// No group, a group without a value that has a place, or a width that leaves no room.
    pub fn picture(&self) -> Result<Picture> {
        let height = 2.0 * MARGIN + self.height();
        let mut scene = Scene::new(self.width, height, &self.title, self.describe());
        let frame = Rect::new(MARGIN, MARGIN, self.width - 2.0 * MARGIN, self.height());
        self.draw(&mut scene, frame, HEAD_TITLE)?;
        Ok(Picture::new(scene))
    }

    /// The height that the plot needs in a frame.
    pub fn height(&self) -> f64 {
        let head = if self.title.is_empty() { 0.0 } else { 24.0 } + if self.subtitle.is_empty() { 0.0 } else { 18.0 };
        let foot = 26.0 + if self.x.label.is_empty() { 0.0 } else { 20.0 };
        head + 8.0 + ROW * self.rows.len() as f64 + foot
    }

    /// Draws the plot into a part of a scene, its title in the given size.
    pub(super) fn draw(&self, scene: &mut Scene, frame: Rect, title_size: f64) -> Result<()> {
        self.check(frame)?;
        let top = draw_head(scene, frame, title_size, &self.title, &self.subtitle) + 8.0;
        let area = self.area(frame, top);
        let fit = Fit { length: area.w, sideways: true, margin: Some(0.04) };
        let axis = Axis::new(&self.x, self.range(), fit);
        self.draw_axis(scene, area, &axis);
        for (i, row) in self.rows.iter().enumerate() {
            self.draw_row(scene, row, (frame, area, top + ROW * (i as f64 + 0.5)), &axis);
        }
        Ok(())
    }

    /// The plot in words.
    pub(super) fn describe(&self) -> String {
        let row = |r: &DotRow| format!("{}: {} runs, {}.", r.label, r.values.len(), self.value_words(r));
        format!("Dot plot of {}. {}", self.x.label, self.rows.iter().map(row).collect::<Vec<_>>().join(" "))
    }

    fn check(&self, frame: Rect) -> Result<()> {
        check_side("dot plot", "wide", frame.w, 240.0)?;
        if self.rows.is_empty() {
            return Err(Error::argument(format!("the dot plot '{}' has no rows", self.title))
                .with_help("give at least one group of values"));
        }
        match self.rows.iter().find(|r| !r.values.iter().any(|v| self.x.shows(*v))) {
            Some(row) => Err(Error::argument(format!("the row '{}' has no value to show", row.label))
                .with_help("leave it out of the plot")),
            None => Ok(()),
        }
    }

    // Labels to the left, values to the right, and what is left between them.
    fn area(&self, frame: Rect, top: f64) -> Rect {
        let width = |text: &str| Text::new(text).size(LABEL).width();
        let left = self.rows.iter().map(|r| width(&r.label)).fold(0.0, f64::max).min(0.42 * frame.w);
        let right = self.rows.iter().map(|r| width(&self.value_words(r))).fold(0.0, f64::max).min(0.3 * frame.w);
        let x = frame.x + left + 14.0;
        Rect::new(x, top, frame.right() - right - 14.0 - x, ROW * self.rows.len() as f64)
    }

    fn value_words(&self, row: &DotRow) -> String {
        let values: Vec<f64> = row.values.iter().copied().filter(|v| self.x.shows(*v)).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        number(row.mean.map_or(mean, |m| m.0), self.x.unit)
    }

    fn range(&self) -> (f64, f64) {
        let ends = |r: &DotRow| r.mean.map_or(Vec::new(), |(mean, low, high)| vec![mean, low, high]);
        let values = self.rows.iter().flat_map(|r| r.values.iter().copied().chain(ends(r)));
        // An interval may reach below what a logarithm can show; the dots still say where the runs are.
        let shown = values.filter(|v| self.x.shows(*v));
        shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    }

    fn draw_axis(&self, scene: &mut Scene, area: Rect, axis: &Axis) {
        let frame = Stroke::new(Paint::Frame, 1.0);
        scene.line((area.x, area.bottom()), (area.right(), area.bottom()), frame);
        for tick in &axis.ticks {
            let x = area.x + axis.place(tick.value) * area.w;
            scene.line((x, area.y), (x, area.bottom()), Stroke::new(Paint::Grid, 1.0));
            scene.line((x, area.bottom()), (x, area.bottom() + 4.0), frame);
            let half = label_width(&tick.label) / 2.0;
            let text = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::Middle);
            let x = x.clamp(area.x - 10.0 + half, area.right() + 10.0 - half);
            scene.text(text.at(x, area.bottom() + 18.0));
        }
        let label = Text::new(&self.x.label).anchor(Anchor::Middle).fit(area.w);
        scene.text(label.at(area.x + area.w / 2.0, area.bottom() + 38.0));
    }

    fn draw_row(&self, scene: &mut Scene, row: &DotRow, (frame, area, y): (Rect, Rect, f64), axis: &Axis) {
        let paint = Paint::Series(row.colour);
        let room = area.x - frame.x - 14.0;
        scene.text(Text::new(&row.label).size(LABEL).fit(room).anchor(Anchor::End).centred(area.x - 12.0, y));
        let place = |v: f64| area.x + axis.place(v).clamp(0.0, 1.0) * area.w;
        for v in row.values.iter().filter(|v| self.x.shows(**v)) {
            scene.circle((place(*v), y), 4.0, Paint::Tint(row.colour), Stroke::new(paint, 1.0));
        }
        if let Some((mean, low, high)) = row.mean.filter(|m| self.x.shows(m.0)) {
            let end = |v: f64| if self.x.scale == Scale::Log && v <= 0.0 { area.x } else { place(v) };
            scene.line((end(low), y), (end(high), y), Stroke::new(paint, 2.0));
            scene.line((place(mean), y - 8.0), (place(mean), y + 8.0), Stroke::new(paint, 3.0));
        }
        let words = Text::new(self.value_words(row)).size(LABEL).bold().fit(frame.right() - area.right() - 12.0);
        scene.text(words.centred(area.right() + 12.0, y));
    }
}
