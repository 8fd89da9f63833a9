//! Threads: the only file that knows them.
//!
//! Work is cut into pieces by its *shape*, never by the number of threads; the
//! threads only take pieces from a common counter. So the number of threads
//! decides who computes a piece, and never what is computed.
//!
//! A whole step of a plan runs inside [`Pool::run`]: entering the pool costs 5
//! to 12 microseconds, a join inside it next to nothing. Pieces should be at
//! least some 20 microseconds long.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

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
    fn empty_work_is_no_work() {
        Team::solo().chunks(&mut [0_u8; 0], 4, |_, _| panic!("no chunk"));
        Pool::new(2).unwrap().run(|team| team.each(0, |_| panic!("no piece")));
    }
}
