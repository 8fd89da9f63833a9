//! Filters: the kernels of a convolution as pictures, before and after training.

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::model::Model;
use crate::tensor::Tensor;
use crate::visual::{Bitmap, ColourMap, Item, Panel, Picture, Range, Section, Sheet};

/// The kernels of one layer, `[kh, kw, ic, oc]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernels {
    /// The layer.
    pub layer: String,
    /// The weights.
    pub w: Tensor,
}

impl Kernels {
    // What is no number has no colour.
    fn check(&self) -> Result<()> {
        let Some(bad) = self.w.data().iter().find(|v| !v.is_finite()) else { return Ok(()) };
        Err(Error::new(ErrorKind::Numeric, format!("a weight of layer '{}' is {bad}, and no number", self.layer))
            .with_help("the model went bad in training: train again, at a lower learning rate"))
    }
}

/// The layers that have kernels of rows and columns, in order.
pub fn kernel_layers(model: &Model) -> Vec<String> {
    let kernels = model.params().iter().filter(|p| p.dims.len() == 4);
    kernels.filter_map(|p| p.name.split_once('/').map(|(layer, _)| layer.to_string())).collect()
}

/// The kernels of a layer; of the first that looks at more than one pixel if none is named (V9).
///
/// ```
/// let model = striate::Model::new(striate::zoo::recipe("keras-mnist")?.graph, 0)?;
/// let kernels = striate::inspect::kernels(&model, None)?;
/// assert_eq!((kernels.layer.as_str(), kernels.w.dims()), ("conv2d", &[3, 3, 1, 32][..]));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// There is no such layer, or it has no kernels.
pub fn kernels(model: &Model, layer: Option<&str>) -> Result<Kernels> {
    let all = || model.params().iter().filter(|p| p.dims.len() == 4);
    let found = match layer {
        Some(layer) => {
            model.graph().value(layer)?;
            all().find(|p| p.name.split('/').next() == Some(layer)).ok_or_else(|| no_kernels(model.graph(), layer))?
        }
        None => all().find(|p| p.dims[0] * p.dims[1] > 1).or_else(|| all().next()).ok_or_else(|| {
            Error::argument(format!("{} has no convolution, so there are no filters", model.graph().name()))
                .with_help("give a network with a Conv2D layer")
        })?,
    };
    let layer = found.name.split('/').next().unwrap_or_default().to_string();
    Ok(Kernels { layer, w: Tensor::new(&found.dims, found.data.to_vec())? })
}

fn no_kernels(graph: &Graph, layer: &str) -> Error {
    let has = |node: &&crate::Node| graph.params(node).iter().any(|p| p.dims.len() == 4);
    let known: Vec<&str> = graph.nodes().iter().filter(has).map(|n| n.name.as_str()).collect();
    Error::argument(format!("layer '{layer}' has no filters of rows and columns"))
        .with_help(format!("these have them: {}", known.join(", ")))
}

const SIDE: f64 = 58.0;
// Input channels of one kernel that are shown.
const SLICES: usize = 64;

/// The range of the kernels of several models, which they share: as far on both sides of 0.
fn range(sets: &[(&str, &Kernels)]) -> Range {
    let numbers: Vec<f32> = sets.iter().flat_map(|(_, k)| k.w.data().iter().copied()).collect();
    let high = Range::of(&numbers).high;
    Range { low: -high, high, map: ColourMap::SIGNED }
}

/// Kernels as bitmaps, the first `most` (0 for all) of each model, in colours that all share, with their range.
///
/// A kernel over three channels is shown as their colours, grey where a weight is 0; one over others as a mosaic of its
/// input channels, row by row.
///
/// # Errors
/// There are no kernels, or they differ in shape.
pub fn kernel_bitmaps(sets: &[(&str, &Kernels)], most: usize) -> Result<(Vec<Vec<Bitmap>>, Range)> {
    let [.., oc] = same_shape(sets)?;
    let range = range(sets);
    let shown = if most == 0 { oc } else { most.min(oc) };
    let all = |(_, k): &(&str, &Kernels)| (0..shown).map(|i| kernel(&k.w, i, &range)).collect::<Result<Vec<_>>>();
    Ok((sets.iter().map(all).collect::<Result<_>>()?, range))
}

/// How [`kernel_bitmaps`] shows kernels over so many channels; nothing where a kernel has one.
pub fn kernel_words(ic: usize) -> String {
    match ic {
        1 => String::new(),
        3 => "as colours, grey is 0".into(),
        _ if ic > SLICES => format!("each a mosaic of its first {SLICES} of {ic} input channels"),
        _ => format!("each a mosaic of its {ic} input channels"),
    }
}

fn same_shape(sets: &[(&str, &Kernels)]) -> Result<[usize; 4]> {
    let (_, first) = sets.first().ok_or_else(|| Error::argument("there are no kernels to draw"))?;
    let &[kh, kw, ic, oc] = first.w.dims() else { return Err(Error::shape("kernels have the axes kh, kw, ic, oc")) };
    if let Some((what, other)) = sets.iter().find(|(_, k)| k.w.dims() != first.w.dims()) {
        return Err(Error::shape(format!("{what}: kernels of shape {:?}, not {:?}", other.w.dims(), first.w.dims())));
    }
    Ok([kh, kw, ic, oc])
}

/// How far kernels have moved: the norm of the difference, as a share of the norm before.
///
/// # Errors
/// They differ in shape.
pub fn kernel_change(now: &Kernels, before: &Kernels) -> Result<f64> {
    same_shape(&[("before", before), ("now", now)])?;
    let size = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let moved = size(&mut now.w.data().iter().zip(before.w.data()).map(|(a, b)| a - b));
    Ok(moved / size(&mut before.w.data().iter().copied()).max(f64::MIN_POSITIVE))
}

/// Draws kernels as [`kernel_bitmaps`] shows them, those of several models one below the other (V19).
///
/// # Errors
/// There are no kernels, they differ in shape, or a weight is NaN or infinite.
pub fn filters_sheet(name: &str, sets: &[(&str, &Kernels)], most: usize) -> Result<Picture> {
    let [kh, kw, ic, oc] = same_shape(sets)?;
    sets.iter().try_for_each(|(_, kernels)| kernels.check())?;
    let (bitmaps, range) = kernel_bitmaps(sets, most)?;
    // A mosaic needs room.
    let side = if ic == 3 || ic == 1 { SIDE } else { 2.0 * SIDE };
    let section = |((what, _), bitmaps): (&(&str, &Kernels), &Vec<Bitmap>)| {
        let panels = bitmaps.iter().enumerate().map(|(k, b)| Panel::new(b.clone(), side).caption(k.to_string()));
        let mut panels: Vec<Panel> = panels.collect();
        if let Some(last) = panels.last_mut().filter(|_| ic != 3) {
            last.bar = Some(range.bar(""));
        }
        let items = panels.into_iter().map(Item::Image).collect();
        Section { heading: what.to_string(), note: String::new(), items }
    };
    let shown = bitmaps[0].len();
    let sections = sets.iter().zip(&bitmaps).map(section).collect();
    let count = if shown < oc { format!("{shown} of {oc}") } else { oc.to_string() };
    let how = Some(kernel_words(ic)).filter(|w| !w.is_empty()).map_or(String::new(), |words| format!("; {words}"));
    let (_, first) = &sets[0];
    let title = format!("Filters of {name}, layer {}", first.layer);
    Sheet { title, subtitle: format!("{count} kernels of {kh} x {kw}{how}"), sections, ..Sheet::default() }.picture()
}

// One kernel as an image.
fn kernel(w: &Tensor, k: usize, range: &Range) -> Result<Bitmap> {
    let &[kh, kw, ic, _] = w.dims() else { return Err(Error::shape("kernels have the axes kh, kw, ic, oc")) };
    if ic == 3 {
        let of = |y, x, c| (255.0 * range.place(w[[y, x, c, k]])).round() as u8;
        let rgb: Vec<u8> = (0..kh)
            .flat_map(|y| (0..kw).flat_map(move |x| (0..3).map(move |c| (y, x, c))))
            .map(|(y, x, c)| of(y, x, c))
            .collect();
        return Bitmap::new([kh, kw, 3], &rgb);
    }
    let slices = ic.min(SLICES);
    let columns = (1..=slices).find(|n| n * n >= slices).unwrap_or(1);
    let rows = slices.div_ceil(columns);
    // One pixel of the page between two slices.
    let (height, width) = (rows * (kh + 1) - 1, columns * (kw + 1) - 1);
    let mut rgb = vec![255; 3 * height * width];
    for s in 0..slices {
        let (top, left) = (s / columns * (kh + 1), s % columns * (kw + 1));
        for (y, x) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
            let colour = range.map.at(range.place(w[[y, x, s, k]]));
            let at = 3 * ((top + y) * width + left + x);
            rgb[at..at + 3].copy_from_slice(&[colour.0, colour.1, colour.2]);
        }
    }
    Bitmap::new([height, width, 3], &rgb)
}
