//! A folder of its own for each test, and the program in it.
#![allow(dead_code)] // each test file uses its part

pub mod html;
pub mod page;
pub mod sums;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new folder that is removed with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("striate-cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The program in this folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
        command.args(args).current_dir(&self.0).stdin(Stdio::null());
        // Nothing that was fetched before, and nothing from a network.
        command.env("STRIATE_CACHE", self.0.join("cache")).env("STRIATE_MIRROR", "http://127.0.0.1:9");
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs, expects success, and gives what was printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?} failed:\n{}{}", text(&out.stdout), text(&out.stderr));
        text(&out.stdout)
    }

    /// Runs, expects one error with a non-zero exit code, and gives code and message.
    pub fn fails(&self, args: &[&str]) -> (i32, String) {
        let out = self.run(args);
        let message = text(&out.stderr);
        let code = out.status.code().unwrap_or(-1);
        assert!(!out.status.success(), "{args:?} should fail, but printed:\n{}", text(&out.stdout));
        assert!(!message.contains("panicked"), "{args:?} panicked:\n{message}");
        assert_eq!(message.matches("error:").count(), 1, "{args:?} should print one error:\n{message}");
        (code, message)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A JSON value that the program printed.
pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("not JSON ({e}): {text}"))
}

/// A grey PNG of `h` by `w` pixels of one brightness.
pub fn grey_png(h: u32, w: u32, v: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = png::Encoder::new(&mut bytes, w, h);
    encoder.write_header().unwrap().write_image_data(&vec![v; (h * w) as usize]).unwrap();
    bytes
}
