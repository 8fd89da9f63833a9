//! A scene as a PNG: the shapes are filled with smooth edges, glyphs by their outlines.

use tiny_skia::{
    Color, FillRule, FilterQuality, LineCap, LineJoin, Paint as SkiaPaint, Path, PathBuilder, Pixmap, PixmapPaint,
    StrokeDash, Transform,
};
use ttf_parser::OutlineBuilder;

use super::colour::{Colour, Paint};
use super::font;
use super::scene::{Bitmap, Rect, Scene, Shape, Stroke, Text};
use crate::error::{Error, Result};

/// More pixels than this on a side are refused.
const LARGEST_SIDE: f64 = 16_384.0;
/// Pixels of a metre at 96 to the inch, the size of a CSS pixel.
const PER_METRE: f64 = 96.0 / 0.0254;

impl Scene {
    /// The scene as a PNG with `scale` pixels to the unit, on a light page.
    ///
    /// # Errors
    ///
    /// A picture that would have no pixel, or more than 16,384 on a side.
    pub fn to_png(&self, scale: f64) -> Result<Vec<u8>> {
        Canvas::of(self, scale)?.encode(self, scale)
    }

    /// Width, height, and three bytes for each pixel.
    ///
    /// # Errors
    ///
    /// As [`Scene::to_png`].
    pub(super) fn to_rgb(&self, scale: f64) -> Result<([usize; 2], Vec<u8>)> {
        let canvas = Canvas::of(self, scale)?;
        Ok(([canvas.pixels.width() as usize, canvas.pixels.height() as usize], canvas.rgb()))
    }
}

struct Canvas {
    pixels: Pixmap,
    scale: Transform,
}

impl Canvas {
    fn of(scene: &Scene, scale: f64) -> Result<Self> {
        let mut canvas = Self::new(scene, scale)?;
        for shape in &scene.shapes {
            canvas.shape(shape);
        }
        Ok(canvas)
    }

    fn new(scene: &Scene, scale: f64) -> Result<Self> {
        let (w, h) = ((scene.width * scale).round(), (scene.height * scale).round());
        let allowed = 1.0..=LARGEST_SIDE;
        let pixels = (allowed.contains(&w) && allowed.contains(&h)).then(|| Pixmap::new(w as u32, h as u32)).flatten();
        let mut pixels = pixels.ok_or_else(|| {
            Error::argument(format!("a picture of {w} x {h} pixels cannot be made"))
                .with_help(format!("each side must have 1 to {LARGEST_SIDE} pixels; the scale is {scale}"))
        })?;
        let Colour(r, g, b) = Paint::Page.light();
        pixels.fill(Color::from_rgba8(r, g, b, 255));
        Ok(Self { pixels, scale: Transform::from_scale(scale as f32, scale as f32) })
    }

    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Fill(r, paint) => self.fill(rectangle(r), paint.light()),
            Shape::Outline(r, stroke) => self.stroke(rectangle(r), stroke),
            Shape::Line(points, stroke) => self.stroke(through(points, false), stroke),
            Shape::Polygon(points, paint) => self.fill(through(points, true), paint.light()),
            Shape::Circle((x, y), radius, paint, edge) => {
                let disc = PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32);
                self.fill(disc.clone(), paint.light());
                self.stroke(disc, edge);
            }
            Shape::Text(text) => self.fill(glyphs(text), text.paint.light()),
            Shape::Image(rect, bitmap) => self.image(rect, bitmap),
        }
    }

    // A path that is `None` has no area, or coordinates that are not numbers: nothing to draw.
    fn fill(&mut self, path: Option<Path>, colour: Colour) {
        if let Some(path) = path {
            self.pixels.fill_path(&path, &paint(colour, 1.0), FillRule::Winding, self.scale, None);
        }
    }

    fn stroke(&mut self, path: Option<Path>, stroke: &Stroke) {
        let dash = stroke.dash.iter().map(|d| *d as f32).collect::<Vec<f32>>();
        let look = tiny_skia::Stroke {
            width: stroke.width as f32,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            dash: if dash.is_empty() { None } else { StrokeDash::new(dash, 0.0) },
            ..Default::default()
        };
        if let Some(path) = path.filter(|_| stroke.width > 0.0) {
            self.pixels.stroke_path(&path, &paint(stroke.paint.light(), stroke.opacity), &look, self.scale, None);
        }
    }

    fn image(&mut self, rect: &Rect, bitmap: &Bitmap) {
        let (w, h) = (bitmap.width as u32, bitmap.height as u32);
        let Some(mut source) = Pixmap::new(w, h) else { return };
        for (to, from) in source.data_mut().chunks_exact_mut(4).zip(bitmap.rgb.chunks_exact(3)) {
            to.copy_from_slice(&[from[0], from[1], from[2], 255]);
        }
        let stretch = Transform::from_scale((rect.w / f64::from(w)) as f32, (rect.h / f64::from(h)) as f32);
        let place = stretch.post_translate(rect.x as f32, rect.y as f32).post_concat(self.scale);
        let look = PixmapPaint { quality: FilterQuality::Nearest, ..Default::default() };
        self.pixels.draw_pixmap(0, 0, source.as_ref(), &look, place, None);
    }

    // The page is opaque, so the fourth byte of each pixel says nothing.
    fn rgb(&self) -> Vec<u8> {
        self.pixels.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect()
    }

    fn encode(&self, scene: &Scene, scale: f64) -> Result<Vec<u8>> {
        let rgb = self.rgb();
        let dots = (PER_METRE * scale).round() as u32;
        let words = [("Title", scene.title.as_str()), ("Description", scene.description.as_str())];
        encode(&rgb, self.pixels.width(), self.pixels.height(), Some(dots), &words)
            .map_err(|e| Error::argument(format!("the picture cannot be written as PNG: {e}")))
    }
}

/// A bitmap as a PNG of its own, to stand inside an SVG.
pub(super) fn encode_bitmap(bitmap: &Bitmap) -> Vec<u8> {
    // The size is at least 1 x 1 and fits the bytes, so writing to memory cannot fail.
    encode(&bitmap.rgb, bitmap.width as u32, bitmap.height as u32, None, &[]).unwrap_or_default()
}

fn encode(
    rgb: &[u8],
    width: u32,
    height: u32,
    dots: Option<u32>,
    words: &[(&str, &str)],
) -> Result<Vec<u8>, png::EncodingError> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_pixel_dims(dots.map(|d| png::PixelDimensions { xppu: d, yppu: d, unit: png::Unit::Meter }));
    for (key, value) in words.iter().filter(|(_, value)| !value.is_empty()) {
        encoder.add_itxt_chunk((*key).to_string(), value.replace('\0', " "))?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(out)
}

fn paint(colour: Colour, opacity: f64) -> SkiaPaint<'static> {
    let alpha = (opacity.clamp(0.0, 1.0) * 255.0).round() as u8;
    let mut paint = SkiaPaint { anti_alias: true, ..Default::default() };
    paint.set_color(Color::from_rgba8(colour.0, colour.1, colour.2, alpha));
    paint
}

fn rectangle(r: &Rect) -> Option<Path> {
    tiny_skia::Rect::from_xywh(r.x as f32, r.y as f32, r.w as f32, r.h as f32).map(PathBuilder::from_rect)
}

fn through(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        if i == 0 { path.move_to(x as f32, y as f32) } else { path.line_to(x as f32, y as f32) }
    }
    if closed {
        path.close();
    }
    path.finish()
}

fn glyphs(text: &Text) -> Option<Path> {
    let mut path = PathBuilder::new();
    let unit = text.size / font::units_per_em(text.weight);
    font::outlines(&text.text, text.weight, |outline, offset| {
        let along = offset * text.size - text.lead();
        outline(&mut Pen { path: &mut path, text, unit, along });
    });
    path.finish()
}

/// Takes an outline in font units, y up, to its place in the scene.
struct Pen<'a> {
    path: &'a mut PathBuilder,
    text: &'a Text,
    unit: f64,
    along: f64,
}

impl Pen<'_> {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        let (right, up) = (self.along + f64::from(x) * self.unit, f64::from(y) * self.unit);
        let (dx, dy) = if self.text.upwards { (-up, -right) } else { (right, -up) };
        ((self.text.x + dx) as f32, (self.text.y + dy) as f32)
    }
}

impl OutlineBuilder for Pen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
