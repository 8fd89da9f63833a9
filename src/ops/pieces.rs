//! What the simple ops share: how their work is cut, the checks of their inputs, and the step of a view.

use crate::error::{Error, Result};
use crate::ops::{Compiled, Io, Step};
use crate::tensor::Shape;

/// Numbers in a piece of memory-bound work: 128 KB, some 20 microseconds.
const PIECE: usize = 1 << 15;

/// Rows of a piece, when a row costs as much as the copy of `row` numbers.
pub(crate) fn rows_per_piece(row: usize) -> usize {
    (PIECE / row.max(1)).max(1)
}

/// The only input of an op.
///
/// # Errors
/// There are more or fewer.
pub(crate) fn only(class: &str, x: &[Shape]) -> Result<Shape> {
    match x {
        [one] => Ok(*one),
        _ => Err(Error::shape(format!("{class} takes one input, and {} were given", x.len()))
            .with_help("connect exactly one layer to it")),
    }
}

/// A number that must be finite and at least 0.
///
/// # Errors
/// It is not.
pub(crate) fn not_negative(what: &str, value: f32) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::argument(format!("{what} {value} is out of range")).with_help(format!("{what} must be 0 or more")))
}

/// A step that copies: what a view does where the plan gives it memory of its own.
pub(crate) fn copying() -> Compiled {
    with_step(Box::new(Copying))
}

/// A step that needs nothing of the forward pass, nothing saved and no scratch.
pub(crate) fn with_step(step: Box<dyn Step>) -> Compiled {
    Compiled::new(step)
}

struct Copying;

impl Step for Copying {
    fn forward(&self, io: &Io<'_>) {
        copy(io, &io.x(0), &mut io.y_mut());
    }

    fn backward(&self, io: &Io<'_>) {
        if let Some(mut dx) = io.dx(0) {
            copy(io, &io.dy(), &mut dx);
        }
    }
}

/// `to = from`, by all threads.
pub(crate) fn copy(io: &Io<'_>, from: &[f32], to: &mut [f32]) {
    io.team.chunks(to, PIECE, |i, chunk| chunk.copy_from_slice(&from[i * PIECE..][..chunk.len()]));
}

/// Sums over a row run in so many partial sums, whatever the instruction set: the order is the same for all.
pub(crate) const PARTS: usize = 16;

/// The sum of a row, in [`PARTS`] partial sums.
#[inline(always)]
pub(crate) fn row_sum(row: &[f32]) -> f32 {
    let mut part = [0.0; PARTS];
    row.chunks(PARTS).for_each(|v| part.iter_mut().zip(v).for_each(|(part, v)| *part += v));
    total(part)
}

/// The sum of the partial sums.
#[inline(always)]
pub(crate) fn total(mut part: [f32; PARTS]) -> f32 {
    let mut width = PARTS / 2;
    while width > 0 {
        for i in 0..width {
            part[i] += part[i + width];
        }
        width /= 2;
    }
    part[0]
}

/// Calls `f(row, column, part)` for each part of `data`, of at most `block` numbers, that lies in one row of `row`
/// numbers; `data` begins at number `at` of the rows.
#[inline(always)]
pub(crate) fn in_rows(
    (row, block): (usize, usize),
    mut at: usize,
    mut data: &mut [f32],
    mut f: impl FnMut(usize, usize, &mut [f32]),
) {
    while !data.is_empty() {
        let len = (row - at % row).min(block).min(data.len());
        let (part, rest) = data.split_at_mut(len);
        f(at / row, at % row, part);
        (at, data) = (at + len, rest);
    }
}
