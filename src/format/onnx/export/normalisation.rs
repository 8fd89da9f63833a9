//! Normalisations, and dropout.

use super::super::constant::transposed;
use super::{Exporter, Held, float, int};
use crate::error::{Error, Result};
use crate::ops::{Affine, BatchNorm, Dropout, GroupNorm, LayerNorm, Lrn, PRelu, Slopes};

impl Exporter<'_> {
    pub(super) fn batch_norm(&mut self, op: &BatchNorm, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let c = x.dims[0];
        let mut names = vec![x.name.clone()];
        for (name, default) in [("gamma", 1.0), ("beta", 0.0), ("moving_mean", 0.0), ("moving_variance", 1.0)] {
            names.push(self.or_filled(name, c, default));
        }
        let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let attributes = vec![float("epsilon", op.epsilon), float("momentum", op.momentum)];
        Ok(x.named(self.emit("BatchNormalization", &inputs, attributes)))
    }

    // A parameter, or where the layer has none, so many equal numbers.
    pub(super) fn or_filled(&mut self, name: &str, len: usize, default: f32) -> String {
        match self.param(name) {
            Ok(p) => self.floats(name, &[len], &p.data),
            Err(_) => self.floats(name, &[len], &vec![default; len]),
        }
    }

    pub(super) fn group_norm(&mut self, op: &GroupNorm, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let c = x.dims[0];
        let epsilon = float("epsilon", op.epsilon);
        if self.opset >= 21 && op.groups != c {
            let (gamma, beta) = (self.or_filled("gamma", c, 1.0), self.or_filled("beta", c, 0.0));
            let attributes = vec![epsilon, int("num_groups", op.groups as i64)];
            return Ok(x.named(self.emit("GroupNormalization", &[&x.name, &gamma, &beta], attributes)));
        }
        if op.groups == c && x.dims.len() > 1 {
            let (gamma, beta) = (self.or_filled("gamma", c, 1.0), self.or_filled("beta", c, 0.0));
            return Ok(x.named(self.emit("InstanceNormalization", &[&x.name, &gamma, &beta], vec![epsilon])));
        }
        // A group as one long channel, then the scale and the offset of each channel.
        let shape = self.ints("groups", &[0, op.groups as i64, -1]);
        let rows = self.emit("Reshape", &[&x.name, &shape], Vec::new());
        let (ones, zeros) = (vec![1.0; op.groups], vec![0.0; op.groups]);
        let (ones, zeros) = (self.floats("ones", &[op.groups], &ones), self.floats("zeros", &[op.groups], &zeros));
        let even = self.emit("InstanceNormalization", &[&rows, &ones, &zeros], vec![epsilon]);
        let shape: Vec<i64> = [0].into_iter().chain(x.dims.iter().map(|d| *d as i64)).collect();
        let shape = self.ints("shape", &shape);
        let back = self.emit("Reshape", &[&even, &shape], Vec::new());
        self.scaled(&x.named(back), op.scale, op.center)
    }

    // By `gamma` and `beta` of each channel, as far as the layer has them.
    fn scaled(&mut self, x: &Held, scale: bool, shift: bool) -> Result<Held> {
        let mut name = x.name.clone();
        let dims = channels(x);
        for (_, op, param) in [(scale, "Mul", "gamma"), (shift, "Add", "beta")].into_iter().filter(|(is, ..)| *is) {
            let p = self.param(param)?;
            let numbers = self.floats(param, &dims, &p.data);
            name = self.emit(op, &[&name, &numbers], Vec::new());
        }
        Ok(x.named(name))
    }

    pub(super) fn affine(&mut self, op: &Affine, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        self.scaled(&x, op.scale, op.bias)
    }

    pub(super) fn prelu(&mut self, op: &PRelu, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let p = self.param("alpha")?;
        let slope = match op.alpha {
            Slopes::Channel => self.floats("alpha", &channels(&x), &p.data),
            Slopes::One => self.floats("alpha", &[1], &p.data),
            Slopes::Element => {
                let order = super::channels_first(p.dims.len());
                self.floats("alpha", &x.dims, &transposed(&p.data, &p.dims, &order))
            }
        };
        Ok(x.named(self.emit("PRelu", &[&x.name, &slope], Vec::new())))
    }

    // The axes that are normalised must be the last ones, in our order.
    pub(super) fn layer_norm(&mut self, op: &LayerNorm, x: &Held) -> Result<Held> {
        if self.opset < 17 {
            return Err(Error::argument("layer normalisation needs operator set 17")
                .with_help(format!("export with a newer one than {}", self.opset)));
        }
        let axes: Vec<usize> = (0..x.layout.rank()).collect();
        let x = self.arrange(x, &axes.iter().map(std::slice::from_ref).collect::<Vec<_>>());
        let dims = &x.dims[x.dims.len() - op.axes..].to_vec();
        let len = dims.iter().product();
        let data = self.param("gamma").map_or_else(|_| vec![1.0; len], |p| p.data.to_vec());
        let gamma = self.floats("gamma", dims, &data);
        let beta = match op.center {
            true => Some(self.floats("beta", dims, &self.param("beta")?.data)),
            false => None,
        };
        let inputs: Vec<&str> = [x.name.as_str(), &gamma].into_iter().chain(beta.as_deref()).collect();
        let attributes = vec![int("axis", -(op.axes as i64)), float("epsilon", op.epsilon)];
        Ok(x.named(self.emit("LayerNormalization", &inputs, attributes)))
    }

    pub(super) fn lrn(&mut self, op: &Lrn, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let alpha = if op.average { op.alpha } else { op.alpha * op.size as f32 };
        let (beta, k) = (float("beta", op.beta), float("bias", op.k));
        let attributes = vec![int("size", op.size as i64), float("alpha", alpha), beta, k];
        Ok(x.named(self.emit("LRN", &[&x.name], attributes)))
    }

    pub(super) fn dropout(&mut self, op: &Dropout, x: &Held) -> Result<Held> {
        let ratio = self.floats("ratio", &[], &[op.rate]);
        Ok(x.named(self.emit("Dropout", &[&x.name, &ratio], Vec::new())))
    }
}

// The sizes of a constant that has one number for each channel of a tensor.
fn channels(x: &Held) -> Vec<usize> {
    [x.dims[0]].into_iter().chain(x.dims[1..].iter().map(|_| 1)).collect()
}
