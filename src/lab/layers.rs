//! The layers of a network: the convolutions among them as geometries, and what each act of a plan costs.

use super::Cost;
use super::floor::bytes;
use crate::conv::Geometry;
use crate::error::Result;
use crate::graph::{Graph, Node};
use crate::ops::Op;
use crate::plan::LineWork;
use crate::tensor::Shape;

/// A geometry and the layers of a network that have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// The geometry.
    pub geometry: Geometry,
    /// The names of the layers.
    pub layers: Vec<String>,
}

/// The geometries of all layers of a network that are convolutions, dense ones among them, in the order of the network.
///
/// The layers that a prediction does not need are left out.
///
/// # Errors
/// The graph has no output, or a layer at this batch is too large.
///
/// ```
/// let graph = striate::zoo::recipe("vgg-16")?.graph;
/// let all = striate::lab::geometries(&graph, 8)?;
/// assert_eq!(all[2].geometry.to_string(), "n8 h112 w112 ic64 oc128 k3x3 s1x1 p1,1,1,1 d1x1 g1");
/// assert_eq!(all.iter().map(|o| o.layers.len()).sum::<usize>(), 16);
/// # Ok::<(), striate::Error>(())
/// ```
pub fn geometries(graph: &Graph, batch: usize) -> Result<Vec<Occurrence>> {
    let mut all: Vec<Occurrence> = Vec::new();
    for (node, _) in graph.nodes().iter().zip(graph.used()?).filter(|(_, used)| *used) {
        for geometry in of_node(graph, node, batch).map_err(|e| e.within(format_args!("layer '{}'", node.name)))? {
            match all.iter_mut().find(|o| o.geometry == geometry) {
                Some(known) => known.layers.push(node.name.clone()),
                None => all.push(Occurrence { geometry, layers: vec![node.name.clone()] }),
            }
        }
    }
    Ok(all)
}

fn of_node(graph: &Graph, node: &Node, n: usize) -> Result<Vec<Geometry>> {
    let shapes: Vec<Shape> = graph.input_shapes(node);
    let Some(x) = shapes.first().copied() else { return Ok(Vec::new()) };
    Ok(match &node.op {
        Op::Conv2D(op) => vec![op.geometry(n, x)?],
        Op::Conv1D(op) => match *x.dims() {
            [l, c] => vec![op.over_rows().geometry(n, [1, l, c].into())?],
            _ => Vec::new(),
        },
        Op::ConvTranspose2D(op) => vec![op.geometry(n, x)?],
        Op::SeparableConv2D(op) => op.geometries(n, x)?.to_vec(),
        Op::Dense(op) => vec![op.geometry(n, x)?],
        _ => Vec::new(),
    })
}

/// What an act of a plan costs for a batch: forward, and backward.
///
/// ```text
/// forward    x and the parameters are read, y is written
/// backward   dy is read; for dx, w is read and dx written; for dw, x is read and dw written
/// ```
///
/// Each gradient takes as many multiply-adds as the forward pass.
pub fn costs(work: &LineWork, batch: usize) -> [Cost; 2] {
    let LineWork { mul_adds, reads, writes, params, dx, dw } = *work;
    let (n, gradients) = (batch as u64, usize::from(dx) + usize::from(dw));
    let forward = Cost { mul_adds: n * mul_adds, bytes: bytes(batch * (reads + writes) + params) };
    let moved = batch * (writes * gradients.min(1) + reads * gradients) + params * gradients;
    [forward, Cost { mul_adds: n * mul_adds * gradients as u64, bytes: bytes(moved) }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo;

    #[test]
    fn equal_layers_are_one_geometry() {
        let graph = zoo::recipe("resnet-18").unwrap().graph;
        let all = geometries(&graph, 8).unwrap();
        let of = |text: &str| all.iter().find(|o| o.geometry == text.parse().unwrap()).map(|o| o.layers.len());
        // Two blocks of two convolutions each at 56x56; at 28x28 the first of the four has a stride.
        assert_eq!(of("n8 h56 w56 ic64 oc64 k3 p1"), Some(4));
        assert_eq!(of("n8 h28 w28 ic128 oc128 k3 p1"), Some(3));
        assert_eq!(of("n8 h56 w56 ic64 oc128 k3 s2 p1"), Some(1));
        let mul_adds: u64 = all.iter().map(|o| o.geometry.mul_adds() * o.layers.len() as u64).sum();
        assert!(mul_adds <= 8 * graph.mul_adds() && mul_adds as f64 > 0.98 * 8.0 * graph.mul_adds() as f64);
    }

    #[test]
    fn an_act_costs_what_it_reads_and_writes() {
        // 10 numbers to 20 through 200 weights.
        let work = LineWork { mul_adds: 200, reads: 10, writes: 20, params: 200, dx: true, dw: true };
        let [forward, backward] = costs(&work, 8);
        assert_eq!(forward, Cost { mul_adds: 1600, bytes: 4 * (8 * 30 + 200) });
        // dy once; w read and dx written; x read and dw written.
        assert_eq!(backward, Cost { mul_adds: 3200, bytes: 4 * (8 * (20 + 10 + 10) + 200 + 200) });
        let first = costs(&LineWork { dx: false, ..work }, 8)[1];
        assert_eq!(first, Cost { mul_adds: 1600, bytes: 4 * (8 * (20 + 10) + 200) });
        assert_eq!(costs(&LineWork { dx: false, dw: false, ..work }, 8)[1], Cost::default());
    }
}
