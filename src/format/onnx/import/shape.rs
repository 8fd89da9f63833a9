//! Ops that say anew what the axes are: most cost nothing, for [`Layout`] takes them as words.

use super::super::call::{Call, Feature, Known, index};
use super::super::constant::{BATCH, Constant, dtype, is_float};
use super::super::layout::Layout;
use super::{Handler, Importer};
use crate::error::{Error, Result};
use crate::ops::{Concat, Pad2D, PadMode, Slice, Upsample2D, UpsampleMethod};

use Handler::{Many, One};

pub(super) const TABLE: &[(&str, Handler)] = &[
    ("Shape", One(shape)),
    ("Flatten", One(flatten)),
    ("Reshape", One(reshape)),
    ("Transpose", One(transpose)),
    ("Squeeze", One(squeeze)),
    ("Unsqueeze", One(unsqueeze)),
    ("Identity", One(|_, call| Ok(call.feature(0)?.clone().into()))),
    ("Cast", One(cast)),
    ("Concat", One(concat)),
    ("Split", Many(split)),
    ("Slice", One(slice)),
    ("Gather", One(gather)),
    ("Pad", One(pad)),
    ("Resize", One(resize)),
    ("Upsample", One(resize)),
];

fn shape(_: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let dims = call.feature(0)?.dims(BATCH);
    let bound = |v: i64| (if v < 0 { v + dims.len() as i64 } else { v }).clamp(0, dims.len() as i64) as usize;
    let (start, end) = (bound(call.int("start", 0)?), bound(call.int("end", dims.len() as i64)?));
    Ok(Constant::ints(dims.get(start..end).unwrap_or_default().to_vec()).into())
}

fn flatten(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    let axis = call.int("axis", 1)?;
    let rank = x.rank() as i64;
    if !(-rank..=rank).contains(&axis) {
        return Err(Error::argument(format!("there is no axis {axis} among {rank}")));
    }
    let at = if axis < 0 { axis + rank } else { axis } as usize;
    match x.batch {
        Some(0) if at == 1 => importer.reshaped(x, &[x.layout.len()]).map(Known::from),
        None => {
            let dims = x.layout.dims();
            importer.reshaped(x, &[dims[..at].iter().product(), dims[at..].iter().product()]).map(Known::from)
        }
        _ => {
            Err(Error::argument(format!("flattening from axis {axis} on mixes samples")).with_help("axis 1 keeps them"))
        }
    }
}

fn reshape(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    let zero_is_zero = call.flag("allowzero", false)?;
    let list = call.list("shape", 1)?.ok_or_else(|| Error::argument("its shape is missing"))?;
    let old = x.dims(BATCH);
    let zero = |(i, size): (usize, i64)| match size {
        0 if !zero_is_zero => old.get(i).copied().ok_or_else(|| Error::argument(format!("0 at {i} of {list:?}"))),
        size => Ok(size),
    };
    let mut dims = list.iter().copied().enumerate().map(zero).collect::<Result<Vec<i64>>>()?;
    if x.batch.is_some() {
        // The batch is first before and after; where the file leaves it to be worked out, the rest must be known.
        let fits = |first: i64| importer.is_batch(first) || first == -1;
        if x.batch != Some(0) || !dims.first().copied().is_some_and(fits) {
            return Err(Error::argument(format!("to {list:?} from {:?} mixes samples", x.dims(-1)))
                .with_help("the first axis must stay the batch"));
        }
        dims.remove(0);
    }
    let dims = filled(&dims, x.layout.len())?;
    importer.reshaped(x, &dims).map(Known::from)
}

// The sizes, with -1 worked out.
fn filled(dims: &[i64], len: usize) -> Result<Vec<usize>> {
    let bad = || Error::shape(format!("{len} numbers of a sample do not fill {dims:?}"));
    let mut known = dims.iter().filter(|d| **d != -1);
    let product = known.try_fold(1_usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?)).ok_or_else(bad)?;
    let open = dims.iter().filter(|d| **d == -1).count();
    let free = if product > 0 && open == 1 { len / product } else { 1 };
    if open > 1 || product.checked_mul(free) != Some(len) {
        return Err(bad());
    }
    Ok(dims.iter().map(|d| usize::try_from(*d).unwrap_or(free)).collect())
}

fn transpose(_: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    let rank = x.rank();
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let order = call.ints("perm")?.unwrap_or(&reversed);
    let order = order.iter().map(|axis| index(*axis, rank)).collect::<Result<Vec<_>>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(Error::argument(format!("{order:?} is no order of {rank} axes")));
    }
    let batch = x.batch.and_then(|at| order.iter().position(|axis| *axis == at));
    let sample = order.iter().filter(|axis| x.batch != Some(**axis));
    let axes = sample.map(|axis| x.axis(*axis as i64)).collect::<Result<Vec<_>>>()?;
    Ok(Feature { value: x.value, layout: x.layout.transpose(&axes), batch }.into())
}

fn squeeze(_: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    let axes = match call.list("axes", 1)? {
        Some(list) => x.axes(&list)?,
        None => (0..x.layout.rank()).filter(|axis| x.layout.size(*axis) == 1).collect(),
    };
    if let Some(axis) = axes.iter().find(|axis| x.layout.size(**axis) != 1) {
        return Err(Error::shape(format!("an axis of {} cannot go", x.layout.size(*axis))));
    }
    Ok(without(x, &axes).into())
}

// The value without these axes, which have size 1.
fn without(x: &Feature, axes: &[usize]) -> Feature {
    let before = x.batch.map(|batch| batch - axes.iter().filter(|axis| **axis < batch).count());
    Feature { value: x.value, layout: x.layout.squeeze(axes), batch: before }
}

fn unsqueeze(_: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    let list = call.list("axes", 1)?.ok_or_else(|| Error::argument("its axes are missing"))?;
    let rank = x.rank() + list.len();
    let mut at = list.iter().map(|axis| index(*axis, rank)).collect::<Result<Vec<_>>>()?;
    at.sort_unstable();
    at.dedup();
    if at.len() != list.len() {
        return Err(Error::argument(format!("its axes {list:?} name one twice")));
    }
    let Some(old) = x.batch else { return Ok(x.seen_as(x.layout.unsqueeze(&at)).into()) };
    // The batch is at the place that is left after `old` others.
    let batch = (0..rank).filter(|axis| !at.contains(axis)).nth(old).unwrap_or(old);
    let places: Vec<usize> = at.iter().map(|axis| axis - usize::from(*axis > batch)).collect();
    Ok(Feature { value: x.value, layout: x.layout.unsqueeze(&places), batch: Some(batch) }.into())
}

fn cast(_: &mut Importer, call: &Call<'_>) -> Result<Known> {
    call.ignore("saturate");
    match is_float(dtype(call.int("to", 1)?)?) {
        true => Ok(call.feature(0)?.clone().into()),
        false => Err(Error::argument("it makes integers of what depends on the input")
            .with_help("networks compute in f32 here; leave the rounding to who uses the output")),
    }
}

fn concat(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x: Vec<&Feature> = (0..call.inputs.len()).map(|i| call.feature(i)).collect::<Result<_>>()?;
    let first = x[0];
    if x.iter().any(|x| x.rank() != first.rank() || x.batch != first.batch) {
        return Err(Error::shape("its inputs have different axes"));
    }
    let axis = first.axis(call.int("axis", 1)?)?;
    let order = first.layout.ending(&[axis]);
    let groups: Vec<&[usize]> = order.iter().map(std::slice::from_ref).collect();
    let mut values = Vec::new();
    for x in &x {
        values.push(importer.arrange(x, &groups)?.value);
    }
    let mut dims = first.layout.dims();
    dims[axis] = x.iter().map(|x| x.layout.size(axis)).sum();
    let value = match values[..] {
        [one] => one,
        _ => importer.layer(call, Concat::new(), &values, Vec::new())?,
    };
    Ok(Feature { value, layout: Layout::new(&dims, &order), batch: first.batch }.into())
}

fn split(importer: &mut Importer, call: &Call<'_>) -> Result<Vec<Known>> {
    let x = call.feature(0)?;
    let axis = x.axis(call.int("axis", 0)?)?;
    let size = x.layout.size(axis);
    let parts = match call.list("split", 1)? {
        Some(list) => super::window::positive("split", &list)?,
        None => {
            let count = call.int("num_outputs", call.node.outputs.len() as i64)?.clamp(1, 1 << 16) as usize;
            let part = size.div_ceil(count);
            (0..count).map(|i| part.min(size.saturating_sub(i * part))).collect()
        }
    };
    let mut start = 0_usize;
    let mut pieces = Vec::new();
    for part in parts {
        let end = start.saturating_add(part);
        pieces.push(importer.part(call, x, axis, start..end)?.into());
        start = end;
    }
    match start == size {
        true => Ok(pieces),
        false => Err(Error::shape(format!("its parts have {start} of {size} elements"))),
    }
}

fn slice(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let mut x = call.feature(0)?.clone();
    let list = |name, i| call.list(name, i);
    let missing = |what: &str| Error::argument(format!("its {what} are missing"));
    let starts = list("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = list("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.optional(4)?.map(|c| c.as_ints()).transpose()?.unwrap_or(&[]);
    if steps.iter().any(|step| *step != 1) || starts.len() != ends.len() || axes.len() != starts.len() {
        return Err(Error::argument(format!("steps {steps:?} are not known")).with_help("a step of 1 is"));
    }
    for ((axis, start), end) in axes.iter().zip(starts).zip(ends) {
        let is_whole = start == 0 && end >= i64::from(i32::MAX);
        let at = match x.axis(*axis) {
            Err(_) if is_whole => continue,
            at => at?,
        };
        let size = x.layout.size(at) as i64;
        let bound = |v: i64| (if v < 0 { v.saturating_add(size) } else { v }).clamp(0, size) as usize;
        x = importer.part(call, &x, at, bound(start)..bound(end))?;
    }
    Ok(x.into())
}

// One place of an axis, which goes away.
fn gather(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    let axis = x.axis(call.int("axis", 0)?)?;
    let places = call.constant(1)?;
    let (&[place], []) = (places.as_ints()?, &places.dims[..]) else {
        return Err(Error::argument("places other than a single one are not known").with_help("use Slice"));
    };
    let at = index(place, x.layout.size(axis))?;
    let part = importer.part(call, x, axis, at..at + 1)?;
    Ok(without(&part, &[axis]).into())
}

fn pad(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    let mode = match call.text("mode", "constant")? {
        "constant" => PadMode::Constant(match call.optional(2)? {
            Some(c) => c.scalar().ok_or_else(|| Error::argument("its value is not one number"))?,
            None => call.float("value", 0.0)?,
        }),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        other => return Err(Error::argument(format!("its mode '{other}' is not known"))),
    };
    let pads = call.list("pads", 1)?.ok_or_else(|| Error::argument("its pads are missing"))?;
    let axes = call.optional(3)?.map(|c| c.as_ints().map(<[i64]>::to_vec)).transpose()?;
    let axes = axes.unwrap_or_else(|| (0..x.rank() as i64).collect());
    if pads.len() != 2 * axes.len() {
        return Err(Error::argument(format!("its pads {pads:?} are not two for each axis")));
    }
    let mut sides: Vec<(usize, usize, usize)> = Vec::new();
    for (axis, (before, after)) in axes.iter().zip(pads.iter().zip(&pads[axes.len()..])) {
        if (*before, *after) != (0, 0) {
            let size = |v: i64| usize::try_from(v).map_err(|_| Error::argument("negative pads cut; use Slice"));
            sides.push((x.axis(*axis)?, size(*before)?, size(*after)?));
        }
    }
    importer.padded(call, x, &mut sides, mode).map(Known::from)
}

fn resize(importer: &mut Importer, call: &Call<'_>) -> Result<Known> {
    let x = call.feature(0)?;
    let sample = x.sample()?;
    let (method, align_corners) = method(call)?;
    // Upsample has its factors second; Resize has them third, and the sizes fourth.
    let at = if call.node.inputs.len() > 2 { 2 } else { 1 };
    let scales = match call.floats("scales")? {
        Some(list) => list.to_vec(),
        None => call.optional(at)?.filter(|c| c.len() > 0).map_or(Ok(&[][..]), |c| c.as_floats())?.to_vec(),
    };
    let sizes = call.optional(3)?.map_or(Ok(&[][..]), |c| c.as_ints())?;
    // The size of an axis afterwards, if the factor makes it a whole number.
    let grown = |axis: usize| -> Option<usize> {
        let before = *sample.get(axis)?;
        let after = match (scales.get(axis + 1), sizes.get(axis + 1)) {
            (Some(scale), _) => f64::from(*scale) * before as f64,
            (None, size) => *size? as f64,
        };
        (after.fract() == 0.0 && (1.0..1e6).contains(&after)).then_some(after as usize)
    };
    let keeps_batch = scales.first().is_none_or(|s| *s == 1.0) && sizes.first().is_none_or(|s| importer.is_batch(*s));
    let (&[c, h, w], Some(after), true) =
        (&sample[..], (0..sample.len()).map(grown).collect::<Option<Vec<_>>>(), keeps_batch)
    else {
        return Err(unknown_size(x, &scales, sizes));
    };
    let op = match after[..] {
        [oc, oh, ow] if oc == c && oh.is_multiple_of(h) && ow.is_multiple_of(w) => {
            Upsample2D::new([oh / h, ow / w], method)
        }
        [oc, oh, ow] if oc == c => Upsample2D::new(1, method).to([oh, ow]),
        _ => return Err(unknown_size(x, &scales, sizes)),
    };
    let x = importer.channels_last(x)?;
    let value = importer.layer(call, op.align_corners(align_corners), &[x.value], Vec::new())?;
    Ok(importer.image(value).into())
}

fn unknown_size(x: &Feature, scales: &[f32], sizes: &[i64]) -> Error {
    Error::argument(format!("from {:?} by {scales:?}, or to {sizes:?}, is not known", x.dims(-1)))
        .with_help("images change along height and width, to whole numbers of pixels")
}

// Which of our methods gives what the node asks for, at whole factors.
fn method(call: &Call<'_>) -> Result<(UpsampleMethod, bool)> {
    for harmless in ["cubic_coeff_a", "exclude_outside", "extrapolation_value", "keep_aspect_ratio_policy"] {
        call.ignore(harmless);
    }
    let old = call.node.op == "Upsample" || call.opset < 11;
    let corners = call.text("coordinate_transformation_mode", if old { "asymmetric" } else { "half_pixel" })?;
    let rounding = call.text("nearest_mode", if old { "floor" } else { "round_prefer_floor" })?;
    let plain = call.ints("axes")?.is_none() && !call.flag("antialias", false)?;
    let half = ["half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"].contains(&corners);
    match call.text("mode", "nearest")? {
        "nearest" if plain && corners == "asymmetric" && rounding == "floor" => Ok((UpsampleMethod::Nearest, false)),
        "nearest" if plain && half && rounding.starts_with("round") => Ok((UpsampleMethod::Nearest, false)),
        "linear" | "bilinear" if plain && half => Ok((UpsampleMethod::Bilinear, false)),
        "linear" | "bilinear" if plain && corners == "align_corners" => Ok((UpsampleMethod::Bilinear, true)),
        mode => Err(Error::argument(format!("mode {mode} with {corners}, {rounding} is not known"))
            .with_help("nearest (asymmetric, floor) and linear (half_pixel or align_corners) are")),
    }
}

impl Importer {
    // The same numbers, counted through in ONNX's order, with other axes.
    fn reshaped(&mut self, x: &Feature, dims: &[usize]) -> Result<Feature> {
        if let Some(layout) = x.layout.reshape(dims) {
            return Ok(x.seen_as(layout));
        }
        let all: Vec<usize> = (0..x.layout.rank()).collect();
        let flat = self.arrange(x, &[&all])?;
        let layout = Layout::plain(&[x.layout.len()]).reshape(dims);
        layout
            .map(|layout| flat.seen_as(layout))
            .ok_or_else(|| Error::shape(format!("{:?} does not become {dims:?}", x.layout.dims())))
    }

    // The elements `range` of an axis.
    fn part(&mut self, call: &Call<'_>, x: &Feature, axis: usize, range: std::ops::Range<usize>) -> Result<Feature> {
        if range == (0..x.layout.size(axis)) {
            return Ok(x.clone());
        }
        let order = x.layout.ending(&[]);
        let groups: Vec<&[usize]> = order.iter().map(std::slice::from_ref).collect();
        let y = self.arrange(x, &groups)?;
        let place = order.iter().position(|a| *a == axis).unwrap_or(axis);
        let op = Slice { axis: place as isize, start: range.start, end: range.end };
        let value = self.layer(call, op, &[y.value], Vec::new())?;
        let mut dims = x.layout.dims();
        dims[axis] = range.len();
        Ok(Feature { value, layout: Layout::new(&dims, &order), batch: x.batch })
    }

    // With so many elements before and after one or two axes, which come first then, for that is where the op pads.
    fn padded(
        &mut self,
        call: &Call<'_>,
        x: &Feature,
        sides: &mut [(usize, usize, usize)],
        mode: PadMode,
    ) -> Result<Feature> {
        let order = x.layout.ending(&[]);
        // An image is padded as it lies: its second axis comes second, padded or not.
        sides.sort_by_key(|side| order.iter().position(|axis| *axis == side.0));
        let ((h, top, bottom), (w, left, right)) = match *sides {
            [] => return Ok(x.clone()),
            [one] => match order.iter().position(|axis| *axis == one.0) {
                Some(1) => ((Some(order[0]), 0, 0), (Some(one.0), one.1, one.2)),
                _ => ((Some(one.0), one.1, one.2), (order.iter().copied().find(|axis| *axis != one.0), 0, 0)),
            },
            [first, second] => ((Some(first.0), first.1, first.2), (Some(second.0), second.1, second.2)),
            _ => return Err(Error::argument("more than two axes are padded at once").with_help("pad them in turn")),
        };
        let rest: Vec<usize> = order.iter().copied().filter(|axis| ![h, w].contains(&Some(*axis))).collect();
        let y = self.arrange(x, &[h.as_slice(), w.as_slice(), &rest])?;
        let op = Pad2D { top, bottom, left, right, mode };
        let value = self.layer(call, op, &[y.value], Vec::new())?;
        let mut dims = x.layout.dims();
        h.iter().for_each(|axis| dims[*axis] += top + bottom);
        w.iter().for_each(|axis| dims[*axis] += left + right);
        let order: Vec<usize> = h.into_iter().chain(w).chain(rest).collect();
        Ok(Feature { value, layout: Layout::new(&dims, &order), batch: x.batch })
    }
}
