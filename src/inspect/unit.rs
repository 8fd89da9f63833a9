//! One unit: what it sees, how its value comes about, and what would change it.
//!
//! ```text
//! sum     = sum over ky, kx, ic of x[y sh - top + ky dh, x sw - left + kx dw, ic] w[ky, kx, ic, oc]
//! before  = sum + bias,   value = activation(before)
//! ```
//!
//! The products are those of the plain formula in f64; the values beside them are what the engine computed.

use super::score::finite;
use super::tape::{ReluRule, Spot, Tape, TapeConfig};
use super::window::{Patch, image, unit_patch};
use crate::error::{Error, Result};
use crate::graph::Node;
use crate::model::{Model, Param};
use crate::ops::{Activation, Op};
use crate::session::Machine;
use crate::tensor::Tensor;

/// One unit of a layer for one sample.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The layer.
    pub layer: String,
    /// Its class.
    pub class: &'static str,
    /// Row, column and channel; a layer without rows and columns has 0, 0 and the number of the value.
    pub at: [usize; 3],
    /// The pixels that it can depend on.
    pub patch: Patch,
    /// How its value comes about, where the layer is a convolution or dense.
    pub sum: Option<Products>,
    /// Before the activation.
    pub before: f32,
    /// The activation.
    pub activation: Activation,
    /// The value.
    pub value: f32,
    /// The gradient of the value to the input, `[h, w, c]`.
    pub gradient: Tensor,
    /// The gradient of what is before the activation, which a ReLU that is off does not hide.
    pub gradient_before: Tensor,
}

/// The products that a unit adds up.
#[derive(Debug, Clone, PartialEq)]
pub struct Products {
    /// What it reads, `[kh, kw, ic]`; the padding where the kernel hangs over the edge.
    pub x: Tensor,
    /// The kernel, `[kh, kw, ic]`.
    pub w: Tensor,
    /// The first of the input channels that it reads, in a convolution with groups.
    pub first_channel: usize,
    /// The sum of `x w`.
    pub sum: f64,
    /// The bias.
    pub bias: f64,
}

impl Products {
    /// The products of one input channel, `[kh, kw]`, and their sum.
    pub fn of_channel(&self, c: usize) -> (Vec<f32>, f64) {
        let ic = self.x.dims()[2];
        let pick = |t: &Tensor| t.data().iter().skip(c).step_by(ic).map(|v| f64::from(*v)).collect::<Vec<_>>();
        let products: Vec<f64> = pick(&self.x).iter().zip(pick(&self.w)).map(|(x, w)| x * w).collect();
        (products.iter().map(|p| *p as f32).collect(), products.iter().sum())
    }
}

/// Takes one unit apart (V12): `at` is row, column and channel.
///
/// ```
/// let model = striate::Model::new(striate::zoo::recipe("keras-mnist")?.graph, 0)?;
/// let unit = striate::inspect::unit(&model, &vec![0.5; 784], "conv2d_1", [5, 5, 7], &Default::default())?;
/// let sum = unit.sum.unwrap();
/// assert!((sum.sum + sum.bias - f64::from(unit.before)).abs() < 1e-5);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The network takes no images, there is no such layer, or it has no such unit.
pub fn unit(model: &Model, x: &[f32], layer: &str, at: [usize; 3], machine: &Machine) -> Result<Unit> {
    let graph = model.graph();
    let dims = image(graph.input_shape()?)?;
    let value = graph.value(layer)?;
    let (node, [h, w, c]) = (graph.node(value), places(graph.node(value)));
    let [y, column, k] = at;
    if y >= h || column >= w || k >= c {
        return Err(Error::argument(format!("layer '{layer}' has no unit at row {y}, column {column}, channel {k}"))
            .with_help(format!("rows are 0 to {}, columns 0 to {}, channels 0 to {}", h - 1, w - 1, c - 1)));
    }
    let index = (y * w + column) * c + k;
    let mut tape = Tape::new(model, 1, &TapeConfig { upto: Some(layer), machine: machine.clone() })?;
    tape.forward(x)?;
    let (values, before) = (tape.value(Spot::Layer(layer))?, tape.value(Spot::Before(layer))?);
    finite(&[values.data()[index]])?;
    let mut seed = vec![0.0; values.data().len()];
    seed[index] = 1.0;
    let mut back = |from| {
        tape.backward(from, &seed, ReluRule::Derivative)?;
        tape.input_gradient().reshape(&dims)
    };
    let (gradient, gradient_before) = (back(Spot::Layer(layer))?, back(Spot::Before(layer))?);
    let activation = if let Op::Activation(own) = &node.op { own.function } else { node.op.activation() };
    let first = graph.nodes()[..value.0].iter().map(|n| graph.params(n).len()).sum::<usize>();
    let params = &model.params()[first..first + graph.params(node).len()];
    let input = match node.inputs.first() {
        Some(input) => tape.value(Spot::Layer(&graph.node(*input).name))?,
        None => values.clone(),
    };
    Ok(Unit {
        layer: layer.into(),
        class: node.op.rule().class(),
        at,
        patch: unit_patch(graph, layer, [y, column])?,
        sum: products(&node.op, params, &input, at)?,
        before: before.data()[index],
        activation,
        value: values.data()[index],
        gradient,
        gradient_before,
    })
}

// Rows, columns and channels; one row and column where there are none.
fn places(node: &Node) -> [usize; 3] {
    match *node.shape.dims() {
        [h, w, c] => [h, w, c],
        _ => [1, 1, node.shape.len()],
    }
}

// `input` is the layer's, with the batch.
fn products(op: &Op, params: &[Param], input: &Tensor, [y, x, k]: [usize; 3]) -> Result<Option<Products>> {
    let bias = params.iter().find(|p| p.name.ends_with("/bias")).map_or(0.0, |b| f64::from(b.data[k]));
    let (patch, kernel, first_channel) = match (op, input.dims()) {
        (Op::Conv2D(conv), &[_, h, w, c]) => {
            let g = conv.geometry(1, [h, w, c].into())?;
            let (icg, ocg) = (g.ic_per_group(), g.oc_per_group());
            let first = k / ocg * icg;
            let (mut patch, mut kernel) =
                (Tensor::zeros(&[g.h.kernel, g.w.kernel, icg]), Tensor::zeros(&[g.h.kernel, g.w.kernel, icg]));
            for (ky, kx) in (0..g.h.kernel).flat_map(|ky| (0..g.w.kernel).map(move |kx| (ky, kx))) {
                let from = g.h.input_at(y, ky).zip(g.w.input_at(x, kx));
                for i in 0..icg {
                    patch[[ky, kx, i]] = from.map_or(conv.pad_value, |(iy, ix)| input[[0, iy, ix, first + i]]);
                    kernel[[ky, kx, i]] = params[0].data[((ky * g.w.kernel + kx) * icg + i) * g.oc + k];
                }
            }
            (patch, kernel, first)
        }
        (Op::Dense(dense), &[_, n]) => {
            let kernel = params[0].data.iter().skip(k).step_by(dense.units).copied().collect();
            (Tensor::new(&[1, 1, n], input.data().to_vec())?, Tensor::new(&[1, 1, n], kernel)?, 0)
        }
        _ => return Ok(None),
    };
    let sum = patch.data().iter().zip(kernel.data()).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
    Ok(Some(Products { x: patch, w: kernel, first_channel, sum, bias }))
}
