//! The pictures of sizes: one window on its axis, cell by cell, or a bar for each layer of a network.
//!
//! Padding is grey, what a window sees is blue, and what the floor drops is orange and marked.

use super::LayerSize;
use super::Shapes;
use super::draw::lines;
use super::text::formula;
use crate::conv::Axis;
use crate::error::{Error, Result};
use crate::visual::{Anchor, Paint, Picture, Rect, Scene, Stroke, Text};

const MARGIN: f64 = 28.0;
const WIDTH: f64 = 980.0;
const NARROWEST: f64 = 560.0;
const ROW: f64 = 30.0;
const MOST_ROWS: usize = 140;
const MOST_CELLS: usize = 120;
// Where the bars begin, and how wide the longest is.
const BARS: f64 = 250.0;
const LONGEST: f64 = 330.0;

const PAD: Paint = Paint::Grid;
const SEEN: Paint = Paint::Tint(0);
const DROPPED: Paint = Paint::Series(1);

impl Shapes {
    /// A picture of the sizes: of a single window its places, of a network a bar for each layer with a window.
    ///
    /// ```
    /// use striate::inspect::explain::Shapes;
    /// let picture = Shapes::of(&striate::zoo::recipe("keras-mnist")?.graph).picture()?;
    /// assert!(picture.svg().contains("drops 1 row, 1 column"));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    /// No layer has a window, or there is too much to be drawn.
    pub fn picture(&self) -> Result<Picture> {
        let windows: Vec<&LayerSize> = self.layers.iter().filter(|l| !l.axes.is_empty()).collect();
        match windows.as_slice() {
            [] => Err(Error::argument(format!("no layer of {} has a window that slides", self.title))
                .with_help("give a network with convolutions or pools")),
            [one] if self.layers.len() == 1 => self.places(one),
            all => self.bars(&alike(all)),
        }
    }

    fn bars(&self, rows: &[(&LayerSize, usize)]) -> Result<Picture> {
        if rows.len() > MOST_ROWS {
            return Err(Error::shape(format!("{} layers of different sizes are too many for a picture", rows.len()))
                .with_help(format!("at most {MOST_ROWS}; the text has them all")));
        }
        let height = MARGIN + 84.0 + ROW * rows.len() as f64 + MARGIN;
        let words = format!("The height of the input of {} layers, with padding and what is dropped.", rows.len());
        let mut scene = Scene::new(WIDTH, height, format!("Sizes in {}", self.title), words);
        head(
            &mut scene,
            &format!("Sizes in {}, layer by layer", self.title),
            "a bar is the height of a layer's input; its width follows the same rule unless told",
        );
        legend(&mut scene, MARGIN + 62.0, &rows.iter().flat_map(|(l, _)| &l.axes).collect::<Vec<_>>());
        let longest = rows.iter().map(|(l, _)| padded(&l.axes[0])).max().unwrap_or(1) as f64;
        for (i, (layer, times)) in rows.iter().enumerate() {
            bar(&mut scene, layer, (MARGIN + 84.0 + ROW * i as f64, LONGEST / longest, *times));
        }
        Ok(Picture::new(scene))
    }

    // Both axes of one window, each with all of its places.
    fn places(&self, layer: &LayerSize) -> Result<Picture> {
        let [v, h] = [&layer.axes[0], &layer.axes[1]];
        let same = v == h;
        let axes: Vec<(&str, &Axis)> =
            if same { vec![("height and width", v)] } else { vec![("height", v), ("width", h)] };
        for (name, axis) in &axes {
            if padded(axis) > MOST_CELLS {
                return Err(Error::shape(format!(
                    "{} places along the {name} are too many for a picture",
                    padded(axis)
                ))
                .with_help(format!("at most {MOST_CELLS}, padding included; the text has the numbers")));
            }
        }
        let heights: Vec<f64> = axes.iter().map(|(_, a)| strip_height(a)).collect();
        let height = MARGIN + 84.0 + heights.iter().sum::<f64>() + MARGIN;
        let dims = |s: crate::tensor::Shape| s.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        let title = format!("{} → {}: {}", dims(layer.input), dims(layer.output), self.title.replacen('x', "×", 1));
        let strips = axes.iter().map(|(_, a)| cell_width(a) * padded(a) as f64).fold(0.0, f64::max);
        let words = Text::new(&title).size(17.0).bold().width();
        let width = (strips.max(words).max(NARROWEST) + 2.0 * MARGIN).min(WIDTH).ceil();
        let mut scene = Scene::new(width, height, &title, layer.why.join("; "));
        head(&mut scene, &title, "output = floor((in + before + after − reach) / stride) + 1");
        legend(&mut scene, MARGIN + 62.0, &axes.iter().map(|(_, a)| *a).collect::<Vec<_>>());
        let mut y = MARGIN + 84.0;
        for ((name, axis), tall) in axes.iter().zip(&heights) {
            strip(&mut scene, (name, axis), y);
            y += tall;
        }
        Ok(Picture::new(scene))
    }
}

fn head(scene: &mut Scene, title: &str, subtitle: &str) {
    let room = scene.page().w - 2.0 * MARGIN;
    scene.text(Text::new(title).size(17.0).bold().fit(room).at(MARGIN, MARGIN + 13.0));
    scene.text(Text::new(subtitle).paint(Paint::Muted).fit(room).at(MARGIN, MARGIN + 35.0));
}

// The colours that these axes have.
fn legend(scene: &mut Scene, y: f64, axes: &[&Axis]) {
    let (padding, dropped) = (axes.iter().any(|a| a.before + a.after > 0), axes.iter().any(|a| a.dropped() > 0));
    let all = [(padding, PAD, "padding"), (true, SEEN, "seen by a window"), (dropped, DROPPED, "dropped by the floor")];
    let mut x = MARGIN;
    for (_, paint, words) in all.into_iter().filter(|(there, ..)| *there) {
        scene.fill(Rect::new(x, y - 10.0, 16.0, 12.0), paint);
        scene.outline(Rect::new(x, y - 10.0, 16.0, 12.0), Stroke::new(Paint::Frame, 0.75));
        let text = Text::new(words).at(x + 22.0, y);
        x += 22.0 + text.width() + 24.0;
        scene.text(text);
    }
}

fn padded(axis: &Axis) -> usize {
    axis.before + axis.input + axis.after
}

// Layers one after the other whose sizes are the same stand for one, with how many they are.
fn alike<'a>(layers: &[&'a LayerSize]) -> Vec<(&'a LayerSize, usize)> {
    let mut all: Vec<(&LayerSize, usize)> = Vec::new();
    for layer in layers {
        match all.last_mut() {
            Some((last, times)) if last.axes == layer.axes => *times += 1,
            _ => all.push((layer, 1)),
        }
    }
    all
}

fn bar(scene: &mut Scene, layer: &LayerSize, (y, unit, times): (f64, f64, usize)) {
    let axis = &layer.axes[0];
    let middle = y + ROW / 2.0;
    let name = if times == 1 { layer.name.clone() } else { format!("{}, and {} alike", layer.name, times - 1) };
    scene.text(Text::new(name).fit(BARS - 24.0).centred(MARGIN, middle));
    let mut x = MARGIN + BARS;
    let seen = axis.input - axis.dropped();
    // What lies after the last window may be padding alone; then nothing is dropped.
    for (n, paint) in [(axis.before, PAD), (seen, SEEN), (axis.dropped(), DROPPED), (axis.after, PAD)] {
        let place = Rect::new(x, y + 6.0, n as f64 * unit, ROW - 12.0);
        if n > 0 {
            // A dropped row of a large image would be too thin to be seen.
            let wide = if paint == DROPPED { place.w.max(3.0) } else { place.w };
            scene.fill(Rect { w: wide, ..place }, paint);
        }
        x = place.right();
    }
    scene.outline(
        Rect::new(MARGIN + BARS, y + 6.0, padded(axis) as f64 * unit, ROW - 12.0),
        Stroke::new(Paint::Frame, 0.75),
    );
    let lost: Vec<String> = layer
        .dropped()
        .iter()
        .zip(["row", "column"])
        .filter(|(n, _)| **n > 0)
        .map(|(n, what)| format!("{n} {what}{}", if *n == 1 { "" } else { "s" }))
        .collect();
    let words = layer.why.join(", width ").replace('-', "−");
    let words = if lost.is_empty() { words } else { format!("{words}, drops {}", lost.join(", ")) };
    let x = MARGIN + BARS + LONGEST + 14.0;
    scene.text(Text::new(words).size(11.5).fit(WIDTH - MARGIN - x).centred(x, middle));
}

const CELL: f64 = 34.0;
const STEP: f64 = 15.0;

fn cell_width(axis: &Axis) -> f64 {
    ((WIDTH - 2.0 * MARGIN) / padded(axis) as f64).min(CELL)
}

// Windows side by side in one lane do not touch.
fn lanes(axis: &Axis) -> usize {
    (axis.reach().div_ceil(axis.stride) + usize::from(axis.reach().is_multiple_of(axis.stride) && axis.output > 1))
        .min(axis.output)
}

fn strip_height(axis: &Axis) -> f64 {
    24.0 + 26.0 + STEP * lanes(axis) as f64 + 44.0
}

// The places of an axis, and below them each window with its number.
fn strip(scene: &mut Scene, (name, axis): (&str, &Axis), top: f64) {
    let unit = cell_width(axis);
    scene.text(Text::new(name).bold().at(MARGIN, top + 12.0));
    let text = formula(axis).replace('-', "−");
    let used = (axis.output - 1) * axis.stride + axis.reach();
    let y = top + 24.0;
    for place in 0..padded(axis) {
        let inside = place.checked_sub(axis.before).filter(|i| *i < axis.input);
        let paint = if inside.is_none() {
            PAD
        } else if place >= used {
            DROPPED
        } else {
            SEEN
        };
        let rect = Rect::new(MARGIN + place as f64 * unit, y, unit, 26.0);
        scene.fill(rect, paint);
        scene.outline(rect, Stroke::new(Paint::Frame, 0.75));
        let label = inside.map_or(String::new(), |i| i.to_string());
        let text = Text::new(label).size(10.5).anchor(Anchor::Middle);
        // Dropped cells have a strong colour, so their number has the page's.
        let text = if paint == DROPPED { text.bold().paint(Paint::Page) } else { text };
        if text.width() + 2.0 <= unit {
            scene.text(text.centred(rect.x + unit / 2.0, y + 13.0));
        }
    }
    let lanes = lanes(axis);
    for o in 0..axis.output {
        let y = y + 26.0 + 9.0 + STEP * (o % lanes) as f64;
        let x = MARGIN + (o * axis.stride) as f64 * unit;
        let wide = axis.reach() as f64 * unit;
        let stroke = Stroke::new(Paint::Series(0), 1.5);
        scene.line((x + 1.5, y), (x + wide - 1.5, y), stroke);
        for tap in 0..axis.kernel {
            let at = x + ((tap * axis.dilation) as f64 + 0.5) * unit;
            scene.circle((at, y), (unit * 0.2).min(3.0), Paint::Series(0), Stroke::new(Paint::Page, 0.0));
        }
    }
    let foot = y + 26.0 + STEP * lanes as f64 + 22.0;
    let lost = match axis.dropped() {
        0 => String::new(),
        n => format!("; the floor drops {n}, which no window sees"),
    };
    for (i, line) in lines(&format!("{text} windows{lost}"), scene.page().w - 2.0 * MARGIN).iter().enumerate() {
        scene.text(Text::new(line).size(12.5).at(MARGIN, foot + 16.0 * i as f64));
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::assert_labels_are_apart;
    use super::*;
    use crate::conv::{Padding, Window};
    use crate::visual::Shape;
    use crate::zoo;

    fn filled(picture: &Picture, paint: Paint) -> Vec<Rect> {
        let of = |s: &Shape| match s {
            Shape::Fill(rect, p) if *p == paint && rect.h > 13.0 => Some(*rect),
            _ => None,
        };
        picture.scene().shapes().iter().filter_map(of).collect()
    }

    #[test]
    fn every_place_of_a_window_is_seen_dropped_or_padding() {
        let window = Window { kernel: [3, 2], stride: [2, 3], dilation: [1, 2], padding: Padding::all(1), ceil: false };
        let picture = Shapes::of_window([8, 9, 1], &window, 1).unwrap().picture().unwrap();
        assert_labels_are_apart(picture.scene());
        // Height: 8 + 2, windows reach 3 at 0, 2, 4, 6: place 9 is padding. Width: 9 + 2, reach 3 at 0, 3, 6: 9 is dropped.
        assert_eq!(filled(&picture, DROPPED).len(), 1);
        assert_eq!(filled(&picture, SEEN).len(), 8 + 8);
        assert_eq!(filled(&picture, PAD).len(), 2 + 2);
    }

    #[test]
    fn networks_have_a_bar_for_each_layer() {
        for name in ["keras-mnist", "alexnet", "vgg-16", "resnet-50", "googlenet", "efficientnet-b0", "densenet-121"] {
            let shapes = Shapes::of(&zoo::recipe(name).unwrap().graph);
            assert_labels_are_apart(shapes.picture().unwrap().scene());
        }
        let picture = Shapes::of(&zoo::recipe("keras-mnist").unwrap().graph).picture().unwrap();
        assert_eq!((filled(&picture, SEEN).len(), filled(&picture, DROPPED).len()), (6, 1));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: Padding::Valid, ceil: false };
        let large = Shapes::of_window([224, 224, 3], &window, 1).unwrap();
        assert!(large.picture().unwrap_err().to_string().contains("224 places along the height and width"));
        let none = Shapes { title: "none".into(), layers: vec![] };
        assert!(none.picture().unwrap_err().to_string().contains("no layer of none"));
    }
}
