//! Windows over a strip of a depthwise convolution's source: one vector of channels, with the padding written out.
//!
//! ```text
//! for each row of the output, each tile of 14 pixels
//!   for kh, kw: sums[pixel] += x[pixel] * w
//! ```
//!
//! The strip may be a copy whose lanes lie side by side (`copied.rs`) or what another layer has just written (`chain.rs`).

use super::line::Line;
use crate::conv::Fused;
use crate::conv::vector::{Lanes, Register, Vector};
use crate::parallel::Cell;
use crate::simd::{Isa, stamp};

// Pixels of a tile: enough sums to hide the latency of one, and few enough for 16 registers. Rows that are shorter take
// the next one.
const TILES: [usize; 3] = [14, 7, 1];

/// Some rows of one vector of channels.
pub(in crate::conv) struct Strip<'a> {
    /// The axes; their padding is part of the source.
    pub lines: [Line; 2],
    /// The source: a vector at each place, `line` numbers from row to row.
    pub x: &'a [f32],
    pub line: usize,
    /// The kernel of these channels, `every` numbers from element to element; `turned` for a gradient to the input.
    pub w: &'a [f32],
    pub every: usize,
    pub turned: bool,
    /// Channels that exist.
    pub live: usize,
    /// Rows of the output.
    pub rows: usize,
    /// The output, pixel by pixel; these channels begin at `shift`.
    pub y: Cell<'a, f32>,
    pub shift: usize,
    /// Of these channels, or empty.
    pub bias: &'a [f32],
    /// Of these channels, with pixels as far apart as in `y`, or empty.
    pub residual: &'a [f32],
    pub fused: Fused,
}

/// A function that computes a strip.
pub(in crate::conv) type StripFn = fn(&mut Strip<'_>);

/// The function for these axes, over pixels that are one vector apart, or two if `pairs`.
pub(in crate::conv) fn function(lines: [Line; 2], pairs: bool, isa: Isa) -> StripFn {
    // Sizes that the compiler knows: loops are unrolled, and a pixel's place is a constant.
    match (lines.map(|line| line.kernel), lines[1].stride, lines[1].dilation, pairs) {
        ([3, 3], 1, 1, false) => k3(isa),
        ([3, 3], 2, 1, false) => k3s2(isa),
        ([5, 5], 1, 1, false) => k5(isa),
        ([5, 5], 2, 1, false) => k5s2(isa),
        (.., false) => any(isa),
        ([3, 3], 1, 1, true) => k3_pairs(isa),
        ([3, 3], 2, 1, true) => k3s2_pairs(isa),
        ([5, 5], 1, 1, true) => k5_pairs(isa),
        ([5, 5], 2, 1, true) => k5s2_pairs(isa),
        (.., true) => any_pairs(isa),
    }
}

stamp! {
    fn k3(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 1, 3, 1; avx2: 1, 3, 1; neon: 1, 3, 1; baseline: 1, 3, 1];
}
stamp! {
    fn k3s2(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 1, 3, 2; avx2: 1, 3, 2; neon: 1, 3, 2; baseline: 1, 3, 2];
}
stamp! {
    fn k5(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 1, 5, 1; avx2: 1, 5, 1; neon: 1, 5, 1; baseline: 1, 5, 1];
}
stamp! {
    fn k5s2(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 1, 5, 2; avx2: 1, 5, 2; neon: 1, 5, 2; baseline: 1, 5, 2];
}
stamp! {
    fn any(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 1, 0, 0; avx2: 1, 0, 0; neon: 1, 0, 0; baseline: 1, 0, 0];
}
stamp! {
    fn k3_pairs(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 2, 3, 1; avx2: 2, 3, 1; neon: 2, 3, 1; baseline: 2, 3, 1];
}
stamp! {
    fn k3s2_pairs(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 2, 3, 2; avx2: 2, 3, 2; neon: 2, 3, 2; baseline: 2, 3, 2];
}
stamp! {
    fn k5_pairs(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 2, 5, 1; avx2: 2, 5, 1; neon: 2, 5, 1; baseline: 2, 5, 1];
}
stamp! {
    fn k5s2_pairs(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 2, 5, 2; avx2: 2, 5, 2; neon: 2, 5, 2; baseline: 2, 5, 2];
}
stamp! {
    fn any_pairs(s: &mut Strip<'_>) = body[FMA, LANES; avx512: 2, 0, 0; avx2: 2, 0, 0; neon: 2, 0, 0; baseline: 2, 0, 0];
}

impl Strip<'_> {
    // Bounds every read and write.
    fn check(&self, lanes: usize, [step, kernel, stride]: [usize; 3]) {
        let [v, h] = self.lines;
        assert!(kernel == 0 || (v.kernel == kernel && h.kernel == kernel));
        assert!(stride == 0 || (h.stride == stride && h.dilation == 1));
        assert!(self.rows > 0 && h.output > 0 && (1..=lanes).contains(&self.live));
        let [last_row, last_column] = [v.reach(self.rows) - 1, h.reach(h.output) - 1];
        assert!(last_row * self.line + last_column * step + lanes <= self.x.len());
        assert!((v.kernel * h.kernel - 1) * self.every + self.live <= self.w.len());
        let end = (self.rows * h.output - 1) * self.y.step() + self.live;
        assert!(self.shift + end <= self.y.len() && self.shift + self.live <= self.y.width());
        assert!(self.bias.is_empty() || self.bias.len() >= self.live);
        assert!(self.residual.is_empty() || self.residual.len() >= end);
    }
}

type V<const FMA: bool, const LANES: usize> = <Lanes<FMA, LANES> as Register>::Vector;

#[inline(always)]
fn body<const FMA: bool, const LANES: usize, const APART: usize, const K: usize, const STRIDE: usize>(s: &mut Strip<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    s.check(LANES, [APART * LANES, K, STRIDE]);
    let output = s.lines[1].output;
    for r in 0..s.rows {
        // Plain loops: closures are not always inlined, and outside of the instance they have no vectors.
        let mut first = 0;
        while first < output {
            let left = output - first;
            if output >= TILES[0] {
                // The last tile overlaps the one before it where its pixels do not divide the row.
                tile::<V<FMA, LANES>, LANES, APART, K, STRIDE, { TILES[0] }>(s, [r, first.min(output - TILES[0])]);
                first += TILES[0].min(left);
            } else if output >= TILES[1] {
                tile::<V<FMA, LANES>, LANES, APART, K, STRIDE, { TILES[1] }>(s, [r, first.min(output - TILES[1])]);
                first += TILES[1].min(left);
            } else {
                tile::<V<FMA, LANES>, LANES, APART, K, STRIDE, { TILES[2] }>(s, [r, first]);
                first += 1;
            }
        }
    }
}

// `P` pixels of row `r` from `first` on.
#[inline(always)]
fn tile<T: Vector, const LANES: usize, const APART: usize, const K: usize, const STRIDE: usize, const P: usize>(
    s: &mut Strip<'_>,
    [r, first]: [usize; 2],
) {
    let Strip { lines: [v, h], line, every, live, .. } = *s;
    let [stride, dilation] = if STRIDE > 0 { [STRIDE, 1] } else { [h.stride, h.dilation] };
    let step = APART * LANES;
    // A size that the compiler knows, where there is one: the loops over the kernel are then unrolled.
    let [kernel_h, kernel_w] = if K > 0 { [K, K] } else { [v.kernel, h.kernel] };
    let mut sums = [T::splat(0.0); P];
    let start = s.x.as_ptr().wrapping_add(r * v.stride * line + first * stride * step);
    for kh in 0..kernel_h {
        let start = start.wrapping_add(kh * v.dilation * line);
        for kw in 0..kernel_w {
            let tap = kh * kernel_w + kw;
            let tap = if s.turned { kernel_h * kernel_w - 1 - tap } else { tap };
            let from = s.w.as_ptr().wrapping_add(tap * every);
            // SAFETY: `Strip::check` bounded what all taps of all pixels read.
            let w = unsafe { if live == LANES { T::read(from) } else { T::read_first(from, live) } };
            let from = start.wrapping_add(kw * dilation * step);
            for (p, sum) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                *sum = unsafe { T::read(from.wrapping_add(p * stride * step)) }.mul_add(w, *sum);
            }
        }
    }
    finish::<T, LANES, P>(s, sums, r * h.output + first);
}

#[inline(always)]
fn finish<T: Vector, const LANES: usize, const P: usize>(s: &mut Strip<'_>, sums: [T; P], pixel: usize) {
    let (live, step) = (s.live, s.y.step());
    let whole = live == LANES;
    let mut bias = T::splat(0.0);
    if !s.bias.is_empty() {
        // SAFETY: `Strip::check` made sure that `live` channels of the bias exist, and of each pixel below.
        bias = unsafe { if whole { T::read(s.bias.as_ptr()) } else { T::read_first(s.bias.as_ptr(), live) } };
    }
    for (p, sum) in sums.iter().enumerate() {
        let at = (pixel + p) * step;
        let mut y = sum.add(bias);
        if !s.residual.is_empty() {
            let from = s.residual.as_ptr().wrapping_add(at);
            // SAFETY: as above.
            y = y.add(unsafe { if whole { T::read(from) } else { T::read_first(from, live) } });
        }
        let (y, to) = (s.fused.apply_vector(y), s.y.start().wrapping_add(s.shift + at));
        // SAFETY: as above.
        unsafe { if whole { y.write(to) } else { y.write_first(to, live) } };
    }
}
