//! ONNX files: small ones of other exporters against onnxruntime (`golden/onnx`), networks of ours there and back, and
//! files that are not believed.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value as Json;
use striate::data::Preprocess;
use striate::format::onnx::{Export, Import, read, read_with, write};
use striate::ops::{
    Activation, AdaptivePool2D, Add, Affine, BatchNorm, Concat, Conv1D, Conv2D, ConvTranspose2D, Dense, Dropout,
    Flatten, GlobalPool, GroupNorm, LayerNorm, Lrn, Merge, MergeKind, Op, PRelu, Pad2D, PadMode, Padding, Permute,
    Pool1D, Pool2D, Reshape, SeparableConv2D, Slice, StochasticDepth, Upsample2D, ZeroPad,
};
use striate::rng::Rng;
use striate::{Graph, Model, Sequential, Shape, Tensor};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/onnx").join(name)
}

fn tensor(json: &Json) -> Tensor {
    let dims: Vec<usize> = serde_json::from_value(json["dims"].clone()).unwrap();
    Tensor::new(&dims, serde_json::from_value(json["data"].clone()).unwrap()).unwrap()
}

// From ONNX's [n, c, ..] to our [n, .., c].
fn channels_last(x: &Tensor) -> Tensor {
    let order: Vec<usize> = [0].into_iter().chain(2..x.dims().len()).chain([1]).collect();
    x.permute(&order).unwrap()
}

fn cases() -> Vec<(String, Vec<u8>, Tensor, Tensor)> {
    let Json::Object(cases) = serde_json::from_slice(&std::fs::read(golden("cases.json")).unwrap()).unwrap() else {
        panic!("not a table")
    };
    let file = |name: &str| std::fs::read(golden(&format!("{name}.onnx"))).unwrap();
    cases.into_iter().map(|(name, case)| (name.clone(), file(&name), tensor(&case["x"]), tensor(&case["y"]))).collect()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-3_f32, |m, v| m.max(v.abs()));
    assert!(a.iter().all(|v| v.is_finite()));
    a.iter().zip(b).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

#[test]
fn files_of_other_exporters_give_what_onnxruntime_gives() {
    for (name, bytes, x, y) in cases() {
        let model = read(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (x, y) = match name.as_str() {
            "keras_channels_last" => (x, y),
            _ => (channels_last(&x), channels_last(&y)),
        };
        let found = model.predict(&x).unwrap();
        assert_eq!(found.dims(), y.dims(), "{name}");
        // Sums of at most 120 terms, a few layers deep, f32 on both sides.
        assert!(worst(found.data(), y.data()) < 5e-6, "{name}: {:e}", worst(found.data(), y.data()));
        let again = read(&write(&model, &Export::default()).unwrap()).unwrap();
        assert!(worst(again.predict(&x).unwrap().data(), found.data()) < 1e-6, "{name}");
    }
}

#[test]
fn layouts_cost_nothing_where_words_are_enough() {
    for (name, bytes, ..) in cases() {
        let model = read(&bytes).unwrap();
        let moves = model.graph().nodes().iter().filter(|n| matches!(n.op, Op::Permute(_))).count();
        // Only the shuffle of channels moves numbers.
        assert_eq!(moves, usize::from(name == "shuffle"), "{name}");
    }
}

#[test]
fn layers_have_the_names_of_the_file() {
    let (_, bytes, ..) = cases().into_iter().find(|case| case.0 == "dynamic_flatten").unwrap();
    let names: Vec<String> = read(&bytes).unwrap().graph().nodes().iter().map(|n| n.name.clone()).collect();
    assert_eq!(names, ["input_layer", "features.0", "features.1", "flatten", "classifier"]);
}

// Weights that are all different, statistics that are not trivial.
fn filled(graph: Graph) -> Model {
    let mut model = Model::new(graph, 3).unwrap();
    let mut rng = Rng::new(9);
    for param in model.params_mut() {
        let positive = param.name.ends_with("variance") || param.name.ends_with("gamma");
        param.data.iter_mut().for_each(|w| *w = if positive { 0.5 + rng.uniform() } else { rng.uniform() - 0.5 });
    }
    model
}

fn samples(shape: Shape, n: usize) -> Tensor {
    let mut rng = Rng::new(4);
    let dims: Vec<usize> = [n].into_iter().chain(shape.dims().iter().copied()).collect();
    let data = (0..n * shape.len()).map(|_| 2.0 * rng.uniform() - 1.0).collect();
    Tensor::new(&dims, data).unwrap()
}

// The largest difference of a network's output from that of its file, in the operator sets that can say it.
fn there_and_back(graph: Graph, opsets: &[i64]) -> f32 {
    let model = filled(graph);
    let x = samples(model.graph().input_shape().unwrap(), 2);
    let y = model.predict(&x).unwrap();
    let mut all = 0.0_f32;
    for opset in opsets {
        let bytes = write(&model, &Export { opset: *opset }).unwrap();
        assert_eq!(bytes, write(&model, &Export { opset: *opset }).unwrap());
        let back = read(&bytes).unwrap_or_else(|e| panic!("opset {opset}: {e}"));
        let found = back.predict(&x).unwrap();
        assert_eq!(found.dims(), y.dims());
        all = all.max(worst(found.data(), y.data()));
    }
    all
}

fn chain(input: impl Into<Shape>, ops: Vec<Op>) -> Graph {
    let mut graph = Graph::new("chain");
    let mut value = graph.input(input).unwrap();
    for op in ops {
        value = graph.add(op, &[value]).unwrap();
    }
    graph
}

const ALL: [i64; 5] = [13, 17, 19, 21, 22];

#[test]
fn each_layer_goes_there_and_back() {
    let sides = Padding::Explicit { top: 1, bottom: 0, left: 2, right: 1 };
    let bordered = Conv2D { pad_value: 0.5, ..Conv2D::new(4, 3).padding(Padding::Same) };
    let images: Vec<Op> = vec![
        Conv2D::new(4, 3).padding(Padding::Same).stride(2).activation(Activation::Relu).into(),
        Conv2D::new(6, [3, 2]).padding(sides).groups(2).dilation([2, 1]).no_bias().into(),
        bordered.into(),
        ConvTranspose2D::new(4, 3).stride(2).padding(Padding::Same).into(),
        ConvTranspose2D::new(4, [3, 2]).stride([2, 1]).groups(2).padding(Padding::all(1)).output_padding([1, 0]).into(),
        SeparableConv2D::new(5, 3).multiplier(2).padding(Padding::Same).into(),
        Pool2D::max(3).stride(2).padding(Padding::Same).into(),
        Pool2D::average(3).stride(2).padding(Padding::Same).into(),
        Pool2D::average(3).stride(2).padding(Padding::all(1)).count_padding(true).ceil(true).into(),
        Pool2D::min(2).into(),
        AdaptivePool2D::average([3, 2]).into(),
        GlobalPool::average().into(),
        GlobalPool::max().keep_dims(true).into(),
        BatchNorm::default().into(),
        GroupNorm::new(2).into(),
        GroupNorm::new(4).into(),
        Lrn::new(3).into(),
        Affine::new().into(),
        PRelu::channel().into(),
        PRelu::one().into(),
        PRelu::element().into(),
        Dropout::new(0.5).into(),
        StochasticDepth::new(0.5).into(),
        Flatten::new().into(),
        Reshape::new(&[3, -1]).into(),
        Permute::new(&[2, 0, 1]).into(),
        Slice::channels(1, 3).into(),
        Slice::new(0, 1, 4).into(),
        ZeroPad::all(2).into(),
        Pad2D::new([1, 2, 0, 1]).mode(PadMode::Reflect).into(),
        Pad2D::new([1, 2, 0, 1]).mode(PadMode::Constant(0.5)).into(),
        Upsample2D::nearest(2).into(),
        Upsample2D::bilinear([2, 3]).into(),
        Upsample2D::bilinear(1).to([9, 7]).align_corners(true).into(),
    ];
    for op in images {
        let name = format!("{op:?}");
        let difference = there_and_back(chain([6, 4, 4], vec![op]), &ALL);
        assert!(difference < 1e-6, "{name}: {difference:e}");
    }
    for op in [Op::from(Conv1D::new(3, 5).stride(2).padding(Padding::Same)), Pool1D::max(3).stride(2).into()] {
        assert!(there_and_back(chain([20, 4], vec![op]), &ALL) < 1e-6);
    }
    let norm: Op = LayerNorm::over(2).into();
    assert!(there_and_back(chain([6, 4, 4], vec![norm, Conv2D::new(3, 3).into()]), &ALL[1..]) < 1e-6);
}

#[test]
fn each_activation_goes_there_and_back() {
    for function in Activation::ALL {
        let conv = Conv2D::new(4, 3).activation(function);
        let difference = there_and_back(chain([6, 4, 4], vec![conv.into(), Conv2D::new(2, 1).into()]), &ALL);
        assert!(difference < 2e-6, "{function}: {difference:e}");
        assert!(there_and_back(chain([7], vec![function.into(), Dense::new(3).into()]), &ALL) < 2e-6, "{function}");
    }
}

// A flattened image before a dense layer needs no permutation, on either side.
#[test]
fn flattening_is_folded_into_the_dense_layer() {
    let ops: Vec<Op> = vec![
        Conv2D::new(4, 3).into(),
        Flatten::new().into(),
        Activation::Relu.into(),
        Dropout::new(0.1).into(),
        Dense::new(5).activation(Activation::Softmax).into(),
    ];
    let model = filled(chain([6, 5, 3], ops));
    let back = read(&write(&model, &Export::default()).unwrap()).unwrap();
    let x = samples([6, 5, 3].into(), 2);
    assert_eq!(back.predict(&x).unwrap(), model.predict(&x).unwrap());
    assert!(back.graph().nodes().iter().all(|n| !matches!(n.op, Op::Permute(_))));
    let names: Vec<&str> = back.graph().nodes().iter().map(|n| n.name.as_str()).collect();
    assert!(names.starts_with(&["input_layer", "conv2d"]), "{names:?}");
}

#[test]
fn branches_with_repeated_axes_go_there_and_back() {
    for kind in [MergeKind::Multiply, MergeKind::Subtract, MergeKind::Maximum, MergeKind::Minimum, MergeKind::Average] {
        let mut g = Graph::new("squeeze_excite");
        let x = g.input([6, 5, 4]).unwrap();
        let a = g.add(Conv2D::new(4, 3).padding(Padding::Same), &[x]).unwrap();
        let s = g.add(GlobalPool::average().keep_dims(true), &[a]).unwrap();
        let s = g.add(Conv2D::new(4, 1).activation(Activation::Sigmoid), &[s]).unwrap();
        let m = g.add(Merge::new(kind), &[a, s]).unwrap();
        let sum = g.add(Add::new(), &[m, x, a]).unwrap();
        let c = g.add(Concat::new(), &[sum, a]).unwrap();
        g.add(Conv2D::new(2, 1), &[c]).unwrap();
        assert!(there_and_back(g, &ALL) < 1e-6, "{kind:?}");
    }
}

// A network with one of everything that an operator set may say in another way.
fn exhibit() -> Graph {
    let mut g = Graph::new("exhibit");
    let x = g.input([9, 8, 3]).unwrap();
    let c = Conv2D::new(8, 3).padding(Padding::Same).stride(2).activation(Activation::HardSwish);
    let c = g.add(c, &[x]).unwrap();
    let c = g.add(BatchNorm::default(), &[c]).unwrap();
    let s = g.add(GlobalPool::average().keep_dims(true), &[c]).unwrap();
    let s = g.add(Conv2D::new(8, 1).activation(Activation::HardSigmoid), &[s]).unwrap();
    let mut v = g.add(Merge::multiply(), &[c, s]).unwrap();
    let rest: Vec<Op> = vec![
        GroupNorm::new(2).into(),
        PRelu::channel().into(),
        Pad2D::new([1, 0, 0, 1]).mode(PadMode::Reflect).into(),
        Pool2D::average(3).stride(2).padding(Padding::Same).into(),
        Conv2D::new(6, 1).activation(Activation::Gelu).into(),
        ConvTranspose2D::new(4, 3).stride(2).padding(Padding::Same).activation(Activation::Mish).into(),
        Lrn::new(3).into(),
        Upsample2D::bilinear(2).into(),
        SeparableConv2D::new(5, 3).activation(Activation::Relu6).into(),
        Permute::new(&[1, 0, 2]).into(),
        Slice::new(0, 1, 5).into(),
        Flatten::new().into(),
        Affine::new().into(),
        Dense::new(6).activation(Activation::GeluTanh).into(),
        Dense::new(4).activation(Activation::Softmax).into(),
    ];
    for op in rest {
        v = g.add(op, &[v]).unwrap();
    }
    g
}

fn numbers(x: &Tensor) -> Json {
    serde_json::json!({ "dims": x.dims(), "data": x.data() })
}

// The committed files were checked by onnx.checker and onnxruntime (`check_export.py`). What is written now must be the
// same; with STRIATE_PYTHON set, it is written anew and checked again.
#[test]
fn what_is_written_is_what_onnxruntime_has_checked() {
    let model = filled(exhibit());
    let x = samples([9, 8, 3].into(), 2);
    let y = model.predict(&x).unwrap();
    let folder = golden("exported");
    let python = std::env::var_os("STRIATE_PYTHON");
    for opset in [13, 17, 18, 20, 21, 22] {
        let bytes = write(&model, &Export { opset }).unwrap();
        let path = folder.join(format!("opset{opset}.onnx"));
        if python.is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            let case = serde_json::json!({ "x": numbers(&x.permute(&[0, 3, 1, 2]).unwrap()), "y": numbers(&y) });
            std::fs::write(path.with_extension("json"), case.to_string() + "\n").unwrap();
        }
        assert!(
            std::fs::read(&path).unwrap() == bytes,
            "{} is not what is written now: run this test with STRIATE_PYTHON set to a Python with onnxruntime",
            path.display()
        );
    }
    let Some(python) = python else { return };
    let output = std::process::Command::new(python).arg(golden("check_export.py")).arg(&folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn labels_and_preprocessing_travel_in_the_metadata() {
    let mut model = Sequential::new([8, 8, 3]).add(Flatten::new()).add(Dense::new(2)).build(0).unwrap();
    model.labels = vec!["cat".into(), "dog \"2\"".into()];
    model.preprocess = Some(Preprocess::new([8, 8, 3]).unwrap().mean_std(&[0.5; 3], &[0.25; 3]).unwrap());
    let back = read(&write(&model, &Export::default()).unwrap()).unwrap();
    assert_eq!((back.labels, back.preprocess), (model.labels, model.preprocess));
}

#[test]
fn what_cannot_be_said_is_named_with_the_remedy() {
    let refused =
        |ops: Vec<Op>, opset: i64| write(&filled(chain([6, 5, 4], ops)), &Export { opset }).unwrap_err().to_string();
    let e = refused(vec![AdaptivePool2D::average(4).into()], 17);
    assert!(e.starts_with("layer 'adaptive_average_pooling2d") && e.contains("a multiple"), "{e}");
    let e = refused(vec![LayerNorm::over(1).into()], 16);
    assert!(e.contains("needs operator set 17"), "{e}");
    let e = refused(vec![ZeroPad::all(1).into()], 12);
    assert!(e.contains("operator set 12 is not written"), "{e}");
}

#[test]
fn an_output_and_open_sizes_are_asked_for() {
    let (_, bytes, x, _) = cases().into_iter().find(|case| case.0 == "sequence").unwrap();
    let wanted = Import { output: Some("z".into()), ..Import::default() };
    let e = read_with(&bytes, &wanted).unwrap_err().to_string();
    assert!(e.contains("unknown output 'z'"), "{e}");
    let longer = Import { input: Some(vec![2, 3, 48]), ..Import::default() };
    let model = read_with(&bytes, &longer).unwrap();
    assert_eq!((model.graph().input_shape().unwrap().dims(), x.dims()), (&[48, 3][..], &[2, 3, 24][..]));
}

#[test]
fn a_file_that_is_cut_off_or_changed_never_panics() {
    for (name, bytes, ..) in cases() {
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err() || len > bytes.len() - 200, "{name}: {len} bytes are no file");
        }
        let mut rng = Rng::new(1);
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + rng.uniform().mul_add(3.0, 0.0) as usize {
                let at = (rng.uniform() * bytes.len() as f32) as usize;
                damaged[at.min(bytes.len() - 1)] = (rng.uniform() * 256.0) as u8;
            }
            // It may still be a network; it must not take more than its share.
            if let Ok(model) = read(&damaged) {
                let (weights, others) = model.count_params();
                assert!(weights + others <= 4 * bytes.len() + (1 << 24), "{name}");
            }
        }
    }
}

fn any_layer() -> impl Strategy<Value = Op> {
    let activation = proptest::sample::select(&Activation::ALL[..]);
    prop_oneof![
        (1..5_usize, 1..4_usize, 1..3_usize, activation.clone()).prop_map(|(f, k, s, a)| Conv2D::new(f * 2, k)
            .stride(s)
            .padding(Padding::Same)
            .activation(a)
            .into()),
        (1..4_usize, 1..3_usize).prop_map(|(k, s)| Pool2D::max(k).stride(s).padding(Padding::Same).into()),
        (1..4_usize, 1..3_usize).prop_map(|(k, s)| Pool2D::average(k).stride(s).padding(Padding::Same).into()),
        Just(BatchNorm::default().into()),
        Just(Affine::new().into()),
        Just(Permute::new(&[1, 0, 2]).into()),
        Just(Permute::new(&[2, 0, 1]).into()),
        Just(Dropout::new(0.3).into()),
        (0..3_usize).prop_map(|p| ZeroPad::all(p).into()),
        activation.prop_map(Op::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_networks_go_there_and_back(
        h in 3..8_usize, w in 3..8_usize, c in 1..4_usize,
        ops in proptest::collection::vec(any_layer(), 1..6),
        ending in 0..4_usize,
    ) {
        let mut ops = ops;
        match ending {
            0 => {}
            1 => ops.push(GlobalPool::average().into()),
            2 => ops.extend([Op::from(Flatten::new()), Dense::new(3).into()]),
            _ => ops.extend([Op::from(Flatten::new()), Activation::Tanh.into(), Dense::new(4).into()]),
        }
        let difference = there_and_back(chain([h, w, c], ops), &[13, 17, 22]);
        // Exponentials in a row make the numbers, and so their errors, large.
        prop_assert!(difference < 2e-5, "{difference:e}");
    }
}
