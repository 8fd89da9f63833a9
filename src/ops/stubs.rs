//! temp
#![allow(missing_docs)]
use crate::ops::*;
macro_rules! st { ($($n:ident { $($f:ident : $t:ty),* })*) => { $(#[derive(Debug,Clone,Default)] pub struct $n { $(pub $f: $t),* } impl From<$n> for Op { fn from(_: $n) -> Op { Op::Flatten(Flatten::new()) } })* } }
st! { Affine { scale: bool, bias: bool } GroupNorm { groups: usize, epsilon: f32, center: bool, scale: bool } LayerNorm { axes: usize, epsilon: f32, center: bool, scale: bool }
  Pad2D { top: usize, bottom: usize, left: usize, right: usize, mode: PadMode } PRelu { alpha: Alpha } }
impl GroupNorm { pub fn new(groups: usize) -> Self { Self { groups, ..Self::default() } } }
#[derive(Debug,Clone,Copy,Default)] pub enum PadMode { #[default] Reflect, Edge, Constant(f32) }
#[derive(Debug,Clone,Copy,Default)] pub enum Alpha { #[default] Channel, One, Element }
