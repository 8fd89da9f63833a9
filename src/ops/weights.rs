//! The numbers of a buffer or a parameter, shared between those who only read them.
//!
//! A model and its sessions hold the same weights, so a prediction needs no copy of them. Whoever changes its own first
//! gets a copy, and the others keep what they had; who holds them alone changes them in place.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::Aligned;

/// f32 numbers that are copied when one of several holders changes them.
///
/// ```
/// use striate::ops::Weights;
/// let a = Weights::from(vec![1.0, 2.0]);
/// let mut b = a.clone(); // the same memory
/// b[0] = 5.0; // now its own
/// assert_eq!((a[0], b[0]), (1.0, 5.0));
/// ```
#[derive(Clone, Default)]
pub struct Weights(Arc<Aligned>);

impl Weights {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Aligned::zeros(len).into()
    }
}

impl From<Aligned> for Weights {
    fn from(numbers: Aligned) -> Self {
        Self(Arc::new(numbers))
    }
}

impl From<Vec<f32>> for Weights {
    fn from(numbers: Vec<f32>) -> Self {
        let mut weights = Self::zeros(numbers.len());
        weights.copy_from_slice(&numbers);
        weights
    }
}

impl Deref for Weights {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Weights {
    fn deref_mut(&mut self) -> &mut [f32] {
        let own: &mut Aligned = Arc::make_mut(&mut self.0);
        own
    }
}

impl PartialEq for Weights {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
