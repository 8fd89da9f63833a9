//! The striate file: weights, documents and a checksum, readable by any safetensors reader.
//!
//! A striate file is a valid safetensors file whose header begins with exactly
//!
//! ```text
//! {"__metadata__":{"checksum":"64 hex digits","format":"striate-model","version":"1",...
//! ```
//!
//! `format` is `striate-model` or `striate-checkpoint`. Further metadata are the
//! *documents*: JSON texts by name, such as the graph, the labels, the training
//! record. All tensors are F32.
//!
//! **The checksum** is the SHA-256 of every byte of the file, from the first to the
//! last, with the 64 digits themselves taken as zeros. They stand at a fixed place,
//! and must agree character by character. So one changed byte anywhere is found: in
//! the length, the header, the documents, the padding and the numbers because the
//! hash changes; in the digits because they no longer agree; before the digits
//! because the fixed text is then not there.
//!
//! The file is read once: converted as it streams by, and hashed by another thread. When anything is
//! wrong, and the checksum does not hold either, the error says that the file is
//! damaged; otherwise it stands as it is (another version, another kind).

use std::collections::BTreeMap;
use std::io::{self, BufReader, Cursor, Read};
use std::mem;
use std::path::Path;

use super::digest::HashSink;
use super::safetensors::{self, Contents, TensorRef, shorten};
use super::{Dtype, atomic, sniff};
use crate::error::{Error, Result};
use crate::parallel::{Belt, behind};

/// The newest version of the layout that this library reads, and the one it writes.
pub const VERSION: u32 = 1;

const PREFIX: &[u8] = b"{\"__metadata__\":{\"checksum\":\"";
const DIGITS: usize = 64;
const DIGITS_AT: usize = 8 + PREFIX.len();
const START: usize = DIGITS_AT + DIGITS;
const RESERVED: [&str; 3] = ["checksum", "format", "version"];
const BUFFER: usize = 1 << 16;
// Bytes that are handed over to be hashed at a time; two such buffers stay in a second-level cache.
const HASHED: usize = 1 << 18;

/// What a striate file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A model: all that a prediction needs.
    Model,
    /// A checkpoint: all that it takes to go on with training.
    Checkpoint,
}

impl Kind {
    /// The value of `format` in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "striate-model",
            Self::Checkpoint => "striate-checkpoint",
        }
    }
}

/// The content of a striate file.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("striate-doc-container-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("a.striate");
/// use striate::format::{Container, Kind};
/// let model = Container {
///     kind: Kind::Model,
///     documents: [("labels".to_string(), r#"["cat","dog"]"#.to_string())].into(),
///     tensors: vec![("dense/bias".to_string(), vec![2], vec![0.5, -0.5])],
/// };
/// model.save(&path)?;
/// assert_eq!(Container::load(&path, Kind::Model)?, model);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// What the file is for.
    pub kind: Kind,
    /// Texts by name; `checksum`, `format` and `version` are taken.
    pub documents: BTreeMap<String, String>,
    /// Name, axes and numbers of each tensor; a loaded file has them sorted by name.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

/// A striate file to be written, with borrowed weights.
#[derive(Debug, Clone, Copy)]
pub struct ContainerRef<'a> {
    /// What the file is for.
    pub kind: Kind,
    /// Texts by name; `checksum`, `format` and `version` are taken.
    pub documents: &'a BTreeMap<String, String>,
    /// The tensors, in any order.
    pub tensors: &'a [TensorRef<'a>],
}

impl Container {
    /// Writes `path` whole or not at all; see [`ContainerRef::save`].
    ///
    /// # Errors
    /// As [`ContainerRef::save`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors: Vec<TensorRef> =
            self.tensors.iter().map(|(name, dims, data)| TensorRef { name, dims, data }).collect();
        ContainerRef { kind: self.kind, documents: &self.documents, tensors: &tensors }.save(path)
    }

    /// Reads the striate file `path`, which must be of this `kind`.
    ///
    /// # Errors
    /// The file is missing, not a striate file, damaged, of another kind, or of a newer version.
    pub fn load(path: &Path, kind: Kind) -> Result<Self> {
        let (file, size) = safetensors::open(path)?;
        Self::read_from(path, BufReader::with_capacity(BUFFER, file), size, kind)
    }

    /// Reads `size` bytes of a striate file from `reader`; `path` serves for messages.
    ///
    /// # Errors
    /// As [`Container::load`].
    pub fn read_from(path: &Path, mut reader: impl Read, size: u64, kind: Kind) -> Result<Self> {
        let start = read_start(path, &mut reader, size)?;
        let mut sink = HashSink::default();
        sink.update(&start[..DIGITS_AT]);
        sink.update(&[b'0'; DIGITS]);
        let hash = |bytes: &mut Vec<u8>| {
            sink.update(bytes);
            bytes.clear();
        };
        let (read, rest) = behind([const { Vec::new() }; 2], hash, |belt| {
            let mut hashing = Hashing { inner: reader, belt, bytes: belt.empty().unwrap_or_default() };
            let read = safetensors::read_from(path, Cursor::new(&start).chain(&mut hashing), size);
            (read, hashing.finish())
        })?;
        rest.map_err(|e| Error::io(path, "read", &e))?;
        let holds = sink.hex().as_bytes() == &start[DIGITS_AT..];
        let container = read.and_then(|contents| Self::from_contents(path, contents, kind));
        match container {
            Ok(container) if holds => Ok(container),
            Ok(_) => Err(damaged(Error::format(path, "the checksum does not match"))),
            Err(e) if holds => Err(e),
            Err(e) => Err(damaged(e)),
        }
    }

    fn from_contents(path: &Path, contents: Contents, kind: Kind) -> Result<Self> {
        let mut documents = contents.metadata;
        check_version(path, &documents)?;
        check_kind(path, &documents, kind)?;
        documents.retain(|name, _| !RESERVED.contains(&name.as_str()));
        if let Some(t) = contents.tensors.iter().find(|t| t.dtype != Dtype::F32) {
            let name = shorten(&t.name);
            return Err(Error::format(path, format!("tensor '{name}' is {}, but a striate file holds F32", t.dtype))
                .with_help("another program wrote this file: save it again with striate"));
        }
        let tensors = contents.tensors.into_iter().map(|t| (t.name, t.dims, t.data)).collect();
        Ok(Self { kind, documents, tensors })
    }
}

impl<'a> ContainerRef<'a> {
    /// Writes `path` whole or not at all; the same content gives the same bytes.
    ///
    /// # Errors
    /// A name is used twice or reserved, dims and data do not agree, or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (header, sorted) = self.seal()?;
        atomic::write(path, |out| {
            out.write_all(&header)?;
            safetensors::write_data(&sorted, out)
        })
    }

    /// The bytes that [`ContainerRef::save`] would write.
    ///
    /// # Errors
    /// A name is used twice or reserved, or dims and data do not agree.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (mut bytes, sorted) = self.seal()?;
        sorted.iter().flat_map(|t| t.data).for_each(|x| bytes.extend(x.to_le_bytes()));
        Ok(bytes)
    }

    /// The header with its checksum, and the tensors in file order.
    fn seal(&self) -> Result<(Vec<u8>, Vec<TensorRef<'a>>)> {
        if let Some(name) = RESERVED.iter().find(|name| self.documents.contains_key(**name)) {
            return Err(Error::argument(format!("a document cannot be named '{name}'")));
        }
        let sorted = safetensors::sorted(self.tensors)?;
        let (zeros, version) = ("0".repeat(DIGITS), VERSION.to_string());
        let own = RESERVED.into_iter().zip([zeros.as_str(), self.kind.name(), &version]);
        let documents = self.documents.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let mut header = safetensors::header(own.chain(documents), &sorted)?;
        let digits = checksum(&header, &sorted);
        header[DIGITS_AT..START].copy_from_slice(digits.as_bytes());
        Ok((header, sorted))
    }
}

fn checksum(header: &[u8], sorted: &[TensorRef]) -> String {
    let mut sink = HashSink::default();
    sink.update(header);
    sorted.iter().for_each(|t| sink.numbers(t.data));
    sink.hex()
}

/// The first bytes, to the end of the checksum, if the file is one of ours.
fn read_start(path: &Path, reader: &mut impl Read, size: u64) -> Result<Vec<u8>> {
    let mut start = Vec::with_capacity(START);
    reader.take(START as u64).read_to_end(&mut start).map_err(|e| Error::io(path, "read", &e))?;
    let text = start.get(8..start.len().min(DIGITS_AT)).unwrap_or_default();
    if size == 0 {
        return Err(damaged(Error::format(path, "the file is empty")));
    }
    if start.len() < START && !text.is_empty() && PREFIX.starts_with(text) {
        return Err(damaged(Error::format(path, format!("truncated: expected {START} bytes or more, found {size}"))));
    }
    if text != PREFIX {
        return Err(foreign(path, &start));
    }
    Ok(start)
}

fn foreign(path: &Path, start: &[u8]) -> Error {
    match sniff::looks_like(start) {
        Some(what @ "a safetensors file") => Error::format(path, format!("{what}, but not one that striate wrote"))
            .with_help("it holds weights without a graph: build the network, then load the weights into it"),
        looks => {
            let looks = looks.map_or(String::new(), |what| format!(": it looks like {what}"));
            Error::format(path, format!("not a striate file{looks}"))
                .with_help("give a file that striate saved; if this was one, it is damaged")
        }
    }
}

fn check_version(path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
    let text = metadata.get("version").map_or("", String::as_str);
    match text.parse::<u32>() {
        Ok(VERSION) => Ok(()),
        Ok(newer) if newer > VERSION => {
            Err(Error::format(path, format!("written by format version {newer}, this program reads up to {VERSION}"))
                .with_help("update striate"))
        }
        _ => Err(Error::format(path, format!("'{}' is not a format version", shorten(text)))
            .with_help("save the file again with striate")),
    }
}

fn check_kind(path: &Path, metadata: &BTreeMap<String, String>, wanted: Kind) -> Result<()> {
    let found = metadata.get("format").map_or("", String::as_str);
    if found == wanted.name() {
        return Ok(());
    }
    let error = Error::format(path, format!("this is a {}, not a {}", shorten(found), wanted.name()));
    Err(match (found, wanted) {
        ("striate-checkpoint", Kind::Model) => {
            error.with_help("give the model file; a checkpoint is there to resume a run")
        }
        ("striate-model", Kind::Checkpoint) => {
            error.with_help("only a checkpoint can be resumed; a model has no optimiser state")
        }
        _ => error.with_help("give a file that striate saved"),
    })
}

fn damaged(error: Error) -> Error {
    error.with_help("the file is damaged, its checksum does not hold: copy it again, or use another copy")
}

/// Hands a copy of what it reads over to be hashed.
struct Hashing<'a, R> {
    inner: R,
    belt: &'a Belt<Vec<u8>>,
    bytes: Vec<u8>,
}

impl<R: Read> Hashing<'_, R> {
    /// Reads what was not asked for, too.
    fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink())?;
        self.belt.pass(self.bytes);
        Ok(())
    }
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..count]);
        if self.bytes.len() >= HASHED {
            self.belt.pass(mem::take(&mut self.bytes));
            self.bytes = self.belt.empty().unwrap_or_default();
        }
        Ok(count)
    }
}
