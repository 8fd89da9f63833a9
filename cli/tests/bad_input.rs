//! Bad input on purpose: one clear error that names the thing, the numbers and the remedy; never a panic.

mod common;

use common::{Folder, grey_png};

/// Trains a little, once for a test, and gives the run folder's name.
fn trained(folder: &Folder) -> &'static str {
    folder.ok(&["train", "mnist", "--limit", "200", "--epochs", "1", "--out", "run", "--quiet"]);
    "run"
}

fn idx_images(n: u32, h: u32, w: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    [n, h, w].iter().for_each(|v| bytes.extend(v.to_be_bytes()));
    bytes.extend((0..n * h * w).map(|i| (i % 251) as u8));
    bytes
}

fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((labels.len() as u32).to_be_bytes());
    bytes.extend(labels);
    bytes
}

/// A data set of four IDX files with 4 training and 2 test images.
fn idx_folder(folder: &Folder) {
    folder.write("set/train-images-idx3-ubyte", idx_images(4, 28, 28));
    folder.write("set/train-labels-idx1-ubyte", idx_labels(&[0, 1, 2, 3]));
    folder.write("set/t10k-images-idx3-ubyte", idx_images(2, 28, 28));
    folder.write("set/t10k-labels-idx1-ubyte", idx_labels(&[0, 1]));
}

#[test]
fn a_batch_that_no_memory_holds_is_one_of_all_samples() {
    let folder = Folder::new();
    let run = trained(&folder);
    let with = |batch: &str| folder.ok(&["evaluate", run, "--quiet", "--batch-size", batch]);
    assert_eq!(with("99999999999999"), with("10000"));
}

#[test]
fn idx_files() {
    let folder = Folder::new();
    idx_folder(&folder);
    folder.ok(&["train", "set", "--epochs", "1", "--quiet"]);
    let claim = [&[0, 0, 8, 3][..], &[255; 4], &28_u32.to_be_bytes(), &28_u32.to_be_bytes()].concat();
    for (bytes, expect) in [
        (Vec::new(), "empty"),
        (idx_images(4, 28, 28)[..100].to_vec(), "expected"),
        (b"\x89PNG\r\n\x1a\nrest of a picture".to_vec(), "magic"),
        (idx_images(3, 28, 28), "3"),
        (claim, "announces"),
    ] {
        folder.write("set/train-images-idx3-ubyte", &bytes);
        let (code, message) = folder.fails(&["train", "set"]);
        assert!(code == 1 || code == 2, "{code}");
        assert!(message.contains("train-images-idx3-ubyte") || message.contains("set"), "{message}");
        assert!(message.contains(expect), "'{expect}' is not in: {message}");
    }
    idx_folder(&folder);
    folder.write("set/train-labels-idx1-ubyte", idx_labels(&[0, 1, 2, 200]));
    let labels = folder.run(&["train", "set", "--epochs", "1", "--quiet"]);
    assert!(!common::text(&labels.stderr).contains("panicked"));
    std::fs::remove_file(folder.file("set/train-images-idx3-ubyte")).unwrap();
    assert!(folder.fails(&["train", "set"]).1.contains("train-images"));
}

#[test]
fn model_files() {
    let folder = Folder::new();
    let run = trained(&folder);
    let good = std::fs::read(folder.file("run/model.striate")).unwrap();
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("truncated", good[..good.len() / 2].to_vec(), "truncated"),
        ("empty", Vec::new(), "empty"),
        ("png", b"\x89PNG\r\n\x1a\n0000000000000000".to_vec(), "PNG"),
        ("text", b"hello, this is not a model at all".to_vec(), "striate"),
        ("checkpoint", std::fs::read(folder.file("run/checkpoint.striate")).unwrap(), "checkpoint"),
    ];
    for (name, bytes, expect) in cases {
        folder.write(name, bytes);
        for command in [["summary", name], ["check", name]] {
            let (_, message) = folder.fails(&command);
            assert!(message.contains(name) && message.contains(expect), "{name}: {message}");
        }
    }
    // A flipped bit at any of many places is found.
    for at in (0..good.len()).step_by(good.len() / 40) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        folder.write("flipped", bytes);
        let (_, message) = folder.fails(&["evaluate", "flipped", "mnist"]);
        assert!(message.contains("flipped"), "byte {at}: {message}");
    }
    let (_, message) = folder.fails(&["summary", "missing.striate"]);
    assert!(message.contains("missing.striate"), "{message}");
    assert!(folder.ok(&["summary", run]).contains("Total params: 93,322"));
}

#[test]
fn images() {
    let folder = Folder::new();
    let run = trained(&folder);
    folder.write("note.png", "this is a text");
    folder.write("empty.png", "");
    for (name, expect) in [("note.png", "image"), ("empty.png", "empty"), ("none.png", "none.png")] {
        let (_, message) = folder.fails(&["predict", run, name]);
        assert!(message.contains(name) && message.contains(expect), "{message}");
    }
}

#[test]
fn folders_of_images() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.file("none")).unwrap();
    std::fs::create_dir_all(folder.file("empty/cat")).unwrap();
    for (data, expect) in [
        ("none", "no sub-folder"),
        ("empty", "no image"),
        ("no/such/folder", "no/such/folder"),
        ("nosuchfolder", "give a folder that exists"),
    ] {
        let (_, message) = folder.fails(&["train", data]);
        assert!(message.contains(expect), "'{expect}' is not in: {message}");
    }
    (0..10).for_each(|i| drop(folder.write(&format!("pets/cat/{i}.png"), grey_png(20 + i, 30, 9))));
    let (_, message) = folder.fails(&["train", "pets"]);
    assert!(message.contains("one class only"), "{message}");
    // Sizes differ, some files are no images: they are named, not all of many, and training goes on.
    (0..10).for_each(|i| drop(folder.write(&format!("pets/dog/{i}.png"), grey_png(300, 20 + i, 240))));
    (0..14).for_each(|i| drop(folder.write(&format!("pets/dog/bad{i}.png"), "no image")));
    let out = folder.run(&["train", "pets", "--classes", "10", "--epochs", "1", "--quiet", "--out", "run"]);
    let warnings = common::text(&out.stderr);
    assert!(out.status.success(), "{warnings}");
    assert_eq!(warnings.matches("warning: left out: ").count(), 11, "{warnings}");
    assert!(warnings.contains("bad0.png") && warnings.contains("4 more files"), "{warnings}");
    assert!(warnings.contains("10 outputs, but the data have 2 classes"), "{warnings}");
    let (_, message) = folder.fails(&["evaluate", "run", "mnist"]);
    assert!(message.contains("the classes cat, dog; mnist has 0, 1"), "{message}");
    assert!(!folder.file("runs").exists());
}

#[test]
fn resume() {
    let folder = Folder::new();
    trained(&folder);
    folder.write("other/note.txt", "no run");
    let good = std::fs::read(folder.file("run/checkpoint.striate")).unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["other"], "other holds no checkpoint"),
        (&["nowhere"], "nowhere holds no checkpoint"),
        (&["run", "--seed", "3"], "--seed"),
        (&["run", "--epochs", "0"], "0 epochs"),
        (&["run", "fashion"], "the run in run is on mnist, not fashion"),
    ];
    for (args, expect) in cases {
        let (code, message) = folder.fails(&[&["train", "--resume"], args].concat());
        assert!(code == 2 && message.contains(expect), "'{expect}' is not in: {message}");
    }
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bytes in [&good[..good.len() / 3], &flipped, b"", b"some text"] {
        folder.write("run/checkpoint.striate", bytes);
        let (code, message) = folder.fails(&["train", "--resume", "run"]);
        assert!(code == 1 && message.contains("run/checkpoint.striate"), "{message}");
    }
    let (_, message) = folder.fails(&["train", "mnist", "--out", "run"]);
    assert!(message.contains("run holds a run already") && message.contains("--resume run"), "{message}");
}

#[test]
fn settings() {
    let folder = Folder::new();
    for (args, expect) in [
        (&["--batch-size", "0"][..], "batch of 0"),
        (&["--epochs", "0"], "0 epochs"),
        (&["--updates", "0"], "0 updates"),
        (&["--learning-rate", "-0.1"], "-0.1"),
        (&["--learning-rate", "nan"], "NaN"),
        (&["--learning-rate", "inf"], "inf"),
        (&["--optimizer", "adm"], "did you mean 'adam'"),
        (&["--model", "keras-mist"], "did you mean 'keras-mnist'"),
        (&["--loss", "categorical"], "categorical"),
        (&["--schedule", "cosin"], "did you mean 'cosine'"),
        (&["--validate", "2"], "--validate '2'"),
        (&["--limit", "0"], "--limit 0"),
        (&["--threads", "100000"], "100000 threads"),
        (&["--checkpoint-every", "-1"], "--checkpoint-every -1"),
        (&["--model", "none.toml"], "none.toml"),
    ] {
        let all: Vec<&str> = ["train", "mnist"].iter().chain(args).copied().collect();
        let (code, message) = folder.fails(&all);
        assert!(code == 1 || code == 2, "{code}");
        assert!(message.contains(expect), "'{expect}' is not in: {message}");
    }
    let (_, message) = folder.fails(&["train", "mnst"]);
    assert!(message.contains("did you mean 'mnist'"), "{message}");
    // Nothing of all this left a run folder behind.
    assert!(!folder.file("runs").exists());
}

#[test]
fn networks_that_do_not_fit() {
    let folder = Folder::new();
    let network = |layers: &str| format!("name = \"n\"\ninput = [28, 28, 1]\n{layers}");
    let dense = "[[layer]]\nop = \"flatten\"\n[[layer]]\nop = \"dense\"\nunits = 10\nactivation = \"softmax\"\n";
    for (toml, expect) in [
        (network("[[layer]]\nop = \"conv2\"\nfilters = 8\nkernel = 3\n"), "did you mean 'conv2d'"),
        (network("[[layer]]\nop = \"conv2d\"\nfilters = 8\nkernel = 33\n"), "floor((28 + 0 + 0 - 33) / 1) + 1"),
        (network("[[layer]]\nop = \"conv2d\"\nfliters = 8\nkernel = 3\n"), "fliters"),
        (network("[[layer]]\nop = \"dense\"\nunits = 10\n"), "flatten"),
        (network(&dense.replace("10", "9")), "10 classes"),
        (network(dense).replace("28, 28, 1", "32, 32, 3"), "(None, 28, 28, 1)"),
        (network(dense).replace("28, 28, 1", "28, 0, 1"), "input"),
        (network(&format!("[train]\nepoch = 3\n{dense}")), "did you mean 'epochs'"),
        (network(&format!("[train]\noptimizer = \"adamm\"\n{dense}")), "adam"),
        ("not toml at all".to_string(), "TOML"),
        (String::new(), "input"),
        (network("[[layer]]\nop = \"flatten\"\n"), "no trainable"),
    ] {
        folder.write("net.toml", &toml);
        let (_, message) = folder.fails(&["train", "mnist", "--model", "net.toml"]);
        assert!(message.contains(expect), "'{expect}' is not in: {message}");
    }
}

/// A learning rate that blows up is told by step and layer, and the last checkpoint is still there.
#[test]
fn a_run_that_goes_bad() {
    let folder = Folder::new();
    let args = [
        "train",
        "mnist",
        "--limit",
        "2000",
        "--optimizer",
        "sgd",
        "--learning-rate",
        "1e30",
        "--out",
        "run",
        "--quiet",
    ];
    let (code, message) = folder.fails(&args);
    assert_eq!(code, 1);
    assert!(message.contains("at step") && message.contains("layer '"), "{message}");
    assert!(message.contains("learning rate"), "{message}");
    let bad = ["train", "mnist", "--limit", "2000", "--model", "residual-mnist", "--learning-rate", "3e38"];
    let (code, message) = folder.fails(&[&bad[..], &["--checkpoint-every", "0", "--out", "good", "--quiet"]].concat());
    assert_eq!(code, 1);
    assert!(message.contains("the weights after step 1 are in good/checkpoint.striate"), "{message}");
    assert!(!folder.file("good/model.striate").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    use std::process::Command;
    let folder = Folder::new();
    let disk = folder.file("disk");
    std::fs::create_dir(&disk).unwrap();
    // A disk of its own, in a mount namespace of its own: it needs no cleaning up, and no right but to make one.
    let program = env!("CARGO_BIN_EXE_striate");
    let script = format!(
        "mount -t tmpfs -o size=3m tmpfs '{disk}' || exit 77
         '{program}' train mnist --limit 300 --epochs 1 --quiet --out '{disk}/run' || exit 78
         cp '{disk}/run/checkpoint.striate' '{disk}/../before'
         head -c 3m /dev/zero > '{disk}/filler' 2>/dev/null
         '{program}' train --resume '{disk}/run' --epochs 2 --quiet; code=$?
         cmp '{disk}/run/checkpoint.striate' '{disk}/../before' || exit 79
         rm '{disk}/filler'
         '{program}' train --resume '{disk}/run' --epochs 2 --quiet || exit 80
         exit $code",
        disk = disk.display()
    );
    let out = Command::new("unshare").args(["--mount", "--map-root-user", "sh", "-c", &script]).output();
    let Ok(out) = out else { return no_namespace("there is no `unshare`") };
    let message = common::text(&out.stderr);
    if out.status.code() == Some(77) || message.contains("unshare") {
        return no_namespace(&message);
    }
    assert_eq!(out.status.code(), Some(1), "{message}");
    assert_eq!(message.matches("error:").count(), 1, "{message}");
    assert!(message.contains("No space left") && message.contains("free some space"), "{message}");
}

// Where no disk can be mounted, a file that is always full stands in for it.
#[cfg(target_os = "linux")]
fn no_namespace(why: &str) {
    eprintln!("cannot mount a small disk here ({why}): checking with a read-only folder instead");
    let folder = Folder::new();
    folder.write("run", "a file where the run folder should be");
    let (_, message) = folder.fails(&["train", "mnist", "--limit", "100", "--epochs", "1", "--out", "run"]);
    assert!(message.contains("run"), "{message}");
}
