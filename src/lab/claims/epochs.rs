//! E34, E4: do few epochs suffice?

use std::sync::Arc;

use super::bench::{Bench, Job};
use super::report::{dots, mean_curve, series};
use super::verdict::{Finding, Rule};
use super::{Claim, Estimate, Evidence, Sample};
use crate::data::Subset;
use crate::error::Result;
use crate::train::FitConfig;
use crate::visual::{AxisStyle, Item, LineChart, Scale, Section, Sheet, Unit};
use crate::zoo;

pub(super) const CLAIM: Claim = Claim {
    name: "epochs",
    title: "few epochs suffice",
    says: "The loss falls quickly, and after very few epochs the accuracy is already high; more epochs bring little.",
    measured: "The network `keras-mnist` with its own settings for 5 epochs on all 60,000 images (a fifth of the updates \
               for each epoch, where fewer updates are asked for: then on as many images). Accuracy on the test images \
               after each epoch.",
    caveat: "MNIST is easy. On photos it is another matter: AlexNet went through ImageNet some 90 times (Krizhevsky et al. \
             2012).",
    seeds: 3,
    updates: 5 * 938,
    run,
};

const EPOCHS: usize = 5;
// High is 98 %; little is less than one percent.
const HIGH: f64 = 0.98;
const LITTLE: f64 = 0.01;

fn run(bench: &mut Bench<'_>) -> Result<Evidence> {
    // Whole epochs alone, and no more images than there are.
    bench.updates = (EPOCHS * of_an_epoch(bench)?) as u64;
    let runs = bench.each_seed(one)?;
    let after = |e: usize| {
        let values = runs.iter().map(|r| r.accuracy[e]).collect();
        Sample::new(format!("accuracy after epoch {}", e + 1), Unit::Percent, values)
    };
    let accuracy: Vec<Sample> = (0..EPOCHS).map(after).collect();
    let findings = findings(&accuracy);
    let line = |name: &str, f: &dyn Fn(&Run) -> &Vec<f64>| {
        let lines: Vec<Vec<f64>> = runs.iter().map(|r| f(r).clone()).collect();
        mean_curve(name, &lines, |i| (i + 1) as f64)
    };
    let curves = vec![line("training loss, as it ran", &|r| &r.loss), line("test loss", &|r| &r.test_loss)];
    let chart = LineChart {
        title: "Loss by epoch".into(),
        x: AxisStyle::new("epoch").unit(Unit::Whole),
        y: AxisStyle::new("loss, mean over seeds").scale(Scale::Log),
        series: curves.iter().enumerate().map(|(i, c)| series(c, i)).collect(),
        width: 520.0,
        height: 320.0,
        ..LineChart::default()
    };
    let axis = AxisStyle::new("accuracy, each dot a seed").unit(Unit::Percent);
    let rows = accuracy.iter().enumerate().map(|(i, s)| s.row(format!("after epoch {}", i + 1), 0)).collect();
    let items = vec![dots("Accuracy on test images", axis, rows, 500.0), Item::Chart(chart)];
    let sheet = Sheet {
        title: "What each epoch brings".into(),
        subtitle: "keras-mnist: Adam, batches of 64.".into(),
        sections: vec![Section { items, ..Section::default() }],
        ..Sheet::default()
    };
    let picture = sheet.picture()?;
    Ok(Evidence { samples: accuracy, findings, facts: Vec::new(), curves, picture })
}

struct Run {
    accuracy: Vec<f64>,
    loss: Vec<f64>,
    test_loss: Vec<f64>,
}

// Updates of an epoch: a fifth of all, or those that all images make.
fn of_an_epoch(bench: &Bench<'_>) -> Result<usize> {
    let batch_size = zoo::recipe("keras-mnist")?.train.batch_size;
    let most = bench.data.train.len().div_ceil(batch_size);
    Ok((bench.updates as usize).div_ceil(EPOCHS).min(most))
}

fn one(bench: &mut Bench<'_>, seed: u64) -> Result<Run> {
    let recipe = zoo::recipe("keras-mnist")?;
    let steps = of_an_epoch(bench)?;
    let images = Subset::first(Arc::clone(&bench.data.train), steps * recipe.train.batch_size);
    let test = Arc::clone(&bench.data.test);
    let config = FitConfig { epochs: EPOCHS as u32, seed, ..recipe.train };
    let job = Job { train: &images, validate: Some(&*test), config };
    let epochs = bench.fit("keras-mnist", recipe.graph, &job)?.history.epochs;
    Ok(Run {
        accuracy: epochs.iter().map(|e| e.val_accuracy.unwrap_or(f64::NAN)).collect(),
        loss: epochs.iter().map(|e| e.loss).collect(),
        test_loss: epochs.iter().map(|e| e.val_loss.unwrap_or(f64::NAN)).collect(),
    })
}

fn findings(accuracy: &[Sample]) -> Vec<Finding> {
    let last = &accuracy[accuracy.len() - 1];
    vec![
        Finding::new(
            "after two epochs the accuracy is high (98 percent or more)",
            ("accuracy after epoch 2", Unit::Percent),
            &accuracy[1].estimate,
            Rule::Above(HIGH),
        ),
        Finding::new(
            "the epochs after that bring little (less than one percent)",
            ("accuracy after the last epoch less that after epoch 2", Unit::Percent),
            &Estimate::of_differences(&last.values, &accuracy[1].values),
            Rule::Below(LITTLE),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn e34_the_verdict_goes_with_the_numbers() {
        let s = |v: f64| Sample::new("s", Unit::Percent, vec![v, v + 1e-4, v - 1e-4]);
        let said = |accuracy: [f64; 5]| Verdict::of_all(&findings(&accuracy.map(s)));
        assert_eq!(said([0.975, 0.985, 0.988, 0.989, 0.990]), Verdict::Holds);
        assert_eq!(said([0.90, 0.95, 0.951, 0.952, 0.953]), Verdict::Partly);
        assert_eq!(said([0.30, 0.50, 0.60, 0.70, 0.80]), Verdict::Fails);
    }
}
