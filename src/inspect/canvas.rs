//! A canvas: an image that is changed step by step until a network sees in it what it should.
//!
//! A pixel `p` runs from 0 (black) to 1 (white) and is `x = low + p (high - low)` to the network. A step follows Adam
//! on the gradient to `p`, which is first spread over several scales: the gradient, and the gradient averaged over 2x2,
//! 4x4, ... pixels, each brought to the same size, are added, and of three colours more than half is what they have in
//! common. So large shapes form as fast as fine grain, and light and dark faster than colour.
//!
//! Source: Kingma and Ba, "Adam", 2014, arXiv:1412.6980; the scales do what a Fourier basis does in Olah, Mordvintsev
//! and Schubert, "Feature visualization", 2017, doi:10.23915/distill.00007.

use crate::data::resize::{Area, resample};
use crate::data::{Filter, Image};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// The numbers of black and white for each channel.
pub type Levels = Vec<[f32; 2]>;

/// What a canvas showed after some of its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// After so many steps.
    pub step: usize,
    /// The image.
    pub image: Image,
    /// How far it was from its goal, or how high it had climbed.
    pub value: f64,
}

/// Whether a moment is kept after so many steps: 0, then each half as far again as the one before, for most happens early.
pub(super) fn is_kept(step: usize) -> bool {
    let mut at = 1;
    while at < step {
        at = (at * 3 / 2).max(at + 1);
    }
    step == 0 || at == step
}

/// The last moment that is not after `step`.
pub(super) fn at_step(moments: &[Moment], step: usize) -> Option<&Moment> {
    moments.iter().rfind(|m| m.step <= step)
}

/// All steps at which one of several canvases changed, in order.
pub(super) fn all_steps<'a>(moments: impl Iterator<Item = &'a Moment>) -> Vec<usize> {
    let mut steps: Vec<usize> = moments.map(|m| m.step).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

const DECAY: [f32; 2] = [0.9, 0.99];
// How much of a step all three colours take together.
const GREY: f32 = 0.6;

pub(super) struct Canvas {
    dims: [usize; 3],
    levels: Levels,
    p: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    steps: i32,
}

impl Canvas {
    /// Grey with a little noise.
    pub fn new(dims: [usize; 3], levels: &[[f32; 2]], seed: u64) -> Result<Self> {
        let c = dims[2];
        let levels: Levels = if levels.is_empty() { vec![[0.0, 1.0]; c] } else { levels.to_vec() };
        let bad = levels.iter().any(|[low, high]| !(low.is_finite() && high.is_finite() && low < high));
        if levels.len() != c || bad {
            return Err(Error::argument(format!("black and white of {c} channels cannot be {levels:?}"))
                .with_help("give two numbers a channel, the first below the second"));
        }
        let mut rng = Rng::new(seed).split("canvas");
        let len = dims.iter().product();
        let p = (0..len).map(|_| 0.5 + 0.01 * rng.normal() as f32).collect();
        Ok(Self { dims, levels, p, m: vec![0.0; len], v: vec![0.0; len], steps: 0 })
    }

    /// The network's numbers.
    pub fn x(&self) -> Vec<f32> {
        let c = self.dims[2];
        let of = |(i, p): (usize, &f32)| {
            let [low, high] = self.levels[i % c];
            low + p * (high - low)
        };
        self.p.iter().enumerate().map(of).collect()
    }

    /// The pixels, 0 to 1.
    pub fn pixels(&self) -> &[f32] {
        &self.p
    }

    /// The pixels of the network's numbers.
    pub fn pixels_of(&self, x: &[f32]) -> Vec<f32> {
        let c = self.dims[2];
        let of = |(i, x): (usize, &f32)| {
            let [low, high] = self.levels[i % c];
            (x - low) / (high - low)
        };
        x.iter().enumerate().map(of).collect()
    }

    /// One step down the gradient to the network's numbers, and down `smooth` times the mean of squared differences of
    /// neighbouring pixels.
    pub fn descend(&mut self, dx: &[f32], rate: f32, smooth: f32) {
        let [h, w, c] = self.dims;
        let mut g: Vec<f32> = dx
            .iter()
            .enumerate()
            .map(|(i, dx)| {
                let [low, high] = self.levels[i % c];
                dx * (high - low)
            })
            .collect();
        let scale = smooth * 2.0 / (h * w) as f32;
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            for k in 0..c {
                let at = (y * w + x) * c + k;
                let near = [(x + 1 < w).then(|| at + c), (y + 1 < h).then(|| at + w * c)];
                for other in near.into_iter().flatten() {
                    let difference = self.p[at] - self.p[other];
                    g[at] += scale * difference;
                    g[other] -= scale * difference;
                }
            }
        }
        let g = self.spread(&g);
        self.steps += 1;
        let [b1, b2] = DECAY;
        let correct = |b: f32| 1.0 / (1.0 - b.powi(self.steps));
        let (c1, c2) = (correct(b1), correct(b2));
        for (((p, m), v), g) in self.p.iter_mut().zip(&mut self.m).zip(&mut self.v).zip(&g) {
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            *p = (*p - rate * *m * c1 / ((*v * c2).sqrt() + 1e-8)).clamp(0.0, 1.0);
        }
    }

    // The sum of the gradient at all scales, each brought to a mean square of 1.
    fn spread(&self, g: &[f32]) -> Vec<f32> {
        let [h, w, c] = self.dims;
        let mut sum = vec![0.0; g.len()];
        let mut step = 1;
        while step == 1 || h.min(w) / step >= 3 {
            let size = [h / step, w / step];
            let small = resample(g, self.dims, Area::whole([h, w]), size, Filter::Bilinear);
            let back = resample(&small, [size[0], size[1], c], Area::whole(size), [h, w], Filter::Bilinear);
            let mean = back.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / back.len() as f64;
            let scale = if mean > 0.0 { (1.0 / mean.sqrt()) as f32 } else { 0.0 };
            sum.iter_mut().zip(&back).for_each(|(sum, v)| *sum += scale * v);
            step *= 2;
        }
        if c == 3 {
            // The colours of a pixel rise and fall together in photos.
            for pixel in sum.chunks_mut(3) {
                let mean = pixel.iter().sum::<f32>() / 3.0;
                pixel.iter_mut().for_each(|v| *v = GREY * mean + (1.0 - GREY) * *v);
            }
        }
        sum
    }

    /// The canvas as an image; channels that are no colours become their mean.
    pub fn image(&self) -> Result<Image> {
        let [h, w, c] = self.dims;
        let byte = |p: f32| (255.0 * p.clamp(0.0, 1.0)).round() as u8;
        let bytes: Vec<u8> = match c {
            1 | 3 => self.p.iter().map(|p| byte(*p)).collect(),
            _ => self.p.chunks(c).map(|pixel| byte(pixel.iter().sum::<f32>() / c as f32)).collect(),
        };
        Image::new([h, w, if c == 3 { 3 } else { 1 }], bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canvas_finds_the_image_whose_squared_distance_it_descends() {
        let dims = [9, 7, 3];
        let mut canvas = Canvas::new(dims, &[[-1.0, 1.0], [0.0, 2.0], [0.0, 1.0]], 0).unwrap();
        let goal: Vec<f32> = (0..189).map(|i| 0.1 + 0.8 * ((i * 37 % 100) as f32 / 100.0)).collect();
        let at = |x: &[f32]| x.iter().zip(&goal).map(|(x, g)| (x - g).powi(2)).sum::<f32>();
        let start = at(&canvas.x());
        for i in 0..300 {
            let dx: Vec<f32> = canvas.x().iter().zip(&goal).map(|(x, g)| x - g).collect();
            canvas.descend(&dx, 0.05 * (1.0 - i as f32 / 300.0), 0.0);
        }
        assert!(at(&canvas.x()) < 0.01 * start, "{} of {start}", at(&canvas.x()));
        let back = canvas.pixels_of(&canvas.x());
        assert!(back.iter().zip(canvas.pixels()).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn moments_are_kept_the_rarer_the_later() {
        let kept: Vec<usize> = (0..100).filter(|step| is_kept(*step)).collect();
        assert_eq!(kept, [0, 1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63, 94]);
        let image = Image::new([1, 1, 1], vec![0]).unwrap();
        let moment = |step| Moment { step, image: image.clone(), value: 0.0 };
        let (a, b) = ([moment(0), moment(2)], [moment(0), moment(5)]);
        assert_eq!(all_steps(a.iter().chain(&b)), [0, 2, 5]);
        assert_eq!(at_step(&a, 5).map(|m| m.step), Some(2));
        assert_eq!(at_step(&b, 4).map(|m| m.step), Some(0));
    }

    #[test]
    fn smoothness_alone_makes_a_flat_image() {
        let mut canvas = Canvas::new([8, 8, 1], &[], 1).unwrap();
        let rough = |p: &[f32]| p.windows(2).map(|w| (w[0] - w[1]).abs()).sum::<f32>();
        let start = rough(canvas.pixels());
        (0..100).for_each(|i| canvas.descend(&[0.0; 64], 1e-3 * (1.0 - i as f32 / 100.0), 1.0));
        assert!(rough(canvas.pixels()) < 0.3 * start);
        assert!(Canvas::new([8, 8, 1], &[[1.0, 0.0]], 0).is_err());
        assert!(Canvas::new([8, 8, 3], &[[0.0, 1.0]], 0).is_err());
    }
}
