//! A network with its training settings, and its TOML form.
//!
//! ```toml
//! name = "tiny"
//! input = [28, 28, 1]
//!
//! [train]
//! epochs = 2
//! batch_size = 100
//! optimizer = { name = "sgd", learning_rate = 0.1 }
//!
//! [[layer]]
//! op = "conv2d"
//! filters = 8
//! kernel = 5
//! activation = "relu"
//!
//! [[layer]]
//! op = "flatten"
//!
//! [[layer]]
//! op = "dense"
//! units = 10
//! activation = "softmax"
//! ```

use serde_json::{Map, Value as Json};

use crate::error::{Error, Result, nearest};
use crate::graph::Graph;
use crate::train::FitConfig;

/// A network and the settings that it is trained with.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The network.
    pub graph: Graph,
    /// The settings.
    pub train: FitConfig,
}

impl Recipe {
    /// Reads a TOML text.
    ///
    /// # Errors
    /// The text is not TOML (line and column are given), an entry is unknown or wrong, or the shapes do not fit.
    pub fn from_toml(text: &str) -> Result<Self> {
        let mut document: Map<String, Json> =
            toml::from_str(text).map_err(|e| Error::argument(format!("this is not a network in TOML: {e}")))?;
        let train = match document.remove("train") {
            None => FitConfig::default(),
            Some(settings) => serde_json::from_value(settings).map_err(|e| settings_error(&e))?,
        };
        train.validate()?;
        Ok(Self { graph: Graph::from_document(document)?, train })
    }

    /// Changes one training setting by its name; a dot goes into a table, and `learning_rate` is the optimiser's.
    ///
    /// ```
    /// let mut recipe = striate::zoo::recipe("keras-mnist")?;
    /// recipe.set("optimizer", "rmsprop".into())?;
    /// recipe.set("optimizer.rho", 0.95.into())?;
    /// recipe.set("learning_rate", 0.003.into())?;
    /// assert_eq!(recipe.train.optimizer.learning_rate(), 0.003);
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such setting, or the value is not one for it.
    pub fn set(&mut self, name: &str, value: Json) -> Result<()> {
        let path = if name == "learning_rate" { "optimizer.learning_rate" } else { name };
        let mut settings = serde_json::to_value(&self.train).map_err(|e| Error::argument(format!("settings: {e}")))?;
        let mut place = &mut settings;
        for key in path.split('.') {
            let Json::Object(table) = place else {
                return Err(Error::argument(format!(
                    "there is no setting '{name}': what is before its last dot is no table"
                ))
                .with_help("`striate summary NETWORK --toml` shows all settings"));
            };
            place = table.entry(key).or_insert(Json::Null);
        }
        *place = value;
        let train: FitConfig = serde_json::from_value(settings).map_err(|e| match settings_error(&e) {
            error if error.help().is_some() => error,
            error => error.with_help("`striate summary NETWORK --toml` shows all settings"),
        })?;
        train.validate()?;
        self.train = train;
        Ok(())
    }

    /// The recipe as a TOML text; [`Recipe::from_toml`] gives the same recipe back.
    ///
    /// # Errors
    /// The graph holds a custom op.
    pub fn to_toml(&self) -> Result<String> {
        let document = self.graph.to_document()?;
        let mut text = format!("name = {}\ninput = {}\n", document["name"], inline(&document["input"]));
        for key in ["output", "heads"] {
            document.get(key).iter().for_each(|value| text.push_str(&format!("{key} = {}\n", inline(value))));
        }
        text.push_str("\n[train]\n");
        let train = serde_json::to_value(&self.train).map_err(|e| Error::argument(format!("settings: {e}")))?;
        write_fields(&mut text, &train, &[]);
        for layer in document["layer"].as_array().into_iter().flatten() {
            text.push_str("\n[[layer]]\n");
            write_fields(&mut text, layer, &["op", "name", "inputs"]);
        }
        Ok(text)
    }
}

// The unknown field that serde names, with the nearest known one.
fn settings_error(error: &serde_json::Error) -> Error {
    let message = error.to_string();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let result = Error::argument(format!("[train]: {message}"));
    match quoted.split_first().and_then(|(name, known)| nearest(name, known)) {
        Some(near) if message.starts_with("unknown") => result.with_help(format!("did you mean '{near}'?")),
        _ => result,
    }
}

// `key = value` lines, the keys of `first` in front; entries without a value are left out.
fn write_fields(text: &mut String, table: &Json, first: &[&str]) {
    let Json::Object(fields) = table else { return };
    let front = first.iter().filter_map(|key| fields.get_key_value(*key));
    let rest = fields.iter().filter(|(key, _)| !first.contains(&key.as_str()));
    for (key, value) in front.chain(rest).filter(|(_, value)| !value.is_null()) {
        text.push_str(&format!("{key} = {}\n", inline(value)));
    }
}

// A value on one line of TOML.
fn inline(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Json::Object(fields) => {
            let entries: Vec<String> =
                fields.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| format!("{k} = {}", inline(v))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Json::Number(number) => short(number),
        other => other.to_string(),
    }
}

// A number that is an f32 is written with the digits of an f32: 0.1, not 0.10000000149011612.
fn short(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(v) if number.is_f64() && f64::from(v as f32) == v => format!("{:?}", v as f32),
        _ => number.to_string(),
    }
}
