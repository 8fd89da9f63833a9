//! `striate predict MODEL IMAGE...`: the most probable classes of each image.

use serde_json::json;
use striate::ops::{Activation, Mode, Op};
use striate::session::Session;
use striate::{Error, ErrorKind, Graph, Model, Result};

use crate::args::PredictArgs;
use crate::input::{self, Wanted};
use crate::out::say;
use crate::{out, sample};

pub fn run(args: &PredictArgs) -> Result<()> {
    if args.top == 0 {
        return Err(Error::argument("--top 0 shows nothing").with_help("give at least 1"));
    }
    let model = input::trained(&args.model, &Wanted { network: &args.feed.network, offline: args.offline })?;
    let shape = model.graph().input_shape()?;
    let preprocess = sample::preprocess(model.preprocess.as_ref(), &args.feed.pixels, shape)?;
    let mut session = Session::new(&model, args.feed.machine.machine()?)?;
    // All images are looked at before any is answered, so that a bad one does not cut a list short.
    let inputs = args.images.iter().map(|path| sample::read(path, preprocess.as_ref(), shape));
    let inputs: Vec<Vec<f32>> = inputs.collect::<Result<_>>()?;
    let head = head(model.graph());
    let mut answers = Vec::new();
    for (path, all) in args.images.iter().zip(&inputs) {
        for (i, x) in all.chunks(shape.len()).enumerate() {
            session.infer(x, 1)?;
            let name = name(path, i, all.len() / shape.len());
            let top = best(&probabilities(&session.output(), head, &name)?, args.top);
            if args.json {
                let top = top.iter().map(|(i, p)| json!({ "class": label(&model, *i), "index": i, "probability": p }));
                answers.push(json!({ "image": name, "top": top.collect::<Vec<_>>() }));
            } else {
                let top: Vec<String> =
                    top.iter().map(|(i, p)| format!("{} {:.2} %", label(&model, *i), p * 100.0)).collect();
                say!("{name}: {}", top.join(", "));
            }
        }
    }
    if args.json {
        out::json(answers.into());
    }
    Ok(())
}

// An array may hold many samples, which are counted from 0.
fn name(path: &std::path::Path, i: usize, of: usize) -> String {
    if of == 1 { path.display().to_string() } else { format!("{}[{i}]", path.display()) }
}

// What the network ends with; views after it do not count.
fn head(graph: &Graph) -> Activation {
    let last = graph.nodes().iter().rev().find(|n| !n.op.rule().is_view(Mode::Infer));
    match last.map(|n| &n.op) {
        Some(Op::Activation(own)) => own.function,
        Some(op) => op.activation(),
        None => Activation::Linear,
    }
}

// Networks from PyTorch end before the softmax, which is then done here.
fn probabilities(output: &[f32], head: Activation, name: &str) -> Result<Vec<f32>> {
    if let Some(bad) = output.iter().find(|v| !v.is_finite()) {
        return Err(Error::new(ErrorKind::Numeric, format!("{name}: the network's output is {bad}, and no number"))
            .with_help("its weights or the input hold numbers that went bad; `striate check` tells where"));
    }
    match head {
        Activation::Softmax | Activation::Sigmoid => Ok(both(output)),
        _ if output.len() == 1 => Ok(output.to_vec()),
        _ => {
            let largest = output.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f64> = output.iter().map(|v| f64::from(v - largest).exp()).collect();
            let sum: f64 = powers.iter().sum();
            Ok(powers.iter().map(|p| (p / sum) as f32).collect())
        }
    }
}

// One output `p` stands for the two classes `1 - p` and `p`.
fn both(output: &[f32]) -> Vec<f32> {
    match output {
        [p] => vec![1.0 - p, *p],
        _ => output.to_vec(),
    }
}

// The `k` most probable classes; of equal ones the first comes first.
fn best(probabilities: &[f32], k: usize) -> Vec<(usize, f32)> {
    let mut order: Vec<(usize, f32)> = probabilities.iter().copied().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    order.truncate(k);
    order
}

fn label(model: &Model, class: usize) -> String {
    model.labels.get(class).cloned().unwrap_or_else(|| class.to_string())
}
