//! Architectures: blocks whose width is the size of the image and whose height is the number of channels, from the
//! input at the top to the output at the bottom.
//!
//! A network is given as a list of [`Part`]s: blocks one after the other, forks
//! whose branches meet again, repetitions that are drawn once, and side chains
//! that end on their own. What is too long for one column goes on in the next.

use super::axis::thousands;
use super::colour::Paint;
use super::picture::{HEAD_TITLE, Picture, draw_head};
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use crate::error::{Error, Result};

/// What a block does; each has its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockKind {
    /// Where the samples come in.
    Input,
    /// A convolution of any kind.
    Convolution,
    /// Pooling, or another change of size without weights.
    Pooling,
    /// A normalisation or an activation that stands alone.
    Normalisation,
    /// A dense layer.
    Dense,
    /// A sum, product or concatenation of branches.
    Merge,
    /// Anything else.
    Other,
}

impl BlockKind {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Input, "input"),
        (Self::Convolution, "convolution"),
        (Self::Pooling, "pooling"),
        (Self::Normalisation, "normalisation, activation"),
        (Self::Dense, "dense"),
        (Self::Merge, "branches meet"),
        (Self::Other, "other"),
    ];

    pub(super) fn paint(self) -> Paint {
        match self {
            Self::Input => Paint::Frame,
            Self::Convolution => Paint::Series(0),
            Self::Pooling => Paint::Series(1),
            Self::Normalisation => Paint::Series(4),
            Self::Dense => Paint::Series(2),
            Self::Merge => Paint::Series(3),
            Self::Other => Paint::Muted,
        }
    }
}

/// One block.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The layer's name.
    pub name: String,
    /// What it does, such as `conv 3x3 /2, 64`.
    pub what: String,
    /// Its output, such as `112x112x64`.
    pub shape: String,
    /// How many parameters it has, with what is written into it.
    pub params: usize,
    /// Its colour.
    pub kind: BlockKind,
    /// The side of its output as a share of the input's, 0 to 1.
    pub side: f64,
    /// Its channels.
    pub channels: usize,
}

/// A part of an architecture.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A block.
    Block(Block),
    /// Branches that begin at what stands before and meet in what comes after; an empty one is a shortcut.
    Fork(Vec<Vec<Part>>),
    /// Parts that follow each other so many times.
    Repeat(usize, Vec<Part>),
    /// A chain that begins at what stands before and ends on its own, with what it is.
    Side(String, Vec<Part>),
}

/// An architecture to be drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Architecture {
    /// The network.
    pub title: String,
    /// Its size in numbers.
    pub subtitle: String,
    /// From the input to the output.
    pub parts: Vec<Part>,
}

const MARGIN: f64 = 28.0;
const GUTTER: f64 = 40.0;
// A block's place: its rectangle is centred on the axis, and its words stand to the right.
const ROW: f64 = 58.0;
const LEFT: f64 = 38.0;
const WORDS: f64 = 46.0;
const RIGHT: f64 = 246.0;
const WIDEST: f64 = 72.0;
// Room above and below the branches of a fork.
const SPLIT: f64 = 14.0;
const SHORTCUT: f64 = 18.0;
// Room for the brace of a repetition and its number.
const BRACE: f64 = 56.0;
const LINE: Stroke = Stroke::new(Paint::Frame, 1.4);

/// An architecture as a picture.
///
/// # Errors
/// There is nothing to draw.
pub fn network(architecture: &Architecture) -> Result<Picture> {
    let parts = &architecture.parts;
    if parts.is_empty() {
        return Err(Error::argument("a network without layers cannot be drawn").with_help("add at least one layer"));
    }
    let columns = columns(parts);
    let sizes: Vec<Size> = columns.iter().map(|column| Size::of_all(column)).collect();
    let height = sizes.iter().map(|s| s.height).fold(0.0, f64::max);
    let inner = sizes.iter().map(Size::width).sum::<f64>() + GUTTER * (columns.len() - 1) as f64;
    let kinds = kinds(parts);
    let legend = Legend::new(&kinds, inner.max(420.0));
    let (width, top) = (inner.max(420.0) + 2.0 * MARGIN, MARGIN + 52.0 + legend.height);
    let words = format!("{}. {} blocks from the input to the output.", architecture.subtitle, count(parts));
    let mut scene = Scene::new(width, top + height + MARGIN + 14.0, &architecture.title, words);
    let frame = Rect::new(MARGIN, MARGIN, width - 2.0 * MARGIN, 44.0);
    draw_head(&mut scene, frame, HEAD_TITLE, &architecture.title, &architecture.subtitle);
    legend.draw(&mut scene, MARGIN, MARGIN + 52.0);
    let mut x = MARGIN;
    let mut from: Option<(f64, f64, f64)> = None;
    for (column, size) in columns.iter().zip(&sizes) {
        let axis = x + size.left;
        if let Some((end, bottom, right)) = from {
            let (low, gutter) = (bottom + 10.0, right + GUTTER / 2.0);
            let path = vec![(end, bottom), (end, low), (gutter, low), (gutter, top - 12.0), (axis, top - 12.0)];
            scene.polyline(path, LINE);
            arrow(&mut scene, (axis, top - 12.0), top);
        }
        let bottom = draw_all(&mut scene, column, axis, top);
        x += size.width();
        from = Some((axis, bottom, x));
        x += GUTTER;
    }
    Ok(Picture::new(scene))
}

// How far a part reaches to both sides of its axis, and down.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    left: f64,
    right: f64,
    height: f64,
}

impl Size {
    fn width(&self) -> f64 {
        self.left + self.right
    }

    fn of(part: &Part) -> Self {
        match part {
            Part::Block(_) => Self { left: LEFT, right: RIGHT, height: ROW },
            Part::Repeat(_, parts) => {
                let inner = Self::of_all(parts);
                Self { right: inner.right + BRACE, height: inner.height, ..inner }
            }
            Part::Side(_, parts) => {
                let inner = Self::of_all(parts);
                Self { left: LEFT, right: LEFT + inner.width(), height: inner.height + 2.0 * SPLIT + 8.0 }
            }
            Part::Fork(branches) => {
                let (shortcut, sizes) = fork(branches);
                let Some((trunk, others)) = sizes.split_first() else { return Self::default() };
                let left = trunk.left + if shortcut { SHORTCUT } else { 0.0 };
                let right = trunk.right + others.iter().map(Self::width).sum::<f64>();
                let height = sizes.iter().map(|s| s.height).fold(0.0, f64::max) + 2.0 * SPLIT;
                Self { left, right, height }
            }
        }
    }

    fn of_all(parts: &[Part]) -> Self {
        let join = |a: Self, b: Self| Self {
            left: a.left.max(b.left),
            right: a.right.max(b.right),
            height: a.height + b.height,
        };
        parts.iter().map(Self::of).fold(Self::default(), join)
    }
}

// Whether there is a shortcut, and the sizes of the other branches.
fn fork(branches: &[Vec<Part>]) -> (bool, Vec<Size>) {
    let real = branches.iter().filter(|b| !b.is_empty());
    (branches.iter().any(Vec::is_empty), real.map(|b| Size::of_all(b)).collect())
}

// The parts cut into columns, so that the picture is about as wide as it is high.
fn columns(parts: &[Part]) -> Vec<&[Part]> {
    let all = Size::of_all(parts);
    let wide = |n: usize| ((all.width() + GUTTER) * n as f64 / (all.height / n as f64 + 120.0) / 1.5).ln().abs();
    let count = (1..=8).min_by(|a, b| wide(*a).total_cmp(&wide(*b))).unwrap_or(1);
    let target = all.height / count as f64;
    let (mut columns, mut start, mut height) = (Vec::new(), 0, 0.0);
    for (i, part) in parts.iter().enumerate() {
        let more = Size::of(part).height;
        // A fork stays with what it begins at, and a column is not ended for a last few blocks.
        let may_end = columns.len() + 1 < count && i > start + 1 && !matches!(part, Part::Fork(_) | Part::Side(..));
        if may_end && height + more / 2.0 > target {
            columns.push(&parts[start..i]);
            (start, height) = (i, 0.0);
        }
        height += more;
    }
    columns.push(&parts[start..]);
    columns
}

fn count(parts: &[Part]) -> usize {
    let one = |part: &Part| match part {
        Part::Block(_) => 1,
        Part::Fork(branches) => branches.iter().map(|b| count(b)).sum(),
        Part::Repeat(times, parts) => times * count(parts),
        Part::Side(_, parts) => count(parts),
    };
    parts.iter().map(one).sum()
}

fn kinds(parts: &[Part]) -> Vec<BlockKind> {
    let of = |part: &Part| match part {
        Part::Block(block) => vec![block.kind],
        Part::Fork(branches) => branches.iter().flat_map(|b| kinds(b)).collect(),
        Part::Repeat(_, parts) | Part::Side(_, parts) => kinds(parts),
    };
    let mut all: Vec<BlockKind> = parts.iter().flat_map(of).collect();
    all.sort_unstable();
    all.dedup();
    all
}

// Draws parts down from `y` and returns where the last one ends.
fn draw_all(scene: &mut Scene, parts: &[Part], axis: f64, y: f64) -> f64 {
    let mut y = y;
    for (i, part) in parts.iter().enumerate() {
        let bottom = y + Size::of(part).height;
        match part {
            Part::Block(block) => draw_block(scene, block, axis, y, i + 1 < parts.len()),
            Part::Fork(branches) => draw_fork(scene, branches, axis, (y, bottom)),
            Part::Repeat(times, parts) => draw_repeat(scene, (*times, parts), axis, (y, bottom), i > 0),
            Part::Side(what, parts) => draw_side(scene, (what, parts), axis, (y, bottom)),
        }
        y = bottom;
    }
    y
}

// The rectangle of a block: as wide as its image, as high as it has channels.
fn body(block: &Block, axis: f64, y: f64) -> Rect {
    let w = 10.0 + (WIDEST - 10.0) * block.side.clamp(0.0, 1.0).sqrt();
    let h = (6.0 + 2.0 * (block.channels.max(1) as f64).log2()).min(30.0);
    Rect::new(axis - w / 2.0, y + (ROW - 12.0 - h) / 2.0, w, h)
}

fn draw_block(scene: &mut Scene, block: &Block, axis: f64, y: f64, more: bool) {
    let rect = body(block, axis, y);
    let bottom = y + ROW;
    scene.line((axis, y), (axis, rect.y), LINE);
    scene.line((axis, rect.bottom()), (axis, bottom), LINE);
    if more {
        arrow(scene, (axis, bottom - 6.0), bottom);
    }
    scene.fill(rect, block.kind.paint());
    let (x, room) = (axis + WORDS, RIGHT - WORDS - 10.0);
    let middle = y + (ROW - 12.0) / 2.0;
    let (what, then) = broken(&block.what, room);
    let shape = match block.params {
        0 => block.shape.clone(),
        n => format!("{}, {} parameters", block.shape, thousands(&n.to_string())),
    };
    let name = if then.is_empty() { block.name.clone() } else { format!("{}, then {then}", block.name) };
    scene.text(Text::new(what).size(12.0).bold().fit(room).at(x, middle - 8.0));
    scene.text(Text::new(shape).size(11.0).fit(room).at(x, middle + 6.5));
    scene.text(Text::new(name).size(10.0).paint(Paint::Muted).fit(room).at(x, middle + 20.0));
}

// What a block does, and what of it does not fit into the line and goes below.
fn broken(what: &str, room: f64) -> (&str, &str) {
    let fits = |text: &str| Text::new(text).size(12.0).bold().width() <= room;
    if fits(what) {
        return (what, "");
    }
    let breaks = what.rmatch_indices(" + ").map(|(i, _)| i);
    let at = breaks.clone().find(|i| fits(&what[..*i])).or_else(|| breaks.last());
    at.map_or((what, ""), |i| (&what[..i], &what[i + 3..]))
}

fn draw_fork(scene: &mut Scene, branches: &[Vec<Part>], axis: f64, (top, bottom): (f64, f64)) {
    let (shortcut, sizes) = fork(branches);
    let (split, join) = (top + SPLIT / 2.0, bottom - SPLIT / 2.0);
    if shortcut {
        let x = axis - sizes.first().map_or(0.0, |s| s.left) - SHORTCUT / 2.0;
        scene.polyline(vec![(axis, split), (x, split), (x, join), (axis, join)], LINE);
    }
    let mut left = axis - sizes.first().map_or(0.0, |s| s.left);
    for (branch, size) in branches.iter().filter(|b| !b.is_empty()).zip(&sizes) {
        let x = left + size.left;
        scene.polyline(vec![(axis, top), (axis, split), (x, split), (x, top + SPLIT)], LINE);
        let end = draw_all(scene, branch, x, top + SPLIT);
        scene.polyline(vec![(x, end), (x, join), (axis, join), (axis, bottom)], LINE);
        left += size.width();
    }
}

fn draw_repeat(scene: &mut Scene, (times, parts): (usize, &[Part]), axis: f64, (top, bottom): (f64, f64), _more: bool) {
    let end = draw_all(scene, parts, axis, top);
    let x = axis + Size::of_all(parts).right + 4.0;
    let (up, down) = (top + 4.0, end.min(bottom) - 12.0);
    let brace = vec![(x, up), (x + 8.0, up), (x + 8.0, down), (x, down)];
    scene.polyline(brace, Stroke::new(Paint::Ink, 1.6));
    scene.text(Text::new(format!("× {times}")).size(14.0).bold().centred(x + 14.0, (up + down) / 2.0));
}

fn draw_side(scene: &mut Scene, (what, parts): (&str, &[Part]), axis: f64, (top, bottom): (f64, f64)) {
    scene.line((axis, top), (axis, bottom), LINE);
    let x = axis + LEFT + Size::of_all(parts).left;
    let split = top + SPLIT / 2.0;
    scene.polyline(vec![(axis, split), (x, split), (x, top + SPLIT)], LINE.dash(&[4.0, 3.0]));
    let end = draw_all(scene, parts, x, top + SPLIT);
    scene.text(Text::new(what).size(11.0).paint(Paint::Muted).anchor(Anchor::Start).at(x - 20.0, end + 8.0));
}

fn arrow(scene: &mut Scene, (x, y): (f64, f64), tip: f64) {
    scene.line((x, y), (x, tip), LINE);
    scene.polygon(vec![(x - 3.5, tip - 6.0), (x + 3.5, tip - 6.0), (x, tip)], Paint::Frame);
}

// Colours and their meanings, in as many lines as they need.
struct Legend {
    entries: Vec<(BlockKind, &'static str, f64, f64)>,
    height: f64,
}

impl Legend {
    fn new(kinds: &[BlockKind], room: f64) -> Self {
        let (mut x, mut y) = (0.0, 0.0);
        let mut entries = Vec::new();
        for (kind, name) in BlockKind::ALL.into_iter().filter(|(kind, _)| kinds.contains(kind)) {
            let width = 18.0 + Text::new(name).size(11.0).width() + 18.0;
            if x > 0.0 && x + width > room {
                (x, y) = (0.0, y + 18.0);
            }
            entries.push((kind, name, x, y));
            x += width;
        }
        // A line for what width and height mean.
        Self { entries, height: y + 18.0 + 34.0 }
    }

    fn draw(&self, scene: &mut Scene, left: f64, top: f64) {
        for (kind, name, x, y) in &self.entries {
            scene.fill(Rect::new(left + x, top + y, 12.0, 10.0), kind.paint());
            scene.text(Text::new(*name).size(11.0).centred(left + x + 18.0, top + y + 5.0));
        }
        let words = "Wider: a larger image. Higher: more channels.";
        scene.text(Text::new(words).size(11.0).paint(Paint::Muted).at(left, top + self.height - 24.0));
    }
}
