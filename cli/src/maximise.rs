//! `striate maximise MODEL`: the images that classes or channels answer to most.

use std::path::Path;

use serde_json::{Value, json};
use striate::inspect::{Goal, MaximiseConfig, Maximum, maximise_animation, maximise_sheet, maximise_watched};
use striate::{Error, Model, Result};

use crate::args::MaximiseArgs;
use crate::look::{Moves, Row};
use crate::out::say;
use crate::{look, out, sample};

pub fn run(args: &MaximiseArgs) -> Result<()> {
    let model = look::open_model(&args.model, &args.look, Moves::Yes)?;
    let graph = model.graph();
    let input = graph.input_shape()?;
    let preprocess = sample::preprocess(model.preprocess.as_ref(), &args.look.feed.pixels, input)?;
    let goals = goals(args, &model)?;
    let config = MaximiseConfig {
        levels: look::levels(preprocess.as_ref(), input.channels()),
        steps: args.steps,
        smooth: args.smooth,
        jitter: args.jitter,
        seed: args.seed,
        machine: args.look.feed.machine.machine()?,
    };
    let mut row = Row::new("images", goals.len());
    for (name, goal) in &goals {
        let found = row.next(&args.look, config.steps, &mut |watch| {
            Ok((name.clone(), maximise_watched(&model, goal, &config, watch)?))
        })?;
        match found {
            Some((name, found)) if !args.look.json => {
                say!("{name}: {:.4} for grey, {:.4} for the image", found.start, found.value);
            }
            _ => {}
        }
        if row.is_over() {
            break;
        }
    }
    let (name, all) = (graph.name(), row.all());
    let path =
        look::save_moving(|| maximise_sheet(name, all), || maximise_animation(name, all), &args.look, "maximise")?;
    if args.look.json {
        out::json(as_json(all, &path));
    }
    row.end(&path)
}

// What is to be made large, each with its name.
fn goals(args: &MaximiseArgs, model: &Model) -> Result<Vec<(String, Goal)>> {
    let mut goals: Vec<(String, Goal)> = Vec::new();
    for text in &args.class {
        let class = look::class(model, text)?;
        goals.push((look::label(model, class), Goal::Class(class)));
    }
    if let Some(layer) = &args.layer {
        let goal = |c: &usize| (format!("{layer}, channel {c}"), Goal::Channel { layer: layer.clone(), channel: *c });
        goals.extend(args.channel.iter().map(goal));
    }
    if goals.is_empty() {
        return Err(Error::argument("nothing was named to be maximised")
            .with_help("give --class CLASS..., or --layer LAYER --channel N..."));
    }
    // A mistyped number is told before minutes are spent on the others.
    goals.iter().try_for_each(|(_, goal)| goal.check(model))?;
    Ok(goals)
}

fn as_json(all: &[(String, Maximum)], path: &Path) -> Value {
    let one = all.iter().map(|(name, m)| {
        let steps: Vec<_> = m.moments.iter().map(|m| json!({ "step": m.step, "value": m.value })).collect();
        json!({ "goal": name, "start": m.start, "value": m.value, "steps": steps, "shape": m.image.dims(),
                "pixels": m.image.pixels() })
    });
    json!({ "images": one.collect::<Vec<_>>(), "picture": path })
}
