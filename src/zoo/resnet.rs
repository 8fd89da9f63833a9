//! ResNet: stages of residual blocks (L20), up to 152 layers deep (E25).
//!
//! Parameters of ResNet-18, 34, 50, 101 and 152: 11,689,512, 21,797,672, 25,557,032, 44,549,160 and 60,192,808
//! (torchvision's tables). `plain-34` is ResNet-34 without its shortcuts, for the paper's comparison: depth helps with
//! them and hurts without.
//!
//! Source: He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385, table 1.

use crate::error::Result;
use crate::graph::Graph;
use crate::ops::{Activation, GlobalPool, Padding, Pool2D};
use crate::train::FitConfig;
use crate::zoo::block::{Net, Size, conv};
use crate::zoo::block_residual::Residual;
use crate::zoo::settings::{Published, steps};
use crate::zoo::{Entry, entry::IMAGENET};

// Blocks of the four stages.
struct Plan {
    blocks: [usize; 4],
    bottleneck: bool,
    shortcut: bool,
}

const TWO: Plan = Plan { blocks: [3, 4, 6, 3], bottleneck: false, shortcut: true };
const THREE: Plan = Plan { bottleneck: true, ..TWO };

const RESNET_18: Entry = Entry {
    name: "resnet-18",
    about: "8 residual blocks of two 3x3 convolutions",
    family: "ResNet",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(IMAGENET),
    train,
    build: |size| build(size, &Plan { blocks: [2, 2, 2, 2], ..TWO }),
};

pub(super) const ENTRIES: &[Entry] = &[
    RESNET_18,
    Entry { name: "resnet-34", about: "16 residual blocks of two", build: |size| build(size, &TWO), ..RESNET_18 },
    Entry {
        name: "resnet-50",
        about: "16 bottleneck blocks: 1x1, 3x3, 1x1",
        build: |size| build(size, &THREE),
        ..RESNET_18
    },
    Entry {
        name: "resnet-101",
        about: "33 bottleneck blocks",
        build: |size| build(size, &Plan { blocks: [3, 4, 23, 3], ..THREE }),
        ..RESNET_18
    },
    Entry {
        name: "resnet-152",
        about: "50 bottleneck blocks, the winner of 2015",
        build: |size| build(size, &Plan { blocks: [3, 8, 36, 3], ..THREE }),
        ..RESNET_18
    },
    Entry {
        name: "plain-34",
        about: "ResNet-34 without shortcuts, to see what they do",
        build: |size| build(size, &Plan { shortcut: false, ..TWO }),
        ..RESNET_18
    },
];

fn train() -> FitConfig {
    Published { rate: 0.1, batch: 256, decay: 1e-4, epochs: 90, curve: steps(30, 0.1) }.sgd()
}

fn build(size: &Size, plan: &Plan) -> Result<Graph> {
    let (mut net, x) = Net::new(size)?;
    let names = ["conv1", "bn1"].map(String::from);
    let x = net.conv_norm(names, conv(64, 7).stride(2), Activation::Relu, x)?;
    let mut x = net.add("maxpool", Pool2D::max(3).stride(2).padding(Padding::all(1)), x)?;
    for (stage, blocks) in plan.blocks.into_iter().enumerate() {
        for i in 0..blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let Plan { bottleneck, shortcut, .. } = *plan;
            let block = Residual { width: 64 << stage, stride, bottleneck, shortcut };
            x = block.add(&mut net, &format!("layer{}.{i}", stage + 1), x)?;
        }
    }
    let x = net.add("avgpool", GlobalPool::average(), x)?;
    net.classify("fc", size.classes, x)
}
