//! Datatypes and dataspaces: how numbers and texts are stored, and how many of them.

use super::bytes::{Cursor, damaged, unread};
use crate::error::Result;
use crate::format::dtype::Dtype;

// The exponent's place and length, the fraction's length, and the bias of IEEE numbers of 2, 4 and 8 bytes.
const IEEE: [(usize, Dtype, [u64; 6]); 3] = [
    (2, Dtype::F16, [10, 5, 0, 10, 15, 16]),
    (4, Dtype::F32, [23, 8, 0, 23, 127, 32]),
    (8, Dtype::F64, [52, 11, 0, 52, 1023, 64]),
];

/// How an element is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// An IEEE number; `big` has its highest byte first.
    Float {
        /// Which one.
        dtype: Dtype,
        /// Whether the highest byte comes first.
        big: bool,
    },
    /// A text in so many bytes.
    Text(usize),
    /// A text of any length, in the global heap.
    LongText,
    /// Anything else, by its class in the specification and its size.
    Other(u8, usize),
}

impl Type {
    /// The type of a datatype message.
    ///
    /// # Errors
    /// The message is cut off.
    pub fn of(body: &[u8]) -> Result<Self> {
        let mut at = Cursor::new(body);
        let (class, bits, size) = (at.u8()? & 15, at.take(3)?, at.u32()? as usize);
        Ok(match class {
            1 => Self::float(bits, size, at)?,
            3 => Self::Text(size),
            9 if bits[0] & 15 == 1 => Self::LongText,
            _ => Self::Other(class, size),
        })
    }

    fn float(bits: &[u8], size: usize, mut at: Cursor<'_>) -> Result<Self> {
        let (offset, precision) = (at.u16()?, u64::from(at.u16()?));
        let places = [at.u8()?, at.u8()?, at.u8()?, at.u8()?].map(u64::from);
        let bias = u64::from(at.u32()?);
        let [exponent, exponent_size, fraction, fraction_size] = places;
        let layout = [exponent, exponent_size, fraction, fraction_size, bias, precision];
        let known = IEEE.iter().find(|(bytes, _, ieee)| *bytes == size && *ieee == layout && offset == 0);
        Ok(known.map_or(Self::Other(1, size), |(_, dtype, _)| Self::Float { dtype: *dtype, big: bits[0] & 1 == 1 }))
    }

    /// The bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::Float { dtype, .. } => dtype.size(),
            Self::Text(size) | Self::Other(_, size) => size,
            Self::LongText => 16,
        }
    }
}

/// The axes of a dataspace message; none for a single element.
///
/// # Errors
/// It is of an unknown version, or its axes have more elements than a file can hold.
pub fn axes(body: &[u8]) -> Result<Vec<usize>> {
    let mut at = Cursor::new(body);
    let (version, rank, _flags) = (at.u8()?, at.u8()?, at.u8()?);
    match version {
        1 => at.take(5)?,
        // Of class 2 is the empty dataspace.
        2 if at.u8()? == 2 => return Ok(vec![0]),
        2 => &[],
        other => return Err(unread(format!("a dataspace of version {other}"))),
    };
    let dims: Vec<u64> = (0..rank).map(|_| at.u64()).collect::<Result<_>>()?;
    let count = dims.iter().try_fold(1_u64, |n, d| n.checked_mul(*d).filter(|n| *n <= 1 << 40));
    if count.is_none() || rank > 8 || dims.iter().any(|d| *d > 1 << 40) {
        return Err(damaged(format!("axes of {dims:?}")));
    }
    Ok(dims.into_iter().map(|d| d as usize).collect())
}
