//! LeNet-5, the network that read cheques (E23), and the form in which it is usually rebuilt.
//!
//! `lenet-5` is the paper's, layer by layer: C1 with 6 kernels of 5x5; S2, a mean over 2x2 with one learned factor and
//! one offset for each map; C3 with 16 kernels, each of which sees only the maps that table I says; S4; C5 with 120
//! kernels over all that is left; F6 with 84 units. These have 60,000 parameters, as the paper counts. The field is
//! 32x32; a smaller input, such as MNIST's 28x28, stands in its middle.
//!
//! What is not as published:
//! - The squashing function `1.7159 tanh(2/3 a)` is plain `tanh`: the weights before and after it absorb both
//!   constants, and the ranges that they start from are wider in proportion.
//! - The 10 outputs are squared distances to fixed 7x12 pictures of the digits. Here they are a dense layer without
//!   bias and a softmax, 840 weights more, which are learned. A softmax of negative distances is a softmax of such a
//!   layer: `|x|^2` is the same for all classes, and so is `|w|^2` of weights that are -1 and 1.
//! - It was trained by a second-order method, with a rate of its own for each weight. Adam stands in for it.
//!
//! `lenet` has every kernel of C3 connected to every map, ReLU and max-pooling: 61,706 parameters.
//!
//! Source: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings
//! of the IEEE 86(11), 1998, section II.B.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::init::Init;
use crate::ops::{Activation, Affine, Concat, Conv2D, Dense, Flatten, Padding, Pool2D, Slice};
use crate::train::FitConfig;
use crate::train::optim::Adam;
use crate::zoo::Entry;
use crate::zoo::block::{Net, Size, valid};

const LENET_5: Entry = Entry {
    name: "lenet-5",
    about: "LeCun's network of 1998, as published but for the outputs",
    family: "LeNet",
    input: [28, 28, 1],
    classes: 10,
    pixels: None,
    train,
    build: published,
};

pub(super) const ENTRIES: &[Entry] = &[
    LENET_5,
    Entry {
        name: "lenet",
        about: "the same with all maps connected, ReLU and max-pooling",
        build: connected,
        ..LENET_5
    },
];

fn train() -> FitConfig {
    FitConfig { epochs: 20, batch_size: 64, optimizer: Adam::default().into(), ..FitConfig::default() }
}

fn published(size: &Size) -> Result<Graph> {
    let (mut net, x) = Net::new(size)?;
    let x = net.add("c1", field(size, squashed(6, 25 * size.input[2])), x)?;
    let x = subsample(&mut net, "s2", x)?;
    let x = sparse(&mut net, x)?;
    let x = subsample(&mut net, "s4", x)?;
    let x = net.add("c5", squashed(120, 16 * 25), x)?;
    let x = net.add("flatten", Flatten::new(), x)?;
    let x = net.add("f6", Dense::new(84).activation(Activation::Tanh).init(start(120)), x)?;
    net.add("output", Dense::new(size.classes).no_bias().activation(Activation::Softmax), x)?;
    Ok(net.done())
}

// S2 and S4: the mean of 2x2, times a factor, plus an offset, through tanh.
fn subsample(net: &mut Net, at: &str, x: Value) -> Result<Value> {
    let mean = net.add(format!("{at}.mean"), Pool2D::average(2), x)?;
    let scaled = net.add(at, Affine::new(), mean)?;
    net.activate(at, Activation::Tanh, scaled)
}

// C3 by table I. With the six maps in a ring, the first six kernels see 3 neighbours, the next six 4; then three see
// two pairs that lie apart, and the last one sees all.
fn sparse(net: &mut Net, x: Value) -> Result<Value> {
    let ring = net.join("c3.ring", Concat::new(), &[x, x])?;
    let of = |maps: usize| (0..6).map(|i| vec![(i, i + maps)]).collect::<Vec<_>>();
    let apart = vec![vec![(0, 2), (3, 5)], vec![(1, 3), (4, 6)], vec![(2, 4), (5, 7)]];
    let three = grouped(net, "c3.threes", ring, &of(3))?;
    let four = grouped(net, "c3.fours", ring, &of(4))?;
    let pairs = grouped(net, "c3.pairs", ring, &apart)?;
    let all = net.add("c3.all", squashed(1, 6 * 25), x)?;
    net.join("c3.concat", Concat::new(), &[three, four, pairs, all])
}

// One kernel for each list of ranges of maps: a convolution in groups on those maps side by side.
fn grouped(net: &mut Net, at: &str, ring: Value, kernels: &[Vec<(usize, usize)>]) -> Result<Value> {
    let mut maps = Vec::new();
    for (i, (from, to)) in kernels.iter().flatten().enumerate() {
        maps.push(net.add(format!("{at}.maps{i}"), Slice::channels(*from, *to), ring)?);
    }
    let maps = net.join(format!("{at}.maps"), Concat::new(), &maps)?;
    let inputs = net.shape(maps).channels() / kernels.len();
    net.add(at, squashed(kernels.len(), inputs * 25).groups(kernels.len()), maps)
}

fn connected(size: &Size) -> Result<Graph> {
    let (mut net, x) = Net::new(size)?;
    let x = net.add("conv1", field(size, valid(6, 5).activation(Activation::Relu)), x)?;
    let x = net.add("pool1", Pool2D::max(2), x)?;
    let x = net.add("conv2", valid(16, 5).activation(Activation::Relu), x)?;
    let x = net.add("pool2", Pool2D::max(2), x)?;
    let x = net.add("flatten", Flatten::new(), x)?;
    let x = net.add("fc1", Dense::new(120).activation(Activation::Relu).init(Init::HeNormal), x)?;
    let x = net.add("fc2", Dense::new(84).activation(Activation::Relu).init(Init::HeNormal), x)?;
    net.classify("fc3", size.classes, x)
}

// A 5x5 convolution with tanh, whose units see so many inputs.
fn squashed(filters: usize, inputs: usize) -> Conv2D {
    Conv2D::new(filters, 5).activation(Activation::Tanh).init(start(inputs))
}

// The paper's range, 2.4 over the inputs of a unit, times the constants of its tanh.
fn start(inputs: usize) -> Init {
    let limit = 2.4 / inputs as f32 * 1.7159 * 2.0 / 3.0;
    Init::Uniform { low: -limit, high: limit }
}

// Padding that makes the input a field of 32x32.
fn field(size: &Size, op: Conv2D) -> Conv2D {
    let [v, h] = [0, 1].map(|i| 32_usize.saturating_sub(size.input[i]));
    op.padding(Padding::Explicit { top: v / 2, bottom: v - v / 2, left: h / 2, right: h - h / 2 })
}
