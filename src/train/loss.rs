//! Losses: what training minimises.
//!
//! A [`Loss`] is the user's choice; [`Loss::compile`] checks it against a batch and makes a [`LossKernel`], whose
//! `forward` gives each sample's loss and whose `backward` gives the gradient of their mean. The cross-entropies
//! read *logits*, the numbers before softmax or sigmoid: fused, neither overflows, and the gradient is `p - t`.
//!
//! Axes: `logits` and `dlogits` are `[n, k]`, `k` outputs for each of `n` samples. The sum over classes is taken in
//! f64 and in order, so the bits depend neither on threads nor on the instruction set.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::named::{find, within};
use crate::error::{Error, Result};
use crate::parallel::Team;
use crate::simd::{Isa, stamp};

/// What training minimises.
///
/// ```
/// use striate::train::Loss;
/// assert_eq!("categorical_crossentropy".parse::<Loss>()?, Loss::CategoricalCrossEntropy { label_smoothing: 0.0 });
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// `-sum_k t_k ln softmax(x)_k`; targets are one-hot, soft, or class numbers.
    CategoricalCrossEntropy {
        /// `e` in `t' = (1 - e) t + e / k` (Szegedy et al. 2016, arXiv:1512.00567).
        #[serde(default)]
        label_smoothing: f32,
    },
    /// As [`Loss::CategoricalCrossEntropy`]; targets are class numbers.
    SparseCategoricalCrossEntropy {
        /// `e` in `t' = (1 - e) t + e / k`.
        #[serde(default)]
        label_smoothing: f32,
    },
    /// `-mean_k (t_k ln s(x_k) + (1 - t_k) ln(1 - s(x_k)))` with the sigmoid `s(x) = 1 / (1 + exp(-x))`.
    BinaryCrossEntropy {
        /// `e` in `t' = (1 - e) t + e / 2`.
        #[serde(default)]
        label_smoothing: f32,
    },
    /// `mean_k (x_k - t_k)^2`, on the outputs as they are.
    MeanSquaredError,
}

/// The truth that a batch is compared with.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// `[n]`: class numbers; with a single output 0 or 1.
    Classes(&'a [u32]),
    /// `[n, k]`: one number for each output.
    Values(&'a [f32]),
}

/// A [`Loss`] for one batch size on one machine; see [`Loss::compile`].
#[derive(Debug, Clone)]
pub struct LossKernel {
    loss: Loss,
    batch: usize,
    outputs: usize,
    /// By class; empty where all weigh 1.
    class_weights: Vec<f32>,
    /// Samples in a piece of parallel work.
    rows: usize,
    exps: fn(f32, &[f32], &mut [f32]),
}

const KNOWN: [(&str, Loss); 6] = [
    ("categorical_cross_entropy", Loss::CategoricalCrossEntropy { label_smoothing: 0.0 }),
    ("sparse_categorical_cross_entropy", Loss::SparseCategoricalCrossEntropy { label_smoothing: 0.0 }),
    ("binary_cross_entropy", Loss::BinaryCrossEntropy { label_smoothing: 0.0 }),
    ("mean_squared_error", Loss::MeanSquaredError),
    ("bce", Loss::BinaryCrossEntropy { label_smoothing: 0.0 }),
    ("mse", Loss::MeanSquaredError),
];

impl Default for Loss {
    /// Categorical cross-entropy without smoothing (D10).
    fn default() -> Self {
        Self::CategoricalCrossEntropy { label_smoothing: 0.0 }
    }
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        find("loss", name, &KNOWN, 4)
    }
}

impl Loss {
    /// How far the targets are pulled towards equality.
    pub fn label_smoothing(&self) -> f32 {
        match *self {
            Self::CategoricalCrossEntropy { label_smoothing }
            | Self::SparseCategoricalCrossEntropy { label_smoothing }
            | Self::BinaryCrossEntropy { label_smoothing } => label_smoothing,
            Self::MeanSquaredError => 0.0,
        }
    }

    /// Checks the settings alone.
    ///
    /// # Errors
    /// Label smoothing is not in 0 to 1.
    pub fn validate(&self) -> Result<()> {
        within("label_smoothing", self.label_smoothing(), 0.0, 1.0)
    }

    /// Checks the targets of `samples` samples, once, before they are trained on.
    ///
    /// # Errors
    /// Their number does not agree, a class is not below the number of classes, or the sparse loss got values.
    pub fn check(&self, targets: Targets<'_>, samples: usize, outputs: usize) -> Result<()> {
        let (got, want) = match targets {
            Targets::Classes(classes) => (classes.len(), samples),
            Targets::Values(values) => (values.len(), samples * outputs),
        };
        if got != want {
            return Err(Error::shape(format!("{got} targets for {samples} samples of {outputs} outputs"))
                .with_help(format!("give {want}")));
        }
        match (self, targets) {
            (_, Targets::Classes(classes)) => check_classes(classes, outputs),
            (Self::SparseCategoricalCrossEntropy { .. }, Targets::Values(_)) => {
                Err(Error::argument("sparse_categorical_cross_entropy needs class numbers, not values")
                    .with_help("use categorical_cross_entropy for one-hot or soft targets"))
            }
            (_, Targets::Values(_)) => Ok(()),
        }
    }

    /// The loss for a batch of `batch` samples with `outputs` outputs each.
    ///
    /// `class_weights` multiply each sample's loss by the weight of its class; as in Keras the mean still divides
    /// by the number of samples. The class of a sample with values is its largest (with a single output: whether it
    /// is at least 0.5).
    ///
    /// # Errors
    /// A setting is out of range, a softmax has a single output, or there is not one weight for each class.
    pub fn compile(&self, isa: Isa, batch: usize, outputs: usize, class_weights: Option<&[f32]>) -> Result<LossKernel> {
        self.validate()?;
        let softmax = !matches!(self, Self::BinaryCrossEntropy { .. } | Self::MeanSquaredError);
        if outputs == 0 || (softmax && outputs == 1) {
            return Err(Error::shape(format!("a cross-entropy over {outputs} classes is always 0"))
                .with_help("use binary_cross_entropy for one output, or give the last layer one output a class"));
        }
        if let Some(weights) = class_weights {
            check_weights(weights, outputs)?;
        }
        let class_weights = class_weights.map(<[f32]>::to_vec).unwrap_or_default();
        let rows = (PIECE / outputs).max(1);
        Ok(LossKernel { loss: *self, batch, outputs, class_weights, rows, exps: exps(isa) })
    }

    /// The literal formula in f64: the mean loss of the samples of `logits` (`[n, outputs]`).
    ///
    /// It forms the probabilities and takes their logarithms, so it overflows where the kernel does not.
    pub fn twin(&self, logits: &[f64], targets: Targets<'_>, outputs: usize, class_weights: Option<&[f32]>) -> f64 {
        let samples = logits.len() / outputs;
        let loss = |i: usize| {
            let truth = Truth::of(targets, i, outputs);
            let t: Vec<f64> = (0..outputs).map(|k| self.smoothed(truth.at(k), outputs)).collect();
            let weight = class_weights.map_or(1.0, |w| f64::from(w[truth.class()]));
            weight * self.twin_of_sample(&logits[i * outputs..(i + 1) * outputs], &t)
        };
        (0..samples).map(loss).sum::<f64>() / samples as f64
    }

    fn twin_of_sample(&self, x: &[f64], t: &[f64]) -> f64 {
        let mean = 1.0 / x.len() as f64;
        let pairs = x.iter().zip(t);
        match self {
            Self::CategoricalCrossEntropy { .. } | Self::SparseCategoricalCrossEntropy { .. } => {
                let sum: f64 = x.iter().map(|x| x.exp()).sum();
                -pairs.map(|(x, t)| t * (x.exp() / sum).ln()).sum::<f64>()
            }
            Self::BinaryCrossEntropy { .. } => {
                let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
                -mean * pairs.map(|(x, t)| t * sigmoid(*x).ln() + (1.0 - t) * sigmoid(-x).ln()).sum::<f64>()
            }
            Self::MeanSquaredError => mean * pairs.map(|(x, t)| (x - t) * (x - t)).sum::<f64>(),
        }
    }

    fn smoothed(&self, t: f32, outputs: usize) -> f64 {
        let sides = if matches!(self, Self::BinaryCrossEntropy { .. }) { 2.0 } else { outputs as f64 };
        let e = f64::from(self.label_smoothing());
        f64::from(t) * (1.0 - e) + e / sides
    }
}

impl LossKernel {
    /// The loss of each of the first `valid` samples in `per_sample` (`[batch]`; 0 for the others), and their sum.
    ///
    /// NaN or infinite logits, or a class out of range, give a loss of NaN or infinity.
    pub fn forward(
        &self,
        team: Team,
        logits: &[f32],
        targets: Targets<'_>,
        valid: usize,
        per_sample: &mut [f32],
    ) -> f64 {
        let k = self.outputs;
        team.chunks(per_sample, self.rows, |piece, chunk| {
            for (i, loss) in (piece * self.rows..).zip(chunk) {
                *loss = if i < valid { self.sample(&logits[i * k..(i + 1) * k], targets, i) } else { 0.0 };
            }
        });
        per_sample[..valid].iter().map(|loss| f64::from(*loss)).sum()
    }

    /// The gradient of the *mean* loss of the first `valid` samples: all of `dlogits` (`[batch, k]`) is written, with
    /// zeros for the other samples.
    pub fn backward(&self, team: Team, logits: &[f32], targets: Targets<'_>, valid: usize, dlogits: &mut [f32]) {
        let k = self.outputs;
        team.chunks(dlogits, self.rows * k, |piece, chunk| {
            for (i, dx) in (piece * self.rows..).zip(chunk.chunks_mut(k)) {
                if i < valid {
                    let truth = Truth::of(targets, i, k);
                    let scale = self.weight(truth) / valid as f64;
                    self.gradient(&logits[i * k..(i + 1) * k], truth, scale, dx);
                } else {
                    dx.fill(0.0);
                }
            }
        });
    }

    /// Samples in a full batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Outputs of a sample.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    fn sample(&self, x: &[f32], targets: Targets<'_>, i: usize) -> f32 {
        let truth = Truth::of(targets, i, self.outputs);
        let t = |k: usize| self.loss.smoothed(truth.at(k), self.outputs);
        let loss = match self.loss {
            Loss::CategoricalCrossEntropy { .. } | Loss::SparseCategoricalCrossEntropy { .. } => self.softmax(x, t),
            Loss::BinaryCrossEntropy { .. } => mean(x, |k, x| softplus(x) - x * t(k)),
            Loss::MeanSquaredError => mean(x, |k, x| (x - t(k)) * (x - t(k))),
        };
        (loss * self.weight(truth)) as f32
    }

    // sum_k t_k (ln sum_j exp(x_j - m) - (x_k - m)), m the largest logit.
    fn softmax(&self, x: &[f32], t: impl Fn(usize) -> f64) -> f64 {
        let m = largest(x);
        let mut buffer = [0.0; 64];
        let mut sum = 0.0;
        for x in x.chunks(buffer.len()) {
            let e = &mut buffer[..x.len()];
            (self.exps)(m, x, e);
            sum = add(sum, e);
        }
        let log_sum = libm::log(sum);
        // 0 times an infinite surprise is 0: a class that is neither true nor possible costs nothing.
        let term = |(k, x): (usize, &f32)| Some(t(k)).filter(|t| *t != 0.0).map(|t| t * (log_sum - difference(*x, m)));
        let loss: f64 = x.iter().enumerate().filter_map(term).sum();
        if log_sum.is_nan() { f64::NAN } else { loss }
    }

    fn gradient(&self, x: &[f32], truth: Truth<'_>, scale: f64, dx: &mut [f32]) {
        let t = |k: usize| self.loss.smoothed(truth.at(k), self.outputs);
        let mean = scale / self.outputs as f64;
        match self.loss {
            Loss::CategoricalCrossEntropy { .. } | Loss::SparseCategoricalCrossEntropy { .. } => {
                // p_k sum_j t_j - t_k; the exponentials wait in dx until their sum is known.
                (self.exps)(largest(x), x, dx);
                let total: f64 = (0..x.len()).map(t).sum();
                let p = total / add(0.0, dx);
                each(dx, |k, e| scale * (f64::from(e) * p - t(k)));
            }
            Loss::BinaryCrossEntropy { .. } => each(dx, |k, _| mean * (sigmoid(f64::from(x[k])) - t(k))),
            Loss::MeanSquaredError => each(dx, |k, _| 2.0 * mean * (f64::from(x[k]) - t(k))),
        }
    }

    // NaN for a class that does not exist, so that it is seen in the loss.
    fn weight(&self, truth: Truth<'_>) -> f64 {
        let class = match truth {
            Truth::Values(_) if self.class_weights.is_empty() => return 1.0,
            _ => truth.class(),
        };
        match self.class_weights.get(class) {
            Some(weight) => f64::from(*weight),
            None if self.class_weights.is_empty() && class < classes(self.outputs) => 1.0,
            None => f64::NAN,
        }
    }
}

/// The truth about one sample.
#[derive(Clone, Copy)]
enum Truth<'a> {
    Class { class: usize, single: bool },
    Values(&'a [f32]),
}

impl<'a> Truth<'a> {
    fn of(targets: Targets<'a>, i: usize, outputs: usize) -> Self {
        match targets {
            Targets::Classes(classes) => Self::Class { class: classes[i] as usize, single: outputs == 1 },
            Targets::Values(values) => Self::Values(&values[i * outputs..(i + 1) * outputs]),
        }
    }

    fn at(self, k: usize) -> f32 {
        match self {
            Self::Class { class, single: true } => class as f32,
            Self::Class { class, single: false } => f32::from(u8::from(class == k)),
            Self::Values(values) => values[k],
        }
    }

    fn class(self) -> usize {
        match self {
            Self::Class { class, .. } => class,
            Self::Values([value]) => usize::from(*value >= 0.5),
            Self::Values(values) => {
                (1..values.len()).fold(0, |best, k| if values[k] > values[best] { k } else { best })
            }
        }
    }
}

// Outputs in a piece of parallel work: some 50 microseconds.
const PIECE: usize = 4096;

fn classes(outputs: usize) -> usize {
    outputs.max(2)
}

fn check_classes(numbers: &[u32], outputs: usize) -> Result<()> {
    let classes = classes(outputs);
    match numbers.iter().position(|class| *class as usize >= classes) {
        None => Ok(()),
        Some(i) => {
            Err(Error::argument(format!("sample {i} has class {}, but there are {classes} classes", numbers[i]))
                .with_help(format!("classes are numbered 0 to {}", classes - 1)))
        }
    }
}

fn check_weights(weights: &[f32], outputs: usize) -> Result<()> {
    if weights.len() != classes(outputs) {
        return Err(Error::shape(format!("{} class weights for {} classes", weights.len(), classes(outputs)))
            .with_help("give one weight for each class"));
    }
    let check =
        |(class, weight): (usize, &f32)| within(&format!("the weight of class {class}"), *weight, 0.0, f64::INFINITY);
    weights.iter().enumerate().try_for_each(check)
}

// NaN if any is NaN.
fn largest(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |m, x| if *x > m || x.is_nan() { *x } else { m })
}

fn difference(a: f32, b: f32) -> f64 {
    f64::from(a) - f64::from(b)
}

fn add(start: f64, terms: &[f32]) -> f64 {
    terms.iter().fold(start, |sum, term| sum + f64::from(*term))
}

fn mean(x: &[f32], f: impl Fn(usize, f64) -> f64) -> f64 {
    x.iter().enumerate().map(|(k, x)| f(k, f64::from(*x))).sum::<f64>() / x.len() as f64
}

fn each(dx: &mut [f32], f: impl Fn(usize, f32) -> f64) {
    dx.iter_mut().enumerate().for_each(|(k, dx)| *dx = f(k, *dx) as f32);
}

// ln(1 + exp(x)) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

fn sigmoid(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

// e = exp(x - m)
#[inline(always)]
fn exps_body<const FMA: bool, const LANES: usize>(m: f32, x: &[f32], e: &mut [f32]) {
    for (e, x) in e.iter_mut().zip(x) {
        *e = libm::expf(x - m);
    }
}

stamp! {
    fn exps(m: f32, x: &[f32], e: &mut [f32]) = exps_body[FMA, LANES];
}

#[cfg(test)]
mod tests;
