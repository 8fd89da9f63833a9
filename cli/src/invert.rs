//! `striate invert MODEL IMAGE`: how much of the image can be restored from each layer.

use serde_json::json;
use striate::Result;
use striate::inspect::{Inversion, InvertConfig, invert, invert_sheet, stages};

use crate::args::InvertArgs;
use crate::look::{self, Subject};
use crate::out;
use crate::out::say;

pub fn run(args: &InvertArgs) -> Result<()> {
    let subject = Subject::open(&args.model, &args.image, &args.look)?;
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
        machine: args.look.machine.machine()?,
    };
    let mut all: Vec<Inversion> = Vec::new();
    for layer in &layers {
        let found = invert(&subject.model, &subject.x, layer, &config)?;
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
    }
    let picture = invert_sheet(graph.name(), &subject.image, &all)?;
    let path = look::save(&picture, &args.look, "invert")?;
    if args.look.json {
        let one = all.iter().map(|i| {
            json!({ "layer": i.layer, "values": i.values, "error": i.error, "start": i.start, "correlation": i.correlation,
                    "shape": i.image.dims(), "pixels": i.image.pixels() })
        });
        out::json(json!({ "layers": one.collect::<Vec<_>>(), "picture": path }));
    }
    Ok(())
}
