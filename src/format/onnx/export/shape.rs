//! Ops that join, cut, pad and rearrange.

use super::super::layout::Layout;
use super::{Exporter, Held, int, text};
use crate::error::Result;
use crate::ops::{MergeKind, Pad2D, PadMode, Slice, Upsample2D, UpsampleMethod, ZeroPad};
use crate::tensor::Shape;

/// ONNX's operator for a merge.
pub(super) fn operator(kind: MergeKind) -> &'static str {
    match kind {
        MergeKind::Multiply => "Mul",
        MergeKind::Subtract => "Sub",
        MergeKind::Divide => "Div",
        MergeKind::Maximum => "Max",
        MergeKind::Minimum => "Min",
        MergeKind::Average => "Mean",
    }
}

impl Exporter<'_> {
    pub(super) fn merge(&mut self, op: &str, shapes: &[Shape], y: Shape, x: &[Held]) -> Result<Held> {
        let alike = x.iter().all(|other| other.layout == x[0].layout && other.dims == x[0].dims);
        let mut held = x.to_vec();
        for (held, shape) in held.iter_mut().zip(shapes).filter(|_| !alike) {
            // Shapes agree at the last axes, as in NumPy; ours may have fewer axes in front.
            let missing: Vec<usize> = (0..y.rank() - shape.rank()).collect();
            *held = self.canonical(&Held { layout: held.layout.unsqueeze(&missing), ..held.clone() })?;
        }
        let pairwise = ["Mul", "Sub", "Div"].contains(&op) || (op == "Sum" && x.len() == 2);
        let operator = if op == "Sum" && pairwise { "Add" } else { op };
        let names: Vec<&str> = held.iter().map(|x| x.name.as_str()).collect();
        let name = match names[..] {
            [first, ref rest @ ..] if pairwise => {
                let mut name = first.to_string();
                for other in rest {
                    name = self.emit(operator, &[&name, other], Vec::new());
                }
                name
            }
            _ => self.emit(operator, &names, Vec::new()),
        };
        Ok(if alike { x[0].named(name) } else { Held::channels_first(name, y) })
    }

    pub(super) fn concat(&mut self, y: Shape, x: &[Held]) -> Result<Held> {
        let mut names = Vec::new();
        for x in x {
            names.push(self.canonical(x)?.name);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(Held::channels_first(self.emit("Concat", &names, vec![int("axis", 1)]), y))
    }

    // The numbers counted through in our order, with other axes.
    pub(super) fn reshape(&mut self, y: Shape, x: &Held) -> Result<Held> {
        if let Some(layout) = x.layout.reshape(y.dims()) {
            return Ok(Held { layout, ..x.clone() });
        }
        let all: Vec<usize> = (0..x.layout.rank()).collect();
        let flat = self.arrange(x, &[&all]);
        Ok(Held { layout: Layout::plain(y.dims()), ..flat })
    }

    pub(super) fn slice(&mut self, op: &Slice, shape: Shape, y: Shape, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let rank = shape.rank();
        let ours = if op.axis < 0 { rank - op.axis.unsigned_abs() } else { op.axis.unsigned_abs() };
        let axis = if ours == rank - 1 { 1 } else { ours + 2 };
        let starts = self.ints("starts", &[op.start as i64]);
        let ends = self.ints("ends", &[op.end as i64]);
        let axes = self.ints("axes", &[axis as i64]);
        Ok(Held::channels_first(self.emit("Slice", &[&x.name, &starts, &ends, &axes], Vec::new()), y))
    }

    pub(super) fn zero_pad(&mut self, op: &ZeroPad, y: Shape, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let padded = self.pad(&x, &[op.top, op.left, op.bottom, op.right], "constant", 0.0);
        Ok(Held::channels_first(padded.name, y))
    }

    pub(super) fn pad2d(&mut self, op: &Pad2D, y: Shape, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let (mode, value) = match op.mode {
            PadMode::Constant(value) => ("constant", value),
            PadMode::Reflect => ("reflect", 0.0),
            PadMode::Edge => ("edge", 0.0),
        };
        let padded = self.pad(&x, &[op.top, op.left, op.bottom, op.right], mode, value);
        Ok(Held::channels_first(padded.name, y))
    }

    /// A tensor `[n, c, ..]` with so many elements before each axis, then after each. Its sizes are not followed.
    pub(super) fn pad(&mut self, x: &Held, pads: &[usize], mode: &'static str, value: f32) -> Held {
        let (before, after) = pads.split_at(pads.len() / 2);
        let list = [&[0, 0], before, &[0, 0], after].concat();
        let pads = self.ints("pads", &list.iter().map(|p| *p as i64).collect::<Vec<_>>());
        let name = if mode == "constant" {
            let value = self.floats("value", &[], &[value]);
            self.emit("Pad", &[&x.name, &pads, &value], vec![text("mode", mode)])
        } else {
            self.emit("Pad", &[&x.name, &pads], vec![text("mode", mode)])
        };
        x.named(name)
    }

    pub(super) fn upsample(&mut self, op: &Upsample2D, shape: Shape, y: Shape, x: &Held) -> Result<Held> {
        let x = self.canonical(x)?;
        let (mode, corners) = match (op.method, op.align_corners) {
            (UpsampleMethod::Nearest, _) => ("nearest", "asymmetric"),
            (UpsampleMethod::Bilinear, true) => ("linear", "align_corners"),
            (UpsampleMethod::Bilinear, false) => ("linear", "half_pixel"),
        };
        let factor = |axis: usize| y.dims()[axis] as f32 / shape.dims()[axis] as f32;
        let scales = self.floats("scales", &[4], &[1.0, 1.0, factor(0), factor(1)]);
        let mut attributes = vec![text("mode", mode), text("coordinate_transformation_mode", corners)];
        if mode == "nearest" {
            attributes.push(text("nearest_mode", "floor"));
        }
        Ok(Held::channels_first(self.emit("Resize", &[&x.name, "", &scales], attributes), y))
    }
}
