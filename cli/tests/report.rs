//! `striate report`: a page whose structure holds, whose numbers are those of the run, and what is refused.

mod common;

use common::html::{all, assert_sound, by_id, parse, table, words};
use common::{Folder, json};
use serde_json::Value;

/// A run of two epochs, with a validation part.
fn trained(folder: &Folder) {
    let args = ["train", "mnist", "--limit", "600", "--epochs", "2", "--validate", "0.25", "--quiet", "--out", "run"];
    folder.ok(&args);
}

fn page(folder: &Folder, name: &str) -> String {
    std::fs::read_to_string(folder.file(name)).unwrap()
}

fn percent(share: &Value) -> String {
    format!("{:.2} %", 100.0 * share.as_f64().unwrap())
}

fn thousands(n: u64) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", n / 1000, n % 1000) }
}

#[test]
fn a_report_holds_the_numbers_of_its_run() {
    let folder = Folder::new();
    trained(&folder);
    let said = folder.ok(&["report", "run"]);
    assert!(said.contains("Written: run/report.html"), "{said}");
    let text = page(&folder, "run/report.html");
    assert_sound(&text);
    let page = parse(&text);
    assert_eq!(words(all(&page, "h1").next().unwrap()), "keras-mnist on mnist");
    let history = json(&std::fs::read_to_string(folder.file("run/history.json")).unwrap());
    let epochs = history["epochs"].as_array().unwrap();

    let curves = table(&page, "epochs-table");
    let digests = table(&page, "digests-table");
    assert_eq!((curves.len(), digests.len()), (3, 3));
    for (i, epoch) in epochs.iter().enumerate() {
        let loss = |key: &str| format!("{:.4}", epoch[key].as_f64().unwrap());
        let wanted = [loss("loss"), percent(&epoch["accuracy"]), loss("val_loss"), percent(&epoch["val_accuracy"])];
        assert_eq!(curves[i + 1][2..6], wanted);
        assert_eq!(digests[i + 1][2], epoch["digest"].as_str().unwrap());
    }

    let accuracies = table(&page, "accuracy-table");
    let test = json(&folder.ok(&["evaluate", "run", "--json"]));
    let names: Vec<&str> = accuracies[1..].iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["Training, as it ran", "Training, measured again", "Validation", "Test"]);
    let column = |i: usize| accuracies[1..].iter().map(|row| row[i].clone()).collect::<Vec<_>>();
    // A quarter of each class is held out.
    let [ran, again, held, tested] = &column(4)[..] else { panic!("{accuracies:?}") };
    let count = |text: &String| text.parse::<u32>().unwrap();
    assert_eq!((count(ran) + count(held), again, tested.as_str()), (600, ran, "10,000"));
    assert!((145..=155).contains(&count(held)), "{held}");
    let shares = column(1);
    assert_eq!(
        [&shares[0], &shares[2], &shares[3]],
        [&percent(&epochs[1]["accuracy"]), &percent(&epochs[1]["val_accuracy"]), &percent(&test["accuracy"])]
    );
    let ends = test["accuracy_95"].as_array().unwrap();
    assert_eq!(accuracies[4][2], format!("{:.2} to {}", 100.0 * ends[0].as_f64().unwrap(), percent(&ends[1])));
    assert_eq!(accuracies[4][5], format!("{:.4}", test["loss"].as_f64().unwrap()));

    let matrix = table(&page, "matrix-table");
    for (label, row) in test["confusion"].as_array().unwrap().iter().enumerate() {
        let counts: Vec<String> = row.as_array().unwrap().iter().map(|n| thousands(n.as_u64().unwrap())).collect();
        assert_eq!(matrix[label + 1][1..], counts);
    }
    let classes = table(&page, "classes-table");
    for (i, class) in test["classes"].as_array().unwrap().iter().enumerate() {
        let wanted = ["precision", "recall", "f1"].map(|key| format!("{:.4}", class[key].as_f64().unwrap()));
        assert_eq!(classes[i + 1][1..4], wanted);
    }
    assert!(words(by_id(&page, "weights")).contains("which is that of the last epoch in the table"));
    assert!(words(by_id(&page, "filters")).contains("Before training, drawn again from the seed"));
    assert!(text.len() < 3_000_000, "{} bytes", text.len());
}

#[test]
fn the_worst_mistakes_come_first_and_are_those_of_the_json() {
    let folder = Folder::new();
    trained(&folder);
    let told = json(&folder.ok(&["report", "run", "--json", "--mistakes", "7", "--examples", "2"]));
    let text = page(&folder, "run/report.html");
    let page = parse(&text);
    let mistakes = told["mistakes"].as_array().unwrap();
    let cards: Vec<_> = by_id(&page, "mistakes").descendants().filter(|n| n.has_tag_name("figure")).collect();
    assert_eq!((mistakes.len(), cards.len()), (7, 7));
    let sure: Vec<f64> = mistakes.iter().map(|m| m["probability"].as_f64().unwrap()).collect();
    assert!(sure.windows(2).all(|w| w[0] >= w[1]), "{sure:?}");
    for (mistake, card) in mistakes.iter().zip(cards) {
        let (label, predicted) = (mistake["label"].as_str().unwrap(), mistake["predicted"].as_str().unwrap());
        assert_ne!(label, predicted);
        let number = thousands(mistake["index"].as_u64().unwrap());
        let alt = card.first_element_child().unwrap().attribute("alt").unwrap();
        assert_eq!(alt, format!("Test image {number}: {label}, taken for {predicted}"));
        let caption = words(card.last_element_child().unwrap());
        assert!(
            caption.starts_with(&format!("{predicted}, ")) && caption.contains(&format!("true: {label}, ")),
            "{caption}"
        );
    }
    // Two mistakes with the map of both classes, two right answers with one.
    let pictures = by_id(&page, "cam").descendants().filter(|n| n.has_tag_name("img")).count();
    assert_eq!(pictures, 2 * 3 + 2 * 2);
    let wrong = told["accuracies"][3]["samples"].as_u64().unwrap() - told["accuracies"][3]["correct"].as_u64().unwrap();
    assert_eq!(told["all_mistakes"].as_u64(), Some(wrong));
    folder.ok(&["report", "run", "--quiet", "--mistakes", "0", "--examples", "0"]);
    assert_sound(&self::page(&folder, "run/report.html"));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let folder = Folder::new();
    trained(&folder);
    folder.ok(&["report", "run", "--quiet", "--threads", "1"]);
    let first = page(&folder, "run/report.html");
    let whole = folder.file("run");
    folder.ok(&["report", whole.to_str().unwrap(), "--quiet", "--threads", "2", "-o", "other.html"]);
    assert!(first == page(&folder, "other.html"), "another number of threads, the run by its whole path");
}

/// Twelve small pictures of two classes, in colour: dark ones and bright ones.
fn pictures(folder: &Folder, root: &str, classes: [&str; 2]) {
    for (class, light) in classes.iter().zip([20_u8, 200]) {
        for i in 0..12_u8 {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 9, 8);
            encoder.set_color(png::ColorType::Rgb);
            let pixels: Vec<u8> = (0..8 * 9 * 3_u32).map(|k| light + i + (k % 23) as u8).collect();
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
            folder.write(&format!("{root}/{class}/a & b {i}.png"), bytes);
        }
    }
}

const FLAT: &str = r#"
name = "flat <net>"
input = [8, 9, 3]

[[layer]]
op = "flatten"

[[layer]]
op = "dense"
units = 2
activation = "softmax"
"#;

#[test]
fn names_with_odd_characters_and_networks_without_rows_and_columns() {
    let folder = Folder::new();
    // Windows has no such names for folders.
    let (odd, root, run) = match cfg!(windows) {
        true => ("A & B'", "my data & 'more'", "a run"),
        false => ("<b> \"A&B'", "my <data> & 'more'", "a <run>"),
    };
    pictures(&folder, root, [odd, "ünï 中"]);
    folder.write("net.toml", FLAT);
    folder.ok(&["train", root, "--model", "net.toml", "--epochs", "1", "--quiet", "--out", run]);
    let said = folder.ok(&["report", run]);
    assert!(said.contains("no convolution"), "{said}");
    let text = page(&folder, &format!("{run}/report.html"));
    assert_sound(&text);
    let page = parse(&text);
    assert!(all(&page, "b").next().is_none(), "a class became markup");
    let classes = table(&page, "classes-table");
    assert_eq!([&classes[1][0], &classes[2][0]], [odd, "ünï 中"]);
    assert_eq!(words(all(&page, "h1").next().unwrap()), format!("flat <net> on {root}"));
    assert!(words(by_id(&page, "settings")).contains(run));
    for (id, why) in [("filters", "no convolution"), ("maps", "no feature maps"), ("cam", "nothing to weight")] {
        assert!(words(by_id(&page, id)).contains(why), "{id}");
    }
}

#[test]
fn photos_in_colour_have_their_files_and_may_move() {
    let folder = Folder::new();
    pictures(&folder, "photos", ["day", "night"]);
    let args = ["train", "photos", "--model", "squeezenet-1.1", "--input-size", "64x64x3", "--epochs", "1", "--quiet"];
    folder.ok(&args);
    folder.ok(&["report", "runs/photos-1", "--quiet"]);
    let text = page(&folder, "runs/photos-1/report.html");
    assert_sound(&text);
    // An untrained network takes all for one class, so half of the four test images are mistakes.
    let said = words(by_id(&parse(&text), "mistakes"));
    assert!(said.contains("a & b ") && said.contains(".png (test image "), "{said}");

    std::fs::rename(folder.file("photos"), folder.file("moved")).unwrap();
    let (code, message) = folder.fails(&["report", "runs/photos-1"]);
    assert!(code == 2 && message.contains("no longer in") && message.contains("--data FOLDER"), "{message}");
    folder.ok(&["report", "runs/photos-1", "--quiet", "--data", "moved", "-o", "after.html"]);
    let after = page(&folder, "after.html");
    let mistakes = |text: &str| words(by_id(&parse(text), "mistakes"));
    assert_eq!(mistakes(&after), mistakes(&text));

    // The same classes with other pictures: the page says that something has changed.
    std::fs::remove_file(folder.file("moved/day/a & b 3.png")).unwrap();
    for i in 4..9 {
        std::fs::remove_file(folder.file(&format!("moved/night/a & b {i}.png"))).unwrap();
    }
    folder.ok(&["report", "runs/photos-1", "--quiet", "--data", "moved", "-o", "changed.html"]);
    assert!(
        words(by_id(&parse(&page(&folder, "changed.html")), "main").parent().unwrap())
            .contains("the data have changed")
    );
    let (_, message) = folder.fails(&["report", "runs/photos-1", "--data", "mnist"]);
    assert!(message.contains("mnist") || message.contains("classes"), "{message}");
}

#[test]
fn a_run_that_was_stopped_is_reported_as_far_as_it_came() {
    let folder = Folder::new();
    trained(&folder);
    folder.ok(&["report", "run", "--quiet", "-o", "whole.html"]);
    std::fs::remove_file(folder.file("run/model.striate")).unwrap();
    folder.ok(&["report", "run", "--quiet"]);
    let (whole, part) = (page(&folder, "whole.html"), page(&folder, "run/report.html"));
    assert_sound(&part);
    let (whole, part) = (parse(&whole), parse(&part));
    assert!(words(all(&part, "header").next().unwrap()).contains("the run is not finished"));
    for caption in ["accuracy-table", "matrix-table", "digests-table"] {
        assert_eq!(table(&whole, caption), table(&part, caption), "the checkpoint has the same weights");
    }
}

#[test]
fn what_cannot_be_reported_is_refused_and_loses_nothing() {
    let folder = Folder::new();
    trained(&folder);
    folder.write("empty/notes.txt", "nothing");
    std::fs::create_dir(folder.file("young")).unwrap();
    std::fs::copy(folder.file("run/start.json"), folder.file("young/start.json")).unwrap();
    folder.write("notes.txt", "my notes");
    let refused = |args: &[&str], code: i32, wanted: &[&str]| {
        let (found, message) = folder.fails(&[&["report"], args].concat());
        assert_eq!(found, code, "{message}");
        assert!(wanted.iter().all(|w| message.contains(w)), "{wanted:?} in {message}");
    };
    refused(&["rum"], 2, &["no run folder rum", "did you mean", "run?"]);
    refused(&["nowhere/at/all"], 2, &["no run folder", "striate train mnist"]);
    refused(&["notes.txt"], 2, &["is a file, not a run folder"]);
    refused(&["empty"], 2, &["holds no run"]);
    refused(&["young"], 2, &["has not finished an epoch", "striate train --resume young"]);
    refused(&["run", "-o", "notes.txt"], 2, &["notes.txt is there already", "--out"]);
    refused(&["run", "-o", "run/model.striate"], 2, &["is there already, and is no report"]);
    refused(&["run", "-o", "empty"], 2, &["it is a folder"]);
    refused(&["run", "-o", "no/such/page.html"], 2, &["there is no folder no/such"]);
    refused(&["run", "--data", "nowhere"], 2, &["nowhere"]);
    refused(&["run", "--mistakes=-1"], 2, &["--mistakes"]);
    assert_eq!(page(&folder, "notes.txt"), "my notes");

    folder.ok(&["report", "run", "--quiet"]);
    let before = page(&folder, "run/report.html");
    let good = std::fs::read(folder.file("run/model.striate")).unwrap();
    folder.write("run/model.striate", &good[..good.len() / 2]);
    refused(&["run"], 1, &["model.striate", "truncated"]);
    assert!(before == page(&folder, "run/report.html"), "the old report is as it was");
    folder.write("run/model.striate", &good);
    folder.write("run/start.json", "{ no json");
    refused(&["run"], 1, &["start.json"]);
    folder.write("run/start.json", "{}");
    refused(&["run"], 1, &["start.json", "names no data set"]);

    // A model that was not trained here does not say how it came to be.
    folder.write("other/start.json", "{\"data\":\"mnist\"}");
    let mut model = striate::Model::load(folder.file("run/model.striate")).unwrap();
    model.record.entries.clear();
    model.save(folder.file("other/model.striate")).unwrap();
    refused(&["other"], 1, &["does not say its settings"]);
}
