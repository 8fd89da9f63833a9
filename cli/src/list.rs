//! `striate models` and `striate data`: what there is.

use serde_json::json;
use striate::{Model, Result, data, zoo};

use crate::args::ListArgs;
use crate::out::{self, say};

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
            let params = out::thousands(params.0 + params.1);
            say!("{:<16} {params} parameters, input {:?}", entry.name, input.dims());
            say!("{:<16} {}", "", entry.about);
        }
    }
    if args.json {
        out::json(rows.into());
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
        out::json(rows.into());
        return Ok(());
    }
    for d in sets {
        let (train, test) = (out::thousands(d.train), out::thousands(d.test));
        let (shape, classes) = (d.dims, d.classes.len());
        say!("{:<8} {}: {train} training and {test} test images {shape:?}, {classes} classes", d.name, d.title);
        say!("{:<8} {}; licence {}", "", d.source, d.licence);
    }
    say!(
        "\nYour own: give `striate train` a folder with the four IDX files, or with one sub-folder of images per class\n(in train/ and test/, or without them: then a fifth of each class is the test set)."
    );
    Ok(())
}
