//! The wire format of protobuf: fields with numbers, and nothing that says what they mean.
//!
//! A message is a run of fields, each a key (`number << 3 | type`) and a value:
//! a varint, 4 or 8 bytes, or a length with that many bytes, which may be a
//! message again. Reading borrows from the file, so the weights are not copied;
//! no length is believed before that many bytes are there. What a number means
//! stands in `proto.rs`.
//!
//! Source: protobuf.dev, "Encoding".

use crate::error::{Error, ErrorKind, Result};

/// An error about the bytes of a file.
pub(super) fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

/// A kind of message: what its fields mean, and how it is written.
pub(super) trait Message<'a>: Default {
    /// Takes one field; a number that is not known is passed over, as protobuf wants it.
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()>;

    /// Writes all fields.
    fn encode(&self, out: &mut Writer);

    /// The message in these bytes.
    fn decode(bytes: &'a [u8]) -> Result<Self> {
        let (mut message, mut reader) = (Self::default(), Reader { rest: bytes });
        while !reader.rest.is_empty() {
            let (number, field) = reader.field()?;
            message.field(number, field)?;
        }
        Ok(message)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn field(&mut self) -> Result<(u64, Field<'a>)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.array()?),
            2 => {
                let len = self.varint()?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Fixed32(self.array()?),
            other => return Err(broken(format!("no protobuf: a field has the type {other}"))),
        };
        Ok((key >> 3, field))
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(broken("no protobuf: a number has more than 10 bytes"))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (taken, rest) = split.ok_or_else(|| {
            broken(format!("a field of {len} bytes begins where {} are left", self.rest.len()))
                .with_help("the file is cut off or damaged; fetch it again")
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }
}

impl<'a> Field<'a> {
    /// A whole number; a negative one is written as its 64 bits.
    pub fn int(self) -> Result<i64> {
        match self {
            Self::Varint(v) => Ok(v.cast_signed()),
            _ => Err(self.not("a whole number")),
        }
    }

    pub fn float(self) -> Result<f32> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(self.not("a number of 4 bytes")),
        }
    }

    pub fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(self.not("bytes")),
        }
    }

    pub fn text(self) -> Result<String> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| broken("a name is not UTF-8"))
    }

    pub fn message<M: Message<'a>>(self) -> Result<M> {
        M::decode(self.bytes()?)
    }

    /// Adds whole numbers: one, or many packed into one field.
    pub fn ints(self, into: &mut Vec<i64>) -> Result<()> {
        let Self::Bytes(bytes) = self else { return self.int().map(|v| into.push(v)) };
        let mut reader = Reader { rest: bytes };
        while !reader.rest.is_empty() {
            into.push(reader.varint()?.cast_signed());
        }
        Ok(())
    }

    /// Adds numbers of 4 bytes: one, or many packed into one field.
    pub fn floats(self, into: &mut Vec<f32>) -> Result<()> {
        let Self::Bytes(bytes) = self else { return self.float().map(|v| into.push(v)) };
        let (words, rest) = bytes.as_chunks::<4>();
        into.extend(words.iter().map(|w| f32::from_le_bytes(*w)));
        if rest.is_empty() { Ok(()) } else { Err(broken("packed numbers end in the middle of one")) }
    }

    /// Adds numbers of 8 bytes: one, or many packed into one field.
    pub fn doubles(self, into: &mut Vec<f64>) -> Result<()> {
        let one;
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Fixed64(word) => {
                one = word;
                &one
            }
            _ => return Err(self.not("a number of 8 bytes")),
        };
        let (words, rest) = bytes.as_chunks::<8>();
        into.extend(words.iter().map(|w| f64::from_le_bytes(*w)));
        if rest.is_empty() { Ok(()) } else { Err(broken("packed numbers end in the middle of one")) }
    }

    fn not(self, what: &str) -> Error {
        broken(format!("a field should be {what}, and is not")).with_help("the file is damaged, or not ONNX")
    }
}

/// Writes fields one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn key(&mut self, number: u64, kind: u64) {
        self.varint(number << 3 | kind);
    }

    pub fn int(&mut self, number: u64, value: i64) {
        self.key(number, 0);
        self.varint(value.cast_unsigned());
    }

    pub fn float(&mut self, number: u64, value: f32) {
        self.key(number, 5);
        self.bytes.extend(value.to_le_bytes());
    }

    pub fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.key(number, 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend(bytes);
    }

    /// Text; an empty one is the default and takes no room.
    pub fn text(&mut self, number: u64, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    /// A message within this one. Its length comes first but is known last, so its bytes make room for it.
    pub fn message<'a>(&mut self, number: u64, message: &impl Message<'a>) {
        self.key(number, 2);
        let start = self.bytes.len();
        message.encode(self);
        let end = self.bytes.len();
        self.varint((end - start) as u64);
        let width = self.bytes.len() - end;
        self.bytes[start..].rotate_right(width);
    }

    pub fn messages<'a, M: Message<'a> + 'a>(&mut self, number: u64, messages: &[M]) {
        messages.iter().for_each(|m| self.message(number, m));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Point {
        x: i64,
        y: f32,
        name: String,
        trail: Vec<i64>,
        next: Option<Box<Point>>,
    }

    impl<'a> Message<'a> for Point {
        fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
            match number {
                1 => self.x = field.int()?,
                2 => self.y = field.float()?,
                3 => self.name = field.text()?,
                4 => field.ints(&mut self.trail)?,
                5 => self.next = Some(Box::new(field.message()?)),
                _ => {}
            }
            Ok(())
        }

        fn encode(&self, out: &mut Writer) {
            out.int(1, self.x);
            out.float(2, self.y);
            out.text(3, &self.name);
            self.trail.iter().for_each(|v| out.int(4, *v));
            self.next.iter().for_each(|next| out.message(5, next.as_ref()));
        }
    }

    fn encoded(point: &Point) -> Vec<u8> {
        let mut writer = Writer::default();
        point.encode(&mut writer);
        writer.bytes
    }

    #[test]
    fn messages_go_there_and_back() {
        let inner = Point { x: -1, name: "n".repeat(300), ..Point::default() };
        let outer =
            Point { x: 150, y: 0.5, trail: vec![3, -3, 1 << 40], next: Some(Box::new(inner)), ..Point::default() };
        assert_eq!(Point::decode(&encoded(&outer)).unwrap(), outer);
    }

    #[test]
    fn the_example_of_the_specification() {
        assert_eq!(encoded(&Point { x: 150, ..Point::default() })[..3], [0x08, 0x96, 0x01]);
        let packed = [0x22, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05];
        assert_eq!(Point::decode(&packed).unwrap().trail, [3, 270, 86942]);
    }

    #[test]
    fn unknown_fields_are_passed_over_and_broken_ones_refused() {
        assert_eq!(Point::decode(&[0x78, 0x05, 0x08, 0x07]).unwrap().x, 7);
        for bad in [&[0x08][..], &[0x1a, 0x05, b'a'], &[0x0b], &[0xff; 11], &[0x0a, 0x01, 0x00], &[0x1a, 0x01, 0xff]] {
            assert!(Point::decode(bad).is_err(), "{bad:?}");
        }
    }
}
