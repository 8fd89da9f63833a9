//! Whole networks against their literal formula: what the plan adds to the ops (fusion, the order backward, gradients
//! that meet at a branch, buffers that are shared) must not change a number.

use striate::ops::{
    Activation, Add, BatchNorm, Concat, Conv2D, Dense, Flatten, GlobalPool, Mode, Padding, Pool2D, Twin,
};
use striate::plan::{Plan, PlanConfig};
use striate::rng::Rng;
use striate::session::{Machine, Outlet, Session, TrainAt};
use striate::train::{FitConfig, Trainer};
use striate::{Graph, Model, Result, Shape, zoo};

const BATCH: usize = 3;
const STEP: f64 = 1e-6;

/// Values that are read by several layers, twice by one, and past a view; fused and separate activations.
fn branches() -> Result<Graph> {
    let mut g = Graph::new("branches");
    let x = g.input([6, 6, 2])?;
    let stem = g.add(Conv2D::new(4, 3).padding(Padding::Same), &[x])?;
    let stem = g.add(Activation::Relu, &[stem])?;
    let left = g.add(Conv2D::new(4, 3).padding(Padding::Same).activation(Activation::Relu6), &[stem])?;
    let right = g.add(Conv2D::new(4, 1).activation(Activation::Tanh), &[stem])?;
    let sum = g.add(Add::new(), &[left, right])?;
    let twice = g.add(Add::new(), &[sum, sum])?;
    let norm = g.add(BatchNorm::default(), &[twice])?;
    let both = g.add(Concat::new(), &[norm, stem, left])?;
    let small = g.add(Pool2D::max(2), &[both])?;
    let flat = g.add(Flatten::new(), &[small])?;
    let mean = g.add(GlobalPool::average(), &[both])?;
    let a = g.add(Dense::new(5).activation(Activation::Sigmoid), &[flat])?;
    let b = g.add(Dense::new(5).activation(Activation::LeakyRelu(0.1)), &[mean])?;
    let joined = g.add(Concat::new(), &[a, b, mean])?;
    // A layer that the output does not use.
    g.add_named("unused", Dense::new(7), &[joined])?;
    g.add(Dense::new(3), &[joined])?;
    Ok(g)
}

/// Pools behind ReLUs: two that apply the ReLU's gradient in passing, one whose input another layer reads too.
fn pooled() -> Result<Graph> {
    let mut g = Graph::new("pooled");
    let x = g.input([6, 6, 2])?;
    let first = g.add_named("first", Conv2D::new(6, 2).activation(Activation::Relu), &[x])?;
    let half = g.add(Pool2D::max(2), &[first])?;
    let second =
        g.add_named("second", Conv2D::new(5, 3).padding(Padding::Same).activation(Activation::Relu6), &[half])?;
    let lowest = g.add(Pool2D::min(3).stride(1).padding(Padding::Same), &[second])?;
    let third = g.add_named("third", Conv2D::new(4, 1).activation(Activation::Relu), &[lowest])?;
    let quarter = g.add(Pool2D::max(2), &[third])?;
    let (flat, mean) = (g.add(Flatten::new(), &[quarter])?, g.add(GlobalPool::average(), &[third])?);
    let both = g.add(Concat::new(), &[flat, mean])?;
    g.add(Dense::new(3), &[both])?;
    Ok(g)
}

/// Two heads: one on a side branch, and one whose softmax is read by the rest of the network.
fn heads() -> Result<Graph> {
    let mut g = Graph::new("heads");
    let x = g.input([6, 6, 2])?;
    let stem = g.add(Conv2D::new(4, 3).activation(Activation::Relu), &[x])?;
    let mean = g.add(GlobalPool::average(), &[stem])?;
    let side = g.add(Dense::new(3), &[mean])?;
    let side = g.add_named("side", Activation::Softmax, &[side])?;
    g.add_head(side, 0.3)?;
    let deep = g.add(Conv2D::new(4, 3).activation(Activation::Tanh), &[stem])?;
    let flat = g.add(Flatten::new(), &[deep])?;
    let first = g.add_named("first", Dense::new(3).activation(Activation::Softmax), &[flat])?;
    g.add_head(first, 0.7)?;
    let both = g.add(Concat::new(), &[flat, first])?;
    g.add_named("last", Dense::new(3).activation(Activation::Softmax), &[both])?;
    Ok(g)
}

/// Residual blocks: sums that a normalisation adds in passing, one of a value that is read twice more, one of the input,
/// one of a layer without normalisation, and one of three values.
fn residual() -> Result<Graph> {
    let mut g = Graph::new("residual");
    let conv = |filters: usize| Conv2D::new(filters, 3).padding(Padding::Same).no_bias();
    let x = g.input([6, 6, 2])?;
    let y = g.add(conv(2), &[x])?;
    let y = g.add(BatchNorm::default(), &[y])?;
    let first = g.add(Add::new(), &[y, x])?;
    let y = g.add(conv(4), &[first])?;
    let y = g.add(BatchNorm::default(), &[y])?;
    let y = g.add(Activation::Relu, &[y])?;
    let y = g.add(conv(4).stride(2), &[y])?;
    let y = g.add(BatchNorm::default(), &[y])?;
    let short = g.add(conv(4).stride(2), &[first])?;
    let short = g.add(BatchNorm::default(), &[short])?;
    let second = g.add(Add::new(), &[y, short])?;
    let second = g.add(Activation::Relu, &[second])?;
    let y = g.add(conv(4).activation(Activation::Relu6), &[second])?;
    let third = g.add(Add::new(), &[second, y])?;
    let third = g.add(Activation::Relu, &[third])?;
    let y = g.add(BatchNorm::default(), &[third])?;
    let y = g.add(Activation::LeakyRelu(0.1), &[y])?;
    let fourth = g.add(Add::new(), &[third, y, second])?;
    let flat = g.add(Flatten::new(), &[fourth])?;
    let y = g.add(Dense::new(5).no_bias(), &[flat])?;
    let y = g.add(BatchNorm::default(), &[y])?;
    g.add(Dense::new(3), &[y])?;
    Ok(g)
}

// The network as its layers' formulas in f64.
fn formula(graph: &Graph, weights: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    values(graph, weights, x).pop().unwrap()
}

// The value of each node.
fn values(graph: &Graph, weights: &[Vec<f64>], x: &[f64]) -> Vec<Vec<f64>> {
    let mut values: Vec<Vec<f64>> = vec![x.to_vec()];
    let mut weights = weights.iter();
    for node in &graph.nodes()[1..] {
        let shapes: Vec<Shape> = graph.input_shapes(node);
        let inputs: Vec<&[f64]> = node
            .inputs
            .iter()
            .map(|v| {
                let at = graph.nodes().iter().position(|n| n.name == graph.node(*v).name).unwrap();
                values[at].as_slice()
            })
            .collect();
        let own: Vec<&[f64]> = graph.params(node).iter().map(|_| weights.next().unwrap().as_slice()).collect();
        let last = node.op.activation();
        let linear = node.op.with_activation(Activation::Linear).unwrap_or_else(|| node.op.clone());
        let twin = Twin { batch: BATCH, x: &inputs, shapes: &shapes, w: &own, mode: Mode::Train, rng: Rng::new(0) };
        let mut y = linear.rule().twin(&twin);
        last.apply_f64(&mut y, node.shape.channels());
        values.push(y);
    }
    values
}

#[test]
fn gradients_of_networks_with_branches_are_those_of_their_formula() {
    gradients_are_those_of_the_formula(branches().unwrap());
    gradients_are_those_of_the_formula(residual().unwrap());
    gradients_are_those_of_the_formula(pooled().unwrap());
}

fn gradients_are_those_of_the_formula(graph: Graph) {
    let mut model = Model::new(graph, 1).unwrap();
    let mut rng = Rng::new(2);
    // A bias of 0 behind inputs of 0 stands at the kink of a ReLU, where a difference quotient is no gradient.
    let biases = model.params_mut().iter_mut().filter(|p| p.name.ends_with("bias"));
    biases.for_each(|p| p.data.iter_mut().for_each(|b| *b += 0.3 * rng.normal() as f32));
    let graph = model.graph();
    let x: Vec<f32> = (0..BATCH * 72).map(|_| rng.normal() as f32).collect();
    let r: Vec<f32> = (0..BATCH * 3).map(|_| rng.normal() as f32).collect();
    let x64: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    let mut w: Vec<Vec<f64>> = model.params().iter().map(|p| p.data.iter().map(|v| f64::from(*v)).collect()).collect();
    let dot = |y: &[f64]| y.iter().zip(&r).map(|(y, r)| y * f64::from(*r)).sum::<f64>();
    for threads in [1, 2, 3] {
        let mut session = Session::new(&model, Machine { threads, ..Machine::default() }).unwrap();
        let at = TrainAt { batch: BATCH, strip_head: true, rng: Rng::new(0) };
        let mut y = Vec::new();
        let result = session.train(&x, at, |outlet| {
            outlet.dy.copy_from_slice(&r);
            y = outlet.y.to_vec();
        });
        result.unwrap();
        let expect = formula(graph, &w, &x64);
        for (y, e) in y.iter().zip(&expect) {
            assert!((f64::from(*y) - e).abs() < 1e-5, "output {y}, formula {e}");
        }
        for (i, param) in model.params().iter().enumerate().filter(|(_, p)| p.trainable) {
            let got = session.gradient(i).to_vec();
            let scale = got.iter().fold(1e-3_f64, |m, g| m.max(f64::from(g.abs())));
            let count = param.data.len();
            for k in (0..count).step_by(count.div_ceil(12)) {
                let center = w[i][k];
                w[i][k] = center + STEP;
                let plus = dot(&formula(graph, &w, &x64));
                w[i][k] = center - STEP;
                let minus = dot(&formula(graph, &w, &x64));
                w[i][k] = center;
                let slope = (plus - minus) / (2.0 * STEP);
                let error = (f64::from(got[k]) - slope).abs() / scale;
                assert!(error < 2e-5, "{} [{k}]: {} and by the formula {slope}", param.name, got[k]);
            }
        }
    }
}

// The loss of a training step by its formula: that of the output, and the heads' with their weights.
fn loss_by_formula(graph: &Graph, weights: &[Vec<f64>], x: &[f64], labels: &[u32]) -> f64 {
    let values = values(graph, weights, x);
    let mut total = 0.0;
    for (layer, weight) in [("last", 1.0_f32), ("side", 0.3), ("first", 0.7)] {
        let at = graph.nodes().iter().position(|n| n.name == layer).unwrap();
        let right = labels.iter().enumerate().map(|(i, class)| values[at][i * 3 + *class as usize].ln());
        total -= f64::from(weight) * right.sum::<f64>() / labels.len() as f64;
    }
    total
}

/// The plan says where a ReLU's gradient is applied in passing: not where another layer reads the ReLU's output too.
#[test]
fn a_pool_alone_behind_a_relu_applies_its_gradient() {
    let model = Model::new(pooled().unwrap(), 0).unwrap();
    let mut session = Session::new(&model, Machine::default()).unwrap();
    let x = vec![0.5; BATCH * model.graph().input_shape().unwrap().len()];
    session.train(&x, TrainAt { batch: BATCH, strip_head: true, rng: Rng::new(0) }, |_| ()).unwrap();
    let report = session.plan().report().to_string();
    let applies = |layer: &str| report.contains(&format!("of '{layer}' in passing"));
    assert!(applies("first") && applies("second") && !applies("third"), "{report}");
}

/// What a trainer minimises, and the gradient of each weight, with auxiliary heads (E26).
#[test]
fn gradients_with_heads_are_those_of_the_weighted_losses() {
    let model = Model::new(heads().unwrap(), 5).unwrap();
    let mut rng = Rng::new(6);
    let x: Vec<f32> = (0..BATCH * 72).map(|_| rng.normal() as f32).collect();
    let x64: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    let labels = [2, 0, 1];
    let mut w: Vec<Vec<f64>> = model.params().iter().map(|p| p.data.iter().map(|v| f64::from(*v)).collect()).collect();
    let config = FitConfig { batch_size: BATCH, ..FitConfig::default() };
    let mut trainer = Trainer::new(&model, config, Machine::default()).unwrap();
    let loss = trainer.step(&x, &labels, 1.0).unwrap().loss;
    let expect = loss_by_formula(model.graph(), &w, &x64, &labels);
    assert!((loss - expect).abs() < 1e-6 * expect, "{loss}, by the formula {expect}");
    for (i, param) in model.params().iter().enumerate() {
        let got = trainer.session().gradient(i).to_vec();
        let scale = got.iter().fold(1e-3_f64, |m, g| m.max(f64::from(g.abs())));
        for k in (0..got.len()).step_by(got.len().div_ceil(12)) {
            let mut at = |to: f64| {
                let center = std::mem::replace(&mut w[i][k], to);
                let loss = loss_by_formula(model.graph(), &w, &x64, &labels);
                w[i][k] = center;
                loss
            };
            let center = f64::from(param.data[k]);
            let slope = (at(center + STEP) - at(center - STEP)) / (2.0 * STEP);
            let error = (f64::from(got[k]) - slope).abs() / scale;
            assert!(error < 2e-5, "{} [{k}]: {} and by the formula {slope}", param.name, got[k]);
        }
    }
}

fn small_networks() -> Vec<Graph> {
    let small = zoo::entries().iter().filter(|e| e.family.contains("MNIST"));
    let own = [branches, heads, residual, pooled].map(|network| network().unwrap());
    small.map(|e| zoo::recipe(e.name).unwrap().graph).chain(own).collect()
}

// Running statistics as after some training.
fn with_statistics(graph: Graph) -> Model {
    let (mut model, mut rng) = (Model::new(graph, 3).unwrap(), Rng::new(9));
    for param in model.params_mut().iter_mut().filter(|p| !p.trainable) {
        param.data.iter_mut().for_each(|v| *v += 0.5 * rng.uniform());
    }
    model
}

/// With all layers' outputs kept nothing is fused and no buffer shared. The result is the same to the bit, except where
/// batch normalisations are folded into weights: each weight is rounded once more, by 2^-24 of itself.
#[test]
fn fusion_and_shared_buffers_change_no_bit_but_those_of_folded_weights() {
    for graph in small_networks() {
        let model = with_statistics(graph);
        let len = model.graph().input_shape().unwrap().len();
        let mut rng = Rng::new(4);
        let x: Vec<f32> = (0..5 * len).map(|_| rng.uniform()).collect();
        let mut session = Session::new(&model, Machine::default()).unwrap();
        session.look(&x, 5).unwrap();
        let kept = session.output().to_vec();
        session.infer(&x, 5).unwrap();
        let whole = session.output().to_vec();
        let folds = session.plan().report().to_string().contains("folded into the weights");
        let largest = kept.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let bound = if folds { 4e-6 * largest } else { 0.0 };
        let near = kept.iter().zip(&whole).all(|(a, b)| (a - b).abs() <= bound);
        assert!(near, "{}: {kept:?}, {whole:?}", model.graph().name());
        // A smaller batch runs in the same buffers, and gives the same answers: to the rounding, since the convolutions'
        // algorithms follow from the shape.
        session.infer(&x[..2 * len], 2).unwrap();
        let (few, bound) = (session.output().to_vec(), 4e-6 * largest);
        let near = few.iter().zip(&whole).all(|(a, b)| (a - b).abs() <= bound);
        assert!(near && few.len() == whole.len() / 5 * 2, "{}: {few:?}, {whole:?}", model.graph().name());
    }
}

/// What the weights are made ready from is what they are now: after `set_weights`, after an update, after running
/// statistics have moved.
#[test]
fn ready_weights_follow_the_weights() {
    for graph in small_networks() {
        let model = with_statistics(graph);
        let (len, classes) = (model.graph().input_shape().unwrap().len(), model.graph().output_shape().unwrap().len());
        let mut rng = Rng::new(4);
        let x: Vec<f32> = (0..4 * len).map(|_| rng.uniform()).collect();
        let labels: Vec<u32> = (0..4).map(|i| i % classes as u32).collect();
        let config = FitConfig { batch_size: 4, ..FitConfig::default() };
        let mut trainer = Trainer::new(&model, config, Machine::default()).unwrap();
        let fresh = |model: &Model| {
            let mut session = Session::new(model, Machine::default()).unwrap();
            session.infer(&x, 4).unwrap();
            session.output().to_vec()
        };
        let mut stored = model.clone();
        let mut same = |trainer: &mut Trainer| {
            trainer.session().infer(&x, 4).unwrap();
            trainer.store(&mut stored);
            assert_eq!(*trainer.session().output(), fresh(&stored), "{}", stored.graph().name());
        };
        same(&mut trainer);
        trainer.step(&x, &labels, 1.0).unwrap();
        same(&mut trainer);
        let at = TrainAt { batch: 4, strip_head: true, rng: Rng::new(0) };
        trainer.session().train(&x, at, |outlet| outlet.dy.fill(0.0)).unwrap();
        same(&mut trainer);
        let w: Vec<f32> = trainer.session().weights(0).iter().map(|w| w + 0.25).collect();
        trainer.session().set_weights(0, &w).unwrap();
        same(&mut trainer);
    }
}

/// Convolutions with batch normalisation and ReLU in a row, whose values are larger than its weights.
fn deep() -> Result<Graph> {
    let mut g = Graph::new("deep");
    let mut x = g.input([12, 12, 2])?;
    for filters in [8, 12, 8, 12] {
        x = g.add(Conv2D::new(filters, 3).padding(Padding::Same).no_bias(), &[x])?;
        x = g.add(BatchNorm::default(), &[x])?;
        x = g.add(Activation::Relu, &[x])?;
    }
    let mean = g.add(GlobalPool::average(), &[x])?;
    g.add(Dense::new(3), &[mean])?;
    Ok(g)
}

// Gradients as bits, bytes of the values, and whether some were computed once more.
fn gradients(model: &Model, x: &[f32], recompute: bool) -> (Vec<u32>, usize, bool) {
    let mut session = Session::new(model, Machine::default()).unwrap();
    session.recompute(recompute);
    let at = TrainAt { batch: BATCH, strip_head: true, rng: Rng::new(7) };
    let loss = |Outlet { y, dy, .. }: Outlet<'_>| {
        dy.iter_mut().zip(y).enumerate().for_each(|(i, (dy, y))| *dy = y - (i % 3) as f32);
    };
    session.train(x, at, loss).unwrap();
    let all = (0..model.params().len()).flat_map(|i| session.gradient(i).to_vec());
    let bits = all.map(f32::to_bits).collect();
    let plan = session.plan();
    (bits, plan.memory().values, plan.report().to_string().contains("computed once more"))
}

/// Values that are computed once more in backward, instead of kept, change no bit of any gradient.
#[test]
fn recomputation_changes_no_bit_and_takes_less_memory() {
    for graph in small_networks().into_iter().chain([deep().unwrap()]) {
        let model = with_statistics(graph);
        let len = model.graph().input_shape().unwrap().len();
        let mut rng = Rng::new(4);
        let x: Vec<f32> = (0..BATCH * len).map(|_| rng.uniform()).collect();
        let [kept, again] = [false, true].map(|recompute| gradients(&model, &x, recompute));
        let name = model.graph().name();
        assert!(kept.0 == again.0, "{name}: other gradients");
        assert!(!kept.2);
        assert_eq!(again.1 < kept.1, again.2, "{name}: {} bytes, {} where values are kept", again.1, kept.1);
        assert!(again.2 || name != "deep");
    }
}

/// What the goals of the project ask for: a training step of ResNet-50 in little memory.
#[test]
fn recomputation_saves_a_fifth_of_the_values_of_resnet_50() {
    let graph = zoo::recipe("resnet-50").unwrap().graph;
    let Machine { isa, algorithm, .. } = Machine::default();
    let values = |recompute| {
        let algorithm = algorithm.clone();
        let config = PlanConfig {
            batch: 2,
            mode: Mode::Train,
            strip_head: true,
            keep: false,
            recompute,
            isa,
            threads: 1,
            algorithm,
        };
        Plan::compile(&graph, config).unwrap().memory().values as f64
    };
    let (kept, again) = (values(false), values(true));
    assert!(again < 0.8 * kept, "{again} bytes, {kept} where values are kept");
}
