//! The folder for what is fetched once and can be fetched again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use striate::{Error, Result};

/// `STRIATE_CACHE`, else the place that the system has for such files.
///
/// # Errors
/// Neither is known.
pub fn folder() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    place(std::env::consts::OS, &variable).ok_or_else(|| {
        Error::argument("there is no folder to keep fetched files in: no home folder is known")
            .with_help("set STRIATE_CACHE to a folder")
    })
}

fn place(system: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(folder) = variable("STRIATE_CACHE") {
        return Some(PathBuf::from(folder));
    }
    let home = |below: &str| variable("HOME").map(|home| Path::new(&home).join(below));
    match system {
        "windows" => variable("LOCALAPPDATA").map(|folder| Path::new(&folder).join("striate").join("cache")),
        "macos" => home("Library/Caches/striate"),
        // The XDG Base Directory Specification ignores a path that is not absolute.
        _ => match variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute()) {
            Some(folder) => Some(folder.join("striate")),
            None => home(".cache/striate"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_place() {
        let found = |system: &str, set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            place(system, &variable)
        };
        let home = ("HOME", "/h");
        assert_eq!(found("linux", &[home]), Some("/h/.cache/striate".into()));
        assert_eq!(found("linux", &[home, ("XDG_CACHE_HOME", "/x")]), Some("/x/striate".into()));
        assert_eq!(found("linux", &[home, ("XDG_CACHE_HOME", "x")]), Some("/h/.cache/striate".into()));
        assert_eq!(found("macos", &[home]), Some("/h/Library/Caches/striate".into()));
        assert_eq!(found("windows", &[("LOCALAPPDATA", "/l")]), Some("/l/striate/cache".into()));
        assert_eq!(found("linux", &[home, ("STRIATE_CACHE", "c")]), Some("c".into()));
        assert_eq!(found("linux", &[]), None);
    }
}
