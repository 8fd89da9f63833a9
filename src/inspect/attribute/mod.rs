//! Attribution: which pixels a network's answer rests on, by seven methods, each with its lie detector.
//!
//! All methods explain one number, the score `S` of a class before the softmax.
//!
//! | method | map | source |
//! |---|---|---|
//! | saliency | `max_c \|dS/dx\|` | Simonyan et al., 2013, arXiv:1312.6034 |
//! | guided | the same with [`ReluRule::Guided`] | Springenberg et al., 2014, arXiv:1412.6806 |
//! | integrated-gradients | `sum_c (x - x0) mean dS/dx`, along the line from a baseline `x0` to `x` | Sundararajan et al., 2017, arXiv:1703.01365 |
//! | smoothgrad | `max_c \|mean dS/dx\|` over noisy copies of `x` | Smilkov et al., 2017, arXiv:1706.03825 |
//! | grad-cam | `relu(sum_k a_k A_k)`, `a_k` the mean of `dS/dA_k` | Selvaraju et al., 2017, arXiv:1610.02391 |
//! | grad-cam++ | the same with weighted means | Chattopadhay et al., 2018, arXiv:1710.11063 |
//! | occlusion | how far `S` falls when a square is covered | Zeiler and Fergus, 2014, arXiv:1311.2901 |
//!
//! [`attribute`] makes the map, [`examine`] asks whether to believe it, and
//! [`attribution_sheet`] draws both.

mod cam;
mod figure;
mod gradients;
mod integrated;
mod occlusion;
mod trust;

use std::fmt;
use std::str::FromStr;

pub use cam::{cam_layer, grad_cam};
pub use figure::attribution_sheet;
pub use trust::{Curves, Randomised, Trust, examine};

use super::score::{self, Scorer};
use super::tape::{ReluRule, TapeConfig};
use super::window::image;
use crate::error::{Error, Result, unknown};
use crate::model::Model;
use crate::session::Machine;
use crate::tensor::Tensor;

/// How a map is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The size of the gradient.
    Saliency,
    /// The size of what guided back-propagation brings to the input.
    Guided,
    /// The gradient along the way from a baseline, times the way.
    IntegratedGradients,
    /// The mean gradient of noisy copies.
    SmoothGrad,
    /// The channels of a layer, weighted by the mean of their gradients.
    GradCam,
    /// The same with means over where the gradient is positive, weighted by how much each place adds.
    GradCamPlusPlus,
    /// What is lost when a square is covered.
    Occlusion,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 7] = [
        Self::Saliency,
        Self::Guided,
        Self::IntegratedGradients,
        Self::SmoothGrad,
        Self::GradCam,
        Self::GradCamPlusPlus,
        Self::Occlusion,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Saliency => "saliency",
            Self::Guided => "guided",
            Self::IntegratedGradients => "integrated-gradients",
            Self::SmoothGrad => "smoothgrad",
            Self::GradCam => "grad-cam",
            Self::GradCamPlusPlus => "grad-cam++",
            Self::Occlusion => "occlusion",
        }
    }

    /// The name as a title has it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Saliency => "Saliency",
            Self::Guided => "Guided back-propagation",
            Self::IntegratedGradients => "Integrated gradients",
            Self::SmoothGrad => "SmoothGrad",
            Self::GradCam => "Grad-CAM",
            Self::GradCamPlusPlus => "Grad-CAM++",
            Self::Occlusion => "Occlusion",
        }
    }

    /// What the numbers of its map are.
    pub fn measures(self) -> &'static str {
        match self {
            Self::Saliency | Self::SmoothGrad => "size of the gradient",
            Self::Guided => "size of the guided gradient",
            Self::IntegratedGradients => "share in the score",
            Self::GradCam | Self::GradCamPlusPlus => "weighted activation",
            Self::Occlusion => "fall of the score when covered",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|m| m.name() == text)
            .ok_or_else(|| unknown("method", text, Self::ALL.map(Self::name)))
    }
}

/// How [`attribute`] works.
#[derive(Debug, Clone)]
pub struct AttributeConfig {
    /// The method.
    pub method: Method,
    /// The class that is explained; the most probable one if not given.
    pub class: Option<usize>,
    /// The layer of Grad-CAM; the last convolution with more than one pixel if not given.
    pub layer: Option<String>,
    /// What stands for nothing in each channel, in the network's numbers: where integrated gradients start, and what
    /// covered pixels become. Zeros if empty.
    pub baseline: Vec<f32>,
    /// Steps of integrated gradients, or copies of SmoothGrad.
    pub samples: usize,
    /// How far the sum of integrated gradients may be from the rise of the score, as a part of it, before more steps are
    /// taken where the score bends; at most four times as many gradients.
    pub tolerance: f32,
    /// The standard deviation of SmoothGrad's noise, as a part of the range of the input.
    pub noise: f32,
    /// The side of the covered square in pixels; an eighth of the shorter side if 0.
    pub window: usize,
    /// The seed of the noise, and of what [`examine`] draws.
    pub seed: u64,
    /// The machine.
    pub machine: Machine,
}

impl Default for AttributeConfig {
    fn default() -> Self {
        Self {
            method: Method::GradCam,
            class: None,
            layer: None,
            baseline: Vec::new(),
            samples: 64,
            tolerance: 0.01,
            noise: 0.15,
            window: 0,
            seed: 0,
            machine: Machine::default(),
        }
    }
}

/// Which pixels a score rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// The method.
    pub method: Method,
    /// The class that is explained.
    pub class: usize,
    /// Its score before the softmax.
    pub score: f32,
    /// Its probability.
    pub probability: f32,
    /// The map `[h, w]` over the input's pixels.
    pub map: Tensor,
    /// The gradient that the map is the size of, `[h, w, c]`, for the methods that are one.
    pub pixels: Option<Tensor>,
    /// The layer of Grad-CAM, and the map in its size.
    pub layer: Option<(String, Tensor)>,
    /// Integrated gradients: the sum of the map, and the rise of the score from the baseline, which it should equal.
    pub completeness: Option<[f64; 2]>,
    /// Integrated gradients: how many gradients were taken.
    pub gradients: usize,
}

/// Explains the score of a class for one sample `[h, w, c]`.
///
/// ```
/// use striate::inspect::{AttributeConfig, Method, attribute};
/// let model = striate::Model::new(striate::zoo::recipe("simple-convnet")?.graph, 0)?;
/// let config = AttributeConfig { method: Method::Saliency, class: Some(3), ..AttributeConfig::default() };
/// let found = attribute(&model, &vec![0.5; 28 * 28], &config)?;
/// assert_eq!(found.map.dims(), [28, 28]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The network takes no images, there is no such class or layer, a setting is out of range, or the method needs what
/// the network has not: a ReLU (guided) or a layer with rows and columns (Grad-CAM).
pub fn attribute(model: &Model, x: &[f32], config: &AttributeConfig) -> Result<Attribution> {
    let graph = model.graph();
    let dims = image(graph.input_shape()?)?;
    if x.len() != dims.iter().product::<usize>() {
        return Err(Error::shape(format!("a sample of {} has not {} values", graph.input_shape()?, x.len())));
    }
    let mut scorer = Scorer::new(model, &config.machine)?;
    let probabilities = scorer.probabilities(x)?;
    let class = score::class(config.class, &probabilities)?;
    let score = scorer.logits(x, class)?[0];
    let look = Look { model, x, dims, class, config, baseline: baseline(config, dims)? };
    let mut found = Attribution {
        method: config.method,
        class,
        score,
        probability: probabilities[class],
        map: Tensor::zeros(&[0]),
        pixels: None,
        layer: None,
        completeness: None,
        gradients: 0,
    };
    found.map = match config.method {
        Method::Saliency | Method::Guided | Method::SmoothGrad => {
            let pixels = match config.method {
                Method::Saliency => gradients::gradient(&look, ReluRule::Derivative)?,
                Method::Guided => gradients::gradient(&look, ReluRule::Guided)?,
                _ => gradients::smooth(&look)?,
            };
            let map = gradients::largest(&pixels)?;
            found.pixels = Some(pixels);
            map
        }
        Method::IntegratedGradients => {
            let (map, gradients) = integrated::map(&look, &mut scorer)?;
            found.gradients = gradients;
            let start = scorer.logits(&look.blank(), class)?[0];
            let sum = map.data().iter().map(|v| f64::from(*v)).sum();
            found.completeness = Some([sum, f64::from(score) - f64::from(start)]);
            map
        }
        Method::GradCam | Method::GradCamPlusPlus => {
            let (layer, coarse) = cam::of(&look)?;
            let map = cam::enlarged(&coarse, [dims[0], dims[1]])?;
            found.layer = Some((layer, coarse));
            map
        }
        Method::Occlusion => occlusion::map(&look, &mut scorer, score)?,
    };
    Ok(found)
}

// All that a method needs.
struct Look<'a> {
    model: &'a Model,
    x: &'a [f32],
    dims: [usize; 3],
    class: usize,
    config: &'a AttributeConfig,
    baseline: Vec<f32>,
}

impl Look<'_> {
    fn tape(&self) -> TapeConfig<'static> {
        TapeConfig { upto: None, machine: self.config.machine.clone() }
    }

    // The sample with every pixel at the baseline.
    fn blank(&self) -> Vec<f32> {
        self.baseline.iter().copied().cycle().take(self.x.len()).collect()
    }

    // The gradient of the class's score to itself, for so many samples.
    fn seed(&self, batch: usize) -> Result<Vec<f32>> {
        let classes = score::classes(self.model.graph())?;
        let mut seed = vec![0.0; batch * classes];
        seed.iter_mut().skip(self.class).step_by(classes).for_each(|v| *v = 1.0);
        Ok(seed)
    }
}

fn baseline(config: &AttributeConfig, [_, _, c]: [usize; 3]) -> Result<Vec<f32>> {
    match config.baseline.len() {
        0 => Ok(vec![0.0; c]),
        n if n == c => Ok(config.baseline.clone()),
        n => {
            Err(Error::argument(format!("a baseline of {n} numbers for {c} channels")).with_help("give one a channel"))
        }
    }
}
