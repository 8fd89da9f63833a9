//! The lessons in `docs/notes` are true: every command in them runs, prints what the page shows, and draws the figures
//! beside it; every number in their prose is one that was printed, or a sum that is done again here.
//!
//! A command that several lessons or both languages show is run once. `STRIATE_BLESS=1` writes the new outputs and
//! figures into the pages instead of comparing.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::page::{blocks, deviation, prose, steady};
use common::sums::{self, Number};
use common::{Folder, text};

const LANGUAGES: [&str; 2] = ["en", "ko"];
// How a line begins that quotes numbers of others.
const QUOTES: [&str; 2] = ["> The notes", "> 노트"];
// The rows of the study notes: the letter, and the number of the last one.
const ROWS: [(char, usize); 5] = [('M', 42), ('L', 22), ('E', 34), ('V', 20), ('D', 13)];
const MOST_BYTES_OF_FIGURES: u64 = 3_000_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn notes() -> PathBuf {
    root().join("docs/notes")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The lessons of a language in their order: file name and text.
fn lessons(language: &str) -> Vec<(String, String)> {
    let folder = notes().join(language);
    let read = |name: String| (name.clone(), std::fs::read_to_string(folder.join(name)).unwrap());
    names(&folder).into_iter().map(read).collect()
}

/// The figures that a page shows, without their folder.
fn figures(page: &str) -> Vec<String> {
    let targets = page.split("](../figures/").skip(1);
    targets.map(|rest| rest.split(')').next().unwrap().to_string()).collect()
}

/// The rows that a page names.
fn rows(page: &str) -> BTreeSet<String> {
    let words = page.split(|c: char| !c.is_ascii_alphanumeric());
    let is_row = |w: &&str| {
        let mut chars = w.chars();
        let letter = chars.next().unwrap_or(' ');
        let known = ROWS.iter().find(|(l, _)| *l == letter);
        known.is_some_and(|(_, last)| chars.as_str().parse().is_ok_and(|n: usize| (1..=*last).contains(&n)))
    };
    words.filter(is_row).map(str::to_string).collect()
}

// The commands of all lessons, run in the order of the lessons in one folder.
struct Runs {
    folder: Folder,
    printed: BTreeMap<String, String>,
}

impl Runs {
    fn new() -> Self {
        let folder = Folder::new();
        for pictures in ["examples/digits", "examples/photos"] {
            for name in names(&root().join(pictures)) {
                folder.write(&format!("{pictures}/{name}"), std::fs::read(root().join(pictures).join(&name)).unwrap());
            }
        }
        Self { folder, printed: BTreeMap::new() }
    }

    /// What a line of a `sh` block prints; it may be `striate ...`, `striate ... > FILE` or `cp FROM TO`.
    fn run(&mut self, line: &str) -> String {
        if let Some(printed) = self.printed.get(line) {
            return printed.clone();
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let printed = match words.split_first() {
            Some((&"striate", args)) => self.striate(line, args),
            Some((&"cp", [from, to])) => {
                std::fs::copy(self.folder.file(from), self.folder.file(to)).unwrap_or_else(|e| panic!("{line}: {e}"));
                String::new()
            }
            _ => panic!("a lesson shows a command of another form: {line}"),
        };
        self.printed.insert(line.to_string(), printed.clone());
        printed
    }

    fn striate(&self, line: &str, args: &[&str]) -> String {
        let (args, file) = match args {
            [args @ .., ">", file] => (args, Some(file)),
            args => (args, None),
        };
        let out = self.folder.run(args);
        assert!(out.status.success(), "{line}\n{}{}", text(&out.stdout), text(&out.stderr));
        match file {
            Some(file) => {
                self.folder.write(file, &out.stdout);
                String::new()
            }
            None => text(&out.stdout),
        }
    }
}

fn bless() -> bool {
    std::env::var_os("STRIATE_BLESS").is_some()
}

#[test]
fn every_command_prints_what_its_lesson_shows_and_draws_its_figures() {
    // Without fused multiply-adds the numbers differ slightly.
    let same_bits = striate::simd::Isa::best().fused();
    let mut runs = Runs::new();
    let mut wrong = Vec::new();
    for (name, page) in lessons("en") {
        let mut printed = String::new();
        let mut new = Vec::new();
        for (kind, lines) in blocks(&page) {
            if kind == "sh" {
                printed = lines.iter().map(|line| runs.run(line)).collect();
            }
            let differs = (kind == "text" && same_bits).then(|| deviation(&lines, &printed)).flatten();
            match differs {
                Some(_) if bless() => new.push(repaired(&name, &lines, &printed)),
                Some(line) => wrong.push(format!("{name} shows: {line}\nThis is printed:\n{printed}")),
                None => new.push(lines.iter().map(|l| (*l).to_string()).collect()),
            }
        }
        if bless() {
            for language in LANGUAGES {
                let path = notes().join(language).join(&name);
                let page = std::fs::read_to_string(&path).unwrap();
                std::fs::write(path, with_blocks(&page, &new)).unwrap();
            }
        }
        for figure in figures(&page) {
            let (made, kept) = (runs.folder.file(&figure), notes().join("figures").join(&figure));
            let bytes = std::fs::read(&made).unwrap_or_else(|e| panic!("{name}: no command of it draws {figure}: {e}"));
            if bless() {
                std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
                std::fs::write(kept, bytes).unwrap();
            } else if same_bits && std::fs::read(&kept).ok() != Some(bytes) {
                wrong.push(format!("{name}: {figure} is not what its command draws"));
            }
        }
    }
    assert!(wrong.is_empty(), "STRIATE_BLESS=1 writes what is new into the pages.\n{}", wrong.join("\n\n"));
}

/// The lines of a block with what is printed now: all of it, or for an excerpt the lines of the same form.
fn repaired(name: &str, shown: &[&str], printed: &str) -> Vec<String> {
    let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
    if !shown.contains(&"...") {
        return lines.iter().map(|l| (*l).to_string()).collect();
    }
    let mut at = 0;
    let line = |shown: &&str| {
        if *shown == "..." {
            return (*shown).to_string();
        }
        let alike: [fn(&str) -> String; 3] = [steady, form, |line| head(line).to_string()];
        let find = |same: &fn(&str) -> String| lines[at..].iter().position(|l| same(l) == same(shown));
        let found = alike.iter().find_map(find).map(|found| at + found);
        let found = found.unwrap_or_else(|| {
            panic!("{name}: nothing like this is printed any more; edit the page:\n{shown}\n{printed}")
        });
        at = found + 1;
        if steady(lines[found]) == steady(shown) { (*shown).to_string() } else { lines[found].to_string() }
    };
    shown.iter().map(line).collect()
}

/// A line whatever its numbers and digests are.
fn form(line: &str) -> String {
    let digest = |word: &str| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let word = |word: &str| {
        let mut form = if digest(word) { "0".to_string() } else { word.replace(|c: char| c.is_ascii_digit(), "0") };
        while form.contains("00") {
            form = form.replace("00", "0");
        }
        form
    };
    steady(line).split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// What stands before the first number of a line.
fn head(line: &str) -> &str {
    line.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default()
}

/// A page with other lines in its blocks.
fn with_blocks(page: &str, new: &[Vec<String>]) -> String {
    let mut out = String::new();
    let (mut next, mut inside) = (new.iter(), false);
    for line in page.lines() {
        let fence = line.starts_with("```");
        if fence || !inside {
            out += &format!("{line}\n");
        }
        if fence && !inside {
            next.next().unwrap().iter().for_each(|line| out += &format!("{line}\n"));
        }
        inside ^= fence;
    }
    out
}

#[test]
fn both_languages_show_the_same_commands_outputs_figures_and_rows() {
    let [english, korean] = LANGUAGES.map(lessons);
    assert!(english.len() >= 12, "only {} lessons", english.len());
    let names = |all: &[(String, String)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&english), names(&korean));
    for ((name, en), (_, ko)) in english.iter().zip(&korean) {
        assert_eq!(blocks(en), blocks(ko), "{name}: the blocks differ");
        assert_eq!(figures(en), figures(ko), "{name}: the figures differ");
        assert_eq!(rows(en), rows(ko), "{name}: the rows differ");
        assert!(
            blocks(en).iter().any(|b| b.0 == "sh") && !rows(en).is_empty(),
            "{name} shows no command or names no row"
        );
        let hangul = prose(ko).concat().chars().filter(|c| ('가'..='힣').contains(c)).count();
        assert!(hangul > 300, "{name} has only {hangul} Korean syllables");
    }
}

#[test]
fn an_excerpt_is_repaired_line_by_line() {
    let shown = ["...", "loss: 0.25 ok", "Digest: 0123456789abcdef", "..."];
    let printed = "first\nloss: 0.125 ok\nDigest: fedcba9876543210\nlast\n";
    assert_eq!(repaired("", &shown, printed), ["...", "loss: 0.125 ok", "Digest: fedcba9876543210", "..."]);
    assert_eq!(repaired("", &[], printed).len(), 4);
    assert_eq!(with_blocks("a\n```text\n1\n```\nb\n", &[vec!["2".into(), "3".into()]]), "a\n```text\n2\n3\n```\nb\n");
}

#[test]
fn every_row_of_the_notes_has_a_lesson() {
    let named: BTreeSet<String> = lessons("en").iter().flat_map(|(_, page)| rows(page)).collect();
    let all = ROWS.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}")));
    let listed = rows(&std::fs::read_to_string(root().join("docs/rows.md")).unwrap());
    let missing: Vec<String> = all.chain(listed).filter(|row| !named.contains(row)).collect();
    assert!(missing.is_empty(), "no lesson names {missing:?}");
}

#[test]
fn every_number_in_the_prose_was_printed_or_is_a_sum_that_is_right() {
    let mut wrong = Vec::new();
    for language in LANGUAGES {
        for (name, page) in lessons(language) {
            let shown: Vec<String> = blocks(&page).iter().map(|(_, lines)| lines.join("\n")).collect();
            let mut known: BTreeSet<Number> = sums::numbers(&shown.join("\n")).collect();
            let quoted = |line: &&str| QUOTES.iter().any(|q| line.starts_with(q));
            let lines: Vec<&str> = prose(&page).into_iter().filter(|line| !quoted(line)).collect();
            for code in lines.iter().flat_map(|line| sums::code(line)) {
                match sums::holds(code) {
                    Some(true) => known.extend(sums::numbers(code)),
                    Some(false) => wrong.push(format!("{language}/{name}: {code} does not hold")),
                    None => {}
                }
            }
            for line in lines {
                let plain = sums::without_links(line);
                let unknown = sums::numbers(&plain).filter(|n| n.must_be_shown() && !known.contains(n));
                wrong.extend(unknown.map(|n| format!("{language}/{name}: nothing printed {n}: {line}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_index_links_each_lesson_and_no_figure_is_left_over() {
    let index = std::fs::read_to_string(notes().join("README.md")).unwrap();
    let mut shown = BTreeSet::new();
    for language in LANGUAGES {
        for (name, page) in lessons(language) {
            assert!(
                index.contains(&format!("({language}/{name})")),
                "docs/notes/README.md does not link {language}/{name}"
            );
            shown.extend(figures(&page));
            let targets = page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
            for target in targets.filter(|t| !t.starts_with("http")) {
                assert!(notes().join(language).join(target).exists(), "{language}/{name} links {target}");
            }
        }
    }
    let kept = names(&notes().join("figures"));
    assert_eq!(kept, shown.into_iter().collect::<Vec<_>>(), "figures that are kept, and figures that are shown");
    let size = |name: &String| std::fs::metadata(notes().join("figures").join(name)).unwrap().len();
    let bytes: u64 = kept.iter().map(size).sum();
    assert!(bytes < MOST_BYTES_OF_FIGURES, "the figures have {bytes} bytes");
}
