//! Our side of a row, in a process of its own, so that its peak of memory is its own. It takes orders as the peers do: for
//! each line of its input it measures for a while and prints a line of JSON.

use std::time::{Duration, Instant};

use striate::conv::{self, BiasGradient, Choice, Finish, Fused, Geometry, Pass, choose};
use striate::ops::Aligned;
use striate::parallel::{Pool, Team};
use striate::rng::Rng;
use striate::session::{Machine, Session};
use striate::train::{FitConfig, Trainer};
use striate::{Model, zoo};

use crate::run::Outcome;

const WARM: Duration = Duration::from_millis(500);

/// What a child process is told: the task, its subject, the batch, the threads and the seconds to measure.
pub fn child(words: &[String]) -> Outcome<()> {
    let [task, name, batch, threads, seconds] = words else {
        return Err("child takes: train|infer|conv NAME BATCH THREADS SECONDS".into());
    };
    let (batch, threads, seconds): (usize, usize, f64) = (batch.parse()?, threads.parse()?, seconds.parse()?);
    let timer = Timer { task, name, batch, threads, time: Duration::from_secs_f64(seconds) };
    match task.as_str() {
        "train" => timer.train(),
        "infer" => timer.infer(),
        "conv" => timer.conv(),
        other => Err(format!("unknown task {other}").into()),
    }
}

struct Timer<'a> {
    task: &'a str,
    name: &'a str,
    batch: usize,
    threads: usize,
    time: Duration,
}

impl Timer<'_> {
    fn machine(&self) -> Machine {
        Machine { threads: self.threads, ..Machine::default() }
    }

    fn train(&self) -> Outcome<()> {
        let recipe = zoo::recipe(self.name)?;
        let model = Model::new(recipe.graph, 0)?;
        let config = FitConfig { batch_size: self.batch, ..recipe.train };
        let len = self.batch * model.graph().input_shape()?.len();
        // As many batches as the peers have, so that none finds its input in a near cache.
        let batches: Vec<(Aligned, Vec<u32>)> = (0..if len > 1 << 20 { 2 } else { 32 })
            .map(|seed| {
                let mut rng = Rng::new(seed).split("labels");
                (numbers(len, seed), (0..self.batch).map(|_| rng.below(10)).collect())
            })
            .collect();
        let mut trainer = Trainer::new(&model, config, self.machine())?;
        let mut turns = batches.iter().cycle();
        self.serve(&["step"], |_| {
            let (x, labels) = turns.next().ok_or("no batch")?;
            Ok(trainer.step(x, labels, 1e-3).map(drop)?)
        })
    }

    fn infer(&self) -> Outcome<()> {
        let model = Model::new(zoo::recipe(self.name)?.graph, 0)?;
        let inputs =
            [0, 1].map(|seed| model.graph().input_shape().map(|shape| numbers(self.batch * shape.len(), seed)));
        let [a, b] = inputs;
        let (a, b) = (a?, b?);
        let mut session = Session::new(&model, self.machine())?;
        let mut turn = false;
        self.serve(&["step"], |_| {
            turn = !turn;
            Ok(session.infer(if turn { &a } else { &b }, self.batch)?)
        })
    }

    fn conv(&self) -> Outcome<()> {
        let g: Geometry =
            crate::run::shapes("peers")?.get(self.name.parse::<usize>()?).ok_or("no such shape")?.parse()?;
        let pool = Pool::new(self.threads)?;
        let mut layer = Layer::new(&g, self.threads)?;
        self.serve(&["forward", "all"], |passes| {
            pool.run(|team| {
                layer.forward(team);
                if passes == "all" {
                    layer.backward(team);
                }
            });
            Ok(())
        })
    }

    // Warms up and says so; then carries out an order for each line of the input.
    fn serve(&self, passes: &[&str], mut step: impl FnMut(&str) -> Outcome<()>) -> Outcome<()> {
        for name in passes {
            let (start, mut count) = (Instant::now(), 0);
            while count < 3 || start.elapsed() < WARM {
                step(name)?;
                count += 1;
            }
        }
        println!("{}", serde_json::json!({ "ready": true }));
        for order in std::io::stdin().lines() {
            order?;
            for name in passes {
                self.measure(name, || step(name))?;
            }
            println!("{}", serde_json::json!({ "done": true }));
        }
        Ok(())
    }

    fn measure(&self, passes: &str, mut step: impl FnMut() -> Outcome<()>) -> Outcome<()> {
        // The first meets the caches of the others.
        step()?;
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < 2 || start.elapsed() < self.time {
            let before = Instant::now();
            step()?;
            times.push(before.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[(share * (times.len() - 1) as f64).round() as usize];
        let line = serde_json::json!({
            "version": crate::process::OURS, "work": format!("{} {}", self.task, self.name),
            "variant": striate::simd::Isa::best().to_string(), "batch": self.batch, "threads": self.threads,
            "median_ms": at(0.5), "p10_ms": at(0.1), "p90_ms": at(0.9), "steps": times.len(), "peak_mb": peak_mb(),
            "passes": passes
        });
        println!("{line}");
        Ok(())
    }
}

// A convolution with bias, and all its gradients; its numbers stand at whole cache lines, as those of a plan do, and of the
// peers' tensors.
struct Layer {
    kernels: [Choice; 3],
    bias: BiasGradient,
    x: Aligned,
    w: Aligned,
    b: Aligned,
    dy: Aligned,
    y: Aligned,
    dx: Aligned,
    dw: Aligned,
    db: Aligned,
    scratch: Aligned,
}

impl Layer {
    fn new(g: &Geometry, threads: usize) -> Outcome<Self> {
        let machine = conv::Machine { isa: striate::simd::Isa::best(), threads };
        let [a, b, c] = Pass::ALL.map(|pass| choose(g, pass, machine, None));
        let kernels = [a?, b?, c?];
        let bias = BiasGradient::new(g.y_len(), g.oc, Fused::Linear, machine.isa);
        let work = kernels.iter().map(|choice| choice.kernel.work()).chain([bias.work()]).max().unwrap_or(0);
        let (x, w, b, dy) = (numbers(g.x_len(), 1), numbers(g.w_len(), 2), numbers(g.oc, 3), numbers(g.y_len(), 4));
        let [y, dx, dw, db, scratch] = [g.y_len(), g.x_len(), g.w_len(), g.oc, work].map(Aligned::zeros);
        Ok(Self { kernels, bias, x, w, b, dy, y, dx, dw, db, scratch })
    }

    fn forward(&mut self, team: Team) {
        let finish = Finish { bias: &self.b, ..Finish::default() };
        let inputs = [&self.x[..], &self.w];
        let work = conv::Work { inputs, packed: &[], out: &mut self.y, finish, scratch: &mut self.scratch };
        self.kernels[0].kernel.run(team, work);
    }

    fn backward(&mut self, team: Team) {
        self.bias.run(team, &mut self.dy, &self.y, &mut self.db, &mut self.scratch);
        let (finish, inputs) = (Finish::default(), [&self.x[..], &self.dy]);
        let work = conv::Work { inputs, packed: &[], out: &mut self.dw, finish, scratch: &mut self.scratch };
        self.kernels[2].kernel.run(team, work);
        let inputs = [&self.dy[..], &self.w];
        let work = conv::Work { inputs, packed: &[], out: &mut self.dx, finish, scratch: &mut self.scratch };
        self.kernels[1].kernel.run(team, work);
    }
}

fn numbers(len: usize, seed: u64) -> Aligned {
    let (mut rng, mut numbers) = (Rng::new(seed), Aligned::zeros(len));
    numbers.iter_mut().for_each(|number| *number = rng.uniform());
    numbers
}

// The most memory that this process has had, where the system tells (Linux); else 0.
fn peak_mb() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map_or(0.0, |kib| kib * 1024.0 / 1e6)
}
