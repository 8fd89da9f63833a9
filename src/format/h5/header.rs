//! The superblock, where everything starts, and object headers: lists of messages that describe a group or tensor.

use super::MAGIC;
use super::bytes::{Budget, Cursor, damaged, unread};
use crate::error::Result;

const CONTINUATION: u16 = 0x10;

/// The kinds of messages that are read.
pub mod kind {
    /// Axes.
    pub const DATASPACE: u16 = 0x01;
    /// Where the links of a newer group are, if they are many.
    pub const LINK_INFO: u16 = 0x02;
    /// How a number is stored.
    pub const DATATYPE: u16 = 0x03;
    /// A member of a newer group.
    pub const LINK: u16 = 0x06;
    /// Where a tensor's numbers are.
    pub const LAYOUT: u16 = 0x08;
    /// How chunks are compressed.
    pub const FILTERS: u16 = 0x0b;
    /// An attribute.
    pub const ATTRIBUTE: u16 = 0x0c;
    /// Where the members of an older group are.
    pub const SYMBOL_TABLE: u16 = 0x11;
    /// Where attributes are, if they are many.
    pub const ATTRIBUTE_INFO: u16 = 0x15;
}

/// A message of an object header.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// One of [`kind`], or one that is passed over.
    pub kind: u16,
    /// Whether it only says where the real message is.
    pub shared: bool,
    /// Its content.
    pub body: &'a [u8],
}

/// The address of the root group's header.
pub fn root(file: &[u8]) -> Result<u64> {
    let mut at = Cursor::new(file);
    at.expect(MAGIC)?;
    let version = at.u8()?;
    if version > 3 {
        return Err(unread(format!("a superblock of version {version}")));
    }
    if version < 2 {
        at.take(4)?;
        sizes(&mut at)?;
        // Reserved, the widths of nodes, flags; version 1 adds the width of chunk indices.
        at.take(if version == 0 { 9 } else { 13 })?;
        base(&mut at)?;
        at.take(8 + 8 + 8 + 8)?;
        return at.u64();
    }
    sizes(&mut at)?;
    at.take(1)?;
    base(&mut at)?;
    at.take(8 + 8)?;
    at.u64()
}

fn sizes(at: &mut Cursor<'_>) -> Result<()> {
    match (at.u8()?, at.u8()?) {
        (8, 8) => Ok(()),
        (offset, length) => Err(unread(format!("addresses of {offset} and lengths of {length} bytes"))),
    }
}

fn base(at: &mut Cursor<'_>) -> Result<()> {
    if at.u64()? == 0 { Ok(()) } else { Err(unread("a block of other data in front")) }
}

/// The messages of the object header at an address.
pub fn messages<'a>(file: &'a [u8], address: u64, budget: &Budget) -> Result<Vec<Message<'a>>> {
    let mut at = Cursor::at(file, address)?;
    if at.rest().starts_with(b"OHDR") { newer(file, at, budget) } else { older(file, &mut at, budget) }
}

fn older<'a>(file: &'a [u8], at: &mut Cursor<'a>, budget: &Budget) -> Result<Vec<Message<'a>>> {
    if at.u8()? != 1 {
        return Err(damaged("an object header is not where it should be"));
    }
    at.take(7)?;
    let length = at.u32()? as usize;
    at.take(4)?;
    let mut blocks = vec![at.take(length)?];
    let mut messages = Vec::new();
    while let Some(block) = blocks.pop() {
        let mut at = Cursor::new(block);
        while at.rest().len() >= 8 {
            let (kind, size, flags) = (at.u16()?, at.u16()? as usize, at.u8()?);
            at.take(3)?;
            let body = at.take(size)?;
            budget.pay(8 + size as u64)?;
            match kind {
                CONTINUATION => blocks.push(continued(file, body)?),
                _ => messages.push(Message { kind, shared: flags & 2 != 0, body }),
            }
        }
    }
    Ok(messages)
}

fn newer<'a>(file: &'a [u8], mut at: Cursor<'a>, budget: &Budget) -> Result<Vec<Message<'a>>> {
    at.take(4)?;
    let (version, flags) = (at.u8()?, at.u8()?);
    if version != 2 {
        return Err(unread(format!("an object header of version {version}")));
    }
    at.take(if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 })?;
    let length = at.uint(1 << (flags & 3))?;
    let length = usize::try_from(length).map_err(|_| damaged("an object header is too long"))?;
    let numbered = if flags & 4 != 0 { 2 } else { 0 };
    let mut blocks = vec![at.take(length)?];
    let mut messages = Vec::new();
    while let Some(block) = blocks.pop() {
        let mut at = Cursor::new(block);
        while at.rest().len() >= 4 + numbered {
            let (kind, size, flags) = (u16::from(at.u8()?), at.u16()? as usize, at.u8()?);
            at.take(numbered)?;
            let body = at.take(size)?;
            budget.pay(4 + size as u64)?;
            if kind != CONTINUATION {
                messages.push(Message { kind, shared: flags & 2 != 0, body });
                continue;
            }
            let mut inner = Cursor::new(continued(file, body)?);
            inner.expect(b"OCHK")?;
            // The last four bytes are a checksum.
            let inner = inner.rest();
            blocks.push(&inner[..inner.len().saturating_sub(4)]);
        }
    }
    Ok(messages)
}

fn continued<'a>(file: &'a [u8], body: &[u8]) -> Result<&'a [u8]> {
    let mut at = Cursor::new(body);
    let (address, length) = (at.u64()?, at.u64()?);
    let length = usize::try_from(length).map_err(|_| damaged("a part of an object header is too long"))?;
    Cursor::at(file, address)?.take(length)
}
