//! What an algorithm moves: which bytes, from which level of memory to which, on the forward pass of one geometry.
//!
//! The numbers follow from the geometry and from how the algorithm works; nothing is measured. A buffer is taken to live
//! in the smallest cache that holds it, of the sizes that today's cores have. What is read again and again counts each
//! time, so that the work of a cache shows.

use std::fmt;

use super::floor::bytes;
use crate::conv::Geometry;
use crate::error::{Error, Result, unknown};
use crate::simd::Isa;

/// A level of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Main memory.
    Memory,
    /// The cache that cores share.
    L3,
    /// The larger cache of a core.
    L2,
    /// The smaller cache of a core.
    L1,
    /// The vector registers.
    Registers,
}

impl Level {
    /// All levels, from the largest.
    pub const ALL: [Self; 5] = [Self::Memory, Self::L3, Self::L2, Self::L1, Self::Registers];

    // Where so many bytes are when they are used again.
    fn home(bytes: u64) -> Self {
        match bytes {
            0..=0x8000 => Self::L1,
            0x8001..=0x10_0000 => Self::L2,
            0x10_0001..=0x100_0000 => Self::L3,
            _ => Self::Memory,
        }
    }

    /// The bytes that the level is taken to hold; none for what has no limit here.
    pub fn size(self) -> Option<u64> {
        match self {
            Self::L1 => Some(0x8000),
            Self::L2 => Some(0x10_0000),
            Self::L3 => Some(0x100_0000),
            Self::Memory | Self::Registers => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::L3 => "L3",
            Self::L2 => "L2",
            Self::L1 => "L1",
            Self::Registers => "registers",
        })
    }
}

/// One movement of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What is moved, and why.
    pub what: String,
    /// Where it is read.
    pub from: Level,
    /// Where it goes; for what is read through registers and written again, the place of the result.
    pub to: Level,
    /// How many bytes go this way.
    pub bytes: u64,
}

/// All movements of an algorithm, in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Movement {
    /// The name of the algorithm.
    pub algorithm: String,
    /// The geometry.
    pub geometry: Geometry,
    /// What stays where it is while the rest moves.
    pub stays: String,
    /// The movements.
    pub stages: Vec<Stage>,
}

impl Movement {
    /// What an algorithm of the laboratory moves on the forward pass.
    ///
    /// ```
    /// use striate::{lab::Movement, simd::Isa};
    /// let g = "n1 h56 w56 ic64 oc64 k3 psame".parse()?;
    /// let direct = Movement::of(&g, "direct", Isa::best())?;
    /// let lowered = Movement::of(&g, "lowered", Isa::best())?;
    /// // im2col writes each pixel nine times.
    /// assert!(lowered.stages[0].bytes > 8 * direct.stages[1].bytes);
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such algorithm, or it has no forward pass.
    pub fn of(geometry: &Geometry, algorithm: &str, isa: Isa) -> Result<Self> {
        let sizes = Sizes::new(geometry, isa);
        let (stays, stages) = match algorithm {
            "direct" | "pointwise" => sizes.direct(),
            "depthwise" => sizes.depthwise(),
            "winograd" => sizes.winograd(),
            "lowered" => sizes.lowered(),
            "fft" => sizes.fft(),
            "reference" => sizes.reference(),
            known if super::algorithms().contains(&known) => {
                return Err(Error::argument(format!("the algorithm '{known}' has no forward pass to be shown")));
            }
            _ => return Err(unknown("convolution algorithm", algorithm, super::algorithms())),
        };
        Ok(Self { algorithm: algorithm.into(), geometry: *geometry, stays, stages })
    }

    /// The bytes that leave or enter a level.
    pub fn through(&self, level: Level) -> u64 {
        let stages = self.stages.iter();
        stages.map(|s| s.bytes * (u64::from(s.from == level) + u64::from(s.to == level))).sum()
    }
}

// The sizes that all algorithms share, in bytes where nothing else is said.
struct Sizes {
    g: Geometry,
    lanes: usize,
    // Pixels of a tile of two vectors.
    height: usize,
    x: u64,
    w: u64,
    y: u64,
    // Output pixels of the batch, and terms of a sum.
    pixels: usize,
    terms: usize,
}

impl Sizes {
    fn new(g: &Geometry, isa: Isa) -> Self {
        let lanes = isa.lanes();
        let height = if lanes == 16 { 14 } else { 6 };
        let [x, w, y] = [g.x_len(), g.w_len(), g.y_len()].map(bytes);
        let (pixels, terms) = (g.n * g.h.output * g.w.output, g.h.kernel * g.w.kernel * g.ic / g.groups);
        Self { g: *g, lanes, height, x, w, y, pixels, terms }
    }

    fn padded(&self) -> u64 {
        let [h, w] = [&self.g.h, &self.g.w].map(|axis| axis.input + axis.before + axis.after);
        bytes(self.g.n * h * w * self.g.ic)
    }

    fn pads(&self) -> bool {
        [&self.g.h, &self.g.w].iter().any(|axis| axis.before + axis.after > 0)
    }

    // The copy of the input with its padding, and where the input is read afterwards.
    fn strip(&self) -> (Option<Stage>, Level) {
        let home = Level::home(self.x);
        if !self.pads() {
            return (None, home.max(Level::L2));
        }
        let what = "rows of x, copied with their padding into a strip".into();
        (Some(Stage { what, from: home, to: Level::L2, bytes: self.padded() }), Level::L2)
    }

    fn written(&self) -> Stage {
        stage("y, with bias and activation: written once", Level::Registers, Level::home(self.y), self.y)
    }

    fn direct(&self) -> (String, Vec<Stage>) {
        let ocg = self.g.oc / self.g.groups;
        let columns = (2 * self.lanes).min(ocg.next_multiple_of(self.lanes));
        let panels = self.g.groups * ocg.div_ceil(columns);
        let panel = bytes(self.terms * columns);
        let packed = panel * panels as u64;
        let (strip, source) = self.strip();
        let tiles = self.pixels.div_ceil(self.height) as u64;
        let mut stages = vec![stage("w, packed into panels", Level::home(self.w), Level::home(packed), packed)];
        stages.extend(strip);
        let each =
            format!("pixels, one number to all lanes: {} tiles, {} terms each", tiles * panels as u64, self.terms);
        let pixels = bytes(self.pixels * self.terms) * panels as u64;
        // Taps overlap and panels come again, so most of these reads meet the first level.
        stages.push(stage(each, source.max(Level::L1), Level::Registers, pixels));
        stages.push(stage("a panel of w, for each tile", Level::home(panel), Level::Registers, tiles * packed));
        stages.push(self.written());
        let stays = format!(
            "The sums of {} pixels x {columns} channels stay in {} registers through all {} terms",
            self.height,
            self.height * columns.div_ceil(self.lanes),
            self.terms
        );
        (stays, stages)
    }

    fn depthwise(&self) -> (String, Vec<Stage>) {
        let (strip, _) = self.strip();
        let taps = self.terms as u64;
        let mut stages: Vec<Stage> = strip.into_iter().collect();
        stages.push(stage("pixels, a vector of channels for each tap", Level::L1, Level::Registers, self.y * taps));
        let tiles = self.pixels.div_ceil(self.height) as u64;
        stages.push(stage("filters, for each tile", Level::home(self.w), Level::Registers, tiles * self.w));
        stages.push(self.written());
        let (height, lanes) = (self.height, self.lanes);
        (
            format!(
                "The sums of {height} pixels x {lanes} channels stay in {height} registers through all {taps} taps"
            ),
            stages,
        )
    }

    // F(4x4, 3x3): tiles of 6x6 inputs give 4x4 outputs.
    fn winograd(&self) -> (String, Vec<Stage>) {
        let tiles = self.g.n * self.g.h.output.div_ceil(4) * self.g.w.output.div_ceil(4);
        let [v, u, m] = [tiles * 36 * self.g.ic, 36 * self.g.ic * self.g.oc, tiles * 36 * self.g.oc].map(bytes);
        let columns = 2 * self.lanes;
        let panels = self.g.oc.div_ceil(columns) as u64;
        let rows = tiles.div_ceil(self.height) as u64;
        let stages = vec![
            stage("w, transformed: 36 numbers for 9", Level::home(self.w), Level::home(u), u),
            stage("tiles of x, transformed: 36 numbers for 16 pixels", Level::home(self.x), Level::L2, v),
            stage("transformed x, for 36 products", Level::L1, Level::Registers, v * panels),
            stage("transformed w, for each tile", Level::home(u / 36), Level::Registers, rows * u),
            stage("the 36 products", Level::Registers, Level::L2, m),
            stage("y, transformed back: 16 pixels for 36 numbers", Level::L2, Level::home(self.y), m),
        ];
        ("The products take 36 multiply-adds for 16 pixels, where the formula takes 144".into(), stages)
    }

    fn lowered(&self) -> (String, Vec<Stage>) {
        let matrix = bytes(self.pixels * self.terms);
        let home = Level::home(matrix);
        let rows = self.pixels.div_ceil(16) as u64;
        let stages = vec![
            stage(
                "x, copied into a matrix: a row of all terms for each output pixel",
                Level::home(self.x),
                home,
                matrix,
            ),
            stage("the matrix, for the product", home, Level::Registers, matrix),
            stage("w, for each 16 rows", Level::home(self.w), Level::Registers, rows * self.w),
            self.written(),
        ];
        (format!("Each number of x is in the matrix up to {} times", self.g.h.kernel * self.g.w.kernel), stages)
    }

    fn fft(&self) -> (String, Vec<Stage>) {
        let side = |axis: &crate::conv::Axis| super::fft::good((axis.input + axis.before + axis.after).max(2));
        let plane = side(&self.g.h) * (side(&self.g.w) / 2 + 1);
        let Geometry { n, ic, oc, .. } = self.g;
        let [x, w, y] = [n * ic, ic * oc, n * oc].map(|planes| bytes(2 * plane * planes));
        let all = Level::home(x + w + y);
        let stages = vec![
            stage("x, into spectra", Level::home(self.x), all, x),
            stage("w, into spectra as large as the image", Level::home(self.w), all, w),
            stage("both spectra, for a product at each frequency", all, Level::Registers, x + w),
            stage("the products", Level::Registers, all, y),
            stage("y, transformed back", all, Level::home(self.y), y),
        ];
        (format!("{plane} frequencies of a plane, each a matrix product of {n} x {ic} by {ic} x {oc}"), stages)
    }

    fn reference(&self) -> (String, Vec<Stage>) {
        let each = bytes(self.g.y_len() * self.terms);
        let stages = vec![
            stage("x, once for each term of each output", Level::home(self.x), Level::Registers, each),
            stage("w, once for each term of each output", Level::home(self.w), Level::Registers, each),
            self.written(),
        ];
        ("One sum stays in a register".into(), stages)
    }
}

fn stage(what: impl Into<String>, from: Level, to: Level, bytes: u64) -> Stage {
    Stage { what: what.into(), from, to, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movement(text: &str, algorithm: &str) -> Movement {
        Movement::of(&text.parse().unwrap(), algorithm, Isa::best()).unwrap()
    }

    #[test]
    fn bytes_are_those_worked_out_by_hand() {
        // 4 images of 10x10 pixels (with padding) in 3 channels.
        let m = movement("n4 h8 w8 ic3 oc16 k3 p1", "direct");
        assert_eq!(m.stages[1].bytes, 4 * 10 * 10 * 3 * 4);
        // 16 output channels are one panel: each of 256 pixels meets 27 terms.
        assert_eq!(m.stages[2].bytes, 4 * 8 * 8 * 27 * 4);
        assert_eq!((m.stages[4].bytes, m.stages[4].to), (4 * 8 * 8 * 16 * 4, Level::L1));
        let m = movement("n4 h8 w8 ic3 oc16 k3 p1", "lowered");
        assert_eq!(m.stages[0].bytes, 4 * 8 * 8 * 27 * 4);
        assert_eq!(m.through(Level::Registers), m.stages[1..].iter().map(|s| s.bytes).sum::<u64>());
    }

    #[test]
    fn what_needs_no_padding_is_read_in_place() {
        let m = movement("n8 h56 w56 ic256 oc64 k1", "direct");
        assert!(m.stages.iter().all(|s| !s.what.contains("strip")));
        assert_eq!(m.stages.len(), 4);
    }

    #[test]
    fn every_algorithm_with_a_forward_pass_has_one() {
        // `narrow` and `packed` are for gradients alone.
        for name in crate::lab::algorithms().into_iter().filter(|name| !["narrow", "packed"].contains(name)) {
            let m = movement("n2 h12 w12 ic8 oc8 k3 p1", name);
            assert!(m.stages.len() >= 3 && m.stages.iter().all(|s| s.bytes > 0), "{name}: {m:?}");
        }
        assert!(Movement::of(&"h1 w1 ic1 oc1 k1".parse().unwrap(), "dirct", Isa::best()).is_err());
    }
}
