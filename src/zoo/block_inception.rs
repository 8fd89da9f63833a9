//! Inception blocks (L21): several branches on the same input, their outputs side by side.
//!
//! The first form has four branches: 1x1; 1x1 then 3x3; 1x1 then 5x5; max-pool then 1x1. The 1x1 convolutions before
//! the larger ones reduce the channels that those have to read.
//!
//! Source: Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842, figure 2(b).

use crate::error::Result;
use crate::graph::Value;
use crate::ops::{Activation, Concat, Conv2D, Padding, Pool2D};
use crate::zoo::block::{Net, conv, pair};

/// Kernels of the six convolutions, in the columns' order of the paper's table 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Branches {
    pub one: usize,
    pub reduce3: usize,
    pub three: usize,
    pub reduce5: usize,
    pub five: usize,
    pub pool: usize,
}

impl Branches {
    /// The numbers of one row of the table.
    pub const fn row([one, reduce3, three, reduce5, five, pool]: [usize; 6]) -> Self {
        Self { one, reduce3, three, reduce5, five, pool }
    }

    /// Adds the block to a network; the names of its layers begin with `at`.
    pub fn add(self, net: &mut Net, style: &Style<'_>, at: &str, x: Value) -> Result<Value> {
        let pool = Pool2D::max(3).stride(1).padding(Padding::all(1));
        let pooled = net.add(format!("{at}.pool"), pool, x)?;
        let mut layer = |i: usize, op: Conv2D, x| (style.layer)(net, &format!("{at}.{}", style.names[i]), op, x);
        let one = layer(0, conv(self.one, 1), x)?;
        let reduced = layer(1, conv(self.reduce3, 1), x)?;
        let three = layer(2, conv(self.three, 3), reduced)?;
        let reduced = layer(3, conv(self.reduce5, 1), x)?;
        let five = layer(4, conv(self.five, style.last), reduced)?;
        let pooled = layer(5, conv(self.pool, 1), pooled)?;
        net.join(format!("{at}.concat"), Concat::new(), &[one, three, five, pooled])
    }
}

/// Adds a convolution, and what follows each one, to a network.
pub(super) type Layer = fn(&mut Net, &str, Conv2D, Value) -> Result<Value>;

/// What differs between the paper's blocks and torchvision's.
pub(super) struct Style<'a> {
    /// Names of the six convolutions.
    pub names: [&'a str; 6],
    /// The kernel of the third branch: 5 in the paper, 3 in torchvision.
    pub last: usize,
    pub layer: Layer,
}

/// A convolution with bias and ReLU, as in the paper.
pub(super) fn plain(net: &mut Net, at: &str, op: Conv2D, x: Value) -> Result<Value> {
    net.add(at, op.activation(Activation::Relu), x)
}

/// A convolution with batch normalisation and ReLU, torchvision's `BasicConv2d`.
pub(super) fn basic(net: &mut Net, at: &str, op: Conv2D, x: Value) -> Result<Value> {
    net.conv_norm(pair(at, ["conv", "bn"]), op, Activation::Relu, x)
}

/// Convolutions one after the other, each with what follows it: names below `at`, and operations.
pub(super) fn chain(net: &mut Net, at: &str, layers: &[(&str, Conv2D)], mut x: Value) -> Result<Value> {
    for (name, op) in layers {
        x = basic(net, &format!("{at}.{name}"), op.clone(), x)?;
    }
    Ok(x)
}
