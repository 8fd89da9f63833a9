//! A training step allocates nothing once its plan is compiled, nor does inference after its first call.
//!
//! One thread, so that every allocation is the step's own and none the thread pool's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use striate::ops::{
    Activation, Add, Affine, Conv2D, Dense, Flatten, GlobalPool, GroupNorm, LayerNorm, Merge, PRelu, Pad2D, PadMode,
    Permute, Slice, StochasticDepth,
};
use striate::session::{Machine, Session};
use striate::train::optim::Nadam;
use striate::train::{Clip, FitConfig, Trainer};
use striate::{Graph, Model, Result, zoo};

static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// keras-mnist with an auxiliary head after its first block.
fn with_a_head() -> Graph {
    let mut g = zoo::recipe("keras-mnist").unwrap().graph;
    let first = g.value("max_pooling2d").unwrap();
    let mean = g.add(GlobalPool::average(), &[first]).unwrap();
    let head = g.add_named("aux", Dense::new(10).activation(Activation::Softmax), &[mean]).unwrap();
    g.add_head(head, 0.3).unwrap();
    g
}

// The ops that the zoo's small networks have not: normalisations, merges, and those that move numbers.
fn with_other_ops() -> Result<Graph> {
    let mut g = Graph::new("other");
    let x = g.input([28, 28, 1])?;
    let padded = g.add(Pad2D::new([1, 1, 1, 1]).mode(PadMode::Reflect), &[x])?;
    let conv = g.add(Conv2D::new(8, 3).activation(Activation::Gelu), &[padded])?;
    let normal = g.add(LayerNorm::default(), &[conv])?;
    let mean = g.add(GlobalPool::average().keep_dims(true), &[normal])?;
    let gate = g.add(Conv2D::new(8, 1).activation(Activation::HardSigmoid), &[mean])?;
    let gated = g.add(Merge::multiply(), &[normal, gate])?;
    let grouped = g.add(GroupNorm::new(2), &[gated])?;
    let bent = g.add(PRelu::channel(), &[grouped])?;
    let scaled = g.add(Affine::layer_scale(0.5), &[bent])?;
    let dropped = g.add(StochasticDepth::new(0.2), &[scaled])?;
    let sum = g.add(Add::new(), &[dropped, conv])?;
    let turned = g.add(Permute::new(&[2, 0, 1]), &[sum])?;
    let cut = g.add(Slice::new(0, 1, 7), &[turned])?;
    let flat = g.add(Flatten::new(), &[cut])?;
    g.add(Dense::new(10).activation(Activation::Softmax), &[flat])?;
    Ok(g)
}

fn allocations_of_a_step(graph: Graph) -> usize {
    let model = Model::new(graph, 0).unwrap();
    let optimizer = Nadam::default().into();
    let config = FitConfig { batch_size: 8, optimizer, clip: Clip::GlobalNorm(1.0), ..FitConfig::default() };
    let mut trainer = Trainer::new(&model, config, Machine { threads: 1, ..Machine::default() }).unwrap();
    let x: Vec<f32> = (0..8 * 784).map(|i| (i % 17) as f32 / 17.0).collect();
    let labels = [0, 1, 2, 3, 4, 5, 6, 7];
    // The first step compiles the plan.
    trainer.step(&x, &labels, 1.0).unwrap();
    let before = COUNT.load(Ordering::Relaxed);
    for _ in 0..5 {
        trainer.step(&x, &labels, 1.0).unwrap();
    }
    COUNT.load(Ordering::Relaxed) - before
}

fn allocations_of_inference(graph: Graph) -> usize {
    let model = Model::new(graph, 0).unwrap();
    let mut session = Session::new(&model, Machine { threads: 1, ..Machine::default() }).unwrap();
    let x: Vec<f32> = (0..8 * 784).map(|i| (i % 17) as f32 / 17.0).collect();
    // The first calls compile the plans, and make the weights ready for both.
    session.infer(&x, 8).unwrap();
    session.infer(&x[..3 * 784], 3).unwrap();
    let before = COUNT.load(Ordering::Relaxed);
    for _ in 0..3 {
        session.infer(&x, 8).unwrap();
        session.infer(&x[..3 * 784], 3).unwrap();
    }
    COUNT.load(Ordering::Relaxed) - before
}

// One test, since the counter counts all threads.
#[test]
fn a_step_allocates_nothing_and_inference_neither() {
    assert!(COUNT.load(Ordering::Relaxed) > 0, "the counter counts");
    for network in ["keras-mnist", "simple-convnet", "residual-mnist"] {
        assert_eq!(allocations_of_inference(zoo::recipe(network).unwrap().graph), 0, "{network}, inference");
    }
    assert_eq!(allocations_of_inference(with_other_ops().unwrap()), 0, "with other ops, inference");
    for network in ["keras-mnist", "simple-convnet", "residual-mnist"] {
        assert_eq!(allocations_of_a_step(zoo::recipe(network).unwrap().graph), 0, "{network}");
    }
    assert_eq!(allocations_of_a_step(with_a_head()), 0, "with a head");
    assert_eq!(allocations_of_a_step(with_other_ops().unwrap()), 0, "with other ops");
}
