//! Names that follow from classes: `Conv2D` is `conv2d`, the second one `conv2d_1`.

use std::collections::BTreeMap;

/// Counts names of one kind.
#[derive(Debug, Default)]
pub struct Counter(BTreeMap<String, usize>);

impl Counter {
    /// The name of the next layer of this class.
    pub fn next(&mut self, class: &str) -> String {
        let stem = snake_case(class);
        let count = self.0.entry(stem.clone()).or_default();
        *count += 1;
        if *count == 1 { stem } else { format!("{stem}_{}", *count - 1) }
    }
}

/// Keras' own rule: a `_` before each capital that starts a word, then all lower case.
///
/// Source: `to_snake_case` of Keras 3, two substitutions: `(.)([A-Z][a-z]+)` and `([a-z])([A-Z])`.
pub fn snake_case(class: &str) -> String {
    let chars: Vec<char> = class.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let mut name = String::new();
    for (i, c) in chars.iter().enumerate() {
        let lower = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_lowercase);
        if i > 0 && c.is_ascii_uppercase() && (lower(Some(i + 1)) || lower(i.checked_sub(1))) {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_keras() {
        for (class, name) in [
            ("Conv2DTranspose", "conv2d_transpose"),
            ("SeparableConv2D", "separable_conv2d"),
            ("PReLU", "p_re_lu"),
            ("ReLU", "re_lu"),
            ("UpSampling2D", "up_sampling2d"),
            ("ZeroPadding2D", "zero_padding2d"),
        ] {
            assert_eq!(snake_case(class), name);
        }
        let mut counter = Counter::default();
        assert_eq!([counter.next("Dense"), counter.next("Dense")], ["dense", "dense_1"]);
    }
}
