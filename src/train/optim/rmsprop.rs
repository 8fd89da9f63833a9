//! RMSprop.

use serde::{Deserialize, Serialize};

use super::{Arrays, At, MOST, Optimizer, Rule, Run, decayed, momentum_in_range, positive, rest, share, toward};
use crate::error::Result;
use crate::simd::{mul_add, stamp};

/// RMSprop: `v = rho v + (1 - rho) g^2`, `w -= lr g / sqrt(v + epsilon)` (Tieleman and Hinton 2012, lecture 6.5).
///
/// Centered, `v - a^2` stands for `v`, where `a` is the running mean of `g` (Graves 2013, arXiv:1308.0850). With
/// momentum `m = momentum m + lr g / sqrt(v + epsilon)`, `w -= m`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rmsprop {
    /// Learning rate; 0.001 unless said otherwise.
    pub learning_rate: f32,
    /// How much of the running square is kept, below 1.
    pub rho: f32,
    /// How much of the last step is kept, 0 to 1.
    pub momentum: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
    /// Whether the variance is used instead of the mean square.
    pub centered: bool,
    /// Decoupled weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
}

impl Default for Rmsprop {
    fn default() -> Self {
        Self { learning_rate: 0.001, rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false, weight_decay: None }
    }
}

impl From<Rmsprop> for Optimizer {
    fn from(settings: Rmsprop) -> Self {
        Self::Rmsprop(settings)
    }
}

impl Rule for Rmsprop {
    fn rates(&self) -> (f32, Option<f32>) {
        (self.learning_rate, self.weight_decay)
    }

    fn states(&self) -> [Option<&'static str>; MOST] {
        match (self.momentum > 0.0, self.centered) {
            (false, false) => [Some("velocity"), None, None],
            (true, false) => [Some("velocity"), Some("momentum"), None],
            (false, true) => [Some("velocity"), Some("average_gradient"), None],
            (true, true) => [Some("velocity"), Some("average_gradient"), Some("momentum")],
        }
    }

    fn validate(&self) -> Result<()> {
        share("rho", self.rho)?;
        momentum_in_range(self.momentum)?;
        positive("epsilon", self.epsilon)
    }

    fn update(&self, run: Run<'_>, at: At, arrays: Arrays<'_>) {
        let c = Constants {
            lr: at.learning_rate,
            decay: self.decay(at),
            rest: rest(self.rho),
            momentum: self.momentum,
            epsilon: self.epsilon,
        };
        let step = match (self.momentum > 0.0, self.centered) {
            (false, false) => plain(run.isa),
            (true, false) => with_momentum(run.isa),
            (false, true) => centered(run.isa),
            (true, true) => centered_with_momentum(run.isa),
        };
        arrays.each(run.team, &|a| step(&c, a));
    }
}

struct Constants {
    lr: f32,
    decay: f32,
    rest: f32,
    momentum: f32,
    epsilon: f32,
}

impl Constants {
    // lr g / sqrt(v + epsilon)
    #[inline(always)]
    fn step(&self, g: f32, v: f32) -> f32 {
        self.lr * g / (v + self.epsilon).sqrt()
    }

    // As `step`, by the variance; rounding must not make it negative.
    #[inline(always)]
    fn centered<const FMA: bool>(&self, g: f32, v: f32, mean: &mut f32) -> f32 {
        *mean = toward::<FMA>(*mean, g, self.rest);
        let variance = mul_add::<FMA>(-*mean, *mean, v);
        self.step(g, if variance < 0.0 { 0.0 } else { variance })
    }
}

#[inline(always)]
fn plain_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [v, ..] = a.s;
    for ((w, g), v) in a.w.iter_mut().zip(a.dw).zip(v) {
        *v = toward::<FMA>(*v, g * g, c.rest);
        *w = decayed::<FMA>(*w, c.decay) - c.step(*g, *v);
    }
}

#[inline(always)]
fn with_momentum_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [v, m, _] = a.s;
    for (((w, g), v), m) in a.w.iter_mut().zip(a.dw).zip(v).zip(m) {
        *v = toward::<FMA>(*v, g * g, c.rest);
        *m = mul_add::<FMA>(c.momentum, *m, c.step(*g, *v));
        *w = decayed::<FMA>(*w, c.decay) - *m;
    }
}

#[inline(always)]
fn centered_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [v, mean, _] = a.s;
    for (((w, g), v), mean) in a.w.iter_mut().zip(a.dw).zip(v).zip(mean) {
        *v = toward::<FMA>(*v, g * g, c.rest);
        *w = decayed::<FMA>(*w, c.decay) - c.centered::<FMA>(*g, *v, mean);
    }
}

#[inline(always)]
fn centered_with_momentum_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [v, mean, m] = a.s;
    for ((((w, g), v), mean), m) in a.w.iter_mut().zip(a.dw).zip(v).zip(mean).zip(m) {
        *v = toward::<FMA>(*v, g * g, c.rest);
        *m = mul_add::<FMA>(c.momentum, *m, c.centered::<FMA>(*g, *v, mean));
        *w = decayed::<FMA>(*w, c.decay) - *m;
    }
}

stamp! {
    fn plain(c: &Constants, a: Arrays<'_>) = plain_body[FMA, LANES];
}
stamp! {
    fn with_momentum(c: &Constants, a: Arrays<'_>) = with_momentum_body[FMA, LANES];
}
stamp! {
    fn centered(c: &Constants, a: Arrays<'_>) = centered_body[FMA, LANES];
}
stamp! {
    fn centered_with_momentum(c: &Constants, a: Arrays<'_>) = centered_with_momentum_body[FMA, LANES];
}
