//! The commands that look inside: what they print, draw and refuse.

mod common;

use std::path::Path;

use common::{Folder, grey_png, json};
use striate::data::Preprocess;
use striate::format::npy::{Array, Numbers};
use striate::ops::{Activation, Dense, Flatten};
use striate::{Model, Sequential, zoo};

/// A folder with a model of digits (fresh weights), a digit and a model without rows and columns.
fn folder() -> Folder {
    let folder = Folder::new();
    let mut model = Model::new(zoo::recipe("keras-mnist").unwrap().graph, 3).unwrap();
    model.preprocess = Some(Preprocess::digits());
    model.labels = (0..10).map(|i| i.to_string()).collect();
    model.save(folder.file("digits.striate")).unwrap();
    let mut flat = Sequential::new([28, 28, 1])
        .add(Flatten::new())
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(0)
        .unwrap();
    flat.preprocess = Some(Preprocess::digits());
    flat.save(folder.file("flat.striate")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in ["digits/3.png", "photos/china.jpg", "photos/flower.jpg"] {
        folder.write(
            Path::new(name).file_name().unwrap().to_str().unwrap(),
            std::fs::read(root.join("examples").join(name)).unwrap(),
        );
    }
    folder
}

fn is_picture(folder: &Folder, name: &str) {
    let bytes = std::fs::read(folder.file(name)).unwrap();
    if name.ends_with(".svg") {
        assert!(String::from_utf8(bytes).unwrap().starts_with("<svg"));
    } else {
        assert_eq!(&bytes[1..4], b"PNG", "{name}");
    }
}

#[test]
fn features_and_filters_are_drawn_and_told() {
    let folder = folder();
    let said = folder.ok(&["features", "digits.striate", "3.png"]);
    assert!(said.contains("conv2d_1 (Conv2D, 14 x 14 x 64)") && said.contains("Drawn: features.png"), "{said}");
    is_picture(&folder, "features.png");
    let told =
        json(&folder.ok(&["features", "digits.striate", "3.png", "--layer", "conv2d", "--json", "--out", "maps.svg"]));
    assert_eq!(told["layers"][0]["shape"], serde_json::json!([28, 28, 32]));
    assert_eq!(told["layers"][0]["maps"].as_array().unwrap().len(), 28 * 28 * 32);
    is_picture(&folder, "maps.svg");
    let said = folder.ok(&["filters", "digits.striate", "--out", "f.png"]);
    assert!(said.contains("layer conv2d: 32 kernels of 3 x 3 x 1"), "{said}");
    let told = json(&folder.ok(&[
        "filters",
        "digits.striate",
        "--compare",
        "digits.striate",
        "--layer",
        "conv2d_1",
        "--json",
    ]));
    assert_eq!(told["kernels"], told["before"]["kernels"]);
    is_picture(&folder, "filters.png");
}

// E22 as one command; `tests/look.rs` of the library checks each pixel.
#[test]
fn two_photos_and_two_line_filters_without_a_model_e22() {
    let folder = folder();
    let said = folder.ok(&["features", "--lines", "china.jpg", "flower.jpg"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 5, "{said}");
    assert!(
        lines[0].starts_with("china.jpg, vertical line: 427 x 640, ")
            && lines[3].starts_with("flower.jpg, horizontal line")
    );
    is_picture(&folder, "features.png");
    let told = json(&folder.ok(&["features", "--lines", "china.jpg", "--json"]));
    assert_eq!(told["shape"], serde_json::json!([1, 427, 640, 2]));
    // In the middle of a clear sky 21 bright numbers are added.
    let middle = told["maps"][(20 * 640 + 320) * 2].as_f64().unwrap();
    assert!((15.0..=21.0).contains(&middle), "{middle}");
    folder.write("small.png", grey_png(9, 9, 80));
    let (_, message) = folder.fails(&["features", "--lines", "china.jpg", "small.png"]);
    assert!(message.contains("images of one size"), "{message}");
}

#[test]
fn a_unit_is_taken_apart() {
    let folder = folder();
    let args = ["unit", "digits.striate", "3.png", "--layer", "conv2d_1", "--at", "5,6,7"];
    let said = folder.ok(&args);
    assert!(said.contains("sees rows 7..15, columns 9..17") && said.contains("sum of 288 products"), "{said}");
    is_picture(&folder, "unit.png");
    let told =
        json(&folder.ok(&[&args[..], &["--json", "--data", "mnist", "--limit", "40", "--images", "3"]].concat()));
    let sum = told["products"]["sum"].as_f64().unwrap() + told["products"]["bias"].as_f64().unwrap();
    assert!((sum - told["before"].as_f64().unwrap()).abs() < 1e-5);
    let images = told["images"].as_array().unwrap();
    assert!(images.len() == 3 && images[0]["value"].as_f64() >= images[1]["value"].as_f64());
}

#[test]
fn every_method_of_attribution_draws_and_is_examined() {
    let folder = folder();
    for method in ["saliency", "guided", "integrated-gradients", "smoothgrad", "grad-cam", "grad-cam++", "occlusion"] {
        let out = format!("{}.png", method.replace('+', "p"));
        let said =
            folder.ok(&["attribute", "digits.striate", "3.png", "--method", method, "--samples", "8", "--out", &out]);
        for wanted in ["fresh weights in the last layer", "deletion: area", "insertion: area", "Drawn: "] {
            assert!(said.contains(wanted), "{method}: {wanted} in {said}");
        }
        is_picture(&folder, &out);
    }
    let told = json(&folder.ok(&["attribute", "digits.striate", "3.png", "--class", "8", "--no-check", "--json"]));
    assert_eq!((told["index"].as_u64(), told["layer"]["name"].as_str()), (Some(8), Some("conv2d_2")));
    assert!(told["checks"].is_null() && told["map"].as_array().unwrap().len() == 784);
}

#[test]
fn deconvnet_invert_and_maximise_draw() {
    let folder = folder();
    let said = folder.ok(&["deconvnet", "digits.striate", "3.png", "--layer", "conv2d_1", "--strongest", "2"]);
    assert!(said.lines().count() == 3 && said.contains("sees rows"), "{said}");
    is_picture(&folder, "deconvnet.png");
    let told = json(&folder.ok(&[
        "invert",
        "digits.striate",
        "3.png",
        "--layer",
        "conv2d",
        "dense_1",
        "--steps",
        "20",
        "--json",
    ]));
    let of = |i: usize, key: &str| told["layers"][i][key].as_f64().unwrap();
    assert!(of(0, "error") < of(0, "start") && of(0, "correlation") > of(1, "correlation"), "{told}");
    is_picture(&folder, "invert.png");
    let said = folder.ok(&[
        "maximise",
        "digits.striate",
        "--class",
        "3",
        "--layer",
        "conv2d_1",
        "--channel",
        "0",
        "--steps",
        "10",
    ]);
    assert!(said.contains("conv2d_1, channel 0: "), "{said}");
    is_picture(&folder, "maximise.png");
}

// A folder of images may have classes that are called 1, 2, 3, of which 1 is the first.
#[test]
fn a_label_that_is_a_number_goes_before_the_number_of_a_class() {
    let folder = folder();
    let mut model = Model::load(folder.file("digits.striate")).unwrap();
    model.labels = (1..=10).map(|i| i.to_string()).collect();
    model.save(folder.file("counted.striate")).unwrap();
    let asked = |class: &str| {
        json(&folder.ok(&["attribute", "counted.striate", "3.png", "--class", class, "--no-check", "--json"]))
    };
    let (one, zero) = (asked("1"), asked("0"));
    assert_eq!((one["class"].as_str(), one["index"].as_u64()), (Some("1"), Some(0)));
    assert_eq!((zero["class"].as_str(), zero["index"].as_u64()), (Some("1"), Some(0)), "no label is 0, so it counts");
    model.labels.clear();
    model.save(folder.file("nameless.striate")).unwrap();
    let (_, message) = folder.fails(&["attribute", "nameless.striate", "3.png", "--class", "cat"]);
    assert!(message.contains("give its number, 0 to 9"), "{message}");
}

// A NaN in the second convolution: what the layers before it gave is drawn, and each command says what is wrong.
#[test]
fn weights_that_went_bad_lose_nothing_and_are_named() {
    let folder = folder();
    let mut model = Model::load(folder.file("digits.striate")).unwrap();
    model.params_mut().iter_mut().find(|p| p.name == "conv2d_1/kernel").unwrap().data[7] = f32::NAN;
    model.golden.clear();
    model.save(folder.file("bad.striate")).unwrap();
    let (code, message) =
        folder.fails(&["invert", "bad.striate", "3.png", "--layer", "conv2d", "conv2d_1", "--steps", "4"]);
    assert!(code == 1 && message.contains("no number"), "{message}");
    assert!(message.contains("invert.png shows how far it came"), "{message}");
    is_picture(&folder, "invert.png");
    let (code, message) = folder.fails(&["filters", "bad.striate", "--layer", "conv2d_1"]);
    assert!(code == 1 && message.contains("a weight of layer 'conv2d_1' is NaN"), "{message}");
    assert!(!folder.file("filters.png").exists());
    let (code, message) = folder.fails(&["check", "bad.striate", "--samples", "2"]);
    assert!(code == 1 && message.contains("conv2d_1/kernel holds numbers that went bad"), "{message}");
    assert!(!message.contains("please report"), "{message}");
}

// The frames of a GIF, and how long the last is shown against the first.
fn frames(folder: &Folder, name: &str) -> (usize, u16) {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    let mut decoder = options.read_info(std::fs::File::open(folder.file(name)).unwrap()).unwrap();
    let mut delays = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        delays.push(frame.delay);
    }
    (delays.len(), delays[delays.len() - 1] / delays[0])
}

#[test]
fn what_moves_moves_by_the_files_ending() {
    let folder = folder();
    let m = "digits.striate";
    for (args, count) in [
        (vec!["features", m, "3.png"], 7),
        (vec!["unit", m, "3.png", "--layer", "conv2d", "--at", "9,9,3"], 12),
        (vec!["deconvnet", m, "3.png", "--layer", "conv2d", "--strongest", "2"], 6),
        (vec!["invert", m, "3.png", "--layer", "conv2d", "--steps", "9"], 7),
        (vec!["maximise", m, "--class", "3", "--steps", "9"], 7),
        (vec!["bench", "n1", "h8", "w8", "ic2", "oc4", "k3", "--seconds", "0", "--algorithm", "lowered"], 0),
    ] {
        let to = if args[0] == "bench" { "--draw" } else { "--out" };
        let said = folder.ok(&[&args[..], &[to, "moves.gif"]].concat());
        assert!(said.contains("Drawn: moves.gif (") && said.contains("it moves"), "{said}");
        let (pictures, hold) = frames(&folder, "moves.gif");
        // How many things an algorithm moves is told in the library's tests.
        assert!(
            (pictures == count || count == 0 && pictures > 1) && hold == 3,
            "{args:?}: {pictures} pictures, the last for {hold}"
        );
        folder.ok(&[&args[..], &[to, "moves.svg"]].concat());
        let svg = std::fs::read_to_string(folder.file("moves.svg")).unwrap();
        assert!(svg.contains("@keyframes") && svg.contains("prefers-reduced-motion"), "{args:?}");
        folder.ok(&[&args[..], &[to, "still.png"]].concat());
        is_picture(&folder, "still.png");
    }
}

#[test]
fn bad_input_gets_one_clear_error() {
    let folder = folder();
    folder.write("not.png", b"this is no picture");
    let cut = |name: &str, to: &str| {
        let bytes = std::fs::read(folder.file(name)).unwrap();
        folder.write(to, &bytes[..bytes.len() / 2]);
    };
    cut("3.png", "cut.png");
    cut("digits.striate", "cut.striate");
    let array =
        |shape: &[usize], value: f32| Array::new(shape, Numbers::F32(vec![value; shape.iter().product()])).unwrap();
    array(&[28, 28, 1], f32::NAN).write(&folder.file("nan.npy")).unwrap();
    array(&[783], 0.0).write(&folder.file("short.npy")).unwrap();
    folder.ok(&["convert", "digits.striate", "bare.safetensors"]);
    let m = "digits.striate";
    for (args, wanted) in [
        (vec!["attribute", m, "not.png"], "not.png"),
        (vec!["attribute", m, "nothing.png"], "cannot read nothing.png"),
        (vec!["attribute", m, "3.png", "--layer", "conv2d_22"], "did you mean 'conv2d"),
        (vec!["attribute", m, "3.png", "--layer", "dense"], "has no rows and columns"),
        (vec!["attribute", m, "3.png", "--method", "gradcam"], "did you mean 'grad-cam'"),
        (vec!["attribute", m, "3.png", "--class", "10"], "classes are 0 to 9"),
        (vec!["attribute", m, "3.png", "--class", "cat"], "has no class 'cat'"),
        (vec!["attribute", "flat.striate", "3.png"], "no layer of sequential has rows and columns"),
        (vec!["attribute", m, "3.png", "--out", "why.gif"], "names no kind of picture"),
        (vec!["features", m, "3.png", "--out", "f.jpg"], "names no kind of picture"),
        (vec!["features", "--lines", "china.jpg", "--out", "f.gif"], "names no kind of picture"),
        (vec!["invert", m, "3.png", "--out", "none/i.png"], "no folder none"),
        (vec!["maximise", m, "--class", "3", "--out", "none/i.gif"], "no folder none"),
        (vec!["museum", "D4", "--draw", "none/m.png"], "no folder none"),
        (vec!["museum", "--draw", "m.png"], "nothing was named to be drawn"),
        (vec!["bench", "keras-mnist", "--draw", "none/m.png"], "no folder none"),
        (vec!["features", m, "nan.npy"], "no number"),
        (vec!["unit", m, "nan.npy", "--layer", "conv2d", "--at", "14,14,0"], "no number"),
        (vec!["attribute", m, "nan.npy"], "no number"),
        (vec!["deconvnet", m, "nan.npy"], "no number"),
        (vec!["invert", m, "nan.npy"], "no number"),
        (vec!["features", m, "short.npy"], "short.npy"),
        (vec!["attribute", m, "cut.png"], "cut.png"),
        (vec!["features", "cut.striate", "3.png"], "cut.striate"),
        (vec!["features", "none.striate", "3.png"], "none.striate"),
        (vec!["features", "bare.safetensors", "china.jpg", "--network", "keras-mnist", "--mean", "127"], "--scale 1"),
        (vec!["features", m, "3.png", "--layer", "conv"], "there is no layer 'conv'"),
        (vec!["features", "flat.striate", "3.png"], "there are no maps"),
        (vec!["features", m], "takes a model and one image"),
        (vec!["features", "--lines", "not.png"], "not.png"),
        (vec!["filters", "flat.striate"], "has no convolution"),
        (vec!["filters", m, "--before"], "does not say how its training began"),
        (vec!["filters", m, "--layer", "dense"], "has no filters"),
        (vec!["unit", m, "3.png", "--layer", "conv2d", "--at", "28,0,0"], "rows are 0 to 27"),
        (vec!["unit", m, "3.png", "--layer", "conv2d", "--at", "0,0,32"], "channels 0 to 31"),
        (vec!["unit", m, "3.png", "--layer", "conv2d", "--at", "a,b"], "give row, column and channel"),
        (vec!["deconvnet", m, "3.png", "--layer", "dense"], "has no rows and columns"),
        (vec!["deconvnet", m, "3.png", "--channel", "64", "--layer", "conv2d"], "channels are 0 to 31"),
        (vec!["invert", m, "3.png", "--layer", "conv2d", "dens"], "did you mean 'dense'"),
        (vec!["invert", m, "3.png", "--steps", "0"], "0 steps are out of range"),
        (vec!["maximise", m], "nothing was named"),
        (vec!["maximise", m, "--layer", "conv2d", "--channel", "32"], "no channel 32"),
        (vec!["maximise", m, "--class", "11"], "no class 11"),
        (vec!["check", m, "--samples", "0"], "0 is not in 1.."),
    ] {
        let (code, message) = folder.fails(&args);
        assert!(message.contains(wanted) && code != 0, "{args:?}: {wanted} in {message}");
    }
    // Nothing is begun that a mistake behind it would throw away.
    let out = folder.run(&["maximise", m, "--class", "3", "11", "--steps", "4"]);
    assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0), "{out:?}");
}

#[test]
fn a_chain_is_drawn_as_volumes_and_branches_are_refused() {
    let folder = Folder::new();
    assert_eq!(folder.ok(&["summary", "simple-convnet", "--draw", "v.svg", "--volumes"]), "Drawn: v.svg\n");
    is_picture(&folder, "v.svg");
    let (code, message) = folder.fails(&["summary", "resnet-18", "--draw", "v.svg", "--volumes"]);
    assert!(code != 0 && message.contains("has branches") && message.contains("leave out --volumes"), "{message}");
    assert!(folder.fails(&["summary", "keras-mnist", "--volumes"]).1.contains("--draw"));
}
