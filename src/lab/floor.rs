//! The floor: no run can be faster than its arithmetic at the machine's peak, nor than reading and writing its bytes.
//!
//! ```text
//! arithmetic = 2 multiply-adds / peak          memory = bytes / rate of reading that many bytes
//! floor      = the larger of the two, which is the limit
//! ```
//!
//! Multiply-adds are those of the formula, padding included; bytes are each tensor once. So the floor is that of
//! algorithms which do what the formula says: Winograd and the FFT do fewer multiply-adds, and may come below.
//!
//! Source: Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
//! architectures", CACM 52(4), 2009, doi:10.1145/1498765.1498785.

use std::fmt;

use super::Speed;
use crate::conv::Geometry;

/// What a piece of work has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-adds.
    pub mul_adds: u64,
    /// Bytes that are read or written, each once.
    pub bytes: u64,
}

impl Cost {
    /// The cost of any one pass of a convolution: two tensors are read and one is written.
    ///
    /// ```
    /// use striate::lab::Cost;
    /// let cost = Cost::of(&"n2 h4 w4 ic3 oc5 k3".parse()?);
    /// assert_eq!(cost.mul_adds, 2 * (2 * 2) * 5 * (3 * 3 * 3));
    /// assert_eq!(cost.bytes, 4 * (2 * 4 * 4 * 3 + 3 * 3 * 3 * 5 + 2 * 2 * 2 * 5));
    /// # Ok::<(), striate::Error>(())
    /// ```
    pub fn of(g: &Geometry) -> Self {
        Self { mul_adds: g.mul_adds(), bytes: bytes(g.x_len() + g.w_len() + g.y_len()) }
    }

    /// Floating-point operations: two for each multiply-add.
    pub fn flop(self) -> f64 {
        2.0 * self.mul_adds as f64
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { mul_adds: self.mul_adds + other.mul_adds, bytes: self.bytes + other.bytes }
    }
}

/// The least time that a piece of work takes, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Floor {
    /// Its multiply-adds at the machine's peak.
    pub arithmetic: f64,
    /// Its bytes at the rate at which so many are read.
    pub memory: f64,
}

/// Which of the two is the larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The multiply-adds.
    Arithmetic,
    /// The bytes.
    Memory,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arithmetic => "arithmetic",
            Self::Memory => "memory",
        })
    }
}

impl Floor {
    /// The floor of a cost on a machine.
    ///
    /// ```
    /// use striate::lab::{Cost, Floor, Limit, Speed};
    /// let speed = Speed { peak: 100.0, reads: vec![(0, 50.0)] };
    /// let floor = Floor::new(Cost { mul_adds: 1_000_000, bytes: 2_000_000 }, &speed);
    /// // 2 MFLOP at 100 GFLOP/s; 2 MB at 50 GB/s.
    /// assert_eq!((floor.arithmetic, floor.memory), (0.02, 0.04));
    /// assert_eq!((floor.ms(), floor.limit()), (0.04, Limit::Memory));
    /// ```
    pub fn new(cost: Cost, speed: &Speed) -> Self {
        let arithmetic = cost.flop() / speed.peak / 1e6;
        Self { arithmetic, memory: cost.bytes as f64 / speed.read(cost.bytes) / 1e6 }
    }

    /// The larger of the two.
    pub fn ms(self) -> f64 {
        self.arithmetic.max(self.memory)
    }

    /// Which of the two it is.
    pub fn limit(self) -> Limit {
        if self.memory > self.arithmetic { Limit::Memory } else { Limit::Arithmetic }
    }
}

/// Bytes of so many numbers.
pub(super) fn bytes(numbers: usize) -> u64 {
    (numbers * size_of::<f32>()) as u64
}
