//! The kernels of pooling: which inputs a window meets, and the reduction over them.
//!
//! [`Sliding`] holds, for each output along an axis, the taps that fall on real
//! inputs, and for each input the outputs that see it. So no kernel meets the
//! padding, and backward *gathers*: each dx is written once, from all windows
//! over it, in a fixed order. Overlapping windows add up, elements that no
//! window sees get 0, and no two threads write the same place.
//!
//! Vectors run over channels, in blocks of fixed width; the last block of a
//! pixel overlaps the one before it instead of leaving a remainder.

use std::ops::Range;

use crate::conv::Axis;
use crate::simd::{mul_add, stamp};

/// The taps of one output along one axis that fall on real inputs.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// The first of these inputs.
    input: usize,
    /// The tap that meets it.
    tap: usize,
    /// How many there are.
    len: usize,
    /// How many an average divides by.
    count: usize,
}

/// A pooling window on an image of a known size.
#[derive(Debug, Clone)]
pub(crate) struct Sliding {
    axes: [Axis; 2],
    channels: usize,
    outputs: [Vec<Span>; 2],
    covers: [Vec<Range<usize>>; 2],
}

impl Sliding {
    pub(crate) fn new(axes: [Axis; 2], channels: usize, count_padding: bool) -> Self {
        let outputs = |axis: &Axis| (0..axis.output).map(|o| span(axis, o, count_padding)).collect();
        let covers = |axis: &Axis| (0..axis.input).map(|i| cover(axis, i)).collect();
        let ([v, h], of) = (&axes, channels);
        Self { outputs: [outputs(v), outputs(h)], covers: [covers(v), covers(h)], axes, channels: of }
    }

    /// Rows of the input and of the output, and the numbers in one row of each.
    pub(crate) fn rows(&self) -> [(usize, usize); 2] {
        let [v, h] = &self.axes;
        [(v.input, h.input * self.channels), (v.output, h.output * self.channels)]
    }

    /// Numbers of the input that one row of the output reads.
    pub(crate) fn reads(&self) -> usize {
        let [v, h] = &self.axes;
        v.stride.min(v.input) * h.input * self.channels
    }

    // Where the pixel (row, column) of the input starts.
    #[inline(always)]
    fn input(&self, row: usize, column: usize) -> usize {
        (row * self.axes[1].input + column) * self.channels
    }

    #[inline(always)]
    fn output(&self, row: usize, column: usize) -> usize {
        (row * self.axes[1].output + column) * self.channels
    }

    // The number of the tap by which output `o` meets input `i`.
    #[inline(always)]
    fn tap(&self, [iy, ix]: [usize; 2], [oy, ox]: [usize; 2]) -> f32 {
        let [v, h] = &self.axes;
        ((iy + v.before - oy * v.stride) * h.kernel + ix + h.before - ox * h.stride) as f32
    }
}

fn span(axis: &Axis, o: usize, count_padding: bool) -> Span {
    let start = o * axis.stride;
    let tap = axis.before.saturating_sub(start);
    let end = axis.kernel.min((axis.before + axis.input).saturating_sub(start));
    let padded = axis.kernel.min(axis.before + axis.input + axis.after - start);
    let len = end.saturating_sub(tap);
    Span { input: (start + tap).saturating_sub(axis.before), tap, len, count: if count_padding { padded } else { len } }
}

// The outputs whose windows hold input `i`: `o stride <= i + before < o stride + kernel`.
fn cover(axis: &Axis, i: usize) -> Range<usize> {
    let at = i + axis.before;
    let first = (at + 1).saturating_sub(axis.kernel).div_ceil(axis.stride);
    let end = (at / axis.stride + 1).min(axis.output);
    first.min(end)..end
}

stamp! {
    /// One row of a maximum pool: `y[ox, c] = max x[.., .., c]`; `index`, if it is not empty, gets the winning taps.
    pub(crate) fn max_row(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32], index: &mut [f32]) = max_body[FMA, LANES];
}

stamp! {
    /// As [`max_row`] for the minimum.
    pub(crate) fn min_row(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32], index: &mut [f32]) = min_body[FMA, LANES];
}

stamp! {
    /// One row of an average pool; `index` is not used.
    pub(crate) fn average_row(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32], index: &mut [f32])
        = average_body[FMA, LANES];
}

stamp! {
    /// One row of the gradient of a maximum or minimum pool, from the winning taps.
    pub(crate) fn winner_row(s: &Sliding, iy: usize, dy: &[f32], index: &[f32], dx: &mut [f32])
        = winner_body[FMA, LANES];
}

stamp! {
    /// One row of the gradient of an average pool; `index` is not used.
    pub(crate) fn share_row(s: &Sliding, iy: usize, dy: &[f32], index: &[f32], dx: &mut [f32])
        = share_body[FMA, LANES];
}

#[inline(always)]
fn max_body<const FMA: bool, const LANES: usize>(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32], index: &mut [f32]) {
    best_body::<false>(s, oy, x, y, index);
}

#[inline(always)]
fn min_body<const FMA: bool, const LANES: usize>(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32], index: &mut [f32]) {
    best_body::<true>(s, oy, x, y, index);
}

#[inline(always)]
fn best_body<const MIN: bool>(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32], index: &mut [f32]) {
    match (s.channels, index.is_empty()) {
        (16.., true) => best::<16, MIN, false>(s, oy, x, y, index),
        (16.., false) => best::<16, MIN, true>(s, oy, x, y, index),
        (4..16, true) => best::<4, MIN, false>(s, oy, x, y, index),
        (4..16, false) => best::<4, MIN, true>(s, oy, x, y, index),
        (_, true) => best::<1, MIN, false>(s, oy, x, y, index),
        (_, false) => best::<1, MIN, true>(s, oy, x, y, index),
    }
}

#[inline(always)]
fn best<const B: usize, const MIN: bool, const TRACK: bool>(
    s: &Sliding,
    oy: usize,
    x: &[f32],
    y: &mut [f32],
    index: &mut [f32],
) {
    let rows = s.outputs[0][oy];
    for (ox, columns) in s.outputs[1].iter().enumerate() {
        for c in blocks::<B>(s.channels) {
            // The first tap is the first winner, so that padding never is.
            let mut winner = load::<B>(x, s.input(rows.input, columns.input) + c);
            let mut tap = [(rows.tap * s.axes[1].kernel + columns.tap) as f32; B];
            for ky in 0..rows.len {
                for kx in 0..columns.len {
                    let v = load::<B>(x, s.input(rows.input + ky, columns.input + kx) + c);
                    let number = ((rows.tap + ky) * s.axes[1].kernel + columns.tap + kx) as f32;
                    // A NaN wins against all, as in PyTorch; a tie leaves the earlier winner.
                    let wins = mask(|i| v[i].is_nan() | if MIN { v[i] < winner[i] } else { v[i] > winner[i] });
                    winner = blend(wins, v, winner);
                    if TRACK {
                        tap = blend(wins, [number; B], tap);
                    }
                }
            }
            y[ox * s.channels + c..][..B].copy_from_slice(&winner);
            if TRACK {
                index[ox * s.channels + c..][..B].copy_from_slice(&tap);
            }
        }
    }
}

#[inline(always)]
fn average_body<const FMA: bool, const LANES: usize>(
    s: &Sliding,
    oy: usize,
    x: &[f32],
    y: &mut [f32],
    _index: &mut [f32],
) {
    match s.channels {
        16.. => average::<16>(s, oy, x, y),
        4..16 => average::<4>(s, oy, x, y),
        _ => average::<1>(s, oy, x, y),
    }
}

#[inline(always)]
fn average<const B: usize>(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32]) {
    let rows = s.outputs[0][oy];
    for (ox, columns) in s.outputs[1].iter().enumerate() {
        let count = (rows.count * columns.count) as f32;
        for c in blocks::<B>(s.channels) {
            // Row by row, so that the error grows with h + w and not with h w where the window is a whole image.
            let mut sum = [0.0; B];
            for ky in 0..rows.len {
                let mut row = [0.0; B];
                for kx in 0..columns.len {
                    let v = load::<B>(x, s.input(rows.input + ky, columns.input + kx) + c);
                    (0..B).for_each(|i| row[i] += v[i]);
                }
                (0..B).for_each(|i| sum[i] += row[i]);
            }
            y[ox * s.channels + c..][..B].copy_from_slice(&sum.map(|v| v / count));
        }
    }
}

#[inline(always)]
fn winner_body<const FMA: bool, const LANES: usize>(s: &Sliding, iy: usize, dy: &[f32], index: &[f32], dx: &mut [f32]) {
    match s.channels {
        16.. => winner::<16>(s, iy, dy, index, dx),
        4..16 => winner::<4>(s, iy, dy, index, dx),
        _ => winner::<1>(s, iy, dy, index, dx),
    }
}

#[inline(always)]
fn winner<const B: usize>(s: &Sliding, iy: usize, dy: &[f32], index: &[f32], dx: &mut [f32]) {
    for (ix, columns) in s.covers[1].iter().enumerate() {
        for c in blocks::<B>(s.channels) {
            let mut sum = [0.0; B];
            for oy in s.covers[0][iy].clone() {
                for ox in columns.clone() {
                    let (at, tap) = (s.output(oy, ox) + c, s.tap([iy, ix], [oy, ox]));
                    let (g, winner) = (load::<B>(dy, at), load::<B>(index, at));
                    let won = blend(mask(|i| winner[i] == tap), g, [0.0; B]);
                    (0..B).for_each(|i| sum[i] += won[i]);
                }
            }
            dx[ix * s.channels + c..][..B].copy_from_slice(&sum);
        }
    }
}

#[inline(always)]
fn share_body<const FMA: bool, const LANES: usize>(s: &Sliding, iy: usize, dy: &[f32], _index: &[f32], dx: &mut [f32]) {
    match s.channels {
        16.. => share::<FMA, 16>(s, iy, dy, dx),
        4..16 => share::<FMA, 4>(s, iy, dy, dx),
        _ => share::<FMA, 1>(s, iy, dy, dx),
    }
}

#[inline(always)]
fn share<const FMA: bool, const B: usize>(s: &Sliding, iy: usize, dy: &[f32], dx: &mut [f32]) {
    for (ix, columns) in s.covers[1].iter().enumerate() {
        for c in blocks::<B>(s.channels) {
            let mut sum = [0.0; B];
            for oy in s.covers[0][iy].clone() {
                for ox in columns.clone() {
                    let part = 1.0 / (s.outputs[0][oy].count * s.outputs[1][ox].count) as f32;
                    let g = load::<B>(dy, s.output(oy, ox) + c);
                    (0..B).for_each(|i| sum[i] = mul_add::<FMA>(g[i], part, sum[i]));
                }
            }
            dx[ix * s.channels + c..][..B].copy_from_slice(&sum);
        }
    }
}

// The starts of the blocks of `B` channels; the last overlaps the one before it where `B` does not divide.
#[inline(always)]
fn blocks<const B: usize>(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels.div_ceil(B)).map(move |i| (i * B).min(channels - B))
}

// Masks of bits instead of branches: from a plain `if` in these loops the compiler makes scalar code, 20 times slower.
#[inline(always)]
fn mask<const B: usize>(yes: impl Fn(usize) -> bool) -> [u32; B] {
    std::array::from_fn(|i| u32::from(yes(i)).wrapping_neg())
}

#[inline(always)]
fn blend<const B: usize>(mask: [u32; B], a: [f32; B], b: [f32; B]) -> [f32; B] {
    std::array::from_fn(|i| f32::from_bits((a[i].to_bits() & mask[i]) | (b[i].to_bits() & !mask[i])))
}

#[inline(always)]
fn load<const B: usize>(x: &[f32], at: usize) -> [f32; B] {
    let mut v = [0.0; B];
    v.copy_from_slice(&x[at..at + B]);
    v
}
