//! The five transforms of Winograd's algorithm F(4x4, 3x3), each on vectors of channels.
//!
//! ```text
//! input     v  = Bt d B      6x6 pixels of the source      -> 36 positions
//! kernel    u  = G g Gt      3x3 kernel elements           -> 36 positions
//! output    y  = At m A      36 positions                  -> 4x4 pixels of the output
//! gradient  z  = A dy At     4x4 pixels of dy              -> 36 positions     (the adjoint of output)
//! weights   dw = Gt du G     36 positions                  -> 3x3              (the adjoint of kernel)
//! ```
//!
//! The matrices follow from the points 0, ±3/4, ±3/2 and infinity (Toom and Cook's interpolation). Of the usual points
//! 0, ±1, ±2 it is known that their errors are large; these have exact binary fractions, and measured on 3x3 layers of
//! 64 channels a root mean square error twice that of direct summation, where the usual ones have four times.
//!
//! Every lane does the same operations in the same order, so all instruction sets give the same bits.

use crate::conv::tile::Fused;
use crate::conv::vector::{Lanes, Register, Vector};
use crate::simd::stamp;

/// Positions of a tile: 6 by 6.
pub(super) const POSITIONS: usize = 36;

// The points a and b, their squares, and what the rows of G are divided by.
const A1: f32 = 0.75;
const B1: f32 = 1.5;
const A2: f32 = A1 * A1;
const B2: f32 = B1 * B1;
const F0: f32 = 1.0 / (A2 * B2);
const FA: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const FB: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

/// Where the 6x6 (or 4x4) pixels of a tile are, and where its positions go.
pub(super) struct Spread<'a> {
    /// Pixel (i, j) starts at `at + i row + j column`.
    pub pixels: &'a [f32],
    pub at: usize,
    pub row: usize,
    pub column: usize,
    /// Position p starts at `to + p step`; the channels beyond `channels` are written too, up to a whole vector.
    pub positions: &'a mut [f32],
    pub to: usize,
    pub step: usize,
    pub channels: usize,
}

impl Spread<'_> {
    fn check(&self, size: usize, lanes: usize) {
        let last = self.at + (size - 1) * (self.row + self.column);
        assert!(last + self.channels <= self.pixels.len());
        let written = self.channels.next_multiple_of(lanes);
        assert!(self.to + (POSITIONS - 1) * self.step + written <= self.positions.len());
    }
}

stamp! {
    /// `v = Bt d B` for each channel of a tile of 6x6 pixels.
    pub(super) fn input(job: &mut Spread<'_>) = input_body[FMA, LANES];
}

stamp! {
    /// `z = A dy At` for each channel of a tile of 4x4 pixels.
    pub(super) fn gradient(job: &mut Spread<'_>) = gradient_body[FMA, LANES];
}

/// The positions of a tile, and where its 4x4 pixels go.
pub(super) struct Gather<'a> {
    /// Position p starts at `at + p step`, a whole number of vectors.
    pub positions: &'a [f32],
    pub at: usize,
    pub step: usize,
    /// Pixel (i, j) starts at `to + i row + j column`; of 4x4, `live` exist.
    pub y: &'a mut [f32],
    pub to: usize,
    pub row: usize,
    pub column: usize,
    pub live: [usize; 2],
    pub channels: usize,
    /// As in [`Finish`](crate::conv::Finish); the bias is as wide as the positions, or empty.
    pub bias: &'a [f32],
    pub residual: &'a [f32],
    pub fused: Fused,
}

impl Gather<'_> {
    fn check(&self, lanes: usize) {
        let read = self.channels.next_multiple_of(lanes);
        assert!(self.at + (POSITIONS - 1) * self.step + read <= self.positions.len());
        assert!(self.bias.is_empty() || self.bias.len() >= read);
        let [h, w] = self.live;
        assert!((1..=4).contains(&h) && (1..=4).contains(&w));
        let end = self.to + (h - 1) * self.row + (w - 1) * self.column + self.channels;
        assert!(end <= self.y.len() && (self.residual.is_empty() || end <= self.residual.len()));
    }
}

stamp! {
    /// `y = f(At m A + bias + residual)` for each channel of a tile.
    pub(super) fn output(job: &mut Gather<'_>) = output_body[FMA, LANES];
}

/// Kernels of one input channel: 9 elements or 36 positions, each for some output channels.
pub(super) struct Kernels<'a> {
    /// Element or position p starts at `p from_step`.
    pub from: &'a [f32],
    pub from_step: usize,
    /// Position or element p starts at `p to_step`.
    pub to: &'a mut [f32],
    pub to_step: usize,
    pub channels: usize,
}

stamp! {
    /// `u = G g Gt`: from 9 kernel elements to 36 positions; the rest of the last vector is zero.
    pub(super) fn kernel(job: &mut Kernels<'_>) = kernel_body[FMA, LANES];
}

stamp! {
    /// `dw = Gt du G`: from 36 positions, whole vectors, to 9 kernel elements.
    pub(super) fn weights(job: &mut Kernels<'_>) = weights_body[FMA, LANES];
}

/// A transform along one axis, from `N` numbers to `M`.
///
/// A trait and not a closure: a closure is not always inlined, and outside of the instance it has no vectors.
trait Line<const N: usize, const M: usize> {
    fn line<T: Vector>(x: [T; N]) -> [T; M];
}

struct Input;
struct Kernel;
struct Output;
struct Gradient;
struct Weights;

impl Line<6, 6> for Input {
    #[inline(always)]
    fn line<T: Vector>(d: [T; 6]) -> [T; 6] {
        let (outer, inner) = (T::splat(A2 * B2), T::splat(-(A2 + B2)));
        let (even_a, odd_a) = (d[2].mul_add(T::splat(-B2), d[4]), d[1].mul_add(T::splat(-B2), d[3]));
        let (even_b, odd_b) = (d[2].mul_add(T::splat(-A2), d[4]), d[1].mul_add(T::splat(-A2), d[3]));
        [
            d[0].mul_add(outer, d[2].mul_add(inner, d[4])),
            odd_a.mul_add(T::splat(A1), even_a),
            odd_a.mul_add(T::splat(-A1), even_a),
            odd_b.mul_add(T::splat(B1), even_b),
            odd_b.mul_add(T::splat(-B1), even_b),
            d[1].mul_add(outer, d[3].mul_add(inner, d[5])),
        ]
    }
}

impl Line<6, 4> for Output {
    #[inline(always)]
    fn line<T: Vector>(m: [T; 6]) -> [T; 4] {
        let (sum_a, sum_b) = (m[1].add(m[2]), m[3].add(m[4]));
        let (odd_a, odd_b) = (m[1].sub(m[2]), m[3].sub(m[4]));
        [
            m[0].add(sum_a).add(sum_b),
            odd_b.mul_add(T::splat(B1), odd_a.mul(T::splat(A1))),
            sum_b.mul_add(T::splat(B2), sum_a.mul(T::splat(A2))),
            odd_b.mul_add(T::splat(B1 * B2), odd_a.mul_add(T::splat(A1 * A2), m[5])),
        ]
    }
}

impl Line<4, 6> for Gradient {
    #[inline(always)]
    fn line<T: Vector>(y: [T; 4]) -> [T; 6] {
        let (even_a, odd_a) = (y[2].mul_add(T::splat(A2), y[0]), y[3].mul_add(T::splat(A2), y[1]));
        let (even_b, odd_b) = (y[2].mul_add(T::splat(B2), y[0]), y[3].mul_add(T::splat(B2), y[1]));
        [
            y[0],
            odd_a.mul_add(T::splat(A1), even_a),
            odd_a.mul_add(T::splat(-A1), even_a),
            odd_b.mul_add(T::splat(B1), even_b),
            odd_b.mul_add(T::splat(-B1), even_b),
            y[3],
        ]
    }
}

impl Line<3, 6> for Kernel {
    #[inline(always)]
    fn line<T: Vector>(w: [T; 3]) -> [T; 6] {
        let even_a = w[2].mul_add(T::splat(A2), w[0]).mul(T::splat(FA));
        let even_b = w[2].mul_add(T::splat(B2), w[0]).mul(T::splat(FB));
        let (odd_a, odd_b) = (w[1].mul(T::splat(A1 * FA)), w[1].mul(T::splat(B1 * FB)));
        [w[0].mul(T::splat(F0)), even_a.add(odd_a), even_a.sub(odd_a), even_b.add(odd_b), even_b.sub(odd_b), w[2]]
    }
}

impl Line<6, 3> for Weights {
    #[inline(always)]
    fn line<T: Vector>(u: [T; 6]) -> [T; 3] {
        let (sum_a, sum_b) = (u[1].add(u[2]).mul(T::splat(FA)), u[3].add(u[4]).mul(T::splat(FB)));
        let (odd_a, odd_b) = (u[1].sub(u[2]).mul(T::splat(FA)), u[3].sub(u[4]).mul(T::splat(FB)));
        [
            u[0].mul_add(T::splat(F0), sum_a).add(sum_b),
            odd_b.mul_add(T::splat(B1), odd_a.mul(T::splat(A1))),
            sum_b.mul_add(T::splat(B2), sum_a.mul_add(T::splat(A2), u[5])),
        ]
    }
}

/// Numbers `[i][j]` at `at + i row + j column`, one vector each.
#[derive(Clone, Copy)]
struct Grid {
    at: *const f32,
    row: usize,
    column: usize,
}

// Both axes: along the columns, then along the rows.
/// # Safety
/// `live <= LANES` numbers can be read at each of the `N` by `N` places of the grid.
#[inline(always)]
unsafe fn both<T: Vector, L: Line<N, M>, const LANES: usize, const N: usize, const M: usize>(
    x: Grid,
    live: usize,
) -> [[T; M]; M] {
    let zero = T::splat(0.0);
    let mut lines = [[zero; N]; M];
    for j in 0..N {
        let mut column = [zero; N];
        for (i, x_ij) in column.iter_mut().enumerate() {
            let from = x.at.wrapping_add(i * x.row + j * x.column);
            // SAFETY: the caller's promise; a whole vector is read only where so many numbers are live.
            *x_ij = unsafe { if live == LANES { T::read(from) } else { T::read_first(from, live) } };
        }
        let column = L::line(column);
        for (line, x) in lines.iter_mut().zip(column) {
            line[j] = x;
        }
    }
    let mut y = [[zero; M]; M];
    for (y, line) in y.iter_mut().zip(lines) {
        *y = L::line(line);
    }
    y
}

type V<const FMA: bool, const LANES: usize> = <Lanes<FMA, LANES> as Register>::Vector;

#[inline(always)]
fn input_body<const FMA: bool, const LANES: usize>(job: &mut Spread<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    spread::<V<FMA, LANES>, Input, LANES, 6>(job);
}

#[inline(always)]
fn gradient_body<const FMA: bool, const LANES: usize>(job: &mut Spread<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    spread::<V<FMA, LANES>, Gradient, LANES, 4>(job);
}

#[inline(always)]
fn spread<T: Vector, L: Line<N, 6>, const LANES: usize, const N: usize>(job: &mut Spread<'_>) {
    job.check(N, LANES);
    for c in (0..job.channels).step_by(LANES) {
        let live = (job.channels - c).min(LANES);
        let grid = Grid { at: job.pixels.as_ptr().wrapping_add(job.at + c), row: job.row, column: job.column };
        // SAFETY: `check` bounded all pixels.
        let y = unsafe { both::<T, L, LANES, N, 6>(grid, live) };
        let to = job.positions.as_mut_ptr().wrapping_add(job.to + c);
        for (i, y) in y.iter().enumerate() {
            for (j, y) in y.iter().enumerate() {
                // SAFETY: `check` bounded all positions, in whole vectors.
                unsafe { y.write(to.wrapping_add((6 * i + j) * job.step)) };
            }
        }
    }
}

#[inline(always)]
fn output_body<const FMA: bool, const LANES: usize>(job: &mut Gather<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    job.check(LANES);
    for c in (0..job.channels).step_by(LANES) {
        let at = job.positions.as_ptr().wrapping_add(job.at + c);
        // SAFETY: `check` bounded all positions, in whole vectors.
        let y = unsafe {
            both::<V<FMA, LANES>, Output, LANES, 6, 4>(Grid { at, row: 6 * job.step, column: job.step }, LANES)
        };
        let rest = (job.channels - c).min(LANES);
        let mut bias = V::<FMA, LANES>::splat(0.0);
        if !job.bias.is_empty() {
            // SAFETY: `check` made sure that the bias has whole vectors.
            bias = unsafe { V::<FMA, LANES>::read(job.bias.as_ptr().wrapping_add(c)) };
        }
        for (i, y) in y.iter().enumerate().take(job.live[0]) {
            for (j, y) in y.iter().enumerate().take(job.live[1]) {
                let at = job.to + i * job.row + j * job.column + c;
                // SAFETY: `check` bounded the pixels that exist, in `y` as in the residual.
                unsafe { finish::<_, LANES>(job, y.add(bias), at, rest) };
            }
        }
    }
}

/// # Safety
/// `rest <= LANES` numbers at `at` exist in the output and, unless it is empty, in the residual.
#[inline(always)]
unsafe fn finish<T: Vector, const LANES: usize>(job: &mut Gather<'_>, mut y: T, at: usize, rest: usize) {
    let whole = rest == LANES;
    // SAFETY: the caller's promise.
    unsafe {
        if !job.residual.is_empty() {
            let from = job.residual.as_ptr().wrapping_add(at);
            y = y.add(if whole { T::read(from) } else { T::read_first(from, rest) });
        }
        let y = job.fused.apply_vector(y);
        let to = job.y.as_mut_ptr().wrapping_add(at);
        if whole { y.write(to) } else { y.write_first(to, rest) }
    }
}

#[inline(always)]
fn kernel_body<const FMA: bool, const LANES: usize>(job: &mut Kernels<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    assert!(8 * job.from_step + job.channels <= job.from.len());
    assert!((POSITIONS - 1) * job.to_step + job.channels.next_multiple_of(LANES) <= job.to.len());
    for c in (0..job.channels).step_by(LANES) {
        let live = (job.channels - c).min(LANES);
        let at = job.from.as_ptr().wrapping_add(c);
        // SAFETY: the elements were bounded above.
        let u = unsafe {
            both::<V<FMA, LANES>, Kernel, LANES, 3, 6>(Grid { at, row: 3 * job.from_step, column: job.from_step }, live)
        };
        let to = job.to.as_mut_ptr().wrapping_add(c);
        for (i, u) in u.iter().enumerate() {
            for (j, u) in u.iter().enumerate() {
                // SAFETY: the positions were bounded above, in whole vectors.
                unsafe { u.write(to.wrapping_add((6 * i + j) * job.to_step)) };
            }
        }
    }
}

#[inline(always)]
fn weights_body<const FMA: bool, const LANES: usize>(job: &mut Kernels<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    assert!((POSITIONS - 1) * job.from_step + job.channels.next_multiple_of(LANES) <= job.from.len());
    assert!(8 * job.to_step + job.channels <= job.to.len());
    for c in (0..job.channels).step_by(LANES) {
        let live = (job.channels - c).min(LANES);
        let at = job.from.as_ptr().wrapping_add(c);
        // SAFETY: the positions were bounded above, in whole vectors.
        let w = unsafe {
            both::<V<FMA, LANES>, Weights, LANES, 6, 3>(
                Grid { at, row: 6 * job.from_step, column: job.from_step },
                LANES,
            )
        };
        let to = job.to.as_mut_ptr().wrapping_add(c);
        for (i, w) in w.iter().enumerate() {
            for (j, w) in w.iter().enumerate() {
                let to = to.wrapping_add((3 * i + j) * job.to_step);
                // SAFETY: the elements were bounded above.
                unsafe { if live == LANES { w.write(to) } else { w.write_first(to, live) } };
            }
        }
    }
}
