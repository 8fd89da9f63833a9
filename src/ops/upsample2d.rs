//! Upsampling: an image is enlarged by repeating or by interpolating its pixels.
//!
//! ```text
//! y[oy, ox, c] = sum over iy, ix of  a[oy, iy] b[ox, ix] x[iy, ix, c]
//! ```
//!
//! Each row of `a` and of `b` has one weight of 1 (nearest) or two that sum to 1 (bilinear). The gradient is the same
//! sum with both matrices transposed, so one kernel does both.

use serde::{Deserialize, Serialize};

use super::pair::{self, Pair};
use super::pieces::{only, rows_per_piece, with_step};
use super::{Compiled, Ctx, Io, Rule, Step, Twin};
use crate::error::{Error, Result};
use crate::simd::{mul_add, stamp};
use crate::tensor::Shape;

/// How the numbers between pixels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpsampleMethod {
    /// The pixel that an output lies in.
    #[default]
    Nearest,
    /// Between the two nearest pixels along each axis, in proportion to the distance.
    Bilinear,
}

/// Upsampling: `[h, w, c]` to `[h sh, w sw, c]`, or to a given size.
///
/// Nearest: output `o` of `out` along an axis of `in` pixels is pixel `floor(o in / out)`. Bilinear: it lies at
/// `(o + 1/2) in / out - 1/2`, cut off at the first and last pixel (Keras, PyTorch); with `align_corners` at
/// `o (in - 1) / (out - 1)`, so that the corners are kept.
///
/// ```
/// use striate::ops::{Rule, Upsample2D};
/// assert_eq!(Upsample2D::nearest(2).shape(&[[7, 7, 64].into()])?, [14, 14, 64].into());
/// assert_eq!(Upsample2D::bilinear([1, 1]).to([20, 30]).shape(&[[7, 7, 64].into()])?, [20, 30, 64].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upsample2D {
    /// How many times as many rows and columns, `[sh, sw]`.
    #[serde(with = "pair", default = "ones", skip_serializing_if = "is_ones")]
    pub size: [usize; 2],
    /// How the numbers between pixels are found.
    #[serde(default)]
    pub method: UpsampleMethod,
    /// Whether bilinear interpolation keeps the corners.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub align_corners: bool,
    /// Rows and columns of the output, in place of `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<[usize; 2]>,
}

fn ones() -> [usize; 2] {
    [1, 1]
}

fn is_ones(pair: &[usize; 2]) -> bool {
    *pair == ones()
}

impl Upsample2D {
    /// `size` times as large (a number, or height and width), by `method`.
    pub fn new(size: impl Into<Pair>, method: UpsampleMethod) -> Self {
        Self { size: size.into().0, method, align_corners: false, to: None }
    }

    /// Repeats each pixel.
    pub fn nearest(size: impl Into<Pair>) -> Self {
        Self::new(size, UpsampleMethod::Nearest)
    }

    /// Interpolates between pixels.
    pub fn bilinear(size: impl Into<Pair>) -> Self {
        Self::new(size, UpsampleMethod::Bilinear)
    }

    /// Lets bilinear interpolation keep the corners.
    #[must_use]
    pub fn align_corners(self, align_corners: bool) -> Self {
        Self { align_corners, ..self }
    }

    /// So many rows and columns, whatever the input has.
    #[must_use]
    pub fn to(self, to: impl Into<Pair>) -> Self {
        Self { size: ones(), to: Some(to.into().0), ..self }
    }

    // Rows and columns of the output.
    fn output(&self, x: Shape) -> Result<[usize; 2]> {
        let [h, w] = match *x.dims() {
            [h, w, _] => [h, w],
            _ => {
                return Err(Error::shape(format!("UpSampling2D takes images [h, w, c], and {x} is none"))
                    .with_help("reshape a sequence [l, c] to [1, l, c] first"));
            }
        };
        if self.to.is_some() && self.size != ones() {
            return Err(
                Error::argument("both `size` and `to` say how large the output is").with_help("give one of them")
            );
        }
        if self.align_corners && self.method == UpsampleMethod::Nearest {
            return Err(Error::argument("align_corners is of bilinear interpolation").with_help("leave it out"));
        }
        let sizes = self.to.unwrap_or([h.saturating_mul(self.size[0]), w.saturating_mul(self.size[1])]);
        match sizes.iter().find(|size| **size == 0 || **size > 1 << 20) {
            Some(size) => {
                Err(Error::shape(format!("an image of {h} by {w} cannot be enlarged to {size} rows or columns"))
                    .with_help(format!("the output must have 1 to {} of both", 1 << 20)))
            }
            None => Ok(sizes),
        }
    }

    // The weights of the inputs for output `o`: at most two, of which the second may be missing.
    fn taps(&self, o: usize, [input, output]: [usize; 2]) -> Vec<(usize, f64)> {
        let at = match (self.method, self.align_corners) {
            (UpsampleMethod::Nearest, _) => return vec![(o * input / output, 1.0)],
            (_, true) if output == 1 => 0.0,
            (_, true) => o as f64 * (input - 1) as f64 / (output - 1) as f64,
            (_, false) => ((o as f64 + 0.5) * input as f64 / output as f64 - 0.5).clamp(0.0, (input - 1) as f64),
        };
        let (first, part) = (at as usize, at.fract());
        if part == 0.0 { vec![(first, 1.0)] } else { vec![(first, 1.0 - part), (first + 1, part)] }
    }

    fn lines(&self, x: Shape) -> Result<[Line; 2]> {
        let (dims, sizes) = (x.dims(), self.output(x)?);
        let line = |i: usize| Line::new((0..sizes[i]).map(|o| self.taps(o, [dims[i], sizes[i]])));
        Ok([line(0), line(1)])
    }
}

impl Rule for Upsample2D {
    fn class(&self) -> &'static str {
        "UpSampling2D"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        let [h, w] = self.output(x)?;
        Shape::new(&[h, w, x.channels()])
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        match self.method {
            UpsampleMethod::Nearest => 0,
            UpsampleMethod::Bilinear => 4 * y.len() as u64,
        }
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let x = ctx.x[0];
        let [h, w, c] = x.hwc()?;
        let lines = self.lines(x)?;
        let back = [lines[0].transposed(h), lines[1].transposed(w)];
        let weave = |lines, [rows, columns]: [usize; 2]| Weave {
            lines,
            read: [rows, columns * c],
            channels: c,
            row: weave(ctx.isa),
        };
        let (forward, backward) = (weave(lines, [h, w]), weave(back, self.output(x)?));
        Ok(with_step(Box::new(Resample { forward, backward })))
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let [h, w, c] = t.shapes[0].hwc().expect("checked by `shape`");
        let [oh, ow] = self.output(t.shapes[0]).expect("checked by `shape`");
        let mut y = vec![0.0; t.batch * oh * ow * c];
        for (at, y) in y.iter_mut().enumerate() {
            let (n, oy, ox, channel) = (at / c / ow / oh, at / c / ow % oh, at / c % ow, at % c);
            for (iy, a) in self.taps(oy, [h, oh]) {
                for (ix, b) in self.taps(ox, [w, ow]) {
                    *y += a * b * t.x[0][((n * h + iy) * w + ix) * c + channel];
                }
            }
        }
        y
    }
}

/// A matrix with few numbers in each row: the outputs along an axis, as sums over inputs.
#[derive(Debug, Clone)]
struct Line {
    /// Where each row of `taps` ends.
    ends: Vec<usize>,
    taps: Vec<(usize, f32)>,
}

impl Line {
    fn new(rows: impl Iterator<Item = Vec<(usize, f64)>>) -> Self {
        let mut line = Self { ends: Vec::new(), taps: Vec::new() };
        for row in rows {
            line.taps.extend(row.into_iter().map(|(i, weight)| (i, weight as f32)));
            line.ends.push(line.taps.len());
        }
        line
    }

    fn row(&self, o: usize) -> &[(usize, f32)] {
        let start = if o == 0 { 0 } else { self.ends[o - 1] };
        &self.taps[start..self.ends[o]]
    }

    // The inputs as sums over outputs.
    fn transposed(&self, inputs: usize) -> Self {
        let mut columns = vec![Vec::new(); inputs];
        for o in 0..self.ends.len() {
            self.row(o).iter().for_each(|(i, weight)| columns[*i].push((o, f64::from(*weight))));
        }
        Self::new(columns.into_iter())
    }
}

type RowFn = fn(&Weave, &[f32], &[(usize, f32)], &mut [f32]);

/// One direction: what is written, as sums over what is read.
struct Weave {
    lines: [Line; 2],
    /// Rows of what is read, and the numbers in one.
    read: [usize; 2],
    channels: usize,
    row: RowFn,
}

impl Weave {
    fn run(&self, io: &Io<'_>, from: &[f32], to: &mut [f32]) {
        let [v, h] = &self.lines;
        let (rows, len) = (v.ends.len(), h.ends.len() * self.channels);
        let image = self.read[0] * self.read[1];
        // A row costs as much as all that it reads.
        let piece = rows_per_piece(len.max(h.taps.len() * self.channels) * v.taps.len().div_ceil(rows));
        io.team.chunks(to, piece * len, |i, chunk| {
            for (k, to) in chunk.chunks_exact_mut(len).enumerate() {
                let (n, row) = ((i * piece + k) / rows, (i * piece + k) % rows);
                (self.row)(self, &from[n * image..][..image], v.row(row), to);
            }
        });
    }
}

struct Resample {
    forward: Weave,
    backward: Weave,
}

impl Step for Resample {
    fn forward(&self, io: &Io<'_>) {
        self.forward.run(io, &io.x(0), &mut io.y_mut());
    }

    fn backward(&self, io: &Io<'_>) {
        if let Some(mut dx) = io.dx(0) {
            self.backward.run(io, &io.dy(), &mut dx);
        }
    }
}

stamp! {
    // One row of what is written, from an image and the weights of its rows.
    fn weave(weave: &Weave, from: &[f32], rows: &[(usize, f32)], to: &mut [f32]) = weave_body[FMA, LANES];
}

#[inline(always)]
fn weave_body<const FMA: bool, const LANES: usize>(weave: &Weave, from: &[f32], rows: &[(usize, f32)], to: &mut [f32]) {
    let (c, line) = (weave.channels, &weave.lines[1]);
    for (o, to) in to.chunks_exact_mut(c).enumerate() {
        to.fill(0.0);
        for (row, a) in rows {
            for (column, b) in line.row(o) {
                let (weight, x) = (a * b, &from[row * weave.read[1] + column * c..][..c]);
                to.iter_mut().zip(x).for_each(|(y, x)| *y = mul_add::<FMA>(weight, *x, *y));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{Numbers, Options, run};
    use crate::ops::proof::{everywhere, options};

    #[test]
    fn several_sizes_everywhere() {
        for (op, shape) in [
            (Upsample2D::nearest(2), [4, 5, 20]),
            (Upsample2D::nearest([3, 1]), [3, 4, 1]),
            (Upsample2D::nearest(1).to([5, 3]), [3, 7, 6]),
            (Upsample2D::bilinear([2, 3]), [4, 3, 17]),
            (Upsample2D::bilinear(2).align_corners(true), [5, 4, 3]),
            (Upsample2D::bilinear(1).to([3, 9]), [5, 4, 2]),
            (Upsample2D::bilinear(1).to([1, 4]).align_corners(true), [3, 1, 2]),
        ] {
            everywhere(&op, &[shape.into()], 2, 1e-5);
        }
    }

    fn line(op: Upsample2D, x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let numbers = Numbers { x: vec![x.to_vec()], w: vec![], dy: dy.to_vec() };
        let o = run(&op, &[[1, x.len(), 1].into()], Options { batch: 1, ..options() }, &numbers).unwrap();
        (o.y, o.dx[0].clone())
    }

    // PyTorch 2: `F.interpolate(torch.tensor([[[[0., 4., 8.]]]]), size=(1, 6), mode=m, align_corners=a)`, likewise Keras'
    // UpSampling2D without corners.
    #[test]
    fn worked_examples() {
        let x = [0., 4., 8.];
        let dy = [1., 2., 3., 4., 5., 6.];
        assert_eq!(line(Upsample2D::nearest([1, 2]), &x, &dy), (vec![0., 0., 4., 4., 8., 8.], vec![3., 7., 11.]));
        let (y, dx) = line(Upsample2D::bilinear([1, 2]), &x, &dy);
        assert_eq!(y, [0., 1., 3., 5., 7., 8.]);
        assert_eq!(dx, [1. + 1.5 + 0.75, 0.5 + 2.25 + 3. + 1.25, 1. + 3.75 + 6.]);
        let (y, _) = line(Upsample2D::bilinear([1, 2]).align_corners(true), &x, &dy);
        assert!(y.iter().zip([0., 1.6, 3.2, 4.8, 6.4, 8.]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let error = |op: Upsample2D, x: Shape| op.shape(&[x]).unwrap_err().to_string();
        assert!(error(Upsample2D::nearest(2), [4, 4].into()).contains("h, w, c"));
        assert!(error(Upsample2D::nearest(0), [4, 4, 1].into()).contains("0 rows"));
        assert!(error(Upsample2D::nearest(1 << 20), [4, 4, 1].into()).contains("4194304"));
        assert!(error(Upsample2D { size: [2, 2], ..Upsample2D::nearest(1).to(5) }, [4, 4, 1].into()).contains("`to`"));
        assert!(error(Upsample2D::nearest(2).align_corners(true), [4, 4, 1].into()).contains("bilinear"));
    }
}
