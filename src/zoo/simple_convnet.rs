//! SimpleConvNet of the notes (E1), with the settings of its text (E2, D6).
//!
//! One 5x5 convolution with 30 kernels, a 2x2 max-pool, 100 hidden units:
//! 433,890 parameters (E5). Weights from N(0, 0.01), biases 0; plain SGD at 0.1,
//! batches of 100, 10,000 updates.

use crate::error::Result;
use crate::init::Init;
use crate::model::Sequential;
use crate::ops::{Activation, Conv2D, Dense, Flatten, Pool2D};
use crate::train::FitConfig;
use crate::train::optim::Sgd;
use crate::zoo::Recipe;

pub(super) const ABOUT: &str =
    "one 5x5 convolution, 433,890 parameters; SGD 0.1 with weights from N(0, 0.01), 10,000 updates";

const WEIGHTS: Init = Init::Normal { mean: 0.0, std: 0.01 };

pub(super) fn recipe() -> Result<Recipe> {
    let graph = Sequential::new([28, 28, 1])
        .add(Conv2D::new(30, 5).activation(Activation::Relu).init(WEIGHTS))
        .add(Pool2D::max(2))
        .add(Flatten::new())
        .add(Dense::new(100).activation(Activation::Relu).init(WEIGHTS))
        .add(Dense::new(10).activation(Activation::Softmax).init(WEIGHTS))
        .graph()?;
    let train = FitConfig {
        epochs: 17,
        updates: Some(10_000),
        batch_size: 100,
        optimizer: Sgd { learning_rate: 0.1, ..Sgd::default() }.into(),
        ..FitConfig::default()
    };
    Ok(Recipe { graph, train })
}
