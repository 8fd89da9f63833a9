//! ONNX's own tests of its operators (`onnx_node`), for those that networks here have.
//!
//! A test is a file of one node, its inputs, and what must come out. What the node computes on becomes the network's
//! one input, as a flat vector that a `Split` and a `Reshape` in front of the node take apart again; the weights become
//! constants; and a `Reshape` behind the node makes the output flat, in ONNX's order. So every test also goes through
//! what keeps account of axes. The first axis is the batch where the node lets it be one; else the whole input is one
//! sample ([`Import::no_batch`]).
//!
//! [`MISSING`] lists the tests that do not pass, with the reason; one that begins to pass must leave the list.

use std::collections::BTreeSet;

use striate::Tensor;
use striate::format::onnx::{Import, read_with};

use crate::files;

/// Tests that do not pass, and why.
const MISSING: [(&str, &str); 22] = [
    ("test_averagepool_3d_default", VOLUMES),
    ("test_averagepool_3d_dilations_small", VOLUMES),
    ("test_maxpool_3d_default", VOLUMES),
    ("test_maxpool_3d_dilations", VOLUMES),
    ("test_maxpool_3d_dilations_use_ref_impl", VOLUMES),
    ("test_maxpool_3d_dilations_use_ref_impl_large", VOLUMES),
    ("test_convtranspose_3d", VOLUMES),
    ("test_basic_deform_conv_with_padding", "convolutions whose taps move are no op here"),
    ("test_basic_deform_conv_without_padding", "convolutions whose taps move are no op here"),
    ("test_batchnorm_epsilon_training_mode", TRAINING),
    ("test_batchnorm_example_training_mode", TRAINING),
    ("test_col2im", COL2IM),
    ("test_col2im_5d", COL2IM),
    ("test_col2im_dilations", COL2IM),
    ("test_col2im_pads", COL2IM),
    ("test_col2im_strides", COL2IM),
    ("test_constant", "it has no input: a network computes something of one"),
    ("test_identity_opt", "an optional value is no tensor"),
    ("test_identity_sequence", "a sequence of tensors is no tensor"),
    ("test_matmul_3d", "another matrix for each sample is no layer: weights are the same for all"),
    ("test_matmul_4d", "another matrix for each sample is no layer: weights are the same for all"),
    ("test_reshape_allowzero_reordered", "its tensor is empty"),
];

const VOLUMES: &str = "windows slide over one or two axes, not three";
const TRAINING: &str = "a file is read for inference; training keeps its own statistics";
const COL2IM: &str = "the adjoint of im2col is no layer (`conv::lowered` has it)";

// Nodes that compute on all of their inputs; of others, the first is computed on and the rest are weights.
const ALL_INPUTS: [&str; 9] = ["Add", "Sub", "Mul", "Div", "Sum", "Mean", "Max", "Min", "Concat"];

// Two f32 sums of at most some hundred terms in another order.
const TOLERANCE: f32 = 1e-5;

/// The fields of a protobuf message, as they come.
#[derive(Clone)]
struct Fields(Vec<(u64, Wire)>);

#[derive(Clone)]
enum Wire {
    Int(u64),
    Word(Vec<u8>),
    Bytes(Vec<u8>),
}

impl Fields {
    fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let mut take = |len: usize| bytes.split_off(..len).unwrap().to_vec();
            let wire = match key & 7 {
                0 => Wire::Int(varint(&mut bytes)),
                1 => Wire::Word(take(8)),
                2 => {
                    let len = varint(&mut bytes) as usize;
                    Wire::Bytes(bytes.split_off(..len).unwrap().to_vec())
                }
                5 => Wire::Word(take(4)),
                other => panic!("a field of type {other}"),
            };
            fields.push((key >> 3, wire));
        }
        Self(fields)
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, wire) in &self.0 {
            match wire {
                Wire::Int(v) => {
                    put(&mut bytes, number << 3);
                    put(&mut bytes, *v);
                }
                Wire::Word(word) => {
                    put(&mut bytes, number << 3 | if word.len() == 8 { 1 } else { 5 });
                    bytes.extend(word);
                }
                Wire::Bytes(content) => {
                    put(&mut bytes, number << 3 | 2);
                    put(&mut bytes, content.len() as u64);
                    bytes.extend(content);
                }
            }
        }
        bytes
    }

    fn all(&self, number: u64) -> Vec<Vec<u8>> {
        let bytes = self.0.iter().filter(|(n, _)| *n == number).filter_map(|(_, wire)| match wire {
            Wire::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        });
        bytes.collect()
    }

    fn texts(&self, number: u64) -> Vec<String> {
        self.all(number).into_iter().map(|b| String::from_utf8(b).unwrap()).collect()
    }

    fn ints(&self, number: u64) -> Vec<i64> {
        let ints = self.0.iter().filter(|(n, _)| *n == number).flat_map(|(_, wire)| match wire {
            Wire::Int(v) => vec![v.cast_signed()],
            Wire::Bytes(packed) => {
                let mut rest = &packed[..];
                std::iter::from_fn(|| (!rest.is_empty()).then(|| varint(&mut rest).cast_signed())).collect()
            }
            Wire::Word(_) => Vec::new(),
        });
        ints.collect()
    }

    fn with(mut self, number: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push((number, Wire::Bytes(bytes.into())));
        self
    }

    fn with_int(mut self, number: u64, value: i64) -> Self {
        self.0.push((number, Wire::Int(value.cast_unsigned())));
        self
    }

    fn without(mut self, number: u64) -> Self {
        self.0.retain(|(n, _)| *n != number);
        self
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first().unwrap();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn none() -> Fields {
    Fields(Vec::new())
}

/// A tensor of a test: `TensorProto`.
struct Given {
    proto: Fields,
    dims: Vec<usize>,
}

impl Given {
    fn read(file: &std::path::Path) -> Self {
        let proto = Fields::read(&std::fs::read(file).unwrap());
        let dims = proto.ints(1).iter().map(|d| *d as usize).collect();
        Self { proto, dims }
    }

    fn is_float(&self) -> bool {
        self.proto.ints(2) == [1]
    }

    fn len(&self) -> usize {
        self.dims.iter().product()
    }

    fn floats(&self) -> Vec<f32> {
        let raw = [self.proto.all(9), self.proto.all(4)].concat().concat();
        raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}

/// A test: the file's parts, its inputs in order, and the first output.
struct Case {
    model: Fields,
    graph: Fields,
    op: String,
    names: Vec<String>,
    output: String,
    inputs: Vec<Given>,
    expected: Given,
}

impl Case {
    fn read(name: &str) -> Self {
        let folder = files::path("onnx_node").join(name);
        let model = Fields::read(&std::fs::read(folder.join("model.onnx")).unwrap());
        let graph = Fields::read(&model.all(7)[0]);
        let node = Fields::read(&graph.all(1)[0]);
        let names: Vec<String> = graph.all(11).iter().map(|info| Fields::read(info).texts(1)[0].clone()).collect();
        let data = folder.join("test_data_set_0");
        let inputs = (0..names.len()).map(|i| Given::read(&data.join(format!("input_{i}.pb")))).collect();
        let expected = Given::read(&data.join("output_0.pb"));
        let output = graph.texts_of_outputs()[0].clone();
        Self { op: node.texts(4)[0].clone(), model, graph, names, output, inputs, expected }
    }

    // How many of the inputs are computed on.
    fn features(&self) -> usize {
        let same_rank = self.inputs.iter().all(|x| x.dims.len() == self.inputs[0].dims.len());
        if ALL_INPUTS.contains(&self.op.as_str()) && same_rank { self.inputs.len() } else { 1 }
    }

    // The file as a network from a flat vector to a flat vector; `batch` is the number of samples.
    fn file(&self, batch: Option<usize>) -> Vec<u8> {
        let count = self.features();
        let of_sample = |x: &Given| x.len() / batch.unwrap_or(1);
        let lens: Vec<i64> = self.inputs[..count].iter().map(|x| of_sample(x) as i64).collect();
        let mut graph = none().with(5, ints("lens", &lens));
        // In front: the parts of the flat vector, and each as the node wants it.
        let axis = none().with(1, "axis").with_int(3, i64::from(batch.is_some())).with_int(20, 2);
        let parts: Vec<String> = (0..count).map(|i| format!("part{i}")).collect();
        graph = graph.with(1, node("Split", &["flat_in".into(), "lens".into()], &parts).with(5, axis.write()).write());
        for (i, x) in self.inputs[..count].iter().enumerate() {
            let dims: Vec<i64> = x.dims.iter().map(|d| *d as i64).collect();
            let shape = format!("shape{i}");
            graph = graph.with(5, ints(&shape, &dims));
            graph = graph.with(1, node("Reshape", &[parts[i].clone(), shape], &[self.names[i].clone()]).write());
        }
        for (i, x) in self.inputs.iter().enumerate().skip(count) {
            graph = graph.with(5, x.proto.clone().without(8).with(8, self.names[i].as_str()).write());
        }
        graph.0.extend(self.graph.clone().without(11).without(12).0);
        // Behind: everything of a sample in a row.
        let flat: Vec<i64> = batch.map(|n| n as i64).into_iter().chain([-1]).collect();
        graph = graph.with(5, ints("flat_shape", &flat));
        graph =
            graph.with(1, node("Reshape", &[self.output.clone(), "flat_shape".into()], &["flat_out".into()]).write());
        let total = lens.iter().sum();
        let dims: Vec<i64> = batch.map(|n| n as i64).into_iter().chain([total]).collect();
        graph = graph.with(11, info("flat_in", &dims)).with(12, info("flat_out", &[]));
        self.model.clone().without(7).with(7, graph.write()).write()
    }

    // The numbers of the inputs that are computed on, sample after sample.
    fn samples(&self, batch: usize) -> Vec<f32> {
        let inputs: Vec<Vec<f32>> = self.inputs[..self.features()].iter().map(Given::floats).collect();
        let part =
            |n: usize| inputs.iter().flat_map(move |x| x[n * x.len() / batch..(n + 1) * x.len() / batch].to_vec());
        (0..batch).flat_map(part).collect()
    }

    /// Runs the test: with the first axis as the batch, or if that cannot be, as one sample.
    fn run(&self) -> Result<(), String> {
        let Some(first) = self.inputs.first() else { return Err("it has no input".into()) };
        if !self.inputs[..self.features()].iter().all(Given::is_float) || !self.expected.is_float() {
            return Err("it is not about f32".into());
        }
        let whole = |x: &Given| x.len() > 0 && x.floats().len() == x.len();
        if !self.inputs[..self.features()].iter().chain([&self.expected]).all(whole) {
            return Err("it has an input or output that is empty or no tensor".into());
        }
        let batches = self.inputs[..self.features()].iter().map(|x| x.dims.first().copied());
        let batch = batches.reduce(|a, b| a.filter(|_| a == b)).flatten().filter(|_| first.dims.len() > 1);
        let with_batch = batch.ok_or("no batch".to_string()).and_then(|n| self.run_as(Some(n)));
        with_batch.or_else(|reason| self.run_as(None).map_err(|e| format!("{reason}; as one sample: {e}")))
    }

    fn run_as(&self, batch: Option<usize>) -> Result<(), String> {
        let options = Import { no_batch: batch.is_none(), ..Import::default() };
        let model = read_with(&self.file(batch), &options).map_err(|e| e.to_string())?;
        let n = batch.unwrap_or(1);
        let x = self.samples(n);
        let x = Tensor::new(&[n, x.len() / n], x).map_err(|e| e.to_string())?;
        let y = model.predict(&x).map_err(|e| e.to_string())?;
        let expected = self.expected.floats();
        assert_eq!(y.data().len(), expected.len());
        let largest = expected.iter().fold(1e-3_f32, |m, v| m.max(v.abs()));
        let worst = y.data().iter().zip(&expected).map(|(a, b)| (a - b).abs() / largest).fold(0.0_f32, f32::max);
        let sound = y.data().iter().all(|v| !v.is_nan());
        if sound && worst <= TOLERANCE { Ok(()) } else { Err(format!("WRONG NUMBERS: differs by {worst:e}")) }
    }
}

impl Fields {
    fn texts_of_outputs(&self) -> Vec<String> {
        self.all(12).iter().map(|info| Self::read(info).texts(1)[0].clone()).collect()
    }
}

fn node(op: &str, inputs: &[String], outputs: &[String]) -> Fields {
    let mut node = none();
    inputs.iter().for_each(|name| node.0.push((1, Wire::Bytes(name.clone().into_bytes()))));
    outputs.iter().for_each(|name| node.0.push((2, Wire::Bytes(name.clone().into_bytes()))));
    node.with(4, op)
}

// A constant of whole numbers.
fn ints(name: &str, list: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = list.iter().flat_map(|v| v.to_le_bytes()).collect();
    none().with_int(1, list.len() as i64).with_int(2, 7).with(8, name).with(9, raw).write()
}

// A value of f32 with these sizes.
fn info(name: &str, dims: &[i64]) -> Vec<u8> {
    let shape = dims.iter().fold(none(), |shape, d| shape.with(1, none().with_int(1, *d).write()));
    let tensor = none().with_int(1, 1).with(2, shape.write());
    none().with(1, name).with(2, none().with(1, tensor.write()).write()).write()
}

fn names() -> BTreeSet<String> {
    let entries = std::fs::read_dir(files::path("onnx_node")).unwrap().map(|e| e.unwrap());
    entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn onnx_agrees_about_its_operators() {
    let mut wrong = Vec::new();
    let names = names();
    for name in &names {
        let result = Case::read(name).run();
        let listed = MISSING.iter().find(|(part, _)| name == part);
        match (result, listed) {
            (Err(reason), None) => wrong.push(format!("{name}: {reason}")),
            (Ok(()), Some(_)) => wrong.push(format!("{name} passes now: take it off the list")),
            (Err(reason), Some(_)) if reason.contains("WRONG NUMBERS") => wrong.push(format!("{name}: {reason}")),
            _ => {}
        }
    }
    for (name, _) in MISSING.iter().filter(|(name, _)| !names.contains(*name)) {
        wrong.push(format!("{name} is listed, but not there"));
    }
    assert!(wrong.is_empty(), "{} of {} tests:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}
