//! Attributes: texts and lists of texts beside a group.

use super::bytes::{Budget, Cursor, damaged, unread};
use super::header::{Message, kind};
use super::types::{Type, axes};
use crate::error::Result;

/// An attribute whose value was not looked at yet.
#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    class: Type,
    count: usize,
    data: &'a [u8],
}

/// The attributes in a header, with their names.
///
/// # Errors
/// A message is cut off, or they are kept elsewhere.
pub fn of<'a>(messages: &[Message<'a>]) -> Result<Vec<(String, Attribute<'a>)>> {
    let mut found = Vec::new();
    for message in messages {
        match message.kind {
            kind::ATTRIBUTE if message.shared => return Err(unread("attributes that objects share")),
            kind::ATTRIBUTE => found.extend(parse(message.body)?),
            kind::ATTRIBUTE_INFO => check_compact(message.body)?,
            _ => {}
        }
    }
    Ok(found)
}

// `None` for an attribute with a type of its own in the file: Keras writes none.
fn parse(body: &[u8]) -> Result<Option<(String, Attribute<'_>)>> {
    let mut at = Cursor::new(body);
    let (version, flags) = (at.u8()?, at.u8()?);
    let lengths = [at.u16()?, at.u16()?, at.u16()?].map(usize::from);
    let pad = match version {
        1 => 8,
        2 => 1,
        3 => at.take(1).map(|_| 1)?,
        other => return Err(unread(format!("an attribute of version {other}"))),
    };
    let mut part = |length: usize| Ok::<_, crate::Error>(&at.take(length.next_multiple_of(pad))?[..length]);
    let (name, class, space) = (part(lengths[0])?, part(lengths[1])?, part(lengths[2])?);
    if version > 1 && flags & 3 != 0 {
        return Ok(None);
    }
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8(name.to_vec()).map_err(|_| damaged("the name of an attribute is not text"))?;
    let count = axes(space)?.iter().product();
    Ok(Some((name, Attribute { class: Type::of(class)?, count, data: at.rest() })))
}

// Many attributes are kept in a heap of another kind.
fn check_compact(body: &[u8]) -> Result<()> {
    let mut at = Cursor::new(body);
    let flags = at.take(2)?[1];
    at.take(if flags & 1 != 0 { 2 } else { 0 })?;
    match at.u64()? {
        super::bytes::UNDEFINED => Ok(()),
        _ => Err(unread("attributes in a fractal heap")),
    }
}

impl Attribute<'_> {
    /// The texts; an empty list of anything has none, since Keras writes the empty list as one of f64.
    ///
    /// # Errors
    /// It is damaged, or holds something else.
    pub fn texts(&self, file: &[u8], budget: &Budget) -> Result<Vec<String>> {
        let mut at = Cursor::new(self.data);
        match self.class {
            _ if self.count == 0 => Ok(Vec::new()),
            Type::Text(0) => Err(damaged("a text has no length")),
            Type::Text(size) => (0..self.count).map(|_| fixed(at.take(size)?, budget)).collect(),
            Type::LongText => (0..self.count).map(|_| long(file, &mut at, budget)).collect(),
            other => Err(damaged(format!("an attribute is not text, but {other:?}"))),
        }
    }
}

fn fixed(bytes: &[u8], budget: &Budget) -> Result<String> {
    budget.pay(bytes.len() as u64)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8(bytes[..end].to_vec()).map_err(|_| damaged("a text is not UTF-8"))
}

// A length, and where the text is: a collection of the global heap, and a number in it.
fn long(file: &[u8], at: &mut Cursor<'_>, budget: &Budget) -> Result<String> {
    let (length, address, index) = (at.u32()? as usize, at.u64()?, at.u32()?);
    if length == 0 {
        return Ok(String::new());
    }
    let mut heap = Cursor::at(file, address)?;
    heap.expect(b"GCOL")?;
    heap.take(4)?;
    let size = usize::try_from(heap.u64()?).map_err(|_| damaged("a heap is too long"))?;
    let mut heap = Cursor::new(heap.take(size.saturating_sub(16))?);
    loop {
        budget.pay(16)?;
        let (number, _, size) = (heap.u16()?, heap.take(6)?, heap.u64()?);
        let size = usize::try_from(size).ok().filter(|size| *size <= file.len());
        let size = size.ok_or_else(|| damaged("an object in a heap is too long"))?;
        if number == 0 {
            return Err(damaged("a text is not in its heap"));
        }
        let object = heap.take(size.next_multiple_of(8).min(heap.rest().len()).max(size))?;
        if u32::from(number) == index {
            return fixed(object.get(..length).ok_or_else(|| damaged("a text is longer than its place"))?, budget);
        }
    }
}
