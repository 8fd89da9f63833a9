//! What Conv2D, Conv1D, Dense and ConvTranspose2D share: a convolution with bias and activation, compiled into a step.
//!
//! ```text
//! forward    y  = f(conv(x, w) + b)                  in one pass: the activation is applied as y is written
//! backward   dz = dy f'(y), db = sum of dz           in one pass over dy
//!            dx = conv(dz, w turned), dw = x with dz
//! ```
//!
//! In a transposed convolution, the adjoint of the convolution, the roles of `x` and `y` are exchanged.
//!
//! At inference the lines behind the layer (batch normalisation, affine layers) are folded into `w` and `b`, and the
//! other branch of a residual block is added in the same pass: `y = f(conv(x, w') + b' + residual)`. The weights are
//! made ready once ([`fold`](super::fold)), not in each run. In training, a gradient to `x` that another layer has left
//! is added as `dx` is written; and where a pool alone reads `y`, it masks by `f'` as it hands `dy` back.

use super::fold::{Lines, Ready};
use super::{Activation, Compiled, Ctx, Fuses, Io, Mode, Needs, ParamSpec, Step, Twin};
use crate::conv::{BiasGradient, Choice, Finish, Fused, Geometry, Kernel, Machine, Pass, Work, choose, reference};
use crate::error::{Error, Result};
use crate::init::Init;

/// Whether a convolution or dense layer applies this activation itself, as it writes its output.
///
/// The plan makes every other activation a step of its own.
pub fn fuses(activation: Activation) -> bool {
    fused(activation).is_some()
}

fn fused(activation: Activation) -> Option<Fused> {
    match activation {
        Activation::Linear => Some(Fused::Linear),
        Activation::Relu => Some(Fused::Relu),
        Activation::Relu6 => Some(Fused::Relu6),
        // Backward reads the sign of x from y, which needs a positive slope.
        Activation::LeakyRelu(slope) if slope > 0.0 => Some(Fused::LeakyRelu(slope)),
        _ => None,
    }
}

/// The activation as a layer applies it itself.
pub(super) fn must_fuse(activation: Activation) -> Result<Fused> {
    fused(activation).ok_or_else(|| {
        Error::argument(format!("activation {activation:?} is not fused into this layer"))
            .with_help("make it a layer of its own behind a linear one; the plan does so by itself")
    })
}

/// A convolution as an op asks for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer {
    pub geometry: Geometry,
    /// Whether the layer is the adjoint of the convolution: it reads its `y` and writes its `x`.
    pub adjoint: bool,
    pub bias: bool,
    pub activation: Activation,
}

impl Layer {
    /// What the layer can do in passing.
    pub fn fuses(mode: Mode) -> Fuses {
        let infer = mode == Mode::Infer;
        Fuses { lines: infer, residual: infer, activation: true, masked: !infer, masks: false }
    }

    /// The step of this layer.
    pub fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let fused = must_fuse(ctx.last(self.activation))?;
        let train = ctx.mode == Mode::Train;
        let machine = Machine { isa: ctx.isa, threads: ctx.threads };
        let mut notes = Vec::new();
        let mut pick = |pass| -> Result<Choice> {
            let choice = choose(&self.geometry, self.engine(pass), machine, ctx.algorithm)?;
            notes.push(note(pass, &choice));
            Ok(choice)
        };
        let Choice { kernel: forward, algorithm: order, .. } = pick(Pass::Forward)?;
        let wanted = train && ctx.needs_dx.first() == Some(&true);
        let input = wanted.then(|| pick(Pass::BackwardInput)).transpose()?.map(|choice| choice.kernel);
        let weights = train.then(|| pick(Pass::BackwardWeights)).transpose()?.map(|choice| choice.kernel);
        let (len, channels) = self.output();
        let mask = if ctx.fusion.masked { Fused::Linear } else { fused };
        let columns = BiasGradient::new(len, channels, mask, ctx.isa);
        let own = usize::from(self.bias) + 1;
        let lines = Lines::new(ctx.fusion.lines, own, self.channel_of());
        let ready = Ready::new(lines, forward.packed(), channels, self.geometry.w_len(), ctx.prepare);
        let kernels = [&input, &weights].into_iter().flatten().map(|kernel| kernel.work());
        let first = if ready.is_packed() { forward.work_packed() } else { forward.work() };
        let work = kernels.chain([first]).chain(train.then(|| columns.work())).max().unwrap_or(0);
        let needs = Needs { x: train, y: train && mask != Fused::Linear };
        let (adjoint, bias, residual, adds) = (self.adjoint, self.bias, ctx.fusion.residual, input.is_some());
        notes.extend(ready.note());
        let length = ready.len();
        let step =
            Box::new(Convolve { forward, input, weights, columns, fused, mask, adjoint, bias, residual, ready, work });
        Ok(Compiled { needs, work, ready: length, order, adds, notes, ..Compiled::new(step) })
    }

    // Which channel of the output a weight belongs to.
    pub fn channel_of(&self) -> ChannelOf {
        let Geometry { ic, oc, groups, .. } = self.geometry;
        ChannelOf { ic, oc, groups, adjoint: self.adjoint }
    }

    // The pass of the engine that computes this pass of the layer.
    fn engine(&self, pass: Pass) -> Pass {
        match (self.adjoint, pass) {
            (true, Pass::Forward) => Pass::BackwardInput,
            (true, Pass::BackwardInput) => Pass::Forward,
            _ => pass,
        }
    }

    // Length and channels of the output.
    fn output(&self) -> (usize, usize) {
        let g = &self.geometry;
        if self.adjoint { (g.x_len(), g.ic) } else { (g.y_len(), g.oc) }
    }

    /// The formula in f64.
    pub fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let (len, channels) = self.output();
        let mut y = vec![0.0; len];
        if self.adjoint {
            reference::backward_input(&self.geometry, t.x[0], t.w[0], &mut y);
        } else {
            reference::forward(&self.geometry, t.x[0], t.w[0], &[], &mut y);
        }
        for (i, y) in y.iter_mut().enumerate() {
            let bias = if self.bias { t.w[1][i % channels] } else { 0.0 };
            *y = activate(self.activation, *y + bias);
        }
        y
    }
}

/// The kernel and, if wanted, the bias; `dims` are those of the kernel, `units` those of the bias.
pub(super) fn params(
    dims: Vec<usize>,
    units: usize,
    fans: (usize, usize),
    init: Init,
    bias: Option<Init>,
) -> Vec<ParamSpec> {
    let kernel = ParamSpec { name: "kernel", dims, init, fans, trainable: true };
    let bias = bias.map(|init| ParamSpec { name: "bias", dims: vec![units], init, fans, trainable: true });
    [kernel].into_iter().chain(bias).collect()
}

// The activations that a layer fuses; the plan splits the others off, so none of them comes here.
fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu(slope) if x < 0.0 => f64::from(slope) * x,
        _ => x,
    }
}

fn note(pass: Pass, choice: &Choice) -> String {
    let refusals: Vec<String> = choice.refusals.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    match refusals.len() {
        0 => format!("{pass}: {}", choice.algorithm),
        _ => format!("{pass}: {} ({})", choice.algorithm, refusals.join("; ")),
    }
}

/// Which channel of a layer's output a weight belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelOf {
    ic: usize,
    oc: usize,
    groups: usize,
    adjoint: bool,
}

impl ChannelOf {
    /// Weights of a row, in the order `[kh, kw, ic / groups, oc]`.
    pub fn row(self) -> usize {
        self.oc
    }

    /// The channel of a weight.
    pub fn weight(self, row: usize, column: usize) -> usize {
        if !self.adjoint {
            return column;
        }
        let icg = self.ic / self.groups;
        column / (self.oc / self.groups) * icg + row % icg
    }
}

struct Convolve {
    forward: Box<dyn Kernel>,
    input: Option<Box<dyn Kernel>>,
    weights: Option<Box<dyn Kernel>>,
    columns: BiasGradient,
    fused: Fused,
    /// What `dy` is masked by in backward.
    mask: Fused,
    adjoint: bool,
    bias: bool,
    residual: bool,
    ready: Ready,
    work: usize,
}

impl Convolve {
    // Lends the scratch, which a plan need not bind if it is empty.
    fn with_scratch(&self, io: &Io<'_>, f: impl FnOnce(&mut [f32])) {
        if self.work == 0 { f(&mut []) } else { f(&mut io.work()) }
    }
}

impl Step for Convolve {
    fn prepare(&self, io: &Io<'_>) {
        if self.ready.len() > 0 {
            let pack = |w: &[f32], to: &mut [f32]| self.forward.pack(io.team, w, to);
            self.ready.prepare(io, &mut io.ready_mut(), pack, (0, self.bias.then_some(1)));
        }
    }

    fn forward(&self, io: &Io<'_>) {
        let (x, w, bias) = (io.x(0), io.w(0), self.bias.then(|| io.w(1)));
        let (ready, residual) = (self.ready.lend(io), self.residual.then(|| io.x(1)));
        let own = (&*w, bias.as_deref().unwrap_or(&[]));
        let (w, bias, packed) = self.ready.operands(own, ready.as_deref().unwrap_or(&[]));
        let finish = Finish { bias, residual: residual.as_deref().unwrap_or(&[]), fused: self.fused };
        self.with_scratch(io, |scratch| {
            self.forward.run(io.team, Work { inputs: [&x, w], packed, out: &mut io.y_mut(), finish, scratch });
        });
    }

    fn backward(&self, io: &Io<'_>) {
        self.with_scratch(io, |scratch| {
            let y = (self.mask != Fused::Linear).then(|| io.y());
            let mut db = self.bias.then(|| io.dw(1));
            let (y, db) = (y.as_deref().unwrap_or(&[]), db.as_deref_mut().unwrap_or(&mut []));
            self.columns.run(io.team, &mut io.dy_mut(), y, db, scratch);
            let (x, dy, w) = (io.x(0), io.dy(), io.w(0));
            if let Some(kernel) = &self.weights {
                let (inputs, finish) = (if self.adjoint { [&*dy, &*x] } else { [&*x, &*dy] }, Finish::default());
                kernel.run(io.team, Work { inputs, packed: &[], out: &mut io.dw(0), finish, scratch });
            }
            if let (Some(kernel), Some(mut dx)) = (&self.input, io.dx(0)) {
                let plus = io.dx_plus();
                let finish = Finish { residual: plus.as_deref().unwrap_or(&[]), ..Finish::default() };
                kernel.run(io.team, Work { inputs: [&dy, &w], packed: &[], out: &mut dx, finish, scratch });
            }
        });
    }
}
