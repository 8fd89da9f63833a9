//! Zip archives: read in memory (stored and deflated entries, sizes bounded, CRCs checked), and written with stored
//! entries.
//!
//! The central directory at the end of the file is what counts; of an entry's own
//! header only the lengths of its name and extra field are used, since streaming
//! writers leave the sizes there empty. Not read, each with an error that says so:
//! encrypted entries, archives in several parts, and archives that need zip64. PyTorch writes zip64's end records where
//! nothing needs them; they are passed over.
//!
//! Memory: an entry is inflated into a buffer that grows with what really comes,
//! up to the size the directory gives; deflate cannot claim more than 1032 times
//! its input, entries cannot share their bytes, and all together have a limit.
//!
//! Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.4; RFC 1951 for deflate.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::safetensors::shorten;
use crate::error::{Error, Result};

const END: &[u8] = b"PK\x05\x06";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
const ZIP64_END: &[u8] = b"PK\x06\x06";
const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";
const END_LENGTH: usize = 22;
const LOCATOR_LENGTH: usize = 20;
const ZIP64_LENGTH: usize = 56 + LOCATOR_LENGTH;
const CENTRAL_LENGTH: usize = 46;
const LOCAL_LENGTH: usize = 30;
const MAX_TOTAL: u64 = 1 << 32;
const MAX_RATIO: u64 = 1032;

/// One file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, with `/` between folders.
    pub name: String,
    size: u64,
    compressed: u64,
    deflated: bool,
    crc: u32,
    local_at: usize,
}

impl Entry {
    /// The bytes of its content, as the directory says; [`Archive::read`] gives so many or an error.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// An archive in memory.
pub struct Archive<'p, 'a> {
    path: &'p Path,
    /// All that stands before the central directory.
    body: &'a [u8],
    entries: Vec<Entry>,
}

impl<'p, 'a> Archive<'p, 'a> {
    /// Reads and checks the directory of the archive `bytes`; `path` serves for messages.
    ///
    /// # Errors
    /// The bytes are no zip archive, the directory is damaged, or it needs what is not read.
    pub fn open(path: &'p Path, bytes: &'a [u8]) -> Result<Self> {
        let (directory, body, count) = find_directory(bytes).map_err(|what| damaged(path, &what))?;
        let entries = read_directory(directory, count).map_err(|what| damaged(path, &what))?;
        check_entries(&entries, body.len() as u64).map_err(|what| damaged(path, &what))?;
        Ok(Self { path, body, entries })
    }

    /// The entries, in the order of the directory.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The content of an entry, its CRC-32 checked; that of a stored entry is not copied.
    ///
    /// # Errors
    /// The entry is damaged.
    pub fn read(&self, entry: &Entry) -> Result<Cow<'a, [u8]>> {
        self.inflate(entry).map_err(|what| damaged(self.path, &format!("'{}': {what}", shorten(&entry.name))))
    }

    fn inflate(&self, entry: &Entry) -> Result<Cow<'a, [u8]>, String> {
        let stored = self.stored(entry).ok_or("its data is not where the directory says")?;
        let mut data = Cow::Borrowed(stored);
        if entry.deflated {
            let mut inflated = Vec::new();
            let read = DeflateDecoder::new(stored).take(entry.size + 1).read_to_end(&mut inflated);
            read.map_err(|e| format!("cannot inflate: {e}"))?;
            data = Cow::Owned(inflated);
        }
        if data.len() as u64 != entry.size {
            return Err(format!("expected {} bytes, found {} or more", entry.size, data.len()));
        }
        let mut crc = Crc::new();
        crc.update(&data);
        if crc.sum() != entry.crc {
            return Err(format!("the CRC-32 is {:08x}, expected {:08x}", crc.sum(), entry.crc));
        }
        Ok(data)
    }

    /// The bytes of an entry as they stand in the archive.
    fn stored(&self, entry: &Entry) -> Option<&'a [u8]> {
        let local = self.body.get(entry.local_at..)?;
        let name_length = usize::from(u16_at(local, 26)?);
        let data_at = LOCAL_LENGTH + name_length + usize::from(u16_at(local, 28)?);
        let name = local.get(LOCAL_LENGTH..LOCAL_LENGTH + name_length)?;
        if !local.starts_with(LOCAL) || name != entry.name.as_bytes() {
            return None;
        }
        local.get(data_at..)?.get(..usize::try_from(entry.compressed).ok()?)
    }
}

/// Writes an archive of stored entries; the same entries give the same bytes.
pub struct Writer<W> {
    out: W,
    at: u64,
    directory: Vec<u8>,
    count: u16,
}

impl<W: Write> Writer<W> {
    /// An archive that goes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, at: 0, directory: Vec::new(), count: 0 }
    }

    /// Adds a file.
    ///
    /// # Errors
    /// `out` cannot be written, or the archive would need zip64: over 4 GB, or 65534 entries.
    pub fn add(&mut self, name: &str, data: &[u8]) -> io::Result<()> {
        let too_large = || io::Error::other("a zip archive of over 4 GB or 65534 entries is not written");
        let field = |n: u64| u32::try_from(n).ok().filter(|n| *n != u32::MAX).ok_or_else(too_large);
        let (at, length) = (field(self.at)?, field(data.len() as u64)?);
        let name_length = u16::try_from(name.len()).map_err(|_| io::Error::other("a name of over 65535 bytes"))?;
        self.count = self.count.checked_add(1).filter(|n| *n != u16::MAX).ok_or_else(too_large)?;
        let mut crc = Crc::new();
        crc.update(data);
        // Version 2.0, names in UTF-8, stored, and the first day that the format knows.
        let mut common = vec![20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0];
        [crc.sum(), length, length].iter().for_each(|n| common.extend(n.to_le_bytes()));
        common.extend(name_length.to_le_bytes());
        let local = [LOCAL, &common, &[0; 2], name.as_bytes()].concat();
        self.directory.extend([CENTRAL, &[20, 0], &common, &[0; 12], &at.to_le_bytes(), name.as_bytes()].concat());
        self.out.write_all(&local)?;
        self.out.write_all(data)?;
        self.at += (local.len() + data.len()) as u64;
        Ok(())
    }

    /// Writes the directory; without it there is no archive.
    ///
    /// # Errors
    /// `out` cannot be written, or the archive would need zip64.
    pub fn finish(mut self) -> io::Result<W> {
        let too_large = |_| io::Error::other("a zip archive of over 4 GB is not written");
        let at = u32::try_from(self.at).map_err(too_large)?.to_le_bytes();
        let length = u32::try_from(self.directory.len()).map_err(too_large)?.to_le_bytes();
        let count = self.count.to_le_bytes();
        self.out.write_all(&[&self.directory, END, &[0; 4], &count, &count, &length, &at, &[0; 2]].concat())?;
        Ok(self.out)
    }
}

/// The central directory, what stands before it, and the number of entries.
fn find_directory(bytes: &[u8]) -> Result<(&[u8], &[u8], u16), String> {
    let end_at = find_end(bytes).ok_or("truncated, or not a zip archive: it has no end record")?;
    let end = &bytes[end_at..];
    let field = |at| u16_at(end, at).unwrap_or_default();
    let count = field(10);
    let (length, at) = (u32_at(end, 12).unwrap_or_default(), u32_at(end, 16).unwrap_or_default());
    if count == u16::MAX || length == u32::MAX || at == u32::MAX {
        return Err("a zip64 archive (over 4 GB or 65534 entries) is not read".into());
    }
    if field(4) != 0 || field(6) != 0 || field(8) != count {
        return Err("an archive in several parts is not read".into());
    }
    let (at, length) = (at as usize, length as usize);
    let directory_end = without_zip64(&bytes[..end_at]);
    match bytes[..directory_end].get(at..) {
        Some(directory) if directory.len() == length => Ok((directory, &bytes[..at], count)),
        _ => Err(format!("the directory ({length} bytes at {at}) is not where it should be")),
    }
}

/// Where the central directory ends: before zip64's end record and locator, if they are there.
fn without_zip64(before_end: &[u8]) -> usize {
    let records = || {
        let at = before_end.len().checked_sub(ZIP64_LENGTH)?;
        let records = &before_end[at..];
        (records.starts_with(ZIP64_END) && records[ZIP64_LENGTH - LOCATOR_LENGTH..].starts_with(ZIP64_LOCATOR))
            .then_some(at)
    };
    records().unwrap_or(before_end.len())
}

/// The last end record whose comment fills the rest of the file.
fn find_end(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LENGTH)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    (first..=last).rev().find(|at| {
        let end = &bytes[*at..];
        end.starts_with(END) && u16_at(end, 20).is_some_and(|n| usize::from(n) == end.len() - END_LENGTH)
    })
}

fn read_directory(mut directory: &[u8], count: u16) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for i in 0..count {
        let (entry, length) = read_entry(directory).ok_or_else(|| format!("entry {i} of the directory is damaged"))?;
        directory = &directory[length..];
        entries.push(entry?);
    }
    match directory {
        [] => Ok(entries),
        rest => Err(format!("{} bytes too many in the directory", rest.len())),
    }
}

/// The first entry and its length in the directory; `None` if it is cut off.
fn read_entry(directory: &[u8]) -> Option<(Result<Entry, String>, usize)> {
    let name_end = CENTRAL_LENGTH + usize::from(u16_at(directory, 28)?);
    let end = name_end + usize::from(u16_at(directory, 30)?) + usize::from(u16_at(directory, 32)?);
    if !directory.starts_with(CENTRAL) || directory.len() < end {
        return None;
    }
    let name = std::str::from_utf8(&directory[CENTRAL_LENGTH..name_end]).ok()?.to_string();
    let (flags, method) = (u16_at(directory, 8)?, u16_at(directory, 10)?);
    let refused = match method {
        _ if flags & 1 != 0 => Some("is encrypted".to_string()),
        0 | 8 => None,
        other => Some(format!("uses compression method {other}; only stored and deflated are read")),
    };
    if let Some(why) = refused {
        return Some((Err(format!("'{}' {why}", shorten(&name))), end));
    }
    let entry = Entry {
        name,
        size: u32_at(directory, 24)?.into(),
        compressed: u32_at(directory, 20)?.into(),
        deflated: method == 8,
        crc: u32_at(directory, 16)?,
        local_at: u32_at(directory, 42)? as usize,
    };
    Some((Ok(entry), end))
}

/// Refuses claims that the `body` bytes before the directory cannot back.
fn check_entries(entries: &[Entry], body: u64) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = shorten(&entry.name);
        let most = if entry.deflated { entry.compressed.saturating_mul(MAX_RATIO) } else { entry.compressed };
        if entry.size > most {
            return Err(format!("'{name}' claims {} bytes out of {}", entry.size, entry.compressed));
        }
        if !names.insert(&entry.name) {
            return Err(format!("the name '{name}' is used twice"));
        }
    }
    let compressed: u64 = entries.iter().map(|e| e.compressed).sum();
    let total: u64 = entries.iter().map(|e| e.size).sum();
    if compressed > body || total > MAX_TOTAL {
        return Err(format!("its entries claim {total} bytes out of {compressed}, but only {body} are there"));
    }
    Ok(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::format(path, what).with_help("copy the archive again, or save it anew without encryption and zip64")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use std::io::Write;

    /// A zip archive of these files, as `np.savez` (stored) or `np.savez_compressed` lays it out.
    fn make(files: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
        let (mut body, mut directory) = (Vec::new(), Vec::new());
        for (name, data) in files {
            let packed = if deflate { squeeze(data) } else { data.to_vec() };
            let mut crc = Crc::new();
            crc.update(data);
            let mut common = vec![20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0x21, 0];
            for n in [crc.sum(), packed.len() as u32, data.len() as u32, name.len() as u32] {
                common.extend(n.to_le_bytes());
            }
            directory.extend(
                [CENTRAL, &[20, 0], &common, &[0; 10], &(body.len() as u32).to_le_bytes(), name.as_bytes()].concat(),
            );
            body.extend([LOCAL, &common, name.as_bytes(), &packed].concat());
        }
        let (count, at) = ((files.len() as u16).to_le_bytes(), (body.len() as u32).to_le_bytes());
        let length = (directory.len() as u32).to_le_bytes();
        [&body, &directory, END, &[0; 4], &count, &count, &length, &at, &[0; 2]].concat()
    }

    fn squeeze(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let archive = Archive::open(Path::new("a.zip"), bytes)?;
        archive.entries().iter().map(|e| archive.read(e).map(Cow::into_owned)).collect()
    }

    #[test]
    fn what_is_written_is_read_and_the_same_bytes_twice() {
        let write = || {
            let mut writer = Writer::new(Vec::new());
            writer.add("a", b"hello").unwrap();
            writer.add("b/\u{e9}", &[7; 1000]).unwrap();
            writer.finish().unwrap()
        };
        assert_eq!(read_all(&write()).unwrap(), [b"hello".to_vec(), vec![7; 1000]]);
        assert_eq!(write(), write());
        let (bytes, empty) = (write(), Writer::new(Vec::new()).finish().unwrap());
        let archive = Archive::open(Path::new("a.zip"), &bytes).unwrap();
        assert_eq!(archive.entries()[1].name, "b/\u{e9}");
        assert_eq!(read_all(&empty).unwrap(), Vec::<Vec<u8>>::new());
    }

    /// PyTorch's writer adds the records of zip64 to every archive.
    #[test]
    fn end_records_of_zip64_are_passed_over() {
        let mut zip = make(&[("a", b"hello")], false);
        let end = zip.split_off(zip.len() - END_LENGTH);
        let records = [ZIP64_END, &[0; 52], ZIP64_LOCATOR, &[0; 16]].concat();
        assert_eq!(read_all(&[zip.clone(), records.clone(), end.clone()].concat()).unwrap(), [b"hello"]);
        let other = [zip, records[1..].to_vec(), end].concat();
        assert!(error_of(&other).contains("not where it should be"));
    }

    #[test]
    fn stored_and_deflated_entries_come_back() {
        let zeros = vec![0; 100_000];
        for deflate in [false, true] {
            let zip = make(&[("a", b"hello"), ("b/c", &zeros), ("empty", b"")], deflate);
            assert_eq!(read_all(&zip).unwrap(), [b"hello".to_vec(), zeros.clone(), vec![]]);
        }
    }

    fn error_of(bytes: &[u8]) -> String {
        read_all(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_read_is_named() {
        let zip = make(&[("a", b"hello")], false);
        let directory = 30 + 1 + 5;
        let with = |at: usize, value: u8| {
            let mut zip = zip.clone();
            zip[at] = value;
            error_of(&zip)
        };
        assert!(with(directory + 8, 1).contains("encrypted"));
        assert!(with(directory + 10, 93).contains("method 93"));
        assert!(with(directory + 27, 255).contains("claims"));
        assert!(with(31, b'j').contains("CRC-32"));
        assert!(with(30, b'b').contains("'a': its data is not where"));
        assert!(error_of(b"hello").contains("not a zip archive"));
        assert!(error_of(&make(&[("a", b"1"), ("a", b"2")], false)).contains("used twice"));
    }

    /// Two names for the same bytes would multiply what a small file inflates to.
    #[test]
    fn entries_cannot_share_their_bytes() {
        let file = [7; 100];
        let mut zip = make(&[("a", &file), ("b", &file)], false);
        let local = LOCAL_LENGTH + 1 + file.len();
        zip.drain(local..2 * local);
        let end = zip.len() - END_LENGTH;
        zip[end + 16..end + 20].copy_from_slice(&(local as u32).to_le_bytes());
        assert!(error_of(&zip).contains("claim 200 bytes out of 200, but only 131 are there"), "{}", error_of(&zip));
    }
}
