//! The order of axes: how PyTorch and ONNX lay weights out, and how striate and Keras do.
//!
//! | weights | PyTorch, ONNX | striate, Keras |
//! |---|---|---|
//! | convolution | `[oc, ic / groups, kh, kw]` | `[kh, kw, ic / groups, oc]` |
//! | transposed convolution | `[ic, oc / groups, kh, kw]` | `[kh, kw, oc / groups, ic]` |
//! | dense | `[out, in]` | `[in, out]` |
//! | image, or one weight per element of it | `[c, h, w]` | `[h, w, c]` |
//!
//! Sequences have one axis in place of `kh, kw`. A dense layer after a flattened image sees its inputs in
//! another order, too: PyTorch flattens `c, h, w`, striate `h, w, c`; so the rows of its matrix move.
//!
//! Each function returns a tensor of its own and leaves the numbers as they are, to the bit.

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A kernel `[a, b, kh, kw]` as `[kh, kw, b, a]`: OIHW becomes HWIO, and the IOHW of a transposed convolution `[kh, kw, o, i]`.
///
/// ```
/// use striate::{Tensor, format::layout};
/// let oihw = Tensor::zeros(&[32, 3, 5, 7]);
/// assert_eq!(layout::kernel_from_torch(&oihw)?.dims(), [5, 7, 3, 32]);
/// assert_eq!(layout::kernel_to_torch(&layout::kernel_from_torch(&oihw)?)?, oihw);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// It does not have 3 axes (a sequence's kernel) to 5.
pub fn kernel_from_torch(kernel: &Tensor) -> Result<Tensor> {
    kernel.permute(match kernel.dims().len() {
        3 => &[2, 1, 0],
        4 => &[2, 3, 1, 0],
        5 => &[2, 3, 4, 1, 0],
        _ => return Err(no_kernel(kernel)),
    })
}

/// A kernel `[kh, kw, b, a]` as `[a, b, kh, kw]`: the way back of [`kernel_from_torch`].
///
/// # Errors
/// It does not have 3 axes (a sequence's kernel) to 5.
pub fn kernel_to_torch(kernel: &Tensor) -> Result<Tensor> {
    kernel.permute(match kernel.dims().len() {
        3 => &[2, 1, 0],
        4 => &[3, 2, 0, 1],
        5 => &[4, 3, 0, 1, 2],
        _ => return Err(no_kernel(kernel)),
    })
}

/// A dense layer's `[out, in]` as `[in, out]`; after a flattened image `[h, w, c]`, its rows go from the order `c, h, w`
/// to `h, w, c`.
///
/// # Errors
/// It is no matrix, or the image does not have as many elements as the matrix has inputs.
pub fn dense_from_torch(weight: &Tensor, flattened: Option<[usize; 3]>) -> Result<Tensor> {
    rows_from_chw(&transposed(weight)?, flattened.unwrap_or([1, 1, matrix(weight)?[1]]))
}

/// A dense layer's `[in, out]` as `[out, in]`: the way back of [`dense_from_torch`].
///
/// # Errors
/// As [`dense_from_torch`].
pub fn dense_to_torch(kernel: &Tensor, flattened: Option<[usize; 3]>) -> Result<Tensor> {
    transposed(&rows_to_chw(kernel, flattened.unwrap_or([1, 1, matrix(kernel)?[0]]))?)
}

/// A matrix with its two axes exchanged.
///
/// # Errors
/// It is no matrix.
pub fn transposed(matrix: &Tensor) -> Result<Tensor> {
    self::matrix(matrix)?;
    matrix.permute(&[1, 0])
}

/// A matrix `[c * h * w, n]` whose rows come from an image flattened as `c, h, w`, for one flattened as `h, w, c`.
///
/// # Errors
/// It is no matrix, or the image `[h, w, c]` does not have as many elements as the matrix has rows.
pub fn rows_from_chw(kernel: &Tensor, [h, w, c]: [usize; 3]) -> Result<Tensor> {
    let columns = rows(kernel, [h, w, c])?;
    if c == 1 || h * w == 1 {
        return Ok(kernel.clone());
    }
    let split = Tensor::new(&[c, h * w, columns], kernel.data().to_vec())?;
    split.permute(&[1, 0, 2])?.reshape(kernel.dims())
}

/// A matrix `[h * w * c, n]` whose rows come from an image flattened as `h, w, c`, for one flattened as `c, h, w`.
///
/// # Errors
/// As [`rows_from_chw`].
pub fn rows_to_chw(kernel: &Tensor, [h, w, c]: [usize; 3]) -> Result<Tensor> {
    let columns = rows(kernel, [h, w, c])?;
    if c == 1 || h * w == 1 {
        return Ok(kernel.clone());
    }
    let split = Tensor::new(&[h * w, c, columns], kernel.data().to_vec())?;
    split.permute(&[1, 0, 2])?.reshape(kernel.dims())
}

/// Channels first to channels last: `[c, ...]` as `[..., c]`.
///
/// # Errors
/// It has no axes.
pub fn channels_to_last(tensor: &Tensor) -> Result<Tensor> {
    let rank = tensor.dims().len();
    let order: Vec<usize> = (1..rank).chain([0]).collect();
    tensor.permute(&order)
}

/// Channels last to channels first: `[..., c]` as `[c, ...]`.
///
/// # Errors
/// It has no axes.
pub fn channels_to_first(tensor: &Tensor) -> Result<Tensor> {
    let last = tensor.dims().len().checked_sub(1).ok_or_else(|| Error::shape("a single number has no channels"))?;
    let order: Vec<usize> = [last].into_iter().chain(0..last).collect();
    tensor.permute(&order)
}

fn matrix(tensor: &Tensor) -> Result<[usize; 2]> {
    match *tensor.dims() {
        [rows, columns] => Ok([rows, columns]),
        _ => Err(Error::shape(format!("a dense layer's weights have 2 axes, not the shape {:?}", tensor.dims()))),
    }
}

// The number of columns of a matrix with one row for each element of the image.
fn rows(kernel: &Tensor, [h, w, c]: [usize; 3]) -> Result<usize> {
    let [rows, columns] = matrix(kernel)?;
    let elements = h.checked_mul(w).and_then(|n| n.checked_mul(c));
    if elements != Some(rows) {
        let message = format!("a dense layer of {rows} inputs does not follow an image of {h}x{w}x{c}");
        return Err(Error::shape(message));
    }
    Ok(columns)
}

fn no_kernel(kernel: &Tensor) -> Error {
    Error::shape(format!("a kernel has 3 axes (of a sequence), 4 or 5, not the shape {:?}", kernel.dims()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(dims: &[usize]) -> Tensor {
        Tensor::new(dims, (0..dims.iter().product()).map(|i| i as f32).collect()).unwrap()
    }

    #[test]
    fn kernels_go_from_oihw_to_hwio_and_back_l11_l12() {
        let oihw = ramp(&[2, 3, 5, 7]);
        let hwio = kernel_from_torch(&oihw).unwrap();
        assert_eq!(hwio.dims(), [5, 7, 3, 2]);
        assert_eq!(hwio[[4, 6, 2, 1]], oihw[[1, 2, 4, 6]]);
        assert_eq!(hwio[[3, 1, 0, 1]], oihw[[1, 0, 3, 1]]);
        assert_eq!(kernel_to_torch(&hwio).unwrap(), oihw);
        let sequence = ramp(&[2, 3, 4]);
        assert_eq!(kernel_from_torch(&sequence).unwrap()[[3, 1, 0]], sequence[[0, 1, 3]]);
        assert!(kernel_from_torch(&ramp(&[2, 3])).is_err());
    }

    /// A dense layer gives the same sums on an image flattened either way.
    #[test]
    fn dense_rows_follow_the_flattened_image() {
        let ([h, w, c], out) = ([2, 3, 4], 5);
        let (weight, image) = (ramp(&[out, c * h * w]), ramp(&[c, h, w]));
        let kernel = dense_from_torch(&weight, Some([h, w, c])).unwrap();
        let flat = channels_to_last(&image).unwrap();
        for o in 0..out {
            let torch: f32 = (0..c * h * w).map(|i| weight[[o, i]] * image.data()[i]).sum();
            let ours: f32 = (0..c * h * w).map(|i| kernel[[i, o]] * flat.data()[i]).sum();
            assert_eq!(torch, ours);
        }
        assert_eq!(dense_to_torch(&kernel, Some([h, w, c])).unwrap(), weight);
        assert_eq!(channels_to_first(&flat).unwrap(), image);
        let plain = dense_from_torch(&weight, None).unwrap();
        assert_eq!(plain, transposed(&weight).unwrap());
        let e = dense_from_torch(&weight, Some([2, 2, 4])).unwrap_err().to_string();
        assert!(e.contains("24 inputs") && e.contains("2x2x4"), "{e}");
    }
}
