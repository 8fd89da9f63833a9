//! A node of a file as the importer sees it: its inputs and its attributes, with errors that name them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::constant::Constant;
use super::layout::Layout;
use super::proto::{Held, NodeProto};
use crate::error::{Error, Result};
use crate::graph::Value;

/// What an ONNX value is known to be.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// It does not depend on the input.
    Constant(Rc<Constant>),
    /// It does.
    Feature(Feature),
}

impl Known {
    /// The numbers that are kept for it.
    pub fn len(&self) -> usize {
        match self {
            Self::Constant(constant) => constant.len(),
            Self::Feature(_) => 0,
        }
    }
}

impl From<Constant> for Known {
    fn from(constant: Constant) -> Self {
        Self::Constant(Rc::new(constant))
    }
}

impl From<Feature> for Known {
    fn from(feature: Feature) -> Self {
        Self::Feature(feature)
    }
}

/// A value of our graph, and how ONNX's axes lie in it.
#[derive(Debug, Clone)]
pub(super) struct Feature {
    pub value: Value,
    /// The axes without the batch.
    pub layout: Layout,
    /// Which of ONNX's axes is the batch.
    pub batch: Option<usize>,
}

impl Feature {
    /// The number of ONNX's axes.
    pub fn rank(&self) -> usize {
        self.layout.rank() + usize::from(self.batch.is_some())
    }

    /// The sizes of ONNX's axes, with `batch` where the batch is.
    pub fn dims(&self, batch: i64) -> Vec<i64> {
        let mut dims: Vec<i64> = self.layout.dims().iter().map(|d| *d as i64).collect();
        self.batch.iter().for_each(|at| dims.insert(*at, batch));
        dims
    }

    /// The axis of the layout that is ONNX's axis `axis`, which may count from the end.
    ///
    /// # Errors
    /// There is no such axis, or it is the batch.
    pub fn axis(&self, axis: i64) -> Result<usize> {
        let at = index(axis, self.rank())?;
        match self.batch {
            Some(batch) if at == batch => Err(Error::argument(format!("axis {axis} is the batch"))
                .with_help("samples are independent here: no op may work across them")),
            Some(batch) if at > batch => Ok(at - 1),
            _ => Ok(at),
        }
    }

    /// As [`Feature::axis`], for several.
    pub fn axes(&self, axes: &[i64]) -> Result<Vec<usize>> {
        axes.iter().map(|axis| self.axis(*axis)).collect()
    }

    /// The axes of one sample, if the batch comes first, as most layers want it.
    ///
    /// # Errors
    /// The batch is elsewhere, or there is none.
    pub fn sample(&self) -> Result<Vec<usize>> {
        match self.batch {
            Some(0) => Ok(self.layout.dims()),
            _ => Err(Error::argument(format!("an input with the axes {:?} has no batch in front", self.dims(-1)))),
        }
    }

    /// The same value with another layout.
    pub fn seen_as(&self, layout: Layout) -> Self {
        Self { value: self.value, layout, batch: self.batch }
    }
}

/// An axis that may count from the end, as one that counts from the start.
pub(super) fn index(axis: i64, rank: usize) -> Result<usize> {
    let from_start = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let at = from_start.and_then(|axis| usize::try_from(axis).ok()).filter(|at| *at < rank);
    at.ok_or_else(|| Error::argument(format!("there is no axis {axis} among {rank}")))
}

/// A node with its inputs.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub node: &'a NodeProto<'a>,
    /// The version of the operators.
    pub opset: i64,
    pub inputs: Vec<Option<Known>>,
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Call<'a> {
    pub fn new(node: &'a NodeProto<'a>, opset: i64, inputs: Vec<Option<Known>>) -> Self {
        Self { node, opset, inputs, read: RefCell::default() }
    }

    /// Input `i`, if it is given.
    pub fn input(&self, i: usize) -> Option<&Known> {
        self.inputs.get(i)?.as_ref()
    }

    /// Input `i`, which must depend on the network's input.
    pub fn feature(&self, i: usize) -> Result<&Feature> {
        match self.input(i) {
            Some(Known::Feature(feature)) => Ok(feature),
            Some(Known::Constant(_)) => Err(Error::argument(format!("its input {i} is a constant"))
                .with_help("simplify the file first, for instance with onnxsim")),
            None => Err(Error::argument(format!("its input {i} is missing"))),
        }
    }

    /// Input `i` if it is given, which must be a constant then.
    pub fn optional(&self, i: usize) -> Result<Option<&Constant>> {
        match self.input(i) {
            None => Ok(None),
            Some(Known::Constant(constant)) => Ok(Some(constant)),
            Some(Known::Feature(_)) => {
                Err(Error::argument(format!("its input {i} is computed, where a constant is needed"))
                    .with_help("weights and sizes must be in the file; simplify it first, for instance with onnxsim"))
            }
        }
    }

    /// Input `i`, which must be a constant.
    pub fn constant(&self, i: usize) -> Result<&Constant> {
        self.optional(i)?.ok_or_else(|| Error::argument(format!("its input {i} is missing")))
    }

    /// Floats of input `i`, which must be as many as there are channels.
    pub fn channels(&self, i: usize, channels: usize) -> Result<Vec<f32>> {
        let data = self.constant(i)?.as_floats()?;
        match data.len() == channels {
            true => Ok(data.to_vec()),
            false => Err(Error::shape(format!("its input {i} has {} numbers for {channels} channels", data.len()))),
        }
    }

    /// A list that is an attribute in old files and input `i` in new ones.
    pub fn list(&self, name: &'static str, i: usize) -> Result<Option<Vec<i64>>> {
        match self.ints(name)? {
            Some(list) => Ok(Some(list.to_vec())),
            None => self.optional(i)?.map(|c| c.as_ints().map(<[i64]>::to_vec)).transpose(),
        }
    }

    fn held(&self, name: &str) -> Option<&'a Held<'a>> {
        let attribute = self.node.attributes.iter().find(|a| a.name == name)?;
        self.read.borrow_mut().insert(&attribute.name);
        Some(&attribute.held)
    }

    /// An attribute that is a whole number.
    pub fn int(&self, name: &str, default: i64) -> Result<i64> {
        match self.held(name) {
            None => Ok(default),
            Some(Held::Int(v)) => Ok(*v),
            Some(_) => Err(wrong(name, "a whole number")),
        }
    }

    /// An attribute that is 0 or 1.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name, default.into())? != 0)
    }

    /// An attribute that is a number.
    pub fn float(&self, name: &str, default: f32) -> Result<f32> {
        match self.held(name) {
            None => Ok(default),
            Some(Held::Float(v)) => Ok(*v),
            Some(_) => Err(wrong(name, "a number")),
        }
    }

    /// An attribute that is a list of whole numbers.
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        match self.held(name) {
            None => Ok(None),
            Some(Held::Ints(list)) => Ok(Some(list)),
            // A list without elements leaves no trace but its name.
            Some(Held::Nothing) => Ok(Some(&[])),
            Some(_) => Err(wrong(name, "a list of whole numbers")),
        }
    }

    /// An attribute that is a list of numbers.
    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>> {
        match self.held(name) {
            None => Ok(None),
            Some(Held::Floats(list)) => Ok(Some(list)),
            Some(_) => Err(wrong(name, "a list of numbers")),
        }
    }

    /// An attribute that is a word.
    pub fn text(&self, name: &str, default: &'a str) -> Result<&'a str> {
        match self.held(name) {
            None => Ok(default),
            Some(Held::Text(bytes)) => std::str::from_utf8(bytes).map_err(|_| wrong(name, "a word")),
            Some(_) => Err(wrong(name, "a word")),
        }
    }

    /// An attribute that is a tensor.
    pub fn tensor(&self, name: &str) -> Result<Option<Constant>> {
        match self.held(name) {
            None => Ok(None),
            Some(Held::Tensor(tensor)) => Constant::read(tensor).map(Some),
            Some(_) => Err(wrong(name, "a tensor")),
        }
    }

    /// Says that an attribute is known and changes nothing here.
    pub fn ignore(&self, name: &str) {
        self.held(name);
    }

    /// An error if there is an attribute that nobody has read: it would change the result.
    pub fn all_read(&self) -> Result<()> {
        match self.node.attributes.iter().find(|a| !self.read.borrow().contains(a.name.as_str())) {
            None => Ok(()),
            Some(a) => Err(Error::argument(format!("its attribute '{}' is not known", a.name))
                .with_help("export with an operator set of 7 to 22")),
        }
    }
}

fn wrong(name: &str, what: &str) -> Error {
    Error::argument(format!("its attribute '{name}' should be {what}")).with_help("the file is damaged")
}
