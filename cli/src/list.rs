//! `striate models` and `striate data`: what there is.

use serde_json::json;
use striate::{Result, data, zoo};

use crate::args::ListArgs;
use crate::out::{self, say};

pub fn models(args: &ListArgs) -> Result<()> {
    let mut rows = Vec::new();
    let mut family = "";
    for entry in zoo::entries() {
        let graph = zoo::recipe(entry.name)?.graph;
        let params: usize =
            graph.nodes().iter().flat_map(|n| graph.params(n)).filter(|p| p.trainable).map(|p| p.len()).sum();
        let mul_adds = graph.mul_adds();
        rows.push(json!({ "name": entry.name, "family": entry.family, "input": entry.input, "classes": entry.classes,
            "params": params, "mul_adds": mul_adds, "about": entry.about }));
        if args.json {
            continue;
        }
        if family != entry.family {
            say!("{}{}", if family.is_empty() { "" } else { "\n" }, entry.family);
            family = entry.family;
        }
        let [h, w, c] = entry.input;
        let (params, size) = (out::thousands(params), format!("{h}x{w}x{c}"));
        say!(
            "  {:<18} {params:>11} parameters {:>7} multiply-adds  {size:<9}  {}",
            entry.name,
            short(mul_adds),
            entry.about
        );
    }
    if args.json {
        out::json(rows.into());
    } else {
        say!(
            "\nTrain one with `striate train DATA --model NAME`; --input-size and --classes build it in another size."
        );
        say!(
            "See its layers with `striate summary NAME`, and as a file to be changed with `striate summary NAME --toml`."
        );
    }
    Ok(())
}

// Three digits and a unit: 864 k, 1.82 G.
fn short(n: u64) -> String {
    let (value, unit) = match n {
        0..1_000_000 => (n as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (n as f64 / 1e6, "M"),
        _ => (n as f64 / 1e9, "G"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
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
