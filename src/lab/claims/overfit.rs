//! L17, E34: do dense networks on images overfit, and convolutional ones less?

use std::sync::Arc;

use super::bench::{Bench, Job};
use super::nets::{Down, cnn, dense, weights};
use super::report::{dots, mean_curve, series};
use super::verdict::{Finding, Rule, number};
use super::{Claim, Estimate, Evidence, Sample};
use crate::data::{Dataset, Subset, order};
use crate::error::Result;
use crate::graph::Graph;
use crate::rng::Rng;
use crate::train::FitConfig;
use crate::visual::{AxisStyle, Item, LineChart, Scale, Section, Sheet, Unit};

pub(super) const CLAIM: Claim = Claim {
    name: "overfit",
    title: "dense networks on images overfit",
    says: "Fully connected layers on images overfit; a convolutional layer keeps the shape of the data, uses the \
           neighbourhood of pixels, and overfits less.",
    measured: "A CNN (three 3x3 convolutions of 32, 64 and 64 kernels, max pooling) and a dense network of one hidden \
               layer with as many parameters, trained on 1,000 images until both know them. Overfitting is the gap \
               between the accuracy on those images, measured after training, and that on the test images.",
    caveat: "1,000 images are few so that there is something to see. With all 60,000 both gaps are smaller; \
             regularisation, augmentation and early stopping are left out on purpose.",
    seeds: 5,
    updates: 600,
    run,
};

const IMAGES: usize = 1000;
const BATCH: usize = 50;
const NETS: [&str; 2] = ["dense", "CNN"];
// A gap of more than this is overfitting.
const GAP: f64 = 0.02;

struct Run {
    train: [f64; 2],
    test: [f64; 2],
    /// Loss after each epoch: as it ran on the training images, and on some test images.
    curves: [[Vec<f64>; 2]; 2],
}

// The CNN, and the dense network of as many parameters.
fn graphs() -> Result<[Graph; 2]> {
    let cnn = cnn(Down::Max, &[32, 64, 64])?;
    // A hidden unit has 784 weights to the input, 10 to the classes, and a bias.
    let hidden = (weights(&cnn) - 10) / (784 + 10 + 1);
    Ok([dense(hidden)?, cnn])
}

fn run(bench: &mut Bench<'_>) -> Result<Evidence> {
    let graphs = graphs()?;
    let runs = bench.each_seed(|bench, seed| one(bench, &graphs, seed))?;
    let sample = |what: String, f: &dyn Fn(&Run) -> f64| Sample::new(what, Unit::Percent, runs.iter().map(f).collect());
    let per_net = |what: &str, f: &dyn Fn(&Run, usize) -> f64| -> [Sample; 2] {
        std::array::from_fn(|n| sample(format!("{what}, {}", NETS[n]), &|r| f(r, n)))
    };
    let train = per_net("accuracy on the 1,000 training images", &|r, n| r.train[n]);
    let test = per_net("accuracy on test images", &|r, n| r.test[n]);
    let gap = per_net("gap", &|r, n| r.train[n] - r.test[n]);
    let findings = findings(&gap);
    let sizes = graphs.each_ref().map(|g| number(weights(g) as f64, Unit::Plain));
    let (epoch, updates) = ((IMAGES / BATCH) as f64, bench.updates as f64);
    let curve = |n: usize, part: usize| {
        let lines: Vec<Vec<f64>> = runs.iter().map(|r| r.curves[n][part].clone()).collect();
        // The last epoch may be cut short.
        let end = |i: usize| (epoch * (i + 1) as f64).min(updates);
        mean_curve(format!("{}, {}", NETS[n], ["training", "test"][part]), &lines, end)
    };
    let curves = vec![curve(0, 0), curve(0, 1), curve(1, 0), curve(1, 1)];
    let chart = LineChart {
        title: "Loss on training and on test images".into(),
        x: AxisStyle::new("update").unit(Unit::Whole),
        y: AxisStyle::new("loss, mean over seeds").scale(Scale::Log),
        series: curves
            .iter()
            .enumerate()
            .map(|(i, c)| series(c, i / 2).line([crate::visual::Line::Dashed, crate::visual::Line::Solid][i % 2]))
            .collect(),
        width: 1000.0,
        height: 400.0,
        ..LineChart::default()
    };
    let labels = ["training images", "test images"];
    let rows = (0..2).flat_map(|n| {
        let both = [&train[n], &test[n]];
        (0..2).map(move |p| both[p].row(format!("{}, {}", NETS[n], labels[p]), n)).collect::<Vec<_>>()
    });
    let axis = AxisStyle::new("accuracy after training, each dot a seed").unit(Unit::Percent);
    let dots = dots("Accuracy", axis, rows.collect(), 1000.0);
    let sheet = Sheet {
        title: "What 1,000 images teach a dense network and a CNN of the same size".into(),
        subtitle: format!("{} and {} parameters.", sizes[0], sizes[1]),
        sections: vec![Section { items: vec![Item::Chart(chart), dots], ..Section::default() }],
        ..Sheet::default()
    };
    let picture = sheet.picture()?;
    let facts = vec![format!("parameters: dense {}, CNN {}", sizes[0], sizes[1])];
    Ok(Evidence { samples: [train, test, gap].concat(), findings, facts, curves, picture })
}

fn one(bench: &mut Bench<'_>, graphs: &[Graph; 2], seed: u64) -> Result<Run> {
    let all = Arc::clone(&bench.data.train);
    let chosen = order(all.len() as u32, &Rng::new(seed).split("images"), 0)[..IMAGES.min(all.len())].to_vec();
    let few = Subset::new(all, chosen)?;
    let some = Subset::first(Arc::clone(&bench.data.test), 1000);
    let mut run = Run { train: [0.0; 2], test: [0.0; 2], curves: Default::default() };
    for (n, net) in NETS.into_iter().enumerate() {
        let config = FitConfig { batch_size: BATCH, ..bench.config(seed) };
        let job = Job { train: &few, validate: Some(&some), config };
        let trained = bench.fit(net, graphs[n].clone(), &job)?;
        run.train[n] = bench.accuracy(&trained.model, &few as &dyn Dataset)?;
        run.test[n] = bench.test(&trained.model)?;
        let epochs = &trained.history.epochs;
        run.curves[n] =
            [epochs.iter().map(|e| e.loss).collect(), epochs.iter().map(|e| e.val_loss.unwrap_or(f64::NAN)).collect()];
    }
    Ok(run)
}

fn findings(gap: &[Sample; 2]) -> Vec<Finding> {
    vec![
        Finding::new(
            "a dense network on images overfits (a gap of more than 2 percent)",
            ("gap of the dense network", Unit::Percent),
            &gap[0].estimate,
            Rule::Above(GAP),
        ),
        Finding::new(
            "a CNN of the same size overfits less",
            ("gap of the dense network less that of the CNN", Unit::Percent),
            &Estimate::of_differences(&gap[0].values, &gap[1].values),
            Rule::Gain(0.005),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn l17_both_networks_have_about_as_many_parameters() {
        let [dense, cnn] = graphs().unwrap().map(|g| weights(&g));
        assert_eq!(cnn, 320 + 18_496 + 36_928 + 5_770);
        assert!(dense <= cnn && cnn - dense < 795, "{dense} {cnn}");
    }

    #[test]
    fn l17_the_verdict_goes_with_the_numbers() {
        let s = |v: f64| Sample::new("s", Unit::Percent, vec![v, v + 1e-4, v - 1e-4]);
        let said = |dense, cnn| Verdict::of_all(&findings(&[s(dense), s(cnn)]));
        assert_eq!(said(0.12, 0.04), Verdict::Holds);
        assert_eq!(said(0.12, 0.20), Verdict::Partly);
        assert_eq!(said(0.01, 0.04), Verdict::Fails);
    }
}
