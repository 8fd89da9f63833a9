//! The gradient to the weights: the adjoint of forward, for each position a product over all tiles.
//!
//! ```text
//! dw = Gt [ sum over tiles of (Bt x B) (A dy At) ] G
//! ```
//!
//! Tiles go in rounds, as many as fit the last-level cache. Each round transforms `x` and `dy` of its tiles, on all
//! threads; then each position's product goes on where the round before ended, the positions and panels on all threads.
//! So each sum runs over the tiles in their order, whatever the rounds.

use std::ops::Range;

use super::tiling::{Block, OUT, Positions, Tiling};
use super::transform::{Kernels, POSITIONS, Spread, gradient, weights};
use crate::conv::cover::Cover;
use crate::conv::direct::{Column, columns};
use crate::conv::tile::{Ahead, Fused, Job, Kind, Row, Terms};
use crate::conv::{Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::{Cell, Team};
use crate::simd::Isa;

// Numbers of the transformed inputs and gradients of a round: some blocks for each thread, and what a cache holds.
const ROUND: usize = 1 << 20;
// The same where the sums are made in batches of panels: better one round, since each batch needs the transforms.
const ONE: usize = 5 << 20;
// Numbers of the sums that are made at a time.
const SUMS: usize = 3 << 20;
// Tiles of a block: so many terms of a sum are added in registers before it goes back to memory.
const UNIT: usize = 64;
// Numbers between two positions beside the tiles, so that they do not crowd a few sets of the cache.
const SKEW: usize = 16;

/// See the head of this file.
pub(super) struct Weights {
    g: Geometry,
    isa: Isa,
    threads: usize,
    tiling: Tiling,
    blocks: Vec<Block>,
    columns: Vec<Column>,
    /// Columns of a panel.
    width: usize,
    /// Input channels as rows, with one vector of columns and with two.
    covers: [Cover; 2],
    /// Where the tiles of a block lie.
    terms: Terms,
    /// Tiles of the largest block, and blocks of a round.
    unit: usize,
    round: usize,
    /// Panels whose sums are made at a time.
    batch: usize,
}

impl Weights {
    pub fn new(g: &Geometry, machine: Machine) -> Self {
        let Machine { isa, threads } = machine;
        let tiling = Tiling::new(g, Pass::BackwardWeights);
        let columns = columns(1, g.ic, g.oc, isa);
        let width = columns.iter().map(|c| c.kind.vectors()).max().unwrap_or(1) * isa.lanes();
        let blocks = tiling.blocks(UNIT);
        let unit = blocks.iter().map(|block| tiling.len(block)).max().unwrap_or(1);
        let batch = (SUMS / (POSITIONS * g.ic * width)).clamp(1, columns.len());
        let most = if batch < columns.len() { ONE } else { ROUND };
        let round = (most / (POSITIONS * unit * (g.ic + g.oc))).clamp(1, blocks.len());
        let rows: Vec<Row> = (0..g.ic).map(|c| Row { a: c as u32, out: (c * width) as u32 }).collect();
        let covers = [Kind::Single, Kind::Double].map(|kind| Cover::new(kind, &rows, isa));
        let depth = g.ic.next_multiple_of(isa.lanes());
        let terms = Terms::new((0..unit).map(|t| (t * depth) as u32).collect());
        Self { g: *g, isa, threads, tiling, blocks, columns, width, covers, terms, unit, round, batch }
    }

    // Numbers of a tile's position in `v`: the input channels in whole vectors.
    fn depth(&self) -> usize {
        self.g.ic.next_multiple_of(self.isa.lanes())
    }

    // Numbers between two positions of a block, in `v` and in `z`.
    fn steps(&self) -> [usize; 2] {
        [self.depth(), self.columns.len() * self.width].map(|each| self.unit * each + SKEW)
    }

    // Numbers of a block: `v`, then `z`.
    fn block_len(&self) -> usize {
        self.steps().iter().sum::<usize>() * POSITIONS
    }

    // The sums of one position and panel; all positions lie so far apart, and the panels of a batch between them.
    fn sums_len(&self) -> usize {
        self.g.ic * self.width + SKEW
    }

    fn sums_all(&self) -> usize {
        POSITIONS * self.batch * self.sums_len()
    }

    // A row of elements: the output channels of a batch, of an input channel and kernel element, in whole panels.
    fn row_len(&self) -> usize {
        self.batch * self.width
    }

    fn patch_len(&self) -> usize {
        self.tiling.patch_len().max(OUT * OUT * self.g.oc).next_multiple_of(16)
    }

    // The panels whose sums are made at a time.
    fn batches(&self) -> impl Iterator<Item = Range<usize>> {
        let (all, batch) = (self.columns.len(), self.batch);
        (0..all).step_by(batch).map(move |start| start..(start + batch).min(all))
    }

    fn transform(&self, block: &Block, panels: &Range<usize>, [x, dy]: [&[f32]; 2], to: &mut [f32], patch: &mut [f32]) {
        let [v_step, z_step] = self.steps();
        let (v, z) = to.split_at_mut(POSITIONS * v_step);
        self.tiling.transform(self.isa, block, x, Positions { out: v, stride: self.depth(), step: v_step }, patch);
        let ([height, width, channels], f) = (self.tiling.output, gradient(self.isa));
        self.tiling.each(block, |t, [image, row, line]| {
            let (i, j) = (row * OUT, line * OUT);
            let image = &dy[image * height * width * channels..][..height * width * channels];
            let whole = i + OUT <= height && j + OUT <= width;
            let (pixels, at, step) = if whole {
                (image, (i * width + j) * channels, width * channels)
            } else {
                corner(image, [width, channels], [i..height.min(i + OUT), j..width.min(j + OUT)], patch);
                (&*patch, 0, OUT * channels)
            };
            for (n, column) in self.columns.iter().enumerate().take(panels.end).skip(panels.start) {
                f(&mut Spread {
                    pixels,
                    at: at + column.to,
                    row: step,
                    column: channels,
                    positions: &mut *z,
                    to: (n * self.unit + t) * self.width,
                    step: z_step,
                    channels: column.width,
                });
            }
        });
    }

    // Adds the products of a round's blocks to the sums of a position and panel.
    fn multiply(
        &self,
        piece: usize,
        panels: &Range<usize>,
        (blocks, round): (&[Block], &[f32]),
        goes_on: bool,
        sums: &mut [f32],
    ) {
        let (p, n) = (piece / panels.len(), panels.start + piece % panels.len());
        let [v_step, z_step] = self.steps();
        let vectors = self.columns[n].kind.vectors();
        for (i, (block, from)) in blocks.iter().zip(round.chunks_exact(self.block_len())).enumerate() {
            let (v, z) = from.split_at(POSITIONS * v_step);
            for (tile, rows) in &self.covers[vectors - 1].parts {
                tile(&mut Job {
                    a: v,
                    a_shift: p * v_step,
                    rows,
                    live: rows.len(),
                    terms: &self.terms,
                    count: self.tiling.len(block),
                    b: &z[p * z_step + n * self.unit * self.width..],
                    b_step: self.width,
                    out: Cell::from(&mut *sums),
                    out_shift: 0,
                    width: vectors * self.isa.lanes(),
                    accumulate: goes_on || i > 0,
                    bias: &[],
                    residual: &[],
                    fused: Fused::Linear,
                    ahead: Ahead::default(),
                    near: false,
                });
            }
        }
    }

    // The kernel elements of an input channel.
    fn elements(&self, c: usize, panels: &Range<usize>, sums: &[f32], elements: &mut [f32]) {
        let (f, len) = (weights(self.isa), self.sums_len());
        for (n, column) in self.columns.iter().enumerate().take(panels.end).skip(panels.start) {
            f(&mut Kernels {
                from: &sums[(n - panels.start) * len + c * self.width..],
                from_step: panels.len() * len,
                to: &mut elements[(n - panels.start) * self.width..],
                to_step: self.row_len(),
                channels: column.width,
            });
        }
    }
}

// The pixels of a tile at the edge of an image; those that do not exist have no gradient.
fn corner(image: &[f32], [width, channels]: [usize; 2], [rows, line]: [Range<usize>; 2], patch: &mut [f32]) {
    patch[..OUT * OUT * channels].fill(0.0);
    for (row, to) in rows.zip(patch.chunks_exact_mut(OUT * channels)) {
        let from = &image[(row * width + line.start) * channels..(row * width + line.end) * channels];
        to[..from.len()].copy_from_slice(from);
    }
}

impl Weights {
    // The elements of a batch of panels in their place.
    fn put(&self, team: Team, panels: &Range<usize>, elements: &[f32], dw: &mut [f32]) {
        let Geometry { ic, oc, .. } = self.g;
        let (first, last) = (&self.columns[panels.start], &self.columns[panels.end - 1]);
        let (start, len) = (first.to, last.to + last.width - first.to);
        team.chunks(&mut dw[..9 * ic * oc], ic * oc, |k, dw| {
            for (c, to) in dw.chunks_exact_mut(oc).enumerate() {
                to[start..start + len].copy_from_slice(&elements[(c * 9 + k) * self.row_len()..][..len]);
            }
        });
    }
}

impl Kernel for Weights {
    fn work(&self) -> usize {
        let elements = 9 * self.g.ic * self.row_len();
        self.sums_all() + elements + self.round * self.block_len() + self.threads * self.patch_len()
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs, out: dw, scratch, .. } = work;
        let (sums, scratch) = scratch.split_at_mut(self.sums_all());
        let (elements, scratch) = scratch.split_at_mut(9 * self.g.ic * self.row_len());
        let (round, patches) = scratch.split_at_mut(self.round * self.block_len());
        for panels in self.batches() {
            let sums = &mut sums[..POSITIONS * panels.len() * self.sums_len()];
            for (i, blocks) in self.blocks.chunks(self.round).enumerate() {
                let live = &mut round[..blocks.len() * self.block_len()];
                // With one round, its transforms serve all panels.
                let (one, all) = (self.round >= self.blocks.len(), 0..self.columns.len());
                if panels.start == 0 || !one {
                    let panels = if one { &all } else { &panels };
                    team.chunks_with(
                        (&mut *live, self.block_len()),
                        (&mut *patches, self.patch_len()),
                        |j, to, patch| {
                            self.transform(&blocks[j], panels, inputs, to, patch);
                        },
                    );
                }
                let live = &*live;
                team.chunks(sums, self.sums_len(), |j, sums| self.multiply(j, &panels, (blocks, live), i > 0, sums));
            }
            let sums = &*sums;
            team.chunks(&mut *elements, 9 * self.row_len(), |c, elements| self.elements(c, &panels, sums, elements));
            self.put(team, &panels, elements, dw);
        }
    }
}
