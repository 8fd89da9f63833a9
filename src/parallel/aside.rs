//! A thread of its own beside the caller's: items made ahead of their use, or worked on behind their making.
//!
//! Two buffers go round between both, so nothing is allocated on the way, and neither runs far ahead.

use std::any::Any;
use std::ops::{ControlFlow, Range};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::{Error, ErrorKind, Result};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
