//! Pooling step by step: each output with its window and what is taken of it.
//!
//! ```text
//! y(i, j, c) = max, mean or min of  x(i sh + u dh - top, j sw + v dw - left, c)  over u, v
//! ```
//!
//! The numbers are those of [`Pool2D`], whose twin tests compare; here each window is kept (M27, M29). Padding never
//! wins, the first of equal values does.

use serde::Serialize;

use super::Maps;
use super::text::{self, Block, beside, bracketed, indented, num, plane, sign, titled, wrapped};
use super::{MOST_TERMS, Show};
use crate::conv::{Axis, Window};
use crate::error::{Error, Result};
use crate::ops::{Pool2D, PoolKind, Rule};

/// A pool of small numbers, as a user gives it.
///
/// ```
/// use striate::inspect::explain::PoolCase;
/// let steps = PoolCase::example().steps()?;
/// assert_eq!(steps.y.plane(0), [[2.0, 3.0], [4.0, 2.0]]);
/// assert_eq!(steps.cells[1].winner, Some([1, 3]));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PoolCase {
    /// The input.
    pub x: Maps,
    /// The layer.
    pub pool: Pool2D,
}

/// A place under a window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tap {
    /// The place in the window.
    pub tap: [usize; 2],
    /// The place in the input; none in the padding.
    pub from: Option<[usize; 2]>,
    /// What stands there; none in the padding.
    pub x: Option<f64>,
}

/// One output and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolCell {
    /// Row and column.
    pub at: [usize; 2],
    /// The channel, of the input as of the output.
    pub channel: usize,
    /// What lies under the window, row after row.
    pub taps: Vec<Tap>,
    /// The place in the input of the largest or smallest; none for an average.
    pub winner: Option<[usize; 2]>,
    /// What an average divides by.
    pub count: usize,
    /// The output.
    pub y: f64,
}

/// All outputs of a pool with their steps.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolSteps {
    /// What was asked for.
    pub case: PoolCase,
    /// The vertical axis and the horizontal one.
    pub axes: [Axis; 2],
    /// The output.
    pub y: Maps,
    /// Its numbers, channel after channel, row after row.
    pub cells: Vec<PoolCell>,
}

impl PoolCase {
    /// The worked example of a 2x2 maximum pool on 4x4 (M29).
    pub fn example() -> Self {
        let data = [1., 2., 1., 0., 0., 1., 2., 3., 3., 0., 1., 2., 2., 4., 0., 1.];
        Self { x: Maps::from_fn([4, 4, 1], |i, j, _| data[4 * i + j]), pool: Pool2D::max(2) }
    }

    /// The windows along both axes.
    ///
    /// # Errors
    /// The window does not fit the input, or there is too much to show.
    pub fn axes(&self) -> Result<[Axis; 2]> {
        let [h, w, c] = self.x.dims();
        self.pool.shape(&[[h, w, c].into()])?;
        let Pool2D { window, stride, padding, dilation, ceil, .. } = self.pool;
        let stride = stride.unwrap_or(window);
        let axes = Window { kernel: window, stride, dilation, padding, ceil }.axes(h, w)?;
        let places = axes.iter().map(|a| a.output.saturating_mul(a.kernel)).fold(c, usize::saturating_mul);
        if places > MOST_TERMS {
            return Err(Error::shape(format!("{places} places under windows are too many to be shown one by one"))
                .with_help(format!("give a smaller input: at most {MOST_TERMS} in all")));
        }
        Ok(axes)
    }

    /// Each output with its window.
    ///
    /// # Errors
    /// As [`PoolCase::axes`].
    pub fn steps(&self) -> Result<PoolSteps> {
        let axes = self.axes()?;
        let (oh, ow, c) = (axes[0].output, axes[1].output, self.x.dims()[2]);
        let at = |i: usize| (i / (oh * ow), [i / ow % oh, i % ow]);
        let cells: Vec<PoolCell> = (0..oh * ow * c).map(|i| self.cell(&axes, at(i))).collect();
        let y = Maps::from_fn([oh, ow, c], |i, j, c| cells[(c * oh + i) * ow + j].y);
        Ok(PoolSteps { case: self.clone(), axes, y, cells })
    }

    fn cell(&self, axes: &[Axis; 2], (channel, at): (usize, [usize; 2])) -> PoolCell {
        let [v, h] = axes;
        let tap = |k: usize| {
            let tap = [k / h.kernel, k % h.kernel];
            let from = v.input_at(at[0], tap[0]).zip(h.input_at(at[1], tap[1])).map(|(i, j)| [i, j]);
            Tap { tap, from, x: from.map(|[i, j]| self.x.at(i, j, channel)) }
        };
        let taps: Vec<Tap> = (0..v.kernel * h.kernel).map(tap).collect();
        let seen: Vec<([usize; 2], f64)> = taps.iter().filter_map(|t| t.from.zip(t.x)).collect();
        // What ceil mode adds beyond the padding never counts.
        let inside = |axis: &Axis, o: usize| {
            let end = axis.before + axis.input + axis.after;
            (0..axis.kernel).filter(|k| o * axis.stride + k * axis.dilation < end).count()
        };
        let count = if self.pool.count_padding { inside(v, at[0]) * inside(h, at[1]) } else { seen.len() };
        let best = |better: fn(f64, f64) -> bool| {
            seen.iter().copied().reduce(|best, next| if better(next.1, best.1) { next } else { best })
        };
        let winner = match self.pool.kind {
            PoolKind::Max => best(|a, b| a > b),
            PoolKind::Min => best(|a, b| a < b),
            PoolKind::Average => None,
        };
        let mean = seen.iter().map(|s| s.1).sum::<f64>() / count as f64;
        PoolCell { at, channel, taps, winner: winner.map(|w| w.0), count, y: winner.map_or(mean, |w| w.1) }
    }

    /// `max`, `mean` or `min`.
    pub fn word(&self) -> &'static str {
        match self.pool.kind {
            PoolKind::Max => "max",
            PoolKind::Average => "mean",
            PoolKind::Min => "min",
        }
    }
}

impl PoolSteps {
    /// The output at row, column and channel.
    ///
    /// # Errors
    /// There is no such output.
    pub fn cell(&self, [i, j, c]: [usize; 3]) -> Result<&PoolCell> {
        let [h, w, channels] = self.y.dims();
        if i < h && j < w && c < channels {
            return Ok(&self.cells[(c * h + i) * w + j]);
        }
        Err(Error::argument(format!("there is no output ({i}, {j}) of channel {c}: the output is {h}x{w}x{channels}"))
            .with_help(format!("rows are 0 to {}, columns 0 to {}, channels 0 to {}", h - 1, w - 1, channels - 1)))
    }

    /// An output in numbers, such as `y(0, 0) = max(1, 2, 0, 1) = 2 at x(0, 1)`.
    pub fn equation(&self, cell: &PoolCell) -> String {
        let seen: Vec<String> = cell.taps.iter().filter_map(|t| t.x).map(num).collect();
        let name = self.name_of(cell);
        match cell.winner {
            Some([i, j]) => {
                format!("{name} = {}({}) = {} at x({i}, {j})", self.case.word(), seen.join(", "), num(cell.y))
            }
            None => format!("{name} = ({}) / {} = {}", seen.join(" + "), cell.count, num(cell.y)),
        }
    }

    /// `y(0, 1)`, with the channel where there are several.
    pub fn name_of(&self, cell: &PoolCell) -> String {
        let [i, j] = cell.at;
        if self.y.dims()[2] == 1 { format!("y({i}, {j})") } else { format!("y({i}, {j}, {})", cell.channel) }
    }

    /// The first and last place of a window, such as `[0, 0] ~ [1, 1]`; negative ones lie in the padding.
    pub fn range(&self, cell: &PoolCell) -> String {
        let ends = |i: usize| {
            let axis = &self.axes[i];
            let start = (cell.at[i] * axis.stride) as isize - axis.before as isize;
            (start, start + axis.reach() as isize - 1)
        };
        let ((top, bottom), (left, right)) = (ends(0), ends(1));
        format!("[{top}, {left}] ~ [{bottom}, {right}]")
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
                self.cells.iter().take(n).for_each(|cell| lines.extend(self.cell_text(cell)));
                if n < self.cells.len() {
                    lines.extend([String::new(), format!("... and {} more outputs", self.cells.len() - n)]);
                }
            }
        }
        Ok(text::page(&lines))
    }

    fn opening(&self) -> Block {
        let what = match self.case.pool.kind {
            PoolKind::Max => "Maximum pooling: of each window the largest number",
            PoolKind::Average => "Average pooling: of each window the mean",
            PoolKind::Min => "Minimum pooling: of each window the smallest number",
        };
        let mut lines = vec![what.to_string(), "No parameters; each channel alone; as many channels as before.".into()];
        lines.extend([String::new(), "Size of the output: floor((in + before + after - reach) / stride) + 1".into()]);
        lines.extend(indented(&text::sizes([&self.axes[0], &self.axes[1]])));
        for c in 0..self.y.dims()[2] {
            let name = |n: &str| if self.y.dims()[2] == 1 { n.into() } else { format!("{n}, channel {c}") };
            let x = titled(&name("x"), plane(&self.case.x, c));
            let (arrow, y) = (sign("->", self.y.dims()[0]), titled(&name("y"), plane(&self.y, c)));
            lines.push(String::new());
            lines.extend(indented(&beside(&[x, arrow, y], 3)));
        }
        lines.extend([
            String::new(),
            "Window by window, from the left, then down; places are [row, column] from 0:".into(),
        ]);
        lines
    }

    fn cell_text(&self, cell: &PoolCell) -> Block {
        let taps = cell.taps.chunks(self.axes[1].kernel);
        let show = |t: &Tap| match t.x {
            Some(x) if t.from == cell.winner => format!("{}*", num(x)),
            Some(x) => num(x),
            None if self.case.pool.count_padding => "(0)".into(),
            None => "-".into(),
        };
        let window = bracketed(&taps.map(|row| row.iter().map(show).collect()).collect::<Vec<_>>());
        let mut lines = vec![String::new(), format!("{:<8}  x{}", self.name_of(cell), self.range(cell))];
        lines.extend(indented(&window));
        lines.extend(indented(&wrapped(&self.equation(cell), 4)));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::Padding;
    use crate::ops::{Mode, Twin};
    use crate::rng::Rng;

    fn cases() -> Vec<PoolCase> {
        let x = Maps::from_fn([6, 7, 2], |i, j, c| ((i * 7 + j * 3 + c * 5) % 11) as f64 - 4.0);
        let mut all = vec![PoolCase::example()];
        for kind in [PoolKind::Max, PoolKind::Average, PoolKind::Min] {
            for pool in [
                Pool2D::new(kind, [2, 2]),
                Pool2D::new(kind, [3, 2]).strides([2, 1]).padding(Padding::Same),
                Pool2D::new(kind, [3, 3]).stride(2).padding(Padding::all(1)).ceil(true).count_padding(true),
                Pool2D::new(kind, [2, 2]).stride(1).dilation([2, 3]),
            ] {
                all.push(PoolCase { x: x.clone(), pool });
            }
        }
        all
    }

    #[test]
    fn m27_m29_the_steps_give_what_the_layer_gives() {
        for case in cases() {
            let steps = case.steps().unwrap();
            let (w, rng) = ([], Rng::new(0));
            let shapes = [case.x.dims().into()];
            let twin = Twin { batch: 1, x: &[case.x.data()], shapes: &shapes, w: &w, mode: Mode::Infer, rng };
            assert_eq!(steps.y.data(), case.pool.twin(&twin), "{:?}", case.pool);
            for cell in &steps.cells {
                let wins = |[i, j]: [usize; 2]| case.x.at(i, j, cell.channel) == cell.y;
                assert!(cell.winner.is_none_or(wins));
            }
        }
    }

    #[test]
    fn m29_the_text_has_the_ranges_of_the_notes() {
        let text = PoolCase::example().steps().unwrap().text(Show::First(4)).unwrap();
        for line in [
            "y(0, 0)   x[0, 0] ~ [1, 1]",
            "  y(0, 0) = max(1, 2, 0, 1) = 2 at x(0, 1)",
            "y(0, 1)   x[0, 2] ~ [1, 3]",
            "y(1, 0)   x[2, 0] ~ [3, 1]",
            "y(1, 1)   x[2, 2] ~ [3, 3]",
            "  [ 3   0 ]",
            "  [ 2  4* ]",
        ] {
            assert!(text.lines().any(|l| l == line), "'{line}' is not in:\n{text}");
        }
        for case in cases() {
            let text = case.steps().unwrap().text(Show::First(3)).unwrap();
            assert!(text.lines().all(|l| l.chars().count() <= text::WIDTH), "{text}");
        }
    }

    #[test]
    fn what_the_floor_drops_is_said() {
        let case = PoolCase { x: Maps::from_fn([7, 6, 1], |i, j, _| (i + j) as f64), pool: Pool2D::max(2) };
        let text = case.steps().unwrap().text(Show::First(0)).unwrap();
        assert!(text.contains("height  floor((7 + 0 + 0 - 2) / 2) + 1 = 3   the floor drops the last row"), "{text}");
        assert!(text.contains("... and 9 more outputs"));
    }

    #[test]
    fn bad_input_gets_one_clear_error() {
        let error = |pool: Pool2D| PoolCase { pool, ..PoolCase::example() }.steps().unwrap_err().to_string();
        assert!(error(Pool2D::max(5)).contains("larger than the padded input"));
        assert!(error(Pool2D::max(2).stride(0)).contains("stride 0"));
        assert!(error(Pool2D::max(2).padding(Padding::all(2))).contains("wholly in the padding"));
        assert!(PoolCase::example().steps().unwrap().cell([0, 2, 0]).unwrap_err().to_string().contains("2x2x1"));
    }
}
