//! The correctness check of an op: forward against its twin, gradients against finite differences.
//!
//! The op runs alone, in f32, as it would in a plan. Its literal formula runs
//! beside it in f64 on the same numbers. The gradient of `L = sum(r * y)`, `r`
//! random, is then compared with the differences of the *twin* to both sides,
//! `(L(v + h) - L(v)) / h` and `(L(v) - L(v - h)) / h`. In f64 they agree to
//! about six digits where `L` is smooth, so what remains is the error of the
//! fast code. At a kink (ReLU at 0, a tie in a max-pool) they differ, and every
//! value between them is a subgradient, so each of those is right.

use crate::error::Result;
use crate::init::Init;
use crate::ops::{Binding, Ctx, Fusion, Io, Memory, Mode, Rule, Slot, Twin};
use crate::parallel::Pool;
use crate::rng::Rng;
use crate::simd::Isa;
use crate::tensor::Shape;

const STEP: f64 = 1e-6;

/// How an op is checked.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Samples in the batch.
    pub batch: usize,
    /// Train or infer; gradients are checked in training alone.
    pub mode: Mode,
    /// The instruction set.
    pub isa: Isa,
    /// Threads.
    pub threads: usize,
    /// Seed of the numbers.
    pub seed: u64,
    /// At most so many elements of each tensor are tried by finite differences.
    pub samples: usize,
    /// The convolution algorithm, where the choice is not left to the engine.
    pub algorithm: Option<&'a str>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { batch: 2, mode: Mode::Train, isa: Isa::best(), threads: 2, seed: 0, samples: 64, algorithm: None }
    }
}

/// The largest errors that were found, each relative to the largest true value of its tensor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Of the output against the twin.
    pub y: f64,
    /// Of the gradient to each input against finite differences.
    pub dx: Vec<f64>,
    /// Of the gradient to each trainable parameter against finite differences, by name.
    pub dw: Vec<(&'static str, f64)>,
}

impl Report {
    /// The largest error of all.
    pub fn worst(&self) -> f64 {
        self.dx.iter().copied().chain(self.dw.iter().map(|d| d.1)).fold(self.y, larger)
    }
}

/// The larger of two errors, where NaN is the largest of all.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::INFINITY } else { a.max(b) }
}

/// Runs `rule` on random numbers for inputs of `shapes`, and compares.
///
/// # Errors
/// The shapes do not fit the op.
pub fn check(rule: &dyn Rule, shapes: &[Shape], options: Options<'_>) -> Result<Report> {
    let rng = Rng::new(options.seed).split("check");
    let y_len = rule.shape(shapes)?.len() * options.batch;
    let x: Vec<Vec<f32>> =
        (0..shapes.len()).map(|i| normal(rng.split("x").split_at(i as u64), shapes[i].len() * options.batch)).collect();
    let w: Vec<Vec<f32>> = rule
        .params(shapes)
        .iter()
        .enumerate()
        .map(|(i, p)| parameter(rng.split("w").split_at(i as u64), p.init, p.len()))
        .collect();
    let dy = normal(rng.split("dy"), y_len);
    check_on(rule, shapes, options, &Numbers { x, w, dy })
}

/// The numbers that an op is checked on.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Inputs.
    pub x: Vec<Vec<f32>>,
    /// Parameters.
    pub w: Vec<Vec<f32>>,
    /// Gradient to the output.
    pub dy: Vec<f32>,
}

/// Runs `rule` on given numbers, and compares.
///
/// # Errors
/// The shapes do not fit the op.
pub fn check_on(rule: &dyn Rule, shapes: &[Shape], options: Options<'_>, numbers: &Numbers) -> Result<Report> {
    let fast = run(rule, shapes, options, numbers)?;
    let wide = |v: &Vec<f32>| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let mut x: Vec<Vec<f64>> = numbers.x.iter().map(wide).collect();
    let mut w: Vec<Vec<f64>> = numbers.w.iter().map(wide).collect();
    let r = wide(&numbers.dy);
    let twin = |x: &[Vec<f64>], w: &[Vec<f64>]| {
        let x: Vec<&[f64]> = x.iter().map(Vec::as_slice).collect();
        let w: Vec<&[f64]> = w.iter().map(Vec::as_slice).collect();
        let rng = Rng::new(options.seed);
        rule.twin(&Twin { batch: options.batch, x: &x, shapes, w: &w, mode: options.mode, rng })
    };
    let y = twin(&x, &w);
    let mut report = Report { y: relative(&fast.y, &y), ..Report::default() };
    if options.mode == Mode::Infer {
        return Ok(report);
    }
    let mut pick = Rng::new(options.seed).split("pick");
    for i in 0..x.len() {
        let (mut got, mut want) = (Vec::new(), Vec::new());
        for at in chosen(&mut pick, x[i].len(), options.samples) {
            let center = x[i][at];
            x[i][at] = center + STEP;
            let plus = twin(&x, &w);
            x[i][at] = center - STEP;
            want.push(subgradient(fast.dx[i][at], [&twin(&x, &w), &y, &plus], &r));
            x[i][at] = center;
            got.push(fast.dx[i][at]);
        }
        report.dx.push(relative(&got, &want));
    }
    for (i, spec) in rule.params(shapes).iter().enumerate().filter(|(_, p)| p.trainable) {
        let (mut got, mut want) = (Vec::new(), Vec::new());
        for at in chosen(&mut pick, w[i].len(), options.samples) {
            let center = w[i][at];
            w[i][at] = center + STEP;
            let plus = twin(&x, &w);
            w[i][at] = center - STEP;
            want.push(subgradient(fast.dw[i][at], [&twin(&x, &w), &y, &plus], &r));
            w[i][at] = center;
            got.push(fast.dw[i][at]);
        }
        report.dw.push((spec.name, relative(&got, &want)));
    }
    Ok(report)
}

// The subgradient of `sum(r * y)` that is nearest to `got`: each output's slope to the left and to the right bound it.
fn subgradient(got: f32, [minus, center, plus]: [&[f64]; 3], r: &[f64]) -> f64 {
    let (mut low, mut high) = (0.0, 0.0);
    for (i, r) in r.iter().enumerate() {
        let (left, right) = (r * (center[i] - minus[i]), r * (plus[i] - center[i]));
        if !(left + right).is_finite() {
            return f64::NAN;
        }
        low += left.min(right) / STEP;
        high += left.max(right) / STEP;
    }
    f64::from(got).max(low).min(high)
}

/// What the fast code computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Output.
    pub y: Vec<f32>,
    /// Gradients to the inputs; empty at inference.
    pub dx: Vec<Vec<f32>>,
    /// Gradients to the parameters; empty for those that are not trainable, and at inference.
    pub dw: Vec<Vec<f32>>,
    /// Parameters afterwards (running statistics change).
    pub w: Vec<Vec<f32>>,
}

/// Runs the fast code of `rule` alone: forward, and in training backward too.
///
/// # Errors
/// The shapes do not fit the op.
pub fn run(rule: &dyn Rule, shapes: &[Shape], options: Options<'_>, numbers: &Numbers) -> Result<Outcome> {
    let y = rule.shape(shapes)?;
    let needs_dx = vec![true; shapes.len()];
    let Options { batch, mode, isa, threads, algorithm, seed, .. } = options;
    let (train, fusion) = (mode == Mode::Train, Fusion::default());
    let prepare = !train;
    let ctx = Ctx { batch, x: shapes, y, mode, isa, threads, needs_dx: &needs_dx, algorithm, fusion, prepare };
    let compiled = rule.compile(&ctx)?;
    let mut memory = Memory::default();
    let mut put = |values: &[f32]| {
        let slot = memory.add(values.len());
        memory.get_mut(slot).copy_from_slice(values);
        slot
    };
    let trainable: Vec<bool> = rule.params(shapes).iter().map(|p| p.trainable).collect();
    // Everything that is written starts as NaN, so that a step that leaves a hole is seen.
    let nan = |len: usize| vec![f32::NAN; len];
    let binding = Binding {
        x: numbers.x.iter().map(|v| put(v)).collect(),
        y: Some(put(&nan(y.len() * batch))),
        dx: numbers.x.iter().map(|v| train.then(|| put(&nan(v.len())))).collect(),
        dx_plus: None,
        dy: Some(put(&numbers.dy)),
        w: numbers.w.iter().map(|v| put(v)).collect(),
        dw: numbers.w.iter().zip(&trainable).map(|(v, t)| (train && *t).then(|| put(&nan(v.len())))).collect(),
        saved: compiled.saved.iter().map(|len| put(&nan(*len))).collect(),
        work: Some(put(&nan(compiled.work))),
        ready: Some(put(&nan(compiled.ready))),
    };
    let pool = Pool::new(threads)?;
    // Backward starts from the same stream, as it does in a plan.
    let rng = Rng::new(seed);
    let (step, lent) = (&*compiled.step, &mut memory);
    pool.run(|team| {
        let io = Io::new(exclusive(lent), &binding, team, rng);
        if prepare {
            step.prepare(&io);
        }
        step.forward(&io);
    });
    let out = memory.get(binding.y.expect("set above")).to_vec();
    if train {
        // What backward did not ask for is spoilt, so that a step that reads it anyway is seen.
        let unread =
            binding.x.iter().filter(|_| !compiled.needs.x).chain(binding.y.iter().filter(|_| !compiled.needs.y));
        unread.for_each(|slot| memory.get_mut(*slot).fill(f32::NAN));
        let lent = &mut memory;
        pool.run(|team| step.backward(&Io::new(exclusive(lent), &binding, team, rng)));
    }
    let read = |slot: &Option<Slot>| slot.map(|s| memory.get(s).to_vec()).unwrap_or_default();
    Ok(Outcome {
        y: out,
        dx: binding.dx.iter().map(read).collect(),
        dw: binding.dw.iter().map(read).collect(),
        w: binding.w.iter().map(|s| memory.get(*s).to_vec()).collect(),
    })
}

// Makes a closure capture the memory as `&mut`, which may move to another thread; `&Memory` may not.
fn exclusive(memory: &mut Memory) -> &Memory {
    memory
}

/// The largest difference, relative to the largest true value.
pub fn relative(got: &[f32], want: &[f64]) -> f64 {
    let scale = want.iter().fold(1e-30_f64, |m, v| m.max(v.abs()));
    got.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).abs() / scale).fold(0.0, larger)
}

fn normal(mut rng: Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.normal() as f32).collect()
}

// Constants (scales, statistics) are jittered around their start; a variance must stay positive.
fn parameter(mut rng: Rng, init: Init, len: usize) -> Vec<f32> {
    let center = match init {
        Init::Ones => 1.0,
        Init::Constant(c) => c,
        _ => return normal(rng, len),
    };
    (0..len).map(|_| center + 0.25 * (rng.uniform() - 0.5)).collect()
}

fn chosen(rng: &mut Rng, len: usize, samples: usize) -> Vec<usize> {
    if len <= samples {
        return (0..len).collect();
    }
    (0..samples).map(|_| rng.below(len as u32) as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_a_kink_each_subgradient_is_right_and_elsewhere_one_value() {
        // ReLU at 0, and at 1, with r = 2.
        let at =
            |got, v: f64| subgradient(got, [&[(v - STEP).max(0.0)], &[v.max(0.0)], &[(v + STEP).max(0.0)]], &[2.0]);
        assert_eq!((at(0.0, 0.0), at(0.7, 0.0) as f32), (0.0, 0.7));
        assert!((at(2.5, 0.0) - 2.0).abs() < 1e-9 && (at(-1.0, 0.0)).abs() < 1e-9);
        assert!([0.0, 1.9, 2.1].iter().all(|got| (at(*got, 1.0) - 2.0).abs() < 1e-9));
        assert!(subgradient(1.0, [&[0.0], &[f64::NAN], &[0.0]], &[1.0]).is_nan());
    }
}
