//! Where a file keeps its weights: by path since Keras 3, by the name of the layer before.
//!
//! ```text
//! Keras 3   layers/conv2d_1/vars/0, /1, ...              counted by class in the order of the model's layers
//! before    conv_a/{weight_names[0], weight_names[1]}    in groups named by layer; names say layer and parameter
//! ```

use super::network::{Home, bad};
use crate::error::{Error, Result};
use crate::format::h5::File;

/// The sizes of a tensor's axes, and its numbers.
pub type Tensor = (Vec<usize>, Vec<f32>);

/// An HDF5 file in one of the two layouts.
pub enum Store<'a> {
    /// The layout of Keras 3.
    Paths(File<'a>),
    /// The older layout, in a group of the file.
    Groups {
        /// The file.
        file: File<'a>,
        /// The group that lists the layers: `model_weights`, or the root.
        root: String,
    },
}

impl<'a> Store<'a> {
    /// The store of an HDF5 file, told by what it holds.
    ///
    /// # Errors
    /// It holds no weights in either layout.
    pub fn of(file: File<'a>) -> Result<Self> {
        if file.has_group("model_weights") {
            return Ok(Self::Groups { file, root: "model_weights".into() });
        }
        if file.texts("", "layer_names").is_ok() {
            return Ok(Self::Groups { file, root: String::new() });
        }
        if file.has_group("layers") || file.has_group("_layer_checkpoint_dependencies") {
            return Ok(Self::Paths(file));
        }
        Err(bad("the file holds no weights in a layout of Keras")
            .with_help("expected a group `layers`, a group `model_weights`, or an attribute `layer_names`"))
    }

    /// The weights of the layer `name`, whose parameters are called `params`, in order.
    ///
    /// # Errors
    /// They are not there, damaged, or not so many.
    pub fn layer(&self, name: &str, home: &Home, params: &[&str]) -> Result<Vec<Tensor>> {
        let tensors = match self {
            Self::Paths(file) => by_path(file, &home.path, params.len()),
            Self::Groups { file, root } => by_group(file, &join(root, &home.group), name, home.nested, params),
        };
        tensors.map_err(|e: Error| e.within(format_args!("layer '{name}'")))
    }

    /// The layers that have weights, each by name with its [`Home`]: in the order of the file in the older layout.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn weighted(&self) -> Result<Vec<(String, Home)>> {
        let mut found = Vec::new();
        let home = |path: &str, group: &str| Home {
            path: path.to_string(),
            group: group.to_string(),
            nested: false,
            again: false,
        };
        match self {
            Self::Groups { file, root } => {
                for name in file.texts(root, "layer_names")? {
                    if !file.texts(&join(root, &name), "weight_names")?.is_empty() {
                        found.push((name.clone(), home("", &name)));
                    }
                }
            }
            Self::Paths(file) => {
                for vars in file.groups().filter(|path| path.ends_with("/vars")) {
                    if let Some(name) = file.text(vars, "name")? {
                        found.push((name, home(vars.trim_end_matches("/vars"), "")));
                    }
                }
            }
        }
        Ok(found)
    }
}

fn join(root: &str, name: &str) -> String {
    if root.is_empty() { name.to_string() } else { format!("{root}/{name}") }
}

fn by_path(file: &File<'_>, path: &str, count: usize) -> Result<Vec<Tensor>> {
    // TensorFlow 2.13 called the same list differently.
    let path = match file.has_group("layers") {
        true => path.to_string(),
        false => path.replacen("layers", "_layer_checkpoint_dependencies", 1),
    };
    let vars = format!("{path}/vars");
    let held = file.count(&vars);
    if held != count {
        return Err(bad(format!("it has {count} parameters, but the file holds {held} at {vars}"))
            .with_help("the weights are those of another network, or the layer has an option that is not known"));
    }
    (0..count).map(|i| file.tensor(&format!("{vars}/{i}"))).collect()
}

fn by_group(file: &File<'_>, group: &str, layer: &str, nested: bool, params: &[&str]) -> Result<Vec<Tensor>> {
    if !file.has_group(group) {
        return Err(bad(format!("the file has no weights under '{group}'")));
    }
    let names = file.texts(group, "weight_names")?;
    let found: Vec<&String> = match nested {
        true => params.iter().map(|p| told_apart(&names, layer, p)).collect::<Result<_>>()?,
        false if names.len() == params.len() => names.iter().collect(),
        false => {
            return Err(bad(format!("it has {} parameters, but the file holds {}", params.len(), names.len()))
                .with_help("the weights are those of another network, or the layer has an option that is not known"));
        }
    };
    found.iter().map(|name| file.tensor(&join(group, name))).collect()
}

// Of the weights of a whole model, the one that ends with the layer's name and the parameter's.
fn told_apart<'a>(names: &'a [String], layer: &str, param: &str) -> Result<&'a String> {
    let ends = |name: &str| {
        let plain = name.strip_suffix(":0").unwrap_or(name);
        let before = plain.strip_suffix(param).map(|b| b.strip_suffix("depthwise_").unwrap_or(b));
        let before = before.and_then(|b| b.strip_suffix('/').or_else(|| b.strip_suffix('_')));
        before.and_then(|b| b.strip_suffix(layer)).is_some_and(|b| b.is_empty() || b.ends_with('/'))
    };
    let found: Vec<&String> = names.iter().filter(|name| ends(name)).collect();
    match found[..] {
        [one] => Ok(one),
        _ => Err(bad(format!("{} of its model's weights are called '{layer}/{param}'", found.len()))
            .with_help("give each layer of the model inside a name of its own in Keras, and save it again")),
    }
}
