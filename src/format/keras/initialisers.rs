//! Initialisers: how Keras says how weights start, both ways.
//!
//! A file's weights are all there, so an initialiser that striate does not know
//! is no obstacle: its layer starts with the default when it is trained anew.

use serde_json::{Value as Json, json};

use super::fields::class_of;
use crate::init::Init;

const PLAIN: [(&str, &str, Init); 8] = [
    ("Zeros", "zeros", Init::Zeros),
    ("Ones", "ones", Init::Ones),
    ("GlorotUniform", "glorot_uniform", Init::GlorotUniform),
    ("GlorotNormal", "glorot_normal", Init::GlorotNormal),
    ("HeUniform", "he_uniform", Init::HeUniform),
    ("HeNormal", "he_normal", Init::HeNormal),
    ("LecunUniform", "lecun_uniform", Init::LecunUniform),
    ("LecunNormal", "lecun_normal", Init::LecunNormal),
];

/// The initialiser that Keras wrote, if striate has it.
pub fn from_keras(value: &Json) -> Option<Init> {
    let class = class_of(value)?;
    if let Some((.., init)) = PLAIN.iter().find(|(name, snake, _)| class == *name || class == *snake) {
        return Some(*init);
    }
    let number =
        |key: &str, default: f32| value.get("config").and_then(|c| c.get(key)?.as_f64()).map_or(default, |v| v as f32);
    let init = match class.as_str() {
        "Constant" => Init::Constant(number("value", 0.0)),
        "RandomNormal" => Init::Normal { mean: number("mean", 0.0), std: number("stddev", 0.05) },
        "TruncatedNormal" => Init::TruncatedNormal { mean: number("mean", 0.0), std: number("stddev", 0.05) },
        "RandomUniform" => Init::Uniform { low: number("minval", -0.05), high: number("maxval", 0.05) },
        _ => return None,
    };
    init.validate().ok().map(|()| init)
}

/// The initialiser as Keras 3 writes it.
pub fn to_keras(init: Init) -> Json {
    let (class, config) = match init {
        Init::Constant(value) => ("Constant", json!({ "value": value })),
        Init::Normal { mean, std } => ("RandomNormal", json!({ "mean": mean, "stddev": std, "seed": null })),
        Init::TruncatedNormal { mean, std } => {
            ("TruncatedNormal", json!({ "mean": mean, "stddev": std, "seed": null }))
        }
        Init::Uniform { low, high } => ("RandomUniform", json!({ "minval": low, "maxval": high, "seed": null })),
        Init::Zeros => ("Zeros", json!({})),
        Init::Ones => ("Ones", json!({})),
        scaled => {
            let known = PLAIN.iter().find(|(.., init)| *init == scaled);
            (known.map_or("GlorotUniform", |(class, ..)| *class), json!({ "seed": null }))
        }
    };
    json!({ "module": "keras.initializers", "class_name": class, "config": config, "registered_name": null })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialisers_go_there_and_back() {
        let others = [
            Init::Constant(0.1),
            Init::Normal { mean: 0.0, std: 0.01 },
            Init::TruncatedNormal { mean: 0.5, std: 0.02 },
            Init::Uniform { low: -0.3, high: 0.2 },
        ];
        for init in PLAIN.iter().map(|(.., init)| *init).chain(others) {
            assert_eq!(from_keras(&to_keras(init)), Some(init));
        }
        assert_eq!(from_keras(&json!("he_normal")), Some(Init::HeNormal));
        assert_eq!(from_keras(&json!({ "class_name": "Orthogonal", "config": {} })), None);
    }
}
