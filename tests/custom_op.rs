//! A user's own op: it trains, it is checked like all others, and it is told apart when a model is stored.

use std::sync::Arc;

use striate::inspect::{CheckConfig, certificate};
use striate::ops::{Compiled, Ctx, Dense, Flatten, Io, Needs, Op, Rule, Step, Twin};
use striate::train::FitConfig;
use striate::{Result, Sequential, Shape, data};

/// `y = x^2`, with a backward pass that is right, or wrong by a factor.
#[derive(Debug)]
struct Square {
    factor: f32,
}

struct Squaring {
    factor: f32,
}

impl Rule for Square {
    fn class(&self) -> &'static str {
        "Square"
    }

    fn shape(&self, x: &[Shape]) -> Result<Shape> {
        Ok(x[0])
    }

    fn mul_adds(&self, _x: &[Shape], y: Shape) -> u64 {
        y.len() as u64
    }

    fn compile(&self, _ctx: &Ctx<'_>) -> Result<Compiled> {
        let needs = Needs { x: true, y: false };
        let step = Box::new(Squaring { factor: self.factor });
        Ok(Compiled { needs, ..Compiled::new(step) })
    }

    fn twin(&self, t: &Twin<'_>) -> Vec<f64> {
        t.x[0].iter().map(|x| x * x).collect()
    }
}

impl Step for Squaring {
    fn forward(&self, io: &Io<'_>) {
        io.y_mut().iter_mut().zip(io.x(0).iter()).for_each(|(y, x)| *y = x * x);
    }

    fn backward(&self, io: &Io<'_>) {
        if let Some(mut dx) = io.dx(0) {
            let (x, dy) = (io.x(0), io.dy());
            dx.iter_mut().zip(x.iter().zip(dy.iter())).for_each(|(dx, (x, dy))| *dx = self.factor * 2.0 * x * dy);
        }
    }
}

fn network(factor: f32) -> Sequential {
    let square: Arc<dyn Rule> = Arc::new(Square { factor });
    Sequential::new([28, 28, 1]).add(Flatten::new()).add(Dense::new(16)).add(Op::Custom(square)).add(Dense::new(10))
}

#[test]
fn it_trains_and_passes_the_check() {
    let few = data::load("mnist").unwrap().first(1000, 100);
    let mut model = network(1.0).build(0).unwrap();
    let config = FitConfig { epochs: 3, ..FitConfig::default() };
    let history = model.fit(&*few.train, &config).unwrap();
    assert!(history.epochs[2].loss < 0.8 * history.epochs[0].loss);
    let result = certificate(&model, &CheckConfig::default(), &mut |_| {}).unwrap();
    assert!(result.passed(), "{result:?}");
}

/// A gradient that is wrong by a quarter trains all the same; the check finds it, and names the layer.
#[test]
fn a_wrong_gradient_is_found() {
    let model = network(0.75).build(0).unwrap();
    let result = certificate(&model, &CheckConfig::default(), &mut |_| {}).unwrap();
    let wrong: Vec<&str> = result.lines.iter().filter(|l| !l.passed).map(|l| l.layer.as_str()).collect();
    assert_eq!(wrong, ["square"]);
    let line = result.lines.iter().find(|l| l.layer == "square").unwrap();
    assert!((line.dx.unwrap() - 0.25).abs() < 1e-3, "{line:?}");
}

#[test]
fn it_cannot_be_stored_and_says_so() {
    let model = network(1.0).build(0).unwrap();
    let path = std::env::temp_dir().join(format!("striate-custom-{}.striate", std::process::id()));
    let message = model.save(&path).unwrap_err().to_string();
    assert!(message.contains("custom op (Square) cannot be stored"), "{message}");
    assert!(!path.exists());
}
