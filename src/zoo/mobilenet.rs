//! MobileNet v1 and v2: depthwise convolutions, which filter each channel alone, and 1x1 convolutions, which mix them.
//!
//! v1: 4,253,864 parameters, of which 21,888 are moving statistics (Keras' table). Layers are named as in Keras, whose
//! padding at stride 2 it has: one row below and one column to the right.
//!
//! v2: 3,504,872 parameters (torchvision's table), in inverted residual blocks.
//!
//! Sources: Howard et al., "MobileNets", 2017, arXiv:1704.04861, table 1; Sandler et al., "MobileNetV2", 2018,
//! arXiv:1801.04381, table 2.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, Dropout, GlobalPool, Padding};
use crate::train::FitConfig;
use crate::train::schedule::{Cosine, Curve};
use crate::zoo::Entry;
use crate::zoo::block::{Net, Size, conv, pair};
use crate::zoo::block_mobile::Inverted;
use crate::zoo::entry::{IMAGENET, Pixels};
use crate::zoo::settings::Published;

const V1: Entry = Entry {
    name: "mobilenet-v1",
    about: "13 depthwise separable convolutions",
    family: "MobileNet",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(Pixels { divisor: 127.5, mean: [1.0; 3], std: [1.0; 3], ..IMAGENET }),
    train,
    build: v1,
};

pub(super) const ENTRIES: &[Entry] = &[
    V1,
    Entry { name: "mobilenet-v2", about: "17 inverted residual blocks", pixels: Some(IMAGENET), build: v2, ..V1 },
];

fn train() -> FitConfig {
    let curve = Curve::Cosine(Cosine::default());
    Published { rate: 0.05, batch: 256, decay: 4e-5, epochs: 150, curve }.sgd()
}

// Kernels and stride of the separable convolutions.
const SEPARABLE: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

fn v1(size: &Size) -> Result<Graph> {
    let (net, x) = Net::new(size)?;
    let mut net = net.with_norm(0.99, 1e-3);
    let names = ["conv1", "conv1_bn"].map(String::from);
    let mut x = net.conv_norm(names, conv(32, 3).stride(2).padding(beyond(2)), Activation::Relu6, x)?;
    for (i, (filters, stride)) in SEPARABLE.into_iter().enumerate() {
        let names = |kind: &str| [format!("conv_{kind}_{}", i + 1), format!("conv_{kind}_{}_bn", i + 1)];
        let depthwise = conv(net.shape(x).channels(), 3).groups(net.shape(x).channels());
        x = net.conv_norm(names("dw"), depthwise.stride(stride).padding(beyond(stride)), Activation::Relu6, x)?;
        x = net.conv_norm(names("pw"), conv(filters, 1), Activation::Relu6, x)?;
    }
    let x = net.add("global_average_pooling2d", GlobalPool::average(), x)?;
    let x = net.add("dropout", Dropout::new(1e-3), x)?;
    // On one pixel Keras' 1x1 convolution is a dense layer.
    net.classify("conv_preds", size.classes, x)
}

// Keras' padding of a 3x3 kernel: both sides at stride 1, the end alone at stride 2.
fn beyond(stride: usize) -> Padding {
    let start = usize::from(stride == 1);
    Padding::Explicit { top: start, bottom: 1, left: start, right: 1 }
}

// Factor of the widening, outputs, blocks, and stride of the first.
const STAGES: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

fn v2(size: &Size) -> Result<Graph> {
    let (mut net, x) = Net::new(size)?;
    let mut x = net.conv_norm(pair("features.0", ["0", "1"]), conv(32, 3).stride(2), Activation::Relu6, x)?;
    let mut i = 1;
    for (factor, filters, count, stride) in STAGES {
        for block in 0..count {
            let stride = if block == 0 { stride } else { 1 };
            x = inverted(&mut net, &format!("features.{i}"), [factor, filters, stride], x)?;
            i += 1;
        }
    }
    let x = net.conv_norm(pair(&format!("features.{i}"), ["0", "1"]), conv(1280, 1), Activation::Relu6, x)?;
    let x = net.add("avgpool", GlobalPool::average(), x)?;
    let x = net.add("classifier.0", Dropout::new(0.2), x)?;
    net.classify("classifier.1", size.classes, x)
}

fn inverted(net: &mut Net, at: &str, [factor, filters, stride]: [usize; 3], x: Value) -> Result<Value> {
    // torchvision counts the widening convolution where there is one.
    let n = usize::from(factor > 1);
    let inner = |i: usize| pair(&format!("{at}.conv.{i}"), ["0", "1"]);
    let block = Inverted {
        hidden: factor * net.shape(x).channels(),
        filters,
        kernel: 3,
        stride,
        activation: Activation::Relu6,
        padding: None,
        expand: (factor > 1).then(|| inner(0)),
        depthwise: inner(n),
        squeeze: None,
        project: [format!("{at}.conv.{}", n + 1), format!("{at}.conv.{}", n + 2)],
        skip: 0.0,
    };
    block.add(net, at, x)
}
