//! The first layer of a chain: some rows of its output, written where the windows read them.
//!
//! A 1x1 convolution reads the image in place. Another one, such as a network's first, reads a strip of the image that is
//! copied with its padding.

use super::super::cover::Cover;
use super::super::depthwise::line::Line;
use super::super::direct::Column;
use super::super::panels::Panels;
use super::super::tile::{Ahead, Job, Row, Terms};
use super::super::{Geometry, Pass};
use super::pieces::{Piece, counts, width};
use super::{Covers, Link};
use crate::parallel::Cell;
use crate::simd::Isa;

/// See the head of this file.
pub(super) struct Expand {
    pub panels: Panels,
    lines: [Line; 2],
    channels: usize,
    pad_value: f32,
    in_place: bool,
    /// Rows of its output at most; and for each number of them that occurs, panels of one vector and of two.
    rows: usize,
    covers: Covers,
    terms: Terms,
}

/// Where its output goes: pixels `step` apart, in rows of `width`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub width: usize,
    pub step: usize,
}

impl Expand {
    /// For these pieces.
    pub fn new(g: &Geometry, pieces: &[Piece], to: Place, isa: Isa) -> Result<Self, String> {
        let lines = [&g.h, &g.w].map(|axis| Line::new(axis, Pass::Forward));
        let [v, h] = lines;
        let in_place = [v, h].iter().all(|line| line.kernel == 1 && line.stride == 1 && line.source == line.output);
        let columns = if in_place { h.source } else { width(h) };
        let place = |at: usize| u32::try_from(at).map_err(|_| "a strip has more than 2^32 numbers".to_string());
        let row = |p: usize| {
            let (r, c) = (p / h.output, p % h.output);
            let a = (r * v.stride * columns + c * h.stride) * g.ic;
            Ok(Row { a: place(a)?, out: place((r * to.width + c) * to.step)? })
        };
        let counts = counts(pieces.iter().map(|piece| piece.real));
        let rows = counts.last().copied().unwrap_or(0);
        let all: Vec<Row> = (0..rows * h.output).map(row).collect::<Result<_, String>>()?;
        let covers = counts.into_iter().map(|rows| (rows, Cover::both(&all[..rows * h.output], isa))).collect();
        let taps = (0..v.kernel).flat_map(|kh| (0..h.kernel).map(move |kw| (kh, kw)));
        let tap = |(kh, kw): (usize, usize)| (kh * v.dilation * columns + kw * h.dilation) * g.ic;
        let terms = taps.flat_map(|at| (0..g.ic).map(move |c| tap(at) + c)).map(place).collect::<Result<_, _>>()?;
        let panels = Panels::new([g.terms(), g.oc], Pass::Forward, isa);
        let (channels, pad_value) = (g.ic, g.pad_value);
        Ok(Self { panels, lines, channels, pad_value, in_place, rows, covers, terms: Terms::new(terms) })
    }

    /// Numbers of the copied strip of the image.
    pub fn strip(&self) -> usize {
        let [v, h] = self.lines;
        if self.in_place { 0 } else { v.reach(self.rows.max(1)) * width(h) * self.channels }
    }

    /// What a piece reads: the image, or a copy of some of its rows, and from where on.
    pub fn source<'a>(&self, piece: Piece, x: &'a [f32], copy: &'a mut [f32]) -> (&'a [f32], usize) {
        let [v, h] = self.lines;
        let (line, image) = (h.source * self.channels, v.source * h.source * self.channels);
        if self.in_place || piece.real == 0 {
            return (x, (piece.n * v.source + piece.first) * line);
        }
        let before = h.before.max(0).cast_unsigned() * self.channels;
        let rows = copy.chunks_exact_mut(width(h) * self.channels).take(v.reach(piece.real));
        for (i, row) in rows.enumerate() {
            let iy = v.at(piece.first, 0) + i as isize;
            if v.real(iy) {
                let from = piece.n * image + iy.cast_unsigned() * line;
                row[..before].fill(self.pad_value);
                row[before..before + line].copy_from_slice(&x[from..from + line]);
                row[before + line..].fill(self.pad_value);
            } else {
                row.fill(self.pad_value);
            }
        }
        (copy, 0)
    }

    /// The rows of a piece that exist, for the channels of panel `j`, written from `out[shift]` on.
    pub fn run(
        &self,
        piece: Piece,
        (j, column): (usize, &Column),
        (x, from): (&[f32], usize),
        link: Link<'_>,
        (out, shift): (&mut [f32], usize),
    ) {
        // None where all rows are padding.
        let Some((_, covers)) = self.covers.iter().find(|(rows, _)| *rows == piece.real) else { return };
        for (tile, rows) in &covers[column.kind.vectors() - 1].parts {
            tile(&mut Job {
                a: x,
                a_shift: from,
                rows,
                live: rows.len(),
                terms: &self.terms,
                count: self.terms.len(),
                b: &link.w[j * self.panels.len()..][..self.panels.len()],
                b_step: self.panels.width,
                out: Cell::from(&mut *out),
                out_shift: shift,
                width: column.width,
                accumulate: false,
                bias: link.finish.bias.get(j * self.panels.width..).unwrap_or(&[]),
                residual: &[],
                fused: link.finish.fused,
                ahead: Ahead::default(),
                near: true,
            });
        }
    }
}
