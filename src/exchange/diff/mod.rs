//! What differs between two models, from where on, and why.
//!
//! Both get the same samples. Layers are paired however the two networks are cut, named and ordered; the outputs of each
//! pair are compared. From the first pair that deviates on, each layer of B is run alone, *fed with what A's layer was
//! fed*: so a layer that computes differently is told from one that merely passes on an error. For the first of
//! those, guesses are made, and each is tried on that layer alone: the kernel turned, the padding of the other network, another
//! epsilon, the channels in another order, A's weights, and so on. A guess comes with the error before and after.
//!
//! ```
//! use striate::exchange::diff::{DiffConfig, diff};
//! use striate::ops::{Activation, Dense, Flatten};
//! use striate::Sequential;
//!
//! let net = |last| Sequential::new([4, 4, 1]).add(Flatten::new()).add(Dense::new(3).activation(last)).build(7);
//! let found = diff(&net(Activation::Relu)?, &net(Activation::Tanh)?, None, &DiffConfig::default())?;
//! assert!(!found.equal());
//! assert_eq!(found.guesses[0].what, "activation of 'dense': relu in A, tanh in B");
//! # Ok::<(), striate::Error>(())
//! ```

mod align;
mod alone;
mod inputs;
mod settings;
mod trial;
mod why;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::session::{Machine, Session};
use crate::tensor::Tensor;

use align::{Block, blocks, pairs, stages};

pub use inputs::Origin;

// Samples that run at once: all values of all layers are kept, for both models.
const BATCH: usize = 4;

/// How two models are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffConfig {
    /// The largest error that counts as equal, relative to the largest value of a layer.
    ///
    /// Sums of f32 in another order differ by about `sqrt(n)` half-ulps for `n` terms, 3e-6 for the 4,608 terms of a 3x3
    /// convolution over 512 channels; 1e-4 leaves room for some hundred layers of those.
    pub tolerance: f64,
    /// Random samples to draw, where none are given.
    pub samples: usize,
    /// Their seed.
    pub seed: u64,
    /// The machine to run on.
    pub machine: Machine,
}

impl Default for DiffConfig {
    fn default() -> Self {
        Self { tolerance: 1e-4, samples: 2, seed: 0, machine: Machine::default() }
    }
}

/// How far numbers of B are from those of A.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// The largest difference; infinite where one is not a number.
    pub max_abs: f64,
    /// The largest number of A.
    pub largest: f64,
}

impl Gap {
    /// Between two lists; `None` if they have not the same length.
    pub fn between(a: &[f32], b: &[f32]) -> Option<Self> {
        let mut gap = Self { max_abs: 0.0, largest: 0.0 };
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let difference = (a - b).abs();
            gap.max_abs = if difference.is_nan() { f64::INFINITY } else { gap.max_abs.max(difference) };
            gap.largest = gap.largest.max(a.abs());
        }
        (a.len() == b.len()).then_some(gap)
    }

    /// The largest difference, relative to the largest number of A.
    pub fn relative(&self) -> f64 {
        match self.max_abs {
            0.0 => 0.0,
            // Infinity by infinity would be no number.
            difference if difference.is_infinite() => f64::INFINITY,
            difference => difference / self.largest.max(1e-30),
        }
    }

    fn merge(self, other: Self) -> Self {
        Self { max_abs: self.max_abs.max(other.max_abs), largest: self.largest.max(other.largest) }
    }
}

/// Two layers that stand for each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The layer of A.
    pub a: String,
    /// The layer of B.
    pub b: String,
    /// The class of A's.
    pub class: &'static str,
    /// How far their outputs are apart; `None` if they have not the same size.
    pub gap: Option<Gap>,
    /// The relative error that B's layer makes by itself, on the input that A's had; `None` where it was not run alone.
    pub own: Option<f64>,
}

impl Pair {
    /// Whether the outputs are further apart than this.
    pub fn deviates(&self, tolerance: f64) -> bool {
        !self.gap.is_some_and(|gap| gap.relative() <= tolerance)
    }
}

/// A guess at why a layer deviates, tried on that layer alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// What may be different.
    pub what: String,
    /// The relative error of the layer alone as it is; infinite where the sizes differ.
    pub before: f64,
    /// And with that put right.
    pub after: f64,
    /// Of the other layers that deviate by themselves: how many the same explains, and how many there are.
    pub others: (usize, usize),
}

/// A hyper-parameter that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The layer of A.
    pub a: String,
    /// The layer of B.
    pub b: String,
    /// The hyper-parameter.
    pub name: String,
    /// Its value in A.
    pub in_a: String,
    /// Its value in B.
    pub in_b: String,
}

/// How two parameters are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// The same bits.
    Bits,
    /// One is the other rounded to half precision.
    F16,
    /// One is the other rounded to bfloat16.
    Bf16,
    /// Other numbers.
    Differs,
    /// Other sizes.
    Sizes,
}

/// Two parameters that stand for each other.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamPair {
    /// The parameter of A.
    pub a: String,
    /// The parameter of B.
    pub b: String,
    /// How far they are apart; `None` if they have not the same size.
    pub gap: Option<Gap>,
    /// How they are alike.
    pub likeness: Likeness,
}

/// What differs between two models.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    /// What both were run on.
    pub origin: Origin,
    /// The largest relative error that counts as equal.
    pub tolerance: f64,
    /// How far the outputs are apart; `None` if they have not the same size.
    pub output: Option<Gap>,
    /// The layers that stand for each other, in the order of A's edges.
    pub layers: Vec<Pair>,
    /// The first of `layers` whose outputs deviate.
    pub first: Option<usize>,
    /// Those of `layers` that deviate by themselves, on A's own input.
    pub culprits: Vec<usize>,
    /// Why the first culprit deviates, the best guess first.
    pub guesses: Vec<Guess>,
    /// Layers of A that have no counterpart.
    pub only_a: Vec<String>,
    /// Layers of B that have no counterpart.
    pub only_b: Vec<String>,
    /// Hyper-parameters that are not the same.
    pub settings: Vec<Setting>,
    /// All parameters that stand for each other.
    pub weights: Vec<ParamPair>,
}

impl Diff {
    /// Whether the outputs are equal within the tolerance.
    pub fn equal(&self) -> bool {
        self.output.is_some_and(|gap| gap.relative() <= self.tolerance)
    }
}

/// Compares model `b` with model `a`, on samples `[n, ...input shape]`.
///
/// Without samples the golden ones of `a` are taken, else those of `b`, else random numbers (normal, of variance 1).
///
/// # Errors
/// The inputs of the models have not the same shape, or the samples have another.
pub fn diff(a: &Model, b: &Model, samples: Option<&Tensor>, config: &DiffConfig) -> Result<Diff> {
    let (x, origin) = inputs::choose(a, b, samples, config)?;
    let (of_a, of_b) = (blocks(a.graph()), blocks(b.graph()));
    let paired = pairs((a.graph(), &of_a), (b.graph(), &of_b));
    let points = points(&of_a, &of_b, &paired);
    let mut sessions = Sessions::new(a, b, config)?;
    let measured = sessions.measure(&x, &points, config.tolerance)?;
    let name = |model: &Model, node: usize| model.graph().nodes()[node].name.clone();
    let pair = |(point, gap): (&Point<'_>, &Option<Gap>)| Pair {
        a: name(a, point.node_a()),
        b: name(b, point.node_b()),
        class: a.graph().nodes()[point.node_a()].op.rule().class(),
        gap: *gap,
        own: None,
    };
    let alone = |model, blocks: &[Block], used: &dyn Fn(usize) -> bool| {
        let left = blocks.iter().enumerate().filter(|(i, _)| !used(*i));
        left.flat_map(|(_, b)| b.stages.iter().filter(|s| s.settled)).map(|s| name(model, s.node)).collect()
    };
    let both = || paired.iter().map(|(i, j)| (&of_a[*i], &of_b[*j]));
    let mut found = Diff {
        origin,
        tolerance: config.tolerance,
        output: measured.output,
        layers: points.iter().zip(&measured.gaps).map(pair).collect(),
        first: measured.first.map(|(point, _)| point),
        culprits: Vec::new(),
        guesses: Vec::new(),
        only_a: alone(a, &of_a, &|i| paired.iter().any(|p| p.0 == i)),
        only_b: alone(b, &of_b, &|j| paired.iter().any(|p| p.1 == j)),
        settings: both().flat_map(|(x, y)| settings::compare((a.graph(), x), (b.graph(), y))).collect(),
        weights: both().flat_map(|(x, y)| settings::weights((a, x), (b, y))).collect(),
    };
    if let Some((_, chunk)) = measured.first {
        let chunk = &x.data()[chunk * BATCH * sessions.sample..];
        let chunk = &chunk[..chunk.len().min(BATCH * sessions.sample)];
        trial::explain(&mut found, &mut sessions, chunk, &points)?;
    }
    Ok(found)
}

/// How far the outputs of two models are apart on samples `[n, ...input shape]`; `None` if they have not the same size.
///
/// # Errors
/// As [`diff`].
pub fn outputs(a: &Model, b: &Model, samples: Option<&Tensor>, config: &DiffConfig) -> Result<Option<Gap>> {
    let (x, _) = inputs::choose(a, b, samples, config)?;
    Ok(Sessions::new(a, b, config)?.measure(&x, &[], config.tolerance)?.output)
}

/// A place where values of both models are compared.
struct Point<'a> {
    a: &'a Block,
    b: &'a Block,
    /// The stages that are compared.
    at: (usize, usize),
    /// The stages after the comparison before, within the same blocks.
    from: (usize, usize),
}

impl Point<'_> {
    fn node_a(&self) -> usize {
        self.a.stages[self.at.0].node
    }

    fn node_b(&self) -> usize {
        self.b.stages[self.at.1].node
    }
}

fn points<'a>(of_a: &'a [Block], of_b: &'a [Block], paired: &[(usize, usize)]) -> Vec<Point<'a>> {
    let mut points = Vec::new();
    for (i, j) in paired {
        let (a, b) = (&of_a[*i], &of_b[*j]);
        let mut from = (0, 0);
        for at in stages(a, b) {
            points.push(Point { a, b, at, from });
            from = (at.0 + 1, at.1 + 1);
        }
    }
    points
}

/// Both models, ready to run.
struct Sessions<'a> {
    a: &'a Model,
    b: &'a Model,
    run_a: Session,
    run_b: Session,
    /// Values of a sample.
    sample: usize,
}

struct Measured {
    output: Option<Gap>,
    gaps: Vec<Option<Gap>>,
    /// The first point that deviates, and the chunk of samples where it does so most.
    first: Option<(usize, usize)>,
}

impl<'a> Sessions<'a> {
    fn new(a: &'a Model, b: &'a Model, config: &DiffConfig) -> Result<Self> {
        let (run_a, run_b) = (Session::new(a, config.machine.clone())?, Session::new(b, config.machine.clone())?);
        Ok(Self { a, b, run_a, run_b, sample: a.graph().input_shape()?.len() })
    }

    fn measure(&mut self, x: &Tensor, points: &[Point<'_>], tolerance: f64) -> Result<Measured> {
        let mut output: Option<Option<Gap>> = None;
        let mut by_chunk: Vec<Vec<Option<Gap>>> = Vec::new();
        let merge = |a: Option<Gap>, b: Option<Gap>| a.zip(b).map(|(a, b)| a.merge(b));
        for x in x.data().chunks(BATCH * self.sample) {
            let batch = x.len() / self.sample;
            self.run_a.look(x, batch)?;
            self.run_b.look(x, batch)?;
            let here = Gap::between(&self.run_a.output(), &self.run_b.output());
            output = Some(output.map_or(here, |before| merge(before, here)));
            let gap =
                |p: &Point<'_>| Ok(Gap::between(self.value_a(p.node_a())?.data(), self.value_b(p.node_b())?.data()));
            by_chunk.push(points.iter().map(gap).collect::<Result<_>>()?);
        }
        let output = output.ok_or_else(|| Error::argument("there are no samples to compare on"))?;
        let all = |i: usize| by_chunk.iter().map(|c| c[i]).reduce(merge).flatten();
        let gaps: Vec<Option<Gap>> = (0..points.len()).map(all).collect();
        let error = |gap: &Option<Gap>| gap.map_or(f64::INFINITY, |g| g.relative());
        let first = gaps.iter().position(|gap| error(gap) > tolerance).map(|point| {
            let worst =
                (0..by_chunk.len()).max_by(|i, j| error(&by_chunk[*i][point]).total_cmp(&error(&by_chunk[*j][point])));
            (point, worst.unwrap_or(0))
        });
        Ok(Measured { output, gaps, first })
    }

    fn value_a(&self, node: usize) -> Result<Tensor> {
        self.run_a.value(&self.a.graph().nodes()[node].name)
    }

    fn value_b(&self, node: usize) -> Result<Tensor> {
        self.run_b.value(&self.b.graph().nodes()[node].name)
    }
}
