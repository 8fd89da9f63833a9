//! Convolutions and dense layers.

use super::super::call::{Call, Feature, Known};
use super::super::constant::transposed;
use super::super::layout::Layout;
use super::window::Window;
use super::{Handler, Importer};
use crate::error::{Error, Result};
use crate::ops::{Conv1D, Conv2D, ConvTranspose2D, Dense, Op};

use Handler::One;

pub(super) const TABLE: &[(&str, Handler)] =
    &[("Conv", One(conv)), ("ConvTranspose", One(conv_transpose)), ("Gemm", One(gemm)), ("MatMul", One(matmul))];

fn conv(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let (x, weight) = (call.feature(0)?, call.constant(1)?);
    let sample = x.sample()?;
    let [filters, per_group, kernel @ ..] = &weight.dims[..] else {
        return Err(Error::shape(format!("its weights have the sizes {:?}", weight.dims)));
    };
    let window = Window::read(call, kernel, &sample[1..])?;
    let groups = usize::try_from(call.int("group", 1)?).unwrap_or(0);
    if per_group.checked_mul(groups) != Some(sample[0]) {
        let numbers = format!("{} channels, and {groups} groups of {per_group} are expected", sample[0]);
        return Err(Error::shape(format!("its input has {numbers}")));
    }
    let bias = call.optional(2)?.map(|_| call.channels(2, *filters)).transpose()?;
    let conv = Conv2D { bias: bias.is_some(), ..conv2d(&window, *filters, groups) };
    let rank = weight.dims.len();
    // OIHW to HWIO.
    let order: Vec<usize> = (2..rank).chain([1, 0]).collect();
    let mut w = vec![transposed(weight.as_floats()?, &weight.dims, &order)];
    w.extend(bias);
    let x = importer.channels_last(x)?;
    let y = match kernel.len() {
        1 => importer.layer(call, along_row(&conv), &[x.value], w)?,
        _ => importer.layer(call, conv, &[x.value], w)?,
    };
    Ok(importer.image(y).into())
}

fn conv2d(window: &Window, filters: usize, groups: usize) -> Conv2D {
    Conv2D::new(filters, window.kernel)
        .stride(window.stride)
        .dilation(window.dilation)
        .padding(window.padding)
        .groups(groups)
}

// The layer over sequences that is this one over an image of one row.
fn along_row(conv: &Conv2D) -> Conv1D {
    let new = Conv1D::new(conv.filters, conv.kernel[1]);
    let new = Conv1D { bias: conv.bias, ..new };
    new.stride(conv.stride[1]).dilation(conv.dilation[1]).padding(conv.padding).groups(conv.groups)
}

fn conv_transpose(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let (x, weight) = (call.feature(0)?, call.constant(1)?);
    let sample = x.sample()?;
    let [channels, per_group, kernel @ ..] = &weight.dims[..] else {
        return Err(Error::shape(format!("its weights have the sizes {:?}", weight.dims)));
    };
    let groups = usize::try_from(call.int("group", 1)?).unwrap_or(0);
    let filters = per_group.checked_mul(groups).unwrap_or(0);
    if *channels != sample[0] {
        return Err(Error::shape(format!("its input has {} channels, and {channels} are expected", sample[0])));
    }
    let (window, output_padding) = Window::read_transposed(call, kernel, &sample[1..])?;
    let bias = call.optional(2)?.map(|_| call.channels(2, filters)).transpose()?;
    let op = ConvTranspose2D { bias: bias.is_some(), ..ConvTranspose2D::new(filters, window.kernel) };
    let op = op.stride(window.stride).dilation(window.dilation).groups(groups);
    let op = op.padding(window.padding).output_padding(output_padding);
    // IOHW to HWOI; of a sequence, an image of one row.
    let order: Vec<usize> = (2..weight.dims.len()).chain([1, 0]).collect();
    let mut w = vec![transposed(weight.as_floats()?, &weight.dims, &order)];
    w.extend(bias);
    if kernel.len() == 1 {
        return importer.row(call, x, op, w).map(Known::from);
    }
    let x = importer.channels_last(x)?;
    let y = importer.layer(call, op, &[x.value], w)?;
    Ok(importer.image(y).into())
}

fn gemm(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let (turn_a, turn_b) = (call.flag("transA", false)?, call.flag("transB", false)?);
    let mut x = call.feature(0)?.clone();
    if x.rank() != 2 {
        return Err(Error::shape(format!("its input has {} axes, not 2", x.rank())).with_help("flatten it before"));
    }
    if turn_a {
        x = turned(&x);
    }
    let weight = call.constant(1)?;
    let &[rows, columns] = &weight.dims[..] else {
        return Err(Error::shape(format!("its weights have the sizes {:?}", weight.dims)));
    };
    let (units, mut kernel) = match turn_b {
        true => (rows, transposed(weight.as_floats()?, &weight.dims, &[1, 0])),
        false => (columns, weight.as_floats()?.to_vec()),
    };
    kernel.iter_mut().for_each(|w| *w *= alpha);
    let bias = call.optional(2)?;
    let same_for_all = bias.filter(|b| b.len() == 1 || (b.len() == units && b.dims.last() == Some(&units)));
    let row = match same_for_all {
        Some(b) => {
            let data = b.as_floats()?;
            Some((0..units).map(|i| beta * data[i % data.len()]).collect())
        }
        None => None,
    };
    let y = importer.product(call, &x, kernel, units, row)?;
    match bias.filter(|_| same_for_all.is_none()) {
        Some(b) => {
            let scaled = b.as_floats()?.iter().map(|v| beta * v).collect();
            importer.shifted(call, &y, &b.dims, scaled).map(Known::from)
        }
        None => Ok(y.into()),
    }
}

fn turned(x: &Feature) -> Feature {
    match x.batch {
        Some(at) => Feature { batch: Some(1 - at), ..x.clone() },
        None => x.seen_as(x.layout.transpose(&[1, 0])),
    }
}

fn matmul(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let (x, weight) = (call.feature(0)?, call.constant(1)?);
    let &[_, units] = &weight.dims[..] else {
        return Err(Error::shape(format!("its weights have the sizes {:?}", weight.dims))
            .with_help("a product with one matrix is a dense layer; others are not known"));
    };
    let bias = call.optional(2)?;
    let row = match bias {
        Some(b) if b.len() == units && b.dims.last() == Some(&units) => Some(b.as_floats()?.to_vec()),
        _ => None,
    };
    let missing = bias.filter(|_| row.is_none());
    let y = importer.product(call, x, weight.as_floats()?.to_vec(), units, row)?;
    match missing {
        Some(b) => importer.shifted(call, &y, &b.dims, b.as_floats()?.to_vec()).map(Known::from),
        None => Ok(y.into()),
    }
}

impl Importer {
    /// An image, sequence or vector whose last axis is ONNX's axis 1.
    pub(super) fn image(&self, value: crate::graph::Value) -> Feature {
        let shape = self.shape(value);
        let rank = shape.rank();
        let dims: Vec<usize> = [&shape.dims()[rank - 1..], &shape.dims()[..rank - 1]].concat();
        let memory: Vec<usize> = (1..rank).chain([0]).collect();
        Feature { value, layout: Layout::new(&dims, &memory), batch: Some(0) }
    }

    // A layer over images, applied to a sequence as an image of one row.
    pub(super) fn row(&mut self, call: &Call<'_>, x: &Feature, op: impl Into<Op>, w: Vec<Vec<f32>>) -> Result<Feature> {
        let row = self.arrange(&x.seen_as(x.layout.unsqueeze(&[2])), &[&[2], &[1], &[0]])?;
        let y = self.layer(call, op, &[row.value], w)?;
        let y = self.image(y);
        Ok(y.seen_as(y.layout.squeeze(&[1])))
    }

    // The product of the last axis with a matrix `[features, units]`: a dense layer, or a 1x1 convolution where there
    // are more axes.
    fn product(
        &mut self,
        call: &Call<'_>,
        x: &Feature,
        kernel: Vec<f32>,
        units: usize,
        bias: Option<Vec<f32>>,
    ) -> Result<Feature> {
        let last = x.axis(-1)?;
        let features = x.layout.size(last);
        if features * units != kernel.len() {
            let rows = kernel.len() / units.max(1);
            return Err(Error::shape(format!("its input has {features} features, and its weights {rows} rows")));
        }
        let has_bias = bias.is_some();
        if x.layout.len() == features {
            let kernel = rows_in_order(&kernel, &x.layout.rows(last));
            let value = self.flat(x)?;
            let dense = Dense { bias: has_bias, ..Dense::new(units) };
            let value = self.layer(call, dense, &[value], [kernel].into_iter().chain(bias).collect())?;
            let mut dims = x.layout.dims();
            dims[last] = units;
            return Ok(Feature { value, layout: Layout::plain(&dims), batch: x.batch });
        }
        let x = self.with_last(x, &[last])?;
        let w = [kernel].into_iter().chain(bias).collect();
        let value = match self.shape(x.value).rank() {
            2 => self.layer(call, Conv1D { bias: has_bias, ..Conv1D::new(units, 1) }, &[x.value], w)?,
            _ => self.layer(call, Conv2D { bias: has_bias, ..Conv2D::new(units, 1) }, &[x.value], w)?,
        };
        let (mut dims, order) = (x.layout.dims(), x.layout.ending(&[last]));
        dims[last] = units;
        Ok(Feature { value, layout: Layout::new(&dims, &order), batch: x.batch })
    }
}

fn rows_in_order(kernel: &[f32], rows: &[usize]) -> Vec<f32> {
    let units = kernel.len() / rows.len().max(1);
    rows.iter().flat_map(|row| &kernel[row * units..(row + 1) * units]).copied().collect()
}
