//! A 1x1 convolution and a dense layer: a matrix product of pixels and channels.
//!
//! ```text
//! y[p, oc] = sum over ic of  x[p, ic] w[ic, oc]        p runs over all pixels of all images
//! dx[p, ic] = sum over oc of  dy[p, oc] w[ic, oc]
//! ```
//!
//! Where there are many pixels, blocks of them are the pieces, and each goes through all panels of channels. Where there
//! are few, as in the last layers of a network and for single images, the weights are most of what is read: then panels
//! are pieces too, so that each weight is read about once; each writes its own channels.

use super::cover::Cover;
use super::direct::Column;
use super::panels::Panels;
use super::tile::{Ahead, Job, Row, Terms};
use super::{Finish, Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::{Cell, Team};
use crate::simd::Isa;

// Numbers of a block of pixels, which stay in the second-level cache while all panels go over it.
const BLOCK: usize = 64 << 10;
// Rows of the tallest register tile, the unit of blocks.
const TILE: usize = 14;
// Pixels of a block at most, where blocks are pieces; and where panels are, for which few blocks are best.
const ROWS: [usize; 2] = [8 * TILE, 32 * TILE];
const TALL: usize = 16 * TILE;
// Pieces at least, where there is work for them.
const PIECES: usize = 16;
// Multiply-adds of a piece at least: some microseconds.
const PIECE: usize = 256 << 10;
// Weights that any cache holds beside the pixels: they may be read again for each block.
const WEIGHTS: usize = 64 << 10;
// Weights that are made ready at a time.
const PACKED: usize = 4 << 20;

pub(super) fn accept(g: &Geometry, pass: Pass, machine: Machine) -> Result<Box<dyn Kernel>, String> {
    let simple = |axis: &super::Axis| axis.kernel == 1 && axis.stride == 1 && axis.before == 0 && axis.after == 0;
    if !simple(&g.h) || !simple(&g.w) || g.groups > 1 {
        return Err("it needs kernels of 1x1, stride 1, no padding and one group".into());
    }
    if pass == Pass::BackwardWeights {
        return Err("its weights' gradient is that of the packed or the direct algorithm".into());
    }
    Ok(Box::new(Pointwise::new(g, pass, machine)?))
}

/// See the head of this file.
struct Pointwise {
    isa: Isa,
    panels: Panels,
    pixels: usize,
    /// Pixels of a block; whether panels are pieces too.
    rows: usize,
    spread: bool,
    /// Where the pixels of each block start, and the channels of each panel, with their ends.
    cuts: [Vec<usize>; 2],
    /// For a whole block and for the last one: its pixels, for panels of one vector and of two.
    covers: [[Cover; 2]; 2],
    terms: Terms,
    /// Panels whose weights are made ready at a time.
    batch: usize,
}

impl Pointwise {
    fn new(g: &Geometry, pass: Pass, machine: Machine) -> Result<Self, String> {
        let isa = machine.isa;
        let panels = Panels::new([g.ic, g.oc], pass, isa);
        let Panels { source, output, width, ref columns, .. } = panels;
        let pixels = g.n * g.h.output * g.w.output;
        let tiles = |rows: usize| (rows / TILE).max(1) * TILE;
        let useful = (pixels * source * output / PIECE).clamp(1, PIECES);
        let spread = pixels < PIECES * TILE * 2 && source * output > WEIGHTS && output > width;
        let rows = if spread {
            tiles(BLOCK * 4 / source).min(TALL).min(pixels)
        } else {
            // Long blocks where channels are few: each panel is then a long run through memory.
            let most = tiles(2 * BLOCK / output).clamp(ROWS[0], ROWS[1]);
            tiles(BLOCK / source).min(most).min(pixels.div_ceil(useful).next_multiple_of(TILE)).min(pixels)
        };
        let place = |at: usize| u32::try_from(at).map_err(|_| "a block has more than 2^32 numbers".to_string());
        let row = |p: usize| Ok(Row { a: place(p * source)?, out: place(p * output)? });
        let all = (0..rows).map(row).collect::<Result<Vec<_>, String>>()?;
        let last = (pixels - 1) % rows + 1;
        let covers = [rows, last].map(|rows| Cover::both(&all[..rows], isa));
        let terms = Terms::new((0..place(source)?).collect());
        let batch = (PACKED / (source * width)).clamp(1, columns.len());
        let blocks = (0..pixels).step_by(rows).chain([pixels]).collect();
        let cuts = [blocks, columns.iter().map(|column| column.to).chain([output]).collect()];
        Ok(Self { isa, panels, pixels, rows, spread, cuts, covers, terms, batch })
    }

    fn blocks(&self) -> usize {
        self.pixels.div_ceil(self.rows)
    }

    // A panel's products with a block of pixels, written from `out[shift]` on.
    fn multiply(&self, block: usize, column: &Column, [x, b]: [&[f32]; 2], mut out: Out<'_>) {
        let vectors = column.kind.vectors();
        let last = block + 1 == self.blocks();
        for (tile, rows) in &self.covers[usize::from(last)][vectors - 1].parts {
            tile(&mut Job {
                a: x,
                a_shift: block * self.rows * self.panels.source,
                rows,
                live: rows.len(),
                terms: &self.terms,
                count: self.panels.source,
                b,
                b_step: self.panels.width,
                out: out.out.again(),
                out_shift: out.shift,
                width: column.width,
                accumulate: false,
                bias: out.finish.bias,
                residual: out.finish.residual,
                fused: out.finish.fused,
                ahead: out.ahead,
                near: false,
            });
        }
    }

    // Blocks of pixels as pieces; each writes its own pixels.
    fn by_blocks(&self, team: Team, x: &[f32], packed: Packed<'_>, finish: Finish<'_>, y: &mut [f32]) {
        let len = self.rows * self.panels.output;
        team.chunks(&mut y[..self.pixels * self.panels.output], len, |i, y| {
            let (finish, later) = finish.part(i * len, y.len()).apart();
            for (j, (column, b)) in packed.columns.iter().zip(packed.panels.chunks(self.panels.len())).enumerate() {
                let finish = self.finish_of(packed.first + j, finish);
                // The first panel meets the pixels in memory, a tile ahead; the others in a cache.
                let from = (i * self.rows + TILE) * self.panels.source;
                let ahead =
                    if j > 0 { Ahead::default() } else { Ahead { numbers: x.get(from..).unwrap_or(&[]), step: TILE } };
                self.multiply(i, column, [x, b], Out { out: Cell::from(&mut *y), shift: column.to, finish, ahead });
            }
            if packed.first + packed.columns.len() == self.panels.columns.len() {
                later.run(self.isa, y);
            }
        });
    }

    // Blocks and panels as pieces; each writes its own channels of its own pixels.
    fn by_panels(&self, team: Team, x: &[f32], packed: Packed<'_>, finish: Finish<'_>, y: &mut [f32]) {
        let [blocks, channels] = &self.cuts;
        let channels = &channels[packed.first..=packed.first + packed.columns.len()];
        team.grid((y, self.panels.output), [blocks, channels], |[i, j], out| {
            let column = &packed.columns[j];
            let b = &packed.panels[j * self.panels.len()..][..self.panels.len()];
            let finish = finish.part(blocks[i] * self.panels.output + column.to, out.len());
            let finish = self.finish_of(packed.first + j, finish);
            self.multiply(i, column, [x, b], Out { out, shift: 0, finish, ahead: Ahead::default() });
        });
    }

    // With the bias of one panel.
    fn finish_of<'a>(&self, panel: usize, finish: Finish<'a>) -> Finish<'a> {
        Finish { bias: finish.bias.get(panel * self.panels.width..).unwrap_or(&[]), ..finish }
    }
}

/// Where a panel's products go.
struct Out<'a> {
    out: Cell<'a, f32>,
    shift: usize,
    finish: Finish<'a>,
    ahead: Ahead<'a>,
}

/// Panels whose weights are ready, and which panel the first is.
#[derive(Clone, Copy)]
struct Packed<'a> {
    first: usize,
    columns: &'a [Column],
    panels: &'a [f32],
}

impl Kernel for Pointwise {
    fn work(&self) -> usize {
        self.work_packed() + self.batch * self.panels.len()
    }

    fn work_packed(&self) -> usize {
        self.panels.padded()
    }

    fn packed(&self) -> usize {
        self.panels.packed()
    }

    fn pack(&self, team: Team, w: &[f32], packed: &mut [f32]) {
        self.panels.pack(team, w, &self.panels.columns, packed);
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs: [x, w], packed, out: y, finish, scratch } = work;
        let (bias, panels) = scratch.split_at_mut(self.panels.padded());
        let finish = Finish { bias: self.panels.bias(finish.bias, bias), ..finish };
        let mut step = |packed: Packed<'_>| {
            if self.spread {
                self.by_panels(team, x, packed, finish, &mut *y);
            } else {
                self.by_blocks(team, x, packed, finish, y);
            }
        };
        if !packed.is_empty() {
            return step(Packed { first: 0, columns: &self.panels.columns, panels: packed });
        }
        for (i, columns) in self.panels.columns.chunks(self.batch).enumerate() {
            self.panels.pack(team, w, columns, panels);
            step(Packed { first: i * self.batch, columns, panels });
        }
    }
}
