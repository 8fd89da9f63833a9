//! The convolution laboratory: what a layer must cost on this machine, and what each algorithm makes of it.
//!
//! ```text
//! Speed               the machine's peak, and its rates of reading, measured
//!   └ Floor           the least time of a layer: its arithmetic or its bytes, whichever takes longer
//! Laboratory::run     a geometry and a pass: every algorithm that accepts, in turn
//!   └ Experiment      time, error and scratch of each, the reasons of those that refuse, the engine's own choice
//! Movement            what an algorithm reads, copies and writes, level by level; `draw` and `animate` show it
//! ```
//!
//! The FFT is here alone: it explains the theorem of convolution and is never chosen by the engine.

mod fft;
mod floor;
mod laboratory;
mod layers;
mod movement;
mod picture;
mod sample;
mod speed;

pub use floor::{Cost, Floor, Limit};
pub use laboratory::{Experiment, Laboratory, Measured, Outcome, Settings, Trial, algorithms};
pub use layers::{Occurrence, costs, geometries};
pub use movement::{Level, Movement, Stage};
pub use picture::{animate, draw};
pub use sample::Samples;
pub use speed::Speed;
