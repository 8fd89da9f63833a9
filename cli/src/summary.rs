//! `striate summary MODEL`: the layers with their shapes and parameters.

use serde_json::json;
use striate::{Model, Result};

use crate::args::SummaryArgs;
use crate::input;

pub fn run(args: &SummaryArgs) -> Result<()> {
    if args.toml {
        let text = match input::recipe(&args.model) {
            Ok(recipe) => recipe.to_toml()?,
            Err(_) if std::path::Path::new(&args.model).exists() => {
                let model = input::any_model(&args.model, 0)?;
                let train = striate::train::FitConfig::default();
                striate::zoo::Recipe { graph: model.graph().clone(), train }.to_toml()?
            }
            Err(e) => return Err(e),
        };
        print!("{text}");
        return Ok(());
    }
    let model = input::any_model(&args.model, 0)?;
    if args.json {
        println!("{}", as_json(&model));
    } else {
        println!("{}", striate::summary(&model));
        println!("Multiply-adds for one sample: {}", model.graph().mul_adds());
    }
    Ok(())
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
    json!({ "name": graph.name(), "layers": layers, "trainable_params": trainable, "non_trainable_params": fixed, "mul_adds": graph.mul_adds() })
}
