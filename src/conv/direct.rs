//! Direct convolution: register tiles over a padded strip, without an intermediate matrix.
//!
//! ```text
//! for each piece of the output (a few images, or some rows of one)     on any thread
//!   copy the rows of the source that it needs, with their padding      sweep.rs
//!   for each panel of output channels (one or two vectors)
//!     for each tile of output pixels                                   tile.rs
//!       for kh, kw, ic: sums += pixel * weights
//! ```
//!
//! The weights are packed into panels once a step, `[kh][kw][ic][columns of the tile]`, padded with zeros; where they
//! are many, some panels at a time, so that the scratch stays small. The order of each sum is (`kh`, `kw`, `ic`) from 0, then the bias, then the activation: the bits are those of the reference.
//!
//! Where there are few pixels and many weights, as in the last layers of a network and for single images, panels are the
//! pieces (*spread*), so that each weight is read about once: all strips are filled, then all panels go over all strips,
//! and each writes its own channels of all pixels.
//!
//! A direct convolution with register blocks over pixels and channels is described by Georganas et al., "Anatomy of
//! high-performance deep learning convolutions on SIMD architectures", SC'18, doi:10.1109/SC.2018.00069.

use super::cover::Cover;
use super::gradient::Gradient;
use super::sweep::{Piece, Setup, Sweep};
use super::tile::{Ahead, Job, Kind, Row};
use super::{Finish, Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::{Cell, Team};
use crate::simd::Isa;

// Numbers of the panels that are packed at a time: above this no cache holds them anyway.
const PACKED: usize = 4 << 20;
// Output pixels up to which, and weights and panels from which on, panels are the pieces.
const PIXELS: usize = 32 * 14;
const WEIGHTS: usize = 128 << 10;
const PANELS: usize = 4;

/// Columns of the output that a tile computes at once.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// The shape of the tile.
    pub kind: Kind,
    /// The first channel of the source that it reads.
    pub from: usize,
    /// The first channel of the output.
    pub to: usize,
    /// How many channels of the output.
    pub width: usize,
}

/// All columns of a pass: panels of two vectors in each group, and one vector for a small rest.
pub(super) fn columns(groups: usize, source: usize, output: usize, isa: Isa) -> Vec<Column> {
    let lanes = isa.lanes();
    let mut all = Vec::new();
    for group in 0..groups {
        for first in (0..output).step_by(2 * lanes) {
            let width = (output - first).min(2 * lanes);
            let kind = if width > lanes { Kind::Double } else { Kind::Single };
            all.push(Column { kind, from: group * source, to: group * output + first, width });
        }
    }
    all
}

pub(super) fn accept(g: &Geometry, pass: Pass, machine: Machine) -> Result<Box<dyn Kernel>, String> {
    let (icg, ocg) = (g.ic_per_group(), g.oc_per_group());
    Ok(match pass {
        Pass::Forward => Box::new(Swept::new(g, pass, machine, columns(g.groups, icg, ocg, machine.isa))?),
        Pass::BackwardInput => Box::new(Swept::new(g, pass, machine, columns(g.groups, ocg, icg, machine.isa))?),
        Pass::BackwardWeights => Box::new(Gradient::new(g, machine, columns(g.groups, icg, ocg, machine.isa))?),
    })
}

/// A forward pass or a gradient to the input, over any columns.
pub(super) struct Swept {
    g: Geometry,
    pass: Pass,
    threads: usize,
    sweep: Sweep,
    pieces: Vec<Piece>,
    // Where pixels read and write, for each block, phase, and one or two vectors of columns.
    covers: Vec<Vec<[Cover; 2]>>,
    cuts: Vec<usize>,
    columns: Vec<Column>,
    isa: Isa,
    spread: bool,
    // Where the pixels of each piece start, and the channels of each column, with their ends.
    pixels: Vec<usize>,
    channels: Vec<usize>,
    // Columns of a panel, channels of the source that each output sums, and terms of all phases.
    stride: usize,
    depth: usize,
    terms: usize,
    // Panels that are packed at a time.
    batch: usize,
}

/// Columns whose weights are packed, and of which column the first is.
#[derive(Clone, Copy)]
struct Packed<'a> {
    first: usize,
    columns: &'a [Column],
    panels: &'a [f32],
}

impl Swept {
    pub fn new(g: &Geometry, pass: Pass, machine: Machine, columns: Vec<Column>) -> Result<Self, String> {
        let isa = machine.isa;
        let wide = columns.iter().any(|c| c.kind == Kind::Wide);
        let height = columns.iter().map(|c| c.kind.height(isa)).min().unwrap_or(1);
        let vectors = columns.iter().map(|c| c.kind.vectors()).max().unwrap_or(1);
        let stride = vectors * isa.lanes();
        let pixels = if pass == Pass::Forward { g.y_len() / g.oc } else { g.x_len() / g.ic };
        let spread = !wide && pixels <= PIXELS && g.w_len() >= WEIGHTS && columns.len() >= PANELS;
        let sweep = Sweep::new(g, &Setup { pass, wide, lanes: isa.lanes(), spread, height })?;
        let depth = match pass {
            _ if wide => 1,
            Pass::Forward => g.ic_per_group(),
            _ => g.oc_per_group(),
        };
        let terms: usize = sweep.phases.iter().map(|phase| phase.terms.len()).sum();
        let (pieces, cuts) = (sweep.pieces(), sweep.cuts());
        let pixels = pieces.iter().map(|piece| sweep.pixel(*piece)).chain([pixels]).collect();
        let channels = columns.iter().map(|column| column.to).chain(columns.last().map(|c| c.to + c.width)).collect();
        let kinds = if wide { [Kind::Wide; 2] } else { [Kind::Single, Kind::Double] };
        let cover = |rows: &Vec<Row>| kinds.map(|kind| Cover::new(kind, rows, isa));
        let covers = sweep.blocks.iter().map(|block| block.tables.iter().map(cover).collect()).collect();
        let (g, threads) = (*g, machine.threads);
        let batch = (PACKED / (terms * stride).max(1)).clamp(1, columns.len());
        Ok(Self {
            g,
            pass,
            threads,
            sweep,
            pieces,
            covers,
            cuts,
            columns,
            isa,
            spread,
            pixels,
            channels,
            stride,
            depth,
            terms,
            batch,
        })
    }

    // One row of a panel: the weights of the column's channels for a kernel element and a channel of the source.
    fn row(&self, w: &[f32], column: &Column, [kh, kw]: [usize; 2], channel: usize, row: &mut [f32]) {
        let Geometry { oc, .. } = self.g;
        let icg = self.g.ic_per_group();
        let tap = (kh * self.g.w.kernel + kw) * icg;
        let (row, rest) = row.split_at_mut(column.width);
        rest.fill(0.0);
        if self.pass == Pass::Forward || self.depth == 1 && icg == 1 && self.g.groups == oc {
            row.copy_from_slice(&w[(tap + channel) * oc + column.to..][..column.width]);
        } else {
            // The roles of the channels are exchanged: `to` counts input channels, `channel` output channels.
            let from = &w[(tap + column.to % icg) * oc + column.from + channel..];
            row.iter_mut().zip(from.iter().step_by(oc)).for_each(|(to, w)| *to = *w);
        }
    }

    fn pack_all(&self, team: Team, w: &[f32], columns: &[Column], panels: &mut [f32]) {
        let panel = self.terms * self.stride;
        team.chunks(&mut panels[..columns.len() * panel], panel, |i, panel| {
            let column = &columns[i];
            let (panel, rest) = panel.split_at_mut(self.terms * self.columns_of(column));
            self.pack_column(w, column, panel);
            rest.fill(0.0);
        });
    }

    fn pack_column(&self, w: &[f32], column: &Column, panel: &mut [f32]) {
        let width = self.columns_of(column);
        let mut rows = panel.chunks_exact_mut(width);
        for tap in self.sweep.phases.iter().flat_map(|phase| &phase.taps) {
            for channel in 0..self.depth {
                let row = rows.next().expect("a panel has a row for each term");
                self.row(w, column, *tap, channel, row);
            }
        }
    }

    fn columns_of(&self, column: &Column) -> usize {
        // A panel is as wide as its tile; only the last of a group may be narrower than the others.
        if column.kind.vectors() == 2 || self.columns.iter().all(|c| c.kind.vectors() == 1) {
            self.stride
        } else {
            self.stride / 2
        }
    }

    fn bias(&self, bias: &[f32], padded: &mut [f32]) {
        for (column, to) in self.columns.iter().zip(padded.chunks_exact_mut(self.stride)) {
            to.fill(0.0);
            to[..column.width].copy_from_slice(&bias[column.to..][..column.width]);
        }
    }

    // The outputs of a piece for the columns of a panel.
    fn piece(&self, piece: Piece, column: &Column, panel: &[f32], source: &[f32], mut to: To<'_>) {
        let width = self.columns_of(column);
        let mut panel = &panel[..self.terms * width];
        for (phase, covers) in self.sweep.phases.iter().zip(&self.covers[piece.block]) {
            let (b, rest) = panel.split_at(phase.terms.len() * width);
            panel = rest;
            let parts = &covers[column.kind.vectors() - 1].parts;
            let mut live = parts.iter().map(|(_, rows)| rows.len()).sum::<usize>() / self.sweep.images * piece.images;
            for (tile, rows) in parts {
                let part = live.min(rows.len());
                live -= part;
                tile(&mut Job {
                    a: source,
                    a_shift: column.from,
                    rows,
                    live: part,
                    terms: &phase.terms,
                    count: phase.terms.len(),
                    b,
                    b_step: width,
                    out: to.out.again(),
                    out_shift: to.shift,
                    width: column.width,
                    accumulate: false,
                    bias: to.finish.bias,
                    residual: to.finish.residual,
                    fused: to.finish.fused,
                    ahead: Ahead::default(),
                    near: false,
                });
            }
        }
    }

    // Pieces of the output, each through all panels.
    fn by_pieces(&self, team: Team, src: &[f32], packed: Packed<'_>, finish: Finish<'_>, work: Scratch<'_>) {
        let Scratch { out, strips } = work;
        team.cuts_with((out, &self.cuts), (strips, self.sweep.strip_len()), |i, out, strip| {
            let (piece, (finish, later)) = (self.pieces[i], finish.part(self.cuts[i], out.len()).apart());
            let source = self.sweep.source(piece, src, strip);
            for (j, column) in packed.columns.iter().enumerate() {
                let finish = self.finish_of(packed.first + j, finish);
                let to = To { out: Cell::from(&mut *out), shift: column.to, finish };
                self.piece(piece, column, packed.panel(j, self.terms * self.stride), source, to);
            }
            if packed.first + packed.columns.len() == self.columns.len() {
                later.run(self.isa, out);
            }
        });
    }

    // Panels as pieces.
    fn by_panels(&self, team: Team, src: &[f32], packed: Packed<'_>, finish: Finish<'_>, work: Scratch<'_>) {
        let (Scratch { out, strips }, len) = (work, self.sweep.strip_len());
        // The source is the same for all batches of panels.
        if packed.first == 0 && !self.sweep.in_place() {
            for (piece, strip) in self.pieces.iter().zip(strips.chunks_exact_mut(len)) {
                self.sweep.fill_strip_by_rows(team, *piece, src, strip);
            }
        }
        let (strips, output) = (&*strips, self.output());
        let channels = &self.channels[packed.first..=packed.first + packed.columns.len()];
        team.grid((out, output), [&self.pixels, channels], |[i, j], out| {
            let (column, piece) = (&packed.columns[j], self.pieces[i]);
            let in_place = self.sweep.in_place();
            let source = if in_place { self.sweep.images_of(piece, src) } else { &strips[i * len..(i + 1) * len] };
            let finish = finish.part(self.pixels[i] * output + column.to, out.len());
            let finish = self.finish_of(packed.first + j, finish);
            self.piece(piece, column, packed.panel(j, self.terms * self.stride), source, To { out, shift: 0, finish });
        });
    }

    // With the bias of one column.
    fn finish_of<'a>(&self, column: usize, finish: Finish<'a>) -> Finish<'a> {
        let at = column * self.stride;
        Finish { bias: finish.bias.get(at..at + self.stride).unwrap_or(&[]), ..finish }
    }

    // Channels of the output.
    fn output(&self) -> usize {
        if self.pass == Pass::Forward { self.g.oc } else { self.g.ic }
    }

    fn strips_len(&self) -> usize {
        self.sweep.strip_len() * if self.spread { self.pieces.len() } else { self.threads }
    }
}

/// Where a piece's outputs for a panel go.
struct To<'a> {
    out: Cell<'a, f32>,
    shift: usize,
    finish: Finish<'a>,
}

/// The output, and the scratch beside packed weights and bias.
struct Scratch<'a> {
    out: &'a mut [f32],
    strips: &'a mut [f32],
}

impl Packed<'_> {
    fn panel(&self, i: usize, len: usize) -> &[f32] {
        &self.panels[i * len..(i + 1) * len]
    }
}

impl Kernel for Swept {
    fn work(&self) -> usize {
        let panels = self.batch * self.terms * self.stride;
        panels + self.work_packed()
    }

    fn work_packed(&self) -> usize {
        self.columns.len() * self.stride + self.strips_len()
    }

    fn packed(&self) -> usize {
        self.columns.len() * self.terms * self.stride
    }

    fn pack(&self, team: Team, w: &[f32], packed: &mut [f32]) {
        self.pack_all(team, w, &self.columns, packed);
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs: [src, w], packed, out, finish, scratch } = work;
        let panel = self.terms * self.stride;
        let own = if packed.is_empty() { self.batch * panel } else { 0 };
        let (panels, scratch) = scratch.split_at_mut(own);
        let (padded, scratch) = scratch.split_at_mut(self.columns.len() * self.stride);
        let strips = &mut scratch[..self.strips_len()];
        if !finish.bias.is_empty() {
            self.bias(finish.bias, padded);
        }
        let bias: &[f32] = if finish.bias.is_empty() { &[] } else { padded };
        let finish = Finish { bias, ..finish };
        let mut sweep = |packed: Packed<'_>| {
            let work = Scratch { out: &mut *out, strips: &mut *strips };
            if self.spread {
                self.by_panels(team, src, packed, finish, work);
            } else {
                self.by_pieces(team, src, packed, finish, work);
            }
        };
        if !packed.is_empty() {
            return sweep(Packed { first: 0, columns: &self.columns, panels: packed });
        }
        for (i, columns) in self.columns.chunks(self.batch).enumerate() {
            self.pack_all(team, w, columns, panels);
            sweep(Packed { first: i * self.batch, columns, panels });
        }
    }
}
