//! Matrix product, for the algorithms that are explained by one (im2col).
//!
//! ```text
//! c[i, j] = sum over k of  a[i, k] b[k, j]
//! ```
//!
//! Each sum runs over `k` in order from 0 with fused multiply-adds; vectors run over `j`. The fast convolutions and
//! the dense layer do not come here: they use the register tile of `conv`.

use crate::parallel::Team;
use crate::simd::{Isa, mul_add, stamp};

// Rows of c that one piece computes.
const ROWS: usize = 16;

/// The sizes of a product, and how `a` lies in memory; `b` and `c` are dense and row-major.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Terms of each sum.
    pub k: usize,
    /// Columns of `b` and `c`.
    pub n: usize,
    /// Distance between rows of `a`.
    pub a_row: usize,
    /// Distance between columns of `a`; 1 unless `a` is stored transposed.
    pub a_term: usize,
    /// Whether the product is added to what `c` holds.
    pub accumulate: bool,
}

impl Product {
    /// `c = a b` with `a` of shape `[m, k]` and `b` of shape `[k, n]`.
    pub fn plain(k: usize, n: usize) -> Self {
        Self { k, n, a_row: k, a_term: 1, accumulate: false }
    }

    /// `c = a^T b` with `a` of shape `[k, m]` and `b` of shape `[k, n]`.
    pub fn transposed(m: usize, k: usize, n: usize) -> Self {
        Self { k, n, a_row: 1, a_term: m, accumulate: false }
    }

    /// Computes `c`, whose length says how many rows there are.
    ///
    /// # Panics
    /// A slice is shorter than the sizes say.
    ///
    /// ```
    /// use striate::{gemm::Product, parallel::Team, simd::Isa};
    /// let (a, b, mut c) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 1.0, 1.0], [0.0; 4]);
    /// Product::plain(2, 2).run(Team::solo(), Isa::best(), [&a, &b], &mut c);
    /// assert_eq!(c, [3.0, 2.0, 7.0, 4.0]);
    /// ```
    pub fn run(&self, team: Team, isa: Isa, [a, b]: [&[f32]; 2], c: &mut [f32]) {
        let body = rows(isa);
        team.chunks(c, ROWS * self.n, |i, c| body(self, &a[i * ROWS * self.a_row..], b, c));
    }
}

stamp! {
    fn rows(p: &Product, a: &[f32], b: &[f32], c: &mut [f32]) = rows_body[FMA, LANES];
}

#[inline(always)]
fn rows_body<const FMA: bool, const LANES: usize>(p: &Product, a: &[f32], b: &[f32], c: &mut [f32]) {
    if !p.accumulate {
        c.fill(0.0);
    }
    for (i, row) in c.chunks_exact_mut(p.n).enumerate() {
        for (k, b) in b.chunks_exact(p.n).take(p.k).enumerate() {
            let a = a[i * p.a_row + k * p.a_term];
            row.iter_mut().zip(b).for_each(|(c, b)| *c = mul_add::<FMA>(a, *b, *c));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_the_formula() {
        let (m, k, n) = (35, 7, 9);
        let a: Vec<f32> = (0..m * k).map(|i| (i % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..k * n).map(|i| (i % 7) as f32 - 3.0).collect();
        let turned: Vec<f32> = (0..k * m).map(|i| a[i % m * k + i / m]).collect();
        for isa in Isa::all() {
            let (mut c, mut d) = (vec![f32::NAN; m * n], vec![1.0; m * n]);
            Product::plain(k, n).run(Team::solo(), isa, [&a, &b], &mut c);
            let add = Product { accumulate: true, ..Product::transposed(m, k, n) };
            add.run(Team::solo(), isa, [&turned, &b], &mut d);
            for (at, (c, d)) in c.iter().zip(&d).enumerate() {
                let want: f32 = (0..k).map(|t| a[at / n * k + t] * b[t * n + at % n]).sum();
                assert_eq!((*c, *d), (want, want + 1.0), "{isa}");
            }
        }
    }
}
