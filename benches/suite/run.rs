//! Processes: one for each measurement, ours and the peers', in turn.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::rows::Work;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How a run of the suite goes.
pub struct Setting {
    /// The folder of the peers' environments, `torch` and `tf`.
    pub peers: PathBuf,
    pub threads: usize,
    pub seconds: f64,
    pub rounds: usize,
    /// Whether all variants of the peers are run.
    pub all: bool,
    /// Whether the peers are run.
    pub with_peers: bool,
    /// Whether our side is run.
    pub with_ours: bool,
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of `benches/shapes/peers.txt` that are geometries.
pub fn shapes() -> Outcome<Vec<String>> {
    let text = std::fs::read_to_string(root().join("benches/shapes/peers.txt"))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(String::from).collect())
}

/// One side of a row: who, in which variant, with all its rounds.
#[derive(Debug, Clone)]
pub struct Side {
    pub row: String,
    pub peer: String,
    pub variant: String,
    pub version: String,
    pub threads: usize,
    /// Median, p10 and p90 in milliseconds and the peak of memory in MB, for each round.
    pub rounds: Vec<[f64; 4]>,
}

impl Side {
    /// The median of the rounds' medians.
    pub fn median(&self) -> f64 {
        let mut medians: Vec<f64> = self.rounds.iter().map(|round| round[0]).collect();
        medians.sort_by(f64::total_cmp);
        // Of two rounds the quicker counts, on either side.
        medians.get((medians.len().max(1) - 1) / 2).copied().unwrap_or(f64::NAN)
    }

    /// The lowest p10 and the highest p90.
    pub fn spread(&self) -> [f64; 2] {
        let low = self.rounds.iter().map(|r| r[1]).fold(f64::MAX, f64::min);
        [low, self.rounds.iter().map(|r| r[2]).fold(0.0, f64::max)]
    }

    /// The least peak of memory.
    pub fn peak_mb(&self) -> f64 {
        self.rounds.iter().map(|r| r[3]).filter(|mb| *mb > 0.0).fold(f64::MAX, f64::min)
    }

    pub fn as_json(&self) -> Value {
        let round = |r: &[f64; 4]| json!({ "median_ms": r[0], "p10_ms": r[1], "p90_ms": r[2], "peak_mb": r[3] });
        json!({ "row": self.row, "peer": self.peer, "variant": self.variant, "version": self.version,
            "threads": self.threads, "rounds": self.rounds.iter().map(round).collect::<Vec<_>>() })
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().map(String::from);
        let round = |r: &Value| {
            Some([r["median_ms"].as_f64()?, r["p10_ms"].as_f64()?, r["p90_ms"].as_f64()?, r["peak_mb"].as_f64()?])
        };
        let rounds = value["rounds"].as_array()?.iter().map(round).collect::<Option<_>>()?;
        let threads = value["threads"].as_u64()? as usize;
        Some(Self {
            row: text("row")?,
            peer: text("peer")?,
            variant: text("variant")?,
            version: text("version")?,
            threads,
            rounds,
        })
    }
}

/// Runs a row: in each round our side, then each peer.
pub fn row(work: Work, setting: &Setting) -> Vec<Side> {
    let mut sides = Vec::new();
    for round in 0..setting.rounds {
        if setting.with_ours {
            take(&mut sides, work, "striate", "", ours(work, setting), round);
        }
        for (peer, variant) in work.peers(setting.all).into_iter().filter(|_| setting.with_peers) {
            if setting.peers.join(peer).join("bin/python").exists() {
                take(&mut sides, work, peer, variant, theirs(work, peer, variant, setting), round);
            }
        }
    }
    sides
}

fn take(sides: &mut Vec<Side>, work: Work, peer: &str, variant: &str, lines: Outcome<Vec<Value>>, round: usize) {
    let lines = match lines {
        Ok(lines) => lines,
        Err(e) => return eprintln!("  {peer} {variant}: {e}"),
    };
    for line in lines {
        let number = |key: &str| line[key].as_f64().unwrap_or(0.0);
        let row = match line["passes"].as_str() {
            Some(passes @ ("forward" | "all")) => format!("{} {passes}", work.name()),
            _ => work.name(),
        };
        let variant =
            if peer == "striate" { line["variant"].as_str().unwrap_or("").to_string() } else { variant.to_string() };
        let times = [number("median_ms"), number("p10_ms"), number("p90_ms"), number("peak_mb")];
        eprintln!("  round {} {row:<28} {peer:<8} {variant:<20} {:>10.3} ms", round + 1, times[0]);
        let version = line["version"].as_str().unwrap_or("").to_string();
        match sides.iter_mut().find(|s| s.row == row && s.peer == peer && s.variant == variant) {
            Some(side) => side.rounds.push(times),
            None => {
                let threads = line["threads"].as_u64().unwrap_or(0) as usize;
                sides.push(Side { row, peer: peer.into(), variant, version, threads, rounds: vec![times] });
            }
        }
    }
}

fn ours(work: Work, setting: &Setting) -> Outcome<Vec<Value>> {
    let child = |task: &str, name: &str, batch: usize| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "child",
            task,
            name,
            &batch.to_string(),
            &setting.threads.to_string(),
            &setting.seconds.to_string(),
        ]);
        lines(command)
    };
    match work {
        Work::Train(network, batch) => child("train", network, batch),
        Work::Infer(network, batch) => child("infer", network, batch),
        Work::Conv(index) => child("conv", &index.to_string(), 1),
        Work::Cold => cold(setting),
        Work::Mnist => mnist(setting),
    }
}

// The program, which `cargo build --release` makes.
fn program() -> Outcome<PathBuf> {
    let folder = std::env::current_exe()?;
    let folder = folder.ancestors().nth(2).ok_or("this program is in no target folder")?;
    let program = folder.join("striate");
    if !program.exists() {
        return Err(format!("{} is not there: run `cargo build --release` first", program.display()).into());
    }
    Ok(program)
}

fn scratch() -> Outcome<PathBuf> {
    let folder = std::env::temp_dir().join("striate-suite");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

// Predictions by a model that was trained for a moment.
fn cold(setting: &Setting) -> Outcome<Vec<Value>> {
    let (program, folder) = (program()?, scratch()?);
    let run = folder.join("cold");
    if !run.join("model.striate").exists() {
        let _ = std::fs::remove_dir_all(&run);
        let mut train = Command::new(&program);
        train.args(["train", "mnist", "--limit", "500", "--epochs", "1", "--quiet", "--out"]).arg(&run);
        output(train)?;
    }
    let picture = picture()?;
    let threads = setting.threads.to_string();
    let times = repeat(setting, || {
        let mut command = Command::new(&program);
        command.arg("predict").arg(&run).arg(&picture).args(["--threads", &threads]);
        command
    })?;
    Ok(vec![times])
}

fn picture() -> Outcome<PathBuf> {
    let digits = std::fs::read_dir(root().join("examples/digits"))?;
    let mut all: Vec<PathBuf> = digits.filter_map(|e| Some(e.ok()?.path())).collect();
    all.retain(|path| path.extension().is_some_and(|e| e == "png"));
    all.sort();
    all.into_iter().next().ok_or_else(|| "no picture in examples/digits".into())
}

fn mnist(setting: &Setting) -> Outcome<Vec<Value>> {
    let (program, out) = (program()?, scratch()?.join("mnist"));
    let _ = std::fs::remove_dir_all(&out);
    let mut command = Command::new(program);
    command.args(["train", "mnist", "--quiet", "--threads", &setting.threads.to_string(), "--out"]).arg(out);
    let start = Instant::now();
    output(command)?;
    Ok(vec![whole(setting, &[start.elapsed().as_secs_f64() * 1e3])])
}

// The wall times of whole processes, ten or as many as there is time for.
fn repeat(setting: &Setting, command: impl Fn() -> Command) -> Outcome<Value> {
    output(command())?;
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 3 || times.len() < 10 && start.elapsed().as_secs_f64() < setting.seconds {
        let before = Instant::now();
        output(command())?;
        times.push(before.elapsed().as_secs_f64() * 1e3);
    }
    Ok(whole(setting, &times))
}

fn whole(setting: &Setting, times: &[f64]) -> Value {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[(share * (times.len() - 1) as f64).round() as usize];
    json!({ "version": format!("striate {}", env!("CARGO_PKG_VERSION")), "variant": "program", "threads": setting.threads,
        "median_ms": at(0.5), "p10_ms": at(0.1), "p90_ms": at(0.9), "peak_mb": 0.0 })
}

fn theirs(work: Work, peer: &str, variant: &str, setting: &Setting) -> Outcome<Vec<Value>> {
    let python = setting.peers.join(peer).join("bin/python");
    let scripts = root().join("benches/peers");
    let threads = setting.threads.to_string();
    let mut command = Command::new(&python);
    command.env("STRIATE_PEERS_CACHE", setting.peers.join("cache"));
    let (task, name, batch) = match work {
        Work::Train(network, batch) => ("train", network.to_string(), batch),
        Work::Infer(network, batch) => ("infer", network.to_string(), batch),
        Work::Conv(index) => ("conv", index.to_string(), 1),
        Work::Cold => return cold_peer(&python, &scripts, variant, setting),
        Work::Mnist => {
            command.arg(scripts.join("mnist_peer.py")).arg(root().join("data/mnist")).args([variant, &threads]);
            let start = Instant::now();
            let mut lines = lines(command)?;
            let ms = start.elapsed().as_secs_f64() * 1e3;
            lines
                .iter_mut()
                .for_each(|line| ["median_ms", "p10_ms", "p90_ms"].iter().for_each(|key| line[*key] = json!(ms)));
            return Ok(lines);
        }
    };
    command.arg(scripts.join(format!("{peer}_peer.py"))).args([task, &name, "--batch", &batch.to_string()]);
    command.args([
        "--variant",
        variant,
        "--threads",
        &threads,
        "--seconds",
        &setting.seconds.to_string(),
        "--warm",
        "0.5",
    ]);
    lines(command)
}

// The wall time of a peer's whole process; the first run makes the model that the others read.
fn cold_peer(python: &Path, scripts: &Path, variant: &str, setting: &Setting) -> Outcome<Vec<Value>> {
    let picture = picture()?;
    let command = || {
        let mut command = Command::new(python);
        command.env("STRIATE_PEERS_CACHE", setting.peers.join("cache"));
        command.arg(scripts.join("cold_peer.py")).args([variant, &setting.threads.to_string()]).arg(&picture);
        command
    };
    let version = lines(command())?.into_iter().find_map(|line| line["version"].as_str().map(String::from));
    let mut times = repeat(setting, command)?;
    times["version"] = json!(version);
    Ok(vec![times])
}

fn output(mut command: Command) -> Outcome<String> {
    let out = command.output()?;
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        return Err(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed").to_string().into());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

// The lines of a process that are JSON.
fn lines(command: Command) -> Outcome<Vec<Value>> {
    let text = output(command)?;
    let all: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    if all.is_empty() { Err("it printed no measurement".into()) } else { Ok(all) }
}
