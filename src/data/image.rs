//! Images as bytes `[h, w, c]`, grey or RGB: what files, cameras and data sets give.
//!
//! Files are decoded by [`decode`](super::decode), sizes changed by
//! [`resize`](super::resize); what a network is fed is made from an [`Image`] by
//! a [`Preprocess`](super::Preprocess).

use std::path::Path;

use super::decode;
use super::resize::{Area, Filter, resample};
use crate::error::{Error, Result};

/// An image of bytes `[h, w, c]`; `c` is 1 (grey) or 3 (RGB).
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    dims: [usize; 3],
    pixels: Vec<u8>,
}

impl Image {
    /// An image from its bytes `[h, w, c]`.
    ///
    /// # Errors
    /// A size is 0, `c` is neither 1 nor 3, or the number of bytes does not agree.
    pub fn new(dims: [usize; 3], pixels: Vec<u8>) -> Result<Self> {
        let [h, w, c] = dims;
        let len = h.checked_mul(w).and_then(|n| n.checked_mul(c));
        if h == 0 || w == 0 || (c != 1 && c != 3) {
            return Err(Error::shape(format!("an image cannot be {h}x{w} pixels with {c} channels"))
                .with_help("sizes are at least 1; channels are 1 (grey) or 3 (RGB)"));
        }
        if len != Some(pixels.len()) {
            return Err(Error::shape(format!("{} bytes do not fill an image of {h}x{w}x{c}", pixels.len())));
        }
        Ok(Self { dims, pixels })
    }

    /// Reads a PNG or JPEG file; the content decides which, not the name.
    ///
    /// # Errors
    /// As [`Image::decode`], or the file cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", &e))?;
        Self::decode(&bytes).map_err(|e| e.within(path.display()))
    }

    /// Decodes the bytes of a PNG or JPEG file.
    ///
    /// 16 bits a channel are rounded to 8, transparent pixels are laid over white, and the
    /// orientation that a camera notes in a JPEG (EXIF) is applied. Colour profiles are ignored.
    ///
    /// # Errors
    /// The bytes are empty, no PNG or JPEG, cut off or damaged, or the image has more than 100 megapixels.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        decode::decode(bytes)
    }

    /// Height, width and channels.
    pub fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// The bytes, row by row, the channels of a pixel side by side.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes alone.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The same image with `c` channels, 1 or 3.
    ///
    /// Grey is the luma of ITU-R BT.601, `0.299 r + 0.587 g + 0.114 b`, rounded; an RGB image
    /// whose channels are equal turns into that channel exactly.
    ///
    /// # Errors
    /// `c` is neither 1 nor 3.
    pub fn with_channels(self, c: usize) -> Result<Self> {
        let [h, w, have] = self.dims;
        let pixels = match (have, c) {
            _ if have == c => self.pixels,
            (3, 1) => self.pixels.chunks_exact(3).map(luma).collect(),
            (1, 3) => self.pixels.iter().flat_map(|v| [*v; 3]).collect(),
            _ => return Self::new([h, w, c], self.pixels),
        };
        Ok(Self { dims: [h, w, c], pixels })
    }

    /// The image at another size, stretched to it: bilinear, antialiased when it shrinks.
    ///
    /// The method is that of Pillow's `BILINEAR` and torchvision's `antialias=True`.
    ///
    /// # Errors
    /// A size is 0.
    pub fn resized(&self, h: usize, w: usize) -> Result<Self> {
        self.resized_area(Area::whole(h_w(self.dims)), [h, w], Filter::Bilinear)
    }

    /// A part of the image, stretched to `[h, w]`; bounds of the part may lie between pixels.
    ///
    /// # Errors
    /// A size is 0.
    pub(crate) fn resized_area(&self, area: Area, [h, w]: [usize; 2], filter: Filter) -> Result<Self> {
        let [ih, iw, c] = self.dims;
        if h == 0 || w == 0 {
            return Err(Error::shape(format!("an image cannot be resized to {h}x{w} pixels")));
        }
        if area == Area::whole([ih, iw]) && [ih, iw] == [h, w] {
            return Ok(self.clone());
        }
        let floats = resample(&self.pixels, self.dims, area, [h, w], filter);
        Ok(Self { dims: [h, w, c], pixels: floats.iter().map(|v| to_byte(*v)).collect() })
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image{:?}", self.dims)
    }
}

/// The nearest byte.
pub(crate) fn to_byte(v: f32) -> u8 {
    // A cast from f32 saturates, so only the rounding is ours.
    (v + 0.5) as u8
}

fn h_w([h, w, _]: [usize; 3]) -> [usize; 2] {
    [h, w]
}

// The weights sum to 65536, so grey stays what it is.
fn luma(rgb: &[u8]) -> u8 {
    let [r, g, b] = [u32::from(rgb[0]), u32::from(rgb[1]), u32::from(rgb[2])];
    ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_of_rgb_and_back() {
        let grey = Image::new([16, 16, 1], (0..=255).collect()).unwrap();
        let rgb = grey.clone().with_channels(3).unwrap();
        assert_eq!(rgb.dims(), [16, 16, 3]);
        assert_eq!(rgb.with_channels(1).unwrap(), grey);
        let primaries = Image::new([1, 3, 3], vec![255, 0, 0, 0, 255, 0, 0, 0, 255]).unwrap();
        assert_eq!(primaries.with_channels(1).unwrap().pixels(), [76, 150, 29]);
    }

    #[test]
    fn impossible_images_are_refused() {
        assert!(Image::new([0, 4, 1], vec![]).is_err());
        assert!(Image::new([1, 1, 2], vec![0; 2]).is_err());
        assert!(Image::new([2, 2, 1], vec![0; 5]).is_err());
        let one = Image::new([1, 1, 1], vec![9]).unwrap();
        assert!(one.resized(0, 3).is_err());
        assert!(one.clone().with_channels(4).is_err());
        assert_eq!(one.resized(2, 3).unwrap().pixels(), [9; 6]);
    }
}
