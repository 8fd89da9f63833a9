//! `striate claim`, `striate history` and `striate family`.

mod common;

use common::{Folder, json};

#[test]
fn e33_e34_the_list_names_every_claim() {
    let folder = Folder::new();
    let said = folder.ok(&["claim"]);
    let all = json(&folder.ok(&["claim", "--json"]));
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 9);
    for name in names {
        assert!(said.contains(&format!("  {name} ")), "{name} in {said}");
    }
}

#[test]
fn e33_a_claim_prints_numbers_a_rule_and_a_verdict_and_draws() {
    let folder = Folder::new();
    let args = ["claim", "pooling", "--quick", "--updates", "2", "--seeds", "3"];
    let said = folder.ok(&[&args[..], &["--draw", "pooling.png"]].concat());
    for wanted in ["The notes say: ", "95 % interval", "Verdict: ", "it saves parameters: HOLDS", "Drawn: pooling.png"]
    {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    assert_eq!(&std::fs::read(folder.file("pooling.png")).unwrap()[1..4], b"PNG");
    // The same settings, the same numbers, on any number of threads.
    let with = |threads: &str| folder.ok(&[&args[..], &["--json", "--threads", threads]].concat());
    let (one, two) = (with("1"), with("2"));
    let report = json(&one);
    assert_eq!(report["ran_seeds"], serde_json::json!([0, 1, 2]));
    assert_eq!(report["findings"][0]["verdict"], "holds");
    let accuracy = report["samples"].as_array().unwrap().iter().filter(|s| s["values"].as_array().unwrap().len() == 3);
    assert_eq!(accuracy.count(), 2);
    // The bytes of a step depend on the threads, which have scratch of their own; trained numbers do not.
    let trained = |text: &str| {
        let report = json(text);
        let all = report["samples"].as_array().unwrap();
        all.iter().filter(|s| s["values"].as_array().unwrap().len() == 3).cloned().collect::<Vec<_>>()
    };
    assert_eq!(trained(&one), trained(&two));
}

// Five epochs of one update each are the least, and five of all images the most.
#[test]
fn the_budget_of_epochs_is_what_was_made() {
    let folder = Folder::new();
    let args = ["claim", "epochs", "--seeds", "1", "--updates", "3", "--json"];
    assert_eq!(json(&folder.ok(&args))["ran_updates"], 5);
}

#[test]
fn all_claims_go_into_one_folder() {
    let folder = Folder::new();
    let said = folder.ok(&["claim", "--all", "--quick", "--updates", "1", "--seeds", "1", "--draw", "pictures"]);
    assert_eq!(said.matches("Verdict: ").count(), 9);
    for name in ["shift", "flatten", "residual"] {
        for ending in ["svg", "png"] {
            assert!(folder.file(&format!("pictures/{name}.{ending}")).is_file(), "{name}.{ending}");
        }
    }
}

#[test]
fn e28_the_history_has_its_sources_and_its_chart() {
    let folder = Folder::new();
    let said = folder.ok(&["history", "--draw", "history.svg"]);
    for wanted in ["2012", "16.42 %", "image-net.org/challenges/LSVRC/2012/results.html", "a person", "Kaggle"] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    assert!(std::fs::read_to_string(folder.file("history.svg")).unwrap().contains("a person: 5.1 %"));
    let told = json(&folder.ok(&["history", "--json"]));
    assert_eq!((told["winners"][7]["year"].as_u64(), told["human"]["error"].as_f64()), (Some(2017), Some(0.051)));
}

#[test]
fn e23_e27_the_family_has_counted_sizes_and_published_errors() {
    let folder = Folder::new();
    let said = folder.ok(&["family", "--draw", "family.svg"]);
    assert!(said.contains("EfficientNet-Lite0") && said.contains("Krizhevsky et al. 2012"), "{said}");
    assert!(std::fs::read_to_string(folder.file("family.svg")).unwrap().contains("Accuracy against cost"));
    let told = json(&folder.ok(&["family", "--json"]));
    let models = json(&folder.ok(&["models", "--json"]));
    for member in told.as_array().unwrap() {
        let same = models.as_array().unwrap().iter().find(|m| m["name"] == member["name"]).unwrap();
        assert_eq!((&member["params"], &member["mul_adds"]), (&same["params"], &same["mul_adds"]));
    }
}

#[test]
fn bad_input_gets_one_clear_error() {
    let folder = Folder::new();
    folder.write("file", b"not a folder");
    for (args, wanted) in [
        (vec!["claim", "shfit"], "did you mean 'shift'"),
        (vec!["claim", "nothing-like-it"], "known: shift, max-or-average"),
        (vec!["claim", "shift", "--all"], "cannot be used with"),
        (vec!["claim", "shift", "--seeds", "0"], "0 seeds cannot be run"),
        (vec!["claim", "shift", "--updates", "0"], "0 updates cannot be run"),
        (vec!["claim", "shift", "--seeds", "many"], "invalid value"),
        (vec!["claim", "shift", "--draw", "shift.gif"], "names no kind of picture"),
        (vec!["claim", "--draw", "x.png"], "a picture needs a claim"),
        (vec!["claim", "--all", "--draw", "file"], "file is a file, and --all draws many pictures"),
        (vec!["history", "--draw", "history.txt"], "names no kind of picture"),
        (vec!["family", "--draw", "no/such/folder.svg"], "cannot write no/such/folder.svg"),
    ] {
        let (code, message) = folder.fails(&args);
        assert!(message.contains(wanted) && code != 0, "{args:?}: {wanted} in {message}");
    }
}
