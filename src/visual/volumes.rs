//! A network without branches as volumes, side by side: the figure that papers show of LeNet and AlexNet.
//!
//! The height and the depth of a box are those of its image, its thickness is
//! the number of channels; a window of the layer before narrows to the one
//! value that is computed from it. Sizes are drawn by their root (thickness by
//! the logarithm), else a dense layer would not fit on the page.

use super::colour::Paint;
use super::network::BlockKind;
use super::picture::{HEAD_TITLE, Picture, draw_head};
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use crate::error::{Error, Result};

/// One volume: what a layer puts out, and how it comes about.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// The layer and what is done after it, such as `conv 5x5` and `relu`; each on a line of its own.
    pub what: Vec<String>,
    /// Its output, such as `24x24x30`.
    pub shape: String,
    /// Its parameters.
    pub params: String,
    /// Its colour.
    pub kind: BlockKind,
    /// Height and width of its image; none if it is a row of numbers.
    pub image: Option<[usize; 2]>,
    /// Its channels.
    pub channels: usize,
    /// Height and width of the window on the volume before, from which one value comes.
    pub window: Option<[usize; 2]>,
}

const MARGIN: f64 = 28.0;
const TALLEST: f64 = 150.0;
const GAP: f64 = 34.0;
const LINE_HEIGHT: f64 = 15.0;
// How far one unit of depth goes to the right and up.
const SLANT: (f64, f64) = (0.36, -0.30);
const EDGE: Stroke = Stroke::new(Paint::Page, 1.0);
const RAY: Stroke = Stroke::new(Paint::Ink, 0.8).opacity(0.75);

/// Volumes as a picture.
///
/// # Errors
/// There is nothing to draw.
pub fn volumes(title: &str, subtitle: &str, all: &[Volume]) -> Result<Picture> {
    if all.is_empty() {
        return Err(Error::argument("a network without layers cannot be drawn").with_help("add at least one layer"));
    }
    let boxes = Boxes::of(all);
    let (lines, inner) = (all.iter().map(|v| v.what.len()).max().unwrap_or(0) + 2, boxes.width());
    let top = MARGIN + 62.0 + boxes.rise;
    let middle = top + TALLEST / 2.0;
    let words = top + TALLEST + 26.0;
    let width = inner.max(520.0) + 2.0 * MARGIN;
    let height = words + lines as f64 * LINE_HEIGHT + 34.0;
    let mut scene = Scene::new(width, height, title, format!("{subtitle}. {} volumes, side by side.", all.len()));
    let frame = Rect::new(MARGIN, MARGIN, width - 2.0 * MARGIN, 44.0);
    draw_head(&mut scene, frame, HEAD_TITLE, title, subtitle);
    let mut x = MARGIN;
    let mut before: Option<Place> = None;
    for (volume, body) in all.iter().zip(&boxes.all) {
        let place = Place { left: x + (body.room - body.wide()) / 2.0, middle, body: *body };
        if let Some(before) = &before {
            place.rays_from(&mut scene, before, volume.window);
        }
        place.draw(&mut scene, volume.kind.paint());
        caption(&mut scene, volume, (x + body.room / 2.0, words));
        x += body.room + GAP;
        before = Some(place);
    }
    let note =
        "Taller and deeper: a larger image. Thicker: more channels. The small window narrows to one value of the next.";
    scene.text(
        Text::new(note).size(11.0).paint(Paint::Muted).fit(width - 2.0 * MARGIN).at(MARGIN, height - MARGIN + 8.0),
    );
    Ok(Picture::new(scene))
}

fn caption(scene: &mut Scene, volume: &Volume, (x, y): (f64, f64)) {
    let line =
        |text: &str, i: usize| Text::new(text).size(11.0).anchor(Anchor::Middle).at(x, y + i as f64 * LINE_HEIGHT);
    for (i, word) in volume.what.iter().enumerate() {
        let text = line(word, i);
        scene.text(if i == 0 { text.bold() } else { text });
    }
    scene.text(line(&volume.shape, volume.what.len()));
    if !volume.params.is_empty() {
        scene.text(line(&volume.params, volume.what.len() + 1).paint(Paint::Muted));
    }
}

// The size of a box on the page, and the room that it and its words take.
#[derive(Debug, Clone, Copy)]
struct Body {
    thick: f64,
    tall: f64,
    deep: f64,
    // Height and width in values; 0 if there is no image.
    image: [usize; 2],
    room: f64,
}

impl Body {
    fn of(volume: &Volume, largest: usize) -> Self {
        let scale = |side: usize| 10.0 + (TALLEST - 10.0) * (side as f64 / largest.max(1) as f64).sqrt();
        let log = (volume.channels.max(1) as f64).log2();
        let mut body = match volume.image {
            Some([h, w]) => Self { thick: 5.0 + 4.5 * log, tall: scale(h), deep: scale(w), image: [h, w], room: 0.0 },
            None => Self { thick: 12.0, tall: (24.0 + 10.0 * log).min(TALLEST), deep: 14.0, image: [0; 2], room: 0.0 },
        };
        let words = volume.what.iter().chain([&volume.shape, &volume.params]);
        let widest = words.map(|w| Text::new(w).size(11.0).bold().width()).fold(0.0, f64::max);
        body.room = body.wide().max(widest);
        body
    }

    fn wide(&self) -> f64 {
        self.thick + self.deep * SLANT.0
    }
}

struct Boxes {
    all: Vec<Body>,
    rise: f64,
}

impl Boxes {
    fn of(volumes: &[Volume]) -> Self {
        let largest = volumes.iter().filter_map(|v| v.image).flatten().max().unwrap_or(1);
        let all: Vec<Body> = volumes.iter().map(|v| Body::of(v, largest)).collect();
        let rise = all.iter().map(|b| b.deep * -SLANT.1).fold(0.0, f64::max);
        Self { all, rise }
    }

    fn width(&self) -> f64 {
        self.all.iter().map(|b| b.room).sum::<f64>() + GAP * (self.all.len() - 1) as f64
    }
}

struct Place {
    left: f64,
    middle: f64,
    body: Body,
}

impl Place {
    // A point of the side to the right, which is the image: down and along the depth, each from 0 to 1.
    fn on_image(&self, down: f64, along: f64) -> (f64, f64) {
        let Body { thick, tall, deep, .. } = self.body;
        let x = self.left + thick + along * deep * SLANT.0;
        (x, self.middle - tall / 2.0 + down * tall + along * deep * SLANT.1)
    }

    fn draw(&self, scene: &mut Scene, paint: Paint) {
        let Body { thick, tall, .. } = self.body;
        let shift = |(x, y): (f64, f64)| (x - thick, y);
        let faces = [
            vec![
                shift(self.on_image(0.0, 0.0)),
                shift(self.on_image(0.0, 1.0)),
                self.on_image(0.0, 1.0),
                self.on_image(0.0, 0.0),
            ],
            vec![self.on_image(0.0, 0.0), self.on_image(0.0, 1.0), self.on_image(1.0, 1.0), self.on_image(1.0, 0.0)],
        ];
        scene.fill(Rect::new(self.left, self.middle - tall / 2.0, thick, tall), paint);
        for mut face in faces {
            scene.polygon(face.clone(), paint);
            face.push(face[0]);
            scene.polyline(face, EDGE);
        }
    }

    // The window on the volume before, and rays from its corners to one value here.
    fn rays_from(&self, scene: &mut Scene, before: &Self, window: Option<[usize; 2]>) {
        let end = (self.left, self.middle);
        let [h, w] = before.body.image;
        let Some([kh, kw]) = window.filter(|_| h > 0 && w > 0) else {
            // Every value of the one meets every value of the other.
            let ends = [self.middle - self.body.tall / 2.0, self.middle + self.body.tall / 2.0];
            for ((down, along), y) in [((0.0, 1.0), ends[0]), ((1.0, 0.0), ends[1])] {
                scene.line(before.on_image(down, along), (self.left, y), RAY);
            }
            return;
        };
        let share = |k: usize, n: usize| (k as f64 / n as f64).clamp(0.06, 1.0) / 2.0;
        let (dy, dx) = (share(kh, h), share(kw, w));
        let corners = [(-dy, -dx), (-dy, dx), (dy, dx), (dy, -dx)].map(|(y, x)| before.on_image(0.5 + y, 0.5 + x));
        scene.polygon(corners.to_vec(), Paint::Page);
        scene.polyline(corners.iter().copied().chain([corners[0]]).collect(), Stroke::new(Paint::Ink, 1.0));
        for corner in corners {
            scene.line(corner, end, RAY);
        }
    }
}
