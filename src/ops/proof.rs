//! What the tests of the ops share.

use crate::error::Result;
use crate::ops::check::{self, Numbers, Options, check, run};
use crate::ops::{Activation, Compiled, Ctx, Fusion, Mode, Op, ParamSpec, Rule, Twin};
use crate::rng::Rng;
use crate::simd::Isa;
use crate::tensor::Shape;

/// The options of most tests.
pub(crate) fn options() -> Options<'static> {
    Options { seed: 11, ..Options::default() }
}

/// An op with what a plan may ask of it in passing, as an op of its own; a residual is its last input.
#[derive(Debug, Clone)]
pub(crate) struct Passing {
    pub op: Op,
    pub lines: Vec<Op>,
    pub residual: bool,
    pub activation: Activation,
}

impl Passing {
    pub fn new(op: impl Into<Op>) -> Self {
        Self { op: op.into(), lines: Vec::new(), residual: false, activation: Activation::Linear }
    }

    fn own<'a, T>(&self, x: &'a [T]) -> &'a [T] {
        &x[..x.len() - usize::from(self.residual)]
    }
}

impl Rule for Passing {
    fn class(&self) -> &'static str {
        self.op.rule().class()
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        self.op.rule().shape(self.own(x))
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let y = self.shape(x).unwrap();
        let lines = self.lines.iter().flat_map(|line| line.rule().params(&[y]));
        self.op.rule().params(self.own(x)).into_iter().chain(lines).collect()
    }

    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
        self.op.rule().mul_adds(self.own(x), y)
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let (lines, residual, activation) = (&*self.lines, self.residual, self.activation);
        let fusion = Fusion { lines, residual, activation, ..Fusion::default() };
        self.op.rule().compile(&Ctx { fusion, ..*ctx })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let shape = self.shape(t.shapes).unwrap();
        let (own, mut w) = t.w.split_at(self.op.rule().params(self.own(t.shapes)).len());
        let mut y = self.op.rule().twin(&Twin { x: self.own(t.x), shapes: self.own(t.shapes), w: own, ..*t });
        for line in &self.lines {
            let (own, rest) = w.split_at(line.rule().params(&[shape]).len());
            y = line.rule().twin(&Twin { x: &[&y], shapes: &[shape], w: own, ..*t });
            w = rest;
        }
        if self.residual {
            y.iter_mut().zip(t.x[t.x.len() - 1]).for_each(|(y, r)| *y += r);
        }
        self.activation.apply_f64(&mut y, shape.channels());
        y
    }
}

/// Checks `rule` against its twin on every instruction set, and asks for equal bits from 1, 2 and 3 threads and from
/// all fused instruction sets.
pub(crate) fn everywhere(rule: &dyn Rule, shapes: &[Shape], batch: usize, bound: f64) {
    in_modes(rule, shapes, batch, &[Mode::Train, Mode::Infer], bound);
}

/// The same in some modes alone.
pub(crate) fn in_modes(rule: &dyn Rule, shapes: &[Shape], batch: usize, modes: &[Mode], bound: f64) {
    // The twin runs twice for each sample, so large inputs get fewer.
    let len: usize = shapes.iter().map(|s| s.len() * batch).sum();
    let samples = (100_000 / len).clamp(4, 64);
    for mode in modes.iter().copied() {
        for isa in Isa::all() {
            let report = check(rule, shapes, Options { batch, mode, isa, samples, ..options() }).unwrap();
            assert!(report.worst() < bound, "{rule:?} on {shapes:?}, {isa}, {mode:?}: {report:?}");
        }
        same_bits(rule, shapes, Options { batch, mode, ..options() });
    }
}

fn same_bits(rule: &dyn Rule, shapes: &[Shape], options: Options<'_>) {
    let numbers = numbers(rule, shapes, options.batch);
    let fused: Vec<Isa> = Isa::all().into_iter().filter(|isa| isa.fused()).collect();
    let outcome = |isa, threads| {
        let o = run(rule, shapes, Options { isa, threads, ..options }, &numbers).unwrap();
        let all = [vec![o.y], o.dx, o.dw, o.w].concat().concat();
        all.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
    };
    let expect = outcome(fused[0], 1);
    for isa in fused {
        for threads in [1, 2, 3] {
            assert!(outcome(isa, threads) == expect, "{rule:?} on {shapes:?}: {isa} with {threads} threads differs");
        }
    }
}

/// Numbers without ties: distinct multiples of 1/64 for the inputs, normal ones for the rest.
pub(crate) fn numbers(rule: &dyn Rule, shapes: &[Shape], batch: usize) -> Numbers {
    let mut rng = Rng::new(5);
    let x = shapes.iter().map(|s| distinct(&mut rng, s.len() * batch)).collect();
    let w = rule.params(shapes).iter().map(|p| (0..p.len()).map(|_| 0.5 + rng.uniform()).collect()).collect();
    let dy = distinct(&mut rng, rule.shape(shapes).unwrap().len() * batch);
    Numbers { x, w, dy }
}

fn distinct(rng: &mut Rng, len: usize) -> Vec<f32> {
    let mut values: Vec<f32> = (0..len).map(|i| (i as f32 - len as f32 / 2.0 + 0.25) / 64.0).collect();
    rng.shuffle(&mut values);
    values
}

/// Compares `rule` with its twin on numbers without ties.
pub(crate) fn without_ties(rule: &dyn Rule, shapes: &[Shape], batch: usize) -> f64 {
    let numbers = numbers(rule, shapes, batch);
    check::check_on(rule, shapes, Options { batch, ..options() }, &numbers).unwrap().worst()
}
