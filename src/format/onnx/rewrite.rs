//! Idioms: several nodes that mean one thing become one node, and what the output does not need is left out.
//!
//! Exporters write functions that their operator set lacks as formulas; the
//! table below gives these back their names. The nodes inside an idiom stay only
//! if something else uses them.

use std::collections::{BTreeMap, BTreeSet};

use super::constant::Constant;
use super::proto::{GraphProto, Held, NodeProto};
use crate::error::{Error, Result};

/// The domain of nodes that come from an idiom.
pub(super) const DOMAIN: &str = "striate";

enum Pattern {
    /// The input of the idiom, the same everywhere.
    X,
    /// Something that is an input of the new node too.
    Any,
    /// A constant.
    Is(f32),
    /// An operator; the inputs of `Add` and `Mul` may come in any order.
    Op(&'static str, &'static [Pattern]),
}

use Pattern::{Any, Is, Op, X};

const ROOT_2: f32 = std::f32::consts::SQRT_2;
const CUBIC: Pattern = Op("Add", &[X, Op("Mul", &[Is(0.044_715), Op("Pow", &[X, Is(3.0)])])]);
const TANH: Pattern = Op("Tanh", &[Op("Mul", &[Is(0.797_884_6), CUBIC])]);
const ERF: Pattern = Op("Erf", &[Op("Div", &[X, Is(ROOT_2)])]);
const CLIPPED: Pattern = Op("Clip", &[Op("Add", &[X, Is(3.0)]), Is(0.0), Is(6.0)]);

// What the nodes become, in the order in which they are tried.
const IDIOMS: [(&str, Pattern); 13] = [
    ("Silu", Op("Mul", &[X, Op("Sigmoid", &[X])])),
    ("Mish", Op("Mul", &[X, Op("Tanh", &[Op("Softplus", &[X])])])),
    ("HardSwish", Op("Mul", &[X, Op("HardSigmoid", &[X])])),
    ("HardSwish", Op("Div", &[Op("Mul", &[X, CLIPPED]), Is(6.0)])),
    ("HardSwish", Op("Mul", &[X, Op("Div", &[CLIPPED, Is(6.0)])])),
    ("HardSigmoid", Op("Div", &[CLIPPED, Is(6.0)])),
    ("Gelu", Op("Mul", &[Op("Mul", &[X, Op("Add", &[ERF, Is(1.0)])]), Is(0.5)])),
    ("Gelu", Op("Mul", &[Op("Mul", &[X, Is(0.5)]), Op("Add", &[ERF, Is(1.0)])])),
    ("Gelu", Op("Mul", &[X, Op("Mul", &[Op("Add", &[ERF, Is(1.0)]), Is(0.5)])])),
    ("GeluTanh", Op("Mul", &[Op("Mul", &[X, Op("Add", &[TANH, Is(1.0)])]), Is(0.5)])),
    ("GeluTanh", Op("Mul", &[Op("Mul", &[X, Is(0.5)]), Op("Add", &[TANH, Is(1.0)])])),
    ("GeluTanh", Op("Mul", &[X, Op("Mul", &[Op("Add", &[TANH, Is(1.0)]), Is(0.5)])])),
    ("MatMul", Op("Add", &[Op("MatMul", &[X, Any]), Any])),
];

struct Graph<'g, 'a> {
    graph: &'g GraphProto<'a>,
    /// Which node makes a value.
    makers: BTreeMap<&'g str, usize>,
    /// How often a value is used.
    uses: BTreeMap<&'g str, usize>,
    initializers: BTreeMap<&'g str, usize>,
}

/// The nodes that `output` needs, in the file's order, with idioms as one node.
///
/// # Errors
/// Two nodes make one value.
pub(super) fn rewrite<'a>(graph: &GraphProto<'a>, output: &str) -> Result<Vec<NodeProto<'a>>> {
    let all = Graph::new(graph)?;
    let mut nodes: Vec<NodeProto<'a>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        nodes.push(all.idiom(node).unwrap_or_else(|| node.clone()));
    }
    let mut needed = BTreeSet::from([output.to_string()]);
    let mut live = Vec::new();
    for node in nodes.into_iter().rev() {
        if node.outputs.iter().any(|name| needed.contains(name)) {
            needed.extend(node.inputs.iter().filter(|name| !name.is_empty()).cloned());
            live.push(node);
        }
    }
    live.reverse();
    Ok(live)
}

impl<'g, 'a> Graph<'g, 'a> {
    fn new(graph: &'g GraphProto<'a>) -> Result<Self> {
        let (mut makers, mut uses) = (BTreeMap::new(), BTreeMap::new());
        for (i, node) in graph.nodes.iter().enumerate() {
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                if makers.insert(name.as_str(), i).is_some() {
                    return Err(Error::argument(format!("two nodes give the value '{name}'"))
                        .with_help("the file is damaged; onnx.checker says more"));
                }
            }
            node.inputs.iter().for_each(|name| *uses.entry(name.as_str()).or_default() += 1);
        }
        graph.outputs.iter().for_each(|output| *uses.entry(output.name.as_str()).or_default() += 1);
        let initializers = graph.initializers.iter().enumerate().map(|(i, t)| (t.name.as_str(), i)).collect();
        Ok(Self { graph, makers, uses, initializers })
    }

    fn idiom(&self, node: &'g NodeProto<'a>) -> Option<NodeProto<'a>> {
        let fits = |pattern: &Pattern| {
            let mut found = Vec::new();
            let Op(op, inputs) = pattern else { return None };
            (node.op == *op && self.inputs_fit(node, inputs, &mut found)).then_some(found)
        };
        let (becomes, inputs) = IDIOMS.iter().find_map(|(becomes, pattern)| Some((becomes, fits(pattern)?)))?;
        Some(NodeProto {
            inputs: inputs.into_iter().map(String::from).collect(),
            outputs: node.outputs.clone(),
            name: node.name.clone(),
            op: (*becomes).to_string(),
            attributes: Vec::new(),
            domain: DOMAIN.into(),
        })
    }

    // Whether the value is what the pattern says. `found` has X first, then each Any.
    fn fits(&self, name: &'g str, pattern: &Pattern, found: &mut Vec<&'g str>) -> bool {
        match pattern {
            X if found.is_empty() => {
                found.push(name);
                true
            }
            X => found[0] == name,
            Any => {
                found.push(name);
                self.is_constant(name)
            }
            Is(value) => self.scalar(name).is_some_and(|v| (v - value).abs() <= 1e-3 * value.abs()),
            Op(op, inputs) => {
                let node = self.makers.get(name).map(|i| &self.graph.nodes[*i]);
                // A product that others use too is no part of a dense layer.
                let alone = *op != "MatMul" || self.uses.get(name) == Some(&1);
                node.is_some_and(|node| node.op == *op && alone && self.inputs_fit(node, inputs, found))
            }
        }
    }

    fn inputs_fit(&self, node: &'g NodeProto<'a>, patterns: &[Pattern], found: &mut Vec<&'g str>) -> bool {
        if node.inputs.len() != patterns.len() || !is_plain(node) {
            return false;
        }
        let before = found.clone();
        let mut try_order = |turned: bool| {
            found.clone_from(&before);
            let order: [usize; 2] = if turned { [1, 0] } else { [0, 1] };
            let at = |i: usize| if patterns.len() == 2 { order[i] } else { i };
            patterns.iter().enumerate().all(|(i, pattern)| self.fits(&node.inputs[at(i)], pattern, found))
        };
        let commutes = ["Add", "Mul"].contains(&node.op.as_str());
        try_order(false) || (commutes && try_order(true))
    }

    fn is_constant(&self, name: &str) -> bool {
        self.initializers.contains_key(name)
            || self
                .makers
                .get(name)
                .is_some_and(|i| ["Constant", "Identity"].contains(&self.graph.nodes[*i].op.as_str()))
    }

    fn scalar(&self, name: &str) -> Option<f32> {
        let tensor = match self.initializers.get(name) {
            Some(i) => &self.graph.initializers[*i],
            None => {
                let maker = &self.graph.nodes[*self.makers.get(name)?];
                maker.attributes.iter().find_map(|a| match &a.held {
                    Held::Tensor(tensor) if maker.op == "Constant" => Some(tensor),
                    _ => None,
                })?
            }
        };
        (tensor.dims.iter().all(|d| *d == 1)).then(|| Constant::read(tensor).ok()?.scalar())?
    }
}

// Whether a node means what its operator alone says. HardSigmoid has a slope, which must be that of MobileNet.
fn is_plain(node: &NodeProto<'_>) -> bool {
    let sixth = |held: &Held<'_>| matches!(held, Held::Float(v) if (v - 1.0 / 6.0).abs() < 1e-4);
    match node.op.as_str() {
        "HardSigmoid" => node.attributes.iter().any(|a| a.name == "alpha" && sixth(&a.held)),
        _ => node.attributes.is_empty(),
    }
}
