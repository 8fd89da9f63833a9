//! exp, log, tanh, erf and their kin for f32, lane by lane: the same bits on every platform.
//!
//! The functions of the standard library may differ from one platform to the
//! next, so no result goes through them. Each body here is a polynomial after a
//! reduction of its argument, written for one lane without branches, so that a
//! loop over it becomes vector code. Bounds on the error are tested against f64.
//!
//! | function | error, in units of the last place |
//! |---|---|
//! | [`exp`], [`log`] | 1.25 |
//! | [`exp_m1`], [`tanh`], [`sigmoid`], [`softplus`], [`erf`] | 3 |
//! | [`normal_cdf`] | 6 |
//!
//! Source of the method: Cody and Waite, "Software Manual for the Elementary
//! Functions", 1980. The coefficients are those of the Taylor series, one term
//! more than a minimax polynomial would need; those of `erf` were fitted at
//! Chebyshev nodes in f64.

use std::f32::consts::FRAC_2_SQRT_PI;

use crate::simd::{mul_add, stamp};

const LOG2_E: f32 = std::f32::consts::LOG2_E;
// ln 2 in two parts; the first has so few bits that its product with an exponent is exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;
// Adding and subtracting 1.5 * 2^23 rounds an f32 to a whole number.
const ROUND: f32 = 12_582_912.0;

stamp! {
    /// A function that writes `y = e^x`.
    pub fn exp(x: &[f32], y: &mut [f32]) = exp_body[FMA, LANES];
}

stamp! {
    /// A function that writes `y = e^x - 1`, accurate near 0 too.
    pub fn exp_m1(x: &[f32], y: &mut [f32]) = exp_m1_body[FMA, LANES];
}

stamp! {
    /// A function that writes `y = ln x`: NaN for negative numbers, minus infinity for 0.
    pub fn log(x: &[f32], y: &mut [f32]) = log_body[FMA, LANES];
}

stamp! {
    /// A function that writes `y = tanh x`.
    pub fn tanh(x: &[f32], y: &mut [f32]) = tanh_body[FMA, LANES];
}

stamp! {
    /// A function that writes `y = 1 / (1 + e^-x)`.
    pub fn sigmoid(x: &[f32], y: &mut [f32]) = sigmoid_body[FMA, LANES];
}

stamp! {
    /// A function that writes `y = ln(1 + e^x)`.
    pub fn softplus(x: &[f32], y: &mut [f32]) = softplus_body[FMA, LANES];
}

stamp! {
    /// A function that writes `y = erf x`, which is `2 / sqrt(pi)` times the integral of `e^(-t^2)` from 0 to `x`.
    pub fn erf(x: &[f32], y: &mut [f32]) = erf_body[FMA, LANES];
}

stamp! {
    /// A function that writes the probability that a standard normal number is at most `x`.
    pub fn normal_cdf(x: &[f32], y: &mut [f32]) = normal_cdf_body[FMA, LANES];
}

#[inline(always)]
fn exp_body<const FMA: bool, const LANES: usize>(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = exp_lane::<FMA>(*x));
}

#[inline(always)]
fn exp_m1_body<const FMA: bool, const LANES: usize>(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = exp_m1_lane::<FMA>(*x));
}

#[inline(always)]
fn log_body<const FMA: bool, const LANES: usize>(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = log_lane::<FMA>(*x));
}

#[inline(always)]
fn tanh_body<const FMA: bool, const LANES: usize>(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = tanh_lane::<FMA>(*x));
}

#[inline(always)]
fn sigmoid_body<const FMA: bool, const LANES: usize>(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = sigmoid_lane::<FMA>(*x));
}

#[inline(always)]
fn softplus_body<const FMA: bool, const LANES: usize>(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = softplus_lane::<FMA>(*x));
}

#[inline(always)]
fn erf_body<const FMA: bool, const LANES: usize>(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = erf_lane::<FMA>(*x));
}

#[inline(always)]
fn normal_cdf_body<const FMA: bool, const LANES: usize>(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = normal_lane::<FMA>(*x).0);
}

/// `e^x` of one lane: 0 below -104, infinite above 88.8, NaN for NaN.
#[inline(always)]
pub(crate) fn exp_lane<const FMA: bool>(x: f32) -> f32 {
    let (q, n) = reduced_exp_m1::<FMA>(x);
    // In two factors, since 2^n itself may lie outside the normal range.
    let half = n >> 1;
    (q + 1.0) * power_of_two(half) * power_of_two(n - half)
}

/// `e^x - 1` of one lane.
#[inline(always)]
pub(crate) fn exp_m1_lane<const FMA: bool>(x: f32) -> f32 {
    let (q, n) = reduced_exp_m1::<FMA>(x);
    // 2^n (q + 1) - 1. Below 2^-25 nothing but the -1 is left; above 2^127 the sum is infinite.
    let scale = power_of_two(clamp(n, -30, 127));
    let value = mul_add::<FMA>(scale, q, scale - 1.0);
    if n > 127 { value * 2.0 } else { value }
}

// `(e^r - 1, n)` with `x = n ln 2 + r` and `|r| <= ln 2 / 2`.
#[inline(always)]
fn reduced_exp_m1<const FMA: bool>(x: f32) -> (f32, i32) {
    // NaN fails both comparisons and stays.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = mul_add::<FMA>(x, LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<FMA>(n, -LN2_LOW, mul_add::<FMA>(n, -LN2_HIGH, x));
    let p = polynomial::<FMA, 6>(r, [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5]);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    (mul_add::<FMA>(r * r, p, r), n)
}

/// `ln x` of one lane.
///
/// With `x = 2^n (1 + f)` and `s = f / (2 + f)`: `ln(1 + f) = 2 artanh s = f - (f^2/2 - s (f^2/2 + R))`, where `R` is
/// the series of artanh from its second term. The largest part, `f`, is exact.
#[inline(always)]
pub(crate) fn log_lane<const FMA: bool>(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let normal = if tiny { x * 8_388_608.0 } else { x };
    // The exponent that leaves a mantissa between sqrt(1/2) and sqrt(2).
    let bits = normal.to_bits() as i32;
    let n = bits.wrapping_sub(0x3F35_04F3) >> 23;
    let f = f32::from_bits(bits.wrapping_sub(n << 23) as u32) - 1.0;
    let n = (if tiny { n - 23 } else { n }) as f32;
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * polynomial::<FMA, 4>(z, [2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0]);
    let h = 0.5 * f * f;
    let rest = mul_add::<FMA>(s, h + r, n * LN2_LOW) - h;
    let value = mul_add::<FMA>(n, LN2_HIGH, rest + f);
    log_special(x, value)
}

// NaN for NaN and negative numbers, and the two infinities.
#[inline(always)]
fn log_special(x: f32, value: f32) -> f32 {
    let value = if x == f32::INFINITY { x } else { value };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x >= 0.0 { value } else { f32::NAN }
}

/// `tanh x` of one lane: `t / (t + 2)` with `t = e^(2|x|) - 1`.
#[inline(always)]
pub(crate) fn tanh_lane<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    // From 9.1 on the nearest f32 is 1.
    let a = if a > 10.0 { 10.0 } else { a };
    let t = exp_m1_lane::<FMA>(2.0 * a);
    (t / (t + 2.0)).copysign(x)
}

/// `1 / (1 + e^-x)` of one lane.
#[inline(always)]
pub(crate) fn sigmoid_lane<const FMA: bool>(x: f32) -> f32 {
    let e = exp_lane::<FMA>(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// `ln(1 + e^x)` of one lane: `max(x, 0) + ln(1 + e^-|x|)`.
#[inline(always)]
pub(crate) fn softplus_lane<const FMA: bool>(x: f32) -> f32 {
    let e = exp_lane::<FMA>(-x.abs());
    let sum = 1.0 + e;
    // What rounding took from the sum, to first order.
    let log = log_lane::<FMA>(sum) + (e - (sum - 1.0)) / sum;
    if x > 0.0 { x + log } else { log }
}

/// `erf x` of one lane: a series near 0, `1 - erfc |x|` beyond.
#[inline(always)]
pub(crate) fn erf_lane<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let near = x * polynomial::<FMA, 6>(x * x, ERF_NEAR);
    // From 4 on the nearest f32 is 1.
    let a = if a > 4.0 { 4.0 } else { a };
    let far = (1.0 - exp_square::<FMA>(a, 1.0) * scaled_erfc::<FMA>(a)).copysign(x);
    if a < 0.75 { near } else { far }
}

/// Of one lane: the probability that a standard normal number is at most `x`, and its density at `x`.
#[inline(always)]
pub(crate) fn normal_lane<const FMA: bool>(x: f32) -> (f32, f32) {
    const DENSITY: f32 = 0.398_942_3;
    let a = x.abs();
    // From 14.5 on both tails are 0.
    let a = if a > 14.5 { 14.5 } else { a };
    let e = exp_square::<FMA>(a, 0.5);
    let tail = 0.5 * e * scaled_erfc::<FMA>(a * std::f32::consts::FRAC_1_SQRT_2);
    (if x < 0.0 { tail } else { 1.0 - tail }, DENSITY * e)
}

// `erf x / x` as a polynomial in `x^2`, for |x| < 0.75.
const ERF_NEAR: [f32; 6] = [-6.758_788e-4, 0.005_115_657, -0.026_835_276, 0.112_833_895, -0.376_126_2, FRAC_2_SQRT_PI];

// `(1 + 2 a) e^(a^2) erfc a` as a polynomial in `(a - 3) / (a + 3)`, for 0 <= a <= 10.7.
const ERFC_SCALED: [f32; 11] = [
    -2.667_135_3e-4,
    -7.722_386_5e-4,
    0.002_008_074,
    0.002_568_187_7,
    -0.023_800_494,
    0.068_294_45,
    -0.119_270_62,
    0.129_646_64,
    -0.047_562_41,
    -0.135_621_15,
    1.253_008,
];

// `e^(a^2) erfc a` for 0 <= a <= 10.7.
#[inline(always)]
fn scaled_erfc<const FMA: bool>(a: f32) -> f32 {
    let u = (a - 3.0) / (a + 3.0);
    polynomial::<FMA, 11>(u, ERFC_SCALED) / mul_add::<FMA>(2.0, a, 1.0)
}

// `e^(-factor a^2)` for a factor of 1 or 1/2. The square of the first 12 bits of `a` is exact, and the rest makes a
// power near 1; the rounding of a plain square would cost as many digits as the exponent has.
#[inline(always)]
fn exp_square<const FMA: bool>(a: f32, factor: f32) -> f32 {
    let high = f32::from_bits(a.to_bits() & 0xFFFF_F000);
    let rest = -factor * (a - high) * (a + high);
    let power = exp_lane::<FMA>(-factor * high * high);
    let tail = rest * polynomial::<FMA, 4>(rest, [1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0]);
    mul_add::<FMA>(power, tail, power)
}

/// `x^-exponent` of one lane for `x > 0`.
#[inline(always)]
pub(crate) fn inverse_power_lane<const FMA: bool>(x: f32, exponent: f32) -> f32 {
    exp_lane::<FMA>(-exponent * log_lane::<FMA>(x))
}

// Horner's rule; the highest power first.
#[inline(always)]
fn polynomial<const FMA: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for c in &coefficients[1..] {
        sum = mul_add::<FMA>(sum, x, *c);
    }
    sum
}

// 2^n for -126 <= n <= 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

#[inline(always)]
fn clamp(n: i32, low: i32, high: i32) -> i32 {
    let n = if n < low { low } else { n };
    if n > high { high } else { n }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;

    type Array = fn(Isa) -> fn(&[f32], &mut [f32]);
    type Case = (Array, fn(f64) -> f64, f64, [f32; 2]);

    // The functions, the truth in f64, the bound in units of the last place, and the range of arguments.
    const ALL: [Case; 8] = [
        (exp, libm::exp, 1.25, [-104.0, 89.0]),
        (exp_m1, libm::expm1, 3.0, [-104.0, 89.0]),
        (log, libm::log, 1.25, [1e-44, 3.4e38]),
        (tanh, libm::tanh, 3.0, [-12.0, 12.0]),
        (sigmoid, |x| 1.0 / (1.0 + libm::exp(-x)), 3.0, [-87.0, 40.0]),
        (softplus, |x| libm::log1p(libm::exp(x)), 3.0, [-87.0, 80.0]),
        (erf, libm::erf, 3.0, [-5.0, 5.0]),
        (normal_cdf, |x| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2), 6.0, [-12.5, 8.0]),
    ];

    // Arguments spread evenly over a range, and all exponents near 0.
    fn arguments([low, high]: [f32; 2]) -> Vec<f32> {
        let even = (0..200_000).map(|i| low + (high - low) * (i as f32 / 200_000.0));
        let small = (0..400_000_u32).map(|i| f32::from_bits(1 + i * 2711));
        let both = small.flat_map(|x| [x, -x]);
        even.chain(both).filter(|x| (low..=high).contains(x)).collect()
    }

    fn last_place(value: f64) -> f64 {
        let rounded = (value.abs() as f32).max(f32::MIN_POSITIVE);
        f64::from(f32::from_bits(rounded.to_bits() & 0x7F80_0000)) * 2_f64.powi(-23)
    }

    #[test]
    fn errors_stay_below_their_bounds() {
        for isa in Isa::all() {
            for (i, (f, truth, bound, range)) in ALL.into_iter().enumerate() {
                let x = arguments(range);
                let mut y = vec![0.0; x.len()];
                f(isa)(&x, &mut y);
                let (mut worst, mut at) = (0.0, 0.0);
                for (x, y) in x.iter().zip(&y) {
                    let want = truth(f64::from(*x));
                    if want.abs() > f64::from(f32::MAX) {
                        assert!(y.is_infinite() || *y == f32::MAX, "{x}");
                        continue;
                    }
                    let error = (f64::from(*y) - want).abs() / last_place(want);
                    assert!(!error.is_nan(), "function {i} at {x}: {y}");
                    if error > worst {
                        (worst, at) = (error, *x);
                    }
                }
                // The baseline rounds each product, so it is a little less exact.
                let bound = if isa.fused() { bound } else { bound + 1.0 };
                assert!(worst <= bound, "function {i} on {isa}: {worst} units at {at}");
            }
        }
    }

    #[test]
    fn special_values() {
        let inf = f32::INFINITY;
        let x = [0.0, -0.0, inf, -inf, f32::NAN, -1.0, 1e-45];
        for isa in Isa::all() {
            let of = |f: Array| {
                let mut y = [0.0; 7];
                f(isa)(&x, &mut y);
                y
            };
            let nan_at = |y: [f32; 7]| y.map(f32::is_nan);
            let only_nan = [false, false, false, false, true, false, false];
            assert_eq!((of(exp)[..4].to_vec(), nan_at(of(exp))), (vec![1.0, 1.0, inf, 0.0], only_nan));
            assert_eq!((of(exp_m1)[..4].to_vec(), nan_at(of(exp_m1))), (vec![0.0, 0.0, inf, -1.0], only_nan));
            assert_eq!((of(tanh)[..4].to_vec(), nan_at(of(tanh))), (vec![0.0, 0.0, 1.0, -1.0], only_nan));
            assert_eq!((of(sigmoid)[..4].to_vec(), nan_at(of(sigmoid))), (vec![0.5, 0.5, 1.0, 0.0], only_nan));
            assert_eq!((of(erf)[..4].to_vec(), nan_at(of(erf))), (vec![0.0, 0.0, 1.0, -1.0], only_nan));
            assert_eq!((of(normal_cdf)[..4].to_vec(), nan_at(of(normal_cdf))), (vec![0.5, 0.5, 1.0, 0.0], only_nan));
            assert_eq!((of(softplus)[2..4].to_vec(), nan_at(of(softplus))), (vec![inf, 0.0], only_nan));
            assert_eq!(of(log)[..3], [-inf, -inf, inf]);
            assert_eq!(nan_at(of(log)), [false, false, false, true, true, true, false]);
            assert!((of(log)[6] + 103.278_93).abs() < 1e-4);
        }
    }

    #[test]
    fn all_fused_instances_give_the_same_bits() {
        let isas: Vec<Isa> = Isa::all().into_iter().filter(|isa| isa.fused()).collect();
        for (f, _, _, range) in ALL {
            let x = arguments(range);
            let of = |isa: &Isa| {
                let mut y = vec![0.0; x.len()];
                f(*isa)(&x, &mut y);
                y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            isas.windows(2).for_each(|pair| assert!(of(&pair[0]) == of(&pair[1])));
        }
    }
}
