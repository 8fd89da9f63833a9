//! Layers as large as those of AlexNet, VGG, ResNet and ConvNeXt: results at some places against the formula in f64, and
//! a scratch that stays small.

use striate::conv::{Axis, Finish, Geometry, Kernel, Machine, Pass, Work, choose};
use striate::parallel::Pool;
use striate::rng::Rng;
use striate::simd::Isa;

/// Small enough to be computed here: of the largest layers, fewer filters.
const COMPUTED: &str = "
    n1 h227 w227 ic3 oc96 k11 s4                    # AlexNet, the first
    n1 h56 w56 ic96 oc96 k7 psame g96               # ConvNeXt, depthwise
    n2 h7 w7 ic2048 oc512 k1                        # ResNet-50, the last blocks
    n1 h224 w224 ic64 oc16 k3 psame                 # VGG, the second
    n2 h1 w1 ic25088 oc288 k1                       # VGG, the first dense layer; panels in more than one batch
    n8 h1 w1 ic4096 oc1100 k1                       # VGG, the last dense layer
    n1 h14 w14 ic512 oc512 k3 psame
    n1 h31 w25 ic100 oc1400 k1                      # the gradient to the weights by more than one round of copies
    n8 h28 w28 ic64 oc256 k1 s2                     # ... and by groups of pixels
    n1 h112 w112 ic32 oc32 k3 s2 psame g32          # MobileNet, depthwise
";

/// Whole layers, of which only the scratch is asked.
const WHOLE: &str = "
    n8 h224 w224 ic64 oc64 k3 psame
    n1 h1 w1 ic25088 oc4096 k1
    n8 h1 w1 ic25088 oc4096 k1
    n8 h14 w14 ic1024 oc1024 k3 psame
    n8 h227 w227 ic3 oc96 k11 s4
    n8 h7 w7 ic2048 oc512 k1
    n8 h56 w56 ic96 oc96 k7 psame g96
";

/// Bytes of scratch that no pass of any of them exceeds on two threads.
const SCRATCH: usize = 32 << 20;

const PLACES: usize = 100;

fn numbers(label: &str, len: usize) -> Vec<f32> {
    let mut rng = Rng::new(3).split(label);
    (0..len).map(|_| 2.0 * rng.uniform() - 1.0).collect()
}

// The output that input `i` reaches by kernel element `k`.
fn outputs(axis: &Axis, i: usize, k: usize) -> Option<usize> {
    let at = (i + axis.before).checked_sub(k * axis.dilation)?;
    (at % axis.stride == 0 && at / axis.stride < axis.output).then_some(at / axis.stride)
}

// The indices of an element of an array with these last three axes.
fn place(at: usize, [b, c, d]: [usize; 3]) -> [usize; 4] {
    [at / d / c / b, at / d / c % b, at / d % c, at % d]
}

/// One number of a pass and the sum of its terms' magnitudes, by the formula.
fn truth(g: &Geometry, pass: Pass, [a, b]: [&[f32]; 2], at: usize) -> [f64; 2] {
    let (icg, ocg) = (g.ic / g.groups, g.oc / g.groups);
    let x = |n: usize, y: usize, x: usize, c: usize| ((n * g.h.input + y) * g.w.input + x) * g.ic + c;
    let y = |n: usize, y: usize, x: usize, c: usize| ((n * g.h.output + y) * g.w.output + x) * g.oc + c;
    let w = |kh: usize, kw: usize, c: usize, oc: usize| ((kh * g.w.kernel + kw) * icg + c) * g.oc + oc;
    let taps = || (0..g.h.kernel).flat_map(|kh| (0..g.w.kernel).map(move |kw| (kh, kw)));
    let mut sum = [0.0; 2];
    let mut add = |i: usize, j: usize| {
        let term = f64::from(a[i]) * f64::from(b[j]);
        sum = [sum[0] + term, sum[1] + term.abs()];
    };
    match pass {
        Pass::Forward => {
            let [n, oh, ow, oc] = place(at, [g.h.output, g.w.output, g.oc]);
            for (kh, kw) in taps() {
                if let (Some(ih), Some(iw)) = (g.h.input_at(oh, kh), g.w.input_at(ow, kw)) {
                    (0..icg).for_each(|c| add(x(n, ih, iw, oc / ocg * icg + c), w(kh, kw, c, oc)));
                }
            }
        }
        Pass::BackwardInput => {
            let [n, ih, iw, ic] = place(at, [g.h.input, g.w.input, g.ic]);
            for (kh, kw) in taps() {
                if let (Some(oh), Some(ow)) = (outputs(&g.h, ih, kh), outputs(&g.w, iw, kw)) {
                    let first = ic / icg * ocg;
                    (first..first + ocg).for_each(|oc| add(y(n, oh, ow, oc), w(kh, kw, ic % icg, oc)));
                }
            }
        }
        Pass::BackwardWeights => {
            let [kh, kw, c, oc] = place(at, [g.w.kernel, icg, g.oc]);
            for (n, oh) in (0..g.n).flat_map(|n| (0..g.h.output).map(move |oh| (n, oh))) {
                for ow in 0..g.w.output {
                    if let (Some(ih), Some(iw)) = (g.h.input_at(oh, kh), g.w.input_at(ow, kw)) {
                        add(x(n, ih, iw, oc / ocg * icg + c), y(n, oh, ow, oc));
                    }
                }
            }
        }
    }
    sum
}

fn check(g: &Geometry, pass: Pass) {
    let (x, w, dy) = (numbers("x", g.x_len()), numbers("w", g.w_len()), numbers("dy", g.y_len()));
    let inputs: [&[f32]; 2] = match pass {
        Pass::Forward => [&x, &w],
        Pass::BackwardInput => [&dy, &w],
        Pass::BackwardWeights => [&x, &dy],
    };
    let kernel = &*kernel(g, pass);
    let (mut out, mut scratch) = (vec![f32::NAN; pass.out_len(g)], vec![f32::NAN; kernel.work()]);
    let (lent, work) = (&mut out[..], &mut scratch[..]);
    Pool::new(2).unwrap().run(move |team| {
        kernel.run(team, Work { inputs, packed: &[], out: lent, finish: Finish::default(), scratch: work });
    });
    assert!(out.iter().all(|v| v.is_finite()), "{g} {pass}: a hole");
    let mut rng = Rng::new(9).split("places");
    for _ in 0..PLACES {
        let at = rng.below(out.len() as u32) as usize;
        let [want, scale] = truth(g, pass, inputs, at);
        // Each of k additions rounds by 2^-24 of a partial sum, and these are at most the sum of the magnitudes; in
        // practice errors partly cancel.
        let error = (f64::from(out[at]) - want).abs();
        assert!(error <= 1e-5 * scale.max(1e-3), "{g} {pass} at {at}: {} is not {want}", out[at]);
    }
}

fn kernel(g: &Geometry, pass: Pass) -> Box<dyn Kernel> {
    choose(g, pass, Machine { isa: Isa::best(), threads: 2 }, None).unwrap().kernel
}

fn layers(text: &str) -> impl Iterator<Item = Geometry> {
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.parse().unwrap())
}

#[test]
fn results_are_right_at_some_places() {
    for g in layers(COMPUTED) {
        Pass::ALL.iter().for_each(|pass| check(&g, *pass));
    }
}

#[test]
fn the_scratch_stays_small() {
    for (g, pass) in layers(COMPUTED).chain(layers(WHOLE)).flat_map(|g| Pass::ALL.map(|pass| (g, pass))) {
        let bytes = kernel(&g, pass).work() * size_of::<f32>();
        assert!(bytes <= SCRATCH, "{g} {pass}: {bytes} bytes");
    }
}
