//! What commands are given: models by name or file, data sets by name or folder, threads.

use std::path::{Path, PathBuf};

use striate::data::{self, Dataset, Preprocess, Split};
use striate::exchange::{self, Network, Open, Opened};
use striate::format::{FileKind, TensorRef};
use striate::session::Machine;
use striate::train::FitConfig;
use striate::zoo::{self, Recipe};
use striate::{Error, ErrorKind, Model, Result};

use crate::args::{MachineArgs, NetworkArgs, SizeArgs};
use crate::run_folder::{CHECKPOINT, MODEL};
use crate::{fetch, out};

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

/// What a command wants of a model with weights.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// What a file may need to be told.
    pub network: &'a NetworkArgs,
    /// Whether fetching is forbidden.
    pub offline: bool,
}

/// A model with trained weights: a file of any format, a run folder, or a name whose weights can be fetched.
pub fn trained(name: &str, wanted: &Wanted<'_>) -> Result<Model> {
    let path = Path::new(name);
    let mut model = match fetch::find(name) {
        _ if path.exists() => {
            let network = wanted.network.network.as_deref().map(Network::named).transpose()?;
            open(path, network)?
        }
        Some(weights) => open(&weights.get(wanted.offline)?, Some(Network::Zoo(name.to_string())))?,
        None if zoo::recipe(name).is_ok() => {
            return Err(Error::argument(format!("'{name}' is a network without weights")).with_help(format!(
                "train it, or give a file: FILE --network {name}; `striate fetch` lists trained ones"
            )));
        }
        None => return Err(missing(path)),
    };
    if let Some(file) = &wanted.network.labels {
        model.labels = labels(file, &model)?;
    }
    Ok(model)
}

fn missing(path: &Path) -> Error {
    let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
    let known = zoo::entries().iter().map(|e| e.name).collect::<Vec<_>>();
    let error = Error::io(path, "read", &cause);
    match striate::error::nearest(&path.to_string_lossy(), &known) {
        Some(near) => error.with_help(format!("check the path, or did you mean '{near}'?")),
        None => error,
    }
}

// The names of the classes, one on each line; empty lines at the end do not count.
fn labels(path: &Path, model: &Model) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", &e))?;
    let names: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_string()).collect();
    let classes = model.graph().output_shape()?.len();
    if names.len() != classes {
        let (n, name) = (names.len(), model.graph().name());
        return Err(Error::format(path, format!("it has {n} lines, but {name} has {classes} outputs"))
            .with_help("give one name on each line, in the order of the outputs"));
    }
    Ok(names)
}

// The model of a file or of a run folder. What there is to know about how it was read goes to standard error.
fn open(path: &Path, network: Option<Network>) -> Result<Model> {
    let file = model_file(path)?;
    // Of two models that are compared, only one may need a network.
    let network = match network {
        Some(network) if weights_only(&file)? => Some(network),
        _ => None,
    };
    let Opened { model, kind, notes } = exchange::open(&file, &Open { network })?;
    if kind == FileKind::Toml {
        return Err(Error::argument(format!("{} is a network without weights", path.display()))
            .with_help(format!("train it: striate train DATA --model {}", path.display())));
    }
    // A striate file has everything; what is to be told about one is that it does not test true.
    let what = if kind == FileKind::Striate { "warning" } else { "note" };
    notes.iter().for_each(|note| out::complain(format_args!("{what}: {}: {note}", file.display())));
    Ok(model)
}

fn weights_only(path: &Path) -> Result<bool> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", &e))?;
    Ok(FileKind::of(path, &bytes)?.is_weights_only())
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

/// A model by zoo name (with fresh weights), TOML file, model file of any format or run folder.
pub fn any_model(name: &str, seed: u64, network: &NetworkArgs, options: &zoo::Options) -> Result<Model> {
    let path = Path::new(name);
    if path.is_dir() || (path.is_file() && !name.ends_with(".toml")) {
        if *options != zoo::Options::default() {
            return Err(Error::argument(format!("{name} has its weights, and so its input and classes"))
                .with_help("--input-size and --classes are for the networks of `striate models`"));
        }
        return trained(name, &Wanted { network, offline: true });
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

/// Labels count classes; a model and a data set that count differently would be compared without sense.
pub fn same_classes(model: &Model, data: &dyn Dataset) -> Result<()> {
    if model.labels.is_empty() || model.labels == data.classes() {
        return Ok(());
    }
    let (known, asked) = (list(&model.labels), list(data.classes()));
    Err(Error::argument(format!("the model knows the classes {known}; {} has {asked}", data.name()))
        .with_help("evaluate on data with the same classes, in the same order"))
}
