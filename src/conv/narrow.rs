//! The gradient to an input of few channels, as of a first layer: patches of gradients, added where they overlap.
//!
//! ```text
//! t[oh, ow, kh, kw, c] = sum over oc of  dy[oh, ow, oc] w[kh, kw, c, oc]        a product, on the register tile
//! dx[oh stride + kh - top, ow stride + kw - left, c] += t[oh, ow, kh, kw, c]    col2im (M24), a few rows at a time
//! ```
//!
//! The direct algorithm has input channels as columns of its tile: with one or three of them most of a vector is idle.
//! Here the columns are all elements of the kernel. Measured on 7x7, stride 2, 3 channels, 64 filters over 224x224: five
//! times the speed.
//!
//! A piece is a range of rows of `dx`. It makes the patches of the rows of `dy` that reach it, a few rows at a time so
//! that they stay in the second-level cache, and adds them in the order of `oh`, then `kh`.

use std::ops::Range;

use super::tile::{Ahead, Fused, Job, Kind, Row, Rows, Terms, TileFn};
use super::{Geometry, Kernel, Machine, Pass, Work};
use crate::parallel::{Cell, Team};
use crate::simd::{Isa, stamp};

// Input channels up to which the direct algorithm leaves most of a vector idle, whatever the instruction set.
const CHANNELS: usize = 8;
// Numbers of the patches that are made at a time.
const PATCHES: usize = 64 << 10;
// Columns of a panel of the weights.
const PANEL: usize = 32;
// Pieces at least, where there are enough rows.
const PIECES: usize = 16;

pub(super) fn accept(g: &Geometry, pass: Pass, machine: Machine) -> Result<Box<dyn Kernel>, String> {
    if pass != Pass::BackwardInput {
        return Err("it is for the gradient to the input".into());
    }
    if g.ic > CHANNELS || g.groups > 1 || g.w.dilation > 1 {
        return Err(format!("it pays up to {CHANNELS} input channels in one group, without dilation along a row"));
    }
    Ok(Box::new(Narrow::new(g, machine)?))
}

/// See the head of this file.
struct Narrow {
    g: Geometry,
    isa: Isa,
    threads: usize,
    /// Rows of `dx` of each piece of an image.
    blocks: Vec<Range<usize>>,
    cuts: Vec<usize>,
    /// Rows of `dy` whose patches are made at a time, and where their pixels lie.
    rows: usize,
    pixels: Rows,
    terms: Terms,
    tiles: [TileFn; 2],
}

impl Narrow {
    fn new(g: &Geometry, machine: Machine) -> Result<Self, String> {
        let Machine { isa, threads } = machine;
        let width = g.terms().next_multiple_of(PANEL);
        let rows = (PATCHES / (g.w.output * width)).clamp(1, g.h.output);
        let cut = PIECES.div_ceil(g.n).min(g.h.input);
        let blocks: Vec<_> = (0..cut).map(|i| i * g.h.input / cut..(i + 1) * g.h.input / cut).collect();
        let line = g.w.input * g.ic;
        let starts = (0..g.n).flat_map(|n| blocks.iter().map(move |block| (n * g.h.input + block.start) * line));
        let cuts = starts.chain([g.x_len()]).collect();
        let place = |at: usize| u32::try_from(at).map_err(|_| "a row has more than 2^32 numbers".to_string());
        let pixel = |p: usize| Ok(Row { a: place(p * g.oc)?, out: place(p * width)? });
        let pixels = Rows::new((0..rows * g.w.output).map(pixel).collect::<Result<_, String>>()?);
        let terms = Terms::new((0..place(g.oc)?).collect());
        let tiles = [Kind::Single, Kind::Double].map(|kind| kind.function(isa));
        Ok(Self { g: *g, isa, threads, blocks, cuts, rows, pixels, terms, tiles })
    }

    // Numbers of a patch, in whole panels.
    fn width(&self) -> usize {
        self.g.terms().next_multiple_of(PANEL)
    }

    fn own_len(&self) -> usize {
        self.rows * self.g.w.output * self.width()
    }

    // The rows of dy that reach rows of dx.
    fn reaching(&self, block: &Range<usize>) -> Range<usize> {
        let h = &self.g.h;
        let first = (block.start + h.before).saturating_sub(h.reach() - 1).div_ceil(h.stride);
        let end = (block.end - 1 + h.before) / h.stride + 1;
        first..end.min(h.output).max(first)
    }

    fn piece(&self, i: usize, dy: &[f32], panels: &[f32], dx: &mut [f32], patches: &mut [f32]) {
        let (g, block) = (&self.g, &self.blocks[i % self.blocks.len()]);
        let image = g.h.output * g.w.output * g.oc;
        let dy = &dy[i / self.blocks.len() * image..][..image];
        dx.fill(0.0);
        let (reaching, add) = (self.reaching(block), add(self.isa));
        for first in reaching.clone().step_by(self.rows) {
            let rows = first..(first + self.rows).min(reaching.end);
            self.multiply(&dy[first * g.w.output * g.oc..], rows.len() * g.w.output, panels, patches);
            for oh in rows {
                let line = &patches[(oh - first) * g.w.output * self.width()..][..g.w.output * self.width()];
                for kh in 0..g.h.kernel {
                    let Some(ih) = g.h.input_at(oh, kh).filter(|ih| block.contains(ih)) else { continue };
                    let dx = &mut dx[(ih - block.start) * g.w.input * g.ic..][..g.w.input * g.ic];
                    add(&mut Line { g, width: self.width(), patches: &line[kh * g.w.kernel * g.ic..], dx });
                }
            }
        }
    }

    // The patches of some pixels.
    fn multiply(&self, dy: &[f32], pixels: usize, panels: &[f32], patches: &mut [f32]) {
        let (oc, lanes) = (self.g.oc, self.isa.lanes());
        for (n, b) in panels.chunks_exact(oc * PANEL).enumerate() {
            let live = (self.g.terms() - n * PANEL).min(PANEL);
            for first in (0..live).step_by(2 * lanes) {
                let vectors = if live - first > lanes { 2 } else { 1 };
                self.tiles[vectors - 1](&mut Job {
                    a: dy,
                    a_shift: 0,
                    rows: &self.pixels,
                    live: pixels,
                    terms: &self.terms,
                    count: oc,
                    b: &b[first..],
                    b_step: PANEL,
                    out: Cell::from(&mut *patches),
                    out_shift: n * PANEL + first,
                    width: vectors * lanes,
                    accumulate: false,
                    bias: &[],
                    residual: &[],
                    fused: Fused::Linear,
                    ahead: Ahead::default(),
                    near: false,
                });
            }
        }
    }
}

impl Kernel for Narrow {
    fn work(&self) -> usize {
        self.packed() + self.work_packed()
    }

    fn work_packed(&self) -> usize {
        self.threads * self.own_len()
    }

    fn packed(&self) -> usize {
        self.width() * self.g.oc
    }

    // [panel][oc][32 elements of the kernel], zero where there are no more.
    fn pack(&self, _team: Team, w: &[f32], packed: &mut [f32]) {
        let oc = self.g.oc;
        packed[..self.packed()].fill(0.0);
        for (k, w) in w[..self.g.w_len()].chunks_exact(oc).enumerate() {
            let panel = &mut packed[k / PANEL * oc * PANEL + k % PANEL..];
            w.iter().zip(panel.iter_mut().step_by(PANEL)).for_each(|(w, to)| *to = *w);
        }
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs: [dy, w], packed, out: dx, finish, scratch } = work;
        let own = if packed.is_empty() { self.packed() } else { 0 };
        let (panels, patches) = scratch.split_at_mut(own);
        if packed.is_empty() {
            self.pack(team, w, panels);
        }
        let panels = if packed.is_empty() { &*panels } else { packed };
        team.cuts_with((dx, &self.cuts), (patches, self.own_len()), |i, dx, patches| {
            self.piece(i, dy, panels, dx, patches);
            finish.part(self.cuts[i], dx.len()).apply(dx, self.g.ic);
        });
    }
}

/// What one row of patches adds to a row of `dx`, for one row of the kernel.
struct Line<'a> {
    g: &'a Geometry,
    /// Numbers between two patches.
    width: usize,
    patches: &'a [f32],
    dx: &'a mut [f32],
}

stamp! {
    fn add(job: &mut Line<'_>) = add_body[FMA, LANES];
}

// Patches that overlap are not added one right after the other: each addition would wait for the one before.
#[inline(always)]
fn add_body<const FMA: bool, const LANES: usize>(job: &mut Line<'_>) {
    let Geometry { w, ic, .. } = *job.g;
    let (len, step) = (w.kernel * ic, w.stride * ic);
    let apart = len.div_ceil(step);
    for first in 0..apart {
        for ow in (first..w.output).step_by(apart) {
            let patch = &job.patches[ow * job.width..][..len];
            // The part of the patch that is not in the padding.
            let start = (ow * w.stride) as isize - w.before as isize;
            let skip = (-start).max(0) as usize * ic;
            let at = start.max(0) as usize * ic;
            if skip < len && at < job.dx.len() {
                for (dx, t) in job.dx[at..].iter_mut().zip(&patch[skip..]) {
                    *dx += t;
                }
            }
        }
    }
}
