//! The zoo against published numbers, and every network of it at work on a small input.

use striate::ops::{Concat, Conv2D, Op, Padding, Slice};
use striate::rng::Rng;
use striate::session::{Machine, Session};
use striate::train::{FitConfig, Trainer};
use striate::zoo::{self, Options, Recipe};
use striate::{Graph, Model, Tensor};

const BATCH: usize = 2;
const CLASSES: usize = 7;

/// Trainable parameters as their authors, torchvision or Keras publish them; see each network's file.
const PARAMETERS: &[(&str, usize)] = &[
    ("keras-mnist", 93_322),
    ("simple-convnet", 433_890),
    ("residual-mnist", 28_698 - 2 * 144),
    ("alexnet", 60_965_224),
    ("alexnet-ungrouped", 62_378_344),
    ("vgg-11", 132_863_336),
    ("vgg-13", 133_047_848),
    ("vgg-16", 138_357_544),
    ("vgg-19", 143_667_240),
    ("vgg-11-bn", 132_868_840),
    ("vgg-13-bn", 133_053_736),
    ("vgg-16-bn", 138_365_992),
    ("vgg-19-bn", 143_678_248),
    ("resnet-18", 11_689_512),
    ("resnet-34", 21_797_672),
    ("resnet-50", 25_557_032),
    ("resnet-101", 44_549_160),
    ("resnet-152", 60_192_808),
    ("plain-34", 21_797_672 - SHORTCUTS),
    ("squeezenet-1.0", 1_248_424),
    ("squeezenet-1.1", 1_235_496),
    ("mobilenet-v1", 4_231_976),
    ("mobilenet-v2", 3_504_872),
    ("mobilenet-v3-small", 2_542_856),
    ("mobilenet-v3-large", 5_483_032),
    ("densenet-121", 7_978_856),
    ("efficientnet-b0", 5_288_548),
    ("efficientnet-lite0", 4_652_008),
    // With the auxiliary heads.
    ("googlenet", 13_378_280),
    ("googlenet-bn", 13_004_888),
    ("inception-v3", 27_161_264),
    ("convnext-tiny", 28_589_128),
    // 60,000, and the 840 of the outputs, which the paper does not train.
    ("lenet-5", 60_000 + 840),
    ("lenet", 61_706),
];

// The three 1x1 convolutions of ResNet-34's shortcuts, with their normalisations.
const SHORTCUTS: usize = (64 * 128 + 2 * 128) + (128 * 256 + 2 * 256) + (256 * 512 + 2 * 512);

fn count(graph: &Graph, trainable: bool) -> usize {
    let specs = graph.nodes().iter().flat_map(|n| graph.params(n));
    specs.filter(|p| p.trainable == trainable).map(|p| p.len()).sum()
}

#[test]
fn heads_are_left_out_of_what_predicts() {
    for (name, aux, main) in [
        ("googlenet", "loss", 6_998_552),
        ("googlenet-bn", "aux", 6_624_904),
        ("inception-v3", "AuxLogits", 23_834_568),
    ] {
        let graph = zoo::recipe(name).unwrap().graph;
        let is_main = |name: &str| !name.starts_with(aux) || name.starts_with("loss3");
        let nodes = graph.nodes().iter().filter(|n| is_main(&n.name)).flat_map(|n| graph.params(n));
        assert_eq!(nodes.filter(|p| p.trainable).map(|p| p.len()).sum::<usize>(), main, "{name}");
        assert_eq!(graph.heads().len(), if name == "inception-v3" { 1 } else { 2 });
        assert!(is_main(&graph.node(graph.output().unwrap()).name), "{name}");
    }
}

#[test]
fn parameters_are_the_published_ones() {
    let mut left: Vec<(&str, usize)> = PARAMETERS.to_vec();
    for entry in zoo::entries() {
        let at = left.iter().position(|(name, _)| *name == entry.name).unwrap_or_else(|| panic!("{}", entry.name));
        let (_, expect) = left.remove(at);
        let found = count(&zoo::recipe(entry.name).unwrap().graph, true);
        assert_eq!(found, expect, "{}", entry.name);
    }
}

/// Billions of multiply-adds in convolutions and dense layers, from the same tables. Strides and padding, which the
/// number of parameters does not see, show here.
const BILLIONS: &[(&str, f64)] = &[
    ("vgg-11", 7.61),
    ("vgg-13", 11.31),
    ("vgg-16", 15.47),
    ("vgg-19", 19.63),
    ("vgg-16-bn", 15.47),
    ("resnet-18", 1.81),
    ("resnet-34", 3.66),
    ("resnet-50", 4.09),
    ("resnet-101", 7.80),
    ("resnet-152", 11.51),
    ("squeezenet-1.0", 0.82),
    ("squeezenet-1.1", 0.35),
    ("mobilenet-v1", 0.57),
    ("mobilenet-v2", 0.30),
    ("mobilenet-v3-small", 0.06),
    ("mobilenet-v3-large", 0.22),
    ("densenet-121", 2.83),
    ("efficientnet-b0", 0.39),
    ("inception-v3", 5.71),
    ("convnext-tiny", 4.46),
];

#[test]
fn multiply_adds_are_the_published_ones() {
    for (name, expect) in BILLIONS.iter().copied() {
        let graph = zoo::recipe(name).unwrap().graph;
        let counts = |op: &Op| matches!(op, Op::Conv2D(_) | Op::Dense(_));
        let main = graph.nodes().iter().filter(|n| counts(&n.op) && !n.name.starts_with("AuxLogits"));
        let found: u64 = main.map(|n| n.op.rule().mul_adds(&graph.input_shapes(n), n.shape)).sum();
        let found = found as f64 / 1e9;
        assert!((found - expect).abs() < 0.0075 + 0.005 * expect, "{name}: {found}, published {expect}");
    }
}

// The smallest input that is worth a test: 32x32, or what the network needs.
fn small(name: &str) -> Recipe {
    let entry = zoo::entry(name).unwrap();
    let channels = entry.input[2];
    let build = |side: usize| entry.build(&Options { input: Some([side, side, channels]), classes: Some(CLASSES) });
    (32..300).find_map(|side| build(side).ok()).unwrap()
}

fn random(len: usize) -> Vec<f32> {
    let mut rng = Rng::new(9);
    (0..len).map(|_| rng.normal() as f32).collect()
}

fn machine(threads: usize) -> Machine {
    Machine { threads, ..Machine::default() }
}

// Forward, a training step, save and load, TOML; on one and two threads.
fn at_work(name: &str) {
    let recipe = small(name);
    survives_toml(name, &recipe);
    let model = Model::new(recipe.graph, 5).unwrap();
    let x = random(BATCH * model.graph().input_shape().unwrap().len());
    let y = predicted(name, &model, &x, 1);
    assert!(y == predicted(name, &model, &x, 2), "{name}: another prediction on two threads");
    let (loss, digest) = step(&model, &x, &recipe.train, 1);
    assert!(loss.is_finite() && loss > 0.0, "{name}: a loss of {loss}");
    assert_eq!(step(&model, &x, &recipe.train, 2).1, digest, "{name}: other weights on two threads");
    survives_a_file(name, model);
}

fn survives_toml(name: &str, recipe: &Recipe) {
    let again = Recipe::from_toml(&recipe.to_toml().unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(again.train, recipe.train, "{name}");
    assert_eq!(again.graph.to_document().unwrap(), recipe.graph.to_document().unwrap(), "{name}");
}

fn predicted(name: &str, model: &Model, x: &[f32], threads: usize) -> Vec<f32> {
    let mut session = Session::new(model, machine(threads)).unwrap();
    session.infer(x, BATCH).unwrap();
    let y = session.output().to_vec();
    assert_eq!(y.len(), BATCH * CLASSES, "{name}");
    for row in y.chunks(CLASSES) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{name}: {row:?}");
    }
    y
}

fn step(model: &Model, x: &[f32], settings: &FitConfig, threads: usize) -> (f64, String) {
    let config = FitConfig { batch_size: BATCH, ..settings.clone() };
    let mut trainer = Trainer::new(model, config, machine(threads)).unwrap();
    let before = trainer.session().weights(0).to_vec();
    let loss = trainer.step(x, &[1, 4], 1.0).unwrap().loss;
    trainer.check_weights().unwrap();
    assert!(*trainer.session().weights(0) != *before, "{}: nothing was learned", model.graph().name());
    (loss, trainer.digest())
}

fn survives_a_file(name: &str, mut model: Model) {
    let path = std::env::temp_dir().join(format!("striate-zoo-{name}-{}.striate", std::process::id()));
    model.keep_golden(&[random(model.graph().input_shape().unwrap().len())]).unwrap();
    model.save(&path).unwrap();
    let (back, warning) = Model::load_checked(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(warning, None, "{name}");
    assert!(back.params() == model.params(), "{name}: other weights");
    assert_eq!(back.graph().to_document().unwrap(), model.graph().to_document().unwrap(), "{name}");
}

fn family_at_work(families: &[&str]) {
    let names: Vec<&str> = zoo::entries().iter().filter(|e| families.contains(&e.family)).map(|e| e.name).collect();
    assert!(names.len() >= families.len());
    names.into_iter().for_each(at_work);
}

#[test]
fn small_and_mobile_networks_at_work() {
    let names = ["Small networks for MNIST", "LeNet", "SqueezeNet", "MobileNet", "EfficientNet", "DenseNet"];
    family_at_work(&names);
}

#[test]
fn alexnet_and_vgg_at_work() {
    family_at_work(&["AlexNet", "VGG"]);
}

#[test]
fn resnet_at_work() {
    family_at_work(&["ResNet"]);
}

#[test]
fn inception_and_convnext_at_work() {
    family_at_work(&["Inception", "ConvNeXt"]);
}

// A convolution of one graph with given weights, run on one sample.
fn run(graph: Graph, weights: &[(String, Vec<f32>)], x: &[f32]) -> Vec<f32> {
    let mut model = Model::new(graph, 0).unwrap();
    for (name, data) in weights {
        let dims = model.params().iter().find(|p| p.name == *name).unwrap().dims.clone();
        model.set_param(name, &Tensor::new(&dims, data.clone()).unwrap()).unwrap();
    }
    // One algorithm, so that the whole and its halves sum alike.
    let machine = Machine { algorithm: Some("direct".into()), ..Machine::default() };
    let mut session = Session::new(&model, machine).unwrap();
    session.infer(x, 1).unwrap();
    session.output().to_vec()
}

// Half of the output channels of a kernel or bias, which are its last axis.
fn half(data: &[f32], channels: usize, which: usize) -> Vec<f32> {
    data.chunks(channels).flat_map(|row| row[which * channels / 2..][..channels / 2].to_vec()).collect()
}

/// E24: AlexNet on two devices. Each grouped convolution equals its halves, run apart and joined, to the bit.
#[test]
fn e24_a_grouped_convolution_is_two_halves_run_apart() {
    let model = Model::new(zoo::recipe("alexnet").unwrap().graph, 3).unwrap();
    let graph = model.graph();
    for layer in ["conv2", "conv4", "conv5"] {
        let node = graph.node(graph.value(layer).unwrap());
        let Op::Conv2D(op) = &node.op else { panic!("{layer} is no convolution") };
        assert_eq!(op.groups, 2);
        let shape = graph.input_shapes(node)[0];
        let x = random(shape.len());
        let weights = |part: &str| model.params().iter().find(|p| p.name == format!("{layer}/{part}")).unwrap();
        let whole: Vec<_> = ["kernel", "bias"].map(|p| (format!("whole/{p}"), weights(p).data.to_vec())).into();
        let mut g = Graph::new("whole");
        let input = g.input(shape).unwrap();
        g.add_named("whole", op.clone(), &[input]).unwrap();
        let expect = run(g, &whole, &x);
        let mut g = Graph::new("apart");
        let input = g.input(shape).unwrap();
        let (c, mut ends, mut apart) = (shape.channels(), Vec::new(), Vec::new());
        for i in 0..2 {
            let part = g.add(Slice::channels(i * c / 2, (i + 1) * c / 2), &[input]).unwrap();
            let device = Conv2D { filters: op.filters / 2, groups: 1, ..op.clone() };
            ends.push(g.add_named(format!("device{i}"), device, &[part]).unwrap());
            let both = ["kernel", "bias"].map(|p| (format!("device{i}/{p}"), half(&weights(p).data, op.filters, i)));
            apart.extend(both);
        }
        g.add(Concat::new(), &ends).unwrap();
        assert!(run(g, &apart, &x) == expect, "{layer}: the halves differ from the whole");
        assert_eq!(op.padding, Padding::all(op.kernel[0] / 2));
    }
}

/// The plain twin of ResNet-34 has the same layers but for the shortcuts.
#[test]
fn plain_34_is_resnet_34_without_shortcuts() {
    let specs = |name: &str| {
        let graph = zoo::recipe(name).unwrap().graph;
        let of = |n: &striate::Node| {
            graph.params(n).into_iter().map(|p| format!("{}/{} {:?}", n.name, p.name, p.dims)).collect::<Vec<_>>()
        };
        graph.nodes().iter().flat_map(of).collect::<Vec<String>>()
    };
    let residual: Vec<String> = specs("resnet-34").into_iter().filter(|p| !p.contains("downsample")).collect();
    assert_eq!(specs("plain-34"), residual);
    let adds = |name: &str| {
        let graph = zoo::recipe(name).unwrap().graph;
        graph.nodes().iter().filter(|n| matches!(n.op, Op::Add(_))).count()
    };
    assert_eq!((adds("resnet-34"), adds("plain-34")), (16, 0));
}

#[test]
fn names_of_published_weights() {
    let names = |model: &str| -> Vec<String> {
        let graph = zoo::recipe(model).unwrap().graph;
        graph.nodes().iter().filter(|n| !graph.params(n).is_empty()).map(|n| n.name.clone()).collect()
    };
    for (model, expect) in [
        ("vgg-16", "features.28"),
        ("vgg-16-bn", "features.41"),
        ("vgg-19", "classifier.6"),
        ("resnet-18", "layer2.0.downsample.1"),
        ("resnet-50", "layer1.0.conv3"),
        ("squeezenet-1.1", "features.12.expand3x3"),
        ("mobilenet-v2", "features.17.conv.1.1"),
        ("mobilenet-v2", "features.18.0"),
        ("mobilenet-v3-large", "features.4.block.2.fc1"),
        ("mobilenet-v3-small", "features.12.0"),
        ("densenet-121", "features.denseblock4.denselayer16.conv2"),
        ("densenet-121", "features.transition3.norm"),
        ("efficientnet-b0", "features.1.0.block.1.fc1"),
        ("efficientnet-b0", "features.7.0.block.3.1"),
        ("efficientnet-lite0", "_blocks.15._project_conv"),
        ("inception-v3", "Mixed_7c.branch3x3dbl_3b.conv"),
        ("inception-v3", "AuxLogits.fc"),
        ("googlenet-bn", "inception5b.branch4.1.bn"),
        ("googlenet-bn", "aux2.fc1"),
        ("convnext-tiny", "features.7.2.block.5"),
        ("convnext-tiny", "features.6.1"),
    ] {
        assert!(names(model).iter().any(|n| n == expect), "{model} has no {expect}: {:?}", names(model));
    }
}

#[test]
fn an_input_that_is_too_small_is_explained() {
    for (name, side) in [("alexnet", 20), ("inception-v3", 100), ("squeezenet-1.1", 9), ("lenet", 0)] {
        let channels = zoo::entry(name).unwrap().input[2];
        let options = Options { input: Some([side, side, channels]), ..Options::default() };
        let error = zoo::build(name, &options).unwrap_err();
        let text = error.to_string();
        let smallest = text.split("input that fits is ").nth(1).unwrap_or_else(|| panic!("{text}"));
        let smallest: usize = smallest.split('x').next().unwrap().parse().unwrap();
        let fits = |side| zoo::build(name, &Options { input: Some([side, side, channels]), ..options }).is_ok();
        assert!(fits(smallest) && !fits(smallest - 1), "{text}");
        assert!(text.contains(name) && (side == 0 || text.contains("layer '")), "{text}");
    }
    let none = Options { classes: Some(0), ..Options::default() };
    assert!(zoo::build("resnet-18", &none).unwrap_err().to_string().contains("0 classes"));
    assert!(zoo::build("resnet18", &Options::default()).unwrap_err().to_string().contains("did you mean 'resnet-18'"));
}

#[test]
fn photos_become_inputs_as_the_published_weights_want_them() {
    let pixel = |name: &str, size: [usize; 3], byte: u8| {
        let recipe = zoo::entry(name).unwrap().preprocess(size).unwrap();
        let image = striate::data::Image::new([4, 4, size[2]], vec![byte; 16 * size[2]]).unwrap();
        recipe.apply(&image).unwrap()[0]
    };
    assert_eq!(pixel("efficientnet-lite0", [2, 2, 3], 255), 1.0);
    assert_eq!(pixel("efficientnet-lite0", [2, 2, 3], 127), 0.0);
    assert_eq!(pixel("mobilenet-v1", [2, 2, 3], 0), -1.0);
    assert!((pixel("resnet-50", [2, 2, 3], 255) - (1.0 - 0.485) / 0.229).abs() < 1e-6);
    assert!((pixel("resnet-50", [2, 2, 1], 0) + 0.449 / 0.226).abs() < 1e-6);
    assert!(zoo::preprocess("keras-mnist").is_none() && zoo::preprocess("nothing").is_none());
    assert_eq!(zoo::preprocess("inception-v3").unwrap().dims(), [299, 299, 3]);
}

#[test]
fn imagenet_has_a_thousand_names() {
    let labels = zoo::imagenet_labels();
    assert_eq!(labels.len(), 1000);
    assert!(labels.iter().all(|name| !name.trim().is_empty()));
    for (i, name) in [(282, "tiger cat"), (698, "palace"), (872, "tripod"), (967, "espresso"), (985, "daisy")] {
        assert_eq!(labels[i], name);
    }
}
