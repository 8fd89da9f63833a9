//! A convolution step by step: each output with its patch, its products, their sum and the bias.
//!
//! ```text
//! cross-correlation   y(i, j, k) = b_k + sum over u, v, c of  x(i sh + u dh - top, j sw + v dw - left, c) w(u, v, c, k)
//! convolution         the same with the kernel flipped: w(kh - 1 - u, kw - 1 - v, c, k)
//! ```
//!
//! Networks compute the first and call it the second (M4, M6). Outside of the image stands the padding value (M11).
//! The numbers are those of [`crate::conv::reference`], which tests compare; here each product is kept.

use std::fmt::Write;

use serde::Serialize;

use super::Maps;
use super::text::{self, Block, beside, bracketed, factor, indented, num, plane, sign, titled, wrapped};
use crate::conv::{Axis, Channels, Geometry, Padding, Window};
use crate::error::{Error, Result};

/// More products than this are not explained one by one.
pub(super) const MOST_TERMS: usize = 1 << 20;

/// A convolution of small numbers, as a user gives it.
///
/// ```
/// use striate::inspect::explain::Convolution;
/// let conv = Convolution { x: "1 2; 3 4".parse()?, kernels: vec!["1 10".parse()?], ..Convolution::example() };
/// let steps = Convolution { bias: vec![], ..conv }.steps()?;
/// assert_eq!(steps.y.plane(0), [[21.0], [43.0]]);
/// assert_eq!(steps.cells[1].terms[1].product, 40.0);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// The input.
    pub x: Maps,
    /// The kernels, each with as many channels as the input has in a group.
    pub kernels: Vec<Maps>,
    /// A bias for each kernel, or none.
    pub bias: Vec<f64>,
    /// Step between outputs, down and to the right.
    pub stride: [usize; 2],
    /// Distance between the kernel's elements.
    pub dilation: [usize; 2],
    /// Padding of the input.
    pub padding: Padding,
    /// What stands in the padding.
    pub pad_value: f32,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether the kernel is flipped, as convolution by its definition does.
    pub flip: bool,
}

/// One product of an output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Term {
    /// The channel of the input.
    pub channel: usize,
    /// The place in the kernel as it lies on the input.
    pub tap: [usize; 2],
    /// The place in the input; none in the padding.
    pub from: Option<[usize; 2]>,
    /// What stands there.
    pub x: f64,
    /// The weight on it.
    pub w: f64,
    /// `x w`.
    pub product: f64,
}

/// One output and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConvCell {
    /// Row and column.
    pub at: [usize; 2],
    /// The kernel: the channel of the output.
    pub kernel: usize,
    /// Its products, channel after channel, row after row.
    pub terms: Vec<Term>,
    /// Their sum over each channel.
    pub channel_sums: Vec<f64>,
    /// Their sum.
    pub sum: f64,
    /// What is added to it.
    pub bias: f64,
    /// The output.
    pub y: f64,
}

/// All outputs of a convolution with their steps.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvSteps {
    /// What was asked for.
    pub case: Convolution,
    /// The sizes.
    pub geometry: Geometry,
    /// The output.
    pub y: Maps,
    /// Its numbers, kernel after kernel, row after row.
    pub cells: Vec<ConvCell>,
}

/// Which outputs a text shows with their products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// The first so many.
    First(usize),
    /// The one in this row and column of this channel.
    Cell([usize; 3]),
}

impl Convolution {
    /// A 4x4 input under a 2x2 kernel that is not its own mirror image (M8).
    pub fn example() -> Self {
        let maps = |h: usize, w: usize, data: &[f64]| Maps::from_fn([h, w, 1], |i, j, _| data[i * w + j]);
        Self {
            x: maps(4, 4, &[1., 2., 0., 1., 0., 1., 3., 2., 2., 0., 1., 1., 1., 3., 2., 0.]),
            kernels: vec![maps(2, 2, &[1., 0., 2., -1.])],
            bias: vec![1.0],
            stride: [1, 1],
            dilation: [1, 1],
            padding: Padding::Valid,
            pad_value: 0.0,
            groups: 1,
            flip: false,
        }
    }

    /// The sizes of one image.
    ///
    /// # Errors
    /// No kernel, kernels of several sizes, channels that do not fit, as many biases as do not fit, or a window that
    /// does not fit the input.
    pub fn geometry(&self) -> Result<Geometry> {
        let Some(first) = self.kernels.first() else {
            return Err(Error::argument("a convolution without a kernel").with_help("give at least one"));
        };
        let [kh, kw, channels] = first.dims();
        if let Some(k) = self.kernels.iter().position(|kernel| kernel.dims() != first.dims()) {
            let [h, w, c] = self.kernels[k].dims();
            return Err(Error::shape(format!("kernel {k} is {h}x{w}x{c}, kernel 0 is {kh}x{kw}x{channels}"))
                .with_help("all kernels have one size"));
        }
        let [h, w, ic] = self.x.dims();
        let oc = self.kernels.len();
        if !self.bias.is_empty() && self.bias.len() != oc {
            return Err(Error::shape(format!("{} biases for {oc} kernels", self.bias.len()))
                .with_help("give one for each kernel, or none"));
        }
        if let Some(b) = self.bias.iter().find(|b| !b.is_finite()) {
            return Err(Error::argument(format!("a bias is {b}")).with_help("give finite numbers"));
        }
        let window = Window {
            kernel: [kh, kw],
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
            ceil: false,
        };
        let (groups, pad_value) = (self.groups, self.pad_value);
        let g = Geometry::new(1, [h, w], Channels { ic, oc, groups, pad_value }, &window)?;
        if channels != g.ic_per_group() {
            let each = g.ic_per_group();
            return Err(Error::shape(format!("a kernel has {channels} channels, the input {ic} in {groups} groups"))
                .with_help(format!("give kernels of {each} channels, apart by '|', or other groups")));
        }
        if g.y_len().saturating_mul(g.terms()) > MOST_TERMS {
            return Err(Error::shape(format!("{} products are too many to be shown one by one", g.mul_adds()))
                .with_help(format!("give a smaller input: at most {MOST_TERMS} products in all")));
        }
        Ok(g)
    }

    /// The weights as they lie on the input, `[kh, kw, ic / groups, oc]`.
    pub fn weights(&self) -> Vec<f64> {
        let laid: Vec<Maps> = self.kernels.iter().map(|k| if self.flip { k.flipped() } else { k.clone() }).collect();
        let len = laid.first().map_or(0, |k| k.data().len());
        (0..len).flat_map(|i| laid.iter().map(move |k| k.data()[i])).collect()
    }

    /// Each output with its products.
    ///
    /// # Errors
    /// As [`Convolution::geometry`].
    pub fn steps(&self) -> Result<ConvSteps> {
        let g = self.geometry()?;
        let w = self.weights();
        let places = |k: usize| (0..g.h.output * g.w.output).map(move |at| (k, [at / g.w.output, at % g.w.output]));
        let cells: Vec<ConvCell> = (0..g.oc).flat_map(places).map(|(k, at)| self.cell(&g, &w, k, at)).collect();
        let pixels = g.h.output * g.w.output;
        let y = Maps::from_fn([g.h.output, g.w.output, g.oc], |i, j, k| cells[k * pixels + i * g.w.output + j].y);
        Ok(ConvSteps { case: self.clone(), geometry: g, y, cells })
    }

    fn cell(&self, g: &Geometry, w: &[f64], kernel: usize, at: [usize; 2]) -> ConvCell {
        let first = kernel / g.oc_per_group() * g.ic_per_group();
        let term = |c: usize, tap: [usize; 2]| {
            let from = g.h.input_at(at[0], tap[0]).zip(g.w.input_at(at[1], tap[1])).map(|(i, j)| [i, j]);
            let x = from.map_or(f64::from(g.pad_value), |[i, j]| self.x.at(i, j, first + c));
            let w = w[((tap[0] * g.w.kernel + tap[1]) * g.ic_per_group() + c) * g.oc + kernel];
            Term { channel: first + c, tap, from, x, w, product: x * w }
        };
        let taps = g.h.kernel * g.w.kernel;
        let all = (0..g.terms()).map(|i| term(i / taps, [i % taps / g.w.kernel, i % taps % g.w.kernel]));
        let terms: Vec<Term> = all.collect();
        let channel_sums: Vec<f64> = terms.chunks(taps).map(|c| c.iter().map(|t| t.product).sum()).collect();
        let sum: f64 = channel_sums.iter().sum();
        let bias = self.bias.get(kernel).copied().unwrap_or(0.0);
        ConvCell { at, kernel, terms, channel_sums, sum, bias, y: sum + bias }
    }

    /// What it is called by its definition.
    pub fn name(&self) -> &'static str {
        if self.flip { "Convolution" } else { "Cross-correlation" }
    }
}

impl ConvSteps {
    /// The output at row, column and channel.
    ///
    /// # Errors
    /// There is no such output.
    pub fn cell(&self, [i, j, k]: [usize; 3]) -> Result<&ConvCell> {
        let g = &self.geometry;
        if i < g.h.output && j < g.w.output && k < g.oc {
            return Ok(&self.cells[(k * g.h.output + i) * g.w.output + j]);
        }
        let (h, w, oc) = (g.h.output, g.w.output, g.oc);
        Err(Error::argument(format!("there is no output ({i}, {j}) of kernel {k}: the output is {h}x{w}x{oc}"))
            .with_help(format!(
                "rows are 0 to {}, columns 0 to {}, kernels 0 to {}; all count from 0",
                h - 1,
                w - 1,
                oc - 1
            )))
    }

    /// The sum of an output in numbers, such as `1·1 + 2·0 + 1 = 2`.
    pub fn equation(&self, cell: &ConvCell) -> String {
        let products: Vec<String> = cell.terms.iter().map(|t| format!("{}·{}", factor(t.x), factor(t.w))).collect();
        let bias = if self.case.bias.is_empty() { String::new() } else { format!(" + {}", factor(cell.bias)) };
        format!("{} = {}{bias} = {}", self.name_of(cell), products.join(" + "), num(cell.y))
    }

    /// `y(0, 1)`, with the kernel where there are several.
    pub fn name_of(&self, cell: &ConvCell) -> String {
        let [i, j] = cell.at;
        if self.geometry.oc == 1 { format!("y({i}, {j})") } else { format!("y({i}, {j}, {})", cell.kernel) }
    }

    /// The steps as a page of text.
    ///
    /// # Errors
    /// The output that is asked for does not exist.
    pub fn text(&self, show: Show) -> Result<String> {
        let mut lines = self.opening();
        match show {
            Show::Cell(at) => lines.extend(self.cell_text(self.cell(at)?)),
            Show::First(n) => {
                for cell in self.cells.iter().take(n) {
                    lines.extend(self.cell_text(cell));
                }
                if n < self.cells.len() {
                    lines.extend(["".into(), format!("... and {} more outputs", self.cells.len() - n)]);
                }
            }
        }
        lines.extend(self.flipped_text()?);
        lines.extend(self.paddings());
        Ok(text::page(&lines))
    }

    fn opening(&self) -> Block {
        let (g, case) = (&self.geometry, &self.case);
        let how = if case.flip {
            "the kernel is flipped, then laid on the input"
        } else {
            "the kernel is laid on the input as it is"
        };
        let mut lines = vec![format!("{}: {how}", case.name()), String::new()];
        lines.extend(indented(&wrapped(&formula(g, case.flip), 4)));
        lines.extend([String::new(), "Size of the output: floor((in + before + after - reach) / stride) + 1".into()]);
        lines.extend(indented(&text::sizes([&g.h, &g.w])));
        lines.push(String::new());
        lines.extend(indented(&self.matrices()));
        let padded = g.h.before + g.h.after + g.w.before + g.w.after > 0;
        lines.extend(padded.then(String::new));
        lines.extend(
            padded.then(|| format!("In brackets ( ): the padding, with the value {}.", num(g.pad_value.into()))),
        );
        lines
    }

    // x, w and y side by side, channel under channel.
    fn matrices(&self) -> Block {
        let (g, case) = (&self.geometry, &self.case);
        let named = |name: &str, n: usize, i: usize| if n == 1 { name.into() } else { format!("{name}, channel {i}") };
        let x: Vec<Block> = (0..g.ic).map(|c| titled(&named("x", g.ic, c), plane(&case.x, c))).collect();
        // One channel and one kernel stand in one row with what they give.
        let together = g.ic == 1 && g.oc == 1;
        let mut lines = if together { Block::new() } else { beside(&x, 3) };
        for (k, kernel) in case.kernels.iter().enumerate() {
            let name = if g.oc == 1 { "w".into() } else { format!("w of kernel {k}") };
            let mut row: Vec<Block> = if together { x.clone() } else { Vec::new() };
            for c in 0..g.ic_per_group() {
                row.push(titled(&named(&name, g.ic_per_group(), c), plane(kernel, c)));
                if case.flip {
                    row.extend([sign("->", g.h.kernel), titled("flipped", plane(&kernel.flipped(), c))]);
                }
            }
            let bias = case.bias.get(k).map(|b| titled("bias", vec![num(*b)]));
            row.extend(bias);
            row.push(titled(&named("y", g.oc, k), plane(&self.y, k)));
            lines.extend((!together).then(String::new));
            lines.extend(beside(&row, 3));
        }
        lines
    }

    fn cell_text(&self, cell: &ConvCell) -> Block {
        let g = &self.geometry;
        let kernel = if g.oc == 1 { String::new() } else { format!(", kernel {}", cell.kernel) };
        let range = |axis: &Axis, o: usize| {
            let start = (o * axis.stride) as isize - axis.before as isize;
            format!("{start}..{}", start + axis.reach() as isize - 1)
        };
        let [i, j] = cell.at;
        let patch = format!("patch: rows {}, columns {}{kernel}", range(&g.h, i), range(&g.w, j));
        let mut lines = vec![String::new(), format!("{:<8}  {patch}", self.name_of(cell))];
        let taps = g.h.kernel * g.w.kernel;
        for (terms, sum) in cell.terms.chunks(taps).zip(&cell.channel_sums) {
            let matrix = |f: &dyn Fn(&Term) -> String| {
                bracketed(&terms.chunks(g.w.kernel).map(|row| row.iter().map(f).collect()).collect::<Vec<_>>())
            };
            let seen = matrix(&|t| if t.from.is_some() { num(t.x) } else { format!("({})", num(t.x)) });
            let (weights, products) = (matrix(&|t| num(t.w)), matrix(&|t| num(t.product)));
            let channel = if g.ic_per_group() == 1 { String::new() } else { format!("channel {}: ", terms[0].channel) };
            let rows = g.h.kernel;
            let total = sign(&format!("{channel}sum {}", num(*sum)), rows);
            lines.extend(indented(&beside(&[seen, sign("×", rows), weights, sign("=", rows), products, total], 1)));
        }
        let mut line = self.equation(cell);
        if cell.channel_sums.len() > 1 {
            let sums = cell.channel_sums.iter().map(|s| factor(*s)).collect::<Vec<_>>().join(" + ");
            let bias = if self.case.bias.is_empty() { String::new() } else { format!(" + bias {}", factor(cell.bias)) };
            line = format!("{} = {sums}{bias} = {}", self.name_of(cell), num(cell.y));
        }
        lines.extend(indented(&wrapped(&line, 4)));
        lines
    }

    // The other one of convolution and cross-correlation, beside this.
    fn flipped_text(&self) -> Result<Block> {
        let other = Convolution { flip: !self.case.flip, ..self.case.clone() }.steps()?;
        let (kernel, g) = (&self.case.kernels[0], &self.geometry);
        let what = if self.case.flip { "without the flip: cross-correlation" } else { "with the flip: convolution" };
        let mut lines = vec![
            String::new(),
            format!(
                "The same {what}, as {} it",
                if self.case.flip { "networks compute" } else { "mathematics defines" }
            ),
        ];
        let of = |name: &str| if g.oc == 1 { name.to_string() } else { format!("{name}, kernel 0") };
        let y = |name: &str, steps: &Self| titled(&of(name), plane(&steps.y, 0));
        let flipped = kernel.flipped();
        let row = [
            titled(if g.ic_per_group() == 1 { "w" } else { "w, channel 0" }, plane(kernel, 0)),
            sign("->", g.h.kernel),
            titled("flipped", plane(&flipped, 0)),
            y(if self.case.flip { "y, no flip" } else { "y, flipped" }, &other),
            y("y above", self),
        ];
        lines.extend(indented(&beside(&row, 3)));
        let same = if flipped == *kernel {
            "They agree: the kernel is its own mirror image."
        } else {
            "A kernel that is learnt may as well be learnt flipped."
        };
        lines.push(format!("  {same}"));
        Ok(lines)
    }

    fn paddings(&self) -> Block {
        let mut lines = vec![String::new(), "Its output under each padding".into()];
        let kinds = [
            (Padding::Valid, "valid", "the kernel stays inside of the input"),
            (Padding::Same, "same", "as many outputs as inputs, at stride 1"),
            (Padding::Full, "full", "each input meets each weight"),
        ];
        for (padding, name, what) in kinds {
            let size = match (Convolution { padding, ..self.case.clone() }).geometry() {
                Ok(g) => format!("{}x{}", g.h.output, g.w.output),
                Err(_) => "none".into(),
            };
            let mark = if padding == self.case.padding { "   <- above" } else { "" };
            lines.push(format!("  {name:<7}{size:<8}{what}{mark}"));
        }
        lines
    }
}

// The equation with the numbers of this geometry.
fn formula(g: &Geometry, flip: bool) -> String {
    let index = |out: &str, tap: &str, axis: &Axis| {
        let mut text = if axis.stride == 1 { out.to_string() } else { format!("{} {out}", axis.stride) };
        let _ = match axis.dilation {
            1 => write!(text, " + {tap}"),
            d => write!(text, " + {d} {tap}"),
        };
        if axis.before > 0 {
            let _ = write!(text, " - {}", axis.before);
        }
        text
    };
    let (c, k) = (if g.ic_per_group() > 1 { ", c" } else { "" }, if g.oc > 1 { ", k" } else { "" });
    let x = format!("x({}, {}{c})", index("i", "u", &g.h), index("j", "v", &g.w));
    let w = match flip {
        true => format!("w({} - u, {} - v{c}{k})", g.h.kernel - 1, g.w.kernel - 1),
        false => format!("w(u, v{c}{k})"),
    };
    format!("y(i, j{k}) = b{} + sum over u, v{c} of {x} {w}", if k.is_empty() { "" } else { "(k)" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::math::{Mode, Plane, convolve2, correlate2};
    use crate::conv::reference;

    fn some(dims: [usize; 3], salt: usize) -> Maps {
        Maps::from_fn(dims, |i, j, c| ((i * 7 + j * 3 + c * 5 + salt) % 11) as f64 - 4.0)
    }

    fn case(x: [usize; 3], kernel: [usize; 3], kernels: usize) -> Convolution {
        let kernels: Vec<Maps> = (0..kernels).map(|k| some(kernel, 3 * k + 1)).collect();
        let bias = (0..kernels.len()).map(|k| k as f64 - 0.5).collect();
        Convolution { x: some(x, 0), kernels, bias, ..Convolution::example() }
    }

    fn cases() -> Vec<Convolution> {
        let plain = case([5, 6, 1], [3, 2, 1], 1);
        let deep = case([5, 5, 4], [3, 3, 4], 3);
        vec![
            Convolution::example(),
            Convolution { padding: Padding::Same, pad_value: 2.5, ..plain.clone() },
            Convolution { padding: Padding::Full, flip: true, ..plain.clone() },
            Convolution { stride: [2, 3], dilation: [2, 1], ..plain },
            Convolution { stride: [2, 1], padding: Padding::all(2), bias: vec![], ..deep.clone() },
            Convolution { groups: 2, ..case([4, 4, 4], [2, 2, 2], 6) },
            Convolution { flip: true, ..deep },
        ]
    }

    // M17, M18, M19, M20: sum of products, over channels, plus the bias of the kernel.
    #[test]
    fn m17_m20_the_steps_give_what_the_reference_gives() {
        for case in cases() {
            let steps = case.steps().unwrap();
            let g = steps.geometry;
            let mut y = vec![0.0; g.y_len()];
            reference::forward(&g, case.x.data(), &case.weights(), &case.bias, &mut y);
            for (a, b) in steps.y.data().iter().zip(&y) {
                assert!((a - b).abs() < 1e-12, "{g}: {a} {b}");
            }
            for cell in &steps.cells {
                assert_eq!(cell.terms.len(), g.terms());
                let inside = |t: &Term| t.from.is_none_or(|[i, j]| case.x.at(i, j, t.channel) == t.x);
                assert!(cell.terms.iter().all(|t| inside(t) && t.product == t.x * t.w));
            }
        }
    }

    #[test]
    fn m4_m6_m9_both_kinds_are_those_of_mathematics() {
        let plane = |m: &Maps| Plane::new(m.dims()[0], m.dims()[1], |i, j| m.at(i, j, 0));
        let plain = Convolution { bias: vec![], ..case([5, 6, 1], [3, 3, 1], 1) };
        for (padding, mode) in [(Padding::Valid, Mode::Valid), (Padding::Same, Mode::Same), (Padding::Full, Mode::Full)]
        {
            for flip in [false, true] {
                let case = Convolution { padding, flip, ..plain.clone() };
                let (x, w) = (plane(&case.x), plane(&case.kernels[0]));
                let wanted = if flip { convolve2(&x, &w, mode) } else { correlate2(&x, &w, mode) };
                assert_eq!(case.steps().unwrap().y.data(), wanted.data(), "{padding} {flip}");
            }
        }
    }

    #[test]
    fn the_text_shows_each_step_and_fits_a_terminal() {
        for case in cases() {
            let steps = case.steps().unwrap();
            let text = steps.text(Show::First(4)).unwrap();
            assert!(text.lines().all(|l| l.chars().count() <= text::WIDTH), "{text}");
            assert!(text.contains(&steps.geometry.h.formula()), "{text}");
        }
        let text = Convolution::example().steps().unwrap().text(Show::First(9)).unwrap();
        for line in [
            "  y(i, j) = b + sum over u, v of x(i + u, j + v) w(u, v)",
            "  height  floor((4 + 0 + 0 - 2) / 1) + 1 = 3",
            "y(0, 0)   patch: rows 0..1, columns 0..1",
            "  y(0, 0) = 1·1 + 2·0 + 0·2 + 1·(-1) + 1 = 1",
            "  same   4x4     as many outputs as inputs, at stride 1",
        ] {
            assert!(text.lines().any(|l| l == line), "'{line}' is not in:\n{text}");
        }
        let one = Convolution { padding: Padding::Same, ..Convolution::example() }.steps().unwrap();
        let text = one.text(Show::Cell([3, 3, 0])).unwrap();
        assert!(text.contains("[   0  (0) ]") && !text.contains("y(0, 0) "), "{text}");
    }

    #[test]
    fn bad_input_gets_one_clear_error() {
        let error = |case: Convolution| case.steps().unwrap_err().to_string();
        let example = Convolution::example;
        assert!(error(Convolution { x: "1 2".parse().unwrap(), ..example() }).contains("larger than the padded input"));
        assert!(error(Convolution { stride: [0, 1], ..example() }).contains("stride 0 along the height"));
        assert!(error(Convolution { kernels: vec![], ..example() }).contains("without a kernel"));
        assert!(error(Convolution { bias: vec![1.0, 2.0], ..example() }).contains("2 biases for 1 kernels"));
        assert!(error(Convolution { bias: vec![f64::NAN], ..example() }).contains("a bias is NaN"));
        assert!(error(Convolution { pad_value: f32::NAN, ..example() }).contains("padding value NaN"));
        let two = "1 0; 0 1 | 1 1; 1 1".parse().unwrap();
        assert!(
            error(Convolution { kernels: vec![two], ..example() }).contains("a kernel has 2 channels, the input 1")
        );
        assert!(
            error(Convolution { x: some([200, 200, 1], 0), kernels: vec![some([9, 9, 1], 0)], ..example() })
                .contains("too many to be shown")
        );
        let steps = example().steps().unwrap();
        assert!(steps.text(Show::Cell([3, 0, 0])).unwrap_err().to_string().contains("the output is 3x3x1"));
    }
}
