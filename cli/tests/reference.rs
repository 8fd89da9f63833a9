//! The program on reference files that are too big for the repository: weights that others trained, and what they say.
//!
//! ```sh
//! STRIATE_REFERENCE=FOLDER cargo test --release -p striate-cli --features reference-files --test reference
//! ```

mod common;

use std::path::{Path, PathBuf};

use common::page::{blocks, compare};
use common::{Folder, json, text};
use striate::format::npy::{Array, Numbers};

const WEIGHTS: &str = "efficientnet-lite0-57934424.pth";

fn reference(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("STRIATE_REFERENCE").expect("STRIATE_REFERENCE must be the folder of the reference files");
    let path = PathBuf::from(folder).join(name);
    assert!(path.exists(), "there is no {}", path.display());
    path
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder whose cache holds the weights, as if they had been fetched.
fn with_weights() -> Folder {
    let folder = Folder::new();
    let weights = std::fs::read(reference("efficientnet_lite0").join(WEIGHTS)).unwrap();
    folder.write(&format!("cache/{WEIGHTS}"), weights);
    folder
}

fn top(answer: &serde_json::Value) -> (&str, f64) {
    let top = &answer["top"][0];
    (top["class"].as_str().unwrap(), top["probability"].as_f64().unwrap())
}

/// The photos that the repository carries, by the command of the README, with what the page shows.
#[test]
fn the_photos_of_the_readme() {
    let folder = with_weights();
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let all = blocks(&page);
    let at = all.iter().position(|b| b.0 == "sh" && b.1.iter().any(|line| line.contains("predict efficientnet-lite0")));
    let at = at.expect("README.md shows no photo");
    for name in ["china.jpg", "flower.jpg", "chelsea.png"] {
        folder.write(
            &format!("examples/photos/{name}"),
            std::fs::read(root().join("examples/photos").join(name)).unwrap(),
        );
    }
    let lines = all[at].1.iter().map(|line| line.strip_prefix("cargo run --release -- ").unwrap());
    let printed: String = lines.map(|line| folder.ok(&line.split_whitespace().collect::<Vec<_>>())).collect();
    if let Some(("text", shown)) = all.get(at + 1).map(|b| (b.0, &b.1)) {
        compare("README.md", shown, &printed);
    }
    assert!(printed.contains("palace") && printed.contains("daisy") && printed.contains("tiger cat"), "{printed}");
}

/// The five photos as the bytes that the reference network was fed: the classes, and how sure it is.
#[test]
fn five_photos_as_bytes() {
    let folder = with_weights();
    let photos = [
        ("china", "palace"),
        ("flower", "daisy"),
        ("chelsea", "tiger cat"),
        ("coffee", "espresso"),
        ("camera", "tripod"),
    ];
    let mut names = Vec::new();
    for (photo, _) in photos {
        let bytes = std::fs::read(reference(&format!("efficientnet_lite0/ref/{photo}_224x224x3_rgb.u8"))).unwrap();
        let name = format!("{photo}.npy");
        Array::new(&[224, 224, 3], Numbers::U8(bytes)).unwrap().write(&folder.file(&name)).unwrap();
        names.push(name);
    }
    let arrays = names.iter().map(String::as_str);
    let answers =
        json(&folder.ok(&["predict", "efficientnet-lite0", "--json"].into_iter().chain(arrays).collect::<Vec<_>>()));
    for (i, (photo, class)) in photos.iter().enumerate() {
        let logits = std::fs::read(reference(&format!("efficientnet_lite0/ref/{photo}_logits.f32"))).unwrap();
        let logits: Vec<f64> = logits.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
        let largest = logits.iter().copied().fold(f64::MIN, f64::max);
        let expect = 1.0 / logits.iter().map(|v| (v - largest).exp()).sum::<f64>();
        let (found, p) = top(&answers[i]);
        assert_eq!(found, *class, "{photo}");
        assert!((p - expect).abs() < 1e-4, "{photo}: {p}, and {expect} was expected");
    }
}

/// Fetched from a file instead of the network, the weights are the same.
#[test]
fn weights_from_a_file() {
    let folder = Folder::new();
    let weights = reference("efficientnet_lite0").join(WEIGHTS);
    let printed = folder.ok(&["fetch", "efficientnet-lite0", "--from", weights.to_str().unwrap()]);
    assert!(printed.contains("fetched and checked"), "{printed}");
    assert!(folder.ok(&["fetch"]).contains(", fetched"));
    assert!(folder.ok(&["fetch", "efficientnet-lite0"]).contains("is there already"));
    assert!(std::fs::read(folder.file(&format!("cache/{WEIGHTS}"))).unwrap() == std::fs::read(weights).unwrap());
}

/// The zoo's network with PyTorch's weights against the ONNX file that another program wrote.
#[test]
fn the_same_network_from_two_programs() {
    let folder = with_weights();
    let onnx = reference("efficientnet_lite0/efficientnet_lite0.onnx");
    let photo = root().join("examples/photos/flower.jpg");
    let args = ["diff", "efficientnet-lite0", onnx.to_str().unwrap(), "--images", photo.to_str().unwrap()];
    let out = folder.run(&args);
    // The file ends in logits, the zoo's network in probabilities; that is the one difference.
    assert_eq!(out.status.code(), Some(1), "{}{}", text(&out.stdout), text(&out.stderr));
    let said = text(&out.stdout);
    assert!(said.contains("the first layer that deviates is '_fc'"), "{said}");
    assert!(said.contains("activation of '_fc': softmax in A, linear in B"), "{said}");
}

/// Every file of the Keras network tells the same network.
#[test]
fn keras_files_against_each_other() {
    let folder = Folder::new();
    let file = |name: &str| reference(&format!("keras_mnist/keras_mnist{name}")).display().to_string();
    for other in [".h5", ".onnx", "_tf2onnx.onnx"] {
        let text = folder.ok(&["diff", &file(".keras"), &file(other)]);
        assert!(text.starts_with("The same"), "{other}: {text}");
    }
}
