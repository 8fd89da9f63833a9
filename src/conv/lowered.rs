//! Convolution as a matrix product: im2col, and its adjoint col2im.
//!
//! ```text
//! col = im2col(x)        [n oh ow, kh kw ic]     each row is the patch that one output pixel sees
//! y   = col W + b        W = w as [kh kw ic, oc] (D2: reshaped, never transposed: HWIO is already so)
//! db  = column sums of dy
//! dW  = col^T dy
//! dx  = col2im(dy W^T)   each element of a patch is added where it came from (D4)
//! ```
//!
//! It is the shape of a dense layer, and as many matrices wide as there are kernels (M22). The price is the matrix:
//! `kh kw` times the input. Here it is made for one image at a time. Source: Chellapilla, Puri and Simard, "High
//! performance convolutional neural networks for document processing", 2006.

use super::reference::Real;
use super::{Geometry, Kernel, Machine, Pass, Work};
use crate::gemm::Product;
use crate::parallel::Team;
use crate::simd::Isa;

/// The patches of `x`, one in each row: `[n, h, w, ic]` to `[n oh ow, kh kw ic]` (M23).
///
/// ```
/// let g = "h3 w3 ic1 oc1 k2".parse()?;
/// let mut col = [0.0; 16];
/// striate::conv::lowered::im2col(&g, &[1., 2., 3., 4., 5., 6., 7., 8., 9.], &mut col);
/// assert_eq!(col[..8], [1., 2., 4., 5., 2., 3., 5., 6.]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Panics
/// A slice is shorter than the shapes say.
pub fn im2col<T: Real>(g: &Geometry, x: &[T], col: &mut [T]) {
    each_cell(g, Layout::Nhwc, |to, from| col[to] = from.map_or(T::from_f32(g.pad_value), |i| x[i]));
}

/// The adjoint of [`im2col`]: adds each element of each patch to where it came from (M24).
///
/// # Panics
/// A slice is shorter than the shapes say.
pub fn col2im<T: Real>(g: &Geometry, col: &[T], x: &mut [T]) {
    scatter(g, Layout::Nhwc, col, x);
}

/// As [`im2col`] for images and filters with the channels first: `(N, C, H, W)` to `(N OH OW, C FH FW)` (L12).
///
/// # Panics
/// A slice is shorter than the shapes say.
pub fn im2col_nchw<T: Real>(g: &Geometry, x: &[T], col: &mut [T]) {
    each_cell(g, Layout::Nchw, |to, from| col[to] = from.map_or(T::from_f32(g.pad_value), |i| x[i]));
}

/// As [`col2im`] for images and filters with the channels first.
///
/// # Panics
/// A slice is shorter than the shapes say.
pub fn col2im_nchw<T: Real>(g: &Geometry, col: &[T], x: &mut [T]) {
    scatter(g, Layout::Nchw, col, x);
}

fn scatter<T: Real>(g: &Geometry, layout: Layout, col: &[T], x: &mut [T]) {
    x[..g.x_len()].fill(T::ZERO);
    each_cell(g, layout, |from, to| {
        if let Some(i) = to {
            x[i] = x[i].plus(col[from]);
        }
    });
}

#[derive(Clone, Copy)]
enum Layout {
    Nhwc,
    Nchw,
}

impl Layout {
    // The index of (outer, y, x, channel), in images as in patches.
    fn at(self, [outer, y, x, c]: [usize; 4], [h, w, channels]: [usize; 3]) -> usize {
        match self {
            Self::Nhwc => ((outer * h + y) * w + x) * channels + c,
            Self::Nchw => ((outer * channels + c) * h + y) * w + x,
        }
    }
}

// Calls `f(index into col, index into x or None in the padding)` for each element of each patch.
fn each_cell(g: &Geometry, layout: Layout, mut f: impl FnMut(usize, Option<usize>)) {
    let (patch, image) = ([g.h.kernel, g.w.kernel, g.ic], [g.h.input, g.w.input, g.ic]);
    for pixel in 0..g.n * g.h.output * g.w.output {
        let (ow, oh, n) = (pixel % g.w.output, pixel / g.w.output % g.h.output, pixel / g.w.output / g.h.output);
        for kh in 0..g.h.kernel {
            for kw in 0..g.w.kernel {
                let place = g.h.input_at(oh, kh).zip(g.w.input_at(ow, kw));
                for c in 0..g.ic {
                    let from = place.map(|(ih, iw)| layout.at([n, ih, iw, c], image));
                    f(layout.at([pixel, kh, kw, c], patch), from);
                }
            }
        }
    }
}

/// The algorithm: one image after another, the product on all threads.
struct Lowered {
    one: Geometry,
    n: usize,
    pass: Pass,
    isa: Isa,
}

pub(super) fn accept(g: &Geometry, pass: Pass, machine: Machine) -> Result<Box<dyn Kernel>, String> {
    if g.groups > 1 {
        return Err(format!("{} groups would be {} small products; it takes one group", g.groups, g.groups));
    }
    Ok(Box::new(Lowered { one: Geometry { n: 1, ..*g }, n: g.n, pass, isa: machine.isa }))
}

impl Lowered {
    fn pixels(&self) -> usize {
        self.one.h.output * self.one.w.output
    }

    fn forward(&self, team: Team, [x, w]: [&[f32]; 2], out: &mut [f32], col: &mut [f32]) {
        let product = Product::plain(self.one.terms(), self.one.oc);
        for (x, y) in x.chunks_exact(self.one.x_len()).zip(out.chunks_exact_mut(self.one.y_len())) {
            im2col(&self.one, x, col);
            product.run(team, self.isa, [col, w], y);
        }
    }

    fn backward_input(&self, team: Team, [dy, w]: [&[f32]; 2], out: &mut [f32], scratch: &mut [f32]) {
        let (terms, oc) = (self.one.terms(), self.one.oc);
        let (col, turned) = scratch.split_at_mut(self.pixels() * terms);
        for (i, row) in turned.chunks_exact_mut(terms).enumerate() {
            row.iter_mut().zip(w[i..].iter().step_by(oc)).for_each(|(to, w)| *to = *w);
        }
        for (dy, dx) in dy.chunks_exact(self.one.y_len()).zip(out.chunks_exact_mut(self.one.x_len())) {
            Product::plain(oc, terms).run(team, self.isa, [dy, turned], col);
            col2im(&self.one, col, dx);
        }
    }

    fn backward_weights(&self, team: Team, [x, dy]: [&[f32]; 2], out: &mut [f32], col: &mut [f32]) {
        let product = Product::transposed(self.one.terms(), self.pixels(), self.one.oc);
        let images = x.chunks_exact(self.one.x_len()).zip(dy.chunks_exact(self.one.y_len()));
        for (i, (x, dy)) in images.enumerate() {
            im2col(&self.one, x, col);
            Product { accumulate: i > 0, ..product }.run(team, self.isa, [col, dy], out);
        }
    }
}

impl Kernel for Lowered {
    fn work(&self) -> usize {
        let turned = if self.pass == Pass::BackwardInput { self.one.w_len() } else { 0 };
        self.pixels() * self.one.terms() + turned
    }

    fn run(&self, team: Team, work: Work<'_>) {
        let Work { inputs: [a, b], out, finish, scratch, .. } = work;
        let (a_len, b_len) = match self.pass {
            Pass::Forward => (self.one.x_len() * self.n, self.one.w_len()),
            Pass::BackwardInput => (self.one.y_len() * self.n, self.one.w_len()),
            Pass::BackwardWeights => (self.one.x_len() * self.n, self.one.y_len() * self.n),
        };
        let (inputs, scratch) = ([&a[..a_len], &b[..b_len]], &mut scratch[..self.work()]);
        match self.pass {
            Pass::Forward => {
                self.forward(team, inputs, out, scratch);
                finish.apply(out, self.one.oc);
            }
            Pass::BackwardInput => {
                self.backward_input(team, inputs, out, scratch);
                finish.apply(out, self.one.ic);
            }
            Pass::BackwardWeights => self.backward_weights(team, inputs, out, scratch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::{Finish, reference};

    fn numbers(len: usize, seed: usize) -> Vec<f64> {
        (0..len).map(|i| ((i * 37 + seed * 11) % 23) as f64 - 11.0).collect()
    }

    fn count(len: usize) -> Vec<f64> {
        (1..=len).map(|i| i as f64).collect()
    }

    #[test]
    fn m23_d1_im2col_steps_by_the_stride_and_reads_every_pixel() {
        let g: Geometry = "h4 w4 ic1 oc1 k2 s2".parse().unwrap();
        let mut col = vec![0.0; 16];
        im2col(&g, &count(16), &mut col);
        assert_eq!(col, [1., 2., 5., 6., 3., 4., 7., 8., 9., 10., 13., 14., 11., 12., 15., 16.]);
    }

    #[test]
    fn m23_l12_channels_first_has_its_shape_and_order() {
        let g: Geometry = "n1 h2 w2 ic2 oc1 k2".parse().unwrap();
        let mut col = vec![0.0; 8];
        im2col_nchw(&g, &count(8), &mut col);
        assert_eq!(col, count(8));
        im2col(&g, &[1., 5., 2., 6., 3., 7., 4., 8.], &mut col);
        assert_eq!(col, [1., 5., 2., 6., 3., 7., 4., 8.]);
    }

    #[test]
    fn m24_d4_col2im_accumulates() {
        let g: Geometry = "h3 w3 ic1 oc1 k2".parse().unwrap();
        let mut x = vec![f64::NAN; 9];
        col2im(&g, &[1.0; 16], &mut x);
        assert_eq!(x, [1., 2., 1., 2., 4., 2., 1., 2., 1.]);
    }

    // <im2col(x), c> = <x, col2im(c)>: what makes it the adjoint, in both layouts.
    #[test]
    fn m24_d4_col2im_is_the_adjoint_of_im2col() {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for text in ["n2 h7 w6 ic3 oc1 k3x2 s2x1 p1,0,2,1 d1x2", "n1 h5 w5 ic2 oc1 k3 p1"] {
            let g: Geometry = text.parse().unwrap();
            let x = numbers(g.x_len(), 1);
            let c = numbers(g.n * g.h.output * g.w.output * g.terms(), 2);
            let (mut col, mut back) = (vec![0.0; c.len()], vec![0.0; x.len()]);
            im2col(&g, &x, &mut col);
            col2im(&g, &c, &mut back);
            assert_eq!(dot(&col, &c), dot(&x, &back), "{text}");
            im2col_nchw(&g, &x, &mut col);
            col2im_nchw(&g, &c, &mut back);
            assert_eq!(dot(&col, &c), dot(&x, &back), "{text}, channels first");
        }
    }

    // With several filters, `W.reshape(C*FH*FW, FN)` of (FN, C, FH, FW) filters scrambles them; reshaping to
    // (FN, C*FH*FW) and transposing does not.
    #[test]
    fn d2_the_filter_matrix_is_reshaped_then_transposed() {
        let g: Geometry = "n2 h4 w4 ic2 oc3 k2".parse().unwrap();
        let (x, w) = (numbers(g.x_len(), 1), numbers(g.w_len(), 2));
        let (rows, terms) = (g.n * g.h.output * g.w.output, g.terms());
        let mut col = vec![0.0; rows * terms];
        im2col_nchw(&g, &x, &mut col);
        let product = |matrix: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            let cell = |at: usize| (0..terms).map(|t| col[at / 3 * terms + t] * matrix(t, at % 3)).sum();
            (0..rows * 3).map(cell).collect()
        };
        let right = product(&|term, filter| w[filter * terms + term]);
        let scrambled = product(&|term, filter| w[term * 3 + filter]);
        let mut want = vec![0.0; rows * 3];
        let (nhwc, hwio) = (to_nhwc(&g, &x), to_hwio(&g, &w));
        reference::forward(&g, &nhwc, &hwio, &[], &mut want);
        assert_eq!(right, want);
        assert_ne!(scrambled, want);
    }

    fn to_nhwc(g: &Geometry, x: &[f64]) -> Vec<f64> {
        let (h, w, c) = (g.h.input, g.w.input, g.ic);
        (0..x.len()).map(|i| x[((i / c / w / h * c + i % c) * h + i / c / w % h) * w + i / c % w]).collect()
    }

    fn to_hwio(g: &Geometry, w: &[f64]) -> Vec<f64> {
        let (kh, kw, ic, oc) = (g.h.kernel, g.w.kernel, g.ic, g.oc);
        let from = |i: usize| ((i % oc * ic + i / oc % ic) * kh + i / oc / ic / kw) * kw + i / oc / ic % kw;
        (0..w.len()).map(|i| w[from(i)]).collect()
    }

    // M22, M25, M26, D3: the matrix forms of all three passes are the nested loops, with one layout of the weights.
    #[test]
    fn m22_m25_m26_d3_products_are_the_nested_loops() {
        for text in ["n2 h6 w5 ic3 oc4 k3x2 s2x1 p1,1,0,1 v0.5", "n1 h4 w4 ic2 oc5 k2 d2"] {
            let g: Geometry = text.parse().unwrap();
            let (x, w, dy) = (numbers(g.x_len(), 1), numbers(g.w_len(), 2), numbers(g.y_len(), 3));
            for (pass, a, b) in
                [(Pass::Forward, &x, &w), (Pass::BackwardInput, &dy, &w), (Pass::BackwardWeights, &x, &dy)]
            {
                let mut want = vec![0.0; pass.out_len(&g)];
                match pass {
                    Pass::Forward => reference::forward(&g, a, b, &[], &mut want),
                    Pass::BackwardInput => reference::backward_input(&g, a, b, &mut want),
                    Pass::BackwardWeights => reference::backward_weights(&g, a, b, &mut want),
                }
                let narrow = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<f32>>();
                let kernel = accept(&g, pass, Machine { isa: Isa::best(), threads: 1 }).unwrap();
                let (mut out, mut scratch) = (vec![f32::NAN; want.len()], vec![f32::NAN; kernel.work()]);
                let work = Work {
                    inputs: [&narrow(a), &narrow(b)],
                    packed: &[],
                    out: &mut out,
                    finish: Finish::default(),
                    scratch: &mut scratch,
                };
                kernel.run(Team::solo(), work);
                assert_eq!(out, narrow(&want), "{text} {pass}");
            }
        }
    }
}
