//! Convolution: slices and geometry in, slices out.

mod geometry;

pub use geometry::{Axis, Padding, Window};
