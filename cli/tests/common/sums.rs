//! Numbers in a text, and sums in it that are done again: `32·(3·3) + 32 = 320`.

use std::fmt;

/// A number as a text has it, without the commas.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(String);

impl Number {
    fn value(&self) -> f64 {
        self.0.parse().unwrap()
    }

    fn decimals(&self) -> usize {
        self.0.split_once('.').map_or(0, |(_, decimals)| decimals.len())
    }

    /// Whether a reader would ask where it comes from: it has decimals, or is large and no year.
    pub fn must_be_shown(&self) -> bool {
        let value = self.value();
        self.decimals() > 0 || (value >= 100.0 && !(1900.0..2100.0).contains(&value))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The numbers in a text. A comma counts where three digits follow; letters before a number make it a name.
pub fn numbers(text: &str) -> impl Iterator<Item = Number> + use<> {
    let chars: Vec<char> = text.chars().collect();
    let mut all = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let named = i > 0 && (chars[i - 1].is_ascii_alphabetic() || chars[i - 1] == '_') && chars[i - 1] != 'x';
        if !chars[i].is_ascii_digit() {
            i += 1;
            continue;
        }
        let start = i;
        i = end(&chars, i);
        if !named {
            all.push(Number(chars[start..i].iter().filter(|c| **c != ',').collect()));
        }
    }
    all.into_iter()
}

fn end(chars: &[char], start: usize) -> usize {
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    let mut i = start;
    let mut point = false;
    loop {
        match chars.get(i) {
            Some(c) if c.is_ascii_digit() => i += 1,
            Some(',') if !point && digit(i + 1) && digit(i + 2) && digit(i + 3) && !digit(i + 4) => i += 4,
            Some('.') if !point && digit(i + 1) => {
                point = true;
                i += 1;
            }
            _ => return i,
        }
    }
}

/// The inline code of a line.
pub fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A line without the addresses of its links.
pub fn without_links(line: &str) -> String {
    let mut parts = line.split("](");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |text, rest| text + rest.split_once(')').map_or("", |(_, after)| after))
}

/// Whether a sum is right, to the decimals that its last side has; nothing if it is no sum of numbers.
pub fn holds(code: &str) -> Option<bool> {
    let sides: Vec<&str> = code.split('=').collect();
    let values: Option<Vec<f64>> = sides.iter().map(|side| Sum::value(side)).collect();
    let values = values.filter(|values| values.len() > 1)?;
    let decimals = numbers(sides.last().unwrap()).map(|n| n.decimals()).max().unwrap_or(0);
    let last = values.last().unwrap();
    Some(values.iter().all(|v| {
        (v - last).abs() <= 0.500_001 * 0.1f64.powi(decimals as i32) && (decimals > 0 || (v - last).abs() < 1e-9)
    }))
}

// A sum being read from the left: `+ -`, then `· × * /`, then brackets, `floor(...)` and numbers.
struct Sum {
    chars: Vec<char>,
    at: usize,
}

impl Sum {
    fn value(text: &str) -> Option<f64> {
        let chars = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut sum = Self { chars, at: 0 };
        let value = sum.terms()?;
        (sum.at == sum.chars.len()).then_some(value)
    }

    fn next_of(&mut self, signs: &[char]) -> Option<char> {
        let sign = *self.chars.get(self.at).filter(|c| signs.contains(c))?;
        self.at += 1;
        Some(sign)
    }

    fn terms(&mut self) -> Option<f64> {
        let mut value = self.factors()?;
        while let Some(sign) = self.next_of(&['+', '-', '−']) {
            let term = self.factors()?;
            value += if sign == '+' { term } else { -term };
        }
        Some(value)
    }

    fn factors(&mut self) -> Option<f64> {
        let mut value = self.factor()?;
        while let Some(sign) = self.next_of(&['·', '×', '*', '/']) {
            let factor = self.factor()?;
            value = if sign == '/' { value / factor } else { value * factor };
        }
        Some(value)
    }

    fn factor(&mut self) -> Option<f64> {
        if self.next_of(&['-', '−']).is_some() {
            return self.factor().map(|v| -v);
        }
        let floor = self.chars[self.at..].starts_with(&['f', 'l', 'o', 'o', 'r', '(']);
        self.at += if floor { 5 } else { 0 };
        if self.next_of(&['(']).is_some() {
            let value = self.terms()?;
            self.next_of(&[')'])?;
            return Some(if floor { value.floor() } else { value });
        }
        let end = end(&self.chars, self.at);
        let digits: String = self.chars[self.at..end].iter().filter(|c| **c != ',').collect();
        self.at = end;
        digits.parse().ok()
    }
}

#[test]
fn sums_are_done_and_other_code_is_left_alone() {
    for (sum, holds_) in [
        ("32·(3·3) + 32 = 320", Some(true)),
        ("floor((7 + 0 + 0 − 2) / 2) + 1 = 3", Some(true)),
        ("10,000 · 100 / 60,000 = 16.7", Some(true)),
        ("10,000 · 100 / 60,000 = 16.8", Some(false)),
        ("2 + 2 = 5", Some(false)),
        ("y = F(x) + x", None),
        ("striate train mnist", None),
    ] {
        assert_eq!(holds(sum), holds_, "{sum}");
    }
}

#[test]
fn numbers_of_a_text() {
    let found = |text: &str| numbers(text).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(found("93,322 parameters, 99.1 %, 28x28x1, M23, conv2d_1, 1,2 and 0.5."), "93322 99.1 28 28 1 1 2 0.5");
}
