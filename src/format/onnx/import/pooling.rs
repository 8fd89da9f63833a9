//! Pools: over windows, and over everything.

use super::super::call::{Call, Feature, Known};
use super::super::layout::Layout;
use super::window::{Window, positive};
use super::{Handler, Importer};
use crate::error::{Error, Result};
use crate::ops::{GlobalPool, Pool1D, Pool2D, PoolKind};

use Handler::One;

pub(super) const TABLE: &[(&str, Handler)] = &[
    ("MaxPool", One(|i, c| pool(i, c, PoolKind::Max))),
    ("AveragePool", One(|i, c| pool(i, c, PoolKind::Average))),
    ("GlobalMaxPool", One(|i, c| global(i, c, PoolKind::Max))),
    ("GlobalAveragePool", One(|i, c| global(i, c, PoolKind::Average))),
    ("ReduceMean", One(|i, c| reduce(i, c, PoolKind::Average))),
    ("ReduceMax", One(|i, c| reduce(i, c, PoolKind::Max))),
    ("ReduceMin", One(|i, c| reduce(i, c, PoolKind::Min))),
];

fn pool(importer: &mut Importer, call: &Call<'_>, kind: PoolKind) -> Result<Known> {
    let x = call.feature(0)?;
    let sample = x.sample()?;
    let kernel = call.ints("kernel_shape")?.ok_or_else(|| Error::argument("its kernel_shape is missing"))?;
    let window = Window::read(call, &positive("kernel_shape", kernel)?, &sample[1..])?;
    let ceil = call.flag("ceil_mode", false)?;
    let count_padding = kind == PoolKind::Average && call.flag("count_include_pad", false)?;
    // It orders the places of the maxima, which nobody asks for.
    call.ignore("storage_order");
    let x = importer.channels_last(x)?;
    if kernel.len() == 1 && window.dilation[1] == 1 {
        let pool = Pool1D::new(kind, window.kernel[1]).stride(window.stride[1]).padding(window.padding);
        let pool = Pool1D { ceil, count_padding, ..pool };
        let y = importer.layer(call, pool, &[x.value], Vec::new())?;
        return Ok(importer.image(y).into());
    }
    let pool = Pool2D {
        stride: Some(window.stride),
        padding: window.padding,
        dilation: window.dilation,
        ceil,
        count_padding,
        ..Pool2D::new(kind, window.kernel)
    };
    if kernel.len() == 1 {
        return importer.row(call, &x, pool, Vec::new()).map(Known::from);
    }
    let y = importer.layer(call, pool, &[x.value], Vec::new())?;
    Ok(importer.image(y).into())
}

fn global(importer: &mut Importer, call: &Call<'_>, kind: PoolKind) -> Result<Known> {
    let x = call.feature(0)?;
    let axes: Vec<usize> = (1..x.sample()?.len()).collect();
    importer.pooled(call, x, &axes, kind).map(Known::from)
}

fn reduce(importer: &mut Importer, call: &Call<'_>, kind: PoolKind) -> Result<Known> {
    let x = call.feature(0)?;
    let keeps = call.flag("keepdims", true)?;
    let axes = match call.list("axes", 1)?.filter(|list| !list.is_empty()) {
        Some(list) => x.axes(&list)?,
        None if call.flag("noop_with_empty_axes", false)? => return Ok(x.clone().into()),
        None if x.batch.is_some() => return Err(Error::argument("it reduces the batch too").with_help("give its axes")),
        None => (0..x.layout.rank()).collect(),
    };
    call.ignore("noop_with_empty_axes");
    let y = importer.pooled(call, x, &axes, kind)?;
    if keeps {
        return Ok(y.into());
    }
    let rank = y.rank();
    let kept = (0..rank).filter(|axis| {
        x.batch == Some(*axis) || !axes.contains(&(axis - usize::from(x.batch.is_some_and(|b| b < *axis))))
    });
    let batch = x.batch.and_then(|at| kept.clone().position(|axis| axis == at));
    Ok(Feature { value: y.value, layout: y.layout.squeeze(&axes), batch }.into())
}

impl Importer {
    // One number for each place of the other axes; the axes stay, with size 1.
    fn pooled(&mut self, call: &Call<'_>, x: &Feature, axes: &[usize], kind: PoolKind) -> Result<Feature> {
        let mut dims = x.layout.dims();
        axes.iter().for_each(|axis| dims[*axis] = 1);
        let order = x.layout.ending(&[]);
        let rest: Vec<usize> = order.iter().copied().filter(|axis| !axes.contains(axis)).collect();
        let gone: Vec<usize> = order.into_iter().filter(|axis| axes.contains(axis)).collect();
        let arranged = match gone[..] {
            [] => return Ok(x.clone()),
            [h, w] => self.arrange(x, &[&[h], &[w], &rest])?,
            _ => self.arrange(x, &[&gone, &rest])?,
        };
        // Convolutions go on with the image that is left, of one pixel.
        let keep_dims = gone.len() == 2 && self.users(call).iter().any(|op| op == "Conv");
        let pool = GlobalPool { kind, keep_dims };
        let value = self.layer(call, pool, &[arranged.value], Vec::new())?;
        Ok(Feature { value, layout: Layout::new(&dims, &rest_first(&rest, &gone)), batch: x.batch })
    }
}

fn rest_first(rest: &[usize], gone: &[usize]) -> Vec<usize> {
    rest.iter().chain(gone).copied().collect()
}
