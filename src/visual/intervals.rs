//! Intervals: shares of right answers, each with how sure it is, one below the other on one axis.

use super::axis::Unit;
use super::axis::{Axis, AxisStyle, Fit, TICK_SIZE, number};
use super::colour::Paint;
use super::picture::Picture;
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use crate::error::{Error, Result};

/// A share with its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// What was measured.
    pub name: String,
    /// The share, from 0 to 1.
    pub value: f64,
    /// The ends of the interval.
    pub ends: (f64, f64),
}

const WIDTH: f64 = 420.0;
const MARGIN: f64 = 12.0;
const ROW: f64 = 46.0;
const NAME: f64 = 13.0;

/// Draws shares as points with their intervals as bars, each under its name and number.
///
/// ```
/// use striate::visual::{Interval, intervals};
/// let test = Interval { name: "test".into(), value: 0.99, ends: (0.985, 0.993) };
/// assert!(intervals("Accuracy", &[test])?.svg().contains("99.00 %"));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// There is none, or a number is not finite.
pub fn intervals(title: &str, rows: &[Interval]) -> Result<Picture> {
    check(title, rows)?;
    let low = rows.iter().map(|r| r.ends.0.min(r.value)).fold(f64::INFINITY, f64::min);
    let high = rows.iter().map(|r| r.ends.1.max(r.value)).fold(f64::NEG_INFINITY, f64::max);
    let height = 2.0 * MARGIN + ROW * rows.len() as f64 + 26.0;
    let area = Rect::new(MARGIN + 16.0, MARGIN, WIDTH - 2.0 * MARGIN - 32.0, ROW * rows.len() as f64);
    let style = AxisStyle::default().unit(Unit::Percent);
    let axis = Axis::new(&style, (low, high), Fit { length: area.w, sideways: true, margin: Some(0.04) });
    let words: Vec<String> = rows.iter().map(Interval::words).collect();
    let mut scene = Scene::new(WIDTH, height, title, words.join(" "));
    for tick in &axis.ticks {
        let x = area.x + axis.place(tick.value) * area.w;
        scene.line((x, area.y), (x, area.bottom()), Stroke::new(Paint::Grid, 1.0));
        let label = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::Middle);
        scene.text(label.at(x, area.bottom() + 18.0));
    }
    scene.line((area.x, area.bottom()), (area.right(), area.bottom()), Stroke::new(Paint::Frame, 1.0));
    for (i, row) in rows.iter().enumerate() {
        let place = |v: f64| area.x + axis.place(v) * area.w;
        draw_row(&mut scene, row, i, (area, area.y + ROW * i as f64), place);
    }
    Ok(Picture::new(scene))
}

impl Interval {
    fn words(&self) -> String {
        let [value, low, high] = [self.value, self.ends.0, self.ends.1].map(|v| number(v, Unit::Percent));
        format!("{}: {value}, 95 % interval {low} to {high}.", self.name)
    }
}

fn check(title: &str, rows: &[Interval]) -> Result<()> {
    if rows.is_empty() {
        return Err(Error::argument(format!("'{title}' has no share to draw")).with_help("give at least one"));
    }
    match rows.iter().find(|r| ![r.value, r.ends.0, r.ends.1].iter().all(|v| v.is_finite())) {
        None => Ok(()),
        Some(bad) => Err(Error::argument(format!("'{}' is {}, and no share", bad.name, bad.value))
            .with_help("leave out what was measured on no sample")),
    }
}

// A name, its number at the other end of the line, and the interval below both.
fn draw_row(scene: &mut Scene, row: &Interval, i: usize, (area, top): (Rect, f64), place: impl Fn(f64) -> f64) {
    let value = Text::new(number(row.value, Unit::Percent)).size(NAME).bold().anchor(Anchor::End);
    let name = Text::new(&row.name).size(NAME).fit(area.w + 24.0 - value.width() - 12.0);
    scene.text(name.at(area.x - 12.0, top + 16.0));
    scene.text(value.at(area.right() + 12.0, top + 16.0));
    let (y, paint) = (top + 30.0, Paint::Series(i));
    let (low, high) = (place(row.ends.0), place(row.ends.1));
    scene.line((low, y), (high, y), Stroke::new(paint, 3.0));
    for x in [low, high] {
        scene.line((x, y - 5.0), (x, y + 5.0), Stroke::new(paint, 2.0));
    }
    scene.circle((place(row.value), y), 4.5, paint, Stroke::new(Paint::Page, 1.5));
}
