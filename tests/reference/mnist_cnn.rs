//! A network of somebody's own for MNIST: its `.pth`, with the network as TOML (`golden/torch/mnist_cnn.toml`).

use striate::Tensor;
use striate::data::{self, Dataset, ImageSet, Preprocess};
use striate::exchange::{self, Network, Open};

use crate::files::{difference, floats, path};
use crate::torch::logits;

// The test set of MNIST with this network's own mean and deviation.
fn test_set() -> ImageSet {
    let mnist = data::load("mnist").unwrap().test;
    let pixels = (0..mnist.len()).flat_map(|i| mnist.image(i).unwrap().pixels().to_vec()).collect();
    let labels = (0..mnist.len()).map(|i| mnist.label(i)).collect();
    let preprocess = Preprocess::new([28, 28, 1]).unwrap().mean_std(&[0.1307], &[0.3081]).unwrap();
    ImageSet::new("mnist", pixels, labels, mnist.classes().to_vec(), preprocess).unwrap()
}

#[test]
fn the_weights_reach_their_accuracy_and_logits() {
    let toml = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/torch/mnist_cnn.toml");
    let options = Open { network: Some(Network::named(toml).unwrap()) };
    let model = exchange::open(&path("mnist_cnn/handwriting_model.pth"), &options).unwrap().model;
    let test = test_set();
    assert_eq!(model.evaluate(&test).unwrap().confusion.correct(), 9906);
    let mut x = vec![0.0; 100 * 784];
    x.chunks_mut(784).enumerate().for_each(|(i, x)| test.fill(i, x).unwrap());
    let logits = logits(&model, &Tensor::new(&[100, 28, 28, 1], x).unwrap());
    // Six layers, both sides in f32; the longest sum has 1152 terms.
    let worst = difference(&logits, &floats("mnist_cnn/t10k_first100_logits_100x10.f32"));
    assert!(worst < 5e-6, "{worst:e}");
}
