//! What the pictures of this module share.

use crate::data::Image;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::visual::{Bitmap, ColourMap, Range, short};

/// An image as a raster.
pub(super) fn bitmap(image: &Image) -> Result<Bitmap> {
    Bitmap::new(image.dims(), image.pixels())
}

/// Seconds for which a moment of an image that forms is shown.
pub(super) const MOMENT: f64 = 0.6;

/// How many steps are done, in words.
pub(super) fn after(steps: usize) -> String {
    format!("after {steps} step{}", if steps == 1 { "" } else { "s" })
}

/// The end of a long name, where names differ.
pub(super) fn cut(name: &str, most: usize) -> String {
    let len = name.chars().count();
    if len <= most { name.into() } else { format!("…{}", name.chars().skip(len + 1 - most).collect::<String>()) }
}

/// Numbers around 0, `[h, w, c]`, as an image: grey where they are 0; three channels as colours, others in the colours of
/// signed numbers (their sum, if there are several). The range says what the colours stand for.
pub(super) fn relief(pixels: &Tensor) -> Result<(Bitmap, Range)> {
    let &[h, w, c] = pixels.dims() else { return Err(Error::shape("pixels have the axes h, w, c")) };
    let sums: Vec<f32> =
        if c == 3 { pixels.data().to_vec() } else { pixels.data().chunks(c).map(|p| p.iter().sum()).collect() };
    // The few largest may be cut, so that one pixel does not leave all others grey.
    let high = Range::within(&sums, 0.998).high;
    let range = Range { low: -high, high, map: ColourMap::SIGNED };
    if c != 3 {
        return Ok((Bitmap::of_map([h, w], &sums, &range)?, range));
    }
    let bytes: Vec<u8> = sums.iter().map(|v| (255.0 * range.place(*v)).round() as u8).collect();
    Ok((Bitmap::new([h, w, 3], &bytes)?, range))
}

/// What the colours of [`relief`] mean, in words.
pub(super) fn relief_words(pixels: &Tensor, range: &Range) -> String {
    let high = short(range.high);
    match pixels.dims() {
        [_, _, 3] => format!("grey is 0, each colour from −{high} to {high}"),
        _ => format!("white is 0, blue to −{high}, red to {high}"),
    }
}
