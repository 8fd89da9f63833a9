//! [`Geometry`]: all sizes of a convolution as one validated value, which prints and parses in one line.

use std::fmt;
use std::str::FromStr;

use super::{Axis, Padding, Window};
use crate::error::{Error, Result, unknown};

const MAX_ELEMENTS: usize = 1 << 40;

/// The sizes of a convolution, checked once and shared by all passes and algorithms.
///
/// | tensor | shape |
/// |---|---|
/// | `x`, `dx` | `[n, h.input, w.input, ic]` |
/// | `w`, `dw` | `[h.kernel, w.kernel, ic / groups, oc]` |
/// | `b`, `db` | `[oc]` |
/// | `y`, `dy` | `[n, h.output, w.output, oc]` |
///
/// A test case, a benchmark and a bug report are the same text:
///
/// ```
/// use striate::conv::Geometry;
/// let g: Geometry = "n64 h28 w28 ic1 oc32 k3x3 s1x1 p1,1,1,1 d1x1 g1".parse()?;
/// assert_eq!((g.h.output, g.y_len()), (28, 64 * 28 * 28 * 32));
/// assert_eq!(g.to_string().parse::<Geometry>()?, g);
/// assert_eq!("n1 h5 w5 ic2 oc4 k3".parse::<Geometry>()?.to_string(), "n1 h5 w5 ic2 oc4 k3x3 s1x1 p0,0,0,0 d1x1 g1");
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Geometry {
    /// Images in the batch.
    pub n: usize,
    /// The vertical axis.
    pub h: Axis,
    /// The horizontal axis.
    pub w: Axis,
    /// Input channels.
    pub ic: usize,
    /// Output channels: the number of filters.
    pub oc: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// What stands in the padding.
    pub pad_value: f32,
}

/// The channels of a convolution, as a user asks for them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channels {
    /// Input channels.
    pub ic: usize,
    /// Output channels.
    pub oc: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// What stands in the padding.
    pub pad_value: f32,
}

impl Geometry {
    /// The geometry of `n` images of `h` by `w`.
    ///
    /// # Errors
    /// A size is zero or too large, the groups do not divide the channels, or the window does not fit.
    pub fn new(n: usize, [h, w]: [usize; 2], channels: Channels, window: &Window) -> Result<Self> {
        let Channels { ic, oc, groups, pad_value } = channels;
        for (what, size) in
            [("batch", n), ("height", h), ("width", w), ("input channels", ic), ("filters", oc), ("groups", groups)]
        {
            if size == 0 || size > 1 << 30 {
                return Err(Error::shape(format!("{what} {size} is not a size")).with_help("it must be 1 to 2^30"));
            }
        }
        for (what, count) in [("input channels", ic), ("filters", oc)] {
            if count % groups != 0 {
                let divisors: Vec<String> =
                    (1..=count.min(1024)).filter(|d| ic % d == 0 && oc % d == 0).map(|d| d.to_string()).collect();
                return Err(Error::shape(format!("{groups} groups do not divide {count} {what}"))
                    .with_help(format!("groups that divide {ic} and {oc}: {}", divisors.join(", "))));
            }
        }
        if !pad_value.is_finite() {
            return Err(Error::argument(format!("padding value {pad_value} is not a finite number")));
        }
        let [h, w] = window.axes(h, w)?;
        let g = Self { n, h, w, ic, oc, groups, pad_value };
        g.bounded().ok_or_else(|| {
            Error::shape(format!("{g} needs a tensor of more than 2^40 elements")).with_help("use a smaller batch")
        })
    }

    fn bounded(self) -> Option<Self> {
        let fits = |dims: [usize; 4]| {
            dims.iter().try_fold(1_usize, |len, d| len.checked_mul(*d).filter(|len| *len <= MAX_ELEMENTS))
        };
        fits([self.n, self.h.input, self.w.input, self.ic])?;
        fits([self.n, self.h.output, self.w.output, self.oc])?;
        fits([self.h.kernel, self.w.kernel, self.ic / self.groups, self.oc])?;
        Some(self)
    }

    /// Elements of `x`.
    pub fn x_len(&self) -> usize {
        self.n * self.h.input * self.w.input * self.ic
    }

    /// Elements of `w`.
    pub fn w_len(&self) -> usize {
        self.terms() * self.oc
    }

    /// Elements of `y`.
    pub fn y_len(&self) -> usize {
        self.n * self.h.output * self.w.output * self.oc
    }

    /// Terms of the sum for one output: `kh kw ic / groups`.
    pub fn terms(&self) -> usize {
        self.h.kernel * self.w.kernel * self.ic_per_group()
    }

    /// Input channels of a group.
    pub fn ic_per_group(&self) -> usize {
        self.ic / self.groups
    }

    /// Output channels of a group.
    pub fn oc_per_group(&self) -> usize {
        self.oc / self.groups
    }

    /// Multiply-adds of one pass, padding included.
    pub fn mul_adds(&self) -> u64 {
        self.y_len() as u64 * self.terms() as u64
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, h, w, ic, oc, groups, pad_value } = self;
        write!(
            f,
            "n{n} h{} w{} ic{ic} oc{oc} k{}x{} s{}x{}",
            h.input, w.input, h.kernel, w.kernel, h.stride, w.stride
        )?;
        write!(f, " p{},{},{},{} d{}x{} g{groups}", h.before, h.after, w.before, w.after, h.dilation, w.dilation)?;
        if *pad_value == 0.0 { Ok(()) } else { write!(f, " v{pad_value}") }
    }
}

impl FromStr for Geometry {
    type Err = Error;

    /// Reads `n64 h28 w28 ic1 oc32 k3x3`, then any of `s1x1 p1,1,1,1 d1x1 g1 v0`.
    ///
    /// A pair may be one number; `p` may be `same`, `valid` or `full`; `n` may be left out for 1. Words after `#` are
    /// a comment.
    fn from_str(text: &str) -> Result<Self> {
        let mut read = Reader::default();
        let line = text.split('#').next().unwrap_or_default();
        for word in line.split_whitespace() {
            read.word(word).map_err(|e| e.within(format!("geometry '{}'", line.trim())))?;
        }
        let Reader { n, h, w, channels, window } = read;
        Self::new(n, [h, w], channels, &window).map_err(|e| e.within(format!("geometry '{}'", line.trim())))
    }
}

struct Reader {
    n: usize,
    h: usize,
    w: usize,
    channels: Channels,
    window: Window,
}

impl Default for Reader {
    fn default() -> Self {
        let channels = Channels { ic: 0, oc: 0, groups: 1, pad_value: 0.0 };
        let window = Window { kernel: [0, 0], stride: [1, 1], dilation: [1, 1], padding: Padding::Valid, ceil: false };
        Self { n: 1, h: 0, w: 0, channels, window }
    }
}

impl Reader {
    fn word(&mut self, word: &str) -> Result<()> {
        let end = word.find(|c: char| c.is_ascii_digit() || c == '-').unwrap_or(word.len());
        let (key, value) = if word.starts_with('p') { word.split_at(1) } else { word.split_at(end) };
        match key {
            "n" => self.n = number(value)?,
            "h" => self.h = number(value)?,
            "w" => self.w = number(value)?,
            "ic" => self.channels.ic = number(value)?,
            "oc" => self.channels.oc = number(value)?,
            "g" => self.channels.groups = number(value)?,
            "v" => self.channels.pad_value = number(value)?,
            "k" => self.window.kernel = pair(value)?,
            "s" => self.window.stride = pair(value)?,
            "d" => self.window.dilation = pair(value)?,
            "p" => self.window.padding = value.parse()?,
            _ => return Err(unknown("size", key, ["n", "h", "w", "ic", "oc", "k", "s", "p", "d", "g", "v"])),
        }
        Ok(())
    }
}

fn number<T: FromStr>(value: &str) -> Result<T> {
    value.parse().map_err(|_| Error::argument(format!("'{value}' is not a number in its range")))
}

fn pair(value: &str) -> Result<[usize; 2]> {
    let (a, b) = value.split_once('x').unwrap_or((value, value));
    Ok([number(a)?, number(b)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Geometry>().unwrap_err().to_string()
    }

    #[test]
    fn errors_show_the_numbers() {
        assert!(
            error("h8 w8 ic6 oc9 k3 g2")
                .contains("2 groups do not divide 9 filters (groups that divide 6 and 9: 1, 3)")
        );
        assert!(error("h8 w8 ic6 oc9 k9").contains("kernel 9 (reach 9) is larger than the padded input"));
        assert!(error("h8 w8 ic6 oc9 k3 q4").contains("unknown size 'q'"));
        assert!(error("h8 w8 ic6 k3").contains("filters 0 is not a size"));
        assert!(error("h8 w8 ic6 oc9 k3 s0").contains("stride 0"));
        assert!(error("n99999999999999999999 h8 w8 ic1 oc1 k1").contains("is not a number in its range"));
        assert!(error("n1000000 h1000000 w1000000 ic9 oc9 k1").contains("2^40"));
    }

    #[test]
    fn text_and_value_agree() {
        for text in [
            "n2 h9 w7 ic6 oc4 k3x2 s2x1 p1,0,2,1 d1x2 g2 v0.5",
            "n1 h1 w1 ic1 oc1 k1x1 s1x1 p0,0,0,0 d1x1 g1",
            "n3 h5 w5 ic3 oc3 k3x3 s1x1 p1,1,1,1 d1x1 g3 v-1.25",
        ] {
            assert_eq!(text.parse::<Geometry>().unwrap().to_string(), text);
        }
        let same: Geometry = "h5 w6 ic1 oc1 k3 s2 psame # a comment".parse().unwrap();
        assert_eq!(same.to_string(), "n1 h5 w6 ic1 oc1 k3x3 s2x2 p1,1,0,1 d1x1 g1");
    }
}
