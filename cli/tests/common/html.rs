//! A page as a tree. The page is written so that readers of XML understand it too.

use roxmltree::{Document, Node, ParsingOptions};

/// The page as a tree; fails where it is not well-formed.
pub fn parse(page: &str) -> Document<'_> {
    assert!(page.starts_with("<!DOCTYPE html>\n"), "{}", &page[..page.len().min(80)]);
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap_or_else(|e| panic!("the page is not well-formed: {e}"))
}

/// All elements of a name, in order.
pub fn all<'a>(page: &'a Document<'_>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    page.descendants().filter(move |n| n.is_element() && n.tag_name().name() == name)
}

/// The element with an id.
pub fn by_id<'a>(page: &'a Document<'_>, id: &str) -> Node<'a, 'a> {
    let mut found = page.descendants().filter(|n| n.attribute("id") == Some(id));
    found.next().unwrap_or_else(|| panic!("nothing has the id '{id}'"))
}

/// The text of an element, blanks and line breaks as single blanks.
pub fn words(node: Node<'_, '_>) -> String {
    let text: String = node.descendants().filter(|n| n.is_text()).filter_map(|n| n.text()).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rows of the table whose caption has an id: the texts of their cells.
pub fn table(page: &Document<'_>, caption: &str) -> Vec<Vec<String>> {
    let table = by_id(page, caption).parent().unwrap();
    let rows = table.descendants().filter(|n| n.tag_name().name() == "tr");
    rows.map(|row| row.children().filter(Node::is_element).map(words).collect()).collect()
}

/// What any page must keep to be read by eyes, by ears and by keys, without a network.
pub fn assert_sound(text: &str) {
    let page = parse(text);
    let elements = || page.descendants().filter(Node::is_element);
    assert_eq!(page.root_element().attribute("lang"), Some("en"));
    for (name, count) in [("title", 1), ("h1", 1), ("main", 1), ("header", 1), ("nav", 1), ("footer", 1), ("script", 0)]
    {
        let found = elements()
            .filter(|n| n.tag_name().name() == name && n.parent_element().is_none_or(|p| p.tag_name().name() != "svg"));
        assert_eq!(found.count(), count, "{name}");
    }
    for image in all(&page, "img") {
        assert!(image.attribute("alt").is_some_and(|alt| alt.len() > 5), "a picture without words");
        assert!(image.attribute("src").unwrap().starts_with("data:image/png;base64,iVBOR"), "a picture from elsewhere");
    }
    for node in elements() {
        for attribute in node.attributes() {
            let value = attribute.value();
            let from_elsewhere = value.contains("//") && !value.starts_with("data:");
            let may_load = ["src", "href", "srcset", "data", "action", "style"].contains(&attribute.name());
            assert!(!(may_load && from_elsewhere), "{} = {value}", attribute.name());
            assert!(!attribute.name().starts_with("on"), "a script in {}", attribute.name());
        }
    }
    let style: String = all(&page, "style").map(words).collect();
    assert!(!style.contains("url(") && !style.contains("@import"), "the style asks for something");
    for wanted in ["prefers-color-scheme:dark", "prefers-reduced-motion", "@media print", ":focus-visible"] {
        assert!(style.contains(wanted), "{wanted}");
    }
    assert_headings_descend(&page);
    assert_names_exist(&page);
    for table in all(&page, "table") {
        let first = table.first_element_child().unwrap();
        assert!(first.has_tag_name("caption") && !words(first).is_empty(), "a table without a caption");
        for head in table.descendants().filter(|n| n.has_tag_name("th")) {
            assert!(matches!(head.attribute("scope"), Some("row" | "col")), "{}", words(head));
        }
        let rows = table.descendants().filter(|n| n.has_tag_name("tr"));
        let widths: Vec<usize> = rows.map(|row| row.children().filter(Node::is_element).count()).collect();
        assert!(widths.windows(2).all(|w| w[0] == w[1]), "rows of {widths:?} cells");
    }
    for region in elements().filter(|n| n.attribute("class") == Some("scroll")) {
        assert_eq!((region.attribute("role"), region.attribute("tabindex")), (Some("region"), Some("0")));
    }
}

fn assert_headings_descend(page: &Document<'_>) {
    let level = |n: &Node<'_, '_>| match n.tag_name().name().as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(digit - b'0'),
        _ => None,
    };
    let levels: Vec<u8> = page.descendants().filter_map(|n| level(&n)).collect();
    assert_eq!(levels[0], 1);
    assert!(levels.windows(2).all(|w| w[1] <= w[0] + 1), "headings of the levels {levels:?}");
}

fn assert_names_exist(page: &Document<'_>) {
    let mut ids: Vec<&str> = page.descendants().filter_map(|n| n.attribute("id")).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|w| w[0] != w[1]), "an id is there twice: {ids:?}");
    for node in page.descendants() {
        let labels = node.attribute("aria-labelledby").unwrap_or_default().split_whitespace();
        let links = node.attribute("href").and_then(|href| href.strip_prefix('#'));
        for wanted in labels.chain(links) {
            assert!(ids.binary_search(&wanted).is_ok(), "nothing has the id '{wanted}'");
        }
    }
}
