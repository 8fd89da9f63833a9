//! Conv2D, Conv1D and Dense as ops: forward against the formula in f64, gradients against finite differences.

use striate::Shape;
use striate::conv::{Padding, algorithms};
use striate::ops::check::{Options, check};
use striate::ops::{Activation, Conv1D, Conv2D, Ctx, Dense, Fusion, Mode, Rule, fuses};
use striate::simd::Isa;

/// Sums here have at most 500 terms, whose f32 rounding errors stay below `sqrt(500) 2^-24 = 1.3e-6` of the largest
/// value times a small factor; the finite differences add about 1e-9.
const TOLERANCE: f64 = 1e-5;

fn conv2ds() -> Vec<(Conv2D, [usize; 3])> {
    let sides = Padding::Explicit { top: 1, bottom: 0, left: 2, right: 1 };
    vec![
        (Conv2D::new(5, 3), [6, 7, 3]),
        (Conv2D::new(32, 3).padding(Padding::Same).activation(Activation::Relu), [7, 7, 1]),
        (Conv2D::new(10, [3, 2]).padding(sides).pad_value(0.5).stride(2), [8, 7, 4]),
        (Conv2D::new(6, 3).groups(3).padding(Padding::Same).no_bias(), [5, 5, 6]),
        (Conv2D::new(20, 3).groups(20).padding(Padding::Same).activation(Activation::Relu6), [6, 5, 20]),
        (Conv2D::new(4, 3).dilation([2, 1]).padding(Padding::Full).activation(Activation::LeakyRelu(0.1)), [5, 6, 2]),
        (Conv2D::new(30, 1).stride([1, 2]), [4, 5, 17]),
        (Conv2D::new(8, 5).padding(Padding::all(2)).stride(3), [9, 9, 2]),
        (Conv2D::new(17, 3).padding(Padding::Same).activation(Activation::Relu), [13, 12, 18]),
    ]
}

fn assert_near(rule: &dyn Rule, shape: Shape, options: Options<'_>) {
    let report = check(rule, &[shape], options).unwrap();
    assert!(report.worst() < TOLERANCE, "{rule:?} on {shape} with {options:?}: {report:?}");
}

#[test]
fn m20_l2_l8_conv2d_and_its_gradients_are_right() {
    for (conv, shape) in conv2ds() {
        for isa in Isa::all() {
            assert_near(&conv, shape.into(), Options { isa, batch: 3, ..Options::default() });
        }
    }
}

#[test]
fn every_algorithm_trains() {
    for (conv, shape) in conv2ds() {
        for algorithm in algorithms() {
            let takes = match algorithm {
                "depthwise" => conv.groups > 1 && conv.groups == conv.filters,
                "lowered" => conv.groups == 1,
                "winograd" => conv.filters == 17,
                // They are for some passes alone; `tests/conv.rs` has them.
                "pointwise" | "narrow" | "packed" => false,
                _ => true,
            };
            if takes {
                let options = Options { algorithm: Some(algorithm), samples: 12, ..Options::default() };
                assert_near(&conv, shape.into(), options);
            }
        }
    }
}

#[test]
fn conv1d_and_its_gradients_are_right() {
    let sides = Padding::Explicit { top: 9, bottom: 9, left: 2, right: 1 };
    for conv in [
        Conv1D::new(6, 5),
        Conv1D::new(33, 3).padding(Padding::Same).activation(Activation::Relu),
        Conv1D::new(4, 3).stride(2).dilation(2).padding(Padding::Full).no_bias(),
        Conv1D::new(8, 4).groups(4).padding(sides),
    ] {
        assert_near(&conv, [23, 4].into(), Options::default());
    }
    assert_eq!(Conv1D::new(6, 5).params(&[[23, 4].into()])[0].dims, [5, 4, 6]);
}

#[test]
fn l7_dense_and_its_gradients_are_right() {
    for (dense, features) in [
        (Dense::new(10), 64),
        (Dense::new(64).activation(Activation::Relu), 300),
        (Dense::new(1).no_bias(), 3),
        (Dense::new(40).activation(Activation::LeakyRelu(0.3)), 1),
    ] {
        for isa in Isa::all() {
            assert_near(&dense, [features].into(), Options { isa, batch: 17, ..Options::default() });
        }
    }
}

#[test]
fn inference_is_right() {
    for (conv, shape) in conv2ds() {
        assert_near(&conv, shape.into(), Options { mode: Mode::Infer, batch: 1, ..Options::default() });
    }
}

// L13: W2 is [3, 3, 32, 64]; M38, D13: 784 weights against 9; Dense(64) has as many parameters as the third
// convolution by coincidence.
#[test]
fn l13_m38_d13_parameters_and_cost() {
    let len = |rule: &dyn Rule, x: Shape| rule.params(&[x]).iter().map(|p| p.len()).sum::<usize>();
    let conv = Conv2D::new(64, 3);
    assert_eq!(conv.params(&[[14, 14, 32].into()])[0].dims, [3, 3, 32, 64]);
    assert_eq!((len(&conv, [7, 7, 64].into()), len(&Dense::new(64), [576].into())), (36_928, 36_928));
    assert_eq!(len(&Dense::new(1).no_bias(), [784].into()), 784);
    assert_eq!(len(&Conv2D::new(1, 3).no_bias(), [28, 28, 1].into()), 9);
    assert_eq!(conv.params(&[[14, 14, 32].into()])[0].fans, (288, 576));
    assert_eq!(conv.mul_adds(&[[14, 14, 32].into()], [12, 12, 64].into()), 288 * 12 * 12 * 64);
}

#[test]
fn ops_read_and_write_as_text() {
    let full =
        Conv2D::new(8, [3, 5]).stride(2).padding(Padding::Same).groups(2).no_bias().activation(Activation::Relu6);
    for conv in [full, Conv2D::new(8, 3).dilation([1, 2]).pad_value(1.5)] {
        let text = serde_json::to_string(&conv).unwrap();
        assert_eq!(serde_json::from_str::<Conv2D>(&text).unwrap(), conv, "{text}");
    }
    let small: Conv1D = serde_json::from_str(r#"{"filters": 4, "kernel": 3, "padding": 1}"#).unwrap();
    assert_eq!(small, Conv1D::new(4, 3).padding(Padding::all(1)));
    let wrong = serde_json::from_str::<Conv2D>(r#"{"filters": 4, "kernel": 3, "strides": 2}"#).unwrap_err();
    assert!(wrong.to_string().contains("unknown field `strides`"), "{wrong}");
    assert!(
        serde_json::from_str::<Conv2D>(r#"{"filters": 4, "kernel": [3]}"#).unwrap_err().to_string().contains("pair")
    );
    assert_eq!(serde_json::from_str::<Dense>(r#"{"units": 10}"#).unwrap(), Dense::new(10));
}

#[test]
fn wrong_inputs_are_explained() {
    let error = |rule: &dyn Rule, x: &[Shape]| rule.shape(x).unwrap_err().to_string();
    assert!(error(&Conv2D::new(4, 3), &[[28, 28].into()]).contains("h, w, c"));
    assert!(error(&Conv2D::new(4, 3), &[]).contains("one input, not 0"));
    assert!(error(&Conv2D::new(4, 5), &[[3, 8, 1].into()]).contains("kernel 5"));
    assert!(error(&Conv2D::new(4, 3).groups(3), &[[8, 8, 3].into()]).contains("3 groups do not divide 4 filters"));
    assert!(error(&Conv1D::new(4, 3), &[[8, 8, 3].into()]).contains("Conv2D"));
    assert!(error(&Dense::new(4), &[[8, 8, 3].into()]).contains("192 features"));
    assert!(error(&Conv2D::new(0, 3), &[[8, 8, 3].into()]).contains("filters 0"));
}

#[test]
fn only_some_activations_are_fused() {
    assert!(
        [Activation::Linear, Activation::Relu, Activation::Relu6, Activation::LeakyRelu(0.1)]
            .map(fuses)
            .iter()
            .all(|f| *f)
    );
    assert!(
        ![Activation::Softmax, Activation::Elu(1.0), Activation::LeakyRelu(-0.1), Activation::LeakyRelu(0.0)]
            .map(fuses)
            .iter()
            .any(|f| *f)
    );
    let (x, needs_dx) = ([Shape::from([8])], [true]);
    let ctx = Ctx {
        batch: 1,
        x: &x,
        y: [4].into(),
        mode: Mode::Infer,
        isa: Isa::best(),
        threads: 1,
        needs_dx: &needs_dx,
        algorithm: None,
        fusion: Fusion::default(),
        prepare: false,
    };
    let refused = Dense::new(4).activation(Activation::Softmax).compile(&ctx).err().unwrap();
    assert!(refused.to_string().contains("Softmax"), "{refused}");
    let notes = Dense::new(4).compile(&ctx).unwrap().notes;
    assert!(notes.len() == 1 && notes[0].starts_with("forward: pointwise (winograd: "), "{notes:?}");
}
