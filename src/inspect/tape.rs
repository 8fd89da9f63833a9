//! A tape: one forward pass of a finished network with everything kept, and backward passes to whatever is asked for.
//!
//! A plan trains weights, so it shares its buffers and throws gradients away as
//! soon as they were used. To look inside, each value and each gradient must be
//! there afterwards, for the input too, and backward must be able to start at any
//! layer. A tape therefore gives every value a buffer of its own:
//!
//! 1. Each node becomes an act; its activation becomes a second one, so that what
//!    is before it can be read, and so that its backward rule can be replaced ([`ReluRule`]).
//! 2. The network is in use, not in training: dropout is left out, and batch
//!    normalisation is the scale and offset that its moving statistics give.
//! 3. Backward adds up what each act says, from the last act to the first.

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Value};
use crate::model::{Model, Param};
use crate::ops::{Activation, Affine, BatchNorm, Binding, Ctx, Fusion, Io, Memory, Mode, Op, Slot, Step};
use crate::parallel::{Pool, Team};
use crate::rng::Rng;
use crate::session::Machine;
use crate::tensor::{Shape, Tensor};

/// What a ReLU does to the gradient that comes back, `dx` of `dy`; other activations keep their derivative.
///
/// ReLU6 and leaky ReLU count as ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReluRule {
    /// The derivative: `dx = dy` where `x > 0`.
    #[default]
    Derivative,
    /// Guided back-propagation: `dx = max(dy, 0)` where `x > 0`.
    /// Source: Springenberg et al., "Striving for simplicity", 2014, arXiv:1412.6806.
    Guided,
    /// Deconvnet: `dx = max(dy, 0)` everywhere.
    /// Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, arXiv:1311.2901.
    Deconvnet,
}

/// A place in a network whose value or gradient is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot<'a> {
    /// The output of a layer.
    Layer(&'a str),
    /// A layer before its activation function.
    Before(&'a str),
    /// What the softmax or sigmoid at the end is applied to; the output itself if there is none.
    Logits,
}

/// How a tape is made.
#[derive(Debug, Clone, Default)]
pub struct TapeConfig<'a> {
    /// The last layer that is needed; all of the network if not given.
    pub upto: Option<&'a str>,
    /// The machine.
    pub machine: Machine,
}

/// A finished network for a batch of samples, every value and every gradient kept.
///
/// ```
/// use striate::inspect::{ReluRule, Spot, Tape, TapeConfig};
/// let model = striate::Model::new(striate::zoo::recipe("simple-convnet")?.graph, 0)?;
/// let mut tape = Tape::new(&model, 1, &TapeConfig::default())?;
/// tape.forward(&vec![0.5; 28 * 28])?;
/// let mut dy = vec![0.0; 10];
/// dy[3] = 1.0; // of the score of class 3
/// tape.backward(Spot::Logits, &dy, ReluRule::Derivative)?;
/// assert_eq!(tape.input_gradient().dims(), [1, 28, 28, 1]);
/// # Ok::<(), striate::Error>(())
/// ```
pub struct Tape {
    graph: Graph,
    batch: usize,
    memory: Memory,
    pool: Pool,
    acts: Vec<Act>,
    lanes: Vec<Lane>,
    /// By node: its value, and the value before its activation; none where it was left out.
    of_node: Vec<Option<[usize; 2]>>,
    logits: Option<usize>,
}

// A value and its gradient.
#[derive(Clone, Copy)]
struct Lane {
    y: Slot,
    dy: Slot,
}

struct Act {
    step: Box<dyn Step>,
    binding: Binding,
    /// Whether the op is a ReLU, whose backward rule may be replaced.
    rectifies: bool,
    x: Vec<usize>,
    y: usize,
}

impl Tape {
    /// A tape of `batch` samples with a copy of the model's weights.
    ///
    /// A [`Op::Custom`] runs as in training, since it has no other backward pass.
    ///
    /// # Errors
    /// There is no layer of that name, a batch of 0, or the threads cannot be started.
    pub fn new(model: &Model, batch: usize, config: &TapeConfig<'_>) -> Result<Self> {
        if batch == 0 {
            return Err(Error::argument("a batch of 0 samples cannot be run").with_help("give at least one sample"));
        }
        let graph = model.graph().clone();
        let last = config.upto.map(|name| graph.value(name)).transpose()?;
        let used = match last {
            Some(last) => graph.count_uses(&[last]).iter().map(|uses| *uses > 0).collect(),
            None => vec![true; graph.nodes().len()],
        };
        let pool = Pool::new(config.machine.threads)?;
        let machine = Machine { threads: pool.threads(), ..config.machine.clone() };
        let maker = Maker { model, batch, machine, memory: Memory::default(), acts: Vec::new(), lanes: Vec::new() };
        let (maker, of_node) = maker.make(&used)?;
        let logits = match last {
            Some(_) => None,
            None => Some(logits(&graph, &of_node)?),
        };
        let Maker { memory, acts, lanes, .. } = maker;
        Ok(Self { graph, batch, memory, pool, acts, lanes, of_node, logits })
    }

    /// The network.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Samples in a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Runs the network on `[n, h, w, c]`; all values can be read then.
    ///
    /// # Errors
    /// The number of values does not agree with the batch and the input shape.
    pub fn forward(&mut self, x: &[f32]) -> Result<()> {
        let slot = self.lanes[0].y;
        if x.len() != slot.len {
            let (batch, shape) = (self.batch, self.graph.input_shape()?);
            return Err(Error::shape(format!(
                "{batch} samples of shape {shape} are {} values, not {}",
                slot.len,
                x.len()
            )));
        }
        self.memory.get_mut(slot).copy_from_slice(x);
        let mut run = Run { memory: &mut self.memory, acts: &self.acts, lanes: &self.lanes };
        self.pool.run(move |team| run.forward(team));
        Ok(())
    }

    /// Sends a gradient `dy` back from a place; then [`Tape::gradient`] tells what arrived anywhere before it.
    ///
    /// # Errors
    /// There is no such place, or `dy` has not as many values as it.
    pub fn backward(&mut self, from: Spot<'_>, dy: &[f32], rule: ReluRule) -> Result<()> {
        let lane = self.lane(from)?;
        let slot = self.lanes[lane].dy;
        if dy.len() != slot.len {
            return Err(Error::shape(format!("the gradient of {from:?} has {} values, not {}", slot.len, dy.len())));
        }
        for lane in &self.lanes {
            self.memory.get_mut(lane.dy).fill(0.0);
        }
        self.memory.get_mut(slot).copy_from_slice(dy);
        let mut run = Run { memory: &mut self.memory, acts: &self.acts, lanes: &self.lanes };
        self.pool.run(move |team| run.backward(team, lane, rule));
        Ok(())
    }

    /// The value at a place after [`Tape::forward`], `[n, ..]`.
    ///
    /// # Errors
    /// There is no such place, or it was left out.
    pub fn value(&self, at: Spot<'_>) -> Result<Tensor> {
        let slot = self.lanes[self.lane(at)?].y;
        Tensor::new(&self.dims(at)?, self.memory.get(slot).to_vec())
    }

    /// The gradient to the value at a place after [`Tape::backward`], `[n, ..]`; zeros behind where it began.
    ///
    /// # Errors
    /// There is no such place, or it was left out.
    pub fn gradient(&self, at: Spot<'_>) -> Result<Tensor> {
        let slot = self.lanes[self.lane(at)?].dy;
        Tensor::new(&self.dims(at)?, self.memory.get(slot).to_vec())
    }

    /// The gradient to the input, `[n, h, w, c]`.
    pub fn input_gradient(&self) -> Tensor {
        let dims = with_batch(self.batch, self.graph.nodes()[0].shape);
        Tensor::new(&dims, self.memory.get(self.lanes[0].dy).to_vec()).expect("a gradient is as large as its value")
    }

    /// Whether there is a ReLU, so that [`ReluRule`] makes a difference.
    pub fn has_relu(&self) -> bool {
        self.acts.iter().any(|act| act.rectifies)
    }

    fn lane(&self, at: Spot<'_>) -> Result<usize> {
        let (name, which) = match at {
            Spot::Layer(name) => (name, 0),
            Spot::Before(name) => (name, 1),
            Spot::Logits => {
                return self.logits.ok_or_else(|| Error::argument("this tape ends before the network's output"));
            }
        };
        let value = self.graph.value(name)?;
        self.of_node[value.0]
            .map(|lanes| lanes[which])
            .ok_or_else(|| Error::argument(format!("layer '{name}' lies behind the end of this tape")))
    }

    fn dims(&self, at: Spot<'_>) -> Result<Vec<usize>> {
        let value = match at {
            Spot::Layer(name) | Spot::Before(name) => self.graph.value(name)?,
            Spot::Logits => self.graph.output()?,
        };
        Ok(with_batch(self.batch, self.graph.shape(value)))
    }
}

fn with_batch(batch: usize, shape: Shape) -> Vec<usize> {
    std::iter::once(batch).chain(shape.dims().iter().copied()).collect()
}

// What is being put together.
struct Maker<'a> {
    model: &'a Model,
    batch: usize,
    machine: Machine,
    memory: Memory,
    acts: Vec<Act>,
    lanes: Vec<Lane>,
}

// An op with its weights, between the values that it reads and its shape.
struct Piece {
    op: Op,
    w: Vec<Vec<f32>>,
    x: Vec<usize>,
    shapes: Vec<Shape>,
    shape: Shape,
}

impl Maker<'_> {
    fn make(mut self, used: &[bool]) -> Result<(Self, Vec<Option<[usize; 2]>>)> {
        let graph = self.model.graph();
        let mut of_node: Vec<Option<[usize; 2]>> = vec![None; graph.nodes().len()];
        let mut params = self.model.params();
        for (i, node) in graph.nodes().iter().enumerate() {
            let (own, rest) = params.split_at(graph.params(node).len());
            params = rest;
            if i == 0 {
                let lane = self.lane(node.shape.len());
                of_node[0] = Some([lane; 2]);
            } else if used[i] {
                let of = |value: &Value| of_node[value.0].expect("an input of what is used")[0];
                let x = node.inputs.iter().map(of).collect();
                of_node[i] =
                    Some(self.node(node, own, x).map_err(|e| e.within(format_args!("layer '{}'", node.name)))?);
            }
        }
        self.share();
        Ok((self, of_node))
    }

    fn node(&mut self, node: &Node, params: &[Param], x: Vec<usize>) -> Result<[usize; 2]> {
        let (shapes, shape) = (self.model.graph().input_shapes(node), node.shape);
        let last = node.op.activation();
        let (op, w) = match &node.op {
            Op::BatchNorm(norm) => (Op::from(Affine::new()), scale_and_offset(norm, params)),
            op => (
                op.with_activation(Activation::Linear).unwrap_or_else(|| op.clone()),
                params.iter().map(|p| p.data.to_vec()).collect(),
            ),
        };
        if op.rule().is_view(Mode::Infer) {
            return Ok([x[0]; 2]);
        }
        // An activation that is a layer of its own has its input before it.
        let before = matches!(op, Op::Activation(_)).then(|| x[0]);
        let y = self.act(Piece { op, w, x, shapes, shape })?;
        if last == Activation::Linear {
            return Ok([y, before.unwrap_or(y)]);
        }
        let after = self.act(Piece { op: last.into(), w: Vec::new(), x: vec![y], shapes: vec![shape], shape })?;
        Ok([after, y])
    }

    fn act(&mut self, piece: Piece) -> Result<usize> {
        let Piece { op, w, x, shapes, shape } = piece;
        let needs_dx = vec![true; x.len()];
        let compiled = op.rule().compile(&Ctx {
            batch: self.batch,
            x: &shapes,
            y: shape,
            mode: Mode::Train,
            isa: self.machine.isa,
            threads: self.machine.threads,
            needs_dx: &needs_dx,
            algorithm: self.machine.algorithm.as_deref(),
            fusion: Fusion::default(),
            prepare: false,
        })?;
        let y = self.lane(shape.len());
        let weights = w.iter().map(|w| self.put(w)).collect();
        let saved = compiled.saved.iter().map(|len| self.memory.add(*len)).collect();
        // The scratch, whose lengths are noted here, gets its place when all acts are known.
        let scratch = |len: usize| Slot::whole(0, len);
        let trainable = op.rule().params(&shapes);
        let binding = Binding {
            x: x.iter().map(|lane| self.lanes[*lane].y).collect(),
            y: Some(self.lanes[y].y),
            dx: x.iter().map(|lane| Some(scratch(self.lanes[*lane].dy.len))).collect(),
            dx_plus: None,
            dy: Some(scratch(self.lanes[y].dy.len)),
            w: weights,
            dw: trainable.iter().map(|p| p.trainable.then(|| scratch(p.len()))).collect(),
            saved,
            work: Some(scratch(compiled.work)),
            ready: Some(self.memory.add(compiled.ready)),
        };
        let function = if let Op::Activation(own) = &op { own.function } else { Activation::Linear };
        let rectifies = matches!(function, Activation::Relu | Activation::Relu6 | Activation::LeakyRelu(_));
        self.acts.push(Act { step: compiled.step, binding, rectifies, x, y });
        Ok(y)
    }

    fn lane(&mut self, sample: usize) -> usize {
        let len = sample * self.batch;
        let lane = Lane { y: self.memory.add(len), dy: self.memory.add(len) };
        self.lanes.push(lane);
        self.lanes.len() - 1
    }

    fn put(&mut self, values: &[f32]) -> Slot {
        let slot = self.memory.add(values.len());
        self.memory.get_mut(slot).copy_from_slice(values);
        slot
    }

    // All acts share their scratch: one buffer for each role, as long as the longest.
    fn share(&mut self) {
        let roles: [fn(&mut Binding) -> Vec<&mut Slot>; 4] = [
            |b| b.dy.iter_mut().collect(),
            |b| b.work.iter_mut().collect(),
            |b| b.dx.iter_mut().flatten().collect(),
            |b| b.dw.iter_mut().flatten().collect(),
        ];
        for role in roles {
            let most = self.acts.iter_mut().map(|act| role(&mut act.binding).len()).max().unwrap_or(0);
            for k in 0..most {
                let len = |act: &mut Act| role(&mut act.binding).get(k).map_or(0, |slot| slot.len);
                let len = self.acts.iter_mut().map(len).max().unwrap_or(0);
                let buffer = self.memory.add(len).buffer;
                for act in &mut self.acts {
                    role(&mut act.binding).into_iter().nth(k).into_iter().for_each(|slot| slot.buffer = buffer);
                }
            }
        }
    }
}

// What the function at the end is applied to; views behind it do not count.
fn logits(graph: &Graph, of_node: &[Option<[usize; 2]>]) -> Result<usize> {
    let mut at = graph.output()?;
    while graph.node(at).op.rule().is_view(Mode::Infer) && !graph.node(at).inputs.is_empty() {
        at = graph.node(at).inputs[0];
    }
    let function = match &graph.node(at).op {
        Op::Activation(own) => own.function,
        op => op.activation(),
    };
    let is_head = matches!(function, Activation::Softmax | Activation::Sigmoid | Activation::LogSoftmax);
    Ok(of_node[at.0].expect("all nodes are used")[usize::from(is_head)])
}

// `gamma (x - mean) / sqrt(variance + epsilon) + beta` as `scale x + offset`.
fn scale_and_offset(norm: &BatchNorm, params: &[Param]) -> Vec<Vec<f32>> {
    let of = |name: &str| params.iter().find(|p| p.name.ends_with(name)).map(|p| &p.data[..]);
    let (mean, variance) = (of("/moving_mean"), of("/moving_variance"));
    let (mean, variance) = (mean.expect("a statistic"), variance.expect("a statistic"));
    let at = |values: Option<&[f32]>, c: usize, missing: f64| values.map_or(missing, |v| f64::from(v[c]));
    let scale = |c: usize| at(of("/gamma"), c, 1.0) / (f64::from(variance[c]) + f64::from(norm.epsilon)).sqrt();
    let offset = |c: usize| at(of("/beta"), c, 0.0) - scale(c) * f64::from(mean[c]);
    let channels = 0..mean.len();
    vec![channels.clone().map(|c| scale(c) as f32).collect(), channels.map(|c| offset(c) as f32).collect()]
}

// One run over the acts. It holds the memory as `&mut`, so that it may enter the pool.
struct Run<'a> {
    memory: &'a mut Memory,
    acts: &'a [Act],
    lanes: &'a [Lane],
}

impl Run<'_> {
    fn forward(&mut self, team: Team) {
        for act in self.acts {
            act.step.forward(&Io::new(self.memory, &act.binding, team, Rng::new(0)));
        }
    }

    fn backward(&mut self, team: Team, from: usize, rule: ReluRule) {
        let mut reached = vec![false; self.lanes.len()];
        reached[from] = true;
        for act in self.acts.iter().rev() {
            if !reached[act.y] {
                continue;
            }
            self.back(act, team, rule);
            for (lane, dx) in act.x.iter().zip(act.binding.dx.iter().flatten()) {
                let (mut sum, dx) = (self.memory.get_mut(self.lanes[*lane].dy), self.memory.get(*dx));
                sum.iter_mut().zip(&*dx).for_each(|(sum, dx)| *sum += dx);
                reached[*lane] = true;
            }
        }
    }

    // The step works on a copy of `dy`, which it may change.
    fn back(&self, act: &Act, team: Team, rule: ReluRule) {
        let scratch = act.binding.dy.expect("every act has one");
        {
            let (dy, mut copy) = (self.memory.get(self.lanes[act.y].dy), self.memory.get_mut(scratch));
            copy.copy_from_slice(&dy);
            if act.rectifies && rule != ReluRule::Derivative {
                copy.iter_mut().for_each(|v| *v = v.max(0.0));
            }
        }
        if act.rectifies && rule == ReluRule::Deconvnet {
            let dx = act.binding.dx[0].expect("wanted");
            self.memory.get_mut(dx).copy_from_slice(&self.memory.get(scratch));
        } else {
            act.step.backward(&Io::new(self.memory, &act.binding, team, Rng::new(0)));
        }
    }
}
