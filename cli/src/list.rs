//! `striate models` and `striate data`: what there is.

use serde_json::json;
use striate::{Model, Result, data, zoo};

use crate::args::ListArgs;
use crate::out::say;

pub fn models(args: &ListArgs) -> Result<()> {
    let mut rows = Vec::new();
    for entry in zoo::entries() {
        let recipe = zoo::recipe(entry.name)?;
        let input = recipe.graph.input_shape()?;
        let params = Model::new(recipe.graph, 0)?.count_params();
        rows.push(
            json!({ "name": entry.name, "input": input.dims(), "params": params.0 + params.1, "about": entry.about }),
        );
        if !args.json {
            say!("{:<16} {:>9} parameters  input {:?}", entry.name, params.0 + params.1, input.dims());
            say!("{:<16} {}", "", entry.about);
        }
    }
    if args.json {
        say!("{}", serde_json::Value::Array(rows));
    } else {
        say!("\nTrain one with `striate train mnist --model NAME`; see its layers with `striate summary NAME`.");
    }
    Ok(())
}

pub fn data(args: &ListArgs) -> Result<()> {
    let sets = data::names().map(data::describe).collect::<Result<Vec<_>>>()?;
    if args.json {
        let rows: Vec<_> = sets
            .iter()
            .map(|d| json!({ "name": d.name, "train": d.train, "test": d.test, "shape": d.dims, "classes": d.classes, "licence": d.licence, "source": d.source }))
            .collect();
        say!("{}", serde_json::Value::Array(rows));
        return Ok(());
    }
    for d in sets {
        say!("{:<8} {} training and {} test images {:?}, {} classes", d.name, d.train, d.test, d.dims, d.classes.len());
        say!("{:<8} {}; licence {}", "", d.source, d.licence);
    }
    say!(
        "\nYour own: give `striate train` a folder with the four IDX files, or with train/ and test/ of one sub-folder a class."
    );
    Ok(())
}
