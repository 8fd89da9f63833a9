//! `striate maximise MODEL`: the images that classes or channels answer to most.

use serde_json::json;
use striate::inspect::{Goal, MaximiseConfig, Maximum, maximise, maximise_sheet};
use striate::{Error, Result};

use crate::args::MaximiseArgs;
use crate::out::say;
use crate::{look, out, sample};

pub fn run(args: &MaximiseArgs) -> Result<()> {
    let model = look::open_model(&args.model, &args.look)?;
    let graph = model.graph();
    let input = graph.input_shape()?;
    let preprocess = sample::preprocess(model.preprocess.as_ref(), &args.look.pixels, input)?;
    let mut goals: Vec<(String, Goal)> = Vec::new();
    for text in &args.class {
        let class = look::class(&model, text)?;
        goals.push((look::label(&model, class), Goal::Class(class)));
    }
    if let Some(layer) = &args.layer {
        let goal = |c: &usize| (format!("{layer}, channel {c}"), Goal::Channel { layer: layer.clone(), channel: *c });
        goals.extend(args.channel.iter().map(goal));
    }
    if goals.is_empty() {
        return Err(Error::argument("nothing was named to be maximised")
            .with_help("give --class CLASS..., or --layer LAYER --channel N..."));
    }
    let config = MaximiseConfig {
        levels: look::levels(preprocess.as_ref(), input.channels()),
        steps: args.steps,
        smooth: args.smooth,
        jitter: args.jitter,
        seed: args.seed,
        machine: args.look.machine.machine()?,
    };
    let mut all: Vec<(String, Maximum)> = Vec::new();
    for (name, goal) in goals {
        let found = maximise(&model, &goal, &config)?;
        if !args.look.json {
            say!("{name}: {:.4} for grey, {:.4} for the image", found.start, found.value);
        }
        all.push((name, found));
    }
    let picture = maximise_sheet(graph.name(), &all)?;
    let path = look::save(&picture, &args.look, "maximise")?;
    if args.look.json {
        let one = all.iter().map(|(name, m)| {
            json!({ "goal": name, "start": m.start, "value": m.value, "shape": m.image.dims(), "pixels": m.image.pixels() })
        });
        out::json(json!({ "images": one.collect::<Vec<_>>(), "picture": path }));
    }
    Ok(())
}
