//! `striate claim NAME`: what is said of convolutional networks, tried, with a verdict.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde_json::json;
use striate::lab::claims::{Claim, ClaimConfig, Report, claim, claims, run as try_claim};
use striate::{Error, ErrorKind, Result};

use crate::args::claim::ClaimArgs;
use crate::out::say;
use crate::{out, stop};

pub fn run(args: &ClaimArgs) -> Result<()> {
    let all: Vec<&'static Claim> = match (&args.name, args.all) {
        (Some(name), _) => vec![claim(name)?],
        (None, true) => claims().to_vec(),
        (None, false) => return list(args),
    };
    let pictures = Pictures::of(args)?;
    let config = ClaimConfig {
        seeds: args.seeds,
        updates: args.updates,
        seed: args.seed,
        quick: args.quick,
        machine: args.machine.machine()?,
    };
    let mut reports = Vec::new();
    for (i, claim) in all.iter().enumerate() {
        if i > 0 && !args.json {
            say!("\n{}\n", "=".repeat(100));
        }
        let mut status = Status::new();
        let report = try_claim(claim, &config, Some(stop::flag()), &mut |what| status.show(claim.name, what));
        status.clear();
        let report = report?;
        if !args.json {
            out::raw(report.to_string().as_bytes());
        }
        pictures.save(&report, args.json)?;
        let stopped = report.stopped;
        reports.push(report);
        if stopped {
            break;
        }
    }
    finish(args, &reports)
}

// The list of what was found; and if it was stopped, that this is not all.
fn finish(args: &ClaimArgs, reports: &[Report]) -> Result<()> {
    if args.json {
        match reports {
            [report] if !args.all => out::json(json!(report)),
            _ => out::json(json!(reports)),
        }
    } else if args.all {
        say!("\n{}\n", "=".repeat(100));
        reports.iter().for_each(|r| say!("{:<16} {:<14} {}", r.claim.name, r.verdict.words(), r.claim.title));
    }
    match reports.last().filter(|r| r.stopped) {
        Some(report) => Err(Error::new(
            ErrorKind::Stopped,
            format!("{} was stopped after {} seeds; it is judged by those", report.claim.name, report.seeds.len()),
        )),
        None => Ok(()),
    }
}

fn list(args: &ClaimArgs) -> Result<()> {
    if args.draw.is_some() {
        return Err(Error::argument("a picture needs a claim").with_help("name one, or give --all"));
    }
    if args.json {
        out::json(json!(claims()));
        return Ok(());
    }
    say!("What is said of convolutional networks, each to be tried:\n");
    claims().iter().for_each(|c| say!("  {:<16} {}", c.name, c.title));
    say!("\nstriate claim shift tries one: several seeds, means with intervals, and a verdict by a stated rule.");
    say!("striate claim --all tries them all, which takes some minutes; --quick is quicker and decides less.");
    Ok(())
}

// Where pictures go: checked before what may take minutes.
enum Pictures {
    None,
    File(PathBuf),
    Folder(PathBuf),
}

impl Pictures {
    fn of(args: &ClaimArgs) -> Result<Self> {
        Ok(match &args.draw {
            None => Self::None,
            Some(path) if args.all && path.is_file() => {
                return Err(Error::argument(format!("{} is a file, and --all draws many pictures", path.display()))
                    .with_help("give a folder for them"));
            }
            Some(path) if args.all => {
                std::fs::create_dir_all(path).map_err(|e| Error::io(path, "make", &e))?;
                Self::Folder(path.clone())
            }
            Some(path) => {
                out::check_picture(path, false)?;
                Self::File(path.clone())
            }
        })
    }

    fn save(&self, report: &Report, quiet: bool) -> Result<()> {
        let paths = match self {
            Self::None => Vec::new(),
            Self::File(path) => vec![path.clone()],
            Self::Folder(folder) => {
                ["svg", "png"].map(|ending| folder.join(format!("{}.{ending}", report.claim.name))).to_vec()
            }
        };
        paths.iter().try_for_each(|path: &PathBuf| draw(report, path, quiet))
    }
}

fn draw(report: &Report, path: &Path, quiet: bool) -> Result<()> {
    report.picture.save(path)?;
    if !quiet {
        say!("Drawn: {}", path.display());
    }
    Ok(())
}

// What is being trained, in one line on standard error if that is a terminal.
struct Status {
    live: bool,
    width: usize,
}

impl Status {
    fn new() -> Self {
        Self { live: std::io::stderr().is_terminal(), width: 0 }
    }

    fn show(&mut self, name: &str, what: &str) {
        if self.live {
            let line = format!("{name}: {what}");
            let len = line.chars().count();
            out::complain_raw(format_args!("\r{line}{}", " ".repeat(self.width.saturating_sub(len))));
            self.width = len;
        }
    }

    fn clear(&mut self) {
        if self.live && self.width > 0 {
            out::complain_raw(format_args!("\r{}\r", " ".repeat(self.width)));
        }
    }
}
