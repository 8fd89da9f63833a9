//! Convolution by the theorem of convolution: in the frequency domain it is a product.
//!
//! ```text
//! X = FFT(x), W = FFT(w)            each plane padded with zeros to th x tw
//! Y[f][n, oc] = sum over ic of X[f][n, ic] conj(W[f][ic, oc])        one matrix product for each frequency
//! y = inverse FFT(Y)                its corner of oh x ow
//! ```
//!
//! The conjugate makes it the correlation that networks use. A plane of `h + before + after` elements needs no more room:
//! what wraps around falls outside the corner. Planes are real, so half of their frequencies suffice.
//!
//! It does fewer multiply-adds the larger the kernel is, and moves more memory: complex spectra of all planes. The
//! engine does not choose it; it is here to be compared. Real and imaginary parts are stored apart, so that the products
//! are those of real matrices.
//!
//! Source: Mathieu, Henaff and LeCun, "Fast training of convolutional networks through FFTs", ICLR 2014, arXiv:1312.5851.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};

use crate::conv::{Geometry, Kernel, Machine, Pass, Work};
use crate::gemm::Product;
use crate::parallel::Team;
use crate::simd::Isa;

/// The name of the algorithm.
pub(super) const NAME: &str = "fft";

// Numbers of the spectra, at most: 1 GB.
const MOST: usize = 1 << 28;

pub(super) fn accept(g: &Geometry, pass: Pass, machine: Machine) -> Result<Box<dyn Kernel>, String> {
    if pass != Pass::Forward {
        return Err("the laboratory has it for the forward pass".into());
    }
    for (what, axes) in [("stride", [g.h.stride, g.w.stride]), ("dilation", [g.h.dilation, g.w.dilation])] {
        if axes != [1, 1] {
            return Err(format!("it needs a {what} of 1, not {}x{}", axes[0], axes[1]));
        }
    }
    if g.groups != 1 {
        return Err(format!("it sums over all input channels, not over those of {} groups", g.groups));
    }
    if g.pad_value != 0.0 {
        return Err("it pads with zeros alone".into());
    }
    let kernel = Spectral::new(*g, machine.isa);
    match kernel.spectra() {
        numbers if numbers <= MOST => Ok(Box::new(kernel)),
        numbers => Err(format!("its spectra would take {:.1} GB", 4.0 * numbers as f64 / 1e9)),
    }
}

struct Spectral {
    g: Geometry,
    isa: Isa,
    th: usize,
    tw: usize,
    // Frequencies of a row, and of a plane.
    row: usize,
    plane: usize,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    columns: [Arc<dyn Fft<f32>>; 2],
}

// The buffers of one plane under transformation.
struct Plane {
    real: Vec<f32>,
    rows: Vec<Complex<f32>>,
    column: Vec<Complex<f32>>,
    spare: Vec<Complex<f32>>,
}

// The next size that is even and has no prime factor above 5: the FFT is fast there.
pub(super) fn good(least: usize) -> usize {
    let smooth = |mut n: usize| {
        for p in [2, 3, 5] {
            while n.is_multiple_of(p) {
                n /= p;
            }
        }
        n == 1
    };
    (least.next_multiple_of(2)..).step_by(2).find(|n| smooth(*n)).unwrap_or(least)
}

impl Spectral {
    fn new(g: Geometry, isa: Isa) -> Self {
        let [th, tw] = [&g.h, &g.w].map(|axis| good((axis.input + axis.before + axis.after).max(2)));
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        let columns = [complex.plan_fft_forward(th), complex.plan_fft_inverse(th)];
        let (forward, inverse) = (real.plan_fft_forward(tw), real.plan_fft_inverse(tw));
        let row = tw / 2 + 1;
        Self { g, isa, th, tw, row, plane: row * th, forward, inverse, columns }
    }

    fn spectra(&self) -> usize {
        let Geometry { n, ic, oc, .. } = self.g;
        2 * self.plane * (n * ic + ic * oc + n * oc)
    }

    fn buffers(&self) -> Plane {
        let zero = Complex::new(0.0, 0.0);
        let scratch = [self.forward.get_scratch_len(), self.inverse.get_scratch_len()];
        let columns = self.columns.iter().map(|fft| fft.get_inplace_scratch_len());
        let spare = scratch.into_iter().chain(columns).max().unwrap_or(0);
        Plane {
            real: vec![0.0; self.tw],
            rows: vec![zero; self.plane],
            column: vec![zero; self.th],
            spare: vec![zero; spare],
        }
    }

    // The spectrum of a plane of `h` rows, each filled by `fill(row, values)`: real parts, then imaginary ones.
    fn transform(&self, h: usize, p: &mut Plane, fill: impl Fn(usize, &mut [f32]), spectrum: &mut [f32]) {
        p.rows.fill(Complex::new(0.0, 0.0));
        for (i, row) in p.rows.chunks_exact_mut(self.row).enumerate().take(h) {
            p.real.fill(0.0);
            fill(i, &mut p.real);
            self.forward.process_with_scratch(&mut p.real, row, &mut p.spare).expect("the lengths of the plan");
        }
        self.turn_columns(p, 0);
        let (re, im) = spectrum.split_at_mut(self.plane);
        for ((re, im), value) in re.iter_mut().zip(im).zip(&p.rows) {
            (*re, *im) = (value.re, value.im);
        }
    }

    fn turn_columns(&self, p: &mut Plane, way: usize) {
        for c in 0..self.row {
            for (value, row) in p.column.iter_mut().zip(p.rows.chunks_exact(self.row)) {
                *value = row[c];
            }
            self.columns[way].process_with_scratch(&mut p.column, &mut p.spare);
            for (value, row) in p.column.iter().zip(p.rows.chunks_exact_mut(self.row)) {
                row[c] = *value;
            }
        }
    }

    // The spectra of all planes of x, `[n][ic][re, im][plane]`.
    fn transform_x(&self, team: Team, x: &[f32], spectra: &mut [f32]) {
        let Geometry { h, w, ic, .. } = self.g;
        team.chunks(spectra, 2 * self.plane * ic, |n, spectra| {
            let mut p = self.buffers();
            for (c, spectrum) in spectra.chunks_exact_mut(2 * self.plane).enumerate() {
                let fill = |row: usize, to: &mut [f32]| {
                    let Some(ih) = row.checked_sub(h.before) else { return };
                    let pixels = x[(n * h.input + ih) * w.input * ic + c..].iter().step_by(ic).take(w.input);
                    to[w.before..].iter_mut().zip(pixels).for_each(|(to, x)| *to = *x);
                };
                self.transform(h.before + h.input, &mut p, fill, spectrum);
            }
        });
    }

    // The spectra of all kernels, `[ic][oc][re, im][plane]`.
    fn transform_w(&self, team: Team, weights: &[f32], spectra: &mut [f32]) {
        let Geometry { h, w, ic, oc, .. } = self.g;
        team.chunks(spectra, 2 * self.plane * oc, |c, spectra| {
            let mut p = self.buffers();
            for (o, spectrum) in spectra.chunks_exact_mut(2 * self.plane).enumerate() {
                let fill = |kh: usize, to: &mut [f32]| {
                    let taps = weights[(kh * w.kernel * ic + c) * oc + o..].iter().step_by(ic * oc).take(w.kernel);
                    to.iter_mut().zip(taps).for_each(|(to, tap)| *to = *tap);
                };
                self.transform(h.kernel, &mut p, fill, spectrum);
            }
        });
    }

    // The products of all frequencies, `[plane][re, im][n][oc]`.
    fn multiply(&self, team: Team, [x, w]: [&[f32]; 2], products: &mut [f32]) {
        let Geometry { n, ic, oc, .. } = self.g;
        let product = Product::plain(ic, oc);
        let more = Product { accumulate: true, ..product };
        // The frequencies of one piece share the buffers.
        const FREQUENCIES: usize = 16;
        team.chunks(products, FREQUENCIES * 2 * n * oc, |piece, products| {
            let (mut a, mut b) = (vec![0.0; 3 * n * ic], vec![0.0; 2 * ic * oc]);
            for (i, y) in products.chunks_exact_mut(2 * n * oc).enumerate() {
                let f = piece * FREQUENCIES + i;
                let gather = |from: &[f32], to: &mut [f32], part: usize| {
                    let values = from[part * self.plane + f..].iter().step_by(2 * self.plane);
                    to.iter_mut().zip(values).for_each(|(to, v)| *to = *v);
                };
                let [xr, xi, minus_xr] = thirds(&mut a);
                gather(x, xr, 0);
                gather(x, xi, 1);
                minus_xr.iter_mut().zip(&*xr).for_each(|(to, v)| *to = -v);
                let (wr, wi) = b.split_at_mut(ic * oc);
                gather(w, wr, 0);
                gather(w, wi, 1);
                let (re, im) = y.split_at_mut(n * oc);
                // (xr + i xi) (wr - i wi)
                product.run(Team::solo(), self.isa, [xr, wr], re);
                more.run(Team::solo(), self.isa, [xi, wi], re);
                product.run(Team::solo(), self.isa, [xi, wr], im);
                more.run(Team::solo(), self.isa, [minus_xr, wi], im);
            }
        });
    }

    // One image of y, `[oh, ow, oc]`, from the products.
    fn invert(&self, n: usize, products: &[f32], y: &mut [f32]) {
        let Geometry { n: batch, h, w, oc, .. } = self.g;
        let mut p = self.buffers();
        let scale = 1.0 / (self.th * self.tw) as f32;
        for o in 0..oc {
            for (value, parts) in p.rows.iter_mut().zip(products.chunks_exact(2 * batch * oc)) {
                *value = Complex::new(parts[n * oc + o], parts[(batch + n) * oc + o]);
            }
            self.turn_columns(&mut p, 1);
            for (row, to) in p.rows.chunks_exact_mut(self.row).zip(y.chunks_exact_mut(w.output * oc)).take(h.output) {
                // Both are real but for rounding, and the plan refuses anything else.
                row[0].im = 0.0;
                row[self.row - 1].im = 0.0;
                self.inverse.process_with_scratch(row, &mut p.real, &mut p.spare).expect("the lengths of the plan");
                to.iter_mut().skip(o).step_by(oc).zip(&p.real).for_each(|(to, v)| *to = v * scale);
            }
        }
    }
}

fn thirds(all: &mut [f32]) -> [&mut [f32]; 3] {
    let third = all.len() / 3;
    let (a, rest) = all.split_at_mut(third);
    let (b, c) = rest.split_at_mut(third);
    [a, b, c]
}

impl Kernel for Spectral {
    fn work(&self) -> usize {
        self.spectra()
    }

    // The buffers of single planes are allocated, which a kernel of the engine may not do.
    fn run(&self, team: Team, work: Work<'_>) {
        let Geometry { n, ic, oc, .. } = self.g;
        let Work { inputs: [x, w], out, finish, scratch, .. } = work;
        let (xs, rest) = scratch.split_at_mut(2 * self.plane * n * ic);
        let (ws, products) = rest.split_at_mut(2 * self.plane * ic * oc);
        let products = &mut products[..2 * self.plane * n * oc];
        self.transform_x(team, x, xs);
        self.transform_w(team, w, ws);
        self.multiply(team, [xs, ws], products);
        let products = &*products;
        team.chunks(&mut out[..self.g.y_len()], self.g.h.output * self.g.w.output * oc, |n, y| {
            self.invert(n, products, y)
        });
        for pixel in out.chunks_exact_mut(oc) {
            pixel.iter_mut().zip(finish.bias).for_each(|(y, b)| *y += b);
        }
        out.iter_mut().zip(finish.residual).for_each(|(y, r)| *y += r);
        out.iter_mut().for_each(|y| *y = finish.fused.apply(*y));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str, pass: Pass) -> String {
        let machine = Machine { isa: Isa::best(), threads: 1 };
        accept(&text.parse().unwrap(), pass, machine).err().unwrap()
    }

    #[test]
    fn sizes_are_even_and_smooth() {
        assert_eq!([2, 3, 7, 14, 29, 58, 226, 251].map(good), [2, 4, 8, 16, 30, 60, 240, 256]);
    }

    #[test]
    fn refusals_say_why() {
        assert!(refusal("h8 w8 ic1 oc1 k3 s2", Pass::Forward).contains("stride of 1, not 2x2"));
        assert!(refusal("h8 w8 ic1 oc1 k3 d2x1", Pass::Forward).contains("dilation of 1, not 2x1"));
        assert!(refusal("h8 w8 ic4 oc4 k3 g2", Pass::Forward).contains("2 groups"));
        assert!(refusal("h8 w8 ic4 oc4 k3 p1 v2", Pass::Forward).contains("zeros"));
        assert!(refusal("h8 w8 ic4 oc4 k3", Pass::BackwardInput).contains("forward pass"));
        assert!(refusal("n64 h224 w224 ic64 oc64 k3", Pass::Forward).contains("GB"));
    }

    // All paddings, kernels that are no square, sizes that are no good lengths: the laboratory's own error is the test.
    #[test]
    fn the_product_of_the_spectra_is_the_convolution() {
        for text in ["n3 h7 w11 ic3 oc5 k3x5 pfull", "h9 w5 ic2 oc1 k4x2 p0,2,3,1", "n2 h1 w1 ic4 oc3 k1"] {
            let g: Geometry = text.parse().unwrap();
            let machine = Machine { isa: Isa::best(), threads: 1 };
            let kernel = accept(&g, Pass::Forward, machine).unwrap();
            let numbers = |len: usize, step: usize| (0..len).map(|i| (i * step % 13) as f32 - 6.0).collect::<Vec<_>>();
            let (x, w, mut y) = (numbers(g.x_len(), 5), numbers(g.w_len(), 7), vec![f32::NAN; g.y_len()]);
            let (mut expect, mut scratch) = (vec![0.0; g.y_len()], vec![f32::NAN; kernel.work()]);
            let finish = crate::conv::Finish::default();
            let work = Work { inputs: [&x, &w], packed: &[], out: &mut y, finish, scratch: &mut scratch };
            kernel.run(Team::solo(), work);
            crate::conv::reference::forward(&g, &x, &w, &[], &mut expect);
            let largest = expect.iter().fold(1.0_f32, |a, v| a.max(v.abs()));
            for (y, expect) in y.iter().zip(&expect) {
                assert!((y - expect).abs() < 1e-5 * largest, "{text}: {y} is not {expect}");
            }
        }
    }
}
