//! The network of row E6 as Keras trained it on MNIST: `.keras`, `.h5`, `.weights.h5` and the arrays of its weights.
//!
//! Tolerance: the longest sum has 576 terms (two layers of 3x3x64 before), each rounded to 6e-8 of its size, and rounding
//! errors mostly cancel: 1e-5 of the largest logit.

use striate::data::mnist;
use striate::format::keras::{self, Kind};
use striate::format::npy::npz_from_bytes;
use striate::session::{Machine, Session};
use striate::{Model, zoo};

use crate::files::{bytes, difference, npy, path};

const FOLDER: &str = "keras_mnist";

fn file(name: &str) -> String {
    format!("{FOLDER}/keras_mnist{name}")
}

fn untrained() -> Model {
    Model::new(zoo::recipe("keras-mnist").unwrap().graph, 5).unwrap()
}

// The model of each file that is Keras' own or holds the arrays of its weights.
fn models() -> Vec<(&'static str, Model)> {
    let read = |name| keras::read(&bytes(&file(name))).unwrap();
    let mut weights = untrained();
    keras::read_weights(&bytes(&file(".weights.h5")), &mut weights).unwrap();
    let mut arrays = untrained();
    for (name, array) in npz_from_bytes(&path(&file("_weights.npz")), &bytes(&file("_weights.npz"))).unwrap() {
        arrays.set_param(&name, &array.into_tensor().unwrap()).unwrap();
    }
    vec![(".h5", read(".h5")), (".keras", read(".keras")), (".weights.h5", weights), ("_weights.npz", arrays)]
}

fn bits(model: &Model) -> Vec<(String, Vec<u32>)> {
    model.params().iter().map(|p| (p.name.clone(), p.data.iter().map(|v| v.to_bits()).collect())).collect()
}

#[test]
fn every_file_gives_the_logits() {
    let (x, expected, probabilities) = (npy(&file("_input.npy")), npy(&file("_logits.npy")), npy(&file("_probs.npy")));
    for (name, model) in models() {
        let mut session = Session::new(&model, Machine::default()).unwrap();
        session.infer(x.data(), x.dims()[0]).unwrap();
        let off = difference(&session.logits(), expected.data());
        assert!(off < 1e-5, "{name}: {off:e}");
        let off = difference(model.predict(&x).unwrap().data(), probabilities.data());
        assert!(off < 1e-5, "{name}: {off:e}");
    }
}

#[test]
fn all_files_hold_the_same_weights() {
    let models = models();
    for (name, model) in &models[1..] {
        assert_eq!(bits(model), bits(&models[0].1), "{name}");
    }
}

#[test]
fn the_test_accuracy_is_that_of_keras() {
    let model = keras::read(&bytes(&file(".keras"))).unwrap();
    let set = mnist::test().unwrap();
    let count = set.labels().len();
    let x: Vec<f32> = (0..count).flat_map(|i| set.bytes(i)).map(|byte| f32::from(*byte) / 255.0).collect();
    let x = striate::Tensor::new(&[count, 28, 28, 1], x).unwrap();
    let y = model.predict(&x).unwrap();
    let best = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    let right = y.data().chunks(10).zip(set.labels()).filter(|(row, label)| best(row) == **label as usize).count();
    assert_eq!((right, count), (9849, 10_000));
}

#[test]
fn written_files_load_with_the_same_bits() {
    for (name, model) in models() {
        for kind in [Kind::Keras, Kind::H5] {
            assert_eq!(bits(&keras::read(&keras::write(&model, kind).unwrap()).unwrap()), bits(&model), "{name}");
        }
        let mut bare = untrained();
        keras::read_weights(&keras::write(&model, Kind::WeightsH5).unwrap(), &mut bare).unwrap();
        assert_eq!(bits(&bare), bits(&model), "{name}");
    }
}
