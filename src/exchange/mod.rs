//! Models of other programs, and what differs between two.

pub mod diff;
