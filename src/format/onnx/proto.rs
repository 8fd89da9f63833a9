//! The messages of an ONNX file, as far as they are read and written here.
//!
//! Each struct lists the fields with the names and numbers of `onnx.proto`. A
//! graph inside an attribute (of `If`, `Loop`, `Scan`) is noted but not opened,
//! so a file nests to a fixed depth.
//!
//! Source: github.com/onnx/onnx, `onnx/onnx.proto`, IR version 10.

use std::borrow::Cow;

use super::wire::{Field, Message, Writer};
use crate::error::Result;

/// `ModelProto`.
#[derive(Debug, Default)]
pub(super) struct ModelProto<'a> {
    pub ir_version: i64,
    pub producer: String,
    pub producer_version: String,
    pub graph: Option<GraphProto<'a>>,
    pub opsets: Vec<Pair>,
    pub metadata: Vec<Entry>,
}

impl<'a> Message<'a> for ModelProto<'a> {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => self.ir_version = field.int()?,
            2 => self.producer = field.text()?,
            3 => self.producer_version = field.text()?,
            7 => self.graph = Some(field.message()?),
            8 => self.opsets.push(field.message()?),
            14 => self.metadata.push(field.message()?),
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        out.int(1, self.ir_version);
        out.text(2, &self.producer);
        out.text(3, &self.producer_version);
        self.graph.iter().for_each(|graph| out.message(7, graph));
        out.messages(8, &self.opsets);
        out.messages(14, &self.metadata);
    }
}

/// `OperatorSetIdProto`: a set of operators and its version.
#[derive(Debug, Default)]
pub(super) struct Pair {
    pub domain: String,
    pub version: i64,
}

impl<'a> Message<'a> for Pair {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => self.domain = field.text()?,
            2 => self.version = field.int()?,
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        out.text(1, &self.domain);
        out.int(2, self.version);
    }
}

/// `StringStringEntryProto`: an entry of the metadata.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub key: String,
    pub value: String,
}

impl<'a> Message<'a> for Entry {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => self.key = field.text()?,
            2 => self.value = field.text()?,
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        out.text(1, &self.key);
        out.text(2, &self.value);
    }
}

/// `GraphProto`.
#[derive(Debug, Default)]
pub(super) struct GraphProto<'a> {
    pub nodes: Vec<NodeProto<'a>>,
    pub name: String,
    pub initializers: Vec<TensorProto<'a>>,
    pub inputs: Vec<ValueInfo>,
    pub outputs: Vec<ValueInfo>,
    pub sparse: usize,
}

impl<'a> Message<'a> for GraphProto<'a> {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => self.nodes.push(field.message()?),
            2 => self.name = field.text()?,
            5 => self.initializers.push(field.message()?),
            11 => self.inputs.push(field.message()?),
            12 => self.outputs.push(field.message()?),
            15 => self.sparse += 1,
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        out.messages(1, &self.nodes);
        out.text(2, &self.name);
        out.messages(5, &self.initializers);
        out.messages(11, &self.inputs);
        out.messages(12, &self.outputs);
    }
}

/// `NodeProto`: one operator.
#[derive(Debug, Default, Clone)]
pub(super) struct NodeProto<'a> {
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub name: String,
    pub op: String,
    pub attributes: Vec<AttributeProto<'a>>,
    pub domain: String,
}

impl<'a> Message<'a> for NodeProto<'a> {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => self.inputs.push(field.text()?),
            2 => self.outputs.push(field.text()?),
            3 => self.name = field.text()?,
            4 => self.op = field.text()?,
            5 => self.attributes.push(field.message()?),
            7 => self.domain = field.text()?,
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        // An input that is left out has an empty name, which is written.
        self.inputs.iter().for_each(|name| out.bytes(1, name.as_bytes()));
        self.outputs.iter().for_each(|name| out.bytes(2, name.as_bytes()));
        out.text(3, &self.name);
        out.text(4, &self.op);
        out.messages(5, &self.attributes);
        out.text(7, &self.domain);
    }
}

/// What an attribute holds; the numbers are those of `AttributeProto.AttributeType`.
#[derive(Debug, Default, Clone)]
pub(super) enum Held<'a> {
    #[default]
    Nothing,
    Float(f32),
    Int(i64),
    Text(Cow<'a, [u8]>),
    Tensor(TensorProto<'a>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    /// A graph, a type, a list of texts: known to be there, not read.
    Other,
}

/// `AttributeProto`.
#[derive(Debug, Default, Clone)]
pub(super) struct AttributeProto<'a> {
    pub name: String,
    pub held: Held<'a>,
    /// The type that the file says it has; an empty list holds nothing else that tells.
    pub kind: i64,
}

impl AttributeProto<'_> {
    fn ints(&mut self) -> &mut Vec<i64> {
        if !matches!(self.held, Held::Ints(_)) {
            self.held = Held::Ints(Vec::new());
        }
        match &mut self.held {
            Held::Ints(list) => list,
            _ => unreachable!("it was just set"),
        }
    }

    fn floats(&mut self) -> &mut Vec<f32> {
        if !matches!(self.held, Held::Floats(_)) {
            self.held = Held::Floats(Vec::new());
        }
        match &mut self.held {
            Held::Floats(list) => list,
            _ => unreachable!("it was just set"),
        }
    }
}

const FLOAT: i64 = 1;
const INT: i64 = 2;
const STRING: i64 = 3;
const TENSOR: i64 = 4;
const FLOATS: i64 = 6;
const INTS: i64 = 7;

impl<'a> Message<'a> for AttributeProto<'a> {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => self.name = field.text()?,
            2 => self.held = Held::Float(field.float()?),
            3 => self.held = Held::Int(field.int()?),
            4 => self.held = Held::Text(field.bytes()?.into()),
            5 => self.held = Held::Tensor(field.message()?),
            6 | 9 | 10 | 11 | 14 | 15 | 21 | 22 | 23 => self.held = Held::Other,
            7 => field.floats(self.floats())?,
            8 => field.ints(self.ints())?,
            20 => self.kind = field.int()?,
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        out.text(1, &self.name);
        let kind = match &self.held {
            Held::Nothing | Held::Other => self.kind,
            Held::Float(v) => {
                out.float(2, *v);
                FLOAT
            }
            Held::Int(v) => {
                out.int(3, *v);
                INT
            }
            Held::Text(v) => {
                out.bytes(4, v);
                STRING
            }
            Held::Tensor(v) => {
                out.message(5, v);
                TENSOR
            }
            Held::Floats(list) => {
                list.iter().for_each(|v| out.float(7, *v));
                FLOATS
            }
            Held::Ints(list) => {
                list.iter().for_each(|v| out.int(8, *v));
                INTS
            }
        };
        out.int(20, kind);
    }
}

/// `TensorProto`: numbers with their sizes, in one of several forms.
#[derive(Debug, Default, Clone)]
pub(super) struct TensorProto<'a> {
    pub dims: Vec<i64>,
    pub data_type: i64,
    pub floats: Vec<f32>,
    /// `int32_data`, which also holds the smaller types and the bits of f16.
    pub int32s: Vec<i64>,
    /// `int64_data` and `uint64_data`.
    pub int64s: Vec<i64>,
    pub doubles: Vec<f64>,
    pub name: String,
    pub raw: Option<Cow<'a, [u8]>>,
    /// Whether the numbers are in another file.
    pub external: bool,
}

impl<'a> Message<'a> for TensorProto<'a> {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => field.ints(&mut self.dims)?,
            2 => self.data_type = field.int()?,
            4 => field.floats(&mut self.floats)?,
            5 => field.ints(&mut self.int32s)?,
            7 | 11 => field.ints(&mut self.int64s)?,
            8 => self.name = field.text()?,
            9 => self.raw = Some(field.bytes()?.into()),
            10 => field.doubles(&mut self.doubles)?,
            13 => self.external = true,
            14 => self.external |= field.int()? == 1,
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        self.dims.iter().for_each(|v| out.int(1, *v));
        out.int(2, self.data_type);
        out.text(8, &self.name);
        self.raw.iter().for_each(|raw| out.bytes(9, raw));
        if self.external {
            out.int(14, 1);
        }
    }
}

/// A size that a file leaves open has a name, or nothing.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Dim {
    pub value: Option<i64>,
    pub param: String,
}

impl<'a> Message<'a> for Dim {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => self.value = Some(field.int()?),
            2 => self.param = field.text()?,
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        self.value.iter().for_each(|v| out.int(1, *v));
        out.text(2, &self.param);
    }
}

/// `ValueInfoProto` of a tensor: its name, type and sizes. The messages in between hold one field each.
#[derive(Debug, Default)]
pub(super) struct ValueInfo {
    pub name: String,
    pub tensor: Option<TensorType>,
}

impl<'a> Message<'a> for ValueInfo {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => self.name = field.text()?,
            2 => self.tensor = field.message::<Within<TensorType>>()?.0,
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        out.text(1, &self.name);
        self.tensor.iter().for_each(|tensor| out.message(2, &Within(Some(tensor.clone()))));
    }
}

/// `TypeProto.Tensor`.
#[derive(Debug, Default, Clone)]
pub(super) struct TensorType {
    pub data_type: i64,
    /// The sizes; `None` where the file says nothing, not even how many there are.
    pub dims: Option<Dims>,
}

impl<'a> Message<'a> for TensorType {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        match number {
            1 => self.data_type = field.int()?,
            2 => self.dims = Some(field.message()?),
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        out.int(1, self.data_type);
        self.dims.iter().for_each(|dims| out.message(2, dims));
    }
}

/// `TensorShapeProto`.
#[derive(Debug, Default, Clone)]
pub(super) struct Dims(pub Vec<Dim>);

impl<'a> Message<'a> for Dims {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        if number == 1 {
            self.0.push(field.message()?);
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        out.messages(1, &self.0);
    }
}

/// A message whose field 1 is another, and is all that is read: `TypeProto` around `TypeProto.Tensor`.
#[derive(Debug)]
struct Within<M>(Option<M>);

impl<M> Default for Within<M> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'a, M: Message<'a>> Message<'a> for Within<M> {
    fn field(&mut self, number: u64, field: Field<'a>) -> Result<()> {
        if number == 1 {
            self.0 = Some(field.message()?);
        }
        Ok(())
    }

    fn encode(&self, out: &mut Writer) {
        self.0.iter().for_each(|message| out.message(1, message));
    }
}
