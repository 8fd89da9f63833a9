//! A reader of Python's pickle that knows tensors and nothing else.
//!
//! A pickle is a program for a small stack machine; Python's own reader lets it call any function. This one carries
//! out the opcodes that make numbers, texts, tuples, lists, dictionaries and PyTorch's tensors. Of functions it knows
//! the names in [`Global`], and "calls" them by taking their arguments apart; any other name is an error that says
//! which. Nothing is ever executed.
//!
//! Bounds: each opcode makes at most one value, values that are met again are shared and never copied, texts stay in
//! the file's bytes, and nothing recurses. So memory is at most a small multiple of the pickle's length, however it
//! is written.
//!
//! Source: the Python library's `pickletools`, and `torch/serialization.py` and `torch/_utils.py` of PyTorch.

use std::collections::BTreeMap;

use super::opcode::Opcode;
use crate::format::Dtype;
use crate::format::safetensors::{MAX_RANK, shorten};

const MAX_ARGUMENTS: usize = 16;

type Result<T> = std::result::Result<T, String>;

/// A value: a small one itself, others by their place in the [`Heap`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Global(Global),
    Object(usize),
}

/// What a value on the heap is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Storage(Storage<'a>),
    Tensor(View<'a>),
}

/// The names that a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    Dict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`.
    Tensor,
    /// `torch._utils._rebuild_parameter`.
    Parameter,
    /// `torch.FloatStorage` and its kin.
    Storage(Dtype),
    /// `torch.Size`.
    Size,
}

/// A run of numbers in a storage of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Storage<'a> {
    pub key: &'a str,
    pub dtype: Dtype,
    /// All numbers of the storage of this key.
    pub total: u64,
    /// The first number of this view of it, and how many it has.
    pub offset: u64,
    pub len: u64,
}

/// A tensor: sizes and strides over a storage, checked to lie inside it and not to meet a number twice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View<'a> {
    pub storage: Storage<'a>,
    pub offset: usize,
    pub dims: Vec<usize>,
    pub strides: Vec<usize>,
}

/// All values of a pickle that have parts.
pub(super) type Heap<'a> = Vec<Object<'a>>;

/// What a pickle makes.
#[derive(Debug)]
pub(super) struct Pickled<'a> {
    pub value: Value<'a>,
    pub heap: Heap<'a>,
    /// The bytes it takes.
    pub length: usize,
}

/// Reads the pickle at the start of `bytes`.
///
/// # Errors
/// The bytes are cut off, are no pickle, or hold what is not read; the message names it.
pub(super) fn read(bytes: &[u8]) -> Result<Pickled<'_>> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        heap: Vec::new(),
        copied: 0,
    };
    loop {
        let start = machine.at;
        let [byte] = machine.take()?;
        let opcode = Opcode::from_byte(byte).map_err(|what| format!("byte {start} of the pickle is {what}"))?;
        if opcode == Opcode::Stop {
            let value = machine.pop()?;
            return Ok(Pickled { value, heap: machine.heap, length: machine.at });
        }
        machine.step(opcode).map_err(|what| format!("{what} (byte {start} of the pickle)"))?;
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value<'a>>,
    heap: Heap<'a>,
    /// Entries of dictionaries that were copied from lists.
    copied: usize,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: Opcode) -> Result<()> {
        match opcode {
            Opcode::Stop => {}
            Opcode::Proto => self.protocol()?,
            Opcode::Frame => _ = self.take::<8>()?,
            Opcode::Mark => self.marks.push(self.stack.len()),
            Opcode::Pop => _ = self.pop()?,
            Opcode::PopMark => _ = self.pop_mark()?,
            Opcode::Dup => self.stack.push(self.top()?),
            Opcode::None => self.stack.push(Value::None),
            Opcode::True | Opcode::False => self.stack.push(Value::Bool(opcode == Opcode::True)),
            Opcode::Int1 | Opcode::Int2 | Opcode::Int4 | Opcode::Long1 | Opcode::Float => self.number(opcode)?,
            Opcode::Text1 | Opcode::Text4 | Opcode::Text8 => self.text(opcode)?,
            Opcode::Bytes1 | Opcode::Bytes4 | Opcode::String1 | Opcode::String4 => self.string(opcode)?,
            Opcode::EmptyList => self.push(Object::List(Vec::new())),
            Opcode::EmptyTuple => self.push(Object::Tuple(Vec::new())),
            Opcode::EmptyDict => self.push(Object::Dict(Vec::new())),
            Opcode::List | Opcode::Tuple | Opcode::Dict => self.collect(opcode)?,
            Opcode::Tuple1 => self.tuple(1)?,
            Opcode::Tuple2 => self.tuple(2)?,
            Opcode::Tuple3 => self.tuple(3)?,
            Opcode::Append | Opcode::Appends => self.append(opcode)?,
            Opcode::SetItem | Opcode::SetItems => self.set_items(opcode)?,
            Opcode::Global | Opcode::StackGlobal => self.global(opcode)?,
            Opcode::Reduce => self.reduce()?,
            Opcode::Build => self.build()?,
            Opcode::PersId => self.persistent()?,
            Opcode::Put1 | Opcode::Put4 | Opcode::Memoize => self.put(opcode)?,
            Opcode::Get1 | Opcode::Get4 => self.get(opcode)?,
        }
        Ok(())
    }

    // ---- bytes ----

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.bytes[self.at..].first_chunk().ok_or("the pickle is cut off")?;
        self.at += N;
        Ok(*taken)
    }

    fn slice(&mut self, length: u64) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(length).ok().and_then(|n| rest.get(..n));
        let taken = taken.ok_or_else(|| format!("a text of {length} bytes, but {} are left", rest.len()))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == b'\n').ok_or("the pickle is cut off in a name")?;
        self.at += end + 1;
        utf8(&rest[..end])
    }

    fn protocol(&mut self) -> Result<()> {
        match self.take()? {
            [0..=5] => Ok(()),
            [other] => Err(format!("protocol {other} of pickle is not read, 0 to 5 are")),
        }
    }

    // ---- the stack ----

    fn push(&mut self, object: Object<'a>) {
        self.stack.push(Value::Object(self.heap.len()));
        self.heap.push(object);
    }

    // The height below which the stack must not be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value<'a>> {
        self.stack
            .last()
            .filter(|_| self.stack.len() > self.floor())
            .copied()
            .ok_or_else(|| "the stack is empty".into())
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or("there is no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, length: usize) -> Result<()> {
        let from = self.stack.len().checked_sub(length).filter(|from| *from >= self.floor());
        let items = self.stack.split_off(from.ok_or("the stack is too short for a tuple")?);
        self.push(Object::Tuple(items));
        Ok(())
    }

    // ---- values ----

    fn number(&mut self, opcode: Opcode) -> Result<()> {
        let value = match opcode {
            Opcode::Int1 => Value::Int(self.take().map(u8::from_le_bytes)?.into()),
            Opcode::Int2 => Value::Int(self.take().map(u16::from_le_bytes)?.into()),
            Opcode::Int4 => Value::Int(self.take().map(i32::from_le_bytes)?.into()),
            Opcode::Float => Value::Float(self.take().map(f64::from_be_bytes)?),
            _ => self.long()?,
        };
        self.stack.push(value);
        Ok(())
    }

    // An integer of any length; one that i64 does not hold stays as its bytes.
    fn long(&mut self) -> Result<Value<'a>> {
        let [length] = self.take()?;
        let bytes = self.slice(length.into())?;
        let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        match wide.get_mut(..bytes.len()) {
            Some(low) => low.copy_from_slice(bytes),
            None => return Ok(Value::Bytes(bytes)),
        }
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, opcode: Opcode) -> Result<()> {
        let length = match opcode {
            Opcode::Text1 => self.take().map(u8::from_le_bytes)?.into(),
            Opcode::Text4 => self.take().map(u32::from_le_bytes)?.into(),
            _ => self.take().map(u64::from_le_bytes)?,
        };
        let text = self.slice(length).and_then(utf8)?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    // Bytes; the strings of Python 2 are texts if they can be.
    fn string(&mut self, opcode: Opcode) -> Result<()> {
        let short = matches!(opcode, Opcode::Bytes1 | Opcode::String1);
        let length = if short {
            self.take().map(u8::from_le_bytes)?.into()
        } else {
            self.take().map(u32::from_le_bytes)?.into()
        };
        let bytes = self.slice(length)?;
        let is_text = matches!(opcode, Opcode::String1 | Opcode::String4);
        self.stack.push(match std::str::from_utf8(bytes) {
            Ok(text) if is_text => Value::Text(text),
            _ => Value::Bytes(bytes),
        });
        Ok(())
    }

    fn collect(&mut self, opcode: Opcode) -> Result<()> {
        let items = self.pop_mark()?;
        let object = match opcode {
            Opcode::List => Object::List(items),
            Opcode::Dict => Object::Dict(pairs(&items)?),
            _ => Object::Tuple(items),
        };
        self.push(object);
        Ok(())
    }

    fn append(&mut self, opcode: Opcode) -> Result<()> {
        let items = if opcode == Opcode::Append { vec![self.pop()?] } else { self.pop_mark()? };
        match self.top_object()? {
            Object::List(list) => list.extend(items),
            _ => return Err("items are appended to what is no list".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, opcode: Opcode) -> Result<()> {
        let items = if opcode == Opcode::SetItem {
            let value = self.pop()?;
            vec![self.pop()?, value]
        } else {
            self.pop_mark()?
        };
        let items = pairs(&items)?;
        match self.top_object()? {
            Object::Dict(dict) => dict.extend(items),
            _ => return Err("entries are set in what is no dictionary".into()),
        }
        Ok(())
    }

    fn top_object(&mut self) -> Result<&mut Object<'a>> {
        match self.top()? {
            Value::Object(at) => Ok(&mut self.heap[at]),
            _ => Err("what is on the stack has no parts".into()),
        }
    }

    fn put(&mut self, opcode: Opcode) -> Result<()> {
        let key = match opcode {
            Opcode::Put1 => self.take().map(u8::from_le_bytes)?.into(),
            Opcode::Put4 => self.take().map(u32::from_le_bytes)?,
            _ => self.memo.len() as u32,
        };
        let value = self.top()?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn get(&mut self, opcode: Opcode) -> Result<()> {
        let short = opcode == Opcode::Get1;
        let key =
            if short { self.take().map(u8::from_le_bytes)?.into() } else { self.take().map(u32::from_le_bytes)? };
        let value = *self.memo.get(&key).ok_or_else(|| format!("the memo has no entry {key}"))?;
        self.stack.push(value);
        Ok(())
    }

    // ---- names and what they make ----

    fn global(&mut self, opcode: Opcode) -> Result<()> {
        let (module, name) = if opcode == Opcode::Global {
            (self.line()?, self.line()?)
        } else {
            match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => (module, name),
                _ => return Err("the name of a global is no text".into()),
            }
        };
        let global = Global::find(module, name);
        let unknown = || format!("the pickle uses '{}.{}', which is no tensor", shorten(module), shorten(name));
        self.stack.push(Value::Global(global.ok_or_else(unknown)?));
        Ok(())
    }

    fn reduce(&mut self) -> Result<()> {
        let arguments = self.tuple_of(self.top()?).filter(|items| items.len() <= MAX_ARGUMENTS);
        let arguments = arguments.ok_or("a call without a tuple of some arguments")?.to_vec();
        self.pop()?;
        match self.pop()? {
            Value::Global(Global::Dict) => {
                let dict = self.ordered_dict(&arguments)?;
                self.push(Object::Dict(dict));
            }
            Value::Global(Global::Tensor) => {
                let view = self.view(&arguments).map_err(|what| format!("a tensor's {what}"))?;
                self.push(Object::Tensor(view));
            }
            Value::Global(Global::Parameter) => {
                let tensor = arguments.first().filter(|v| matches!(self.object(**v), Some(Object::Tensor(_))));
                self.stack.push(*tensor.ok_or("a parameter that is no tensor")?);
            }
            Value::Global(Global::Size) => {
                let sizes = arguments.first().filter(|v| self.tuple_of(**v).is_some());
                self.stack.push(*sizes.ok_or("a size that is no tuple")?);
            }
            _ => return Err("a call of what cannot be called".into()),
        }
        Ok(())
    }

    // The attributes of a dictionary, such as PyTorch's `_metadata`, are of no use here.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.top_object()? {
            Object::Dict(_) => Ok(()),
            _ => Err("attributes are set on what is no dictionary".into()),
        }
    }

    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let storage = self.tuple_of(id).and_then(|parts| self.storage(parts));
        let storage = storage.ok_or("a persistent id that is no storage")?;
        self.push(Object::Storage(storage));
        Ok(())
    }

    // `('storage', type, key, place, length)`; before 2022 with a view `(key, offset, length)`, mostly `None`.
    fn storage(&self, parts: &[Value<'a>]) -> Option<Storage<'a>> {
        let &[Value::Text("storage"), Value::Global(Global::Storage(dtype)), key, _, Value::Int(len), ref view @ ..] =
            parts
        else {
            return None;
        };
        let total = u64::try_from(len).ok()?;
        let Value::Text(key) = key else { return None };
        let whole = Storage { key, dtype, total, offset: 0, len: total };
        match *view {
            [] | [Value::None] => Some(whole),
            [view] => match *self.tuple_of(view)? {
                [_, Value::Int(offset), Value::Int(len)] => {
                    let (offset, len) = (u64::try_from(offset).ok()?, u64::try_from(len).ok()?);
                    (offset.checked_add(len)? <= total).then_some(Storage { offset, len, ..whole })
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn ordered_dict(&mut self, arguments: &[Value<'a>]) -> Result<Vec<(Value<'a>, Value<'a>)>> {
        let items = match arguments {
            [] => return Ok(Vec::new()),
            [items] => *items,
            _ => return Err("a dictionary of several arguments".into()),
        };
        let pair = |item: &Value<'a>| match self.sequence(*item) {
            Some([key, value]) => Ok((*key, *value)),
            _ => Err("a dictionary's entry that is no pair".to_string()),
        };
        let items = self.sequence(items).ok_or("a dictionary that is made of no list")?;
        let dict = items.iter().map(pair).collect::<Result<Vec<_>>>()?;
        // The one place where a value's parts are copied: a list that is met again and again must not become many.
        self.copied = self.copied.saturating_add(dict.len());
        if self.copied > self.bytes.len() { Err("one list is made into many dictionaries".into()) } else { Ok(dict) }
    }

    // `(storage, offset, sizes, strides, ...)`.
    fn view(&self, arguments: &[Value<'a>]) -> Result<View<'a>> {
        let [storage, Value::Int(offset), sizes, strides, ..] = arguments else {
            return Err("arguments are not a storage, an offset, sizes and strides".into());
        };
        let Some(Object::Storage(storage)) = self.object(*storage) else { return Err("storage is none".into()) };
        let dims = self.sizes(*sizes).ok_or("sizes are no tuple of up to 8 counts")?;
        let strides = self.sizes(*strides).ok_or("strides are no tuple of up to 8 counts")?;
        let offset = usize::try_from(*offset).map_err(|_| format!("offset is {offset}"))?;
        let view = View { storage: *storage, offset, dims, strides };
        view.check()?;
        Ok(view)
    }

    fn sizes(&self, value: Value<'a>) -> Option<Vec<usize>> {
        let items = self.tuple_of(value).filter(|items| items.len() <= MAX_RANK)?;
        items.iter().map(|v| if let Value::Int(n) = v { usize::try_from(*n).ok() } else { None }).collect()
    }

    fn object(&self, value: Value<'a>) -> Option<&Object<'a>> {
        if let Value::Object(at) = value { self.heap.get(at) } else { None }
    }

    fn tuple_of(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        if let Some(Object::Tuple(items)) = self.object(value) { Some(items) } else { None }
    }

    fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        if let Some(Object::Tuple(items) | Object::List(items)) = self.object(value) { Some(items) } else { None }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8".into())
}

fn pairs<'a>(items: &[Value<'a>]) -> Result<Vec<(Value<'a>, Value<'a>)>> {
    match items.as_chunks() {
        (pairs, []) => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
        _ => Err("a dictionary's key without a value".into()),
    }
}

impl View<'_> {
    // Inside the storage, and no number twice: in order of their strides, each axis steps over all before it.
    fn check(&self) -> Result<()> {
        let (dims, strides) = (&self.dims, &self.strides);
        if dims.len() != strides.len() {
            return Err(format!("{} sizes do not go with {} strides", dims.len(), strides.len()));
        }
        let mut axes: Vec<(usize, usize)> =
            strides.iter().copied().zip(dims.iter().copied()).filter(|(_, d)| *d != 1).collect();
        axes.sort_unstable();
        let empty = axes.iter().any(|(_, d)| *d == 0);
        let mut span = usize::from(!empty);
        for (stride, dim) in axes.iter().filter(|_| !empty) {
            if *stride < span {
                return Err(format!("strides {strides:?} with sizes {dims:?} meet a number twice"));
            }
            let last = stride.checked_mul(dim - 1).and_then(|last| last.checked_add(span));
            span = last.ok_or_else(|| format!("sizes {dims:?} with strides {strides:?} are too large"))?;
        }
        match self.offset.checked_add(span) {
            Some(end) if end as u64 <= self.storage.len => Ok(()),
            _ => Err(format!(
                "sizes {dims:?} and strides {strides:?} from number {} on do not fit its storage of {} numbers",
                self.offset, self.storage.len
            )),
        }
    }
}

const STORAGES: [(&str, Dtype); 10] = [
    ("FloatStorage", Dtype::F32),
    ("DoubleStorage", Dtype::F64),
    ("HalfStorage", Dtype::F16),
    ("BFloat16Storage", Dtype::Bf16),
    ("LongStorage", Dtype::I64),
    ("IntStorage", Dtype::I32),
    ("ShortStorage", Dtype::I16),
    ("CharStorage", Dtype::I8),
    ("ByteStorage", Dtype::U8),
    ("BoolStorage", Dtype::Bool),
];

impl Global {
    fn find(module: &str, name: &str) -> Option<Self> {
        let storage = || STORAGES.iter().find(|(known, _)| *known == name).map(|(_, dtype)| *dtype);
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::Dict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Self::Tensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::Parameter),
            ("torch", "Size") => Some(Self::Size),
            ("torch" | "torch.cuda", _) => storage().map(Self::Storage),
            _ => None,
        }
    }
}
