//! Progress as Keras shows it: one line that is drawn over and over on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: u64 = 30;
const REDRAW: Duration = Duration::from_millis(50);

/// A progress line on standard output.
pub struct Bar {
    live: bool,
    quiet: bool,
    drawn: Option<Instant>,
    width: usize,
}

impl Bar {
    /// A bar that is drawn unless `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { live: std::io::stdout().is_terminal(), quiet, drawn: None, width: 0 }
    }

    /// Prints a line of its own.
    pub fn line(&mut self, text: &str) {
        if !self.quiet {
            println!("{text}");
        }
    }

    /// Shows `done` of `of` steps after `seconds`, with `rest` behind it; on a terminal alone, and not too often.
    pub fn show(&mut self, done: u64, of: u64, seconds: f64, rest: &str) {
        let due = self.drawn.is_none_or(|at| at.elapsed() >= REDRAW);
        if self.live && !self.quiet && due {
            self.drawn = Some(Instant::now());
            let left = seconds / done.max(1) as f64 * (of - done) as f64;
            self.draw(&format!("{} - ETA: {}{rest}", bar(done, of), duration(left)));
        }
    }

    /// Shows the finished line, with seconds and milliseconds for each step, and goes to the next.
    pub fn finish(&mut self, of: u64, seconds: f64, rest: &str) {
        if self.quiet {
            return;
        }
        let per_step = seconds * 1e3 / of.max(1) as f64;
        self.draw(&format!("{} - {}s {}/step{rest}", bar(of, of), seconds.round(), step_time(per_step)));
        println!();
        (self.drawn, self.width) = (None, 0);
    }

    /// Leaves the unfinished line as it is.
    pub fn abandon(&mut self) {
        if self.live && !self.quiet && self.drawn.take().is_some() {
            println!();
        }
    }

    // Writes over what is there; a shorter line is filled up with blanks.
    fn draw(&mut self, line: &str) {
        let len = line.chars().count();
        let start = if self.live { "\r" } else { "" };
        let fill = if self.live { self.width.saturating_sub(len) } else { 0 };
        print!("{start}{line}{}", " ".repeat(fill));
        self.width = len;
        // A closed pipe is noticed when the result is printed.
        let _ = std::io::stdout().flush();
    }
}

// `469/938 [==============>...............]`
fn bar(done: u64, of: u64) -> String {
    let digits = of.to_string().len();
    let filled = (WIDTH * done / of.max(1)) as usize;
    let full = WIDTH as usize;
    let body = match filled {
        _ if done >= of => "=".repeat(full),
        0 => ".".repeat(full),
        n => format!("{}>{}", "=".repeat(n - 1), ".".repeat(full - n)),
    };
    format!("{done:>digits$}/{of} [{body}]")
}

// Keras rounds to whole milliseconds; steps here are often shorter.
fn step_time(ms: f64) -> String {
    match ms {
        ms if ms >= 10.0 => format!("{ms:.0}ms"),
        ms if ms >= 1.0 => format!("{ms:.1}ms"),
        ms => format!("{:.0}us", ms * 1e3),
    }
}

fn duration(seconds: f64) -> String {
    let s = seconds.ceil() as u64;
    if s < 60 { format!("{s}s") } else { format!("{}:{:02}", s / 60, s % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_looks_like_that_of_keras() {
        assert_eq!(bar(938, 938), "938/938 [==============================]");
        assert_eq!(bar(469, 938), "469/938 [==============>...............]");
        assert_eq!(bar(1, 938), "  1/938 [..............................]");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(
            (step_time(12.4), step_time(4.26), step_time(0.25)),
            ("12ms".into(), "4.3ms".into(), "250us".into())
        );
        assert_eq!((duration(5.2), duration(75.0)), ("6s".into(), "1:15".into()));
    }
}
