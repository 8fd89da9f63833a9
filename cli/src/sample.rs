//! How a file becomes a network's input: images by their preprocessing, arrays of NumPy as they are.

use std::path::Path;
use std::sync::Arc;

use striate::data::{Dataset, Framing, Image, Levels, Preprocess};
use striate::format::npy::{Array, Numbers};
use striate::{Error, Result, Shape};

use crate::args::PixelArgs;

/// How an image becomes the input: as the model says, changed by the arguments; `None` if nobody says.
pub fn preprocess(known: Option<&Preprocess>, args: &PixelArgs, input: Shape) -> Result<Option<Preprocess>> {
    if args.is_empty() {
        return Ok(known.cloned());
    }
    let dims = input.hwc().ok().filter(|[_, _, c]| *c == 1 || *c == 3).ok_or_else(|| {
        Error::argument(format!("the network takes {input}, which is no image")).with_help("give an array as .npy")
    })?;
    let mut recipe = match known {
        Some(known) => known.clone(),
        None => Preprocess::new(dims)?,
    };
    if let Some(divisor) = args.scale {
        recipe = recipe.divisor(divisor).map_err(|e| e.within("--scale"))?;
    }
    if args.mean.is_some() || args.std.is_some() {
        let each = |given: &Option<Vec<f32>>, usual: f32| match given.as_deref() {
            None => vec![usual; dims[2]],
            Some([one]) => vec![*one; dims[2]],
            Some(all) => all.to_vec(),
        };
        let (mean, std) = (each(&args.mean, 0.0), each(&args.std, 1.0));
        if known.is_none() && args.scale.is_none() {
            check_mean(&mean)?;
        }
        recipe = recipe.mean_std(&mean, &std).map_err(|e| e.within("--mean, --std"))?;
    }
    if let Some(part) = part(args, dims)? {
        recipe = recipe.framing(Framing::Crop { part }).map_err(|e| e.within("--crop"))?;
    }
    Ok(Some(recipe))
}

// A mean of bytes, where bytes are made 0 to 1 before it is subtracted, would leave an image without contrast.
fn check_mean(mean: &[f32]) -> Result<()> {
    match mean.iter().find(|m| m.abs() > 2.0) {
        Some(m) => Err(Error::argument(format!(
            "--mean {m} is that of bytes, but bytes are divided by 255 before it is subtracted"
        ))
        .with_help("give --scale 1 too, so that bytes are not divided; or the mean of numbers from 0 to 1")),
        None => Ok(()),
    }
}

// The part of the image that is kept: given, or the network's size of a larger one.
fn part(args: &PixelArgs, [h, w, _]: [usize; 3]) -> Result<Option<f32>> {
    let Some(size) = args.size else { return Ok(args.crop) };
    if size < h.min(w) {
        return Err(Error::argument(format!("--size {size} is less than the network's {h}x{w}"))
            .with_help("give the shorter side of the image before its middle is cut out, such as 256 for 224"));
    }
    Ok(Some(h.min(w) as f32 / size as f32))
}

/// A data set whose images become inputs as a model says, and not as the set does.
pub struct Prepared {
    of: Arc<dyn Dataset>,
    preprocess: Preprocess,
    levels: Levels,
}

/// The same data set, its images prepared for the model; unchanged where they are so already.
pub fn prepared(of: Arc<dyn Dataset>, preprocess: Option<&Preprocess>) -> Arc<dyn Dataset> {
    match preprocess.filter(|p| of.preprocess() != Some(p) && !of.is_empty() && of.image(0).is_some()) {
        None => of,
        Some(p) => Arc::new(Prepared { of, levels: p.levels(), preprocess: p.clone() }),
    }
}

impl Dataset for Prepared {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn len(&self) -> usize {
        self.of.len()
    }

    fn shape(&self) -> Shape {
        self.preprocess.shape()
    }

    fn classes(&self) -> &[String] {
        self.of.classes()
    }

    fn label(&self, i: usize) -> u32 {
        self.of.label(i)
    }

    fn fill(&self, i: usize, x: &mut [f32]) -> Result<()> {
        let image = self.image(i).ok_or_else(|| Error::argument(format!("sample {i} is no image")))?;
        if image.dims() == self.preprocess.dims() {
            self.levels.fill(image.pixels(), x);
        } else {
            x.copy_from_slice(&self.preprocess.apply(&image)?);
        }
        Ok(())
    }

    fn image(&self, i: usize) -> Option<Image> {
        self.of.image(i)
    }

    fn source(&self, i: usize) -> Option<String> {
        self.of.source(i)
    }

    fn preprocess(&self) -> Option<&Preprocess> {
        Some(&self.preprocess)
    }
}

/// The samples of a file: an image, or an array with one sample or many.
pub fn read(path: &Path, preprocess: Option<&Preprocess>, input: Shape) -> Result<Vec<f32>> {
    if path.is_dir() {
        return Err(Error::argument(format!("{} is a folder, not an image", path.display()))
            .with_help(format!("give its files: {}", path.join("*.png").display())));
    }
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) {
        return array(Array::read(path)?, preprocess, input).map_err(|e| e.within(path.display()));
    }
    let preprocess = preprocess.ok_or_else(|| {
        Error::argument("the model does not say how an image becomes its input").with_help(
            "say it with --scale (255 makes bytes 0 to 1), --mean, --std and --crop; or give a ready array as .npy",
        )
    })?;
    let image = Image::open(path)?;
    preprocess.apply(&image).map_err(|e| e.within(path.display()))
}

fn array(array: Array, preprocess: Option<&Preprocess>, input: Shape) -> Result<Vec<f32>> {
    let dims = array.dims().to_vec();
    // Bytes of the right size are an image that needs no more resizing.
    if let (Numbers::U8(bytes), Some(preprocess)) = (array.numbers(), preprocess)
        && fits(&dims, input.dims())
    {
        let mut x = vec![0.0; bytes.len()];
        preprocess.levels().fill(bytes, &mut x);
        return Ok(x);
    }
    let tensor = array.into_tensor()?;
    if fits(&dims, input.dims()) {
        return Ok(tensor.into_data());
    }
    // As PyTorch has it: channels first.
    if let [h, w, c] = *input.dims()
        && fits(&dims, &[c, h, w])
    {
        let n = tensor.data().len() / input.len();
        return Ok(tensor.reshape(&[n, c, h, w])?.permute(&[0, 2, 3, 1])?.into_data());
    }
    Err(Error::shape(format!("an array of shape {dims:?} is no input for a network that takes {input}"))
        .with_help("give [n, h, w, c], [n, c, h, w], or one sample without n"))
}

fn fits(dims: &[usize], sample: &[usize]) -> bool {
    dims == sample || (dims.len() == sample.len() + 1 && dims[0] > 0 && dims[1..] == *sample)
}
