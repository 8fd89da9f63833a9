//! The passes over memory of a batch normalisation, with the sum and the activation that are fused into it.
//!
//! ```text
//! forward    y  = f(line(x) + r),    line(x) = (x - centre) scale + offset
//! backward   g  = dy f'(y)           y is computed once more from x, with the same bits, where there is no r
//!            sums of g and of g (x - centre)
//!            dx = p g + q (x - centre) + r
//! ```

use crate::conv::Fused;
use crate::ops::channels::{Addends, COEFFICIENTS, Products, in_blocks};
use crate::simd::{mul_add, stamp};

/// What a pass reads: rows of `x`, with the coefficients of its lines, and where there is one the other branch `r`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// `[centre, scale, offset, _]`.
    pub line: &'a [f32],
    pub x: &'a [f32],
    /// Added before the activation; may be empty.
    pub residual: &'a [f32],
    pub fused: Fused,
}

stamp! {
    /// `y = f(line(x) + r)`.
    pub(super) fn forward(rows: Rows<'_>, y: &mut [f32]) = forward_body[FMA, LANES];
}

stamp! {
    /// The sums of `g` and `g (x - centre)`, where `g = dy f'(line(x))`.
    pub(super) fn products(rows: Rows<'_>, dy: &[f32], sums: &mut [f32]) = products_body[FMA, LANES];
}

stamp! {
    /// The same where `g = dy f'(y)`, which is written over `dy`.
    pub(super) fn masked_products(rows: Rows<'_>, y: &[f32], dy: &mut [f32], sums: &mut [f32])
        = masked_products_body[FMA, LANES];
}

stamp! {
    /// `dx = p g + q (x - centre) + r` with the coefficients `[_, p, q, r]`, where `g = dy f'(line(x))`.
    pub(super) fn gradient(rows: Rows<'_>, coefficients: &[f32], dy: &[f32], dx: &mut [f32])
        = gradient_body[FMA, LANES];
}

// The arrays of coefficients, each as long as a row.
#[inline(always)]
fn arrays(coefficients: &[f32]) -> [&[f32]; COEFFICIENTS] {
    let lanes = coefficients.len() / COEFFICIENTS;
    std::array::from_fn(|i| &coefficients[i * lanes..(i + 1) * lanes])
}

#[inline(always)]
fn forward_body<const FMA: bool, const LANES: usize>(rows: Rows<'_>, y: &mut [f32]) {
    // An instance for each function, so that no loop asks which one it is.
    match rows.fused {
        Fused::Linear => forward_rows::<FMA>(rows, y, Fused::Linear),
        Fused::Relu => forward_rows::<FMA>(rows, y, Fused::Relu),
        Fused::Relu6 => forward_rows::<FMA>(rows, y, Fused::Relu6),
        Fused::LeakyRelu(slope) => forward_rows::<FMA>(rows, y, Fused::LeakyRelu(slope)),
    }
}

#[inline(always)]
fn forward_rows<const FMA: bool>(rows: Rows<'_>, y: &mut [f32], f: Fused) {
    if !rows.residual.is_empty() {
        return forward_sum::<FMA>(rows, y, f);
    }
    let [center, scale, offset, _] = arrays(rows.line);
    for (x, y) in rows.x.chunks(center.len()).zip(y.chunks_mut(center.len())) {
        for ((((x, y), center), scale), offset) in x.iter().zip(y).zip(center).zip(scale).zip(offset) {
            *y = f.apply(mul_add::<FMA>(x - center, *scale, *offset));
        }
    }
}

#[inline(always)]
fn forward_sum<const FMA: bool>(rows: Rows<'_>, y: &mut [f32], f: Fused) {
    let [center, scale, offset, _] = arrays(rows.line);
    let lanes = center.len();
    for ((x, r), y) in rows.x.chunks(lanes).zip(rows.residual.chunks(lanes)).zip(y.chunks_mut(lanes)) {
        for (((((x, r), y), center), scale), offset) in x.iter().zip(r).zip(y).zip(center).zip(scale).zip(offset) {
            *y = f.apply(mul_add::<FMA>(x - center, *scale, *offset) + r);
        }
    }
}

#[inline(always)]
fn products_body<const FMA: bool, const LANES: usize>(rows: Rows<'_>, dy: &[f32], sums: &mut [f32]) {
    // An instance for each function, so that no loop asks which one it is.
    match rows.fused {
        Fused::Linear => products_rows::<FMA>(rows, dy, sums, Fused::Linear),
        Fused::Relu => products_rows::<FMA>(rows, dy, sums, Fused::Relu),
        Fused::Relu6 => products_rows::<FMA>(rows, dy, sums, Fused::Relu6),
        Fused::LeakyRelu(slope) => products_rows::<FMA>(rows, dy, sums, Fused::LeakyRelu(slope)),
    }
}

#[inline(always)]
fn products_rows<const FMA: bool>(rows: Rows<'_>, dy: &[f32], sums: &mut [f32], f: Fused) {
    let [center, scale, offset, _] = arrays(rows.line);
    in_blocks(rows.x, dy, center.len(), sums, &Masked::<FMA> { center, scale, offset, f });
}

/// `g = dy f'(line(x))`, and its product with `x - centre`.
struct Masked<'a, const FMA: bool> {
    center: &'a [f32],
    scale: &'a [f32],
    offset: &'a [f32],
    f: Fused,
}

impl<const FMA: bool> Addends for Masked<'_, FMA> {
    #[inline(always)]
    fn add(&self, x: &[f32], dy: &[f32], a: &mut [f32], b: &mut [f32]) {
        let line = self.center.iter().zip(self.scale).zip(self.offset);
        for ((((x, dy), a), b), ((center, scale), offset)) in x.iter().zip(dy).zip(a).zip(b).zip(line) {
            let d = x - center;
            let g = self.f.gradient(*dy, self.f.apply(mul_add::<FMA>(d, *scale, *offset)));
            *a += g;
            *b = mul_add::<FMA>(g, d, *b);
        }
    }
}

#[inline(always)]
fn masked_products_body<const FMA: bool, const LANES: usize>(
    rows: Rows<'_>,
    y: &[f32],
    dy: &mut [f32],
    sums: &mut [f32],
) {
    // An instance for each function, so that no loop asks which one it is.
    match rows.fused {
        Fused::Linear => masked_rows::<FMA>(rows, y, dy, sums, Fused::Linear),
        Fused::Relu => masked_rows::<FMA>(rows, y, dy, sums, Fused::Relu),
        Fused::Relu6 => masked_rows::<FMA>(rows, y, dy, sums, Fused::Relu6),
        Fused::LeakyRelu(slope) => masked_rows::<FMA>(rows, y, dy, sums, Fused::LeakyRelu(slope)),
    }
}

// The piece is masked first and summed then, while it is in the second-level cache.
#[inline(always)]
fn masked_rows<const FMA: bool>(rows: Rows<'_>, y: &[f32], dy: &mut [f32], sums: &mut [f32], f: Fused) {
    let [center, ..] = arrays(rows.line);
    for (dy, y) in dy.iter_mut().zip(y) {
        *dy = f.gradient(*dy, *y);
    }
    in_blocks(rows.x, dy, center.len(), sums, &Products::<FMA>(center));
}

#[inline(always)]
fn gradient_body<const FMA: bool, const LANES: usize>(
    rows: Rows<'_>,
    coefficients: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    // An instance for each function, so that no loop asks which one it is.
    match rows.fused {
        Fused::Linear => gradient_rows::<FMA>(rows, coefficients, dy, dx, Fused::Linear),
        Fused::Relu => gradient_rows::<FMA>(rows, coefficients, dy, dx, Fused::Relu),
        Fused::Relu6 => gradient_rows::<FMA>(rows, coefficients, dy, dx, Fused::Relu6),
        Fused::LeakyRelu(slope) => gradient_rows::<FMA>(rows, coefficients, dy, dx, Fused::LeakyRelu(slope)),
    }
}

#[inline(always)]
fn gradient_rows<const FMA: bool>(rows: Rows<'_>, coefficients: &[f32], dy: &[f32], dx: &mut [f32], f: Fused) {
    let [center, scale, offset, _] = arrays(rows.line);
    let [_, p, q, r] = arrays(coefficients);
    let lanes = center.len();
    for ((x, dy), dx) in rows.x.chunks(lanes).zip(dy.chunks(lanes)).zip(dx.chunks_mut(lanes)) {
        let line = center.iter().zip(scale).zip(offset);
        let numbers = x.iter().zip(dy).zip(dx).zip(line).zip(p).zip(q).zip(r);
        for ((((((x, dy), dx), ((center, scale), offset)), p), q), r) in numbers {
            let d = x - center;
            let g = f.gradient(*dy, f.apply(mul_add::<FMA>(d, *scale, *offset)));
            *dx = mul_add::<FMA>(*p, g, mul_add::<FMA>(*q, d, *r));
        }
    }
}
