//! Replaces a file whole or not at all.
//!
//! The steps: a new file beside the target, locked for as long as it is written;
//! flushed and synced; renamed over the target; the folder synced. Whoever opens
//! the target, even after a crash at any moment, finds the old file or the new
//! one. On an error the new file goes away and the old one is as it was.
//!
//! A killed process leaves its temporary file behind. The next write to the same
//! target removes it: only a file whose name has exactly our form for this
//! target, and only if its lock is free, which means that its writer is gone.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

const SUFFIX: &[u8] = b".striate.tmp";
const BUFFER: usize = 1 << 20;

/// Writes `path` through `fill`, replacing a file of that name only once all is on the disk.
///
/// What `fill` writes is buffered. A link is followed: the file it names is replaced.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("striate-doc-atomic-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("notes.txt");
/// use std::io::Write;
/// striate::format::atomic::write(&path, |out| writeln!(out, "loss 0.25"))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "loss 0.25\n");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// The folder is missing or not writable, the disk is full, the target is a
/// folder, a device or marked read-only, or `fill` fails. The old file survives.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let target = resolve(path)?;
    let folder = folder_of(&target);
    if !folder.is_dir() {
        return Err(Error::new(
            ErrorKind::Io,
            format!("cannot write {}: no folder {}", path.display(), folder.display()),
        )
        .with_help("create the folder first, or give another path"));
    }
    remove_stale(&target);
    let temporary = Temporary::create(&target).map_err(|e| explain(path, &e))?;
    temporary.fill(fill).and_then(|()| temporary.rename(&target)).map_err(|e| explain(path, &e))?;
    sync_folder(&folder).map_err(|e| explain(path, &e))
}

/// The file that is really replaced: links followed, folders and devices refused.
fn resolve(path: &Path) -> Result<PathBuf> {
    let refuse = |what: &str, help: &str| {
        Err(Error::new(ErrorKind::Io, format!("cannot write {}: {what}", path.display())).with_help(help))
    };
    if path.file_name().is_none() {
        return refuse("this is not a file name", "end the path with the name of a file");
    }
    match fs::metadata(path) {
        Err(_) => Ok(path.to_path_buf()),
        Ok(old) if old.is_dir() => refuse("it is a folder", "add the name of a file"),
        Ok(old) if !old.is_file() => refuse("it is a device or a pipe", "give the name of a regular file"),
        Ok(old) if old.permissions().readonly() => {
            refuse("the file is marked read-only", "make it writable, or give another name")
        }
        Ok(_) => fs::canonicalize(path).map_err(|e| explain(path, &e)),
    }
}

fn folder_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn explain(path: &Path, cause: &io::Error) -> Error {
    let error = Error::io(path, "write", cause);
    match cause.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            error.with_help("its folder is not writable: change its permissions, or give another folder")
        }
        _ => error,
    }
}

/// A temporary file; dropping it removes it, unless it was renamed.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(target: &Path) -> io::Result<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let path = temporary_name(target, std::process::id(), serial);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    // Between creating and locking, another writer may take the file for stale;
                    // once the lock is ours, the file either is gone or stays.
                    let _unsupported_on_some_file_systems = file.lock();
                    if path.exists() {
                        return Ok(Self { path, file });
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn fill(&self, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(BUFFER, &self.file);
        let filled = fill(&mut out).and_then(|()| out.flush());
        // What is left in the buffer after an error must not be written by its drop.
        let _ = out.into_parts();
        filled?;
        self.file.sync_all()
    }

    fn rename(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing of that name left; otherwise this was an error.
        let _ = fs::remove_file(&self.path);
    }
}

/// `.NAME.PROCESS-SERIAL.striate.tmp`, beside the target.
fn temporary_name(target: &Path, process: u32, serial: u64) -> PathBuf {
    let mut name = prefix(target);
    name.push(format!("{process}-{serial}"));
    name.push(".striate.tmp");
    target.with_file_name(name)
}

fn prefix(target: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".");
    name
}

fn remove_stale(target: &Path) {
    let prefix = prefix(target);
    let Ok(entries) = fs::read_dir(folder_of(target)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let regular = entry.file_type().is_ok_and(|t| t.is_file());
        if regular && is_temporary(name.as_encoded_bytes(), prefix.as_encoded_bytes()) {
            remove_if_unlocked(&entry.path());
        }
    }
}

fn is_temporary(name: &[u8], prefix: &[u8]) -> bool {
    let middle = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
    let digits = |s: &[u8]| !s.is_empty() && s.iter().all(u8::is_ascii_digit);
    middle.is_some_and(|m| m.iter().position(|b| *b == b'-').is_some_and(|at| digits(&m[..at]) && digits(&m[at + 1..])))
}

fn remove_if_unlocked(path: &Path) {
    if let Ok(file) = OpenOptions::new().write(true).open(path)
        && file.try_lock().is_ok()
    {
        let _ = fs::remove_file(path);
    }
}

/// Makes the rename itself survive a loss of power; some platforms cannot open a folder.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder).and_then(|f| f.sync_all()) {
        Err(e) if matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::Folder;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_write_replaces_and_leaves_nothing_else() {
        let folder = Folder::new();
        let path = folder.file("a.bin");
        for content in [vec![1_u8; 10], vec![2; 3 << 20], vec![]] {
            write(&path, |out| out.write_all(&content)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn the_old_file_survives_a_failing_writer() {
        let folder = Folder::new();
        let path = folder.file("a.bin");
        write(&path, |out| out.write_all(b"old")).unwrap();
        let e = write(&path, |out| {
            out.write_all(&vec![7; 2 << 20])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(e.to_string().contains("a.bin") && e.help().unwrap().contains("free some space"), "{e}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_panic_in_the_writer_leaves_the_old_file_and_no_temporary() {
        let folder = Folder::new();
        let path = folder.file("a.bin");
        write(&path, |out| out.write_all(b"old")).unwrap();
        let panicked = std::panic::catch_unwind(|| write(&path, |_| panic!("a bug in the caller")));
        assert!(panicked.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_is_reported_by_the_flush_too() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        // No drop glue: the guard would remove the device's name.
        let temporary = std::mem::ManuallyDrop::new(Temporary { path: PathBuf::new(), file: full });
        for size in [1, 3 * BUFFER] {
            let e = temporary.fill(|out| out.write_all(&vec![0; size])).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::StorageFull, "{size} bytes");
        }
    }

    /// A disk of 256 KB that really fills up, where the user may mount one; see the tests above for elsewhere.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_old_file_survives_a_full_disk() {
        let folder = Folder::new();
        let disk = folder.path().to_path_buf();
        let run = |program: &str, args: &[&str]| {
            let done = std::process::Command::new(program).args(args).arg(&disk).output();
            done.is_ok_and(|o| o.status.success())
        };
        if !run("mount", &["-t", "tmpfs", "-o", "size=256k", "striate-test"]) {
            return the_old_file_survives_a_failing_writer();
        }
        let path = disk.join("model.striate");
        let outcome = std::panic::catch_unwind(|| {
            let old = vec![5_u8; 100_000];
            write(&path, |out| out.write_all(&old)).unwrap();
            for size in [160_000, 4 << 20] {
                let e = write(&path, |out| out.write_all(&vec![6; size])).unwrap_err();
                assert!(
                    e.to_string().contains("model.striate") && e.help().unwrap().contains("free some space"),
                    "{e}"
                );
                assert_eq!(fs::read(&path).unwrap(), old);
                assert_eq!(names(&disk), ["model.striate"]);
            }
            write(&path, |out| out.write_all(b"it fits again")).unwrap();
        });
        assert!(run("umount", &[]));
        outcome.unwrap();
    }

    #[test]
    fn wrong_targets_are_refused_with_a_remedy() {
        let folder = Folder::new();
        let refused = |path: &Path, part: &str| {
            let e = write(path, |out| out.write_all(b"x")).unwrap_err();
            assert!(e.to_string().contains(part) && e.help().is_some(), "{e}");
        };
        refused(folder.path(), "is a folder");
        refused(&folder.file("no/such/a.bin"), "no folder");
        refused(Path::new(".."), "not a file name");
        let path = folder.file("locked.bin");
        fs::write(&path, b"old").unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        refused(&path, "read-only");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        #[cfg(unix)]
        refused(Path::new("/dev/null"), "device");
    }

    #[test]
    fn an_unwritable_folder_gives_a_remedy() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            let e = explain(Path::new("runs/a.bin"), &io::Error::from(kind));
            assert!(e.to_string().contains("runs/a.bin") && e.help().unwrap().contains("not writable"), "{e}");
        }
    }

    #[test]
    fn stale_files_go_and_all_others_stay() {
        let folder = Folder::new();
        let path = folder.file("a.bin");
        let stale = [".a.bin.123-0.striate.tmp", ".a.bin.4000000-77.striate.tmp"];
        let others = [
            ".a.bin.123-.striate.tmp",
            ".a.bin.x-1.striate.tmp",
            ".a.bin.123-0.tmp",
            ".b.bin.123-0.striate.tmp",
            ".striate.tmp",
            "a.bin.123-0.striate.tmp",
        ];
        stale.iter().chain(&others).for_each(|n| fs::write(folder.file(n), b"?").unwrap());
        let live = folder.file(".a.bin.9-9.striate.tmp");
        let writer = File::create(&live).unwrap();
        writer.lock().unwrap();
        write(&path, |out| out.write_all(b"new")).unwrap();
        assert!(stale.iter().all(|n| !folder.file(n).exists()));
        assert!(others.iter().all(|n| folder.file(n).exists()));
        assert!(live.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = Folder::new();
        let (real, link) = (folder.file("real.bin"), folder.file("link.bin"));
        fs::write(&real, b"old").unwrap();
        std::os::unix::fs::symlink("real.bin", &link).unwrap();
        write(&link, |out| out.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn many_writers_of_one_file_leave_one_whole_file() {
        let folder = Folder::new();
        let path = folder.file("a.bin");
        std::thread::scope(|scope| {
            for writer in 0..4_u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..8 {
                        write(path, |out| out.write_all(&[writer; 5000])).unwrap();
                    }
                });
            }
        });
        let content = fs::read(&path).unwrap();
        assert!(content.len() == 5000 && content.iter().all(|b| *b == content[0]));
        assert_eq!(names(folder.path()), ["a.bin"]);
    }
}
