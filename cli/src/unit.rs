//! `striate unit MODEL IMAGE --layer L --at y,x,c`: one unit taken apart, and the images of a data set that excite it.

use serde_json::json;
use striate::Result;
use striate::data::Image;
use striate::inspect::{ExciteAsk, Excited, Unit, most_exciting, unit, unit_animation, unit_sheet, unit_words};

use crate::args::UnitArgs;
use crate::look::{self, Moves, Subject};
use crate::out::say;
use crate::{input, out, sample};

pub fn run(args: &UnitArgs) -> Result<()> {
    let subject = Subject::open(&args.of, &args.look, Moves::Yes)?;
    let machine = args.look.feed.machine.machine()?;
    let found = unit(&subject.model, &subject.x, &args.layer, args.at, &machine)?;
    let images = exciting(args, &subject)?;
    if !args.look.json {
        let [y, x, c] = found.at;
        say!("layer {} ({}), row {y}, column {x}, channel {c}", found.layer, found.class);
        say!("  sees rows {:?}, columns {:?} of the image", found.patch.rows, found.patch.columns);
        say!("  {}", unit_words(&found));
        for (e, _) in &images {
            say!("  image {} ({}): {:.4} at row {}, column {}", e.index, e.class, e.value, e.at[0], e.at[1]);
        }
    }
    let path = look::save_moving(
        || unit_sheet(&found, &subject.image, &images),
        || unit_animation(&found, &subject.image, &images),
        &args.look,
        "unit",
    )?;
    if args.look.json {
        out::json(as_json(&found, &images, &path.to_string_lossy()));
    }
    Ok(())
}

fn exciting(args: &UnitArgs, subject: &Subject) -> Result<Vec<(Excited, Image)>> {
    let Some(name) = &args.data else { return Ok(Vec::new()) };
    let preprocess = subject.preprocess.as_ref();
    let data = sample::prepared(input::data(name, preprocess)?.test, preprocess);
    let ask = ExciteAsk {
        layer: &args.layer,
        channel: args.at[2],
        count: args.images,
        limit: args.limit,
        machine: args.look.feed.machine.machine()?,
    };
    let found = most_exciting(&subject.model, &*data, &ask)?;
    Ok(found.into_iter().filter_map(|e| data.image(e.index).map(|image| (e, image))).collect())
}

fn as_json(unit: &Unit, images: &[(Excited, Image)], picture: &str) -> serde_json::Value {
    let range = |r: &std::ops::Range<usize>| json!([r.start, r.end]);
    let sum = unit.sum.as_ref().map(|s| {
        json!({ "shape": s.x.dims(), "first_channel": s.first_channel, "x": s.x.data(), "w": s.w.data(), "sum": s.sum, "bias": s.bias })
    });
    let images =
        images.iter().map(|(e, _)| json!({ "index": e.index, "class": e.class, "value": e.value, "at": e.at }));
    json!({ "layer": unit.layer, "class": unit.class, "at": unit.at,
            "field": { "rows": range(&unit.patch.rows), "columns": range(&unit.patch.columns) },
            "products": sum, "before": unit.before, "activation": unit.activation.to_string(), "value": unit.value,
            "gradient": { "shape": unit.gradient.dims(), "of_value": unit.gradient.data(),
                          "of_sum": unit.gradient_before.data() },
            "images": images.collect::<Vec<_>>(), "picture": picture })
}
