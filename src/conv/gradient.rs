//! The gradient to the weights, as tiles whose rows are weights and whose sums run over output pixels.
//!
//! ```text
//! dw[kh, kw, c, oc] = sum over n, oh, ow of  x[n, oh stride + kh, ow stride + kw, c] dy[n, oh, ow, oc]
//! ```
//!
//! The rows (`kh`, `kw`, `c`) are cut into blocks and, where all of `dw` is small, the images into groups. Each group
//! fills a `dw` of its own; the sum over groups is then taken in their order. Both cuts follow from the shape.

use super::direct::Column;
use super::sweep::{Piece, Setup, Sweep};
use super::tile::{Ahead, Job, Kind, Row, Rows, Terms, TileFn};
use super::{Fused, Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::{Cell, Team};
use crate::simd::Isa;

// Groups of images that a small `dw` is computed in.
const GROUPS: usize = 8;
// Numbers of all groups' `dw` together, above which rows are cut instead.
const PARTIAL: usize = 1 << 20;
// Numbers of a block of `dw` that stay in the second-level cache from one piece to the next.
const BLOCK: usize = 128 << 10;
// Multiply-adds below which nothing is cut.
const WHOLE: u64 = 1 << 20;

/// A gradient to the weights, over any columns.
pub(super) struct Gradient {
    threads: usize,
    oc: usize,
    sweep: Sweep,
    pieces: Vec<Piece>,
    /// For each block of output rows, where its pixels read.
    terms: Vec<Terms>,
    /// For each block of rows, where they read and write.
    tables: Vec<Rows>,
    columns: Vec<(Column, TileFn)>,
    /// Pieces of a group of images, and how many groups there are.
    share: usize,
    groups: usize,
    /// Where each chunk (group, block of rows) of the groups' `dw` starts.
    cuts: Vec<usize>,
    len: usize,
    isa: Isa,
    padded: usize,
}

impl Gradient {
    pub fn new(g: &Geometry, machine: Machine, mut columns: Vec<Column>) -> Result<Self, String> {
        let (isa, terms) = (machine.isa, g.terms());
        columns.iter_mut().for_each(|column| column.kind = column.kind.fit(terms, isa));
        let wide = columns.iter().any(|c| matches!(c.kind, Kind::Wide | Kind::WideLow));
        let sweep = Sweep::new(g, &Setup { pass: Pass::Forward, wide, lanes: isa.lanes(), spread: false, height: 1 })?;
        let (pieces, len) = (sweep.pieces(), g.w_len());
        let groups = if g.mul_adds() < WHOLE { 1 } else { (PARTIAL / len).clamp(1, GROUPS.min(pieces.len())) };
        let share = pieces.len().div_ceil(groups);
        let groups = pieces.len().div_ceil(share);
        let rows = rows_of_block(g, groups, &columns, isa);
        let tables = (0..terms).step_by(rows).map(|k| table(g, &sweep, k..(k + rows).min(terms)));
        let tables = tables.collect::<Result<Vec<_>, String>>()?;
        let pixels = sweep.blocks.iter().map(|block| sweep.pixel_terms(block)).collect::<Result<_, _>>()?;
        let starts = (0..groups).flat_map(|group| (0..terms).step_by(rows).map(move |k| group * len + k * g.oc));
        let cuts = starts.chain([groups * len]).collect();
        let longest = pieces.iter().map(|piece| sweep.pixels(*piece)).max().unwrap_or(0);
        let in_place = columns.len() == 1 && columns[0].width == columns[0].kind.vectors() * isa.lanes();
        let padded = if in_place { 0 } else { longest * 2 * isa.lanes() };
        let columns = columns.into_iter().map(|c| (c.kind.function(isa), c)).map(|(f, c)| (c, f)).collect();
        let (threads, oc) = (machine.threads, g.oc);
        Ok(Self { threads, oc, sweep, pieces, terms: pixels, tables, columns, share, groups, cuts, len, isa, padded })
    }

    // One chunk: the sum over a group's pieces for a block of rows.
    fn chunk(&self, index: usize, [x, dy]: [&[f32]; 2], out: &mut [f32], own: &mut [f32]) {
        let (group, rows) = (index / self.tables.len(), &self.tables[index % self.tables.len()]);
        let (strip, padded) = own.split_at_mut(self.sweep.strip_len());
        let pieces = self.pieces.chunks(self.share).nth(group).unwrap_or_default();
        for (i, piece) in pieces.iter().enumerate() {
            let source = self.sweep.source(*piece, x, strip);
            let (next, mut asked) = (self.next(pieces.get(i + 1), x), 0);
            let dy = &dy[self.sweep.pixel(*piece) * self.oc..][..self.sweep.pixels(*piece) * self.oc];
            for (column, tile) in &self.columns {
                let (b, b_step) = self.operand(column, dy, padded);
                // All columns' tiles together ask for the whole of it.
                let turns = rows.len().div_ceil(column.kind.height(self.isa)) * self.sweep.pixels(*piece);
                let step = next.len().div_ceil((turns * self.columns.len()).max(1));
                let ahead = Ahead { numbers: next.get(asked..).unwrap_or(&[]), step };
                asked += turns * step;
                tile(&mut Job {
                    a: source,
                    a_shift: column.from,
                    rows,
                    live: rows.len(),
                    terms: &self.terms[piece.block],
                    count: self.sweep.pixels(*piece),
                    b,
                    b_step,
                    out: Cell::from(&mut *out),
                    out_shift: column.to,
                    width: column.width,
                    accumulate: i > 0,
                    bias: &[],
                    residual: &[],
                    fused: Fused::Linear,
                    ahead,
                    near: false,
                });
            }
        }
    }

    // What the next piece reads in place: tiles stride through it, so it is asked for while this one is worked on.
    fn next<'a>(&self, next: Option<&Piece>, x: &'a [f32]) -> &'a [f32] {
        next.filter(|_| self.sweep.in_place()).map_or(&[], |piece| self.sweep.rows_of(*piece, x))
    }

    // The columns of dy that a tile reads: in place if they are all, or else copied side by side, padded with zeros
    // where the tile is wider. The copy is read by all rows, and columns far apart crowd a few sets of the cache.
    fn operand<'a>(&self, column: &Column, dy: &'a [f32], padded: &'a mut [f32]) -> (&'a [f32], usize) {
        let columns = column.kind.vectors() * self.isa.lanes();
        if self.padded == 0 {
            return (dy, self.oc);
        }
        for (pixel, to) in dy.chunks_exact(self.oc).zip(padded.chunks_exact_mut(columns)) {
            to[..column.width].copy_from_slice(&pixel[column.to..][..column.width]);
            to[column.width..].fill(0.0);
        }
        (padded, columns)
    }
}

// How many rows a block has: all, unless there are too few groups of images to share the work, or too many rows.
fn rows_of_block(g: &Geometry, groups: usize, columns: &[Column], isa: Isa) -> usize {
    let blocks = if g.mul_adds() < WHOLE { 1 } else { GROUPS.div_ceil(groups).max(g.w_len() / BLOCK) };
    let height = columns.iter().map(|c| c.kind.height(isa)).max().unwrap_or(1);
    g.terms().div_ceil(blocks).next_multiple_of(height)
}

fn table(g: &Geometry, sweep: &Sweep, rows: std::ops::Range<usize>) -> Result<Rows, String> {
    let (icg, start) = (g.ic_per_group(), rows.start);
    let row = |k: usize| {
        let (c, kw, kh) = (k % icg, k / icg % g.w.kernel, k / icg / g.w.kernel);
        let a = sweep.tap_at([kh * g.h.dilation, kw * g.w.dilation], c)?;
        let out = u32::try_from((k - start) * g.oc).map_err(|_| "the weights have more than 2^32 numbers")?;
        Ok(Row { a, out })
    };
    Ok(Rows::new(rows.map(row).collect::<Result<_, String>>()?))
}

impl Kernel for Gradient {
    fn work(&self) -> usize {
        let partial = if self.groups > 1 { self.groups * self.len } else { 0 };
        partial.next_multiple_of(16) + self.threads * (self.sweep.strip_len() + self.padded)
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs, out, scratch, .. } = work;
        let partial = if self.groups > 1 { self.groups * self.len } else { 0 };
        let (partial, own) = scratch.split_at_mut(partial.next_multiple_of(16));
        let each = self.sweep.strip_len() + self.padded;
        let chunk = |i: usize, chunk: &mut [f32], own: &mut [f32]| self.chunk(i, inputs, chunk, own);
        if self.groups == 1 {
            return team.cuts_with((out, &self.cuts), (own, each), chunk);
        }
        team.cuts_with((partial, &self.cuts), (own, each), chunk);
        let partial = &*partial;
        team.chunks(out, 4096, |i, out| {
            for group in 0..self.groups {
                let from = &partial[group * self.len + i * 4096..][..out.len()];
                match group {
                    0 => out.copy_from_slice(from),
                    _ => out.iter_mut().zip(from).for_each(|(sum, x)| *sum += x),
                }
            }
        });
    }
}
