//! Numbers as pixels: what is shown of a layer, a kernel or a gradient, alone or over a photo.

use super::colour::{Colour, ColourBar, ColourMap};
use super::scene::Bitmap;
use crate::error::{Error, Result};

/// The range of numbers that a colour map stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// What the first colour stands for.
    pub low: f64,
    /// What the last colour stands for.
    pub high: f64,
    /// The colours.
    pub map: ColourMap,
}

impl Range {
    /// The range of all of these numbers: from 0 up in [`ColourMap::VIRIDIS`] where none is negative, else as far on
    /// both sides of 0 in [`ColourMap::SIGNED`]. What is not finite is passed over.
    pub fn of(values: &[f32]) -> Self {
        Self::within(values, 1.0)
    }

    /// As [`Range::of`], but the share `1 - part` of the largest numbers is shown as the end of the range.
    pub fn within(values: &[f32], part: f64) -> Self {
        let mut sizes: Vec<f32> = values.iter().filter(|v| v.is_finite()).map(|v| v.abs()).collect();
        sizes.sort_unstable_by(f32::total_cmp);
        let at = ((sizes.len() as f64 * part).ceil() as usize).clamp(1, sizes.len().max(1)) - 1;
        // A map of zeros has a range too.
        let largest = sizes.get(at).copied().filter(|v| *v > 0.0).or(sizes.last().copied());
        let high = largest.map(f64::from).filter(|v| *v > 0.0).unwrap_or(1.0);
        if values.iter().any(|v| *v < 0.0) {
            Self { low: -high, high, map: ColourMap::SIGNED }
        } else {
            Self { low: 0.0, high, map: ColourMap::VIRIDIS }
        }
    }

    /// From the smallest to the largest number, in greys.
    pub fn grey(values: &[f32]) -> Self {
        let finite = || values.iter().copied().filter(|v| v.is_finite()).map(f64::from);
        let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        let (low, high) = if low < high { (low, high) } else { (0.0, high.max(1.0)) };
        Self { low, high, map: ColourMap::GREYS }
    }

    /// Where a number lies in the range, from 0 to 1.
    pub fn place(&self, v: f32) -> f64 {
        ((f64::from(v) - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The bar that explains the colours, its ends (and a zero between them) marked.
    pub fn bar(&self, label: impl Into<String>) -> ColourBar {
        let mut marks = vec![(0.0, short(self.low)), (1.0, short(self.high))];
        if self.low < 0.0 && self.high > 0.0 {
            marks.insert(1, (-self.low / (self.high - self.low), "0".into()));
        }
        ColourBar { map: self.map, marks, label: label.into() }
    }
}

/// A number with three digits that count, as in a label.
pub fn short(v: f64) -> String {
    let size = v.abs();
    if v == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{v:.1e}").replace('-', "\u{2212}");
    }
    let decimals = (2 - libm::floor(libm::log10(size)) as i32).clamp(0, 5) as usize;
    let text = format!("{v:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.replace('-', "\u{2212}")
}

impl Bitmap {
    /// A raster from bytes: 1 channel (grey) or 3 (red, green, blue), rows from the top.
    ///
    /// # Errors
    /// The number of bytes does not agree.
    pub fn new([height, width, channels]: [usize; 3], pixels: &[u8]) -> Result<Self> {
        let wanted = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        if !matches!(channels, 1 | 3) || pixels.is_empty() || wanted != Some(pixels.len()) {
            return Err(Error::shape(format!(
                "{} bytes do not make {height} x {width} pixels of {channels} channels",
                pixels.len()
            )));
        }
        let rgb = if channels == 3 { pixels.to_vec() } else { pixels.iter().flat_map(|v| [*v; 3]).collect() };
        Ok(Self { width, height, rgb })
    }

    /// A map of numbers in the colours of a range, rows from the top.
    ///
    /// # Errors
    /// The number of values does not agree.
    pub fn of_map([height, width]: [usize; 2], values: &[f32], range: &Range) -> Result<Self> {
        let rgb: Vec<u8> = values.iter().flat_map(|v| bytes(range.map.at(range.place(*v)))).collect();
        Self::new([height, width, 3], &rgb)
    }

    /// Height and width in pixels.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Red, green and blue of each pixel, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.rgb
    }

    /// The colour of a pixel.
    pub fn at(&self, y: usize, x: usize) -> Colour {
        let at = 3 * (y * self.width + x);
        Colour(self.rgb[at], self.rgb[at + 1], self.rgb[at + 2])
    }

    /// A rectangle of it; what lies outside is left out.
    #[must_use]
    pub fn part(&self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Self {
        let clip =
            |r: std::ops::Range<usize>, len: usize| r.start.min(len - 1)..r.end.clamp(r.start.min(len - 1) + 1, len);
        let (rows, columns) = (clip(rows, self.height), clip(columns, self.width));
        let row = |y: usize| self.rgb[3 * (y * self.width + columns.start)..3 * (y * self.width + columns.end)].iter();
        let rgb = rows.clone().flat_map(row).copied().collect();
        Self { width: columns.len(), height: rows.len(), rgb }
    }

    /// The photo in pale grey with a map over it, the stronger the number the more of its colour.
    ///
    /// # Errors
    /// The map has not as many values as there are pixels.
    pub fn overlaid(&self, values: &[f32], range: &Range) -> Result<Self> {
        if values.len() != self.width * self.height {
            let [h, w] = self.size();
            return Err(Error::shape(format!("a map of {} values does not lie over {h} x {w} pixels", values.len())));
        }
        let signed = range.low < 0.0;
        let mixed = self.rgb.chunks_exact(3).zip(values).flat_map(|(p, v)| {
            let luma = 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
            // Pale, so that neither end of a map is lost on it.
            let grey = (70.0 + luma * 0.65) as u8;
            let place = range.place(*v);
            let size = if signed { (2.0 * place - 1.0).abs() } else { place };
            bytes(Colour(grey, grey, grey).mix(range.map.at(place), 0.85 * size))
        });
        Ok(Self { width: self.width, height: self.height, rgb: mixed.collect() })
    }
}

fn bytes(Colour(r, g, b): Colour) -> [u8; 3] {
    [r, g, b]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_numbers_and_keep_zero_in_the_middle() {
        let signed = Range::of(&[-1.0, 0.0, 4.0]);
        assert_eq!((signed.low, signed.high, signed.place(0.0)), (-4.0, 4.0, 0.5));
        let plain = Range::of(&[0.0, 2.0, f32::NAN]);
        assert_eq!((plain.low, plain.high, plain.place(1.0)), (0.0, 2.0, 0.5));
        let zeros = Range::of(&[0.0; 4]);
        assert_eq!((zeros.low, zeros.high), (0.0, 1.0));
        let mut values = vec![1.0; 99];
        values.push(100.0);
        assert_eq!(Range::within(&values, 0.99).high, 1.0);
        let grey = Range::grey(&[3.0, 5.0, 4.0]);
        assert_eq!((grey.place(3.0), grey.place(4.0), grey.place(5.0)), (0.0, 0.5, 1.0));
    }

    #[test]
    fn labels_are_short() {
        let all = [0.0, 1.0, -2.5, 123.456, 0.012_345, 1e-7, 99_999.9].map(short);
        assert_eq!(all, ["0", "1", "−2.5", "123", "0.0123", "1.0e−7", "100000"]);
    }

    #[test]
    fn a_map_over_a_photo_leaves_zeros_grey_and_paints_the_rest() {
        let photo = Bitmap::new([1, 2, 3], &[200, 10, 10, 10, 200, 10]).unwrap();
        let over = photo.overlaid(&[0.0, 1.0], &Range::of(&[0.0, 1.0])).unwrap();
        let Colour(r, g, b) = over.at(0, 0);
        assert!(r == g && g == b, "no colour where there is nothing");
        assert!(over.at(0, 1).0 > over.at(0, 1).2, "yellow where the map is largest");
        assert!(photo.overlaid(&[0.0], &Range::of(&[0.0])).is_err());
        assert_eq!(photo.part(0..9, 1..9).size(), [1, 1]);
        assert_eq!(photo.part(0..1, 1..2).at(0, 0), Colour(10, 200, 10));
    }
}
