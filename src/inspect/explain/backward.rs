//! The backward pass step by step: each gradient with what it is the sum of, beside finite differences.
//!
//! With `L = sum of dy y`, so that `dy` is the gradient to the output:
//!
//! ```text
//! convolution   dx(p) = sum of dy w over all outputs whose patch holds p
//!               dw(q) = sum of dy x over all outputs, x being what the weight met there
//!               db    = sum of dy
//! pooling       dx(p) = sum of dy over all windows that p won (max, min), or of dy / count over all that hold p (mean)
//! ```
//!
//! Beside each stands `(L(v + h) - L(v)) / h` and `(L(v) - L(v - h)) / h`. At a tie in a pool the two differ, and each
//! value between them is right. Tests compare with [`crate::conv::reference`] (M26, M28).

use serde::Serialize;

use super::text::{self, Block, beside, factor, indented, num, plane, titled, wrapped};
use super::{ConvSteps, Convolution, Maps, PoolCase, PoolSteps};
use crate::conv::reference;
use crate::error::{Error, Result};

// Finite differences run forward twice for each number.
const MOST_WORK: usize = 1 << 26;
// All that is differentiated is linear but for the ties of a pool, so a large step costs nothing and rounds little.
const STEP: f64 = 1e-3;
/// How far a gradient may lie outside of the two differences, as a share of the largest gradient.
pub const TOLERANCE: f64 = 1e-6;

/// What one output adds to a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Part {
    /// The output: row, column, channel.
    pub at: [usize; 3],
    /// The gradient to it.
    pub dy: f64,
    /// What it is multiplied by: a weight, an input, 1, or a share.
    pub factor: f64,
    /// `dy factor`.
    pub product: f64,
}

/// The gradient to one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gradient {
    /// `dx`, `dw` or `db`.
    pub name: String,
    /// The tensor itself.
    pub value: Maps,
    /// The gradient.
    pub values: Maps,
    /// What each value is the sum of, in the order of [`Maps::data`].
    pub parts: Vec<Vec<Part>>,
    /// The difference quotients to the lower side.
    pub below: Maps,
    /// The difference quotients to the upper side.
    pub above: Maps,
}

/// A backward pass with its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Backward {
    /// The layer, in a word.
    pub layer: &'static str,
    /// What is computed, a formula for each gradient.
    pub formulas: Vec<String>,
    /// The input.
    pub x: Maps,
    /// The output.
    pub y: Maps,
    /// The gradient to the output.
    pub dy: Maps,
    /// `sum of dy y`.
    pub loss: f64,
    /// `dx`, then for a convolution `dw` of each kernel, and `db`.
    pub gradients: Vec<Gradient>,
}

impl Gradient {
    fn new(name: impl Into<String>, value: Maps, parts: Vec<Vec<Part>>) -> Self {
        let [_, w, c] = value.dims();
        let sum = |i: usize, j: usize, k: usize| parts[(i * w + j) * c + k].iter().map(|p| p.product).sum();
        let values = Maps::from_fn(value.dims(), sum);
        Self { name: name.into(), value, below: values.clone(), above: values.clone(), values, parts }
    }

    // Fills in the difference quotients of `loss`, which is told an index and a step.
    fn differences(mut self, loss: impl Fn(usize, f64) -> f64) -> Self {
        let [_, w, c] = self.values.dims();
        let centre = loss(0, 0.0);
        // What is left of a 0 by rounding is no news.
        let unit = 1e-9 * self.values.data().iter().fold(1.0_f64, |m, v| m.max(v.abs()));
        let quotient = |step: f64| {
            let exact = |i: usize| (loss(i, step) - centre) / step;
            Maps::from_fn(self.values.dims(), |i, j, k| (exact((i * w + j) * c + k) / unit).round() * unit)
        };
        (self.below, self.above) = (quotient(-STEP), quotient(STEP));
        self
    }

    /// The largest distance of a value from the range of its two differences, as a share of the largest value.
    pub fn error(&self) -> f64 {
        let most = self.values.data().iter().chain(self.above.data()).fold(0.0_f64, |m, v| m.max(v.abs()));
        let outside = |(v, (a, b)): (&f64, (&f64, &f64))| (a.min(*b) - v).max(v - a.max(*b)).max(0.0);
        let sides = self.below.data().iter().zip(self.above.data());
        let worst = self.values.data().iter().zip(sides).map(outside).fold(0.0, f64::max);
        if most == 0.0 { worst } else { worst / most }
    }

    /// Whether it lies between the differences.
    pub fn agrees(&self) -> bool {
        self.error() <= TOLERANCE
    }
}

impl Convolution {
    /// The gradient that the example is explained with.
    pub fn example_dy() -> Maps {
        let data = [1., 0., -1., 2., 1., 0., 0., -1., 1.];
        Maps::from_fn([3, 3, 1], |i, j, _| data[3 * i + j])
    }

    /// The backward pass with its steps, for the gradient `dy` to the output; ones if there is none.
    ///
    /// ```
    /// use striate::inspect::explain::Convolution;
    /// let backward = Convolution::example().backward(None)?;
    /// // Each of the nine outputs met the first weight with another input.
    /// assert_eq!(backward.gradients[1].parts[0].len(), 9);
    /// assert!(backward.gradients.iter().all(|g| g.agrees()));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Convolution::geometry`]; a flipped kernel; a `dy` of another size; too much for finite differences.
    pub fn backward(&self, dy: Option<&Maps>) -> Result<Backward> {
        if self.flip {
            return Err(Error::argument(
                "the backward pass is explained for cross-correlation, as networks compute it",
            )
            .with_help("leave the flip away"));
        }
        let steps = self.steps()?;
        let dy = gradient_to(&steps.y, dy)?;
        let g = &steps.geometry;
        check_work((g.x_len() + g.w_len() + g.oc).saturating_mul(2 * g.y_len() * g.terms()))?;
        let mut gradients = vec![input_gradient(&steps, &dy)];
        gradients.extend((0..g.oc).map(|k| weight_gradient(&steps, &dy, k)));
        if !self.bias.is_empty() {
            gradients.push(bias_gradient(&steps, &dy));
        }
        let formulas = [
            "dx(p) = sum of dy w over the outputs whose patch holds p",
            "dw(q) = sum of dy x over all outputs, x being what the weight met there",
            "db    = sum of dy",
        ];
        let formulas = formulas.iter().take(if self.bias.is_empty() { 2 } else { 3 }).map(|f| f.to_string()).collect();
        let loss = dot(&dy, &steps.y);
        Ok(Backward { layer: "convolution", formulas, x: self.x.clone(), y: steps.y, dy, loss, gradients })
    }

    fn loss(&self, dy: &Maps, [x, w, b]: [&[f64]; 3]) -> Result<f64> {
        let g = self.geometry()?;
        let mut y = vec![0.0; g.y_len()];
        reference::forward(&g, x, w, b, &mut y);
        Ok(y.iter().zip(dy.data()).map(|(y, dy)| y * dy).sum())
    }
}

impl PoolCase {
    /// The backward pass with its steps, for the gradient `dy` to the output; ones if there is none.
    ///
    /// # Errors
    /// As [`PoolCase::axes`]; a `dy` of another size; too much for finite differences.
    pub fn backward(&self, dy: Option<&Maps>) -> Result<Backward> {
        let steps = self.steps()?;
        let dy = gradient_to(&steps.y, dy)?;
        let places: usize = steps.cells.iter().map(|c| c.taps.len()).sum();
        check_work((2 * self.x.data().len()).saturating_mul(places))?;
        let gradient = pool_gradient(&steps, &dy).differences(|i, step| {
            let moved = Self { x: bumped(&self.x, i, step), ..self.clone() };
            moved.steps().map_or(f64::NAN, |s| dot(&dy, &s.y))
        });
        let formula = match self.pool.kind {
            crate::ops::PoolKind::Average => "dx(p) = sum of dy / count over the windows that hold p",
            _ => "dx(p) = sum of dy over the windows that p won",
        };
        let (formulas, loss) = (vec![formula.to_string()], dot(&dy, &steps.y));
        Ok(Backward { layer: "pooling", formulas, x: self.x.clone(), y: steps.y, dy, loss, gradients: vec![gradient] })
    }
}

fn check_work(work: usize) -> Result<()> {
    if work <= MOST_WORK {
        return Ok(());
    }
    Err(Error::shape(format!("finite differences of this layer take {work} steps"))
        .with_help(format!("give a smaller input: at most {MOST_WORK} steps, two forward passes for each number")))
}

fn gradient_to(y: &Maps, dy: Option<&Maps>) -> Result<Maps> {
    let Some(dy) = dy else { return Ok(Maps::from_fn(y.dims(), |_, _, _| 1.0)) };
    let ([a, b, c], [h, w, n]) = (dy.dims(), y.dims());
    if dy.dims() == y.dims() {
        return Ok(dy.clone());
    }
    Err(Error::shape(format!("dy is {a}x{b}x{c}, the output is {h}x{w}x{n}"))
        .with_help("dy has a number for each output; leave it away for ones"))
}

fn dot(a: &Maps, b: &Maps) -> f64 {
    a.data().iter().zip(b.data()).map(|(a, b)| a * b).sum()
}

fn bumped(maps: &Maps, i: usize, step: f64) -> Maps {
    let [_, w, c] = maps.dims();
    Maps::from_fn(maps.dims(), |a, b, k| maps.at(a, b, k) + if (a * w + b) * c + k == i { step } else { 0.0 })
}

fn part(at: [usize; 3], dy: &Maps, factor: f64) -> Part {
    let dy = dy.at(at[0], at[1], at[2]);
    Part { at, dy, factor, product: dy * factor }
}

fn input_gradient(steps: &ConvSteps, dy: &Maps) -> Gradient {
    let (case, [h, w, c]) = (&steps.case, steps.case.x.dims());
    let mut parts = vec![Vec::new(); h * w * c];
    for cell in &steps.cells {
        for term in &cell.terms {
            if let Some([i, j]) = term.from {
                let at = [cell.at[0], cell.at[1], cell.kernel];
                parts[(i * w + j) * c + term.channel].push(part(at, dy, term.w));
            }
        }
    }
    let weights = case.weights();
    Gradient::new("dx", case.x.clone(), parts).differences(|i, step| {
        let x = bumped(&case.x, i, step);
        case.loss(dy, [x.data(), &weights, &case.bias]).unwrap_or(f64::NAN)
    })
}

fn weight_gradient(steps: &ConvSteps, dy: &Maps, k: usize) -> Gradient {
    let (case, g) = (&steps.case, &steps.geometry);
    let dims = case.kernels[k].dims();
    let first = k / g.oc_per_group() * g.ic_per_group();
    let mut parts = vec![Vec::new(); dims.iter().product()];
    for cell in steps.cells.iter().filter(|cell| cell.kernel == k) {
        for term in &cell.terms {
            let at = (term.tap[0] * dims[1] + term.tap[1]) * dims[2] + term.channel - first;
            parts[at].push(part([cell.at[0], cell.at[1], k], dy, term.x));
        }
    }
    let name = if g.oc == 1 { "dw".into() } else { format!("dw of kernel {k}") };
    let weights = case.weights();
    Gradient::new(name, case.kernels[k].clone(), parts).differences(|i, step| {
        let mut w = weights.clone();
        w[i * g.oc + k] += step;
        case.loss(dy, [case.x.data(), &w, &case.bias]).unwrap_or(f64::NAN)
    })
}

fn bias_gradient(steps: &ConvSteps, dy: &Maps) -> Gradient {
    let (case, g) = (&steps.case, &steps.geometry);
    let of = |k: usize| steps.cells.iter().filter(move |cell| cell.kernel == k);
    let parts = (0..g.oc).map(|k| of(k).map(|cell| part([cell.at[0], cell.at[1], k], dy, 1.0)).collect());
    let weights = case.weights();
    let bias = Maps::from_fn([1, g.oc, 1], |_, k, _| case.bias[k]);
    Gradient::new("db", bias, parts.collect()).differences(|i, step| {
        let mut bias = case.bias.clone();
        bias[i] += step;
        case.loss(dy, [case.x.data(), &weights, &bias]).unwrap_or(f64::NAN)
    })
}

fn pool_gradient(steps: &PoolSteps, dy: &Maps) -> Gradient {
    let [h, w, c] = steps.case.x.dims();
    let mut parts = vec![Vec::new(); h * w * c];
    for cell in &steps.cells {
        let at = [cell.at[0], cell.at[1], cell.channel];
        let share = if cell.winner.is_some() { 1.0 } else { 1.0 / cell.count as f64 };
        for [i, j] in cell.taps.iter().filter_map(|t| t.from).filter(|p| cell.winner.is_none_or(|winner| winner == *p))
        {
            parts[(i * w + j) * c + cell.channel].push(part(at, dy, share));
        }
    }
    Gradient::new("dx", steps.case.x.clone(), parts)
}

impl Backward {
    /// The steps as a page of text; of each gradient the first `cells` with their parts.
    pub fn text(&self, cells: usize) -> String {
        let mut lines =
            vec![format!("Backward through {}, with L = sum of dy y = {}", self.layer, num(self.loss)), String::new()];
        lines.extend(indented(&self.formulas));
        for c in 0..self.dy.dims()[2].max(self.x.dims()[2]) {
            let named = |name: &str, maps: &Maps| {
                let name = if maps.dims()[2] == 1 { name.to_string() } else { format!("{name}, channel {c}") };
                (c < maps.dims()[2]).then(|| titled(&name, plane(maps, c)))
            };
            let row = [named("x", &self.x), named("y", &self.y), named("dy", &self.dy)];
            lines.push(String::new());
            lines.extend(indented(&beside(&row.into_iter().flatten().collect::<Vec<_>>(), 4)));
        }
        for gradient in &self.gradients {
            lines.extend(gradient.text(cells));
        }
        lines.push(String::new());
        let wrong: Vec<&str> = self.gradients.iter().filter(|g| !g.agrees()).map(|g| g.name.as_str()).collect();
        lines.push(match wrong.as_slice() {
            [] => "All gradients lie between the finite differences.".into(),
            names => format!("Not between the finite differences: {}", names.join(", ")),
        });
        text::page(&lines)
    }
}

impl Gradient {
    fn text(&self, cells: usize) -> Block {
        let mut lines = vec![String::new(), self.name.clone()];
        let [h, w, channels] = self.values.dims();
        for c in 0..channels {
            let title = |t: &str| if channels == 1 { t.to_string() } else { format!("{t}, channel {c}") };
            let mut row = vec![titled(&title("by its formula"), plane(&self.values, c))];
            let near = |a: &f64, b: &f64| (a - b).abs() <= 1e-6 * a.abs().max(1.0);
            if self.below.data().iter().zip(self.above.data()).all(|(a, b)| near(a, b)) {
                row.push(titled(&title("by differences"), plane(&self.above, c)));
            } else {
                row.push(titled(&title("from below"), plane(&self.below, c)));
                row.push(titled(&title("from above"), plane(&self.above, c)));
            }
            lines.extend(indented(&beside(&row, 4)));
        }
        lines.push(String::new());
        let short = self.name.split(' ').next().unwrap_or("");
        for at in (0..h * w * channels).take(cells) {
            let (i, j, c) = (at / channels / w, at / channels % w, at % channels);
            let place = if channels == 1 { format!("{short}({i}, {j})") } else { format!("{short}({i}, {j}, {c})") };
            let parts: Vec<String> =
                self.parts[at].iter().map(|p| format!("{}·{}", factor(p.dy), factor(p.factor))).collect();
            let sum = if parts.is_empty() { "0: no output depends on it".into() } else { parts.join(" + ") };
            let total = if parts.is_empty() { String::new() } else { format!(" = {}", num(self.values.data()[at])) };
            lines.extend(indented(&wrapped(&format!("{place} = {sum}{total}"), 4)));
        }
        if cells < h * w * channels {
            lines.push(format!("  ... and {} more", h * w * channels - cells));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::Padding;
    use crate::ops::Pool2D;

    fn some(dims: [usize; 3], salt: usize) -> Maps {
        Maps::from_fn(dims, |i, j, c| ((i * 7 + j * 3 + c * 5 + salt) % 11) as f64 - 4.0)
    }

    // M26: dx, dw and db of the engine's reference, and finite differences.
    #[test]
    fn m26_gradients_are_those_of_the_reference() {
        let deep = Convolution {
            x: some([5, 4, 2], 1),
            kernels: vec![some([3, 2, 2], 2), some([3, 2, 2], 7)],
            bias: vec![0.5, -1.0],
            stride: [2, 1],
            padding: Padding::Same,
            pad_value: 1.5,
            ..Convolution::example()
        };
        let grouped = Convolution { kernels: vec![some([2, 2, 1], 3), some([2, 2, 1], 4)], groups: 2, ..deep.clone() };
        for case in [Convolution::example(), deep, grouped] {
            let g = case.geometry().unwrap();
            let dy = some([g.h.output, g.w.output, g.oc], 9);
            let backward = case.backward(Some(&dy)).unwrap();
            let (mut dx, mut dw, mut db) = (vec![0.0; g.x_len()], vec![0.0; g.w_len()], vec![0.0; g.oc]);
            reference::backward_input(&g, dy.data(), &case.weights(), &mut dx);
            reference::backward_weights(&g, case.x.data(), dy.data(), &mut dw);
            reference::backward_bias(dy.data(), &mut db);
            let near = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
            assert!(near(backward.gradients[0].values.data(), &dx));
            for k in 0..g.oc {
                let of_k: Vec<f64> = dw.iter().skip(k).step_by(g.oc).copied().collect();
                assert!(near(backward.gradients[1 + k].values.data(), &of_k), "kernel {k}");
            }
            assert!(near(backward.gradients[1 + g.oc].values.data(), &db));
            for gradient in &backward.gradients {
                assert!(gradient.error() < 1e-9, "{} is off by {}", gradient.name, gradient.error());
            }
        }
    }

    // M28: the gradient goes to the winner; where windows overlap, what they give adds up.
    #[test]
    fn m28_the_gradient_of_a_pool_goes_to_its_winners() {
        let dy: Maps = "10 20; 30 40".parse().unwrap();
        let backward = PoolCase::example().backward(Some(&dy)).unwrap();
        let wanted = [0., 10., 0., 0., 0., 0., 0., 20., 0., 0., 0., 40., 0., 30., 0., 0.];
        assert_eq!(backward.gradients[0].values.data(), wanted);
        assert!(backward.gradients[0].agrees());
        let overlap = PoolCase { x: "0 0 0; 0 9 0; 0 0 0".parse().unwrap(), pool: Pool2D::max(2).stride(1) };
        let gradient = &overlap.backward(None).unwrap().gradients[0];
        assert_eq!((gradient.values.at(1, 1, 0), gradient.parts[4].len()), (4.0, 4));
        let mean = PoolCase { pool: Pool2D::average(3).stride(1).padding(Padding::Same), ..PoolCase::example() };
        let gradient = &mean.backward(None).unwrap().gradients[0];
        assert!(gradient.agrees() && (gradient.values.data().iter().sum::<f64>() - 16.0).abs() < 1e-9);
    }

    // At a tie one difference sees the winner change; the gradient is one of the two.
    #[test]
    fn a_tie_lies_between_its_two_differences() {
        let tie = PoolCase { x: "5 5; 5 5".parse().unwrap(), pool: Pool2D::max(2) };
        let gradient = &tie.backward(None).unwrap().gradients[0];
        assert_eq!(gradient.values.data(), [1.0, 0.0, 0.0, 0.0]);
        assert!(gradient.agrees());
        assert!(tie.backward(None).unwrap().text(4).contains("from below"));
    }

    #[test]
    fn a_wrong_gradient_does_not_agree() {
        let mut gradient = PoolCase::example().backward(None).unwrap().gradients.remove(0);
        gradient.values = Maps::from_fn([4, 4, 1], |i, j, _| gradient.values.at(i, j, 0) / 4.0);
        assert!(!gradient.agrees() && (gradient.error() - 0.75).abs() < 1e-6, "{}", gradient.error());
    }

    #[test]
    fn the_text_has_the_parts_and_fits_a_terminal() {
        let text = Convolution::example().backward(Some(&Convolution::example_dy())).unwrap().text(6);
        assert!(text.lines().all(|l| l.chars().count() <= text::WIDTH), "{text}");
        for part in
            ["dx(0, 0) = 1·1 = 1", "db(0, 0) = 1·1 + 0·1 + (-1)·1", "... and 10 more", "All gradients lie between"]
        {
            assert!(text.contains(part), "'{part}' is not in:\n{text}");
        }
    }

    #[test]
    fn bad_input_gets_one_clear_error() {
        let dy: Maps = "1 2".parse().unwrap();
        let error = Convolution::example().backward(Some(&dy)).unwrap_err().to_string();
        assert!(error.contains("dy is 1x2x1, the output is 3x3x1"), "{error}");
        assert!(Convolution { flip: true, ..Convolution::example() }.backward(None).is_err());
        let large = PoolCase { x: some([200, 200, 1], 0), pool: Pool2D::max(2) };
        assert!(large.backward(None).unwrap_err().to_string().contains("give a smaller input"));
    }
}
