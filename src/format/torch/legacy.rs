//! The layout of PyTorch 0.1.12 to 1.5: a magic number, a protocol, facts about the machine, the object and the keys of
//! its storages, each a pickle; then each storage, its length in numbers (i64) before it.

use std::borrow::Cow;

use super::pickle::{Object, Pickled, Value};
use super::{Named, Storages, pickle, tree};

// 0x1950a86a20f9469cfc6c as a pickle: protocol 2, an integer of ten bytes, stop.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const PROTOCOL: i64 = 1001;

type Result<T> = std::result::Result<T, String>;

pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    // Other protocols of pickle differ in the second byte, and may frame the number.
    bytes.starts_with(MAGIC)
        || (bytes.first() == Some(&0x80) && bytes.get(..64.min(bytes.len())).is_some_and(has_magic))
}

fn has_magic(start: &[u8]) -> bool {
    start.windows(12).any(|window| window == &MAGIC[2..14])
}

pub(super) fn tensors(bytes: &[u8]) -> Result<Vec<Named<'_>>> {
    let mut rest = bytes;
    let _magic = next(&mut rest)?;
    let protocol = next(&mut rest)?.value;
    if protocol != Value::Int(PROTOCOL) {
        return Err(format!("protocol {PROTOCOL} of the legacy layout is read, not {protocol:?}"));
    }
    little_endian(&next(&mut rest)?)?;
    let object = next(&mut rest)?;
    let keys = next(&mut rest)?;
    let storages = read_storages(&object, &keys, rest)?;
    tree::collect(&object, &storages)
}

// The next of the pickles that stand one after the other.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Pickled<'a>> {
    let pickled = pickle::read(rest)?;
    *rest = &rest[pickled.length..];
    Ok(pickled)
}

fn little_endian(facts: &Pickled) -> Result<()> {
    let Value::Object(at) = facts.value else { return Err("the facts about the machine are no dictionary".into()) };
    let Object::Dict(entries) = &facts.heap[at] else {
        return Err("the facts about the machine are no dictionary".into());
    };
    match entries.iter().find(|(key, _)| *key == Value::Text("little_endian")) {
        Some((_, Value::Bool(true))) => Ok(()),
        _ => Err("it was written on a big-endian machine, which is not read".into()),
    }
}

fn read_storages<'a>(object: &Pickled, keys: &Pickled, mut rest: &'a [u8]) -> Result<Storages<'a>> {
    let named = tree::named_storages(&object.heap)?;
    let list = match keys.value {
        Value::Object(at) => match &keys.heap[at] {
            Object::List(list) => list.as_slice(),
            _ => return Err("the keys of the storages are no list".into()),
        },
        _ => return Err("the keys of the storages are no list".into()),
    };
    let mut storages = Storages::new();
    for key in list {
        let Value::Text(key) = key else { return Err("a storage's key is no text".into()) };
        let at = named.binary_search_by(|(known, ..)| known.as_str().cmp(key));
        let (_, numbers, size) =
            at.map(|at| &named[at]).map_err(|_| format!("storage '{}' is nobody's", super::short(key)))?;
        let bytes = storage(&mut rest, *size).map_err(|what| format!("storage '{}': {what}", super::short(key)))?;
        storages.insert(key.to_string(), tree::checked(key, Cow::Borrowed(bytes), *numbers, *size)?);
    }
    match rest {
        [] => Ok(storages),
        rest => Err(format!("{} bytes too many after the last storage", rest.len())),
    }
}

fn storage<'a>(rest: &mut &'a [u8], size: usize) -> Result<&'a [u8]> {
    let (length, after) = rest.split_first_chunk().ok_or("the file is cut off before it")?;
    let length = i64::from_le_bytes(*length);
    let bytes = usize::try_from(length).ok().and_then(|n| n.checked_mul(size));
    let taken = bytes.and_then(|n| after.split_at_checked(n));
    let (bytes, after) =
        taken.ok_or_else(|| format!("{length} numbers of {size} bytes, but {} bytes are left", after.len()))?;
    *rest = after;
    Ok(bytes)
}
