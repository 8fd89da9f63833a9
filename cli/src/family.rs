//! `striate family`: the family tree of the networks.

use serde_json::json;
use striate::Result;
use striate::lab::family;

use crate::args::claim::FamilyArgs;
use crate::out::{self, say};

pub fn run(args: &FamilyArgs) -> Result<()> {
    let members = family::members()?;
    if let Some(path) = &args.draw {
        family::picture(&members)?.save(path)?;
    }
    if args.json {
        out::json(json!(members));
        return Ok(());
    }
    out::raw(family::table(&members).as_bytes());
    if let Some(path) = &args.draw {
        say!("Drawn: {}", path.display());
    }
    Ok(())
}
