//! M39, E34: plain deep networks against residual ones: the gradient of each layer, and what training makes of them.

use std::sync::Arc;

use super::bench::Bench;
use super::nets::classes;
use super::report::{dots, loss_curve, mean_curve};
use super::verdict::{Finding, Rule};
use super::{Claim, Curve, Estimate, Evidence, Sample};
use crate::data::Dataset;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::init::Init;
use crate::model::Model;
use crate::ops::{Activation, Add, BatchNorm, Conv2D, GlobalPool, Padding, Pool2D};
use crate::train::Trainer;
use crate::visual::{AxisStyle, Item, Line, LineChart, Scale, Section, Series, Sheet, Unit};

pub(super) const CLAIM: Claim = Claim {
    name: "residual",
    title: "shortcuts cure the vanishing gradient, and depth helps",
    says: "In a plain deep network the gradient vanishes on its way back; in a residual block the next input is F(x) + x, \
           which cures it. Since ResNet, deeper is better.",
    measured: "Networks of 9, 21 and 45 layers: two convolutions that bring the image to 7x7 with 16 channels, blocks of two \
               3x3 convolutions, a global average and ten classes; plain and with F(x) + x, both without and with batch \
               normalisation, and plain with He's initial weights. Weights start as in Keras (Glorot) but for the last. \
               Gradient of a layer: that to its biases (or the offsets of its normalisation) in the first step on 64 \
               images, root mean square; it is the gradient to the layer's output, summed. It has vanished if the first \
               block's is less than a hundredth of the last one's.",
    caveat: "A few hundred updates on MNIST, on which depth has little to gain. The gradient to weights, dw, is no measure: \
             it is the product of what comes forward, which shrinks with depth, and what comes back, which shrinks the \
             other way. Adam divides by the gradient's size, so that small gradients alone do not stop it. He et al. (2015) trained plain nets with normalisation and wrote \
             that their trouble is unlikely to come from vanishing gradients.",
    seeds: 4,
    updates: 200,
    run,
};

#[derive(Debug, Clone, Copy)]
struct Arm {
    name: &'static str,
    shortcut: bool,
    norm: bool,
    init: Init,
}

const fn arm(name: &'static str, shortcut: bool, norm: bool) -> Arm {
    Arm { name, shortcut, norm, init: Init::GlorotUniform }
}

const PLAIN: usize = 0;
const RESIDUAL: usize = 1;
const PLAIN_NORM: usize = 2;
const RESIDUAL_NORM: usize = 3;
const ARMS: [Arm; 5] = [
    arm("plain", false, false),
    arm("residual", true, false),
    arm("plain, normalised", false, true),
    arm("residual, normalised", true, true),
    Arm { init: Init::HeUniform, ..arm("plain, He's start", false, false) },
];
const BLOCKS: [usize; 3] = [3, 9, 21];
const DEEPEST: usize = BLOCKS.len() - 1;
const BATCH: usize = 64;
// A hundredth is vanished; a tenth is not.
const VANISHED: f64 = -2.0;
const THERE: f64 = -1.0;

// Layers with weights: two of the stem, two of each block, the classes.
fn layers(depth: usize) -> usize {
    2 * BLOCKS[depth] + 3
}

impl Arm {
    fn graph(&self, blocks: usize) -> Result<Graph> {
        let mut g = Graph::new("deep");
        let mut y = g.input([28, 28, 1])?;
        for stem in 1..=2 {
            y = self.layer(&mut g, format!("stem{stem}"), y)?;
            y = g.add(Activation::Relu, &[y])?;
            y = g.add(Pool2D::max(2), &[y])?;
        }
        for block in 1..=blocks {
            let f = self.layer(&mut g, format!("block{block}a"), y)?;
            let f = g.add(Activation::Relu, &[f])?;
            let f = self.layer(&mut g, format!("block{block}b"), f)?;
            let sum = if self.shortcut { g.add(Add::new(), &[f, y])? } else { f };
            y = g.add(Activation::Relu, &[sum])?;
        }
        let mean = g.add(GlobalPool::average(), &[y])?;
        classes(&mut g, mean)?;
        Ok(g)
    }

    fn layer(&self, g: &mut Graph, name: String, x: Value) -> Result<Value> {
        let conv = Conv2D::new(16, 3).padding(Padding::Same).init(self.init);
        let y = g.add_named(name.as_str(), conv, &[x])?;
        // The moving statistics must be of the network as it is after a few hundred updates.
        if self.norm { g.add_named(format!("{name}.norm"), BatchNorm::default().momentum(0.9), &[y]) } else { Ok(y) }
    }
}

// By arm and depth.
type Table<T> = Vec<Vec<T>>;

struct Run {
    /// The size of the gradient of each layer of the blocks, from the first to the last.
    gradients: Table<Vec<f64>>,
    accuracy: Table<f64>,
    loss: Table<Vec<f64>>,
    last: Table<f64>,
}

fn run(bench: &mut Bench<'_>) -> Result<Evidence> {
    let runs = bench.each_seed(one)?;
    let table = |what: &str, unit: Unit, f: &dyn Fn(&Run, usize, usize) -> f64| -> Table<Sample> {
        let sample = |a: usize, d: usize| {
            let what = format!("{what}, {}, {} layers", ARMS[a].name, layers(d));
            Sample::new(what, unit, runs.iter().map(|r| f(r, a, d)).collect())
        };
        (0..ARMS.len()).map(|a| (0..BLOCKS.len()).map(|d| sample(a, d)).collect()).collect()
    };
    let ratio = table("log10 of first / last gradient", Unit::Plain, &|r, a, d| {
        let g = &r.gradients[a][d];
        libm::log10(g[0] / g[g.len() - 1])
    });
    let last = table("loss at the end", Unit::Plain, &|r, a, d| r.last[a][d]);
    let accuracy = table("accuracy", Unit::Percent, &|r, a, d| r.accuracy[a][d]);
    let findings = findings(&ratio, &last, &accuracy);
    let mut curves = Vec::new();
    for d in 0..BLOCKS.len() {
        for (a, arm) in ARMS.iter().enumerate() {
            // A mean of logarithms, since sizes differ by powers of ten.
            let logs = |r: &Run| r.gradients[a][d].iter().map(|g| libm::log10(*g)).collect::<Vec<_>>();
            let mean = mean_curve("", &runs.iter().map(logs).collect::<Vec<_>>(), |i| (i + 1) as f64);
            let points = mean.points.iter().map(|(x, y)| (*x, libm::pow(10.0, *y))).collect();
            curves.push(Curve { name: format!("gradient, {}, {} layers", arm.name, layers(d)), points });
        }
    }
    for (a, arm) in ARMS.iter().enumerate() {
        let losses: Vec<Vec<f64>> = runs.iter().map(|r| r.loss[a][DEEPEST].clone()).collect();
        curves.push(loss_curve(format!("loss, {}, {} layers", arm.name, layers(DEEPEST)), &losses));
    }
    let picture = picture(&curves, &accuracy)?;
    let samples = [ratio, last, accuracy].concat().concat();
    Ok(Evidence { samples, findings, facts: Vec::new(), curves, picture })
}

fn one(bench: &mut Bench<'_>, seed: u64) -> Result<Run> {
    let empty = || vec![Vec::new(); ARMS.len()];
    let (mut accuracy, mut last) = (vec![Vec::new(); ARMS.len()], vec![Vec::new(); ARMS.len()]);
    let (mut gradients, mut loss): (Table<Vec<f64>>, Table<Vec<f64>>) = (empty(), empty());
    for (a, arm) in ARMS.iter().enumerate() {
        for (d, blocks) in BLOCKS.iter().enumerate() {
            let graph = arm.graph(*blocks)?;
            gradients[a].push(sizes(bench, &graph, seed)?);
            let trained = bench.train(&format!("{}, {} layers", arm.name, layers(d)), graph, seed)?;
            accuracy[a].push(bench.test(&trained.model)?);
            last[a].push(trained.last_loss());
            loss[a].push(trained.loss());
        }
    }
    Ok(Run { gradients, accuracy, loss, last })
}

// The root mean square of the gradient to what is added in each layer of the blocks, in the first step: `db`, or `dbeta`
// where a normalisation would make `db` 0. Unlike `dw` it knows nothing of the size of the layer's input.
fn sizes(bench: &Bench<'_>, graph: &Graph, seed: u64) -> Result<Vec<f64>> {
    let data = Arc::clone(&bench.data.train);
    let (x, labels) = first(&*data, BATCH)?;
    let model = Model::new(graph.clone(), seed)?;
    let mut trainer = Trainer::new(&model, bench.config(seed), bench.machine())?;
    trainer.step(&x, &labels, 1.0)?;
    let session = trainer.session();
    let of_blocks = || model.params().iter().enumerate().filter(|(_, p)| p.name.starts_with("block"));
    let ending = if of_blocks().any(|(_, p)| p.name.ends_with("/beta")) { "/beta" } else { "/bias" };
    let added = of_blocks().filter(|(_, p)| p.name.ends_with(ending));
    Ok(added.map(|(i, _)| root_mean_square(&session.gradient(i))).collect())
}

fn root_mean_square(values: &[f32]) -> f64 {
    (values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

fn first(data: &dyn Dataset, n: usize) -> Result<(Vec<f32>, Vec<u32>)> {
    let size = data.shape().len();
    let mut x = vec![0.0; n * size];
    x.chunks_mut(size).enumerate().try_for_each(|(i, x)| data.fill(i, x))?;
    Ok((x, (0..n).map(|i| data.label(i)).collect()))
}

fn findings(ratio: &Table<Sample>, last: &Table<Sample>, accuracy: &Table<Sample>) -> Vec<Finding> {
    let less = |a: &Sample, b: &Sample| Estimate::of_differences(&a.values, &b.values);
    let (deep, plain, percent) = (DEEPEST, Unit::Plain, Unit::Percent);
    vec![
        Finding::new(
            "in a plain network of 45 layers the gradient vanishes (first less than a hundredth of the last)",
            ("log10 of first / last gradient, plain", plain),
            &ratio[PLAIN][deep].estimate,
            Rule::Below(VANISHED),
        ),
        Finding::new(
            "it vanishes there with batch normalisation, too",
            ("log10 of first / last gradient, plain and normalised", plain),
            &ratio[PLAIN_NORM][deep].estimate,
            Rule::Below(VANISHED),
        ),
        Finding::new(
            "with shortcuts it does not (first more than a tenth of the last)",
            ("log10 of first / last gradient, residual", plain),
            &ratio[RESIDUAL][deep].estimate,
            Rule::Above(THERE),
        ),
        Finding::new(
            "a residual network of 45 layers learns better than a plain one",
            ("loss at the end, plain less residual", plain),
            &less(&last[PLAIN][deep], &last[RESIDUAL][deep]),
            Rule::Gain(0.05),
        ),
        Finding::new(
            "so it does where both are normalised",
            ("loss at the end, plain less residual, both normalised", plain),
            &less(&last[PLAIN_NORM][deep], &last[RESIDUAL_NORM][deep]),
            Rule::Gain(0.05),
        ),
        Finding::new(
            "with shortcuts deeper is better (45 layers against 9, normalised)",
            ("accuracy of 45 layers less accuracy of 9", percent),
            &less(&accuracy[RESIDUAL_NORM][deep], &accuracy[RESIDUAL_NORM][0]),
            Rule::Gain(0.002),
        ),
    ]
}

// The dash of a line says whether there are shortcuts, its colour which arm it is.
fn line(curve: &Curve, a: usize) -> Series {
    let dash = if ARMS[a].shortcut { Line::Solid } else { Line::Dashed };
    Series::new(ARMS[a].name, curve.points.clone()).colour(a).line(dash)
}

fn picture(curves: &[Curve], accuracy: &Table<Sample>) -> Result<crate::visual::Picture> {
    let chart = |title: String, x: &str, y: &str, curves: &[Curve]| LineChart {
        title,
        x: AxisStyle::new(x).unit(Unit::Whole),
        y: AxisStyle::new(y).scale(Scale::Log),
        series: curves.iter().enumerate().map(|(a, c)| line(c, a)).collect(),
        width: 520.0,
        height: 320.0,
        ..LineChart::default()
    };
    let mut gradients: Vec<Item> = Vec::new();
    for (d, of_depth) in curves.chunks(ARMS.len()).take(BLOCKS.len()).enumerate() {
        let title = format!("{} layers", layers(d));
        let chart = chart(title, "layer of the blocks, from the input", "root mean square of db", of_depth);
        gradients.push(Item::Chart(chart));
    }
    let losses = &curves[ARMS.len() * BLOCKS.len()..];
    let title = format!("Loss while training, {} layers", layers(DEEPEST));
    gradients.push(Item::Chart(chart(title, "update", "loss, mean over seeds", losses)));
    let rows = (0..ARMS.len()).flat_map(|a| {
        (0..BLOCKS.len()).map(move |d| accuracy[a][d].row(format!("{}, {} layers", ARMS[a].name, layers(d)), a))
    });
    let axis = AxisStyle::new("accuracy on test images, each dot a seed").unit(Unit::Percent);
    let section = |heading: &str, note: &str, items| Section { heading: heading.into(), note: note.into(), items };
    let sheet = Sheet {
        title: "The gradient on its way back, and what is learned".into(),
        subtitle: "Solid: with shortcuts, y = F(x) + x. Dashed: without.".into(),
        sections: vec![
            section("Size of each layer's gradient in the first step", "geometric mean over seeds", gradients),
            section("Accuracy after training", "", vec![dots("", axis, rows.collect(), 1040.0)]),
        ],
        ..Sheet::default()
    };
    sheet.picture()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::session::Machine;

    #[test]
    fn m39_there_is_a_gradient_for_each_layer_of_the_blocks() {
        let mut told = |_: &str| {};
        let mut bench = Bench::new(crate::data::load("mnist").unwrap(), Machine::default(), None, &mut told);
        bench.updates = 1;
        for arm in [PLAIN, PLAIN_NORM, RESIDUAL_NORM] {
            let all = sizes(&bench, &ARMS[arm].graph(2).unwrap(), 0).unwrap();
            assert!(all.len() == 4 && all.iter().all(|g| *g > 0.0), "{}: {all:?}", ARMS[arm].name);
        }
    }

    #[test]
    fn m39_networks_differ_in_the_shortcut_alone() {
        assert_eq!([0, 1, 2].map(layers), [9, 21, 45]);
        let adds = |a: usize| {
            let g = ARMS[a].graph(3).unwrap();
            g.nodes().iter().filter(|n| matches!(n.op, crate::ops::Op::Add(_))).count()
        };
        assert_eq!([PLAIN, RESIDUAL, PLAIN_NORM, RESIDUAL_NORM].map(adds), [0, 3, 0, 3]);
        let weights = |a: usize| super::super::nets::weights(&ARMS[a].graph(3).unwrap());
        assert_eq!(weights(PLAIN), 160 + 7 * (16 * 16 * 9 + 16) + 170);
        assert_eq!((weights(PLAIN), weights(PLAIN_NORM)), (weights(RESIDUAL), weights(RESIDUAL_NORM)));
    }

    // The gradient's size in the picture against differences of the loss, which know nothing of backward.
    #[test]
    fn m39_the_size_of_a_gradient_agrees_with_finite_differences() {
        let data = crate::data::load("mnist").unwrap();
        let mut told = |_: &str| {};
        let mut bench = Bench::new(data, Machine::default(), None, &mut told);
        bench.updates = 1;
        let graph = ARMS[RESIDUAL].graph(1).unwrap();
        let size = sizes(&bench, &graph, 1).unwrap()[0];
        let (x, labels) = first(&*bench.data.train, BATCH).unwrap();
        let loss = |model: &Model| {
            let mut trainer = Trainer::new(model, bench.config(1), bench.machine()).unwrap();
            trainer.step(&x, &labels, 1.0).unwrap().loss
        };
        let model = Model::new(graph, 1).unwrap();
        let kernel = model.params().iter().position(|p| p.name == "block1a/bias").unwrap();
        let w = model.params()[kernel].clone();
        let tensor = |data: Vec<f32>| crate::tensor::Tensor::new(&w.dims, data).unwrap();
        // A direction of signs shows its product with the gradient; the mean of their squares is the gradient's square.
        let mut rng = crate::rng::Rng::new(9);
        let (step, tries) = (1e-2_f32, 40);
        let mut squares = 0.0;
        for _ in 0..tries {
            let direction: Vec<f32> = w.data.iter().map(|_| if rng.uniform() < 0.5 { -1.0 } else { 1.0 }).collect();
            let moved = |by: f32| {
                let mut other = model.clone();
                let data = w.data.iter().zip(&direction).map(|(w, d)| w + by * d).collect();
                other.set_param("block1a/bias", &tensor(data)).unwrap();
                loss(&other)
            };
            squares += ((moved(step) - moved(-step)) / f64::from(2.0 * step)).powi(2);
        }
        let seen = (squares / f64::from(tries) / w.data.len() as f64).sqrt();
        // 40 directions leave a deviation of some 11 % of a root mean square.
        assert!((seen / size - 1.0).abs() < 0.45, "{seen} by differences, {size} by backward");
    }

    #[test]
    fn m39_the_verdict_goes_with_the_numbers() {
        let s = |v: f64| Sample::new("s", Unit::Plain, vec![v, v + 1e-4, v - 1e-4]);
        let table = |by_arm: [[f64; 3]; 5]| -> Table<Sample> { by_arm.map(|r| r.map(s).to_vec()).to_vec() };
        let flat = |v: f64| [v; 3];
        let said = |ratio: [f64; 4], last: [f64; 4], deep: f64| {
            let [a, b, c, d] = ratio;
            let ratio = table([flat(a), flat(b), flat(c), flat(d), flat(0.0)]);
            let [a, b, c, d] = last;
            let last = table([flat(a), flat(b), flat(c), flat(d), flat(0.0)]);
            let accuracy = table([flat(0.0), flat(0.0), flat(0.0), [0.95, 0.95, deep], flat(0.0)]);
            Verdict::of_all(&findings(&ratio, &last, &accuracy))
        };
        assert_eq!(said([-5.0, 0.0, -4.0, 0.0], [2.3, 0.2, 0.9, 0.2], 0.97), Verdict::Holds);
        assert_eq!(said([-5.0, 0.0, 0.2, 0.0], [2.3, 0.2, 0.9, 0.2], 0.97), Verdict::Partly);
        assert_eq!(said([0.0, -5.0, 0.0, 0.0], [0.2, 2.3, 0.2, 0.9], 0.90), Verdict::Fails);
    }
}
