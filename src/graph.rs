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

mod document;

use std::collections::BTreeMap;

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

/// An extra output that is used in training alone, as the auxiliary classifiers of GoogLeNet are.
///
/// The loss of a step is `loss(output) + sum over heads of weight loss(head)`. Inference leaves a head's layers out.
/// Source: Szegedy et al., "Going Deeper with Convolutions", 2015, arXiv:1409.4842, section 5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// The output.
    pub value: Value,
    /// What its loss is multiplied by.
    pub weight: f32,
}

/// A network without weights.
#[derive(Debug, Clone)]
pub struct Graph {
    name: String,
    nodes: Vec<Node>,
    counts: BTreeMap<String, usize>,
    heads: Vec<Head>,
    /// Where it is not the one that follows from the layers.
    output: Option<Value>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), nodes: Vec::new(), counts: BTreeMap::new(), heads: Vec::new(), output: None }
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

    /// Makes a value an extra output that is used in training alone; see [`Head`].
    ///
    /// The layers that lead to a head alone are trained with it, are part of the model's parameters, and are left out
    /// when the network predicts.
    ///
    /// ```
    /// use striate::Graph;
    /// use striate::ops::{Activation, Conv2D, Dense, GlobalPool, Padding};
    ///
    /// let mut g = Graph::new("two heads");
    /// let x = g.input([8, 8, 3])?;
    /// let middle = g.add(Conv2D::new(8, 3).padding(Padding::Same), &[x])?;
    /// let mean = g.add(GlobalPool::average(), &[middle])?;
    /// let aux = g.add_named("aux", Dense::new(10).activation(Activation::Softmax), &[mean])?;
    /// g.add_head(aux, 0.3)?;
    /// let deep = g.add(Conv2D::new(8, 3), &[middle])?;
    /// let mean = g.add(GlobalPool::average(), &[deep])?;
    /// let y = g.add(Dense::new(10).activation(Activation::Softmax), &[mean])?;
    /// assert_eq!(g.output()?, y);
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// The value is the input, of another graph, a head already, or the output; or the weight is not a positive number.
    pub fn add_head(&mut self, value: Value, weight: f32) -> Result<()> {
        let name = self.layer(value)?.name.clone();
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(Error::argument(format!("the head '{name}' has the weight {weight}"))
                .with_help("give a positive number, such as 0.3"));
        }
        if self.heads.iter().any(|h| h.value == value) || self.output == Some(value) {
            return Err(Error::argument(format!("layer '{name}' is an output already")));
        }
        self.heads.push(Head { value, weight });
        Ok(())
    }

    /// Makes a value the output, where it is not the last layer that no other uses.
    ///
    /// # Errors
    /// The value is the input, of another graph, or a head.
    pub fn set_output(&mut self, value: Value) -> Result<()> {
        let name = self.layer(value)?.name.clone();
        if self.heads.iter().any(|h| h.value == value) {
            return Err(Error::argument(format!("layer '{name}' is a head, so it cannot be the output too")));
        }
        self.output = Some(value);
        Ok(())
    }

    /// The extra outputs that are used in training alone, in the order in which they were added.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The nodes, in an order in which they can run; the first is the input.
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

    /// The output: what [`Graph::set_output`] says, or else the last node that is no head and that no other uses.
    ///
    /// # Errors
    /// The graph has no layer, or every layer leads to a head.
    pub fn output(&self) -> Result<Value> {
        match self.output {
            Some(value) => Ok(value),
            None => self.default_output(),
        }
    }

    /// Which nodes the output needs; those that lead to a head alone, or nowhere, are not among them.
    ///
    /// # Errors
    /// The graph has no output.
    pub fn used(&self) -> Result<Vec<bool>> {
        Ok(self.count_uses(&[self.output()?]).iter().map(|uses| *uses > 0).collect())
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

    /// Multiply-adds of one sample's forward pass, without the layers that the output does not need.
    pub fn mul_adds(&self) -> u64 {
        let used = self.used().unwrap_or_default();
        self.nodes.iter().zip(used).filter(|(_, used)| *used).map(|(n, _)| self.node_mul_adds(n)).sum()
    }

    /// Multiply-adds of one node for one sample.
    pub fn node_mul_adds(&self, node: &Node) -> u64 {
        node.op.rule().mul_adds(&self.input_shapes(node), node.shape)
    }

    /// Whether each layer uses the one before it and nothing else, and the last is the one output.
    pub fn is_sequential(&self) -> bool {
        self.heads.is_empty()
            && self.output.is_none_or(|o| o.0 + 1 == self.nodes.len())
            && self.nodes.iter().enumerate().skip(1).all(|(i, n)| n.inputs == [Value(i - 1)])
    }

    // How often each node is read on the way to one of these outputs; an output itself counts as read once.
    pub(crate) fn count_uses(&self, outputs: &[Value]) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        outputs.iter().for_each(|v| uses[v.0] += 1);
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if uses[i] > 0 {
                node.inputs.iter().for_each(|v| uses[v.0] += 1);
            }
        }
        uses
    }

    // The last node that is no head and that no other uses.
    fn default_output(&self) -> Result<Value> {
        if self.nodes.len() < 2 {
            return Err(self.empty());
        }
        let mut used = vec![false; self.nodes.len()];
        self.nodes.iter().flat_map(|n| &n.inputs).for_each(|v| used[v.0] = true);
        self.heads.iter().for_each(|h| used[h.value.0] = true);
        used.iter().rposition(|used| !used).map(Value).ok_or_else(|| {
            Error::argument(format!("each end of network '{}' is a head, so it has no output", self.name))
                .with_help("a head is used in training alone; name the `output`")
        })
    }

    // The node of a value that may be an output.
    fn layer(&self, value: Value) -> Result<&Node> {
        match self.nodes.get(value.0) {
            Some(node) if value.0 > 0 => Ok(node),
            Some(node) => Err(Error::argument(format!("the input '{}' cannot be an output", node.name))),
            None => Err(Error::argument(format!("value {} is of another graph", value.0))),
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
pub(crate) mod tests {
    use super::*;
    use crate::ops::{Conv2D, Dense};

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

    // input - stem - end, with `aux` beside it.
    pub fn with_a_head() -> (Graph, Value, Value) {
        let mut g = Graph::new("heads");
        let x = g.input([6]).unwrap();
        let stem = g.add_named("stem", Dense::new(4), &[x]).unwrap();
        let end = g.add_named("end", Dense::new(3), &[stem]).unwrap();
        let aux = g.add_named("aux", Dense::new(3), &[stem]).unwrap();
        (g, end, aux)
    }

    #[test]
    fn output_is_the_last_end_that_is_no_head() {
        let (mut g, end, aux) = with_a_head();
        assert_eq!(g.output().unwrap(), aux);
        g.add_head(aux, 0.3).unwrap();
        assert_eq!(g.output().unwrap(), end);
        assert_eq!(g.used().unwrap(), [true, true, true, false]);
        // 6 * 4 and 4 * 3: the head is not counted.
        assert_eq!(g.mul_adds(), 36);
        g.add_head(end, 1.0).unwrap();
        assert!(g.output().unwrap_err().to_string().contains("each end of network 'heads' is a head"));
        g.set_output(g.value("stem").unwrap()).unwrap();
        assert_eq!(g.output_shape().unwrap().dims(), [4]);
    }

    #[test]
    fn heads_that_make_no_sense_are_refused() {
        let (mut g, end, aux) = with_a_head();
        let message = |r: Result<()>| r.unwrap_err().to_string();
        assert!(message(g.add_head(Value(0), 1.0)).contains("the input 'input_layer' cannot be an output"));
        assert!(message(g.add_head(Value(9), 1.0)).contains("value 9 is of another graph"));
        for weight in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(message(g.add_head(aux, weight)).contains("has the weight"));
        }
        g.add_head(aux, 1.0).unwrap();
        assert!(message(g.add_head(aux, 1.0)).contains("'aux' is an output already"));
        assert!(message(g.set_output(aux)).contains("'aux' is a head"));
        g.set_output(end).unwrap();
        assert!(message(g.add_head(end, 1.0)).contains("'end' is an output already"));
    }
}
