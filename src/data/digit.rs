//! A photo or scan of one handwritten digit, made like the images of MNIST.
//!
//! The steps, for an image of any size and colour:
//!
//! 1. grey, and at most 256 pixels on the longer side, which averages camera noise away;
//! 2. ground: a plane through the medians of the four borders, so a slant of the light does not matter;
//! 3. ink: what differs from the ground, on the side (darker or lighter) that differs more in sum;
//! 4. dirt: connected spots with less than a twentieth of the mass of the largest one are dropped;
//! 5. the box around the rest, its longer side scaled to 20/28 of the field;
//! 6. the field, 28x28, with the centre of mass in its middle.
//!
//! The ink is stretched so that strokes are white (255), as NIST's scans of
//! pencil were. An image that has the field's size and lies on pure black is
//! taken as made already, and comes back unchanged, byte for byte.
//!
//! Limits: the digit should fill at least a tenth of the photo's longer side, and
//! the paper all of its border.
//!
//! Source of steps 5 and 6: Y. LeCun, "The MNIST database": digits "size
//! normalized to fit in a 20x20 pixel box while preserving their aspect ratio",
//! then "centered in a 28x28 image by computing the center of mass of the pixels".

use super::image::{Image, to_byte};
use super::preprocess::fitted;
use super::resize::{Area, Filter, resample};
use crate::error::{Error, ErrorKind, Result};

const WORK_SIDE: usize = 256;
// Less contrast than this, of 255, is taken for an empty sheet.
const MIN_CONTRAST: f32 = 24.0;
// Ink differs from the ground by this part of the darkest stroke, and by this many deviations of the noise.
const INK_PART: f32 = 0.2;
const INK_DEVIATIONS: f32 = 4.0;
const DIRT_PART: f32 = 0.05;

/// The digit of `image` in a field of `[h, w]` pixels, light on dark.
pub(crate) fn prepare(image: &Image, [h, w]: [usize; 2]) -> Result<Image> {
    let grey = image.clone().with_channels(1)?;
    if grey.dims() == [h, w, 1]
        && let Some(made) = already_made(&grey)
    {
        return Ok(made);
    }
    let mut plane = Plane::of(&grey);
    let noise = plane.lift_ink();
    let peak = plane.values.iter().fold(0.0_f32, |a, b| a.max(*b));
    if peak < MIN_CONTRAST.max(1.5 * INK_DEVIATIONS * noise) {
        return Err(blank(peak));
    }
    let threshold = (INK_PART * peak).max(INK_DEVIATIONS * noise);
    let area = plane.clean(threshold).ok_or_else(|| blank(peak))?;
    plane.stretch(threshold);
    plane.placed(area, [h, w])
}

fn blank(contrast: f32) -> Error {
    Error::new(ErrorKind::Format, format!("no digit can be seen: the contrast is {contrast:.0} of 255"))
        .with_help("give the photo of one digit, darker or lighter than its ground")
}

// An image on pure black as it is, one on pure white inverted; nothing for any other, or for an empty one.
fn already_made(grey: &Image) -> Option<Image> {
    let [h, w, _] = grey.dims();
    let mut border: Vec<u8> = ring(h, w, 1).map(|i| grey.pixels()[i]).collect();
    border.sort_unstable();
    let flip = match border[border.len() / 2] {
        0 => 0,
        255 => 255,
        _ => return None,
    };
    let pixels: Vec<u8> = grey.pixels().iter().map(|v| v ^ flip).collect();
    let contrast = pixels.iter().max().copied().unwrap_or(0);
    (f32::from(contrast) >= MIN_CONTRAST).then(|| Image::new([h, w, 1], pixels).ok()).flatten()
}

// The indices of a border `thick` pixels wide.
fn ring(h: usize, w: usize, thick: usize) -> impl Iterator<Item = usize> {
    let inside = move |i: usize, n: usize| i >= thick && i + thick < n;
    (0..h * w).filter(move |i| !(inside(i / w, h) && inside(i % w, w)))
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

// The one nearer to 0 of two numbers of the same sign, else 0.
fn smaller(a: f32, b: f32) -> f32 {
    if a * b <= 0.0 {
        return 0.0;
    }
    if a.abs() < b.abs() { a } else { b }
}

/// One channel of f32, `[h, w]`.
struct Plane {
    h: usize,
    w: usize,
    values: Vec<f32>,
}

impl Plane {
    fn of(grey: &Image) -> Self {
        let [h, w, _] = grey.dims();
        let size = if h.max(w) > WORK_SIDE { fitted([h, w], [WORK_SIDE; 2]) } else { [h, w] };
        let values = resample(grey.pixels(), grey.dims(), Area::whole([h, w]), size, Filter::Bilinear);
        Self { h: size[0], w: size[1], values }
    }

    /// Subtracts the ground and makes the ink positive, all else 0; returns the deviation of the border's noise.
    fn lift_ink(&mut self) -> f32 {
        self.subtract_ground();
        let sum = |sign: f32| self.values.iter().map(|v| (sign * v).max(0.0)).sum::<f32>();
        let sign = if sum(-1.0) > sum(1.0) { -1.0 } else { 1.0 };
        // The median of absolute values times 1.4826 estimates the deviation, and ink at the border hardly moves it.
        let noise = 1.4826 * median(self.border().map(|i| self.values[i].abs()).collect());
        self.values.iter_mut().for_each(|v| *v = (sign * *v).max(0.0));
        noise
    }

    fn border(&self) -> impl Iterator<Item = usize> + use<> {
        ring(self.h, self.w, (self.h.min(self.w) / 32).max(1))
    }

    fn subtract_ground(&mut self) {
        let (h, w) = (self.h, self.w);
        let side =
            |keep: &dyn Fn(usize) -> bool| median(self.border().filter(|i| keep(*i)).map(|i| self.values[i]).collect());
        let level = side(&|_| true);
        // Light that slants changes both sides alike; a side covered by ink differs alone, and makes no slope.
        let slope =
            |far: f32, near: f32, n: usize| 2.0 * smaller(far - level, level - near) / (n as f32 - 1.0).max(1.0);
        let down = slope(side(&|i| i / w == h - 1), side(&|i| i / w == 0), h);
        let right = slope(side(&|i| i % w == w - 1), side(&|i| i % w == 0), w);
        let (cy, cx) = ((h as f32 - 1.0) / 2.0, (w as f32 - 1.0) / 2.0);
        for (i, v) in self.values.iter_mut().enumerate() {
            *v -= level + down * ((i / w) as f32 - cy) + right * ((i % w) as f32 - cx);
        }
    }

    /// Sets dirt to 0 and returns the box around the rest.
    fn clean(&mut self, threshold: f32) -> Option<Area> {
        let spots = self.spots(threshold);
        let mass = |spot: &[usize]| spot.iter().map(|i| self.values[*i]).sum::<f32>();
        let masses: Vec<f32> = spots.iter().map(|s| mass(s)).collect();
        let largest = masses.iter().fold(0.0_f32, |a, b| a.max(*b));
        let (mut kept, mut dirt) = (Vec::new(), Vec::new());
        for (spot, mass) in spots.into_iter().zip(masses) {
            if mass >= DIRT_PART * largest { kept.extend(spot) } else { dirt.extend(spot) }
        }
        dirt.iter().for_each(|i| self.values[*i] = 0.0);
        let (top, bottom) = (kept.iter().map(|i| i / self.w).min()?, kept.iter().map(|i| i / self.w).max()?);
        let (left, right) = (kept.iter().map(|i| i % self.w).min()?, kept.iter().map(|i| i % self.w).max()?);
        let [top, left, h, w] = [top, left, bottom - top + 1, right - left + 1].map(|v| v as f32);
        Some(Area { top, left, h, w })
    }

    /// The connected sets of pixels above the threshold; pixels touch at edges and corners.
    fn spots(&self, threshold: f32) -> Vec<Vec<usize>> {
        let mut free: Vec<bool> = self.values.iter().map(|v| *v > threshold).collect();
        let mut spots = Vec::new();
        for start in 0..free.len() {
            if !std::mem::take(&mut free[start]) {
                continue;
            }
            let mut spot = vec![start];
            let mut next = 0;
            while let Some(at) = spot.get(next).copied() {
                let fresh = self.neighbours(at).filter(|i| std::mem::take(&mut free[*i]));
                spot.extend(fresh);
                next += 1;
            }
            spots.push(spot);
        }
        spots
    }

    fn neighbours(&self, at: usize) -> impl Iterator<Item = usize> + use<> {
        let (h, w, y, x) = (self.h, self.w, at / self.w, at % self.w);
        let rows = y.saturating_sub(1)..(y + 2).min(h);
        rows.flat_map(move |row| (x.saturating_sub(1)..(x + 2).min(w)).map(move |column| row * w + column))
    }

    /// Makes strokes 255 and what is fainter than half the threshold 0.
    fn stretch(&mut self, threshold: f32) {
        let ink: Vec<f32> = self.values.iter().copied().filter(|v| *v > threshold).collect();
        let stroke = median(ink);
        let strong = median(self.values.iter().copied().filter(|v| *v >= stroke).collect());
        let fade = |v: f32| ((v - threshold / 2.0) / (threshold / 2.0)).clamp(0.0, 1.0);
        self.values.iter_mut().for_each(|v| *v = (*v * fade(*v) * 255.0 / strong).min(255.0));
    }

    /// The area, its longer side 20/28 of the field, in the field with its centre of mass in the middle.
    fn placed(&self, area: Area, [h, w]: [usize; 2]) -> Result<Image> {
        let side = ((20 * h.min(w) + 14) / 28).max(1);
        let [ih, iw] = fitted([area.h as usize, area.w as usize], [side; 2]);
        let digit = resample(&self.values, [self.h, self.w, 1], area, [ih, iw], Filter::Bilinear);
        let (cy, cx) = centre_of_mass(&digit, iw);
        let top = start(h, ih, cy);
        let left = start(w, iw, cx);
        let mut pixels = vec![0; h * w];
        for (i, v) in digit.iter().enumerate() {
            pixels[(top + i / iw) * w + left + i % iw] = to_byte(*v);
        }
        Image::new([h, w, 1], pixels)
    }
}

// Where a digit of `len` pixels begins, so that its centre of mass lies in the middle of pixel `field / 2`, as those of
// MNIST do (their mean is 14.49 down and 14.51 right of the corner), yet all of it inside.
fn start(field: usize, len: usize, centre: f32) -> usize {
    let at = ((field / 2) as f32 + 0.5 - centre).round().max(0.0) as usize;
    at.min(field - len)
}

// In pixels from the upper left corner; the first pixel's centre is at 1/2.
fn centre_of_mass(values: &[f32], w: usize) -> (f32, f32) {
    let mass: f32 = values.iter().sum();
    let moment = |at: &dyn Fn(usize) -> usize| {
        values.iter().enumerate().map(|(i, v)| v * (at(i) as f32 + 0.5)).sum::<f32>() / mass
    };
    (moment(&|i| i / w), moment(&|i| i % w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::data::decode::tests::{encode_jpeg, encode_png};
    use crate::data::mnist;
    use crate::data::set::ImageSet;
    use crate::rng::Rng;

    const DIGITS: usize = 25;

    /// How a digit is photographed.
    #[derive(Debug, Clone, Copy)]
    struct Photo {
        size: [usize; 2],
        // Where the 28x28 field goes and how large it gets.
        at: [usize; 2],
        field: usize,
        ground: [f32; 3],
        ink: [f32; 3],
        noise: f32,
        slant: f32,
    }

    const SCAN: Photo =
        Photo { size: [300, 300], at: [10, 10], field: 280, ground: [255.0; 3], ink: [0.0; 3], noise: 0.0, slant: 0.0 };

    impl Photo {
        fn take(&self, digit: &[u8], rng: &mut Rng) -> Image {
            let large = resample(digit, [28, 28, 1], Area::whole([28, 28]), [self.field; 2], Filter::Bilinear);
            let [h, w] = self.size;
            let mut pixels = Vec::with_capacity(h * w * 3);
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                let (dy, dx) = (y.wrapping_sub(self.at[0]), x.wrapping_sub(self.at[1]));
                let inside = dy < self.field && dx < self.field;
                let alpha = if inside { large[dy * self.field + dx] / 255.0 } else { 0.0 };
                let light = self.slant * (x as f32 / w as f32 - 0.5)
                    + if self.noise > 0.0 { self.noise * rng.normal() as f32 } else { 0.0 };
                let colour = |i: usize| self.ground[i] * (1.0 - alpha) + self.ink[i] * alpha + light;
                pixels.extend((0..3).map(|i| to_byte(colour(i))));
            }
            Image::new([h, w, 3], pixels).unwrap()
        }
    }

    fn difference(a: &[u8], b: &[u8]) -> f32 {
        a.iter().zip(b).map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>() / a.len() as f32
    }

    // The mean absolute difference, in levels of 255, of digits photographed and prepared, to the digits themselves.
    fn mean_difference(set: &ImageSet, photo: Photo, store: impl Fn(&Image) -> Vec<u8>) -> f32 {
        let mut rng = Rng::new(4);
        let one = |i: usize| {
            let file = store(&photo.take(set.bytes(i), &mut rng));
            let made = prepare(&Image::decode(&file).unwrap(), [28, 28]).unwrap();
            difference(made.pixels(), set.bytes(i))
        };
        (0..DIGITS).map(one).sum::<f32>() / DIGITS as f32
    }

    fn jpeg(image: &Image) -> Vec<u8> {
        encode_jpeg(image, false, None)
    }

    fn png(image: &Image) -> Vec<u8> {
        encode_png(image.dims(), png::BitDepth::Eight, image.pixels())
    }

    #[test]
    fn photos_of_digits_come_back_close_to_the_digits() {
        let set = mnist::test().unwrap();
        let blue = Photo {
            size: [300, 200],
            at: [80, 12],
            field: 170,
            ground: [235.0, 230.0, 215.0],
            ink: [20.0, 40.0, 120.0],
            ..SCAN
        };
        let photos = [
            ("scan", SCAN),
            ("light on dark", Photo { ground: [0.0; 3], ink: [255.0; 3], ..SCAN }),
            ("blue on paper, off centre", blue),
            ("noise", Photo { noise: 12.0, ..blue }),
            ("slanted light", Photo { slant: 90.0, ground: [170.0; 3], ink: [40.0; 3], ..blue }),
            ("faint pencil, small", Photo { field: 100, at: [20, 80], ink: [150.0; 3], noise: 3.0, ..blue }),
            ("tiny", Photo { size: [60, 50], at: [8, 5], field: 40, ..blue }),
        ];
        for (name, photo) in photos {
            let (png, jpeg) = (mean_difference(&set, photo, png), mean_difference(&set, photo, jpeg));
            assert!(png < 10.0 && jpeg < 10.0, "{name}: PNG {png}, JPEG {jpeg}");
        }
        // What the bound is worth: the digits moved by one pixel differ more, an empty field three times as much.
        let moved = |i: usize| {
            let mut digit = set.bytes(i).to_vec();
            digit.rotate_right(1);
            difference(&digit, set.bytes(i))
        };
        assert!((0..DIGITS).map(moved).sum::<f32>() / DIGITS as f32 > 14.0);
        assert!((0..DIGITS).map(|i| difference(&[0; 784], set.bytes(i))).sum::<f32>() / DIGITS as f32 > 27.0);
    }

    #[test]
    fn what_mnist_holds_passes_unchanged_to_the_byte() {
        let set = mnist::test().unwrap();
        for i in 0..set.len() {
            let made = prepare(&set.image(i).unwrap(), [28, 28]).unwrap();
            assert_eq!(made.pixels(), set.bytes(i), "test digit {i}");
        }
        let digit = set.image(3).unwrap();
        let rgb = digit.clone().with_channels(3).unwrap();
        let inverted = Image::new([28, 28, 1], digit.pixels().iter().map(|v| 255 - v).collect()).unwrap();
        let alpha: Vec<u8> = digit.pixels().iter().flat_map(|v| [0, 0, 0, *v]).collect();
        let wide: Vec<u8> = digit.pixels().iter().flat_map(|v| [*v; 2]).collect();
        let files = [
            png(&rgb),
            png(&inverted),
            encode_png([28, 28, 4], png::BitDepth::Eight, &alpha),
            encode_png([28, 28, 1], png::BitDepth::Sixteen, &wide),
        ];
        for file in files {
            assert_eq!(prepare(&Image::decode(&file).unwrap(), [28, 28]).unwrap(), digit);
        }
    }

    #[test]
    fn a_sheet_without_a_digit_is_refused() {
        let mut rng = Rng::new(8);
        let noisy = Photo { noise: 10.0, ground: [200.0; 3], field: 1, ..SCAN }.take(&[0; 784], &mut rng);
        let flat = |h, w, v| Image::new([h, w, 1], vec![v; h * w]).unwrap();
        for image in [noisy, flat(28, 28, 0), flat(28, 28, 255), flat(100, 80, 128), flat(1, 1, 7), flat(1, 300, 7)] {
            let e = prepare(&image, [28, 28]).unwrap_err();
            assert!(e.message().contains("no digit can be seen"), "{image:?}: {e}");
        }
    }

    #[test]
    fn dirt_does_not_move_the_digit() {
        let set = mnist::test().unwrap();
        let clean = SCAN.take(set.bytes(0), &mut Rng::new(0));
        let mut pixels = clean.pixels().to_vec();
        for (y, x) in [(3, 290), (4, 290), (295, 5), (150, 2)] {
            pixels[(y * 300 + x) * 3..][..3].fill(0);
        }
        let dirty = Image::new([300, 300, 3], pixels).unwrap();
        let (clean, dirty) = (prepare(&clean, [28, 28]).unwrap(), prepare(&dirty, [28, 28]).unwrap());
        assert!(difference(clean.pixels(), dirty.pixels()) < 0.5);
    }

    #[test]
    fn odd_shapes_of_ink_and_field_stay_inside() {
        // A line along one border, a dot in a corner, and a field that is not square.
        for (h, w, ink) in [(40, 40, 0..40), (9, 70, 0..1), (5, 5, 24..25)] {
            let pixels = (0..h * w).map(|i| if ink.contains(&i) { 250 } else { 3 }).collect();
            let image = Image::new([h, w, 1], pixels).unwrap();
            for field in [[28, 28], [10, 40], [1, 1]] {
                let made = prepare(&image, field).unwrap();
                assert!(made.dims() == [field[0], field[1], 1] && made.pixels().iter().any(|v| *v > 100));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn tiny_images_never_panic(w in 1_usize..9, bytes in proptest::collection::vec(0_u8.., 1..64)) {
            let h = bytes.len().div_ceil(w);
            let pixels = bytes.iter().cycle().take(h * w).copied().collect();
            if let Ok(made) = prepare(&Image::new([h, w, 1], pixels).unwrap(), [28, 28]) {
                proptest::prop_assert_eq!(made.dims(), [28, 28, 1]);
            }
        }
    }
}
