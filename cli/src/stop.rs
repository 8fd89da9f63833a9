//! Ctrl-C: the first one asks the work to end after its step, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// A flag that becomes true at the first Ctrl-C (or termination signal).
pub fn flag() -> &'static AtomicBool {
    // Without a handler Ctrl-C ends the program at once; the last checkpoint is still there.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    &STOP
}

/// Ctrl-C ends the program at once, and says so: for work that leaves nothing half done, and nothing worth keeping.
pub fn at_once() {
    let _ = ctrlc::set_handler(|| {
        crate::out::complain(format_args!("error: stopped; no picture was drawn\n  help: run it again"));
        std::process::exit(130);
    });
}

/// Whether Ctrl-C was pressed; from the first call on it no longer ends the program at once.
pub fn asked() -> bool {
    flag().load(Ordering::Relaxed)
}
