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
    ("HardSigmoid", One(hard_sigmoid)),
    ("Gelu", One(gelu)),
    ("GeluTanh", One(|i, c| each(i, c, Activation::GeluTanh))),
    ("Mish", One(|i, c| each(i, c, Activation::Mish))),
    ("Selu", One(selu)),
    ("Softplus", One(|i, c| each(i, c, Activation::Softplus))),
    ("Softsign", One(|i, c| each(i, c, Activation::Softsign))),
    ("Exp", One(|i, c| each(i, c, Activation::Exponential))),
    ("Elu", One(|i, c| each(i, c, Activation::Elu(c.float("alpha", 1.0)?)))),
    ("LeakyRelu", One(|i, c| each(i, c, Activation::LeakyRelu(c.float("alpha", 0.01)?)))),
    ("Clip", One(clip)),
    ("Softmax", One(|i, c| along(i, c, Activation::Softmax))),
    ("LogSoftmax", One(|i, c| along(i, c, Activation::LogSoftmax))),
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
        (low, high) => clip_between(importer, call, low, high),
    }
}

// Other bounds: moved so that the lower one is 0, and if there are two, stretched so that the upper one is 6.
fn clip_between(importer: &mut Importer, call: &Call<'_>, low: Option<f32>, high: Option<f32>) -> Result<Known> {
    let (scale, from, function) = match (low, high) {
        (Some(low), Some(high)) if high > low => (6.0 / (high - low), low, Activation::Relu6),
        (Some(low), None) => (1.0, low, Activation::Relu),
        (None, Some(high)) => (-1.0, high, Activation::Relu),
        _ => return Err(Error::argument(format!("a clip to {low:?}, {high:?} leaves nothing"))),
    };
    importer.between(call, (scale, -from * scale), function, (1.0 / scale, from)).map(Known::from)
}

// relu6(6 (alpha x + beta)) / 6, where ours is relu6(x + 3) / 6.
fn hard_sigmoid(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let of_idiom = if call.node.domain.is_empty() { 0.2 } else { 1.0 / 6.0 };
    let (alpha, beta) = (call.float("alpha", of_idiom)?, call.float("beta", 0.5)?);
    if (alpha - 1.0 / 6.0).abs() < 1e-6 && beta == 0.5 {
        return each(importer, call, Activation::HardSigmoid);
    }
    let before = (6.0 * alpha, 6.0 * beta - 3.0);
    importer.between(call, before, Activation::HardSigmoid, (1.0, 0.0)).map(Known::from)
}

fn gelu(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    match call.text("approximate", "none")? {
        "none" => each(importer, call, Activation::Gelu),
        "tanh" => each(importer, call, Activation::GeluTanh),
        other => Err(Error::argument(format!("its approximation '{other}' is not known"))),
    }
}

fn selu(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let (alpha, gamma) = (call.float("alpha", 1.673_263_2)?, call.float("gamma", 1.050_701)?);
    if (alpha - 1.673_263_2).abs() > 1e-5 || (gamma - 1.050_701).abs() > 1e-5 {
        return Err(Error::argument(format!("alpha {alpha} and gamma {gamma} are not those of SELU")));
    }
    each(importer, call, Activation::Selu)
}

impl Importer {
    // `c f(a x + b) + d`: for bounds and slopes that our functions do not have.
    fn between(&mut self, call: &Call<'_>, before: (f32, f32), f: Activation, after: (f32, f32)) -> Result<Feature> {
        let terms =
            |(scale, shift): (f32, f32)| ((scale != 1.0).then(|| vec![scale]), (shift != 0.0).then(|| vec![shift]));
        let mut x = call.feature(0)?.clone();
        if before != (1.0, 0.0) {
            x = self.scaled(call, &x, &[], terms(before))?;
        }
        x.value = self.layer(call, f, &[x.value], Vec::new())?;
        if after != (1.0, 0.0) {
            x = self.scaled(call, &x, &[], terms(after))?;
        }
        Ok(x)
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
