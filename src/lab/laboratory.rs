//! The laboratory: one geometry, one pass, every algorithm.
//!
//! Algorithms run in turn, round after round, so that a machine that slows down slows them all. The error is that of
//! outputs computed in f64 by the formula (`sample.rs`), as a share of the largest of them: `max |y - y64| / max |y64|`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::sample::output;
use super::{Cost, Floor, Samples, Speed, fft, speed};
use crate::conv::{self, Finish, Geometry, Kernel, Machine, Pass, Work, choose};
use crate::error::{Result, unknown};
use crate::parallel::Pool;
use crate::rng::Rng;
use crate::simd::Isa;

const ROUNDS: usize = 5;
// What plain loops do in a second, roughly; where they would need longer than this they are left out.
const PLAIN_RATE: f64 = 3e8;
const PATIENCE: f64 = 1.0;

/// How thoroughly the laboratory works.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long each algorithm is timed; a single run may take longer.
    pub time: Duration,
    /// The only algorithm to run besides the engine's choice, where not all are wanted.
    pub algorithm: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { time: Duration::from_millis(200), algorithm: None }
    }
}

/// The names of the algorithms of the laboratory: the engine's, then those that are here alone.
pub fn algorithms() -> Vec<&'static str> {
    conv::algorithms().into_iter().chain([fft::NAME]).collect()
}

/// Runs convolutions on a machine whose speed is known.
pub struct Laboratory {
    pool: Pool,
    isa: Isa,
    speed: Speed,
    settings: Settings,
}

/// What came out for one geometry and pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The geometry.
    pub geometry: Geometry,
    /// The pass.
    pub pass: Pass,
    /// What has to be done.
    pub cost: Cost,
    /// The least time that it takes.
    pub floor: Floor,
    /// The outputs whose errors were measured.
    pub samples: Samples,
    /// The algorithm that the engine chooses.
    pub choice: &'static str,
    /// The algorithms, in the order of the list.
    pub trials: Vec<Trial>,
}

/// An algorithm and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its name.
    pub algorithm: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an algorithm.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It ran.
    Measured(Measured),
    /// It refused, for this reason.
    Refused(String),
    /// It was not run, for this reason.
    LeftOut(String),
}

/// The measurements of an algorithm.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The median of the runs, in milliseconds.
    pub median: f64,
    /// A tenth of the runs are faster than this.
    pub p10: f64,
    /// A tenth of the runs are slower than this.
    pub p90: f64,
    /// The number of runs.
    pub runs: usize,
    /// Bytes of scratch: packed weights, strips, matrices, spectra.
    pub scratch: usize,
    /// The largest error of a sampled output, as a share of the largest output.
    pub error: f64,
}

impl Measured {
    /// GFLOP/s of a cost done in the median time.
    pub fn gflops(&self, cost: Cost) -> f64 {
        cost.flop() / self.median / 1e6
    }
}

impl Laboratory {
    /// A laboratory on a pool of threads and an instruction set; it measures their speed.
    ///
    /// # Errors
    /// The settings name an algorithm that there is not.
    ///
    /// ```
    /// use std::time::Duration;
    /// use striate::{conv::Pass, lab::{Laboratory, Outcome, Settings}, parallel::Pool, simd::Isa};
    /// let settings = Settings { time: Duration::from_millis(1), ..Settings::default() };
    /// let lab = Laboratory::new(Pool::new(1)?, Isa::best(), settings)?;
    /// let experiment = lab.run(&"h9 w9 ic4 oc8 k3 psame".parse()?, Pass::Forward)?;
    /// let reference = experiment.trials.iter().find(|t| t.algorithm == "reference").unwrap();
    /// assert!(matches!(&reference.outcome, Outcome::Measured(m) if m.error < 1e-6));
    /// # Ok::<(), striate::Error>(())
    /// ```
    pub fn new(pool: Pool, isa: Isa, settings: Settings) -> Result<Self> {
        if let Some(name) = settings.algorithm.as_deref().filter(|name| !algorithms().contains(name)) {
            return Err(unknown("convolution algorithm", name, algorithms()));
        }
        let speed = Speed::measure(&pool, isa);
        Ok(Self { pool, isa, speed, settings })
    }

    /// The speed of the machine.
    pub fn speed(&self) -> &Speed {
        &self.speed
    }

    /// The peak, measured anew in some milliseconds: a machine that others share has another one from minute to minute.
    pub fn peak(&self) -> f64 {
        speed::peak(&self.pool, self.isa)
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Runs every algorithm that accepts.
    ///
    /// # Errors
    /// The only algorithm that is wanted refuses.
    pub fn run(&self, geometry: &Geometry, pass: Pass) -> Result<Experiment> {
        let choice = choose(geometry, pass, self.machine(), None)?.algorithm;
        let cost = Cost::of(geometry);
        let data = Data::new(geometry, pass);
        let mut trials: Vec<Prepared> =
            algorithms().into_iter().map(|name| self.prepare(&data, name, choice)).collect();
        for _ in 0..ROUNDS {
            trials.iter_mut().for_each(|trial| self.round(&data, trial));
        }
        let trials = trials.into_iter().map(Prepared::finish).collect();
        let floor = Floor::new(cost, &self.speed);
        Ok(Experiment { geometry: *geometry, pass, cost, floor, samples: data.samples, choice, trials })
    }

    fn machine(&self) -> Machine {
        Machine { isa: self.isa, threads: self.pool.threads() }
    }

    // An algorithm with its first run, which warms up and gives the error; or why there is none.
    fn prepare(&self, data: &Data, algorithm: &'static str, choice: &str) -> Prepared {
        let accepted = self.accept(data, algorithm).map_err(Outcome::Refused).and_then(|kernel| {
            match self.why_not(data, algorithm, choice) {
                Some(reason) => Err(Outcome::LeftOut(reason)),
                None => Ok(kernel),
            }
        });
        let kernel = match accepted {
            Ok(kernel) => kernel,
            Err(outcome) => return Prepared { algorithm, state: Err(outcome) },
        };
        let (out, scratch) = (vec![0.0; data.pass.out_len(&data.geometry)], vec![0.0; kernel.work()]);
        let mut running = Running { kernel, out, scratch, times: Vec::new(), error: 0.0 };
        running.once(&self.pool, data);
        running.error = data.error(&running.out);
        Prepared { algorithm, state: Ok(running) }
    }

    fn accept(&self, data: &Data, algorithm: &str) -> Result<Box<dyn Kernel>, String> {
        let (g, pass) = (&data.geometry, data.pass);
        if algorithm == fft::NAME {
            return fft::accept(g, pass, self.machine());
        }
        choose(g, pass, self.machine(), Some(algorithm)).map(|choice| choice.kernel).map_err(|e| {
            let start = format!("algorithm '{algorithm}' refuses {pass} of {g}: ");
            e.message().strip_prefix(&start).unwrap_or(e.message()).to_string()
        })
    }

    fn why_not(&self, data: &Data, algorithm: &str, choice: &str) -> Option<String> {
        let wanted = self.settings.algorithm.as_deref();
        if wanted.is_some_and(|wanted| wanted != algorithm) && choice != algorithm {
            return Some("not asked for".into());
        }
        let seconds = data.geometry.mul_adds() as f64 / PLAIN_RATE;
        let slow = algorithm == "reference" && seconds > PATIENCE && wanted.is_none() && choice != algorithm;
        slow.then(|| format!("plain loops would take some {seconds:.0} s a run; ask for it by name"))
    }

    fn round(&self, data: &Data, trial: &mut Prepared) {
        let Ok(running) = &mut trial.state else { return };
        let (start, share) = (Instant::now(), self.settings.time / ROUNDS as u32);
        loop {
            running.once(&self.pool, data);
            if start.elapsed() >= share {
                break;
            }
        }
    }
}

// The inputs of a pass, and the outputs that are known in f64.
struct Data {
    geometry: Geometry,
    pass: Pass,
    inputs: [Vec<f32>; 2],
    samples: Samples,
    expect: Vec<f64>,
}

impl Data {
    fn new(geometry: &Geometry, pass: Pass) -> Self {
        let g = geometry;
        let (a, b) = match pass {
            Pass::Forward => (g.x_len(), g.w_len()),
            Pass::BackwardInput => (g.y_len(), g.w_len()),
            Pass::BackwardWeights => (g.x_len(), g.y_len()),
        };
        let mut rng = Rng::new(0);
        let inputs = [a, b].map(|len| (0..len).map(|_| rng.uniform() - 0.5).collect::<Vec<f32>>());
        let samples = Samples::new(g, pass);
        let expect = samples.places().map(|at| output(g, pass, [&inputs[0], &inputs[1]], at)).collect();
        Self { geometry: *geometry, pass, inputs, samples, expect }
    }

    fn error(&self, out: &[f32]) -> f64 {
        let pairs = || self.samples.places().map(|at| f64::from(out[at])).zip(&self.expect);
        let worst = pairs().map(|(y, expect)| (y - expect).abs()).fold(0.0, f64::max);
        let largest = self.expect.iter().map(|y| y.abs()).fold(f64::MIN_POSITIVE, f64::max);
        // A NaN would be lost in a maximum.
        if pairs().any(|(y, _)| y.is_nan()) { f64::NAN } else { worst / largest }
    }
}

struct Prepared {
    algorithm: &'static str,
    state: Result<Running, Outcome>,
}

struct Running {
    kernel: Box<dyn Kernel>,
    out: Vec<f32>,
    scratch: Vec<f32>,
    times: Vec<f64>,
    error: f64,
}

impl Running {
    fn once(&mut self, pool: &Pool, data: &Data) {
        let Self { kernel, out, scratch, .. } = self;
        let inputs = [&data.inputs[0][..], &data.inputs[1]];
        let ms = pool.run(|team| {
            let start = Instant::now();
            kernel.run(team, Work { inputs, packed: &[], out, finish: Finish::default(), scratch });
            start.elapsed().as_secs_f64() * 1e3
        });
        black_box(&self.out);
        self.times.push(ms);
    }
}

impl Prepared {
    fn finish(self) -> Trial {
        let algorithm = self.algorithm;
        let outcome = match self.state {
            Err(outcome) => outcome,
            Ok(Running { mut times, scratch, error, .. }) => {
                // The first run met cold memory.
                times.remove(0);
                times.sort_by(f64::total_cmp);
                let at = |share: f64| times[(share * (times.len() - 1) as f64).round() as usize];
                let scratch = scratch.len() * size_of::<f32>();
                let (median, p10, p90) = (at(0.5), at(0.1), at(0.9));
                Outcome::Measured(Measured { median, p10, p90, runs: times.len(), scratch, error })
            }
        };
        Trial { algorithm, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab(algorithm: Option<&str>) -> Laboratory {
        let settings = Settings { time: Duration::from_millis(1), algorithm: algorithm.map(String::from) };
        Laboratory::new(Pool::new(2).unwrap(), Isa::best(), settings).unwrap()
    }

    #[test]
    fn every_algorithm_that_accepts_is_measured_and_right() {
        let lab = lab(None);
        for text in ["n2 h9 w8 ic6 oc10 k3 psame", "h12 w12 ic8 oc8 k3 psame g8", "n2 h9 w9 ic4 oc6 k5x3 s2 p2,1,0,1"] {
            for pass in Pass::ALL {
                let experiment = lab.run(&text.parse().unwrap(), pass).unwrap();
                assert_eq!(experiment.trials.iter().map(|t| t.algorithm).collect::<Vec<_>>(), algorithms());
                let mut measured = 0;
                for trial in &experiment.trials {
                    match &trial.outcome {
                        Outcome::Measured(m) => {
                            measured += 1;
                            assert!(m.error < 1e-5, "{} of {text} {pass}: {}", trial.algorithm, m.error);
                            assert!(m.runs >= ROUNDS && m.p10 <= m.median && m.median <= m.p90);
                        }
                        Outcome::Refused(reason) => assert!(!reason.is_empty() && !reason.contains("refuses")),
                        Outcome::LeftOut(reason) => panic!("{}: {reason}", trial.algorithm),
                    }
                }
                assert!(measured >= 2, "{text} {pass}: {:?}", experiment.trials);
            }
        }
    }

    #[test]
    fn slow_loops_are_left_out_unless_they_are_asked_for() {
        let g: Geometry = "n8 h28 w28 ic64 oc160 k3 psame".parse().unwrap();
        let outcome = |lab: &Laboratory, name: &str| {
            let experiment = lab.run(&g, Pass::Forward).unwrap();
            experiment.trials.into_iter().find(|t| t.algorithm == name).unwrap().outcome
        };
        assert!(g.mul_adds() as f64 > PLAIN_RATE * PATIENCE);
        assert!(matches!(outcome(&lab(None), "reference"), Outcome::LeftOut(_)));
        let lowered = lab(Some("lowered"));
        assert!(matches!(outcome(&lowered, "lowered"), Outcome::Measured(_)));
        assert!(matches!(outcome(&lowered, "reference"), Outcome::LeftOut(_)));
        let error = Laboratory::new(
            Pool::new(1).unwrap(),
            Isa::best(),
            Settings { algorithm: Some("lowred".into()), ..Settings::default() },
        );
        assert!(error.err().unwrap().to_string().contains("did you mean 'lowered'"));
    }

    #[test]
    fn a_nan_is_an_error_that_shows() {
        let g: Geometry = "h3 w3 ic1 oc1 k1".parse().unwrap();
        let data = Data::new(&g, Pass::Forward);
        let mut y = vec![0.0; 9];
        assert!(data.error(&y) > 0.5);
        y[4] = f32::NAN;
        assert!(data.error(&y).is_nan());
    }
}
