//! Pooling layers of Keras, and the sides that padding and cropping give.

use super::convs::padding;
use super::fields::{Fields, whole};
use super::layers::Plan;
use crate::error::Result;
use crate::ops::{GlobalPool, Pool1D, Pool2D, PoolKind};
use serde_json::Value as Json;

fn kind(class: &str) -> PoolKind {
    if class.contains("Max") { PoolKind::Max } else { PoolKind::Average }
}

/// `MaxPooling2D` and `AveragePooling2D`.
pub fn pool2d(f: &mut Fields) -> Result<Plan> {
    let window = f.sizes("pool_size")?.unwrap_or([2, 2]);
    let pool = Pool2D::new(kind(&f.class), window).padding(padding(f, None)?);
    Ok(Plan::one(pool.strides(f.sizes("strides")?.unwrap_or(window))))
}

/// `MaxPooling1D` and `AveragePooling1D`.
pub fn pool1d(f: &mut Fields) -> Result<Plan> {
    let [window] = f.sizes("pool_size")?.unwrap_or([2]);
    let pool = Pool1D::new(kind(&f.class), window).padding(padding(f, None)?);
    let [stride] = f.sizes("strides")?.unwrap_or([window]);
    Ok(Plan::one(pool.stride(stride)))
}

/// The global poolings.
pub fn global(f: &mut Fields) -> Result<Plan> {
    let pool = GlobalPool::new(kind(&f.class));
    Ok(Plan::one(pool.keep_dims(f.flag("keepdims", false)?)))
}

/// Sizes before and after, for rows and columns: one number, `[rows, columns]`, or `[[top, bottom], [left, right]]`.
pub fn sides(f: &mut Fields, key: &str) -> Result<[[usize; 2]; 2]> {
    let value = f.take(key).unwrap_or_else(|| Json::from(1));
    let axis = |value: &Json| match value {
        Json::Array(pair) if pair.len() == 2 => Some([whole(&pair[0])?, whole(&pair[1])?]),
        one => whole(one).map(|size| [size; 2]),
    };
    let sides = match &value {
        Json::Array(list) => match list.as_slice() {
            [rows, columns] => axis(rows).zip(axis(columns)),
            // Keras 1: top, bottom, left, right.
            [top, bottom, left, right] => whole(top)
                .zip(whole(bottom))
                .zip(whole(left).zip(whole(right)))
                .map(|((top, bottom), (left, right))| ([top, bottom], [left, right])),
            _ => None,
        },
        one => axis(one).map(|size| (size, size)),
    };
    let (rows, columns) = sides.ok_or_else(|| f.error(&format!("its {key} {value} is not understood")))?;
    Ok([rows, columns])
}
