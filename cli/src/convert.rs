//! `striate convert IN OUT`: a model in another file format, checked by loading it again.

use striate::exchange::diff::{DiffConfig, diff};
use striate::exchange::{self, Network, Open, Save};
use striate::format::FileKind;
use striate::format::onnx::Export;
use striate::{Error, ErrorKind, Model, Result};

use crate::args::ConvertArgs;
use crate::diff::number;
use crate::input::{self, Wanted};
use crate::out::say;

pub fn run(args: &ConvertArgs) -> Result<()> {
    let to = args.to.display();
    if args.to.is_file() && !args.force {
        return Err(Error::argument(format!("{to} is there already")).with_help("--force overwrites it"));
    }
    let model = input::trained(&args.from, &Wanted { network: &args.network, offline: false })?;
    let options = Save { train: input::settings(&model).unwrap_or_default(), onnx: Export { opset: args.opset } };
    let notes = exchange::save(&model, &args.to, &options)?;
    let checked = check(&model, args)?;
    if !args.quiet {
        let size = std::fs::metadata(&args.to).map_or(0, |m| m.len());
        say!("{} -> {to}, {}", args.from, megabytes(size));
        notes.iter().for_each(|note| say!("note: {note}"));
        say!("{checked}");
    }
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

// OUT is read again, and must give what IN gives.
fn check(model: &Model, args: &ConvertArgs) -> Result<String> {
    let network = Some(Network::Graph(model.graph().clone()));
    let back = exchange::open(&args.to, &Open { network })?;
    let (from, to) = (&args.from, args.to.display());
    if back.kind == FileKind::Toml {
        return match back.model.graph().to_document()? == model.graph().to_document()? {
            true => Ok("checked: the same network".into()),
            false => Err(wrong(format!("{to} was written, but is not the network of {from}"))),
        };
    }
    let found = diff(model, &back.model, None, &DiffConfig::default())?;
    match found.output.map(|gap| gap.relative()) {
        Some(0.0) => Ok(format!("checked: the same outputs, to the bit ({})", found.origin)),
        Some(gap) if found.equal() => Ok(format!(
            "checked: the same outputs, largest difference {} of the largest value ({})",
            number(gap),
            found.origin
        )),
        _ => Err(wrong(format!("{to} was written, but does not compute what {from} does"))
            .with_help(format!("see from where on: striate diff {from} {to}"))),
    }
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::Numeric, what)
}
