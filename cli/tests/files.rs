//! Model files of every format: there and back, used by every command, and what is wrong with bad ones.

mod common;

use common::{Folder, json};
use striate::format::npy::{Array, Numbers};
use striate::{Model, zoo};

const NETWORK: &str = "\
name = \"small\"
input = [6, 6, 3]
[[layer]]
op = \"conv2d\"
name = \"stem\"
filters = 4
kernel = 3
[[layer]]
op = \"flatten\"
[[layer]]
op = \"dense\"
name = \"head\"
units = 3
";

/// A network as text, and a model of it with labels.
fn small(folder: &Folder) -> Model {
    folder.write("net.toml", NETWORK);
    let mut model = Model::new(zoo::Recipe::from_toml(NETWORK).unwrap().graph, 3).unwrap();
    model.labels = ["cat", "dog", "cow"].map(String::from).to_vec();
    model.save(folder.file("small.striate")).unwrap();
    model
}

fn digest(folder: &Folder, args: &[&str]) -> String {
    json(&folder.ok(&[&["summary", "--json"], args].concat()))["digest"].as_str().unwrap().to_string()
}

/// From format to format, the weights keep their bits, and each file is checked as it is written.
#[test]
fn convert_there_and_back() {
    let folder = Folder::new();
    small(&folder);
    let first = digest(&folder, &["small.striate"]);
    let text = folder.ok(&["convert", "small.striate", "w.safetensors"]);
    assert!(text.starts_with("small.striate -> w.safetensors, "), "{text}");
    assert!(text.contains("note: the file holds weights alone"), "{text}");
    assert!(text.contains("checked: the same outputs, to the bit (2 random samples)"), "{text}");
    let network = ["--network", "net.toml"];
    assert_eq!(folder.ok(&[&["convert", "w.safetensors", "w.npz", "--quiet"], &network[..]].concat()), "");
    for name in ["m.keras", "m.h5", "m.onnx"] {
        let text = folder.ok(&["convert", "small.striate", name]);
        assert!(text.contains("checked: the same outputs"), "{name}: {text}");
        folder.ok(&["diff", "small.striate", name]);
    }
    folder.ok(&["convert", "m.keras", "m.weights.h5", "--quiet"]);
    assert_eq!(digest(&folder, &[&["m.weights.h5"], &network[..]].concat()), first);
    let (_, message) = folder.fails(&["convert", "small.striate", "old.onnx", "--opset", "7"]);
    assert!(message.contains('7') && message.contains("13"), "{message}");
    folder.write("labels.txt", "ant\nbee\nfly\n");
    folder.ok(&[&["convert", "w.npz", "back.striate", "--labels", "labels.txt"], &network[..]].concat());
    assert_eq!(digest(&folder, &["back.striate"]), first);
    assert_eq!(digest(&folder, &[&["w.npz"], &network[..]].concat()), first);
    assert!(folder.ok(&["summary", "back.striate"]).contains("Classes: ant, bee, fly"));
    assert!(folder.ok(&["convert", "small.striate", "n.toml"]).contains("checked: the same network"));
    folder.ok(&["diff", "small.striate", "w.safetensors", "--network", "net.toml"]);
    folder.ok(&[&["check", "w.safetensors"], &network[..]].concat());
}

#[test]
fn what_convert_refuses() {
    let folder = Folder::new();
    small(&folder);
    folder.write("there.npz", "something of value");
    let before = std::fs::read(folder.file("there.npz")).unwrap();
    for (args, expect) in [
        (["small.striate", "there.npz"], "there.npz is there already"),
        (["small.striate", "none/out.npz"], "no folder none"),
        (["small.striate", "out.xyz"], "out.xyz"),
        (["small.striate", "out"], "out"),
        (["small.striate", "."], "."),
        (["missing.onnx", "out.striate"], "missing.onnx"),
        (["resnet-18", "out.striate"], "without weights"),
        (["net.toml", "out.striate"], "without weights"),
    ] {
        let (_, message) = folder.fails(&["convert", args[0], args[1]]);
        assert!(message.contains(expect), "{args:?}: {message}");
    }
    assert_eq!(std::fs::read(folder.file("there.npz")).unwrap(), before);
    folder.ok(&["convert", "small.striate", "there.npz", "--force"]);
    let (_, message) = folder.fails(&["convert", "small.striate", "there.npz"]);
    assert!(message.contains("help: --force overwrites it"), "{message}");
    folder.write("labels.txt", "one\ntwo\n");
    let (_, message) = folder.fails(&["convert", "small.striate", "o.striate", "--labels", "labels.txt"]);
    assert!(message.contains("2 lines") && message.contains("3 outputs"), "{message}");
    assert!(!folder.file("o.striate").exists() && !folder.file("out.striate").exists());
}

/// Files that are no models, or not whole: one error that names the file, in every command that takes one.
#[test]
fn bad_files() {
    let folder = Folder::new();
    let model = small(&folder);
    for name in ["w.safetensors", "w.npz"] {
        striate::exchange::save(&model, &folder.file(name), &striate::exchange::Save::default()).unwrap();
    }
    let half = |name: &str| {
        let bytes = std::fs::read(folder.file(name)).unwrap();
        bytes[..bytes.len() / 2].to_vec()
    };
    folder.write("photo.png", common::grey_png(8, 8, 100));
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("png.onnx", common::grey_png(8, 8, 100), "PNG"),
        ("empty.keras", Vec::new(), "empty"),
        ("text.h5", b"hello".to_vec(), "text"),
        ("half.striate", half("small.striate"), "half.striate"),
        ("half.safetensors", half("w.safetensors"), "half.safetensors"),
        ("half.npz", half("w.npz"), "half.npz"),
        ("pickle.pth", b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00lsq\x01\x85q\x02Rq\x03.".to_vec(), "pickle.pth"),
        ("page.pth", b"<!DOCTYPE html><html>404</html>".to_vec(), "page.pth"),
    ];
    for (name, bytes, expect) in cases {
        folder.write(name, bytes);
        for args in [
            &["summary", name][..],
            &["predict", name, "photo.png"],
            &["evaluate", name, "mnist"],
            &["check", name],
            &["convert", name, "out.striate"],
            &["diff", "small.striate", name],
        ] {
            let (_, message) = folder.fails(args);
            assert!(message.contains(name) && message.contains(expect), "{args:?}: {message}");
        }
    }
    assert!(!folder.file("out.striate").exists());
}

#[test]
fn weights_without_their_network() {
    let folder = Folder::new();
    small(&folder);
    folder.ok(&["convert", "small.striate", "w.safetensors", "--quiet"]);
    let (_, message) = folder.fails(&["summary", "w.safetensors"]);
    assert!(message.contains("w.safetensors") && message.contains("--network"), "{message}");
    let (_, message) = folder.fails(&["summary", "w.safetensors", "--network", "keras-mnist"]);
    assert!(message.contains("w.safetensors"), "{message}");
    let (_, message) = folder.fails(&["summary", "w.safetensors", "--network", "resnet-19"]);
    assert!(message.contains("did you mean 'resnet-18'"), "{message}");
    let (_, message) = folder.fails(&["predict", "resnet-50", "photo.png"]);
    assert!(message.contains("FILE --network resnet-50"), "{message}");
    let (_, message) = folder.fails(&["predict", "resnet50", "photo.png"]);
    assert!(message.contains("did you mean 'resnet-50'"), "{message}");
}

/// Weights that went bad are told, and not shown as a class.
#[test]
fn weights_that_are_no_numbers() {
    let folder = Folder::new();
    let mut model = small(&folder);
    model.params_mut()[0].data[0] = f32::NAN;
    model.save(folder.file("nan.striate")).unwrap();
    Array::new(&[6, 6, 3], Numbers::F32(vec![0.5; 108])).unwrap().write(&folder.file("x.npy")).unwrap();
    let (code, message) = folder.fails(&["predict", "nan.striate", "x.npy"]);
    assert!(code == 1 && message.contains("x.npy") && message.contains("NaN"), "{message}");
}

/// A model that says nothing of images is told by the arguments; arrays need nothing.
#[test]
fn how_an_image_becomes_the_input() {
    let folder = Folder::new();
    let model = small(&folder);
    folder.write("grey.png", common::grey_png(12, 12, 51));
    let x = vec![0.2_f32; 108];
    let y = model.predict(&striate::Tensor::new(&[1, 6, 6, 3], x.clone()).unwrap()).unwrap();
    let powers: Vec<f64> = y.data().iter().map(|v| f64::from(*v).exp()).collect();
    let expect = |class: usize| powers[class] / powers.iter().sum::<f64>();
    Array::new(&[2, 3, 6, 6], Numbers::F32([x.clone(), x.clone()].concat()))
        .unwrap()
        .write(&folder.file("nchw.npy"))
        .unwrap();
    Array::new(&[6, 6, 3], Numbers::U8(vec![51; 108])).unwrap().write(&folder.file("bytes.npy")).unwrap();
    for args in [
        &["grey.png", "--scale", "255"][..],
        &["grey.png", "--scale", "255", "--crop", "0.5"],
        &["grey.png", "--scale", "255", "--size", "8"],
        &["grey.png", "--scale", "1", "--mean", "50", "--std", "5"],
        &["grey.png", "--scale", "255", "--mean", "-0.1,-0.1,-0.1", "--std", "1.5,1.5,1.5"],
        &["bytes.npy", "--scale", "255"],
        &["nchw.npy"],
    ] {
        let answers = json(&folder.ok(&[&["predict", "small.striate", "--json"], args].concat()));
        for answer in answers.as_array().unwrap() {
            let top = &answer["top"][0];
            let p = expect(top["index"].as_u64().unwrap() as usize);
            assert!((top["probability"].as_f64().unwrap() - p).abs() < 1e-5, "{args:?}: {answer}");
        }
    }
    let text = folder.ok(&["predict", "small.striate", "nchw.npy"]);
    assert!(text.starts_with("nchw.npy[0]: ") && text.contains("\nnchw.npy[1]: "), "{text}");
    for (args, expect) in [
        (&["grey.png"][..], "--scale"),
        (&["grey.png", "--scale", "0"], "--scale"),
        (&["grey.png", "--mean", "1,2", "--scale", "1"], "--mean"),
        (&["grey.png", "--std", "0", "--scale", "1"], "--std"),
        (&["grey.png", "--crop", "2"], "--crop"),
        (&["grey.png", "--size", "3"], "--size 3"),
        (&["grey.png", "--scale", "1", "--labels", "none.txt"], "none.txt"),
    ] {
        let (_, message) = folder.fails(&[&["predict", "small.striate"], args].concat());
        assert!(message.contains(expect), "{args:?}: {message}");
    }
}

/// Without a network it says what is missing, how large it is, and how to go on by hand.
#[test]
fn weights_that_are_not_there_yet() {
    let folder = Folder::new();
    folder.write("photo.png", common::grey_png(8, 8, 100));
    let list = folder.ok(&["fetch"]);
    assert!(list.contains("efficientnet-lite0") && list.contains("17.4 MB to download, not fetched"), "{list}");
    let rows = json(&folder.ok(&["fetch", "--json"]));
    assert!(rows[0]["file"].is_null() && rows[0]["sha256"].as_str().unwrap().len() == 64);
    let (code, message) = folder.fails(&["predict", "efficientnet-lite0", "photo.png", "--offline"]);
    assert!(code == 2 && message.contains("--offline") && message.contains("17.4 MB"), "{message}");
    assert!(message.contains("striate fetch efficientnet-lite0") && message.contains("put it into"), "{message}");
    // The mirror of these tests is a port where nobody listens.
    let (code, message) = folder.fails(&["fetch", "efficientnet-lite0"]);
    assert!(code == 1 && message.contains("could not be fetched: http://127.0.0.1:9/packages/"), "{message}");
    assert!(message.contains("put it into"), "{message}");
    let (_, message) = folder.fails(&["fetch", "efficientnet"]);
    assert!(message.contains("did you mean 'efficientnet-lite0'"), "{message}");
    let (_, message) = folder.fails(&["fetch", "efficientnet-lite0", "--from", "photo.png"]);
    assert!(message.contains("photo.png") && message.contains("SHA-256"), "{message}");
    let (_, message) = folder.fails(&["fetch", "efficientnet-lite0", "--from", "ftp://x/y"]);
    assert!(message.contains("'ftp://'"), "{message}");
}

/// A full disk: one error, and no half of a file.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let folder = Folder::new();
    folder.ok(&["train", "mnist", "--limit", "100", "--epochs", "1", "--quiet", "--out", "run"]);
    let disk = folder.file("disk");
    std::fs::create_dir(&disk).unwrap();
    let (program, disk) = (env!("CARGO_BIN_EXE_striate"), disk.display());
    // A disk of its own, in a mount namespace of its own.
    let script = format!(
        "mount -t tmpfs -o size=128k tmpfs '{disk}' || exit 77
         '{program}' convert run '{disk}/out.npz'; code=$?
         test -z \"$(ls -A '{disk}')\" || exit 78
         exit $code"
    );
    let out = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .current_dir(folder.path())
        .output();
    let Ok(out) = out else { return eprintln!("there is no `unshare` here: nothing to test with") };
    let message = common::text(&out.stderr);
    if out.status.code() == Some(77) || message.contains("unshare") {
        return eprintln!("cannot mount a small disk here ({message})");
    }
    assert_eq!(out.status.code(), Some(1), "{message}");
    assert!(message.matches("error:").count() == 1 && message.contains("free some space"), "{message}");
}
