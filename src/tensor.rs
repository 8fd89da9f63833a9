//! Shapes, and tensors as people and tests hold them: a shape and f32 data, NHWC.
//!
//! There is no arithmetic here: kernels work on slices, and a plan on its own
//! buffers. [`Shape`] is the shape of *one sample*, as Keras users write it
//! (`[28, 28, 1]`); the batch is a number of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const MAX_RANK: usize = 4;

/// The shape of one sample, without the batch: `[h, w, c]`, `[l, c]` or `[features]`.
///
/// ```
/// use striate::Shape;
/// let s = Shape::from([28, 28, 1]);
/// assert_eq!((s.len(), s.to_string()), (784, "(None, 28, 28, 1)".to_string()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// A shape of at most four axes, all at least 1, with at most 2^40 elements.
    pub fn new(dims: &[usize]) -> Result<Self> {
        let elements = dims.iter().try_fold(1_usize, |n, d| n.checked_mul(*d).filter(|n| *n <= 1 << 40));
        if dims.len() > MAX_RANK || dims.is_empty() || dims.contains(&0) || elements.is_none() {
            return Err(Error::shape(format!("{dims:?} is not a shape"))
                .with_help(format!("a sample has 1 to {MAX_RANK} axes, each at least 1, such as [28, 28, 1]")));
        }
        Ok(Self::from_valid(dims))
    }

    fn from_valid(dims: &[usize]) -> Self {
        let mut all = [1; MAX_RANK];
        all[..dims.len()].copy_from_slice(dims);
        Self { dims: all, rank: dims.len() }
    }

    /// The axes.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of elements of one sample.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.dims().iter().product()
    }

    /// The size of the last axis.
    pub fn channels(&self) -> usize {
        self.dims[self.rank - 1]
    }

    /// `[h, w, c]`; a sequence `[l, c]` is an image of one row, a vector `[c]` an image of one pixel.
    pub fn hwc(&self) -> Result<[usize; 3]> {
        match *self.dims() {
            [h, w, c] => Ok([h, w, c]),
            [l, c] => Ok([1, l, c]),
            [c] => Ok([1, 1, c]),
            _ => Err(Error::shape(format!("{self} is not an image")).with_help("an image has the axes h, w, c")),
        }
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    /// The shape with these axes; `N` must be 1 to 4. Use [`Shape::new`] for sizes from outside.
    fn from(dims: [usize; N]) -> Self {
        const { assert!(N >= 1 && N <= MAX_RANK, "a sample has 1 to 4 axes") };
        Self::from_valid(&dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(None")?;
        self.dims().iter().try_for_each(|d| write!(f, ", {d}"))?;
        f.write_str(")")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl Serialize for Shape {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.dims().serialize(s)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let dims = Vec::<usize>::deserialize(d)?;
        Self::new(&dims).map_err(serde::de::Error::custom)
    }
}

/// f32 data with the sizes of all its axes; the last axis is contiguous.
///
/// ```
/// use striate::Tensor;
/// let t = Tensor::new(&[2, 2], vec![1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!(t[[1, 0]], 3.0);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Tensor {
    dims: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor with these axes and this data.
    ///
    /// # Errors
    /// The number of elements does not agree.
    pub fn new(dims: &[usize], data: Vec<f32>) -> Result<Self> {
        let expect = dims.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
        if expect != Some(data.len()) {
            return Err(Error::shape(format!("{} numbers do not fill a tensor of shape {dims:?}", data.len())));
        }
        Ok(Self { dims: dims.to_vec(), data })
    }

    /// A tensor of zeros.
    pub fn zeros(dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), data: vec![0.0; dims.iter().product()] }
    }

    /// The sizes of the axes.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The numbers.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The numbers, to be changed.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The numbers alone.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The same numbers with other axes.
    ///
    /// # Errors
    /// The number of elements does not agree.
    pub fn reshape(self, dims: &[usize]) -> Result<Self> {
        Self::new(dims, self.data)
    }

    /// Axes in another order: axis `i` of the result is axis `order[i]` of this tensor.
    ///
    /// `[0, 2, 3, 1]` turns PyTorch's NCHW into NHWC, `[0, 3, 1, 2]` turns it back (L11, L12).
    ///
    /// # Errors
    /// `order` is not a permutation of the axes.
    pub fn permute(&self, order: &[usize]) -> Result<Self> {
        let mut seen = order.to_vec();
        seen.sort_unstable();
        if seen != (0..self.dims.len()).collect::<Vec<_>>() {
            return Err(Error::argument(format!("{order:?} is not an order of {} axes", self.dims.len())));
        }
        let strides = strides(&self.dims);
        let dims: Vec<usize> = order.iter().map(|axis| self.dims[*axis]).collect();
        let mut index = vec![0; dims.len()];
        let mut data = Vec::with_capacity(self.data.len());
        for _ in 0..self.data.len() {
            data.push(self.data[index.iter().zip(order).map(|(i, axis)| i * strides[*axis]).sum::<usize>()]);
            advance(&mut index, &dims);
        }
        Ok(Self { dims, data })
    }

    fn offset(&self, index: &[usize]) -> usize {
        assert_eq!(index.len(), self.dims.len(), "index {index:?} into a tensor of shape {:?}", self.dims);
        index.iter().zip(&self.dims).fold(0, |at, (i, d)| {
            assert!(i < d, "index {index:?} into a tensor of shape {:?}", self.dims);
            at * d + i
        })
    }
}

fn strides(dims: &[usize]) -> Vec<usize> {
    (0..dims.len()).map(|i| dims[i + 1..].iter().product()).collect()
}

// The next index, the last axis first.
pub(crate) fn advance(index: &mut [usize], dims: &[usize]) {
    for (i, d) in index.iter_mut().zip(dims).rev() {
        *i += 1;
        if *i < *d {
            return;
        }
        *i = 0;
    }
}

impl<const N: usize> std::ops::Index<[usize; N]> for Tensor {
    type Output = f32;
    fn index(&self, index: [usize; N]) -> &f32 {
        &self.data[self.offset(&index)]
    }
}

impl<const N: usize> std::ops::IndexMut<[usize; N]> for Tensor {
    fn index_mut(&mut self, index: [usize; N]) -> &mut f32 {
        let at = self.offset(&index);
        &mut self.data[at]
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = &self.data[..self.data.len().min(8)];
        write!(f, "Tensor{:?} {some:?}{}", self.dims, if self.data.len() > 8 { "..." } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nchw_to_nhwc_and_back() {
        let nchw = Tensor::new(&[2, 3, 4, 5], (0..120).map(|i| i as f32).collect()).unwrap();
        let nhwc = nchw.permute(&[0, 2, 3, 1]).unwrap();
        assert_eq!(nhwc.dims(), [2, 4, 5, 3]);
        assert_eq!(nhwc[[1, 2, 3, 0]], nchw[[1, 0, 2, 3]]);
        assert_eq!(nhwc.permute(&[0, 3, 1, 2]).unwrap(), nchw);
        assert!(nchw.permute(&[0, 1, 1, 2]).is_err());
    }

    #[test]
    fn shapes_from_outside_are_bounded() {
        assert!(Shape::new(&[28, 0, 1]).is_err());
        assert!(Shape::new(&[usize::MAX, 2]).is_err());
        assert!(Shape::new(&[]).is_err());
        assert_eq!(Shape::new(&[5]).unwrap().hwc().unwrap(), [1, 1, 5]);
    }
}
