//! `striate report RUN`: all about a training run as one page that opens without a network.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use striate::format::atomic;
use striate::report::{Facts, Report, ReportConfig, Run};
use striate::train::{EpochLog, FitConfig, History, load_checkpoint_weights, read_checkpoint};
use striate::{Error, ErrorKind, Model, Result};

use crate::args::ReportArgs;
use crate::job::{Parts, Start};
use crate::out::say;
use crate::progress::Bar;
use crate::run_folder::{CHECKPOINT, MODEL};
use crate::{input, out, stop};

const PAGE: &str = "report.html";
const MARK: &str = "<meta name=\"generator\" content=\"striate\"/>";

pub fn run(args: &ReportArgs) -> Result<()> {
    let found = Found::open(&args.run)?;
    let path = args.out.clone().unwrap_or_else(|| args.run.join(PAGE));
    check_target(&path)?;
    let start = Start::of(&args.run)?;
    let parts = data(args, &found, &start)?;
    let report = look(args, found, &start, &parts)?;
    let page = report.html()?;
    atomic::write(&path, |out| out.write_all(page.as_bytes()))?;
    report.notes.iter().for_each(|note| out::complain(format_args!("note: {note}")));
    tell(args, &report, &path, page.len());
    Ok(())
}

/// A run as it was found in its folder.
struct Found {
    model: Model,
    config: FitConfig,
    history: History,
    /// Version, instruction set and CPU.
    program: Value,
    notes: Vec<String>,
}

impl Found {
    fn open(folder: &Path) -> Result<Self> {
        let name = folder.display();
        if !folder.exists() {
            return Err(missing(folder));
        }
        if !folder.is_dir() {
            return Err(Error::argument(format!("{name} is a file, not a run folder"))
                .with_help("give the folder that `striate train` made; it holds model.striate"));
        }
        match (folder.join(MODEL).exists(), folder.join(CHECKPOINT).exists()) {
            (true, _) => Self::finished(folder),
            (false, true) => Self::unfinished(folder),
            (false, false) if Start::is_in(folder) => Err(too_early(folder)),
            (false, false) => Err(Error::argument(format!("the folder {name} holds no run"))
                .with_help("give a run folder that `striate train` made")),
        }
    }

    // All comes from the model file, so that it belongs together.
    fn finished(folder: &Path) -> Result<Self> {
        let file = folder.join(MODEL);
        let (model, warning) = Model::load_checked(&file)?;
        let record = &model.record.entries;
        let config = input::settings(&model).ok_or_else(|| unsaid(&file, "settings"))?;
        let epochs = record.get("history").cloned().unwrap_or_default();
        let epochs: Vec<EpochLog> = serde_json::from_value(epochs).map_err(|_| unsaid(&file, "history"))?;
        let program = record.get("program").cloned().unwrap_or_default();
        let last = epochs.last().map_or(0, |e| e.step as usize);
        let mut history = History { epochs, ..History::default() };
        let mut notes: Vec<String> = warning.into_iter().collect();
        if record.get("digest").and_then(Value::as_str).is_some_and(|digest| digest != input::digest(&model)) {
            notes.push("the weights in the model file are not those that its training ended with".to_string());
        }
        // The losses of the updates are in the checkpoint alone; a report can do without them.
        if let Ok((.., progress)) = read_checkpoint(&folder.join(CHECKPOINT)) {
            if progress.history.epochs.len() > history.epochs.len() {
                let epochs = progress.history.epochs.len();
                notes.push(format!("the run went on after this model was made: its checkpoint has {epochs} epochs"));
            }
            history.step_loss = progress.history.step_loss;
            history.step_loss.truncate(last);
        }
        Ok(Self { config, history, program, notes, model })
    }

    fn unfinished(folder: &Path) -> Result<Self> {
        let file = folder.join(CHECKPOINT);
        let (graph, config, progress) = read_checkpoint(&file)?;
        if progress.history.epochs.is_empty() {
            return Err(too_early(folder));
        }
        let mut model = Model::new(graph, config.seed)?;
        load_checkpoint_weights(&file, &mut model)?;
        let note = format!(
            "the run is not finished: this is its checkpoint after {} updates, {} of them in whole epochs",
            out::thousands(progress.step),
            out::thousands(progress.history.last().map_or(0, |e| e.step)),
        );
        // The settings file is written when a run starts; what it does not tell is left out.
        let settings = std::fs::read_to_string(folder.join("settings.json")).unwrap_or_default();
        let mut settings: Value = serde_json::from_str(&settings).unwrap_or_default();
        let program = settings["program"].take();
        Ok(Self { model, config, history: progress.history, program, notes: vec![note] })
    }
}

fn missing(folder: &Path) -> Error {
    let beside = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(beside).map_or_else(
        |_| Vec::new(),
        |all| all.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect(),
    );
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let name = folder.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let error = Error::argument(format!("there is no run folder {}", folder.display()));
    match striate::error::nearest(&name, &names) {
        Some(near) => error.with_help(format!("did you mean {}?", beside.join(near).display())),
        None => error.with_help("train first: striate train mnist; it prints the name of the folder"),
    }
}

fn too_early(folder: &Path) -> Error {
    let name = folder.display();
    Error::argument(format!("the run in {name} has not finished an epoch, so there is nothing to report yet"))
        .with_help(format!("go on with it: striate train --resume {name}"))
}

fn unsaid(file: &Path, what: &str) -> Error {
    Error::format(file, format!("the model does not say its {what}, so it is not from a run of `striate train`"))
        .with_help("`striate evaluate` and the commands that look inside work on any model")
}

// A report is made anew; any other file is left alone.
fn check_target(path: &Path) -> Result<()> {
    let name = path.display();
    if path.is_dir() {
        return Err(Error::argument(format!("cannot write {name}: it is a folder")).with_help("add the name of a file"));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::argument(format!("cannot write {name}: there is no folder {}", folder.display()))
            .with_help("create the folder first, or give another path"));
    }
    if !path.exists() {
        return Ok(());
    }
    let old = std::fs::read(path).map_err(|e| Error::io(path, "read", &e))?;
    let head = String::from_utf8_lossy(&old[..old.len().min(1000)]).into_owned();
    if head.contains(MARK) {
        return Ok(());
    }
    Err(Error::argument(format!("{name} is there already, and is no report"))
        .with_help("give another name with --out, or remove the file"))
}

fn data(args: &ReportArgs, found: &Found, start: &Start) -> Result<Parts> {
    let graph = found.model.graph();
    start.parts_of(graph, found.config.seed, args.data.as_deref()).map_err(|e| {
        let is_gone = args.data.is_none() && Path::new(&start.data).is_absolute() && !Path::new(&start.data).exists();
        if !is_gone {
            return e;
        }
        Error::argument(format!("the data of the run are no longer in {}", start.data))
            .with_help(format!("say where they are now: striate report {} --data FOLDER", args.run.display()))
    })
}

fn look(args: &ReportArgs, mut found: Found, start: &Start, parts: &Parts) -> Result<Report> {
    let test = &*parts.split.test;
    if found.model.labels.is_empty() {
        found.model.labels = test.classes().to_vec();
    }
    input::same_classes(&found.model, test)?;
    let before = Model::new(found.model.graph().clone(), found.config.seed)?;
    let title = start.title(found.model.graph(), &parts.split);
    let settings = settings(args, &found, start, parts);
    found.notes.extend(notes(start, parts));
    let run = Run {
        title: &title,
        model: &found.model,
        before: Some(&before),
        history: &found.history,
        config: &found.config,
        train: &*parts.train,
        validation: parts.validation.as_deref(),
        test,
        settings: &settings,
        notes: &found.notes,
    };
    let machine = args.machine.machine()?;
    let config = ReportConfig { mistakes: args.mistakes, examples: args.examples, machine, ..ReportConfig::default() };
    let mut report = with_bars(&run, &config, args.quiet || args.json)?;
    report.notes.extend(compared(&found.model, &report));
    Ok(report)
}

// Each part of the work has a line of its own, as `evaluate` shows it.
fn with_bars(run: &Run<'_>, config: &ReportConfig, quiet: bool) -> Result<Report> {
    let mut bar = Bar::new(quiet);
    let (mut part, mut start) = (String::new(), Instant::now());
    let report = Report::of(run, config, &mut |what, done, of| {
        if part != what {
            (part, start) = (what.to_string(), Instant::now());
            bar.line(&format!("Looking at the {what}"));
        }
        let seconds = start.elapsed().as_secs_f64();
        if done == of {
            bar.finish(of as u64, seconds, "")
        } else {
            bar.show(done as u64, of as u64, seconds, "")
        }
        if stop::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    report.inspect_err(|_| bar.abandon()).map_err(|e| match e.kind() {
        ErrorKind::Stopped => Error::new(ErrorKind::Stopped, "the report was stopped; nothing was written"),
        _ => e,
    })
}

fn notes(start: &Start, parts: &Parts) -> Vec<String> {
    let mut notes = Vec::new();
    if start.validate.as_deref() == Some("test") {
        notes.push("the test set was also the validation set: whatever was chosen by it looks better there than it would on new images".to_string());
    }
    if let Some(limit) = start.limit {
        notes.push(format!("the run used the first {} training images only (--limit)", out::thousands(limit)));
    }
    if let Some(first) = parts.split.skipped.first() {
        notes.push(format!(
            "{} files of the data were left out; the first: {}",
            parts.split.skipped.len(),
            first.message()
        ));
    }
    notes
}

// The model file knows how its test ended. Another number now means other data, or another program.
fn compared(model: &Model, report: &Report) -> Option<String> {
    let then = model.record.entries.get("test")?;
    let (accuracy, samples) = (then["accuracy"].as_f64()?, then["samples"].as_u64()?);
    let now = &report.test.evaluation;
    if (accuracy, samples as usize) == (now.accuracy(), now.samples) {
        return None;
    }
    Some(format!(
        "at the end of its training the model was right on {:.2} % of {} test images, now on {:.2} % of {}: the data have changed, or the program",
        100.0 * accuracy,
        out::thousands(samples),
        100.0 * now.accuracy(),
        out::thousands(now.samples)
    ))
}

fn settings(args: &ReportArgs, found: &Found, start: &Start, parts: &Parts) -> Vec<Facts> {
    let mut training = Vec::new();
    flat("", &out::short(json!(found.config)), &mut training);
    let mut environment = Vec::new();
    flat("", &found.program, &mut environment);
    let sides: Vec<String> = parts.split.test.shape().dims().iter().map(usize::to_string).collect();
    let folder = std::fs::canonicalize(&args.run).ok();
    let folder = folder.as_deref().and_then(Path::file_name).map_or_else(String::new, |n| n.to_string_lossy().into());
    let fact = |name: &str, value: String| (name.to_string(), value);
    let mut data = vec![
        fact("run folder", folder),
        fact("data", args.data.clone().unwrap_or_else(|| start.data.clone())),
        fact("image size (height, width, channels)", sides.join(" × ")),
        fact("classes", parts.split.test.classes().join(", ")),
        fact("training images", out::thousands(parts.train.len())),
    ];
    if let (Some(held), Some(how)) = (&parts.validation, &start.validate) {
        let how =
            if how == "test" { "the test set".to_string() } else { format!("a share of {how} of the training set") };
        data.push(fact("validation images", format!("{} ({how})", out::thousands(held.len()))));
    }
    data.push(fact("test images", out::thousands(parts.split.test.len())));
    let facts = |heading: &str, rows| Facts { heading: heading.to_string(), rows };
    let all = [facts("Data", data), facts("Training", training), facts("Environment", environment)];
    all.into_iter().filter(|f| !f.rows.is_empty()).collect()
}

// A document as rows; a part that has a name is called so, and its other entries follow it.
fn flat(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let under = |key: &str| match (path, key) {
        (path, "name") => path.to_string(),
        ("", key) => key.replace('_', " "),
        (path, key) => format!("{path}: {}", key.replace('_', " ")),
    };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| flat(&under(key), value, rows)),
        Value::Null => rows.push((path.to_string(), "none".into())),
        Value::String(text) => rows.push((path.to_string(), text.clone())),
        Value::Bool(yes) => rows.push((path.to_string(), if *yes { "yes" } else { "no" }.into())),
        other => rows.push((path.to_string(), other.to_string())),
    }
}

fn tell(args: &ReportArgs, report: &Report, path: &Path, bytes: usize) {
    if args.json {
        out::json(numbers(report, path, bytes));
    } else if args.quiet {
        say!("{}", path.display());
    } else {
        say!("");
        for a in &report.accuracies {
            let (low, high) = a.interval();
            let (value, samples) = (a.value(), out::thousands(a.samples));
            say!("{:<26}{value:.4} (95 % interval {low:.4} to {high:.4}, {samples} samples)", a.name);
        }
        for why in [report.filters.as_ref().err(), report.maps.as_ref().err(), report.cams.as_ref().err()]
            .into_iter()
            .flatten()
        {
            say!("{why}");
        }
        say!("\nWritten: {} ({:.1} MB); open it in a browser", path.display(), bytes as f64 / 1e6);
    }
}

fn numbers(report: &Report, path: &Path, bytes: usize) -> Value {
    let accuracy = |a: &striate::report::Accuracy| {
        let (low, high) = a.interval();
        json!({ "name": a.name, "accuracy": a.value(), "accuracy_95": [low, high], "correct": a.correct, "samples": a.samples, "loss": a.loss })
    };
    let mistake = |m: &striate::report::Example| {
        json!({ "index": m.index, "source": m.source, "label": report.class(m.label),
                "predicted": m.predicted.map(|c| report.class(c)), "probability": m.confidence(), "probability_of_label": m.of_label() })
    };
    json!({
        "report": path, "bytes": bytes, "digest": report.digest, "epoch": report.epoch,
        "accuracies": report.accuracies.iter().map(accuracy).collect::<Vec<_>>(),
        "mistakes": report.mistakes.iter().map(|(m, _)| mistake(m)).collect::<Vec<_>>(),
        "all_mistakes": report.test.mistakes.len(), "notes": report.notes,
    })
}
