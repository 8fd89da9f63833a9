//! Threads: the only module that knows them.
//!
//! Work is cut into pieces by its *shape*, never by the number of threads; the
//! threads only take the pieces. So the number of threads decides who computes
//! a piece, and never what is computed.
//!
//! The calling thread works too, and the others of its team (`crew.rs`) wait
//! for the next piece of work awake, for some tens of microseconds. A piece
//! inside a piece, or a team that is busy, means that the caller works alone.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

mod aside;
mod crew;
pub use aside::{Belt, ahead, behind};
use crew::Crew;

use crate::error::{Error, Result};

/// A fixed number of threads: the one that calls, and others that help it.
///
/// Threads that call [`Pool::run`] of one pool at the same time are all served; one of them gets the help.
pub struct Pool {
    threads: usize,
    crew: Option<Crew>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.threads)
    }
}

impl Pool {
    /// A pool of `threads` threads; 0 stands for one per core.
    ///
    /// # Errors
    /// There are more than 1024 threads, or the system refuses them.
    pub fn new(threads: usize) -> Result<Self> {
        let cores = available();
        let threads = if threads == 0 { cores.min(crew::MOST) } else { threads };
        if threads > crew::MOST {
            let most = crew::MOST;
            return Err(Error::argument(format!("{threads} threads are more than the {most} that striate allows"))
                .with_help(format!("this machine has {cores} cores")));
        }
        let crew = if threads > 1 { Some(Crew::new(threads, cores)?) } else { None };
        Ok(Self { threads, crew })
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work` with the team of this pool.
    pub fn run<R>(&self, work: impl FnOnce(Team<'_>) -> R) -> R {
        work(Team { threads: self.threads, crew: self.crew.as_ref() })
    }
}

/// The number of cores that this process may use.
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// The threads that a piece of work may use; handed out by [`Pool::run`].
#[derive(Clone, Copy)]
pub struct Team<'a> {
    threads: usize,
    crew: Option<&'a Crew>,
}

impl std::fmt::Debug for Team<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Team({})", self.threads)
    }
}

impl Team<'_> {
    /// A team of the calling thread alone.
    pub const fn solo() -> Self {
        Self { threads: 1, crew: None }
    }

    /// The number of threads.
    pub fn threads(self) -> usize {
        self.threads
    }

    /// Calls `f(piece)` once for each piece in `0..pieces`, in any order, on any thread.
    pub fn each(self, pieces: usize, f: impl Fn(usize) + Sync) {
        self.each_on(pieces, |_, piece| f(piece));
    }

    /// Cuts `data` into chunks of `len` (the last may be shorter) and calls `f(index, chunk)` for each.
    pub fn chunks<T: Send>(self, data: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        let shared = Shared::new(data);
        let total = shared.len;
        self.each_on(total.div_ceil(len.max(1)), |_, i| {
            let range = i * len..((i + 1) * len).min(total);
            // SAFETY: `each_on` gives each `i` to one call only, and the ranges of different `i` are disjoint.
            f(i, unsafe { shared.range(range) });
        });
    }

    /// As [`Team::chunks`] for two slices cut alike: chunk `i` of both goes to the same call.
    pub fn chunks2<T: Send, U: Send>(
        self,
        (a, a_len): (&mut [T], usize),
        (b, b_len): (&mut [U], usize),
        f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
    ) {
        let (a, b) = (Shared::new(a), Shared::new(b));
        let pieces = a.len.div_ceil(a_len.max(1));
        assert_eq!(pieces, b.len.div_ceil(b_len.max(1)), "both slices must have as many chunks");
        self.each_on(pieces, |_, i| {
            // SAFETY: each `i` is given to one call only, and the ranges of different `i` are disjoint.
            let (x, y) = unsafe {
                (a.range(i * a_len..((i + 1) * a_len).min(a.len)), b.range(i * b_len..((i + 1) * b_len).min(b.len)))
            };
            f(i, x, y);
        });
    }

    /// As [`Team::chunks`] for `N` slices cut alike, by the first of them; one that ends before a chunk gives it nothing.
    pub fn chunks_of<T: Send, const N: usize>(
        self,
        data: [&mut [T]; N],
        len: usize,
        f: impl Fn(usize, [&mut [T]; N]) + Sync,
    ) {
        let shared = data.map(Shared::new);
        let pieces = shared.first().map_or(0, |first| first.len.div_ceil(len.max(1)));
        self.each_on(pieces, |_, i| {
            let cut = |s: &Shared<T>| (i * len).min(s.len)..((i + 1) * len).min(s.len);
            // SAFETY: each `i` is given to one call only, and the ranges of different `i` are disjoint.
            f(i, shared.each_ref().map(|s| unsafe { s.range(cut(s)) }));
        });
    }

    /// As [`Team::chunks`], with a scratch area of `per_thread` elements that no other running call uses.
    ///
    /// `scratch` must hold `per_thread` elements for each thread of the team; its content at the
    /// start of a call is whatever an earlier call left there.
    pub fn chunks_with<T: Send, S: Send>(
        self,
        (data, len): (&mut [T], usize),
        (scratch, per_thread): (&mut [S], usize),
        f: impl Fn(usize, &mut [T], &mut [S]) + Sync,
    ) {
        assert!(scratch.len() >= per_thread * self.threads, "scratch is smaller than the team needs");
        let (data, scratch) = (Shared::new(data), Shared::new(scratch));
        let total = data.len;
        self.each_on(total.div_ceil(len.max(1)), |thread, i| {
            // SAFETY: each `i` is given to one call only, so the ranges of `data` are disjoint; `thread` is
            // unique among the calls that run at the same time, so those of `scratch` are disjoint too.
            let (chunk, own) = unsafe {
                (
                    data.range(i * len..((i + 1) * len).min(total)),
                    scratch.range(thread * per_thread..(thread + 1) * per_thread),
                )
            };
            f(i, chunk, own);
        });
    }

    /// As [`Team::chunks_with`] for chunks of any length: chunk `i` is `data[cuts[i]..cuts[i + 1]]`.
    ///
    /// # Panics
    /// The cuts do not ascend, or end beyond the data.
    pub fn cuts_with<T: Send, S: Send>(
        self,
        (data, cuts): (&mut [T], &[usize]),
        (scratch, per_thread): (&mut [S], usize),
        f: impl Fn(usize, &mut [T], &mut [S]) + Sync,
    ) {
        assert!(cuts.is_sorted(), "cuts must ascend");
        assert!(scratch.len() >= per_thread * self.threads, "scratch is smaller than the team needs");
        let (data, scratch) = (Shared::new(data), Shared::new(scratch));
        self.each_on(cuts.len().saturating_sub(1), |thread, i| {
            // SAFETY: each `i` is given to one call only, and ascending cuts make the ranges of `data` disjoint;
            // `thread` is unique among the calls that run at the same time, so those of `scratch` are disjoint too.
            let (chunk, own) = unsafe {
                (data.range(cuts[i]..cuts[i + 1]), scratch.range(thread * per_thread..(thread + 1) * per_thread))
            };
            f(i, chunk, own);
        });
    }

    /// Calls `f([i, j], cell)` for each cell of a matrix whose rows are `step` long: rows `rows[i]..rows[i + 1]`, columns
    /// `columns[j]..columns[j + 1]`. Cells of one column follow each other.
    ///
    /// # Panics
    /// The cuts do not ascend, or end beyond the data or a row.
    pub fn grid<T: Send>(
        self,
        (data, step): (&mut [T], usize),
        cuts: [&[usize]; 2],
        f: impl Fn([usize; 2], Cell<'_, T>) + Sync,
    ) {
        self.grid_with((data, step), cuts, (&mut [0_u8; 0], 0), |at, cell, _| f(at, cell));
    }

    /// As [`Team::grid`], with a scratch area as in [`Team::chunks_with`].
    ///
    /// # Panics
    /// As for [`Team::grid`].
    pub fn grid_with<T: Send, S: Send>(
        self,
        (data, step): (&mut [T], usize),
        [rows, columns]: [&[usize]; 2],
        (scratch, per_thread): (&mut [S], usize),
        f: impl Fn([usize; 2], Cell<'_, T>, &mut [S]) + Sync,
    ) {
        assert!(scratch.len() >= per_thread * self.threads, "scratch is smaller than the team needs");
        assert!(rows.is_sorted() && columns.is_sorted(), "cuts must ascend");
        assert!(columns.last().is_none_or(|end| *end <= step), "columns must end within a row");
        assert!(rows.last().is_none_or(|end| end * step <= data.len()), "rows must end within the data");
        let (data, scratch, height) = (Shared::new(data), Shared::new(scratch), rows.len().saturating_sub(1));
        self.each_on(height * columns.len().saturating_sub(1), |thread, piece| {
            let [i, j] = [piece % height, piece / height];
            let (height, width) = (rows[i + 1] - rows[i], columns[j + 1] - columns[j]);
            let len = if height * width > 0 { (height - 1) * step + width } else { 0 };
            let start = if len > 0 { rows[i] * step + columns[j] } else { 0 };
            // SAFETY: `thread` is unique among the calls that run at the same time.
            let own = unsafe { scratch.range(thread * per_thread..(thread + 1) * per_thread) };
            // Each piece is given to one call only, and ascending cuts make the cells disjoint.
            f([i, j], Cell { start: data.at(start), len, step, width, lent: PhantomData }, own);
        });
    }

    /// Runs `a` and `b`, at the same time where there are two threads.
    pub fn join<A: Send, B: Send>(self, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        let (a, b) = (Once::new(a), Once::new(b));
        self.each(2, |i| if i == 0 { a.run() } else { b.run() });
        (a.outcome(), b.outcome())
    }

    /// Calls `f(thread, piece)` once for each piece; `thread < threads` is held by one running call at a time.
    fn each_on(self, pieces: usize, f: impl Fn(usize, usize) + Sync) {
        match self.crew {
            Some(crew) => crew.each(pieces, &f),
            None => (0..pieces).for_each(|piece| f(0, piece)),
        }
    }
}

/// A function that is called once, by whichever thread comes, and what it gave.
struct Once<F, R>(Mutex<(Option<F>, Option<R>)>);

impl<R, F: FnOnce() -> R> Once<F, R> {
    fn new(f: F) -> Self {
        Self(Mutex::new((Some(f), None)))
    }

    fn run(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(f) = state.0.take() {
            state.1 = Some(f());
        }
    }

    fn outcome(self) -> R {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).1.expect("each piece was done")
    }
}

/// Some rows and columns of a matrix; what lies between them may be lent to other threads.
///
/// Whoever writes through [`Cell::start`] keeps to the first [`Cell::width`] numbers of each [`Cell::step`], below
/// [`Cell::len`].
pub struct Cell<'a, T> {
    start: *mut T,
    len: usize,
    step: usize,
    width: usize,
    lent: PhantomData<&'a mut [T]>,
}

impl<'a, T> From<&'a mut [T]> for Cell<'a, T> {
    fn from(data: &'a mut [T]) -> Self {
        let len = data.len();
        Self { start: data.as_mut_ptr(), len, step: len, width: len, lent: PhantomData }
    }
}

impl<'a, T> Cell<'a, T> {
    /// A whole matrix whose rows are `step` long.
    pub fn with_step(data: &'a mut [T], step: usize) -> Self {
        Self { step, width: step, ..Self::from(data) }
    }
}

impl<T> Cell<'_, T> {
    /// All of it, where nothing between its numbers is another's.
    ///
    /// # Panics
    /// It has some columns of a matrix alone.
    pub fn whole(&mut self) -> &mut [T] {
        assert!(self.width == self.step || self.len <= self.width, "a cell of some columns is no slice");
        // SAFETY: the cell was made from these numbers alone, which outlive it.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }

    /// The same cell, for a shorter time.
    pub fn again(&mut self) -> Cell<'_, T> {
        Cell { lent: PhantomData, ..*self }
    }

    /// Its first number.
    pub fn start(&self) -> *mut T {
        self.start
    }

    /// Numbers from its first to its last, with those between that are not its own.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Numbers from one row to the next.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Its columns.
    pub fn width(&self) -> usize {
        self.width
    }
}

/// A slice whose disjoint ranges are handed to different threads.
struct Shared<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: a `Shared` only hands out ranges through `range`, whose caller promises that they are disjoint;
// moving `&mut T` to another thread needs `T: Send`.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn new(data: &mut [T]) -> Self {
        Self { start: data.as_mut_ptr(), len: data.len() }
    }

    fn at(&self, index: usize) -> *mut T {
        self.start.wrapping_add(index)
    }

    /// # Safety
    /// No other live reference may overlap `range`.
    #[allow(clippy::mut_from_ref)]
    unsafe fn range(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: the range lies inside the slice that `new` was given, which outlives the calls of `each_on`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once_for_any_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            let pool = Pool::new(threads).unwrap();
            let mut data = vec![0_u32; 1003];
            pool.run(|team| team.chunks(&mut data, 10, |i, chunk| chunk.iter_mut().for_each(|v| *v += i as u32 + 1)));
            assert!(data.iter().enumerate().all(|(i, v)| *v == i as u32 / 10 + 1), "{threads} threads");
        }
    }

    #[test]
    fn slices_cut_alike_may_be_shorter() {
        let (mut a, mut b, mut c) = ([1; 10], [2; 5], [3; 0]);
        Pool::new(2).unwrap().run(|team| {
            team.chunks_of([&mut a, &mut b, &mut c], 4, |i, [a, b, c]| {
                assert_eq!((a.len(), b.len(), c.len()), [(4, 4, 0), (4, 1, 0), (2, 0, 0)][i]);
                a.iter_mut().chain(b).for_each(|v| *v += 10 * i);
            });
        });
        assert_eq!((a, b), ([1, 1, 1, 1, 11, 11, 11, 11, 21, 21], [2, 2, 2, 2, 12]));
    }

    #[test]
    fn pieces_within_pieces_are_done_too() {
        let pool = Pool::new(3).unwrap();
        let mut data = vec![0; 40];
        pool.run(|team| {
            team.chunks(&mut data, 10, |i, chunk| {
                team.chunks(chunk, 3, |j, cell| cell.fill(10 * i + j));
                let (a, b) = team.join(|| pool.run(|team| team.threads()), || i);
                assert_eq!((a, b), (3, i));
            });
        });
        assert!(data.iter().enumerate().all(|(i, v)| *v == i / 10 * 10 + i % 10 / 3), "{data:?}");
    }

    #[test]
    fn join_gives_both_outcomes() {
        for threads in [1, 2, 5] {
            let (mut left, mut right) = (vec![1], vec![2]);
            let outcome = Pool::new(threads).unwrap().run(|team| {
                team.join(
                    || left.push(3),
                    || {
                        right.push(4);
                        "right"
                    },
                )
            });
            assert_eq!((outcome, left, right), (((), "right"), vec![1, 3], vec![2, 4]));
        }
    }

    #[test]
    fn scratch_is_never_shared() {
        let pool = Pool::new(3).unwrap();
        let mut data = vec![0_usize; 500];
        let mut scratch = vec![0_usize; 3 * 8];
        pool.run(|team| {
            team.chunks_with((&mut data, 1), (&mut scratch, 8), |i, chunk, own| {
                own.fill(i);
                std::thread::yield_now();
                chunk[0] = own.iter().sum();
            });
        });
        assert!(data.iter().enumerate().all(|(i, v)| *v == 8 * i));
    }

    #[test]
    fn cuts_of_any_length_are_done_once() {
        let pool = Pool::new(3).unwrap();
        let (mut data, mut scratch) = (vec![0_usize; 10], vec![0_u8; 3]);
        pool.run(|team| {
            let cuts = [0, 1, 1, 4, 9];
            team.cuts_with((&mut data, &cuts), (&mut scratch, 1), |i, chunk, _| {
                chunk.iter_mut().for_each(|v| *v += i + 1)
            });
        });
        assert_eq!(data, [1, 3, 3, 3, 4, 4, 4, 4, 4, 0]);
    }

    #[test]
    fn cells_of_a_grid_are_apart_and_cover_it() {
        let (mut data, rows, columns) = (vec![0_usize; 5 * 7], [0, 2, 2, 5], [1, 4, 6]);
        Pool::new(3).unwrap().run(|team| {
            team.grid((&mut data, 7), [&rows, &columns], |[i, j], cell| {
                assert_eq!((cell.step(), cell.width()), (7, columns[j + 1] - columns[j]));
                assert_eq!(cell.is_empty(), i == 1);
                for at in (0..cell.len()).filter(|at| at % 7 < cell.width()) {
                    // SAFETY: `at` is in the first `width` numbers of each `step`, below `len`.
                    unsafe { *cell.start().add(at) += 1 + i + 10 * j };
                }
            });
        });
        let value = |row: usize, column: usize| match column {
            1..6 => 1 + if row < 2 { 0 } else { 2 } + if column < 4 { 0 } else { 10 },
            _ => 0,
        };
        assert!(data.iter().enumerate().all(|(at, v)| *v == value(at / 7, at % 7)), "{data:?}");
    }

    #[test]
    fn empty_work_is_no_work() {
        Team::solo().chunks(&mut [0_u8; 0], 4, |_, _| panic!("no chunk"));
        Pool::new(2).unwrap().run(|team| team.each(0, |_| panic!("no piece")));
    }
}
