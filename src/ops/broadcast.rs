//! Several inputs folded into one, element by element, where axes of size 1 are repeated.
//!
//! ```text
//! forward    y = x_0 * x_1 * ...                        `*` is the fold; each x is read as if it had y's shape
//! backward   dx_i = sum of dy dy/dx_i                   over the axes along which x_i was repeated
//! ```
//!
//! Shapes are aligned at their last axes, as in NumPy; the batch is one more axis
//! in front, which all inputs have. Neighbouring axes that the same inputs have
//! are taken as one, so that `[h, w, c]` with `[1, 1, c]` is `[n, h w, c]` with
//! `[n, 1, c]`: rows of `c` numbers. A row is worked on in blocks that stay in
//! the first-level cache; an input that is repeated along it is spread out first.

use std::cell::Ref;

use crate::error::{Error, Result};
use crate::ops::pieces::{in_rows, row_sum, rows_per_piece};
use crate::ops::{Compiled, Ctx, Io, Needs, Step};
use crate::simd::stamp;
use crate::tensor::Shape;

/// The most inputs of one fold.
pub(super) const MAX_INPUTS: usize = 16;

/// How two numbers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    Sum,
    Product,
    Difference,
    Quotient,
    Largest,
    Smallest,
    Mean,
}

impl Fold {
    // Whether a derivative depends on the inputs.
    fn needs_x(self) -> bool {
        matches!(self, Self::Product | Self::Quotient | Self::Largest | Self::Smallest)
    }
}

/// The shape to which all inputs can be repeated.
///
/// # Errors
/// There are too few or too many inputs, or along some axis two of them have different sizes, neither of them 1.
pub(super) fn shape(class: &str, x: &[Shape]) -> Result<Shape> {
    let [first, rest @ ..] = x else { return Err(count(class, 0)) };
    if rest.is_empty() || x.len() > MAX_INPUTS {
        return Err(count(class, x.len()));
    }
    rest.iter().enumerate().try_fold(*first, |y, (i, x)| {
        pair(y, *x).ok_or_else(|| {
            Error::shape(format!("{class}: input 0 has shape {first}, input {} has {x}", i + 1))
                .with_help("axes, counted from the last, must be equal or 1; a 1x1 convolution changes the channels")
        })
    })
}

fn count(class: &str, inputs: usize) -> Error {
    Error::shape(format!("{class} takes two inputs or more, at most {MAX_INPUTS}, and {inputs} were given"))
}

// The shape to which two can be repeated.
fn pair(a: Shape, b: Shape) -> Option<Shape> {
    let (long, short) = if a.rank() >= b.rank() { (a, b) } else { (b, a) };
    let mut dims = long.dims().to_vec();
    let start = dims.len() - short.rank();
    for (dim, other) in dims[start..].iter_mut().zip(short.dims()) {
        *dim = match (*dim, *other) {
            (a, b) if a == b => a,
            (1, other) => other,
            (one, 1) => one,
            _ => return None,
        };
    }
    Shape::new(&dims).ok()
}

/// The step of a fold.
pub(super) fn compile(ctx: &Ctx<'_>, fold: Fold) -> Compiled {
    let layout = Layout::new(ctx.batch, ctx.x, ctx.y);
    let step = Folding { fold, layout, forward: forward(ctx.isa), backward: backward(ctx.isa) };
    let needs = Needs { x: fold.needs_x(), y: false };
    Compiled { needs, ..Compiled::new(Box::new(step)) }
}

// The batch and four axes of a sample.
const MAX_AXES: usize = 5;

// Numbers that are worked on at a time.
const BLOCK: usize = 512;

// Rows whose sums are taken in one go, so that sums of many stay exact.
const ROWS: usize = 64;

type Index = [usize; MAX_AXES];

/// Which number of which input meets which of the output. The last axis is the row.
struct Layout {
    inputs: usize,
    sizes: Vec<usize>,
    /// Of the output.
    y: Vec<usize>,
    /// Of each input; 0 along an axis on which it is repeated.
    x: Vec<Vec<usize>>,
}

impl Layout {
    fn new(batch: usize, x: &[Shape], y: Shape) -> Self {
        // An axis and the inputs that have it, as bits.
        let all = (1_u32 << x.len()) - 1;
        let mut axes = vec![(batch, all)];
        for (axis, size) in y.dims().iter().enumerate() {
            let from_end = y.rank() - axis;
            let size_of = |s: &Shape| s.rank().checked_sub(from_end).map_or(1, |at| s.dims()[at]);
            let have = x.iter().rev().fold(0, |bits, s| bits << 1 | u32::from(size_of(s) == *size));
            match axes.last_mut() {
                _ if *size == 1 => {}
                Some((before, bits)) if *bits == have => *before *= size,
                _ => axes.push((*size, have)),
            }
        }
        let sizes = axes.iter().map(|(size, _)| *size).collect();
        let of = |bit: u32| strides(axes.iter().map(|(size, bits)| (*size, bits & bit != 0)));
        Self { inputs: x.len(), sizes, y: of(all), x: (0..x.len()).map(|i| of(1 << i)).collect() }
    }

    fn row(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }

    // The place of output row `row`.
    fn index(&self, mut row: usize) -> Index {
        let mut index = [0; MAX_AXES];
        for axis in (0..self.sizes.len() - 1).rev() {
            (index[axis], row) = (row % self.sizes[axis], row / self.sizes[axis]);
        }
        index
    }

    // The place of the output row that is number `repeat` of those which read row `row` of input `i`.
    fn index_of(&self, i: usize, mut row: usize, mut repeat: usize) -> Index {
        let mut index = [0; MAX_AXES];
        for axis in (0..self.sizes.len() - 1).rev() {
            let rest = if self.x[i][axis] == 0 { &mut repeat } else { &mut row };
            (index[axis], *rest) = (*rest % self.sizes[axis], *rest / self.sizes[axis]);
        }
        index
    }

    // How many output rows read a row of input `i`.
    fn repeats(&self, i: usize) -> usize {
        let outer = self.sizes.iter().zip(&self.x[i]).take(self.sizes.len() - 1);
        outer.filter(|(_, stride)| **stride == 0).map(|(size, _)| size).product()
    }

    fn is_whole(&self, i: usize) -> bool {
        !self.x[i].contains(&0)
    }

    // Whether input `i` has the axis of the rows.
    fn has_rows(&self, i: usize) -> bool {
        self.x[i].last() != Some(&0)
    }

    // The numbers that a thread takes at a time of the gradient to input `i`.
    fn piece(&self, i: usize) -> usize {
        match (self.is_whole(i), self.has_rows(i)) {
            (true, _) => rows_per_piece(1),
            (false, true) => rows_per_piece(self.repeats(i)).max(64),
            (false, false) => rows_per_piece(self.repeats(i) * self.row()),
        }
    }
}

// The distances between neighbours along each axis, 0 where there is none.
fn strides(axes: impl DoubleEndedIterator<Item = (usize, bool)>) -> Vec<usize> {
    let mut len = 1;
    let mut strides: Vec<usize> = Vec::new();
    for (size, has) in axes.rev() {
        strides.push(if has { len } else { 0 });
        len *= if has { size } else { 1 };
    }
    strides.reverse();
    strides
}

fn offset(index: &Index, strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(at, stride)| at * stride).sum()
}

struct Folding {
    fold: Fold,
    layout: Layout,
    forward: fn(&Task<'_>, usize, &mut [f32]),
    backward: fn(&Task<'_>, usize, &mut [f32]),
}

/// What a piece of work reads. `input` is the one whose gradient is asked for.
struct Task<'a> {
    fold: Fold,
    layout: &'a Layout,
    x: [&'a [f32]; MAX_INPUTS],
    dy: &'a [f32],
    input: usize,
}

impl Folding {
    fn task<'a>(&'a self, x: &'a [Option<Ref<'_, [f32]>>; MAX_INPUTS]) -> Task<'a> {
        let x = std::array::from_fn(|i| x[i].as_deref().unwrap_or_default());
        Task { fold: self.fold, layout: &self.layout, x, dy: &[], input: 0 }
    }
}

impl Step for Folding {
    fn forward(&self, io: &Io<'_>) {
        let x = std::array::from_fn(|i| (i < io.inputs()).then(|| io.x(i)));
        let task = self.task(&x);
        let piece = rows_per_piece(1);
        io.team.chunks(&mut io.y_mut(), piece, |i, y| (self.forward)(&task, i * piece, y));
    }

    fn backward(&self, io: &Io<'_>) {
        // What is not needed was not kept: its memory may already serve another purpose.
        let x = std::array::from_fn(|i| (self.fold.needs_x() && i < io.inputs()).then(|| io.x(i)));
        let dy = io.dy();
        for input in 0..io.inputs() {
            let Some(mut dx) = io.dx(input) else { continue };
            let task = Task { dy: &dy, input, ..self.task(&x) };
            let piece = self.layout.piece(input);
            io.team.chunks(&mut dx, piece, |i, dx| (self.backward)(&task, i * piece, dx));
        }
    }
}

impl<'a> Task<'a> {
    // `len` numbers of input `i` from column `column` on; `spread` holds them where they are one number.
    #[inline(always)]
    fn load<'b>(&self, i: usize, index: &Index, columns: (usize, usize), spread: &'b mut [f32; BLOCK]) -> &'b [f32]
    where
        'a: 'b,
    {
        let (column, len) = columns;
        let start = offset(index, &self.layout.x[i]);
        if self.layout.has_rows(i) {
            return &self.x[i][start + column..][..len];
        }
        spread[..len].fill(self.x[i][start]);
        &spread[..len]
    }
}

stamp! {
    // The outputs from number `at` on.
    fn forward(task: &Task<'_>, at: usize, y: &mut [f32]) = forward_body[FMA, LANES];
}

stamp! {
    // The gradients to the task's input from number `at` on.
    fn backward(task: &Task<'_>, at: usize, dx: &mut [f32]) = backward_body[FMA, LANES];
}

#[inline(always)]
fn forward_body<const FMA: bool, const LANES: usize>(task: &Task<'_>, at: usize, y: &mut [f32]) {
    let layout = task.layout;
    let mut spread = [0.0; BLOCK];
    in_rows((layout.row(), BLOCK), at, y, |row, column, y| {
        let (index, columns) = (layout.index(row), (column, y.len()));
        y.copy_from_slice(task.load(0, &index, columns, &mut spread));
        for i in 1..layout.inputs {
            let x = task.load(i, &index, columns, &mut spread);
            match task.fold {
                Fold::Sum | Fold::Mean => zip(y, x, |y, x| y + x),
                Fold::Product => zip(y, x, |y, x| y * x),
                Fold::Difference => zip(y, x, |y, x| y - x),
                Fold::Quotient => zip(y, x, |y, x| y / x),
                // A NaN wins against all.
                Fold::Largest => zip(y, x, |y, x| if x > y || x.is_nan() { x } else { y }),
                Fold::Smallest => zip(y, x, |y, x| if x < y || x.is_nan() { x } else { y }),
            }
        }
        if task.fold == Fold::Mean {
            let n = layout.inputs as f32;
            y.iter_mut().for_each(|y| *y /= n);
        }
    });
}

#[inline(always)]
fn backward_body<const FMA: bool, const LANES: usize>(task: &Task<'_>, at: usize, dx: &mut [f32]) {
    let (layout, i) = (task.layout, task.input);
    match (layout.is_whole(i), layout.has_rows(i)) {
        (true, _) => {
            in_rows((layout.row(), BLOCK), at, dx, |row, column, dx| term(task, &layout.index(row), column, dx));
        }
        (false, true) => in_rows((layout.row(), BLOCK), at, dx, |row, column, dx| add_rows(task, row, column, dx)),
        (false, false) => dx.iter_mut().enumerate().for_each(|(k, dx)| *dx = add_all(task, at + k)),
    }
}

// The sum over all output rows that read this part of a row of the input.
#[inline(always)]
fn add_rows(task: &Task<'_>, row: usize, column: usize, dx: &mut [f32]) {
    let (mut one, mut block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let (one, block) = (&mut one[..dx.len()], &mut block[..dx.len()]);
    dx.fill(0.0);
    let repeats = task.layout.repeats(task.input);
    for repeat in 0..repeats {
        term(task, &task.layout.index_of(task.input, row, repeat), column, one);
        zip(block, one, |sum, one| sum + one);
        if repeat % ROWS == ROWS - 1 || repeat == repeats - 1 {
            zip(dx, block, |sum, block| sum + block);
            block.fill(0.0);
        }
    }
}

// The sum over all outputs that read this number of the input, which is repeated along the rows.
#[inline(always)]
fn add_all(task: &Task<'_>, at: usize) -> f32 {
    let (layout, mut one) = (task.layout, [0.0; BLOCK]);
    let mut sum = 0.0;
    for repeat in 0..layout.repeats(task.input) {
        let index = layout.index_of(task.input, at, repeat);
        for column in (0..layout.row()).step_by(BLOCK) {
            let one = &mut one[..BLOCK.min(layout.row() - column)];
            term(task, &index, column, one);
            sum += f64::from(row_sum(one));
        }
    }
    sum as f32
}

// `dy dy/dx_i` at part of an output row.
#[inline(always)]
fn term(task: &Task<'_>, index: &Index, column: usize, out: &mut [f32]) {
    let (layout, i) = (task.layout, task.input);
    let columns = (column, out.len());
    out.copy_from_slice(&task.dy[offset(index, &layout.y) + column..][..out.len()]);
    let (mut a, mut b) = ([0.0; BLOCK], [0.0; BLOCK]);
    match task.fold {
        Fold::Sum => {}
        Fold::Mean => {
            let n = layout.inputs as f32;
            out.iter_mut().for_each(|out| *out /= n);
        }
        Fold::Difference if i == 0 => {}
        Fold::Difference => out.iter_mut().for_each(|out| *out = -*out),
        Fold::Product => {
            for j in (0..layout.inputs).filter(|j| *j != i) {
                zip(out, task.load(j, index, columns, &mut a), |out, x| out * x);
            }
        }
        Fold::Quotient if i == 0 => zip(out, task.load(1, index, columns, &mut b), |out, x| out / x),
        Fold::Quotient => {
            let (x, d) = (task.load(0, index, columns, &mut a), task.load(1, index, columns, &mut b));
            zip(out, x, |out, x| -out * x);
            // Divided twice: the square of a small number would be 0.
            zip(out, d, |out, d| out / d / d);
        }
        Fold::Largest | Fold::Smallest => {
            let x = task.load(i, index, columns, &mut a);
            for j in (0..layout.inputs).filter(|j| *j != i) {
                let other = task.load(j, index, columns, &mut b);
                keep_winner(out, x, other, (task.fold == Fold::Largest, i < j));
            }
        }
    }
}

// Keeps what belongs to `x` and not to `other`: of equal numbers the first wins.
#[inline(always)]
fn keep_winner(out: &mut [f32], x: &[f32], other: &[f32], (largest, is_first): (bool, bool)) {
    let numbers = out.iter_mut().zip(x).zip(other);
    match (largest, is_first) {
        (true, true) => numbers.for_each(|((out, x), other)| *out = if x >= other { *out } else { 0.0 }),
        (true, false) => numbers.for_each(|((out, x), other)| *out = if x > other { *out } else { 0.0 }),
        (false, true) => numbers.for_each(|((out, x), other)| *out = if x <= other { *out } else { 0.0 }),
        (false, false) => numbers.for_each(|((out, x), other)| *out = if x < other { *out } else { 0.0 }),
    }
}

#[inline(always)]
fn zip(y: &mut [f32], x: &[f32], f: impl Fn(f32, f32) -> f32) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = f(*y, *x));
}
