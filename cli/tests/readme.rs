//! README.md is true: every command in it runs, in order, and prints what the page shows.
//!
//! A `sh` block holds commands, a `text` block after it lines of their output, in order; `...` stands for any lines.
//! Times are not compared. If a number has changed for a good reason, the message holds the new output for the page.

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::page::{blocks, compare};
use common::{Folder, text};

// What is not the program: these lines need the source, so only their form is checked.
const CARGO: [&str; 3] = ["cargo test --release", "cargo bench --bench step", "cargo bench --bench conv"];
// What is done with this network needs its weights, which are fetched.
const FETCHED: &str = "efficientnet-lite0";
const RUN: &str = "cargo run --release -- ";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs one line of a `sh` block and gives what it printed; nothing if it may not run here.
fn run(folder: &Folder, line: &str) -> Option<String> {
    if CARGO.contains(&line) {
        return Some(String::new());
    }
    let command = line.strip_prefix(RUN).unwrap_or_else(|| panic!("README.md shows a command of another form: {line}"));
    let (args, file) = command.split_once(" > ").map_or((command, None), |(args, file)| (args, Some(file)));
    let mut args: Vec<&str> = args.split_whitespace().collect();
    if args.contains(&FETCHED) {
        // No test uses the network: here it must say what is missing, and `tests/reference.rs` runs it with the weights.
        args.push("--offline");
        let (code, message) = folder.fails(&args);
        assert!(code == 2 && message.contains(&format!("striate fetch {FETCHED}")), "{message}");
        return None;
    }
    let out = folder.command(&args).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{line}\n{}{}", text(&out.stdout), text(&out.stderr));
    if let Some(file) = file {
        folder.write(file, &out.stdout);
    }
    Some(text(&out.stdout))
}

#[test]
fn every_command_of_the_readme_runs_and_prints_what_the_page_shows() {
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let folder = Folder::new();
    for pictures in ["examples/digits", "examples/photos"] {
        for entry in std::fs::read_dir(root().join(pictures)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            folder.write(&format!("{pictures}/{name}"), std::fs::read(&path).unwrap());
        }
    }
    let mut printed = Some(String::new());
    let mut commands = 0;
    for (language, lines) in blocks(&page) {
        match language {
            "sh" => {
                printed = lines.iter().map(|line| run(&folder, line)).collect();
                commands += lines.len();
            }
            // Without fused multiply-adds the numbers differ slightly, as the page says.
            "text" if striate::simd::Isa::best().fused() => {
                printed.iter().for_each(|printed| compare("README.md", &lines, printed))
            }
            _ => {}
        }
    }
    assert!(commands > 10, "only {commands} commands were found");
    for file in ["model.striate", "curves.svg", "loss.png", "history.csv", "confusion.txt", "settings.json"] {
        assert!(folder.file("runs/mnist-1").join(file).exists(), "the run folder has no {file}");
    }
}

// On a fresh machine two commands do everything.
#[test]
fn the_readme_begins_with_the_two_commands() {
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let shell: Vec<Vec<&str>> = blocks(&page).into_iter().filter(|b| b.0 == "sh").map(|b| b.1).collect();
    assert_eq!(shell[..2], [["cargo run --release -- train mnist"], ["cargo test --release"]]);
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for bench in CARGO.iter().filter_map(|line| line.strip_prefix("cargo bench --bench ")) {
        assert!(manifest.contains(&format!("[[bench]]\nname = \"{bench}\"")), "there is no benchmark {bench}");
    }
}
