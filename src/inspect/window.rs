//! The window of one unit: the rectangle of the input that its value can depend on.
//!
//! [`receptive_fields`](super::receptive_fields) tells how large the window of any
//! unit of a layer is; here it has a place, found by following the unit's rows and columns
//! back to the input, through all branches.

use std::ops::Range;

use crate::conv::{Axis, Window};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::{Op, PadMode, UpsampleMethod};
use crate::tensor::Shape;

/// A rectangle of an image, in whole pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Its rows.
    pub rows: Range<usize>,
    /// Its columns.
    pub columns: Range<usize>,
}

// First and last row (or column), which may lie outside the image, in its padding.
type Span = [isize; 2];

/// The pixels that the unit of a layer at row `y` and column `x` can depend on (V12).
///
/// It holds for all channels of the layer; a layer without rows and columns depends on the whole image, a unit over
/// padding alone on nothing (an empty patch).
///
/// ```
/// let graph = striate::zoo::recipe("keras-mnist")?.graph;
/// let patch = striate::inspect::unit_patch(&graph, "conv2d_1", [5, 5])?;
/// assert_eq!((patch.rows, patch.columns), (7..15, 7..15));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The input is no image, there is no such layer, or it has no such row or column.
pub fn unit_patch(graph: &Graph, layer: &str, at: [usize; 2]) -> Result<Patch> {
    let value = graph.value(layer)?;
    let input = graph.input_shape()?;
    image(input)?;
    let shape = graph.shape(value);
    let [lh, lw] = if let [lh, lw, _] = *shape.dims() { [lh, lw] } else { [1, 1] };
    if at[0] >= lh || at[1] >= lw {
        let [y, x] = at;
        return Err(Error::argument(format!("layer '{layer}' has no unit at row {y}, column {x}")).with_help(format!(
            "rows are 0 to {}, columns 0 to {}",
            lh - 1,
            lw - 1
        )));
    }
    let mut spans: Vec<Option<[Span; 2]>> = vec![None; graph.nodes().len()];
    spans[value.0] = Some(if shape.rank() == 3 { at.map(|v| [v as isize; 2]) } else { all(shape) });
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        let Some(span) = spans[i] else { continue };
        for (input, shape) in node.inputs.iter().zip(graph.input_shapes(node)) {
            // What lies in the padding alone is seen by nobody.
            let Some(back) = inside(before(&node.op, span, shape, node.shape)?, shape) else { continue };
            let merged = spans[input.0].map_or(back, |other| union(other, back));
            spans[input.0] = Some(merged);
        }
    }
    let range = |[first, last]: Span| first as usize..last as usize + 1;
    Ok(match spans[0] {
        Some([rows, columns]) => Patch { rows: range(rows), columns: range(columns) },
        None => Patch { rows: 0..0, columns: 0..0 },
    })
}

/// Height, width and channels of an input that is an image.
pub(super) fn image(input: Shape) -> Result<[usize; 3]> {
    match *input.dims() {
        [h, w, c] => Ok([h, w, c]),
        _ => Err(Error::argument(format!("the network takes {input}, which is no image"))
            .with_help("looking inside needs a network that takes height, width and channels")),
    }
}

// The part of a span that is no padding, if there is one.
fn inside(span: [Span; 2], shape: Shape) -> Option<[Span; 2]> {
    let [rows, columns] = all(shape);
    let cut = |[first, last]: Span, [low, high]: Span| [first.max(low), last.min(high)];
    let cut = [cut(span[0], rows), cut(span[1], columns)];
    cut.iter().all(|[first, last]| first <= last).then_some(cut)
}

fn union(a: [Span; 2], b: [Span; 2]) -> [Span; 2] {
    [0, 1].map(|i| [a[i][0].min(b[i][0]), a[i][1].max(b[i][1])])
}

// All rows and columns; anything that is no image counts as one pixel.
fn all(shape: Shape) -> [Span; 2] {
    let dims = shape.dims();
    let side = |i: usize| if dims.len() == 3 { dims[i] as isize - 1 } else { 0 };
    [[0, side(0)], [0, side(1)]]
}

// The rows and columns of the input that those of the output can depend on.
fn before(op: &Op, span: [Span; 2], x: Shape, y: Shape) -> Result<[Span; 2]> {
    if x.rank() != 3 || y.rank() != 3 {
        return Ok(all(x));
    }
    let sides = |f: &dyn Fn(usize, Span) -> Span| Ok([f(0, span[0]), f(1, span[1])]);
    let sliding = |window: Window| {
        let axes = window.axes(x.dims()[0], x.dims()[1])?;
        sides(&|i, span| slid(&axes[i], span))
    };
    let scaled = |more: isize| {
        sides(&|i, [first, last]| {
            let (from, to) = (x.dims()[i] as isize, y.dims()[i] as isize);
            [(first * from).div_euclid(to) - more, ((last + 1) * from - 1).div_euclid(to) + more]
        })
    };
    match op {
        Op::Conv2D(o) => sliding(Window {
            kernel: o.kernel,
            stride: o.stride,
            dilation: o.dilation,
            padding: o.padding,
            ceil: false,
        }),
        Op::SeparableConv2D(o) => sliding(Window {
            kernel: o.kernel,
            stride: o.stride,
            dilation: o.dilation,
            padding: o.padding,
            ceil: false,
        }),
        Op::Pool2D(o) => sliding(Window {
            kernel: o.window,
            stride: o.stride.unwrap_or(o.window),
            dilation: o.dilation,
            padding: o.padding,
            ceil: o.ceil,
        }),
        // At most so far on both sides, whatever is cut off.
        Op::ConvTranspose2D(o) => sides(&|i, [first, last]| {
            let (reach, stride) = (((o.kernel[i] - 1) * o.dilation[i] + 1) as isize, o.stride[i] as isize);
            [(first - reach).div_euclid(stride), (last + reach).div_euclid(stride) + 1]
        }),
        Op::Upsample2D(o) => scaled(isize::from(o.method != UpsampleMethod::Nearest)),
        Op::AdaptivePool2D(_) => scaled(0),
        Op::ZeroPad(o) => {
            let shift = [o.top as isize, o.left as isize];
            sides(&|i, span| span.map(|v| v - shift[i]))
        }
        Op::Pad2D(o) => {
            let shift = [o.top as isize, o.left as isize];
            sides(&|i, span| padded(o.mode, span.map(|v| v - shift[i]), x.dims()[i] as isize))
        }
        Op::Slice(o) => {
            let axis = if o.axis < 0 { o.axis + 3 } else { o.axis };
            sides(&|i, span| if axis == i as isize { span.map(|v| v + o.start as isize) } else { span })
        }
        Op::Input(_)
        | Op::Activation(_)
        | Op::BatchNorm(_)
        | Op::Affine(_)
        | Op::PRelu(_)
        | Op::Lrn(_)
        | Op::Dropout(_)
        | Op::StochasticDepth(_)
        | Op::Concat(_) => Ok(span),
        Op::Add(_) | Op::Merge(_) => sides(&|i, span| if x.dims()[i] == 1 { [0, 0] } else { span }),
        Op::LayerNorm(o) if o.axes == 1 => Ok(span),
        // Statistics over the whole image, or an op that may look anywhere.
        Op::LayerNorm(_)
        | Op::GroupNorm(_)
        | Op::Conv1D(_)
        | Op::Pool1D(_)
        | Op::Dense(_)
        | Op::GlobalPool(_)
        | Op::Flatten(_)
        | Op::Reshape(_)
        | Op::Permute(_)
        | Op::Custom(_) => Ok(all(x)),
    }
}

fn slid(axis: &Axis, [first, last]: Span) -> Span {
    let (stride, before) = (axis.stride as isize, axis.before as isize);
    [first * stride - before, last * stride - before + axis.reach() as isize - 1]
}

// Mirrored or repeated pixels stand for others, which count as seen.
fn padded(mode: PadMode, [first, last]: Span, len: isize) -> Span {
    match mode {
        PadMode::Constant(_) => [first, last],
        PadMode::Edge => [first.clamp(0, len - 1), last.clamp(0, len - 1)],
        PadMode::Reflect => {
            let low = if last >= len { first.min(2 * (len - 1) - last) } else { first };
            let high = if first < 0 { last.max(-first) } else { last };
            [low.clamp(0, len - 1), high.clamp(0, len - 1)]
        }
    }
}
