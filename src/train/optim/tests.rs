//! The optimisers against the trajectories of Keras (`golden/optim.json`), and what they do with bad numbers and
//! mistakes.

use super::*;
use crate::parallel::Pool;
use crate::train::name_or_table;

#[derive(Deserialize)]
struct Golden {
    start: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    optimizer: Optimizer,
    w: Vec<Vec<f64>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../golden/optim.json")).unwrap()
}

fn fresh(optimizer: &Optimizer, len: usize) -> Vec<Vec<f32>> {
    vec![vec![optimizer.initial_state(); len]; optimizer.states()]
}

// E17, E18. The tolerance is 1e-6 of the weight and of the way it has gone: Keras ran in f64, this in f32.
#[test]
fn trajectories_are_those_of_keras() {
    let golden = golden();
    let mut wrong = Vec::new();
    for case in &golden.cases {
        let (o, mut w) = (case.optimizer, golden.start.clone());
        let mut state = fresh(&o, w.len());
        let mut before: Vec<f64> = w.iter().map(|w| f64::from(*w)).collect();
        let mut way = vec![0.0; w.len()];
        let mut worst = 0.0_f64;
        for (i, (g, expect)) in golden.gradients.iter().zip(&case.w).enumerate() {
            let at = At { step: i as u64 + 1, learning_rate: o.learning_rate() };
            o.update(Team::solo(), Isa::best(), at, &mut w, g, &mut state);
            for (k, want) in expect.iter().enumerate() {
                way[k] += (want - before[k]).abs();
                worst = worst.max((f64::from(w[k]) - want).abs() / (1e-6 * (want.abs() + way[k])));
            }
            before.clone_from(expect);
        }
        if worst.is_nan() || worst > 1.0 {
            wrong.push(format!("{o:?}: {worst} times the tolerance"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_optimiser_has_a_golden_trajectory() {
    let golden = golden();
    for name in Optimizer::NAMES {
        assert!(golden.cases.iter().any(|c| c.optimizer.name() == name), "{name}");
    }
}

#[test]
fn threads_and_instruction_sets_do_not_change_the_bits() {
    let n = 5 * CHUNK + 77;
    let number = |i: usize, k: f32| (i as f32 * k).sin();
    let (start, g): (Vec<f32>, Vec<f32>) = (0..n).map(|i| (number(i, 0.37), number(i, 0.11))).unzip();
    for Case { optimizer: o, .. } in golden().cases {
        let run = |isa: Isa, threads: usize| {
            let (mut w, mut state) = (start.clone(), fresh(&o, n));
            Pool::new(threads).unwrap().run(|team| {
                for step in 1..=2 {
                    o.update(team, isa, At { step, learning_rate: 0.1 }, &mut w, &g, &mut state);
                }
            });
            (w, state)
        };
        let expect = run(Isa::all()[0], 1);
        assert_ne!(expect.0, start);
        for isa in Isa::all().into_iter().filter(|isa| isa.fused()) {
            assert!(run(isa, 3) == expect, "{o:?} on {isa}");
        }
    }
}

// Each weight is on its own, so cutting a parameter differently must not change a bit.
#[test]
fn a_parameter_is_the_sum_of_its_pieces() {
    let o: Optimizer = Rmsprop { centered: true, momentum: 0.5, ..Rmsprop::default() }.into();
    let at = At { step: 1, learning_rate: 0.1 };
    for n in [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK - 1] {
        let number = |i: usize, k: f32| (i as f32 * k).sin();
        let (start, g): (Vec<f32>, Vec<f32>) = (0..n).map(|i| (number(i, 0.37), number(i, 0.11))).unzip();
        let (mut whole, mut pieces) = (start.clone(), start);
        let (mut state, mut own) = (fresh(&o, n), fresh(&o, n));
        o.update(Team::solo(), Isa::best(), at, &mut whole, &g, &mut state);
        for (i, (w, g)) in pieces.chunks_mut(1000).zip(g.chunks(1000)).enumerate() {
            let range = i * 1000..i * 1000 + w.len();
            let mut lent: Vec<&mut [f32]> = own.iter_mut().map(|s| &mut s[range.clone()]).collect();
            o.update(Team::solo(), Isa::best(), at, w, g, &mut lent);
        }
        assert!(whole == pieces && state == own, "{n}");
    }
}

#[test]
fn long_runs_stay_finite() {
    for name in Optimizer::NAMES {
        let o: Optimizer = name.parse().unwrap();
        let (mut w, mut state) = (vec![1.0, -1.0], fresh(&o, 2));
        for step in [1, 2, 919, 920, 921, 100_000, u64::from(u32::MAX), u64::MAX / 2] {
            o.update(Team::solo(), Isa::best(), At { step, learning_rate: 0.01 }, &mut w, &[0.5, 0.0], &mut state);
        }
        assert!(w.iter().all(|w| w.is_finite()) && w[0] < 1.0, "{name}: {w:?}");
    }
}

#[test]
fn a_nan_gradient_spoils_its_own_weight_alone() {
    for Case { optimizer: o, .. } in golden().cases {
        let (mut w, mut state) = (vec![1.0, 1.0], fresh(&o, 2));
        o.update(Team::solo(), Isa::best(), At { step: 1, learning_rate: 0.1 }, &mut w, &[f32::NAN, 1.0], &mut state);
        assert!(w[0].is_nan() && w[1].is_finite(), "{o:?}: {w:?}");
    }
}

#[test]
fn names_give_the_defaults_of_keras() {
    let rate = |name: &str| name.parse::<Optimizer>().unwrap().learning_rate();
    assert_eq!((rate("sgd"), rate("Adam"), rate("RMSPropOptimizer")), (0.01, 0.001, 0.001));
    assert_eq!("AdamOptimizer".parse::<Optimizer>().unwrap(), Adam::default().into());
    for name in Optimizer::NAMES {
        let o: Optimizer = name.parse().unwrap();
        assert_eq!(o.name(), name);
        o.validate().unwrap();
        assert_eq!(o.state_names().count(), o.states());
        let json = serde_json::to_string(&o).unwrap();
        assert_eq!(serde_json::from_str::<Optimizer>(&json).unwrap(), o, "{json}");
        assert_eq!(o.with_learning_rate(0.5).learning_rate(), 0.5);
    }
    let e = "rmsprob".parse::<Optimizer>().unwrap_err().to_string();
    assert!(e.starts_with("unknown optimiser 'rmsprob' (did you mean 'rmsprop'?"), "{e}");
}

#[test]
fn misspelt_settings_are_errors() {
    let read = |json: &str| name_or_table::<Optimizer, _>(&mut serde_json::Deserializer::from_str(json));
    assert_eq!(read("\"adam\"").unwrap(), Adam::default().into());
    assert_eq!(read(r#"{"name":"sgd","momentum":0.9}"#).unwrap(), Sgd { momentum: 0.9, ..Sgd::default() }.into());
    assert!(read(r#"{"name":"sgd","momentun":0.9}"#).unwrap_err().to_string().contains("momentun"));
    assert!(read(r#"{"name":"sdg"}"#).unwrap_err().to_string().contains("sdg"));
    assert!(read("3").is_err());
}

#[test]
fn settings_out_of_range_are_errors() {
    let said = |o: Optimizer| o.validate().unwrap_err().to_string();
    assert_eq!(
        said(Adam { learning_rate: -0.1, ..Adam::default() }.into()),
        "adam: learning_rate = -0.1 is out of range (it must be a finite number, at least 0)"
    );
    assert!(said(Sgd { learning_rate: f32::NAN, ..Sgd::default() }.into()).contains("NaN"));
    assert!(said(Sgd { learning_rate: f32::INFINITY, ..Sgd::default() }.into()).contains("inf"));
    assert!(said(Sgd { momentum: 1.5, ..Sgd::default() }.into()).contains("between 0 and 1"));
    assert!(said(Adam { beta_2: 1.0, ..Adam::default() }.into()).contains("below 1"));
    assert!(said(Nadam { epsilon: 0.0, ..Nadam::default() }.into()).contains("0 / 0"));
    assert!(said(AdamW { weight_decay: -1.0, ..AdamW::default() }.into()).contains("weight_decay = -1"));
    assert!(said(Adagrad { initial_accumulator: -1.0, ..Adagrad::default() }.into()).contains("initial_accumulator"));
}
