//! Sheets: images and charts in rows under headings, each with its title and caption.
//!
//! 1. Every item knows the box that it needs; its title and caption are cut to the width of its box.
//! 2. Items go from left to right, and on to the next line where the page ends.
//! 3. All items of a line have their images on one height.
//!
//! A sheet can grow: an animation shows its items one after the other, where they stand in the end.

use super::animation::Animation;
use super::chart::LineChart;
use super::colour::{ColourBar, Paint};
use super::dots::DotPlot;
use super::picture::{HEAD_TITLE, Picture, draw_head};
use super::scene::{Anchor, Bitmap, Rect, Scene, Stroke, Text};
use crate::error::{Error, Result};

/// An image on a sheet.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Over the image; may be empty.
    pub title: String,
    /// Lines under the image.
    pub caption: Vec<String>,
    /// The pixels.
    pub image: Bitmap,
    /// The longer side on the page.
    pub side: f64,
    /// Frames around parts, in pixels of the image: `[top, left, height, width]`, and what they are painted with.
    pub marks: Vec<([f64; 4], Paint)>,
    /// The bar beside it that explains its colours.
    pub bar: Option<ColourBar>,
    /// The number of each pixel, row by row, written into it where there is room; may be empty.
    pub numbers: Vec<String>,
    /// Whether it takes the room of a square, so that images of several proportions stand in columns.
    pub square: bool,
}

impl Panel {
    /// An image, its longer side so long.
    pub fn new(image: Bitmap, side: f64) -> Self {
        Self {
            title: String::new(),
            caption: Vec::new(),
            image,
            side,
            marks: Vec::new(),
            bar: None,
            numbers: Vec::new(),
            square: false,
        }
    }

    /// With a title.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// With a line under it.
    #[must_use]
    pub fn caption(mut self, line: impl Into<String>) -> Self {
        self.caption.push(line.into());
        self
    }

    /// With a frame around `[top, left, height, width]`, in pixels.
    #[must_use]
    pub fn mark(mut self, part: [f64; 4], paint: Paint) -> Self {
        self.marks.push((part, paint));
        self
    }

    /// With a colour bar.
    #[must_use]
    pub fn bar(mut self, bar: ColourBar) -> Self {
        self.bar = Some(bar);
        self
    }

    /// With a number in each pixel.
    #[must_use]
    pub fn numbers(mut self, numbers: Vec<String>) -> Self {
        self.numbers = numbers;
        self
    }

    /// In the room of a square.
    #[must_use]
    pub fn square(mut self) -> Self {
        self.square = true;
        self
    }

    fn size(&self) -> (f64, f64) {
        let (w, h) = (self.image.width as f64, self.image.height as f64);
        let scale = self.side / w.max(h);
        (w * scale, h * scale)
    }

    // The height of a bar is that of the image, but at least that of its label.
    fn bar_height(&self, bar: &ColourBar) -> f64 {
        let label = Text::new(&bar.label).size(11.0).width() + 8.0;
        self.size().1.max(label)
    }
}

/// What stands on a sheet.
#[derive(Debug, Clone)]
pub enum Item {
    /// An image.
    Image(Panel),
    /// A chart of lines, in its own width and height.
    Chart(LineChart),
    /// A dot plot, as wide as given.
    Dots(DotPlot, f64),
    /// A few lines of text, as wide as given.
    Words(Vec<String>, f64),
}

/// Items under a heading.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// The heading; may be empty.
    pub heading: String,
    /// More about it; may be empty.
    pub note: String,
    /// What stands there, from left to right.
    pub items: Vec<Item>,
}

/// What a sheet that grows adds from one frame to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// A section.
    Section,
    /// An item; of words, a line.
    Item,
}

/// A page of sections.
///
/// ```
/// use striate::visual::{Bitmap, Item, Panel, Section, Sheet};
/// let image = Bitmap::new([2, 2, 1], &[0, 80, 160, 240])?;
/// let items = vec![Item::Image(Panel::new(image, 64.0).title("four pixels"))];
/// let section = Section { heading: "Images".into(), items, ..Section::default() };
/// let sheet = Sheet { title: "A sheet".into(), sections: vec![section], ..Sheet::default() };
/// assert!(sheet.picture()?.svg().contains("four pixels"));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sheet {
    /// What the page shows.
    pub title: String,
    /// How it came about; may be empty.
    pub subtitle: String,
    /// The sections, from the top.
    pub sections: Vec<Section>,
    /// The width that lines of items may fill.
    pub width: f64,
}

impl Default for Sheet {
    fn default() -> Self {
        Self { title: String::new(), subtitle: String::new(), sections: Vec::new(), width: 1080.0 }
    }
}

const MARGIN: f64 = 24.0;
const GAP: f64 = 14.0;
const TITLE: f64 = 12.0;
const TITLE_STEP: f64 = 19.0;
const CAPTION: f64 = 10.5;
const CAPTION_STEP: f64 = 14.0;
const HEADING: f64 = 14.0;
// What a panel's texts keep from those of its neighbour.
const APART: f64 = 4.0;

impl Sheet {
    /// The sheet as a picture.
    ///
    /// # Errors
    /// Nothing stands on it, an image is not from 4 to 4096 long, or a chart cannot be drawn.
    pub fn picture(&self) -> Result<Picture> {
        self.drawn().map(|(scene, _)| Picture::new(scene))
    }

    /// The sheet as an animation that adds part after part, each shown for so many seconds.
    ///
    /// # Errors
    /// As [`Sheet::picture`] and [`Animation::new`].
    pub fn growing(&self, by: Growth, seconds: f64) -> Result<Animation> {
        let (scene, parts) = self.drawn()?;
        let ends = parts.iter().filter(|(growth, _)| *growth == by).map(|(_, end)| *end);
        // The last frame is the whole sheet.
        let frames = ends.map(|end| Scene { shapes: scene.shapes[..end].to_vec(), ..scene.clone() });
        Animation::new(frames.collect(), seconds)
    }

    // The scene, and how many of its shapes stand when each part is there.
    fn drawn(&self) -> Result<(Scene, Vec<(Growth, usize)>)> {
        let items = || self.sections.iter().flat_map(|s| &s.items);
        if items().next().is_none() {
            return Err(Error::argument("a sheet without an image shows nothing").with_help("give at least one"));
        }
        for item in items() {
            if let Item::Image(panel) = item
                && !(4.0..=4096.0).contains(&panel.side)
            {
                return Err(Error::argument(format!("an image {} long cannot be shown", panel.side))
                    .with_help("give a side from 4 to 4096"));
            }
        }
        let room = items().map(|i| i.size().0).fold(self.width, f64::max);
        let widest = self.sections.iter().flat_map(|s| lines(s, room)).map(|l| width(&l)).fold(0.0, f64::max);
        let inner = widest.max(self.words_width()).ceil();
        let head = if self.subtitle.is_empty() { 24.0 } else { 44.0 } + 8.0;
        let body: f64 = self.sections.iter().map(|s| section_height(s, room)).sum();
        let (page_w, page_h) = (inner + 2.0 * MARGIN, (2.0 * MARGIN + head + body - GAP).ceil());
        let mut scene = Scene::new(page_w, page_h, &self.title, self.describe());
        draw_head(&mut scene, Rect::new(MARGIN, MARGIN, inner, head), HEAD_TITLE, &self.title, &self.subtitle);
        let (mut y, mut parts) = (MARGIN + head, Vec::new());
        for section in &self.sections {
            y = draw_section(&mut scene, section, (y, inner, room), &mut parts)?;
            parts.push((Growth::Section, scene.shapes.len()));
        }
        Ok((scene, parts))
    }

    // Titles and headings are not cut before they are wide.
    fn words_width(&self) -> f64 {
        let title = Text::new(&self.title).size(HEAD_TITLE).bold().width();
        let headings = self.sections.iter().map(|s| {
            Text::new(&s.heading).size(HEADING).bold().width() + 12.0 + Text::new(&s.note).size(CAPTION + 0.5).width()
        });
        headings.fold(title.max(Text::new(&self.subtitle).width()), f64::max).min(self.width)
    }

    fn describe(&self) -> String {
        let item = |item: &Item| match item {
            Item::Image(p) => [std::slice::from_ref(&p.title), &p.caption].concat().join(", "),
            Item::Chart(chart) => chart.describe(),
            Item::Dots(plot, _) => plot.describe(),
            Item::Words(lines, _) => lines.join(" "),
        };
        let section = |s: &Section| {
            let items: Vec<String> = s.items.iter().map(item).filter(|t| !t.is_empty()).collect();
            format!("{} {}: {}", s.heading, s.note, items.join("; "))
        };
        self.sections.iter().map(section).collect::<Vec<_>>().join(" ")
    }
}

impl Item {
    // The box that the item needs, title and caption not counted.
    fn size(&self) -> (f64, f64) {
        match self {
            Self::Image(panel) => {
                let (mut w, h) = panel.size();
                if panel.square {
                    w = panel.side;
                }
                (w + self.bar(), panel.bar.as_ref().map_or(h, |bar| panel.bar_height(bar)))
            }
            Self::Chart(chart) => (chart.width, chart.height),
            Self::Dots(plot, width) => (*width, plot.height(*width)),
            Self::Words(lines, width) => (*width, lines.len() as f64 * 16.0),
        }
    }

    // What its colour bar adds to the width.
    fn bar(&self) -> f64 {
        if let Self::Image(Panel { bar: Some(bar), .. }) = self { 8.0 + bar.width() } else { 0.0 }
    }

    fn title(&self) -> f64 {
        matches!(self, Self::Image(p) if !p.title.is_empty()).then_some(TITLE_STEP).unwrap_or(0.0)
    }

    fn captions(&self) -> usize {
        if let Self::Image(p) = self { p.caption.len() } else { 0 }
    }
}

// Lines that fit, and of items that are alike about as many on each.
fn lines(section: &Section, room: f64) -> Vec<Vec<&Item>> {
    let full = broken(section, room, usize::MAX);
    let even = broken(section, room, section.items.len().div_ceil(full.len().max(1)));
    if even.len() > full.len() { full } else { even }
}

fn broken(section: &Section, room: f64, most: usize) -> Vec<Vec<&Item>> {
    let mut lines: Vec<Vec<&Item>> = Vec::new();
    for item in &section.items {
        // A colour bar may stand beyond the end of a line rather than take its image to the next.
        let fits = |line: &&mut Vec<&Item>| line.len() < most && width(line) + GAP + item.size().0 - item.bar() <= room;
        match lines.last_mut().filter(fits) {
            Some(line) => line.push(item),
            None => lines.push(vec![item]),
        }
    }
    lines
}

fn width(line: &[&Item]) -> f64 {
    line.iter().map(|item| item.size().0 + GAP).sum::<f64>() - GAP
}

// The heights of a line: titles, images, captions.
fn heights(line: &[&Item]) -> [f64; 3] {
    let most = |f: &dyn Fn(&Item) -> f64| line.iter().map(|item| f(item)).fold(0.0, f64::max);
    let captions = most(&|i| i.captions() as f64);
    [most(&Item::title), most(&|i| i.size().1), if captions > 0.0 { captions * CAPTION_STEP + 4.0 } else { 0.0 }]
}

fn section_height(section: &Section, room: f64) -> f64 {
    let heading = if section.heading.is_empty() { 0.0 } else { HEADING + 14.0 };
    heading + lines(section, room).iter().map(|l| heights(l).iter().sum::<f64>() + GAP).sum::<f64>() + 4.0
}

fn draw_section(
    scene: &mut Scene,
    section: &Section,
    (top, inner, room): (f64, f64, f64),
    parts: &mut Vec<(Growth, usize)>,
) -> Result<f64> {
    let mut y = top;
    if !section.heading.is_empty() {
        let heading = Text::new(&section.heading).size(HEADING).bold().fit(inner).at(MARGIN, y + HEADING);
        let used = heading.width() + 12.0;
        scene.text(heading);
        if inner - used > 40.0 {
            let note = Text::new(&section.note).size(CAPTION + 0.5).paint(Paint::Muted).fit(inner - used);
            scene.text(note.at(MARGIN + used, y + HEADING));
        }
        y += HEADING + 14.0;
    }
    for line in lines(section, room) {
        let [titles, images, captions] = heights(&line);
        let mut x = MARGIN;
        for item in line {
            draw_item(scene, item, (x, y + titles), parts)?;
            x += item.size().0 + GAP;
        }
        y += titles + images + captions + GAP;
    }
    Ok(y + 4.0)
}

fn draw_item(scene: &mut Scene, item: &Item, (x, y): (f64, f64), parts: &mut Vec<(Growth, usize)>) -> Result<()> {
    match item {
        Item::Image(panel) => draw_panel(scene, panel, (x, y), item.size().0),
        Item::Chart(chart) => chart.draw(scene, Rect::new(x, y, chart.width, chart.height), 13.0)?,
        Item::Dots(plot, width) => plot.draw(scene, Rect::new(x, y, *width, plot.height(*width)), 13.0)?,
        Item::Words(lines, width) => {
            for (i, line) in lines.iter().enumerate() {
                let paint = if i == 0 { Paint::Ink } else { Paint::Muted };
                let text = Text::new(line).size(11.0).paint(paint).fit(*width - APART);
                scene.text(text.at(x, y + 12.0 + 16.0 * i as f64));
                if i + 1 < lines.len() {
                    parts.push((Growth::Item, scene.shapes.len()));
                }
            }
        }
    }
    parts.push((Growth::Item, scene.shapes.len()));
    Ok(())
}

fn draw_panel(scene: &mut Scene, panel: &Panel, (x, y): (f64, f64), room: f64) {
    let (w, h) = panel.size();
    let x = x + if panel.square { (panel.side - w) / 2.0 } else { 0.0 };
    // Texts are set in the middle of the image, or begin with it where they need the room beside it.
    let side = if panel.square { panel.side } else { w };
    let set = |text: Text, baseline: f64| {
        if panel.bar.is_none() || text.width() <= w {
            text.fit(side + GAP - APART).anchor(Anchor::Middle).at(x + w / 2.0, baseline)
        } else {
            text.fit(room.min(w)).at(x, baseline)
        }
    };
    scene.text(set(Text::new(&panel.title).size(TITLE), y - 7.0));
    let frame = Rect::new(x, y, w, h);
    scene.image(frame, panel.image.width, panel.image.rgb.clone());
    scene.outline(frame, Stroke::new(Paint::Frame, 0.75));
    let scale = w / panel.image.width as f64;
    draw_numbers(scene, panel, (x, y), scale);
    for ([top, left, height, width], paint) in &panel.marks {
        let part = Rect::new(x + left * scale, y + top * scale, width * scale, height * scale);
        // A light edge, so that the frame is seen on any photo.
        scene.outline(part, Stroke::new(Paint::Page, 3.5).opacity(0.8));
        scene.outline(part, Stroke::new(*paint, 1.75));
    }
    if let Some(bar) = &panel.bar {
        bar.draw(scene, Rect::new(x + w + 8.0, y, ColourBar::THICKNESS, panel.bar_height(bar)));
    }
    let foot = y + Item::Image(panel.clone()).size().1;
    for (i, line) in panel.caption.iter().enumerate() {
        let text = Text::new(line).size(CAPTION).paint(Paint::Muted);
        scene.text(set(text, foot + 13.0 + CAPTION_STEP * i as f64));
    }
}

// All numbers or none, in one size.
fn draw_numbers(scene: &mut Scene, panel: &Panel, (x, y): (f64, f64), scale: f64) {
    let widest = panel.numbers.iter().map(|t| Text::new(t).size(1.0).width()).fold(0.0, f64::max);
    let size = ((scale - 4.0) / widest.max(1.0)).min(13.0);
    if size < 7.0 || panel.numbers.len() != panel.image.width * panel.image.height {
        return;
    }
    for (i, number) in panel.numbers.iter().enumerate() {
        let (row, column) = (i / panel.image.width, i % panel.image.width);
        let paint = Paint::Solid(panel.image.at(row, column).text_on());
        let centre = (x + (column as f64 + 0.5) * scale, y + (row as f64 + 0.5) * scale);
        scene.text(Text::new(number).size(size).paint(paint).anchor(Anchor::Middle).centred(centre.0, centre.1));
    }
}
