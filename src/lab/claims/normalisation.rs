//! M40, V16: normalisation before the activation: what a ReLU is given, and what it deletes or lets pass.

use std::sync::Arc;

use super::bench::{Bench, Job};
use super::nets::classes;
use super::report::{dots, loss_curve, mean_curve, series};
use super::verdict::{Finding, Rule};
use super::{Claim, Curve, Estimate, Evidence, Sample};
use crate::error::Result;
use crate::graph::Graph;
use crate::ops::{Activation, BatchNorm, Conv2D, Padding, Pool2D};
use crate::tensor::Tensor;
use crate::train::FitConfig;
use crate::train::optim::Sgd;
use crate::visual::{AxisStyle, Item, LineChart, Scale, Section, Series, Sheet, Unit};

pub(super) const CLAIM: Claim = Claim {
    name: "normalisation",
    title: "normalisation before the activation keeps a ReLU from deleting or passing everything",
    says: "Without normalisation the distribution may lie so that a ReLU deletes everything or lets everything pass. \
           Normalised before the activation it is centred again, and the ReLU does its work.",
    measured: "Networks of six 3x3 convolutions of 16 kernels, without normalisation, with batch normalisation before each \
               ReLU, and with it behind each; plain gradient descent at 0.1. After training, on 200 test images: what each \
               ReLU is given, channel by channel. A channel is useless to its ReLU if less than 1 or more than 99 of 100 \
               of its values are positive.",
    caveat: "One learning rate and one initialisation; with others a plain network may do better or not train at all. The \
             normalisation has a learned scale and offset, so that training may move the centre away again.",
    seeds: 5,
    updates: 300,
    run,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Norm {
    Without,
    Before,
    Behind,
}

const ARMS: [Norm; 3] = [Norm::Without, Norm::Before, Norm::Behind];
const LAYERS: usize = 6;
const KERNELS: usize = 16;
const IMAGES: usize = 200;
// The layer whose distribution is drawn.
const SHOWN: usize = 4;
const EXTREME: f64 = 0.01;

impl Norm {
    fn name(self) -> &'static str {
        match self {
            Self::Without => "without",
            Self::Before => "before the ReLU",
            Self::Behind => "behind the ReLU",
        }
    }

    // The layer whose output a ReLU is given.
    fn given(self, layer: usize) -> String {
        if self == Self::Before { format!("norm{layer}") } else { format!("conv{layer}") }
    }

    fn graph(self) -> Result<Graph> {
        let mut g = Graph::new("deep");
        let mut y = g.input([28, 28, 1])?;
        for layer in 1..=LAYERS {
            y = g.add_named(format!("conv{layer}"), Conv2D::new(KERNELS, 3).padding(Padding::Same), &[y])?;
            // With the usual 0.99 the moving statistics would still remember their start after 300 updates.
            let norm = || BatchNorm::default().momentum(0.9);
            if self == Self::Before {
                y = g.add_named(format!("norm{layer}"), norm(), &[y])?;
            }
            y = g.add_named(format!("relu{layer}"), Activation::Relu, &[y])?;
            if self == Self::Behind {
                y = g.add_named(format!("norm{layer}"), norm(), &[y])?;
            }
            if layer % 2 == 0 {
                y = g.add(Pool2D::max(2), &[y])?;
            }
        }
        classes(&mut g, y)?;
        Ok(g)
    }
}

/// What a ReLU is given by one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Channel {
    /// The share of values above 0.
    positive: f64,
    /// `|mean| / deviation`; 0 for a channel without any.
    offset: f64,
}

impl Channel {
    fn is_useless(&self) -> bool {
        !(EXTREME..=1.0 - EXTREME).contains(&self.positive)
    }
}

// Channel by channel, of values `[.., c]`.
fn channels(t: &Tensor) -> Vec<Channel> {
    let c = t.dims()[t.dims().len() - 1];
    let n = (t.data().len() / c) as f64;
    let of = |k: usize| {
        let values = || t.data().iter().skip(k).step_by(c).map(|v| f64::from(*v));
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        let positive = values().filter(|v| *v > 0.0).count() as f64 / n;
        Channel { positive, offset: if deviation > 0.0 { mean.abs() / deviation } else { 0.0 } }
    };
    (0..c).map(of).collect()
}

struct Run {
    accuracy: [f64; 3],
    loss: [Vec<f64>; 3],
    /// By arm, all channels of all layers.
    channels: [Vec<Channel>; 3],
    /// What is drawn: given to a ReLU without normalisation; before and after it, with.
    values: [Vec<f32>; 3],
}

impl Run {
    fn offset(&self, arm: usize) -> f64 {
        let all = &self.channels[arm];
        all.iter().map(|c| c.offset).sum::<f64>() / all.len() as f64
    }

    fn useless(&self, arm: usize) -> f64 {
        let all = &self.channels[arm];
        all.iter().filter(|c| c.is_useless()).count() as f64 / all.len() as f64
    }

    fn sorted(&self, arm: usize) -> Vec<f64> {
        let mut shares: Vec<f64> = self.channels[arm].iter().map(|c| c.positive).collect();
        shares.sort_by(f64::total_cmp);
        shares
    }
}

fn run(bench: &mut Bench<'_>) -> Result<Evidence> {
    let runs = bench.each_seed(one)?;
    let per_arm = |what: &str, unit: Unit, f: &dyn Fn(&Run, usize) -> f64| -> [Sample; 3] {
        std::array::from_fn(|i| {
            Sample::new(format!("{what}, {}", ARMS[i].name()), unit, runs.iter().map(|r| f(r, i)).collect())
        })
    };
    let offset = per_arm("|mean| / deviation of what a ReLU is given", Unit::Plain, &Run::offset);
    let useless = per_arm("channels useless to their ReLU", Unit::Percent, &Run::useless);
    let accuracy = per_arm("accuracy", Unit::Percent, &|r, i| r.accuracy[i]);
    let findings = findings(&offset, &useless, &accuracy);
    let sorted: Vec<Curve> = (0..3)
        .map(|i| mean_curve(ARMS[i].name(), &runs.iter().map(|r| r.sorted(i)).collect::<Vec<_>>(), |k| (k + 1) as f64))
        .collect();
    let losses: Vec<Curve> = (0..3)
        .map(|i| {
            let all: Vec<Vec<f64>> = runs.iter().map(|r| r.loss[i].clone()).collect();
            loss_curve(format!("loss, {}", ARMS[i].name()), &all)
        })
        .collect();
    let histograms = runs.first().map(|r| r.values.each_ref().map(|v| histogram(v))).unwrap_or_default();
    let picture = picture(&histograms, (&sorted, &losses), [&useless, &accuracy])?;
    let distributions = HISTOGRAMS.iter().zip(&histograms);
    let drawn =
        distributions.map(|(name, h)| Curve { name: format!("distribution, {name}"), points: h.points.clone() });
    let curves = drawn.chain(sorted).chain(losses).collect();
    Ok(Evidence { samples: [offset, useless, accuracy].concat(), findings, facts: Vec::new(), curves, picture })
}

fn one(bench: &mut Bench<'_>, seed: u64) -> Result<Run> {
    let mut run =
        Run { accuracy: [0.0; 3], loss: Default::default(), channels: Default::default(), values: Default::default() };
    let (train, test) = (Arc::clone(&bench.data.train), Arc::clone(&bench.data.test));
    for (i, arm) in ARMS.into_iter().enumerate() {
        let optimizer = Sgd { learning_rate: 0.1, ..Sgd::default() }.into();
        let job = Job { train: &*train, validate: None, config: FitConfig { optimizer, ..bench.config(seed) } };
        let trained = bench.fit(&format!("normalisation {}", arm.name()), arm.graph()?, &job)?;
        run.accuracy[i] = bench.test(&trained.model)?;
        run.loss[i] = trained.loss();
        let names: Vec<String> = (1..=LAYERS).map(|l| arm.given(l)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let given = bench.look(&trained.model, &*test, IMAGES, &names)?;
        run.channels[i] = given.iter().flat_map(channels).collect();
        match arm {
            Norm::Without => run.values[0] = given[SHOWN - 1].data().to_vec(),
            Norm::Before => {
                let conv = format!("conv{SHOWN}");
                let raw = bench.look(&trained.model, &*test, IMAGES, &[&conv])?;
                run.values[1] = raw[0].data().to_vec();
                run.values[2] = given[SHOWN - 1].data().to_vec();
            }
            Norm::Behind => {}
        }
    }
    Ok(run)
}

fn findings(offset: &[Sample; 3], useless: &[Sample; 3], accuracy: &[Sample; 3]) -> Vec<Finding> {
    let less = |a: &Sample, b: &Sample| Estimate::of_differences(&a.values, &b.values);
    vec![
        Finding::new(
            "normalisation centres what a ReLU is given",
            ("|mean| / deviation without less before", Unit::Plain),
            &less(&offset[0], &offset[1]),
            Rule::Gain(0.05),
        ),
        Finding::new(
            "fewer channels are deleted or passed as a whole",
            ("useless channels without less before", Unit::Percent),
            &less(&useless[0], &useless[1]),
            Rule::Gain(0.01),
        ),
        Finding::new(
            "the network learns better",
            ("accuracy before less without", Unit::Percent),
            &less(&accuracy[1], &accuracy[0]),
            Rule::Gain(0.001),
        ),
        Finding::new(
            "before the ReLU is better than behind it",
            ("accuracy before less behind", Unit::Percent),
            &less(&accuracy[1], &accuracy[2]),
            Rule::Gain(0.001),
        ),
    ]
}

const HISTOGRAMS: [&str; 3] = ["without normalisation", "convolution's output", "the same, normalised"];
const BINS: usize = 60;

/// A distribution as a line of steps.
#[derive(Debug, Clone, Default, PartialEq)]
struct Histogram {
    points: Vec<(f64, f64)>,
    positive: f64,
}

// The share of values in each of 60 bins; what lies beyond four deviations is put into the outer ones.
fn histogram(values: &[f32]) -> Histogram {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let deviation = (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-12);
    let (low, step) = (mean - 4.0 * deviation, 8.0 * deviation / BINS as f64);
    let mut counts = [0.0; BINS];
    for v in values {
        let at = ((f64::from(*v) - low) / step).floor().clamp(0.0, (BINS - 1) as f64);
        counts[at as usize] += 1.0 / n;
    }
    let edge = |i: usize| low + step * i as f64;
    let points = (0..BINS).flat_map(|i| [(edge(i), counts[i]), (edge(i + 1), counts[i])]).collect();
    Histogram { points, positive: values.iter().filter(|v| **v > 0.0).count() as f64 / n }
}

fn picture(
    histograms: &[Histogram; 3],
    (sorted, losses): (&[Curve], &[Curve]),
    [useless, accuracy]: [&[Sample; 3]; 2],
) -> Result<crate::visual::Picture> {
    let distribution = |i: usize| {
        let h = &histograms[i];
        let most = h.points.iter().map(|p| p.1).fold(0.0, f64::max);
        // Many points have no markers.
        let line = (0..=50).map(|k| (0.0, most * f64::from(k) / 50.0)).collect();
        let zero = Series::new("0", line).colour(6).line(crate::visual::Line::Dotted).without_last();
        let name = format!("{:.0} % of values above 0", 100.0 * h.positive);
        let drawn = Series::new(name, h.points.clone()).colour([0, 3, 1][i]).without_last();
        Item::Chart(LineChart {
            title: HISTOGRAMS[i].into(),
            x: AxisStyle::new(format!("value of layer {SHOWN} before its ReLU")),
            y: AxisStyle::new("share of values").unit(Unit::Percent),
            series: vec![drawn, zero],
            width: 340.0,
            height: 270.0,
            ..LineChart::default()
        })
    };
    let lines = |title: &str, x: &str, y: AxisStyle, curves: &[Curve]| {
        Item::Chart(LineChart {
            title: title.into(),
            x: AxisStyle::new(x).unit(Unit::Whole),
            y,
            series: curves.iter().enumerate().map(|(i, c)| series(c, i)).collect(),
            width: 520.0,
            height: 320.0,
            ..LineChart::default()
        })
    };
    let plot = |title: &str, x: &str, samples: &[Sample; 3]| {
        let rows = samples.iter().enumerate().map(|(i, s)| s.row(ARMS[i].name(), i)).collect();
        dots(title, AxisStyle::new(x).unit(Unit::Percent), rows, 520.0)
    };
    let shares = AxisStyle::new("share of values above 0").unit(Unit::Percent);
    let loss = AxisStyle::new("loss, mean over seeds").scale(Scale::Log);
    let section = |heading: &str, note: &str, items| Section { heading: heading.into(), note: note.into(), items };
    let sheet = Sheet {
        title: "What a ReLU is given, with and without normalisation".into(),
        subtitle: "A ReLU sets all to 0 that lies left of the dotted line.".into(),
        sections: vec![
            section("Distributions", "of the first seed, after training", (0..3).map(distribution).collect()),
            section(
                "All seeds",
                "",
                vec![
                    lines("What each channel lets pass", "channels of all layers, sorted", shares, sorted),
                    lines("Loss while training", "update", loss, losses),
                    plot("Channels useless to their ReLU", "share of all channels, each dot a seed", useless),
                    plot("Accuracy", "accuracy on test images, each dot a seed", accuracy),
                ],
            ),
        ],
        ..Sheet::default()
    };
    sheet.picture()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn v16_channels_are_counted_one_by_one() {
        // Channel 0: 1, 3 (mean 2, deviation 1); channel 1: -1, -1; channel 2: -2, 2.
        let t = Tensor::new(&[1, 1, 2, 3], vec![1.0, -1.0, -2.0, 3.0, -1.0, 2.0]).unwrap();
        let all = channels(&t);
        assert_eq!(all[0], Channel { positive: 1.0, offset: 2.0 });
        assert_eq!(all[1], Channel { positive: 0.0, offset: 0.0 });
        assert_eq!(all[2], Channel { positive: 0.5, offset: 0.0 });
        assert_eq!(all.iter().map(Channel::is_useless).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn v16_a_histogram_holds_every_value() {
        let values: Vec<f32> = (0..1000).map(|i| (i % 7) as f32 - 1.0).collect();
        let h = histogram(&values);
        let total: f64 = h.points.iter().step_by(2).map(|p| p.1).sum();
        assert!((total - 1.0).abs() < 1e-9);
        let positive = values.iter().filter(|v| **v > 0.0).count() as f64 / 1000.0;
        assert_eq!(h.positive, positive);
        assert!(h.points.windows(2).all(|w| w[0].0 <= w[1].0 + 1e-9));
        assert_eq!(histogram(&[0.0; 4]).points.len(), 2 * BINS);
    }

    #[test]
    fn m40_the_normalisation_stands_before_the_activation() {
        let g = Norm::Before.graph().unwrap();
        let names: Vec<&str> = g.nodes().iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names[1..4], ["conv1", "norm1", "relu1"]);
        let g = Norm::Behind.graph().unwrap();
        assert_eq!(g.nodes()[3].name, "norm1");
        assert_eq!(Norm::Without.graph().unwrap().nodes()[3].name, "conv2");
    }

    #[test]
    fn m40_the_verdict_goes_with_the_numbers() {
        let s = |v: f64| Sample::new("s", Unit::Plain, vec![v, v + 1e-4, v - 1e-4]);
        let said = |offset: [f64; 3], useless: [f64; 3], accuracy: [f64; 3]| {
            Verdict::of_all(&findings(&offset.map(s), &useless.map(s), &accuracy.map(s)))
        };
        assert_eq!(said([0.9, 0.3, 0.9], [0.3, 0.1, 0.3], [0.9, 0.97, 0.95]), Verdict::Holds);
        assert_eq!(said([0.9, 0.3, 0.9], [0.3, 0.1, 0.3], [0.9, 0.97, 0.97]), Verdict::Partly);
        assert_eq!(said([0.3, 0.9, 0.9], [0.1, 0.3, 0.3], [0.97, 0.9, 0.95]), Verdict::Fails);
    }
}
