//! `striate features MODEL IMAGE`: the feature maps of each layer; with `--lines`, what two line filters see in images.

use std::path::Path;

use serde_json::json;
use striate::data::Image;
use striate::inspect::{
    FeatureStyle, LayerMaps, feature_maps, features_animation, features_sheet, filter_images, filtered_sheet,
    line_filters, stages,
};
use striate::visual::short;
use striate::{Error, Result};

use crate::args::{FeaturesArgs, SubjectArgs};
use crate::look::{self, Moves, Subject};
use crate::out;
use crate::out::say;

pub fn run(args: &FeaturesArgs) -> Result<()> {
    if args.lines {
        return lines(args);
    }
    let [model, image] = args.inputs.as_slice() else {
        return Err(Error::argument(format!("features takes a model and one image, not {} names", args.inputs.len()))
            .with_help("striate features MODEL IMAGE; or, without a model, striate features --lines IMAGE..."));
    };
    let of = SubjectArgs { model: model.to_string_lossy().into_owned(), image: image.clone() };
    let subject = Subject::open(&of, &args.look, Moves::Yes)?;
    let graph = subject.model.graph();
    let layers = if args.layer.is_empty() { stages(graph)? } else { args.layer.clone() };
    let maps = feature_maps(&subject.model, &subject.x, &layers, &args.look.feed.machine.machine()?)?;
    let style = FeatureStyle { channels: args.channels, own_range: args.each };
    if !args.look.json {
        maps.iter().for_each(|m| say!("{}", in_words(m)));
    }
    let (name, photo) = (graph.name(), &subject.image);
    let path = look::save_moving(
        || features_sheet(name, photo, &maps, &style),
        || features_animation(name, photo, &maps, &style),
        &args.look,
        "features",
    )?;
    if args.look.json {
        let layers = maps
            .iter()
            .map(|m| json!({ "layer": m.layer, "class": m.class, "shape": m.maps.dims(), "maps": m.maps.data() }));
        out::json(json!({ "layers": layers.collect::<Vec<_>>(), "picture": path }));
    }
    Ok(())
}

fn in_words(maps: &LayerMaps) -> String {
    let (dims, values) = (maps.maps.dims(), maps.maps.data());
    let silent = (0..maps.channels()).filter(|c| maps.channel(*c).iter().all(|v| *v == 0.0)).count();
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut line = format!(
        "{} ({}, {} x {} x {}): {} to {}",
        maps.layer,
        maps.class,
        dims[0],
        dims[1],
        dims[2],
        short(f64::from(low)),
        short(f64::from(high))
    );
    if silent > 0 {
        line += &format!(", {silent} of {} channels silent", dims[2]);
    }
    line
}

// E22: bytes / 255, both images as one batch where they have one size, convolved with two 7x7 filters.
fn lines(args: &FeaturesArgs) -> Result<()> {
    args.look.out.iter().try_for_each(|path| out::check_picture(path, false))?;
    let open = |path: &std::path::PathBuf| Ok((name(path), Image::open(path)?));
    let images: Vec<(String, Image)> = args.inputs.iter().map(open).collect::<Result<_>>()?;
    let alone: Vec<Image> = images.iter().map(|(_, image)| image.clone()).collect();
    let channels = alone.first().map_or(0, |image| image.dims()[2]);
    let filters = line_filters(channels);
    let maps = filter_images(&alone, &filters, &args.look.feed.machine.machine()?)?;
    let names = ["vertical line", "horizontal line"];
    let picture = filtered_sheet(&images, &names, &maps)?;
    let [_, h, w, n] = [maps.dims()[0], maps.dims()[1], maps.dims()[2], maps.dims()[3]];
    let range = |i: usize, k: usize| {
        let values = maps.data()[i * h * w * n..(i + 1) * h * w * n].iter().skip(k).step_by(n);
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)))
    };
    if !args.look.json {
        for (i, (image, _)) in images.iter().enumerate() {
            for (k, filter) in names.iter().enumerate() {
                let (low, high) = range(i, k);
                say!("{image}, {filter}: {h} x {w}, {low:.4} to {high:.4}");
            }
        }
    }
    let path = look::save(&picture, &args.look, "features")?;
    if args.look.json {
        let names: Vec<&String> = images.iter().map(|(name, _)| name).collect();
        out::json(json!({ "images": names, "filters": ["vertical line", "horizontal line"], "shape": maps.dims(),
                          "maps": maps.data(), "picture": path }));
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
