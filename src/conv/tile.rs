//! The register tile: the one inner loop of all fast convolutions.
//!
//! A tile holds `P` rows by `V` vectors of sums in registers and runs over a reduction,
//!
//! ```text
//! acc[p][v] += a[rows[p].a + terms[t]] * b[t * b_step][v]      for each term t, in order
//! ```
//!
//! The three passes differ only in what rows, columns and terms are:
//!
//! | pass | rows | columns | terms |
//! |---|---|---|---|
//! | forward | output pixels | output channels | `kh kw ic` |
//! | gradient to the input | input pixels | input channels | `kh kw oc` |
//! | gradient to the weights | `kh kw ic` | output channels | output pixels |
//!
//! A *wide* tile reads a vector of `a` instead of one number: column `v` of row `p` then meets its own channel
//! (depthwise convolution). Where rows and terms lie are tables, made when the kernel is: so a tile runs across the
//! ends of rows and images, and the loop over terms has no inner loop that ends every few terms.
//!
//! Reads are not checked one by one, since an index that the compiler cannot bound keeps the sums out of the
//! registers (5 instead of 230 GFLOP/s). [`Job::check`] bounds them all before the loop.

use super::vector::{Lanes, Register, Vector};
use crate::parallel::Cell;
use crate::simd::{Isa, Level, stamp};

/// What happens to a finished sum before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Fused {
    /// `y = x`.
    #[default]
    Linear,
    /// `y = max(x, 0)`.
    Relu,
    /// `y = min(max(x, 0), 6)`.
    Relu6,
    /// `y = x` for `x >= 0`, else `slope x`, with a positive slope.
    LeakyRelu(f32),
}

impl Fused {
    /// The function itself; NaN stays NaN.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Linear => x,
            Self::Relu => relu(x),
            Self::Relu6 => relu6(x),
            Self::LeakyRelu(slope) => leaky(slope, x),
        }
    }

    /// The function on a vector; NaN stays NaN.
    #[inline(always)]
    pub(crate) fn apply_vector<T: Vector>(self, x: T) -> T {
        let zero = T::splat(0.0);
        match self {
            Self::Linear => x,
            Self::Relu => zero.max(x),
            Self::Relu6 => T::splat(6.0).min(zero.max(x)),
            Self::LeakyRelu(slope) => T::splat(slope).mul_add(zero.min(x), zero.max(x)),
        }
    }

    /// The gradient to `x`, from the gradient `dy` to `y = apply(x)`.
    #[inline(always)]
    pub fn gradient(self, dy: f32, y: f32) -> f32 {
        match self {
            Self::Linear => dy,
            Self::Relu => keep(y > 0.0, dy),
            Self::Relu6 => keep(y > 0.0 && y < 6.0, dy),
            Self::LeakyRelu(slope) => dy * if y < 0.0 { slope } else { 1.0 },
        }
    }
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    keep((x >= 0.0) | x.is_nan(), x)
}

#[inline(always)]
fn relu6(x: f32) -> f32 {
    let y = relu(x);
    if y > 6.0 { 6.0 } else { y }
}

#[inline(always)]
fn leaky(slope: f32, x: f32) -> f32 {
    if x < 0.0 { slope * x } else { x }
}

// A mask of bits and not a branch, of which the compiler makes scalar code in longer loops, 20 times slower.
#[inline(always)]
fn keep(condition: bool, value: f32) -> f32 {
    f32::from_bits(value.to_bits() & u32::from(condition).wrapping_neg())
}

/// Where a row of a tile starts in `a`, and where its sums go in `out`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Row {
    pub a: u32,
    pub out: u32,
}

/// The rows of a run of tiles.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    max: Row,
    // The largest number of which all places in `out` are multiples.
    every: usize,
}

impl Rows {
    /// A table of these rows.
    pub fn new(rows: Vec<Row>) -> Self {
        let max = largest(&rows);
        let every = rows.iter().fold(0, |every, row| divisor(every, row.out as usize));
        Self { rows, max, every }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    // The largest places of the first `live` rows.
    fn max(&self, live: usize) -> Row {
        if live == self.rows.len() { self.max } else { largest(&self.rows[..live]) }
    }
}

fn largest(rows: &[Row]) -> Row {
    rows.iter().fold(Row::default(), |m, r| Row { a: m.a.max(r.a), out: m.out.max(r.out) })
}

fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// Where the terms of a sum read, relative to a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    // One more than there are terms: the loop reads the next place while it still works on the last.
    at: Vec<u32>,
    max: u32,
}

impl Terms {
    /// A table of these terms.
    pub fn new(mut at: Vec<u32>) -> Self {
        let max = farthest(&at);
        at.push(0);
        Self { at, max }
    }

    /// The number of terms.
    pub fn len(&self) -> usize {
        self.at.len() - 1
    }

    // The farthest of the first `count` terms.
    fn max(&self, count: usize) -> u32 {
        if count == self.len() { self.max } else { farthest(&self.at[..count]) }
    }
}

fn farthest(at: &[u32]) -> u32 {
    at.iter().fold(0, |max, at| max.max(*at))
}

/// One call of a tile function: a run of tiles that share their columns.
pub(crate) struct Job<'a> {
    /// Read through the tables, from `a_shift` on.
    pub a: &'a [f32],
    pub a_shift: usize,
    /// The rows, and how many of them count.
    pub rows: &'a Rows,
    pub live: usize,
    /// The terms of the sums, and how many of them count.
    pub terms: &'a Terms,
    pub count: usize,
    /// One vector or two for each term, `b_step` apart.
    pub b: &'a [f32],
    pub b_step: usize,
    /// Written through the table of rows, from `out_shift` on, `width` columns.
    pub out: Cell<'a, f32>,
    pub out_shift: usize,
    pub width: usize,
    /// Whether the sums go on from what `out` holds, or from 0.
    pub accumulate: bool,
    /// Added to each column at the end; as wide as the tile, or empty.
    pub bias: &'a [f32],
    /// Added after the bias, read where the sum is written; as long as `out`, or empty.
    pub residual: &'a [f32],
    pub fused: Fused,
    /// What is read soon, from memory most likely.
    pub ahead: Ahead<'a>,
    /// Whether `out` is in a cache anyway, so that it need not be asked for.
    pub near: bool,
}

/// Numbers that are asked for ahead of their use: `step` of them, on average, with each term of each tile.
///
/// Where tiles stride through memory, the processor does not see what comes next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ahead<'a> {
    pub numbers: &'a [f32],
    pub step: usize,
}

impl Job<'_> {
    /// Bounds every read and write of a run with tiles of `columns` columns; a wide tile reads `columns` of `a` too.
    fn check(&self, columns: usize, read: usize) {
        let Self { rows, terms, .. } = self;
        assert!(self.live <= rows.len() && self.count <= terms.len() && self.width <= columns);
        if self.live == 0 {
            return;
        }
        let max = rows.max(self.live);
        if self.count > 0 {
            assert!(self.a_shift + max.a as usize + terms.max(self.count) as usize + read <= self.a.len());
            assert!((self.count - 1) * self.b_step + columns <= self.b.len());
        }
        let end = self.out_shift + self.width;
        assert!(end + max.out as usize <= self.out.len());
        // In a cell of a matrix, rows start where those of the matrix do.
        let whole = self.out.width() == self.out.step();
        assert!(whole || rows.every % self.out.step() == 0 && end <= self.out.width());
        assert!(self.bias.is_empty() || self.bias.len() >= columns);
        assert!(self.residual.is_empty() || self.residual.len() >= self.out_shift + max.out as usize + self.width);
    }
}

/// A function that computes a run of tiles.
pub(crate) type TileFn = fn(&mut Job<'_>);

/// The shape of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two vectors of columns, as many rows as the registers hold.
    Double,
    /// Two vectors of columns, fewer rows.
    DoubleLow,
    /// One vector of columns.
    Single,
    /// One vector of columns, fewer rows.
    SingleLow,
    /// One vector of channels, each with its own `a`.
    Wide,
    /// As `Wide`, fewer rows.
    WideLow,
    /// As `Double`, where the rows of a tile lie side by side in `a`.
    Packed,
    /// As `Packed`, fewer rows.
    PackedLow,
}

// Rows by instruction set: AVX-512, AVX2, NEON, baseline. Sums, columns and one operand must fit the registers
// (32, 16, 32, 16): a tile that spills runs at a sixth of the speed.
pub(super) const DOUBLE: [usize; 4] = [14, 6, 12, 4];
pub(super) const DOUBLE_LOW: [usize; 4] = [9, 5, 9, 3];
const SINGLE: [usize; 4] = [14, 12, 14, 8];
const SINGLE_LOW: [usize; 4] = [9, 9, 9, 5];

impl Kind {
    /// Rows of the tile.
    pub fn height(self, isa: Isa) -> usize {
        let heights = match self {
            Self::Double | Self::Packed => DOUBLE,
            Self::DoubleLow | Self::PackedLow => DOUBLE_LOW,
            Self::Single | Self::Wide => SINGLE,
            Self::SingleLow | Self::WideLow => SINGLE_LOW,
        };
        heights[match isa.0 {
            Level::Avx512 => 0,
            Level::Avx2 => 1,
            Level::Neon => 2,
            Level::Baseline => 3,
        }]
    }

    /// Vectors of columns.
    pub fn vectors(self) -> usize {
        if matches!(self, Self::Double | Self::DoubleLow | Self::Packed | Self::PackedLow) { 2 } else { 1 }
    }

    /// The tile of fewer rows with as many vectors.
    pub fn low(self) -> Self {
        match self {
            Self::Double | Self::DoubleLow => Self::DoubleLow,
            Self::Single | Self::SingleLow => Self::SingleLow,
            Self::Wide | Self::WideLow => Self::WideLow,
            Self::Packed | Self::PackedLow => Self::PackedLow,
        }
    }

    /// The low tile with as many vectors, if it wastes less of `rows` rows than this one.
    pub fn fit(self, rows: usize, isa: Isa) -> Self {
        let low = self.low();
        let cost = |kind: Self| rows.next_multiple_of(kind.height(isa));
        if cost(low) < cost(self) { low } else { self }
    }

    /// The function for this shape.
    pub fn function(self, isa: Isa) -> TileFn {
        match self {
            Self::Double => double(isa),
            Self::DoubleLow => double_low(isa),
            Self::Single => single(isa),
            Self::SingleLow => single_low(isa),
            Self::Wide => wide(isa),
            Self::WideLow => wide_low(isa),
            Self::Packed => packed(isa),
            Self::PackedLow => packed_low(isa),
        }
    }
}

stamp! {
    fn double(job: &mut Job<'_>) = tiles[FMA, LANES;
        avx512: DOUBLE[0], 2, SPLAT; avx2: DOUBLE[1], 2, SPLAT; neon: DOUBLE[2], 2, SPLAT; baseline: DOUBLE[3], 2, SPLAT];
}
stamp! {
    fn double_low(job: &mut Job<'_>) = tiles[FMA, LANES;
        avx512: DOUBLE_LOW[0], 2, SPLAT; avx2: DOUBLE_LOW[1], 2, SPLAT;
        neon: DOUBLE_LOW[2], 2, SPLAT; baseline: DOUBLE_LOW[3], 2, SPLAT];
}
stamp! {
    fn single(job: &mut Job<'_>) = tiles[FMA, LANES;
        avx512: SINGLE[0], 1, SPLAT; avx2: SINGLE[1], 1, SPLAT; neon: SINGLE[2], 1, SPLAT; baseline: SINGLE[3], 1, SPLAT];
}
stamp! {
    fn single_low(job: &mut Job<'_>) = tiles[FMA, LANES;
        avx512: SINGLE_LOW[0], 1, SPLAT; avx2: SINGLE_LOW[1], 1, SPLAT;
        neon: SINGLE_LOW[2], 1, SPLAT; baseline: SINGLE_LOW[3], 1, SPLAT];
}
stamp! {
    fn wide(job: &mut Job<'_>) = tiles[FMA, LANES;
        avx512: SINGLE[0], 1, WIDE; avx2: SINGLE[1], 1, WIDE; neon: SINGLE[2], 1, WIDE; baseline: SINGLE[3], 1, WIDE];
}
stamp! {
    fn wide_low(job: &mut Job<'_>) = tiles[FMA, LANES;
        avx512: SINGLE_LOW[0], 1, WIDE; avx2: SINGLE_LOW[1], 1, WIDE;
        neon: SINGLE_LOW[2], 1, WIDE; baseline: SINGLE_LOW[3], 1, WIDE];
}

stamp! {
    fn packed(job: &mut Job<'_>) = tiles[FMA, LANES;
        avx512: DOUBLE[0], 2, PACKED; avx2: DOUBLE[1], 2, PACKED; neon: DOUBLE[2], 2, PACKED; baseline: DOUBLE[3], 2, PACKED];
}
stamp! {
    fn packed_low(job: &mut Job<'_>) = tiles[FMA, LANES;
        avx512: DOUBLE_LOW[0], 2, PACKED; avx2: DOUBLE_LOW[1], 2, PACKED;
        neon: DOUBLE_LOW[2], 2, PACKED; baseline: DOUBLE_LOW[3], 2, PACKED];
}

// How `a` is read: one number for each row, wherever it lies; a vector; or one number, the rows side by side.
const SPLAT: u8 = 0;
const WIDE: u8 = 1;
const PACKED: u8 = 2;

type Sums<T, const P: usize, const V: usize> = [[T; V]; P];

// The sums are handed on by value and indexed by constants alone, so that they stay in registers between the steps.
#[inline(always)]
fn tiles<const FMA: bool, const LANES: usize, const P: usize, const V: usize, const READ: u8>(job: &mut Job<'_>)
where
    Lanes<FMA, LANES>: Register,
{
    job.check(
        LANES * V,
        if READ == WIDE {
            LANES * V
        } else if READ == PACKED {
            P
        } else {
            1
        },
    );
    let whole = job.width == LANES * V;
    // Never the address of an empty slice: asking for an address that does not exist costs a walk through page tables.
    let mut ahead = if job.ahead.numbers.is_empty() { job.b.as_ptr() } else { job.ahead.numbers.as_ptr() };
    let all = &job.rows.rows[..job.live];
    for first in (0..job.live).step_by(P) {
        let mut last = [Row::default(); P];
        let rows = match all[first..].first_chunk::<P>() {
            Some(rows) => rows,
            None => {
                // A tile at the end repeats the last row, whose sums are then written more than once.
                for (p, row) in last.iter_mut().enumerate() {
                    *row = all[(first + p).min(all.len() - 1)];
                }
                &last
            }
        };
        let acc = [[<Lanes<FMA, LANES> as Register>::Vector::splat(0.0); V]; P];
        let acc = match (job.accumulate, whole) {
            (false, _) => acc,
            (true, true) => load::<_, LANES, P, V>(job.out.start(), job.out_shift, rows),
            (true, false) => load_part::<_, LANES, P, V>(job.out.start(), (job.out_shift, job.width), rows),
        };
        // What is written or added is asked for now: the sums take long enough for it to arrive.
        if !job.near {
            ask::<<Lanes<FMA, LANES> as Register>::Vector, LANES, P, V>(job.out.start(), job.out_shift, rows);
        }
        if !job.residual.is_empty() {
            ask::<<Lanes<FMA, LANES> as Register>::Vector, LANES, P, V>(job.residual.as_ptr(), job.out_shift, rows);
        }
        let acc = reduce::<_, LANES, P, V, READ>(job, rows, ahead, acc);
        ahead = ahead.wrapping_add(job.count * job.ahead.step);
        let acc = add_bias::<_, LANES, P, V>(job, acc);
        let acc = match (job.residual.is_empty(), whole) {
            (true, _) => acc,
            (false, true) => sum(acc, load::<_, LANES, P, V>(job.residual.as_ptr(), job.out_shift, rows)),
            (false, false) => {
                sum(acc, load_part::<_, LANES, P, V>(job.residual.as_ptr(), (job.out_shift, job.width), rows))
            }
        };
        // The choice is made once for a tile, not for each vector.
        let acc = match job.fused {
            Fused::Linear => acc,
            Fused::Relu => map(acc, |x| Fused::Relu.apply_vector(x)),
            Fused::Relu6 => map(acc, |x| Fused::Relu6.apply_vector(x)),
            Fused::LeakyRelu(slope) => map(acc, |x| Fused::LeakyRelu(slope).apply_vector(x)),
        };
        if whole { store::<_, LANES, P, V>(job, rows, acc) } else { store_part::<_, LANES, P, V>(job, rows, acc) }
    }
}

#[inline(always)]
fn ask<T: Vector, const LANES: usize, const P: usize, const V: usize>(from: *const f32, shift: usize, rows: &[Row; P]) {
    let from = from.wrapping_add(shift);
    for row in rows {
        for v in 0..V {
            T::prefetch(from.wrapping_add(row.out as usize + v * LANES));
        }
    }
}

// How many terms before its use a line of `b` is asked for.
const AHEAD: usize = 64;

#[inline(always)]
fn reduce<T: Vector, const LANES: usize, const P: usize, const V: usize, const READ: u8>(
    job: &Job<'_>,
    rows: &[Row; P],
    mut ahead: *const f32,
    mut acc: Sums<T, P, V>,
) -> Sums<T, P, V> {
    let start = job.a.as_ptr().wrapping_add(job.a_shift);
    let a: [*const f32; P] = std::array::from_fn(|p| start.wrapping_add(rows[p].a as usize));
    let mut b = job.b.as_ptr();
    let (mut at, following) = (job.terms.at[0] as usize, &job.terms.at[1..=job.count]);
    // The place of the next term is read before it is needed: if it were read where it is used, the compiler would
    // hoist all reads of `a` above the sums and spill half of them.
    for next in following {
        // SAFETY: `Job::check` bounded the reads of every row and term, of `b` as of `a`.
        unsafe {
            let columns: [T; V] = std::array::from_fn(|v| T::read(b.add(v * LANES)));
            // Panels are read once each and from end to end, some of them from memory.
            for v in 0..V {
                T::prefetch(b.wrapping_add(AHEAD * V * LANES + v * LANES));
            }
            T::prefetch(ahead);
            for p in 0..P {
                let from = if READ == PACKED { a[0].add(at + p) } else { a[p].add(at) };
                let value = if READ == WIDE { T::read(from) } else { T::splat(*from) };
                for v in 0..V {
                    acc[p][v] = value.mul_add(columns[v], acc[p][v]);
                }
            }
        }
        at = *next as usize;
        ahead = ahead.wrapping_add(job.ahead.step);
        b = b.wrapping_add(job.b_step);
    }
    acc
}

#[inline(always)]
fn add_bias<T: Vector, const LANES: usize, const P: usize, const V: usize>(
    job: &Job<'_>,
    mut acc: Sums<T, P, V>,
) -> Sums<T, P, V> {
    if !job.bias.is_empty() {
        // SAFETY: `Job::check` made sure that the bias is as wide as the tile.
        let bias: [T; V] = std::array::from_fn(|v| unsafe { T::read(job.bias.as_ptr().add(v * LANES)) });
        for sums in &mut acc {
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum = sum.add(bias);
            }
        }
    }
    acc
}

#[inline(always)]
fn sum<T: Vector, const P: usize, const V: usize>(mut acc: Sums<T, P, V>, other: Sums<T, P, V>) -> Sums<T, P, V> {
    for (sums, other) in acc.iter_mut().zip(other) {
        for (sum, other) in sums.iter_mut().zip(other) {
            *sum = sum.add(other);
        }
    }
    acc
}

#[inline(always)]
fn map<T: Vector, const P: usize, const V: usize>(mut acc: Sums<T, P, V>, f: impl Fn(T) -> T) -> Sums<T, P, V> {
    for sums in &mut acc {
        for sum in sums {
            *sum = f(*sum);
        }
    }
    acc
}

#[inline(always)]
fn load<T: Vector, const LANES: usize, const P: usize, const V: usize>(
    from: *const f32,
    shift: usize,
    rows: &[Row; P],
) -> Sums<T, P, V> {
    let from = from.wrapping_add(shift);
    let mut sums = [[T::splat(0.0); V]; P];
    // Loops, and no closures: the compiler leaves those outside of the instance.
    for (row, sums) in rows.iter().zip(&mut sums) {
        for (v, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `Job::check` bounded where all rows write, which is `V * LANES` numbers each, in both slices.
            *sum = unsafe { T::read(from.wrapping_add(row.out as usize + v * LANES)) };
        }
    }
    sums
}

#[inline(always)]
fn store<T: Vector, const LANES: usize, const P: usize, const V: usize>(
    job: &mut Job<'_>,
    rows: &[Row; P],
    acc: Sums<T, P, V>,
) {
    let out = job.out.start().wrapping_add(job.out_shift);
    for (row, sums) in rows.iter().zip(&acc) {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: `Job::check` bounded what all rows write, which is `V * LANES` numbers each.
            unsafe { sum.write(out.add(row.out as usize + v * LANES)) };
        }
    }
}

// As `load`, where only `width` columns exist.
#[inline(always)]
fn load_part<T: Vector, const LANES: usize, const P: usize, const V: usize>(
    from: *const f32,
    (shift, width): (usize, usize),
    rows: &[Row; P],
) -> Sums<T, P, V> {
    let from = from.wrapping_add(shift);
    let mut sums = [[T::splat(0.0); V]; P];
    // Loops, and no closures: the compiler left those outside of the instance.
    for (row, sums) in rows.iter().zip(&mut sums) {
        for (v, sum) in sums.iter_mut().enumerate() {
            let live = width.saturating_sub(v * LANES).min(LANES);
            // SAFETY: `Job::check` bounded where all rows write, which is `width` numbers each, in both slices.
            *sum = unsafe { T::read_first(from.wrapping_add(row.out as usize + v * LANES), live) };
        }
    }
    sums
}

// As `store`, where only `width` columns exist.
#[inline(always)]
fn store_part<T: Vector, const LANES: usize, const P: usize, const V: usize>(
    job: &mut Job<'_>,
    rows: &[Row; P],
    acc: Sums<T, P, V>,
) {
    let out = job.out.start().wrapping_add(job.out_shift);
    for (row, sums) in rows.iter().zip(&acc) {
        for (v, sum) in sums.iter().enumerate() {
            let live = job.width.saturating_sub(v * LANES).min(LANES);
            // SAFETY: `Job::check` bounded what all rows write, which is `width` numbers each.
            unsafe { sum.write_first(out.wrapping_add(row.out as usize + v * LANES), live) };
        }
    }
}
