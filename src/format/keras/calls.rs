//! The calls of a Functional model: which layer was called on the results of which, in all three notations.
//!
//! ```text
//! Keras 1, 2   "inbound_nodes": [[["conv", 0, 0], ["input", 0, 0]]]          (layer, call, output), options as a 4th
//! Keras 3      "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__",
//!                                           "config": {"keras_history": ["conv", 0, 0]}}], "kwargs": {}}]
//! ```

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::network::bad;
use crate::error::Result;

/// One call of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The layer, by its place in the model's list.
    pub layer: usize,
    /// Which of the layer's calls this is.
    pub nth: usize,
    /// The results it is called on: layer and call.
    pub inputs: Vec<(usize, usize)>,
}

type Names<'a> = BTreeMap<&'a str, usize>;

/// The calls of one layer.
///
/// # Errors
/// They are not in a known notation, name an unknown layer, or carry options that change the result.
pub fn of_layer(name: &str, layer: &Json, at: usize, names: &Names<'_>) -> Result<Vec<Call>> {
    let nodes = match layer.get("inbound_nodes") {
        Some(Json::Array(nodes)) => nodes.as_slice(),
        _ => &[],
    };
    let call = |(nth, node): (usize, &Json)| {
        let inputs = inputs_of(node, names).map_err(|e| e.within(format_args!("layer '{name}'")))?;
        Ok(Call { layer: at, nth, inputs })
    };
    nodes.iter().enumerate().map(call).collect()
}

/// The one layer that a model begins or ends with.
///
/// # Errors
/// There are several, or none.
pub fn only_end(body: &Json, key: &str, names: &Names<'_>) -> Result<(usize, usize)> {
    let list = body.get(key).and_then(Json::as_array).ok_or_else(|| bad(format!("the model has no {key}")))?;
    let only = match list.as_slice() {
        // Keras 3 writes a single end without the outer list.
        [Json::String(_), ..] => reference(list, names),
        [Json::Array(one)] => reference(one, names),
        _ => {
            return Err(bad(format!("the model has {} {key}, and striate's networks have one", list.len()))
                .with_help("in Keras, make a Model from one input to one output"));
        }
    };
    only.ok_or_else(|| bad(format!("{key} names no layer of the model")))
}

/// The calls that the output needs, each after those that it needs; the output comes last.
///
/// # Errors
/// A call is on a result that does not exist, or on itself by way of others.
pub fn order(calls: &[Call], output: (usize, usize)) -> Result<Vec<&Call>> {
    let at: BTreeMap<(usize, usize), usize> =
        calls.iter().enumerate().map(|(i, call)| ((call.layer, call.nth), i)).collect();
    // A layer with one call means that call, whatever number is asked for.
    let find = |(layer, nth): (usize, usize)| at.get(&(layer, nth)).or_else(|| at.get(&(layer, 0))).copied();
    let end = find(output).ok_or_else(|| bad("the output is of no layer"))?;
    let inputs = |i: usize| calls[i].inputs.iter().map(|input| find(*input));
    let mut needed = vec![false; calls.len()];
    let mut stack = vec![end];
    while let Some(i) = stack.pop() {
        if !std::mem::replace(&mut needed[i], true) {
            stack.extend(inputs(i).flatten());
        }
    }
    let mut ordered = Vec::new();
    let mut done = vec![false; calls.len()];
    for start in (0..calls.len()).filter(|i| needed[*i]) {
        // Depth first, each with the number of its inputs that were looked at.
        let mut stack = vec![(start, 0)];
        while let Some((i, seen)) = stack.pop() {
            if done[i] {
                continue;
            }
            if stack.len() > calls.len() {
                return Err(bad("the layers of the model go in a circle"));
            }
            match inputs(i).nth(seen) {
                None => {
                    done[i] = true;
                    ordered.push(&calls[i]);
                }
                Some(None) => return Err(bad("a layer is called on the result of a layer that is not there")),
                Some(Some(input)) => stack.extend([(i, seen + 1), (input, 0)]),
            }
        }
    }
    Ok(ordered)
}

fn inputs_of(node: &Json, names: &Names<'_>) -> Result<Vec<(usize, usize)>> {
    let mut inputs = Vec::new();
    match node {
        Json::Array(list) => nested_lists(list, names, &mut inputs)?,
        Json::Object(map) => {
            for argument in map.get("args").and_then(Json::as_array).into_iter().flatten() {
                arguments(argument, names, &mut inputs)?;
            }
            options(map.get("kwargs"))?;
        }
        _ => return Err(bad("its inbound_nodes are in no known notation")),
    }
    if inputs.is_empty() { Err(bad("it is called on nothing")) } else { Ok(inputs) }
}

// Keras 1 and 2; a call on a single result may lack one level of lists.
fn nested_lists(list: &[Json], names: &Names<'_>, to: &mut Vec<(usize, usize)>) -> Result<()> {
    if let [Json::String(_), ..] = list {
        to.push(reference(list, names).ok_or_else(|| bad("it is called on the result of an unknown layer"))?);
        return options(list.get(3));
    }
    for one in list {
        let one = one.as_array().filter(|one| matches!(one.first(), Some(Json::String(_))));
        nested_lists(one.ok_or_else(|| bad("its inbound_nodes are in no known notation"))?, names, to)?;
    }
    Ok(())
}

// Keras 3: one result, or a list of results.
fn arguments(argument: &Json, names: &Names<'_>, to: &mut Vec<(usize, usize)>) -> Result<()> {
    if let Json::Array(list) = argument {
        for one in list {
            to.push(tensor(one, names)?);
        }
        return Ok(());
    }
    to.push(tensor(argument, names)?);
    Ok(())
}

fn tensor(argument: &Json, names: &Names<'_>) -> Result<(usize, usize)> {
    let history = argument.get("config").and_then(|config| config.get("keras_history")?.as_array());
    let history = history.ok_or_else(|| bad(format!("it is called on {argument}, which is no result of a layer")))?;
    reference(history, names).ok_or_else(|| bad("it is called on the result of an unknown layer"))
}

fn reference(list: &[Json], names: &Names<'_>) -> Option<(usize, usize)> {
    let [name, node, output, ..] = list else { return None };
    let layer = *names.get(name.as_str()?)?;
    (output.as_u64()? == 0).then_some((layer, usize::try_from(node.as_u64()?).ok()?))
}

// What a layer was called with besides its inputs; masks are for sequences of different lengths.
fn options(options: Option<&Json>) -> Result<()> {
    let Some(Json::Object(map)) = options else { return Ok(()) };
    match map.iter().find(|(_, value)| !value.is_null() && **value != Json::Bool(false)) {
        None => Ok(()),
        Some((key, value)) => Err(bad(format!("it is called with {key} = {value}, which is not supported"))
            .with_help("call the layer without it in Keras and save the model again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(layer: usize, inputs: &[usize]) -> Call {
        Call { layer, nth: 0, inputs: inputs.iter().map(|i| (*i, 0)).collect() }
    }

    #[test]
    fn calls_stand_after_what_they_need_and_the_rest_goes() {
        let calls = [call(0, &[1]), call(1, &[2]), call(2, &[]), call(3, &[2])];
        let ordered: Vec<usize> = order(&calls, (0, 0)).unwrap().iter().map(|c| c.layer).collect();
        assert_eq!(ordered, [2, 1, 0]);
    }

    #[test]
    fn circles_and_holes_are_refused() {
        assert!(order(&[call(0, &[1]), call(1, &[0])], (0, 0)).unwrap_err().to_string().contains("circle"));
        assert!(order(&[call(0, &[7])], (0, 0)).unwrap_err().to_string().contains("not there"));
        assert!(order(&[call(0, &[0])], (0, 0)).is_err());
    }
}
