//! Models that come from and go to other programs: any file in, any file out.
//!
//! - [`open`] makes a model of a file, whatever its format; weights without a network are recognised as those of a
//!   network of the zoo, or go into the network that is given;
//! - [`save`] writes a model in the format of the file's extension;
//! - [`diff`] compares two models, and tells from where on they differ and why.
//!
//! The formats themselves are in [`crate::format`]; here they are put together.

pub mod diff;
mod open;
mod recognise;
mod save;
mod weights;

pub use open::{Network, Open, Opened, open};
pub use save::{Save, save};
