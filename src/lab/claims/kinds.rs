//! E33: is maximum pooling better than average pooling, and does it keep the strongest answer?

use std::sync::Arc;

use super::bench::Bench;
use super::nets::{Down, cnn};
use super::report::{dots, loss_curve, series};
use super::verdict::{Finding, Rule};
use super::{Claim, Estimate, Evidence, Sample};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::visual::{AxisStyle, Item, LineChart, Scale, Section, Sheet, Unit};

pub(super) const CLAIM: Claim = Claim {
    name: "max-or-average",
    title: "maximum pooling beats average pooling",
    says: "Max pooling works better than average pooling, since it extracts the strongest feature of each window.",
    measured: "The same network of two 3x3 convolutions (16 and 32 kernels) with 2x2 max, average or min pooling behind \
               each, trained with the same seeds and batches; accuracy on the test images. And of the maps of the first \
               convolution (500 images): how much of its largest value is left in each map behind the pool.",
    caveat: "One small network on MNIST, whose strokes are bright on black. That max pooling keeps the largest value is \
             its definition; the number shows what averaging takes from it. Other data and deeper networks may differ: \
             networks since 2014 end in a global average.",
    seeds: 8,
    updates: 600,
    run,
};

const ARMS: [Down; 3] = [Down::Max, Down::Average, Down::Min];
const IMAGES: usize = 500;
// What matters: a difference of less than a tenth of a percent is one image of a thousand.
const MARGIN: f64 = 0.001;

struct Run {
    accuracy: [f64; 3],
    loss: [Vec<f64>; 3],
    kept: [f64; 3],
}

fn run(bench: &mut Bench<'_>) -> Result<Evidence> {
    let runs = bench.each_seed(one)?;
    let sample = |what: String, f: &dyn Fn(&Run) -> f64| Sample::new(what, Unit::Percent, runs.iter().map(f).collect());
    let accuracy: [Sample; 3] =
        std::array::from_fn(|i| sample(format!("accuracy, {}", ARMS[i].name()), &|r| r.accuracy[i]));
    let kept: [Sample; 3] =
        std::array::from_fn(|i| sample(format!("kept of the largest value, {}", ARMS[i].name()), &|r| r.kept[i]));
    let findings = findings(&accuracy, &kept);
    let curves: Vec<_> = (0..3)
        .map(|i| loss_curve(ARMS[i].name(), &runs.iter().map(|r| r.loss[i].clone()).collect::<Vec<_>>()))
        .collect();
    let plot = |title: &str, x: &str, samples: &[Sample; 3]| {
        let rows = samples.iter().enumerate().map(|(i, s)| s.row(ARMS[i].name(), i)).collect();
        dots(title, AxisStyle::new(x).unit(Unit::Percent), rows, 500.0)
    };
    let chart = LineChart {
        title: "Loss while training".into(),
        x: AxisStyle::new("update").unit(Unit::Whole),
        y: AxisStyle::new("loss, mean over seeds").scale(Scale::Log),
        series: curves.iter().enumerate().map(|(i, c)| series(c, i)).collect(),
        width: 1014.0,
        height: 320.0,
        ..LineChart::default()
    };
    let items = vec![
        plot("Accuracy", "accuracy on test images, each dot a seed", &accuracy),
        plot("What is left of the strongest answer", "largest pooled value / largest value of the map", &kept),
        Item::Chart(chart),
    ];
    let sheet = Sheet {
        title: "Maximum, average and minimum pooling".into(),
        subtitle: "The bar is the mean, the line its 95 % interval.".into(),
        sections: vec![Section { items, ..Section::default() }],
        ..Sheet::default()
    };
    let picture = sheet.picture()?;
    let samples = [accuracy.to_vec(), kept.to_vec()].concat();
    Ok(Evidence { samples, findings, facts: Vec::new(), curves, picture })
}

fn one(bench: &mut Bench<'_>, seed: u64) -> Result<Run> {
    let mut run = Run { accuracy: [0.0; 3], loss: Default::default(), kept: [0.0; 3] };
    for (i, arm) in ARMS.into_iter().enumerate() {
        let trained = bench.train(arm.name(), cnn(arm, &[16, 32])?, seed)?;
        run.accuracy[i] = bench.test(&trained.model)?;
        run.loss[i] = trained.loss();
        let test = Arc::clone(&bench.data.test);
        let maps = bench.look(&trained.model, &*test, IMAGES, &["conv1", "down1"])?;
        run.kept[i] = kept(&maps[0], &maps[1]);
    }
    Ok(run)
}

fn findings(accuracy: &[Sample; 3], kept: &[Sample; 3]) -> Vec<Finding> {
    let gain = |a: &Sample, b: &Sample| Estimate::of_differences(&a.values, &b.values);
    vec![
        Finding::new(
            "max pooling is more accurate than average pooling",
            ("accuracy with max less accuracy with average pooling", Unit::Percent),
            &gain(&accuracy[0], &accuracy[1]),
            Rule::Gain(MARGIN),
        ),
        Finding::new(
            "max pooling keeps the strongest answer of each map, average pooling does not (by a tenth or more)",
            ("kept by max less kept by average pooling", Unit::Percent),
            &gain(&kept[0], &kept[1]),
            Rule::Above(0.1),
        ),
    ]
}

// The mean over all maps with an answer above 0 of their largest pooled value, as a share of their largest.
fn kept(maps: &Tensor, pooled: &Tensor) -> f64 {
    let c = maps.dims()[3];
    let largest = |t: &Tensor| -> Vec<f32> {
        let (n, len) = (t.dims()[0], t.data().len() / t.dims()[0]);
        let of = |i: usize, k: usize| t.data()[i * len..(i + 1) * len].iter().skip(k).step_by(c);
        (0..n * c).map(|at| of(at / c, at % c).copied().fold(f32::NEG_INFINITY, f32::max)).collect()
    };
    let pairs = largest(maps).into_iter().zip(largest(pooled)).filter(|(whole, _)| *whole > 0.0);
    let shares: Vec<f64> = pairs.map(|(whole, left)| f64::from(left) / f64::from(whole)).collect();
    shares.iter().sum::<f64>() / shares.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn e33_the_share_that_is_kept_is_worked_out_map_by_map() {
        // Two channels of 2x2: 0 1 2 5 and 4 0 0 0; their averages are 2 and 1, their maxima 5 and 4.
        let maps = Tensor::new(&[1, 2, 2, 2], vec![0.0, 4.0, 1.0, 0.0, 2.0, 0.0, 5.0, 0.0]).unwrap();
        let of = |pooled: [f32; 2]| kept(&maps, &Tensor::new(&[1, 1, 1, 2], pooled.to_vec()).unwrap());
        assert_eq!(of([5.0, 4.0]), 1.0);
        assert!((of([2.0, 1.0]) - (0.4 + 0.25) / 2.0).abs() < 1e-7);
    }

    #[test]
    fn e33_the_verdict_goes_with_the_numbers() {
        let s = |v: f64| Sample::new("s", Unit::Percent, vec![v, v + 1e-4, v - 1e-4]);
        let said = |max: f64, average: f64, kept: f64| {
            let (a, k) = ([s(max), s(average), s(0.9)], [s(1.0), s(kept), s(0.1)]);
            Verdict::of_all(&findings(&a, &k))
        };
        assert_eq!(said(0.98, 0.97, 0.6), Verdict::Holds);
        assert_eq!(said(0.97, 0.98, 0.6), Verdict::Partly);
        assert_eq!(said(0.97, 0.98, 0.99), Verdict::Fails);
    }
}
