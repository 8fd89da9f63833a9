//! Convolutions and dense layers.

use super::super::constant::transposed;
use super::{AttributeProto, Exporter, Held, int, sizes};
use crate::conv::{Axis, Geometry};
use crate::error::Result;
use crate::ops::{Conv1D, Conv2D, ConvTranspose2D, Dense, SeparableConv2D};
use crate::tensor::Shape;

// What is before and after each axis, as ONNX lists it.
pub(super) fn pads(axes: &[Axis]) -> Vec<usize> {
    axes.iter().map(|a| a.before).chain(axes.iter().map(|a| a.after)).collect()
}

// A window that slides: a convolution, or its adjoint.
struct Sweep<'s, 'm> {
    op: &'static str,
    axes: &'s [Axis],
    groups: usize,
    more: Vec<AttributeProto<'m>>,
}

impl<'m> Exporter<'m> {
    pub(super) fn conv2d(&mut self, op: &Conv2D, shape: Shape, y: Shape, x: &Held) -> Result<Held> {
        let g = op.geometry(1, shape)?;
        self.conv(&g, &[g.h, g.w], op.bias, y, x)
    }

    pub(super) fn conv1d(&mut self, op: &Conv1D, shape: Shape, y: Shape, x: &Held) -> Result<Held> {
        let [l, c] = [shape.dims()[0], shape.channels()];
        let g = op.over_rows().geometry(1, [1, l, c].into())?;
        self.conv(&g, &[g.w], op.bias, y, x)
    }

    fn conv(&mut self, g: &Geometry, axes: &[Axis], bias: bool, y: Shape, x: &Held) -> Result<Held> {
        let mut x = self.canonical(x)?;
        let mut axes = axes.to_vec();
        if g.pad_value != 0.0 && pads(&axes).iter().any(|p| *p != 0) {
            x = self.pad(&x, &pads(&axes), "constant", g.pad_value);
            axes.iter_mut().for_each(|axis| (axis.before, axis.after) = (0, 0));
        }
        let kernel = self.kernel("kernel")?;
        let bias = self.bias(bias)?;
        let sweep = Sweep { op: "Conv", axes: &axes, groups: g.groups, more: Vec::new() };
        self.sweep(sweep, &[&x.name, &kernel, &bias], y)
    }

    // A kernel with its input channels before its last axis, as ONNX has it: the last two axes in front, turned.
    fn kernel(&mut self, name: &str) -> Result<String> {
        let p = self.param(name)?;
        let rank = p.dims.len();
        let order: Vec<usize> = [rank - 1, rank - 2].into_iter().chain(0..rank - 2).collect();
        let dims: Vec<usize> = order.iter().map(|axis| p.dims[*axis]).collect();
        Ok(self.floats(name, &dims, &transposed(&p.data, &p.dims, &order)))
    }

    // The bias; its name is empty if there is none.
    fn bias(&mut self, is: bool) -> Result<String> {
        if is { self.plain("bias") } else { Ok(String::new()) }
    }

    // A parameter as it is.
    fn plain(&mut self, name: &str) -> Result<String> {
        let p = self.param(name)?;
        Ok(self.floats(name, &p.dims, &p.data))
    }

    pub(super) fn conv_transpose(&mut self, op: &ConvTranspose2D, shape: Shape, y: Shape, x: &Held) -> Result<Held> {
        let g = op.geometry(1, shape)?;
        let x = self.canonical(x)?;
        let kernel = self.kernel("kernel")?;
        let bias = self.bias(op.bias)?;
        // What the convolution that this is the adjoint of leaves over at the end.
        let over =
            |a: &Axis| a.input + a.before + a.after - ((a.kernel - 1) * a.dilation + 1) - (a.output - 1) * a.stride;
        let extra = vec![sizes("output_padding", &[over(&g.h), over(&g.w)])];
        let sweep = Sweep { op: "ConvTranspose", axes: &[g.h, g.w], groups: g.groups, more: extra };
        self.sweep(sweep, &[&x.name, &kernel, &bias], y)
    }

    pub(super) fn separable(&mut self, op: &SeparableConv2D, shape: Shape, y: Shape, x: &Held) -> Result<Held> {
        let c = shape.channels();
        let depthwise = Conv2D::new(c * op.multiplier, op.kernel).stride(op.stride).dilation(op.dilation);
        let g = depthwise.padding(op.padding).groups(c).no_bias().geometry(1, shape)?;
        let x = self.canonical(x)?;
        // [kh, kw, c, m] has the bytes of a grouped kernel [kh, kw, 1, c m].
        let p = self.param("depthwise_kernel")?;
        let dims = [op.kernel[0], op.kernel[1], 1, c * op.multiplier];
        let data = transposed(&p.data, &dims, &[3, 2, 0, 1]);
        let kernel = self.floats("depthwise_kernel", &[dims[3], 1, dims[0], dims[1]], &data);
        let between: Shape = [g.h.output, g.w.output, g.oc].into();
        let sweep = Sweep { op: "Conv", axes: &[g.h, g.w], groups: c, more: Vec::new() };
        let middle = self.sweep(sweep, &[&x.name, &kernel], between)?;
        let pointwise = Conv2D::new(op.filters, 1).geometry(1, between)?;
        let kernel = self.kernel("pointwise_kernel")?;
        let bias = self.bias(op.bias)?;
        let axes = [pointwise.h, pointwise.w];
        let sweep = Sweep { op: "Conv", axes: &axes, groups: 1, more: Vec::new() };
        self.sweep(sweep, &[&middle.name, &kernel, &bias], y)
    }

    // Inputs that are left out have no name.
    fn sweep(&mut self, sweep: Sweep<'_, 'm>, inputs: &[&str], y: Shape) -> Result<Held> {
        let Sweep { op, axes, groups, more } = sweep;
        let inputs: Vec<&str> = inputs.iter().copied().filter(|name| !name.is_empty()).collect();
        let each = |size: fn(&Axis) -> usize| axes.iter().map(size).collect::<Vec<_>>();
        let mut attributes = vec![
            sizes("kernel_shape", &each(|a| a.kernel)),
            sizes("strides", &each(|a| a.stride)),
            sizes("dilations", &each(|a| a.dilation)),
            sizes("pads", &pads(axes)),
            int("group", groups as i64),
        ];
        attributes.extend(more);
        Ok(Held::channels_first(self.emit(op, &inputs, attributes), y))
    }

    pub(super) fn dense(&mut self, op: &Dense, y: Shape, x: &Held) -> Result<Held> {
        let p = self.param("kernel")?;
        let name = self.view(x.name.clone(), &x.dims, &[x.layout.len()]);
        let rows = x.layout.rows(0);
        let data: Vec<f32> =
            rows.iter().flat_map(|row| &p.data[row * op.units..(row + 1) * op.units]).copied().collect();
        let kernel = self.floats("kernel", &p.dims, &data);
        let bias = self.bias(op.bias)?;
        let inputs: Vec<&str> = [name.as_str(), &kernel, &bias].into_iter().filter(|name| !name.is_empty()).collect();
        Ok(Held::channels_first(self.emit("Gemm", &inputs, Vec::new()), y))
    }
}
