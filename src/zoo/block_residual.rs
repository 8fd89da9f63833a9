//! Residual blocks (L20): `relu(F(x) + x)`, where `F` is two or three convolutions with batch normalisation.
//!
//! Where `F` changes the size or the number of channels, a 1x1 convolution with the same stride changes `x` too.
//!
//! Source: He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385, figures 2 and 5.

use crate::error::Result;
use crate::graph::Value;
use crate::ops::{Activation, Add};
use crate::zoo::block::{Net, conv, pair};

/// One block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Residual {
    /// Kernels of the 3x3 convolutions; a bottleneck has four times as many outputs.
    pub width: usize,
    pub stride: usize,
    /// 1x1, 3x3, 1x1 instead of 3x3, 3x3. The stride is that of the 3x3 convolution, as in torchvision ("v1.5").
    pub bottleneck: bool,
    /// Whether `x` is added.
    pub shortcut: bool,
}

impl Residual {
    /// Adds the block to a network; the names of its layers begin with `at`.
    pub fn add(&self, net: &mut Net, at: &str, x: Value) -> Result<Value> {
        let f = if self.bottleneck { self.three(net, at, x)? } else { self.two(net, at, x)? };
        let y = if self.shortcut {
            let x = self.matched(net, at, x, f)?;
            net.join(format!("{at}.add"), Add::new(), &[f, x])?
        } else {
            f
        };
        net.add(format!("{at}.relu"), Activation::Relu, y)
    }

    fn two(&self, net: &mut Net, at: &str, x: Value) -> Result<Value> {
        let first = conv(self.width, 3).stride(self.stride);
        let y = net.conv_norm(pair(at, ["conv1", "bn1"]), first, Activation::Relu, x)?;
        net.conv_norm(pair(at, ["conv2", "bn2"]), conv(self.width, 3), Activation::Linear, y)
    }

    fn three(&self, net: &mut Net, at: &str, x: Value) -> Result<Value> {
        let middle = conv(self.width, 3).stride(self.stride);
        let y = net.conv_norm(pair(at, ["conv1", "bn1"]), conv(self.width, 1), Activation::Relu, x)?;
        let y = net.conv_norm(pair(at, ["conv2", "bn2"]), middle, Activation::Relu, y)?;
        net.conv_norm(pair(at, ["conv3", "bn3"]), conv(4 * self.width, 1), Activation::Linear, y)
    }

    // `x` in the shape of `f`.
    fn matched(&self, net: &mut Net, at: &str, x: Value, f: Value) -> Result<Value> {
        if self.stride == 1 && net.shape(x) == net.shape(f) {
            return Ok(x);
        }
        let op = conv(net.shape(f).channels(), 1).stride(self.stride);
        net.conv_norm(pair(at, ["downsample.0", "downsample.1"]), op, Activation::Linear, x)
    }
}
