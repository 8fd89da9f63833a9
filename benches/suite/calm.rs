//! Waiting for a calm moment: all threads at their peak together reach what one reaches alone, times their number.
//!
//! On a machine that others share a core may be away for seconds to minutes. Then two threads are as fast as one, whoever
//! made them, which says nothing of either side; so a round begins when all cores are there, if that is soon.

use std::time::{Duration, Instant};

use striate::lab::{Laboratory, Settings};
use striate::parallel::Pool;
use striate::simd::Isa;

use crate::run::Outcome;

// How long a row waits in all, and of what share of its cores a machine is thought to be calm.
const PATIENCE: Duration = Duration::from_secs(20);
const CALM: f64 = 0.9;
const PAUSE: Duration = Duration::from_millis(300);

/// The machine, asked for its peak on one thread and on all.
pub struct Calm {
    threads: usize,
    one: Laboratory,
    all: Laboratory,
}

/// What is left of a row's patience.
pub struct Patience(Duration);

impl Patience {
    pub fn new() -> Self {
        Self(PATIENCE)
    }
}

impl Calm {
    pub fn new(threads: usize) -> Outcome<Self> {
        let lab = |threads| Laboratory::new(Pool::new(threads)?, Isa::best(), Settings::default());
        Ok(Self { threads, one: lab(1)?, all: lab(threads)? })
    }

    /// Waits until all cores are there, or the patience is over.
    pub fn wait(&self, patience: &mut Patience) {
        let start = Instant::now();
        while !self.is() && start.elapsed() < patience.0 {
            std::thread::sleep(PAUSE);
        }
        patience.0 = patience.0.saturating_sub(start.elapsed());
    }

    fn is(&self) -> bool {
        self.all.peak() >= CALM * self.threads as f64 * self.one.peak()
    }
}
