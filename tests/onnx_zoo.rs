//! Every network of the zoo as an ONNX file, and back; and what onnxruntime says to the files, if it is there.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use striate::format::onnx::{Export, read, write};
use striate::rng::Rng;
use striate::zoo::{self, Options};
use striate::{Model, Tensor};

const BATCH: usize = 2;

// The network at the smallest input that it takes, with statistics that are not trivial.
fn model(name: &str) -> Model {
    let entry = zoo::entry(name).unwrap();
    let channels = entry.input[2];
    let build = |side: usize| entry.build(&Options { input: Some([side, side, channels]), classes: Some(7) });
    let recipe = (32..300).find_map(|side| build(side).ok()).unwrap();
    let mut model = Model::new(recipe.graph, 5).unwrap();
    let mut rng = Rng::new(2);
    for param in model.params_mut().iter_mut().filter(|p| !p.trainable) {
        param.data.iter_mut().for_each(|v| *v += 0.1 * rng.uniform());
    }
    model
}

fn input(model: &Model) -> Tensor {
    let shape = model.graph().input_shape().unwrap();
    let mut rng = Rng::new(9);
    let data = (0..BATCH * shape.len()).map(|_| rng.normal() as f32).collect();
    Tensor::new(&[&[BATCH], shape.dims()].concat(), data).unwrap()
}

// Probabilities: an absolute difference says enough.
fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    assert!(a.data().iter().all(|v| v.is_finite()));
    a.data().iter().zip(b.data()).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

// Checks the files of a folder with the Python that STRIATE_PYTHON names.
fn python_agrees(folder: &Path) {
    let Some(python) = std::env::var_os("STRIATE_PYTHON") else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/onnx/check_export.py");
    let output = Command::new(python).arg(script).arg(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

// From our [n, .., c] to ONNX's [n, c, ..].
fn numbers(x: &Tensor) -> serde_json::Value {
    let rank = x.dims().len();
    let order: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let x = if rank > 2 { x.permute(&order).unwrap() } else { x.clone() };
    json!({ "dims": x.dims(), "data": x.data() })
}

#[test]
fn every_network_goes_there_and_back() {
    for entry in zoo::entries() {
        let name = entry.name;
        let model = model(name);
        let bytes = write(&model, &Export::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let back = read(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let x = input(&model);
        let y = model.predict(&x).unwrap();
        let difference = worst(&back.predict(&x).unwrap(), &y);
        assert!(difference < 1e-5, "{name}: {difference:e}");
        let folder = std::env::temp_dir().join(format!("striate-onnx-{name}-{}", std::process::id()));
        if std::env::var_os("STRIATE_PYTHON").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("net.onnx"), &bytes).unwrap();
            std::fs::write(folder.join("net.json"), json!({ "x": numbers(&x), "y": numbers(&y) }).to_string()).unwrap();
            python_agrees(&folder);
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
}
