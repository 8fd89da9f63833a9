//! The start of a backward pass: the gradient through the fused activation, and the gradient to the bias.
//!
//! ```text
//! dy[p, c] <- dy[p, c] f'(y[p, c]),      db[c] = sum over p of dy[p, c]
//! ```
//!
//! Both in one pass over `dy`. The pixels are cut into chunks of a fixed size; the chunks' sums are added in order.

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
    sums.fill(0.0);
    match fused {
        Fused::Linear => add_columns(dy, sums),
        Fused::Relu => mask(dy, y, sums, |dy, y| Fused::Relu.gradient(dy, y)),
        Fused::Relu6 => mask(dy, y, sums, |dy, y| Fused::Relu6.gradient(dy, y)),
        Fused::LeakyRelu(slope) => mask(dy, y, sums, |dy, y| Fused::LeakyRelu(slope).gradient(dy, y)),
    }
}

#[inline(always)]
fn add_columns(dy: &[f32], sums: &mut [f32]) {
    for pixel in dy.chunks_exact(sums.len()) {
        sums.iter_mut().zip(pixel).for_each(|(sum, dy)| *sum += dy);
    }
}

#[inline(always)]
fn mask(dy: &mut [f32], y: &[f32], sums: &mut [f32], gradient: impl Fn(f32, f32) -> f32) {
    let channels = sums.len();
    for (pixel, y) in dy.chunks_exact_mut(channels).zip(y.chunks_exact(channels)) {
        for ((dy, y), sum) in pixel.iter_mut().zip(y).zip(&mut *sums) {
            *dy = gradient(*dy, *y);
            *sum += *dy;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Pool;

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
