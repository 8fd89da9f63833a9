//! Which format a file has, told by its content: a file's name may be wrong.

use std::fmt;
use std::path::Path;

use super::zip::Archive;
use super::{sniff, torch};
use crate::error::{Error, Result};

/// A format that models, weights or networks come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// striate's own model file: everything.
    Striate,
    /// A network as TOML, without weights.
    Toml,
    /// `.keras`: network and weights.
    Keras,
    /// A Keras `.h5` with network and weights.
    KerasH5,
    /// A Keras `.h5` or `.weights.h5` with weights alone.
    KerasWeights,
    /// ONNX: network and weights.
    Onnx,
    /// PyTorch's `.pth` and `.pt`: weights alone.
    Torch,
    /// Safetensors: weights alone.
    Safetensors,
    /// Arrays of NumPy: weights alone.
    Npz,
}

const SAFETENSORS_START: usize = 9;
// The metadata of a striate file begin with a checksum of 64 digits.
const STRIATE_START: usize = 256;

impl FileKind {
    /// The format of a file with this content; `path` serves for messages.
    ///
    /// # Errors
    /// It is none of them; the message says what it looks like.
    pub fn of(path: &Path, bytes: &[u8]) -> Result<Self> {
        let start = &bytes[..bytes.len().min(STRIATE_START)];
        match start {
            _ if start.starts_with(b"PK") => archive(path, bytes),
            _ if start.starts_with(b"\x89HDF\r\n\x1a\n") => Ok(hdf5(bytes)),
            _ if torch::is_pickle(bytes) || bytes.get(257..262) == Some(b"ustar") => Ok(Self::Torch),
            _ if sniff::looks_like(&start[..start.len().min(16)]) == Some("a safetensors file") => {
                Ok(safetensors(start))
            }
            _ if is_onnx(start) => Ok(Self::Onnx),
            _ if is_toml(bytes) => Ok(Self::Toml),
            _ => Err(foreign(path, start)),
        }
    }

    /// Whether such a file holds weights without the network that they are for.
    pub fn is_weights_only(self) -> bool {
        matches!(self, Self::KerasWeights | Self::Torch | Self::Safetensors | Self::Npz)
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Striate => "a striate model",
            Self::Toml => "a network in TOML",
            Self::Keras => "a Keras model (.keras)",
            Self::KerasH5 => "a Keras model (.h5)",
            Self::KerasWeights => "weights of Keras (.h5)",
            Self::Onnx => "an ONNX model",
            Self::Torch => "weights of PyTorch",
            Self::Safetensors => "weights in safetensors",
            Self::Npz => "weights in .npz",
        })
    }
}

fn archive(path: &Path, bytes: &[u8]) -> Result<FileKind> {
    let archive = Archive::open(path, bytes)?;
    let names: Vec<&str> = archive.entries().iter().map(|e| e.name.as_str()).collect();
    if names.iter().any(|name| *name == "data.pkl" || name.ends_with("/data.pkl")) {
        return Ok(FileKind::Torch);
    }
    if names.contains(&"config.json") {
        return Ok(FileKind::Keras);
    }
    if !names.is_empty() && names.iter().all(|name| name.ends_with(".npy")) {
        return Ok(FileKind::Npz);
    }
    let first: Vec<&str> = names.iter().copied().take(3).collect();
    Err(Error::format(path, format!("a zip archive that is no model; it begins with {}", first.join(", ")))
        .with_help("models come as .keras, .pth and .npz archives"))
}

// The attribute that holds a whole model's network stands in the file by its name.
fn hdf5(bytes: &[u8]) -> FileKind {
    let name = b"model_config";
    match bytes.windows(name.len()).any(|window| window == name) {
        true => FileKind::KerasH5,
        false => FileKind::KerasWeights,
    }
}

fn safetensors(start: &[u8]) -> FileKind {
    let mark = b"\"format\":\"striate-";
    match start[SAFETENSORS_START..].windows(mark.len()).any(|window| window == mark) {
        true => FileKind::Striate,
        false => FileKind::Safetensors,
    }
}

// Protobuf has no mark of its own. A model begins with its `ir_version`, field 1, a number below 32; then comes
// another field of the message, with a number up to 25 and a kind that protobuf still has.
fn is_onnx(start: &[u8]) -> bool {
    let [0x08, version, key, ..] = start else { return false };
    (1..32).contains(version) && (1..=25).contains(&(key >> 3)) && matches!(key & 7, 0 | 2)
}

fn is_toml(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or("");
    text.lines().any(|line| line.trim_start().starts_with("[[layer]]") || line.trim_start().starts_with("input"))
}

fn foreign(path: &Path, start: &[u8]) -> Error {
    let found = match sniff::looks_like(&start[..start.len().min(16)]) {
        _ if start.is_empty() => "the file is empty".to_string(),
        Some(what) => format!("it looks like {what}"),
        None => "it is damaged or something else".to_string(),
    };
    Error::format(path, format!("not a model: {found}"))
        .with_help("read are striate models, .keras, .h5, .onnx, .pth, .safetensors, .npz and networks in TOML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::zip::Writer;

    fn of(bytes: &[u8]) -> Result<FileKind> {
        FileKind::of(Path::new("file"), bytes)
    }

    fn zip(names: &[&str]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        names.iter().for_each(|name| writer.add(name, b"x").unwrap());
        writer.finish().unwrap()
    }

    #[test]
    fn formats_are_told_by_content() {
        assert_eq!(of(&zip(&["a/data.pkl", "a/data/0"])).unwrap(), FileKind::Torch);
        assert_eq!(of(&zip(&["metadata.json", "config.json", "model.weights.h5"])).unwrap(), FileKind::Keras);
        assert_eq!(of(&zip(&["conv2d/kernel.npy"])).unwrap(), FileKind::Npz);
        assert_eq!(of(b"\x89HDF\r\n\x1a\n....model_config..").unwrap(), FileKind::KerasH5);
        assert_eq!(of(b"\x89HDF\r\n\x1a\n......").unwrap(), FileKind::KerasWeights);
        assert_eq!(of(b"\x08\x08\x12\x07pytorch").unwrap(), FileKind::Onnx);
        assert_eq!(of(b"name = \"n\"\ninput = [1, 1, 1]\n").unwrap(), FileKind::Toml);
        assert_eq!(of(b"\x40\0\0\0\0\0\0\0{\"a\":{}}").unwrap(), FileKind::Safetensors);
        let mark = b"\xff\x01\0\0\0\0\0\0{\"__metadata__\":{\"checksum\":\"00\",\"format\":\"striate-model\"";
        assert_eq!(of(mark).unwrap(), FileKind::Striate);
    }

    #[test]
    fn what_is_no_model_is_named() {
        let error = |bytes: &[u8]| of(bytes).unwrap_err().to_string();
        assert!(error(&zip(&["word/document.xml"])).contains("begins with word/document.xml"));
        assert!(error(b"\x89PNG\r\n\x1a\n........").contains("a PNG image"));
        assert!(error(b"").contains("empty"));
        assert!(error(b"hello\n").contains("a text file"));
    }
}
