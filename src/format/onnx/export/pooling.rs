//! Pools.

use super::convolution::pads;
use super::{AttributeProto, Exporter, Held, int, sizes};
use crate::conv::{Axis, Window};
use crate::error::{Error, Result};
use crate::ops::{AdaptivePool2D, GlobalPool, Pool1D, Pool2D, PoolKind, Upsample2D};
use crate::tensor::Shape;

// How a pool is written.
struct Pool {
    kind: PoolKind,
    axes: Vec<Axis>,
    ceil: bool,
    count_padding: bool,
}

impl<'m> Exporter<'m> {
    pub(super) fn pool2d(&mut self, op: &Pool2D, shape: Shape, y: Shape, x: &Held) -> Result<Held> {
        let [h, w, _] = shape.hwc()?;
        let stride = op.stride.unwrap_or(op.window);
        let window = Window { kernel: op.window, stride, dilation: op.dilation, padding: op.padding, ceil: op.ceil };
        let axes = window.axes(h, w)?.to_vec();
        self.pool(&Pool { kind: op.kind, axes, ceil: op.ceil, count_padding: op.count_padding }, y, x)
    }

    pub(super) fn pool1d(&mut self, op: &Pool1D, shape: Shape, y: Shape, x: &Held) -> Result<Held> {
        let stride = [1, op.stride.unwrap_or(op.window)];
        let window = Window { kernel: [1, op.window], stride, dilation: [1; 2], padding: op.padding, ceil: op.ceil };
        let axes = vec![window.axes(1, shape.dims()[0])?[1]];
        self.pool(&Pool { kind: op.kind, axes, ceil: op.ceil, count_padding: op.count_padding }, y, x)
    }

    // ONNX knows no adaptive pool; where the windows are alike, it is a pool.
    pub(super) fn adaptive(&mut self, op: &AdaptivePool2D, shape: Shape, y: Shape, x: &Held) -> Result<Held> {
        let [h, w, _] = shape.hwc()?;
        let [oh, ow] = op.size;
        if oh.is_multiple_of(h) && ow.is_multiple_of(w) {
            // Each window is one pixel.
            return self.upsample(&Upsample2D::nearest([oh / h, ow / w]), shape, y, x);
        }
        if !h.is_multiple_of(oh) || !w.is_multiple_of(ow) {
            return Err(Error::argument(format!(
                "an adaptive pool from {h}x{w} to {oh}x{ow} has windows of several sizes"
            ))
            .with_help("ONNX cannot say that; choose an input whose size is a multiple"));
        }
        let kernel = [h / oh, w / ow];
        self.pool2d(&Pool2D::new(op.kind, kernel), shape, y, x)
    }

    fn pool(&mut self, pool: &Pool, y: Shape, x: &Held) -> Result<Held> {
        let is_average = pool.kind == PoolKind::Average;
        let dilated = pool.axes.iter().any(|a| a.dilation != 1);
        if is_average && dilated && self.opset < 19 {
            return Err(Error::argument("an average pool with dilation needs operator set 19")
                .with_help(format!("export with a newer one than {}", self.opset)));
        }
        let each = |size: fn(&Axis) -> usize| pool.axes.iter().map(size).collect::<Vec<_>>();
        let mut attributes = vec![
            sizes("kernel_shape", &each(|a| a.kernel)),
            sizes("strides", &each(|a| a.stride)),
            sizes("pads", &pads(&pool.axes)),
            int("ceil_mode", pool.ceil.into()),
        ];
        if dilated {
            attributes.push(sizes("dilations", &each(|a| a.dilation)));
        }
        if is_average {
            attributes.push(int("count_include_pad", pool.count_padding.into()));
        }
        let x = self.canonical(x)?;
        let name = self.of_kind(pool.kind, ["MaxPool", "AveragePool"], &x, attributes);
        Ok(Held::channels_first(name, y))
    }

    pub(super) fn global(&mut self, op: &GlobalPool, y: Shape, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let name = self.of_kind(op.kind, ["GlobalMaxPool", "GlobalAveragePool"], &x, Vec::new());
        let held = Held::channels_first(name, y);
        let dims = [y.channels()].into_iter().chain(x.dims[1..].iter().map(|_| 1)).collect();
        Ok(Held { dims, ..held })
    }

    // The smallest is the negated largest of the negated.
    fn of_kind(&mut self, kind: PoolKind, ops: [&str; 2], x: &Held, attributes: Vec<AttributeProto<'m>>) -> String {
        match kind {
            PoolKind::Max => self.emit(ops[0], &[&x.name], attributes),
            PoolKind::Average => self.emit(ops[1], &[&x.name], attributes),
            PoolKind::Min => {
                let turned = self.emit("Neg", &[&x.name], Vec::new());
                let largest = self.emit(ops[0], &[&turned], attributes);
                self.emit("Neg", &[&largest], Vec::new())
            }
        }
    }
}
