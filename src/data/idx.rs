//! IDX files, the format of MNIST, Fashion-MNIST and their kin; plain or gzip-compressed, told by content.
//!
//! A file is a magic number `00 00 type rank`, `rank` sizes as big-endian u32,
//! and the data in row-major order. Images are `[n, h, w]` bytes (magic
//! `0x00000803`), labels `[n]` bytes (`0x00000801`).
//!
//! A header is never believed: no more memory is asked for than the bytes at
//! hand can fill, and the data must be exactly as long as the header says.
//!
//! Source: Y. LeCun, "The MNIST database", section on file formats.

use std::io::Read;
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::error::{Error, ErrorKind, Result};

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
const GZIP: [u8; 2] = [0x1F, 0x8B];
// Deflate codes at most 258 bytes in 2 bits, so no stream grows more than this (RFC 1951).
const DEFLATE_MAX: u64 = 1032;
// No known set comes near; it keeps a hostile header from asking for all memory.
const BYTES_MAX: u64 = 1 << 32;

/// The images of an IDX file: grey bytes `[n, h, w]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxImages {
    /// Images.
    pub n: usize,
    /// Rows of an image.
    pub h: usize,
    /// Columns of an image.
    pub w: usize,
    /// The pixels, `n * h * w` bytes.
    pub pixels: Vec<u8>,
}

/// The images of a file, plain or gzip-compressed.
///
/// # Errors
/// The file is missing or unreadable, or its content is wrong as [`images`] says.
pub fn read_images(path: &Path) -> Result<IdxImages> {
    images(&read(path)?).map_err(|e| e.within(path.display()))
}

/// The labels of a file, plain or gzip-compressed.
///
/// # Errors
/// The file is missing or unreadable, or its content is wrong as [`labels`] says.
pub fn read_labels(path: &Path) -> Result<Vec<u8>> {
    labels(&read(path)?).map_err(|e| e.within(path.display()))
}

/// The images in the bytes of a file, plain or gzip-compressed.
///
/// ```
/// let file = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 7, 9];
/// let images = striate::data::idx::images(&file)?;
/// assert_eq!((images.n, images.h, images.w, images.pixels), (1, 1, 2, vec![7, 9]));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The bytes are empty, cut off, of another kind, damaged, or more than the header says.
pub fn images(file: &[u8]) -> Result<IdxImages> {
    let (dims, pixels) = parse(file, IMAGES)?;
    let [n, h, w] = [dims[0], dims[1], dims[2]];
    if n > 0 && (h == 0 || w == 0) {
        return Err(wrong(format!("its images are {h}x{w} pixels")));
    }
    Ok(IdxImages { n, h, w, pixels })
}

/// The labels in the bytes of a file, plain or gzip-compressed.
///
/// # Errors
/// The bytes are empty, cut off, of another kind, damaged, or more than the header says.
pub fn labels(file: &[u8]) -> Result<Vec<u8>> {
    parse(file, LABELS).map(|(_, labels)| labels)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(path, "read", &e))
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

fn parse(file: &[u8], magic: u32) -> Result<(Vec<usize>, Vec<u8>)> {
    if file.is_empty() {
        return Err(wrong("the file is empty").with_help("it may be an interrupted download; get it again"));
    }
    if !file.starts_with(&GZIP) {
        return content(&mut &file[..], magic, file.len() as u64);
    }
    let mut stream = GzDecoder::new(file);
    let parsed = content(&mut stream, magic, (file.len() as u64).saturating_mul(DEFLATE_MAX))?;
    match stream.into_inner().len() {
        0 => Ok(parsed),
        rest => Err(wrong(format!("{rest} bytes follow the end of its gzip stream"))),
    }
}

// Reads header and data from `stream`, which can yield no more than `limit` bytes.
fn content(stream: &mut impl Read, magic: u32, limit: u64) -> Result<(Vec<usize>, Vec<u8>)> {
    check_magic(word(stream, 0)?, magic)?;
    let rank = (magic & 0xFF) as usize;
    let dims: Vec<usize> = (1..=rank).map(|i| Ok(word(stream, i)? as usize)).collect::<Result<_>>()?;
    let header = 4 * (rank as u64 + 1);
    let expect = expected(&dims, header, limit)?;
    // One byte more than needed, so that the last read sees the end without growing the buffer.
    let mut data = Vec::with_capacity(expect as usize + 1);
    let ended_early = match stream.by_ref().take(expect + 1).read_to_end(&mut data) {
        Ok(_) => false,
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => true,
        Err(e) => return Err(damaged(&e)),
    };
    let found = data.len() as u64;
    if found > expect {
        return Err(wrong(format!("more data follows the {expect} bytes that its header {dims:?} announces"))
            .with_help("header and data do not belong together; get the file again"));
    }
    if found < expect || ended_early {
        return Err(cut_off(&dims, header + expect, header + found));
    }
    Ok((dims, data))
}

fn word(stream: &mut impl Read, index: usize) -> Result<u32> {
    let mut bytes = [0; 4];
    let mut have = 0;
    while have < 4 {
        match stream.read(&mut bytes[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(damaged(&e)),
        }
    }
    if have < 4 {
        let found = 4 * index + have;
        return Err(wrong(format!("the file is cut off inside its header: {found} bytes found"))
            .with_help("it may be an interrupted download; get it again"));
    }
    Ok(u32::from_be_bytes(bytes))
}

fn check_magic(found: u32, expect: u32) -> Result<()> {
    if found == expect {
        return Ok(());
    }
    let name = |magic| if magic == IMAGES { "images" } else { "labels" };
    let help = match found {
        IMAGES | LABELS => format!("this is a file of {}; were the two exchanged?", name(found)),
        _ => "this is not an IDX file of bytes".to_string(),
    };
    Err(wrong(format!("magic number 0x{found:08x} found, 0x{expect:08x} ({}) expected", name(expect))).with_help(help))
}

fn expected(dims: &[usize], header: u64, limit: u64) -> Result<u64> {
    let product = dims.iter().try_fold(1_u64, |n, d| n.checked_mul(*d as u64)).filter(|n| *n <= BYTES_MAX);
    let expect = product.ok_or_else(|| {
        wrong(format!("its header announces {dims:?} bytes, more than the {BYTES_MAX} that striate reads"))
    })?;
    if header + expect > limit {
        return Err(cut_off(dims, header + expect, limit));
    }
    Ok(expect)
}

fn cut_off(dims: &[usize], expect: u64, found: u64) -> Error {
    wrong(format!("the file is cut off: {expect} bytes expected for {dims:?}, at most {found} found"))
        .with_help("it may be an interrupted download; get it again")
}

fn damaged(cause: &std::io::Error) -> Error {
    wrong(format!("its gzip stream is damaged: {cause}")).with_help("get the file again")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    pub(crate) fn file(dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|d| out.extend(d.to_be_bytes()));
        out.extend(data);
        out
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn message(file: &[u8]) -> String {
        images(file).unwrap_err().to_string()
    }

    #[test]
    fn plain_and_gzip_give_the_same() {
        let plain = file(&[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let read = images(&plain).unwrap();
        assert_eq!((read.n, read.h, read.w, read.pixels.len()), (2, 2, 3, 12));
        assert_eq!(images(&gzip(&plain)).unwrap(), read);
        assert_eq!(labels(&file(&[3], &[0, 1, 9])).unwrap(), [0, 1, 9]);
    }

    #[test]
    fn truncation_says_what_was_expected_and_found() {
        let whole = file(&[2, 2, 2], &[7; 8]);
        assert!(message(&whole[..20]).contains("24 bytes expected for [2, 2, 2], at most 20 found"));
        assert!(message(&whole[..10]).contains("inside its header: 10 bytes"));
        assert!(message(&[]).contains("empty"));
        assert!(message(&gzip(&whole[..20])).contains("24 bytes expected for [2, 2, 2], at most 20 found"));
        let packed = gzip(&whole);
        for cut in 2..packed.len() {
            assert!(message(&packed[..cut]).contains("cut off"), "{cut}: {}", message(&packed[..cut]));
        }
    }

    #[test]
    fn wrong_magic_names_found_and_expected() {
        let e = images(&file(&[3], &[0, 1, 2])).unwrap_err();
        assert!(e.message().contains("0x00000801 found, 0x00000803 (images) expected"), "{e}");
        assert!(e.help().unwrap().contains("exchanged"));
        assert!(message(b"<!DOCTYPE html>").contains("0x3c21444f"));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let long = file(&[1, 1, 1], &[1, 2]);
        assert!(message(&long).contains("more data follows the 1 bytes"));
        assert!(message(&gzip(&long)).contains("more data follows the 1 bytes"));
        let mut packed = gzip(&file(&[1, 1, 1], &[1]));
        packed.extend([0; 5]);
        assert!(message(&packed).contains("5 bytes follow"));
    }

    #[test]
    fn a_hostile_header_asks_for_no_memory() {
        for dims in [[u32::MAX; 3], [60_000, 256, 256], [1 << 16, 1 << 8, 1 << 7]] {
            let hostile = file(&dims, &[0; 100]);
            assert!(images(&hostile).is_err());
            assert!(images(&gzip(&hostile)).is_err());
        }
        assert!(message(&file(&[1, 0, 28], &[])).contains("0x28 pixels"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let path = std::env::temp_dir().join("striate-no-such-folder").join("none-idx3-ubyte");
        let e = read_images(&path).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io);
        assert!(e.message().contains("none-idx3-ubyte"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = images(&bytes);
            let _ = labels(&bytes);
            let _ = images(&[&GZIP[..], &bytes].concat());
            let _ = images(&[&[0, 0, 8, 3][..], &bytes].concat());
        }

        #[test]
        fn a_damaged_file_never_panics(at in 0_usize..60, flip in 1_u8..=255, cut in 0_usize..60, pack: bool) {
            let plain = file(&[2, 3, 4], &[9; 24]);
            let mut bytes = if pack { gzip(&plain) } else { plain.clone() };
            let (at, cut) = (at % bytes.len(), cut % bytes.len());
            prop_assert!(images(&bytes[..cut]).is_err());
            bytes[at] ^= flip;
            if let Ok(read) = images(&bytes) {
                prop_assert_eq!(read.pixels.len(), read.n * read.h * read.w);
            }
        }
    }
}
