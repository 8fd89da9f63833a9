//! The receptive field step by step: the recurrence with its numbers, and where the field of the middle value lies.
//!
//! ```text
//! r = r + (k - 1) d j        j = j s
//! ```
//!
//! See [`crate::inspect::receptive_fields`] for what is counted and the source; here each step of it is kept, and the
//! place on the input is worked out backwards from the middle of the layer through every window.

use serde::Serialize;

use super::shapes;
use super::text::{self, wrapped};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node};
use crate::inspect::receptive_field::{Look, looks, short};
use crate::inspect::{Axis, Field, receptive_fields};
use crate::ops::Op;

/// How one layer widens the field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldStep {
    /// Its name.
    pub layer: String,
    /// Its class.
    pub class: &'static str,
    /// Values of its input that one of its values sees along each axis.
    pub taps: [usize; 2],
    /// Their distance.
    pub dilation: [usize; 2],
    /// Steps of its input for one of its own.
    pub stride: [f64; 2],
    /// Size and jump before it, down and to the right.
    pub before: [[f64; 2]; 2],
    /// Size and jump after it.
    pub after: [[f64; 2]; 2],
    /// First and last row, first and last column of the input that its middle value sees; beyond the image in the padding.
    pub window: [[i64; 2]; 2],
}

/// The receptive field of a layer, layer by layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldSteps {
    /// The network.
    pub network: String,
    /// Height and width of its input.
    pub image: [usize; 2],
    /// The layer.
    pub layer: String,
    /// The steps on the way to it that widen the field or the jump; where branches meet, of all of them.
    pub steps: Vec<FieldStep>,
}

impl FieldSteps {
    /// The field of a layer; of the last one that does not see all of the image, if none is named.
    ///
    /// ```
    /// use striate::inspect::explain::FieldSteps;
    /// let graph = striate::zoo::recipe("keras-mnist")?.graph;
    /// let steps = FieldSteps::of(&graph, None)?;
    /// let last = steps.steps.last().unwrap();
    /// assert_eq!((steps.layer.as_str(), last.after[0]), ("max_pooling2d_2", [22.0, 8.0]));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such layer, one that sees all of the image, or a network whose input is no image.
    pub fn of(graph: &Graph, layer: Option<&str>) -> Result<Self> {
        let input = graph.input_shape()?;
        let [h, w, _] = input.hwc().map_err(|_| {
            Error::shape(format!("{} takes {input}, which is no image", graph.name()))
                .with_help("receptive fields are explained for inputs [h, w, c]")
        })?;
        let fields = receptive_fields(graph);
        let target = target(graph, &fields, layer)?;
        let ancestors = ancestors(graph, target);
        let nodes = graph.nodes().iter().enumerate().filter(|(i, _)| ancestors[*i]);
        let steps = nodes.filter_map(|(i, node)| step(graph, &fields, (i, node))).collect();
        Ok(Self { network: graph.name().into(), image: [h, w], layer: graph.nodes()[target].name.clone(), steps })
    }

    /// The steps as a page of text.
    pub fn text(&self) -> String {
        let [h, w] = self.image;
        let title = format!("Receptive field of {} in {}, on an image of {h}x{w}", self.layer, self.network);
        let mut lines = wrapped(&title, 4);
        lines.push(String::new());
        lines.push("  r = r + (k - 1) d j   one value sees k values, d apart, each j inputs further".into());
        lines.push("  j = j s               inputs between two neighbours; s is the stride".into());
        lines.extend([String::new(), format!("{:<22}  {:<28}  {}", "input", "r = 1", "j = 1")]);
        for step in &self.steps {
            lines.extend(step.lines());
        }
        lines.push(String::new());
        lines.extend(self.verdict().iter().flat_map(|line| wrapped(line, 0)));
        text::page(&lines)
    }

    /// How the field lies to the image.
    pub fn verdict(&self) -> Vec<String> {
        let Some(last) = self.steps.last() else {
            return vec![format!("Each value of {} sees one input.", self.layer)];
        };
        let [[rh, _], [rw, _]] = last.after;
        let ([h, w], [[top, bottom], [left, right]]) = (self.image, last.window);
        let share = 100.0 * (rh.min(h as f64) * rw.min(w as f64)) / (h * w) as f64;
        let mut lines = vec![format!(
            "One value of {} sees {}x{} of {h}x{w} inputs: {} of the image.",
            self.layer,
            short(rh),
            short(rw),
            if share < 1.0 { "less than 1 %".into() } else { format!("{share:.0} %") }
        )];
        let out = |lo: i64, hi: i64, n: usize| lo < 0 || hi >= n as i64;
        let over =
            if out(top, bottom, h) || out(left, right, w) { "; it hangs over the edge, into the padding" } else { "" };
        lines.push(format!("Its middle value sees rows {top} to {bottom} and columns {left} to {right}{over}."));
        lines
    }
}

impl FieldStep {
    fn lines(&self) -> Vec<String> {
        let both = self.before[0] == self.before[1] && self.after[0] == self.after[1] && self.taps[0] == self.taps[1];
        let line = |i: usize| {
            let ([r, j], [new, jump]) = (self.before[i], self.after[i]);
            let (k, d, s) = (self.taps[i], self.dilation[i], self.stride[i]);
            let d = if d == 1 { String::new() } else { format!("·{d}") };
            let grown = if k == 1 {
                format!("r = {}", short(new))
            } else {
                format!("r = {} + ({k} - 1){d}·{} = {}", short(r), short(j), short(new))
            };
            let moved = if s == 1.0 {
                format!("j = {}", short(jump))
            } else {
                format!("j = {}·{} = {}", short(j), short(s), short(jump))
            };
            format!("{grown:<28}  {moved}")
        };
        let name = tail(&self.layer, 22);
        if both {
            return vec![format!("{name:<22}  {}", line(0))];
        }
        vec![format!("{name:<22}  {}  rows", line(0)), format!("{:<22}  {}  columns", "", line(1))]
    }
}

// The end of a name that is too long, since names differ at their ends.
fn tail(name: &str, room: usize) -> String {
    let len = name.chars().count();
    if len <= room { name.to_string() } else { format!("…{}", name.chars().skip(len + 1 - room).collect::<String>()) }
}

fn target(graph: &Graph, fields: &[Field], layer: Option<&str>) -> Result<usize> {
    let windowed = |i: usize| matches!(&fields[i], Field::Window(axes) if axes.len() == 2);
    let Some(name) = layer else {
        let wide = |i: &usize| windowed(*i) && !matches!(graph.nodes()[*i].op, Op::Input(_));
        return (0..fields.len()).rev().find(wide).ok_or_else(|| {
            Error::argument(format!("every layer of {} sees all of its input", graph.name()))
                .with_help("give a network that begins with convolutions or pools")
        });
    };
    let at = graph.value(name)?.0;
    if windowed(at) {
        return Ok(at);
    }
    let last = target(graph, fields, None)?;
    Err(Error::argument(format!("each value of {name} sees all of the image"))
        .with_help(format!("the last layer that does not is {}", graph.nodes()[last].name)))
}

// The nodes that `target` depends on, and itself.
fn ancestors(graph: &Graph, target: usize) -> Vec<bool> {
    let mut seen = vec![false; graph.nodes().len()];
    seen[target] = true;
    for i in (0..=target).rev().filter(|i| *i <= target) {
        if seen[i] {
            graph.nodes()[i].inputs.iter().for_each(|v| seen[v.0] = true);
        }
    }
    seen
}

fn two(field: &Field) -> Option<[Axis; 2]> {
    match field {
        Field::Window(axes) => axes.clone().try_into().ok(),
        Field::All => None,
    }
}

// The step of a node that widens the field or the jump.
fn step(graph: &Graph, fields: &[Field], (at, node): (usize, &Node)) -> Option<FieldStep> {
    let after = two(&fields[at])?;
    let input = graph.input_shapes(node).first().copied()?;
    let look: [Look; 2] = looks(&node.op, (&input, &node.shape), 2)?.try_into().ok()?;
    if look.iter().all(|l| l.taps == 1 && l.step == 1.0) {
        return None;
    }
    let before = two(&fields[node.inputs.first()?.0])?;
    let pairs = |axes: &[Axis; 2]| [[axes[0].size, axes[0].jump], [axes[1].size, axes[1].jump]];
    Some(FieldStep {
        layer: node.name.clone(),
        class: node.op.rule().class(),
        taps: [look[0].taps, look[1].taps],
        dilation: [look[0].dilation, look[1].dilation],
        stride: [look[0].step, look[1].step],
        before: pairs(&before),
        after: pairs(&after),
        window: window(graph, at),
    })
}

// The rows and columns of the input that the middle value of a node sees.
fn window(graph: &Graph, at: usize) -> [[i64; 2]; 2] {
    let nodes = graph.nodes();
    let middle = |i: usize| [nodes[at].shape.dims()[i] as i64 / 2; 2];
    let mut seen: Vec<Option<[[i64; 2]; 2]>> = vec![None; nodes.len()];
    seen[at] = Some([middle(0), middle(1)]);
    for i in (0..=at).rev() {
        let (Some(range), node) = (seen[i], &nodes[i]) else { continue };
        if node.inputs.is_empty() {
            return range;
        }
        for value in &node.inputs {
            let input = nodes[value.0].shape;
            // A gate that looks at the whole image is left out, as in the recurrence its field is `all`.
            if input.rank() != 3 {
                continue;
            }
            let through = through(&node.op, (input, node.shape), range);
            let old = seen[value.0].unwrap_or(through);
            seen[value.0] = Some([0, 1].map(|a| [old[a][0].min(through[a][0]), old[a][1].max(through[a][1])]));
        }
    }
    seen[0].unwrap_or_default()
}

// What of its input a layer's range of rows and columns sees.
fn through(op: &Op, (x, y): (crate::tensor::Shape, crate::tensor::Shape), range: [[i64; 2]; 2]) -> [[i64; 2]; 2] {
    let axes = shapes::axes(op, x);
    if axes.len() == 2 {
        return [0, 1].map(|i| {
            let a = &axes[i];
            let start = |o: i64| o * a.stride as i64 - a.before as i64;
            [start(range[i][0]), start(range[i][1]) + a.reach() as i64 - 1]
        });
    }
    match looks(op, (&x, &y), 2) {
        // What spreads an image: the places nearest to the scaled ones.
        Some(looks) if looks.iter().any(|l| l.taps != 1 || l.step != 1.0) => [0, 1].map(|i| {
            let (l, half) = (looks[i], (looks[i].taps - 1) as f64 * looks[i].dilation as f64 / 2.0);
            let place = |o: i64| (o as f64 + 0.5) * l.step - 0.5;
            [(place(range[i][0]) - half).floor() as i64, (place(range[i][1]) + half).ceil() as i64]
        }),
        _ => range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Add, Conv2D, Flatten, Padding, Pool2D};
    use crate::zoo;

    #[test]
    fn the_steps_end_where_the_recurrence_ends() {
        for entry in zoo::entries() {
            let graph = zoo::recipe(entry.name).unwrap().graph;
            let Ok(steps) = FieldSteps::of(&graph, None) else { continue };
            let at = graph.value(&steps.layer).unwrap().0;
            let Some(axes) = two(&receptive_fields(&graph)[at]) else { panic!("{}", entry.name) };
            let most = steps.steps.iter().map(|s| s.after[0][0]).fold(1.0, f64::max);
            assert_eq!(most, axes[0].size, "{}", entry.name);
            assert!(steps.text().lines().all(|l| l.chars().count() <= text::WIDTH), "{}", entry.name);
        }
    }

    // The window has the size of the recurrence, and lies about the middle of the image.
    #[test]
    fn windows_have_the_size_of_the_recurrence() {
        for name in ["keras-mnist", "simple-convnet", "vgg-16", "alexnet", "resnet-18"] {
            let graph = zoo::recipe(name).unwrap().graph;
            let steps = FieldSteps::of(&graph, None).unwrap();
            for step in &steps.steps {
                for (axis, [first, last]) in step.window.iter().enumerate() {
                    assert_eq!((last - first + 1) as f64, step.after[axis][0], "{name} {}", step.layer);
                    let (middle, image) = ((first + last) / 2, steps.image[axis] as i64);
                    assert!(
                        (middle - image / 2).abs() <= step.after[axis][1] as i64 + 1,
                        "{name} {} {middle}",
                        step.layer
                    );
                }
            }
        }
    }

    #[test]
    fn the_text_shows_the_recurrence() {
        let text = FieldSteps::of(&zoo::recipe("keras-mnist").unwrap().graph, None).unwrap().text();
        for part in [
            "r = 1 + (3 - 1)·1 = 3",
            "r = 10 + (3 - 1)·4 = 18",
            "j = 4·2 = 8",
            "sees 22x22 of 28x28 inputs: 62 % of the image",
            "rows 1 to 22 and columns 1 to 22",
        ] {
            assert!(text.contains(part), "'{part}' is not in:\n{text}");
        }
    }

    #[test]
    fn branches_take_the_widest_and_bad_layers_are_named() {
        let mut g = Graph::new("g");
        let x = g.input([16, 16, 1]).unwrap();
        let a = g.add_named("wide", Conv2D::new(2, 5).padding(Padding::Same), &[x]).unwrap();
        let b = g.add_named("small", Conv2D::new(2, 1), &[x]).unwrap();
        let sum = g.add_named("sum", Add::new(), &[a, b]).unwrap();
        let pool = g.add_named("pool", Pool2D::max(2), &[sum]).unwrap();
        g.add_named("flat", Flatten::new(), &[pool]).unwrap();
        let steps = FieldSteps::of(&g, None).unwrap();
        let names: Vec<&str> = steps.steps.iter().map(|s| s.layer.as_str()).collect();
        assert_eq!((steps.layer.as_str(), names), ("pool", vec!["wide", "pool"]));
        assert_eq!((steps.steps[1].after[0], steps.steps[1].window[0]), ([6.0, 2.0], [6, 11]));
        let error = |layer: &str| FieldSteps::of(&g, Some(layer)).unwrap_err().to_string();
        assert!(error("flat").contains("sees all of the image (the last layer that does not is pool)"));
        assert!(error("pol").contains("pool"));
    }
}
