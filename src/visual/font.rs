//! The one typeface: Inter, embedded, in two weights.
//!
//! A picture is laid out by what these glyphs measure, and a PNG is drawn with
//! them. An SVG leaves the text as text and tells its reader the measured width
//! of each piece, so a page with another typeface keeps the same layout.
//!
//! Kerning and ligatures are left out: labels are short, and without them a
//! text is exactly as wide as the sum of its advances.

use std::sync::OnceLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// The weight of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weight {
    /// 400.
    #[default]
    Regular,
    /// 600.
    SemiBold,
}

/// The height of a capital letter, as a share of the size.
pub const CAP_HEIGHT: f64 = 0.727;
/// How far a letter such as `g` hangs below the baseline, as a share of the size.
pub const DESCENT: f64 = 0.21;
/// The family names that an SVG asks for, best first.
pub const FAMILY: &str = "Inter, 'Helvetica Neue', Arial, 'Noto Sans', 'DejaVu Sans', sans-serif";

/// The width of a line of text.
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let face = face(weight);
    let advance = |c| f64::from(face.glyph_hor_advance(glyph(face, c)).unwrap_or(0));
    text.chars().map(advance).sum::<f64>() * size / f64::from(face.units_per_em())
}

/// The text itself if it fits into `room`, else its beginning and an ellipsis.
pub fn fit(text: &str, room: f64, size: f64, weight: Weight) -> String {
    if width(text, size, weight) <= room {
        return text.to_string();
    }
    let mut head: String = text.to_string();
    while head.pop().is_some() {
        let short = format!("{}\u{2026}", head.trim_end());
        if width(&short, size, weight) <= room {
            return short;
        }
    }
    String::new()
}

/// Calls `draw` for the outline of each glyph with its offset to the right, in units of the size.
pub(super) fn outlines(text: &str, weight: Weight, mut draw: impl FnMut(&mut dyn FnMut(&mut dyn OutlineBuilder), f64)) {
    let face = face(weight);
    let em = f64::from(face.units_per_em());
    let mut x = 0.0;
    for c in text.chars() {
        let id = glyph(face, c);
        draw(
            &mut |sink| {
                // A blank has no outline.
                face.outline_glyph(id, sink);
            },
            x / em,
        );
        x += f64::from(face.glyph_hor_advance(id).unwrap_or(0));
    }
}

/// The number of font units in one em.
pub(super) fn units_per_em(weight: Weight) -> f64 {
    f64::from(face(weight).units_per_em())
}

// A letter that the typeface lacks is drawn as its empty box, glyph 0.
fn glyph(face: &Face<'_>, c: char) -> GlyphId {
    face.glyph_index(c).unwrap_or(GlyphId(0))
}

fn face(weight: Weight) -> &'static Face<'static> {
    static REGULAR: OnceLock<Face<'static>> = OnceLock::new();
    static SEMI_BOLD: OnceLock<Face<'static>> = OnceLock::new();
    let (cell, bytes): (_, &'static [u8]) = match weight {
        Weight::Regular => (&REGULAR, include_bytes!("font/Inter-Regular.otf")),
        Weight::SemiBold => (&SEMI_BOLD, include_bytes!("font/Inter-SemiBold.otf")),
    };
    cell.get_or_init(|| Face::parse(bytes, 0).expect("the embedded typeface is sound; a test parses it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_weights_parse_and_have_what_the_labels_need() {
        for weight in [Weight::Regular, Weight::SemiBold] {
            let face = face(weight);
            for c in "aZ09 .,%()[]−×÷±≤≥≈→←…–—·•°²³⁰⁻⁹₀éüñçßŁαβγεηλμσΔΣ∞√✓✗".chars()
            {
                assert!(face.glyph_index(c).is_some(), "{c:?}");
            }
        }
    }

    #[test]
    fn width_is_additive_and_grows_with_the_size() {
        let w = |t: &str| width(t, 10.0, Weight::Regular);
        assert!((w("loss") - w("lo") - w("ss")).abs() < 1e-9);
        assert!((width("loss", 20.0, Weight::Regular) - 2.0 * w("loss")).abs() < 1e-9);
        assert!(width("loss", 10.0, Weight::SemiBold) > w("loss"));
    }

    #[test]
    fn long_text_is_cut_to_its_room() {
        let cut = fit("a very long name of a series", 60.0, 12.0, Weight::Regular);
        assert!(cut.ends_with('…') && width(&cut, 12.0, Weight::Regular) <= 60.0);
        assert_eq!(fit("short", 60.0, 12.0, Weight::Regular), "short");
        assert_eq!(fit("short", 1.0, 12.0, Weight::Regular), "");
    }

    #[test]
    fn cap_height_is_the_one_of_the_face() {
        let face = face(Weight::Regular);
        let cap = f64::from(face.capital_height().unwrap()) / f64::from(face.units_per_em());
        assert!((cap - CAP_HEIGHT).abs() < 0.002, "{cap}");
    }
}
