//! Convolutional neural networks: one engine, from the formula to a shipped model.
//!
//! ```
//! use striate::ops::{Activation, Conv2D, Dense, Flatten, Pool2D};
//! use striate::train::{Fit, FitConfig};
//! use striate::{Sequential, data};
//!
//! let mnist = data::load("mnist")?.first(500, 100);
//! let mut model = Sequential::new([28, 28, 1])
//!     .add(Conv2D::new(8, 5).activation(Activation::Relu))
//!     .add(Pool2D::max(2))
//!     .add(Flatten::new())
//!     .add(Dense::new(10).activation(Activation::Softmax))
//!     .build(0)?;
//! let config = FitConfig { epochs: 1, ..FitConfig::default() };
//! Fit::new(&*mnist.train, &config).run(&mut model)?;
//! assert!(model.evaluate(&*mnist.test)?.accuracy() > 0.3);
//! # Ok::<(), striate::Error>(())
//! ```
//!
//! # The life of a model
//!
//! 1. **Network.** [`Sequential`] stacks layers, [`Graph`] takes any branches; the layers are the structs of [`ops`].
//!    Each layer's shape is worked out as it is added, so a mistake is named where it is made. [`zoo`] has networks by
//!    name, and reads and writes them as TOML.
//! 2. **Weights.** [`Model::new`] draws them from a seed ([`init`] says how). [`summary()`] prints the layers.
//! 3. **Data.** [`data::load`] gives MNIST, [`data::open`] also your folder of images. A [`data::Preprocess`] says how a
//!    picture becomes the network's input, and goes into the model.
//! 4. **Training.** [`train::Fit`] runs the epochs with the settings of a [`train::FitConfig`], and gives a
//!    [`train::History`]. With checkpoints it can be killed and resumed without changing a bit.
//! 5. **Evaluation.** [`Model::evaluate`] gives the loss, the accuracy with its interval, and what was taken for what.
//!    [`inspect::certificate`] checks each operation of the network against its formula.
//!    [`inspect::explain`] shows what a layer does to small numbers, step by step; [`inspect::museum`] shows what mistakes do.
//!    [`report`] puts a whole training run on one HTML page.
//!    [`compare`] tells which of several optimisers, settings or models is best, with intervals and paired tests.
//! 6. **Use.** [`Model::save`] and [`Model::load`] keep it in one file with all that a prediction needs;
//!    [`Model::predict`] runs it. [`session::Session`] does so many times without setting up anew.
//!
//! # Where to read on
//!
//! To see how a network is computed, read in this order, from the formula to the machine:
//!
//! - [`conv::math`]: convolution as mathematics defines it; [`conv::reference`]: as networks use it, in plain loops;
//!   [`conv::lowered`]: as a matrix product.
//! - [`ops`]: what a layer is; one file each with shape rule, forward, backward, formula and tests.
//! - [`train::loss`], [`train::optim`], [`train::schedule`]: from the output to the next weights.
//! - [`plan`] and [`session`]: how a graph becomes steps over a few buffers; [`parallel`] and [`simd`]: how these use the
//!   machine without changing a bit.
//!
//! `ARCHITECTURE.md` in the source has the map of all files and the reasons behind them.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | op | what a layer computes, with its hyper-parameters |
//! | node | an op in a graph, with its name and its inputs |
//! | value | the result of a node |
//! | plan | a graph made ready for one batch size on one machine |
//! | step | one compiled op; also one update of the weights |
//! | twin | an op's literal formula in f64, which the fast code is tested against |
//! | digest | a short name for the exact bits of all weights |
//!
//! Shapes: activations are `[n, h, w, c]` (NHWC; `n` samples, height, width, channels), kernels `[kh, kw, ic, oc]` (HWIO;
//! `ic` input and `oc` output channels). The shape of a layer leaves out `n`. A gradient is named after what it belongs
//! to: `dx`, `dw`, `db`, `dy`.

pub mod compare;
pub mod conv;
pub mod data;
pub mod error;
pub mod exchange;
pub mod format;
pub mod gemm;
mod graph;
pub mod init;
pub mod inspect;
pub mod lab;
mod model;
pub mod ops;
pub mod parallel;
pub mod plan;
pub mod report;
pub mod rng;
pub mod session;
pub mod simd;
mod summary;
mod tensor;
pub mod train;
pub mod visual;
pub mod vmath;
pub mod zoo;

pub use error::{Error, ErrorKind, Result};
pub use graph::{Graph, Head, Node, Value};
pub use model::{GoldenSample, Model, Param, Record, Sequential};
pub use summary::summary;
pub use tensor::{Shape, Tensor};

/// The examples of the README, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
