//! What was measured on one side of a row, in all rounds, and how two sides compare.

use serde_json::{Value, json};

/// One side of a row: who, in which variant, with all its rounds.
#[derive(Debug, Clone)]
pub struct Side {
    pub row: String,
    pub peer: String,
    pub variant: String,
    pub version: String,
    pub threads: usize,
    /// Median, p10 and p90 in milliseconds and the peak of memory in MB, for each round.
    pub rounds: Vec<[f64; 4]>,
}

/// How many times another side's time is ours: the median of the rounds' ratios, and the lowest and the highest of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Side {
    /// The median of the rounds' medians.
    pub fn median(&self) -> f64 {
        median(self.rounds.iter().map(|round| round[0]).collect())
    }

    /// The lowest p10 and the highest p90.
    pub fn spread(&self) -> [f64; 2] {
        let low = self.rounds.iter().map(|r| r[1]).fold(f64::MAX, f64::min);
        [low, self.rounds.iter().map(|r| r[2]).fold(0.0, f64::max)]
    }

    /// The least peak of memory.
    pub fn peak_mb(&self) -> f64 {
        self.rounds.iter().map(|r| r[3]).filter(|mb| *mb > 0.0).fold(f64::MAX, f64::min)
    }

    /// This side's time as a multiple of another's. A round of one meets the same round of the other, which ran within a
    /// moment of it, so that a machine that slows down for a while slows both.
    pub fn over(&self, other: &Side) -> Ratio {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios: Vec<f64> = pairs.map(|(this, other)| this[0] / other[0]).collect();
        let low = ratios.iter().copied().fold(f64::MAX, f64::min);
        let high = ratios.iter().copied().fold(0.0, f64::max);
        Ratio { median: median(ratios), low, high }
    }

    pub fn as_json(&self) -> Value {
        let round = |r: &[f64; 4]| json!({ "median_ms": r[0], "p10_ms": r[1], "p90_ms": r[2], "peak_mb": r[3] });
        json!({ "row": self.row, "peer": self.peer, "variant": self.variant, "version": self.version,
            "threads": self.threads, "rounds": self.rounds.iter().map(round).collect::<Vec<_>>() })
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().map(String::from);
        let round = |r: &Value| {
            Some([r["median_ms"].as_f64()?, r["p10_ms"].as_f64()?, r["p90_ms"].as_f64()?, r["peak_mb"].as_f64()?])
        };
        let rounds = value["rounds"].as_array()?.iter().map(round).collect::<Option<_>>()?;
        let threads = value["threads"].as_u64()? as usize;
        let (row, peer) = (text("row")?, text("peer")?);
        Some(Self { row, peer, variant: text("variant")?, version: text("version")?, threads, rounds })
    }
}

/// The value in the middle; of an even number, the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}
