//! The museum of mistakes: real bugs of convolutional networks, switched on in a sandbox.
//!
//! Each exhibit trains a small network twice, with and without the mistake, on a part of MNIST. The loss falls either
//! way; two checks tell the truth, *forward against its formula* and *gradients against finite differences*, and they
//! tell different things. The sandbox is an implementation of its own by im2col and loops (`sandbox.rs`), which nothing
//! outside of this folder can reach.
//!
//! D1 to D5 are mistakes of the notes that this project began with; the other two are as common.

mod check;
mod exhibits;
mod report;
mod sandbox;

pub use check::Check;
pub use exhibits::{Exhibit, exhibits};

use serde::Serialize;

use crate::data::{self, Dataset};
use crate::error::{Error, Result, unknown};
use crate::rng::Rng;
use sandbox::{Net, SIDE, Size};

// A mistake that the sandbox can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    NoStep,
    ScrambledFilters,
    TwoLayouts,
    EmptyCol2im,
    LostTranspose,
    QuarterGradient,
    Overwrites,
}

/// How an exhibit is run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VisitConfig {
    /// Updates of plain gradient descent.
    pub updates: u32,
    /// Images in a batch.
    pub batch: usize,
    /// The learning rate.
    pub rate: f64,
    /// Images to train on, the first of MNIST.
    pub images: usize,
    /// Images of the test set to measure on.
    pub test: usize,
    /// Kernels of the convolution.
    pub kernels: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Seed of weights and order.
    pub seed: u64,
}

impl Default for VisitConfig {
    fn default() -> Self {
        Self { updates: 200, batch: 50, rate: 0.1, images: 3000, test: 1000, kernels: 8, hidden: 50, seed: 0 }
    }
}

impl VisitConfig {
    fn check(&self) -> Result<()> {
        let sizes = [self.updates as usize, self.batch, self.images, self.test, self.kernels, self.hidden];
        let fits = sizes.iter().all(|s| (1..=100_000).contains(s)) && self.batch <= self.images && self.kernels <= 64;
        if fits && self.rate.is_finite() && self.rate > 0.0 {
            return Ok(());
        }
        Err(Error::argument(format!("the sandbox cannot run with {self:?}")).with_help(
            "sizes are 1 to 100,000, a batch is at most all images, kernels are at most 64, the rate is above 0",
        ))
    }
}

/// A training run in the sandbox.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// The loss of each update.
    pub loss: Vec<f64>,
    /// The share of right answers on the test images.
    pub accuracy: f64,
    /// How far the filters moved from their start, as a share of their size.
    pub moved: f64,
}

impl Run {
    /// The mean loss of the last tenth of the updates.
    pub fn last_loss(&self) -> f64 {
        let tail = &self.loss[self.loss.len() - self.loss.len().div_ceil(10)..];
        tail.iter().sum::<f64>() / tail.len() as f64
    }
}

/// What an exhibit showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// The exhibit.
    pub exhibit: &'static Exhibit,
    /// How it was run.
    pub config: VisitConfig,
    /// Training without the mistake.
    pub right: Run,
    /// Training with it.
    pub wrong: Run,
    /// With the mistake: each layer's output against its formula.
    pub formula: Vec<Check>,
    /// With the mistake: each gradient against finite differences.
    pub gradients: Vec<Check>,
    /// Numbers that belong to this mistake.
    pub facts: Vec<String>,
}

/// The exhibit of this name.
///
/// # Errors
/// There is none; the message names all.
pub fn exhibit(id: &str) -> Result<&'static Exhibit> {
    let found = exhibits().iter().find(|e| e.id.eq_ignore_ascii_case(id));
    found.ok_or_else(|| unknown("exhibit", id, exhibits().iter().map(|e| e.id)))
}

/// Runs exhibits; the run without a mistake is made once. `told` hears of each visit as it ends.
///
/// ```
/// use striate::inspect::museum::{VisitConfig, exhibit, visit};
/// let config = VisitConfig { updates: 5, batch: 10, images: 50, test: 50, kernels: 2, hidden: 8, ..VisitConfig::default() };
/// let visits = visit(&[exhibit("D4")?], &config, &mut |_| {})?;
/// assert_eq!(visits[0].wrong.moved, 0.0);
/// assert!(visits[0].gradients.iter().any(|check| check.name == "W1" && !check.passed()));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// A setting that makes no sense.
pub fn visit(exhibits: &[&'static Exhibit], config: &VisitConfig, told: &mut dyn FnMut(&Visit)) -> Result<Vec<Visit>> {
    config.check()?;
    let mnist = data::load("mnist")?;
    let (train, test) = (Images::first(&*mnist.train, config.images)?, Images::first(&*mnist.test, config.test)?);
    let right = run(config, None, (&train, &test));
    let mut all = Vec::new();
    for exhibit in exhibits {
        let wrong = run(config, Some(exhibit.bug), (&train, &test));
        let net = net(config, Some(exhibit.bug));
        let (formula, gradients) = (check::formula(&net, &train), check::gradients(&net, &train));
        let facts = report::facts(exhibit.bug, &net, &wrong);
        let (config, right) = (config.clone(), right.clone());
        let visit = Visit { exhibit, config, right, wrong, formula, gradients, facts };
        told(&visit);
        all.push(visit);
    }
    Ok(all)
}

// Images of 28x28 and their labels.
struct Images {
    pixels: Vec<f64>,
    labels: Vec<usize>,
}

impl Images {
    fn first(set: &dyn Dataset, n: usize) -> Result<Self> {
        let (n, len) = (n.min(set.len()), SIDE * SIDE);
        let mut pixels = Vec::with_capacity(n * len);
        let mut x = vec![0.0; len];
        for i in 0..n {
            set.fill(i, &mut x)?;
            pixels.extend(x.iter().map(|v| f64::from(*v)));
        }
        Ok(Self { pixels, labels: (0..n).map(|i| set.label(i) as usize).collect() })
    }

    // Some of them, side by side.
    fn some(&self, which: &[usize]) -> (Vec<f64>, Vec<usize>) {
        let len = SIDE * SIDE;
        let pixels = which.iter().flat_map(|i| &self.pixels[i * len..(i + 1) * len]).copied().collect();
        (pixels, which.iter().map(|i| self.labels[*i]).collect())
    }
}

fn net(config: &VisitConfig, bug: Option<Bug>) -> Net {
    Net::new(Size { kernels: config.kernels, hidden: config.hidden }, bug, config.seed)
}

fn run(config: &VisitConfig, bug: Option<Bug>, (train, test): (&Images, &Images)) -> Run {
    let mut net = net(config, bug);
    let start = net.params.0[0].clone();
    let mut rng = Rng::new(config.seed).split("order");
    let mut order: Vec<usize> = (0..train.labels.len()).collect();
    let mut loss = Vec::new();
    let batch = config.batch.min(order.len());
    let mut at = order.len();
    for _ in 0..config.updates {
        if at + batch > order.len() {
            rng.shuffle(&mut order);
            at = 0;
        }
        let (x, labels) = train.some(&order[at..at + batch]);
        at += batch;
        let trace = net.forward(&x, &labels);
        loss.push(trace.loss);
        let (gradients, _) = net.backward(&trace, &labels);
        net.update(&gradients, config.rate);
    }
    Run { loss, accuracy: accuracy(&net, test), moved: check::distance(&net.params.0[0], &start) }
}

fn accuracy(net: &Net, test: &Images) -> f64 {
    let all: Vec<usize> = (0..test.labels.len()).collect();
    let right = |which: &[usize]| {
        let (x, labels) = test.some(which);
        net.forward(&x, &labels).right
    };
    all.chunks(100).map(right).sum::<usize>() as f64 / all.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> VisitConfig {
        VisitConfig { updates: 60, batch: 20, images: 400, test: 200, kernels: 3, hidden: 16, ..VisitConfig::default() }
    }

    fn failed(checks: &[Check]) -> Vec<&str> {
        checks.iter().filter(|c| !c.passed()).map(|c| c.name.as_str()).collect()
    }

    // Without a mistake the sandbox is right: both checks pass, on every tensor.
    #[test]
    fn the_sandbox_is_right_without_a_mistake() {
        let train = Images::first(&data::mnist::train().unwrap(), 20).unwrap();
        let net = net(&small(), None);
        let (formula, gradients) = (check::formula(&net, &train), check::gradients(&net, &train));
        assert_eq!((formula.len(), gradients.len()), (2, 7));
        for check in formula.iter().chain(&gradients) {
            assert!(check.error < 1e-5, "{check:?}");
        }
    }

    // D1 to D5 and the two others: which check finds which, and what the loss says meanwhile.
    #[test]
    fn d1_d5_every_mistake_is_found_by_a_check_while_the_loss_falls() {
        let all: Vec<&Exhibit> = exhibits().iter().collect();
        let mut heard = 0;
        let visits = visit(&all, &small(), &mut |_| heard += 1).unwrap();
        assert_eq!((visits.len(), heard), (7, 7));
        let found: Vec<(&str, Vec<&str>, Vec<&str>)> =
            visits.iter().map(|v| (v.exhibit.id, failed(&v.formula), failed(&v.gradients))).collect();
        let wanted: Vec<(&str, Vec<&str>, Vec<&str>)> = vec![
            ("D1", vec!["pooling"], vec![]),
            ("D2", vec!["convolution"], vec![]),
            ("D3", vec!["convolution"], vec!["W1"]),
            ("D4", vec![], vec!["W1", "b1", "x"]),
            ("D5", vec![], vec!["W1", "b1", "x"]),
            ("quarter", vec![], vec!["W1", "b1", "x"]),
            ("overwrite", vec![], vec!["W1"]),
        ];
        assert_eq!(found, wanted);
        for v in &visits {
            assert!(v.wrong.last_loss() < 0.75 * v.wrong.loss[0], "{}: the loss falls", v.exhibit.id);
        }
        let by = |id: &str| visits.iter().find(|v| v.exhibit.id == id).unwrap();
        // D1: of the pool's 24x24 input, 14x14 pixels are ever read.
        assert_eq!(net(&small(), Some(Bug::NoStep)).pixels_read(), 196);
        assert_eq!(net(&small(), None).pixels_read(), 576);
        // D4: the filters never learn, all their gradients being 0.
        assert_eq!(by("D4").wrong.moved, 0.0);
        assert!((by("D4").gradients[0].error - 1.0).abs() < 1e-9);
        // D3: an error of more than the whole.
        assert!(by("D3").gradients[0].error > 1.0, "{:?}", by("D3").gradients[0]);
        assert!((by("quarter").gradients[0].error - 0.75).abs() < 1e-3, "{:?}", by("quarter").gradients[0]);
    }

    // D2 only renames its weights: with the same numbers in the other order it is the right network.
    #[test]
    fn d2_learns_like_the_right_one() {
        let train = Images::first(&data::mnist::train().unwrap(), 10).unwrap();
        let (x, labels) = train.some(&[0, 1, 2, 3]);
        let right = net(&small(), None);
        let mut scrambled = net(&small(), Some(Bug::ScrambledFilters));
        let (taps, kernels) = (sandbox::KERNEL * sandbox::KERNEL, small().kernels);
        let w = &right.params.0[0];
        scrambled.params.0[0] = (0..taps * kernels).map(|i| w[i % kernels * taps + i / kernels]).collect();
        assert_eq!(right.forward(&x, &labels).loss, scrambled.forward(&x, &labels).loss);
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_bad_settings_are_refused() {
        let config = VisitConfig { updates: 4, ..small() };
        let go = || visit(&[exhibit("quarter").unwrap()], &config, &mut |_| {}).unwrap();
        assert_eq!(go(), go());
        assert!(exhibit("d3").is_ok());
        assert!(exhibit("D9").unwrap_err().to_string().contains("known: D1, D2, D3, D4, D5, quarter, overwrite"));
        for bad in [
            VisitConfig { batch: 500, ..small() },
            VisitConfig { updates: 0, ..small() },
            VisitConfig { rate: f64::NAN, ..small() },
        ] {
            assert!(visit(&[], &bad, &mut |_| {}).unwrap_err().to_string().contains("cannot run"));
        }
    }
}
