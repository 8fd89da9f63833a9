//! The two checks of the museum: each layer's output against its formula, each gradient against finite differences.
//!
//! The formulas are those of the engine's plain twins, [`crate::conv::reference`] and [`Pool2D`]; they take images with
//! the channels last.

use serde::Serialize;

use super::Images;
use super::sandbox::{CONV, KERNEL, NAMES, Net, SIDE};
use crate::conv::{Geometry, reference};
use crate::ops::{Mode, Pool2D, Rule, Twin};
use crate::rng::Rng;

// Images that a check runs on: more than one, since some mistakes are right on one.
const IMAGES: usize = 3;
const STEP: f64 = 1e-6;
// Numbers of a tensor that are tried.
const TRIED: usize = 40;

/// The error of one tensor: `|is - should be| / |should be|`, as lengths of vectors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The layer or the tensor.
    pub name: String,
    /// The error: 1 is as large as the truth itself.
    pub error: f64,
}

impl Check {
    /// What counts as right, finite differences and the kinks of ReLU allowed for.
    pub const TOLERANCE: f64 = 1e-3;

    /// Whether the error is small.
    pub fn passed(&self) -> bool {
        self.error <= Self::TOLERANCE
    }
}

/// `|a - b| / |b|`; the length of `a - b` itself where `b` is 0.
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    let length = |v: &mut dyn Iterator<Item = f64>| libm::sqrt(v.map(|v| v * v).sum());
    let (apart, size) = (length(&mut a.iter().zip(b).map(|(a, b)| a - b)), length(&mut b.iter().copied()));
    if size == 0.0 { apart } else { apart / size }
}

// A black background and biases of 0 put ReLU exactly on its kink and make ties in the pool, where finite differences
// have no one value; so the images get a little noise, and the biases are not 0.
fn shaken(net: &Net, images: &Images) -> (Net, Vec<f64>, Vec<usize>) {
    let (mut x, labels) = images.some(&(0..IMAGES.min(images.labels.len())).collect::<Vec<_>>());
    let mut rng = Rng::new(1).split("museum check");
    x.iter_mut().for_each(|v| *v += 0.1 * f64::from(rng.uniform()));
    let mut net = net.clone();
    net.params.0[1].iter_mut().for_each(|b| *b = 0.1 * rng.normal());
    (net, x, labels)
}

/// The outputs of convolution and pooling against their formulas, on the same weights.
pub(super) fn formula(net: &Net, images: &Images) -> Vec<Check> {
    let (net, x, labels) = shaken(net, images);
    let (n, k) = (labels.len(), net.size.kernels);
    let trace = net.forward(&x, &labels);
    let text = format!("n{n} h{SIDE} w{SIDE} ic1 oc{k} k{KERNEL}");
    let Ok(g) = text.parse::<Geometry>() else { return Vec::new() };
    let (w, taps) = (&net.params.0[0], KERNEL * KERNEL);
    let filters: Vec<f64> = (0..taps * k).map(|i| w[i % k * taps + i / k]).collect();
    let mut y = vec![0.0; g.y_len()];
    reference::forward(&g, &x, &filters, &net.params.0[1], &mut y);
    let conv = last(&trace.conv, [n, k, CONV * CONV]);
    let active: Vec<f64> = conv.iter().map(|v| v.max(0.0)).collect();
    let shapes = [[CONV, CONV, k].into()];
    let twin = Twin { batch: n, x: &[&active], shapes: &shapes, w: &[], mode: Mode::Infer, rng: Rng::new(0) };
    let pooled = last(&trace.pooled, [n, k, CONV * CONV / 4]);
    let check = |name: &str, error| Check { name: name.into(), error };
    vec![check("convolution", distance(&conv, &y)), check("pooling", distance(&pooled, &Pool2D::max(2).twin(&twin)))]
}

// [n, c, pixels] to [n, pixels, c]
fn last(planes: &[f64], [n, c, pixels]: [usize; 3]) -> Vec<f64> {
    let at = |image: usize, pixel: usize, channel: usize| planes[(image * c + channel) * pixels + pixel];
    (0..n * pixels * c).map(|i| at(i / c / pixels, i / c % pixels, i % c)).collect()
}

/// The gradients to all parameters and to the images against finite differences of the loss, a sample of each.
pub(super) fn gradients(net: &Net, images: &Images) -> Vec<Check> {
    let (mut net, x, labels) = shaken(net, images);
    let (gradients, dx) = net.backward(&net.forward(&x, &labels), &labels);
    let mut all = Vec::new();
    for (tensor, name) in NAMES.iter().enumerate() {
        let which = sample(&gradients.0[tensor]);
        let mut loss = |i: usize, step: f64| {
            let old = net.params.0[tensor][i];
            net.params.0[tensor][i] = old + step;
            let loss = net.forward(&x, &labels).loss;
            net.params.0[tensor][i] = old;
            loss
        };
        let sides: Vec<[f64; 2]> =
            which.iter().map(|i| sides([loss(*i, -STEP), loss(*i, 0.0), loss(*i, STEP)])).collect();
        all.push(compared(name, &which, (&gradients.0[tensor], &sides)));
    }
    let mut moved = x.clone();
    // The middle of an image, since its edge is black and its gradient small.
    let which: Vec<usize> = (0..TRIED).map(|i| i % IMAGES.min(labels.len()) * SIDE * SIDE + 300 + 4 * i).collect();
    let both = which.iter().map(|i| {
        let mut loss = |step: f64| {
            moved[*i] = x[*i] + step;
            let loss = net.forward(&moved, &labels).loss;
            moved[*i] = x[*i];
            loss
        };
        sides([loss(-STEP), loss(0.0), loss(STEP)])
    });
    let both: Vec<[f64; 2]> = both.collect();
    all.push(compared("x", &which, (&dx, &both)));
    all
}

// The difference quotients to both sides.
fn sides([below, here, above]: [f64; 3]) -> [f64; 2] {
    [(here - below) / STEP, (above - here) / STEP]
}

// At a kink every value between the two sides is right.
fn compared(name: &str, which: &[usize], (gradient, sides): (&[f64], &[[f64; 2]])) -> Check {
    let analytic: Vec<f64> = which.iter().map(|i| gradient[*i]).collect();
    let nearest = |(v, [a, b]): (&f64, &[f64; 2])| v.max(a.min(*b)).min(a.max(*b));
    let right: Vec<f64> = analytic.iter().zip(sides).map(nearest).collect();
    Check { name: name.into(), error: distance(&analytic, &right) }
}

// Evenly over the tensor; a step that shares no factor with the sizes of its axes meets all of them.
fn sample(tensor: &[f64]) -> Vec<usize> {
    let n = tensor.len();
    if n <= TRIED { (0..n).collect() } else { (0..TRIED).map(|i| i * 7919 % n).collect() }
}
