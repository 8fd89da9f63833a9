//! From a flat network to a model: the graph, and then each parameter from where the file keeps it.

use super::layers::{Context, Stored, plan};
use super::network::{Home, Network, bad};
use super::store::{Store, Tensor};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::model::Model;
use crate::tensor::{Shape, Tensor as Numbers};

/// The parameters of one layer of the file.
pub struct Need {
    layer: String,
    home: Home,
    /// Their names in the model, such as `conv2d/kernel`.
    params: Vec<String>,
    first: Option<Stored>,
    constants: Option<Vec<Vec<f32>>>,
}

/// The graph of a network, and what its parameters need.
///
/// # Errors
/// A layer asks for what striate does not have; it is named.
pub fn graph(network: Network, context: Context) -> Result<(Graph, Vec<Need>)> {
    let mut graph = Graph::new(network.name);
    let mut dims = network.input;
    if context.channels_first && dims.len() > 1 {
        dims.rotate_left(1);
    }
    let mut values = vec![graph.input(Shape::new(&dims)?)?];
    let mut needs = Vec::new();
    for layer in network.layers {
        let inputs: Vec<Value> = layer.inputs.iter().filter_map(|i| values.get(*i).copied()).collect();
        let shapes: Vec<Shape> = inputs.iter().map(|v| graph.shape(*v)).collect();
        let name = layer.fields.name.clone();
        let plan = plan(layer.fields, &shapes, context)?;
        let (mut last, mut params, mut inputs) = (None, Vec::new(), inputs);
        for (suffix, op) in plan.parts {
            let value = graph.add_named(format!("{}{suffix}", layer.name), op, &inputs)?;
            let node = graph.node(value);
            params.extend(graph.params(node).iter().map(|spec| format!("{}/{}", node.name, spec.name)));
            inputs = vec![value];
            last = Some(value);
        }
        values.push(last.ok_or_else(|| bad(format!("layer '{name}' computes nothing")))?);
        if !params.is_empty() {
            if layer.home.again {
                return Err(bad(format!("layer '{name}' is called several times, with the same weights"))
                    .with_help("striate's layers do not share weights; use a layer of its own for each call"));
            }
            let (home, first, constants) = (layer.home, plan.first, plan.constants);
            needs.push(Need { layer: name, home, params, first, constants });
        }
    }
    Ok((graph, needs))
}

/// Fills the parameters of a model; `flip` turns the kernels of convolutions, as Theano's need.
///
/// # Errors
/// A parameter is missing or has other axes than the network needs.
pub fn fill(model: &mut Model, needs: &[Need], store: &Store<'_>, flip: bool) -> Result<()> {
    for need in needs {
        let names: Vec<&str> = need.params.iter().map(|p| p.rsplit('/').next().unwrap_or(p)).collect();
        let tensors = match &need.constants {
            Some(constants) => constants.iter().map(|c| (vec![c.len()], c.clone())).collect(),
            None => store.layer(&need.layer, &need.home, &names)?,
        };
        for (i, (name, tensor)) in need.params.iter().zip(tensors).enumerate() {
            set(model, name, tensor, need.first.as_ref().filter(|_| i == 0), flip)?;
        }
    }
    Ok(())
}

fn set(model: &mut Model, name: &str, (dims, data): Tensor, stored: Option<&Stored>, flip: bool) -> Result<()> {
    let param = model.params_mut().iter_mut().find(|p| p.name == name);
    let param = param.ok_or_else(|| bad(format!("the network has no parameter '{name}'")))?;
    let expected = stored.map_or(&param.dims, |s| &s.dims);
    let count: usize = param.dims.iter().product();
    let agrees = dims.len() == expected.len() && dims.iter().zip(expected).all(|(d, e)| d == e || *e == 0);
    if !agrees || data.len() != count {
        return Err(bad(format!("{name} has the axes {dims:?} in the file, and the network needs {:?}", param.dims)));
    }
    let axes = stored.map_or(&[][..], |s| s.axes);
    let mut data = match axes {
        [] => data,
        _ => Numbers::new(&dims, data)?.permute(axes)?.into_data(),
    };
    if flip && name.ends_with("/kernel") && param.dims.len() > 2 {
        turn(&param.dims, &mut data);
    }
    param.data = data.into();
    Ok(())
}

// The kernel turned around in all its axes but the last two: the same as its pixels in reverse order.
fn turn(dims: &[usize], data: &mut [f32]) {
    let inner = dims[dims.len() - 2] * dims[dims.len() - 1];
    let pixels: Vec<Vec<f32>> = data.chunks(inner.max(1)).map(<[f32]>::to_vec).collect();
    for (to, from) in data.chunks_mut(inner.max(1)).zip(pixels.iter().rev()) {
        to.copy_from_slice(from);
    }
}
