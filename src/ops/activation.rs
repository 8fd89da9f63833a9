//! Activation functions, as an op of their own and as the last act of a convolution or dense layer.

use serde::{Deserialize, Serialize};

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `y = x`.
    #[default]
    Linear,
    /// `y = max(x, 0)`.
    Relu,
    /// `y = min(max(x, 0), 6)`.
    Relu6,
    /// `y = x` for `x >= 0`, else `slope x`.
    LeakyRelu(f32),
    /// `y = x` for `x >= 0`, else `alpha (e^x - 1)`.
    Elu(f32),
    /// `y = x sigmoid(x)`, also called swish.
    Silu,
    /// `y = x min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `y = 1 / (1 + e^-x)`.
    Sigmoid,
    /// `y = tanh(x)`.
    Tanh,
    /// `y_i = e^(x_i) / sum_j e^(x_j)` over the last axis.
    Softmax,
}
