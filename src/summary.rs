//! The summary table of a model, in the layout that Keras 2 prints (row E7).

use crate::graph::Node;
use crate::model::Model;

// Width of the table, and where its columns end.
const SEQUENTIAL: (usize, &[usize]) = (65, &[29, 55, 65]);
const FUNCTIONAL: (usize, &[usize]) = (98, &[32, 53, 65, 98]);

/// The summary table: layers with their output shapes and parameters, and the totals.
///
/// ```
/// use striate::Sequential;
/// use striate::ops::{Dense, Flatten};
/// let model = Sequential::new([2, 2, 1]).add(Flatten::new()).add(Dense::new(3)).build(0)?;
/// assert!(striate::summary(&model).contains("Total params: 15"));
/// # Ok::<(), striate::Error>(())
/// ```
pub fn summary(model: &Model) -> String {
    let graph = model.graph();
    let sequential = graph.is_sequential();
    let (width, columns) = if sequential { SEQUENTIAL } else { FUNCTIONAL };
    let mut lines = vec![format!("Model: \"{}\"", graph.name()), "_".repeat(width)];
    let mut header: Vec<String> = ["Layer (type)", "Output Shape", "Param #"].map(String::from).to_vec();
    if !sequential {
        header.push("Connected to".into());
    }
    row(&header, columns, &mut lines);
    lines.push("=".repeat(width));
    for node in &graph.nodes()[usize::from(sequential)..] {
        row(&fields(model, node, sequential), columns, &mut lines);
        lines.push(" ".repeat(width));
    }
    let (trainable, fixed) = model.count_params();
    lines.push("=".repeat(width));
    lines.push(format!("Total params: {}", thousands(trainable + fixed)));
    lines.push(format!("Trainable params: {}", thousands(trainable)));
    lines.push(format!("Non-trainable params: {}", thousands(fixed)));
    lines.push("_".repeat(width));
    lines.join("\n")
}

fn fields(model: &Model, node: &Node, sequential: bool) -> Vec<String> {
    let graph = model.graph();
    let params: usize = graph.params(node).iter().map(|p| p.len()).sum();
    let mut fields =
        vec![format!("{} ({})", node.name, node.op.rule().class()), node.shape.to_string(), params.to_string()];
    if !sequential {
        let names: Vec<String> = node.inputs.iter().map(|v| format!("'{}[0][0]'", graph.node(*v).name)).collect();
        fields.push(format!("[{}]", names.join(", ")));
    }
    fields
}

// One row; a field that is longer than its column goes on in the next line, as Keras breaks it.
fn row(fields: &[String], columns: &[usize], lines: &mut Vec<String>) {
    let mut left: Vec<&str> = fields.iter().map(String::as_str).collect();
    while left.iter().any(|f| !f.is_empty()) {
        let mut line = String::new();
        for (i, field) in left.iter_mut().enumerate() {
            let start = if i == 0 { 0 } else { columns[i - 1] };
            let gap = if i + 1 == columns.len() { 0 } else { 2 };
            let (now, later) = cut(field, columns[i] - start - gap);
            if i == 0 {
                line.push(' ');
            }
            line.push_str(now);
            line.push_str(&" ".repeat(gap));
            line.push_str(&" ".repeat(columns[i].saturating_sub(line.chars().count())));
            *field = later;
        }
        lines.push(line);
    }
}

// At most `limit` characters, and at the end of a list element if there is one.
fn cut(field: &str, limit: usize) -> (&str, &str) {
    let limit = field.char_indices().nth(limit).map_or(field.len(), |(at, _)| at);
    let element = ["),", "},", "],", "',"].iter().filter_map(|end| field[..limit].find(end).map(|at| at + 2)).min();
    field.split_at(element.unwrap_or(limit))
}

/// A number with commas between the thousands.
pub(crate) fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
