//! Any file in, any file out: formats told by content, weights recognised, and what each format keeps.

use std::path::{Path, PathBuf};

use striate::exchange::{Network, Open, Opened, Save, open, save};
use striate::format::FileKind;
use striate::zoo::{self, Options};
use striate::{Model, Result};

/// A folder of its own for one test, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("striate-exchange-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn built(name: &str, classes: usize) -> Model {
    let options = Options { classes: Some(classes), ..Options::default() };
    Model::new(zoo::build(name, &options).unwrap().graph, 3).unwrap()
}

fn reopen(path: &Path) -> Result<Opened> {
    open(path, &Open::default())
}

#[test]
fn weights_of_the_zoo_are_recognised_with_their_classes() {
    let folder = Folder::new("zoo");
    for (name, classes, file) in [
        ("squeezenet-1.1", 1000, "a.safetensors"),
        ("squeezenet-1.1", 7, "b.safetensors"),
        ("keras-mnist", 10, "c.npz"),
        ("mobilenet-v3-small", 3, "d.npz"),
    ] {
        let (model, path) = (built(name, classes), folder.file(file));
        let notes = save(&model, &path, &Save::default()).unwrap();
        assert!(notes[0].contains("weights alone"), "{notes:?}");
        let opened = reopen(&path).unwrap();
        assert_eq!(opened.model.params(), model.params(), "{file}");
        assert!(opened.notes[0].contains(&format!("{name} for {classes} classes")), "{:?}", opened.notes);
        assert_eq!(opened.model.labels.len(), if classes == 1000 { 1000 } else { 0 });
    }
}

#[test]
fn the_content_decides_and_not_the_name() {
    let folder = Folder::new("content");
    let (model, path) = (built("keras-mnist", 10), folder.file("model.striate"));
    assert_eq!(save(&model, &path, &Save::default()).unwrap(), Vec::<String>::new());
    let renamed = folder.file("model.onnx");
    std::fs::rename(&path, &renamed).unwrap();
    let opened = reopen(&renamed).unwrap();
    assert_eq!(opened.kind, FileKind::Striate);
    assert_eq!(opened.model.params(), model.params());
}

#[test]
fn a_network_alone_goes_through_toml_and_takes_weights() {
    let folder = Folder::new("toml");
    let (model, toml, npz) = (built("residual-mnist", 10), folder.file("net.toml"), folder.file("net.npz"));
    assert!(save(&model, &toml, &Save::default()).unwrap()[0].contains("network alone"));
    let opened = reopen(&toml).unwrap();
    assert!(opened.kind == FileKind::Toml && opened.notes[0].contains("drawn anew"));
    save(&model, &npz, &Save::default()).unwrap();
    let network = Some(Network::named(toml.to_str().unwrap()).unwrap());
    let opened = open(&npz, &Open { network }).unwrap();
    assert_eq!(opened.model.params(), model.params());
}

#[test]
fn what_cannot_be_done_is_named_with_the_remedy() {
    let folder = Folder::new("errors");
    let (golden, path) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/torch/small.pth"), folder.file("x"));
    let e = reopen(&golden).unwrap_err().to_string();
    assert!(e.contains("10 tensors without a network ('features.0.weight' [4, 3, 3, 3], "), "{e}");
    assert!(e.contains("--network"), "{e}");
    let e = open(&golden, &Open { network: Some(Network::named("resnet-18").unwrap()) }).unwrap_err().to_string();
    assert!(e.contains("small.pth") && e.contains("no tensor 'conv1.weight' [64, 3, 7, 7]"), "{e}");
    assert!(Network::named("resnet18").unwrap_err().to_string().contains("did you mean 'resnet-18'?"));
    std::fs::write(&path, b"\x89PNG\r\n\x1a\n").unwrap();
    assert!(reopen(&path).unwrap_err().to_string().contains("a PNG image"));
    assert!(reopen(&folder.0).unwrap_err().to_string().contains("is a folder"));
    assert!(reopen(&folder.file("missing")).unwrap_err().to_string().contains("missing"));
    let e = save(&built("keras-mnist", 10), &folder.file("a.h6"), &Save::default()).unwrap_err().to_string();
    assert!(e.contains("unknown extension '.h6'"), "{e}");
}

/// timm's names and order of the alphabet, as its safetensors have them.
#[test]
fn weights_with_the_names_of_timm_are_recognised() {
    let folder = Folder::new("timm");
    let (model, path) = (built("mobilenet-v2", 5), folder.file("a.safetensors"));
    let stored = folder.file("torchvision.safetensors");
    save(&model, &stored, &Save::default()).unwrap();
    let contents = striate::format::safetensors::read(&stored).unwrap();
    let names: Vec<String> = contents.tensors.iter().map(|t| timm(&t.name)).collect();
    let tensors: Vec<striate::format::TensorRef> = contents
        .tensors
        .iter()
        .zip(&names)
        .map(|(t, name)| striate::format::TensorRef { name, dims: &t.dims, data: &t.data })
        .collect();
    striate::format::safetensors::write(&path, &Default::default(), &tensors).unwrap();
    let opened = reopen(&path).unwrap();
    assert_eq!(opened.model.params(), model.params());
    assert!(opened.notes.iter().any(|note| note.contains("in order")), "{:?}", opened.notes);
}

// MobileNet v2's tensors: `features.2.conv.0.0.weight` is timm's `blocks.1.0.conv_pw.weight`.
fn timm(name: &str) -> String {
    const STAGES: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];
    let parts: Vec<&str> = name.split('.').collect();
    let leaf = parts[parts.len() - 1];
    if parts[0] == "classifier" {
        return format!("classifier.{leaf}");
    }
    let index: usize = parts[1].parse().unwrap();
    match index {
        0 => return format!("{}.{leaf}", ["conv_stem", "bn1"][usize::from(parts[2] == "1")]),
        18 => return format!("{}.{leaf}", ["conv_head", "bn2"][usize::from(parts[2] == "1")]),
        _ => {}
    }
    let (mut stage, mut block) = (0, index - 1);
    while block >= STAGES[stage] {
        block -= STAGES[stage];
        stage += 1;
    }
    let layer = match (index, &parts[3..parts.len() - 1]) {
        (1, ["0", "0"]) => "conv_dw",
        (1, ["0", "1"]) => "bn1",
        (1, ["1"]) => "conv_pw",
        (1, ["2"]) => "bn2",
        (_, ["0", "0"]) => "conv_pw",
        (_, ["0", "1"]) => "bn1",
        (_, ["1", "0"]) => "conv_dw",
        (_, ["1", "1"]) => "bn2",
        (_, ["2"]) => "conv_pwl",
        (_, ["3"]) => "bn3",
        other => panic!("{other:?}"),
    };
    format!("blocks.{stage}.{block}.{layer}.{leaf}")
}
