//! `striate deconvnet MODEL IMAGE --layer L`: what in an image drives the strongest channels of a layer.

use serde_json::json;
use striate::Result;
use striate::inspect::{DeconvnetAsk, cam_layer, deconvnet, deconvnet_animation, deconvnet_sheet, has_switches};

use crate::args::DeconvnetArgs;
use crate::look::{self, Moves, Subject};
use crate::out;
use crate::out::say;

pub fn run(args: &DeconvnetArgs) -> Result<()> {
    let subject = Subject::open(&args.of, &args.look, Moves::Yes)?;
    let layer = match &args.layer {
        Some(layer) => layer.clone(),
        None => cam_layer(subject.model.graph())?,
    };
    let machine = args.look.feed.machine.machine()?;
    let ask = DeconvnetAsk { layer: &layer, channels: &args.channel, count: args.strongest, machine };
    let all = deconvnet(&subject.model, &subject.x, &ask)?;
    if !args.look.json {
        for r in &all {
            say!(
                "layer {layer}, channel {}: {:.4} at row {}, column {}; sees rows {:?}, columns {:?}",
                r.channel,
                r.value,
                r.at[0],
                r.at[1],
                r.patch.rows,
                r.patch.columns
            );
        }
    }
    if !args.look.json && !has_switches(subject.model.graph(), &layer)? {
        say!(
            "warning: no maximum pool lies before {layer}, so nothing tells where its values came from: what comes back"
        );
        say!("shows the weights more than the image; `striate attribute` shows what counts in the image");
    }
    let path = look::save_moving(
        || deconvnet_sheet(&layer, &subject.image, &all),
        || deconvnet_animation(&layer, &subject.image, &all),
        &args.look,
        "deconvnet",
    )?;
    if args.look.json {
        let one = all.iter().map(|r| {
            json!({ "channel": r.channel, "value": r.value, "at": r.at, "shape": r.pixels.dims(), "pixels": r.pixels.data() })
        });
        out::json(json!({ "layer": layer, "channels": one.collect::<Vec<_>>(), "picture": path }));
    }
    Ok(())
}
