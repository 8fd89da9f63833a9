//! The gradient to the weights of 3x3 and 5x5 kernels: all elements of a kernel are sums in registers, for one vector of
//! channels, along a row of pixels.
//!
//! ```text
//! dw[kh, kw, c] = sum over n, oh, ow of  x[n, oh stride + kh dilation - top, ow stride + kw dilation - left, c] dy[n, oh, ow, c]
//! ```
//!
//! Rows are cut into groups by their number alone; each group fills a `dw` of its own, and the groups are added in order.

use crate::conv::vector::{Lanes, Register, Vector};
use crate::conv::{Geometry, Kernel, Machine, Work};
use crate::parallel::Team;
use crate::simd::{Isa, stamp};

// Groups of rows.
const GROUPS: usize = 16;
// Numbers of dw that are added at a time.
const CHUNK: usize = 4096;

/// Whether this file has a kernel for it.
pub(super) fn fits(g: &Geometry) -> bool {
    g.h.kernel == g.w.kernel && matches!(g.h.kernel, 3 | 5)
}

/// See the head of this file.
pub(super) struct Weights {
    g: Geometry,
    isa: Isa,
    groups: usize,
}

impl Weights {
    pub fn new(g: &Geometry, machine: Machine) -> Self {
        Self { g: *g, isa: machine.isa, groups: GROUPS.min(g.n * g.h.output) }
    }

    // The rows of a group.
    fn rows(&self, group: usize) -> std::ops::Range<usize> {
        let all = self.g.n * self.g.h.output;
        group * all / self.groups..(group + 1) * all / self.groups
    }
}

impl Kernel for Weights {
    fn work(&self) -> usize {
        self.groups * self.g.w_len()
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs: [x, dy], out, scratch, .. } = work;
        let (g, len) = (&self.g, self.g.w_len());
        let (image, line) = (g.h.input * g.w.input * g.ic, g.w.output * g.ic);
        let f = if g.h.kernel == 3 { row3(self.isa) } else { row5(self.isa) };
        let partial = &mut scratch[..self.groups * len];
        team.chunks(partial, len, |group, dw| {
            dw.fill(0.0);
            for r in self.rows(group) {
                let (n, oy) = (r / g.h.output, r % g.h.output);
                f(&mut Job { g, x: &x[n * image..][..image], dy: &dy[r * line..][..line], oy, dw });
            }
        });
        let partial = &*partial;
        team.chunks(&mut out[..len], CHUNK, |i, out| {
            out.fill(0.0);
            for group in partial.chunks_exact(len) {
                out.iter_mut().zip(&group[i * CHUNK..]).for_each(|(sum, dw)| *sum += dw);
            }
        });
    }
}

/// What one row of `dy` adds to `dw`.
struct Job<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    dy: &'a [f32],
    oy: usize,
    dw: &'a mut [f32],
}

stamp! {
    fn row3(job: &mut Job<'_>) = row_body[FMA, LANES; avx512: 3; avx2: 3; neon: 3; baseline: 3];
}
stamp! {
    fn row5(job: &mut Job<'_>) = row_body[FMA, LANES; avx512: 5; avx2: 5; neon: 5; baseline: 5];
}

#[inline(always)]
fn row_body<const FMA: bool, const LANES: usize, const K: usize>(job: &mut Job<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    let Geometry { h, w, ic, .. } = *job.g;
    assert!(h.kernel == K && w.kernel == K && job.dw.len() >= K * K * ic);
    assert!(job.x.len() >= h.input * w.input * ic && job.dy.len() >= w.output * ic);
    for c in (0..ic).step_by(LANES) {
        let live = (ic - c).min(LANES);
        if live == LANES {
            line::<V<FMA, LANES>, K, true>(job, c, live);
        } else {
            line::<V<FMA, LANES>, K, false>(job, c, live);
        }
    }
}

type V<const FMA: bool, const LANES: usize> = <Lanes<FMA, LANES> as Register>::Vector;

#[inline(always)]
fn line<T: Vector, const K: usize, const WHOLE: bool>(job: &mut Job<'_>, c: usize, live: usize) {
    let Geometry { h, w, ic, .. } = *job.g;
    // Reads and writes are of `live` channels from `c` on, at pixels and elements that exist: the caller checked the
    // lengths, and what lies in the padding is not read.
    let mut sums = [[T::splat(0.0); K]; K];
    let mut lines = [None; K];
    for (kh, (sums, line)) in sums.iter_mut().zip(&mut lines).enumerate() {
        for (kw, sum) in sums.iter_mut().enumerate() {
            let from = job.dw.as_ptr().wrapping_add((kh * K + kw) * ic + c);
            // SAFETY: as above.
            *sum = unsafe { T::read_live::<WHOLE>(from, live) };
        }
        if let Some(iy) = h.input_at(job.oy, kh) {
            *line = Some(job.x.as_ptr().wrapping_add(iy * w.input * ic + c));
        }
    }
    for ox in 0..w.output {
        // SAFETY: as above.
        let dy = unsafe { T::read_live::<WHOLE>(job.dy.as_ptr().wrapping_add(ox * ic + c), live) };
        let start = (ox * w.stride) as isize - w.before as isize;
        let inside = start >= 0 && start + (((K - 1) * w.dilation) as isize) < w.input as isize;
        for (sums, line) in sums.iter_mut().zip(&lines) {
            let Some(line) = line else { continue };
            let from = line.wrapping_offset(start * ic as isize);
            for (kw, sum) in sums.iter_mut().enumerate() {
                if inside || w.input_at(ox, kw).is_some() {
                    // SAFETY: as above.
                    let x = unsafe { T::read_live::<WHOLE>(from.wrapping_add(kw * w.dilation * ic), live) };
                    *sum = x.mul_add(dy, *sum);
                }
            }
        }
    }
    for (kh, sums) in sums.iter().enumerate() {
        for (kw, sum) in sums.iter().enumerate() {
            let to = job.dw.as_mut_ptr().wrapping_add((kh * K + kw) * ic + c);
            // SAFETY: as above.
            unsafe { sum.write_live::<WHOLE>(to, live) };
        }
    }
}
