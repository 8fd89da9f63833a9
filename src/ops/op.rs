//! [`Op`]: all operations as one type, so that a graph can be stored, drawn and exported.
//!
//! A match on it is exhaustive: whoever adds an op is told by the compiler
//! where a device, an exporter or a drawing must know it. [`Op::Custom`] takes
//! a user's own [`Rule`]; such a graph runs and trains, but cannot be stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, unknown};
use crate::ops::{
    Activation, AdaptivePool2D, Add, Affine, BatchNorm, Concat, Conv1D, Conv2D, ConvTranspose2D, Dense, Dropout,
    Flatten, GlobalPool, GroupNorm, Input, LayerNorm, Lrn, Merge, PRelu, Pad2D, Permute, Pool1D, Pool2D, Reshape, Rule,
    SeparableConv2D, Slice, StochasticDepth, Upsample2D, ZeroPad,
};

/// One operation with its hyper-parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Op {
    /// Where the samples come in.
    Input(Input),
    /// 2-D convolution.
    #[serde(rename = "conv2d")]
    Conv2D(Conv2D),
    /// 1-D convolution.
    #[serde(rename = "conv1d")]
    Conv1D(Conv1D),
    /// 2-D transposed convolution.
    #[serde(rename = "conv_transpose2d")]
    ConvTranspose2D(ConvTranspose2D),
    /// 2-D separable convolution.
    #[serde(rename = "separable_conv2d")]
    SeparableConv2D(SeparableConv2D),
    /// Fully connected layer.
    Dense(Dense),
    /// Activation function.
    Activation(ActivationOp),
    /// 2-D pooling.
    #[serde(rename = "pool2d")]
    Pool2D(Pool2D),
    /// 1-D pooling.
    #[serde(rename = "pool1d")]
    Pool1D(Pool1D),
    /// 2-D pooling to a given size.
    #[serde(rename = "adaptive_pool2d")]
    AdaptivePool2D(AdaptivePool2D),
    /// Pooling over all positions.
    GlobalPool(GlobalPool),
    /// Repeated or interpolated pixels.
    #[serde(rename = "upsample2d")]
    Upsample2D(Upsample2D),
    /// Batch normalisation.
    BatchNorm(BatchNorm),
    /// Layer normalisation.
    LayerNorm(LayerNorm),
    /// Group normalisation.
    GroupNorm(GroupNorm),
    /// A learned scale and offset for each channel.
    Affine(Affine),
    /// ReLU with learned slopes below 0.
    #[serde(rename = "prelu")]
    PRelu(PRelu),
    /// Local response normalisation.
    Lrn(Lrn),
    /// Dropout.
    Dropout(Dropout),
    /// Whole samples are dropped.
    StochasticDepth(StochasticDepth),
    /// Sum of several inputs.
    Add(Add),
    /// Product, difference, quotient, maximum, minimum or average of several inputs.
    Merge(Merge),
    /// Several inputs side by side.
    Concat(Concat),
    /// To one axis.
    Flatten(Flatten),
    /// To other axes.
    Reshape(Reshape),
    /// The axes in another order.
    Permute(Permute),
    /// A range of one axis.
    Slice(Slice),
    /// A number, the mirrored image or its edge around an image.
    #[serde(rename = "pad2d")]
    Pad2D(Pad2D),
    /// Zeros around an image.
    ZeroPad(ZeroPad),
    /// A user's own op.
    #[serde(skip)]
    Custom(Arc<dyn Rule>),
}

/// An activation function as a layer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationOp {
    /// Which function.
    pub function: Activation,
}

/// The names of all ops, as files give them.
pub const NAMES: &[&str] = &[
    "input",
    "conv2d",
    "conv1d",
    "conv_transpose2d",
    "separable_conv2d",
    "dense",
    "activation",
    "pool2d",
    "pool1d",
    "adaptive_pool2d",
    "global_pool",
    "upsample2d",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "affine",
    "prelu",
    "lrn",
    "dropout",
    "stochastic_depth",
    "add",
    "merge",
    "concat",
    "flatten",
    "reshape",
    "permute",
    "slice",
    "pad2d",
    "zero_pad",
];

impl Op {
    /// The op's rule.
    pub fn rule(&self) -> &dyn Rule {
        match self {
            Self::Input(op) => op,
            Self::Conv2D(op) => op,
            Self::Conv1D(op) => op,
            Self::ConvTranspose2D(op) => op,
            Self::SeparableConv2D(op) => op,
            Self::Dense(op) => op,
            Self::Activation(op) => &op.function,
            Self::Pool2D(op) => op,
            Self::Pool1D(op) => op,
            Self::AdaptivePool2D(op) => op,
            Self::GlobalPool(op) => op,
            Self::Upsample2D(op) => op,
            Self::BatchNorm(op) => op,
            Self::LayerNorm(op) => op,
            Self::GroupNorm(op) => op,
            Self::Affine(op) => op,
            Self::PRelu(op) => op,
            Self::Lrn(op) => op,
            Self::Dropout(op) => op,
            Self::StochasticDepth(op) => op,
            Self::Add(op) => op,
            Self::Merge(op) => op,
            Self::Concat(op) => op,
            Self::Flatten(op) => op,
            Self::Reshape(op) => op,
            Self::Permute(op) => op,
            Self::Slice(op) => op,
            Self::Pad2D(op) => op,
            Self::ZeroPad(op) => op,
            Self::Custom(op) => op.as_ref(),
        }
    }

    /// The activation that is the last act of this op.
    pub fn activation(&self) -> Activation {
        match self {
            Self::Conv2D(op) => op.activation,
            Self::Conv1D(op) => op.activation,
            Self::ConvTranspose2D(op) => op.activation,
            Self::SeparableConv2D(op) => op.activation,
            Self::Dense(op) => op.activation,
            _ => Activation::Linear,
        }
    }

    /// The same op with another last act; `None` where the op has none.
    #[must_use]
    pub fn with_activation(&self, activation: Activation) -> Option<Self> {
        let mut op = self.clone();
        match &mut op {
            Self::Conv2D(op) => op.activation = activation,
            Self::Conv1D(op) => op.activation = activation,
            Self::ConvTranspose2D(op) => op.activation = activation,
            Self::SeparableConv2D(op) => op.activation = activation,
            Self::Dense(op) => op.activation = activation,
            _ => return None,
        }
        Some(op)
    }

    /// The op of the fields of a file: `op` is its name, the rest its hyper-parameters.
    ///
    /// # Errors
    /// The name is unknown (the nearest is suggested), or a field is unknown, missing or of the wrong type.
    pub fn from_fields(fields: serde_json::Map<String, serde_json::Value>) -> Result<Self> {
        let name = match fields.get("op") {
            Some(serde_json::Value::String(name)) => name.clone(),
            _ => return Err(Error::argument("a layer has no `op`").with_help(format!("known: {}", NAMES.join(", ")))),
        };
        if !NAMES.contains(&name.as_str()) {
            return Err(unknown("layer", &name, NAMES.iter().copied()));
        }
        serde_json::from_value(serde_json::Value::Object(fields))
            .map_err(|e| Error::argument(format!("layer '{name}': {e}")))
    }

    /// The fields of this op, with `op` first.
    ///
    /// # Errors
    /// A [`Op::Custom`] has no fields.
    pub fn to_fields(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => Ok(fields),
            _ => Err(Error::argument(format!("a custom op ({}) cannot be stored in a file", self.rule().class()))),
        }
    }
}

impl From<Activation> for Op {
    fn from(function: Activation) -> Self {
        Self::Activation(ActivationOp { function })
    }
}

// One line an op: `.add(Conv2D::new(32, 3))` instead of `.add(Op::Conv2D(Conv2D::new(32, 3)))`.
macro_rules! into_op {
    ($($name:ident),*) => {
        $(impl From<$name> for Op {
            fn from(op: $name) -> Self {
                Self::$name(op)
            }
        })*
    };
}
into_op!(
    Conv2D,
    Conv1D,
    ConvTranspose2D,
    SeparableConv2D,
    Upsample2D,
    Dense,
    Pool2D,
    Pool1D,
    GlobalPool,
    LayerNorm,
    GroupNorm,
    Affine,
    PRelu,
    Pad2D,
    BatchNorm,
    Lrn,
    Dropout,
    Add,
    Merge,
    Concat,
    Flatten,
    Permute,
    Slice,
    StochasticDepth,
    Reshape,
    ZeroPad,
    Input,
    AdaptivePool2D
);
