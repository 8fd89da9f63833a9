//! Normalisations, and what acts in training alone.

use super::super::call::{Call, Feature, Known};
use super::{Handler, Importer};
use crate::error::{Error, Result};
use crate::ops::{BatchNorm, Dropout, GroupNorm, LayerNorm, Lrn, Op};

use Handler::One;

pub(super) const TABLE: &[(&str, Handler)] = &[
    ("BatchNormalization", One(batch_norm)),
    ("InstanceNormalization", One(instance_norm)),
    ("GroupNormalization", One(group_norm)),
    ("LayerNormalization", One(layer_norm)),
    ("LRN", One(lrn)),
    ("Dropout", One(dropout)),
];

// A layer over channels, with its weights, that keeps the shape.
fn over_channels(i: &mut Importer, call: &Call<'_>, op: impl Into<Op>, w: Vec<Vec<f32>>) -> Result<Known> {
    let x = i.channels_last(call.feature(0)?)?;
    let value = i.layer(call, op, &[x.value], w)?;
    Ok(Feature { value, ..x }.into())
}

fn channels(call: &Call<'_>) -> Result<usize> {
    let sample = call.feature(0)?.sample()?;
    sample.first().copied().ok_or_else(|| Error::shape("its input has no channels"))
}

fn batch_norm(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let c = channels(call)?;
    if call.flag("training_mode", false)? {
        return Err(
            Error::argument("it is in training mode").with_help("export the network for inference: model.eval()")
        );
    }
    if call.int("spatial", 1)? != 1 {
        return Err(Error::argument("statistics for each pixel are not known"));
    }
    let norm = BatchNorm::default().epsilon(call.float("epsilon", 1e-5)?).momentum(call.float("momentum", 0.9)?);
    let w = (1..5).map(|i| call.channels(i, c)).collect::<Result<_>>()?;
    over_channels(importer, call, norm, w)
}

fn instance_norm(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let c = channels(call)?;
    let norm = GroupNorm::new(c).epsilon(call.float("epsilon", 1e-5)?);
    let w = vec![call.channels(1, c)?, call.channels(2, c)?];
    over_channels(importer, call, norm, w)
}

fn group_norm(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let c = channels(call)?;
    let groups = usize::try_from(call.int("num_groups", 1)?).ok().filter(|g| *g > 0 && c.is_multiple_of(*g));
    let groups = groups.ok_or_else(|| Error::shape(format!("its groups do not divide {c} channels")))?;
    call.ignore("stash_type");
    // Until opset 20 there was one number for a whole group.
    let spread = |i: usize| match call.constant(i)?.len() {
        n if n == groups => {
            let data = call.channels(i, groups)?;
            Ok(data.iter().flat_map(|v| std::iter::repeat_n(*v, c / groups)).collect())
        }
        _ => call.channels(i, c),
    };
    let norm = GroupNorm::new(groups).epsilon(call.float("epsilon", 1e-5)?);
    let w = vec![spread(1)?, spread(2)?];
    over_channels(importer, call, norm, w)
}

fn layer_norm(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    let first = x.axis(call.int("axis", -1)?)?;
    call.ignore("stash_type");
    let axes: Vec<usize> = (first..x.layout.rank()).collect();
    let count: usize = axes.iter().map(|axis| x.layout.size(*axis)).product();
    let bias = call.optional(2)?.map(|_| call.channels(2, count)).transpose()?;
    let w = [call.channels(1, count)?].into_iter().chain(bias.clone()).collect();
    let norm = LayerNorm::over(1).epsilon(call.float("epsilon", 1e-5)?).center(bias.is_some());
    let x = importer.with_last(x, &axes)?;
    let value = importer.layer(call, norm, &[x.value], w)?;
    Ok(Feature { value, ..x }.into())
}

fn lrn(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let size = usize::try_from(call.int("size", 0)?).unwrap_or(0);
    let (k, alpha, beta) = (call.float("bias", 1.0)?, call.float("alpha", 1e-4)?, call.float("beta", 0.75)?);
    over_channels(importer, call, Lrn::new(size).constants(k, alpha, beta).average(true), Vec::new())
}

fn dropout(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    call.ignore("seed");
    call.ignore("is_test");
    let given = call.optional(1)?.and_then(super::super::constant::Constant::scalar);
    let rate = given.map_or_else(|| call.float("ratio", 0.5), Ok)?;
    let value = importer.layer(call, Dropout::new(rate), &[x.value], Vec::new())?;
    Ok(Feature { value, ..x.clone() }.into())
}
