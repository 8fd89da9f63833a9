//! Geometry of sliding windows: sizes are worked out once, checked, and then only read.
//!
//! [`Axis`] is one axis of a window (convolution or pooling): input size,
//! kernel, stride, dilation, padding on both sides, and the output size that
//! follows. [`Padding`] is how a user asks for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How an input is padded before a window slides over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// No padding: the window stays inside the input, and the output shrinks.
    #[default]
    Valid,
    /// The output has `ceil(input / stride)` elements. Where the total is odd the extra element goes to the end,
    /// as in TensorFlow.
    Same,
    /// Each element of the input meets each element of the kernel: `kernel - 1` on both sides.
    Full,
    /// So many elements on each side.
    Explicit {
        /// Above the first row.
        top: usize,
        /// Below the last row.
        bottom: usize,
        /// Before the first column.
        left: usize,
        /// After the last column.
        right: usize,
    },
}

impl Padding {
    /// The same number of elements on all four sides.
    pub fn all(p: usize) -> Self {
        Self::Explicit { top: p, bottom: p, left: p, right: p }
    }

    // What one axis asks for: the kind, or the elements before and after.
    fn of_axis(self, vertical: bool) -> (Self, usize, usize) {
        match self {
            Self::Explicit { top, bottom, left, right } if vertical => (self, top, bottom),
            Self::Explicit { left, right, .. } => (self, left, right),
            other => (other, 0, 0),
        }
    }
}

/// How a window slides along both axes, as a user asks for it; index 0 is vertical, 1 horizontal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Size of the kernel (or pooling window).
    pub kernel: [usize; 2],
    /// Step between outputs.
    pub stride: [usize; 2],
    /// Distance between the kernel's elements.
    pub dilation: [usize; 2],
    /// Padding of the input.
    pub padding: Padding,
    /// Whether a last, partial step counts as an output (pooling's ceil mode) or is dropped.
    pub ceil: bool,
}

impl Window {
    /// The two axes for an input of `h` by `w`.
    ///
    /// # Errors
    /// A size is zero, or the window does not fit; the message shows the formula with its numbers.
    pub fn axes(&self, h: usize, w: usize) -> Result<[Axis; 2]> {
        Ok([self.axis(0, h)?, self.axis(1, w)?])
    }

    fn axis(&self, i: usize, input: usize) -> Result<Axis> {
        let (kernel, stride, dilation) = (self.kernel[i], self.stride[i], self.dilation[i]);
        let name = ["height", "width"][i];
        for (what, size) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if size == 0 || size > 1 << 20 {
                return Err(Error::shape(format!("{what} {size} along the {name} is not a size"))
                    .with_help(format!("{what} must be 1 to {}", 1 << 20)));
            }
        }
        let reach = (kernel - 1) * dilation + 1;
        let (before, after) = match self.padding.of_axis(i == 0) {
            (Padding::Valid, ..) => (0, 0),
            (Padding::Full, ..) => (reach - 1, reach - 1),
            (Padding::Same, ..) => {
                let total = ((input.div_ceil(stride) - 1) * stride + reach).saturating_sub(input);
                (total / 2, total - total / 2)
            }
            (Padding::Explicit { .. }, before, after) => (before, after),
        };
        if before.max(after) > 1 << 20 {
            return Err(Error::shape(format!("padding {before}, {after} along the {name} is out of range")));
        }
        let padded = input + before + after;
        if reach > padded {
            let formula = format!(
                "output {name} = floor(({input} + {before} + {after} - {reach}) / {stride}) + 1, and {reach} > {padded}"
            );
            return Err(Error::shape(format!(
                "kernel {kernel} (reach {reach}) is larger than the padded input: {formula}"
            ))
            .with_help(format!(
                "pad by {} more, or use a kernel of at most {}",
                reach - padded,
                (padded - 1) / dilation + 1
            )));
        }
        let mut output = (padded - reach) / stride + 1;
        // Ceil mode: one more window, if it starts inside the input or the padding before it.
        if self.ceil && (padded - reach) % stride != 0 && output * stride < input + before {
            output += 1;
        }
        Ok(Axis { input, kernel, stride, dilation, before, after, output })
    }
}

/// One axis of a sliding window; made by [`Window::axes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Elements of the input.
    pub input: usize,
    /// Elements of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Distance between the kernel's elements.
    pub dilation: usize,
    /// Padding before the first element.
    pub before: usize,
    /// Padding after the last element.
    pub after: usize,
    /// Elements of the output.
    pub output: usize,
}

impl Axis {
    /// How far a kernel reaches: `(kernel - 1) * dilation + 1`.
    pub fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// The input element that kernel element `k` of output `o` meets, or `None` in the padding.
    #[inline]
    pub fn input_at(&self, o: usize, k: usize) -> Option<usize> {
        (o * self.stride + k * self.dilation).checked_sub(self.before).filter(|i| *i < self.input)
    }

    /// The input elements after the last window, which no output sees (what the floor drops).
    pub fn dropped(&self) -> usize {
        (self.input + self.before).saturating_sub((self.output - 1) * self.stride + self.reach())
    }

    /// The output size formula with its numbers, as in `floor((28 + 1 + 1 - 3) / 1) + 1 = 28`.
    pub fn formula(&self) -> String {
        let Self { input, before, after, stride, output, .. } = *self;
        format!("floor(({input} + {before} + {after} - {}) / {stride}) + 1 = {output}", self.reach())
    }
}

impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("valid"),
            Self::Same => f.write_str("same"),
            Self::Full => f.write_str("full"),
            Self::Explicit { top, bottom, left, right } => write!(f, "{top},{bottom},{left},{right}"),
        }
    }
}
