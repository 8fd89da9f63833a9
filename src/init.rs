//! Initialisers: how the weights of a new model are drawn.
//!
//! The scaled ones are those of Keras 3: a variance of `scale / fan`, drawn uniformly or from a normal distribution
//! that is cut at two standard deviations. Numbers come from [`Rng`] and platform-independent functions, so a seed
//! gives the same weights, to the bit, on every machine.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, unknown};
use crate::rng::{Rng, unit};

/// How a parameter is filled before training.
///
/// `fan_in` and `fan_out` are the inputs and outputs of one unit; of a convolution's kernel `[kh, kw, ic, oc]` they
/// are `kh kw ic` and `kh kw oc`. Normal variants with a fan are cut at two standard deviations and widened, so that
/// the variance after the cut is the one given.
///
/// ```
/// use striate::{init::Init, rng::Rng};
/// let mut w = [0.0; 4];
/// "he_normal".parse::<Init>()?.fill(Rng::new(7), (9, 16), &mut w);
/// assert!(w.iter().all(|w| w.abs() <= 2.0 * (2.0 / 9.0_f32).sqrt() / 0.8796));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All the same number.
    Constant(f32),
    /// Normal with this mean and standard deviation.
    Normal {
        /// Mean.
        mean: f32,
        /// Standard deviation.
        std: f32,
    },
    /// Uniform between two numbers.
    Uniform {
        /// The lower end.
        low: f32,
        /// The upper end.
        high: f32,
    },
    /// Normal, drawn again where it is more than two standard deviations from the mean.
    TruncatedNormal {
        /// Mean.
        mean: f32,
        /// Standard deviation *before* the cut.
        std: f32,
    },
    /// Variance `2 / (fan_in + fan_out)`, uniform (Glorot and Bengio 2010, "Understanding the difficulty of training
    /// deep feedforward neural networks").
    GlorotUniform,
    /// Variance `2 / (fan_in + fan_out)`, normal.
    GlorotNormal,
    /// Variance `2 / fan_in`, uniform (He et al. 2015, arXiv:1502.01852).
    HeUniform,
    /// Variance `2 / fan_in`, normal.
    HeNormal,
    /// Variance `1 / fan_in`, uniform (LeCun et al. 1998, "Efficient BackProp").
    LecunUniform,
    /// Variance `1 / fan_in`, normal.
    LecunNormal,
}

impl Init {
    /// Fills `out` from the start of the stream `rng`; `fans` are `(fan_in, fan_out)`.
    ///
    /// Settings that [`Init::validate`] refuses give useless numbers, but no panic.
    pub fn fill(self, rng: Rng, (fan_in, fan_out): (usize, usize), out: &mut [f32]) {
        let average = (fan_in as f64 + fan_out as f64) / 2.0;
        match self {
            Self::Zeros => out.fill(0.0),
            Self::Ones => out.fill(1.0),
            Self::Constant(value) => out.fill(value),
            Self::Normal { mean, std } => normal(rng, (mean.into(), std.into()), f64::INFINITY, out),
            Self::Uniform { low, high } => uniform(rng, (low.into(), high.into()), out),
            Self::TruncatedNormal { mean, std } => normal(rng, (mean.into(), std.into()), CUT, out),
            Self::GlorotUniform => uniform_of(variance(1.0, average), rng, out),
            Self::GlorotNormal => normal_of(variance(1.0, average), rng, out),
            Self::HeUniform => uniform_of(variance(2.0, fan_in as f64), rng, out),
            Self::HeNormal => normal_of(variance(2.0, fan_in as f64), rng, out),
            Self::LecunUniform => uniform_of(variance(1.0, fan_in as f64), rng, out),
            Self::LecunNormal => normal_of(variance(1.0, fan_in as f64), rng, out),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// A number is not finite, a standard deviation is negative, or the ends of a range are exchanged.
    pub fn validate(&self) -> Result<()> {
        let (numbers, good) = match *self {
            Self::Constant(value) => ([value, 0.0], true),
            Self::Normal { mean, std } | Self::TruncatedNormal { mean, std } => ([mean, std], std >= 0.0),
            Self::Uniform { low, high } => ([low, high], low <= high),
            _ => return Ok(()),
        };
        if good && numbers.iter().all(|n| n.is_finite()) {
            return Ok(());
        }
        Err(Error::argument(format!("weights cannot be drawn from {self:?}"))
            .with_help("its numbers must be finite, a standard deviation at least 0, and low at most high"))
    }
}

impl FromStr for Init {
    type Err = Error;

    /// The initialiser of this name, with Keras' defaults (standard deviation and range 0.05).
    fn from_str(name: &str) -> Result<Self> {
        let known = [
            ("zeros", Self::Zeros),
            ("ones", Self::Ones),
            ("normal", Self::Normal { mean: 0.0, std: 0.05 }),
            ("uniform", Self::Uniform { low: -0.05, high: 0.05 }),
            ("truncated_normal", Self::TruncatedNormal { mean: 0.0, std: 0.05 }),
            ("glorot_uniform", Self::GlorotUniform),
            ("glorot_normal", Self::GlorotNormal),
            ("he_uniform", Self::HeUniform),
            ("he_normal", Self::HeNormal),
            ("lecun_uniform", Self::LecunUniform),
            ("lecun_normal", Self::LecunNormal),
        ];
        match known.iter().find(|(k, _)| *k == name.to_lowercase()) {
            Some((_, init)) => Ok(*init),
            None => Err(unknown("initialiser", name, known.map(|(k, _)| k))),
        }
    }
}

// In standard deviations.
const CUT: f64 = 2.0;

// The standard deviation of a standard normal number that is cut at 2.
const CUT_STD: f64 = 0.879_625_661_034_239_8;

fn variance(scale: f64, fan: f64) -> f64 {
    scale / fan.max(1.0)
}

fn uniform_of(variance: f64, rng: Rng, out: &mut [f32]) {
    let limit = libm::sqrt(3.0 * variance);
    uniform(rng, (-limit, limit), out);
}

fn normal_of(variance: f64, rng: Rng, out: &mut [f32]) {
    normal(rng, (0.0, libm::sqrt(variance) / CUT_STD), CUT, out);
}

// Element `i` is word `i` of the stream.
fn uniform(rng: Rng, (low, high): (f64, f64), out: &mut [f32]) {
    for (block, out) in out.chunks_mut(4).enumerate() {
        for (out, word) in out.iter_mut().zip(rng.block(block as u64)) {
            *out = (low + (high - low) * f64::from(unit(word))) as f32;
        }
    }
}

// Normal numbers in the order of the stream, those beyond the cut left out.
fn normal(rng: Rng, (mean, std): (f64, f64), cut: f64, out: &mut [f32]) {
    let numbers = (0..).flat_map(|block| pair(rng.block(block))).filter(|z| z.abs() <= cut);
    out.iter_mut().zip(numbers).for_each(|(out, z)| *out = (mean + std * z) as f32);
}

// Two standard normal numbers from four words (Box and Muller 1958, doi:10.1214/aoms/1177706645).
fn pair([a, b, c, d]: [u32; 4]) -> [f64; 2] {
    const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
    let unit = |low: u32, high: u32| (((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 + 0.5) * SCALE;
    let radius = libm::sqrt(-2.0 * libm::log(unit(a, b)));
    let (sin, cos) = libm::sincos(std::f64::consts::TAU * unit(c, d));
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 9] = [
        "normal",
        "uniform",
        "truncated_normal",
        "glorot_uniform",
        "glorot_normal",
        "he_uniform",
        "he_normal",
        "lecun_uniform",
        "lecun_normal",
    ];

    fn drawn(name: &str, len: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; len];
        name.parse::<Init>().unwrap().fill(Rng::new(1), (288, 1152), &mut out);
        out
    }

    #[derive(Deserialize)]
    struct Golden {
        name: String,
        std: f64,
        min: f64,
        max: f64,
    }

    // Both drew 36,864 numbers, so each standard deviation is known to some 0.4 %.
    #[test]
    fn statistics_are_those_of_keras() {
        let golden: Vec<Golden> = serde_json::from_str(include_str!("../golden/init.json")).unwrap();
        assert!(NAMES.iter().all(|name| golden.iter().any(|g| g.name == *name)));
        for g in golden {
            let w: Vec<f64> = drawn(&g.name, 36_864).iter().map(|w| f64::from(*w)).collect();
            let mean = w.iter().sum::<f64>() / w.len() as f64;
            let std = (w.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / w.len() as f64).sqrt();
            assert!(mean.abs() < 4.0 * g.std / 192.0, "{}: mean {mean}", g.name);
            assert!((std / g.std - 1.0).abs() < 0.015, "{}: {std} is not {}", g.name, g.std);
            // Where there is a limit both come close to it.
            if g.name != "normal" {
                let (min, max) = w.iter().fold((0.0_f64, 0.0_f64), |(a, b), w| (a.min(*w), b.max(*w)));
                assert!(
                    (min / g.min - 1.0).abs() < 2e-3 && (max / g.max - 1.0).abs() < 2e-3,
                    "{}: {min} {max}",
                    g.name
                );
            }
        }
    }

    #[test]
    fn limits_are_those_of_the_formula() {
        let limit = |name: &str| drawn(name, 36_864).iter().fold(0.0_f64, |m, w| m.max(f64::from(w.abs())));
        let near = |got: f64, want: f64| assert!(got <= want * 1.000_001 && got > want * 0.999, "{got} is not {want}");
        near(limit("glorot_uniform"), (6.0_f64 / (288.0 + 1152.0)).sqrt());
        near(limit("he_uniform"), (6.0_f64 / 288.0).sqrt());
        near(limit("lecun_normal"), 2.0 * (1.0_f64 / 288.0).sqrt() / CUT_STD);
    }

    fn hash(values: &[f32]) -> u64 {
        let bytes = values.iter().flat_map(|v| v.to_bits().to_le_bytes());
        bytes.fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
    }

    // Any platform must draw these very bits; they were fixed when this file was written.
    #[test]
    fn the_bits_of_a_seed_are_fixed() {
        let hashes = NAMES.map(|name| hash(&drawn(name, 1000)));
        let expect = [
            0x84B7_4EE4_38C3_B8D6,
            0x1E59_1C7F_4EB9_546D,
            0x5812_23F1_90B7_40B8,
            0x9A82_EB77_00A6_5AF7,
            0x3148_663A_2E76_3781,
            0x7958_DDF6_B59B_A74F,
            0xF73F_39BC_43B5_CD9D,
            0x17F9_19FC_8165_9D76,
            0x817E_2617_6787_873C,
        ];
        assert_eq!(hashes, expect, "{NAMES:?}");
    }

    #[test]
    fn a_longer_parameter_starts_with_the_same_numbers() {
        for name in NAMES {
            assert_eq!(drawn(name, 1003)[..7], drawn(name, 7), "{name}");
        }
    }

    // E2: weights N(0, 0.01).
    #[test]
    fn the_exact_mean_and_deviation_are_used() {
        let mut w = [0.0; 3];
        Init::Normal { mean: 5.0, std: 0.0 }.fill(Rng::new(1), (1, 1), &mut w);
        assert_eq!(w, [5.0; 3]);
        let (mut small, mut large) = ([0.0; 100], [0.0; 100]);
        Init::Normal { mean: 0.0, std: 0.01 }.fill(Rng::new(1), (1, 1), &mut small);
        Init::Normal { mean: 0.0, std: 1.0 }.fill(Rng::new(1), (1, 1), &mut large);
        assert!(small.iter().zip(large).all(|(s, l)| (s * 100.0 - l).abs() < 1e-5));
        Init::GlorotUniform.fill(Rng::new(1), (0, 0), &mut w);
        assert!(w.iter().all(|w| w.abs() <= 3.0_f32.sqrt()), "no fan counts as 1");
    }

    #[test]
    fn bad_settings_are_errors() {
        for bad in [
            Init::Constant(f32::NAN),
            Init::Normal { mean: 0.0, std: -1.0 },
            Init::TruncatedNormal { mean: f32::INFINITY, std: 1.0 },
            Init::Uniform { low: 1.0, high: -1.0 },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
        assert!(Init::Normal { mean: 0.0, std: 0.01 }.validate().is_ok());
        let e = "he_normall".parse::<Init>().unwrap_err().to_string();
        assert!(e.contains("did you mean 'he_normal'?"), "{e}");
    }

    #[test]
    fn names_are_the_same_in_files() {
        for name in ["glorot_uniform", "lecun_normal", "zeros"] {
            let init: Init = name.parse().unwrap();
            assert_eq!(serde_json::to_string(&init).unwrap(), format!("\"{name}\""));
        }
        let normal: Init = serde_json::from_str(r#"{"normal":{"mean":0.0,"std":0.01}}"#).unwrap();
        assert_eq!(normal, Init::Normal { mean: 0.0, std: 0.01 });
    }
}
