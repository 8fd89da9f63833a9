//! Auxiliary heads (E26): they train the network, and are gone when it predicts.

use std::ops::ControlFlow;
use std::time::Duration;

use striate::data::{self, Split};
use striate::ops::{Activation, Conv2D, Dense, Dropout, Flatten, GlobalPool, Pool2D};
use striate::rng::Rng;
use striate::session::{Machine, Session};
use striate::train::{Callback, Checkpoints, Event, Fit, FitConfig, Trainer};
use striate::zoo::Recipe;
use striate::{Graph, Model, Result, Value};

fn head(g: &mut Graph, name: &str, x: Value) -> Result<Value> {
    let mean = g.add(GlobalPool::average(), &[x])?;
    let dropped = g.add(Dropout::new(0.2), &[mean])?;
    g.add_named(name, Dense::new(10).activation(Activation::Softmax), &[dropped])
}

// The layers of a head stand between those of the network; without heads the network is the same.
fn network(heads: bool) -> Graph {
    let mut g = Graph::new("network");
    let x = g.input([28, 28, 1]).unwrap();
    let a = g.add(Conv2D::new(8, 3).activation(Activation::Relu), &[x]).unwrap();
    let a = g.add(Pool2D::max(4), &[a]).unwrap();
    let b = g.add(Conv2D::new(8, 3).activation(Activation::Relu), &[a]).unwrap();
    if heads {
        let first = head(&mut g, "aux1", a).unwrap();
        g.add_head(first, 0.3).unwrap();
        let second = head(&mut g, "aux2", b).unwrap();
        g.add_head(second, 0.5).unwrap();
    }
    let flat = g.add(Flatten::new(), &[b]).unwrap();
    g.add_named("end", Dense::new(10).activation(Activation::Softmax), &[flat]).unwrap();
    g
}

fn few() -> Split {
    data::load("mnist").unwrap().first(300, 100)
}

fn config() -> FitConfig {
    FitConfig { epochs: 2, batch_size: 64, seed: 3, ..FitConfig::default() }
}

fn digest(graph: Graph, threads: usize) -> String {
    let machine = Machine { threads, ..Machine::default() };
    let mut model = Model::new(graph, 3).unwrap();
    Fit::new(&*few().train, &config()).machine(machine).run(&mut model).unwrap().last().unwrap().digest.clone()
}

#[test]
fn same_bits_on_any_number_of_threads_and_from_toml() {
    let expect = digest(network(true), 1);
    for threads in [2, 3, 7] {
        assert_eq!(digest(network(true), threads), expect, "{threads} threads");
    }
    let toml = Recipe { graph: network(true), train: config() }.to_toml().unwrap();
    assert!(toml.contains("\nheads = [{ layer = \"aux1\", weight = 0.3 }, { layer = \"aux2\", weight = 0.5 }]\n"));
    assert!(!toml.contains("output ="));
    let back = Recipe::from_toml(&toml).unwrap();
    assert_eq!(Recipe { graph: back.graph.clone(), train: config() }.to_toml().unwrap(), toml);
    assert_eq!(digest(back.graph, 2), expect);
}

#[test]
fn heads_change_no_prediction_and_are_not_run_for_one() {
    let (plain, graph) = (Model::new(network(false), 1).unwrap(), network(true));
    let mut model = Model::new(graph, 2).unwrap();
    for param in plain.params() {
        let at = model.params().iter().position(|p| p.name == param.name).unwrap();
        model.params_mut()[at].data.clone_from(&param.data);
    }
    let mut rng = Rng::new(4);
    let x: Vec<f32> = (0..3 * 784).map(|_| rng.uniform()).collect();
    let mut with = Session::new(&model, Machine::default()).unwrap();
    let mut without = Session::new(&plain, Machine::default()).unwrap();
    with.infer(&x, 3).unwrap();
    without.infer(&x, 3).unwrap();
    assert_eq!(*with.output(), *without.output());
    let layers: Vec<&str> = with.plan().report().lines.iter().map(|l| l.layer.as_str()).collect();
    assert_eq!(layers.len(), without.plan().report().lines.len());
    assert!(!layers.contains(&"aux1"));
    // Who wants to see a head can.
    assert!(with.value("aux1").is_err());
    with.look(&x, 3).unwrap();
    let sum: f32 = with.value("aux1").unwrap().data().iter().sum();
    assert!((sum - 3.0).abs() < 1e-5, "three softmax outputs sum to {sum}");
    assert_eq!(*with.output(), *without.output());
    // Nor does a file change it.
    let path = std::env::temp_dir().join(format!("striate-heads-{}.striate", std::process::id()));
    model.save(&path).unwrap();
    let mut loaded = Session::new(&Model::load(&path).unwrap(), Machine::default()).unwrap();
    std::fs::remove_file(path).unwrap();
    loaded.infer(&x, 3).unwrap();
    assert_eq!(*loaded.output(), *without.output());
    assert_eq!(loaded.graph().heads(), model.graph().heads());
}

/// Ends a run after `left` more updates.
struct StopAfter {
    left: u64,
}

impl Callback for StopAfter {
    fn on(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        self.left -= u64::from(matches!(event, Event::Step(_)));
        Ok(if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

#[test]
fn stopped_and_resumed_gives_the_same_bits() {
    let (few, config, expect) = (few(), config(), digest(network(true), 2));
    let path = std::env::temp_dir().join(format!("striate-heads-stop-{}.striate", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let checkpoints = || Checkpoints { path: path.clone(), every: Duration::from_secs(3600) };
    let mut stop = StopAfter { left: 7 };
    let mut model = Model::new(network(true), 3).unwrap();
    let fit = Fit::new(&*few.train, &config).checkpoints(checkpoints()).callback(&mut stop);
    assert!(fit.run(&mut model).unwrap().stopped);
    let mut model = Model::new(network(true), 3).unwrap();
    let history = Fit::new(&*few.train, &config).checkpoints(checkpoints()).resume().run(&mut model).unwrap();
    assert_eq!(history.last().unwrap().digest, expect);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn heads_that_cannot_be_trained_are_named() {
    let trainer = |graph: Graph| {
        let model = Model::new(graph, 0).unwrap();
        let mut trainer = Trainer::new(&model, config(), Machine { threads: 1, ..Machine::default() })?;
        trainer.step(&[0.5; 784], &[1], 1.0).map(|_| ())
    };
    assert!(trainer(network(true)).is_ok());
    let mut g = network(false);
    let flat = g.value("flatten").unwrap();
    let aux = g.add_named("aux", Dense::new(7), &[flat]).unwrap();
    g.add_head(aux, 0.5).unwrap();
    let message = trainer(g).unwrap_err().to_string();
    assert!(message.contains("'aux'") && message.contains("(None, 7)"), "{message}");
    // A view of the output's logits has no gradient of its own.
    let mut g = network(false);
    let x = g.value("flatten").unwrap();
    let logits = g.add_named("logits", Dense::new(10), &[x]).unwrap();
    let end = g.add_named("softmax", Activation::Softmax, &[logits]).unwrap();
    g.add_head(logits, 0.5).unwrap();
    g.set_output(end).unwrap();
    let message = trainer(g).unwrap_err().to_string();
    assert!(message.contains("'softmax' and 'logits' are the same output"), "{message}");
}
