//! What a plan must hold in memory, and from when to when.
//!
//! Time is counted in steps: at 0 the input is written, act `i` runs at
//! `i + 1`, the loss after the last act, and backward pass `j` after that.

use super::adjoint::{Back, Grad};
use super::lower::Lowered;
use super::memory::Request;
use crate::ops::Compiled;

/// All that decides how long a value lives.
#[derive(Clone, Copy)]
pub(super) struct Schedule<'a> {
    pub lowered: &'a Lowered,
    pub compiled: &'a [Compiled],
    pub backs: &'a [Back],
    pub batch: usize,
    /// Whether all values are kept to the end.
    pub keep: bool,
}

/// The requests, and which of them is for what.
#[derive(Default)]
pub(super) struct Requests {
    pub all: Vec<Request>,
    /// By lane.
    pub lanes: Vec<usize>,
    /// By lane; none where nobody wants a gradient.
    pub grads: Vec<Option<usize>>,
    /// By act.
    pub saved: Vec<Vec<usize>>,
    /// By backward pass: the temporaries, by input.
    pub extras: Vec<Vec<Option<usize>>>,
}

impl Requests {
    pub fn new(s: Schedule<'_>) -> Self {
        let mut requests = Self::default();
        requests.lanes = s.lives().into_iter().map(|request| requests.add(request)).collect();
        let grads = s.gradient_lives();
        requests.grads = grads.into_iter().map(|r| (!r.uses.is_empty()).then(|| requests.add(r))).collect();
        let mut saved: Vec<Vec<Request>> = s.compiled.iter().enumerate().map(|(i, c)| saved(c, i + 1)).collect();
        for (j, back) in s.backs.iter().enumerate() {
            saved[back.act].iter_mut().for_each(|request| request.touch(s.back_time(j)));
            let extra = |grad: &Option<Grad>| match grad {
                Some(Grad::Extra { lane, .. }) => Some(requests.add(Request::used(s.len(*lane), s.back_time(j)))),
                _ => None,
            };
            let extras = back.dx.iter().map(extra).collect();
            requests.extras.push(extras);
        }
        for of_act in saved {
            let ids = of_act.into_iter().map(|request| requests.add(request)).collect();
            requests.saved.push(ids);
        }
        requests
    }

    fn add(&mut self, request: Request) -> usize {
        self.all.push(request);
        self.all.len() - 1
    }
}

fn saved(compiled: &Compiled, time: usize) -> Vec<Request> {
    compiled.saved.iter().map(|len| Request::used(*len, time)).collect()
}

impl Schedule<'_> {
    fn loss_time(&self) -> usize {
        self.lowered.acts.len() + 1
    }

    fn back_time(&self, j: usize) -> usize {
        self.loss_time() + 1 + j
    }

    fn len(&self, lane: usize) -> usize {
        self.lowered.lanes[lane].len * self.batch
    }

    fn empty(&self) -> Vec<Request> {
        (0..self.lowered.lanes.len()).map(|lane| Request { len: self.len(lane), ..Request::default() }).collect()
    }

    // The values: written once, read forward, and backward by the acts that need them.
    fn lives(&self) -> Vec<Request> {
        let Lowered { acts, ends, .. } = self.lowered;
        let mut lives = self.empty();
        lives[0].touch(0);
        for (i, act) in acts.iter().enumerate() {
            act.x.iter().chain([&act.y]).for_each(|lane| lives[*lane].touch(i + 1));
        }
        ends.iter().for_each(|end| lives[end.output].touch(self.loss_time()));
        for (j, back) in self.backs.iter().enumerate() {
            let (act, needs, time) = (&acts[back.act], self.compiled[back.act].needs, self.back_time(j));
            act.x.iter().filter(|_| needs.x).for_each(|lane| lives[*lane].touch(time));
            [act.y].iter().filter(|_| needs.y).for_each(|lane| lives[*lane].touch(time));
        }
        let end = self.back_time(self.backs.len());
        for (lane, life) in lives.iter_mut().enumerate() {
            if self.keep || ends.iter().any(|e| lane == e.logits || lane == e.output) {
                life.last = end;
            }
        }
        lives
    }

    // The gradients: written by the loss or by the first act backward, added to by others, read by the act that made
    // the value.
    fn gradient_lives(&self) -> Vec<Request> {
        let mut lives = self.empty();
        if self.backs.is_empty() {
            return lives;
        }
        self.lowered.ends.iter().for_each(|end| lives[end.output].touch(self.loss_time()));
        for (j, back) in self.backs.iter().enumerate() {
            let targets = back.dx.iter().flatten().map(|grad| grad.lane());
            targets.chain([self.lowered.acts[back.act].y]).for_each(|lane| lives[lane].touch(self.back_time(j)));
        }
        lives
    }
}
