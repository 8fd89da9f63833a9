//! Kill -9 at any moment, then resume: the same digest as a run that was never disturbed. Ctrl-C likewise.
#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Folder, json};

const RUN: [&str; 10] =
    ["train", "mnist", "--model", "residual-mnist", "--limit", "3000", "--epochs", "3", "--checkpoint-every", "0.02"];

fn digest(report: &str) -> String {
    json(report)["digest"].as_str().unwrap().to_string()
}

fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn killed_at_random_moments() {
    let folder = Folder::new();
    let with = |extra: &[&'static str]| RUN.iter().chain(extra).copied().collect::<Vec<_>>();
    let expect = digest(&folder.ok(&with(&["--json", "--out", "calm"])));
    let mut moments = striate::rng::Rng::new(u64::from(std::process::id())).split("moments");
    let mut child = folder.command(&with(&["--quiet", "--out", "wild"])).stdout(Stdio::null()).spawn().unwrap();
    let mut kills = 0;
    for _ in 0..6 {
        // The first kill waits for a checkpoint; before that there is nothing to go on from.
        while kills == 0 && !folder.file("wild/checkpoint.striate").exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(u64::from(moments.below(400))));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        child = folder
            .command(&["train", "--resume", "wild", "--quiet", "--checkpoint-every", "0.02"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
    }
    child.wait().unwrap();
    assert!(kills > 0, "the run was over before it could be killed");
    let resumed = folder.ok(&["train", "--resume", "wild", "--json"]);
    assert_eq!(digest(&resumed), expect, "after {kills} kills");
    let leftovers: Vec<_> = std::fs::read_dir(folder.file("wild"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("tmp"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on() {
    let folder = Folder::new();
    let mut child = folder
        .command(&["train", "mnist", "--out", "run", "--checkpoint-every", "0.05"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !folder.file("run/checkpoint.striate").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    send("-INT", child.id());
    let mut message = String::new();
    child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{message}");
    assert!(message.contains("stopped after") && message.contains("striate train --resume run"), "{message}");
    assert!(!folder.file("run/model.striate").exists());
}

#[test]
fn ctrl_c_draws_what_was_done_and_ends_what_leaves_nothing() {
    let folder = Folder::new();
    folder.ok(&["train", "mnist", "--limit", "100", "--epochs", "1", "--out", "run"]);
    let digit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits/3.png");
    let digit = digit.to_str().unwrap();
    for (args, message, drawn) in [
        (
            vec!["maximise", "run", "--class", "1", "2", "--steps", "100000", "--out", "a.png"],
            "stopped after 0 of 2",
            true,
        ),
        (vec!["invert", "run", digit, "--steps", "100000", "--out", "b.gif"], "stopped after 0 of", true),
        (vec!["museum", "D4", "--updates", "100000", "--draw", "c.png"], "no picture was drawn", false),
        (
            vec!["attribute", "run", digit, "-m", "smoothgrad", "--samples", "10000", "--out", "d.png"],
            "no picture was drawn",
            false,
        ),
    ] {
        let mut child = folder.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        send("-INT", child.id());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{args:?}: {said}");
        assert!(said.contains(message), "{args:?}: {said}");
        assert_eq!(folder.file(args[args.len() - 1]).exists(), drawn, "{args:?}");
    }
}

#[test]
fn ctrl_c_during_the_last_test_loses_nothing() {
    let folder = Folder::new();
    let mut child = folder
        .command(&["train", "mnist", "--limit", "500", "--epochs", "1", "--threads", "1", "--out", "run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("8/8 [")), "the epoch has ended");
    send("-INT", child.id());
    let mut message = String::new();
    child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{message}");
    assert!(message.contains("training is done") && message.contains("striate train --resume run"), "{message}");
    assert!(folder.fails(&["evaluate", "run"]).1.contains("not finished"));
    let resumed = json(&folder.ok(&["train", "--resume", "run", "--json"]));
    let calm = folder.ok(&["train", "mnist", "--limit", "500", "--epochs", "1", "--out", "calm", "--json"]);
    assert_eq!(resumed["digest"], json(&calm)["digest"]);
    assert!(folder.file("run/model.striate").exists());
}
