//! How fast this machine is: multiply-adds on registers alone, and reading from memory of each size.

use std::hint::black_box;
use std::time::Instant;

use crate::parallel::{Pool, Team};
use crate::simd::{Isa, mul_add, stamp};

// Room for what one thread computes: a vector of the widest instruction set.
const OUT: usize = 16;
const TURNS: usize = 20_000;
const RUNS: usize = 60;
// What each thread reads at a time, from a set that every first-level cache holds to one that none holds.
const SETS: [usize; 7] = [16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20];
// Bytes that a thread reads between two looks at the clock, at least.
const READ: usize = 8 << 20;

/// How fast a machine is, all threads together.
#[derive(Debug, Clone, PartialEq)]
pub struct Speed {
    /// GFLOP/s of multiply-adds on registers alone; one counts as two operations.
    pub peak: f64,
    /// GB/s of reading, by the bytes that are read over and over, ascending; the rates never rise.
    pub reads: Vec<(usize, f64)>,
}

impl Speed {
    /// Measures the threads of a pool on an instruction set: the best of many short runs, half a second in all.
    pub fn measure(pool: &Pool, isa: Isa) -> Self {
        let reads = SETS.map(|set| (set * pool.threads(), read(pool, isa, set)));
        Self::new(peak(pool, isa), reads.to_vec())
    }

    /// The speed with these rates; a set is read at least as fast as a larger one.
    pub fn new(peak: f64, mut reads: Vec<(usize, f64)>) -> Self {
        for i in (1..reads.len()).rev() {
            reads[i - 1].1 = reads[i - 1].1.max(reads[i].1);
        }
        Self { peak, reads }
    }

    /// GB/s at which `bytes` are read over and over: the rate of the largest set that is not larger.
    pub fn read(&self, bytes: u64) -> f64 {
        let fits = |(set, _): &&(usize, f64)| *set as u64 <= bytes;
        self.reads.iter().rev().find(fits).or(self.reads.first()).map_or(f64::INFINITY, |(_, rate)| *rate)
    }

    /// GB/s of reading what no cache holds.
    pub fn memory(&self) -> f64 {
        self.read(u64::MAX)
    }
}

/// GFLOP/s of all threads.
pub(super) fn peak(pool: &Pool, isa: Isa) -> f64 {
    let spin = spin(isa);
    // One call tells how many sums its instance has.
    let mut out = [0.0; OUT];
    spin(0, &mut out);
    let flop = 2.0 * f64::from(out.iter().sum::<f32>()) * TURNS as f64;
    best(pool, flop, |_, out| spin(black_box(TURNS), out))
}

// GB/s of all threads, each reading a set of its own.
fn read(pool: &Pool, isa: Isa, set: usize) -> f64 {
    let sum = sum(isa);
    let data: Vec<Vec<f32>> = vec![vec![1.0; set / size_of::<f32>()]; pool.threads()];
    let turns = READ.div_ceil(set);
    let rate = |i: usize, out: &mut [f32]| (0..turns).for_each(|_| sum(black_box(&data[i]), out));
    best(pool, (turns * set) as f64, rate)
}

// Billions a second of `each` for every thread, by the best of the runs.
fn best(pool: &Pool, each: f64, work: impl Fn(usize, &mut [f32]) + Sync) -> f64 {
    let threads = pool.threads();
    let mut out = vec![0.0; OUT * threads];
    let mut run = |team: Team| {
        let start = Instant::now();
        team.chunks(&mut out, OUT, &work);
        start.elapsed().as_secs_f64()
    };
    let seconds = (0..RUNS).map(|_| pool.run(&mut run)).fold(f64::MAX, f64::min);
    black_box(&out);
    each * threads as f64 / seconds / 1e9
}

stamp! {
    fn spin(turns: usize, out: &mut [f32]) = spin_body[FMA, LANES; avx512: 160; avx2: 80; neon: 64; baseline: 48];
}

// Flat arrays of as many sums as fit the registers: of all ways to write it, this one became vector code everywhere.
#[inline(always)]
fn spin_body<const FMA: bool, const LANES: usize, const SUMS: usize>(turns: usize, out: &mut [f32]) {
    let (a, b) = (black_box(1.0_f32), black_box(0.0_f32));
    let mut sums = [1.0_f32; SUMS];
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = mul_add::<FMA>(*sum, a, b);
        }
    }
    fold::<LANES>(&sums, out);
}

stamp! {
    fn sum(data: &[f32], out: &mut [f32]) = sum_body[FMA, LANES; avx512: 128; avx2: 64; neon: 64; baseline: 32];
}

#[inline(always)]
fn sum_body<const FMA: bool, const LANES: usize, const SUMS: usize>(data: &[f32], out: &mut [f32]) {
    let mut sums = [0.0_f32; SUMS];
    for block in data.as_chunks::<SUMS>().0 {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum += value;
        }
    }
    fold::<LANES>(&sums, out);
}

#[inline(always)]
fn fold<const LANES: usize>(sums: &[f32], out: &mut [f32]) {
    let mut total = [0.0; LANES];
    for part in sums.as_chunks::<LANES>().0 {
        for (total, value) in total.iter_mut().zip(part) {
            *total += value;
        }
    }
    out[..LANES].copy_from_slice(&total);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_at_the_rate_of_the_largest_that_is_not_larger() {
        let speed = Speed::new(100.0, vec![(1000, 30.0), (2000, 40.0), (8000, 10.0)]);
        // A larger set came out faster by chance, so the smaller one can be read as fast.
        assert_eq!(speed.reads, [(1000, 40.0), (2000, 40.0), (8000, 10.0)]);
        assert_eq!([10, 1000, 7999, 8000, 1 << 40].map(|bytes| speed.read(bytes)), [40.0, 40.0, 40.0, 10.0, 10.0]);
        assert_eq!(speed.memory(), 10.0);
    }

    #[test]
    fn every_instruction_set_can_be_measured() {
        for isa in Isa::all() {
            let speed = Speed::measure(&Pool::new(2).unwrap(), isa);
            assert!(speed.peak > 0.0 && speed.reads.len() == SETS.len(), "{isa}");
            assert!(speed.reads.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 >= w[1].1), "{:?}", speed.reads);
        }
    }
}
