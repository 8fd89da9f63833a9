//! Sheets: columns of matrices side by side under a title, as the pictures of explanations are laid out.
//!
//! Columns that share rows have their matrices level, channel by channel; the others stand in the middle of the page.

use crate::conv::Axis;
use crate::error::{Error, Result};
use crate::inspect::explain::Maps;
use crate::visual::{Anchor, Matrix, NumberCell, Paint, Scene, Text};

/// Input numbers, weights and outputs, each in its colour wherever they stand.
pub(super) const X: usize = 0;
pub(super) const W: usize = 1;
pub(super) const Y: usize = 2;

const MARGIN: f64 = 28.0;
const GAP: f64 = 22.0;
const BETWEEN: f64 = 24.0;
const TITLE: f64 = 17.0;
const WORDS: f64 = 13.0;
const LARGEST: f64 = 3000.0;

/// A number as a picture shows it, with a true minus.
pub(super) fn show(v: f64) -> String {
    super::text::num(v).replace('-', "−")
}

/// A column of a sheet.
#[derive(Debug, Clone)]
pub(super) enum Column {
    /// Level with the other shared columns, row by row.
    Shared(Vec<Option<Matrix>>),
    /// Below each other, in the middle.
    Own(Vec<Matrix>),
    /// A sign or some words in each shared row, or once if there is one, in a column of this width.
    Words(Vec<String>, f64),
}

/// What is drawn on one page.
#[derive(Debug, Clone)]
pub(super) struct Sheet {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) columns: Vec<Column>,
    /// Lines under the matrices: heavy ones, then others.
    pub(super) foot: [Vec<String>; 2],
    /// What is told to those who cannot see it.
    pub(super) description: String,
}

/// The pages of an animation, all as large as the largest.
///
/// # Errors
/// One would be too large to be looked at.
pub(super) fn frames(sheets: &[Sheet]) -> Result<Vec<Scene>> {
    let sizes = sheets.iter().map(Sheet::layout);
    let most = sizes.fold((0.0_f64, 0.0_f64), |(w, h), l| (w.max(l.size.0), h.max(l.size.1)));
    sheets.iter().map(|sheet| sheet.scene_of(most)).collect()
}

struct Layout {
    rows: Vec<f64>,
    /// Height of the matrices.
    body: f64,
    /// Where they begin.
    head: f64,
    size: (f64, f64),
}

fn stack(items: &[Matrix]) -> (f64, f64) {
    let sizes: Vec<(f64, f64)> = items.iter().map(Matrix::size).collect();
    let height = sizes.iter().map(|s| s.1).sum::<f64>() + BETWEEN * sizes.len().saturating_sub(1) as f64;
    (sizes.iter().map(|s| s.0).fold(0.0, f64::max), height)
}

impl Column {
    fn width(&self) -> f64 {
        match self {
            Self::Shared(items) => items.iter().flatten().map(|m| m.size().0).fold(0.0, f64::max),
            Self::Own(items) => stack(items).0,
            Self::Words(_, width) => *width,
        }
    }
}

impl Sheet {
    /// The page.
    ///
    /// # Errors
    /// It would be too large to be looked at.
    pub(super) fn scene(&self) -> Result<Scene> {
        self.scene_of(self.layout().size)
    }

    fn layout(&self) -> Layout {
        let rows = self.row_heights();
        let shared = rows.iter().sum::<f64>() + BETWEEN * rows.len().saturating_sub(1) as f64;
        let own = |c: &Column| if let Column::Own(items) = c { stack(items).1 } else { 0.0 };
        let body = self.columns.iter().map(own).fold(shared, f64::max);
        let wide =
            self.columns.iter().map(Column::width).sum::<f64>() + GAP * self.columns.len().saturating_sub(1) as f64;
        let inner = wide.max(self.head_width());
        let head = MARGIN + TITLE * 1.35 + if self.subtitle.is_empty() { 8.0 } else { 32.0 };
        let foot = 16.0 + 20.0 * self.foot.iter().map(Vec::len).sum::<usize>() as f64;
        Layout { rows, body, head, size: ((inner + 2.0 * MARGIN).ceil(), (head + body + foot + MARGIN).ceil()) }
    }

    // On a page of this size, at least its own.
    fn scene_of(&self, (width, height): (f64, f64)) -> Result<Scene> {
        let Layout { rows, body, head, .. } = self.layout();
        let inner = width - 2.0 * MARGIN;
        if width.max(height) > LARGEST {
            return Err(Error::shape(format!(
                "the picture would be {width} x {height} units, too large to be looked at"
            ))
            .with_help(format!(
                "at most {LARGEST} a side, about {} numbers in a row: give a smaller input",
                (LARGEST / 40.0) as usize
            )));
        }
        let mut scene = Scene::new(width, height, &self.title, &self.description);
        scene.text(Text::new(&self.title).size(TITLE).bold().fit(inner).at(MARGIN, MARGIN + TITLE * 0.8));
        let subtitle = Text::new(&self.subtitle).size(WORDS).paint(Paint::Muted).fit(inner);
        scene.text(subtitle.at(MARGIN, MARGIN + TITLE * 1.35 + 11.0));
        let mut x = MARGIN;
        for column in &self.columns {
            column.draw(&mut scene, (x, head), &rows, body);
            x += column.width() + GAP;
        }
        for (i, line) in self.foot.iter().flatten().enumerate() {
            let text = Text::new(line).size(WORDS);
            let text = if i < self.foot[0].len() { text.bold() } else { text.paint(Paint::Muted) };
            scene.text(text.fit(inner).at(MARGIN, head + body + 30.0 + 20.0 * i as f64));
        }
        Ok(scene)
    }

    fn row_heights(&self) -> Vec<f64> {
        let mut rows: Vec<f64> = Vec::new();
        for column in &self.columns {
            let Column::Shared(items) = column else { continue };
            for (i, item) in items.iter().enumerate() {
                let height = item.as_ref().map_or(0.0, |m| m.size().1);
                if i < rows.len() {
                    rows[i] = rows[i].max(height);
                } else {
                    rows.push(height);
                }
            }
        }
        rows
    }

    // Words may make the page wider, but not endlessly.
    fn head_width(&self) -> f64 {
        let title = Text::new(&self.title).size(TITLE).bold().width();
        let subtitle = Text::new(&self.subtitle).size(WORDS).width();
        let lines = self.foot.iter().flatten().map(|line| Text::new(line).size(WORDS).bold().width());
        lines.fold(title.max(subtitle), f64::max).min(760.0)
    }
}

impl Column {
    fn draw(&self, scene: &mut Scene, (x, top): (f64, f64), rows: &[f64], body: f64) {
        let tops = |i: usize| {
            let shared = rows.iter().sum::<f64>() + BETWEEN * rows.len().saturating_sub(1) as f64;
            top + (body - shared) / 2.0 + rows[..i].iter().sum::<f64>() + BETWEEN * i as f64
        };
        match self {
            Self::Shared(items) => {
                for (i, matrix) in items.iter().enumerate() {
                    let Some(matrix) = matrix else { continue };
                    matrix.draw(scene, (x, tops(i) + (rows[i] - matrix.size().1) / 2.0));
                }
            }
            Self::Own(items) => {
                let mut y = top + (body - stack(items).1) / 2.0;
                for matrix in items {
                    matrix.draw(scene, (x, y));
                    y += matrix.size().1 + BETWEEN;
                }
            }
            Self::Words(words, width) => {
                for (i, text) in words.iter().enumerate() {
                    // The title above a matrix is no part of its middle.
                    let middle =
                        if words.len() == 1 && rows.len() != 1 { top + body / 2.0 } else { tops(i) + rows[i] / 2.0 };
                    let size = if text.chars().count() == 1 { 19.0 } else { WORDS };
                    let text = Text::new(text).size(size).paint(Paint::Muted).anchor(Anchor::Middle);
                    scene.text(text.centred(x + width / 2.0, middle + 10.0));
                }
            }
        }
    }
}

/// A plane of an input with its padding around it: the cells, and the names of rows and columns.
pub(super) struct Padded {
    pub(super) cells: Vec<NumberCell>,
    pub(super) names: [Vec<String>; 2],
    columns: usize,
    before: [usize; 2],
}

impl Padded {
    /// The plane `channel` of `x`; `pad` is what stands in the padding.
    pub(super) fn new(x: &Maps, channel: usize, [v, h]: [&Axis; 2], pad: &str) -> Self {
        let size = |a: &Axis| a.before + a.input + a.after;
        let inside = |a: &Axis, i: usize| i.checked_sub(a.before).filter(|i| *i < a.input);
        let cell = |at: usize| match inside(v, at / size(h)).zip(inside(h, at % size(h))) {
            Some((i, j)) => NumberCell::new(show(x.at(i, j, channel))),
            None => NumberCell::new(pad).fill(Paint::Grid).ink(Paint::Muted),
        };
        let names = |a: &Axis| (0..size(a)).map(|i| inside(a, i).map_or(String::new(), |i| i.to_string())).collect();
        let cells = (0..size(v) * size(h)).map(cell).collect();
        Self { cells, names: [names(v), names(h)], columns: size(h), before: [v.before, h.before] }
    }

    /// The cell of the padded plane at an output's row and column and a place in its window; none beyond the padding.
    pub(super) fn under(&mut self, axes: [&Axis; 2], at: [usize; 2], tap: [usize; 2]) -> Option<&mut NumberCell> {
        let place = |i: usize| at[i] * axes[i].stride + tap[i] * axes[i].dilation;
        let (row, column) = (place(0), place(1));
        if column >= self.columns { None } else { self.cells.get_mut(row * self.columns + column) }
    }

    /// The cell of the input at (row, column).
    pub(super) fn at(&mut self, [i, j]: [usize; 2]) -> &mut NumberCell {
        &mut self.cells[(i + self.before[0]) * self.columns + j + self.before[1]]
    }

    /// As a matrix, its cells of this size.
    pub(super) fn matrix(self, title: String, cell: (f64, f64)) -> Matrix {
        let [row_names, column_names] = self.names;
        Matrix { title, columns: self.columns, cells: self.cells, cell, row_names, column_names }
    }
}

/// The names 0, 1, 2, ...
pub(super) fn indices(n: usize) -> Vec<String> {
    (0..n).map(|i| i.to_string()).collect()
}

/// The name of one of several.
pub(super) fn numbered(name: &str, what: &str, n: usize, i: usize) -> String {
    if n == 1 { name.to_string() } else { format!("{name}, {what} {i}") }
}

/// Words under a picture, in as many lines as they need.
pub(super) fn lines(text: &str, room: f64) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let longer = if line.is_empty() { word.to_string() } else { format!("{line} {word}") };
        if !line.is_empty() && Text::new(&longer).size(WORDS).bold().width() > room {
            all.push(std::mem::replace(&mut line, format!("    {word}")));
        } else {
            line = longer;
        }
    }
    all.push(line);
    all
}

/// What pictures of explanations must keep: labels inside the page, and none on another.
#[cfg(test)]
pub(super) fn assert_labels_are_apart(scene: &Scene) {
    let boxes: Vec<_> = scene.texts().map(|t| (t.content(), t.bounds())).collect();
    for (i, (text, bounds)) in boxes.iter().enumerate() {
        assert!(scene.page().holds(bounds), "'{text}' at {bounds:?} leaves the page {:?}", scene.page());
        for (other, near) in &boxes[i + 1..] {
            assert!(!bounds.overlaps(near), "'{text}' at {bounds:?} lies on '{other}' at {near:?}");
        }
    }
}
