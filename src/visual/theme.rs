//! The colours of all pictures as a style sheet for an HTML page, light or dark as its reader likes.
//!
//! Source: CSS Media Queries 5, prefers-color-scheme; CSS Custom Properties 1.

use std::fmt::Write;

use super::colour::{ColourMap, Paint};

// Stops of a gradient; a map is linear between its anchors, of which it has 11 at most.
const STOPS: usize = 21;

/// Variables such as `--ink`, one for each paint, and rules by which the shapes of [`super::Scene::to_inline_svg`] take
/// them; for each of these maps a class of its name with a background from its low end to its high end.
///
/// ```
/// let rules = striate::visual::theme(&[striate::visual::ColourMap::VIRIDIS]);
/// assert!(rules.starts_with(":root{--page:#ffffff;"));
/// assert!(rules.contains(".viridis{background:linear-gradient(to right,#440154,"));
/// ```
pub fn theme(maps: &[ColourMap]) -> String {
    let named = || Paint::themed().filter_map(|paint| Some((paint, paint.class()?)));
    let mut out = String::from(":root{");
    for (paint, name) in named() {
        let _ = write!(out, "--{name}:{};", paint.light());
    }
    out.push_str("}\n@media screen and (prefers-color-scheme:dark){:root{");
    for (paint, name) in named() {
        let _ = write!(out, "--{name}:{};", paint.dark());
    }
    out.push_str("}}\n");
    for (_, name) in named() {
        let _ = write!(out, ".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name})}}");
    }
    out.push('\n');
    for map in maps {
        let stops: Vec<String> = (0..STOPS).map(|i| map.at(i as f64 / (STOPS - 1) as f64).to_string()).collect();
        let _ = writeln!(out, ".{}{{background:linear-gradient(to right,{})}}", map.name(), stops.join(","));
    }
    out
}
