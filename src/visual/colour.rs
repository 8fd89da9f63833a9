//! Colours: plain RGB, the palette of the lines, colour maps for heat maps, and
//! the colours of text and frames, which have a light and a dark form.
//!
//! A line must be told from its neighbour by someone who sees no red or no
//! green, so the palette is Okabe and Ito's, and every line differs in dash and
//! marker too. The maps rise evenly in lightness, so they survive grey printing.

use std::fmt;

use super::scene::{Anchor, Rect, Scene, Stroke, Text};

/// An sRGB colour, one byte each for red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// The colour of `0xRRGGBB`.
    pub const fn hex(rgb: u32) -> Self {
        Self((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
    }

    /// The relative luminance: 0 for black, 1 for white.
    ///
    /// Source: WCAG 2.2, "relative luminance".
    pub fn luminance(self) -> f64 {
        let linear = |c: u8| {
            let c = f64::from(c) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { libm::pow((c + 0.055) / 1.055, 2.4) }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }

    /// The contrast ratio with another colour, from 1 (the same) to 21.
    ///
    /// Source: WCAG 2.2, "contrast ratio".
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Black or white, whichever reads better on this colour.
    pub fn text_on(self) -> Self {
        if self.contrast(Self(0, 0, 0)) > self.contrast(Self(255, 255, 255)) {
            Self(0, 0, 0)
        } else {
            Self(255, 255, 255)
        }
    }

    /// The mixture `(1 - t) * self + t * other`, for `t` from 0 to 1.
    pub fn mix(self, other: Self, t: f64) -> Self {
        let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * t).round() as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

/// What a shape is painted with.
///
/// All but [`Paint::Solid`] have a dark form, which an SVG takes on when its
/// reader asks for dark pages; a PNG is always light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// The page.
    Page,
    /// Text that is to be read first.
    Ink,
    /// Text that explains.
    Muted,
    /// Lines behind the data.
    Grid,
    /// Axes and frames.
    Frame,
    /// The colour of series `i`; the palette starts again after [`PALETTE`] is used up.
    Series(usize),
    /// The colour of series `i`, so pale that ink can be read on it.
    Tint(usize),
    /// One colour in both forms.
    Solid(Colour),
}

impl Paint {
    /// The paints that have a class of their own in an SVG.
    pub(super) fn themed() -> impl Iterator<Item = Self> {
        let series = (0..PALETTE.len()).map(Self::Series);
        let tints = (0..PALETTE.len()).map(Self::Tint);
        [Self::Page, Self::Ink, Self::Muted, Self::Grid, Self::Frame].into_iter().chain(series).chain(tints)
    }

    /// The colour on a light page.
    pub fn light(self) -> Colour {
        match self {
            Self::Page => Colour::hex(0xffffff),
            Self::Ink => Colour::hex(0x1c2128),
            Self::Muted => Colour::hex(0x5a6470),
            Self::Grid => Colour::hex(0xe6e9ed),
            Self::Frame => Colour::hex(0x98a1ab),
            Self::Series(i) => PALETTE[i % PALETTE.len()].0,
            Self::Tint(i) => Self::Series(i).light().mix(Self::Page.light(), 0.74),
            Self::Solid(colour) => colour,
        }
    }

    /// The colour on a dark page.
    pub fn dark(self) -> Colour {
        match self {
            Self::Page => Colour::hex(0x14181d),
            Self::Ink => Colour::hex(0xe8ecf0),
            Self::Muted => Colour::hex(0xa3adb8),
            Self::Grid => Colour::hex(0x2b323a),
            Self::Frame => Colour::hex(0x66707b),
            Self::Series(i) => PALETTE[i % PALETTE.len()].1,
            Self::Tint(i) => Self::Series(i).dark().mix(Self::Page.dark(), 0.7),
            Self::Solid(colour) => colour,
        }
    }

    /// The class name in an SVG, without its `f-` (fill) or `s-` (stroke).
    pub(super) fn class(self) -> Option<String> {
        Some(match self {
            Self::Page => "page".into(),
            Self::Ink => "ink".into(),
            Self::Muted => "muted".into(),
            Self::Grid => "grid".into(),
            Self::Frame => "frame".into(),
            Self::Series(i) => format!("c{}", i % PALETTE.len()),
            Self::Tint(i) => format!("t{}", i % PALETTE.len()),
            Self::Solid(_) => return None,
        })
    }
}

/// The colours of lines, on a light page and on a dark one, in the order of use.
///
/// Source: Okabe and Ito, "Color Universal Design" (2008), without its yellow,
/// which is too pale on white; on a dark page blue and black are lightened.
pub const PALETTE: [(Colour, Colour); 7] = [
    (Colour::hex(0x0072b2), Colour::hex(0x4aa3df)),
    (Colour::hex(0xd55e00), Colour::hex(0xe8752a)),
    (Colour::hex(0x009e73), Colour::hex(0x1fb88c)),
    (Colour::hex(0xcc79a7), Colour::hex(0xd58bb4)),
    (Colour::hex(0xe69f00), Colour::hex(0xe69f00)),
    (Colour::hex(0x56b4e9), Colour::hex(0x8accf2)),
    (Colour::hex(0x333333), Colour::hex(0xc8c8c8)),
];

/// A map from 0..=1 to colours, given by evenly spaced anchors between which it is linear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColourMap {
    name: &'static str,
    anchors: &'static [u32],
}

impl ColourMap {
    /// Dark violet to yellow. Source: van der Walt and Smith, matplotlib 2.0 (2015), CC0.
    pub const VIRIDIS: Self = Self {
        name: "viridis",
        anchors: &[0x440154, 0x482878, 0x3e4a89, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6dcd59, 0xb4de2c, 0xfde725],
    };
    /// Dark blue to yellow, made for colour-blind eyes. Source: Nunez, Anderton and Renslow (2018),
    /// doi:10.1371/journal.pone.0199239.
    pub const CIVIDIS: Self = Self {
        name: "cividis",
        anchors: &[0x00204d, 0x00336f, 0x39486b, 0x575c6d, 0x707173, 0x8a8779, 0xa69d75, 0xc4b56c, 0xe4cf5b, 0xffea46],
    };
    /// White to dark blue; its low end is the page. Source: Brewer and Harrower, ColorBrewer 2 "Blues".
    pub const BLUES: Self = Self {
        name: "blues",
        anchors: &[0xf7fbff, 0xdeebf7, 0xc6dbef, 0x9ecae1, 0x6baed6, 0x4292c6, 0x2171b5, 0x08519c, 0x08306b],
    };
    /// Blue through white to red, for values with a sign: 0.5 stands for zero.
    /// Source: Brewer and Harrower, ColorBrewer 2 "RdBu", turned round.
    pub const SIGNED: Self = Self {
        name: "signed",
        anchors: &[
            0x053061, 0x2166ac, 0x4393c3, 0x92c5de, 0xd1e5f0, 0xf7f7f7, 0xfddbc7, 0xf4a582, 0xd6604d, 0xb2182b,
            0x67001f,
        ],
    };
    /// Black to white.
    pub const GREYS: Self = Self { name: "greys", anchors: &[0x000000, 0xffffff] };

    /// The name of the map.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The colour of `t`, which is held to 0..=1; NaN gets the colour of 0.
    ///
    /// ```
    /// use striate::visual::{Colour, ColourMap};
    /// assert_eq!(ColourMap::VIRIDIS.at(0.0), Colour(0x44, 0x01, 0x54));
    /// assert_eq!(ColourMap::GREYS.at(0.5), Colour(128, 128, 128));
    /// ```
    pub fn at(&self, t: f64) -> Colour {
        let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
        let position = t * (self.anchors.len() - 1) as f64;
        let low = (position as usize).min(self.anchors.len() - 2);
        Colour::hex(self.anchors[low]).mix(Colour::hex(self.anchors[low + 1]), position - low as f64)
    }
}

/// What a colour bar shows: a map, marks from 0 to 1 along it, and what it measures.
#[derive(Debug, Clone)]
pub struct ColourBar {
    /// The map.
    pub map: ColourMap,
    /// Marks: where along the bar, and the text beside it; from the low end up.
    pub marks: Vec<(f64, String)>,
    /// What the colours measure; written upwards along the bar.
    pub label: String,
}

impl ColourBar {
    const STEPS: usize = 64;
    const SIZE: f64 = 11.0;

    /// Draws the bar into `frame`, low end at the bottom, marks and label to its right.
    pub fn draw(&self, scene: &mut Scene, frame: Rect) {
        let step = frame.h / Self::STEPS as f64;
        for i in 0..Self::STEPS {
            let colour = self.map.at((i as f64 + 0.5) / Self::STEPS as f64);
            let top = frame.bottom() - (i + 1) as f64 * step;
            // Strips overlap by a little, so that no seam shows between them.
            let height = if i == 0 { step } else { step + 0.4 };
            scene.fill(Rect::new(frame.x, top, frame.w, height), Paint::Solid(colour));
        }
        scene.outline(frame, Stroke::new(Paint::Frame, 1.0));
        for (at, text) in &self.marks {
            let y = frame.bottom() - at * frame.h;
            scene.line((frame.right(), y), (frame.right() + 4.0, y), Stroke::new(Paint::Frame, 1.0));
            scene.text(Text::new(text).size(Self::SIZE).paint(Paint::Muted).centred(frame.right() + 7.0, y));
        }
        let x = frame.right() + self.width() - frame.w - Self::SIZE * 0.3;
        let label = Text::new(&self.label).size(Self::SIZE).paint(Paint::Muted).anchor(Anchor::Middle).upwards();
        scene.text(label.at(x, frame.y + frame.h / 2.0));
    }

    /// The width that a bar of 14 units needs with its marks and its label.
    pub fn width(&self) -> f64 {
        let widest = self.marks.iter().map(|(_, t)| Text::new(t).size(Self::SIZE).width()).fold(0.0, f64::max);
        Self::THICKNESS + 7.0 + widest + 8.0 + Self::SIZE
    }

    /// The thickness of a bar.
    pub const THICKNESS: f64 = 14.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_start_and_end_at_their_anchors() {
        for map in [ColourMap::VIRIDIS, ColourMap::CIVIDIS, ColourMap::BLUES, ColourMap::SIGNED, ColourMap::GREYS] {
            assert_eq!(map.at(-1.0), Colour::hex(map.anchors[0]));
            assert_eq!(map.at(2.0), Colour::hex(*map.anchors.last().unwrap()));
            assert_eq!(map.at(f64::NAN), map.at(0.0));
        }
    }

    #[test]
    fn sequential_maps_change_lightness_one_way() {
        for map in [ColourMap::VIRIDIS, ColourMap::CIVIDIS, ColourMap::BLUES, ColourMap::GREYS] {
            let light: Vec<f64> = (0..=50).map(|i| map.at(f64::from(i) / 50.0).luminance()).collect();
            let rising = light.windows(2).all(|w| w[1] >= w[0]);
            let falling = light.windows(2).all(|w| w[1] <= w[0]);
            assert!(rising || falling, "{}", map.name());
        }
    }

    #[test]
    fn text_reads_on_every_colour_of_every_map() {
        for map in [ColourMap::VIRIDIS, ColourMap::CIVIDIS, ColourMap::BLUES, ColourMap::SIGNED, ColourMap::GREYS] {
            for i in 0..=100 {
                let back = map.at(f64::from(i) / 100.0);
                assert!(back.contrast(back.text_on()) >= 4.5, "{} at {i} %", map.name());
            }
        }
    }

    #[test]
    fn words_and_lines_stand_out_on_both_pages() {
        let contrast = |p: Paint| p.light().contrast(Paint::Page.light()).min(p.dark().contrast(Paint::Page.dark()));
        assert!(contrast(Paint::Ink) > 12.0);
        assert!(contrast(Paint::Muted) > 5.0);
        for i in 0..4 {
            assert!(contrast(Paint::Series(i)) >= 2.9, "series {i}: {}", contrast(Paint::Series(i)));
        }
    }

    #[test]
    fn ink_reads_on_every_tint() {
        for i in 0..PALETTE.len() {
            let [ink, tint] = [Paint::Ink, Paint::Tint(i)];
            let least = ink.light().contrast(tint.light()).min(ink.dark().contrast(tint.dark()));
            assert!(least >= 7.0, "tint {i}: {least}");
        }
    }
}
