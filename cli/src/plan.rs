//! `striate plan NETWORK`: what is run for a network on this machine, and the least time that it can take.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use striate::conv::Pass;
use striate::lab::{Cost, Floor, Speed, chosen, costs};
use striate::ops::Mode;
use striate::parallel::Pool;
use striate::plan::{Line, Plan, PlanConfig, PlanMemory};
use striate::rng::Rng;
use striate::session::{Machine, Session, Timing, TrainAt};
use striate::{Model, Result};

use crate::args::PlanArgs;
use crate::bench::{cost_words, floor_json, ms, short, size, speed_words};
use crate::out::say;
use crate::{input, out};

// Where the estimate comes from, and how far off it was there.
const CALIBRATED: &str = "in networks of the zoo on one machine with AVX-512, where it came within a third";
const PROFILE: Duration = Duration::from_millis(1500);

/// One act with its floors and, where it was run, its times; forward and backward.
struct Act<'a> {
    line: &'a Line,
    costs: [Cost; 2],
    floors: [Floor; 2],
    times: Option<[f64; 2]>,
}

struct Planned {
    batch: usize,
    train: bool,
    machine: Machine,
    speed: Speed,
    plan: Plan,
    times: Option<Vec<[f64; 2]>>,
    step: Option<f64>,
}

pub fn run(args: &PlanArgs) -> Result<()> {
    let model = input::any_model(&args.model, 0, &args.of.network, &args.of.size.options())?;
    let planned = Planned::new(args, &model)?;
    let acts = planned.acts();
    if args.json {
        out::json(planned.as_json(&model, &acts));
    } else {
        planned.print(&model, &acts);
    }
    Ok(())
}

impl Planned {
    fn new(args: &PlanArgs, model: &Model) -> Result<Self> {
        let machine = args.machine.machine()?;
        let pool = Pool::new(machine.threads)?;
        let machine = Machine { threads: pool.threads(), ..machine };
        let settings = || input::recipe(&args.model, &args.of.size.options()).ok().map(|recipe| recipe.train);
        let own =
            || if args.train { settings().or_else(|| input::settings(model)).map_or(1, |s| s.batch_size) } else { 1 };
        let batch = args.batch.map_or_else(own, usize::from);
        let mode = if args.train { Mode::Train } else { Mode::Infer };
        let Machine { threads, isa, algorithm } = machine.clone();
        let config =
            PlanConfig { batch, mode, strip_head: args.train, keep: false, recompute: true, isa, threads, algorithm };
        let plan = Plan::compile(model.graph(), config)?;
        let speed = Speed::measure(&pool, machine.isa);
        drop(pool);
        let mut planned = Self { batch, train: args.train, machine, speed, plan, times: None, step: None };
        if args.time {
            planned.time(model)?;
        }
        Ok(planned)
    }

    // The median times of the acts, and of a whole run.
    fn time(&mut self, model: &Model) -> Result<()> {
        let mut session = Session::new(model, self.machine.clone())?;
        let mut rng = Rng::new(0);
        let x: Vec<f32> = (0..self.batch * model.graph().input_shape()?.len()).map(|_| rng.uniform()).collect();
        let at = TrainAt { batch: self.batch, strip_head: true, rng: Rng::new(0) };
        let (mut runs, mut steps) = (Vec::new(), Vec::new());
        let start = Instant::now();
        while runs.len() < 4 || start.elapsed() < PROFILE {
            let step = Instant::now();
            if self.train {
                session.train(&x, at, |outlet| outlet.dy.fill(0.0))?;
            } else {
                session.infer(&x, self.batch)?;
            }
            steps.push(step.elapsed().as_secs_f64() * 1e3);
            runs.push(if self.train { session.profile(&x, at)? } else { session.profile_inference(&x, self.batch)? });
        }
        // The first runs meet cold memory.
        runs.remove(0);
        steps.remove(0);
        let act = |i: usize| [median_of(&runs, i, |t| t.forward), median_of(&runs, i, |t| t.backward)];
        self.times = Some((0..runs[0].len()).map(act).collect());
        self.step = Some(median(steps));
        Ok(())
    }

    fn acts(&self) -> Vec<Act<'_>> {
        let times = |i: usize| self.times.as_ref().and_then(|times| times.get(i)).copied();
        let act = |(i, line): (usize, &'_ Line)| {
            let costs = costs(&line.work, self.batch);
            (i, costs, costs.map(|cost| Floor::new(cost, &self.speed)))
        };
        let lines = &self.plan.report().lines;
        let all = lines.iter().enumerate().map(act);
        all.map(|(i, costs, floors)| Act { line: &lines[i], costs, floors, times: times(i) }).collect()
    }

    fn estimate(&self) -> f64 {
        striate::lab::estimate(&self.plan.report().lines, self.batch, &self.speed).iter().flatten().sum()
    }

    fn what(&self) -> String {
        let images = if self.batch == 1 { "one sample".into() } else { format!("{} samples", self.batch) };
        if self.train { format!("a training step of {images}") } else { format!("a prediction of {images}") }
    }

    fn print(&self, model: &Model, acts: &[Act<'_>]) {
        let threads =
            if self.machine.threads == 1 { "1 thread".into() } else { format!("{} threads", self.machine.threads) };
        say!("{}: {} on {threads}, {}", model.graph().name(), self.what(), self.machine.isa);
        say!("{}\n", speed_words(&self.speed));
        header(self.train, self.times.is_some());
        acts.iter().for_each(|act| row(act, self.train));
        let total = total(acts);
        say!("\n{}; {}", cost_words(total.cost), floor_sum(total));
        let PlanMemory { weights, gradients, ready, values, values_at_peak, scratch } = self.plan.memory();
        say!(
            "Memory: weights {}, gradients {}, weights made ready {}, values {} (the least possible {}), scratch {}",
            size(weights as u64),
            size(gradients as u64),
            size(ready as u64),
            size(values as u64),
            size(values_at_peak as u64),
            size(scratch as u64)
        );
        match self.step {
            Some(step) => {
                let acts: f64 = acts.iter().filter_map(|a| a.times).flatten().sum();
                let share = 100.0 * total.floor / step;
                say!("Time: {} ms a run (its acts {} ms), {share:.0} % of it the floor", ms(step), ms(acts));
            }
            None => {
                say!(
                    "Time: about {} ms. It is an estimate: this machine's peak and rates, measured just now, by what each",
                    ms(self.estimate())
                );
                say!("algorithm took of them {CALIBRATED}; --time measures it");
            }
        }
    }

    fn as_json(&self, model: &Model, acts: &[Act<'_>]) -> Value {
        let act = |a: &Act<'_>| {
            let part = |i: usize| {
                let mut part = json!({ "mul_adds": a.costs[i].mul_adds, "bytes": a.costs[i].bytes, "floor": floor_json(a.floors[i]) });
                if let Some(times) = a.times {
                    part["ms"] = json!(times[i]);
                }
                part
            };
            let mut json = json!({ "layer": a.line.layer, "class": a.line.class, "shape": a.line.shape.dims(),
                "algorithms": algorithms(a.line), "notes": a.line.notes, "forward": part(0) });
            if self.train {
                json["backward"] = part(1);
            }
            json
        };
        let PlanMemory { weights, gradients, ready, values, values_at_peak, scratch } = self.plan.memory();
        let total = total(acts);
        let reads: Vec<Value> =
            self.speed.reads.iter().map(|(set, rate)| json!({ "bytes": set, "gb_s": rate })).collect();
        json!({ "name": model.graph().name(), "mode": if self.train { "train" } else { "infer" }, "batch": self.batch,
            "threads": self.machine.threads, "isa": self.machine.isa.to_string(),
            "peak_gflops": self.speed.peak, "reads": reads, "acts": acts.iter().map(act).collect::<Vec<_>>(),
            "mul_adds": total.cost.mul_adds, "bytes": total.cost.bytes, "floor_ms": total.floor,
            "estimate_ms": self.estimate(), "ms": self.step,
            "memory": { "weights": weights, "gradients": gradients, "ready": ready, "values": values, "values_at_peak": values_at_peak,
                        "scratch": scratch } })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn median_of(runs: &[Vec<Timing>], act: usize, time: fn(&Timing) -> Duration) -> f64 {
    median(runs.iter().map(|run| time(&run[act]).as_secs_f64() * 1e3).collect())
}

#[derive(Clone, Copy, Default)]
struct Total {
    cost: Cost,
    // The sum of the floors, and of their terms.
    floor: f64,
    terms: Floor,
}

fn total(acts: &[Act<'_>]) -> Total {
    let mut total = Total::default();
    for (cost, floor) in acts.iter().flat_map(|a| a.costs.into_iter().zip(a.floors)) {
        total.cost = total.cost + cost;
        total.floor += floor.ms();
        total.terms.arithmetic += floor.arithmetic;
        total.terms.memory += floor.memory;
    }
    total
}

fn floor_sum(total: Total) -> String {
    let (floor, Floor { arithmetic, memory }) = (ms(total.floor), total.terms);
    format!("the floors of all acts add up to {floor} ms (arithmetic {}, memory {})", ms(arithmetic), ms(memory))
}

/// The algorithms of an act.
fn algorithms(line: &Line) -> Vec<&str> {
    let mut all: Vec<&str> = Pass::ALL.into_iter().filter_map(|pass| chosen(line, pass)).collect();
    all.dedup();
    all
}

// What else the notes say.
fn passing(line: &Line) -> String {
    let passes = striate::conv::Pass::ALL.map(|pass| format!("{pass}: "));
    let rest = line.notes.iter().filter(|note| !passes.iter().any(|p| note.contains(p.as_str())));
    rest.map(String::as_str).collect::<Vec<_>>().join("; ")
}

fn header(train: bool, timed: bool) {
    let mut line =
        format!("{:<26} {:<18} {:<13} {:<14} {:>8} {:>8}", "layer", "op", "output", "algorithm", "mul-adds", "bytes");
    for pass in passes(train) {
        line += &format!(" {:>11}", format!("{pass}floor"));
        if timed {
            line += &format!(" {:>9} {:>5}", format!("{pass}ms"), "");
        }
    }
    say!("{line} by");
    say!("{}", "-".repeat(line.len() + 12));
}

fn passes(train: bool) -> &'static [&'static str] {
    if train { &["fwd ", "bwd "] } else { &[""] }
}

fn row(act: &Act<'_>, train: bool) {
    let Line { layer, class, shape, .. } = act.line;
    let dims = shape.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let cost = act.costs[0] + act.costs[1];
    let algorithm = algorithms(act.line).join("+");
    let (mul_adds, bytes) = (short(cost.mul_adds), size(cost.bytes));
    let mut line = format!("{:<26} {class:<18} {dims:<13} {algorithm:<14} {mul_adds:>8} {bytes:>8}", tail(layer, 26));
    for (i, _) in passes(train).iter().enumerate() {
        let floor = act.floors[i].ms();
        line += &format!(" {:>11}", ms(floor));
        if let Some(times) = act.times {
            let share = if times[i] > 0.0 { format!("{:.0} %", 100.0 * floor / times[i]) } else { String::new() };
            line += &format!(" {:>9} {share:>5}", ms(times[i]));
        }
    }
    let limit = if act.floors[0].arithmetic + act.floors[1].arithmetic > act.floors[0].memory + act.floors[1].memory {
        "arithmetic"
    } else {
        "memory"
    };
    let passing = passing(act.line);
    say!("{line} {limit}{}{passing}", if passing.is_empty() { "" } else { "; " });
}

// The end of a name that is too long, since names differ at their ends.
fn tail(text: &str, room: usize) -> String {
    let len = text.chars().count();
    if len <= room { text.to_string() } else { format!("…{}", text.chars().skip(len + 1 - room).collect::<String>()) }
}
