//! A plan: a graph made ready to run for one batch size on one machine.
//!
//! The way from a graph to a plan:
//! 1. `lower`: which acts are run, what is fused, what is only a view;
//! 2. `adjoint` (training): the acts backward, and where each gradient goes;
//! 3. [`Rule::compile`](crate::ops::Rule::compile): the algorithm and instance of each act;
//! 4. `requests` and `memory`: how long each value lives, and where.
//!
//! After that a step allocates nothing, locks nothing, and cannot fail on a shape.
//! Buffers are numbered: the weights first, then their gradients, then the
//! shared ones, last the scratch; `Plan::buffers` gives the lengths of those.

mod adjoint;
mod lower;
mod memory;
mod report;
mod requests;

use crate::error::Result;
use crate::graph::Graph;
use crate::ops::{Binding, Compiled, Ctx, Mode, ParamSpec, Slot, Step};
use crate::simd::Isa;

use adjoint::{Back, Grad};
use lower::{Ask, End, Lowered};
use memory::Place;
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
    report: Report,
    memory: PlanMemory,
}

/// One act and the buffers it uses.
pub(crate) struct PlannedAct {
    pub node: usize,
    pub step: Box<dyn Step>,
    pub binding: Binding,
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
    /// Scratch that the kernels share.
    pub scratch: usize,
}

impl PlanMemory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.weights + self.gradients + self.values + self.scratch
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
        let lowered = lower::lower(graph, Ask { mode, strip_head, keep })?;
        let params = Params::of(graph);
        let trains: Vec<bool> = lowered
            .acts
            .iter()
            .map(|a| a.has_params && params.of_node[a.node].iter().any(|p| params.specs[*p].trainable))
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
        };
        let name = &graph.nodes()[act.node].name;
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
    fn back_of(&self, act: usize) -> Option<usize> {
        self.backs.iter().position(|b| b.act == act)
    }

    fn finish(self) -> Plan {
        let requests = Requests::new(Schedule {
            lowered: &self.lowered,
            compiled: &self.compiled,
            backs: &self.backs,
            batch: self.config.batch,
            keep: self.config.keep,
        });
        let layout = memory::assign(&requests.all);
        let first_buffer = 2 * self.params.specs.len();
        let slot = |id: usize| {
            let Place { buffer, start } = layout.places[id];
            Slot { buffer: first_buffer + buffer, start, len: requests.all[id].len }
        };
        let work_len = self.compiled.iter().map(|c| c.work).max().unwrap_or(0);
        let scratch = first_buffer + layout.lens.len();
        let mut buffers = layout.lens.clone();
        buffers.push(work_len);

        let bindings: Vec<Binding> =
            (0..self.compiled.len()).map(|i| self.binding(i, &requests, &slot, scratch)).collect();
        let backward =
            self.backs.iter().enumerate().map(|(j, back)| self.planned_back(j, back, &requests, &slot)).collect();
        let report = Report::new(self.graph, &self.lowered, &self.compiled, &self.backs, &buffers);
        let memory = self.memory(&buffers, memory::peak(&requests.all));
        let lane = |lane: usize| slot(requests.lanes[lane]);
        let kept = |lane: &Option<usize>| lane.filter(|_| self.config.keep).map(|l| slot(requests.lanes[l]));
        let end = |end: &End| PlannedEnd {
            logits: lane(end.logits),
            output: lane(end.output),
            dlogits: requests.grads[end.output].map(&slot),
            weight: end.weight,
        };
        let (input, ends) = (lane(0), self.lowered.ends.iter().map(end).collect());
        let of_node = self.lowered.of_node.iter().map(kept).collect();
        let nodes = self.lowered.acts.iter().map(|a| a.node);
        let acts = nodes
            .zip(self.compiled)
            .zip(bindings)
            .map(|((node, compiled), binding)| PlannedAct { node, step: compiled.step, binding })
            .collect();
        Plan { config: self.config, acts, backward, input, ends, of_node, buffers, first_buffer, report, memory }
    }

    // `buffers` ends with the scratch.
    fn memory(&self, buffers: &[usize], peak: usize) -> PlanMemory {
        let bytes = |numbers: usize| numbers * size_of::<f32>();
        let scratch = buffers.last().copied().unwrap_or(0);
        let trains = self.config.mode == Mode::Train;
        let gradients = self.params.specs.iter().filter(|p| trains && p.trainable).map(|p| p.len()).sum();
        PlanMemory {
            weights: bytes(self.params.specs.iter().map(|p| p.len()).sum()),
            gradients: bytes(gradients),
            values: bytes(buffers.iter().sum::<usize>() - scratch),
            values_at_peak: bytes(peak),
            scratch: bytes(scratch),
        }
    }

    fn binding(&self, i: usize, requests: &Requests, slot: &dyn Fn(usize) -> Slot, scratch: usize) -> Binding {
        let act = &self.lowered.acts[i];
        let own: &[usize] = if act.has_params { &self.params.of_node[act.node] } else { &[] };
        let weight = |p: &usize| Slot::whole(*p, self.params.specs[*p].len());
        let gradient = |p: &usize| {
            let spec = &self.params.specs[*p];
            spec.trainable.then(|| Slot::whole(self.params.specs.len() + p, spec.len()))
        };
        let back = self.back_of(i);
        let target = |k: usize, grad: &Option<Grad>, j: usize| match grad {
            Some(Grad::Lane(lane)) => requests.grads[*lane].map(slot),
            Some(Grad::Extra { .. }) => requests.extras[j][k].map(slot),
            None => None,
        };
        Binding {
            x: act.x.iter().map(|lane| slot(requests.lanes[*lane])).collect(),
            y: Some(slot(requests.lanes[act.y])),
            dx: back
                .map(|j| self.backs[j].dx.iter().enumerate().map(|(k, g)| target(k, g, j)).collect())
                .unwrap_or_default(),
            dy: requests.grads[act.y].map(slot),
            w: own.iter().map(weight).collect(),
            dw: if self.config.mode == Mode::Train { own.iter().map(gradient).collect() } else { Vec::new() },
            saved: requests.saved[i].iter().map(|id| slot(*id)).collect(),
            work: Some(Slot::whole(scratch, self.compiled[i].work)),
        }
    }

    fn planned_back(&self, j: usize, back: &Back, requests: &Requests, slot: &dyn Fn(usize) -> Slot) -> PlannedBack {
        let sum = |(k, grad): (usize, &Option<Grad>)| {
            let from = requests.extras[j][k]?;
            let into = requests.grads[grad.as_ref()?.lane()]?;
            Some((slot(into), slot(from)))
        };
        PlannedBack { act: back.act, accumulate: back.dx.iter().enumerate().filter_map(sum).collect() }
    }
}
