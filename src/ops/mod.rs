//! The operations of a network: one op, one file, the whole truth about it.
//!
//! An op is a struct of its hyper-parameters that implements [`Rule`]: the
//! shape rule, the parameters, the cost, the literal formula in f64 (its
//! *twin*), and [`Rule::compile`], which turns it into a [`Step`] for one batch
//! size on one machine. A step has `forward` and `backward`, works on the
//! buffers that [`Io`] lends it, and allocates nothing.
//!
//! To add an op: write its file, add it to [`Op`], and call
//! [`check::check`] from its tests.

pub mod activation;
mod adaptive_pool2d;
mod add;
mod affine;
mod batch_norm;
mod broadcast;
pub(crate) mod chain;
mod channels;
pub mod check;
mod concat;
mod conv;
mod conv_transpose;
mod convolve;
mod dense;
mod dropout;
mod flatten;
mod fold;
mod global_pool;
mod group_norm;
mod input;
mod io;
mod layer_norm;
mod lrn;
mod merge;
mod op;
mod pad2d;
mod pair;
mod permute;
pub(crate) mod pieces;
mod pool1d;
mod pool2d;
mod prelu;
#[cfg(test)]
pub(crate) mod proof;
mod reshape;
mod separable;
mod slice;
mod sliding;
mod stochastic_depth;
mod upsample2d;
mod weights;
mod zero_pad;

use std::fmt;

pub use activation::Activation;
pub use adaptive_pool2d::AdaptivePool2D;
pub use add::Add;
pub(crate) use add::accumulate;
pub use affine::Affine;
pub use batch_norm::BatchNorm;
pub use concat::Concat;
pub use conv::{Conv1D, Conv2D};
pub use conv_transpose::ConvTranspose2D;
pub use convolve::fuses;
pub use dense::Dense;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use global_pool::GlobalPool;
pub use group_norm::GroupNorm;
pub use input::Input;
pub use io::{Aligned, Binding, Io, Memory, Slot};
pub use layer_norm::LayerNorm;
pub use lrn::Lrn;
pub use merge::{Merge, MergeKind};
pub use op::{ActivationOp, NAMES, Op};
pub use pad2d::{Pad2D, PadMode};
pub use pair::Pair;
pub use permute::Permute;
pub use pool1d::Pool1D;
pub use pool2d::{Pool2D, PoolKind};
pub use prelu::{PRelu, Slopes};
pub use reshape::Reshape;
pub use separable::SeparableConv2D;
pub use slice::Slice;
pub use stochastic_depth::StochasticDepth;
pub use upsample2d::{Upsample2D, UpsampleMethod};
pub use weights::Weights;
pub use zero_pad::ZeroPad;

pub use crate::conv::Padding;
use crate::error::Result;
use crate::init::Init;
use crate::rng::Rng;
use crate::simd::Isa;
use crate::tensor::Shape;

/// What an op is and does.
pub trait Rule: fmt::Debug + Send + Sync {
    /// The class name as Keras gives it, such as `Conv2D`.
    fn class(&self) -> &'static str;

    /// The shape of the output, without the batch.
    ///
    /// # Errors
    /// The inputs do not fit; the message shows the formula with its numbers and what would fit.
    fn shape(&self, x: &[Shape]) -> Result<Shape>;

    /// The parameters, in the order in which [`Io::w`] numbers them.
    fn params(&self, _x: &[Shape]) -> Vec<ParamSpec> {
        Vec::new()
    }

    /// Multiply-adds of one sample's forward pass.
    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64;

    /// Whether the output is the input's own memory (flatten, reshape, dropout at inference): no step is run then.
    fn is_view(&self, _mode: Mode) -> bool {
        false
    }

    /// What it can do in passing for these inputs, as it writes its output; nothing unless it says so.
    fn fuses(&self, _x: &[Shape], _mode: Mode) -> Fuses {
        Fuses::default()
    }

    /// The op as a line for each channel, where at inference it is one.
    fn as_line(&self) -> Option<&dyn Line> {
        None
    }

    /// The op for one batch size on one machine.
    ///
    /// # Errors
    /// Nothing fits the machine; shapes were checked by [`Rule::shape`] before.
    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled>;

    /// The literal formula in f64: plain loops, nothing shared with the fast code.
    ///
    /// Training-only behaviour (batch statistics, dropout) follows `t.mode`; the random numbers are those of `t.rng`.
    fn twin(&self, t: &Twin<'_>) -> Vec<f64>;
}

/// What a plan is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Forward and backward, with dropout and batch statistics.
    Train,
    /// Forward alone.
    Infer,
}

/// A parameter that an op needs: its name, its axes, and how it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// The name as Keras gives it: `kernel`, `bias`, `gamma`, `moving_mean`.
    pub name: &'static str,
    /// The axes; a convolution's kernel is `[kh, kw, ic / groups, oc]`.
    pub dims: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// Inputs and outputs of one unit, for the initialisers.
    pub fans: (usize, usize),
    /// Whether training changes it; running statistics are not trainable.
    pub trainable: bool,
}

impl ParamSpec {
    /// The number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }
}

/// An op that is `y = scale x + offset` for each channel at inference: batch normalisation, affine layers.
///
/// Behind a layer that is linear in its weights, a plan folds it into those instead of running it.
pub trait Line {
    /// How many parameters it has.
    fn count(&self) -> usize;

    /// `[scale, offset]` of channel `c`, from its parameters.
    fn at(&self, w: &[&[f32]], c: usize) -> [f64; 2];
}

/// What an op can do in passing, as it writes its output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fuses {
    /// Take a [`Line`] behind it into its weights.
    pub lines: bool,
    /// Add another value of the output's shape.
    pub residual: bool,
    /// Apply an activation last, if [`fuses`] knows it.
    pub activation: bool,
    /// In training, leave the gradient of its activation to the one act that reads its output.
    pub masked: bool,
    /// In training, apply the gradient of the activation before it to the gradient to its input.
    pub masks: bool,
}

/// What a plan asks of an op in passing: `y = f(line(op(x)) + residual)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fusion<'a> {
    /// Lines that are folded into the weights, the nearest first; their parameters follow the op's own in [`Io::w`].
    pub lines: &'a [Op],
    /// Whether the last of the inputs is added.
    pub residual: bool,
    /// Applied last, after the op's own activation, which is linear then.
    pub activation: Activation,
    /// Whether the gradient of the activation is left to the act that reads the output.
    pub masked: bool,
    /// The activation before it, a ReLU, whose gradient it applies to the gradient to its input.
    pub masks: Activation,
}

/// What [`Rule::compile`] is told.
#[derive(Debug, Clone, Copy)]
pub struct Ctx<'a> {
    /// Samples in a batch.
    pub batch: usize,
    /// The shapes of the inputs, that of a residual last.
    pub x: &'a [Shape],
    /// The shape of the output.
    pub y: Shape,
    /// Train or infer.
    pub mode: Mode,
    /// The instruction set to use.
    pub isa: Isa,
    /// Threads that will run the step.
    pub threads: usize,
    /// Whether the gradient to each input is wanted; false for the images themselves.
    pub needs_dx: &'a [bool],
    /// The convolution algorithm to use, where the choice is not left to the engine.
    pub algorithm: Option<&'a str>,
    /// What is done in passing.
    pub fusion: Fusion<'a>,
    /// Whether weights can be made ready before the run ([`Step::prepare`]), since many runs follow with the same ones.
    pub prepare: bool,
}

impl<'a> Ctx<'a> {
    /// The shapes of the op's own inputs, without that of a residual.
    pub fn own(&self) -> &'a [Shape] {
        &self.x[..self.x.len() - usize::from(self.fusion.residual)]
    }

    /// The last act of an op with this activation of its own.
    pub fn last(&self, own: Activation) -> Activation {
        if own == Activation::Linear { self.fusion.activation } else { own }
    }
}

/// What [`Rule::compile`] answers.
pub struct Compiled {
    /// What is run.
    pub step: Box<dyn Step>,
    /// What the backward pass reads of the forward pass, so that it is kept.
    pub needs: Needs,
    /// Lengths (whole batch) of what forward leaves for backward; see [`Io::saved`].
    pub saved: Vec<usize>,
    /// Length of the scratch that forward or backward needs; see [`Io::work`].
    pub work: usize,
    /// Length of the weights as [`Step::prepare`] leaves them; see [`Io::ready`].
    pub ready: usize,
    /// The order in which they are left, by name: steps for other batch sizes with the same name and length share them.
    pub order: &'static str,
    /// Whether [`Step::again`] can compute the output once more in backward, for little and with the same bits.
    pub again: bool,
    /// The inputs whose gradient is `dy` as backward leaves it: a plan need not ask for a copy.
    pub hands_on: Vec<usize>,
    /// Whether backward adds [`Io::dx_plus`] to the gradient to the first input as it writes it.
    pub adds: bool,
    /// What was chosen and why, for the plan's report.
    pub notes: Vec<String>,
}

impl Compiled {
    /// A step that needs nothing of the forward pass, nothing saved and no scratch.
    pub fn new(step: Box<dyn Step>) -> Self {
        Self {
            step,
            needs: Needs::default(),
            saved: Vec::new(),
            work: 0,
            ready: 0,
            order: "",
            again: false,
            hands_on: Vec::new(),
            adds: false,
            notes: Vec::new(),
        }
    }
}

/// What a backward pass reads of the forward pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// The inputs.
    pub x: bool,
    /// The output.
    pub y: bool,
}

/// An op that is ready to run.
///
/// No method but `prepare` allocates, and none locks or fails; all sizes were settled by [`Rule::compile`].
pub trait Step: Send + Sync {
    /// Reads `x` and `w`, writes all of `y` (and `saved`).
    fn forward(&self, io: &Io<'_>);

    /// Reads `dy`, and of `x`, `y`, `saved` what it said it needs; *writes* (does not add to) all of each wanted `dx`
    /// and each `dw`. It may also change `dy`, which nobody reads afterwards.
    fn backward(&self, io: &Io<'_>);

    /// Makes the weights ready in [`Io::ready`], all of it; called at inference before the first run and whenever the
    /// weights have changed. It alone may allocate.
    fn prepare(&self, _io: &Io<'_>) {}

    /// Writes all of `y` once more, in backward, from `x`, `w` and `saved`; called where [`Compiled::again`] says so.
    fn again(&self, _io: &Io<'_>) {}
}

/// What [`Rule::twin`] is told.
#[derive(Debug, Clone, Copy)]
pub struct Twin<'a> {
    /// Samples in the batch.
    pub batch: usize,
    /// The inputs.
    pub x: &'a [&'a [f64]],
    /// The shapes of the inputs, without the batch.
    pub shapes: &'a [Shape],
    /// The parameters, as [`Rule::params`] lists them.
    pub w: &'a [&'a [f64]],
    /// Train or infer.
    pub mode: Mode,
    /// The op's random stream at this step.
    pub rng: Rng,
}
