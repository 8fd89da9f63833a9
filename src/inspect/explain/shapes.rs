//! Sizes step by step: the output of each layer by the formula with its numbers, and what the floor drops.
//!
//! ```text
//! output = floor((input + before + after - reach) / stride) + 1,   reach = (kernel - 1) dilation + 1
//! ```
//!
//! M13 to M15; at 7 -> 3 a 2x2 pool drops a row and a column (E10).

use serde::Serialize;

use super::text::{self, indented, wrapped};
use crate::conv::{Axis, Padding, Window};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node};
use crate::ops::Op;
use crate::tensor::Shape;

/// The size of one layer's output.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSize {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: &'static str,
    /// The shape of its input; the first, where it has several.
    pub input: Shape,
    /// The shape of its output.
    pub output: Shape,
    /// The axes that a window slides along: none, one or two.
    pub axes: Vec<Axis>,
    /// Where the size comes from, in words and numbers, for each axis or for the whole.
    pub why: Vec<String>,
}

/// The sizes of a network's layers, or of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Shapes {
    /// The network, or the window.
    pub title: String,
    /// The layers in their order.
    pub layers: Vec<LayerSize>,
}

/// The numbers of a [`LayerSize`] for a script.
#[derive(Serialize)]
struct Numbers<'a> {
    name: &'a str,
    class: &'a str,
    input: &'a [usize],
    output: &'a [usize],
    why: &'a [String],
    dropped: Vec<usize>,
}

impl Serialize for LayerSize {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let (input, output) = (self.input.dims(), self.output.dims());
        let dropped = self.dropped();
        Numbers { name: &self.name, class: self.class, input, output, why: &self.why, dropped }.serialize(s)
    }
}

impl LayerSize {
    /// How many rows and columns of its input no window sees, because the floor drops them.
    pub fn dropped(&self) -> Vec<usize> {
        self.axes.iter().map(Axis::dropped).collect()
    }
}

/// The axes that an op's window slides along; none if it has no window.
pub(super) fn axes(op: &Op, x: Shape) -> Vec<Axis> {
    let window = |kernel, stride, dilation, padding, ceil| Window { kernel, stride, dilation, padding, ceil };
    let line = |kernel: usize, stride: usize, dilation: usize, padding, ceil| {
        window([1, kernel], [1, stride], [1, dilation], padding, ceil)
    };
    let dims = x.dims();
    let found = match (op, dims) {
        (Op::Conv2D(o), &[h, w, _]) => window(o.kernel, o.stride, o.dilation, o.padding, false).axes(h, w),
        (Op::SeparableConv2D(o), &[h, w, _]) => window(o.kernel, o.stride, o.dilation, o.padding, false).axes(h, w),
        (Op::Pool2D(o), &[h, w, _]) => {
            window(o.window, o.stride.unwrap_or(o.window), o.dilation, o.padding, o.ceil).axes(h, w)
        }
        (Op::Conv1D(o), &[l, _]) => return one(line(o.kernel, o.stride, o.dilation, o.padding, false), l),
        (Op::Pool1D(o), &[l, _]) => {
            return one(line(o.window, o.stride.unwrap_or(o.window), 1, o.padding, o.ceil), l);
        }
        _ => return Vec::new(),
    };
    // The layer was built with these numbers, so they fit.
    found.map_or(Vec::new(), |axes| axes.to_vec())
}

// The second axis alone: of four numbers of padding, left and right count.
fn one(window: Window, len: usize) -> Vec<Axis> {
    let padding = match window.padding {
        Padding::Explicit { left, right, .. } => Padding::Explicit { top: 0, bottom: 0, left, right },
        other => other,
    };
    Window { padding, ..window }.axes(1, len).map_or(Vec::new(), |[_, axis]| vec![axis])
}

impl Shapes {
    /// The sizes of all layers.
    ///
    /// ```
    /// use striate::inspect::explain::Shapes;
    /// let shapes = Shapes::of(&striate::zoo::recipe("keras-mnist")?.graph);
    /// let pool = shapes.layers.iter().find(|l| l.name == "max_pooling2d_2").unwrap();
    /// assert_eq!(pool.why[0], "floor((7 + 0 + 0 - 2) / 2) + 1 = 3");
    /// assert_eq!(pool.dropped(), [1, 1]);
    /// # Ok::<(), striate::Error>(())
    /// ```
    pub fn of(graph: &Graph) -> Self {
        let layer = |node: &Node| {
            let input = graph.input_shapes(node).first().copied().unwrap_or(node.shape);
            let axes = axes(&node.op, input);
            let why = if axes.is_empty() { other(&node.op, input, node.shape) } else { formulas(&axes) };
            let (name, class) = (node.name.clone(), node.op.rule().class());
            LayerSize { name, class, input, output: node.shape, axes, why }
        };
        Self { title: graph.name().to_string(), layers: graph.nodes().iter().map(layer).collect() }
    }

    /// The size that one window makes of an input `[h, w, c]`, with so many output channels.
    ///
    /// # Errors
    /// The window does not fit the input; the message shows the formula and says what would fit.
    pub fn of_window(input: [usize; 3], window: &Window, channels: usize) -> Result<Self> {
        if input[2] == 0 || channels == 0 {
            return Err(
                Error::shape(format!("{} channels in, {channels} out", input[2])).with_help("give at least one")
            );
        }
        let axes = window.axes(input[0], input[1])?.to_vec();
        let output = Shape::new(&[axes[0].output, axes[1].output, channels])?;
        let [kh, kw] = window.kernel;
        let mut title = format!("{kh}x{kw} window");
        let steps = [("stride", window.stride), ("dilation", window.dilation)];
        for (name, [a, b]) in steps.into_iter().filter(|(name, pair)| *name == "stride" || *pair != [1, 1]) {
            title += &if a == b { format!(", {name} {a}") } else { format!(", {name} {a} and {b}") };
        }
        let padding = window.padding.to_string();
        let first = padding.split(',').next().unwrap_or_default();
        let even = padding.split(',').all(|side| side == first);
        title += &format!(", padding {}", if even { first } else { &padding });
        let why = formulas(&axes);
        let layer = LayerSize { name: "window".into(), class: "", input: Shape::new(&input)?, output, axes, why };
        Ok(Self { title, layers: vec![layer] })
    }

    /// The sizes as a page of text.
    pub fn text(&self) -> String {
        let mut lines =
            vec![self.title.clone(), "output = floor((input + before + after - reach) / stride) + 1".into()];
        let dims = |s: Shape| s.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        for layer in &self.layers {
            let class = if layer.class.is_empty() { String::new() } else { format!(" ({})", layer.class) };
            lines.push(String::new());
            lines.push(format!("{}{class}: {} -> {}", layer.name, dims(layer.input), dims(layer.output)));
            lines.extend(indented(&layer.lines()));
        }
        text::page(&lines.iter().flat_map(|l| wrapped(l, 4)).collect::<Vec<_>>())
    }
}

impl LayerSize {
    fn lines(&self) -> Vec<String> {
        let mut lines = match self.axes.as_slice() {
            [_, _] if self.why.len() == 2 => {
                vec![format!("height  {}", self.why[0]), format!("width   {}", self.why[1])]
            }
            [_, _] => vec![format!("both    {}", self.why[0])],
            _ => self.why.clone(),
        };
        if let Some(axis) = self.axes.iter().find(|a| a.dilation > 1) {
            lines.push(format!("reach   ({} - 1) {} + 1 = {}", axis.kernel, axis.dilation, axis.reach()));
        }
        let lost = |n: usize, what: &str| match n {
            1 => format!("the last {what}"),
            n => format!("the last {n} {what}s"),
        };
        let names = if self.axes.len() == 1 { ["value", ""] } else { ["row", "column"] };
        let lost: Vec<String> =
            self.dropped().iter().zip(names).filter(|(n, _)| **n > 0).map(|(n, what)| lost(*n, what)).collect();
        lines.extend((!lost.is_empty()).then(|| format!("the floor drops {}", lost.join(" and "))));
        lines
    }
}

// Of two equal axes, one formula.
fn formulas(axes: &[Axis]) -> Vec<String> {
    let mut all: Vec<String> = axes.iter().map(text::formula).collect();
    all.dedup();
    all
}

// Where the size comes from without a window.
fn other(op: &Op, x: Shape, y: Shape) -> Vec<String> {
    let product = |s: Shape| s.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("·");
    let why = match op {
        Op::Input(_) => "as the samples are".into(),
        Op::Flatten(_) => format!("{} = {} in a row", product(x), y.len()),
        Op::Dense(_) => format!("{} units, each on all {} values", y.channels(), x.channels()),
        Op::GlobalPool(_) => "one value of each channel".into(),
        Op::ConvTranspose2D(o) => return transposed(o.stride, o.kernel, o.dilation, (x, y)),
        Op::Upsample2D(_) => {
            let side = |i: usize| y.dims()[i] as f64 / x.dims()[i] as f64;
            format!("each side times {} and {}", text::num(side(0)), text::num(side(1)))
        }
        Op::Concat(_) => "the channels of all inputs, side by side".into(),
        _ if x == y => "as its input".into(),
        _ => "by its definition".into(),
    };
    vec![why]
}

// A transposed convolution turns the formula around; its padding cuts.
fn transposed(stride: [usize; 2], kernel: [usize; 2], dilation: [usize; 2], (x, y): (Shape, Shape)) -> Vec<String> {
    let line = |i: usize| {
        let (input, output) = (x.dims()[i], y.dims()[i]);
        let reach = (kernel[i] - 1) * dilation[i] + 1;
        let cut = ((input - 1) * stride[i] + reach) as i64 - output as i64;
        format!("({input} - 1) {} + {reach} - {cut} = {output}", stride[i])
    };
    let mut all = vec![line(0), line(1)];
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo;

    // The sizes that are explained are the sizes of the graph, for every network that there is.
    #[test]
    fn m13_m15_every_formula_gives_the_size_of_the_graph() {
        let mut windows = 0;
        for entry in zoo::entries() {
            let shapes = Shapes::of(&zoo::recipe(entry.name).unwrap().graph);
            for layer in &shapes.layers {
                for (axis, size) in layer.axes.iter().zip(layer.output.dims()) {
                    assert_eq!(axis.output, *size, "{} {}", entry.name, layer.name);
                    windows += 1;
                }
                assert!(
                    !layer.why.is_empty() && !layer.why.contains(&"by its definition".to_string())
                        || layer.axes.is_empty()
                );
            }
            assert!(shapes.text().lines().all(|l| l.chars().count() <= text::WIDTH), "{}", entry.name);
        }
        assert!(windows > 1000, "{windows}");
    }

    #[test]
    fn e10_seven_to_three_drops_a_row_and_a_column() {
        let text = Shapes::of(&zoo::recipe("keras-mnist").unwrap().graph).text();
        for line in [
            "conv2d (Conv2D): 28x28x1 -> 28x28x32",
            "  both    floor((28 + 1 + 1 - 3) / 1) + 1 = 28",
            "  both    floor((7 + 0 + 0 - 2) / 2) + 1 = 3",
            "  the floor drops the last row and the last column",
            "  3·3·64 = 576 in a row",
            "  64 units, each on all 576 values",
        ] {
            assert!(text.lines().any(|l| l == line), "'{line}' is not in:\n{text}");
        }
    }

    #[test]
    fn one_window_is_told_on_its_own() {
        let window = Window { kernel: [3, 5], stride: [2, 2], dilation: [2, 1], padding: Padding::all(1), ceil: false };
        let text = Shapes::of_window([28, 30, 3], &window, 8).unwrap().text();
        assert!(text.contains("window: 28x30x3 -> 13x14x8"), "{text}");
        assert!(text.contains("  width   floor((30 + 1 + 1 - 5) / 2) + 1 = 14"), "{text}");
        assert!(text.contains("reach   (3 - 1) 2 + 1 = 5"), "{text}");
        let large = Window { kernel: [30, 30], ..window };
        assert!(Shapes::of_window([28, 30, 3], &large, 8).unwrap_err().to_string().contains("use a kernel of at most"));
    }
}
