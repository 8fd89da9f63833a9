//! A scale and an offset for each channel, both learned: what normalisations end with, and ConvNeXt's layer scale.
//!
//! ```text
//! y = gamma x + beta
//! dx = gamma dy,  dgamma = sum dy x,  dbeta = sum dy       over batch and pixels
//! ```
//!
//! Source: Touvron et al., "Going deeper with Image Transformers", 2021, arXiv:2103.17239 (layer scale); Liu et al., "A
//! ConvNet for the 2020s", 2022, arXiv:2201.03545.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::init::Init;
use crate::ops::channels::Channels;
use crate::ops::pieces::only;
use crate::ops::{Compiled, Ctx, Io, Line, Mode, Needs, ParamSpec, Rule, Step, Twin};
use crate::tensor::Shape;

/// `y = gamma x + beta` for each channel (the last axis); `[.., c] -> [.., c]`.
///
/// Parameters: `gamma` (all `init_scale`) if `scale`, `beta` (zeros) if `bias`.
///
/// ```
/// use striate::ops::{Affine, Rule};
/// let layer_scale = Affine::layer_scale(1e-6);
/// assert_eq!(layer_scale.params(&[[56, 56, 96].into()]).len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Affine {
    /// Whether there is a scale, `gamma`.
    pub scale: bool,
    /// Whether there is an offset, `beta`.
    pub bias: bool,
    /// What the scales start with.
    pub init_scale: f32,
}

impl Default for Affine {
    fn default() -> Self {
        Self { scale: true, bias: true, init_scale: 1.0 }
    }
}

impl Affine {
    /// A scale and an offset.
    pub fn new() -> Self {
        Self::default()
    }

    /// A scale alone, which starts with this number.
    pub fn layer_scale(init_scale: f32) -> Self {
        Self { scale: true, bias: false, init_scale }
    }

    // The numbers of the parameters.
    fn gamma(&self) -> Option<usize> {
        self.scale.then_some(0)
    }

    fn beta(&self) -> Option<usize> {
        self.bias.then_some(usize::from(self.scale))
    }
}

impl Rule for Affine {
    fn class(&self) -> &'static str {
        "Affine"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        if !self.scale && !self.bias {
            return Err(Error::argument("an affine layer without scale and bias does nothing")
                .with_help("set `scale` or `bias`, or leave the layer out"));
        }
        if !self.init_scale.is_finite() {
            return Err(Error::argument(format!("init_scale {} is not finite", self.init_scale)));
        }
        only(self.class(), x)
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let c = x[0].channels();
        let spec = |name, init| ParamSpec { name, dims: vec![c], init, fans: (c, c), trainable: true };
        let start = if self.init_scale == 1.0 { Init::Ones } else { Init::Constant(self.init_scale) };
        let gamma = self.scale.then(|| spec("gamma", start));
        gamma.into_iter().chain(self.bias.then(|| spec("beta", Init::Zeros))).collect()
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        y.len() as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let channels = Channels::new(ctx.y.channels(), ctx.isa);
        let pieces = if ctx.mode == Mode::Train { channels.pieces(ctx.batch * ctx.y.len()) } else { 0 };
        let work = channels.coefficients() + pieces * channels.sums();
        let step = Box::new(Scale { rule: self.clone(), channels });
        Ok(Compiled { needs: Needs { x: self.scale, y: false }, work, ..Compiled::new(step) })
    }

    fn as_line(&self) -> Option<&dyn Line> {
        Some(self)
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let c = t.shapes[0].channels();
        let one = |(i, x): (usize, &f64)| {
            let scaled = self.gamma().map_or(*x, |gamma| t.w[gamma][i % c] * x);
            self.beta().map_or(scaled, |beta| scaled + t.w[beta][i % c])
        };
        t.x[0].iter().enumerate().map(one).collect()
    }
}

impl Line for Affine {
    fn count(&self) -> usize {
        usize::from(self.scale) + usize::from(self.bias)
    }

    fn at(&self, w: &[&[f32]], c: usize) -> [f64; 2] {
        let of = |i: Option<usize>, missing| i.map_or(missing, |i: usize| f64::from(w[i][c]));
        [of(self.gamma(), 1.0), of(self.beta(), 0.0)]
    }
}

struct Scale {
    rule: Affine,
    channels: Channels,
}

impl Scale {
    // `y = gamma x + beta`, where a missing gamma is 1 and a missing beta 0.
    fn apply(&self, io: &Io<'_>, beta: Option<usize>, x: &[f32], y: &mut [f32]) {
        let (channels, mut work) = (&self.channels, io.work());
        let coefficients = &mut work[..channels.coefficients()];
        for c in 0..channels.channels {
            let of = |i: Option<usize>, missing| i.map_or(missing, |i| io.w(i)[c]);
            channels.spread(coefficients, c, [0.0, of(self.rule.gamma(), 1.0), of(beta, 0.0), 0.0]);
        }
        let coefficients = &*coefficients;
        io.team.chunks(y, channels.piece, |i, y| (channels.line)(coefficients, channels.part(x, i), y));
    }

    fn learn(&self, io: &Io<'_>, dy: &[f32]) {
        let (channels, mut work) = (&self.channels, io.work());
        let (centers, sums) = work.split_at_mut(channels.coefficients());
        let centers = &mut centers[..channels.lanes];
        centers.fill(0.0);
        let sums = &mut sums[..channels.pieces(dy.len()) * channels.sums()];
        // Without a scale x was not kept, and its sum is not used.
        let x = self.rule.scale.then(|| io.x(0));
        let (x, centers) = (x.as_deref().unwrap_or(dy), &*centers);
        io.team.chunks(sums, channels.sums(), |i, sums| {
            (channels.products)(centers, channels.part(x, i), channels.part(dy, i), sums);
        });
        for c in 0..channels.channels {
            let [dbeta, dgamma] = channels.totals(c, sums);
            self.rule.gamma().into_iter().for_each(|i| io.dw(i)[c] = dgamma as f32);
            self.rule.beta().into_iter().for_each(|i| io.dw(i)[c] = dbeta as f32);
        }
    }
}

impl Step for Scale {
    fn forward(&self, io: &Io<'_>) {
        self.apply(io, self.rule.beta(), &io.x(0), &mut io.y_mut());
    }

    fn backward(&self, io: &Io<'_>) {
        let dy = io.dy();
        self.learn(io, &dy);
        if let Some(mut dx) = io.dx(0) {
            self.apply(io, None, &dy, &mut dx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::everywhere;

    #[test]
    fn scale_and_bias_everywhere() {
        for (scale, bias) in [(true, true), (true, false), (false, true)] {
            for shape in [Shape::from([5]), [9, 7, 3].into(), [61, 33, 17].into(), [3, 70].into()] {
                everywhere(&Affine { scale, bias, init_scale: 0.5 }, &[shape], 3, 2e-6);
            }
        }
    }

    #[test]
    fn what_does_nothing_is_refused() {
        let e = Affine { scale: false, bias: false, init_scale: 1.0 }.shape(&[[2].into()]).unwrap_err();
        assert!(e.to_string().contains("does nothing"), "{e}");
        assert!(Affine::layer_scale(f32::NAN).shape(&[[2].into()]).is_err());
        assert_eq!(Affine::layer_scale(1e-6).params(&[[2].into()])[0].init, Init::Constant(1e-6));
    }
}
