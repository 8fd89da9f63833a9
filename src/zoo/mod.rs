//! The zoo: networks by name, each with the settings that it is trained with.
//!
//! A [`Recipe`] is a network and its training settings; it can be written as a
//! small TOML file, changed there, and trained from there with the same bits.
//!
//! ```
//! use striate::zoo;
//! let small = zoo::Options { input: Some([64, 64, 3]), classes: Some(10) };
//! let recipe = zoo::build("mobilenet-v2", &small)?;
//! assert_eq!(recipe.graph.input_shape()?.dims(), [64, 64, 3]);
//! # Ok::<(), striate::Error>(())
//! ```
//!
//! # Names of layers
//!
//! Networks whose weights are published by torchvision have its module paths as names: the tensor
//! `layer1.0.conv1.weight` there is the parameter `layer1.0.conv1/kernel` here, and `weight`, `bias`, `running_mean` and
//! `running_var` of a normalisation are `gamma`, `beta`, `moving_mean` and `moving_variance`. The axes differ: kernels
//! are `[oc, ic, kh, kw]` there and `[kh, kw, ic, oc]` here, and a dense layer after a flatten counts its inputs
//! channel by channel there and pixel by pixel here.

mod alexnet;
mod block;
mod block_inception;
mod block_mobile;
mod block_residual;
mod convnext;
mod densenet;
mod efficientnet;
mod entry;
mod googlenet;
mod imagenet;
mod inception_v3;
mod keras_mnist;
mod lenet;
mod mobilenet;
mod mobilenet_v3;
mod recipe;
mod residual_mnist;
mod resnet;
mod settings;
mod simple_convnet;
mod squeezenet;
mod vgg;

use std::sync::LazyLock;

use crate::data::Preprocess;
use crate::error::{Result, unknown};

pub use entry::{Entry, Options};
pub use imagenet::imagenet_labels;
pub use recipe::Recipe;

const FAMILIES: [&[Entry]; 15] = [
    keras_mnist::ENTRIES,
    simple_convnet::ENTRIES,
    residual_mnist::ENTRIES,
    lenet::ENTRIES,
    alexnet::ENTRIES,
    vgg::ENTRIES,
    googlenet::ENTRIES,
    inception_v3::ENTRIES,
    resnet::ENTRIES,
    squeezenet::ENTRIES,
    mobilenet::ENTRIES,
    mobilenet_v3::ENTRIES,
    densenet::ENTRIES,
    efficientnet::ENTRIES,
    convnext::ENTRIES,
];

/// All entries, those of a family side by side.
pub fn entries() -> &'static [Entry] {
    static ALL: LazyLock<Vec<Entry>> = LazyLock::new(|| FAMILIES.concat());
    &ALL
}

/// The entry with this name.
///
/// # Errors
/// There is none; the nearest name is suggested.
pub fn entry(name: &str) -> Result<&'static Entry> {
    entries().iter().find(|e| e.name == name).ok_or_else(|| unknown("model", name, entries().iter().map(|e| e.name)))
}

/// The recipe with this name, for the input size and the classes that its entry says.
///
/// # Errors
/// There is none; the nearest name is suggested.
///
/// ```
/// let recipe = striate::zoo::recipe("keras-mnist")?;
/// assert_eq!(striate::Model::new(recipe.graph, 0)?.count_params(), (93_322, 0));
/// # Ok::<(), striate::Error>(())
/// ```
pub fn recipe(name: &str) -> Result<Recipe> {
    build(name, &Options::default())
}

/// The recipe with this name, for another input size or another number of classes.
///
/// # Errors
/// There is no such name, or the input is too small: the layer and the smallest input that fits are named.
///
/// ```
/// use striate::zoo::{self, Options};
/// let tiny = Options { input: Some([16, 16, 3]), ..Options::default() };
/// let error = zoo::build("vgg-16", &tiny).unwrap_err().to_string();
/// assert!(error.contains("layer 'features.30'") && error.contains("32x32x3"), "{error}");
/// ```
pub fn build(name: &str, options: &Options) -> Result<Recipe> {
    entry(name)?.build(options)
}

/// How a photo becomes the input of the network with this name, for the weights that are published for it.
///
/// `None` where there is no such network, or where it is not for photos.
///
/// ```
/// assert_eq!(striate::zoo::preprocess("resnet-50").unwrap().dims(), [224, 224, 3]);
/// ```
pub fn preprocess(name: &str) -> Option<Preprocess> {
    let entry = entry(name).ok()?;
    entry.preprocess(entry.input)
}
