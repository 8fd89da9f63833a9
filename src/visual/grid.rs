//! Grids of small images: the worst mistakes, kernels, feature maps.

use super::colour::Paint;
use super::font;
use super::picture::{HEAD_TITLE, Picture, draw_head};
use super::scene::{Anchor, Rect, Scene, Stroke, Text};
use crate::error::{Error, Result};

/// One image of a grid.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cell<'a> {
    /// Rows from the top, pixels from the left, channels last.
    pub pixels: &'a [u8],
    /// The number of rows.
    pub height: usize,
    /// The number of pixels in a row.
    pub width: usize,
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Lines of text under the image; may be none.
    pub label: &'a str,
}

/// Images in rows, each with its label under it.
///
/// ```
/// use striate::visual::{Cell, ImageGrid, image_grid};
/// let ramp: Vec<u8> = (0..=255).collect();
/// let cell = Cell { pixels: &ramp, height: 16, width: 16, channels: 1, label: "a ramp" };
/// let picture = image_grid(&ImageGrid { title: "Ramps", cells: &[cell; 6], columns: 3, ..ImageGrid::default() })?;
/// assert!(picture.svg().contains("a ramp"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ImageGrid<'a> {
    /// What the images are.
    pub title: &'a str,
    /// More about them; may be empty.
    pub subtitle: &'a str,
    /// The images, row after row.
    pub cells: &'a [Cell<'a>],
    /// How many stand in a row.
    pub columns: usize,
    /// The side of the square that an image fills, its proportions kept.
    pub side: f64,
}

impl Default for ImageGrid<'_> {
    fn default() -> Self {
        Self { title: "", subtitle: "", cells: &[], columns: 5, side: 112.0 }
    }
}

const MARGIN: f64 = 24.0;
const GAP: f64 = 16.0;
const LABEL: f64 = 11.0;
const LABEL_STEP: f64 = 15.0;

/// A grid of images, magnified without smoothing.
///
/// # Errors
///
/// No image, no column, a side that is not from 8 to 4096, or pixels that do not fit their image's size.
pub fn image_grid(grid: &ImageGrid<'_>) -> Result<Picture> {
    grid.check()?;
    let lines = grid.cells.iter().map(|c| c.label.lines().count()).max().unwrap_or(0);
    let columns = grid.columns.min(grid.cells.len());
    let step = (grid.side + GAP, grid.side + GAP + LABEL_STEP * lines as f64);
    let inner = (step.0 * columns as f64 - GAP).max(grid.head_width()).ceil();
    let head = [grid.title, grid.subtitle].iter().filter(|t| !t.is_empty()).count() as f64 * 24.0;
    let rows = grid.cells.len().div_ceil(columns);
    let (width, height) = (inner + 2.0 * MARGIN, MARGIN + head + step.1 * rows as f64 - GAP + MARGIN);
    let labels: Vec<String> = grid.cells.iter().map(|c| c.label.replace('\n', ", ")).collect();
    let words = format!("{} images: {}", grid.cells.len(), labels.join("; "));
    let mut scene = Scene::new(width, height, grid.title, words);
    let frame = Rect::new(MARGIN, MARGIN, inner, head);
    draw_head(&mut scene, frame, HEAD_TITLE, grid.title, grid.subtitle);
    for (i, cell) in grid.cells.iter().enumerate() {
        let (column, row) = ((i % columns) as f64, (i / columns) as f64);
        draw_cell(&mut scene, cell, (MARGIN + column * step.0, MARGIN + head + row * step.1), grid.side);
    }
    Ok(Picture::new(scene))
}

impl ImageGrid<'_> {
    fn check(&self) -> Result<()> {
        if self.cells.is_empty() || self.columns == 0 {
            let (cells, columns) = (self.cells.len(), self.columns);
            return Err(Error::argument(format!("{cells} images in {columns} columns make no grid"))
                .with_help("give at least one image and one column"));
        }
        if !(8.0..=4096.0).contains(&self.side) {
            return Err(Error::argument(format!("an image {} wide cannot be shown", self.side))
                .with_help("give a side from 8 to 4096"));
        }
        self.cells.iter().enumerate().try_for_each(|(i, c)| c.check().map_err(|e| e.within(format!("image {i}"))))
    }

    // A single small image must not cut the title.
    fn head_width(&self) -> f64 {
        let title = Text::new(self.title).size(HEAD_TITLE).bold().width();
        title.max(Text::new(self.subtitle).width()).min(720.0)
    }
}

impl Cell<'_> {
    fn check(&self) -> Result<()> {
        let (h, w, c, bytes) = (self.height, self.width, self.channels, self.pixels.len());
        let wanted = h.checked_mul(w).and_then(|n| n.checked_mul(c));
        if matches!(c, 1 | 3) && bytes > 0 && wanted == Some(bytes) {
            return Ok(());
        }
        Err(Error::shape(format!("{bytes} bytes do not make {h} x {w} pixels of {c} channels"))
            .with_help("give height x width x channels bytes, with 1 channel or 3"))
    }

    fn rgb(&self) -> Vec<u8> {
        if self.channels == 3 { self.pixels.to_vec() } else { self.pixels.iter().flat_map(|v| [*v; 3]).collect() }
    }
}

fn draw_cell(scene: &mut Scene, cell: &Cell<'_>, (x, y): (f64, f64), side: f64) {
    let (w, h) = (cell.width as f64, cell.height as f64);
    let scale = side / w.max(h);
    let rect = Rect::new(x + (side - w * scale) / 2.0, y + (side - h * scale) / 2.0, w * scale, h * scale);
    scene.image(rect, cell.width, cell.rgb());
    scene.outline(rect, Stroke::new(Paint::Frame, 0.75));
    for (i, line) in cell.label.lines().enumerate() {
        let paint = if i == 0 { Paint::Ink } else { Paint::Muted };
        // Labels of neighbours keep a little of the gap between them.
        let text = Text::new(line).size(LABEL).fit(side + GAP - 6.0).paint(paint).anchor(Anchor::Middle);
        let baseline = y + side + 6.0 + LABEL * font::CAP_HEIGHT + LABEL_STEP * i as f64;
        scene.text(text.at(x + side / 2.0, baseline));
    }
}
