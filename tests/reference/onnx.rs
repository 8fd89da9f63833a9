//! ONNX files of other frameworks through the importer: the same numbers come out.

use striate::format::onnx::{Export, read, write};
use striate::session::{Machine, Session};
use striate::{Model, Tensor};

use crate::files::{bytes, difference, floats, npy};

fn model(name: &str) -> Model {
    read(&bytes(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn logits(model: &Model, x: &Tensor) -> Vec<f32> {
    let n = x.dims()[0];
    let mut session = Session::new(model, Machine::default()).unwrap();
    session.infer(x.data(), n).unwrap();
    session.logits().to_vec()
}

// Written and read again, the outputs have the same bits: the order of all sums is that of the weights, which come back.
fn survives(model: &Model, x: &Tensor, y: &[f32]) {
    for opset in [13, 17, 22] {
        let again = read(&write(model, &Export { opset }).unwrap()).unwrap();
        assert_eq!(logits(&again, x), y, "opset {opset}");
    }
}

// Errors of f32 sums grow with the square root of their length; some fifty layers add theirs. 2^-24 sqrt(1280 * 50).
const DEEP: f32 = 1.6e-5;

#[test]
fn torchvision_networks_give_their_logits() {
    for name in ["squeezenet1_1", "mobilenet_v2"] {
        let model = model(&format!("torch/{name}.onnx"));
        assert_eq!(model.graph().input_shape().unwrap().dims(), [224, 224, 3]);
        let x = npy(&format!("torch/{name}_input_nchw.npy")).permute(&[0, 2, 3, 1]).unwrap();
        let y = logits(&model, &x);
        let worst = difference(&y, npy(&format!("torch/{name}_logits_f64.npy")).data());
        assert!(worst < DEEP, "{name}: {worst:e}");
        survives(&model, &x, &y);
    }
}

#[test]
fn efficientnet_knows_the_five_photos() {
    let model = model("efficientnet_lite0/efficientnet_lite0.onnx");
    let photos = [("china", 698), ("flower", 985), ("chelsea", 282), ("coffee", 967), ("camera", 872)];
    for (photo, class) in photos {
        let pixels = bytes(&format!("efficientnet_lite0/ref/{photo}_224x224x3_rgb.u8"));
        let x = pixels.iter().map(|v| (f32::from(*v) - 127.0) / 128.0).collect();
        let x = Tensor::new(&[1, 224, 224, 3], x).unwrap();
        let y = logits(&model, &x);
        let best = (0..y.len()).max_by(|a, b| y[*a].total_cmp(&y[*b])).unwrap();
        let worst = difference(&y, &floats(&format!("efficientnet_lite0/ref/{photo}_logits.f32")));
        // Both sides are f32.
        assert!(best == class && worst < 2.0 * DEEP, "{photo}: class {best}, {worst:e}");
    }
}

#[test]
fn e6_both_exports_of_the_keras_network_agree() {
    let x = npy("keras_mnist/keras_mnist_input.npy");
    for name in ["keras_mnist.onnx", "keras_mnist_tf2onnx.onnx"] {
        let model = model(&format!("keras_mnist/{name}"));
        assert_eq!(model.graph().input_shape().unwrap().dims(), [28, 28, 1]);
        assert_eq!(model.count_params(), (93_322, 0));
        let y = logits(&model, &x);
        let worst = difference(&y, npy("keras_mnist/keras_mnist_logits.npy").data());
        assert!(worst < 1e-5, "{name}: {worst:e}");
        let probabilities = model.predict(&x).unwrap();
        let worst = difference(probabilities.data(), npy("keras_mnist/keras_mnist_probs.npy").data());
        assert!(worst < 1e-5, "{name}: {worst:e}");
        survives(&model, &x, &y);
    }
}

#[test]
fn a_network_for_digits_gives_its_logits() {
    let model = model("mnist_cnn/digit_recognizer.onnx");
    let test = striate::data::load("mnist").unwrap().test;
    let pixels: Vec<f32> = (0..100).flat_map(|i| test.image(i).unwrap().pixels().to_vec()).map(f32::from).collect();
    let x = pixels.iter().map(|v| (v / 255.0 - 0.1307) / 0.3081).collect();
    let x = Tensor::new(&[100, 28, 28, 1], x).unwrap();
    let y = logits(&model, &x);
    let worst = difference(&y, &floats("mnist_cnn/t10k_first100_logits_100x10.f32"));
    assert!(worst < 1e-5, "{worst:e}");
    survives(&model, &x, &y);
}
