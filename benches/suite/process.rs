//! The processes of a row. Each does its work in turn; between its turns it is stopped, so that threads which look for
//! work (OpenMP, thread pools) take nothing from the one whose turn it is.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::{Value, json};

use crate::run::Outcome;

/// One that takes part in a row.
pub enum Runner {
    /// A process that stays, warmed up, and measures each time it is told to.
    Kept(Kept),
    /// A new process each time; its whole time counts.
    Whole(Whole),
}

impl Runner {
    /// Its turn: the lines of what it measured.
    pub fn turn(&mut self) -> Outcome<Vec<Value>> {
        match self {
            Self::Kept(kept) => kept.turn(),
            Self::Whole(whole) => whole.turn(),
        }
    }
}

/// A process that warms up, says `{"ready": true}`, and for each line that it reads measures once more, prints its lines and
/// `{"done": true}`; it ends with its input.
pub struct Kept {
    child: Child,
    orders: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    errors: Option<JoinHandle<String>>,
}

impl Kept {
    /// Starts it and waits until it is warm.
    pub fn start(mut command: Command) -> Outcome<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (Some(orders), Some(out), Some(err)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("the process has no pipes".into());
        };
        let errors = Some(std::thread::spawn(move || all(err)));
        let mut kept = Self { child, orders: Some(orders), lines: BufReader::new(out), errors };
        kept.until("ready")?;
        kept.signal("STOP");
        Ok(kept)
    }

    fn turn(&mut self) -> Outcome<Vec<Value>> {
        self.signal("CONT");
        if let Some(orders) = &mut self.orders {
            orders.write_all(b"again\n")?;
            orders.flush()?;
        }
        let lines = self.until("done");
        self.signal("STOP");
        lines
    }

    // The lines of JSON up to the one that has this word.
    fn until(&mut self, word: &str) -> Outcome<Vec<Value>> {
        let mut all = Vec::new();
        let mut line = String::new();
        while self.lines.read_line(&mut line)? > 0 {
            match serde_json::from_str::<Value>(&line) {
                Ok(value) if value[word] == true => return Ok(all),
                Ok(value) if value.is_object() => all.push(value),
                // Whatever else a library prints.
                _ => {}
            }
            line.clear();
        }
        let errors = self.errors.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        Err(last_line(&errors).into())
    }

    // Where there is no `kill` (Windows) the process waits for its input instead, at the price of threads that spin.
    fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.orders = None;
        self.signal("CONT");
        let _ = self.child.wait();
    }
}

fn all(mut err: ChildStderr) -> String {
    let mut text = Vec::new();
    let _ = err.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A process that is started anew each time.
pub struct Whole {
    command: Box<dyn Fn() -> Command>,
    threads: usize,
    seconds: f64,
}

impl Whole {
    pub fn new(command: impl Fn() -> Command + 'static, threads: usize, seconds: f64) -> Self {
        Self { command: Box::new(command), threads, seconds }
    }

    /// A run whose time does not count; the first reads the files from disk. It gives the line that the process prints.
    pub fn once(&self) -> Outcome<Value> {
        Ok(line(&output((self.command)())?))
    }

    // One run, or as many as there is time for.
    fn turn(&mut self) -> Outcome<Vec<Value>> {
        let (mut times, mut last, start) = (Vec::new(), Value::Null, Instant::now());
        while times.is_empty() || start.elapsed().as_secs_f64() < self.seconds {
            let before = Instant::now();
            let text = output((self.command)())?;
            times.push(before.elapsed().as_secs_f64() * 1e3);
            last = line(&text);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[(share * (times.len() - 1) as f64).round() as usize];
        let version = last["version"].as_str().unwrap_or(OURS);
        let peak = last["peak_mb"].as_f64().unwrap_or(0.0);
        Ok(vec![json!({ "version": version, "variant": "program", "threads": self.threads,
            "median_ms": at(0.5), "p10_ms": at(0.1), "p90_ms": at(0.9), "peak_mb": peak })])
    }
}

/// Our version.
pub const OURS: &str = concat!("striate ", env!("CARGO_PKG_VERSION"));

// The first line that is JSON.
fn line(text: &str) -> Value {
    let mut all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.find(Value::is_object).unwrap_or(Value::Null)
}

/// What a process prints.
pub fn output(mut command: Command) -> Outcome<String> {
    let out = command.output()?;
    if !out.status.success() {
        return Err(last_line(&String::from_utf8_lossy(&out.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it ended without a word").to_string()
}
