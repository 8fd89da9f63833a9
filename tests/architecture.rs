//! What ARCHITECTURE.md and CONTRIBUTING.md promise about the source, kept as tests.
//!
//! The rules read the document: who may use whom, which files hold `unsafe`, and what each file is for. So the
//! document cannot fall behind the code, nor the code behind the document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

// Lines of a file; who needs more says why here.
const LINES: usize = 600;
const LONGER: [(&str, &str); 0] = [];

// Model::predict and its kin open a session: the one place where a module is used by one above it.
const UPWARDS: [(&str, &str); 1] = [("model", "session")];

struct Source {
    /// The path below the root, with `/` on every system.
    path: String,
    text: String,
}

impl Source {
    /// The lines that the compiler sees, with their numbers from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// As `code`, without the tests at the end of a file.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod tests {");
        let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
        self.code().take_while(move |(number, _)| *number <= end)
    }

    /// `graph` for `src/graph.rs`, `conv` for `src/conv/tile/vector.rs`.
    fn module(&self) -> &str {
        let path = self.path.trim_start_matches("src/");
        path.split(['/', '.']).next().unwrap_or(path)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

// All files of the project below a folder, in order; what a build or a run leaves behind is passed over.
fn files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let generated = ["target", "runs", "corpus", "artifacts", ".git"].contains(&name.as_str());
            match path.is_dir() {
                _ if generated => {}
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

// The Rust files below these folders, without this one, which names what it forbids.
fn sources(folders: &[&str]) -> Vec<Source> {
    let rust = |path: &PathBuf| path.extension().is_some_and(|e| e == "rs") && name(path) != "tests/architecture.rs";
    let read = |path: PathBuf| Source { path: name(&path), text: std::fs::read_to_string(&path).unwrap() };
    let all: Vec<Source> = folders.iter().flat_map(|f| files(f)).filter(rust).map(read).collect();
    assert!(!all.is_empty());
    all
}

fn everything() -> Vec<Source> {
    sources(&["src", "cli", "tests", "benches", "examples", "fuzz"])
}

// The part of a document under a heading, up to the next heading of the same or a higher level.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let level = heading.split(' ').next().unwrap().len();
    let start = document.find(&format!("{heading}\n")).unwrap_or_else(|| panic!("no heading '{heading}'"));
    let body = &document[start + heading.len()..];
    let ends = (1..=level).filter_map(|n| body.find(&format!("\n{} ", "#".repeat(n))));
    &body[..ends.min().unwrap_or(body.len())]
}

// The words in `backticks`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

// The rows of the table of modules: each with those that it may use.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let text = document("ARCHITECTURE.md");
    let rows = section(&text, "## Who may use whom").lines().filter(|line| line.starts_with("| `"));
    let parse = |row: &str| {
        let cells: Vec<&str> = row.split('|').collect();
        (quoted(cells[1]).next().unwrap().to_string(), quoted(cells[2]).map(String::from).collect())
    };
    rows.map(parse).collect()
}

// The modules that a line names by `crate::`; the names that lib.rs hands on count for the module they are of.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).filter_map(|rest| {
        let word = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        match word {
            "Error" | "ErrorKind" | "Result" => Some("error"),
            "Graph" | "Node" | "Value" => Some("graph"),
            "GoldenSample" | "Model" | "Param" | "Record" | "Sequential" => Some("model"),
            "Shape" | "Tensor" => Some("tensor"),
            "" => None,
            module => Some(module),
        }
    })
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let table = table();
    let allowed: BTreeMap<&str, &BTreeSet<String>> = table.iter().map(|(m, uses)| (m.as_str(), uses)).collect();
    let mut wrong = Vec::new();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources(&["src"]).iter().filter(|s| s.path != "src/lib.rs") {
        let module = source.module();
        let may = allowed.get(module).unwrap_or_else(|| panic!("ARCHITECTURE.md's table has no row for `{module}`"));
        for (number, line) in source.code() {
            for other in named(line).filter(|other| *other != module) {
                used.entry(module.into()).or_default().insert(other.into());
                if !may.contains(other) {
                    wrong.push(format!("{}:{number}: `{module}` may not use `{other}`", source.path));
                }
            }
        }
    }
    none("the table in ARCHITECTURE.md forbids", &wrong);
    for (module, uses) in &table {
        let real = used.remove(module).unwrap_or_default();
        assert_eq!(&real, uses, "the row of `{module}` in ARCHITECTURE.md names what is used no longer");
    }
}

#[test]
fn the_table_leans_one_way() {
    let table = table();
    let place = |module: &str| table.iter().position(|(m, _)| m == module);
    for (row, (module, uses)) in table.iter().enumerate() {
        for other in uses.iter().filter(|other| !UPWARDS.contains(&(module, other))) {
            assert!(place(other).is_some_and(|p| p < row), "`{module}` uses `{other}`, which does not stand above it");
        }
    }
}

#[test]
fn the_code_map_names_every_file_and_nothing_else() {
    let text = document("ARCHITECTURE.md");
    let map = section(&text, "## Code map");
    let mut real: BTreeSet<String> = BTreeSet::new();
    for folder in ["src", "cli/src"] {
        real.extend(sources(&[folder]).into_iter().map(|s| s.path));
    }
    let mut shown = BTreeSet::new();
    let mut folder = String::new();
    for line in map.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            folder = quoted(heading).next().unwrap().to_string();
        } else if line.starts_with("| `") {
            shown.insert(format!("{folder}{}", quoted(line).next().unwrap()));
        }
    }
    let missing: Vec<&String> = real.difference(&shown).collect();
    let gone: Vec<&String> = shown.difference(&real).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the code map: {missing:?}; in it, but not there: {gone:?}");
}

#[test]
fn unsafe_is_where_the_document_says_and_gives_its_reason() {
    let text = document("ARCHITECTURE.md");
    let bullets = section(&text, "## Where `unsafe` is").lines().filter(|line| line.starts_with("- `"));
    let places: BTreeSet<&str> = bullets.map(|line| quoted(line).next().unwrap()).collect();
    let mut wrong = Vec::new();
    let mut found = BTreeSet::new();
    for source in everything() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in source.code().filter(|(_, line)| has_word(line, "unsafe")) {
            found.insert(source.path.clone());
            // An `unsafe fn` is a duty of its callers; what it does itself stands in blocks.
            if !line.contains("unsafe fn") && !is_explained(&lines[..number]) {
                wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, places, "files with `unsafe`, and files that ARCHITECTURE.md names");
    none("`unsafe` without a `// SAFETY:` line before it", &wrong);
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word)
}

// Whether the last line's statement has a comment before it that says why it is sound: at most three lines of the
// statement, then the comment.
fn is_explained(lines: &[&str]) -> bool {
    let mut before = lines.iter().rev().skip(1).map(|line| line.trim_start());
    let Some(first) = before.by_ref().take(3).find(|line| line.starts_with("//")) else { return false };
    std::iter::once(first).chain(before.take_while(|line| line.starts_with("//"))).any(|line| line.contains("SAFETY:"))
}

#[test]
fn only_one_module_knows_threads() {
    let mut wrong = Vec::new();
    for source in sources(&["src"]).iter().filter(|s| s.module() != "parallel") {
        let lines = source.shipped().filter(|(_, line)| line.contains("rayon") || line.contains("std::thread"));
        wrong.extend(lines.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())));
    }
    none("threads outside of the module parallel", &wrong);
}

#[test]
fn the_library_never_prints() {
    let words = ["println!", "print!", "eprintln!", "eprint!"];
    let mut wrong = Vec::new();
    for source in sources(&["src"]) {
        let lines = source.code().filter(|(_, line)| words.iter().any(|w| line.contains(w)));
        wrong.extend(lines.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())));
    }
    none("the library prints", &wrong);
}

#[test]
fn nothing_is_left_undone_or_skipped() {
    let words = ["dbg!", "todo!", "unimplemented!", "#[ignore", "should_panic", "HashMap", "HashSet"];
    let mut wrong = Vec::new();
    for source in everything() {
        let lines = source.code().filter(|(_, line)| words.iter().any(|w| line.contains(w)));
        wrong.extend(lines.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())));
    }
    none("what does not belong into this project", &wrong);
}

#[test]
fn every_file_opens_with_its_map_and_is_short() {
    for source in everything() {
        assert!(source.text.starts_with("//!"), "{} does not open with `//!`", source.path);
        let lines = source.text.lines().count();
        let excused = LONGER.iter().any(|(path, _)| *path == source.path);
        assert!(lines <= LINES || excused, "{} has {lines} lines; {LINES} are the limit", source.path);
    }
}

// A path of one machine would be of no use on another.
#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() {
    let paths = [["/wo", "rk/"].concat(), ["/ho", "me/"].concat(), ["../sha", "red"].concat()];
    let mut wrong = Vec::new();
    // The checks may be told where reference files are; without the folder they say so and go on.
    for path in files("").into_iter().filter(|path| name(path) != ".ci/run") {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let lines = text.lines().enumerate().filter(|(_, line)| paths.iter().any(|p| line.contains(p.as_str())));
        wrong.extend(lines.map(|(i, line)| format!("{}:{}: {}", name(&path), i + 1, line.trim())));
    }
    none("paths of one machine", &wrong);
}

#[test]
fn documents_link_to_files_that_exist() {
    let mut wrong = Vec::new();
    for document in files("").iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or(target);
            if !file.is_empty() && !file.contains("://") && !document.parent().unwrap().join(file).exists() {
                wrong.push(format!("{} links to {target}", name(document)));
            }
        }
    }
    none("links to nowhere", &wrong);
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
}

// A comment that says E6 or M27 is of use only to who can look it up.
#[test]
fn every_number_of_a_row_is_explained() {
    let rows = document("docs/rows.md");
    let is_row = |word: &&str| {
        let digits = word.strip_prefix(['M', 'L', 'E', 'D']).unwrap_or("");
        // In decode.rs, D0 is a mark in JPEG files.
        (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && *word != "D0"
    };
    let mut named = BTreeSet::new();
    let mut unknown = Vec::new();
    for source in sources(&["src", "cli", "tests"]) {
        let comments = source.text.lines().filter(|line| line.contains("//"));
        for word in comments.flat_map(words).filter(is_row) {
            named.insert(word.to_string());
            if !rows.contains(&format!("| {word} |")) {
                unknown.push(format!("{} names {word}", source.path));
            }
        }
    }
    none("docs/rows.md does not explain", &unknown);
    // The lessons name the rest; `cli/tests/notes.rs` sees to that.
    let lessons = std::fs::read_dir(root().join("docs/notes/en")).unwrap().map(|e| e.unwrap().path());
    let lessons: Vec<String> = lessons.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    named.extend(lessons.iter().flat_map(|page| words(page)).filter(is_row).map(String::from));
    let listed = rows.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()).filter(is_row);
    let unused: Vec<String> = listed.filter(|word| !named.contains(*word)).map(String::from).collect();
    none("docs/rows.md explains what nobody names", &unused);
}
