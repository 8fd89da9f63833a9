//! Bubble charts: named points with a size, such as networks by accuracy and cost.
//!
//! A name stands beside its bubble, where it lies on no other name: to the right, to the left, above or below.

use super::axis::{Axis, AxisStyle, Fit, TICK_SIZE, label_width};
use super::colour::Paint;
use super::picture::{check_side, draw_head};
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use crate::error::{Error, Result};

/// A point of a bubble chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bubble {
    /// What it is.
    pub label: String,
    /// Its place to the right.
    pub x: f64,
    /// Its place upwards.
    pub y: f64,
    /// What its area is proportional to.
    pub size: f64,
    /// Which colour of the palette it has.
    pub colour: usize,
}

/// Bubbles on two axes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BubbleChart {
    /// What is shown.
    pub title: String,
    /// More about it; may be empty.
    pub subtitle: String,
    /// The axis to the right.
    pub x: AxisStyle,
    /// The axis upwards.
    pub y: AxisStyle,
    /// The bubbles.
    pub bubbles: Vec<Bubble>,
    /// Thin lines between bubbles, by their numbers.
    pub links: Vec<(usize, usize)>,
    /// Bubbles that explain the sizes: the size, and what to write beside it.
    pub key: Vec<(f64, String)>,
}

const LARGEST: f64 = 30.0;
const NAME: f64 = 11.5;

impl BubbleChart {
    /// Draws the chart into a part of a scene.
    ///
    /// # Errors
    /// No bubble, one without a place or a size, or a frame that leaves no room.
    pub fn draw(&self, scene: &mut Scene, frame: Rect) -> Result<()> {
        self.check(frame)?;
        let head = draw_head(scene, frame, 14.0, &self.title, &self.subtitle) + 8.0;
        let area = Rect::new(frame.x + 62.0, head, frame.w - 62.0 - 20.0, frame.bottom() - 46.0 - head);
        let range = |pick: &dyn Fn(&Bubble) -> f64| {
            let values = self.bubbles.iter().map(pick);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let x = Axis::new(&self.x, range(&|b| b.x), Fit { length: area.w, sideways: true, margin: Some(0.08) });
        let y = Axis::new(&self.y, range(&|b| b.y), Fit { length: area.h, sideways: false, margin: Some(0.12) });
        self.draw_axes(scene, area, (&x, &y));
        let largest = self.bubbles.iter().map(|b| b.size).fold(0.0, f64::max);
        let radius = |size: f64| (LARGEST * (size / largest).sqrt()).max(3.0);
        let discs: Vec<((f64, f64), f64)> = self
            .bubbles
            .iter()
            .map(|b| ((area.x + x.place(b.x) * area.w, area.bottom() - y.place(b.y) * area.h), radius(b.size)))
            .collect();
        for (from, to) in &self.links {
            let thin = Stroke::new(Paint::Frame, 1.0).opacity(0.6);
            scene.line(discs[*from].0, discs[*to].0, thin);
        }
        // The large ones first, so that none is hidden.
        let mut order: Vec<usize> = (0..discs.len()).collect();
        order.sort_by(|a, b| discs[*b].1.total_cmp(&discs[*a].1));
        for i in &order {
            let paint = Paint::Series(self.bubbles[*i].colour);
            scene.circle(discs[*i].0, discs[*i].1, Paint::Tint(self.bubbles[*i].colour), Stroke::new(paint, 1.5));
        }
        let key = self.draw_key(scene, area, &radius);
        self.draw_names(scene, area, &discs, key);
        Ok(())
    }

    fn check(&self, frame: Rect) -> Result<()> {
        check_side("bubble chart", "wide", frame.w, 300.0)?;
        check_side("bubble chart", "high", frame.h, 220.0)?;
        let wrong = |b: &&Bubble| !(self.x.shows(b.x) && self.y.shows(b.y) && b.size > 0.0 && b.size.is_finite());
        match self.bubbles.iter().find(wrong) {
            _ if self.bubbles.is_empty() => {
                Err(Error::argument(format!("the bubble chart '{}' has no bubbles", self.title))
                    .with_help("give at least one"))
            }
            Some(b) => Err(Error::argument(format!("'{}' has no place or no size", b.label))
                .with_help("give finite numbers, and a size above 0")),
            None if self.links.iter().any(|(a, b)| a.max(b) >= &self.bubbles.len()) => {
                Err(Error::argument("a link to a bubble that is not there").with_help("count bubbles from 0"))
            }
            None => Ok(()),
        }
    }

    fn draw_axes(&self, scene: &mut Scene, area: Rect, (x, y): (&Axis, &Axis)) {
        for tick in &y.ticks {
            let at = area.bottom() - y.place(tick.value) * area.h;
            scene.line((area.x, at), (area.right(), at), Stroke::new(Paint::Grid, 1.0));
            let text = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::End);
            scene.text(text.centred(area.x - 8.0, at));
        }
        let label = Text::new(&self.y.label).fit(area.h).anchor(Anchor::Middle).upwards();
        scene.text(label.at(area.x - 48.0, area.y + area.h / 2.0));
        scene.line((area.x, area.bottom()), (area.right(), area.bottom()), Stroke::new(Paint::Frame, 1.0));
        for tick in &x.ticks {
            let at = area.x + x.place(tick.value) * area.w;
            scene.line((at, area.bottom()), (at, area.bottom() + 4.0), Stroke::new(Paint::Frame, 1.0));
            let text = Text::new(&tick.label).size(TICK_SIZE).paint(Paint::Muted).anchor(Anchor::Middle);
            let half = label_width(&tick.label) / 2.0;
            scene.text(text.at(at.min(area.right() + 18.0 - half), area.bottom() + 18.0));
        }
        let label = Text::new(&self.x.label).fit(area.w).anchor(Anchor::Middle);
        scene.text(label.at(area.x + area.w / 2.0, area.bottom() + 38.0));
    }

    // At the lower right, where a cheap and bad network would be hidden least.
    fn draw_key(&self, scene: &mut Scene, area: Rect, radius: &dyn Fn(f64) -> f64) -> Rect {
        let widest = self.key.iter().map(|(_, t)| Text::new(t).size(NAME).width()).fold(0.0, f64::max);
        let most = self.key.iter().map(|(s, _)| radius(*s)).fold(0.0, f64::max);
        let heights: Vec<f64> = self.key.iter().map(|(s, _)| (2.0 * radius(*s) + 6.0).max(18.0)).collect();
        let height: f64 = heights.iter().sum();
        let left = area.right() - widest - 2.0 * most - 18.0;
        let mut y = area.bottom() - height - 8.0;
        let place = Rect::new(left - 6.0, y - 4.0, area.right() - left, height + 8.0);
        for ((size, text), height) in self.key.iter().zip(&heights) {
            let centre = (left + most, y + height / 2.0);
            scene.circle(centre, radius(*size), Paint::Page, Stroke::new(Paint::Frame, 1.5));
            let words = Text::new(text).size(NAME).paint(Paint::Muted);
            scene.text(words.centred(left + 2.0 * most + 8.0, centre.1));
            y += height;
        }
        place
    }

    fn draw_names(&self, scene: &mut Scene, area: Rect, discs: &[((f64, f64), f64)], key: Rect) {
        let mut taken: Vec<Rect> = if self.key.is_empty() { Vec::new() } else { vec![key] };
        let boxes: Vec<Rect> = discs.iter().map(|((x, y), r)| Rect::new(x - r, y - r, 2.0 * r, 2.0 * r)).collect();
        // Small bubbles first: they have the least room for a name that is theirs.
        let mut order: Vec<usize> = (0..discs.len()).collect();
        order.sort_by(|a, b| discs[*a].1.total_cmp(&discs[*b].1));
        for i in order {
            let choices = places(&self.bubbles[i].label, discs[i]);
            let free = |text: &&Text| {
                let b = text.bounds();
                area.holds(&b) && !taken.iter().any(|t| t.overlaps(&b))
            };
            // Rather on no bubble at all; else on none of the names.
            let clear = |text: &&Text| {
                free(text) && boxes.iter().enumerate().all(|(k, b)| k == i || !b.overlaps(&text.bounds()))
            };
            if let Some(text) = choices.iter().find(clear).or_else(|| choices.iter().find(free)) {
                let b = text.bounds();
                taken.push(Rect::new(b.x - 3.0, b.y - 2.0, b.w + 6.0, b.h + 4.0));
                scene.text(text.clone());
            }
        }
    }
}

// Where a name may stand, the best place first.
fn places(label: &str, ((x, y), r): ((f64, f64), f64)) -> Vec<Text> {
    let text = |anchor| Text::new(label).size(NAME).anchor(anchor);
    let (gap, d) = (r + 4.0, 0.7 * r + 5.0);
    let mut all = vec![
        text(Anchor::Start).centred(x + gap, y),
        text(Anchor::End).centred(x - gap, y),
        text(Anchor::Middle).at(x, y - gap - 2.0),
        text(Anchor::Middle).at(x, y + gap + NAME),
        text(Anchor::Start).at(x + d, y - d),
        text(Anchor::End).at(x - d, y - d),
        text(Anchor::Start).at(x + d, y + d + 8.0),
        text(Anchor::End).at(x - d, y + d + 8.0),
    ];
    // Further away, where it is crowded.
    for far in [14.0, 26.0] {
        all.push(text(Anchor::Middle).at(x, y - gap - 2.0 - far));
        all.push(text(Anchor::Middle).at(x, y + gap + NAME + far));
    }
    all
}
