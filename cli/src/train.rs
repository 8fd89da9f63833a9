//! `striate train DATA`: the main job, from the data to a model that can be used.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use striate::data::{Dataset, Preprocess, Split, Subset};
use striate::rng::Rng;
use striate::train::{
    Callback, Checkpoints, EarlyStopping, EpochLog, Evaluation, Event, Fit, FitConfig, History, read_checkpoint,
};
use striate::zoo::Recipe;
use striate::{Error, ErrorKind, Model, Result};

use crate::args::TrainArgs;
use crate::evaluate::{measure, verdict};
use crate::progress::Bar;
use crate::run_folder::{CHECKPOINT, MODEL, RunFolder, about_program};
use crate::{input, stop};

// Samples of the test set that go into the model file, to be replayed when it is loaded.
const GOLDEN_SAMPLES: usize = 4;

/// What a run is about, however it was started.
struct Job {
    recipe: Recipe,
    data: String,
    validate: Option<String>,
    limit: Option<usize>,
    folder: RunFolder,
    resume: bool,
}

pub fn run(args: &TrainArgs) -> Result<()> {
    if !args.checkpoint_every.is_finite() || args.checkpoint_every < 0.0 {
        return Err(Error::argument(format!("--checkpoint-every {} is not a time", args.checkpoint_every))
            .with_help("give seconds, such as 5"));
    }
    let job = if let Some(folder) = &args.resume { resumed(args, folder)? } else { started(args)? };
    job.recipe.train.validate()?;
    let split = load(&job.recipe, &job.data)?;
    for skipped in split.skipped.iter() {
        eprintln!("warning: left out: {skipped}");
    }
    let (train, validation) = parts(&split, &job)?;
    let mut model = Model::new(job.recipe.graph.clone(), job.recipe.train.seed)?;
    model.labels = split.train.classes().to_vec();
    model.preprocess = split.train.preprocess().cloned();
    let quiet = args.quiet || args.json;
    if !quiet {
        println!("{}", striate::summary(&model));
    }
    let history = fit(args, &job, &mut model, &*train, validation.as_deref())?;
    if history.stopped {
        return Err(Error::new(
            ErrorKind::Stopped,
            format!(
                "stopped after {} updates; a checkpoint is in {}",
                history.step_loss.len(),
                job.folder.path().display()
            ),
        )
        .with_help(format!("go on with: striate train --resume {}", job.folder.path().display())));
    }
    finish(args, &job, model, &split, &history)
}

fn load(recipe: &Recipe, data: &str) -> Result<Split> {
    let resize = Preprocess::new(recipe.graph.input_shape()?.hwc()?).ok();
    input::data(data, resize.as_ref())
}

// A new run: the recipe with what the command line changes, and a new folder.
fn started(args: &TrainArgs) -> Result<Job> {
    let data = args.data.clone().unwrap_or_default();
    let mut recipe = input::recipe(&args.model)?;
    change(&mut recipe.train, args)?;
    recipe.train.validate()?;
    let short = Path::new(&data).file_name().map_or_else(|| "run".into(), |n| n.to_string_lossy().into_owned());
    // Before a folder is made, the data must be there.
    load(&recipe, &data)?;
    let folder = RunFolder::create(args.out.as_deref(), &short)?;
    folder.write("network.toml", &recipe.to_toml()?)?;
    let start = json!({ "data": data, "validate": args.validate, "limit": args.limit });
    folder.write("start.json", &format!("{start:#}\n"))?;
    folder.write_settings(&data, &args.model, &recipe.train, args.machine.machine()?.threads)?;
    Ok(Job { recipe, data, validate: args.validate.clone(), limit: args.limit, folder, resume: false })
}

// A run that goes on: everything comes from its folder.
fn resumed(args: &TrainArgs, path: &Path) -> Result<Job> {
    let folder = RunFolder::open(path)?;
    let (graph, mut train, _) = read_checkpoint(&folder.file(CHECKPOINT))?;
    let file = folder.file("start.json");
    let text = std::fs::read_to_string(&file).map_err(|e| Error::io(&file, "read", &e))?;
    let start: serde_json::Value = serde_json::from_str(&text).map_err(|e| Error::format(&file, e))?;
    let text = |key: &str| start[key].as_str().map(str::to_string);
    let data = text("data").ok_or_else(|| Error::format(&file, "it names no data set"))?;
    if let Some(asked) = args.data.as_ref().filter(|asked| **asked != data) {
        return Err(Error::argument(format!("the run in {} is on '{data}', not '{asked}'", path.display())));
    }
    train.epochs = args.epochs.unwrap_or(train.epochs);
    train.updates = args.updates.or(train.updates);
    let limit = start["limit"].as_u64().map(|n| n as usize);
    Ok(Job { recipe: Recipe { graph, train }, data, validate: text("validate"), limit, folder, resume: true })
}

fn change(config: &mut FitConfig, args: &TrainArgs) -> Result<()> {
    if let Some(name) = &args.optimizer {
        config.optimizer = name.parse()?;
    }
    if let Some(rate) = args.learning_rate {
        config.optimizer = config.optimizer.with_learning_rate(rate);
    }
    if let Some(name) = &args.schedule {
        config.schedule = name.parse()?;
    }
    if let Some(name) = &args.loss {
        config.loss = name.parse()?;
    }
    if let Some(patience) = args.early_stopping {
        config.early_stopping = Some(EarlyStopping { patience, ..EarlyStopping::default() });
    }
    match (args.epochs, args.updates) {
        (None, None) => {}
        (Some(epochs), None) => (config.epochs, config.updates) = (epochs, None),
        // As many epochs as the updates need.
        (None, Some(updates)) => (config.epochs, config.updates) = (u32::MAX, Some(updates)),
        (Some(epochs), Some(updates)) => (config.epochs, config.updates) = (epochs, Some(updates)),
    }
    config.batch_size = args.batch_size.unwrap_or(config.batch_size);
    config.seed = args.seed.unwrap_or(config.seed);
    Ok(())
}

type Part = Arc<dyn Dataset>;

// What is trained on, and what is measured after each epoch.
fn parts(split: &Split, job: &Job) -> Result<(Part, Option<Part>)> {
    let limit = job.limit.unwrap_or(usize::MAX);
    if limit == 0 {
        return Err(Error::argument("--limit 0 leaves nothing to train on").with_help("give at least 1"));
    }
    let train: Part = Arc::new(Subset::first(Arc::clone(&split.train), limit));
    let share = match job.validate.as_deref() {
        None => return Ok((train, None)),
        Some("test") => return Ok((train, Some(Arc::clone(&split.test)))),
        Some(text) => text.parse::<f64>().ok().filter(|s| *s > 0.0 && *s < 1.0).ok_or_else(|| {
            Error::argument(format!("--validate '{text}' is neither `test` nor a share"))
                .with_help("give `test`, or a share such as 0.1")
        })?,
    };
    let (rest, held) = Subset::hold_out(&train, share, &Rng::new(job.recipe.train.seed))?;
    Ok((Arc::new(rest), Some(Arc::new(held))))
}

fn fit(
    args: &TrainArgs,
    job: &Job,
    model: &mut Model,
    train: &dyn Dataset,
    validation: Option<&dyn Dataset>,
) -> Result<History> {
    let mut shown = Shown { bar: Bar::new(args.quiet || args.json), folder: &job.folder, epochs: past_epochs(job)? };
    let every = Duration::from_secs_f64(args.checkpoint_every.min(1e6));
    let mut fit = Fit::new(train, &job.recipe.train)
        .machine(args.machine.machine()?)
        .checkpoints(Checkpoints { path: job.folder.file(CHECKPOINT), every })
        .stop_on(stop::flag())
        .callback(&mut shown);
    if let Some(data) = validation {
        fit = fit.validate(data);
    }
    if job.resume {
        fit = fit.resume();
    }
    let result = fit.run(model);
    shown.bar.abandon();
    result
}

fn past_epochs(job: &Job) -> Result<Vec<EpochLog>> {
    if !job.resume {
        return Ok(Vec::new());
    }
    Ok(read_checkpoint(&job.folder.file(CHECKPOINT))?.2.history.epochs)
}

fn finish(args: &TrainArgs, job: &Job, mut model: Model, split: &Split, history: &History) -> Result<()> {
    let quiet = args.quiet || args.json;
    let test = measure(&model, &*split.test, 32, args.machine.machine()?, quiet)?;
    let mut samples = vec![vec![0.0; split.test.shape().len()]; GOLDEN_SAMPLES.min(split.test.len())];
    samples.iter_mut().enumerate().try_for_each(|(i, x)| split.test.fill(i, x))?;
    model.keep_golden(&samples)?;
    record(&mut model, job, history, &test);
    model.save(job.folder.file(MODEL))?;
    job.folder.write_history(&history.epochs)?;
    let title = format!("{} on {}", model.graph().name(), split.train.name());
    job.folder.write_curves(&title, &subtitle(job, &test), history)?;
    job.folder.write_confusion(&format!("{title}: test set"), &test, split.test.classes())?;
    let digest = history.last().map_or_else(String::new, |e| e.digest.clone());
    if args.json {
        let (folder, model) = (job.folder.path().display().to_string(), job.folder.file(MODEL).display().to_string());
        let (low, high) = test.confusion.accuracy_interval();
        let report = json!({ "folder": folder, "model": model, "test_loss": test.loss, "test_accuracy": test.accuracy(), "test_accuracy_95": [low, high], "digest": digest, "history": history.epochs });
        println!("{report}");
        return Ok(());
    }
    if args.quiet {
        println!(
            "test loss {:.4} accuracy {:.4} model {}",
            test.loss,
            test.accuracy(),
            job.folder.file(MODEL).display()
        );
        return Ok(());
    }
    say_goodbye(job, split, history, &test, &digest);
    Ok(())
}

fn subtitle(job: &Job, test: &Evaluation) -> String {
    let train = &job.recipe.train;
    format!(
        "{} at {}, batches of {}, seed {}; test accuracy {:.2} %",
        train.optimizer.name(),
        train.optimizer.learning_rate(),
        train.batch_size,
        train.seed,
        test.accuracy() * 100.0
    )
}

fn say_goodbye(job: &Job, split: &Split, history: &History, test: &Evaluation, digest: &str) {
    let folder = job.folder.path().display();
    println!("\n{}", verdict(&format!("{} test", split.test.name()), test));
    if let Some(epoch) = history.restored_epoch {
        println!("The weights are those of epoch {epoch}, the best by validation loss.");
    }
    println!("Digest of the weights: {digest}");
    println!("\nThe run is in {folder}:");
    println!("  {MODEL:<20} the model: network, weights, labels, preprocessing");
    println!("  {:<20} loss and accuracy by epoch; loss.svg, .png by update", "curves.svg, .png");
    println!("  {:<20} each epoch with the digest of its weights", "history.csv, .json");
    println!("  {:<20} what was taken for what", "confusion.txt, .svg");
    println!("  {:<20} settings, seed, versions and CPU; the network as text", "settings.json, .toml");
    println!("\nNext:");
    println!("  striate predict {folder} my-digit.png");
    println!("  striate evaluate {folder} {}", job.data);
    println!("  striate check {folder}");
}

fn record(model: &mut Model, job: &Job, history: &History, test: &Evaluation) {
    let entries = [
        ("data", json!(job.data)),
        ("settings", json!(job.recipe.train)),
        ("program", about_program()),
        ("history", json!(history.epochs)),
        ("test", json!({ "loss": test.loss, "accuracy": test.accuracy(), "samples": test.samples })),
    ];
    model.record.entries.extend(entries.map(|(key, value)| (key.to_string(), value)));
}

// Shows a run as Keras does, and keeps the run folder up to date.
struct Shown<'a> {
    bar: Bar,
    folder: &'a RunFolder,
    epochs: Vec<EpochLog>,
}

impl Callback for Shown<'_> {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        match event {
            Event::EpochBegin { epoch, epochs } => self.bar.line(&format!("Epoch {epoch}/{epochs}")),
            Event::Step(step) => {
                let rest = format!(" - loss: {:.4} - accuracy: {:.4}", step.loss, step.accuracy);
                self.bar.show(step.done, step.of, step.seconds, &rest);
            }
            Event::EpochEnd(log) => self.end_of_epoch(log)?,
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Shown<'_> {
    fn end_of_epoch(&mut self, log: &EpochLog) -> Result<()> {
        let mut rest = format!(" - loss: {:.4} - accuracy: {:.4}", log.loss, log.accuracy);
        if let (Some(loss), Some(accuracy)) = (log.val_loss, log.val_accuracy) {
            rest.push_str(&format!(" - val_loss: {loss:.4} - val_accuracy: {accuracy:.4}"));
        }
        let before = self.epochs.last().map_or(0, |e| e.step);
        self.bar.finish(log.step - before, log.seconds, &rest);
        self.epochs.push(log.clone());
        self.folder.write_history(&self.epochs)
    }
}
