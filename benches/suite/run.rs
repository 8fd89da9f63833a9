//! A row: all its sides are started and warmed up, then they measure in turn, round after round.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::calm::{Calm, Patience};
use crate::cold;
use crate::process::{Kept, Runner, Whole};
use crate::rows::Work;
use crate::side::Side;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How a run of the suite goes.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The folder of the peers' environments, `torch` and `tf`.
    pub peers: PathBuf,
    pub threads: usize,
    /// How long a side measures in each round, at least.
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

/// The lines of a file of `benches/shapes` that are geometries.
pub fn shapes(file: &str) -> Outcome<Vec<String>> {
    let text = std::fs::read_to_string(root().join(format!("benches/shapes/{file}.txt")))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(String::from).collect())
}

/// One that takes part in a row.
struct Player {
    peer: &'static str,
    variant: String,
    runner: Runner,
}

/// Runs a row: in each round all sides have their turn, in every other round in the opposite order.
pub fn row(work: Work, setting: &Setting, calm: &Calm) -> Vec<Side> {
    let mut players = players(work, setting);
    let (mut sides, mut patience) = (Vec::new(), Patience::new());
    for round in 0..rounds(work, setting) {
        calm.wait(&mut patience);
        players = players.into_iter().rev().collect();
        players.retain_mut(|player| {
            let turn = player.runner.turn();
            turn.map(|lines| take(&mut sides, work, player, &lines, round))
                .inspect_err(|e| eprintln!("  {} {}: {e}", player.peer, player.variant))
                .is_ok()
        });
    }
    // A side that failed on its way has rounds that cannot be paired.
    let whole = sides.iter().map(|side: &Side| side.rounds.len()).max();
    sides.retain(|side| Some(side.rounds.len()) == whole);
    sides
}

// A whole training is long enough to meet the machine in all its moods.
fn rounds(work: Work, setting: &Setting) -> usize {
    if work == Work::Mnist { setting.rounds.min(2) } else { setting.rounds }
}

fn players(work: Work, setting: &Setting) -> Vec<Player> {
    let mut all = Vec::new();
    let mut add = |peer: &'static str, variant: String, runner: Outcome<Runner>| match runner {
        Ok(runner) => all.push(Player { peer, variant, runner }),
        Err(e) => eprintln!("  {peer} {variant}: {e}"),
    };
    if let Work::Threads { .. } = work {
        for threads in [1, 2].into_iter().filter(|_| setting.with_ours) {
            add("striate", threads_word(threads), ours(work, &Setting { threads, ..setting.clone() }));
        }
        return all;
    }
    let isa = striate::simd::Isa::best().to_string();
    let cold = match work {
        Work::Photo | Work::Digit => Some(cold::Subject::new(work)),
        _ => None,
    };
    let cold = cold.transpose().inspect_err(|e| eprintln!("  {}: {e}", work.name())).ok().flatten();
    if setting.with_ours {
        let (variant, runner) = match &cold {
            Some(subject) => ("program".into(), subject.ours(setting)),
            None if work == Work::Mnist => ("program".into(), cold::training(setting)),
            None => (isa, ours(work, setting)),
        };
        add("striate", variant, runner);
    }
    for (peer, variant) in work.peers(setting.all).into_iter().filter(|_| setting.with_peers) {
        let python = setting.peers.join(peer).join("bin/python");
        if python.exists() {
            let runner = match &cold {
                Some(subject) => subject.theirs(python, variant, setting),
                None => theirs(work, peer, variant, setting),
            };
            add(peer, variant.into(), runner);
        }
    }
    all
}

/// How the sides of a row of threads are named.
pub fn threads_word(threads: usize) -> String {
    if threads == 1 { "1 thread".into() } else { format!("{threads} threads") }
}

fn take(sides: &mut Vec<Side>, work: Work, player: &Player, lines: &[Value], round: usize) {
    let Player { peer, variant, .. } = player;
    for line in lines {
        let number = |key: &str| line[key].as_f64().unwrap_or(0.0);
        let row = match line["passes"].as_str() {
            Some(passes @ ("forward" | "all")) => format!("{} {passes}", work.name()),
            _ => work.name(),
        };
        let times = [number("median_ms"), number("p10_ms"), number("p90_ms"), number("peak_mb")];
        eprintln!("  round {} {row:<28} {peer:<8} {variant:<20} {:>10.3} ms", round + 1, times[0]);
        match sides.iter_mut().find(|s| s.row == row && s.peer == *peer && s.variant == *variant) {
            Some(side) => side.rounds.push(times),
            None => {
                let version = line["version"].as_str().unwrap_or("").to_string();
                let (threads, peer) = (line["threads"].as_u64().unwrap_or(0) as usize, peer.to_string());
                sides.push(Side { row, peer, variant: variant.clone(), version, threads, rounds: vec![times] });
            }
        }
    }
}

fn ours(work: Work, setting: &Setting) -> Outcome<Runner> {
    let (task, name, batch) = task(work).ok_or("not a kept process")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["child", task, &name, &batch.to_string()]);
    command.args([&setting.threads.to_string(), &setting.seconds.to_string()]);
    Ok(Runner::Kept(Kept::start(command)?))
}

// The words by which a process is told what to do, ours and theirs.
fn task(work: Work) -> Option<(&'static str, String, usize)> {
    match work {
        Work::Train(network, batch) | Work::Threads { train: true, network, batch } => {
            Some(("train", network.into(), batch))
        }
        Work::Infer(network, batch) | Work::Threads { train: false, network, batch } => {
            Some(("infer", network.into(), batch))
        }
        Work::Conv(index) => Some(("conv", index.to_string(), 1)),
        _ => None,
    }
}

fn theirs(work: Work, peer: &str, variant: &str, setting: &Setting) -> Outcome<Runner> {
    let python = setting.peers.join(peer).join("bin/python");
    let scripts = root().join("benches/peers");
    let cache = setting.peers.join("cache");
    let threads = setting.threads.to_string();
    let Some((task, name, batch)) = task(work) else {
        let variant = variant.to_string();
        let command = move || {
            let mut command = Command::new(&python);
            command.env("STRIATE_PEERS_CACHE", &cache).arg(scripts.join("mnist_peer.py"));
            command.arg(root().join("data/mnist")).args([&variant, &threads]);
            command
        };
        return Ok(Runner::Whole(Whole::new(command, setting.threads, setting.seconds)));
    };
    let mut command = Command::new(&python);
    command.env("STRIATE_PEERS_CACHE", cache).arg(scripts.join(format!("{peer}_peer.py")));
    command.args([task, &name, "--batch", &batch.to_string(), "--variant", variant, "--threads", &threads]);
    command.args(["--seconds", &setting.seconds.to_string()]);
    Ok(Runner::Kept(Kept::start(command)?))
}
