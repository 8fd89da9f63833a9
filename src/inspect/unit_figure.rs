//! The picture of a unit: where it looks, its products one by one, and the gradient that flows back from it.

use super::excite::Excited;
use super::show::{bitmap, relief, relief_words};
use super::unit::{Products, Unit};
use crate::data::Image;
use crate::error::Result;
use crate::ops::Activation;
use crate::visual::{Animation, Bitmap, ColourMap, Growth, Item, Paint, Panel, Picture, Range, Section, Sheet, short};

// Input channels whose products are shown.
const CHANNELS: usize = 4;
const SIDE: f64 = 190.0;

// Seconds for which each part is shown before the next comes.
const PART: f64 = 1.2;

/// Draws a unit; `images` are those of a data set that excite its channel most, if they were looked for.
///
/// # Errors
/// The image has not the size of the network's input.
pub fn unit_sheet(unit: &Unit, photo: &Image, images: &[(Excited, Image)]) -> Result<Picture> {
    sheet(unit, photo, images)?.picture()
}

/// The same as an animation that walks from the image to the value and back: the patch, the kernel, the products, their
/// sum, the bias, the activation, the gradient.
///
/// # Errors
/// As [`unit_sheet`].
pub fn unit_animation(unit: &Unit, photo: &Image, images: &[(Excited, Image)]) -> Result<Animation> {
    sheet(unit, photo, images)?.growing(Growth::Item, PART)
}

fn sheet(unit: &Unit, photo: &Image, images: &[(Excited, Image)]) -> Result<Sheet> {
    let photo = bitmap(photo)?;
    let [y, x, c] = unit.at;
    let (rows, columns) = (unit.patch.rows.clone(), unit.patch.columns.clone());
    let part = Panel::new(photo.part(rows.clone(), columns.clone()), SIDE);
    let part = part.title(format!("its field: {} x {} pixels", rows.len(), columns.len()));
    let mut sections = vec![Section {
        heading: "What it sees".into(),
        note: "its receptive field: the pixels that it can depend on".into(),
        items: vec![
            Item::Image(Panel::new(photo, SIDE).title("the image").mark(frame(unit), FIELD)),
            Item::Image(part),
        ],
    }];
    if let Some(sum) = &unit.sum {
        sections.extend(arithmetic(unit, sum)?);
    }
    sections.push(gradient(unit)?);
    if !images.is_empty() {
        sections.push(exciting(images)?);
    }
    let title = format!("Layer {}: row {y}, column {x}, channel {c}", unit.layer);
    Ok(Sheet { title, subtitle: unit_words(unit), sections, ..Sheet::default() })
}

const FIELD: Paint = Paint::Series(1);

fn frame(unit: &Unit) -> [f64; 4] {
    let (rows, columns) = (&unit.patch.rows, &unit.patch.columns);
    [rows.start as f64, columns.start as f64, rows.len() as f64, columns.len() as f64]
}

fn gradient(unit: &Unit) -> Result<Section> {
    let off = unit.gradient.data().iter().all(|g| *g == 0.0);
    let (of, gradient) = if off { ("sum", &unit.gradient_before) } else { ("value", &unit.gradient) };
    let (back, range) = relief(gradient)?;
    let note = format!("the gradient of its {of}: how much a pixel raises or lowers it");
    let field = back.part(unit.patch.rows.clone(), unit.patch.columns.clone());
    let whole = Panel::new(back, SIDE).title("gradient to the image").mark(frame(unit), FIELD);
    Ok(Section {
        heading: "What would change it".into(),
        note: if off { note + "; the value's own gradient is 0" } else { note },
        items: vec![
            Item::Image(whole),
            Item::Image(Panel::new(field, SIDE).title("gradient in its field")),
            Item::Words(vec![relief_words(gradient, &range)], 260.0),
        ],
    })
}

/// How the value comes about, on one line.
pub fn unit_words(unit: &Unit) -> String {
    let (before, value) = (short(f64::from(unit.before)), short(f64::from(unit.value)));
    let end = match unit.activation {
        Activation::Linear => format!("value {value}"),
        function => format!("{function}({before}) = {value}"),
    };
    match &unit.sum {
        Some(s) => {
            format!("sum of {} products {} + bias {} = {before}; {end}", s.x.data().len(), short(s.sum), short(s.bias))
        }
        None => end,
    }
}

// The input channels whose products weigh most, each as patch, kernel and products.
fn arithmetic(unit: &Unit, sum: &Products) -> Result<Vec<Section>> {
    let &[kh, kw, ic] = sum.x.dims() else { return Ok(Vec::new()) };
    if kh * kw == 1 {
        return Ok(Vec::new());
    }
    let mut order: Vec<(usize, f64)> = (0..ic).map(|c| (c, sum.of_channel(c).1)).collect();
    order.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    let (shown, rest) = order.split_at(order.len().min(CHANNELS));
    let pick = |values: &[f32], c: usize| -> Vec<f32> { values.iter().skip(c).step_by(ic).copied().collect() };
    let grey = Range::grey(sum.x.data());
    let mut sections = Vec::new();
    for (i, (c, total)) in shown.iter().enumerate() {
        let (x, w, products) = (pick(sum.x.data(), *c), pick(sum.w.data(), *c), sum.of_channel(*c).0);
        let signed = |values: &[f32]| {
            let high = Range::of(values).high;
            Range { low: -high, high, map: ColourMap::SIGNED }
        };
        let panel = |title: &str, values: &[f32], range: Range| -> Result<Item> {
            let panel = Panel::new(Bitmap::of_map([kh, kw], values, &range)?, SIDE).title(title);
            Ok(Item::Image(panel.numbers(values.iter().map(|v| short(f64::from(*v))).collect())))
        };
        let mut words = vec![format!("sum of this channel: {}", short(*total))];
        if i + 1 == shown.len() {
            let others: f64 = rest.iter().map(|(_, v)| v).sum();
            if !rest.is_empty() {
                words.push(format!("the other {} channels: {}", rest.len(), short(others)));
            }
            words.push(format!("all products: {}", short(sum.sum)));
            words.push(format!("+ bias {} = {}", short(sum.bias), short(sum.sum + sum.bias)));
            if unit.activation != Activation::Linear {
                words.push(format!("{}: {}", unit.activation, short(f64::from(unit.value))));
            }
        }
        sections.push(Section {
            heading: format!("Input channel {}", sum.first_channel + c),
            note: if i == 0 && ic > 1 { "those whose products weigh most".into() } else { String::new() },
            items: vec![
                panel("x: what it reads", &x, grey)?,
                panel("w: the kernel", &w, signed(sum.w.data()))?,
                panel("x w: the products", &products, signed(&products))?,
                Item::Words(words, 260.0),
            ],
        });
    }
    Ok(sections)
}

fn exciting(images: &[(Excited, Image)]) -> Result<Section> {
    let item = |(found, image): &(Excited, Image)| -> Result<Item> {
        let (rows, columns) = (&found.patch.rows, &found.patch.columns);
        let frame = [rows.start as f64, columns.start as f64, rows.len() as f64, columns.len() as f64];
        let panel = Panel::new(bitmap(image)?, 104.0).mark(frame, Paint::Series(1));
        let label = format!("{}: {}", found.class, short(f64::from(found.value)));
        Ok(Item::Image(panel.caption(label).caption(format!("image {}", found.index))))
    };
    Ok(Section {
        heading: "What excites its channel most".into(),
        note: "the images of the data set with the largest values of this channel, and where they are".into(),
        items: images.iter().map(item).collect::<Result<_>>()?,
    })
}
