//! What two paired layers are told differently: hyper-parameters and weights, side by side.

use serde_json::{Map, Value as Json};

use crate::conv::Window;
use crate::graph::{Graph, Node};
use crate::model::Model;
use crate::ops::{Activation, Op};

use super::align::{Block, Role, role, source};
use super::{Gap, Likeness, ParamPair, Setting};

// What says how training starts or goes, and changes no output.
const TRAINING: [&str; 6] = ["kernel_init", "bias_init", "init_scale", "momentum", "rate", "activation"];

/// The hyper-parameters of two ops of one kind that are not equal: name, in A, in B. The activation is not among them.
pub(super) fn unequal(a: &Op, b: &Op) -> Vec<(String, Json, Json)> {
    let (Ok(a), Ok(b)) = (a.to_fields(), b.to_fields()) else { return Vec::new() };
    if a["op"] != b["op"] {
        return Vec::new();
    }
    let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))).collect();
    keys.retain(|key| !TRAINING.contains(&key.as_str()));
    let of = |fields: &Map<String, Json>, key: &str| fields.get(key).cloned().unwrap_or(Json::Null);
    keys.into_iter().map(|key| (key.clone(), of(&a, key), of(&b, key))).filter(|(_, a, b)| !same(a, b)).collect()
}

// `3` stands for `[3, 3]`.
fn same(a: &Json, b: &Json) -> bool {
    let each = |one: &Json, all: &Json| all.as_array().is_some_and(|all| all.iter().all(|v| v == one));
    a == b || each(a, b) || each(b, a)
}

/// A hyper-parameter for people; what a file leaves out has its default.
pub(super) fn show(value: &Json) -> String {
    match value {
        Json::Null => "default".into(),
        Json::String(text) => text.clone(),
        Json::Number(n) => n.as_f64().filter(|_| n.is_f64()).map_or(n.to_string(), |v| (v as f32).to_string()),
        other => other.to_string(),
    }
}

/// The acts of two blocks that stand for each other, as indices of their stages.
pub(super) fn partners(a: &Block, b: &Block) -> Vec<(usize, usize)> {
    let of = |block: &Block, wanted: Role| {
        block.stages.iter().enumerate().filter(move |(_, s)| s.role == wanted).map(|(i, _)| i).collect::<Vec<_>>()
    };
    [Role::Main, Role::Norm].iter().flat_map(|r| of(a, *r).into_iter().zip(of(b, *r))).collect()
}

/// All settings in which two blocks differ.
pub(super) fn compare(a: (&Graph, &Block), b: (&Graph, &Block)) -> Vec<Setting> {
    let mut found = Vec::new();
    for (i, j) in partners(a.1, b.1) {
        let (m, n) = (&a.0.nodes()[a.1.stages[i].node], &b.0.nodes()[b.1.stages[j].node]);
        let mut add = |name: &str, x: String, y: String| {
            found.push(Setting { a: m.name.clone(), b: n.name.clone(), name: name.into(), in_a: x, in_b: y });
        };
        let (class_a, class_b) = (m.op.rule().class(), n.op.rule().class());
        if class_a != class_b {
            add("class", class_a.into(), class_b.into());
        }
        let (sides_a, sides_b) = (sides(a.0, m), sides(b.0, n));
        for (key, x, y) in unequal(&m.op, &n.op) {
            if key != "padding" || sides_a.is_none() {
                add(&key, show(&x), show(&y));
            }
        }
        if let (Some(x), Some(y)) = (sides_a, sides_b)
            && x != y
        {
            let show = |[top, bottom, left, right]: [usize; 4]| format!("{top},{bottom},{left},{right}");
            add("padding", show(x), show(y));
        }
    }
    let (x, y) = (activations(a), activations(b));
    if x != y {
        let name = |(graph, block): (&Graph, &Block)| graph.nodes()[block.stages[block.last()].node].name.clone();
        let show = |all: &[Activation]| all.iter().map(|f| described(*f)).collect::<Vec<_>>().join(" + ");
        let or_none = |text: String| if text.is_empty() { "linear".to_string() } else { text };
        let (in_a, in_b) = (or_none(show(&x)), or_none(show(&y)));
        found.push(Setting { a: name(a), b: name(b), name: "activation".into(), in_a, in_b });
    }
    found
}

/// An activation with its parameter.
pub(super) fn described(function: Activation) -> String {
    serde_json::to_value(function).map_or_else(|_| function.name().to_string(), |v| show(&v))
}

fn activations((graph, block): (&Graph, &Block)) -> Vec<Activation> {
    let of = |i: &usize| match &graph.nodes()[*i].op {
        Op::Activation(a) => a.function,
        op => op.activation(),
    };
    let acts = block.stages.iter().filter(|s| s.role == Role::Act).map(|s| s.node);
    // A softmax of its own opens a block.
    let alone = Some(block.main()).filter(|i| role(&graph.nodes()[*i].op) == Role::Act);
    alone.into_iter().chain(acts).map(|i| of(&i)).collect()
}

// The zeros on each side of the input, together with those that layers before put there.
fn sides(graph: &Graph, node: &Node) -> Option<[usize; 4]> {
    let (window, input) = match &node.op {
        Op::Conv2D(c) => {
            (Window { kernel: c.kernel, stride: c.stride, dilation: c.dilation, padding: c.padding, ceil: false }, node)
        }
        Op::Pool2D(p) => {
            let stride = p.stride.unwrap_or(p.window);
            (Window { kernel: p.window, stride, dilation: [1, 1], padding: p.padding, ceil: p.ceil }, node)
        }
        _ => return None,
    };
    let value = *input.inputs.first()?;
    let [h, w, _] = graph.shape(value).hwc().ok()?;
    let [y, x] = window.axes(h, w).ok()?;
    let mut sides = [y.before, y.after, x.before, x.after];
    let (mut at, end) = (value.0, source(graph, value));
    while at != end {
        if let Op::ZeroPad(pad) = &graph.nodes()[at].op {
            let more = [pad.top, pad.bottom, pad.left, pad.right];
            sides.iter_mut().zip(more).for_each(|(side, more)| *side += more);
        }
        at = graph.nodes()[at].inputs[0].0;
    }
    Some(sides)
}

/// The parameters of two blocks, paired by name.
pub(super) fn weights(a: (&Model, &Block), b: (&Model, &Block)) -> Vec<ParamPair> {
    let mut pairs = Vec::new();
    for (i, j) in partners(a.1, b.1) {
        let name = |model: &Model, node: usize| format!("{}/", model.graph().nodes()[node].name);
        let (own_a, own_b) = (name(a.0, a.1.stages[i].node), name(b.0, b.1.stages[j].node));
        for p in a.0.params().iter().filter(|p| p.name.starts_with(&own_a)) {
            let short = &p.name[own_a.len()..];
            let other = b.0.params().iter().find(|q| q.name.strip_prefix(&own_b) == Some(short));
            let Some(q) = other else { continue };
            let likeness = if p.data.len() == q.data.len() { likeness(&p.data, &q.data) } else { Likeness::Sizes };
            let gap = Gap::between(&p.data, &q.data);
            pairs.push(ParamPair { a: p.name.clone(), b: q.name.clone(), gap, likeness });
        }
    }
    pairs
}

/// How two sets of weights are alike.
pub(super) fn likeness(a: &[f32], b: &[f32]) -> Likeness {
    let all = |f: &dyn Fn(f32) -> f32| {
        let is = |x: f32, y: f32| f(x).to_bits() == y.to_bits();
        a.iter().zip(b).all(|(x, y)| is(*x, *y)) || a.iter().zip(b).all(|(x, y)| is(*y, *x))
    };
    if all(&|v| v) {
        Likeness::Bits
    } else if all(&half) {
        Likeness::F16
    } else if all(&brain) {
        Likeness::Bf16
    } else {
        Likeness::Differs
    }
}

// To the nearest number of IEEE's binary16, ties to even.
fn half(v: f32) -> f32 {
    const QUANTUM: f32 = 5.960_464_5e-8; // 2^-24, the distance of its smallest numbers
    if v.abs() < 6.103_515_6e-5 {
        return (v / QUANTUM).round_ties_even() * QUANTUM;
    }
    let rounded = cut(v, 13);
    if rounded.abs() > 65_504.0 { f32::INFINITY.copysign(v) } else { rounded }
}

// To the nearest bfloat16, ties to even.
fn brain(v: f32) -> f32 {
    cut(v, 16)
}

// Without the last `bits` bits of the mantissa, to nearest, ties to even.
fn cut(v: f32, bits: u32) -> f32 {
    let raw = v.to_bits();
    let odd = (raw >> bits) & 1;
    let low = (1_u32 << bits) - 1;
    f32::from_bits(raw.wrapping_add(low / 2 + odd) & !low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_half_and_bfloat16() {
        for (v, f16, bf16) in [
            (1.0, 1.0, 1.0),
            (0.1, 0.099_975_586, 0.100_097_656),
            (1.000_488_3, 1.0, 1.0),
            (1.001_464_8, 1.001_953_1, 1.0),
            (70_000.0, f32::INFINITY, 70_144.0),
            (-1e-7, -1.192_092_9e-7, -1.001_171_8e-7),
            (2e-8, 0.0, 2.002_343_5e-8),
        ] {
            assert_eq!((half(v), brain(v)), (f16, bf16), "{v}");
        }
    }

    #[test]
    fn rounded_weights_are_told_from_others() {
        let a = [0.1, -0.3, 1.7];
        let to = |f: fn(f32) -> f32| a.map(f);
        assert_eq!(likeness(&a, &a), Likeness::Bits);
        assert_eq!(likeness(&a, &to(half)), Likeness::F16);
        assert_eq!(likeness(&to(half), &a), Likeness::F16);
        assert_eq!(likeness(&a, &to(brain)), Likeness::Bf16);
        assert_eq!(likeness(&a, &[0.1, -0.3, 1.700_1]), Likeness::Differs);
    }
}
