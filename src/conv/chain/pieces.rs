//! How a chain's output is cut: some rows of an image, or some channels of a whole one.

use super::super::depthwise::line::Line;

// Numbers of a strip at most, and of the sums before the projection: beside each other in the second-level cache.
const STRIP: usize = 56 << 10;
pub(super) const SUMS: usize = 64 << 10;
// Pieces that a pass should have, so that threads finish together; fewer if rows would be expanded twice too often.
const PIECES: [usize; 2] = [8, 4];
// An even number of pieces up to this many: two threads then have the same.
const EVEN: usize = 16;
// Of the rows that a piece expands, its neighbour expands some, too: one in so many at most.
const SHARED: usize = 6;
// Panels from which on they are pieces that can be shared evenly.
const PANELS: usize = 6;

/// Some rows of the output of one image, and the rows of its source that they meet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub n: usize,
    pub rows: usize,
    /// Rows of padding above, the first row that exists, and how many do.
    pub above: usize,
    pub first: usize,
    pub real: usize,
}

/// Columns of a strip of the depthwise layer's source, with the padding.
pub(super) fn width(h: Line) -> usize {
    h.reach(h.output).max(h.before.max(0).cast_unsigned() + h.source)
}

/// Rows of the output of a piece that goes through all layers; `step` channels make a panel.
pub(super) fn rows(n: usize, [v, h]: [Line; 2], step: usize) -> Result<usize, String> {
    let fits = |rows: &usize| v.reach(*rows) * width(h) * step <= STRIP && rows * h.output * step <= SUMS;
    let most = (1..=v.output).take_while(fits).last().ok_or("a row of its source is larger than the caches")?;
    let cut = |pieces: usize| {
        let parts = v.output.div_ceil(most).max(pieces.div_ceil(n)).min(v.output);
        let parts =
            if parts > 1 && n * parts <= EVEN && n % 2 == 1 { parts.next_multiple_of(2).min(v.output) } else { parts };
        v.output.div_ceil(parts)
    };
    // Rows that two pieces expand: none if a piece is a whole image.
    let shared = |rows: usize| if rows == v.output { 0 } else { v.reach(rows).saturating_sub(rows * v.stride) };
    let good = |rows: &usize| shared(*rows) * SHARED <= rows * v.stride;
    PIECES.into_iter().map(cut).find(good).ok_or_else(|| "pieces would share too many of their rows".into())
}

/// Rows of the output of a piece whose channels are a panel's: all of them.
pub(super) fn whole([v, h]: [Line; 2], panels: usize, step: usize) -> Result<usize, String> {
    if v.reach(v.output) * width(h) * step > STRIP {
        return Err("an image is larger than the caches".into());
    }
    if panels < PANELS {
        return Err(format!("{panels} panels of channels are too few to share"));
    }
    Ok(v.output)
}

/// The numbers that occur, ascending, but 0.
pub(super) fn counts(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut all: Vec<usize> = numbers.filter(|number| *number > 0).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The pieces of `n` images.
pub(super) fn pieces(n: usize, v: Line, rows: usize) -> Vec<Piece> {
    let piece = |n: usize, oy: usize| {
        let count = rows.min(v.output - oy);
        let start = v.at(oy, 0);
        let above = (-start).max(0).cast_unsigned().min(v.reach(count));
        let first = start.max(0).cast_unsigned().min(v.source);
        let real = (v.reach(count) - above).min(v.source - first);
        Piece { n, rows: count, above, first, real }
    };
    (0..n).flat_map(|n| (0..v.output).step_by(rows).map(move |oy| piece(n, oy))).collect()
}
