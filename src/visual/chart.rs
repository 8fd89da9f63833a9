//! Line charts: title, axes, grid, lines, and names that never lie on the data.
//!
//! 1. The head (title, subtitle) and the foot (label of x, notes) take their height.
//! 2. The names of the lines go to their right ends if they fit there, else into
//!    rows above the plot ([`super::labels`]).
//! 3. What is left is the plot: its axes are fitted, then grid and lines are drawn.

use super::axis::{Axis, AxisStyle, Fit, Scale, TICK_SIZE, label_width, number};
use super::colour::Paint;
use super::labels::Labels;
use super::picture::{HEAD_TITLE, Picture, check_side, draw_head};
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use super::series::{Line, Series, thinned};
use crate::error::{Error, Result};

/// A chart of lines over a common x.
///
/// ```
/// use striate::visual::{AxisStyle, LineChart, Series};
/// let chart = LineChart {
///     title: "Loss".into(),
///     x: AxisStyle::new("update"),
///     series: vec![Series::counted("training", &[2.3, 1.1, 0.6, 0.4])],
///     ..LineChart::default()
/// };
/// let picture = chart.picture()?;
/// assert!(picture.svg().starts_with("<svg"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// What the chart shows.
    pub title: String,
    /// How it came about; may be empty.
    pub subtitle: String,
    /// The axis to the right.
    pub x: AxisStyle,
    /// The axis upwards.
    pub y: AxisStyle,
    /// The lines, drawn in this order.
    pub series: Vec<Series>,
    /// The width of the picture.
    pub width: f64,
    /// The height of the picture.
    pub height: f64,
}

impl Default for LineChart {
    fn default() -> Self {
        let (x, y) = (AxisStyle::default(), AxisStyle::default());
        Self { title: String::new(), subtitle: String::new(), x, y, series: Vec::new(), width: 860.0, height: 440.0 }
    }
}

/// Lines with more points than this have no markers.
const MOST_MARKERS: usize = 40;
const NOTE_SIZE: f64 = 11.0;
const NOTE_STEP: f64 = 16.0;

impl LineChart {
    /// The chart as a picture.
    ///
    /// # Errors
    ///
    /// No series, a series without points or whose x falls, or a picture too small for a chart.
    pub fn picture(&self) -> Result<Picture> {
        let mut scene = Scene::new(self.width, self.height, &self.title, self.describe());
        let margin = 20.0;
        let frame = Rect::new(margin, margin, self.width - 2.0 * margin, self.height - 2.0 * margin);
        self.draw(&mut scene, frame, HEAD_TITLE)?;
        Ok(Picture::new(scene))
    }

    /// Draws the chart into a part of a scene, its title in the given size.
    pub(super) fn draw(&self, scene: &mut Scene, frame: Rect, title_size: f64) -> Result<()> {
        self.check(frame)?;
        let head = draw_head(scene, frame, title_size, &self.title, &self.subtitle) + 8.0;
        let notes = self.notes();
        let foot = 26.0 + if self.x.label.is_empty() { 0.0 } else { 18.0 } + NOTE_STEP * notes.len() as f64;
        let body = Rect::new(frame.x, head, frame.w, frame.bottom() - foot - head);
        let labels = Labels::new(self, body);
        let plot = Plot::new(self, body, &labels);
        plot.draw(scene);
        labels.draw(scene, &plot);
        for (i, note) in notes.iter().enumerate() {
            let y = frame.bottom() - 3.0 - NOTE_STEP * (notes.len() - 1 - i) as f64;
            scene.text(Text::new(note).size(NOTE_SIZE).paint(Paint::Muted).fit(frame.w).at(frame.x, y));
        }
        Ok(())
    }

    /// The chart in words.
    pub(super) fn describe(&self) -> String {
        let lines: Vec<String> = self.series.iter().map(|s| self.describe_series(s)).collect();
        format!("Line chart of {} over {}. {}", or(&self.y.label, &self.title), or(&self.x.label, "x"), lines.join(" "))
    }

    fn describe_series(&self, series: &Series) -> String {
        let Some(last) = series.points.last() else { return String::new() };
        let best = series.best_point(&self.x, &self.y).map(|p| format!(", {}", self.best_words(p))).unwrap_or_default();
        let count = series.points.len();
        format!("{}: {count} points, last {}{best}.", series.name, number(last.1, self.y.unit))
    }

    /// As in "best 97.40 % at epoch 7".
    pub(super) fn best_words(&self, (x, y): (f64, f64)) -> String {
        let x_name = self.x.label.split(['(', ',']).next().unwrap_or("").trim().to_lowercase();
        let gap = if x_name.is_empty() { "" } else { " " };
        format!("best {} at {x_name}{gap}{}", number(y, self.y.unit), number(x, self.x.unit))
    }

    fn check(&self, frame: Rect) -> Result<()> {
        check_side("chart", "wide", frame.w, 240.0)?;
        check_side("chart", "high", frame.h, 220.0)?;
        if self.series.is_empty() {
            return Err(Error::argument(format!("the chart '{}' has no series", self.title))
                .with_help("give at least one series of points"));
        }
        self.series.iter().try_for_each(check_series)
    }

    // Gaps are said, not hidden.
    fn notes(&self) -> Vec<String> {
        let why = match self.y.scale {
            Scale::Linear => "NaN or infinite",
            Scale::Log => "NaN, infinite or not positive",
        };
        let missing = |s: &Series| s.points.len() - s.runs(&self.x, &self.y).iter().map(|r| r.len()).sum::<usize>();
        let told =
            |s: &Series| format!("{}: {} of {} points are {why} and left out", s.name, missing(s), s.points.len());
        let mut notes: Vec<String> = self.series.iter().filter(|s| missing(s) > 0).map(told).collect();
        if notes.len() > 3 {
            let more = notes.len() - 2;
            notes.truncate(2);
            notes.push(format!("{more} more series have points that are {why} and left out"));
        }
        notes
    }
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

fn check_series(series: &Series) -> Result<()> {
    let name = &series.name;
    if series.points.is_empty() {
        return Err(
            Error::argument(format!("the series '{name}' has no points")).with_help("leave it out of the chart")
        );
    }
    match series.points.windows(2).position(|w| w[1].0 < w[0].0) {
        Some(i) => Err(Error::argument(format!(
            "the series '{name}' goes back from x = {} to {} at point {}",
            series.points[i].0,
            series.points[i + 1].0,
            i + 1
        ))
        .with_help("sort its points by x")),
        None => Ok(()),
    }
}

/// The area of a chart where its lines are, with its axes.
pub(super) struct Plot<'a> {
    chart: &'a LineChart,
    pub(super) area: Rect,
    x: Axis,
    y: Axis,
}

impl<'a> Plot<'a> {
    fn new(chart: &'a LineChart, body: Rect, labels: &Labels<'_>) -> Self {
        let top = body.y + labels.height() + 6.0;
        let fit = Fit { length: body.bottom() - top, sideways: false, margin: None };
        let y = Axis::new(&chart.y, range(chart, |p| p.1), fit);
        let widest = y.ticks.iter().map(|t| label_width(&t.label)).fold(0.0, f64::max);
        let left = body.x + widest + 8.0 + if chart.y.label.is_empty() { 0.0 } else { 20.0 };
        let right = body.right() - labels.margin().max(26.0);
        let markers = chart.series.iter().any(has_markers);
        let fit = Fit { length: right - left, sideways: true, margin: Some(if markers { 0.02 } else { 0.0 }) };
        let x = Axis::new(&chart.x, range(chart, |p| p.0), fit);
        Self { chart, area: Rect::new(left, top, right - left, body.bottom() - top), x, y }
    }

    /// The place of a point on the page.
    pub(super) fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.area.x + self.x.place(x) * self.area.w, self.area.bottom() - self.y.place(y) * self.area.h)
    }

    fn draw(&self, scene: &mut Scene) {
        self.draw_y_axis(scene);
        self.draw_x_axis(scene);
        for series in &self.chart.series {
            self.draw_line(scene, series);
        }
        for series in &self.chart.series {
            self.draw_best(scene, series);
            self.draw_points(scene, series);
        }
        if self.chart.series.iter().all(|s| s.runs(&self.chart.x, &self.chart.y).is_empty()) {
            let (x, y) = (self.area.x + self.area.w / 2.0, self.area.y + self.area.h / 2.0);
            let text = Text::new("no value to show").paint(Paint::Muted).anchor(Anchor::Middle);
            scene.fill(Rect::new(x - 60.0, y - 10.0, 120.0, 20.0), Paint::Page);
            scene.text(text.centred(x, y));
        }
    }

    fn draw_y_axis(&self, scene: &mut Scene) {
        let (area, label) = (self.area, &self.chart.y.label);
        for tick in &self.y.ticks {
            let y = area.bottom() - self.y.place(tick.value) * area.h;
            scene.line((area.x, y), (area.right(), y), Stroke::new(Paint::Grid, 1.0));
            let text = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::End);
            scene.text(text.centred(area.x - 8.0, y));
        }
        let widest = self.y.ticks.iter().map(|t| label_width(&t.label)).fold(0.0, f64::max);
        let text = Text::new(label).fit(area.h).paint(Paint::Ink).anchor(Anchor::Middle).upwards();
        scene.text(text.at(area.x - widest - 17.0, area.y + area.h / 2.0));
    }

    fn draw_x_axis(&self, scene: &mut Scene) {
        let area = self.area;
        let frame = Stroke::new(Paint::Frame, 1.0);
        scene.line((area.x, area.bottom()), (area.right(), area.bottom()), frame);
        for tick in &self.x.ticks {
            let x = area.x + self.x.place(tick.value) * area.w;
            scene.line((x, area.bottom()), (x, area.bottom() + 4.0), frame);
            let text = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::Middle);
            scene.text(text.at(x, area.bottom() + 18.0));
        }
        let text = Text::new(&self.chart.x.label).fit(area.w).anchor(Anchor::Middle);
        scene.text(text.at(area.x + area.w / 2.0, area.bottom() + 38.0));
    }

    fn draw_line(&self, scene: &mut Scene, series: &Series) {
        for run in series.runs(&self.chart.x, &self.chart.y) {
            let places: Vec<(f64, f64)> = run.iter().map(|p| self.place(*p)).collect();
            scene.polyline(thinned(&places), stroke(series));
        }
    }

    fn draw_best(&self, scene: &mut Scene, series: &Series) {
        if let Some(best) = series.best_point(&self.chart.x, &self.chart.y).filter(|_| series.points.len() > 1) {
            scene.circle(self.place(best), 6.0, Paint::Page, Stroke::new(Paint::Series(series.colour), 1.5));
            scene.circle(self.place(best), 2.5, Paint::Series(series.colour), Stroke::new(Paint::Page, 0.0));
        }
    }

    // A point between two gaps has no line, so it needs a marker to be seen at all.
    fn draw_points(&self, scene: &mut Scene, series: &Series) {
        let all = has_markers(series);
        for run in series.runs(&self.chart.x, &self.chart.y) {
            for point in run.iter().filter(|_| all || run.len() == 1) {
                marker(scene, series.colour, self.place(*point));
            }
        }
    }
}

/// Whether each point of a series is marked.
pub(super) fn has_markers(series: &Series) -> bool {
    series.line != Line::Faint && series.points.len() <= MOST_MARKERS
}

/// The stroke of a series.
pub(super) fn stroke(series: &Series) -> Stroke {
    let plain = Stroke::new(Paint::Series(series.colour), 2.0);
    match series.line {
        Line::Solid => plain,
        Line::Dashed => plain.dash(&[7.0, 4.0]),
        Line::Dotted => plain.dash(&[2.0, 3.0]),
        Line::Faint => Stroke { width: 1.0, ..plain }.opacity(0.35),
    }
}

/// The marker of a colour: each colour has its own shape, for eyes that see no colour.
pub(super) fn marker(scene: &mut Scene, colour: usize, (x, y): (f64, f64)) {
    let paint = Paint::Series(colour);
    let at = |corners: &[(f64, f64)]| corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
    match colour % 4 {
        0 => scene.circle((x, y), 3.2, paint, Stroke::new(Paint::Page, 0.0)),
        1 => scene.fill(Rect::new(x - 3.0, y - 3.0, 6.0, 6.0), paint),
        2 => scene.polygon(at(&[(0.0, -4.2), (3.9, 2.8), (-3.9, 2.8)]), paint),
        _ => scene.polygon(at(&[(0.0, -4.4), (4.4, 0.0), (0.0, 4.4), (-4.4, 0.0)]), paint),
    }
}

/// The range of one coordinate over all points that have a place; 0 to 1, or 1 to 10, if none has.
fn range(chart: &LineChart, pick: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
    let runs = chart.series.iter().flat_map(|s| s.runs(&chart.x, &chart.y));
    let values = runs.flatten().map(pick);
    let (lo, hi) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
    if lo <= hi { (lo, hi) } else { (1.0, 10.0) }
}
