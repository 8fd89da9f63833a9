//! E33, V4: pooling throws numbers away but no channel, and yet the network works and costs less.

use std::sync::Arc;

use super::bench::Bench;
use super::nets::{Down, cnn, weights};
use super::report::dots;
use super::verdict::{Finding, Rule, number};
use super::{Claim, Estimate, Evidence, Sample};
use crate::error::Result;
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::train::memory_of_training;
use crate::visual::{AxisStyle, Bitmap, Item, Panel, Range, Scale, Section, Sheet, Unit};

pub(super) const CLAIM: Claim = Claim {
    name: "pooling",
    title: "pooling loses information, yet it works and saves compute, memory and parameters",
    says: "Pooling throws information away and keeps the number of channels. The network works with what is left, and needs \
           less compute, less memory and fewer parameters.",
    measured: "Two networks of two 3x3 convolutions (16 and 32 kernels), one with 2x2 max pooling behind each, one without; \
               same seeds and batches. Parameters, multiply-adds for an image, bytes of a training step with 64 images, \
               and accuracy on the test images.",
    caveat: "Most of the parameters that are saved are those of the dense layer behind the last map. A global average \
             instead of it would save them too.",
    seeds: 5,
    updates: 1000,
    run,
};

// Half a percent is what the network may lose and still count as working.
const MARGIN: f64 = 0.005;
const ARMS: [Down; 2] = [Down::Max, Down::Not];
const KERNELS: [usize; 2] = [16, 32];

// Sizes of a network in which chance has no part: parameters, multiply-adds, bytes of a training step.
fn sizes(bench: &Bench<'_>, g: &Graph) -> Result<[f64; 3]> {
    let config = bench.config(0);
    let memory = memory_of_training(g, &config.optimizer, config.batch_size, &bench.machine())?;
    Ok([weights(g) as f64, g.mul_adds() as f64, memory.total() as f64])
}

const SIZES: [&str; 3] = ["parameters", "multiply-adds for an image", "bytes of a training step"];

fn run(bench: &mut Bench<'_>) -> Result<Evidence> {
    let graphs = [cnn(ARMS[0], &KERNELS)?, cnn(ARMS[1], &KERNELS)?];
    let costs = [sizes(bench, &graphs[0])?, sizes(bench, &graphs[1])?];
    let mut maps = None;
    let runs = bench.each_seed(|bench, seed| {
        let mut accuracy = [0.0; 2];
        for (i, arm) in ARMS.into_iter().enumerate() {
            let model = bench.train(arm.name(), graphs[i].clone(), seed)?.model;
            accuracy[i] = bench.test(&model)?;
            if arm == Down::Max && maps.is_none() {
                let test = Arc::clone(&bench.data.test);
                maps = Some(bench.look(&model, &*test, 1, &["conv1", "down1"])?);
            }
        }
        Ok(accuracy)
    })?;
    let maps = maps.unwrap_or_default();
    let accuracy: [Sample; 2] = std::array::from_fn(|i| {
        let values = runs.iter().map(|r| r[i]).collect();
        Sample::new(format!("accuracy, {}", ARMS[i].name()), Unit::Percent, values)
    });
    let mut findings = findings(costs, &accuracy);
    findings.insert(0, channels(&maps));
    let size = |i: usize, arm: usize| {
        Sample::new(format!("{}, {}", SIZES[i], ARMS[arm].name()), Unit::Plain, vec![costs[arm][i]])
    };
    let sizes: Vec<Sample> = (0..6).map(|at| size(at / 2, at % 2)).collect();
    let plot = |title: &str, x: AxisStyle, rows: [&Sample; 2]| {
        dots(title, x, rows.iter().enumerate().map(|(i, s)| s.row(ARMS[i].name(), i)).collect(), 500.0)
    };
    let cost =
        |i: usize| plot(SIZES[i], AxisStyle::new(SIZES[i]).scale(Scale::Log), [&sizes[2 * i], &sizes[2 * i + 1]]);
    let axis = AxisStyle::new("accuracy on test images, each dot a seed").unit(Unit::Percent);
    let items = vec![plot("accuracy", axis, [&accuracy[0], &accuracy[1]]), cost(0), cost(1), cost(2)];
    let sheet = Sheet {
        title: "What 2x2 max pooling keeps, and what it saves".into(),
        subtitle: "Each pool hands on one of four numbers, channel by channel.".into(),
        sections: drawn(&maps)?.into_iter().chain([Section { items, ..Section::default() }]).collect(),
        ..Sheet::default()
    };
    let picture = sheet.picture()?;
    let facts = vec!["each 2x2 pool hands on 1 of 4 numbers; behind two of them 1 of 16 places is left".to_string()];
    let samples = [sizes, accuracy.to_vec()].concat();
    Ok(Evidence { samples, findings, facts, curves: Vec::new(), picture })
}

// V4: as many channels behind a pool as before it.
fn channels(maps: &[Tensor]) -> Finding {
    let count = |t: Option<&Tensor>| t.map_or(0, |t| t.dims()[3]);
    let (before, behind) = (count(maps.first()), count(maps.last()));
    Finding::exact(
        "pooling keeps the number of channels",
        before == behind && before > 0,
        format!("{before} before the first pool, {behind} behind it"),
    )
}

// Every channel of the first image before and behind the pool, in the same order.
fn drawn(maps: &[Tensor]) -> Result<Vec<Section>> {
    let all: Vec<f32> = maps.iter().flat_map(|t| t.data()).copied().collect();
    let range = Range::of(&all);
    let section = |(t, heading): (&Tensor, &str)| {
        let &[_, h, w, c] = t.dims() else { return Ok(Section::default()) };
        let panel = |k: usize| {
            let map: Vec<f32> = t.data().iter().skip(k).step_by(c).copied().collect();
            // The scale is that of the image: a pooled map is half as wide.
            Bitmap::of_map([h, w], &map, &range).map(|b| Item::Image(Panel::new(b, 3.4 * w as f64)))
        };
        let note = format!("{c} channels of {h}x{w}");
        Ok(Section { heading: heading.into(), note, items: (0..c).map(panel).collect::<Result<_>>()? })
    };
    maps.iter().zip(["First convolution, one image", "Behind the pool"]).map(section).collect()
}

fn findings(costs: [[f64; 3]; 2], accuracy: &[Sample; 2]) -> Vec<Finding> {
    let [with, without] = costs;
    let saved = |i: usize| {
        let [a, b] = [with[i], without[i]].map(|v| number(v, Unit::Plain));
        let because = format!("{a} against {b}: {:.1} times less", without[i] / with[i]);
        Finding::exact(format!("it saves {}", SIZES[i]), with[i] < without[i], because)
    };
    let mut all: Vec<Finding> = (0..3).map(saved).collect();
    all.push(Finding::new(
        "the network works as well with it (it loses less than half a percent)",
        ("accuracy with less accuracy without", Unit::Percent),
        &Estimate::of_differences(&accuracy[0].values, &accuracy[1].values),
        Rule::Above(-MARGIN),
    ));
    all
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn e33_sizes_are_those_of_the_formulas() {
        let (with, without) = (cnn(Down::Max, &KERNELS).unwrap(), cnn(Down::Not, &KERNELS).unwrap());
        assert_eq!(weights(&without) - weights(&with), (28 * 28 - 7 * 7) * 32 * 10);
        assert_eq!(without.mul_adds(), 784 * 9 * 16 + 784 * 9 * 16 * 32 + 784 * 32 * 10);
        assert_eq!(with.mul_adds(), 784 * 9 * 16 + 196 * 9 * 16 * 32 + 49 * 32 * 10);
    }

    #[test]
    fn v4_channels_are_counted_on_both_sides_of_the_pool() {
        let maps = |c: usize| vec![Tensor::zeros(&[1, 4, 4, 3]), Tensor::zeros(&[1, 2, 2, c])];
        assert_eq!(channels(&maps(3)).verdict, Verdict::Holds);
        assert_eq!(channels(&maps(2)).verdict, Verdict::Fails);
        assert_eq!(channels(&[]).verdict, Verdict::Fails);
        assert_eq!(drawn(&maps(3)).unwrap().iter().map(|s| s.items.len()).collect::<Vec<_>>(), [3, 3]);
    }

    #[test]
    fn e33_the_verdict_goes_with_the_numbers() {
        let s = |v: f64| Sample::new("s", Unit::Percent, vec![v, v + 1e-4, v - 1e-4]);
        let said = |costs, with, without| Verdict::of_all(&findings(costs, &[s(with), s(without)]));
        let (low, high) = ([1.0, 2.0, 3.0], [2.0, 4.0, 9.0]);
        assert_eq!(said([low, high], 0.98, 0.98), Verdict::Holds);
        assert_eq!(said([low, high], 0.90, 0.98), Verdict::Partly);
        assert_eq!(said([high, low], 0.90, 0.98), Verdict::Fails);
    }
}
