//! The weights of a 1x1 convolution or a dense layer in panels of channels, as register tiles read them.

use super::Pass;
use super::direct::{Column, columns};
use crate::parallel::Team;
use crate::simd::Isa;

/// A matrix of weights in panels of one or two vectors of columns, `[panel][row][column]`, padded with zeros.
pub(super) struct Panels {
    /// Channels of the source: the rows.
    pub source: usize,
    /// Channels of the output.
    pub output: usize,
    /// The channels of each panel.
    pub columns: Vec<Column>,
    /// Numbers of a row of a panel.
    pub width: usize,
    pass: Pass,
}

impl Panels {
    /// For the weights of `ic` to `oc` channels, in a forward pass or for the gradient to the input.
    pub fn new([ic, oc]: [usize; 2], pass: Pass, isa: Isa) -> Self {
        let [source, output] = if pass == Pass::Forward { [ic, oc] } else { [oc, ic] };
        let columns = columns(1, source, output, isa);
        let width = columns.iter().map(|c| c.kind.vectors()).max().unwrap_or(1) * isa.lanes();
        Self { source, output, columns, width, pass }
    }

    /// Numbers of a panel.
    pub fn len(&self) -> usize {
        self.source * self.width
    }

    /// Numbers of all panels.
    pub fn packed(&self) -> usize {
        self.columns.len() * self.len()
    }

    /// Numbers of a bias as [`Panels::bias`] pads it.
    pub fn padded(&self) -> usize {
        self.columns.len() * self.width
    }

    /// Packs the weights of some panels.
    pub fn pack(&self, team: Team, w: &[f32], columns: &[Column], packed: &mut [f32]) {
        team.chunks(&mut packed[..columns.len() * self.len()], self.len(), |i, panel| {
            let column = &columns[i];
            for (c, row) in panel.chunks_exact_mut(self.width).enumerate() {
                let (row, rest) = row.split_at_mut(column.width);
                rest.fill(0.0);
                match self.pass {
                    Pass::Forward => row.copy_from_slice(&w[c * self.output + column.to..][..column.width]),
                    _ => {
                        let from = w[column.to * self.source + c..].iter().step_by(self.source);
                        row.iter_mut().zip(from).for_each(|(to, w)| *to = *w);
                    }
                }
            }
        });
    }

    /// The bias with each panel's part as wide as the panel; empty if there is none.
    pub fn bias<'a>(&self, bias: &[f32], padded: &'a mut [f32]) -> &'a [f32] {
        if bias.is_empty() {
            return &[];
        }
        let padded = &mut padded[..self.padded()];
        padded.fill(0.0);
        for (column, to) in self.columns.iter().zip(padded.chunks_exact_mut(self.width)) {
            to[..column.width].copy_from_slice(&bias[column.to..][..column.width]);
        }
        padded
    }
}
