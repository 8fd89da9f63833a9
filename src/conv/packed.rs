//! The gradient to the weights as a product of packed matrices, for 1x1 kernels, strides and few pixels.
//!
//! ```text
//! dw[k, oc] = sum over pixels p of  x[p, k] dy[p, oc]        k runs over kh, kw, c
//! ```
//!
//! Read in place, both operands of a tile lie a whole pixel apart, often thousands of bytes: they crowd a few sets of the
//! caches, and no prefetcher follows. So some hundred pixels at a time are copied to where a tile reads them one after the
//! other: `x` as `[tile][pixel][rows of the tile]`, with strides and padding resolved, and `dy` as
//! `[panel][pixel][columns of the tile]`.
//!
//! Where `dw` is small, groups of pixels are the pieces of work, each with a `dw` of its own and copies that stay in its
//! core's cache; the groups are added in their order. Where it is large, all threads copy `dy` first, and blocks of rows
//! of `dw` are the pieces; then each sum runs over all pixels in order. Which of both follows from the shape.

use std::ops::Range;

use super::direct::{Column, columns};
use super::tile::{Ahead, DOUBLE, DOUBLE_LOW, Fused, Job, Kind, Row, Rows, Terms, TileFn};
use super::vector::{Lanes, Register, Vector};
use super::{Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::{Cell, Team};
use crate::simd::{Isa, stamp};

// Pixels, filters and channels from which on a copy serves often enough.
const PIXELS: usize = 64;
const FILTERS: usize = 256;
const CHANNELS: usize = 16;
// Images and filters from which on a large dense layer is packed.
const DENSE: usize = 8;
// Channels from which on the same channel of all pixels falls into one set of the first-level cache.
const FAR: usize = 1024;
// Weights up to which groups of pixels are the pieces, and how many groups there are.
const SMALL: usize = 128 << 10;
const GROUPS: usize = 8;
// Numbers of both copies of a group, which stay in the second-level cache beside its `dw`.
const OWN: usize = 96 << 10;
// Numbers of `dy` that are copied at a time for all threads: they stay in the third-level cache.
const SHARED: usize = 1 << 20;
// Pixels of a chunk, of which the copies of a block and of a panel serve as a whole; and pieces of the copying of `dy`.
const CHUNK: usize = 512;
const COPIES: usize = 8;
// Rows of a block of `dw`, where blocks are the pieces, and how many blocks there should be.
const ROWS: [usize; 2] = [32, 128];
const BLOCKS: usize = 16;
// The shapes of tiles: two vectors of columns, many rows or fewer.
const KINDS: [Kind; 2] = [Kind::Packed, Kind::PackedLow];
// A tile at the end may read so many numbers more.
const SPARE: usize = 16;
// Where padding is read.
const NOWHERE: u32 = u32::MAX;

pub(super) fn accept(g: &Geometry, pass: Pass, machine: Machine) -> Result<Box<dyn Kernel>, String> {
    if pass != Pass::BackwardWeights {
        return Err("it is for the gradient to the weights".into());
    }
    if is_dense(g) && g.w_len() >= SMALL && g.n >= DENSE && g.oc >= DENSE {
        return Ok(Box::new(Packed::new(g, machine)?));
    }
    if g.groups > 1 || g.y_len() / g.oc < PIXELS || g.oc < FILTERS || g.ic < CHANNELS {
        return Err(format!("it pays from {FILTERS} filters and {PIXELS} pixels on, in one group"));
    }
    if is_whole(g) && g.ic > g.oc && g.ic < FAR {
        return Err(format!("pixels of fewer than {FAR} channels are read in place as fast, where filters are fewer"));
    }
    Ok(Box::new(Packed::new(g, machine)?))
}

// Whether images are pixels, as in a dense layer: then all of them lie far apart.
fn is_dense(g: &Geometry) -> bool {
    g.groups == 1 && g.h.kernel * g.w.kernel * g.h.input * g.w.input == 1
}

// Whether `x` is read from end to end, as it lies.
fn is_whole(g: &Geometry) -> bool {
    g.h.kernel * g.w.kernel == 1 && g.x_len() / g.ic == g.y_len() / g.oc
}

/// Rows of a tile: one kernel element, channels side by side.
#[derive(Clone, Copy)]
struct Tile {
    tap: usize,
    channel: usize,
    live: usize,
}

/// Tiles of one height, the places of their copies, and of their sums.
struct Part {
    tile: TileFn,
    tiles: Vec<Tile>,
    rows: Rows,
}

/// Some rows of `dw`: tall tiles and low ones.
struct Block {
    parts: [Part; 2],
}

impl Tile {
    // Its first row of all.
    fn row(&self, g: &Geometry) -> usize {
        self.tap * g.ic + self.channel
    }
}

impl Block {
    fn new(g: &Geometry, isa: Isa, chunk: usize, tiles: &[Tile]) -> Result<Self, String> {
        let low = KINDS[1].height(isa);
        let (tall, rest): (Vec<Tile>, Vec<Tile>) = tiles.iter().partition(|tile| tile.live > low);
        let (start, mut at) = (tiles[0].row(g), 0);
        let mut part = |kind: Kind, tiles: Vec<Tile>| {
            let height = kind.height(isa);
            let mut rows = Vec::new();
            for tile in &tiles {
                // Rows that idle at the end of a tile repeat the last one.
                for p in (0..height).map(|p| p.min(tile.live - 1)) {
                    rows.push(Row { a: place(at + p)?, out: place((tile.row(g) + p - start) * g.oc)? });
                }
                at += chunk * height;
            }
            Ok::<_, String>(Part { tile: kind.function(isa), tiles, rows: Rows::new(rows) })
        };
        Ok(Self { parts: [part(KINDS[0], tall)?, part(KINDS[1], rest)?] })
    }

    // With those that idle.
    fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    fn tiles(&self) -> usize {
        self.parts.iter().map(|part| part.tiles.len()).sum()
    }
}

/// See the head of this file.
struct Packed {
    g: Geometry,
    isa: Isa,
    threads: usize,
    /// Where each pixel of an image meets each kernel element.
    places: Vec<u32>,
    blocks: Vec<Block>,
    columns: Vec<Column>,
    /// Pixels of a group, and how many groups there are.
    share: usize,
    groups: usize,
    /// Pixels of a chunk; chunks of `dy` that are copied at a time, and panels in one piece of that work.
    chunk: usize,
    chunks: usize,
    together: usize,
    /// Where the rows of each block start.
    cuts: Vec<usize>,
    /// Where the pixels of a tile's copy lie, for tall tiles and for low ones.
    terms: [Terms; 2],
    /// Numbers of the copy of a block.
    own: usize,
}

impl Packed {
    fn new(g: &Geometry, machine: Machine) -> Result<Self, String> {
        let Machine { isa, threads } = machine;
        let (pixels, rows) = (g.y_len() / g.oc, g.terms());
        let groups = if g.w_len() <= SMALL { GROUPS.min(pixels / PIXELS) } else { 1 };
        let share = pixels.div_ceil(groups);
        let groups = pixels.div_ceil(share);
        let columns = columns(1, rows, g.oc, isa);
        let row = columns.len() * 2 * isa.lanes();
        let (chunk, target) = if groups > 1 {
            ((OWN / (rows + row)).clamp(PIXELS, share), rows)
        } else {
            (pixels.min(CHUNK), (rows / BLOCKS).clamp(ROWS[0], ROWS[1]))
        };
        let chunks = (SHARED / (chunk * row)).clamp(1, pixels.div_ceil(chunk));
        // Where chunks are few, some panels of one are a piece.
        let enough =
            |together: &usize| columns.len().is_multiple_of(*together) && columns.len() / together * chunks >= COPIES;
        let together = (1..=columns.len()).rev().find(enough).unwrap_or(1);
        let heights = KINDS.map(|kind| kind.height(isa));
        let tiles = all_tiles(g, heights);
        let blocks = blocks(&tiles, target);
        let cuts = blocks.iter().map(|tiles| tiles[0].row(g) * g.oc).chain([g.w_len()]).collect();
        let blocks = blocks.into_iter().map(|tiles| Block::new(g, isa, chunk, tiles));
        let blocks = blocks.collect::<Result<Vec<_>, String>>()?;
        let own = blocks.iter().map(|block| block.rows() * chunk).max().unwrap_or(0) + SPARE;
        let terms = heights.map(|height| Terms::new((0..chunk).map(|p| (p * height) as u32).collect()));
        let (g, places) = (*g, places(g)?);
        Ok(Self { g, isa, threads, places, blocks, columns, share, groups, chunk, chunks, together, cuts, terms, own })
    }

    fn panel_len(&self) -> usize {
        self.chunk * 2 * self.isa.lanes()
    }

    // All panels of a chunk of pixels.
    fn panels_len(&self) -> usize {
        self.columns.len() * self.panel_len()
    }

    // The product of a chunk of pixels.
    fn multiply(&self, block: &Block, [a, b]: [&[f32]; 2], chunk: Chunk<'_>, out: &mut [f32]) {
        let width = 2 * self.isa.lanes();
        let [x, dy] = chunk.soon;
        let step = (x.len() + dy.len()).div_ceil(block.tiles() * self.columns.len() * chunk.count);
        let mut asked = 0;
        for (column, b) in self.columns.iter().zip(b.chunks_exact(self.panel_len())) {
            for (part, terms) in block.parts.iter().zip(&self.terms) {
                let numbers = x.get(asked..).or(dy.get(asked.saturating_sub(x.len())..)).unwrap_or(&[]);
                asked += part.tiles.len() * chunk.count * step;
                (part.tile)(&mut Job {
                    a,
                    a_shift: 0,
                    rows: &part.rows,
                    live: part.rows.len(),
                    terms,
                    count: chunk.count,
                    b,
                    b_step: width,
                    out: Cell::from(&mut *out),
                    out_shift: column.to,
                    width: column.width,
                    accumulate: chunk.accumulate,
                    bias: &[],
                    residual: &[],
                    fused: Fused::Linear,
                    ahead: Ahead { numbers, step },
                    near: false,
                });
            }
        }
    }

    fn gather(&self, block: &Block, x: &[f32], pixels: Range<usize>, to: &mut [f32]) {
        gather(self.isa)(&mut Gather { plan: self, block, x, first: pixels.start, count: pixels.len(), to });
    }

    fn side_by_side(&self, columns: &[Column], dy: &[f32], to: &mut [f32]) {
        side_by_side(self.isa)(&mut Columns { columns, dy, step: self.g.oc, panel: self.panel_len(), to });
    }

    // One group: its pixels, a chunk at a time, all by one thread.
    fn group(&self, i: usize, [x, dy]: [&[f32]; 2], own: &mut [f32], dw: &mut [f32]) {
        let Self { g, chunk, share, .. } = self;
        let (panels, a) = own.split_at_mut(self.panels_len());
        let (start, end) = (i * share, ((i + 1) * share).min(g.y_len() / g.oc));
        for first in (start..end).step_by(*chunk) {
            let (next, last) = ((first + chunk).min(end), (first + 2 * chunk).min(end));
            let count = next - first;
            self.side_by_side(&self.columns, &dy[first * g.oc..next * g.oc], panels);
            self.gather(&self.blocks[0], x, first..next, a);
            let x = if is_whole(g) { &x[next * g.ic..last * g.ic] } else { &[] };
            let soon = [x, &dy[next * g.oc..last * g.oc]];
            self.multiply(&self.blocks[0], [a, panels], Chunk { count, accumulate: first > start, soon }, dw);
        }
    }

    fn by_groups(&self, team: Team, inputs: [&[f32]; 2], scratch: &mut [f32], dw: &mut [f32]) {
        let len = self.g.w_len();
        let (sums, own) = scratch.split_at_mut((self.groups * len).next_multiple_of(16));
        let sums = &mut sums[..self.groups * len];
        let each = self.panels_len() + self.own;
        team.chunks_with((&mut *sums, len), (own, each), |i, dw, own| self.group(i, inputs, own, dw));
        let sums = &*sums;
        team.chunks(&mut dw[..len], 4096, |i, dw| {
            for (group, sums) in sums.chunks_exact(len).enumerate() {
                let from = &sums[i * 4096..][..dw.len()];
                match group {
                    0 => dw.copy_from_slice(from),
                    _ => dw.iter_mut().zip(from).for_each(|(sum, x)| *sum += x),
                }
            }
        });
    }

    fn by_blocks(&self, team: Team, [x, dy]: [&[f32]; 2], scratch: &mut [f32], dw: &mut [f32]) {
        let (panels, own) = scratch.split_at_mut(self.chunks * self.panels_len());
        let (pixels, round) = (self.g.y_len() / self.g.oc, self.chunks * self.chunk);
        for first in (0..pixels).step_by(round) {
            let end = (first + round).min(pixels);
            self.copy_panels(team, &dy[first * self.g.oc..end * self.g.oc], panels);
            let panels = &*panels;
            team.cuts_with((&mut *dw, &self.cuts), (&mut *own, self.own), |i, dw, own| {
                for (start, panels) in (first..end).step_by(self.chunk).zip(panels.chunks_exact(self.panels_len())) {
                    let pixels = start..(start + self.chunk).min(end);
                    let chunk = Chunk { count: pixels.len(), accumulate: start > 0, soon: [&[]; 2] };
                    self.gather(&self.blocks[i], x, pixels, own);
                    self.multiply(&self.blocks[i], [own, panels], chunk, dw);
                }
            });
        }
    }

    // Some chunks of `dy`, by all threads: a piece is some panels of one.
    fn copy_panels(&self, team: Team, dy: &[f32], panels: &mut [f32]) {
        let chunks = dy.chunks(self.chunk * self.g.oc);
        let (len, each) = (chunks.len() * self.panels_len(), self.columns.len() / self.together);
        team.chunks(&mut panels[..len], self.together * self.panel_len(), |i, to| {
            let columns = &self.columns[i % each * self.together..][..self.together];
            self.side_by_side(columns, chunks.clone().nth(i / each).unwrap_or(&[]), to);
        });
    }
}

/// Pixels of a product: how many, and whether there were some before.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    count: usize,
    accumulate: bool,
    /// What is read next of `x` and `dy`.
    soon: [&'a [f32]; 2],
}

// The tiles of all rows: for each kernel element tall ones, then low ones, so that few rows idle.
fn all_tiles(g: &Geometry, [high, low]: [usize; 2]) -> Vec<Tile> {
    let cost = |tall: &usize| tall * high + g.ic.saturating_sub(tall * high).next_multiple_of(low);
    let tall = (0..=g.ic.div_ceil(high)).rev().min_by_key(cost).unwrap_or(0) * high;
    let mut tiles = Vec::new();
    for tap in 0..g.h.kernel * g.w.kernel {
        let mut channel = 0;
        while channel < g.ic {
            let live = if channel < tall { high } else { low }.min(g.ic - channel);
            tiles.push(Tile { tap, channel, live });
            channel += live;
        }
    }
    tiles
}

// Runs of tiles with so many rows or a few more.
fn blocks(tiles: &[Tile], target: usize) -> Vec<&[Tile]> {
    let (mut blocks, mut rest) = (Vec::new(), tiles);
    while !rest.is_empty() {
        let mut rows = 0;
        let end = rest.iter().position(|tile| {
            rows += tile.live;
            rows >= target
        });
        let (block, others) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        blocks.push(block);
        rest = others;
    }
    blocks
}

fn places(g: &Geometry) -> Result<Vec<u32>, String> {
    let mut all = Vec::new();
    for oh in 0..g.h.output {
        for ow in 0..g.w.output {
            for kh in 0..g.h.kernel {
                for kw in 0..g.w.kernel {
                    all.push(match (g.h.input_at(oh, kh), g.w.input_at(ow, kw)) {
                        (Some(ih), Some(iw)) => place((ih * g.w.input + iw) * g.ic)?,
                        _ => NOWHERE,
                    });
                }
            }
        }
    }
    Ok(all)
}

fn place(at: usize) -> Result<u32, String> {
    u32::try_from(at).ok().filter(|at| *at < NOWHERE).ok_or_else(|| "an image has more than 2^32 numbers".to_string())
}

/// Copies what the tiles of a block read of some pixels.
struct Gather<'a> {
    plan: &'a Packed,
    block: &'a Block,
    x: &'a [f32],
    first: usize,
    count: usize,
    to: &'a mut [f32],
}

stamp! {
    fn gather(job: &mut Gather<'_>) = gather_body[FMA, LANES;
        avx512: DOUBLE[0], DOUBLE_LOW[0]; avx2: DOUBLE[1], DOUBLE_LOW[1];
        neon: DOUBLE[2], DOUBLE_LOW[2]; baseline: DOUBLE[3], DOUBLE_LOW[3]];
}

#[inline(always)]
fn gather_body<const FMA: bool, const LANES: usize, const HIGH: usize, const LOW: usize>(job: &mut Gather<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    let Gather { plan, block, x, first, count, .. } = *job;
    let Packed { g, places, chunk, .. } = plan;
    let (image, each, taps) = (g.h.input * g.w.input * g.ic, g.h.output * g.w.output, g.h.kernel * g.w.kernel);
    let [high, low] = &block.parts;
    let (to_high, to_low) = job.to.split_at_mut(high.tiles.len() * HIGH * chunk);
    let spot = |k: usize| Spot { image: (first + k) / each * image, places: (first + k) % each * taps };
    for start in (0..count).step_by(TOGETHER) {
        let mut spots = [[Spot::default(); 2]; TOGETHER];
        let spots = &mut spots[..TOGETHER.min(count - start)];
        for (spots, k) in spots.iter_mut().zip(start..) {
            *spots = [spot(k), spot((k + TOGETHER).min(count - 1))];
        }
        let from = From { x, places, spots, pad: g.pad_value };
        copy_tiles::<FMA, LANES, HIGH>(&from, &high.tiles, &mut *to_high, [start, *chunk]);
        copy_tiles::<FMA, LANES, LOW>(&from, &low.tiles, &mut *to_low, [start, *chunk]);
    }
}

// Pixels that are copied side by side: as many as lie in one set of the first-level cache.
const TOGETHER: usize = 8;

/// Where the image of a pixel starts, and the places of its kernel elements.
#[derive(Clone, Copy, Default)]
struct Spot {
    image: usize,
    places: usize,
}

/// Some pixels and what they are read from.
struct From<'a> {
    x: &'a [f32],
    places: &'a [u32],
    /// Each with the one that follows soon.
    spots: &'a [[Spot; 2]],
    pad: f32,
}

#[inline(always)]
fn copy_tiles<const FMA: bool, const LANES: usize, const H: usize>(
    from: &From<'_>,
    tiles: &[Tile],
    to: &mut [f32],
    [start, chunk]: [usize; 2],
) where
    Lanes<FMA, LANES>: Register,
{
    for (tile, i) in tiles.iter().zip(0..) {
        let to = &mut to[(i * chunk + start) * H..][..from.spots.len() * H];
        for (to, [spot, soon]) in to.as_chunks_mut::<H>().0.iter_mut().zip(from.spots) {
            let next = soon.image + from.places[soon.places + tile.tap] as usize + tile.channel;
            <Lanes<FMA, LANES> as Register>::Vector::prefetch(from.x.as_ptr().wrapping_add(next.min(from.x.len() - 1)));
            let at = from.places[spot.places + tile.tap];
            if at == NOWHERE {
                to.fill(from.pad);
                continue;
            }
            let x = &from.x[spot.image + at as usize + tile.channel..];
            match x.first_chunk::<H>() {
                Some(x) if tile.live == H => *to = *x,
                // What idles repeats the last row, as the table of rows does.
                _ => {
                    for (p, to) in to.iter_mut().enumerate() {
                        *to = x[p.min(tile.live - 1)];
                    }
                }
            }
        }
    }
}

/// Copies the columns of some panels, `[panel][pixel][column]`.
struct Columns<'a> {
    columns: &'a [Column],
    dy: &'a [f32],
    /// Numbers between two pixels of `dy`, and between two panels.
    step: usize,
    panel: usize,
    to: &'a mut [f32],
}

stamp! {
    fn side_by_side(job: &mut Columns<'_>)
        = side_by_side_body[FMA, LANES; avx512: 32; avx2: 16; neon: 8; baseline: 8];
}

#[inline(always)]
fn side_by_side_body<const FMA: bool, const LANES: usize, const WIDTH: usize>(job: &mut Columns<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    for (dy, i) in job.dy.chunks(job.step * TOGETHER).zip(0..) {
        for (column, to) in job.columns.iter().zip(job.to.chunks_exact_mut(job.panel)) {
            let to = to[i * TOGETHER * WIDTH..].as_chunks_mut::<WIDTH>().0;
            for (dy, to) in dy.chunks_exact(job.step).zip(to) {
                let dy = &dy[column.to..];
                for v in 0..WIDTH / LANES {
                    let next = dy.as_ptr().wrapping_add(job.step * TOGETHER + v * LANES);
                    <Lanes<FMA, LANES> as Register>::Vector::prefetch(next);
                }
                match dy.first_chunk::<WIDTH>() {
                    Some(dy) if column.width == WIDTH => *to = *dy,
                    _ => {
                        let (to, rest) = to.split_at_mut(column.width);
                        to.iter_mut().zip(dy).for_each(|(to, dy)| *to = *dy);
                        rest.fill(0.0);
                    }
                }
            }
        }
    }
}

impl Kernel for Packed {
    fn work(&self) -> usize {
        if self.groups > 1 {
            let sums = (self.groups * self.g.w_len()).next_multiple_of(16);
            sums + self.threads * (self.panels_len() + self.own)
        } else {
            self.chunks * self.panels_len() + self.threads * self.own
        }
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs, out, scratch, .. } = work;
        if self.groups > 1 {
            self.by_groups(team, inputs, scratch, out);
        } else {
            self.by_blocks(team, inputs, scratch, out);
        }
    }
}
