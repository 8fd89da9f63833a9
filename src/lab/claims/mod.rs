//! Claims of the notes as experiments that print their verdict.
//!
//! ```text
//! Claim                what is said, how it is tried, what to keep in mind
//!   └ run              trains small networks on MNIST, once for each seed
//!      └ Report        samples (one value for each seed) with means and intervals, findings, verdict, picture
//! ```
//!
//! A claim is cut into statements. Each is judged by one number and a rule that is printed with it ([`Finding`]), and
//! the verdict on the claim follows from theirs ([`Verdict::of_all`]); nothing is decided beforehand. Networks that are
//! compared get the same seed, so they are compared pair by pair. The same settings give the same bits.
//!
//! - [`claims`]: all of them; [`claim`]: one by its name.
//! - [`run`]: tries one.

mod bench;
mod epochs;
mod flatten;
mod interval;
mod kinds;
mod nets;
mod normalisation;
mod overfit;
mod pooling;
mod report;
mod residual;
mod shift;
mod verdict;
mod views;
mod weights;

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::data;
use crate::error::{Error, Result, unknown};
use crate::session::Machine;
use crate::visual::{DotRow, Picture, Unit};
use bench::Bench;

pub use interval::Estimate;
pub use verdict::{Finding, Verdict};

/// Something that is said of convolutional networks, and how it is tried.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Claim {
    /// The name on the command line.
    pub name: &'static str,
    /// The claim in a few words.
    pub title: &'static str,
    /// The claim as the notes make it.
    pub says: &'static str,
    /// What is measured, and how.
    pub measured: &'static str,
    /// What the numbers do not say.
    pub caveat: &'static str,
    /// Runs of each network, unless others are asked for.
    pub seeds: u32,
    /// Updates of each run, unless others are asked for.
    pub updates: u64,
    #[serde(skip)]
    run: fn(&mut Bench<'_>) -> Result<Evidence>,
}

/// How a claim is tried.
#[derive(Debug, Clone, Default)]
pub struct ClaimConfig {
    /// How often each network is trained; what the claim says if not given.
    pub seeds: Option<u32>,
    /// Updates of each training; what the claim says if not given.
    pub updates: Option<u64>,
    /// The first seed; the others follow it.
    pub seed: u64,
    /// A fifth of the updates, 3 seeds, and 2,000 test images, where nothing else is asked for.
    pub quick: bool,
    /// The machine.
    pub machine: Machine,
}

/// One value for each seed; or one value alone, where chance has no part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// What was measured.
    pub what: String,
    /// The values in the order of the seeds.
    pub values: Vec<f64>,
    /// Their mean and its interval.
    #[serde(flatten)]
    pub estimate: Estimate,
    #[serde(skip)]
    unit: Unit,
}

/// A line of the picture in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// What it shows.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

// What an experiment gives.
struct Evidence {
    samples: Vec<Sample>,
    findings: Vec<Finding>,
    facts: Vec<String>,
    curves: Vec<Curve>,
    picture: Picture,
}

/// What trying a claim gave.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The claim.
    #[serde(flatten)]
    pub claim: &'static Claim,
    /// The seeds that were run.
    #[serde(rename = "ran_seeds")]
    pub seeds: Vec<u64>,
    /// Updates of each training.
    #[serde(rename = "ran_updates")]
    pub updates: u64,
    /// Images that accuracies are measured on.
    pub test_images: usize,
    /// Whether it was stopped before all seeds were done.
    pub stopped: bool,
    /// What the numbers say of the claim.
    pub verdict: Verdict,
    /// What they say of each of its statements.
    pub findings: Vec<Finding>,
    /// The numbers.
    pub samples: Vec<Sample>,
    /// Numbers in which chance has no part, in words.
    pub facts: Vec<String>,
    /// The lines of the picture.
    pub curves: Vec<Curve>,
    /// The picture.
    #[serde(skip)]
    pub picture: Picture,
}

const CLAIMS: [&Claim; 9] = [
    &shift::CLAIM,
    &kinds::CLAIM,
    &pooling::CLAIM,
    &flatten::CLAIM,
    &weights::CLAIM,
    &overfit::CLAIM,
    &epochs::CLAIM,
    &normalisation::CLAIM,
    &residual::CLAIM,
];

/// All claims.
pub fn claims() -> &'static [&'static Claim] {
    &CLAIMS
}

/// The claim of this name.
///
/// # Errors
/// There is none; the nearest name is suggested.
pub fn claim(name: &str) -> Result<&'static Claim> {
    CLAIMS.iter().find(|c| c.name == name).copied().ok_or_else(|| unknown("claim", name, CLAIMS.iter().map(|c| c.name)))
}

/// Tries a claim on MNIST. `told` hears what is being trained; once `stop` is true no further seed is begun.
///
/// ```
/// use striate::lab::claims::{ClaimConfig, claim, run};
/// let config = ClaimConfig { seeds: Some(1), updates: Some(2), quick: true, ..ClaimConfig::default() };
/// let report = run(claim("pooling")?, &config, None, &mut |_| {})?;
/// // What two updates of one run say is nothing, but sizes are known without any.
/// assert_eq!(report.verdict.words(), "not decided");
/// assert!(report.findings[0].verdict.words() == "holds");
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// A setting is out of range, the run was stopped before three seeds were done, or a training diverged.
pub fn run(
    claim: &'static Claim,
    config: &ClaimConfig,
    stop: Option<&AtomicBool>,
    told: &mut dyn FnMut(&str),
) -> Result<Report> {
    let (seeds, updates) = sizes(claim, config)?;
    let split = data::load("mnist")?;
    let (train, test) = (split.train.len(), split.test.len());
    let split = if config.quick { split.first(train, test.min(2000)) } else { split };
    let test_images = split.test.len();
    let mut bench = Bench::new(split, config.machine.clone(), stop, told);
    bench.seeds = (0..u64::from(seeds)).map(|i| config.seed.wrapping_add(i)).collect();
    bench.updates = updates;
    let Evidence { samples, findings, facts, curves, picture } = (claim.run)(&mut bench)?;
    let verdict = Verdict::of_all(&findings);
    let (seeds, updates, stopped) = (bench.seeds, bench.updates, bench.stopped);
    Ok(Report { claim, seeds, updates, test_images, stopped, verdict, findings, samples, facts, curves, picture })
}

fn sizes(claim: &Claim, config: &ClaimConfig) -> Result<(u32, u64)> {
    let (seeds, updates) =
        if config.quick { (claim.seeds.min(3), claim.updates / 5) } else { (claim.seeds, claim.updates) };
    let (seeds, updates) = (config.seeds.unwrap_or(seeds), config.updates.unwrap_or(updates));
    if !(1..=1000).contains(&seeds) {
        return Err(Error::argument(format!("{seeds} seeds cannot be run"))
            .with_help("give 1 to 1000; fewer than 3 decide nothing"));
    }
    if !(1..=1_000_000).contains(&updates) {
        return Err(Error::argument(format!("{updates} updates cannot be run")).with_help("give 1 to 1,000,000"));
    }
    Ok((seeds, updates))
}

impl Sample {
    fn new(what: impl Into<String>, unit: Unit, values: Vec<f64>) -> Self {
        Self { what: what.into(), estimate: Estimate::of(&values), values, unit }
    }

    // As a row of a dot plot.
    fn row(&self, name: impl Into<String>, colour: usize) -> DotRow {
        let Estimate { mean, interval, .. } = self.estimate;
        let (name, note) = (name.into(), verdict::number(mean, self.unit));
        DotRow { name, mean, interval, values: self.values.clone(), note, colour }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> ClaimConfig {
        ClaimConfig { seeds: Some(2), updates: Some(3), quick: true, ..ClaimConfig::default() }
    }

    // Every claim runs, says who it is, and decides nothing by two seeds of three updates, sizes and counts apart.
    #[test]
    fn every_claim_runs_and_two_seeds_decide_nothing_that_depends_on_chance() {
        for claim in claims() {
            let mut heard = 0;
            let report = run(claim, &tiny(), None, &mut |_| heard += 1).unwrap();
            assert!(heard >= 2 && report.seeds == [0, 1], "{}", claim.name);
            for finding in &report.findings {
                let by_chance = finding.because.contains("the least that decide");
                assert_eq!(by_chance, finding.verdict == Verdict::Undecided, "{}: {finding:?}", claim.name);
            }
            assert!(report.findings.iter().any(|f| f.verdict == Verdict::Undecided), "{}", claim.name);
            assert_eq!(report.verdict, Verdict::of_all(&report.findings));
            assert!(report.samples.iter().all(|s| matches!(s.values.len(), 1 | 2)), "{}", claim.name);
            crate::visual::tests::assert_sound(&report.picture);
            let text = report.to_string();
            for wanted in [claim.title, "The notes say", "Verdict: ", "Caveat"] {
                assert!(text.contains(wanted), "{}: {wanted} in\n{text}", claim.name);
            }
            assert!(text.lines().all(|l| l.chars().count() <= 120), "{}:\n{text}", claim.name);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_on_any_number_of_threads() {
        let with = |threads| {
            let machine = Machine { threads, ..Machine::default() };
            run(claim("normalisation").unwrap(), &ClaimConfig { machine, ..tiny() }, None, &mut |_| {}).unwrap()
        };
        let (a, b) = (with(1), with(2));
        assert_eq!((a.samples, a.curves, a.picture), (b.samples, b.curves, b.picture));
    }

    #[test]
    fn bad_settings_and_names_are_refused_and_a_stop_is_told() {
        assert!(claim("shfit").unwrap_err().to_string().contains("did you mean 'shift'"));
        let refused = |config| run(claim("shift").unwrap(), &config, None, &mut |_| {}).unwrap_err().to_string();
        assert!(refused(ClaimConfig { seeds: Some(0), ..tiny() }).contains("0 seeds cannot be run"));
        assert!(refused(ClaimConfig { updates: Some(0), ..tiny() }).contains("0 updates cannot be run"));
        let stop = AtomicBool::new(true);
        let error = run(claim("shift").unwrap(), &tiny(), Some(&stop), &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Stopped);
    }

    // What three seeds gave before the stop is kept.
    #[test]
    fn a_stop_after_three_seeds_loses_nothing() {
        let stop = AtomicBool::new(false);
        let config = ClaimConfig { seeds: Some(9), ..tiny() };
        let mut told = |what: &str| {
            if what.starts_with("seed 4") {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        };
        let report = run(claim("pooling").unwrap(), &config, Some(&stop), &mut told).unwrap();
        assert!(report.stopped && report.seeds == [0, 1, 2]);
        assert!(report.samples.iter().all(|s| matches!(s.values.len(), 1 | 3)));
    }
}
