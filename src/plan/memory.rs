//! Where each value of a plan lives: values that never live at the same time share memory.
//!
//! A buffer holds many values, side by side where they live at the same time,
//! one over the other where they do not. Two values that one step uses never
//! stand in one buffer, so that a step can be lent each of its buffers whole.
//!
//! Biggest first: each request goes where the buffers grow the least, and there
//! into the first gap. That comes close to the sum of what lives at the fullest
//! moment, which no layout can undercut ([`peak`]). Weights and their gradients
//! come before these buffers and are not shared.
//!
//! The order and the gaps are those of Pisarchyk and Lee, "Efficient Memory
//! Management for Deep Neural Net Inference", 2020, arXiv:2001.03288, section 5.

use std::cmp::Reverse;

/// A value's size and life, in the plan's time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub len: usize,
    /// When it is first written.
    pub first: usize,
    /// When it is last read.
    pub last: usize,
    /// The times of the steps that use it, ascending.
    pub uses: Vec<usize>,
}

impl Request {
    /// A value that one step uses.
    pub fn used(len: usize, time: usize) -> Self {
        Self { len, first: time, last: time, uses: vec![time] }
    }

    /// The step at `time`, which is no earlier than those before, uses it too.
    pub fn touch(&mut self, time: usize) {
        if self.uses.is_empty() {
            self.first = time;
        }
        if self.uses.last() != Some(&time) {
            self.uses.push(time);
        }
        self.last = self.last.max(time);
    }

    fn lives_with(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    // Whether one step uses both.
    fn meets(&self, other: &Self) -> bool {
        self.uses.iter().any(|time| other.uses.binary_search(time).is_ok())
    }
}

/// Where a request went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub buffer: usize,
    /// The first number in the buffer.
    pub start: usize,
}

/// Where the requests went.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// By request.
    pub places: Vec<Place>,
    /// The length of each buffer.
    pub lens: Vec<usize>,
}

// A value begins at a multiple of 64 bytes, as its buffer does.
pub(super) const STEP: usize = 16;

pub(super) fn assign(requests: &[Request]) -> Layout {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|i| (Reverse(requests[*i].len), requests[*i].first, *i));
    let mut layout = Layout { places: vec![Place::default(); requests.len()], lens: Vec::new() };
    let mut tenants: Vec<Vec<usize>> = Vec::new();
    for i in order {
        let request = &requests[i];
        let growth = |(buffer, tenants): (usize, &Vec<usize>)| {
            let start = gap(requests, &layout.places, tenants, request)?;
            Some(((start + request.len).saturating_sub(layout.lens[buffer]), buffer, start))
        };
        let best = tenants.iter().enumerate().filter_map(growth).min();
        let (buffer, start) = match best {
            Some((growth, buffer, start)) if growth < request.len || request.len == 0 => (buffer, start),
            _ => (tenants.len(), 0),
        };
        if buffer == tenants.len() {
            tenants.push(Vec::new());
            layout.lens.push(0);
        }
        tenants[buffer].push(i);
        layout.lens[buffer] = layout.lens[buffer].max(start + request.len);
        layout.places[i] = Place { buffer, start };
    }
    layout
}

// The first place in a buffer that is free for all of a request's life; none where a step uses both it and a tenant.
fn gap(requests: &[Request], places: &[Place], tenants: &[usize], request: &Request) -> Option<usize> {
    if tenants.iter().any(|t| requests[*t].meets(request)) {
        return None;
    }
    let living = tenants.iter().filter(|t| requests[**t].lives_with(request));
    let mut taken: Vec<(usize, usize)> =
        living.map(|t| (places[*t].start, places[*t].start + requests[*t].len)).collect();
    taken.sort_unstable();
    let mut start = 0;
    for (from, to) in taken {
        if start + request.len <= from {
            break;
        }
        start = start.max(to.next_multiple_of(STEP));
    }
    Some(start)
}

/// The sum of what lives at the fullest moment.
pub(super) fn peak(requests: &[Request]) -> usize {
    let at = |time: usize| requests.iter().filter(|r| r.first <= time && time <= r.last).map(|r| r.len).sum();
    requests.iter().map(|r| at(r.first)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(len: usize, first: usize, last: usize) -> Request {
        Request { len, first, last, uses: vec![first, last] }
    }

    #[test]
    fn a_chain_needs_two_buffers() {
        let chain: Vec<Request> = (0..10).map(|i| request(100, i, i + 1)).collect();
        assert_eq!(assign(&chain).lens, [100, 100]);
    }

    /// Two small values die, and one as big as both takes their place.
    #[test]
    fn a_big_value_lies_over_small_ones() {
        let requests = [request(64, 5, 6), request(32, 0, 1), request(32, 2, 3), request(16, 1, 2)];
        let layout = assign(&requests);
        // The 16 are used in one step with each of the 32, so they lie elsewhere.
        assert_eq!((layout.lens, peak(&requests)), (vec![64, 16], 64));
        // Both live from 0 to 4, and no step uses both.
        let both = [
            Request { len: 32, first: 0, last: 4, uses: vec![0, 4] },
            Request { len: 32, first: 0, last: 4, uses: vec![1] },
        ];
        let layout = assign(&[&[request(64, 5, 6)], &both[..]].concat());
        assert_eq!(layout.lens, [64]);
        assert_eq!(layout.places[2], Place { buffer: 0, start: 32 });
    }

    proptest! {
        #[test]
        fn values_that_live_together_never_overlap_and_those_of_a_step_share_no_buffer(
            lives in prop::collection::vec((1..50_usize, 0..20_usize, 0..6_usize), 1..40)
        ) {
            let requests: Vec<Request> =
                lives.iter().map(|(len, first, life)| request(*len, *first, first + life)).collect();
            let layout = assign(&requests);
            prop_assert!(layout.lens.iter().sum::<usize>() >= peak(&requests));
            for (i, (a, p)) in requests.iter().zip(&layout.places).enumerate() {
                prop_assert!(p.start % STEP == 0 && p.start + a.len <= layout.lens[p.buffer]);
                for (b, q) in requests.iter().zip(&layout.places).skip(i + 1).filter(|(_, q)| q.buffer == p.buffer) {
                    let apart = p.start + a.len <= q.start || q.start + b.len <= p.start;
                    prop_assert!(!a.meets(b) && (apart || !a.lives_with(b)));
                }
            }
        }
    }
}
