//! Rows and columns around an image: of one number, of the image mirrored, or of its edge repeated.
//!
//! ```text
//! constant(5)   5 5 | a b c d | 5 5
//! reflect       c b | a b c d | c b        the edge itself is not repeated
//! edge          a a | a b c d | d d
//! ```
//!
//! The gradient to a pixel is the sum of the gradients to all its copies.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, unknown};
use crate::ops::pieces::{only, rows_per_piece, with_step};
use crate::ops::{Compiled, Ctx, Io, Rule, Step, Twin};
use crate::tensor::Shape;

/// What stands around the image of a [`Pad2D`].
///
/// Text and serde write it as `reflect`, `edge` or, with its number, `constant(0.5)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PadMode {
    /// One number.
    Constant(f32),
    /// The image mirrored at its first and last row and column, which are not repeated.
    Reflect,
    /// The first and last row and column.
    Edge,
}

impl Default for PadMode {
    fn default() -> Self {
        Self::Constant(0.0)
    }
}

impl fmt::Display for PadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "constant({value})"),
            Self::Reflect => f.write_str("reflect"),
            Self::Edge => f.write_str("edge"),
        }
    }
}

impl FromStr for PadMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let value = text.strip_prefix("constant(").and_then(|rest| rest.strip_suffix(')'));
        match (text, value) {
            ("constant", _) => Ok(Self::default()),
            ("reflect", _) => Ok(Self::Reflect),
            ("edge", _) => Ok(Self::Edge),
            (_, Some(value)) => value.trim().parse().map(Self::Constant).map_err(|_| {
                Error::argument(format!("'{value}' is not a number to pad with")).with_help("as in constant(0.5)")
            }),
            _ => Err(unknown("padding mode", text, ["constant", "reflect", "edge"])),
        }
    }
}

impl TryFrom<String> for PadMode {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PadMode> for String {
    fn from(mode: PadMode) -> Self {
        mode.to_string()
    }
}

/// `[h, w, c] -> [top + h + bottom, left + w + right, c]`. With zeros around, [`ZeroPad`](crate::ops::ZeroPad) is the
/// same and Keras' own name for it.
///
/// ```
/// use striate::ops::{Pad2D, PadMode, Rule};
/// let pad = Pad2D::new([1, 2, 3, 4]).mode(PadMode::Reflect);
/// assert_eq!(pad.shape(&[[8, 8, 3].into()])?, [11, 15, 3].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pad2D {
    /// Rows above the first.
    pub top: usize,
    /// Rows below the last.
    pub bottom: usize,
    /// Columns before the first.
    pub left: usize,
    /// Columns after the last.
    pub right: usize,
    /// What stands there.
    pub mode: PadMode,
}

impl Pad2D {
    /// So many rows above and below, so many columns before and after, all 0.
    pub fn new([top, bottom, left, right]: [usize; 4]) -> Self {
        Self { top, bottom, left, right, mode: PadMode::default() }
    }

    /// Sets what stands there.
    #[must_use]
    pub fn mode(self, mode: PadMode) -> Self {
        Self { mode, ..self }
    }

    fn rows(&self) -> Side {
        Side { name: "rows", before: self.top, after: self.bottom }
    }

    fn columns(&self) -> Side {
        Side { name: "columns", before: self.left, after: self.right }
    }
}

const MOST: usize = 1 << 20;

/// The padding along one axis.
struct Side {
    name: &'static str,
    before: usize,
    after: usize,
}

impl Side {
    fn check(&self, size: usize, mode: PadMode) -> Result<()> {
        let most = if mode == PadMode::Reflect { size - 1 } else { MOST };
        match [self.before, self.after].into_iter().find(|p| *p > most) {
            None => Ok(()),
            Some(p) => Err(Error::shape(format!("padding by {p} {} is out of range with mode {mode}", self.name))
                .with_help(format!("an image of {size} {} can be padded by at most {most}", self.name))),
        }
    }

    // The index that each output index copies; none stands for the constant.
    fn sources(&self, size: usize, mode: PadMode) -> Vec<Option<usize>> {
        let source = |at: usize| match (at.checked_sub(self.before), mode) {
            (Some(i), _) if i < size => Some(i),
            (_, PadMode::Constant(_)) => None,
            (None, PadMode::Edge) => Some(0),
            (Some(_), PadMode::Edge) => Some(size - 1),
            (None, PadMode::Reflect) => Some(self.before - at),
            (Some(i), PadMode::Reflect) => Some(2 * (size - 1) - i),
        };
        (0..self.before + size + self.after).map(source).collect()
    }
}

impl Rule for Pad2D {
    fn class(&self) -> &'static str {
        "Pad2D"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let x = only(self.class(), x)?;
        let &[h, w, c] = x.dims() else {
            return Err(Error::shape(format!("Pad2D takes images [h, w, c], and {x} is none")));
        };
        if matches!(self.mode, PadMode::Constant(value) if !value.is_finite()) {
            return Err(Error::argument(format!("padding with {} is out of range", self.mode))
                .with_help("the number must be finite"));
        }
        self.rows().check(h, self.mode)?;
        self.columns().check(w, self.mode)?;
        Shape::new(&[self.top + h + self.bottom, self.left + w + self.right, c])
    }

    fn mul_adds(&self, _x: &[Shape], _y: Shape) -> u64 {
        0
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let [h, w, c] = ctx.x[0].hwc()?;
        let (rows, columns) = (self.rows().sources(h, self.mode), self.columns().sources(w, self.mode));
        let mut copies = vec![Vec::new(); h];
        rows.iter().enumerate().for_each(|(at, source)| source.iter().for_each(|y| copies[*y].push(at)));
        let value = if let PadMode::Constant(value) = self.mode { value } else { 0.0 };
        Ok(with_step(Box::new(Pad { h, w, c, left: self.left, rows, columns, copies, value })))
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let [h, w, c] = t.shapes[0].hwc().expect("checked by `shape`");
        let y = self.shape(t.shapes).expect("checked by `shape`");
        let &[oh, ow, _] = y.dims() else { unreachable!("an image") };
        let pixel = |at: usize| {
            let (n, k) = (at / y.len(), at % c);
            let (i, j) = ((at / c / ow % oh) as i64 - self.top as i64, (at / c % ow) as i64 - self.left as i64);
            let (last_i, last_j) = (h as i64 - 1, w as i64 - 1);
            let inside = (0..=last_i).contains(&i) && (0..=last_j).contains(&j);
            let (i, j) = match self.mode {
                PadMode::Constant(value) if !inside => return f64::from(value),
                PadMode::Constant(_) => (i, j),
                PadMode::Edge => (i.clamp(0, last_i), j.clamp(0, last_j)),
                PadMode::Reflect => (last_i - (last_i - i.abs()).abs(), last_j - (last_j - j.abs()).abs()),
            };
            t.x[0][((n * h + i as usize) * w + j as usize) * c + k]
        };
        (0..t.batch * y.len()).map(pixel).collect()
    }
}

struct Pad {
    h: usize,
    w: usize,
    c: usize,
    left: usize,
    /// The input row of each output row.
    rows: Vec<Option<usize>>,
    /// The input column of each output column.
    columns: Vec<Option<usize>>,
    /// The output rows of each input row.
    copies: Vec<Vec<usize>>,
    value: f32,
}

impl Pad {
    // The columns of the padding, with the input column that each copies.
    fn margins(&self) -> impl Iterator<Item = (usize, Option<usize>)> {
        let inside = self.left..self.left + self.w;
        self.columns.iter().copied().enumerate().filter(move |(at, _)| !inside.contains(at))
    }

    fn row(&self, x: &[f32], y: &mut [f32]) {
        let c = self.c;
        y[self.left * c..][..self.w * c].copy_from_slice(x);
        for (at, source) in self.margins() {
            let y = &mut y[at * c..][..c];
            match source {
                Some(source) => y.copy_from_slice(&x[source * c..][..c]),
                None => y.fill(self.value),
            }
        }
    }

    // The adjoint of `row`, added.
    fn add_row(&self, dy: &[f32], dx: &mut [f32]) {
        let c = self.c;
        let add = |dx: &mut [f32], dy: &[f32]| dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
        add(dx, &dy[self.left * c..][..self.w * c]);
        for (at, source) in self.margins() {
            if let Some(source) = source {
                add(&mut dx[source * c..][..c], &dy[at * c..][..c]);
            }
        }
    }
}

impl Step for Pad {
    fn forward(&self, io: &Io<'_>) {
        let x = io.x(0);
        let (x, row, y_row, oh) = (&*x, self.w * self.c, self.columns.len() * self.c, self.rows.len());
        let rows = rows_per_piece(y_row);
        io.team.chunks(&mut io.y_mut(), rows * y_row, |piece, y| {
            for (i, y) in y.chunks_exact_mut(y_row).enumerate() {
                let at = piece * rows + i;
                match self.rows[at % oh] {
                    Some(source) => self.row(&x[(at / oh * self.h + source) * row..][..row], y),
                    None => y.fill(self.value),
                }
            }
        });
    }

    fn backward(&self, io: &Io<'_>) {
        let Some(mut dx) = io.dx(0) else { return };
        let dy = io.dy();
        let (dy, row, y_row, oh) = (&*dy, self.w * self.c, self.columns.len() * self.c, self.rows.len());
        let rows = rows_per_piece(row);
        io.team.chunks(&mut dx, rows * row, |piece, dx| {
            for (i, dx) in dx.chunks_exact_mut(row).enumerate() {
                let at = piece * rows + i;
                dx.fill(0.0);
                for copy in &self.copies[at % self.h] {
                    self.add_row(&dy[(at / self.h * oh + copy) * y_row..][..y_row], dx);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;

    const MODES: [PadMode; 3] = [PadMode::Constant(0.75), PadMode::Reflect, PadMode::Edge];

    #[test]
    fn several_paddings_everywhere() {
        for mode in MODES {
            for sides in [[0; 4], [2; 4], [1, 0, 0, 3], [0, 3, 4, 0]] {
                everywhere(&Pad2D::new(sides).mode(mode), &[[4, 5, 3].into()], 3, 1e-6);
            }
            everywhere(&Pad2D::new([3, 1, 2, 4]).mode(mode), &[[50, 40, 17].into()], 2, 1e-6);
        }
        everywhere(&Pad2D::new([3, 5, 4, 2]).mode(PadMode::Edge), &[[1, 1, 2].into()], 2, 1e-6);
    }

    #[test]
    fn modes_are_those_of_numpy() {
        let of = |mode| Side { name: "rows", before: 2, after: 2 }.sources(4, mode);
        assert_eq!(of(PadMode::Reflect), [2, 1, 0, 1, 2, 3, 2, 1].map(Some));
        assert_eq!(of(PadMode::Edge), [0, 0, 0, 1, 2, 3, 3, 3].map(Some));
        assert_eq!(of(PadMode::Constant(1.0))[..3], [None, None, Some(0)]);
    }

    #[test]
    fn modes_go_there_and_back_as_text() {
        for mode in MODES {
            assert_eq!(mode.to_string().parse::<PadMode>().unwrap(), mode);
        }
        assert_eq!("constant".parse::<PadMode>().unwrap(), PadMode::Constant(0.0));
        assert!("reflct".parse::<PadMode>().unwrap_err().to_string().contains("did you mean 'reflect'"));
        assert!("constant(x)".parse::<PadMode>().is_err());
    }

    #[test]
    fn what_cannot_be_padded_is_refused() {
        let reflect = |sides| Pad2D::new(sides).mode(PadMode::Reflect).shape(&[[4, 5, 1].into()]);
        assert!(reflect([3, 3, 4, 4]).is_ok());
        assert!(reflect([4, 0, 0, 0]).unwrap_err().to_string().contains("at most 3"));
        assert!(reflect([0, 0, 0, 5]).unwrap_err().to_string().contains("at most 4"));
        assert!(Pad2D::new([usize::MAX; 4]).shape(&[[4, 4, 1].into()]).is_err());
        assert!(Pad2D::new([1; 4]).shape(&[[4, 4].into()]).is_err());
        assert!(Pad2D::new([1; 4]).mode(PadMode::Constant(f32::NAN)).shape(&[[4, 4, 1].into()]).is_err());
    }
}
