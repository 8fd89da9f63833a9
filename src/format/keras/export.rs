//! From a graph to Keras layers, in the order in which Keras itself would list them.
//!
//! That order matters: Keras finds weights by counting layers of a class, and
//! it counts them in an order of its own making, whatever the config says.

use serde_json::{Map, Value as Json};

use super::classes;
use super::naming::Counter;
use crate::error::Result;
use crate::model::Model;

/// A layer as Keras has it.
#[derive(Debug, Clone)]
pub struct Exported {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: &'static str,
    /// Its options, without the name.
    pub config: Map<String, Json>,
    /// The layers that it is called on, by place.
    pub inputs: Vec<usize>,
    /// Its weights.
    pub weights: Vec<Weight>,
    /// Whether its parameters are among its options instead.
    pub constant: bool,
}

/// A weight of an exported layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// The parameter in the model, such as `conv2d/kernel`.
    pub param: String,
    /// Its axes in Keras; the order of the numbers is the same.
    pub dims: Vec<usize>,
}

impl Exported {
    /// Where Keras 3 keeps the weights of each of these layers.
    pub fn paths(layers: &[Self]) -> Vec<String> {
        let mut counter = Counter::default();
        layers.iter().map(|layer| format!("layers/{}", counter.next(layer.class))).collect()
    }
}

/// The layers of a model's network; the first is the input, the last the output. What training alone uses is left out.
///
/// # Errors
/// An op has no counterpart in Keras; the layer is named.
pub fn layers(model: &Model) -> Result<Vec<Exported>> {
    let graph = model.graph();
    let used = graph.used()?;
    let mut layers: Vec<Exported> = Vec::new();
    // The exported layer that holds the result of each node.
    let mut results: Vec<usize> = Vec::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        if !used[i] && i > 0 {
            results.push(0);
            continue;
        }
        let chain = classes::of(model, node).map_err(|e| e.within(format_args!("layer '{}'", node.name)))?;
        let mut inputs: Vec<usize> = node.inputs.iter().map(|v| results[v.0]).collect();
        for mut layer in chain {
            layer.inputs = inputs;
            layers.push(layer);
            inputs = vec![layers.len() - 1];
        }
        results.push(layers.len() - 1);
    }
    Ok(ordered(layers, results[graph.output()?.0]))
}

// By depth, the longest way to the output; of equal depth, by the first visit of a walk from the output.
//
// Source: `map_graph` in keras/src/ops/function.py of Keras 3.
fn ordered(layers: Vec<Exported>, output: usize) -> Vec<Exported> {
    let (visited, finished) = walk(&layers, output);
    let mut depth = vec![0_usize; layers.len()];
    for i in finished.into_iter().rev() {
        for input in &layers[i].inputs {
            depth[*input] = depth[*input].max(depth[i] + 1);
        }
    }
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(depth[*i]), visited[*i]));
    let mut place = vec![0; layers.len()];
    order.iter().enumerate().for_each(|(to, from)| place[*from] = to);
    let mut moved: Vec<Option<Exported>> = layers.into_iter().map(Some).collect();
    let take = |i: usize| moved[i].take();
    let mut sorted: Vec<Exported> = order.into_iter().filter_map(take).collect();
    sorted.iter_mut().flat_map(|layer| &mut layer.inputs).for_each(|input| *input = place[*input]);
    sorted
}

// A walk from the output to the inputs, depth first: when each layer was first seen, and the order in which they ended.
fn walk(layers: &[Exported], output: usize) -> (Vec<usize>, Vec<usize>) {
    let mut visited = vec![usize::MAX; layers.len()];
    let mut finished = Vec::new();
    let mut stack = vec![(output, 0)];
    let mut count = 0;
    while let Some((i, seen)) = stack.pop() {
        if seen == 0 {
            if visited[i] != usize::MAX {
                continue;
            }
            visited[i] = count;
            count += 1;
        }
        match layers[i].inputs.get(seen) {
            Some(input) => stack.extend([(i, seen + 1), (*input, 0)]),
            None => finished.push(i),
        }
    }
    (visited, finished)
}
