//! Which buffer each value of a plan lives in: values that never live at the same time share one.
//!
//! Biggest first: each request takes the first buffer that is free for all of
//! its life, or opens a new one; since sizes only fall, a buffer is always
//! large enough. Persistent buffers (weights and their gradients) come before
//! these and are not shared.

/// A value's size and life, in the plan's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub len: usize,
    /// When it is first written.
    pub first: usize,
    /// When it is last read.
    pub last: usize,
}

/// Where the requests went.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The buffer of each request.
    pub of: Vec<usize>,
    /// The length of each buffer.
    pub lens: Vec<usize>,
}

pub(super) fn assign(requests: &[Request]) -> Layout {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(requests[*i].len), requests[*i].first, *i));
    let mut layout = Layout { of: vec![0; requests.len()], lens: Vec::new() };
    let mut tenants: Vec<Vec<Request>> = Vec::new();
    for i in order {
        let request = requests[i];
        let free = |tenants: &Vec<Request>| tenants.iter().all(|t| t.last < request.first || request.last < t.first);
        let buffer = tenants.iter().position(free).unwrap_or_else(|| {
            tenants.push(Vec::new());
            layout.lens.push(request.len);
            tenants.len() - 1
        });
        tenants[buffer].push(request);
        layout.of[i] = buffer;
    }
    layout
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chain_needs_two_buffers() {
        let chain: Vec<Request> = (0..10).map(|i| Request { len: 100, first: i, last: i + 1 }).collect();
        assert_eq!(assign(&chain).lens, [100, 100]);
    }

    proptest! {
        #[test]
        fn values_that_live_together_never_share(lives in prop::collection::vec((1..50_usize, 0..20_usize, 0..6_usize), 1..40)) {
            let requests: Vec<Request> =
                lives.iter().map(|(len, first, life)| Request { len: *len, first: *first, last: first + life }).collect();
            let layout = assign(&requests);
            for (i, a) in requests.iter().enumerate() {
                prop_assert!(layout.lens[layout.of[i]] >= a.len);
                for (j, b) in requests.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    prop_assert!(!together || layout.of[i] != layout.of[j]);
                }
            }
        }
    }
}
