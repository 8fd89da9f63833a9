//! The model file: network, weights, labels, preprocessing, training record and golden samples in one file.
//!
//! Loading replays the golden samples. A result that is not the one that was
//! saved is a warning, since another instruction set without fused
//! multiply-adds gives slightly other numbers; a large difference says that
//! something is wrong.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::format::safetensors::TensorRef;
use crate::format::{Container, ContainerRef, Kind};
use crate::graph::Graph;
use crate::model::{GoldenSample, Model};

// Outputs of a softmax differ by less than this between machines with and without fused multiply-adds.
const REPLAY_TOLERANCE: f32 = 1e-4;

impl Model {
    /// Writes the model, whole or not at all; the same model gives the same bytes.
    ///
    /// # Errors
    /// The graph holds a custom op, or the file cannot be written; an older file is then as before.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut documents = BTreeMap::new();
        documents.insert("graph".to_string(), self.graph().to_document()?.to_string());
        documents.insert("labels".to_string(), json(path, &self.labels)?);
        documents.insert("preprocess".to_string(), json(path, &self.preprocess)?);
        documents.insert("record".to_string(), json(path, &self.record)?);
        documents.insert("golden".to_string(), json(path, &self.golden.len())?);
        let golden: Vec<(String, &[f32])> = self
            .golden
            .iter()
            .enumerate()
            .flat_map(|(i, g)| [(format!("golden/{i}/x"), g.x.as_slice()), (format!("golden/{i}/y"), g.y.as_slice())])
            .collect();
        let lens: Vec<[usize; 1]> = golden.iter().map(|(_, data)| [data.len()]).collect();
        let names: Vec<String> = self.params().iter().map(|p| weight(&p.name)).collect();
        let weights =
            self.params().iter().zip(&names).map(|(p, name)| TensorRef { name, dims: &p.dims, data: &p.data });
        let samples = golden.iter().zip(&lens).map(|((name, data), dims)| TensorRef { name, dims, data });
        let tensors: Vec<TensorRef<'_>> = weights.chain(samples).collect();
        ContainerRef { kind: Kind::Model, documents: &documents, tensors: &tensors }.save(path)
    }

    /// Reads a model and replays its golden samples; a difference is logged as a warning.
    ///
    /// # Errors
    /// The file is missing, damaged, not a model, of a newer version, or its parts do not agree.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let (model, warning) = Self::load_checked(path.as_ref())?;
        if let Some(warning) = warning {
            tracing::warn!("{}: {warning}", path.as_ref().display());
        }
        Ok(model)
    }

    /// Reads a model and replays its golden samples; a difference is the second result.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_checked(path: &Path) -> Result<(Self, Option<String>)> {
        let mut file = Container::load(path, Kind::Model)?;
        let graph = Graph::from_document(parse(path, &file, "graph")?).map_err(|e| Error::format(path, e))?;
        let count: usize = parse(path, &file, "golden")?;
        let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> =
            std::mem::take(&mut file.tensors).into_iter().map(|(name, dims, data)| (name, (dims, data))).collect();
        let mut model = Self::without_weights(graph).map_err(|e| Error::format(path, e))?;
        for param in model.params_mut() {
            let (dims, data) = take(path, &mut tensors, &weight(&param.name))?;
            if dims != param.dims {
                let message = format!("{} has the shape {dims:?}, but the network needs {:?}", param.name, param.dims);
                return Err(Error::format(path, message));
            }
            param.data = data.into();
        }
        for i in 0..count {
            let x = take(path, &mut tensors, &format!("golden/{i}/x"))?.1;
            let y = take(path, &mut tensors, &format!("golden/{i}/y"))?.1;
            model.golden.push(GoldenSample { x, y });
        }
        if let Some(name) = tensors.keys().next() {
            return Err(Error::format(path, format!("it holds a tensor '{name}' that the network does not know")));
        }
        model.labels = parse(path, &file, "labels")?;
        model.preprocess = parse(path, &file, "preprocess")?;
        model.record = parse(path, &file, "record")?;
        let difference = model.replay().map_err(|e| Error::format(path, e))?;
        Ok((model, warning(difference)))
    }
}

fn warning(difference: f32) -> Option<String> {
    (difference > REPLAY_TOLERANCE).then(|| {
        format!(
            "its golden samples give outputs that differ by {difference:e} from those that were saved: do not trust it"
        )
    })
}

fn weight(name: &str) -> String {
    format!("weights/{name}")
}

fn take(
    path: &Path,
    tensors: &mut BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    name: &str,
) -> Result<(Vec<usize>, Vec<f32>)> {
    tensors.remove(name).ok_or_else(|| Error::format(path, format!("it has no tensor '{name}'")))
}

fn json<T: Serialize>(path: &Path, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::format(path, format!("cannot be stored: {e}")))
}

fn parse<T: DeserializeOwned>(path: &Path, file: &Container, name: &str) -> Result<T> {
    let text = file.documents.get(name).ok_or_else(|| Error::format(path, format!("it has no '{name}'")))?;
    serde_json::from_str(text).map_err(|e| Error::format(path, format!("its '{name}' cannot be read: {e}")))
}
