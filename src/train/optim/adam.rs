//! Adam and AdamW.

use serde::{Deserialize, Serialize};

use super::{Arrays, At, MOST, Optimizer, Rule, Run, decayed, positive, power, rest, share, toward};
use crate::error::Result;
use crate::simd::{mul_add, stamp};

/// Adam: `m` and `v` are running means of `g` and `g^2`,
/// `w -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)`.
///
/// So `epsilon` is the paper's "epsilon hat" (Kingma and Ba 2015, arXiv:1412.6980, section 2), as in Keras. With
/// `amsgrad` the largest `v` so far stands for `v` (Reddi, Kale and Kumar 2018, arXiv:1904.09237).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Learning rate; 0.001 unless said otherwise.
    pub learning_rate: f32,
    /// How much of `m` is kept, below 1.
    pub beta_1: f32,
    /// How much of `v` is kept, below 1.
    pub beta_2: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
    /// Whether `v` never shrinks.
    pub amsgrad: bool,
    /// Decoupled weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
}

/// AdamW: [`Adam`] with weight decay, 0.004 unless said otherwise (Loshchilov and Hutter 2019, arXiv:1711.05101).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Learning rate; 0.001 unless said otherwise.
    pub learning_rate: f32,
    /// How much of `m` is kept, below 1.
    pub beta_1: f32,
    /// How much of `v` is kept, below 1.
    pub beta_2: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
    /// Whether `v` never shrinks.
    pub amsgrad: bool,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false, weight_decay: None }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        let Adam { learning_rate, beta_1, beta_2, epsilon, amsgrad, .. } = Adam::default();
        Self { learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay: 0.004 }
    }
}

impl From<Adam> for Optimizer {
    fn from(settings: Adam) -> Self {
        Self::Adam(settings)
    }
}

impl From<AdamW> for Optimizer {
    fn from(settings: AdamW) -> Self {
        Self::AdamW(settings)
    }
}

impl From<AdamW> for Adam {
    fn from(w: AdamW) -> Self {
        let AdamW { learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay } = w;
        Self { learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay: Some(weight_decay) }
    }
}

impl Rule for Adam {
    fn rates(&self) -> (f32, Option<f32>) {
        (self.learning_rate, self.weight_decay)
    }

    fn states(&self) -> [Option<&'static str>; MOST] {
        [Some("momentum"), Some("velocity"), self.amsgrad.then_some("velocity_hat")]
    }

    fn validate(&self) -> Result<()> {
        share("beta_1", self.beta_1)?;
        share("beta_2", self.beta_2)?;
        positive("epsilon", self.epsilon)
    }

    fn update(&self, run: Run<'_>, at: At, arrays: Arrays<'_>) {
        let correction = (1.0 - power(self.beta_2, at.step)).sqrt() / (1.0 - power(self.beta_1, at.step));
        let c = Constants {
            lr: (f64::from(at.learning_rate) * correction) as f32,
            decay: self.decay(at),
            rest: [rest(self.beta_1), rest(self.beta_2)],
            epsilon: self.epsilon,
        };
        let step = if self.amsgrad { amsgrad(run.isa) } else { plain(run.isa) };
        arrays.each(run.team, &|a| step(&c, a));
    }
}

impl Rule for AdamW {
    fn rates(&self) -> (f32, Option<f32>) {
        Adam::from(*self).rates()
    }

    fn states(&self) -> [Option<&'static str>; MOST] {
        Adam::from(*self).states()
    }

    fn validate(&self) -> Result<()> {
        Adam::from(*self).validate()
    }

    fn update(&self, run: Run<'_>, at: At, arrays: Arrays<'_>) {
        Adam::from(*self).update(run, at, arrays);
    }
}

struct Constants {
    /// With the correction for the start at zero.
    lr: f32,
    decay: f32,
    rest: [f32; 2],
    epsilon: f32,
}

impl Constants {
    #[inline(always)]
    fn apply<const FMA: bool>(&self, w: f32, m: f32, v: f32) -> f32 {
        decayed::<FMA>(w, self.decay) - m * self.lr / (v.sqrt() + self.epsilon)
    }
}

#[inline(always)]
fn plain_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [m, v, _] = a.s;
    for (((w, g), m), v) in a.w.iter_mut().zip(a.dw).zip(m).zip(v) {
        *m = toward::<FMA>(*m, *g, c.rest[0]);
        *v = mul_add::<FMA>(mul_add::<FMA>(*g, *g, -*v), c.rest[1], *v);
        *w = c.apply::<FMA>(*w, *m, *v);
    }
}

#[inline(always)]
fn amsgrad_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [m, v, largest] = a.s;
    for ((((w, g), m), v), largest) in a.w.iter_mut().zip(a.dw).zip(m).zip(v).zip(largest) {
        *m = toward::<FMA>(*m, *g, c.rest[0]);
        *v = mul_add::<FMA>(mul_add::<FMA>(*g, *g, -*v), c.rest[1], *v);
        *largest = if *v > *largest { *v } else { *largest };
        *w = c.apply::<FMA>(*w, *m, *largest);
    }
}

stamp! {
    fn plain(c: &Constants, a: Arrays<'_>) = plain_body[FMA, LANES];
}
stamp! {
    fn amsgrad(c: &Constants, a: Arrays<'_>) = amsgrad_body[FMA, LANES];
}
