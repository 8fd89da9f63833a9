//! An entry of the zoo: a network that can be built for any input size and number of classes.

use crate::data::{Filter, Framing, Preprocess};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::train::FitConfig;
use crate::zoo::Recipe;
use crate::zoo::block::Size;

/// One entry of the zoo.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name on the command line.
    pub name: &'static str,
    /// One line on what it is.
    pub about: &'static str,
    /// The networks that it belongs to, such as `ResNet`.
    pub family: &'static str,
    /// Height, width and channels of the input, unless others are asked for.
    pub input: [usize; 3],
    /// The number of classes, unless another is asked for.
    pub classes: usize,
    pub(super) pixels: Option<Pixels>,
    pub(super) train: fn() -> FitConfig,
    pub(super) build: fn(&Size) -> Result<Graph>,
}

/// What can be asked of a network; `None` stands for what the entry says.
///
/// ```
/// use striate::zoo::{self, Options};
/// let small = Options { input: Some([64, 64, 3]), classes: Some(5) };
/// let recipe = zoo::build("resnet-18", &small)?;
/// assert_eq!(recipe.graph.output_shape()?.dims(), [5]);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Height, width and channels of the input.
    pub input: Option<[usize; 3]>,
    /// The number of classes.
    pub classes: Option<usize>,
}

/// How the pixels of a photo become a network's input: the middle of the image, divided, shifted and scaled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixels {
    pub crop: f32,
    pub filter: Filter,
    pub divisor: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// The mean and deviation of ImageNet's pixels, and 224 of 256 pixels: the evaluation of torchvision's networks.
pub(super) const IMAGENET: Pixels = Pixels {
    crop: 0.875,
    filter: Filter::Bilinear,
    divisor: 255.0,
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

impl Entry {
    /// The network and its settings.
    ///
    /// # Errors
    /// The input is too small for the network (the smallest that fits is named), or there are no classes.
    pub fn build(&self, options: &Options) -> Result<Recipe> {
        let size = Size {
            name: self.name,
            input: options.input.unwrap_or(self.input),
            classes: options.classes.unwrap_or(self.classes),
        };
        if size.classes == 0 {
            return Err(Error::argument(format!("{} cannot tell 0 classes apart", self.name))
                .with_help("give at least 1, and 2 to have a choice"));
        }
        let graph = (self.build)(&size).map_err(|e| self.explained(e, size))?;
        Ok(Recipe { graph, train: (self.train)() })
    }

    /// How an image becomes the network's input of this size; `None` where the entry does not say, or where the
    /// input is no image.
    pub fn preprocess(&self, [h, w, c]: [usize; 3]) -> Option<Preprocess> {
        let Pixels { crop, filter, divisor, mean, std } = self.pixels?;
        let middle = |v: [f32; 3]| [v.iter().sum::<f32>() / 3.0];
        let (grey_mean, grey_std) = (middle(mean), middle(std));
        let (mean, std): (&[f32], &[f32]) = if c == 1 { (&grey_mean, &grey_std) } else { (&mean, &std) };
        let recipe = Preprocess::new([h, w, c]).and_then(|p| p.divisor(divisor)).and_then(|p| p.mean_std(mean, std));
        recipe.and_then(|p| p.filter(filter).framing(Framing::Crop { part: crop })).ok()
    }

    // An error of shapes, with the smallest square input that fits.
    fn explained(&self, error: Error, size: Size) -> Error {
        let [h, w, c] = size.input;
        let fits = |side: &usize| (self.build)(&Size { input: [*side, *side, c], ..size }).is_ok();
        let too_small = || (h.min(w).max(1)..=self.input[0]).find(fits);
        let error = match (error.kind(), size.input == self.input) {
            (ErrorKind::Shape, false) => match too_small() {
                Some(side) => error.with_help(format!("the smallest square input that fits is {side}x{side}x{c}")),
                None => error,
            },
            _ => error,
        };
        error.within(format_args!("{} for an input of {h}x{w}x{c}", self.name))
    }
}
