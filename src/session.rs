//! A session: the weights and buffers of one model on one machine, and the plans that run on them.
//!
//! Plans are compiled when a batch size is first met, and kept. All of them
//! share one set of buffers. One step is one loan of the thread team.
//!
//! At inference the weights are made ready once, packed as the kernels read
//! them and with the batch normalisations folded in: before the first run, and
//! anew when they have changed.

use std::cell::{Ref, RefMut};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::model::Model;
use crate::ops::{Io, Memory, Mode, Slot, accumulate};
use crate::parallel::{Pool, Team};
use crate::plan::{Params, Plan, PlanConfig, PlannedBack};
use crate::rng::Rng;
use crate::simd::Isa;
use crate::tensor::Tensor;

// See [`Session::recompute`].
const RECOMPUTE: bool = true;

/// The machine that a session runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Threads; 0 stands for one per core.
    pub threads: usize,
    /// The instruction set.
    pub isa: Isa,
    /// The convolution algorithm, where the choice is not left to the engine.
    pub algorithm: Option<String>,
}

impl Default for Machine {
    fn default() -> Self {
        Self { threads: 0, isa: Isa::best(), algorithm: None }
    }
}

/// What a plan is for; one plan is kept for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Purpose {
    mode: Mode,
    batch: usize,
    strip_head: bool,
    keep: bool,
}

/// A model's weights and buffers, ready to run.
pub struct Session {
    graph: Graph,
    params: Params,
    names: Vec<String>,
    memory: Memory,
    pool: Pool,
    machine: Machine,
    plans: Vec<(Purpose, Plan)>,
    recompute: bool,
    /// Whose weights are ready, and in which orders; none if they have changed since.
    ready: Option<(Purpose, Orders)>,
}

/// The order and the length of the ready weights of each act.
type Orders = Vec<(&'static str, usize)>;

/// One parameter, lent to an optimiser.
pub struct ParamMut<'a> {
    /// Its number.
    pub index: usize,
    /// The weights.
    pub w: &'a mut [f32],
    /// The gradient.
    pub dw: &'a mut [f32],
}

impl Session {
    /// A session with the model's weights, which both share until one of them changes its own.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn new(model: &Model, machine: Machine) -> Result<Self> {
        let pool = Pool::new(machine.threads)?;
        let machine = Machine { threads: pool.threads(), ..machine };
        let params = Params::of(model.graph());
        let names = model.params().iter().map(|p| p.name.clone()).collect();
        let mut memory = Memory::default();
        for param in model.params() {
            memory.put(param.data.clone());
        }
        for spec in &params.specs {
            memory.add(if spec.trainable { spec.len() } else { 0 });
        }
        // For the weights made ready.
        memory.add(0);
        let (graph, plans) = (model.graph().clone(), Vec::new());
        Ok(Self { graph, params, names, memory, pool, machine, plans, recompute: RECOMPUTE, ready: None })
    }

    /// Whether training computes cheap values (the outputs of batch normalisations) once more in backward rather than
    /// keep them, where that takes less memory: some more time, the same bits. Without this call it does.
    pub fn recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
        self.plans.clear();
    }

    /// The machine, with the threads that are really used.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The network.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The weights of parameter `index`.
    pub fn weights(&self, index: usize) -> Ref<'_, [f32]> {
        self.memory.get(self.weight_slot(index))
    }

    /// The gradient of parameter `index` after the last training step; empty if it is not trainable.
    pub fn gradient(&self, index: usize) -> Ref<'_, [f32]> {
        self.memory.get(self.gradient_slot(index))
    }

    /// Overwrites the weights of parameter `index`.
    ///
    /// # Errors
    /// The number of weights does not agree.
    pub fn set_weights(&mut self, index: usize, values: &[f32]) -> Result<()> {
        let slot = self.weight_slot(index);
        if slot.len != values.len() {
            let name = &self.names[index];
            return Err(Error::shape(format!("{name} has {} weights, not {}", slot.len, values.len())));
        }
        self.memory.get_mut(slot).copy_from_slice(values);
        self.ready = None;
        Ok(())
    }

    /// Gives the weights to a model of the same graph, which then shares them.
    pub fn store(&self, model: &mut Model) {
        for (i, param) in model.params_mut().iter_mut().enumerate() {
            param.data = self.memory.share(i);
        }
    }

    /// Runs the network forward on `batch` samples; then [`Session::logits`] and [`Session::output`] hold the result.
    ///
    /// # Errors
    /// The number of values does not agree with the input shape.
    pub fn infer(&mut self, x: &[f32], batch: usize) -> Result<()> {
        self.forward_as(Purpose { mode: Mode::Infer, batch, strip_head: false, keep: false }, x, Rng::new(0))
    }

    /// As [`Session::infer`], and keeps each layer's output for [`Session::value`].
    ///
    /// # Errors
    /// The number of values does not agree with the input shape.
    pub fn look(&mut self, x: &[f32], batch: usize) -> Result<()> {
        self.forward_as(Purpose { mode: Mode::Infer, batch, strip_head: false, keep: true }, x, Rng::new(0))
    }

    fn forward_as(&mut self, purpose: Purpose, x: &[f32], rng: Rng) -> Result<()> {
        self.prepare(purpose)?;
        let is_ready = self.is_ready(purpose);
        let (pool, mut run) = self.running(x)?;
        pool.run(move |team| {
            if !is_ready {
                run.prepare(team, rng);
            }
            run.forward(team, rng);
        });
        if !is_ready {
            let orders = self.last().acts.iter().map(|act| act.ready).collect();
            self.ready = Some((purpose, orders));
        }
        Ok(())
    }

    // Whether the weights are ready for this purpose, whose plan is the last.
    fn is_ready(&self, purpose: Purpose) -> bool {
        // Without fusion no weights are made ready.
        purpose.keep
            || self.ready.as_ref().is_some_and(|(of, orders)| {
                *of == purpose || orders.iter().eq(self.last().acts.iter().map(|act| &act.ready))
            })
    }

    /// As [`Session::infer`], and tells how long each act took; the weights are ready before.
    ///
    /// # Errors
    /// The number of values does not agree with the input shape.
    pub fn profile_inference(&mut self, x: &[f32], batch: usize) -> Result<Vec<Timing>> {
        self.infer(x, batch)?;
        let (pool, mut run) = self.running(x)?;
        let times = pool.run(move |team| run.timed_forward(team, Rng::new(0)));
        Ok(self.timings(times))
    }

    fn timings(&self, times: Vec<Times>) -> Vec<Timing> {
        let layer = |node: usize| self.graph.nodes()[node].name.clone();
        times.into_iter().map(|(node, forward, backward)| Timing { layer: layer(node), forward, backward }).collect()
    }

    /// What the head (softmax or sigmoid) was applied to in the last run; the output itself if there is no head.
    pub fn logits(&self) -> Ref<'_, [f32]> {
        self.memory.get(self.last().ends[0].logits)
    }

    /// The output of the last run.
    pub fn output(&self) -> Ref<'_, [f32]> {
        self.memory.get(self.last().ends[0].output)
    }

    /// The output of a layer, after [`Session::look`]; the layers of heads have one too.
    ///
    /// # Errors
    /// There is no such layer, or its output was not kept.
    pub fn value(&self, layer: &str) -> Result<Tensor> {
        let value = self.graph.value(layer)?;
        let plan = self.last();
        let slot = plan.of_node[value.0].ok_or_else(|| {
            Error::argument(format!("the output of layer '{layer}' was not kept")).with_help("run `look` first")
        })?;
        let dims: Vec<usize> =
            std::iter::once(plan.config.batch).chain(self.graph.shape(value).dims().iter().copied()).collect();
        Tensor::new(&dims, self.memory.get(slot).to_vec())
    }

    /// One training step without the update: forward, `loss`, backward.
    ///
    /// `loss` is called for the network's output, then for each head in order. It is given the logits (or the output,
    /// where `strip_head` is false) and fills their gradient, which is then multiplied by the [`Outlet`]'s weight.
    /// `at.rng` is the stream of this step, for dropout.
    ///
    /// # Errors
    /// The number of values does not agree with the input shape.
    pub fn train(&mut self, x: &[f32], at: TrainAt, loss: impl FnMut(Outlet<'_>) + Send) -> Result<()> {
        let TrainAt { batch, strip_head, rng } = at;
        self.prepare(Purpose { mode: Mode::Train, batch, strip_head, keep: false })?;
        let (pool, mut run) = self.running(x)?;
        pool.run(move |team| {
            run.forward(team, rng);
            run.loss(team, loss);
            run.backward(team, rng);
        });
        Ok(())
    }

    /// Calls `update` inside the pool with a way to go through all trainable parameters in order.
    pub fn update<R: Send>(&mut self, update: impl FnOnce(Team, &mut ParamsMut<'_>) -> R + Send) -> R {
        self.ready = None;
        let mut params = ParamsMut { memory: &mut self.memory, params: &self.params };
        self.pool.run(move |team| update(team, &mut params))
    }

    /// As [`Session::train`] with a zero gradient of the loss, and tells how long each act took, forward and backward.
    ///
    /// # Errors
    /// The number of values does not agree with the input shape.
    pub fn profile(&mut self, x: &[f32], at: TrainAt) -> Result<Vec<Timing>> {
        let TrainAt { batch, strip_head, rng } = at;
        self.prepare(Purpose { mode: Mode::Train, batch, strip_head, keep: false })?;
        let (pool, mut run) = self.running(x)?;
        let times = pool.run(move |team| run.timed(team, rng));
        Ok(self.timings(times))
    }

    /// The first layer whose output holds a NaN or an infinity on these samples, with the number of such values.
    ///
    /// # Errors
    /// The number of values does not agree with the input shape.
    pub fn first_non_finite(&mut self, x: &[f32], at: TrainAt) -> Result<Option<(String, usize)>> {
        let TrainAt { batch, strip_head, rng } = at;
        self.prepare(Purpose { mode: Mode::Train, batch, strip_head, keep: false })?;
        let bad = |values: &[f32]| values.iter().filter(|v| !v.is_finite()).count();
        if bad(x) > 0 {
            return Ok(Some((self.graph.nodes()[0].name.clone(), bad(x))));
        }
        let (pool, mut run) = self.running(x)?;
        let found = pool.run(move |team| run.forward_until(team, rng, |y| bad(y) > 0).map(|(node, y)| (node, bad(&y))));
        Ok(found.map(|(node, count)| (self.graph.nodes()[node].name.clone(), count)))
    }

    /// The plan of the last run.
    ///
    /// # Panics
    /// Nothing was run yet.
    pub fn plan(&self) -> &Plan {
        self.last()
    }

    /// Bytes of all buffers: weights, gradients, values, scratch.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    // The plan for this purpose is compiled if it is new, and put last.
    fn prepare(&mut self, purpose: Purpose) -> Result<()> {
        if purpose.mode == Mode::Train {
            // Running statistics change in forward.
            self.ready = None;
        }
        if purpose.batch == 0 {
            return Err(Error::argument("a batch of 0 samples cannot be run").with_help("give at least one sample"));
        }
        if let Some(at) = self.plans.iter().position(|(p, _)| *p == purpose) {
            let last = self.plans.len() - 1;
            self.plans.swap(at, last);
            return Ok(());
        }
        let (Purpose { mode, batch, strip_head, keep }, recompute) = (purpose, self.recompute);
        let Machine { threads, isa, algorithm } = self.machine.clone();
        let config = PlanConfig { batch, mode, strip_head, keep, recompute, isa, threads, algorithm };
        let plan = Plan::compile(&self.graph, config)?;
        tracing::debug!(batch, ?mode, "compiled a plan:\n{}", plan.report());
        let (first, lens) = plan.buffers();
        let (buffer, len) = plan.ready();
        if self.memory.reserve(buffer, len).map_err(|e| e.within("weights made ready"))? {
            self.ready = None;
        }
        for (i, len) in lens.iter().enumerate() {
            self.memory.reserve(first + i, *len).map_err(|e| e.within(format_args!("a batch of {batch}")))?;
        }
        self.plans.push((purpose, plan));
        Ok(())
    }

    // The last plan with the input filled in.
    fn running(&mut self, x: &[f32]) -> Result<(&Pool, Run<'_>)> {
        let plan = &self.plans.last().expect("a plan was prepared").1;
        if x.len() != plan.input.len {
            let shape = self.graph.input_shape()?;
            return Err(Error::shape(format!(
                "{} samples of shape {shape} are {} values, not {}",
                plan.config.batch,
                plan.input.len,
                x.len()
            )));
        }
        self.memory.get_mut(plan.input).copy_from_slice(x);
        Ok((&self.pool, Run { memory: &mut self.memory, plan }))
    }

    fn last(&self) -> &Plan {
        &self.plans.last().expect("nothing was run yet").1
    }

    fn weight_slot(&self, index: usize) -> Slot {
        Slot::whole(index, self.params.specs[index].len())
    }

    fn gradient_slot(&self, index: usize) -> Slot {
        let spec = &self.params.specs[index];
        Slot::whole(self.params.specs.len() + index, if spec.trainable { spec.len() } else { 0 })
    }
}

/// Where a training step stands.
#[derive(Debug, Clone, Copy)]
pub struct TrainAt {
    /// Samples in the batch.
    pub batch: usize,
    /// Whether the loss takes over a softmax or sigmoid at the end.
    pub strip_head: bool,
    /// The step's random stream.
    pub rng: Rng,
}

/// An output in a training step, lent to the loss: the network's own, or that of a [`Head`](crate::Head).
pub struct Outlet<'a> {
    /// The threads.
    pub team: Team<'a>,
    /// Which head; `None` is the network's output.
    pub head: Option<usize>,
    /// What its loss counts: 1 for the network's output, its weight for a head.
    pub weight: f32,
    /// The logits, or the output.
    pub y: &'a [f32],
    /// The gradient of the loss to `y`, to be written; the weight is multiplied in afterwards.
    pub dy: &'a mut [f32],
}

/// How long one act took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// The layer.
    pub layer: String,
    /// Forward.
    pub forward: Duration,
    /// Backward; zero where nothing is trained.
    pub backward: Duration,
}

/// All trainable parameters, lent to an optimiser one after the other.
pub struct ParamsMut<'a> {
    memory: &'a mut Memory,
    params: &'a Params,
}

impl ParamsMut<'_> {
    /// The number of parameters, with those that are not trainable.
    pub fn count(&self) -> usize {
        self.params.specs.len()
    }

    /// The gradient of parameter `index`; empty if it is not trainable.
    pub fn gradient(&self, index: usize) -> RefMut<'_, [f32]> {
        let spec = &self.params.specs[index];
        let len = if spec.trainable { spec.len() } else { 0 };
        self.memory.get_mut(Slot::whole(self.count() + index, len))
    }

    /// Calls `f` for each trainable parameter, in the order of the layers.
    pub fn each(&self, mut f: impl FnMut(ParamMut<'_>)) {
        for (index, spec) in self.params.specs.iter().enumerate().filter(|(_, s)| s.trainable) {
            let mut w = self.memory.get_mut(Slot::whole(index, spec.len()));
            f(ParamMut { index, w: &mut w, dw: &mut self.gradient(index) });
        }
    }
}

// One run of a plan. It holds the memory as `&mut`, so that it may enter the pool.
struct Run<'a> {
    memory: &'a mut Memory,
    plan: &'a Plan,
}

impl Run<'_> {
    fn forward(&mut self, team: Team, rng: Rng) {
        for act in &self.plan.acts {
            act.step.forward(&Io::new(self.memory, &act.binding, team, rng.split_at(act.node as u64)));
        }
    }

    // Makes the weights ready.
    fn prepare(&mut self, team: Team, rng: Rng) {
        for act in &self.plan.acts {
            act.step.prepare(&Io::new(self.memory, &act.binding, team, rng));
        }
    }

    fn timed_forward(&mut self, team: Team, rng: Rng) -> Vec<Times> {
        let mut times: Vec<_> = self.plan.acts.iter().map(|a| (a.node, Duration::ZERO, Duration::ZERO)).collect();
        for (act, time) in self.plan.acts.iter().zip(&mut times) {
            let start = Instant::now();
            act.step.forward(&Io::new(self.memory, &act.binding, team, rng.split_at(act.node as u64)));
            time.1 = start.elapsed();
        }
        times
    }

    fn timed(&mut self, team: Team, rng: Rng) -> Vec<Times> {
        let mut times = self.timed_forward(team, rng);
        for slot in self.plan.ends.iter().filter_map(|end| end.dlogits) {
            self.memory.get_mut(slot).fill(0.0);
        }
        for back in &self.plan.backward {
            let start = Instant::now();
            self.back(back, team, rng);
            times[back.act].2 = start.elapsed();
        }
        times
    }

    // Forward until an act's output satisfies `stop`: its node and output.
    fn forward_until(&mut self, team: Team, rng: Rng, stop: impl Fn(&[f32]) -> bool) -> Option<(usize, Vec<f32>)> {
        let flow = self.plan.acts.iter().try_for_each(|act| {
            let io = Io::new(self.memory, &act.binding, team, rng.split_at(act.node as u64));
            act.step.forward(&io);
            let y = io.y();
            if stop(&y) { ControlFlow::Break((act.node, y.to_vec())) } else { ControlFlow::Continue(()) }
        });
        flow.break_value()
    }

    fn loss(&mut self, team: Team, mut loss: impl FnMut(Outlet<'_>)) {
        for (i, end) in self.plan.ends.iter().enumerate() {
            let y = self.memory.get(end.output);
            let (head, weight) = (i.checked_sub(1), end.weight);
            let mut call = |dy: &mut [f32]| loss(Outlet { team, head, weight, y: &y, dy });
            match end.dlogits {
                Some(slot) => {
                    let mut dy = self.memory.get_mut(slot);
                    call(&mut dy);
                    if weight != 1.0 {
                        dy.iter_mut().for_each(|d| *d *= weight);
                    }
                }
                // Nothing is trainable: the gradient goes nowhere.
                None => call(&mut vec![0.0; y.len()]),
            }
        }
    }

    fn backward(&mut self, team: Team, rng: Rng) {
        self.plan.backward.iter().for_each(|back| self.back(back, team, rng));
    }

    fn back(&self, back: &PlannedBack, team: Team, rng: Rng) {
        let io = |binding, node| Io::new(self.memory, binding, team, rng.split_at(node as u64));
        for (again, binding) in &back.again {
            let act = &self.plan.acts[*again];
            act.step.again(&io(binding, act.node));
        }
        let act = &self.plan.acts[back.act];
        act.step.backward(&io(&back.binding, act.node));
        for (into, from) in &back.accumulate {
            let (mut into, from) = (self.memory.get_mut(*into), self.memory.get(*from));
            accumulate(team, self.plan.config.isa, &mut into, &from);
        }
    }
}

/// The node of an act, with its times forward and backward.
type Times = (usize, Duration, Duration);

/// An error for numbers that went bad in training.
pub(crate) fn non_finite(step: u64, what: &str) -> Error {
    Error::new(ErrorKind::Numeric, format!("training went bad at step {step}: {what}"))
        .with_help("lower the learning rate, clip the gradients, or look for bad values in the data")
}
