//! Separable convolution: each channel meets filters of its own, then a 1x1 convolution mixes the channels.
//!
//! ```text
//! u[i, j, c m + q] = sum over a, b of  x[i', j', c] d[a, b, c, q]             depthwise, m filters for each channel
//! y[i, j, k]       = f( b[k] + sum over c' of  u[i, j, c'] p[c', k] )         pointwise
//! ```
//!
//! Both parts are convolutions of the engine; there is no bias and no activation between them. Training keeps `u`.

use serde::{Deserialize, Serialize};

use super::convolve::{must_fuse, params};
use super::pair::{self, Pair};
use super::pieces::only;
use super::{Activation, Compiled, Conv2D, Ctx, Fuses, Io, Mode, Needs, ParamSpec, Rule, Step, Twin};
use crate::conv::{BiasGradient, Finish, Fused, Geometry, Kernel, Machine, Padding, Pass, Work, choose};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::tensor::Shape;

/// Separable convolution: `[h, w, c]` to `[oh, ow, filters]`.
///
/// | parameter | axes |
/// |---|---|
/// | `depthwise_kernel` | `[kh, kw, c, multiplier]` |
/// | `pointwise_kernel` | `[1, 1, c multiplier, filters]` |
/// | `bias` | `[filters]` |
///
/// Stride, padding and dilation belong to the depthwise part.
///
/// Source: Chollet, "Xception: Deep learning with depthwise separable convolutions", 2017, arXiv:1610.02357.
///
/// ```
/// use striate::ops::{Padding, Rule, SeparableConv2D};
/// let conv = SeparableConv2D::new(64, 3).padding(Padding::Same);
/// assert_eq!(conv.shape(&[[28, 28, 32].into()])?, [28, 28, 64].into());
/// assert_eq!(conv.params(&[[28, 28, 32].into()])[0].dims, [3, 3, 32, 1]);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeparableConv2D {
    /// Channels of the output.
    pub filters: usize,
    /// Size of a depthwise kernel, `[kh, kw]`.
    #[serde(with = "pair")]
    pub kernel: [usize; 2],
    /// Step between outputs.
    #[serde(with = "pair", default = "ones", skip_serializing_if = "is_ones")]
    pub stride: [usize; 2],
    /// Padding of the input.
    #[serde(default)]
    pub padding: Padding,
    /// Distance between the kernel's elements.
    #[serde(with = "pair", default = "ones", skip_serializing_if = "is_ones")]
    pub dilation: [usize; 2],
    /// Depthwise filters of each channel.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub multiplier: usize,
    /// Whether there is a bias.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub bias: bool,
    /// Applied last.
    #[serde(default)]
    pub activation: Activation,
    /// How both kernels start.
    #[serde(default = "glorot")]
    pub kernel_init: Init,
    /// How the bias starts.
    #[serde(default = "zeros")]
    pub bias_init: Init,
}

fn ones() -> [usize; 2] {
    [1, 1]
}

fn is_ones(pair: &[usize; 2]) -> bool {
    *pair == ones()
}

fn one() -> usize {
    1
}

fn is_one(size: &usize) -> bool {
    *size == 1
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn glorot() -> Init {
    Init::GlorotUniform
}

fn zeros() -> Init {
    Init::Zeros
}

impl SeparableConv2D {
    /// `filters` channels, depthwise kernels of one size: stride 1, no padding, one filter a channel, bias, linear.
    pub fn new(filters: usize, kernel: impl Into<Pair>) -> Self {
        Self {
            filters,
            kernel: kernel.into().0,
            stride: ones(),
            padding: Padding::Valid,
            dilation: ones(),
            multiplier: 1,
            bias: true,
            activation: Activation::Linear,
            kernel_init: glorot(),
            bias_init: zeros(),
        }
    }

    /// Step between outputs.
    #[must_use]
    pub fn stride(self, stride: impl Into<Pair>) -> Self {
        Self { stride: stride.into().0, ..self }
    }

    /// Padding of the input.
    #[must_use]
    pub fn padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// Distance between the kernel's elements.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Pair>) -> Self {
        Self { dilation: dilation.into().0, ..self }
    }

    /// Depthwise filters of each channel.
    #[must_use]
    pub fn multiplier(self, multiplier: usize) -> Self {
        Self { multiplier, ..self }
    }

    /// Leaves the bias out.
    #[must_use]
    pub fn no_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// The activation, applied last.
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// How both kernels start.
    #[must_use]
    pub fn init(self, kernel_init: Init) -> Self {
        Self { kernel_init, ..self }
    }

    /// The geometries of the depthwise and the pointwise convolution, for a batch of `n` inputs of this shape.
    ///
    /// # Errors
    /// The input is not an image, or the kernel does not fit it.
    pub fn geometries(&self, n: usize, x: Shape) -> Result<[Geometry; 2]> {
        let [_, _, c] = *x.dims() else {
            return Err(Error::shape(format!("SeparableConv2D takes one input with the axes h, w, c, not {x}"))
                .with_help("reshape it first"));
        };
        if self.multiplier == 0 || self.multiplier > 1 << 20 {
            return Err(Error::shape(format!("{} depthwise filters for each channel", self.multiplier))
                .with_help(format!("multiplier must be 1 to {}", 1 << 20)));
        }
        let between = c * self.multiplier;
        let depthwise = Conv2D::new(between, self.kernel).groups(c).stride(self.stride).dilation(self.dilation);
        let first = depthwise.padding(self.padding).geometry(n, x)?;
        let u = Shape::new(&[first.h.output, first.w.output, between])?;
        Ok([first, Conv2D::new(self.filters, 1).geometry(n, u)?])
    }
}

impl Rule for SeparableConv2D {
    fn class(&self) -> &'static str {
        "SeparableConv2D"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        let [_, g] = self.geometries(1, only(self.class(), x)?)?;
        Shape::new(&[g.h.output, g.w.output, g.oc])
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let ([kh, kw], m, init) = (self.kernel, self.multiplier, self.kernel_init);
        let c = x.first().map_or(1, Shape::channels);
        // The fans of Keras, which reads them off the axes.
        let fans = (kh * kw * c, kh * kw * m);
        let depthwise = ParamSpec { name: "depthwise_kernel", dims: vec![kh, kw, c, m], init, fans, trainable: true };
        let bias = self.bias.then_some(self.bias_init);
        let mut rest = params(vec![1, 1, c * m, self.filters], self.filters, (c * m, self.filters), init, bias);
        rest[0].name = "pointwise_kernel";
        [depthwise].into_iter().chain(rest).collect()
    }

    fn mul_adds(&self, x: &[Shape], _y: Shape) -> u64 {
        let parts = x.first().and_then(|x| self.geometries(1, *x).ok());
        parts.map_or(0, |parts| parts.iter().map(Geometry::mul_adds).sum())
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let [first, second] = self.geometries(ctx.batch, only(self.class(), ctx.x)?)?;
        let fused = must_fuse(ctx.last(self.activation))?;
        let train = ctx.mode == Mode::Train;
        let (depthwise, mut notes) = Part::new("depthwise", &first, ctx, ctx.needs_dx.first() == Some(&true))?;
        let (pointwise, more) = Part::new("pointwise", &second, ctx, true)?;
        notes.extend(more);
        let columns = BiasGradient::new(second.y_len(), second.oc, fused, ctx.isa);
        let between = first.y_len();
        let scratch = [depthwise.work(), pointwise.work(), if train { columns.work() } else { 0 }];
        // In training, forward writes `u` to what is kept, and backward its gradient to the scratch.
        let work = between.next_multiple_of(16) + scratch.into_iter().max().unwrap_or(0);
        let step = Separable { depthwise, pointwise, columns, fused, bias: self.bias, train, between };
        let saved = if train { vec![between] } else { Vec::new() };
        let needs = Needs { x: train, y: train && fused != Fused::Linear };
        Ok(Compiled { needs, saved, work, notes, ..Compiled::new(Box::new(step)) })
    }

    fn fuses(&self, _x: &[Shape], _mode: Mode) -> Fuses {
        Fuses { activation: true, ..Fuses::default() }
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let [_, g] = self.geometries(t.batch, t.shapes[0]).expect("shapes were checked before");
        let u = Shape::new(&[g.h.input, g.w.input, g.ic]).expect("shapes were checked before");
        let depthwise = Conv2D::new(g.ic, self.kernel).groups(t.shapes[0].channels()).no_bias();
        let depthwise = depthwise.stride(self.stride).dilation(self.dilation).padding(self.padding);
        let between = depthwise.twin(&Twin { w: &t.w[..1], ..*t });
        let pointwise = Conv2D { bias: self.bias, ..Conv2D::new(self.filters, 1).activation(self.activation) };
        pointwise.twin(&Twin { x: &[&between], shapes: &[u], w: &t.w[1..], ..*t })
    }
}

/// The kernels of one of the two convolutions.
struct Part {
    forward: Box<dyn Kernel>,
    input: Option<Box<dyn Kernel>>,
    weights: Option<Box<dyn Kernel>>,
}

impl Part {
    fn new(name: &str, g: &Geometry, ctx: &Ctx<'_>, needs_dx: bool) -> Result<(Self, Vec<String>)> {
        let (train, machine) = (ctx.mode == Mode::Train, Machine { isa: ctx.isa, threads: ctx.threads });
        let mut notes = Vec::new();
        let mut pick = |pass| -> Result<Box<dyn Kernel>> {
            let choice = choose(g, pass, machine, ctx.algorithm)?;
            notes.push(format!("{name} {pass}: {}", choice.algorithm));
            Ok(choice.kernel)
        };
        let forward = pick(Pass::Forward)?;
        let input = (train && needs_dx).then(|| pick(Pass::BackwardInput)).transpose()?;
        let weights = train.then(|| pick(Pass::BackwardWeights)).transpose()?;
        Ok((Self { forward, input, weights }, notes))
    }

    fn work(&self) -> usize {
        let backward = [&self.input, &self.weights].into_iter().flatten().map(|kernel| kernel.work());
        backward.fold(self.forward.work(), usize::max)
    }
}

struct Separable {
    depthwise: Part,
    pointwise: Part,
    columns: BiasGradient,
    fused: Fused,
    bias: bool,
    train: bool,
    /// Length of `u`.
    between: usize,
}

impl Separable {
    fn both(&self, io: &Io<'_>, u: &mut [f32], scratch: &mut [f32]) {
        let (x, d, p) = (io.x(0), io.w(0), io.w(1));
        let work = Work { inputs: [&x, &d], packed: &[], out: u, finish: Finish::default(), scratch };
        self.depthwise.forward.run(io.team, work);
        let bias = self.bias.then(|| io.w(2));
        let finish = Finish { bias: bias.as_deref().unwrap_or(&[]), residual: &[], fused: self.fused };
        self.pointwise
            .forward
            .run(io.team, Work { inputs: [u, &p], packed: &[], out: &mut io.y_mut(), finish, scratch });
    }
}

impl Step for Separable {
    fn forward(&self, io: &Io<'_>) {
        let mut work = io.work();
        let (u, scratch) = work.split_at_mut(self.between.next_multiple_of(16));
        if self.train {
            self.both(io, &mut io.saved(0), scratch);
        } else {
            self.both(io, &mut u[..self.between], scratch);
        }
    }

    fn backward(&self, io: &Io<'_>) {
        let mut work = io.work();
        let (du, scratch) = work.split_at_mut(self.between.next_multiple_of(16));
        let (du, u) = (&mut du[..self.between], io.saved(0));
        let y = (self.fused != Fused::Linear).then(|| io.y());
        let mut db = self.bias.then(|| io.dw(2));
        let (y, db) = (y.as_deref().unwrap_or(&[]), db.as_deref_mut().unwrap_or(&mut []));
        self.columns.run(io.team, &mut io.dy_mut(), y, db, scratch);
        let (x, dy, d, p, finish) = (io.x(0), io.dy(), io.w(0), io.w(1), Finish::default());
        let run = |kernel: &Option<Box<dyn Kernel>>, inputs, out: &mut [f32], scratch: &mut [f32]| {
            if let Some(kernel) = kernel {
                kernel.run(io.team, Work { inputs, packed: &[], out, finish, scratch });
            }
        };
        run(&self.pointwise.weights, [&u, &dy], &mut io.dw(1), scratch);
        run(&self.pointwise.input, [&dy, &p], du, scratch);
        run(&self.depthwise.weights, [&x, du], &mut io.dw(0), scratch);
        if let Some(mut dx) = io.dx(0) {
            run(&self.depthwise.input, [du, &d], &mut dx, scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;

    #[test]
    fn several_geometries_everywhere() {
        let new = |filters, kernel: [usize; 2]| SeparableConv2D::new(filters, kernel);
        for (op, shape) in [
            (new(5, [3, 3]), [5, 6, 4]),
            (new(20, [3, 3]).padding(Padding::Same).activation(Activation::Relu), [6, 5, 17]),
            (new(6, [3, 2]).stride(2).padding(Padding::all(1)).multiplier(2).no_bias(), [7, 6, 3]),
            (new(3, [2, 2]).dilation([1, 2]).multiplier(3).activation(Activation::LeakyRelu(0.2)), [4, 5, 1]),
        ] {
            everywhere(&op, &[shape.into()], 2, 2e-5);
        }
    }

    #[test]
    fn parameters_and_cost_are_those_of_keras() {
        let op = SeparableConv2D::new(10, 3).multiplier(2);
        let shapes = [Shape::from([8, 8, 3])];
        let params = op.params(&shapes);
        let named: Vec<(&str, &[usize])> = params.iter().map(|p| (p.name, p.dims.as_slice())).collect();
        let want: [(&str, &[usize]); 3] =
            [("depthwise_kernel", &[3, 3, 3, 2]), ("pointwise_kernel", &[1, 1, 6, 10]), ("bias", &[10])];
        assert_eq!(named, want);
        assert_eq!(op.mul_adds(&shapes, op.shape(&shapes).unwrap()), 36 * 6 * 9 + 36 * 6 * 10);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |op: SeparableConv2D, x: Shape| op.shape(&[x]).unwrap_err().to_string();
        assert!(error(SeparableConv2D::new(4, 3), [8, 8].into()).contains("h, w, c"));
        assert!(error(SeparableConv2D::new(4, 3).multiplier(0), [8, 8, 1].into()).contains("multiplier"));
        assert!(error(SeparableConv2D::new(4, 9), [8, 8, 1].into()).contains("kernel 9"));
    }
}
