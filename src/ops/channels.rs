//! Numbers by channel: sums over all rows, and a line `scale x + offset` for each channel.
//!
//! Both run over memory once. Few channels are repeated until a row is wide
//! enough for vectors. Sums run over pieces that are cut by shape; within a
//! piece they are f32 in blocks of rows, and the pieces are added in order in
//! f64, so that a sum over millions of rows keeps its digits.

use crate::ops::pieces::rows_per_piece;
use crate::simd::{Isa, mul_add, stamp};

/// Arrays of coefficients: a centre and three more.
pub(super) const COEFFICIENTS: usize = 4;

// Few channels are repeated until a row is at least a vector wide.
const MIN_LANES: usize = 64;
// Rows whose sums are taken in one go, before they are added to the piece's.
const BLOCK_ROWS: usize = 64;
// Of each piece: two sums, and the two of the running block.
const SUMS: usize = 4;
// Channels whose sums over the pieces are taken in one go.
const TOTALS: usize = 16;
// Rows whose mean is the shift of a channel.
const SHIFT_ROWS: usize = 32;

/// `(array, x, out)`.
pub(super) type Unary = fn(&[f32], &[f32], &mut [f32]);
/// `(array, x, dy, out)`.
pub(super) type Binary = fn(&[f32], &[f32], &[f32], &mut [f32]);

/// How rows of so many channels are worked on.
pub(super) struct Channels {
    /// How many there are.
    pub channels: usize,
    /// Numbers of a row, a multiple of `channels`.
    pub lanes: usize,
    /// Numbers of a piece.
    pub piece: usize,
    /// `sums = [sum (x - shift), sum (x - shift)^2, ..]` of a piece, for each lane.
    pub moments: Unary,
    /// `sums = [sum dy, sum dy (x - centre), ..]` of a piece, for each lane.
    pub products: Binary,
    /// `y = (x - centre) scale + offset` with the coefficients `[centre, scale, offset, _]`.
    pub line: Unary,
    /// `dx = p dy + q (x - centre) + r` with the coefficients `[centre, p, q, r]`.
    pub gradient: Binary,
}

impl Channels {
    /// For rows of `channels`.
    pub fn new(channels: usize, isa: Isa) -> Self {
        let lanes = channels * MIN_LANES.div_ceil(channels);
        Self {
            channels,
            lanes,
            piece: rows_per_piece(lanes).max(BLOCK_ROWS) * lanes,
            moments: moments(isa),
            products: products(isa),
            line: line(isa),
            gradient: gradient(isa),
        }
    }

    /// Length of the coefficients.
    pub fn coefficients(&self) -> usize {
        COEFFICIENTS * self.lanes
    }

    /// Length of the sums of one piece.
    pub fn sums(&self) -> usize {
        SUMS * self.lanes
    }

    /// Into how many pieces so many numbers are cut.
    pub fn pieces(&self, len: usize) -> usize {
        len.div_ceil(self.piece)
    }

    /// Piece `i`.
    pub fn part<'a>(&self, x: &'a [f32], i: usize) -> &'a [f32] {
        &x[i * self.piece..x.len().min((i + 1) * self.piece)]
    }

    /// Writes a channel's coefficients to all of its lanes.
    pub fn spread(&self, coefficients: &mut [f32], c: usize, values: [f32; COEFFICIENTS]) {
        for (array, value) in coefficients.chunks_exact_mut(self.lanes).zip(values) {
            array.iter_mut().skip(c).step_by(self.channels).for_each(|v| *v = value);
        }
    }

    /// Writes the shift of each channel, the mean of its first rows, where [`Channels::spread`] writes centres.
    pub fn shift(&self, x: &[f32], coefficients: &mut [f32]) {
        let rows = &x[..x.len().min(SHIFT_ROWS * self.channels)];
        let count = (rows.len() / self.channels) as f32;
        let (shift, copies) = coefficients[..self.lanes].split_at_mut(self.channels);
        shift.fill(0.0);
        for row in rows.chunks_exact(self.channels) {
            shift.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        shift.iter_mut().for_each(|sum| *sum /= count);
        copies.chunks_exact_mut(self.channels).for_each(|copy| copy.copy_from_slice(shift));
    }

    /// Calls `f(channel, its two sums over all pieces)` for each channel.
    ///
    /// A block of channels is added up at a time: a channel alone would take a cache line of each piece for one number.
    pub fn each_total(&self, sums: &[f32], mut f: impl FnMut(usize, [f64; 2])) {
        for first in (0..self.channels).step_by(TOTALS) {
            let width = TOTALS.min(self.channels - first);
            let mut totals = [[0.0_f64; TOTALS]; 2];
            for sums in sums.chunks_exact(self.sums()) {
                for lane in (first..self.lanes).step_by(self.channels) {
                    for (totals, start) in totals.iter_mut().zip([lane, self.lanes + lane]) {
                        totals.iter_mut().zip(&sums[start..start + width]).for_each(|(t, v)| *t += f64::from(*v));
                    }
                }
            }
            (0..width).for_each(|i| f(first + i, [totals[0][i], totals[1][i]]));
        }
    }

    /// The two sums of a channel over all pieces.
    pub fn totals(&self, c: usize, sums: &[f32]) -> [f64; 2] {
        let mut totals = [0.0; 2];
        for sums in sums.chunks_exact(self.sums()) {
            for lane in (c..self.lanes).step_by(self.channels) {
                totals[0] += f64::from(sums[lane]);
                totals[1] += f64::from(sums[self.lanes + lane]);
            }
        }
        totals
    }
}

stamp! {
    fn moments(shift: &[f32], x: &[f32], sums: &mut [f32]) = moments_body[FMA, LANES];
}

stamp! {
    fn products(center: &[f32], x: &[f32], dy: &[f32], sums: &mut [f32]) = products_body[FMA, LANES];
}

stamp! {
    fn line(coefficients: &[f32], x: &[f32], y: &mut [f32]) = line_body[FMA, LANES];
}

stamp! {
    fn gradient(coefficients: &[f32], x: &[f32], dy: &[f32], dx: &mut [f32]) = gradient_body[FMA, LANES];
}

/// `x - shift` and its square.
struct Moments<'a, const FMA: bool>(&'a [f32]);

impl<const FMA: bool> Addends for Moments<'_, FMA> {
    #[inline(always)]
    fn add(&self, x: &[f32], _: &[f32], a: &mut [f32], b: &mut [f32]) {
        for (((x, shift), a), b) in x.iter().zip(self.0).zip(a).zip(b) {
            let d = x - shift;
            *a += d;
            *b = mul_add::<FMA>(d, d, *b);
        }
    }
}

/// `dy`, and its product with `x - center`.
pub(super) struct Products<'a, const FMA: bool>(pub &'a [f32]);

impl<const FMA: bool> Addends for Products<'_, FMA> {
    #[inline(always)]
    fn add(&self, x: &[f32], dy: &[f32], a: &mut [f32], b: &mut [f32]) {
        for ((((x, center), dy), a), b) in x.iter().zip(self.0).zip(dy).zip(a).zip(b) {
            *a += dy;
            *b = mul_add::<FMA>(*dy, x - center, *b);
        }
    }
}

#[inline(always)]
fn moments_body<const FMA: bool, const LANES: usize>(shift: &[f32], x: &[f32], sums: &mut [f32]) {
    in_blocks(x, x, shift.len(), sums, &Moments::<FMA>(shift));
}

#[inline(always)]
fn products_body<const FMA: bool, const LANES: usize>(center: &[f32], x: &[f32], dy: &[f32], sums: &mut [f32]) {
    in_blocks(x, dy, center.len(), sums, &Products::<FMA>(center));
}

/// What a row of `x` and `y` adds to the sums `a` and `b` of its block.
///
/// A trait and not a closure: a closure is not always inlined, and outside of the instance it has neither vectors nor
/// fused multiply-adds (measured: 17 ms in place of 2 for the normalisation of 8 images of 112x112x64).
pub(super) trait Addends {
    fn add(&self, x: &[f32], y: &[f32], a: &mut [f32], b: &mut [f32]);
}

/// Adds each row of `lanes` to the sums of its block, and the blocks up in the first half of `sums`. The last row may be
/// shorter.
#[inline(always)]
pub(super) fn in_blocks(x: &[f32], y: &[f32], lanes: usize, sums: &mut [f32], addends: &impl Addends) {
    let (total, block) = sums.split_at_mut(2 * lanes);
    total.fill(0.0);
    for (x, y) in x.chunks(BLOCK_ROWS * lanes).zip(y.chunks(BLOCK_ROWS * lanes)) {
        block.fill(0.0);
        let (a, b) = block.split_at_mut(lanes);
        for (x, y) in x.chunks(lanes).zip(y.chunks(lanes)) {
            addends.add(x, y, a, b);
        }
        for (total, block) in total.iter_mut().zip(&*block) {
            *total += block;
        }
    }
}

#[inline(always)]
fn line_body<const FMA: bool, const LANES: usize>(coefficients: &[f32], x: &[f32], y: &mut [f32]) {
    let lanes = coefficients.len() / COEFFICIENTS;
    let [center, scale, offset, _] = std::array::from_fn(|i| &coefficients[i * lanes..(i + 1) * lanes]);
    for (x, y) in x.chunks(lanes).zip(y.chunks_mut(lanes)) {
        for ((((x, y), center), scale), offset) in x.iter().zip(y).zip(center).zip(scale).zip(offset) {
            *y = mul_add::<FMA>(x - center, *scale, *offset);
        }
    }
}

#[inline(always)]
fn gradient_body<const FMA: bool, const LANES: usize>(coefficients: &[f32], x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let lanes = coefficients.len() / COEFFICIENTS;
    let [center, p, q, r] = std::array::from_fn(|i| &coefficients[i * lanes..(i + 1) * lanes]);
    for ((x, dy), dx) in x.chunks(lanes).zip(dy.chunks(lanes)).zip(dx.chunks_mut(lanes)) {
        let numbers = x.iter().zip(dy).zip(dx).zip(center).zip(p).zip(q).zip(r);
        for ((((((x, dy), dx), center), p), q), r) in numbers {
            *dx = mul_add::<FMA>(*p, *dy, mul_add::<FMA>(*q, x - center, *r));
        }
    }
}
