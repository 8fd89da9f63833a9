//! `striate invert MODEL IMAGE`: how much of the image can be restored from each layer.

use std::path::Path;

use serde_json::{Value, json};
use striate::inspect::{Inversion, InvertConfig, invert_animation, invert_sheet, invert_watched, stages};
use striate::{Graph, Result};

use crate::args::InvertArgs;
use crate::look::{self, Moves, Row, Subject};
use crate::out;
use crate::out::say;

pub fn run(args: &InvertArgs) -> Result<()> {
    let subject = Subject::open(&args.of, &args.look, Moves::Yes)?;
    let graph = subject.model.graph();
    let layers = layers(args, graph)?;
    let config = InvertConfig {
        levels: look::levels(subject.preprocess.as_ref(), graph.input_shape()?.channels()),
        steps: args.steps,
        smooth: args.smooth,
        seed: args.seed,
        machine: args.look.feed.machine.machine()?,
    };
    let mut row = Row::new("layers", layers.len());
    for layer in &layers {
        let found = row.next(&args.look, config.steps, &mut |watch| {
            invert_watched(&subject.model, &subject.x, layer, &config, watch)
        })?;
        match found {
            Some(found) if !args.look.json => tell(found),
            _ => {}
        }
        if row.is_over() {
            break;
        }
    }
    let (name, photo, all) = (graph.name(), &subject.image, row.all());
    let path = look::save_moving(
        || invert_sheet(name, photo, all),
        || invert_animation(name, photo, all),
        &args.look,
        "invert",
    )?;
    if args.look.json {
        out::json(as_json(all, &path));
    }
    row.end(&path)
}

// The layers that were named, else those worth a look and the output.
fn layers(args: &InvertArgs, graph: &Graph) -> Result<Vec<String>> {
    let mut layers = args.layer.clone();
    if layers.is_empty() {
        layers = stages(graph)?;
        layers.push(graph.node(graph.output()?).name.clone());
    }
    // A mistyped name is told before minutes are spent on the others.
    layers.iter().try_for_each(|layer| graph.value(layer).map(|_| ()))?;
    Ok(layers)
}

fn tell(found: &Inversion) {
    say!(
        "layer {}: {} values, restored to {:.1} % off (grey: {:.1} %); correlation with the image {:.3}",
        found.layer,
        found.values,
        100.0 * found.error,
        100.0 * found.start,
        found.correlation
    );
}

fn as_json(all: &[Inversion], path: &Path) -> Value {
    let one = all.iter().map(|i| {
        let steps: Vec<_> = i.moments.iter().map(|m| json!({ "step": m.step, "error": m.value })).collect();
        json!({ "layer": i.layer, "values": i.values, "error": i.error, "start": i.start, "correlation": i.correlation,
                "steps": steps, "shape": i.image.dims(), "pixels": i.image.pixels() })
    });
    json!({ "layers": one.collect::<Vec<_>>(), "picture": path })
}
