//! Any file as a model.

use std::path::Path;

use super::recognise;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::format::{FileKind, keras, npy, onnx, torch};
use crate::graph::Graph;
use crate::model::Model;
use crate::zoo::{self, Recipe};

/// What a file leaves open.
#[derive(Debug, Clone, Default)]
pub struct Open {
    /// The network that weights are for, where the file holds weights alone.
    pub network: Option<Network>,
}

/// A network that weights go into.
#[derive(Debug, Clone)]
pub enum Network {
    /// One of the zoo by its name; the weights say how many classes it has.
    Zoo(String),
    /// This one.
    Graph(Graph),
}

/// A model and what is to be known about how it was read.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The model.
    pub model: Model,
    /// The format of the file.
    pub kind: FileKind,
    /// Sentences for the user: what was recognised, assumed or left out.
    pub notes: Vec<String>,
}

impl Network {
    /// The network that a name of the zoo or the path of a TOML file stands for.
    ///
    /// # Errors
    /// There is neither such a name nor such a file, or the file holds no network.
    pub fn named(text: &str) -> Result<Self> {
        let path = Path::new(text);
        if !text.ends_with(".toml") && !path.is_file() {
            return zoo::entry(text).map(|entry| Self::Zoo(entry.name.to_string()));
        }
        let toml = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", &e))?;
        Ok(Self::Graph(Recipe::from_toml(&toml).map_err(|e| e.within(path.display()))?.graph))
    }
}

/// Reads a model from a file of any format, told by its content.
///
/// ```no_run
/// # use std::path::Path;
/// use striate::exchange::{self, Open};
/// let opened = exchange::open(Path::new("resnet18.pth"), &Open::default())?;
/// println!("{} with {} classes", opened.model.graph().name(), opened.model.labels.len());
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The file is missing, damaged or of no known format, holds what cannot be done, or holds weights alone of a network
/// that is not recognised: then it must be given.
pub fn open(path: &Path, options: &Open) -> Result<Opened> {
    let bytes = read(path)?;
    let kind = FileKind::of(path, &bytes)?;
    let mut notes = Vec::new();
    if options.network.is_some() && !kind.is_weights_only() {
        notes.push(format!(
            "{} is {kind}, which has a network of its own; the one that was given is not used",
            path.display()
        ));
    }
    let model = match kind {
        FileKind::Striate => {
            drop(bytes);
            let (model, warning) = Model::load_checked(path)?;
            notes.extend(warning);
            model
        }
        FileKind::Toml => network(path, &bytes, &mut notes)?,
        FileKind::Safetensors => {
            // Its reader streams the file; two copies of it need not be there.
            drop(bytes);
            let tensors = torch::safetensors(path)?;
            recognise::fill(path, &Weights::of(tensors)?, options.network.as_ref(), &mut notes)?
        }
        FileKind::Torch => {
            let weights = Weights::of(torch::tensors(path, &bytes)?)?;
            recognise::fill(path, &weights, options.network.as_ref(), &mut notes)?
        }
        FileKind::Npz => {
            let arrays = npy::npz_from_bytes(path, &bytes)?;
            drop(bytes);
            let named = |(name, array): (String, npy::Array)| Ok(torch::Named::new(name, array.into_tensor()?));
            let weights = Weights::of(arrays.into_iter().map(named).collect::<Result<Vec<_>>>()?)?;
            recognise::fill(path, &weights, options.network.as_ref(), &mut notes)?
        }
        FileKind::Keras | FileKind::KerasH5 => keras::read(&bytes).map_err(|e| e.within(path.display()))?,
        FileKind::KerasWeights => {
            let mut model = Model::new(recognise::given(path, kind, options.network.as_ref())?, 0)?;
            keras::read_weights(&bytes, &mut model).map_err(|e| e.within(path.display()))?;
            model
        }
        FileKind::Onnx => onnx::read(&bytes).map_err(|e| e.within(path.display()))?,
    };
    Ok(Opened { model, kind, notes })
}

fn network(path: &Path, bytes: &[u8], notes: &mut Vec<String>) -> Result<Model> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::format(path, "the text is not UTF-8"))?;
    let recipe = Recipe::from_toml(text).map_err(|e| e.within(path.display()))?;
    notes.push("the file is a network without weights; they are drawn anew".into());
    Model::new(recipe.graph, recipe.train.seed)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    if path.is_dir() {
        return Err(Error::format(path, "is a folder").with_help("give the path of a file"));
    }
    std::fs::read(path).map_err(|e| Error::io(path, "read", &e))
}
