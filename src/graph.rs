//! The graph of a network: which op follows which, and every shape on the way.
//!
//! A graph is built front to back: a node can only use values that exist, so
//! the nodes stand in an order in which they can run, and there are no cycles.
//! Shapes are worked out as a node is added; an error names the layer, shows
//! the formula with its numbers, and says what would fit.
//!
//! ```
//! use striate::Graph;
//! use striate::ops::{Add, Conv2D, Padding};
//!
//! let mut g = Graph::new("residual");
//! let x = g.input([8, 8, 16])?;
//! let f = g.add(Conv2D::new(16, 3).padding(Padding::Same), &[x])?;
//! let y = g.add(Add::new(), &[f, x])?;
//! assert_eq!(g.shape(y).dims(), [8, 8, 16]);
//! # Ok::<(), striate::Error>(())
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result, nearest};
use crate::ops::{Input, Op, ParamSpec};
use crate::tensor::Shape;

/// The result of a node, to be used by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(pub(crate) usize);

/// One op of a graph.
#[derive(Debug, Clone)]
pub struct Node {
    /// The layer's name, unique in the graph, such as `conv2d_1`.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it computes on.
    pub inputs: Vec<Value>,
    /// The shape of its result, without the batch.
    pub shape: Shape,
}

/// A network without weights.
#[derive(Debug, Clone)]
pub struct Graph {
    name: String,
    nodes: Vec<Node>,
    counts: BTreeMap<String, usize>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), nodes: Vec::new(), counts: BTreeMap::new() }
    }

    /// The name of the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds the input; a graph has one, and it comes first.
    ///
    /// # Errors
    /// There is an input already.
    pub fn input(&mut self, shape: impl Into<Shape>) -> Result<Value> {
        if !self.nodes.is_empty() {
            return Err(Error::argument("a graph has one input, and it comes first"));
        }
        self.add(Input { shape: shape.into() }, &[])
    }

    /// Adds an op on the given values, under the name that Keras would give it.
    ///
    /// # Errors
    /// The shapes do not fit.
    pub fn add(&mut self, op: impl Into<Op>, inputs: &[Value]) -> Result<Value> {
        let op = op.into();
        let stem = snake_case(op.rule().class());
        loop {
            let count = self.counts.entry(stem.clone()).or_default();
            let name = if *count == 0 { stem.clone() } else { format!("{stem}_{count}") };
            *count += 1;
            if self.find(&name).is_none() {
                return self.add_named(name, op, inputs);
            }
        }
    }

    /// Adds an op on the given values, under a name of its own.
    ///
    /// # Errors
    /// The name is taken, or the shapes do not fit.
    pub fn add_named(&mut self, name: impl Into<String>, op: impl Into<Op>, inputs: &[Value]) -> Result<Value> {
        let (name, op) = (name.into(), op.into());
        if self.find(&name).is_some() {
            return Err(
                Error::argument(format!("there are two layers named '{name}'")).with_help("give one another name")
            );
        }
        if name.is_empty() || name.contains(['/', '\n', '"']) {
            return Err(
                Error::argument(format!("'{name}' is not a layer's name")).with_help("use letters, digits, _ . -")
            );
        }
        let is_input = matches!(op, Op::Input(_));
        if is_input != self.nodes.is_empty() {
            return Err(Error::argument(format!("layer '{name}': a graph begins with its one input")));
        }
        if let Some(bad) = inputs.iter().find(|v| v.0 >= self.nodes.len()) {
            return Err(Error::argument(format!("layer '{name}': value {} is of another graph", bad.0)));
        }
        if inputs.is_empty() && !is_input {
            return Err(Error::argument(format!("layer '{name}' has no input")));
        }
        op.activation().validate().map_err(|e| e.within(format_args!("layer '{name}'")))?;
        let shapes: Vec<Shape> = inputs.iter().map(|v| self.shape(*v)).collect();
        let shape = op.rule().shape(&shapes).map_err(|e| e.within(format_args!("layer '{name}'")))?;
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        Ok(Value(self.nodes.len() - 1))
    }

    /// The nodes, in an order in which they can run; the first is the input, the last the output.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that makes a value.
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.0]
    }

    /// The shape of a value, without the batch.
    pub fn shape(&self, value: Value) -> Shape {
        self.nodes[value.0].shape
    }

    /// The shape of the input.
    ///
    /// # Errors
    /// The graph is empty.
    pub fn input_shape(&self) -> Result<Shape> {
        Ok(self.nodes.first().ok_or_else(|| self.empty())?.shape)
    }

    /// The shape of the output.
    ///
    /// # Errors
    /// The graph has no layer.
    pub fn output_shape(&self) -> Result<Shape> {
        Ok(self.nodes[self.output()?.0].shape)
    }

    /// The output: the last node.
    ///
    /// # Errors
    /// The graph has no layer.
    pub fn output(&self) -> Result<Value> {
        if self.nodes.len() < 2 { Err(self.empty()) } else { Ok(Value(self.nodes.len() - 1)) }
    }

    /// The value with this name.
    ///
    /// # Errors
    /// There is none; the nearest name is suggested.
    pub fn value(&self, name: &str) -> Result<Value> {
        self.find(name).map(Value).ok_or_else(|| {
            let names: Vec<&str> = self.nodes.iter().map(|n| n.name.as_str()).collect();
            let help = nearest(name, &names).map_or_else(|| names.join(", "), |near| format!("did you mean '{near}'?"));
            Error::argument(format!("there is no layer '{name}' in {}", self.name)).with_help(help)
        })
    }

    /// The shapes that a node computes on.
    pub fn input_shapes(&self, node: &Node) -> Vec<Shape> {
        node.inputs.iter().map(|v| self.shape(*v)).collect()
    }

    /// The parameters of a node.
    pub fn params(&self, node: &Node) -> Vec<ParamSpec> {
        node.op.rule().params(&self.input_shapes(node))
    }

    /// Multiply-adds of one sample's forward pass.
    pub fn mul_adds(&self) -> u64 {
        self.nodes.iter().map(|n| n.op.rule().mul_adds(&self.input_shapes(n), n.shape)).sum()
    }

    /// Whether each layer uses the one before it and nothing else.
    pub fn is_sequential(&self) -> bool {
        self.nodes.iter().enumerate().skip(1).all(|(i, n)| n.inputs == [Value(i - 1)])
    }

    /// The graph as a document: `name`, `input`, and a list `layer` of the ops with their names.
    ///
    /// # Errors
    /// The graph holds a custom op.
    pub fn to_document(&self) -> Result<Json> {
        let mut layers = Vec::new();
        for (i, node) in self.nodes.iter().enumerate().skip(1) {
            let mut fields = node.op.to_fields()?;
            fields.insert("name".into(), json!(node.name));
            if node.inputs != [Value(i - 1)] {
                let names: Vec<&str> = node.inputs.iter().map(|v| self.node(*v).name.as_str()).collect();
                fields.insert("inputs".into(), json!(names));
            }
            layers.push(Json::Object(fields));
        }
        Ok(json!({ "name": self.name, "input": self.input_shape()?, "layer": layers }))
    }

    /// The graph of a document, as [`Graph::to_document`] makes it.
    ///
    /// A layer without `inputs` uses the layer before it; a layer without `name` is named as Keras would.
    ///
    /// # Errors
    /// A field is unknown, missing or wrong, or the shapes do not fit; the layer is named.
    pub fn from_document(mut document: Map<String, Json>) -> Result<Self> {
        let name = match document.remove("name") {
            Some(Json::String(name)) => name,
            None => "network".into(),
            Some(other) => return Err(Error::argument(format!("`name` must be a text, not {other}"))),
        };
        let input = document.remove("input").ok_or_else(|| {
            Error::argument(format!("network '{name}' has no `input`")).with_help("such as input = [28, 28, 1]")
        })?;
        let input: Shape = serde_json::from_value(input).map_err(|e| Error::argument(format!("`input`: {e}")))?;
        let layers = match document.remove("layer") {
            Some(Json::Array(layers)) if !layers.is_empty() => layers,
            _ => {
                return Err(
                    Error::argument(format!("network '{name}' has no layers")).with_help("add [[layer]] entries")
                );
            }
        };
        if let Some(key) = document.keys().next() {
            return Err(crate::error::unknown(
                "entry",
                key,
                ["name", "input", "layer", "labels", "preprocess", "train"],
            ));
        }
        let mut graph = Self::new(name);
        graph.input(input)?;
        for (i, layer) in layers.into_iter().enumerate() {
            graph.add_document(layer).map_err(|e| e.within(format_args!("[[layer]] number {}", i + 1)))?;
        }
        Ok(graph)
    }

    fn add_document(&mut self, layer: Json) -> Result<Value> {
        let Json::Object(mut fields) = layer else {
            return Err(Error::argument("a layer is a table of fields, such as op = \"dense\", units = 10"));
        };
        let name = fields.remove("name");
        let inputs = match fields.remove("inputs") {
            None => vec![Value(self.nodes.len() - 1)],
            Some(names) => {
                let names: Vec<String> = serde_json::from_value(names)
                    .map_err(|_| Error::argument("`inputs` must be a list of layer names"))?;
                names.iter().map(|name| self.value(name)).collect::<Result<_>>()?
            }
        };
        let op = Op::from_fields(fields)?;
        match name {
            None => self.add(op, &inputs),
            Some(Json::String(name)) => self.add_named(name, op, &inputs),
            Some(other) => Err(Error::argument(format!("a layer's `name` must be a text, not {other}"))),
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.name == name)
    }

    fn empty(&self) -> Error {
        Error::argument(format!("network '{}' has no layers", self.name)).with_help("add at least one layer")
    }
}

// `MaxPooling2D` becomes `max_pooling2d`, as Keras names its layers.
fn snake_case(class: &str) -> String {
    let chars: Vec<char> = class.chars().collect();
    let mut name = String::new();
    for (i, c) in chars.iter().enumerate() {
        let lower = |i: usize| chars.get(i).is_some_and(char::is_ascii_lowercase);
        if i > 0 && c.is_ascii_uppercase() && (lower(i + 1) || lower(i - 1)) {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Add, Conv2D, Dense, Flatten, Pool2D};

    #[test]
    fn names_are_those_of_keras() {
        for (class, name) in [
            ("Conv2D", "conv2d"),
            ("MaxPooling2D", "max_pooling2d"),
            ("BatchNormalization", "batch_normalization"),
            ("ReLU", "re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }

    #[test]
    fn second_layer_of_a_kind_is_numbered() {
        let mut g = Graph::new("g");
        let x = g.input([8, 8, 4]).unwrap();
        let a = g.add(Conv2D::new(4, 3), &[x]).unwrap();
        let b = g.add(Conv2D::new(4, 3), &[a]).unwrap();
        assert_eq!((g.node(a).name.as_str(), g.node(b).name.as_str()), ("conv2d", "conv2d_1"));
        assert_eq!(g.shape(b).dims(), [4, 4, 4]);
    }

    #[test]
    fn shape_error_names_the_layer_and_shows_the_formula() {
        let mut g = Graph::new("g");
        let x = g.input([4, 4, 1]).unwrap();
        let e = g.add(Conv2D::new(8, 5), &[x]).unwrap_err().to_string();
        assert!(e.starts_with("layer 'conv2d': ") && e.contains("floor((4 + 0 + 0 - 5) / 1) + 1"), "{e}");
    }

    #[test]
    fn document_round_trip_keeps_names_and_branches() {
        let mut g = Graph::new("branches");
        let x = g.input([8, 8, 4]).unwrap();
        let a = g.add_named("left", Conv2D::new(4, 1), &[x]).unwrap();
        let s = g.add(Add::new(), &[a, x]).unwrap();
        let p = g.add(Pool2D::max(2), &[s]).unwrap();
        let f = g.add(Flatten::new(), &[p]).unwrap();
        g.add(Dense::new(3), &[f]).unwrap();
        let Json::Object(document) = g.to_document().unwrap() else { panic!("not a table") };
        let back = Graph::from_document(document.clone()).unwrap();
        assert_eq!(back.to_document().unwrap(), Json::Object(document));
        assert!(!back.is_sequential());
    }

    #[test]
    fn unknown_layers_and_fields_are_named() {
        let parse = |text: &str| {
            let Json::Object(document) = serde_json::from_str(text).unwrap() else { panic!("not a table") };
            Graph::from_document(document).unwrap_err().to_string()
        };
        let e = parse(r#"{"input": [8, 8, 1], "layer": [{"op": "conv2", "filters": 3, "kernel": 3}]}"#);
        assert!(e.contains("[[layer]] number 1: unknown layer 'conv2' (did you mean 'conv2d'?"), "{e}");
        let e = parse(r#"{"input": [8, 8, 1], "layer": [{"op": "conv2d", "fliters": 3, "kernel": 3}]}"#);
        assert!(e.contains("fliters"), "{e}");
    }
}
