//! The picture of a movement, still and moving: levels of memory from left to right, time from top to bottom, an arrow
//! for each stage.

use super::{Floor, Level, Movement, Stage};
use crate::error::Result;
use crate::visual::{Anchor, Animation, Paint, Picture, Rect, Scene, Stroke, Text};

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 28.0;
const HEAD: f64 = 100.0;
const ROW: f64 = 62.0;
const BARS: f64 = 30.0;
// Seconds for which a stage is shown before the next comes.
const STAGE: f64 = 1.2;

/// Draws what an algorithm moves; a floor, where it is known, is written below.
///
/// The arrows are the thicker the more bytes they carry (by the logarithm), and the bars below add them up by level.
pub fn draw(movement: &Movement, floor: Option<Floor>) -> Picture {
    Picture::new(scene(movement, floor, movement.stages.len()))
}

/// The same as an animation that adds stage after stage, in the order of computation, and what they move.
///
/// # Errors
/// The algorithm moves nothing.
pub fn animate(movement: &Movement, floor: Option<Floor>) -> Result<Animation> {
    Animation::new((1..=movement.stages.len()).map(|done| scene(movement, floor, done)).collect(), STAGE)
}

// When so many stages are done.
fn scene(movement: &Movement, floor: Option<Floor>, done: usize) -> Scene {
    let rows = movement.stages.len() as f64;
    let all = Level::ALL.map(|level| (level, movement.through(level)));
    let used = all.iter().filter(|(_, bytes)| *bytes > 0).count() as f64;
    let so_far = Movement { stages: movement.stages[..done].to_vec(), ..movement.clone() };
    let levels = all.map(|(level, most)| (level, so_far.through(level), most));
    let height = HEAD + rows * ROW + 70.0 + used * BARS + 56.0;
    let title = format!("Data movement of the {} convolution", movement.algorithm);
    let mut scene = Scene::new(WIDTH, height, &title, describe(movement));
    scene.text(Text::new(&title).size(17.0).bold().at(MARGIN, 36.0));
    scene.text(Text::new(movement.geometry.to_string()).paint(Paint::Muted).at(MARGIN, 56.0));
    let end = HEAD + rows * ROW + 8.0;
    lanes(&mut scene, end);
    for (i, stage) in so_far.stages.iter().enumerate() {
        arrow(&mut scene, stage, i, HEAD + 40.0 + i as f64 * ROW);
    }
    scene.text(Text::new(&movement.stays).bold().fit(WIDTH - 2.0 * MARGIN).at(MARGIN, end + 26.0));
    bars(&mut scene, &levels, end + 52.0);
    if let Some(floor) = floor {
        scene.text(Text::new(floor_words(floor)).paint(Paint::Muted).at(MARGIN, height - 20.0));
    }
    scene
}

fn describe(movement: &Movement) -> String {
    let stage = |s: &Stage| format!("{}: {} from {} to {}.", s.what, amount(s.bytes), s.from, s.to);
    let stages: Vec<String> = movement.stages.iter().map(stage).collect();
    format!("Data movement of {} on {}. {}", movement.algorithm, movement.geometry, stages.join(" "))
}

fn floor_words(floor: Floor) -> String {
    let Floor { arithmetic, memory } = floor;
    format!(
        "Floor on this machine: {:.3} ms, by {} (arithmetic {arithmetic:.3} ms, each tensor once {memory:.3} ms)",
        floor.ms(),
        floor.limit()
    )
}

// The middle of a level's lane.
fn centre(level: Level) -> f64 {
    let step = (WIDTH - 2.0 * MARGIN) / Level::ALL.len() as f64;
    MARGIN + step * (level as usize as f64 + 0.5)
}

fn lanes(scene: &mut Scene, end: f64) {
    for level in Level::ALL {
        let (x, width) = (centre(level), 132.0);
        scene.line((x, HEAD), (x, end), Stroke::new(Paint::Grid, 2.0));
        let head = Rect::new(x - width / 2.0, HEAD - 30.0, width, 30.0);
        scene.fill(head, Paint::Page);
        scene.outline(head, Stroke::new(Paint::Frame, 1.0));
        let name = match level.size() {
            Some(size) => format!("{level}, {}", amount_binary(size)),
            None => level.to_string(),
        };
        scene.text(Text::new(name).bold().anchor(Anchor::Middle).centred(x, HEAD - 15.0));
    }
}

fn arrow(scene: &mut Scene, stage: &Stage, index: usize, y: f64) {
    let (from, to) = (centre(stage.from), centre(stage.to));
    let way = (to - from).signum();
    let thick = thickness(stage.bytes);
    let paint = Paint::Series(index);
    let (tip, wing) = (thick + 7.0, thick / 2.0 + 5.0);
    scene.circle((from, y), thick / 2.0 + 2.0, paint, Stroke::new(Paint::Page, 1.0));
    if stage.from == stage.to {
        // From the level and back to it.
        let (out, down) = (from + 46.0, y + 14.0);
        let path = vec![(from, y), (out, y), (out, down), (from + tip, down)];
        scene.polyline(path, Stroke::new(paint, thick));
        scene.polygon(vec![(from, down), (from + tip, down - wing), (from + tip, down + wing)], paint);
    } else {
        scene.line((from, y), (to - way * tip, y), Stroke::new(paint, thick));
        scene.polygon(vec![(to, y), (to - way * tip, y - wing), (to - way * tip, y + wing)], paint);
    }
    // The words stand over the arrow, as far to the left as they must to stay on the page.
    let label = Text::new(format!("{}. {}: {}", index + 1, stage.what, amount(stage.bytes))).fit(WIDTH - 2.0 * MARGIN);
    let middle = (from + to) / 2.0 - label.width() / 2.0;
    let x = middle.clamp(MARGIN, WIDTH - MARGIN - label.width());
    let baseline = y - wing - 7.0;
    let bounds = Rect::new(x - 3.0, baseline - 11.0, label.width() + 6.0, 15.0);
    scene.fill(bounds, Paint::Page);
    scene.text(label.at(x, baseline));
}

// 2 for a kilobyte, 9 for some gigabytes.
fn thickness(bytes: u64) -> f64 {
    (libm::log10(bytes.max(1) as f64) - 2.0).clamp(1.5, 9.0)
}

// For each level the bytes so far, and those of all stages.
fn bars(scene: &mut Scene, levels: &[(Level, u64, u64)], top: f64) {
    let most = levels.iter().map(|(.., all)| *all).max().unwrap_or(1).max(1) as f64;
    let (left, room) = (MARGIN + 150.0, WIDTH - 2.0 * MARGIN - 150.0 - 90.0);
    for (i, (level, bytes, _)) in levels.iter().filter(|(.., all)| *all > 0).enumerate() {
        let y = top + i as f64 * BARS;
        let length = (*bytes as f64 / most * room).max(1.0);
        scene.text(Text::new(format!("in and out of {level}")).centred(MARGIN, y + 9.0));
        scene.fill(Rect::new(left, y, length, 18.0), Paint::Series(0));
        scene.text(Text::new(amount(*bytes)).paint(Paint::Muted).centred(left + length + 8.0, y + 9.0));
    }
}

fn amount(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn amount_binary(bytes: u64) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;

    #[test]
    fn every_stage_is_named_and_nothing_leaves_the_page() {
        for name in crate::lab::algorithms().into_iter().filter(|name| !["narrow", "packed"].contains(name)) {
            for text in ["n8 h224 w224 ic3 oc64 k7 s2 p3", "n1 h7 w7 ic512 oc512 k3 p1", "h14 w14 ic96 oc96 k3 p1 g96"]
            {
                let movement = Movement::of(&text.parse().unwrap(), name, Isa::best()).unwrap();
                let picture = draw(&movement, Some(Floor { arithmetic: 0.5, memory: 1.25 }));
                let scene = picture.scene();
                for t in scene.texts() {
                    assert!(scene.page().holds(&t.bounds()), "{name} {text}: '{}' leaves the page", t.content());
                }
                assert!(picture.svg().contains("Floor on this machine: 1.250 ms, by memory"));
                let numbered = (1..=movement.stages.len()).filter(|i| picture.svg().contains(&format!(">{i}. ")));
                assert_eq!(numbered.count(), movement.stages.len());
                assert!(picture.png().is_ok());
                // Stage after stage, the last with all of them.
                let moving = animate(&movement, Some(Floor { arithmetic: 0.5, memory: 1.25 })).unwrap();
                let stages = |scene: &Scene| {
                    let numbered = |i: &usize| scene.texts().any(|t| t.content().starts_with(&format!("{i}. ")));
                    (1..=movement.stages.len()).filter(numbered).count()
                };
                assert!(moving.frames().iter().map(stages).eq(1..=movement.stages.len()));
                assert_eq!(moving.frames().last(), Some(picture.scene()));
            }
        }
    }
}
