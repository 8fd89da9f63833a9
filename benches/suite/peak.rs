//! What direct convolution reaches of the machine's peak, layer by layer, by the laboratory behind `striate bench`.

use std::time::Duration;

use serde_json::{Value, json};
use striate::conv::{Geometry, Machine, Pass, choose};
use striate::lab::{Experiment, Laboratory, Outcome as Became, Settings};
use striate::parallel::Pool;
use striate::simd::Isa;

use crate::calm::{Calm, Patience};
use crate::run::{Outcome, Setting, shapes};

/// Channels that a layer has on both sides, at least.
pub const CHANNELS: usize = 32;

// Algorithms that do the formula's multiply-adds in another order, as the engine prefers them. Winograd's does fewer.
const DIRECT: [&str; 4] = ["pointwise", "narrow", "packed", "direct"];
const TIME: Duration = Duration::from_millis(60);

/// One pass of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub file: String,
    pub geometry: String,
    pub pass: String,
    pub algorithm: String,
    /// Its median time, and the time that its multiply-adds take at the peak that was measured beside it.
    pub ms: f64,
    pub floor_ms: f64,
    pub gflops: f64,
}

impl Layer {
    /// What it reaches of the peak.
    pub fn share(&self) -> f64 {
        self.floor_ms / self.ms
    }

    pub fn as_json(&self) -> Value {
        json!({ "file": self.file, "geometry": self.geometry, "pass": self.pass, "algorithm": self.algorithm,
            "ms": self.ms, "floor_ms": self.floor_ms, "gflops": self.gflops })
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().map(String::from);
        let number = |key: &str| value[key].as_f64();
        let (file, geometry, pass) = (text("file")?, text("geometry")?, text("pass")?);
        let (ms, floor_ms, gflops) = (number("ms")?, number("floor_ms")?, number("gflops")?);
        Some(Self { file, geometry, pass, algorithm: text("algorithm")?, ms, floor_ms, gflops })
    }
}

/// The convolutions of a file with enough channels, each pass of each.
pub fn measure(file: &str, setting: &Setting, calm: &Calm) -> Outcome<Vec<Layer>> {
    let isa = Isa::best();
    let lab = |name: &str| {
        let settings = Settings { time: TIME, algorithm: Some(name.into()) };
        Laboratory::new(Pool::new(setting.threads)?, isa, settings)
    };
    let labs = DIRECT.into_iter().map(lab).collect::<Result<Vec<_>, _>>()?;
    let (mut all, mut patience) = (Vec::new(), Patience::new());
    for text in shapes(file)? {
        let g: Geometry = text.parse()?;
        if !counts(&g) {
            continue;
        }
        for pass in Pass::ALL {
            let machine = Machine { isa, threads: setting.threads };
            let accepts = |(_, name): &(_, &str)| choose(&g, pass, machine, Some(*name)).is_ok();
            let (lab, name) = labs.iter().zip(DIRECT).find(accepts).ok_or("no direct algorithm accepts it")?;
            calm.wait(&mut patience);
            // The machine may change at any time, so the peak is measured on both sides of a layer.
            let before = lab.peak();
            let experiment = lab.run(&g, pass)?;
            let layer = layer(file, &experiment, name, before.max(lab.peak())).ok_or("it was not measured")?;
            eprintln!("  {g} {pass}: {name} {:.0} %", 100.0 * layer.share());
            all.push(layer);
        }
    }
    Ok(all)
}

// A dense layer is a matrix product that waits for its weights, and is left out.
fn counts(g: &Geometry) -> bool {
    let channels = |all: usize| all / g.groups;
    channels(g.ic) >= CHANNELS && channels(g.oc) >= CHANNELS && g.h.output * g.w.output > 1
}

fn layer(file: &str, experiment: &Experiment, name: &str, peak: f64) -> Option<Layer> {
    let trial = experiment.trials.iter().find(|trial| trial.algorithm == name)?;
    let Became::Measured(measured) = &trial.outcome else { return None };
    Some(Layer {
        file: file.into(),
        geometry: experiment.geometry.to_string(),
        pass: experiment.pass.to_string(),
        algorithm: name.into(),
        ms: measured.median,
        floor_ms: experiment.cost.flop() / peak / 1e6,
        gflops: peak,
    })
}
