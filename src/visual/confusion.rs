//! Confusion matrices: how often each class was taken for which.

use super::axis::thousands;
use super::colour::{Colour, ColourBar, ColourMap, Paint};
use super::font::{self, Weight};
use super::picture::{HEAD_TITLE, Picture, draw_head};
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use crate::error::{Error, Result};

/// Counts by true class (rows, from the top) and predicted class (columns).
///
/// ```
/// use striate::visual::{Confusion, confusion};
/// let labels = ["cat", "dog"];
/// let picture = confusion(&Confusion { title: "Pets", labels: &labels, counts: &[9, 1, 2, 8], ..Confusion::default() })?;
/// assert!(picture.svg().contains("Predicted class"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Confusion<'a> {
    /// What was tested on what.
    pub title: &'a str,
    /// More about it; empty stands for the total and the share of right answers.
    pub subtitle: &'a str,
    /// The names of the classes.
    pub labels: &'a [&'a str],
    /// Counts `[true class][predicted class]`, row after row.
    pub counts: &'a [u64],
}

const MARGIN: f64 = 24.0;
const HEAD: f64 = 60.0;
const LABEL: f64 = 12.0;
const LONGEST_LABEL: f64 = 130.0;
/// A shorter colour bar would have its marks touch.
const BAR_LEAST: f64 = 180.0;
const MAP: ColourMap = ColourMap::BLUES;

/// A confusion matrix as a heat map.
///
/// A cell's colour is its share of its row, so that rare classes count as much
/// as common ones; the root of the share is mapped, so that 1 % can be told
/// from 0.
///
/// # Errors
///
/// No class, more than 100 classes, or counts that do not make a square of them.
pub fn confusion(matrix: &Confusion<'_>) -> Result<Picture> {
    matrix.check()?;
    let layout = Layout::new(matrix);
    let subtitle = if matrix.subtitle.is_empty() { matrix.summary() } else { matrix.subtitle.to_string() };
    let words = format!("Confusion matrix of {} classes. {}", matrix.labels.len(), matrix.summary());
    let mut scene = Scene::new(layout.width, layout.height, matrix.title, words);
    let frame = Rect::new(MARGIN, MARGIN, layout.width - 2.0 * MARGIN, HEAD);
    draw_head(&mut scene, frame, HEAD_TITLE, matrix.title, &subtitle);
    draw_cells(&mut scene, matrix, &layout);
    draw_labels(&mut scene, matrix, &layout);
    layout.bar.draw(&mut scene, layout.bar_frame());
    Ok(Picture::new(scene))
}

impl Confusion<'_> {
    fn check(&self) -> Result<()> {
        let (classes, counts) = (self.labels.len(), self.counts.len());
        if classes == 0 || classes > 100 {
            return Err(Error::argument(format!("a confusion matrix of {classes} classes cannot be drawn"))
                .with_help("give 1 to 100 classes; of more, show the most confused ones"));
        }
        if counts != classes * classes {
            return Err(Error::shape(format!("{counts} counts do not fit {classes} classes"))
                .with_help(format!("{classes} classes have {} counts", classes * classes)));
        }
        Ok(())
    }

    fn row(&self, i: usize) -> &[u64] {
        &self.counts[i * self.labels.len()..][..self.labels.len()]
    }

    // Counts near the largest u64 would overflow a sum of their own kind.
    fn total(counts: &[u64]) -> u128 {
        counts.iter().map(|c| u128::from(*c)).sum()
    }

    fn summary(&self) -> String {
        let total = Self::total(self.counts);
        let right: u128 = (0..self.labels.len()).map(|i| u128::from(self.row(i)[i])).sum();
        if total == 0 {
            return "No sample.".into();
        }
        let share = 100.0 * right as f64 / total as f64;
        format!("{} of {} samples right: {share:.2} %", separated(right), separated(total))
    }
}

fn separated(count: impl ToString) -> String {
    thousands(&count.to_string())
}

struct Layout {
    cell: f64,
    digits: f64,
    grid: Rect,
    width: f64,
    height: f64,
    bar: ColourBar,
}

impl Layout {
    fn new(matrix: &Confusion<'_>) -> Self {
        let classes = matrix.labels.len();
        let marks = [0.0_f64, 0.01, 0.05, 0.2, 0.5, 1.0].map(|s| (s.sqrt(), format!("{} %", s * 100.0)));
        let bar = ColourBar { map: MAP, marks: marks.to_vec(), label: "Share of the true class".into() };
        let longest = matrix.labels.iter().map(|l| Text::new(l).size(LABEL).width()).fold(0.0, f64::max);
        let longest = longest.min(LONGEST_LABEL);
        let widest =
            matrix.counts.iter().map(|c| font::width(&separated(c), 12.0, Weight::SemiBold)).fold(0.0, f64::max);
        let cell = ((520.0 / classes as f64).clamp(22.0, 96.0)).max((widest + 8.0).min(64.0));
        let digits = (12.0 * ((cell - 4.0) / widest).min(1.0)).max(5.0);
        let top = MARGIN + HEAD;
        let left = MARGIN + 26.0 + longest + 8.0;
        let grid = Rect::new(left, top, cell * classes as f64, cell * classes as f64);
        let below = 8.0 + if longest > cell - 4.0 { longest } else { LABEL } + 34.0;
        let width = (grid.right() + 24.0 + bar.width() + MARGIN).max(340.0).ceil();
        let height = grid.bottom().max(top + BAR_LEAST) + below + MARGIN;
        Self { cell, digits, grid, width, height: height.ceil(), bar }
    }

    fn bar_frame(&self) -> Rect {
        Rect::new(self.grid.right() + 24.0, self.grid.y, ColourBar::THICKNESS, self.grid.h.max(BAR_LEAST))
    }

    fn square(&self, row: usize, column: usize) -> Rect {
        let (dx, dy) = (column as f64 * self.cell, row as f64 * self.cell);
        Rect::new(self.grid.x + dx, self.grid.y + dy, self.cell, self.cell)
    }
}

fn draw_cells(scene: &mut Scene, matrix: &Confusion<'_>, layout: &Layout) {
    for i in 0..matrix.labels.len() {
        let row = matrix.row(i);
        let total = Confusion::total(row).max(1) as f64;
        for (j, &count) in row.iter().enumerate() {
            draw_cell(scene, layout, layout.square(i, j), count, count as f64 / total);
        }
    }
    scene.outline(layout.grid, Stroke::new(Paint::Frame, 1.0));
}

fn draw_cell(scene: &mut Scene, layout: &Layout, square: Rect, count: u64, share: f64) {
    let back = MAP.at(share.sqrt());
    let white = Colour(255, 255, 255);
    scene.fill(square, Paint::Solid(back));
    scene.outline(square, Stroke::new(Paint::Solid(white), 1.0));
    // Zeros are there to be read, but not before the others.
    let ink = if count == 0 { back.text_on().mix(back, 0.6) } else { back.text_on() };
    let text = Text::new(separated(count)).size(layout.digits).anchor(Anchor::Middle).paint(Paint::Solid(ink));
    let text = if count > 0 { text.bold() } else { text };
    scene.text(text.centred(square.x + square.w / 2.0, square.y + square.h / 2.0));
}

fn draw_labels(scene: &mut Scene, matrix: &Confusion<'_>, layout: &Layout) {
    let (grid, cell) = (layout.grid, layout.cell);
    let upright = matrix.labels.iter().all(|l| Text::new(l).size(LABEL).width() <= cell - 4.0);
    for (i, label) in matrix.labels.iter().enumerate() {
        let middle = (i as f64 + 0.5) * cell;
        let text = Text::new(label).size(LABEL).fit(LONGEST_LABEL);
        scene.text(text.clone().anchor(Anchor::End).centred(grid.x - 8.0, grid.y + middle));
        if upright {
            scene.text(text.anchor(Anchor::Middle).at(grid.x + middle, grid.bottom() + 18.0));
        } else {
            let x = grid.x + middle + LABEL * font::CAP_HEIGHT / 2.0;
            scene.text(text.anchor(Anchor::End).upwards().at(x, grid.bottom() + 8.0));
        }
    }
    let name = |text| Text::new(text).size(12.0).bold().anchor(Anchor::Middle);
    let (x, y) = (grid.x + grid.w / 2.0, grid.y + grid.h / 2.0);
    let half = name("Predicted class").width() / 2.0;
    scene.text(name("Predicted class").at(x.max(MARGIN + half), layout.height - MARGIN - 2.0));
    scene.text(name("True class").upwards().at(MARGIN + 10.0, y));
}
