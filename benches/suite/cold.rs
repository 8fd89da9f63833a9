//! Whole processes: from the command to the first prediction, and a whole training.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use striate::exchange::{self, Save};
use striate::{Model, zoo};

use crate::process::{Runner, Whole, output};
use crate::rows::Work;
use crate::run::{Outcome, Setting, root};

/// A model and a picture, for all sides.
pub struct Subject {
    // What the peers' script is told.
    what: &'static str,
    model: PathBuf,
    picture: PathBuf,
    // The same weights for the peers, where they take them.
    weights: Option<PathBuf>,
    // What we say is on the picture.
    class: RefCell<Option<u64>>,
}

impl Subject {
    pub fn new(work: Work) -> Outcome<Self> {
        if work == Work::Photo { photo() } else { digit() }
    }

    pub fn ours(&self, setting: &Setting) -> Outcome<Runner> {
        let (program, model, picture) = (program()?, self.model.clone(), self.picture.clone());
        let threads = setting.threads.to_string();
        let command = move || {
            let mut command = Command::new(&program);
            command.arg("predict").arg(&model).arg(&picture).args(["--threads", &threads]);
            command
        };
        let mut answer = command();
        answer.arg("--json");
        let answer: Value = serde_json::from_str(&output(answer)?)?;
        *self.class.borrow_mut() = answer[0]["top"][0]["index"].as_u64();
        Ok(Runner::Whole(Whole::new(command, setting.threads, setting.seconds)))
    }

    /// A peer's process, whose files are made first. One that has our weights and gives another answer is refused.
    pub fn theirs(&self, python: PathBuf, variant: &str, setting: &Setting) -> Outcome<Runner> {
        let (what, picture, weights) = (self.what, self.picture.clone(), self.weights.clone());
        let (cache, variant) = (setting.peers.join("cache"), variant.to_string());
        let threads = setting.threads.to_string();
        let command = move || {
            let mut command = Command::new(&python);
            command.env("STRIATE_PEERS_CACHE", &cache).arg(root().join("benches/peers/cold_peer.py"));
            command.args([what, &variant, &threads]).arg(&picture).args(&weights);
            command
        };
        let mut make = command();
        make.arg("make");
        output(make)?;
        let whole = Whole::new(command, setting.threads, setting.seconds);
        let theirs = whole.once()?["class"].as_u64();
        match (*self.class.borrow(), theirs) {
            (Some(ours), Some(theirs)) if self.weights.is_some() && ours != theirs => {
                Err(format!("it says class {theirs}, and we say {ours}").into())
            }
            _ => Ok(Runner::Whole(whole)),
        }
    }
}

// ResNet-18 with random weights, since time does not depend on them, and a photo. The weights are those of a stored model.
fn photo() -> Outcome<Subject> {
    let folder = scratch()?;
    let (path, weights) = (folder.join("resnet-18.striate"), folder.join("resnet-18.safetensors"));
    let mut model = Model::new(zoo::recipe("resnet-18")?.graph, 0)?;
    model.preprocess = zoo::preprocess("resnet-18");
    exchange::save(&model, &path, &Save::default())?;
    exchange::save(&model, &weights, &Save::default())?;
    let picture = root().join("examples/photos/china.jpg");
    Ok(Subject { what: "photo", model: path, picture, weights: Some(weights), class: RefCell::default() })
}

// A model that was trained for a moment, and a digit.
fn digit() -> Outcome<Subject> {
    let run = scratch()?.join("cold");
    if !run.join("model.striate").exists() {
        let _ = std::fs::remove_dir_all(&run);
        let mut train = Command::new(program()?);
        train.args(["train", "mnist", "--limit", "500", "--epochs", "1", "--quiet", "--out"]).arg(&run);
        output(train)?;
    }
    let digits = std::fs::read_dir(root().join("examples/digits"))?;
    let mut all: Vec<PathBuf> = digits.filter_map(|e| Some(e.ok()?.path())).collect();
    all.retain(|path| path.extension().is_some_and(|e| e == "png"));
    all.sort();
    let picture = all.into_iter().next().ok_or("no picture in examples/digits")?;
    Ok(Subject { what: "digit", model: run, picture, weights: None, class: RefCell::default() })
}

/// `striate train mnist`.
pub fn training(setting: &Setting) -> Outcome<Runner> {
    let (program, out, threads) = (program()?, scratch()?.join("mnist"), setting.threads.to_string());
    let command = move || {
        let _ = std::fs::remove_dir_all(&out);
        let mut command = Command::new(&program);
        command.args(["train", "mnist", "--quiet", "--threads", &threads, "--out"]).arg(&out);
        command
    };
    Ok(Runner::Whole(Whole::new(command, setting.threads, setting.seconds)))
}

// The program, which `cargo build --release` makes.
fn program() -> Outcome<PathBuf> {
    let folder = std::env::current_exe()?;
    let folder = folder.ancestors().nth(2).ok_or("this program is in no target folder")?;
    let program = folder.join("striate");
    if !program.exists() {
        return Err(format!("{} is not there: run `cargo build --release` first", program.display()).into());
    }
    Ok(program)
}

fn scratch() -> Outcome<PathBuf> {
    let folder = std::env::temp_dir().join("striate-suite");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
