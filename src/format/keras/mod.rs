//! Keras files: whole models as `.keras` and `.h5`, and weights alone as `.weights.h5` and the older `.h5`.
//!
//! [`read`] tells the form by content. Layers become the ops of striate with
//! the same names; what cannot be done is named by layer, with what to do about
//! it. An option that is not known and not at its default is an error, since it
//! may change what the network computes.
//!
//! | step | reading | writing |
//! |---|---|---|
//! | the list of layers | `network`, `calls`, `classic` | `export` |
//! | a layer | `layers`, `convs`, `pools`, out of `fields` | `classes`, `windows` |
//! | weights and files | `store`, `build` | `write` |
//!
//! Nothing in a file is executed: `Lambda` layers are refused like any other class that is not known.

mod build;
mod calls;
mod classes;
mod classic;
mod convs;
mod export;
mod fields;
mod initialisers;
mod layers;
mod naming;
mod network;
mod norms;
mod norms_out;
mod pools;
mod shapes;
mod store;
mod weights;
mod windows;
mod write;

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

/// The forms in which a model is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `.keras`: an archive with config and weights, as Keras 3 writes it.
    Keras,
    /// `.h5`: the older form, one HDF5 file with config and weights.
    H5,
    /// `.weights.h5`: weights alone, in the layout of Keras 3.
    WeightsH5,
}

/// The bytes of a model as a file that Keras 3 opens and that predicts the same.
///
/// Labels, preprocessing and record are kept where Keras passes over them; the same model gives the same bytes.
///
/// # Errors
/// Keras has no layer that computes what one of the model's does; it is named.
pub fn write(model: &Model, kind: Kind) -> Result<Vec<u8>> {
    write::file(model, kind)
}

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

/// Fills a model with the weights of a `.weights.h5`, an older `.h5`, or a `.keras` file, and leaves the rest as it is.
///
/// Layers are found by name if the file has all names of the model's layers; else as Keras finds them, by their order
/// among the layers of their class (`.weights.h5`) or among all (older `.h5`).
///
/// # Errors
/// The bytes are no such file, or the weights do not fit the model, which is then as before.
pub fn read_weights(bytes: &[u8], model: &mut Model) -> Result<()> {
    if bytes.starts_with(b"PK") {
        let weights = entry(&Archive::open(Path::new(ARCHIVE), bytes)?, WEIGHTS)?;
        return weights::fill(model, Store::of(File::open(&weights)?)?);
    }
    weights::fill(model, Store::of(File::open(bytes)?)?)
}

const ARCHIVE: &str = ".keras archive";
const WEIGHTS: &str = "model.weights.h5";

fn entry(archive: &Archive<'_, '_>, name: &str) -> Result<Vec<u8>> {
    let entry = archive.entries().iter().find(|e| e.name == name);
    let entry = entry.ok_or_else(|| bad(format!("the .keras archive has no {name}")))?;
    Ok(archive.read(entry)?.into_owned())
}

fn read_archive(bytes: &[u8]) -> Result<Model> {
    let archive = Archive::open(Path::new(ARCHIVE), bytes)?;
    let config = json("config.json", &entry(&archive, "config.json")?)?;
    let metadata = json("metadata.json", &entry(&archive, "metadata.json")?)?;
    let weights = entry(&archive, WEIGHTS)?;
    let mut model = model(&config, Store::Paths(File::open(&weights)?), 3, None)?;
    extras(&mut model, metadata.get("striate"), &config["compile_config"])?;
    Ok(model)
}

// What striate wrote beside the network, and how Keras trained it.
fn extras(model: &mut Model, extras: Option<&Json>, training: &Json) -> Result<()> {
    if let Some(extras) = extras {
        let wrong = |e: serde_json::Error| bad(format!("the labels, preprocessing or record of striate: {e}"));
        let part = |key: &str| extras.get(key).cloned().unwrap_or_default();
        model.labels = serde_json::from_value(part("labels")).map_err(wrong)?;
        model.preprocess = serde_json::from_value(part("preprocess")).map_err(wrong)?;
        model.record = serde_json::from_value(part("record")).map_err(wrong)?;
    }
    if !training.is_null() {
        model.record.entries.insert("keras_training".into(), training.clone());
    }
    Ok(())
}

fn read_h5(bytes: &[u8]) -> Result<Model> {
    let file = File::open(bytes)?;
    let config = file.text("", "model_config")?.ok_or_else(|| {
        bad("this .h5 file holds weights, but no network")
            .with_help("give the network they belong to, or save the whole model in Keras: model.save(\"model.keras\")")
    })?;
    let config = json("model_config", config.as_bytes())?;
    let (version, backend) = written_by(&file)?;
    let parsed = |name: &str| file.text("", name)?.map_or(Ok(Json::Null), |text| json(name, text.as_bytes()));
    let (own, training) = (parsed("striate")?, parsed("training_config")?);
    let mut model = model(&config, Store::of(file)?, version, backend.as_deref())?;
    extras(&mut model, Some(&own).filter(|own| own.is_object()), &training)?;
    Ok(model)
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
