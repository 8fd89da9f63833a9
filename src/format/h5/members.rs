//! The members of a group: symbol tables under a B-tree with names in a heap, or links in the header itself.

use super::bytes::{Budget, Cursor, UNDEFINED, damaged, unread};
use super::header::{Message, kind};
use crate::error::Result;

const MAX_NAME: usize = 1024;
const MAX_LEVELS: usize = 16;

/// The names and header addresses of a group's members; `None` if this is no group.
pub fn of(file: &[u8], messages: &[Message<'_>], budget: &Budget) -> Result<Option<Vec<(String, u64)>>> {
    let mut members = Vec::new();
    let mut is_group = false;
    for message in messages {
        match message.kind {
            kind::SYMBOL_TABLE => {
                is_group = true;
                let mut at = Cursor::new(message.body);
                let (tree, heap) = (at.u64()?, at.u64()?);
                let names = heap_data(file, heap)?;
                symbols(file, tree, names, budget, &mut members)?;
            }
            kind::LINK => {
                is_group = true;
                members.extend(link(message.body)?);
            }
            kind::LINK_INFO => {
                is_group = true;
                check_compact(message.body)?;
            }
            _ => {}
        }
    }
    Ok(is_group.then_some(members))
}

// The bytes of a local heap, in which names end with a 0.
fn heap_data(file: &[u8], address: u64) -> Result<&[u8]> {
    let mut at = Cursor::at(file, address)?;
    at.expect(b"HEAP")?;
    at.take(4)?;
    let (length, _, data) = (at.u64()?, at.u64()?, at.u64()?);
    let length = usize::try_from(length).map_err(|_| damaged("a heap of names is too long"))?;
    Cursor::at(file, data)?.take(length)
}

// All entries under a node of a group's B-tree, without recursion.
fn symbols(file: &[u8], root: u64, names: &[u8], budget: &Budget, to: &mut Vec<(String, u64)>) -> Result<()> {
    let mut nodes = vec![(root, 0)];
    while let Some((address, depth)) = nodes.pop() {
        budget.pay(24)?;
        let mut at = Cursor::at(file, address)?;
        if at.rest().starts_with(b"SNOD") {
            entries(at, names, budget, to)?;
            continue;
        }
        at.expect(b"TREE")?;
        let (is_chunks, _level, count) = (at.u8()? != 0, at.u8()?, at.u16()?);
        if is_chunks || depth > MAX_LEVELS {
            return Err(damaged("the tree of a group is not one"));
        }
        at.take(16)?;
        for _ in 0..count {
            budget.pay(16)?;
            at.take(8)?;
            nodes.push((at.u64()?, depth + 1));
        }
    }
    Ok(())
}

fn entries(mut at: Cursor<'_>, names: &[u8], budget: &Budget, to: &mut Vec<(String, u64)>) -> Result<()> {
    at.take(6)?;
    let count = at.u16()?;
    for _ in 0..count {
        let (name, header, cache) = (at.u64()?, at.u64()?, at.u32()?);
        at.take(20)?;
        let name = name_at(names, name)?;
        budget.pay(40 + name.len() as u64)?;
        // A soft link has no header of its own.
        if cache != 2 && header != UNDEFINED {
            to.push((name, header));
        }
    }
    Ok(())
}

fn name_at(names: &[u8], at: u64) -> Result<String> {
    let tail = usize::try_from(at).ok().and_then(|at| names.get(at..)).unwrap_or_default();
    let length = tail.iter().take(MAX_NAME).position(|byte| *byte == 0);
    let length = length.ok_or_else(|| damaged("the name of a member is not where it should be"))?;
    text(&tail[..length])
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| damaged("the name of a member is not text"))
}

// A link message; soft and external links are passed over.
fn link(body: &[u8]) -> Result<Option<(String, u64)>> {
    let mut at = Cursor::new(body);
    let (version, flags) = (at.u8()?, at.u8()?);
    if version != 1 {
        return Err(unread(format!("a link of version {version}")));
    }
    let class = if flags & 8 != 0 { at.u8()? } else { 0 };
    at.take(if flags & 4 != 0 { 8 } else { 0 } + if flags & 0x10 != 0 { 1 } else { 0 })?;
    let length = at.uint(1 << (flags & 3))?;
    let length = usize::try_from(length).ok().filter(|n| *n <= MAX_NAME);
    let name = at.take(length.ok_or_else(|| damaged("the name of a member is too long"))?)?;
    Ok(if class == 0 { Some((text(name)?, at.u64()?)) } else { None })
}

// Many links are kept in a heap of another kind.
fn check_compact(body: &[u8]) -> Result<()> {
    let mut at = Cursor::new(body);
    let flags = at.take(2)?[1];
    at.take(if flags & 1 != 0 { 8 } else { 0 })?;
    if at.u64()? == UNDEFINED { Ok(()) } else { Err(unread("a group with its members in a fractal heap")) }
}
