//! E34: does flattening lose position? Dense and convolutional networks on pixels in their order and in another.

use std::sync::Arc;

use super::bench::{Bench, Job};
use super::nets::{Down, cnn, dense};
use super::report::dots;
use super::verdict::{Finding, Rule};
use super::views::{Order, View};
use super::{Claim, Estimate, Evidence, Sample};
use crate::data::Dataset;
use crate::error::Result;
use crate::rng::Rng;
use crate::visual::{AxisStyle, Bitmap, Item, Panel, Section, Sheet, Unit};

pub(super) const CLAIM: Claim = Claim {
    name: "flatten",
    title: "flattening loses the position of pixels",
    says: "A dense network flattens the image to a vector and so loses where a pixel was; a convolutional network keeps \
           the two dimensions and uses the neighbourhood.",
    measured: "A dense network (784-64-10) and a CNN (two 3x3 convolutions of 16 and 32 kernels with max pooling), each \
               trained and tested on three views of MNIST: as it is; all images with their pixels in one other order; \
               each image in an order of its own. Accuracy on the test images.",
    caveat: "What is lost and what is not are two things. In a flattened vector each pixel still has a place of its own: \
             if position were lost, a dense network would do no better on one fixed order than on orders that change from \
             image to image. What it does not know is which pixels are neighbours.",
    seeds: 5,
    updates: 500,
    run,
};

const VIEWS: [&str; 3] = ["as it is", "one other order", "an order for each image"];
const NETS: [&str; 2] = ["dense", "CNN"];
// Less than a percent between two orders counts as the same.
const SAME: f64 = 0.01;

fn run(bench: &mut Bench<'_>) -> Result<Evidence> {
    let runs = bench.each_seed(|bench, seed| {
        let mut accuracy = [[0.0; 3]; 2];
        for (v, (train, test)) in views(bench, seed).iter().enumerate() {
            for (n, net) in NETS.into_iter().enumerate() {
                let graph = if n == 0 { dense(64)? } else { cnn(Down::Max, &[16, 32])? };
                let config = bench.config(seed);
                let job = Job { train: &**train, validate: None, config };
                let model = bench.fit(&format!("{net}, {}", VIEWS[v]), graph, &job)?.model;
                accuracy[n][v] = bench.accuracy(&model, &**test)?;
            }
        }
        Ok(accuracy)
    })?;
    let samples: Vec<Vec<Sample>> = (0..2)
        .map(|n| {
            let of = |v: usize| {
                let values = runs.iter().map(|r| r[n][v]).collect();
                Sample::new(format!("accuracy, {}, {}", NETS[n], VIEWS[v]), Unit::Percent, values)
            };
            (0..3).map(of).collect()
        })
        .collect();
    let findings = findings(&samples[0], &samples[1]);
    let picture = picture(bench, &samples)?;
    Ok(Evidence { samples: samples.concat(), findings, facts: Vec::new(), curves: Vec::new(), picture })
}

type Pair = (Arc<dyn Dataset>, Arc<dyn Dataset>);

// The data as they are, in one other order, and in an order for each image.
fn views(bench: &Bench<'_>, seed: u64) -> [Pair; 3] {
    let (train, test) = (&bench.data.train, &bench.data.test);
    let rng = Rng::new(seed).split("pixels");
    let fixed = |of| Arc::new(View::new(of, Order::fixed(of.shape().len(), rng))) as Arc<dyn Dataset>;
    let each = |of, part| Arc::new(View::new(of, Order::Each(rng.split(part)))) as Arc<dyn Dataset>;
    [(Arc::clone(train), Arc::clone(test)), (fixed(train), fixed(test)), (each(train, "train"), each(test, "test"))]
}

fn findings(dense: &[Sample], cnn: &[Sample]) -> Vec<Finding> {
    let less = |a: &Sample, b: &Sample| Estimate::of_differences(&a.values, &b.values);
    let unit = Unit::Percent;
    vec![
        Finding::new(
            "a dense network makes no use of the neighbourhood (as good on another order, within a percent)",
            ("dense, as it is less one other order", unit),
            &less(&dense[0], &dense[1]),
            Rule::Same(SAME),
        ),
        Finding::new(
            "a CNN does (it loses more than a percent on another order)",
            ("CNN, as it is less one other order", unit),
            &less(&cnn[0], &cnn[1]),
            Rule::Above(SAME),
        ),
        Finding::new(
            "flattening loses the position itself (one fixed order is no better for a dense network than an order for \
             each image)",
            ("dense, one other order less an order for each image", unit),
            &less(&dense[1], &dense[2]),
            Rule::Below(SAME),
        ),
    ]
}

fn picture(bench: &Bench<'_>, samples: &[Vec<Sample>]) -> Result<crate::visual::Picture> {
    let shown = views(bench, bench.seeds.first().copied().unwrap_or(0));
    let mut digits = Vec::new();
    for (view, title) in shown.iter().zip(VIEWS) {
        // A seven twice, so that one order and two orders can be told apart.
        for i in same_class(&*bench.data.test) {
            let mut x = vec![0.0; view.1.shape().len()];
            view.1.fill(i, &mut x)?;
            let bytes: Vec<u8> = x.iter().map(|v| (v * 255.0) as u8).collect();
            digits.push(Item::Image(Panel::new(Bitmap::new([28, 28, 1], &bytes)?, 140.0).title(title)));
        }
    }
    let mut rows = Vec::new();
    for (n, of_net) in samples.iter().enumerate() {
        rows.extend(of_net.iter().enumerate().map(|(v, s)| s.row(format!("{}, {}", NETS[n], VIEWS[v]), n)));
    }
    let axis = AxisStyle::new("accuracy on test images of the same view, each dot a seed").unit(Unit::Percent);
    let section = |heading: &str, items| Section { heading: heading.into(), note: String::new(), items };
    let sheet = Sheet {
        title: "Pixels in their order, in another, and in an order for each image".into(),
        subtitle: "A dense network cannot tell the first from the second: it has no neighbourhood to lose.".into(),
        sections: vec![
            section("Two images of one class in each view", digits),
            section("Accuracy of networks that were trained on it", vec![dots("", axis, rows, 1000.0)]),
        ],
        ..Sheet::default()
    };
    sheet.picture()
}

// The first sample, and the next one of its class.
fn same_class(data: &dyn Dataset) -> [usize; 2] {
    let other = (1..data.len()).find(|i| data.label(*i) == data.label(0));
    [0, other.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn e34_the_verdict_goes_with_the_numbers() {
        let s = |v: f64| Sample::new("s", Unit::Percent, vec![v, v + 1e-4, v - 1e-4]);
        let said = |dense: [f64; 3], cnn: [f64; 3]| {
            let all = findings(&dense.map(s), &cnn.map(s));
            (Verdict::of_all(&all), all.iter().map(|f| f.verdict).collect::<Vec<_>>())
        };
        use Verdict::{Fails, Holds, Partly};
        // What is the case: the neighbourhood is lost, the position is not.
        assert_eq!(said([0.95, 0.95, 0.2], [0.98, 0.93, 0.2]), (Partly, vec![Holds, Holds, Fails]));
        // All is lost.
        assert_eq!(said([0.2, 0.2, 0.2], [0.98, 0.2, 0.2]).0, Holds);
        // Nothing is: the dense network needs the order, the CNN does not.
        assert_eq!(said([0.95, 0.90, 0.2], [0.95, 0.95, 0.2]), (Fails, vec![Fails, Fails, Fails]));
    }
}
