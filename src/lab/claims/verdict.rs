//! Verdicts: what numbers say of a statement, by a rule that is stated with them.

use serde::Serialize;

use super::Estimate;
use crate::visual::{Unit, short};

// With fewer runs nothing is decided.
const LEAST: usize = 3;

/// What the numbers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The numbers bear it out.
    Holds,
    /// Some of what is said holds, some does not.
    Partly,
    /// The numbers say otherwise.
    Fails,
    /// There are too few numbers, or they scatter too much.
    Undecided,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Partly => "holds partly",
            Self::Fails => "does not hold",
            Self::Undecided => "not decided",
        }
    }

    /// The verdict on a claim from those on its statements: it holds if all hold and fails if all fail; it holds partly
    /// if one holds and one fails, or only partly; everything else is not decided.
    pub fn of_all(findings: &[Finding]) -> Self {
        let has = |v: Self| findings.iter().any(|f| f.verdict == v);
        let all = |v: Self| !findings.is_empty() && findings.iter().all(|f| f.verdict == v);
        match () {
            () if all(Self::Holds) => Self::Holds,
            () if all(Self::Fails) => Self::Fails,
            () if has(Self::Partly) || (has(Self::Holds) && has(Self::Fails)) => Self::Partly,
            () => Self::Undecided,
        }
    }
}

/// A statement that is judged by one number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What is said.
    pub statement: String,
    /// What the numbers say of it.
    pub verdict: Verdict,
    /// The numbers, and the rule.
    pub because: String,
}

/// When a statement about a mean holds. It is judged by the 95 % interval; an interval on both sides of the limit
/// decides nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    /// The mean is above this.
    Above(f64),
    /// The mean is below this.
    Below(f64),
    /// The mean is above 0; it fails if a gain of so much can be ruled out.
    Gain(f64),
    /// The mean is 0, give or take so much.
    Same(f64),
}

impl Rule {
    pub fn judge(self, e: &Estimate) -> Verdict {
        let Some((low, high)) = e.interval.filter(|(low, high)| e.n >= LEAST && low.is_finite() && high.is_finite())
        else {
            return Verdict::Undecided;
        };
        let (holds, fails) = match self {
            Self::Above(limit) => (low > limit, high < limit),
            Self::Below(limit) => (high < limit, low > limit),
            Self::Gain(margin) => (low > 0.0, high < margin),
            Self::Same(margin) => (-margin < low && high < margin, low > margin || high < -margin),
        };
        match (holds, fails) {
            (true, _) => Verdict::Holds,
            (false, true) => Verdict::Fails,
            (false, false) => Verdict::Undecided,
        }
    }

    fn words(self, unit: Unit) -> String {
        let n = |v: f64| number(v, unit);
        match self {
            Self::Above(limit) => format!("the interval must lie above {}", n(limit)),
            Self::Below(limit) => format!("the interval must lie below {}", n(limit)),
            Self::Gain(margin) => format!("the interval must lie above 0; below {} it fails", n(margin)),
            Self::Same(margin) => format!("the interval must lie within ±{}", n(margin)),
        }
    }
}

impl Finding {
    /// A statement that is judged by a rule on an estimate; `what` says what was estimated.
    pub(super) fn new(
        statement: impl Into<String>,
        (what, unit): (&str, Unit),
        estimate: &Estimate,
        rule: Rule,
    ) -> Self {
        let because = match estimate.interval {
            Some(_) if estimate.n < LEAST => {
                format!("{what}: {}; {LEAST} seeds are the least that decide", interval(estimate, unit))
            }
            _ => format!("{what}: {}; {}", interval(estimate, unit), rule.words(unit)),
        };
        Self { statement: statement.into(), verdict: rule.judge(estimate), because }
    }

    /// A statement about numbers that do not depend on chance.
    pub(super) fn exact(statement: impl Into<String>, holds: bool, because: impl Into<String>) -> Self {
        let verdict = if holds { Verdict::Holds } else { Verdict::Fails };
        Self { statement: statement.into(), verdict, because: because.into() }
    }
}

/// A mean and its interval in words.
pub(super) fn interval(e: &Estimate, unit: Unit) -> String {
    match e.interval {
        Some((low, high)) => format!("{} ({} to {})", number(e.mean, unit), number(low, unit), number(high, unit)),
        None => number(e.mean, unit),
    }
}

fn thousands(v: f64) -> String {
    let digits = format!("{:.0}", v.abs());
    let first = digits.len() % 3;
    let mut groups: Vec<&str> = if first > 0 { vec![&digits[..first]] } else { Vec::new() };
    groups.extend((first..digits.len()).step_by(3).map(|i| &digits[i..i + 3]));
    format!("{}{}", if v < 0.0 { "\u{2212}" } else { "" }, groups.join(","))
}

/// A number for reading: a percentage with two decimals, or three digits that count.
pub(super) fn number(v: f64, unit: Unit) -> String {
    match unit {
        // No minus before a zero.
        Unit::Percent => format!("{:.2} %", 100.0 * v).replace("-0.00", "0.00").replace('-', "\u{2212}"),
        // Counts to the last digit.
        _ if v.abs() >= 1e4 && v == v.round() => thousands(v),
        _ => short(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e(values: &[f64]) -> Estimate {
        Estimate::of(values)
    }

    // Each rule in both directions, and where it must not decide.
    #[test]
    fn rules_decide_by_the_interval() {
        use Verdict::{Fails, Holds, Undecided};
        let (near, far, wide) = (e(&[0.010, 0.011, 0.012]), e(&[0.20, 0.21, 0.22]), e(&[-0.2, 0.3, 0.1]));
        let cases = [
            (Rule::Above(0.1), &far, Holds),
            (Rule::Above(0.1), &near, Fails),
            (Rule::Above(0.1), &wide, Undecided),
            (Rule::Below(0.1), &near, Holds),
            (Rule::Below(0.1), &far, Fails),
            (Rule::Gain(0.05), &near, Holds),
            (Rule::Gain(0.05), &e(&[-0.02, -0.01, -0.015]), Fails),
            (Rule::Gain(0.05), &e(&[0.001, -0.001, 0.0]), Fails),
            (Rule::Gain(0.05), &wide, Undecided),
            (Rule::Same(0.05), &near, Holds),
            (Rule::Same(0.05), &far, Fails),
            (Rule::Same(0.05), &e(&[-0.20, -0.21, -0.22]), Fails),
            (Rule::Same(0.05), &wide, Undecided),
        ];
        for (rule, estimate, verdict) in cases {
            assert_eq!(rule.judge(estimate), verdict, "{rule:?} on {estimate:?}");
        }
    }

    #[test]
    fn too_little_data_decides_nothing() {
        for values in [&[][..], &[9.0], &[9.0, 9.0], &[9.0, f64::NAN, 9.0]] {
            for rule in [Rule::Above(0.0), Rule::Below(99.0), Rule::Gain(0.1), Rule::Same(99.0)] {
                assert_eq!(rule.judge(&e(values)), Verdict::Undecided, "{rule:?} on {values:?}");
            }
        }
        let finding = Finding::new("s", ("d", Unit::Percent), &e(&[0.5, 0.5]), Rule::Above(0.0));
        assert!(finding.because.ends_with("3 seeds are the least that decide"), "{finding:?}");
    }

    #[test]
    fn a_claim_is_judged_by_all_of_its_statements() {
        use Verdict::{Fails, Holds, Partly, Undecided};
        let all = |verdicts: &[Verdict]| {
            let finding = |v: &Verdict| Finding { statement: "s".into(), verdict: *v, because: "b".into() };
            Verdict::of_all(&verdicts.iter().map(finding).collect::<Vec<_>>())
        };
        assert_eq!(all(&[Holds, Holds]), Holds);
        assert_eq!(all(&[Fails, Fails]), Fails);
        assert_eq!(all(&[Holds, Fails, Undecided]), Partly);
        assert_eq!(all(&[Holds, Undecided]), Undecided);
        assert_eq!(all(&[Fails, Undecided]), Undecided);
        assert_eq!(all(&[]), Undecided);
        assert_eq!(all(&[Partly]), Partly);
    }

    #[test]
    fn numbers_are_written_for_reading() {
        assert_eq!(number(-0.012_34, Unit::Percent), "−1.23 %");
        assert_eq!(number(-0.000_001, Unit::Percent), "0.00 %");
        assert_eq!(interval(&e(&[0.5]), Unit::Percent), "50.00 %");
        assert_eq!([1e4, 255_690.0, -3_976_448.0].map(|v| number(v, Unit::Plain)), ["10,000", "255,690", "−3,976,448"]);
        assert_eq!(interval(&e(&[1.0, 1.0]), Unit::Plain), "1 (1 to 1)");
    }
}
