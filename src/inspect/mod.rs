//! Looking inside a network.

mod certificate;
mod drawing;
pub mod explain;
mod layers;
pub mod museum;
mod receptive_field;

pub use certificate::{Certificate, CheckConfig, Line, certificate};
pub use drawing::draw;
pub use layers::{Layer, Layers};
pub use receptive_field::{Axis, Field, receptive_fields};
