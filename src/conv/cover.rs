//! Rows of a matrix product, covered by tall register tiles and, at the end, low ones.
//!
//! A register tile has a fixed number of rows, so the last one of a run mostly does idle work. Two heights together leave
//! less of it: 49 rows are three tiles of 14 and one of 9, and only two rows idle.

use super::tile::{Kind, Row, Rows, TileFn};
use crate::simd::Isa;

/// The rows of a matrix product, covered by tall register tiles and, at the end, low ones.
pub(super) struct Cover {
    /// Each with its rows, which go one after the other.
    pub parts: [(TileFn, Rows); 2],
}

impl Cover {
    /// The covers by panels of one vector and of two.
    pub fn both(rows: &[Row], isa: Isa) -> [Self; 2] {
        [Kind::Single, Kind::Double].map(|kind| Self::new(kind, rows, isa))
    }

    /// The cover that wastes the least, by tiles of a kind and low ones of as many vectors.
    pub fn new(kind: Kind, rows: &[Row], isa: Isa) -> Self {
        let kinds = [kind, kind.low()];
        let [high, low] = kinds.map(|kind| kind.height(isa));
        let cost = |tall: &usize| tall * high + rows.len().saturating_sub(tall * high).next_multiple_of(low);
        let tall = (0..=rows.len().div_ceil(high)).rev().min_by_key(cost).unwrap_or(0);
        let (tall, rest) = rows.split_at((tall * high).min(rows.len()));
        let part = |kind: Kind, rows: &[Row]| (kind.function(isa), Rows::new(rows.to_vec()));
        Self { parts: [part(kinds[0], tall), part(kinds[1], rest)] }
    }
}
