//! Axes: from the range of the data to marks at round numbers, and to a place from 0 to 1.

use super::scene::Text;

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// Equal steps are equally far apart.
    #[default]
    Linear,
    /// Equal ratios are equally far apart; what is not positive has no place.
    Log,
}

/// How numbers on an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// As they are.
    #[default]
    Plain,
    /// As whole numbers only, such as epochs.
    Whole,
    /// A share of 1 as a percentage.
    Percent,
}

/// What the maker of a chart says of an axis.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AxisStyle {
    /// What is measured, and its unit.
    pub label: String,
    /// How it is divided.
    pub scale: Scale,
    /// How its numbers are written.
    pub unit: Unit,
}

impl AxisStyle {
    /// A linear axis of plain numbers.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// The same axis, divided so.
    #[must_use]
    pub fn scale(mut self, scale: Scale) -> Self {
        self.scale = scale;
        self
    }

    /// The same axis, its numbers written so.
    #[must_use]
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Whether a value has a place on the axis.
    ///
    /// Beyond 1e300 counts as infinite and, on a logarithmic axis, below 1e-300
    /// as zero, so that differences and quotients stay finite.
    pub(super) fn shows(&self, v: f64) -> bool {
        match self.scale {
            Scale::Linear => v.abs() <= 1e300,
            Scale::Log => (1e-300..=1e300).contains(&v),
        }
    }
}

/// A mark of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// The size of tick labels.
pub(super) const TICK_SIZE: f64 = 11.0;

/// How an axis meets the data and the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// The length on the page.
    pub(super) length: f64,
    /// Whether labels stand side by side along the axis, not on top of each other.
    pub(super) sideways: bool,
    /// The share of the range that is added at both ends; `None` widens it to the next marks.
    pub(super) margin: Option<f64>,
}

/// An axis with its range and marks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    scale: Scale,
    pub(super) lo: f64,
    pub(super) hi: f64,
    pub(super) ticks: Vec<Tick>,
}

impl Axis {
    /// The axis for values from `lo` to `hi`, both of which the style shows.
    pub(super) fn new(style: &AxisStyle, (lo, hi): (f64, f64), fit: Fit) -> Self {
        let (lo, hi) = widen(style, lo, hi);
        match style.scale {
            Scale::Linear => linear(style.unit, lo, hi, fit),
            Scale::Log => logarithmic(style.unit, lo, hi, fit),
        }
    }

    /// The place of a value: 0 at the low end, 1 at the high end.
    pub(super) fn place(&self, v: f64) -> f64 {
        match self.scale {
            Scale::Linear => (v / 2.0 - self.lo / 2.0) / (self.hi / 2.0 - self.lo / 2.0),
            Scale::Log => (libm::log(v) - libm::log(self.lo)) / (libm::log(self.hi) - libm::log(self.lo)),
        }
    }

    fn fits(&self, fit: Fit) -> bool {
        let half = |t: &Tick| if fit.sideways { label_width(&t.label) / 2.0 + 6.0 } else { TICK_SIZE };
        self.ticks
            .windows(2)
            .all(|w| (self.place(w[1].value) - self.place(w[0].value)) * fit.length >= half(&w[0]) + half(&w[1]))
    }
}

/// The width of a tick label.
pub(super) fn label_width(label: &str) -> f64 {
    Text::new(label).size(TICK_SIZE).width()
}

// A range of no length would have no marks and no places.
fn widen(style: &AxisStyle, lo: f64, hi: f64) -> (f64, f64) {
    let size = lo.abs().max(hi.abs());
    match style.scale {
        Scale::Log if hi / lo < 1.01 => (lo / 1.2, hi * 1.2),
        // Of whole numbers the marks are 1 apart at least.
        Scale::Linear if hi - lo <= size * 1e-6 || hi - lo < 1e-290 || style.unit == Unit::Whole && hi - lo < 1e-6 => {
            let pad = if style.unit == Unit::Whole {
                (size * 1e-6).max(0.5)
            } else if size < 1e-280 {
                1.0
            } else {
                size * 0.1
            };
            (lo - pad, hi + pad)
        }
        _ => (lo, hi),
    }
}

fn linear(unit: Unit, lo: f64, hi: f64, fit: Fit) -> Axis {
    // An axis of amounts starts at zero unless that would squeeze the data into its upper part.
    let lo_wanted = if fit.margin.is_none() && lo >= 0.0 && lo < 0.4 * hi { 0.0 } else { lo };
    let most = if fit.sideways { fit.length / 50.0 } else { fit.length / 42.0 };
    let mut axis = Axis { scale: Scale::Linear, lo, hi, ticks: Vec::new() };
    for count in (1..=(most as usize).clamp(1, 10)).rev() {
        let step = round_step((hi / 2.0 - lo_wanted / 2.0) / count as f64 * 2.0, unit);
        (axis.lo, axis.hi) = match fit.margin {
            Some(margin) => (lo - margin * (hi - lo), hi + margin * (hi - lo)),
            None => outward(unit, lo_wanted, hi, step),
        };
        axis.ticks = multiples(axis.lo, axis.hi, step, unit);
        if axis.fits(fit) {
            break;
        }
    }
    axis
}

/// The next multiples of `step` outside; a share never passes 0 % or 100 % if the data do not.
fn outward(unit: Unit, lo: f64, hi: f64, step: f64) -> (f64, f64) {
    let slack = 1e-9;
    let (down, up) = ((lo / step + slack).floor() * step, (hi / step - slack).ceil() * step);
    let up = up.max(down + step);
    match unit {
        Unit::Percent => (if lo >= 0.0 { down.max(0.0) } else { down }, if hi <= 1.0 { up.min(1.0) } else { up }),
        _ => (down, up),
    }
}

fn multiples(lo: f64, hi: f64, step: f64, unit: Unit) -> Vec<Tick> {
    let (first, last) = ((lo / step - 1e-9).ceil(), (hi / step + 1e-9).floor());
    let count = if last >= first { (last - first).min(50.0) as usize + 1 } else { 0 };
    let largest = lo.abs().max(hi.abs());
    let tick = |i| {
        let value = (first + i as f64) * step;
        Tick { value, label: tick_label(value, step, largest, unit) }
    };
    (0..count).map(tick).collect()
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `raw`.
fn round_step(raw: f64, unit: Unit) -> f64 {
    let raw = if unit == Unit::Whole { raw.max(1.0) } else { raw };
    let exponent = libm::floor(libm::log10(raw)) as i32;
    let candidates = [(1.0, exponent), (2.0, exponent), (5.0, exponent), (1.0, exponent + 1), (2.0, exponent + 1)];
    let sizes = candidates.map(|(m, e)| m * power_of_ten(e));
    sizes.into_iter().find(|s| *s >= raw * (1.0 - 1e-9)).unwrap_or(raw)
}

fn logarithmic(unit: Unit, lo: f64, hi: f64, fit: Fit) -> Axis {
    let mut axis = Axis { scale: Scale::Log, lo, hi, ticks: Vec::new() };
    let decades = libm::log10(hi) - libm::log10(lo);
    if let Some(margin) = fit.margin {
        let factor = libm::pow(10.0, margin * decades);
        (axis.lo, axis.hi) = ((lo / factor).max(1e-307), (hi * factor).min(1e307));
    }
    let most = (fit.length / if fit.sideways { 80.0 } else { 30.0 }).max(1.0);
    let stride = (decades / most).ceil().max(1.0) as i32;
    let digits: [&[f64]; 3] = [&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], &[1.0, 2.0, 5.0], &[1.0]];
    // The densest marks that still fit; a wide range has one mark in `stride` decades.
    for set in if decades > 3.0 {
        &digits[2..]
    } else if decades > 1.0 {
        &digits[1..]
    } else {
        &digits[..]
    } {
        if fit.margin.is_none() {
            (axis.lo, axis.hi) = (mark_below(lo, set), mark_above(hi, set));
        }
        axis.ticks = log_marks(&axis, set, stride, unit);
        if axis.fits(fit) && axis.ticks.len() > 1 {
            break;
        }
    }
    axis
}

fn log_marks(axis: &Axis, digits: &[f64], stride: i32, unit: Unit) -> Vec<Tick> {
    let (first, last) = (exponent(axis.lo), exponent(axis.hi));
    let mut ticks = Vec::new();
    for e in (first..=last + 1).filter(|e| e.rem_euclid(stride) == 0) {
        for value in digits.iter().map(|d| d * power_of_ten(e)) {
            if value >= axis.lo * (1.0 - 1e-9) && value <= axis.hi * (1.0 + 1e-9) {
                let plain = (1e-4..1e5).contains(&axis.lo) && axis.hi < 1e6;
                let label = if plain { tick_label(value, power_of_ten(e), value, unit) } else { scientific(value, 0) };
                ticks.push(Tick { value, label });
            }
        }
    }
    ticks
}

fn mark_below(v: f64, digits: &[f64]) -> f64 {
    let e = exponent(v);
    let marks = digits.iter().map(|d| d * power_of_ten(e)).filter(|m| *m <= v * (1.0 + 1e-9));
    marks.fold(power_of_ten(e), f64::max)
}

fn mark_above(v: f64, digits: &[f64]) -> f64 {
    let e = exponent(v);
    let marks = digits.iter().map(|d| d * power_of_ten(e)).filter(|m| *m >= v * (1.0 - 1e-9));
    marks.fold(power_of_ten(e + 1), f64::min)
}

/// A value for reading: four digits, or a percentage with two decimals.
pub(super) fn number(v: f64, unit: Unit) -> String {
    if v.is_nan() {
        return "NaN".into();
    }
    if v.is_infinite() {
        return if v > 0.0 { "∞".into() } else { "−∞".into() };
    }
    let size = v.abs();
    match unit {
        Unit::Percent if size < 1e4 => format!("{} %", grouped(v * 100.0, 2)),
        Unit::Whole if size < 1e7 => grouped(v, if v == v.round() { 0 } else { 2 }),
        _ if size == 0.0 => "0".into(),
        _ if !(1e-4..1e7).contains(&size) => scientific(v, 2),
        _ => grouped(v, (3 - exponent(size)).clamp(0, 7) as usize),
    }
}

fn tick_label(value: f64, step: f64, largest: f64, unit: Unit) -> String {
    let factor = if unit == Unit::Percent { 100.0 } else { 1.0 };
    let (value, step, largest) = (value * factor, step * factor, largest * factor);
    let suffix = if unit == Unit::Percent { " %" } else { "" };
    if value == 0.0 {
        return format!("0{suffix}");
    }
    if largest >= 1e7 || step < 1e-5 {
        let decimals = (exponent(value.abs()) - exponent(step * 1.0001)).clamp(0, 9) as usize;
        return format!("{}{suffix}", scientific(value, decimals));
    }
    format!("{}{suffix}", grouped(value, (-exponent(step * 1.0001)).max(0) as usize))
}

/// `v` with a fixed number of decimals, commas between thousands, and a true minus sign.
fn grouped(v: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", v.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let sign = if v < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) { "−" } else { "" };
    format!("{sign}{}{rest}", thousands(whole))
}

/// Digits with a comma before every third from the end.
pub(super) fn thousands(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `v` as in 1.25×10⁻³; a mantissa of 1 without decimals is left out.
fn scientific(v: f64, decimals: usize) -> String {
    let text = format!("{v:.decimals$e}").replace('-', "−");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let raised: String = exponent.chars().map(superscript).collect();
    match mantissa {
        "1" => format!("10{raised}"),
        "−1" => format!("−10{raised}"),
        _ => format!("{mantissa}×10{raised}"),
    }
}

fn superscript(c: char) -> char {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    c.to_digit(10).map_or('⁻', |d| RAISED[d as usize])
}

/// The exponent of ten of a positive number.
fn exponent(v: f64) -> i32 {
    // Written and read back, since a logarithm may fall on the wrong side of a power of ten.
    format!("{v:e}").split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0)
}

fn power_of_ten(e: i32) -> f64 {
    format!("1e{e}").parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(style: &AxisStyle, lo: f64, hi: f64, fit: Fit) -> Vec<String> {
        Axis::new(style, (lo, hi), fit).ticks.into_iter().map(|t| t.label).collect()
    }

    const UPRIGHT: Fit = Fit { length: 250.0, sideways: false, margin: None };
    const ALONG: Fit = Fit { length: 400.0, sideways: true, margin: Some(0.02) };

    #[test]
    fn marks_are_round_numbers() {
        assert_eq!(
            labels(&AxisStyle::new("loss"), 0.03, 2.3, UPRIGHT),
            ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"].map(|s| if s == "0.0" { "0" } else { s })
        );
        let percent = AxisStyle::new("accuracy").unit(Unit::Percent);
        assert_eq!(labels(&percent, 0.905, 0.991, UPRIGHT), ["90 %", "92 %", "94 %", "96 %", "98 %", "100 %"]);
        assert_eq!(
            labels(&AxisStyle::new("step"), 0.0, 1e4, ALONG),
            ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]
        );
    }

    #[test]
    fn epochs_are_whole_even_when_there_is_one() {
        let epochs = AxisStyle::new("epoch").unit(Unit::Whole);
        assert_eq!(labels(&epochs, 1.0, 1.0, ALONG), ["1"]);
        assert_eq!(labels(&epochs, 1.0, 3.0, ALONG), ["1", "2", "3"]);
    }

    #[test]
    fn log_marks_are_decades_or_their_parts() {
        let log = AxisStyle::new("loss").scale(Scale::Log);
        assert_eq!(labels(&log, 0.012, 2.4, UPRIGHT), ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5"]);
        assert_eq!(labels(&log, 1e-8, 1.0, UPRIGHT)[..2], ["10⁻⁸", "10⁻⁷"]);
    }

    #[test]
    fn values_are_written_for_reading() {
        let plain = |v| number(v, Unit::Plain);
        assert_eq!(
            [plain(0.056_234), plain(2.312_6), plain(12_345.6), plain(1.5e-7)],
            ["0.05623", "2.313", "12,346", "1.50×10⁻⁷"]
        );
        assert_eq!([number(0.9731, Unit::Percent), plain(f64::NAN), plain(-0.5)], ["97.31 %", "NaN", "−0.5000"]);
    }

    // The marks of whole numbers are too far apart for a range that is almost nothing: 0 stood outside of the axis.
    #[test]
    fn an_axis_of_whole_numbers_holds_its_marks_however_small_the_range() {
        let style = AxisStyle::new("x").unit(Unit::Whole);
        let axis = Axis::new(&style, (6.99e-223, 1.73e-221), Fit { margin: Some(0.02), ..ALONG });
        assert!(
            !axis.ticks.is_empty() && axis.ticks.iter().all(|t| (0.0..=1.0).contains(&axis.place(t.value))),
            "{axis:?}"
        );
    }

    fn magnitude() -> impl Strategy<Value = f64> {
        (-1.0..1.0_f64, -290..290_i32).prop_map(|(m, e)| m * power_of_ten(e))
    }

    proptest! {
        #[test]
        fn every_axis_has_places_and_marks_that_do_not_touch(a in magnitude(), b in magnitude(), unit in 0..3, log: bool, margin: bool) {
            let unit = [Unit::Plain, Unit::Whole, Unit::Percent][unit as usize];
            let style = AxisStyle::new("x").unit(unit).scale(if log { Scale::Log } else { Scale::Linear });
            let (a, b) = if log { (a.abs().max(1e-300), b.abs().max(1e-300)) } else { (a, b) };
            let fit = Fit { margin: margin.then_some(0.02), ..ALONG };
            let axis = Axis::new(&style, (a.min(b), a.max(b)), fit);
            prop_assert!(axis.lo < axis.hi);
            for v in [a, b] {
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&axis.place(v)), "{} in {axis:?}", v);
            }
            for t in &axis.ticks {
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&axis.place(t.value)), "{axis:?}");
            }
            prop_assert!(axis.ticks.len() <= 1 || axis.fits(fit), "{axis:?}");
        }
    }
}
