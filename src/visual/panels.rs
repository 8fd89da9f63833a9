//! Several line charts on one page, row by row.

use super::chart::LineChart;
use super::picture::{HEAD_TITLE, Picture, draw_head};
use super::scene::{Rect, Scene};
use crate::error::{Error, Result};

const PANEL: (f64, f64) = (560.0, 330.0);
const MARGIN: f64 = 24.0;

/// Charts side by side in so many columns, under a title and a subtitle.
///
/// ```
/// use striate::visual::{LineChart, Series, charts};
/// let chart = |name: &str| LineChart {
///     title: name.into(),
///     series: vec![Series::counted("loss", &[2.3, 1.1, 0.6])],
///     ..LineChart::default()
/// };
/// let picture = charts(("Two runs", ""), &[chart("first"), chart("second")], 2)?;
/// assert!(picture.svg().contains("second"));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// No chart, no column, or a chart that cannot be drawn.
pub fn charts((title, subtitle): (&str, &str), all: &[LineChart], columns: usize) -> Result<Picture> {
    if all.is_empty() || columns == 0 {
        return Err(Error::argument(format!("{} charts in {columns} columns make no page", all.len()))
            .with_help("give at least one chart and one column"));
    }
    let columns = columns.min(all.len());
    let head = MARGIN + if subtitle.is_empty() { 36.0 } else { 54.0 };
    let width = MARGIN + (PANEL.0 + MARGIN) * columns as f64;
    let height = head + (PANEL.1 + MARGIN) * all.len().div_ceil(columns) as f64;
    let words: Vec<String> = all.iter().map(|c| format!("{}. {}", c.title, c.describe())).collect();
    let mut scene = Scene::new(width, height, title, words.join(" "));
    draw_head(&mut scene, Rect::new(MARGIN, MARGIN, width - 2.0 * MARGIN, head), HEAD_TITLE, title, subtitle);
    for (i, chart) in all.iter().enumerate() {
        let (column, row) = ((i % columns) as f64, (i / columns) as f64);
        let place = (MARGIN + column * (PANEL.0 + MARGIN), head + row * (PANEL.1 + MARGIN));
        chart.draw(&mut scene, Rect::new(place.0, place.1, PANEL.0, PANEL.1), 14.0)?;
    }
    Ok(Picture::new(scene))
}
