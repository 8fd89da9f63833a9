//! Folders of images: one sub-folder per class, its name the name of the class.
//!
//! Classes and files are taken in the order of their names, so a folder gives the
//! same set on every machine. Files that are no images are left out and
//! reported; names that begin with a dot are passed over in silence.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image::Image;
use super::preprocess::Preprocess;
use super::set::{ImageSet, Subset};
use super::{Dataset, Split};
use crate::error::{Error, Result};
use crate::rng::Rng;

const TEST_NAMES: [&str; 4] = ["test", "val", "valid", "validation"];
const HELD_OUT: f64 = 0.2;

/// A set made from a folder, and why some files are not in it.
#[derive(Debug)]
pub struct Folder {
    /// The images that could be read.
    pub set: ImageSet,
    /// An error for each file that could not.
    pub skipped: Vec<Error>,
}

/// Reads a folder with one sub-folder per class.
///
/// Without a recipe all images must have the size of the first one.
///
/// # Errors
/// The folder cannot be read, has no sub-folder or no image, no image can be read, or, without a recipe,
/// their sizes differ.
pub fn read(dir: &Path, recipe: Option<&Preprocess>) -> Result<Folder> {
    read_classes(dir, Reader::new(recipe, recipe.is_none()), class_names(dir)?)
}

/// Reads a folder with parts `train` and `test` (or `val`), each with one sub-folder per class; or a folder with
/// one sub-folder per class, of which a fifth of each class is held out for the test, always the same.
///
/// # Errors
/// As [`read`]; or the test part has a class that the training part has not.
pub fn split(dir: &Path, recipe: Option<&Preprocess>) -> Result<Split> {
    let test = TEST_NAMES.iter().map(|name| dir.join(name)).find(|path| path.is_dir());
    let train = dir.join("train");
    let Some(test) = test.filter(|_| train.is_dir()) else {
        let Folder { set, skipped } = read(dir, recipe)?;
        let all: Arc<dyn Dataset> = Arc::new(set);
        let (train, test) = Subset::hold_out(&all, HELD_OUT, &Rng::new(0))?;
        return Ok(Split { skipped: skipped.into(), ..Split::new(train, test)? });
    };
    let train = read(&train, recipe)?;
    let classes = train.set.classes().to_vec();
    check_classes(&test, &classes)?;
    let test = read_classes(&test, Reader::new(train.set.preprocess(), recipe.is_none()), classes)?;
    let skipped: Vec<Error> = train.skipped.into_iter().chain(test.skipped).collect();
    Ok(Split { skipped: skipped.into(), ..Split::new(train.set, test.set)? })
}

fn class_names(dir: &Path) -> Result<Vec<String>> {
    Ok(entries(dir)?.iter().filter(|path| path.is_dir()).map(|path| name(path)).collect())
}

fn check_classes(test: &Path, classes: &[String]) -> Result<()> {
    match entries(test)?.iter().find(|path| path.is_dir() && !classes.contains(&name(path))) {
        None => Ok(()),
        Some(path) => Err(Error::format(path, "the training part has no class of this name")
            .with_help(format!("its classes are {}", classes.join(", ")))),
    }
}

fn read_classes(dir: &Path, mut reader: Reader, classes: Vec<String>) -> Result<Folder> {
    if classes.is_empty() {
        return Err(Error::format(dir, "there is no sub-folder in this folder")
            .with_help("put the images into one sub-folder per class, named as the class"));
    }
    for (label, class) in classes.iter().enumerate() {
        let folder = dir.join(class);
        let files = if folder.is_dir() { entries(&folder)? } else { Vec::new() };
        for file in files.iter().filter(|path| path.is_file()) {
            if reader.add(file, label as u32)? {
                reader.sources.push(format!("{class}/{}", name(file)));
            }
        }
    }
    reader.finish(dir, classes)
}

/// What has been read so far.
struct Reader {
    recipe: Option<Preprocess>,
    // Whether all images must have the recipe's size, since nobody gave one.
    one_size: bool,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    sources: Vec<String>,
    skipped: Vec<Error>,
}

impl Reader {
    fn new(recipe: Option<&Preprocess>, one_size: bool) -> Self {
        let (pixels, labels, sources, skipped) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { recipe: recipe.cloned(), one_size, pixels, labels, sources, skipped }
    }

    // Whether the file is an image that was added.
    fn add(&mut self, file: &Path, label: u32) -> Result<bool> {
        let image = match Image::open(file) {
            Ok(image) => image,
            Err(e) => {
                self.skipped.push(e);
                return Ok(false);
            }
        };
        let recipe = match &self.recipe {
            Some(recipe) => recipe.clone(),
            None => self.recipe.insert(Preprocess::new(image.dims())?).clone(),
        };
        if self.one_size {
            check_size(file, &image, &recipe)?;
        }
        match recipe.prepare(&image) {
            Ok(image) => {
                self.pixels.extend_from_slice(image.pixels());
                self.labels.push(label);
                Ok(true)
            }
            Err(e) => {
                self.skipped.push(e.within(file.display()));
                Ok(false)
            }
        }
    }

    fn finish(self, dir: &Path, classes: Vec<String>) -> Result<Folder> {
        let Some(recipe) = self.recipe.filter(|_| !self.labels.is_empty()) else {
            return Err(match self.skipped.first() {
                None => Error::format(dir, "there is no image in the sub-folders of this folder")
                    .with_help("images are PNG or JPEG files, one sub-folder per class"),
                Some(first) => {
                    let message = format!("none of the {} files could be used; the first: {first}", self.skipped.len());
                    Error::format(dir, message).with_help("images are PNG or JPEG files")
                }
            });
        };
        let set = ImageSet::new(name(dir), self.pixels, self.labels, classes, recipe)?.with_sources(self.sources)?;
        Ok(Folder { set, skipped: self.skipped })
    }
}

fn check_size(file: &Path, image: &Image, recipe: &Preprocess) -> Result<()> {
    let ([h, w, _], [eh, ew, _]) = (image.dims(), recipe.dims());
    if [h, w] == [eh, ew] {
        return Ok(());
    }
    Err(Error::format(file, format!("this image is {h}x{w} pixels, the first one {eh}x{ew}"))
        .with_help("the images differ in size; say which size they shall be brought to"))
}

// What a folder holds, in the order of the names.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let fail = |e| Error::io(dir, "read", &e);
    let all: Vec<PathBuf> =
        std::fs::read_dir(dir).map_err(fail)?.map(|e| Ok(e.map_err(fail)?.path())).collect::<Result<_>>()?;
    let mut seen: Vec<PathBuf> = all.into_iter().filter(|path| !name(path).starts_with('.')).collect();
    seen.sort_unstable();
    Ok(seen)
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::decode::tests::{encode_jpeg, encode_png};
    use crate::data::tests::Scratch;

    fn grey(h: usize, w: usize, v: u8) -> Vec<u8> {
        encode_png([h, w, 1], png::BitDepth::Eight, &vec![v; h * w])
    }

    fn rgb_jpeg(h: usize, w: usize) -> Vec<u8> {
        encode_jpeg(&Image::new([h, w, 3], vec![128; h * w * 3]).unwrap(), false, None)
    }

    #[test]
    fn classes_and_files_come_in_the_order_of_their_names() {
        let scratch = Scratch::new();
        for (file, v) in [("dog/2.png", 20), ("dog/1.png", 10), ("cat/z.png", 99), (".hidden/x.png", 1)] {
            scratch.write(file, &grey(2, 3, v));
        }
        scratch.write("notes.txt", b"not in a class");
        let Folder { set, skipped } = read(&scratch.0, None).unwrap();
        assert_eq!(set.classes(), ["cat", "dog"]);
        assert_eq!((0..3).map(|i| (set.bytes(i)[0], set.label(i))).collect::<Vec<_>>(), [(99, 0), (10, 1), (20, 1)]);
        assert_eq!([0, 2].map(|i| set.source(i).unwrap()), ["cat/z.png", "dog/2.png"]);
        assert!(skipped.is_empty());
    }

    #[test]
    fn any_size_and_kind_is_brought_to_the_recipe() {
        let scratch = Scratch::new();
        scratch.write("a/jpeg-named.png", &rgb_jpeg(30, 50));
        scratch.write("a/grey.jpg", &grey(5, 4, 7));
        let recipe = Preprocess::new([8, 6, 3]).unwrap();
        let Folder { set, skipped } = read(&scratch.0, Some(&recipe)).unwrap();
        assert_eq!((set.len(), set.shape().dims(), skipped.len()), (2, &[8, 6, 3][..], 0));
        assert_eq!(set.bytes(0), [7; 8 * 6 * 3]);
    }

    #[test]
    fn unreadable_images_are_reported_and_not_fatal_unless_all_fail() {
        let scratch = Scratch::new();
        scratch.write("a/bad.png", b"no image");
        scratch.write("a/empty.jpg", b"");
        let e = read(&scratch.0, None).unwrap_err();
        assert!(e.message().contains("none of the 2 files") && e.message().contains("bad.png"), "{e}");
        scratch.write("b/good.png", &grey(2, 2, 5));
        let Folder { set, skipped } = read(&scratch.0, None).unwrap();
        assert_eq!((set.len(), skipped.len()), (1, 2));
        assert_eq!(set.source(0).as_deref(), Some("b/good.png"));
        assert!(skipped[1].message().contains("empty.jpg: the file is empty"));
    }

    #[test]
    fn folders_without_images_or_classes_or_of_mixed_sizes_are_refused() {
        let scratch = Scratch::new();
        let message = || crate::data::load_path(&scratch.0, None).unwrap_err().to_string();
        assert!(message().contains("no sub-folder"));
        std::fs::create_dir(scratch.0.join("a")).unwrap();
        assert!(message().contains("no image"));
        scratch.write("a/1.png", &grey(2, 2, 5));
        scratch.write("a/2.png", &grey(2, 3, 5));
        assert!(message().contains("2.png: this image is 2x3 pixels, the first one 2x2"), "{}", message());
        assert!(read(&scratch.0.join("none"), None).unwrap_err().message().contains("none"));
    }

    #[test]
    fn parts_are_used_and_else_a_fifth_of_each_class_is_held_out() {
        let scratch = Scratch::new();
        for i in 0..10 {
            scratch.write(&format!("train/a/{i}.png"), &grey(2, 2, i));
            scratch.write(&format!("train/b/{i}.png"), &grey(2, 2, 100 + i));
        }
        let whole = split(&scratch.0.join("train"), None).unwrap();
        assert_eq!((whole.train.len(), whole.test.len()), (16, 4));
        let held = whole.test.image(0).unwrap().pixels()[0];
        assert_eq!(whole.test.source(0).unwrap(), format!("a/{held}.png"), "a part knows the files of the whole");
        let images = |s: &Split| (0..4).map(|i| s.test.image(i).unwrap().pixels()[0]).collect::<Vec<_>>();
        assert_eq!(images(&whole), images(&split(&scratch.0.join("train"), None).unwrap()));
        scratch.write("val/b/x.png", &grey(2, 2, 50));
        let parts = split(&scratch.0, None).unwrap();
        assert_eq!((parts.train.len(), parts.test.len(), parts.test.label(0)), (20, 1, 1));
        scratch.write("val/c/x.png", &grey(2, 2, 50));
        assert!(split(&scratch.0, None).unwrap_err().to_string().contains("its classes are a, b"));
    }
}
