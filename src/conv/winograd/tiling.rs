//! Which tiles there are, and where their pixels lie.
//!
//! An image of the output is cut into tiles of 4x4 pixels, row by row. Tiles at the edge reach into the padding of the
//! source, or beyond the output: such a tile's pixels are copied, and what does not exist is the padding value.

use std::ops::Range;

use super::transform::{Spread, input};
use crate::conv::{Geometry, Pass};
use crate::simd::Isa;

/// Outputs of a tile along an axis, and the inputs that they need.
pub(super) const OUT: usize = 4;
pub(super) const IN: usize = 6;

/// The tiles of a pass. Shapes are `[h, w, channels]`.
#[derive(Debug, Clone)]
pub(super) struct Tiling {
    pub images: usize,
    pub source: [usize; 3],
    pub output: [usize; 3],
    /// Where the first tile starts, before the source.
    before: [isize; 2],
    pad_value: f32,
}

/// Whole rows of tiles of one image, or whole images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub images: Range<usize>,
    /// Rows of tiles of each image.
    pub rows: Range<usize>,
}

impl Tiling {
    pub fn new(g: &Geometry, pass: Pass) -> Self {
        let (x, y) = ([g.h.input, g.w.input, g.ic], [g.h.output, g.w.output, g.oc]);
        let padding = [g.h.before as isize, g.w.before as isize];
        let (source, output, before, pad_value) = match pass {
            Pass::BackwardInput => (y, x, padding.map(|p| g.h.kernel as isize - 1 - p), 0.0),
            _ => (x, y, padding, g.pad_value),
        };
        Self { images: g.n, source, output, before, pad_value }
    }

    /// Rows of tiles and tiles of a row of one image.
    pub fn tiles(&self) -> [usize; 2] {
        [self.output[0].div_ceil(OUT), self.output[1].div_ceil(OUT)]
    }

    /// All tiles.
    pub fn count(&self) -> usize {
        self.images * self.tiles().iter().product::<usize>()
    }

    /// Tiles of a block.
    pub fn len(&self, block: &Block) -> usize {
        block.images.len() * block.rows.len() * self.tiles()[1]
    }

    /// Blocks of at most about `tiles` tiles, in the order of the output.
    pub fn blocks(&self, tiles: usize) -> Vec<Block> {
        let [rows, width] = self.tiles();
        let (image, all) = (rows * width, 0..self.images);
        if image <= tiles {
            let step = tiles / image;
            let block = |i: usize| Block { images: i..(i + step).min(self.images), rows: 0..rows };
            return all.step_by(step).map(block).collect();
        }
        // Rows of nearly the same number, so that no block is much smaller than the others.
        let blocks = rows.div_ceil((tiles / width).max(1));
        let cut = move |i: usize| i * rows / blocks;
        all.flat_map(|i| (0..blocks).map(move |b| Block { images: i..i + 1, rows: cut(b)..cut(b + 1) })).collect()
    }

    /// The pixels of the output that a block writes, as a range of numbers.
    pub fn written(&self, block: &Block) -> Range<usize> {
        let [height, width, channels] = self.output;
        let row = width * channels;
        let pixel_row = |image: usize, tile: usize| image * height + (tile * OUT).min(height);
        pixel_row(block.images.start, block.rows.start) * row..pixel_row(block.images.end - 1, block.rows.end) * row
    }

    /// Calls `f(number, image, row, column)` for each tile of a block, in order.
    pub fn each(&self, block: &Block, mut f: impl FnMut(usize, [usize; 3])) {
        let mut number = 0;
        for image in block.images.clone() {
            for row in block.rows.clone() {
                for column in 0..self.tiles()[1] {
                    f(number, [image, row, column]);
                    number += 1;
                }
            }
        }
    }

    /// Numbers that [`Tiling::transform`] needs for the pixels of a tile at the edge.
    pub fn patch_len(&self) -> usize {
        IN * IN * self.source[2]
    }

    /// Writes the transformed input of each tile of a block: tile `t` at `at + t stride`, positions `step` apart.
    pub fn transform(&self, isa: Isa, block: &Block, src: &[f32], v: Positions<'_>, patch: &mut [f32]) {
        let [height, width, channels] = self.source;
        let (f, Positions { out, at: from, stride, step, shift }) = (input(isa), v);
        self.each(block, |t, [image, row, column]| {
            let image = &src[image * height * width * channels..][..height * width * channels];
            let start = [0, 1].map(|i| ([row, column][i] * OUT + shift[i]) as isize - self.before[i]);
            let inside = |i: usize| start[i] >= 0 && start[i] + IN as isize <= self.source[i] as isize;
            let (pixels, at, row) = if inside(0) && inside(1) {
                (image, (start[0] as usize * width + start[1] as usize) * channels, width * channels)
            } else {
                self.copy(start, image, patch);
                (&*patch, 0, IN * channels)
            };
            let positions = &mut *out;
            f(&mut Spread { pixels, at, row, column: channels, positions, to: from + t * stride, step, channels });
        });
    }

    // The 6x6 pixels from `start` on, with the padding written out.
    fn copy(&self, start: [isize; 2], image: &[f32], patch: &mut [f32]) {
        let [height, width, channels] = self.source;
        for (i, to) in patch.chunks_exact_mut(IN * channels).take(IN).enumerate() {
            let row = start[0] + i as isize;
            let first = start[1].clamp(0, width as isize);
            let end = (start[1] + IN as isize).clamp(first, width as isize);
            if row < 0 || row >= height as isize || first == end {
                to.fill(self.pad_value);
                continue;
            }
            let skip = (first - start[1]) as usize * channels;
            let len = (end - first) as usize * channels;
            to[..skip].fill(self.pad_value);
            to[skip..skip + len].copy_from_slice(&image[(row as usize * width + first as usize) * channels..][..len]);
            to[skip + len..].fill(self.pad_value);
        }
    }
}

/// Where transformed tiles go.
pub(super) struct Positions<'a> {
    pub out: &'a mut [f32],
    /// Where the first tile goes.
    pub at: usize,
    /// Between two tiles.
    pub stride: usize,
    /// Between two positions of a tile.
    pub step: usize,
    /// Rows and columns between a tile and the pixels that are read.
    pub shift: [usize; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_each_tile_once_and_write_the_output_in_order() {
        for text in
            ["n3 h9 w14 ic2 oc2 k3 psame", "n5 h56 w56 ic2 oc3 k3", "n8 h7 w7 ic4 oc4 k3 psame", "n1 h3 w3 ic1 oc1 k3"]
        {
            let g: Geometry = text.parse().unwrap();
            let tiling = Tiling::new(&g, Pass::Forward);
            for tiles in [1, 5, 28, 1000] {
                let blocks = tiling.blocks(tiles);
                let count: usize = blocks.iter().map(|block| tiling.len(block)).sum();
                assert_eq!(count, tiling.count(), "{g} by {tiles}");
                let mut end = 0;
                for block in &blocks {
                    let range = tiling.written(block);
                    assert_eq!(range.start, end, "{g} by {tiles}");
                    end = range.end;
                }
                assert_eq!(end, g.y_len(), "{g} by {tiles}");
            }
        }
    }
}
