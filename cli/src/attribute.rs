//! `striate attribute MODEL IMAGE`: which pixels an answer rests on, and whether to believe the picture.

use serde_json::json;
use striate::Result;
use striate::inspect::{AttributeConfig, Attribution, Curves, Trust, attribute, attribution_sheet, examine};

use crate::args::{AttributeArgs, Blank};
use crate::look::{self, Moves, Subject};
use crate::out;
use crate::out::say;
use crate::stop;

// How far the sum of integrated gradients may be off before more steps are taken, and before it is said.
const TOLERANCE: f32 = 0.01;

pub fn run(args: &AttributeArgs) -> Result<()> {
    let subject = Subject::open(&args.of, &args.look, Moves::No)?;
    stop::at_once();
    let Subject { model, x, image, preprocess } = &subject;
    let channels = model.graph().input_shape()?.channels();
    let byte = match args.baseline {
        Blank::Black => 0,
        Blank::Grey => 128,
        Blank::White => 255,
    };
    let config = AttributeConfig {
        method: args.method.parse()?,
        class: args.class.as_deref().map(|text| look::class(model, text)).transpose()?,
        layer: args.layer.clone(),
        baseline: look::number_of_byte(preprocess.as_ref(), channels, byte),
        samples: args.samples,
        tolerance: TOLERANCE,
        noise: args.noise,
        window: args.window,
        seed: args.seed,
        machine: args.look.feed.machine.machine()?,
    };
    let found = attribute(model, x, &config)?;
    let trust = if args.no_check { None } else { Some(examine(model, x, &found, &config)?) };
    let name = subject.label(found.class);
    let picture = attribution_sheet(&found, image, &name, trust.as_ref())?;
    if !args.look.json {
        tell(&found, &name, trust.as_ref());
    }
    let path = look::save(&picture, &args.look, "attribution")?;
    if args.look.json {
        out::json(as_json(&found, &name, trust.as_ref(), &path.to_string_lossy()));
    }
    Ok(())
}

fn tell(found: &Attribution, name: &str, trust: Option<&Trust>) {
    say!("{}: {name}, probability {:.2} %, score {:.3}", found.method.title(), 100.0 * found.probability, found.score);
    if let Some((layer, map)) = &found.layer {
        say!("  layer {layer}, {} x {}", map.dims()[0], map.dims()[1]);
    }
    if let Some([sum, rise]) = found.completeness {
        let gap = (sum - rise).abs() / rise.abs().max(f64::MIN_POSITIVE);
        say!(
            "  the map sums to {sum:.3}, the score rises by {rise:.3} from the baseline to the image: {} off, {} gradients",
            percent(gap),
            found.gradients
        );
        if gap > f64::from(TOLERANCE) {
            say!("  warning: these should be equal; more --samples bring them together");
        }
    }
    trust.into_iter().flat_map(Trust::sentences).for_each(|line| say!("  {line}"));
}

// A large part of a rise that is nearly 0 says nothing.
fn percent(part: f64) -> String {
    if part < 10.0 { format!("{:.2} %", 100.0 * part) } else { "far".into() }
}

fn as_json(found: &Attribution, name: &str, trust: Option<&Trust>, picture: &str) -> serde_json::Value {
    let curve = |c: &Curves| json!({ "share": c.share, "map": c.map, "moved": c.moved, "area": c.area(), "moved_area": c.moved_area() });
    let layer = found.layer.as_ref().map(|(name, map)| json!({ "name": name, "shape": map.dims(), "map": map.data() }));
    let checks = trust.map(|t| {
        let random = t.randomised.iter().map(|r| json!({ "layers": r.layers, "of": r.of, "rank_correlation": r.similarity }));
        json!({ "randomised": random.collect::<Vec<_>>(), "deletion": curve(&t.deletion), "insertion": curve(&t.insertion),
                "depends_on_weights": t.depends_on_weights(), "marks_what_matters": t.marks_what_matters() })
    });
    json!({ "method": found.method.name(), "class": name, "index": found.class, "score": found.score,
            "probability": found.probability, "shape": found.map.dims(), "map": found.map.data(), "layer": layer,
            "completeness": found.completeness, "gradients": found.gradients, "checks": checks, "picture": picture })
}
