//! A file that was opened: all groups and tensors by path.

use std::collections::BTreeMap;

use super::attribute::{self, Attribute};
use super::bytes::{Budget, Cursor, UNDEFINED, damaged, unread};
use super::chunks::{self, Chunked};
use super::header::{self, Message, kind};
use super::members;
use super::types::{Type, axes};
use crate::error::{Error, ErrorKind, Result};

// Groups in groups; Keras needs some ten.
const MAX_DEPTH: usize = 64;

/// An HDF5 file that was opened.
#[derive(Debug)]
pub struct File<'a> {
    bytes: &'a [u8],
    budget: Budget,
    objects: BTreeMap<String, Object<'a>>,
}

#[derive(Debug)]
struct Object<'a> {
    attributes: BTreeMap<String, Attribute<'a>>,
    /// The messages of a tensor; `None` for a group.
    tensor: Option<Vec<Message<'a>>>,
}

impl<'a> File<'a> {
    /// Opens the file that these bytes are, and looks at all of its structure.
    ///
    /// # Errors
    /// They are no HDF5 file, a damaged one, or one in a form that is not read.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let mut file = Self { bytes, budget: Budget::new(bytes.len()), objects: BTreeMap::new() };
        let mut open = vec![(String::new(), header::root(bytes)?, 0)];
        while let Some((path, address, depth)) = open.pop() {
            if depth > MAX_DEPTH {
                return Err(damaged("its groups go in a circle"));
            }
            let messages = header::messages(bytes, address, &file.budget)?;
            let attributes = attribute::of(&messages)?.into_iter().collect();
            let inside = members::of(bytes, &messages, &file.budget)?;
            let tensor = inside.is_none().then_some(messages);
            for (name, address) in inside.into_iter().flatten() {
                let path = if path.is_empty() { name } else { format!("{path}/{name}") };
                file.budget.pay(64 + path.len() as u64)?;
                open.push((path, address, depth + 1));
            }
            file.objects.insert(path, Object { attributes, tensor });
        }
        Ok(file)
    }

    /// Whether there is a group at `path`; the root is the empty path.
    pub fn has_group(&self, path: &str) -> bool {
        self.objects.get(path).is_some_and(|object| object.tensor.is_none())
    }

    /// The paths of all groups, in alphabetical order.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().filter(|(_, object)| object.tensor.is_none()).map(|(path, _)| path.as_str())
    }

    /// The paths of all tensors, in alphabetical order.
    #[cfg(test)]
    pub fn tensors(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().filter(|(_, object)| object.tensor.is_some()).map(|(path, _)| path.as_str())
    }

    /// The number of tensors directly in a group.
    pub fn count(&self, group: &str) -> usize {
        let inside = self.objects.range(format!("{group}/")..format!("{group}0"));
        inside.filter(|(path, o)| o.tensor.is_some() && !path[group.len() + 1..].contains('/')).count()
    }

    /// A text attribute of a group; `None` if there is none of this name.
    ///
    /// # Errors
    /// There is no such group, or the attribute is not one text.
    pub fn text(&self, path: &str, name: &str) -> Result<Option<String>> {
        let Some(attribute) = self.object(path)?.attributes.get(name) else { return Ok(None) };
        let mut texts = attribute.texts(self.bytes, &self.budget)?;
        match (texts.pop(), texts.is_empty()) {
            (Some(text), true) => Ok(Some(text)),
            _ => Err(damaged(format!("the attribute '{name}' of '{path}' is not one text"))),
        }
    }

    /// A list of texts: the attribute `name` of a group, or `name0`, `name1`, ... where it was split.
    ///
    /// # Errors
    /// There is no such group or attribute, or it is not of texts.
    pub fn texts(&self, path: &str, name: &str) -> Result<Vec<String>> {
        let attributes = &self.object(path)?.attributes;
        if let Some(attribute) = attributes.get(name) {
            return attribute.texts(self.bytes, &self.budget);
        }
        let mut all = Vec::new();
        for part in 0.. {
            match attributes.get(&format!("{name}{part}")) {
                Some(attribute) => all.extend(attribute.texts(self.bytes, &self.budget)?),
                None if part > 0 => break,
                None => return Err(missing(format!("the group '{path}' has no attribute '{name}'"))),
            }
        }
        Ok(all)
    }

    /// A tensor: the sizes of its axes, and its numbers; f64 is rounded to nearest.
    ///
    /// # Errors
    /// There is none at this path, it is damaged, claims more than the file can hold, or holds no floats.
    pub fn tensor(&self, path: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let messages = self.object(path)?.tensor.as_deref();
        let messages = messages.ok_or_else(|| missing(format!("'{path}' is a group and no tensor")))?;
        self.read(messages).map_err(|e| e.within(format_args!("tensor '{path}'")))
    }

    fn read(&self, messages: &[Message<'a>]) -> Result<(Vec<usize>, Vec<f32>)> {
        let dims = axes(body(messages, kind::DATASPACE)?)?;
        let class = Type::of(body(messages, kind::DATATYPE)?)?;
        let Type::Float { dtype, big } = class else {
            return Err(Error::new(ErrorKind::Format, format!("it holds no floats, but {class:?}"))
                .with_help("save the model in float32"));
        };
        let count: usize = dims.iter().product();
        self.budget.pay(4 * count as u64)?;
        let mut raw = self.raw(messages, &dims, class.size())?;
        if raw.len() != count * class.size() {
            return Err(damaged(format!("its axes are {dims:?}, and it has {} bytes", raw.len())));
        }
        if big {
            raw.chunks_exact_mut(class.size()).for_each(<[u8]>::reverse);
        }
        let mut data = Vec::with_capacity(count);
        dtype.append(&raw, &mut data).map_err(|_| damaged("it holds no floats"))?;
        Ok((dims, data))
    }

    // The bytes of a tensor, from wherever its layout says they are.
    fn raw(&self, messages: &[Message<'a>], dims: &[usize], size: usize) -> Result<Vec<u8>> {
        let mut at = Cursor::new(body(messages, kind::LAYOUT)?);
        let (version, class) = (at.u8()?, at.u8()?);
        let bytes = dims.iter().product::<usize>() as u64 * size as u64;
        self.budget.pay(bytes)?;
        match (version, class) {
            (3 | 4, 0) => {
                let length = at.u16()?;
                Ok(at.take(usize::from(length))?.to_vec())
            }
            (3 | 4, 1) => match at.u64()? {
                _ if bytes == 0 => Ok(Vec::new()),
                UNDEFINED => Err(damaged("it was never written")),
                address => Ok(Cursor::at(self.bytes, address)?.take(bytes as usize)?.to_vec()),
            },
            (3, 2) => {
                let (rank, tree) = (usize::from(at.u8()?), at.u64()?);
                let mut chunk: Vec<usize> = (0..rank).map(|_| at.u32().map(|d| d as usize)).collect::<Result<_>>()?;
                // The last one is the size of an element.
                chunk.pop();
                let filters = messages.iter().find(|m| m.kind == kind::FILTERS);
                let filters = filters.map_or(Ok(Vec::new()), |m| chunks::filters(m.body))?;
                Chunked { file: self.bytes, tree, dims, chunk, size, filters }.read(&self.budget)
            }
            _ => Err(unread(format!("a tensor in a layout of version {version} and class {class}"))),
        }
    }

    fn object(&self, path: &str) -> Result<&Object<'a>> {
        self.objects.get(path).ok_or_else(|| missing(format!("there is no '{path}' in the HDF5 file")))
    }
}

fn body<'a>(messages: &[Message<'a>], kind: u16) -> Result<&'a [u8]> {
    match messages.iter().find(|m| m.kind == kind) {
        Some(message) if message.shared => Err(unread("types that tensors share")),
        Some(message) => Ok(message.body),
        None => Err(damaged("it does not say what it holds")),
    }
}

fn missing(what: String) -> Error {
    Error::new(ErrorKind::Format, what).with_help("is this a file that Keras wrote, and whole?")
}
