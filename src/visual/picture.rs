//! A finished picture: asked for as SVG or PNG, or saved.

use std::path::Path;

use super::colour::Paint;
use super::scene::{Rect, Scene, Text};
use crate::error::{Error, Result};
use crate::format::atomic;

/// Pixels to the unit of a PNG, so that it is sharp on a dense screen.
pub const PNG_SCALE: f64 = 2.0;
/// The size of a picture's title.
pub(super) const HEAD_TITLE: f64 = 17.0;

/// A picture, ready to be shown.
///
/// The same values give the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    scene: Scene,
}

impl Picture {
    /// The picture of a scene.
    pub fn new(scene: Scene) -> Self {
        Self { scene }
    }

    /// The shapes it is made of.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// The picture as an SVG document, light or dark as its reader likes.
    pub fn svg(&self) -> String {
        self.scene.to_svg()
    }

    /// The picture as an element of an HTML page; see [`Scene::to_inline_svg`].
    pub fn inline_svg(&self, id: &str) -> String {
        self.scene.to_inline_svg(id)
    }

    /// The picture as a PNG on a light page, with [`PNG_SCALE`] pixels to the unit.
    ///
    /// # Errors
    ///
    /// A picture with more than 16,384 pixels on a side.
    pub fn png(&self) -> Result<Vec<u8>> {
        self.scene.to_png(PNG_SCALE)
    }

    /// Writes the picture to a file whose name ends in `.svg` or `.png`.
    ///
    /// # Errors
    ///
    /// Another ending, or a file that cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let bytes = match ending.as_deref() {
            Some("svg") => self.svg().into_bytes(),
            Some("png") => self.png()?,
            _ => {
                return Err(Error::argument(format!("{} names no kind of picture", path.display()))
                    .with_help("end the name in .svg or .png"));
            }
        };
        write(path, &bytes)
    }
}

/// Writes the bytes of a picture: the whole file or, on a full disk, none.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic::write(path, |out| out.write_all(bytes))
}

/// Draws title and subtitle at the top of a frame, and returns where they end.
pub(super) fn draw_head(scene: &mut Scene, frame: Rect, size: f64, title: &str, subtitle: &str) -> f64 {
    let mut y = frame.y;
    if !title.is_empty() {
        scene.text(Text::new(title).size(size).bold().fit(frame.w).at(frame.x, y + size * 0.8));
        y += size * 1.35;
    }
    if !subtitle.is_empty() {
        scene.text(Text::new(subtitle).paint(Paint::Muted).fit(frame.w).at(frame.x, y + 10.0));
        y += 18.0;
    }
    y
}

/// An error where a picture is too small to hold what belongs into it, or has no size at all.
pub(super) fn check_side(what: &str, side: &str, size: f64, least: f64) -> Result<()> {
    if size.is_finite() && size >= least {
        return Ok(());
    }
    Err(Error::argument(format!("a {what} {size} {side} has no room for its labels"))
        .with_help(format!("make it at least {least} {side}, margins not counted")))
}
