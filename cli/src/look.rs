//! What the commands that look inside share: a model, an image as the network sees it, and where the picture goes.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use striate::data::{Image, Preprocess};
use striate::visual::{Animation, Picture};
use striate::{Error, ErrorKind, Model, Result, Shape};

use crate::args::{LookArgs, PixelArgs, SubjectArgs};
use crate::input::{self, Wanted};
use crate::out::{self, say};
use crate::progress::Bar;
use crate::{sample, stop};

/// A model and one sample.
pub struct Subject {
    pub model: Model,
    /// `[h, w, c]`, as the network takes it.
    pub x: Vec<f32>,
    /// The same as bytes.
    pub image: Image,
    /// How bytes become the network's numbers, where that is known.
    pub preprocess: Option<Preprocess>,
}

impl Subject {
    /// The model and the image that the arguments name.
    pub fn open(of: &SubjectArgs, args: &LookArgs, moves: Moves) -> Result<Self> {
        let model = open_model(&of.model, args, moves)?;
        let (x, image, preprocess) = read(&model, &of.image, &args.feed.pixels)?;
        Ok(Self { model, x, image, preprocess })
    }

    /// What a class is called.
    pub fn label(&self, class: usize) -> String {
        label(&self.model, class)
    }
}

/// What a class is called.
pub fn label(model: &Model, class: usize) -> String {
    model.labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
}

/// Whether the picture of a command can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moves {
    Yes,
    No,
}

/// A model with its weights. That the picture can be written is checked first, since what follows may take minutes.
pub fn open_model(name: &str, args: &LookArgs, moves: Moves) -> Result<Model> {
    if let Some(path) = &args.out {
        out::check_picture(path, moves == Moves::Yes)?;
    }
    input::trained(name, &Wanted { network: &args.feed.network, offline: args.offline })
}

/// The class that a text names, by its label or, if no label is so, by its number: a label may be a number of its own.
pub fn class(model: &Model, text: &str) -> Result<usize> {
    let wanted = text.to_lowercase();
    if let Some(class) = model.labels.iter().position(|l| l.to_lowercase() == wanted) {
        return Ok(class);
    }
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let known: Vec<&str> = model.labels.iter().map(String::as_str).collect();
    let error = Error::argument(format!("the model has no class '{text}'"));
    Err(match striate::error::nearest(text, &known) {
        Some(near) => error.with_help(format!("did you mean '{near}'?")),
        None => error.with_help(format!("give its number, 0 to {}", model.graph().output_shape()?.len() - 1)),
    })
}

/// One sample of a file: the network's numbers, and the image that they show.
pub fn read(model: &Model, path: &Path, pixels: &PixelArgs) -> Result<(Vec<f32>, Image, Option<Preprocess>)> {
    let shape = model.graph().input_shape()?;
    let preprocess = sample::preprocess(model.preprocess.as_ref(), pixels, shape)?;
    let mut x = sample::read(path, preprocess.as_ref(), shape)?;
    x.truncate(shape.len());
    let is_array = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"));
    let image = match &preprocess {
        Some(preprocess) if !is_array => preprocess.prepare(&Image::open(path)?)?,
        _ => shown(shape, &x)?,
    };
    Ok((x, image, preprocess))
}

// An array as an image: from its smallest number to its largest, channels that are no colours as their mean.
fn shown(shape: Shape, x: &[f32]) -> Result<Image> {
    let &[h, w, c] = shape.dims() else {
        return Err(Error::argument(format!("the network takes {shape}, which is no image"))
            .with_help("looking inside needs a network that takes height, width and channels"));
    };
    let values: Vec<f32> =
        if c == 3 { x.to_vec() } else { x.chunks(c).map(|p| p.iter().sum::<f32>() / c as f32).collect() };
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
    let bytes = values.iter().map(|v| ((v - low) * scale).round() as u8).collect();
    Image::new([h, w, if c == 3 { 3 } else { 1 }], bytes)
}

/// The number of each channel for a byte, zeros where the model does not say.
pub fn number_of_byte(preprocess: Option<&Preprocess>, channels: usize, byte: u8) -> Vec<f32> {
    let mut x = vec![0.0; channels];
    if let Some(preprocess) = preprocess {
        preprocess.levels().fill(&vec![byte; channels], &mut x);
    }
    x
}

/// Writes the picture where it was asked for, and says so unless the numbers are printed.
pub fn save(picture: &Picture, args: &LookArgs, name: &str) -> Result<PathBuf> {
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.png")));
    picture.save(&path)?;
    if !args.json {
        say!("Drawn: {}", path.display());
    }
    Ok(path)
}

/// As [`save`]; where the name ends in .svg or .gif, the picture moves.
pub fn save_moving(
    picture: impl FnOnce() -> Result<Picture>,
    animation: impl FnOnce() -> Result<Animation>,
    args: &LookArgs,
    name: &str,
) -> Result<PathBuf> {
    let Some(path) = args.out.as_ref().filter(|path| out::ends_in(path, out::MOVING)) else {
        return save(&picture()?, args, name);
    };
    let animation = animation()?;
    animation.save(path)?;
    if !args.json {
        say!("Drawn: {} ({} pictures, it moves)", path.display(), animation.frames().len());
    }
    Ok(path.clone())
}

// The steps of something long: a bar on a terminal, and the end where Ctrl-C was pressed.
struct Steps {
    bar: Bar,
    start: Instant,
    of: usize,
    done: usize,
}

impl Steps {
    fn new(of: usize, args: &LookArgs) -> Self {
        Self { bar: Bar::new(args.json), start: Instant::now(), of, done: 0 }
    }

    // Hears how many steps are done.
    fn watch(&mut self, done: usize) -> ControlFlow<()> {
        self.done = done;
        self.bar.show(done as u64, self.of as u64, self.start.elapsed().as_secs_f64(), "");
        if stop::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    // Ends the line of the bar; whether all steps were done.
    fn end(mut self) -> bool {
        self.bar.abandon();
        self.done >= self.of
    }
}

/// Things that take long, one after the other. What is done is kept and drawn where Ctrl-C or an error ends the row.
pub struct Row<T> {
    what: &'static str,
    of: usize,
    all: Vec<T>,
    finished: usize,
    failed: Option<Error>,
}

/// What is called after each step.
pub type Watch<'a> = &'a mut dyn FnMut(usize) -> ControlFlow<()>;

impl<T> Row<T> {
    /// A row of so many things of a kind.
    pub fn new(what: &'static str, of: usize) -> Self {
        Self { what, of, all: Vec::new(), finished: 0, failed: None }
    }

    /// Makes the next thing, in so many steps. None where that failed and there are things before it.
    pub fn next(
        &mut self,
        args: &LookArgs,
        steps: usize,
        make: &mut dyn FnMut(Watch<'_>) -> Result<T>,
    ) -> Result<Option<&T>> {
        let mut steps = Steps::new(steps, args);
        let found = make(&mut |done| steps.watch(done));
        let ended = steps.end();
        match found {
            Ok(found) => self.all.push(found),
            Err(e) if self.all.is_empty() => return Err(e),
            Err(e) => {
                self.failed = Some(e);
                return Ok(None);
            }
        }
        self.finished += usize::from(ended);
        Ok(self.all.last())
    }

    /// Whether something ended the row.
    pub fn is_over(&self) -> bool {
        self.failed.is_some() || self.finished < self.all.len()
    }

    /// What there is.
    pub fn all(&self) -> &[T] {
        &self.all
    }

    /// The error that ended the row; the picture shows how far it came.
    pub fn end(&self, path: &Path) -> Result<()> {
        let shows = format!("{} shows how far it came", path.display());
        if let Some(error) = &self.failed {
            let help = error.help().map_or(shows.clone(), |help| format!("{help}; {shows}"));
            return Err(Error::new(error.kind(), error.message()).with_help(help));
        }
        if self.finished == self.of {
            return Ok(());
        }
        let Self { finished, of, what, .. } = self;
        Err(Error::new(ErrorKind::Stopped, format!("stopped after {finished} of {of} {what}")).with_help(shows))
    }
}

/// The numbers of black and white for each channel; none where the model does not say.
pub fn levels(preprocess: Option<&Preprocess>, channels: usize) -> Vec<[f32; 2]> {
    if preprocess.is_none() {
        return Vec::new();
    }
    let (black, white) = (number_of_byte(preprocess, channels, 0), number_of_byte(preprocess, channels, 255));
    black.into_iter().zip(white).map(|(black, white)| [black.min(white), white.max(black)]).collect()
}

/// Numbers after `--at`: row, column and channel.
pub fn place(text: &str) -> Result<[usize; 3], String> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some([y, x, c]) => Ok([*y, *x, *c]),
        Some([c]) => Ok([0, 0, *c]),
        _ => {
            Err("give row, column and channel, such as 3,5,0; or the number of a value, where there are no rows".into())
        }
    }
}
