//! Layers of B, each run alone on what A's layer was fed; and guesses, tried on one of them.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::ops::Op;
use crate::session::Machine;

use super::alone::{Batch, Piece};
use super::why::{Change, Hypothesis, hypotheses};
use super::{Diff, Gap, Guess, Point, Sessions};

// More than these would bury the best.
const GUESSES: usize = 3;

/// Fills in what each layer does by itself, which ones are to blame, and why.
pub(super) fn explain(found: &mut Diff, run: &mut Sessions<'_>, x: &[f32], points: &[Point<'_>]) -> Result<()> {
    run.run_a.look(x, x.len() / run.sample)?;
    let batch = x.len() / run.sample;
    let Some(first) = found.first else { return Ok(()) };
    let twins: BTreeMap<usize, usize> = points.iter().map(|p| (p.node_b(), p.node_a())).collect();
    let case_of = |run: &Sessions<'_>, i: usize| Case::new(run, &points[i], batch, &twins);
    for i in (first..points.len()).filter(|i| !points[*i].a.inputs.is_empty()) {
        let case = case_of(run, i)?;
        let own = case.error(&case.b, &case.feed);
        found.layers[i].own = Some(own);
        if own > found.tolerance {
            found.culprits.push(i);
        }
    }
    let Some((first, others)) = found.culprits.split_first() else { return Ok(()) };
    let case = case_of(run, *first)?;
    let mut tried: Vec<(Hypothesis, f64)> = Vec::new();
    for hypothesis in hypotheses(&case.a, &case.b, case.at_input) {
        let after = case.after(&hypothesis.change);
        tried.push((hypothesis, after));
    }
    let before = case.error(&case.b, &case.feed);
    drop(case);
    for (hypothesis, after) in best(tried, before, found.tolerance) {
        let mut explained = 0;
        for other in others {
            let case = case_of(run, *other)?;
            let same = hypotheses(&case.a, &case.b, case.at_input).into_iter().filter(|h| h.key == hypothesis.key);
            explained += usize::from(same.into_iter().any(|h| case.after(&h.change) <= found.tolerance));
        }
        found.guesses.push(Guess { what: hypothesis.what, before, after, others: (explained, others.len()) });
    }
    Ok(())
}

// Those that explain the deviation, the most telling first; if there is none, those that make it much smaller.
fn best(mut tried: Vec<(Hypothesis, f64)>, before: f64, tolerance: f64) -> Vec<(Hypothesis, f64)> {
    let explains = |after: f64| after <= tolerance;
    let any = tried.iter().any(|(_, after)| explains(*after));
    tried.retain(|(_, after)| if any { explains(*after) } else { *after < before * 0.5 });
    if any {
        // That A's weights or settings give A's values is news only where nothing says what they are.
        let best = tried.iter().map(|(h, _)| h.rank).min().unwrap_or(0);
        tried.retain(|(h, _)| h.rank == best);
    }
    tried.sort_by(|x, y| (x.0.rank, x.1).partial_cmp(&(y.0.rank, y.1)).unwrap_or(std::cmp::Ordering::Equal));
    tried.truncate(GUESSES);
    tried
}

/// One pair of layers, cut out of both models, with what A's was fed and what it gave.
struct Case {
    feed: Vec<Batch>,
    want: Vec<f32>,
    a: Piece,
    b: Piece,
    batch: usize,
    at_input: bool,
    machine: Machine,
}

impl Case {
    /// The case of a point, with the values of A's last run; `twins` tells which layer of A one of B stands for.
    fn new(run: &Sessions<'_>, point: &Point<'_>, batch: usize, twins: &BTreeMap<usize, usize>) -> Result<Self> {
        let graph = run.a.graph();
        let sources = sources(point, twins);
        let batch_of =
            |node: &usize| Ok(Batch { shape: graph.nodes()[*node].shape, data: run.value_a(*node)?.into_data() });
        let b = Piece::of(run.b, point.b, point.from.1, point.at.1);
        Ok(Self {
            feed: fitted(sources.iter().map(batch_of).collect::<Result<_>>()?, &b),
            want: run.value_a(point.node_a())?.into_data(),
            a: Piece::of(run.a, point.a, point.from.0, point.at.0),
            b,
            batch,
            at_input: sources.iter().any(|node| matches!(graph.nodes()[*node].op, Op::Input(_))),
            machine: run.run_a.machine().clone(),
        })
    }

    /// The relative error of a piece fed so, against A's values; infinite where it does not fit.
    fn error(&self, piece: &Piece, feed: &[Batch]) -> f64 {
        let y = piece.run(feed, self.batch, &self.machine);
        y.ok().and_then(|y| Gap::between(&self.want, &y.data)).map_or(f64::INFINITY, |gap| gap.relative())
    }

    /// The relative error once a change is made.
    fn after(&self, change: &Change) -> f64 {
        match change {
            Change::B(piece) => self.error(piece, &self.feed),
            Change::A(piece) => {
                let (x, y) = (
                    piece.run(&self.feed, self.batch, &self.machine),
                    self.b.run(&self.feed, self.batch, &self.machine),
                );
                let gap = x.ok().zip(y.ok()).and_then(|(x, y)| Gap::between(&x.data, &y.data));
                gap.map_or(f64::INFINITY, |gap| gap.relative())
            }
            Change::Values(f) => {
                let mut feed = self.feed.clone();
                feed.iter_mut().for_each(|x| {
                    let channels = x.shape.channels();
                    x.data.chunks_exact_mut(channels).for_each(f);
                });
                self.error(&self.b, &feed)
            }
            Change::Order(order) => {
                let feed: Vec<Batch> = order.iter().map(|i| self.feed[*i].clone()).collect();
                self.error(&self.b, &feed)
            }
        }
    }
}

// A product of two values of different sizes may have them the other way round in B.
fn fitted(mut feed: Vec<Batch>, b: &Piece) -> Vec<Batch> {
    for (i, expect) in b.expects.iter().enumerate() {
        let fits = |x: &Batch| x.shape.len() == expect.len();
        let Some(at) = feed.iter().skip(i).position(fits) else { break };
        feed.swap(i, i + at);
    }
    feed
}

// The layers of A whose values are fed, in the order in which B's layer has its inputs.
fn sources(point: &Point<'_>, twins: &BTreeMap<usize, usize>) -> Vec<usize> {
    if let Some(before) = point.from.0.checked_sub(1) {
        return vec![point.a.stages[before].node];
    }
    let as_in_a = point.a.inputs.clone();
    let sorted = |mut nodes: Vec<usize>| {
        nodes.sort_unstable();
        nodes
    };
    let as_in_b: Option<Vec<usize>> = point.b.inputs.iter().map(|node| twins.get(node).copied()).collect();
    as_in_b.filter(|b| sorted(b.clone()) == sorted(as_in_a.clone())).unwrap_or(as_in_a)
}
