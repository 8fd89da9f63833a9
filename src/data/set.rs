//! Data sets in memory, and choices of their samples.

use std::sync::Arc;

use super::image::Image;
use super::preprocess::{Levels, Preprocess};
use super::{Dataset, Split};
use crate::error::{Error, ErrorKind, Result};
use crate::rng::Rng;
use crate::tensor::Shape;

/// Images as bytes in memory, with their labels.
///
/// A byte becomes a number only when a sample is asked for, so 60,000 images of
/// MNIST take 47 MB instead of 188.
#[derive(Debug, Clone)]
pub struct ImageSet {
    name: String,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    classes: Vec<String>,
    // One for each image, or none.
    sources: Vec<String>,
    preprocess: Preprocess,
    levels: Levels,
}

impl ImageSet {
    /// A set of images that [`Preprocess::prepare`] made, `[n, h, w, c]` bytes, with their labels.
    ///
    /// # Errors
    /// Images and labels are not equally many, or a label is not below the number of classes.
    pub fn new(
        name: impl Into<String>,
        pixels: Vec<u8>,
        labels: Vec<u32>,
        classes: Vec<String>,
        preprocess: Preprocess,
    ) -> Result<Self> {
        let size = preprocess.shape().len();
        if pixels.len() != labels.len() * size {
            let images = pixels.len() / size;
            return Err(wrong(format!("{images} images and {} labels", labels.len()))
                .with_help("each image needs one label; do the two files belong together?"));
        }
        check_labels(&labels, classes.len())?;
        let levels = preprocess.levels();
        Ok(Self { name: name.into(), pixels, labels, classes, sources: Vec::new(), preprocess, levels })
    }

    /// The same set, with the place where each image comes from.
    ///
    /// # Errors
    /// There is not one for each image.
    pub fn with_sources(mut self, sources: Vec<String>) -> Result<Self> {
        if sources.len() != self.labels.len() {
            return Err(Error::argument(format!("{} sources for {} images", sources.len(), self.labels.len())));
        }
        self.sources = sources;
        Ok(self)
    }

    /// The bytes of image `i`, `[h, w, c]`.
    pub fn bytes(&self, i: usize) -> &[u8] {
        let size = self.shape().len();
        &self.pixels[i * size..(i + 1) * size]
    }

    /// All labels.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Format, message)
}

pub(crate) fn check_labels(labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|l| *l as usize >= classes) {
        None => Ok(()),
        Some(i) => {
            Err(wrong(format!("label {} of sample {i} is out of range: there are {classes} classes", labels[i]))
                .with_help("labels count from 0"))
        }
    }
}

impl Dataset for ImageSet {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> Shape {
        self.preprocess.shape()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, i: usize) -> u32 {
        self.labels[i]
    }

    fn fill(&self, i: usize, x: &mut [f32]) -> Result<()> {
        self.levels.fill(self.bytes(i), x);
        Ok(())
    }

    fn image(&self, i: usize) -> Option<Image> {
        Image::new(self.preprocess.dims(), self.bytes(i).to_vec()).ok()
    }

    fn source(&self, i: usize) -> Option<String> {
        self.sources.get(i).cloned()
    }

    fn preprocess(&self) -> Option<&Preprocess> {
        Some(&self.preprocess)
    }
}

/// Some samples of another set, in an order of their own.
#[derive(Clone)]
pub struct Subset {
    of: Arc<dyn Dataset>,
    indices: Vec<u32>,
}

impl Subset {
    /// The samples with these indices; an index may occur more than once.
    ///
    /// # Errors
    /// An index is not below the number of samples.
    pub fn new(of: Arc<dyn Dataset>, indices: Vec<u32>) -> Result<Self> {
        match indices.iter().find(|i| **i as usize >= of.len()) {
            Some(i) => Err(Error::argument(format!("there is no sample {i} in {}: it has {}", of.name(), of.len()))),
            None => Ok(Self { of, indices }),
        }
    }

    /// The first `n` samples, or all if there are fewer.
    pub fn first(of: Arc<dyn Dataset>, n: usize) -> Self {
        let indices = (0..n.min(of.len()) as u32).collect();
        Self { of, indices }
    }

    /// Cuts a set in two, the second with `part` of the samples *of each class*, drawn by `rng`.
    ///
    /// Both keep the order of the set. Of a class of `n` samples `round(part * n)` are held out.
    ///
    /// # Errors
    /// `part` is not in `(0, 1)`, or one of the two would be empty.
    pub fn hold_out(of: &Arc<dyn Dataset>, part: f64, rng: &Rng) -> Result<(Self, Self)> {
        if !(part > 0.0 && part < 1.0) {
            return Err(Error::argument(format!("cannot hold out {part} of a data set"))
                .with_help("give a part between 0 and 1, such as 0.1"));
        }
        let held = held_out(of.as_ref(), part, rng);
        let choose = |want: bool| {
            let indices = (0..of.len() as u32).filter(|i| held[*i as usize] == want).collect();
            Self { of: Arc::clone(of), indices }
        };
        let (rest, test) = (choose(false), choose(true));
        if rest.is_empty() || test.is_empty() {
            return Err(Error::argument(format!(
                "cannot hold out {part} of the {} samples of {}",
                of.len(),
                of.name()
            ))
            .with_help("there are too few of each class"));
        }
        Ok((rest, test))
    }

    /// The indices in the other set.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }
}

fn held_out(of: &dyn Dataset, part: f64, rng: &Rng) -> Vec<bool> {
    let mut members = vec![Vec::new(); of.classes().len()];
    for i in 0..of.len() {
        members[of.label(i) as usize].push(i);
    }
    let mut held = vec![false; of.len()];
    for (class, members) in members.iter_mut().enumerate() {
        rng.split("hold-out").split_at(class as u64).shuffle(members);
        let n = (part * members.len() as f64).round() as usize;
        members[..n].iter().for_each(|i| held[*i] = true);
    }
    held
}

impl Dataset for Subset {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn len(&self) -> usize {
        self.indices.len()
    }

    fn shape(&self) -> Shape {
        self.of.shape()
    }

    fn classes(&self) -> &[String] {
        self.of.classes()
    }

    fn label(&self, i: usize) -> u32 {
        self.of.label(self.indices[i] as usize)
    }

    fn fill(&self, i: usize, x: &mut [f32]) -> Result<()> {
        self.of.fill(self.indices[i] as usize, x)
    }

    fn image(&self, i: usize) -> Option<Image> {
        self.of.image(self.indices[i] as usize)
    }

    fn source(&self, i: usize) -> Option<String> {
        self.of.source(self.indices[i] as usize)
    }

    fn preprocess(&self) -> Option<&Preprocess> {
        self.of.preprocess()
    }
}

impl Split {
    /// A split with at most `train` and `test` samples, the first ones, for quick trials.
    #[must_use]
    pub fn first(self, train: usize, test: usize) -> Self {
        Self {
            train: Arc::new(Subset::first(self.train, train)),
            test: Arc::new(Subset::first(self.test, test)),
            skipped: self.skipped,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `n` images of 2x2x1 whose bytes are their number, with labels 0, 1, 2, 0, 1, ...
    pub(crate) fn numbered(n: usize) -> ImageSet {
        let pixels = (0..n).flat_map(|i| [i as u8; 4]).collect();
        let labels = (0..n as u32).map(|i| i % 3).collect();
        let classes = ["a", "b", "c"].map(String::from).to_vec();
        ImageSet::new("numbered", pixels, labels, classes, Preprocess::new([2, 2, 1]).unwrap()).unwrap()
    }

    #[test]
    fn samples_are_filled_preprocessed() {
        let set = numbered(10);
        let mut x = [0.0; 4];
        set.fill(7, &mut x).unwrap();
        assert_eq!(x, [7.0 / 255.0; 4]);
        assert_eq!((set.label(7), set.image(7).unwrap().pixels()), (1, &[7; 4][..]));
    }

    #[test]
    fn images_and_labels_must_agree() {
        let make = |pixels: usize, labels: &[u32]| {
            let recipe = Preprocess::new([2, 2, 1]).unwrap();
            ImageSet::new("x", vec![0; pixels], labels.to_vec(), vec!["a".into(), "b".into()], recipe)
        };
        assert!(make(8, &[0, 1]).is_ok());
        assert!(make(8, &[0, 1, 1]).unwrap_err().message().contains("2 images and 3 labels"));
        assert!(make(8, &[0, 2]).unwrap_err().message().contains("label 2 of sample 1 is out of range: there are 2"));
    }

    #[test]
    fn a_held_out_part_has_its_share_of_each_class() {
        let set: Arc<dyn Dataset> = Arc::new(numbered(90));
        let (train, test) = Subset::hold_out(&set, 0.2, &Rng::new(5)).unwrap();
        let count = |s: &Subset, class| (0..s.len()).filter(|i| s.label(*i) == class).count();
        for class in 0..3 {
            assert_eq!((count(&train, class), count(&test, class)), (24, 6));
        }
        let mut all = [train.indices(), test.indices()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..90).collect::<Vec<u32>>());
        let again = Subset::hold_out(&set, 0.2, &Rng::new(5)).unwrap().1;
        let other = Subset::hold_out(&set, 0.2, &Rng::new(6)).unwrap().1;
        assert_eq!(again.indices(), test.indices());
        assert_ne!(other.indices(), test.indices());
        assert!(Subset::hold_out(&set, 1.0, &Rng::new(5)).is_err());
        assert!(Subset::hold_out(&set, 0.001, &Rng::new(5)).is_err());
    }

    #[test]
    fn a_subset_is_in_its_own_order() {
        let set: Arc<dyn Dataset> = Arc::new(numbered(9));
        let some = Subset::new(Arc::clone(&set), vec![8, 0, 8]).unwrap();
        assert_eq!((0..3).map(|i| some.image(i).unwrap().pixels()[0]).collect::<Vec<_>>(), [8, 0, 8]);
        assert!(Subset::new(Arc::clone(&set), vec![9]).is_err());
        assert_eq!(Subset::first(set, 100).len(), 9);
    }
}
