//! The picture of pooling: the window on the input, what is taken of it, the output.
//!
//! As an animation, the windows one after the other, in the order in which they are computed (V3).

use super::draw::{Column, Padded, Sheet, X, Y, frames, indices, lines, numbered, show};
use super::text::formula;
use super::{PoolCell, PoolSteps};
use crate::error::Result;
use crate::ops::PoolKind;
use crate::visual::{Animation, Matrix, NumberCell, Paint, Picture};

const PACE: f64 = 1.4;
const ROOM: f64 = 640.0;

impl PoolSteps {
    /// The step of the output at row, column and channel; all other outputs are shown too.
    ///
    /// # Errors
    /// There is no such output, or the picture would be too large.
    pub fn picture(&self, at: [usize; 3]) -> Result<Picture> {
        Ok(Picture::new(self.sheet(self.cell(at)?, self.cells.len()).scene()?))
    }

    /// All outputs one after the other.
    ///
    /// # Errors
    /// There are too many outputs, or the picture would be too large.
    pub fn animation(&self) -> Result<Animation> {
        super::check_frames(self.cells.len())?;
        let sheets = self.cells.iter().enumerate().map(|(i, cell)| self.sheet(cell, i + 1));
        Animation::new(frames(&sheets.collect::<Vec<_>>())?, PACE)
    }

    fn sheet(&self, cell: &PoolCell, done: usize) -> Sheet {
        let channels = self.y.dims()[2];
        let inputs = (0..channels).map(|c| Some(self.input(cell, c))).collect();
        let outputs = (0..channels).map(|c| Some(self.output(cell, c, done))).collect();
        let arrow = Column::Words(vec!["→".into(); channels], 16.0);
        let columns = vec![Column::Shared(inputs), arrow, Column::Shared(outputs)];
        let place = format!("window x{}", self.range(cell)).replace('-', "−");
        let foot = [lines(&self.equation(cell).replace('-', "−"), ROOM), vec![place]];
        let description = self.equation(cell);
        Sheet { title: self.title(), subtitle: self.subtitle(), columns, foot, description }
    }

    fn title(&self) -> String {
        let what = match self.case.pool.kind {
            PoolKind::Max => "Maximum pooling",
            PoolKind::Average => "Average pooling",
            PoolKind::Min => "Minimum pooling",
        };
        let [v, h] = &self.axes;
        format!("{what}: {}×{} windows on {}×{}", v.kernel, h.kernel, v.input, h.input)
    }

    fn subtitle(&self) -> String {
        let [v, h] = &self.axes;
        let step = if v.stride == h.stride { v.stride.to_string() } else { format!("{}×{}", v.stride, h.stride) };
        format!("stride {step}, output {}×{}: {}", v.output, h.output, formula(v).replace('-', "−"))
    }

    fn input(&self, cell: &PoolCell, channel: usize) -> Matrix {
        let axes = [&self.axes[0], &self.axes[1]];
        let pad = if self.case.pool.count_padding { "0" } else { "" };
        let mut plane = Padded::new(&self.case.x, channel, axes, pad);
        if channel == cell.channel {
            for tap in &cell.taps {
                if let Some(place) = plane.under(axes, cell.at, tap.tap) {
                    *place = place.clone().fill(Paint::Tint(X));
                }
            }
            if let Some(winner) = cell.winner {
                let place = plane.at(winner);
                *place = place.clone().edge(Paint::Series(X)).bold();
            }
        }
        plane.matrix(numbered("x", "channel", self.y.dims()[2], channel), (self.width(), 40.0))
    }

    fn width(&self) -> f64 {
        let numbers = self.case.x.data().iter().chain(self.y.data()).map(|v| NumberCell::new(show(*v)).bold());
        Matrix::width_for(&numbers.collect::<Vec<_>>(), 40.0)
    }

    fn output(&self, cell: &PoolCell, channel: usize, done: usize) -> Matrix {
        let [h, w, channels] = self.y.dims();
        let cells = self.cells[channel * h * w..][..h * w].iter().enumerate().map(|(i, of)| {
            let plain = NumberCell::new(if channel * h * w + i < done { show(of.y) } else { String::new() });
            if of == cell { plain.fill(Paint::Tint(Y)).edge(Paint::Series(Y)).bold() } else { plain }
        });
        let (row_names, column_names) = (indices(h), indices(w));
        let title = numbered("y", "channel", channels, channel);
        Matrix { title, columns: w, cells: cells.collect(), cell: (self.width(), 40.0), row_names, column_names }
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::assert_labels_are_apart;
    use super::*;
    use crate::conv::Padding;
    use crate::inspect::explain::{Maps, PoolCase};
    use crate::ops::Pool2D;
    use crate::visual::Shape;

    #[test]
    fn the_window_moves_and_its_winner_is_framed() {
        let steps = PoolCase::example().steps().unwrap();
        let animation = steps.animation().unwrap();
        for (frame, cell) in animation.frames().iter().zip(&steps.cells) {
            assert_labels_are_apart(frame);
            let count = |paint| frame.shapes().iter().filter(|s| matches!(s, Shape::Fill(_, p) if *p == paint)).count();
            assert_eq!([count(Paint::Tint(X)), count(Paint::Tint(Y))], [4, 1]);
            assert!(frame.texts().any(|t| t.content() == steps.equation(cell)), "{}", steps.equation(cell));
        }
    }

    #[test]
    fn padding_ceil_mode_and_channels_can_be_drawn() {
        let x = Maps::from_fn([5, 6, 2], |i, j, c| (i * j) as f64 - c as f64);
        for pool in [
            Pool2D::average(3).stride(2).padding(Padding::all(1)).ceil(true).count_padding(true),
            Pool2D::max(2).ceil(true),
            Pool2D::min(2).dilation(2).stride(1),
        ] {
            let steps = PoolCase { x: x.clone(), pool }.steps().unwrap();
            steps.animation().unwrap().frames().iter().for_each(assert_labels_are_apart);
        }
    }
}
