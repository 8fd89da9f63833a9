//! Activation maximisation: the image that a channel or a class answers to most.
//!
//! From grey, pixels climb the gradient of the goal: the mean of a channel over all its places, or the score of a class
//! before the softmax. The image is moved by a few pixels at each step, so that it cannot rest on single ones, and kept smooth.
//!
//! Source: Erhan et al., "Visualizing higher-layer features of a deep network", 2009; Simonyan et al., 2013,
//! arXiv:1312.6034; the moves and scales are those of Olah et al., 2017, doi:10.23915/distill.00007.

use std::ops::ControlFlow;

use super::canvas::{Canvas, Levels, Moment, all_steps, at_step, is_kept};
use super::invert::checked;
use super::show::bitmap;
use super::tape::{ReluRule, Spot, Tape, TapeConfig};
use super::window::image;
use crate::data::Image;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::rng::Rng;
use crate::session::Machine;
use crate::visual::{Animation, Item, Panel, Picture, Section, Sheet, short};

/// What is made as large as possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The mean of a channel of a layer over its places; of a layer without places, one of its values.
    Channel {
        /// The layer.
        layer: String,
        /// The channel.
        channel: usize,
    },
    /// The score of a class before the softmax.
    Class(usize),
}

impl Goal {
    /// Whether a model has what is to be made large.
    ///
    /// # Errors
    /// There is no such layer, channel or class.
    pub fn check(&self, model: &Model) -> Result<()> {
        Aim::new(model, self).map(|_| ())
    }
}

/// How [`maximise`] works.
#[derive(Debug, Clone)]
pub struct MaximiseConfig {
    /// The numbers of black and white for each channel of the input; 0 and 1 if empty.
    pub levels: Levels,
    /// Steps.
    pub steps: usize,
    /// The weight of smoothness against the goal.
    pub smooth: f32,
    /// How far the image is moved at most, in pixels along each axis; a sixteenth of its shorter side if not given.
    pub jitter: Option<usize>,
    /// The seed of the first noise and of the moves.
    pub seed: u64,
    /// The machine.
    pub machine: Machine,
}

impl Default for MaximiseConfig {
    fn default() -> Self {
        Self { levels: Vec::new(), steps: 256, smooth: 2.0, jitter: None, seed: 0, machine: Machine::default() }
    }
}

/// The image that a goal answers to.
#[derive(Debug, Clone)]
pub struct Maximum {
    /// What was made large.
    pub goal: Goal,
    /// The image.
    pub image: Image,
    /// The goal's value for grey with a little noise.
    pub start: f32,
    /// The goal's value for the image.
    pub value: f32,
    /// How it came about, from grey to the last step; the value of a moment is the goal's.
    pub moments: Vec<Moment>,
}

/// Makes the image that a goal answers to most.
///
/// ```
/// use striate::inspect::{Goal, MaximiseConfig, maximise};
/// let model = striate::Model::new(striate::zoo::recipe("keras-mnist")?.graph, 0)?;
/// let found = maximise(&model, &Goal::Class(3), &MaximiseConfig { steps: 10, ..MaximiseConfig::default() })?;
/// assert!(found.value > found.start && found.image.dims() == [28, 28, 1]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The network takes no images, there is no such layer, channel or class, or a setting is out of range.
pub fn maximise(model: &Model, goal: &Goal, config: &MaximiseConfig) -> Result<Maximum> {
    maximise_watched(model, goal, config, &mut |_| ControlFlow::Continue(()))
}

/// As [`maximise`]; `watch` hears how many steps are done, and may end it there.
///
/// # Errors
/// As [`maximise`].
pub fn maximise_watched(
    model: &Model,
    goal: &Goal,
    config: &MaximiseConfig,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Maximum> {
    let dims = image(model.graph().input_shape()?)?;
    checked(config.steps, config.smooth)?;
    let aim = Aim::new(model, goal)?;
    let upto = if let Goal::Channel { layer, .. } = goal { Some(layer.as_str()) } else { None };
    let mut tape = Tape::new(model, 1, &TapeConfig { upto, machine: config.machine.clone() })?;
    let mut canvas = Canvas::new(dims, &config.levels, config.seed)?;
    let mut rng = Rng::new(config.seed).split("jitter");
    let reach = config.jitter.unwrap_or(dims[0].min(dims[1]) / 16).min(dims[0].min(dims[1]) - 1);
    let mut moments: Vec<Moment> = Vec::new();
    for step in 0..=config.steps {
        let last = watch(step).is_break() || step == config.steps;
        if last || is_kept(step) {
            let value = aim.value(&mut tape, &canvas.x())?;
            super::score::finite(&[value])?;
            moments.push(Moment { step, image: canvas.image()?, value: f64::from(value) });
        }
        if last {
            break;
        }
        let mut shift = || rng.below(2 * reach as u32 + 1) as usize;
        let (dy, dx) = (shift(), shift());
        tape.forward(&rolled(&canvas.x(), dims, [dims[0] + dy - reach, dims[1] + dx - reach]))?;
        tape.backward(aim.spot(), &aim.seed, ReluRule::Derivative)?;
        let back = [dims[0] + reach - dy, dims[1] + reach - dx];
        let up = rolled(tape.input_gradient().data(), dims, back);
        let rate = 0.05 * (1.0 - 0.9 * step as f32 / config.steps as f32);
        canvas.descend(&down(&up, dims[0] * dims[1]), rate, config.smooth);
    }
    let value = |m: Option<&Moment>| m.map_or(0.0, |m| m.value as f32);
    let (start, value) = (value(moments.first()), value(moments.last()));
    Ok(Maximum { goal: goal.clone(), image: canvas.image()?, start, value, moments })
}

// A goal in numbers: where its gradient starts, and with what.
struct Aim<'a> {
    layer: Option<&'a str>,
    seed: Vec<f32>,
}

impl<'a> Aim<'a> {
    fn new(model: &Model, goal: &'a Goal) -> Result<Self> {
        let graph = model.graph();
        let (layer, shape, index) = match goal {
            Goal::Channel { layer, channel } => (Some(layer.as_str()), graph.shape(graph.value(layer)?), *channel),
            Goal::Class(class) => (None, graph.output_shape()?, *class),
        };
        let channels = if layer.is_some() { shape.channels() } else { shape.len() };
        if index >= channels {
            let (what, last) = (
                layer.map_or("the network has no class".into(), |l| format!("layer '{l}' has no channel")),
                channels - 1,
            );
            return Err(Error::argument(format!("{what} {index}")).with_help(format!("they are 0 to {last}")));
        }
        let mut seed = vec![0.0; shape.len()];
        let places = shape.len() / channels;
        seed.iter_mut().skip(index).step_by(channels).for_each(|v| *v = 1.0 / places as f32);
        Ok(Self { layer, seed })
    }

    // Before the activation, whose flat part has no gradient.
    fn spot(&self) -> Spot<'a> {
        self.layer.map_or(Spot::Logits, Spot::Before)
    }

    fn value(&self, tape: &mut Tape, x: &[f32]) -> Result<f32> {
        tape.forward(x)?;
        let values = tape.value(self.spot())?;
        Ok(values.data().iter().zip(&self.seed).map(|(v, s)| f64::from(*v) * f64::from(*s)).sum::<f64>() as f32)
    }
}

// The image moved down and to the right, around its edges.
fn rolled(x: &[f32], [h, w, c]: [usize; 3], [dy, dx]: [usize; 2]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    for (i, pixel) in x.chunks(c).enumerate() {
        let at = ((i / w + dy) % h) * w + (i % w + dx) % w;
        y[at * c..(at + 1) * c].copy_from_slice(pixel);
    }
    y
}

// The way down, each number about one part of the image's pixels, so that smoothness weighs the same for all goals.
fn down(up: &[f32], pixels: usize) -> Vec<f32> {
    let mean = up.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / up.len() as f64;
    let scale = if mean > 0.0 { -(1.0 / (mean.sqrt() * pixels as f64)) as f32 } else { 0.0 };
    up.iter().map(|v| v * scale).collect()
}

/// Draws images that goals answer to, each with its name.
///
/// # Errors
/// There is nothing to draw.
pub fn maximise_sheet(name: &str, all: &[(String, Maximum)]) -> Result<Picture> {
    sheet(name, all, usize::MAX)
}

/// The same as an animation: how each image came about.
///
/// # Errors
/// There is nothing to draw.
pub fn maximise_animation(name: &str, all: &[(String, Maximum)]) -> Result<Animation> {
    let steps = all_steps(all.iter().flat_map(|(_, found)| &found.moments));
    let frames = steps.iter().map(|step| sheet(name, all, *step)).collect::<Result<Vec<_>>>()?;
    Animation::of(&frames, super::show::MOMENT)
}

// As it was after so many steps.
fn sheet(name: &str, all: &[(String, Maximum)], step: usize) -> Result<Picture> {
    let mut items = Vec::new();
    for (what, found) in all {
        let Some(moment) = at_step(&found.moments, step) else { continue };
        let (from, to) = (short(f64::from(found.start)), short(moment.value));
        let panel =
            Panel::new(bitmap(&moment.image)?, 200.0).title(what).caption(format!("{from} for grey, {to} here"));
        items.push(Item::Image(panel.caption(super::show::after(moment.step))));
    }
    let section = Section { items, ..Section::default() };
    let subtitle = "pixels changed from grey until the answer is as large as they can make it";
    let title = format!("What {name} answers to most");
    Sheet { title, subtitle: subtitle.into(), sections: vec![section], ..Sheet::default() }.picture()
}
