//! Pooling of images: the maximum, average or minimum of each channel under a sliding window (M27-M34).
//!
//! Pooling has no parameters, keeps the number of channels, and treats each
//! channel alone (M33). In training, maximum and minimum save the number of the
//! winning place for each output (counted row by row from the window's corner;
//! M27), and the gradient goes there and nowhere else (M28); of equal values the
//! first wins. Padding never wins.
//!
//! The kernels are in `sliding.rs`.

use serde::{Deserialize, Serialize};

use crate::conv::{Padding, Window};
use crate::error::{Error, Result};
use crate::ops::pair::{self, Pair};
use crate::ops::pieces::{only, rows_per_piece, with_step};
use crate::ops::sliding::{
    Line, Sliding, average_row, max_columns, max_row, min_columns, min_row, share_rows, winner_rows,
};
use crate::ops::{Activation, Compiled, Ctx, Fuses, Io, Mode, Rule, Step, Twin};
use crate::tensor::Shape;

/// What a pool takes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// The largest value.
    #[default]
    Max,
    /// The mean.
    Average,
    /// The smallest value.
    Min,
}

/// Pooling over a window: `y[oy, ox, c] = reduce x[oy sh + ky dh - top, ox sw + kx dw - left, c]` over `ky < kh`,
/// `kx < kw`.
///
/// Shapes: `[h, w, c] -> [oh, ow, c]`, with `oh = floor((h + top + bottom - (kh - 1) dh - 1) / sh) + 1`. In ceil mode a
/// last, partial window counts too if it starts inside the input or the padding before it, as in PyTorch and ONNX.
///
/// An average divides by the number of real inputs under the window, as TensorFlow does; with
/// [`Pool2D::count_padding`] padded places count too (zeros), but never those that ceil mode adds beyond the padding,
/// as in PyTorch.
///
/// ```
/// use striate::ops::{Pool2D, Rule};
/// let pool = Pool2D::max(2);
/// assert_eq!(pool.shape(&[[28, 28, 16].into()])?, [14, 14, 16].into());
/// assert_eq!(Pool2D::average(3).stride(2).shape(&[[7, 9, 4].into()])?, [3, 4, 4].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool2D {
    /// What is taken of a window.
    pub kind: PoolKind,
    /// Size of the window, `[kh, kw]`.
    pub window: [usize; 2],
    /// Step between windows, `[sh, sw]`; the size of the window if not given (M34).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<[usize; 2]>,
    /// Padding of the input.
    #[serde(default)]
    pub padding: Padding,
    /// Distance between the places under a window, `[dh, dw]`.
    #[serde(with = "pair", default = "ones", skip_serializing_if = "is_ones")]
    pub dilation: [usize; 2],
    /// Whether a last, partial window counts.
    #[serde(default)]
    pub ceil: bool,
    /// Whether an average counts padded places.
    #[serde(default)]
    pub count_padding: bool,
}

fn ones() -> [usize; 2] {
    [1, 1]
}

fn is_ones(pair: &[usize; 2]) -> bool {
    *pair == ones()
}

impl Pool2D {
    /// Pooling of `kind` over windows of `kh` by `kw`, without overlap and padding.
    pub fn new(kind: PoolKind, window: [usize; 2]) -> Self {
        let (padding, dilation) = (Padding::Valid, ones());
        Self { kind, window, stride: None, padding, dilation, ceil: false, count_padding: false }
    }

    /// Maximum pooling over windows of `size` by `size`.
    pub fn max(size: usize) -> Self {
        Self::new(PoolKind::Max, [size; 2])
    }

    /// Average pooling over windows of `size` by `size`.
    pub fn average(size: usize) -> Self {
        Self::new(PoolKind::Average, [size; 2])
    }

    /// Minimum pooling over windows of `size` by `size`.
    pub fn min(size: usize) -> Self {
        Self::new(PoolKind::Min, [size; 2])
    }

    /// The same step along both axes.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        self.strides([stride; 2])
    }

    /// The step along each axis, `[sh, sw]`.
    #[must_use]
    pub fn strides(mut self, stride: [usize; 2]) -> Self {
        self.stride = Some(stride);
        self
    }

    /// The padding.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// The distance between the places under a window.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.dilation = dilation.into().0;
        self
    }

    /// Lets a last, partial window count.
    #[must_use]
    pub fn ceil(mut self, ceil: bool) -> Self {
        self.ceil = ceil;
        self
    }

    /// Lets an average count padded places.
    #[must_use]
    pub fn count_padding(mut self, count: bool) -> Self {
        self.count_padding = count;
        self
    }

    fn geometry(&self) -> Window {
        let stride = self.stride.unwrap_or(self.window);
        Window { kernel: self.window, stride, dilation: self.dilation, padding: self.padding, ceil: self.ceil }
    }

    // The window on an image of this shape; refuses windows that see nothing but padding.
    fn sliding(&self, x: Shape) -> Result<Sliding> {
        let [h, w, c] = x.hwc()?;
        let axes = self.geometry().axes(h, w)?;
        let lines = axes.map(|axis| Line::regular(&axis, self.count_padding));
        for ((axis, line), name) in axes.iter().zip(&lines).zip(["height", "width"]) {
            if !line.sees() {
                return Err(Error::shape(format!(
                    "a window of {} lies wholly in the padding {}, {} along the {name}",
                    axis.kernel, axis.before, axis.after
                ))
                .with_help(format!("pad by at most {} on each side", axis.reach() - 1)));
            }
        }
        let sliding = Sliding::new(lines, c);
        if sliding.places() > 1 << 24 {
            return Err(Error::shape(format!("a window of {:?} reaches over more than 2^24 places", self.window))
                .with_help("use GlobalPool, or two pools in a row"));
        }
        Ok(sliding)
    }
}

impl Rule for Pool2D {
    fn class(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "MaxPooling2D",
            PoolKind::Average => "AveragePooling2D",
            PoolKind::Min => "MinPooling2D",
        }
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        if x.rank() != 3 {
            return Err(Error::shape(format!("{} takes images [h, w, c], and {x} is none", self.class()))
                .with_help("use Pool1D for sequences [l, c]"));
        }
        let [_, (oh, row)] = self.sliding(x)?.rows();
        Ok([oh, row / x.channels(), x.channels()].into())
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        match self.kind {
            PoolKind::Average => (y.len() * self.window[0] * self.window[1]) as u64,
            PoolKind::Max | PoolKind::Min => 0,
        }
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let sliding = self.sliding(ctx.x[0])?;
        Ok(Pooling::compile(self.kind, sliding, ctx))
    }

    fn fuses(&self, _x: &[Shape], mode: Mode) -> Fuses {
        Pooling::fuses(self.kind, mode)
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let [h, w, c] = t.shapes[0].hwc().expect("checked by `shape`");
        let [v, u] = self.geometry().axes(h, w).expect("checked by `shape`");
        let mut y = Vec::new();
        for n in 0..t.batch {
            let x = &t.x[0][n * h * w * c..][..h * w * c];
            for at in 0..v.output * u.output * c {
                let (oy, ox, channel) = (at / c / u.output, at / c % u.output, at % c);
                let taps =
                    (0..v.kernel * u.kernel).map(|k| (v.input_at(oy, k / u.kernel), u.input_at(ox, k % u.kernel)));
                let seen: Vec<f64> = taps.filter_map(|(iy, ix)| Some(x[(iy? * w + ix?) * c + channel])).collect();
                let inside = |axis: &crate::conv::Axis, o: usize| {
                    let end = axis.before + axis.input + axis.after;
                    (0..axis.kernel).filter(|k| o * axis.stride + k * axis.dilation < end).count()
                };
                let count = if self.count_padding { inside(&v, oy) * inside(&u, ox) } else { seen.len() };
                y.push(match self.kind {
                    PoolKind::Max => seen.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    PoolKind::Min => seen.iter().copied().fold(f64::INFINITY, f64::min),
                    PoolKind::Average => seen.iter().sum::<f64>() / count as f64,
                });
            }
        }
        y
    }
}

/// A pool ready to run, over windows of any kind.
pub(crate) struct Pooling {
    sliding: Sliding,
    tracks: bool,
    /// Numbers of scratch of a thread.
    own: usize,
    forward: fn(&Sliding, usize, &[f32], &mut [f32], &mut [f32]),
    backward: fn(&Sliding, usize, &[f32], &[f32], &mut [f32]),
    /// Rows of the output in a piece of forward.
    rows: usize,
    /// Where the pieces of backward begin and end in the gradient to the input.
    cuts: Vec<usize>,
}

impl Pooling {
    /// What a pool can do in passing: an input that no window chose has no gradient anyway, so a winner at which a
    /// ReLU is flat can be treated as if none had.
    pub(crate) fn fuses(kind: PoolKind, mode: Mode) -> Fuses {
        Fuses { masks: mode == Mode::Train && kind != PoolKind::Average, ..Fuses::default() }
    }

    pub(crate) fn compile(kind: PoolKind, sliding: Sliding, ctx: &Ctx<'_>) -> Compiled {
        let tracks = ctx.mode == Mode::Train && kind != PoolKind::Average;
        let sliding = match ctx.fusion.masks {
            Activation::Relu => sliding.behind_relu(f32::NAN),
            Activation::Relu6 => sliding.behind_relu(6.0),
            _ => sliding,
        };
        let saved = if tracks { vec![ctx.batch * ctx.y.len()] } else { Vec::new() };
        let pooling = Self::new(kind, sliding, ctx, tracks);
        Compiled { saved, work: pooling.own * ctx.threads, ..with_step(Box::new(pooling)) }
    }

    fn new(kind: PoolKind, sliding: Sliding, ctx: &Ctx<'_>, tracks: bool) -> Self {
        let columns = !tracks && kind != PoolKind::Average && sliding.shares_columns();
        let (forward, backward) = match kind {
            PoolKind::Max if columns => (max_columns(ctx.isa), winner_rows(ctx.isa)),
            PoolKind::Min if columns => (min_columns(ctx.isa), winner_rows(ctx.isa)),
            PoolKind::Max => (max_row(ctx.isa), winner_rows(ctx.isa)),
            PoolKind::Min => (min_row(ctx.isa), winner_rows(ctx.isa)),
            PoolKind::Average => (average_row(ctx.isa), share_rows(ctx.isa)),
        };
        let own = if columns { sliding.rows()[0].1.next_multiple_of(16) } else { 0 };
        let rows = rows_per_piece(sliding.reads().max(sliding.compares() / 2));
        let cuts = if ctx.mode == Mode::Train { cuts(&sliding, ctx.batch) } else { Vec::new() };
        Self { sliding, tracks, own, forward, backward, rows, cuts }
    }

    // Pools into some rows of the output, of which the first is row `first` of the batch. A row's `own` numbers are the
    // places of its winners, or scratch.
    fn rows(&self, first: usize, x: &[f32], y: &mut [f32], own: &mut [f32]) {
        let [(h, x_row), (oh, y_row)] = self.sliding.rows();
        for (i, y) in y.chunks_exact_mut(y_row).enumerate() {
            let (n, oy) = ((first + i) / oh, (first + i) % oh);
            let own = if self.tracks { &mut own[i * y_row..][..y_row] } else { &mut *own };
            (self.forward)(&self.sliding, oy, &x[n * h * x_row..][..h * x_row], y, own);
        }
    }
}

impl Step for Pooling {
    fn forward(&self, io: &Io<'_>) {
        let (x, mut y) = (io.x(0), io.y_mut());
        let x = &*x;
        let rows = self.rows;
        let len = rows * self.sliding.rows()[1].1;
        if self.tracks {
            let mut index = io.saved(0);
            io.team.chunks2((&mut y, len), (&mut index, len), |i, y, index| self.rows(i * rows, x, y, index));
        } else {
            let mut work = (self.own > 0).then(|| io.work());
            let work = work.as_deref_mut().unwrap_or_default();
            io.team.chunks_with((&mut y, len), (work, self.own), |i, y, own| self.rows(i * rows, x, y, own));
        }
    }

    fn backward(&self, io: &Io<'_>) {
        let Some(mut dx) = io.dx(0) else { return };
        let (dy, index) = (io.dy(), self.tracks.then(|| io.saved(0)));
        let (dy, index) = (&*dy, index.as_deref().unwrap_or_default());
        let [(h, x_row), (oh, y_row)] = self.sliding.rows();
        io.team.cuts_with((&mut dx, &self.cuts), (&mut [(); 0], 0), |piece, dx, _| {
            let row = self.cuts[piece] / x_row;
            // A piece is some images, or some rows of one.
            for (i, dx) in dx.chunks_mut(h * x_row).enumerate() {
                let image = (row / h + i) * oh * y_row..(row / h + i + 1) * oh * y_row;
                let index = index.get(image.clone()).unwrap_or_default();
                (self.backward)(&self.sliding, row % h, &dy[image], index, dx);
            }
        });
    }
}

// Pieces of the gradient to the input: some images each, or some rows of an image.
fn cuts(sliding: &Sliding, batch: usize) -> Vec<usize> {
    let (h, row) = sliding.rows()[0];
    let rows = rows_per_piece(row).next_multiple_of(sliding.together());
    let starts: Vec<usize> = match rows / h {
        0 => (0..batch).flat_map(|n| (0..h).step_by(rows).map(move |iy| n * h + iy)).collect(),
        images => (0..batch).step_by(images).map(|n| n * h).collect(),
    };
    starts.into_iter().chain([batch * h]).map(|start| start * row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{Numbers, run};
    use crate::ops::proof::{everywhere, options, without_ties};
    use proptest::prelude::*;

    fn pooled(pool: &Pool2D, shape: [usize; 3], x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let numbers = Numbers { x: vec![x.to_vec()], w: vec![], dy: dy.to_vec() };
        let batch = x.len() / shape.iter().product::<usize>();
        let o = run(pool, &[shape.into()], crate::ops::check::Options { batch, ..options() }, &numbers).unwrap();
        (o.y, o.dx[0].clone())
    }

    // M29, M34: the four windows of a 4x4 image are rows and columns [0,1]x[0,1], [0,1]x[2,3], [2,3]x[0,1], [2,3]x[2,3].
    #[test]
    fn m29_worked_example_of_4x4() {
        let x = [1., 2., 1., 0., 0., 1., 2., 3., 3., 0., 1., 2., 2., 4., 0., 1.];
        let (y, dx) = pooled(&Pool2D::max(2), [4, 4, 1], &x, &[10., 20., 30., 40.]);
        assert_eq!(y, [2., 3., 4., 2.]);
        assert_eq!(dx, [0., 10., 0., 0., 0., 0., 0., 20., 0., 0., 0., 40., 0., 30., 0., 0.]);
        assert_eq!(pooled(&Pool2D::average(2), [4, 4, 1], &x, &[0.; 4]).0, [1., 1.5, 2.25, 1.]);
        assert_eq!(pooled(&Pool2D::min(2), [4, 4, 1], &x, &[0.; 4]).0, [0., 0., 0., 0.]); // M31
    }

    // D5: an element that wins in several windows gets the sum of their gradients.
    #[test]
    fn d5_overlapping_windows_add_up() {
        let x = [0., 0., 0., 0., 9., 0., 0., 0., 0.];
        let (y, dx) = pooled(&Pool2D::max(2).stride(1), [3, 3, 1], &x, &[1., 2., 3., 4.]);
        assert_eq!((y, dx), (vec![9.; 4], vec![0., 0., 0., 0., 10., 0., 0., 0., 0.]));
    }

    // D5: padding counts in the output size. L3, L4: strides default to the window.
    #[test]
    fn d5_output_size_counts_padding() {
        let size = |pool: Pool2D| pool.shape(&[[7, 8, 3].into()]).unwrap();
        assert_eq!(size(Pool2D::max(3).stride(2).padding(Padding::all(1))), [4, 4, 3].into());
        assert_eq!(size(Pool2D::max(2)), [3, 4, 3].into());
        assert_eq!(size(Pool2D::max(2).stride(1)), [6, 7, 3].into());
        assert_eq!(size(Pool2D::max(2).ceil(true)), [4, 4, 3].into());
        assert_eq!(size(Pool2D::max(2).padding(Padding::Same)), [4, 4, 3].into());
    }

    // M33: no parameters; changing one channel changes that channel alone.
    #[test]
    fn m33_channels_are_independent() {
        for pool in [Pool2D::max(2), Pool2D::min(2), Pool2D::average(3).stride(1)] {
            assert!(pool.params(&[[4, 4, 19].into()]).is_empty());
            let x: Vec<f32> = (0..4 * 4 * 19_u32).map(|i| (i * 37 % 101) as f32).collect();
            let changed: Vec<f32> =
                x.iter().enumerate().map(|(i, v)| if i % 19 == 18 { v * 3.0 + 1.0 } else { *v }).collect();
            let dy = vec![1.0; 4 * 19];
            let (a, b) = (pooled(&pool, [4, 4, 19], &x, &dy).0, pooled(&pool, [4, 4, 19], &changed, &dy).0);
            assert!(a.iter().zip(&b).enumerate().all(|(i, (a, b))| (a == b) == (i % 19 != 18)));
        }
    }

    #[test]
    fn of_equal_values_the_first_tap_wins_and_padding_never() {
        let (y, dx) = pooled(&Pool2D::max(2), [2, 2, 1], &[5.0; 4], &[1.0]);
        assert_eq!((y, dx), (vec![5.0], vec![1., 0., 0., 0.]));
        let pad = Padding::all(1);
        assert_eq!(
            pooled(&Pool2D::max(2).padding(pad), [2, 2, 1], &[-1., -2., -3., -4.], &[0.; 4]).0,
            [-1., -2., -3., -4.]
        );
        assert_eq!(pooled(&Pool2D::min(2).padding(pad), [2, 2, 1], &[1., 2., 3., 4.], &[0.; 4]).0, [1., 2., 3., 4.]);
    }

    #[test]
    fn a_nan_wins() {
        for c in [1, 5, 20] {
            let mut x = vec![1.0; 4 * c];
            x[c..2 * c].fill(f32::NAN);
            for pool in [Pool2D::max(2), Pool2D::min(2), Pool2D::average(2)] {
                assert!(pooled(&pool, [2, 2, c], &x, &vec![0.0; c]).0.iter().all(|y| y.is_nan()));
            }
        }
    }

    // PyTorch 2: `F.avg_pool2d(torch.ones(1, 1, 4, 4), 3, 2, padding=1, ceil_mode=True, count_include_pad=p)`; the last
    // window of each axis reaches beyond the padding (rows 3 to 5 of 4 + 1), and that part is never counted.
    #[test]
    fn averages_count_padding_as_pytorch_does() {
        let pool = Pool2D::average(3).stride(2).padding(Padding::all(1)).ceil(true);
        let ones = [1.0; 16];
        assert_eq!(pooled(&pool, [4, 4, 1], &ones, &[0.; 9]).0, [1.0; 9]);
        let y = pooled(&pool.count_padding(true), [4, 4, 1], &ones, &[0.; 9]).0;
        let (a, b, c, d, e) = (4. / 9., 6. / 9., 2. / 6., 3. / 6., 1. / 4.);
        assert_eq!(y, [a, b, c, b, 1., d, c, d, e]);
    }

    // PyTorch 2: of 4 elements padded by 1, windows of 3 with stride 5 would start at -1 and 4; the second, which sees no
    // element, is dropped. Without padding at the end it would start inside.
    #[test]
    fn a_last_window_in_the_padding_after_the_input_is_dropped() {
        let pool = |stride, padding| Pool2D::max(3).stride(stride).padding(padding).ceil(true);
        let size = |pool: Pool2D, n: usize| pool.shape(&[[n, n, 1].into()]).unwrap().dims()[0];
        assert_eq!(size(pool(5, Padding::all(1)), 4), 1);
        assert_eq!(size(pool(4, Padding::all(1)), 4), 2);
        assert_eq!(size(pool(2, Padding::all(1)), 6), 4);
        // torchvision's googlenet: 112 to 56 to 28 to 14 to 7.
        assert_eq!([112, 56, 28, 14].map(|n| size(pool(2, Padding::Valid), n)), [56, 28, 14, 7]);
    }

    // PyTorch 2: `F.max_pool2d(torch.arange(25.).view(1, 1, 5, 5), 2, 1, dilation=(3, 2))`.
    #[test]
    fn dilated_windows_skip_places() {
        let x: Vec<f32> = (0..25_u8).map(f32::from).collect();
        let pool = Pool2D::max(2).stride(1).dilation([3, 2]);
        let (y, dx) = pooled(&pool, [5, 5, 1], &x, &[1., 2., 3., 4., 5., 6.]);
        assert_eq!(y, [17., 18., 19., 22., 23., 24.]);
        assert_eq!((dx[17], dx[19], dx[22], dx[24], dx.iter().sum::<f32>()), (1., 3., 4., 6., 21.));
        let written = serde_json::to_string(&pool).unwrap();
        assert!(written.contains(r#""dilation":[3,2]"#), "{written}");
        // Taps at -1 and 1 of an input of one element.
        let between = Pool2D::max(2).stride(1).dilation(2).padding(Padding::all(1));
        assert!(between.shape(&[[1, 1, 1].into()]).unwrap_err().to_string().contains("wholly in the padding"));
    }

    #[test]
    fn several_geometries_everywhere() {
        let explicit = Padding::Explicit { top: 1, bottom: 0, left: 0, right: 1 };
        for kind in [PoolKind::Max, PoolKind::Average, PoolKind::Min] {
            let pools = [
                Pool2D::new(kind, [2, 2]),
                Pool2D::new(kind, [3, 3]).stride(2).padding(Padding::Same),
                Pool2D::new(kind, [3, 2]).strides([1, 3]).padding(explicit).ceil(true).count_padding(true),
                Pool2D::new(kind, [1, 2]).strides([2, 3]),
                Pool2D::new(kind, [3, 2]).strides([2, 1]).dilation([2, 3]).padding(Padding::all(1)),
            ];
            for pool in pools {
                for shape in [[6, 7, 1], [5, 8, 6], [7, 6, 21]] {
                    everywhere(&pool, &[shape.into()], 2, 1e-5);
                }
            }
            everywhere(&Pool2D::new(kind, [2, 2]), &[[26, 26, 30].into()], 3, 1e-5);
            // Several pieces an image, with a row and a column that no window sees.
            everywhere(&Pool2D::new(kind, [2, 2]), &[[67, 65, 16].into()], 1, 1e-5);
        }
    }

    // In ceil mode an odd image has partial windows at its end, so the general kernels run; the others are as before.
    #[test]
    fn windows_side_by_side_have_the_bits_of_the_general_kernels() {
        for c in [1, 4, 7, 8, 12, 16, 30] {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
            let values = [2.0, -1.0, 2.0, 0.0, f32::NAN, -0.0, 3.0, 3.0, -1.0, 5.0, 0.0];
            let x: Vec<f32> = (0..5 * 7 * c).map(|i| values[i * 7 % 11]).collect();
            for pool in [Pool2D::max(2), Pool2D::min(2)] {
                let (y, dx) = pooled(&pool, [5, 7, c], &x, &vec![1.5; 2 * 3 * c]);
                let (whole, dwhole) = pooled(&pool.ceil(true), [5, 7, c], &x, &vec![1.5; 3 * 4 * c]);
                for row in 0..2 {
                    assert_eq!(bits(&y[row * 3 * c..][..3 * c]), bits(&whole[row * 4 * c..][..3 * c]), "{c} channels");
                }
                for row in 0..4 {
                    assert_eq!(dx[row * 7 * c..][..6 * c], dwhole[row * 7 * c..][..6 * c], "{c} channels");
                }
                assert!(dx[4 * 7 * c..].iter().all(|dx| *dx == 0.0), "a row that no window sees");
            }
        }
    }

    // A pool behind a ReLU, whose gradient it applies.
    #[derive(Debug)]
    struct Behind(Pool2D, Activation);

    impl Rule for Behind {
        fn class(&self) -> &'static str {
            "Behind"
        }
        fn shape(&self, x: &[Shape]) -> Result<Shape> {
            self.0.shape(x)
        }
        fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
            self.0.mul_adds(x, y)
        }
        fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
            let fusion = crate::ops::Fusion { masks: self.1, ..ctx.fusion };
            self.0.compile(&Ctx { fusion, ..*ctx })
        }
        fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
            self.0.twin(t)
        }
    }

    #[test]
    fn behind_a_relu_the_gradient_is_that_before_it() {
        use crate::conv::Fused;
        let shape: Shape = [7, 9, 5].into();
        let mut rng = crate::rng::Rng::new(3);
        let input: Vec<f32> = (0..2 * shape.len()).map(|_| 8.0 * rng.normal() as f32).collect();
        let pools =
            [Pool2D::max(2), Pool2D::max(3).stride(2).padding(Padding::Same), Pool2D::min(2), Pool2D::max(2).stride(1)];
        for pool in pools {
            for (function, fused) in [(Activation::Relu, Fused::Relu), (Activation::Relu6, Fused::Relu6)] {
                let x: Vec<f32> = input.iter().map(|x| fused.apply(*x)).collect();
                let dy = (0..2 * pool.shape(&[shape]).unwrap().len()).map(|i| (i % 19) as f32 - 9.5).collect();
                let numbers = Numbers { x: vec![x.clone()], w: vec![], dy };
                let plain = run(&pool, &[shape], options(), &numbers).unwrap();
                let behind = run(&Behind(pool.clone(), function), &[shape], options(), &numbers).unwrap();
                let want: Vec<f32> = plain.dx[0].iter().zip(&x).map(|(dx, x)| fused.gradient(*dx, *x)).collect();
                assert_eq!((behind.y, &behind.dx[0]), (plain.y, &want), "{pool:?} behind {function:?}");
                assert!(want != plain.dx[0], "some winners are flat");
            }
        }
    }

    #[test]
    fn what_cannot_be_pooled_is_refused() {
        let error = |pool: Pool2D, shape: Shape| pool.shape(&[shape]).unwrap_err().to_string();
        assert!(error(Pool2D::max(2), [4, 4].into()).contains("Pool1D"));
        assert!(error(Pool2D::max(5), [4, 4, 1].into()).contains("kernel"));
        assert!(error(Pool2D::max(0), [4, 4, 1].into()).contains("kernel 0"));
        assert!(error(Pool2D::max(2).padding(Padding::all(2)), [4, 4, 1].into()).contains("wholly in the padding"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        // Forward and gradient of random geometries against the twin, whose loops share nothing with the kernels.
        #[test]
        fn random_geometries(
            kind in prop::sample::select(vec![PoolKind::Max, PoolKind::Average, PoolKind::Min]),
            window in prop::array::uniform2(1_usize..5),
            dilation in prop::array::uniform2(prop_oneof![2 => Just(1_usize), 1 => 2..5_usize]),
            stride in prop::option::of(prop::array::uniform2(1_usize..5)),
            pads in prop::array::uniform4(0_usize..4),
            style in 0..4_usize,
            (ceil, count_padding) in (any::<bool>(), any::<bool>()),
            (h, w) in (1_usize..9, 1_usize..9),
            c in prop::sample::select(vec![1_usize, 3, 4, 7, 16, 18]),
        ) {
            let [top, bottom, left, right] = pads;
            let padding = [Padding::Valid, Padding::Same, Padding::Full, Padding::Explicit { top, bottom, left, right }][style];
            let pool = Pool2D { kind, window, stride, padding, dilation, ceil, count_padding };
            prop_assume!(pool.shape(&[[h, w, c].into()]).is_ok());
            prop_assert!(without_ties(&pool, &[[h, w, c].into()], 2) < 1e-5);
        }
    }
}
