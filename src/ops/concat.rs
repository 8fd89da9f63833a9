//! Inputs side by side along the last axis, as at the end of an Inception module.
//!
//! Source: Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::pieces::{rows_per_piece, with_step};
use crate::ops::{Compiled, Ctx, Io, Rule, Step, Twin};
use crate::tensor::Shape;

/// `y[.., c] = x_i[.., c - start_i]`: the channels of all inputs in order; the other axes are equal.
///
/// ```
/// use striate::ops::{Concat, Rule};
/// assert_eq!(Concat::new().shape(&[[8, 8, 4].into(), [8, 8, 6].into()])?, [8, 8, 10].into());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concat {}

impl Concat {
    /// The op; it has nothing to set.
    pub fn new() -> Self {
        Self {}
    }
}

fn pixels(x: &Shape) -> &[usize] {
    &x.dims()[..x.rank() - 1]
}

impl Rule for Concat {
    fn class(&self) -> &'static str {
        "Concatenate"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let [first, _, ..] = x else {
            return Err(Error::shape(format!("Concatenate takes two inputs or more, and {} were given", x.len())));
        };
        if let Some((i, other)) = x.iter().enumerate().find(|(_, s)| pixels(s) != pixels(first)) {
            return Err(Error::shape(format!("Concatenate: input 0 has shape {first}, input {i} has {other}"))
                .with_help("all axes but the last must be equal; look at the strides and paddings before"));
        }
        let channels = x.iter().map(Shape::channels).sum();
        Shape::new(&[pixels(first), &[channels]].concat())
    }

    fn mul_adds(&self, _x: &[Shape], _y: Shape) -> u64 {
        0
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let channels: Vec<usize> = ctx.x.iter().map(Shape::channels).collect();
        Ok(with_step(Box::new(Join { channels, all: ctx.y.channels() })))
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let rows = t.batch * t.shapes[0].len() / t.shapes[0].channels();
        let row = |r: usize| {
            t.x.iter().zip(t.shapes).flat_map(move |(x, s)| x[r * s.channels()..(r + 1) * s.channels()].to_vec())
        };
        (0..rows).flat_map(row).collect()
    }
}

struct Join {
    channels: Vec<usize>,
    all: usize,
}

impl Join {
    // The inputs with their first channel in the output and their number of channels.
    fn parts(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let starts = self.channels.iter().scan(0, |at, c| {
            *at += c;
            Some(*at - c)
        });
        starts.zip(&self.channels).enumerate().map(|(i, (start, c))| (i, start, *c))
    }
}

impl Step for Join {
    fn forward(&self, io: &Io<'_>) {
        let mut y = io.y_mut();
        let rows = rows_per_piece(self.all);
        for (i, start, c) in self.parts() {
            let x = io.x(i);
            let x = &*x;
            io.team.chunks(&mut y, rows * self.all, |piece, y| {
                let x = &x[piece * rows * c..];
                for (y, x) in y.chunks_exact_mut(self.all).zip(x.chunks_exact(c)) {
                    y[start..start + c].copy_from_slice(x);
                }
            });
        }
    }

    fn backward(&self, io: &Io<'_>) {
        let dy = io.dy();
        let dy = &*dy;
        let rows = rows_per_piece(self.all);
        for (i, start, c) in self.parts() {
            let Some(mut dx) = io.dx(i) else { continue };
            io.team.chunks(&mut dx, rows * c, |piece, dx| {
                let dy = &dy[piece * rows * self.all..];
                for (dx, dy) in dx.chunks_exact_mut(c).zip(dy.chunks_exact(self.all)) {
                    dx.copy_from_slice(&dy[start..start + c]);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;

    #[test]
    fn several_inputs_everywhere() {
        everywhere(&Concat::new(), &[[5, 6, 3].into(), [5, 6, 1].into(), [5, 6, 20].into()], 3, 1e-6);
        everywhere(&Concat::new(), &[[60, 60, 8].into(), [60, 60, 24].into()], 2, 1e-6);
        everywhere(&Concat::new(), &[[3].into(), [4].into()], 2, 1e-6);
    }

    #[test]
    fn unequal_images_are_refused() {
        let e = Concat::new().shape(&[[4, 4, 2].into(), [4, 5, 2].into()]).unwrap_err();
        assert!(e.to_string().contains("input 1 has (None, 4, 5, 2)"), "{e}");
        assert!(Concat::new().shape(&[]).is_err());
    }
}
