//! Layer names: what a file calls its nodes, made short, legal and unique.
//!
//! | file | node, weight | layer |
//! |---|---|---|
//! | PyTorch | `/layer1/layer1.0/conv1/Conv`, `layer1.0.conv1.weight` | `layer1.0.conv1` |
//! | PyTorch | `/features/features.0/features.0.0/Conv`, `onnx::Conv_538` | `features.0.0` |
//! | Keras | `mnist_1/conv2d_1/BiasAdd` | `conv2d_1` |
//! | striate | `conv2d_1` | `conv2d_1` |
//!
//! A name that is taken gets the operator behind it, then a number.

use std::collections::BTreeMap;

use super::proto::NodeProto;

// How weights are called behind the name of their layer.
const WEIGHTS: [&str; 6] = [".weight", ".kernel", ".scale", ".gamma", "/kernel", "/gamma"];

/// The names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// With how often each was asked for.
    taken: BTreeMap<String, usize>,
}

impl Names {
    /// A name for the layer of this node; `None` where the file has no word for it.
    pub fn choose(&mut self, node: &NodeProto<'_>) -> Option<String> {
        let stem = legal(&stem(node)?);
        let op = node.op.to_lowercase();
        let with_op = if stem == op { stem.clone() } else { format!("{stem}.{op}") };
        let name = match [&stem, &with_op].into_iter().find(|name| !self.taken.contains_key(*name)) {
            Some(name) => name.clone(),
            None => self.numbered(&with_op),
        };
        self.taken.insert(name.clone(), 0);
        Some(name)
    }

    fn numbered(&mut self, name: &str) -> String {
        loop {
            let count = self.taken.entry(name.to_string()).or_default();
            *count += 1;
            let numbered = format!("{name}_{count}");
            if !self.taken.contains_key(&numbered) {
                return numbered;
            }
        }
    }
}

fn stem(node: &NodeProto<'_>) -> Option<String> {
    let weight = node.inputs.get(1).and_then(|w| WEIGHTS.iter().find_map(|suffix| w.strip_suffix(suffix)));
    let name = if node.name.is_empty() { node.outputs.first().map_or("", String::as_str) } else { &node.name };
    let stem = match (weight, name.strip_prefix('/')) {
        (Some(layer), _) => last(layer).to_string(),
        (None, Some(path)) => modules(path),
        // Keras: scopes, the layer, the operator.
        (None, None) => match name.rsplit_once('/') {
            Some((scopes, _)) => last(scopes).to_string(),
            None => name.to_string(),
        },
    };
    (!stem.is_empty()).then_some(stem)
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

// PyTorch's scopes: a child of a `Sequential` repeats the name of its parent. The last part is the operator.
fn modules(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    let mut name: Vec<&str> = Vec::new();
    for part in parts {
        let repeats = name.last().is_some_and(|p| part.strip_prefix(p).is_some_and(|rest| rest.starts_with('.')));
        if repeats {
            name.pop();
        }
        name.push(part);
    }
    name.join(".")
}

fn legal(name: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || "_.-:".contains(c);
    name.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, name: &str, weight: &str) -> NodeProto<'static> {
        let inputs = vec!["x".into(), weight.into()];
        NodeProto { op: op.into(), name: name.into(), inputs, outputs: vec!["y:0".into()], ..NodeProto::default() }
    }

    #[test]
    fn names_are_those_of_the_layers() {
        let mut names = Names::default();
        let mut name = |op, name, weight| names.choose(&node(op, name, weight));
        let some = |s: &str| Some(s.to_string());
        assert_eq!(name("Conv", "/layer1/layer1.0/conv1/Conv", "layer1.0.conv1.weight"), some("layer1.0.conv1"));
        assert_eq!(name("Conv", "/features/features.0/features.0.0/Conv", "onnx::Conv_538"), some("features.0.0"));
        assert_eq!(name("Relu", "/layer1/layer1.0/relu/Relu", ""), some("layer1.0.relu"));
        assert_eq!(
            name("Conv", "mnist_1/conv2d_1/BiasAdd", "mnist_1/conv2d_1/convolution/ReadVariableOp:0"),
            some("conv2d_1")
        );
        assert_eq!(name("Relu", "mnist_1/conv2d_1/Relu", ""), some("conv2d_1.relu"));
        assert_eq!(name("Relu", "mnist_1/conv2d_1/Relu_1", ""), some("conv2d_1.relu_1"));
        assert_eq!(name("Conv", "", "conv_layers.0.weight"), some("conv_layers.0"));
        assert_eq!(name("Clip", "", "c0"), some("y:0"));
        assert_eq!(name("Flatten", "/Flatten", ""), None);
    }
}
