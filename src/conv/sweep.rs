//! A sweep: windows slide over a padded source, and each output is a sum over the window's taps.
//!
//! Forward and the gradient to the input are both sweeps. The second one sweeps over `dy` with the kernel turned; at
//! stride `s` its outputs fall into `s` phases along each axis, and each phase has its own taps:
//!
//! ```text
//! dx[i] = sum over k with (i + before - k dilation) = s o  of  dy[o] w[k]
//! ```
//!
//! [`Sweep`] settles all of it when a kernel is made: how the output is cut into pieces, which rows of the source a
//! piece needs, and tables of where each output pixel starts to read and goes. A piece copies its rows into a *strip*
//! with the padding written out, so that the inner loop meets no border; a source without padding is read in place.

use super::geometry::Axis;
use super::tile::{Row, Terms};
use super::{Geometry, Pass};
use crate::parallel::Team;

// Numbers of a strip: it stays in the second-level cache beside a panel of weights.
const STRIP: usize = 48 << 10;
// Columns of a panel: where its weights are more than a strip, strips may be as large, so that weights serve longer.
const PANEL: usize = 32;
// Tiles that a panel of weights should serve before the next one replaces it.
const TILES: usize = 14;
// Multiply-adds of a piece: some 20 microseconds.
const PIECE: u64 = 2 << 20;
// Multiply-adds of a piece at least, where smaller pieces are shared more evenly.
const LEAST: u64 = PIECE / 4;
// Multiply-adds that last as long as the copy of a number, and as the start of a piece.
const COPY: usize = 16;
const START: usize = 128 << 10;
// Pieces that a pass should at least have, so that threads finish together.
const PIECES: usize = 8;

/// A kernel element, and where it reads relative to an output's position in the source.
#[derive(Debug, Clone, Copy)]
struct Tap {
    k: usize,
    offset: isize,
}

/// One phase of one axis: outputs `first + every i` read the source at `step i + offset` of each tap.
#[derive(Debug, Clone)]
struct Line {
    first: usize,
    every: usize,
    count: usize,
    step: usize,
    taps: Vec<Tap>,
}

impl Line {
    fn forward(axis: &Axis) -> Vec<Self> {
        let tap = |k| Tap { k, offset: (k * axis.dilation) as isize - axis.before as isize };
        let taps = (0..axis.kernel).map(tap).collect();
        vec![Self { first: 0, every: 1, count: axis.output, step: axis.stride, taps }]
    }

    fn backward(axis: &Axis) -> Vec<Self> {
        (0..axis.stride).map(|phase| Self::backward_phase(axis, phase)).filter(|line| line.count > 0).collect()
    }

    // Outputs i with (i + before) mod stride = phase.
    fn backward_phase(axis: &Axis, phase: usize) -> Self {
        let (every, before) = (axis.stride, axis.before);
        let first = (phase + every - before % every) % every;
        let start = ((first + before) / every) as isize;
        let reach = |k: usize| k * axis.dilation;
        let met = (0..axis.kernel).rev().filter(|k| reach(*k) % every == phase);
        let taps = met.map(|k| Tap { k, offset: start - ((reach(k) - phase) / every) as isize }).collect();
        Self { first, every, count: axis.input.saturating_sub(first).div_ceil(every), step: 1, taps }
    }

    fn lowest(&self) -> isize {
        self.taps.first().map_or(0, |tap| tap.offset)
    }

    fn highest(&self) -> isize {
        self.taps.last().map_or(0, |tap| tap.offset)
    }

    // The outputs of this phase that lie in `rows`, as a range of i.
    fn within(&self, rows: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let index = |row: usize| row.saturating_sub(self.first).div_ceil(self.every).min(self.count);
        index(rows.start)..index(rows.end)
    }

    // The part of the source that outputs `range` read, if they read any.
    fn span(&self, range: &std::ops::Range<usize>) -> Option<(isize, isize)> {
        let end = range.end.checked_sub(1).filter(|last| *last >= range.start && !self.taps.is_empty())?;
        Some(((range.start * self.step) as isize + self.lowest(), (end * self.step) as isize + self.highest() + 1))
    }
}

/// A phase of both axes: which kernel elements, and where they read relative to a pixel's start.
pub(super) struct Phase {
    lines: [Line; 2],
    /// Kernel elements `[kh, kw]`, in the order of the sum.
    pub taps: Vec<[usize; 2]>,
    /// Where each channel of each of them reads.
    pub terms: Terms,
}

/// Rows of the output of one image, and the rows of the source that they need.
pub(super) struct Block {
    rows: std::ops::Range<usize>,
    first: isize,
    height: usize,
    /// Where each pixel reads and writes, for each phase.
    pub tables: Vec<Vec<Row>>,
}

/// Which images and which block a piece is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    image: usize,
    /// Images of this piece; the last may have fewer than the others.
    pub images: usize,
    /// Index into [`Sweep::blocks`].
    pub block: usize,
}

/// What a sweep is made for.
pub(super) struct Setup {
    /// Forward, or backward_input.
    pub pass: Pass,
    /// Whether channels are read one vector at a time, each with its own weights.
    pub wide: bool,
    /// f32 lanes of a vector.
    pub lanes: usize,
    /// Whether panels of channels share the work, so that pieces need not.
    pub spread: bool,
    /// Output pixels of a tile; 1 for the gradient to the weights, whose cut must not depend on the instruction set.
    pub height: usize,
}

/// What decides how large pieces are.
struct Cut {
    /// Numbers of the strip of an image, of the first rows that are in one piece, and how many a strip may have.
    strip: usize,
    line: usize,
    budget: usize,
    /// Rows of the output between two of the same phase.
    every: usize,
    /// Output pixels of a tile.
    tile: usize,
}

impl Cut {
    // Whether a piece of so many pixels wastes much of its last tile, or uses weights too few times.
    fn grows(&self, pixels: usize) -> bool {
        let wasteful = pixels.next_multiple_of(self.tile) * 20 > pixels * 21;
        wasteful || self.tile > 1 && pixels < TILES * self.tile
    }
}

/// See the head of this file.
pub(super) struct Sweep {
    n: usize,
    src: [usize; 3],
    out: [usize; 3],
    pad_value: f32,
    /// Whether pieces read the source itself.
    in_place: bool,
    left: isize,
    columns: usize,
    slack: usize,
    /// Images of a piece.
    pub images: usize,
    /// The phases; one in forward.
    pub phases: Vec<Phase>,
    /// The blocks of an image.
    pub blocks: Vec<Block>,
}

impl Sweep {
    /// The sweep of a pass.
    ///
    /// # Errors
    /// A piece is too large for its tables.
    pub fn new(g: &Geometry, setup: &Setup) -> Result<Self, String> {
        let forward = setup.pass == Pass::Forward;
        let (x, y) = ([g.h.input, g.w.input, g.ic], [g.h.output, g.w.output, g.oc]);
        let (src, out) = if forward { (x, y) } else { (y, x) };
        let lines = [&g.h, &g.w].map(|axis| if forward { Line::forward(axis) } else { Line::backward(axis) });
        let spans = [0, 1].map(|i| hull(lines[i].iter().map(|line| line.span(&(0..line.count)))));
        let inside = |i: usize| spans[i].0 >= 0 && spans[i].1 <= src[i] as isize;
        let in_place = inside(0) && inside(1) && (!setup.wide || src[2] % setup.lanes == 0);
        let (left, right) = if in_place { (0, src[1] as isize) } else { spans[1] };
        let depth = if setup.wide { 1 } else { src[2] / g.groups };
        let mut sweep = Self {
            n: g.n,
            src,
            out,
            pad_value: if forward { g.pad_value } else { 0.0 },
            in_place,
            left,
            columns: (right - left) as usize,
            slack: setup.lanes,
            images: 1,
            phases: Vec::new(),
            blocks: Vec::new(),
        };
        let every = lines[0].first().map_or(1, |line| line.every);
        // The cut does not ask whether the source is read in place, which differs between instruction sets.
        let [height, width] = spans.map(|(start, end)| (end - start) as usize);
        let weights = if setup.height > 1 { g.h.kernel * g.w.kernel * depth * PANEL } else { 0 };
        let first = hull(lines[0].iter().map(|line| line.span(&(0..1))));
        let line = ((first.1 - first.0) as usize).min(height) * width * src[2];
        let cut = Cut { strip: height * width * src[2], line, budget: STRIP.max(weights), every, tile: setup.height };
        let mul_adds = if setup.spread { 0 } else { g.mul_adds() / g.n as u64 };
        let rows = sweep.cut(&cut, mul_adds);
        for h in &lines[0] {
            for w in &lines[1] {
                sweep.phases.push(sweep.phase([h, w], depth)?);
            }
        }
        for start in (0..out[0]).step_by(rows) {
            sweep.blocks.push(sweep.block(start..(start + rows).min(out[0]))?);
        }
        Ok(sweep)
    }

    // Settles how many images a piece has, and returns how many rows of the output a block has.
    fn cut(&mut self, cut: &Cut, mul_adds: u64) -> usize {
        let useful = (mul_adds / PIECE) as usize;
        let blocks = cut.strip.div_ceil(cut.budget).max(PIECES.div_ceil(self.n).min(useful)).clamp(1, self.out[0]);
        if blocks == 1 {
            let pixels = self.out[0] * self.out[1];
            let small = |images: usize| images as u64 * mul_adds < PIECE;
            while self.images * 2 <= self.n
                && self.images * 2 * cut.strip <= cut.budget
                && (small(self.images) || cut.grows(self.images * pixels) && self.n / (self.images * 2) >= PIECES / 2)
            {
                self.images *= 2;
            }
        }
        let rows = self.out[0].div_ceil(blocks).next_multiple_of(cut.every).min(self.out[0]);
        if blocks == 1 || cut.tile == 1 { rows } else { self.even(cut, rows, mul_adds) }
    }

    // At most `most` rows of a block, such that two threads finish together and the last tiles are full.
    fn even(&self, cut: &Cut, most: usize, mul_adds: u64) -> usize {
        let (height, width) = (self.out[0], self.out[1]);
        let least = (LEAST * height as u64).div_ceil(mul_adds.max(1)) as usize;
        let rows = (1..=most / cut.every).map(|i| i * cut.every).filter(|rows| *rows >= least.min(most));
        let pixel = mul_adds as usize / (height * width);
        let row = (cut.strip - cut.line) / (height - 1).max(1);
        // Multiply-adds of the thread that has more, with those that last as long as a copy.
        let cost = |rows: &usize| {
            let copied = cut.line + (rows - 1) * row;
            let piece = (rows * width).next_multiple_of(cut.tile) * pixel + COPY * copied + START;
            (self.n * height.div_ceil(*rows)).div_ceil(2) * piece
        };
        rows.rev().min_by_key(cost).unwrap_or(most)
    }

    fn phase(&self, [h, w]: [&Line; 2], depth: usize) -> Result<Phase, String> {
        let (mut taps, mut terms) = (Vec::new(), Vec::new());
        for (row, column) in h.taps.iter().flat_map(|h| w.taps.iter().map(move |w| (h, w))) {
            taps.push([row.k, column.k]);
            let [y, x] = [row.offset - h.lowest(), column.offset - w.lowest()].map(|o| o as usize);
            for channel in 0..depth {
                terms.push(self.tap_at([y, x], channel)?);
            }
        }
        Ok(Phase { lines: [h.clone(), w.clone()], taps, terms: Terms::new(terms) })
    }

    fn block(&self, rows: std::ops::Range<usize>) -> Result<Block, String> {
        let (first, end) = if self.in_place {
            (0, self.src[0] as isize)
        } else {
            hull(self.phases.iter().map(|phase| phase.lines[0].span(&phase.lines[0].within(&rows))))
        };
        let mut block = Block { rows, first, height: (end - first) as usize, tables: Vec::new() };
        for phase in &self.phases {
            let table = self.table(&block, phase)?;
            block.tables.push(table);
        }
        Ok(block)
    }

    fn table(&self, block: &Block, phase: &Phase) -> Result<Vec<Row>, String> {
        let [h, w] = &phase.lines;
        let channels = self.src[2];
        let mut rows = Vec::new();
        for image in 0..self.images {
            for i in h.within(&block.rows) {
                let row = image * block.rows.len() + h.first + h.every * i - block.rows.start;
                let from = image * self.image_len(block) + self.row_at(block, (i * h.step) as isize + h.lowest());
                for j in 0..w.count {
                    let column = ((j * w.step) as isize + w.lowest() - self.left) as usize;
                    let a = if phase.taps.is_empty() { 0 } else { from + column * channels };
                    let out = (row * self.out[1] + w.first + w.every * j) * self.out[2];
                    rows.push(Row { a: table(a)?, out: table(out)? });
                }
            }
        }
        Ok(rows)
    }

    // Where a row of the source starts in the strip; a phase without taps asks for rows that are not there.
    fn row_at(&self, block: &Block, row: isize) -> usize {
        (row - block.first).max(0) as usize * self.columns * self.src[2]
    }

    fn image_len(&self, block: &Block) -> usize {
        block.height * self.columns * self.src[2]
    }

    /// Numbers of scratch that a piece needs for its strip.
    pub fn strip_len(&self) -> usize {
        let longest = self.blocks.iter().map(|block| self.images * self.image_len(block)).max().unwrap_or(0);
        if self.in_place { 0 } else { (longest + self.slack).next_multiple_of(16) }
    }

    /// The pieces, in the order of the output.
    pub fn pieces(&self) -> Vec<Piece> {
        let starts = (0..self.n).step_by(self.images);
        let at = |image| Piece { image, images: self.images.min(self.n - image), block: 0 };
        starts.flat_map(|i| (0..self.blocks.len()).map(move |block| Piece { block, ..at(i) })).collect()
    }

    /// Where the output of each piece starts, and the end of the last.
    pub fn cuts(&self) -> Vec<usize> {
        let end = self.n * self.out.iter().product::<usize>();
        self.pieces().iter().map(|piece| self.pixel(*piece) * self.out[2]).chain([end]).collect()
    }

    /// Whether pieces read the source itself, without a strip.
    pub fn in_place(&self) -> bool {
        self.in_place
    }

    /// The first output pixel of a piece.
    pub fn pixel(&self, piece: Piece) -> usize {
        (piece.image * self.out[0] + self.blocks[piece.block].rows.start) * self.out[1]
    }

    /// The output pixels of a piece.
    pub fn pixels(&self, piece: Piece) -> usize {
        piece.images * self.blocks[piece.block].rows.len() * self.out[1]
    }

    /// The output pixels of a block as terms of a sum (forward sweeps alone), for the gradient to the weights.
    pub fn pixel_terms(&self, block: &Block) -> Result<Terms, String> {
        let [h, w] = &self.phases[0].lines;
        let column = (w.lowest() - self.left) as usize * self.src[2];
        let mut terms = Vec::new();
        for image in 0..self.images {
            for i in block.rows.clone() {
                let row = self.row_at(block, (i * h.step) as isize + h.lowest());
                for j in 0..self.out[1] {
                    terms.push(table(image * self.image_len(block) + row + column + j * w.step * self.src[2])?);
                }
            }
        }
        Ok(Terms::new(terms))
    }

    /// How far a kernel element and a channel lie from the first ones in the source of a piece.
    pub fn tap_at(&self, offset: [usize; 2], channel: usize) -> Result<u32, String> {
        table((offset[0] * self.columns + offset[1]) * self.src[2] + channel)
    }

    /// The source of a piece: the strip, filled, or the images themselves.
    pub fn source<'a>(&self, piece: Piece, src: &'a [f32], strip: &'a mut [f32]) -> &'a [f32] {
        if self.in_place {
            return self.images_of(piece, src);
        }
        self.fill_strip(piece, src, strip);
        strip
    }

    /// The images of a piece.
    pub fn images_of<'a>(&self, piece: Piece, src: &'a [f32]) -> &'a [f32] {
        let image = self.src.iter().product::<usize>();
        &src[piece.image * image..][..piece.images * image]
    }

    /// About what a piece reads in place (forward sweeps alone): the rows of its block.
    pub fn rows_of<'a>(&self, piece: Piece, src: &'a [f32]) -> &'a [f32] {
        let [height, width, channels] = self.src;
        let (rows, step) = (&self.blocks[piece.block].rows, self.phases[0].lines[0].step);
        let row = width * channels;
        let start = (piece.image * height + (rows.start * step).min(height)) * row;
        let end = ((piece.image + piece.images - 1) * height + (rows.end * step).min(height)) * row;
        src.get(start..end).unwrap_or(&[])
    }

    /// Copies what a piece reads, with the padding written out.
    pub fn fill_strip(&self, piece: Piece, src: &[f32], strip: &mut [f32]) {
        let image = self.src.iter().product::<usize>();
        let images = self.images_of(piece, src);
        let block = &self.blocks[piece.block];
        let len = self.image_len(block);
        if len > 0 {
            images.chunks_exact(image).zip(strip.chunks_exact_mut(len)).for_each(|(x, to)| self.fill(block, x, to));
        }
    }

    /// As [`Sweep::fill_strip`], with the rows of the strip as pieces of work.
    pub fn fill_strip_by_rows(&self, team: Team, piece: Piece, src: &[f32], strip: &mut [f32]) {
        let (image, row) = (self.src.iter().product::<usize>(), self.columns * self.src[2]);
        let (images, block) = (self.images_of(piece, src), &self.blocks[piece.block]);
        if block.height * row > 0 {
            team.chunks(&mut strip[..piece.images * block.height * row], row, |i, to| {
                let x = &images[i / block.height * image..][..image];
                self.fill_row(block.first + (i % block.height) as isize, x, to);
            });
        }
    }

    fn fill(&self, block: &Block, image: &[f32], strip: &mut [f32]) {
        for (i, to) in strip.chunks_exact_mut(self.columns * self.src[2]).enumerate() {
            self.fill_row(block.first + i as isize, image, to);
        }
    }

    // A row of an image, or of the padding, with the padding at its ends.
    fn fill_row(&self, row: isize, image: &[f32], to: &mut [f32]) {
        let [height, width, channels] = self.src;
        let before = (-self.left).clamp(0, self.columns as isize) as usize;
        let skip = self.left.max(0) as usize;
        let inner = width.saturating_sub(skip).min(self.columns - before) * channels;
        if row < 0 || row >= height as isize {
            return to.fill(self.pad_value);
        }
        let (pad, rest) = to.split_at_mut(before * channels);
        let (middle, end) = rest.split_at_mut(inner);
        pad.fill(self.pad_value);
        middle.copy_from_slice(&image[(row as usize * width + skip) * channels..][..inner]);
        end.fill(self.pad_value);
    }
}

// The smallest span that holds them all.
fn hull(spans: impl Iterator<Item = Option<(isize, isize)>>) -> (isize, isize) {
    spans.flatten().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((0, 0))
}

fn table(at: usize) -> Result<u32, String> {
    u32::try_from(at).map_err(|_| "a piece has more than 2^32 numbers".to_string())
}
