//! `striate compare`: the same answer however it was reached, honest about what is not known, and clear about mistakes.

mod common;

use std::collections::BTreeMap;

use common::{Folder, json};

// Small enough for a test: 5 updates, few images.
const SMALL: [&str; 8] = ["--updates", "5", "--limit", "300", "--batch-size", "20", "--data", "set"];
const PICTURES: [&str; 6] = ["results.svg", "results.png", "curves.svg", "curves.png", "rates.svg", "rates.png"];

/// Four IDX files: 300 images to train, 60 to test, each of ten classes with a bar of its own.
fn set(folder: &Folder) {
    let image = |i: u32| (0..784).map(move |p| if p / 28 / 2 == i % 10 { 250 - (i % 40) as u8 } else { (p % 9) as u8 });
    for (name, n) in [("train", 300), ("t10k", 60)] {
        let mut images = vec![0, 0, 8, 3];
        [n, 28, 28_u32].iter().for_each(|v| images.extend(v.to_be_bytes()));
        (0..n).for_each(|i| images.extend(image(i)));
        let mut labels = vec![0, 0, 8, 1];
        labels.extend(n.to_be_bytes());
        labels.extend((0..n).map(|i| (i % 10) as u8));
        folder.write(&format!("set/{name}-images-idx3-ubyte"), images);
        folder.write(&format!("set/{name}-labels-idx1-ubyte"), labels);
    }
}

fn small<'a>(what: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [&["compare"], what, &SMALL[..], more].concat()
}

/// The finished runs of a comparison, byte for byte.
fn finished(folder: &Folder, out: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder.file(out).join("finished")).unwrap().map(|e| e.unwrap().path());
    entries.map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap())).collect()
}

#[test]
fn optimisers_are_compared_and_the_answer_is_kept_e17_e18() {
    let folder = Folder::new();
    set(&folder);
    let what = ["optimizers", "--only", "adam,RMSPropOptimizer,sgd", "--rates", "0.001,0.01", "--seeds", "3"];
    let text = folder.ok(&small(&what, &["--out", "one", "--threads", "1"]));
    for expect in [
        "3 optimisers, keras-mnist on set: adam, rmspropoptimizer, sgd",
        "270 images to train, 30 to choose learning rates by, 60 to test",
        "5 updates of each run, on 100 images",
        "Learning rates, by the loss on the validation images",
        "test accuracy, test loss: evaluated; mean of 3 seeds",
        "as it ran: training accuracy",
        "3 seeds are too few",
        "Holm",
    ] {
        assert!(text.contains(expect), "'{expect}' is not in:\n{text}");
    }
    for file in PICTURES.iter().chain(&["plan.json", "report.txt", "report.json", "table.md", "runs.csv"]) {
        assert!(folder.file("one").join(file).exists(), "there is no {file}");
    }
    // 3 optimisers x (2 rates x 2 seeds + 3 seeds); the search uses other seeds.
    let runs = finished(&folder, "one");
    assert_eq!(runs.len(), 21);
    assert_eq!(runs.keys().filter(|id| id.contains("-search-") && id.contains("-100000")).count(), 12);
    let report = json(&std::fs::read_to_string(folder.file("one/report.json")).unwrap());
    assert_eq!((report["rows"].as_array().unwrap().len(), report["pairs"].as_array().unwrap().len()), (3, 3));
    assert_eq!(report["rows"][0]["accuracies"].as_array().unwrap().len(), 3);

    // On two threads, stopped by losing some runs: the same bits, and only what is missing is made anew.
    folder.ok(&small(&what, &["--out", "two", "--threads", "2", "--quiet"]));
    assert_eq!(finished(&folder, "two"), runs);
    for id in runs.keys().step_by(4) {
        std::fs::remove_file(folder.file("two/finished").join(id)).unwrap();
    }
    let again = folder.ok(&["compare", "--resume", "two", "--json"]);
    assert_eq!(finished(&folder, "two"), runs);
    assert_eq!(json(&again)["pairs"], report["pairs"]);

    // The same settings on the same folder print the same; more seeds make only these; other settings are refused.
    assert_eq!(
        folder.ok(&small(&what, &["--out", "one", "--quiet"])),
        folder.ok(&["compare", "--resume", "two", "--quiet"])
    );
    folder.ok(&["compare", "--resume", "two", "--seeds", "4", "--quiet"]);
    let more = finished(&folder, "two");
    assert!(more.len() == 24 && runs.iter().all(|(id, bytes)| more[id] == *bytes));
    let (code, message) = folder.fails(&small(&what, &["--out", "one", "--seed", "9"]));
    assert!(code == 2 && message.contains("first_seed") && message.contains("--resume one"), "{message}");
    let (code, message) = folder.fails(&small(&what, &["--out", "one", "--validate", "0.2"]));
    assert!(code == 2 && message.contains("one was made"), "{message}");
}

#[test]
fn settings_behind_a_name_and_files_are_compared() {
    let folder = Folder::new();
    set(&folder);
    folder.write("net.toml", folder.ok(&["summary", "simple-convnet", "--toml"]));
    // A learning rate before the optimiser is the same as behind it.
    let what = ["net.toml", "keras-mnist,batch_size=10,learning_rate=1e30,optimizer=sgd", "keras-mnist,batch_size=10"];
    let args = [&["compare"], &what[..], &["--data", "set", "--updates", "3", "--seeds", "2", "--out", "out"]].concat();
    let text = folder.ok(&args);
    assert!(
        text.contains("They are not trained equally long:") && text.contains("net.toml: 3 updates, on 300 images"),
        "{text}"
    );
    // A run whose numbers go bad is a result.
    assert!(text.contains("learning_rate=1e30,optimizer=sgd (2 of 2 diverged)"), "{text}");
    assert!(text.contains("Seeds 0 to 1 for each\n"), "nothing was searched: {text}");
    // Its losses are kept up to there, and drawn.
    let kept = finished(&folder, "out");
    let (_, bad) = kept.iter().find(|(id, _)| id.starts_with("2-")).unwrap();
    let bad = json(&String::from_utf8_lossy(bad));
    let losses = bad["diverged"]["step_loss"].as_array().unwrap();
    assert!(!losses.is_empty() && bad["diverged"]["updates"] == losses.len(), "{bad}");
    assert!(std::fs::read_to_string(folder.file("out/curves.svg")).unwrap().contains("× 2 of 2 diverged"));
    assert!(text.contains("diverged in 2 of 2 runs: it is not ranked"), "{text}");
    assert!(!folder.file("out/rates.svg").exists(), "nothing was searched");
    let csv = std::fs::read_to_string(folder.file("out/runs.csv")).unwrap();
    assert!(csv.contains(",diverged,") && csv.contains("\"keras-mnist,batch_size=10\""), "{csv}");
}

#[test]
fn finished_models_are_told_apart_by_their_images() {
    let folder = Folder::new();
    set(&folder);
    for (out, epochs) in [("short", "1"), ("long", "8")] {
        folder.ok(&["train", "set", "--epochs", epochs, "--batch-size", "30", "--out", out, "--quiet"]);
    }
    let report = json(&folder.ok(&["compare", "short", "long", "--json"]));
    assert_eq!((report["samples"].as_u64(), report["folder"].is_null()), (Some(60), true));
    let rows = report["rows"].as_array().unwrap();
    let right = |i: usize| (rows[i]["accuracies"][0].as_f64().unwrap() * 60.0).round() as i64;
    let split = &report["pairs"][0]["test"]["mc_nemar"];
    let (a, b) = (split["only_a"].as_i64().unwrap(), split["only_b"].as_i64().unwrap());
    assert_eq!(a - b, right(0) - right(1), "{report}");
    let text = folder.ok(&["compare", "short", "long", "--out", "out"]);
    assert!(text.contains("McNemar's exact test") && text.contains("(Wilson)"), "{text}");
    assert!(folder.file("out/results.png").exists() && !folder.file("out/curves.png").exists());
    for (args, expect) in [
        (&["compare", "short", "short"][..], "given twice"),
        (&["compare", "short"], "alone"),
        (&["compare", "short", "keras-mnist"], "keras-mnist is no finished model"),
        (&["compare", "short", "long", "--updates", "5"], "--updates is for networks that are trained"),
        (&["compare", "short", "long", "--untuned"], "--untuned is for networks that are trained"),
        (&["compare", "short", "long", "--data", "mnst"], "did you mean 'mnist'?"),
    ] {
        let (code, message) = folder.fails(args);
        assert!(code == 2 && message.contains(expect), "{args:?}: {message}");
    }
}

#[test]
fn mistakes_are_named_with_their_remedy() {
    let folder = Folder::new();
    set(&folder);
    folder.write("empty/readme", "");
    for (args, expect) in [
        (&["optimizers", "--only", "adam,rmsprob"][..], "did you mean 'rmsprop'?"),
        (&["optimizers", "--only", "adam"], "a comparison of 1"),
        (&["optimizers", "--only", "adam,adam"], "'adam' takes part twice"),
        (&["optimizers", "--rates", "0.1,-1"], "-1 trains nothing"),
        (&["optimizers", "--rates", "0.1,0.01"], "do not rise"),
        (&["optimizers", "--seeds", "0"], "0 seeds"),
        (&["optimizers", "--search-seeds", "2000"], "2000 search seeds"),
        (&["optimizers", "--validate", "1.5"], "--validate: cannot hold out 1.5"),
        (&["optimizers", "--updates", "0"], "0 updates"),
        (&["optimizers", "--batch-size", "0"], "a batch of 0 samples"),
        (&["optimizers", "--model", "keras-mnst"], "did you mean 'keras-mnist'?"),
        (&["optimizers", "keras-mnist"], "compared alone"),
        (&["keras-mnist"], "nothing to be compared with"),
        (&["keras-mnist", "keras-mnist"], "takes part twice"),
        (&["keras-mnist", "keras-mnist,batch=3"], "keras-mnist,batch=3"),
        (&["keras-mnist", "keras-mnist,seed=3"], "--seed"),
        (&["keras-mnist", "keras-mnist,batch_size"], "NAME=VALUE"),
        (&["keras-mnist", "keras-mnist,batch_size=\"x\""], "batch_size"),
        (&["keras-mnist", "resnet-18"], "resnet-18"),
        (&["keras-mnist", "nowhere.toml"], "nowhere.toml"),
        (&["keras-mnist", "simple-convnet", "--only", "adam"], "--only chooses among optimisers"),
        (&["keras-mnist", "simple-convnet", "--seeds", "1", "--by", "loss"], "more --seeds"),
        (&["--resume", "empty"], "holds no comparison"),
        (&["--resume", "nowhere"], "holds no comparison"),
    ] {
        let with_set = if args[0] == "--resume" { vec![] } else { vec!["--data", "set", "--out", "out"] };
        let (code, message) = folder.fails(&[&["compare"], args, &with_set].concat());
        assert!([1, 2].contains(&code) && message.contains(expect), "{args:?}: {code} {message}");
        assert!(message.contains("help:"), "{args:?}: {message}");
    }
    assert!(!folder.file("out/plan.json").exists(), "a mistake leaves no comparison behind");
    // A run that is damaged is named, and what to do about it.
    let what = ["optimizers", "--only", "adam,sgd", "--untuned", "--seeds", "2"];
    folder.ok(&small(&what, &["--out", "out", "--quiet"]));
    folder.write("out/finished/1-adam-final-0.001-0.json", "{ \"finished\": {");
    let (code, message) = folder.fails(&["compare", "--resume", "out"]);
    assert!(code == 1 && message.contains("1-adam-final-0.001-0.json") && message.contains("remove it"), "{message}");
    folder.write("out/plan.json", "[]");
    assert!(folder.fails(&["compare", "--resume", "out"]).1.contains("plan.json"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_finished() {
    use std::io::Read;
    use std::process::{Command, Stdio};
    let folder = Folder::new();
    set(&folder);
    let what = ["optimizers", "--only", "adam,sgd", "--untuned", "--seeds", "40"];
    folder.ok(&small(&what, &["--out", "calm", "--quiet"]));
    let mut child =
        folder.command(&small(&what, &["--out", "wild"])).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let some = || std::fs::read_dir(folder.file("wild/finished")).is_ok_and(|files| files.count() > 2);
    while !some() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut message = String::new();
    child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{message}");
    assert!(message.contains("stopped after") && message.contains("striate compare --resume wild"), "{message}");
    assert!(!folder.file("wild/report.json").exists());
    folder.ok(&["compare", "--resume", "wild", "--quiet"]);
    assert_eq!(finished(&folder, "wild"), finished(&folder, "calm"));
}
