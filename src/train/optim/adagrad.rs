//! Adagrad.

use serde::{Deserialize, Serialize};

use super::{Arrays, At, MOST, Optimizer, Rule, Run, decayed, positive};
use crate::error::Result;
use crate::simd::{mul_add, stamp};
use crate::train::named::within;

/// Adagrad: `a += g^2`, `w -= lr g / sqrt(a + epsilon)` (Duchi, Hazan and Singer 2011, JMLR 12).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adagrad {
    /// Learning rate; 0.001 unless said otherwise.
    pub learning_rate: f32,
    /// What `a` starts at; 0.1 unless said otherwise.
    pub initial_accumulator: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
    /// Decoupled weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { learning_rate: 0.001, initial_accumulator: 0.1, epsilon: 1e-7, weight_decay: None }
    }
}

impl From<Adagrad> for Optimizer {
    fn from(settings: Adagrad) -> Self {
        Self::Adagrad(settings)
    }
}

impl Rule for Adagrad {
    fn rates(&self) -> (f32, Option<f32>) {
        (self.learning_rate, self.weight_decay)
    }

    fn states(&self) -> [Option<&'static str>; MOST] {
        [Some("accumulator"), None, None]
    }

    fn initial_state(&self) -> f32 {
        self.initial_accumulator
    }

    fn validate(&self) -> Result<()> {
        within("initial_accumulator", self.initial_accumulator, 0.0, f64::INFINITY)?;
        positive("epsilon", self.epsilon)
    }

    fn update(&self, run: Run<'_>, at: At, arrays: Arrays<'_>) {
        let c = Constants { lr: at.learning_rate, decay: self.decay(at), epsilon: self.epsilon };
        let step = step(run.isa);
        arrays.each(run.team, &|a| step(&c, a));
    }
}

struct Constants {
    lr: f32,
    decay: f32,
    epsilon: f32,
}

#[inline(always)]
fn step_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [sum, ..] = a.s;
    for ((w, g), sum) in a.w.iter_mut().zip(a.dw).zip(sum) {
        *sum = mul_add::<FMA>(*g, *g, *sum);
        *w = decayed::<FMA>(*w, c.decay) - c.lr * g / (*sum + c.epsilon).sqrt();
    }
}

stamp! {
    fn step(c: &Constants, a: Arrays<'_>) = step_body[FMA, LANES];
}
