//! The ops against Keras 3 on TensorFlow: outputs, gradients and moving statistics from `golden/make_ops.py` and
//! `golden/make_spatial.py`.

use serde::Deserialize;
use serde_json::Value;
use striate::Shape;
use striate::ops::check::{Numbers, Options, relative, run};
use striate::ops::{
    Activation, AdaptivePool2D, Add, BatchNorm, Concat, ConvTranspose2D, Flatten, GlobalPool, Lrn, Mode, Pool1D,
    Pool2D, Rule, SeparableConv2D, Upsample2D, ZeroPad,
};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

/// One op on one set of numbers, and what Keras made of them.
#[derive(Deserialize)]
struct Case {
    op: String,
    config: Value,
    shapes: Vec<Shape>,
    batch: usize,
    x: Vec<Vec<f32>>,
    w: Vec<Vec<f32>>,
    dy: Vec<f32>,
    y: Vec<f64>,
    dx: Vec<Vec<f64>>,
    dw: Vec<Vec<f64>>,
    w_after: Vec<Vec<f64>>,
}

impl Case {
    fn rule(&self) -> Box<dyn Rule> {
        fn read<R: Rule + for<'a> Deserialize<'a> + 'static>(config: &Value) -> Box<dyn Rule> {
            Box::new(serde_json::from_value::<R>(config.clone()).expect("a config of this op"))
        }
        let read = match self.op.as_str() {
            "Activation" => read::<Activation>,
            "AdaptivePool2D" => read::<AdaptivePool2D>,
            "Add" => read::<Add>,
            "BatchNorm" | "BatchNorm (inference)" => read::<BatchNorm>,
            "Concat" => read::<Concat>,
            "ConvTranspose2D" => read::<ConvTranspose2D>,
            "Flatten" => read::<Flatten>,
            "GlobalPool" => read::<GlobalPool>,
            "Lrn" => read::<Lrn>,
            "Pool1D" => read::<Pool1D>,
            "Pool2D" => read::<Pool2D>,
            "SeparableConv2D" => read::<SeparableConv2D>,
            "Upsample2D" => read::<Upsample2D>,
            "ZeroPad" => read::<ZeroPad>,
            other => panic!("no op {other}"),
        };
        read(&self.config)
    }

    // The largest difference to Keras, relative to the largest number of its array.
    fn difference(&self) -> f64 {
        let mode = if self.op.ends_with("(inference)") { Mode::Infer } else { Mode::Train };
        let numbers = Numbers { x: self.x.clone(), w: self.w.clone(), dy: self.dy.clone() };
        let options = Options { batch: self.batch, mode, ..Options::default() };
        let got = run(&*self.rule(), &self.shapes, options, &numbers).expect("shapes fit");
        assert_eq!(got.y.len(), self.y.len());
        let pairs = std::iter::once((&got.y, &self.y)).chain(got.w.iter().zip(&self.w_after));
        let gradients = got.dx.iter().zip(&self.dx).chain(got.dw.iter().zip(&self.dw));
        let gradients = gradients.filter(|_| mode == Mode::Train);
        pairs.chain(gradients).map(|(got, want)| relative(got, want)).fold(0.0, f64::max)
    }
}

#[test]
fn outputs_and_gradients_are_those_of_keras() {
    for (file, count) in [("ops", 35), ("spatial", 19)] {
        let path = format!("{}/golden/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(golden.cases.len() >= count, "{file}: {} cases", golden.cases.len());
        for case in golden.cases {
            let difference = case.difference();
            assert!(difference < 3e-6, "{} {} on {:?}: {difference:e}", case.op, case.config, case.shapes);
        }
    }
}
