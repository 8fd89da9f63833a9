//! One seed gives the same weights, to the bit: any number of threads, any instruction set with fused
//! multiply-adds, stopped and resumed anywhere.
//!
//! The network has convolutions, pooling, batch normalisation, dropout and shortcuts; the last batch of an epoch is
//! smaller than the others.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use striate::data::{self, Dataset, Split};
use striate::session::Machine;
use striate::simd::Isa;
use striate::train::{Callback, Checkpoints, EarlyStopping, Event, Fit, FitConfig, History};
use striate::{Model, Result, zoo};

const SAMPLES: usize = 500;

fn few() -> Split {
    data::load("mnist").unwrap().first(SAMPLES, 100)
}

fn config() -> FitConfig {
    FitConfig { epochs: 2, batch_size: 64, seed: 7, ..FitConfig::default() }
}

fn fresh() -> Model {
    Model::new(zoo::recipe("residual-mnist").unwrap().graph, 7).unwrap()
}

fn machine(threads: usize, isa: Isa) -> Machine {
    Machine { threads, isa, algorithm: None }
}

fn train(machine: Machine) -> (String, Vec<u32>) {
    let (few, config, mut model) = (few(), config(), fresh());
    let history = Fit::new(&*few.train, &config).machine(machine).run(&mut model).unwrap();
    let weights = model.params().iter().flat_map(|p| p.data.iter().map(|w| w.to_bits())).collect();
    (history.last().unwrap().digest.clone(), weights)
}

#[test]
fn any_number_of_threads_and_any_instruction_set() {
    let (digest, weights) = train(machine(1, Isa::best()));
    let fused = Isa::all().into_iter().filter(|isa| isa.fused());
    for isa in fused {
        for threads in [1, 2, 3, 7] {
            let (d, w) = train(machine(threads, isa));
            assert!(w == weights, "{threads} threads on {isa}: other weights");
            assert_eq!(d, digest, "{threads} threads on {isa}: other digest");
        }
    }
}

#[test]
fn another_seed_gives_other_weights() {
    let few = few();
    let mut model = fresh();
    let config = FitConfig { seed: 8, ..config() };
    let other = Fit::new(&*few.train, &config).run(&mut model).unwrap();
    assert_ne!(other.last().unwrap().digest, train(machine(2, Isa::best())).0);
}

/// Ends a run after `left` more updates.
struct StopAfter {
    left: u64,
}

impl Callback for StopAfter {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        if let Event::Step(_) = event {
            self.left -= 1;
        }
        Ok(if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

fn sitting(config: &FitConfig, split: &Split, path: &Path, stop_after: Option<u64>, threads: usize) -> History {
    let mut stop = StopAfter { left: stop_after.unwrap_or(u64::MAX) };
    let mut model = fresh();
    let checkpoints = Checkpoints { path: path.to_path_buf(), every: Duration::from_secs(3600) };
    let mut fit = Fit::new(&*split.train, config)
        .validate(&*split.test as &dyn Dataset)
        .machine(machine(threads, Isa::best()))
        .checkpoints(checkpoints)
        .callback(&mut stop);
    if path.exists() {
        fit = fit.resume();
    }
    fit.run(&mut model).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("striate-{name}-{}.striate", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn stopped_anywhere_and_resumed() {
    let split = few();
    // Every optimiser carries other state through a checkpoint.
    for name in ["adam", "sgd", "rmsprop", "nadam", "adadelta"] {
        let config = FitConfig { optimizer: name.parse().unwrap(), ..config() };
        let whole = scratch(&format!("whole-{name}"));
        let expect = sitting(&config, &split, &whole, None, 2);
        let parts = scratch(&format!("parts-{name}"));
        // In the middle of an epoch, at its end (8 updates an epoch), at once after a resume.
        for (updates, threads) in [(3, 1), (5, 2), (1, 3)] {
            assert!(sitting(&config, &split, &parts, Some(updates), threads).stopped);
        }
        let history = sitting(&config, &split, &parts, None, 2);
        assert!(!history.stopped);
        assert_eq!(history.epochs.len(), 2, "{name}");
        for (a, b) in history.epochs.iter().zip(&expect.epochs) {
            assert_eq!(a.digest, b.digest, "{name}: epoch {}", a.epoch);
            assert_eq!((a.loss, a.accuracy, a.val_loss), (b.loss, b.accuracy, b.val_loss), "{name}: epoch {}", a.epoch);
        }
        assert_eq!(history.step_loss, expect.step_loss, "{name}");
        std::fs::remove_file(whole).unwrap();
        std::fs::remove_file(parts).unwrap();
    }
}

#[test]
fn early_stopping_is_resumed_too() {
    let split = few();
    let early = EarlyStopping { patience: 1, min_delta: 10.0, restore_best: true };
    let config = FitConfig { epochs: 6, early_stopping: Some(early), ..config() };
    let path = scratch("early");
    assert!(sitting(&config, &split, &path, Some(10), 2).stopped);
    let history = sitting(&config, &split, &path, None, 2);
    // No epoch is better than the first by 10, so the second ends the run, and the first is restored.
    assert_eq!((history.epochs.len(), history.restored_epoch), (2, Some(1)));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_checkpoint_of_other_settings_data_or_network_is_refused() {
    let split = few();
    let path = scratch("other");
    assert!(sitting(&config(), &split, &path, Some(2), 2).stopped);
    let resume = |config: &FitConfig, split: &Split, mut model: Model| {
        let checkpoints = Checkpoints { path: path.clone(), every: Duration::from_secs(3600) };
        Fit::new(&*split.train, config).checkpoints(checkpoints).resume().run(&mut model).unwrap_err().to_string()
    };
    let other = FitConfig { seed: 8, ..config() };
    assert!(resume(&other, &split, fresh()).contains("other settings"));
    let fewer = data::load("mnist").unwrap().first(SAMPLES - 1, 100);
    assert!(resume(&config(), &fewer, fresh()).contains("other data"));
    let keras = Model::new(zoo::recipe("keras-mnist").unwrap().graph, 7).unwrap();
    assert!(resume(&config(), &split, keras).contains("other network"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_network_from_its_toml_trains_to_the_same_bits() {
    let recipe = zoo::recipe("residual-mnist").unwrap();
    let again = zoo::Recipe::from_toml(&recipe.to_toml().unwrap()).unwrap();
    assert_eq!(again.train, recipe.train);
    let few = few();
    let digest = |graph| {
        let mut model = Model::new(graph, 7).unwrap();
        Fit::new(&*few.train, &config()).run(&mut model).unwrap().last().unwrap().digest.clone()
    };
    assert_eq!(digest(recipe.graph), digest(again.graph));
}
