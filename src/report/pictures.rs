//! The pictures of a report: worst mistakes, filters, feature maps, Grad-CAM.

use super::{Answers, Example, ReportConfig, Run, Shown};
use crate::data::{Dataset, Image};
use crate::error::{Error, ErrorKind, Result};
use crate::inspect::{
    AttributeConfig, Kernels, LayerMaps, attribute, cam_layer, feature_maps, kernel_bitmaps, kernel_change,
    kernel_layers, kernel_words, kernels, stages,
};
use crate::tensor::Tensor;
use crate::visual::{Bitmap, Range, mosaic};

// The longer side of a photo on the page, in pixels: enough for a phone, and a page of some megabytes at most.
const SIDE: usize = 160;
// The share of numbers that the colours tell apart; the rest is drawn as the largest.
const MOST: f64 = 0.995;
const COLUMNS: usize = 8;

/// The kernels of the first convolution, before training and after.
#[derive(Debug, Clone)]
pub struct Filters {
    /// The layer.
    pub layer: String,
    /// `[kh, kw, ic, oc]`.
    pub shape: [usize; 4],
    /// How many kernels are shown.
    pub shown: usize,
    /// Before training, if that is known.
    pub before: Option<Bitmap>,
    /// After training.
    pub after: Bitmap,
    /// The range of their numbers, which both share.
    pub range: Range,
    /// How kernels over several channels are shown.
    pub words: String,
    /// How far each layer's kernels have moved.
    pub changes: Vec<Change>,
}

impl Filters {
    /// Whether there are more kernels than are shown.
    pub fn is_part(&self) -> bool {
        self.shown < self.shape[3]
    }

    /// Whether kernels over three channels are shown as colours.
    pub fn is_coloured(&self) -> bool {
        self.shape[2] == 3
    }
}

/// How far the kernels of a layer have moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The layer.
    pub layer: String,
    /// `[kh, kw, ic, oc]`.
    pub shape: [usize; 4],
    /// The norm of the difference as a share of the norm before, if that is known.
    pub share: Option<f64>,
}

/// The feature maps of an example.
#[derive(Debug, Clone)]
pub struct Maps {
    /// The example.
    pub example: Example,
    /// Its image.
    pub photo: Bitmap,
    /// The layers, in order.
    pub layers: Vec<LayerPicture>,
}

/// Some channels of a layer.
#[derive(Debug, Clone)]
pub struct LayerPicture {
    /// The layer.
    pub layer: String,
    /// Its class.
    pub class: &'static str,
    /// `[h, w, c]`.
    pub shape: [usize; 3],
    /// How many channels are shown, from the first on.
    pub shown: usize,
    /// How many of them are 0 everywhere.
    pub silent: usize,
    /// The maps, side by side.
    pub picture: Bitmap,
    /// The range of the layer's numbers.
    pub range: Range,
}

impl LayerPicture {
    /// Whether there are more channels than are shown.
    pub fn is_part(&self) -> bool {
        self.shown < self.shape[2]
    }
}

/// Grad-CAM of examples.
#[derive(Debug, Clone)]
pub struct Cams {
    /// The layer that is looked at.
    pub layer: String,
    /// Height and width of its maps.
    pub size: [usize; 2],
    /// Mistakes, the worst first, then right answers.
    pub examples: Vec<CamExample>,
}

/// An example with what its classes rest on.
#[derive(Debug, Clone)]
pub struct CamExample {
    /// The example.
    pub example: Example,
    /// Its image.
    pub photo: Bitmap,
    /// The class that was predicted; for a mistake then the true one.
    pub cams: Vec<Cam>,
}

/// What the score of a class rests on.
#[derive(Debug, Clone)]
pub struct Cam {
    /// The class.
    pub class: usize,
    /// Its probability.
    pub probability: f32,
    /// The map over the image.
    pub overlay: Bitmap,
    /// Whether the map is 0 everywhere: nothing at this layer speaks for the class.
    pub is_empty: bool,
}

pub(super) struct Pictures<'a> {
    pub run: &'a Run<'a>,
    pub config: &'a ReportConfig,
    pub answers: &'a Answers,
}

impl Pictures<'_> {
    pub fn mistakes(&self) -> Result<Vec<(Example, Bitmap)>> {
        let shown = self.answers.mistakes.iter().take(self.config.mistakes);
        shown.map(|example| Ok((example.clone(), thumbnail(&self.photo(example.index)?)?))).collect()
    }

    pub fn filters(&self) -> Result<Shown<Filters>> {
        let Ok(after) = kernels(self.run.model, None) else {
            return Ok(Err("The network has no convolution, so there are no filters to show.".into()));
        };
        let before = self.run.before.map(|model| kernels(model, Some(&after.layer))).transpose()?;
        let mut sets: Vec<(&str, &Kernels)> = before.iter().map(|k| ("before", k)).collect();
        sets.push(("after", &after));
        let (mut bitmaps, range) = kernel_bitmaps(&sets, self.config.kernels)?;
        let shown = bitmaps[0].len();
        let after_picture = mosaic(&bitmaps.pop().unwrap_or_default(), COLUMNS)?;
        let before = bitmaps.pop().map(|tiles| mosaic(&tiles, COLUMNS)).transpose()?;
        let shape = dims(&after.w)?;
        Ok(Ok(Filters {
            layer: after.layer.clone(),
            shape,
            shown,
            before,
            after: after_picture,
            range,
            words: kernel_words(shape[2]),
            changes: self.changes()?,
        }))
    }

    fn changes(&self) -> Result<Vec<Change>> {
        let change = |layer: String| {
            let now = kernels(self.run.model, Some(&layer))?;
            let before = self.run.before.map(|model| kernels(model, Some(&layer))).transpose()?;
            let share = before.map(|before| kernel_change(&now, &before)).transpose()?;
            Ok(Change { layer, shape: dims(&now.w)?, share })
        };
        kernel_layers(self.run.model).into_iter().map(change).collect()
    }

    pub fn maps(&self) -> Result<Shown<Maps>> {
        let Ok(layers) = stages(self.run.model.graph()) else {
            return Ok(Err("No layer of the network has rows and columns, so there are no feature maps.".into()));
        };
        let Some(example) = self.answers.right.first().or(self.answers.mistakes.first()) else {
            return Ok(Err("The test set has no sample to show.".into()));
        };
        let found = feature_maps(self.run.model, &self.x(example.index)?, &layers, &self.config.machine);
        let found = match found {
            Err(e) if e.kind() == ErrorKind::Numeric => return Ok(Err(bad(&e))),
            other => other?,
        };
        let layers = found.iter().map(|maps| self.layer(maps)).collect::<Result<_>>()?;
        let photo = thumbnail(&self.photo(example.index)?)?;
        Ok(Ok(Maps { example: example.clone(), photo, layers }))
    }

    fn layer(&self, maps: &LayerMaps) -> Result<LayerPicture> {
        let &[h, w, c] = maps.maps.dims() else { return Err(Error::shape("feature maps have the axes h, w, c")) };
        let shown = self.config.channels.clamp(1, c);
        let range = Range::within(maps.maps.data(), MOST);
        let channels: Vec<Vec<f32>> = (0..shown).map(|k| maps.channel(k)).collect();
        let tiles = channels.iter().map(|values| thumbnail_of([h, w], values, &range)).collect::<Result<Vec<_>>>()?;
        let silent = channels.iter().filter(|values| values.iter().all(|v| *v == 0.0)).count();
        let picture = mosaic(&tiles, (1..).find(|n| n * n >= shown).unwrap_or(COLUMNS))?;
        let (layer, class, shape) = (maps.layer.clone(), maps.class, [h, w, c]);
        Ok(LayerPicture { layer, class, shape, shown, silent, picture, range })
    }

    // The mistakes and right answers that Grad-CAM explains.
    fn chosen(&self) -> impl Iterator<Item = &Example> {
        let most = self.config.examples;
        self.answers.mistakes.iter().take(most).chain(self.answers.right.iter().take(most))
    }

    /// How often [`Pictures::cams`] calls its `tick`, unless there is nothing to show.
    pub fn explained_count(&self) -> usize {
        self.chosen().count()
    }

    /// `tick` is called after each example, and may break off.
    pub fn cams(&self, tick: &mut dyn FnMut() -> Result<()>) -> Result<Shown<Cams>> {
        let graph = self.run.model.graph();
        let Ok(layer) = cam_layer(graph) else {
            return Ok(Err("No layer of the network has rows and columns, so Grad-CAM has nothing to weight.".into()));
        };
        let &[h, w, _] = graph.shape(graph.value(&layer)?).dims() else {
            return Err(Error::shape(format!("layer '{layer}' has no rows and columns")));
        };
        let mut examples = Vec::new();
        for example in self.chosen() {
            match self.explained(example) {
                Err(e) if e.kind() == ErrorKind::Numeric => return Ok(Err(bad(&e))),
                found => examples.push(found?),
            }
            tick()?;
        }
        Ok(Ok(Cams { layer, size: [h, w], examples }))
    }

    fn explained(&self, example: &Example) -> Result<CamExample> {
        let photo = self.photo(example.index)?;
        let x = self.x(example.index)?;
        let mut classes: Vec<usize> = example.predicted.into_iter().chain([example.label]).collect();
        classes.dedup();
        // One output stands for two classes, and only the second has a score.
        let single = self.run.model.graph().output_shape()?.len() == 1;
        if single {
            classes = vec![1];
        }
        let cam = |class: usize| {
            let asked = if single { 0 } else { class };
            let config = AttributeConfig {
                class: Some(asked),
                machine: self.config.machine.clone(),
                ..AttributeConfig::default()
            };
            let found = attribute(self.run.model, &x, &config)?;
            let values = found.map.data();
            let overlay = thumbnail(&photo.overlaid(values, &Range::within(values, MOST))?)?;
            let probability = example.probabilities.get(class).copied().unwrap_or(found.probability);
            Ok(Cam { class, probability, overlay, is_empty: values.iter().all(|v| *v == 0.0) })
        };
        let cams = classes.into_iter().map(cam).collect::<Result<_>>()?;
        Ok(CamExample { example: example.clone(), photo: thumbnail(&photo)?, cams })
    }

    fn x(&self, index: usize) -> Result<Vec<f32>> {
        let mut x = vec![0.0; self.run.test.shape().len()];
        self.run.test.fill(index, &mut x)?;
        Ok(x)
    }

    // The image as the network sees it, in its size.
    fn photo(&self, index: usize) -> Result<Bitmap> {
        let data = self.run.test;
        match data.image(index) {
            Some(image) => {
                let ready = match data.preprocess() {
                    Some(recipe) if recipe.dims() != image.dims() => recipe.prepare(&image)?,
                    _ => image,
                };
                Bitmap::new(ready.dims(), ready.pixels())
            }
            None => self.numbers(data, index),
        }
    }

    // Numbers that were no image: from the smallest to the largest, channels that are no colours as their sum.
    fn numbers(&self, data: &dyn Dataset, index: usize) -> Result<Bitmap> {
        let x = self.x(index)?;
        let (size, c) = match *data.shape().dims() {
            [h, w, c] => ([h, w], c),
            [n, c] => ([1, n], c),
            _ => ([1, x.len()], 1),
        };
        let sums: Vec<f32> = x.chunks(c).map(|pixel| pixel.iter().sum()).collect();
        Bitmap::of_map(size, &sums, &Range::grey(&sums))
    }
}

fn bad(error: &Error) -> String {
    format!("Not shown: {}.", error.message())
}

fn dims(w: &Tensor) -> Result<[usize; 4]> {
    w.dims().try_into().map_err(|_| Error::shape("kernels have the axes kh, kw, ic, oc"))
}

// Large images are made smaller, small ones are left to the browser to enlarge.
fn thumbnail(photo: &Bitmap) -> Result<Bitmap> {
    let [h, w] = photo.size();
    let longer = h.max(w);
    if longer <= SIDE {
        return Ok(photo.clone());
    }
    let size = [h, w].map(|side| (side * SIDE / longer).max(1));
    let small = Image::new([h, w, 3], photo.pixels().to_vec())?.resized(size[0], size[1])?;
    Bitmap::new(small.dims(), small.pixels())
}

// A map in colours, no larger than half a photo, since many stand side by side.
fn thumbnail_of([h, w]: [usize; 2], values: &[f32], range: &Range) -> Result<Bitmap> {
    let map = Bitmap::of_map([h, w], values, range)?;
    let longer = h.max(w);
    if longer <= SIDE / 2 {
        return Ok(map);
    }
    let size = [h, w].map(|side| (side * SIDE / 2 / longer).max(1));
    let small = Image::new([h, w, 3], map.pixels().to_vec())?.resized(size[0], size[1])?;
    Bitmap::new(small.dims(), small.pixels())
}
