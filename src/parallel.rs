//! Threads: the only file that knows them.
//!
//! Work is cut into pieces by its *shape*, never by the number of threads; the
//! threads only take pieces from a common counter. So the number of threads
//! decides who computes a piece, and never what is computed.
//!
//! A whole step of a plan runs inside [`Pool::run`]: entering the pool costs 5
//! to 12 microseconds, a join inside it next to nothing. Pieces should be at
//! least some 20 microseconds long.

use std::any::Any;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::{Error, ErrorKind, Result};

/// A fixed number of threads.
pub struct Pool {
    threads: usize,
    pool: Option<rayon::ThreadPool>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.threads)
    }
}

impl Pool {
    /// A pool of `threads` threads; 0 stands for one per core.
    pub fn new(threads: usize) -> Result<Self> {
        let threads = if threads == 0 { available() } else { threads };
        if threads > 1024 {
            return Err(Error::argument(format!("{threads} threads are more than the 1024 that striate allows"))
                .with_help(format!("this machine has {} cores", available())));
        }
        let pool = match threads {
            1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("striate-{i}"))
                    .build()
                    .map_err(|e| Error::argument(format!("cannot start {threads} threads: {e}")))?,
            ),
        };
        Ok(Self { threads, pool })
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` inside the pool.
    pub fn run<R: Send>(&self, work: impl FnOnce(Team) -> R + Send) -> R {
        let team = Team { threads: self.threads };
        match &self.pool {
            Some(pool) => pool.install(|| work(team)),
            None => work(team),
        }
    }
}

/// The number of cores that this process may use.
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// The threads that a piece of work may use; handed out by [`Pool::run`].
#[derive(Debug, Clone, Copy)]
pub struct Team {
    threads: usize,
}

impl Team {
    /// A team of the calling thread alone.
    pub const fn solo() -> Self {
        Self { threads: 1 }
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

    /// Runs `a` and `b`, at the same time where there are two threads.
    pub fn join<A: Send, B: Send>(self, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        if self.threads == 1 { (a(), b()) } else { rayon::join(a, b) }
    }

    /// Calls `f(thread, piece)` once for each piece; `thread < threads` is held by one running call at a time.
    fn each_on(self, pieces: usize, f: impl Fn(usize, usize) + Sync) {
        let next = AtomicUsize::new(0);
        let take = |thread: usize| {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= pieces {
                    break;
                }
                f(thread, piece);
            }
        };
        fork(0..self.threads.min(pieces), &take);
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

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(ErrorKind::Stopped, format!("the thread that prepares data failed: {}", text.unwrap_or("no message")))
}

// Calls `take(i)` for each `i` of the range, each on a thread of its own where one is free.
fn fork(threads: Range<usize>, take: &(impl Fn(usize) + Sync)) {
    match threads.len() {
        0 => {}
        1 => take(threads.start),
        n => {
            let middle = threads.start + n / 2;
            rayon::join(|| fork(threads.start..middle, take), || fork(middle..threads.end, take));
        }
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
    fn empty_work_is_no_work() {
        Team::solo().chunks(&mut [0_u8; 0], 4, |_, _| panic!("no chunk"));
        Pool::new(2).unwrap().run(|team| team.each(0, |_| panic!("no piece")));
    }
}
