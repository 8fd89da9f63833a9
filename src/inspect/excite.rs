//! The images of a data set that excite a channel most.
//!
//! Source: Zeiler and Fergus, 2014, arXiv:1311.2901, figure 2; Girshick et al., 2014, arXiv:1311.2524, section 3.1.

use super::window::{Patch, unit_patch};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::session::{Machine, Session};

/// An image that excites a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Excited {
    /// Its number in the data set.
    pub index: usize,
    /// The name of its class.
    pub class: String,
    /// The largest value of the channel.
    pub value: f32,
    /// Its row and column.
    pub at: [usize; 2],
    /// The pixels that it can depend on.
    pub patch: Patch,
}

const BATCH: usize = 32;

/// The `count` images, among the first `limit` of a data set (0: all), with the largest value of a channel anywhere.
///
/// # Errors
/// The data set's images do not fit the network, or there is no such layer or channel.
pub fn most_exciting(model: &Model, data: &dyn Dataset, ask: &ExciteAsk<'_>) -> Result<Vec<Excited>> {
    let graph = model.graph();
    let shape = graph.shape(graph.value(ask.layer)?);
    let (c, input) = (shape.channels(), graph.input_shape()?);
    if ask.channel >= c {
        return Err(Error::argument(format!("layer '{}' has no channel {}", ask.layer, ask.channel))
            .with_help(format!("channels are 0 to {}", c - 1)));
    }
    if data.shape() != input {
        return Err(Error::shape(format!(
            "the images of {} are {}, the network takes {input}",
            data.name(),
            data.shape()
        )));
    }
    let n = if ask.limit == 0 { data.len() } else { ask.limit.min(data.len()) };
    let mut session = Session::new(model, ask.machine.clone())?;
    let mut best: Vec<(f32, usize, usize)> = Vec::new();
    let mut x = vec![0.0; BATCH.min(n.max(1)) * input.len()];
    let batch = x.len() / input.len();
    for start in (0..n).step_by(batch) {
        let count = batch.min(n - start);
        for (i, x) in x.chunks_mut(input.len()).take(count).enumerate() {
            data.fill(start + i, x)?;
        }
        session.look(&x, batch)?;
        for (i, values) in session.value(ask.layer)?.data().chunks(shape.len()).take(count).enumerate() {
            let of_channel = values.iter().skip(ask.channel).step_by(c).enumerate();
            // Of equal values the first.
            if let Some((at, value)) = of_channel.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0))) {
                best.push((*value, start + i, at));
            }
        }
        best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        best.truncate(ask.count);
    }
    let columns = if let [_, w, _] = *shape.dims() { w } else { 1 };
    let classes = data.classes();
    let found = |(value, index, at): (f32, usize, usize)| {
        let at = if shape.rank() == 3 { [at / columns, at % columns] } else { [0, 0] };
        let class = classes.get(data.label(index) as usize).cloned().unwrap_or_default();
        Ok(Excited { index, class, value, at, patch: unit_patch(graph, ask.layer, at)? })
    };
    best.into_iter().map(found).collect()
}

/// What is asked of [`most_exciting`].
#[derive(Debug, Clone)]
pub struct ExciteAsk<'a> {
    /// The layer.
    pub layer: &'a str,
    /// The channel.
    pub channel: usize,
    /// How many images.
    pub count: usize,
    /// How many to look through, from the first; 0 for all.
    pub limit: usize,
    /// The machine.
    pub machine: Machine,
}
