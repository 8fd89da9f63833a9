//! Batches of a data set, in the order of an epoch, made one ahead of their use.
//!
//! An epoch's order depends on the seed and the epoch alone, so a run that is
//! resumed at any step, with any number of threads, sees the same batches.

use std::ops::ControlFlow;

use super::Dataset;
use crate::error::{Error, Result};
use crate::parallel;
use crate::rng::Rng;

/// The order of an epoch's samples: `0..len`, shuffled (Fisher and Yates) by the stream `shuffle` of `rng`.
///
/// ```
/// use striate::{data::order, rng::Rng};
/// assert_eq!(order(5, &Rng::new(1), 3), order(5, &Rng::new(1), 3));
/// ```
pub fn order(len: u32, rng: &Rng, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..len).collect();
    rng.split("shuffle").split_at(epoch).shuffle(&mut order);
    order
}

/// Some samples at once, as a step takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The number of the batch in its epoch, from 0.
    pub step: usize,
    /// The samples, `[batch, ...shape]`; rows from `valid` on are 0.
    pub x: Vec<f32>,
    /// Their labels, `[batch]`; from `valid` on they are 0 and stand for nothing.
    pub labels: Vec<u32>,
    /// How many rows are samples; less than all in the last batch only.
    pub valid: usize,
}

/// Cuts a data set into batches.
///
/// ```
/// use std::ops::ControlFlow;
/// use striate::{data::{ImageSet, Loader, Preprocess}, rng::Rng};
/// let classes = vec!["dark".to_string(), "light".to_string()];
/// let set = ImageSet::new("dots", vec![0, 255, 9], vec![0, 1, 0], classes, Preprocess::new([1, 1, 1])?)?;
/// let loader = Loader::new(&set, 2)?.shuffled(Rng::new(0));
/// let mut seen = 0;
/// loader.run(0, 0, |batch| {
///     seen += batch.valid;
///     Ok(ControlFlow::Continue(()))
/// })?;
/// assert_eq!((loader.steps(), seen), (2, 3));
/// # Ok::<(), striate::Error>(())
/// ```
pub struct Loader<'a> {
    data: &'a dyn Dataset,
    batch: usize,
    shuffle: Option<Rng>,
    ahead: bool,
}

impl<'a> Loader<'a> {
    /// Batches of `batch` samples in the order of the set, made one ahead on a thread of their own.
    ///
    /// # Errors
    /// `batch` is 0, or the set is empty or has more than 2^32 - 1 samples.
    pub fn new(data: &'a dyn Dataset, batch: usize) -> Result<Self> {
        if batch == 0 {
            return Err(Error::argument("a batch of 0 samples").with_help("give a batch size of at least 1"));
        }
        if data.is_empty() {
            return Err(Error::argument(format!("there is no sample in {}", data.name())));
        }
        if u32::try_from(data.len()).is_err() {
            return Err(Error::argument(format!("{} samples are more than the 4294967295 allowed", data.len())));
        }
        Ok(Self { data, batch, shuffle: None, ahead: true })
    }

    /// The same with each epoch in an order of its own; see [`order`].
    #[must_use]
    pub fn shuffled(mut self, rng: Rng) -> Self {
        self.shuffle = Some(rng);
        self
    }

    /// The same batches, each made only when it is asked for, on the calling thread.
    #[must_use]
    pub fn in_turn(mut self) -> Self {
        self.ahead = false;
        self
    }

    /// Batches in an epoch: `ceil(len / batch)`, 938 for MNIST in batches of 64 (E12).
    pub fn steps(&self) -> usize {
        self.data.len().div_ceil(self.batch)
    }

    /// Calls `step` with the batches of an epoch, from number `start` on, until it breaks.
    ///
    /// # Errors
    /// The first error of `step` or of the data set; without [`Loader::in_turn`] also a panic of the data set.
    pub fn run(
        &self,
        epoch: u64,
        start: usize,
        mut step: impl FnMut(&Batch) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let len = self.data.len() as u32;
        let order = self.shuffle.as_ref().map_or_else(|| (0..len).collect(), |rng| order(len, rng, epoch));
        let make = |i: usize, batch: &mut Batch| self.fill(&order, i, batch);
        if self.ahead {
            return parallel::ahead([self.empty(), self.empty()], start..self.steps(), make, step);
        }
        let mut batch = self.empty();
        for i in start..self.steps() {
            make(i, &mut batch)?;
            if step(&batch)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn empty(&self) -> Batch {
        let x = vec![0.0; self.batch * self.data.shape().len()];
        Batch { step: 0, x, labels: vec![0; self.batch], valid: 0 }
    }

    fn fill(&self, order: &[u32], step: usize, batch: &mut Batch) -> Result<()> {
        let first = step * self.batch;
        let chosen = &order[first..(first + self.batch).min(order.len())];
        let size = self.data.shape().len();
        (batch.step, batch.valid) = (step, chosen.len());
        for ((i, x), label) in chosen.iter().zip(batch.x.chunks_exact_mut(size)).zip(&mut batch.labels) {
            let i = *i as usize;
            self.data.fill(i, x).map_err(|e| e.within(format!("sample {i} of {}", self.data.name())))?;
            *label = self.data.label(i);
        }
        batch.x[chosen.len() * size..].fill(0.0);
        batch.labels[chosen.len()..].fill(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::set::tests::numbered;
    use crate::tensor::Shape;

    fn batches(loader: &Loader<'_>, epoch: u64, start: usize) -> Vec<Batch> {
        let mut seen = Vec::new();
        let outcome = loader.run(epoch, start, |batch| {
            seen.push(batch.clone());
            Ok(ControlFlow::Continue(()))
        });
        assert_eq!(outcome.unwrap(), ControlFlow::Continue(()));
        seen
    }

    #[test]
    fn ahead_and_in_turn_give_the_same_batches() {
        let set = numbered(23);
        let ahead = batches(&Loader::new(&set, 4).unwrap().shuffled(Rng::new(9)), 2, 0);
        let in_turn = batches(&Loader::new(&set, 4).unwrap().shuffled(Rng::new(9)).in_turn(), 2, 0);
        assert_eq!(ahead, in_turn);
        assert_eq!(ahead.iter().map(|b| b.valid).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 3]);
    }

    #[test]
    fn every_sample_comes_once_with_its_label_and_epochs_differ() {
        let set = numbered(50);
        let loader = Loader::new(&set, 8).unwrap().shuffled(Rng::new(1));
        let samples = |epoch| -> Vec<u32> {
            let rows = batches(&loader, epoch, 0).into_iter().flat_map(|b| {
                let rows: Vec<(f32, u32)> = b.x.chunks(4).map(|x| x[0]).zip(b.labels).take(b.valid).collect();
                rows
            });
            rows.map(|(x, label)| {
                let i = (x * 255.0).round() as u32;
                assert_eq!(label, i % 3);
                i
            })
            .collect()
        };
        assert_eq!(samples(0), order(50, &Rng::new(1), 0));
        assert_ne!(samples(0), samples(1));
        let mut all = samples(1);
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<u32>>());
    }

    #[test]
    fn a_resumed_epoch_goes_on_with_the_same_batches() {
        let set = numbered(41);
        let loader = Loader::new(&set, 6).unwrap().shuffled(Rng::new(3));
        let whole = batches(&loader, 5, 0);
        assert_eq!(batches(&loader, 5, 4), whole[4..]);
        assert!(batches(&loader, 5, 7).is_empty());
    }

    #[test]
    fn the_last_batch_is_short_and_padded_with_zeros() {
        let set = numbered(10);
        let last = batches(&Loader::new(&set, 4).unwrap(), 0, 0).pop().unwrap();
        assert_eq!((last.step, last.valid), (2, 2));
        assert_eq!(last.x[..8], [[8.0 / 255.0; 4], [9.0 / 255.0; 4]].concat());
        assert_eq!((&last.x[8..], &last.labels[2..]), (&[0.0; 8][..], &[0, 0][..]));
        let one = batches(&Loader::new(&set, 64).unwrap(), 0, 0);
        assert_eq!((one.len(), one[0].valid, one[0].x.len()), (1, 10, 256));
    }

    #[test]
    fn steps_of_an_epoch_e12_e15() {
        let steps = |n: usize, batch: usize| {
            let recipe = crate::data::Preprocess::new([1, 1, 1]).unwrap();
            let set = crate::data::ImageSet::new("n", vec![0; n], vec![0; n], vec!["a".into()], recipe).unwrap();
            Loader::new(&set, batch).unwrap().steps()
        };
        assert_eq!((steps(60_000, 64), steps(10_000, 32)), (938, 313));
    }

    #[test]
    fn bad_loaders_are_refused() {
        assert!(Loader::new(&numbered(3), 0).is_err());
        assert!(Loader::new(&numbered(0), 4).is_err());
    }

    /// A set whose sample 5 cannot be had.
    struct Broken {
        panics: bool,
    }

    impl Dataset for Broken {
        fn name(&self) -> &str {
            "broken"
        }
        fn len(&self) -> usize {
            8
        }
        fn shape(&self) -> Shape {
            Shape::from([1])
        }
        fn classes(&self) -> &[String] {
            &[]
        }
        fn label(&self, _: usize) -> u32 {
            0
        }
        fn fill(&self, i: usize, _: &mut [f32]) -> Result<()> {
            assert!(!(self.panics && i == 5), "sample 5 is gone");
            if i == 5 { Err(Error::argument("the disk is gone")) } else { Ok(()) }
        }
    }

    #[test]
    fn an_error_or_panic_of_the_data_set_is_an_error_of_the_run() {
        let run = |set: &Broken, in_turn: bool| {
            let loader = Loader::new(set, 2).unwrap();
            let loader = if in_turn { loader.in_turn() } else { loader };
            let mut steps = 0;
            let e = loader.run(0, 0, |_| {
                steps += 1;
                Ok(ControlFlow::Continue(()))
            });
            (steps, e.unwrap_err().to_string())
        };
        for in_turn in [false, true] {
            assert_eq!(
                run(&Broken { panics: false }, in_turn),
                (2, "sample 5 of broken: the disk is gone".to_string())
            );
        }
        let (steps, message) = run(&Broken { panics: true }, false);
        assert!(steps == 2 && message.contains("sample 5 is gone"), "{message}");
    }

    #[test]
    fn a_run_stops_when_the_step_says_so() {
        let set = numbered(40);
        for loader in [Loader::new(&set, 4).unwrap(), Loader::new(&set, 4).unwrap().in_turn()] {
            let outcome =
                loader.run(0, 0, |b| Ok(if b.step == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }));
            assert_eq!(outcome.unwrap(), ControlFlow::Break(()));
        }
    }
}
