//! Progress as Keras shows it: one line that is drawn over and over on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::out::{self, say};

const FULL: usize = 30;
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
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        Self { live: std::io::stdout().is_terminal() && !dumb, quiet, drawn: None, width: 0 }
    }

    /// Prints a line of its own.
    pub fn line(&mut self, text: &str) {
        if !self.quiet {
            say!("{text}");
        }
    }

    /// Shows `done` of `of` steps after `seconds`, with `rest` behind it; on a terminal alone, and not too often.
    pub fn show(&mut self, done: u64, of: u64, seconds: f64, rest: &str) {
        let due = self.drawn.is_none_or(|at| at.elapsed() >= REDRAW);
        if self.live && !self.quiet && due {
            self.drawn = Some(Instant::now());
            let left = seconds / done.max(1) as f64 * (of - done) as f64;
            self.draw(done, of, &format!(" - ETA: {}{rest}", duration(left)));
        }
    }

    /// Shows the finished line, with seconds and milliseconds for each step, and goes to the next.
    pub fn finish(&mut self, of: u64, seconds: f64, rest: &str) {
        if self.quiet {
            return;
        }
        let per_step = seconds * 1e3 / of.max(1) as f64;
        self.draw(of, of, &format!(" - {}s {}/step{rest}", seconds.round(), step_time(per_step)));
        say!("");
        (self.drawn, self.width) = (None, 0);
    }

    /// Leaves the unfinished line as it is.
    pub fn abandon(&mut self) {
        if self.live && !self.quiet && self.drawn.take().is_some() {
            say!("");
        }
    }

    // Writes over what is there; a shorter line is filled up with blanks.
    fn draw(&mut self, done: u64, of: u64, rest: &str) {
        if !self.live {
            return out::raw(format!("{}{rest}", bar(done, of, FULL)).as_bytes());
        }
        let line = fitted(done, of, rest, columns());
        let len = line.chars().count();
        out::raw(format!("\r{line}{}", " ".repeat(self.width.saturating_sub(len))).as_bytes());
        self.width = len;
    }
}

/// A download, drawn on standard error if that is a terminal.
pub struct Transfer {
    title: String,
    bytes: u64,
    live: bool,
    began: Instant,
    had: u64,
    drawn: Option<Instant>,
}

impl Transfer {
    /// Of so many bytes.
    pub fn new(title: &str, bytes: u64) -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let live = std::io::stderr().is_terminal() && !dumb;
        Self { title: title.into(), bytes, live, began: Instant::now(), had: 0, drawn: None }
    }

    /// The transfer goes on after so many bytes.
    pub fn start(&mut self, had: u64) {
        (self.began, self.had) = (Instant::now(), had);
    }

    /// So many bytes are there.
    pub fn show(&mut self, done: u64) {
        if self.live && self.drawn.is_none_or(|at| at.elapsed() >= REDRAW) {
            self.drawn = Some(Instant::now());
            let line = transfer(&self.title, [self.had, done, self.bytes], self.began.elapsed().as_secs_f64());
            let line: String = line.chars().take(columns().saturating_sub(1)).collect();
            out::complain_raw(format_args!("\r{line:<width$}", width = columns().saturating_sub(1).min(90)));
        }
    }

    /// The line is left as it is.
    pub fn finish(&mut self) {
        if self.drawn.take().is_some() {
            out::complain(format_args!(""));
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.finish();
    }
}

// `efficientnet-lite0   8.2/17.4 MB [=============>................] 3.1 MB/s, 3s left`
fn transfer(title: &str, [had, done, of]: [u64; 3], seconds: f64) -> String {
    let rate = (done - had) as f64 / seconds.max(1e-3);
    let left = duration((of - done) as f64 / rate.max(1.0));
    let bar = bar(done, of, FULL);
    let bar = bar.split_once(' ').map_or("", |(_, bar)| bar);
    let bar = bar.trim_start_matches(|c| c != '[');
    format!("{title} {:>5.1}/{:.1} MB {bar} {:.1} MB/s, {left} left", done as f64 / 1e6, of as f64 / 1e6, rate / 1e6)
}

// A line that wraps cannot be drawn over: on a narrow terminal the bar is shorter, or the rest is cut.
fn fitted(done: u64, of: u64, rest: &str, columns: usize) -> String {
    let around = bar(done, of, 0).chars().count() + rest.chars().count();
    let full = columns.saturating_sub(around + 1).min(FULL);
    let line = format!("{}{rest}", bar(done, of, full));
    if done < of { line.chars().take(columns.saturating_sub(1)).collect() } else { line }
}

fn columns() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0))
}

// `469/938 [==============>...............]`
fn bar(done: u64, of: u64, full: usize) -> String {
    let digits = of.to_string().len();
    let filled = (full as u64 * done / of.max(1)) as usize;
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
        assert_eq!(bar(938, 938, FULL), "938/938 [==============================]");
        assert_eq!(bar(469, 938, FULL), "469/938 [==============>...............]");
        assert_eq!(bar(1, 938, FULL), "  1/938 [..............................]");
    }

    #[test]
    fn a_live_line_never_wraps() {
        let rest = " - ETA: 12s - loss: 0.4170 - accuracy: 0.8669";
        for columns in [10, 40, 60, 80, 100] {
            assert!(fitted(469, 938, rest, columns).chars().count() < columns);
        }
        assert_eq!(fitted(469, 938, rest, 200), format!("{}{rest}", bar(469, 938, FULL)));
        assert!(fitted(469, 938, rest, 80).ends_with(rest));
    }

    #[test]
    fn a_transfer_says_how_far_and_how_long() {
        let line = transfer("x", [2_000_000, 8_000_000, 16_000_000], 2.0);
        assert_eq!(line, "x   8.0/16.0 MB [==============>...............] 3.0 MB/s, 3s left");
        assert!(transfer("x", [0, 0, 16_000_000], 0.0).contains("0.0/16.0 MB [....."));
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
