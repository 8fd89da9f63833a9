//! What a run is about, however it was started: a new one from the arguments, or one that goes on from its folder.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use striate::data::{Dataset, Preprocess, Split, Subset};
use striate::rng::Rng;
use striate::train::{EarlyStopping, EpochLog, Fit, FitConfig, read_checkpoint};
use striate::zoo::{self, Recipe};
use striate::{Error, Graph, Model, Result};

use crate::args::{SizeArgs, TrainArgs};
use crate::input;
use crate::out;
use crate::run_folder::{CHECKPOINT, RunFolder};

const START: &str = "start.json";
const MOST_WARNINGS: usize = 10;

/// A part of a data set.
pub type Part = Arc<dyn Dataset>;

/// A run that is ready to start or to go on.
pub struct Job {
    /// The network and its settings.
    pub recipe: Recipe,
    /// What was asked for.
    pub start: Start,
    /// All the data.
    pub split: Split,
    /// What is trained on.
    pub train: Part,
    /// What is measured after each epoch.
    pub validation: Option<Part>,
    /// Where the run is kept.
    pub folder: RunFolder,
    /// The epochs that a run to go on has behind it; `None` for a new run.
    pub past: Option<Vec<EpochLog>>,
}

/// What was asked for when the run was started, as far as the checkpoint does not know it.
pub struct Start {
    /// A data set's name, or the whole path of a folder.
    pub data: String,
    model: String,
    /// What is measured after each epoch: `test`, or a share of the training set.
    pub validate: Option<String>,
    /// How many of the training samples are used.
    pub limit: Option<usize>,
}

/// The data of a run, in the parts that it used.
pub struct Parts {
    /// All the data.
    pub split: Split,
    /// What is trained on.
    pub train: Part,
    /// What is measured after each epoch.
    pub validation: Option<Part>,
}

impl Job {
    /// A new run. Everything is checked before its folder is made.
    pub fn start(args: &TrainArgs) -> Result<Self> {
        let asked = args.data.clone().unwrap_or_default();
        // The network's settings and errors come before the data, which may take long to read.
        let own = input::recipe(&args.model, &args.size.options())?;
        let (model, validate) = (args.model.clone(), args.validate.clone());
        let start = Start { data: whole(&asked), model, validate, limit: args.limit };
        let mut train = own.train.clone();
        change(&mut train, args)?;
        train.validate()?;
        let split = open(&start.model, &own.graph, &asked)?;
        let graph = fitted(&start.model, &own, &args.size, &split)?;
        let mut recipe = Recipe { graph, train };
        warn(&split, &recipe)?;
        let (train, validation) = start.parts(&split, recipe.train.seed)?;
        set_length(&mut recipe.train, (args.epochs, args.updates), train.len());
        let mut fit = Fit::new(&*train, &recipe.train).machine(args.machine.machine()?);
        if let Some(data) = &validation {
            fit = fit.validate(&**data);
        }
        fit.check(&Model::new(recipe.graph.clone(), recipe.train.seed)?)?;
        let name = Path::new(&start.data).file_name().map_or_else(|| "run".into(), |n| n.to_string_lossy());
        let folder = RunFolder::create(args.out.as_deref(), &name)?;
        folder.write(START, &format!("{:#}\n", start.json()))?;
        let job = Self { recipe, start, split, train, validation, folder, past: None };
        job.write_settings(args)?;
        Ok(job)
    }

    /// The run in a folder: all comes from there, and its length may be changed.
    pub fn resume(args: &TrainArgs, path: &Path) -> Result<Self> {
        let folder = RunFolder::open(path)?;
        let (graph, train, progress) = read_checkpoint(&folder.file(CHECKPOINT))?;
        let mut recipe = Recipe { graph, train };
        let start = Start::read(&folder.file(START))?;
        if let Some(asked) = args.data.as_ref().filter(|asked| whole(asked) != start.data) {
            return Err(Error::argument(format!("the run in {} is on {}, not {asked}", path.display(), start.data))
                .with_help(format!("go on with: striate train --resume {}", path.display())));
        }
        let split = open(&start.model, &recipe.graph, &start.data)?;
        warn(&split, &recipe)?;
        let (train, validation) = start.parts(&split, recipe.train.seed)?;
        set_length(&mut recipe.train, (args.epochs, args.updates), train.len());
        recipe.train.validate()?;
        let past = Some(progress.history.epochs);
        let job = Self { recipe, start, split, train, validation, folder, past };
        job.write_settings(args)?;
        Ok(job)
    }

    fn write_settings(&self, args: &TrainArgs) -> Result<()> {
        self.folder.write("network.toml", &self.recipe.to_toml()?)?;
        self.folder.write_settings(&self.start.json(), &self.recipe.train, args.machine.threads)
    }

    /// The model that the run starts with; a resumed one gets its weights from the checkpoint.
    pub fn model(&self) -> Result<Model> {
        let mut model = Model::new(self.recipe.graph.clone(), self.recipe.train.seed)?;
        model.labels = self.split.train.classes().to_vec();
        model.preprocess = self.split.train.preprocess().cloned();
        Ok(model)
    }

    /// What the pictures of the run are called.
    pub fn title(&self) -> String {
        self.start.title(&self.recipe.graph, &self.split)
    }

    /// What was made of a network of the zoo to fit the data, if it is not as it stands there.
    pub fn fitted(&self) -> Option<String> {
        let entry = input::entry(&self.start.model)?;
        let (input, classes) = (self.recipe.graph.input_shape().ok()?, self.recipe.graph.output_shape().ok()?.len());
        let [h, w, c] = input.hwc().ok()?;
        let own = entry.input == [h, w, c];
        let why = if own { "its own size; --input-size changes it" } else { "as --input-size says" };
        let is_changed = !own || entry.classes != classes;
        is_changed.then(|| format!("{}: built for {classes} classes and {h}x{w}x{c} ({why})", entry.name))
    }

    /// The settings in one line.
    pub fn settings(&self) -> String {
        let FitConfig { optimizer, batch_size, seed, .. } = &self.recipe.train;
        let (name, rate) = (optimizer.name(), optimizer.learning_rate());
        format!("{name} at {rate}, batches of {batch_size}, seed {seed}")
    }
}

impl Start {
    /// What was asked for when the run in a folder was started.
    pub fn of(folder: &Path) -> Result<Self> {
        Self::read(&folder.join(START))
    }

    /// Whether a run was started in a folder, however far it came.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(START).is_file()
    }

    /// The data of the run; `place` is where they are now, if they have moved.
    pub fn parts_of(&self, graph: &Graph, seed: u64, place: Option<&str>) -> Result<Parts> {
        let split = open(&self.model, graph, place.unwrap_or(&self.data))?;
        let (train, validation) = self.parts(&split, seed)?;
        Ok(Parts { split, train, validation })
    }

    /// What was trained on what: Keras gives a network without a name that of its class.
    pub fn title(&self, graph: &Graph, split: &Split) -> String {
        let file = Path::new(&self.model).file_stem().map(|stem| stem.to_string_lossy());
        let name = match graph.name() {
            "sequential" => file.unwrap_or("network".into()),
            name => name.into(),
        };
        format!("{name} on {}", split.train.name())
    }

    fn json(&self) -> Value {
        json!({ "data": self.data, "model": self.model, "validate": self.validate, "limit": self.limit })
    }

    fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "read", &e))?;
        let start: Value = serde_json::from_str(&text).map_err(|e| Error::format(file, e))?;
        let text = |key: &str| start[key].as_str().map(str::to_string);
        Ok(Self {
            data: text("data").ok_or_else(|| Error::format(file, "it names no data set"))?,
            model: text("model").unwrap_or_default(),
            validate: text("validate"),
            limit: start["limit"].as_u64().map(|n| n as usize),
        })
    }

    fn parts(&self, split: &Split, seed: u64) -> Result<(Part, Option<Part>)> {
        let limit = self.limit.unwrap_or(usize::MAX);
        if limit == 0 {
            return Err(Error::argument("--limit 0 leaves nothing to train on").with_help("give at least 1"));
        }
        let train: Part = Arc::new(Subset::first(Arc::clone(&split.train), limit));
        let share = match self.validate.as_deref() {
            None => return Ok((train, None)),
            Some("test") => return Ok((train, Some(Arc::clone(&split.test)))),
            Some(text) => text.parse::<f64>().ok().filter(|s| *s > 0.0 && *s < 1.0).ok_or_else(|| {
                Error::argument(format!("--validate '{text}' is neither `test` nor a share"))
                    .with_help("give `test`, or a share such as 0.1")
            })?,
        };
        let (rest, held) = Subset::hold_out(&train, share, &Rng::new(seed))?;
        Ok((Arc::new(rest), Some(Arc::new(held))))
    }
}

/// The data under the name that the user gave, in the size of the network; `model` is what the user called that.
pub fn open(model: &str, graph: &Graph, name: &str) -> Result<Split> {
    let input = graph.input_shape()?.hwc()?;
    let own = input::entry(model).and_then(|entry| entry.preprocess(input));
    input::data(name, own.or_else(|| Preprocess::new(input).ok()).as_ref())
}

/// The network; one of the zoo is built for the classes of the data, unless others were asked for.
pub fn fitted(model: &str, own: &Recipe, size: &SizeArgs, split: &Split) -> Result<Graph> {
    let Some(entry) = input::entry(model) else { return Ok(own.graph.clone()) };
    let (data, input) = (split.train.shape(), own.graph.input_shape()?);
    if data != input {
        let sides = |dims: &[usize]| dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let (data, input) = (sides(data.dims()), sides(input.dims()));
        return Err(Error::shape(format!("{} takes {input}, and {} has {data}", entry.name, split.train.name()))
            .with_help(format!("build the network for it with --input-size {data}")));
    }
    let classes = Some(size.classes.unwrap_or(split.train.classes().len()));
    Ok(entry.build(&zoo::Options { classes, ..size.options() })?.graph)
}

/// What the user should know about the data before it is used.
pub fn warn(split: &Split, recipe: &Recipe) -> Result<()> {
    for skipped in split.skipped.iter().take(MOST_WARNINGS) {
        out::complain(format_args!("warning: left out: {skipped}"));
    }
    if let Some(more) = split.skipped.len().checked_sub(MOST_WARNINGS).filter(|n| *n > 0) {
        out::complain(format_args!("warning: left out: {more} more files"));
    }
    let (outputs, classes) = (recipe.graph.output_shape()?.len(), split.train.classes().len());
    if classes < 2 {
        return Err(Error::argument(format!(
            "{} has one class only: there is nothing to tell apart",
            split.train.name()
        ))
        .with_help("give a folder with one sub-folder of images for each of two or more classes"));
    }
    if outputs > classes {
        out::complain(format_args!("warning: the network has {outputs} outputs, but the data have {classes} classes"));
    }
    Ok(())
}

/// The whole path of a folder, so that a run can go on from any place; a name as it is.
pub fn whole(data: &str) -> String {
    let name = striate::data::names().any(|name| name == data.to_lowercase());
    let path = std::fs::canonicalize(data).ok().filter(|_| !name);
    path.map_or_else(|| data.to_string(), |path| path.display().to_string())
}

fn change(config: &mut FitConfig, args: &TrainArgs) -> Result<()> {
    if let Some(name) = &args.optimizer {
        config.optimizer = name.parse()?;
    }
    if let Some(rate) = args.learning_rate {
        config.optimizer = config.optimizer.with_learning_rate(rate);
    }
    if let Some(name) = &args.schedule {
        config.schedule = name.parse()?;
    }
    if let Some(name) = &args.loss {
        config.loss = name.parse()?;
    }
    if let Some(patience) = args.early_stopping {
        config.early_stopping = Some(EarlyStopping { patience, ..EarlyStopping::default() });
    }
    config.epochs = args.epochs.unwrap_or(config.epochs);
    config.updates = args.updates.or(config.updates);
    config.batch_size = args.batch_size.unwrap_or(config.batch_size);
    config.seed = args.seed.unwrap_or(config.seed);
    Ok(())
}

/// Epochs alone mean whole epochs; updates alone mean as many epochs as they need.
pub fn set_length(config: &mut FitConfig, length: (Option<u32>, Option<u64>), samples: usize) {
    match length {
        (None, None) => {}
        (None, Some(updates)) => {
            let per_epoch = samples.div_ceil(config.batch_size.max(1)).max(1) as u64;
            config.epochs = u32::try_from(updates.div_ceil(per_epoch)).unwrap_or(u32::MAX).max(1);
            config.updates = Some(updates);
        }
        (Some(epochs), updates) => (config.epochs, config.updates) = (epochs, updates),
    }
}
