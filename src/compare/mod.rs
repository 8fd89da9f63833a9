//! Comparisons that can be believed: which optimiser, setting or model is best (E18)?
//!
//! One run says little: another seed gives another accuracy. Here each entrant is trained with several seeds and on
//! equal terms, and the answer says what is known and what is not:
//!
//! - [`Contest`]: who takes part, and which run comes next. Each entrant first looks for its learning rate on a
//!   validation set, with seeds of its own; then it is trained with the seeds of the result, which are the same for all,
//!   so that runs are *paired*: the same weights to start with (where the networks are the same), the same order of images.
//! - [`Contest::train`]: one run, measured on the test set. A run whose numbers go bad is a result: it diverged.
//! - [`Report`]: means with intervals, all pairs tested ([`paired_t`], [`sign_flip`], [`Discordant`] for single models)
//!   with Holm's correction, and the verdict in words.
//! - [`curves`], [`dots`], [`rates_tried`]: the figures.
//!
//! Two optimisers, five updates, two seeds:
//!
//! ```
//! use striate::compare::{Contest, Course, Entrant, Metric, Outcomes, Parts, Rates, Report, optimizer};
//! use striate::session::Machine;
//! use striate::train::{Callback, Event};
//! use striate::{data, zoo};
//!
//! struct Silent;
//! impl Callback for Silent {
//!     fn on(&mut self, _: &Event<'_>) -> striate::Result<std::ops::ControlFlow<()>> {
//!         Ok(std::ops::ControlFlow::Continue(()))
//!     }
//! }
//!
//! let digits = data::load("mnist")?.first(500, 100);
//! let entrant = |name: &str| -> striate::Result<Entrant> {
//!     let mut recipe = zoo::recipe("keras-mnist")?;
//!     (recipe.train.updates, recipe.train.optimizer) = (Some(5), optimizer(name)?.0);
//!     Ok(Entrant { name: name.into(), recipe, rates: Rates::Own })
//! };
//! let entrants = vec![entrant("sgd")?, entrant("adam")?];
//! let contest = Contest { entrants, seeds: 2, first_seed: 0, search_seeds: 1 };
//! let parts = Parts { train: digits.train, validation: None, test: digits.test };
//! let course = Course { parts: &parts, machine: Machine::default(), stop: None, checkpoint: None };
//! let mut done = Outcomes::new();
//! while let Some(run) = contest.next(&done) {
//!     done.insert(contest.id(&run), contest.train(&run, &course, &mut Silent)?);
//! }
//! let report = Report::of(&contest, &done, Metric::Accuracy)?;
//! assert_eq!((report.rows.len(), report.pairs.len()), (2, 1));
//! println!("{}\n{}", report.table(), report.verdict().join("\n"));
//! # Ok::<(), striate::Error>(())
//! ```

mod contest;
mod figures;
mod rates;
mod report;
mod run;
mod special;
mod stats;
mod table;
mod verdict;

pub use contest::{Choice, Contest, Edge, Entrant, Outcomes, Run, Stage, Tried};
pub use figures::{curves, dots, rates_tried};
pub use rates::{OPTIMIZERS, REACH, Rates, optimizer, rung};
pub use report::{Metric, Pair, Report, Row, Test};
pub use run::{Course, Hits, Measured, Outcome, Parts, Training, measure};
pub use stats::{ALPHA, CONFIDENCE, Discordant, Mean, PairedT, SignFlip, holm, paired_t, sign_flip};
