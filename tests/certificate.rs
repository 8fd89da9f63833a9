//! The certificate of correctness passes every network of the zoo, and finds operations that are wrong.

use std::sync::Arc;

use striate::inspect::{CheckConfig, certificate};
use striate::ops::{Activation, Compiled, Conv2D, Ctx, Dense, Flatten, Io, Op, Pool2D, Rule, Step, Twin};
use striate::{Model, Result, Sequential, Shape, zoo};

fn failed(model: &Model) -> Vec<String> {
    let found = certificate(model, &CheckConfig::default(), &mut |_| {}).unwrap();
    found.lines.iter().filter(|line| !line.passed).map(|line| format!("{line:?}")).collect()
}

#[test]
fn every_network_of_the_zoo_passes() {
    for entry in zoo::entries().iter().filter(|e| e.family.contains("MNIST")) {
        let model = Model::new(zoo::recipe(entry.name).unwrap().graph, 0).unwrap();
        assert_eq!(failed(&model), [""; 0], "{}", entry.name);
    }
}

/// At 32x32 the last normalisations see one pixel of each sample.
#[test]
fn a_large_network_passes_on_a_small_input() {
    let small = zoo::Options { input: Some([32, 32, 3]), classes: Some(10) };
    for name in ["mobilenet-v2", "squeezenet-1.1"] {
        let model = Model::new(zoo::build(name, &small).unwrap().graph, 0).unwrap();
        let config = CheckConfig { samples: 2, ..CheckConfig::default() };
        let found = certificate(&model, &config, &mut |_| {}).unwrap();
        let failed: Vec<_> = found.lines.iter().filter(|line| !line.passed).collect();
        assert!(failed.is_empty(), "{name}: {failed:?}");
    }
}

/// A max-pool whose gradient is a quarter of the truth, as if the winner had to share it with its window.
#[derive(Debug)]
struct Quarter(Pool2D);

impl Rule for Quarter {
    fn class(&self) -> &'static str {
        "Quarter"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        self.0.shape(x)
    }

    fn mul_adds(&self, x: &[Shape], y: Shape) -> u64 {
        self.0.mul_adds(x, y)
    }

    fn compile(&self, ctx: &Ctx<'_>) -> Result<Compiled> {
        let right = self.0.compile(ctx)?;
        Ok(Compiled { step: Box::new(QuarterStep(right.step)), ..right })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        self.0.twin(t)
    }
}

struct QuarterStep(Box<dyn Step>);

impl Step for QuarterStep {
    fn forward(&self, io: &Io<'_>) {
        self.0.forward(io);
    }

    fn backward(&self, io: &Io<'_>) {
        io.dy_mut().iter_mut().for_each(|dy| *dy /= 4.0);
        self.0.backward(io);
    }
}

#[test]
fn a_pool_with_a_quarter_of_the_gradient_is_found_although_relu_makes_ties() {
    let model = |pool: Op| {
        Sequential::new([12, 12, 1])
            .add(Conv2D::new(4, 3).activation(Activation::Relu))
            .add(pool)
            .add(Flatten::new())
            .add(Dense::new(3))
            .build(0)
            .unwrap()
    };
    assert_eq!(failed(&model(Pool2D::max(2).into())), [""; 0]);
    let found = failed(&model(Op::Custom(Arc::new(Quarter(Pool2D::max(2))))));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("Quarter"), "{found:?}");
}
