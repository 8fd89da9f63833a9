//! The names of a chart's lines, with their last and best values.
//!
//! A name stands at the right end of its line, in a margin where no data are;
//! names whose lines end close together are pushed apart and tied to their line
//! by a thin leader. Where they would take too much room, they go into rows
//! above the plot. Either way a name carries its line's dash and marker.

use super::axis::number;
use super::chart::{LineChart, Plot, has_markers, marker, stroke};
use super::colour::Paint;
use super::font::{self, Weight};
use super::scene::{Rect, Scene, Stroke, Text};
use super::series::{Line, Series};

const NAME: f64 = 12.0;
const VALUE: f64 = 11.0;
const KEY: f64 = 22.0;
const GAP: f64 = 6.0;
const LEADER: f64 = 16.0;
const ROW: f64 = 20.0;
/// The largest share of the width that names beside the plot may take.
const WIDEST_MARGIN: f64 = 0.36;
/// The largest share of the height that names above the plot may take.
const HIGHEST_ROWS: f64 = 0.35;

/// The names of one chart and how they are set.
pub(super) struct Labels<'a> {
    chart: &'a LineChart,
    body: Rect,
    entries: Vec<Entry<'a>>,
    setting: Setting,
}

struct Entry<'a> {
    series: &'a Series,
    last: String,
    best: Option<String>,
}

enum Setting {
    Beside { margin: f64 },
    Above { rows: Vec<Vec<usize>>, hidden: usize },
}

impl<'a> Labels<'a> {
    /// The names of a chart whose plot, names included, has `body` for room.
    pub(super) fn new(chart: &'a LineChart, body: Rect) -> Self {
        let entries: Vec<Entry<'a>> = chart.series.iter().map(|s| Entry::new(chart, s)).collect();
        let margin = LEADER + KEY + GAP + entries.iter().map(Entry::block_width).fold(0.0, f64::max);
        let height: f64 = entries.iter().map(Entry::block_height).sum();
        let setting = if margin <= WIDEST_MARGIN * body.w && height <= body.h - 6.0 {
            Setting::Beside { margin }
        } else {
            rows(&entries, body)
        };
        Self { chart, body, entries, setting }
    }

    /// The width to leave to the right of the plot.
    pub(super) fn margin(&self) -> f64 {
        match self.setting {
            Setting::Beside { margin } => margin,
            Setting::Above { .. } => 0.0,
        }
    }

    /// The height to leave above the plot.
    pub(super) fn height(&self) -> f64 {
        match &self.setting {
            Setting::Beside { .. } => 0.0,
            Setting::Above { rows, hidden } => ROW * (rows.len() + usize::from(*hidden > 0)) as f64 + 4.0,
        }
    }

    /// Writes the names.
    pub(super) fn draw(&self, scene: &mut Scene, plot: &Plot<'_>) {
        match &self.setting {
            Setting::Beside { .. } => self.draw_beside(scene, plot),
            Setting::Above { rows, hidden } => self.draw_above(scene, rows, *hidden),
        }
    }

    fn draw_beside(&self, scene: &mut Scene, plot: &Plot<'_>) {
        let area = plot.area;
        let ends: Vec<(f64, f64)> = self.entries.iter().map(|e| self.end(e, plot)).collect();
        let heights: Vec<f64> = self.entries.iter().map(Entry::block_height).collect();
        let wanted: Vec<f64> = ends.iter().map(|e| e.1).collect();
        let middles = spread(&wanted, &heights, area.y, area.bottom());
        for ((entry, end), middle) in self.entries.iter().zip(&ends).zip(&middles) {
            let key = area.right() + LEADER;
            let first = middle - if entry.best.is_some() { 7.0 } else { 0.0 };
            if (first - end.1).abs() > 3.0 || end.0 < area.right() - 14.0 {
                let thin = Stroke::new(Paint::Series(entry.series.colour), 0.8).opacity(0.6);
                scene.polyline(vec![(end.0.max(area.right()) + 2.0, end.1), (key - 2.0, first)], thin);
            }
            entry.draw_block(scene, key, first);
        }
    }

    // The end of a line, or the middle of the plot where a series has no point to show.
    fn end(&self, entry: &Entry<'_>, plot: &Plot<'_>) -> (f64, f64) {
        let runs = entry.series.runs(&self.chart.x, &self.chart.y);
        let last = runs.last().and_then(|run| run.last());
        last.map_or((plot.area.right(), plot.area.y + plot.area.h / 2.0), |p| plot.place(*p))
    }

    fn draw_above(&self, scene: &mut Scene, rows: &[Vec<usize>], hidden: usize) {
        for (r, row) in rows.iter().enumerate() {
            let (mut x, y) = (self.body.x, self.body.y + ROW * (r as f64 + 0.5));
            for &i in row {
                self.entries[i].draw_in_row(scene, x, y, self.body.w);
                x += self.entries[i].row_width().min(self.body.w) + 2.0 * GAP;
            }
        }
        if hidden > 0 {
            let y = self.body.y + ROW * (rows.len() as f64 + 0.5);
            scene.text(Text::new(format!("and {hidden} more")).size(VALUE).paint(Paint::Muted).centred(self.body.x, y));
        }
    }
}

impl<'a> Entry<'a> {
    fn new(chart: &LineChart, series: &'a Series) -> Self {
        // The last of raw values is an accident; their mean's is not.
        let raw = series.line == Line::Faint || !series.last;
        let last = series.points.last().filter(|_| !raw).map(|p| number(p.1, chart.y.unit)).unwrap_or_default();
        let best = series.best_point(&chart.x, &chart.y).filter(|_| series.points.len() > 1);
        Self { series, last, best: best.map(|p| chart.best_words(p)) }
    }

    fn name_width(&self) -> f64 {
        font::width(&self.series.name, NAME, Weight::SemiBold)
    }

    fn last_width(&self) -> f64 {
        if self.last.is_empty() { 0.0 } else { GAP + font::width(&self.last, NAME, Weight::Regular) }
    }

    fn best_width(&self) -> f64 {
        self.best.as_ref().map_or(0.0, |b| font::width(b, VALUE, Weight::Regular))
    }

    fn block_width(&self) -> f64 {
        (self.name_width() + self.last_width()).max(self.best_width())
    }

    fn block_height(&self) -> f64 {
        if self.best.is_some() { 34.0 } else { 19.0 }
    }

    fn row_width(&self) -> f64 {
        let best = if self.best.is_some() { GAP + self.best_width() } else { 0.0 };
        KEY + GAP + self.name_width() + self.last_width() + best
    }

    fn draw_key(&self, scene: &mut Scene, x: f64, y: f64) {
        scene.line((x, y), (x + KEY, y), stroke(self.series));
        if has_markers(self.series) {
            marker(scene, self.series.colour, (x + KEY / 2.0, y));
        }
    }

    fn draw_block(&self, scene: &mut Scene, x: f64, y: f64) {
        self.draw_key(scene, x, y);
        let x = x + KEY + GAP;
        scene.text(Text::new(&self.series.name).size(NAME).bold().centred(x, y));
        scene.text(Text::new(&self.last).size(NAME).centred(x + self.name_width() + GAP, y));
        if let Some(best) = &self.best {
            scene.text(Text::new(best).size(VALUE).paint(Paint::Muted).centred(x, y + 15.0));
        }
    }

    // A name too long for its row is cut; of the values what fits is written.
    fn draw_in_row(&self, scene: &mut Scene, x: f64, y: f64, room: f64) {
        self.draw_key(scene, x, y);
        let x = x + KEY + GAP;
        scene.text(Text::new(&self.series.name).size(NAME).bold().fit(room - KEY - GAP).centred(x, y));
        if KEY + GAP + self.name_width() + self.last_width() > room {
            return;
        }
        let x = x + self.name_width() + GAP;
        scene.text(Text::new(&self.last).size(NAME).centred(x, y));
        if let Some(best) = self.best.as_ref().filter(|_| self.row_width() <= room) {
            let x = x + self.last_width();
            scene.text(Text::new(best).size(VALUE).paint(Paint::Muted).centred(x, y));
        }
    }
}

/// Fills rows from left to right; what does not fit into the allowed height is only counted.
fn rows(entries: &[Entry<'_>], body: Rect) -> Setting {
    let room = body.w;
    let most = ((HIGHEST_ROWS * body.h / ROW) as usize).max(1);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    let mut used = 0.0;
    for (i, entry) in entries.iter().enumerate() {
        let width = entry.row_width().min(room) + 2.0 * GAP;
        if used > 0.0 && used + width > room {
            if rows.len() == most {
                return Setting::Above { rows, hidden: entries.len() - i };
            }
            rows.push(Vec::new());
            used = 0.0;
        }
        used += width;
        if let Some(row) = rows.last_mut() {
            row.push(i);
        }
    }
    Setting::Above { rows, hidden: 0 }
}

/// Middles of blocks as near to the wanted ones as their heights and the limits allow, order kept.
fn spread(wanted: &[f64], heights: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut middles = vec![0.0; wanted.len()];
    let mut free = top;
    for &i in &order {
        middles[i] = wanted[i].max(free + heights[i] / 2.0);
        free = middles[i] + heights[i] / 2.0;
    }
    let mut limit = bottom;
    for &i in order.iter().rev() {
        middles[i] = middles[i].min(limit - heights[i] / 2.0);
        limit = middles[i] - heights[i] / 2.0;
    }
    middles
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_with_room_stay_where_they_are_wanted() {
        assert_eq!(spread(&[80.0, 20.0], &[20.0, 20.0], 0.0, 100.0), [80.0, 20.0]);
    }

    proptest! {
        #[test]
        fn blocks_never_overlap_nor_leave_their_limits(wanted in prop::collection::vec(0.0..200.0_f64, 1..8), tall: bool) {
            let heights = vec![if tall { 25.0 } else { 10.0 }; wanted.len()];
            let middles = spread(&wanted, &heights, 0.0, 200.0);
            let mut sorted = middles.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert!(sorted.windows(2).all(|w| w[1] - w[0] >= heights[0] - 1e-9));
            prop_assert!(sorted[0] >= heights[0] / 2.0 - 1e-9 && sorted[sorted.len() - 1] <= 200.0 - heights[0] / 2.0 + 1e-9);
        }
    }
}
