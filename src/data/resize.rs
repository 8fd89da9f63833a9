//! Resizing: bilinear or bicubic interpolation, antialiased when an image gets smaller.
//!
//! Each axis is resampled on its own, first the rows, then the columns. Output
//! `i` of an axis lies at `centre = start + (i + 1/2) * step` in the source,
//! `step = source / output`, and is the mean of the source pixels `j` weighted by
//! a triangle of half-width `reach = max(step, 1)`:
//!
//! ```text
//! weight(j) ~ max(0, 1 - |j + 1/2 - centre| / reach)
//! ```
//!
//! That is bilinear interpolation when an image grows, and a low-pass filter when
//! it shrinks, as Pillow's `BILINEAR` and torchvision's `antialias=True` do it.
//! Bicubic interpolation has Keys' cubic in place of the triangle, with `a = -1/2`
//! and twice the half-width, as Pillow's `BICUBIC`; it may leave the range of its source.
//! Source: Keys, 1981, doi:10.1109/TASSP.1981.1163711.
//! All sums have one order, so the result is the same on every machine.

use serde::{Deserialize, Serialize};

/// A rectangle of an image, in pixels; its bounds may lie between pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub top: f32,
    pub left: f32,
    pub h: f32,
    pub w: f32,
}

impl Area {
    /// All of an image of `[h, w]` pixels.
    pub fn whole([h, w]: [usize; 2]) -> Self {
        Self { top: 0.0, left: 0.0, h: h as f32, w: w as f32 }
    }
}

/// How the pixels around a place are weighted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// A triangle over the two nearest pixels.
    #[default]
    Bilinear,
    /// A cubic over the four nearest pixels: sharper.
    Bicubic,
}

impl Filter {
    // The half-width, in pixels of the coarser image.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    // The weight at this distance, in pixels of the coarser image.
    fn weight(self, distance: f64) -> f64 {
        let d = distance.abs();
        match self {
            Self::Bilinear => (1.0 - d).max(0.0),
            Self::Bicubic if d < 1.0 => (1.5 * d - 2.5) * d * d + 1.0,
            Self::Bicubic if d < 2.0 => ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0,
            Self::Bicubic => 0.0,
        }
    }
}

/// The part `area` of an image `[h, w, c]`, resampled to `[oh, ow]` pixels.
pub(crate) fn resample<T: Copy + Into<f32>>(
    x: &[T],
    [h, w, c]: [usize; 3],
    area: Area,
    [oh, ow]: [usize; 2],
    filter: Filter,
) -> Vec<f32> {
    let rows = resample_rows(x, w * c, &taps(filter, [h, oh], area.top, area.h));
    resample_columns(&rows, [oh, w, c], &taps(filter, [w, ow], area.left, area.w))
}

/// The source pixels of one output pixel: the first, and the weights from there on.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

fn taps(filter: Filter, [source, output]: [usize; 2], start: f32, len: f32) -> Vec<Taps> {
    let step = f64::from(len) / output as f64;
    let scale = step.max(1.0);
    let reach = filter.support() * scale;
    (0..output)
        .map(|i| {
            let centre = f64::from(start) + (i as f64 + 0.5) * step;
            let first = ((centre - reach).max(0.0) as usize).min(source - 1);
            let end = ((centre + reach).ceil().max(0.0) as usize).clamp(first + 1, source);
            let weight = |j: usize| filter.weight((j as f64 + 0.5 - centre) / scale);
            normalised(first, (first..end).map(weight).collect())
        })
        .collect()
}

// Beside the image every weight is 0; the nearest pixel stands in then.
fn normalised(first: usize, weights: Vec<f64>) -> Taps {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return Taps { first, weights: vec![1.0] };
    }
    Taps { first, weights: weights.iter().map(|w| (w / sum) as f32).collect() }
}

fn resample_rows<T: Copy + Into<f32>>(x: &[T], row: usize, taps: &[Taps]) -> Vec<f32> {
    let mut y = vec![0.0; taps.len() * row];
    for (out, tap) in y.chunks_exact_mut(row).zip(taps) {
        for (source, weight) in x[tap.first * row..].chunks_exact(row).zip(&tap.weights) {
            for (o, s) in out.iter_mut().zip(source) {
                *o += weight * (*s).into();
            }
        }
    }
    y
}

fn resample_columns(x: &[f32], [h, w, c]: [usize; 3], taps: &[Taps]) -> Vec<f32> {
    let mut y = vec![0.0; h * taps.len() * c];
    for (source, out) in x.chunks_exact(w * c).zip(y.chunks_exact_mut(taps.len() * c)) {
        for (pixel, tap) in out.chunks_exact_mut(c).zip(taps) {
            for (s, weight) in source[tap.first * c..].chunks_exact(c).zip(&tap.weights) {
                pixel.iter_mut().zip(s).for_each(|(o, v)| *o += weight * v);
            }
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(x: &[u8], dims: [usize; 3], out: [usize; 2]) -> Vec<f32> {
        resample(x, dims, Area::whole([dims[0], dims[1]]), out, Filter::Bilinear)
    }

    #[test]
    fn growing_interpolates_between_centres() {
        // Centres of the output lie at 0.25, 0.75, 1.25, 1.75 of the source.
        assert_eq!(whole(&[0, 100], [1, 2, 1], [1, 4]), [0.0, 25.0, 75.0, 100.0]);
    }

    #[test]
    fn shrinking_weighs_all_pixels_by_a_triangle() {
        // Half-width 2 around 1 and 3: weights 1 3 3 1 over 8, the borders cut to 3 3 1 over 7.
        let y = whole(&[7, 14, 21, 28], [4, 1, 1], [2, 1]);
        let expect = [(3.0 * 7.0 + 3.0 * 14.0 + 21.0) / 7.0, (14.0 + 3.0 * 21.0 + 3.0 * 28.0) / 7.0];
        y.iter().zip(expect).for_each(|(a, b)| assert!((a - b).abs() < 1e-4, "{a} {b}"));
    }

    #[test]
    fn a_constant_stays_and_channels_stay_apart() {
        let x: Vec<u8> = (0..35).flat_map(|_| [10, 20, 30]).collect();
        for out in [[1, 1], [3, 11], [50, 2]] {
            for pixel in whole(&x, [5, 7, 3], out).chunks_exact(3) {
                pixel.iter().zip([10.0, 20.0, 30.0]).for_each(|(a, b)| assert!((a - b).abs() < 1e-4));
            }
        }
    }

    #[test]
    fn a_fine_pattern_does_not_alias() {
        let x: Vec<u8> = (0..64 * 64).map(|i| if (i / 64 + i % 64) % 2 == 0 { 255 } else { 0 }).collect();
        assert!(whole(&x, [64, 64, 1], [9, 9]).iter().all(|v| (v - 127.5).abs() < 3.0));
    }

    #[test]
    fn the_cubic_goes_through_its_points_and_has_its_weights_between_them() {
        let x = [0_u8, 0, 64, 0, 0];
        let y = resample(&x, [1, 5, 1], Area::whole([1, 5]), [1, 10], Filter::Bicubic);
        // Distances 1.75, 1.25, 0.75, 0.25 from the centre of the third pixel.
        let weights = [-0.0234375, -0.0703125, 0.2265625, 0.8671875];
        for (got, weight) in y[1..5].iter().zip(weights) {
            assert!((got - 64.0 * weight).abs() < 0.2, "{got} {}", 64.0 * weight);
        }
        assert_eq!(resample(&x, [1, 5, 1], Area::whole([1, 5]), [1, 5], Filter::Bicubic), [0.0, 0.0, 64.0, 0.0, 0.0]);
    }

    #[test]
    fn an_area_is_cut_out_exactly() {
        let x: Vec<u8> = (0..30).collect();
        let area = Area { top: 1.0, left: 2.0, h: 3.0, w: 2.0 };
        let y = resample(&x, [5, 6, 1], area, [3, 2], Filter::Bilinear);
        assert_eq!(y, [8.0, 9.0, 14.0, 15.0, 20.0, 21.0]);
    }
}
