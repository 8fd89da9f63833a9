//! SqueezeNet: AlexNet's accuracy with a fiftieth of its weights, by `fire` modules.
//!
//! A fire module squeezes its input to few channels with 1x1 kernels and expands them with 1x1 and 3x3 kernels side by
//! side. Parameters: 1,248,424 (1.0) and 1,235,496 (1.1; torchvision's tables). Pooling is in ceil mode, as in the
//! Caffe models of the authors.
//!
//! Source: Iandola et al., "SqueezeNet", 2016, arXiv:1602.07360; 1.1 is from the authors' repository.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, Concat, Dropout, GlobalPool, Pool2D};
use crate::train::FitConfig;
use crate::train::schedule::{Cosine, Curve};
use crate::zoo::block::{Net, Size, valid};
use crate::zoo::settings::Published;
use crate::zoo::{Entry, block::conv, entry::IMAGENET};

// A place in torchvision's list of features after the first convolution.
#[derive(Clone, Copy)]
enum Part {
    Pool,
    // Channels after the squeeze; each half of the expansion has as many as the second number.
    Fire(usize, usize),
}
use Part::{Fire, Pool};

const V10: [Part; 11] = [
    Pool,
    Fire(16, 64),
    Fire(16, 64),
    Fire(32, 128),
    Pool,
    Fire(32, 128),
    Fire(48, 192),
    Fire(48, 192),
    Fire(64, 256),
    Pool,
    Fire(64, 256),
];

const V11: [Part; 11] = [
    Pool,
    Fire(16, 64),
    Fire(16, 64),
    Pool,
    Fire(32, 128),
    Fire(32, 128),
    Pool,
    Fire(48, 192),
    Fire(48, 192),
    Fire(64, 256),
    Fire(64, 256),
];

const SQUEEZENET: Entry = Entry {
    name: "squeezenet-1.0",
    about: "eight fire modules: squeeze by 1x1, expand by 1x1 and 3x3",
    family: "SqueezeNet",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(IMAGENET),
    train,
    build: |size| build(size, [96, 7], &V10),
};

pub(super) const ENTRIES: &[Entry] = &[
    SQUEEZENET,
    Entry {
        name: "squeezenet-1.1",
        about: "the same with less than half of the multiply-adds",
        build: |size| build(size, [64, 3], &V11),
        ..SQUEEZENET
    },
];

fn train() -> FitConfig {
    // The authors let the rate fall in a straight line; half a cosine wave ends at 0 too.
    let falling = Curve::Cosine(Cosine::default());
    Published { rate: 0.04, batch: 512, decay: 2e-4, epochs: 68, curve: falling }.sgd()
}

fn build(size: &Size, [filters, kernel]: [usize; 2], parts: &[Part]) -> Result<Graph> {
    let (mut net, x) = Net::new(size)?;
    let mut x = net.add("features.0", valid(filters, kernel).stride(2).activation(Activation::Relu), x)?;
    for (i, part) in parts.iter().enumerate() {
        let at = format!("features.{}", i + 2);
        x = match *part {
            Pool => net.add(at, Pool2D::max(3).stride(2).ceil(true), x)?,
            Fire(squeeze, expand) => fire(&mut net, &at, [squeeze, expand], x)?,
        };
    }
    let x = net.add("classifier.0", Dropout::new(0.5), x)?;
    let last = valid(size.classes, 1).init(crate::init::Init::Normal { mean: 0.0, std: 0.01 });
    let x = net.add("classifier.1", last.activation(Activation::Relu), x)?;
    let x = net.add("classifier.3", GlobalPool::average(), x)?;
    net.add("softmax", Activation::Softmax, x)?;
    Ok(net.done())
}

fn fire(net: &mut Net, at: &str, [squeeze, expand]: [usize; 2], x: Value) -> Result<Value> {
    let layer = |filters, kernel| conv(filters, kernel).activation(Activation::Relu);
    let s = net.add(format!("{at}.squeeze"), layer(squeeze, 1), x)?;
    let one = net.add(format!("{at}.expand1x1"), layer(expand, 1), s)?;
    let three = net.add(format!("{at}.expand3x3"), layer(expand, 3), s)?;
    net.join(format!("{at}.concat"), Concat::new(), &[one, three])
}
