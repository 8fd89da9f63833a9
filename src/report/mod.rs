//! A report on a training run: one HTML page that needs no other file, no network and no script.
//!
//! ```text
//! Run (model, data, history) -> Report (every value and picture) -> html
//! ```
//!
//! - [`Report::of`] measures the model again and looks inside it; all that the page shows is a field of the report.
//! - [`Accuracy`]: the three kinds of accuracy, each with its interval. [`Answers`]: the mistakes, the worst first.
//! - [`Filters`], [`Maps`], [`Cams`]: what the network sees; where there is nothing to see, why not.
//!
//! The same run gives the same bytes: a page holds no date and no time but those that the history has.

mod accuracy;
mod answers;
mod page;
mod pictures;

use std::ops::ControlFlow;

pub use accuracy::Accuracy;
pub use answers::{Answers, Example, answers};
pub use pictures::{Cam, CamExample, Cams, Change, Filters, LayerPicture, Maps};

use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{TensorRef, digest};
use crate::inspect::{self, Layers};
use crate::model::Model;
use crate::session::{Machine, Session};
use crate::train::{EvaluateConfig, Evaluation, FitConfig, History, evaluate};
use crate::visual::Picture;

/// What a report is made from.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What was trained on what.
    pub title: &'a str,
    /// The trained model.
    pub model: &'a Model,
    /// The same network as it was before training, if that is known.
    pub before: Option<&'a Model>,
    /// What each epoch gave.
    pub history: &'a History,
    /// How it was trained.
    pub config: &'a FitConfig,
    /// What it was trained on.
    pub train: &'a dyn Dataset,
    /// What was measured after each epoch.
    pub validation: Option<&'a dyn Dataset>,
    /// What it is tested on.
    pub test: &'a dyn Dataset,
    /// What else there is to know, table by table.
    pub settings: &'a [Facts],
    /// What a reader should be warned of.
    pub notes: &'a [String],
}

/// Names with values, under a heading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The heading.
    pub heading: String,
    /// Each name with its value.
    pub rows: Vec<(String, String)>,
}

/// How much a report shows.
#[derive(Debug, Clone)]
pub struct ReportConfig {
    /// Mistakes, the worst first.
    pub mistakes: usize,
    /// Mistakes and right answers that Grad-CAM explains, so many of each.
    pub examples: usize,
    /// Kernels of the first convolution.
    pub kernels: usize,
    /// Channels of each layer.
    pub channels: usize,
    /// The machine.
    pub machine: Machine,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { mistakes: 24, examples: 6, kernels: 64, channels: 16, machine: Machine::default() }
    }
}

/// A part of a report, or the sentence that says why there is none.
pub type Shown<T> = Result<T, String>;

/// All that a report shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was trained on what.
    pub title: String,
    /// The three kinds of accuracy: as training ran, training measured again, validation and test.
    pub accuracies: Vec<Accuracy>,
    /// What each epoch gave.
    pub history: History,
    /// The answers on the test set.
    pub test: Answers,
    /// The name of the test set.
    pub data: String,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The worst mistakes, each with its image.
    pub mistakes: Vec<(Example, crate::visual::Bitmap)>,
    /// The kernels of the first convolution, before training and after.
    pub filters: Shown<Filters>,
    /// The feature maps of an example.
    pub maps: Shown<Maps>,
    /// Grad-CAM of examples.
    pub cams: Shown<Cams>,
    /// The layers.
    pub layers: Layers,
    /// The network as a drawing.
    pub drawing: Picture,
    /// The digest of the model's weights.
    pub digest: String,
    /// The epoch after which the weights had this digest.
    pub epoch: Option<u32>,
    /// Names with values, table by table.
    pub settings: Vec<Facts>,
    /// What a reader should be warned of.
    pub notes: Vec<String>,
}

/// What is called while a report is made: what is done, how much of it, and of how much. It may break off.
pub type Progress<'a> = &'a mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>;

impl Report {
    /// Measures a run again and looks inside its model.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use striate::data::{ImageSet, Preprocess};
    /// use striate::report::{Report, ReportConfig, Run};
    /// use striate::train::{Fit, FitConfig};
    /// let classes = vec!["dark".to_string(), "light".to_string()];
    /// let data = ImageSet::new("dots", vec![9, 250, 0, 199], vec![0, 1, 0, 1], classes, Preprocess::new([1, 1, 1])?)?;
    /// let config = FitConfig { epochs: 1, batch_size: 2, ..FitConfig::default() };
    /// let mut model = striate::Sequential::new([1, 1, 1])
    ///     .add(striate::ops::Flatten::new())
    ///     .add(striate::ops::Dense::new(2).activation(striate::ops::Activation::Softmax))
    ///     .build(0)?;
    /// let history = Fit::new(&data, &config).run(&mut model)?;
    /// let run = Run {
    ///     title: "a dense layer on dots", model: &model, before: None, history: &history, config: &config,
    ///     train: &data, validation: None, test: &data, settings: &[], notes: &[],
    /// };
    /// let report = Report::of(&run, &ReportConfig::default(), &mut |_, _, _| ControlFlow::Continue(()))?;
    /// assert!(report.filters.unwrap_err().contains("no convolution"));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// The history has no epoch, the data do not fit the network, its numbers are bad, or `progress` breaks off.
    pub fn of(run: &Run<'_>, config: &ReportConfig, progress: Progress<'_>) -> Result<Self> {
        let digest = weights_digest(run.model);
        let epoch = run.history.epochs.iter().rev().find(|e| e.digest == digest).map(|e| e.epoch);
        let again = measure(run, config, &mut |done, of| progress("training set", done, of))?;
        let trial = EvaluateConfig { loss: &run.config.loss, batch_size: BATCH };
        let mut session = Session::new(run.model, config.machine.clone())?;
        let test = answers(&mut session, run.test, trial, &mut |done, of| progress("test set", done, of))?;
        let accuracies = accuracy::all(run, epoch, &again, &test.evaluation)?;
        let pictures = pictures::Pictures { run, config, answers: &test };
        // Mistakes, filters, maps, and each example of Grad-CAM.
        let steps = 3 + pictures.explained_count();
        let mut step = 0;
        let mut tick = || {
            step += 1;
            match progress("pictures", step.min(steps), steps) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::new(ErrorKind::Stopped, "the report was stopped")),
            }
        };
        let mistakes = pictures.mistakes()?;
        tick()?;
        let filters = pictures.filters()?;
        tick()?;
        let maps = pictures.maps()?;
        tick()?;
        let cams = pictures.cams(&mut tick)?;
        if step < steps {
            let _ = progress("pictures", steps, steps);
        }
        Ok(Self {
            title: run.title.to_string(),
            accuracies,
            history: run.history.clone(),
            data: run.test.name().to_string(),
            classes: run.test.classes().to_vec(),
            mistakes,
            filters,
            maps,
            cams,
            layers: Layers::of(run.model.graph())?,
            drawing: inspect::draw(run.model.graph())?,
            digest,
            epoch,
            settings: run.settings.to_vec(),
            notes: run.notes.to_vec(),
            test,
        })
    }

    /// What a class is called.
    pub fn class(&self, class: usize) -> String {
        self.classes.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
    }
}

// As Keras has it; the result is the same for any.
const BATCH: usize = 32;

fn measure(
    run: &Run<'_>,
    config: &ReportConfig,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Evaluation> {
    let mut session = Session::new(run.model, config.machine.clone())?;
    evaluate(&mut session, run.train, EvaluateConfig { loss: &run.config.loss, batch_size: BATCH }, progress)
}

fn weights_digest(model: &Model) -> String {
    digest(model.params().iter().map(|p| TensorRef { name: &p.name, dims: &p.dims, data: &p.data }))
}
