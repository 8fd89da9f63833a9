//! A comparison that is ready to start or to go on: from the arguments, or from its folder.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use striate::compare::{Contest, Entrant, Metric, OPTIMIZERS, Outcomes, Parts, Rates, optimizer};
use striate::data::{Dataset, Split, Subset};
use striate::rng::Rng;
use striate::zoo::Recipe;
use striate::{Error, Result};

use super::folder::{self, PLAN};
use crate::args::CompareArgs;
use crate::run_folder::RunFolder;
use crate::{input, job};

const UPDATES: u64 = 300;
const SEEDS: u32 = 10;
const SEARCH_SEEDS: u32 = 2;
const QUICK: (u64, u32, u32) = (60, 6, 1);
/// The seed by which images are held out: the same for all runs.
const HELD_OUT: u64 = 0;

/// A comparison.
pub struct Job {
    /// Who takes part.
    pub contest: Contest,
    /// What is trained and tested on.
    pub parts: Parts,
    /// What decides.
    pub metric: Metric,
    /// What the figures are called.
    pub title: String,
    /// Where the results go.
    pub folder: RunFolder,
    /// The runs that are finished.
    pub done: Outcomes,
}

/// What a folder keeps beside the contest, so that it can go on.
struct Start {
    data: String,
    /// What the first network was called, which says how images are prepared.
    model: String,
    title: String,
    share: Option<f64>,
    limit: Option<usize>,
    by: String,
}

impl Job {
    /// A comparison from the arguments; one that its folder holds already goes on.
    pub fn start(args: &CompareArgs) -> Result<Self> {
        let is_optimizers = asks_for_optimizers(&args.what)?;
        let mut entrants = if is_optimizers { optimizers(args)? } else { networks(args)? };
        let model = if is_optimizers { args.model.clone() } else { name(&args.what[0]).to_string() };
        let asked = args.data.clone().unwrap_or_else(|| "mnist".into());
        let split = job::open(&model, &entrants[0].recipe.graph, &asked)?;
        for (i, entrant) in entrants.iter_mut().enumerate() {
            let called = if is_optimizers { args.model.as_str() } else { name(&args.what[i]) };
            let graph = job::fitted(called, &entrant.recipe, &args.size, &split);
            entrant.recipe.graph = graph.map_err(|e| e.within(&entrant.name))?;
        }
        job::warn(&split, &entrants[0].recipe)?;
        let is_searched = entrants.iter().any(|e| e.rates != Rates::Own);
        let title = title(args, is_optimizers, &entrants, &*split.train);
        let start = Start {
            data: job::whole(&asked),
            model,
            title,
            share: is_searched.then_some(args.validate),
            limit: args.limit,
            by: args.by.clone(),
        };
        let parts = start.parts(&split)?;
        entrants.iter_mut().for_each(|e| set_length(args, is_optimizers, &mut e.recipe, parts.train.len()));
        let (seeds, search_seeds) = if args.quick { (QUICK.1, QUICK.2) } else { (SEEDS, SEARCH_SEEDS) };
        let contest = Contest {
            entrants,
            seeds: args.seeds.unwrap_or(seeds),
            first_seed: args.seed,
            search_seeds: args.search_seeds.unwrap_or(search_seeds),
        };
        contest.validate()?;
        enough(&contest, &start.by)?;
        contest.check(&parts)?;
        args.machine.machine()?;
        let plan = plan(&start, &contest, &parts)?;
        let folder = match &args.out {
            Some(path) => {
                if let Some(old) = folder::plan(path)? {
                    same(path, &old, &plan)?;
                }
                RunFolder::at(path)?
            }
            None => RunFolder::create(None, if is_optimizers { "compare-optimizers" } else { "compare" })?,
        };
        Self::ready(start, contest, parts, folder)
    }

    /// The comparison in a folder: all comes from there, but for the number of seeds.
    pub fn resume(args: &CompareArgs, path: &Path) -> Result<Self> {
        let old = folder::plan(path)?.ok_or_else(|| {
            Error::argument(format!("{} holds no comparison to go on with", path.display()))
                .with_help("give the folder that `striate compare` printed")
        })?;
        let file = path.join(PLAN);
        let start = Start::read(&old).map_err(|what| Error::format(&file, format!("it has no sound '{what}'")))?;
        let mut contest = Contest::from_document(&old["contest"]).map_err(|e| Error::format(&file, e))?;
        contest.seeds = args.seeds.unwrap_or(contest.seeds);
        contest.validate()?;
        enough(&contest, &start.by)?;
        let split = job::open(&start.model, &contest.entrants[0].recipe.graph, &start.data)?;
        let parts = start.parts(&split)?;
        contest.check(&parts)?;
        same(path, &old, &plan(&start, &contest, &parts)?)?;
        Self::ready(start, contest, parts, RunFolder::at(path)?)
    }

    fn ready(start: Start, contest: Contest, parts: Parts, folder: RunFolder) -> Result<Self> {
        folder.write(PLAN, &format!("{:#}\n", plan(&start, &contest, &parts)?))?;
        let done = folder::finished(&folder)?;
        let metric = if start.by == "loss" { Metric::Loss } else { Metric::Accuracy };
        Ok(Self { contest, parts, metric, title: start.title, folder, done })
    }
}

impl Start {
    fn json(&self) -> Value {
        let Self { data, model, title, share, limit, by } = self;
        json!({ "data": data, "model": model, "title": title, "share": share, "limit": limit, "by": by })
    }

    fn read(plan: &Value) -> Result<Self, &'static str> {
        let start = &plan["start"];
        let text = |key: &'static str| start[key].as_str().map(str::to_string).ok_or(key);
        Ok(Self {
            data: text("data")?,
            model: text("model")?,
            title: text("title")?,
            share: start["share"].as_f64(),
            limit: start["limit"].as_u64().map(|n| n as usize),
            by: text("by")?,
        })
    }

    fn parts(&self, split: &Split) -> Result<Parts> {
        let limit = self.limit.unwrap_or(usize::MAX);
        if limit == 0 {
            return Err(Error::argument("--limit 0 leaves nothing to train on").with_help("give at least 1"));
        }
        let train: Arc<dyn Dataset> = Arc::new(Subset::first(Arc::clone(&split.train), limit));
        let test = Arc::clone(&split.test);
        let Some(share) = self.share else { return Ok(Parts { train, validation: None, test }) };
        let (rest, held) = Subset::hold_out(&train, share, &Rng::new(HELD_OUT)).map_err(|e| e.within("--validate"))?;
        Ok(Parts { train: Arc::new(rest), validation: Some(Arc::new(held)), test })
    }
}

// What could not be tested in the end is not begun.
fn enough(contest: &Contest, by: &str) -> Result<()> {
    if contest.seeds > 1 || by != "loss" {
        return Ok(());
    }
    Err(Error::argument("by loss, one seed of each cannot be told apart")
        .with_help("give more --seeds, or leave out --by"))
}

// The whole plan as a document; the same plan gives the same runs.
fn plan(start: &Start, contest: &Contest, parts: &Parts) -> Result<Value> {
    Ok(json!({
        "striate": env!("CARGO_PKG_VERSION"), "start": start.json(), "parts": parts.fingerprints(),
        "contest": contest.to_document()?,
    }))
}

// Runs of another plan are no part of this comparison. Only the number of seeds may differ.
fn same(path: &Path, old: &Value, new: &Value) -> Result<()> {
    let plain = |plan: &Value| {
        let mut plan = plan.clone();
        if let Some(contest) = plan.get_mut("contest").and_then(Value::as_object_mut) {
            contest.remove("seeds");
        }
        plan
    };
    let (old, new) = (plain(old), plain(new));
    let keys = ["striate", "start", "parts", "contest"];
    let Some(key) = keys.into_iter().find(|key| old[*key] != new[*key]) else { return Ok(()) };
    let what = match key {
        "striate" => format!("by striate {}", old["striate"].as_str().unwrap_or("of another version")),
        "parts" => "on other data".to_string(),
        key => {
            let entries = new[key].as_object().into_iter().flatten();
            let names: Vec<&str> = entries.filter(|(k, v)| old[key][*k] != **v).map(|(k, _)| k.as_str()).collect();
            format!("with other settings ({})", names.join(", "))
        }
    };
    let folder = path.display();
    Err(Error::argument(format!("the comparison in {folder} was made {what}"))
        .with_help(format!("give another --out, or go on with its own settings: striate compare --resume {folder}")))
}

fn asks_for_optimizers(what: &[String]) -> Result<bool> {
    let is = |name: &String| ["optimizers", "optimisers"].contains(&name.to_lowercase().as_str());
    match what {
        [one] if is(one) => Ok(true),
        [_, ..] if what.iter().any(is) => Err(Error::argument("`optimizers` is compared alone, not beside others")
            .with_help("choose the network with --model, and the optimisers with --only")),
        [one] => Err(Error::argument(format!("'{one}' alone has nothing to be compared with"))
            .with_help("give two or more, or `optimizers`")),
        _ => Ok(false),
    }
}

fn optimizers(args: &CompareArgs) -> Result<Vec<Entrant>> {
    let own = input::recipe(&args.model, &args.size.options())?;
    let all: Vec<&str> = match args.only.is_empty() {
        true => OPTIMIZERS.to_vec(),
        false => args.only.iter().map(|name| name.trim()).collect(),
    };
    let one = |name: &str| {
        let (optimizer, ladder) = optimizer(name).map_err(|e| e.within("--only"))?;
        let mut recipe = own.clone();
        recipe.train.optimizer = optimizer;
        let ladder = match ladder {
            Rates::Ladder { low, high } if args.quick => Rates::Ladder { low: low + 1, high: high - 1 },
            ladder => ladder,
        };
        Ok(Entrant { name: name.to_lowercase(), recipe, rates: rates(args, ladder) })
    };
    all.into_iter().map(one).collect()
}

fn networks(args: &CompareArgs) -> Result<Vec<Entrant>> {
    if !args.only.is_empty() {
        return Err(
            Error::argument("--only chooses among optimisers").with_help("compare `optimizers`, or leave it out")
        );
    }
    let one = |spec: &String| {
        let recipe = recipe(spec, args).map_err(|e| e.within(spec))?;
        Ok(Entrant { name: spec.clone(), recipe, rates: rates(args, Rates::Own) })
    };
    args.what.iter().map(one).collect()
}

fn rates(args: &CompareArgs, default: Rates) -> Rates {
    match args.rates.is_empty() {
        _ if args.untuned => Rates::Own,
        true => default,
        false => Rates::Listed(args.rates.clone()),
    }
}

/// The name or file in front of the settings.
pub fn name(spec: &str) -> &str {
    if Path::new(spec).exists() { spec } else { spec.split(',').next().unwrap_or(spec) }
}

// `keras-mnist,batch_size=32,optimizer=rmsprop`
fn recipe(spec: &str, args: &CompareArgs) -> Result<Recipe> {
    let name = name(spec);
    let mut recipe = input::recipe(name, &args.size.options())?;
    let mut settings = spec[name.len()..]
        .split(',')
        .filter(|s| !s.is_empty())
        .map(|setting| {
            let (key, value) = setting.split_once('=').ok_or_else(|| {
                Error::argument(format!("'{setting}' is no setting")).with_help("write NAME=VALUE, as in batch_size=32")
            })?;
            Ok((key.trim(), value))
        })
        .collect::<Result<Vec<_>>>()?;
    // An optimiser comes with all of its settings, so the parts of one follow it, in whatever order they were given.
    settings.sort_by_key(|(key, _)| key.contains('.') || *key == "learning_rate");
    for (key, value) in settings {
        if key == "seed" {
            return Err(Error::argument("the seeds are those of the comparison, the same for all")
                .with_help("say the first with --seed, and how many with --seeds"));
        }
        recipe.set(key, serde_json::from_str(value).unwrap_or_else(|_| value.into()))?;
    }
    Ok(recipe)
}

fn set_length(args: &CompareArgs, is_optimizers: bool, recipe: &mut Recipe, samples: usize) {
    recipe.train.batch_size = args.batch_size.unwrap_or(recipe.train.batch_size);
    let length = match (args.epochs, args.updates) {
        (None, None) if args.quick => (None, Some(QUICK.0)),
        (None, None) if is_optimizers => (None, Some(UPDATES)),
        length => length,
    };
    job::set_length(&mut recipe.train, length, samples);
}

fn title(args: &CompareArgs, is_optimizers: bool, entrants: &[Entrant], data: &dyn Dataset) -> String {
    match is_optimizers {
        true => format!("{} optimisers, {} on {}", entrants.len(), args.model, data.name()),
        false => format!("{} networks or settings on {}", entrants.len(), data.name()),
    }
}
