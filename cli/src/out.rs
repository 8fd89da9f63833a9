//! Standard output and standard error.
//!
//! A reader that went away (`striate models | head -1`) is neither an error nor
//! a panic: what is left to say is dropped, and a training run goes on to its
//! end. Any other failure to write is kept, and ends the program with an error.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use striate::{Error, Result};

static FAILED: OnceLock<io::Error> = OnceLock::new();

/// The endings of pictures that can move.
pub const MOVING: &[&str] = &["svg", "gif"];
/// The endings of pictures that stand still.
pub const STILL: &[&str] = &["svg", "png"];

/// Whether a file's name ends in one of these.
pub fn ends_in(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|own| endings.iter().any(|ending| own.eq_ignore_ascii_case(ending)))
}

/// An error where a picture could not be written in the end, told before there is much to lose.
pub fn check_picture(path: &Path, moves: bool) -> Result<()> {
    let has_kind = ends_in(path, STILL) || moves && ends_in(path, MOVING);
    if !has_kind {
        let help = if moves { "end the name in .png, .svg or .gif" } else { "end the name in .svg or .png" };
        return Err(Error::argument(format!("{} names no kind of picture", path.display())).with_help(help));
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(Error::argument(format!("cannot write {}: no folder {}", path.display(), folder.display()))
                .with_help("create the folder first, or give another path"))
        }
        _ => Ok(()),
    }
}

/// Prints a line on standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::out::line(format_args!($($text)*)) };
}

pub(crate) use say;

/// Prints a line on standard output; see [`say!`].
pub fn line(text: Arguments<'_>) {
    note(writeln!(io::stdout(), "{text}"));
}

/// Writes to standard output as it is, at once.
pub fn raw(bytes: &[u8]) {
    let mut out = io::stdout();
    note(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Prints a line on standard error; where even that fails nobody is left to be told.
pub fn complain(text: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes on standard error as it is.
pub fn complain_raw(text: Arguments<'_>) {
    let _ = write!(io::stderr(), "{text}");
}

/// Prints a JSON value on one line, an `f32` with the digits of an `f32`: 0.001, not 0.0010000000474974513.
pub fn json(value: Value) {
    line(format_args!("{}", short(value)));
}

/// A JSON value whose numbers have no more digits than they need.
pub fn short(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(short).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, short(value))).collect(),
        Value::Number(n) => n.as_f64().filter(|_| n.is_f64()).map_or(Value::Number(n), digits),
        other => other,
    }
}

fn digits(v: f64) -> Value {
    let single = v as f32;
    let exact = f64::from(single) == v;
    json!(if exact { single.to_string().parse().unwrap_or(v) } else { v })
}

/// The first failure to write to standard output, if there was one.
pub fn finish() -> Result<()> {
    note(io::stdout().flush());
    match FAILED.get() {
        None => Ok(()),
        Some(cause) => Err(Error::io(Path::new("standard output"), "write to", cause)),
    }
}

/// A number with commas between the thousands.
pub fn thousands(n: impl ToString) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn note(result: io::Result<()>) {
    if let Err(e) = result.or_else(|e| if e.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(e) }) {
        let _ = FAILED.set(e);
    }
}
