//! Deconvnet: what in an image drives a channel, by running the network backwards from its strongest unit (V10).
//!
//! All other units of the layer are set to 0, and what is left goes back to the pixels: a maximum pool puts it where its
//! maximum was (its switches), a ReLU keeps what is positive, a convolution is run with its kernel turned.
//!
//! Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, arXiv:1311.2901.

use super::show::{bitmap, relief, relief_words};
use super::tape::{ReluRule, Spot, Tape, TapeConfig};
use super::window::{Patch, image, unit_patch};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::model::Model;
use crate::ops::{Op, PoolKind};
use crate::session::Machine;
use crate::tensor::Tensor;
use crate::visual::{Animation, Growth, Item, PALETTE, Paint, Panel, Picture, Section, Sheet, short};

/// What drives one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconstruction {
    /// The channel.
    pub channel: usize,
    /// Row and column of its strongest unit.
    pub at: [usize; 2],
    /// That unit's value.
    pub value: f32,
    /// What came back, `[h, w, c]`.
    pub pixels: Tensor,
    /// The rectangle that the unit can see.
    pub patch: Patch,
}

/// Runs the network backwards from the strongest channels of a layer, at most `count`, or from those that are named.
///
/// A network with batch normalisation or average pools goes beyond the paper: their derivatives are used.
///
/// ```
/// use striate::inspect::{DeconvnetAsk, deconvnet};
/// let model = striate::Model::new(striate::zoo::recipe("keras-mnist")?.graph, 0)?;
/// let ramp: Vec<f32> = (0..784).map(|i| i as f32 / 783.0).collect();
/// let ask = DeconvnetAsk { layer: "conv2d_1", channels: &[], count: 2, machine: Default::default() };
/// let found = deconvnet(&model, &ramp, &ask)?;
/// assert!(found.len() == 2 && found[0].value >= found[1].value);
/// assert_eq!(found[0].pixels.dims(), [28, 28, 1]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The network takes no images, the layer does not exist or has no rows and columns, a channel does not exist, or none
/// of the layer's values is above 0.
pub fn deconvnet(model: &Model, x: &[f32], ask: &DeconvnetAsk<'_>) -> Result<Vec<Reconstruction>> {
    let graph = model.graph();
    let dims = image(graph.input_shape()?)?;
    let shape = graph.shape(graph.value(ask.layer)?);
    let &[h, w, c] = shape.dims() else {
        let all = super::map_layers(graph)?.join(", ");
        return Err(Error::argument(format!("layer '{}' gives {shape}, which has no rows and columns", ask.layer))
            .with_help(format!("these have them: {all}")));
    };
    if let Some(bad) = ask.channels.iter().find(|k| **k >= c) {
        return Err(Error::argument(format!("layer '{}' has no channel {bad}", ask.layer))
            .with_help(format!("channels are 0 to {}", c - 1)));
    }
    let config = TapeConfig { upto: Some(ask.layer), machine: ask.machine.clone() };
    let mut tape = Tape::new(model, 1, &config)?;
    tape.forward(x)?;
    let values = tape.value(Spot::Layer(ask.layer))?.into_data();
    super::score::finite(&values)?;
    let strongest = |k: usize| {
        // Of equal units the first.
        let better = |a: &usize, b: &usize| values[a * c + k].total_cmp(&values[b * c + k]).then(b.cmp(a));
        (0..h * w).max_by(better).unwrap_or(0)
    };
    let mut units: Vec<(usize, usize)> = (0..c).map(|k| (k, strongest(k))).collect();
    if ask.channels.is_empty() {
        units.sort_by(|a, b| values[b.1 * c + b.0].total_cmp(&values[a.1 * c + a.0]).then(a.0.cmp(&b.0)));
        units.truncate(ask.count);
    } else {
        units = ask.channels.iter().map(|k| units[*k]).collect();
    }
    units.retain(|(k, at)| values[at * c + k] > 0.0);
    if units.is_empty() {
        return Err(Error::argument(format!("no value of layer '{}' is above 0, so nothing goes back", ask.layer))
            .with_help("look at another layer, such as one behind a ReLU, or at another image"));
    }
    let mut all = Vec::new();
    for (k, at) in units {
        let mut seed = vec![0.0; values.len()];
        seed[at * c + k] = values[at * c + k];
        tape.backward(Spot::Layer(ask.layer), &seed, ReluRule::Deconvnet)?;
        let place = [at / w, at % w];
        all.push(Reconstruction {
            channel: k,
            at: place,
            value: values[at * c + k],
            pixels: tape.input_gradient().reshape(&dims)?,
            patch: unit_patch(graph, ask.layer, place)?,
        });
    }
    Ok(all)
}

/// Whether maximum pools lie on the way to a layer, whose switches tell where in the image its values came from.
///
/// Without them what comes back shows the weights more than the image: all that is left of the image is where the
/// strongest unit is.
///
/// # Errors
/// The layer does not exist.
pub fn has_switches(graph: &Graph, layer: &str) -> Result<bool> {
    let mut open = vec![graph.value(layer)?];
    let mut seen = vec![false; graph.nodes().len()];
    while let Some(at) = open.pop() {
        let node = graph.node(at);
        if matches!(&node.op, Op::Pool2D(pool) if pool.kind == PoolKind::Max) {
            return Ok(true);
        }
        let fresh = node.inputs.iter().filter(|v| !std::mem::replace(&mut seen[v.0], true));
        open.extend(fresh);
    }
    Ok(false)
}

/// What is asked of [`deconvnet`].
#[derive(Debug, Clone)]
pub struct DeconvnetAsk<'a> {
    /// The layer.
    pub layer: &'a str,
    /// The channels; the strongest if empty.
    pub channels: &'a [usize],
    /// How many of the strongest.
    pub count: usize,
    /// The machine.
    pub machine: Machine,
}

const SIDE: f64 = 118.0;

// Seconds for which each channel is shown before the next comes.
const PART: f64 = 1.0;

/// Draws reconstructions, each beside the part of the image that its unit sees.
///
/// # Errors
/// There are none, or the image has not their size.
pub fn deconvnet_sheet(layer: &str, photo: &Image, all: &[Reconstruction]) -> Result<Picture> {
    sheet(layer, photo, all)?.picture()
}

/// The same as an animation: what a unit sees, then what came back from it, channel by channel.
///
/// # Errors
/// As [`deconvnet_sheet`].
pub fn deconvnet_animation(layer: &str, photo: &Image, all: &[Reconstruction]) -> Result<Animation> {
    sheet(layer, photo, all)?.growing(Growth::Item, PART)
}

fn sheet(layer: &str, photo: &Image, all: &[Reconstruction]) -> Result<Sheet> {
    let photo = bitmap(photo)?;
    let mut whole = Panel::new(photo.clone(), 236.0).title("where the strongest units look");
    let mut items = Vec::new();
    for (i, r) in all.iter().enumerate() {
        let Patch { rows, columns } = r.patch.clone();
        let (top, left, h, w) = (rows.start as f64, columns.start as f64, rows.len() as f64, columns.len() as f64);
        // The frame's colour comes again at its part.
        let colour = Paint::Series(i % PALETTE.len());
        whole = whole.mark([top, left, h, w], colour);
        let ([y, x], value) = (r.at, short(f64::from(r.value)));
        let seen = Panel::new(photo.part(rows.clone(), columns.clone()), SIDE).square().mark([0.0, 0.0, h, w], colour);
        let seen = seen.title(format!("channel {}", r.channel)).caption(format!("value {value}"));
        items.push(Item::Image(seen.caption(format!("row {y}, column {x}"))));
        let (back, range) = relief(&r.pixels)?;
        let back = Panel::new(back.part(rows, columns), SIDE).square().title("what drives it");
        items.push(Item::Image(back.caption(format!("up to ±{}", short(range.high)))));
    }
    let strongest = all.first().ok_or_else(|| Error::argument("there is nothing to draw"))?;
    let (back, range) = relief(&strongest.pixels)?;
    let whole_back = Panel::new(back, 236.0)
        .title(format!("channel {}: all that came back", strongest.channel))
        .caption(relief_words(&strongest.pixels, &range));
    let first = Section { items: vec![Item::Image(whole), Item::Image(whole_back)], ..Section::default() };
    let note = "the part of the image that the channel's strongest unit sees, and what in it drives the unit";
    let parts = Section { heading: "Channel by channel".into(), note: note.into(), items };
    let subtitle =
        "the network run backwards from one unit: maxima go where they came from, only what is positive goes on";
    let title = format!("Deconvnet: layer {layer}");
    Ok(Sheet { title, subtitle: subtitle.into(), sections: vec![first, parts], width: 1060.0 })
}
