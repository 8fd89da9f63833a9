//! SimpleConvNet of the notes (E1), with the settings of its text (E2, D6).
//!
//! One 5x5 convolution with 30 kernels, a 2x2 max-pool, 100 hidden units:
//! 433,890 parameters (E5). Weights from N(0, 0.01), biases 0; plain SGD at 0.1,
//! batches of 100, 10,000 updates.

use crate::error::Result;
use crate::graph::Graph;
use crate::init::Init;
use crate::model::Sequential;
use crate::ops::{Activation, Conv2D, Dense, Flatten, Pool2D};
use crate::train::FitConfig;
use crate::train::optim::Sgd;
use crate::zoo::Entry;
use crate::zoo::block::Size;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "simple-convnet",
    about: "one 5x5 convolution; SGD 0.1 with weights from N(0, 0.01), 10,000 updates",
    family: "Small networks for MNIST",
    input: [28, 28, 1],
    classes: 10,
    pixels: None,
    train,
    build,
}];

const WEIGHTS: Init = Init::Normal { mean: 0.0, std: 0.01 };

fn train() -> FitConfig {
    FitConfig {
        epochs: 17,
        updates: Some(10_000),
        batch_size: 100,
        optimizer: Sgd { learning_rate: 0.1, ..Sgd::default() }.into(),
        ..FitConfig::default()
    }
}

fn build(size: &Size) -> Result<Graph> {
    Sequential::new(size.shape()?)
        .add(Conv2D::new(30, 5).activation(Activation::Relu).init(WEIGHTS))
        .add(Pool2D::max(2))
        .add(Flatten::new())
        .add(Dense::new(100).activation(Activation::Relu).init(WEIGHTS))
        .add(Dense::new(size.classes).activation(Activation::Softmax).init(WEIGHTS))
        .graph()
}
