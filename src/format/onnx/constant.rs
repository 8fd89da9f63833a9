//! Constants of a file: weights, and the small integers that say shapes.
//!
//! Numbers become f32, integers and truth values i64; how the file stores them
//! is forgotten. The sizes that a tensor claims must be those of its bytes.

use super::proto::TensorProto;
use super::wire::broken;
use crate::error::{Error, Result};
use crate::format::Dtype;

/// The batch in a list of sizes: `Shape` of a value that depends on the input has it, since a graph is for any batch.
pub(super) const BATCH: i64 = i64::MIN + 0x0ba7;

/// A constant may not grow beyond this many elements by arithmetic alone; weights are bounded by the file.
pub(super) const MAX_MADE: usize = 1 << 24;

// The types by their numbers in `TensorProto.DataType`.
const TYPES: [(i64, Dtype); 13] = [
    (1, Dtype::F32),
    (2, Dtype::U8),
    (3, Dtype::I8),
    (4, Dtype::U16),
    (5, Dtype::I16),
    (6, Dtype::I32),
    (7, Dtype::I64),
    (9, Dtype::Bool),
    (10, Dtype::F16),
    (11, Dtype::F64),
    (12, Dtype::U32),
    (13, Dtype::U64),
    (16, Dtype::Bf16),
];

/// The type with this number.
///
/// # Errors
/// It is none of the common ones.
pub(super) fn dtype(number: i64) -> Result<Dtype> {
    TYPES.iter().find(|(known, _)| *known == number).map(|(_, dtype)| *dtype).ok_or_else(|| {
        Error::argument(format!("numbers of ONNX's type {number} are not known"))
            .with_help("export the network with f32 weights; strings, complex and 8-bit floats are not read")
    })
}

/// Whether this library's f32 stands for numbers of this type.
pub(super) fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16)
}

/// The elements of a constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

/// A constant: sizes, and elements row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub dims: Vec<usize>,
    pub numbers: Numbers,
}

impl Constant {
    /// A list of integers.
    pub fn ints(list: Vec<i64>) -> Self {
        Self { dims: vec![list.len()], numbers: Numbers::Ints(list) }
    }

    /// Floats of these sizes.
    pub fn floats(dims: Vec<usize>, data: Vec<f32>) -> Self {
        Self { dims, numbers: Numbers::Floats(data) }
    }

    /// The constant that a file holds.
    ///
    /// # Errors
    /// Its sizes are not those of its bytes, its type is not known, or its numbers are in another file.
    pub fn read(tensor: &TensorProto<'_>) -> Result<Self> {
        read(tensor).map_err(|e| e.within(format_args!("tensor '{}'", tensor.name)))
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Floats(data) => data.len(),
            Numbers::Ints(data) => data.len(),
        }
    }

    /// The elements, which must be floats.
    ///
    /// # Errors
    /// They are integers.
    pub fn as_floats(&self) -> Result<&[f32]> {
        match &self.numbers {
            Numbers::Floats(data) => Ok(data),
            Numbers::Ints(_) => Err(Error::argument("a constant of integers stands where floats are needed")),
        }
    }

    /// The elements, which must be integers.
    ///
    /// # Errors
    /// They are floats.
    pub fn as_ints(&self) -> Result<&[i64]> {
        match &self.numbers {
            Numbers::Ints(data) => Ok(data),
            Numbers::Floats(_) => Err(Error::argument("a constant of floats stands where integers are needed")),
        }
    }

    /// The one element, if there is one and it is a float.
    pub fn scalar(&self) -> Option<f32> {
        match &self.numbers {
            Numbers::Floats(data) if data.len() == 1 => Some(data[0]),
            _ => None,
        }
    }
}

fn read(tensor: &TensorProto<'_>) -> Result<Constant> {
    if tensor.external {
        return Err(Error::argument("its numbers are in another file, which is not read")
            .with_help("put them into the .onnx itself: onnx.save_model(model, path, save_as_external_data=False)"));
    }
    let dtype = dtype(tensor.data_type)?;
    let size = |d: &i64| usize::try_from(*d).map_err(|_| broken(format!("it has a size of {d}")));
    let dims = tensor.dims.iter().map(size).collect::<Result<Vec<_>>>()?;
    let count = elements(&dims);
    let numbers = match &tensor.raw {
        Some(raw) if count.and_then(|n| n.checked_mul(dtype.size())) == Some(raw.len()) => from_raw(dtype, raw)?,
        Some(raw) => return Err(wrong_size(&dims, &format!("{} bytes", raw.len()))),
        None => from_lists(dtype, tensor)?,
    };
    let constant = Constant { dims, numbers };
    match count == Some(constant.len()) {
        true => Ok(constant),
        false => Err(wrong_size(&constant.dims, &format!("{} numbers", constant.len()))),
    }
}

fn wrong_size(dims: &[usize], there: &str) -> Error {
    broken(format!("it claims the sizes {dims:?}, and {there} are there")).with_help("the file is damaged")
}

fn from_raw(dtype: Dtype, raw: &[u8]) -> Result<Numbers> {
    if is_float(dtype) {
        let mut data = Vec::with_capacity(raw.len() / dtype.size());
        dtype.append(raw, &mut data).map_err(|i| broken(format!("{i} is no f32")))?;
        return Ok(Numbers::Floats(data));
    }
    let signed = matches!(dtype, Dtype::I8 | Dtype::I16 | Dtype::I32);
    let int = |word: &[u8]| {
        let fill = if signed && word.last().is_some_and(|b| *b > 127) { 0xff } else { 0 };
        let mut bytes = [fill; 8];
        bytes[..word.len()].copy_from_slice(word);
        i64::from_le_bytes(bytes)
    };
    Ok(Numbers::Ints(raw.chunks_exact(dtype.size()).map(int).collect()))
}

fn from_lists(dtype: Dtype, tensor: &TensorProto<'_>) -> Result<Numbers> {
    let halves = || tensor.int32s.iter().flat_map(|v| (*v as u16).to_le_bytes()).collect::<Vec<u8>>();
    Ok(match dtype {
        Dtype::F32 => Numbers::Floats(tensor.floats.clone()),
        Dtype::F64 => Numbers::Floats(tensor.doubles.iter().map(|v| *v as f32).collect()),
        Dtype::F16 | Dtype::Bf16 => return from_raw(dtype, &halves()),
        Dtype::I64 | Dtype::U64 | Dtype::U32 => Numbers::Ints(tensor.int64s.clone()),
        _ => Numbers::Ints(tensor.int32s.clone()),
    })
}

/// The number of elements; `None` if the sizes are beyond all bounds, even those beside a 0.
pub(super) fn elements(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |n, d| n.checked_mul((*d).max(1)))?;
    Some(dims.iter().product())
}

/// Elements row by row with their axes in another order: axis `i` of the result is axis `order[i]`.
pub(super) fn transposed<T: Copy>(data: &[T], dims: &[usize], order: &[usize]) -> Vec<T> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    // The places of all elements but for the last axis, which is walked in one go.
    let (last, first) = match order.split_last() {
        Some((last, first)) if !data.is_empty() => (*last, first),
        _ => return data.to_vec(),
    };
    let mut starts = vec![0];
    for axis in first {
        let (size, stride) = (dims[*axis], strides[*axis]);
        starts = starts.iter().flat_map(|s| (0..size).map(move |i| s + i * stride)).collect();
    }
    let (size, stride) = (dims[last], strides[last]);
    starts.iter().flat_map(|s| (0..size).map(move |i| data[s + i * stride])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(data_type: i64, dims: &[i64], raw: &[u8]) -> TensorProto<'static> {
        TensorProto { data_type, dims: dims.to_vec(), raw: Some(raw.to_vec().into()), ..TensorProto::default() }
    }

    #[test]
    fn all_forms_of_numbers_are_read() {
        let floats = |numbers| Constant { dims: vec![2], numbers: Numbers::Floats(numbers) };
        assert_eq!(Constant::read(&tensor(10, &[2], &[0, 0x3c, 0, 0xc0])).unwrap(), floats(vec![1.0, -2.0]));
        assert_eq!(Constant::read(&tensor(6, &[1], &[0xfe, 0xff, 0xff, 0xff])).unwrap(), Constant::ints(vec![-2]));
        assert_eq!(Constant::read(&tensor(9, &[2], &[1, 0])).unwrap(), Constant::ints(vec![1, 0]));
        let lists = |data_type| TensorProto {
            data_type,
            dims: vec![2],
            floats: vec![0.5, 2.0],
            doubles: vec![0.5, 2.0],
            int32s: vec![0x3800, 0x4000],
            ..TensorProto::default()
        };
        for data_type in [1, 10, 11] {
            assert_eq!(Constant::read(&lists(data_type)).unwrap(), floats(vec![0.5, 2.0]));
        }
    }

    #[test]
    fn axes_change_places() {
        let data: Vec<i64> = (0..24).collect();
        assert_eq!(transposed(&data, &[2, 3, 4], &[2, 0, 1])[..7], [0, 4, 8, 12, 16, 20, 1]);
        assert_eq!(transposed(&data, &[24], &[0]), data);
        assert_eq!(transposed(&[7], &[], &[]), [7]);
    }

    #[test]
    fn sizes_are_not_believed() {
        for (dims, raw) in
            [(&[2][..], &[0; 4][..]), (&[-1], &[0; 4]), (&[i64::MAX, i64::MAX], &[]), (&[1 << 40], &[0; 8])]
        {
            assert!(Constant::read(&tensor(1, dims, raw)).is_err(), "{dims:?}");
        }
        let outside = TensorProto { external: true, data_type: 1, ..TensorProto::default() };
        assert!(Constant::read(&outside).unwrap_err().to_string().contains("save_as_external_data=False"));
        assert!(Constant::read(&tensor(8, &[], &[])).unwrap_err().to_string().contains("type 8"));
    }
}
