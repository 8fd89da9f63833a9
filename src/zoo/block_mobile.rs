//! The inverted residual block of MobileNet v2 and its successors: widen, filter each channel alone, narrow.
//!
//! ```text
//! x -> 1x1, more channels -> depthwise -> 1x1, few channels -> + x
//! ```
//!
//! Each convolution is followed by batch normalisation, the first two by an activation. `x` is added where the block
//! changes neither size nor channels.
//!
//! Successors weigh the channels before the last convolution by *squeeze-and-excite*: the mean of each channel goes
//! through two 1x1 convolutions, and the result, from 0 to 1, multiplies the channel; and in training they skip the
//! block for a share of the samples (stochastic depth).
//!
//! Sources: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, arXiv:1801.04381, figure 4;
//! Hu et al., "Squeeze-and-Excitation Networks", 2017, arXiv:1709.01507; Huang et al., "Deep Networks with Stochastic
//! Depth", 2016, arXiv:1603.09382.

use crate::error::Result;
use crate::graph::Value;
use crate::ops::{Activation, Add, GlobalPool, Merge, Padding, StochasticDepth};
use crate::zoo::block::{Net, conv};

/// One block.
#[derive(Debug, Clone)]
pub(super) struct Inverted {
    /// Channels between the two 1x1 convolutions.
    pub hidden: usize,
    /// Channels of the result.
    pub filters: usize,
    pub kernel: usize,
    pub stride: usize,
    pub activation: Activation,
    /// Padding of the depthwise convolution, where it is not half of the kernel on each side.
    pub padding: Option<Padding>,
    /// Names of the first convolution and its normalisation; `None` where there is nothing to widen.
    pub expand: Option<[String; 2]>,
    /// Names of the depthwise convolution and its normalisation.
    pub depthwise: [String; 2],
    /// Whether and how the channels are weighed.
    pub squeeze: Option<Squeeze>,
    /// Names of the last convolution and its normalisation.
    pub project: [String; 2],
    /// The share of the samples for which training skips the block.
    pub skip: f32,
}

/// Squeeze-and-excite.
#[derive(Debug, Clone)]
pub(super) struct Squeeze {
    /// What the names of the layers begin with; the convolutions are `fc1` and `fc2`.
    pub at: String,
    /// Channels between the two convolutions.
    pub width: usize,
    /// The activations after them; the second one has results from 0 to 1.
    pub activations: [Activation; 2],
}

impl Squeeze {
    fn add(&self, net: &mut Net, x: Value) -> Result<Value> {
        let Self { at, width, activations: [inner, gate] } = self;
        let channels = net.shape(x).channels();
        let s = net.add(format!("{at}.avgpool"), GlobalPool::average().keep_dims(true), x)?;
        let s = net.add(format!("{at}.fc1"), conv(*width, 1).activation(*inner), s)?;
        let s = net.add(format!("{at}.fc2"), conv(channels, 1).activation(*gate), s)?;
        net.join(format!("{at}.scale"), Merge::multiply(), &[x, s])
    }
}

impl Inverted {
    /// Adds the block to a network; the name of the sum begins with `at`.
    pub fn add(self, net: &mut Net, at: &str, x: Value) -> Result<Value> {
        let (hidden, stride, last) = (self.hidden, self.stride, self.activation);
        let mut y = x;
        if let Some(names) = self.expand {
            y = net.conv_norm(names, conv(hidden, 1), last, y)?;
        }
        let mut op = conv(hidden, self.kernel).stride(stride).groups(hidden);
        op.padding = self.padding.unwrap_or(op.padding);
        y = net.conv_norm(self.depthwise, op, last, y)?;
        if let Some(squeeze) = self.squeeze {
            y = squeeze.add(net, y)?;
        }
        y = net.conv_norm(self.project, conv(self.filters, 1), Activation::Linear, y)?;
        if stride > 1 || net.shape(x) != net.shape(y) {
            return Ok(y);
        }
        if self.skip > 0.0 {
            y = net.add(format!("{at}.stochastic_depth"), StochasticDepth::new(self.skip), y)?;
        }
        net.join(format!("{at}.add"), Add::new(), &[y, x])
    }
}
