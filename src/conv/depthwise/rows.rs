//! Forward, and the gradient to the input at stride 1: rows of the output, a few pixels by one vector at a time.
//!
//! ```text
//! for each row of the output                      pieces of a few rows, on any thread
//!   for each tile of 8 pixels                     fewer where a row is short, one by one at its ends
//!     for each vector of channels
//!       for kh, kw: sums[pixel] += x[pixel] * w   what lies in the padding is left out
//! ```
//!
//! The gradient to the input is the same with the kernel turned, over `dy`.

use super::line::Line;
use crate::conv::vector::{Lanes, Register, Vector};
use crate::conv::{Finish, Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::Team;
use crate::simd::{Isa, stamp};

// Pixels of a tile: enough sums to hide the latency of one, and few enough for 16 registers.
const TILE: usize = 8;
const LOW: usize = 4;
// Rows of a piece at most, and pieces at least where there are enough rows.
const ROWS: usize = 8;
const PIECES: usize = 16;

/// See the head of this file.
pub(super) struct Rows {
    lines: [Line; 2],
    channels: usize,
    turned: bool,
    cuts: Vec<usize>,
    isa: Isa,
}

impl Rows {
    pub fn new(g: &Geometry, pass: Pass, machine: Machine) -> Self {
        let lines = [&g.h, &g.w].map(|axis| Line::new(axis, pass));
        let (all, row) = (g.n * lines[0].output, lines[1].output * g.ic);
        let rows = (all / PIECES).clamp(1, ROWS);
        let cuts = (0..all).step_by(rows).chain([all]).map(|r| r * row).collect();
        Self { lines, channels: g.ic, turned: pass == Pass::BackwardInput, cuts, isa: machine.isa }
    }
}

impl Kernel for Rows {
    fn work(&self) -> usize {
        0
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs: [x, w], out, finish, .. } = work;
        let [v, h] = self.lines;
        // Where the compiler knows the kernel and a step of 1, a pixel is read once for all elements of a kernel's row.
        let f = match ([v.kernel, h.kernel], h.stride, h.dilation) {
            ([3, 3], 1, 1) => row3s1(self.isa),
            ([3, 3], ..) => row3(self.isa),
            ([5, 5], 1, 1) => row5s1(self.isa),
            ([5, 5], ..) => row5(self.isa),
            _ => row(self.isa),
        };
        let (image, line) = (v.source * h.source * self.channels, h.output * self.channels);
        team.cuts_with((out, &self.cuts), (&mut [0.0_f32; 0], 0), |i, y, _| {
            let first = self.cuts[i] / line;
            for (r, y) in y.chunks_exact_mut(line).enumerate() {
                let (n, oy) = ((first + r) / v.output, (first + r) % v.output);
                let finish = finish.part((first + r) * line, line);
                f(&mut Job { rows: self, x: &x[n * image..][..image], w, oy, y, finish });
            }
        });
    }
}

/// One row of the output.
struct Job<'a> {
    rows: &'a Rows,
    x: &'a [f32],
    w: &'a [f32],
    oy: usize,
    y: &'a mut [f32],
    finish: Finish<'a>,
}

stamp! {
    fn row(job: &mut Job<'_>) = row_body[FMA, LANES; avx512: 0, 0; avx2: 0, 0; neon: 0, 0; baseline: 0, 0];
}
stamp! {
    fn row3(job: &mut Job<'_>) = row_body[FMA, LANES; avx512: 3, 0; avx2: 3, 0; neon: 3, 0; baseline: 3, 0];
}
stamp! {
    fn row3s1(job: &mut Job<'_>) = row_body[FMA, LANES; avx512: 3, 1; avx2: 3, 1; neon: 3, 1; baseline: 3, 1];
}
stamp! {
    fn row5(job: &mut Job<'_>) = row_body[FMA, LANES; avx512: 5, 0; avx2: 5, 0; neon: 5, 0; baseline: 5, 0];
}
stamp! {
    fn row5s1(job: &mut Job<'_>) = row_body[FMA, LANES; avx512: 5, 1; avx2: 5, 1; neon: 5, 1; baseline: 5, 1];
}

#[inline(always)]
fn row_body<const FMA: bool, const LANES: usize, const K: usize, const S: usize>(job: &mut Job<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    let Rows { lines: [v, h], channels, .. } = job.rows;
    assert!(job.x.len() >= v.source * h.source * channels && job.y.len() >= h.output * channels);
    assert!(K == 0 || (v.kernel == K && h.kernel == K));
    assert!(S == 0 || (h.stride == 1 && h.dilation == 1));
    assert!(job.w.len() >= v.kernel * h.kernel * channels);
    assert!(job.finish.bias.is_empty() || job.finish.bias.len() >= *channels);
    assert!(job.finish.residual.is_empty() || job.finish.residual.len() >= h.output * channels);
    let [start, end] = h.inside();
    // Plain loops: closures are not always inlined, and outside of the instance they have no vectors.
    let mut first = 0;
    while first < h.output {
        let left = end.saturating_sub(first);
        if first < start || left == 0 || end - start < LOW {
            tiles::<V<FMA, LANES>, LANES, K, S, 1, false>(job, first);
            first += 1;
        } else if end - start < TILE {
            // The last tile overlaps the one before it where its pixels do not divide the row.
            tiles::<V<FMA, LANES>, LANES, K, S, LOW, true>(job, first.min(end - LOW));
            first += LOW.min(left);
        } else {
            tiles::<V<FMA, LANES>, LANES, K, S, TILE, true>(job, first.min(end - TILE));
            first += TILE.min(left);
        }
    }
}

type V<const FMA: bool, const LANES: usize> = <Lanes<FMA, LANES> as Register>::Vector;

// `P` pixels from `first` on, all channels; `INSIDE`: none of them meets the padding at either side.
#[inline(always)]
fn tiles<T: Vector, const LANES: usize, const K: usize, const S: usize, const P: usize, const INSIDE: bool>(
    job: &mut Job<'_>,
    first: usize,
) {
    let channels = job.rows.channels;
    for c in (0..channels).step_by(LANES) {
        if channels - c >= LANES {
            tile::<T, K, S, P, INSIDE, true>(job, first, (c, LANES));
        } else {
            tile::<T, K, S, P, INSIDE, false>(job, first, (c, channels - c));
        }
    }
}

#[inline(always)]
fn tile<T: Vector, const K: usize, const S: usize, const P: usize, const INSIDE: bool, const WHOLE: bool>(
    job: &mut Job<'_>,
    first: usize,
    (c, live): (usize, usize),
) {
    let Rows { lines: [v, h], channels, turned, .. } = *job.rows;
    // SAFETY: reads and writes are of `live` channels from `c` on, at pixels that exist: the caller checked the lengths
    // of all slices, and what lies in the padding is not read.
    let mut sums = [T::splat(0.0); P];
    // A size that the compiler knows, where there is one: the loops over the kernel are then unrolled.
    let [height, width] = if K > 0 { [K, K] } else { [v.kernel, h.kernel] };
    for kh in 0..height {
        let iy = v.at(job.oy, kh);
        if !v.real(iy) {
            continue;
        }
        let line = job.x.as_ptr().wrapping_add(iy as usize * h.source * channels + c);
        if S == 1 && INSIDE {
            let mut w = [T::splat(0.0); K];
            for (kw, w) in w.iter_mut().enumerate() {
                let tap = kh * K + kw;
                let tap = if turned { K * K - 1 - tap } else { tap };
                // SAFETY: as above.
                *w = unsafe { T::read_live::<WHOLE>(job.w.as_ptr().wrapping_add(tap * channels + c), live) };
            }
            let mut from = line.wrapping_offset(h.at(first, 0) * channels as isize);
            for i in 0..P + K - 1 {
                // SAFETY: as above.
                let x = unsafe { T::read_live::<WHOLE>(from, live) };
                // The elements of a kernel's row meet each sum in their order.
                for (kw, w) in w.iter().enumerate() {
                    if i >= kw && i - kw < P {
                        sums[i - kw] = x.mul_add(*w, sums[i - kw]);
                    }
                }
                from = from.wrapping_add(channels);
            }
            continue;
        }
        for kw in 0..width {
            let tap = kh * width + kw;
            let tap = if turned { height * width - 1 - tap } else { tap };
            // SAFETY: as above.
            let w = unsafe { T::read_live::<WHOLE>(job.w.as_ptr().wrapping_add(tap * channels + c), live) };
            let start = h.at(first, kw);
            let from = line.wrapping_offset(start * channels as isize);
            for (p, sum) in sums.iter_mut().enumerate() {
                if INSIDE || h.real(start + (p * h.stride) as isize) {
                    // SAFETY: as above.
                    let x = unsafe { T::read_live::<WHOLE>(from.wrapping_add(p * h.stride * channels), live) };
                    *sum = x.mul_add(w, *sum);
                }
            }
        }
    }
    let mut bias = T::splat(0.0);
    if !job.finish.bias.is_empty() {
        // SAFETY: as above.
        bias = unsafe { T::read_live::<WHOLE>(job.finish.bias.as_ptr().wrapping_add(c), live) };
    }
    for (p, sum) in sums.iter().enumerate() {
        let at = (first + p) * channels + c;
        let mut y = sum.add(bias);
        if !job.finish.residual.is_empty() {
            // SAFETY: as above.
            y = y.add(unsafe { T::read_live::<WHOLE>(job.finish.residual.as_ptr().wrapping_add(at), live) });
        }
        let (y, to) = (job.finish.fused.apply_vector(y), job.y.as_mut_ptr().wrapping_add(at));
        // SAFETY: as above.
        unsafe { y.write_live::<WHOLE>(to, live) };
    }
}
