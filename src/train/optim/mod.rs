//! Optimisers: how a gradient changes the weights.
//!
//! One file for each family: its settings with the defaults of Keras 3, its formula, and its loop. An
//! [`Optimizer`] is one of them. [`Optimizer::update`] runs it on one parameter: the weights `w`, their gradient
//! `dw`, and the *state arrays* that it keeps from step to step ([`Optimizer::states`] of them, as long as `w`, all
//! starting at [`Optimizer::initial_state`]). What depends on the step alone, such as `beta^t`, is worked out anew
//! each time in f64, so those arrays and the number of the step are all that a checkpoint has to hold.
//!
//! In the formulas `g` is the gradient, `lr` the learning rate, and `t` the number of the step, from 1. All
//! optimisers take `weight_decay`, which is decoupled as in AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101):
//! `w -= lr weight_decay w` before the step, whatever the gradient.
//!
//! [`Clip`] bounds gradients before they are used.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod clip;
mod nadam;
mod rmsprop;
mod sgd;

use std::ops::DerefMut;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use clip::{Clip, partials, scale, sum_of_squares};
pub use nadam::Nadam;
pub use rmsprop::Rmsprop;
pub use sgd::Sgd;

use super::named::{find, within};
use crate::error::{Error, Result};
use crate::parallel::Team;
use crate::simd::{Isa, mul_add};

/// An optimiser with its settings.
///
/// ```
/// use striate::train::{Optimizer, optim::Adam};
/// let default: Optimizer = "adam".parse()?;
/// let mine = Optimizer::from(Adam { learning_rate: 0.01, ..Adam::default() });
/// assert_eq!((default.states(), mine.learning_rate()), (2, 0.01));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Optimizer {
    /// Gradient descent, with momentum if wanted.
    Sgd(Sgd),
    /// Steps shrink with the sum of all squared gradients.
    Adagrad(Adagrad),
    /// Steps are scaled by a running size of earlier steps.
    Adadelta(Adadelta),
    /// Steps are divided by a running size of the gradients.
    Rmsprop(Rmsprop),
    /// RMSprop and momentum, both corrected for their start at zero.
    Adam(Adam),
    /// Adam with weight decay.
    AdamW(AdamW),
    /// Adam with Nesterov's momentum.
    Nadam(Nadam),
    /// Adam with the largest gradient instead of the running square.
    Adamax(Adamax),
}

/// Where training stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct At {
    /// The number of this step; the first is 1.
    pub step: u64,
    /// The learning rate of this step, as the schedule gives it.
    pub learning_rate: f32,
}

// The most state arrays that any optimiser keeps.
const MOST: usize = 3;

impl Optimizer {
    /// The optimisers' names.
    pub const NAMES: [&'static str; 8] = ["sgd", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam", "adamax"];

    /// The name, as [`str::parse`] takes it.
    pub fn name(&self) -> &'static str {
        let index = match self {
            Self::Sgd(_) => 0,
            Self::Adagrad(_) => 1,
            Self::Adadelta(_) => 2,
            Self::Rmsprop(_) => 3,
            Self::Adam(_) => 4,
            Self::AdamW(_) => 5,
            Self::Nadam(_) => 6,
            Self::Adamax(_) => 7,
        };
        Self::NAMES[index]
    }

    /// The learning rate that was asked for, before any schedule.
    pub fn learning_rate(&self) -> f32 {
        self.rule().rates().0
    }

    /// The same optimiser with another learning rate.
    #[must_use]
    pub fn with_learning_rate(mut self, learning_rate: f32) -> Self {
        *match &mut self {
            Self::Sgd(o) => &mut o.learning_rate,
            Self::Adagrad(o) => &mut o.learning_rate,
            Self::Adadelta(o) => &mut o.learning_rate,
            Self::Rmsprop(o) => &mut o.learning_rate,
            Self::Adam(o) => &mut o.learning_rate,
            Self::AdamW(o) => &mut o.learning_rate,
            Self::Nadam(o) => &mut o.learning_rate,
            Self::Adamax(o) => &mut o.learning_rate,
        } = learning_rate;
        self
    }

    /// How many state arrays each parameter needs, 0 to 3.
    pub fn states(&self) -> usize {
        self.rule().states().iter().flatten().count()
    }

    /// The state arrays' names, in their order, as a checkpoint calls them.
    pub fn state_names(&self) -> impl Iterator<Item = &'static str> {
        self.rule().states().into_iter().flatten()
    }

    /// What every state array is filled with at the start.
    pub fn initial_state(&self) -> f32 {
        self.rule().initial_state()
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// A setting is negative, not finite or out of its range.
    pub fn validate(&self) -> Result<()> {
        let (learning_rate, weight_decay) = self.rule().rates();
        within("learning_rate", learning_rate, 0.0, f64::INFINITY)
            .and_then(|()| within("weight_decay", weight_decay.unwrap_or(0.0), 0.0, f64::INFINITY))
            .and_then(|()| self.rule().validate())
            .map_err(|e| e.within(self.name()))
    }

    /// One step on one parameter: `w` and `state` change, `dw` is read.
    ///
    /// `state` holds the arrays that [`Optimizer::states`] counts, each as long as `w`, as anything that lends a
    /// slice of f32 (`Vec`, [`Aligned`](crate::ops::Aligned), `&mut [f32]`). Nothing is allocated, and the bits do
    /// not depend on the threads.
    ///
    /// # Panics
    /// The lengths do not agree: a mistake of the caller, not of a user.
    pub fn update<S: DerefMut<Target = [f32]>>(
        &self,
        team: Team,
        isa: Isa,
        at: At,
        w: &mut [f32],
        dw: &[f32],
        state: &mut [S],
    ) {
        let lengths = || state.iter().map(|s| s.len()).chain([dw.len()]);
        assert!(state.len() == self.states() && lengths().all(|len| len == w.len()), "{} on bad arrays", self.name());
        let mut state = state.iter_mut();
        let s = std::array::from_fn(|_| state.next().map_or(&mut [][..], |s| &mut **s));
        self.rule().update(Run { team, isa }, at, Arrays { w, dw, s });
    }

    fn rule(&self) -> &dyn Rule {
        match self {
            Self::Sgd(o) => o,
            Self::Adagrad(o) => o,
            Self::Adadelta(o) => o,
            Self::Rmsprop(o) => o,
            Self::Adam(o) => o,
            Self::AdamW(o) => o,
            Self::Nadam(o) => o,
            Self::Adamax(o) => o,
        }
    }
}

impl FromStr for Optimizer {
    type Err = Error;

    /// The optimiser of this name with its default settings; TensorFlow's old names such as `RMSPropOptimizer` are
    /// understood too (E17).
    fn from_str(name: &str) -> Result<Self> {
        let lower = name.to_lowercase();
        let short = lower.strip_suffix("optimizer").unwrap_or(&lower);
        let [sgd, adagrad, adadelta, rmsprop, adam, adamw, nadam, adamax] = Self::NAMES;
        let known = [
            (sgd, Sgd::default().into()),
            (adagrad, Adagrad::default().into()),
            (adadelta, Adadelta::default().into()),
            (rmsprop, Rmsprop::default().into()),
            (adam, Adam::default().into()),
            (adamw, AdamW::default().into()),
            (nadam, Nadam::default().into()),
            (adamax, Adamax::default().into()),
            ("gradientdescent", Sgd::default().into()),
        ];
        find("optimiser", if short.is_empty() { name } else { short }, &known, Self::NAMES.len())
    }
}

/// What a family of optimisers is and does.
trait Rule {
    /// Learning rate and weight decay.
    fn rates(&self) -> (f32, Option<f32>);

    /// The names of the state arrays in use; the first ones of the list.
    fn states(&self) -> [Option<&'static str>; MOST];

    fn initial_state(&self) -> f32 {
        0.0
    }

    /// Checks what is not common to all families.
    fn validate(&self) -> Result<()>;

    fn update(&self, run: Run<'_>, at: At, arrays: Arrays<'_>);

    /// `lr weight_decay`, what is taken from each weight before the step.
    fn decay(&self, at: At) -> f32 {
        (f64::from(at.learning_rate) * f64::from(self.rates().1.unwrap_or(0.0))) as f32
    }
}

/// Who runs an update, and with what.
#[derive(Clone, Copy)]
struct Run<'a> {
    team: Team<'a>,
    isa: Isa,
}

/// One parameter: weights, gradient, state; all of one length, but for states not in use, which are empty.
struct Arrays<'a> {
    w: &'a mut [f32],
    dw: &'a [f32],
    s: [&'a mut [f32]; MOST],
}

// Elements in a piece of parallel work: the five arrays take 160 KiB, and a piece some 5 microseconds.
const CHUNK: usize = 8 * 1024;

impl Arrays<'_> {
    /// Calls `f` with each piece; the cut is made by length alone.
    fn each(self, team: Team, f: &(impl Fn(Arrays<'_>) + Sync)) {
        let Arrays { w, dw, s: [a, b, c] } = self;
        team.chunks_of([w, a, b, c], CHUNK, |i, [w, a, b, c]| {
            let dw = &dw[i * CHUNK..][..w.len()];
            f(Arrays { w, dw, s: [a, b, c] });
        });
    }
}

/// `base^n` by squaring: the same bits everywhere.
fn power(base: f32, n: u64) -> f64 {
    let (mut result, mut square, mut n) = (1.0, f64::from(base), n);
    while n > 0 {
        if n & 1 == 1 {
            result *= square;
        }
        square *= square;
        n >>= 1;
    }
    result
}

/// `1 - beta` as the loops use it.
fn rest(beta: f32) -> f32 {
    (1.0 - f64::from(beta)) as f32
}

/// A running mean: `mean + (1 - beta) (value - mean)`.
#[inline(always)]
fn toward<const FMA: bool>(mean: f32, value: f32, rest: f32) -> f32 {
    mul_add::<FMA>(value - mean, rest, mean)
}

/// `w - decay w`.
#[inline(always)]
fn decayed<const FMA: bool>(w: f32, decay: f32) -> f32 {
    mul_add::<FMA>(-decay, w, w)
}

fn momentum_in_range(momentum: f32) -> Result<()> {
    within("momentum", momentum, 0.0, 1.0)
}

// A share that a running mean keeps: at 1 it would never learn.
fn share(what: &str, value: f32) -> Result<()> {
    within(what, value, 0.0, f64::from(f32::from_bits(1.0_f32.to_bits() - 1)))
        .map_err(|e| Error::argument(e.message()).with_help("it must be at least 0 and below 1"))
}

fn positive(what: &str, value: f32) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::argument(format!("{what} = {value} is out of range"))
        .with_help("it must be above 0, such as 1e-7: a gradient of 0 would give 0 / 0"))
}

#[cfg(test)]
mod tests;
