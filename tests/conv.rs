//! One suite for every algorithm, pass, instruction set and number of threads: a problem is a [`Geometry`].

use proptest::prelude::*;
use striate::conv::{Finish, Fused, Geometry, Machine, Pass, Work, algorithms, choose, reference};
use striate::parallel::{Pool, Team};
use striate::rng::Rng;
use striate::simd::Isa;

/// Shapes that once were, or are likely to be, wrong somewhere.
const PROBLEMS: &str = "
    n2 h5 w6 ic3 oc4 k3 psame
    n3 h7 w7 ic5 oc30 k3 psame                      # a rest of columns beside two vectors
    n1 h9 w8 ic2 oc10 k3x2 s2x1 p1,0,2,1 v0.5       # everything asymmetric
    n2 h8 w8 ic4 oc6 k3 s2 psame g2
    n2 h6 w6 ic8 oc8 k3 psame g8                    # depthwise
    n2 h7 w5 ic19 oc19 k3x2 s2 p1 g19 v-1           # depthwise with a rest
    n2 h6 w7 ic16 oc16 k5 psame d2 g16
    n2 h13 w22 ic35 oc35 k3 psame g35               # depthwise: tiles that overlap, a rest of channels
    n1 h9 w30 ic40 oc40 k5 p2,1,0,3 s2x1 g40
    n3 h6 w6 ic8 oc8 k4x2 p3 g8                     # depthwise: rows of padding alone
    n1 h6 w6 ic3 oc6 k3 psame g3                    # a channel multiplier
    n4 h4 w4 ic9 oc33 k1
    n2 h5 w5 ic4 oc7 k1 s2                          # phases without taps
    n1 h3 w2 ic2 oc3 k5 p2                          # a kernel larger than the input
    n2 h10 w9 ic3 oc5 k3 d2x3 p2,2,3,3
    n1 h12 w11 ic2 oc3 k3x4 s3x2 d2x1 p3,1,0,2
    n1 h7 w7 ic3 oc5 k2 s3                          # the floor drops the last rows
    n37 h1 w1 ic20 oc11 k1                          # a dense layer
    n2 h7 w7 ic300 oc300 k1                         # panels as pieces
    n1 h1 w1 ic700 oc500 k1
    n3 h30 w31 ic33 oc35 k1                         # rows as pieces
    n2 h7 w6 ic130 oc132 k3 s2 psame v0.25          # few pixels and many weights: panels as pieces
    n1 h4 w4 ic370 oc400 k1 s2
    n1 h5 w5 ic128 oc250 k5 p2 g2
    n1 h40 w40 ic40 oc8 k3 psame                    # rows of an image as pieces
    n1 h1 w30 ic4 oc6 k1x5 psame                    # one-dimensional
    n19 h28 w28 ic1 oc32 k3 psame
    n9 h7 w7 ic64 oc64 k3 psame
    n9 h14 w14 ic32 oc64 k3 s2 psame
    n1 h1 w1 ic1 oc1 k1
    n2 h4 w5 ic2 oc3 k3 pfull
    n5 h9 w9 ic16 oc48 k4 s4 p1                     # patches that do not overlap
    n3 h10 w13 ic19 oc37 k3 p1,0,2,1 v0.5           # Winograd: rests everywhere, asymmetric padding
    n2 h12 w9 ic16 oc16 k3 pfull                    # Winograd: more padding than dx has
    n1 h30 w31 ic16 oc20 k3                         # Winograd: blocks of rows of one image
    n40 h6 w5 ic17 oc50 k3 p3                       # Winograd: blocks of several images, tiles of padding alone
    n12 h4 w4 ic33 oc100 k3 psame                   # Winograd: panels as pieces
    n3 h10 w13 ic38 oc40 k3 p1,0,2,1 v0.5 g2        # Winograd: groups
    n2 h14 w15 ic64 oc96 k3 psame g2                # Winograd: groups, panels that end with them
    n5 h13 w11 ic19 oc37 k5 p2,1,0,3 v0.5           # Winograd: 5x5
    n1 h27 w27 ic40 oc66 k5 psame g2                # Winograd: 5x5, groups, panels as pieces
    n12 h4 w4 ic17 oc70 k5 p4                       # Winograd: 5x5, tiles of padding alone
    n3 h9 w11 ic17 oc260 k1                         # packed: groups of pixels, rests everywhere
    n2 h11 w13 ic60 oc260 k3 s2 p1,0,2,1 v0.5       # packed: blocks of rows, all kernel elements, padding
";

struct Numbers {
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
    b: Vec<f32>,
}

impl Numbers {
    fn of(g: &Geometry) -> Self {
        let draw = |label: &str, len: usize| {
            let mut rng = Rng::new(7).split(label);
            (0..len).map(|_| 2.0 * rng.uniform() - 1.0).collect()
        };
        Self { x: draw("x", g.x_len()), w: draw("w", g.w_len()), dy: draw("dy", g.y_len()), b: draw("b", g.oc) }
    }

    fn inputs(&self, pass: Pass) -> [&[f32]; 2] {
        match pass {
            Pass::Forward => [&self.x, &self.w],
            Pass::BackwardInput => [&self.dy, &self.w],
            Pass::BackwardWeights => [&self.x, &self.dy],
        }
    }

    /// The result in f64.
    fn truth(&self, g: &Geometry, pass: Pass) -> Vec<f64> {
        let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let [a, b] = self.inputs(pass).map(wide);
        let mut out = vec![0.0; pass.out_len(g)];
        match pass {
            Pass::Forward => reference::forward(g, &a, &b, &wide(&self.b), &mut out),
            Pass::BackwardInput => reference::backward_input(g, &a, &b, &mut out),
            Pass::BackwardWeights => reference::backward_weights(g, &a, &b, &mut out),
        }
        out
    }

    /// What an algorithm computes, or `None` if it refuses.
    fn run(
        &self,
        g: &Geometry,
        pass: Pass,
        (name, isa, threads): (&str, Isa, usize),
        fused: Fused,
    ) -> Option<Vec<f32>> {
        let kernel = choose(g, pass, Machine { isa, threads }, Some(name)).ok()?.kernel;
        // Whatever is not written, or read before it is written, shows as NaN.
        let (mut out, mut scratch) = (vec![f32::NAN; pass.out_len(g)], vec![f32::NAN; kernel.work()]);
        let bias: &[f32] = if pass == Pass::Forward { &self.b } else { &[] };
        let (out_lent, scratch) = (&mut out[..], &mut scratch[..]);
        let inputs = self.inputs(pass);
        Pool::new(threads).unwrap().run(move |team| {
            kernel.run(
                team,
                Work { inputs, packed: &[], out: out_lent, finish: Finish { bias, residual: &[], fused }, scratch },
            );
        });
        Some(out)
    }
}

/// Terms of the longest sum of a pass.
fn terms(g: &Geometry, pass: Pass) -> usize {
    match pass {
        Pass::Forward => g.terms(),
        Pass::BackwardInput => g.h.kernel * g.w.kernel * g.oc_per_group(),
        Pass::BackwardWeights => g.n * g.h.output * g.w.output,
    }
}

/// Every algorithm that accepts, on every instruction set: near the truth, and the same bits for any number of threads
/// and on all instruction sets that fuse.
fn check(g: &Geometry) {
    let numbers = Numbers::of(g);
    for pass in Pass::ALL {
        let truth = numbers.truth(g, pass);
        // Each addition of a sum of k terms below 1 (the padding value may be larger) rounds by at most k 2^-24; the
        // bias is one more. The bound k^2 2^-24 is never met; errors behave like a random walk of k steps.
        let k = (terms(g, pass) + 1) as f64 * f64::from(g.pad_value.abs().max(1.0));
        let tolerance = 4.0 * k * k.sqrt() * f64::from(f32::EPSILON) / 2.0;
        for name in algorithms() {
            let mut fused: Option<Vec<f32>> = None;
            for isa in Isa::all() {
                let Some(one) = numbers.run(g, pass, (name, isa, 1), Fused::Linear) else { continue };
                for (at, (got, want)) in one.iter().zip(&truth).enumerate() {
                    let error = (f64::from(*got) - want).abs();
                    assert!(error <= tolerance, "{g}: {name} {pass} {isa} at {at}: {got} is not {want}");
                }
                for threads in [2, 3] {
                    let many = numbers.run(g, pass, (name, isa, threads), Fused::Linear).unwrap();
                    assert!(bits(&many) == bits(&one), "{g}: {name} {pass} {isa}: {threads} threads change the bits");
                }
                if isa.fused() {
                    let first = fused.get_or_insert_with(|| one.clone());
                    assert!(bits(first) == bits(&one), "{g}: {name} {pass}: {isa} changes the bits");
                }
            }
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    // 0 and -0 are the same number.
    values.iter().map(|v| (v + 0.0).to_bits()).collect()
}

fn problems() -> Vec<Geometry> {
    PROBLEMS.lines().filter(|line| !line.trim().is_empty()).map(|line| line.parse().unwrap()).collect()
}

#[test]
fn every_algorithm_is_right_on_every_problem() {
    problems().iter().for_each(check);
}

#[test]
fn forward_has_the_bits_of_the_reference() {
    for g in problems() {
        let numbers = Numbers::of(&g);
        let want = numbers.run(&g, Pass::Forward, ("reference", Isa::best(), 1), Fused::Linear).unwrap();
        // Winograd's algorithm sums something else.
        for (name, isa) in ["depthwise", "pointwise", "direct", "lowered"]
            .iter()
            .flat_map(|n| Isa::all().into_iter().map(move |i| (n, i)))
        {
            if let Some(got) = numbers.run(&g, Pass::Forward, (name, isa, 2), Fused::Linear).filter(|_| isa.fused()) {
                assert!(bits(&got) == bits(&want), "{g}: {name} {isa}");
            }
        }
    }
}

#[test]
fn activations_are_fused_alike_everywhere() {
    for text in ["n2 h5 w6 ic3 oc35 k3 psame", "n2 h5 w5 ic20 oc20 k3 g20"] {
        let g: Geometry = text.parse().unwrap();
        let numbers = Numbers::of(&g);
        for fused in [Fused::Relu, Fused::Relu6, Fused::LeakyRelu(0.2)] {
            for (name, isa) in algorithms().into_iter().flat_map(|n| Isa::all().into_iter().map(move |i| (n, i))) {
                let Some(got) = numbers.run(&g, Pass::Forward, (name, isa, 2), fused) else { continue };
                let linear = numbers.run(&g, Pass::Forward, (name, isa, 2), Fused::Linear).unwrap();
                let want: Vec<f32> = linear.iter().map(|x| fused.apply(*x)).collect();
                if isa.fused() {
                    assert!(bits(&got) == bits(&want), "{g}: {name} {isa} {fused:?}");
                }
            }
        }
    }
}

// A transposed convolution is computed by the gradient to the input, with bias and activation.
#[test]
fn a_gradient_to_the_input_is_finished_too() {
    for text in ["n2 h5 w6 ic20 oc4 k3 s2 psame", "n2 h5 w5 ic20 oc20 k3 g20", "n1 h7 w8 ic3 oc5 k2 s3 g1"] {
        let g: Geometry = text.parse().unwrap();
        let numbers = Numbers::of(&g);
        let bias: Vec<f32> = (0..g.ic).map(|c| c as f32 / 8.0 - 0.75).collect();
        for (name, isa) in algorithms().into_iter().flat_map(|n| Isa::all().into_iter().map(move |i| (n, i))) {
            let machine = Machine { isa, threads: 1 };
            let Ok(choice) = choose(&g, Pass::BackwardInput, machine, Some(name)) else { continue };
            let run = |finish| {
                let (mut out, mut scratch) = (vec![f32::NAN; g.x_len()], vec![f32::NAN; choice.kernel.work()]);
                let inputs = numbers.inputs(Pass::BackwardInput);
                let work = Work { inputs, packed: &[], out: &mut out, finish, scratch: &mut scratch };
                choice.kernel.run(Team::solo(), work);
                out
            };
            let plain = run(Finish::default());
            let finished = run(Finish { bias: &bias, residual: &[], fused: Fused::Relu });
            let want: Vec<f32> = plain.iter().enumerate().map(|(i, x)| (x + bias[i % g.ic]).max(0.0)).collect();
            assert!(bits(&finished) == bits(&want), "{g}: {name} {isa}");
        }
    }
}

// Inference makes weights ready once, and adds the other branch of a residual block as the output is written.
#[test]
fn weights_made_ready_once_and_a_residual_change_no_bits() {
    for g in problems() {
        let numbers = Numbers::of(&g);
        for (name, isa) in algorithms().into_iter().flat_map(|n| Isa::all().into_iter().map(move |i| (n, i))) {
            for pass in [Pass::Forward, Pass::BackwardInput] {
                let machine = Machine { isa, threads: 2 };
                let Ok(choice) = choose(&g, pass, machine, Some(name)) else { continue };
                let kernel = choice.kernel;
                let inputs = numbers.inputs(pass);
                let residual: Vec<f32> = (0..pass.out_len(&g)).map(|i| (i % 23) as f32 / 16.0 - 0.5).collect();
                let run = |packed: &[f32], finish: Finish<'_>| {
                    let work = if packed.is_empty() { kernel.work() } else { kernel.work_packed() };
                    let (mut out, mut scratch) = (vec![f32::NAN; pass.out_len(&g)], vec![f32::NAN; work]);
                    let work = Work { inputs, packed, out: &mut out, finish, scratch: &mut scratch };
                    Pool::new(2).unwrap().run(|team| kernel.run(team, work));
                    out
                };
                let mut packed = vec![f32::NAN; kernel.packed()];
                kernel.pack(Team::solo(), inputs[1], &mut packed);
                assert!(packed.iter().all(|w| w.is_finite()), "{g}: {name} {pass} leaves weights unset");
                let plain = run(&[], Finish::default());
                let finish = Finish { bias: &[], residual: &residual, fused: Fused::Relu };
                let want: Vec<f32> = plain.iter().zip(&residual).map(|(y, r)| (y + r).max(0.0)).collect();
                assert!(bits(&run(&packed, Finish::default())) == bits(&plain), "{g}: {name} {pass} {isa}");
                assert!(bits(&run(&packed, finish)) == bits(&want), "{g}: {name} {pass} {isa} with a residual");
            }
        }
    }
}

// A session that runs batches of several sizes makes its weights ready once for all of them.
#[test]
fn ready_weights_serve_every_batch_size_that_has_as_many() {
    let mut served = 0;
    for g in problems() {
        let text = g.to_string();
        let more: Geometry = text.replacen(&format!("n{} ", g.n), &format!("n{} ", 2 * g.n + 3), 1).parse().unwrap();
        assert_eq!((more.n, more.w_len()), (2 * g.n + 3, g.w_len()), "{text}");
        let w = Numbers::of(&g).inputs(Pass::Forward)[1].to_vec();
        for (name, pass) in algorithms().into_iter().flat_map(|n| [(n, Pass::Forward), (n, Pass::BackwardInput)]) {
            let machine = Machine { isa: Isa::best(), threads: 2 };
            let [Ok(a), Ok(b)] = [g, more].map(|g| choose(&g, pass, machine, Some(name))) else { continue };
            if a.kernel.packed() == 0 || a.kernel.packed() != b.kernel.packed() {
                continue;
            }
            let [a, b] = [a, b].map(|choice| {
                let mut packed = vec![f32::NAN; choice.kernel.packed()];
                choice.kernel.pack(Team::solo(), &w, &mut packed);
                packed
            });
            assert!(bits(&a) == bits(&b), "{g}: {name} {pass} reads its weights in another order for more samples");
            served += 1;
        }
    }
    assert!(served > 0);
}

#[test]
fn fused_activations_keep_nan() {
    let g: Geometry = "h1 w1 ic1 oc40 k1".parse().unwrap();
    let numbers = Numbers { x: vec![f32::NAN], ..Numbers::of(&g) };
    for fused in [Fused::Linear, Fused::Relu, Fused::Relu6, Fused::LeakyRelu(0.5)] {
        for (name, isa) in algorithms().into_iter().flat_map(|n| Isa::all().into_iter().map(move |i| (n, i))) {
            if let Some(y) = numbers.run(&g, Pass::Forward, (name, isa, 1), fused) {
                assert!(y.iter().all(|y| y.is_nan()), "{name} {isa} {fused:?}");
            }
        }
    }
}

#[test]
fn refusals_and_unknown_names_are_explained() {
    let g: Geometry = "h4 w4 ic4 oc4 k3 g2".parse().unwrap();
    let machine = Machine { isa: Isa::best(), threads: 1 };
    let why = |name| choose(&g, Pass::Forward, machine, Some(name)).err().unwrap().to_string();
    assert!(why("lowered").contains("'lowered' refuses forward of n1 h4"));
    assert!(why("depthwise").contains("not 2, 4, 4"));
    assert!(why("dirct").contains("did you mean 'direct'?"));
    let choice = choose(&g, Pass::Forward, machine, None).unwrap();
    assert_eq!((choice.algorithm, choice.refusals.len()), ("direct", 5));
    assert!(why("winograd").contains("16 channels of a group"));
}

fn geometries() -> impl Strategy<Value = Geometry> {
    let sizes = (1_usize..4, 1_usize..13, 1_usize..13);
    let channels = (1_usize..5, 1_usize..36, prop_oneof![3 => Just(1_usize), 1 => 2_usize..4, 1 => Just(19)]);
    let window = ([1_usize..5, 1..5], [1_usize..4, 1..4], [1_usize..3, 1..3], [0_usize..4, 0..4, 0..4, 0..4]);
    let value = prop_oneof![Just(0.0_f32), Just(0.5), Just(-2.0)];
    let text = (sizes, channels, window, value).prop_map(|((n, h, w), (icg, ocg, groups), (k, s, d, p), value)| {
        // Many groups are depthwise.
        let (ic, oc) = if groups == 19 { (19, 19) } else { (icg * groups, ocg * groups) };
        format!(
            "n{n} h{h} w{w} ic{ic} oc{oc} k{}x{} s{}x{} p{},{},{},{} d{}x{} g{groups} v{value}",
            k[0], k[1], s[0], s[1], p[0], p[1], p[2], p[3], d[0], d[1]
        )
    });
    text.prop_filter_map("the window fits", |text| text.parse().ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_algorithm_is_right_on_random_problems(g in geometries()) {
        check(&g);
    }

    #[test]
    fn geometries_print_and_parse(g in geometries()) {
        prop_assert_eq!(g.to_string().parse::<Geometry>().unwrap(), g);
    }
}
