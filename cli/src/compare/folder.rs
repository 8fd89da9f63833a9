//! The folder of a comparison: its plan, and each run as soon as it is finished.

use std::path::Path;

use serde_json::Value;
use striate::compare::{Outcome, Outcomes};
use striate::{Error, Result};

use crate::run_folder::RunFolder;

/// What was asked for.
pub const PLAN: &str = "plan.json";
/// What the names of unfinished runs begin with.
pub const UNFINISHED: &str = "finished/";

/// The plan in a folder, if there is one.
pub fn plan(path: &Path) -> Result<Option<Value>> {
    let file = path.join(PLAN);
    match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| Error::format(&file, e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(&file, "read", &e)),
    }
}

/// Keeps a finished run, whole or not at all.
pub fn keep(folder: &RunFolder, id: &str, outcome: &Outcome) -> Result<()> {
    let text = serde_json::to_string(outcome).map_err(|e| Error::argument(format!("{id}: {e}")))?;
    folder.write(&format!("finished/{id}.json"), &text)
}

/// The finished runs of a folder; makes the place for them.
pub fn finished(folder: &RunFolder) -> Result<Outcomes> {
    let path = folder.file("finished");
    let failed = |e| Error::io(&path, "read the folder", &e);
    std::fs::create_dir_all(&path).map_err(|e| Error::io(&path, "make the folder", &e))?;
    let mut done = Outcomes::new();
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // What a killed process was writing has a name that begins with a dot.
        if file.extension().is_none_or(|e| e != "json") || id.starts_with('.') {
            continue;
        }
        let text = std::fs::read_to_string(&file).map_err(|e| Error::io(&file, "read", &e))?;
        let outcome = serde_json::from_str(&text).map_err(|e| {
            Error::format(&file, format!("this is no finished run: {e}"))
                .with_help("remove it; that run is then made anew")
        })?;
        done.insert(id, outcome);
    }
    Ok(done)
}
