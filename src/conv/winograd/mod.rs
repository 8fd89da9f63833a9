//! Winograd's minimal filtering F(4x4, 3x3): a 3x3 convolution of stride 1 with a quarter of the multiplications.
//!
//! ```text
//! y = At [ sum over ic of (G w Gt) * (Bt x B) ] A      for each tile of 4x4 outputs, from 6x6 inputs
//! ```
//!
//! Element by element the products of the 36 positions are independent, so each position is a matrix product over
//! input channels: 36 multiply-adds for 16 outputs instead of 144. The transforms cost additions, in proportion to
//! the channels and not to their product, so the algorithm pays where there are many of both.
//!
//! ```text
//! forward.rs    y from x and w; dx from dy and w turned, which is the same
//! weights.rs    dw from x and dy: the adjoint, a product over tiles for each position
//! tiling.rs     which tiles there are, and where their pixels lie
//! transform.rs  the transforms, in registers
//! ```
//!
//! The products run on the register tile of the other algorithms. Errors: the transforms amplify rounding. Measured
//! against f64 on 3x3 layers of 64 channels, the root mean square error is twice that of direct summation.
//!
//! A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, arXiv:1509.09308; after
//! S. Winograd, "Arithmetic complexity of computations", SIAM 1980.

mod forward;
mod tiling;
mod transform;
mod weights;

use super::{Geometry, Kernel, Machine, Pass};

// Channels on either side below which the transforms cost what the products save.
const CHANNELS: usize = 16;
// Tiles below which each transformed kernel serves too few products.
const TILES: usize = 12;

pub(super) fn accept(g: &Geometry, pass: Pass, machine: Machine) -> Result<Box<dyn Kernel>, String> {
    let simple = |axis: &super::Axis| axis.kernel == 3 && axis.stride == 1 && axis.dilation == 1;
    if !simple(&g.h) || !simple(&g.w) || g.groups > 1 {
        return Err("it needs kernels of 3x3, stride 1, dilation 1 and one group".into());
    }
    if g.ic < CHANNELS || g.oc < CHANNELS {
        return Err(format!("it pays from {CHANNELS} channels on both sides, not {} and {}", g.ic, g.oc));
    }
    let tiles = tiling::Tiling::new(g, pass).count();
    if tiles < TILES {
        return Err(format!("it pays from {TILES} tiles of 4x4 outputs, not {tiles}"));
    }
    Ok(match pass {
        Pass::BackwardWeights => Box::new(weights::Weights::new(g, machine)),
        _ => Box::new(forward::Forward::new(g, pass, machine)),
    })
}
