//! What commands are given: models by name or file, data sets by name or folder, threads.

use std::path::{Path, PathBuf};

use striate::data::{self, Preprocess, Split};
use striate::format::TensorRef;
use striate::session::Machine;
use striate::train::FitConfig;
use striate::zoo::{self, Recipe};
use striate::{Error, ErrorKind, Model, Result};

use crate::args::{MachineArgs, SizeArgs};
use crate::out;
use crate::run_folder::{CHECKPOINT, MODEL};

impl MachineArgs {
    /// The machine that was asked for.
    pub fn machine(&self) -> Result<Machine> {
        if let Ok(name) = std::env::var("STRIATE_ISA") {
            striate::simd::Isa::named(&name).map_err(|e| e.within("STRIATE_ISA"))?;
        }
        Ok(Machine { threads: self.threads, ..Machine::default() })
    }
}

/// A data set by name or folder; `resize` says how images in a folder become samples.
pub fn data(name: &str, resize: Option<&Preprocess>) -> Result<Split> {
    // IDX images have one size; those of a folder are brought to the size of the network.
    let resize = resize.filter(|_| !data::mnist::is_idx_dir(Path::new(name)));
    data::open(name, resize).map_err(|e| match e.help() {
        Some(help) if !Path::new(name).exists() && e.kind() == ErrorKind::Argument => {
            let help = format!("{help}; or give a folder that exists");
            Error::new(e.kind(), e.message()).with_help(help)
        }
        _ => e,
    })
}

impl SizeArgs {
    /// What is asked of a network of the zoo.
    pub fn options(&self) -> zoo::Options {
        zoo::Options { input: self.input_size, classes: self.classes }
    }
}

/// The entry of the zoo that a name stands for; a file goes before it.
pub fn entry(name: &str) -> Option<&'static zoo::Entry> {
    zoo::entry(name).ok().filter(|_| !Path::new(name).is_file())
}

/// A network with its settings, by name or TOML file.
pub fn recipe(name: &str, options: &zoo::Options) -> Result<Recipe> {
    let path = Path::new(name);
    if !name.ends_with(".toml") && !path.is_file() {
        return zoo::build(name, options);
    }
    if *options != zoo::Options::default() {
        return Err(Error::argument(format!("{name} is a file, which says its input and classes itself")).with_help(
            "change `input` and the last layer in it; --input-size and --classes are for `striate models`",
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", &e))?;
    Recipe::from_toml(&text).map_err(|e| e.within(path.display()))
}

/// The model of a file or of a run folder. A warning is printed where its golden samples do not come out as saved.
pub fn model(path: &Path) -> Result<Model> {
    let file = model_file(path)?;
    let (model, warning) = Model::load_checked(&file)?;
    if let Some(warning) = warning {
        out::complain(format_args!("warning: {}: {warning}", file.display()));
    }
    Ok(model)
}

// The model of a run folder; why it is not there yet, if it is not.
fn model_file(path: &Path) -> Result<PathBuf> {
    let file = path.join(MODEL);
    let folder = path.display();
    if !path.is_dir() || file.exists() {
        return Ok(if path.is_dir() { file } else { path.to_path_buf() });
    }
    Err(if path.join(CHECKPOINT).exists() {
        Error::argument(format!("the run in {folder} is not finished, so it has no model yet"))
            .with_help(format!("go on with it: striate train --resume {folder}"))
    } else {
        Error::argument(format!("the folder {folder} holds no {MODEL}"))
            .with_help("give a model file, or a run folder that `striate train` made")
    })
}

/// The settings that a model was trained with, where it knows them.
pub fn settings(model: &Model) -> Option<FitConfig> {
    serde_json::from_value(model.record.entries.get("settings")?.clone()).ok()
}

/// The data set that a model was trained on, where it knows it.
pub fn trained_on(model: &Model) -> Option<String> {
    model.record.entries.get("data")?.as_str().map(str::to_string)
}

/// The digest of a model's weights, the same as at the end of its training.
pub fn digest(model: &Model) -> String {
    let params = model.params().iter();
    striate::format::digest(params.map(|p| TensorRef { name: &p.name, dims: &p.dims, data: &p.data }))
}

/// Names in a row, a long row cut short.
pub fn list(names: &[String]) -> String {
    let row = names.iter().take(12).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 12 { format!("{row}, ... ({} in all)", names.len()) } else { row }
}

/// A model by zoo name (with fresh weights), TOML file, model file or run folder.
pub fn any_model(name: &str, seed: u64, options: &zoo::Options) -> Result<Model> {
    let path = Path::new(name);
    if path.is_dir() || (path.is_file() && !name.ends_with(".toml")) {
        if *options != zoo::Options::default() {
            return Err(Error::argument(format!("{name} has its weights, and so its input and classes"))
                .with_help("--input-size and --classes are for the networks of `striate models`"));
        }
        return model(path);
    }
    let recipe = recipe(name, options).map_err(|e| match e.help() {
        Some(help) if !name.ends_with(".toml") => {
            let help = format!("{help}; or give a file that exists");
            Error::new(e.kind(), e.message()).with_help(help)
        }
        _ => e,
    })?;
    Model::new(recipe.graph, seed)
}
