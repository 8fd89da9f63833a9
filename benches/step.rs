//! The training step of the zoo's networks: median time, and where it goes.
//!
//! `cargo bench --bench step -- [NETWORK] [BATCH] [THREADS] [keep]`; it prints one JSON line with the median, as the
//! peers' scripts do, and a table of the layers on standard error. With `keep` nothing is computed twice.

use std::time::{Duration, Instant};

use striate::rng::Rng;
use striate::session::{Machine, TrainAt};
use striate::train::Trainer;
use striate::{Model, zoo};

const WARM: Duration = Duration::from_secs(1);
const MEASURE: Duration = Duration::from_secs(4);

fn main() -> striate::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let name = args.first().map_or("keras-mnist", String::as_str);
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let recipe = zoo::recipe(name)?;
    let batch = number(1, recipe.train.batch_size);
    let machine = Machine { threads: number(2, 0), ..Machine::default() };
    let model = Model::new(recipe.graph, 0)?;
    let config = striate::train::FitConfig { batch_size: batch, ..recipe.train };
    let mut rng = Rng::new(0);
    let x: Vec<f32> = (0..batch * model.graph().input_shape()?.len()).map(|_| rng.uniform()).collect();
    let labels: Vec<u32> = (0..batch).map(|_| rng.below(10)).collect();
    let mut trainer = Trainer::new(&model, config, machine)?;
    drop(model);
    trainer.session().recompute(args.get(3).is_none_or(|a| a != "keep"));
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < WARM + MEASURE {
        let step = Instant::now();
        trainer.step(&x, &labels, 1e-3)?;
        if start.elapsed() > WARM {
            times.push(step.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    let (threads, isa) = (trainer.session().machine().threads, trainer.session().machine().isa);
    let (median, p10, p90) = (at(0.5), at(0.1), at(0.9));
    println!(
        "{{\"framework\":\"striate\",\"workload\":\"train_{name}\",\"batch\":{batch},\"threads\":{threads},\"isa\":\"{isa}\",\
         \"median_ms\":{median:.3},\"p10_ms\":{p10:.3},\"p90_ms\":{p90:.3},\"steps\":{}}}",
        times.len()
    );
    layers(&mut trainer, &x, batch)
}

// The median time of each layer, forward and backward.
fn layers(trainer: &mut Trainer, x: &[f32], batch: usize) -> striate::Result<()> {
    let at = TrainAt { batch, strip_head: true, rng: Rng::new(0) };
    let runs: Vec<_> = (0..101).map(|_| trainer.session().profile(x, at)).collect::<striate::Result<_>>()?;
    let median = |i: usize, f: fn(&striate::session::Timing) -> Duration| {
        let mut times: Vec<Duration> = runs.iter().map(|run| f(&run[i])).collect();
        times.sort_unstable();
        times[times.len() / 10].as_secs_f64() * 1e6
    };
    eprintln!("{:<24} {:>12} {:>12}", "layer", "forward us", "backward us");
    let mut sums = (0.0, 0.0);
    for (i, timing) in runs[0].iter().enumerate() {
        let (forward, backward) = (median(i, |t| t.forward), median(i, |t| t.backward));
        sums = (sums.0 + forward, sums.1 + backward);
        eprintln!("{:<24} {forward:>12.0} {backward:>12.0}", timing.layer);
    }
    eprintln!("{:<24} {:>12.0} {:>12.0}", "sum", sums.0, sums.1);
    Ok(())
}
