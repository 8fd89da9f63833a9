//! The buffers of a plan, and how they are lent to a step.
//!
//! [`Memory`] owns every buffer: activations, gradients, weights, scratch. A
//! [`Binding`] says which of them a step uses, and [`Io`] lends them by the
//! names of the formulas. Lending is checked as it happens (`RefCell`), costs
//! about a nanosecond, and neither allocates nor locks.

use std::cell::{Ref, RefCell, RefMut};

use super::Weights;
use crate::error::{Error, Result};
use crate::parallel::Team;
use crate::rng::Rng;

const ALIGN: usize = 64;

/// f32 numbers whose first stands at a multiple of 64 bytes, a cache line and an AVX-512 register.
pub struct Aligned {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self::of(vec![0.0; len + ALIGN / size_of::<f32>()], len)
    }

    /// `len` zeros, or an error where the machine has not that much memory.
    ///
    /// # Errors
    /// The memory cannot be had.
    pub fn try_zeros(len: usize) -> Result<Self> {
        let mut data = Vec::new();
        let padded = len + ALIGN / size_of::<f32>();
        data.try_reserve_exact(padded).map_err(|_| {
            Error::argument(format!("{:.1} GB of memory cannot be had", len as f64 * 4e-9))
                .with_help("use a smaller batch, a smaller input or a smaller network")
        })?;
        // Written now, so that no page is missing when a step runs.
        data.resize(padded, 0.0);
        Ok(Self::of(data, len))
    }

    fn of(data: Vec<f32>, len: usize) -> Self {
        let start = data.as_ptr().align_offset(ALIGN).min(ALIGN / size_of::<f32>());
        Self { data, start, len }
    }
}

impl Default for Aligned {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
    }
}

/// A place in [`Memory`]: `len` numbers of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Which buffer.
    pub buffer: usize,
    /// The first of its numbers.
    pub start: usize,
    /// How many of its numbers.
    pub len: usize,
}

impl Slot {
    /// The first `len` numbers of a buffer.
    pub const fn whole(buffer: usize, len: usize) -> Self {
        Self { buffer, start: 0, len }
    }
}

/// All buffers of a plan.
///
/// A buffer may be shared with others who hold it; it is copied when it is first lent to be written.
#[derive(Default)]
pub struct Memory {
    buffers: Vec<RefCell<Weights>>,
}

impl Memory {
    /// Adds a buffer of `len` zeros and tells its place.
    pub fn add(&mut self, len: usize) -> Slot {
        self.put(Weights::zeros(len))
    }

    /// Adds a buffer that may be shared, and tells its place.
    pub fn put(&mut self, weights: Weights) -> Slot {
        let len = weights.len();
        self.buffers.push(RefCell::new(weights));
        Slot::whole(self.buffers.len() - 1, len)
    }

    /// A whole buffer, shared with the caller.
    pub fn share(&self, index: usize) -> Weights {
        self.buffers[index].borrow().clone()
    }

    /// Makes buffer `index` at least `len` long; tells whether it grew, and what it held is lost then.
    ///
    /// # Errors
    /// The machine has not that much memory.
    pub fn reserve(&mut self, index: usize, len: usize) -> Result<bool> {
        while self.buffers.len() <= index {
            self.add(0);
        }
        let buffer = self.buffers[index].get_mut();
        let grows = buffer.len() < len;
        if grows {
            // The old one goes first, so that both are never held at once.
            *buffer = Weights::default();
            *buffer = Aligned::try_zeros(len)?.into();
        }
        Ok(grows)
    }

    /// Reads a slot.
    pub fn get(&self, slot: Slot) -> Ref<'_, [f32]> {
        Ref::map(self.buffers[slot.buffer].borrow(), |b| &b[slot.start..slot.start + slot.len])
    }

    /// Writes a slot.
    pub fn get_mut(&self, slot: Slot) -> RefMut<'_, [f32]> {
        RefMut::map(self.buffers[slot.buffer].borrow_mut(), |b| &mut b[slot.start..slot.start + slot.len])
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        self.buffers.iter().map(|b| b.borrow().len() * size_of::<f32>()).sum()
    }
}

/// Which buffers a step uses.
#[derive(Debug, Clone, Default)]
pub struct Binding {
    /// Inputs.
    pub x: Vec<Slot>,
    /// Output.
    pub y: Option<Slot>,
    /// Gradients to the inputs, where wanted.
    pub dx: Vec<Option<Slot>>,
    /// What is added to the gradient to the first input as it is written.
    pub dx_plus: Option<Slot>,
    /// Gradient to the output.
    pub dy: Option<Slot>,
    /// Parameters.
    pub w: Vec<Slot>,
    /// Gradients to the parameters; none for those that are not trainable.
    pub dw: Vec<Option<Slot>>,
    /// What forward leaves for backward.
    pub saved: Vec<Slot>,
    /// Scratch.
    pub work: Option<Slot>,
    /// Weights made ready.
    pub ready: Option<Slot>,
}

/// What a step works on, by the names of the formulas. All slices hold the whole batch, NHWC.
pub struct Io<'a> {
    /// The threads.
    pub team: Team<'a>,
    /// The op's random stream at this step: the same in forward and backward.
    pub rng: Rng,
    memory: &'a Memory,
    binding: &'a Binding,
}

impl<'a> Io<'a> {
    /// Lends the buffers of `binding`.
    pub fn new(memory: &'a Memory, binding: &'a Binding, team: Team<'a>, rng: Rng) -> Self {
        Self { team, rng, memory, binding }
    }

    /// How many inputs there are.
    pub fn inputs(&self) -> usize {
        self.binding.x.len()
    }

    /// Input `i`.
    pub fn x(&self, i: usize) -> Ref<'a, [f32]> {
        self.memory.get(self.binding.x[i])
    }

    /// The output, read.
    pub fn y(&self) -> Ref<'a, [f32]> {
        self.memory.get(self.binding.y.expect("a step has an output"))
    }

    /// The output, to be written.
    pub fn y_mut(&self) -> RefMut<'a, [f32]> {
        self.memory.get_mut(self.binding.y.expect("a step has an output"))
    }

    /// The gradient to input `i`, to be written, if it is wanted.
    pub fn dx(&self, i: usize) -> Option<RefMut<'a, [f32]>> {
        self.binding.dx[i].map(|slot| self.memory.get_mut(slot))
    }

    /// What is added to the gradient to the first input as it is written; there is some only for a step that said it
    /// [adds](crate::ops::Compiled::adds).
    pub fn dx_plus(&self) -> Option<Ref<'a, [f32]>> {
        self.binding.dx_plus.map(|slot| self.memory.get(slot))
    }

    /// The gradient to the output.
    pub fn dy(&self) -> Ref<'a, [f32]> {
        self.memory.get(self.binding.dy.expect("only steps with a gradient run backward"))
    }

    /// The gradient to the output, as scratch: nobody reads it afterwards.
    pub fn dy_mut(&self) -> RefMut<'a, [f32]> {
        self.memory.get_mut(self.binding.dy.expect("only steps with a gradient run backward"))
    }

    /// Parameter `i`.
    pub fn w(&self, i: usize) -> Ref<'a, [f32]> {
        self.memory.get(self.binding.w[i])
    }

    /// Parameter `i`, to be changed (running statistics).
    pub fn w_mut(&self, i: usize) -> RefMut<'a, [f32]> {
        self.memory.get_mut(self.binding.w[i])
    }

    /// The gradient to parameter `i`, to be written.
    pub fn dw(&self, i: usize) -> RefMut<'a, [f32]> {
        self.memory.get_mut(self.binding.dw[i].expect("a trainable parameter"))
    }

    /// What forward leaves for backward.
    pub fn saved(&self, i: usize) -> RefMut<'a, [f32]> {
        self.memory.get_mut(self.binding.saved[i])
    }

    /// The weights made ready, read.
    pub fn ready(&self) -> Ref<'a, [f32]> {
        self.memory.get(self.binding.ready.expect("a step that makes its weights ready"))
    }

    /// The weights made ready, to be written by [`Step::prepare`](crate::ops::Step::prepare).
    pub fn ready_mut(&self) -> RefMut<'a, [f32]> {
        self.memory.get_mut(self.binding.ready.expect("a step that makes its weights ready"))
    }

    /// Scratch; its content is whatever the last step left there.
    pub fn work(&self) -> RefMut<'a, [f32]> {
        self.memory.get_mut(self.binding.work.expect("a step that asked for scratch"))
    }
}
