//! Puts panels side by side: where panels of channels are the pieces of work, each has sums of its own, and the channels
//! of a pixel come together here, with bias, residual and activation.

use super::Finish;
use super::direct::Column;
use super::tile::Fused;
use crate::parallel::Team;
use crate::simd::{Isa, stamp};

// Numbers of the output that are put together at a time.
const CHUNK: usize = 4096;

/// Sums by panel, `[panel][pixel][column]`.
pub(super) struct Panels<'a> {
    pub isa: Isa,
    pub sums: &'a [f32],
    /// Which panel of all the first is, for its bias.
    pub first: usize,
    pub columns: &'a [Column],
    /// Numbers between two pixels of a panel.
    pub width: usize,
    pub pixels: usize,
    /// Channels of the output.
    pub output: usize,
}

impl Panels<'_> {
    /// Writes the panels' channels of all pixels; the bias stands in panels too.
    pub fn join(&self, team: Team, finish: Finish<'_>, y: &mut [f32]) {
        let f = join(self.isa);
        let pixels = (CHUNK / self.output).max(1);
        let len = pixels * self.output;
        team.chunks(&mut y[..self.pixels * self.output], len, |i, y| {
            let finish = finish.part(i * len, y.len());
            for (j, column) in self.columns.iter().enumerate() {
                let sums = &self.sums[(j * self.pixels + i * pixels) * self.width..];
                let bias = finish.bias.get((self.first + j) * self.width..).unwrap_or(&[]);
                let finish = Finish { bias, ..finish };
                f(&mut Join { sums, step: self.width, column, output: self.output, finish, y: &mut *y });
            }
        });
    }
}

/// Puts the sums of a panel in their place.
struct Join<'a> {
    /// One pixel every `step`.
    sums: &'a [f32],
    step: usize,
    column: &'a Column,
    output: usize,
    finish: Finish<'a>,
    y: &'a mut [f32],
}

stamp! {
    fn join(job: &mut Join<'_>) = join_body[FMA, LANES];
}

#[inline(always)]
fn join_body<const FMA: bool, const LANES: usize>(job: &mut Join<'_>) {
    let (width, to) = (job.column.width, job.column.to);
    for (p, y) in job.y.chunks_exact_mut(job.output).enumerate() {
        let (y, sums) = (&mut y[to..to + width], &job.sums[p * job.step..][..width]);
        y.copy_from_slice(sums);
        y.iter_mut().zip(job.finish.bias).for_each(|(y, b)| *y += b);
        if !job.finish.residual.is_empty() {
            y.iter_mut().zip(&job.finish.residual[p * job.output + to..][..width]).for_each(|(y, r)| *y += r);
        }
        match job.finish.fused {
            Fused::Linear => {}
            Fused::Relu => y.iter_mut().for_each(|y| *y = Fused::Relu.apply(*y)),
            fused => y.iter_mut().for_each(|y| *y = fused.apply(*y)),
        }
    }
}
