//! Data sets seen otherwise: moved to the right, or with their pixels in another order.

use std::sync::Arc;

use crate::data::Dataset;
use crate::error::Result;
use crate::rng::Rng;
use crate::tensor::Shape;

/// Where each number of a sample is taken from.
pub(super) enum Order {
    /// Moved to the right by so many pixels; what comes in from the left is 0.
    Right(usize),
    /// One order for all samples: place `j` shows the number of place `order[j]`.
    Fixed(Vec<u32>),
    /// Another order for each sample.
    Each(Rng),
}

impl Order {
    /// An order of `len` places, drawn at random.
    pub fn fixed(len: usize, rng: Rng) -> Self {
        Self::Fixed(shuffled(len, rng))
    }
}

fn shuffled(len: usize, mut rng: Rng) -> Vec<u32> {
    let mut order: Vec<u32> = (0..len as u32).collect();
    rng.shuffle(&mut order);
    order
}

/// Another set with its samples rearranged; labels and classes are the same.
pub(super) struct View {
    of: Arc<dyn Dataset>,
    order: Order,
}

impl View {
    pub fn new(of: &Arc<dyn Dataset>, order: Order) -> Self {
        Self { of: Arc::clone(of), order }
    }
}

impl Dataset for View {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn len(&self) -> usize {
        self.of.len()
    }

    fn shape(&self) -> Shape {
        self.of.shape()
    }

    fn classes(&self) -> &[String] {
        self.of.classes()
    }

    fn label(&self, i: usize) -> u32 {
        self.of.label(i)
    }

    fn fill(&self, i: usize, x: &mut [f32]) -> Result<()> {
        let mut plain = vec![0.0; x.len()];
        self.of.fill(i, &mut plain)?;
        match &self.order {
            Order::Right(by) => right(&plain, self.shape().dims(), *by, x),
            Order::Fixed(order) => x.iter_mut().zip(order).for_each(|(x, from)| *x = plain[*from as usize]),
            Order::Each(rng) => {
                let order = shuffled(x.len(), rng.split_at(i as u64));
                x.iter_mut().zip(order).for_each(|(x, from)| *x = plain[from as usize]);
            }
        }
        Ok(())
    }
}

/// An image `[h, w, c]` moved to the right by some pixels.
pub(super) fn right(plain: &[f32], dims: &[usize], by: usize, x: &mut [f32]) {
    let &[_, w, c] = dims else { return x.copy_from_slice(plain) };
    let by = by.min(w);
    for (row, out) in plain.chunks(w * c).zip(x.chunks_mut(w * c)) {
        out[..by * c].fill(0.0);
        out[by * c..].copy_from_slice(&row[..(w - by) * c]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSet, Preprocess};

    fn set() -> Arc<dyn Dataset> {
        let pixels = (0..12).map(|i| i * 10).collect();
        let classes = vec!["a".to_string(), "b".to_string()];
        Arc::new(ImageSet::new("two", pixels, vec![1, 0], classes, Preprocess::new([2, 3, 1]).unwrap()).unwrap())
    }

    fn sample(view: &dyn Dataset, i: usize) -> Vec<f32> {
        let mut x = vec![-1.0; 6];
        view.fill(i, &mut x).unwrap();
        x
    }

    // V5: the input moved to the right by one pixel.
    #[test]
    fn v5_moving_right_brings_in_zeros() {
        let plain = sample(&*set(), 0);
        let moved = sample(&View::new(&set(), Order::Right(1)), 0);
        assert_eq!(moved, [0.0, plain[0], plain[1], 0.0, plain[3], plain[4]]);
        assert_eq!(sample(&View::new(&set(), Order::Right(9)), 0), [0.0; 6]);
    }

    #[test]
    fn orders_keep_all_numbers_and_labels() {
        let sorted = |mut x: Vec<f32>| {
            x.sort_by(f32::total_cmp);
            x
        };
        let fixed = View::new(&set(), Order::Fixed(vec![5, 4, 3, 2, 1, 0]));
        let mut turned = sample(&*set(), 1);
        turned.reverse();
        assert_eq!(sample(&fixed, 1), turned);
        let each = View::new(&set(), Order::Each(Rng::new(3)));
        assert_eq!(sorted(sample(&each, 0)), sorted(sample(&*set(), 0)));
        assert_eq!(sample(&each, 0), sample(&each, 0));
        assert_eq!((each.label(0), each.label(1), each.len(), each.classes().len()), (1, 0, 2, 2));
    }
}
