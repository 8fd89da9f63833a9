//! A model as a file of any format.

use std::path::Path;

use crate::error::{Error, Result, unknown};
use crate::format::onnx::{self, Export};
use crate::format::{FileKind, atomic, keras, npy, torch};
use crate::model::Model;
use crate::train::FitConfig;
use crate::zoo::Recipe;

/// How a model is written, where its format leaves a choice.
#[derive(Debug, Clone, Default)]
pub struct Save {
    /// The settings that go into a TOML file with the network.
    pub train: FitConfig,
    /// The version of ONNX's operators, 13 to 22.
    pub onnx: Export,
}

// The longer of two extensions comes first.
const EXTENSIONS: [(&str, FileKind); 8] = [
    (".striate", FileKind::Striate),
    (".keras", FileKind::Keras),
    (".weights.h5", FileKind::KerasWeights),
    (".h5", FileKind::KerasH5),
    (".onnx", FileKind::Onnx),
    (".safetensors", FileKind::Safetensors),
    (".npz", FileKind::Npz),
    (".toml", FileKind::Toml),
];

/// Writes a model, whole or not at all, in the format of the file's extension; the result are sentences for the user
/// about what the format has no place for.
///
/// | extension | what is written |
/// |---|---|
/// | `.striate` | everything |
/// | `.keras`, `.h5` | a model that Keras 3 opens; labels and preprocessing where Keras passes over them |
/// | `.weights.h5` | weights alone, as Keras 3 writes them |
/// | `.onnx` | network, weights, labels and preprocessing, as ONNX runtimes compute them |
/// | `.safetensors` | weights with PyTorch's names and axes |
/// | `.npz` | weights as NumPy arrays with the names and axes that they have here |
/// | `.toml` | the network without weights |
///
/// # Errors
/// The extension is none of these, the format cannot hold the model (the layer is named), or the file cannot be
/// written.
pub fn save(model: &Model, path: &Path, options: &Save) -> Result<Vec<String>> {
    let kind = kind(path)?;
    match kind {
        FileKind::Safetensors => torch::save(model, path)?,
        FileKind::Npz => npz(model, path)?,
        FileKind::Toml => {
            let recipe = Recipe { graph: model.graph().clone(), train: options.train.clone() };
            let text = recipe.to_toml()?;
            atomic::write(path, |out| out.write_all(text.as_bytes()))?;
        }
        FileKind::Keras => whole(path, &keras::write(model, keras::Kind::Keras)?)?,
        FileKind::KerasH5 => whole(path, &keras::write(model, keras::Kind::H5)?)?,
        FileKind::KerasWeights => whole(path, &keras::write(model, keras::Kind::WeightsH5)?)?,
        FileKind::Onnx => whole(path, &onnx::write(model, &options.onnx)?)?,
        _ => model.save(path)?,
    }
    Ok(notes(kind))
}

fn whole(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic::write(path, |out| out.write_all(bytes))
}

fn kind(path: &Path) -> Result<FileKind> {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let known = EXTENSIONS.iter().find(|(extension, _)| name.ends_with(extension));
    known.map(|(_, kind)| *kind).ok_or_else(|| {
        let extension = name.find('.').map_or("", |at| &name[at..]);
        unknown("extension", extension, EXTENSIONS.iter().map(|(extension, _)| *extension)).within(path.display())
    })
}

fn notes(kind: FileKind) -> Vec<String> {
    match kind {
        FileKind::Toml => vec!["a TOML file holds the network alone, without weights".into()],
        FileKind::Safetensors | FileKind::Npz | FileKind::KerasWeights => {
            vec!["the file holds weights alone, without the network, labels and preprocessing".into()]
        }
        _ => Vec::new(),
    }
}

fn npz(model: &Model, path: &Path) -> Result<()> {
    let params = model.params();
    let array = |i: usize| {
        let array = npy::Array::new(&params[i].dims, npy::Numbers::F32(params[i].data.to_vec()))?;
        Ok((params[i].name.clone(), array))
    };
    npy::write_npz(path, (0..params.len()).map(array)).map_err(|e: Error| e.within("npz"))
}
