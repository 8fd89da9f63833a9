//! temp
#![allow(missing_docs)]
use crate::ops::*;
macro_rules! st { ($($n:ident { $($f:ident : $t:ty),* })*) => { $(#[derive(Debug,Clone,Default)] pub struct $n { $(pub $f: $t),* } impl From<$n> for Op { fn from(_: $n) -> Op { Op::Flatten(Flatten::new()) } })* } }
st! { Affine { scale: bool, bias: bool } GroupNorm { groups: usize, epsilon: f32, center: bool, scale: bool } LayerNorm { axes: usize, epsilon: f32, center: bool, scale: bool }
 Permute { axes: Vec<usize> } Merge { kind: MergeKind } Slice { axis: isize, start: usize, end: usize } Pad2D { top: usize, bottom: usize, left: usize, right: usize, mode: PadMode } Upsample2D { size: [usize;2], method: UpsampleMethod, align_corners: bool } }
impl Merge { pub fn new(kind: MergeKind) -> Self { Self { kind } } }
impl Permute { pub fn new(a: &[usize]) -> Self { Self { axes: a.to_vec() } } }
impl GroupNorm { pub fn new(groups: usize) -> Self { Self { groups, ..Self::default() } } }
#[derive(Debug,Clone,Copy,Default,PartialEq)] pub enum MergeKind { #[default] Multiply, Subtract, Divide, Maximum, Minimum, Average }
#[derive(Debug,Clone,Copy,Default)] pub enum PadMode { #[default] Reflect, Edge, Constant(f32) }
#[derive(Debug,Clone,Copy,Default)] pub enum UpsampleMethod { #[default] Nearest, Bilinear }
