//! The safetensors layout: a length, a JSON header, and the numbers.
//!
//! ```text
//! bytes 0..8      n, the length of the header, u64 little-endian
//! bytes 8..8+n    {"__metadata__":{..}, "NAME":{"dtype":"F32","shape":[..],"data_offsets":[a,b]}, ..}
//! the rest        the tensors, back to back, without gaps
//! ```
//!
//! Reading: [`read`] opens a file, [`read_from`] takes any reader and the size it
//! has. The header is checked as a whole (lengths, names, shapes, offsets, gaps,
//! overlaps, the size of the file) before a byte is allocated for a tensor, so a
//! file cannot make the reader allocate more than a small multiple of its size.
//! Every dtype becomes f32. F16 and BF16 fit exactly; F64 is rounded to nearest;
//! integers and booleans must fit exactly, or the tensor is refused.
//!
//! Writing: [`write()`] sorts the tensors by name and pads the header with spaces to
//! a multiple of 8 bytes, so the same content always gives the same bytes and
//! every tensor is aligned for f32.
//!
//! Source: the description of the format at <https://github.com/huggingface/safetensors>.
//! An own reader instead of that crate, because each error shall name the tensor
//! and the numbers, and because duplicate names shall be refused.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::dtype::{DTYPES, Dtype};
use super::{atomic, sniff};
use crate::error::{Error, Result};

/// The key under which the header holds the strings that are no tensors.
pub const METADATA: &str = "__metadata__";
/// The longest header that is read: the limit of the format's own library.
pub const MAX_HEADER: u64 = 100_000_000;
/// The most axes a tensor may have.
pub const MAX_RANK: usize = 8;
const MAX_TENSORS: usize = 1 << 20;
const CHUNK: usize = 1 << 16;

/// A tensor to be written; the last axis is contiguous.
#[derive(Debug, Clone, Copy)]
pub struct TensorRef<'a> {
    /// The name, unique in the file.
    pub name: &'a str,
    /// The sizes of the axes; none for a single number.
    pub dims: &'a [usize],
    /// The numbers, as many as the product of `dims`.
    pub data: &'a [f32],
}

/// A tensor that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The name.
    pub name: String,
    /// How the file stores the numbers, such as `F32` or `BF16`.
    pub dtype: Dtype,
    /// The sizes of the axes; none for a single number.
    pub dims: Vec<usize>,
    /// The numbers, converted to f32.
    pub data: Vec<f32>,
}

/// The content of a safetensors file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contents {
    /// The strings that came with the tensors.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, in the order in which their data stands in the file.
    pub tensors: Vec<Loaded>,
}

/// Reads the safetensors file `path`.
///
/// # Errors
/// The file is missing, no safetensors file, damaged, or holds numbers that do not fit f32.
pub fn read(path: &Path) -> Result<Contents> {
    let (file, size) = open(path)?;
    read_from(path, BufReader::with_capacity(CHUNK, file), size)
}

/// Reads `size` bytes of safetensors from `reader`; `path` serves for messages.
///
/// # Errors
/// As [`read`].
pub fn read_from(path: &Path, mut reader: impl Read, size: u64) -> Result<Contents> {
    let json = read_header(path, &mut reader, size)?;
    let before = 8 + json.len() as u64;
    let Header { metadata, tensors } = parse_header(path, &json)?;
    drop(json);
    let entries = check(tensors, before, size).map_err(|claim| damaged(path, claim))?;
    let mut tensors = Vec::with_capacity(entries.len());
    for entry in entries {
        let data = read_data(path, &entry, &mut reader)?;
        tensors.push(Loaded { name: entry.name, dtype: entry.dtype, dims: entry.dims, data });
    }
    Ok(Contents { metadata, tensors })
}

/// Writes `path` whole or not at all: the tensors sorted by name, with `metadata` in the header.
///
/// # Errors
/// A name is used twice, dims and data do not agree, or the file cannot be written.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("striate-doc-safetensors-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("a.safetensors");
/// use striate::format::{TensorRef, safetensors};
/// let kernel = TensorRef { name: "conv2d/kernel", dims: &[1, 1, 2, 1], data: &[0.5, -0.5] };
/// safetensors::write(&path, &Default::default(), &[kernel])?;
/// assert_eq!(safetensors::read(&path)?.tensors[0].data, [0.5, -0.5]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), striate::Error>(())
/// ```
pub fn write(path: &Path, metadata: &BTreeMap<String, String>, tensors: &[TensorRef]) -> Result<()> {
    let sorted = sorted(tensors)?;
    let header = header(metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())), &sorted)?;
    atomic::write(path, |out| {
        out.write_all(&header)?;
        write_data(&sorted, out)
    })
}

/// The file and its size; only a regular file has one that can be trusted.
pub(super) fn open(path: &Path) -> Result<(File, u64)> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, "read", &e))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "is a folder" } else { "is not a regular file" };
        return Err(Error::format(path, what).with_help("give the path of a file"));
    }
    let file = File::open(path).map_err(|e| Error::io(path, "read", &e))?;
    Ok((file, metadata.len()))
}

/// The bytes that [`write()`] would write.
///
/// # Errors
/// A name is used twice, or dims and data do not agree.
pub fn to_bytes(metadata: &BTreeMap<String, String>, tensors: &[TensorRef]) -> Result<Vec<u8>> {
    let sorted = sorted(tensors)?;
    let mut bytes = header(metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())), &sorted)?;
    sorted.iter().flat_map(|t| t.data).for_each(|x| bytes.extend(x.to_le_bytes()));
    Ok(bytes)
}

// ---- reading ----

fn read_header(path: &Path, reader: &mut impl Read, size: u64) -> Result<Vec<u8>> {
    if size == 0 {
        return Err(damaged(path, "the file is empty"));
    }
    let mut start = Vec::new();
    read_some(path, reader, size.min(16), &mut start)?;
    let length = start.first_chunk().map_or(u64::MAX, |b| u64::from_le_bytes(*b));
    if !(2..=MAX_HEADER).contains(&length) || start.get(8) != Some(&b'{') {
        return Err(foreign(path, &start));
    }
    if length > size - 8 {
        return Err(damaged(path, format!("truncated: expected {} bytes or more, found {size}", length + 8)));
    }
    let mut json = start.split_off(8);
    let rest = length.checked_sub(json.len() as u64).ok_or_else(|| damaged(path, "the header is too short"))?;
    read_some(path, reader, rest, &mut json)?;
    Ok(json)
}

/// Appends exactly `count` bytes; memory grows with what really comes.
fn read_some(path: &Path, reader: &mut impl Read, count: u64, into: &mut Vec<u8>) -> Result<()> {
    let found = reader.take(count).read_to_end(into).map_err(|e| Error::io(path, "read", &e))? as u64;
    if found < count {
        return Err(damaged(path, format!("truncated: {} bytes are missing", count - found)));
    }
    Ok(())
}

fn parse_header(path: &Path, json: &[u8]) -> Result<Header> {
    serde_json::from_slice(json)
        .map_err(|e| damaged(path, format!("the header is not valid: {}", shorten(&e.to_string()))))
}

/// A tensor whose claims were checked.
struct Entry {
    name: String,
    dtype: Dtype,
    dims: Vec<usize>,
    begin: u64,
    end: u64,
}

/// Checks all claims of a header that ends at byte `before` of `size`; the entries in file order.
fn check(raw: BTreeMap<String, RawEntry>, before: u64, size: u64) -> Result<Vec<Entry>, String> {
    let mut entries = raw.into_iter().map(|(name, raw)| check_entry(name, raw)).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|e| (e.begin, e.end));
    let mut end = 0;
    for (i, entry) in entries.iter().enumerate() {
        let name = shorten(&entry.name);
        if entry.begin < end {
            let other = shorten(&entries[i - 1].name);
            return Err(format!("tensors '{other}' and '{name}' overlap at byte {}", entry.begin));
        }
        if entry.begin > end {
            return Err(format!("{} unused bytes before tensor '{name}'", entry.begin - end));
        }
        end = entry.end;
        if end > size - before {
            let expect = end.saturating_add(before);
            return Err(format!("truncated: expected {expect} bytes to the end of tensor '{name}', found {size}"));
        }
    }
    if end < size - before {
        return Err(format!("expected {} bytes, found {size}", before + end));
    }
    Ok(entries)
}

fn check_entry(name: String, raw: RawEntry) -> Result<Entry, String> {
    let RawEntry { dtype, shape, data_offsets: [begin, end] } = raw;
    let short = shorten(&name).to_string();
    let Some(dtype) = Dtype::from_name(&dtype) else {
        let known: Vec<&str> = DTYPES.iter().map(|(name, _)| *name).collect();
        return Err(format!("tensor '{short}' has the dtype '{}'; known are {}", shorten(&dtype), known.join(", ")));
    };
    if shape.len() > MAX_RANK {
        return Err(format!("tensor '{short}' has {} axes, at most {MAX_RANK} are read", shape.len()));
    }
    let bytes = shape.iter().try_fold(dtype.size() as u64, |n, d| n.checked_mul(*d));
    if end < begin || bytes != Some(end - begin) {
        return Err(format!(
            "tensor '{short}' of shape {shape:?} and dtype {dtype} does not fill bytes {begin} to {end}"
        ));
    }
    let dims = shape.iter().map(|d| usize::try_from(*d)).collect::<Result<_, _>>();
    let dims = dims.map_err(|_| format!("tensor '{short}' of shape {shape:?} is too large for this machine"))?;
    Ok(Entry { name, dtype, dims, begin, end })
}

fn read_data(path: &Path, entry: &Entry, reader: &mut impl Read) -> Result<Vec<f32>> {
    let mut data = Vec::new();
    let count = (entry.end - entry.begin) as usize / entry.dtype.size();
    data.try_reserve_exact(count).map_err(|_| {
        let name = shorten(&entry.name);
        Error::format(path, format!("no memory for the {count} numbers of tensor '{name}'"))
    })?;
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut at = entry.begin;
    while at < entry.end {
        chunk.clear();
        read_some(path, reader, (entry.end - at).min(CHUNK as u64), &mut chunk)?;
        at += chunk.len() as u64;
        entry.dtype.append(&chunk, &mut data).map_err(|number| {
            let name = shorten(&entry.name);
            Error::format(path, format!("tensor '{name}': {} holds {number}, which no f32 is equal to", entry.dtype))
                .with_help("save it as F32")
        })?;
    }
    Ok(data)
}

fn damaged(path: &Path, message: impl fmt::Display) -> Error {
    Error::format(path, message).with_help("the file is damaged: copy it again, or use another copy")
}

fn foreign(path: &Path, start: &[u8]) -> Error {
    let looks = sniff::looks_like(start).unwrap_or("something else");
    Error::format(path, format!("not a safetensors file: it looks like {looks}"))
        .with_help("give a .safetensors file, or a striate model")
}

/// The first characters of a text out of a file, for a message.
pub(super) fn shorten(text: &str) -> &str {
    text.char_indices().nth(120).map_or(text, |(end, _)| &text[..end])
}

// ---- the header as JSON ----

struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, RawEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header { metadata: BTreeMap::new(), tensors: BTreeMap::new() };
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            let twice = if name == METADATA {
                header.metadata = map.next_value::<Strings>()?.0;
                std::mem::replace(&mut has_metadata, true)
            } else {
                let entry = map.next_value()?;
                header.tensors.insert(name.clone(), entry).is_some()
            };
            if twice {
                return Err(A::Error::custom(format!("the name '{}' is used twice", shorten(&name))));
            }
            if header.tensors.len() > MAX_TENSORS {
                return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            }
        }
        Ok(header)
    }
}

/// A JSON object of strings, no key twice.
struct Strings(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StringsVisitor)
    }
}

struct StringsVisitor;

impl<'de> Visitor<'de> for StringsVisitor {
    type Value = Strings;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a table of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strings, A::Error> {
        let mut strings = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if strings.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("the metadata key '{}' is used twice", shorten(&key))));
            }
        }
        Ok(Strings(strings))
    }
}

// ---- writing ----

/// The tensors in the order of their names, each checked.
pub(super) fn sorted<'a>(tensors: &[TensorRef<'a>]) -> Result<Vec<TensorRef<'a>>> {
    let mut sorted = tensors.to_vec();
    sorted.sort_by_key(|t| t.name);
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(Error::argument(format!("two tensors are named '{}'", shorten(pair[0].name))));
    }
    for TensorRef { name, dims, data } in &sorted {
        if *name == METADATA {
            return Err(Error::argument(format!("a tensor cannot be named {METADATA}")));
        }
        let elements = dims.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
        if elements != Some(data.len()) || dims.len() > MAX_RANK {
            let name = shorten(name);
            return Err(Error::shape(format!(
                "tensor '{name}': {} numbers do not fill the shape {dims:?}",
                data.len()
            ))
            .with_help(format!("a tensor in a file has at most {MAX_RANK} axes")));
        }
    }
    Ok(sorted)
}

/// The length and the padded JSON of a file with these tensors, which [`sorted`] gave.
pub(super) fn header<'a>(metadata: impl Iterator<Item = (&'a str, &'a str)>, sorted: &[TensorRef]) -> Result<Vec<u8>> {
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let strings: Vec<String> = metadata.map(|(k, v)| format!("{}:{}", quote(k), quote(v))).collect();
    let mut parts = Vec::with_capacity(sorted.len() + 1);
    if !strings.is_empty() {
        parts.push(format!("\"{METADATA}\":{{{}}}", strings.join(",")));
    }
    let mut begin = 0;
    for TensorRef { name, dims, data } in sorted {
        let end = begin + data.len() as u64 * 4;
        let dims = serde_json::Value::from(*dims);
        parts.push(format!("{}:{{\"dtype\":\"F32\",\"shape\":{dims},\"data_offsets\":[{begin},{end}]}}", quote(name)));
        begin = end;
    }
    let mut json = format!("{{{}}}", parts.join(",")).into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() as u64 > MAX_HEADER {
        return Err(Error::argument(format!("a header of {} bytes is too long, {MAX_HEADER} fit", json.len()))
            .with_help("shorten the texts that go with the weights"));
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    Ok(bytes)
}

/// The numbers of the tensors, back to back, little-endian.
pub(super) fn write_data(sorted: &[TensorRef], out: &mut dyn Write) -> io::Result<()> {
    sorted.iter().try_for_each(|t| write_f32(t.data, out))
}

/// The numbers as little-endian bytes, through a small buffer.
pub(super) fn write_f32(data: &[f32], out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    for chunk in data.chunks(buffer.len() / 4) {
        buffer.as_chunks_mut().0.iter_mut().zip(chunk).for_each(|(b, x)| *b = x.to_le_bytes());
        out.write_all(&buffer[..chunk.len() * 4])?;
    }
    Ok(())
}
