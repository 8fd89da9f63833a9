//! `striate history`: the ImageNet challenge, year by year.

use serde_json::json;
use striate::Result;
use striate::lab::history;

use crate::args::claim::HistoryArgs;
use crate::out::{self, say};

pub fn run(args: &HistoryArgs) -> Result<()> {
    if let Some(path) = &args.draw {
        history::picture()?.save(path)?;
    }
    if args.json {
        out::json(json!({ "winners": history::WINNERS, "human": history::HUMAN, "afterwards": history::AFTERWARDS }));
        return Ok(());
    }
    out::raw(history::table().as_bytes());
    if let Some(path) = &args.draw {
        say!("Drawn: {}", path.display());
    }
    Ok(())
}
