//! Geometry of sliding windows: sizes are worked out once, checked, and then only read.
//!
//! [`Axis`] is one axis of a window (convolution or pooling): input size,
//! kernel, stride, dilation, padding on both sides, and the output size that
//! follows. [`Padding`] is how a user asks for it.

use std::fmt;

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// How an input is padded before a window slides over it.
///
/// In a file it is `"same"`, `"valid"`, `"full"`, a number for all four sides, or `[top, bottom, left, right]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
            Self::Explicit { top, bottom, .. } if vertical => (self, top, bottom),
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
        if self.ceil && !(padded - reach).is_multiple_of(stride) && output * stride < input + before {
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

impl FromStr for Padding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let sides: Option<Vec<usize>> = text.split(',').map(|side| side.trim().parse().ok()).collect();
        match (text, sides.as_deref()) {
            ("valid", _) => Ok(Self::Valid),
            ("same", _) => Ok(Self::Same),
            ("full", _) => Ok(Self::Full),
            (_, Some([p])) => Ok(Self::all(*p)),
            (_, Some([top, bottom, left, right])) => {
                Ok(Self::Explicit { top: *top, bottom: *bottom, left: *left, right: *right })
            }
            _ => Err(Error::argument(format!("'{text}' is not a padding"))
                .with_help("use same, valid, full, a number, or four numbers: top, bottom, left, right")),
        }
    }
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Explicit { top, bottom, left, right } => [top, bottom, left, right].serialize(s),
            named => s.collect_str(named),
        }
    }
}

// The forms that a file may hold.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"same\", \"valid\", \"full\", a number, or [top, bottom, left, right]")]
enum Written {
    Name(String),
    All(usize),
    Sides([usize; 4]),
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Written::deserialize(d)? {
            Written::Name(name) => name.parse().map_err(serde::de::Error::custom),
            Written::All(p) => Ok(Self::all(p)),
            Written::Sides([top, bottom, left, right]) => Ok(Self::Explicit { top, bottom, left, right }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kernel: usize, stride: usize, padding: Padding) -> Window {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding, ceil: false }
    }

    // M13 to M15: (N - F + 2P) / S + 1 with the floor; M8, M12, M16, M18 of the sizes.
    #[test]
    fn m13_m14_m15_output_sizes() {
        let out = |n, f, p, s| window(f, s, Padding::all(p)).axes(n, n).map(|a| a[0].output);
        assert_eq!(out(28, 3, 1, 1).unwrap(), 28);
        assert_eq!(out(4, 2, 0, 1).unwrap(), 3);
        assert_eq!(out(28, 5, 0, 1).unwrap(), 24);
        assert_eq!(out(227, 11, 0, 4).unwrap(), 55);
        assert_eq!(out(7, 3, 1, 2).unwrap(), 4);
        assert_eq!(out(8, 3, 0, 2).unwrap(), 3);
        assert!((2..9).all(|f| out(9, f, 0, 1).unwrap() < 9) && out(9, 1, 0, 1).unwrap() == 9);
    }

    #[test]
    fn same_puts_the_odd_element_at_the_end() {
        let [h, _] = window(3, 2, Padding::Same).axes(6, 6).unwrap();
        assert_eq!((h.output, h.before, h.after), (3, 0, 1));
        let [h, _] = window(2, 1, Padding::Full).axes(4, 4).unwrap();
        assert_eq!((h.output, h.before, h.after), (5, 1, 1));
    }

    #[test]
    fn padding_reads_and_writes_all_forms() {
        let read = |text: &str| serde_json::from_str::<Padding>(text);
        assert_eq!(read("\"same\"").unwrap(), Padding::Same);
        assert_eq!(read("2").unwrap(), Padding::all(2));
        assert_eq!(read("[1,2,3,4]").unwrap(), Padding::Explicit { top: 1, bottom: 2, left: 3, right: 4 });
        assert!(read("\"sane\"").unwrap_err().to_string().contains("'sane' is not a padding"));
        assert!(read("[1,2]").unwrap_err().to_string().contains("expected \"same\""));
        for padding in [Padding::Valid, Padding::Same, Padding::Full, Padding::all(3)] {
            assert_eq!(read(&serde_json::to_string(&padding).unwrap()).unwrap(), padding);
            assert_eq!(padding.to_string().parse::<Padding>().unwrap(), padding);
        }
    }
}
