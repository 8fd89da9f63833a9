//! Weights made ready for inference: what stands behind a layer is folded into them, and the kernel's order is made once.
//!
//! ```text
//! s (conv(x, w) + b) + t  =  conv(x, w s) + (b s + t)          for each channel of the output
//! ```
//!
//! `s` and `t` come from batch normalisations and affine layers ([`Line`](super::Line)). The products are taken in f64
//! and rounded once, so a folded weight is off by at most half a unit in the last place, and an output by what that and
//! the other order of roundings make of it: some 1e-7 of the largest term of its sum, for each layer.
//!
//! What is ready lies in one buffer: the folded bias, then the weights, in the order in which the kernel reads them.

use std::cell::Ref;

use super::convolve::ChannelOf;
use super::{Io, Op};

// The parts of what is ready begin at multiples of a cache line.
const STEP: usize = 16;
// Weights that are folded at a time.
const PIECE: usize = 1 << 15;

/// The lines behind a layer.
pub(super) struct Lines {
    ops: Vec<Op>,
    /// The number of the first line's first parameter.
    first: usize,
    channel_of: ChannelOf,
}

impl Lines {
    /// These ops, whose parameters begin with number `first`.
    pub fn new(ops: &[Op], first: usize, channel_of: ChannelOf) -> Self {
        Self { ops: ops.to_vec(), first, channel_of }
    }

    // Scale and offset of each channel, all lines together.
    fn of(&self, io: &Io<'_>, channels: usize) -> Vec<[f64; 2]> {
        let mut all = vec![[1.0, 0.0]; channels];
        let mut first = self.first;
        for line in self.ops.iter().filter_map(|op| op.rule().as_line()) {
            let w: Vec<Ref<'_, [f32]>> = (first..first + line.count()).map(|i| io.w(i)).collect();
            let w: Vec<&[f32]> = w.iter().map(|w| &**w).collect();
            for (c, [scale, offset]) in all.iter_mut().enumerate() {
                let [s, t] = line.at(&w, c);
                (*scale, *offset) = (*scale * s, *offset * s + t);
            }
            first += line.count();
        }
        all
    }
}

/// How a layer's weights are made ready, and what of [`Io::ready`] is what.
pub(super) struct Ready {
    lines: Lines,
    channels: usize,
    /// Numbers of the folded bias; 0 where nothing is folded.
    bias: usize,
    /// Numbers of the weights; 0 where the layer's own serve.
    weights: usize,
    packed: bool,
}

impl Ready {
    /// For a layer with so many `channels` and `weights`, of which the kernel makes `packed` numbers, or none; nothing is
    /// ready unless `prepare` is set.
    pub fn new(lines: Lines, packed: usize, channels: usize, weights: usize, prepare: bool) -> Self {
        let folds = !lines.ops.is_empty();
        let is_packed = prepare && packed > 0;
        let weights = match is_packed {
            true => packed,
            false if folds => weights,
            false => 0,
        };
        Self { lines, channels, bias: if folds { channels } else { 0 }, weights, packed: is_packed }
    }

    /// Numbers of all of it.
    pub fn len(&self) -> usize {
        self.bias.next_multiple_of(STEP) + self.weights
    }

    /// Whether the weights are in the kernel's order.
    pub fn is_packed(&self) -> bool {
        self.packed
    }

    /// What the report says of it.
    pub fn note(&self) -> Option<String> {
        let bytes = self.len() * size_of::<f32>();
        (bytes > 0).then(|| format!("weights made ready once: {:.1} kB", bytes as f64 / 1e3))
    }

    /// Makes the weights ready in their part of what is ready: those of parameter `w`, with the bias of parameter `bias`;
    /// `pack` brings weights into the kernel's order.
    pub fn prepare(
        &self,
        io: &Io<'_>,
        ready: &mut [f32],
        pack: impl FnOnce(&[f32], &mut [f32]),
        (w, bias): (usize, Option<usize>),
    ) {
        if self.len() == 0 {
            return;
        }
        let (w, own) = (io.w(w), bias.map(|i| io.w(i)));
        let (bias, weights) = ready.split_at_mut(self.bias.next_multiple_of(STEP));
        if self.bias == 0 {
            return pack(&w, weights);
        }
        let lines = self.lines.of(io, self.channels);
        for (c, (bias, [scale, offset])) in bias.iter_mut().zip(&lines).enumerate() {
            *bias = (own.as_ref().map_or(0.0, |b| f64::from(b[c])) * scale + offset) as f32;
        }
        if !self.packed {
            return self.fold(io, &w, &lines, weights);
        }
        let mut folded = vec![0.0; w.len()];
        self.fold(io, &w, &lines, &mut folded);
        pack(&folded, weights);
    }

    fn fold(&self, io: &Io<'_>, w: &[f32], lines: &[[f64; 2]], folded: &mut [f32]) {
        let channel_of = self.lines.channel_of;
        let (len, rows) = (channel_of.row(), (PIECE / channel_of.row()).max(1));
        io.team.chunks(folded, rows * len, |piece, folded| {
            let from = w[piece * rows * len..].chunks_exact(len);
            for (i, (to, from)) in folded.chunks_exact_mut(len).zip(from).enumerate() {
                for (column, (to, w)) in to.iter_mut().zip(from).enumerate() {
                    *to = (f64::from(*w) * lines[channel_of.weight(piece * rows + i, column)][0]) as f32;
                }
            }
        });
    }

    /// The weights made ready, if there are some.
    pub fn lend<'a>(&self, io: &Io<'a>) -> Option<Ref<'a, [f32]>> {
        (self.len() > 0).then(|| io.ready())
    }

    /// `(w, bias, packed)` as a kernel takes them, from the layer's own and from what is ready.
    pub fn operands<'a>(
        &self,
        (w, bias): (&'a [f32], &'a [f32]),
        ready: &'a [f32],
    ) -> (&'a [f32], &'a [f32], &'a [f32]) {
        let (folded, weights) = ready.split_at(self.bias.next_multiple_of(STEP));
        let bias = if self.bias > 0 { &folded[..self.bias] } else { bias };
        match (self.packed, self.bias > 0) {
            (true, _) => (w, bias, weights),
            (false, true) => (weights, bias, &[]),
            (false, false) => (w, bias, &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::proof::{Passing, in_modes};
    use crate::ops::{Activation, Affine, BatchNorm, Conv1D, Conv2D, ConvTranspose2D, Dense, Mode, Op, Padding};
    use crate::tensor::Shape;

    // Half a unit in the last place for the folded weight, and the rounding of the sums as without folding.
    const BOUND: f64 = 4e-6;

    fn check(op: impl Into<Op>, x: impl Into<Shape>) {
        let (op, x) = (op.into(), x.into());
        let y = op.rule().shape(&[x]).unwrap();
        let plain = Passing::new(op);
        let norm = BatchNorm::default().epsilon(1e-3);
        let lines: [Vec<Op>; 3] =
            [vec![], vec![norm.clone().into()], vec![norm.scale(false).into(), Affine::new().into()]];
        for lines in lines {
            for activation in [Activation::Linear, Activation::Relu6] {
                let folded = Passing { lines: lines.clone(), activation, ..plain.clone() };
                in_modes(&folded, &[x], 2, &[Mode::Infer], BOUND);
                in_modes(&Passing { residual: true, ..folded }, &[x, y], 2, &[Mode::Infer], BOUND);
            }
        }
    }

    #[test]
    fn lines_and_a_residual_behind_convolutions_everywhere() {
        check(Conv2D::new(40, 3).padding(Padding::Same), [9, 7, 3]);
        check(Conv2D::new(6, 3).stride(2).groups(2).no_bias(), [9, 7, 4]);
        check(Conv2D::new(20, 3).padding(Padding::Same).groups(20), [9, 7, 20]);
        check(Conv2D::new(5, 1).no_bias(), [4, 4, 70]);
        check(Conv1D::new(7, 3), [20, 5]);
    }

    #[test]
    fn lines_and_a_residual_behind_dense_and_transposed_layers_everywhere() {
        check(Dense::new(33), [50]);
        check(Dense::new(3).no_bias(), [5]);
        check(ConvTranspose2D::new(6, 3).stride(2), [5, 4, 3]);
        check(ConvTranspose2D::new(6, 3).stride(2).groups(3).no_bias(), [5, 4, 9]);
    }
}
