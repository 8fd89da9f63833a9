//! Keras layers that move numbers: flatten, reshape, permute, pad, crop, enlarge, concatenate.

use serde_json::Value as Json;

use super::fields::Fields;
use super::layers::{Context, Plan, channels_only, not_turned, only};
use super::pools::sides;
use crate::error::Result;
use crate::ops::{Concat, Flatten, Permute, Reshape, Slice, Upsample2D, ZeroPad};
use crate::tensor::Shape;

/// `Flatten`. With `channels_first` of its own it brings the channels to the end; else numbers stay as Keras has them.
pub fn flatten(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let x = only(f, x)?;
    let format = f.text("data_format", "channels_last")?;
    let plan = Plan::one(Flatten::new());
    if !context.channels_first || x.rank() == 1 || format == "channels_first" {
        return Ok(plan);
    }
    let order: Vec<usize> = std::iter::once(x.rank() - 1).chain(0..x.rank() - 1).collect();
    Ok(Plan { parts: vec![("_channels_first", Permute::new(&order).into()), ("", Flatten::new().into())], ..plan })
}

/// `Reshape`.
pub fn reshape(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let target = f.take("target_shape").unwrap_or_default();
    let dims: Option<Vec<i64>> = target.as_array().and_then(|list| list.iter().map(Json::as_i64).collect());
    let dims = dims.ok_or_else(|| f.error(&format!("its target_shape {target} is not a list of sizes")))?;
    not_turned(f, only(f, x)?, context)?;
    if dims.len() > 1 && context.channels_first {
        return Err(f.error("with data_format channels_first, a target_shape of several axes is not supported"));
    }
    Ok(Plan::one(Reshape::new(&dims)))
}

/// `Permute`, which counts axes from 1.
pub fn permute(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    not_turned(f, only(f, x)?, context)?;
    let dims = f.take("dims").unwrap_or_default();
    let axis = |d: &Json| d.as_u64()?.checked_sub(1).and_then(|d| usize::try_from(d).ok());
    let axes: Option<Vec<usize>> = dims.as_array().and_then(|list| list.iter().map(axis).collect());
    let axes = axes.ok_or_else(|| f.error(&format!("its dims {dims} are not axes counted from 1")))?;
    Ok(Plan::one(Permute::new(&axes)))
}

/// `ZeroPadding2D`.
pub fn zero_padding(f: &mut Fields) -> Result<Plan> {
    let [[top, bottom], [left, right]] = sides(f, "padding")?;
    Ok(Plan::one(ZeroPad::sides(top, bottom, left, right)))
}

/// `Cropping2D`: a slice of the rows, and one of the columns.
pub fn cropping2d(f: &mut Fields, x: &[Shape]) -> Result<Plan> {
    let cut = sides(f, "cropping")?;
    let &[h, w, _] = only(f, x)?.dims() else { return Err(f.error("its input is no image")) };
    let rows = slice(f, 0, h, cut[0])?;
    let columns = slice(f, 1, w, cut[1])?;
    Ok(match cut {
        [[0, 0], _] => Plan::one(columns),
        [_, [0, 0]] => Plan::one(rows),
        _ => Plan { parts: vec![("_rows", rows.into()), ("", columns.into())], ..Plan::one(Flatten::new()) },
    })
}

/// `Cropping1D`.
pub fn cropping1d(f: &mut Fields, x: &[Shape]) -> Result<Plan> {
    let cut = f.sizes("cropping")?.unwrap_or([1, 1]);
    let &[l, _] = only(f, x)?.dims() else { return Err(f.error("its input is no sequence")) };
    Ok(Plan::one(slice(f, 0, l, cut)?))
}

fn slice(f: &Fields, axis: isize, size: usize, [start, end]: [usize; 2]) -> Result<Slice> {
    match size.checked_sub(end) {
        Some(end) if start < end => Ok(Slice::new(axis, start, end)),
        _ => Err(f.error(&format!("it crops {start} and {end} of {size}, and nothing is left"))),
    }
}

/// `UpSampling2D`.
pub fn upsampling(f: &mut Fields) -> Result<Plan> {
    let size = f.sizes("size")?.unwrap_or([2, 2]);
    match f.text("interpolation", "nearest")?.as_str() {
        "nearest" => Ok(Plan::one(Upsample2D::nearest(size))),
        "bilinear" => Ok(Plan::one(Upsample2D::bilinear(size))),
        other => {
            Err(f.error(&format!("its interpolation '{other}' is not supported")).with_help("nearest and bilinear are"))
        }
    }
}

/// `Concatenate` of channels.
pub fn concatenate(f: &mut Fields, x: &[Shape], context: Context) -> Result<Plan> {
    let given = f.axis("axis", -1)?;
    if let Some(x) = x.first() {
        channels_only(f, given, *x, context)?;
    }
    Ok(Plan::one(Concat::new()))
}
