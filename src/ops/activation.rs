//! Activation functions, as an op of their own and as the last act of a convolution or dense layer.
//!
//! [`forward`] and [`backward`] work in place on slices, so that a convolution
//! can call them on rows that are still in the cache. Most derivatives follow
//! from `y` alone; only [`Activation::Silu`] and [`Activation::HardSwish`] need
//! `x` (see [`Activation::needs`]). At a kink the derivative is that of the left
//! side; a NaN stays a NaN.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, unknown};
use crate::ops::pieces::{self, PARTS, not_negative, row_sum, rows_per_piece, total};
use crate::ops::{Compiled, Ctx, Io, Mode, Needs, Rule, Step, Twin};
use crate::simd::{mul_add, stamp};
use crate::tensor::Shape;
use crate::vmath::{exp_lane, exp_m1_lane, sigmoid_lane, tanh_lane};

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
    /// `y = 1 / (1 + e^-x)`.
    Sigmoid,
    /// `y = tanh(x)`.
    Tanh,
    /// `y_i = e^(x_i) / sum_j e^(x_j)` over the last axis.
    Softmax,
}

impl Activation {
    /// All functions, those with a parameter at its default.
    pub const ALL: [Self; 10] = [
        Self::Linear,
        Self::Relu,
        Self::Relu6,
        Self::LeakyRelu(0.2),
        Self::Elu(1.0),
        Self::Silu,
        Self::HardSwish,
        Self::Sigmoid,
        Self::Tanh,
        Self::Softmax,
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
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax => "softmax",
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
            Self::Silu | Self::HardSwish => Needs { x: true, y: false },
            _ => Needs { x: false, y: true },
        }
    }

    /// `y` for one number, in f64; softmax is taken over one channel, and so 1.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Relu => x.max(0.0),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::LeakyRelu(slope) => {
                if x >= 0.0 {
                    x
                } else {
                    f64::from(slope) * x
                }
            }
            Self::Elu(alpha) => {
                if x >= 0.0 {
                    x
                } else {
                    f64::from(alpha) * libm::expm1(x)
                }
            }
            Self::Silu => x / (1.0 + libm::exp(-x)),
            Self::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            Self::Tanh => libm::tanh(x),
            Self::Softmax => 1.0,
        }
    }

    /// `dy/dx` for one number, in f64; softmax is taken over one channel, and so 0.
    pub fn derivative(self, x: f64) -> f64 {
        let step = |inside: bool| f64::from(u8::from(inside));
        let sigmoid = Self::Sigmoid.apply(x);
        match self {
            Self::Linear => 1.0,
            Self::Relu => step(x > 0.0),
            Self::Relu6 => step(x > 0.0 && x < 6.0),
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    1.0
                } else {
                    f64::from(slope)
                }
            }
            Self::Elu(alpha) => {
                if x > 0.0 {
                    1.0
                } else {
                    f64::from(alpha) * libm::exp(x)
                }
            }
            Self::Silu => sigmoid * (1.0 + x * (1.0 - sigmoid)),
            Self::HardSwish => {
                if x.abs() < 3.0 {
                    (2.0 * x + 3.0) / 6.0
                } else {
                    step(x >= 3.0)
                }
            }
            Self::Sigmoid => sigmoid * (1.0 - sigmoid),
            Self::Tanh => 1.0 - libm::tanh(x).powi(2),
            Self::Softmax => 0.0,
        }
    }

    /// Applies the function in place, in f64, to samples whose last axis has `channels` elements; for twins.
    pub fn apply_f64(self, x: &mut [f64], channels: usize) {
        if self != Self::Softmax {
            return x.iter_mut().for_each(|v| *v = self.apply(*v));
        }
        for row in x.chunks_mut(channels.max(1)) {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter_mut().for_each(|v| *v = libm::exp(*v - max));
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|v| *v /= sum);
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

stamp! {
    /// A function that applies an activation in place: `y` holds x and gets y; its last axis has `channels` elements.
    pub fn forward(activation: Activation, channels: usize, y: &mut [f32]) = forward_body[FMA, LANES];
}

stamp! {
    /// A function that turns the gradient to y into the gradient to x, in place in `dy`.
    ///
    /// Of `x` and `y` only what [`Activation::needs`] says is read; the other may be empty.
    pub fn backward(activation: Activation, channels: usize, x: &[f32], y: &[f32], dy: &mut [f32])
        = backward_body[FMA, LANES];
}

#[inline(always)]
fn forward_body<const FMA: bool, const LANES: usize>(activation: Activation, channels: usize, y: &mut [f32]) {
    match activation {
        Activation::Linear => {}
        Activation::Relu => map(y, |x| if x < 0.0 { 0.0 } else { x }),
        Activation::Relu6 => map(y, |x| clip(x, 0.0, 6.0)),
        Activation::LeakyRelu(slope) => map(y, |x| if x < 0.0 { slope * x } else { x }),
        Activation::Elu(alpha) => map(y, |x| if x < 0.0 { alpha * exp_m1_lane::<FMA>(x) } else { x }),
        Activation::Silu => map(y, |x| x * sigmoid_lane::<FMA>(x)),
        Activation::HardSwish => map(y, |x| x * clip(x + 3.0, 0.0, 6.0) * (1.0 / 6.0)),
        Activation::Sigmoid => map(y, sigmoid_lane::<FMA>),
        Activation::Tanh => map(y, tanh_lane::<FMA>),
        Activation::Softmax => y.chunks_mut(channels.max(1)).for_each(softmax::<FMA>),
    }
}

#[inline(always)]
fn backward_body<const FMA: bool, const LANES: usize>(
    activation: Activation,
    channels: usize,
    x: &[f32],
    y: &[f32],
    dy: &mut [f32],
) {
    match activation {
        Activation::Linear => {}
        Activation::Relu => map2(dy, y, |dy, y| if y > 0.0 { dy } else { 0.0 }),
        Activation::Relu6 => map2(dy, y, |dy, y| if y > 0.0 && y < 6.0 { dy } else { 0.0 }),
        Activation::LeakyRelu(slope) => map2(dy, y, |dy, y| if y > 0.0 { dy } else { slope * dy }),
        Activation::Elu(alpha) => map2(dy, y, |dy, y| if y > 0.0 { dy } else { dy * (y + alpha) }),
        Activation::Silu => map2(dy, x, |dy, x| {
            let s = sigmoid_lane::<FMA>(x);
            dy * s * mul_add::<FMA>(x, 1.0 - s, 1.0)
        }),
        Activation::HardSwish => map2(dy, x, |dy, x| {
            let middle = mul_add::<FMA>(x, 1.0 / 3.0, 0.5);
            dy * if x >= 3.0 {
                1.0
            } else if x <= -3.0 {
                0.0
            } else {
                middle
            }
        }),
        Activation::Sigmoid => map2(dy, y, |dy, y| dy * y * (1.0 - y)),
        Activation::Tanh => map2(dy, y, |dy, y| dy * mul_add::<FMA>(-y, y, 1.0)),
        Activation::Softmax => {
            let rows = dy.chunks_mut(channels.max(1)).zip(y.chunks(channels.max(1)));
            rows.for_each(|(dy, y)| softmax_backward::<FMA>(dy, y));
        }
    }
}

#[inline(always)]
fn map(y: &mut [f32], f: impl Fn(f32) -> f32) {
    y.iter_mut().for_each(|y| *y = f(*y));
}

#[inline(always)]
fn map2(dy: &mut [f32], y: &[f32], f: impl Fn(f32, f32) -> f32) {
    dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = f(*dy, *y));
}

// As `f32::clamp`, in the form that becomes two vector instructions; NaN stays.
#[inline(always)]
fn clip(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

// The largest is subtracted first, so that no power overflows.
#[inline(always)]
fn softmax<const FMA: bool>(row: &mut [f32]) {
    let mut part = [f32::NEG_INFINITY; PARTS];
    row.chunks(PARTS).for_each(|v| part.iter_mut().zip(v).for_each(|(part, v)| *part = larger(*part, *v)));
    let max = part.into_iter().fold(f32::NEG_INFINITY, larger);
    map(row, |v| exp_lane::<FMA>(v - max));
    let scale = 1.0 / row_sum(row);
    map(row, |v| v * scale);
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

// `dx_i = y_i (dy_i - sum_j dy_j y_j)`.
#[inline(always)]
fn softmax_backward<const FMA: bool>(dy: &mut [f32], y: &[f32]) {
    let mut part = [0.0; PARTS];
    for (dy, y) in dy.chunks(PARTS).zip(y.chunks(PARTS)) {
        part.iter_mut().zip(dy).zip(y).for_each(|((part, dy), y)| *part = mul_add::<FMA>(*dy, *y, *part));
    }
    let dot = total(part);
    map2(dy, y, |dy, y| y * (dy - dot));
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
                assert!((slope - activation.derivative(x)).abs() < 1e-8, "{activation} at {x}");
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
