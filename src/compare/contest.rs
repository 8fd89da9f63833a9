//! A contest: who takes part, and which run comes next.
//!
//! ```text
//! entrant -> search: each rate with the search seeds, measured on the validation set -> the best rate
//!         -> final:  that rate with the seeds of the contest, measured on the test set
//! ```
//!
//! Which run comes next follows from the runs that are finished and from nothing else. So a contest can be stopped
//! anywhere: who has the finished runs goes on where it was.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::rates::Rates;
use super::run::Outcome;
use crate::error::{Error, Result};
use crate::zoo::Recipe;

/// One that takes part: a network with its settings.
#[derive(Debug, Clone)]
pub struct Entrant {
    /// What it is called.
    pub name: String,
    /// The network and the settings; the contest sets the seed.
    pub recipe: Recipe,
    /// How it gets its learning rate.
    pub rates: Rates,
}

/// Networks, optimisers or settings that are compared on equal terms.
#[derive(Debug, Clone)]
pub struct Contest {
    /// Those that take part.
    pub entrants: Vec<Entrant>,
    /// How often each is trained for the result.
    pub seeds: u32,
    /// The first seed of these; the others count on from it.
    pub first_seed: u64,
    /// How often each learning rate is trained in the search.
    pub search_seeds: u32,
}

/// Seeds of the search are so far from those of the result.
const SEARCH: u64 = 1_000_000;
const MOST: usize = 64;

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// To find the learning rate.
    Search,
    /// For the result.
    Final,
}

/// One training run of a contest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// The number of the entrant.
    pub entrant: usize,
    /// What it is for.
    pub stage: Stage,
    /// The learning rate.
    pub rate: f32,
    /// The seed of the weights, of the order of the samples and of dropout.
    pub seed: u64,
}

/// The finished runs, by [`Contest::id`].
pub type Outcomes = BTreeMap<String, Outcome>;

/// A learning rate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// The rate.
    pub rate: f32,
    /// The validation loss of each search seed; `None` where the run diverged.
    pub losses: Vec<Option<f64>>,
}

/// An end of the rates that were tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// The smallest: a smaller one might be better.
    Lowest,
    /// The largest: a larger one might be better.
    Highest,
}

/// The learning rate of an entrant, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The rate.
    pub rate: f32,
    /// All that were tried, in rising order; none where the settings said it.
    pub tried: Vec<Tried>,
    /// Whether the best was the last on its side.
    pub edge: Option<Edge>,
}

impl Tried {
    /// The mean validation loss; infinite if a run diverged.
    pub fn loss(&self) -> f64 {
        let sum: Option<f64> = self.losses.iter().copied().sum();
        sum.map_or(f64::INFINITY, |sum| sum / self.losses.len() as f64)
    }
}

// How far the search of an entrant has come.
enum Search {
    Missing(Run),
    Found(Choice),
}

impl Contest {
    /// Checks all that can be checked without data.
    ///
    /// # Errors
    /// There are fewer than two entrants or more than 64, two with the same name, no seed, more than 1,000, or settings
    /// that cannot be trained with.
    pub fn validate(&self) -> Result<()> {
        let n = self.entrants.len();
        if !(2..=MOST).contains(&n) {
            return Err(Error::argument(format!("a comparison of {n}")).with_help(format!("give 2 to {MOST}")));
        }
        for (what, seeds) in [("seeds", self.seeds), ("search seeds", self.search_seeds)] {
            if !(1..=1000).contains(&seeds) {
                return Err(Error::argument(format!("{seeds} {what}")).with_help("give 1 to 1000"));
            }
        }
        if self.first_seed > u64::MAX - 2 * SEARCH {
            return Err(Error::argument(format!("the seed {} leaves no room for the others", self.first_seed))
                .with_help("give a smaller one, such as 0"));
        }
        for (i, entrant) in self.entrants.iter().enumerate() {
            if self.entrants[..i].iter().any(|e| e.name == entrant.name) {
                return Err(Error::argument(format!("'{}' takes part twice", entrant.name))
                    .with_help("give each once; settings make a difference, as in keras-mnist,batch_size=32"));
            }
            let checked = entrant.recipe.train.validate().and_then(|()| entrant.rates.validate());
            checked.map_err(|e| e.within(&entrant.name))?;
        }
        Ok(())
    }

    /// The run that comes next; `None` when all are finished.
    pub fn next(&self, done: &Outcomes) -> Option<Run> {
        (0..self.entrants.len())
            .find_map(|entrant| match self.search(entrant, done) {
                Search::Missing(run) => Some(run),
                Search::Found(_) => None,
            })
            .or_else(|| (0..self.entrants.len()).find_map(|entrant| self.next_final(entrant, done)))
    }

    /// The learning rate of an entrant, once its search is finished.
    pub fn choice(&self, entrant: usize, done: &Outcomes) -> Option<Choice> {
        match self.search(entrant, done) {
            Search::Found(choice) => Some(choice),
            Search::Missing(_) => None,
        }
    }

    /// How many runs of an entrant's stage are finished, and of how many, as far as that is known.
    pub fn count(&self, entrant: usize, stage: Stage, done: &Outcomes) -> (usize, usize) {
        let runs: Vec<Run> = match stage {
            Stage::Search => self.rates(entrant, done).iter().flat_map(|r| self.searches(entrant, *r)).collect(),
            Stage::Final => self.finals(entrant, done),
        };
        (runs.iter().filter(|run| done.contains_key(&self.id(run))).count(), runs.len())
    }

    /// The finished runs for an entrant's result, in the order of their seeds.
    pub fn results<'a>(&self, entrant: usize, done: &'a Outcomes) -> Vec<&'a Outcome> {
        self.finals(entrant, done).iter().filter_map(|run| done.get(&self.id(run))).collect()
    }

    /// A name for a run, fit for a file: `3-rmsprop-final-0.001-7`.
    pub fn id(&self, run: &Run) -> String {
        let Run { entrant, stage, rate, seed } = run;
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
        let name: String = self.entrants[*entrant].name.chars().take(40).map(plain).collect();
        let stage = if *stage == Stage::Search { "search" } else { "final" };
        format!("{}-{name}-{stage}-{rate}-{seed}", entrant + 1)
    }

    // Search seeds are never seeds of the result, or the best rate would be the best for these very runs.
    fn searches(&self, entrant: usize, rate: f32) -> Vec<Run> {
        let seed = |i| self.first_seed + SEARCH + u64::from(i);
        (0..self.search_seeds).map(|i| Run { entrant, stage: Stage::Search, rate, seed: seed(i) }).collect()
    }

    fn finals(&self, entrant: usize, done: &Outcomes) -> Vec<Run> {
        let Some(Choice { rate, .. }) = self.choice(entrant, done) else { return Vec::new() };
        let seed = |i| self.first_seed + u64::from(i);
        (0..self.seeds).map(|i| Run { entrant, stage: Stage::Final, rate, seed: seed(i) }).collect()
    }

    fn next_final(&self, entrant: usize, done: &Outcomes) -> Option<Run> {
        self.finals(entrant, done).into_iter().find(|run| !done.contains_key(&self.id(run)))
    }

    // The rates that are being tried: those of the start, and those beyond that were reached.
    fn rates(&self, entrant: usize, done: &Outcomes) -> Vec<f32> {
        let mut rates = self.entrants[entrant].rates.start();
        while let Some(tried) = self.tried(entrant, &rates, done)
            && let Some(next) = best(&tried).and_then(|b| self.entrants[entrant].rates.beyond(&rates, b.rate))
        {
            rates.push(next);
            rates.sort_by(f32::total_cmp);
        }
        rates
    }

    // What the rates gave, if all of their runs are finished.
    fn tried(&self, entrant: usize, rates: &[f32], done: &Outcomes) -> Option<Vec<Tried>> {
        let loss = |run: &Run| done.get(&self.id(run)).map(|outcome| outcome.measured().map(|m| m.loss));
        let all = |rate: &f32| self.searches(entrant, *rate).iter().map(loss).collect::<Option<Vec<_>>>();
        rates.iter().map(|rate| all(rate).map(|losses| Tried { rate: *rate, losses })).collect()
    }

    fn search(&self, entrant: usize, done: &Outcomes) -> Search {
        let rates = self.rates(entrant, done);
        let runs = rates.iter().flat_map(|rate| self.searches(entrant, *rate));
        if let Some(run) = runs.into_iter().find(|run| !done.contains_key(&self.id(run))) {
            return Search::Missing(run);
        }
        let own = self.entrants[entrant].recipe.train.optimizer.learning_rate();
        let tried = self.tried(entrant, &rates, done).unwrap_or_default();
        let rate = best(&tried).map_or(own, |b| b.rate);
        let edge = match tried.as_slice() {
            [first, .., _] if first.rate == rate => Some(Edge::Lowest),
            [_, .., last] if last.rate == rate => Some(Edge::Highest),
            _ => None,
        };
        Search::Found(Choice { rate, tried, edge })
    }

    /// The contest as a document, from which [`Contest::from_document`] makes the same.
    ///
    /// # Errors
    /// A network holds a custom op.
    pub fn to_document(&self) -> Result<Value> {
        let one = |e: &Entrant| {
            e.recipe.to_toml().map(|recipe| json!({ "name": e.name, "recipe": recipe, "rates": e.rates }))
        };
        let entrants: Vec<Value> = self.entrants.iter().map(one).collect::<Result<_>>()?;
        let Self { seeds, first_seed, search_seeds, .. } = self;
        Ok(json!({
            "seeds": seeds, "first_seed": first_seed, "search_seeds": search_seeds, "entrants": entrants,
        }))
    }

    /// The contest of a document.
    ///
    /// # Errors
    /// Something is missing or wrong in it; it is named.
    pub fn from_document(document: &Value) -> Result<Self> {
        let wrong = |what: &str| Error::argument(format!("the plan of the comparison has no sound '{what}'"));
        let number = |what: &str| document[what].as_u64().ok_or_else(|| wrong(what));
        let count = |what: &str| number(what).and_then(|n| u32::try_from(n).map_err(|_| wrong(what)));
        let one = |e: &Value| {
            let text = |what: &str| e[what].as_str().ok_or_else(|| wrong(what));
            let rates = serde_json::from_value(e["rates"].clone()).map_err(|_| wrong("rates"))?;
            Ok(Entrant { name: text("name")?.to_string(), recipe: Recipe::from_toml(text("recipe")?)?, rates })
        };
        let entrants = document["entrants"].as_array().ok_or_else(|| wrong("entrants"))?;
        let contest = Self {
            entrants: entrants.iter().map(one).collect::<Result<_>>()?,
            seeds: count("seeds")?,
            first_seed: number("first_seed")?,
            search_seeds: count("search_seeds")?,
        };
        contest.validate().map(|()| contest)
    }
}

// The rate with the smallest mean loss; of equals, diverged ones among them, the smallest rate.
fn best(tried: &[Tried]) -> Option<&Tried> {
    tried.iter().min_by(|a, b| a.loss().total_cmp(&b.loss()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::run::Measured;

    const NETWORK: &str = "name = \"n\"\ninput = [2]\n[[layer]]\nop = \"dense\"\nunits = 2\nactivation = \"softmax\"\n";

    fn contest(rates: Rates) -> Contest {
        let recipe = Recipe::from_toml(NETWORK).unwrap();
        let entrant = |name: &str, rates| Entrant { name: name.into(), recipe: recipe.clone(), rates };
        let entrants = vec![entrant("tuned", rates), entrant("b/c", Rates::Own)];
        Contest { entrants, seeds: 2, first_seed: 5, search_seeds: 2 }
    }

    fn outcome(loss: Option<f64>) -> Outcome {
        match loss {
            Some(loss) => Outcome::Finished(Measured { loss, ..Measured::default() }),
            None => Outcome::Diverged { updates: 1, why: String::new(), step_loss: Vec::new() },
        }
    }

    // Plays a contest whose loss is a function of rate and seed.
    fn play(contest: &Contest, loss: impl Fn(&Run) -> Option<f64>) -> (Vec<Run>, Outcomes) {
        let (mut runs, mut done) = (Vec::new(), Outcomes::new());
        while let Some(run) = contest.next(&done) {
            assert!(runs.len() < 100 && done.insert(contest.id(&run), outcome(loss(&run))).is_none());
            runs.push(run);
        }
        (runs, done)
    }

    #[test]
    fn a_search_ends_where_neighbours_are_worse_and_seeds_are_apart_e18() {
        let contest = contest(Rates::Ladder { low: -2, high: 0 });
        contest.validate().unwrap();
        let (runs, done) = play(&contest, |run| Some((f64::from(run.rate).ln() - 3.0_f64.ln()).abs()));
        let searched: Vec<f32> = runs.iter().filter(|r| r.stage == Stage::Search).map(|r| r.rate).collect();
        assert_eq!(searched, [0.1, 0.1, 0.3, 0.3, 1.0, 1.0, 3.0, 3.0, 10.0, 10.0]);
        let choice = contest.choice(0, &done).unwrap();
        assert_eq!((choice.rate, choice.edge, choice.tried.len()), (3.0, None, 5));
        let finals: Vec<(usize, f32, u64)> =
            runs.iter().filter(|r| r.stage == Stage::Final).map(|r| (r.entrant, r.rate, r.seed)).collect();
        let own = contest.entrants[1].recipe.train.optimizer.learning_rate();
        assert_eq!(finals, [(0, 3.0, 5), (0, 3.0, 6), (1, own, 5), (1, own, 6)]);
        assert!(runs.iter().all(|r| (r.stage == Stage::Search) == (r.seed >= SEARCH)));
        assert_eq!(contest.count(0, Stage::Search, &done), (10, 10));
        assert_eq!((contest.results(1, &done).len(), contest.count(1, Stage::Search, &done)), (2, (0, 0)));
    }

    #[test]
    fn an_edge_of_the_grid_is_told() {
        let listed = contest(Rates::Listed(vec![0.1, 0.2, 0.4]));
        let (_, done) = play(&listed, |run| Some(-f64::from(run.rate)));
        assert_eq!(listed.choice(0, &done).unwrap().edge, Some(Edge::Highest));
        // A ladder goes on, but not for ever.
        let ladder = contest(Rates::Ladder { low: -2, high: 0 });
        let (_, done) = play(&ladder, |run| Some(f64::from(run.rate)));
        let choice = ladder.choice(0, &done).unwrap();
        assert_eq!((choice.rate, choice.edge), (0.001, Some(Edge::Lowest)));
    }

    #[test]
    fn rates_that_diverge_lose_and_if_all_do_the_smallest_is_taken() {
        let contest = contest(Rates::Listed(vec![0.1, 0.2, 0.4]));
        let one_seed = |run: &Run| (run.rate < 0.3 || run.seed.is_multiple_of(2)).then_some(1.0 - f64::from(run.rate));
        let (_, done) = play(&contest, one_seed);
        let choice = contest.choice(0, &done).unwrap();
        assert_eq!((choice.rate, choice.edge), (0.2, None));
        assert!(choice.tried[2].losses.contains(&None) && choice.tried[2].loss().is_infinite());
        let (_, done) = play(&contest, |_| None);
        assert_eq!(contest.choice(0, &done).unwrap().rate, 0.1);
    }

    #[test]
    fn a_contest_that_is_stopped_goes_on_with_the_same_runs() {
        let contest = contest(Rates::Ladder { low: -2, high: 0 });
        let loss = |run: &Run| Some((f64::from(run.rate) - 0.25).abs() + run.seed as f64 * 1e-9);
        let (runs, done) = play(&contest, loss);
        for cut in 0..runs.len() {
            let kept: Outcomes = runs[..cut].iter().map(|r| (contest.id(r), done[&contest.id(r)].clone())).collect();
            assert_eq!(contest.next(&kept), Some(runs[cut]));
        }
        let copy = Contest::from_document(&contest.to_document().unwrap()).unwrap();
        assert_eq!((copy.to_document().unwrap(), copy.next(&done)), (contest.to_document().unwrap(), None));
    }

    #[test]
    fn what_is_no_contest_is_refused() {
        let good = contest(Rates::Own);
        let message = |change: fn(&mut Contest)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.validate().unwrap_err().to_string()
        };
        assert!(message(|c| c.entrants.truncate(1)).contains("a comparison of 1"));
        assert!(message(|c| c.entrants[1].name = "tuned".into()).contains("'tuned' takes part twice"));
        assert!(message(|c| c.seeds = 0).contains("0 seeds"));
        assert!(message(|c| c.search_seeds = 5000).contains("5000 search seeds"));
        assert!(message(|c| c.entrants[0].rates = Rates::Listed(vec![-1.0])).contains("tuned: the learning rate -1"));
        assert!(message(|c| c.first_seed = u64::MAX).contains("leaves no room"));
        assert_eq!(good.id(&Run { entrant: 1, stage: Stage::Final, rate: 0.01, seed: 5 }), "2-b_c-final-0.01-5");
        for (key, expect) in [("seeds", "'seeds'"), ("entrants", "'entrants'")] {
            let mut document = good.to_document().unwrap();
            document[key] = Value::Null;
            assert!(Contest::from_document(&document).unwrap_err().to_string().contains(expect));
        }
    }
}
