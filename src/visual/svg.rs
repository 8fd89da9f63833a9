//! A scene as an SVG document.
//!
//! Each shape becomes one element that carries its light colours as attributes,
//! which every program understands; a style sheet gives the dark ones to those
//! that ask for them. Text stays text, with its measured width, so that it can
//! be searched and read aloud, and keeps its place in another typeface.
//!
//! Source: W3C, "Scalable Vector Graphics (SVG) 1.1" and "CSS Media Queries 5",
//! prefers-color-scheme.

use std::fmt::Write;

use super::colour::Paint;
use super::font::{self, Weight};
use super::raster;
use super::scene::{Anchor, Bitmap, Rect, Scene, Shape, Stroke, Text};

impl Scene {
    /// The scene as an SVG document.
    pub fn to_svg(&self) -> String {
        let mut out = head(self, "");
        for item in &self.shapes {
            shape(&mut out, item);
        }
        out.push_str("</svg>\n");
        out
    }

    /// The scene as an element of an HTML page, its colours those of [`super::theme`].
    ///
    /// `id` is what the ids in it begin with, since they must differ in the whole page.
    pub fn to_inline_svg(&self, id: &str) -> String {
        let mut out = String::new();
        let (w, h) = (num(self.width), num(self.height));
        let family = font::FAMILY;
        let _ = writeln!(
            out,
            "<svg width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" font-family=\"{family}\">"
        );
        let _ = writeln!(out, "<title id=\"{id}-title\">{}</title>", escape(&self.title));
        let _ = writeln!(out, "<desc id=\"{id}-desc\">{}</desc>", escape(&self.description));
        for item in &self.shapes {
            shape(&mut out, item);
        }
        out.push_str("</svg>");
        out
    }
}

impl Bitmap {
    /// The bitmap as a PNG, written as an address that needs no file.
    pub fn data_uri(&self) -> String {
        format!("data:image/png;base64,{}", base64(&raster::encode_bitmap(self)))
    }
}

/// The document up to the first shape of the scene: its page is drawn, `rules` are added to the style sheet.
pub(super) fn head(scene: &Scene, rules: &str) -> String {
    let mut out = String::new();
    let (w, h) = (num(scene.width), num(scene.height));
    let family = font::FAMILY;
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"{w}\" height=\"{h}\" \
         viewBox=\"0 0 {w} {h}\" role=\"img\" aria-labelledby=\"title desc\" font-family=\"{family}\">"
    );
    let _ = writeln!(out, "<title id=\"title\">{}</title>", escape(&scene.title));
    let _ = writeln!(out, "<desc id=\"desc\">{}</desc>", escape(&scene.description));
    out.push_str(&style_sheet(rules));
    shape(&mut out, &Shape::Fill(scene.page(), Paint::Page));
    out
}

fn style_sheet(rules: &str) -> String {
    let mut out = String::from("<style>text{font-kerning:none;white-space:pre}@media (prefers-color-scheme:dark){");
    for paint in Paint::themed() {
        let (Some(class), dark) = (paint.class(), paint.dark()) else { continue };
        let _ = write!(out, ".f-{class}{{fill:{dark}}}.s-{class}{{stroke:{dark}}}");
    }
    let _ = writeln!(out, "}}{rules}</style>");
    out
}

/// Adds the element of a shape.
pub(super) fn shape(out: &mut String, shape: &Shape) {
    let _ = match shape {
        Shape::Fill(r, paint) => writeln!(out, "<rect {}{}/>", place(r), attributes(Some(*paint), None)),
        Shape::Outline(r, stroke) => writeln!(out, "<rect {}{}/>", place(r), attributes(None, Some(stroke))),
        Shape::Line(points, stroke) => {
            let look = attributes(None, Some(stroke));
            writeln!(out, "<polyline points=\"{}\" stroke-linejoin=\"round\"{look}/>", list(points))
        }
        Shape::Polygon(points, paint) => {
            writeln!(out, "<polygon points=\"{}\"{}/>", list(points), attributes(Some(*paint), None))
        }
        Shape::Circle((x, y), radius, paint, edge) => {
            let look = attributes(Some(*paint), Some(edge));
            writeln!(out, "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{look}/>", num(*x), num(*y), num(*radius))
        }
        Shape::Text(text) => write_text(out, text),
        Shape::Image(rect, bitmap) => image(out, rect, bitmap),
    };
}

fn write_text(out: &mut String, text: &Text) -> std::fmt::Result {
    let (x, y) = (num(text.x), num(text.y));
    let _ = write!(out, "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\"", num(text.size));
    if text.weight == Weight::SemiBold {
        out.push_str(" font-weight=\"600\"");
    }
    match text.anchor {
        Anchor::Start => {}
        Anchor::Middle => out.push_str(" text-anchor=\"middle\""),
        Anchor::End => out.push_str(" text-anchor=\"end\""),
    }
    if text.upwards {
        let _ = write!(out, " transform=\"rotate(-90 {x} {y})\"");
    }
    let width = num(text.width());
    let look = attributes(Some(text.paint), None);
    let content = escape(&text.text);
    writeln!(out, " textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\"{look}>{content}</text>")
}

fn image(out: &mut String, rect: &Rect, bitmap: &Bitmap) -> std::fmt::Result {
    let data = bitmap.data_uri();
    let sharp = "image-rendering:optimizeSpeed;image-rendering:pixelated";
    writeln!(out, "<image {} preserveAspectRatio=\"none\" style=\"{sharp}\" xlink:href=\"{data}\"/>", place(rect))
}

fn place(r: &Rect) -> String {
    format!("x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", num(r.x), num(r.y), num(r.w), num(r.h))
}

fn list(points: &[(f64, f64)]) -> String {
    let mut out = String::with_capacity(points.len() * 14);
    for (i, (x, y)) in points.iter().enumerate() {
        let gap = if i == 0 { "" } else { " " };
        let _ = write!(out, "{gap}{},{}", num(*x), num(*y));
    }
    out
}

fn attributes(fill: Option<Paint>, stroke: Option<&Stroke>) -> String {
    let mut out = match fill {
        Some(paint) => format!(" fill=\"{}\"", paint.light()),
        None => String::from(" fill=\"none\""),
    };
    if let Some(s) = stroke {
        let _ = write!(out, " stroke=\"{}\" stroke-width=\"{}\"", s.paint.light(), num(s.width));
        if !s.dash.is_empty() {
            let dashes: Vec<String> = s.dash.iter().map(|d| num(*d)).collect();
            let _ = write!(out, " stroke-dasharray=\"{}\"", dashes.join(" "));
        }
        if s.opacity < 1.0 {
            let _ = write!(out, " stroke-opacity=\"{}\"", num(s.opacity));
        }
    }
    let fill_class = fill.and_then(Paint::class).map(|c| format!("f-{c}"));
    let stroke_class = stroke.and_then(|s| s.paint.class()).map(|c| format!("s-{c}"));
    let classes: Vec<String> = fill_class.into_iter().chain(stroke_class).collect();
    if !classes.is_empty() {
        let _ = write!(out, " class=\"{}\"", classes.join(" "));
    }
    out
}

/// A coordinate with at most two decimals.
pub(super) fn num(v: f64) -> String {
    let text = format!("{v:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// The text with what XML reserves written as references, and what it forbids replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Source: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |w, i| w << 8 | u32::from(*three.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_rfc_vectors() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b & \"c\">\u{1}"), "a&lt;b &amp; &quot;c&quot;&gt;\u{fffd}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([num(1.0), num(-0.001), num(2.5), num(0.126), num(100.0)], ["1", "0", "2.5", "0.13", "100"]);
    }
}
