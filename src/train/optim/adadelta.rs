//! Adadelta.

use serde::{Deserialize, Serialize};

use super::{Arrays, At, MOST, Optimizer, Rule, Run, decayed, positive, rest, share, toward};
use crate::error::Result;
use crate::simd::{mul_add, stamp};

/// Adadelta: `a = rho a + (1 - rho) g^2`, `d = g sqrt(u + epsilon) / sqrt(a + epsilon)`, `w -= lr d`,
/// `u = rho u + (1 - rho) d^2` (Zeiler 2012, arXiv:1212.5701, where `lr` is 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adadelta {
    /// Learning rate; 0.001 unless said otherwise, as in Keras; the paper has 1.
    pub learning_rate: f32,
    /// How much of the running squares is kept, below 1.
    pub rho: f32,
    /// Keeps the division finite, and the first steps from being 0.
    pub epsilon: f32,
    /// Decoupled weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
}

impl Default for Adadelta {
    fn default() -> Self {
        Self { learning_rate: 0.001, rho: 0.95, epsilon: 1e-7, weight_decay: None }
    }
}

impl From<Adadelta> for Optimizer {
    fn from(settings: Adadelta) -> Self {
        Self::Adadelta(settings)
    }
}

impl Rule for Adadelta {
    fn rates(&self) -> (f32, Option<f32>) {
        (self.learning_rate, self.weight_decay)
    }

    fn states(&self) -> [Option<&'static str>; MOST] {
        [Some("accumulated_grad"), Some("accumulated_delta_var"), None]
    }

    fn validate(&self) -> Result<()> {
        share("rho", self.rho)?;
        positive("epsilon", self.epsilon)
    }

    fn update(&self, run: Run<'_>, at: At, arrays: Arrays<'_>) {
        let c = Constants { lr: at.learning_rate, decay: self.decay(at), rest: rest(self.rho), epsilon: self.epsilon };
        let step = step(run.isa);
        arrays.each(run.team, &|a| step(&c, a));
    }
}

struct Constants {
    lr: f32,
    decay: f32,
    rest: f32,
    epsilon: f32,
}

#[inline(always)]
fn step_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [squares, steps, _] = a.s;
    for (((w, g), a), u) in a.w.iter_mut().zip(a.dw).zip(squares).zip(steps) {
        *a = toward::<FMA>(*a, g * g, c.rest);
        let d = (*u + c.epsilon).sqrt() * g / (*a + c.epsilon).sqrt();
        *u = toward::<FMA>(*u, d * d, c.rest);
        *w = mul_add::<FMA>(-c.lr, d, decayed::<FMA>(*w, c.decay));
    }
}

stamp! {
    fn step(c: &Constants, a: Arrays<'_>) = step_body[FMA, LANES];
}
