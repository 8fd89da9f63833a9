//! What a training step takes in memory: the estimate that `striate summary` prints, beside the measured peak.
//!
//! `cargo bench --bench memory -- [NETWORK] [BATCH] [OPTIMIZER]`; without arguments ResNet-50 and VGG-16 at batch 8 with
//! Adam and SGD, each in a process of its own, since the peak (`VmHWM` of `/proc/self/status`, Linux alone) never falls.
//! It fails where an estimate is off by more than 15 %.

use std::process::{Command, ExitCode};
use std::time::Instant;

use striate::ops::Mode;
use striate::plan::{Plan, PlanConfig};
use striate::session::Machine;
use striate::train::{FitConfig, Optimizer, Trainer, memory_of_training};
use striate::{Error, Model, Result, zoo};

const CASES: [(&str, &str); 4] = [("resnet-50", "adam"), ("resnet-50", "sgd"), ("vgg-16", "adam"), ("vgg-16", "sgd")];
const TOLERANCE: f64 = 0.15;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let passed = match args.as_slice() {
        [] => CASES.iter().all(|(network, optimizer)| in_a_process(network, optimizer)),
        [network, rest @ ..] => {
            let batch = rest.first().and_then(|b| b.parse().ok()).unwrap_or(8);
            let result = measure(network, batch, rest.get(1).map_or("adam", String::as_str));
            result.unwrap_or_else(|e| {
                eprintln!("{e}");
                false
            })
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn in_a_process(network: &str, optimizer: &str) -> bool {
    let program = std::env::current_exe().expect("the path of this program");
    Command::new(program).args([network, "8", optimizer]).status().is_ok_and(|status| status.success())
}

fn measure(network: &str, batch: usize, optimizer: &str) -> Result<bool> {
    let optimizer: Optimizer = optimizer.parse()?;
    let graph = zoo::recipe(network)?.graph;
    let start = Instant::now();
    let estimate = memory_of_training(&graph, &optimizer, batch, &Machine::default())?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = values_at_peak(&graph, batch)?;
    let before = status("VmHWM")?;
    let model = Model::new(graph, 0)?;
    let x = vec![0.5; batch * model.graph().input_shape()?.len()];
    let labels: Vec<u32> = (0..batch as u32).collect();
    let config = FitConfig { batch_size: batch, optimizer, ..FitConfig::default() };
    let mut trainer = Trainer::new(&model, config, Machine::default())?;
    // Now the trainer alone has the weights, as in `Fit`.
    drop(model);
    trainer.step(&x, &labels, 1e-3)?;
    let measured = status("VmHWM")?;
    let ratio = estimate.total() as f64 / measured as f64;
    let mb = |bytes: usize| bytes as f64 / 1e6;
    println!(
        "{network} batch {batch} {}: estimate {:.0} MB, measured peak {:.0} MB (program alone {:.0}), ratio {ratio:.3}; \
         activations {:.1} MB, the least possible {:.1}; plan compiled in {seconds:.2} s",
        optimizer.name(),
        mb(estimate.total()),
        mb(measured),
        mb(before),
        mb(estimate.values),
        mb(peak),
    );
    Ok((ratio - 1.0).abs() <= TOLERANCE)
}

fn values_at_peak(graph: &striate::Graph, batch: usize) -> Result<usize> {
    let Machine { isa, algorithm, .. } = Machine::default();
    let threads = striate::parallel::available();
    let config = PlanConfig {
        batch,
        mode: Mode::Train,
        strip_head: true,
        keep: false,
        recompute: true,
        isa,
        threads,
        algorithm,
    };
    Ok(Plan::compile(graph, config)?.memory().values_at_peak)
}

// An entry of this process's status, in bytes.
fn status(entry: &str) -> Result<usize> {
    let missing = || Error::argument(format!("/proc/self/status has no {entry}")).with_help("run this on Linux");
    let text = std::fs::read_to_string("/proc/self/status").map_err(|_| missing())?;
    let line = text.lines().find_map(|line| line.strip_prefix(entry)?.strip_prefix(':')).ok_or_else(missing)?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse().map_err(|_| missing())?;
    Ok(kib * 1024)
}
