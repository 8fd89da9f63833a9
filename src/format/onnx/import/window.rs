//! What convolutions and pools share: how a window slides.

use super::super::call::Call;
use crate::conv::Padding;
use crate::error::{Error, Result};

/// A window over one or two axes; of one, it is the second here.
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
}

impl Window {
    /// The window of a node whose kernel has these sizes, over axes of these.
    pub fn read(call: &Call<'_>, kernel: &[usize], input: &[usize]) -> Result<Self> {
        if kernel.len() != input.len() || !(1..=2).contains(&kernel.len()) {
            return Err(Error::shape(format!("a window of {kernel:?} slides over {input:?}"))
                .with_help("windows over one or two axes are known"));
        }
        if call.ints("kernel_shape")?.is_some_and(|list| !is(list, kernel)) {
            return Err(Error::shape(format!("its kernel_shape is not that of its weights, {kernel:?}")));
        }
        let [stride, dilation] = steps(call, kernel.len())?;
        let (kernel, input) = (pair(kernel, kernel.len(), "kernel_shape")?, pair(input, input.len(), "input")?);
        let reach = reach(kernel, dilation)?;
        // What must be added so that the output has ceil(input / stride) elements.
        let missing = |i: usize| ((input[i].div_ceil(stride[i]) - 1) * stride[i] + reach[i]).saturating_sub(input[i]);
        let padding = match call.text("auto_pad", "NOTSET")? {
            "NOTSET" | "" => explicit(call)?,
            "VALID" => Padding::Valid,
            "SAME_UPPER" => Padding::Same,
            "SAME_LOWER" => {
                let [h, w] = [missing(0), missing(1)];
                Padding::Explicit { top: h - h / 2, bottom: h / 2, left: w - w / 2, right: w / 2 }
            }
            other => return Err(Error::argument(format!("its auto_pad '{other}' is not known"))),
        };
        Ok(Self { kernel, stride, dilation, padding })
    }
}

impl Window {
    /// The window of a transposed convolution, and what is added to its output. Its padding makes the output smaller:
    /// `output = (input - 1) stride + reach - before - after + output_padding`.
    pub fn read_transposed(call: &Call<'_>, kernel: &[usize], input: &[usize]) -> Result<(Self, [usize; 2])> {
        let count = kernel.len();
        if count != input.len() || !(1..=2).contains(&count) {
            return Err(Error::shape(format!("a window of {kernel:?} slides over {input:?}")));
        }
        call.ignore("kernel_shape");
        let [stride, dilation] = steps(call, count)?;
        let (kernel, input) = (pair(kernel, count, "kernel_shape")?, pair(input, count, "input")?);
        let reach = reach(kernel, dilation)?;
        let mut extra = match call.ints("output_padding")? {
            Some(list) => small(list, count, "output_padding", 0)?,
            None => [0, 0],
        };
        let auto = call.text("auto_pad", "NOTSET")?;
        let wanted = match call.ints("output_shape")? {
            Some(list) => Some(small(&list[list.len().saturating_sub(count)..], count, "output_shape", 1)?),
            None if auto.starts_with("SAME") => Some([0, 1].map(|i| input[i].saturating_mul(stride[i]))),
            None => None,
        };
        let Some(mut wanted) = wanted else {
            let padding = if auto == "VALID" { Padding::Valid } else { explicit(call)? };
            return Ok((Self { kernel, stride, dilation, padding: on_sides(padding) }, extra));
        };
        call.ignore("pads");
        let mut sides = [(0, 0); 2];
        for i in 0..2 {
            let whole = (input[i] - 1).saturating_mul(stride[i]).saturating_add(reach[i]).saturating_add(extra[i]);
            // The row of a sequence stays as it is.
            wanted[i] = if count == 1 && i == 0 { whole } else { wanted[i] };
            extra[i] += wanted[i].saturating_sub(whole);
            let less = whole.saturating_sub(wanted[i]);
            let half = less / 2;
            sides[i] = if auto == "SAME_UPPER" { (half, less - half) } else { (less - half, half) };
        }
        let [(top, bottom), (left, right)] = sides;
        let padding = Padding::Explicit { top, bottom, left, right };
        Ok((Self { kernel, stride, dilation, padding }, extra))
    }
}

// No padding, as four numbers: so that a default of the op does not come in.
fn on_sides(padding: Padding) -> Padding {
    if padding == Padding::Valid { Padding::all(0) } else { padding }
}

// The strides and the dilations.
fn steps(call: &Call<'_>, count: usize) -> Result<[[usize; 2]; 2]> {
    let list = |name| match call.ints(name)? {
        Some(list) => small(list, count, name, 1),
        None => Ok([1, 1]),
    };
    Ok([list("strides")?, list("dilations")?])
}

fn reach(kernel: [usize; 2], dilation: [usize; 2]) -> Result<[usize; 2]> {
    let one = |i: usize| kernel[i].checked_sub(1)?.checked_mul(dilation[i])?.checked_add(1);
    one(0).zip(one(1)).map(|(h, w)| [h, w]).ok_or_else(|| Error::shape(format!("a window of {kernel:?} is no size")))
}

// Numbers from `low` to a million, one for each axis.
fn small(list: &[i64], count: usize, name: &str, low: i64) -> Result<[usize; 2]> {
    if list.iter().any(|v| !(low..=1 << 20).contains(v)) {
        return Err(Error::argument(format!("its {name} {list:?} are out of range")));
    }
    let sizes: Vec<usize> = list.iter().map(|v| *v as usize).collect();
    match (sizes[..].len() == count, &sizes[..]) {
        (true, [w]) => Ok([usize::from(low == 1), *w]),
        (true, [h, w]) => Ok([*h, *w]),
        _ => Err(Error::argument(format!("its {name} {list:?} are not {count} numbers"))),
    }
}

/// The attribute `pads`: before each axis, then after each.
pub(super) fn explicit(call: &Call<'_>) -> Result<Padding> {
    let Some(list) = call.ints("pads")? else { return Ok(Padding::Valid) };
    if list.iter().any(|p| *p < 0) {
        return Err(Error::argument(format!("its pads {list:?} cut the input")).with_help("use Slice for that"));
    }
    let list: Vec<usize> = list.iter().map(|p| *p as usize).collect();
    match list[..] {
        _ if list.iter().all(|p| *p == 0) => Ok(Padding::Valid),
        [left, right] => Ok(Padding::Explicit { top: 0, bottom: 0, left, right }),
        [top, left, bottom, right] => Ok(Padding::Explicit { top, bottom, left, right }),
        _ => Err(Error::argument(format!("its pads {list:?} are not two for each axis"))),
    }
}

/// Numbers that must be 1 or more.
pub(super) fn positive(name: &str, list: &[i64]) -> Result<Vec<usize>> {
    let size = |v: &i64| usize::try_from(*v).ok().filter(|v| *v > 0);
    list.iter().map(size).collect::<Option<_>>().ok_or_else(|| Error::argument(format!("its {name} are {list:?}")))
}

fn pair(list: &[usize], expected: usize, name: &str) -> Result<[usize; 2]> {
    match *list {
        _ if list.len() != expected => {}
        [w] => return Ok([1, w]),
        [h, w] => return Ok([h, w]),
        _ => {}
    }
    Err(Error::argument(format!("its {name} {list:?} are not {expected} numbers")))
}

fn is(list: &[i64], sizes: &[usize]) -> bool {
    list.len() == sizes.len() && list.iter().zip(sizes).all(|(a, b)| usize::try_from(*a) == Ok(*b))
}
