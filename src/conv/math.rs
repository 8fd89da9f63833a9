//! Convolution as mathematics defines it, for signals and planes, to be read beside the formulas.
//!
//! ```text
//! continuous   (x * w)(t)    = integral of x(s) w(t - s) ds        a function moving over another (M3)
//! 1-D          (x * w)(i)    = sum over k of x(k) w(i - k)         [convolve]              M1
//!                            = sum over k of x(i - k) w(k)         [convolve_commuted]     M2
//! 2-D          (X * W)(i, j) = sum of X(k1, k2) W(i - k1, j - k2)  [convolve2]             M5
//! correlation  (i, j)        = sum of X(i + k1, j + k2) W(k1, k2)  [correlate2]            M6
//! ```
//!
//! In `w(i - k)` the weight runs backwards: it is *flipped* (M4). Cross-correlation does not flip; it is what neural
//! networks call convolution, since a kernel that is learnt may as well be learnt turned. All coordinates count from
//! 0 (M7). The sums run over all integers, with 0 outside, and so give the full result; see [`Mode`] for the others
//! (M9).
//!
//! A Fourier or Laplace transform turns convolution into multiplication, `F(x * w) = F(x) F(w)` (M21), which is how
//! signal processing computes long ones.

/// Which part of the infinite result is kept (M9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All that can differ from 0: `n + k - 1`.
    Full,
    /// As many as the input has, from the middle: `n`.
    Same,
    /// Where the kernel lies inside the input: `n - k + 1`; none if the kernel is larger.
    Valid,
}

impl Mode {
    // First index of the full result that is kept, and how many.
    fn part(self, n: usize, k: usize) -> (usize, usize) {
        match self {
            Self::Full if n == 0 || k == 0 => (0, 0),
            Self::Full => (0, n + k - 1),
            Self::Same => (k.saturating_sub(1) / 2, n),
            Self::Valid => (k.saturating_sub(1), (n + 1).saturating_sub(k)),
        }
    }
}

/// A plane of numbers, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    rows: usize,
    columns: usize,
    data: Vec<f64>,
}

impl Plane {
    /// A plane whose element (i, j) is `f(i, j)`.
    pub fn new(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let data = (0..rows * columns).map(|at| f(at / columns, at % columns)).collect();
        Self { rows, columns, data }
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// The numbers, row by row.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// Element (i, j), counted from 0; 0 outside of the plane.
    pub fn at(&self, i: isize, j: isize) -> f64 {
        let inside = (0..self.rows as isize).contains(&i) && (0..self.columns as isize).contains(&j);
        if inside { self.data[i as usize * self.columns + j as usize] } else { 0.0 }
    }

    /// The plane turned by half a turn: both axes flipped (M4).
    #[must_use]
    pub fn flipped(&self) -> Self {
        Self { data: self.data.iter().rev().copied().collect(), ..*self }
    }
}

/// `(x * w)(i) = sum over k of x(k) w(i - k)`: the weight is flipped and moves over `x` (M1).
///
/// ```
/// use striate::conv::math::{Mode, convolve};
/// assert_eq!(convolve(&[1.0, 2.0, 3.0], &[0.0, 1.0, 0.5], Mode::Full), [0.0, 1.0, 2.5, 4.0, 1.5]);
/// ```
pub fn convolve(x: &[f64], w: &[f64], mode: Mode) -> Vec<f64> {
    kept(mode, x.len(), w.len(), |i| (0..x.len()).map(|k| x[k] * value(w, i as isize - k as isize)).sum())
}

/// `sum over k of x(i - k) w(k)`: the same with the roles exchanged, since convolution commutes (M2).
pub fn convolve_commuted(x: &[f64], w: &[f64], mode: Mode) -> Vec<f64> {
    kept(mode, x.len(), w.len(), |i| (0..w.len()).map(|k| value(x, i as isize - k as isize) * w[k]).sum())
}

/// `sum over k of x(i + k) w(k)`: cross-correlation, without a flip; index 0 is where `w` touches `x` first.
pub fn correlate(x: &[f64], w: &[f64], mode: Mode) -> Vec<f64> {
    let shift = w.len().saturating_sub(1) as isize;
    kept(mode, x.len(), w.len(), |i| (0..w.len()).map(|k| value(x, i as isize - shift + k as isize) * w[k]).sum())
}

/// `(X * W)(i, j) = sum over k1, k2 of X(k1, k2) W(i - k1, j - k2)` (M5).
pub fn convolve2(x: &Plane, w: &Plane, mode: Mode) -> Plane {
    plane(mode, x, w, |i, j| sum(x, |k1, k2| x.at(k1, k2) * w.at(i - k1, j - k2)))
}

/// `sum over k1, k2 of X(i - k1, j - k2) W(k1, k2)`: the commuted form of [`convolve2`] (M5).
pub fn convolve2_commuted(x: &Plane, w: &Plane, mode: Mode) -> Plane {
    plane(mode, x, w, |i, j| sum(w, |k1, k2| x.at(i - k1, j - k2) * w.at(k1, k2)))
}

/// `sum over k1, k2 of X(i + k1, j + k2) W(k1, k2)`: the dot product of the kernel with a patch, at each place
/// (M6, M17).
pub fn correlate2(x: &Plane, w: &Plane, mode: Mode) -> Plane {
    let [up, left] = w.size().map(|size| size.saturating_sub(1) as isize);
    plane(mode, x, w, |i, j| sum(w, |k1, k2| x.at(i - up + k1, j - left + k2) * w.at(k1, k2)))
}

fn value(x: &[f64], i: isize) -> f64 {
    usize::try_from(i).ok().and_then(|i| x.get(i)).copied().unwrap_or(0.0)
}

fn kept(mode: Mode, n: usize, k: usize, f: impl Fn(usize) -> f64) -> Vec<f64> {
    let (first, len) = mode.part(n, k);
    (first..first + len).map(f).collect()
}

fn plane(mode: Mode, x: &Plane, w: &Plane, f: impl Fn(isize, isize) -> f64) -> Plane {
    let (top, rows) = mode.part(x.rows, w.rows);
    let (left, columns) = mode.part(x.columns, w.columns);
    Plane::new(rows, columns, |i, j| f((top + i) as isize, (left + j) as isize))
}

fn sum(over: &Plane, f: impl Fn(isize, isize) -> f64) -> f64 {
    let [rows, columns] = over.size().map(|size| size as isize);
    (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| f(i, j)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::{Geometry, reference};

    const MODES: [Mode; 3] = [Mode::Full, Mode::Same, Mode::Valid];

    fn some(rows: usize, columns: usize) -> Plane {
        Plane::new(rows, columns, |i, j| ((i * 7 + j * 3) % 11) as f64 - 4.0)
    }

    #[test]
    fn m1_m2_both_forms_are_equal() {
        let x: Vec<f64> = (0..9).map(|i| f64::from(i * i % 7)).collect();
        for (mode, w) in MODES.into_iter().flat_map(|m| [(m, &x[2..3]), (m, &x[1..4]), (m, &x[3..7])]) {
            assert_eq!(convolve(&x, w, mode), convolve_commuted(&x, w, mode), "{mode:?}");
        }
        assert_eq!(convolve(&x, &x[1..4], Mode::Full), convolve(&x[1..4], &x, Mode::Full));
    }

    #[test]
    fn m4_m6_correlation_is_convolution_with_a_flipped_kernel() {
        let (x, w) = (some(6, 5), some(2, 3));
        for mode in MODES {
            assert_eq!(correlate2(&x, &w, mode), convolve2(&x, &w.flipped(), mode), "{mode:?}");
            let flipped: Vec<f64> = w.data().iter().rev().copied().collect();
            assert_eq!(correlate(x.data(), w.data(), mode), convolve(x.data(), &flipped, mode), "{mode:?}");
        }
        assert_ne!(correlate2(&x, &w, Mode::Valid), convolve2(&x, &w, Mode::Valid));
    }

    #[test]
    fn m5_planes_commute_too() {
        let (x, w) = (some(5, 4), some(3, 2));
        for mode in MODES {
            assert_eq!(convolve2(&x, &w, mode), convolve2_commuted(&x, &w, mode));
        }
        assert_eq!(convolve2(&x, &w, Mode::Full), convolve2(&w, &x, Mode::Full));
    }

    #[test]
    fn m7_m17_each_output_is_a_dot_product_of_the_patch_counted_from_0() {
        let (x, w) = (some(4, 4), some(2, 2));
        let y = correlate2(&x, &w, Mode::Valid);
        for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
            let patch = [x.at(i, j), x.at(i, j + 1), x.at(i + 1, j), x.at(i + 1, j + 1)];
            assert_eq!(y.at(i, j), patch.iter().zip(w.data()).map(|(x, w)| x * w).sum::<f64>());
        }
        assert_eq!((x.at(0, 0), x.at(-1, 0)), (x.data()[0], 0.0));
    }

    #[test]
    fn m8_m9_m16_sizes_of_the_modes() {
        let size = |n, k, mode| correlate2(&some(n, n), &some(k, k), mode).size();
        assert_eq!(size(4, 2, Mode::Valid), [3, 3]);
        assert_eq!(size(4, 2, Mode::Same), [4, 4]);
        assert_eq!(size(4, 2, Mode::Full), [5, 5]);
        assert_eq!(size(4, 1, Mode::Valid), [4, 4]);
        assert_eq!(size(2, 4, Mode::Valid), [0, 0]);
    }

    // The engine's reference is this correlation, in each of the modes.
    #[test]
    fn m6_m9_m20_the_engine_computes_correlation() {
        let (x, w) = (some(6, 5), some(3, 3));
        for (mode, padding) in MODES.into_iter().zip(["full", "same", "valid"]) {
            let g: Geometry = format!("h6 w5 ic1 oc1 k3 p{padding}").parse().unwrap();
            let mut y = vec![0.0; g.y_len()];
            reference::forward(&g, x.data(), w.data(), &[], &mut y);
            assert_eq!(correlate2(&x, &w, mode).data(), y, "{mode:?}");
        }
    }
}
