//! PReLU: a leaky ReLU whose slopes below 0 are learned.
//!
//! ```text
//! y = x for x >= 0, else alpha x
//! dx = dy for x > 0, else alpha dy,   dalpha = sum of dy x where x < 0
//! ```
//!
//! Source: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015, arXiv:1502.01852.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::init::Init;
use crate::ops::channels::{Addends, Channels, in_blocks};
use crate::ops::pieces::{in_rows, only, rows_per_piece};
use crate::ops::{Compiled, Ctx, Io, Mode, Needs, ParamSpec, Rule, Step, Twin};
use crate::simd::{mul_add, stamp};
use crate::tensor::Shape;

/// Which numbers share a slope of [`PRelu`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slopes {
    /// Those of one channel: `alpha` is `[c]` (Keras: the other axes are `shared_axes`).
    #[default]
    Channel,
    /// All: `alpha` is `[1]` (PyTorch's default).
    One,
    /// None: `alpha` has the shape of a sample (Keras' default).
    Element,
}

/// `y = x` for `x >= 0`, else `alpha x`; the shape stays. The slopes start at 0.25, as in the paper.
///
/// ```
/// use striate::ops::{PRelu, Rule};
/// assert_eq!(PRelu::channel().params(&[[8, 8, 32].into()])[0].dims, [32]);
/// assert_eq!(PRelu::element().params(&[[8, 8, 32].into()])[0].dims, [8, 8, 32]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PRelu {
    /// Which numbers share a slope.
    pub alpha: Slopes,
}

impl PRelu {
    /// With a slope for each channel.
    pub fn channel() -> Self {
        Self { alpha: Slopes::Channel }
    }

    /// With one slope.
    pub fn one() -> Self {
        Self { alpha: Slopes::One }
    }

    /// With a slope for each number of a sample.
    pub fn element() -> Self {
        Self { alpha: Slopes::Element }
    }
}

impl Rule for PRelu {
    fn class(&self) -> &'static str {
        "PReLU"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        only(self.class(), x)
    }

    fn params(&self, x: &[Shape]) -> Vec<ParamSpec> {
        let dims = match self.alpha {
            Slopes::Channel => vec![x[0].channels()],
            Slopes::One => vec![1],
            Slopes::Element => x[0].dims().to_vec(),
        };
        let fan = dims.iter().product();
        vec![ParamSpec { name: "alpha", dims, init: Init::Constant(0.25), fans: (fan, fan), trainable: true }]
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        y.len() as u64
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let channels = Channels::new(ctx.y.channels(), ctx.isa);
        let (len, sample) = (ctx.batch * ctx.y.len(), ctx.y.len());
        let sums = if ctx.mode == Mode::Train { channels.pieces(len) * channels.sums() } else { 0 };
        let work = if self.alpha == Slopes::Element { 0 } else { channels.lanes + sums };
        let step = Bend {
            alpha: self.alpha,
            sample,
            channels,
            bend: bend(ctx.isa),
            slopes: slopes(ctx.isa),
            add_slopes: add_slopes(ctx.isa),
        };
        Ok(Compiled { needs: Needs { x: true, y: false }, work, ..Compiled::new(Box::new(step)) })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        let one = |(at, x): (usize, &f64)| if *x >= 0.0 { *x } else { t.w[0][at % t.w[0].len()] * x };
        t.x[0].iter().enumerate().map(one).collect()
    }
}

// Slopes whose gradients a thread takes at a time, where each number has its own.
const SLOPES: usize = 4096;

struct Bend {
    alpha: Slopes,
    sample: usize,
    channels: Channels,
    bend: fn(&Job<'_>, usize, &[f32], &mut [f32]),
    slopes: fn(usize, &[f32], &[f32], &mut [f32]),
    add_slopes: fn(&[f32], &[f32], &mut [f32]),
}

/// `x` decides on the side; `alpha` is repeated.
struct Job<'a> {
    alpha: &'a [f32],
    x: &'a [f32],
}

impl Bend {
    // `y = from` where x > 0, else `alpha from`.
    fn apply(&self, io: &Io<'_>, x: &[f32], from: &[f32], y: &mut [f32]) {
        let w = io.w(0);
        let piece = self.channels.piece;
        let run = |alpha: &[f32], y: &mut [f32]| {
            let job = Job { alpha, x };
            io.team.chunks(y, piece, |i, y| (self.bend)(&job, i * piece, &from[i * piece..][..y.len()], y));
        };
        if self.alpha == Slopes::Element {
            return run(&w, y);
        }
        let mut work = io.work();
        let alpha = &mut work[..self.channels.lanes];
        alpha.iter_mut().enumerate().for_each(|(lane, alpha)| *alpha = w[lane % w.len()]);
        run(alpha, y);
    }

    // The gradients of slopes that several numbers share.
    fn learn(&self, io: &Io<'_>, x: &[f32], dy: &[f32]) {
        let (channels, mut work) = (&self.channels, io.work());
        let sums = &mut work[channels.lanes..][..channels.pieces(x.len()) * channels.sums()];
        io.team.chunks(sums, channels.sums(), |i, sums| {
            (self.slopes)(channels.lanes, channels.part(x, i), channels.part(dy, i), sums);
        });
        let (mut dalpha, mut all) = (io.dw(0), 0.0);
        for c in 0..channels.channels {
            let [sum, _] = channels.totals(c, sums);
            all += sum;
            match self.alpha {
                Slopes::One => dalpha[0] = all as f32,
                _ => dalpha[c] = sum as f32,
            }
        }
    }

    // The gradients of slopes of one number each: a sum over the batch.
    fn learn_each(&self, io: &Io<'_>, x: &[f32], dy: &[f32]) {
        io.team.chunks(&mut io.dw(0), SLOPES, |i, dalpha| {
            dalpha.fill(0.0);
            for (x, dy) in x.chunks_exact(self.sample).zip(dy.chunks_exact(self.sample)) {
                let range = i * SLOPES..i * SLOPES + dalpha.len();
                (self.add_slopes)(&x[range.clone()], &dy[range], dalpha);
            }
        });
    }
}

impl Step for Bend {
    fn forward(&self, io: &Io<'_>) {
        let x = io.x(0);
        self.apply(io, &x, &x, &mut io.y_mut());
    }

    fn backward(&self, io: &Io<'_>) {
        let (x, dy) = (io.x(0), io.dy());
        match self.alpha {
            Slopes::Element => self.learn_each(io, &x, &dy),
            _ => self.learn(io, &x, &dy),
        }
        if let Some(mut dx) = io.dx(0) {
            self.apply(io, &x, &dy, &mut dx);
        }
    }
}

stamp! {
    // The outputs from number `at` on.
    fn bend(job: &Job<'_>, at: usize, from: &[f32], y: &mut [f32]) = bend_body[FMA, LANES];
}

stamp! {
    // `sums = [sum of dy x where x < 0, ..]` for each lane.
    fn slopes(lanes: usize, x: &[f32], dy: &[f32], sums: &mut [f32]) = slopes_body[FMA, LANES];
}

stamp! {
    // Adds `dy x` where x < 0.
    fn add_slopes(x: &[f32], dy: &[f32], sum: &mut [f32]) = add_slopes_body[FMA, LANES];
}

#[inline(always)]
fn bend_body<const FMA: bool, const LANES: usize>(job: &Job<'_>, at: usize, from: &[f32], y: &mut [f32]) {
    let (row, mut done) = (job.alpha.len(), 0);
    in_rows((row, rows_per_piece(1)), at, y, |_, column, y| {
        let (alpha, x) = (&job.alpha[column..][..y.len()], &job.x[at + done..][..y.len()]);
        let from = &from[done..][..y.len()];
        done += y.len();
        for (((y, from), x), alpha) in y.iter_mut().zip(from).zip(x).zip(alpha) {
            // A NaN fails the comparison, and is no less NaN for it.
            *y = if *x > 0.0 { *from } else { alpha * from };
        }
    });
}

struct Bent<const FMA: bool, const LANES: usize>;

impl<const FMA: bool, const LANES: usize> Addends for Bent<FMA, LANES> {
    #[inline(always)]
    fn add(&self, x: &[f32], dy: &[f32], sum: &mut [f32], _: &mut [f32]) {
        add_slopes_body::<FMA, LANES>(x, dy, sum);
    }
}

#[inline(always)]
fn slopes_body<const FMA: bool, const LANES: usize>(lanes: usize, x: &[f32], dy: &[f32], sums: &mut [f32]) {
    in_blocks(x, dy, lanes, sums, &Bent::<FMA, LANES>);
}

#[inline(always)]
fn add_slopes_body<const FMA: bool, const LANES: usize>(x: &[f32], dy: &[f32], sum: &mut [f32]) {
    for ((x, dy), sum) in x.iter().zip(dy).zip(sum) {
        let below = if *x < 0.0 { *x } else { 0.0 };
        *sum = mul_add::<FMA>(*dy, below, *sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::{everywhere, without_ties};

    #[test]
    fn all_kinds_of_slopes_everywhere() {
        for prelu in [PRelu::channel(), PRelu::one(), PRelu::element()] {
            for shape in [Shape::from([5]), [9, 7, 3].into(), [61, 33, 17].into(), [3, 70].into(), [10_007].into()] {
                everywhere(&prelu, &[shape], 3, 2e-6);
            }
            assert!(without_ties(&prelu, &[[6, 4, 5].into()], 2) < 2e-6);
        }
    }

    #[test]
    fn slopes_start_as_in_the_paper() {
        let spec = &PRelu::one().params(&[[4, 4, 3].into()])[0];
        assert_eq!((spec.dims.as_slice(), spec.init), (&[1][..], Init::Constant(0.25)));
        assert!(PRelu::one().shape(&[]).is_err());
    }
}
