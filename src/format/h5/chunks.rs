//! Tensors in chunks: a B-tree says where each chunk is, and filters say how it was compressed.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::bytes::{Budget, Cursor, UNDEFINED, damaged, unread};
use crate::error::Result;

const MAX_LEVELS: usize = 16;

/// A tensor in chunks.
pub struct Chunked<'a> {
    /// The file.
    pub file: &'a [u8],
    /// The address of the B-tree.
    pub tree: u64,
    /// The axes of the tensor.
    pub dims: &'a [usize],
    /// The axes of a chunk.
    pub chunk: Vec<usize>,
    /// The bytes of an element.
    pub size: usize,
    /// The filters, in the order in which they were applied.
    pub filters: Vec<u16>,
}

/// The numbers of the filters in a filter message.
///
/// # Errors
/// The message is cut off, or a filter is none of deflate, shuffle and Fletcher's checksum.
pub fn filters(body: &[u8]) -> Result<Vec<u16>> {
    let mut at = Cursor::new(body);
    let (version, count) = (at.u8()?, at.u8()?);
    at.take(if version == 1 { 6 } else { 0 })?;
    let mut filters = Vec::new();
    for _ in 0..count {
        let filter = at.u16()?;
        let name = if version == 1 || filter >= 256 { usize::from(at.u16()?) } else { 0 };
        let (_flags, values) = (at.u16()?, usize::from(at.u16()?));
        let pad = if version == 1 { 8 } else { 1 };
        at.take(name.next_multiple_of(pad))?;
        at.take(4 * values + if version == 1 && values % 2 == 1 { 4 } else { 0 })?;
        if !(1..=3).contains(&filter) {
            return Err(unread(format!("tensors compressed with filter {filter}")));
        }
        filters.push(filter);
    }
    Ok(filters)
}

impl Chunked<'_> {
    /// The bytes of the tensor; what no chunk holds is 0.
    ///
    /// # Errors
    /// The tree or a chunk is damaged, or more is claimed than the file can hold.
    pub fn read(&self, budget: &Budget) -> Result<Vec<u8>> {
        let elements: Option<usize> = self.chunk.iter().try_fold(self.size, |n, d| n.checked_mul(*d));
        let whole: usize = self.dims.iter().product::<usize>() * self.size;
        let Some(bytes) = elements.filter(|n| *n > 0 && self.chunk.len() == self.dims.len()) else {
            return Err(damaged(format!("chunks of {:?} in a tensor of {:?}", self.chunk, self.dims)));
        };
        budget.pay(whole as u64)?;
        let mut all = vec![0; whole];
        if self.tree == UNDEFINED {
            return Ok(all);
        }
        let mut nodes = vec![(self.tree, 0)];
        while let Some((address, depth)) = nodes.pop() {
            let mut at = Cursor::at(self.file, address)?;
            at.expect(b"TREE")?;
            let (class, level, count) = (at.u8()?, at.u8()?, at.u16()?);
            at.take(16)?;
            if class != 1 || depth > MAX_LEVELS {
                return Err(damaged("the tree of a tensor's chunks is not one"));
            }
            for _ in 0..count {
                budget.pay(32)?;
                let (length, mask) = (at.u32()? as usize, at.u32()?);
                let start: Vec<u64> = (0..self.dims.len()).map(|_| at.u64()).collect::<Result<_>>()?;
                at.take(8)?;
                let child = at.u64()?;
                if level > 0 {
                    nodes.push((child, depth + 1));
                    continue;
                }
                budget.pay(bytes as u64)?;
                let stored = Cursor::at(self.file, child)?.take(length)?;
                self.place(&self.unpack(stored, mask, bytes)?, &start, &mut all)?;
            }
        }
        Ok(all)
    }

    // Undoes the filters, the last one first.
    fn unpack(&self, stored: &[u8], mask: u32, bytes: usize) -> Result<Vec<u8>> {
        let mut data = stored.to_vec();
        for (i, filter) in self.filters.iter().enumerate().rev() {
            if mask >> i.min(31) & 1 == 1 {
                continue;
            }
            data = match filter {
                1 => inflate(&data, bytes + 4)?,
                2 => unshuffle(&data, self.size),
                _ => data[..data.len().saturating_sub(4)].to_vec(),
            };
        }
        if data.len() == bytes { Ok(data) } else { Err(damaged("a chunk has not the bytes that it should")) }
    }

    // Copies a chunk's rows to where they belong; the last chunks reach beyond the tensor.
    fn place(&self, data: &[u8], start: &[u64], all: &mut [u8]) -> Result<()> {
        let inside = start.iter().zip(self.dims).all(|(s, d)| *s < *d as u64);
        if !inside || self.dims.is_empty() {
            return Err(damaged("a chunk lies outside of its tensor"));
        }
        let start: Vec<usize> = start.iter().map(|s| *s as usize).collect();
        let last = self.dims.len() - 1;
        let row = self.chunk[last];
        let width = row.min(self.dims[last] - start[last]) * self.size;
        for (i, row) in data.chunks_exact(row * self.size).enumerate() {
            let mut rest = i;
            let (mut to, mut step, mut inside) = (start[last], self.dims[last], true);
            for axis in (0..last).rev() {
                let at = start[axis] + rest % self.chunk[axis];
                rest /= self.chunk[axis];
                inside &= at < self.dims[axis];
                to += at * step;
                step *= self.dims[axis];
            }
            if inside {
                all[to * self.size..][..width].copy_from_slice(&row[..width]);
            }
        }
        Ok(())
    }
}

fn inflate(packed: &[u8], most: usize) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let read = ZlibDecoder::new(packed).take(most as u64 + 1).read_to_end(&mut data);
    match read {
        Ok(count) if count <= most => Ok(data),
        Ok(_) => Err(damaged("a chunk inflates to more than it should")),
        Err(e) => Err(damaged(format!("a chunk cannot be inflated: {e}"))),
    }
}

// All first bytes, then all second ones, ...: put together again.
fn unshuffle(data: &[u8], size: usize) -> Vec<u8> {
    let count = data.len() / size.max(1);
    let mut whole = data.to_vec();
    for (i, byte) in data[..count * size].iter().enumerate() {
        whole[i % count * size + i / count] = *byte;
    }
    whole
}
