//! The picture of receptive fields: what the middle value of each layer sees, on the image and against its width (V12).

use super::{FieldStep, FieldSteps};
use crate::error::{Error, Result};
use crate::inspect::receptive_field::short;
use crate::visual::{Anchor, ColourMap, Paint, Picture, Rect, Scene, Stroke, Text};

const MARGIN: f64 = 28.0;
const HEAD: f64 = 62.0;
// The largest side of the image with all that hangs over it.
const SQUARE: f64 = 360.0;
const ROW: f64 = 24.0;
const BAR: f64 = 260.0;
const NAME: f64 = 170.0;
const NUMBERS: f64 = 150.0;
const MOST_ROWS: usize = 100;
// More squares within each other cannot be told apart.
const MOST_SQUARES: usize = 9;

impl FieldSteps {
    /// The fields of the middle values, as squares on the image and as bars against its width.
    ///
    /// ```
    /// use striate::inspect::explain::FieldSteps;
    /// let picture = FieldSteps::of(&striate::zoo::recipe("keras-mnist")?.graph, None)?.picture()?;
    /// assert!(picture.svg().contains("22×22, jump 8"));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// There are no steps, or too many to be drawn.
    pub fn picture(&self) -> Result<Picture> {
        if self.steps.is_empty() {
            return Err(Error::argument(format!(
                "each value of {} sees one input: there is nothing to draw",
                self.layer
            ))
            .with_help("name a layer behind a convolution or a pool"));
        }
        if self.steps.len() > MOST_ROWS {
            return Err(Error::shape(format!("{} steps are too many for a picture", self.steps.len()))
                .with_help(format!("at most {MOST_ROWS}: name an earlier layer; the text has them all")));
        }
        let body = (ROW * (self.steps.len() + 1) as f64 + 26.0).max(SQUARE + 30.0);
        let (width, height) =
            (MARGIN + SQUARE + 40.0 + NAME + BAR + 14.0 + NUMBERS + MARGIN, HEAD + MARGIN + body + 58.0);
        let title = format!("Receptive field of {} in {}", self.layer, self.network);
        let mut scene = Scene::new(width, height, &title, self.verdict().join(" "));
        scene.text(Text::new(&title).size(17.0).bold().fit(width - 2.0 * MARGIN).at(MARGIN, MARGIN + 13.0));
        let [h, w] = self.image;
        let subtitle = format!("what the middle value of each layer sees of an image of {h}×{w}");
        scene.text(Text::new(subtitle).paint(Paint::Muted).at(MARGIN, MARGIN + 35.0));
        self.draw_squares(&mut scene, (MARGIN, MARGIN + HEAD));
        self.draw_bars(&mut scene, (MARGIN + SQUARE + 40.0, MARGIN + HEAD));
        for (i, line) in self.verdict().iter().enumerate() {
            let text = Text::new(signs(line)).fit(width - 2.0 * MARGIN);
            scene.text(text.at(MARGIN, height - MARGIN - 16.0 * (1 - i.min(1)) as f64));
        }
        Ok(Picture::new(scene))
    }

    // Early fields are dark, late ones bright; on white the brightest end would be lost.
    fn paint(&self, i: usize) -> Paint {
        let last = self.steps.len().saturating_sub(1).max(1) as f64;
        Paint::Solid(ColourMap::VIRIDIS.at(0.82 * i as f64 / last))
    }

    // First and last place of any field or of the image, along an axis.
    fn extent(&self, axis: usize) -> [i64; 2] {
        let ends = self.steps.iter().map(|s| s.window[axis]);
        ends.fold([0, self.image[axis] as i64 - 1], |a, b| [a[0].min(b[0]), a[1].max(b[1])])
    }

    fn draw_squares(&self, scene: &mut Scene, (x, y): (f64, f64)) {
        let [v, h] = [self.extent(0), self.extent(1)];
        let longest = (v[1] - v[0]).max(h[1] - h[0]) + 1;
        let unit = SQUARE / longest as f64;
        let place = |rows: [i64; 2], columns: [i64; 2]| {
            let side = |r: [i64; 2]| (r[1] - r[0] + 1) as f64 * unit;
            let (left, top) = ((columns[0] - h[0]) as f64 * unit, (rows[0] - v[0]) as f64 * unit);
            Rect::new(x + left, y + top, side(columns), side(rows))
        };
        let image = place([0, self.image[0] as i64 - 1], [0, self.image[1] as i64 - 1]);
        scene.fill(image, Paint::Tint(5));
        scene.outline(image, Stroke::new(Paint::Frame, 1.0));
        for i in chosen(self.steps.len()).into_iter().rev() {
            let step = &self.steps[i];
            scene.outline(place(step.window[0], step.window[1]), Stroke::new(self.paint(i), 2.5));
        }
        let words = if longest as usize == self.image[0].max(self.image[1]) {
            "the image"
        } else {
            "the image; what lies beyond it is padding"
        };
        let text = Text::new(words).size(11.0).paint(Paint::Muted).anchor(Anchor::Start);
        scene.text(text.at(x, y + (v[1] - v[0] + 1) as f64 * unit + 16.0));
    }

    fn draw_bars(&self, scene: &mut Scene, (x, top): (f64, f64)) {
        let [lo, hi] = self.extent(1);
        let unit = BAR / (hi - lo + 1) as f64;
        let at = |place: i64| x + NAME + (place - lo) as f64 * unit;
        let below = top + 26.0 + ROW * (self.steps.len() + 1) as f64;
        let image = Rect::new(at(0), top + 20.0, self.image[1] as f64 * unit, below - top - 20.0);
        scene.fill(image, Paint::Tint(5));
        let text = Text::new("columns of the image").size(11.0).paint(Paint::Muted).anchor(Anchor::Middle);
        scene.text(text.at(image.x + image.w / 2.0, top + 12.0));
        for (i, step) in self.steps.iter().enumerate() {
            let middle = top + 26.0 + ROW * (i as f64 + 0.5);
            scene.text(Text::new(&step.layer).fit(NAME - 12.0).centred(x, middle));
            let [first, last] = step.window[1];
            let bar = Rect::new(at(first), middle - 6.0, (last - first + 1) as f64 * unit, 12.0);
            scene.fill(bar, self.paint(i));
            scene.text(Text::new(numbers(step)).size(11.5).fit(NUMBERS).centred(x + NAME + BAR + 14.0, middle));
        }
    }
}

// A sentence with true signs; names may have hyphens.
fn signs(line: &str) -> String {
    let minus =
        [("rows -", "rows −"), ("columns -", "columns −")].iter().fold(line.to_string(), |s, (a, b)| s.replace(a, b));
    let times = |word: &str| {
        let sides = word
            .split_once('x')
            .filter(|(a, b)| [a, b].iter().all(|s| s.chars().all(|c| c.is_ascii_digit() || c == '.')));
        sides.map_or(word.to_string(), |(a, b)| format!("{a}×{b}"))
    };
    minus.split(' ').map(times).collect::<Vec<_>>().join(" ")
}

fn numbers(step: &FieldStep) -> String {
    let [[rh, jh], [rw, jw]] = step.after;
    let jump = if jh == jw { short(jh) } else { format!("{}×{}", short(jh), short(jw)) };
    format!("{}×{}, jump {jump}", short(rh), short(rw))
}

// The steps whose squares are drawn: all, or some evenly, the last among them.
fn chosen(n: usize) -> Vec<usize> {
    if n <= MOST_SQUARES {
        return (0..n).collect();
    }
    (0..MOST_SQUARES).map(|i| (i + 1) * n / MOST_SQUARES - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::super::draw::assert_labels_are_apart;
    use super::*;
    use crate::visual::Shape;
    use crate::zoo;

    #[test]
    fn v12_every_layer_has_its_bar_and_the_squares_lie_within_each_other() {
        for name in ["keras-mnist", "simple-convnet", "alexnet", "vgg-16", "resnet-18"] {
            let steps = FieldSteps::of(&zoo::recipe(name).unwrap().graph, None).unwrap();
            let picture = steps.picture().unwrap();
            assert_labels_are_apart(picture.scene());
            let bars =
                picture.scene().shapes().iter().filter(|s| matches!(s, Shape::Fill(r, Paint::Solid(_)) if r.h == 12.0));
            assert_eq!(bars.count(), steps.steps.len(), "{name}");
            let squares = picture
                .scene()
                .shapes()
                .iter()
                .filter(|s| matches!(s, Shape::Outline(_, stroke) if stroke.width == 2.5));
            assert_eq!(squares.count(), steps.steps.len().min(MOST_SQUARES), "{name}");
        }
        let first = FieldSteps::of(&zoo::recipe("keras-mnist").unwrap().graph, Some("input")).map(|s| s.picture());
        assert!(first.is_err() || first.unwrap().is_err());
        assert_eq!(chosen(20).last(), Some(&19));
    }
}
