//! Sums, products and their kin: of two values, or of a value and a constant.
//!
//! ONNX repeats axes of size 1 and missing axes in front. A constant that is one
//! number per channel, per pixel or per element becomes an [`Affine`] over those
//! axes, which are then the last in memory.

use super::super::call::{Call, Feature, Known};
use super::super::constant::{Constant, MAX_MADE};
use super::super::layout::Layout;
use super::{Handler, Importer};
use crate::error::{Error, Result};
use crate::ops::{Add, Affine, Merge, MergeKind, Op, PRelu};

use Handler::One;

pub(super) const TABLE: &[(&str, Handler)] = &[
    ("Add", One(|i, c| pair(i, c, Kind::Add))),
    ("Sub", One(|i, c| pair(i, c, Kind::Merge(MergeKind::Subtract)))),
    ("Mul", One(|i, c| pair(i, c, Kind::Merge(MergeKind::Multiply)))),
    ("Div", One(|i, c| pair(i, c, Kind::Merge(MergeKind::Divide)))),
    ("Max", One(|i, c| many(i, c, Kind::Merge(MergeKind::Maximum)))),
    ("Min", One(|i, c| many(i, c, Kind::Merge(MergeKind::Minimum)))),
    ("Mean", One(|i, c| many(i, c, Kind::Merge(MergeKind::Average)))),
    ("Sum", One(|i, c| many(i, c, Kind::Add))),
    ("Neg", One(|i, c| straight(i, c, -1.0, 0.0))),
    ("Pow", One(power)),
    ("PRelu", One(prelu)),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Add,
    Merge(MergeKind),
}

impl From<Kind> for Op {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Add => Add::new().into(),
            Kind::Merge(kind) => Merge::new(kind).into(),
        }
    }
}

fn pair(importer: &mut Importer, call: &Call<'_>, kind: Kind) -> Result<Known> {
    match (call.input(0), call.input(1)) {
        (Some(Known::Feature(x)), Some(Known::Constant(c))) => importer.with_constant(call, x, c, kind, false),
        (Some(Known::Constant(c)), Some(Known::Feature(x))) => importer.with_constant(call, x, c, kind, true),
        _ => many(importer, call, kind),
    }
}

fn many(importer: &mut Importer, call: &Call<'_>, kind: Kind) -> Result<Known> {
    let features: Vec<Feature> = (0..call.inputs.len()).map(|i| call.feature(i).cloned()).collect::<Result<_>>()?;
    let [one] = &features[..] else { return importer.joined(call, &features, kind) };
    Ok(one.clone().into())
}

fn straight(importer: &mut Importer, call: &Call<'_>, scale: f32, shift: f32) -> Result<Known> {
    importer
        .scaled(call, &call.feature(0)?.clone(), &[], (Some(vec![scale]), (shift != 0.0).then(|| vec![shift])))
        .map(Known::from)
}

fn power(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?.clone();
    match call.constant(1)?.scalar() {
        Some(2.0) => importer.joined(call, &[x.clone(), x], Kind::Merge(MergeKind::Multiply)),
        Some(1.0) => Ok(x.into()),
        _ => Err(Error::argument("powers other than 1 and 2 are not known")),
    }
}

fn prelu(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let slopes = call.constant(1)?;
    let data = slopes.as_floats()?.to_vec();
    let x = in_front(call.feature(0)?, slopes.dims.len());
    let axes = varying(&x, &slopes.dims)?;
    let (x, op) = match axes[..] {
        [] => (x, PRelu::one()),
        _ => (importer.with_last(&x, &axes)?, PRelu::channel()),
    };
    let value = importer.layer(call, op, &[x.value], vec![data])?;
    Ok(Feature { value, ..x }.into())
}

impl Importer {
    // One value of several, which are first brought to one order and one number of axes.
    fn joined(&mut self, call: &Call<'_>, x: &[Feature], kind: Kind) -> Result<Known> {
        let rank = x.iter().map(Feature::rank).max().unwrap_or(0);
        let x: Vec<Feature> = x.iter().map(|x| in_front(x, rank)).collect();
        let largest =
            x.iter().rev().max_by_key(|x| x.layout.len()).ok_or_else(|| Error::argument("it has no input"))?;
        if let Some(other) = x.iter().find(|x| x.batch != largest.batch) {
            let dims = (other.dims(-1), largest.dims(-1));
            return Err(Error::shape(format!("the batch is not at one place in {:?} and {:?}", dims.0, dims.1)));
        }
        // Values that lie in memory alike need no arranging, whatever they are.
        let alike = x.iter().all(|x| x.layout == largest.layout && self.shape(x.value) == self.shape(largest.value));
        let layout = if alike { largest.layout.clone() } else { common(&x, &largest.layout)? };
        let order = layout.ending(&[]);
        let groups: Vec<&[usize]> = order.iter().map(std::slice::from_ref).collect();
        let mut values = Vec::new();
        for x in &x {
            values.push(if alike { x.value } else { self.arrange(x, &groups)?.value });
        }
        let value = self.layer(call, kind, &values, Vec::new())?;
        Ok(Feature { value, layout, batch: largest.batch }.into())
    }

    fn with_constant(&mut self, call: &Call<'_>, x: &Feature, c: &Constant, kind: Kind, first: bool) -> Result<Known> {
        let data = c.as_floats()?.to_vec();
        let minus = || data.iter().map(|v| -v).collect::<Vec<f32>>();
        let ones = |v: f32| vec![v; data.len()];
        let terms = match kind {
            Kind::Add => (None, Some(data)),
            Kind::Merge(MergeKind::Multiply) => (Some(data), None),
            Kind::Merge(MergeKind::Subtract) if first => (Some(ones(-1.0)), Some(data)),
            Kind::Merge(MergeKind::Subtract) => (None, Some(minus())),
            Kind::Merge(MergeKind::Divide) if !first => (Some(data.iter().map(|v| 1.0 / v).collect()), None),
            _ => {
                return Err(Error::argument("a constant divided by a value is not known")
                    .with_help("export the network with that written in another way"));
            }
        };
        self.scaled(call, x, &c.dims, terms).map(Known::from)
    }

    /// The value plus a constant of these sizes.
    pub(super) fn shifted(&mut self, call: &Call<'_>, x: &Feature, dims: &[usize], data: Vec<f32>) -> Result<Feature> {
        self.scaled(call, x, dims, (None, Some(data)))
    }

    // `scale x + shift`, with constants of these sizes.
    pub(super) fn scaled(
        &mut self,
        call: &Call<'_>,
        x: &Feature,
        dims: &[usize],
        (scale, shift): (Option<Vec<f32>>, Option<Vec<f32>>),
    ) -> Result<Feature> {
        let x = in_front(x, dims.len());
        let axes = varying(&x, dims)?;
        let (x, repeat) = match axes.len() {
            // One number for all; the channels are what memory has last.
            0 => (x.clone(), self.shape(x.value).channels()),
            _ => (self.with_last(&x, &axes)?, 1),
        };
        if repeat > MAX_MADE {
            return Err(Error::shape(format!("{repeat} channels are too many")));
        }
        // The constant's own axes are in ONNX's order, as `axes` is.
        let spread = |data: Vec<f32>| data.iter().copied().cycle().take(data.len() * repeat).collect::<Vec<f32>>();
        let op = Affine { scale: scale.is_some(), bias: shift.is_some(), ..Affine::new() };
        let w = [scale, shift].into_iter().flatten().map(spread).collect();
        let value = self.layer(call, op, &[x.value], w)?;
        Ok(Feature { value, ..x })
    }
}

// The value with axes of size 1 in front, so that it has `rank` of them.
fn in_front(x: &Feature, rank: usize) -> Feature {
    let more = rank.saturating_sub(x.rank());
    let layout = x.layout.unsqueeze(&(0..more).collect::<Vec<_>>());
    Feature { value: x.value, layout, batch: x.batch.map(|at| at + more) }
}

// The axes of the value along which a constant of these sizes varies.
fn varying(x: &Feature, dims: &[usize]) -> Result<Vec<usize>> {
    let missing = x.rank() - dims.len();
    let mut axes = Vec::new();
    for (i, size) in dims.iter().enumerate().filter(|(_, size)| **size != 1) {
        let axis = x.axis((missing + i) as i64)?;
        if x.layout.size(axis) != *size {
            return Err(Error::shape(format!("a constant {dims:?} does not fit {:?}", x.dims(-1))));
        }
        axes.push(axis);
    }
    Ok(axes)
}

// The sizes that come out, in the order of the largest value.
fn common(x: &[Feature], largest: &Layout) -> Result<Layout> {
    let mut dims = largest.dims();
    for other in x.iter().map(|x| x.layout.dims()) {
        for (size, other) in dims.iter_mut().zip(&other) {
            match (*size, *other) {
                (a, b) if a == b || b == 1 => {}
                (1, b) => *size = b,
                (a, b) => return Err(Error::shape(format!("an axis of {a} does not fit one of {b}"))),
            }
        }
    }
    Ok(Layout::new(&dims, &largest.ending(&[])))
}
