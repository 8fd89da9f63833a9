//! `striate diff`: the verdict first, the layer to blame, the guess that was tried, and exit codes for scripts.

mod common;

use common::{Folder, json};

const NETWORK: &str = "\
name = \"net\"
input = [8, 8, 3]
[[layer]]
op = \"conv2d\"
name = \"stem\"
filters = 6
kernel = 3
stride = 2
padding = \"same\"
[[layer]]
op = \"batch_norm\"
name = \"norm\"
epsilon = 0.001
[[layer]]
op = \"activation\"
function = \"relu\"
[[layer]]
op = \"flatten\"
[[layer]]
op = \"dense\"
name = \"head\"
units = 4
activation = \"softmax\"
";

/// Writes a model file of the network with a change to its text, and to one of its weights.
fn model(folder: &Folder, file: &str, change: (&str, &str), weight: Option<(&str, usize, f32)>) {
    let text = NETWORK.replace(change.0, change.1);
    let recipe = striate::zoo::Recipe::from_toml(&text).unwrap();
    let mut model = striate::Model::new(recipe.graph, 1).unwrap();
    for p in model.params_mut() {
        let scale = if p.name.ends_with("variance") { 0.01 } else { 1.0 };
        p.data.iter_mut().for_each(|v| *v *= scale);
        if let Some((_, at, value)) = weight.filter(|w| w.0 == p.name) {
            p.data[at] = value;
        }
    }
    model.save(folder.file(file)).unwrap();
}

const SAME: (&str, &str) = ("", "");

#[test]
fn equal_models() {
    let folder = Folder::new();
    model(&folder, "a.striate", SAME, None);
    model(&folder, "b.striate", SAME, None);
    let text = folder.ok(&["diff", "a.striate", "b.striate"]);
    assert!(
        text.starts_with("The same: all layers agree, and the outputs differ by at most 0 of the largest"),
        "{text}"
    );
    assert!(text.contains("2 random samples; tolerance 1.0e-4"), "{text}");
    assert!(text.contains("Weights, 8 pairs: 8 the same bits"), "{text}");
    let report = json(&folder.ok(&["diff", "a.striate", "b.striate", "--json", "--samples", "3", "--seed", "9"]));
    assert_eq!((&report["equal"], &report["first"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(report["samples"], "3 random samples");
    assert_eq!(report["digests"][0], report["digests"][1]);
}

#[test]
fn the_layer_to_blame_and_why() {
    let folder = Folder::new();
    model(&folder, "a.striate", SAME, None);
    model(&folder, "b.striate", ("\"same\"", "[1, 1, 1, 1]"), None);
    let out = folder.run(&["diff", "a.striate", "b.striate"]);
    let text = common::text(&out.stdout);
    assert_eq!((out.status.code(), common::text(&out.stderr)), (Some(1), String::new()), "{text}");
    assert!(text.starts_with("They differ: the first layer that deviates is 'stem', by "), "{text}");
    assert!(text.contains("\nWhy: padding of 'stem': same in A, [1,1,1,1] in B\n"), "{text}");
    assert!(text.contains("'stem' alone, fed with A's values: error "), "{text}");
    assert!(
        text.contains("<- deviates by itself") && text.contains("stem: padding is 0,1,0,1 in A, 1,1,1,1 in B"),
        "{text}"
    );
    let out = folder.run(&["diff", "a.striate", "b.striate", "--json"]);
    let report = json(&common::text(&out.stdout));
    assert_eq!((report["equal"].as_bool(), report["first"].as_str()), (Some(false), Some("stem")));
    assert!(report["guesses"][0]["after"].as_f64().unwrap() < 1e-6);
    // A tolerance that lets it pass.
    folder.ok(&["diff", "a.striate", "b.striate", "--tolerance", "10"]);
}

#[test]
fn images_and_arrays() {
    let folder = Folder::new();
    model(&folder, "a.striate", SAME, None);
    model(&folder, "b.striate", SAME, Some(("head/bias", 2, 0.5)));
    folder.write("grey.png", common::grey_png(20, 30, 99));
    let diff = ["diff", "a.striate", "b.striate"];
    let pixels = ["--images", "grey.png", "--scale", "255"];
    let out = folder.run(&[&diff[..], &pixels].concat());
    let text = common::text(&out.stdout);
    assert!(
        out.status.code() == Some(1) && text.contains("1 sample given") && text.contains("'head' has a bias"),
        "{text}"
    );
    use striate::format::npy::{Array, Numbers};
    Array::new(&[2, 8, 8, 3], Numbers::F32(vec![0.25; 384])).unwrap().write(&folder.file("two.npy")).unwrap();
    let text = common::text(&folder.run(&[&diff[..], &["--images", "two.npy"]].concat()).stdout);
    assert!(text.contains("2 samples given"), "{text}");
    let (code, message) = folder.fails(&[&diff[..], &["--images", "grey.png"]].concat());
    assert!(code == 2 && message.contains("does not say how an image") && message.contains("--scale"), "{message}");
    Array::new(&[7, 3], Numbers::F32(vec![0.0; 21])).unwrap().write(&folder.file("odd.npy")).unwrap();
    let (_, message) = folder.fails(&[&diff[..], &["--images", "odd.npy"]].concat());
    assert!(
        message.contains("odd.npy") && message.contains("[7, 3]") && message.contains("(None, 8, 8, 3)"),
        "{message}"
    );
}

#[test]
fn what_cannot_be_compared() {
    let folder = Folder::new();
    model(&folder, "a.striate", SAME, None);
    model(&folder, "small.striate", ("[8, 8, 3]", "[9, 9, 3]"), None);
    model(&folder, "nan.striate", SAME, Some(("stem/kernel", 0, f32::NAN)));
    folder.write("text.striate", "no model");
    for (b, expect) in [
        ("small.striate", "nothing fits both"),
        ("none.striate", "none.striate"),
        ("text.striate", "text.striate"),
        ("resnet-50", "without weights"),
    ] {
        let (code, message) = folder.fails(&["diff", "a.striate", b]);
        assert!(code == 2 && message.contains(expect), "{b}: {code} {message}");
    }
    let (code, message) = folder.fails(&["diff", "a.striate", "a.striate", "--tolerance", "-1"]);
    assert!(code == 2 && message.contains("--tolerance -1"), "{message}");
    let out = folder.run(&["diff", "a.striate", "nan.striate"]);
    let text = common::text(&out.stdout);
    assert!(out.status.code() == Some(1) && text.contains("kernel of 'stem'"), "{text}");
    assert!(text.contains("the first layer that deviates is 'stem', by inf of its largest value"), "{text}");
    for (samples, expect) in [("0", "0 random samples"), ("99999999999", "99999999999 random samples")] {
        let (code, message) = folder.fails(&["diff", "a.striate", "a.striate", "--samples", samples]);
        assert!(code == 2 && message.contains(expect) && message.contains("give 1 to 1000"), "{message}");
    }
}
