//! Transposed convolution, by which decoders and generators enlarge an image.
//!
//! ```text
//! y[i, j, k] = f( b[k] + sum over u, v, c of  x[i', j', c] w[u, v, k, c] ),   summed where
//! i = i' stride_h + u dilation_h - padding_top,   j = j' stride_w + v dilation_w - padding_left
//! ```
//!
//! It is the adjoint of the convolution of the same geometry, whose input has the size of `y`. So nothing new is
//! computed: forward is the engine's gradient to the input, the gradient to the input is the engine's forward pass,
//! and the gradient to the weights is the engine's, with `x` and `dy` exchanged.

use serde::{Deserialize, Serialize};

use super::convolve::{Layer, params};
use super::pair::{self, Pair};
use super::pieces::only;
use super::{Activation, Compiled, Ctx, Fuses, Mode, ParamSpec, Rule, Twin};
use crate::conv::{Channels, Geometry, Padding, Window};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::tensor::Shape;

/// Transposed convolution: `[h, w, c]` to `[oh, ow, filters]`.
///
/// | parameter | axes |
/// |---|---|
/// | `kernel` | `[kh, kw, filters / groups, c]` |
/// | `bias` | `[filters]` |
///
/// Along each axis, with `reach = (kernel - 1) dilation + 1`, as in Keras:
///
/// | padding | size of the output | without `output_padding` |
/// |---|---|---|
/// | `valid` | `(in - 1) stride + reach + output_padding` | `max(stride - reach, 0)` is added |
/// | `same` | `(in - 1) stride + reach mod 2 + output_padding` | `in stride` |
/// | explicit | `(in - 1) stride + reach - before - after + output_padding` (PyTorch, ONNX) | 0 is added |
///
/// Source: Zeiler et al., "Deconvolutional networks", 2010; Dumoulin and Visin, "A guide to convolution arithmetic for
/// deep learning", 2016, arXiv:1603.07285, chapter 4.
///
/// ```
/// use striate::ops::{ConvTranspose2D, Padding, Rule};
/// let up = ConvTranspose2D::new(16, 3).stride(2).padding(Padding::Same);
/// assert_eq!(up.shape(&[[7, 7, 32].into()])?, [14, 14, 16].into());
/// assert_eq!(up.params(&[[7, 7, 32].into()])[0].dims, [3, 3, 16, 32]);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTranspose2D {
    /// Channels of the output.
    pub filters: usize,
    /// Size of a kernel, `[kh, kw]`.
    #[serde(with = "pair")]
    pub kernel: [usize; 2],
    /// Step between the places where neighbouring inputs are added.
    #[serde(with = "pair", default = "ones", skip_serializing_if = "is_ones")]
    pub stride: [usize; 2],
    /// Padding of the convolution that this is the adjoint of: it makes the output smaller.
    #[serde(default)]
    pub padding: Padding,
    /// Rows and columns more at the bottom and right, `[rows, columns]`, fewer than the stride.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_padding: Option<[usize; 2]>,
    /// Distance between the kernel's elements.
    #[serde(with = "pair", default = "ones", skip_serializing_if = "is_ones")]
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

fn is_ones(pair: &[usize; 2]) -> bool {
    *pair == ones()
}

fn one() -> usize {
    1
}

fn is_one(size: &usize) -> bool {
    *size == 1
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

impl ConvTranspose2D {
    /// `filters` channels, kernels of one size (a number, or height and width): stride 1, no padding, with bias, linear.
    pub fn new(filters: usize, kernel: impl Into<Pair>) -> Self {
        Self {
            filters,
            kernel: kernel.into().0,
            stride: ones(),
            padding: Padding::Valid,
            output_padding: None,
            dilation: ones(),
            groups: 1,
            bias: true,
            activation: Activation::Linear,
            kernel_init: glorot(),
            bias_init: zeros(),
        }
    }

    /// Step between the places where neighbouring inputs are added.
    #[must_use]
    pub fn stride(self, stride: impl Into<Pair>) -> Self {
        Self { stride: stride.into().0, ..self }
    }

    /// Padding of the convolution that this is the adjoint of.
    #[must_use]
    pub fn padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// Rows and columns more at the bottom and right.
    #[must_use]
    pub fn output_padding(self, output_padding: impl Into<Pair>) -> Self {
        Self { output_padding: Some(output_padding.into().0), ..self }
    }

    /// Distance between the kernel's elements.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Pair>) -> Self {
        Self { dilation: dilation.into().0, ..self }
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

    /// The geometry of the convolution that this is the adjoint of, for a batch of `n` inputs of this shape: its `x` is
    /// this layer's output, its `y` this layer's input.
    ///
    /// # Errors
    /// The input is not an image, nothing is left of the output, or the output padding is too large.
    pub fn geometry(&self, n: usize, x: Shape) -> Result<Geometry> {
        let [h, w, c] = *x.dims() else {
            return Err(Error::shape(format!("ConvTranspose2D takes one input with the axes h, w, c, not {x}"))
                .with_help("reshape it first"));
        };
        let size = [self.size(0, h)?, self.size(1, w)?];
        let channels = Channels { ic: self.filters, oc: c, groups: self.groups, pad_value: 0.0 };
        let Self { kernel, stride, dilation, padding, .. } = *self;
        let g = Geometry::new(n, size, channels, &Window { kernel, stride, dilation, padding, ceil: false })?;
        if [g.h.output, g.w.output] != [h, w] {
            return Err(Error::shape(format!(
                "output padding {:?} makes {size:?} of [{h}, {w}], and a convolution with padding {padding} and stride \
                 {stride:?} would make [{}, {}] of that",
                self.output_padding.unwrap_or_default(),
                g.h.output,
                g.w.output
            ))
            .with_help("output padding must be less than the stride"));
        }
        Ok(g)
    }

    // The output along an axis; see the table at the struct.
    fn size(&self, axis: usize, input: usize) -> Result<usize> {
        let [kernel, stride, dilation] = [self.kernel[axis], self.stride[axis], self.dilation[axis]];
        let extra = self.output_padding.map(|pads| pads[axis]);
        for (what, size) in
            [("kernel", kernel), ("stride", stride), ("dilation", dilation), ("output padding", extra.unwrap_or(1))]
        {
            if size > 1 << 20 || size == 0 && what != "output padding" {
                return Err(Error::shape(format!("{what} {size} is not a size"))
                    .with_help(format!("it must be 1 to {}", 1 << 20)));
            }
        }
        let reach = (kernel - 1) * dilation + 1;
        let (less, default) = match self.padding {
            Padding::Valid => (0, stride.saturating_sub(reach)),
            Padding::Same if extra.is_none() => (reach, stride),
            Padding::Same => (reach / 2 * 2, 0),
            Padding::Full => (2 * (reach - 1), 0),
            Padding::Explicit { top, bottom, .. } if axis == 0 => (top.saturating_add(bottom), 0),
            Padding::Explicit { left, right, .. } => (left.saturating_add(right), 0),
        };
        let whole = (input - 1) * stride + reach + extra.unwrap_or(default);
        whole.checked_sub(less).filter(|size| *size > 0).ok_or_else(|| {
            Error::shape(format!(
                "the {} of the output would be ({input} - 1) {stride} + {reach} + {} - {less}",
                ["height", "width"][axis],
                extra.unwrap_or(default)
            ))
            .with_help("pad less")
        })
    }

    fn layer(&self, n: usize, x: Shape) -> Result<Layer> {
        let geometry = self.geometry(n, x)?;
        Ok(Layer { geometry, adjoint: true, bias: self.bias, activation: self.activation })
    }
}

impl Rule for ConvTranspose2D {
    fn class(&self) -> &'static str {
        "Conv2DTranspose"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let g = self.geometry(1, only(self.class(), x)?)?;
        Shape::new(&[g.h.input, g.w.input, g.ic])
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let ([kh, kw], c) = (self.kernel, x.first().map_or(1, Shape::channels));
        let filters = self.filters / self.groups.max(1);
        // Keras counts a kernel's fans from its axes, whichever way it is used.
        let fans = (kh * kw * filters, kh * kw * c);
        params(vec![kh, kw, filters, c], self.filters, fans, self.kernel_init, self.bias.then_some(self.bias_init))
    }

    fn mul_adds(&self, x: &[Shape], _y: Shape) -> u64 {
        x.first().and_then(|x| self.geometry(1, *x).ok()).map_or(0, |g| g.mul_adds())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{Numbers, Options, run};
    use crate::ops::proof::{everywhere, options};

    fn explicit() -> Padding {
        Padding::Explicit { top: 1, bottom: 0, left: 2, right: 1 }
    }

    #[test]
    fn several_geometries_everywhere() {
        let new = |filters, kernel: [usize; 2]| ConvTranspose2D::new(filters, kernel);
        for (op, shape) in [
            (new(5, [3, 3]), [4, 5, 3]),
            (new(20, [3, 3]).stride(2).padding(Padding::Same).activation(Activation::Relu), [5, 4, 18]),
            (new(6, [3, 2]).stride([2, 3]).padding(explicit()).output_padding([1, 2]).groups(3), [4, 3, 9]),
            (new(4, [2, 2]).stride(3).no_bias(), [3, 4, 2]),
            (
                new(3, [3, 3]).dilation([2, 1]).padding(Padding::all(1)).activation(Activation::LeakyRelu(0.2)),
                [5, 4, 2],
            ),
            (new(18, [3, 3]).stride(2).padding(Padding::Same).groups(18), [4, 4, 18]),
            (new(2, [3, 3]).padding(Padding::Full), [4, 5, 3]),
        ] {
            everywhere(&op, &[shape.into()], 2, 1e-5);
        }
    }

    // With stride 2 and a 3x3 kernel of ones each input adds 1 to a 3x3 patch; neighbours overlap in one row or column.
    #[test]
    fn a_worked_example() {
        let numbers = Numbers { x: vec![vec![1., 2.]], w: vec![vec![1.; 9], vec![0.5]], dy: vec![1.; 15] };
        let op = ConvTranspose2D::new(1, 3).stride(2);
        let o = run(&op, &[[1, 2, 1].into()], Options { batch: 1, ..options() }, &numbers).unwrap();
        assert_eq!(o.y, [[1.5, 1.5, 3.5, 2.5, 2.5]; 3].concat());
        assert_eq!((&o.dx[0], &o.dw[0], &o.dw[1]), (&vec![9.; 2], &vec![3.; 9], &vec![15.]));
    }

    #[test]
    fn sizes_are_those_of_keras_and_pytorch() {
        let size = |op: ConvTranspose2D, n: usize| op.shape(&[[n, n, 1].into()]).unwrap().dims()[0];
        let new = |kernel| ConvTranspose2D::new(1, kernel).stride(2);
        // Keras 3, Conv2DTranspose(1, kernel, strides=2) on 5 elements.
        assert_eq!([1, 2, 3, 4].map(|k| size(new(k), 5)), [10, 10, 11, 12]);
        assert_eq!([1, 2, 3, 4].map(|k| size(new(k).padding(Padding::Same), 5)), [10; 4]);
        assert_eq!(size(new(3).padding(Padding::Same).output_padding(0), 5), 9);
        assert_eq!(size(new(3).padding(Padding::Same).output_padding(1), 5), 10);
        // PyTorch, ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=p).
        assert_eq!([0, 1].map(|p| size(new(3).padding(Padding::all(1)).output_padding(p), 5)), [9, 10]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error =
            |op: ConvTranspose2D, shape: &[usize]| op.shape(&[Shape::new(shape).unwrap()]).unwrap_err().to_string();
        let new = ConvTranspose2D::new;
        assert!(error(new(1, 3), &[4, 4]).contains("h, w, c"));
        assert!(error(new(1, 3).stride(2).output_padding(2), &[4, 4, 1]).contains("less than the stride"));
        assert!(error(new(1, 1).padding(Padding::all(2)), &[4, 4, 1]).contains("(4 - 1) 1 + 1 + 0 - 4"));
        assert!(error(new(4, 3).groups(3), &[4, 4, 3]).contains("groups do not divide"));
        assert!(error(new(1, 0), &[4, 4, 3]).contains("kernel 0"));
    }
}
