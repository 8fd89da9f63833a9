//! Settings that are written as a name alone, or as a table with the name and more.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use crate::error::{Error, Result, unknown};

/// Reads `"adam"` as well as `{ name = "adam", learning_rate = 0.01 }`.
///
/// ```
/// use serde::Deserialize;
/// use striate::train::{Optimizer, name_or_table};
///
/// #[derive(Deserialize)]
/// struct Training {
///     #[serde(deserialize_with = "name_or_table")]
///     optimizer: Optimizer,
/// }
/// let short: Training = serde_json::from_str(r#"{ "optimizer": "adam" }"#)?;
/// let long: Training = serde_json::from_str(r#"{ "optimizer": { "name": "adam", "learning_rate": 0.01 } }"#)?;
/// assert_eq!((short.optimizer.learning_rate(), long.optimizer.learning_rate()), (0.001, 0.01));
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// The name or a setting is unknown, or a value has the wrong type.
pub fn name_or_table<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = Error> + Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(NameOrTable(PhantomData))
}

struct NameOrTable<T>(PhantomData<T>);

impl<'de, T: FromStr<Err = Error> + Deserialize<'de>> Visitor<'de> for NameOrTable<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a table with settings")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<T, E> {
        name.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map_err(A::Error::custom)
    }
}

/// The value of `name` among `known`, whatever its case, hyphens and underscores.
///
/// Names in `known` before `listed` are shown in the error; those after it are aliases.
pub(crate) fn find<T: Copy>(what: &str, name: &str, known: &[(&str, T)], listed: usize) -> Result<T> {
    let wanted = plain(name);
    known
        .iter()
        .find(|(k, _)| plain(k) == wanted)
        .map(|(_, value)| *value)
        .ok_or_else(|| unknown(what, name, known[..listed].iter().map(|(k, _)| *k)))
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// An error unless `value` is finite and between `low` and `high`, both included.
pub(crate) fn within<T: Into<f64> + fmt::Display + Copy>(what: &str, value: T, low: f64, high: f64) -> Result<()> {
    let number = value.into();
    if number.is_finite() && number >= low && number <= high {
        return Ok(());
    }
    let range = match high.is_finite() {
        true => format!("between {low} and {high}"),
        false => format!("a finite number, at least {low}"),
    };
    Err(Error::argument(format!("{what} = {value} is out of range")).with_help(format!("it must be {range}")))
}
