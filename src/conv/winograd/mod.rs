//! Winograd's minimal filtering F(4x4, 3x3): a 3x3 convolution of stride 1 with a quarter of the multiplications.
//!
//! A 5x5 kernel is four of 3x3, zero beyond its end, over the image shifted by 0 and 3 pixels along each axis: their products
//! are summed before the one transform back, 144 multiply-adds for 16 outputs instead of 400.
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
// Tiles below which each transformed kernel serves too few products, and so for the four parts of a 5x5 kernel.
const TILES: [usize; 2] = [12, 48];

pub(super) fn accept(g: &Geometry, pass: Pass, machine: Machine) -> Result<Box<dyn Kernel>, String> {
    let simple = |axis: &super::Axis| matches!(axis.kernel, 3 | 5) && axis.stride == 1 && axis.dilation == 1;
    if !simple(&g.h) || !simple(&g.w) || g.h.kernel != g.w.kernel {
        return Err("it needs kernels of 3x3 or 5x5, stride 1 and dilation 1".into());
    }
    if pass == Pass::BackwardWeights && (g.h.kernel > 3 || g.groups > 1) {
        return Err("its gradient to the weights is for kernels of 3x3 and one group".into());
    }
    let [ic, oc] = [g.ic_per_group(), g.oc_per_group()];
    if ic < CHANNELS || oc < CHANNELS {
        return Err(format!("it pays from {CHANNELS} channels of a group on both sides, not {ic} and {oc}"));
    }
    let (tiles, least) = (tiling::Tiling::new(g, pass).count(), TILES[usize::from(g.h.kernel > 3)]);
    if tiles < least {
        return Err(format!("it pays from {least} tiles of 4x4 outputs, not {tiles}"));
    }
    Ok(match pass {
        Pass::BackwardWeights => Box::new(weights::Weights::new(g, machine)),
        _ => Box::new(forward::Forward::new(g, pass, machine)),
    })
}
