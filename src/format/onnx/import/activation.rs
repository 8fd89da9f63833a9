//! Activation functions.

use super::super::call::{Call, Feature, Known};
use super::{Handler, Importer};
use crate::error::{Error, Result};
use crate::ops::Activation;

use Handler::One;

pub(super) const TABLE: &[(&str, Handler)] = &[
    ("Relu", One(|i, c| each(i, c, Activation::Relu))),
    ("Sigmoid", One(|i, c| each(i, c, Activation::Sigmoid))),
    ("Tanh", One(|i, c| each(i, c, Activation::Tanh))),
    ("Silu", One(|i, c| each(i, c, Activation::Silu))),
    ("HardSwish", One(|i, c| each(i, c, Activation::HardSwish))),
    ("Elu", One(|i, c| each(i, c, Activation::Elu(c.float("alpha", 1.0)?)))),
    ("LeakyRelu", One(|i, c| each(i, c, Activation::LeakyRelu(c.float("alpha", 0.01)?)))),
    ("Clip", One(clip)),
    ("Softmax", One(|i, c| along(i, c, Activation::Softmax))),
];

fn each(importer: &mut Importer, call: &Call<'_>, function: Activation) -> Result<Known> {
    let x = call.feature(0)?;
    let value = importer.layer(call, function, &[x.value], Vec::new())?;
    Ok(Feature { value, ..x.clone() }.into())
}

// A bound is an attribute in old files and an input in new ones; left out, it is none.
fn bound(call: &Call<'_>, name: &str, i: usize) -> Result<Option<f32>> {
    let given = match call.optional(i)? {
        Some(c) => Some(c.scalar().ok_or_else(|| Error::argument(format!("its bound {name} is not one number")))?),
        None => Some(call.float(name, f32::NAN)?),
    };
    Ok(given.filter(|v| v.is_finite() && v.abs() < f32::MAX))
}

fn clip(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    match (bound(call, "min", 1)?, bound(call, "max", 2)?) {
        (None, None) => Ok(x.clone().into()),
        (Some(0.0), None) => each(importer, call, Activation::Relu),
        (Some(0.0), Some(6.0)) => each(importer, call, Activation::Relu6),
        (low, high) => Err(Error::argument(format!("a clip to {low:?}, {high:?} is not known"))),
    }
}

// Along one axis; before opset 13, along all axes from that one on, as one.
fn along(importer: &mut Importer, call: &Call<'_>, function: Activation) -> Result<Known> {
    let x = call.feature(0)?;
    let first = call.int("axis", if call.opset < 13 { 1 } else { -1 })?;
    let axes = match call.opset {
        ..13 => (x.axis(first)?..x.layout.rank()).collect(),
        _ => vec![x.axis(first)?],
    };
    let x = importer.with_last(x, &axes)?;
    let value = importer.layer(call, function, &[x.value], Vec::new())?;
    Ok(Feature { value, ..x }.into())
}
