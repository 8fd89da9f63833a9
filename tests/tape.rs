//! The tape against the literal formulas: values by the ops' twins in f64, gradients by finite differences of those, and
//! the two other backward rules of a ReLU by their definitions in plain loops.

use striate::inspect::{ReluRule, Spot, Tape, TapeConfig, unit_patch};
use striate::ops::{
    Activation, Add, BatchNorm, Concat, Conv2D, Dense, Dropout, Flatten, GlobalPool, Lrn, Mode, Op, Padding, Pool2D,
    Rule, Twin, ZeroPad, fuses,
};
use striate::rng::Rng;
use striate::session::{Machine, Session};
use striate::{Graph, Model, Sequential, zoo};

/// The value of every node in f64, as the network in use computes it.
fn literal(model: &Model, x: &[f64]) -> Vec<Vec<f64>> {
    let graph = model.graph();
    let mut params = model.params();
    let mut values: Vec<Vec<f64>> = Vec::new();
    for node in graph.nodes() {
        let (own, rest) = params.split_at(graph.params(node).len());
        params = rest;
        if node.inputs.is_empty() {
            values.push(x.to_vec());
            continue;
        }
        let of = |name: &str| graph.nodes().iter().position(|n| n.name == name).unwrap();
        let inputs: Vec<&[f64]> = node.inputs.iter().map(|v| values[of(&graph.node(*v).name)].as_slice()).collect();
        let w: Vec<Vec<f64>> = own.iter().map(|p| p.data.iter().map(|v| f64::from(*v)).collect()).collect();
        let w: Vec<&[f64]> = w.iter().map(Vec::as_slice).collect();
        let shapes = graph.input_shapes(node);
        let t = Twin { batch: 1, x: &inputs, shapes: &shapes, w: &w, mode: Mode::Infer, rng: Rng::new(0) };
        let last = node.op.activation();
        values.push(match node.op.with_activation(Activation::Linear) {
            // The twin of an op has its activation where it is computed in passing.
            Some(linear) if !fuses(last) => {
                let y = linear.rule().twin(&t);
                last.twin(&Twin { x: &[&y], shapes: &[node.shape], w: &[], ..t })
            }
            _ => node.op.rule().twin(&t),
        });
    }
    values
}

/// Weights and statistics as after some training.
fn stirred(graph: Graph) -> Model {
    let mut model = Model::new(graph, 1).unwrap();
    let mut rng = Rng::new(2);
    for param in model.params_mut() {
        let (is_kernel, positive) = (param.name.ends_with("kernel"), param.name.ends_with("variance"));
        for v in param.data.iter_mut() {
            let noise = 0.2 * rng.normal() as f32;
            // A kernel keeps its size, so that deep networks neither explode nor fade.
            *v = if is_kernel { *v * (1.0 + noise) } else { *v + noise };
            if positive {
                *v = v.abs() + 0.3;
            }
        }
    }
    model
}

fn sample(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..len).map(|_| rng.normal() as f32).collect()
}

// Two branches that meet in a sum and in a concatenation, a value that is read three times, batch normalisation,
// dropout, both pools, local response normalisation; smooth functions, so that finite differences are exact.
fn branches() -> Graph {
    let mut g = Graph::new("branches");
    let x = g.input([9, 8, 2]).unwrap();
    let a = g.add_named("a", Conv2D::new(4, 3).padding(Padding::Same).activation(Activation::Tanh), &[x]).unwrap();
    let n = g.add_named("norm", BatchNorm::default(), &[a]).unwrap();
    let s = g.add_named("silu", Op::from(Activation::Silu), &[n]).unwrap();
    let b = g.add_named("b", Conv2D::new(4, [1, 3]).padding(Padding::Same).no_bias(), &[s]).unwrap();
    let d = g.add_named("drop", Dropout::new(0.5), &[b]).unwrap();
    let sum = g.add_named("sum", Add::new(), &[a, d, s]).unwrap();
    let l = g.add_named("lrn", Lrn::default(), &[sum]).unwrap();
    let m = g.add_named("max", Pool2D::max(2), &[l]).unwrap();
    let p = g.add_named("mean", Pool2D::average(2), &[a]).unwrap();
    let c = g.add_named("both", Concat::new(), &[m, p]).unwrap();
    let z = g.add_named("pad", ZeroPad::all(1), &[c]).unwrap();
    let e = g.add_named("strided", Conv2D::new(5, 3).stride(2).activation(Activation::Softplus), &[z]).unwrap();
    let f = g.add_named("flat", Flatten::new(), &[e]).unwrap();
    g.add_named("end", Dense::new(3).activation(Activation::Softmax), &[f]).unwrap();
    g
}

fn close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-12, |m: f64, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*g) - w).abs() <= tolerance * scale, "{what}: {g} and {w} at {i}, scale {scale}");
    }
}

#[test]
fn values_are_those_of_the_formulas_and_of_a_session() {
    let model = stirred(branches());
    let x = sample(144, 3);
    let want = literal(&model, &x.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
    let mut tape = Tape::new(&model, 1, &TapeConfig::default()).unwrap();
    tape.forward(&x).unwrap();
    let mut session = Session::new(&model, Machine::default()).unwrap();
    session.look(&x, 1).unwrap();
    for (node, want) in model.graph().nodes().iter().zip(&want) {
        close(tape.value(Spot::Layer(&node.name)).unwrap().data(), want, 5e-6, &node.name);
        close(session.value(&node.name).unwrap().data(), want, 5e-6, &node.name);
    }
    let logits: Vec<f64> = tape.value(Spot::Logits).unwrap().data().iter().map(|v| f64::from(*v).exp()).collect();
    let total: f64 = logits.iter().sum();
    let softmax: Vec<f64> = logits.iter().map(|v| v / total).collect();
    close(tape.value(Spot::Layer("end")).unwrap().data(), &softmax, 1e-6, "the logits are before the softmax");
}

// The networks of the zoo, among them branches of several depths, heads and squeeze-and-excite.
#[test]
fn networks_of_the_zoo_have_the_values_of_a_session() {
    for name in ["residual-mnist", "googlenet", "mobilenet-v3-small", "densenet-121", "convnext-tiny"] {
        let small = !["residual-mnist", "googlenet"].contains(&name);
        let options = zoo::Options { input: small.then_some([64, 64, 3]), classes: Some(5) };
        let model = stirred(zoo::build(name, &options).unwrap().graph);
        let x = sample(model.graph().input_shape().unwrap().len(), 4);
        let mut tape = Tape::new(&model, 1, &TapeConfig::default()).unwrap();
        tape.forward(&x).unwrap();
        let mut session = Session::new(&model, Machine::default()).unwrap();
        session.look(&x, 1).unwrap();
        let output = model.graph().node(model.graph().output().unwrap()).name.clone();
        let want: Vec<f64> = session.value(&output).unwrap().data().iter().map(|v| f64::from(*v)).collect();
        // A hundred layers in f32, the normalisations folded another way.
        close(tape.value(Spot::Layer(&output)).unwrap().data(), &want, 1e-3, name);
    }
}

#[test]
fn gradients_to_the_input_and_to_inner_layers_are_those_of_finite_differences() {
    let model = stirred(branches());
    let graph = model.graph();
    let x = sample(144, 5);
    let wide: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    let mut tape = Tape::new(&model, 1, &TapeConfig::default()).unwrap();
    tape.forward(&x).unwrap();
    for layer in ["end", "both", "sum", "norm", "flat"] {
        let at = graph.nodes().iter().position(|n| n.name == layer).unwrap();
        let r = sample(graph.nodes()[at].shape.len(), 6);
        tape.backward(Spot::Layer(layer), &r, ReluRule::Derivative).unwrap();
        let loss = |x: &[f64]| literal(&model, x)[at].iter().zip(&r).map(|(y, r)| y * f64::from(*r)).sum::<f64>();
        let mut moved = wide.clone();
        let want: Vec<f64> = (0..x.len())
            .map(|i| {
                moved[i] = wide[i] + 1e-5;
                let plus = loss(&moved);
                moved[i] = wide[i] - 1e-5;
                let slope = (plus - loss(&moved)) / 2e-5;
                moved[i] = wide[i];
                slope
            })
            .collect();
        close(tape.input_gradient().data(), &want, 2e-5, layer);
    }
    // Of an inner layer: what its gradient says about a change of its own values, seen through the sum that reads it.
    tape.backward(Spot::Layer("sum"), &vec![1.0; 9 * 8 * 4], ReluRule::Derivative).unwrap();
    assert!(tape.gradient(Spot::Layer("drop")).unwrap().data().iter().all(|g| *g == 1.0));
    assert!(tape.gradient(Spot::Layer("end")).unwrap().data().iter().all(|g| *g == 0.0), "nothing goes forward");
}

#[test]
fn each_sample_of_a_batch_has_its_own_gradient() {
    let model = stirred(branches());
    let x = sample(3 * 144, 7);
    let gradient = |x: &[f32], threads: usize| {
        let machine = Machine { threads, ..Machine::default() };
        let n = x.len() / 144;
        let mut tape = Tape::new(&model, n, &TapeConfig { upto: None, machine }).unwrap();
        tape.forward(x).unwrap();
        tape.backward(Spot::Logits, &[1.0, 0.0, 0.0].repeat(n), ReluRule::Derivative).unwrap();
        tape.input_gradient().into_data()
    };
    let all = gradient(&x, 2);
    assert_eq!(all, gradient(&x, 1), "the same bits for any number of threads");
    for (x, want) in x.chunks(144).zip(all.chunks(144)) {
        let want: Vec<f64> = want.iter().map(|v| f64::from(*v)).collect();
        close(&gradient(x, 2), &want, 1e-6, "alone as in a batch");
    }
}

// conv 3x3 same, ReLU, max pool 2, conv 3x3 same, ReLU: as plain loops, one channel in, two inside, one out.
struct Plain {
    k1: Vec<f64>,
    b1: Vec<f64>,
    k2: Vec<f64>,
    b2: f64,
}

type Map = Vec<Vec<f64>>;

fn conv(x: &Map, k: impl Fn(usize, usize) -> f64) -> Map {
    let (h, w) = (x.len() as isize, x[0].len() as isize);
    let at =
        |y: isize, c: isize| if (0..h).contains(&y) && (0..w).contains(&c) { x[y as usize][c as usize] } else { 0.0 };
    let one = |y: isize, c: isize| {
        (0..3)
            .flat_map(|i| (0..3).map(move |j| (i, j)))
            .map(|(i, j)| k(i, j) * at(y + i as isize - 1, c + j as isize - 1))
            .sum()
    };
    (0..h).map(|y| (0..w).map(|c| one(y, c)).collect()).collect()
}

fn map(a: &Map, f: impl Fn(usize, usize, f64) -> f64) -> Map {
    a.iter().enumerate().map(|(y, row)| row.iter().enumerate().map(|(x, v)| f(y, x, *v)).collect()).collect()
}

impl Plain {
    fn inner(&self, x: &Map) -> Vec<Map> {
        (0..2)
            .map(|c| map(&conv(x, |i, j| self.k1[(i * 3 + j) * 2 + c]), |_, _, v| (v + self.b1[c]).max(0.0)))
            .collect()
    }

    /// The place of the maximum of each 2x2 window: the switch.
    fn switch(a: &Map, y: usize, x: usize) -> (usize, usize) {
        let all = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| (2 * y + i, 2 * x + j));
        let best = all.iter().fold(all[0], |b, p| if a[p.0][p.1] > a[b.0][b.1] { *p } else { b });
        best
    }

    /// From one unit of the last layer back to the pixels.
    fn back(&self, x: &Map, unit: (usize, usize), rule: ReluRule) -> Map {
        let inner = self.inner(x);
        let (ph, pw) = (x.len() / 2, x[0].len() / 2);
        let pooled: Vec<Map> = inner
            .iter()
            .map(|a| {
                (0..ph)
                    .map(|y| {
                        (0..pw)
                            .map(|x| {
                                let s = Self::switch(a, y, x);
                                a[s.0][s.1]
                            })
                            .collect()
                    })
                    .collect()
            })
            .collect();
        let before = (0..ph)
            .map(|y| {
                (0..pw)
                    .map(|x| {
                        self.b2
                            + (0..2).map(|c| conv(&pooled[c], |i, j| self.k2[(i * 3 + j) * 2 + c])[y][x]).sum::<f64>()
                    })
                    .collect()
            })
            .collect::<Map>();
        let relu = |d: f64, forward: f64| match rule {
            ReluRule::Derivative => {
                if forward > 0.0 {
                    d
                } else {
                    0.0
                }
            }
            ReluRule::Guided => {
                if forward > 0.0 {
                    d.max(0.0)
                } else {
                    0.0
                }
            }
            ReluRule::Deconvnet => d.max(0.0),
        };
        let seed = map(&before, |y, x, v| if (y, x) == unit { relu(v.max(0.0), v) } else { 0.0 });
        let mut pixels = map(x, |_, _, _| 0.0);
        for c in 0..2 {
            // The kernel turned by 180 degrees.
            let to_pool = conv(&seed, |i, j| self.k2[((2 - i) * 3 + 2 - j) * 2 + c]);
            let mut unpooled = map(x, |_, _, _| 0.0);
            for (y, x) in (0..ph).flat_map(|y| (0..pw).map(move |x| (y, x))) {
                let s = Self::switch(&inner[c], y, x);
                unpooled[s.0][s.1] = to_pool[y][x];
            }
            let through = map(&unpooled, |y, x, d| relu(d, inner[c][y][x]));
            let add = conv(&through, |i, j| self.k1[((2 - i) * 3 + 2 - j) * 2 + c]);
            pixels = map(&pixels, |y, x, v| v + add[y][x]);
        }
        pixels
    }
}

#[test]
fn deconvnet_guided_and_derivative_are_their_definitions_in_plain_loops() {
    let (mut alive, mut apart) = (0, [false; 2]);
    for seed in 0..8 {
        let found = three_rules(seed);
        alive += found.len();
        for [derivative, guided, deconvnet] in found {
            apart[0] |= derivative != guided;
            apart[1] |= guided != deconvnet;
        }
    }
    assert!(alive >= 10 && apart == [true; 2], "{alive} units are alive; rules that differ: {apart:?}");
}

// What comes back from each unit of the last layer that is alive, by each rule; all of it compared with plain loops.
fn three_rules(seed: u64) -> Vec<[Vec<f32>; 3]> {
    let relu = Activation::Relu;
    let mut model = Sequential::new([8, 6, 1])
        .add(Conv2D::new(2, 3).padding(Padding::Same).activation(relu))
        .add(Pool2D::max(2))
        .add(Conv2D::new(1, 3).padding(Padding::Same).activation(relu))
        .build(0)
        .unwrap();
    let mut rng = Rng::new(seed).split("network");
    model.params_mut().iter_mut().flat_map(|p| p.data.iter_mut()).for_each(|v| *v = 0.5 * rng.normal() as f32);
    // So that some windows of the first layer have no value above 0.
    model.params_mut()[1].data.copy_from_slice(&[-0.8, -0.5]);
    let of = |i: usize| model.params()[i].data.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let plain = Plain { k1: of(0), b1: of(1), k2: of(2), b2: of(3)[0] };
    let x = sample(48, seed + 10);
    let image: Map = x.chunks(6).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect();
    let mut tape = Tape::new(&model, 1, &TapeConfig::default()).unwrap();
    tape.forward(&x).unwrap();
    let y = tape.value(Spot::Layer("conv2d_1")).unwrap();
    let mut all = Vec::new();
    for at in (0..12).filter(|at| y.data()[*at] > 0.0) {
        let mut seed = vec![0.0; 12];
        seed[at] = y.data()[at];
        all.push([ReluRule::Derivative, ReluRule::Guided, ReluRule::Deconvnet].map(|rule| {
            tape.backward(Spot::Layer("conv2d_1"), &seed, rule).unwrap();
            let want: Vec<f64> = plain.back(&image, (at / 3, at % 3), rule).concat();
            let got = tape.input_gradient().into_data();
            close(&got, &want, 1e-5, &format!("{rule:?} of unit {at}"));
            got
        }));
    }
    all
}

#[test]
fn a_tape_that_ends_early_knows_what_is_before_its_end_alone() {
    let model = stirred(branches());
    let config = TapeConfig { upto: Some("sum"), machine: Machine::default() };
    let mut tape = Tape::new(&model, 1, &config).unwrap();
    tape.forward(&sample(144, 11)).unwrap();
    assert_eq!(tape.value(Spot::Layer("sum")).unwrap().dims(), [1, 9, 8, 4]);
    assert!(tape.value(Spot::Layer("both")).unwrap_err().message().contains("behind the end"));
    assert!(tape.value(Spot::Logits).is_err());
    let e = tape.value(Spot::Layer("nrom")).unwrap_err();
    assert_eq!(e.help(), Some("did you mean 'norm'?"));
    assert!(tape.forward(&[0.0; 3]).unwrap_err().message().contains("144 values, not 3"));
    assert!(Tape::new(&model, 0, &TapeConfig::default()).is_err());
}

// The rectangle of a unit: each pixel in it matters, and none outside. Positive weights and linear layers leave nothing to
// chance; a maximum is reached by a large enough pixel.
#[test]
fn a_units_rectangle_is_where_pixels_change_it() {
    let mut g = Graph::new("windows");
    let x = g.input([23, 19, 1]).unwrap();
    let a = g.add_named("a", Conv2D::new(2, [3, 5]).stride([1, 2]).padding(Padding::Same), &[x]).unwrap();
    let b = g.add_named("b", Conv2D::new(2, 3).dilation(2).padding(Padding::Same), &[a]).unwrap();
    let c = g.add_named("c", Conv2D::new(2, 1), &[a]).unwrap();
    let sum = g.add_named("sum", Add::new(), &[b, c]).unwrap();
    let m = g.add_named("max", Pool2D::max(3).stride(2).padding(Padding::all(1)), &[sum]).unwrap();
    let z = g.add_named("pad", ZeroPad::sides(2, 0, 1, 0), &[m]).unwrap();
    let e = g.add_named("e", Conv2D::new(1, 3), &[z]).unwrap();
    g.add_named("end", GlobalPool::average(), &[e]).unwrap();
    let mut model = Model::new(g, 0).unwrap();
    model.params_mut().iter_mut().flat_map(|p| p.data.iter_mut()).for_each(|v| *v = v.abs() + 0.01);
    let blank = vec![0.0_f32; 23 * 19];
    let mut session = Session::new(&model, Machine::default()).unwrap();
    let mut units = 0;
    for layer in ["a", "b", "sum", "max", "pad", "e", "end"] {
        let shape = model.graph().shape(model.graph().value(layer).unwrap());
        let [h, w, c] = if let [h, w, c] = *shape.dims() { [h, w, c] } else { [1, 1, 1] };
        session.look(&blank, 1).unwrap();
        let start = session.value(layer).unwrap().into_data();
        // For each unit the pixels that change it: rows, then columns.
        let mut seen = vec![Vec::new(); h * w];
        for pixel in 0..blank.len() {
            let mut x = blank.clone();
            x[pixel] = 1e4;
            session.look(&x, 1).unwrap();
            for (unit, (now, was)) in session.value(layer).unwrap().data().chunks(c).zip(start.chunks(c)).enumerate() {
                if now != was {
                    seen[unit].push([pixel / 19, pixel % 19]);
                }
            }
        }
        for (unit, seen) in seen.iter().enumerate() {
            let patch = unit_patch(model.graph(), layer, [unit / w, unit % w]).unwrap();
            let span = |i: usize| {
                let all = || seen.iter().map(|p| p[i]);
                all().min().map_or(0..0, |low| low..all().max().unwrap() + 1)
            };
            if seen.is_empty() {
                assert!(
                    patch.rows.is_empty() || patch.columns.is_empty(),
                    "{layer} {unit}: {patch:?}, but nothing changes it"
                );
                continue;
            }
            assert_eq!((patch.rows, patch.columns), (span(0), span(1)), "layer {layer}, unit {unit}");
            units += 1;
        }
    }
    assert!(units > 400, "{units} units");
    let e = unit_patch(model.graph(), "e", [99, 0]).unwrap_err();
    assert!(e.message().contains("no unit at row 99") && e.help().unwrap().contains("rows are 0 to"), "{e}");
}
