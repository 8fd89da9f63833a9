//! The options of one layer, taken one by one, so that none is passed over in silence.
//!
//! A reader of a layer takes what it knows; [`Fields::finish`] then refuses
//! whatever is left and is not known to be harmless for predictions.

use serde_json::{Map, Value as Json};

use crate::error::{Error, ErrorKind, Result};
use crate::init::Init;
use crate::ops::Activation;

// They change how a network is trained, drawn or stored, but not what it computes.
const HARMLESS: [&str; 43] = [
    "name",
    "trainable",
    "dtype",
    "batch_input_shape",
    "batch_shape",
    "input_shape",
    "input_dtype",
    "input_dim",
    "input_length",
    "batch_size",
    "build_input_shape",
    "sparse",
    "ragged",
    "optional",
    "seed",
    "noise_shape",
    "fused",
    "synchronized",
    "data_format",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "beta_regularizer",
    "gamma_regularizer",
    "depthwise_regularizer",
    "pointwise_regularizer",
    "alpha_regularizer",
    "kernel_constraint",
    "bias_constraint",
    "beta_constraint",
    "gamma_constraint",
    "depthwise_constraint",
    "pointwise_constraint",
    "alpha_constraint",
    "beta_initializer",
    "gamma_initializer",
    "alpha_initializer",
    "moving_mean_initializer",
    "moving_variance_initializer",
    "renorm_clipping",
    "renorm_momentum",
    "virtual_batch_size",
    "weights",
];

// What Keras uses where an option is not given.
const DEFAULTS: [&str; 4] = ["null", "false", "[]", "{}"];

/// The options of one layer that nobody has taken yet.
#[derive(Debug, Clone)]
pub struct Fields {
    /// The layer's name in the file.
    pub name: String,
    /// The layer's class in the file.
    pub class: String,
    map: Map<String, Json>,
}

impl Fields {
    /// The options of the layer `name` of this class.
    pub fn new(name: &str, class: &str, map: Map<String, Json>) -> Self {
        Self { name: name.to_string(), class: class.to_string(), map }
    }

    /// Looks at an option without taking it.
    pub fn peek(&self, key: &str) -> Option<&Json> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Takes an option; `None` if it is not there, or null.
    pub fn take(&mut self, key: &str) -> Option<Json> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// A number of 0 or more that must be there.
    pub fn size(&mut self, key: &str) -> Result<usize> {
        let value = self.take(key).ok_or_else(|| self.missing(key))?;
        whole(&value).ok_or_else(|| self.wrong(key, &value, "a size"))
    }

    /// A number of 0 or more, or `default`.
    pub fn size_or(&mut self, key: &str, default: usize) -> Result<usize> {
        if self.peek(key).is_some() { self.size(key) } else { Ok(default) }
    }

    /// `N` sizes: a list, or one number for all; `None` if not given.
    pub fn sizes<const N: usize>(&mut self, key: &str) -> Result<Option<[usize; N]>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let sizes = match &value {
            Json::Array(list) => list.iter().map(whole).collect::<Option<Vec<usize>>>(),
            one => whole(one).map(|size| vec![size; N]),
        };
        let sizes = sizes.and_then(|sizes| <[usize; N]>::try_from(sizes).ok());
        sizes.map(Some).ok_or_else(|| self.wrong(key, &value, &format!("{N} sizes")))
    }

    /// A number, or `default`.
    pub fn number(&mut self, key: &str, default: f32) -> Result<f32> {
        let Some(value) = self.take(key) else { return Ok(default) };
        scalar(&value).ok_or_else(|| self.wrong(key, &value, "a number"))
    }

    /// A number, or a list of them; `None` if not given.
    pub fn numbers(&mut self, key: &str) -> Result<Option<Vec<f32>>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let mut numbers = Vec::new();
        if flat(&value, &mut numbers) { Ok(Some(numbers)) } else { Err(self.wrong(key, &value, "a list of numbers")) }
    }

    /// A whole number that may be negative, such as an axis; of a list, its only element.
    pub fn axis(&mut self, key: &str, default: i64) -> Result<i64> {
        let Some(value) = self.take(key) else { return Ok(default) };
        let one = match &value {
            Json::Array(list) if list.len() == 1 => list[0].as_i64(),
            other => other.as_i64(),
        };
        one.ok_or_else(|| self.wrong(key, &value, "one axis"))
    }

    /// Yes or no, or `default`.
    pub fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.take(key) {
            None => Ok(default),
            Some(Json::Bool(flag)) => Ok(flag),
            Some(value) => Err(self.wrong(key, &value, "true or false")),
        }
    }

    /// A text, or `default`.
    pub fn text(&mut self, key: &str, default: &str) -> Result<String> {
        match self.take(key) {
            None => Ok(default.to_string()),
            Some(Json::String(text)) => Ok(text),
            Some(value) => Err(self.wrong(key, &value, "a text")),
        }
    }

    /// The activation under `key`; linear if there is none.
    pub fn activation(&mut self, key: &str, version: u32) -> Result<Activation> {
        let Some(value) = self.take(key) else { return Ok(Activation::Linear) };
        let name = class_of(&value).ok_or_else(|| self.wrong(key, &value, "the name of an activation"))?;
        self.activation_named(&name, version)
    }

    fn activation_named(&self, name: &str, version: u32) -> Result<Activation> {
        let ours = match name {
            "hard_sigmoid" if version < 3 => {
                return Err(self
                    .error("hard_sigmoid of Keras 1 and 2 is clip(0.2 x + 0.5, 0, 1), which striate does not have")
                    .with_help("replace it in Keras; Keras 3's hard_sigmoid, relu6(x + 3) / 6, can be read"));
            }
            "relu_6" | "ReLU6" => "relu6",
            "hard_silu" | "hard_swish" => "hard_swish",
            "swish" => "silu",
            "leaky_relu" => "leaky_relu(0.2)",
            other => other,
        };
        ours.parse::<Activation>().map_err(|e| e.within(self.place()))
    }

    /// How a parameter starts, where it is one of the initialisers that both know; else `default`.
    pub fn init(&mut self, key: &str, default: Init) -> Init {
        self.take(key).and_then(|value| super::initialisers::from_keras(&value)).unwrap_or(default)
    }

    /// Refuses what nobody took and is not known to be harmless.
    ///
    /// # Errors
    /// The first option that is left.
    pub fn finish(self) -> Result<()> {
        let left = self.map.iter().find(|(key, value)| {
            !HARMLESS.contains(&key.as_str())
                && !key.ends_with("_initializer")
                && !DEFAULTS.contains(&value.to_string().as_str())
        });
        match left {
            None => Ok(()),
            Some((key, value)) => Err(self
                .error(&format!("its option {key} = {} is not known", short(value)))
                .with_help("set it to its default in Keras, if that does not change what the network computes")),
        }
    }

    /// An error that names the layer.
    pub fn error(&self, message: &str) -> Error {
        Error::new(ErrorKind::Format, format!("{}: {message}", self.place()))
    }

    /// The layer, as messages name it.
    pub fn place(&self) -> String {
        format!("layer '{}' ({})", self.name, self.class)
    }

    fn missing(&self, key: &str) -> Error {
        self.error(&format!("its option {key} is missing"))
    }

    fn wrong(&self, key: &str, value: &Json, expected: &str) -> Error {
        self.error(&format!("its option {key} = {} is not {expected}", short(value)))
    }
}

/// A whole number of 0 or more, also written as 2.0.
pub fn whole(value: &Json) -> Option<usize> {
    let size = value.as_u64().or_else(|| value.as_f64().filter(|v| v.fract() == 0.0 && *v >= 0.0).map(|v| v as u64));
    size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= 1 << 40)
}

// A number; NumPy's scalars are written as an object with a value.
fn scalar(value: &Json) -> Option<f32> {
    let number = value.as_f64().or_else(|| value.get("value")?.as_f64());
    number.map(|v| v as f32)
}

// All numbers of nested lists, in order; an array of Keras is an object with a list.
fn flat(value: &Json, to: &mut Vec<f32>) -> bool {
    match value {
        Json::Array(list) => list.iter().all(|value| flat(value, to)),
        Json::Object(map) => map.get("value").or_else(|| map.get("config")?.get("value")).is_some_and(|v| flat(v, to)),
        other => scalar(other).map(|v| to.push(v)).is_some(),
    }
}

/// A name, or the class or name of an object as Keras serialises it.
pub fn class_of(value: &Json) -> Option<String> {
    match value {
        Json::String(name) => Some(name.clone()),
        Json::Object(map) => match (map.get("config"), map.get("class_name")) {
            (Some(Json::String(name)), _) | (_, Some(Json::String(name))) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn short(value: &Json) -> String {
    let text = value.to_string();
    if text.len() <= 60 { text } else { format!("{}...", text.chars().take(57).collect::<String>()) }
}
