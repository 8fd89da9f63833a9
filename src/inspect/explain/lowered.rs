//! im2col and col2im step by step: a convolution as one matrix product, and the way back.
//!
//! ```text
//! col  = im2col(x)          [oh ow, kh kw ic]: a row for each output, its patch
//! y    = col W + b          W = [kh kw ic, oc]: a column for each kernel
//! dcol = dy W^T
//! dx   = col2im(dcol)       each element is added to where it came from
//! ```
//!
//! The matrices are those of [`crate::conv::lowered`] (M22, M23, M24, M25); an input that lies in several patches gets
//! several summands, which a col2im that writes instead of adding loses (D4).

use serde::Serialize;

use super::text::{self, Block, beside, factor, indented, num, plane, titled, wrapped};
use super::{ConvSteps, Convolution, Maps};
use crate::conv::{Geometry, lowered};
use crate::error::{Error, Result};

/// A matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Numbers in a row.
    pub columns: usize,
    /// The numbers.
    pub data: Vec<f64>,
}

impl Table {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.data.len() / self.columns
    }

    /// The number in this row and column.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.data[row * self.columns + column]
    }
}

impl Serialize for Table {
    /// As a list of rows.
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.data.chunks(self.columns))
    }
}

/// A convolution as a matrix product.
#[derive(Debug, Clone, PartialEq)]
pub struct Im2col {
    /// The same, output by output.
    pub steps: ConvSteps,
    /// The patches, one in each row.
    pub col: Table,
    /// The kernels, one in each column.
    pub w: Table,
    /// The product, with the bias: a row for each output, a column for each kernel.
    pub y: Table,
}

/// One summand of an input's gradient: where it stands in `dcol`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summand {
    /// The row: the output.
    pub row: usize,
    /// The column: the place in the patch.
    pub column: usize,
    /// The number.
    pub value: f64,
}

/// The way back: from `dy` to `dx`.
#[derive(Debug, Clone, PartialEq)]
pub struct Col2im {
    /// The convolution.
    pub case: Convolution,
    /// The sizes.
    pub geometry: Geometry,
    /// The gradient to the output: a row for each output, a column for each kernel.
    pub dy: Table,
    /// The kernels, one in each column.
    pub w: Table,
    /// `dy W^T`: what each element of each patch gets.
    pub dcol: Table,
    /// What each input is the sum of, in the order of [`Maps::data`].
    pub summands: Vec<Vec<Summand>>,
    /// The gradient to the input.
    pub dx: Maps,
    /// What is left of it if each summand overwrites the one before.
    pub overwritten: Maps,
}

impl Convolution {
    fn one_group(&self) -> Result<Geometry> {
        let g = self.geometry()?;
        if g.groups == 1 {
            return Ok(g);
        }
        Err(Error::shape(format!("{} groups are {} products, one for each", g.groups, g.groups))
            .with_help("explain one group: give its channels and kernels alone"))
    }

    /// im2col and the product.
    ///
    /// ```
    /// use striate::inspect::explain::Convolution;
    /// let lowered = Convolution::example().im2col()?;
    /// assert_eq!((lowered.col.rows(), lowered.col.columns), (9, 4));
    /// assert_eq!(lowered.y.data, lowered.steps.y.data());
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Convolution::geometry`]; more than one group.
    pub fn im2col(&self) -> Result<Im2col> {
        let g = self.one_group()?;
        let (pixels, terms) = (g.h.output * g.w.output, g.terms());
        let mut col = Table { columns: terms, data: vec![0.0; pixels * terms] };
        lowered::im2col(&g, self.x.data(), &mut col.data);
        let w = Table { columns: g.oc, data: self.weights() };
        let at = |p: usize, k: usize| {
            (0..terms).map(|t| col.at(p, t) * w.at(t, k)).sum::<f64>() + self.bias.get(k).copied().unwrap_or(0.0)
        };
        let data = (0..pixels * g.oc).map(|i| at(i / g.oc, i % g.oc)).collect();
        Ok(Im2col { steps: self.steps()?, y: Table { columns: g.oc, data }, col, w })
    }

    /// The way back with `dy`; ones if there is none.
    ///
    /// # Errors
    /// As [`Convolution::im2col`]; a `dy` of another size.
    pub fn col2im(&self, dy: Option<&Maps>) -> Result<Col2im> {
        let g = self.one_group()?;
        let dims = [g.h.output, g.w.output, g.oc];
        if let Some(dy) = dy.filter(|dy| dy.dims() != dims) {
            let ([a, b, c], [h, w, k]) = (dy.dims(), dims);
            return Err(Error::shape(format!("dy is {a}x{b}x{c}, the output is {h}x{w}x{k}"))
                .with_help("dy has a number for each output; leave it away for ones"));
        }
        let data = dy.map_or(vec![1.0; g.y_len()], |dy| dy.data().to_vec());
        let (dy, w) = (Table { columns: g.oc, data }, Table { columns: g.oc, data: self.weights() });
        let terms = g.terms();
        let product = |p: usize, t: usize| (0..g.oc).map(|k| dy.at(p, k) * w.at(t, k)).sum();
        let data = (0..dy.rows() * terms).map(|i| product(i / terms, i % terms)).collect();
        let dcol = Table { columns: terms, data };
        let mut dx = vec![0.0; g.x_len()];
        lowered::col2im(&g, &dcol.data, &mut dx);
        let summands = summands(&g, &dcol);
        let [h, width, c] = self.x.dims();
        let last = |i: usize| summands[i].last().map_or(0.0, |s| s.value);
        let overwritten = Maps::from_fn([h, width, c], |i, j, k| last((i * width + j) * c + k));
        let dx = Maps::from_fn([h, width, c], |i, j, k| dx[(i * width + j) * c + k]);
        Ok(Col2im { case: self.clone(), geometry: g, dy, w, dcol, summands, dx, overwritten })
    }
}

// The place of row and column of col in the input; none in the padding.
fn origin(g: &Geometry, row: usize, column: usize) -> Option<usize> {
    let (oh, ow, c) = (row / g.w.output, row % g.w.output, column % g.ic);
    let (kh, kw) = (column / g.ic / g.w.kernel, column / g.ic % g.w.kernel);
    let (i, j) = g.h.input_at(oh, kh).zip(g.w.input_at(ow, kw))?;
    Some((i * g.w.input + j) * g.ic + c)
}

fn summands(g: &Geometry, dcol: &Table) -> Vec<Vec<Summand>> {
    let mut all = vec![Vec::new(); g.x_len()];
    for (i, value) in dcol.data.iter().enumerate() {
        let (row, column) = (i / dcol.columns, i % dcol.columns);
        if let Some(at) = origin(g, row, column) {
            all[at].push(Summand { row, column, value: *value });
        }
    }
    all
}

/// The names of the columns of col, such as `0,1` for the place in the patch, with the channel where there are several.
pub(super) fn tap_names(g: &Geometry) -> Vec<String> {
    let name = |t: usize| {
        let (u, v) = (t / g.ic / g.w.kernel, t / g.ic % g.w.kernel);
        if g.ic == 1 { format!("{u},{v}") } else { format!("{u},{v},{}", t % g.ic) }
    };
    (0..g.terms()).map(name).collect()
}

/// The names of the rows of col: the outputs.
pub(super) fn pixel_names(g: &Geometry) -> Vec<String> {
    (0..g.h.output * g.w.output).map(|p| format!("{},{}", p / g.w.output, p % g.w.output)).collect()
}

// A matrix with names, as many of its columns as a page holds, and `rows` of its rows.
fn table(table: &Table, row_names: &[String], column_names: &[String], rows: usize) -> Block {
    let shown: Vec<Vec<String>> =
        (0..table.rows().min(rows)).map(|i| (0..table.columns).map(|j| num(table.at(i, j))).collect()).collect();
    let len = |s: &String| s.chars().count();
    let wide = |j: usize| shown.iter().map(|r| len(&r[j])).chain(column_names.get(j).map(len)).max().unwrap_or(0);
    let first = row_names.iter().map(len).max().unwrap_or(0);
    let mut room = text::WIDTH.saturating_sub(first + 12);
    let fits = (0..table.columns).take_while(|j| {
        let need = wide(*j) + 2;
        let fits = need <= room;
        room = room.saturating_sub(need);
        fits
    });
    let columns = fits.count().max(1);
    let more = if columns < table.columns { "  ..." } else { "" };
    let line = |name: &str, cells: &[String], ends: [&str; 2]| {
        let cells: Vec<String> = (0..columns).map(|j| format!("{:>w$}", cells[j], w = wide(j))).collect();
        format!("{name:>first$} {} {}{more} {}", ends[0], cells.join("  "), ends[1]).trim_end().to_string()
    };
    let mut lines = Block::new();
    lines.extend((!column_names.is_empty()).then(|| line("", column_names, [" ", ""])));
    lines.extend(shown.iter().enumerate().map(|(i, row)| line(row_names.get(i).map_or("", |n| n), row, ["[", "]"])));
    lines.extend((rows < table.rows()).then(|| format!("{:>first$} ... and {} more rows", "", table.rows() - rows)));
    lines
}

impl Im2col {
    /// The steps as a page of text, with at most so many rows of each matrix.
    pub fn text(&self, rows: usize) -> String {
        let g = &self.steps.geometry;
        let (pixels, terms, oc) = (self.col.rows(), self.col.columns, g.oc);
        let mut lines = vec!["im2col: a convolution as one matrix product".into(), String::new()];
        let x: Vec<Block> = (0..g.ic)
            .map(|c| {
                titled(&if g.ic == 1 { "x".into() } else { format!("x, channel {c}") }, plane(&self.steps.case.x, c))
            })
            .collect();
        lines.extend(indented(&beside(&x, 3)));
        lines
            .extend([String::new(), format!("col = im2col(x)  {pixels}x{terms}: each row is the patch of one output")]);
        lines.push("rows are outputs (i,j), columns places of the patch (u,v)".into());
        lines.extend(indented(&table(&self.col, &pixel_names(g), &tap_names(g), rows)));
        let b = if self.steps.case.bias.is_empty() {
            String::new()
        } else {
            format!(", b = {}", self.steps.case.bias.iter().map(|b| num(*b)).collect::<Vec<_>>().join(", "))
        };
        lines.extend([String::new(), format!("W  {terms}x{oc}: each column is a kernel{b}")]);
        lines.extend(indented(&table(&self.w, &tap_names(g), &[], rows.max(terms.min(64)))));
        lines.extend([String::new(), format!("y = col W + b  {pixels}x{oc}")]);
        lines.extend(indented(&table(&self.y, &pixel_names(g), &[], rows)));
        let name = |k: usize| if oc == 1 { "y".into() } else { format!("y, channel {k}") };
        let y: Vec<Block> = (0..oc).map(|k| titled(&name(k), plane(&self.steps.y, k))).collect();
        lines.extend([String::new(), format!("Folded to {}x{}x{oc}:", g.h.output, g.w.output)]);
        lines.extend(indented(&beside(&y, 3)));
        let (inputs, copies) = (g.x_len(), pixels * terms);
        lines.push(String::new());
        lines.extend(wrapped(&format!(
            "The price: col has {copies} numbers, x has {inputs}; the product takes {} multiply-adds, as many as the loops.",
            g.mul_adds()
        ), 0));
        text::page(&lines)
    }
}

impl Col2im {
    /// The steps as a page of text, with at most so many rows of each matrix and so many sums.
    pub fn text(&self, rows: usize) -> String {
        let g = &self.geometry;
        let (pixels, terms) = (self.dcol.rows(), self.dcol.columns);
        let mut lines =
            vec!["col2im: the way back of im2col; what it adds up is the gradient to x".into(), String::new()];
        lines.push(format!("dcol = dy W^T  {pixels}x{terms}: what each element of each patch gets"));
        lines.push("rows are outputs (i,j), columns places of the patch (u,v)".into());
        lines.extend(indented(&table(&self.dcol, &pixel_names(g), &tap_names(g), rows)));
        lines.extend([String::new(), "dx = col2im(dcol): each element is added to where it came from".into()]);
        let channels = self.dx.dims()[2];
        for c in 0..channels {
            let name = |n: &str| if channels == 1 { n.to_string() } else { format!("{n}, channel {c}") };
            let count = |i: usize, j: usize| self.summands[(i * g.w.input + j) * g.ic + c].len() as f64;
            let counts = Maps::from_fn([g.h.input, g.w.input, 1], |i, j, _| count(i, j));
            let row = [
                titled(&name("dx"), plane(&self.dx, c)),
                titled("patches that hold it", plane(&counts, 0)),
                titled("if it overwrote", plane(&self.overwritten, c)),
            ];
            lines.extend(indented(&beside(&row, 4)));
        }
        lines.push(String::new());
        for (i, summands) in self.summands.iter().enumerate().take(rows) {
            let (row, column, c) = (i / g.ic / g.w.input, i / g.ic % g.w.input, i % g.ic);
            let at = if g.ic == 1 { format!("dx({row}, {column})") } else { format!("dx({row}, {column}, {c})") };
            let places: Vec<String> = summands.iter().map(|s| format!("dcol[{}, {}]", s.row, s.column)).collect();
            let values: Vec<String> = summands.iter().map(|s| factor(s.value)).collect();
            let sum = match summands.len() {
                0 => format!("{at} = 0: in no patch"),
                1 => format!("{at} = {} = {}", places[0], num(self.dx.data()[i])),
                _ => format!("{at} = {} = {} = {}", places.join(" + "), values.join(" + "), num(self.dx.data()[i])),
            };
            lines.extend(indented(&wrapped(&sum, 4)));
        }
        lines.extend((rows < self.summands.len()).then(|| format!("  ... and {} more", self.summands.len() - rows)));
        text::page(&lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::{Padding, reference};

    fn deep() -> Convolution {
        let some = |dims: [usize; 3], salt: usize| {
            Maps::from_fn(dims, |i, j, c| ((i * 7 + j * 3 + c * 5 + salt) % 11) as f64 - 4.0)
        };
        Convolution {
            x: some([5, 6, 2], 0),
            kernels: vec![some([3, 2, 2], 1), some([3, 2, 2], 2), some([3, 2, 2], 5)],
            bias: vec![1.0, 0.0, -1.0],
            stride: [1, 2],
            padding: Padding::Same,
            pad_value: 3.0,
            ..Convolution::example()
        }
    }

    #[test]
    fn m22_m25_the_product_is_the_convolution() {
        for case in [Convolution::example(), deep(), Convolution { flip: true, ..deep() }] {
            let lowered = case.im2col().unwrap();
            assert_eq!(lowered.y.data, lowered.steps.y.data());
            // M23: row p of col is the patch of output p, whatever the order of its products.
            for cell in lowered.steps.cells.iter().filter(|cell| cell.kernel == 0) {
                let row = cell.at[0] * lowered.steps.geometry.w.output + cell.at[1];
                for term in &cell.terms {
                    let g = &lowered.steps.geometry;
                    let column = (term.tap[0] * g.w.kernel + term.tap[1]) * g.ic + term.channel;
                    assert_eq!(lowered.col.at(row, column), term.x);
                }
            }
        }
    }

    #[test]
    fn m24_d4_the_way_back_adds_up() {
        for case in [Convolution::example(), deep()] {
            let back = case.col2im(None).unwrap();
            let mut dx = vec![0.0; back.geometry.x_len()];
            reference::backward_input(&back.geometry, &back.dy.data, &case.weights(), &mut dx);
            for (i, want) in dx.iter().enumerate() {
                let sum: f64 = back.summands[i].iter().map(|s| s.value).sum();
                assert!((back.dx.data()[i] - want).abs() < 1e-9 && (sum - want).abs() < 1e-9);
            }
            assert_ne!(back.dx, back.overwritten);
        }
    }

    #[test]
    fn the_text_fits_a_terminal() {
        let text = Convolution::example().im2col().unwrap().text(9);
        for line in ["  0,0 [   1    2    0    1 ]", "  2,2 [   1    1    2    0 ]", "y = col W + b  9x1"] {
            assert!(text.lines().any(|l| l.starts_with(line)), "'{line}' is not in:\n{text}");
        }
        let back = Convolution::example().col2im(None).unwrap().text(6);
        assert!(back.contains("dx(0, 1) = dcol[0, 1] + dcol[1, 0] = 0 + 1 = 1"), "{back}");
        let wide = Convolution {
            kernels: vec![Maps::from_fn([5, 5, 1], |i, j, _| (i + j) as f64)],
            padding: Padding::Same,
            ..Convolution::example()
        };
        for text in [
            text,
            back,
            deep().im2col().unwrap().text(4),
            deep().col2im(None).unwrap().text(4),
            wide.im2col().unwrap().text(5),
        ] {
            assert!(text.lines().all(|l| l.chars().count() <= text::WIDTH), "{text}");
        }
    }

    #[test]
    fn groups_and_wrong_gradients_are_refused() {
        let grouped = Convolution {
            x: "1 2; 3 4 | 5 6; 7 8".parse().unwrap(),
            kernels: vec!["1".parse().unwrap(); 2],
            bias: vec![],
            groups: 2,
            ..Convolution::example()
        };
        assert!(grouped.im2col().unwrap_err().to_string().contains("2 groups are 2 products"));
        let dy: Maps = "1 2".parse().unwrap();
        assert!(Convolution::example().col2im(Some(&dy)).unwrap_err().to_string().contains("the output is 3x3x1"));
    }
}
