//! Convolution layers: Conv2D over images, Conv1D over sequences.
//!
//! ```text
//! z[i, j, k] = b[k] + sum over u, v, k' of  x[i', j', k'] w[u, v, k', k],   y = f(z)
//! i' = i stride_h + u dilation_h - padding_top,   j' = j stride_w + v dilation_w - padding_left
//! ```
//!
//! Each of the `filters` kernels has as many channels as the input (of its group) and makes one output channel (M18,
//! M19, M20); bias and activation are part of the same pass.

use serde::{Deserialize, Serialize};

use super::convolve::{Layer, params};
use super::pair::{self, Pair};
use super::{Activation, Compiled, Ctx, Fuses, Mode, ParamSpec, Rule, Twin};
use crate::conv::{Channels, Geometry, Padding, Window};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::tensor::Shape;

/// Two-dimensional convolution: `[h, w, c]` to `[oh, ow, filters]`.
///
/// | parameter | axes |
/// |---|---|
/// | `kernel` | `[kh, kw, c / groups, filters]` |
/// | `bias` | `[filters]` |
///
/// It reads and writes as it is built; what is left out has its default:
///
/// ```
/// use striate::ops::{Activation, Conv2D, Rule};
/// use striate::conv::Padding;
/// let conv = Conv2D::new(32, 3).padding(Padding::Same).activation(Activation::Relu);
/// assert_eq!(conv.shape(&[[28, 28, 1].into()])?, [28, 28, 32].into());
/// assert_eq!(conv.params(&[[28, 28, 1].into()])[0].dims, [3, 3, 1, 32]);
/// assert_eq!(conv, serde_json::from_str(r#"{"filters": 32, "kernel": 3, "padding": "same", "activation": "relu"}"#).unwrap());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2D {
    /// Number of kernels: the channels of the output.
    pub filters: usize,
    /// Size of a kernel, `[kh, kw]`.
    #[serde(with = "pair")]
    pub kernel: [usize; 2],
    /// Step between outputs.
    #[serde(with = "pair", default = "ones", skip_serializing_if = "is_default_pair")]
    pub stride: [usize; 2],
    /// Padding of the input.
    #[serde(default)]
    pub padding: Padding,
    /// What stands in the padding.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pad_value: f32,
    /// Distance between the kernel's elements.
    #[serde(with = "pair", default = "ones", skip_serializing_if = "is_default_pair")]
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
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

fn ones() -> [usize; 2] {
    [1, 1]
}

fn is_default_pair(pair: &[usize; 2]) -> bool {
    *pair == ones()
}

fn one() -> usize {
    1
}

fn is_one(size: &usize) -> bool {
    *size == 1
}

fn is_zero(value: &f32) -> bool {
    *value == 0.0
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

impl Conv2D {
    /// `filters` kernels of one size (a number, or height and width): stride 1, no padding, with bias, linear.
    pub fn new(filters: usize, kernel: impl Into<Pair>) -> Self {
        Self {
            filters,
            kernel: kernel.into().0,
            stride: ones(),
            padding: Padding::Valid,
            pad_value: 0.0,
            dilation: ones(),
            groups: 1,
            bias: true,
            activation: Activation::Linear,
            kernel_init: glorot(),
            bias_init: zeros(),
        }
    }

    /// Step between outputs.
    #[must_use]
    pub fn stride(self, stride: impl Into<Pair>) -> Self {
        Self { stride: stride.into().0, ..self }
    }

    /// Padding of the input.
    #[must_use]
    pub fn padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// What stands in the padding instead of 0 (M11).
    #[must_use]
    pub fn pad_value(self, pad_value: f32) -> Self {
        Self { pad_value, ..self }
    }

    /// Distance between the kernel's elements.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Pair>) -> Self {
        Self { dilation: dilation.into().0, ..self }
    }

    /// Groups of channels that do not see each other; as many as there are channels for a depthwise convolution.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
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
    /// The input is not an image, or the kernel does not fit it.
    pub fn geometry(&self, n: usize, x: Shape) -> Result<Geometry> {
        let [h, w] = match *x.dims() {
            [h, w, _] => [h, w],
            _ => return Err(not_rank("Conv2D", x, "h, w, c", "Conv1D takes [l, c]; reshape anything else")),
        };
        let channels = Channels { ic: x.channels(), oc: self.filters, groups: self.groups, pad_value: self.pad_value };
        let Self { kernel, stride, dilation, padding, .. } = *self;
        Geometry::new(n, [h, w], channels, &Window { kernel, stride, dilation, padding, ceil: false })
    }

    pub(super) fn layer(&self, n: usize, x: Shape) -> Result<Layer> {
        Ok(Layer { geometry: self.geometry(n, x)?, adjoint: false, bias: self.bias, activation: self.activation })
    }
}

fn not_rank(class: &str, x: Shape, axes: &str, help: &str) -> Error {
    Error::shape(format!("{class} takes one input with the axes {axes}, not {x}")).with_help(help)
}

fn only(class: &str, x: &[Shape]) -> Result<Shape> {
    match x {
        [x] => Ok(*x),
        _ => Err(Error::shape(format!("{class} takes one input, not {}", x.len()))),
    }
}

impl Rule for Conv2D {
    fn class(&self) -> &'static str {
        "Conv2D"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let g = self.geometry(1, only(self.class(), x)?)?;
        Shape::new(&[g.h.output, g.w.output, g.oc])
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let [kh, kw] = self.kernel;
        let icg = x.first().map_or(1, Shape::channels) / self.groups.max(1);
        let fans = (kh * kw * icg, kh * kw * self.filters);
        let bias = self.bias.then_some(self.bias_init);
        params(vec![kh, kw, icg, self.filters], self.filters, fans, self.kernel_init, bias)
    }

    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
        self.params(x)[0].fans.0 as u64 * y.len() as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        self.layer(ctx.batch, only(self.class(), ctx.own())?)?.compile(ctx)
    }

    fn fuses(&self, _x: &[Shape], mode: Mode) -> Fuses {
        Layer::fuses(mode)
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        self.layer(t.batch, t.shapes[0]).expect("shapes were checked before").twin(t)
    }
}

/// One-dimensional convolution: `[l, c]` to `[ol, filters]`.
///
/// | parameter | axes |
/// |---|---|
/// | `kernel` | `[k, c / groups, filters]` |
/// | `bias` | `[filters]` |
///
/// ```
/// use striate::ops::{Conv1D, Rule};
/// assert_eq!(Conv1D::new(8, 5).stride(2).shape(&[[100, 3].into()])?, [48, 8].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv1D {
    /// Number of kernels: the channels of the output.
    pub filters: usize,
    /// Length of a kernel.
    pub kernel: usize,
    /// Step between outputs.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub stride: usize,
    /// Padding of the input; of four numbers, the third and fourth count.
    #[serde(default)]
    pub padding: Padding,
    /// What stands in the padding.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pad_value: f32,
    /// Distance between the kernel's elements.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub dilation: usize,
    /// Groups of channels that do not see each other.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
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

impl Conv1D {
    /// `filters` kernels of length `kernel`: stride 1, no padding, with bias, linear.
    pub fn new(filters: usize, kernel: usize) -> Self {
        Self {
            filters,
            kernel,
            stride: 1,
            padding: Padding::Valid,
            pad_value: 0.0,
            dilation: 1,
            groups: 1,
            bias: true,
            activation: Activation::Linear,
            kernel_init: glorot(),
            bias_init: zeros(),
        }
    }

    /// Step between outputs.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Padding of the input.
    #[must_use]
    pub fn padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// Distance between the kernel's elements.
    #[must_use]
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// Groups of channels that do not see each other.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
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

    /// The same layer over an image of one row.
    pub fn over_rows(&self) -> Conv2D {
        let padding = match self.padding {
            Padding::Explicit { left, right, .. } => Padding::Explicit { top: 0, bottom: 0, left, right },
            // A kernel of one row needs no padding above and below.
            named => named,
        };
        Conv2D {
            filters: self.filters,
            kernel: [1, self.kernel],
            stride: [1, self.stride],
            padding,
            pad_value: self.pad_value,
            dilation: [1, self.dilation],
            groups: self.groups,
            bias: self.bias,
            activation: self.activation,
            kernel_init: self.kernel_init,
            bias_init: self.bias_init,
        }
    }

    fn layer(&self, n: usize, x: Shape) -> Result<Layer> {
        match *x.dims() {
            [l, c] => self.over_rows().layer(n, [1, l, c].into()),
            _ => Err(not_rank("Conv1D", x, "l, c", "Conv2D takes [h, w, c]; reshape anything else")),
        }
    }
}

impl Rule for Conv1D {
    fn class(&self) -> &'static str {
        "Conv1D"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let g = self.layer(1, only(self.class(), x)?)?.geometry;
        Shape::new(&[g.w.output, g.oc])
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let mut specs = self.over_rows().params(x);
        specs[0].dims.remove(0);
        specs
    }

    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
        self.over_rows().mul_adds(x, y)
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        self.layer(ctx.batch, only(self.class(), ctx.own())?)?.compile(ctx)
    }

    fn fuses(&self, _x: &[Shape], mode: Mode) -> Fuses {
        Layer::fuses(mode)
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        self.layer(t.batch, t.shapes[0]).expect("shapes were checked before").twin(t)
    }
}
