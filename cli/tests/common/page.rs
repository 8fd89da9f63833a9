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

/// The lines of a page that are in no block.
pub fn prose(page: &str) -> Vec<&str> {
    let mut inside = false;
    let outside = |line: &&str| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    };
    page.lines().filter(outside).collect()
}

/// A line without what depends on the machine: spaces at its end, and the time of a progress line.
pub fn steady(line: &str) -> String {
    let parts = line.trim_end().split(" - ").filter(|part| !part.contains("/step"));
    parts.collect::<Vec<_>>().join(" - ")
}

/// The first line of a page that is not printed where the page shows it; `...` stands for any lines.
pub fn deviation<'a>(shown: &[&'a str], printed: &str) -> Option<&'a str> {
    let printed: Vec<String> = printed.lines().map(steady).collect();
    let is = |at: usize, line: &str| printed.get(at).is_some_and(|p| *p == steady(line));
    let mut at = 0;
    let mut free = false; // whether lines may be left out here
    for (i, part) in shown.split(|line| *line == "...").enumerate() {
        free |= i > 0;
        let fits = |from: usize| part.iter().enumerate().all(|(i, line)| is(from + i, line));
        let last = if free { printed.len() } else { at };
        let Some(found) = (at..=last).find(|from| fits(*from)) else {
            let nearest =
                part.iter().enumerate().find(|(i, line)| !is(at + i, line) && !printed[at..].contains(&steady(line)));
            return nearest.map(|(_, line)| *line).or_else(|| part.first().copied());
        };
        at = found + part.len();
        free = false;
    }
    let ends = shown.last() == Some(&"...") || at == printed.len();
    if ends { None } else { shown.last().copied().or(Some("")) }
}

/// Asserts that a page shows what is printed.
pub fn compare(page: &str, shown: &[&str], printed: &str) {
    if let Some(line) = deviation(shown, printed) {
        panic!(
            "{page} shows a line that is not printed there, or is not followed by what is:\n{line}\nThis is printed:\n{printed}"
        );
    }
}
