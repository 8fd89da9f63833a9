//! Matrices of numbers, cell by cell, as a part of a scene.
//!
//! A cell may be filled, framed, and have a small note under its number, such as the weight that it meets. Rows and
//! columns may have names: their indices, counted from 0.

use super::colour::Paint;
use super::scene::{Anchor, Rect, Scene, Stroke, Text};

/// A cell: its number as text, and how it looks.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberCell {
    /// The number; may be empty.
    pub text: String,
    /// A small text under it; may be empty.
    pub note: String,
    /// What the cell is filled with.
    pub fill: Paint,
    /// The colour of the number.
    pub ink: Paint,
    /// Whether the number is heavy.
    pub bold: bool,
    /// A frame that lies on top of the neighbours.
    pub edge: Option<Paint>,
}

impl NumberCell {
    /// A plain cell.
    pub fn new(text: impl Into<String>) -> Self {
        let (fill, ink) = (Paint::Page, Paint::Ink);
        Self { text: text.into(), note: String::new(), fill, ink, bold: false, edge: None }
    }

    /// Filled so.
    #[must_use]
    pub fn fill(self, fill: Paint) -> Self {
        Self { fill, ..self }
    }

    /// With the number in this colour.
    #[must_use]
    pub fn ink(self, ink: Paint) -> Self {
        Self { ink, ..self }
    }

    /// With a small text under the number.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Framed in this colour.
    #[must_use]
    pub fn edge(self, paint: Paint) -> Self {
        Self { edge: Some(paint), ..self }
    }

    /// With a heavy number.
    #[must_use]
    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// A matrix of numbers.
///
/// ```
/// use striate::visual::{Matrix, NumberCell, Scene};
/// let cells = ["1", "2", "3", "4"].map(NumberCell::new).to_vec();
/// let matrix = Matrix { title: "x".into(), columns: 2, cells, ..Matrix::default() };
/// let (w, h) = matrix.size();
/// let mut scene = Scene::new(w + 40.0, h + 40.0, "A matrix", "Two rows, two columns.");
/// matrix.draw(&mut scene, (20.0, 20.0));
/// assert!(scene.to_svg().contains(">4</text>"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// What it is; may be empty.
    pub title: String,
    /// Cells in a row.
    pub columns: usize,
    /// The cells, row by row.
    pub cells: Vec<NumberCell>,
    /// Width and height of a cell.
    pub cell: (f64, f64),
    /// The names of the rows; none, or one for each.
    pub row_names: Vec<String>,
    /// The names of the columns; none, or one for each.
    pub column_names: Vec<String>,
}

impl Default for Matrix {
    fn default() -> Self {
        let (title, cells) = (String::new(), Vec::new());
        Self { title, columns: 1, cells, cell: (30.0, 30.0), row_names: Vec::new(), column_names: Vec::new() }
    }
}

const NUMBER: f64 = 13.0;
const NOTE: f64 = 10.0;
const NAME: f64 = 10.0;
const TITLE: f64 = 13.0;
const TITLE_STEP: f64 = 20.0;
const NAME_STEP: f64 = 15.0;

impl Matrix {
    /// The width of a cell that holds all of these numbers and notes; at least `least`.
    pub fn width_for<'a>(cells: impl IntoIterator<Item = &'a NumberCell>, least: f64) -> f64 {
        let width = |cell: &NumberCell| {
            let number = Text::new(&cell.text).size(NUMBER).bold().width();
            number.max(Text::new(&cell.note).size(NOTE).width()) + 10.0
        };
        cells.into_iter().map(width).fold(least, f64::max).ceil()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.cells.len().div_ceil(self.columns.max(1))
    }

    /// Width and height with title and names.
    pub fn size(&self) -> (f64, f64) {
        let (left, top) = self.inset();
        let cells = self.cell.0 * self.columns as f64;
        let title = Text::new(&self.title).size(TITLE).bold().width();
        (left + cells.max(title - left), top + self.cell.1 * self.rows() as f64)
    }

    /// How far the first cell lies from the left and the top.
    pub fn inset(&self) -> (f64, f64) {
        let widest = self.row_names.iter().map(|n| Text::new(n).size(NAME).width()).fold(0.0, f64::max);
        let left = if self.row_names.is_empty() { 0.0 } else { widest + 7.0 };
        let title = if self.title.is_empty() { 0.0 } else { TITLE_STEP };
        (left, title + if self.column_names.is_empty() { 0.0 } else { NAME_STEP })
    }

    /// The place of a cell, if the matrix is drawn at `at`.
    pub fn place(&self, at: (f64, f64), row: usize, column: usize) -> Rect {
        let ((left, top), (w, h)) = (self.inset(), self.cell);
        Rect::new(at.0 + left + column as f64 * w, at.1 + top + row as f64 * h, w, h)
    }

    /// Draws it with its top left corner at `at`.
    pub fn draw(&self, scene: &mut Scene, at: (f64, f64)) {
        let columns = self.columns.max(1);
        let places = (0..self.cells.len()).map(|i| self.place(at, i / columns, i % columns));
        let places: Vec<Rect> = places.collect();
        for (cell, place) in self.cells.iter().zip(&places) {
            scene.fill(*place, cell.fill);
            scene.outline(*place, Stroke::new(Paint::Frame, 0.75));
        }
        for (cell, place) in self.cells.iter().zip(&places) {
            cell.edge.iter().for_each(|paint| scene.outline(*place, Stroke::new(*paint, 2.25)));
        }
        for (cell, place) in self.cells.iter().zip(&places) {
            draw_cell(scene, cell, place);
        }
        self.draw_names(scene, at);
    }

    fn draw_names(&self, scene: &mut Scene, at: (f64, f64)) {
        scene.text(Text::new(&self.title).size(TITLE).bold().at(at.0 + self.inset().0, at.1 + 11.0));
        for (i, name) in self.row_names.iter().enumerate() {
            let place = self.place(at, i, 0);
            let text = Text::new(name).size(NAME).paint(Paint::Muted).anchor(Anchor::End);
            scene.text(text.centred(place.x - 6.0, place.y + place.h / 2.0));
        }
        for (j, name) in self.column_names.iter().enumerate() {
            let place = self.place(at, 0, j);
            let text = Text::new(name).size(NAME).paint(Paint::Muted).anchor(Anchor::Middle);
            scene.text(text.at(place.x + place.w / 2.0, place.y - 5.0));
        }
    }
}

fn draw_cell(scene: &mut Scene, cell: &NumberCell, place: &Rect) {
    let text = Text::new(&cell.text).size(NUMBER).paint(cell.ink).anchor(Anchor::Middle);
    let text = if cell.bold { text.bold() } else { text };
    let (x, middle) = (place.x + place.w / 2.0, place.y + place.h / 2.0);
    if cell.note.is_empty() {
        scene.text(text.centred(x, middle));
        return;
    }
    scene.text(text.centred(x, middle - 6.0));
    let note = Text::new(&cell.note).size(NOTE).paint(Paint::Ink).anchor(Anchor::Middle);
    scene.text(note.at(x, place.bottom() - 5.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_lie_in_rows_under_their_names() {
        let cells: Vec<NumberCell> = (0..6).map(|i| NumberCell::new(format!("{i}")).note(format!("×{i}"))).collect();
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<String>>();
        let cell = (Matrix::width_for(&cells, 30.0), 40.0);
        let (row_names, column_names) = (names(2), names(3));
        let matrix = Matrix { title: "x".into(), columns: 3, cells, cell, row_names, column_names };
        let (w, h) = matrix.size();
        let mut scene = Scene::new(w, h, "", "");
        matrix.draw(&mut scene, (0.0, 0.0));
        let bounds: Vec<Rect> = scene.texts().map(Text::bounds).collect();
        for (i, a) in bounds.iter().enumerate() {
            assert!(scene.page().holds(a), "{a:?}");
            assert!(bounds[i + 1..].iter().all(|b| !a.overlaps(b)), "{a:?}");
        }
        let (first, last) = (matrix.place((0.0, 0.0), 0, 0), matrix.place((0.0, 0.0), 1, 2));
        assert_eq!((last.x - first.x, last.y - first.y), (2.0 * cell.0, 40.0));
        assert!((last.right() - w).abs() < 1e-9 && (last.bottom() - h).abs() < 1e-9);
    }

    #[test]
    fn wide_numbers_get_wide_cells() {
        let cells = [NumberCell::new("−12345.678"), NumberCell::new("1")];
        assert!(Matrix::width_for(&cells, 30.0) > 70.0);
        assert_eq!(Matrix::width_for(&cells[1..], 30.0), 30.0);
    }
}
