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
        let sizes = |name| -> Result<[usize; 2]> {
            let list = call.ints(name)?.map_or(Ok(vec![1; kernel.len()]), |list| positive(name, list))?;
            pair(&list, kernel.len(), name)
        };
        let (stride, dilation) = (sizes("strides")?, sizes("dilations")?);
        let (kernel, input) = (pair(kernel, kernel.len(), "kernel_shape")?, pair(input, input.len(), "input")?);
        let reach = [0, 1].map(|i| (kernel[i] - 1).saturating_mul(dilation[i]) + 1);
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
