//! `striate predict MODEL IMAGE...`: the most probable classes of each image.

use std::path::Path;

use serde_json::json;
use striate::data::{Image, Preprocess};
use striate::session::Session;
use striate::{Error, Model, Result};

use crate::args::PredictArgs;
use crate::out::say;
use crate::{input, out};

pub fn run(args: &PredictArgs) -> Result<()> {
    if args.top == 0 {
        return Err(Error::argument("--top 0 shows nothing").with_help("give at least 1"));
    }
    let model = input::model(&args.model)?;
    let preprocess = model.preprocess.clone().ok_or_else(|| {
        Error::argument(format!("{} does not say how an image becomes its input", args.model.display()))
            .with_help("train it with `striate train`, which stores that in the model")
    })?;
    let mut session = Session::new(&model, args.machine.machine()?)?;
    // All images are looked at before any is answered, so that a bad one does not cut a list short.
    let inputs: Vec<Vec<f32>> = args.images.iter().map(|path| read(path, &preprocess)).collect::<Result<_>>()?;
    let mut answers = Vec::new();
    for (path, x) in args.images.iter().zip(&inputs) {
        session.infer(x, 1)?;
        let top = best(&both(&session.output()), args.top);
        if args.json {
            let top: Vec<_> =
                top.iter().map(|(i, p)| json!({ "class": label(&model, *i), "probability": p })).collect();
            answers.push(json!({ "image": path.display().to_string(), "top": top }));
        } else {
            let top: Vec<String> =
                top.iter().map(|(i, p)| format!("{} {:.2} %", label(&model, *i), p * 100.0)).collect();
            say!("{}: {}", path.display(), top.join(", "));
        }
    }
    if args.json {
        out::json(answers.into());
    }
    Ok(())
}

fn read(path: &Path, preprocess: &Preprocess) -> Result<Vec<f32>> {
    if path.is_dir() {
        return Err(Error::argument(format!("{} is a folder, not an image", path.display()))
            .with_help(format!("give its files: {}", path.join("*.png").display())));
    }
    let image = Image::open(path)?;
    preprocess.apply(&image).map_err(|e| e.within(path.display()))
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
