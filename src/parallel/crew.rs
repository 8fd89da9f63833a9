//! The threads behind a pool: they work on one job at a time, together with the thread that gives it.
//!
//! ```text
//! the caller    publish the job    work on it    close it    wait for those inside
//! a worker      spin, yield, park    see an open job    enter    work on it    leave
//! ```
//!
//! A worker that comes late finds the job closed, and nobody waits for it. A caller that finds the crew at another
//! job, which may be the very one that it is a piece of, does its pieces alone. So nothing here can wait in a circle.
//!
//! Each member has a share of the pieces, in order, and helps with the others' shares when its own is done. The same
//! cut of the same batch thus goes to the same core from layer to layer, where its data are.

use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle, Thread, current, park, yield_now};

use crate::error::{Error, Result};

// How often a worker looks for a job before it lets others have its core between two looks, and before it parks.
const SPINS: u32 = 4_000;
const YIELDS: u32 = 200;

// The state: whether a job is open, how many workers are inside, and the number of the job.
const OPEN: usize = 1;
const ONE: usize = 2;
const NUMBER: usize = 1 << 12;
const INSIDE: usize = NUMBER - ONE;
/// The most threads that a crew counts.
pub(super) const MOST: usize = 1024;

/// A value with cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Line<T>(T);

/// `call(data, thread, piece)` for each piece.
#[derive(Clone, Copy)]
struct Job {
    data: *const (),
    call: unsafe fn(*const (), usize, usize),
    pieces: usize,
    members: usize,
}

struct JobCell(UnsafeCell<Job>);

// SAFETY: what a job points to is a closure that is `Sync`; the cell is written only while no other thread may read it.
unsafe impl Send for JobCell {}
// SAFETY: as above.
unsafe impl Sync for JobCell {}

/// What the threads of a crew share.
struct Desk {
    state: Line<AtomicUsize>,
    job: JobCell,
    /// How many threads the job is for; numbers from here on stay out.
    members: AtomicUsize,
    /// The next piece of each member's share.
    shares: Vec<Line<AtomicUsize>>,
    /// A caller has the crew.
    taken: Line<AtomicBool>,
    asleep: Vec<Line<AtomicBool>>,
    /// Each worker's handle, which it leaves here before it sleeps for the first time.
    handles: Vec<OnceLock<Thread>>,
    quit: AtomicBool,
    panicked: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    spins: u32,
}

/// Threads that help a caller; the caller is number 0, and they count from 1.
pub(super) struct Crew {
    desk: Arc<Desk>,
    workers: Vec<JoinHandle<()>>,
}

impl Crew {
    /// A crew of `threads`, the caller among them.
    pub fn new(threads: usize, cores: usize) -> Result<Self> {
        fn lines<T: Default>(n: usize) -> Vec<Line<T>> {
            (0..n).map(|_| Line::default()).collect()
        }
        let nothing = Job { data: std::ptr::null(), call: |_, _, _| (), pieces: 0, members: 0 };
        let desk = Arc::new(Desk {
            state: Line::default(),
            job: JobCell(UnsafeCell::new(nothing)),
            members: AtomicUsize::new(0),
            shares: lines(threads),
            taken: Line::default(),
            asleep: lines(threads),
            handles: (0..threads).map(|_| OnceLock::new()).collect(),
            quit: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            panic: Mutex::new(None),
            // Who shares a core must not keep it from the one that has the work.
            spins: if threads <= cores { SPINS } else { 0 },
        });
        let mut crew = Self { desk, workers: Vec::with_capacity(threads) };
        for me in 1..threads {
            let desk = Arc::clone(&crew.desk);
            let worker = Builder::new().name(format!("striate-{me}")).spawn(move || desk.serve(me));
            crew.workers.push(worker.map_err(|e| Error::argument(format!("cannot start {threads} threads: {e}")))?);
        }
        Ok(crew)
    }

    /// Calls `f(thread, piece)` once for each piece; a thread's number is held by one running call at a time.
    pub fn each<F: Fn(usize, usize) + Sync>(&self, pieces: usize, f: &F) {
        /// # Safety
        /// `data` must be a live `F`.
        unsafe fn call<F: Fn(usize, usize)>(data: *const (), thread: usize, piece: usize) {
            // SAFETY: the caller's promise.
            unsafe { (*data.cast::<F>())(thread, piece) }
        }
        let desk = &*self.desk;
        let members = pieces.min(self.workers.len() + 1);
        if members < 2 || desk.taken.0.swap(true, Ordering::Acquire) {
            return (0..pieces).for_each(|piece| f(0, piece));
        }
        let job = Job { data: std::ptr::from_ref(f).cast(), call: call::<F>, pieces, members };
        desk.publish(job);
        // SAFETY: `f` is borrowed for longer than this call.
        let mine = catch_unwind(AssertUnwindSafe(|| unsafe { desk.work(job, 0) }));
        desk.close();
        let theirs = if desk.panicked.swap(false, Ordering::Relaxed) { desk.panic().take() } else { None };
        desk.taken.0.store(false, Ordering::Release);
        if let Some(panic) = mine.err().or(theirs) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.desk.quit.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of its work.
            let _ = worker.join();
        }
    }
}

impl Desk {
    // Only whoever has `taken` the crew comes here, and the last job is closed.
    fn publish(&self, job: Job) {
        for (share, next) in self.shares[..job.members].iter().enumerate() {
            next.0.store(job.first(share), Ordering::Relaxed);
        }
        // SAFETY: workers read the cell while they are inside an open job. None is open, and `close` waited for all.
        unsafe { *self.job.0.get() = job };
        self.members.store(job.members, Ordering::Release);
        let number = (self.state.0.load(Ordering::Relaxed) & !(NUMBER - 1)).wrapping_add(NUMBER);
        self.state.0.store(number | OPEN, Ordering::SeqCst);
        self.wake(0, job.members);
    }

    // Nobody enters any more; waits for those inside.
    fn close(&self) {
        let mut looks = 0;
        let mut inside = self.state.0.fetch_and(!OPEN, Ordering::AcqRel) & INSIDE;
        while inside != 0 {
            looks += 1;
            if looks < self.spins {
                spin_loop()
            } else {
                yield_now()
            }
            inside = self.state.0.load(Ordering::Acquire) & INSIDE;
        }
    }

    // The life of worker `me`.
    fn serve(&self, me: usize) {
        let _ = self.handles[me].set(current());
        let mut last = 0;
        while let Some(number) = self.next(me, last) {
            last = number;
            // SAFETY: this thread is inside an open job, so nobody writes the cell.
            let job = unsafe { *self.job.0.get() };
            self.wake(me, job.members);
            // SAFETY: the caller waits in `close` until this thread has left, so what the job points to lives.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| unsafe { self.work(job, me) })) {
                self.panic().get_or_insert(panic);
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.state.0.fetch_sub(ONE, Ordering::Release);
        }
    }

    // Waits for a job other than `last` and enters it; `None` at the end of the crew.
    fn next(&self, me: usize, last: usize) -> Option<usize> {
        let mut looks = 0;
        loop {
            if let Some(number) = self.enter(me, last) {
                return Some(number);
            }
            if self.quit.load(Ordering::Relaxed) {
                return None;
            }
            looks += 1;
            if looks < self.spins {
                spin_loop();
            } else if looks < self.spins + YIELDS {
                yield_now();
            } else {
                self.sleep(me, last);
                looks = 0;
            }
        }
    }

    fn enter(&self, me: usize, last: usize) -> Option<usize> {
        let state = self.open_to(me, last)?;
        // The state has the job's number, so this fails if that job was closed in the meantime.
        self.state.0.compare_exchange(state, state + ONE, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(state / NUMBER)
    }

    // The state, if a job other than `last` is open to this worker. Should the numbers have come round to `last` while
    // it slept, it misses a job, which the others do.
    fn open_to(&self, me: usize, last: usize) -> Option<usize> {
        let state = self.state.0.load(Ordering::SeqCst);
        let open = state & OPEN != 0 && state / NUMBER != last && me < self.members.load(Ordering::Acquire);
        open.then_some(state)
    }

    // Parks unless there is something to do. `publish` writes the state and then reads `asleep`, here it is the other
    // way round, and all four are in one order: so one of the two sees the other.
    fn sleep(&self, me: usize, last: usize) {
        self.asleep[me].0.store(true, Ordering::SeqCst);
        if self.open_to(me, last).is_none() && !self.quit.load(Ordering::SeqCst) {
            park();
        }
        self.asleep[me].0.store(false, Ordering::Relaxed);
    }

    // Wakes the members that are under this one in a tree: each has two under it, and the caller one.
    fn wake(&self, me: usize, members: usize) {
        for i in (2 * me).max(1)..(2 * me + 2).min(members) {
            if self.asleep[i].0.swap(false, Ordering::SeqCst) {
                self.handles[i].get().inspect(|thread| thread.unpark());
            }
        }
    }

    /// Does pieces until none is left: first those of its own share, then those of the others.
    ///
    /// # Safety
    /// What the job points to must be alive.
    unsafe fn work(&self, job: Job, me: usize) {
        for share in (0..job.members).map(|i| (me + i) % job.members) {
            let (next, end) = (&self.shares[share].0, job.first(share + 1));
            while next.load(Ordering::Relaxed) < end {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece < end {
                    // SAFETY: the caller's promise.
                    unsafe { (job.call)(job.data, me, piece) };
                }
            }
        }
    }

    fn panic(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    // The first piece of a member's share.
    fn first(&self, share: usize) -> usize {
        share * self.pieces / self.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    // The sum of what each piece was given, over all pieces.
    fn sum(crew: &Crew, pieces: usize, scale: usize) -> u64 {
        let sum = AtomicU64::new(0);
        crew.each(pieces, &|_, piece| {
            sum.fetch_add((piece * scale + 1) as u64, Ordering::Relaxed);
        });
        sum.into_inner()
    }

    fn expected(pieces: usize, scale: usize) -> u64 {
        (0..pieces).map(|piece| (piece * scale + 1) as u64).sum()
    }

    fn text(panic: &(dyn Any + Send)) -> &str {
        panic.downcast_ref::<&str>().copied().unwrap_or("no text")
    }

    #[test]
    fn thousands_of_short_jobs_are_done_once_each_on_cores_that_are_too_few() {
        for (threads, cores) in [(2, 2), (3, 1), (7, 2), (7, 64)] {
            let crew = Crew::new(threads, cores).unwrap();
            for job in 0..6_000 {
                assert_eq!(sum(&crew, job % 23, job), expected(job % 23, job), "{threads} threads, job {job}");
            }
        }
    }

    #[test]
    fn a_thread_has_a_number_of_its_own() {
        let crew = Crew::new(4, 2).unwrap();
        let held: Vec<AtomicBool> = (0..4).map(|_| AtomicBool::new(false)).collect();
        for _ in 0..200 {
            crew.each(50, &|thread, _| {
                assert!(!held[thread].swap(true, Ordering::SeqCst), "two calls at once as thread {thread}");
                yield_now();
                held[thread].store(false, Ordering::SeqCst);
            });
        }
    }

    // Each piece waits for the other, so both threads must come, however soundly the second slept.
    #[test]
    fn a_worker_that_sleeps_is_woken() {
        let crew = Crew::new(2, 0).unwrap();
        for round in 0..200 {
            let come = [AtomicBool::new(false), AtomicBool::new(false)];
            while !crew.desk.asleep[1].0.load(Ordering::SeqCst) {
                yield_now();
            }
            crew.each(2, &|_, piece| {
                come[piece].store(true, Ordering::SeqCst);
                let other = (0..50_000_000).any(|_| {
                    yield_now();
                    come[1 - piece].load(Ordering::SeqCst)
                });
                assert!(other, "round {round}: nobody took piece {}", 1 - piece);
            });
        }
    }

    #[test]
    fn a_panic_of_any_piece_reaches_the_caller_after_all_are_done() {
        let crew = Crew::new(3, 2).unwrap();
        for bad in 0..12 {
            let done = AtomicUsize::new(0);
            let panic = catch_unwind(AssertUnwindSafe(|| {
                crew.each(12, &|_, piece| {
                    if piece == bad {
                        std::panic::panic_any("a bad piece");
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert_eq!(text(panic.unwrap_err().as_ref()), "a bad piece");
            // A member that panics leaves the rest of its pieces to the others, who may have done theirs before.
            assert!(done.load(Ordering::Relaxed) <= 11);
            assert_eq!(sum(&crew, 12, bad), expected(12, bad), "the crew works on");
        }
        let all = catch_unwind(AssertUnwindSafe(|| crew.each(12, &|_, _| std::panic::panic_any("all bad"))));
        assert_eq!(text(all.unwrap_err().as_ref()), "all bad");
        assert_eq!(sum(&crew, 9, 1), expected(9, 1));
    }

    #[test]
    fn callers_on_many_threads_and_crews_are_all_served() {
        let crews = [Crew::new(2, 2).unwrap(), Crew::new(3, 2).unwrap()];
        std::thread::scope(|scope| {
            for caller in 0..4 {
                let crews = &crews;
                scope.spawn(move || {
                    for job in 0..500 {
                        let crew = &crews[(caller + job) % 2];
                        assert_eq!(sum(crew, 10, job), expected(10, job), "caller {caller}, job {job}");
                    }
                });
            }
        });
    }

    #[test]
    fn dropping_a_crew_ends_its_threads() {
        for (threads, jobs) in [(2, 0), (4, 3)] {
            let crew = Crew::new(threads, 2).unwrap();
            (0..jobs).for_each(|job| assert_eq!(sum(&crew, 5, job), expected(5, job)));
            let desk = Arc::downgrade(&crew.desk);
            drop(crew);
            assert!(desk.upgrade().is_none(), "each thread holds the desk while it runs");
        }
    }

    #[test]
    fn numbers_of_jobs_may_come_round() {
        let crew = Crew::new(2, 2).unwrap();
        crew.desk.state.0.store(usize::MAX & !(NUMBER - 1), Ordering::SeqCst);
        for job in 0..5 {
            assert_eq!(sum(&crew, 8, job), expected(8, job));
        }
    }
}
