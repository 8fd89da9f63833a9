//! Values in, pictures out, as SVG and as PNG.
//!
//! - [`training_curves`], [`loss_curve`]: how a training run went.
//! - [`LineChart`]: any lines over a common x; [`charts`]: several of them on one page.
//! - [`Multiples`]: many lines, a panel each, with common axes; [`DotPlot`]: means with their intervals, on a desk or
//!   on a phone.
//! - [`BubbleChart`]: named points with a size.
//! - [`confusion`]: which class was taken for which.
//! - [`image_grid`]: many small images with their labels.
//! - [`Sheet`]: images, maps of numbers and charts in rows under headings.
//! - [`network()`]: the architecture of a network; [`volumes()`]: one without branches as papers draw it.
//! - [`Matrix`]: a matrix of numbers, cell by cell, some of them pointed out.
//! - [`Animation`]: scenes one after the other, as an SVG that moves or as a GIF.
//!
//! Each is laid out once, as a [`Scene`] of plain shapes, from which both forms
//! are made, so they show the same. Text is measured in one embedded typeface,
//! and the layout keeps labels apart by what it measured. [`Scene`] is public:
//! whoever has another thing to draw starts there, with the colours of [`ColourMap`].
//!
//! Nothing here knows training, graphs or tensors.

mod animation;
mod axis;
mod bubbles;
mod chart;
mod colour;
mod confusion;
mod curves;
mod dots;
mod font;
mod grid;
mod heat;
mod labels;
mod matrix;
mod mosaic;
mod multiples;
mod network;
mod palette;
mod panels;
mod picture;
mod raster;
mod scene;
mod series;
mod sheet;
mod svg;
#[cfg(test)]
pub(crate) mod tests;
mod theme;
mod volumes;

pub use animation::{Animation, MOST_FRAMES};
pub use axis::{AxisStyle, Scale, Unit};
pub use bubbles::{Bubble, BubbleChart};
pub use chart::LineChart;
pub use colour::{Colour, ColourBar, ColourMap, PALETTE, Paint};
pub use confusion::{Confusion, confusion};
pub use curves::{LossCurve, TrainingCurves, loss_curve, training_curves};
pub use dots::{DotPlot, DotRow};
pub use font::Weight;
pub use grid::{Cell, ImageGrid, image_grid};
pub use heat::{Range, short};
pub use matrix::{Matrix, NumberCell};
pub use mosaic::mosaic;
pub use multiples::{Multiple, Multiples};
pub use network::{Architecture, Block, BlockKind, Part, network};
pub use panels::charts;
pub use picture::{PNG_SCALE, Picture};
pub use scene::{Anchor, Bitmap, Rect, Scene, Shape, Stroke, Text};
pub use series::{Best, Line, Series};
pub use sheet::{Growth, Item, Panel, Section, Sheet};
pub use theme::theme;
pub use volumes::{Volume, volumes};
