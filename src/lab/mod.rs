//! The convolution laboratory: what a layer must cost on this machine, and what each algorithm makes of it.
//!
//! ```text
//! Speed               the machine's peak, and its rates of reading, measured
//!   └ Floor           the least time of a layer: its arithmetic or its bytes, whichever takes longer
//! Laboratory::run     a geometry and a pass: every algorithm that accepts, in turn
//!   └ Experiment      time, error and scratch of each, the reasons of those that refuse, the engine's own choice
//! estimate            what a plan will take, from the speed and from what each algorithm took where it was timed
//! Movement            what an algorithm reads, copies and writes, level by level; `draw` and `animate` show it
//! ```
//!
//! [`claims`] are the same for what is said of networks: experiments that end in a verdict. [`history`] and [`family`] are
//! what others measured, with their sources.
//!
//! The FFT is here alone: it explains the theorem of convolution and is never chosen by the engine.

pub mod claims;
mod estimate;
pub mod family;
mod fft;
mod floor;
pub mod history;
mod laboratory;
mod layers;
mod movement;
mod picture;
mod sample;
mod speed;

pub use estimate::{chosen, estimate};
pub use floor::{Cost, Floor, Limit};
pub use laboratory::{Experiment, Laboratory, Measured, Outcome, Settings, Trial, algorithms};
pub use layers::{Occurrence, costs, geometries};
pub use movement::{Level, Movement, Stage};
pub use picture::{animate, draw};
pub use sample::Samples;
pub use speed::Speed;
