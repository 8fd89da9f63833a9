//! VGG: 3x3 convolutions, doubled after each max-pool, and three dense layers; the runner-up of 2014 (E27).
//!
//! Parameters of VGG-11, 13, 16 and 19: 132,863,336, 133,047,848, 138,357,544 and 143,667,240; with batch
//! normalisation 5,504, 5,888, 8,448 and 11,008 more trainable ones (torchvision's tables).
//!
//! Without normalisation the paper had to start deep networks with the weights of shallow ones; He's initialiser does
//! without.
//!
//! Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014,
//! arXiv:1409.1556, table 1: configurations A, B, D and E.

use crate::error::Result;
use crate::graph::Graph;
use crate::ops::{Activation, Dropout, Flatten, Pool2D};
use crate::train::FitConfig;
use crate::zoo::block::{Net, Size, conv, dense};
use crate::zoo::settings::{Published, steps};
use crate::zoo::{Entry, entry::IMAGENET};

// Convolutions of the five stages, which have 64, 128, 256, 512 and 512 kernels.
const A: [usize; 5] = [1, 1, 2, 2, 2];
const B: [usize; 5] = [2, 2, 2, 2, 2];
const D: [usize; 5] = [2, 2, 3, 3, 3];
const E: [usize; 5] = [2, 2, 4, 4, 4];

const VGG_11: Entry = Entry {
    name: "vgg-11",
    about: "8 convolutions and 3 dense layers (configuration A)",
    family: "VGG",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(IMAGENET),
    train,
    build: |size| build(size, A, false),
};

pub(super) const ENTRIES: &[Entry] = &[
    VGG_11,
    Entry { name: "vgg-13", about: "10 convolutions (B)", build: |size| build(size, B, false), ..VGG_11 },
    Entry { name: "vgg-16", about: "13 convolutions (D)", build: |size| build(size, D, false), ..VGG_11 },
    Entry { name: "vgg-19", about: "16 convolutions (E)", build: |size| build(size, E, false), ..VGG_11 },
    Entry { name: "vgg-11-bn", about: "VGG-11 with batch normalisation", build: |size| build(size, A, true), ..VGG_11 },
    Entry { name: "vgg-13-bn", about: "VGG-13 with batch normalisation", build: |size| build(size, B, true), ..VGG_11 },
    Entry { name: "vgg-16-bn", about: "VGG-16 with batch normalisation", build: |size| build(size, D, true), ..VGG_11 },
    Entry { name: "vgg-19-bn", about: "VGG-19 with batch normalisation", build: |size| build(size, E, true), ..VGG_11 },
];

fn train() -> FitConfig {
    Published { rate: 0.01, batch: 256, decay: 5e-4, epochs: 74, curve: steps(25, 0.1) }.sgd()
}

fn build(size: &Size, stages: [usize; 5], norm: bool) -> Result<Graph> {
    let (mut net, mut x) = Net::new(size)?;
    // The place in torchvision's list, where a normalisation and a ReLU count too.
    let mut at = 0;
    for (count, filters) in stages.into_iter().zip([64, 128, 256, 512, 512]) {
        for _ in 0..count {
            x = if norm {
                let names = [format!("features.{at}"), format!("features.{}", at + 1)];
                // torchvision's convolutions keep their bias before a normalisation.
                let z = net.add(names[0].as_str(), conv(filters, 3), x)?;
                net.norm_act(&names[1], Activation::Relu, z)?
            } else {
                net.add(format!("features.{at}"), conv(filters, 3).activation(Activation::Relu), x)?
            };
            at += if norm { 3 } else { 2 };
        }
        x = net.add(format!("features.{at}"), Pool2D::max(2), x)?;
        at += 1;
    }
    x = net.add("flatten", Flatten::new(), x)?;
    for i in [0, 3] {
        x = net.add(format!("classifier.{i}"), dense(4096).activation(Activation::Relu), x)?;
        x = net.add(format!("classifier.{}", i + 2), Dropout::new(0.5), x)?;
    }
    net.classify("classifier.6", size.classes, x)
}
