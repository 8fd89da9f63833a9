//! The pictures of im2col and col2im (V6).
//!
//! im2col: the patch on the input becomes a row of the matrix, the row meets the kernels, and an output is there.
//! col2im: each row of the matrix goes back to its patch and is added to what is there.

use super::draw::{Column, Padded, Sheet, W, X, Y, frames, numbered, show};
use super::lowered::{pixel_names, tap_names};
use super::{Col2im, Im2col, Maps, Table};
use crate::conv::Geometry;
use crate::error::{Error, Result};
use crate::visual::{Animation, Matrix, NumberCell, Paint, Picture};

const PACE: f64 = 1.2;
const HEIGHT: f64 = 26.0;

// A matrix whose row `lit` is tinted and whose rows from `done` on are still empty.
fn table(table: &Table, title: String, (lit, done, paint): (Option<usize>, usize, usize)) -> Matrix {
    let texts: Vec<String> = table.data.iter().map(|v| show(*v)).collect();
    let wide = Matrix::width_for(&texts.iter().map(|t| NumberCell::new(t.clone())).collect::<Vec<_>>(), 32.0);
    let cell = |(i, text): (usize, String)| {
        let row = i / table.columns;
        let cell = NumberCell::new(if row < done { text } else { String::new() });
        if Some(row) == lit { cell.fill(Paint::Tint(paint)) } else { cell }
    };
    let cells = texts.into_iter().enumerate().map(cell).collect();
    Matrix { title, columns: table.columns, cells, cell: (wide, HEIGHT), ..Matrix::default() }
}

fn row_limit(rows: usize) -> Result<()> {
    if rows <= 100 {
        return Ok(());
    }
    Err(Error::shape(format!("a matrix of {rows} rows is too long to be drawn"))
        .with_help("give an input with at most 100 outputs, such as 11x11 under a 2x2 kernel"))
}

impl Im2col {
    /// The step of one output, a row of the matrix; all others are shown too.
    ///
    /// # Errors
    /// There is no such row, or the picture would be too large.
    pub fn picture(&self, row: usize) -> Result<Picture> {
        check_row(row, self.col.rows())?;
        row_limit(self.col.rows())?;
        Ok(Picture::new(self.sheet(row, self.col.rows()).scene()?))
    }

    /// Row after row.
    ///
    /// ```
    /// let lowered = striate::inspect::explain::Convolution::example().im2col()?;
    /// assert_eq!(lowered.animation()?.frames().len(), 9);
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// There are too many rows, or the picture would be too large.
    pub fn animation(&self) -> Result<Animation> {
        row_limit(self.col.rows())?;
        let sheets = (0..self.col.rows()).map(|row| self.sheet(row, row + 1));
        Animation::new(frames(&sheets.collect::<Vec<_>>())?, PACE)
    }

    fn sheet(&self, row: usize, done: usize) -> Sheet {
        let (g, case) = (&self.steps.geometry, &self.steps.case);
        let at = [row / g.w.output, row % g.w.output];
        let inputs = (0..g.ic).map(|c| patch(g, &case.x, (c, at))).collect();
        let col = Matrix {
            row_names: pixel_names(g),
            column_names: tap_names(g),
            ..table(&self.col, format!("col  {}×{}", self.col.rows(), self.col.columns), (Some(row), done, X))
        };
        let mut w = table(&self.w, format!("W  {}×{}", self.w.rows(), g.oc), (None, usize::MAX, W));
        w.cells.iter_mut().for_each(|cell| cell.fill = Paint::Tint(W));
        w.row_names = tap_names(g);
        let y = table(&self.y, format!("y  {}×{}", self.y.rows(), g.oc), (Some(row), done, Y));
        let sign = |text: &str, width| Column::Words(vec![text.into()], width);
        let bias = if case.bias.is_empty() { "=" } else { "+ b =" };
        let columns = vec![
            Column::Own(inputs),
            sign("→", 16.0),
            Column::Own(vec![col]),
            sign("·", 10.0),
            Column::Own(vec![w]),
            sign(bias, if case.bias.is_empty() { 14.0 } else { 34.0 }),
            Column::Own(vec![y]),
        ];
        let cells = self.steps.cells.iter().filter(|cell| cell.at == at).map(|cell| show(cell.y));
        let place = format!("{},{}", at[0], at[1]);
        let foot = [
            vec![format!(
                "row {place}: the patch of output ({}, {}) · W{} = {}",
                at[0],
                at[1],
                if case.bias.is_empty() { "" } else { " + b" },
                cells.collect::<Vec<_>>().join(", ")
            )],
            vec![format!(
                "col has {} numbers, x has {}: the price of one product instead of nested loops",
                self.col.data.len(),
                g.x_len()
            )],
        ];
        let subtitle = "each row of col is the patch of one output, each column of W a kernel".into();
        let description = format!("A {}x{} matrix of patches times the kernels.", self.col.rows(), self.col.columns);
        Sheet { title: "im2col: a convolution as one matrix product".into(), subtitle, columns, foot, description }
    }
}

// The input with a patch tinted.
fn patch(g: &Geometry, x: &Maps, (channel, at): (usize, [usize; 2])) -> Matrix {
    let axes = [&g.h, &g.w];
    let mut plane = Padded::new(x, channel, axes, &show(g.pad_value.into()));
    for tap in 0..g.h.kernel * g.w.kernel {
        if let Some(place) = plane.under(axes, at, [tap / g.w.kernel, tap % g.w.kernel]) {
            *place = place.clone().fill(Paint::Tint(X)).edge(Paint::Series(X));
        }
    }
    let wide = Matrix::width_for(&plane.cells, 34.0);
    plane.matrix(numbered("x", "channel", g.ic, channel), (wide, 34.0))
}

fn check_row(row: usize, rows: usize) -> Result<()> {
    if row < rows {
        return Ok(());
    }
    Err(Error::argument(format!("there is no row {row}: the matrix has {rows}"))
        .with_help(format!("rows are 0 to {}, one for each output", rows - 1)))
}

impl Col2im {
    /// The whole way back, row after row: `dx` grows.
    ///
    /// # Errors
    /// There are too many rows, or the picture would be too large.
    pub fn animation(&self) -> Result<Animation> {
        row_limit(self.dcol.rows())?;
        let sheets = (0..self.dcol.rows()).map(|row| self.sheet(row));
        Animation::new(frames(&sheets.collect::<Vec<_>>())?, PACE)
    }

    /// The end of the way back, at its last row.
    ///
    /// # Errors
    /// The picture would be too large.
    pub fn picture(&self) -> Result<Picture> {
        row_limit(self.dcol.rows())?;
        Ok(Picture::new(self.sheet(self.dcol.rows() - 1).scene()?))
    }

    // After `row` was added.
    fn sheet(&self, row: usize) -> Sheet {
        let g = &self.geometry;
        let at = [row / g.w.output, row % g.w.output];
        let dy = table(&self.dy, format!("dy  {}×{}", self.dy.rows(), g.oc), (Some(row), usize::MAX, Y));
        let mut turned = Table { columns: self.w.rows(), data: Vec::new() };
        turned.data =
            (0..g.oc).flat_map(|k| (0..self.w.rows()).map(move |t| (t, k))).map(|(t, k)| self.w.at(t, k)).collect();
        let mut w = table(&turned, format!("W transposed  {}×{}", g.oc, turned.columns), (None, usize::MAX, W));
        w.cells.iter_mut().for_each(|cell| cell.fill = Paint::Tint(W));
        let dcol = Matrix {
            row_names: pixel_names(g),
            column_names: tap_names(g),
            ..table(&self.dcol, "dcol".into(), (Some(row), usize::MAX, X))
        };
        let columns = vec![
            Column::Own(vec![dy]),
            Column::Words(vec!["·".into()], 10.0),
            Column::Own(vec![w]),
            Column::Words(vec!["=".into()], 14.0),
            Column::Own(vec![dcol]),
            Column::Words(vec!["→".into()], 16.0),
            Column::Own((0..g.ic).map(|c| self.grown(row, (c, at))).collect()),
        ];
        let foot = [
            vec![format!("row {},{} is added to the patch of output ({}, {})", at[0], at[1], at[0], at[1])],
            vec![
                "an input in several patches has several summands; a col2im that overwrites keeps the last alone"
                    .into(),
            ],
        ];
        let subtitle = "each element of dcol is added to where im2col took it from".into();
        let description = "The gradient to the input, added up row after row.".into();
        Sheet { title: "col2im: the gradient to the input adds up".into(), subtitle, columns, foot, description }
    }

    // dx after `row`, with what the row adds noted in its patch.
    fn grown(&self, row: usize, (channel, at): (usize, [usize; 2])) -> Matrix {
        let g = &self.geometry;
        let [h, w, c] = self.dx.dims();
        let so_far = |i: usize| self.summands[i].iter().filter(|s| s.row <= row).map(|s| s.value).sum::<f64>();
        let dx = Maps::from_fn([h, w, c], |i, j, k| so_far((i * w + j) * c + k));
        let axes = [&g.h, &g.w];
        let mut plane = Padded::new(&dx, channel, axes, "");
        let signed = |v: f64| if v < 0.0 { show(v) } else { format!("+{}", show(v)) };
        for tap in 0..g.h.kernel * g.w.kernel {
            let note = signed(self.dcol.at(row, tap * g.ic + channel));
            if let Some(place) = plane.under(axes, at, [tap / g.w.kernel, tap % g.w.kernel]) {
                *place = place.clone().fill(Paint::Tint(X)).edge(Paint::Series(X)).note(note);
            }
        }
        let all = self.dcol.data.iter().map(|v| NumberCell::new(show(*v)).note(signed(*v)));
        let ends = self.dx.data().iter().map(|v| NumberCell::new(show(*v)));
        let wide = Matrix::width_for(&all.chain(ends).collect::<Vec<_>>(), 40.0) + 4.0;
        plane.matrix(numbered("dx", "channel", g.ic, channel), (wide, 40.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::assert_labels_are_apart;
    use super::*;
    use crate::conv::Padding;
    use crate::inspect::explain::Convolution;
    use crate::visual::Shape;

    fn cases() -> Vec<Convolution> {
        let some = |dims: [usize; 3], salt: usize| {
            Maps::from_fn(dims, |i, j, c| ((i * 7 + j * 3 + c * 5 + salt) % 11) as f64 - 4.0)
        };
        let deep = Convolution {
            x: some([3, 4, 2], 0),
            kernels: vec![some([2, 2, 2], 1), some([2, 2, 2], 5)],
            bias: vec![],
            padding: Padding::Same,
            ..Convolution::example()
        };
        vec![Convolution::example(), deep]
    }

    #[test]
    fn each_row_is_its_patch() {
        for case in cases() {
            let lowered = case.im2col().unwrap();
            let animation = lowered.animation().unwrap();
            let g = lowered.steps.geometry;
            for frame in animation.frames() {
                assert_labels_are_apart(frame);
                let count =
                    |paint| frame.shapes().iter().filter(|s| matches!(s, Shape::Fill(_, p) if *p == paint)).count();
                // The patch and its row are tinted alike, all of W, and the row of y.
                assert_eq!(count(Paint::Tint(X)), 2 * g.terms());
                assert_eq!([count(Paint::Tint(W)), count(Paint::Tint(Y))], [g.w_len(), g.oc]);
            }
        }
        assert!(Convolution::example().im2col().unwrap().picture(9).unwrap_err().to_string().contains("no row 9"));
    }

    #[test]
    fn the_last_page_of_col2im_has_the_gradient() {
        for case in cases() {
            let back = case.col2im(None).unwrap();
            let animation = back.animation().unwrap();
            animation.frames().iter().for_each(assert_labels_are_apart);
            let words: Vec<&str> = animation.frames().last().unwrap().texts().map(|t| t.content()).collect();
            for v in back.dx.data() {
                assert!(words.contains(&show(*v).as_str()), "{v} is not in {words:?}");
            }
        }
    }
}
