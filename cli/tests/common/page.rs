//! The blocks of a page, and how what it shows is compared with what is printed.

/// The fenced blocks of a page: the language and the lines of each.
pub fn blocks(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(language) => {
                inside = true;
                blocks.push((language, Vec::new()));
            }
            None if inside => blocks.last_mut().unwrap().1.push(line),
            None => {}
        }
    }
    blocks
}

/// A line without what depends on the machine: spaces at its end, and the time of a progress line.
pub fn steady(line: &str) -> String {
    let parts = line.trim_end().split(" - ").filter(|part| !part.contains("/step"));
    parts.collect::<Vec<_>>().join(" - ")
}

/// Asserts that the lines of a page are lines of an output, in this order.
pub fn compare(shown: &[&str], printed: &str) {
    let mut rest = printed.lines().map(steady);
    for line in shown.iter().filter(|line| **line != "...") {
        let found = rest.any(|printed| printed == steady(line));
        assert!(found, "README.md shows a line that is not printed (there):\n{line}\nThis is printed:\n{printed}");
    }
}
