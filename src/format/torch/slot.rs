//! Each parameter of a network as PyTorch would have it: its name there, its axes, and how the numbers move.
//!
//! | parameter here | there |
//! |---|---|
//! | `X/kernel`, `X/gamma`, `X/alpha` | `X.weight` |
//! | `X/bias`, `X/beta` | `X.bias` |
//! | `X/moving_mean`, `X/moving_variance` | `X.running_mean`, `X.running_var` |
//! | `X/depthwise_kernel`, `X/pointwise_kernel` | `X.depthwise.weight`, `X.pointwise.weight` |
//! | `X/gamma` of a layer scale | `X`, with the axes `[c, 1, 1]` |

use crate::error::{Error, Result};
use crate::format::layout;
use crate::graph::{Graph, Node};
use crate::ops::Op;
use crate::tensor::{Shape, Tensor};

/// A parameter and its place in PyTorch.
#[derive(Debug)]
pub(super) struct Slot {
    /// The name here, such as `conv1/kernel`.
    pub name: String,
    /// The name there, such as `conv1.weight`.
    pub torch: String,
    /// The axes there.
    pub dims: Vec<usize>,
    /// Whether a file may leave it out: heads for training alone, which no prediction needs.
    pub optional: bool,
    /// The axes here.
    ours: Vec<usize>,
    moves: Moves,
}

/// How numbers move between the two.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moves {
    /// Not at all.
    Same,
    /// As those of a convolution's kernel.
    Kernel,
    /// As a dense layer's matrix; after a flattened image `[h, w, c]`, its rows move as well.
    Dense(Option<[usize; 3]>),
    /// One number for each element of an image `[h, w, c]`, flattened or not.
    Element([usize; 3]),
}

/// The parameters of a graph, in the order of [`Model::params`](crate::Model::params).
pub(super) fn slots(graph: &Graph) -> Vec<Slot> {
    let flattened = flattened(graph);
    let used = graph.used().unwrap_or_default();
    let mut slots = Vec::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let from = node.inputs.first().and_then(|v| flattened[v.0]);
        let separable = matches!(graph.params(node).as_slice(), [first, ..] if first.name == "depthwise_kernel");
        for spec in graph.params(node) {
            let slot = Slot::new(node, spec.name, spec.dims, from, separable);
            slots.push(Slot { optional: used.get(i) == Some(&false), ..slot });
        }
    }
    slots
}

// For each value the image `[h, w, c]` that it is the flattened form of.
fn flattened(graph: &Graph) -> Vec<Option<[usize; 3]>> {
    let mut images: Vec<Option<[usize; 3]>> = Vec::new();
    for node in graph.nodes() {
        let first = node.inputs.first().map(|v| (graph.shape(*v), images[v.0]));
        let image = first.and_then(|(x, before)| match &node.op {
            Op::Flatten(_) | Op::Reshape(_) if node.shape.rank() == 1 => before.or_else(|| image(x)),
            Op::Dense(_) => None,
            _ if node.shape == x => before,
            _ => None,
        });
        images.push(image);
    }
    images
}

// An image of more than one pixel and channel: of others, the order of the axes is all the same.
fn image(x: Shape) -> Option<[usize; 3]> {
    let [h, w, c] = x.hwc().ok()?;
    (h * w > 1 && c > 1).then_some([h, w, c])
}

impl Slot {
    fn new(node: &Node, param: &str, ours: Vec<usize>, from: Option<[usize; 3]>, separable: bool) -> Self {
        let kernel = ["kernel", "depthwise_kernel", "pointwise_kernel"].contains(&param);
        let moves = match ours.as_slice() {
            [_, _] if kernel => Moves::Dense(from),
            _ if kernel => Moves::Kernel,
            [n] if from.is_some_and(|[h, w, c]| h * w * c == *n) && !matches!(node.op, Op::Dense(_)) => {
                from.map_or(Moves::Same, Moves::Element)
            }
            [h, w, c] => Moves::Element([*h, *w, *c]),
            [l, c] => Moves::Element([1, *l, *c]),
            _ => Moves::Same,
        };
        let scale = param == "gamma" && ["layer_scale", "gamma"].contains(&last(&node.name));
        let torch = match param {
            _ if scale => node.name.clone(),
            "bias" if separable => format!("{}.pointwise.bias", node.name),
            "depthwise_kernel" => format!("{}.depthwise.weight", node.name),
            "pointwise_kernel" => format!("{}.pointwise.weight", node.name),
            "kernel" | "gamma" | "alpha" => format!("{}.weight", node.name),
            "bias" | "beta" => format!("{}.bias", node.name),
            "moving_mean" => format!("{}.running_mean", node.name),
            "moving_variance" => format!("{}.running_var", node.name),
            other => format!("{}.{other}", node.name),
        };
        let dims = match (moves, ours.as_slice()) {
            (Moves::Same, [c]) if scale => vec![*c, 1, 1],
            (Moves::Kernel, [kh, kw, ic, m]) if param == "depthwise_kernel" => vec![ic * m, 1, *kh, *kw],
            (Moves::Kernel, [kh, kw, b, a]) => vec![*a, *b, *kh, *kw],
            (Moves::Dense(_) | Moves::Kernel, ours) => ours.iter().rev().copied().collect(),
            (Moves::Element([_, l, c]), [_, _]) => vec![c, l],
            (Moves::Element([h, w, c]), [_, _, _]) => vec![c, h, w],
            _ => ours.clone(),
        };
        Self { name: format!("{}/{param}", node.name), torch, dims, optional: false, ours, moves }
    }

    /// Whether a tensor of these axes holds this parameter: the same axes, or the same but for axes of size 1, or a
    /// kernel as a matrix with one row for each output, or such a matrix as a kernel.
    pub fn fits(&self, dims: &[usize]) -> bool {
        let real = |dims: &[usize]| dims.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
        let elements = |dims: &[usize]| dims.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
        let matrix = self.dims.len() == 2 || dims.len() == 2;
        self.dims == dims
            || (elements(&self.dims) == elements(dims) && real(&self.dims) == real(dims))
            || (matrix
                && self.dims.len() >= 2
                && self.dims.first() == dims.first()
                && elements(&self.dims) == elements(dims))
    }

    /// The numbers of PyTorch's tensor in the order that they have here.
    ///
    /// # Errors
    /// The axes do not fit.
    pub fn take(&self, tensor: Tensor) -> Result<Vec<f32>> {
        if !self.fits(tensor.dims()) {
            return Err(Error::shape(format!("{} does not fit the shape {:?}", self.torch, tensor.dims())));
        }
        let tensor = tensor.reshape(&self.dims)?;
        Ok(match self.moves {
            Moves::Same => tensor,
            Moves::Kernel => layout::kernel_from_torch(&tensor)?,
            Moves::Dense(image) => layout::dense_from_torch(&tensor, image)?,
            Moves::Element([h, w, c]) => layout::channels_to_last(&tensor.reshape(&[c, h, w])?)?,
        }
        .into_data())
    }

    /// The numbers that a parameter has here, as PyTorch's tensor.
    ///
    /// # Errors
    /// There are too many or too few.
    pub fn give(&self, data: &[f32]) -> Result<Tensor> {
        let tensor = Tensor::new(&self.ours, data.to_vec())?;
        let moved = match (self.moves, self.ours.as_slice()) {
            (Moves::Same, _) => tensor,
            // A depthwise kernel [kh, kw, ic, m] is [kh, kw, 1, ic * m] with the same numbers.
            (Moves::Kernel, [kh, kw, _, _]) => {
                layout::kernel_to_torch(&tensor.reshape(&[*kh, *kw, self.dims[1], self.dims[0]])?)?
            }
            (Moves::Kernel, _) => layout::kernel_to_torch(&tensor)?,
            (Moves::Dense(image), _) => layout::dense_to_torch(&tensor, image)?,
            (Moves::Element([h, w, c]), _) => layout::channels_to_first(&tensor.reshape(&[h, w, c])?)?,
        };
        moved.reshape(&self.dims)
    }
}

/// The last part of a name with dots.
pub(super) fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
