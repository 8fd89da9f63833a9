//! Feature maps: what each channel of a layer makes of an image; and the two line filters that show what one filter does.

use super::score::finite;
use super::show::bitmap;
use super::window::image;
use crate::data::Image;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::model::{Model, Sequential};
use crate::ops::{Conv2D, Mode, Padding};
use crate::session::{Machine, Session};
use crate::tensor::{Shape, Tensor};
use crate::visual::{Animation, Bitmap, Growth, Item, Panel, Picture, Range, Section, Sheet};

/// The feature maps of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerMaps {
    /// The layer.
    pub layer: String,
    /// Its class.
    pub class: &'static str,
    /// `[h, w, c]`: a map for each channel.
    pub maps: Tensor,
}

impl LayerMaps {
    /// The map of a channel, row by row.
    pub fn channel(&self, c: usize) -> Vec<f32> {
        self.maps.data().iter().skip(c).step_by(self.maps.dims()[2]).copied().collect()
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.maps.dims()[2]
    }
}

// A network with more layers than this is shown by its stages.
const MANY: usize = 12;

/// The layers that have maps: more than one pixel, and not the input nor a view of another layer.
///
/// # Errors
/// There are none.
pub fn map_layers(graph: &Graph) -> Result<Vec<String>> {
    let used = graph.used()?;
    let has_maps = |shape: Shape| matches!(*shape.dims(), [h, w, _] if h * w > 1);
    let nodes = graph.nodes().iter().zip(used).skip(1);
    let layers: Vec<String> = nodes
        .filter(|(node, used)| *used && has_maps(node.shape) && !node.op.rule().is_view(Mode::Infer))
        .map(|(node, _)| node.name.clone())
        .collect();
    if layers.is_empty() {
        return Err(Error::argument(format!(
            "no layer of {} has rows and columns, so there are no maps",
            graph.name()
        ))
        .with_help("give a network with convolutions"));
    }
    Ok(layers)
}

/// The layers worth a look: all with maps if they are few, else the last of each size.
///
/// # Errors
/// As [`map_layers`].
pub fn stages(graph: &Graph) -> Result<Vec<String>> {
    let all = map_layers(graph)?;
    if all.len() <= MANY {
        return Ok(all);
    }
    let size = |name: &String| graph.value(name).map(|v| graph.shape(v).dims()[..2].to_vec()).unwrap_or_default();
    let last = |i: &usize| all.get(i + 1).is_none_or(|next| size(next) != size(&all[*i]));
    Ok((0..all.len()).filter(last).map(|i| all[i].clone()).collect())
}

/// The feature maps of these layers for one sample `[h, w, c]` (V1, V17).
///
/// ```
/// let model = striate::Model::new(striate::zoo::recipe("keras-mnist")?.graph, 0)?;
/// let maps = striate::inspect::feature_maps(&model, &vec![0.5; 784], &["conv2d"], &Default::default())?;
/// assert_eq!(maps[0].maps.dims(), [28, 28, 32]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The input is no image, a layer does not exist or has no rows and columns, or its numbers went bad.
pub fn feature_maps<S: AsRef<str>>(
    model: &Model,
    x: &[f32],
    layers: &[S],
    machine: &Machine,
) -> Result<Vec<LayerMaps>> {
    let graph = model.graph();
    image(graph.input_shape()?)?;
    let mut session = Session::new(model, machine.clone())?;
    session.look(x, 1)?;
    let of = |name: &S| {
        let name = name.as_ref();
        let node = graph.node(graph.value(name)?);
        let &[h, w, c] = node.shape.dims() else {
            let help = map_layers(graph).map(|all| format!("these have them: {}", all.join(", "))).unwrap_or_default();
            return Err(Error::argument(format!("layer '{name}' gives {}, which has no rows and columns", node.shape))
                .with_help(help));
        };
        let maps = session.value(name)?.reshape(&[h, w, c])?;
        finite(maps.data()).map_err(|e| e.within(format_args!("layer '{name}'")))?;
        Ok(LayerMaps { layer: name.into(), class: node.op.rule().class(), maps })
    };
    layers.iter().map(of).collect()
}

/// How feature maps are drawn.
#[derive(Debug, Clone, Copy)]
pub struct FeatureStyle {
    /// Channels to show of each layer, those that vary most over the image; 0 for all.
    pub channels: usize,
    /// Whether each map has a range of its own; else a layer's maps share one, so that they can be compared.
    pub own_range: bool,
}

impl Default for FeatureStyle {
    fn default() -> Self {
        Self { channels: 16, own_range: false }
    }
}

const SIDE: f64 = 84.0;
// Seconds for which each layer is shown before the next comes.
const PART: f64 = 1.0;
// The share of numbers that the colours tell apart; the rest is drawn as the largest.
const MOST: f64 = 0.995;

/// Draws the feature maps of layers, each with its number, after the image that the network saw.
///
/// # Errors
/// There are no maps.
pub fn features_sheet(name: &str, photo: &Image, layers: &[LayerMaps], style: &FeatureStyle) -> Result<Picture> {
    sheet(name, photo, layers, style)?.picture()
}

/// The same as an animation that goes through the network, layer by layer.
///
/// # Errors
/// There are no maps.
pub fn features_animation(name: &str, photo: &Image, layers: &[LayerMaps], style: &FeatureStyle) -> Result<Animation> {
    sheet(name, photo, layers, style)?.growing(Growth::Section, PART)
}

fn sheet(name: &str, photo: &Image, layers: &[LayerMaps], style: &FeatureStyle) -> Result<Sheet> {
    let photo = bitmap(photo)?;
    let [h, w] = photo.size();
    let input = Item::Image(Panel::new(photo, 150.0).caption(format!("{h} x {w}")));
    let mut sections = vec![Section { heading: "input".into(), note: String::new(), items: vec![input] }];
    for maps in layers {
        sections.push(section(maps, style)?);
    }
    let colours =
        if style.own_range { "each map has its own range" } else { "the maps of a layer share their colours" };
    let subtitle = format!("what each channel makes of the image; {colours}");
    Ok(Sheet { title: format!("Feature maps of {name}"), subtitle, sections, ..Sheet::default() })
}

// The channels that vary most over the image, in their own order: of a deep layer many are silent.
fn liveliest(maps: &LayerMaps, most: usize) -> Vec<usize> {
    let spread = |k: &usize| {
        let values = maps.channel(*k);
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>()
    };
    let mut all: Vec<(usize, f64)> = (0..maps.channels()).map(|k| (k, spread(&k))).collect();
    if most > 0 && most < all.len() {
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(most);
        all.sort_by_key(|(k, _)| *k);
    }
    all.into_iter().map(|(k, _)| k).collect()
}

fn section(maps: &LayerMaps, style: &FeatureStyle) -> Result<Section> {
    let &[h, w, c] = maps.maps.dims() else { return Err(Error::shape("feature maps have the axes h, w, c")) };
    let shown = liveliest(maps, style.channels);
    let shared = Range::within(maps.maps.data(), MOST);
    let mut items = Vec::new();
    for &k in &shown {
        let values = maps.channel(k);
        let range = if style.own_range { Range::within(&values, MOST) } else { shared };
        let silent = values.iter().all(|v| *v == 0.0);
        let label = if silent { format!("{k}: silent") } else { k.to_string() };
        let mut panel = Panel::new(Bitmap::of_map([h, w], &values, &range)?, SIDE).caption(label);
        if shown.last() == Some(&k) && !style.own_range {
            panel = panel.bar(shared.bar(""));
        }
        items.push(Item::Image(panel));
    }
    let of = match shown.len() {
        n if n < c => format!("the {n} of {c} channels that vary most"),
        _ => format!("{c} channel{}", if c == 1 { "" } else { "s" }),
    };
    Ok(Section { heading: maps.layer.clone(), note: format!("{}, {h} x {w}, {of}", maps.class), items })
}

/// Two 7x7 filters for images of `channels` channels, `[7, 7, channels, 2]`: a vertical line and a horizontal one (E22).
pub fn line_filters(channels: usize) -> Tensor {
    let mut w = Tensor::zeros(&[7, 7, channels, 2]);
    for (i, c) in (0..7).flat_map(|i| (0..channels).map(move |c| (i, c))) {
        w[[i, 3, c, 0]] = 1.0;
        w[[3, i, c, 1]] = 1.0;
    }
    w
}

/// Convolves images, their bytes divided by 255, with filters `[kh, kw, c, n]`, stride 1, padded to the same size (V2).
///
/// The result is `[images, h, w, n]`.
///
/// # Errors
/// There are no images, they differ in size, or the filters do not fit them.
pub fn filter_images(images: &[Image], filters: &Tensor, machine: &Machine) -> Result<Tensor> {
    let first = images.first().ok_or_else(|| Error::argument("there is no image to filter"))?;
    let dims = first.dims();
    if let Some(other) = images.iter().find(|i| i.dims() != dims) {
        return Err(Error::shape(format!("one image is {dims:?}, another {:?}", other.dims()))
            .with_help("give images of one size and one number of channels, or one at a time"));
    }
    let &[kh, kw, _, n] = filters.dims() else {
        return Err(Error::shape(format!("filters have the axes kh, kw, ic, oc, not {:?}", filters.dims())));
    };
    let conv = Conv2D::new(n, [kh, kw]).padding(Padding::Same).no_bias();
    let mut model = Sequential::new(dims).add(conv).build(0)?;
    model.set_param("conv2d/kernel", filters)?;
    let x: Vec<f32> = images.iter().flat_map(|i| i.pixels().iter().map(|v| f32::from(*v) / 255.0)).collect();
    let mut session = Session::new(&model, machine.clone())?;
    session.infer(&x, images.len())?;
    Tensor::new(&[images.len(), dims[0], dims[1], n], session.output().to_vec())
}

/// Draws images with what filters make of them, in greys from the smallest number to the largest, pixel for pixel.
///
/// # Errors
/// The maps are not those of the images, or their names are not as many.
pub fn filtered_sheet(images: &[(String, Image)], filters: &[&str], maps: &Tensor) -> Result<Picture> {
    let &[n, h, w, c] = maps.dims() else { return Err(Error::shape("maps have the axes n, h, w, c")) };
    if n != images.len() || c != filters.len() {
        let (images, names) = (images.len(), filters.len());
        return Err(Error::shape(format!("{n} x {c} maps for {images} images and {names} filters")));
    }
    // Half a unit a pixel, so that a PNG has one for each.
    let side = (h.max(w) as f64 / crate::visual::PNG_SCALE).clamp(120.0, 480.0);
    let mut sections = Vec::new();
    for (i, (name, photo)) in images.iter().enumerate() {
        let mut items = vec![Item::Image(Panel::new(bitmap(photo)?, side).caption(format!("{h} x {w}")))];
        for (k, filter) in filters.iter().enumerate() {
            let values: Vec<f32> =
                maps.data()[i * h * w * c..(i + 1) * h * w * c].iter().skip(k).step_by(c).copied().collect();
            let range = Range::grey(&values);
            let caption =
                format!("{} (black) to {} (white)", crate::visual::short(range.low), crate::visual::short(range.high));
            let map = Bitmap::of_map([h, w], &values, &range)?;
            items.push(Item::Image(Panel::new(map, side).title(*filter).caption(caption)));
        }
        sections.push(Section { heading: name.clone(), note: String::new(), items });
    }
    let (title, subtitle) =
        ("What two line filters see", "7x7, ones along one line through the middle, zeros elsewhere");
    Sheet { title: title.into(), subtitle: subtitle.into(), sections, ..Sheet::default() }.picture()
}
