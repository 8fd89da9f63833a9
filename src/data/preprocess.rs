//! How the bytes of an image become the numbers that a network is fed.
//!
//! Two stages, so that a data set can keep the first one's result as bytes:
//!
//! 1. [`Preprocess::prepare`]: channels, framing and size; bytes to bytes.
//! 2. [`Levels::fill`]: each byte `v` of channel `i` becomes `(v / divisor - mean[i]) / std[i]`.
//!
//! A [`Preprocess`] is stored in the model file, so a prediction sees what training saw.

use serde::{Deserialize, Serialize};

use super::digit;
use super::image::Image;
use super::resize::{Area, Filter};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// How an image of any size is brought to the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Stretched to the size, whatever its proportions.
    #[default]
    Stretch,
    /// Scaled to fit inside, in the middle, on black.
    Fit,
    /// The middle of the image in the target's proportions.
    Crop {
        /// The side that is kept, in `(0, 1]`; 0.875 is the usual 224 of 256.
        part: f32,
    },
    /// The photo or scan of one handwritten digit, made like those of MNIST: light on dark, its longer side
    /// 20/28 of the field, centred by its mass.
    Digit,
}

/// The recipe from an image's bytes to a network's input.
///
/// ```
/// use striate::data::{Image, Preprocess};
/// let recipe = Preprocess::new([1, 2, 1])?.mean_std(&[0.5], &[0.5])?;
/// assert_eq!(recipe.apply(&Image::new([1, 2, 1], vec![0, 255])?)?, [-1.0, 1.0]);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Preprocess {
    fields: Fields,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    size: [usize; 3],
    framing: Framing,
    #[serde(default, skip_serializing_if = "is_bilinear")]
    filter: Filter,
    divisor: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Preprocess {
    /// Images `[h, w, c]`, stretched, with bytes divided by 255 (E11).
    ///
    /// # Errors
    /// A size is 0 or over 65535, or `c` is neither 1 nor 3.
    pub fn new(dims: [usize; 3]) -> Result<Self> {
        let (mean, std) = (vec![0.0; dims[2].min(3)], vec![1.0; dims[2].min(3)]);
        Self::checked(Fields {
            size: dims,
            framing: Framing::Stretch,
            filter: Filter::Bilinear,
            divisor: 255.0,
            mean,
            std,
        })
    }

    /// The digits of MNIST: any photo of one digit becomes 28x28x1, its bytes divided by 255.
    pub fn digits() -> Self {
        let size = [28, 28, 1];
        Self {
            fields: Fields {
                size,
                framing: Framing::Digit,
                filter: Filter::Bilinear,
                divisor: 255.0,
                mean: vec![0.0],
                std: vec![1.0],
            },
        }
    }

    /// The same with another framing.
    ///
    /// # Errors
    /// A crop's part is not in `(0, 1]`, or the digit framing is asked for with 3 channels.
    pub fn framing(mut self, framing: Framing) -> Result<Self> {
        self.fields.framing = framing;
        Self::checked(self.fields)
    }

    /// The same with another filter for the resizing.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.fields.filter = filter;
        self
    }

    /// The same with bytes divided by `divisor` instead of 255.
    ///
    /// # Errors
    /// `divisor` is 0 or not finite.
    pub fn divisor(mut self, divisor: f32) -> Result<Self> {
        self.fields.divisor = divisor;
        Self::checked(self.fields)
    }

    /// The same with a mean and a standard deviation per channel, in units after the division.
    ///
    /// # Errors
    /// Their numbers are not the channels, a value is not finite, or a deviation is not positive.
    pub fn mean_std(mut self, mean: &[f32], std: &[f32]) -> Result<Self> {
        (self.fields.mean, self.fields.std) = (mean.to_vec(), std.to_vec());
        Self::checked(self.fields)
    }

    fn checked(fields: Fields) -> Result<Self> {
        let Fields { size: [h, w, c], framing, divisor, .. } = fields;
        let (mean, std) = (&fields.mean, &fields.std);
        let problem = if h == 0 || w == 0 || h > 65_535 || w > 65_535 || (c != 1 && c != 3) {
            format!("an input of {h}x{w}x{c} is no image; sizes are 1 to 65535, channels 1 or 3")
        } else if mean.len() != c || std.len() != c {
            format!("{} means and {} deviations given for {c} channels", mean.len(), std.len())
        } else if mean.iter().any(|v| !v.is_finite()) || std.iter().any(|v| !v.is_finite() || *v <= 0.0) {
            format!("mean {mean:?} and deviation {std:?} must be finite, the deviation positive")
        } else if !divisor.is_finite() || divisor == 0.0 {
            format!("bytes cannot be divided by {divisor}")
        } else if matches!(framing, Framing::Crop { part } if !(part > 0.0 && part <= 1.0)) {
            format!("{framing:?}: the part must be above 0 and at most 1")
        } else if framing == Framing::Digit && c != 1 {
            format!("digits are grey: {c} channels asked for, 1 expected")
        } else {
            return Ok(Self { fields });
        };
        Err(Error::argument(problem).within("preprocessing"))
    }

    /// Height, width and channels of the network's input.
    pub fn dims(&self) -> [usize; 3] {
        self.fields.size
    }

    /// The shape of the network's input.
    pub fn shape(&self) -> Shape {
        Shape::from(self.fields.size)
    }

    /// The first stage: the image in the network's size and channels, as bytes.
    ///
    /// # Errors
    /// There is no digit to be seen, where one is looked for.
    pub fn prepare(&self, image: &Image) -> Result<Image> {
        let [h, w, c] = self.fields.size;
        let whole = [image.dims()[0], image.dims()[1]];
        let filter = self.fields.filter;
        match self.fields.framing {
            Framing::Digit => digit::prepare(image, [h, w]),
            Framing::Stretch => image.resized_area(Area::whole(whole), [h, w], filter)?.with_channels(c),
            Framing::Crop { part } => image.resized_area(middle(whole, [h, w], part), [h, w], filter)?.with_channels(c),
            Framing::Fit => {
                let inner = image.resized_area(Area::whole(whole), fitted(whole, [h, w]), filter)?.with_channels(c)?;
                paste(&inner, [h, w])
            }
        }
    }

    /// The second stage, made ready: the number of every byte.
    pub fn levels(&self) -> Levels {
        let Fields { divisor, mean, std, .. } = &self.fields;
        let level = |v: u8, mean: &f32, std: &f32| (f32::from(v) / divisor - mean) / std;
        let table = |(m, s)| std::array::from_fn(|v| level(v as u8, m, s));
        Levels { tables: mean.iter().zip(std).map(table).collect() }
    }

    /// Both stages: the network's input `[h, w, c]`.
    ///
    /// # Errors
    /// As [`Preprocess::prepare`].
    pub fn apply(&self, image: &Image) -> Result<Vec<f32>> {
        let bytes = self.prepare(image)?.into_pixels();
        let mut x = vec![0.0; bytes.len()];
        self.levels().fill(&bytes, &mut x);
        Ok(x)
    }
}

impl TryFrom<Fields> for Preprocess {
    type Error = Error;
    fn try_from(fields: Fields) -> Result<Self> {
        Self::checked(fields)
    }
}

impl From<Preprocess> for Fields {
    fn from(recipe: Preprocess) -> Self {
        recipe.fields
    }
}

/// The number that each byte of each channel becomes.
#[derive(Debug, Clone)]
pub struct Levels {
    tables: Vec<[f32; 256]>,
}

impl Levels {
    /// Writes the numbers of `bytes` (`[h, w, c]`) to `x`, which is as long.
    pub fn fill(&self, bytes: &[u8], x: &mut [f32]) {
        let c = self.tables.len();
        for (pixel, out) in bytes.chunks_exact(c).zip(x.chunks_exact_mut(c)) {
            for ((o, v), table) in out.iter_mut().zip(pixel).zip(&self.tables) {
                *o = table[usize::from(*v)];
            }
        }
    }
}

fn is_bilinear(filter: &Filter) -> bool {
    *filter == Filter::Bilinear
}

// The largest rectangle of the target's proportions, times `part`, in the middle of the image; in whole pixels, so that
// nothing beside it is mixed in.
fn middle([ih, iw]: [usize; 2], [h, w]: [usize; 2], part: f32) -> Area {
    let scale = part * (ih as f32 / h as f32).min(iw as f32 / w as f32);
    let (ah, aw) = ((h as f32 * scale).floor().max(1.0), (w as f32 * scale).floor().max(1.0));
    Area { top: ((ih as f32 - ah) / 2.0).floor(), left: ((iw as f32 - aw) / 2.0).floor(), h: ah, w: aw }
}

// The size with the image's proportions that just fits into `[h, w]`.
pub(crate) fn fitted([ih, iw]: [usize; 2], [h, w]: [usize; 2]) -> [usize; 2] {
    let scaled = |side: usize, by: usize, over: usize| (2 * side * by + over) / (2 * over);
    if ih * w >= iw * h { [h, scaled(iw, h, ih).clamp(1, w)] } else { [scaled(ih, w, iw).clamp(1, h), w] }
}

fn paste(inner: &Image, [h, w]: [usize; 2]) -> Result<Image> {
    let [ih, iw, c] = inner.dims();
    let (top, left) = ((h - ih) / 2, (w - iw) / 2);
    let mut pixels = vec![0; h * w * c];
    for (row, source) in pixels.chunks_exact_mut(w * c).skip(top).zip(inner.pixels().chunks_exact(iw * c)) {
        row[left * c..][..iw * c].copy_from_slice(source);
    }
    Image::new([h, w, c], pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(h: usize, w: usize) -> Image {
        Image::new([h, w, 1], (0..h * w).map(|i| (i % 251) as u8).collect()).unwrap()
    }

    #[test]
    fn bytes_are_divided_by_255_exactly_as_keras_users_do_e11() {
        let recipe = Preprocess::new([16, 16, 1]).unwrap();
        let image = Image::new([16, 16, 1], (0..=255).collect()).unwrap();
        let x = recipe.apply(&image).unwrap();
        assert!(x.iter().enumerate().all(|(v, x)| *x == v as f32 / 255.0));
    }

    #[test]
    fn mean_and_deviation_belong_to_their_channel() {
        let recipe = Preprocess::new([1, 1, 3]).unwrap().mean_std(&[0.0, 0.5, 1.0], &[1.0, 2.0, 4.0]).unwrap();
        let x = recipe.apply(&Image::new([1, 1, 3], vec![255; 3]).unwrap()).unwrap();
        assert_eq!(x, [1.0, 0.25, 0.0]);
        let caffe = Preprocess::new([1, 1, 1]).unwrap().divisor(127.5).unwrap().mean_std(&[1.0], &[1.0]).unwrap();
        assert_eq!(caffe.apply(&Image::new([1, 1, 1], vec![255]).unwrap()).unwrap(), [1.0]);
    }

    #[test]
    fn framings_keep_or_cut_the_proportions() {
        let wide = ramp(10, 30);
        let frame = |framing| {
            let recipe = Preprocess::new([10, 10, 1]).unwrap().framing(framing).unwrap();
            recipe.prepare(&wide).unwrap()
        };
        // The middle square is exactly 10 columns: cut out, not resampled.
        let crop = frame(Framing::Crop { part: 1.0 });
        assert_eq!(crop.pixels()[..10], wide.pixels()[10..20]);
        let fit = frame(Framing::Fit);
        assert!(fit.pixels()[..30].iter().all(|v| *v == 0) && fit.pixels()[60..].iter().all(|v| *v == 0));
        assert!(fit.pixels()[30..60].iter().all(|v| *v > 0));
        assert_eq!(frame(Framing::Stretch), wide.resized(10, 10).unwrap());
    }

    #[test]
    fn an_image_of_one_pixel_has_every_framing_but_the_digit() {
        let dot = Image::new([1, 1, 3], vec![9, 9, 9]).unwrap();
        for framing in [Framing::Stretch, Framing::Fit, Framing::Crop { part: 0.5 }] {
            let recipe = Preprocess::new([4, 6, 1]).unwrap().framing(framing).unwrap();
            let prepared = recipe.prepare(&dot).unwrap();
            assert_eq!(prepared.dims(), [4, 6, 1]);
            assert_eq!(prepared.pixels()[6 + 2], 9);
        }
        assert!(Preprocess::digits().prepare(&dot).is_err());
    }

    #[test]
    fn fitted_sizes() {
        assert_eq!(fitted([300, 200], [20, 20]), [20, 13]);
        assert_eq!(fitted([1, 1000], [20, 20]), [1, 20]);
        assert_eq!(fitted([7, 7], [28, 20]), [20, 20]);
    }

    #[test]
    fn a_recipe_survives_the_model_file_and_a_bad_one_is_refused() {
        let recipe = Preprocess::new([8, 9, 3]).unwrap().framing(Framing::Crop { part: 0.875 }).unwrap();
        let text = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Preprocess>(&text).unwrap(), recipe);
        for (from, to) in [("[8,9,3]", "[0,9,3]"), ("255.0", "0.0"), ("0.875", "1.5"), ("[1.0,1.0,1.0]", "[1.0]")] {
            assert!(text.contains(from), "{text}");
            assert!(serde_json::from_str::<Preprocess>(&text.replace(from, to)).is_err(), "{to}");
        }
        assert!(Preprocess::new([28, 28, 3]).unwrap().framing(Framing::Digit).is_err());
        assert!(Preprocess::new([28, 28, 2]).is_err());
    }
}
