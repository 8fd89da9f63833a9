//! GoogLeNet: nine Inception blocks (L21), and two auxiliary heads while it is trained; the winner of 2014 (E26).
//!
//! `googlenet` is the paper's: convolutions with bias and ReLU, 5x5 kernels in the third branch, local response
//! normalisation around the second stage; its main path has 6,998,552 parameters, and 13,378,280 with both heads (as
//! Caffe's `bvlc_googlenet`, whose layers have these names but for the underscore after `inception`). `googlenet-bn` is
//! the form whose weights torchvision publishes: batch normalisation instead of biases, and 3x3 kernels where the paper
//! has 5x5; 6,624,904 parameters without the heads, 13,004,888 with them.
//!
//! Each head is a classifier on a middle layer, whose loss counts 0.3 (section 5 of the paper). They take no part in a
//! prediction.
//!
//! Source: Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842, table 1.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, AdaptivePool2D, Dropout, Flatten, GlobalPool, Lrn, Op, Pool2D};
use crate::train::FitConfig;
use crate::zoo::Entry;
use crate::zoo::block::{Net, Size, conv, dense};
use crate::zoo::block_inception::{Branches, Style, basic, plain};
use crate::zoo::entry::{IMAGENET, Pixels};
use crate::zoo::settings::{Published, steps};

const GOOGLENET: Entry = Entry {
    name: "googlenet",
    about: "nine Inception blocks and two auxiliary heads, as in the paper",
    family: "Inception",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(IMAGENET),
    train,
    build: |size| build(size, &PAPER),
};

pub(super) const ENTRIES: &[Entry] = &[
    GOOGLENET,
    Entry {
        name: "googlenet-bn",
        about: "the same with batch normalisation, as torchvision has it",
        // The weights that torchvision hands on are from TensorFlow: pixels from -1 to 1.
        pixels: Some(Pixels { mean: [0.5; 3], std: [0.5; 3], ..IMAGENET }),
        build: |size| build(size, &TORCHVISION),
        ..GOOGLENET
    },
];

fn train() -> FitConfig {
    // "Decreasing the learning rate by 4 % every 8 epochs"; the rate is that of Caffe's solver.
    Published { rate: 0.01, batch: 32, decay: 2e-4, epochs: 60, curve: steps(8, 0.96) }.sgd()
}

// Table 1: the blocks, and after which of them a pool halves the size.
const BLOCKS: [(&str, [usize; 6]); 9] = [
    ("3a", [64, 96, 128, 16, 32, 32]),
    ("3b", [128, 128, 192, 32, 96, 64]),
    ("4a", [192, 96, 208, 16, 48, 64]),
    ("4b", [160, 112, 224, 24, 64, 64]),
    ("4c", [128, 128, 256, 24, 64, 64]),
    ("4d", [112, 144, 288, 32, 64, 64]),
    ("4e", [256, 160, 320, 32, 128, 128]),
    ("5a", [256, 160, 320, 32, 128, 128]),
    ("5b", [384, 192, 384, 48, 128, 128]),
];

// What differs between the two forms.
struct Form {
    style: Style<'static>,
    stem: [&'static str; 3],
    inception: &'static str,
    pools: [&'static str; 4],
    /// The window of the last pool: 3 in the paper, 2 in torchvision.
    last_pool: usize,
    lrn: bool,
    /// From 14x14 to 4x4: windows of 5 with stride 3 in the paper; 4x4 from any size in torchvision.
    head_pool: fn() -> Op,
    heads: [Head; 2],
    dropout: f32,
    last: &'static str,
}

// Names of the layers of an auxiliary head.
struct Head {
    conv: &'static str,
    dense: [&'static str; 2],
}

const PAPER: Form = Form {
    style: Style { names: ["1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj"], last: 5, layer: plain },
    stem: ["conv1.7x7_s2", "conv2.3x3_reduce", "conv2.3x3"],
    inception: "inception_",
    pools: ["pool1", "pool2", "pool3", "pool4"],
    last_pool: 3,
    lrn: true,
    head_pool: || Pool2D::average(5).stride(3).into(),
    heads: [
        Head { conv: "loss1.conv", dense: ["loss1.fc", "loss1.classifier"] },
        Head { conv: "loss2.conv", dense: ["loss2.fc", "loss2.classifier"] },
    ],
    dropout: 0.4,
    last: "loss3.classifier",
};

const TORCHVISION: Form = Form {
    style: Style {
        names: ["branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"],
        last: 3,
        layer: basic,
    },
    stem: ["conv1", "conv2", "conv3"],
    inception: "inception",
    pools: ["maxpool1", "maxpool2", "maxpool3", "maxpool4"],
    last_pool: 2,
    lrn: false,
    head_pool: || AdaptivePool2D::average([4, 4]).into(),
    heads: [
        Head { conv: "aux1.conv", dense: ["aux1.fc1", "aux1.fc2"] },
        Head { conv: "aux2.conv", dense: ["aux2.fc1", "aux2.fc2"] },
    ],
    dropout: 0.2,
    last: "fc",
};

fn build(size: &Size, form: &Form) -> Result<Graph> {
    let (net, x) = Net::new(size)?;
    let mut net = net.with_norm(0.9, 1e-3);
    let mut x = stem(&mut net, form, x)?;
    for (name, row) in BLOCKS {
        x = Branches::row(row).add(&mut net, &form.style, &format!("{}{name}", form.inception), x)?;
        x = match name {
            "3b" => net.add(form.pools[2], Pool2D::max(3).stride(2).ceil(true), x)?,
            "4e" => net.add(form.pools[3], Pool2D::max(form.last_pool).stride(2).ceil(true), x)?,
            _ => x,
        };
        match name {
            "4a" => head(&mut net, form, 0, size.classes, x)?,
            "4d" => head(&mut net, form, 1, size.classes, x)?,
            _ => {}
        }
    }
    let x = net.add("avgpool", GlobalPool::average(), x)?;
    let x = net.add("dropout", Dropout::new(form.dropout), x)?;
    net.classify(form.last, size.classes, x)
}

fn stem(net: &mut Net, form: &Form, x: Value) -> Result<Value> {
    let [first, reduce, second] = form.stem;
    let pool = || Pool2D::max(3).stride(2).ceil(true);
    let x = (form.style.layer)(net, first, conv(64, 7).stride(2), x)?;
    let x = net.add(form.pools[0], pool(), x)?;
    let x = if form.lrn { net.add("pool1.norm", Lrn::default(), x)? } else { x };
    let x = (form.style.layer)(net, reduce, conv(64, 1), x)?;
    let x = (form.style.layer)(net, second, conv(192, 3), x)?;
    let x = if form.lrn { net.add("conv2.norm", Lrn::default(), x)? } else { x };
    net.add(form.pools[1], pool(), x)
}

// A classifier on a middle layer.
fn head(net: &mut Net, form: &Form, i: usize, classes: usize, x: Value) -> Result<()> {
    let Head { conv: name, dense: [hidden, last] } = form.heads[i];
    let at = name.split('.').next().unwrap_or(name);
    let y = net.add(format!("{at}.pool"), (form.head_pool)(), x)?;
    let y = (form.style.layer)(net, name, conv(128, 1), y)?;
    let y = net.add(format!("{at}.flatten"), Flatten::new(), y)?;
    let y = net.add(hidden, dense(1024).activation(Activation::Relu), y)?;
    let y = net.add(format!("{at}.dropout"), Dropout::new(0.7), y)?;
    net.head(last, classes, 0.3, y)
}
