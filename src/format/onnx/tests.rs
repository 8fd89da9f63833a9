//! Files that are refused, by what is wrong with them; and what is worked out before a layer is made.

use super::proto::{
    AttributeProto, Dim, Dims, GraphProto, Held, ModelProto, NodeProto, Pair, TensorProto, TensorType, ValueInfo,
};
use super::wire::{Message, Writer};
use super::{Import, read, read_with};
use crate::error::Result;
use crate::model::Model;

fn node(op: &str, inputs: &str, outputs: &str, attributes: Vec<(&str, Held<'static>)>) -> NodeProto<'static> {
    let names = |list: &str| list.split(' ').filter(|n| !n.is_empty()).map(String::from).collect();
    let attribute = |(name, held): (&str, Held<'static>)| AttributeProto { name: name.into(), held, kind: 0 };
    NodeProto {
        inputs: names(inputs),
        outputs: names(outputs),
        op: op.into(),
        attributes: attributes.into_iter().map(attribute).collect(),
        ..NodeProto::default()
    }
}

fn floats(name: &str, dims: &[i64]) -> TensorProto<'static> {
    let count: i64 = dims.iter().product();
    let raw = (0..count).flat_map(|i| (i as f32 / 8.0).to_le_bytes()).collect::<Vec<u8>>();
    TensorProto {
        dims: dims.to_vec(),
        data_type: 1,
        name: name.into(),
        raw: Some(raw.into()),
        ..TensorProto::default()
    }
}

fn ints(name: &str, list: &[i64]) -> TensorProto<'static> {
    let raw = list.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let dims = vec![list.len() as i64];
    TensorProto { dims, data_type: 7, name: name.into(), raw: Some(raw.into()), ..TensorProto::default() }
}

fn info(name: &str, dims: &[i64]) -> ValueInfo {
    let size = |d: &i64| Dim { value: (*d > 0).then_some(*d), param: String::new() };
    let dims = Some(Dims(dims.iter().map(size).collect()));
    ValueInfo { name: name.into(), tensor: Some(TensorType { data_type: 1, dims }) }
}

// A file from `x` [n, 3, 4, 5] to `y`.
fn file(nodes: Vec<NodeProto<'static>>, initializers: Vec<TensorProto<'static>>) -> Vec<u8> {
    let (inputs, outputs) = (vec![info("x", &[0, 3, 4, 5])], vec![info("y", &[])]);
    let graph = GraphProto { nodes, initializers, inputs, outputs, ..GraphProto::default() };
    let opsets = vec![Pair { domain: String::new(), version: 17 }];
    let mut writer = Writer::default();
    ModelProto { ir_version: 8, graph: Some(graph), opsets, ..ModelProto::default() }.encode(&mut writer);
    writer.bytes
}

fn model(nodes: Vec<NodeProto<'static>>, initializers: Vec<TensorProto<'static>>) -> Result<Model> {
    read(&file(nodes, initializers))
}

fn refusal(nodes: Vec<NodeProto<'static>>, initializers: Vec<TensorProto<'static>>) -> String {
    model(nodes, initializers).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_read_is_named_by_node_with_the_remedy() {
    let one = |op, inputs, attributes| refusal(vec![node(op, inputs, "y", attributes)], vec![floats("w", &[3])]);
    let e = one("If", "x", Vec::new());
    assert!(e.starts_with("node 'y' (If): control flow is not read (export the network for inference"), "{e}");
    let e = one("Reluu", "x", Vec::new());
    assert!(e.contains("unknown operator 'Reluu' (did you mean 'Relu'?"), "{e}");
    let e = one("Relu", "x", vec![("slope", Held::Float(0.1))]);
    assert!(e.contains("its attribute 'slope' is not known"), "{e}");
    let e = one("Relu", "z", Vec::new());
    assert!(e.contains("nothing before it gives its input 'z'"), "{e}");
    let e = one("Conv", "x x", Vec::new());
    assert!(e.contains("its input 1 is computed, where a constant is needed"), "{e}");
    let e = one("Conv", "x w", Vec::new());
    assert!(e.contains("its weights have the sizes [3]"), "{e}");
    let e = one("Softmax", "x", vec![("axis", Held::Int(0))]);
    assert!(e.contains("axis 0 is the batch"), "{e}");
    let e = one("Identity", "w", Vec::new());
    assert!(e.contains("the output 'y' does not depend on the input"), "{e}");
    let foreign = NodeProto { domain: "com.microsoft".into(), ..node("Relu", "x", "y", Vec::new()) };
    assert!(refusal(vec![foreign], Vec::new()).contains("operators of 'com.microsoft' are not known"));
}

#[test]
fn a_small_file_does_not_fill_memory() {
    // Each node doubles what there is.
    let double = |i: usize| node("Concat", &format!("c{i} c{i}"), &format!("c{}", i + 1), vec![("axis", Held::Int(0))]);
    let mut nodes: Vec<NodeProto<'static>> = (0..60).map(double).collect();
    nodes.push(node("Reshape", "x c60", "y", Vec::new()));
    assert!(refusal(nodes, vec![ints("c0", &[1, 2, 3])]).contains("would fill memory"));
    let wide = vec![node("ConstantOfShape", "s", "c", Vec::new()), node("Add", "x c", "y", Vec::new())];
    assert!(refusal(wide, vec![ints("s", &[1 << 40, 1 << 40])]).contains("too large to be computed"));
    let empty = TensorProto { dims: vec![0, 1 << 40, 1 << 40], ..floats("s", &[0]) };
    assert!(model(vec![node("Add", "x s", "y", Vec::new())], vec![empty]).is_err());
}

#[test]
fn shapes_of_any_batch_are_worked_out() {
    let nodes = vec![
        node("Shape", "x", "s", Vec::new()),
        node("Slice", "s zero one zero", "n", Vec::new()),
        node("Cast", "n", "n32", vec![("to", Held::Int(6))]),
        node("Mul", "n32 one", "m", Vec::new()),
        node("Concat", "m rest", "to", vec![("axis", Held::Int(0))]),
        node("Reshape", "x to", "flat", Vec::new()),
        node("MatMul", "flat w", "y", Vec::new()),
    ];
    let constants = || vec![ints("zero", &[0]), ints("one", &[1]), ints("rest", &[-1]), floats("w", &[60, 2])];
    let found = model(nodes.clone(), constants()).unwrap();
    assert_eq!(found.graph().output_shape().unwrap().dims(), [2]);
    let mut doubled = nodes;
    doubled[3] = node("Add", "n32 one", "m", Vec::new());
    assert!(refusal(doubled, constants()).contains("it computes with the size of the batch"));
}

// Rows of the kernel follow memory [h, w, c], whatever order the file counts in.
#[test]
fn a_flattened_image_costs_no_permutation() {
    let nodes = vec![
        node("Relu", "x", "r", Vec::new()),
        node("Flatten", "r", "f", Vec::new()),
        node("Gemm", "f w", "y", Vec::new()),
    ];
    let found = model(nodes, vec![floats("w", &[60, 1])]).unwrap();
    let kernel = &found.params()[0].data;
    assert_eq!(kernel[..4], [0.0, 20.0 / 8.0, 40.0 / 8.0, 1.0 / 8.0]);
    assert_eq!(found.graph().input_shape().unwrap().dims(), [4, 5, 3]);
}

#[test]
fn options_say_what_the_file_leaves_open() {
    let bytes = file(vec![node("Softmax", "x", "y", vec![("axis", Held::Int(0))])], Vec::new());
    let whole = Import { no_batch: true, input: Some(vec![2, 3]), ..Import::default() };
    assert_eq!(read_with(&bytes, &whole).unwrap().graph().input_shape().unwrap().dims(), [2, 3]);
    let open = Import { no_batch: true, ..Import::default() };
    assert!(read_with(&bytes, &open).unwrap_err().to_string().contains("the file leaves its axis 0 open"));
}
