//! Many small bitmaps as one, side by side in rows: the channels of a layer, the kernels of a convolution.

use super::colour::{Colour, Paint};
use super::scene::Bitmap;
use crate::error::{Error, Result};

// A tile is enlarged by a whole number until its shorter side has so many pixels, so that gaps are thin beside it.
const LEAST: usize = 18;
const GAP: usize = 2;

/// Bitmaps of one size in so many columns, a thin frame around each; small ones are enlarged, pixel by pixel.
///
/// ```
/// use striate::visual::{Bitmap, mosaic};
/// let tile = Bitmap::new([20, 30, 1], &[128; 600])?;
/// assert_eq!(mosaic(&vec![tile; 5], 4)?.size(), [20 * 2 + 2 * 3, 30 * 4 + 2 * 5]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// There is no bitmap or no column, or their sizes differ.
pub fn mosaic(tiles: &[Bitmap], columns: usize) -> Result<Bitmap> {
    let first = tiles.first().filter(|_| columns > 0).ok_or_else(|| {
        Error::argument(format!("{} bitmaps in {columns} columns make no mosaic", tiles.len()))
            .with_help("give at least one bitmap and one column")
    })?;
    let [h, w] = first.size();
    if let Some(other) = tiles.iter().find(|t| t.size() != [h, w]) {
        return Err(Error::shape(format!("one bitmap has {:?} pixels, another {:?}", [h, w], other.size())));
    }
    let zoom = LEAST.div_ceil(h.min(w));
    let columns = columns.min(tiles.len());
    let (high, wide) = (h * zoom + GAP, w * zoom + GAP);
    let size = [tiles.len().div_ceil(columns) * high + GAP, columns * wide + GAP];
    let Colour(r, g, b) = Paint::Frame.light();
    let mut rgb: Vec<u8> = [r, g, b].into_iter().cycle().take(3 * size[0] * size[1]).collect();
    for (i, tile) in tiles.iter().enumerate() {
        let (top, left) = (GAP + i / columns * high, GAP + i % columns * wide);
        for (y, x) in (0..h * zoom).flat_map(|y| (0..w * zoom).map(move |x| (y, x))) {
            let Colour(r, g, b) = tile.at(y / zoom, x / zoom);
            let at = 3 * ((top + y) * size[1] + left + x);
            rgb[at..at + 3].copy_from_slice(&[r, g, b]);
        }
    }
    Bitmap::new([size[0], size[1], 3], &rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_of_every_tile_is_there() {
        let tile = |v: u8| Bitmap::new([2, 3, 1], &[v, v + 1, v + 2, v + 3, v + 4, v + 5]).unwrap();
        let all = mosaic(&[tile(0), tile(10), tile(20)], 2).unwrap();
        // Two rows need nine times the pixels to be 18 high.
        assert_eq!(all.size(), [2 * (18 + 2) + 2, 2 * (27 + 2) + 2]);
        assert_eq!(all.at(2, 2), Colour(0, 0, 0));
        assert_eq!(all.at(2 + 17, 2 + 26), Colour(5, 5, 5));
        assert_eq!(all.at(2, 2 + 29), Colour(10, 10, 10));
        assert_eq!(all.at(2 + 20, 2), Colour(20, 20, 20));
        let frame = Paint::Frame.light();
        assert_eq!([all.at(0, 0), all.at(20, 2), all.at(2 + 20, 2 + 29)], [frame; 3], "gaps, and no fourth tile");
    }

    #[test]
    fn what_makes_no_mosaic_is_refused() {
        let tile = |w: usize| Bitmap::new([1, w, 1], &vec![0; w]).unwrap();
        assert!(mosaic(&[], 3).unwrap_err().message().contains("0 bitmaps"));
        assert!(mosaic(&[tile(1)], 0).is_err());
        assert!(mosaic(&[tile(1), tile(2)], 1).unwrap_err().message().contains("[1, 2]"));
    }
}
