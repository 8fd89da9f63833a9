//! Nadam.

use serde::{Deserialize, Serialize};

use super::{Arrays, At, MOST, Optimizer, Rule, Run, decayed, positive, power, rest, share, toward};
use crate::error::Result;
use crate::simd::{mul_add, stamp};

/// Nadam: Adam with Nesterov's momentum (Dozat 2016, "Incorporating Nesterov momentum into Adam").
///
/// With `u_t = beta_1 (1 - 0.96^t / 2)` and `U_t = u_1 ... u_t`:
/// `w -= lr (u_{t+1} m / (1 - U_{t+1}) + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nadam {
    /// Learning rate; 0.001 unless said otherwise.
    pub learning_rate: f32,
    /// How much of `m` is kept, below 1.
    pub beta_1: f32,
    /// How much of `v` is kept, below 1.
    pub beta_2: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
    /// Decoupled weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
}

impl Default for Nadam {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, weight_decay: None }
    }
}

impl From<Nadam> for Optimizer {
    fn from(settings: Nadam) -> Self {
        Self::Nadam(settings)
    }
}

impl Rule for Nadam {
    fn rates(&self) -> (f32, Option<f32>) {
        (self.learning_rate, self.weight_decay)
    }

    fn states(&self) -> [Option<&'static str>; MOST] {
        [Some("momentum"), Some("velocity"), None]
    }

    fn validate(&self) -> Result<()> {
        share("beta_1", self.beta_1)?;
        share("beta_2", self.beta_2)?;
        positive("epsilon", self.epsilon)
    }

    fn update(&self, run: Run<'_>, at: At, arrays: Arrays<'_>) {
        let (t, beta) = (at.step, f64::from(self.beta_1));
        let u = |t: u64| beta * (1.0 - 0.5 * warm(t));
        let product = |t: u64| power(self.beta_1, t) * PRODUCTS[t.min(SETTLED as u64 - 1) as usize];
        let lr = f64::from(at.learning_rate);
        let c = Constants {
            of_m: (lr * u(t + 1) / (1.0 - product(t + 1))) as f32,
            of_g: (lr * (1.0 - u(t)) / (1.0 - product(t))) as f32,
            of_v: (1.0 / (1.0 - power(self.beta_2, t))) as f32,
            decay: self.decay(at),
            rest: [rest(self.beta_1), rest(self.beta_2)],
            epsilon: self.epsilon,
        };
        let step = step(run.isa);
        arrays.each(run.team, &|a| step(&c, a));
    }
}

// From this step on 0.96^t / 2 is below the last bit of 1, and the product of the schedule stays as it is.
const SETTLED: usize = 920;

/// `PRODUCTS[t]` is the product of `1 - 0.96^i / 2` for `i` in `1..=t`.
static PRODUCTS: [f64; SETTLED] = products();

const fn products() -> [f64; SETTLED] {
    let mut all = [1.0; SETTLED];
    let (mut t, mut power) = (1, 1.0);
    while t < SETTLED {
        power *= 0.96;
        all[t] = all[t - 1] * (1.0 - 0.5 * power);
        t += 1;
    }
    all
}

// 0.96^t
fn warm(t: u64) -> f64 {
    libm::exp(t as f64 * libm::log(0.96))
}

struct Constants {
    of_m: f32,
    of_g: f32,
    of_v: f32,
    decay: f32,
    rest: [f32; 2],
    epsilon: f32,
}

#[inline(always)]
fn step_body<const FMA: bool, const LANES: usize>(c: &Constants, a: Arrays<'_>) {
    let [m, v, _] = a.s;
    for (((w, g), m), v) in a.w.iter_mut().zip(a.dw).zip(m).zip(v) {
        *m = toward::<FMA>(*m, *g, c.rest[0]);
        *v = mul_add::<FMA>(mul_add::<FMA>(*g, *g, -*v), c.rest[1], *v);
        let step = mul_add::<FMA>(c.of_m, *m, c.of_g * g);
        *w = decayed::<FMA>(*w, c.decay) - step / ((*v * c.of_v).sqrt() + c.epsilon);
    }
}

stamp! {
    fn step(c: &Constants, a: Arrays<'_>) = step_body[FMA, LANES];
}
