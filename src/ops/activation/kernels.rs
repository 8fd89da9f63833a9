//! The activations in f32, in place on slices, stamped for each instruction set.

use super::Activation;
use super::formula::{CUBIC, SELU_ALPHA, SELU_SCALE};
use crate::ops::pieces::{PARTS, row_sum, total};
use crate::simd::{mul_add, stamp};
use crate::vmath::{exp_lane, exp_m1_lane, log_lane, normal_lane, sigmoid_lane, softplus_lane, tanh_lane};

const SELU: f32 = SELU_SCALE as f32;
const SELU_LOW: f32 = (SELU_SCALE * SELU_ALPHA) as f32;
// 2 sqrt(2 / pi)
const GELU_SCALE: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
const GELU_CUBIC: f32 = CUBIC as f32;

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
        Activation::Gelu => map(y, |x| x * normal_lane::<FMA>(x).0),
        Activation::GeluTanh => map(y, |x| x * sigmoid_lane::<FMA>(twice_inner::<FMA>(x))),
        Activation::Mish => map(y, |x| x * mish_factor::<FMA>(x)),
        Activation::Selu => map(y, |x| if x < 0.0 { SELU_LOW * exp_m1_lane::<FMA>(x) } else { SELU * x }),
        Activation::Softplus => map(y, softplus_lane::<FMA>),
        Activation::Softsign => map(y, |x| x / (1.0 + x.abs())),
        Activation::Exponential => map(y, exp_lane::<FMA>),
        Activation::HardSigmoid => map(y, |x| clip(x + 3.0, 0.0, 6.0) * (1.0 / 6.0)),
        Activation::Sigmoid => map(y, sigmoid_lane::<FMA>),
        Activation::Tanh => map(y, tanh_lane::<FMA>),
        // Loops: a function that is handed on is called outside of the instance, without its instructions.
        Activation::Softmax => {
            for row in y.chunks_mut(channels.max(1)) {
                softmax::<FMA>(row);
            }
        }
        Activation::LogSoftmax => {
            for row in y.chunks_mut(channels.max(1)) {
                log_softmax::<FMA>(row);
            }
        }
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
        Activation::Gelu => map2(dy, x, |dy, x| {
            let (probability, density) = normal_lane::<FMA>(x);
            dy * mul_add::<FMA>(x, density, probability)
        }),
        Activation::GeluTanh => map2(dy, x, |dy, x| dy * gelu_tanh_slope::<FMA>(x)),
        Activation::Mish => map2(dy, x, |dy, x| dy * mish_slope::<FMA>(x)),
        Activation::Selu => map2(dy, y, |dy, y| if y > 0.0 { SELU * dy } else { dy * (y + SELU_LOW) }),
        // sigmoid(x) = 1 - e^-y
        Activation::Softplus => map2(dy, y, |dy, y| -dy * exp_m1_lane::<FMA>(-y)),
        Activation::Softsign => map2(dy, x, |dy, x| {
            let root = 1.0 / (1.0 + x.abs());
            dy * root * root
        }),
        Activation::Exponential => map2(dy, y, |dy, y| dy * y),
        Activation::HardSigmoid => map2(dy, y, |dy, y| if y > 0.0 && y < 1.0 { dy * (1.0 / 6.0) } else { 0.0 }),
        Activation::Sigmoid => map2(dy, y, |dy, y| dy * y * (1.0 - y)),
        Activation::Tanh => map2(dy, y, |dy, y| dy * mul_add::<FMA>(-y, y, 1.0)),
        Activation::Softmax => {
            for (dy, y) in dy.chunks_mut(channels.max(1)).zip(y.chunks(channels.max(1))) {
                softmax_backward::<FMA>(dy, y);
            }
        }
        Activation::LogSoftmax => {
            for (dy, y) in dy.chunks_mut(channels.max(1)).zip(y.chunks(channels.max(1))) {
                log_softmax_backward::<FMA>(dy, y);
            }
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

// Twice what the tanh of `GeluTanh` is taken of: `(1 + tanh v) / 2 = sigmoid(2 v)`. Beyond 10 the result is 0 or 1.
#[inline(always)]
fn twice_inner<const FMA: bool>(x: f32) -> f32 {
    let x = clip(x, -10.0, 10.0);
    GELU_SCALE * mul_add::<FMA>(GELU_CUBIC * x * x, x, x)
}

#[inline(always)]
fn gelu_tanh_slope<const FMA: bool>(x: f32) -> f32 {
    let s = sigmoid_lane::<FMA>(twice_inner::<FMA>(x));
    let x = clip(x, -10.0, 10.0);
    let inner = GELU_SCALE * mul_add::<FMA>(3.0 * GELU_CUBIC * x, x, 1.0);
    mul_add::<FMA>(x * s * (1.0 - s), inner, s)
}

// `n = e (e + 2)` with `e = e^x`; `tanh(ln(1 + e)) = n / (n + 2)`. Beyond 20 the quotient is 1.
#[inline(always)]
fn mish_parts<const FMA: bool>(x: f32) -> (f32, f32) {
    let e = exp_lane::<FMA>(if x > 20.0 { 20.0 } else { x });
    (e, e * (e + 2.0))
}

#[inline(always)]
fn mish_factor<const FMA: bool>(x: f32) -> f32 {
    let (_, n) = mish_parts::<FMA>(x);
    n / (n + 2.0)
}

// `t + x (1 - t^2) sigmoid(x)` with `t` the factor: `(1 - t^2) sigmoid(x) = 4 e (e + 1) / (n + 2)^2`.
#[inline(always)]
fn mish_slope<const FMA: bool>(x: f32) -> f32 {
    let (e, n) = mish_parts::<FMA>(x);
    let root = 1.0 / (n + 2.0);
    mul_add::<FMA>(x, 4.0 * (e * root) * ((e + 1.0) * root), n * root)
}

#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut part = [f32::NEG_INFINITY; PARTS];
    row.chunks(PARTS).for_each(|v| part.iter_mut().zip(v).for_each(|(part, v)| *part = larger(*part, *v)));
    part.into_iter().fold(f32::NEG_INFINITY, larger)
}

// The largest is subtracted first, so that no power overflows.
#[inline(always)]
fn softmax<const FMA: bool>(row: &mut [f32]) {
    let max = largest(row);
    map(row, |v| exp_lane::<FMA>(v - max));
    let scale = 1.0 / row_sum(row);
    map(row, |v| v * scale);
}

#[inline(always)]
fn log_softmax<const FMA: bool>(row: &mut [f32]) {
    let max = largest(row);
    let mut part = [0.0; PARTS];
    for v in row.chunks(PARTS) {
        part.iter_mut().zip(v).for_each(|(part, v)| *part += exp_lane::<FMA>(v - max));
    }
    let log = log_lane::<FMA>(total(part));
    map(row, |v| (v - max) - log);
}

// `dx_i = dy_i - e^(y_i) sum_j dy_j`.
#[inline(always)]
fn log_softmax_backward<const FMA: bool>(dy: &mut [f32], y: &[f32]) {
    let sum = row_sum(dy);
    map2(dy, y, |dy, y| mul_add::<FMA>(-exp_lane::<FMA>(y), sum, dy));
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
