//! A small residual network for MNIST: batch normalisation, shortcuts (M39, L20) and dropout in 28,698 parameters.
//!
//! It stands for the functional way to build a network, and trains every op
//! that must give the same bits on any number of threads.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, Add, BatchNorm, Conv2D, Dense, Dropout, GlobalPool, Padding, Pool2D};
use crate::train::FitConfig;
use crate::train::optim::Adam;
use crate::zoo::Entry;
use crate::zoo::block::Size;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "residual-mnist",
    about: "two residual blocks with batch normalisation and dropout; Adam, 5 epochs",
    family: "Small networks for MNIST",
    input: [28, 28, 1],
    classes: 10,
    pixels: None,
    train,
    build,
}];

fn train() -> FitConfig {
    FitConfig { epochs: 5, batch_size: 64, optimizer: Adam::default().into(), ..FitConfig::default() }
}

fn build(size: &Size) -> Result<Graph> {
    let mut g = Graph::new(size.name);
    let x = g.input(size.shape()?)?;
    let stem = convolution(&mut g, 16, x)?;
    let small = g.add(Pool2D::max(2), &[stem])?;
    let first = residual(&mut g, 16, small)?;
    let smaller = g.add(Pool2D::max(2), &[first])?;
    let wide = convolution(&mut g, 32, smaller)?;
    let second = residual(&mut g, 32, wide)?;
    let mean = g.add(GlobalPool::average(), &[second])?;
    let dropped = g.add(Dropout::new(0.1), &[mean])?;
    g.add(Dense::new(size.classes).activation(Activation::Softmax), &[dropped])?;
    Ok(g)
}

// Convolution, normalisation, activation (M40).
fn convolution(g: &mut Graph, filters: usize, x: Value) -> Result<Value> {
    let z = g.add(Conv2D::new(filters, 3).padding(Padding::Same).no_bias(), &[x])?;
    let n = g.add(BatchNorm::default(), &[z])?;
    g.add(Activation::Relu, &[n])
}

// The block's output is F(x) + x.
fn residual(g: &mut Graph, filters: usize, x: Value) -> Result<Value> {
    let f = convolution(g, filters, x)?;
    let z = g.add(Conv2D::new(filters, 3).padding(Padding::Same).no_bias(), &[f])?;
    let n = g.add(BatchNorm::default(), &[z])?;
    let sum = g.add(Add::new(), &[n, x])?;
    g.add(Activation::Relu, &[sum])
}
