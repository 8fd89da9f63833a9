//! The zip layout: `NAME/data.pkl`, the numbers of storage `k` in `NAME/data/k`, and `NAME/byteorder`.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Named, Storages, failed, pickle, tree};
use crate::error::{Error, Result};
use crate::format::zip::{Archive, Entry};

pub(super) fn tensors<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<Named<'a>>> {
    let archive = Archive::open(path, bytes)?;
    let is_pickle = |entry: &&Entry| entry.name == "data.pkl" || entry.name.ends_with("/data.pkl");
    let entry = archive.entries().iter().find(is_pickle).ok_or_else(|| stranger(path, &archive))?;
    let folder = entry.name.trim_end_matches("data.pkl");
    let entries: BTreeMap<&str, &Entry> =
        archive.entries().iter().filter_map(|e| Some((e.name.strip_prefix(folder)?, e))).collect();
    if let Some(order) = entries.get("byteorder") {
        let order = archive.read(order)?;
        if order.as_ref() != b"little" {
            let message = format!("its numbers are in the byte order '{}'", String::from_utf8_lossy(&order));
            return Err(Error::format(path, message).with_help("load and save it on a little-endian machine"));
        }
    }
    let program = archive.read(entry)?;
    let read = || -> std::result::Result<_, String> {
        let pickled = pickle::read(&program)?;
        let named = tree::named_storages(&pickled.heap)?;
        Ok((pickled, named))
    };
    let (pickled, named) = read().map_err(|what| failed(path, &what))?;
    let mut storages = Storages::new();
    for (key, numbers, size) in named {
        let missing = || failed(path, &format!("the archive has no storage '{}'", super::short(&key)));
        let entry = entries.get(format!("data/{key}").as_str()).ok_or_else(missing)?;
        let checked = tree::checked(&key, archive.read(entry)?, numbers, size).map_err(|what| failed(path, &what))?;
        storages.insert(key, checked);
    }
    tree::collect(&pickled, &storages).map_err(|what| failed(path, &what))
}

fn stranger(path: &Path, archive: &Archive) -> Error {
    let first: Vec<&str> = archive.entries().iter().take(3).map(|e| e.name.as_str()).collect();
    Error::format(path, format!("a zip archive, but not one of PyTorch: it has no data.pkl, but {}", first.join(", ")))
        .with_help("give a file made by torch.save")
}
