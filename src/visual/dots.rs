//! Dot plots: a mean with its interval in each row, the single values under it.

use super::axis::{Axis, AxisStyle, Fit, TICK_SIZE, label_width};
use super::chart::marker;
use super::colour::Paint;
use super::font::{self, Weight};
use super::picture::{HEAD_TITLE, Picture, draw_head};
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use crate::error::{Error, Result};

/// A row of a dot plot.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DotRow {
    /// Its name.
    pub name: String,
    /// The mean; NaN if there is none.
    pub mean: f64,
    /// The interval of the mean.
    pub interval: Option<(f64, f64)>,
    /// The values that the mean is of.
    pub values: Vec<f64>,
    /// What stands to the right of the row.
    pub note: String,
    /// The number of its colour.
    pub colour: usize,
}

/// Means with their intervals, a row each.
///
/// ```
/// use striate::visual::{AxisStyle, DotPlot, DotRow, Unit};
/// let row = DotRow { name: "adam".into(), mean: 0.98, interval: Some((0.975, 0.985)), ..DotRow::default() };
/// let plot = DotPlot { title: "Accuracy".into(), rows: vec![row], x: AxisStyle::default().unit(Unit::Percent), ..DotPlot::default() };
/// assert!(plot.picture()?.svg().contains("adam"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DotPlot {
    /// What it shows.
    pub title: String,
    /// How it came about; may be empty.
    pub subtitle: String,
    /// The axis of the values.
    pub x: AxisStyle,
    /// What the notes are; may be empty.
    pub notes: String,
    /// The rows, from the top.
    pub rows: Vec<DotRow>,
}

const WIDTH: f64 = 900.0;
const ROW: f64 = 38.0;
const MARGIN: f64 = 22.0;
const NAME: f64 = 13.0;
const NOTE: f64 = 11.5;
const MOST: usize = 100;

impl DotPlot {
    /// The plot as a picture.
    ///
    /// # Errors
    /// No row, or more than 100.
    pub fn picture(&self) -> Result<Picture> {
        let mut scene = Scene::new(WIDTH, self.height() + 2.0 * MARGIN, &self.title, self.describe());
        let frame = Rect::new(MARGIN, MARGIN, WIDTH - 2.0 * MARGIN, self.height());
        self.draw(&mut scene, frame, HEAD_TITLE)?;
        Ok(Picture::new(scene))
    }

    /// The height of the frame that the plot fills.
    pub(super) fn height(&self) -> f64 {
        self.head() + self.rows.len() as f64 * ROW + 46.0
    }

    fn head(&self) -> f64 {
        let title = if self.title.is_empty() { 0.0 } else { 34.0 };
        title + if self.subtitle.is_empty() { 0.0 } else { 18.0 } + 16.0
    }

    /// Draws the plot into a part of a scene, its title in the given size.
    pub(super) fn draw(&self, scene: &mut Scene, frame: Rect, title_size: f64) -> Result<()> {
        let n = self.rows.len();
        if n == 0 || n > MOST {
            return Err(Error::argument(format!("{n} rows make no dot plot")).with_help(format!("give 1 to {MOST}")));
        }
        draw_head(scene, frame, title_size, &self.title, &self.subtitle);
        let widest = |size, weight, text: fn(&DotRow) -> &str| {
            self.rows.iter().map(|row| font::width(text(row), size, weight)).fold(0.0, f64::max)
        };
        let names = widest(NAME, Weight::SemiBold, |row| &row.name).min(0.36 * frame.w);
        let notes = widest(NOTE, Weight::Regular, |row| &row.note);
        let notes = notes.max(font::width(&self.notes, TICK_SIZE, Weight::Regular)).min(0.34 * frame.w);
        let (left, top) = (frame.x + names + 16.0, frame.y + self.head());
        let area = Rect::new(left, top, frame.right() - notes - 22.0 - left, n as f64 * ROW);
        let axis = Axis::new(&self.x, self.range(), Fit { length: area.w, sideways: true, margin: Some(0.03) });
        self.draw_axis(scene, area, &axis);
        let note = Text::new(&self.notes).size(TICK_SIZE).paint(Paint::Muted).fit(notes);
        scene.text(note.at(area.right() + 22.0, area.y - 6.0));
        for (i, row) in self.rows.iter().enumerate() {
            let y = area.y + (i as f64 + 0.5) * ROW;
            scene.text(Text::new(&row.name).size(NAME).bold().fit(names).anchor(Anchor::End).centred(left - 16.0, y));
            scene.text(Text::new(&row.note).size(NOTE).fit(notes).centred(area.right() + 22.0, y));
            self.draw_row(scene, row, (area, &axis), y);
        }
        Ok(())
    }

    fn draw_axis(&self, scene: &mut Scene, area: Rect, axis: &Axis) {
        for i in 1..self.rows.len() {
            let y = area.y + i as f64 * ROW;
            scene.line((area.x, y), (area.right(), y), Stroke::new(Paint::Grid, 0.6));
        }
        scene.line((area.x, area.bottom()), (area.right(), area.bottom()), Stroke::new(Paint::Frame, 1.0));
        for tick in &axis.ticks {
            let x = area.x + axis.place(tick.value) * area.w;
            scene.line((x, area.y), (x, area.bottom()), Stroke::new(Paint::Grid, 1.0));
            scene.line((x, area.bottom()), (x, area.bottom() + 4.0), Stroke::new(Paint::Frame, 1.0));
            // In the plot or a little beside it, where no neighbour is.
            let half = label_width(&tick.label) / 2.0;
            let x = x.clamp(area.x - 14.0 + half, area.right() + 20.0 - half);
            let text = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::Middle);
            scene.text(text.at(x, area.bottom() + 18.0));
        }
        let label = Text::new(&self.x.label).fit(area.w).anchor(Anchor::Middle);
        scene.text(label.at(area.x + area.w / 2.0, area.bottom() + 38.0));
    }

    // The interval in the upper half, the values in the lower one.
    fn draw_row(&self, scene: &mut Scene, row: &DotRow, (area, axis): (Rect, &Axis), y: f64) {
        let x = |v: f64| area.x + axis.place(v) * area.w;
        let paint = Paint::Series(row.colour);
        for v in row.values.iter().filter(|v| self.x.shows(**v)) {
            scene.circle((x(*v), y + 9.0), 3.0, Paint::Tint(row.colour), Stroke::new(paint, 0.8));
        }
        let middle = y - 4.0;
        if let Some((low, high)) = row.interval.filter(|(low, high)| self.x.shows(*low) && self.x.shows(*high)) {
            let line = Stroke::new(paint, 2.4);
            scene.line((x(low), middle), (x(high), middle), line);
            for end in [low, high] {
                scene.line((x(end), middle - 5.0), (x(end), middle + 5.0), Stroke::new(paint, 1.6));
            }
        }
        if self.x.shows(row.mean) {
            marker(scene, row.colour, (x(row.mean), middle));
        }
    }

    fn range(&self) -> (f64, f64) {
        let of = |row: &DotRow| {
            let ends = row.interval.map_or([row.mean; 2], |(low, high)| [low, high]);
            row.values.iter().copied().chain(ends).chain([row.mean]).collect::<Vec<f64>>()
        };
        let shown = self.rows.iter().flat_map(of).filter(|v| self.x.shows(*v));
        let (lo, hi) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if lo <= hi { (lo, hi) } else { (0.0, 1.0) }
    }

    pub(super) fn describe(&self) -> String {
        let one = |row: &DotRow| format!("{}: {}.", row.name, row.note);
        let rows: Vec<String> = self.rows.iter().map(one).collect();
        format!("{} of each, with its interval. {}", self.x.label, rows.join(" "))
    }
}
