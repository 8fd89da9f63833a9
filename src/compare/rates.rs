//! Learning rates: which are tried, and where the search ends.
//!
//! Rates stand on a ladder of 1 and 3 in each decade: rung 0 is 1, rung -1 is 0.3, rung -6 is 0.001. A search starts
//! with a few rungs, and goes on while the best of them is the last on its side.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::train::Optimizer;
use crate::train::optim::Sgd;

/// How an entrant gets its learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rates {
    /// The one of its settings.
    Own,
    /// The best of these, in rising order.
    Listed(Vec<f32>),
    /// The best of these rungs, and of up to [`REACH`] more on the side of the best.
    Ladder {
        /// The lowest rung to start with.
        low: i32,
        /// The highest rung to start with.
        high: i32,
    },
}

/// Rungs that a search may go beyond its start.
pub const REACH: i32 = 4;

/// The rate of a rung.
///
/// ```
/// use striate::compare::rung;
/// assert_eq!([rung(0), rung(-1), rung(-5), rung(-6)], [1.0, 0.3, 0.003, 0.001]);
/// ```
pub fn rung(i: i32) -> f32 {
    let digit = if i.rem_euclid(2) == 0 { 1 } else { 3 };
    // Read from text, so that 0.003 is the f32 that a user's 0.003 is.
    format!("{digit}e{}", i.div_euclid(2)).parse().unwrap_or(0.0)
}

impl Rates {
    /// The rates to try first.
    pub fn start(&self) -> Vec<f32> {
        match self {
            Self::Own => Vec::new(),
            Self::Listed(rates) => rates.clone(),
            Self::Ladder { low, high } => (*low..=*high).map(rung).collect(),
        }
    }

    /// The rate to try after these, in rising order, if the best of them was `best`: the next rung beyond an end.
    pub(super) fn beyond(&self, tried: &[f32], best: f32) -> Option<f32> {
        let Self::Ladder { low, high } = *self else { return None };
        let rungs = low - REACH..=high + REACH;
        let at = rungs.clone().find(|i| rung(*i) == best)?;
        [at - 1, at + 1].into_iter().find(|i| rungs.contains(i) && !tried.contains(&rung(*i))).map(rung)
    }

    /// Checks the rates.
    ///
    /// # Errors
    /// A rate is not a number above 0, or one occurs twice, or there is none.
    pub fn validate(&self) -> Result<()> {
        let rates = self.start();
        if let Some(rate) = rates.iter().find(|r| !r.is_finite() || **r <= 0.0) {
            return Err(Error::argument(format!("the learning rate {rate} trains nothing"))
                .with_help("give rates above 0, such as 0.001,0.01,0.1"));
        }
        if rates.windows(2).any(|w| w[0] >= w[1]) {
            return Err(Error::argument(format!("the learning rates {rates:?} do not rise"))
                .with_help("give each rate once, the smallest first"));
        }
        if rates.is_empty() && *self != Self::Own {
            return Err(Error::argument("there is no learning rate to try").with_help("give at least one"));
        }
        Ok(())
    }
}

/// The names of all optimisers that are compared: those of the library, and `momentum`, which is `sgd` with 0.9 of it.
pub const OPTIMIZERS: [&str; 9] =
    ["sgd", "momentum", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam", "adamax"];

/// The optimiser of a name (one of [`OPTIMIZERS`], or as [`str::parse`] takes it), with the rungs that are tried first:
/// two above and two below where it is known to work.
///
/// # Errors
/// The name is unknown; the nearest known one is suggested.
pub fn optimizer(name: &str) -> Result<(Optimizer, Rates)> {
    let optimizer = match name.to_lowercase().as_str() {
        "momentum" => Sgd { momentum: 0.9, ..Sgd::default() }.into(),
        _ => name.parse().map_err(|e: Error| match e.help() {
            Some(_) => crate::error::unknown("optimiser", name, OPTIMIZERS),
            None => e,
        })?,
    };
    let middle = match optimizer {
        Optimizer::Sgd(Sgd { momentum, .. }) if momentum > 0.0 => -4,
        Optimizer::Sgd(_) => -2,
        Optimizer::Adadelta(_) => 0,
        Optimizer::Adagrad(_) => -4,
        Optimizer::Adamax(_) => -5,
        Optimizer::Rmsprop(_) | Optimizer::Adam(_) | Optimizer::AdamW(_) | Optimizer::Nadam(_) => -6,
    };
    Ok((optimizer, Rates::Ladder { low: middle - 2, high: middle + 2 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_goes_on_from_its_ends_and_stops_at_its_reach() {
        let ladder = Rates::Ladder { low: -2, high: 0 };
        assert_eq!(ladder.start(), [0.1, 0.3, 1.0]);
        assert_eq!(ladder.beyond(&[0.1, 0.3, 1.0], 0.3), None);
        assert_eq!(ladder.beyond(&[0.1, 0.3, 1.0], 1.0), Some(3.0));
        assert_eq!(ladder.beyond(&[0.1, 0.3, 1.0], 0.1), Some(0.03));
        let all: Vec<f32> = (-6..=4).map(rung).collect();
        assert_eq!((ladder.beyond(&all, 0.001), ladder.beyond(&all, 100.0)), (None, None));
        assert_eq!(Rates::Listed(vec![0.1, 1.0]).beyond(&[0.1, 1.0], 1.0), None);
    }

    #[test]
    fn rates_that_train_nothing_are_refused() {
        for (rates, expect) in [
            (vec![0.1, 0.0], "0 trains nothing"),
            (vec![f32::NAN], "NaN"),
            (vec![-1.0], "-1"),
            (vec![0.1, 0.1], "do not rise"),
            (vec![], "no learning rate"),
        ] {
            let e = Rates::Listed(rates).validate().unwrap_err().to_string();
            assert!(e.contains(expect), "{e}");
        }
        Rates::Own.validate().unwrap();
    }

    // E17: the old name of TensorFlow too. E18: all of them.
    #[test]
    fn every_optimiser_has_its_name_and_its_rates_e17_e18() {
        assert_eq!(optimizer("RMSPropOptimizer").unwrap().0.name(), "rmsprop");
        let mut kinds: Vec<&str> = OPTIMIZERS.iter().map(|n| optimizer(n).unwrap().0.name()).collect();
        kinds.dedup();
        kinds.sort_unstable();
        let mut all = Optimizer::NAMES.to_vec();
        all.sort_unstable();
        assert_eq!(kinds, all);
        let e = optimizer("momentun").unwrap_err().to_string();
        assert!(e.contains("did you mean 'momentum'?"), "{e}");
    }
}
