//! The backward schedule: the acts in reverse, and where each gradient goes.
//!
//! A lane that several acts read gets the sum of their gradients. The first to
//! run backward (the loss, for an output) writes the lane's gradient; each further
//! one adds to it: as it writes its own, if it can, or else by way of a temporary.
//! The order follows from the graph alone, so the bits do too.

use super::lower::{Act, Lowered};

/// A gradient while the plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grad {
    /// The gradient of a lane.
    Lane(usize),
    /// One more contribution to the gradient of a lane.
    Extra(usize),
}

impl Grad {
    pub fn lane(self) -> usize {
        match self {
            Self::Lane(lane) | Self::Extra(lane) => lane,
        }
    }
}

/// One act's backward pass.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub act: usize,
    /// Where the gradient to each input goes; none where nobody wants it.
    pub dx: Vec<Option<Grad>>,
}

/// The backward passes in the order in which they run. `trains[act]` tells whether an act has trainable parameters.
pub(super) fn adjoint(lowered: &Lowered, trains: &[bool]) -> Vec<Back> {
    let wanted = wanted(lowered, trains);
    let mut written = vec![false; lowered.lanes.len()];
    lowered.ends.iter().for_each(|end| written[end.output] = true);
    let mut backs = Vec::new();
    for (i, act) in lowered.acts.iter().enumerate().rev() {
        if !wanted[act.y] {
            continue;
        }
        let dx = act.x.iter().map(|lane| target(*lane, &wanted, &mut written)).collect();
        backs.push(Back { act: i, dx });
    }
    backs
}

fn target(lane: usize, wanted: &[bool], written: &mut [bool]) -> Option<Grad> {
    if !wanted[lane] {
        return None;
    }
    let first = !std::mem::replace(&mut written[lane], true);
    Some(if first { Grad::Lane(lane) } else { Grad::Extra(lane) })
}

// A gradient is wanted where there are trainable parameters upstream of it.
fn wanted(lowered: &Lowered, trains: &[bool]) -> Vec<bool> {
    let mut wanted = vec![false; lowered.lanes.len()];
    for (i, Act { x, y, .. }) in lowered.acts.iter().enumerate() {
        wanted[*y] = trains[i] || x.iter().any(|lane| wanted[*lane]);
    }
    wanted
}
