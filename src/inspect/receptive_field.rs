//! The receptive field: which part of the input a value of a layer depends on.
//!
//! Along each axis a layer has a *size* `r`, the inputs that one of its values
//! sees, and a *jump* `j`, the inputs between two neighbouring values. The input
//! has `r = 1, j = 1`. A window of `k` values, `d` apart, moved by `s`:
//!
//! ```text
//! r = r + (k - 1) d j        j = j s
//! ```
//!
//! What spreads an image (upsampling by `s`, a transposed convolution) divides
//! the jump. Where branches meet, the widest counts. After global pooling, a
//! flatten or a dense layer a value sees all of the input. The statistics of
//! normalisations over pixels are left out, as is usual. The size does not stop
//! at the edge of the image: a field may hang over it.
//!
//! Source: Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional
//! Neural Networks", Distill, 2019, doi:10.23915/distill.00021.

use std::fmt;

use crate::graph::Graph;
use crate::ops::{AdaptivePool2D, Op, UpsampleMethod};
use crate::tensor::Shape;

/// The receptive field along one axis of the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// Inputs that one value sees, at most.
    pub size: f64,
    /// Inputs between two neighbouring values; less than 1 where the image was spread.
    pub jump: f64,
}

/// What one value of a layer sees of the input.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// A window: height and width of an image, or the length of a sequence.
    Window(Vec<Axis>),
    /// All of it.
    All,
}

impl fmt::Display for Field {
    /// Sizes and jumps such as `22x22 / 8`, or `all`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Window(axes) = self else { return f.write_str("all") };
        let sizes: Vec<String> = axes.iter().map(|a| short(a.size.ceil())).collect();
        let same = axes.iter().all(|a| a.jump == axes[0].jump);
        let jumps: Vec<String> = axes.iter().take(if same { 1 } else { 2 }).map(|a| short(a.jump)).collect();
        write!(f, "{} / {}", sizes.join("x"), jumps.join("x"))
    }
}

pub(super) fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// The receptive field of each node of a graph, in their order.
///
/// ```
/// use striate::inspect::receptive_fields;
/// let graph = striate::zoo::recipe("keras-mnist")?.graph;
/// let fields = receptive_fields(&graph);
/// let last = graph.nodes().iter().position(|n| n.name == "max_pooling2d_2").unwrap();
/// assert_eq!(fields[last].to_string(), "22x22 / 8");
/// # Ok::<(), striate::Error>(())
/// ```
pub fn receptive_fields(graph: &Graph) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for node in graph.nodes() {
        let inputs: Vec<Field> = node.inputs.iter().map(|v| fields[v.0].clone()).collect();
        let before = inputs.into_iter().reduce(widest);
        fields.push(match before {
            None => start(node.shape),
            Some(before) => after(&node.op, before, (&graph.input_shapes(node)[0], &node.shape)),
        });
    }
    fields
}

// All axes but the channels; a vector has none, and is seen whole.
fn start(input: Shape) -> Field {
    match input.rank() {
        0 | 1 => Field::All,
        rank => Field::Window(vec![Axis { size: 1.0, jump: 1.0 }; rank - 1]),
    }
}

fn widest(a: Field, b: Field) -> Field {
    let (Field::Window(a), Field::Window(b)) = (a, b) else { return Field::All };
    let wider = |(a, b): (&Axis, &Axis)| Axis { size: a.size.max(b.size), jump: a.jump.max(b.jump) };
    Field::Window(a.iter().zip(&b).map(wider).collect())
}

// How a layer looks at its input along one axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    // Values of the input that one value sees, and their distance.
    pub(super) taps: usize,
    pub(super) dilation: usize,
    // Steps of the input for one step of the output.
    pub(super) step: f64,
}

fn after(op: &Op, before: Field, shapes: (&Shape, &Shape)) -> Field {
    let Field::Window(axes) = before else { return Field::All };
    let Some(looks) = looks(op, shapes, axes.len()) else { return Field::All };
    let see = |(axis, look): (&Axis, &Look)| Axis {
        size: axis.size + (look.taps.max(1) - 1) as f64 * look.dilation as f64 * axis.jump,
        jump: axis.jump * look.step,
    };
    Field::Window(axes.iter().zip(&looks).map(see).collect())
}

// One look for each axis; none where the layer sees all of its input.
pub(super) fn looks(op: &Op, (x, y): (&Shape, &Shape), axes: usize) -> Option<Vec<Look>> {
    let window = |taps: [usize; 2], step: [usize; 2], dilation: [usize; 2]| {
        Some((0..2).map(|i| Look { taps: taps[i], dilation: dilation[i], step: step[i] as f64 }).collect())
    };
    let point = Look { taps: 1, dilation: 1, step: 1.0 };
    match op {
        Op::Conv2D(o) => window(o.kernel, o.stride, o.dilation),
        Op::SeparableConv2D(o) => window(o.kernel, o.stride, o.dilation),
        Op::Pool2D(o) => window(o.window, o.stride.unwrap_or(o.window), o.dilation),
        Op::Conv1D(o) => Some(vec![Look { taps: o.kernel, dilation: o.dilation, step: o.stride as f64 }]),
        Op::Pool1D(o) => Some(vec![Look { taps: o.window, dilation: 1, step: o.stride.unwrap_or(o.window) as f64 }]),
        Op::ConvTranspose2D(o) => {
            let reach = |i: usize| ((o.kernel[i] - 1) * o.dilation[i] + 1).div_ceil(o.stride[i]);
            Some((0..2).map(|i| Look { taps: reach(i), dilation: 1, step: 1.0 / o.stride[i] as f64 }).collect())
        }
        Op::Upsample2D(o) => {
            let taps = if o.method == UpsampleMethod::Nearest { 1 } else { 2 };
            let step = |i: usize| x.dims()[i] as f64 / y.dims()[i] as f64;
            Some((0..2).map(|i| Look { taps, dilation: 1, step: step(i) }).collect())
        }
        Op::AdaptivePool2D(o) => adaptive(o, x),
        Op::Dense(_) | Op::GlobalPool(_) | Op::Flatten(_) | Op::Reshape(_) | Op::Permute(_) | Op::Custom(_) => None,
        Op::Input(_)
        | Op::Activation(_)
        | Op::BatchNorm(_)
        | Op::LayerNorm(_)
        | Op::GroupNorm(_)
        | Op::Affine(_)
        | Op::PRelu(_)
        | Op::Lrn(_)
        | Op::Dropout(_)
        | Op::StochasticDepth(_)
        | Op::Add(_)
        | Op::Merge(_)
        | Op::Concat(_)
        | Op::Slice(_)
        | Op::Pad2D(_)
        | Op::ZeroPad(_) => Some(vec![point; axes]),
    }
}

// Window `i` of `n` covers `floor(i in / n)` to `ceil((i + 1) in / n)`.
fn adaptive(op: &AdaptivePool2D, x: &Shape) -> Option<Vec<Look>> {
    if op.size == [1, 1] {
        return None;
    }
    let look = |i: usize| {
        let (len, n) = (x.dims()[i], op.size[i]);
        let taps = (0..n).map(|k| ((k + 1) * len).div_ceil(n) - k * len / n).max().unwrap_or(1);
        Look { taps, dilation: 1, step: len as f64 / n as f64 }
    };
    Some((0..2).map(look).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Add, Concat, Conv1D, Conv2D, ConvTranspose2D, Flatten, GlobalPool, Merge, Padding, Pool2D};
    use crate::zoo;

    fn at(graph: &Graph, layer: &str) -> String {
        let at = graph.nodes().iter().position(|n| n.name == layer).unwrap();
        receptive_fields(graph)[at].to_string()
    }

    #[test]
    fn networks_have_the_published_fields() {
        let last_pool = |name: &str| {
            let graph = zoo::recipe(name).unwrap().graph;
            let pool = graph.nodes().iter().rfind(|n| matches!(n.op, Op::Pool2D(_))).unwrap();
            at(&graph, &pool.name)
        };
        assert_eq!(last_pool("keras-mnist"), "22x22 / 8");
        assert_eq!(last_pool("simple-convnet"), "6x6 / 2");
        // The table of Araujo, Norris and Sim: AlexNet 195, VGG-16 212, at jump 32.
        assert_eq!(last_pool("alexnet"), "195x195 / 32");
        assert_eq!(last_pool("vgg-16"), "212x212 / 32");
    }

    #[test]
    fn branches_axes_and_spreading() {
        let mut g = Graph::new("g");
        let x = g.input([32, 32, 4]).unwrap();
        let a = g.add(Conv2D::new(4, [3, 5]).stride([1, 2]).padding(Padding::Same), &[x]).unwrap();
        let b = g.add(Conv2D::new(4, 1).stride([1, 2]), &[x]).unwrap();
        g.add_named("sum", Add::new(), &[a, b]).unwrap();
        assert_eq!(at(&g, "sum"), "3x5 / 1x2");
        let wide = g.add(Conv2D::new(4, 3).dilation(4).padding(Padding::Same), &[a]).unwrap();
        g.add_named("both", Concat::new(), &[a, wide]).unwrap();
        // 3 + 2 * 4 * 1, and 5 + 2 * 4 * 2.
        assert_eq!(at(&g, "both"), "11x21 / 1x2");
        // Each output of a 4x4 kernel at stride 2 sees two inputs.
        let small = g.add(Pool2D::max(2), &[x]).unwrap();
        let up = Op::ConvTranspose2D(ConvTranspose2D::new(4, 4).stride(2).padding(Padding::Same));
        g.add_named("spread", up, &[small]).unwrap();
        assert_eq!(at(&g, "spread"), "4x4 / 1");
    }

    /// A gate that looks at the whole image makes all behind it see all of it.
    #[test]
    fn whole_images_and_sequences() {
        let mut g = Graph::new("g");
        let x = g.input([8, 8, 4]).unwrap();
        let mean = g.add(GlobalPool::average().keep_dims(true), &[x]).unwrap();
        g.add_named("gated", Merge::multiply(), &[x, mean]).unwrap();
        g.add_named("flat", Flatten::new(), &[x]).unwrap();
        assert_eq!((at(&g, "gated"), at(&g, "flat")), ("all".into(), "all".into()));
        let mut g = Graph::new("sequence");
        let x = g.input([20, 3]).unwrap();
        let a = g.add(Conv1D::new(4, 3), &[x]).unwrap();
        g.add_named("second", Conv1D::new(4, 3), &[a]).unwrap();
        assert_eq!(at(&g, "second"), "5 / 1");
    }
}
