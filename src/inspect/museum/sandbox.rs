//! The sandbox: a small convolutional network by im2col and loops, into which a mistake can be switched.
//!
//! ```text
//! x [n, 1, 28, 28]  conv 5x5, F kernels  ReLU  max-pool 2x2  dense H  ReLU  dense 10  softmax, cross-entropy
//! ```
//!
//! It is SimpleConvNet (E1) with fewer kernels, in the layout of its book, channels first: images `[n, c, h, w]`,
//! filters `[f, c, fh, fw]` (L12), all in f64. It shares nothing with the engine, and the engine cannot reach it: so
//! every mistake stays in here.

use super::Bug;
use crate::rng::Rng;

/// How large the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) kernels: usize,
    pub(super) hidden: usize,
}

pub(super) const SIDE: usize = 28;
pub(super) const KERNEL: usize = 5;
const POOL: usize = 2;
const CLASSES: usize = 10;
/// Side of the convolution's output, and of the pool's.
pub(super) const CONV: usize = SIDE - KERNEL + 1;
const POOLED: usize = CONV / POOL;

/// The parameters, or the gradients to them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Params(pub(super) [Vec<f64>; 6]);

/// Their names.
pub(super) const NAMES: [&str; 6] = ["W1", "b1", "W2", "b2", "W3", "b3"];

/// The network.
#[derive(Debug, Clone)]
pub(super) struct Net {
    pub(super) size: Size,
    pub(super) bug: Option<Bug>,
    pub(super) params: Params,
}

/// What forward leaves for backward.
pub(super) struct Trace {
    n: usize,
    col: Vec<f64>,
    /// The output of the convolution, before ReLU.
    pub(super) conv: Vec<f64>,
    winners: Vec<usize>,
    /// The output of the pool.
    pub(super) pooled: Vec<f64>,
    hidden: Vec<f64>,
    probabilities: Vec<f64>,
    /// The mean cross-entropy.
    pub(super) loss: f64,
    /// How many were right.
    pub(super) right: usize,
}

impl Net {
    /// Weights from N(0, 2 / fan-in), biases 0.
    pub(super) fn new(size: Size, bug: Option<Bug>, seed: u64) -> Self {
        let (features, taps) = (size.kernels * POOLED * POOLED, KERNEL * KERNEL);
        let rng = Rng::new(seed).split("museum");
        let weights = |name: &str, fan: usize, len: usize| {
            let mut rng = rng.split(name);
            (0..len).map(|_| rng.normal() * libm::sqrt(2.0 / fan as f64)).collect::<Vec<f64>>()
        };
        let Size { kernels, hidden } = size;
        let params = [
            weights("w1", taps, kernels * taps),
            vec![0.0; kernels],
            weights("w2", features, features * hidden),
            vec![0.0; hidden],
            weights("w3", hidden, hidden * CLASSES),
            vec![0.0; CLASSES],
        ];
        Self { size, bug, params: Params(params) }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn scrambled(&self) -> bool {
        self.has(Bug::ScrambledFilters) || self.has(Bug::TwoLayouts)
    }

    // The filters as a matrix [taps, kernels].
    fn filters(&self) -> Vec<f64> {
        let (taps, kernels, w) = (KERNEL * KERNEL, self.size.kernels, &self.params.0[0]);
        let at = |t: usize, f: usize| if self.scrambled() { w[t * kernels + f] } else { w[f * taps + t] };
        (0..taps * kernels).map(|i| at(i / kernels, i % kernels)).collect()
    }

    /// Forward, with the labels of the images.
    pub(super) fn forward(&self, x: &[f64], labels: &[usize]) -> Trace {
        let (n, Size { kernels, hidden }) = (labels.len(), self.size);
        let [_, b1, w2, b2, w3, b3] = &self.params.0;
        let window = self.window([n, 1, SIDE, SIDE], KERNEL, 1);
        let col = window.im2col(x);
        let rows = product(&col, &self.filters(), [n * CONV * CONV, KERNEL * KERNEL, kernels]);
        let conv = channels_first(&with_bias(rows, b1), [n, CONV * CONV, kernels]);
        let active: Vec<f64> = conv.iter().map(|v| v.max(0.0)).collect();
        let (pooled, winners) = self.pool(&active, n);
        let features = kernels * POOLED * POOLED;
        let hidden_in = with_bias(product(&pooled, w2, [n, features, hidden]), b2);
        let hidden_out: Vec<f64> = hidden_in.iter().map(|v| v.max(0.0)).collect();
        let scores = with_bias(product(&hidden_out, w3, [n, hidden, CLASSES]), b3);
        let probabilities: Vec<f64> = scores.chunks(CLASSES).flat_map(softmax).collect();
        let rows = || probabilities.chunks(CLASSES).zip(labels);
        let loss = rows().map(|(p, l)| -libm::log(p[*l].max(1e-300))).sum::<f64>() / n as f64;
        let best = |p: &[f64]| (0..CLASSES).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap_or(0);
        let right = rows().filter(|(p, l)| best(p) == **l).count();
        Trace { n, col, conv, winners, pooled, hidden: hidden_out, probabilities, loss, right }
    }

    // The pool: each row of its matrix is a window of one channel.
    fn pool(&self, x: &[f64], n: usize) -> (Vec<f64>, Vec<usize>) {
        let kernels = self.size.kernels;
        let col = self.window([n, kernels, CONV, CONV], POOL, POOL).im2col(x);
        let best = |row: &[f64]| (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        let winners: Vec<usize> = col.chunks(POOL * POOL).map(best).collect();
        let largest: Vec<f64> = col.chunks(POOL * POOL).zip(&winners).map(|(row, i)| row[*i]).collect();
        (channels_first(&largest, [n, POOLED * POOLED, kernels]), winners)
    }

    /// The gradients to the parameters, and to the images.
    pub(super) fn backward(&self, t: &Trace, labels: &[usize]) -> (Params, Vec<f64>) {
        let (n, Size { kernels, hidden }) = (t.n, self.size);
        let [_, _, w2, _, w3, _] = &self.params.0;
        let features = kernels * POOLED * POOLED;
        let mut d: Vec<f64> = t.probabilities.iter().map(|p| p / n as f64).collect();
        labels.iter().enumerate().for_each(|(i, l)| d[i * CLASSES + l] -= 1.0 / n as f64);
        let (dw3, db3) = (turned_product(&t.hidden, &d, [n, hidden, CLASSES]), sums(&d, CLASSES));
        let mut d = product_turned(&d, w3, [n, CLASSES, hidden]);
        gate(&mut d, &t.hidden);
        let (dw2, db2) = (turned_product(&t.pooled, &d, [n, features, hidden]), sums(&d, hidden));
        let d = product_turned(&d, w2, [n, hidden, features]);
        let mut d = self.pool_backward(&d, t);
        gate(&mut d, &t.conv);
        let rows = channels_last(&d, [n, kernels, CONV * CONV]);
        let db1 = sums(&rows, kernels);
        let dw1 = self.filter_gradient(t, &rows);
        let dcol = product_turned(&rows, &self.filters(), [n * CONV * CONV, kernels, KERNEL * KERNEL]);
        let dx = self.window([n, 1, SIDE, SIDE], KERNEL, 1).col2im(&dcol, self.has(Bug::EmptyCol2im));
        (Params([dw1, db1, dw2, db2, dw3, db3]), dx)
    }

    fn filter_gradient(&self, t: &Trace, dy: &[f64]) -> Vec<f64> {
        let (taps, kernels, pixels) = (KERNEL * KERNEL, self.size.kernels, CONV * CONV);
        let mut matrix = vec![0.0; taps * kernels];
        for (col, dy) in t.col.chunks(pixels * taps).zip(dy.chunks(pixels * kernels)) {
            let of_image = turned_product(col, dy, [pixels, taps, kernels]);
            if self.has(Bug::Overwrites) {
                matrix = of_image;
            } else {
                matrix.iter_mut().zip(&of_image).for_each(|(sum, v)| *sum += v);
            }
        }
        if self.has(Bug::ScrambledFilters) {
            return matrix;
        }
        (0..taps * kernels).map(|i| matrix[i % taps * kernels + i / taps]).collect()
    }

    fn pool_backward(&self, dy: &[f64], t: &Trace) -> Vec<f64> {
        let kernels = self.size.kernels;
        let rows = match self.has(Bug::LostTranspose) {
            true => dy.to_vec(),
            false => channels_last(dy, [t.n, kernels, POOLED * POOLED]),
        };
        let part = if self.has(Bug::QuarterGradient) { 1.0 / (POOL * POOL) as f64 } else { 1.0 };
        let mut dcol = vec![0.0; rows.len() * POOL * POOL];
        for (i, (d, winner)) in rows.iter().zip(&t.winners).enumerate() {
            dcol[i * POOL * POOL + winner] = d * part;
        }
        self.window([t.n, kernels, CONV, CONV], POOL, POOL).col2im(&dcol, self.has(Bug::EmptyCol2im))
    }

    fn window(&self, dims: [usize; 4], kernel: usize, stride: usize) -> Windows {
        Windows { dims, kernel, stride, without_step: self.has(Bug::NoStep) }
    }

    /// How many pixels of an image of the pool's input are ever read.
    pub(super) fn pixels_read(&self) -> usize {
        let mut seen = vec![false; CONV * CONV];
        self.window([1, 1, CONV, CONV], POOL, POOL).each(|_, from| seen[from] = true);
        seen.iter().filter(|s| **s).count()
    }

    /// One step of gradient descent.
    pub(super) fn update(&mut self, gradients: &Params, rate: f64) {
        for (w, d) in self.params.0.iter_mut().zip(&gradients.0) {
            w.iter_mut().zip(d).for_each(|(w, d)| *w -= rate * d);
        }
    }
}

// Windows over images [n, c, h, w], whose matrix is [n oh ow, c k k].
struct Windows {
    dims: [usize; 4],
    kernel: usize,
    stride: usize,
    // The mistake: the slice begins at `ky stride` and runs on without a step.
    without_step: bool,
}

impl Windows {
    // Calls `f(place in the matrix, place in the images)`.
    fn each(&self, mut f: impl FnMut(usize, usize)) {
        let ([n, c, h, w], k) = (self.dims, self.kernel);
        let (oh, ow) = ((h - k) / self.stride + 1, (w - k) / self.stride + 1);
        let place =
            |o: usize, tap: usize| if self.without_step { tap * self.stride + o } else { o * self.stride + tap };
        let mut at = 0;
        for (image, oy, ox) in (0..n * oh * ow).map(|i| (i / ow / oh, i / ow % oh, i % ow)) {
            for channel in 0..c {
                let plane = (image * c + channel) * h;
                for ky in 0..k {
                    let row = (plane + place(oy, ky)) * w;
                    for kx in 0..k {
                        f(at, row + place(ox, kx));
                        at += 1;
                    }
                }
            }
        }
    }

    fn im2col(&self, x: &[f64]) -> Vec<f64> {
        let ([n, c, h, w], k) = (self.dims, self.kernel);
        let rows = n * ((h - k) / self.stride + 1) * ((w - k) / self.stride + 1);
        let mut col = vec![0.0; rows * c * k * k];
        self.each(|to, from| col[to] = x[from]);
        col
    }

    fn col2im(&self, col: &[f64], empty: bool) -> Vec<f64> {
        let mut x = vec![0.0; self.dims.iter().product()];
        if !empty {
            self.each(|from, to| x[to] += col[from]);
        }
        x
    }
}

// a [m, k] b [k, n]
fn product(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut y = vec![0.0; m * n];
    for (row, out) in a.chunks(k).zip(y.chunks_mut(n)) {
        for (v, b) in row.iter().zip(b.chunks(n)) {
            out.iter_mut().zip(b).for_each(|(y, b)| *y += v * b);
        }
    }
    y
}

// a^T b, with a [m, k] and b [m, n]
fn turned_product(a: &[f64], b: &[f64], [_, k, n]: [usize; 3]) -> Vec<f64> {
    let mut y = vec![0.0; k * n];
    for (a, b) in a.chunks(k).zip(b.chunks(n)) {
        for (v, out) in a.iter().zip(y.chunks_mut(n)) {
            out.iter_mut().zip(b).for_each(|(y, b)| *y += v * b);
        }
    }
    y
}

// a b^T, with a [m, k] and b [n, k]
fn product_turned(a: &[f64], b: &[f64], [_, k, n]: [usize; 3]) -> Vec<f64> {
    let turned: Vec<f64> = (0..k * n).map(|i| b[i % n * k + i / n]).collect();
    product(a, &turned, [a.len() / k, k, n])
}

fn with_bias(mut rows: Vec<f64>, b: &[f64]) -> Vec<f64> {
    rows.chunks_mut(b.len()).for_each(|row| row.iter_mut().zip(b).for_each(|(y, b)| *y += b));
    rows
}

fn sums(rows: &[f64], n: usize) -> Vec<f64> {
    rows.chunks(n).fold(vec![0.0; n], |mut sum, row| {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
        sum
    })
}

// The gradient through a ReLU whose input, or output, was `y`.
fn gate(d: &mut [f64], y: &[f64]) {
    d.iter_mut().zip(y).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 });
}

// [n, pixels, channels] to [n, channels, pixels]
fn channels_first(rows: &[f64], [n, pixels, c]: [usize; 3]) -> Vec<f64> {
    (0..n * pixels * c).map(|i| rows[(i / pixels / c * pixels + i % pixels) * c + i / pixels % c]).collect()
}

// [n, channels, pixels] to [n, pixels, channels]
fn channels_last(planes: &[f64], [n, c, pixels]: [usize; 3]) -> Vec<f64> {
    (0..n * pixels * c).map(|i| planes[(i / c / pixels * c + i % c) * pixels + i / c % pixels]).collect()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let most = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(*s));
    let e: Vec<f64> = scores.iter().map(|s| libm::exp(s - most)).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}
