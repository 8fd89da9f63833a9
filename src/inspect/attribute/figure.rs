//! The picture of an attribution: image, map, both together; below them what the lie detector found.

use super::{Attribution, Curves, Trust};
use crate::data::Image;
use crate::error::Result;
use crate::inspect::show::{bitmap, cut, relief};
use crate::tensor::Tensor;
use crate::visual::{AxisStyle, Bitmap, Item, LineChart, Panel, Picture, Range, Section, Series, Sheet, Unit, short};

// The share of numbers that the colours tell apart; the rest is drawn as the largest.
const MOST: f64 = 0.998;
const SIDE: f64 = 250.0;
const SMALL: f64 = 150.0;

/// Draws an attribution over the image that the network saw, with its lie detector if there is one.
///
/// `name` says what the class is.
///
/// # Errors
/// The image has not the size of the map.
pub fn attribution_sheet(found: &Attribution, image: &Image, name: &str, trust: Option<&Trust>) -> Result<Picture> {
    let photo = bitmap(image)?;
    let range = Range::within(found.map.data(), MOST);
    let [h, w] = photo.size();
    let map = Bitmap::of_map([h, w], found.map.data(), &range)?;
    let overlay = photo.overlaid(found.map.data(), &range)?;
    let mut items = vec![
        Item::Image(Panel::new(photo.clone(), SIDE).title("what the network sees")),
        Item::Image(Panel::new(map, SIDE).title("map")),
        Item::Image(Panel::new(overlay, SIDE).title("map over the image").bar(range.bar(found.method.measures()))),
    ];
    if let Some((layer, coarse)) = found.layer.as_ref().filter(|(_, c)| c.dims() != found.map.dims()) {
        let size = [coarse.dims()[0], coarse.dims()[1]];
        let own = Bitmap::of_map(size, coarse.data(), &Range::of(coarse.data()))?;
        let title = format!("as layer {} has it", cut(layer, 14));
        items.push(Item::Image(Panel::new(own, SMALL).title(title).caption(format!("{} x {}", size[0], size[1]))));
    }
    if let Some(pixels) = &found.pixels {
        let (signed, range) = relief(pixels)?;
        let panel = Panel::new(signed, SMALL).title("with its signs").caption(format!("up to ±{}", short(range.high)));
        let colours = if pixels.dims()[2] == 3 { "as colours, grey is 0" } else { "red above 0, blue below" };
        items.push(Item::Image(panel.caption(colours)));
    }
    let mut sections = vec![Section { items, ..Section::default() }];
    if let Some(trust) = trust {
        sections.push(weights(trust, [h, w])?);
        sections.push(pixels(trust));
    }
    let title = format!("{}: why {name}?", found.method.title());
    let mut subtitle = format!("probability {:.1} %, score {:.2}", 100.0 * found.probability, found.score);
    if let Some((layer, _)) = &found.layer {
        subtitle += &format!("; layer {layer}");
    }
    if let Some([sum, rise]) = found.completeness {
        subtitle += &format!("; the map sums to {sum:.2}, the score rises by {rise:.2}");
    }
    Sheet { title, subtitle, sections, ..Sheet::default() }.picture()
}

fn weights(trust: &Trust, size: [usize; 2]) -> Result<Section> {
    let panel = |map: &Tensor, title: String, r: f64| -> Result<Item> {
        let empty = map.data().iter().all(|v| *v == 0.0);
        let map = Bitmap::of_map(size, map.data(), &Range::within(map.data(), MOST))?;
        let caption = if empty { "all 0: nothing in common".into() } else { format!("rank correlation {r:.2}") };
        Ok(Item::Image(Panel::new(map, SMALL).title(title).caption(caption)))
    };
    let of = |r: &super::Randomised| {
        let title =
            if r.layers == 1 { "in the last layer".into() } else { format!("in {} of {} layers", r.layers, r.of) };
        panel(&r.map, title, r.similarity)
    };
    let note = if trust.depends_on_weights() {
        "the map changes, so it depends on what the network learned"
    } else {
        "the map is much the same: it may show the image more than the network"
    };
    Ok(Section {
        heading: "The same with fresh weights".into(),
        note: note.into(),
        items: trust.randomised.iter().map(of).collect::<Result<_>>()?,
    })
}

fn pixels(trust: &Trust) -> Section {
    let chart = |title: &str, x: &str, c: &Curves| {
        let points = |y: &[f64]| c.share.iter().copied().zip(y.iter().copied()).collect();
        let line = |name: String, y: &[f64]| Series::new(name, points(y));
        Item::Chart(LineChart {
            title: title.into(),
            x: AxisStyle::new(x).unit(Unit::Percent),
            y: AxisStyle::default().unit(Unit::Percent),
            series: vec![
                line(format!("map, area {:.2}", c.area()), &c.map),
                line(format!("moved, area {:.2}", c.moved_area()), &c.moved)
                    .colour(1)
                    .line(crate::visual::Line::Dashed),
            ],
            width: 430.0,
            height: 230.0,
            ..LineChart::default()
        })
    };
    let note = if trust.marks_what_matters() {
        "the marked pixels matter more than those of the map moved elsewhere"
    } else {
        "in one order, the same map moved elsewhere does as well"
    };
    Section {
        heading: "The probability as pixels go and come".into(),
        note: note.into(),
        items: vec![
            chart("Deletion: should fall at once", "pixels taken away, highest first", &trust.deletion),
            chart("Insertion: should rise at once", "pixels given, highest first", &trust.insertion),
        ],
    }
}
