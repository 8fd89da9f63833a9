//! Integrated gradients: `(x - x0)` times the mean gradient on the line from a baseline `x0` to `x`.
//!
//! 1. The line is cut into `samples` equal steps, and each is given the gradient at its middle.
//! 2. The map should sum to the rise of the score. The rise over each step is known too, so each step has a gap of its
//!    own: a network with many kinks (ReLU6) has a few steps with large ones.
//! 3. While the map is off by more than the tolerance, the steps with the largest gaps are cut into three, whose middle
//!    one keeps the middle; until [`MORE`] times as many gradients were taken.
//!
//! Source: Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", 2017, arXiv:1703.01365; the sum is their
//! axiom of completeness.

use super::Look;
use super::gradients::{BATCH, Gradients, checked};
use crate::error::{Error, Result};
use crate::inspect::score::Scorer;
use crate::tensor::Tensor;

// So many times the asked gradients are taken at most.
const MORE: usize = 4;

// A step of the line from 0 to 1, with the score at its ends and the slope of the score at its middle.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: f64,
    to: f64,
    scores: [f64; 2],
    slope: f64,
}

impl Step {
    fn part(&self, i: usize) -> f64 {
        self.from + (self.to - self.from) * i as f64 / 3.0
    }

    fn middle(&self) -> f64 {
        (self.from + self.to) / 2.0
    }

    // The rise of the score that its gradient does not account for.
    fn gap(&self) -> f64 {
        self.scores[1] - self.scores[0] - self.slope * (self.to - self.from)
    }
}

/// The map `[h, w]`, and the number of gradients.
pub(super) fn map(look: &Look<'_>, scorer: &mut Scorer) -> Result<(Tensor, usize)> {
    let n = checked(look)?;
    if look.config.tolerance.is_nan() || look.config.tolerance < 0.0 {
        return Err(Error::argument(format!("a tolerance of {} is out of range", look.config.tolerance))
            .with_help("give a part of the score's rise, such as 0.01"));
    }
    let mut line = Line::new(look)?;
    let ends: Vec<f64> = (0..=n).map(|i| i as f64 / n as f64).collect();
    let scores = line.scores(scorer, &ends)?;
    let mut steps: Vec<Step> = (0..n)
        .map(|i| Step { from: ends[i], to: ends[i + 1], scores: [scores[i], scores[i + 1]], slope: 0.0 })
        .collect();
    let middles: Vec<f64> = steps.iter().map(Step::middle).collect();
    let slopes = line.add(&middles, &vec![1.0 / n as f64; n])?;
    steps.iter_mut().zip(slopes).for_each(|(step, slope)| step.slope = slope);
    let rise = scores[n] - scores[0];
    let mut taken = n;
    loop {
        let gap: f64 = steps.iter().map(Step::gap).sum();
        let room = (MORE * n - taken) / 3;
        if gap.abs() <= f64::from(look.config.tolerance) * rise.abs() || room == 0 || !gap.is_finite() {
            break;
        }
        let mut order: Vec<usize> = (0..steps.len()).collect();
        order.sort_by(|a, b| steps[*b].gap().abs().total_cmp(&steps[*a].gap().abs()).then(a.cmp(b)));
        order.truncate((steps.len() / 8).clamp(1, room));
        let cut: Vec<Step> = order.iter().map(|i| steps[*i]).collect();
        let parts = line.cut(scorer, &cut)?;
        taken += 3 * cut.len();
        for (at, [first, middle, last]) in order.into_iter().zip(parts) {
            steps[at] = middle;
            steps.extend([first, last]);
        }
    }
    Ok((line.map()?, taken))
}

// The line from the baseline to the sample, and the weighted sum of gradients on it.
struct Line<'a> {
    look: &'a Look<'a>,
    gradients: Gradients<'a>,
    blank: Vec<f32>,
    sum: Vec<f64>,
}

impl<'a> Line<'a> {
    fn new(look: &'a Look<'a>) -> Result<Self> {
        let gradients = Gradients::new(look, BATCH.min(look.config.samples))?;
        Ok(Self { look, gradients, blank: look.blank(), sum: vec![0.0; look.x.len()] })
    }

    // Adds the gradients at these places with these weights; gives the slopes of the score there.
    fn add(&mut self, at: &[f64], weights: &[f64]) -> Result<Vec<f64>> {
        let Self { look, gradients, blank, sum } = self;
        let mut slopes = Vec::with_capacity(at.len());
        let fill = |i: usize, x: &mut [f32]| point(look.x, blank, at[i], x);
        gradients.each(at.len(), fill, |i, dx| {
            sum.iter_mut().zip(dx).for_each(|(sum, dx)| *sum += weights[i] * f64::from(*dx));
            let way = look.x.iter().zip(&*blank).map(|(x, blank)| f64::from(*x) - f64::from(*blank));
            slopes.push(way.zip(dx).map(|(way, dx)| way * f64::from(*dx)).sum());
        })?;
        Ok(slopes)
    }

    // The score at these places, a few at a time.
    fn scores(&self, scorer: &mut Scorer, at: &[f64]) -> Result<Vec<f64>> {
        let len = self.look.x.len();
        let mut all = Vec::with_capacity(at.len());
        for some in at.chunks(8) {
            let mut x = vec![0.0; some.len() * len];
            x.chunks_mut(len).zip(some).for_each(|(x, t)| point(self.look.x, &self.blank, *t, x));
            all.extend(scorer.logits(&x, self.look.class)?.into_iter().map(f64::from));
        }
        Ok(all)
    }

    // Each step as three. The gradient of its middle is taken again rather than kept: it is subtracted where it counts
    // less now.
    fn cut(&mut self, scorer: &mut Scorer, steps: &[Step]) -> Result<Vec<[Step; 3]>> {
        let ends: Vec<f64> = steps.iter().flat_map(|s| [s.part(1), s.part(2)]).collect();
        let scores = self.scores(scorer, &ends)?;
        let (mut at, mut weights) = (Vec::new(), Vec::new());
        for step in steps {
            let third = (step.to - step.from) / 3.0;
            at.extend([step.from + third / 2.0, step.middle(), step.to - third / 2.0]);
            weights.extend([third, -2.0 * third, third]);
        }
        let slopes = self.add(&at, &weights)?;
        let parts = |(i, step): (usize, &Step)| {
            let (score, slope) = (&scores[2 * i..], &slopes[3 * i..]);
            let part = |k: usize, scores| Step { from: step.part(k), to: step.part(k + 1), scores, slope: slope[k] };
            [part(0, [step.scores[0], score[0]]), part(1, [score[0], score[1]]), part(2, [score[1], step.scores[1]])]
        };
        Ok(steps.iter().enumerate().map(parts).collect())
    }

    fn map(&self) -> Result<Tensor> {
        let [h, w, c] = self.look.dims;
        let way = self.look.x.iter().zip(&self.blank).map(|(x, blank)| f64::from(x - blank));
        let each: Vec<f64> = self.sum.iter().zip(way).map(|(g, way)| g * way).collect();
        Tensor::new(&[h, w], each.chunks(c).map(|pixel| pixel.iter().sum::<f64>() as f32).collect())
    }
}

fn point(x: &[f32], blank: &[f32], part: f64, to: &mut [f32]) {
    let part = part as f32;
    to.iter_mut().zip(x.iter().zip(blank)).for_each(|(to, (x, blank))| *to = blank + part * (x - blank));
}
