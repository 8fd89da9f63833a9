//! MobileNet v3, small and large: inverted residual blocks, some with squeeze-and-excite, in numbers that a search found.
//!
//! 2,542,856 and 5,483,032 parameters (torchvision's tables), layers named as there.
//!
//! Source: Howard et al., "Searching for MobileNetV3", 2019, arXiv:1905.02244, tables 1 and 2.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::Activation::{self, HardSigmoid, HardSwish, Relu};
use crate::ops::{Dropout, GlobalPool};
use crate::train::FitConfig;
use crate::zoo::block::{Net, Size, conv, dense, pair};
use crate::zoo::block_mobile::{Inverted, Squeeze};
use crate::zoo::settings::{Published, steps};
use crate::zoo::{Entry, entry::IMAGENET};

const LARGE: Entry = Entry {
    name: "mobilenet-v3-large",
    about: "15 inverted residual blocks, some with squeeze-and-excite",
    family: "MobileNet",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(IMAGENET),
    train,
    build: |size| build(size, &LARGE_ROWS, 1280),
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "mobilenet-v3-small",
        about: "11 such blocks",
        build: |size| build(size, &SMALL_ROWS, 1024),
        ..LARGE
    },
    LARGE,
];

// A row of the tables: kernel, channels inside, outputs, whether there is squeeze-and-excite, activation, stride.
type Row = (usize, usize, usize, bool, Activation, usize);

const LARGE_ROWS: [Row; 15] = [
    (3, 16, 16, false, Relu, 1),
    (3, 64, 24, false, Relu, 2),
    (3, 72, 24, false, Relu, 1),
    (5, 72, 40, true, Relu, 2),
    (5, 120, 40, true, Relu, 1),
    (5, 120, 40, true, Relu, 1),
    (3, 240, 80, false, HardSwish, 2),
    (3, 200, 80, false, HardSwish, 1),
    (3, 184, 80, false, HardSwish, 1),
    (3, 184, 80, false, HardSwish, 1),
    (3, 480, 112, true, HardSwish, 1),
    (3, 672, 112, true, HardSwish, 1),
    (5, 672, 160, true, HardSwish, 2),
    (5, 960, 160, true, HardSwish, 1),
    (5, 960, 160, true, HardSwish, 1),
];

const SMALL_ROWS: [Row; 11] = [
    (3, 16, 16, true, Relu, 2),
    (3, 72, 24, false, Relu, 2),
    (3, 88, 24, false, Relu, 1),
    (5, 96, 40, true, HardSwish, 2),
    (5, 240, 40, true, HardSwish, 1),
    (5, 240, 40, true, HardSwish, 1),
    (5, 120, 48, true, HardSwish, 1),
    (5, 144, 48, true, HardSwish, 1),
    (5, 288, 96, true, HardSwish, 2),
    (5, 576, 96, true, HardSwish, 1),
    (5, 576, 96, true, HardSwish, 1),
];

fn train() -> FitConfig {
    // torchvision's run; the paper's is 0.1 for batches of 4096, times 0.99 every three epochs.
    Published { rate: 0.064, batch: 1024, decay: 1e-5, epochs: 600, curve: steps(2, 0.973) }.rmsprop(0.0316)
}

fn build(size: &Size, rows: &[Row], hidden: usize) -> Result<Graph> {
    let (net, x) = Net::new(size)?;
    let mut net = net.with_norm(0.99, 1e-3);
    let mut x = net.conv_norm(pair("features.0", ["0", "1"]), conv(16, 3).stride(2), HardSwish, x)?;
    for (i, row) in rows.iter().enumerate() {
        x = block(&mut net, &format!("features.{}", i + 1), *row, x)?;
    }
    let last = conv(6 * net.shape(x).channels(), 1);
    let x = net.conv_norm(pair(&format!("features.{}", rows.len() + 1), ["0", "1"]), last, HardSwish, x)?;
    let x = net.add("avgpool", GlobalPool::average(), x)?;
    let x = net.add("classifier.0", dense(hidden).activation(HardSwish), x)?;
    let x = net.add("classifier.2", Dropout::new(0.2), x)?;
    net.classify("classifier.3", size.classes, x)
}

fn block(net: &mut Net, at: &str, row: Row, x: Value) -> Result<Value> {
    let (kernel, hidden, filters, squeezes, activation, stride) = row;
    // torchvision counts the parts that are there.
    let widens = hidden != net.shape(x).channels();
    let (n, m) = (usize::from(widens), usize::from(squeezes));
    let inner = |i: usize| format!("{at}.block.{i}");
    let squeeze = Squeeze { at: inner(n + 1), width: near_eighths(hidden / 4), activations: [Relu, HardSigmoid] };
    let inverted = Inverted {
        hidden,
        filters,
        kernel,
        stride,
        activation,
        padding: None,
        expand: widens.then(|| pair(&inner(0), ["0", "1"])),
        depthwise: pair(&inner(n), ["0", "1"]),
        squeeze: squeezes.then_some(squeeze),
        project: pair(&inner(n + m + 1), ["0", "1"]),
        skip: 0.0,
    };
    inverted.add(net, at, x)
}

// The nearest multiple of 8, but no less than nine tenths.
fn near_eighths(width: usize) -> usize {
    let nearest = ((width + 4) / 8 * 8).max(8);
    if 10 * nearest < 9 * width { nearest + 8 } else { nearest }
}
