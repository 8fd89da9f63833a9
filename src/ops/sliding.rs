//! The kernels of pooling: which inputs a window meets, and the reduction over them.
//!
//! [`Sliding`] holds, for each output along an axis, the taps that fall on real
//! inputs, and for each input the outputs that see it. So no kernel meets the
//! padding, and backward *gathers*: each dx is written once, from all windows
//! over it, in a fixed order. Overlapping windows add up, elements that no
//! window sees get 0, and no two threads write the same place.
//!
//! The windows may all be alike and one step apart (`Pool2D`), or divide the
//! image into a given number of parts (`AdaptivePool2D`).
//!
//! Vectors run over channels, in blocks of fixed width; the last block of a
//! pixel overlaps the one before it instead of leaving a remainder.

use crate::conv::Axis;
use crate::simd::{mul_add, stamp};

/// The window of one output along one axis, and its taps that fall on real inputs.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// Where the window starts, in the padding if negative.
    start: isize,
    /// The first real input that it meets.
    input: usize,
    /// How many of them.
    len: usize,
    /// How many an average divides by.
    count: usize,
}

/// The outputs whose windows meet one input: `first`, `first + step`, ..., below `end`.
#[derive(Debug, Clone, Copy)]
struct Cover {
    first: usize,
    end: usize,
    step: usize,
}

/// All windows along one axis.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    outputs: Vec<Span>,
    covers: Vec<Cover>,
    /// Distance between the taps of a window.
    dilation: usize,
    /// How far the longest window reaches.
    reach: usize,
    /// Inputs that one output adds to those of the output before.
    fresh: usize,
}

impl Line {
    /// Windows of one size, one stride apart.
    pub(crate) fn regular(axis: &Axis, count_padding: bool) -> Self {
        Self {
            outputs: (0..axis.output).map(|o| span(axis, o, count_padding)).collect(),
            covers: (0..axis.input).map(|i| cover(axis, i)).collect(),
            dilation: axis.dilation,
            reach: axis.reach(),
            fresh: axis.stride.min(axis.input),
        }
    }

    /// `output` windows that divide the input: window `o` is `floor(o input / output) .. ceil((o + 1) input / output)`.
    pub(crate) fn adaptive(input: usize, output: usize) -> Self {
        let window = |o: usize| o * input / output..((o + 1) * input).div_ceil(output);
        let part = |o: usize| {
            let (start, len) = (window(o).start, window(o).len());
            Span { start: start as isize, input: start, len, count: len }
        };
        // The last window that starts at or before i, and the first that ends after it.
        let meets = |i: usize| Cover { first: i * output / input, end: ((i + 1) * output).div_ceil(input), step: 1 };
        let reach = (0..output).map(|o| window(o).len()).max().unwrap_or(1);
        let (outputs, covers) = ((0..output).map(part).collect(), (0..input).map(meets).collect());
        Self { outputs, covers, dilation: 1, reach, fresh: input.div_ceil(output) }
    }

    /// Whether each window meets a real input.
    pub(crate) fn sees(&self) -> bool {
        self.outputs.iter().all(|span| span.len > 0)
    }
}

/// Pooling windows on an image of a known size.
#[derive(Debug, Clone)]
pub(crate) struct Sliding {
    lines: [Line; 2],
    channels: usize,
}

impl Sliding {
    pub(crate) fn new(lines: [Line; 2], channels: usize) -> Self {
        Self { lines, channels }
    }

    /// Rows of the input and of the output, and the numbers in one row of each.
    pub(crate) fn rows(&self) -> [(usize, usize); 2] {
        let [v, h] = &self.lines;
        [(v.covers.len(), h.covers.len() * self.channels), (v.outputs.len(), h.outputs.len() * self.channels)]
    }

    /// Numbers of the input that one row of the output reads.
    pub(crate) fn reads(&self) -> usize {
        let [v, h] = &self.lines;
        v.fresh * h.covers.len() * self.channels
    }

    /// Places under a window, of which the winner's number is saved as an f32.
    pub(crate) fn places(&self) -> usize {
        self.lines[0].reach.saturating_mul(self.lines[1].reach)
    }

    // Where the pixel (row, column) of the input starts.
    #[inline(always)]
    fn input(&self, row: usize, column: usize) -> usize {
        (row * self.lines[1].covers.len() + column) * self.channels
    }

    #[inline(always)]
    fn output(&self, row: usize, column: usize) -> usize {
        (row * self.lines[1].outputs.len() + column) * self.channels
    }

    // The number of the place of a window's row and column at which it meets an input.
    #[inline(always)]
    fn place(&self, [iy, ix]: [usize; 2], [row, column]: [&Span; 2]) -> f32 {
        let [y, x] = [iy as isize - row.start, ix as isize - column.start];
        (y * self.lines[1].reach as isize + x) as f32
    }
}

fn span(axis: &Axis, o: usize, count_padding: bool) -> Span {
    let start = o * axis.stride;
    // Taps before a place of the padded input.
    let taps = |end: usize| end.saturating_sub(start).div_ceil(axis.dilation).min(axis.kernel);
    let (first, end) = (taps(axis.before), taps(axis.before + axis.input));
    let len = end - first;
    Span {
        start: start as isize - axis.before as isize,
        input: (start + first * axis.dilation).saturating_sub(axis.before),
        len,
        count: if count_padding { taps(axis.before + axis.input + axis.after) } else { len },
    }
}

// The outputs whose windows hold input `i`: `i + before - o stride` is one of 0, dilation, ..., reach - 1.
fn cover(axis: &Axis, i: usize) -> Cover {
    let at = i + axis.before;
    let lowest = (at + 1).saturating_sub(axis.reach()).div_ceil(axis.stride);
    let end = (at / axis.stride + 1).min(axis.output);
    // Of any `dilation` outputs in a row at least one meets it, or none ever does.
    let met = |o: &usize| (at - o * axis.stride).is_multiple_of(axis.dilation);
    let first = (lowest..end.min(lowest + axis.dilation)).find(met).unwrap_or(end);
    Cover { first, end, step: axis.dilation / gcd(axis.dilation, axis.stride) }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

stamp! {
    /// One row of a maximum pool: `y[ox, c] = max x[.., .., c]`; `index`, if it is not empty, gets the winning places.
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
    /// One row of the gradient of a maximum or minimum pool, from the winning places.
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
    let [v, h] = &s.lines;
    let rows = &v.outputs[oy];
    for (ox, columns) in h.outputs.iter().enumerate() {
        for c in blocks::<B>(s.channels) {
            // The first real input is the first winner, so that padding never is.
            let mut winner = load::<B>(x, s.input(rows.input, columns.input) + c);
            let mut place = [s.place([rows.input, columns.input], [rows, columns]); B];
            for iy in (0..rows.len).map(|ky| rows.input + ky * v.dilation) {
                for ix in (0..columns.len).map(|kx| columns.input + kx * h.dilation) {
                    let v = load::<B>(x, s.input(iy, ix) + c);
                    // A NaN wins against all, as in PyTorch; a tie leaves the earlier winner.
                    let wins = mask(|i| v[i].is_nan() | if MIN { v[i] < winner[i] } else { v[i] > winner[i] });
                    winner = blend(wins, v, winner);
                    if TRACK {
                        place = blend(wins, [s.place([iy, ix], [rows, columns]); B], place);
                    }
                }
            }
            y[ox * s.channels + c..][..B].copy_from_slice(&winner);
            if TRACK {
                index[ox * s.channels + c..][..B].copy_from_slice(&place);
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
    let [v, h] = &s.lines;
    let rows = &v.outputs[oy];
    for (ox, columns) in h.outputs.iter().enumerate() {
        let count = (rows.count * columns.count) as f32;
        for c in blocks::<B>(s.channels) {
            // Row by row, so that the error grows with h + w and not with h w where the window is a whole image.
            let mut sum = [0.0; B];
            for iy in (0..rows.len).map(|ky| rows.input + ky * v.dilation) {
                let mut row = [0.0; B];
                for ix in (0..columns.len).map(|kx| columns.input + kx * h.dilation) {
                    let v = load::<B>(x, s.input(iy, ix) + c);
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
    let [v, h] = &s.lines;
    let rows = &v.covers[iy];
    for (ix, columns) in h.covers.iter().enumerate() {
        for c in blocks::<B>(s.channels) {
            let mut sum = [0.0; B];
            for oy in (rows.first..rows.end).step_by(rows.step) {
                for ox in (columns.first..columns.end).step_by(columns.step) {
                    let (at, place) = (s.output(oy, ox) + c, s.place([iy, ix], [&v.outputs[oy], &h.outputs[ox]]));
                    let (g, winner) = (load::<B>(dy, at), load::<B>(index, at));
                    let won = blend(mask(|i| winner[i] == place), g, [0.0; B]);
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
    let [v, h] = &s.lines;
    let rows = &v.covers[iy];
    for (ix, columns) in h.covers.iter().enumerate() {
        for c in blocks::<B>(s.channels) {
            let mut sum = [0.0; B];
            for oy in (rows.first..rows.end).step_by(rows.step) {
                for ox in (columns.first..columns.end).step_by(columns.step) {
                    let part = 1.0 / (v.outputs[oy].count * h.outputs[ox].count) as f32;
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
