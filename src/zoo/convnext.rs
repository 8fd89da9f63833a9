//! ConvNeXt-Tiny: a ResNet with the parts of a vision transformer, 7x7 depthwise kernels and layer normalisation.
//!
//! 28,589,128 parameters (torchvision's table). A block filters each channel by 7x7, normalises each pixel, widens it
//! four times by a dense layer (a 1x1 convolution) with GELU, narrows it by another, scales each channel by a learned
//! number that starts at 1e-6, and adds the result to its input.
//!
//! Source: Liu et al., "A ConvNet for the 2020s", 2022, arXiv:2201.03545, figure 4 and table 5.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::init::Init;
use crate::ops::{Activation, Add, Affine, Conv2D, GlobalPool, LayerNorm, StochasticDepth};
use crate::train::FitConfig;
use crate::train::optim::AdamW;
use crate::train::schedule::{Cosine, Curve, Warmup};
use crate::zoo::Entry;
use crate::zoo::block::{Net, Size, conv, valid};
use crate::zoo::entry::{IMAGENET, Pixels};
use crate::zoo::settings::Published;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "convnext-tiny",
    about: "18 blocks of 7x7 depthwise kernels, layer normalisation and GELU",
    family: "ConvNeXt",
    input: [224, 224, 3],
    classes: 1000,
    pixels: Some(Pixels { crop: 224.0 / 236.0, ..IMAGENET }),
    train,
    build,
}];

// Blocks and channels of the four stages.
const STAGES: [(usize, usize); 4] = [(3, 96), (3, 192), (9, 384), (3, 768)];
const BLOCKS: usize = 18;

fn train() -> FitConfig {
    let published =
        Published { rate: 4e-3, batch: 4096, decay: 0.05, epochs: 300, curve: Curve::Cosine(Cosine::default()) };
    let mut config = published.run();
    let learning_rate = published.rate();
    config.optimizer = AdamW { learning_rate, weight_decay: published.decay, ..AdamW::default() }.into();
    config.schedule.warmup = Some(Warmup::Epochs(20.0));
    config
}

fn build(size: &Size) -> Result<Graph> {
    let (mut net, x) = Net::new(size)?;
    let mut x = net.add("features.0.0", small(valid(96, 4).stride(4)), x)?;
    x = net.add("features.0.1", norm(), x)?;
    let mut done = 0;
    for (s, (blocks, channels)) in STAGES.into_iter().enumerate() {
        if s > 0 {
            let at = format!("features.{}", 2 * s);
            x = net.add(format!("{at}.0"), norm(), x)?;
            x = net.add(format!("{at}.1"), small(valid(channels, 2).stride(2)), x)?;
        }
        for i in 0..blocks {
            let skip = 0.1 * done as f32 / (BLOCKS - 1) as f32;
            x = block(&mut net, &format!("features.{}.{i}", 2 * s + 1), skip, x)?;
            done += 1;
        }
    }
    let x = net.add("avgpool", GlobalPool::average(), x)?;
    let x = net.add("classifier.0", norm(), x)?;
    net.classify("classifier.2", size.classes, x)
}

fn block(net: &mut Net, at: &str, skip: f32, x: Value) -> Result<Value> {
    let channels = net.shape(x).channels();
    let y = net.add(format!("{at}.block.0"), small(conv(channels, 7).groups(channels)), x)?;
    let y = net.add(format!("{at}.block.2"), norm(), y)?;
    let y = net.add(format!("{at}.block.3"), small(conv(4 * channels, 1)).activation(Activation::Gelu), y)?;
    let mut y = net.add(format!("{at}.block.5"), small(conv(channels, 1)), y)?;
    y = net.add(format!("{at}.layer_scale"), Affine::layer_scale(1e-6), y)?;
    if skip > 0.0 {
        y = net.add(format!("{at}.stochastic_depth"), StochasticDepth::new(skip), y)?;
    }
    net.join(format!("{at}.add"), Add::new(), &[y, x])
}

fn norm() -> LayerNorm {
    LayerNorm::default().epsilon(1e-6)
}

// Weights start from a normal distribution of deviation 0.02, cut at two deviations.
fn small(op: Conv2D) -> Conv2D {
    op.init(Init::TruncatedNormal { mean: 0.0, std: 0.02 })
}
