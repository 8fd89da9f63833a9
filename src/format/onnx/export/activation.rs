//! Activation functions; what the operator set lacks is written as a formula.

use super::{AttributeProto, Exporter, Held, float, int, text};
use crate::error::Result;
use crate::ops::Activation;

const SIXTH: f32 = 1.0 / 6.0;

impl<'m> Exporter<'m> {
    pub(super) fn activation(&mut self, function: Activation, x: &Held) -> Result<Held> {
        let one = |op: &'static str| (op, Vec::new());
        let (op, attributes): (&str, Vec<AttributeProto<'m>>) = match function {
            Activation::Linear => return Ok(x.clone()),
            Activation::Relu => one("Relu"),
            Activation::Relu6 => return Ok(self.clip(x, 0.0, 6.0)),
            Activation::LeakyRelu(slope) => ("LeakyRelu", vec![float("alpha", slope)]),
            Activation::Elu(alpha) => ("Elu", vec![float("alpha", alpha)]),
            Activation::Selu => one("Selu"),
            Activation::Silu => return Ok(self.gated(x, "Sigmoid", Vec::new())),
            Activation::HardSwish if self.opset >= 14 => one("HardSwish"),
            Activation::HardSwish => return Ok(self.gated(x, "HardSigmoid", vec![float("alpha", SIXTH)])),
            Activation::HardSigmoid => ("HardSigmoid", vec![float("alpha", SIXTH)]),
            Activation::Gelu if self.opset >= 20 => one("Gelu"),
            Activation::GeluTanh if self.opset >= 20 => ("Gelu", vec![text("approximate", "tanh")]),
            Activation::Gelu => return Ok(self.gelu(x)),
            Activation::GeluTanh => return Ok(self.gelu_tanh(x)),
            Activation::Mish if self.opset >= 18 => one("Mish"),
            Activation::Mish => return Ok(self.mish(x)),
            Activation::Softplus => one("Softplus"),
            Activation::Softsign => one("Softsign"),
            Activation::Exponential => one("Exp"),
            Activation::Sigmoid => one("Sigmoid"),
            Activation::Tanh => one("Tanh"),
            Activation::Softmax => return self.along("Softmax", x),
            Activation::LogSoftmax => return self.along("LogSoftmax", x),
        };
        Ok(x.named(self.emit(op, &[&x.name], attributes)))
    }

    // Over the channels, which come right behind the batch.
    fn along(&mut self, op: &str, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        Ok(x.named(self.emit(op, &[&x.name], vec![int("axis", 1)])))
    }

    fn number(&mut self, what: &str, value: f32) -> String {
        self.floats(what, &[], &[value])
    }

    fn clip(&mut self, x: &Held, low: f32, high: f32) -> Held {
        let (low, high) = (self.number("min", low), self.number("max", high));
        x.named(self.emit("Clip", &[&x.name, &low, &high], Vec::new()))
    }

    // x g(x).
    fn gated(&mut self, x: &Held, gate: &str, attributes: Vec<AttributeProto<'m>>) -> Held {
        let gate = self.emit(gate, &[&x.name], attributes);
        x.named(self.emit("Mul", &[&x.name, &gate], Vec::new()))
    }

    fn mish(&mut self, x: &Held) -> Held {
        let inner = self.emit("Softplus", &[&x.name], Vec::new());
        let gate = self.emit("Tanh", &[&inner], Vec::new());
        x.named(self.emit("Mul", &[&x.name, &gate], Vec::new()))
    }

    // x (1 + erf(x / sqrt 2)) / 2.
    fn gelu(&mut self, x: &Held) -> Held {
        let root = self.number("root", std::f32::consts::SQRT_2);
        let scaled = self.emit("Div", &[&x.name, &root], Vec::new());
        let erf = self.emit("Erf", &[&scaled], Vec::new());
        self.half_of_one_plus(x, &erf)
    }

    // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    fn gelu_tanh(&mut self, x: &Held) -> Held {
        let [three, cubic] = [self.number("three", 3.0), self.number("cubic", 0.044_715)];
        let scale = self.number("scale", (2.0 / std::f32::consts::PI).sqrt());
        let cube = self.emit("Pow", &[&x.name, &three], Vec::new());
        let cube = self.emit("Mul", &[&cubic, &cube], Vec::new());
        let sum = self.emit("Add", &[&x.name, &cube], Vec::new());
        let scaled = self.emit("Mul", &[&sum, &scale], Vec::new());
        let tanh = self.emit("Tanh", &[&scaled], Vec::new());
        self.half_of_one_plus(x, &tanh)
    }

    fn half_of_one_plus(&mut self, x: &Held, inner: &str) -> Held {
        let [one, half] = [self.number("one", 1.0), self.number("half", 0.5)];
        let sum = self.emit("Add", &[inner, &one], Vec::new());
        let product = self.emit("Mul", &[&x.name, &sum], Vec::new());
        x.named(self.emit("Mul", &[&product, &half], Vec::new()))
    }
}
