//! What a plan must hold in memory, and from when to when.
//!
//! Time is counted in steps: at 0 the input is written, act `i` runs at
//! `i + 1`, the loss after the last act, and backward pass `j` after that.
//!
//! Two things make lives short. A value that its act can compute once more
//! ([`Compiled::again`]) has two of them, one forward and one backward. And a
//! gradient that an act only hands on is not copied: the input's gradient is
//! the output's, in the same place.

use super::adjoint::{Back, Grad};
use super::lower::{Act, Lowered};
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
    /// Whether values are computed once more rather than kept.
    pub recompute: bool,
}

/// The requests, and which of them is for what.
#[derive(Default)]
pub(super) struct Requests {
    pub all: Vec<Request>,
    /// By lane.
    pub lanes: Vec<usize>,
    /// By lane: the value once more, in backward.
    pub again: Vec<Option<usize>>,
    /// By lane: the gradient as the loss writes it; none where it writes none.
    pub losses: Vec<Option<usize>>,
    /// By act.
    pub saved: Vec<Vec<usize>>,
    /// By backward pass.
    pub grads: Vec<Grads>,
}

/// Where the gradients of one backward pass lie.
#[derive(Debug, Default)]
pub(super) struct Grads {
    /// Acts whose output is computed once more before.
    pub again: Vec<usize>,
    /// The gradient to the output.
    pub dy: Option<usize>,
    /// What the step writes for each input.
    pub dx: Vec<Option<usize>>,
    /// What it adds to the gradient to the first input as it writes it.
    pub plus: Option<usize>,
    /// Additions to run afterwards, `(into, from)`.
    pub sums: Vec<(usize, usize)>,
}

impl Requests {
    pub fn new(s: Schedule<'_>) -> Self {
        let mut requests = Self::default();
        let lanes = s.lowered.lanes.len();
        let ([lives, again], sets) = s.lives();
        requests.lanes = lives.into_iter().map(|request| requests.add(request)).collect();
        requests.again = again.into_iter().map(|r| (!r.uses.is_empty()).then(|| requests.add(r))).collect();
        requests.saved =
            s.saved(&sets).into_iter().map(|of| of.into_iter().map(|r| requests.add(r)).collect()).collect();
        let mut current = vec![None; lanes];
        if !s.backs.is_empty() {
            for end in &s.lowered.ends {
                let request = Request::used(s.len(end.output), s.loss_time());
                current[end.output] = Some(requests.add(request));
            }
        }
        requests.losses.clone_from(&current);
        for ((j, back), again) in s.backs.iter().enumerate().zip(sets) {
            let grads = requests.gradients(&s, (j, back), &mut current);
            requests.grads.push(Grads { again, ..grads });
        }
        requests
    }

    fn add(&mut self, request: Request) -> usize {
        self.all.push(request);
        self.all.len() - 1
    }

    // The gradients of one backward pass; `current` tells where the gradient of each lane is at that time.
    fn gradients(&mut self, s: &Schedule<'_>, (j, back): (usize, &Back), current: &mut [Option<usize>]) -> Grads {
        let (act, compiled, time) = (&s.lowered.acts[back.act], &s.compiled[back.act], s.back_time(j));
        let dy = *current[act.y].get_or_insert_with(|| self.add(Request::used(s.len(act.y), time)));
        self.all[dy].touch(time);
        let mut grads = Grads { dy: Some(dy), ..Grads::default() };
        for (k, grad) in back.dx.iter().enumerate() {
            let Some(grad) = grad else {
                grads.dx.push(None);
                continue;
            };
            let lane = grad.lane();
            let handed = compiled.hands_on.contains(&k) && s.len(lane) == s.len(act.y);
            let fresh = |all: &mut Self| all.add(Request::used(s.len(lane), time));
            let into = current[lane].filter(|_| matches!(grad, Grad::Extra(_)));
            let is_taken = current.iter().enumerate().any(|(l, at)| l != act.y && *at == Some(dy));
            match into {
                None if handed && !is_taken => {
                    current[lane] = Some(dy);
                    grads.dx.push(None);
                }
                None => {
                    current[lane] = Some(fresh(self));
                    grads.dx.push(current[lane]);
                }
                Some(into) if handed && into != dy => {
                    self.all[into].touch(time);
                    grads.sums.push((into, dy));
                    grads.dx.push(None);
                }
                Some(into) if k == 0 && compiled.adds => {
                    self.all[into].touch(time);
                    grads.plus = Some(into);
                    current[lane] = Some(fresh(self));
                    grads.dx.push(current[lane]);
                }
                Some(into) => {
                    self.all[into].touch(time);
                    let extra = fresh(self);
                    grads.sums.push((into, extra));
                    grads.dx.push(Some(extra));
                }
            }
        }
        // Nobody asks for it any more, unless it was handed on.
        current[act.y] = None;
        grads
    }
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

    /// By lane: the act that can compute the value once more in backward, if it then has its own inputs anyway.
    fn remakers(&self) -> Vec<Option<usize>> {
        let mut remakers = vec![None; self.lowered.lanes.len()];
        if self.recompute && !self.keep {
            for back in self.backs.iter().filter(|back| self.compiled[back.act].again) {
                remakers[self.lowered.acts[back.act].y] = Some(back.act);
            }
            self.lowered.ends.iter().for_each(|end| (remakers[end.logits], remakers[end.output]) = (None, None));
        }
        remakers
    }

    // The values: written once, read forward, and backward by the acts that need them; those that are computed once more
    // for backward have a second life. And before which backward pass which acts compute theirs once more.
    fn lives(&self) -> ([Vec<Request>; 2], Vec<Vec<usize>>) {
        let Lowered { acts, ends, .. } = self.lowered;
        let (mut lives, mut again) = (self.empty(), self.empty());
        lives[0].touch(0);
        for (i, act) in acts.iter().enumerate() {
            act.x.iter().chain([&act.y]).for_each(|lane| lives[*lane].touch(i + 1));
        }
        ends.iter().for_each(|end| lives[end.output].touch(self.loss_time()));
        let (remakers, mut sets) = (self.remakers(), Vec::new());
        for (j, back) in self.backs.iter().enumerate() {
            let time = self.back_time(j);
            let mut set = Vec::new();
            for lane in self.read(back) {
                let Some(maker) = remakers[lane] else {
                    lives[lane].touch(time);
                    continue;
                };
                if again[lane].uses.is_empty() {
                    acts[maker].x.iter().for_each(|lane| lives[*lane].touch(time));
                    set.push(maker);
                }
                again[lane].touch(time);
            }
            sets.push(set);
        }
        let end = self.back_time(self.backs.len());
        for (lane, life) in lives.iter_mut().enumerate() {
            if self.keep || ends.iter().any(|e| lane == e.logits || lane == e.output) {
                life.last = end;
            }
        }
        ([lives, again], sets)
    }

    // The values that a backward pass reads.
    fn read(&self, back: &Back) -> impl Iterator<Item = usize> {
        let (Act { x, y, .. }, needs) = (&self.lowered.acts[back.act], self.compiled[back.act].needs);
        x.iter().filter(move |_| needs.x).chain([y].into_iter().filter(move |_| needs.y)).copied()
    }

    // What forward leaves for backward, by act.
    fn saved(&self, sets: &[Vec<usize>]) -> Vec<Vec<Request>> {
        let leave = |(i, c): (usize, &Compiled)| c.saved.iter().map(|len| Request::used(*len, i + 1)).collect();
        let mut saved: Vec<Vec<Request>> = self.compiled.iter().enumerate().map(leave).collect();
        for ((j, back), again) in self.backs.iter().enumerate().zip(sets) {
            for act in again.iter().chain([&back.act]) {
                saved[*act].iter_mut().for_each(|request| request.touch(self.back_time(j)));
            }
        }
        saved
    }
}
