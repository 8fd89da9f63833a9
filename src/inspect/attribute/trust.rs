//! The lie detector: does a map depend on what the network learned, and does the answer depend on what the map marks?
//!
//! - *Randomised weights*: the layers are given fresh weights, from the output down. A map that stays the same shows
//!   the image, not the network. Source: Adebayo et al., "Sanity checks for saliency maps", 2018, arXiv:1810.03292.
//! - *Deletion and insertion*: the pixels that the map ranks highest are taken away first, or given first to an empty
//!   image, and the probability of the class is followed. Source: Petsiuk et al., "RISE", 2018, arXiv:1806.07421. For
//!   comparison the same is done with the map moved to other places (wrapped around at the edges): it has the same
//!   spots, in the wrong places.

use super::{AttributeConfig, Attribution, Look, attribute, baseline};
use crate::error::Result;
use crate::inspect::score::Scorer;
use crate::inspect::window::image;
use crate::model::Model;
use crate::rng::Rng;
use crate::tensor::Tensor;

/// The map of a network some of whose layers have fresh weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Randomised {
    /// How many layers, from the output down, have fresh weights.
    pub layers: usize,
    /// Of how many with weights.
    pub of: usize,
    /// The rank correlation of the sizes of the two maps, over the pixels that either marks: 1 the same, 0 nothing in common.
    pub similarity: f64,
    /// The map.
    pub map: Tensor,
}

/// The probability of the class as pixels go or come.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// The share of pixels that are gone or there.
    pub share: Vec<f64>,
    /// In the order of the map.
    pub map: Vec<f64>,
    /// In the order of the map moved elsewhere: the mean of a few.
    pub moved: Vec<f64>,
}

impl Curves {
    /// The mean height of the curve of the map.
    pub fn area(&self) -> f64 {
        area(&self.share, &self.map)
    }

    /// The mean height of the curve of the moved maps.
    pub fn moved_area(&self) -> f64 {
        area(&self.share, &self.moved)
    }
}

/// What the lie detector says.
#[derive(Debug, Clone, PartialEq)]
pub struct Trust {
    /// With fresh weights in the last layer, in half of the layers and in all.
    pub randomised: Vec<Randomised>,
    /// Pixels go, the highest first: a good map makes the probability fall at once.
    pub deletion: Curves,
    /// Pixels come, the highest first: a good map makes the probability rise at once.
    pub insertion: Curves,
}

impl Trust {
    /// Whether the map of fresh weights has little in common with the map (a rank correlation below one half).
    pub fn depends_on_weights(&self) -> bool {
        self.randomised.last().is_none_or(|r| r.similarity < 0.5)
    }

    /// Whether the map beats its moved copies in both orders.
    pub fn marks_what_matters(&self) -> bool {
        self.deletion.area() < self.deletion.moved_area() && self.insertion.area() > self.insertion.moved_area()
    }

    /// The findings, a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .randomised
            .iter()
            .map(|r| {
                let layers =
                    if r.layers == 1 { "the last layer".into() } else { format!("{} of {} layers", r.layers, r.of) };
                format!("fresh weights in {layers}: rank correlation with the map {:.2}", r.similarity)
            })
            .collect();
        all.push(if self.depends_on_weights() {
            "the map depends on what the network learned".into()
        } else {
            "warning: with fresh weights the map is much the same, so it may show the image more than the network"
                .into()
        });
        for (name, c, better) in [("deletion", &self.deletion, "lower"), ("insertion", &self.insertion, "higher")] {
            let (own, moved) = (c.area(), c.moved_area());
            all.push(format!("{name}: area {own:.3}, map moved elsewhere {moved:.3} ({better} is better)"));
        }
        all.push(if self.marks_what_matters() {
            "the pixels it marks matter more to the answer than those of the same map moved elsewhere".into()
        } else {
            "warning: in one of the two orders, the same map moved elsewhere does as well".into()
        });
        all
    }
}

const STEPS: usize = 24;
const MOVES: usize = 4;

/// Asks whether an attribution of sample `x` is to be believed.
///
/// # Errors
/// As [`attribute`].
pub fn examine(model: &Model, x: &[f32], found: &Attribution, config: &AttributeConfig) -> Result<Trust> {
    let dims = image(model.graph().input_shape()?)?;
    let config = AttributeConfig { class: Some(found.class), ..config.clone() };
    let look = Look { model, x, dims, class: found.class, config: &config, baseline: baseline(&config, dims)? };
    Ok(Trust {
        randomised: randomised(&look, found)?,
        deletion: curves(&look, &found.map, false)?,
        insertion: curves(&look, &found.map, true)?,
    })
}

fn randomised(look: &Look<'_>, found: &Attribution) -> Result<Vec<Randomised>> {
    let fresh = Model::new(look.model.graph().clone(), look.config.seed ^ 0x5eed)?;
    let mut layers: Vec<&str> = Vec::new();
    for param in look.model.params() {
        let layer = param.name.split('/').next().unwrap_or_default();
        if layers.last() != Some(&layer) {
            layers.push(layer);
        }
    }
    let of = layers.len();
    let mut counts = vec![1, of.div_ceil(2), of];
    counts.dedup();
    counts
        .into_iter()
        .filter(|n| (1..=of).contains(n))
        .map(|n| {
            let mut model = look.model.clone();
            for (param, drawn) in model.params_mut().iter_mut().zip(fresh.params()) {
                if layers[of - n..].iter().any(|l| param.name.split('/').next() == Some(l)) {
                    param.data.copy_from_slice(&drawn.data);
                }
            }
            let map = attribute(&model, look.x, look.config)?.map;
            Ok(Randomised { layers: n, of, similarity: rank_correlation(&found.map, &map), map })
        })
        .collect()
}

/// Spearman's rank correlation of the sizes of two maps, over the pixels that either of them marks: a black background,
/// where all maps are 0, would make any two alike. 0 where one of them is the same everywhere.
fn rank_correlation(a: &Tensor, b: &Tensor) -> f64 {
    let marked = || a.data().iter().zip(b.data()).filter(|(a, b)| **a != 0.0 || **b != 0.0);
    let (a, b): (Vec<f32>, Vec<f32>) = marked().unzip();
    let (a, b) = (ranks(&a), ranks(&b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(&b).map(|(a, b)| f(a - mean, b - mean)).sum::<f64>();
    let spread = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    if spread == 0.0 { 0.0 } else { sum(&|a, b| a * b) / spread }
}

// The rank of each value's size; equal ones share the mean of theirs.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].abs().total_cmp(&values[*b].abs()));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let same = order[start..].iter().take_while(|i| values[**i].abs() == values[order[start]].abs()).count().max(1);
        for i in &order[start..start + same] {
            ranks[*i] = start as f64 + (same - 1) as f64 / 2.0;
        }
        start += same;
    }
    ranks
}

fn curves(look: &Look<'_>, map: &Tensor, insert: bool) -> Result<Curves> {
    let [h, w, _] = look.dims;
    let mut scorer = Scorer::new(look.model, &look.config.machine)?;
    let mut rng = Rng::new(look.config.seed).split("moved");
    let own = follow(look, &mut scorer, map.data(), insert)?;
    let mut moved = vec![0.0; own.len()];
    for _ in 0..MOVES {
        // At least a quarter of the image away, along both axes.
        let mut shift = |len: usize| len / 4 + rng.below((len / 2).max(1) as u32) as usize;
        let (dy, dx) = (shift(h), shift(w));
        let elsewhere: Vec<f32> = (0..h * w).map(|i| map.data()[(i / w + dy) % h * w + (i % w + dx) % w]).collect();
        let curve = follow(look, &mut scorer, &elsewhere, insert)?;
        moved.iter_mut().zip(curve).for_each(|(sum, p)| *sum += p / MOVES as f64);
    }
    let share = (0..=STEPS).map(|i| i as f64 / STEPS as f64).collect();
    Ok(Curves { share, map: own, moved })
}

// The probability after each step, as the pixels with the largest numbers go (or come) first.
fn follow(look: &Look<'_>, scorer: &mut Scorer, map: &[f32], insert: bool) -> Result<Vec<f64>> {
    let [h, w, c] = look.dims;
    let mut order: Vec<usize> = (0..h * w).collect();
    order.sort_by(|a, b| map[*b].total_cmp(&map[*a]).then(a.cmp(b)));
    let (mut now, goal) = if insert { (look.blank(), look.x.to_vec()) } else { (look.x.to_vec(), look.blank()) };
    let mut all = now.clone();
    for step in 0..STEPS {
        for pixel in &order[step * h * w / STEPS..(step + 1) * h * w / STEPS] {
            let at = pixel * c..(pixel + 1) * c;
            now[at.clone()].copy_from_slice(&goal[at]);
        }
        all.extend_from_slice(&now);
    }
    Ok(scorer.of_class(&all, look.class)?.into_iter().map(f64::from).collect())
}

// By trapezoids.
fn area(x: &[f64], y: &[f64]) -> f64 {
    x.windows(2).zip(y.windows(2)).map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_correlation_is_spearmans() {
        let map = |v: &[f32]| Tensor::new(&[1, v.len()], v.to_vec()).unwrap();
        let a = map(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((rank_correlation(&a, &map(&[2.0, 4.0, 6.0, 8.0, -10.0])) - 1.0).abs() < 1e-12);
        assert!((rank_correlation(&a, &map(&[5.0, 4.0, 3.0, 2.0, 1.0])) + 1.0).abs() < 1e-12);
        // By hand: differences of ranks 1, 1, 0, 1, 1, so 1 - 6 * 4 / (5 * 24).
        assert!((rank_correlation(&a, &map(&[2.0, 1.0, 3.0, 5.0, 4.0])) - 0.8).abs() < 1e-12);
        assert_eq!(rank_correlation(&a, &map(&[7.0; 5])), 0.0);
        assert_eq!(ranks(&[3.0, 1.0, 3.0]), [1.5, 0.0, 1.5]);
    }

    #[test]
    fn area_is_the_mean_height() {
        assert_eq!(area(&[0.0, 0.5, 1.0], &[1.0, 1.0, 0.0]), 0.75);
    }
}
