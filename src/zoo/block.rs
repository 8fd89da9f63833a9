//! What the networks of the zoo are written with: a network under construction, and the step that most of them repeat.
//!
//! Layers with parameters are named by the path of the module that holds the same weights in the implementation
//! whose published weights fit: torchvision's, unless a file says otherwise. So its tensor `layer1.0.conv1.weight`
//! is `layer1.0.conv1/kernel` here.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::init::Init;
use crate::ops::{Activation, BatchNorm, Conv2D, Dense, Op, Padding, Pair};
use crate::tensor::Shape;

/// What a network is built for.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// The entry's name, which becomes the graph's.
    pub name: &'static str,
    /// Height, width and channels.
    pub input: [usize; 3],
    /// The outputs of the last layer.
    pub classes: usize,
}

impl Size {
    /// The shape of the input.
    ///
    /// # Errors
    /// A side is 0, or the input is larger than memory could hold.
    pub fn shape(&self) -> Result<Shape> {
        Shape::new(&self.input)
    }
}

/// A network under construction.
pub(super) struct Net {
    graph: Graph,
    norm: BatchNorm,
}

impl Net {
    /// A network with its input. Batch normalisation is that of PyTorch unless said otherwise.
    pub fn new(size: &Size) -> Result<(Self, Value)> {
        let mut graph = Graph::new(size.name);
        let x = graph.input(size.shape()?)?;
        Ok((Self { graph, norm: BatchNorm::default().momentum(0.9).epsilon(1e-5) }, x))
    }

    /// The same with other settings of the batch normalisations.
    pub fn with_norm(mut self, momentum: f32, epsilon: f32) -> Self {
        self.norm = self.norm.momentum(momentum).epsilon(epsilon);
        self
    }

    /// The network's batch normalisation.
    pub fn norm(&self) -> BatchNorm {
        self.norm.clone()
    }

    /// The shape of a value.
    pub fn shape(&self, x: Value) -> Shape {
        self.graph.shape(x)
    }

    /// A layer.
    pub fn add(&mut self, name: impl Into<String>, op: impl Into<Op>, x: Value) -> Result<Value> {
        self.graph.add_named(name, op, &[x])
    }

    /// A layer on several values.
    pub fn join(&mut self, name: impl Into<String>, op: impl Into<Op>, x: &[Value]) -> Result<Value> {
        self.graph.add_named(name, op, x)
    }

    /// Convolution, batch normalisation, activation (M40); `names` are those of the first two.
    pub fn conv_norm(&mut self, names: [String; 2], op: Conv2D, last: Activation, x: Value) -> Result<Value> {
        let [conv, norm] = names;
        let z = self.add(conv, op.no_bias(), x)?;
        let n = self.add(norm.as_str(), self.norm(), z)?;
        self.activate(&norm, last, n)
    }

    /// Batch normalisation, activation.
    pub fn norm_act(&mut self, name: &str, last: Activation, x: Value) -> Result<Value> {
        let n = self.add(name, self.norm(), x)?;
        self.activate(name, last, n)
    }

    /// An activation as a layer of its own, named after the layer before it.
    pub fn activate(&mut self, after: &str, function: Activation, x: Value) -> Result<Value> {
        if function == Activation::Linear {
            return Ok(x);
        }
        self.add(format!("{after}.{}", function.name()), function, x)
    }

    /// The last layer: a dense one with softmax.
    pub fn classify(mut self, name: &str, classes: usize, x: Value) -> Result<Graph> {
        self.add(name, dense(classes).activation(Activation::Softmax), x)?;
        Ok(self.graph)
    }

    /// An auxiliary output, trained along with this weight: a dense layer with softmax.
    pub fn head(&mut self, name: &str, classes: usize, weight: f32, x: Value) -> Result<()> {
        let y = self.add(name, dense(classes).activation(Activation::Softmax), x)?;
        self.graph.add_head(y, weight)
    }

    /// The network.
    pub fn done(self) -> Graph {
        self.graph
    }
}

/// A convolution whose padding keeps the size at stride 1, for a ReLU to follow.
pub(super) fn conv(filters: usize, kernel: impl Into<Pair>) -> Conv2D {
    let kernel: Pair = kernel.into();
    let [v, h] = [kernel.0[0] / 2, kernel.0[1] / 2];
    Conv2D::new(filters, kernel)
        .padding(Padding::Explicit { top: v, bottom: v, left: h, right: h })
        .init(Init::HeNormal)
}

/// A convolution without padding, for a ReLU to follow.
pub(super) fn valid(filters: usize, kernel: usize) -> Conv2D {
    Conv2D::new(filters, kernel).init(Init::HeNormal)
}

/// A dense layer that starts small, as the last layer of a network should.
pub(super) fn dense(units: usize) -> Dense {
    Dense::new(units).init(Init::Normal { mean: 0.0, std: 0.01 })
}

/// The names of a convolution and its normalisation below a common prefix.
pub(super) fn pair(at: &str, [conv, norm]: [&str; 2]) -> [String; 2] {
    [format!("{at}.{conv}"), format!("{at}.{norm}")]
}
