//! Animations: scenes one after the other, as an SVG that moves by itself and as a GIF.
//!
//! The SVG holds each shape once, however many frames show it: shapes at the same place of the lists are compared, those
//! of all frames are plain, and the others are shown and hidden by a rule of the style sheet, one for each set of
//! frames. Whoever asks for less motion, or cannot animate, sees the last frame, which has the whole result.
//!
//! The GIF has one palette of 256 colours for all frames, and of each frame only the rectangle that changed. The most
//! frequent colours are kept as they are; the others are cut into boxes, each of which becomes its mean.
//!
//! Source: CompuServe, "Graphics Interchange Format, Version 89a" (1990); W3C, "CSS Animations Level 1"; Heckbert, "Color
//! image quantization for frame buffer display", 1982, doi:10.1145/800064.801294 (the boxes).

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

use super::palette::Colours;
use super::picture::{PNG_SCALE, Picture, write};
use super::scene::{Scene, Shape};
use super::svg;
use crate::error::{Error, Result};

/// More frames than this are refused.
pub const MOST_FRAMES: usize = 400;
/// Pixels to the unit of a GIF.
const GIF_SCALE: f64 = 1.25;
// The last frame, with the whole result, stands so many times longer.
const HOLD: f64 = 3.0;

/// Scenes of one size, shown one after the other, over and over.
///
/// ```
/// use striate::visual::{Animation, Paint, Rect, Scene};
/// let frame = |x: f64| {
///     let mut scene = Scene::new(60.0, 20.0, "A step", "A square that moves to the right.");
///     scene.fill(Rect::new(x, 5.0, 10.0, 10.0), Paint::Series(0));
///     scene
/// };
/// let animation = Animation::new(vec![frame(5.0), frame(25.0), frame(45.0)], 0.5)?;
/// assert!(animation.svg().contains("@keyframes"));
/// assert_eq!(&animation.gif()?[..6], b"GIF89a");
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Animation {
    frames: Vec<Scene>,
    seconds: f64,
}

impl Animation {
    /// An animation that shows each frame for so many seconds, and the last one longer.
    ///
    /// # Errors
    ///
    /// No frame, more than [`MOST_FRAMES`], pages of several sizes, or a time that is not from 0.02 to 60 seconds.
    pub fn new(frames: Vec<Scene>, seconds: f64) -> Result<Self> {
        let Some(first) = frames.first() else {
            return Err(Error::argument("an animation without frames shows nothing").with_help("give at least one"));
        };
        if frames.len() > MOST_FRAMES {
            return Err(Error::argument(format!("an animation of {} frames is too long to watch", frames.len()))
                .with_help(format!("give at most {MOST_FRAMES}")));
        }
        if let Some(i) = frames.iter().position(|f| f.page() != first.page()) {
            return Err(Error::argument(format!("frame {i} has another size than frame 0"))
                .with_help("make all pages of one size"));
        }
        if !(0.02..=60.0).contains(&seconds) {
            return Err(
                Error::argument(format!("{seconds} seconds a frame cannot be shown")).with_help("give 0.02 to 60")
            );
        }
        Ok(Self { frames, seconds })
    }

    /// Pictures one after the other; see [`Animation::new`].
    ///
    /// # Errors
    ///
    /// As [`Animation::new`].
    pub fn of(pictures: &[Picture], seconds: f64) -> Result<Self> {
        Self::new(pictures.iter().map(|p| p.scene().clone()).collect(), seconds)
    }

    /// The scenes.
    pub fn frames(&self) -> &[Scene] {
        &self.frames
    }

    /// How long a frame is shown.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The animation as an SVG document that moves by itself.
    pub fn svg(&self) -> String {
        let mut sets: Vec<Vec<bool>> = Vec::new();
        let (mut body, mut open) = (String::new(), String::new());
        for (shape, set) in self.shapes() {
            let group = group(&mut sets, &set);
            // Neighbours that come and go together need one group.
            if group != open {
                body.push_str(if open.is_empty() { "" } else { "</g>\n" });
                body.push_str(&group);
                open = group;
            }
            svg::shape(&mut body, shape);
        }
        body.push_str(if open.is_empty() { "" } else { "</g>\n" });
        let mut out = svg::head(&self.frames[0], &self.rules(&sets));
        out.push_str(&body);
        out.push_str("</svg>\n");
        out
    }

    // Each shape with the frames that show it, in an order that keeps what lies on what in every frame.
    fn shapes(&self) -> Vec<(&Shape, Vec<bool>)> {
        let longest = self.frames.iter().map(|f| f.shapes().len()).max().unwrap_or(0);
        let mut all: Vec<(&Shape, Vec<bool>)> = Vec::new();
        for k in 0..longest {
            let start = all.len();
            for (i, frame) in self.frames.iter().enumerate() {
                let Some(shape) = frame.shapes().get(k) else { continue };
                match all[start..].iter_mut().find(|(known, _)| *known == shape) {
                    Some((_, set)) => set[i] = true,
                    None => {
                        let mut set = vec![false; self.frames.len()];
                        set[i] = true;
                        all.push((shape, set));
                    }
                }
            }
        }
        all
    }

    fn rules(&self, sets: &[Vec<bool>]) -> String {
        let count = self.frames.len() as f64 + HOLD - 1.0;
        let mut out = String::new();
        for (id, set) in sets.iter().enumerate() {
            let _ = write!(out, "\n@keyframes k{id}{{");
            for (i, shown) in set.iter().enumerate().filter(|(i, shown)| *i == 0 || set[i - 1] != **shown) {
                let word = if *shown { "visible" } else { "hidden" };
                let _ = write!(out, "{}%{{visibility:{word}}}", svg::num(100.0 * i as f64 / count));
            }
            let _ = write!(out, "}}.k{id}{{animation:k{id} {}s step-end infinite}}", svg::num(self.seconds * count));
        }
        if !sets.is_empty() {
            out.push_str("\n@media (prefers-reduced-motion:reduce),print{g{animation:none!important}}");
        }
        out
    }

    /// The animation as a GIF that starts again after its end, on a light page.
    ///
    /// # Errors
    ///
    /// A picture without pixels, or with more than 16,384 on a side.
    pub fn gif(&self) -> Result<Vec<u8>> {
        let mut pages = Vec::with_capacity(self.frames.len());
        let mut colours = Colours::default();
        let mut size = [0, 0];
        for frame in &self.frames {
            let (of, rgb) = frame.to_rgb(GIF_SCALE)?;
            size = of;
            pages.push(colours.numbered(&rgb));
        }
        let palette = colours.palette();
        let pages: Vec<Vec<u8>> =
            pages.iter().map(|page| page.iter().map(|c| palette.index[*c as usize]).collect()).collect();
        encode(&pages, size, &palette.bytes, self.seconds)
            .map_err(|e| Error::argument(format!("the animation cannot be written as GIF: {e}")))
    }

    /// The last frame as a PNG.
    ///
    /// # Errors
    ///
    /// A picture without pixels, or with more than 16,384 on a side.
    pub fn png(&self) -> Result<Vec<u8>> {
        self.frames[self.frames.len() - 1].to_png(PNG_SCALE)
    }

    /// Writes the animation to a file whose name ends in `.svg` or `.gif`, or its last frame to one in `.png`.
    ///
    /// # Errors
    ///
    /// Another ending, or a file that cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let bytes = match ending.as_deref() {
            Some("svg") => self.svg().into_bytes(),
            Some("gif") => self.gif()?,
            Some("png") => self.png()?,
            _ => {
                return Err(Error::argument(format!("{} names no kind of picture", path.display()))
                    .with_help("end the name in .svg or .gif, or in .png for a picture that does not move"));
            }
        };
        write(path, &bytes)
    }
}

// The beginning of the group of shapes that these frames show; nothing for all frames.
fn group(sets: &mut Vec<Vec<bool>>, set: &[bool]) -> String {
    if set.iter().all(|shown| *shown) {
        return String::new();
    }
    let id = sets.iter().position(|s| s == set).unwrap_or_else(|| {
        sets.push(set.to_vec());
        sets.len() - 1
    });
    let hidden = if set.last() == Some(&true) { "" } else { " visibility=\"hidden\"" };
    format!("<g class=\"k{id}\"{hidden}>\n")
}

fn encode(
    pages: &[Vec<u8>],
    [width, height]: [usize; 2],
    palette: &[u8],
    seconds: f64,
) -> Result<Vec<u8>, gif::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, width as u16, height as u16, palette)?;
    encoder.set_repeat(gif::Repeat::Infinite)?;
    for (i, page) in pages.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| pages[i].as_slice());
        let [left, top, right, bottom] = changed(before, page, width);
        let rows = (top..bottom).map(|y| &page[y * width + left..y * width + right]);
        let held = if i + 1 == pages.len() { HOLD } else { 1.0 };
        let frame = gif::Frame {
            delay: (seconds * held * 100.0).round() as u16,
            dispose: gif::DisposalMethod::Keep,
            left: left as u16,
            top: top as u16,
            width: (right - left) as u16,
            height: (bottom - top) as u16,
            buffer: Cow::Owned(rows.collect::<Vec<_>>().concat()),
            ..gif::Frame::default()
        };
        encoder.write_frame(&frame)?;
    }
    drop(encoder);
    Ok(bytes)
}

// The rectangle [left, top, right, bottom) in which a page differs from the one before; one pixel if it does not.
fn changed(before: Option<&[u8]>, page: &[u8], width: usize) -> [usize; 4] {
    let Some(before) = before else { return [0, 0, width, page.len() / width] };
    let mut rect = [width, page.len() / width, 0, 0];
    for (y, (a, b)) in before.chunks_exact(width).zip(page.chunks_exact(width)).enumerate() {
        let differs = |x: &usize| a[*x] != b[*x];
        if let (Some(first), Some(last)) = ((0..width).find(differs), (0..width).rev().find(differs)) {
            rect = [rect[0].min(first), rect[1].min(y), rect[2].max(last + 1), y + 1];
        }
    }
    if rect[2] == 0 { [0, 0, 1, 1] } else { rect }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visual::{Paint, Rect, Text};

    // A square that moves over a still line of text; the second frame has one shape more.
    fn frame(i: usize) -> Scene {
        let mut scene = Scene::new(80.0, 40.0, "Moves", "");
        scene.fill(Rect::new(10.0 * i as f64, 4.0, 10.0, 10.0), Paint::Tint(0));
        scene.text(Text::new("still").at(4.0, 30.0));
        if i == 1 {
            scene.text(Text::new("now").at(40.0, 30.0));
        }
        scene
    }

    fn animation(frames: usize) -> Animation {
        Animation::new((0..frames).map(frame).collect(), 0.5).unwrap()
    }

    #[test]
    fn an_svg_holds_each_shape_once_and_shows_it_in_its_frames() {
        let svg = animation(3).svg();
        let tree = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> = tree.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text()).collect();
        assert_eq!(texts, ["still", "now"]);
        // The square at three places, each in a group of its own; the text that comes with the second shares its rule.
        let groups: Vec<_> = tree.descendants().filter(|n| n.has_tag_name("g")).collect();
        let classes: Vec<&str> = groups.iter().filter_map(|g| g.attribute("class")).collect();
        assert_eq!(classes, ["k0", "k1", "k2", "k1"]);
        // Without animation, the last frame.
        let shown: Vec<&str> = groups
            .iter()
            .filter(|g| g.attribute("visibility").is_none())
            .filter_map(|g| g.attribute("class"))
            .collect();
        assert_eq!(shown, ["k2"]);
        assert!(
            svg.contains("@keyframes k1{0%{visibility:hidden}20%{visibility:visible}40%{visibility:hidden}}"),
            "{svg}"
        );
        assert!(svg.contains(".k1{animation:k1 2.5s step-end infinite}"), "{svg}");
        assert!(svg.contains("prefers-reduced-motion"));
    }

    #[test]
    fn what_never_changes_is_a_plain_picture() {
        let still = Animation::new(vec![frame(0); 4], 0.5).unwrap();
        let svg = still.svg();
        assert!(!svg.contains("<g") && !svg.contains("@keyframes"));
        assert_eq!(svg, frame(0).to_svg());
    }

    #[test]
    fn groups_are_merged_where_neighbours_share_one() {
        let two = |i: usize| {
            let mut scene = frame(i);
            scene.fill(Rect::new(5.0 * i as f64, 20.0, 3.0, 3.0), Paint::Ink);
            scene.outline(Rect::new(5.0 * i as f64, 20.0, 3.0, 3.0), crate::visual::Stroke::new(Paint::Frame, 1.0));
            scene
        };
        let svg = Animation::new(vec![two(0), two(2)], 0.2).unwrap().svg();
        let tree = roxmltree::Document::parse(&svg).unwrap();
        let sizes = |n: &roxmltree::Node<'_, '_>| n.children().filter(|c| c.is_element()).count();
        let rects: usize = tree.descendants().filter(|n| n.has_tag_name("g")).map(|g| sizes(&g)).sum();
        assert_eq!(rects, 6);
    }

    // Decoded again, each frame of the GIF over the ones before is the page that was drawn.
    #[test]
    fn a_gif_shows_the_pages_that_were_drawn() {
        let animation = animation(4);
        let bytes = animation.gif().unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(bytes.as_slice()).unwrap();
        let (w, h) = (usize::from(decoder.width()), usize::from(decoder.height()));
        let mut screen = vec![0_u8; w * h * 3];
        let mut count = 0;
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            let (fw, left, top) = (usize::from(frame.width), usize::from(frame.left), usize::from(frame.top));
            for (i, p) in frame.buffer.chunks_exact(4).enumerate() {
                let at = (top + i / fw) * w + left + i % fw;
                screen[3 * at..3 * at + 3].copy_from_slice(&p[..3]);
            }
            let (size, drawn) = animation.frames()[count].to_rgb(GIF_SCALE).unwrap();
            assert_eq!(size, [w, h]);
            let far = screen.iter().zip(&drawn).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(far < Some(24), "frame {count} is off by {far:?}");
            assert_eq!(frame.delay, if count == 3 { 150 } else { 50 });
            count += 1;
        }
        assert_eq!(count, 4);
        assert!(bytes.len() < 8_000, "{} bytes", bytes.len());
        assert_eq!(bytes, animation.gif().unwrap());
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let refused = |frames: Vec<Scene>, seconds| Animation::new(frames, seconds).unwrap_err().to_string();
        assert!(refused(vec![], 1.0).contains("without frames"));
        assert!(refused(vec![frame(0); 401], 1.0).contains("401 frames"));
        assert!(refused(vec![frame(0), Scene::new(1.0, 1.0, "", "")], 1.0).contains("frame 1 has another size"));
        assert!(refused(vec![frame(0)], f64::NAN).contains("NaN seconds"));
        assert!(animation(2).save("a.bmp").unwrap_err().to_string().contains(".svg or .gif"));
    }
}
