//! Large kernels and small maps, forward and for the gradient to the input at stride 1: a vector of channels at a time,
//! copied side by side.
//!
//! ```text
//! for each piece: some rows and channels of an image   on any thread
//!   for each vector of channels
//!     copy what the rows read, with the padding   [row][column][lane], in the caches
//!     the windows over it                         strip.rs
//! ```
//!
//! The copy brings the lanes of neighbouring pixels side by side: in place they lie a whole pixel apart, so that a window
//! of a deep layer fills the first-level cache with lines for each vector of channels. Measured on 5x5 over 14x14x672:
//! three times the speed of reading in place. The gradient to the input is the same with the kernel turned, over `dy`.

use super::line::Line;
use super::strip::{self, Strip};
use crate::conv::vector::{Lanes, Register, Vector};
use crate::conv::{Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::Team;
use crate::simd::{Isa, stamp};

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
        let Self { lines: [v, h], channels: all, isa, turned, .. } = *self;
        let (copy, windows, lanes) = (copy(isa), strip::function(self.lines, false, isa), isa.lanes());
        let [pixels, channels] = &self.cuts;
        team.grid_with((out, all), [pixels, channels], (scratch, self.own_len()), |[i, j], mut y, own| {
            let (n, first) = (i / self.blocks, i % self.blocks * self.rows);
            let (count, image) = ((pixels[i + 1] - pixels[i]) / h.output, v.source * h.source * all);
            let (x, residual) = (&x[n * image..][..image], finish.residual.get(pixels[i] * all..).unwrap_or(&[]));
            for c in (channels[j]..channels[j + 1]).step_by(lanes) {
                let live = (channels[j + 1] - c).min(lanes);
                copy(&mut Job { kernel: self, x, first, count, c, live, copy: &mut *own });
                windows(&mut Strip {
                    lines: self.lines,
                    x: own,
                    line: self.width() * lanes,
                    w: &w[c..],
                    every: all,
                    turned,
                    live,
                    rows: count,
                    y: y.again(),
                    shift: c - channels[j],
                    bias: finish.bias.get(c..).unwrap_or(&[]),
                    residual: residual.get(c..).unwrap_or(&[]),
                    fused: finish.fused,
                });
            }
        });
    }
}

/// What some rows of an image read, for one vector of channels.
struct Job<'a> {
    kernel: &'a Copied,
    x: &'a [f32],
    /// The first row of the output, and how many.
    first: usize,
    count: usize,
    /// The first channel, and how many.
    c: usize,
    live: usize,
    copy: &'a mut [f32],
}

stamp! {
    fn copy(job: &mut Job<'_>) = copy_body[FMA, LANES];
}

// Lanes side by side, with the padding written out.
#[inline(always)]
fn copy_body<const FMA: bool, const LANES: usize>(job: &mut Job<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    let Copied { lines: [v, h], channels, .. } = *job.kernel;
    assert!(job.x.len() >= v.source * h.source * channels && job.c + job.live <= channels && job.live <= LANES);
    assert!(job.copy.len() >= v.reach(job.count) * job.kernel.width() * LANES);
    if job.live == LANES { lanes::<V<FMA, LANES>, LANES, true>(job) } else { lanes::<V<FMA, LANES>, LANES, false>(job) }
}

type V<const FMA: bool, const LANES: usize> = <Lanes<FMA, LANES> as Register>::Vector;

#[inline(always)]
fn lanes<T: Vector, const LANES: usize, const WHOLE: bool>(job: &mut Job<'_>) {
    let Copied { lines: [v, h], channels, pad_value, .. } = *job.kernel;
    let (pad, width) = (T::splat(pad_value), job.kernel.width());
    let start = v.at(job.first, 0);
    for i in 0..v.reach(job.count) {
        let iy = start + i as isize;
        for j in 0..width {
            let ix = j as isize - h.before;
            let mut x = pad;
            if v.real(iy) && h.real(ix) {
                let at = (iy as usize * h.source + ix as usize) * channels + job.c;
                // SAFETY: the pixel exists, and the caller checked the length of `x`.
                x = unsafe { T::read_live::<WHOLE>(job.x.as_ptr().wrapping_add(at), job.live) };
            }
            // SAFETY: the caller checked the length of the copy: one vector for each row and column.
            unsafe { x.write(job.copy.as_mut_ptr().wrapping_add((i * width + j) * LANES)) };
        }
    }
}
