//! The Keras network of the notes (E6), with the settings of D10.
//!
//! Three 3x3 convolutions, each with ReLU and a 2x2 max-pool, then 64 hidden
//! units: 93,322 parameters (E8). Adam at 0.001, categorical cross-entropy,
//! 5 epochs, batches of 64.
//!
//! After five epochs the test accuracy still depends on the seed: 0.9897,
//! 0.9817, 0.9892 and 0.9921 for the seeds 0 to 3. The settings name seed 3.

use crate::error::Result;
use crate::graph::Graph;
use crate::model::Sequential;
use crate::ops::{Activation, Conv2D, Dense, Flatten, Padding, Pool2D};
use crate::train::FitConfig;
use crate::train::optim::Adam;
use crate::zoo::Entry;
use crate::zoo::block::Size;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "keras-mnist",
    about: "three 3x3 convolutions; Adam, 5 epochs: 99 % on MNIST",
    family: "Small networks for MNIST",
    input: [28, 28, 1],
    classes: 10,
    pixels: None,
    train,
    build,
}];

fn train() -> FitConfig {
    FitConfig { epochs: 5, batch_size: 64, optimizer: Adam::default().into(), seed: 3, ..FitConfig::default() }
}

fn build(size: &Size) -> Result<Graph> {
    Sequential::new(size.shape()?)
        .add(convolution(32))
        .add(Pool2D::max(2))
        .add(convolution(64))
        .add(Pool2D::max(2))
        .add(convolution(64))
        .add(Pool2D::max(2))
        .add(Flatten::new())
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(size.classes).activation(Activation::Softmax))
        .graph()
}

fn convolution(filters: usize) -> Conv2D {
    Conv2D::new(filters, 3).padding(Padding::Same).activation(Activation::Relu)
}
