//! Which layer of one network stands for which of another.
//!
//! Frameworks cut the same network into layers differently: an activation is part of a convolution or a layer of its own,
//! batch normalisation may be folded into the weights, padding and flattening come and go. So a graph is first read as
//! *blocks*: an operation with the normalisations and activations that follow it alone; what moves numbers without changing
//! them (flatten, reshape, padding with zeros, dropout at inference) is looked through. Blocks are then paired in the order
//! of the graph, so that names, kinds and sizes agree as well as they can (Needleman and Wunsch,
//! doi:10.1016/0022-2836(70)90057-4), and within two blocks those values that mean the same.

use crate::graph::{Graph, Node, Value};
use crate::ops::{Activation, Mode, Op};

/// What a layer is to its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It opens a block.
    Main,
    /// Batch normalisation, which may follow.
    Norm,
    /// An activation, which may follow, or be the last act of the layer itself.
    Act,
    /// It moves numbers, and changes none.
    Passive,
}

/// One act of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stage {
    /// The layer.
    pub node: usize,
    /// What it is.
    pub role: Role,
    /// Whether the value after this act is the layer's output, and not something inside it.
    pub settled: bool,
}

/// An operation with what follows it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The acts, in order; at least one.
    pub stages: Vec<Stage>,
    /// The layers whose values it works on, looked up through passive layers.
    pub inputs: Vec<usize>,
}

impl Block {
    /// The layer that opens it.
    pub fn main(&self) -> usize {
        self.stages[0].node
    }

    fn roles(&self) -> impl Iterator<Item = Role> {
        self.stages.iter().map(|s| s.role)
    }

    pub fn last(&self) -> usize {
        self.stages.len() - 1
    }
}

/// What a layer is, by its op.
pub(super) fn role(op: &Op) -> Role {
    match op {
        Op::Input(_) => Role::Main,
        Op::BatchNorm(_) => Role::Norm,
        Op::Activation(a) if a.function == Activation::Linear => Role::Passive,
        Op::Activation(_) => Role::Act,
        Op::ZeroPad(_) | Op::Permute(_) => Role::Passive,
        _ if op.rule().is_view(Mode::Infer) => Role::Passive,
        _ => Role::Main,
    }
}

/// The layer that really makes a value: passive layers are looked through.
pub(super) fn source(graph: &Graph, value: Value) -> usize {
    let mut at = value.0;
    while let (Role::Passive, [one]) = (role(&graph.nodes()[at].op), &graph.nodes()[at].inputs[..]) {
        at = one.0;
    }
    at
}

/// The blocks of a graph, in an order that depends on its edges, and not on the order in which its layers are stored.
pub(super) fn blocks(graph: &Graph) -> Vec<Block> {
    let nodes = graph.nodes();
    let mut users = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate().filter(|(_, n)| role(&n.op) != Role::Passive) {
        node.inputs.iter().for_each(|v| users[source(graph, *v)].push(i));
    }
    let mut taken = vec![false; nodes.len()];
    let mut blocks = Vec::new();
    for main in order(graph) {
        if taken[main] || role(&nodes[main].op) == Role::Passive {
            continue;
        }
        let mut stages = Vec::new();
        let mut next = Some(main);
        while let Some(node) = next {
            taken[node] = true;
            push(&mut stages, node, &nodes[node]);
            let follows = |i: &usize| matches!(role(&nodes[*i].op), Role::Norm | Role::Act) && !taken[*i];
            next = match users[node][..] {
                [one] => Some(one).filter(follows),
                _ => None,
            };
        }
        let inputs = nodes[main].inputs.iter().map(|v| source(graph, *v)).collect();
        blocks.push(Block { stages, inputs });
    }
    blocks
}

fn push(stages: &mut Vec<Stage>, node: usize, of: &Node) {
    // The op that opens a block is its main act, whatever it is.
    let role = if stages.is_empty() { Role::Main } else { role(&of.op) };
    let fused = of.op.activation() != Activation::Linear;
    stages.push(Stage { node, role, settled: !fused });
    if fused {
        stages.push(Stage { node, role: Role::Act, settled: true });
    }
}

// The nodes, each after its inputs, beginning with what the output needs. Of several inputs the deepest comes first, so
// that the order in which a sum or a concatenation has them does not matter.
fn order(graph: &Graph) -> Vec<usize> {
    let nodes = graph.nodes();
    let mut depth = vec![0_usize; nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        depth[i] = node.inputs.iter().map(|v| depth[v.0] + 1).max().unwrap_or(0);
    }
    let name = |i: usize| Some(&nodes[i].name).filter(|n| !is_counted(n, nodes[i].op.rule().class()));
    let children = |i: usize| {
        let mut children: Vec<usize> = nodes[i].inputs.iter().map(|v| v.0).collect();
        children.sort_by_key(|c| (usize::MAX - depth[*c], name(*c)));
        children
    };
    let mut seen = vec![false; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    // Whatever the output does not need comes last.
    for root in (0..nodes.len()).rev() {
        let mut stack = vec![(root, 0)];
        while let Some((node, child)) = stack.pop() {
            if seen[node] {
                continue;
            }
            match children(node).get(child) {
                Some(next) => stack.extend([(node, child + 1), (*next, 0)]),
                None => {
                    seen[node] = true;
                    order.push(node);
                }
            }
        }
    }
    order
}

/// Pairs of blocks, in order; a block may be left alone.
pub(super) fn pairs(a: (&Graph, &[Block]), b: (&Graph, &[Block])) -> Vec<(usize, usize)> {
    let (n, m) = (a.1.len(), b.1.len());
    let width = m + 1;
    let left: Vec<Face<'_>> = a.1.iter().map(|x| face(a.0, x)).collect();
    let right: Vec<Face<'_>> = b.1.iter().map(|x| face(b.0, x)).collect();
    // best[i, j]: the best sum of scores for what follows block i of A and block j of B.
    let mut best = vec![0_u32; (n + 1) * width];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            let both = score(&left[i], &right[j]).map_or(0, |s| s + best[(i + 1) * width + j + 1]);
            best[i * width + j] = both.max(best[(i + 1) * width + j]).max(best[i * width + j + 1]);
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < n && j < m {
        let here = best[i * width + j];
        if score(&left[i], &right[j]).is_some_and(|s| s + best[(i + 1) * width + j + 1] == here) {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if best[(i + 1) * width + j] == here {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

// What of a block is looked at when it is paired.
struct Face<'a> {
    family: Family,
    class: &'static str,
    // A name that a person gave, and no counter.
    name: Option<&'a str>,
    len: usize,
    weights: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Input,
    Weights,
    Pool,
    Norm,
    Act,
    Concat,
    Other(&'static str),
}

fn face<'a>(graph: &'a Graph, block: &Block) -> Face<'a> {
    let node = &graph.nodes()[block.main()];
    let class = node.op.rule().class();
    // The largest parameter, so that a bias that is left out does not matter.
    let weights = graph.params(node).iter().map(crate::ops::ParamSpec::len).max().unwrap_or(0);
    let name = Some(node.name.as_str()).filter(|name| !is_counted(name, class));
    Face { family: family(&node.op, class), class, name, len: node.shape.len(), weights }
}

fn family(op: &Op, class: &'static str) -> Family {
    match op {
        Op::Input(_) => Family::Input,
        Op::Conv2D(_) | Op::Conv1D(_) | Op::Dense(_) => Family::Weights,
        Op::Pool2D(_) | Op::Pool1D(_) | Op::GlobalPool(_) | Op::AdaptivePool2D(_) => Family::Pool,
        Op::BatchNorm(_) => Family::Norm,
        Op::Activation(_) => Family::Act,
        Op::Concat(_) => Family::Concat,
        _ => Family::Other(class),
    }
}

// `conv2d_3` and `Conv_12` say nothing about which layer is meant.
fn is_counted(name: &str, class: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    let plain = |s: &str| s.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    let (stem, class) = (plain(stem), plain(class));
    stem.is_empty() || class.starts_with(&stem)
}

fn score(a: &Face<'_>, b: &Face<'_>) -> Option<u32> {
    let named = a.name.is_some() && a.name == b.name;
    let alike = u32::from(a.class == b.class) + 2 * u32::from(a.len == b.len) + 3 * u32::from(a.weights == b.weights);
    (a.family == b.family).then(|| 1 + alike + 8 * u32::from(named))
}

/// The acts of two blocks whose values mean the same: all of them where both have the same acts, else the last ones.
pub(super) fn stages(a: &Block, b: &Block) -> Vec<(usize, usize)> {
    if a.roles().ne(b.roles()) {
        return vec![(a.last(), b.last())];
    }
    (0..a.stages.len()).filter(|i| a.stages[*i].settled && b.stages[*i].settled).map(|i| (i, i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Add, BatchNorm, Conv2D, Dense, Flatten, Padding, ZeroPad};

    fn names(graph: &Graph, blocks: &[Block]) -> Vec<String> {
        let name = |s: &Stage| format!("{}{}", graph.nodes()[s.node].name, if s.settled { "" } else { "*" });
        blocks.iter().map(|b| b.stages.iter().map(name).collect::<Vec<_>>().join("+")).collect()
    }

    // A residual block with everything fused, or with everything apart and the sum's inputs exchanged.
    fn network(apart: bool, wide: usize) -> Graph {
        let mut g = Graph::new("g");
        let x = g.input([8, 8, 3]).unwrap();
        let (mut y, z);
        if apart {
            y = g.add(ZeroPad::all(1), &[x]).unwrap();
            y = g.add(Conv2D::new(4, 3), &[y]).unwrap();
            y = g.add(Activation::Relu, &[y]).unwrap();
            let shortcut = g.add(Conv2D::new(wide, 1), &[y]).unwrap();
            y = g.add(Conv2D::new(wide, 3).padding(Padding::Same), &[y]).unwrap();
            y = g.add(BatchNorm::default(), &[y]).unwrap();
            y = g.add(Activation::Relu6, &[y]).unwrap();
            z = g.add(Add::new(), &[shortcut, y]).unwrap();
        } else {
            y = g.add(Conv2D::new(4, 3).padding(Padding::Same).activation(Activation::Relu), &[x]).unwrap();
            let f = g.add(Conv2D::new(wide, 3).padding(Padding::Same).activation(Activation::Relu6), &[y]).unwrap();
            let shortcut = g.add(Conv2D::new(wide, 1), &[y]).unwrap();
            z = g.add(Add::new(), &[f, shortcut]).unwrap();
        }
        let flat = g.add(Flatten::new(), &[z]).unwrap();
        g.add(Dense::new(10).activation(Activation::Softmax), &[flat]).unwrap();
        g
    }

    #[test]
    fn layers_are_paired_however_they_are_cut() {
        let (a, b) = (network(false, 4), network(true, 4));
        let (x, y) = (blocks(&a), blocks(&b));
        assert_eq!(
            names(&a, &x),
            ["input_layer", "conv2d*+conv2d", "conv2d_1*+conv2d_1", "conv2d_2", "add", "dense*+dense"]
        );
        let apart =
            ["input_layer", "conv2d+re_lu", "conv2d_2+batch_normalization+re_lu6", "conv2d_1", "add", "dense*+dense"];
        assert_eq!(names(&b, &y), apart.map(|n| n.replace("re_lu6", &b.nodes()[7].name)));
        assert_eq!(pairs((&a, &x), (&b, &y)), (0..6).map(|i| (i, i)).collect::<Vec<_>>());
        assert_eq!(y[1].inputs, [0], "the padding is looked through");
        assert_eq!(stages(&x[1], &y[1]), [(1, 1)]);
        assert_eq!(stages(&x[2], &y[2]), [(1, 2)], "one has a normalisation more");
        assert_eq!(stages(&x[3], &y[3]), [(0, 0)]);
    }

    #[test]
    fn a_layer_too_many_is_left_alone() {
        let chain = |sizes: &[usize]| {
            let mut g = Graph::new("g");
            let mut x = g.input([6, 6, 2]).unwrap();
            for size in sizes {
                x = g.add(Conv2D::new(*size, 3).padding(Padding::Same), &[x]).unwrap();
            }
            g
        };
        let (a, b) = (chain(&[4, 5, 6, 7]), chain(&[4, 6, 7]));
        assert_eq!(pairs((&a, &blocks(&a)), (&b, &blocks(&b))), [(0, 0), (1, 1), (3, 2), (4, 3)]);
    }

    #[test]
    fn a_given_name_weighs_more_than_the_place_and_a_counter_nothing() {
        assert!(is_counted("conv2d_12", "Conv2D") && is_counted("Conv_3", "Conv2D") && is_counted("7", "Dense"));
        assert!(
            !is_counted("layer1.0.conv1", "Conv2D") && !is_counted("fc", "Dense") && !is_counted("conv_dw", "Conv2D")
        );
        let chain = |names: &[&str]| {
            let mut g = Graph::new("g");
            let mut x = g.input([6, 6, 4]).unwrap();
            for name in names {
                x = g.add_named(*name, Conv2D::new(4, 3).padding(Padding::Same), &[x]).unwrap();
            }
            g
        };
        let (a, b) = (chain(&["stem", "left", "right"]), chain(&["left", "right"]));
        assert_eq!(pairs((&a, &blocks(&a)), (&b, &blocks(&b))), [(0, 0), (2, 1), (3, 2)]);
    }
}
