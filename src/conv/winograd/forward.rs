//! Forward, and the gradient to the input, which is forward over `dy` with the kernel turned.
//!
//! ```text
//! for each block of tiles                             on any thread, all of it in the second-level cache
//!   transform its input                               v[position][tile][channel of the source]
//!   for each panel of output channels
//!     for each position: multiply                     m[position][tile][column]
//!     transform the products into the output
//! ```
//!
//! Where there are few tiles, as in deep layers, panels are the pieces instead: all inputs are transformed, then all
//! panels multiplied, then all outputs transformed, each on all threads (*spread*). Both compute the same sums.
//!
//! The transformed kernels stand in panels, `[panel][position][channel of the source][column]`.

use std::ops::Range;

use super::tiling::{Block, Positions, Tiling};
use super::transform::{Gather, Kernels, POSITIONS, kernel, output};
use crate::conv::cover::Cover;
use crate::conv::direct::{Column, columns};
use crate::conv::tile::{Ahead, Fused, Job, Kind, Row, Terms};
use crate::conv::{Finish, Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::{Cell, Team};
use crate::simd::Isa;

// Numbers of a block's transformed input: with a panel's products it stays in the second-level cache.
const BLOCK: usize = 96 << 10;
// Pieces below which the panels share the work instead of the tiles.
const PIECES: usize = 4;
// Numbers of the transformed kernels from which on more pieces are too few: each would read all of them from memory.
const KERNELS: usize = 4 << 20;
// Numbers of all transformed inputs and products, above which tiles are the pieces however few they are.
const SPREAD: usize = 4 << 20;
// Numbers of the transformed kernels that are made ready at a time, and stay in the last-level cache until they are
// used; and panels of a batch at least, so that threads can share it.
const PACKED: usize = 1 << 20;
const PANELS: usize = 4;
// Numbers between two positions beside the tiles, so that they do not crowd a few sets of the cache.
const SKEW: usize = 16;
// Positions of a piece, where panels share the work.
const GROUP: usize = 6;
// Columns of the widest panel.
const WIDEST: usize = 32;

/// How many tiles, and which positions.
type Part = (usize, Range<usize>);

/// See the head of this file.
pub(super) struct Forward {
    g: Geometry,
    pass: Pass,
    isa: Isa,
    threads: usize,
    tiling: Tiling,
    blocks: Vec<Block>,
    cuts: Vec<usize>,
    columns: Vec<Column>,
    /// Columns of a panel.
    width: usize,
    /// For each number of tiles that is multiplied at once: the tiles as rows, with one vector of columns and with two.
    covers: Vec<(usize, [Cover; 2])>,
    /// Tiles of a block in `v`, and of all that is multiplied at once in `m`.
    unit: usize,
    tiles: usize,
    spread: bool,
    terms: Terms,
    /// Panels whose kernels are made ready at a time.
    batch: usize,
}

impl Forward {
    pub fn new(g: &Geometry, pass: Pass, machine: Machine) -> Self {
        let Machine { isa, threads } = machine;
        let tiling = Tiling::new(g, pass);
        let (source, out) = (tiling.source[2], tiling.output[2]);
        let columns = columns(1, source, out, isa);
        let width = columns.iter().map(|c| c.kind.vectors()).max().unwrap_or(1) * isa.lanes();
        let depth = source.next_multiple_of(isa.lanes());
        let most = (BLOCK / (POSITIONS * source)).min(tiling.count() / (2 * PIECES)).max(14);
        let blocks = tiling.blocks(most);
        let all = tiling.count() * POSITIONS * (depth + out.next_multiple_of(WIDEST));
        let kernels = POSITIONS * source * out;
        let pieces = if kernels < KERNELS { PIECES } else { 2 * PIECES };
        let spread = blocks.len() < pieces && out > WIDEST && all <= SPREAD;
        let blocks = if spread { tiling.blocks(tiling.tiles()[1]) } else { blocks };
        let unit = blocks.iter().map(|block| tiling.len(block)).max().unwrap_or(0);
        let tiles = if spread { tiling.count() } else { unit };
        let cuts = blocks.iter().map(|block| tiling.written(block).start).chain([pass.out_len(g)]).collect();
        let terms = Terms::new((0..source as u32).collect());
        let batch = (PACKED / (POSITIONS * source * width)).max(PANELS).min(columns.len());
        let covers = Vec::new();
        let mut this = Self {
            g: *g,
            pass,
            isa,
            threads,
            tiling,
            blocks,
            cuts,
            columns,
            width,
            covers,
            unit,
            tiles,
            spread,
            terms,
            batch,
        };
        let mut counts: Vec<usize> = this.blocks.iter().map(|block| this.tiling.len(block)).collect();
        counts.sort_unstable();
        counts.dedup();
        let counts = if spread { vec![tiles] } else { counts };
        this.covers = counts
            .into_iter()
            .map(|count| (count, [Kind::Single, Kind::Double].map(|kind| this.cover(kind, count))))
            .collect();
        this
    }

    fn cover(&self, kind: Kind, tiles: usize) -> Cover {
        let row = |t: usize| Row {
            a: (t / self.unit * self.v_len() + t % self.unit * self.depth()) as u32,
            out: (t * self.width) as u32,
        };
        Cover::new(kind, &(0..tiles).map(row).collect::<Vec<_>>(), self.isa)
    }

    // Numbers of a tile's position in `v`: the channels of the source in whole vectors.
    fn depth(&self) -> usize {
        self.tiling.source[2].next_multiple_of(self.isa.lanes())
    }

    // Numbers between two positions in `v`, and of a block.
    fn v_step(&self) -> usize {
        self.unit * self.depth() + SKEW
    }

    fn v_len(&self) -> usize {
        POSITIONS * self.v_step()
    }

    // The same for a panel's products.
    fn m_step(&self) -> usize {
        self.tiles * self.width + SKEW
    }

    fn m_len(&self) -> usize {
        POSITIONS * self.m_step()
    }

    // The same for the kernels of a panel.
    fn u_step(&self) -> usize {
        self.terms.len() * self.width + SKEW
    }

    fn panel_len(&self) -> usize {
        POSITIONS * self.u_step()
    }

    fn patch_len(&self) -> usize {
        self.tiling.patch_len().next_multiple_of(16)
    }

    // Scratch of each thread.
    fn own_len(&self) -> usize {
        self.patch_len() + if self.spread { 0 } else { self.v_len() + self.m_len() }
    }

    // Scratch of all threads together where the work is spread: inputs, and products of a batch of panels.
    fn shared_len(&self, batch: usize) -> usize {
        if self.spread { self.blocks.len() * self.v_len() + batch * self.m_len() } else { 0 }
    }

    // The transformed kernels of some panels.
    fn pack_panels(&self, team: Team, w: &[f32], columns: &[Column], packed: &mut [f32]) {
        let (f, Geometry { ic, oc, .. }) = (kernel(self.isa), self.g);
        team.chunks(&mut packed[..columns.len() * self.panel_len()], self.panel_len(), |i, panel| {
            let column = &columns[i];
            if column.width + self.isa.lanes() <= self.width {
                panel.fill(0.0);
            }
            // What lies between two positions is never read, but all of it is written.
            panel.chunks_exact_mut(self.u_step()).for_each(|position| position[self.u_step() - SKEW..].fill(0.0));
            let mut turned = [0.0; 9 * WIDEST];
            for c in 0..self.terms.len() {
                let (from, from_step) = match self.pass {
                    Pass::Forward => (&w[c * oc + column.to..], ic * oc),
                    _ => (self.turned(w, column, c, &mut turned), WIDEST),
                };
                let (to, to_step) = (&mut panel[c * self.width..], self.u_step());
                f(&mut Kernels { from, from_step, to, to_step, channels: column.width });
            }
        });
    }

    // The turned 3x3 kernels between an output channel and a panel's input channels.
    fn turned<'a>(&self, w: &[f32], column: &Column, c: usize, to: &'a mut [f32]) -> &'a [f32] {
        let Geometry { ic, oc, .. } = self.g;
        for (k, to) in to.chunks_exact_mut(WIDEST).enumerate() {
            let from = &w[((8 - k) * ic + column.to) * oc + c..];
            to[..column.width].iter_mut().zip(from.iter().step_by(oc)).for_each(|(to, w)| *to = *w);
        }
        to
    }

    // The products of `tiles` tiles with a panel at some positions, of which `m` holds the first at its start.
    fn multiply(&self, column: &Column, (tiles, positions): Part, [v, u]: [&[f32]; 2], m: &mut [f32]) {
        let vectors = column.kind.vectors();
        let (_, covers) = self.covers.iter().find(|(count, _)| *count == tiles).expect("a cover for each block");
        for (i, p) in positions.enumerate() {
            for (tile, rows) in &covers[vectors - 1].parts {
                tile(&mut Job {
                    a: v,
                    a_shift: p * self.v_step(),
                    rows,
                    live: rows.len(),
                    terms: &self.terms,
                    count: self.terms.len(),
                    b: &u[p * self.u_step()..],
                    b_step: self.width,
                    out: Cell::from(&mut *m),
                    out_shift: i * self.m_step(),
                    width: vectors * self.isa.lanes(),
                    accumulate: false,
                    bias: &[],
                    residual: &[],
                    fused: Fused::Linear,
                    ahead: Ahead::default(),
                    near: true,
                });
            }
        }
    }

    // The outputs of a block from a panel's products, whose first tile is number `first`.
    fn outputs(&self, block: &Block, column: &Column, (m, first): (&[f32], usize), finish: Finish<'_>, y: &mut [f32]) {
        let ([height, width, channels], f) = (self.tiling.output, output(self.isa));
        let start = self.tiling.written(block).start;
        self.tiling.each(block, |t, [image, row, line]| {
            let pixel = (image * height + row * 4) * width + line * 4;
            f(&mut Gather {
                positions: m,
                at: (first + t) * self.width,
                step: self.m_step(),
                y: &mut *y,
                to: pixel * channels + column.to - start,
                row: width * channels,
                column: channels,
                live: [(height - row * 4).min(4), (width - line * 4).min(4)],
                channels: column.width,
                bias: finish.bias,
                residual: finish.residual,
                fused: finish.fused,
            });
        });
    }

    fn fused(&self, team: Team, src: &[f32], packed: Packed<'_>, out: Out<'_>) {
        let Out { y, finish, scratch } = out;
        team.cuts_with((y, &self.cuts), (scratch, self.own_len()), |i, y, own| {
            let (block, (finish, later)) = (&self.blocks[i], finish.part(self.cuts[i], y.len()).apart());
            let (patch, own) = own.split_at_mut(self.patch_len());
            let (v, m) = own.split_at_mut(self.v_len());
            let to = Positions { out: &mut *v, stride: self.depth(), step: self.v_step() };
            self.tiling.transform(self.isa, block, src, to, patch);
            for (i, (column, u)) in packed.columns.iter().zip(packed.panels.chunks(self.panel_len())).enumerate() {
                self.multiply(column, (self.tiling.len(block), 0..POSITIONS), [v, u], m);
                self.outputs(block, column, (m, 0), packed.finish(i, finish, self.width), y);
            }
            if packed.first + packed.columns.len() == self.columns.len() {
                later.run(self.isa, y);
            }
        });
    }

    fn spread(&self, team: Team, src: &[f32], packed: Packed<'_>, out: Out<'_>) {
        let Out { y, finish, scratch } = out;
        let (v, scratch) = scratch.split_at_mut(self.blocks.len() * self.v_len());
        let (m, patches) = scratch.split_at_mut(packed.columns.len() * self.m_len());
        // The inputs are the same for all batches of panels.
        if packed.first == 0 {
            team.chunks_with((&mut *v, self.v_len()), (patches, self.own_len()), |i, v, patch| {
                let to = Positions { out: v, stride: self.depth(), step: self.v_step() };
                self.tiling.transform(self.isa, &self.blocks[i], src, to, patch);
            });
        }
        let v = &*v;
        // Panels alone are often too few to share evenly: 208 channels are seven.
        team.chunks(m, GROUP * self.m_step(), |i, m| {
            let (i, first) = (i / (POSITIONS / GROUP), i % (POSITIONS / GROUP) * GROUP);
            let u = &packed.panels[i * self.panel_len()..][..self.panel_len()];
            self.multiply(&packed.columns[i], (self.tiles, first..first + GROUP), [v, u], m);
        });
        let m = &*m;
        team.cuts_with((y, &self.cuts), (&mut [0.0_f32; 0], 0), |i, y, _| {
            let (finish, later) = finish.part(self.cuts[i], y.len()).apart();
            for (j, (column, m)) in packed.columns.iter().zip(m.chunks_exact(self.m_len())).enumerate() {
                self.outputs(&self.blocks[i], column, (m, i * self.unit), packed.finish(j, finish, self.width), y);
            }
            if packed.first + packed.columns.len() == self.columns.len() {
                later.run(self.isa, y);
            }
        });
    }
}

/// Panels whose kernels are ready, and which panel the first is.
#[derive(Clone, Copy)]
struct Packed<'a> {
    first: usize,
    columns: &'a [Column],
    panels: &'a [f32],
}

impl Packed<'_> {
    // What happens to the outputs of panel `i`; the bias stands in panels too.
    fn finish<'a>(&self, i: usize, finish: Finish<'a>, width: usize) -> Finish<'a> {
        let bias = finish.bias.get((self.first + i) * width..).unwrap_or(&[]);
        Finish { bias, ..finish }
    }
}

/// Where the outputs go.
struct Out<'a> {
    y: &'a mut [f32],
    finish: Finish<'a>,
    scratch: &'a mut [f32],
}

impl Kernel for Forward {
    fn work(&self) -> usize {
        self.work_packed() + self.batch * self.panel_len()
    }

    fn work_packed(&self) -> usize {
        self.columns.len() * self.width + self.shared_len(self.columns.len()) + self.threads * self.own_len()
    }

    fn packed(&self) -> usize {
        self.columns.len() * self.panel_len()
    }

    fn pack(&self, team: Team, w: &[f32], packed: &mut [f32]) {
        self.pack_panels(team, w, &self.columns, packed);
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs: [src, w], packed, out: y, finish, scratch } = work;
        let (bias, scratch) = scratch.split_at_mut(self.columns.len() * self.width);
        for (column, to) in self.columns.iter().zip(bias.chunks_exact_mut(self.width)) {
            to.fill(0.0);
            if !finish.bias.is_empty() {
                to[..column.width].copy_from_slice(&finish.bias[column.to..][..column.width]);
            }
        }
        let finish = Finish { bias: if finish.bias.is_empty() { &[] } else { bias }, ..finish };
        let step = |packed: Packed<'_>, y: &mut [f32], scratch: &mut [f32]| {
            let out = Out { y, finish, scratch };
            if self.spread { self.spread(team, src, packed, out) } else { self.fused(team, src, packed, out) }
        };
        if !packed.is_empty() {
            return step(Packed { first: 0, columns: &self.columns, panels: packed }, y, scratch);
        }
        let (panels, scratch) = scratch.split_at_mut(self.batch * self.panel_len());
        for (i, columns) in self.columns.chunks(self.batch).enumerate() {
            self.pack_panels(team, w, columns, panels);
            step(Packed { first: i * self.batch, columns, panels }, y, scratch);
        }
    }
}
