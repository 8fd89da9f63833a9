//! Weights into a network: by the names that PyTorch has for its parameters, or in the order of the layers.

use std::collections::{BTreeMap, BTreeSet};

use super::slot::{Slot, last, slots};
use super::{Named, family, short};
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::graph::Graph;
use crate::model::Model;
use crate::ops::Weights;

// What wrappers put in front of every name.
const PREFIXES: [&str; 5] = ["module.", "_orig_mod.", "model.", "net.", "backbone."];
// Counters, and what profilers leave behind.
const COUNTERS: [&str; 3] = ["num_batches_tracked", "total_ops", "total_params"];
// Heads that are there for training alone.
const HEADS: [&str; 3] = ["aux", "aux1", "aux2"];

/// How weights went into a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// How the tensors of the file found their parameters.
    pub matched: Matched,
    /// Tensors of the file that the network has no use for: counters, and heads for training that it does not have.
    pub unused: Vec<String>,
}

/// How tensors found their parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matched {
    /// By the name of each.
    Names,
    /// In the order of the layers, since all kinds and shapes agree one to one.
    Order,
}

/// A tensor that is meant for a parameter, under its name without wrappers.
#[derive(Clone, Copy)]
struct Offer<'t, 'a> {
    name: &'t str,
    tensor: &'t Named<'a>,
}

/// Puts the tensors of a file into a model.
///
/// Names are those of torchvision: the tensor `layer1.0.conv1.weight` is the parameter `layer1.0.conv1/kernel`. If the
/// names are others (timm's, or those of a network of your own), tensors and parameters are matched in the order of
/// the layers, if and only if their kinds and shapes agree one to one.
///
/// # Errors
/// A parameter is missing, has another shape, or the file has more of them; the first is named with both shapes and
/// the nearest name. The model is then as before.
pub fn load_into(model: &mut Model, tensors: &[Named]) -> Result<Loaded> {
    let slots = slots(model.graph());
    let (offers, unused) = offers(&slots, tensors);
    let (matched, pairs) = pair(model.graph(), &slots, &offers)?;
    // One tensor at a time, so that only its own numbers are there twice.
    let mut data = Vec::with_capacity(slots.len());
    for (slot, tensor) in slots.iter().zip(pairs) {
        let taken = tensor.map(|t| t.tensor().and_then(|t| slot.take(t))).transpose();
        data.push(taken.map_err(|e| e.within(format_args!("parameter {}", slot.name)))?);
    }
    for (param, data) in model.params_mut().iter_mut().zip(data) {
        param.data = data.map_or_else(|| std::mem::take(&mut param.data), Weights::from);
    }
    Ok(Loaded { matched, unused })
}

/// How many classes a network must have for these tensors: the outputs of its last layer's weights.
pub(crate) fn classes(graph: &Graph, tensors: &[Named]) -> Option<usize> {
    let slots = slots(graph);
    let (offers, _) = offers(&slots, tensors);
    let end = slots.iter().rev().find(|s| !s.optional && last(&s.torch) == "weight")?;
    let by_name = offers.iter().find(|o| o.name == end.torch).copied();
    let by_order = || {
        let names: Vec<&str> = offers.iter().map(|o| o.name).collect();
        let order = family::order(&names)?;
        order.into_iter().rev().map(|i| offers[i]).find(|o| last(o.name) == "weight")
    };
    by_name.or_else(by_order)?.tensor.dims().first().copied()
}

/// Whether these tensors are those of a network, by torchvision's names or those of a known family.
pub(crate) fn fits(graph: &Graph, tensors: &[Named]) -> bool {
    let slots = slots(graph);
    let (offers, _) = offers(&slots, tensors);
    by_name(graph, &slots, &offers).is_some_and(|found| found.is_ok()) || by_family(&slots, &offers).is_some()
}

// The layer of a name: all but its last part.
fn head(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(layer, _)| layer)
}

// The tensors without wrappers around their names, and those that are of no use.
fn offers<'t, 'a>(slots: &[Slot], tensors: &'t [Named<'a>]) -> (Vec<Offer<'t, 'a>>, Vec<String>) {
    let known: BTreeSet<&str> = slots.iter().map(|s| s.torch.as_str()).collect();
    let wrapper = wrapper(&known, tensors);
    let (mut offers, mut unused) = (Vec::new(), Vec::new());
    for tensor in tensors {
        let name = &tensor.name()[wrapper..];
        let first = name.split('.').next().unwrap_or(name).to_lowercase();
        let head = HEADS.contains(&first.as_str()) || first == "auxlogits";
        match known.contains(name) || !(head || COUNTERS.contains(&last(name))) {
            true => offers.push(Offer { name, tensor }),
            false => unused.push(tensor.name().to_string()),
        }
    }
    (offers, unused)
}

// The length of what stands in front of all names and is not part of the network's own.
fn wrapper(known: &BTreeSet<&str>, tensors: &[Named]) -> usize {
    let mut length = 0;
    while let Some(prefix) = PREFIXES.iter().find(|p| tensors.iter().all(|t| t.name()[length..].starts_with(*p))) {
        let meant = tensors.first().is_none_or(|t| known.contains(&t.name()[length..]));
        if meant {
            break;
        }
        length += prefix.len();
    }
    length
}

// For each parameter its tensor; none for one that a file may leave out.
type Pairs<'t, 'a> = Vec<Option<&'t Named<'a>>>;

fn pair<'t, 'a>(graph: &Graph, slots: &[Slot], offers: &[Offer<'t, 'a>]) -> Result<(Matched, Pairs<'t, 'a>)> {
    if let Some(found) = by_name(graph, slots, offers) {
        return found.map(|pairs| (Matched::Names, pairs));
    }
    let ordered = by_family(slots, offers).or_else(|| as_stored(slots, offers));
    ordered.map(|pairs| (Matched::Order, pairs)).ok_or_else(|| absent(graph, slots, offers))
}

// None if a name is missing; an error if all are there and something else does not fit.
fn by_name<'t, 'a>(graph: &Graph, slots: &[Slot], offers: &[Offer<'t, 'a>]) -> Option<Result<Pairs<'t, 'a>>> {
    let named: BTreeMap<&str, &'t Named<'a>> = offers.iter().map(|o| (o.name, o.tensor)).collect();
    let pairs: Pairs = slots.iter().map(|slot| named.get(slot.torch.as_str()).copied()).collect();
    if slots.iter().zip(&pairs).any(|(slot, tensor)| tensor.is_none() && !slot.optional) {
        return None;
    }
    let misfit = |(slot, tensor): &(&Slot, &Option<&Named>)| tensor.is_some_and(|t| !slot.fits(t.dims()));
    if let Some((slot, Some(tensor))) = slots.iter().zip(&pairs).find(misfit) {
        return Some(Err(misshapen(graph, slot, slots, tensor)));
    }
    if offers.len() > pairs.iter().flatten().count() {
        return Some(Err(extra(graph, slots, offers)));
    }
    Some(Ok(pairs))
}

fn by_family<'t, 'a>(slots: &[Slot], offers: &[Offer<'t, 'a>]) -> Option<Pairs<'t, 'a>> {
    let names: Vec<&str> = offers.iter().map(|o| o.name).collect();
    in_order(slots, family::order(&names)?.into_iter().map(|i| offers[i]).collect())
}

fn as_stored<'t, 'a>(slots: &[Slot], offers: &[Offer<'t, 'a>]) -> Option<Pairs<'t, 'a>> {
    offers.iter().all(|o| o.tensor.is_ordered()).then(|| in_order(slots, offers.to_vec())).flatten()
}

// Tensors and parameters one to one, where every kind and shape agrees.
fn in_order<'t, 'a>(slots: &[Slot], offers: Vec<Offer<'t, 'a>>) -> Option<Pairs<'t, 'a>> {
    let agree =
        |(slot, offer): (&Slot, &Offer)| slot.fits(offer.tensor.dims()) && kind(&slot.torch) == kind(offer.name);
    let all = offers.len() == slots.len() && slots.iter().zip(&offers).all(agree);
    all.then(|| offers.iter().map(|o| Some(o.tensor)).collect())
}

// What a tensor is to its layer.
fn kind(name: &str) -> &str {
    match last(name) {
        "layer_scale" | "gamma" => "weight",
        other => other,
    }
}

fn extra(graph: &Graph, slots: &[Slot], offers: &[Offer]) -> Error {
    let known: BTreeSet<&str> = slots.iter().map(|s| s.torch.as_str()).collect();
    let extra = offers.iter().find(|o| !known.contains(o.name));
    let (name, dims) = extra.map_or(("", &[][..]), |o| (o.name, o.tensor.dims()));
    let message = format!("the file has a tensor '{}' {dims:?} that {} has no place for", short(name), graph.name());
    Error::new(ErrorKind::Format, message).with_help("give the network that the weights are for")
}

fn absent(graph: &Graph, slots: &[Slot], offers: &[Offer]) -> Error {
    let names: Vec<&str> = offers.iter().map(|o| o.name).collect();
    let missing = slots.iter().find(|s| !s.optional && !names.contains(&s.torch.as_str()));
    let Some(slot) = missing.or(slots.first()) else {
        return Error::argument(format!("{} has no parameters", graph.name()));
    };
    let free: Vec<&str> = names.iter().copied().filter(|name| !slots.iter().any(|s| s.torch == **name)).collect();
    let help = match nearest(&slot.torch, &free) {
        Some(near) => {
            let dims = offers.iter().find(|o| o.name == near).map(|o| o.tensor.dims()).unwrap_or_default();
            format!("the nearest name in the file is '{}' {dims:?}", short(near))
        }
        None => {
            let first: Vec<String> = names.iter().take(3).map(|name| format!("'{}'", short(name))).collect();
            format!("the file has {} tensors: {}, ...", names.len(), first.join(", "))
        }
    };
    let message = format!(
        "the file has no tensor '{}' {:?} for the parameter {} of {}, and the {} tensors do not fit its {} parameters in order",
        slot.torch,
        slot.dims,
        slot.name,
        graph.name(),
        offers.len(),
        slots.len()
    );
    Error::new(ErrorKind::Format, message).with_help(help)
}

fn misshapen(graph: &Graph, slot: &Slot, slots: &[Slot], tensor: &Named) -> Error {
    let message = format!(
        "tensor '{}' has the shape {:?}, but the parameter {} of {} needs {:?}",
        short(tensor.name()),
        tensor.dims(),
        slot.name,
        graph.name(),
        slot.dims
    );
    let error = Error::new(ErrorKind::Format, message);
    let is_last = slots.last().is_some_and(|end| head(&end.torch) == head(&slot.torch));
    match (tensor.dims().first(), slot.dims.first()) {
        (Some(found), Some(built)) if is_last && found != built => error.with_help(format!(
            "the weights are for {found} classes: build the network with {found} instead of {built}"
        )),
        _ => error.with_help("give the network that the weights are for, with its input size and channels"),
    }
}
