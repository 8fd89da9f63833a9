//! Dot plots: a mean with its interval in each row, the single values under it; words beside the rows, or over them on a
//! phone.

use super::axis::{Axis, AxisStyle, Fit, TICK_SIZE, label_width, number};
use super::chart::marker;
use super::colour::Paint;
use super::font::{self, Weight};
use super::picture::{HEAD_TITLE, Picture, check_side, draw_head};
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
/// In a frame of less than 400 units, as a phone has, the name and the note of a row stand over it, else beside it.
///
/// ```
/// use striate::visual::{AxisStyle, DotPlot, DotRow, Unit};
/// let row = DotRow { name: "adam".into(), mean: 0.98, interval: Some((0.975, 0.985)), ..DotRow::default() };
/// let plot = DotPlot { title: "Accuracy".into(), rows: vec![row], x: AxisStyle::default().unit(Unit::Percent), ..DotPlot::default() };
/// assert!(plot.picture()?.svg().contains("adam"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DotPlot {
    /// What it shows; may be empty.
    pub title: String,
    /// How it came about; may be empty.
    pub subtitle: String,
    /// The axis of the values.
    pub x: AxisStyle,
    /// What the notes are, where they stand beside the rows; may be empty.
    pub notes: String,
    /// The rows, from the top.
    pub rows: Vec<DotRow>,
    /// The width of the picture; on a sheet that of its item counts.
    pub width: f64,
}

impl Default for DotPlot {
    fn default() -> Self {
        let (title, subtitle, notes) = (String::new(), String::new(), String::new());
        Self { title, subtitle, x: AxisStyle::default(), notes, rows: Vec::new(), width: 900.0 }
    }
}

const NAME: f64 = 13.0;
const NOTE: f64 = 11.5;
const MOST: usize = 100;
// A narrower frame has no room for words beside the rows.
const NARROW: f64 = 400.0;
const LEAST: f64 = 200.0;

// Where the rows are, and the room of the words beside them.
struct Layout {
    area: Rect,
    row: f64,
    // How far from the top of a row its interval and its values lie.
    middle: f64,
    low: f64,
    words: Words,
}

enum Words {
    Beside { names: f64, notes: f64 },
    Over,
}

impl DotPlot {
    /// The plot as a picture.
    ///
    /// # Errors
    /// No row, or more than 100, or a width below 230.
    pub fn picture(&self) -> Result<Picture> {
        let margin = if self.width < NARROW { 14.0 } else { 22.0 };
        let inner = self.width - 2.0 * margin;
        check_side("dot plot", "wide", inner, LEAST)?;
        let height = self.height(inner);
        // A picture needs a name, shown or not.
        let title = if self.title.is_empty() { &self.x.label } else { &self.title };
        let mut scene = Scene::new(self.width, height + 2.0 * margin, title, self.describe());
        self.draw(&mut scene, Rect::new(margin, margin, inner, height), HEAD_TITLE)?;
        Ok(Picture::new(scene))
    }

    /// The height of the frame that the plot fills, if it is so wide.
    pub(super) fn height(&self, width: f64) -> f64 {
        self.head(width) + self.rows.len() as f64 * self.row(width) + if self.x.label.is_empty() { 26.0 } else { 46.0 }
    }

    fn head(&self, width: f64) -> f64 {
        let title = if self.title.is_empty() { 0.0 } else { 34.0 };
        let notes = if width < NARROW { 0.0 } else { 16.0 };
        title + if self.subtitle.is_empty() { 0.0 } else { 18.0 } + notes
    }

    fn row(&self, width: f64) -> f64 {
        match width < NARROW {
            true if self.rows.iter().all(|row| row.values.is_empty()) => 46.0,
            true => 58.0,
            false => 38.0,
        }
    }

    fn layout(&self, frame: Rect) -> Layout {
        let (top, row) = (frame.y + self.head(frame.w), self.row(frame.w));
        let height = self.rows.len() as f64 * row;
        if frame.w < NARROW {
            // Room at both ends for half a label.
            let area = Rect::new(frame.x + 14.0, top, frame.w - 28.0, height);
            return Layout { area, row, middle: 30.0, low: 43.0, words: Words::Over };
        }
        let widest = |size, weight, text: fn(&DotRow) -> &str| {
            self.rows.iter().map(|row| font::width(text(row), size, weight)).fold(0.0, f64::max)
        };
        let names = widest(NAME, Weight::SemiBold, |row| &row.name).min(0.36 * frame.w);
        let notes = widest(NOTE, Weight::Regular, |row| &row.note);
        let notes = notes.max(font::width(&self.notes, TICK_SIZE, Weight::Regular)).min(0.34 * frame.w);
        let left = frame.x + names + 16.0;
        let area = Rect::new(left, top, frame.right() - notes - 22.0 - left, height);
        Layout { area, row, middle: 15.0, low: 28.0, words: Words::Beside { names, notes } }
    }

    /// Draws the plot into a part of a scene, its title in the given size.
    pub(super) fn draw(&self, scene: &mut Scene, frame: Rect, title_size: f64) -> Result<()> {
        let n = self.rows.len();
        if n == 0 || n > MOST {
            return Err(Error::argument(format!("{n} rows make no dot plot")).with_help(format!("give 1 to {MOST}")));
        }
        draw_head(scene, frame, title_size, &self.title, &self.subtitle);
        let layout = self.layout(frame);
        let area = layout.area;
        let axis = Axis::new(&self.x, self.range(), Fit { length: area.w, sideways: true, margin: Some(0.03) });
        self.draw_axis(scene, &layout, &axis);
        if let Words::Beside { notes, .. } = layout.words {
            let note = Text::new(&self.notes).size(TICK_SIZE).paint(Paint::Muted).fit(notes);
            scene.text(note.at(area.right() + 22.0, area.y - 6.0));
        }
        for (i, row) in self.rows.iter().enumerate() {
            let y = area.y + i as f64 * layout.row;
            draw_words(scene, row, &layout, y);
            self.draw_row(scene, row, (&layout, &axis), y);
        }
        Ok(())
    }

    fn draw_axis(&self, scene: &mut Scene, layout: &Layout, axis: &Axis) {
        let area = layout.area;
        for i in 1..self.rows.len() {
            let y = area.y + i as f64 * layout.row;
            scene.line((area.x, y), (area.right(), y), Stroke::new(Paint::Grid, 0.6));
        }
        scene.line((area.x, area.bottom()), (area.right(), area.bottom()), Stroke::new(Paint::Frame, 1.0));
        for tick in &axis.ticks {
            let x = area.x + axis.place(tick.value) * area.w;
            draw_grid(scene, layout, self.rows.len(), x);
            scene.line((x, area.bottom()), (x, area.bottom() + 4.0), Stroke::new(Paint::Frame, 1.0));
            // In the plot or a little beside it, where no neighbour is.
            let beside = if matches!(layout.words, Words::Over) { 14.0 } else { 20.0 };
            let half = label_width(&tick.label) / 2.0;
            let x = x.clamp(area.x - 14.0 + half, area.right() + beside - half);
            let text = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::Middle);
            scene.text(text.at(x, area.bottom() + 18.0));
        }
        let label = Text::new(&self.x.label).fit(area.w).anchor(Anchor::Middle);
        scene.text(label.at(area.x + area.w / 2.0, area.bottom() + 38.0));
    }

    // The interval, and the values under it.
    fn draw_row(&self, scene: &mut Scene, row: &DotRow, (layout, axis): (&Layout, &Axis), y: f64) {
        let x = |v: f64| layout.area.x + axis.place(v) * layout.area.w;
        let paint = Paint::Series(row.colour);
        for v in row.values.iter().filter(|v| self.x.shows(**v)) {
            scene.circle((x(*v), y + layout.low), 3.0, Paint::Tint(row.colour), Stroke::new(paint, 0.8));
        }
        let middle = y + layout.middle;
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
        // On a phone the notes are short, so the interval is told, too.
        let interval = |row: &DotRow| row.interval.filter(|_| self.width < NARROW);
        let one = |row: &DotRow| match interval(row).map(|(low, high)| [low, high].map(|v| number(v, self.x.unit))) {
            Some([low, high]) => format!("{}: {}, interval {low} to {high}.", row.name, row.note),
            None => format!("{}: {}.", row.name, row.note),
        };
        let rows: Vec<String> = self.rows.iter().map(one).collect();
        format!("{} of each, with its interval. {}", self.x.label, rows.join(" "))
    }
}

// A line upwards through all rows; under words it would cross them.
fn draw_grid(scene: &mut Scene, layout: &Layout, rows: usize, x: f64) {
    let (area, grid) = (layout.area, Stroke::new(Paint::Grid, 1.0));
    match layout.words {
        Words::Beside { .. } => scene.line((x, area.y), (x, area.bottom()), grid),
        Words::Over => {
            for top in (0..rows).map(|i| area.y + i as f64 * layout.row) {
                scene.line((x, top + 22.0), (x, top + layout.row), grid);
            }
        }
    }
}

// The name and the note of a row whose top is at `y`.
fn draw_words(scene: &mut Scene, row: &DotRow, layout: &Layout, y: f64) {
    let area = layout.area;
    match layout.words {
        Words::Beside { names, notes } => {
            let middle = y + layout.row / 2.0;
            let name = Text::new(&row.name).size(NAME).bold().fit(names).anchor(Anchor::End);
            scene.text(name.centred(area.x - 16.0, middle));
            scene.text(Text::new(&row.note).size(NOTE).fit(notes).centred(area.right() + 22.0, middle));
        }
        Words::Over => {
            let (left, right, baseline) = (area.x - 14.0, area.right() + 14.0, y + 16.0);
            let note = Text::new(&row.note).size(NAME).bold().fit(0.6 * (right - left)).anchor(Anchor::End);
            let name = Text::new(&row.name).size(NAME).fit(right - left - note.width() - 12.0);
            scene.text(name.at(left, baseline));
            scene.text(note.at(right, baseline));
        }
    }
}
