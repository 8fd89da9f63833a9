//! Single outputs of a convolution in f64, by the formula, to measure errors of shapes that are too large to compute whole.
//!
//! ```text
//! forward            y[n, oh, ow, oc]  = sum over kh, kw, c of   x  w
//! backward_input     dx[n, ih, iw, ic] = sum over kh, kw, oc of  dy w    where output (oh, ow) saw (ih, iw) through (kh, kw)
//! backward_weights   dw[kh, kw, c, oc] = sum over n, oh, ow of   x  dy
//! ```

use crate::conv::{Axis, Geometry, Pass};

// Terms that are summed for one table, at most: some tenths of a second.
const TERMS: usize = 30_000_000;

/// Which outputs are looked at, evenly spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples {
    /// How many.
    pub count: usize,
    /// Of how many.
    pub of: usize,
}

impl Samples {
    /// As many outputs of a pass as can be computed in f64 in a moment; all of them where the shape is small.
    pub(super) fn new(g: &Geometry, pass: Pass) -> Self {
        let of = pass.out_len(g);
        let terms = (g.mul_adds() as usize / of).max(1);
        Self { count: of.min((TERMS / terms).max(64)), of }
    }

    /// Their places.
    pub(super) fn places(self) -> impl Iterator<Item = usize> {
        // The last place is the last output, whatever the count.
        let last = (self.count - 1).max(1);
        (0..self.count).map(move |i| i * (self.of - 1) / last)
    }
}

/// One output of a pass; `a` and `b` are the pass's inputs in their order.
pub(super) fn output(g: &Geometry, pass: Pass, [a, b]: [&[f32]; 2], at: usize) -> f64 {
    match pass {
        Pass::Forward => forward(g, a, b, at),
        Pass::BackwardInput => backward_input(g, a, b, at),
        Pass::BackwardWeights => backward_weights(g, a, b, at),
    }
}

fn forward(g: &Geometry, x: &[f32], w: &[f32], at: usize) -> f64 {
    let ([n, oh, ow, oc], icg) = (split(at, [g.h.output, g.w.output, g.oc]), g.ic / g.groups);
    let first = oc / (g.oc / g.groups) * icg;
    let mut sum = 0.0;
    for kh in 0..g.h.kernel {
        for kw in 0..g.w.kernel {
            let pixel = g.h.input_at(oh, kh).zip(g.w.input_at(ow, kw));
            for c in 0..icg {
                let x =
                    pixel.map_or(g.pad_value, |(ih, iw)| x[((n * g.h.input + ih) * g.w.input + iw) * g.ic + first + c]);
                sum += f64::from(x) * f64::from(w[((kh * g.w.kernel + kw) * icg + c) * g.oc + oc]);
            }
        }
    }
    sum
}

fn backward_input(g: &Geometry, dy: &[f32], w: &[f32], at: usize) -> f64 {
    let [n, ih, iw, ic] = split(at, [g.h.input, g.w.input, g.ic]);
    let (icg, ocg) = (g.ic / g.groups, g.oc / g.groups);
    let (first, c) = (ic / icg * ocg, ic % icg);
    let mut sum = 0.0;
    for (oh, kh) in seen(&g.h, ih) {
        for (ow, kw) in seen(&g.w, iw) {
            for oc in first..first + ocg {
                let dy = dy[((n * g.h.output + oh) * g.w.output + ow) * g.oc + oc];
                sum += f64::from(dy) * f64::from(w[((kh * g.w.kernel + kw) * icg + c) * g.oc + oc]);
            }
        }
    }
    sum
}

fn backward_weights(g: &Geometry, x: &[f32], dy: &[f32], at: usize) -> f64 {
    let icg = g.ic / g.groups;
    let [kh, kw, c, oc] = split(at, [g.w.kernel, icg, g.oc]);
    let channel = oc / (g.oc / g.groups) * icg + c;
    let mut sum = 0.0;
    for n in 0..g.n {
        for oh in 0..g.h.output {
            for ow in 0..g.w.output {
                let pixel = g.h.input_at(oh, kh).zip(g.w.input_at(ow, kw));
                let x =
                    pixel.map_or(g.pad_value, |(ih, iw)| x[((n * g.h.input + ih) * g.w.input + iw) * g.ic + channel]);
                sum += f64::from(x) * f64::from(dy[((n * g.h.output + oh) * g.w.output + ow) * g.oc + oc]);
            }
        }
    }
    sum
}

// The outputs that see element `i`, each with the kernel element through which.
fn seen(axis: &Axis, i: usize) -> Vec<(usize, usize)> {
    let pairs = (0..axis.kernel).flat_map(|k| (0..axis.output).map(move |o| (o, k)));
    pairs.filter(|(o, k)| axis.input_at(*o, *k) == Some(i)).collect()
}

// The four indices of a place; the sizes are those of the last three.
fn split(at: usize, [a, b, c]: [usize; 3]) -> [usize; 4] {
    [at / c / b / a, at / c / b % a, at / c % b, at % c]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::reference;

    #[test]
    fn single_outputs_are_those_of_the_plain_loops() {
        for text in
            ["n2 h5 w6 ic4 oc6 k3x2 s2x1 p1,0,2,1 g2 v0.5", "n2 h7 w6 ic3 oc3 k3 psame d2", "n1 h4 w4 ic2 oc2 k1 g2"]
        {
            let g: Geometry = text.parse().unwrap();
            let numbers =
                |len: usize, step: usize| (0..len).map(|i| (i * step % 23) as f32 / 8.0 - 1.0).collect::<Vec<_>>();
            let (x, w, dy) = (numbers(g.x_len(), 7), numbers(g.w_len(), 5), numbers(g.y_len(), 3));
            let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            let (mut y, mut dx, mut dw) = (vec![0.0; g.y_len()], vec![0.0; g.x_len()], vec![0.0; g.w_len()]);
            reference::forward(&g, &wide(&x), &wide(&w), &[], &mut y);
            reference::backward_input(&g, &wide(&dy), &wide(&w), &mut dx);
            reference::backward_weights(&g, &wide(&x), &wide(&dy), &mut dw);
            for (pass, inputs, expect) in [
                (Pass::Forward, [&x[..], &w], y),
                (Pass::BackwardInput, [&dy, &w], dx),
                (Pass::BackwardWeights, [&x, &dy], dw),
            ] {
                let samples = Samples::new(&g, pass);
                assert_eq!(samples.count, expect.len(), "a small shape is looked at as a whole");
                for at in samples.places() {
                    let got = output(&g, pass, inputs, at);
                    assert!((got - expect[at]).abs() < 1e-10, "{text} {pass} at {at}: {got} is not {}", expect[at]);
                }
            }
        }
    }

    #[test]
    fn large_shapes_are_sampled_from_the_first_output_to_the_last() {
        let g: Geometry = "n8 h56 w56 ic256 oc256 k3 psame".parse().unwrap();
        let samples = Samples::new(&g, Pass::Forward);
        assert!(samples.count < samples.of && samples.count > 1000);
        let places: Vec<usize> = samples.places().collect();
        assert_eq!((places[0], places[samples.count - 1]), (0, g.y_len() - 1));
        assert!(places.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(Samples { count: 1, of: 1 }.places().collect::<Vec<_>>(), [0]);
    }
}
