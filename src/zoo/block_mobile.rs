//! The inverted residual block of MobileNet v2 and its successors: widen, filter each channel alone, narrow.
//!
//! ```text
//! x -> 1x1, more channels -> depthwise -> 1x1, few channels -> + x
//! ```
//!
//! Each convolution is followed by batch normalisation, the first two by an activation. `x` is added where the block
//! changes neither size nor channels.
//!
//! Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, arXiv:1801.04381, figure 4.

use crate::error::Result;
use crate::graph::Value;
use crate::ops::{Activation, Add, Padding};
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
    /// Names of the last convolution and its normalisation.
    pub project: [String; 2],
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
        y = net.conv_norm(self.project, conv(self.filters, 1), Activation::Linear, y)?;
        if stride > 1 || net.shape(x) != net.shape(y) {
            return Ok(y);
        }
        net.join(format!("{at}.add"), Add::new(), &[y, x])
    }
}
