//! Speed of each pass of each shape in `benches/shapes`: milliseconds and GFLOP/s, beside the measured peak.
//!
//! ```text
//! cargo bench --bench conv -- [file of shapes or a geometry] [threads=N] [isa=NAME] [algorithm=NAME] [runs=N] [ready=true]
//! ```
//!
//! With `ready=true` weights are made ready beforehand, as in inference. The median and the best of the runs are shown: on a shared machine the best says what the code can do.

use std::hint::black_box;
use std::time::Instant;

use striate::conv::{BiasGradient, Finish, Fused, Geometry, Kernel, Machine, Pass, Work, choose};
use striate::lab::Speed;
use striate::parallel::Pool;
use striate::simd::Isa;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct Setting {
    threads: usize,
    isa: Isa,
    algorithm: Option<String>,
    runs: usize,
    /// Whether weights are made ready beforehand, as in inference.
    ready: bool,
    shapes: Vec<Geometry>,
}

fn main() -> Outcome<()> {
    let setting = setting(std::env::args().skip(1))?;
    let peak = Speed::measure(&Pool::new(setting.threads)?, setting.isa).peak;
    println!("{} threads, {}, peak {peak:.0} GFLOP/s", setting.threads, setting.isa);
    for g in &setting.shapes {
        println!("{g}");
        for pass in Pass::ALL {
            report(&setting, g, pass, peak)?;
        }
        columns(&setting, g)?;
    }
    Ok(())
}

fn setting(arguments: impl Iterator<Item = String>) -> Outcome<Setting> {
    let mut setting =
        Setting { threads: 1, isa: Isa::best(), algorithm: None, runs: 30, ready: false, shapes: Vec::new() };
    for argument in arguments.filter(|a| a != "--bench") {
        match argument.split_once('=') {
            Some(("threads", n)) => setting.threads = n.parse()?,
            Some(("isa", name)) => setting.isa = Isa::named(name)?,
            Some(("algorithm", name)) => setting.algorithm = Some(name.to_string()),
            Some(("runs", n)) => setting.runs = n.parse()?,
            Some(("ready", yes)) => setting.ready = yes.parse()?,
            _ if argument.ends_with(".txt") => setting.shapes.extend(shapes(&argument)?),
            _ => setting.shapes.push(argument.parse()?),
        }
    }
    if setting.shapes.is_empty() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/shapes");
        for file in ["mnist.txt", "layers.txt"] {
            setting.shapes.extend(shapes(&format!("{folder}/{file}"))?);
        }
    }
    Ok(setting)
}

fn shapes(file: &str) -> Outcome<Vec<Geometry>> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| !line.split('#').next().unwrap_or_default().trim().is_empty());
    Ok(lines.map(str::parse).collect::<Result<_, _>>()?)
}

fn report(setting: &Setting, g: &Geometry, pass: Pass, peak: f64) -> Outcome<()> {
    let machine = Machine { isa: setting.isa, threads: setting.threads };
    let choice = choose(g, pass, machine, setting.algorithm.as_deref())?;
    let (a, b) = match pass {
        Pass::Forward => (g.x_len(), g.w_len()),
        Pass::BackwardInput => (g.y_len(), g.w_len()),
        Pass::BackwardWeights => (g.x_len(), g.y_len()),
    };
    let (a, b, bias) = (numbers(a), numbers(b), numbers(g.oc));
    let (out, scratch) = (numbers(pass.out_len(g)), numbers(choice.kernel.work()));
    let finish =
        if pass == Pass::Forward { Finish { bias, residual: &[], fused: Fused::Relu } } else { Finish::default() };
    let kernel: &dyn Kernel = &*choice.kernel;
    let packed = numbers(if setting.ready && pass != Pass::BackwardWeights { kernel.packed() } else { 0 });
    if !packed.is_empty() {
        kernel.pack(striate::parallel::Team::solo(), b, packed);
    }
    let packed = &*packed;
    let times = timed(setting, |team| {
        kernel.run(team, Work { inputs: [a, b], packed, out, finish, scratch });
    })?;
    black_box(&*out);
    let speed = |ms: f64| 2.0 * g.mul_adds() as f64 / ms / 1e6;
    let [median, best] = times;
    println!(
        "  {pass:<17} {:<10} median {median:8.3} ms {:6.1} GFLOP/s   best {best:8.3} ms {:6.1} GFLOP/s {:3.0} %",
        choice.algorithm,
        speed(median),
        speed(best),
        100.0 * speed(best) / peak
    );
    Ok(())
}

fn columns(setting: &Setting, g: &Geometry) -> Outcome<()> {
    let plan = BiasGradient::new(g.y_len(), g.oc, Fused::Relu, setting.isa);
    let (dy, y, db, scratch) = (numbers(g.y_len()), numbers(g.y_len()), numbers(g.oc), numbers(plan.work()));
    let [median, best] = timed(setting, |team| plan.run(team, dy, y, db, scratch))?;
    println!("  {:<28} median {median:8.3} ms                   best {best:8.3} ms", "mask and bias");
    Ok(())
}

/// Median and best milliseconds.
fn timed(setting: &Setting, mut f: impl FnMut(striate::parallel::Team) + Send) -> Outcome<[f64; 2]> {
    let pool = Pool::new(setting.threads)?;
    // A new thread may share the core of the one that made it until the system moves it.
    let start = Instant::now();
    while start.elapsed().as_millis() < 30 {
        pool.run(&mut f);
    }
    let mut times: Vec<f64> = (0..setting.runs.max(2))
        .map(|_| {
            pool.run(|team| {
                let start = Instant::now();
                f(team);
                start.elapsed().as_secs_f64() * 1e3
            })
        })
        .collect();
    times.sort_by(f64::total_cmp);
    Ok([times[times.len() / 2], times[0]])
}

/// Numbers at a multiple of 64 bytes, as those of a plan are; they stay until the benchmark ends.
fn numbers(len: usize) -> &'static mut [f32] {
    let all = (0..len + 16).map(|i| (i % 17) as f32 / 16.0 - 0.5).collect::<Vec<f32>>().leak();
    let start = all.as_ptr().align_offset(64).min(16);
    &mut all[start..start + len]
}
