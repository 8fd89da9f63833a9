//! A plan: a graph made ready to run for one batch size on one machine.
//!
//! The way from a graph to a plan:
//! 1. `lower`, `fuse` and `chain`: which acts are run, what they do in passing or strip by strip, what is only a view;
//! 2. `adjoint` (training): the acts backward, and where each gradient goes;
//! 3. [`Rule::compile`](crate::ops::Rule::compile): the algorithm and instance of each act;
//! 4. `requests` and `memory`: how long each value lives, and where.
//!
//! After that a step allocates nothing, locks nothing, and cannot fail on a shape.
//! Buffers are numbered: the weights first, then their gradients, then the
//! weights made ready (one buffer, which runs of the plan do not change), then
//! the shared ones, last the scratch; `Plan::buffers` gives the lengths of those.

mod adjoint;
mod chain;
mod fuse;
mod lower;
mod memory;
mod report;
mod requests;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::{Binding, Compiled, Ctx, Fusion, Mode, ParamSpec, Slot, Step};
use crate::simd::Isa;

use adjoint::Back;
use lower::{Act, Ask, End, Lowered};
use memory::{Layout, Place};
use report::Made;
use requests::{Requests, Schedule};

pub use report::{Line, LineWork, Report};

/// What a plan is compiled for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanConfig {
    /// Samples in a batch.
    pub batch: usize,
    /// Train or infer.
    pub mode: Mode,
    /// Whether a softmax or sigmoid at the end is left to the loss.
    pub strip_head: bool,
    /// Whether each layer's output is kept to the end, to be looked at.
    pub keep: bool,
    /// Whether training computes cheap values once more in backward, if that takes less memory; the bits are the same.
    pub recompute: bool,
    /// The instruction set.
    pub isa: Isa,
    /// Threads that will run it.
    pub threads: usize,
    /// The convolution algorithm, where the choice is not left to the engine.
    pub algorithm: Option<String>,
}

/// A graph made ready to run.
pub struct Plan {
    pub(crate) config: PlanConfig,
    pub(crate) acts: Vec<PlannedAct>,
    pub(crate) backward: Vec<PlannedBack>,
    pub(crate) input: Slot,
    /// The outputs: the network's own, then the heads.
    pub(crate) ends: Vec<PlannedEnd>,
    /// The value of each node, where it is kept.
    pub(crate) of_node: Vec<Option<Slot>>,
    buffers: Vec<usize>,
    first_buffer: usize,
    ready: usize,
    report: Report,
    memory: PlanMemory,
}

/// One act and the buffers it uses.
pub(crate) struct PlannedAct {
    pub node: usize,
    pub step: Box<dyn Step>,
    pub binding: Binding,
    /// The order of the weights made ready, and how many they are.
    pub ready: (&'static str, usize),
}

/// The bytes that a plan needs, by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanMemory {
    /// The weights, running statistics included.
    pub weights: usize,
    /// The gradients of the weights; none at inference.
    pub gradients: usize,
    /// The layers' outputs, what they keep for backward, and the gradients of the outputs.
    pub values: usize,
    /// What is live at the fullest moment: no layout of the values could need less.
    pub values_at_peak: usize,
    /// The weights as the kernels read them at inference, made once: a second copy of most of them.
    pub ready: usize,
    /// Scratch that the kernels share.
    pub scratch: usize,
}

impl PlanMemory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.weights + self.gradients + self.ready + self.values + self.scratch
    }
}

/// An output and its gradient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedEnd {
    pub logits: Slot,
    pub output: Slot,
    /// The gradient to `output`; none at inference.
    pub dlogits: Option<Slot>,
    /// What its loss is multiplied by.
    pub weight: f32,
}

/// One act's backward pass.
pub(crate) struct PlannedBack {
    pub act: usize,
    pub binding: Binding,
    /// Acts whose output is computed once more before, with where they find and leave their values.
    pub again: Vec<(usize, Binding)>,
    /// Additions to run afterwards: `into += from`.
    pub accumulate: Vec<(Slot, Slot)>,
}

impl Plan {
    /// Compiles a graph.
    ///
    /// # Errors
    /// The graph has no layers, or an algorithm that was asked for refuses.
    pub fn compile(graph: &Graph, config: PlanConfig) -> Result<Self> {
        let PlanConfig { mode, strip_head, keep, .. } = config;
        let mut lowered = lower::lower(graph, Ask { mode, strip_head, keep })?;
        lowered.chain(graph, &config);
        let params = Params::of(graph);
        let trains: Vec<bool> = lowered
            .acts
            .iter()
            .map(|a| a.owners().flat_map(|node| &params.of_node[node]).any(|p| params.specs[*p].trainable))
            .collect();
        let backs = if mode == Mode::Train { adjoint::adjoint(&lowered, &trains) } else { Vec::new() };
        let compiled = compile_acts(graph, &lowered, &backs, &config)?;
        Ok(Draft { graph, lowered, params, backs, compiled, config }.finish())
    }

    /// What it was compiled for.
    pub fn config(&self) -> &PlanConfig {
        &self.config
    }

    /// The lengths of the buffers that the plan shares among its values, and the number of the first.
    pub(crate) fn buffers(&self) -> (usize, &[usize]) {
        (self.first_buffer, &self.buffers)
    }

    /// How many numbers the weights made ready are, and the number of their buffer.
    pub(crate) fn ready(&self) -> (usize, usize) {
        (self.first_buffer - 1, self.ready)
    }

    /// The bytes that a session needs to run it.
    pub fn memory(&self) -> PlanMemory {
        self.memory
    }

    /// What was decided and why.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// The parameters of a graph, numbered in the order of its nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    pub specs: Vec<ParamSpec>,
    pub of_node: Vec<Vec<usize>>,
}

impl Params {
    pub fn of(graph: &Graph) -> Self {
        let mut all = Self::default();
        for node in graph.nodes() {
            let specs = graph.params(node);
            all.of_node.push((all.specs.len()..all.specs.len() + specs.len()).collect());
            all.specs.extend(specs);
        }
        all
    }
}

fn compile_acts(graph: &Graph, lowered: &Lowered, backs: &[Back], config: &PlanConfig) -> Result<Vec<Compiled>> {
    let compile = |(i, act): (usize, &lower::Act)| {
        let back = backs.iter().find(|b| b.act == i);
        let needs_dx: Vec<bool> = match back {
            Some(back) => back.dx.iter().map(Option::is_some).collect(),
            None => vec![false; act.x.len()],
        };
        // An act that nothing upstream wants a gradient of runs forward as in training, but never backward.
        let ctx = Ctx {
            batch: config.batch,
            x: &act.shapes,
            y: act.shape,
            mode: config.mode,
            isa: config.isa,
            threads: config.threads,
            needs_dx: &needs_dx,
            algorithm: config.algorithm.as_deref(),
            fusion: Fusion {
                lines: &act.passing.lines,
                residual: act.passing.residual,
                activation: act.passing.activation,
                masked: act.passing.masked,
                masks: act.passing.masks,
            },
            prepare: config.mode == Mode::Infer && !config.keep,
        };
        let name = &graph.nodes()[act.node].name;
        if !act.links.is_empty() {
            return act.compile_chain(config).map_err(|e| Error::argument(format!("layer '{name}': {e}")));
        }
        act.op.rule().compile(&ctx).map_err(|e| e.within(format_args!("layer '{name}'")))
    };
    lowered.acts.iter().enumerate().map(compile).collect()
}

// All that is known before the buffers are laid out.
struct Draft<'a> {
    graph: &'a Graph,
    lowered: Lowered,
    params: Params,
    backs: Vec<Back>,
    compiled: Vec<Compiled>,
    config: PlanConfig,
}

impl Draft<'_> {
    fn finish(self) -> Plan {
        let (requests, layout) = self.layout();
        let (ready, ready_len) = self.ready();
        let first_buffer = 2 * self.params.specs.len() + 1;
        let places = Places { draft: &self, requests: &requests, layout: &layout, ready: &ready, first_buffer };
        let mut buffers = layout.lens.clone();
        buffers.push(self.compiled.iter().map(|c| c.work).max().unwrap_or(0));

        let bindings: Vec<Binding> = (0..self.compiled.len()).map(|i| places.forward(i)).collect();
        let backward = (0..self.backs.len()).map(|j| places.planned_back(j)).collect();
        let made = Made { lowered: &self.lowered, compiled: &self.compiled, backs: &self.backs, requests: &requests };
        let report = Report::new(self.graph, &made, &buffers);
        let memory = self.memory(&buffers, ready_len, memory::peak(&requests.all));
        let kept = |lane: &Option<usize>| lane.filter(|_| self.config.keep).map(|l| places.lane(l));
        let end = |end: &End| PlannedEnd {
            logits: places.lane(end.logits),
            output: places.lane(end.output),
            dlogits: requests.losses[end.output].map(|id| places.slot(id)),
            weight: end.weight,
        };
        let (input, ends) = (places.lane(0), self.lowered.ends.iter().map(end).collect());
        let of_node = self.lowered.of_node.iter().map(kept).collect();
        let nodes = self.lowered.acts.iter().map(|a| a.node);
        let acts = nodes
            .zip(self.compiled)
            .zip(bindings)
            .map(|((node, compiled), binding)| {
                let ready = (compiled.order, compiled.ready);
                PlannedAct { node, step: compiled.step, binding, ready }
            })
            .collect();
        let (config, ready) = (self.config, ready_len);
        Plan { config, acts, backward, input, ends, of_node, buffers, first_buffer, ready, report, memory }
    }

    // What is needed and where it lies, with values computed once more in backward where that takes less memory.
    fn layout(&self) -> (Requests, Layout) {
        let layout = |recompute: bool| {
            let (lowered, compiled, backs) = (&self.lowered, &self.compiled, &self.backs);
            let PlanConfig { batch, keep, .. } = self.config;
            let requests = Requests::new(Schedule { lowered, compiled, backs, batch, keep, recompute });
            let layout = memory::assign(&requests.all);
            (requests, layout)
        };
        let kept = layout(false);
        if !self.config.recompute || self.backs.is_empty() {
            return kept;
        }
        let again = layout(true);
        let size = |(_, layout): &(Requests, Layout)| layout.lens.iter().sum::<usize>();
        if size(&again) < size(&kept) { again } else { kept }
    }

    // Where the weights made ready of each act lie in their buffer, and how long that is.
    fn ready(&self) -> (Vec<Slot>, usize) {
        let (buffer, mut end) = (2 * self.params.specs.len(), 0_usize);
        let place = |compiled: &Compiled| {
            let slot = Slot { buffer, start: end, len: compiled.ready };
            end += compiled.ready.next_multiple_of(memory::STEP);
            slot
        };
        let slots = self.compiled.iter().map(place).collect();
        (slots, end)
    }

    // `buffers` ends with the scratch.
    fn memory(&self, buffers: &[usize], ready: usize, peak: usize) -> PlanMemory {
        let bytes = |numbers: usize| numbers * size_of::<f32>();
        let scratch = buffers.last().copied().unwrap_or(0);
        let trains = self.config.mode == Mode::Train;
        let gradients = self.params.specs.iter().filter(|p| trains && p.trainable).map(|p| p.len()).sum();
        PlanMemory {
            weights: bytes(self.params.specs.iter().map(|p| p.len()).sum()),
            gradients: bytes(gradients),
            values: bytes(buffers.iter().sum::<usize>() - scratch),
            values_at_peak: bytes(peak),
            ready: bytes(ready),
            scratch: bytes(scratch),
        }
    }
}

// Where everything lies.
struct Places<'a> {
    draft: &'a Draft<'a>,
    requests: &'a Requests,
    layout: &'a Layout,
    ready: &'a [Slot],
    first_buffer: usize,
}

impl Places<'_> {
    fn slot(&self, id: usize) -> Slot {
        let Place { buffer, start } = self.layout.places[id];
        Slot { buffer: self.first_buffer + buffer, start, len: self.requests.all[id].len }
    }

    fn slots(&self, ids: &[Option<usize>]) -> Vec<Option<Slot>> {
        ids.iter().map(|id| id.map(|id| self.slot(id))).collect()
    }

    // The value of a lane in forward.
    fn lane(&self, lane: usize) -> Slot {
        self.slot(self.requests.lanes[lane])
    }

    // The value of a lane in backward.
    fn lane_again(&self, lane: usize) -> Slot {
        self.slot(self.requests.again[lane].unwrap_or(self.requests.lanes[lane]))
    }

    fn forward(&self, i: usize) -> Binding {
        let Draft { lowered, params, config, compiled, .. } = self.draft;
        let act = &lowered.acts[i];
        let own: Vec<usize> = act.owners().flat_map(|node| params.of_node[node].iter().copied()).collect();
        let weight = |p: &usize| Slot::whole(*p, params.specs[*p].len());
        let gradient = |p: &usize| {
            let spec = &params.specs[*p];
            spec.trainable.then(|| Slot::whole(params.specs.len() + p, spec.len()))
        };
        Binding {
            x: act.x.iter().map(|lane| self.lane(*lane)).collect(),
            y: Some(self.lane(act.y)),
            w: own.iter().map(weight).collect(),
            dw: if config.mode == Mode::Train { own.iter().map(gradient).collect() } else { Vec::new() },
            saved: self.requests.saved[i].iter().map(|id| self.slot(*id)).collect(),
            work: Some(Slot::whole(self.first_buffer + self.layout.lens.len(), compiled[i].work)),
            ready: Some(self.ready[i]),
            ..Binding::default()
        }
    }

    fn planned_back(&self, j: usize) -> PlannedBack {
        let (act, grads) = (self.draft.backs[j].act, &self.requests.grads[j]);
        let Act { x, y, .. } = &self.draft.lowered.acts[act];
        let binding = Binding {
            x: x.iter().map(|lane| self.lane_again(*lane)).collect(),
            y: Some(self.lane_again(*y)),
            dx: self.slots(&grads.dx),
            dx_plus: grads.plus.map(|id| self.slot(id)),
            dy: grads.dy.map(|id| self.slot(id)),
            ..self.forward(act)
        };
        let again = |act: &usize| {
            let y = self.lane_again(self.draft.lowered.acts[*act].y);
            (*act, Binding { y: Some(y), ..self.forward(*act) })
        };
        PlannedBack {
            act,
            binding,
            again: grads.again.iter().map(again).collect(),
            accumulate: grads.sums.iter().map(|(into, from)| (self.slot(*into), self.slot(*from))).collect(),
        }
    }
}
