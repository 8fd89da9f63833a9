//! Convolution: slices and geometry in, slices out. Knows no graph, no tensor name, no training.
//!
//! ```text
//! Geometry            all sizes, validated once; prints and parses in one line
//!   └ choose          the first algorithm of the list that accepts a pass on this machine
//!      └ Kernel::run  sweeps pieces of the batch over the threads
//!         └ tile      the inner loop, in registers; the instance was chosen by `choose`
//! ```
//!
//! The algorithms, the preferred first, each in a file of its own: winograd (3x3, a quarter of the products), depthwise (a
//! channel meets its own filter), pointwise (1x1: a matrix product, as of a dense layer), narrow (a gradient to few input
//! channels), packed (a gradient to many weights, from copies in the order of the tile), direct (register tiles on a padded
//! strip), lowered (im2col and a matrix product) and the reference (plain loops), which is last and takes everything. Each
//! may refuse a pass with a reason, which the plan's report keeps.
//!
//! # Algorithms
//!
//! | name | forward | gradient to the input | gradient to the weights |
//! |---|---|---|---|
//! | `winograd` | 3x3, stride 1, 16 channels or more | the same | the same |
//! | `depthwise` | groups = ic = oc | the same | the same |
//! | `pointwise` | 1x1, stride 1, one group | the same | |
//! | `narrow` | | up to 8 input channels | |
//! | `packed` | | | 256 filters or more, and large dense layers; one group |
//! | `direct` | all | all | all |
//! | `lowered` | one group | one group | one group |
//! | `reference` | all | all | all |
//!
//! Bits: a pass is cut into pieces by its shape, and partial sums are added in a fixed order, so an algorithm gives
//! the same bits for any number of threads, and on all instruction sets that fuse multiply-adds.

pub mod chain;
mod columns;
mod cover;
mod depthwise;
mod direct;
mod finish;
mod geometry;
mod gradient;
pub mod lowered;
pub mod math;
mod narrow;
mod packed;
mod panels;
mod pointwise;
mod problem;
pub mod reference;
mod sweep;
mod tile;
mod vector;
mod winograd;

use std::fmt;

pub use columns::BiasGradient;
pub use geometry::{Axis, Padding, Window};
pub use problem::{Channels, Geometry};
pub use tile::Fused;

use crate::error::{Result, unknown};
use crate::parallel::Team;
use crate::simd::Isa;

/// Which of the three computations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pass {
    /// `y` from `x` and `w`.
    Forward,
    /// `dx` from `dy` and `w`.
    BackwardInput,
    /// `dw` from `x` and `dy`.
    BackwardWeights,
}

impl Pass {
    /// All passes.
    pub const ALL: [Self; 3] = [Self::Forward, Self::BackwardInput, Self::BackwardWeights];

    /// Elements of what the pass writes.
    pub fn out_len(self, g: &Geometry) -> usize {
        match self {
            Self::Forward => g.y_len(),
            Self::BackwardInput => g.x_len(),
            Self::BackwardWeights => g.w_len(),
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::BackwardInput => "backward_input",
            Self::BackwardWeights => "backward_weights",
        })
    }
}

/// What a kernel is chosen for.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// The instruction set.
    pub isa: Isa,
    /// Threads that will run it; decides the size of the scratch alone, never the bits.
    pub threads: usize,
}

/// What happens to each output of a pass before it is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish<'a> {
    /// Added first; one number for each channel of what is written, or empty.
    pub bias: &'a [f32],
    /// Added next; one number for each number of what is written, or empty. The other branch of a residual block.
    pub residual: &'a [f32],
    /// Applied last.
    pub fused: Fused,
}

impl Finish<'_> {
    // Finishes what a pass has written, pixel by pixel.
    fn apply(&self, out: &mut [f32], channels: usize) {
        for pixel in out.chunks_exact_mut(channels) {
            pixel.iter_mut().zip(self.bias).for_each(|(y, b)| *y += b);
        }
        out.iter_mut().zip(self.residual).for_each(|(y, r)| *y += r);
        out.iter_mut().for_each(|y| *y = self.fused.apply(*y));
    }

    // The part for what is written from `start` on, `len` numbers.
    fn part(&self, start: usize, len: usize) -> Self {
        let residual = if self.residual.is_empty() { &[] } else { &self.residual[start..start + len] };
        Self { residual, ..*self }
    }
}

/// What a kernel works on.
pub struct Work<'a> {
    /// `[x, w]` in forward, `[dy, w]` in backward_input, `[x, dy]` in backward_weights.
    pub inputs: [&'a [f32]; 2],
    /// What [`Kernel::pack`] made of `w`; or empty, and the kernel does so itself.
    pub packed: &'a [f32],
    /// `y`, `dx` or `dw`; all of it is written.
    pub out: &'a mut [f32],
    /// For forward and, where a transposed convolution is computed by it, backward_input.
    pub finish: Finish<'a>,
    /// At least [`Kernel::work`] numbers, or [`Kernel::work_packed`] where `packed` is given; their content does not
    /// matter.
    pub scratch: &'a mut [f32],
}

/// One pass of one geometry, ready to run.
pub trait Kernel: Send + Sync {
    /// Length of the scratch that it needs.
    fn work(&self) -> usize;

    /// Numbers of the weights in the order in which they are read; 0 if it reads them as they are.
    ///
    /// Who runs a kernel often with the same weights makes them ready once with [`Kernel::pack`]. Kernels of one algorithm
    /// whose geometries differ in the batch alone, and which have as many of these numbers, read them in the same order.
    fn packed(&self) -> usize {
        0
    }

    /// Makes the weights ready: [`Kernel::packed`] numbers, all of which are written.
    ///
    /// # Panics
    /// A slice is shorter than the geometry says.
    fn pack(&self, _team: Team, _w: &[f32], _packed: &mut [f32]) {}

    /// Length of the scratch that it needs with weights that are ready.
    fn work_packed(&self) -> usize {
        self.work()
    }

    /// Runs the pass; neither allocates nor locks.
    ///
    /// # Panics
    /// A slice is shorter than the geometry says, or the team larger than the machine it was chosen for.
    fn run(&self, team: Team, work: Work<'_>);
}

type Accept = fn(&Geometry, Pass, Machine) -> Result<Box<dyn Kernel>, String>;

/// The algorithms, the preferred first; adding one is adding a line.
const ALGORITHMS: [(&str, Accept); 8] = [
    ("winograd", winograd::accept),
    ("depthwise", depthwise::accept),
    ("pointwise", pointwise::accept),
    ("narrow", narrow::accept),
    ("packed", packed::accept),
    ("direct", direct::accept),
    ("lowered", lowered::accept),
    ("reference", reference::accept),
];

/// The names of the algorithms, the preferred first.
pub fn algorithms() -> [&'static str; 8] {
    ALGORITHMS.map(|(name, _)| name)
}

/// What [`choose`] decided, and why not something else.
pub struct Choice {
    /// The name of the algorithm.
    pub algorithm: &'static str,
    /// What to run.
    pub kernel: Box<dyn Kernel>,
    /// The algorithms before it in the list, and why each refused.
    pub refusals: Vec<(&'static str, String)>,
}

/// The first algorithm that accepts a pass, or the `forced` one.
///
/// ```
/// use striate::conv::{Geometry, Machine, Pass, choose};
/// let g: Geometry = "h8 w8 ic3 oc4 k3 psame".parse()?;
/// let machine = Machine { isa: striate::simd::Isa::best(), threads: 1 };
/// let choice = choose(&g, Pass::Forward, machine, None)?;
/// assert_eq!((choice.algorithm, choice.refusals[0].0), ("direct", "winograd"));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The forced name is unknown, or that algorithm refuses; the message says why.
pub fn choose(g: &Geometry, pass: Pass, machine: Machine, forced: Option<&str>) -> Result<Choice> {
    if let Some(name) = forced.filter(|name| !algorithms().contains(name)) {
        return Err(unknown("convolution algorithm", name, algorithms()));
    }
    let mut refusals = Vec::new();
    for (algorithm, accept) in ALGORITHMS.into_iter().filter(|(name, _)| forced.is_none_or(|f| f == *name)) {
        match accept(g, pass, machine) {
            Ok(kernel) => return Ok(Choice { algorithm, kernel, refusals }),
            Err(reason) => refusals.push((algorithm, reason)),
        }
    }
    let (name, reason) = refusals.pop().unwrap_or(("reference", "it was not asked".into()));
    Err(crate::error::Error::argument(format!("algorithm '{name}' refuses {pass} of {g}: {reason}"))
        .with_help("leave the choice to the engine, or force 'reference'"))
}
