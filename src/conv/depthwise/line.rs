//! One axis of a window, as the walks over rows see it.

use crate::conv::{Axis, Pass};

/// One axis of a window, as this walk sees it.
#[derive(Debug, Clone, Copy)]
pub(in crate::conv) struct Line {
    pub source: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: isize,
}

impl Line {
    /// The axis of a pass; at stride 1 for the gradient to the input.
    pub fn new(axis: &Axis, pass: Pass) -> Self {
        let Axis { kernel, dilation, .. } = *axis;
        let before = axis.before as isize;
        match pass {
            Pass::BackwardInput => Self {
                source: axis.output,
                output: axis.input,
                kernel,
                stride: 1,
                dilation,
                before: ((kernel - 1) * dilation) as isize - before,
            },
            _ => Self { source: axis.input, output: axis.output, kernel, stride: axis.stride, dilation, before },
        }
    }

    /// The place of the source that output `o` meets at kernel element `k`; in the padding below 0 or beyond the end.
    #[inline(always)]
    pub fn at(&self, o: usize, k: usize) -> isize {
        (o * self.stride + k * self.dilation) as isize - self.before
    }

    /// The outputs whose windows meet no padding.
    #[inline(always)]
    pub fn inside(&self) -> [usize; 2] {
        let reach = ((self.kernel - 1) * self.dilation) as isize;
        // The last start of a window that ends inside the source.
        let last = self.source as isize - 1 - reach + self.before;
        let start = self.before.max(0).cast_unsigned().div_ceil(self.stride).min(self.output);
        let end = if last < 0 { 0 } else { last.cast_unsigned() / self.stride + 1 };
        [start, end.clamp(start, self.output)]
    }

    /// Whether it is a place of the source, and not of the padding.
    #[inline(always)]
    pub fn real(&self, at: isize) -> bool {
        at >= 0 && at < self.source as isize
    }

    /// How many elements of the source, with the padding, `count` outputs in a row meet.
    pub fn reach(&self, count: usize) -> usize {
        (count - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
    }
}
