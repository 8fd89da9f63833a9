//! Networks of the zoo in another size: built for the data, or for what was asked.

mod common;

use common::{Folder, grey_png, json};

fn pets(folder: &Folder) {
    for (name, v) in [("cat", 30), ("dog", 200), ("fox", 120)] {
        (0..5).for_each(|i| drop(folder.write(&format!("pets/{name}/{i}.png"), grey_png(40, 50, v + i))));
    }
}

#[test]
fn a_network_is_built_for_the_classes_of_the_folder() {
    let folder = Folder::new();
    pets(&folder);
    let train = ["train", "pets", "--model", "squeezenet-1.1", "--input-size", "32x32x3", "--batch-size", "4"];
    let text = folder.ok(&[&train[..], &["--epochs", "1", "--out", "run"]].concat());
    assert!(text.contains("squeezenet-1.1: built for 3 classes and 32x32x3 (as --input-size says)"), "{text}");
    let summary = json(&folder.ok(&["summary", "run", "--json"]));
    assert_eq!(summary["classes"].as_array().unwrap().len(), 3);
    // What the photos become is kept with the model, and a run goes on with the same.
    assert!(folder.ok(&["predict", "run", "pets/cat/0.png"]).contains('%'));
    folder.ok(&["train", "--resume", "run", "--epochs", "2", "--quiet"]);
}

#[test]
fn sizes_that_do_not_fit_are_explained() {
    let folder = Folder::new();
    let (_, message) = folder.fails(&["train", "mnist", "--model", "resnet-18"]);
    assert!(message.contains("takes 224x224x3") && message.contains("--input-size 28x28x1"), "{message}");
    let (_, message) = folder.fails(&["summary", "vgg-16", "--input-size", "16x16"]);
    assert!(message.contains("features.30") && message.contains("32x32x3"), "{message}");
    let (code, message) = folder.fails(&["summary", "vgg-16", "--input-size", "big"]);
    assert!(code == 2 && message.contains("such as 224x224x3"), "{message}");
    folder.write("net.toml", folder.ok(&["summary", "keras-mnist", "--toml"]));
    let (_, message) = folder.fails(&["train", "mnist", "--model", "net.toml", "--classes", "3"]);
    assert!(message.contains("says its input and classes itself"), "{message}");
}

#[test]
fn a_network_in_another_size() {
    let folder = Folder::new();
    let size = ["--input-size", "32x32x3", "--classes", "5"];
    let table = folder.ok(&[&["summary", "resnet-18"][..], &size].concat());
    assert!(table.contains("(None, 32, 32, 3)") && table.contains("(None, 5)"), "{table}");
    let toml = folder.ok(&[&["summary", "mobilenet-v2", "--toml"][..], &size].concat());
    assert!(toml.contains("input = [32, 32, 3]") && toml.contains("units = 5"), "{toml}");
    let check = [&["check", "squeezenet-1.1", "--samples", "2", "--json"][..], &size].concat();
    assert_eq!(json(&folder.ok(&check))["passed"], true);
    let list = folder.ok(&["models"]);
    assert!(list.contains("\nResNet\n") && list.contains("25,557,032 parameters"), "{list}");
}
