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
//!
//! Windows of 2x2 side by side, the usual ones, have kernels of their own, with
//! the same results: each dx belongs to one window, so backward scatters. Where
//! windows overlap and nobody asks for the place of the winner, columns are
//! reduced first, each once, and then the windows' columns.

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

    /// Whether the windows are pairs of inputs, side by side.
    fn pairs(&self) -> bool {
        let pair = |(o, span): (usize, &Span)| span.start == 2 * o as isize && span.input == 2 * o && span.len == 2;
        self.dilation == 1 && self.outputs.iter().enumerate().all(pair)
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
    /// The windows are 2x2, side by side.
    pairs: bool,
    /// If set, a winner that is not above 0, or is this, gets no gradient.
    live: Option<f32>,
}

// The place of a winner that gets no gradient.
const NOWHERE: f32 = -1.0;

impl Sliding {
    pub(crate) fn new(lines: [Line; 2], channels: usize) -> Self {
        let pairs = lines.iter().all(Line::pairs);
        Self { lines, channels, pairs, live: None }
    }

    /// The same on the outputs of a ReLU, `y = min(max(x, 0), top)`: winners get the gradient to `x`, which is 0 for
    /// those at an end of its range. A `top` of NaN stands for none.
    pub(crate) fn behind_relu(mut self, top: f32) -> Self {
        self.live = Some(top);
        self
    }

    // The places of the winners `y` that get a gradient.
    #[inline(always)]
    fn living<const B: usize>(&self, y: [f32; B], place: [f32; B]) -> [f32; B] {
        match self.live {
            None => place,
            Some(top) => blend(mask(|i| (y[i] > 0.0) & (y[i] != top)), place, [NOWHERE; B]),
        }
    }

    /// Rows of the input that must stay in one piece of backward, counted from an image's first.
    pub(crate) fn together(&self) -> usize {
        if self.pairs { 2 } else { 1 }
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

    /// Places that one row of the output compares or adds.
    pub(crate) fn compares(&self) -> usize {
        self.lines[1].outputs.len() * self.channels * self.places()
    }

    /// Whether windows share columns.
    pub(crate) fn shares_columns(&self) -> bool {
        let [_, h] = &self.lines;
        h.dilation == 1 && h.fresh < h.reach
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
    /// As [`max_row`] for windows that share columns; `columns` holds a row of the input.
    pub(crate) fn max_columns(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32], columns: &mut [f32])
        = columns_body[FMA, LANES; avx512: false; avx2: false; neon: false; baseline: false];
}

stamp! {
    /// As [`max_columns`] for the minimum.
    pub(crate) fn min_columns(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32], columns: &mut [f32])
        = columns_body[FMA, LANES; avx512: true; avx2: true; neon: true; baseline: true];
}

stamp! {
    /// One row of an average pool; `index` is not used.
    pub(crate) fn average_row(s: &Sliding, oy: usize, x: &[f32], y: &mut [f32], index: &mut [f32])
        = average_body[FMA, LANES];
}

stamp! {
    /// Some rows of the gradient of a maximum or minimum pool, from row `iy` on, from the winning places.
    pub(crate) fn winner_rows(s: &Sliding, iy: usize, dy: &[f32], index: &[f32], dx: &mut [f32])
        = winner_body[FMA, LANES];
}

stamp! {
    /// Some rows of the gradient of an average pool, from row `iy` on; `index` is not used.
    pub(crate) fn share_rows(s: &Sliding, iy: usize, dy: &[f32], index: &[f32], dx: &mut [f32])
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
        (8..16, true) => best::<8, MIN, false>(s, oy, x, y, index),
        (8..16, false) => best::<8, MIN, true>(s, oy, x, y, index),
        (4..8, true) => best::<4, MIN, false>(s, oy, x, y, index),
        (4..8, false) => best::<4, MIN, true>(s, oy, x, y, index),
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
    if s.pairs {
        return best_pairs::<B, MIN, TRACK>(s, oy, x, y, index);
    }
    let [v, h] = &s.lines;
    let rows = &v.outputs[oy];
    for (ox, columns) in h.outputs.iter().enumerate() {
        for c in blocks::<B>(s.channels) {
            // The first real input is the first winner, so that padding never is.
            let mut winner = load::<B>(x, s.input(rows.input, columns.input) + c);
            let mut place = [s.place([rows.input, columns.input], [rows, columns]); B];
            for iy in (0..rows.len).map(|ky| rows.input + ky * v.dilation) {
                for ix in (0..columns.len).map(|kx| columns.input + kx * h.dilation) {
                    let wins = compete::<B, MIN>(load::<B>(x, s.input(iy, ix) + c), &mut winner);
                    if TRACK {
                        place = blend(wins, [s.place([iy, ix], [rows, columns]); B], place);
                    }
                }
            }
            y[ox * s.channels + c..][..B].copy_from_slice(&winner);
            if TRACK {
                index[ox * s.channels + c..][..B].copy_from_slice(&s.living(winner, place));
            }
        }
    }
}

// Where `v` wins, it becomes the winner. A NaN wins against all, as in PyTorch; a tie leaves the earlier winner.
#[inline(always)]
fn compete<const B: usize, const MIN: bool>(v: [f32; B], winner: &mut [f32; B]) -> [u32; B] {
    let wins = mask(|i| v[i].is_nan() | if MIN { v[i] < winner[i] } else { v[i] > winner[i] });
    *winner = blend(wins, v, *winner);
    wins
}

#[inline(always)]
fn columns_body<const FMA: bool, const LANES: usize, const MIN: bool>(
    s: &Sliding,
    oy: usize,
    x: &[f32],
    y: &mut [f32],
    columns: &mut [f32],
) {
    let ([v, h], c, row) = (&s.lines, s.channels, s.rows()[0].1);
    let (rows, columns) = (&v.outputs[oy], &mut columns[..row]);
    best_of::<MIN>(&x[rows.input * row..], [row, v.dilation * row, rows.len], columns);
    for (span, y) in h.outputs.iter().zip(y.chunks_exact_mut(c)) {
        best_of::<MIN>(&columns[span.input * c..], [c, c, span.len], y);
    }
}

// The best of `count` runs of `len` numbers, `step` apart.
#[inline(always)]
fn best_of<const MIN: bool>(from: &[f32], [len, step, count]: [usize; 3], best: &mut [f32]) {
    let best = &mut best[..len];
    if count == 3 {
        // The usual window, in one pass.
        let [a, b, c] = [&from[..len], &from[step..][..len], &from[2 * step..][..len]];
        for (((best, a), b), c) in best.iter_mut().zip(a).zip(b).zip(c) {
            *best = better::<MIN>(*c, better::<MIN>(*b, *a));
        }
        return;
    }
    best.copy_from_slice(&from[..len]);
    for v in (1..count).map(|i| &from[i * step..][..len]) {
        best.iter_mut().zip(v).for_each(|(best, v)| *best = better::<MIN>(*v, *best));
    }
}

// As `compete`, for one number.
#[inline(always)]
fn better<const MIN: bool>(v: f32, winner: f32) -> f32 {
    let wins = v.is_nan() | if MIN { v < winner } else { v > winner };
    if wins { v } else { winner }
}

#[inline(always)]
fn best_pairs<const B: usize, const MIN: bool, const TRACK: bool>(
    s: &Sliding,
    oy: usize,
    x: &[f32],
    y: &mut [f32],
    index: &mut [f32],
) {
    let (c, row) = (s.channels, s.rows()[0].1);
    let (above, below) = x[2 * oy * row..][..2 * row].split_at(row);
    for (ox, y) in y.chunks_exact_mut(c).enumerate() {
        let (above, below) = (&above[2 * ox * c..][..2 * c], &below[2 * ox * c..][..2 * c]);
        for at in blocks::<B>(c) {
            let mut winner = load::<B>(above, at);
            let mut place = [0.0; B];
            for (number, v) in [(1.0, load(above, c + at)), (2.0, load(below, at)), (3.0, load(below, c + at))] {
                let wins = compete::<B, MIN>(v, &mut winner);
                if TRACK {
                    place = blend(wins, [number; B], place);
                }
            }
            y[at..][..B].copy_from_slice(&winner);
            if TRACK {
                index[ox * c + at..][..B].copy_from_slice(&s.living(winner, place));
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
        8..16 => average::<8>(s, oy, x, y),
        4..8 => average::<4>(s, oy, x, y),
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
        16.. => winner_rows_of::<16>(s, iy, dy, index, dx),
        8..16 => winner_rows_of::<8>(s, iy, dy, index, dx),
        4..8 => winner_rows_of::<4>(s, iy, dy, index, dx),
        _ => winner_rows_of::<1>(s, iy, dy, index, dx),
    }
}

#[inline(always)]
fn winner_rows_of<const B: usize>(s: &Sliding, iy: usize, dy: &[f32], index: &[f32], dx: &mut [f32]) {
    let [(_, row), (oh, _)] = s.rows();
    for (i, dx) in dx.chunks_mut(s.together() * row).enumerate() {
        let iy = iy + i * s.together();
        match s.pairs {
            true if iy / 2 < oh => winner_pairs::<B>(s, iy / 2, dy, index, dx),
            // An odd row at the end, which no window sees.
            true => dx.fill(0.0),
            false => winner(s, iy, dy, index, dx),
        }
    }
}

#[inline(always)]
fn winner_pairs<const B: usize>(s: &Sliding, oy: usize, dy: &[f32], index: &[f32], dx: &mut [f32]) {
    let (c, [(_, row), (_, output)]) = (s.channels, s.rows());
    let (dy, index) = (&dy[oy * output..][..output], &index[oy * output..][..output]);
    let (above, below) = dx.split_at_mut(row);
    // An odd column at the end, which no window sees.
    above[2 * output..].fill(0.0);
    below[2 * output..].fill(0.0);
    for (ox, (dy, index)) in dy.chunks_exact(c).zip(index.chunks_exact(c)).enumerate() {
        let (above, below) = (&mut above[2 * ox * c..][..2 * c], &mut below[2 * ox * c..][..2 * c]);
        for at in blocks::<B>(c) {
            let (g, winner) = (load::<B>(dy, at), load::<B>(index, at));
            let share = |number: f32| blend(mask(|i| winner[i] == number), g, [0.0; B]);
            above[at..][..B].copy_from_slice(&share(0.0));
            above[c + at..][..B].copy_from_slice(&share(1.0));
            below[at..][..B].copy_from_slice(&share(2.0));
            below[c + at..][..B].copy_from_slice(&share(3.0));
        }
    }
}

#[inline(always)]
fn winner(s: &Sliding, iy: usize, dy: &[f32], index: &[f32], dx: &mut [f32]) {
    let ([v, h], c) = (&s.lines, s.channels);
    let rows = &v.covers[iy];
    for (dx, (ix, columns)) in dx.chunks_exact_mut(c).zip(h.covers.iter().enumerate()) {
        dx.fill(0.0);
        for oy in (rows.first..rows.end).step_by(rows.step) {
            for ox in (columns.first..columns.end).step_by(columns.step) {
                let (at, place) = (s.output(oy, ox), s.place([iy, ix], [&v.outputs[oy], &h.outputs[ox]]));
                let won = dy[at..][..c].iter().zip(&index[at..][..c]);
                for (dx, (g, winner)) in dx.iter_mut().zip(won) {
                    *dx += f32::from_bits(g.to_bits() & u32::from(*winner == place).wrapping_neg());
                }
            }
        }
    }
}

#[inline(always)]
fn share_body<const FMA: bool, const LANES: usize>(s: &Sliding, iy: usize, dy: &[f32], _index: &[f32], dx: &mut [f32]) {
    match s.channels {
        16.. => share_rows_of::<FMA, 16>(s, iy, dy, dx),
        8..16 => share_rows_of::<FMA, 8>(s, iy, dy, dx),
        4..8 => share_rows_of::<FMA, 4>(s, iy, dy, dx),
        _ => share_rows_of::<FMA, 1>(s, iy, dy, dx),
    }
}

#[inline(always)]
fn share_rows_of<const FMA: bool, const B: usize>(s: &Sliding, iy: usize, dy: &[f32], dx: &mut [f32]) {
    for (i, dx) in dx.chunks_exact_mut(s.rows()[0].1).enumerate() {
        share::<FMA, B>(s, iy + i, dy, dx);
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
// And loops instead of `array::from_fn`, whose calls it does not always turn into one vector of 16.
#[inline(always)]
fn mask<const B: usize>(yes: impl Fn(usize) -> bool) -> [u32; B] {
    let mut mask = [0; B];
    for (i, mask) in mask.iter_mut().enumerate() {
        *mask = u32::from(yes(i)).wrapping_neg();
    }
    mask
}

#[inline(always)]
fn blend<const B: usize>(mask: [u32; B], a: [f32; B], b: [f32; B]) -> [f32; B] {
    let mut blend = [0.0; B];
    for i in 0..B {
        blend[i] = f32::from_bits((a[i].to_bits() & mask[i]) | (b[i].to_bits() & !mask[i]));
    }
    blend
}

#[inline(always)]
fn load<const B: usize>(x: &[f32], at: usize) -> [f32; B] {
    let mut v = [0.0; B];
    v.copy_from_slice(&x[at..at + B]);
    v
}
