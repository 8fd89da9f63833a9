//! One error type for the whole library.
//!
//! Each message names the thing, shows the numbers, and says what would help.
//! [`Error::help`] carries the remedy apart from the cause, so that a program
//! can set it on a line of its own.

use std::fmt;
use std::path::Path;

/// The result of every fallible call in striate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: the kind, the message, and the remedy.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
}

/// The class of an [`Error`], for programs that act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value given by the user is out of its range, or a name is unknown.
    Argument,
    /// Shapes do not fit; found when a graph is built, never while it runs.
    Shape,
    /// A file is missing, unreadable or not writable.
    Io,
    /// A file was read, but its content is not what it should be.
    Format,
    /// Numbers went bad while a network was trained (NaN or infinity).
    Numeric,
    /// The work was stopped on request.
    Stopped,
}

impl Error {
    /// An error of `kind` with `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None }
    }

    /// A bad argument.
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Argument, message)
    }

    /// Shapes that do not fit.
    pub fn shape(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Shape, message)
    }

    /// A file whose content is wrong.
    pub fn format(path: &Path, message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Format, format!("{}: {message}", path.display()))
    }

    /// A file that could not be read or written; `doing` is a verb such as "read".
    pub fn io(path: &Path, doing: &str, cause: &std::io::Error) -> Self {
        let error = Self::new(ErrorKind::Io, format!("cannot {doing} {}: {cause}", path.display()));
        match cause.kind() {
            std::io::ErrorKind::StorageFull => error.with_help("free some space on that disk, or give another folder"),
            std::io::ErrorKind::NotFound => error.with_help("check the path; it is relative to the current folder"),
            _ => error,
        }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Puts the name of the place in front of the message, as in `conv2d_1: ...`.
    #[must_use]
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The remedy, if there is one to name.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The message without the remedy.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// An error for a name that is not known, with the nearest known name as the remedy.
///
/// ```
/// let e = striate::error::unknown("optimiser", "adm", ["sgd", "adam"]);
/// assert_eq!(e.to_string(), "unknown optimiser 'adm' (did you mean 'adam'? known: sgd, adam)");
/// ```
pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.into_iter().collect();
    let list = known.join(", ");
    let help = match nearest(name, &known) {
        Some(near) => format!("did you mean '{near}'? known: {list}"),
        None => format!("known: {list}"),
    };
    Error::argument(format!("unknown {what} '{name}'")).with_help(help)
}

/// The known name with the smallest edit distance, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .iter()
        .map(|k| (edit_distance(&name, &k.to_lowercase()), *k))
        .filter(|(d, k)| *d <= k.chars().count().max(name.chars().count()) / 2)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_suggested_only_when_near() {
        assert_eq!(nearest("rmsprob", &["adam", "rmsprop"]), Some("rmsprop"));
        assert_eq!(nearest("xyzzy", &["adam", "rmsprop"]), None);
    }

    #[test]
    fn message_names_place_and_remedy() {
        let e = Error::shape("input 3x3 is smaller than kernel 5x5").within("conv2d_1").with_help("pad by 1");
        assert_eq!(e.to_string(), "conv2d_1: input 3x3 is smaller than kernel 5x5 (pad by 1)");
    }
}
