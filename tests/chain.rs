//! Depthwise convolutions with the layers around them, strip by strip, against the layers one by one: the same numbers for
//! any geometry, instruction set and number of threads.

use proptest::prelude::*;
use striate::conv::chain::{Chain, Layer, Layers, Link, Work as ChainWork};
use striate::conv::{Finish, Fused, Geometry, Machine, Pass, Work, choose};
use striate::parallel::{Pool, Team};
use striate::rng::Rng;
use striate::session::{self, Session};
use striate::simd::Isa;
use striate::{Model, zoo};

/// `first | depthwise | filters of the last`, where the first layer is a geometry and the depthwise one its window.
const CHAINS: &str = "
    n1 h56 w56 ic16 oc96 k1        | k3 s2 p1      | 24
    n4 h28 w28 ic24 oc144 k1       | k3 p1         | 24
    n4 h14 w14 ic40 oc240 k1       | k5 p2         | 40
    n4 h7 w7 ic24 oc130 k1         | k3 p1         | 33     # rests of channels everywhere
    n8 h9 w13 ic5 oc37 k1          | k3 s2 p1,0,0,1 | 7     # asymmetric
    n4 h12 w10 ic6 oc50 k1         | k4x2 p3,2,1,0 | 70     # padding wider than the window's half
    n4 h11 w15 ic8 oc64 k1         | k3 s1 p2 d2   | 16
    n5 h5 w4 ic3 oc20 k1           | k5 p2         | 12     # a kernel larger than the image
    n9 h3 w3 ic3 oc40 k1           | k3 p3         | 5      # rows of padding alone
    n1 h224 w224 ic3 oc32 k3 s2 p1 | k3 p1         | 16     # a network's first layers
    n2 h33 w30 ic2 oc40 k3x5 s2x1 p1,0,2,2 v0.5 | k3 s2 psame | 20
    n1 h14 w14 ic64 oc384 k1       | k3 p1         |        # panels as pieces
    n1 h14 w14 ic20 oc200 k1       | k5 s2 p2      |
    n2 h7 w9 ic33 oc211 k1         | k3 p1         |
";

struct Case {
    layers: Layers,
    x: Vec<f32>,
    w: [Vec<f32>; 3],
    b: [Vec<f32>; 3],
    residual: Vec<f32>,
}

fn draw(label: &str, len: usize, scale: f32) -> Vec<f32> {
    let mut rng = Rng::new(3).split(label);
    (0..len).map(|_| scale * (2.0 * rng.uniform() - 1.0)).collect()
}

impl Case {
    fn new(expand: &str, window: &str, filters: Option<usize>) -> Self {
        let expand: Geometry = expand.parse().unwrap();
        let Geometry { n, h, w, oc, .. } = expand;
        let depthwise: Geometry =
            format!("n{n} h{} w{} ic{oc} oc{oc} {window} g{oc}", h.output, w.output).parse().unwrap();
        let project = filters.map(|filters| {
            let (h, w) = (depthwise.h.output, depthwise.w.output);
            format!("n{n} h{h} w{w} ic{oc} oc{filters} k1").parse::<Geometry>().unwrap()
        });
        let last = project.unwrap_or(depthwise);
        let all = [expand, depthwise, last];
        let w = [0, 1, 2].map(|i| draw(&format!("w{i}"), all[i].w_len(), 1.0));
        let b = [0, 1, 2].map(|i| draw(&format!("b{i}"), all[i].oc, 1.0));
        let (x, residual) = (draw("x", expand.x_len(), 1.0), draw("r", last.y_len(), 1.0));
        Self { layers: Layers { expand, depthwise, project }, x, w, b, residual }
    }

    fn parse(line: &str) -> Self {
        let line = line.split('#').next().unwrap();
        let [expand, window, filters] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        Self::new(expand, window, filters.parse().ok())
    }

    fn finish(&self, layer: usize, residual: bool) -> Finish<'_> {
        let residual = if residual { &self.residual[..] } else { &[] };
        Finish { bias: &self.b[layer], residual, fused: [Fused::Relu6, Fused::LeakyRelu(0.1), Fused::Linear][layer] }
    }

    /// The layers one by one, by direct convolution.
    fn one_by_one(&self, isa: Isa) -> Vec<f32> {
        let Layers { expand, depthwise, project } = self.layers;
        let mut x = self.x.clone();
        for (i, g) in [expand, depthwise].into_iter().chain(project).enumerate() {
            let kernel = choose(&g, Pass::Forward, Machine { isa, threads: 1 }, Some("direct")).unwrap().kernel;
            let (mut y, mut scratch) = (vec![f32::NAN; g.y_len()], vec![f32::NAN; kernel.work()]);
            let (inputs, finish) = ([&x[..], &self.w[i]], self.finish(i, i == 2));
            kernel.run(Team::solo(), Work { inputs, packed: &[], out: &mut y, finish, scratch: &mut scratch });
            x = y;
        }
        x
    }

    fn strip_by_strip(&self, isa: Isa, threads: usize) -> Result<Vec<f32>, String> {
        let chain = Chain::accept(&self.layers, Machine { isa, threads })?;
        let pack = |layer: Layer, w: &[f32]| {
            let mut packed = vec![f32::NAN; chain.packed(layer)];
            chain.pack(layer, Team::solo(), w, &mut packed);
            packed
        };
        let (first, last) = (pack(Layer::Expand, &self.w[0]), pack(Layer::Project, &self.w[2]));
        let link = |w, i| Link { w, finish: self.finish(i, i == 2) };
        let (expand, depthwise) = (link(&first[..], 0), link(&self.w[1][..], 1));
        let project = self.layers.project.map(|_| link(&last[..], 2));
        let mut out = vec![f32::NAN; self.residual.len()];
        let mut scratch = vec![f32::NAN; chain.work()];
        let (x, out_lent, scratch) = (&self.x[..], &mut out[..], &mut scratch[..]);
        Pool::new(threads).unwrap().run(|team| {
            chain.run(team, ChainWork { x, expand, depthwise, project, out: out_lent, scratch });
        });
        Ok(out)
    }

    /// Whether it was accepted; then it must give what the layers do.
    fn check(&self) -> Result<(), String> {
        for isa in Isa::all() {
            let expect = self.one_by_one(isa);
            for threads in [1, 2, 3] {
                let got = self.strip_by_strip(isa, threads)?;
                let wrong = got.iter().zip(&expect).position(|(got, want)| got != want);
                assert_eq!(wrong, None, "{:?}, {isa}, {threads} threads", self.layers);
            }
        }
        Ok(())
    }
}

#[test]
fn a_chain_gives_what_its_layers_give() {
    for line in CHAINS.lines().filter(|line| !line.trim().is_empty()) {
        Case::parse(line).check().unwrap_or_else(|reason| panic!("{line}: {reason}"));
    }
}

#[test]
fn what_is_no_chain_is_refused_with_a_reason() {
    let refusal = |expand: &str, window: &str, filters| {
        let machine = Machine { isa: Isa::best(), threads: 1 };
        Chain::accept(&Case::new(expand, window, filters).layers, machine).err().unwrap_or_default()
    };
    assert!(refusal("n1 h8 w8 ic16 oc32 k3 psame", "k3 p1", Some(8)).contains("at most 8 input channels"));
    assert!(refusal("n1 h8 w8 ic4 oc32 k1", "k3 p1 v1", Some(8)).contains("zeros"));
    assert!(refusal("n1 h28 w28 ic32 oc192 k1", "k3 p1", Some(32)).contains("share"));
    assert!(refusal("n1 h8 w8 ic4 oc32 k1", "k3 p1", None).contains("panels"));
    let mut layers = Case::new("n2 h8 w8 ic4 oc32 k1", "k3 p1", Some(8)).layers;
    layers.expand.n = 1;
    let refused = Chain::accept(&layers, Machine { isa: Isa::best(), threads: 1 }).err();
    assert_eq!(refused.as_deref(), Some("each layer must read what the one before it writes"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_chain_that_is_accepted_gives_what_its_layers_give(
        (n, h, w) in (1..10_usize, 1..20_usize, 1..34_usize),
        (ic, between, oc) in (1..9_usize, 2..80_usize, 1..40_usize),
        (kernel, stride, padding) in (1..6_usize, 1..3_usize, 0..4_usize),
        first in prop::sample::select(vec!["k1", "k3 p1", "k3 s2 p1", "k2x3 p1"]),
    ) {
        let size = |len: usize, k: usize, s: usize, p: usize| (len + 2 * p).checked_sub(k).map(|rest| rest / s + 1);
        let (k, s, p) = match first { "k1" => (1, 1, 0), "k3 p1" => (3, 1, 1), "k3 s2 p1" => (3, 2, 1), _ => (2, 1, 1) };
        let fits = |len: usize, k: usize| size(len, k, s, p).and_then(|len| size(len, kernel, stride, padding)).is_some();
        prop_assume!(fits(h, k) && fits(w, k.max(if first == "k2x3 p1" { 3 } else { k })));
        let expand = format!("n{n} h{h} w{w} ic{ic} oc{between} {first}");
        let window = format!("k{kernel} s{stride} p{padding}");
        for filters in [Some(oc), None] {
            // A refusal is fine.
            let _ = Case::new(&expand, &window, filters).check();
        }
    }
}

/// Whole networks: at inference their blocks run strip by strip, and give what the layers give one by one.
#[test]
fn networks_of_such_blocks_give_the_same_numbers() {
    for name in ["mobilenet-v2", "efficientnet-lite0"] {
        let model = Model::new(zoo::recipe(name).unwrap().graph, 1).unwrap();
        let len = model.graph().input_shape().unwrap().len();
        for batch in [1, 2] {
            let x = draw("image", batch * len, 1.0);
            let infer = |algorithm: Option<&str>| {
                let machine =
                    session::Machine { algorithm: algorithm.map(String::from), ..session::Machine::default() };
                let mut session = Session::new(&model, machine).unwrap();
                session.infer(&x, batch).unwrap();
                let chains = session
                    .plan()
                    .report()
                    .lines
                    .iter()
                    .filter(|line| line.notes.iter().any(|n| n.contains("strip by strip")));
                (session.logits().to_vec(), chains.count())
            };
            let ((got, chains), (expect, none)) = (infer(None), infer(Some("direct")));
            assert!(chains >= 14 && none == 0, "{name}, {batch} images: {chains} chains");
            assert!(got.iter().all(|v| v.is_finite()) && got == expect, "{name}, {batch} images");
        }
    }
}
