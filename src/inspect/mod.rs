//! Looking inside a network.

mod certificate;

pub use certificate::{Certificate, CheckConfig, Line, certificate};
