//! What each layer costs and sees: shape, parameters, multiply-adds, memory, receptive field.

use std::fmt;

use super::receptive_field::{Field, receptive_fields};
use crate::error::Result;
use crate::graph::{Graph, Node};
use crate::ops::Mode;
use crate::tensor::Shape;

/// What one layer costs and sees, for one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: &'static str,
    /// The shape of its output.
    pub shape: Shape,
    /// Its parameters, running statistics included.
    pub params: usize,
    /// Multiply-adds of its forward pass.
    pub mul_adds: u64,
    /// Bytes of its output; 0 where that is its input's own memory.
    pub bytes: usize,
    /// What one of its values sees of the input.
    pub field: Field,
    /// Whether a prediction needs it; the layers of a head serve training alone.
    pub predicts: bool,
}

/// All layers of a network. As text it is a table of at most 120 columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Layers {
    /// One for each node, in their order.
    pub all: Vec<Layer>,
}

impl Layers {
    /// The layers of a graph.
    ///
    /// ```
    /// let graph = striate::zoo::recipe("keras-mnist")?.graph;
    /// let layers = striate::inspect::Layers::of(&graph)?;
    /// assert_eq!((layers.all[1].params, layers.all[1].mul_adds), (320, 28 * 28 * 32 * 9));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// The graph has no output.
    pub fn of(graph: &Graph) -> Result<Self> {
        let parts = graph.nodes().iter().zip(receptive_fields(graph)).zip(graph.used()?);
        Ok(Self { all: parts.map(|((node, field), predicts)| layer(graph, node, field, predicts)).collect() })
    }

    /// Bytes of all outputs of one sample that a prediction makes.
    pub fn bytes(&self) -> usize {
        self.all.iter().filter(|l| l.predicts).map(|l| l.bytes).sum()
    }
}

fn layer(graph: &Graph, node: &Node, field: Field, predicts: bool) -> Layer {
    let rule = node.op.rule();
    Layer {
        name: node.name.clone(),
        class: rule.class(),
        shape: node.shape,
        params: graph.params(node).iter().map(|p| p.len()).sum(),
        mul_adds: graph.node_mul_adds(node),
        bytes: if rule.is_view(Mode::Train) && !node.inputs.is_empty() {
            0
        } else {
            node.shape.len() * size_of::<f32>()
        },
        field,
        predicts,
    }
}

// The widths of the columns; the first two are aligned to the left.
const COLUMNS: [(&str, usize); 7] = [
    ("Layer", 28),
    ("Type", 26),
    ("Output", 13),
    ("Parameters", 12),
    ("Multiply-adds", 15),
    ("Memory", 9),
    ("Sees / step", 16),
];

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = "-".repeat(COLUMNS.iter().map(|(_, width)| width).sum());
        row(f, &COLUMNS.map(|(name, _)| name.to_string()))?;
        writeln!(f, "{rule}")?;
        for l in &self.all {
            let name = if l.predicts { l.name.clone() } else { format!("{} *", l.name) };
            let numbers = [number(l.params as u64), number(l.mul_adds), size(l.bytes)];
            let [params, mul_adds, bytes] = numbers;
            row(f, &[name, l.class.into(), dims(l.shape), params, mul_adds, bytes, l.field.to_string()])?;
        }
        writeln!(f, "{rule}")?;
        let used = || self.all.iter().filter(|l| l.predicts);
        let params = number(self.all.iter().map(|l| l.params as u64).sum());
        let mul_adds = number(used().map(|l| l.mul_adds).sum());
        row(f, &["Total".into(), String::new(), String::new(), params, mul_adds, size(self.bytes()), String::new()])?;
        if used().count() < self.all.len() {
            writeln!(f, "* is left out of predictions, and of the totals but for parameters.")?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, fields: &[String; 7]) -> fmt::Result {
    let mut line = String::new();
    for (i, (field, (_, width))) in fields.iter().zip(COLUMNS).enumerate() {
        let field = tail(field, width - 1);
        line += &if i < 2 { format!("{field:<width$}") } else { format!("{field:>width$}") };
    }
    writeln!(f, "{}", line.trim_end())
}

// The end of a text that is too long, since names differ at their ends.
fn tail(text: &str, room: usize) -> String {
    let len = text.chars().count();
    if len <= room { text.to_string() } else { format!("…{}", text.chars().skip(len + 1 - room).collect::<String>()) }
}

fn dims(shape: Shape) -> String {
    shape.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn number(n: u64) -> String {
    if n == 0 { String::new() } else { crate::summary::thousands(n as usize) }
}

fn size(bytes: usize) -> String {
    match bytes {
        0 => String::new(),
        1..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo;

    #[test]
    fn the_table_has_the_numbers_that_were_worked_out_by_hand() {
        let layers = Layers::of(&zoo::recipe("keras-mnist").unwrap().graph).unwrap();
        let text = layers.to_string();
        let line = text.lines().find(|l| l.starts_with("conv2d_1 ")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        // 3 * 3 * 32 * 64 + 64 parameters; 14 * 14 * 64 outputs of 288 products; they take 4 bytes each.
        assert_eq!(words, ["conv2d_1", "Conv2D", "14x14x64", "18,496", "3,612,672", "50.2", "kB", "8x8", "/", "2"]);
        let total = text.lines().last().unwrap();
        assert!(total.starts_with("Total") && total.contains("93,322"), "{total}");
        let outputs = [784, 28 * 28 * 32, 14 * 14 * 32, 14 * 14 * 64, 7 * 7 * 64, 7 * 7 * 64, 3 * 3 * 64, 64, 10];
        assert_eq!(layers.bytes(), 4 * outputs.iter().sum::<usize>());
    }

    #[test]
    fn every_network_fits_its_columns() {
        for entry in zoo::entries() {
            let graph = zoo::recipe(entry.name).unwrap().graph;
            let layers = Layers::of(&graph).unwrap();
            let text = layers.to_string();
            assert_eq!(layers.all.iter().filter(|l| l.predicts).map(|l| l.mul_adds).sum::<u64>(), graph.mul_adds());
            assert!(text.lines().all(|l| l.chars().count() <= 120), "{}", entry.name);
            let numbers = text.lines().filter(|l| l.split("  ").skip(1).any(|field| field.contains('…')));
            assert_eq!(numbers.count(), 0, "{}: a number was cut", entry.name);
        }
    }
}
