//! Keras files: whole models as `.keras` and `.h5`, and weights alone as `.weights.h5` and the older `.h5`.
//!
//! [`read`] tells the form by content. Layers become the ops of striate with
//! the same names; what cannot be done is named by layer, with what to do about
//! it. An option that is not known and not at its default is an error, since it
//! may change what the network computes.
//!
//! | file | `fields` to `layers` | weights |
//! |---|---|---|
//! | `network`, `calls`, `classic` | Keras 1, 2, 3: one flat list of layers | `store`: where they are |
//! | `layers`, `convs`, `pools` | a layer as ops | `build`: each to its parameter |
//!
//! Nothing in a file is executed: `Lambda` layers are refused like any other class that is not known.

mod build;
mod calls;
mod classic;
mod convs;
mod fields;
mod initialisers;
mod layers;
mod naming;
mod network;
mod pools;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::Value as Json;

use self::layers::Context;
use self::network::bad;
use self::store::Store;
use super::h5::{File, MAGIC};
use super::sniff;
use super::zip::Archive;
use crate::error::Result;
use crate::model::Model;

/// The model of a `.keras` or whole-model `.h5` file, told by its content.
///
/// The weights are as they were, to the bit. Labels, preprocessing and record come back where striate wrote the file.
///
/// # Errors
/// The bytes are no such file, damaged, or the model has what striate does not: the layer is named.
pub fn read(bytes: &[u8]) -> Result<Model> {
    if bytes.starts_with(b"PK") {
        return read_archive(bytes);
    }
    if bytes.starts_with(MAGIC) {
        return read_h5(bytes);
    }
    let found = sniff::looks_like(&bytes[..bytes.len().min(64)]).unwrap_or("something else");
    Err(bad(format!("expected a Keras file (.keras or .h5), found {found}")))
}

fn read_archive(bytes: &[u8]) -> Result<Model> {
    let path = Path::new(".keras archive");
    let archive = Archive::open(path, bytes)?;
    let entry = |name: &str| {
        let entry = archive.entries().iter().find(|e| e.name == name);
        entry.map(|e| archive.read(e)).transpose()?.ok_or_else(|| bad(format!("the .keras archive has no {name}")))
    };
    let config = json("config.json", &entry("config.json")?)?;
    let weights = entry("model.weights.h5")?;
    model(&config, Store::Paths(File::open(&weights)?), 3, None)
}

fn read_h5(bytes: &[u8]) -> Result<Model> {
    let file = File::open(bytes)?;
    let config = file.text("", "model_config")?.ok_or_else(|| {
        bad("this .h5 file holds weights, but no network")
            .with_help("give the network they belong to, or save the whole model in Keras: model.save(\"model.keras\")")
    })?;
    let config = json("model_config", config.as_bytes())?;
    let (version, backend) = written_by(&file)?;
    model(&config, Store::of(file)?, version, backend.as_deref())
}

// The version of Keras that wrote a file, and its backend; Keras 1 says neither.
fn written_by(file: &File<'_>) -> Result<(u32, Option<String>)> {
    let say = |name: &str| {
        let inner = if file.has_group("model_weights") { file.text("model_weights", name)? } else { None };
        Ok::<_, crate::Error>(file.text("", name)?.or(inner))
    };
    let version = say("keras_version")?.and_then(|v| v.split('.').next()?.parse().ok()).unwrap_or(1);
    Ok((version, say("backend")?))
}

fn model(config: &Json, store: Store<'_>, version: u32, backend: Option<&str>) -> Result<Model> {
    let network = network::flatten(config)?;
    let context = Context { version, channels_first: network.channels_first };
    let flip = match backend {
        Some(name) => version < 3 && name == "theano",
        None => version < 2 && context.channels_first,
    };
    if flip {
        tracing::warn!("the kernels are taken for Theano's, which flips them, and are turned around");
    }
    if context.channels_first {
        tracing::warn!("the network was built with its channels first; here its images are [h, w, c]");
    }
    let (graph, needs) = build::graph(network, context)?;
    let mut model = Model::without_weights(graph)?;
    build::fill(&mut model, &needs, &store, flip)?;
    Ok(model)
}

fn json(name: &str, text: &[u8]) -> Result<Json> {
    serde_json::from_slice(text).map_err(|e| bad(format!("{name} is not JSON: {e}")))
}
