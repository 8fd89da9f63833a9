//! A depthwise convolution with the 1x1 convolutions around it, strip by strip: what lies between them never reaches memory.
//!
//! ```text
//! expand     z[p, c] = f(sum over ic of  x[p, ic] w[ic, c] + b[c])
//! depthwise  u[p, c] = f(sum over kh, kw of  z[..., c] w[kh, kw, c] + b[c])
//! project    y[p, oc] = f(sum over c of  u[p, c] w[c, oc] + b[oc] + residual)
//! ```
//!
//! In MobileNet's and EfficientNet's blocks `z` and `u` have six times as many channels as `x` and `y`, and in the first
//! blocks they are many times the caches. Here each piece of the output, some rows of an image, goes through all layers:
//!
//! ```text
//! for each piece: some rows of an image                  on any thread
//!   for each panel of channels between (two vectors)
//!     expand the rows that the windows meet              a strip with its padding, in the second-level cache
//!     the windows over it                                depthwise/strip.rs
//!     every few panels: their part of the projection     y goes on from its sums
//! ```
//!
//! Pieces of an image expand the rows that they share twice, so they are as tall as the caches allow. Where that is too
//! much, as for single images of a few rows, the projection is left out and panels are pieces: each expands a whole image
//! for its own channels.
//!
//! The order of each sum is that of the layers one by one, and so are the bits of all numbers but zeros, whose sign may
//! differ.

use super::cover::Cover;
use super::depthwise::{line::Line, strip};
use super::direct::Column;
use super::panels::Panels;
use super::tile::{Ahead, Job, Kind, Row, Terms};
use super::{Axis, Finish, Geometry, Machine, Pass};
use crate::parallel::{Cell, Team};
use crate::simd::Isa;

// Numbers of a strip at most, and of the sums before the projection: beside each other in the second-level cache.
const STRIP: usize = 56 << 10;
const SUMS: usize = 64 << 10;
// Pieces that a pass should have, so that threads finish together; fewer if rows would be expanded twice too often.
const PIECES: [usize; 2] = [8, 4];
// Of the rows that a piece expands, the share that its neighbour expands, too: at most one in so many.
const SHARED: usize = 6;
// Panels from which on they are pieces that can be shared evenly.
const PANELS: usize = 6;

/// The layers of a chain: their geometries.
#[derive(Debug, Clone, Copy)]
pub struct Layers {
    /// A 1x1 convolution to more channels.
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
        if !is_1x1(expand) || !project.as_ref().is_none_or(is_1x1) {
            return Err("the layers around the depthwise one must be 1x1, stride 1, no padding, one group".into());
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
    /// The weights: of a 1x1 layer as [`Chain::pack`] leaves them, of the depthwise one as they are.
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

/// One chain for one batch size, ready to run.
pub struct Chain {
    isa: Isa,
    threads: usize,
    lines: [Line; 2],
    windows: strip::StripFn,
    expand: Panels,
    project: Option<Panels>,
    /// Panels between that are projected together.
    group: usize,
    pieces: Vec<Piece>,
    /// Where the pieces end in the output, in pixels; and the channels of the panels between.
    cuts: [Vec<usize>; 2],
    /// By rows of a strip that exist, and by rows of a piece.
    expanded: Vec<[Cover; 2]>,
    projected: Vec<[Cover; 2]>,
    terms: [Terms; 2],
}

/// Some rows of the output of one image, and the rows of its source that they meet.
#[derive(Debug, Clone, Copy)]
struct Piece {
    n: usize,
    rows: usize,
    /// Rows of padding above, the first row that exists, and how many do.
    above: usize,
    first: usize,
    real: usize,
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

impl Chain {
    /// The chain of these layers.
    ///
    /// # Errors
    /// They are no such chain, or one by one they are faster; the message says why.
    pub fn accept(layers: &Layers, machine: Machine) -> Result<Self, String> {
        layers.check()?;
        let Layers { expand, depthwise, project } = layers;
        let isa = machine.isa;
        let lines = [&depthwise.h, &depthwise.w].map(|axis| Line::new(axis, Pass::Forward));
        let panels = |g: &Geometry| Panels::new([g.ic, g.oc], Pass::Forward, isa);
        let (expand, project) = (panels(expand), project.as_ref().map(panels));
        let step = 2 * isa.lanes();
        let rows = match &project {
            Some(_) => rows(depthwise.n, lines, step)?,
            None => whole(lines, &expand, step)?,
        };
        let pieces = pieces(depthwise.n, lines, rows);
        let pixels = (0..=depthwise.n * lines[0].output.div_ceil(rows)).map(|_| 0).collect::<Vec<_>>();
        let mut chain = Self {
            isa,
            threads: machine.threads,
            lines,
            windows: strip::function(lines, true, isa),
            group: (SUMS / (rows * lines[1].output * step)).clamp(1, expand.columns.len()),
            terms: [Terms::default(), Terms::default()],
            expanded: Vec::new(),
            projected: Vec::new(),
            cuts: [pixels, expand.columns.iter().map(|c| c.to).chain([expand.output]).collect()],
            expand,
            project,
            pieces,
        };
        chain.tables(rows)?;
        Ok(chain)
    }

    // Where rows and terms of the products lie.
    fn tables(&mut self, rows: usize) -> Result<(), String> {
        let place = |at: usize| u32::try_from(at).map_err(|_| "a strip has more than 2^32 numbers".to_string());
        let [v, h] = self.lines;
        let (step, isa) = (self.step(), self.isa);
        let strip = |p: usize| (p / h.source * self.width() + p % h.source) * step;
        let row = |p: usize| Ok(Row { a: place(p * self.expand.source)?, out: place(strip(p))? });
        let all: Vec<Row> = (0..v.reach(rows).min(v.source) * h.source).map(row).collect::<Result<_, String>>()?;
        let both = |rows: &[Row]| [Kind::Single, Kind::Double].map(|kind| Cover::new(kind, rows, isa));
        let expanded = (0..=all.len() / h.source).map(|real| both(&all[..real * h.source])).collect();
        let output = self.project.as_ref().map_or(0, |project| project.output);
        let row = |p: usize| Ok(Row { a: place(p * self.group * step)?, out: place(p * output)? });
        let all: Vec<Row> = (0..rows * h.output).map(row).collect::<Result<_, String>>()?;
        let projected = (0..=rows).map(|rows| both(&all[..rows * h.output])).collect();
        let terms = |count: usize| Ok::<_, String>(Terms::new((0..place(count)?).collect()));
        self.terms = [terms(self.expand.source)?, terms(self.group * step)?];
        (self.expanded, self.projected) = (expanded, projected);
        let pixels = self.pieces.iter().scan(0, |end, piece| {
            *end += piece.rows * h.output;
            Some(*end)
        });
        self.cuts[0] = std::iter::once(0).chain(pixels).collect();
        Ok(())
    }

    // Channels of a panel between.
    fn step(&self) -> usize {
        2 * self.isa.lanes()
    }

    // Columns of a strip, with the padding.
    fn width(&self) -> usize {
        width(self.lines[1])
    }

    // Numbers of a strip, and of the sums before the projection.
    fn own(&self) -> [usize; 2] {
        let rows = self.projected.len() - 1;
        let strip = self.lines[0].reach(rows) * self.width() * self.step();
        let sums = if self.project.is_some() { rows * self.lines[1].output * self.group * self.step() } else { 0 };
        [strip, sums]
    }

    // Of the expansion, and of the projection.
    fn padded(&self) -> [usize; 2] {
        [self.expand.padded(), self.project.as_ref().map_or(0, Panels::padded)]
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
            Layer::Expand => Some(&self.expand),
            Layer::Depthwise => None,
            Layer::Project => self.project.as_ref(),
        }
    }

    /// Runs the layers; neither allocates nor locks.
    ///
    /// # Panics
    /// A slice is shorter than the geometries say, or the team larger than the machine it was made for.
    pub fn run(&self, team: Team, work: Work<'_>) {
        let Work { x, mut expand, depthwise, project, out, scratch } = work;
        let [first, last] = self.padded();
        let (padded, scratch) = scratch.split_at_mut(first);
        expand.finish.bias = self.expand.bias(expand.finish.bias, padded);
        let (padded, scratch) = scratch.split_at_mut(last);
        let own = self.own().iter().sum();
        let links = [expand, depthwise];
        let [pixels, channels] = &self.cuts;
        let (Some(panels), Some(mut project)) = (&self.project, project) else {
            team.grid_with((out, self.expand.output), [pixels, channels], (scratch, own), |[i, j], y, strip| {
                self.pad(self.pieces[i], strip);
                self.between(self.pieces[i], &self.expand.columns[j], (x, links), strip, (y, 0));
            });
            return;
        };
        project.finish.bias = panels.bias(project.finish.bias, padded);
        team.grid_with((out, panels.output), [pixels, &[0, panels.output]], (scratch, own), |[i, _], mut y, own| {
            let finish = project.finish.part(pixels[i] * panels.output, y.len());
            let project = Link { finish, ..project };
            self.through(self.pieces[i], (x, links), (panels, project), own, &mut y);
        });
    }

    // A piece through all layers.
    fn through(
        &self,
        piece: Piece,
        between: (&[f32], [Link<'_>; 2]),
        (panels, project): (&Panels, Link<'_>),
        own: &mut [f32],
        y: &mut Cell<'_, f32>,
    ) {
        let (strip, sums) = own.split_at_mut(self.own()[0]);
        self.pad(piece, strip);
        let columns = &self.expand.columns;
        for (g, group) in columns.chunks(self.group).enumerate() {
            for (j, column) in group.iter().enumerate() {
                let to = Cell::with_step(&mut *sums, self.group * self.step());
                self.between(piece, column, between, strip, (to, j * self.step()));
            }
            let count = group.iter().map(|column| column.width).sum();
            let part = Part { first: g * self.group * self.step(), count, last: (g + 1) * self.group >= columns.len() };
            self.project(piece, (panels, project), part, sums, y);
        }
    }

    // Zeros where the strip of a piece is padding.
    fn pad(&self, piece: Piece, strip: &mut [f32]) {
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
    }

    // The expansion and the windows of a piece for a panel's channels.
    fn between(
        &self,
        piece: Piece,
        column: &Column,
        (x, [expand, depthwise]): (&[f32], [Link<'_>; 2]),
        strip: &mut [f32],
        to: (Cell<'_, f32>, usize),
    ) {
        let ([v, h], step) = (self.lines, self.step());
        let panel = column.to / step * self.expand.len();
        let place = piece.above * self.width() + h.before.max(0).cast_unsigned();
        for (tile, rows) in &self.expanded[piece.real][column.kind.vectors() - 1].parts {
            tile(&mut Job {
                a: x,
                a_shift: (piece.n * v.source + piece.first) * h.source * self.expand.source,
                rows,
                live: rows.len(),
                terms: &self.terms[0],
                count: self.expand.source,
                b: &expand.w[panel..][..self.expand.len()],
                b_step: self.expand.width,
                out: Cell::from(&mut *strip),
                out_shift: place * step,
                width: column.width,
                accumulate: false,
                bias: expand.finish.bias.get(column.to..).unwrap_or(&[]),
                residual: &[],
                fused: expand.finish.fused,
                ahead: Ahead::default(),
                near: true,
            });
        }
        self.windows(piece, column, depthwise, strip, to);
    }

    // The windows of a piece, one vector of channels after the other.
    fn windows(
        &self,
        piece: Piece,
        column: &Column,
        link: Link<'_>,
        strip: &[f32],
        (mut y, shift): (Cell<'_, f32>, usize),
    ) {
        let (step, lanes) = (self.step(), self.isa.lanes());
        for part in (0..column.width).step_by(lanes) {
            let c = column.to + part;
            (self.windows)(&mut strip::Strip {
                lines: self.lines,
                x: &strip[part..],
                line: self.width() * step,
                w: &link.w[c..],
                every: self.expand.output,
                turned: false,
                live: (column.width - part).min(lanes),
                rows: piece.rows,
                y: y.again(),
                shift: shift + part,
                bias: link.finish.bias.get(c..).unwrap_or(&[]),
                residual: &[],
                fused: link.finish.fused,
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
        for (j, column) in panels.columns.iter().enumerate() {
            let panel = &project.w[j * panels.len()..][..panels.len()];
            for (tile, rows) in &self.projected[piece.rows][column.kind.vectors() - 1].parts {
                tile(&mut Job {
                    a: sums,
                    a_shift: 0,
                    rows,
                    live: rows.len(),
                    terms: &self.terms[1],
                    count: part.count,
                    b: &panel[part.first * panels.width..],
                    b_step: panels.width,
                    out: y.again(),
                    out_shift: column.to,
                    width: column.width,
                    accumulate: part.first > 0,
                    bias: if part.last { sum.bias.get(column.to..).unwrap_or(&[]) } else { &[] },
                    residual: &[],
                    fused: if part.last { sum.fused } else { super::Fused::Linear },
                    ahead: Ahead::default(),
                    near: true,
                });
            }
        }
        if part.last {
            rest.run(self.isa, y.whole());
        }
    }
}

/// Some of the channels between.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: usize,
    count: usize,
    last: bool,
}

// Columns of a strip.
fn width(h: Line) -> usize {
    h.reach(h.output).max(h.before.max(0).cast_unsigned() + h.source)
}

// Rows of the output of a piece that goes through all layers.
fn rows(n: usize, [v, h]: [Line; 2], step: usize) -> Result<usize, String> {
    let fits = |rows: &usize| v.reach(*rows) * width(h) * step <= STRIP && rows * h.output * step <= SUMS;
    let most = (1..=v.output).take_while(fits).last().ok_or("a row of its source is larger than the caches")?;
    let cut = |pieces: usize| {
        let parts = v.output.div_ceil(most).max(pieces.div_ceil(n)).min(v.output);
        v.output.div_ceil(parts)
    };
    // Rows that two pieces expand: none if a piece is a whole image.
    let shared = |rows: usize| if rows == v.output { 0 } else { v.reach(rows).saturating_sub(rows * v.stride) };
    let good = |rows: &usize| shared(*rows) * SHARED <= rows * v.stride;
    PIECES.into_iter().map(cut).find(good).ok_or_else(|| "pieces would share too many of their rows".into())
}

// Rows of the output of a piece whose channels are a panel's: all of them.
fn whole([v, h]: [Line; 2], expand: &Panels, step: usize) -> Result<usize, String> {
    if v.reach(v.output) * width(h) * step > STRIP {
        return Err("an image is larger than the caches".into());
    }
    if expand.columns.len() < PANELS {
        return Err(format!("{} panels of channels are too few to share", expand.columns.len()));
    }
    Ok(v.output)
}

fn pieces(n: usize, [v, _]: [Line; 2], rows: usize) -> Vec<Piece> {
    let piece = |n: usize, oy: usize| {
        let count = rows.min(v.output - oy);
        let start = v.at(oy, 0);
        let above = (-start).max(0).cast_unsigned().min(v.reach(count));
        let first = start.max(0).cast_unsigned().min(v.source);
        let real = (v.reach(count) - above).min(v.source - first);
        Piece { n, rows: count, above, first, real }
    };
    (0..n).flat_map(|n| (0..v.output).step_by(rows).map(move |oy| piece(n, oy))).collect()
}
