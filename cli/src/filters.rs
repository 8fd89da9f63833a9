//! `striate filters MODEL`: the kernels of a layer as pictures, and what they were before training.

use serde_json::json;
use striate::inspect::{Kernels, filters_sheet, kernel_change, kernels};
use striate::{Error, Model, Result};

use crate::args::FiltersArgs;
use crate::look::Moves;
use crate::out::say;
use crate::{input, look, out};

pub fn run(args: &FiltersArgs) -> Result<()> {
    let model = look::open_model(&args.model, &args.look, Moves::No)?;
    let now = kernels(&model, args.layer.as_deref())?;
    let before = match (&args.compare, args.before) {
        (Some(other), _) => {
            Some((other.clone(), kernels(&look::open_model(other, &args.look, Moves::No)?, Some(&now.layer))?))
        }
        (None, true) => Some(("before training".into(), kernels(&fresh(&model)?, Some(&now.layer))?)),
        (None, false) => None,
    };
    let name = model.graph().name();
    let here = match (&before, args.before) {
        (None, _) => "",
        (Some(_), true) => "after training",
        (Some(_), false) => args.model.as_str(),
    };
    let mut sets: Vec<(&str, &Kernels)> = before.iter().map(|(what, k)| (what.as_str(), k)).collect();
    sets.push((here, &now));
    let picture = filters_sheet(name, &sets, args.kernels)?;
    if !args.look.json {
        let d = now.w.dims();
        say!("{name}, layer {}: {} kernels of {} x {} x {}", now.layer, d[3], d[0], d[1], d[2]);
        if let Some((what, other)) = &before {
            say!("they differ from {what} by {:.1} % of the size there", 100.0 * kernel_change(&now, other)?);
        }
    }
    let path = look::save(&picture, &args.look, "filters")?;
    if args.look.json {
        let before = before.as_ref().map(|(what, k)| json!({ "what": what, "kernels": k.w.data() }));
        out::json(
            json!({ "layer": now.layer, "shape": now.w.dims(), "kernels": now.w.data(), "before": before, "picture": path }),
        );
    }
    Ok(())
}

// The weights that training began with: the seed of the run draws them again.
fn fresh(model: &Model) -> Result<Model> {
    let settings = input::settings(model).ok_or_else(|| {
        Error::argument("the model does not say how its training began")
            .with_help("only runs of `striate train` note their seed; compare with another file: --compare FILE")
    })?;
    Model::new(model.graph().clone(), settings.seed)
}
