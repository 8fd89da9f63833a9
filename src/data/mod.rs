//! Data: what a network learns from, and how it is read, prepared and fed.
//!
//! ```text
//! file -> Image (bytes) -> Preprocess -> ImageSet (bytes, labels) -> Loader -> Batch (f32) -> a step
//! ```
//!
//! - [`Dataset`]: anything with numbered samples and labels; [`ImageSet`] keeps its images as bytes in memory,
//!   [`Subset`] is a choice of another set's samples, such as a validation part.
//! - Sources: [`mnist`] is built in (E3), [`idx`] reads files in its format, [`folder`] one sub-folder per class;
//!   [`open`] takes the name of a built-in set or a path, and sees which it is.
//! - [`Image`] and [`Preprocess`]: PNG and JPEG files, sizes, and the numbers a network is fed.
//! - [`Loader`]: shuffled batches, one ahead of the step that uses them.
//!
//! There is no augmentation here: none of the networks that this library reproduces was trained with it.

mod decode;
mod digit;
pub mod folder;
pub mod idx;
mod image;
mod loader;
pub mod mnist;
mod preprocess;
pub(crate) mod resize;
mod set;

use std::path::Path;
use std::sync::Arc;

pub use image::Image;
pub use loader::{Batch, Loader, order};
pub use preprocess::{Framing, Levels, Preprocess};
pub use resize::Filter;
pub use set::{ImageSet, Subset};

use crate::error::{Error, Result, unknown};
use crate::tensor::{Shape, Tensor};

/// Numbered samples, each with a label.
pub trait Dataset: Send + Sync {
    /// A short name, as reports show it.
    fn name(&self) -> &str;

    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of one sample, as the network is fed it.
    fn shape(&self) -> Shape;

    /// The names of the classes; labels count them from 0.
    fn classes(&self) -> &[String];

    /// The label of sample `i < len`.
    fn label(&self, i: usize) -> u32;

    /// Writes sample `i < len` to `x`, preprocessed; `x` has as many elements as the shape.
    ///
    /// # Errors
    /// The sample cannot be had, where it is read only now.
    fn fill(&self, i: usize, x: &mut [f32]) -> Result<()>;

    /// Sample `i < len` as an image to look at, where it is one.
    fn image(&self, _i: usize) -> Option<Image> {
        None
    }

    /// Where sample `i < len` comes from, such as the name of a file, where that is known.
    fn source(&self, _i: usize) -> Option<String> {
        None
    }

    /// The recipe that made the samples from images, to be stored with a model trained on them.
    fn preprocess(&self) -> Option<&Preprocess> {
        None
    }
}

/// The samples to train with, and those to test with.
#[derive(Clone)]
pub struct Split {
    /// The training set.
    pub train: Arc<dyn Dataset>,
    /// The test set.
    pub test: Arc<dyn Dataset>,
    /// Why files were left out, one error each.
    pub skipped: Arc<[Error]>,
}

impl Split {
    /// Two sets of which nothing was left out.
    ///
    /// # Errors
    /// Their shapes or classes differ.
    pub fn new(train: impl Dataset + 'static, test: impl Dataset + 'static) -> Result<Self> {
        if train.shape() != test.shape() {
            return Err(Error::shape(format!("training images are {}, test images {}", train.shape(), test.shape())));
        }
        if train.classes() != test.classes() {
            return Err(Error::argument(format!(
                "the training set has the classes {:?}, the test set {:?}",
                train.classes(),
                test.classes()
            )));
        }
        Ok(Self { train: Arc::new(train), test: Arc::new(test), skipped: Arc::new([]) })
    }
}

impl std::fmt::Debug for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (train, test) = (self.train.len(), self.test.len());
        write!(f, "Split({}: {train} + {test} of {:?})", self.train.name(), self.train.shape())
    }
}

/// What there is to know about a built-in set without unpacking it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The name that [`load`] takes.
    pub name: &'static str,
    /// One line about the content.
    pub title: &'static str,
    /// Training samples.
    pub train: usize,
    /// Test samples.
    pub test: usize,
    /// Height, width and channels of an image.
    pub dims: [usize; 3],
    /// The names of the classes.
    pub classes: &'static [&'static str],
    /// The licence of the data.
    pub licence: &'static str,
    /// Who made it, and where it comes from.
    pub source: &'static str,
}

/// A built-in set: what it is and how it is unpacked.
struct Entry {
    info: Info,
    load: fn() -> Result<Split>,
}

const BUILT_IN: [Entry; 1] = [Entry { info: mnist::INFO, load: mnist::load }];

fn entry(name: &str) -> Result<&'static Entry> {
    BUILT_IN.iter().find(|e| e.info.name == name.to_lowercase()).ok_or_else(|| unknown("data set", name, names()))
}

/// The names of the built-in sets.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|e| e.info.name)
}

/// What a built-in set is.
///
/// ```
/// let info = striate::data::describe("mnist")?;
/// assert_eq!((info.train, info.test), (60_000, 10_000));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The name is unknown; the nearest known one is suggested.
pub fn describe(name: &str) -> Result<&'static Info> {
    entry(name).map(|e| &e.info)
}

/// Unpacks a built-in set.
///
/// # Errors
/// The name is unknown; the nearest known one is suggested.
pub fn load(name: &str) -> Result<Split> {
    (entry(name)?.load)()
}

/// A set from a path: a folder of four IDX files, or a folder of images, one sub-folder per class.
///
/// `recipe` says how images become samples; without it IDX images are taken as they are, and so
/// are the images of a folder, which must then be all of one size. Bytes are divided by 255.
///
/// # Errors
/// There is no such folder, or what [`mnist::from_dir`] or [`folder::split`] find in it is wrong.
pub fn load_path(path: &Path, recipe: Option<&Preprocess>) -> Result<Split> {
    let meta = std::fs::metadata(path).map_err(|e| Error::io(path, "read", &e))?;
    if !meta.is_dir() {
        return Err(Error::argument(format!("{} is a file, not a folder", path.display()))
            .with_help("give the folder with the four IDX files, or with one sub-folder of images per class"));
    }
    if mnist::is_idx_dir(path) { mnist::from_dir(path, recipe) } else { folder::split(path, recipe) }
}

/// A set by the name of a built-in one, or else by path.
///
/// # Errors
/// As [`load`] and [`load_path`].
pub fn open(name: &str, recipe: Option<&Preprocess>) -> Result<Split> {
    let path = Path::new(name);
    if entry(name).is_err() && (path.exists() || name.contains(std::path::MAIN_SEPARATOR)) {
        return load_path(path, recipe);
    }
    load(name)
}

/// Labels as rows of 0 with a single 1, as Keras' `to_categorical` makes them (E11): `[n] -> [n, classes]`.
///
/// ```
/// let y = striate::data::to_categorical(&[2, 0], 3)?;
/// assert_eq!(y.data(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// A label is not below `classes`.
pub fn to_categorical(labels: &[u32], classes: usize) -> Result<Tensor> {
    set::check_labels(labels, classes)?;
    let mut y = Tensor::zeros(&[labels.len(), classes]);
    for (row, label) in y.data_mut().chunks_exact_mut(classes.max(1)).zip(labels) {
        row[*label as usize] = 1.0;
    }
    Ok(y)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A folder of its own below the system's folder for temporary files, removed in the end.
    pub(crate) struct Scratch(pub PathBuf);

    impl Scratch {
        pub fn new() -> Self {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let name = format!("striate-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn unknown_sets_suggest_the_nearest() {
        let e = load("minst").unwrap_err();
        assert!(e.to_string().contains("did you mean 'mnist'?"), "{e}");
        assert!(describe("MNIST").is_ok());
        assert!(open("minst", None).unwrap_err().to_string().contains("did you mean"));
        assert!(open("no/such/folder", None).unwrap_err().message().contains("no/such/folder"));
    }

    #[test]
    fn a_file_is_not_a_folder() {
        let scratch = Scratch::new();
        let file = scratch.write("data.bin", b"x");
        assert!(load_path(&file, None).unwrap_err().message().contains("not a folder"));
    }

    #[test]
    fn one_hot_rows_and_labels_out_of_range_e11() {
        let y = to_categorical(&[1, 9], 10).unwrap();
        assert_eq!((y.dims(), y[[0, 1]], y[[1, 9]]), (&[2, 10][..], 1.0, 1.0));
        assert_eq!(y.data().iter().sum::<f32>(), 2.0);
        assert!(to_categorical(&[1, 10], 10).unwrap_err().message().contains("label 10 of sample 1"));
        assert!(to_categorical(&[0], 0).is_err());
        assert!(to_categorical(&[], 0).unwrap().data().is_empty());
    }
}
