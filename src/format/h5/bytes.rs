//! Bytes read one number after the other, and the budget that all reading is paid from.

use std::cell::Cell;

use crate::error::{Error, ErrorKind, Result};

/// What the file has where an address is not set.
pub const UNDEFINED: u64 = u64::MAX;

/// Steps and bytes that may still be spent on a file: 64 times its length, and 16 MiB.
#[derive(Debug)]
pub struct Budget(Cell<u64>);

impl Budget {
    /// The budget of a file with so many bytes.
    pub fn new(length: usize) -> Self {
        Self(Cell::new((length as u64).saturating_mul(64).saturating_add(1 << 24)))
    }

    /// Pays.
    ///
    /// # Errors
    /// Not so much is left: the file claims more than it can hold.
    pub fn pay(&self, cost: u64) -> Result<()> {
        let left = self.0.get().checked_sub(cost);
        self.0.set(left.ok_or_else(|| damaged("it claims far more than its bytes can hold"))?);
        Ok(())
    }
}

/// A place in bytes, moved on by what is read.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// At the start of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// At an address in a file.
    ///
    /// # Errors
    /// The address is outside.
    pub fn at(file: &'a [u8], address: u64) -> Result<Self> {
        let at = usize::try_from(address).ok().and_then(|at| file.get(at..));
        at.map(Self).ok_or_else(|| damaged(format!("it points to the byte {address}, and has {}", file.len())))
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count).ok_or_else(|| damaged("a part of it is cut off"))?;
        self.0 = tail;
        Ok(head)
    }

    /// Whether the next bytes are these; they are passed.
    ///
    /// # Errors
    /// They are others.
    pub fn expect(&mut self, signature: &[u8]) -> Result<()> {
        if self.take(signature.len())? == signature {
            return Ok(());
        }
        Err(damaged(format!("'{}' is not where it should be", signature.escape_ascii())))
    }

    /// All bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        self.uint(2).map(|n| n as u16)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        self.uint(4).map(|n| n as u32)
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Result<u64> {
        self.uint(8)
    }

    /// A number of `width` bytes, the lowest first.
    pub fn uint(&mut self, width: usize) -> Result<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }
}

/// An error in the file's structure.
pub fn damaged(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, format!("the HDF5 file is damaged: {}", what.into()))
        .with_help("copy the file again, or save it anew")
}

/// What is in the file, but not read.
pub fn unread(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, format!("the HDF5 file has {}, which is not read", what.into()))
        .with_help("in Python: save the model again with Keras; with h5py, do not ask for libver=\"latest\"")
}
