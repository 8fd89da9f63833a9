//! Occlusion: a square of the baseline moves over the image, and each pixel gets the mean fall of the score over all
//! squares that covered it.
//!
//! Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, arXiv:1311.2901.

use super::Look;
use crate::error::{Error, Result};
use crate::inspect::score::Scorer;
use crate::tensor::Tensor;

/// The map; `score` is that of the whole image.
pub(super) fn map(look: &Look<'_>, scorer: &mut Scorer, score: f32) -> Result<Tensor> {
    let [h, w, c] = look.dims;
    let side = match look.config.window {
        0 => (h.min(w) / 8).max(1),
        side if side <= h.min(w) => side,
        side => {
            return Err(Error::argument(format!("a square of {side} pixels is larger than the image, {h} x {w}"))
                .with_help("give a few pixels, such as an eighth of its height"));
        }
    };
    let places = |len: usize| -> Vec<usize> {
        let mut all: Vec<usize> = (0..=len - side).step_by((side / 2).max(1)).collect();
        if all.last() != Some(&(len - side)) {
            all.push(len - side);
        }
        all
    };
    let squares: Vec<[usize; 2]> = places(h).iter().flat_map(|y| places(w).into_iter().map(|x| [*y, x])).collect();
    let (mut fall, mut count) = (vec![0.0_f64; h * w], vec![0_u32; h * w]);
    // A few at a time, so that a large image does not take much memory.
    for some in squares.chunks(8) {
        let covered: Vec<f32> = some.iter().flat_map(|square| cover(look, *square, side)).collect();
        for (&[top, left], after) in some.iter().zip(scorer.logits(&covered, look.class)?) {
            for pixel in (top..top + side).flat_map(|y| (left..left + side).map(move |x| y * w + x)) {
                fall[pixel] += f64::from(score) - f64::from(after);
                count[pixel] += 1;
            }
        }
    }
    let mean = fall.iter().zip(&count).map(|(fall, n)| (fall / f64::from(*n)) as f32);
    debug_assert_eq!(look.x.len(), h * w * c);
    Tensor::new(&[h, w], mean.collect())
}

fn cover(look: &Look<'_>, [top, left]: [usize; 2], side: usize) -> Vec<f32> {
    let [_, w, c] = look.dims;
    let mut x = look.x.to_vec();
    for y in top..top + side {
        let row = &mut x[(y * w + left) * c..(y * w + left + side) * c];
        row.chunks_mut(c).for_each(|pixel| pixel.copy_from_slice(&look.baseline));
    }
    x
}
