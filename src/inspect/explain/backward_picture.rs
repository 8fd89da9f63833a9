//! The picture of a backward pass: above each tensor its gradient, and below it the finite differences.
//!
//! As an animation, each output sends its gradient back, and what arrives is added up.

use super::draw::{Column, Sheet, W, X, Y, frames, indices, numbered, show};
use super::{Backward, Gradient, Maps};
use crate::error::Result;
use crate::visual::{Animation, Matrix, NumberCell, Paint, Picture};

const PACE: f64 = 1.2;

impl Backward {
    /// The whole gradients.
    ///
    /// # Errors
    /// The picture would be too large.
    pub fn picture(&self) -> Result<Picture> {
        Ok(Picture::new(self.sheet(None).scene()?))
    }

    /// Output after output sends its gradient back; the last page has the whole.
    ///
    /// ```
    /// let backward = striate::inspect::explain::PoolCase::example().backward(None)?;
    /// assert_eq!(backward.animation()?.frames().len(), 5);
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// There are too many outputs, or the picture would be too large.
    pub fn animation(&self) -> Result<Animation> {
        let [h, w, c] = self.dy.dims();
        super::check_frames(h * w * c + 1)?;
        let outputs = (0..h * w * c).map(|at| Some([at / w % h, at % w, at / w / h])).chain([None]);
        Animation::new(frames(&outputs.map(|at| self.sheet(at)).collect::<Vec<_>>())?, PACE)
    }

    // After this output, or after all.
    fn sheet(&self, at: Option<[usize; 3]>) -> Sheet {
        let channels = self.dy.dims()[2];
        let dy = (0..channels).map(|c| self.output(c, at)).collect();
        let mut columns = vec![Column::Own(dy), Column::Words(vec!["→".into()], 16.0)];
        for (i, gradient) in self.gradients.iter().enumerate() {
            let colour = if i == 0 { X } else { W };
            for c in 0..gradient.values.dims()[2] {
                columns.push(Column::Shared(gradient.stack(c, at, colour)));
            }
        }
        let title = format!("Backward through {}: where each gradient comes from", self.layer);
        let agrees = self.gradients.iter().all(Gradient::agrees);
        let verdict = if agrees {
            "every gradient lies between its finite differences"
        } else {
            "some gradient does not lie between its finite differences"
        };
        let step = at.map_or("all outputs are in".into(), |[i, j, k]| {
            let name = if channels == 1 { format!("({i}, {j})") } else { format!("({i}, {j}, {k})") };
            format!("output {name} sends back dy = {}", show(self.dy.at(i, j, k)))
        });
        let others = self.formulas.iter().map(|f| f.replace("    =", " =")).chain([verdict.into()]).collect();
        let foot = [vec![step], others];
        let subtitle = format!("L = sum of dy y = {}, so that dy is the gradient to y", show(self.loss));
        let description = format!("{} gradients of {}. {verdict}.", self.gradients.len(), self.layer);
        Sheet { title, subtitle, columns, foot, description }
    }

    fn output(&self, channel: usize, at: Option<[usize; 3]>) -> Matrix {
        let [h, w, channels] = self.dy.dims();
        let cells = (0..h * w).map(|i| {
            let cell = NumberCell::new(show(self.dy.at(i / w, i % w, channel)));
            let now = at == Some([i / w, i % w, channel]);
            if now { cell.fill(Paint::Tint(Y)).edge(Paint::Series(Y)).bold() } else { cell }
        });
        let cells: Vec<NumberCell> = cells.collect();
        let cell = (Matrix::width_for(cells.iter().map(|c| c.clone().bold()).collect::<Vec<_>>().iter(), 40.0), 40.0);
        let (row_names, column_names) = (indices(h), indices(w));
        Matrix { title: numbered("dy", "channel", channels, channel), columns: w, cells, cell, row_names, column_names }
    }
}

impl Gradient {
    // The tensor, its gradient so far, and the differences.
    fn stack(&self, channel: usize, at: Option<[usize; 3]>, colour: usize) -> Vec<Option<Matrix>> {
        let channels = self.values.dims()[2];
        let plain = |maps: &Maps, name: &str| {
            self.grid(maps, (channel, numbered(name, "channel", channels, channel)), &|_, cell| cell)
        };
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * a.abs().max(1.0);
        let smooth = self.below.data().iter().zip(self.above.data()).all(near);
        let value = self.name.trim_start_matches('d').to_string();
        let mut all = vec![Some(plain(&self.value, &value)), Some(self.so_far(channel, at, colour))];
        if smooth {
            all.push(Some(plain(&self.above, "by differences")));
        } else {
            all.extend([Some(plain(&self.below, "from below")), Some(plain(&self.above, "from above"))]);
        }
        all
    }

    fn so_far(&self, channel: usize, at: Option<[usize; 3]>, colour: usize) -> Matrix {
        let [_, w, c] = self.values.dims();
        let order = |[i, j, k]: [usize; 3]| [k, i, j];
        let came = |of: [usize; 3]| at.is_none_or(|now| order(of) <= order(now));
        let sum = |i: usize| self.parts[i].iter().filter(|p| came(p.at)).map(|p| p.product).sum::<f64>();
        let maps = Maps::from_fn(self.values.dims(), |i, j, k| sum((i * w + j) * c + k));
        let name = numbered(&self.name, "channel", c, channel);
        self.grid(&maps, (channel, name), &|i, cell| {
            let now: Vec<f64> = self.parts[i].iter().filter(|p| at == Some(p.at)).map(|p| p.product).collect();
            if now.is_empty() {
                // At the end, all that some output depends on.
                let depends = at.is_none() && !self.parts[i].is_empty();
                return if depends { cell.fill(Paint::Tint(colour)) } else { cell };
            }
            cell.fill(Paint::Tint(colour)).edge(Paint::Series(colour)).note(signed(now.iter().sum()))
        })
    }

    fn grid(
        &self,
        maps: &Maps,
        (channel, title): (usize, String),
        look: &dyn Fn(usize, NumberCell) -> NumberCell,
    ) -> Matrix {
        let [h, w, c] = maps.dims();
        let cells = (0..h * w).map(|i| look(i * c + channel, NumberCell::new(show(maps.at(i / w, i % w, channel)))));
        let (row_names, column_names) = (indices(h), indices(w));
        Matrix { title, columns: w, cells: cells.collect(), cell: (self.width(), 36.0), row_names, column_names }
    }

    // Wide enough for all that a cell will ever hold.
    fn width(&self) -> f64 {
        let ends = [&self.value, &self.values, &self.below, &self.above];
        let ends = ends.into_iter().flat_map(|m| m.data()).map(|v| NumberCell::new(show(*v)));
        let notes = self.parts.iter().flatten().map(|p| NumberCell::new("").note(signed(p.product)));
        let mut sums = Vec::new();
        for parts in &self.parts {
            let mut sum = 0.0;
            sums.extend(parts.iter().map(|p| {
                sum += p.product;
                NumberCell::new(show(sum))
            }));
        }
        Matrix::width_for(&ends.chain(notes).chain(sums).collect::<Vec<_>>(), 38.0)
    }
}

fn signed(v: f64) -> String {
    if v < 0.0 { show(v) } else { format!("+{}", show(v)) }
}

#[cfg(test)]
mod tests {
    use super::super::draw::assert_labels_are_apart;
    use super::*;
    use crate::inspect::explain::{Convolution, PoolCase};
    use crate::ops::Pool2D;

    #[test]
    fn gradients_add_up_to_the_last_page() {
        let two = Convolution {
            x: "1 2 0; 0 1 3; 2 0 1 | 1 0 1; 0 2 0; 1 1 1".parse().unwrap(),
            kernels: vec!["1 0; 2 -1 | 1 1; 0 1".parse().unwrap(), "0 1; 1 0 | 2 0; 0 0.5".parse().unwrap()],
            bias: vec![1.0, 0.0],
            ..Convolution::example()
        };
        let tie = PoolCase { x: "5 5; 5 5".parse().unwrap(), pool: Pool2D::max(2) };
        let all = [
            Convolution::example().backward(Some(&Convolution::example_dy())),
            two.backward(None),
            PoolCase::example().backward(None),
            PoolCase { pool: Pool2D::average(3).stride(1), ..PoolCase::example() }.backward(None),
            tie.backward(None),
        ];
        for backward in all {
            let backward = backward.unwrap();
            let animation = backward.animation().unwrap();
            animation.frames().iter().for_each(assert_labels_are_apart);
            let words: Vec<&str> = animation.frames().last().unwrap().texts().map(|t| t.content()).collect();
            for v in backward.gradients.iter().flat_map(|g| g.values.data()) {
                assert!(words.contains(&show(*v).as_str()), "{v}");
            }
        }
    }
}
