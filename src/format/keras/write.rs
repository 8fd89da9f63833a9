//! The files: an archive of config and weights, one HDF5 file with both, or weights alone.

use serde_json::{Map, Value as Json, json};

use super::Kind;
use super::export::{Exported, layers};
use super::network::bad;
use crate::error::Result;
use crate::format::h5::Group;
use crate::format::zip::Writer;
use crate::model::{Model, Param};

// The version whose form is written.
const VERSION: &str = "3.15.1";

/// The bytes of a model as a Keras file.
pub fn file(model: &Model, kind: Kind) -> Result<Vec<u8>> {
    let layers = layers(model)?;
    match kind {
        Kind::Keras => archive(model, &layers),
        Kind::H5 => whole(model, &layers),
        Kind::WeightsH5 => weights(model, &layers),
    }
}

fn archive(model: &Model, layers: &[Exported]) -> Result<Vec<u8>> {
    let config = network(model, layers, true).to_string();
    let metadata = json!({ "keras_version": VERSION, "striate": extras(model)? }).to_string();
    let weights = weights(model, layers)?;
    let entries =
        [("metadata.json", metadata.as_bytes()), ("config.json", config.as_bytes()), (super::WEIGHTS, &weights)];
    let write = || {
        let mut archive = Writer::new(Vec::new());
        entries.iter().try_for_each(|(name, data)| archive.add(name, data))?;
        archive.finish()
    };
    write().map_err(|e: std::io::Error| bad(format!("the archive cannot be made: {e}")))
}

// What Keras has no place for, and passes over.
fn extras(model: &Model) -> Result<Json> {
    let value = |v: serde_json::Result<Json>| v.map_err(|e| bad(format!("the model's labels or record: {e}")));
    Ok(json!({
        "labels": model.labels,
        "preprocess": value(serde_json::to_value(&model.preprocess))?,
        "record": value(serde_json::to_value(&model.record))?,
    }))
}

fn weights(model: &Model, layers: &[Exported]) -> Result<Vec<u8>> {
    let mut root = Group::default();
    root.group("layers")?;
    for (layer, path) in layers.iter().zip(Exported::paths(layers)) {
        if layer.weights.is_empty() {
            continue;
        }
        let vars = root.group(&format!("{path}/vars"))?;
        vars.text("name", &layer.name);
        for (i, weight) in layer.weights.iter().enumerate() {
            vars.tensor(&i.to_string(), &weight.dims, param(model, &weight.param)?.data.to_vec())?;
        }
    }
    root.to_file()
}

fn whole(model: &Model, layers: &[Exported]) -> Result<Vec<u8>> {
    let mut root = Group::default();
    root.text("keras_version", VERSION);
    root.text("backend", "tensorflow");
    root.text("model_config", &network(model, layers, false).to_string());
    root.text("striate", &extras(model)?.to_string());
    let group = root.group("model_weights")?;
    group.text("keras_version", VERSION);
    group.text("backend", "tensorflow");
    group.texts("layer_names", &layers.iter().map(|l| l.name.clone()).collect::<Vec<_>>());
    group.group("top_level_model_weights")?.texts("weight_names", &[]);
    for layer in layers {
        let inner = group.group(&layer.name)?;
        inner.texts("weight_names", &layer.weights.iter().map(|w| w.param.clone()).collect::<Vec<_>>());
        for weight in &layer.weights {
            inner.tensor(&weight.param, &weight.dims, param(model, &weight.param)?.data.to_vec())?;
        }
    }
    root.to_file()
}

fn param<'a>(model: &'a Model, name: &str) -> Result<&'a Param> {
    let param = model.params().iter().find(|p| p.name == name);
    param.ok_or_else(|| bad(format!("the model has no parameter '{name}'")))
}

// The config of the whole model; `modern` is the form of a .keras file, else that of an .h5 file.
fn network(model: &Model, layers: &[Exported], modern: bool) -> Json {
    let graph = model.graph();
    let chain = layers.iter().enumerate().skip(1).all(|(i, layer)| layer.inputs == [i - 1]);
    let list: Vec<Json> = layers.iter().map(|l| entry(l, (!chain).then_some(layers), modern)).collect();
    let mut config = json!({ "name": graph.name(), "trainable": true, "layers": list });
    let class = if chain { "Sequential" } else { "Functional" };
    if !chain {
        let end = |layer: Option<&Exported>| layer.map(|l| json!([l.name, 0, 0])).unwrap_or_default();
        config["input_layers"] = end(layers.first());
        config["output_layers"] = end(layers.last());
    }
    let mut whole = object(class, config, modern, if chain { "keras" } else { "keras.src.models.functional" });
    if modern && !chain {
        whole["registered_name"] = json!(class);
    }
    whole
}

fn object(class: &str, config: Json, modern: bool, module: &str) -> Json {
    match modern {
        true => json!({ "module": module, "class_name": class, "config": config, "registered_name": null }),
        false => json!({ "class_name": class, "config": config }),
    }
}

fn entry(layer: &Exported, all: Option<&[Exported]>, modern: bool) -> Json {
    let mut config = Map::new();
    config.insert("name".into(), json!(layer.name));
    if layer.class != "InputLayer" {
        config.insert("trainable".into(), json!(true));
    }
    config.insert("dtype".into(), json!("float32"));
    config.extend(layer.config.clone());
    let mut entry = object(layer.class, Json::Object(config), modern, "keras.layers");
    if let Some(all) = all {
        entry["name"] = json!(layer.name);
        entry["inbound_nodes"] = json!(inbound(layer, all));
    }
    entry
}

fn inbound(layer: &Exported, all: &[Exported]) -> Vec<Json> {
    // Keras works shapes out anew, but wants one.
    let tensor = |i: &usize| {
        let config = json!({ "shape": [null], "dtype": "float32", "keras_history": [all[*i].name, 0, 0] });
        json!({ "class_name": "__keras_tensor__", "config": config })
    };
    let tensors: Vec<Json> = layer.inputs.iter().map(tensor).collect();
    match tensors.as_slice() {
        [] => Vec::new(),
        [one] => vec![json!({ "args": [one], "kwargs": {} })],
        several => vec![json!({ "args": [several], "kwargs": {} })],
    }
}
