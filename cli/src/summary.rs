//! `striate summary MODEL`: the layers with their shapes and parameters, and what they cost.

use serde_json::json;
use striate::inspect::{Axis, Field, Layer, Layers, draw, draw_volumes};
use striate::session::Machine;
use striate::train::{MemoryUse, Optimizer, memory_of_inference, memory_of_training};
use striate::{Error, Model, Node, Result};

use crate::args::SummaryArgs;
use crate::out::say;
use crate::{input, out};

pub fn run(args: &SummaryArgs) -> Result<()> {
    let options = args.of.size.options();
    if args.toml {
        let text = match input::recipe(&args.model, &options) {
            Ok(recipe) => recipe.to_toml()?,
            Err(_) if std::path::Path::new(&args.model).exists() => {
                let model = input::any_model(&args.model, 0, &args.of.network, &options)?;
                let train = input::settings(&model).unwrap_or_default();
                striate::zoo::Recipe { graph: model.graph().clone(), train }.to_toml()?
            }
            Err(e) => return Err(e),
        };
        out::raw(text.as_bytes());
        return Ok(());
    }
    let model = input::any_model(&args.model, 0, &args.of.network, &options)?;
    if let Some(path) = &args.draw {
        let picture = if args.volumes { draw_volumes(model.graph()) } else { draw(model.graph()) };
        let remedy = |e: Error| if args.volumes { e.with_help("leave out --volumes; blocks show branches") } else { e };
        picture.map_err(remedy)?.save(path)?;
        say!("Drawn: {}", path.display());
        return Ok(());
    }
    let needs = Needs::of(&model, args)?;
    if args.json {
        out::json(as_json(&model, &needs)?);
        return Ok(());
    }
    if args.details {
        say!("{}", Layers::of(model.graph())?);
    } else {
        say!("{}", striate::summary(&model));
    }
    say!("Multiply-adds for one sample: {}", out::thousands(model.graph().mul_adds()));
    say!("{}", needs.in_words());
    about(&model).iter().for_each(|line| say!("{line}"));
    Ok(())
}

// The memory that the network takes.
struct Needs {
    batch: usize,
    optimizer: Optimizer,
    training: MemoryUse,
    inference: MemoryUse,
}

impl Needs {
    fn of(model: &Model, args: &SummaryArgs) -> Result<Self> {
        let settings = input::settings(model);
        let recipe = || input::recipe(&args.model, &args.of.size.options()).ok().map(|recipe| recipe.train);
        let optimizer = settings.or_else(recipe).unwrap_or_default().optimizer;
        let (batch, machine) = (usize::from(args.batch), Machine::default());
        let training = memory_of_training(model.graph(), &optimizer, batch, &machine)?;
        Ok(Self { batch, optimizer, training, inference: memory_of_inference(model.graph(), 1, &machine)? })
    }

    fn in_words(&self) -> String {
        let mb = |bytes: usize| format!("{:.1}", bytes as f64 / 1e6);
        let t = self.training;
        format!(
            "Memory: a training step at batch {} with {} needs about {} MB (weights {}, gradients {}, optimizer {}, \
             activations {}, scratch {}); a prediction at batch 1 about {} MB",
            self.batch,
            self.optimizer.name(),
            mb(t.total()),
            mb(t.weights),
            mb(t.gradients),
            mb(t.optimizer),
            mb(t.values),
            mb(t.scratch),
            mb(self.inference.total())
        )
    }

    fn as_json(&self) -> serde_json::Value {
        let parts = |m: &MemoryUse| {
            json!({ "weights": m.weights, "ready": m.ready, "gradients": m.gradients, "optimizer": m.optimizer,
                    "activations": m.values, "scratch": m.scratch, "total": m.total() })
        };
        json!({ "training": { "batch": self.batch, "optimizer": self.optimizer.name(), "bytes": parts(&self.training) },
                "inference": { "batch": 1, "bytes": parts(&self.inference) } })
    }
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

fn as_json(model: &Model, needs: &Needs) -> Result<serde_json::Value> {
    let graph = model.graph();
    let layer = |(node, layer): (&Node, &Layer)| {
        let inputs: Vec<&str> = node.inputs.iter().map(|v| graph.node(*v).name.as_str()).collect();
        json!({ "name": layer.name, "class": layer.class, "shape": layer.shape.dims(), "params": layer.params,
                "inputs": inputs, "mul_adds": layer.mul_adds, "bytes": layer.bytes, "receptive_field": field(&layer.field),
                "predicts": layer.predicts })
    };
    let layers: Vec<_> = graph.nodes().iter().zip(&Layers::of(graph)?.all).map(layer).collect();
    let heads = graph.heads().iter().map(|h| json!({ "layer": graph.node(h.value).name, "weight": h.weight }));
    let (trainable, fixed) = model.count_params();
    Ok(json!({
        "name": graph.name(), "layers": layers, "output": graph.node(graph.output()?).name,
        "heads": heads.collect::<Vec<_>>(), "trainable_params": trainable, "non_trainable_params": fixed,
        "mul_adds": graph.mul_adds(), "memory": needs.as_json(), "classes": model.labels,
        "record": model.record.entries, "digest": input::digest(model)
    }))
}

// The text `all`, or sizes and jumps by axis.
fn field(field: &Field) -> serde_json::Value {
    match field {
        Field::All => json!("all"),
        Field::Window(axes) => {
            let of = |f: fn(&Axis) -> f64| axes.iter().map(f).collect::<Vec<f64>>();
            json!({ "size": of(|a| a.size), "jump": of(|a| a.jump) })
        }
    }
}
