//! Depthwise convolution: each channel meets a filter of its own, so vectors run over channels in both operands.
//!
//! The same sweeps as the direct algorithm, with wide tiles: 14 pixels by one vector of channels, reduced over the
//! kernel's elements; for the gradient to the weights, the kernel's elements by one vector of channels, reduced over
//! pixels.

use super::direct::{Column, Swept};
use super::gradient::Gradient;
use super::tile::Kind;
use super::{Geometry, Kernel, Machine, Pass};

pub(super) fn accept(g: &Geometry, pass: Pass, machine: Machine) -> Result<Box<dyn Kernel>, String> {
    if g.groups == 1 || g.groups != g.ic || g.groups != g.oc {
        return Err(format!("it needs groups = ic = oc, and more than one, not {}, {}, {}", g.groups, g.ic, g.oc));
    }
    let lanes = machine.isa.lanes();
    let blocks = (0..g.ic).step_by(lanes);
    let columns = blocks.map(|c| Column { kind: Kind::Wide, from: c, to: c, width: (g.ic - c).min(lanes) }).collect();
    Ok(match pass {
        Pass::BackwardWeights => Box::new(Gradient::new(g, machine, columns)?),
        _ => Box::new(Swept::new(g, pass, machine, columns)?),
    })
}
