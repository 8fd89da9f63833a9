//! Keras files: those of Keras 1, 2 and 3 predict what Keras predicts, what is written is read again with the same
//! bits, and damaged files end in errors.
//!
//! The files in `golden/keras` come from `make.py` there. Tolerance: Keras and striate sum the same f32 products in
//! another order. A sum of `n` terms differs by at most some `n` roundings of 6e-8; the longest here has 216 terms, and
//! rounding errors mostly cancel: 1e-5 of the largest output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use striate::format::keras::{self, Kind};
use striate::ops::{
    Activation, AdaptivePool2D, Add, Affine, BatchNorm, Concat, Conv1D, Conv2D, ConvTranspose2D, Dense, Dropout,
    Flatten, GlobalPool, GroupNorm, LayerNorm, Lrn, Merge, Op, PRelu, Padding, Permute, Pool1D, Pool2D, Reshape,
    SeparableConv2D, Slice, Upsample2D, ZeroPad,
};
use striate::{Graph, Model, Sequential, Tensor};

const KINDS: [(Kind, &str); 3] = [(Kind::Keras, "keras"), (Kind::H5, "h5"), (Kind::WeightsH5, "weights.h5")];

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/keras").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn tensor(json: &Json) -> Tensor {
    let dims: Vec<usize> = serde_json::from_value(json["shape"].clone()).unwrap();
    Tensor::new(&dims, serde_json::from_value(json["data"].clone()).unwrap()).unwrap()
}

fn assert_predicts(model: &Model, expected: &str) {
    let all: Json = serde_json::from_slice(&golden("expected.json")).unwrap();
    let (x, y) = (tensor(&all[expected]["x"]), tensor(&all[expected]["y"]));
    let got = model.predict(&x).unwrap();
    assert_eq!(got.dims(), y.dims());
    let largest = y.data().iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let difference = got.data().iter().zip(y.data()).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(difference <= 1e-5 * largest, "{expected}: {difference} of {largest}");
}

#[test]
fn files_of_all_versions_predict_what_keras_predicts() {
    for (file, expected) in [
        ("sequential.keras", "sequential"),
        ("functional.keras", "functional"),
        ("functional.h5", "functional"),
        ("keras2.h5", "keras2"),
        ("keras1.h5", "keras1"),
    ] {
        let model = keras::read(&golden(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_predicts(&model, expected);
    }
}

#[test]
fn weights_alone_go_into_a_network() {
    let sequence = Sequential::new([12, 3])
        .add(Conv1D::new(4, 3).padding(explicit(0, 0, 4, 0)).dilation(2).activation(Activation::Elu(1.0)))
        .add(Pool1D::max(2))
        .add(Conv1D::new(5, 3).stride(2).padding(Padding::Same))
        .add(Activation::LeakyRelu(0.1))
        .add(Slice::new(0, 1, 3))
        .add(GlobalPool::average())
        .add(Dense::new(2).activation(Activation::Sigmoid));
    let mut model = sequence.build(3).unwrap();
    keras::read_weights(&golden("sequence.weights.h5"), &mut model).unwrap();
    assert_predicts(&model, "sequence");
    let mut model = Model::new(keras::read(&golden("keras2.h5")).unwrap().graph().clone(), 1).unwrap();
    keras::read_weights(&golden("keras2_weights.h5"), &mut model).unwrap();
    assert_predicts(&model, "keras2");
    let before = model.params().to_vec();
    let error = keras::read_weights(&golden("sequence.weights.h5"), &mut model).unwrap_err().to_string();
    assert!(error.contains("conv"), "{error}");
    assert_eq!(model.params(), before);
}

fn explicit(top: usize, bottom: usize, left: usize, right: usize) -> Padding {
    Padding::Explicit { top, bottom, left, right }
}

fn chain(input: &[usize], ops: Vec<Op>) -> Model {
    let mut graph = Graph::new("chain");
    let mut last = graph.input(striate::Shape::new(input).unwrap()).unwrap();
    for op in ops {
        last = graph.add(op, &[last]).unwrap();
    }
    filled(graph)
}

// A model whose every parameter is drawn, running statistics too.
fn filled(graph: Graph) -> Model {
    let mut model = Model::new(graph, 11).unwrap();
    for param in model.params_mut() {
        if param.name.ends_with("/gamma") || param.name.ends_with("moving_variance") {
            param.data.iter_mut().enumerate().for_each(|(i, v)| *v = 0.6 + (i % 7) as f32 * 0.11);
        } else if param.name.ends_with("/beta") || param.name.ends_with("mean") || param.name.ends_with("bias") {
            param.data.iter_mut().enumerate().for_each(|(i, v)| *v = (i % 5) as f32 * 0.3 - 0.5);
        }
    }
    model
}

fn branches() -> Model {
    let mut g = Graph::new("branches");
    let x = g.input([8, 8, 4]).unwrap();
    let stem =
        g.add_named("stem", Conv2D::new(8, 3).padding(Padding::Same).activation(Activation::Relu), &[x]).unwrap();
    // Written last, but nearest to the input: Keras lists layers by depth.
    let c = g.add_named("c", Conv2D::new(8, 1), &[stem]).unwrap();
    let a = g.add_named("a", Conv2D::new(8, 3).padding(Padding::all(1)).no_bias(), &[stem]).unwrap();
    let a = g.add(BatchNorm::default().scale(false), &[a]).unwrap();
    let a = g.add_named("a2", Conv2D::new(8, 1).activation(Activation::Gelu), &[a]).unwrap();
    let s = g.add(GlobalPool::average().keep_dims(true), &[a]).unwrap();
    let s = g.add(Conv2D::new(8, 1).activation(Activation::HardSigmoid), &[s]).unwrap();
    let a = g.add(Merge::multiply(), &[a, s]).unwrap();
    let d = g.add_named("d", Conv2D::new(8, 1), &[x]).unwrap();
    let sum = g.add(Add::new(), &[c, a, d]).unwrap();
    let sum = g.add(Activation::Relu, &[sum]).unwrap();
    let both = g.add(Concat::new(), &[sum, stem, a]).unwrap();
    let max = g.add(Merge::maximum(), &[sum, stem]).unwrap();
    let p = g.add(Pool2D::max(3).stride(2).padding(Padding::all(1)), &[max]).unwrap();
    let q = g.add(Pool2D::average(2), &[both]).unwrap();
    let y = g.add(Concat::new(), &[p, q]).unwrap();
    let y = g.add(GlobalPool::max(), &[y]).unwrap();
    g.add(Dense::new(5).activation(Activation::Softmax), &[y]).unwrap();
    filled(g)
}

/// Networks with every op that Keras has, in the forms that need most care.
fn networks() -> Vec<(&'static str, Model)> {
    let activation = |a: Activation| Op::from(a);
    let images = vec![
        Affine::default().into(),
        ZeroPad::sides(1, 0, 0, 2).into(),
        Conv2D::new(6, [3, 2]).stride(2).padding(explicit(2, 1, 0, 1)).activation(Activation::LeakyRelu(0.3)).into(),
        PRelu::channel().into(),
        Conv2D::new(12, 3).groups(6).padding(Padding::Same).activation(Activation::Elu(0.7)).into(),
        LayerNorm::default().into(),
        Conv2D::new(8, 3).dilation(2).padding(Padding::Same).activation(Activation::HardSwish).into(),
        GroupNorm::new(4).epsilon(1e-5).into(),
        SeparableConv2D::new(7, 3).multiplier(2).padding(Padding::Same).activation(Activation::Mish).into(),
        ConvTranspose2D::new(6, 3).stride(2).padding(Padding::Same).activation(Activation::Selu).into(),
        Slice::new(0, 1, 9).into(),
        Slice::new(-2, 0, 8).into(),
        AdaptivePool2D::average(4).into(),
        PRelu::element().into(),
        Upsample2D::bilinear(2).into(),
        Upsample2D::nearest([1, 2]).into(),
        Permute::new(&[1, 0, 2]).into(),
        Pool2D::average(3).stride(2).padding(Padding::Same).into(),
        activation(Activation::Silu),
        Dropout::new(0.25).into(),
        Flatten::new().into(),
        Reshape::new(&[12, -1]).into(),
        Conv1D::new(5, 3).padding(explicit(0, 0, 4, 0)).dilation(2).activation(Activation::Softplus).into(),
        BatchNorm::default().center(false).into(),
        Pool1D::max(2).into(),
        activation(Activation::Softsign),
        GlobalPool::average().into(),
        Dense::new(9).activation(Activation::Tanh).into(),
        PRelu::one().into(),
        Dense::new(4).activation(Activation::LogSoftmax).into(),
    ];
    let transposed = vec![
        ConvTranspose2D::new(3, [2, 4]).stride([2, 3]).no_bias().into(),
        ConvTranspose2D::new(2, 3).stride(2).padding(Padding::Same).output_padding(1).into(),
        activation(Activation::Exponential),
    ];
    vec![
        ("images", chain(&[9, 8, 4], images)),
        ("branches", branches()),
        ("transposed", chain(&[4, 5, 2], transposed)),
        ("keras_mnist", filled(striate::zoo::recipe("keras-mnist").unwrap().graph)),
        ("residual", filled(striate::zoo::recipe("residual-mnist").unwrap().graph)),
    ]
}

fn bits(model: &Model) -> BTreeMap<String, Vec<u32>> {
    model.params().iter().map(|p| (p.name.clone(), p.data.iter().map(|v| v.to_bits()).collect())).collect()
}

fn input(model: &Model) -> Tensor {
    let shape = model.graph().input_shape().unwrap();
    let dims: Vec<usize> = std::iter::once(2).chain(shape.dims().iter().copied()).collect();
    let data = (0..2 * shape.len()).map(|i| ((i * 37 + i / 11) % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::new(&dims, data).unwrap()
}

#[test]
fn what_is_written_is_read_with_the_same_bits() {
    for (name, mut model) in networks() {
        model.labels = vec!["a".into(), "b".into()];
        model.record.entries.insert("seed".into(), json!(11));
        let y = model.predict(&input(&model)).unwrap();
        for (kind, form) in [KINDS[0], KINDS[1]] {
            let bytes = keras::write(&model, kind).unwrap();
            assert_eq!(bytes, keras::write(&model, kind).unwrap());
            let back = keras::read(&bytes).unwrap_or_else(|e| panic!("{name}.{form}: {e}"));
            assert_eq!((&back.labels, &back.record), (&model.labels, &model.record));
            let (all, kept) = (bits(&back), bits(&model));
            for (param, expected) in kept {
                assert_eq!(all.get(&param), Some(&expected), "{name}.{form}: {param}");
            }
            assert_eq!(back.predict(&input(&model)).unwrap().data(), y.data(), "{name}.{form}");
        }
        let mut bare = Model::new(model.graph().clone(), 99).unwrap();
        keras::read_weights(&keras::write(&model, Kind::WeightsH5).unwrap(), &mut bare).unwrap();
        for (param, expected) in bits(&model).iter().filter(|(param, _)| !param.starts_with("affine")) {
            assert_eq!(bits(&bare)[param], *expected, "{name}.weights.h5: {param}");
        }
    }
}

#[test]
fn graphs_that_need_no_help_come_back_as_they_were() {
    for (name, model) in networks().into_iter().filter(|(name, _)| ["keras_mnist", "residual"].contains(name)) {
        for (kind, _) in [KINDS[0], KINDS[1]] {
            let back = keras::read(&keras::write(&model, kind).unwrap()).unwrap();
            let (back, graph) = (back.graph().to_document().unwrap(), model.graph().to_document().unwrap());
            assert_eq!(layer_names(&back), layer_names(&graph), "{name}");
        }
    }
}

fn layer_names(document: &Json) -> Vec<String> {
    let mut names: Vec<String> =
        document["layer"].as_array().unwrap().iter().map(|l| format!("{} {}", l["name"], l["op"])).collect();
    names.sort();
    names
}

/// Where `STRIATE_PYTHON` names a Python that has Keras, it opens what is written now. Elsewhere the files must be those
/// that were checked so, by their digests in `golden/keras/written.json`.
#[test]
fn keras_predicts_the_same_from_what_is_written() {
    let folder = std::env::temp_dir().join(format!("striate-keras-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let digests = write_all(&folder);
    let checked = match std::env::var_os("STRIATE_PYTHON") {
        None => Ok(()),
        Some(python) => open_with_keras(&python, &folder),
    };
    checked.unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    let known: Json = serde_json::from_slice(&golden("written.json")).unwrap();
    assert_eq!(
        json!(digests),
        known,
        "other files are written than those that Keras was given: run this test with STRIATE_PYTHON set to a Python that \
         has Keras; if it passes but for this, put the digests above into golden/keras/written.json"
    );
}

fn write_all(folder: &Path) -> BTreeMap<String, String> {
    let mut digests = BTreeMap::new();
    for (name, model) in networks() {
        let x = input(&model);
        let y = model.predict(&x).unwrap();
        let case = json!({
            "x": { "shape": x.dims(), "data": x.data() },
            "y": { "shape": y.dims(), "data": y.data() },
        });
        std::fs::write(folder.join(format!("{name}.json")), case.to_string()).unwrap();
        for (kind, form) in KINDS {
            let bytes = keras::write(&model, kind).unwrap_or_else(|e| panic!("{name}.{form}: {e}"));
            digests.insert(format!("{name}.{form}"), checksum(&bytes));
            std::fs::write(folder.join(format!("{name}.{form}")), bytes).unwrap();
        }
    }
    digests
}

// FNV-1a, 64 bits: enough to tell that bytes have changed.
fn checksum(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

fn open_with_keras(python: &std::ffi::OsStr, folder: &PathBuf) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/keras/check_export.py");
    let run = std::process::Command::new(python).arg(script).arg(folder).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    println!("{text}");
    if run.status.success() { Ok(()) } else { Err(format!("{text}{}", String::from_utf8_lossy(&run.stderr))) }
}

#[test]
fn what_keras_lacks_is_named() {
    for (op, words) in [
        (Op::from(Lrn::default()), "Lrn"),
        (Pool2D::min(2).into(), "minimum pooling"),
        (Pool2D::max(3).padding(Padding::all(1)).into(), "padding"),
        (Conv2D::new(2, 3).pad_value(1.0).padding(Padding::Same).into(), "pads with 0"),
        (Activation::GeluTanh.into(), "gelu"),
        (Slice::channels(0, 2).into(), "part of the channels"),
    ] {
        let model = chain(&[6, 6, 4], vec![op]);
        let error = keras::write(&model, Kind::Keras).unwrap_err();
        assert!(error.message().contains(words) || words == "Lrn", "{error}");
        assert!(error.message().starts_with("layer '") && error.help().is_some(), "{error}");
    }
}

// The config of a model of Keras 3 with these layers after the input, as an .h5 file without weights would have it.
fn refused(layers: Json) -> String {
    let model = chain(&[6, 6, 2], vec![Flatten::new().into()]);
    let bytes = keras::write(&model, Kind::H5).unwrap();
    let text = |bytes: &[u8]| bytes.windows(14).position(|w| w == b"{\"class_name\":").unwrap();
    // A config of the same length: spaces fill it up.
    let (start, old) = (text(&bytes), config_of(&bytes));
    let mut config: Json = serde_json::from_str(&old).unwrap();
    let list = config["config"]["layers"].as_array_mut().unwrap();
    list.truncate(1);
    list.extend(layers.as_array().unwrap().iter().cloned());
    let new = config.to_string();
    assert!(new.len() <= old.len(), "{} > {}: {new}", new.len(), old.len());
    let mut bytes = bytes;
    bytes[start..start + old.len()].fill(b' ');
    bytes[start..start + new.len()].copy_from_slice(new.as_bytes());
    keras::read(&bytes).unwrap_err().to_string()
}

fn config_of(bytes: &[u8]) -> String {
    let start = bytes.windows(14).position(|w| w == b"{\"class_name\":").unwrap();
    let mut stream = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<Json>();
    stream.next().unwrap().unwrap();
    String::from_utf8(bytes[start..start + stream.byte_offset()].to_vec()).unwrap()
}

#[test]
fn what_cannot_be_read_is_named_by_layer() {
    let layer = |class: &str, config: Json| json!([{ "class_name": class, "config": config }]);
    let error = refused(layer("Lambda", json!({ "name": "f" })));
    assert!(error.contains("layer 'f' (Lambda)") && error.contains("replace it in Keras"), "{error}");
    let error = refused(layer("ReLU", json!({ "name": "r", "knee": 2 })));
    assert!(error.contains("layer 'r' (ReLU)") && error.contains("knee = 2"), "{error}");
    let error = refused(layer("ReLU", json!({ "name": "r", "threshold": 1.5 })));
    assert!(error.contains("threshold of 1.5"), "{error}");
    let error = refused(layer("Softmax", json!({ "name": "s", "axis": 1 })));
    assert!(error.contains("axis 1"), "{error}");
    let error = keras::read(b"hello, this is text").unwrap_err().to_string();
    assert!(error.contains("found a text file"), "{error}");
    let error = keras::read(&golden("sequence.weights.h5")).unwrap_err().to_string();
    assert!(error.contains("holds weights, but no network"), "{error}");
}

// What reading may end in, besides an error: the model, whole.
fn survives(bytes: &[u8], scratch: &mut Model) {
    let _ = keras::read(bytes);
    let _ = keras::read_weights(bytes, scratch);
}

#[test]
fn truncations_end_in_errors() {
    for name in ["keras1.h5", "keras2.h5", "functional.keras"] {
        let bytes = golden(name);
        let last = (0..bytes.len()).rev().take(40);
        for length in (0..bytes.len()).step_by(131).chain(last) {
            // The last bytes of an HDF5 file may be room that nothing uses.
            let read = keras::read(&bytes[..length]);
            assert!(read.is_err() || length > bytes.len() - 8, "{name}: {length} of {}", bytes.len());
        }
    }
}

#[test]
fn flipped_bytes_neither_panic_nor_hang() {
    let mut scratch = keras::read(&golden("keras2.h5")).unwrap();
    for name in ["keras1.h5", "keras2.h5", "sequence.weights.h5", "functional.keras", "chunks.h5"] {
        let bytes = golden(name);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random % 3 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (random >> 16) as usize % bytes.len();
                damaged[at] = [0, 1, 0xff, 0x80, (random >> 8) as u8][random as usize % 5];
            }
            survives(&damaged, &mut scratch);
        }
    }
}
