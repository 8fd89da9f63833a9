//! Small multiples: one panel for each of many things, all with the same axes.
//!
//! Eight lines in one chart are a tangle. Here each has a panel of its own with its band, and the others' lines stand
//! behind it, thin and grey, to compare with.
//!
//! 1. The range of the axes is that of all lines, bands and marks together.
//! 2. The panels stand in rows; numbers are written at the left and at the foot of the page alone.

use super::axis::{Axis, AxisStyle, Fit, TICK_SIZE, label_width};
use super::chart::stroke;
use super::colour::Paint;
use super::picture::{HEAD_TITLE, Picture, draw_head};
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use super::series::{Series, thinned};
use crate::error::{Error, Result};

/// One panel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Multiple {
    /// What it shows.
    pub title: String,
    /// A number or two under the title; may be empty.
    pub note: String,
    /// The line, `(x, y)`; a point that has no place is a gap.
    pub line: Vec<(f64, f64)>,
    /// Around the line, `(x, low, high)`; may be empty.
    pub band: Vec<(f64, f64, f64)>,
    /// Thin lines that break off at a cross. They do not widen the axes, unless there is nothing else: what leaves the
    /// panel runs along its edge.
    pub broken: Vec<Vec<(f64, f64)>>,
    /// A point that is ringed.
    pub mark: Option<(f64, f64)>,
    /// The number of its colour.
    pub colour: usize,
}

/// Panels with common axes.
///
/// ```
/// use striate::visual::{AxisStyle, Multiple, Multiples};
/// let panel = |title: &str, slope: f64| Multiple {
///     title: title.into(),
///     line: (1..=5).map(|i| (f64::from(i), 2.0 - slope * f64::from(i))).collect(),
///     ..Multiple::default()
/// };
/// let page = Multiples {
///     title: "Two optimisers".into(),
///     x: AxisStyle::new("Update"),
///     y: AxisStyle::new("Loss"),
///     panels: vec![panel("sgd", 0.1), panel("adam", 0.3)],
///     ..Multiples::default()
/// };
/// assert!(page.picture()?.svg().contains("adam"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Multiples {
    /// What the page shows.
    pub title: String,
    /// How it came about; may be empty.
    pub subtitle: String,
    /// The axis to the right.
    pub x: AxisStyle,
    /// The axis upwards.
    pub y: AxisStyle,
    /// The panels, row by row.
    pub panels: Vec<Multiple>,
    /// Whether each point of a line has a dot.
    pub dots: bool,
}

const CELL: (f64, f64) = (230.0, 138.0);
const GAP: (f64, f64) = (34.0, 16.0);
const TITLE: f64 = 38.0;
const MARGIN: f64 = 22.0;
const MOST: usize = 64;

impl Multiples {
    /// The page.
    ///
    /// # Errors
    /// No panel, or more than 64.
    pub fn picture(&self) -> Result<Picture> {
        let n = self.panels.len();
        if n == 0 || n > MOST {
            return Err(Error::argument(format!("{n} panels make no page")).with_help(format!("give 1 to {MOST}")));
        }
        let columns = columns(n);
        let (xs, ys) = (self.range(true), self.range(false));
        let fit = Fit { length: CELL.1, sideways: false, margin: None };
        let y = Axis::new(&self.y, ys, fit);
        let fit = Fit { length: CELL.0, sideways: true, margin: Some(0.02) };
        let x = Axis::new(&self.x, xs, fit);
        let left = MARGIN + 20.0 + y.ticks.iter().map(|t| label_width(&t.label)).fold(0.0, f64::max) + 8.0;
        let head = MARGIN + if self.subtitle.is_empty() { 30.0 } else { 48.0 };
        let rows = n.div_ceil(columns);
        let width = left + columns as f64 * (CELL.0 + GAP.0) - GAP.0 + MARGIN;
        let height = head + rows as f64 * (TITLE + CELL.1 + GAP.1) - GAP.1 + 44.0 + MARGIN;
        let mut scene = Scene::new(width, height, &self.title, self.describe());
        draw_head(
            &mut scene,
            Rect::new(MARGIN, MARGIN, width - 2.0 * MARGIN, head),
            HEAD_TITLE,
            &self.title,
            &self.subtitle,
        );
        for i in 0..n {
            let (column, row) = ((i % columns) as f64, (i / columns) as f64);
            let top = head + row * (TITLE + CELL.1 + GAP.1) + TITLE;
            let area = Rect::new(left + column * (CELL.0 + GAP.0), top, CELL.0, CELL.1);
            let panel = Panel { page: self, area, x: &x, y: &y };
            panel.draw(&mut scene, i, (i % columns == 0, i + columns >= n));
        }
        let words = Text::new(&self.x.label).fit(width - left - MARGIN).anchor(Anchor::Middle);
        scene.text(words.at(left + (width - left - MARGIN) / 2.0, height - MARGIN));
        let words = Text::new(&self.y.label).fit(height - head - MARGIN).anchor(Anchor::Middle).upwards();
        scene.text(words.at(MARGIN + 8.0, head + (height - head - MARGIN) / 2.0));
        Ok(Picture::new(scene))
    }

    // The range of x or y over all that has a place; 1 to 10 if nothing has.
    fn range(&self, of_x: bool) -> (f64, f64) {
        let style = if of_x { &self.x } else { &self.y };
        let pick = |p: &(f64, f64)| if of_x { p.0 } else { p.1 };
        let lines = self.panels.iter().flat_map(|p| p.line.iter().chain(&p.mark).map(pick));
        let bands = self.panels.iter().flat_map(|p| &p.band);
        let bands = bands.flat_map(|b| if of_x { [b.0, b.0] } else { [b.1, b.2] });
        let broken = self.panels.iter().flat_map(|p| &p.broken).flatten().map(pick);
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            let shown = values.filter(|v| style.shows(*v));
            shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)))
        };
        let firm = ends(&mut lines.chain(bands));
        let (lo, hi) = if firm.0 <= firm.1 { firm } else { ends(&mut broken.into_iter()) };
        if lo <= hi { (lo, hi) } else { (1.0, 10.0) }
    }

    fn describe(&self) -> String {
        let one = |p: &Multiple| format!("{}: {}.", p.title, p.note);
        let panels: Vec<String> = self.panels.iter().map(one).collect();
        format!("{} over {}, a panel each. {}", self.y.label, self.x.label, panels.join(" "))
    }
}

// As near to a page that is wider than high as whole rows allow.
fn columns(n: usize) -> usize {
    match n {
        1..=3 => n,
        4 => 2,
        5..=9 => 3,
        _ => 4,
    }
}

struct Panel<'a> {
    page: &'a Multiples,
    area: Rect,
    x: &'a Axis,
    y: &'a Axis,
}

impl Panel<'_> {
    fn draw(&self, scene: &mut Scene, i: usize, (is_left, is_last): (bool, bool)) {
        let (own, area) = (&self.page.panels[i], self.area);
        scene.text(Text::new(&own.title).size(13.0).bold().fit(area.w).at(area.x, area.y - 23.0));
        scene.text(Text::new(&own.note).size(11.0).paint(Paint::Muted).fit(area.w).at(area.x, area.y - 8.0));
        self.draw_axes(scene, is_left, is_last);
        self.draw_band(scene, own);
        for other in self.page.panels.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| p) {
            self.draw_line(scene, other, Stroke::new(Paint::Frame, 0.9).opacity(0.6));
        }
        self.draw_line(scene, own, stroke(&Series::new("", Vec::new()).colour(own.colour)));
        own.broken.iter().for_each(|line| self.draw_broken(scene, line, own.colour));
        let paint = Paint::Series(own.colour);
        let places = own.line.iter().filter(|p| self.shows(**p)).map(|p| self.place(*p));
        if self.page.dots {
            places.for_each(|place| scene.circle(place, 2.6, paint, Stroke::new(Paint::Page, 0.0)));
        }
        if let Some(mark) = own.mark.filter(|p| self.shows(*p)) {
            scene.circle(self.place(mark), 6.0, Paint::Page, Stroke::new(paint, 1.6));
            scene.circle(self.place(mark), 2.6, paint, Stroke::new(Paint::Page, 0.0));
        }
    }

    fn draw_axes(&self, scene: &mut Scene, is_left: bool, is_last: bool) {
        let area = self.area;
        for tick in &self.y.ticks {
            let y = area.bottom() - self.y.place(tick.value) * area.h;
            scene.line((area.x, y), (area.right(), y), Stroke::new(Paint::Grid, 1.0));
            let text = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::End);
            if is_left {
                scene.text(text.centred(area.x - 8.0, y));
            }
        }
        let frame = Stroke::new(Paint::Frame, 1.0);
        scene.line((area.x, area.bottom()), (area.right(), area.bottom()), frame);
        for tick in &self.x.ticks {
            let x = area.x + self.x.place(tick.value) * area.w;
            scene.line((x, area.bottom()), (x, area.bottom() + 4.0), frame);
            let text = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::Middle);
            if is_last {
                scene.text(text.at(x, area.bottom() + 18.0));
            }
        }
    }

    fn draw_band(&self, scene: &mut Scene, own: &Multiple) {
        let shown = |b: &(f64, f64, f64)| self.shows((b.0, b.1)) && self.shows((b.0, b.2));
        for run in own.band.split(|b| !shown(b)) {
            let upper = run.iter().map(|b| self.place((b.0, b.2)));
            let lower = run.iter().rev().map(|b| self.place((b.0, b.1)));
            scene.polygon(upper.chain(lower).collect(), Paint::Tint(own.colour));
        }
    }

    fn draw_line(&self, scene: &mut Scene, panel: &Multiple, stroke: Stroke) {
        for run in panel.line.split(|p| !self.shows(*p)) {
            let places: Vec<(f64, f64)> = run.iter().map(|p| self.place(*p)).collect();
            scene.polyline(thinned(&places), stroke);
        }
    }

    fn draw_broken(&self, scene: &mut Scene, line: &[(f64, f64)], colour: usize) {
        // Half the size of the cross, which has to lie in the panel.
        const ARM: f64 = 4.0;
        let area = self.area;
        let held = |p: &(f64, f64)| {
            let (x, y) = self.place(*p);
            (x.clamp(area.x + ARM, area.right() - ARM), y.clamp(area.y + ARM, area.bottom() - ARM))
        };
        let places: Vec<(f64, f64)> = line.iter().filter(|p| self.shows(**p)).map(held).collect();
        let Some((x, y)) = places.last().copied() else { return };
        let paint = Paint::Series(colour);
        scene.polyline(thinned(&places), Stroke::new(paint, 1.1).dash(&[3.0, 2.5]));
        for arm in [ARM, -ARM] {
            scene.line((x - ARM, y - arm), (x + ARM, y + arm), Stroke::new(paint, 1.8));
        }
    }

    fn shows(&self, (x, y): (f64, f64)) -> bool {
        self.page.x.shows(x) && self.page.y.shows(y)
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.area.x + self.x.place(x) * self.area.w, self.area.bottom() - self.y.place(y) * self.area.h)
    }
}
