//! Explanations: what a layer does to small numbers, step by step, as values, as text and as pictures.
//!
//! | explained | by | gives |
//! |---|---|---|
//! | convolution, cross-correlation | [`Convolution::steps`] | [`ConvSteps`]: each output with patch, products, sum, bias |
//! | im2col and the product | [`Convolution::im2col`] | [`Im2col`] |
//! | col2im | [`Convolution::col2im`] | [`Col2im`]: each input with its summands |
//! | pooling | [`PoolCase::steps`] | [`PoolSteps`]: each output with its window |
//! | the backward pass | [`Convolution::backward`], [`PoolCase::backward`] | [`Backward`]: each gradient with its parts |
//! | sizes | [`Shapes`] | the formula with its numbers, and what the floor drops |
//! | receptive fields | [`FieldSteps`] | the recurrence with its numbers |
//!
//! Each has `text`, a page for a terminal, and `picture` or `animation`. The arithmetic is that of [`crate::conv`] and
//! [`crate::ops`]; here each step of it is kept.

mod backward;
mod backward_picture;
mod conv;
mod conv_picture;
mod draw;
mod field;
mod field_picture;
mod lowered;
mod lowered_picture;
mod maps;
mod pool;
mod pool_picture;
mod shapes;
mod shapes_picture;
mod text;

pub use backward::{Backward, Gradient, Part, TOLERANCE};
pub use conv::{ConvCell, ConvSteps, Convolution, Show, Term};
pub use field::{FieldStep, FieldSteps};
pub use lowered::{Col2im, Im2col, Summand, Table};
pub use maps::Maps;
pub use pool::{PoolCase, PoolCell, PoolSteps, Tap};
pub use shapes::{LayerSize, Shapes};

use conv::MOST_TERMS;

use crate::error::{Error, Result};
use crate::visual::MOST_FRAMES;

// An animation has a page for each step.
fn check_frames(steps: usize) -> Result<()> {
    if steps <= MOST_FRAMES {
        return Ok(());
    }
    Err(Error::shape(format!("an animation of {steps} steps is too long to watch"))
        .with_help(format!("at most {MOST_FRAMES}: give a smaller input, or draw one step as .png")))
}
