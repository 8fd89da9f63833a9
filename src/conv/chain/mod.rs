//! A depthwise convolution with the layers around it, strip by strip: what lies between them never reaches memory.
//!
//! ```text
//! expand     z[p, c] = f(sum over ic of  x[p, ic] w[ic, c] + b[c])           1x1, or a network's first convolution
//! depthwise  u[p, c] = f(sum over kh, kw of  z[..., c] w[kh, kw, c] + b[c])
//! project    y[p, oc] = f(sum over c of  u[p, c] w[c, oc] + b[oc] + residual)
//! ```
//!
//! In MobileNet's and EfficientNet's blocks `z` and `u` have six times as many channels as `x` and `y`, and in the first
//! blocks they are many times the caches. Here each piece of the output, some rows of an image, goes through all layers:
//!
//! ```text
//! for each piece: some rows of an image                  on any thread; pieces.rs
//!   for each panel of channels between (two vectors)
//!     expand the rows that the windows meet              a strip with its padding, in the second-level cache; expand.rs
//!     the windows over it                                depthwise/strip.rs
//!     every few panels: their part of the projection     y goes on from its sums
//! ```
//!
//! Neighbouring pieces both expand the rows that they share, so pieces are as tall as the caches allow. Where they would
//! share too much, as in single images of few rows, the projection is left out and panels are the pieces: each expands a
//! whole image for its own channels.
//!
//! The order of each sum is that of the layers one by one, and so are the bits of all numbers but zeros, whose sign may
//! differ.

mod expand;
mod pieces;

use super::cover::Cover;
use super::depthwise::{line::Line, strip};
use super::panels::Panels;
use super::tile::{Ahead, Fused, Job, Row, Terms};
use super::{Axis, Finish, Geometry, Machine, Pass};
use crate::parallel::{Cell, Team};
use crate::simd::Isa;

use expand::{Expand, Place};
use pieces::Piece;

// Input channels of a first layer of larger kernels at most: Winograd's algorithm takes those of more.
const FEW: usize = 8;

/// The layers of a chain: their geometries.
#[derive(Debug, Clone, Copy)]
pub struct Layers {
    /// A 1x1 convolution to more channels, or any of few input channels.
    pub expand: Geometry,
    /// The depthwise convolution.
    pub depthwise: Geometry,
    /// A 1x1 convolution to fewer channels.
    pub project: Option<Geometry>,
}

impl Layers {
    fn check(&self) -> Result<(), String> {
        let Self { expand, depthwise: dw, project } = self;
        let simple = |a: &Axis| a.kernel == 1 && a.stride == 1 && a.before == 0 && a.after == 0;
        let is_1x1 = |g: &Geometry| simple(&g.h) && simple(&g.w) && g.groups == 1;
        let follows =
            |a: &Geometry, b: &Geometry| (a.n, a.h.output, a.w.output, a.oc) == (b.n, b.h.input, b.w.input, b.ic);
        if !is_1x1(expand) && (expand.groups > 1 || expand.ic > FEW) {
            return Err(format!("the first layer must be 1x1, or have at most {FEW} input channels and one group"));
        }
        if !project.as_ref().is_none_or(is_1x1) {
            return Err("the last layer must be 1x1, stride 1, no padding, one group".into());
        }
        if dw.groups == 1 || dw.groups != dw.ic || dw.groups != dw.oc || dw.pad_value != 0.0 {
            return Err("the layer between must be depthwise, with zeros as padding".into());
        }
        if !follows(expand, dw) || !project.as_ref().is_none_or(|project| follows(dw, project)) {
            return Err("each layer must read what the one before it writes".into());
        }
        Ok(())
    }
}

/// One layer's numbers.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// The weights: of the first and the last layer as [`Chain::pack`] leaves them, of the depthwise one as they are.
    pub w: &'a [f32],
    /// What happens to its sums; only that of the last layer may have a residual.
    pub finish: Finish<'a>,
}

/// What a chain works on.
pub struct Work<'a> {
    /// `[n, h, w, ic]` of the first layer.
    pub x: &'a [f32],
    /// The layers in order.
    pub expand: Link<'a>,
    /// The depthwise one.
    pub depthwise: Link<'a>,
    /// The last, where the chain has one.
    pub project: Option<Link<'a>>,
    /// The output of the last layer; all of it is written.
    pub out: &'a mut [f32],
    /// At least [`Chain::work`] numbers, whatever they are.
    pub scratch: &'a mut [f32],
}

/// Which layer's weights [`Chain::pack`] makes ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The first.
    Expand,
    /// The depthwise one.
    Depthwise,
    /// The last.
    Project,
}

/// One chain for one batch size, ready to run.
pub struct Chain {
    isa: Isa,
    threads: usize,
    lines: [Line; 2],
    windows: strip::StripFn,
    expand: Expand,
    project: Option<Panels>,
    /// Rows of a piece at most, and panels between that are projected together.
    rows: usize,
    group: usize,
    pieces: Vec<Piece>,
    /// Where the pieces end in the output, in pixels; and the channels of the panels between.
    cuts: [Vec<usize>; 2],
    /// Of the projection, for each number of rows that a piece has.
    covers: Covers,
    terms: Terms,
}

/// What the layers before the projection work on.
#[derive(Clone, Copy)]
struct Between<'a> {
    x: &'a [f32],
    expand: Link<'a>,
    depthwise: Link<'a>,
}

impl Chain {
    /// The chain of these layers.
    ///
    /// # Errors
    /// They are no such chain, or one by one they are faster; the message says why.
    pub fn accept(layers: &Layers, machine: Machine) -> Result<Self, String> {
        layers.check()?;
        let Layers { expand, depthwise, project } = layers;
        let Machine { isa, threads } = machine;
        let lines = [&depthwise.h, &depthwise.w].map(|axis| Line::new(axis, Pass::Forward));
        let ([v, h], n, step) = (lines, depthwise.n, 2 * isa.lanes());
        let panels = depthwise.ic.div_ceil(step);
        let rows = if project.is_some() { pieces::rows(n, lines, step)? } else { pieces::whole(lines, panels, step)? };
        let place = Place { width: pieces::width(h), step };
        let group = (pieces::SUMS / (rows * h.output * step)).clamp(1, panels);
        let pieces = pieces::pieces(n, v, rows);
        let expand = Expand::new(expand, &pieces, place, isa)?;
        let ends = pieces.iter().scan(0, |end, piece| {
            *end += piece.rows * h.output;
            Some(*end)
        });
        let pixels = std::iter::once(0).chain(ends).collect();
        let channels = expand.panels.columns.iter().map(|c| c.to).chain([depthwise.ic]).collect();
        let project = project.as_ref().map(|g| Panels::new([g.ic, g.oc], Pass::Forward, isa));
        let (covers, terms) = match &project {
            Some(project) => projection(&pieces, h.output, [group * step, project.output], isa)?,
            None => (Vec::new(), Terms::default()),
        };
        let (windows, cuts) = (strip::function(lines, true, isa), [pixels, channels]);
        Ok(Self { isa, threads, lines, windows, expand, project, rows, group, pieces, cuts, covers, terms })
    }

    // Channels of a panel between.
    fn step(&self) -> usize {
        2 * self.isa.lanes()
    }

    // Columns of a strip, with the padding.
    fn width(&self) -> usize {
        pieces::width(self.lines[1])
    }

    // Numbers of the image's copy, of a strip, and of the sums before the projection.
    fn own(&self) -> [usize; 3] {
        let strip = self.lines[0].reach(self.rows) * self.width() * self.step();
        let pixels = self.rows * self.lines[1].output;
        let sums = if self.project.is_some() { pixels * self.group * self.step() } else { 0 };
        [self.expand.strip(), strip, sums].map(|len| len.next_multiple_of(16))
    }

    // Of the bias of the first layer, and of the last.
    fn padded(&self) -> [usize; 2] {
        [self.expand.panels.padded(), self.project.as_ref().map_or(0, Panels::padded)]
    }

    /// Length of the scratch that it needs.
    pub fn work(&self) -> usize {
        self.padded().iter().sum::<usize>() + self.threads * self.own().iter().sum::<usize>()
    }

    /// Numbers of a layer's weights in the order in which they are read; 0 if they are read as they are.
    pub fn packed(&self, layer: Layer) -> usize {
        self.panels(layer).map_or(0, Panels::packed)
    }

    /// Makes a layer's weights ready: [`Chain::packed`] numbers, all of which are written.
    ///
    /// # Panics
    /// A slice is shorter than the geometry says.
    pub fn pack(&self, layer: Layer, team: Team, w: &[f32], packed: &mut [f32]) {
        if let Some(panels) = self.panels(layer) {
            panels.pack(team, w, &panels.columns, packed);
        }
    }

    fn panels(&self, layer: Layer) -> Option<&Panels> {
        match layer {
            Layer::Expand => Some(&self.expand.panels),
            Layer::Depthwise => None,
            Layer::Project => self.project.as_ref(),
        }
    }

    /// Runs the layers; neither allocates nor locks.
    ///
    /// # Panics
    /// A slice is shorter than the geometries say, the last layer is missing, or the team is larger than the machine it
    /// was made for.
    pub fn run(&self, team: Team, work: Work<'_>) {
        let Work { x, mut expand, depthwise, project, out, scratch } = work;
        let [first, last] = self.padded();
        let (padded, scratch) = scratch.split_at_mut(first);
        expand.finish.bias = self.expand.panels.bias(expand.finish.bias, padded);
        let (padded, scratch) = scratch.split_at_mut(last);
        let own = self.own().iter().sum();
        let between = Between { x, expand, depthwise };
        let [pixels, channels] = &self.cuts;
        let Some(panels) = &self.project else {
            let output = channels[channels.len() - 1];
            return team.grid_with((out, output), [pixels, channels], (scratch, own), |[i, j], y, own| {
                let (source, strip, _) = self.start(self.pieces[i], between, own);
                self.panel(self.pieces[i], j, (source, between), strip, (y, 0));
            });
        };
        let mut project = project.expect("the numbers of the last layer");
        project.finish.bias = panels.bias(project.finish.bias, padded);
        team.grid_with((out, panels.output), [pixels, &[0, panels.output]], (scratch, own), |[i, _], mut y, own| {
            let finish = project.finish.part(pixels[i] * panels.output, y.len());
            self.through(self.pieces[i], between, (panels, Link { finish, ..project }), own, &mut y);
        });
    }

    // A piece through all layers.
    fn through(
        &self,
        piece: Piece,
        between: Between<'_>,
        (panels, project): (&Panels, Link<'_>),
        own: &mut [f32],
        y: &mut Cell<'_, f32>,
    ) {
        let (source, strip, sums) = self.start(piece, between, own);
        let (columns, step) = (&self.expand.panels.columns, self.step());
        for (g, group) in columns.chunks(self.group).enumerate() {
            for j in 0..group.len() {
                let to = Cell::with_step(&mut *sums, self.group * step);
                self.panel(piece, g * self.group + j, (source, between), strip, (to, j * step));
            }
            let count = group.iter().map(|column| column.width).sum();
            let part = Part { first: g * self.group * step, count, last: (g + 1) * self.group >= columns.len() };
            self.project(piece, (panels, project), part, sums, y);
        }
    }

    // What a piece reads, from where on; its strip, zero where it is padding; and its sums.
    fn start<'a>(
        &self,
        piece: Piece,
        between: Between<'a>,
        own: &'a mut [f32],
    ) -> ((&'a [f32], usize), &'a mut [f32], &'a mut [f32]) {
        let [copy, strip, _] = self.own();
        let (copy, rest) = own.split_at_mut(copy);
        let (strip, sums) = rest.split_at_mut(strip);
        let (h, step) = (self.lines[1], self.step());
        let before = h.before.max(0).cast_unsigned() * step;
        let rows = strip.chunks_exact_mut(self.width() * step).take(self.lines[0].reach(piece.rows));
        for (i, row) in rows.enumerate() {
            if (piece.above..piece.above + piece.real).contains(&i) {
                row[..before].fill(0.0);
                row[before + h.source * step..].fill(0.0);
            } else {
                row.fill(0.0);
            }
        }
        (self.expand.source(piece, between.x, copy), strip, sums)
    }

    // The expansion and the windows of a piece for panel `j`, one vector of channels after the other.
    fn panel(
        &self,
        piece: Piece,
        j: usize,
        (source, between): ((&[f32], usize), Between<'_>),
        strip: &mut [f32],
        (mut y, shift): (Cell<'_, f32>, usize),
    ) {
        let (step, lanes, column) = (self.step(), self.isa.lanes(), &self.expand.panels.columns[j]);
        let place = piece.above * self.width() + self.lines[1].before.max(0).cast_unsigned();
        self.expand.run(piece, (j, column), source, between.expand, (strip, place * step));
        let Link { w, finish } = between.depthwise;
        for part in (0..column.width).step_by(lanes) {
            let c = column.to + part;
            (self.windows)(&mut strip::Strip {
                lines: self.lines,
                x: &strip[part..],
                line: self.width() * step,
                w: &w[c..],
                every: self.expand.panels.output,
                turned: false,
                live: (column.width - part).min(lanes),
                rows: piece.rows,
                y: y.again(),
                shift: shift + part,
                bias: finish.bias.get(c..).unwrap_or(&[]),
                residual: &[],
                fused: finish.fused,
            });
        }
    }

    // What some channels between add to the projection.
    fn project(
        &self,
        piece: Piece,
        (panels, project): (&Panels, Link<'_>),
        part: Part,
        sums: &[f32],
        y: &mut Cell<'_, f32>,
    ) {
        let (sum, rest) = project.finish.apart();
        let (_, covers) = self.covers.iter().find(|(rows, _)| *rows == piece.rows).expect("a cover for each piece");
        for (j, column) in panels.columns.iter().enumerate() {
            let panel = &project.w[j * panels.len()..][..panels.len()];
            let bias = sum.bias.get(j * panels.width..).filter(|_| part.last);
            for (tile, rows) in &covers[column.kind.vectors() - 1].parts {
                tile(&mut Job {
                    a: sums,
                    a_shift: 0,
                    rows,
                    live: rows.len(),
                    terms: &self.terms,
                    count: part.count,
                    b: &panel[part.first * panels.width..],
                    b_step: panels.width,
                    out: y.again(),
                    out_shift: column.to,
                    width: column.width,
                    accumulate: part.first > 0,
                    bias: bias.unwrap_or(&[]),
                    residual: &[],
                    fused: if part.last { sum.fused } else { Fused::Linear },
                    ahead: Ahead::default(),
                    near: part.first > 0,
                });
            }
        }
        if part.last {
            rest.run(self.isa, y.whole());
        }
    }
}

/// For numbers of rows, how panels of one vector and of two cover them.
type Covers = Vec<(usize, [Cover; 2])>;

/// Some of the channels between.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: usize,
    count: usize,
    last: bool,
}

// Where pixels and terms of the projection of these pieces lie, for rows of `columns` pixels with so many numbers before and behind it.
fn projection(pieces: &[Piece], columns: usize, [from, to]: [usize; 2], isa: Isa) -> Result<(Covers, Terms), String> {
    let place = |at: usize| u32::try_from(at).map_err(|_| "a strip has more than 2^32 numbers".to_string());
    let row = |p: usize| Ok(Row { a: place(p * from)?, out: place(p * to)? });
    let counts = pieces::counts(pieces.iter().map(|piece| piece.rows));
    let rows = counts.last().copied().unwrap_or(0);
    let all: Vec<Row> = (0..rows * columns).map(row).collect::<Result<_, String>>()?;
    let covers = counts.into_iter().map(|rows| (rows, Cover::both(&all[..rows * columns], isa))).collect();
    Ok((covers, Terms::new((0..place(from)?).collect())))
}
