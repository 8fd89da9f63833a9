//! `striate models` and `striate data`: what there is.

use serde_json::json;
use striate::{Model, Result, data, zoo};

use crate::args::ListArgs;

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
            println!("{:<16} {:>9} parameters  input {:?}", entry.name, params.0 + params.1, input.dims());
            println!("{:<16} {}", "", entry.about);
        }
    }
    if args.json {
        println!("{}", serde_json::Value::Array(rows));
    } else {
        println!("\nTrain one with `striate train mnist --model NAME`; see its layers with `striate summary NAME`.");
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
        println!("{}", serde_json::Value::Array(rows));
        return Ok(());
    }
    for d in sets {
        println!(
            "{:<8} {} training and {} test images {:?}, {} classes",
            d.name,
            d.train,
            d.test,
            d.dims,
            d.classes.len()
        );
        println!("{:<8} {}; licence {}", "", d.source, d.licence);
    }
    println!(
        "\nYour own: give `striate train` a folder with the four IDX files, or with train/ and test/ of one sub-folder a class."
    );
    Ok(())
}
