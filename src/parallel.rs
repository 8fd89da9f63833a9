//! Threads: the only module that knows them.
//!
//! Work is cut into pieces by its *shape*, never by the number of threads; the
//! threads only take the pieces. So the number of threads decides who computes
//! a piece, and never what is computed.
//!
//! The calling thread works too, and the others of its team (`crew.rs`) wait
//! for the next piece of work awake, for some tens of microseconds. A piece
//! inside a piece, or a team that is busy, means that the caller works alone.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::{ControlFlow, Range};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

mod crew;
use crew::Crew;

use crate::error::{Error, ErrorKind, Result};

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

/// Makes items on a thread of its own, one ahead of their use on this one.
///
/// `make(i, buffer)` fills a buffer for each `i` of `items`, in order; `take(buffer)` gets them in the
/// same order, and the buffer goes back to be filled again. Ends early when `take` breaks.
///
/// # Errors
/// The first error of `make` or `take`; a panic of `make` is an error too.
pub fn ahead<B: Send>(
    buffers: [B; 2],
    items: Range<usize>,
    mut make: impl FnMut(usize, &mut B) -> Result<()> + Send,
    take: impl FnMut(&B) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let (full_in, full) = sync_channel::<Result<B>>(2);
    let (empty_in, empty) = sync_channel::<B>(2);
    for buffer in buffers {
        // There is room for both, and the other end is held here.
        let _ = empty_in.send(buffer);
    }
    let maker = move || {
        for (i, mut buffer) in items.zip(empty) {
            let made = make(i, &mut buffer).map(|()| buffer);
            let last = made.is_err();
            if full_in.send(made).is_err() || last {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("striate-ahead".into());
        let maker = builder
            .spawn_scoped(scope, maker)
            .map_err(|e| Error::new(ErrorKind::Io, format!("cannot start a thread: {e}")))?;
        // Both channels end with this call, and so does the maker.
        let outcome = take_all(full, empty_in, take);
        match (outcome, maker.join()) {
            (Ok(ControlFlow::Continue(())), Err(panic)) => Err(panicked(panic.as_ref())),
            (outcome, _) => outcome,
        }
    })
}

fn take_all<B>(
    full: Receiver<Result<B>>,
    empty: SyncSender<B>,
    mut take: impl FnMut(&B) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    for buffer in full {
        let buffer = buffer?;
        if take(&buffer)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        // Nobody wants the buffer once the last item is made.
        let _ = empty.send(buffer);
    }
    Ok(ControlFlow::Continue(()))
}

/// Works on items on a thread of its own, in order, while this one makes the next.
///
/// `make` takes an empty buffer from the [`Belt`], fills it and puts it back; `take` gets the full ones.
///
/// # Errors
/// The thread cannot be started, or `take` panics.
pub fn behind<B: Send, R>(
    buffers: [B; 2],
    mut take: impl FnMut(&mut B) + Send,
    make: impl FnOnce(&Belt<B>) -> R,
) -> Result<R> {
    let (full_in, full) = sync_channel::<B>(2);
    let (empty_in, empty) = sync_channel::<B>(2);
    for buffer in buffers {
        // There is room for both, and the other end is held here.
        let _ = empty_in.send(buffer);
    }
    let taker = move || {
        for mut buffer in full {
            take(&mut buffer);
            // Nobody wants the buffer once the last item is made.
            let _ = empty_in.send(buffer);
        }
    };
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("striate-behind".into());
        let taker = builder
            .spawn_scoped(scope, taker)
            .map_err(|e| Error::new(ErrorKind::Io, format!("cannot start a thread: {e}")))?;
        let belt = Belt { full: full_in, empty };
        let made = make(&belt);
        // The taker ends when no more items can come.
        drop(belt);
        taker.join().map_err(|panic| panicked(panic.as_ref())).map(|()| made)
    })
}

/// Buffers on their way to the thread of [`behind`] and back.
pub struct Belt<B> {
    full: SyncSender<B>,
    empty: Receiver<B>,
}

impl<B> Belt<B> {
    /// An empty buffer, as soon as there is one; none if the other thread failed.
    pub fn empty(&self) -> Option<B> {
        self.empty.recv().ok()
    }

    /// Passes a full buffer on.
    pub fn pass(&self, buffer: B) {
        // If the other thread failed, `behind` says so.
        let _ = self.full.send(buffer);
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(ErrorKind::Stopped, format!("a helping thread failed: {}", text.unwrap_or("no message")))
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

impl<T> Cell<'_, T> {
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

    fn count_to(n: usize, stop: usize, make: impl FnMut(usize, &mut usize) -> Result<()> + Send) -> (Vec<usize>, bool) {
        let mut seen = Vec::new();
        let outcome = ahead([0, 0], 0..n, make, |i| {
            seen.push(*i);
            Ok(if *i == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        (seen, outcome.is_ok())
    }

    fn same(i: usize, buffer: &mut usize) -> Result<()> {
        *buffer = i;
        Ok(())
    }

    #[test]
    fn items_made_ahead_come_in_order_and_end_early() {
        assert_eq!(count_to(100, usize::MAX, same), ((0..100).collect(), true));
        assert_eq!(count_to(100, 7, same), ((0..8).collect(), true));
        assert_eq!(count_to(0, 7, same), (vec![], true));
    }

    #[test]
    fn an_error_or_panic_of_the_maker_reaches_the_taker() {
        let fail = |i: usize, b: &mut usize| if i == 3 { Err(Error::argument("bad item")) } else { same(i, b) };
        assert_eq!(count_to(9, usize::MAX, fail), (vec![0, 1, 2], false));
        let e = ahead([0, 0], 0..9, fail, |_| Ok(ControlFlow::Continue(()))).unwrap_err();
        assert_eq!(e.message(), "bad item");
        let panics = |i: usize, b: &mut usize| if i == 3 { panic!("item {i} is lost") } else { same(i, b) };
        let e = ahead([0, 0], 0..9, panics, |_| Ok(ControlFlow::Continue(()))).unwrap_err();
        assert!(e.message().contains("item 3 is lost"), "{e}");
        // The taker leaves while the maker is about to panic: no panic and no hang.
        assert_eq!(count_to(9, 2, panics), (vec![0, 1, 2], true));
        let e = ahead([0, 0], 0..9, same, |_| Err(Error::argument("no step"))).unwrap_err();
        assert_eq!(e.message(), "no step");
    }

    #[test]
    fn items_are_taken_behind_in_order_and_a_panic_is_an_error() {
        let run = |bad: usize| {
            let mut seen = Vec::new();
            let outcome = behind(
                [0, 0],
                |item: &mut usize| {
                    assert!(*item != bad, "item {item} is lost");
                    seen.push(*item);
                },
                |belt| (0..100).map_while(|i| belt.empty().map(|_| belt.pass(i))).count(),
            );
            (outcome, seen)
        };
        let (made, seen) = run(usize::MAX);
        assert_eq!((made.unwrap(), seen), (100, (0..100).collect()));
        let (made, seen) = run(7);
        assert!(made.unwrap_err().message().contains("item 7 is lost"));
        assert_eq!(seen, (0..7).collect::<Vec<_>>());
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
