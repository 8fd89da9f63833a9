//! Attribution: the maps against PyTorch's on a golden network (`golden/make_attribution.py`) and against their
//! definitions, the lie detector on a network that learned something, and what must be refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use striate::data::Image;
use striate::inspect::{
    AttributeConfig, Attribution, Method, ReluRule, Spot, Tape, TapeConfig, attribute, attribution_sheet, cam_layer,
    examine,
};
use striate::ops::{Activation, BatchNorm, Conv2D, Dense, Flatten, GlobalPool, Op, Padding, Pool2D};
use striate::train::{Fit, FitConfig};
use striate::{Model, Sequential, Tensor, data, zoo};

mod pictures;

#[derive(Deserialize)]
struct Golden {
    class: usize,
    steps: usize,
    baseline: Vec<f32>,
    x: Vec<f32>,
    weights: BTreeMap<String, Vec<f32>>,
    logits: Vec<f64>,
    gradient: Vec<f64>,
    guided: Vec<f64>,
    grad_cam: Vec<f64>,
    grad_cam_plus_plus: Vec<f64>,
    integrated: Vec<f64>,
}

fn golden() -> (Golden, Model) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/attribution.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut g = striate::Graph::new("golden");
    let x = g.input([12, 12, 3]).unwrap();
    let first = Conv2D::new(6, 3).padding(Padding::Same).activation(Activation::Relu);
    let a = g.add_named("first", first, &[x]).unwrap();
    let p = g.add(Pool2D::max(2), &[a]).unwrap();
    let b = g.add_named("second", Conv2D::new(8, 3).padding(Padding::Same).no_bias(), &[p]).unwrap();
    let n = g.add_named("norm", BatchNorm { epsilon: 1e-3, ..BatchNorm::default() }, &[b]).unwrap();
    let r = g.add_named("relu", Op::from(Activation::Relu), &[n]).unwrap();
    let m = g.add(GlobalPool::average(), &[r]).unwrap();
    g.add_named("end", Dense::new(4), &[m]).unwrap();
    let mut model = Model::new(g, 0).unwrap();
    for param in model.params().to_vec() {
        let value = Tensor::new(&param.dims, golden.weights[&param.name].clone()).unwrap();
        model.set_param(&param.name, &value).unwrap();
    }
    (golden, model)
}

fn close(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-12, |m: f64, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        // PyTorch computed in f64; a few hundred f32 terms stand between.
        assert!((f64::from(*g) - w).abs() <= 2e-5 * scale, "{what}: {g} and {w} at {i}, scale {scale}");
    }
}

fn config(method: Method, golden: &Golden) -> AttributeConfig {
    AttributeConfig {
        method,
        class: Some(golden.class),
        baseline: golden.baseline.clone(),
        samples: golden.steps,
        // PyTorch took these steps and no others.
        tolerance: f32::INFINITY,
        ..AttributeConfig::default()
    }
}

#[test]
fn maps_are_those_of_pytorch() {
    let (golden, model) = golden();
    let mut tape = Tape::new(&model, 1, &TapeConfig::default()).unwrap();
    tape.forward(&golden.x).unwrap();
    close(tape.value(Spot::Logits).unwrap().data(), &golden.logits, "logits");
    let mut seed = vec![0.0; 4];
    seed[golden.class] = 1.0;
    for (rule, want) in [(ReluRule::Derivative, &golden.gradient), (ReluRule::Guided, &golden.guided)] {
        tape.backward(Spot::Logits, &seed, rule).unwrap();
        close(tape.input_gradient().data(), want, &format!("{rule:?}"));
    }
    let largest = |values: &[f64]| -> Vec<f64> {
        values.chunks(3).map(|p| p.iter().fold(0.0, |m: f64, v| m.max(v.abs()))).collect()
    };
    let map = |method| attribute(&model, &golden.x, &config(method, &golden)).unwrap();
    close(map(Method::Saliency).map.data(), &largest(&golden.gradient), "saliency");
    close(map(Method::Guided).map.data(), &largest(&golden.guided), "guided");
    close(map(Method::IntegratedGradients).map.data(), &golden.integrated, "integrated gradients");
    for (method, want) in [(Method::GradCam, &golden.grad_cam), (Method::GradCamPlusPlus, &golden.grad_cam_plus_plus)] {
        let found = map(method);
        let (layer, coarse) = found.layer.unwrap();
        assert_eq!((layer.as_str(), found.map.dims(), coarse.dims()), ("relu", &[12, 12][..], &[6, 6][..]));
        close(coarse.data(), want, method.name());
    }
}

#[test]
fn the_layer_of_grad_cam_is_the_last_convolution_with_what_finishes_it() {
    for (name, layer) in [
        ("keras-mnist", "conv2d_2"),
        ("vgg-16", "features.28"),
        ("resnet-18", "layer4.1"),
        ("efficientnet-lite0", "_bn1.relu6"),
        ("squeezenet-1.1", "classifier.1"),
    ] {
        let found = cam_layer(&zoo::recipe(name).unwrap().graph).unwrap();
        assert!(found.starts_with(layer), "{name}: {found}");
    }
    let flat = Sequential::new([4, 4, 1]).add(Flatten::new()).add(Dense::new(2)).build(0).unwrap();
    let e = attribute(&flat, &[0.0; 16], &AttributeConfig::default()).unwrap_err();
    assert!(e.message().contains("no layer of sequential has rows and columns"), "{e}");
    // What needs no layer works all the same.
    assert!(
        attribute(&flat, &[0.5; 16], &AttributeConfig { method: Method::Saliency, ..AttributeConfig::default() })
            .is_ok()
    );
}

// A linear network: S = sum of w x + b, so each map is known.
fn linear() -> (Model, Vec<f32>) {
    let model = Sequential::new([8, 8, 1]).add(Flatten::new()).add(Dense::new(3)).build(5).unwrap();
    let w = model.params()[0].data.iter().skip(1).step_by(3).copied().collect();
    (model, w)
}

#[test]
fn on_a_linear_network_each_map_is_its_formula() {
    let (model, w) = linear();
    let x: Vec<f32> = (0..64).map(|i| ((i * 7) % 64) as f32 / 64.0).collect();
    let found = |method| {
        let baseline = vec![0.25];
        let config =
            AttributeConfig { method, class: Some(1), baseline, window: 2, samples: 8, ..AttributeConfig::default() };
        attribute(&model, &x, &config).unwrap()
    };
    let wide = |f: &dyn Fn(usize) -> f32| (0..64).map(|i| f64::from(f(i))).collect::<Vec<_>>();
    close(found(Method::Saliency).map.data(), &wide(&|i| w[i].abs()), "saliency");
    close(found(Method::SmoothGrad).map.data(), &wide(&|i| w[i].abs()), "smoothgrad");
    let shares = wide(&|i| w[i] * (x[i] - 0.25));
    let integrated = found(Method::IntegratedGradients);
    close(integrated.map.data(), &shares, "integrated gradients");
    let [sum, rise] = integrated.completeness.unwrap();
    assert!((sum - rise).abs() < 1e-5, "{sum} and {rise}");
    // A covered square takes the shares of its four pixels; a pixel has the mean of the squares that cover it.
    let mut want = vec![0.0; 64];
    let mut count = vec![0.0; 64];
    for (top, left) in (0..7).flat_map(|y| (0..7).map(move |x| (y, x))) {
        let square = [0, 1, 8, 9].map(|i| top * 8 + left + i);
        let fall: f64 = square.iter().map(|i| shares[*i]).sum();
        for i in square {
            want[i] += fall;
            count[i] += 1.0;
        }
    }
    let want: Vec<f64> = want.iter().zip(&count).map(|(w, n)| w / n).collect();
    close(found(Method::Occlusion).map.data(), &want, "occlusion");
}

fn trained() -> (Model, Vec<f32>, Image, u32) {
    let mnist = data::load("mnist").unwrap().first(2000, 50);
    let mut model = Sequential::new([28, 28, 1])
        .add(Conv2D::new(8, 5).activation(Activation::Relu))
        .add(Pool2D::max(2))
        .add(Conv2D::new(16, 3).activation(Activation::Relu))
        .add(Flatten::new())
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(0)
        .unwrap();
    let config = FitConfig { epochs: 3, ..FitConfig::default() };
    Fit::new(&*mnist.train, &config).run(&mut model).unwrap();
    let mut x = vec![0.0; 784];
    mnist.test.fill(3, &mut x).unwrap();
    (model, x, mnist.test.image(3).unwrap(), mnist.test.label(3))
}

#[test]
fn the_lie_detector_tells_a_map_that_matters_from_one_that_does_not() {
    let (model, x, image, label) = trained();
    for method in Method::ALL {
        let config = AttributeConfig { method, samples: 16, ..AttributeConfig::default() };
        let found = attribute(&model, &x, &config).unwrap();
        assert_eq!(found.class, label as usize);
        assert!(found.probability > 0.8, "{}", found.probability);
        let trust = examine(&model, &x, &found, &config).unwrap();
        assert_eq!(trust.randomised.iter().map(|r| r.layers).collect::<Vec<_>>(), [1, 2, 3]);
        let (d, i) = (&trust.deletion, &trust.insertion);
        // Both orders begin and end with the image and with nothing.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
        assert!(near(d.map[0], f64::from(found.probability)) && near(d.map[24], i.map[0]), "{method}");
        assert!(near(i.map[24], d.map[0]), "{method}");
        assert!(d.share.len() == 25 && d.moved.len() == 25);
        let picture = attribution_sheet(&found, &image, "0", Some(&trust)).unwrap();
        pictures::assert_sound(&picture);
        let words: Vec<&str> = picture.scene().texts().map(|t| t.content()).collect();
        for wanted in ["The same with fresh weights", "map over the image", method.measures(), "in the last layer"] {
            assert!(words.contains(&wanted), "{method}: {wanted} in {words:?}");
        }
        if method == Method::IntegratedGradients {
            assert!(trust.marks_what_matters(), "{:?}", trust.sentences());
            let [sum, rise] = found.completeness.unwrap();
            // Within the tolerance, or at the end of the room for more steps.
            assert!((sum - rise).abs() < 0.011 * rise.abs() || found.gradients > 61, "{sum} and {rise}");
            assert!((sum - rise).abs() < 0.02 * rise.abs(), "{sum} and {rise}");
            let fixed = AttributeConfig { tolerance: f32::INFINITY, ..config.clone() };
            let fixed = attribute(&model, &x, &fixed).unwrap();
            let gap = |of: &Attribution| of.completeness.map(|[sum, rise]| (sum - rise).abs()).unwrap();
            assert!(fixed.gradients == 16 && gap(&found) <= gap(&fixed), "{found:?} and {fixed:?}");
        }
    }
    // A map that marks a corner, where there is nothing.
    let mut corner = Tensor::zeros(&[28, 28]);
    (0..4).for_each(|i| (0..4).for_each(|j| corner[[i, j]] = 1.0));
    let config = AttributeConfig::default();
    let found = attribute(&model, &x, &config).unwrap();
    let wrong = Attribution { map: corner, ..found };
    let trust = examine(&model, &x, &wrong, &config).unwrap();
    assert!(!trust.marks_what_matters(), "{:?}", trust.sentences());
    assert!(trust.sentences().iter().any(|s| s.starts_with("warning: in one of the two orders")));
}

#[test]
fn the_same_map_whatever_the_weights_is_found_out() {
    // The map of a network without weights cannot change; here one whose only layer is a pool over a fixed network.
    let (model, _) = linear();
    let x = vec![0.5; 64];
    let config = AttributeConfig { method: Method::Saliency, ..AttributeConfig::default() };
    let found = attribute(&model, &x, &config).unwrap();
    let mut trust = examine(&model, &x, &found, &config).unwrap();
    assert!(trust.depends_on_weights(), "{:?}", trust.sentences());
    trust.randomised.iter_mut().for_each(|r| r.similarity = 0.93);
    assert!(!trust.depends_on_weights());
    assert!(trust.sentences().iter().any(|s| s.contains("show the image more than the network")));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (golden, model) = golden();
    let fails = |config: AttributeConfig| attribute(&model, &golden.x, &config).unwrap_err();
    let usual = AttributeConfig::default;
    let e = fails(AttributeConfig { class: Some(4), ..usual() });
    assert!(e.message().contains("no class 4") && e.help() == Some("classes are 0 to 3"), "{e}");
    let e = fails(AttributeConfig { layer: Some("frist".into()), ..usual() });
    assert_eq!(e.help(), Some("did you mean 'first'?"));
    let e = fails(AttributeConfig { layer: Some("end".into()), ..usual() });
    assert!(e.message().contains("has no rows and columns") && e.help().unwrap().contains("'relu'"), "{e}");
    let e = fails(AttributeConfig { baseline: vec![0.0; 2], ..usual() });
    assert!(e.message().contains("2 numbers for 3 channels"), "{e}");
    assert!(
        fails(AttributeConfig { method: Method::Occlusion, window: 13, ..usual() }).message().contains("13 pixels")
    );
    assert!(
        fails(AttributeConfig { method: Method::IntegratedGradients, samples: 0, ..usual() })
            .message()
            .contains("0 samples")
    );
    assert!(
        fails(AttributeConfig { method: Method::SmoothGrad, noise: f32::NAN, ..usual() }).message().contains("noise")
    );
    assert!("gradcam".parse::<Method>().unwrap_err().help().unwrap().contains("did you mean 'grad-cam'"));
    assert!(attribute(&model, &[0.0; 5], &usual()).unwrap_err().message().contains("5 values"));
    let smooth = Sequential::new([4, 4, 1])
        .add(Conv2D::new(2, 3).activation(Activation::Tanh))
        .add(Flatten::new())
        .build(0)
        .unwrap();
    let e = attribute(&smooth, &[0.5; 16], &AttributeConfig { method: Method::Guided, ..usual() }).unwrap_err();
    assert!(e.message().contains("no ReLU"), "{e}");
    let vector = Sequential::new([5]).add(Dense::new(2)).build(0).unwrap();
    assert!(attribute(&vector, &[0.5; 5], &usual()).unwrap_err().message().contains("is no image"));
    let mut bad = model.clone();
    bad.params_mut()[0].data[0] = f32::NAN;
    assert!(attribute(&bad, &golden.x, &usual()).unwrap_err().message().contains("no number"));
}
