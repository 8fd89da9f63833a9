//! Works out what does not depend on the input: the integers that say shapes, and weights that a file transforms.
//!
//! A network for any batch asks for the shape of its values and reshapes by the
//! answer; in such lists [`BATCH`] stands for the batch and is carried along,
//! but not computed with.
//!
//! Ops that only move elements are one step: the list of places that the result
//! takes its elements from.

use super::call::{Call, index};
use super::constant::{BATCH, Constant, MAX_MADE, Numbers, dtype, elements, is_float, transposed};
use crate::error::{Error, Result, unknown};

type Fold = fn(&Call<'_>) -> Result<Constant>;

const TABLE: [(&str, Fold); 27] = [
    ("Constant", constant),
    ("ConstantOfShape", constant_of_shape),
    ("Range", range),
    ("Identity", |call| call.constant(0).cloned()),
    ("Dropout", |call| {
        call.ignore("seed");
        call.ignore("ratio");
        call.constant(0).cloned()
    }),
    ("Cast", cast),
    ("Shape", |call| Ok(Constant::ints(call.constant(0)?.dims.iter().map(|d| *d as i64).collect()))),
    ("Size", |call| Ok(Constant { dims: Vec::new(), numbers: Numbers::Ints(vec![call.constant(0)?.len() as i64]) })),
    ("Gather", gather),
    ("Slice", slice),
    ("Concat", concat),
    ("Transpose", transpose),
    ("Expand", expand),
    ("Reshape", reshape),
    ("Flatten", flatten),
    ("Squeeze", squeeze),
    ("Unsqueeze", unsqueeze),
    ("Add", |call| pairs(call, |a, b| a + b, i64::checked_add)),
    ("Sub", |call| pairs(call, |a, b| a - b, i64::checked_sub)),
    ("Mul", |call| pairs(call, |a, b| a * b, i64::checked_mul)),
    ("Div", |call| pairs(call, |a, b| a / b, i64::checked_div)),
    ("Max", |call| pairs(call, f32::max, |a, b| Some(a.max(b)))),
    ("Min", |call| pairs(call, f32::min, |a, b| Some(a.min(b)))),
    ("Neg", |call| each(call, |v| -v)),
    ("Sqrt", |call| each(call, f32::sqrt)),
    ("Floor", |call| each(call, f32::floor)),
    ("Ceil", |call| each(call, f32::ceil)),
];

/// The outputs of a node that depends on constants alone.
///
/// # Errors
/// The operator is not known here, or its inputs do not fit.
pub(super) fn evaluate(call: &Call<'_>) -> Result<Vec<Constant>> {
    let op = call.node.op.as_str();
    if op == "Split" {
        return split(call);
    }
    match TABLE.iter().find(|(name, _)| *name == op) {
        Some((_, fold)) => Ok(vec![fold(call)?]),
        None => Err(unknown("operator on constants", op, TABLE.iter().map(|(name, _)| *name))),
    }
}

fn constant(call: &Call<'_>) -> Result<Constant> {
    let floats = |dims: Vec<usize>, list: Vec<f32>| Constant::floats(dims, list);
    if let Some(tensor) = call.tensor("value")? {
        return Ok(tensor);
    }
    let has = |name: &str| call.node.attributes.iter().any(|a| a.name == name);
    match () {
        () if has("value_int") => {
            Ok(Constant { dims: Vec::new(), numbers: Numbers::Ints(vec![call.int("value_int", 0)?]) })
        }
        () if has("value_ints") => Ok(Constant::ints(call.ints("value_ints")?.unwrap_or_default().to_vec())),
        () if has("value_float") => Ok(floats(Vec::new(), vec![call.float("value_float", 0.0)?])),
        () if has("value_floats") => {
            let list = call.floats("value_floats")?.unwrap_or_default().to_vec();
            Ok(floats(vec![list.len()], list))
        }
        () => Err(Error::argument("it has no value that is known")),
    }
}

fn constant_of_shape(call: &Call<'_>) -> Result<Constant> {
    let dims = sizes(call.constant(0)?.as_ints()?)?;
    let one = call.tensor("value")?.unwrap_or_else(|| Constant::floats(vec![1], vec![0.0]));
    let count = made(&dims)?;
    match one.len() {
        1 => Ok(moved(&one, dims, &vec![0; count])),
        other => Err(Error::argument(format!("its value has {other} numbers, not one"))),
    }
}

fn range(call: &Call<'_>) -> Result<Constant> {
    let one = |i: usize| match call.constant(i)?.as_ints()? {
        [v] if *v != BATCH => Ok(*v),
        _ => Err(Error::argument("its bounds must be single whole numbers")),
    };
    let (start, end, step) = (one(0)?, one(1)?, one(2)?);
    let span = end.checked_sub(start).zip((step != 0).then_some(step));
    let (span, step) = span.ok_or_else(|| Error::argument("its bounds are out of range"))?;
    let count = if (span > 0) == (step > 0) { span.unsigned_abs().div_ceil(step.unsigned_abs()) } else { 0 };
    made(&[usize::try_from(count).unwrap_or(usize::MAX)])?;
    Ok(Constant::ints((0..count as i64).map(|i| start + i * step).collect()))
}

fn cast(call: &Call<'_>) -> Result<Constant> {
    call.ignore("saturate");
    let x = call.constant(0)?.clone();
    let to_float = is_float(dtype(call.int("to", 1)?)?);
    let numbers = match x.numbers {
        Numbers::Ints(list) if to_float => match list.contains(&BATCH) {
            true => return Err(with_batch()),
            false => Numbers::Floats(list.iter().map(|v| *v as f32).collect()),
        },
        Numbers::Floats(list) if !to_float => Numbers::Ints(list.iter().map(|v| *v as i64).collect()),
        same => same,
    };
    Ok(Constant { dims: x.dims, numbers })
}

fn gather(call: &Call<'_>) -> Result<Constant> {
    let (x, places) = (call.constant(0)?, call.constant(1)?);
    let axis = index(call.int("axis", 0)?, x.dims.len())?;
    let at = places.as_ints()?.iter().map(|i| index(*i, x.dims[axis])).collect::<Result<Vec<_>>>()?;
    let taken = take(x, axis, &at)?;
    let dims = [&x.dims[..axis], &places.dims, &x.dims[axis + 1..]].concat();
    Ok(Constant { dims, ..taken })
}

fn slice(call: &Call<'_>) -> Result<Constant> {
    let mut x = call.constant(0)?.clone();
    let list = |name, i| Ok::<_, Error>(call.list(name, i)?.unwrap_or_default());
    let (starts, ends) = (list("starts", 1)?, list("ends", 2)?);
    let axes = call.list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.optional(4)?.map(|c| c.as_ints().map(<[i64]>::to_vec)).transpose()?;
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|n| *n != starts.len()) {
        return Err(Error::argument("its starts, ends, axes and steps are not as many"));
    }
    for (i, axis) in axes.iter().enumerate() {
        let axis = index(*axis, x.dims.len())?;
        let at = steps_of(starts[i], ends[i], steps[i], x.dims[axis] as i64);
        x = take(&x, axis, &at)?;
    }
    Ok(x)
}

// The places from `start` to before `end`, clamped to an axis of this size.
fn steps_of(start: i64, end: i64, step: i64, size: i64) -> Vec<usize> {
    let from_end = |v: i64| if v < 0 { v.saturating_add(size) } else { v };
    let (low, high) = if step < 0 { (-1, size - 1) } else { (0, size) };
    let (start, end) = (from_end(start).clamp(low.max(0), high.max(0)), from_end(end).clamp(low, high));
    let at = |i: i64| step.checked_mul(i).and_then(|d| d.checked_add(start));
    let inside = |v: &i64| (0..size).contains(v) && if step < 0 { *v > end } else { *v < end };
    (0..size).map_while(at).take_while(inside).map(|v| v as usize).collect()
}

fn concat(call: &Call<'_>) -> Result<Constant> {
    let x = (0..call.inputs.len()).map(|i| call.constant(i)).collect::<Result<Vec<_>>>()?;
    let first = x[0];
    let axis = index(call.int("axis", 0)?, first.dims.len())?;
    let mut all = Constant { dims: first.dims.clone(), numbers: first.numbers.clone() };
    let fits = |x: &Constant| {
        x.dims.len() == first.dims.len() && (0..x.dims.len()).all(|a| a == axis || x.dims[a] == first.dims[a])
    };
    let mut places: Vec<(usize, usize)> = vec![(0, first.len())];
    for x in &x[1..] {
        places.push((all.len(), x.len()));
        match (&mut all.numbers, &x.numbers) {
            _ if !fits(x) => return Err(Error::shape(format!("{:?} does not fit {:?}", x.dims, first.dims))),
            (Numbers::Floats(all), Numbers::Floats(more)) => all.extend(more),
            (Numbers::Ints(all), Numbers::Ints(more)) => all.extend(more),
            _ => return Err(Error::argument("its inputs have different types")),
        }
        all.dims[axis] += x.dims[axis];
    }
    let outer: usize = first.dims[..axis].iter().product();
    let run = |o: usize| {
        places.iter().flat_map(move |(start, len)| (0..len / outer).map(move |i| start + o * (len / outer) + i))
    };
    Ok(moved(&all, all.dims.clone(), &(0..outer).flat_map(run).collect::<Vec<_>>()))
}

fn split(call: &Call<'_>) -> Result<Vec<Constant>> {
    let x = call.constant(0)?;
    let axis = index(call.int("axis", 0)?, x.dims.len())?;
    let count = call.int("num_outputs", call.node.outputs.len() as i64)?.max(1) as usize;
    let even = x.dims[axis].div_ceil(count);
    let parts = match call.list("split", 1)? {
        Some(list) => sizes(&list)?,
        None => (0..call.node.outputs.len()).map(|i| even.min(x.dims[axis].saturating_sub(i * even))).collect(),
    };
    let mut start = 0_usize;
    let mut pieces = Vec::new();
    for part in parts {
        let end = start.checked_add(part).filter(|end| *end <= x.dims[axis]);
        let end = end.ok_or_else(|| Error::shape(format!("its parts do not fit {:?}", x.dims)))?;
        pieces.push(take(x, axis, &(start..end).collect::<Vec<_>>())?);
        start = end;
    }
    Ok(pieces)
}

fn transpose(call: &Call<'_>) -> Result<Constant> {
    let x = call.constant(0)?;
    let rank = x.dims.len();
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let order = call.ints("perm")?.unwrap_or(&reversed);
    let order = order.iter().map(|axis| index(*axis, rank)).collect::<Result<Vec<_>>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(Error::argument(format!("{order:?} is no order of {rank} axes")));
    }
    let dims = order.iter().map(|axis| x.dims[*axis]).collect();
    let numbers = match &x.numbers {
        Numbers::Floats(data) => Numbers::Floats(transposed(data, &x.dims, &order)),
        Numbers::Ints(data) => Numbers::Ints(transposed(data, &x.dims, &order)),
    };
    Ok(Constant { dims, numbers })
}

fn expand(call: &Call<'_>) -> Result<Constant> {
    let x = call.constant(0)?;
    let dims = common(&x.dims, &sizes(call.constant(1)?.as_ints()?)?)?;
    made(&dims)?;
    Ok(moved(x, dims.clone(), &repeated(&x.dims, &dims)))
}

fn reshape(call: &Call<'_>) -> Result<Constant> {
    let x = call.constant(0)?;
    let zero_is_zero = call.flag("allowzero", false)?;
    let list = call.list("shape", 1)?.ok_or_else(|| Error::argument("its shape is missing"))?;
    let same = |(i, size): (usize, &i64)| match x.dims.get(i) {
        Some(old) if *size == 0 && !zero_is_zero => *old as i64,
        _ => *size,
    };
    let wanted: Vec<i64> = list.iter().enumerate().map(same).collect();
    let known = sizes(&wanted.iter().copied().filter(|d| *d != -1).collect::<Vec<_>>())?;
    let rest = elements(&known).and_then(|product| x.len().checked_div(product)).unwrap_or(0) as i64;
    seen_as(x, sizes(&wanted.iter().map(|d| if *d == -1 { rest } else { *d }).collect::<Vec<_>>())?)
}

fn flatten(call: &Call<'_>) -> Result<Constant> {
    let x = call.constant(0)?;
    let axis = call.int("axis", 1)?;
    let at = if axis == x.dims.len() as i64 { x.dims.len() } else { index(axis, x.dims.len())? };
    seen_as(x, vec![x.dims[..at].iter().product(), x.dims[at..].iter().product()])
}

fn squeeze(call: &Call<'_>) -> Result<Constant> {
    let x = call.constant(0)?;
    let gone = match call.list("axes", 1)? {
        Some(list) => list.iter().map(|axis| index(*axis, x.dims.len())).collect::<Result<Vec<_>>>()?,
        None => (0..x.dims.len()).filter(|axis| x.dims[*axis] == 1).collect(),
    };
    let kept = (0..x.dims.len()).filter(|axis| !gone.contains(axis)).map(|axis| x.dims[axis]);
    seen_as(x, kept.collect())
}

fn unsqueeze(call: &Call<'_>) -> Result<Constant> {
    let x = call.constant(0)?;
    let list = call.list("axes", 1)?.ok_or_else(|| Error::argument("its axes are missing"))?;
    let mut at = list.iter().map(|axis| index(*axis, x.dims.len() + list.len())).collect::<Result<Vec<_>>>()?;
    at.sort_unstable();
    at.dedup();
    let mut dims = x.dims.clone();
    at.iter().for_each(|axis| dims.insert(*axis, 1));
    seen_as(x, dims)
}

fn seen_as(x: &Constant, dims: Vec<usize>) -> Result<Constant> {
    match elements(&dims) == Some(x.len()) {
        true => Ok(Constant { dims, numbers: x.numbers.clone() }),
        false => Err(Error::shape(format!("{:?} does not become {dims:?}", x.dims))),
    }
}

fn pairs(call: &Call<'_>, float: fn(f32, f32) -> f32, int: fn(i64, i64) -> Option<i64>) -> Result<Constant> {
    let (a, b) = (call.constant(0)?, call.constant(1)?);
    let dims = common(&a.dims, &b.dims)?;
    if dims.iter().product::<usize>() > a.len().max(b.len()) {
        made(&dims)?;
    }
    let (i, j) = (repeated(&a.dims, &dims), repeated(&b.dims, &dims));
    let both = i.into_iter().zip(j);
    let numbers = match (&a.numbers, &b.numbers) {
        (Numbers::Floats(a), Numbers::Floats(b)) => Numbers::Floats(both.map(|(i, j)| float(a[i], b[j])).collect()),
        (Numbers::Ints(a), Numbers::Ints(b)) => {
            let one = |(i, j): (usize, usize)| match (a[i], b[j]) {
                (BATCH, 1) | (1, BATCH) if call.node.op == "Mul" => Ok(BATCH),
                (BATCH, 1) if call.node.op == "Div" => Ok(BATCH),
                (BATCH, _) | (_, BATCH) => Err(with_batch()),
                (a, b) => int(a, b).ok_or_else(|| Error::argument(format!("{a} and {b} have no such result"))),
            };
            Numbers::Ints(both.map(one).collect::<Result<_>>()?)
        }
        _ => return Err(Error::argument("its inputs have different types")),
    };
    Ok(Constant { dims, numbers })
}

fn each(call: &Call<'_>, float: fn(f32) -> f32) -> Result<Constant> {
    let x = call.constant(0)?;
    Ok(Constant::floats(x.dims.clone(), x.as_floats()?.iter().map(|v| float(*v)).collect()))
}

fn with_batch() -> Error {
    Error::argument("it computes with the size of the batch")
        .with_help("export the network with a batch of fixed size, or simplify it with onnxsim")
}

// The elements at these places.
fn moved(x: &Constant, dims: Vec<usize>, places: &[usize]) -> Constant {
    let numbers = match &x.numbers {
        Numbers::Floats(data) => Numbers::Floats(places.iter().map(|i| data[*i]).collect()),
        Numbers::Ints(data) => Numbers::Ints(places.iter().map(|i| data[*i]).collect()),
    };
    Constant { dims, numbers }
}

// The elements at these places of an axis.
fn take(x: &Constant, axis: usize, at: &[usize]) -> Result<Constant> {
    let mut dims = x.dims.clone();
    dims[axis] = at.len();
    if at.len() > x.dims[axis] {
        made(&dims)?;
    }
    let outer: usize = x.dims[..axis].iter().product();
    let inner: usize = x.dims[axis + 1..].iter().product();
    let run = |o: usize| at.iter().flat_map(move |i| (0..inner).map(move |k| (o * x.dims[axis] + i) * inner + k));
    Ok(moved(x, dims, &(0..outer).flat_map(run).collect::<Vec<_>>()))
}

// The sizes that two tensors have when axes of size 1 and missing axes in front are repeated.
fn common(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
    let one = |axis| match (size(a, axis), size(b, axis)) {
        (a, b) if a == b || b == 1 => Ok(a),
        (1, b) => Ok(b),
        _ => Err(Error::shape(format!("{a:?} does not fit {b:?}"))),
    };
    (0..rank).map(one).collect()
}

// For each element of the larger sizes, its place in the smaller ones.
fn repeated(from: &[usize], to: &[usize]) -> Vec<usize> {
    let mut places = vec![0];
    for (axis, size) in to.iter().enumerate() {
        let own = (axis + from.len()).checked_sub(to.len()).map_or(1, |at| from[at]);
        places = places.iter().flat_map(|p| (0..*size).map(move |i| p * own + if own == 1 { 0 } else { i })).collect();
    }
    places
}

// The number of elements, if it is not too large to be made of nothing.
fn made(dims: &[usize]) -> Result<usize> {
    elements(dims)
        .filter(|n| *n <= MAX_MADE)
        .ok_or_else(|| Error::shape(format!("a constant of {dims:?} is too large to be computed")))
}

fn sizes(list: &[i64]) -> Result<Vec<usize>> {
    let size = |v: &i64| usize::try_from(*v).map_err(|_| if *v == BATCH { with_batch() } else { bad_size(*v) });
    list.iter().map(size).collect()
}

fn bad_size(v: i64) -> Error {
    Error::argument(format!("{v} is no size"))
}
