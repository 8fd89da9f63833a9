//! Gradient descent.

use serde::{Deserialize, Serialize};

use super::{Arrays, At, MOST, Optimizer, Rule, Run, decayed, momentum_in_range};
use crate::error::Result;
use crate::simd::{mul_add, stamp};

/// Gradient descent: `w -= lr g`, or with momentum `m = momentum m - lr g` and `w += m`.
///
/// Nesterov's form looks ahead: `w += momentum m - lr g` with the new `m` (Sutskever et al. 2013, "On the importance
/// of initialization and momentum in deep learning").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// Learning rate; 0.01 unless said otherwise.
    pub learning_rate: f32,
    /// How much of the last step is kept, 0 to 1.
    pub momentum: f32,
    /// Whether momentum looks ahead.
    pub nesterov: bool,
    /// Decoupled weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.0, nesterov: false, weight_decay: None }
    }
}

impl From<Sgd> for Optimizer {
    fn from(settings: Sgd) -> Self {
        Self::Sgd(settings)
    }
}

impl Rule for Sgd {
    fn rates(&self) -> (f32, Option<f32>) {
        (self.learning_rate, self.weight_decay)
    }

    fn states(&self) -> [Option<&'static str>; MOST] {
        [(self.momentum > 0.0).then_some("momentum"), None, None]
    }

    fn validate(&self) -> Result<()> {
        momentum_in_range(self.momentum)
    }

    fn update(&self, run: Run<'_>, at: At, arrays: Arrays<'_>) {
        let c =
            Constants { lr: at.learning_rate, decay: self.decay(at), momentum: self.momentum, nesterov: self.nesterov };
        let step = if self.momentum > 0.0 { with_momentum(run.isa) } else { plain(run.isa) };
        arrays.each(run.team, &|a| step(&c, a));
    }
}

struct Constants {
    lr: f32,
    decay: f32,
    momentum: f32,
    nesterov: bool,
}

#[inline(always)]
fn plain_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    for (w, g) in a.w.iter_mut().zip(a.dw) {
        *w = mul_add::<FMA>(-c.lr, *g, decayed::<FMA>(*w, c.decay));
    }
}

#[inline(always)]
fn with_momentum_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [m, ..] = a.s;
    for ((w, g), m) in a.w.iter_mut().zip(a.dw).zip(m) {
        let step = -(c.lr * g);
        *m = mul_add::<FMA>(c.momentum, *m, step);
        let ahead = mul_add::<FMA>(c.momentum, *m, step);
        *w = decayed::<FMA>(*w, c.decay) + if c.nesterov { ahead } else { *m };
    }
}

stamp! {
    fn plain(c: &Constants, a: Arrays<'_>) = plain_body[FMA, LANES];
}
stamp! {
    fn with_momentum(c: &Constants, a: Arrays<'_>) = with_momentum_body[FMA, LANES];
}
