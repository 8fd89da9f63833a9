//! `striate evaluate MODEL DATA`: loss, accuracy, and what is confused with what.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::json;
use striate::Result;
use striate::data::Dataset;
use striate::session::{Machine, Session};
use striate::train::{EvaluateConfig, Evaluation, Loss, evaluate};
use striate::{Error, Model};

use crate::args::EvaluateArgs;
use crate::input::Wanted;
use crate::out::say;
use crate::progress::Bar;
use crate::run_folder::legend;
use crate::{input, out, sample, stop};

pub fn run(args: &EvaluateArgs) -> Result<()> {
    if args.batch_size == 0 {
        return Err(Error::argument("a batch of 0 samples cannot be run").with_help("give --batch-size of at least 1"));
    }
    let model = input::trained(&args.model, &Wanted { network: &args.feed.network, offline: false })?;
    let name = args.data.clone().or_else(|| input::trained_on(&model)).ok_or_else(|| {
        Error::argument(format!("{} does not say what it was trained on", args.model))
            .with_help(format!("give a data set: striate evaluate {} mnist", args.model))
    })?;
    let preprocess = sample::preprocess(model.preprocess.as_ref(), &args.feed.pixels, model.graph().input_shape()?)?;
    let split = input::data(&name, preprocess.as_ref())?;
    let part = if args.on == "test" { split.test } else { split.train };
    let data = &*sample::prepared(part, preprocess.as_ref());
    input::same_classes(&model, data)?;
    let loss = input::settings(&model).map_or_else(Loss::default, |settings| settings.loss);
    let trial = Trial { batch_size: args.batch_size, loss: &loss, machine: args.feed.machine.machine()? };
    let result = measure(&model, data, trial, args.answer.is_short())?;
    let accuracy = result.accuracy();
    if args.answer.json {
        let (low, high) = result.confusion.accuracy_interval();
        let class = |(i, name): (usize, &String)| {
            let s = result.confusion.score(i);
            json!({ "class": name, "precision": s.precision, "recall": s.recall, "f1": s.f1, "support": s.support })
        };
        let n = result.confusion.classes();
        let classes: Vec<_> = data.classes().iter().take(n).enumerate().map(class).collect();
        let row = |label| (0..n).map(|predicted| result.confusion.count(label, predicted)).collect();
        let rows: Vec<Vec<u64>> = (0..n).map(row).collect();
        let report = json!({
            "data": data.name(), "part": args.on, "samples": result.samples, "loss": result.loss, "accuracy": accuracy,
            "accuracy_95": [low, high], "confusion": rows, "classes": classes,
        });
        out::json(report);
        return Ok(());
    }
    if args.answer.quiet {
        say!("loss {:.4} accuracy {accuracy:.4}", result.loss);
        return Ok(());
    }
    say!("\n{}", verdict(&format!("{} {}", data.name(), args.on), &result));
    say!("\nWhat was taken for what:\n{}{}", legend(data.classes()), result.confusion);
    Ok(())
}

/// One line on an evaluation, with the interval of the accuracy.
pub fn verdict(name: &str, result: &Evaluation) -> String {
    let (low, high) = result.confusion.accuracy_interval();
    format!(
        "{name}: loss {:.4}, accuracy {:.4} (95 % interval {low:.4} to {high:.4}, {} samples)",
        result.loss,
        result.accuracy(),
        out::thousands(result.samples)
    )
}

/// How a model is measured.
pub struct Trial<'a> {
    /// Samples in a batch.
    pub batch_size: usize,
    /// The loss, as in training.
    pub loss: &'a Loss,
    /// The machine to run on.
    pub machine: Machine,
}

/// Evaluates with a progress line as Keras shows it: `313/313 [====] - 1s 3ms/step - loss: ... - accuracy: ...`.
pub fn measure(model: &Model, data: &dyn Dataset, trial: Trial<'_>, quiet: bool) -> Result<Evaluation> {
    let mut session = Session::new(model, trial.machine)?;
    let mut bar = Bar::new(quiet);
    let start = Instant::now();
    let flag = stop::flag();
    let config = EvaluateConfig { loss: trial.loss, batch_size: trial.batch_size };
    let result = evaluate(&mut session, data, config, &mut |done, of| {
        bar.show(done as u64, of as u64, start.elapsed().as_secs_f64(), "");
        if flag.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let result = result.inspect_err(|_| bar.abandon())?;
    let rest = format!(" - loss: {:.4} - accuracy: {:.4}", result.loss, result.accuracy());
    bar.finish(result.steps as u64, start.elapsed().as_secs_f64(), &rest);
    Ok(result)
}
