//! Activation functions, as an op of their own and as the last act of a convolution or dense layer.
//!
//! [`forward`] and [`backward`] work in place on slices, so that a convolution
//! can call them on rows that are still in the cache. Most derivatives follow
//! from `y` alone; [`Activation::Silu`], [`Activation::Gelu`] and a few more need
//! `x` (see [`Activation::needs`]). At a kink the derivative is that of the left
//! side; a NaN stays a NaN.

mod formula;
mod kernels;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

pub use kernels::{backward, forward};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, unknown};
use crate::ops::pieces::{self, not_negative, rows_per_piece};
use crate::ops::{Compiled, Ctx, Io, Mode, Needs, Rule, Step, Twin};
use crate::tensor::Shape;

/// An activation function.
///
/// Text and serde write it as `relu` or, with its parameter, `leaky_relu(0.1)`.
///
/// ```
/// use striate::ops::Activation;
/// assert_eq!("leaky_relu(0.1)".parse::<Activation>()?, Activation::LeakyRelu(0.1));
/// assert_eq!(Activation::Relu6.apply(7.5), 6.0);
/// assert!("rleu".parse::<Activation>().unwrap_err().to_string().contains("did you mean 'relu'"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Activation {
    /// `y = x`.
    #[default]
    Linear,
    /// `y = max(x, 0)`.
    Relu,
    /// `y = min(max(x, 0), 6)`.
    Relu6,
    /// `y = x` for `x >= 0`, else `slope x`. The slope must not be negative; as a bare name it is Keras' 0.2.
    LeakyRelu(f32),
    /// `y = x` for `x >= 0`, else `alpha (e^x - 1)`. Alpha must not be negative; as a bare name it is 1.
    /// Source: Clevert, Unterthiner and Hochreiter, 2015, arXiv:1511.07289.
    Elu(f32),
    /// `y = x sigmoid(x)`, also called swish.
    Silu,
    /// `y = x min(max(x + 3, 0), 6) / 6`. Source: Howard et al., MobileNetV3, 2019, arXiv:1905.02244.
    HardSwish,
    /// `y = x P(X <= x)` with `X` standard normal, `x (1 + erf(x / sqrt 2)) / 2`. Source: Hendrycks and Gimpel,
    /// "Gaussian Error Linear Units", 2016, arXiv:1606.08415.
    Gelu,
    /// `y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, the same paper's approximation of [`Activation::Gelu`].
    GeluTanh,
    /// `y = x tanh(ln(1 + e^x))`. Source: Misra, "Mish", 2019, arXiv:1908.08681.
    Mish,
    /// `y = 1.0507 x` for `x >= 0`, else `1.0507 1.6733 (e^x - 1)`. Source: Klambauer et al., "Self-Normalizing Neural
    /// Networks", 2017, arXiv:1706.02515.
    Selu,
    /// `y = ln(1 + e^x)`.
    Softplus,
    /// `y = x / (1 + |x|)`.
    Softsign,
    /// `y = e^x`.
    Exponential,
    /// `y = min(max(x + 3, 0), 6) / 6`, as in MobileNetV3, PyTorch and Keras 3 (Keras 2: `0.2 x + 0.5`, cut to 0 and 1).
    HardSigmoid,
    /// `y = 1 / (1 + e^-x)`.
    Sigmoid,
    /// `y = tanh(x)`.
    Tanh,
    /// `y_i = e^(x_i) / sum_j e^(x_j)` over the last axis.
    Softmax,
    /// `y_i = x_i - ln(sum_j e^(x_j))` over the last axis.
    LogSoftmax,
}

impl Activation {
    /// All functions, those with a parameter at its default.
    pub const ALL: [Self; 19] = [
        Self::Linear,
        Self::Relu,
        Self::Relu6,
        Self::LeakyRelu(0.2),
        Self::Elu(1.0),
        Self::Silu,
        Self::HardSwish,
        Self::Gelu,
        Self::GeluTanh,
        Self::Mish,
        Self::Selu,
        Self::Softplus,
        Self::Softsign,
        Self::Exponential,
        Self::HardSigmoid,
        Self::Sigmoid,
        Self::Tanh,
        Self::Softmax,
        Self::LogSoftmax,
    ];

    /// The name, without the parameter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::Elu(_) => "elu",
            Self::Silu => "silu",
            Self::HardSwish => "hard_swish",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Mish => "mish",
            Self::Selu => "selu",
            Self::Softplus => "softplus",
            Self::Softsign => "softsign",
            Self::Exponential => "exponential",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log_softmax",
        }
    }

    /// Checks the parameter.
    ///
    /// # Errors
    /// It is negative or not finite: the sign of `y` could not tell the sign of `x` then.
    pub fn validate(self) -> Result<()> {
        match self {
            Self::LeakyRelu(slope) => not_negative("the slope of leaky_relu", slope),
            Self::Elu(alpha) => not_negative("the alpha of elu", alpha),
            _ => Ok(()),
        }
    }

    /// What [`backward`] reads: `x`, `y`, or nothing.
    pub fn needs(self) -> Needs {
        match self {
            Self::Linear => Needs::default(),
            Self::Silu | Self::HardSwish | Self::Gelu | Self::GeluTanh | Self::Mish | Self::Softsign => {
                Needs { x: true, y: false }
            }
            _ => Needs { x: false, y: true },
        }
    }

    fn parameter(self) -> Option<f32> {
        match self {
            Self::LeakyRelu(p) | Self::Elu(p) => Some(p),
            _ => None,
        }
    }

    fn with_parameter(self, text: &str) -> Result<Self> {
        let bad = || Error::argument(format!("'{text}' is not a parameter of {}", self.name()));
        let value = text.trim().parse::<f32>();
        let activation = match self {
            Self::LeakyRelu(_) => Self::LeakyRelu(value.map_err(|_| bad().with_help("as in leaky_relu(0.2)"))?),
            Self::Elu(_) => Self::Elu(value.map_err(|_| bad().with_help("as in elu(1.0)"))?),
            _ => return Err(bad().with_help("it takes none")),
        };
        activation.validate().map(|()| activation)
    }
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, parameter) = match text.strip_suffix(')').and_then(|t| t.split_once('(')) {
            Some((name, parameter)) => (name, Some(parameter)),
            None => (text, None),
        };
        let found = match name {
            "swish" => Some(Self::Silu),
            "hard_silu" => Some(Self::HardSwish),
            "exp" => Some(Self::Exponential),
            _ => Self::ALL.into_iter().find(|a| a.name() == name),
        };
        let activation = found.ok_or_else(|| unknown("activation", name, Self::ALL.map(Self::name)))?;
        parameter.map_or(Ok(activation), |p| activation.with_parameter(p))
    }
}

impl TryFrom<String> for Activation {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Activation> for String {
    fn from(activation: Activation) -> Self {
        activation.to_string()
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parameter() {
            Some(p) => write!(f, "{}({p})", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

impl Rule for Activation {
    fn class(&self) -> &'static str {
        match self {
            Self::Relu | Self::Relu6 => "ReLU",
            Self::LeakyRelu(_) => "LeakyReLU",
            Self::Elu(_) => "ELU",
            Self::Softmax => "Softmax",
            _ => "Activation",
        }
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        self.validate()?;
        pieces::only(self.class(), x)
    }

    fn mul_adds(&self, _x: &[Shape], _y: Shape) -> u64 {
        0
    }

    fn is_view(&self, _mode: Mode) -> bool {
        *self == Self::Linear
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let channels = ctx.y.channels();
        let step = Apply {
            activation: *self,
            channels,
            block: (BLOCK / channels).max(1) * channels,
            piece: rows_per_piece(channels) * channels,
            forward: forward(ctx.isa),
            backward: backward(ctx.isa),
        };
        Ok(Compiled { needs: self.needs(), ..pieces::with_step(Box::new(step)) })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let mut y = t.x[0].to_vec();
        self.apply_f64(&mut y, t.shapes[0].channels());
        y
    }
}

// Numbers that are copied and then worked on in place, while they are in the first-level cache.
const BLOCK: usize = 2048;

struct Apply {
    activation: Activation,
    channels: usize,
    block: usize,
    piece: usize,
    forward: fn(Activation, usize, &mut [f32]),
    backward: fn(Activation, usize, &[f32], &[f32], &mut [f32]),
}

impl Step for Apply {
    fn forward(&self, io: &Io<'_>) {
        let (x, mut y) = (io.x(0), io.y_mut());
        let x = &*x;
        io.team.chunks(&mut y, self.piece, |piece, chunk| {
            for (i, y) in chunk.chunks_mut(self.block).enumerate() {
                let at = piece * self.piece + i * self.block;
                y.copy_from_slice(&x[at..at + y.len()]);
                (self.forward)(self.activation, self.channels, y);
            }
        });
    }

    fn backward(&self, io: &Io<'_>) {
        let Some(mut dx) = io.dx(0) else { return };
        // What is not needed was not kept: its memory may already serve another purpose.
        let Needs { x, y } = self.activation.needs();
        let (x, y, dy) = (x.then(|| io.x(0)), y.then(|| io.y()), io.dy());
        let (x, y, dy) = (x.as_deref().unwrap_or_default(), y.as_deref().unwrap_or_default(), &*dy);
        io.team.chunks(&mut dx, self.piece, |piece, chunk| {
            for (i, dx) in chunk.chunks_mut(self.block).enumerate() {
                let at = piece * self.piece + i * self.block;
                let range = at..at + dx.len();
                dx.copy_from_slice(&dy[range.clone()]);
                (self.backward)(self.activation, self.channels, part(x, &range), part(y, &range), dx);
            }
        });
    }
}

fn part<'a>(x: &'a [f32], range: &Range<usize>) -> &'a [f32] {
    x.get(range.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::check;
    use crate::ops::proof::{everywhere, options};
    use crate::simd::Isa;

    #[test]
    fn fast_code_agrees_with_the_formula_everywhere() {
        for activation in Activation::ALL {
            for shape in [Shape::from([5]), [3, 4, 10].into(), [2, 40].into(), [33].into()] {
                everywhere(&activation, &[shape], 3, 2e-6);
            }
        }
    }

    #[test]
    fn derivatives_are_those_of_the_functions() {
        for activation in Activation::ALL {
            for x in [-4.5, -2.0, -0.3, 0.4, 2.5, 5.0, 7.0] {
                let slope = (activation.apply(x + 1e-6) - activation.apply(x - 1e-6)) / 2e-6;
                let want = activation.derivative(x);
                assert!((slope - want).abs() < 1e-8 * want.abs().max(1.0), "{activation} at {x}");
            }
        }
    }

    #[test]
    fn softmax_does_not_overflow() {
        let mut y = [1000.0, 1000.0, -1000.0];
        forward(Isa::best())(Activation::Softmax, 3, &mut y);
        assert_eq!(y, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn a_nan_stays_a_nan() {
        for activation in Activation::ALL {
            for isa in Isa::all() {
                let mut y = [f32::NAN; 20];
                forward(isa)(activation, 20, &mut y);
                assert!(y.iter().all(|v| v.is_nan()), "{activation} on {isa}: {y:?}");
            }
        }
    }

    #[test]
    fn text_goes_there_and_back() {
        for activation in Activation::ALL.into_iter().chain([Activation::LeakyRelu(0.015)]) {
            assert_eq!(activation.to_string().parse::<Activation>().unwrap(), activation);
            let json = serde_json::to_string(&activation).unwrap();
            assert_eq!(serde_json::from_str::<Activation>(&json).unwrap(), activation);
        }
        assert!("relu(2)".parse::<Activation>().unwrap_err().to_string().contains("it takes none"));
    }

    #[test]
    fn a_negative_slope_is_refused() {
        let e = check(&Activation::LeakyRelu(-0.1), &[[4].into()], options()).unwrap_err();
        assert!(e.to_string().contains("must be 0 or more"), "{e}");
        assert!("elu(-1)".parse::<Activation>().is_err());
    }
}
