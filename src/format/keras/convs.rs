//! Convolutions and dense layers of Keras: their options, and how their kernels stand in a file.
//!
//! Since Keras 2 a kernel is `[kh, kw, ic, oc]` whatever the data format, as
//! here. Keras 1 with `dim_ordering` "th" wrote `[oc, ic, kh, kw]`.

use super::fields::Fields;
use super::layers::{Context, Plan, Stored, not_turned, only};
use crate::error::Result;
use crate::init::Init;
use crate::ops::{Activation, Conv1D, Conv2D, ConvTranspose2D, Dense, Padding, SeparableConv2D};
use crate::tensor::Shape;

// What all these layers have.
struct Common {
    bias: bool,
    activation: Activation,
    kernel_init: Init,
    bias_init: Init,
}

fn common(f: &mut Fields, context: Context, kernel_init: &str) -> Result<Common> {
    let activation = f.activation("activation", context.version)?;
    if activation == Activation::Softmax && context.channels_first && f.class != "Dense" {
        return Err(f.error("softmax along the width of an image with its channels first is not supported"));
    }
    Ok(Common {
        bias: f.flag("use_bias", true)?,
        activation,
        kernel_init: f.init(kernel_init, Init::GlorotUniform),
        bias_init: f.init("bias_initializer", Init::Zeros),
    })
}

fn required<const N: usize>(f: &mut Fields, key: &str) -> Result<[usize; N]> {
    let sizes = f.sizes(key)?;
    sizes.ok_or_else(|| f.error(&format!("its option {key} is missing")))
}

/// The padding by name; `reach` is how far a causal kernel looks back.
pub fn padding(f: &mut Fields, reach: Option<usize>) -> Result<Padding> {
    let name = f.text("padding", "valid")?;
    match (name.as_str(), reach) {
        ("valid", _) => Ok(Padding::Valid),
        ("same", _) => Ok(Padding::Same),
        ("full", _) => Ok(Padding::Full),
        ("causal", Some(reach)) => Ok(Padding::Explicit { top: 0, bottom: 0, left: reach, right: 0 }),
        _ => Err(f.error(&format!("its padding '{name}' is not known"))),
    }
}

/// `Conv2D`.
pub fn conv2d(f: &mut Fields, context: Context) -> Result<Plan> {
    let filters = f.size("filters")?;
    let kernel: [usize; 2] = required(f, "kernel_size")?;
    let conv = conv_of(f, context, filters, kernel, "kernel_initializer")?;
    let conv = conv.groups(f.size_or("groups", 1)?);
    Ok(Plan { first: old_order(kernel, filters, context), ..Plan::one(conv) })
}

fn conv_of(f: &mut Fields, context: Context, filters: usize, kernel: [usize; 2], init: &str) -> Result<Conv2D> {
    let Common { bias, activation, kernel_init, bias_init } = common(f, context, init)?;
    let stride = f.sizes("strides")?.unwrap_or([1, 1]);
    let dilation = f.sizes("dilation_rate")?.unwrap_or([1, 1]);
    let padding = padding(f, None)?;
    let plain = Conv2D::new(filters, kernel).stride(stride).dilation(dilation).padding(padding);
    Ok(Conv2D { bias, activation, kernel_init, bias_init, ..plain })
}

// Keras 1 with its channels first: `[oc, ic, kh, kw]`; a size of 0 stands for the channels, which are not known here.
fn old_order([kh, kw]: [usize; 2], filters: usize, context: Context) -> Option<Stored> {
    let old = context.version < 2 && context.channels_first;
    old.then(|| Stored { dims: vec![filters, 0, kh, kw], axes: &[2, 3, 1, 0] })
}

/// `DepthwiseConv2D`: a convolution with as many groups as channels, whose kernel has the same bytes.
pub fn depthwise(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let channels = only(f, x)?.channels();
    let multiplier = f.size_or("depth_multiplier", 1)?;
    let kernel: [usize; 2] = required(f, "kernel_size")?;
    let filters = channels.checked_mul(multiplier).ok_or_else(|| f.error("it has too many channels"))?;
    let conv = conv_of(f, context, filters, kernel, "depthwise_initializer")?.groups(channels);
    Ok(Plan::one(conv).stored_as(vec![kernel[0], kernel[1], channels, multiplier]))
}

/// `Conv2DTranspose`, of Keras 2 and 3.
pub fn transposed(f: &mut Fields, context: Context) -> Result<Plan> {
    today(f, context)?;
    let filters = f.size("filters")?;
    let kernel: [usize; 2] = required(f, "kernel_size")?;
    let Common { bias, activation, kernel_init, bias_init } = common(f, context, "kernel_initializer")?;
    let plain = ConvTranspose2D {
        stride: f.sizes("strides")?.unwrap_or([1, 1]),
        dilation: f.sizes("dilation_rate")?.unwrap_or([1, 1]),
        padding: padding(f, None)?,
        output_padding: f.sizes("output_padding")?,
        ..ConvTranspose2D::new(filters, kernel)
    };
    Ok(Plan::one(ConvTranspose2D { bias, activation, kernel_init, bias_init, ..plain }))
}

/// `SeparableConv2D`, of Keras 2 and 3.
pub fn separable(f: &mut Fields, context: Context) -> Result<Plan> {
    today(f, context)?;
    let filters = f.size("filters")?;
    let kernel: [usize; 2] = required(f, "kernel_size")?;
    let Common { bias, activation, kernel_init, bias_init } = common(f, context, "depthwise_initializer")?;
    let plain = SeparableConv2D {
        stride: f.sizes("strides")?.unwrap_or([1, 1]),
        dilation: f.sizes("dilation_rate")?.unwrap_or([1, 1]),
        padding: padding(f, None)?,
        multiplier: f.size_or("depth_multiplier", 1)?,
        ..SeparableConv2D::new(filters, kernel)
    };
    Ok(Plan::one(SeparableConv2D { bias, activation, kernel_init, bias_init, ..plain }))
}

fn today(f: &Fields, context: Context) -> Result<()> {
    if context.version > 1 {
        return Ok(());
    }
    Err(f.error("as Keras 1 wrote it, it is not read").with_help("load the model in Keras 2 and save it again"))
}

/// `Conv1D`; `causal` padding is so many zeros before the start.
pub fn conv1d(f: &mut Fields, context: Context) -> Result<Plan> {
    let filters = f.size("filters")?;
    let [kernel] = required(f, "kernel_size")?;
    let Common { bias, activation, kernel_init, bias_init } = common(f, context, "kernel_initializer")?;
    let [stride] = f.sizes("strides")?.unwrap_or([1]);
    let [dilation] = f.sizes("dilation_rate")?.unwrap_or([1]);
    let reach = kernel.saturating_sub(1).checked_mul(dilation).ok_or_else(|| f.error("its dilation is too large"))?;
    let padding = padding(f, Some(reach))?;
    let groups = f.size_or("groups", 1)?;
    let plain = Conv1D::new(filters, kernel).stride(stride).dilation(dilation).padding(padding).groups(groups);
    let plan = Plan::one(Conv1D { bias, activation, kernel_init, bias_init, ..plain });
    Ok(if context.version < 2 { plan.stored_as(vec![kernel, 1, 0, filters]) } else { plan })
}

/// `Dense`; along the last axis of an image or sequence it is a convolution of size 1 with the same kernel.
pub fn dense(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let x = only(f, x)?;
    not_turned(f, x, context)?;
    let units = f.size("units")?;
    let Common { bias, activation, kernel_init, bias_init } = common(f, context, "kernel_initializer")?;
    let stored = vec![x.channels(), units];
    Ok(match x.rank() {
        1 => Plan::one(Dense { bias, activation, kernel_init, bias_init, ..Dense::new(units) }),
        2 => Plan::one(Conv1D { bias, activation, kernel_init, bias_init, ..Conv1D::new(units, 1) }).stored_as(stored),
        _ => Plan::one(Conv2D { bias, activation, kernel_init, bias_init, ..Conv2D::new(units, 1) }).stored_as(stored),
    })
}
