//! How files store numbers, and how each becomes f32.

use std::fmt;

/// How a file stores a number, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// A truth value in a byte.
    Bool,
    /// An unsigned integer of 8 bits.
    U8,
    /// A signed integer of 8 bits.
    I8,
    /// An unsigned integer of 16 bits.
    U16,
    /// A signed integer of 16 bits.
    I16,
    /// An unsigned integer of 32 bits.
    U32,
    /// A signed integer of 32 bits.
    I32,
    /// An unsigned integer of 64 bits.
    U64,
    /// A signed integer of 64 bits.
    I64,
    /// IEEE 754 half precision: 5 bits of exponent, 10 of fraction.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
}

/// The dtypes by their names in a safetensors header.
pub(super) const DTYPES: [(&str, Dtype); 13] = [
    ("BOOL", Dtype::Bool),
    ("U8", Dtype::U8),
    ("I8", Dtype::I8),
    ("U16", Dtype::U16),
    ("I16", Dtype::I16),
    ("U32", Dtype::U32),
    ("I32", Dtype::I32),
    ("U64", Dtype::U64),
    ("I64", Dtype::I64),
    ("F16", Dtype::F16),
    ("BF16", Dtype::Bf16),
    ("F32", Dtype::F32),
    ("F64", Dtype::F64),
];

impl Dtype {
    /// The dtype that a safetensors header calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        DTYPES.iter().find(|(known, _)| *known == name).map(|(_, dtype)| *dtype)
    }

    /// The bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Appends the numbers in `bytes` as f32; F64 is rounded to nearest, all others must fit exactly.
    ///
    /// # Errors
    /// The first integer that no f32 is equal to.
    pub(super) fn append(self, bytes: &[u8], to: &mut Vec<f32>) -> Result<(), i128> {
        match self {
            Self::F32 => to.extend(numbers(bytes).map(f32::from_le_bytes)),
            Self::F64 => to.extend(numbers(bytes).map(|b| f64::from_le_bytes(b) as f32)),
            Self::F16 => to.extend(numbers(bytes).map(|b| from_half(u16::from_le_bytes(b)))),
            Self::Bf16 => to.extend(numbers(bytes).map(|[low, high]| f32::from_le_bytes([0, 0, low, high]))),
            Self::Bool | Self::U8 => to.extend(bytes.iter().map(|b| f32::from(*b))),
            Self::I8 => to.extend(bytes.iter().map(|b| f32::from(b.cast_signed()))),
            Self::U16 => to.extend(numbers(bytes).map(|b| f32::from(u16::from_le_bytes(b)))),
            Self::I16 => to.extend(numbers(bytes).map(|b| f32::from(i16::from_le_bytes(b)))),
            Self::U32 => exact(numbers(bytes).map(|b| u32::from_le_bytes(b).into()), to)?,
            Self::I32 => exact(numbers(bytes).map(|b| i32::from_le_bytes(b).into()), to)?,
            Self::U64 => exact(numbers(bytes).map(|b| u64::from_le_bytes(b).into()), to)?,
            Self::I64 => exact(numbers(bytes).map(|b| i64::from_le_bytes(b).into()), to)?,
        }
        Ok(())
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = DTYPES.iter().find(|(_, dtype)| dtype == self);
        f.write_str(known.map_or("?", |(name, _)| name))
    }
}

fn numbers<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks().0.iter().copied()
}

/// Integers as f32, each without loss.
pub(super) fn exact(integers: impl Iterator<Item = i128>, to: &mut Vec<f32>) -> Result<(), i128> {
    for integer in integers {
        let number = integer as f32;
        if number as i128 != integer {
            return Err(integer);
        }
        to.push(number);
    }
    Ok(())
}

/// Every half-precision number, NaN payloads included, is an f32.
fn from_half(half: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(half >> 15) << 31, u32::from(half >> 10) & 31, u32::from(half) & 1023);
    let magnitude = match exponent {
        0 => (fraction as f32 / 16_777_216.0).to_bits(),
        31 => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, i128> {
        let mut to = Vec::new();
        dtype.append(bytes, &mut to).map(|()| to)
    }

    #[test]
    fn half_precision_is_exact() {
        let cases: [(u16, f32); 8] = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x83ff, -6.097_555e-5),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (half, expect) in cases {
            assert_eq!(append(Dtype::F16, &half.to_le_bytes()).unwrap(), [expect]);
        }
        assert!(from_half(0x7e01).is_nan());
        assert!(from_half(0x8000).to_bits() == 1 << 31);
    }

    #[test]
    fn integers_are_exact_or_refused() {
        assert_eq!(append(Dtype::I64, &(-(1_i64 << 40)).to_le_bytes()).unwrap(), [-(2_f32.powi(40))]);
        assert_eq!(append(Dtype::I64, &16_777_217_i64.to_le_bytes()), Err(16_777_217));
        assert_eq!(append(Dtype::U64, &u64::MAX.to_le_bytes()), Err(u64::MAX.into()));
        assert_eq!(append(Dtype::I8, &[255, 1]).unwrap(), [-1.0, 1.0]);
        assert_eq!(append(Dtype::Bf16, &[0x80, 0x3f]).unwrap(), [1.0]);
        assert_eq!(append(Dtype::F64, &0.1_f64.to_le_bytes()).unwrap(), [0.1]);
    }
}
