//! The dense layer, also called affine or fully connected: each output sees all inputs.
//!
//! ```text
//! y[n, j] = f( b[j] + sum over i of x[n, i] w[i, j] )
//! ```
//!
//! It is a 1x1 convolution over images of one pixel, and computed as one.

use serde::{Deserialize, Serialize};

use super::convolve::{Layer, params};
use super::{Activation, Compiled, Ctx, Fuses, Mode, ParamSpec, Rule, Twin};
use crate::conv::{Channels, Geometry, Padding, Window};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::tensor::Shape;

/// Dense layer: `[features]` to `[units]`.
///
/// | parameter | axes |
/// |---|---|
/// | `kernel` | `[features, units]` |
/// | `bias` | `[units]` |
///
/// ```
/// use striate::ops::{Dense, Rule};
/// let dense = Dense::new(64);
/// assert_eq!(dense.shape(&[[576].into()])?, [64].into());
/// assert!(dense.shape(&[[3, 3, 64].into()]).unwrap_err().to_string().contains("flatten"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Number of outputs.
    pub units: usize,
    /// Whether there is a bias.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub bias: bool,
    /// Applied last.
    #[serde(default)]
    pub activation: Activation,
    /// How the kernel starts.
    #[serde(default = "glorot")]
    pub kernel_init: Init,
    /// How the bias starts.
    #[serde(default = "zeros")]
    pub bias_init: Init,
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn glorot() -> Init {
    Init::GlorotUniform
}

fn zeros() -> Init {
    Init::Zeros
}

impl Dense {
    /// `units` outputs, with bias, linear.
    pub fn new(units: usize) -> Self {
        Self { units, bias: true, activation: Activation::Linear, kernel_init: glorot(), bias_init: zeros() }
    }

    /// Leaves the bias out.
    #[must_use]
    pub fn no_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// The activation, applied last.
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// How the kernel starts.
    #[must_use]
    pub fn init(self, kernel_init: Init) -> Self {
        Self { kernel_init, ..self }
    }

    /// The geometry for a batch of `n` inputs of this shape.
    ///
    /// # Errors
    /// The input has more than one axis.
    pub fn geometry(&self, n: usize, x: Shape) -> Result<Geometry> {
        let [features] = *x.dims() else {
            return Err(Error::shape(format!("Dense takes one axis of features, not {x}"))
                .with_help(format!("flatten the input first, which makes {} features of it", x.len())));
        };
        let channels = Channels { ic: features, oc: self.units, groups: 1, pad_value: 0.0 };
        let window = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: Padding::Valid, ceil: false };
        Geometry::new(n, [1, 1], channels, &window)
    }

    fn layer(&self, n: usize, x: &[Shape]) -> Result<Layer> {
        let [x] = x else {
            return Err(Error::shape(format!("Dense takes one input, not {}", x.len())));
        };
        Ok(Layer { geometry: self.geometry(n, *x)?, adjoint: false, bias: self.bias, activation: self.activation })
    }
}

impl Rule for Dense {
    fn class(&self) -> &'static str {
        "Dense"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        Shape::new(&[self.layer(1, x)?.geometry.oc])
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let features = x.first().map_or(1, Shape::len);
        let bias = self.bias.then_some(self.bias_init);
        params(vec![features, self.units], self.units, (features, self.units), self.kernel_init, bias)
    }

    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
        x.first().map_or(0, Shape::len) as u64 * y.len() as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        self.layer(ctx.batch, ctx.own())?.compile(ctx)
    }

    fn fuses(&self, _x: &[Shape], mode: Mode) -> Fuses {
        Layer::fuses(mode)
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        self.layer(t.batch, t.shapes).expect("shapes were checked before").twin(t)
    }
}
