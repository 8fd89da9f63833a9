//! The small networks that claims are tried on.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, Conv2D, Dense, Flatten, Padding, Pool2D};

/// How a feature map is made smaller behind a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Down {
    /// 2x2 max pooling.
    Max,
    /// 2x2 average pooling.
    Average,
    /// 2x2 min pooling.
    Min,
    /// The convolution has stride 2, and nothing is pooled.
    Stride,
    /// It is not.
    Not,
}

impl Down {
    /// What it is called in tables and pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Max => "max pooling",
            Self::Average => "average pooling",
            Self::Min => "min pooling",
            Self::Stride => "stride 2",
            Self::Not => "no pooling",
        }
    }

    fn pool(self) -> Option<Pool2D> {
        match self {
            Self::Max => Some(Pool2D::max(2)),
            Self::Average => Some(Pool2D::average(2)),
            Self::Min => Some(Pool2D::min(2)),
            Self::Stride | Self::Not => None,
        }
    }
}

/// 3x3 convolutions with ReLU, each made smaller behind it, then one dense layer of 10 classes.
///
/// The convolutions are called `conv1`, `conv2`, ..., what is behind them `down1`, `down2`, ...
pub(super) fn cnn(down: Down, kernels: &[usize]) -> Result<Graph> {
    let mut g = Graph::new("cnn");
    let mut y = g.input([28, 28, 1])?;
    for (i, kernels) in kernels.iter().enumerate() {
        let conv = Conv2D::new(*kernels, 3).padding(Padding::Same).activation(Activation::Relu);
        let conv = if down == Down::Stride { conv.stride(2) } else { conv };
        y = g.add_named(format!("conv{}", i + 1), conv, &[y])?;
        if let Some(pool) = down.pool() {
            y = g.add_named(format!("down{}", i + 1), pool, &[y])?;
        }
    }
    classes(&mut g, y)?;
    Ok(g)
}

/// One hidden layer with ReLU on all pixels, then 10 classes.
pub(super) fn dense(hidden: usize) -> Result<Graph> {
    let mut g = Graph::new("dense");
    let x = g.input([28, 28, 1])?;
    let flat = g.add(Flatten::new(), &[x])?;
    let y = g.add_named("hidden", Dense::new(hidden).activation(Activation::Relu), &[flat])?;
    classes(&mut g, y)?;
    Ok(g)
}

/// Ten classes on whatever is there.
pub(super) fn classes(g: &mut Graph, x: Value) -> Result<Value> {
    let flat = if g.shape(x).rank() > 1 { g.add(Flatten::new(), &[x])? } else { x };
    g.add_named("classes", Dense::new(10).activation(Activation::Softmax), &[flat])
}

/// How many numbers a network learns.
pub(super) fn weights(g: &Graph) -> usize {
    g.nodes().iter().flat_map(|n| g.params(n)).filter(|p| p.trainable).map(|p| p.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_that_a_reader_can_count() {
        let g = cnn(Down::Max, &[16, 32]).unwrap();
        assert_eq!(weights(&g), 16 * 9 + 16 + 16 * 32 * 9 + 32 + 7 * 7 * 32 * 10 + 10);
        assert_eq!(weights(&cnn(Down::Stride, &[16, 32]).unwrap()), weights(&g));
        assert_eq!(weights(&dense(64).unwrap()), 784 * 64 + 64 + 64 * 10 + 10);
        assert_eq!(g.shape(g.value("down2").unwrap()).dims(), [7, 7, 32]);
    }
}
