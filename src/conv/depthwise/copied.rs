//! Large kernels and small maps, forward and for the gradient to the input at stride 1: a vector of channels at a time,
//! copied side by side.
//!
//! ```text
//! for each piece: some rows and channels of an image   on any thread
//!   for each vector of channels
//!     copy what the rows read, with the padding   [row][column][lane], in the caches
//!     for each row, each tile of 14 pixels
//!       for kh, kw: sums[pixel] += x[pixel] * w
//! ```
//!
//! The copy brings the lanes of neighbouring pixels side by side: in place they lie a whole pixel apart, so that a window
//! of a deep layer fills the first-level cache with lines for each vector of channels. Measured on 5x5 over 14x14x672:
//! three times the speed of reading in place. The gradient to the input is the same with the kernel turned, over `dy`.

use super::line::Line;
use crate::conv::vector::{Lanes, Register, Vector};
use crate::conv::{Finish, Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::{Cell, Team};
use crate::simd::{Isa, stamp};

// Pixels of a tile: enough sums to hide the latency of one, and few enough for 16 registers. Rows that are shorter take
// the next one.
const TILES: [usize; 3] = [14, 7, 1];
// Rows of a piece at most, and pieces at least where there are enough rows.
const ROWS: usize = 14;
const PIECES: usize = 16;
// Rows of a piece at least, since neighbouring pieces copy the same rows; and channels.
const LEAST: usize = 7;
const FEW: usize = 64;

/// See the head of this file.
pub(super) struct Copied {
    lines: [Line; 2],
    channels: usize,
    turned: bool,
    pad_value: f32,
    /// Rows of a piece, and pieces of an image.
    rows: usize,
    blocks: usize,
    /// Where the pixels and the channels of each piece start.
    cuts: [Vec<usize>; 2],
    isa: Isa,
    threads: usize,
}

impl Copied {
    pub fn new(g: &Geometry, pass: Pass, machine: Machine) -> Self {
        let lines = [&g.h, &g.w].map(|axis| Line::new(axis, pass));
        let height = lines[0].output;
        let rows = height.div_ceil(PIECES.div_ceil(g.n)).clamp(LEAST, ROWS).min(height);
        let width = lines[1].output;
        let starts = (0..g.n).flat_map(|n| (0..height).step_by(rows).map(move |r| (n * height + r) * width));
        // Where rows make few pieces, channels make more.
        let parts = PIECES.div_ceil(g.n * height.div_ceil(rows)).min(g.ic.div_ceil(FEW));
        let step = g.ic.div_ceil(parts).next_multiple_of(16);
        let channels = (0..g.ic).step_by(step).chain([g.ic]).collect();
        let cuts = [starts.chain([g.n * height * width]).collect(), channels];
        let (blocks, turned) = (height.div_ceil(rows), pass == Pass::BackwardInput);
        let pad_value = if turned { 0.0 } else { g.pad_value };
        let Machine { isa, threads } = machine;
        Self { lines, channels: g.ic, turned, pad_value, rows, blocks, cuts, isa, threads }
    }

    // Columns of the copy, and its numbers.
    fn width(&self) -> usize {
        self.lines[1].reach(self.lines[1].output)
    }

    // Of each thread.
    fn own_len(&self) -> usize {
        (self.lines[0].reach(self.rows) * self.width() * self.isa.lanes()).next_multiple_of(16)
    }
}

impl Kernel for Copied {
    fn work(&self) -> usize {
        self.threads * self.own_len()
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs: [x, w], out, finish, scratch, .. } = work;
        let [v, h] = self.lines;
        let f = match [v.kernel, h.kernel] {
            [3, 3] => rows3(self.isa),
            [5, 5] => rows5(self.isa),
            _ => rows(self.isa),
        };
        let image = v.source * h.source * self.channels;
        let [pixels, channels] = &self.cuts;
        team.grid_with((out, self.channels), [pixels, channels], (scratch, self.own_len()), |[i, j], y, copy| {
            let (n, first) = (i / self.blocks, i % self.blocks * self.rows);
            let count = (pixels[i + 1] - pixels[i]) / h.output;
            let at = Place { first, count, pixel: pixels[i], channels: [channels[j], channels[j + 1]] };
            f(&mut Job { kernel: self, x: &x[n * image..][..image], w, at, y, copy, finish });
        });
    }
}

/// Some rows and channels of the output of one image.
struct Job<'a> {
    kernel: &'a Copied,
    x: &'a [f32],
    w: &'a [f32],
    at: Place,
    y: Cell<'a, f32>,
    copy: &'a mut [f32],
    finish: Finish<'a>,
}

/// Which rows.
#[derive(Clone, Copy)]
struct Place {
    /// The first in its image, and how many.
    first: usize,
    count: usize,
    /// Their first pixel among those of all images.
    pixel: usize,
    channels: [usize; 2],
}

stamp! {
    fn rows(job: &mut Job<'_>) = rows_body[FMA, LANES; avx512: 0; avx2: 0; neon: 0; baseline: 0];
}
stamp! {
    fn rows3(job: &mut Job<'_>) = rows_body[FMA, LANES; avx512: 3; avx2: 3; neon: 3; baseline: 3];
}
stamp! {
    fn rows5(job: &mut Job<'_>) = rows_body[FMA, LANES; avx512: 5; avx2: 5; neon: 5; baseline: 5];
}

type V<const FMA: bool, const LANES: usize> = <Lanes<FMA, LANES> as Register>::Vector;

#[inline(always)]
fn rows_body<const FMA: bool, const LANES: usize, const K: usize>(job: &mut Job<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    let Copied { lines: [v, h], channels, .. } = *job.kernel;
    let Place { count, pixel, channels: [from, to], .. } = job.at;
    let end = (count * h.output - 1) * channels + to;
    assert!(job.x.len() >= v.source * h.source * channels && job.w.len() >= v.kernel * h.kernel * channels);
    assert!(job.copy.len() >= v.reach(count) * job.kernel.width() * LANES);
    assert!(K == 0 || (v.kernel == K && h.kernel == K));
    assert!(job.finish.bias.is_empty() || job.finish.bias.len() >= channels);
    assert!(job.finish.residual.is_empty() || job.finish.residual.len() >= pixel * channels + end);
    assert!(from < to && to <= channels);
    assert!(job.y.step() == channels && job.y.width() == to - from && job.y.len() >= end - from);
    let mut c = from;
    while c < to {
        let live = (to - c).min(LANES);
        copy::<V<FMA, LANES>, LANES>(job, count, (c, live));
        for r in 0..count {
            // Plain loops: closures are not always inlined, and outside of the instance they have no vectors.
            let mut first = 0;
            while first < h.output {
                let left = h.output - first;
                if h.output >= TILES[0] {
                    // The last tile overlaps the one before it where its pixels do not divide the row.
                    let at = first.min(h.output - TILES[0]);
                    tile::<V<FMA, LANES>, LANES, K, { TILES[0] }>(job, [r, at], (c, live));
                    first += TILES[0].min(left);
                } else if h.output >= TILES[1] {
                    let at = first.min(h.output - TILES[1]);
                    tile::<V<FMA, LANES>, LANES, K, { TILES[1] }>(job, [r, at], (c, live));
                    first += TILES[1].min(left);
                } else {
                    tile::<V<FMA, LANES>, LANES, K, { TILES[2] }>(job, [r, first], (c, live));
                    first += 1;
                }
            }
        }
        c += LANES;
    }
}

// What some rows read of some channels, lanes side by side, with the padding written out.
#[inline(always)]
fn copy<T: Vector, const LANES: usize>(job: &mut Job<'_>, count: usize, (c, live): (usize, usize)) {
    let Copied { lines: [v, h], channels, pad_value, .. } = *job.kernel;
    let (pad, width) = (T::splat(pad_value), job.kernel.width());
    let start = v.at(job.at.first, 0);
    for i in 0..v.reach(count) {
        let iy = start + i as isize;
        for j in 0..width {
            let ix = j as isize - h.before;
            let mut x = pad;
            if v.real(iy) && h.real(ix) {
                let at = (iy as usize * h.source + ix as usize) * channels + c;
                let from = job.x.as_ptr().wrapping_add(at);
                // SAFETY: the pixel exists, and the caller checked the length of `x`.
                x = unsafe { if live == LANES { T::read(from) } else { T::read_first(from, live) } };
            }
            // SAFETY: the caller checked the length of the copy: one vector for each row and column.
            unsafe { x.write(job.copy.as_mut_ptr().wrapping_add((i * width + j) * LANES)) };
        }
    }
}

// `P` pixels of row `r` of the piece from `first` on.
#[inline(always)]
fn tile<T: Vector, const LANES: usize, const K: usize, const P: usize>(
    job: &mut Job<'_>,
    [r, first]: [usize; 2],
    (c, live): (usize, usize),
) {
    let Copied { lines: [v, h], channels, turned, .. } = *job.kernel;
    let width = job.kernel.width();
    // A size that the compiler knows, where there is one: the loops over the kernel are then unrolled.
    let [kernel_h, kernel_w] = if K > 0 { [K, K] } else { [v.kernel, h.kernel] };
    let mut sums = [T::splat(0.0); P];
    let start = job.copy.as_ptr().wrapping_add((r * v.stride * width + first * h.stride) * LANES);
    for kh in 0..kernel_h {
        for kw in 0..kernel_w {
            let tap = kh * kernel_w + kw;
            let tap = if turned { kernel_h * kernel_w - 1 - tap } else { tap };
            let from = job.w.as_ptr().wrapping_add(tap * channels + c);
            // SAFETY: the caller checked the lengths of all slices: here `live` channels of an element of the kernel, and
            // below a vector of the copy for each pixel and element.
            let w = unsafe { if live == LANES { T::read(from) } else { T::read_first(from, live) } };
            let from = start.wrapping_add((kh * v.dilation * width + kw * h.dilation) * LANES);
            for (p, sum) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                *sum = unsafe { T::read(from.wrapping_add(p * h.stride * LANES)) }.mul_add(w, *sum);
            }
        }
    }
    finish::<T, LANES, P>(job, sums, r * h.output + first, (c, live));
}

#[inline(always)]
fn finish<T: Vector, const LANES: usize, const P: usize>(
    job: &mut Job<'_>,
    sums: [T; P],
    pixel: usize,
    (c, live): (usize, usize),
) {
    let (channels, whole) = (job.kernel.channels, live == LANES);
    let to = job.y.start().wrapping_add(pixel * channels + c - job.at.channels[0]);
    let mut bias = T::splat(0.0);
    if !job.finish.bias.is_empty() {
        let from = job.finish.bias.as_ptr().wrapping_add(c);
        // SAFETY: the caller checked the lengths of all slices; `live` channels from `c` on exist at each pixel.
        bias = unsafe { if whole { T::read(from) } else { T::read_first(from, live) } };
    }
    for (p, sum) in sums.iter().enumerate() {
        let mut y = sum.add(bias);
        if !job.finish.residual.is_empty() {
            let from = job.finish.residual.as_ptr().wrapping_add((job.at.pixel + pixel + p) * channels + c);
            // SAFETY: as above.
            y = y.add(unsafe { if whole { T::read(from) } else { T::read_first(from, live) } });
        }
        let (y, to) = (job.finish.fused.apply_vector(y), to.wrapping_add(p * channels));
        // SAFETY: as above.
        unsafe { if whole { y.write(to) } else { y.write_first(to, live) } };
    }
}
