//! Grad-CAM and Grad-CAM++: the channels of one layer, each weighted by what its gradient says.
//!
//! ```text
//! grad-cam     a_k = mean over i, j of g_kij,                               g = dS/dA
//! grad-cam++   a_k = sum over i, j of w_kij max(g_kij, 0),
//!              w_kij = g_kij^2 / (2 g_kij^2 + g_kij^3 sum over i, j of A_kij)
//! map          max(sum over k of a_k A_kij, 0)
//! ```
//!
//! The second is the paper's form for the score `exp(S)`, whose common factor is left out.

use super::{Look, Method};
use crate::data::Filter;
use crate::data::resize::{Area, resample};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::inspect::tape::{ReluRule, Spot, Tape};
use crate::ops::Op;
use crate::tensor::Tensor;

/// The layer that Grad-CAM looks at by default: the last convolution with more than one pixel, with the normalisation,
/// activation and sum that follow it.
///
/// # Errors
/// No layer has rows and columns.
pub fn cam_layer(graph: &Graph) -> Result<String> {
    let used = graph.used()?;
    let spatial = |i: usize| matches!(*graph.nodes()[i].shape.dims(), [h, w, _] if h * w > 1);
    let convolves = |op: &Op| matches!(op, Op::Conv2D(_) | Op::SeparableConv2D(_) | Op::ConvTranspose2D(_));
    let all = || (1..graph.nodes().len()).filter(|i| used[*i] && spatial(*i));
    let conv = all().rfind(|i| convolves(&graph.nodes()[*i].op)).or_else(|| all().next_back());
    let mut at = conv.ok_or_else(|| no_layer(graph))?;
    // What only finishes the convolution's values belongs to it.
    let finishes = |op: &Op| {
        matches!(
            op,
            Op::BatchNorm(_) | Op::Affine(_) | Op::LayerNorm(_) | Op::Activation(_) | Op::PRelu(_) | Op::Add(_)
        )
    };
    for (i, node) in graph.nodes().iter().enumerate().skip(at + 1).filter(|(i, _)| used[*i]) {
        if node.inputs.iter().any(|v| v.0 == at) && finishes(&node.op) && node.shape == graph.nodes()[at].shape {
            at = i;
        }
    }
    Ok(graph.nodes()[at].name.clone())
}

fn no_layer(graph: &Graph) -> Error {
    Error::argument(format!("no layer of {} has rows and columns, so there is no map of them", graph.name()))
        .with_help("use saliency, smoothgrad, integrated-gradients or occlusion")
}

/// The map of activations `a` and gradients `da`, both `[h, w, c]`, as [`Method::GradCam`] or
/// [`Method::GradCamPlusPlus`] weights them; other methods count as the first.
///
/// # Errors
/// The two are not of one shape `[h, w, c]`.
pub fn grad_cam(method: Method, a: &Tensor, da: &Tensor) -> Result<Tensor> {
    let &[h, w, c] = a.dims() else {
        return Err(Error::shape(format!("activations of shape {:?} are no map", a.dims())));
    };
    if a.dims() != da.dims() {
        return Err(Error::shape(format!("activations {:?} with gradients {:?}", a.dims(), da.dims())));
    }
    let weights = weights(method, [h * w, c], a.data(), da.data());
    let sum = |pixel: &[f32]| pixel.iter().zip(&weights).map(|(a, weight)| f64::from(*a) * weight).sum::<f64>();
    Tensor::new(&[h, w], a.data().chunks(c).map(|pixel| sum(pixel).max(0.0) as f32).collect())
}

fn weights(method: Method, [pixels, c]: [usize; 2], a: &[f32], da: &[f32]) -> Vec<f64> {
    let channel =
        |values: &[f32], k: usize| values.iter().skip(k).step_by(c).map(|v| f64::from(*v)).collect::<Vec<_>>();
    (0..c)
        .map(|k| {
            let g = channel(da, k);
            if method != Method::GradCamPlusPlus {
                return g.iter().sum::<f64>() / pixels as f64;
            }
            let total: f64 = channel(a, k).iter().sum();
            let weight = |g: f64| {
                let below = 2.0 * g * g + total * g * g * g;
                if below == 0.0 { 0.0 } else { g * g / below }
            };
            g.iter().map(|g| weight(*g) * g.max(0.0)).sum()
        })
        .collect()
}

// The layer and its map.
pub(super) fn of(look: &Look<'_>) -> Result<(String, Tensor)> {
    let graph = look.model.graph();
    let layer = match &look.config.layer {
        Some(layer) => layer.clone(),
        None => cam_layer(graph)?,
    };
    let shape = graph.shape(graph.value(&layer)?);
    let &[h, w, c] = shape.dims() else {
        let best = cam_layer(graph)?;
        return Err(Error::argument(format!("layer '{layer}' gives {shape}, which has no rows and columns"))
            .with_help(format!("name a layer before it, such as '{best}'")));
    };
    let mut tape = Tape::new(look.model, 1, &look.tape())?;
    tape.forward(look.x)?;
    tape.backward(Spot::Logits, &look.seed(1)?, ReluRule::Derivative)?;
    let spot = Spot::Layer(&layer);
    let (a, da) = (tape.value(spot)?.reshape(&[h, w, c])?, tape.gradient(spot)?.reshape(&[h, w, c])?);
    Ok((layer, grad_cam(look.config.method, &a, &da)?))
}

// A map in the size of the image, interpolated.
pub(super) fn enlarged(map: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
    let &[mh, mw] = map.dims() else { return Err(Error::shape(format!("{:?} is no map", map.dims()))) };
    Tensor::new(&[h, w], resample(map.data(), [mh, mw, 1], Area::whole([mh, mw]), [h, w], Filter::Bilinear))
}
