//! A network as a drawing: what is worth a block, and which branches meet where.
//!
//! Normalisations, activations and the like are written into the block before
//! them. A *cut* is a block that every path goes through; between two cuts lie
//! branches, which are cut in their turn. In a long network blocks that repeat
//! are drawn once.
//!
//! Source: series-parallel graphs, Valdes, Tarjan and Lawler, 1979, doi:10.1145/800135.804393.

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Value};
use crate::ops::{Activation, Op};
use crate::summary::thousands;
use crate::visual::{Architecture, Block, BlockKind, Part, Picture, Volume, network, volumes};

// Blocks beyond which repetitions are drawn once.
const LONG: usize = 36;
// Repetitions worth a brace, and the longest group that is looked for.
const TIMES: usize = 3;
const PERIOD: usize = 4;

/// Draws a network, from its input to its output, with its heads beside it (E29).
///
/// ```
/// let graph = striate::zoo::recipe("residual-mnist")?.graph;
/// let picture = striate::inspect::draw(&graph)?;
/// assert!(picture.svg().contains("28x28x1"));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The graph has no output.
pub fn draw(graph: &Graph) -> Result<Picture> {
    network(&architecture(graph)?)
}

fn architecture(graph: &Graph) -> Result<Architecture> {
    let units = Units::new(graph)?;
    let main: Vec<usize> = (0..units.all.len()).filter(|u| units.all[*u].main).collect();
    let mut parts = units.sequence(&main);
    if count(&parts) > LONG {
        parts = folded(parts);
    }
    Ok(Architecture { title: graph.name().to_string(), subtitle: subtitle(graph), parts })
}

fn subtitle(graph: &Graph) -> String {
    let params: usize = graph.nodes().iter().map(|n| params(graph, n)).sum();
    let mul_adds = thousands(graph.mul_adds() as usize);
    format!("{} parameters, {mul_adds} multiply-adds for one sample", thousands(params))
}

/// Draws a network without branches as volumes side by side, as papers show LeNet and AlexNet (V7, V15, E29).
///
/// ```
/// let graph = striate::zoo::recipe("simple-convnet")?.graph;
/// let picture = striate::inspect::draw_volumes(&graph)?;
/// assert!(picture.svg().contains("24x24x30"));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The graph has no output, or its branches do not fit into one row.
pub fn draw_volumes(graph: &Graph) -> Result<Picture> {
    let units = Units::new(graph)?;
    let main: Vec<usize> = (0..units.all.len()).filter(|u| units.all[*u].main).collect();
    for pair in main.windows(2) {
        let unit = &units.all[pair[1]];
        if unit.inputs != [pair[0]] {
            let message = format!(
                "'{}' has branches ('{}' ends one), and volumes stand in one row",
                graph.name(),
                unit.block.name
            );
            return Err(Error::argument(message).with_help("draw it as blocks, which show branches"));
        }
    }
    let all: Vec<Volume> = main.iter().map(|u| volume(graph, &units.all[*u])).collect();
    volumes(graph.name(), &subtitle(graph), &all)
}

fn volume(graph: &Graph, unit: &Unit) -> Volume {
    let block = &unit.block;
    let node = graph.node(unit.node);
    let window = match &node.op {
        Op::Conv2D(o) => Some(o.kernel),
        Op::SeparableConv2D(o) => Some(o.kernel),
        Op::Pool2D(o) => Some(o.window),
        _ => None,
    };
    let image = match node.shape.dims() {
        [h, w, _] if *h * *w > 1 => Some([*h, *w]),
        _ => None,
    };
    let params = match block.params {
        0 => String::new(),
        n => format!("{} parameters", thousands(n)),
    };
    Volume {
        what: block.what.split(" + ").map(str::to_string).collect(),
        shape: if image.is_some() && block.shape != dims(node) {
            format!("{} = {}", dims(node), block.shape)
        } else {
            block.shape.clone()
        },
        params,
        kind: block.kind,
        image,
        channels: node.shape.channels(),
        window,
    }
}

fn count(parts: &[Part]) -> usize {
    let one = |part: &Part| match part {
        Part::Block(_) => 1,
        Part::Fork(branches) => branches.iter().map(|b| count(b)).sum(),
        Part::Repeat(_, parts) | Part::Side(_, parts) => count(parts),
    };
    parts.iter().map(one).sum()
}

// A block, with what it reads and whether the output needs it.
struct Unit {
    block: Block,
    /// Its first op.
    node: Value,
    inputs: Vec<usize>,
    main: bool,
    /// The weight of the head that ends here.
    head: Option<f32>,
}

struct Units {
    all: Vec<Unit>,
}

impl Units {
    fn new(graph: &Graph) -> Result<Self> {
        let used = graph.used()?;
        let outputs: Vec<Value> = [graph.output()?].into_iter().chain(graph.heads().iter().map(|h| h.value)).collect();
        let uses = graph.count_uses(&outputs);
        let mut units = Self { all: Vec::new() };
        let mut of: Vec<usize> = Vec::new();
        for (i, node) in graph.nodes().iter().enumerate() {
            if uses[i] == 0 {
                of.push(usize::MAX);
                continue;
            }
            let inputs: Vec<usize> = node.inputs.iter().map(|v| of[v.0]).collect();
            let written_into =
                aside(&node.op).filter(|_| inputs.first().is_some_and(|u| *u > 0) && uses[node.inputs[0].0] == 1);
            let unit = match written_into {
                Some(word) => units.write_into(inputs[0], node, (word, params(graph, node))),
                None => units.push(graph, Value(i), inputs, used[i]),
            };
            of.push(unit);
            if let Some(head) = graph.heads().iter().find(|h| h.value == Value(i)) {
                units.all[unit].head = Some(head.weight);
            }
        }
        Ok(units)
    }

    fn write_into(&mut self, unit: usize, node: &Node, (word, params): (String, usize)) -> usize {
        let block = &mut self.all[unit].block;
        if !word.is_empty() {
            block.what = format!("{} + {word}", block.what);
        }
        block.shape = dims(node);
        block.params += params;
        unit
    }

    fn push(&mut self, graph: &Graph, value: Value, inputs: Vec<usize>, main: bool) -> usize {
        let node = graph.node(value);
        let side = |shape: crate::Shape| match shape.dims() {
            [h, w, _] => ((h * w) as f64).sqrt(),
            [l, _] => *l as f64,
            _ => 1.0,
        };
        let whole = graph.input_shape().map_or(1.0, side);
        let (what, kind) = words(&node.op);
        let block = Block {
            name: node.name.clone(),
            what,
            shape: dims(node),
            params: params(graph, node),
            kind,
            side: side(node.shape) / whole.max(1.0),
            channels: node.shape.channels(),
        };
        self.all.push(Unit { block, node: value, inputs, main, head: None });
        self.all.len() - 1
    }

    // The parts of a set of units in order, which begin at one value and end in one.
    fn sequence(&self, set: &[usize]) -> Vec<Part> {
        let cuts = self.cuts(set);
        let mut parts = Vec::new();
        let mut start = 0;
        for end in cuts.iter().copied().chain([set.len()]) {
            let inner = &set[start..end];
            if !inner.is_empty() {
                // The two ends of what lies between: a cut or the outside.
                let from = start.checked_sub(1).map(|i| set[i]);
                parts.extend(self.between(from, inner, set.get(end).copied(), cuts.is_empty()));
            }
            if let Some(unit) = set.get(end) {
                parts.push(Part::Block(self.all[*unit].block.clone()));
                parts.extend(self.sides(*unit));
            }
            start = end + 1;
        }
        parts
    }

    // The places in a set that no edge passes by. Edges from outside begin before the set; edges to outside end after it.
    fn cuts(&self, set: &[usize]) -> Vec<usize> {
        let place = |unit: usize| set.binary_search(&unit).ok();
        let mut passed = vec![false; set.len()];
        let mut pass = |from: usize, to: usize| (from..to).for_each(|i| passed[i] = true);
        for (i, unit) in set.iter().enumerate() {
            let inputs = &self.all[*unit].inputs;
            inputs.iter().for_each(|input| pass(place(*input).map_or(0, |p| p + 1), i));
            let inner = self.readers(*unit).any(|r| place(r).is_some());
            let outer = self.readers(*unit).any(|r| self.all[r].main == self.all[*unit].main && place(r).is_none());
            if outer || !inner {
                pass(i + 1, set.len());
            }
        }
        (0..set.len()).filter(|i| !passed[*i]).collect()
    }

    fn readers(&self, unit: usize) -> impl Iterator<Item = usize> + '_ {
        (unit + 1..self.all.len()).filter(move |r| self.all[*r].inputs.contains(&unit))
    }

    // What lies between two cuts: a fork of the parts that do not touch each other.
    fn between(&self, from: Option<usize>, inner: &[usize], to: Option<usize>, hopeless: bool) -> Vec<Part> {
        let groups = self.groups(inner);
        let shortcut = from.zip(to).is_some_and(|(from, to)| self.all[to].inputs.contains(&from));
        if groups.len() == 1 && !shortcut && hopeless {
            return self.tangle(inner);
        }
        let mut branches: Vec<Vec<Part>> = groups.iter().map(|group| self.sequence(group)).collect();
        if shortcut {
            branches.push(Vec::new());
        }
        if branches.len() == 1 { branches.remove(0) } else { vec![Part::Fork(branches)] }
    }

    // The connected components of a set, in the order of their first units.
    fn groups(&self, set: &[usize]) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for unit in set {
            let touches = |group: &Vec<usize>| self.all[*unit].inputs.iter().any(|i| group.contains(i));
            let (touched, mut rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(touches);
            let mut joined: Vec<usize> = touched.concat();
            joined.push(*unit);
            joined.sort_unstable();
            rest.push(joined);
            rest.sort_unstable();
            groups = rest;
        }
        groups
    }

    // No cuts and no branches: one block after the other, each with what it reads where that is not the one before.
    fn tangle(&self, set: &[usize]) -> Vec<Part> {
        let block = |(i, unit): (usize, &usize)| {
            let mut block = self.all[*unit].block.clone();
            let inputs = &self.all[*unit].inputs;
            if i > 0 && *inputs != [set[i - 1]] {
                let names: Vec<&str> = inputs.iter().map(|u| self.all[*u].block.name.as_str()).collect();
                block.what = format!("{} of {}", block.what, names.join(", "));
            }
            Part::Block(block)
        };
        set.iter().enumerate().map(block).collect()
    }

    // The heads that begin at a unit of the network.
    fn sides(&self, unit: usize) -> Vec<Part> {
        if !self.all[unit].main {
            return Vec::new();
        }
        let starts = self.readers(unit).filter(|r| !self.all[*r].main);
        starts
            .map(|first| {
                let mut set = vec![first];
                for u in first + 1..self.all.len() {
                    if !self.all[u].main && self.all[u].inputs.iter().any(|i| set.contains(i)) {
                        set.push(u);
                    }
                }
                let weight = set.iter().find_map(|u| self.all[*u].head).unwrap_or(1.0);
                Part::Side(format!("auxiliary head, weight {weight}; in training alone"), self.sequence(&set))
            })
            .collect()
    }
}

// Runs of equal groups become one group with its number.
fn folded(parts: Vec<Part>) -> Vec<Part> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < parts.len() {
        let runs = (1..=PERIOD).map(|period| (times(&parts[i..], period), period));
        let best = runs.filter(|(n, _)| *n >= TIMES).max_by_key(|(n, period)| ((n - 1) * period, *period));
        match best {
            Some((n, period)) => {
                out.push(Part::Repeat(n, parts[i..i + period].to_vec()));
                i += n * period;
            }
            None => {
                out.push(parts[i].clone());
                i += 1;
            }
        }
    }
    out
}

// How often the first `period` parts stand there one after the other.
fn times(parts: &[Part], period: usize) -> usize {
    if parts.len() < period || matches!(parts[0], Part::Repeat(..)) {
        return 0;
    }
    let first = &parts[..period];
    parts.chunks_exact(period).take_while(|group| group.iter().zip(first).all(|(a, b)| alike(a, b))).count()
}

// The same but for the names.
fn alike(a: &Part, b: &Part) -> bool {
    let all = |a: &[Part], b: &[Part]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b));
    match (a, b) {
        (Part::Block(a), Part::Block(b)) => (&a.what, &a.shape, a.params) == (&b.what, &b.shape, b.params),
        (Part::Fork(a), Part::Fork(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| all(a, b)),
        _ => false,
    }
}

// What is learnt; running statistics are not.
fn params(graph: &Graph, node: &Node) -> usize {
    graph.params(node).iter().filter(|p| p.trainable).map(|p| p.len()).sum()
}

fn dims(node: &Node) -> String {
    node.shape.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

// What an op is called where it is written into the block before it; none where it is worth a block.
fn aside(op: &Op) -> Option<String> {
    Some(match op {
        Op::BatchNorm(_) | Op::GroupNorm(_) | Op::LayerNorm(_) => "norm".into(),
        Op::Activation(a) => a.function.name().into(),
        Op::PRelu(_) => "prelu".into(),
        Op::Affine(_) => "scale".into(),
        Op::Lrn(_) => "lrn".into(),
        Op::Dropout(_) => "dropout".into(),
        Op::Flatten(_) => "flatten".into(),
        Op::StochasticDepth(_) | Op::Reshape(_) => String::new(),
        _ => return None,
    })
}

fn words(op: &Op) -> (String, BlockKind) {
    let with = |text: String, activation: Activation| match activation {
        Activation::Linear => text,
        other => format!("{text} + {}", other.name()),
    };
    let by = |[h, w]: [usize; 2]| format!("{h}x{w}");
    let step = |[h, w]: [usize; 2]| match [h, w] {
        [1, 1] => String::new(),
        [h, w] if h == w => format!(" /{h}"),
        [h, w] => format!(" /{h}x{w}"),
    };
    match op {
        Op::Input(_) => ("input".into(), BlockKind::Input),
        Op::Conv2D(o) => {
            let groups = if o.groups > 1 { format!(" in {} groups", o.groups) } else { String::new() };
            let text = format!("conv {}{}{groups}", by(o.kernel), step(o.stride));
            (with(text, o.activation), BlockKind::Convolution)
        }
        Op::SeparableConv2D(o) => {
            (with(format!("separable {}{}", by(o.kernel), step(o.stride)), o.activation), BlockKind::Convolution)
        }
        Op::ConvTranspose2D(o) => {
            (with(format!("transposed {}{}", by(o.kernel), step(o.stride)), o.activation), BlockKind::Convolution)
        }
        Op::Conv1D(o) => {
            (with(format!("conv {}{}", o.kernel, step([o.stride; 2])), o.activation), BlockKind::Convolution)
        }
        Op::Dense(o) => (with(format!("dense {}", o.units), o.activation), BlockKind::Dense),
        Op::Pool2D(o) => {
            (format!("{} {}{}", pool(op), by(o.window), step(o.stride.unwrap_or(o.window))), BlockKind::Pooling)
        }
        Op::Pool1D(o) => {
            (format!("{} {}{}", pool(op), o.window, step([o.stride.unwrap_or(o.window); 2])), BlockKind::Pooling)
        }
        Op::AdaptivePool2D(_) | Op::GlobalPool(_) | Op::Upsample2D(_) => (pool(op), BlockKind::Pooling),
        Op::Add(_) => ("sum".into(), BlockKind::Merge),
        Op::Concat(_) => ("concatenate".into(), BlockKind::Merge),
        Op::Merge(_) => (op.rule().class().to_lowercase(), BlockKind::Merge),
        other => match aside(other) {
            Some(word) if !word.is_empty() => (word, BlockKind::Normalisation),
            _ => (other.rule().class().to_lowercase(), BlockKind::Other),
        },
    }
}

// `MaxPooling2D` becomes `max pool`.
fn pool(op: &Op) -> String {
    let class = op.rule().class();
    let kind = ["Max", "Average", "Min"].into_iter().find(|kind| class.contains(kind)).unwrap_or("");
    match op {
        Op::Upsample2D(_) => "upsample".into(),
        Op::GlobalPool(_) => format!("global {} pool", kind.to_lowercase()),
        Op::AdaptivePool2D(_) => format!("{} pool to size", kind.to_lowercase()),
        _ => format!("{} pool", kind.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Add, Concat, Conv2D, Dense, GlobalPool, Padding, Pool2D};

    // One letter for each part: `(` and `)` around a fork, `|` between its branches, `*` after a repetition.
    fn outline(parts: &[Part]) -> String {
        let one = |part: &Part| match part {
            Part::Block(block) => block.what.chars().next().unwrap().to_string(),
            Part::Fork(branches) => {
                format!("({})", branches.iter().map(|b| outline(b)).collect::<Vec<_>>().join("|"))
            }
            Part::Repeat(times, parts) => format!("[{}]*{times}", outline(parts)),
            Part::Side(_, parts) => format!("<{}>", outline(parts)),
        };
        parts.iter().map(one).collect()
    }

    fn same(filters: usize, kernel: usize) -> Conv2D {
        Conv2D::new(filters, kernel).padding(Padding::Same)
    }

    #[test]
    fn an_inception_block_a_shortcut_and_a_head() {
        let mut g = Graph::new("g");
        let x = g.input([16, 16, 8]).unwrap();
        let a = g.add(same(8, 1), &[x]).unwrap();
        let b = g.add(same(8, 1), &[x]).unwrap();
        let b = g.add(same(8, 3), &[b]).unwrap();
        let c = g.add(Pool2D::max(3).stride(1).padding(Padding::Same), &[x]).unwrap();
        let joined = g.add(Concat::new(), &[a, b, c]).unwrap();
        let f = g.add(same(24, 3), &[joined]).unwrap();
        let f = g.add(Activation::Relu, &[f]).unwrap();
        let sum = g.add(Add::new(), &[f, joined]).unwrap();
        let mean = g.add(GlobalPool::average(), &[joined]).unwrap();
        let aux = g.add_named("aux", Dense::new(3), &[mean]).unwrap();
        g.add_head(aux, 0.3).unwrap();
        let mean = g.add(GlobalPool::average(), &[sum]).unwrap();
        g.add(Dense::new(3), &[mean]).unwrap();
        assert_eq!(outline(&architecture(&g).unwrap().parts), "i(c|cc|m)c<gd>(c|)sgd");
    }

    /// Asserts that no label leaves the page or lies on another one.
    fn labels_are_apart(picture: &Picture) {
        let scene = picture.scene();
        let all: Vec<_> = scene.texts().map(|t| (t.content(), t.bounds())).collect();
        for (i, (text, bounds)) in all.iter().enumerate() {
            assert!(scene.page().holds(bounds), "'{text}' leaves the page");
            let near = all[i + 1..].iter().find(|(_, near)| bounds.overlaps(near));
            assert!(near.is_none(), "'{text}' lies on '{}'", near.unwrap().0);
        }
    }

    /// V7, V15, E29: each layer with its size and its parameters; branches are refused, with what to do instead.
    #[test]
    fn a_chain_is_drawn_as_volumes_and_a_network_with_branches_as_blocks() {
        let graph = |name: &str| crate::zoo::recipe(name).unwrap().graph;
        for name in ["simple-convnet", "keras-mnist", "alexnet", "vgg-16"] {
            let picture = draw_volumes(&graph(name)).unwrap();
            labels_are_apart(&picture);
            let layers =
                picture.scene().shapes().iter().filter(|s| matches!(s, crate::visual::Shape::Fill(..))).count();
            assert_eq!(layers, count(&architecture(&graph(name)).unwrap().parts), "{name}");
        }
        let picture = draw_volumes(&graph("simple-convnet")).unwrap();
        let words: Vec<&str> = picture.scene().texts().map(crate::visual::Text::content).collect();
        for word in
            ["24x24x30", "780 parameters", "12x12x30 = 4320", "432,100 parameters", "1,010 parameters", "conv 5x5"]
        {
            assert!(words.contains(&word), "{word} is not among {words:?}");
        }
        let refused = draw_volumes(&graph("resnet-18")).unwrap_err().to_string();
        assert!(refused.contains("branches") && refused.contains("blocks"), "{refused}");
    }

    // All words of a block stand somewhere: what does not fit beside its operation goes below.
    #[test]
    fn blocks_show_their_parameters_and_all_that_is_written_into_them() {
        let picture = draw(&crate::zoo::recipe("alexnet").unwrap().graph).unwrap();
        labels_are_apart(&picture);
        let words: Vec<&str> = picture.scene().texts().map(crate::visual::Text::content).collect();
        assert!(words.contains(&"27x27x256, 307,456 parameters"), "{words:?}");
        assert!(words.iter().all(|w| !w.contains('…')), "{words:?}");
        assert_eq!(words.join(" ").matches("lrn").count(), 2, "{words:?}");
        let picture = draw(&crate::zoo::recipe("resnet-152").unwrap().graph).unwrap();
        labels_are_apart(&picture);
        let first = picture.scene().texts().nth(1).unwrap();
        assert!(first.content().starts_with("60,192,808 parameters"), "{}", first.content());
    }

    #[test]
    fn equal_blocks_of_a_long_network_are_drawn_once() {
        let mut g = Graph::new("long");
        let mut x = g.input([8, 8, 4]).unwrap();
        for _ in 0..40 {
            let f = g.add(same(4, 3), &[x]).unwrap();
            x = g.add(Add::new(), &[f, x]).unwrap();
        }
        assert_eq!(outline(&architecture(&g).unwrap().parts), "i[(c|)s]*40");
    }
}
