//! `striate bench WHAT`: the convolution laboratory: every algorithm on *your* layers, beside what the machine allows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use striate::conv::{Geometry, Pass};
use striate::lab::{
    Cost, Experiment, Floor, Laboratory, Measured, Movement, Occurrence, Outcome, Settings, Speed, Trial, animate,
    draw, geometries,
};
use striate::parallel::Pool;
use striate::simd::Isa;
use striate::{Error, Graph, Result};

use crate::args::BenchArgs;
use crate::out::say;
use crate::{input, out};

pub fn run(args: &BenchArgs) -> Result<()> {
    if let Some(path) = &args.draw {
        out::check_picture(path, true)?;
    }
    let batch = args.batch.map(usize::from);
    let mut layers = Vec::new();
    for target in targets(&args.what) {
        layers.extend(of_target(&target, batch)?);
    }
    let machine = args.machine.machine()?;
    let isa = args.isa.as_deref().map_or(Ok(machine.isa), Isa::named)?;
    let settings = Settings { time: Duration::from_secs_f64(args.seconds), algorithm: args.algorithm.clone() };
    let lab = Laboratory::new(Pool::new(machine.threads)?, isa, settings)?;
    if let Some(path) = &args.draw {
        return draw_one(&lab, &layers, args, path);
    }
    if !args.json {
        say!("{}", machine_line(&lab));
    }
    let passes = if args.pass.is_empty() { Pass::ALL.to_vec() } else { args.pass.clone() };
    let mut results = Vec::new();
    for layer in &layers {
        if !args.json {
            say!("\n{}{}", layer.geometry, occurs(layer));
        }
        for pass in &passes {
            let experiment = lab.run(&layer.geometry, *pass)?;
            if args.json {
                results.push(as_json(&experiment, layer));
            } else {
                table(&experiment, lab.speed());
            }
        }
    }
    if args.json {
        let speed = lab.speed();
        let reads: Vec<Value> = speed.reads.iter().map(|(set, rate)| json!({ "bytes": set, "gb_s": rate })).collect();
        out::json(json!({ "threads": lab.threads(), "isa": lab.isa().to_string(), "peak_gflops": speed.peak,
            "reads": reads, "experiments": results }));
    } else {
        legend();
    }
    Ok(())
}

/// The machine in one line, as the laboratory measured it.
fn machine_line(lab: &Laboratory) -> String {
    let (threads, speed) = (lab.threads(), lab.speed());
    let plural = if threads == 1 { "" } else { "s" };
    format!("{threads} thread{plural}, {}: {}", lab.isa(), speed_words(speed))
}

/// A speed in words.
pub fn speed_words(speed: &Speed) -> String {
    let caches: Vec<String> = [256 << 10, 4 << 20]
        .map(|set| format!("{:.0} GB/s from {}", speed.read(set), size(set)))
        .into_iter()
        .chain([format!("{:.0} from memory", speed.memory())])
        .collect();
    format!("at most {:.0} GFLOP/s; reads {}", speed.peak, caches.join(", "))
}

// Words of a geometry that were not quoted are put together again.
fn targets(words: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open = false;
    for word in words {
        let part = is_size(word);
        match all.last_mut() {
            Some(last) if open && part && !word.starts_with('n') => *last += &format!(" {word}"),
            _ => all.push(word.clone()),
        }
        open = part;
    }
    all
}

// Whether a word is a size of a geometry, such as `ic64`, `k3x3` or `psame`.
fn is_size(word: &str) -> bool {
    if let Some(padding) = word.strip_prefix('p') {
        return padding.parse::<striate::conv::Padding>().is_ok();
    }
    let key = word.trim_end_matches(|c: char| c.is_ascii_digit() || "x.-".contains(c));
    key.len() < word.len() && ["n", "h", "w", "ic", "oc", "k", "s", "d", "g", "v"].contains(&key)
}

fn of_target(target: &str, batch: Option<usize>) -> Result<Vec<Occurrence>> {
    if target.split_whitespace().next().is_some_and(|word| is_size(word) || target.contains(' ')) {
        return Ok(vec![alone(target.parse()?, batch)?]);
    }
    if target.ends_with(".txt") {
        return shapes(Path::new(target), batch);
    }
    geometries(&graph(target)?, batch.unwrap_or(1))
}

fn alone(geometry: Geometry, batch: Option<usize>) -> Result<Occurrence> {
    let geometry = match batch {
        Some(n) => format!("{geometry} n{n}").parse()?,
        None => geometry,
    };
    Ok(Occurrence { geometry, layers: Vec::new() })
}

fn shapes(path: &Path, batch: Option<usize>) -> Result<Vec<Occurrence>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", &e))?;
    let mut all = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.split('#').next().unwrap_or_default().trim().is_empty() {
            continue;
        }
        let geometry: Geometry =
            line.parse().map_err(|e: Error| e.within(format_args!("{} line {}", path.display(), i + 1)))?;
        all.push(alone(geometry, batch)?);
    }
    if all.is_empty() {
        return Err(Error::format(path, "no geometry in it")
            .with_help("write one on each line, such as: n64 h28 w28 ic1 oc32 k3x3 psame"));
    }
    Ok(all)
}

/// The network of a name, a TOML file or a model file; for a name that is none of these, what it may have meant.
pub fn graph(name: &str) -> Result<Graph> {
    let options = striate::zoo::Options::default();
    if Path::new(name).exists() && !name.ends_with(".toml") {
        return Ok(input::any_model(name, 0, &crate::args::NetworkArgs::default(), &options)?.graph().clone());
    }
    let recipe = input::recipe(name, &options).map_err(|e| match e.help() {
        Some(help) if !name.contains('.') => {
            let help = format!("{help}; or give a geometry, such as \"n8 h56 w56 ic64 oc64 k3 psame\", or a file");
            Error::new(e.kind(), e.message()).with_help(help)
        }
        _ => e,
    })?;
    Ok(recipe.graph)
}

fn occurs(layer: &Occurrence) -> String {
    match layer.layers.as_slice() {
        [] => String::new(),
        [one] => format!("   ({one})"),
        many => format!("   ({} times: {}, ...)", many.len(), many[0]),
    }
}

const COLUMNS: usize = 86;

fn table(experiment: &Experiment, speed: &Speed) {
    let Experiment { pass, cost, floor, .. } = experiment;
    say!("  {pass}: {}; {}", cost_words(*cost), floor_words(*floor));
    say!("    {}", "-".repeat(COLUMNS));
    say!(
        "    {:<12} {:>10} {:>19} {:>9} {:>7} {:>7} {:>9} {:>7}",
        "algorithm",
        "median ms",
        "p10 - p90",
        "GFLOP/s",
        "of peak",
        "floor",
        "scratch",
        "error"
    );
    for trial in &experiment.trials {
        row(experiment, trial, speed);
    }
    let samples = experiment.samples;
    if samples.count < samples.of {
        let (count, of) = (out::thousands(samples.count), out::thousands(samples.of));
        say!("    errors are those of {count} of {of} outputs");
    }
}

fn row(experiment: &Experiment, trial: &Trial, speed: &Speed) {
    let mark = if trial.algorithm == experiment.choice { "*" } else { " " };
    let name = format!("{}{mark}", trial.algorithm);
    match &trial.outcome {
        Outcome::Measured(m) => {
            let Measured { median, p10, p90, scratch, error, .. } = m;
            let gflops = m.gflops(experiment.cost);
            let (peak, floor) = (100.0 * gflops / speed.peak, 100.0 * experiment.floor.ms() / median);
            let spread = format!("{} - {}", ms(*p10), ms(*p90));
            let (median, scratch) = (ms(*median), size(*scratch as u64));
            say!(
                "    {name:<12} {median:>10} {spread:>19} {gflops:>9.1} {peak:>5.0} % {floor:>5.0} % {scratch:>9} {error:>7.0e}"
            );
        }
        Outcome::Refused(reason) => say!("    {name:<12} refuses: {reason}"),
        Outcome::LeftOut(reason) => say!("    {name:<12} not run: {reason}"),
    }
}

fn legend() {
    say!(
        "\n* the engine's own choice. `of peak`: GFLOP/s by the multiply-adds of the formula. `floor`: the floor's share of the"
    );
    say!(
        "median; fft and winograd do fewer multiply-adds than the formula and can pass 100 %. `error`: the largest, against f64,"
    );
    say!("as a share of the largest output.");
}

/// What has to be done, in words.
pub fn cost_words(cost: Cost) -> String {
    format!("{} multiply-adds, {}", short(cost.mul_adds), size(cost.bytes))
}

/// A floor in words.
pub fn floor_words(floor: Floor) -> String {
    let (arithmetic, memory) = (ms(floor.arithmetic), ms(floor.memory));
    format!("floor {} ms by {} (arithmetic {arithmetic}, memory {memory})", ms(floor.ms()), floor.limit())
}

/// Milliseconds with three digits or more.
pub fn ms(value: f64) -> String {
    let digits = if value < 10.0 {
        4
    } else if value < 100.0 {
        3
    } else {
        1
    };
    format!("{value:.digits$}")
}

/// Bytes with a unit.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// A number with three digits and a unit.
pub fn short(n: u64) -> String {
    let (value, unit) = match n {
        0..1_000 => return n.to_string(),
        1_000..1_000_000 => (n as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (n as f64 / 1e6, "M"),
        _ => (n as f64 / 1e9, "G"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// A floor as JSON.
pub fn floor_json(floor: Floor) -> Value {
    json!({ "ms": floor.ms(), "limit": floor.limit().to_string(), "arithmetic_ms": floor.arithmetic, "memory_ms": floor.memory })
}

fn as_json(experiment: &Experiment, layer: &Occurrence) -> Value {
    let trial = |t: &Trial| match &t.outcome {
        Outcome::Measured(m) => {
            json!({ "algorithm": t.algorithm, "median_ms": m.median, "p10_ms": m.p10, "p90_ms": m.p90,
            "runs": m.runs, "gflops": m.gflops(experiment.cost), "scratch_bytes": m.scratch, "error": m.error })
        }
        Outcome::Refused(reason) => json!({ "algorithm": t.algorithm, "refuses": reason }),
        Outcome::LeftOut(reason) => json!({ "algorithm": t.algorithm, "not_run": reason }),
    };
    let trials: Vec<Value> = experiment.trials.iter().map(trial).collect();
    let Experiment { geometry, pass, cost, floor, samples, choice, .. } = experiment;
    json!({ "geometry": geometry.to_string(), "layers": layer.layers, "pass": pass.to_string(), "mul_adds": cost.mul_adds,
        "bytes": cost.bytes, "floor": floor_json(*floor), "choice": choice,
        "sampled": { "outputs": samples.count, "of": samples.of }, "trials": trials })
}

// Draws the one geometry that was given.
fn draw_one(lab: &Laboratory, layers: &[Occurrence], args: &BenchArgs, path: &PathBuf) -> Result<()> {
    let [layer] = layers else {
        return Err(Error::argument(format!("--draw shows one geometry, not {}", layers.len()))
            .with_help("give a geometry, such as \"n8 h56 w56 ic64 oc64 k3 psame\""));
    };
    if args.pass.iter().any(|pass| *pass != Pass::Forward) {
        return Err(Error::argument("--draw shows the forward pass").with_help("leave --pass out"));
    }
    let g = &layer.geometry;
    let machine = striate::conv::Machine { isa: lab.isa(), threads: lab.threads() };
    let chosen = striate::conv::choose(g, Pass::Forward, machine, None)?.algorithm;
    let movement = Movement::of(g, args.algorithm.as_deref().unwrap_or(chosen), lab.isa())?;
    let floor = Some(Floor::new(Cost::of(g), lab.speed()));
    if out::ends_in(path, out::MOVING) {
        let animation = animate(&movement, floor)?;
        animation.save(path)?;
        say!("Drawn: {} ({} steps, it moves)", path.display(), animation.frames().len());
    } else {
        draw(&movement, floor).save(path)?;
        say!("Drawn: {}", path.display());
    }
    Ok(())
}

/// A pass by its name, for the arguments.
pub fn pass(name: &str) -> Result<Pass, String> {
    let names = Pass::ALL.map(|pass| pass.to_string());
    Pass::ALL.into_iter().find(|pass| pass.to_string() == name).ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        match striate::error::nearest(name, &known) {
            Some(near) => format!("did you mean '{near}'? known: {}", known.join(", ")),
            None => format!("known: {}", known.join(", ")),
        }
    })
}
