//! AlexNet: five convolutions and three dense layers, with local response normalisation after the first two ReLUs (D11).
//!
//! The paper's network ran on two graphics cards: half of the kernels of each layer on either, which met only at the
//! third convolution and at the dense layers. A convolution in two groups is the same network, to the bit (E24):
//! 60,965,224 parameters. Without the groups it has 62,378,344. Caffe's `bvlc_alexnet` has the former number.
//!
//! The paper says 224x224; its sizes (55, 27, 13, 6) follow from 227x227.
//!
//! Weights start from N(0, 0.01), and the biases of the second, fourth and fifth convolution and of the hidden dense
//! layers at 1, as in the paper. It divided the learning rate by 10 when the validation error stopped falling, three
//! times in 90 epochs; here that is every 30 epochs.
//!
//! Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::init::Init;
use crate::ops::{Activation, Conv2D, Dense, Dropout, Flatten, Lrn, Padding, Pool2D};
use crate::train::FitConfig;
use crate::zoo::block::{Net, Size};
use crate::zoo::settings::{Published, steps};
use crate::zoo::{Entry, entry::IMAGENET};

const ALEXNET: Entry = Entry {
    name: "alexnet",
    about: "the network that won ImageNet in 2012, in two groups as in the paper",
    family: "AlexNet",
    input: [227, 227, 3],
    classes: 1000,
    pixels: Some(IMAGENET),
    train,
    build: |size| build(size, 2),
};

pub(super) const ENTRIES: &[Entry] = &[
    ALEXNET,
    Entry { name: "alexnet-ungrouped", about: "the same on one device", build: |size| build(size, 1), ..ALEXNET },
];

fn train() -> FitConfig {
    Published { rate: 0.01, batch: 128, decay: 5e-4, epochs: 90, curve: steps(30, 0.1) }.sgd()
}

fn build(size: &Size, groups: usize) -> Result<Graph> {
    let (mut net, x) = Net::new(size)?;
    let x = net.add("conv1", layer(96, 11, 0.0).stride(4).padding(Padding::Valid), x)?;
    let x = net.add("norm1", Lrn::default(), x)?;
    let x = net.add("pool1", Pool2D::max(3).stride(2), x)?;
    let x = net.add("conv2", layer(256, 5, 1.0).groups(groups), x)?;
    let x = net.add("norm2", Lrn::default(), x)?;
    let x = net.add("pool2", Pool2D::max(3).stride(2), x)?;
    let x = net.add("conv3", layer(384, 3, 0.0), x)?;
    let x = net.add("conv4", layer(384, 3, 1.0).groups(groups), x)?;
    let x = net.add("conv5", layer(256, 3, 1.0).groups(groups), x)?;
    let x = net.add("pool5", Pool2D::max(3).stride(2), x)?;
    let x = net.add("flatten", Flatten::new(), x)?;
    let x = hidden(&mut net, 6, x)?;
    let x = hidden(&mut net, 7, x)?;
    net.classify("fc8", size.classes, x)
}

fn layer(filters: usize, kernel: usize, bias: f32) -> Conv2D {
    let op = Conv2D::new(filters, kernel).padding(Padding::all(kernel / 2)).activation(Activation::Relu).init(SMALL);
    Conv2D { bias_init: Init::Constant(bias), ..op }
}

fn hidden(net: &mut Net, i: usize, x: Value) -> Result<Value> {
    let op = Dense::new(4096).activation(Activation::Relu).init(SMALL);
    let y = net.add(format!("fc{i}"), Dense { bias_init: Init::Ones, ..op }, x)?;
    net.add(format!("drop{i}"), Dropout::new(0.5), y)
}

const SMALL: Init = Init::Normal { mean: 0.0, std: 0.01 };
