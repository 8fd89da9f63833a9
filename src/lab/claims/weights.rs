//! M38: 784 weights of a dense unit against 9 of a 3x3 kernel, and how far each goes.

use super::bench::Bench;
use super::nets::{Down, cnn, dense, weights};
use super::verdict::{Finding, Rule};
use super::{Claim, Curve, Estimate, Evidence, Sample};
use crate::error::Result;
use crate::graph::Graph;
use crate::ops::{Conv2D, Dense, Flatten, Padding};
use crate::visual::{AxisStyle, Item, LineChart, Scale, Section, Series, Sheet, Unit};

pub(super) const CLAIM: Claim = Claim {
    name: "weights",
    title: "9 shared weights go further than 784",
    says: "A dense unit on a 28x28 image has 784 weights, a 3x3 kernel 9, since it is shared by all places. One kernel is \
           too weak, so several are used.",
    measured: "Dense networks with 1 to 128 hidden units, and CNNs of three 3x3 convolutions of 1 to 16 kernels each, with \
               2x2 max pooling behind each; same seeds and batches. Accuracy on the test images against the number of \
               parameters.",
    caveat: "Weights are saved, not arithmetic: a kernel's 9 weights are used at 784 places, which takes 7,056 \
             multiply-adds where the dense unit takes 784. And a feature of one kernel sees 3x3 pixels; it is the stack of \
             layers that sees the digit.",
    seeds: 5,
    updates: 1000,
    run,
};

const HIDDEN: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
const KERNELS: [usize; 5] = [1, 2, 4, 8, 16];
// The CNN that is compared with the largest dense network.
const FEW: usize = 4;
const EIGHT: usize = 3;
const ONE_IS_WEAK: f64 = 0.01;

fn graphs() -> Result<[Vec<Graph>; 2]> {
    let dense: Vec<Graph> = HIDDEN.iter().map(|h| dense(*h)).collect::<Result<_>>()?;
    Ok([dense, KERNELS.iter().map(|k| cnn(Down::Max, &[*k; 3])).collect::<Result<_>>()?])
}

// A dense unit and a kernel on 28x28, alone and without bias: their weights, and their multiply-adds.
fn units() -> Result<[(usize, u64); 2]> {
    let mut unit = Graph::new("unit");
    let x = unit.input([28, 28, 1])?;
    let flat = unit.add(Flatten::new(), &[x])?;
    unit.add(Dense::new(1).no_bias(), &[flat])?;
    let mut kernel = Graph::new("kernel");
    let x = kernel.input([28, 28, 1])?;
    kernel.add(Conv2D::new(1, 3).padding(Padding::Same).no_bias(), &[x])?;
    Ok([&unit, &kernel].map(|g| (weights(g), g.mul_adds())))
}

fn run(bench: &mut Bench<'_>) -> Result<Evidence> {
    let graphs = graphs()?;
    let runs = bench.each_seed(|bench, seed| {
        let mut accuracy = [Vec::new(), Vec::new()];
        for (kind, all) in graphs.iter().enumerate() {
            for g in all {
                let what = format!("{}, {} parameters", g.name(), weights(g));
                let model = bench.train(&what, g.clone(), seed)?.model;
                accuracy[kind].push(bench.test(&model)?);
            }
        }
        Ok(accuracy)
    })?;
    let sample = |kind: usize, i: usize| {
        let g = &graphs[kind][i];
        let size = if kind == 0 { format!("{} hidden", HIDDEN[i]) } else { format!("{} kernels", KERNELS[i]) };
        let what = format!("accuracy, {}, {size}, {} parameters", ["dense", "CNN"][kind], weights(g));
        Sample::new(what, Unit::Percent, runs.iter().map(|r| r[kind][i]).collect())
    };
    let samples: [Vec<Sample>; 2] = std::array::from_fn(|k| (0..graphs[k].len()).map(|i| sample(k, i)).collect());
    let units = units()?;
    let sizes = graphs.each_ref().map(|all| all.iter().map(weights).collect::<Vec<_>>());
    let findings = findings(units, &sizes, &samples);
    let curve = |k: usize| {
        let points = sizes[k].iter().zip(&samples[k]).map(|(n, s)| (*n as f64, s.estimate.mean)).collect();
        Curve { name: ["dense", "CNN of three layers"][k].into(), points }
    };
    let curves = vec![curve(0), curve(1)];
    let picture = picture(&curves, &samples, &sizes)?;
    let [dense, kernel] = units;
    let facts = vec![format!(
        "one dense unit on 28x28: {} weights, {} multiply-adds; one 3x3 kernel: {} weights, {} multiply-adds",
        dense.0, dense.1, kernel.0, kernel.1
    )];
    Ok(Evidence { samples: samples.concat(), findings, facts, curves, picture })
}

fn findings([unit, kernel]: [(usize, u64); 2], sizes: &[Vec<usize>; 2], samples: &[Vec<Sample>; 2]) -> Vec<Finding> {
    let [dense, cnn] = samples;
    let (largest, few) = (&dense[dense.len() - 1], &cnn[FEW]);
    let (most, least) = (sizes[0][dense.len() - 1], sizes[1][FEW]);
    let less = |a: &Sample, b: &Sample| Estimate::of_differences(&a.values, &b.values);
    vec![
        Finding::exact(
            "a dense unit on 28x28 has 784 weights, a 3x3 kernel 9",
            unit.0 == 784 && kernel.0 == 9,
            format!("counted: {} and {}", unit.0, kernel.0),
        ),
        Finding::new(
            format!("a CNN of {least} parameters is more accurate than a dense network of {most}"),
            ("accuracy of the CNN less that of the dense network", Unit::Percent),
            &less(few, largest),
            Rule::Gain(0.001),
        ),
        Finding::new(
            "one kernel in each layer is too weak: eight are better by more than a percent",
            ("accuracy with 8 kernels less accuracy with 1", Unit::Percent),
            &less(&cnn[EIGHT], &cnn[0]),
            Rule::Above(ONE_IS_WEAK),
        ),
    ]
}

fn picture(curves: &[Curve], samples: &[Vec<Sample>; 2], sizes: &[Vec<usize>; 2]) -> Result<crate::visual::Picture> {
    let chart = LineChart {
        title: "Accuracy against parameters".into(),
        subtitle: "Means over seeds; the thin dots are the single seeds.".into(),
        x: AxisStyle::new("parameters").scale(Scale::Log),
        y: AxisStyle::new("accuracy on test images").unit(Unit::Percent),
        series: curves.iter().enumerate().map(|(i, c)| super::report::series(c, i)).collect(),
        width: 1000.0,
        height: 420.0,
    };
    let errors = |k: usize| {
        let points = sizes[k].iter().zip(&samples[k]).map(|(n, s)| (*n as f64, 1.0 - s.estimate.mean)).collect();
        Series::new(curves[k].name.clone(), points).colour(k)
    };
    let error = LineChart {
        title: "The same as error, so that the right ends can be told apart".into(),
        subtitle: String::new(),
        y: AxisStyle::new("error on test images").unit(Unit::Percent).scale(Scale::Log),
        series: vec![errors(0), errors(1)],
        height: 360.0,
        ..chart.clone()
    };
    let chart = LineChart { subtitle: "Each mark is the mean over seeds.".into(), ..chart };
    let sheet = Sheet {
        title: "Shared weights: CNNs and dense networks of many sizes".into(),
        subtitle: "A 3x3 kernel has 9 weights for all 784 places; a dense unit has one for each.".into(),
        sections: vec![Section { items: vec![Item::Chart(chart), Item::Chart(error)], ..Section::default() }],
        ..Sheet::default()
    };
    sheet.picture()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn m38_784_against_9_and_the_arithmetic_that_is_not_saved() {
        assert_eq!(units().unwrap(), [(784, 784), (9, 9 * 784)]);
    }

    #[test]
    fn m38_the_verdict_goes_with_the_numbers() {
        let s = |v: f64| Sample::new("s", Unit::Percent, vec![v, v + 1e-4, v - 1e-4]);
        let sizes = [vec![1; 8], vec![1; 5]];
        let said = |dense: f64, cnn: [f64; 5], weights: usize| {
            let samples = [[dense; 8].map(s).to_vec(), cnn.map(s).to_vec()];
            Verdict::of_all(&findings([(784, 784), (weights, 7056)], &sizes, &samples))
        };
        assert_eq!(said(0.95, [0.5, 0.9, 0.95, 0.97, 0.98], 9), Verdict::Holds);
        assert_eq!(said(0.99, [0.5, 0.9, 0.95, 0.97, 0.98], 9), Verdict::Partly);
        assert_eq!(said(0.98, [0.97; 5], 784), Verdict::Fails);
    }
}
