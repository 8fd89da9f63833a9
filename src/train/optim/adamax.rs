//! Adamax.

use serde::{Deserialize, Serialize};

use super::{Arrays, At, MOST, Optimizer, Rule, Run, decayed, positive, power, rest, share, toward};
use crate::error::Result;
use crate::simd::stamp;

/// Adamax: `m` is the running mean of `g`, `u = max(beta_2 u, |g|)`,
/// `w -= lr / (1 - beta_1^t) m / (u + epsilon)` (Kingma and Ba 2015, arXiv:1412.6980, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adamax {
    /// Learning rate; 0.001 unless said otherwise.
    pub learning_rate: f32,
    /// How much of `m` is kept, below 1.
    pub beta_1: f32,
    /// How much of `u` is kept, below 1.
    pub beta_2: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
    /// Decoupled weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
}

impl Default for Adamax {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, weight_decay: None }
    }
}

impl From<Adamax> for Optimizer {
    fn from(settings: Adamax) -> Self {
        Self::Adamax(settings)
    }
}

impl Rule for Adamax {
    fn rates(&self) -> (f32, Option<f32>) {
        (self.learning_rate, self.weight_decay)
    }

    fn states(&self) -> [Option<&'static str>; MOST] {
        [Some("momentum"), Some("norm"), None]
    }

    fn validate(&self) -> Result<()> {
        share("beta_1", self.beta_1)?;
        share("beta_2", self.beta_2)?;
        positive("epsilon", self.epsilon)
    }

    fn update(&self, run: Run<'_>, at: At, arrays: Arrays<'_>) {
        let correction = 1.0 / (1.0 - power(self.beta_1, at.step));
        let c = Constants {
            lr: (f64::from(at.learning_rate) * correction) as f32,
            decay: self.decay(at),
            rest: rest(self.beta_1),
            beta_2: self.beta_2,
            epsilon: self.epsilon,
        };
        let step = step(run.isa);
        arrays.each(run.team, &|a| step(&c, a));
    }
}

struct Constants {
    lr: f32,
    decay: f32,
    rest: f32,
    beta_2: f32,
    epsilon: f32,
}

#[inline(always)]
fn step_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [m, u, _] = a.s;
    for (((w, g), m), u) in a.w.iter_mut().zip(a.dw).zip(m).zip(u) {
        *m = toward::<FMA>(*m, *g, c.rest);
        let (kept, new) = (c.beta_2 * *u, g.abs());
        *u = if kept > new { kept } else { new };
        *w = decayed::<FMA>(*w, c.decay) - c.lr * *m / (*u + c.epsilon);
    }
}

stamp! {
    fn step(c: &Constants, a: Arrays<'_>) = step_body[FMA, LANES];
}
