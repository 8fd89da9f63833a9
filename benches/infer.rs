//! Inference of the zoo's networks: median time, and where it goes.
//!
//! `cargo bench --bench infer -- [NETWORK] [BATCH] [THREADS]`; it prints one JSON line with the median, as the peers'
//! scripts do, and a table of the layers on standard error.

use std::time::{Duration, Instant};

use striate::rng::Rng;
use striate::session::{Machine, Session};
use striate::{Model, Result, zoo};

const WARM: Duration = Duration::from_secs(1);
const MEASURE: Duration = Duration::from_secs(3);
const PROFILES: usize = 51;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let name = args.first().map_or("resnet-18", String::as_str);
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (batch, machine) = (number(1, 1), Machine { threads: number(2, 0), ..Machine::default() });
    let model = Model::new(zoo::recipe(name)?.graph, 0)?;
    let mut rng = Rng::new(0);
    let x: Vec<f32> = (0..batch * model.graph().input_shape()?.len()).map(|_| rng.uniform()).collect();
    let mut session = Session::new(&model, machine)?;
    let first = Instant::now();
    session.infer(&x, batch)?;
    let first = first.elapsed().as_secs_f64() * 1e3;
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < WARM + MEASURE {
        let call = Instant::now();
        session.infer(&x, batch)?;
        if start.elapsed() > WARM {
            times.push(call.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    let (threads, isa, mb) = (session.machine().threads, session.machine().isa, session.bytes() as f64 / 1e6);
    let (median, p10, p90) = (at(0.5), at(0.1), at(0.9));
    println!(
        "{{\"framework\":\"striate\",\"workload\":\"infer_{name}\",\"batch\":{batch},\"threads\":{threads},\"isa\":\"{isa}\",\
         \"median_ms\":{median:.3},\"p10_ms\":{p10:.3},\"p90_ms\":{p90:.3},\"calls\":{},\"first_ms\":{first:.1},\
         \"session_mb\":{mb:.1}}}",
        times.len()
    );
    layers(&mut session, &x, batch)
}

// The time of each layer that is run, of which the fastest tenth is left out.
fn layers(session: &mut Session, x: &[f32], batch: usize) -> Result<()> {
    let runs: Vec<_> = (0..PROFILES).map(|_| session.profile_inference(x, batch)).collect::<Result<_>>()?;
    eprintln!("{:<32} {:>12}", "layer", "us");
    let mut sum = 0.0;
    for (i, timing) in runs[0].iter().enumerate() {
        let mut times: Vec<Duration> = runs.iter().map(|run| run[i].forward).collect();
        times.sort_unstable();
        let time = times[PROFILES / 10].as_secs_f64() * 1e6;
        sum += time;
        eprintln!("{:<32} {time:>12.0}", timing.layer);
    }
    eprintln!("{:<32} {sum:>12.0}", "sum");
    Ok(())
}
