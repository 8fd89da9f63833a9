//! The start of a backward pass: the gradient through the fused activation, and the gradient to the bias.
//!
//! ```text
//! dy[p, c] <- dy[p, c] f'(y[p, c]),      db[c] = sum over p of dy[p, c]
//! ```
//!
//! Both in one pass over `dy`. The pixels are cut into chunks of a fixed size; the chunks' sums are added in order.
//!
//! A vector holds channels of one pixel; up to four of them keep their sums in registers. Where the channels do not fill
//! the last vector it overlaps the one before, is read before that one is written, and gives the same numbers again.

use super::Fused;
use crate::parallel::Team;
use crate::simd::{Isa, stamp};

// Numbers of a chunk of dy.
const CHUNK: usize = 64 << 10;

/// Masks `dy` by the fused activation and sums its columns.
#[derive(Debug, Clone, Copy)]
pub struct BiasGradient {
    len: usize,
    channels: usize,
    isa: Isa,
    fused: Fused,
}

impl BiasGradient {
    /// For `dy` of `len` numbers in pixels of `channels`, behind the activation `fused`.
    pub fn new(len: usize, channels: usize, fused: Fused, isa: Isa) -> Self {
        Self { len, channels, isa, fused }
    }

    fn chunk(&self) -> usize {
        (CHUNK / self.channels).max(1) * self.channels
    }

    /// Length of the scratch that [`BiasGradient::run`] needs.
    pub fn work(&self) -> usize {
        self.len.div_ceil(self.chunk()) * self.channels
    }

    /// Changes `dy` by the activation's gradient (`y` may be empty if it is linear), and writes `db` unless it is
    /// empty.
    ///
    /// # Panics
    /// A slice is shorter than it should be.
    pub fn run(&self, team: Team, dy: &mut [f32], y: &[f32], db: &mut [f32], scratch: &mut [f32]) {
        if self.fused == Fused::Linear && db.is_empty() {
            return;
        }
        let (sums, chunk, body) = (&mut scratch[..self.work()], self.chunk(), chunk_of(self.isa));
        team.chunks2((&mut dy[..self.len], chunk), (sums, self.channels), |i, dy, sums| {
            body(dy, y.get(i * chunk..).unwrap_or(&[]), sums, self.fused);
        });
        db.fill(0.0);
        for chunk in sums.chunks_exact(self.channels) {
            db.iter_mut().zip(chunk).for_each(|(db, sum)| *db += sum);
        }
    }
}

stamp! {
    fn chunk_of(dy: &mut [f32], y: &[f32], sums: &mut [f32], fused: Fused) = chunk_body[FMA, LANES];
}

#[inline(always)]
fn chunk_body<const FMA: bool, const LANES: usize>(dy: &mut [f32], y: &[f32], sums: &mut [f32], fused: Fused) {
    match fused {
        Fused::Linear => add_columns(dy, sums),
        Fused::Relu => mask(dy, y, sums, |dy, y| Fused::Relu.gradient(dy, y)),
        Fused::Relu6 => mask(dy, y, sums, |dy, y| Fused::Relu6.gradient(dy, y)),
        Fused::LeakyRelu(slope) => mask(dy, y, sums, |dy, y| Fused::LeakyRelu(slope).gradient(dy, y)),
    }
}

#[inline(always)]
fn add_columns(dy: &[f32], sums: &mut [f32]) {
    match sums.len() {
        4 => totals::<4, 1>(dy, sums),
        5..8 => totals::<4, 2>(dy, sums),
        8 => totals::<8, 1>(dy, sums),
        9..16 => totals::<8, 2>(dy, sums),
        16 => totals::<16, 1>(dy, sums),
        17..33 => totals::<16, 2>(dy, sums),
        33..49 => totals::<16, 3>(dy, sums),
        49..65 => totals::<16, 4>(dy, sums),
        _ => totals_in_memory(dy, sums),
    }
}

#[inline(always)]
fn totals<const B: usize, const N: usize>(dy: &[f32], sums: &mut [f32]) {
    let channels = sums.len();
    let starts: [usize; N] = std::array::from_fn(|i| (i * B).min(channels - B));
    let mut total = [[0.0; B]; N];
    for pixel in dy.chunks_exact(channels) {
        for i in 0..N {
            let dy = load::<B>(pixel, starts[i]);
            for l in 0..B {
                total[i][l] += dy[l];
            }
        }
    }
    for (start, total) in starts.iter().zip(&total) {
        sums[*start..][..B].copy_from_slice(total);
    }
}

#[inline(always)]
fn totals_in_memory(dy: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for pixel in dy.chunks_exact(sums.len()) {
        sums.iter_mut().zip(pixel).for_each(|(sum, dy)| *sum += dy);
    }
}

#[inline(always)]
fn mask(dy: &mut [f32], y: &[f32], sums: &mut [f32], gradient: impl Fn(f32, f32) -> f32) {
    match sums.len() {
        ..4 => columns(dy, y, sums, gradient),
        4 => vectors::<4, 1>(dy, y, sums, gradient),
        5..8 => vectors::<4, 2>(dy, y, sums, gradient),
        8 => vectors::<8, 1>(dy, y, sums, gradient),
        9..16 => vectors::<8, 2>(dy, y, sums, gradient),
        16 => vectors::<16, 1>(dy, y, sums, gradient),
        17..33 => vectors::<16, 2>(dy, y, sums, gradient),
        33..49 => vectors::<16, 3>(dy, y, sums, gradient),
        49..65 => vectors::<16, 4>(dy, y, sums, gradient),
        _ => columns(dy, y, sums, gradient),
    }
}

// Pixels of `N` vectors of `B` channels, of which the last may overlap the one before.
#[inline(always)]
fn vectors<const B: usize, const N: usize>(
    dy: &mut [f32],
    y: &[f32],
    sums: &mut [f32],
    gradient: impl Fn(f32, f32) -> f32,
) {
    let channels = sums.len();
    let starts: [usize; N] = std::array::from_fn(|i| (i * B).min(channels - B));
    let mut total = [[0.0; B]; N];
    for (dy, y) in dy.chunks_exact_mut(channels).zip(y.chunks_exact(channels)) {
        let mut new = [[0.0; B]; N];
        for i in 0..N {
            let (dy, y) = (load::<B>(dy, starts[i]), load::<B>(y, starts[i]));
            for l in 0..B {
                new[i][l] = gradient(dy[l], y[l]);
            }
        }
        for i in 0..N {
            dy[starts[i]..][..B].copy_from_slice(&new[i]);
            for l in 0..B {
                total[i][l] += new[i][l];
            }
        }
    }
    for (start, total) in starts.iter().zip(&total) {
        sums[*start..][..B].copy_from_slice(total);
    }
}

// Pixels of any number of channels; their sums are in memory.
#[inline(always)]
fn columns(dy: &mut [f32], y: &[f32], sums: &mut [f32], gradient: impl Fn(f32, f32) -> f32) {
    let channels = sums.len();
    sums.fill(0.0);
    for (dy, y) in dy.chunks_exact_mut(channels).zip(y.chunks_exact(channels)) {
        for ((dy, y), sum) in dy.iter_mut().zip(y).zip(&mut *sums) {
            *dy = gradient(*dy, *y);
            *sum += *dy;
        }
    }
}

#[inline(always)]
fn load<const B: usize>(x: &[f32], at: usize) -> [f32; B] {
    let mut v = [0.0; B];
    v.copy_from_slice(&x[at..at + B]);
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Pool;

    #[test]
    fn any_number_of_channels_is_summed_pixel_by_pixel() {
        for channels in (1..70).chain([100, 128, 131]) {
            let numbers =
                |shift: usize| (0..channels * 9).map(|i| ((i * 7 + shift) % 23) as f32 - 11.0).collect::<Vec<_>>();
            let (dy, y) = (numbers(3), numbers(0));
            for fused in [Fused::Linear, Fused::Relu, Fused::Relu6, Fused::LeakyRelu(0.3)] {
                let plan = BiasGradient::new(dy.len(), channels, fused, Isa::best());
                let (mut got, mut db, mut scratch) =
                    (dy.clone(), vec![f32::NAN; channels], vec![f32::NAN; plan.work()]);
                plan.run(Team::solo(), &mut got, &y, &mut db, &mut scratch);
                let want: Vec<f32> = dy.iter().zip(&y).map(|(dy, y)| fused.gradient(*dy, *y)).collect();
                assert_eq!(got, want, "{fused:?}, {channels} channels");
                let sum = |c: usize| want.iter().skip(c).step_by(channels).fold(0.0, |sum, dy| sum + dy);
                assert_eq!(db, (0..channels).map(sum).collect::<Vec<f32>>(), "{fused:?}, {channels} channels");
            }
        }
    }

    #[test]
    fn same_bits_on_all_isas_and_threads() {
        let (channels, pixels) = (7, 30_000);
        let dy: Vec<f32> = (0..channels * pixels).map(|i| (i % 101) as f32 / 7.0 - 5.0).collect();
        let y: Vec<f32> = (0..channels * pixels).map(|i| (i % 13) as f32 - 6.0).collect();
        for fused in [Fused::Linear, Fused::Relu, Fused::Relu6, Fused::LeakyRelu(0.1)] {
            let mut outcomes = Vec::new();
            for (isa, threads) in Isa::all().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
                let plan = BiasGradient::new(dy.len(), channels, fused, isa);
                let (mut dy, mut db, mut scratch) = (dy.clone(), vec![f32::NAN; channels], vec![f32::NAN; plan.work()]);
                let pool = Pool::new(threads).unwrap();
                pool.run(|team| plan.run(team, &mut dy, &y, &mut db, &mut scratch));
                outcomes.push((dy, db));
            }
            assert!(outcomes.iter().all(|o| *o == outcomes[0]), "{fused:?}");
            for c in 0..channels {
                let column = dy.iter().zip(&y).skip(c).step_by(channels);
                let want: f64 = column.map(|(dy, y)| f64::from(fused.gradient(*dy, *y))).sum();
                assert!((f64::from(outcomes[0].1[c]) - want).abs() < 0.5, "{fused:?}: {} {want}", outcomes[0].1[c]);
            }
        }
    }
}
