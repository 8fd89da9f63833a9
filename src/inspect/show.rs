//! What the pictures of this module share.

use crate::data::Image;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::visual::{Bitmap, ColourMap, Range};

/// An image as a raster.
pub(super) fn bitmap(image: &Image) -> Result<Bitmap> {
    Bitmap::new(image.dims(), image.pixels())
}

/// The end of a long name, where names differ.
pub(super) fn cut(name: &str, most: usize) -> String {
    let len = name.chars().count();
    if len <= most { name.into() } else { format!("…{}", name.chars().skip(len + 1 - most).collect::<String>()) }
}

/// Numbers around 0, `[h, w, c]`, as an image: grey where they are 0; three channels as colours, others in the colours of
/// signed numbers (their sum, if there are several).
pub(super) fn relief(pixels: &Tensor) -> Result<Bitmap> {
    let &[h, w, c] = pixels.dims() else { return Err(Error::shape("pixels have the axes h, w, c")) };
    let sums: Vec<f32> =
        if c == 3 { pixels.data().to_vec() } else { pixels.data().chunks(c).map(|p| p.iter().sum()).collect() };
    // The few largest may be cut, so that one pixel does not leave all others grey.
    let high = Range::within(&sums, 0.998).high;
    let range = Range { low: -high, high, map: ColourMap::SIGNED };
    if c != 3 {
        return Bitmap::of_map([h, w], &sums, &range);
    }
    let bytes: Vec<u8> = sums.iter().map(|v| (255.0 * range.place(*v)).round() as u8).collect();
    Bitmap::new([h, w, 3], &bytes)
}
