//! Student's t and fair coins, both by the incomplete beta function.

/// The regularised incomplete beta function `I_x(a, b)`, for `x` in 0..=1 and positive `a` and `b`.
///
/// `I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) / (1 + d1 / (1 + d2 / (1 + ...)))`, with
/// `d(2m) = m (b - m) x / ((a + 2m - 1)(a + 2m))` and `d(2m + 1) = -(a + m)(a + b + m) x / ((a + 2m)(a + 2m + 1))`.
///
/// Source: NIST Digital Library of Mathematical Functions, 8.17.22.
pub(super) fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    // The fraction converges fast on this side alone.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let ln_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let front = libm::exp(a * libm::log(x) + b * libm::log1p(-x) - ln_beta) / a;
    front / fraction(x, a, b)
}

// From the inside out. The terms that are needed grow with the root of the larger parameter.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let terms = 60 + 8 * a.max(b).sqrt().min(1e4) as u32;
    (1..=terms).rev().fold(1.0, |inner, k| {
        let m = f64::from(k / 2);
        let d = match k % 2 {
            0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        1.0 + d / inner
    })
}

/// The probability that Student's t with `df` degrees of freedom is at least as far from 0 as `t`.
pub(super) fn t_tails(t: f64, df: f64) -> f64 {
    if t.is_infinite() { 0.0 } else { incomplete_beta(df / (df + t * t), df / 2.0, 0.5) }
}

/// The distance from 0 that Student's t passes with the probability `tails`, both sides together.
pub(super) fn t_quantile(tails: f64, df: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while t_tails(high, df) > tails && high < 1e12 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if t_tails(middle, df) > tails { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The probability of at most `k` heads in `n` throws of a fair coin.
pub(super) fn coin_tail(k: usize, n: usize) -> f64 {
    if k >= n { 1.0 } else { incomplete_beta(0.5, (n - k) as f64, k as f64 + 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expect: f64, digits: f64) {
        assert!((value - expect).abs() <= digits * expect.abs(), "{value} instead of {expect}");
    }

    // Closed forms: I_x(1, b) = 1 - (1 - x)^b, I_x(a, 1) = x^a; symmetric around 1/2 for equal parameters.
    #[test]
    fn incomplete_beta_has_its_closed_forms() {
        for x in [0.01, 0.3, 0.5, 0.9, 0.999] {
            for p in [0.5_f64, 1.0, 4.0, 37.5] {
                close(incomplete_beta(x, 1.0, p), 1.0 - (1.0 - x).powf(p), 1e-12);
                close(incomplete_beta(x, p, 1.0), x.powf(p), 1e-12);
            }
        }
        close(incomplete_beta(0.5, 700.0, 700.0), 0.5, 1e-10);
        assert_eq!((incomplete_beta(0.0, 2.0, 3.0), incomplete_beta(1.0, 2.0, 3.0)), (0.0, 1.0));
    }

    // With 1 degree of freedom t is Cauchy's: tails = 1 - 2 atan(t) / pi. With 2: 1 - t / sqrt(2 + t^2).
    #[test]
    fn tails_of_t_follow_their_formulas() {
        for t in [0.1, 1.0, 2.5, 40.0_f64] {
            close(t_tails(t, 1.0), 1.0 - 2.0 * t.atan() / std::f64::consts::PI, 1e-10);
            close(t_tails(t, 2.0), 1.0 - t / (2.0 + t * t).sqrt(), 1e-10);
        }
        assert_eq!((t_tails(0.0, 5.0), t_tails(f64::INFINITY, 5.0)), (1.0, 0.0));
    }

    // Student's table as every textbook prints it, two-sided 5 % and 1 %.
    #[test]
    fn quantiles_are_those_of_the_table() {
        for (df, five, one) in [(1.0, 12.706, 63.657), (4.0, 2.776, 4.604), (9.0, 2.262, 3.250), (30.0, 2.042, 2.750)] {
            assert!((t_quantile(0.05, df) - five).abs() < 5e-4 && (t_quantile(0.01, df) - one).abs() < 5e-4, "{df}");
        }
    }

    // By mpmath with 40 digits: `betainc(df/2, 1/2, 0, df/(df+t^2), regularized=True)`, and its inverse by bisection.
    #[test]
    fn tails_and_quantiles_are_those_of_another_program() {
        for (df, t, expect) in [
            (1.0, 1e-3, 0.999_363_380_439_838_9),
            (1.0, 1e3, 6.366_195_601_611_178e-4),
            (3.0, 2.5, 0.087_706_647_008_065_55),
            (9.0, 20.0, 9.079_521_299_916_545e-9),
            (29.0, 8.0, 8.012_575_649_631_703e-9),
            (199.0, 2.0, 0.046_860_000_401_283_84),
            (999.0, 0.5, 0.617_185_190_930_289_5),
            (999.0, 5.0, 6.768_361_895_801_097e-7),
            (999.0, 40.0, 1.242_642_119_627_142_4e-209),
        ] {
            close(t_tails(t, df), expect, 1e-11);
        }
        for (df, five, one) in [
            (2.0, 4.302_652_729_749_464, 9.924_843_200_918_293),
            (5.0, 2.570_581_835_636_315_5, 4.032_142_983_555_228),
            (15.0, 2.131_449_545_559_774_7, 2.946_712_883_475_239),
            (99.0, 1.984_216_951_586_417_5, 2.626_405_457_280_827_5),
            (999.0, 1.962_341_461_133_45, 2.580_759_637_267_637),
        ] {
            close(t_quantile(0.05, df), five, 1e-11);
            close(t_quantile(0.01, df), one, 1e-11);
        }
        // On both sides of where the fraction is turned round, (a + 1) / (a + b + 2).
        for (x, expect) in [(0.995, 0.025_200_765_362_045_78), (0.997, 0.083_110_104_812_504_39)] {
            close(incomplete_beta(x, 500.0, 0.5), expect, 1e-11);
        }
        close(incomplete_beta(0.9999, 500.0, 0.5), 0.751_883_629_570_981_8, 1e-11);
        close(coin_tail(40, 100), 0.028_443_966_820_490_396, 1e-11);
        close(coin_tail(480, 1000), 0.108_724_146_602_070_47, 1e-10);
        close(coin_tail(4900, 10_000), 0.023_292_763_852_473_694, 1e-9);
    }

    #[test]
    fn coins_are_counted_exactly() {
        // 1 + 12 + 66 of 4096 ways.
        close(coin_tail(2, 12), 79.0 / 4096.0, 1e-12);
        close(coin_tail(0, 20), 0.5_f64.powi(20), 1e-11);
        assert_eq!((coin_tail(7, 7), coin_tail(0, 0)), (1.0, 1.0));
        // By the symmetry of a fair coin: P(X <= 4999) + P(X = 5000) / 2 = 1/2.
        let middle = coin_tail(5000, 10_000) - coin_tail(4999, 10_000);
        close(coin_tail(4999, 10_000) + middle / 2.0, 0.5, 1e-9);
    }
}
