//! Writes a file: superblock 0, object headers 1, groups as symbol tables, tensors contiguous.
//!
//! Everything stands behind what it needs, so each part is written once: names
//! and members before their group, groups before the superblock that names the
//! root. Equal content gives equal bytes.

use std::collections::BTreeMap;

use super::MAGIC;
use super::bytes::UNDEFINED;
use crate::error::{Error, ErrorKind, Result};

// Entries of a symbol node, and children of a tree's node: twice these, the defaults of the format.
const LEAF: usize = 4;
const INTERNAL: usize = 16;
const SUPERBLOCK: usize = 96;
// The least size of a collection of the global heap.
const HEAP: usize = 4096;
// A message has at most 65535 bytes; longer lists of names are split, as Keras does.
const MAX_LIST: usize = 60_000;

const F32: &[u8] = &[0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0];
const F64: &[u8] = &[0x11, 0x20, 63, 0, 8, 0, 0, 0, 0, 0, 64, 0, 52, 11, 0, 52, 255, 3, 0, 0];
// A text of any length in UTF-8: a sequence of bytes.
const LONG_TEXT: &[u8] = &[0x19, 1, 1, 0, 16, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0];

/// A group to be written.
#[derive(Debug, Default)]
pub struct Group {
    attributes: Vec<(String, Texts)>,
    members: BTreeMap<String, Member>,
}

#[derive(Debug)]
enum Texts {
    One(String),
    List(Vec<String>),
}

#[derive(Debug)]
enum Member {
    Group(Group),
    Tensor(Vec<usize>, Vec<f32>),
}

impl Group {
    /// Adds a text as an attribute.
    pub fn text(&mut self, name: &str, text: &str) {
        self.attributes.push((name.to_string(), Texts::One(text.to_string())));
    }

    /// Adds a list of texts as an attribute, or as several where it is long.
    pub fn texts(&mut self, name: &str, texts: &[String]) {
        let width = texts.iter().map(String::len).max().unwrap_or(1).max(1);
        let most = (MAX_LIST / width).max(1);
        if texts.len() <= most {
            self.attributes.push((name.to_string(), Texts::List(texts.to_vec())));
            return;
        }
        for (i, part) in texts.chunks(most).enumerate() {
            self.attributes.push((format!("{name}{i}"), Texts::List(part.to_vec())));
        }
    }

    /// The group at this path below, made where it is not there yet.
    ///
    /// # Errors
    /// A tensor has that name.
    pub fn group(&mut self, path: &str) -> Result<&mut Self> {
        path.split('/').try_fold(self, |group, name| {
            let member = group.members.entry(name.to_string()).or_insert_with(|| Member::Group(Self::default()));
            match member {
                Member::Group(inner) => Ok(inner),
                Member::Tensor(..) => Err(impossible(format!("'{path}' is a group and a tensor"))),
            }
        })
    }

    /// Adds a tensor; names may have `/` for groups below.
    ///
    /// # Errors
    /// There is something of that name.
    pub fn tensor(&mut self, name: &str, dims: &[usize], data: Vec<f32>) -> Result<()> {
        let (group, last) = match name.rsplit_once('/') {
            Some((path, last)) => (self.group(path)?, last),
            None => (self, name),
        };
        match group.members.insert(last.to_string(), Member::Tensor(dims.to_vec(), data)) {
            None => Ok(()),
            Some(_) => Err(impossible(format!("there are two '{name}'"))),
        }
    }

    /// The file whose root this group is.
    ///
    /// # Errors
    /// A text is too long for where it must stand.
    pub fn to_file(&self) -> Result<Vec<u8>> {
        let mut file = Writer(vec![0; SUPERBLOCK]);
        let root = file.group(self)?;
        let Writer(mut bytes) = file;
        let end = bytes.len() as u64;
        let mut start = [MAGIC, &[0, 0, 0, 0, 0, 8, 8, 0], &[LEAF as u8, 0, INTERNAL as u8, 0], &[0; 4]].concat();
        for address in [0, UNDEFINED, end, UNDEFINED] {
            start.extend(u64::to_le_bytes(address));
        }
        start.extend(entry(0, &root));
        bytes[..SUPERBLOCK].copy_from_slice(&start);
        Ok(bytes)
    }
}

// Where an object's header is; of a group also its tree and its names.
struct Object {
    header: u64,
    table: Option<[u64; 2]>,
}

// An entry of a symbol table, with the tree and names of a group beside.
fn entry(name: u64, object: &Object) -> Vec<u8> {
    let [tree, names] = object.table.unwrap_or_default();
    let cache = u64::from(object.table.is_some());
    [name, object.header, cache, tree, names].iter().flat_map(|n| n.to_le_bytes()).collect()
}

// The file so far; every part starts at a multiple of eight.
struct Writer(Vec<u8>);

impl Writer {
    fn put(&mut self, part: &[u8]) -> u64 {
        let at = self.0.len();
        self.0.extend(part);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        at as u64
    }

    fn group(&mut self, group: &Group) -> Result<Object> {
        let mut names = vec![0; 8];
        let mut entries = Vec::new();
        for (name, member) in &group.members {
            if name.is_empty() || name.contains('\0') {
                return Err(impossible(format!("'{}' is not a name", name.escape_debug())));
            }
            let object = match member {
                Member::Group(inner) => self.group(inner)?,
                Member::Tensor(dims, data) => self.tensor(dims, data),
            };
            entries.push((names.len() as u64, object));
            names.extend(name.as_bytes());
            names.resize((names.len() + 1).next_multiple_of(8), 0);
        }
        let names = self.names(&names);
        let tree = self.tree(&entries);
        let table: Vec<u8> = [tree, names].iter().flat_map(|n| n.to_le_bytes()).collect();
        let mut messages = vec![(0x11, table)];
        for (name, texts) in &group.attributes {
            messages.push((0x0c, self.attribute(name, texts)?));
        }
        Ok(Object { header: self.header(&messages), table: Some([tree, names]) })
    }

    // A local heap without free space.
    fn names(&mut self, names: &[u8]) -> u64 {
        let data = self.put(names);
        let mut heap = b"HEAP\0\0\0\0".to_vec();
        for number in [names.len() as u64, 1, data] {
            heap.extend(number.to_le_bytes());
        }
        self.put(&heap)
    }

    // The tree over the entries of a group, level by level; a node has full size, whatever it holds.
    fn tree(&mut self, entries: &[(u64, Object)]) -> u64 {
        // Of each child: its address, and the last name in it.
        let mut children = Vec::new();
        for part in entries.chunks(2 * LEAF) {
            let mut node = [b"SNOD\x01\0".as_slice(), &(part.len() as u16).to_le_bytes()].concat();
            node.extend(part.iter().flat_map(|(name, object)| entry(*name, object)));
            node.resize(8 + 2 * LEAF * 40, 0);
            children.push((self.put(&node), part.last().map_or(0, |(name, _)| *name)));
        }
        let mut level = 0;
        loop {
            children = self.level(level, &children);
            match children[..] {
                [(root, _)] => return root,
                _ => level += 1,
            }
        }
    }

    fn level(&mut self, level: u8, children: &[(u64, u64)]) -> Vec<(u64, u64)> {
        const SIZE: usize = 24 + 2 * INTERNAL * 8 + (2 * INTERNAL + 1) * 8;
        let parts: Vec<&[(u64, u64)]> =
            if children.is_empty() { vec![children] } else { children.chunks(2 * INTERNAL).collect() };
        let start = self.0.len() as u64;
        let place = |i: usize| start + (i * SIZE) as u64;
        let mut before = 0;
        let mut nodes = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let left = if i == 0 { UNDEFINED } else { place(i - 1) };
            let right = if i + 1 == parts.len() { UNDEFINED } else { place(i + 1) };
            let mut node = [b"TREE\0".as_slice(), &[level], &(part.len() as u16).to_le_bytes()].concat();
            let keys = part.iter().flat_map(|(child, last)| [*child, *last]);
            for number in [left, right, before].into_iter().chain(keys) {
                node.extend(number.to_le_bytes());
            }
            before = part.last().map_or(0, |(_, last)| *last);
            node.resize(SIZE, 0);
            nodes.push((self.put(&node), before));
        }
        nodes
    }

    fn tensor(&mut self, dims: &[usize], data: &[f32]) -> Object {
        let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        let at = self.put(&bytes);
        let mut layout = vec![3, 1];
        layout.extend(at.to_le_bytes());
        layout.extend((bytes.len() as u64).to_le_bytes());
        // The fill value is the default one, and it is never written.
        let messages = [(0x01, space(Some(dims))), (0x03, F32.to_vec()), (0x05, vec![2, 2, 2, 0]), (0x08, layout)];
        Object { header: self.header(&messages), table: None }
    }

    fn header(&mut self, messages: &[(u16, Vec<u8>)]) -> u64 {
        let mut body = Vec::new();
        for (kind, message) in messages {
            let length = message.len().next_multiple_of(8);
            body.extend(kind.to_le_bytes());
            body.extend((length as u16).to_le_bytes());
            body.extend([0; 4]);
            body.extend(message);
            body.resize(body.len() + length - message.len(), 0);
        }
        let mut header = vec![1, 0];
        header.extend((messages.len() as u16).to_le_bytes());
        header.extend(1_u32.to_le_bytes());
        header.extend((body.len() as u32).to_le_bytes());
        header.extend([0; 4]);
        header.extend(body);
        self.put(&header)
    }

    fn attribute(&mut self, name: &str, texts: &Texts) -> Result<Vec<u8>> {
        let (class, space, data) = match texts {
            Texts::One(text) => (LONG_TEXT.to_vec(), space(None), self.long_text(text)?),
            Texts::List(texts) if texts.is_empty() => (F64.to_vec(), space(Some(&[0])), Vec::new()),
            Texts::List(texts) => {
                let width = texts.iter().map(String::len).max().unwrap_or(0).max(1);
                // Fixed length, filled up with zeros, UTF-8.
                let class = [&[0x13, 0x11, 0, 0], &(width as u32).to_le_bytes()[..]].concat();
                let fill = |text: &String| [text.as_bytes(), &vec![0; width - text.len()]].concat();
                (class, space(Some(&[texts.len()])), texts.iter().flat_map(fill).collect())
            }
        };
        let mut message = vec![1, 0];
        for length in [name.len() + 1, class.len(), space.len()] {
            message.extend((length as u16).to_le_bytes());
        }
        for part in [[name.as_bytes(), b"\0"].concat(), class, space] {
            message.extend(&part);
            message.resize(message.len().next_multiple_of(8), 0);
        }
        message.extend(data);
        if message.len() > usize::from(u16::MAX) - 7 {
            return Err(impossible(format!("the attribute '{name}' is longer than 64 KiB")));
        }
        Ok(message)
    }

    // The text in a collection of its own, and what an attribute holds instead: its length and place.
    fn long_text(&mut self, text: &str) -> Result<Vec<u8>> {
        let length = u32::try_from(text.len()).map_err(|_| impossible("a text is longer than 4 GiB".into()))?;
        if text.is_empty() {
            return Ok(vec![0; 16]);
        }
        let used = 16 + 16 + text.len().next_multiple_of(8);
        let size = (used + 16).max(HEAP);
        let mut heap = b"GCOL\x01\0\0\0".to_vec();
        heap.extend((size as u64).to_le_bytes());
        heap.extend([1, 0, 1, 0, 0, 0, 0, 0]);
        heap.extend((text.len() as u64).to_le_bytes());
        heap.extend(text.as_bytes());
        heap.resize(used, 0);
        // The rest is free: object 0.
        heap.extend([0; 8]);
        heap.extend(((size - used) as u64).to_le_bytes());
        heap.resize(size, 0);
        let at = self.put(&heap);
        Ok([&length.to_le_bytes()[..], &at.to_le_bytes(), &1_u32.to_le_bytes()].concat())
    }
}

// The dataspace of these axes, or of a single element.
fn space(dims: Option<&[usize]>) -> Vec<u8> {
    let dims = dims.unwrap_or_default();
    let mut space = vec![1, dims.len() as u8, 0, 0, 0, 0, 0, 0];
    space.extend(dims.iter().flat_map(|d| (*d as u64).to_le_bytes()));
    space
}

fn impossible(what: String) -> Error {
    Error::new(ErrorKind::Format, format!("the HDF5 file cannot be written: {what}"))
}
