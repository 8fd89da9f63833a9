//! The suite: ours and the installed peers in turn, for networks, single convolutions, cold starts and whole runs; and ours
//! alone on one thread and two, and beside the machine's peak.
//!
//! ```text
//! cargo bench --bench suite -- [PART OF A ROW'S NAME]... [--write] [--quick] [--all] [--rounds N] [--seconds S]
//!                              [--threads N] [--ours | --peers] [--table] [--list]
//! ```
//!
//! - `rows.rs`: what is measured, on which sides, and the goals;
//! - `run.rs`: the rounds of a row; `process.rs`: the processes that take part, of which one runs at a time; `calm.rs`: when
//!   a round begins;
//! - `ours.rs`: what our process does; `cold.rs`: whole processes, from the command on; `peak.rs`: layers beside the peak;
//! - `side.rs`: what came out for one side, and how two sides compare;
//! - `report.rs`: the tables, the plot and BENCHMARKS.md; `page.rs`: its prose.
//!
//! Results are kept in `benches/results.json` with `--write`, and new ones take the place of old ones, row by row.

mod calm;
mod cold;
mod ours;
mod page;
mod peak;
mod process;
mod report;
mod rows;
mod run;
mod side;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use report::Results;
use run::{Outcome, Setting, root};

struct Asked {
    names: Vec<String>,
    setting: Setting,
    write: bool,
    table: bool,
    list: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let outcome = match words.split_first() {
        Some((first, rest)) if first == "child" => ours::child(rest),
        _ => asked(&words).and_then(suite),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn asked(words: &[String]) -> Outcome<Asked> {
    let folder = std::env::var_os("STRIATE_PEERS").map(PathBuf::from);
    let default = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/striate/peers");
    let setting = Setting {
        peers: folder.unwrap_or_else(default),
        threads: striate::parallel::available(),
        seconds: 0.4,
        rounds: 6,
        all: false,
        with_peers: true,
        with_ours: true,
    };
    let mut asked = Asked { names: Vec::new(), setting, write: false, table: false, list: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--write" => asked.write = true,
            "--table" => asked.table = true,
            "--list" => asked.list = true,
            "--all" => asked.setting.all = true,
            "--ours" => asked.setting.with_peers = false,
            "--peers" => asked.setting.with_ours = false,
            "--quick" => (asked.setting.seconds, asked.setting.rounds) = (0.02, 1),
            "--rounds" => asked.setting.rounds = value()?.parse()?,
            "--seconds" => asked.setting.seconds = value()?.parse()?,
            "--threads" => asked.setting.threads = value()?.parse()?,
            flag if flag.starts_with('-') => return Err(format!("unknown option {flag}").into()),
            name => asked.names.push(name.to_string()),
        }
    }
    Ok(asked)
}

fn suite(asked: Asked) -> Outcome<()> {
    let wanted = |name: &String| asked.names.is_empty() || asked.names.iter().any(|part| name.contains(part.as_str()));
    let chosen: Vec<rows::Work> = rows::all().into_iter().filter(|work| wanted(&work.name())).collect();
    if chosen.is_empty() {
        return Err(format!("no row's name has {} in it; --list shows them", asked.names.join(" or ")).into());
    }
    if asked.list {
        chosen.iter().for_each(|work| println!("{}", work.name()));
        return Ok(());
    }
    let path = root().join("benches/results.json");
    let mut results = Results::read(&path)?;
    if asked.table {
        print!("{}", results.tables()?);
        return if asked.write { results.publish() } else { Ok(()) };
    }
    let mut shown = Results { machine: machine(&asked.setting), ..Results::default() };
    results.machine = shown.machine.clone();
    let calm = calm::Calm::new(asked.setting.threads)?;
    for work in chosen {
        eprintln!("{}", work.name());
        if let rows::Work::Peak(file) = work {
            let layers = peak::measure(file, &asked.setting, &calm)?;
            shown.merge_layers(layers.clone());
            results.merge_layers(layers);
        } else {
            let sides = run::row(work, &asked.setting, &calm);
            shown.merge(sides.clone(), true);
            results.merge(sides, asked.setting.with_ours && asked.setting.with_peers);
        }
        if asked.write {
            // After each row, so that a run that is stopped has not been for nothing.
            results.write(&path)?;
        }
    }
    print!("{}", shown.tables()?);
    if asked.write { results.publish() } else { Ok(()) }
}

fn machine(setting: &Setting) -> serde_json::Value {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split(':').nth(1));
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() / 86_400);
    serde_json::json!({ "cpu": cpu.map_or("unknown CPU", str::trim), "cores": striate::parallel::available(),
        "threads": setting.threads, "isa": striate::simd::Isa::best().to_string(), "date": date(days as i64) })
}

// The date so many days after 1970-01-01, in years that begin in March.
fn date(days: i64) -> String {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + i64::from(month <= 2))
}
