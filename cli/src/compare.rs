//! `striate compare WHAT...`: which optimiser, setting or model is best, with several seeds, intervals and paired tests.

mod folder;
mod models;
mod setup;

use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::{Value, json};
use striate::compare::{Choice, Course, Mean, Outcome, Report, Row, Run, Stage, curves, dots, rates_tried};
use striate::train::{Callback, Event};
use striate::{Error, ErrorKind, Result};

use crate::args::CompareArgs;
use crate::out::{say, thousands};
use crate::progress::Bar;
use crate::run_folder::{RunFolder, about_program};
use crate::{out, stop};
use setup::Job;

const FILES: [(&str, &str); 5] = [
    ("report.txt, .json, table.md", "what stands above"),
    ("runs.csv", "each run with its numbers"),
    ("results.svg, .png", "means with intervals and every seed"),
    ("curves.svg, .png", "training loss by update"),
    ("plan.json, finished/", "where `striate compare --resume` goes on"),
];
const RATES: (&str, &str) = ("rates.svg, .png", "the learning rates that were tried");

pub fn run(args: &CompareArgs) -> Result<()> {
    if let Some(finished) = models::asked(&args.what)? {
        return models::run(args, finished);
    }
    let mut job = match &args.resume {
        Some(path) => Job::resume(args, path)?,
        None => Job::start(args)?,
    };
    let quiet = args.quiet || args.json;
    if !quiet {
        introduce(&job);
    }
    play(args, &mut job, quiet)?;
    let report = Report::of(&job.contest, &job.done, job.metric)?.samples(job.parts.test.len());
    write(&job.folder, &job.title, &report)?;
    tell(args, Some(&job.folder), &report);
    Ok(())
}

fn introduce(job: &Job) {
    let contest = &job.contest;
    let names: Vec<&str> = contest.entrants.iter().map(|e| e.name.as_str()).collect();
    say!("{}: {}", job.title, names.join(", "));
    let parts = &job.parts;
    let held = parts
        .validation
        .as_ref()
        .map_or(String::new(), |v| format!(", {} to choose learning rates by", thousands(v.len())));
    let (train, test) = (thousands(parts.train.len()), thousands(parts.test.len()));
    say!("{}: {train} images to train{held}, {test} to test", parts.train.name());
    let budgets: Vec<(u64, u64)> = (0..names.len()).map(|i| contest.budget(i, parts.train.len())).collect();
    if budgets.windows(2).all(|w| w[0] == w[1]) {
        let (updates, images) = budgets[0];
        say!("{} updates of each run, on {} images", thousands(updates), thousands(images));
    } else {
        say!("They are not trained equally long:");
        for (name, (updates, images)) in names.iter().zip(&budgets) {
            say!("  {name}: {} updates, on {} images", thousands(updates), thousands(images));
        }
    }
    let last = contest.first_seed + u64::from(contest.seeds) - 1;
    let others = if job.parts.validation.is_some() { ", and others to choose learning rates" } else { "" };
    say!("Seeds {} to {last} for each{others}", contest.first_seed);
    let verb = if job.done.is_empty() { "Writing to" } else { "Going on in" };
    say!("{verb} {}", job.folder.path().display());
}

// Makes the runs that are missing; each is kept as soon as it is finished.
fn play(args: &CompareArgs, job: &mut Job, quiet: bool) -> Result<()> {
    let machine = args.machine.machine()?;
    let mut shown = Shown::new(quiet);
    while let Some(run) = job.contest.next(&job.done) {
        if stop::asked() {
            return Err(stopped(job));
        }
        shown.start(job, &run);
        let id = job.contest.id(&run);
        let checkpoint = job.folder.file(&format!("{}{id}.checkpoint", folder::UNFINISHED));
        let on = Course {
            parts: &job.parts,
            machine: machine.clone(),
            stop: Some(stop::flag()),
            checkpoint: Some(&checkpoint),
        };
        let outcome = job.contest.train(&run, &on, &mut shown).map_err(|e| match e.kind() {
            ErrorKind::Stopped => {
                shown.bar.abandon();
                stopped(job)
            }
            _ => e.within(&id),
        })?;
        folder::keep(&job.folder, &id, &outcome)?;
        job.done.insert(id, outcome);
        shown.end(job, &run);
    }
    Ok(())
}

fn stopped(job: &Job) -> Error {
    let folder = job.folder.path().display();
    Error::new(ErrorKind::Stopped, format!("stopped after {} runs, which are kept in {folder}", job.done.len()))
        .with_help(format!("go on with: striate compare --resume {folder}"))
}

// One progress line for each entrant's search and one for its result.
struct Shown {
    bar: Bar,
    stage: Option<Stage>,
    entrant: Option<usize>,
    began: Instant,
    /// Updates under this line so far, in finished runs, and in all.
    updates: u64,
    runs: usize,
    of: u64,
    name: String,
}

impl Shown {
    fn new(quiet: bool) -> Self {
        let (stage, entrant, name) = (None, None, String::new());
        Self { bar: Bar::new(quiet), stage, entrant, began: Instant::now(), updates: 0, runs: 0, of: 0, name }
    }

    fn start(&mut self, job: &Job, run: &Run) {
        if self.stage != Some(run.stage) {
            self.bar.line(match run.stage {
                Stage::Search => "\nLearning rates, by the loss on the validation images",
                Stage::Final => "\nResults, on the test images",
            });
        }
        if (self.stage, self.entrant) != (Some(run.stage), Some(run.entrant)) {
            (self.stage, self.entrant) = (Some(run.stage), Some(run.entrant));
            (self.began, self.updates, self.runs) = (Instant::now(), 0, 0);
        }
        let (done, all) = job.contest.count(run.entrant, run.stage, &job.done);
        let each = job.contest.budget(run.entrant, job.parts.train.len()).0;
        self.of = self.updates + (all - done) as u64 * each;
        self.name = format!(" - {}: rate {}", job.contest.entrants[run.entrant].name, run.rate);
    }

    fn end(&mut self, job: &Job, run: &Run) {
        let (done, all) = job.contest.count(run.entrant, run.stage, &job.done);
        self.runs += 1;
        if done < all {
            return;
        }
        let name = &job.contest.entrants[run.entrant].name;
        let choice = job.contest.choice(run.entrant, &job.done);
        let rest = match (run.stage, choice) {
            (Stage::Search, Some(choice)) => format!(" - {name}: {}", found(&choice)),
            _ => format!(" - {name}: {}", result(&job.contest.results(run.entrant, &job.done))),
        };
        self.bar.finish(self.updates, self.began.elapsed().as_secs_f64(), &rest);
    }
}

fn found(choice: &Choice) -> String {
    let loss = choice.tried.iter().find(|t| t.rate == choice.rate).map_or(f64::NAN, |t| t.loss());
    let (low, high) = (choice.tried.first(), choice.tried.last());
    let ends = low.zip(high).map_or(String::new(), |(low, high)| format!(" of {} to {}", low.rate, high.rate));
    let edge = if choice.edge.is_some() { ", at the edge" } else { "" };
    match loss.is_finite() {
        true => format!("rate {}{ends}{edge}, validation loss {loss:.4}", choice.rate),
        false => format!("rate {}{ends}: all diverged", choice.rate),
    }
}

fn result(outcomes: &[&Outcome]) -> String {
    let row = Row::new("", None, outcomes);
    let diverged =
        if row.diverged > 0 { format!(", {} of {} diverged", row.diverged, row.runs) } else { String::new() };
    match row.accuracy {
        Some(Mean { mean, .. }) => format!("test accuracy {mean:.4}{diverged}"),
        None => "diverged".into(),
    }
}

impl Callback for Shown {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        if let Event::Step(step) = event {
            self.updates += 1;
            let rest = format!("{} - loss: {:.4}", self.name, step.loss);
            let of = self.of.max(self.updates);
            self.bar.show(self.updates, of, self.began.elapsed().as_secs_f64(), &rest);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The report as text: table, what its columns mean, verdict.
fn text(report: &Report) -> String {
    let legend: Vec<String> = report.legend().iter().map(|line| format!("  {line}")).collect();
    format!("{}\n\n{}\n\n{}", report.table(), legend.join("\n"), report.verdict().join("\n"))
}

fn document(report: &Report) -> Value {
    let mut document = json!(report);
    document["verdict"] = json!(report.verdict());
    document["program"] = about_program();
    document
}

/// Writes the report and its figures into a folder.
fn write(folder: &RunFolder, title: &str, report: &Report) -> Result<()> {
    folder.write("report.txt", &format!("{title}\n\n{}\n", text(report)))?;
    folder.write("report.json", &format!("{:#}\n", out::short(document(report))))?;
    let legend: Vec<String> = report.legend().iter().map(|line| format!("- {line}\n")).collect();
    let verdict = report.verdict().join("\n\n");
    folder.write("table.md", &format!("{}\n{}\n{verdict}\n", report.markdown(), legend.concat()))?;
    folder.write("runs.csv", &report.csv())?;
    folder.write_picture("results", &dots(report, title)?)?;
    if report.rows.iter().any(Row::has_curves) {
        folder.write_picture("curves", &curves(report, title)?)?;
    }
    if has_searched(report) {
        folder.write_picture("rates", &rates_tried(report, title)?)?;
    }
    Ok(())
}

fn has_searched(report: &Report) -> bool {
    report.rows.iter().any(|row| row.choice.as_ref().is_some_and(|c| !c.tried.is_empty()))
}

/// Prints the report.
fn tell(args: &CompareArgs, folder: Option<&RunFolder>, report: &Report) {
    if args.json {
        let mut document = document(report);
        document["folder"] = folder.map_or(Value::Null, |f| json!(f.path().display().to_string()));
        return out::json(document);
    }
    if args.quiet {
        return report.verdict().iter().for_each(|line| say!("{line}"));
    }
    say!("\n{}", text(report));
    let Some(folder) = folder else { return };
    say!("\nAll of it is in {}:", folder.path().display());
    let is_there = |files: &&(&str, &str)| {
        folder.file(files.0.split([',', '.', '/']).next().unwrap_or_default()).with_extension("svg").exists()
    };
    let pictures = FILES[2..4].iter().chain([&RATES]).filter(is_there);
    let rest = FILES[4..].iter().filter(|_| folder.file(folder::PLAN).exists());
    FILES[..2].iter().chain(pictures).chain(rest).for_each(|(files, what)| say!("  {files:<28} {what}"));
}
