//! A picture as a list of shapes, from which the SVG and the PNG are both made.
//!
//! Units are CSS pixels; x runs to the right and y runs down. Shapes are drawn
//! in the order of the list. There is nothing here that only one of the two
//! forms could show.

use super::colour::Paint;
use super::font::{self, Weight};

/// A rectangle: its top left corner, width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// The left edge.
    pub x: f64,
    /// The top edge.
    pub y: f64,
    /// The width.
    pub w: f64,
    /// The height.
    pub h: f64,
}

impl Rect {
    /// The rectangle with its top left corner at `(x, y)`.
    pub const fn new(x: f64, y: f64, w: f64, h: f64) -> Self {
        Self { x, y, w, h }
    }

    /// The right edge.
    pub fn right(&self) -> f64 {
        self.x + self.w
    }

    /// The bottom edge.
    pub fn bottom(&self) -> f64 {
        self.y + self.h
    }

    /// Whether the two share more than an edge.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    /// Whether `other` lies inside.
    pub fn holds(&self, other: &Self) -> bool {
        self.x <= other.x && self.y <= other.y && other.right() <= self.right() && other.bottom() <= self.bottom()
    }
}

/// How an edge or a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// The colour.
    pub paint: Paint,
    /// The width.
    pub width: f64,
    /// The lengths of dashes and gaps in turn; none for a solid line.
    pub dash: &'static [f64],
    /// From 0, not to be seen, to 1.
    pub opacity: f64,
}

impl Stroke {
    /// A solid stroke.
    pub const fn new(paint: Paint, width: f64) -> Self {
        Self { paint, width, dash: &[], opacity: 1.0 }
    }

    /// The same stroke in dashes.
    #[must_use]
    pub const fn dash(mut self, dash: &'static [f64]) -> Self {
        self.dash = dash;
        self
    }

    /// The same stroke, more or less transparent.
    #[must_use]
    pub const fn opacity(mut self, opacity: f64) -> Self {
        self.opacity = opacity;
        self
    }
}

/// Which point of a text its position names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anchor {
    /// The beginning.
    #[default]
    Start,
    /// The middle.
    Middle,
    /// The end.
    End,
}

/// One line of text; its position is a point on the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    pub(super) text: String,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) size: f64,
    pub(super) weight: Weight,
    pub(super) anchor: Anchor,
    pub(super) paint: Paint,
    pub(super) upwards: bool,
}

impl Text {
    /// A text at the origin, 12 high, in ink; control characters become spaces.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let (weight, anchor) = (Weight::default(), Anchor::default());
        Self { text, x: 0.0, y: 0.0, size: 12.0, weight, anchor, paint: Paint::Ink, upwards: false }
    }

    /// With this size.
    #[must_use]
    pub fn size(mut self, size: f64) -> Self {
        self.size = size;
        self
    }

    /// In the heavier weight.
    #[must_use]
    pub fn bold(mut self) -> Self {
        self.weight = Weight::SemiBold;
        self
    }

    /// Painted so.
    #[must_use]
    pub fn paint(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }

    /// Set against its position so.
    #[must_use]
    pub fn anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    /// Turned to run upwards.
    #[must_use]
    pub fn upwards(mut self) -> Self {
        self.upwards = true;
        self
    }

    /// Cut with an ellipsis where it is longer than `room`.
    #[must_use]
    pub fn fit(mut self, room: f64) -> Self {
        self.text = font::fit(&self.text, room, self.size, self.weight);
        self
    }

    /// With its baseline through `(x, y)`.
    #[must_use]
    pub fn at(mut self, x: f64, y: f64) -> Self {
        (self.x, self.y) = (x, y);
        self
    }

    /// With its capitals and digits centred on the height `y`.
    #[must_use]
    pub fn centred(self, x: f64, y: f64) -> Self {
        let baseline = y + self.size * font::CAP_HEIGHT / 2.0;
        self.at(x, baseline)
    }

    /// The characters.
    pub fn content(&self) -> &str {
        &self.text
    }

    /// The measured width along the line.
    pub fn width(&self) -> f64 {
        font::width(&self.text, self.size, self.weight)
    }

    /// How far the beginning lies before the position.
    pub(super) fn lead(&self) -> f64 {
        match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => self.width() / 2.0,
            Anchor::End => self.width(),
        }
    }

    /// The box from the top of the capitals to the foot of letters such as `g`.
    pub fn bounds(&self) -> Rect {
        let (up, down) = (self.size * font::CAP_HEIGHT, self.size * font::DESCENT);
        if self.upwards {
            Rect::new(self.x - up, self.y + self.lead() - self.width(), up + down, self.width())
        } else {
            Rect::new(self.x - self.lead(), self.y - up, self.width(), up + down)
        }
    }
}

/// A small raster that is shown in a scene, its pixels as sharp squares.
#[derive(Debug, Clone, PartialEq)]
pub struct Bitmap {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Rows from the top, three bytes a pixel.
    pub(super) rgb: Vec<u8>,
}

/// A shape of a scene.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// A rectangle, filled.
    Fill(Rect, Paint),
    /// The edge of a rectangle.
    Outline(Rect, Stroke),
    /// A line through the points.
    Line(Vec<(f64, f64)>, Stroke),
    /// A closed polygon, filled.
    Polygon(Vec<(f64, f64)>, Paint),
    /// A disc: centre, radius, filling, edge.
    Circle((f64, f64), f64, Paint, Stroke),
    /// A line of text.
    Text(Text),
    /// A raster stretched over a rectangle.
    Image(Rect, Bitmap),
}

/// A picture: its size, what it is called, what it tells, and its shapes.
///
/// ```
/// use striate::visual::{Paint, Scene, Stroke, Text};
/// let mut scene = Scene::new(120.0, 40.0, "A line", "A line from left to right.");
/// scene.line((10.0, 30.0), (110.0, 30.0), Stroke::new(Paint::Series(0), 2.0));
/// scene.text(Text::new("x → y").at(10.0, 20.0));
/// assert!(scene.to_svg().contains("x → y"));
/// assert_eq!(&scene.to_png(2.0)?[1..4], b"PNG");
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) shapes: Vec<Shape>,
}

impl Scene {
    /// An empty page; the title and the description are for readers who cannot see it.
    pub fn new(width: f64, height: f64, title: impl Into<String>, description: impl Into<String>) -> Self {
        Self { width, height, title: title.into(), description: description.into(), shapes: Vec::new() }
    }

    /// The page.
    pub fn page(&self) -> Rect {
        Rect::new(0.0, 0.0, self.width, self.height)
    }

    /// The shapes in the order of drawing.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The texts in the order of drawing.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        self.shapes.iter().filter_map(|shape| match shape {
            Shape::Text(text) => Some(text),
            _ => None,
        })
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, rect: Rect, paint: Paint) {
        self.shapes.push(Shape::Fill(rect, paint));
    }

    /// Draws the edge of a rectangle.
    pub fn outline(&mut self, rect: Rect, stroke: Stroke) {
        self.shapes.push(Shape::Outline(rect, stroke));
    }

    /// Draws a line between two points.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        self.polyline(vec![from, to], stroke);
    }

    /// Draws a line through points; fewer than two draw nothing.
    pub fn polyline(&mut self, points: Vec<(f64, f64)>, stroke: Stroke) {
        if points.len() >= 2 {
            self.shapes.push(Shape::Line(points, stroke));
        }
    }

    /// Fills a polygon; fewer than three corners draw nothing.
    pub fn polygon(&mut self, points: Vec<(f64, f64)>, paint: Paint) {
        if points.len() >= 3 {
            self.shapes.push(Shape::Polygon(points, paint));
        }
    }

    /// Draws a disc with an edge.
    pub fn circle(&mut self, centre: (f64, f64), radius: f64, paint: Paint, edge: Stroke) {
        self.shapes.push(Shape::Circle(centre, radius, paint, edge));
    }

    /// Writes a line of text; an empty one writes nothing.
    pub fn text(&mut self, text: Text) {
        if !text.text.is_empty() {
            self.shapes.push(Shape::Text(text));
        }
    }

    /// Shows a raster of `width` columns, three bytes a pixel, rows from the top, over a rectangle.
    ///
    /// Its height is what the bytes fill; bytes that make no whole row are left out.
    pub fn image(&mut self, rect: Rect, width: usize, mut rgb: Vec<u8>) {
        let height = if width == 0 { 0 } else { rgb.len() / (3 * width) };
        rgb.truncate(3 * width * height);
        if height > 0 {
            self.shapes.push(Shape::Image(rect, Bitmap { width, height, rgb }));
        }
    }
}
