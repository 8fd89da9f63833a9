//! Guesses at why a layer deviates.
//!
//! Each is a change to the layer as it was cut out, to be run and measured. They come from what people get wrong when
//! weights move between frameworks: layouts, padding at stride 2, epsilon, the order of channels, scaling.

use serde_json::Value as Json;

use crate::ops::{Activation, Op, Padding, Pool2D};
use crate::tensor::Tensor;

use super::align::Role;
use super::alone::{Act, Piece};
use super::settings::{described, likeness, show, unequal};
use super::{Gap, Likeness};

/// A change to the channels of one pixel.
pub(super) type Pixel = fn(&mut [f32]);

/// What is tried.
pub(super) enum Change {
    /// B's layer is changed so.
    B(Piece),
    /// A's layer is changed so, and should then give what B's gives.
    A(Piece),
    /// Each pixel of the input is changed so.
    Values(Pixel),
    /// The inputs come in another order.
    Order(Vec<usize>),
}

/// A guess, ready to be tried.
pub(super) struct Hypothesis {
    /// The same for the same guess at another layer.
    pub key: String,
    /// In words.
    pub what: String,
    /// How much it tells; 0 the most.
    pub rank: u8,
    /// What is tried.
    pub change: Change,
}

// Ranks: a setting that the two networks state differently tells more than one that nobody stated, and that A's own weights
// give A's values tells the least.
const STATED: u8 = 0;
const USUAL: u8 = 1;
const WEIGHTS: u8 = 2;
const ALL: u8 = 3;

/// All guesses at a pair of layers.
pub(super) fn hypotheses(a: &Piece, b: &Piece, at_input: bool) -> Vec<Hypothesis> {
    let mut all = Vec::new();
    stated(a, b, &mut all);
    activation(a, b, &mut all);
    bias(a, b, &mut all);
    paddings(b, &mut all);
    epsilons(a, b, &mut all);
    kernels(b, &mut all);
    exchanged(b, &mut all);
    orders(b, &mut all);
    if at_input {
        values(&mut all);
    }
    copied(a, b, &mut all);
    all
}

// The acts of A and B that stand for each other: indices.
fn partners(a: &Piece, b: &Piece) -> Vec<(usize, usize)> {
    let of = |piece: &Piece, role: Role| {
        let acts = piece.acts.iter().enumerate().filter(|(_, act)| act.role == role);
        acts.map(|(i, _)| i).collect::<Vec<_>>()
    };
    [Role::Main, Role::Norm].iter().flat_map(|r| of(a, *r).into_iter().zip(of(b, *r))).collect()
}

fn with_act(piece: &Piece, at: usize, change: impl FnOnce(&mut Act)) -> Piece {
    let mut piece = piece.clone();
    change(&mut piece.acts[at]);
    piece
}

// Hyper-parameters that differ: each as A has it, and all of them.
fn stated(a: &Piece, b: &Piece, all: &mut Vec<Hypothesis>) {
    for (i, j) in partners(a, b) {
        let differing = unequal(&a.acts[i].op, &b.acts[j].op);
        for (name, in_a, in_b) in &differing {
            let Some(op) = with_field(&b.acts[j].op, name, in_a) else { continue };
            let (layer, in_a, in_b) = (&b.acts[j].layer, show(in_a), show(in_b));
            let what = format!("{name} of '{layer}': {in_a} in A, {in_b} in B");
            let mut piece = with_act(b, j, |act| act.op = op);
            if name == "padding" {
                piece.leads = a.leads.clone();
            }
            all.push(Hypothesis { key: format!("field {name}"), what, rank: STATED, change: Change::B(piece) });
        }
    }
}

fn with_field(op: &Op, name: &str, value: &Json) -> Option<Op> {
    let mut fields = op.to_fields().ok()?;
    match value {
        Json::Null => drop(fields.remove(name)),
        value => drop(fields.insert(name.to_string(), value.clone())),
    }
    Op::from_fields(fields).ok()
}

fn last_activation(piece: &Piece) -> Activation {
    piece.acts.last().map_or(Activation::Linear, |act| match &act.op {
        Op::Activation(own) => own.function,
        op => op.activation(),
    })
}

// The piece with another activation at its end.
fn ending_with(piece: &Piece, function: Activation) -> Option<Piece> {
    let mut piece = piece.clone();
    let last = piece.acts.last_mut()?;
    if let Op::Activation(own) = &mut last.op {
        own.function = function;
    } else if let Some(op) = last.op.with_activation(function) {
        last.op = op;
    } else {
        let layer = last.layer.clone();
        piece.acts.push(Act { layer, role: Role::Act, op: Op::from(function), params: Vec::new() });
    }
    Some(piece)
}

fn activation(a: &Piece, b: &Piece, all: &mut Vec<Hypothesis>) {
    let (in_a, in_b) = (last_activation(a), last_activation(b));
    let layer = b.acts.last().map_or("", |act| &act.layer);
    if in_a != in_b
        && let Some(piece) = ending_with(b, in_a)
    {
        let what = format!("activation of '{layer}': {} in A, {} in B", described(in_a), described(in_b));
        all.push(Hypothesis { key: "activation".into(), what, rank: STATED, change: Change::B(piece) });
    }
}

// One of the two has no bias.
fn bias(a: &Piece, b: &Piece, all: &mut Vec<Hypothesis>) {
    for (i, j) in partners(a, b) {
        let (of_a, of_b) = (&a.acts[i], &b.acts[j]);
        let find = |act: &Act| act.params.iter().find(|p| p.0 == "bias").cloned();
        let (here, there) = (find(of_b), find(of_a));
        let zero =
            |p: &Option<(String, Vec<usize>, Vec<f32>)>| p.as_ref().is_none_or(|p| p.2.iter().all(|v| *v == 0.0));
        let (piece, what) = if zero(&here) && !zero(&there) {
            let Some(op) = with_field(&of_b.op, "bias", &Json::Null) else { continue };
            let change = |act: &mut Act| {
                act.op = op;
                act.params.retain(|p| p.0 != "bias");
                act.params.extend(there);
            };
            (with_act(b, j, change), format!("'{}' has no bias in B", of_b.layer))
        } else if zero(&there) && !zero(&here) {
            let change = |act: &mut Act| {
                let biases = act.params.iter_mut().filter(|p| p.0 == "bias");
                biases.for_each(|p| p.2.fill(0.0));
            };
            (with_act(b, j, change), format!("'{}' has a bias in B, and none in A", of_b.layer))
        } else {
            continue;
        };
        all.push(Hypothesis { key: "bias".into(), what, rank: STATED, change: Change::B(piece) });
    }
}

// Other paddings that are met in the wild, and the ways to count a window.
fn paddings(b: &Piece, all: &mut Vec<Hypothesis>) {
    let Some(Act { layer, op, .. }) = b.acts.first() else { return };
    let mut add = |key: &str, what: String, op: Op| {
        let mut piece = with_act(b, 0, |act| act.op = op);
        // The padding that is tried stands for all there is.
        if key.starts_with("padding") {
            piece.leads.iter_mut().for_each(|lead| lead.retain(|act| !matches!(act.op, Op::ZeroPad(_))));
        }
        all.push(Hypothesis { key: key.into(), what, rank: USUAL, change: Change::B(piece) });
    };
    let (kernel, dilation, now) = match op {
        Op::Conv2D(conv) => (conv.kernel, conv.dilation, conv.padding),
        Op::Pool2D(pool) => (pool.window, [1, 1], pool.padding),
        _ => return,
    };
    for (name, padding) in usual_paddings(kernel, dilation).into_iter().filter(|(_, p)| *p != now) {
        let what = format!("padding of '{layer}' is {now} in B; with {padding} ({name}) it gives A's values");
        let padded = match op.clone() {
            Op::Conv2D(conv) => conv.padding(padding).into(),
            Op::Pool2D(pool) => Pool2D { padding, ..pool }.into(),
            other => other,
        };
        add(&format!("padding {name}"), what, padded);
    }
    if let Op::Pool2D(pool) = op {
        let (ceil, count) = (!pool.ceil, !pool.count_padding);
        let what = format!("the last, partial window of '{layer}' counts in one of the two (ceil mode)");
        add("ceil", what, Pool2D { ceil, ..pool.clone() }.into());
        let what = format!("the average of '{layer}' counts padded places in one of the two");
        add("count_padding", what, Pool2D { count_padding: count, ..pool.clone() }.into());
    }
}

fn usual_paddings(kernel: [usize; 2], dilation: [usize; 2]) -> [(&'static str, Padding); 5] {
    let [h, w] = [(kernel[0] - 1) * dilation[0], (kernel[1] - 1) * dilation[1]];
    let sides = |top, bottom, left, right| Padding::Explicit { top, bottom, left, right };
    [
        ("as TensorFlow pads", Padding::Same),
        ("as much on all sides, as in PyTorch", sides(h / 2, h / 2, w / 2, w / 2)),
        ("one less at the start", sides((h / 2).saturating_sub(1), h / 2, (w / 2).saturating_sub(1), w / 2)),
        ("one less at the end", sides(h / 2, (h / 2).saturating_sub(1), w / 2, (w / 2).saturating_sub(1))),
        ("none", Padding::Valid),
    ]
}

// Normalisation that was folded into B's weights with another epsilon than A's.
fn epsilons(a: &Piece, b: &Piece, all: &mut Vec<Hypothesis>) {
    if b.acts.iter().any(|act| act.role == Role::Norm) {
        return;
    }
    for (i, act) in a.acts.iter().enumerate() {
        let Op::BatchNorm(norm) = &act.op else { continue };
        for epsilon in [1e-3, 1e-5, 1e-4, 1e-6, 0.0].into_iter().filter(|e| *e != norm.epsilon) {
            let piece = with_act(a, i, |act| act.op = norm.clone().epsilon(epsilon).into());
            let (layer, now) = (&act.layer, norm.epsilon);
            let what =
                format!("epsilon of '{layer}' is {now} in A, and was {epsilon} when it was folded into B's weights");
            all.push(Hypothesis { key: format!("folded {epsilon}"), what, rank: USUAL, change: Change::A(piece) });
        }
    }
}

type Rearrange = fn(&[usize], &[f32]) -> Option<Vec<f32>>;

const KERNELS: [(&str, Rearrange); 10] = [
    ("height and width exchanged", |d, w| square(d, 0, 1).and_then(|()| permuted(d, w, &[1, 0, 2, 3]))),
    ("turned by 180 degrees (true convolution against cross-correlation)", turned),
    ("turned by 180 degrees, height and width exchanged", |d, w| {
        square(d, 0, 1).and_then(|()| permuted(d, &turned(d, w)?, &[1, 0, 2, 3]))
    }),
    ("input and output channels exchanged", |d, w| square(d, 2, 3).and_then(|()| permuted(d, w, &[0, 1, 3, 2]))),
    ("numbers in PyTorch's order [oc, ic, kh, kw], read as [kh, kw, ic, oc]", |d, w| {
        let [kh, kw, ic, oc] = *<&[usize; 4]>::try_from(d).ok()?;
        permuted(&[oc, ic, kh, kw], w, &[2, 3, 1, 0])
    }),
    ("numbers in the order [kh, kw, ic, oc], taken for PyTorch's [oc, ic, kh, kw] and turned round", |d, w| {
        (d.len() == 4).then_some(()).and_then(|()| permuted(d, w, &[3, 2, 0, 1]))
    }),
    ("rows and columns exchanged", |d, w| square(d, 0, 1).and_then(|()| permuted(d, w, &[1, 0]))),
    ("numbers in PyTorch's order [outputs, inputs], read as [inputs, outputs]", |d, w| {
        let [inputs, outputs] = *<&[usize; 2]>::try_from(d).ok()?;
        if inputs == outputs { None } else { permuted(&[outputs, inputs], w, &[1, 0]) }
    }),
    ("numbers in the order [inputs, outputs], taken for PyTorch's [outputs, inputs] and turned round", |d, w| {
        (d.len() == 2 && d[0] != d[1]).then_some(()).and_then(|()| permuted(d, w, &[1, 0]))
    }),
    ("the order of its input channels reversed (RGB against BGR)", |d, w| {
        let [_, _, ic, oc] = *<&[usize; 4]>::try_from(d).ok()?;
        let reversed = w.chunks_exact(ic * oc).flat_map(|pixel| pixel.chunks_exact(oc).rev().flatten().copied());
        (ic == 3).then(|| reversed.collect())
    }),
];

fn square(dims: &[usize], i: usize, j: usize) -> Option<()> {
    (dims.len() > j && dims[i] == dims[j] && dims[i] > 1).then_some(())
}

fn permuted(dims: &[usize], w: &[f32], order: &[usize]) -> Option<Vec<f32>> {
    if dims.len() != order.len() {
        return None;
    }
    Some(Tensor::new(dims, w.to_vec()).ok()?.permute(order).ok()?.into_data())
}

// Height and width reversed.
fn turned(dims: &[usize], w: &[f32]) -> Option<Vec<f32>> {
    let [kh, kw, ic, oc] = *<&[usize; 4]>::try_from(dims).ok()?;
    (kh * kw > 1).then(|| w.chunks_exact(ic * oc).rev().flatten().copied().collect())
}

// The weights in another layout.
fn kernels(b: &Piece, all: &mut Vec<Hypothesis>) {
    for (j, act) in b.acts.iter().enumerate() {
        for (k, (name, dims, w)) in act.params.iter().enumerate().filter(|(_, p)| p.0.ends_with("kernel")) {
            let mut add = |how: &str, data: Option<Vec<f32>>| {
                let Some(data) = data.filter(|data| data != w) else { return };
                let what = format!("{name} of '{}' in B has {how}", act.layer);
                let piece = with_act(b, j, |act| act.params[k].2 = data);
                all.push(Hypothesis { key: format!("layout {how}"), what, rank: USUAL, change: Change::B(piece) });
            };
            KERNELS.iter().for_each(|(how, arrange)| add(how, arrange(dims, w)));
            if let ([inputs, _], Some([h, width, c])) = (&dims[..], b.expects.first().and_then(|x| x.hwc().ok()))
                && h * width * c == *inputs
                && h * width > 1
            {
                add("its inputs in the order c, h, w (PyTorch's flatten)", rows(w, [c, h, width], &[1, 2, 0]));
                add("its inputs in the order h, w, c, where c, h, w is meant", rows(w, [h, width, c], &[2, 0, 1]));
            }
        }
    }
}

// The rows of a dense kernel, read as `dims` and put in another order.
fn rows(w: &[f32], [x, y, z]: [usize; 3], order: &[usize; 3]) -> Option<Vec<f32>> {
    permuted(&[x, y, z, w.len() / (x * y * z)], w, &[order[0], order[1], order[2], 3])
}

// Two parameters of one size, one taken for the other.
fn exchanged(b: &Piece, all: &mut Vec<Hypothesis>) {
    for (j, act) in b.acts.iter().enumerate() {
        for k in 0..act.params.len() {
            for l in k + 1..act.params.len() {
                let (one, other) = (&act.params[k], &act.params[l]);
                if one.1 != other.1 || one.2 == other.2 {
                    continue;
                }
                let what = format!("{} and {} of '{}' are exchanged in B", one.0, other.0, act.layer);
                let piece = with_act(b, j, |act| {
                    let data = std::mem::take(&mut act.params[k].2);
                    act.params[k].2 = std::mem::replace(&mut act.params[l].2, data);
                });
                let key = format!("exchanged {} {}", one.0, other.0);
                all.push(Hypothesis { key, what, rank: USUAL, change: Change::B(piece) });
            }
        }
    }
}

// The inputs of a concatenation (or another op with several) in another order.
fn orders(b: &Piece, all: &mut Vec<Hypothesis>) {
    let n = b.leads.len();
    if !(2..=4).contains(&n) {
        return;
    }
    let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..n {
        let longer = |order: &Vec<usize>| {
            let free = (0..n).filter(|i| !order.contains(i)).collect::<Vec<_>>();
            free.into_iter().map(|i| [&order[..], &[i]].concat()).collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    let layer = b.acts.first().map_or("", |act| &act.layer);
    for order in orders.into_iter().skip(1) {
        let what = format!("the inputs of '{layer}' come in another order in B: {order:?}");
        all.push(Hypothesis { key: format!("order {order:?}"), what, rank: USUAL, change: Change::Order(order) });
    }
}

// What B's first layer may expect instead of what A's was given.
const VALUES: [(&str, Pixel); 9] = [
    ("channels in the other order (BGR against RGB)", |x| x.reverse()),
    ("numbers that are 255 times as large (0 to 255 against 0 to 1)", |x| x.iter_mut().for_each(|v| *v *= 255.0)),
    ("numbers divided by 255 (0 to 1 against 0 to 255)", |x| x.iter_mut().for_each(|v| *v /= 255.0)),
    ("numbers from -1 to 1 where A's go from 0 to 1", |x| x.iter_mut().for_each(|v| *v = *v * 2.0 - 1.0)),
    ("numbers from 0 to 1 where A's go from -1 to 1", |x| x.iter_mut().for_each(|v| *v = (*v + 1.0) / 2.0)),
    ("numbers from -1 to 1 where A's go from 0 to 255", |x| x.iter_mut().for_each(|v| *v = *v / 127.5 - 1.0)),
    ("numbers from 0 to 255 where A's go from -1 to 1", |x| x.iter_mut().for_each(|v| *v = (*v + 1.0) * 127.5)),
    ("ImageNet's mean and deviation taken off where A's go from 0 to 1", |x| {
        imagenet(x, |v, mean, std| (v - mean) / std)
    }),
    ("numbers from 0 to 1 where A's have ImageNet's mean and deviation taken off", |x| {
        imagenet(x, |v, mean, std| v * std + mean);
    }),
];

fn imagenet(x: &mut [f32], f: fn(f32, f32, f32) -> f32) {
    let (means, deviations) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    x.iter_mut().zip(means).zip(deviations).for_each(|((v, mean), std)| *v = f(*v, mean, std));
}

fn values(all: &mut Vec<Hypothesis>) {
    for (how, change) in VALUES {
        let what = format!("B's input: {how}");
        all.push(Hypothesis { key: format!("input {how}"), what, rank: USUAL, change: Change::Values(change) });
    }
}

// A's weights in B's layer: one parameter, all of them, and all with A's settings.
fn copied(a: &Piece, b: &Piece, all: &mut Vec<Hypothesis>) {
    let mut every = b.clone();
    let (mut count, mut worst) = (0, Vec::new());
    for (i, j) in partners(a, b) {
        for (k, (name, dims, data)) in b.acts[j].params.iter().enumerate() {
            let Some(of_a) = a.acts[i].params.iter().find(|p| p.0 == *name && p.1 == *dims && p.2 != *data) else {
                continue;
            };
            every.acts[j].params[k].2.clone_from(&of_a.2);
            let piece = with_act(b, j, |act| act.params[k].2.clone_from(&of_a.2));
            let what = format!("{name} of '{}' {}", b.acts[j].layer, unlike(&of_a.2, data));
            worst.push(format!("{name} {}", unlike(&of_a.2, data)));
            count += 1;
            all.push(Hypothesis { key: format!("weights {name}"), what, rank: WEIGHTS, change: Change::B(piece) });
        }
    }
    let layer = b.acts.first().map_or("", |act| &act.layer);
    if count > 1 {
        let what = format!("weights of '{layer}': {}", worst.join("; "));
        let change = Change::B(every.clone());
        all.push(Hypothesis { key: "weights".into(), what, rank: WEIGHTS, change });
    }
    for (i, j) in partners(a, b) {
        every.acts[j].op = a.acts[i].op.clone();
    }
    every.leads = a.leads.clone();
    if let Some(piece) = ending_with(&every, last_activation(a)) {
        let what = format!("settings and weights of '{layer}' differ both; with those of A it gives A's values");
        all.push(Hypothesis { key: "all".into(), what, rank: ALL, change: Change::B(piece) });
    }
}

fn unlike(a: &[f32], b: &[f32]) -> String {
    match (likeness(a, b), Gap::between(a, b)) {
        (Likeness::F16, _) => "is the same, rounded to half precision (f16)".into(),
        (Likeness::Bf16, _) => "is the same, rounded to bfloat16".into(),
        (_, Some(gap)) => format!(
            "has other numbers: they differ by up to {:.1e}, {:.1e} of the largest",
            gap.max_abs,
            gap.relative()
        ),
        _ => "has other numbers".into(),
    }
}
