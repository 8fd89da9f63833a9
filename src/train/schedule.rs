//! Learning rate schedules: a factor for the optimiser's learning rate.
//!
//! A [`Schedule`] is a curve and, if wanted, a warm-up before it. [`Schedule::factor`] depends on where training
//! stands ([`Progress`]) and on nothing else, so a resumed run goes on with the same numbers. [`OnPlateau`] alone
//! has a memory, [`Plateau`], which a checkpoint holds:
//!
//! ```text
//! learning rate = base * schedule.factor(at) * plateau.factor
//! ```

use std::f64::consts::PI;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::named::{find, name_or_table, within};
use crate::error::{Error, Result};

/// How the learning rate changes while a network is trained.
///
/// ```
/// use striate::train::{Progress, Schedule};
/// let schedule: Schedule = "cosine".parse()?;
/// let half = Progress { step: 50, steps_total: 100, epoch: 5, steps_per_epoch: 10 };
/// assert!((schedule.factor(half) - 0.5).abs() < 1e-15);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The curve after the warm-up.
    #[serde(default, deserialize_with = "name_or_table")]
    pub curve: Curve,
    /// A linear rise at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Warmup>,
}

/// The shape of a schedule.
///
/// [`Step`] and [`Exponential`] count from the start of training; [`Cosine`] runs over the steps that the warm-up
/// leaves.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Curve {
    /// Always 1.
    #[default]
    Constant,
    /// A smaller factor every few epochs.
    Step(Step),
    /// The same share less in every epoch.
    Exponential(Exponential),
    /// Half a cosine wave down to the end.
    Cosine(Cosine),
    /// Up to the full rate and down to almost nothing.
    OneCycle(OneCycle),
    /// Smaller whenever the loss stops falling.
    OnPlateau(OnPlateau),
}

/// How long the learning rate rises at the start: step `s` of `n` has the factor `(s + 1) / (n + 1)`, from `s = 0`.
///
/// So it is never 0, and reaches 1 with the first step after the warm-up (Goyal et al. 2017, arXiv:1706.02677).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    /// So many steps.
    Steps(u64),
    /// So many epochs, which need not be a whole number.
    Epochs(f64),
}

/// `factor^floor(epoch / every_epochs)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Epochs on one level; 10 unless said otherwise.
    pub every_epochs: u64,
    /// What each level is of the one before; 0.1 unless said otherwise.
    pub factor: f64,
}

/// `decay^(step / steps_per_epoch)`, smooth within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exponential {
    /// What one epoch leaves; 0.95 unless said otherwise.
    pub decay: f64,
}

/// `f + (1 - f) (1 + cos(pi step / steps)) / 2` (Loshchilov and Hutter 2017, arXiv:1608.03983).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cosine {
    /// `f`, where it ends; 0 unless said otherwise.
    pub final_fraction: f64,
}

/// From `start` along half a cosine wave to 1, then along another to `end` (Smith and Topin 2018, arXiv:1708.07120).
///
/// The peak is step `rise * steps - 1` and the end the last step, as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OneCycle {
    /// The share of the steps that rise; 0.3 unless said otherwise.
    pub rise: f64,
    /// The factor of the first step; 0.04 unless said otherwise.
    pub start: f64,
    /// The factor of the last step; 4e-6 unless said otherwise.
    pub end: f64,
}

/// Multiplies the rate by `factor` when the watched loss has not improved by `min_delta` for `patience` epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnPlateau {
    /// What a reduction leaves; 0.1 unless said otherwise.
    pub factor: f64,
    /// Epochs without improvement before a reduction; 10 unless said otherwise.
    pub patience: u64,
    /// The learning rate (not its factor) that is never undercut; 0 unless said otherwise.
    pub min_lr: f64,
    /// The smallest fall of the loss that counts; 0.0001 unless said otherwise.
    pub min_delta: f64,
    /// Epochs after a reduction that are not counted; 0 unless said otherwise.
    pub cooldown: u64,
}

/// Where training stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps done before this one: 0 at the first.
    pub step: u64,
    /// Steps of the whole training.
    pub steps_total: u64,
    /// Epochs done before this one: 0 in the first.
    pub epoch: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
}

/// The memory of [`OnPlateau`]; with all other curves its factor stays 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plateau {
    /// What the learning rate is multiplied by.
    pub factor: f64,
    /// The lowest loss so far.
    pub best: Option<f64>,
    /// Epochs since then that count.
    pub wait: u64,
    /// Epochs that will not be counted.
    pub cooldown: u64,
}

impl Schedule {
    /// The factor of a step, but for what [`Plateau`] adds.
    pub fn factor(&self, at: Progress) -> f64 {
        let warmup = self.warmup_steps(at.steps_per_epoch);
        let ramp = if at.step < warmup { (at.step + 1) as f64 / (warmup + 1) as f64 } else { 1.0 };
        ramp * self.curve.factor(at, warmup)
    }

    /// Steps of the warm-up.
    pub fn warmup_steps(&self, steps_per_epoch: u64) -> u64 {
        match self.warmup {
            None => 0,
            Some(Warmup::Steps(steps)) => steps,
            Some(Warmup::Epochs(epochs)) => libm::round(epochs * steps_per_epoch as f64) as u64,
        }
    }

    /// Tells `plateau` the watched loss at the end of an epoch; `learning_rate` is the optimiser's own.
    ///
    /// Does nothing unless the curve is [`OnPlateau`]. A NaN is no improvement.
    pub fn end_epoch(&self, plateau: &mut Plateau, learning_rate: f32, watched: f64) {
        if let Curve::OnPlateau(settings) = &self.curve {
            plateau.observe(settings, f64::from(learning_rate), watched);
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// A setting is out of its range, or a cycle, which rises by itself, is given a warm-up.
    pub fn validate(&self) -> Result<()> {
        match self.warmup {
            Some(_) if matches!(self.curve, Curve::OneCycle(_)) => {
                return Err(Error::argument("one_cycle rises by itself and takes no warm-up")
                    .with_help("leave the warm-up out, and set rise and start instead"));
            }
            Some(Warmup::Epochs(epochs)) => within("warmup epochs", epochs, 0.0, 1e6)?,
            _ => {}
        }
        self.curve.validate().map_err(|e| e.within("schedule"))
    }
}

impl From<Curve> for Schedule {
    fn from(curve: Curve) -> Self {
        Self { curve, warmup: None }
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        name.parse::<Curve>().map(Self::from)
    }
}

impl FromStr for Curve {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = [
            ("constant", Self::Constant),
            ("step", Self::Step(Step::default())),
            ("exponential", Self::Exponential(Exponential::default())),
            ("cosine", Self::Cosine(Cosine::default())),
            ("one_cycle", Self::OneCycle(OneCycle::default())),
            ("on_plateau", Self::OnPlateau(OnPlateau::default())),
        ];
        find("schedule", name, &known, known.len())
    }
}

impl Curve {
    fn factor(&self, at: Progress, warmup: u64) -> f64 {
        match *self {
            Self::Constant | Self::OnPlateau(_) => 1.0,
            Self::Step(s) => libm::pow(s.factor, (at.epoch / s.every_epochs.max(1)) as f64),
            Self::Exponential(e) => libm::pow(e.decay, at.step as f64 / at.steps_per_epoch.max(1) as f64),
            Self::Cosine(c) => {
                let left = at.steps_total.saturating_sub(warmup).max(1);
                half_wave(1.0, c.final_fraction, at.step.saturating_sub(warmup) as f64 / left as f64)
            }
            Self::OneCycle(c) => c.factor(at),
        }
    }

    fn validate(&self) -> Result<()> {
        match *self {
            Self::Constant => Ok(()),
            Self::Step(s) if s.every_epochs == 0 => {
                Err(Error::argument("every_epochs = 0 is out of range").with_help("it must be at least 1"))
            }
            Self::Step(s) => within("factor", s.factor, 0.0, 1.0),
            Self::Exponential(e) => within("decay", e.decay, 0.0, 1.0),
            Self::Cosine(c) => within("final_fraction", c.final_fraction, 0.0, 1.0),
            Self::OneCycle(c) => {
                within("rise", c.rise, 0.0, 1.0)?;
                within("start", c.start, 0.0, 1.0)?;
                within("end", c.end, 0.0, 1.0)
            }
            Self::OnPlateau(p) => {
                within("factor", p.factor, 0.0, 1.0)?;
                within("min_lr", p.min_lr, 0.0, f64::INFINITY)?;
                within("min_delta", p.min_delta, 0.0, f64::INFINITY)
            }
        }
    }
}

impl OneCycle {
    fn factor(&self, at: Progress) -> f64 {
        let (step, steps) = (at.step as f64, at.steps_total as f64);
        let (peak, last) = (self.rise * steps - 1.0, steps - 1.0);
        if step <= peak {
            half_wave(self.start, 1.0, step / peak.max(1.0))
        } else {
            half_wave(1.0, self.end, (step - peak) / (last - peak).max(1.0))
        }
    }
}

impl Plateau {
    // The order of the cases is that of Keras' ReduceLROnPlateau.
    fn observe(&mut self, settings: &OnPlateau, base: f64, watched: f64) {
        if self.cooldown > 0 {
            self.cooldown -= 1;
            self.wait = 0;
        }
        let better = self.best.map_or(!watched.is_nan(), |best| watched < best - settings.min_delta);
        if better {
            self.best = Some(watched);
            self.wait = 0;
        } else if self.cooldown == 0 {
            self.wait += 1;
            let rate = base * self.factor;
            if self.wait >= settings.patience && rate > settings.min_lr {
                self.factor = (rate * settings.factor).max(settings.min_lr) / base;
                self.cooldown = settings.cooldown;
                self.wait = 0;
            }
        }
    }
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 1.0, best: None, wait: 0, cooldown: 0 }
    }
}

impl Default for Step {
    fn default() -> Self {
        Self { every_epochs: 10, factor: 0.1 }
    }
}

impl Default for Exponential {
    fn default() -> Self {
        Self { decay: 0.95 }
    }
}

impl Default for OneCycle {
    fn default() -> Self {
        Self { rise: 0.3, start: 0.04, end: 4e-6 }
    }
}

impl Default for OnPlateau {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, min_lr: 0.0, min_delta: 1e-4, cooldown: 0 }
    }
}

// From `a` to `b` along half a cosine wave.
fn half_wave(a: f64, b: f64, progress: f64) -> f64 {
    b + (a - b) * 0.5 * (1.0 + libm::cos(PI * progress.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        cosine: Vec<f64>,
        warm_cosine: Vec<f64>,
        exponential: Vec<f64>,
        step: Vec<f64>,
        losses: Vec<f64>,
        plateau: Vec<f64>,
        plateau_with_cooldown: Vec<f64>,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../golden/schedules.json")).unwrap()
    }

    fn at(step: u64, steps_total: u64) -> Progress {
        Progress { step, steps_total, epoch: step / 5, steps_per_epoch: 5 }
    }

    fn factors(schedule: Schedule, steps: u64) -> Vec<f64> {
        (0..steps).map(|step| schedule.factor(at(step, steps))).collect()
    }

    fn assert_close(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (i, (a, b)) in got.iter().zip(want).enumerate() {
            assert!((a - b).abs() <= 1e-12, "{i}: {a} is not {b}");
        }
    }

    #[test]
    fn curves_are_those_of_keras() {
        let g = golden();
        let cosine = Curve::Cosine(Cosine { final_fraction: 0.125 });
        assert_close(&factors(cosine.into(), 40), &g.cosine);
        let warm = Schedule { curve: cosine, warmup: Some(Warmup::Steps(8)) };
        assert_close(&factors(warm, 40), &g.warm_cosine);
        assert_close(&factors(Curve::Exponential(Exponential { decay: 0.75 }).into(), 40), &g.exponential);
        assert_close(&factors(Curve::Step(Step { every_epochs: 3, factor: 0.5 }).into(), 40), &g.step);
    }

    #[test]
    fn a_plateau_is_seen_when_keras_sees_it() {
        let g = golden();
        let common = OnPlateau::default();
        let first = OnPlateau { factor: 0.5, patience: 2, min_lr: 0.1, ..common };
        let second = OnPlateau { factor: 0.25, patience: 1, cooldown: 2, ..common };
        for (settings, want) in [(first, &g.plateau), (second, &g.plateau_with_cooldown)] {
            let schedule = Schedule::from(Curve::OnPlateau(settings));
            let mut plateau = Plateau::default();
            let observe = |loss: &f64| {
                schedule.end_epoch(&mut plateau, 1.0, *loss);
                // A checkpoint in between changes nothing.
                plateau = serde_json::from_str(&serde_json::to_string(&plateau).unwrap()).unwrap();
                plateau.factor
            };
            assert_close(&g.losses.iter().map(observe).collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn a_plateau_of_nan_is_a_plateau_and_other_curves_have_none() {
        let schedule = Schedule::from(Curve::OnPlateau(OnPlateau { patience: 2, ..OnPlateau::default() }));
        let mut plateau = Plateau::default();
        (0..2).for_each(|_| schedule.end_epoch(&mut plateau, 1.0, f64::NAN));
        assert_eq!((plateau.factor, plateau.best), (0.1, None));
        let mut plateau = Plateau::default();
        (0..50).for_each(|_| Schedule::default().end_epoch(&mut plateau, 1.0, 1.0));
        assert_eq!(plateau, Plateau::default());
    }

    // The closed form at the ends, the peak and half way down.
    #[test]
    fn one_cycle_rises_and_falls() {
        let f = factors(Curve::OneCycle(OneCycle { rise: 0.25, start: 0.1, end: 0.01 }).into(), 40);
        assert_close(&[f[0], f[9], f[39]], &[0.1, 1.0, 0.01]);
        assert_close(&[f[24]], &[(1.0 + 0.01) / 2.0]);
        assert_close(&[f[3]], &[0.1 + 0.9 * 0.5 * (1.0 - (PI / 3.0).cos())]);
        assert!(f[..10].windows(2).all(|w| w[0] < w[1]) && f[9..].windows(2).all(|w| w[0] > w[1]));
    }

    #[test]
    fn a_warm_up_goes_with_every_curve() {
        let warmup = Some(Warmup::Epochs(1.6));
        for name in ["constant", "step", "exponential", "cosine", "on_plateau"] {
            let schedule = Schedule { warmup, ..name.parse().unwrap() };
            schedule.validate().unwrap();
            let plain = Schedule { warmup: None, ..schedule };
            let f = factors(schedule, 40);
            assert_eq!(schedule.warmup_steps(5), 8);
            assert_close(&f[..1], &[1.0 / 9.0]);
            assert!(f.iter().all(|f| *f > 0.0), "{name}: {f:?}");
            let shift = if name == "cosine" { 8 } else { 0 };
            assert_close(&[f[20]], &[plain.factor(at(20 - shift, 40 - shift))]);
        }
        let cycle = Schedule { warmup, .."one_cycle".parse().unwrap() };
        assert!(cycle.validate().unwrap_err().to_string().contains("takes no warm-up"));
    }

    #[test]
    fn degenerate_lengths_give_finite_factors() {
        for name in ["constant", "step", "exponential", "cosine", "one_cycle", "on_plateau"] {
            let schedule: Schedule = name.parse().unwrap();
            for (step, steps_total, steps_per_epoch) in [(0, 0, 0), (0, 1, 1), (5, 1, 1), (1, 2, 0)] {
                let f = schedule.factor(Progress { step, steps_total, epoch: step, steps_per_epoch });
                assert!((0.0..=1.0).contains(&f), "{name} {step} of {steps_total}: {f}");
            }
        }
    }

    #[test]
    fn schedules_are_read_from_text() {
        let read = |json: &str| serde_json::from_str::<Schedule>(json);
        assert_eq!(read(r#"{"curve":"cosine"}"#).unwrap(), "cosine".parse().unwrap());
        let long = r#"{"curve":{"name":"step","every_epochs":3,"factor":0.5},"warmup":{"steps":100}}"#;
        let schedule = read(long).unwrap();
        assert_eq!(schedule.curve, Curve::Step(Step { every_epochs: 3, factor: 0.5 }));
        assert_eq!(serde_json::to_string(&schedule).unwrap(), long);
        assert!(read(r#"{"curve":{"name":"step","every":3}}"#).is_err());
        let e = "cosin".parse::<Schedule>().unwrap_err().to_string();
        assert!(e.contains("did you mean 'cosine'?"), "{e}");
        let bad = Schedule::from(Curve::Exponential(Exponential { decay: 1.5 }));
        assert_eq!(
            bad.validate().unwrap_err().to_string(),
            "schedule: decay = 1.5 is out of range (it must be between 0 and 1)"
        );
    }
}
