//! DenseNet-121: each layer of a block sees the outputs of all layers before it, side by side.
//!
//! 7,978,856 parameters (torchvision's table). A layer normalises first and convolves then (M40 the other way round):
//! a 1x1 convolution to 128 channels and a 3x3 one to 32, the *growth rate*.
//!
//! Source: Huang et al., "Densely Connected Convolutional Networks", 2016, arXiv:1608.06993, table 1.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, Concat, GlobalPool, Padding, Pool2D};
use crate::train::FitConfig;
use crate::zoo::block::{Net, Size, conv};
use crate::zoo::settings::{Published, steps};
use crate::zoo::{Entry, entry::IMAGENET};

const GROWTH: usize = 32;
const LAYERS: [usize; 4] = [6, 12, 24, 16];

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "densenet-121",
    about: "58 layers in four blocks, each of which sees all before it",
    family: "DenseNet",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(IMAGENET),
    train,
    build,
}];

fn train() -> FitConfig {
    Published { rate: 0.1, batch: 256, decay: 1e-4, epochs: 90, curve: steps(30, 0.1) }.sgd()
}

fn build(size: &Size) -> Result<Graph> {
    let (mut net, x) = Net::new(size)?;
    let names = ["features.conv0", "features.norm0"].map(String::from);
    let x = net.conv_norm(names, conv(64, 7).stride(2), Activation::Relu, x)?;
    let mut x = net.add("features.pool0", Pool2D::max(3).stride(2).padding(Padding::all(1)), x)?;
    for (i, layers) in LAYERS.into_iter().enumerate() {
        x = block(&mut net, &format!("features.denseblock{}", i + 1), layers, x)?;
        if i + 1 < LAYERS.len() {
            x = transition(&mut net, &format!("features.transition{}", i + 1), x)?;
        }
    }
    let x = net.norm_act("features.norm5", Activation::Relu, x)?;
    let x = net.add("avgpool", GlobalPool::average(), x)?;
    net.classify("classifier", size.classes, x)
}

// The input and the new channels of each layer, side by side.
fn block(net: &mut Net, at: &str, layers: usize, x: Value) -> Result<Value> {
    let mut all = x;
    for i in 1..=layers {
        let at = format!("{at}.denselayer{i}");
        let y = net.norm_act(&format!("{at}.norm1"), Activation::Relu, all)?;
        let y = net.add(format!("{at}.conv1"), conv(4 * GROWTH, 1).no_bias(), y)?;
        let y = net.norm_act(&format!("{at}.norm2"), Activation::Relu, y)?;
        let y = net.add(format!("{at}.conv2"), conv(GROWTH, 3).no_bias(), y)?;
        all = net.join(format!("{at}.concat"), Concat::new(), &[all, y])?;
    }
    Ok(all)
}

// Half of the channels and a quarter of the pixels.
fn transition(net: &mut Net, at: &str, x: Value) -> Result<Value> {
    let half = net.shape(x).channels() / 2;
    let y = net.norm_act(&format!("{at}.norm"), Activation::Relu, x)?;
    let y = net.add(format!("{at}.conv"), conv(half, 1).no_bias(), y)?;
    net.add(format!("{at}.pool"), Pool2D::average(2), y)
}
