//! NumPy's `.npy` and `.npz`, read and written.
//!
//! ```text
//! \x93NUMPY  major minor  length of the header  {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  numbers
//! ```
//!
//! Versions 1 to 3 of the header; the types `<f4 <f8 <i4 <i8 |u1`, in C order.
//! Others are refused with the line of Python that converts them. An `.npz` is a
//! zip archive of `.npy` files, stored (`np.savez`) or deflated (`np.savez_compressed`); it is written stored.
//!
//! Source: NumPy Enhancement Proposal 1, and `numpy.lib.format`.

use std::io::Read;
use std::path::Path;

use super::dtype::exact;
use super::safetensors::{self, MAX_RANK, shorten};
use super::zip::{Archive, Writer};
use super::{atomic, sniff};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

const MAGIC: &[u8] = b"\x93NUMPY";
const ALIGN: usize = 64;
const MAX_HEADER: usize = 1 << 16;

/// An array of a `.npy` file: the sizes of its axes and its numbers, the last axis contiguous.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    dims: Vec<usize>,
    numbers: Numbers,
}

/// The numbers of an [`Array`], as the file stores them.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// `<f4`, NumPy's float32.
    F32(Vec<f32>),
    /// `<f8`, NumPy's float64.
    F64(Vec<f64>),
    /// `<i4`, NumPy's int32.
    I32(Vec<i32>),
    /// `<i8`, NumPy's int64.
    I64(Vec<i64>),
    /// `|u1`, NumPy's uint8.
    U8(Vec<u8>),
}

impl Array {
    /// An array with these axes and numbers.
    ///
    /// # Errors
    /// The number of elements does not agree, or there are more than eight axes.
    pub fn new(dims: &[usize], numbers: Numbers) -> Result<Self> {
        let elements = dims.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
        if elements != Some(numbers.len()) || dims.len() > MAX_RANK {
            return Err(Error::shape(format!("{} numbers do not fill an array of shape {dims:?}", numbers.len())));
        }
        Ok(Self { dims: dims.to_vec(), numbers })
    }

    /// The sizes of the axes; none for a single number.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The numbers.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// The array as f32: float64 is rounded to nearest, integers must fit exactly.
    ///
    /// # Errors
    /// An integer that no f32 is equal to.
    pub fn into_tensor(self) -> Result<Tensor> {
        let data = self.numbers.into_f32().map_err(|n| {
            Error::new(crate::ErrorKind::Format, format!("no f32 is equal to the integer {n}"))
                .with_help("convert in Python: array.astype('float32')")
        })?;
        Tensor::new(&self.dims, data)
    }

    /// Reads the file `path`.
    ///
    /// # Errors
    /// The file is missing, damaged, or of a type or order that is not read.
    pub fn read(path: &Path) -> Result<Self> {
        Self::from_bytes(path, &read_file(path)?)
    }

    /// Reads an array out of the content of a file; `path` serves for messages.
    ///
    /// # Errors
    /// As [`Array::read`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let (header, data) = split(path, bytes)?;
        let header = Header::parse(path, header)?;
        let elements = header.dims.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
        let expect = elements.and_then(|n| n.checked_mul(header.descr.size()));
        if expect != Some(data.len()) || header.dims.len() > MAX_RANK {
            let (dims, descr, found) = (&header.dims, header.descr.name(), data.len());
            let expect = expect.map_or("too many".into(), |n| n.to_string());
            let what =
                format!("shape {dims:?} of '{descr}' takes {expect} bytes (at most {MAX_RANK} axes), found {found}");
            return Err(Error::format(path, what).with_help("the file is damaged: copy or save it again"));
        }
        Ok(Self { numbers: header.descr.decode(data), dims: header.dims })
    }

    /// Writes the file `path` whole or not at all.
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("striate-doc-npy-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("a.npy");
    /// use striate::format::npy::{Array, Numbers};
    /// let array = Array::new(&[2, 2], Numbers::I64(vec![1, 2, 3, 4]))?;
    /// array.write(&path)?;
    /// assert_eq!(Array::read(&path)?, array);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic::write(path, |out| out.write_all(&self.to_bytes()))
    }

    /// The content of a `.npy` file, version 1, the numbers aligned to 64 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let list: String = self.dims.iter().map(|d| format!("{d}, ")).collect();
        let shape = if self.dims.len() == 1 { list.trim_end() } else { list.trim_end_matches(", ") };
        let descr = self.numbers.descr().name();
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
        let before = MAGIC.len() + 4;
        let padded = (before + header.len() + 1).next_multiple_of(ALIGN) - before;
        header.extend(std::iter::repeat_n(' ', padded - 1 - header.len()));
        header.push('\n');
        let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
        self.numbers.encode(&mut bytes);
        bytes
    }
}

impl From<Tensor> for Array {
    fn from(tensor: Tensor) -> Self {
        Self { dims: tensor.dims().to_vec(), numbers: Numbers::F32(tensor.into_data()) }
    }
}

/// The arrays of the `.npz` file `path` by name, without `.npy`, in the order of the file.
///
/// # Errors
/// The file is missing or damaged, or one of its arrays cannot be read.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Array)>> {
    npz_from_bytes(path, &read_file(path)?)
}

/// The arrays of the content of an `.npz` file; `path` serves for messages.
///
/// # Errors
/// As [`read_npz`].
pub fn npz_from_bytes(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Array)>> {
    if !bytes.starts_with(b"PK") {
        return Err(foreign(path, bytes, "an .npz archive"));
    }
    let archive = Archive::open(path, bytes)?;
    let read = |entry| {
        let content = archive.read(entry)?;
        let name = entry.name.strip_suffix(".npy").unwrap_or(&entry.name);
        Ok((name.to_string(), Array::from_bytes(&path.join(&entry.name), &content)?))
    };
    archive.entries().iter().map(read).collect()
}

/// Writes the `.npz` file `path` whole or not at all; each array is asked for when its turn comes.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("striate-doc-npz-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("a.npz");
/// use striate::{Tensor, format::npy::{self, Array}};
/// npy::write_npz(&path, [Ok(("x".to_string(), Array::from(Tensor::zeros(&[2, 3]))))])?;
/// assert_eq!(npy::read_npz(&path)?[0].1.dims(), [2, 3]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// An array is an error itself, or the file cannot be written.
pub fn write_npz(path: &Path, arrays: impl IntoIterator<Item = Result<(String, Array)>>) -> Result<()> {
    let mut failed = None;
    let written = atomic::write(path, |out| {
        let mut writer = Writer::new(out);
        for array in arrays {
            let (name, array) = array.map_err(|e| {
                failed = Some(e);
                std::io::Error::other("an array cannot be made")
            })?;
            writer.add(&format!("{name}.npy"), &array.to_bytes())?;
        }
        writer.finish().map(|_| ())
    });
    failed.map_or(written, Err)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let (file, size) = safetensors::open(path)?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes).map_err(|e| Error::io(path, "read", &e))?;
    Ok(bytes)
}

fn foreign(path: &Path, bytes: &[u8], wanted: &str) -> Error {
    let found = match sniff::looks_like(&bytes[..bytes.len().min(16)]) {
        _ if bytes.is_empty() => "the file is empty".to_string(),
        Some(what) => format!("it looks like {what}"),
        None => "it is truncated or something else".to_string(),
    };
    Error::format(path, format!("not {wanted}: {found}")).with_help("give a file made by np.save or np.savez")
}

impl Numbers {
    /// How many numbers there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U8(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn descr(&self) -> Descr {
        match self {
            Self::F32(_) => Descr::F4,
            Self::F64(_) => Descr::F8,
            Self::I32(_) => Descr::I4,
            Self::I64(_) => Descr::I8,
            Self::U8(_) => Descr::U1,
        }
    }

    fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::F32(v) => v.iter().for_each(|x| to.extend(x.to_le_bytes())),
            Self::F64(v) => v.iter().for_each(|x| to.extend(x.to_le_bytes())),
            Self::I32(v) => v.iter().for_each(|x| to.extend(x.to_le_bytes())),
            Self::I64(v) => v.iter().for_each(|x| to.extend(x.to_le_bytes())),
            Self::U8(v) => to.extend(v),
        }
    }

    fn into_f32(self) -> Result<Vec<f32>, i128> {
        let mut data = Vec::new();
        match self {
            Self::F32(v) => data = v,
            Self::F64(v) => data.extend(v.iter().map(|x| *x as f32)),
            Self::I32(v) => exact(v.into_iter().map(i128::from), &mut data)?,
            Self::I64(v) => exact(v.into_iter().map(i128::from), &mut data)?,
            Self::U8(v) => data.extend(v.into_iter().map(f32::from)),
        }
        Ok(data)
    }
}

/// The types that are read, by their `descr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Descr {
    F4,
    F8,
    I4,
    I8,
    U1,
}

const DESCRS: [(&str, Descr); 5] =
    [("<f4", Descr::F4), ("<f8", Descr::F8), ("<i4", Descr::I4), ("<i8", Descr::I8), ("|u1", Descr::U1)];

impl Descr {
    fn name(self) -> &'static str {
        DESCRS.iter().find(|(_, descr)| *descr == self).map_or("", |(name, _)| name)
    }

    fn size(self) -> usize {
        match self {
            Self::F4 | Self::I4 => 4,
            Self::F8 | Self::I8 => 8,
            Self::U1 => 1,
        }
    }

    fn decode(self, bytes: &[u8]) -> Numbers {
        match self {
            Self::F4 => Numbers::F32(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            Self::F8 => Numbers::F64(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            Self::I4 => Numbers::I32(bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()),
            Self::I8 => Numbers::I64(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
            Self::U1 => Numbers::U8(bytes.to_vec()),
        }
    }
}

/// The header's text and the bytes of the numbers.
fn split<'a>(path: &Path, bytes: &'a [u8]) -> Result<(&'a str, &'a [u8])> {
    let truncated = || Error::format(path, format!("truncated: {} bytes are too few for the header", bytes.len()));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| foreign(path, bytes, "an .npy file"))?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [1..=3, ..] | [] => return Err(truncated()),
        [major, ..] => return Err(Error::format(path, format!("version {major} of .npy is not read, 1 to 3 are"))),
    };
    if length > MAX_HEADER {
        return Err(Error::format(path, format!("a header of {length} bytes, {MAX_HEADER} are read")));
    }
    let (header, data) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let header = std::str::from_utf8(header).map_err(|_| Error::format(path, "the header is not text"))?;
    Ok((header, data))
}

struct Header {
    descr: Descr,
    dims: Vec<usize>,
}

impl Header {
    fn parse(path: &Path, text: &str) -> Result<Self> {
        let mut scan = Scan(text);
        let raw = scan.dict().ok_or_else(|| {
            let near = shorten(scan.0.trim());
            Error::format(path, format!("the header is not valid at '{near}'"))
                .with_help("save the array anew with np.save; structured and object arrays are not read")
        })?;
        let Some((_, descr)) = DESCRS.iter().find(|(name, _)| *name == raw.descr) else {
            let known: Vec<&str> = DESCRS.iter().map(|(name, _)| *name).collect();
            let what = format!("the type '{}' is not read; {} are", shorten(raw.descr), known.join(", "));
            return Err(Error::format(path, what).with_help("convert in Python: array.astype('<f4')"));
        };
        if raw.fortran && raw.dims.len() > 1 {
            return Err(Error::format(path, "the array is in Fortran order")
                .with_help("convert in Python: np.ascontiguousarray(array)"));
        }
        Ok(Self { descr: *descr, dims: raw.dims })
    }
}

struct RawHeader<'a> {
    descr: &'a str,
    fortran: bool,
    dims: Vec<usize>,
}

/// A scanner for the Python literal in the header; `None` means: not valid at what is left.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn dict(&mut self) -> Option<RawHeader<'a>> {
        let (mut descr, mut fortran, mut dims) = (None, None, None);
        self.token("{")?;
        while self.token("}").is_none() {
            let key = self.quoted()?;
            self.token(":")?;
            let new = match key {
                "descr" => descr.replace(self.quoted()?).is_none(),
                "fortran_order" => fortran.replace(self.boolean()?).is_none(),
                "shape" => dims.replace(self.tuple()?).is_none(),
                _ => false,
            };
            if !new || (self.token(",").is_none() && !self.0.starts_with('}')) {
                return None;
            }
        }
        let done = self.0.trim().is_empty();
        done.then_some(RawHeader { descr: descr?, fortran: fortran?, dims: dims? })
    }

    /// Takes `token` and the spaces after it.
    fn token(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(token)?.trim_start();
        Some(())
    }

    fn quoted(&mut self) -> Option<&'a str> {
        let quote = self.0.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (text, rest) = self.0[1..].split_once(quote)?;
        self.0 = rest.trim_start();
        Some(text)
    }

    fn boolean(&mut self) -> Option<bool> {
        self.token("True").map(|()| true).or_else(|| self.token("False").map(|()| false))
    }

    fn tuple(&mut self) -> Option<Vec<usize>> {
        let mut numbers = Vec::new();
        self.token("(")?;
        while self.token(")").is_none() {
            let end = self.0.find(|c: char| !c.is_ascii_digit())?;
            numbers.push(self.0[..end].parse().ok()?);
            // Python 2 wrote long integers as 3L.
            self.0 = self.0[end..].trim_start_matches('L').trim_start();
            if self.token(",").is_none() && !self.0.starts_with(')') {
                return None;
            }
        }
        Some(numbers)
    }
}
