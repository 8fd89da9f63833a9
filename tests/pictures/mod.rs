//! What every picture must keep: labels inside the page that do not touch, a sound SVG, and the same bytes twice.

use striate::visual::{Picture, Rect};

pub fn assert_sound(picture: &Picture) {
    let scene = picture.scene();
    let boxes: Vec<(&str, Rect)> = scene.texts().map(|t| (t.content(), t.bounds())).collect();
    for (i, (text, bounds)) in boxes.iter().enumerate() {
        assert!(scene.page().holds(bounds), "'{text}' at {bounds:?} leaves the page {:?}", scene.page());
        for (other, near) in &boxes[i + 1..] {
            assert!(!bounds.overlaps(near), "'{text}' at {bounds:?} lies on '{other}' at {near:?}");
        }
    }
    let svg = picture.svg();
    let tree = roxmltree::Document::parse(&svg).expect("well-formed XML");
    let texts = tree.descendants().filter(|n| n.tag_name().name() == "text").map(|n| n.text().unwrap_or(""));
    assert!(texts.eq(scene.texts().map(|t| t.content())), "the SVG has the scene's texts");
    assert!(!svg.contains("NaN\"") && !svg.contains("inf\""));
    assert_eq!(svg, picture.svg());
    assert_eq!(&picture.png().unwrap()[1..4], b"PNG");
}
