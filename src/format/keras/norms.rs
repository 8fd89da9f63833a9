//! Keras' normalisations, PReLU and fixed scales as ops.

use super::fields::Fields;
use super::layers::{Context, Plan, axis, channels_only, not_turned, only};
use crate::error::Result;
use crate::ops::{Affine, BatchNorm, GroupNorm, LayerNorm, PRelu, Slopes};
use crate::tensor::Shape;
use serde_json::Value as Json;

// What keeps a division by the deviation finite, in Keras' `Normalization`.
const LEAST_DEVIATION: f32 = 1e-7;

/// `BatchNormalization` of the channels.
pub fn batch_norm(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let given = f.axis("axis", -1)?;
    channels_only(f, given, only(f, x)?, context)?;
    if f.size_or("mode", 0)? != 0 {
        return Err(f.error("only mode 0, which normalises each channel by moving statistics, is supported"));
    }
    let norm = BatchNorm::default().momentum(f.number("momentum", 0.99)?).epsilon(f.number("epsilon", 1e-3)?);
    Ok(Plan::one(norm.center(f.flag("center", true)?).scale(f.flag("scale", true)?)))
}

/// `LayerNormalization` of the last axes.
pub fn layer_norm(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let x = only(f, x)?;
    not_turned(f, x, context)?;
    let given = match f.peek("axis") {
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_i64).collect(),
        Some(one) => vec![one.as_i64().unwrap_or(i64::MAX)],
        None => vec![-1],
    };
    f.take("axis");
    let mut axes: Vec<usize> = given.iter().map(|a| axis(f, *a, x, context)).collect::<Result<_>>()?;
    axes.sort_unstable();
    if axes.is_empty() || !axes.iter().rev().enumerate().all(|(i, axis)| axis + 1 + i == x.rank()) {
        return Err(f.error(&format!("it normalises the axes {given:?}, and only the last ones are supported")));
    }
    let norm = LayerNorm::over(axes.len()).epsilon(f.number("epsilon", 1e-3)?);
    Ok(Plan::one(norm.center(f.flag("center", true)?).scale(f.flag("scale", true)?)))
}

/// `GroupNormalization` of the channels; -1 groups are as many as channels.
pub fn group_norm(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let x = only(f, x)?;
    let given = f.axis("axis", -1)?;
    channels_only(f, given, x, context)?;
    let groups = match f.axis("groups", 32)? {
        -1 => x.channels(),
        groups => usize::try_from(groups).map_err(|_| f.error(&format!("it has {groups} groups")))?,
    };
    let norm = GroupNorm::new(groups).epsilon(f.number("epsilon", 1e-3)?);
    Ok(Plan::one(norm.center(f.flag("center", true)?).scale(f.flag("scale", true)?)))
}

/// `PReLU` with a slope for each channel, one for all, or one for each element.
pub fn prelu(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let x = only(f, x)?;
    let shared = match f.take("shared_axes") {
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_i64).collect(),
        _ => Vec::new(),
    };
    let mut axes: Vec<usize> = shared.iter().map(|a| axis(f, *a, x, context)).collect::<Result<_>>()?;
    axes.sort_unstable();
    let rank = x.rank();
    let (alpha, stored) = match axes.as_slice() {
        [] => {
            not_turned(f, x, context)?;
            (Slopes::Element, x.dims().to_vec())
        }
        all if all.len() == rank => (Slopes::One, vec![1; rank]),
        pixels if *pixels == (0..rank - 1).collect::<Vec<usize>>() => {
            let mut dims = vec![1; rank];
            dims[if context.channels_first { 0 } else { rank - 1 }] = x.channels();
            (Slopes::Channel, dims)
        }
        _ => return Err(f.error(&format!("slopes that are shared along the axes {shared:?} are not supported"))),
    };
    Ok(Plan::one(PRelu { alpha }).stored_as(stored))
}

/// `Rescaling`: an `Affine` whose numbers come from the options.
pub fn rescaling(f: &mut Fields, x: &[Shape]) -> Result<Plan> {
    let scale = f.numbers("scale")?.unwrap_or_else(|| vec![1.0]);
    let offset = f.numbers("offset")?.unwrap_or_else(|| vec![0.0]);
    affine(f, x, scale, offset)
}

/// `Normalization` with its mean and variance among the options.
pub fn normalization(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let given = f.axis("axis", -1)?;
    channels_only(f, given, only(f, x)?, context)?;
    let (Some(mean), Some(variance)) = (f.numbers("mean")?, f.numbers("variance")?) else {
        return Err(f
            .error("its mean and variance were adapted to data, which is not supported")
            .with_help("in Keras, make it anew: Normalization(mean=layer.mean, variance=layer.variance)"));
    };
    if f.flag("invert", false)? {
        return Err(f.error("with `invert` it is not supported"));
    }
    let scale: Vec<f32> = variance.iter().map(|v| 1.0 / v.sqrt().max(LEAST_DEVIATION)).collect();
    let offset = mean.iter().zip(scale.iter().cycle()).map(|(m, s)| -m * s).collect();
    affine(f, x, scale, offset)
}

// One number stands for all channels.
fn affine(f: &Fields, x: &[Shape], scale: Vec<f32>, offset: Vec<f32>) -> Result<Plan> {
    let channels = only(f, x)?.channels();
    let spread = |numbers: Vec<f32>| match numbers.len() {
        1 => Ok(vec![numbers[0]; channels]),
        n if n == channels => Ok(numbers),
        n => Err(f.error(&format!("it has {n} numbers for {channels} channels"))),
    };
    let constants = vec![spread(scale)?, spread(offset)?];
    Ok(Plan { constants: Some(constants), ..Plan::one(Affine { scale: true, bias: true, ..Affine::default() }) })
}
