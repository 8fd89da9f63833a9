//! Looking inside a network.
//!
//! What it is: [`draw`], [`Layers`], [`receptive_fields`], [`unit_patch`]. Whether it is right: [`certificate`].
//! What it sees: [`Tape`] runs it forward and back with everything kept, and [`attribute`] tells which
//! pixels an answer rests on.

mod attribute;
mod certificate;
mod drawing;
mod layers;
mod receptive_field;
mod score;
mod show;
mod tape;
mod window;

pub use attribute::{
    AttributeConfig, Attribution, Curves, Method, Randomised, Trust, attribute, attribution_sheet, cam_layer, examine,
    grad_cam,
};
pub use certificate::{Certificate, CheckConfig, Line, certificate};
pub use drawing::draw;
pub use layers::{Layer, Layers};
pub use receptive_field::{Axis, Field, receptive_fields};
pub use tape::{ReluRule, Spot, Tape, TapeConfig};
pub use window::{Patch, unit_patch};
