//! The program: `striate train mnist` and its sisters.
//!
//! Each command is one file. The library does the work and never prints; here
//! arguments are read, progress is shown, and errors become one line with a
//! remedy and an exit code.

mod args;
mod attribute;
mod bench;
mod cache;
mod check;
mod claim;
mod compare;
mod completions;
mod convert;
mod deconvnet;
mod diff;
mod download;
mod evaluate;
mod explain;
mod family;
mod features;
mod fetch;
mod filters;
mod history;
mod input;
mod invert;
mod job;
mod list;
mod look;
mod maximise;
mod museum;
mod out;
mod plan;
mod predict;
mod progress;
mod report;
mod run_folder;
mod sample;
mod stop;
mod summary;
mod train;
mod unit;

use std::process::ExitCode;

use clap::Parser;
use striate::{Error, ErrorKind};

use args::{Cli, Command};

/// Exit code of a run that was stopped with Ctrl-C, as shells count it.
const STOPPED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Ok(filter) = std::env::var("STRIATE_LOG") {
        let level = filter.parse().unwrap_or(tracing_subscriber::filter::LevelFilter::INFO);
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    }
    match run(&cli.command).and_then(|code| out::finish().map(|()| code)) {
        Ok(code) => code,
        Err(error) => fail(&error, &cli.command),
    }
}

fn run(command: &Command) -> striate::Result<ExitCode> {
    match command {
        Command::Train(args) => train::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Report(args) => report::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Summary(args) => summary::run(args),
        Command::Check(args) => check::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Diff(args) => return diff::run(args),
        Command::Features(args) => features::run(args),
        Command::Filters(args) => filters::run(args),
        Command::Unit(args) => unit::run(args),
        Command::Attribute(args) => attribute::run(args),
        Command::Deconvnet(args) => deconvnet::run(args),
        Command::Invert(args) => invert::run(args),
        Command::Maximise(args) => maximise::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Museum(args) => museum::run(args),
        Command::Claim(args) => claim::run(args),
        Command::History(args) => history::run(args),
        Command::Family(args) => family::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Models(args) => list::models(args),
        Command::Data(args) => list::data(args),
        Command::Completions(args) => completions::run(args),
    }?;
    Ok(ExitCode::SUCCESS)
}

// One error, one remedy, one exit code: 2 for a bad argument (as for a bad flag), 130 for a stop, 1 for the rest; but 2
// for all trouble of `diff`, whose 1 says that two models differ.
fn fail(error: &Error, command: &Command) -> ExitCode {
    out::complain(format_args!("error: {}", error.message()));
    if let Some(help) = error.help() {
        out::complain(format_args!("  help: {help}"));
    }
    match error.kind() {
        ErrorKind::Stopped => ExitCode::from(STOPPED),
        ErrorKind::Argument => ExitCode::from(2),
        _ if matches!(command, Command::Diff(_)) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
