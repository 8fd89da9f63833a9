//! `striate invert MODEL IMAGE`: how much of the image can be restored from each layer.

use serde_json::json;
use striate::Result;
use striate::inspect::{Inversion, InvertConfig, invert_animation, invert_sheet, invert_watched, stages};

use crate::args::InvertArgs;
use crate::look::{self, Moves, Steps, Subject};
use crate::out;
use crate::out::say;

pub fn run(args: &InvertArgs) -> Result<()> {
    let subject = Subject::open(&args.of, &args.look, Moves::Yes)?;
    let graph = subject.model.graph();
    let mut layers = args.layer.clone();
    if layers.is_empty() {
        layers = stages(graph)?;
        layers.push(graph.node(graph.output()?).name.clone());
    }
    // A mistyped name is told before minutes are spent on the others.
    layers.iter().try_for_each(|layer| graph.value(layer).map(|_| ()))?;
    let config = InvertConfig {
        levels: look::levels(subject.preprocess.as_ref(), graph.input_shape()?.channels()),
        steps: args.steps,
        smooth: args.smooth,
        seed: args.seed,
        machine: args.look.feed.machine.machine()?,
    };
    let mut all: Vec<Inversion> = Vec::new();
    let mut finished = 0;
    let mut failed = None;
    for layer in &layers {
        let mut steps = Steps::new(config.steps, &args.look);
        let found = invert_watched(&subject.model, &subject.x, layer, &config, &mut |done| steps.watch(done));
        let ended = steps.end();
        let found = match found {
            Ok(found) => found,
            // What the layers before gave is not thrown away.
            Err(e) if !all.is_empty() => {
                failed = Some(e);
                break;
            }
            Err(e) => return Err(e),
        };
        finished += usize::from(ended);
        if !args.look.json {
            say!(
                "layer {layer}: {} values, restored to {:.1} % off (grey: {:.1} %); correlation with the image {:.3}",
                found.values,
                100.0 * found.error,
                100.0 * found.start,
                found.correlation
            );
        }
        all.push(found);
        if !ended {
            break;
        }
    }
    let (name, photo) = (graph.name(), &subject.image);
    let path = look::save_moving(
        || invert_sheet(name, photo, &all),
        || invert_animation(name, photo, &all),
        &args.look,
        "invert",
    )?;
    if args.look.json {
        let one = all.iter().map(|i| {
            let steps: Vec<_> = i.moments.iter().map(|m| json!({ "step": m.step, "error": m.value })).collect();
            json!({ "layer": i.layer, "values": i.values, "error": i.error, "start": i.start, "correlation": i.correlation,
                    "steps": steps, "shape": i.image.dims(), "pixels": i.image.pixels() })
        });
        out::json(json!({ "layers": one.collect::<Vec<_>>(), "picture": path }));
    }
    if let Some(error) = failed {
        return Err(look::broken_off(&error, &path));
    }
    if finished < layers.len() {
        return Err(look::stopped(finished, layers.len(), "layers", &path));
    }
    Ok(())
}
