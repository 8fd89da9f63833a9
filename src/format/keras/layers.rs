//! From a Keras layer to ops of striate: one function for each kind of layer.
//!
//! A layer becomes one op, or a short chain of them ([`Part`]s); the last has
//! the layer's name. Its weights are those of the chain in order, unless
//! [`Plan`] says otherwise.
//!
//! Networks with their channels first are read too: their images are turned
//! once, at the input, and every axis that a layer names is turned with them.

use super::fields::Fields;
use super::{convs, norms, pools, shapes};
use crate::error::Result;
use crate::ops::{Activation, Add, Dropout, Merge, Op};
use crate::tensor::Shape;

/// What all layers of a network have in common.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The version of Keras that wrote the file: 1, 2 or 3.
    pub version: u32,
    /// Whether images have their channels first.
    pub channels_first: bool,
}

/// A layer as ops.
#[derive(Debug)]
pub struct Plan {
    /// The ops, each on the result of the one before; all names but the last have something appended.
    pub parts: Vec<(&'static str, Op)>,
    /// How the first parameter stands in the file, where that is not how it stands here.
    pub first: Option<Stored>,
    /// The parameters, where they come from the config instead of the file.
    pub constants: Option<Vec<Vec<f32>>>,
}

/// How a parameter stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The sizes of its axes there.
    pub dims: Vec<usize>,
    /// The axes of the file in the order in which they stand here; empty if the bytes are the same.
    pub axes: &'static [usize],
}

impl Plan {
    /// One op, whose parameters stand in the file as they stand here.
    pub fn one(op: impl Into<Op>) -> Self {
        Self { parts: vec![("", op.into())], first: None, constants: None }
    }

    /// The same with the first parameter in other axes, but the same order of numbers.
    #[must_use]
    pub fn stored_as(self, dims: Vec<usize>) -> Self {
        Self { first: Some(Stored { dims, axes: &[] }), ..self }
    }
}

/// All classes that are read, for messages.
pub const CLASSES: &str = "Conv1D, Conv2D, Conv2DTranspose, DepthwiseConv2D, SeparableConv2D, Dense, MaxPooling1D and 2D, AveragePooling1D and 2D, \
     GlobalMaxPooling1D and 2D, GlobalAveragePooling1D and 2D, BatchNormalization, LayerNormalization, \
     GroupNormalization, Rescaling, Normalization, Dropout, Activation, ReLU, LeakyReLU, PReLU, ELU, Softmax, Flatten, \
     Reshape, Permute, ZeroPadding2D, Cropping1D and 2D, UpSampling2D, Add, Subtract, Multiply, Average, Maximum, \
     Minimum, Concatenate";

/// The ops of a layer on inputs of these shapes.
///
/// # Errors
/// The class is not one that is read, or an option asks for what striate does not have.
pub fn plan(mut fields: Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let f = &mut fields;
    check_format(f, context)?;
    let plan = match f.class.as_str() {
        "Conv2D" => convs::conv2d(f, context)?,
        "DepthwiseConv2D" => convs::depthwise(f, x, context)?,
        "Conv1D" => convs::conv1d(f, context)?,
        "Dense" => convs::dense(f, x, context)?,
        "MaxPooling2D" | "AveragePooling2D" => pools::pool2d(f)?,
        "MaxPooling1D" | "AveragePooling1D" => pools::pool1d(f)?,
        "GlobalAveragePooling2D" | "GlobalAveragePooling1D" | "GlobalMaxPooling2D" | "GlobalMaxPooling1D" => {
            pools::global(f)?
        }
        "Conv2DTranspose" => convs::transposed(f, context)?,
        "SeparableConv2D" => convs::separable(f, context)?,
        "BatchNormalization" => norms::batch_norm(f, x, context)?,
        "LayerNormalization" => norms::layer_norm(f, x, context)?,
        "GroupNormalization" => norms::group_norm(f, x, context)?,
        "Rescaling" => norms::rescaling(f, x)?,
        "Normalization" => norms::normalization(f, x, context)?,
        "PReLU" => norms::prelu(f, x, context)?,
        "Dropout" | "SpatialDropout1D" | "SpatialDropout2D" => Plan::one(Dropout::new(f.number("rate", 0.5)?)),
        "Activation" => activation(f, "activation", x, context)?,
        "ReLU" => relu(f)?,
        "LeakyReLU" => leaky_relu(f, context)?,
        "ELU" => Plan::one(Activation::Elu(f.number("alpha", 1.0)?)),
        "Softmax" => softmax(f, x, context)?,
        "Flatten" => shapes::flatten(f, x, context)?,
        "Reshape" => shapes::reshape(f, x, context)?,
        "Permute" => shapes::permute(f, x, context)?,
        "ZeroPadding2D" => shapes::zero_padding(f)?,
        "Cropping2D" => shapes::cropping2d(f, x)?,
        "Cropping1D" => shapes::cropping1d(f, x)?,
        "UpSampling2D" => shapes::upsampling(f)?,
        "Add" => Plan::one(Add::new()),
        "Multiply" => Plan::one(Merge::multiply()),
        "Subtract" => Plan::one(Merge::subtract()),
        "Maximum" => Plan::one(Merge::maximum()),
        "Minimum" => Plan::one(Merge::minimum()),
        "Average" => Plan::one(Merge::average()),
        "Concatenate" => shapes::concatenate(f, x, context)?,
        "Identity" => Plan::one(Activation::Linear),
        _ => {
            return Err(fields
                .error("this class of layers is not read")
                .with_help(format!("replace it in Keras by layers that are: {CLASSES}")));
        }
    };
    fields.finish().map(|()| plan)
}

// All layers of a network see images the same way.
fn check_format(f: &mut Fields, context: Context) -> Result<()> {
    if f.class == "Flatten" {
        return Ok(());
    }
    let format = f.text("data_format", "")?;
    let own = if context.channels_first { "channels_first" } else { "channels_last" };
    match format.as_str() {
        "" | "default" => Ok(()),
        given if given == own => Ok(()),
        "channels_first" | "channels_last" => Err(f
            .error(&format!("its data_format is {format}, and that of other layers is {own}"))
            .with_help("use one data_format for the whole model")),
        _ => Err(f.error(&format!("its data_format {format} is not known"))),
    }
}

/// The axis of striate's samples that Keras' axis (which counts the batch, or from the end) is.
pub fn axis(f: &Fields, axis: i64, x: Shape, context: Context) -> Result<usize> {
    let rank = x.rank() as i64;
    let sample = if axis < 0 { axis + rank } else { axis - 1 };
    if !(0..rank).contains(&sample) {
        return Err(f.error(&format!("it has no axis {axis}: its input has {} axes with the batch", rank + 1)));
    }
    let sample = sample as usize;
    Ok(match (context.channels_first && rank > 1, sample) {
        (true, 0) => x.rank() - 1,
        (true, other) => other - 1,
        (false, other) => other,
    })
}

/// Refuses an axis that is not that of the channels.
///
/// # Errors
/// It is another one.
pub fn channels_only(f: &Fields, given: i64, x: Shape, context: Context) -> Result<()> {
    if axis(f, given, x, context)? == x.rank() - 1 {
        return Ok(());
    }
    Err(f.error(&format!("it works along the axis {given}, and only that of the channels is supported")))
}

/// Refuses what would be wrong for images whose channels were first.
pub fn not_turned(f: &Fields, x: Shape, context: Context) -> Result<()> {
    if context.channels_first && x.rank() > 1 {
        return Err(f
            .error(&format!("with data_format channels_first it is not supported on an input of {} axes", x.rank() + 1))
            .with_help("build the model with channels_last in Keras and copy the weights, which are the same"));
    }
    Ok(())
}

/// The one input of a layer.
pub fn only(f: &Fields, x: &[Shape]) -> Result<Shape> {
    match x {
        [x] => Ok(*x),
        _ => Err(f.error(&format!("it has {} inputs instead of one", x.len()))),
    }
}

fn activation(f: &mut Fields, key: &str, x: &[Shape], context: Context) -> Result<Plan> {
    let function = f.activation(key, context.version)?;
    if function == Activation::Softmax {
        not_turned(f, only(f, x)?, context)?;
    }
    Ok(Plan::one(function))
}

fn relu(f: &mut Fields) -> Result<Plan> {
    let (max, slope) = (f.number("max_value", f32::INFINITY)?, f.number("negative_slope", 0.0)?);
    let threshold = f.number("threshold", 0.0)?;
    let function = match (max, slope) {
        (f32::INFINITY, 0.0) => Activation::Relu,
        (f32::INFINITY, slope) => Activation::LeakyRelu(slope),
        (6.0, 0.0) => Activation::Relu6,
        _ => return Err(f.error(&format!("a maximum of {max} with a negative slope of {slope} is not supported"))),
    };
    if threshold != 0.0 {
        return Err(f.error(&format!("a threshold of {threshold} is not supported")));
    }
    Ok(Plan::one(function))
}

fn leaky_relu(f: &mut Fields, context: Context) -> Result<Plan> {
    let default = if context.version < 3 { 0.3 } else { 0.2 };
    let old = f.number("alpha", default)?;
    Ok(Plan::one(Activation::LeakyRelu(f.number("negative_slope", old)?)))
}

fn softmax(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let given = f.axis("axis", -1)?;
    channels_only(f, given, only(f, x)?, context)?;
    Ok(Plan::one(Activation::Softmax))
}
