//! How long a plan will take, without running it.
//!
//! ```text
//! time of a pass = a arithmetic + m memory + start
//! arithmetic     = 2 multiply-adds / peak
//! memory         = weights / rate of reading all weights + values / rate of reading eight times as many
//! ```
//!
//! Peak and rates are those of this machine, measured; `a`, `m` and `start` belong to the algorithm or the op. What an act
//! reads was written or read a while ago, with much else since, so that it comes from further away than its own size says.
//! Winograd's `a` is below 1, since it multiplies less than the formula.
//!
//! The paces were fitted to the acts of timed plans (`striate plan --time --json`): nine networks of the zoo from one to
//! 100 samples, prediction and training, one and two threads, on an AMD EPYC with AVX-512. Added up over a plan they come
//! within a third of the measured time there, mostly within 15 %.

use super::floor::bytes;
use super::{Speed, costs};
use crate::conv::Pass;
use crate::plan::{Line, LineWork};

// How much is read, beside what an act itself reads, before the same values are met again.
const BETWEEN: u64 = 8;

/// What a kind of work takes, as multiples of its terms, and beside them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pace {
    arithmetic: f64,
    memory: f64,
    start_us: f64,
}

const fn pace(arithmetic: f64, memory: f64, start_us: f64) -> Pace {
    Pace { arithmetic, memory, start_us }
}

// A pass of a convolution or dense layer by its algorithm.
fn of_algorithm(pass: Pass, algorithm: &str) -> Pace {
    match (pass, algorithm) {
        (Pass::Forward, "winograd") => pace(0.45, 1.3, 35.0),
        (Pass::Forward, "pointwise") => pace(1.15, 0.85, 1.0),
        (Pass::Forward, "depthwise") => pace(3.0, 1.2, 5.0),
        // Layers that run strip by strip.
        (Pass::Forward, "chain") => pace(1.15, 2.7, 1.0),
        (Pass::Forward, _) => pace(1.1, 1.0, 12.0),
        (_, "winograd") => pace(0.63, 0.0, 150.0),
        (_, "depthwise") => pace(0.0, 3.9, 140.0),
        (Pass::BackwardInput, "pointwise") => pace(1.7, 2.4, 0.0),
        (Pass::BackwardInput, _) => pace(1.55, 0.9, 57.0),
        (Pass::BackwardWeights, "packed") => pace(0.6, 4.0, 216.0),
        (Pass::BackwardWeights, _) => pace(1.4, 0.45, 6.0),
    }
}

// Other ops, which have no algorithm: forward or backward.
fn of_class(class: &str, backward: bool) -> Pace {
    match (class, backward) {
        ("BatchNormalization", false) => pace(28.0, 0.7, 20.0),
        ("BatchNormalization", true) => pace(33.0, 0.8, 10.0),
        ("LRN", false) => pace(14.0, 0.5, 0.0),
        ("LRN", true) => pace(19.0, 0.4, 100.0),
        ("MaxPooling2D", false) => pace(0.0, 1.5, 2.0),
        (_, false) => pace(0.0, 1.3, 4.0),
        (_, true) => pace(0.0, 2.9, 7.0),
    }
}

/// The algorithm that an act runs a pass on, as its notes name it: `forward: direct (...)`; of an act of two convolutions,
/// that of the first.
pub fn chosen(line: &Line, pass: Pass) -> Option<&str> {
    let pass = pass.to_string();
    let of = |note: &'_ String| note.split_once(": ").is_some_and(|(start, _)| start.ends_with(&pass));
    let (_, rest) = line.notes.iter().find(|note| of(note))?.split_once(": ")?;
    rest.split(' ').next()
}

/// An estimate of the milliseconds of each act of a plan, forward and backward.
///
/// ```
/// use striate::lab::{Speed, estimate};
/// use striate::plan::{Plan, PlanConfig};
/// let graph = striate::zoo::recipe("resnet-18")?.graph;
/// let speed = Speed::new(500.0, vec![(0, 200.0), (32 << 20, 50.0)]);
/// let (mode, isa) = (striate::ops::Mode::Infer, striate::simd::Isa::best());
/// let config = PlanConfig {
///     batch: 8, mode, strip_head: false, keep: false, recompute: true, isa, threads: 2, algorithm: None,
/// };
/// let plan = Plan::compile(&graph, config)?;
/// let ms: f64 = estimate(&plan.report().lines, 8, &speed).iter().flatten().sum();
/// assert!(ms > 10.0 && ms < 200.0, "{ms}");
/// # Ok::<(), striate::Error>(())
/// ```
pub fn estimate(lines: &[Line], batch: usize, speed: &Speed) -> Vec<[f64; 2]> {
    let all: u64 = lines.iter().map(|line| bytes(line.work.params)).sum();
    lines.iter().map(|line| Act { line, batch, speed, all }.ms()).collect()
}

struct Act<'a> {
    line: &'a Line,
    batch: usize,
    speed: &'a Speed,
    /// Bytes of all weights.
    all: u64,
}

impl Act<'_> {
    fn ms(&self) -> [f64; 2] {
        let LineWork { dx, dw, .. } = self.line.work;
        let forward = [chosen(self.line, Pass::Forward).map(|name| of_algorithm(Pass::Forward, name))];
        let gradients = [(dx, Pass::BackwardInput), (dw, Pass::BackwardWeights)];
        let backward = gradients.map(|(is, pass)| Some(of_algorithm(pass, chosen(self.line, pass)?)).filter(|_| is));
        [self.pass(0, &forward), self.pass(1, &backward)]
    }

    // Forward (0) or backward (1); the parts of a pass, its gradients, share its cost evenly.
    fn pass(&self, i: usize, parts: &[Option<Pace>]) -> f64 {
        let cost = costs(&self.line.work, self.batch)[i];
        if cost.bytes == 0 && cost.mul_adds == 0 {
            return 0.0;
        }
        let parts: Vec<Pace> = parts.iter().flatten().copied().collect();
        let parts = if parts.is_empty() { vec![of_class(self.line.class, i == 1)] } else { parts };
        let weights = (bytes(self.line.work.params) * parts.len() as u64).min(cost.bytes);
        let values = cost.bytes - weights;
        let memory = weights as f64 / self.speed.read(self.all) + values as f64 / self.speed.read(BETWEEN * values);
        let (arithmetic, memory) = (cost.flop() / self.speed.peak / 1e6, memory / 1e6);
        let ms = |p: &Pace| (p.arithmetic * arithmetic + p.memory * memory) / parts.len() as f64 + p.start_us / 1e3;
        parts.iter().map(ms).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Mode;
    use crate::plan::{Plan, PlanConfig};
    use crate::zoo;

    fn speed(peak: f64) -> Speed {
        Speed::new(peak, vec![(0, 200.0), (32 << 20, 50.0)])
    }

    fn lines(network: &str, batch: usize, mode: Mode) -> Vec<Line> {
        let graph = zoo::recipe(network).unwrap().graph;
        let (isa, algorithm) = (crate::simd::Isa::best(), None);
        let config =
            PlanConfig { batch, mode, strip_head: false, keep: false, recompute: true, isa, threads: 2, algorithm };
        Plan::compile(&graph, config).unwrap().report().lines.clone()
    }

    #[test]
    fn a_layer_takes_its_terms_at_its_pace() {
        let work = LineWork { mul_adds: 1_000_000, reads: 10_000, writes: 5_000, params: 2_000, dx: true, dw: true };
        let notes = vec!["forward: pointwise (why)".to_string(), "backward_weights: packed (why)".to_string()];
        let line = Line { layer: "a".into(), class: "Conv2D", notes, shape: [5_000].into(), work };
        assert_eq!(chosen(&line, Pass::Forward), Some("pointwise"));
        assert_eq!(chosen(&line, Pass::BackwardInput), None);
        let [forward, backward] = estimate(std::slice::from_ref(&line), 2, &speed(100.0))[0];
        // 2 samples: 4 MFLOP at 100 GFLOP/s; 8 kB of weights and 120 kB of values at 200 GB/s.
        let memory = (8_000.0 + 120_000.0) / 200.0 / 1e6;
        assert!((forward - (1.15 * 0.04 + 0.85 * memory + 0.001)).abs() < 1e-9, "{forward}");
        // Both gradients' cost at the pace of the one that is named.
        let memory = f64::from(2 * (5_000 + 2 * 10_000) * 4 + 2 * 8_000) / 200.0 / 1e6;
        assert!((backward - (0.6 * 0.08 + 4.0 * memory + 0.216)).abs() < 1e-9, "{backward}");
    }

    #[test]
    fn more_samples_take_longer_and_a_faster_machine_less_time() {
        for network in ["keras-mnist", "resnet-18", "mobilenet-v2"] {
            let sum = |batch: usize, mode: Mode, peak: f64| {
                let lines = lines(network, batch, mode);
                let all = estimate(&lines, batch, &speed(peak));
                assert_eq!(all.len(), lines.len());
                assert!(all.iter().flatten().all(|ms| ms.is_finite() && *ms >= 0.0));
                all.iter().flatten().sum::<f64>()
            };
            let eight = sum(8, Mode::Infer, 500.0);
            assert!(eight > sum(1, Mode::Infer, 500.0) && eight > sum(8, Mode::Infer, 1000.0), "{network}");
            assert!(sum(8, Mode::Train, 500.0) > 2.0 * eight, "{network}");
        }
    }

    #[test]
    fn each_convolution_of_a_plan_names_its_algorithm() {
        let lines = lines("resnet-18", 8, Mode::Train);
        let known = crate::conv::algorithms();
        for line in lines.iter().filter(|line| line.class == "Conv2D") {
            let all = Pass::ALL.map(|pass| chosen(line, pass));
            assert!(all[0].is_some() && all[2].is_some() && all[1].is_some() == line.work.dx, "{}", line.layer);
            assert!(all.iter().flatten().all(|name| known.contains(name)), "{all:?}");
        }
    }
}
