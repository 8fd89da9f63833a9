//! From what a pickle made to tensors with names.
//!
//! A state dictionary is a dictionary of tensors. A checkpoint has one somewhere inside, among the state of the
//! optimiser and numbers of the run.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::pickle::{Heap, Object, Pickled, Value};
use super::{Named, Storages, short};

// Where checkpoints keep the weights, the usual places first.
const PLACES: [&str; 9] =
    ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params"];
const MAX_DEPTH: usize = 16;
// More than any network has; dictionaries that share parts could otherwise be walked through without end.
const MAX_VISITS: usize = 1 << 20;
// A storage may be shared, as tied weights are, but the tensors together must not be many times the file.
const MAX_SHARED: u64 = 16;

type Result<T> = std::result::Result<T, String>;

/// The tensors of a pickle, over these storages.
pub(super) fn collect<'a>(pickled: &Pickled, storages: &Storages<'a>) -> Result<Vec<Named<'a>>> {
    let mut walk = Walk { heap: &pickled.heap, storages, found: Vec::new(), visits: 0 };
    let root = walk.weights(pickled.value);
    walk.visit(String::new(), root, 0)?;
    let found = walk.found;
    let mut names = BTreeSet::new();
    if let Some(twice) = found.iter().find(|t| !names.insert(t.name())) {
        return Err(format!("the name '{}' is used twice", short(twice.name())));
    }
    let numbers: u64 = found.iter().map(|t| t.dims().iter().product::<usize>() as u64).sum();
    let bytes: u64 = storages.values().map(|bytes| bytes.len() as u64).sum();
    if numbers > bytes.saturating_mul(MAX_SHARED) {
        return Err(format!("its tensors share their storages: {numbers} numbers out of {bytes} bytes"));
    }
    match found.is_empty() {
        true => Err("it holds no tensors".into()),
        false => Ok(found),
    }
}

struct Walk<'w, 'p, 'a> {
    heap: &'w Heap<'p>,
    storages: &'w Storages<'a>,
    found: Vec<Named<'a>>,
    visits: usize,
}

impl<'p> Walk<'_, 'p, '_> {
    // The dictionary of weights in a checkpoint, or the value itself.
    fn weights(&self, root: Value<'p>) -> Value<'p> {
        let Some(entries) = self.dict(root) else { return root };
        let at = |place: &&str| entries.iter().find(|(key, _)| *key == Value::Text(place)).map(|(_, value)| *value);
        let holds_tensors = |value: &Value<'p>| self.dict(*value).is_some_and(|entries| !entries.is_empty());
        PLACES.iter().filter_map(at).find(holds_tensors).unwrap_or(root)
    }

    fn dict(&self, value: Value<'p>) -> Option<&[(Value<'p>, Value<'p>)]> {
        let Value::Object(at) = value else { return None };
        if let Some(Object::Dict(entries)) = self.heap.get(at) { Some(entries) } else { None }
    }

    fn visit(&mut self, name: String, value: Value<'p>, depth: usize) -> Result<()> {
        self.visits += 1;
        if depth > MAX_DEPTH || self.visits > MAX_VISITS {
            return Err(format!(
                "its dictionaries are nested more than {MAX_DEPTH} deep, or have over {MAX_VISITS} parts"
            ));
        }
        let Value::Object(at) = value else { return Ok(()) };
        let heap = self.heap;
        match &heap[at] {
            Object::Tensor(view) => {
                let key = view.storage.key;
                let bytes = self.storages.get(key).ok_or_else(|| format!("storage '{}' is missing", short(key)))?;
                let name = if name.is_empty() { "tensor".into() } else { name };
                self.found.push(Named::view(name, bytes, view));
            }
            Object::Dict(entries) => {
                for (key, value) in entries {
                    match key {
                        Value::Text(key) => self.visit(join(&name, key), *value, depth + 1)?,
                        Value::Int(key) => self.visit(join(&name, &key.to_string()), *value, depth + 1)?,
                        _ => {}
                    }
                }
            }
            Object::List(items) | Object::Tuple(items) => {
                for (i, value) in items.iter().enumerate() {
                    self.visit(join(&name, &i.to_string()), *value, depth + 1)?;
                }
            }
            Object::Storage(_) => {}
        }
        Ok(())
    }
}

fn join(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_string() } else { format!("{name}.{key}") }
}

/// The bytes of a storage, which must be as many as the pickle says.
pub(super) fn checked<'a>(key: &str, bytes: Cow<'a, [u8]>, numbers: u64, size: usize) -> Result<Rc<Cow<'a, [u8]>>> {
    match numbers.checked_mul(size as u64) {
        Some(expect) if expect == bytes.len() as u64 => Ok(Rc::new(bytes)),
        _ => Err(format!(
            "storage '{}' has {} bytes, expected {numbers} numbers of {size} bytes",
            short(key),
            bytes.len()
        )),
    }
}

/// The storages that a pickle names, each once: key, how many numbers, and the bytes of one.
pub(super) fn named_storages(heap: &Heap) -> Result<Vec<(String, u64, usize)>> {
    let mut found = std::collections::BTreeMap::new();
    for object in heap {
        if let Object::Storage(s) = object {
            let sizes = (s.total, s.dtype.size());
            if *found.entry(s.key).or_insert(sizes) != sizes {
                return Err(format!("storage '{}' is used as two kinds of numbers", short(s.key)));
            }
        }
    }
    Ok(found.into_iter().map(|(key, (total, size))| (key.to_string(), total, size)).collect())
}
