//! `striate convert IN OUT`: a model in another file format, checked by loading it again.

use striate::exchange::diff::{DiffConfig, diff};
use striate::{Error, ErrorKind, Model, Result};

use crate::args::ConvertArgs;
use crate::diff::number;
use crate::input::{self, Wanted};
use crate::out::say;

pub fn run(args: &ConvertArgs) -> Result<()> {
    let out = args.to.display();
    if args.to.exists() && !args.force && !args.to.is_dir() {
        return Err(Error::argument(format!("{out} is there already")).with_help("--force overwrites it"));
    }
    let model = input::trained(&args.from, &Wanted { network: &args.network, offline: false })?;
    save(&model, args)?;
    let checked = check(&model, args)?;
    if !args.quiet {
        let size = std::fs::metadata(&args.to).map_or(0, |m| m.len());
        say!("{} -> {out}, {:.1} MB", args.from, size as f64 / 1e6);
        say!("{checked}");
    }
    Ok(())
}

fn save(model: &Model, args: &ConvertArgs) -> Result<()> {
    model.save(&args.to)
}

// OUT is read again, and must give what IN gives.
fn check(model: &Model, args: &ConvertArgs) -> Result<String> {
    let back = Model::load(&args.to)?;
    let found = diff(model, &back, None, &DiffConfig::default())?;
    let gap = found.output.map(|gap| gap.relative());
    match gap {
        Some(0.0) => Ok(format!("checked: the same outputs to the bit ({})", found.origin)),
        Some(gap) if found.equal() => {
            Ok(format!("checked: the same outputs, largest difference {} of the largest ({})", number(gap), found.origin))
        }
        _ => {
            let (from, to) = (&args.from, args.to.display());
            let help = format!("`striate diff {from} {to}` shows from where on; please report it");
            Err(Error::new(ErrorKind::Numeric, format!("{to} was written, but does not compute what {from} does"))
                .with_help(help))
        }
    }
}
