//! Every command on its happy path: what it prints, what it leaves behind, and the same digest whichever way it is run.

mod common;

use common::{Folder, json};
use serde_json::Value;

const SMALL: [&str; 6] = ["train", "mnist", "--limit", "500", "--epochs", "1"];

fn small<'a>(extra: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().chain(extra).copied().collect()
}

fn digest(report: &Value) -> String {
    report["digest"].as_str().unwrap().to_string()
}

fn read(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn a_run_leaves_all_its_files() {
    let folder = Folder::new();
    let report = json(&folder.ok(&small(&["--json", "--out", "run", "--seed", "7", "--validate", "0.2"])));
    assert_eq!(report["folder"], "run");
    assert_eq!(report["history"].as_array().unwrap().len(), 1);
    for name in ["curves", "loss", "confusion"] {
        let svg = common::text(&read(&folder, &format!("run/{name}.svg")));
        assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{name}.svg");
        assert!(svg.trim_end().ends_with("</svg>") && svg.contains("keras-mnist on mnist"), "{name}.svg");
        let file = std::io::BufReader::new(std::fs::File::open(folder.file(&format!("run/{name}.png"))).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert!(info.width > 400 && info.height > 300, "{name}.png");
    }
    let history = json(&common::text(&read(&folder, "run/history.json")));
    assert_eq!(history["epochs"][0]["digest"].as_str().unwrap(), digest(&report));
    assert!(history["epochs"][0]["val_accuracy"].as_f64().is_some());
    let csv = common::text(&read(&folder, "run/history.csv"));
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len(), rows[1].len()), (2, 9, 9));
    assert_eq!((rows[0][8], rows[1][8]), ("digest", digest(&report).as_str()));
    let settings = json(&common::text(&read(&folder, "run/settings.json")));
    assert_eq!((&settings["seed"], &settings["start"]["data"]), (&Value::from(7), &Value::from("mnist")));
    assert_eq!(settings["program"]["striate"], env!("CARGO_PKG_VERSION"));
    assert!(settings["program"]["cpu"].is_string() && settings["program"]["instruction_set"].is_string());
    assert!(settings["threads"].as_u64().unwrap() > 0);
    assert!(common::text(&read(&folder, "run/confusion.txt")).contains("precision"));
    assert!(common::text(&read(&folder, "run/network.toml")).contains("[[layer]]"));
}

#[test]
fn what_a_run_prints() {
    let folder = Folder::new();
    let text = folder.ok(&small(&[]));
    for part in [
        "Total params: 93,322",
        "mnist: 500 images to train, 10,000 to test",
        "adam at 0.001, batches of 64, seed 3",
        "Epoch 1/1\n",
        "8/8 [==============================] - ",
        "/step - loss: ",
        "313/313 [==============================] - ",
        "95 % interval",
        "Digest of the weights: ",
        "The run is in runs/mnist-1:",
        "striate predict runs/mnist-1 picture.png",
    ] {
        assert!(text.contains(part), "'{part}' is not in:\n{text}");
    }
    assert!(!text.contains('\r') && !text.contains("ETA"), "a pipe gets plain lines:\n{text}");
    // Each line of the list of files is true.
    let listed = text.lines().skip_while(|l| !l.starts_with("The run is in")).skip(1).take_while(|l| !l.is_empty());
    for line in listed {
        let names = line[2..29].trim().split(", ").collect::<Vec<_>>();
        let stem = names[0].split('.').next().unwrap();
        for name in &names {
            let name = if name.starts_with('.') { format!("{stem}{name}") } else { name.to_string() };
            assert!(folder.file(&format!("runs/mnist-1/{name}")).exists(), "{name} of: {line}");
        }
    }
    // The next run gets the next number, and --quiet says one line.
    let quiet = folder.ok(&small(&["--quiet"]));
    assert_eq!(quiet.lines().count(), 1);
    assert!(quiet.contains("model runs/mnist-2/model.striate"), "{quiet}");
}

#[test]
fn evaluate_and_summary_tell_what_training_told() {
    let folder = Folder::new();
    let report = json(&folder.ok(&small(&["--json", "--out", "run"])));
    let result = json(&folder.ok(&["evaluate", "run", "--json"]));
    assert_eq!(result["loss"], report["test_loss"]);
    assert_eq!(result["accuracy"], report["test_accuracy"]);
    assert_eq!(result["samples"], 10_000);
    let sum: u64 = result["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|r| r.as_array().unwrap())
        .map(|v| v.as_u64().unwrap())
        .sum();
    assert_eq!(sum, 10_000);
    assert_eq!(result["classes"].as_array().unwrap().len(), 10);
    let quiet = folder.ok(&["evaluate", "run/model.striate", "mnist", "--quiet", "--on", "train", "-b", "1000"]);
    assert!(quiet.starts_with("loss ") && quiet.lines().count() == 1, "{quiet}");
    assert!(folder.ok(&["evaluate", "run"]).contains("What was taken for what"));
    let summary = json(&folder.ok(&["summary", "run", "--json"]));
    assert_eq!((&summary["digest"], &summary["trainable_params"]), (&report["digest"], &Value::from(93_322)));
    assert_eq!(summary["record"]["test"]["accuracy"], report["test_accuracy"]);
    assert_eq!(summary["layers"][6]["receptive_field"]["size"], serde_json::json!([22.0, 22.0]));
    // Adam keeps two numbers for each weight.
    assert_eq!(summary["memory"]["training"]["bytes"]["optimizer"], Value::from(93_322 * 8));
    assert!(folder.ok(&["summary", "run", "--details"]).contains("22x22 / 8"));
    let text = folder.ok(&["summary", "run", "--batch", "16"]);
    assert!(text.contains("a training step at batch 16 with adam needs about"));
    assert!(text.contains("Trained on mnist: 1 epochs, adam at 0.001") && text.contains("Classes: 0, 1, 2"), "{text}");
    assert!(text.contains(&digest(&report)), "{text}");
}

/// E16, D6: another optimiser, and a loss that is remembered by the model.
#[test]
fn the_loss_of_the_training_is_the_loss_of_the_evaluation() {
    let folder = Folder::new();
    let more = ["--loss", "mean_squared_error", "--model", "simple-convnet", "--optimizer", "adam", "--lr", "0.001"];
    let report = json(&folder.ok(&small(&[&more[..], &["--updates", "20", "--json", "--out", "run"]].concat())));
    assert_eq!(report["history"][0]["learning_rate"], 0.001);
    let result = json(&folder.ok(&["evaluate", "run", "--json"]));
    assert_eq!(result["loss"], report["test_loss"]);
    assert!(result["loss"].as_f64().unwrap() < 0.2, "a mean squared error of shares: {}", result["loss"]);
    assert!(folder.ok(&["summary", "run", "--toml"]).contains("mean_squared_error"));
}

#[test]
fn a_network_without_softmax_is_trained_and_used() {
    let folder = Folder::new();
    let layers = "[[layer]]\nop = \"flatten\"\n[[layer]]\nop = \"dense\"\nunits = 10\n";
    folder.write("net.toml", format!("name = \"plain\"\ninput = [28, 28, 1]\n{layers}"));
    let report = json(&folder.ok(&small(&["--model", "net.toml", "--json", "--out", "run"])));
    let result = json(&folder.ok(&["evaluate", "run", "--json"]));
    assert_eq!((&result["loss"], &result["accuracy"]), (&report["test_loss"], &report["test_accuracy"]));
    assert!(result["accuracy"].as_f64().unwrap() > 0.3);
    assert!(folder.ok(&["check", "run", "--samples", "4"]).contains("all operations are right"));
}

#[test]
fn lists_and_scripts() {
    let folder = Folder::new();
    let models = json(&folder.ok(&["models", "--json"]));
    assert_eq!((&models[0]["name"], &models[0]["params"]), (&Value::from("keras-mnist"), &Value::from(93_322)));
    assert_eq!((&models[1]["name"], &models[1]["params"]), (&Value::from("simple-convnet"), &Value::from(433_890)));
    let data = json(&folder.ok(&["data", "--json"]));
    assert_eq!((&data[0]["train"], &data[0]["test"]), (&Value::from(60_000), &Value::from(10_000)));
    let list = folder.ok(&["models"]);
    for entry in models.as_array().unwrap() {
        assert!(list.contains(entry["name"].as_str().unwrap()));
    }
    for name in ["keras-mnist", "simple-convnet", "residual-mnist"] {
        assert!(folder.ok(&["summary", name]).contains("Total params"));
        let check = json(&folder.ok(&["check", name, "--samples", "4", "--json"]));
        assert_eq!(check["passed"], true, "{check}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(folder.ok(&["completions", shell]).contains("early-stopping"), "{shell}");
    }
    for command in ["train", "evaluate", "predict", "summary", "check", "models", "data", "completions"] {
        assert!(folder.ok(&[command, "--help"]).contains(&format!("Usage: striate {command}")));
        assert!(folder.ok(&["--help"]).contains(command));
    }
}

/// The text form of a network trains to the same bits.
#[test]
fn a_network_as_text_is_the_same_network() {
    let folder = Folder::new();
    for name in ["keras-mnist", "simple-convnet", "residual-mnist"] {
        let toml = folder.ok(&["summary", name, "--toml"]);
        folder.write("net.toml", &toml);
        assert_eq!(folder.ok(&["summary", "net.toml", "--toml"]), toml);
        let run = |model: &str| digest(&json(&folder.ok(&small(&["--model", model, "--updates", "5", "--json"]))));
        let by_name = run(name);
        assert_eq!(run("net.toml"), by_name, "{name}");
        // A trained model can be written as text, too.
        let out = folder.ok(&small(&["--model", name, "--updates", "5", "--json"]));
        let from_run = folder.ok(&["summary", json(&out)["folder"].as_str().unwrap(), "--toml"]);
        folder.write("again.toml", &from_run);
        assert_eq!(run("again.toml"), by_name, "{name}");
    }
}

/// Any number of threads, a lesser instruction set, and a resume give the same bits; another seed does not.
#[test]
fn the_same_bits_however_it_is_run() {
    let folder = Folder::new();
    let args = |extra: &[&'static str]| {
        let model = ["--model", "residual-mnist", "--updates", "12", "--json"];
        let all: Vec<&'static str> = ["train", "mnist", "--limit", "500"].into_iter().chain(model).collect();
        all.into_iter().chain(extra.iter().copied()).collect::<Vec<_>>()
    };
    let expect = digest(&json(&folder.ok(&args(&["--threads", "1"]))));
    for threads in ["2", "3"] {
        assert_eq!(digest(&json(&folder.ok(&args(&["--threads", threads])))), expect, "{threads} threads");
    }
    if striate::simd::Isa::named("avx2").is_ok() {
        let out = folder.command(&args(&[])).env("STRIATE_ISA", "avx2").output().unwrap();
        assert_eq!(digest(&json(&common::text(&out.stdout))), expect, "avx2");
    }
    assert_ne!(digest(&json(&folder.ok(&args(&["--seed", "1"])))), expect, "another seed");
    // A run that is made longer is the long run.
    folder.ok(&small(&["--model", "residual-mnist", "--updates", "5", "--json", "--out", "short"]));
    let longer = json(&folder.ok(&["train", "--resume", "short", "--updates", "12", "--json"]));
    assert_eq!(digest(&longer), expect, "resumed");
    // A run that is over is evaluated again, and nothing else.
    let again = json(&folder.ok(&["train", "--resume", "short", "--json"]));
    assert_eq!((digest(&again), &again["test_loss"]), (expect, &longer["test_loss"]));
}

/// A reader that goes away is no panic and no error.
#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_panic() {
    let folder = Folder::new();
    let program = env!("CARGO_BIN_EXE_striate");
    for args in ["models", "summary residual-mnist", "completions bash", "train mnist --limit 200 --epochs 1 --out run"]
    {
        let script = format!("{{ '{program}' {args}; echo \"code $?\" >&2; }} | true");
        let out = std::process::Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        assert_eq!(common::text(&out.stderr).trim(), "code 0", "{args}");
    }
    assert!(folder.file("run/model.striate").exists(), "a run goes on to its end");
}
