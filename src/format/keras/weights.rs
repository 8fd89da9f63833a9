//! Weights alone, into a network that is there already.

use std::collections::BTreeMap;

use super::export::{Exported, layers};
use super::network::{Home, bad};
use super::store::Store;
use crate::error::Result;
use crate::model::Model;

/// Fills the parameters of a model from a store; on an error, none is changed.
pub fn fill(model: &mut Model, store: Store<'_>) -> Result<()> {
    let layers = layers(model)?;
    let homes = homes(&layers, &store)?;
    let mut filled = Vec::new();
    for (layer, home) in layers.iter().filter(|l| !l.weights.is_empty()).zip(homes) {
        let names: Vec<&str> = layer.weights.iter().map(|w| w.param.rsplit('/').next().unwrap_or(&w.param)).collect();
        for (weight, (dims, data)) in layer.weights.iter().zip(store.layer(&layer.name, &home, &names)?) {
            if dims != weight.dims {
                let message = format!(
                    "{} has the axes {dims:?} in the file, and the network needs {:?}",
                    weight.param, weight.dims
                );
                return Err(bad(message).with_help("the weights are those of another network"));
            }
            filled.push((weight.param.clone(), data));
        }
    }
    let mut filled: BTreeMap<String, Vec<f32>> = filled.into_iter().collect();
    for param in model.params_mut() {
        if let Some(data) = filled.remove(&param.name) {
            param.data = data.into();
        }
    }
    Ok(())
}

// Where each layer with weights is: by name if all are there, else by order.
fn homes(layers: &[Exported], store: &Store<'_>) -> Result<Vec<Home>> {
    let found = store.weighted()?;
    let named: BTreeMap<&str, &Home> = found.iter().map(|(name, home)| (name.as_str(), home)).collect();
    let weighted = || layers.iter().filter(|l| !l.weights.is_empty());
    let by_name: Option<Vec<Home>> = weighted().map(|l| named.get(l.name.as_str()).map(|h| (*h).clone())).collect();
    match (by_name, store) {
        (Some(homes), _) => Ok(homes),
        (None, Store::Paths(_)) => {
            let home = |path: String| Home { path, group: String::new(), nested: false, again: false };
            let paths = Exported::paths(layers).into_iter().zip(layers).filter(|(_, l)| !l.weights.is_empty());
            Ok(paths.map(|(path, _)| home(path)).collect())
        }
        (None, Store::Groups { .. }) if found.len() == weighted().count() => {
            Ok(found.iter().map(|(_, home)| home.clone()).collect())
        }
        (None, Store::Groups { .. }) => Err(bad(format!(
            "the file has weights of {} layers, and the network of {}",
            found.len(),
            weighted().count()
        ))
        .with_help("the weights are those of another network")),
    }
}
