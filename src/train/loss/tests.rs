//! The losses against Keras in f64 (`golden/losses.json`), their gradients against differences of the twin, and
//! what they do with short batches, bad numbers and mistakes.

use serde::Deserialize;

use super::*;
use crate::parallel::Pool;
use crate::rng::Rng;

#[derive(Deserialize)]
struct Golden {
    loss: String,
    label_smoothing: f32,
    class_weights: Option<Vec<f32>>,
    outputs: usize,
    logits: Vec<f32>,
    classes: Vec<u32>,
    values: Option<Vec<f32>>,
    mean: f64,
    gradient: Vec<f64>,
}

impl Golden {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../../../golden/losses.json")).unwrap()
    }

    fn loss(&self) -> Loss {
        let json = match self.loss.as_str() {
            name @ "mean_squared_error" => serde_json::json!({ "name": name }),
            name => serde_json::json!({ "name": name, "label_smoothing": self.label_smoothing }),
        };
        serde_json::from_value(json).unwrap()
    }

    fn targets(&self) -> Targets<'_> {
        self.values.as_ref().map_or(Targets::Classes(&self.classes), |v| Targets::Values(v))
    }
}

// The mean loss and its gradient.
fn run(kernel: &LossKernel, logits: &[f32], targets: Targets<'_>, valid: usize) -> (f64, Vec<f32>) {
    let mut per_sample = vec![f32::NAN; kernel.batch()];
    let mut dlogits = vec![f32::NAN; logits.len()];
    let sum = kernel.forward(Team::solo(), logits, targets, valid, &mut per_sample);
    kernel.backward(Team::solo(), logits, targets, valid, &mut dlogits);
    (sum / valid as f64, dlogits)
}

// Keras' targets of sum s have the gradient p - t; ours is p s - t, the true one. With one-hot targets they agree.
#[test]
fn values_and_gradients_are_those_of_keras() {
    for g in Golden::all() {
        let n = g.classes.len();
        let kernel = g.loss().compile(Isa::best(), n, g.outputs, g.class_weights.as_deref()).unwrap();
        g.loss().check(g.targets(), n, g.outputs).unwrap();
        let (mean, gradient) = run(&kernel, &g.logits, g.targets(), n);
        assert!((mean - g.mean).abs() <= 1e-6 * g.mean.abs(), "{}: {mean} is not {}", g.loss, g.mean);
        for (a, b) in gradient.iter().zip(&g.gradient) {
            assert!((f64::from(*a) - b).abs() <= 1e-7 * b.abs().max(0.1), "{}: {a} is not {b}", g.loss);
        }
    }
}

// E2: cross-entropy. Central differences of the f64 twin against the f32 kernel.
#[test]
fn gradients_are_the_differences_of_the_twin() {
    for g in Golden::all() {
        let (n, weights) = (g.classes.len(), g.class_weights.as_deref());
        let loss = g.loss();
        // Small logits: the twin's plain logarithms lose digits where a probability rounds to 1.
        let logits: Vec<f32> = (0..n * g.outputs).map(|i| ((i * 7 % 11) as f32 - 5.0) / 4.0).collect();
        let kernel = loss.compile(Isa::best(), n, g.outputs, weights).unwrap();
        let (mean, gradient) = run(&kernel, &logits, g.targets(), n);
        let mut x: Vec<f64> = logits.iter().map(|v| f64::from(*v)).collect();
        let twin = |x: &[f64]| loss.twin(x, g.targets(), g.outputs, weights);
        assert!((mean - twin(&x)).abs() < 1e-6 * mean.abs(), "{loss:?}");
        for (i, got) in gradient.iter().enumerate() {
            let start = x[i];
            x[i] = start + 1e-4;
            let above = twin(&x);
            x[i] = start - 1e-4;
            let slope = (above - twin(&x)) / 2e-4;
            x[i] = start;
            assert!((f64::from(*got) - slope).abs() < 1e-6, "{loss:?}: {got} is not {slope}");
        }
    }
}

#[test]
fn soft_targets_need_not_sum_to_one() {
    let loss = Loss::CategoricalCrossEntropy { label_smoothing: 0.0 };
    let (x, t) = ([0.5_f32, -1.0, 2.0], [0.5_f32, 1.0, 0.0]);
    let (mean, gradient) = run(&loss.compile(Isa::best(), 1, 3, None).unwrap(), &x, Targets::Values(&t), 1);
    let sum: f64 = x.iter().map(|x| f64::from(*x).exp()).sum();
    assert!((mean - (0.5 * (sum.ln() - 0.5) + sum.ln() + 1.0)).abs() < 1e-6);
    let first = 1.5 * 0.5_f64.exp() / sum - 0.5;
    assert!((f64::from(gradient[0]) - first).abs() < 1e-7);
}

#[test]
fn a_short_batch_is_the_same_as_a_batch_of_that_size() {
    let loss = Loss::SparseCategoricalCrossEntropy { label_smoothing: 0.1 };
    let logits: Vec<f32> = (0..40).map(|i| (i as f32).sin()).collect();
    let classes = [3, 1, 2, 0];
    let (mean, gradient) =
        run(&loss.compile(Isa::best(), 4, 10, None).unwrap(), &logits, Targets::Classes(&classes), 3);
    let three = loss.compile(Isa::best(), 3, 10, None).unwrap();
    let (expect, three) = run(&three, &logits[..30], Targets::Classes(&classes[..3]), 3);
    assert_eq!((mean, &gradient[..30]), (expect, &three[..]));
    assert_eq!(gradient[30..], [0.0; 10]);
    let none = run(&loss.compile(Isa::best(), 4, 10, None).unwrap(), &logits, Targets::Classes(&classes), 0);
    assert_eq!(none.1, [0.0; 40]);
}

#[test]
fn threads_and_instruction_sets_do_not_change_the_bits() {
    let (n, k) = (300, 100);
    let mut rng = Rng::new(5);
    let logits: Vec<f32> = (0..n * k).map(|_| 4.0 * rng.normal() as f32).collect();
    let classes: Vec<u32> = (0..n).map(|_| rng.below(k as u32)).collect();
    let loss = Loss::SparseCategoricalCrossEntropy { label_smoothing: 0.1 };
    let outcome = |isa: Isa, threads: usize| {
        let kernel = loss.compile(isa, n, k, None).unwrap();
        let (mut per_sample, mut dlogits) = (vec![0.0; n], vec![0.0; n * k]);
        let sum = Pool::new(threads).unwrap().run(|team| {
            kernel.backward(team, &logits, Targets::Classes(&classes), n, &mut dlogits);
            kernel.forward(team, &logits, Targets::Classes(&classes), n, &mut per_sample)
        });
        (sum.to_bits(), per_sample, dlogits)
    };
    let expect = outcome(Isa::best(), 1);
    for isa in Isa::all() {
        assert!(outcome(isa, 3) == expect, "{isa}");
    }
}

#[test]
fn bad_numbers_give_bad_losses_and_no_panic() {
    for loss in KNOWN.map(|(_, loss)| loss) {
        let kernel = loss.compile(Isa::best(), 1, 3, None).unwrap();
        let (mean, gradient) = run(&kernel, &[0.0, f32::NAN, 1.0], Targets::Classes(&[0]), 1);
        assert!(mean.is_nan() && gradient[1].is_nan(), "{loss:?}");
        let (mean, _) = run(&kernel, &[0.0, f32::INFINITY, 1.0], Targets::Classes(&[0]), 1);
        assert!(!mean.is_finite(), "{loss:?}");
        let (mean, gradient) = run(&kernel, &[0.0, 2.0, 1.0], Targets::Classes(&[3]), 1);
        assert!(mean.is_nan() && gradient[0].is_nan(), "{loss:?}");
    }
    let softmax = Loss::CategoricalCrossEntropy { label_smoothing: 0.0 }.compile(Isa::best(), 1, 2, None).unwrap();
    let (mean, gradient) = run(&softmax, &[1e30, -1e30], Targets::Classes(&[0]), 1);
    assert_eq!((mean, gradient), (0.0, vec![0.0, 0.0]), "huge logits do not overflow");
    assert_eq!(run(&softmax, &[1.0, f32::NEG_INFINITY], Targets::Values(&[1.0, 0.0]), 1).0, 0.0);
}

#[test]
fn mistakes_are_told_with_the_remedy() {
    let said = |e: Error| e.to_string();
    assert!(said("categorical_cros_entropy".parse::<Loss>().unwrap_err()).contains("did you mean 'categorical_"));
    let loss = Loss::CategoricalCrossEntropy { label_smoothing: 1.5 };
    assert_eq!(
        said(loss.compile(Isa::best(), 1, 3, None).unwrap_err()),
        "label_smoothing = 1.5 is out of range (it must be between 0 and 1)"
    );
    let loss: Loss = "sparse categorical crossentropy".parse().unwrap();
    assert!(said(loss.compile(Isa::best(), 1, 1, None).unwrap_err()).contains("binary_cross_entropy"));
    assert!(loss.compile(Isa::best(), 1, 3, Some(&[1.0, 2.0])).is_err());
    assert!(loss.compile(Isa::best(), 1, 2, Some(&[1.0, f32::NAN])).is_err());
    assert!(said(loss.check(Targets::Classes(&[0, 7]), 2, 3).unwrap_err()).starts_with("sample 1 has class 7"));
    assert!(loss.check(Targets::Classes(&[0]), 2, 3).is_err());
    assert!(loss.check(Targets::Values(&[0.0; 6]), 2, 3).is_err());
}

proptest::proptest! {
    // Softmax: shifting all logits changes nothing, so a sample's gradient sums to 0; and no loss is negative.
    #[test]
    fn softmax_gradients_sum_to_zero(
        logits in proptest::collection::vec(-50.0_f32..50.0, 2..130),
        class in 0..2_u32,
        label_smoothing in 0.0_f32..=1.0,
    ) {
        let loss = Loss::SparseCategoricalCrossEntropy { label_smoothing };
        let kernel = loss.compile(Isa::best(), 1, logits.len(), None).unwrap();
        let (mean, gradient) = run(&kernel, &logits, Targets::Classes(&[class]), 1);
        proptest::prop_assert!(mean >= 0.0);
        let sum: f64 = gradient.iter().map(|g| f64::from(*g)).sum();
        proptest::prop_assert!(sum.abs() < 1e-6, "{}", sum);
    }
}
