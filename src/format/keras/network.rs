//! The network of a config, flat: layers in an order in which they can run, each with its inputs.
//!
//! Three generations wrote three forms of the same thing. A `Sequential` is a
//! list of layers; a `Functional` (once `Model`) says for each layer which calls
//! it had (`inbound_nodes`: nested lists, or since Keras 3 arguments with
//! `keras_tensor`s). Models inside models are flattened: their layers get the
//! model's name and a dot in front.
//!
//! With each layer stands its [`Home`]: where files of either layout keep its weights.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::calls::{Call, order};
use super::classic;
use super::fields::{Fields, whole};
use super::naming::Counter;
use crate::error::{Error, ErrorKind, Result};

// Models inside models inside models.
const MAX_DEPTH: usize = 16;
// Names are searched one by one, so their number has a bound.
const MAX_LAYERS: usize = 20_000;

/// A network, flat; layer 0 is the input.
#[derive(Debug)]
pub struct Network {
    /// The model's name.
    pub name: String,
    /// The shape of a sample as the file gives it.
    pub input: Vec<usize>,
    /// The layers after the input.
    pub layers: Vec<Layer>,
    /// Whether its images have their channels first.
    pub channels_first: bool,
}

/// A layer of a network.
#[derive(Debug)]
pub struct Layer {
    /// Its name in the flat network.
    pub name: String,
    /// Its options.
    pub fields: Fields,
    /// Its inputs: 0 is the network's input, `i` is layer `i - 1`.
    pub inputs: Vec<usize>,
    /// Where its weights are.
    pub home: Home,
}

/// Where a file keeps the weights of a layer.
#[derive(Debug, Clone)]
pub struct Home {
    /// The group of the layer in the layout of Keras 3, such as `layers/conv2d_1`.
    pub path: String,
    /// The group in the older layout: the name of the outermost layer.
    pub group: String,
    /// Whether that group is of a whole model, so that weights must be told by name.
    pub nested: bool,
    /// Whether this is a second call of a layer, whose weights belong to the first.
    pub again: bool,
}

// Where the flattening stands.
#[derive(Clone, Default)]
struct Scope {
    prefix: String,
    path: String,
    group: Option<String>,
    depth: usize,
}

/// The network of a model's config.
///
/// # Errors
/// The config is not one of a Sequential or Functional model with one input and one output.
pub fn flatten(config: &Json) -> Result<Network> {
    let mut flat = Flat::default();
    let (class, body) =
        model(config).ok_or_else(|| bad("the config is not that of a Sequential or Functional model"))?;
    let last = flat.expand(&class, body, None, &Scope::default())?;
    if last != flat.layers.len() {
        return Err(bad("the output is not the last layer"));
    }
    let name = name_of(body).unwrap_or_else(|| "keras".into());
    let input = flat.input.ok_or_else(|| bad("the network has no input"))?;
    let first =
        flat.layers.iter().any(|l| l.fields.peek("data_format").and_then(Json::as_str) == Some("channels_first"));
    Ok(Network { name, input, layers: flat.layers, channels_first: first })
}

#[derive(Default)]
struct Flat {
    input: Option<Vec<usize>>,
    layers: Vec<Layer>,
}

// One entry of a model's list of layers.
struct Item<'a> {
    name: String,
    class: String,
    config: &'a Json,
    path: String,
}

impl Flat {
    // Adds the layers of a model; the result is the layer that is its output.
    fn expand(&mut self, class: &str, body: &Json, input: Option<usize>, scope: &Scope) -> Result<usize> {
        if scope.depth >= MAX_DEPTH {
            return Err(bad(format!("models are nested over {MAX_DEPTH} deep")));
        }
        match class {
            "Sequential" => self.sequential(body, input, scope),
            _ => self.functional(body, input, scope),
        }
    }

    fn sequential(&mut self, body: &Json, mut last: Option<usize>, scope: &Scope) -> Result<usize> {
        let list = layers(body)?;
        for (i, item) in items(list, scope)?.into_iter().enumerate() {
            if item.class == "InputLayer" {
                last = last.map_or_else(|| self.set_input(item.config), Ok).map(Some)?;
                continue;
            }
            if last.is_none() && model(&list[i]).is_none() {
                let given = [item.config, body].into_iter().find(|c| shape_of(c).is_some()).unwrap_or(item.config);
                last = Some(self.set_input(given)?);
            }
            last = Some(self.add(&item, &list[i], last.as_slice(), 0, scope)?);
        }
        last.ok_or_else(|| bad("a Sequential model has no layers"))
    }

    fn functional(&mut self, body: &Json, input: Option<usize>, scope: &Scope) -> Result<usize> {
        let list = layers(body)?;
        let items = items(list, scope)?;
        let names: BTreeMap<&str, usize> = items.iter().enumerate().map(|(i, item)| (item.name.as_str(), i)).collect();
        let mut calls = Vec::new();
        for (i, (item, layer)) in items.iter().zip(list).enumerate() {
            let own = super::calls::of_layer(&item.name, layer, i, &names)?;
            match own.is_empty() {
                true => calls.push(Call { layer: i, nth: 0, inputs: Vec::new() }),
                false => calls.extend(own),
            }
        }
        let output = super::calls::only_end(body, "output_layers", &names)?;
        super::calls::only_end(body, "input_layers", &names)?;
        let mut values: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut last = None;
        for call in order(&calls, output)? {
            let item = &items[call.layer];
            let value = if item.class == "InputLayer" {
                input.map_or_else(|| self.set_input(item.config), Ok)?
            } else {
                let inputs: Vec<usize> = call.inputs.iter().filter_map(|at| value_at(&values, *at)).collect();
                self.add(item, &list[call.layer], &inputs, call.nth, scope)?
            };
            values.insert((call.layer, call.nth), value);
            last = Some(value);
        }
        last.ok_or_else(|| bad("a Functional model has no layers"))
    }

    fn set_input(&mut self, config: &Json) -> Result<usize> {
        if self.input.is_some() {
            return Err(bad("the network has several inputs").with_help("striate's networks have one"));
        }
        let shape = shape_of(config).ok_or_else(|| bad("the network does not say the shape of its input"))?;
        let sizes = shape.iter().skip(1).map(whole).collect::<Option<Vec<usize>>>().ok_or_else(|| {
            bad(format!("the input has the shape {}", Json::Array(shape.clone())))
                .with_help("build the model in Keras with all sizes given but the batch, such as (None, 224, 224, 3)")
        })?;
        self.input = Some(sizes);
        Ok(0)
    }

    fn add(&mut self, item: &Item<'_>, layer: &Json, inputs: &[usize], nth: usize, scope: &Scope) -> Result<usize> {
        let group = scope.group.clone().unwrap_or_else(|| item.name.clone());
        let again = if nth == 0 { String::new() } else { format!("_{nth}") };
        let name = format!("{}{}{again}", scope.prefix, item.name.replace('/', "."));
        if let Some((class, body)) = model(layer) {
            if nth > 0 || inputs.len() > 1 {
                return Err(bad(format!(
                    "the model '{}' inside is called several times, or on several inputs",
                    item.name
                ))
                .with_help("striate's layers do not share weights"));
            }
            let (prefix, path) = (format!("{name}."), format!("{}/", item.path));
            let inner = Scope { prefix, path, group: Some(group), depth: scope.depth + 1 };
            return self.expand(&class, body, inputs.first().copied(), &inner);
        }
        if self.layers.len() >= MAX_LAYERS {
            return Err(bad(format!("the network has over {MAX_LAYERS} layers")));
        }
        let map = item.config.as_object().cloned().unwrap_or_default();
        let (class, map) = classic::renamed(&item.class, map);
        let home = Home { path: item.path.clone(), group, nested: scope.group.is_some(), again: nth > 0 };
        let fields = Fields::new(&item.name, &class, map);
        self.layers.push(Layer { name, fields, inputs: inputs.to_vec(), home });
        Ok(self.layers.len())
    }
}

// The result of a call; a layer that was called once means that call, whatever number is asked for.
fn value_at(values: &BTreeMap<(usize, usize), usize>, (layer, nth): (usize, usize)) -> Option<usize> {
    values.get(&(layer, nth)).or_else(|| values.get(&(layer, 0))).copied()
}

// The layers of a model, each with its place in the layout of Keras 3, where they are counted by class.
fn items<'a>(list: &'a [Json], scope: &Scope) -> Result<Vec<Item<'a>>> {
    let mut counter = Counter::default();
    let item = |layer: &'a Json| {
        let class = layer.get("class_name").and_then(Json::as_str).ok_or_else(|| bad("a layer has no class_name"))?;
        let config = layer.get("config").unwrap_or(&Json::Null);
        let name = layer.get("name").and_then(Json::as_str).map(str::to_string).or_else(|| name_of(config));
        // Operations that are no layers, such as `x + y`, are not counted.
        let operation = layer.get("module").and_then(Json::as_str).is_some_and(|m| m.contains(".ops."));
        let path = if operation { String::new() } else { format!("{}layers/{}", scope.path, counter.next(class)) };
        let name = name.unwrap_or_else(|| class.to_lowercase());
        Ok(Item { name, class: class.to_string(), config, path })
    };
    list.iter().map(item).collect()
}

// The class and the config of a model, if this is one.
fn model(json: &Json) -> Option<(String, &Json)> {
    let class = json.get("class_name")?.as_str()?;
    let config = json.get("config")?;
    ["Sequential", "Functional", "Model"].contains(&class).then(|| (class.to_string(), config))
}

// The list of layers; Keras 1 wrote a Sequential model as the list itself.
fn layers(body: &Json) -> Result<&Vec<Json>> {
    let list = body.as_array().or_else(|| body.get("layers")?.as_array());
    list.ok_or_else(|| bad("a model has no list of layers"))
}

fn name_of(config: &Json) -> Option<String> {
    config.get("name")?.as_str().map(str::to_string)
}

fn shape_of(config: &Json) -> Option<&Vec<Json>> {
    let keys = ["batch_shape", "batch_input_shape", "build_input_shape"];
    keys.iter().find_map(|key| config.get(key)?.as_array())
}

/// An error in a config.
pub fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}
