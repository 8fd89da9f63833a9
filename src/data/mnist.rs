//! MNIST, built in (E3), and other sets in four files of the same format.
//!
//! The files of `data/mnist/` are part of the program, compressed, so it works
//! without a network; they are unpacked straight into the memory that keeps
//! them. Their authors and their licence (CC BY-SA 3.0) stand beside them.
//!
//! Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based
//! learning applied to document recognition", 1998, doi:10.1109/5.726791.

use std::path::{Path, PathBuf};

use super::idx::{self, IdxImages};
use super::image::Image;
use super::preprocess::Preprocess;
use super::set::ImageSet;
use super::{Info, Split};
use crate::error::{Error, ErrorKind, Result};

const TRAIN: [&[u8]; 2] = [
    include_bytes!("../../data/mnist/train-images-idx3-ubyte.gz"),
    include_bytes!("../../data/mnist/train-labels-idx1-ubyte.gz"),
];
const TEST: [&[u8]; 2] = [
    include_bytes!("../../data/mnist/t10k-images-idx3-ubyte.gz"),
    include_bytes!("../../data/mnist/t10k-labels-idx1-ubyte.gz"),
];
const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const CLASSES_FILE: &str = "classes.txt";

pub(crate) const INFO: Info = Info {
    name: "mnist",
    title: "handwritten digits",
    train: 60_000,
    test: 10_000,
    dims: [28, 28, 1],
    classes: &DIGITS,
    licence: "CC BY-SA 3.0",
    source: "Y. LeCun, C. Cortes and C. J. C. Burges, http://yann.lecun.com/exdb/mnist/",
};

/// The built-in MNIST.
///
/// # Errors
/// The program's own copy is damaged.
pub fn load() -> Result<Split> {
    Split::new(train()?, test()?)
}

/// The 60,000 training digits of the built-in MNIST.
///
/// # Errors
/// The program's own copy is damaged.
pub fn train() -> Result<ImageSet> {
    built_in(TRAIN)
}

/// The 10,000 test digits of the built-in MNIST.
///
/// # Errors
/// The program's own copy is damaged.
pub fn test() -> Result<ImageSet> {
    built_in(TEST)
}

fn built_in([images, labels]: [&[u8]; 2]) -> Result<ImageSet> {
    let classes = DIGITS.map(String::from).to_vec();
    let (images, labels) = (idx::images(images)?, idx::labels(labels)?);
    ImageSet::new(INFO.name, images.pixels, widened(&labels), classes, Preprocess::digits())
}

fn widened(labels: &[u8]) -> Vec<u32> {
    labels.iter().map(|l| u32::from(*l)).collect()
}

/// The set in a folder of four IDX files named as those of MNIST, such as Fashion-MNIST.
///
/// The names are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and `t10k-` likewise; a dot may
/// stand for the hyphen before `idx`, and `.gz` may follow. A file `classes.txt` with one name a line names
/// the classes; without it they are numbers, as many as the training labels need. `recipe` brings the
/// images to another size or scale; without it their bytes are divided by 255.
///
/// # Errors
/// A file is missing or wrong, images and labels are not equally many, or a label is out of range.
pub fn from_dir(dir: &Path, recipe: Option<&Preprocess>) -> Result<Split> {
    let read = |part: &str| -> Result<(IdxImages, Vec<u32>)> {
        let images = idx::read_images(&file(dir, part, "images-idx3")?)?;
        Ok((images, widened(&idx::read_labels(&file(dir, part, "labels-idx1")?)?)))
    };
    let (images, labels) = read("train")?;
    let classes = classes(dir, &labels)?;
    let name = dir.file_name().map_or_else(|| dir.display().to_string(), |n| n.to_string_lossy().into_owned());
    let set = |part: &str, images: IdxImages, labels: Vec<u32>| {
        {
            let (pixels, recipe) = prepared(images, recipe)?;
            ImageSet::new(name.clone(), pixels, labels, classes.clone(), recipe)
        }
        .map_err(|e: Error| e.within(format!("{part} files in {}", dir.display())))
    };
    let train = set("train", images, labels)?;
    let (images, labels) = read("t10k")?;
    Split::new(train, set("t10k", images, labels)?)
}

// Without a recipe, and where the images have its size already, the bytes are kept as they are.
fn prepared(images: IdxImages, recipe: Option<&Preprocess>) -> Result<(Vec<u8>, Preprocess)> {
    let IdxImages { h, w, pixels, .. } = images;
    let Some(recipe) = recipe.filter(|r| r.dims() != [h, w, 1]) else {
        let own = Preprocess::new([h, w, 1])?;
        return Ok((pixels, recipe.cloned().unwrap_or(own)));
    };
    let mut all = Vec::with_capacity(pixels.len() / (h * w) * recipe.shape().len());
    for one in pixels.chunks_exact(h * w) {
        all.extend(recipe.prepare(&Image::new([h, w, 1], one.to_vec())?)?.into_pixels());
    }
    Ok((all, recipe.clone()))
}

/// Whether a folder has one of the four files.
pub(crate) fn is_idx_dir(dir: &Path) -> bool {
    [("train", "images-idx3"), ("train", "labels-idx1"), ("t10k", "images-idx3"), ("t10k", "labels-idx1")]
        .iter()
        .any(|(part, kind)| file(dir, part, kind).is_ok())
}

fn file(dir: &Path, part: &str, kind: &str) -> Result<PathBuf> {
    let hyphen = format!("{part}-{kind}-ubyte");
    let dot = format!("{part}-{}-ubyte", kind.replace("-idx", ".idx"));
    let names = [hyphen.clone(), format!("{hyphen}.gz"), dot.clone(), format!("{dot}.gz")];
    names.iter().map(|n| dir.join(n)).find(|path| path.is_file()).ok_or_else(|| {
        Error::new(ErrorKind::Io, format!("{} has no file {hyphen} or {hyphen}.gz", dir.display()))
            .with_help("a folder of IDX files needs train-images, train-labels, t10k-images and t10k-labels")
    })
}

fn classes(dir: &Path, labels: &[u32]) -> Result<Vec<String>> {
    let path = dir.join(CLASSES_FILE);
    if path.is_file() {
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, "read", &e))?;
        return Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(String::from).collect());
    }
    let count = labels.iter().max().map_or(0, |l| l + 1);
    Ok((0..count).map(|i| i.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::data::Dataset;
    use crate::data::idx::tests::{file as idx_file, gzip};
    use crate::data::tests::Scratch;

    fn sha256(packed: &[u8]) -> String {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
        Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_built_in_files_are_the_published_ones() {
        let readme = include_str!("../../data/mnist/README.md");
        assert_eq!(sha256(TRAIN[0]), "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db");
        assert_eq!(sha256(TRAIN[1]), "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5");
        assert_eq!(sha256(TEST[0]), "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7");
        assert_eq!(sha256(TEST[1]), "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2");
        assert!([TRAIN, TEST].concat().iter().all(|file| readme.contains(&sha256(file))));
    }

    #[test]
    fn mnist_has_60000_and_10000_digits_e3() {
        let count = |set: &dyn Dataset| {
            let mut counts = [0; 10];
            (0..set.len()).for_each(|i| counts[set.label(i) as usize] += 1);
            counts
        };
        let split = crate::data::load("mnist").unwrap();
        assert_eq!((split.train.len(), split.test.len()), (60_000, 10_000));
        assert_eq!(split.train.shape().dims(), [28, 28, 1]);
        assert_eq!(count(&*split.train), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
        assert_eq!(count(&*split.test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
        let mut x = vec![-1.0; 784];
        split.train.fill(0, &mut x).unwrap();
        assert_eq!(split.train.label(0), 5);
        assert!(x.iter().all(|v| (0.0..=1.0).contains(v)) && x.contains(&0.0) && x.contains(&1.0));
    }

    const NAMES: [&str; 4] =
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

    // Four tiny files: three training images and two test images of 2x3 pixels.
    fn files() -> [Vec<u8>; 4] {
        [
            idx_file(&[3, 2, 3], &(0..18).collect::<Vec<u8>>()),
            idx_file(&[3], &[0, 2, 1]),
            idx_file(&[2, 2, 3], &(100..112).collect::<Vec<u8>>()),
            idx_file(&[2], &[1, 0]),
        ]
    }

    fn folder(files: &[Vec<u8>; 4], rename: impl Fn(&str) -> String) -> Scratch {
        let scratch = Scratch::new();
        NAMES.iter().zip(files).for_each(|(name, bytes)| {
            scratch.write(&rename(name), bytes);
        });
        scratch
    }

    fn message(files: &[Vec<u8>; 4]) -> String {
        crate::data::load_path(&folder(files, str::to_string).0, None).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_of_idx_files_under_any_of_its_names() {
        let dotted = |name: &str| name.replace("-idx", ".idx");
        let packed = files().map(|f| gzip(&f));
        let folders = [
            folder(&files(), str::to_string),
            folder(&files(), dotted),
            folder(&packed, |n| format!("{n}.gz")),
            folder(&packed, |n| format!("{}.gz", dotted(n))),
        ];
        for scratch in &folders {
            let split = crate::data::load_path(&scratch.0, None).unwrap();
            assert_eq!((split.train.len(), split.test.len()), (3, 2));
            assert_eq!(split.train.classes(), ["0", "1", "2"]);
            assert_eq!(split.test.image(1).unwrap().pixels(), [106, 107, 108, 109, 110, 111]);
        }
        folders[0].write(CLASSES_FILE, b"shirt\nbag\n\nboot\n");
        let split = from_dir(&folders[0].0, Some(&Preprocess::new([4, 6, 3]).unwrap())).unwrap();
        assert_eq!(split.train.classes(), ["shirt", "bag", "boot"]);
        assert_eq!(split.train.shape().dims(), [4, 6, 3]);
    }

    #[test]
    fn bad_folders_say_which_file_and_why() {
        let mut swapped = files();
        swapped.swap(0, 1);
        assert!(message(&swapped).contains("train-images-idx3-ubyte: magic number 0x00000801 found"));
        let mut fewer = files();
        fewer[1] = idx_file(&[2], &[0, 2]);
        assert!(message(&fewer).contains("3 images and 2 labels"), "{}", message(&fewer));
        let mut range = files();
        range[3] = idx_file(&[2], &[1, 3]);
        assert!(message(&range).contains("t10k files"), "{}", message(&range));
        assert!(message(&range).contains("label 3 of sample 1 is out of range: there are 3 classes"));
        let mut sizes = files();
        sizes[2] = idx_file(&[2, 1, 1], &[0, 0]);
        assert!(message(&sizes).contains("training images are (None, 2, 3, 1), test images (None, 1, 1, 1)"));
        let scratch = folder(&files(), str::to_string);
        std::fs::remove_file(scratch.0.join(NAMES[3])).unwrap();
        assert!(from_dir(&scratch.0, None).unwrap_err().message().contains("no file t10k-labels-idx1-ubyte"));
    }
}
