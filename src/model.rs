//! A model: the graph, its weights, and all that a prediction needs.
//!
//! [`Sequential`] builds one layer after the other, as Keras users know it;
//! [`Graph`] builds branches; [`Model::new`] gives either its weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::Preprocess;
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Value};
use crate::ops::{Op, ParamSpec, Weights};
use crate::rng::Rng;
use crate::session::{Machine, Session};
use crate::tensor::{Shape, Tensor};

// Samples that `predict` runs at once, so that memory does not grow with their number.
const PREDICT_BATCH: usize = 64;

/// A parameter with its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// The layer's name and the parameter's, such as `conv2d/kernel`.
    pub name: String,
    /// The axes.
    pub dims: Vec<usize>,
    /// Whether training changes it.
    pub trainable: bool,
    /// The weights, shared with sessions and copies of the model until one of them changes its own.
    pub data: Weights,
}

/// How a model came to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Free entries: data set, settings, seed, versions, results.
    pub entries: BTreeMap<String, serde_json::Value>,
}

/// An input with the output it must give: how a model file tests itself.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenSample {
    /// The input, ready for the network.
    pub x: Vec<f32>,
    /// The output that the model gave when it was saved.
    pub y: Vec<f32>,
}

/// A network with its weights.
#[derive(Debug, Clone)]
pub struct Model {
    graph: Graph,
    params: Vec<Param>,
    /// The names of the classes, in the order of the outputs; may be empty.
    pub labels: Vec<String>,
    /// How an image becomes the network's input; `None` where that is not known.
    pub preprocess: Option<Preprocess>,
    /// How the model came to be.
    pub record: Record,
    /// Inputs with the outputs they must give.
    pub golden: Vec<GoldenSample>,
}

impl Model {
    /// A model with freshly drawn weights; the same seed gives the same weights.
    ///
    /// # Errors
    /// The graph has no layers, or an initialiser is not valid.
    pub fn new(graph: Graph, seed: u64) -> Result<Self> {
        let mut model = Self::without_weights(graph)?;
        let rng = Rng::new(seed).split("init");
        let specs = model.graph.nodes().iter().flat_map(|n| model.graph.params(n));
        for (param, spec) in model.params.iter_mut().zip(specs) {
            spec.init.validate().map_err(|e| e.within(&param.name))?;
            param.data = Weights::zeros(spec.len());
            spec.init.fill(rng.split(&param.name), spec.fans, &mut param.data);
        }
        Ok(model)
    }

    /// A model whose weights are still empty, to be filled from a file.
    pub(crate) fn without_weights(graph: Graph) -> Result<Self> {
        graph.output()?;
        let param = |(node, spec): (&Node, ParamSpec)| Param {
            name: format!("{}/{}", node.name, spec.name),
            dims: spec.dims,
            trainable: spec.trainable,
            data: Weights::default(),
        };
        let params =
            graph.nodes().iter().flat_map(|n| graph.params(n).into_iter().map(move |s| (n, s))).map(param).collect();
        Ok(Self { graph, params, labels: Vec::new(), preprocess: None, record: Record::default(), golden: Vec::new() })
    }

    /// The network.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters, in the order of the layers.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The parameters, to be changed.
    pub fn params_mut(&mut self) -> &mut [Param] {
        &mut self.params
    }

    /// Lets go of the weights, so that a session that shares them may change them in place; [`Session::store`] brings
    /// them back.
    pub(crate) fn release(&mut self) {
        self.params.iter_mut().for_each(|param| param.data = Weights::default());
    }

    /// The number of weights: trainable, and not trainable.
    pub fn count_params(&self) -> (usize, usize) {
        let count =
            |trainable: bool| self.params.iter().filter(|p| p.trainable == trainable).map(|p| p.data.len()).sum();
        (count(true), count(false))
    }

    /// Overwrites the weights of the parameter with this name, such as `conv2d/kernel`.
    ///
    /// # Errors
    /// There is no such parameter, or the axes do not agree.
    pub fn set_param(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let names: Vec<&str> = self.params.iter().map(|p| p.name.as_str()).collect();
        let at = names
            .iter()
            .position(|n| *n == name)
            .ok_or_else(|| crate::error::unknown("parameter", name, names.iter().copied()))?;
        let param = &mut self.params[at];
        if param.dims != value.dims() {
            return Err(Error::shape(format!("{name} has the shape {:?}, not {:?}", param.dims, value.dims())));
        }
        param.data.copy_from_slice(value.data());
        Ok(())
    }

    /// The outputs for a tensor of samples `[n, ...input shape]`; axis 0 of the result is the sample.
    ///
    /// # Errors
    /// The shape does not fit.
    pub fn predict(&self, x: &Tensor) -> Result<Tensor> {
        let shape = self.graph.input_shape()?;
        let batch = match x.dims() {
            [n, rest @ ..] if rest == shape.dims() => *n,
            rest if rest == shape.dims() => 1,
            other => {
                return Err(Error::shape(format!(
                    "{} takes samples of shape {shape}, not {other:?}",
                    self.graph.name()
                )));
            }
        };
        let mut session = Session::new(self, Machine::default())?;
        let output = self.graph.output_shape()?;
        let mut y = Vec::with_capacity(batch * output.len());
        for x in x.data().chunks(PREDICT_BATCH * shape.len()) {
            session.infer(x, x.len() / shape.len())?;
            y.extend_from_slice(&session.output());
        }
        let dims: Vec<usize> = std::iter::once(batch).chain(output.dims().iter().copied()).collect();
        Tensor::new(&dims, y)
    }

    /// Replays the golden samples: the largest difference of an output from what it was when the model was saved.
    ///
    /// # Errors
    /// A golden sample does not have the network's shape.
    pub fn replay(&self) -> Result<f32> {
        if self.golden.is_empty() {
            return Ok(0.0);
        }
        let mut session = Session::new(self, Machine::default())?;
        let mut worst = 0.0_f32;
        for sample in &self.golden {
            session.infer(&sample.x, 1)?;
            let y = session.output();
            if y.len() != sample.y.len() {
                return Err(Error::shape(format!("a golden output has {} values, not {}", sample.y.len(), y.len())));
            }
            worst = y
                .iter()
                .zip(&sample.y)
                .fold(worst, |m, (a, b)| if (a - b).is_nan() { f32::INFINITY } else { m.max((a - b).abs()) });
        }
        Ok(worst)
    }

    /// Puts samples with the outputs that the model now gives into the model, to be replayed when it is loaded.
    ///
    /// # Errors
    /// A sample does not have the network's input shape.
    pub fn keep_golden(&mut self, samples: &[Vec<f32>]) -> Result<()> {
        let mut session = Session::new(self, Machine { threads: 1, ..Machine::default() })?;
        let mut golden = Vec::new();
        for x in samples {
            session.infer(x, 1)?;
            golden.push(GoldenSample { x: x.clone(), y: session.output().to_vec() });
        }
        self.golden = golden;
        Ok(())
    }
}

/// Builds a network one layer after the other.
///
/// ```
/// use striate::Sequential;
/// use striate::ops::{Activation, Dense, Flatten};
///
/// let model = Sequential::new([28, 28, 1])
///     .add(Flatten::new())
///     .add(Dense::new(10).activation(Activation::Softmax))
///     .build(0)?;
/// assert_eq!(model.count_params(), (7850, 0));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug)]
pub struct Sequential {
    graph: Graph,
    last: Result<Value>,
}

impl Sequential {
    /// A network for samples of this shape.
    pub fn new(input: impl Into<Shape>) -> Self {
        let mut graph = Graph::new("sequential");
        let last = graph.input(input);
        Self { graph, last }
    }

    /// Adds a layer after the last one. An error is kept until the network is built.
    #[must_use]
    #[allow(clippy::should_implement_trait)] // the name that Keras users know
    pub fn add(mut self, op: impl Into<Op>) -> Self {
        self.last = self.last.and_then(|last| self.graph.add(op, &[last]));
        self
    }

    /// The network without weights.
    ///
    /// # Errors
    /// A layer does not fit the one before it.
    pub fn graph(self) -> Result<Graph> {
        self.last.map(|_| self.graph)
    }

    /// The network with freshly drawn weights.
    ///
    /// # Errors
    /// A layer does not fit the one before it.
    pub fn build(self, seed: u64) -> Result<Model> {
        Model::new(self.graph()?, seed)
    }
}
