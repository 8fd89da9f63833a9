//! The run folder: all that a training run leaves behind.

use std::path::{Path, PathBuf};

use serde_json::json;
use striate::format::atomic;
use striate::train::{EpochLog, Evaluation, FitConfig, History};
use striate::visual::{self, LossCurve, Picture, Scale, TrainingCurves};
use striate::{Error, Result};

use crate::out;

/// The model.
pub const MODEL: &str = "model.striate";
/// The last checkpoint.
pub const CHECKPOINT: &str = "checkpoint.striate";

/// A folder of one run.
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder that was asked for, or `runs/NAME-1` with the next number that is free.
    pub fn create(asked: Option<&Path>, name: &str) -> Result<Self> {
        let path = match asked {
            Some(path) if path.join(CHECKPOINT).exists() || path.join(MODEL).exists() => {
                return Err(Error::argument(format!("{} holds a run already", path.display())).with_help(format!(
                    "go on with it: striate train --resume {}; or give another --out",
                    path.display()
                )));
            }
            Some(path) => {
                return Self::at(path);
            }
            None => next_free(name)?,
        };
        Ok(Self { path })
    }

    /// This folder, made if it is not there.
    pub fn at(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| Error::io(path, "make the folder", &e))?;
        Ok(Self { path: path.to_path_buf() })
    }

    /// The folder of a run that is to go on.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join(CHECKPOINT).exists() {
            return Err(Error::argument(format!("{} holds no checkpoint to go on from", path.display()))
                .with_help("give the run folder that `striate train` printed"));
        }
        Ok(Self { path: path.to_path_buf() })
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<()> {
        atomic::write(&self.file(name), |out| out.write_all(bytes))
    }

    /// Writes a text file, all or nothing.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        self.write_bytes(name, text.as_bytes())
    }

    /// The settings of the run, and what it runs on.
    pub fn write_settings(&self, start: &serde_json::Value, config: &FitConfig, threads: usize) -> Result<()> {
        let threads = if threads == 0 { striate::parallel::available() } else { threads };
        let settings = json!({
            "start": start, "seed": config.seed, "settings": config, "threads": threads, "program": about_program(),
        });
        self.write("settings.json", &format!("{:#}\n", out::short(settings)))
    }

    /// The history so far, as CSV and JSON.
    pub fn write_history(&self, history: &History) -> Result<()> {
        self.write("history.csv", &history.to_csv())?;
        self.write("history.json", &format!("{:#}\n", out::short(json!(history))))
    }

    /// The curves of loss and accuracy, as SVG and PNG.
    pub fn write_curves(&self, title: &str, subtitle: &str, history: &History) -> Result<()> {
        let column = |f: fn(&EpochLog) -> f64| history.epochs.iter().map(f).collect::<Vec<f64>>();
        let held_out = |f: fn(&EpochLog) -> Option<f64>| {
            let values: Vec<f64> = history.epochs.iter().filter_map(f).collect();
            (values.len() == history.epochs.len()).then_some(values)
        };
        let steps: Vec<f64> = history.step_loss.iter().map(|l| f64::from(*l)).collect();
        let (loss, accuracy) = (column(|e| e.loss), column(|e| e.accuracy));
        let (held_loss, held_accuracy) = (held_out(|e| e.val_loss), held_out(|e| e.val_accuracy));
        let picture = visual::training_curves(&TrainingCurves {
            title,
            subtitle,
            train_loss: &loss,
            train_accuracy: &accuracy,
            test_loss: held_loss.as_deref(),
            test_accuracy: held_accuracy.as_deref(),
            held_out: "validation",
            step_loss: Some(&steps),
            // The loss falls by two orders of magnitude, most of it in the first epoch.
            loss_scale: Scale::Log,
        })?;
        self.write_picture("curves", &picture)?;
        let curve = LossCurve { title, subtitle, loss: &steps, scale: Scale::Log, window: 0 };
        self.write_picture("loss", &visual::loss_curve(&curve)?)
    }

    /// What was taken for what, as text and as a picture.
    pub fn write_confusion(&self, title: &str, test: &Evaluation, classes: &[String]) -> Result<()> {
        self.write("confusion.txt", &format!("{}{}\n", legend(classes), test.confusion))?;
        let labels: Vec<&str> = classes.iter().map(String::as_str).collect();
        let n = test.confusion.classes().min(labels.len());
        let counts: Vec<u64> = (0..n * n).map(|i| test.confusion.count(i / n, i % n)).collect();
        let matrix = visual::Confusion { title, labels: &labels[..n], counts: &counts, ..visual::Confusion::default() };
        self.write_picture("confusion", &visual::confusion(&matrix)?)
    }

    /// A picture as SVG and as PNG.
    pub fn write_picture(&self, name: &str, picture: &Picture) -> Result<()> {
        self.write(&format!("{name}.svg"), &picture.svg())?;
        self.write_bytes(&format!("{name}.png"), &picture.png()?)
    }
}

/// Which class each number of a table stands for, as a line; nothing where the numbers are the names.
pub fn legend(classes: &[String]) -> String {
    if classes.iter().enumerate().all(|(i, name)| *name == i.to_string()) {
        return String::new();
    }
    let names: Vec<String> = classes.iter().enumerate().map(|(i, name)| format!("{i} = {name}")).collect();
    format!("Labels: {}\n", names.join(", "))
}

/// Version, instruction set and CPU.
pub fn about_program() -> serde_json::Value {
    json!({
        "striate": env!("CARGO_PKG_VERSION"),
        "instruction_set": striate::simd::Isa::best().to_string(),
        "cpu": cpu(),
        "cores": striate::parallel::available(),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown".to_string(), |(_, name)| name.trim().to_string())
}

// Making the folder is what takes the number, so two runs never share one.
fn next_free(name: &str) -> Result<PathBuf> {
    let runs = Path::new("runs");
    std::fs::create_dir_all(runs).map_err(|e| Error::io(runs, "make the folder", &e))?;
    for number in 1..100_000 {
        let path = runs.join(format!("{name}-{number}"));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io(&path, "make the folder", &e)),
        }
    }
    Err(Error::argument("there are 99,999 runs already").with_help("give a folder with --out"))
}
