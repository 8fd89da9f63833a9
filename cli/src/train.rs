//! `striate train DATA`: the main job, from the data to a model that can be used.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::json;
use striate::train::{Callback, Checkpoints, EpochLog, Evaluation, Event, Fit, History, read_checkpoint};
use striate::{Error, ErrorKind, Model, Result};

use crate::args::TrainArgs;
use crate::evaluate::{Trial, measure, verdict};
use crate::job::Job;
use crate::out::say;
use crate::progress::Bar;
use crate::run_folder::{CHECKPOINT, MODEL, RunFolder, about_program};
use crate::{input, out, stop};

// Samples of the test set that go into the model file, to be replayed when it is loaded.
const GOLDEN_SAMPLES: usize = 4;

const FILES: [(&str, &str); 7] = [
    (MODEL, "the model: network, weights, labels, preprocessing"),
    (CHECKPOINT, "where `striate train --resume` goes on"),
    ("curves.svg, .png", "loss and accuracy by epoch"),
    ("loss.svg, .png", "loss by update"),
    ("confusion.txt, .svg, .png", "what was taken for what"),
    ("history.csv, .json", "each epoch with the digest of its weights"),
    ("settings.json, network.toml", "settings, versions and CPU; the network as text"),
];

pub fn run(args: &TrainArgs) -> Result<()> {
    if !args.checkpoint_every.is_finite() || args.checkpoint_every < 0.0 {
        return Err(Error::argument(format!("--checkpoint-every {} is not a time", args.checkpoint_every))
            .with_help("give seconds, such as 5"));
    }
    let job = match &args.resume {
        Some(folder) => Job::resume(args, folder)?,
        None => Job::start(args)?,
    };
    let mut model = job.model()?;
    if !args.answer.is_short() {
        introduce(&job, &model);
    }
    let history = fit(args, &job, &mut model)?;
    if history.stopped {
        return Err(stopped(&job, format!("stopped after {} updates", history.step_loss.len())));
    }
    finish(args, &job, model, &history)
}

fn introduce(job: &Job, model: &Model) {
    say!("{}\n", striate::summary(model));
    let held_out =
        job.validation.as_ref().map_or(String::new(), |d| format!(", {} to validate", out::thousands(d.len())));
    let (train, test) = (out::thousands(job.train.len()), out::thousands(job.split.test.len()));
    say!("{}: {train} images to train{held_out}, {test} to test", job.split.train.name());
    if let Some(line) = job.fitted() {
        say!("{line}");
    }
    say!("{}", job.settings());
    let verb = if job.past.is_some() { "Going on with" } else { "Writing to" };
    say!("{verb} {}", job.folder.path().display());
}

fn fit(args: &TrainArgs, job: &Job, model: &mut Model) -> Result<History> {
    let past = History { epochs: job.past.clone().unwrap_or_default(), ..History::default() };
    let mut shown = Shown { bar: Bar::new(args.answer.is_short()), folder: &job.folder, past };
    let every = Duration::from_secs_f64(args.checkpoint_every.min(1e6));
    let mut fit = Fit::new(&*job.train, &job.recipe.train)
        .machine(args.machine.machine()?)
        .checkpoints(Checkpoints { path: job.folder.file(CHECKPOINT), every })
        .stop_on(stop::flag())
        .callback(&mut shown);
    if let Some(data) = &job.validation {
        fit = fit.validate(&**data);
    }
    if job.past.is_some() {
        fit = fit.resume();
    }
    let result = fit.run(model);
    shown.bar.abandon();
    result.map_err(|e| if e.kind() == ErrorKind::Numeric { with_last_good(&e, job) } else { e })
}

// A run that went bad leaves its last good weights; where, the user should know.
fn with_last_good(error: &Error, job: &Job) -> Error {
    let file = job.folder.file(CHECKPOINT);
    let help = error.help().unwrap_or_default();
    let left = match read_checkpoint(&file) {
        Ok((.., progress)) => format!("; the weights after step {} are in {}", progress.step, file.display()),
        Err(_) => String::new(),
    };
    Error::new(error.kind(), format!("{}{left}", error.message())).with_help(format!("{help}; then start a new run"))
}

fn stopped(job: &Job, what: String) -> Error {
    let folder = job.folder.path().display();
    Error::new(ErrorKind::Stopped, format!("{what}; a checkpoint is in {folder}"))
        .with_help(format!("go on with: striate train --resume {folder}"))
}

fn finish(args: &TrainArgs, job: &Job, mut model: Model, history: &History) -> Result<()> {
    let test = test(args, job, &model)?;
    keep_golden(&mut model, job)?;
    let digest = input::digest(&model);
    record(&mut model, job, history, &test, &digest);
    model.save(job.folder.file(MODEL))?;
    job.folder.write_history(history)?;
    let title = job.title();
    let subtitle = format!("{}; test accuracy {:.2} %", job.settings(), test.accuracy() * 100.0);
    job.folder.write_curves(&title, &subtitle, history)?;
    job.folder.write_confusion(&format!("{title}: test set"), &test, job.split.test.classes())?;
    report(args, job, history, &test, &digest);
    Ok(())
}

// The model on the test set. A stop here loses nothing: the checkpoint holds the end of the training.
fn test(args: &TrainArgs, job: &Job, model: &Model) -> Result<Evaluation> {
    let trial = Trial { batch_size: 32, loss: &job.recipe.train.loss, machine: args.machine.machine()? };
    measure(model, &*job.split.test, trial, args.answer.is_short()).map_err(|e| match e.kind() {
        ErrorKind::Stopped => stopped(job, "training is done, but its test was stopped".into()),
        _ => e,
    })
}

fn keep_golden(model: &mut Model, job: &Job) -> Result<()> {
    let test = &job.split.test;
    let mut samples = vec![vec![0.0; test.shape().len()]; GOLDEN_SAMPLES.min(test.len())];
    samples.iter_mut().enumerate().try_for_each(|(i, x)| test.fill(i, x))?;
    model.keep_golden(&samples)
}

fn report(args: &TrainArgs, job: &Job, history: &History, test: &Evaluation, digest: &str) {
    if args.answer.json {
        let (folder, model) = (job.folder.path().display().to_string(), job.folder.file(MODEL).display().to_string());
        let (low, high) = test.confusion.accuracy_interval();
        let report = json!({ "folder": folder, "model": model, "test_loss": test.loss, "test_accuracy": test.accuracy(), "test_accuracy_95": [low, high], "digest": digest, "history": history.epochs });
        out::json(report);
        return;
    }
    if args.answer.quiet {
        say!("test loss {:.4} accuracy {:.4} model {}", test.loss, test.accuracy(), job.folder.file(MODEL).display());
        return;
    }
    say_goodbye(job, history, test, digest);
}

fn say_goodbye(job: &Job, history: &History, test: &Evaluation, digest: &str) {
    let folder = job.folder.path().display();
    say!("\n{}", verdict(&format!("{} test", job.split.test.name()), test));
    if let Some(epoch) = history.restored_epoch {
        say!("The weights are those of epoch {epoch}, the best by validation loss.");
    }
    say!("Digest of the weights: {digest}");
    say!("\nThe run is in {folder}:");
    FILES.iter().for_each(|(files, what)| say!("  {files:<28} {what}"));
    say!("\nNext:");
    say!("  striate predict {folder} picture.png");
    say!("  striate evaluate {folder}");
    say!("  striate report {folder}");
    say!("  striate check {folder}");
}

fn record(model: &mut Model, job: &Job, history: &History, test: &Evaluation, digest: &str) {
    let entries = [
        ("data", json!(job.start.data)),
        ("settings", json!(job.recipe.train)),
        ("program", about_program()),
        ("history", json!(history.epochs)),
        ("digest", json!(digest)),
        ("test", json!({ "loss": test.loss, "accuracy": test.accuracy(), "samples": test.samples })),
    ];
    model.record.entries.extend(entries.map(|(key, value)| (key.to_string(), value)));
}

// Shows a run as Keras does, and keeps the run folder up to date.
struct Shown<'a> {
    bar: Bar,
    folder: &'a RunFolder,
    past: History,
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
        let before = self.past.last().map_or(0, |e| e.step);
        self.bar.finish(log.step - before, log.seconds, &rest);
        self.past.epochs.push(log.clone());
        self.folder.write_history(&self.past)
    }
}
