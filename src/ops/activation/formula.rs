//! The activations as their formulas, in f64: for twins, and to be read.

use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};

use super::Activation;

// Klambauer et al., 2017, to the digits of f64.
pub(super) const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
pub(super) const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
// Hendrycks and Gimpel, 2016.
pub(super) const CUBIC: f64 = 0.044_715;

// The probability that a standard normal number is at most x.
fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

// What the tanh of `GeluTanh` is taken of.
fn inner(x: f64) -> f64 {
    libm::sqrt(2.0 / PI) * (x + CUBIC * x * x * x)
}

impl Activation {
    /// `y` for one number, in f64; softmax is taken over one channel, and so 1, its logarithm 0.
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
            Self::Gelu => x * normal(x),
            Self::GeluTanh => 0.5 * x * (1.0 + libm::tanh(inner(x))),
            Self::Mish => x * libm::tanh(libm::log1p(libm::exp(x))),
            Self::Selu => SELU_SCALE * if x >= 0.0 { x } else { SELU_ALPHA * libm::expm1(x) },
            Self::Softplus => x.max(0.0) + libm::log1p(libm::exp(-x.abs())),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Exponential => libm::exp(x),
            Self::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            Self::Tanh => libm::tanh(x),
            Self::Softmax => 1.0,
            Self::LogSoftmax => 0.0,
        }
    }

    /// `dy/dx` for one number, in f64; softmax and its logarithm are taken over one channel, and so 0.
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
            Self::Gelu => normal(x) + x * libm::exp(-0.5 * x * x) / libm::sqrt(TAU),
            Self::GeluTanh => {
                let t = libm::tanh(inner(x));
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * libm::sqrt(2.0 / PI) * (1.0 + 3.0 * CUBIC * x * x)
            }
            Self::Mish => {
                let t = libm::tanh(libm::log1p(libm::exp(x)));
                t + x * (1.0 - t * t) * sigmoid
            }
            Self::Selu => SELU_SCALE * if x > 0.0 { 1.0 } else { SELU_ALPHA * libm::exp(x) },
            Self::Softplus => sigmoid,
            Self::Softsign => (1.0 + x.abs()).powi(-2),
            Self::Exponential => libm::exp(x),
            Self::HardSigmoid => step(x.abs() < 3.0) / 6.0,
            Self::Sigmoid => sigmoid * (1.0 - sigmoid),
            Self::Tanh => 1.0 - libm::tanh(x).powi(2),
            Self::Softmax | Self::LogSoftmax => 0.0,
        }
    }

    /// Applies the function in place, in f64, to samples whose last axis has `channels` elements; for twins.
    pub fn apply_f64(self, x: &mut [f64], channels: usize) {
        if !matches!(self, Self::Softmax | Self::LogSoftmax) {
            return x.iter_mut().for_each(|v| *v = self.apply(*v));
        }
        for row in x.chunks_mut(channels.max(1)) {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|v| libm::exp(*v - max)).sum();
            let log = |v: f64| v - max - libm::log(sum);
            row.iter_mut().for_each(|v| *v = if self == Self::Softmax { libm::exp(*v - max) / sum } else { log(*v) });
        }
    }
}
