//! `striate bench` and `striate plan`: what they print, in words and as JSON, and what they say to mistakes. No test times.

mod common;

use std::path::Path;

use common::{Folder, json, text};
use serde_json::Value;
use striate::conv::Geometry;

// Timed as little as can be.
fn bench<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    ["bench", "--seconds", "0", "--threads", "1"].iter().chain(rest).copied().collect()
}

fn trial<'a>(experiment: &'a Value, name: &str) -> &'a Value {
    let trials = experiment["trials"].as_array().unwrap();
    trials.iter().find(|t| t["algorithm"] == name).unwrap_or_else(|| panic!("no {name} in {trials:?}"))
}

#[test]
fn one_layer_as_json() {
    let folder = Folder::new();
    let out = json(&folder.ok(&bench(&["n2 h12 w12 ic16 oc20 k5 p2", "--json"])));
    assert_eq!((out["threads"].as_u64(), out["isa"].is_string()), (Some(1), true));
    assert!(out["peak_gflops"].as_f64().unwrap() > 0.0);
    let experiments = out["experiments"].as_array().unwrap();
    let passes: Vec<&str> = experiments.iter().map(|e| e["pass"].as_str().unwrap()).collect();
    assert_eq!(passes, ["forward", "backward_input", "backward_weights"]);
    for experiment in experiments {
        assert_eq!(experiment["geometry"], "n2 h12 w12 ic16 oc20 k5x5 s1x1 p2,2,2,2 d1x1 g1");
        assert_eq!(experiment["mul_adds"].as_u64(), Some(2 * 12 * 12 * 20 * 5 * 5 * 16));
        assert_eq!(experiment["bytes"].as_u64(), Some(4 * (2 * 144 * 16 + 25 * 16 * 20 + 2 * 144 * 20)));
        let floor = &experiment["floor"];
        let [ms, arithmetic, memory] = ["ms", "arithmetic_ms", "memory_ms"].map(|key| floor[key].as_f64().unwrap());
        assert_eq!(ms, arithmetic.max(memory));
        assert_eq!(floor["limit"], if memory > arithmetic { "memory" } else { "arithmetic" });
        let choice = experiment["choice"].as_str().unwrap();
        for name in [choice, "reference", "lowered"] {
            let measured = trial(experiment, name);
            assert!(measured["median_ms"].as_f64().unwrap() > 0.0 && measured["error"].as_f64().unwrap() < 1e-5);
        }
        let reason = if experiment["pass"] == "backward_weights" { "3x3" } else { "tiles" };
        assert!(trial(experiment, "winograd")["refuses"].as_str().unwrap().contains(reason));
        assert!(trial(experiment, "depthwise")["refuses"].as_str().unwrap().contains("groups"));
    }
    assert!(trial(&experiments[0], "fft")["error"].as_f64().unwrap() < 1e-5);
    assert!(trial(&experiments[1], "fft")["refuses"].as_str().unwrap().contains("forward"));
}

#[test]
fn one_layer_in_words() {
    let folder = Folder::new();
    // A geometry need not be quoted, and another may follow.
    let out =
        folder.ok(&bench(&["n1", "h9", "w9", "ic4", "oc4", "k3", "psame", "g4", "n2", "h4", "w4", "ic2", "oc3", "k1"]));
    for part in [
        "1 thread, ",
        "GFLOP/s",
        "n1 h9 w9 ic4 oc4 k3x3 s1x1 p1,1,1,1 d1x1 g4",
        "n2 h4 w4 ic2 oc3 k1x1",
        "forward: ",
        "backward_weights: ",
        "floor ",
        "depthwise*",
        "refuses: ",
        "* the engine's own choice",
    ] {
        assert!(out.contains(part), "'{part}' is not in:\n{out}");
    }
    assert!(out.lines().all(|line| line.chars().count() <= 130), "{out}");
}

#[test]
fn networks_and_files_of_geometries() {
    let folder = Folder::new();
    let rest = ["--pass", "forward", "--algorithm", "direct", "--json", "--batch", "3"];
    let out = json(&folder.ok(&bench(&[&["keras-mnist"][..], &rest].concat())));
    let experiments = out["experiments"].as_array().unwrap();
    let layers: Vec<&str> = experiments.iter().map(|e| e["layers"][0].as_str().unwrap()).collect();
    assert_eq!(layers, ["conv2d", "conv2d_1", "conv2d_2", "dense", "dense_1"]);
    assert!(experiments.iter().all(|e| e["geometry"].as_str().unwrap().starts_with("n3 ")));
    assert_eq!(trial(&experiments[0], "reference")["not_run"], "not asked for");
    folder.write("own.txt", "# two layers\n\nh5 w5 ic2 oc2 k3   # the first\nn2 h6 w6 ic2 oc2 k1\n");
    let out = json(&folder.ok(&bench(&["own.txt", "--pass", "forward", "--json"])));
    assert_eq!(out["experiments"].as_array().unwrap().len(), 2);
}

#[test]
fn mistakes_are_named() {
    let folder = Folder::new();
    folder.write("bad.txt", "h5 w5 ic2 oc2 k3\n# fine so far\nh5 w5 ic2 oc2 k9\n");
    folder.write("empty.txt", "# nothing\n");
    for (args, expect) in [
        (&["bad.txt"][..], "bad.txt line 3: geometry 'h5 w5 ic2 oc2 k9': kernel 9"),
        (&["empty.txt"], "no geometry"),
        (&["nowhere.txt"], "cannot read nowhere.txt"),
        (&["resnt-18"], "did you mean 'resnet-18'?"),
        (&["h5 w5 ic2 oc2 k3 q7"], "unknown size 'q'"),
        (&["h5", "w5", "ic3", "oc2", "k3", "g2"], "groups that divide 3 and 2: 1"),
        (&["h5 w5 ic2 oc2 k3", "--algorithm", "lowred"], "did you mean 'lowered'?"),
        (&["h5 w5 ic2 oc2 k3", "--pass", "forwards"], "did you mean 'forward'?"),
        (&["h5 w5 ic2 oc2 k3", "--isa", "avx1024"], "unknown instruction set"),
        (&["h5 w5 ic2 oc2 k3", "--draw", "moves.bmp"], ".png, .svg or .gif"),
        (&["keras-mnist", "--draw", "moves.svg"], "one geometry, not 5"),
        (&["h5 w5 ic2 oc2 k3", "--pass", "backward_input", "--draw", "moves.svg"], "forward pass"),
        (&["h5 w5 ic2 oc2 k3", "--batch", "0"], "--batch"),
    ] {
        let (code, message) = folder.fails(&bench(args));
        assert!(code == 1 || code == 2, "{args:?}: {code}");
        assert!(message.contains(expect), "{args:?}: '{expect}' is not in: {message}");
    }
    assert!(folder.fails(&["bench"]).1.contains("GEOMETRY|NETWORK|FILE.txt"));
    assert!(folder.fails(&["plan", "resnt-18"]).1.contains("did you mean 'resnet-18'?"));
}

#[test]
fn what_moves_is_drawn() {
    let folder = Folder::new();
    for algorithm in ["direct", "lowered", "winograd", "fft", "reference"] {
        let draw = ["n8", "h56", "w56", "ic64", "oc64", "k3", "psame", "--algorithm", algorithm, "--draw", "moves.svg"];
        assert!(folder.ok(&bench(&draw)).contains("Drawn: moves.svg"));
        let svg = text(&std::fs::read(folder.file("moves.svg")).unwrap());
        assert!(
            svg.contains(&format!("Data movement of the {algorithm} convolution"))
                && svg.contains("Floor on this machine")
        );
    }
}

#[test]
fn a_plan_adds_up() {
    let folder = Folder::new();
    let plan = json(&folder.ok(&["plan", "keras-mnist", "--batch", "4", "--threads", "1", "--json"]));
    assert_eq!((&plan["mode"], plan["batch"].as_u64()), (&Value::from("infer"), Some(4)));
    let summary = json(&folder.ok(&["summary", "keras-mnist", "--json"]));
    assert_eq!(plan["mul_adds"].as_u64().unwrap(), 4 * summary["mul_adds"].as_u64().unwrap());
    let acts = plan["acts"].as_array().unwrap();
    let first = &acts[0];
    assert_eq!((&first["layer"], &first["shape"]), (&Value::from("conv2d"), &serde_json::json!([28, 28, 32])));
    assert!(first["algorithms"].as_array().is_some_and(|a| a.len() == 1) && first["backward"].is_null());
    // 4 images in, 9 x 32 weights and 32 biases, 4 images of 32 channels out.
    assert_eq!(first["forward"]["bytes"].as_u64(), Some(4 * (4 * 784 + 320 + 4 * 784 * 32)));
    let floors: f64 = acts.iter().map(|a| a["forward"]["floor"]["ms"].as_f64().unwrap()).sum();
    assert!((floors / plan["floor_ms"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    // Winograd's algorithm makes a quarter of the formula's multiply-adds, so an estimate may be below the floor.
    assert!(plan["estimate_ms"].as_f64().unwrap() > floors / 4.0 && plan["ms"].is_null());
    let text = folder.ok(&["plan", "keras-mnist", "--threads", "1"]);
    assert!(text.contains("It is an estimate") && text.contains("--time measures it"), "{text}");
}

#[test]
fn a_training_step_is_planned_and_timed() {
    let folder = Folder::new();
    let args = ["plan", "simple-convnet", "--train", "--time", "--threads", "1", "--batch", "8"];
    let plan = json(&folder.ok(&[&args[..], &["--json"]].concat()));
    let acts = plan["acts"].as_array().unwrap();
    assert!(plan["ms"].as_f64().unwrap() > 0.0);
    for act in acts {
        for pass in ["forward", "backward"] {
            assert!(act[pass]["ms"].is_number() && act[pass]["floor"]["ms"].is_number(), "{act}");
        }
    }
    // The first layer needs no gradient to its input: one product backward, where the others have two.
    let products =
        |act: &Value| act["backward"]["mul_adds"].as_u64().unwrap() / act["forward"]["mul_adds"].as_u64().unwrap();
    let of = |class: &str| acts.iter().filter(move |a| a["class"] == class).map(products).collect::<Vec<_>>();
    assert_eq!((of("Conv2D"), of("Dense")), (vec![1], vec![2, 2]));
    let text = folder.ok(&args);
    for part in
        ["a training step of 8 samples on 1 thread", "fwd floor", "bwd ms", "Memory: weights", "of it the floor"]
    {
        assert!(text.contains(part), "'{part}' is not in:\n{text}");
    }
}

// The files beside the benchmarks are true: they parse, and those of networks hold their layers.
#[test]
fn the_files_of_shapes_are_those_of_the_networks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/shapes");
    let mut networks = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.split('#').next().unwrap().trim().is_empty());
        let parsed: Vec<Geometry> = lines.map(|line| line.parse().unwrap()).collect();
        assert!(!parsed.is_empty(), "{}", path.display());
        let Ok(recipe) = striate::zoo::recipe(&path.file_stem().unwrap().to_string_lossy()) else { continue };
        let own = striate::lab::geometries(&recipe.graph, 8).unwrap();
        assert_eq!(parsed, own.iter().map(|o| o.geometry).collect::<Vec<_>>(), "{}", path.display());
        networks += 1;
    }
    assert!(networks >= 7, "{networks}");
}
