//! A depthwise convolution with the 1x1 convolutions around it, or a network's first one before it, as one step of inference: `conv/chain.rs` runs them strip by
//! strip, and each layer's weights are made ready as they are for the layer alone.

use std::cell::Ref;

use super::convolve::must_fuse;
use super::fold::{Lines, Ready};
use super::{Activation, Compiled, Conv2D, Io, Op, Step};
use crate::conv::chain::{Chain, Layer, Layers, Link, Work};
use crate::conv::{Finish, Fused, Machine};
use crate::simd::Isa;
use crate::tensor::Shape;

/// One layer of a chain, with what it does in passing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub op: &'a Conv2D,
    pub x: Shape,
    pub lines: &'a [Op],
    pub activation: Activation,
}

/// Layers in a row, and for what they are compiled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members<'a> {
    /// A 1x1 convolution, the depthwise one and, perhaps, another 1x1 one.
    pub all: &'a [Member<'a>],
    /// Whether the last of the inputs is added to the output.
    pub residual: bool,
    pub batch: usize,
    pub isa: Isa,
    pub threads: usize,
}

impl Members<'_> {
    /// The step, or why the layers run one by one.
    pub fn compile(&self) -> Result<Compiled, String> {
        let layers = self.all.iter().map(|m| m.op.layer(self.batch, m.x).map_err(|e| e.to_string()));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let [expand, depthwise, rest @ ..] = &*layers else { return Err("it needs two layers or three".into()) };
        let project = rest.first().map(|layer| layer.geometry);
        let chain = Layers { expand: expand.geometry, depthwise: depthwise.geometry, project };
        let chain = Chain::accept(&chain, Machine { isa: self.isa, threads: self.threads })?;
        let (mut links, mut params, mut end) = (Vec::new(), 0, 0);
        for (layer, (member, place)) in layers.iter().zip(self.all.iter().zip(PLACES)) {
            let last =
                if member.op.activation == Activation::Linear { member.activation } else { member.op.activation };
            let own = usize::from(layer.bias) + 1;
            let lines = Lines::new(member.lines, params + own, layer.channel_of());
            let (channels, weights) = (layer.geometry.oc, layer.geometry.w_len());
            let ready = Ready::new(lines, chain.packed(place), channels, weights, true);
            let (w, bias) = (params, layer.bias.then_some(params + 1));
            let counts = member.lines.iter().filter_map(|op| op.rule().as_line()).map(|line| line.count());
            params += own + counts.sum::<usize>();
            let (start, fused) = (end, must_fuse(last).map_err(|e| e.to_string())?);
            end = (start + ready.len()).next_multiple_of(STEP);
            links.push(Part { place, ready, start, w, bias, fused });
        }
        let (work, residual) = (chain.work(), self.residual);
        let step = Box::new(ChainStep { chain, links, residual });
        let bytes = end * size_of::<f32>();
        let notes = vec!["forward: chain".into(), format!("weights made ready once: {:.1} kB", bytes as f64 / 1e3)];
        Ok(Compiled { work, ready: end, order: "chain", notes, ..Compiled::new(step) })
    }
}

const PLACES: [Layer; 3] = [Layer::Expand, Layer::Depthwise, Layer::Project];
// Weights made ready begin at multiples of a cache line.
const STEP: usize = 16;

/// A layer's weights: its parameters, and where they lie when they are ready.
struct Part {
    place: Layer,
    ready: Ready,
    start: usize,
    w: usize,
    bias: Option<usize>,
    fused: Fused,
}

struct ChainStep {
    chain: Chain,
    links: Vec<Part>,
    residual: bool,
}

impl Step for ChainStep {
    fn prepare(&self, io: &Io<'_>) {
        let mut ready = io.ready_mut();
        for part in &self.links {
            let ready = &mut ready[part.start..][..part.ready.len()];
            let pack = |w: &[f32], to: &mut [f32]| self.chain.pack(part.place, io.team, w, to);
            part.ready.prepare(io, ready, pack, (part.w, part.bias));
        }
    }

    fn forward(&self, io: &Io<'_>) {
        let (x, ready, residual) = (io.x(0), io.ready(), self.residual.then(|| io.x(1)));
        let own = [0, 1, 2].map(|i| self.links.get(i).map(|part| Own::of(part, io)));
        let link = |i: usize| {
            let (part, own) = (&self.links[i], own[i].as_ref()?);
            Some(own.link(part, &ready[part.start..][..part.ready.len()]))
        };
        let mut project = (self.links.len() > 2).then(|| link(2)).flatten();
        let (Some(expand), Some(depthwise)) = (link(0), link(1)) else { return };
        if let (Some(project), Some(residual)) = (&mut project, &residual) {
            project.finish.residual = residual;
        }
        let (mut y, mut scratch) = (io.y_mut(), io.work());
        self.chain.run(io.team, Work { x: &x, expand, depthwise, project, out: &mut y, scratch: &mut scratch });
    }

    // It is compiled for inference alone.
    fn backward(&self, _io: &Io<'_>) {}
}

/// A layer's own parameters.
struct Own<'a> {
    w: Ref<'a, [f32]>,
    bias: Option<Ref<'a, [f32]>>,
}

impl<'a> Own<'a> {
    fn of(part: &Part, io: &Io<'a>) -> Self {
        Self { w: io.w(part.w), bias: part.bias.map(|bias| io.w(bias)) }
    }

    fn link<'b>(&'b self, part: &Part, ready: &'b [f32]) -> Link<'b> {
        let (w, bias, packed) = part.ready.operands((&self.w, self.bias.as_deref().unwrap_or(&[])), ready);
        let finish = Finish { bias, residual: &[], fused: part.fused };
        Link { w: if packed.is_empty() { w } else { packed }, finish }
    }
}
