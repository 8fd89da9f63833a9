//! What differs between two models: everything that goes wrong when weights move between frameworks is done on purpose,
//! and must be found at its layer and told by its name.

use striate::exchange::diff::{Diff, DiffConfig, Likeness, Origin, diff};
use striate::ops::{
    Activation, Add, BatchNorm, Concat, Conv2D, Dense, Flatten, GlobalPool, Op, Padding, Pool2D, PoolKind, Weights,
    ZeroPad,
};
use striate::rng::Rng;
use striate::{Graph, Model, Tensor};

/// How the network is cut into layers, and what is told its ops.
#[derive(Debug, Clone)]
struct Net {
    stem_activation: Activation,
    /// The stem's padding is a layer of its own, its activation too.
    split: bool,
    down_padding: Padding,
    epsilon: f32,
    pool: Pool2D,
    left_first: bool,
    bias: bool,
    last: Activation,
    classes: usize,
}

impl Default for Net {
    fn default() -> Self {
        let pool = Pool2D { padding: Padding::all(1), stride: Some([2, 2]), ..Pool2D::new(PoolKind::Average, [3, 3]) };
        Self {
            stem_activation: Activation::Relu,
            split: false,
            down_padding: Padding::Same,
            epsilon: 1e-3,
            pool,
            left_first: true,
            bias: true,
            last: Activation::Softmax,
            classes: 5,
        }
    }
}

impl Net {
    fn graph(&self) -> Graph {
        let mut g = Graph::new("net");
        let mut x = g.input([12, 12, 3]).unwrap();
        let stem = Conv2D::new(8, 3);
        if self.split {
            x = g.add(ZeroPad::all(1), &[x]).unwrap();
            x = g.add_named("stem", stem, &[x]).unwrap();
            x = g.add(self.stem_activation, &[x]).unwrap();
        } else {
            let stem = stem.padding(Padding::Same).activation(self.stem_activation);
            x = g.add_named("stem", stem, &[x]).unwrap();
        }
        let down = Conv2D::new(8, 3).padding(self.down_padding);
        let down = Conv2D { stride: [2, 2], bias: self.bias, ..down };
        x = g.add_named("down", down, &[x]).unwrap();
        x = g.add_named("norm", BatchNorm::default().epsilon(self.epsilon), &[x]).unwrap();
        x = g.add(Activation::Relu, &[x]).unwrap();
        let left = g.add_named("left", Conv2D::new(4, 1), &[x]).unwrap();
        let right = g.add_named("right", Conv2D::new(4, 3).padding(Padding::Same), &[x]).unwrap();
        let both = if self.left_first { [left, right] } else { [right, left] };
        x = g.add_named("both", Concat::new(), &both).unwrap();
        x = g.add_named("norm2", BatchNorm::default().epsilon(self.epsilon), &[x]).unwrap();
        x = g.add_named("pool", self.pool.clone(), &[x]).unwrap();
        x = g.add(Flatten::new(), &[x]).unwrap();
        g.add_named("head", Dense::new(self.classes).activation(self.last), &[x]).unwrap();
        g
    }

    /// The network with weights that depend on their names alone.
    fn model(&self) -> Model {
        let mut model = Model::new(self.graph(), 1).unwrap();
        for param in model.params_mut() {
            let mut rng = Rng::new(5).split(&param.name);
            match param.name.split('/').next_back().unwrap() {
                "moving_variance" => param.data.iter_mut().for_each(|v| *v = 0.001 + 0.01 * rng.uniform()),
                "kernel" => {}
                _ => param.data.iter_mut().for_each(|v| *v = 0.5 * rng.normal() as f32 + 0.2),
            }
        }
        model
    }
}

fn param<'a>(model: &'a mut Model, name: &str) -> (&'a [usize], &'a mut Weights) {
    let param = model.params_mut().iter_mut().find(|p| p.name == name).unwrap();
    (&param.dims, &mut param.data)
}

/// Changes a parameter as a tensor, keeping its axes.
fn change(model: &mut Model, name: &str, f: impl Fn(Tensor) -> Tensor) {
    let (dims, data) = param(model, name);
    *data = f(Tensor::new(dims, data.to_vec()).unwrap()).into_data().into();
}

fn compare(a: &Model, b: &Model) -> Diff {
    diff(a, b, None, &DiffConfig::default()).unwrap()
}

/// Asserts that the first layer to blame and the best guess are these, and that the guess holds.
fn found(b: &Model, layer: &str, what: &str) -> Diff {
    let found = compare(&Net::default().model(), b);
    let case = format!("{layer}: {what}\n{found:#?}");
    assert!(!found.equal(), "{case}");
    let culprit = &found.layers[found.culprits[0]];
    assert_eq!(culprit.b, layer, "{case}");
    let guess = &found.guesses[0];
    assert!(guess.what.contains(what), "'{}'\n{case}", guess.what);
    assert!(guess.before > found.tolerance && guess.after <= found.tolerance, "{case}");
    found
}

fn with(f: impl FnOnce(&mut Net)) -> Model {
    let mut net = Net::default();
    f(&mut net);
    net.model()
}

#[test]
fn the_same_model_does_not_differ() {
    let model = Net::default().model();
    let found = compare(&model, &model.clone());
    assert!(found.equal() && found.first.is_none() && found.guesses.is_empty() && found.settings.is_empty());
    assert_eq!((found.origin, found.output.unwrap().max_abs), (Origin::Random(2), 0.0));
    assert!(found.weights.iter().all(|w| w.likeness == Likeness::Bits) && found.weights.len() == 18);
    assert!(found.only_a.is_empty() && found.only_b.is_empty());
}

#[test]
fn a_network_that_is_cut_otherwise_is_the_same_network() {
    let a = Net::default().model();
    let b = with(|net| net.split = true);
    let found = compare(&a, &b);
    assert!(found.equal() && found.first.is_none(), "{found:#?}");
    assert_eq!(found.settings, [], "padding is the same, wherever it stands");
    let stem = found.layers.iter().find(|p| p.a == "stem").unwrap();
    assert_eq!(stem.b, "re_lu", "the activated values are compared");
}

#[test]
fn settings_that_differ() {
    let padding = with(|net| net.down_padding = Padding::all(1));
    let found_padding = found(&padding, "down", "padding of 'down': same in A, [1,1,1,1] in B");
    let setting = found_padding.settings.iter().find(|s| s.name == "padding").unwrap();
    assert_eq!((&*setting.in_a, &*setting.in_b), ("0,1,0,1", "1,1,1,1"));
    let epsilon = found(&with(|net| net.epsilon = 1e-5), "norm", "epsilon of 'norm': 0.001 in A, 0.00001 in B");
    assert_eq!(epsilon.guesses[0].others, (1, 1), "the other normalisation too");
    assert_eq!(epsilon.settings.iter().filter(|s| s.name == "epsilon").count(), 2);
    let count = with(|net| net.pool.count_padding = true);
    found(&count, "pool", "count_padding of 'pool': false in A, true in B");
    found(&with(|net| net.pool.kind = PoolKind::Max), "pool", "kind of 'pool': average in A, max in B");
    found(&with(|net| net.last = Activation::Linear), "head", "activation of 'head': softmax in A, linear in B");
    found(&with(|net| net.bias = false), "down", "'down' has no bias in B");
    found(&with(|net| net.left_first = false), "both", "the inputs of 'both' come in another order in B: [1, 0]");
}

#[test]
fn an_activation_that_differs_only_for_large_values() {
    let large = |mut model: Model| {
        change(&mut model, "stem/bias", |b| Tensor::new(b.dims(), vec![6.0; 8]).unwrap());
        model
    };
    let relu6 = large(with(|net| {
        net.stem_activation = Activation::Relu6;
        net.split = true;
    }));
    let found = compare(&large(Net::default().model()), &relu6);
    assert!(found.guesses[0].what.contains("relu in A, relu6 in B"), "{found:#?}");
    assert!(found.settings.iter().any(|s| s.name == "activation" && s.in_b == "relu6"));
}

#[test]
fn sizes_that_differ() {
    let ceil = |ceil| {
        let mut g = Graph::new("g");
        let x = g.input([8, 8, 2]).unwrap();
        let x = g.add_named("pool", Pool2D { ceil, stride: Some([2, 2]), ..Pool2D::new(PoolKind::Max, [3, 3]) }, &[x]);
        let x = g.add(GlobalPool::average(), &[x.unwrap()]).unwrap();
        g.add_named("fc", Dense::new(3), &[x]).unwrap();
        Model::new(g, 0).unwrap()
    };
    let found = compare(&ceil(false), &ceil(true));
    let pool = &found.layers[found.first.unwrap()];
    assert_eq!((&*pool.a, pool.gap), ("pool", None));
    assert_eq!(found.guesses[0].what, "ceil of 'pool': false in A, true in B");
    let found = compare(&Net::default().model(), &with(|net| net.classes = 6));
    assert!(found.output.is_none() && !found.equal());
    assert_eq!(found.weights.iter().find(|w| w.a == "head/kernel").unwrap().likeness, Likeness::Sizes);
}

#[test]
fn kernels_in_another_layout() {
    let arranged = |f: &dyn Fn(Tensor) -> Tensor| {
        let mut model = Net::default().model();
        change(&mut model, "down/kernel", f);
        model
    };
    found(&arranged(&|k| k.permute(&[1, 0, 2, 3]).unwrap()), "down", "height and width exchanged");
    found(&arranged(&|k| k.permute(&[0, 1, 3, 2]).unwrap()), "down", "input and output channels exchanged");
    found(&arranged(&|k| k.permute(&[3, 2, 0, 1]).unwrap()), "down", "PyTorch's order [oc, ic, kh, kw], read as");
    let turned = |k: Tensor| {
        let data: Vec<f32> = k.data().chunks(64).rev().flatten().copied().collect();
        Tensor::new(k.dims(), data).unwrap()
    };
    found(&arranged(&turned), "down", "turned by 180 degrees (true convolution");
    let torch = |k: Tensor| k.reshape(&[8, 8, 3, 3]).unwrap().permute(&[2, 3, 1, 0]).unwrap();
    found(&arranged(&torch), "down", "taken for PyTorch's [oc, ic, kh, kw]");
}

#[test]
fn the_order_of_channels_and_the_scale_of_the_input() {
    let mut bgr = Net::default().model();
    change(&mut bgr, "stem/kernel", |k| {
        let data = k.data().chunks(24).flat_map(|p| p.chunks(8).rev().flatten().copied()).collect();
        Tensor::new(k.dims(), data).unwrap()
    });
    found(&bgr, "stem", "BGR");
    let mut scaled = Net::default().model();
    change(&mut scaled, "stem/kernel", |k| {
        Tensor::new(k.dims(), k.data().iter().map(|v| v / 255.0).collect()).unwrap()
    });
    found(&scaled, "stem", "255 times as large");
}

#[test]
fn the_order_of_a_flatten() {
    let mut model = Net::default().model();
    // The pool gives [3, 3, 8].
    change(&mut model, "head/kernel", |k| k.reshape(&[9, 8, 5]).unwrap().permute(&[1, 0, 2]).unwrap());
    found(&model, "head", "c, h, w (PyTorch's flatten)");
}

#[test]
fn weights_that_differ() {
    let mut other = Net::default().model();
    param(&mut other, "right/kernel").1[7] += 0.25;
    let report = found(&other, "right", "kernel of 'right' has other numbers: they differ by up to 2.5e-1");
    assert_eq!(report.weights.iter().filter(|w| w.likeness == Likeness::Differs).count(), 1);
    let mut half = Net::default().model();
    for p in half.params_mut() {
        p.data
            .iter_mut()
            .for_each(|v| *v = f32::from_bits((v.to_bits() + 0xFFF + ((v.to_bits() >> 13) & 1)) & !0x1FFF));
    }
    let config = DiffConfig { tolerance: 1e-6, ..DiffConfig::default() };
    let report = diff(&Net::default().model(), &half, None, &config).unwrap();
    assert!(report.guesses[0].what.contains("rounded to half precision"), "{report:#?}");
    let mut swapped = Net::default().model();
    let gamma = param(&mut swapped, "norm/gamma").1.clone();
    let beta = std::mem::replace(param(&mut swapped, "norm/beta").1, gamma);
    *param(&mut swapped, "norm/gamma").1 = beta;
    found(&swapped, "norm", "gamma and beta of 'norm' are exchanged");
}

/// A sum's inputs in another order, a normalisation folded into the weights: no difference, unless the epsilon was another.
#[test]
fn folded_normalisation() {
    let network = |folded: bool| {
        let mut g = Graph::new("g");
        let x = g.input([6, 6, 4]).unwrap();
        let mut y = g.add_named("c", Conv2D::new(4, 3).padding(Padding::Same), &[x]).unwrap();
        if !folded {
            y = g.add_named("n", BatchNorm::default(), &[y]).unwrap();
        }
        y = g.add(Activation::Relu, &[y]).unwrap();
        let inputs = if folded { [x, y] } else { [y, x] };
        let y = g.add(Add::new(), &inputs).unwrap();
        g.add_named("d", Conv2D::new(2, 3), &[y]).unwrap();
        Model::new(g, 3).unwrap()
    };
    let mut a = network(false);
    param(&mut a, "n/moving_variance").1.copy_from_slice(&[0.01, 0.02, 0.03, 0.04]);
    param(&mut a, "n/beta").1.copy_from_slice(&[0.1, -0.2, 0.3, 0.0]);
    for (epsilon, equal) in [(1e-3_f32, true), (1e-5, false)] {
        let mut b = network(true);
        let factor = |c: usize| 1.0 / (0.01 * (c + 1) as f32 + epsilon).sqrt();
        let kernel = param(&mut a, "c/kernel").1.clone();
        *param(&mut b, "c/kernel").1 =
            kernel.iter().enumerate().map(|(i, v)| v * factor(i % 4)).collect::<Vec<f32>>().into();
        param(&mut b, "c/bias").1.copy_from_slice(&[0.1, -0.2, 0.3, 0.0]);
        *param(&mut b, "d/kernel").1 = param(&mut a, "d/kernel").1.clone();
        let found = compare(&a, &b);
        assert_eq!(found.equal(), equal, "{found:#?}");
        assert!(
            equal || found.guesses[0].what.contains("was 0.00001 when it was folded into B's weights"),
            "{found:#?}"
        );
    }
}

#[test]
fn samples_that_are_given_or_kept() {
    let (mut a, b) = (Net::default().model(), with(|net| net.split = true));
    let config = DiffConfig::default();
    let x = Tensor::zeros(&[5, 12, 12, 3]);
    let found = diff(&a, &b, Some(&x), &config).unwrap();
    assert!(found.equal() && found.origin == Origin::Given(5));
    a.keep_golden(&[vec![0.5; 432]]).unwrap();
    assert_eq!(diff(&b, &a, None, &config).unwrap().origin, Origin::Golden(1));
    let e = diff(&a, &b, Some(&Tensor::zeros(&[5, 12, 12, 1])), &config).unwrap_err().to_string();
    assert!(e.contains("(None, 12, 12, 3)") && e.contains("[5, 12, 12, 1]"), "{e}");
    let mut g = Graph::new("other");
    let x = g.input([3]).unwrap();
    g.add(Dense::new(2), &[x]).unwrap();
    let e = diff(&a, &Model::new(g, 0).unwrap(), None, &config).unwrap_err().to_string();
    assert!(e.contains("nothing fits both"), "{e}");
}

#[test]
fn numbers_that_are_none() {
    let mut bad = Net::default().model();
    param(&mut bad, "left/kernel").1[3] = f32::NAN;
    let found = compare(&Net::default().model(), &bad);
    let left = &found.layers[found.first.unwrap()];
    assert_eq!((&*left.b, left.gap.unwrap().max_abs), ("left", f64::INFINITY));
    assert!(found.guesses[0].what.contains("kernel of 'left'"), "{found:#?}");
    // Nobody is to blame for what nobody computes.
    assert!(matches!(bad.graph().nodes()[0].op, Op::Input(_)) && !found.culprits.contains(&0));
}
