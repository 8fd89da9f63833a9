//! Instruction sets: which this CPU has, and how one body becomes an instance for each.
//!
//! A kernel is written once, as an `#[inline(always)]` body over plain arrays.
//! `stamp!` makes an instance of it for each instruction set, and hands out a
//! plain function for an [`Isa`], a value that exists only if the CPU has it.
//!
//! All instances compute the same bits: vectors run over independent outputs,
//! each output's sum has one order, and every multiply-add is fused. The one
//! exception is the baseline of x86-64, which has no fused multiply-add.

use std::fmt;
use std::sync::OnceLock;

use crate::error::{Error, Result, unknown};

/// An instruction set that this CPU has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isa(pub(crate) Level);

/// The instruction sets that striate knows, the fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Level {
    Avx512,
    Avx2,
    Neon,
    Baseline,
}

const LEVELS: [Level; 4] = [Level::Avx512, Level::Avx2, Level::Neon, Level::Baseline];

impl Isa {
    /// The fastest instruction set of this CPU, or the one that the environment variable `STRIATE_ISA` names.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| match std::env::var("STRIATE_ISA").ok().map(|name| Self::named(&name)) {
            Some(Ok(isa)) => isa,
            _ => Self::all()[0],
        })
    }

    /// All instruction sets of this CPU, the fastest first.
    pub fn all() -> Vec<Self> {
        LEVELS.into_iter().filter(|level| level.present()).map(Self).collect()
    }

    /// The instruction set with this name: `avx512`, `avx2`, `neon` or `baseline`.
    ///
    /// # Errors
    /// The name is unknown, or this CPU does not have it.
    pub fn named(name: &str) -> Result<Self> {
        let level = LEVELS
            .into_iter()
            .find(|level| level.name() == name.to_lowercase())
            .ok_or_else(|| unknown("instruction set", name, LEVELS.map(Level::name)))?;
        if level.present() {
            return Ok(Self(level));
        }
        let have: Vec<String> = Self::all().iter().map(Self::to_string).collect();
        Err(Error::argument(format!("this CPU has no {name}")).with_help(format!("it has: {}", have.join(", "))))
    }

    /// f32 lanes of a vector register.
    pub fn lanes(self) -> usize {
        match self.0 {
            Level::Avx512 => 16,
            Level::Avx2 => 8,
            Level::Neon | Level::Baseline => 4,
        }
    }

    /// Whether multiply-adds are fused; only then are the bits the same as those of other CPUs.
    pub fn fused(self) -> bool {
        self.0 != Level::Baseline || cfg!(target_feature = "fma") || cfg!(target_arch = "aarch64")
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Baseline => "baseline",
        }
    }

    fn present(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.present()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            // NEON is part of the base of aarch64: every such CPU has it.
            Self::Neon => cfg!(target_arch = "aarch64"),
            Self::Baseline => true,
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Isa({self})")
    }
}

/// `a * b + c`, rounded once where the instruction set has a fused multiply-add.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Makes a function that hands out the instance of a body for an [`Isa`].
///
/// ```text
/// stamp! {
///     /// y += a x
///     pub(crate) fn axpy(a: f32, x: &[f32], y: &mut [f32]) = axpy_body[FMA, LANES];
/// }
/// let f: fn(f32, &[f32], &mut [f32]) = axpy(isa);
/// ```
///
/// The body is an `#[inline(always)]` generic function whose first two const
/// parameters are `FMA: bool` and `LANES: usize`; more may follow in the
/// brackets after a `;`, per instruction set: `[FMA, LANES; avx512: 14, 2; avx2: 6, 2; neon: 8, 2; baseline: 4, 1]`.
macro_rules! stamp {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident[FMA, LANES];) => {
        stamp! { $(#[$meta])* $vis fn $name($($arg: $ty),*) = $body[FMA, LANES; avx512: ; avx2: ; neon: ; baseline: ]; }
    };
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident
        [FMA, LANES; avx512: $($a:expr),*; avx2: $($b:expr),*; neon: $($c:expr),*; baseline: $($d:expr),*];) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::simd::Isa) -> fn($($ty),*) {
            #[cfg(target_arch = "x86_64")]
            fn avx512($($arg: $ty),*) {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn instance($($arg: $ty),*) { $body::<true, 16, $({ $a }),*>($($arg),*) }
                // SAFETY: only handed out for `Level::Avx512`, which exists only where the CPU has these features.
                unsafe { instance($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            fn avx2($($arg: $ty),*) {
                #[target_feature(enable = "avx2,fma")]
                fn instance($($arg: $ty),*) { $body::<true, 8, $({ $b }),*>($($arg),*) }
                // SAFETY: only handed out for `Level::Avx2`, which exists only where the CPU has these features.
                unsafe { instance($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            fn neon($($arg: $ty),*) { $body::<true, 4, $({ $c }),*>($($arg),*) }
            fn baseline($($arg: $ty),*) {
                $body::<{ cfg!(any(target_arch = "aarch64", target_feature = "fma")) }, 4, $({ $d }),*>($($arg),*)
            }
            match isa.0 {
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx512 => avx512,
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx2 => avx2,
                #[cfg(target_arch = "aarch64")]
                $crate::simd::Level::Neon => neon,
                _ => baseline,
            }
        }
    };
}
pub(crate) use stamp;

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(always)]
    fn axpy_body<const FMA: bool, const LANES: usize>(a: f32, x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = mul_add::<FMA>(a, *x, *y);
        }
    }

    stamp! {
        fn axpy(a: f32, x: &[f32], y: &mut [f32]) = axpy_body[FMA, LANES];
    }

    #[test]
    fn all_fused_instances_give_the_same_bits() {
        let x: Vec<f32> = (0..100).map(|i| 0.1 + i as f32 / 7.0).collect();
        let expect: Vec<f32> = x.iter().map(|v| 0.3_f32.mul_add(*v, 1.0 / 3.0)).collect();
        for isa in Isa::all().into_iter().filter(|isa| isa.fused()) {
            let mut y = vec![1.0 / 3.0; 100];
            axpy(isa)(0.3, &x, &mut y);
            assert_eq!(y, expect, "{isa}");
        }
    }

    #[test]
    fn unknown_and_absent_names_are_errors() {
        assert!(Isa::named("avx1024").unwrap_err().to_string().contains("did you mean 'avx"));
        #[cfg(target_arch = "x86_64")]
        assert!(Isa::named("neon").unwrap_err().to_string().starts_with("this CPU has no neon"));
    }
}
