//! `striate summary MODEL`: the layers with their shapes and parameters.

use serde_json::json;
use striate::{Model, Result};

use crate::args::SummaryArgs;
use crate::out::say;
use crate::{input, out};

pub fn run(args: &SummaryArgs) -> Result<()> {
    let options = args.size.options();
    if args.toml {
        let text = match input::recipe(&args.model, &options) {
            Ok(recipe) => recipe.to_toml()?,
            Err(_) if std::path::Path::new(&args.model).exists() => {
                let model = input::any_model(&args.model, 0, &args.network, &options)?;
                let train = input::settings(&model).unwrap_or_default();
                striate::zoo::Recipe { graph: model.graph().clone(), train }.to_toml()?
            }
            Err(e) => return Err(e),
        };
        out::raw(text.as_bytes());
        return Ok(());
    }
    let model = input::any_model(&args.model, 0, &args.network, &options)?;
    if args.json {
        out::json(as_json(&model));
    } else {
        say!("{}", striate::summary(&model));
        say!("Multiply-adds for one sample: {}", out::thousands(model.graph().mul_adds()));
        about(&model).iter().for_each(|line| say!("{line}"));
    }
    Ok(())
}

// What a trained model tells about itself.
fn about(model: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    if !model.labels.is_empty() {
        lines.push(format!("Classes: {}", input::list(&model.labels)));
    }
    if let (Some(data), Some(train)) = (input::trained_on(model), input::settings(model)) {
        let (name, rate) = (train.optimizer.name(), train.optimizer.learning_rate());
        let length = train.updates.map_or(format!("{} epochs", train.epochs), |n| format!("{n} updates"));
        lines.push(format!(
            "Trained on {data}: {length}, {name} at {rate}, batches of {}, seed {}",
            train.batch_size, train.seed
        ));
    }
    let test = model.record.entries.get("test").unwrap_or(&serde_json::Value::Null);
    if let (Some(loss), Some(accuracy), Some(n)) =
        (test["loss"].as_f64(), test["accuracy"].as_f64(), test["samples"].as_u64())
    {
        lines.push(format!("Test: loss {loss:.4}, accuracy {accuracy:.4} ({} samples)", out::thousands(n)));
    }
    if !model.record.entries.is_empty() {
        lines.push(format!("Digest of the weights: {}", input::digest(model)));
    }
    lines
}

fn as_json(model: &Model) -> serde_json::Value {
    let graph = model.graph();
    let layers: Vec<_> = graph
        .nodes()
        .iter()
        .map(|node| {
            let params: usize = graph.params(node).iter().map(striate::ops::ParamSpec::len).sum();
            let inputs: Vec<&str> = node.inputs.iter().map(|v| graph.node(*v).name.as_str()).collect();
            json!({ "name": node.name, "class": node.op.rule().class(), "shape": node.shape.dims(), "params": params, "inputs": inputs })
        })
        .collect();
    let (trainable, fixed) = model.count_params();
    json!({ "name": graph.name(), "layers": layers, "trainable_params": trainable, "non_trainable_params": fixed, "mul_adds": graph.mul_adds(), "classes": model.labels, "record": model.record.entries, "digest": input::digest(model) })
}
