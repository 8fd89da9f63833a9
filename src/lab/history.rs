//! The ImageNet challenge, year by year: who won with which error, and where each number comes from.
//!
//! The numbers are those of others; each carries its source. Errors are top-5 errors of classification on the test set
//! (the right class is not among five guesses), of the best entry that used the challenge's own training data alone.

use std::fmt::Write as _;

use serde::Serialize;

use crate::error::Result;
use crate::visual::{Anchor, Paint, Picture, Rect, Scene, Stroke, Text};

/// The winner of one year.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Winner {
    /// The year.
    pub year: u16,
    /// The team.
    pub team: &'static str,
    /// What it entered.
    pub method: &'static str,
    /// Whether that was a convolutional network.
    pub is_cnn: bool,
    /// Top-5 error on the test set, as a share of 1.
    pub error: f64,
    /// Where the number stands.
    pub source: &'static str,
    /// What should be known of it; may be empty.
    pub note: &'static str,
}

/// A person on the same task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Human {
    /// Top-5 error, as a share of 1.
    pub error: f64,
    /// Where the number stands.
    pub source: &'static str,
    /// How it was measured, and what it is not.
    pub caveat: &'static str,
}

const SURVEY: &str = "Russakovsky et al. 2015, arXiv:1409.0575";

/// The winners, 2010 to 2017.
pub const WINNERS: [Winner; 8] = [
    Winner {
        year: 2010,
        team: "NEC-UIUC",
        method: "features, SVM",
        is_cnn: false,
        error: 0.282,
        source: SURVEY,
        note: "",
    },
    Winner {
        year: 2011,
        team: "XRCE",
        method: "Fisher vectors, SVM",
        is_cnn: false,
        error: 0.258,
        source: SURVEY,
        note: "",
    },
    Winner {
        year: 2012,
        team: "SuperVision",
        method: "AlexNet",
        is_cnn: true,
        error: 0.164_22,
        source: "image-net.org/challenges/LSVRC/2012/results.html",
        note: "five networks; 15.3 % with extra training data, the number of the paper's abstract",
    },
    Winner {
        year: 2013,
        team: "Clarifai",
        method: "deep CNNs",
        is_cnn: true,
        error: 0.117,
        source: SURVEY,
        note: "often shown as ZFNet, whose authors founded the company; 11.2 % with extra training data",
    },
    Winner {
        year: 2014,
        team: "GoogLeNet",
        method: "Inception",
        is_cnn: true,
        error: 0.0667,
        source: "Szegedy et al. 2014, arXiv:1409.4842",
        note: "seven networks, 144 crops; VGG came second with 7.3 % (Simonyan and Zisserman 2014, arXiv:1409.1556)",
    },
    Winner {
        year: 2015,
        team: "MSRA",
        method: "ResNet",
        is_cnn: true,
        error: 0.0357,
        source: "He et al. 2015, arXiv:1512.03385",
        note: "an ensemble; the deepest of its networks have 152 layers",
    },
    Winner {
        year: 2016,
        team: "Trimps-Soushen",
        method: "ensemble",
        is_cnn: true,
        error: 0.029_91,
        source: "image-net.org/challenges/LSVRC/2016/results",
        note: "several known networks together, Inception and ResNet among them",
    },
    Winner {
        year: 2017,
        team: "WMW",
        method: "SENet",
        is_cnn: true,
        error: 0.022_51,
        source: "Hu et al. 2017, arXiv:1709.01507",
        note: "",
    },
];

/// A person, and what is to be said about that number.
pub const HUMAN: Human = Human {
    error: 0.051,
    source: SURVEY,
    caveat: "one trained annotator on 1,500 test images, with labels at hand; a second one made 12.0 % on 258 images. It \
             is the skill of telling 1,000 given classes (some 120 of them breeds of dogs) apart, not of seeing.",
};

/// What became of the challenge.
pub const AFTERWARDS: &str =
    "After 2017 the challenge moved to Kaggle (image-net.org/challenges/LSVRC/2017, news of 26 July 2017).";

/// The table as text.
pub fn table() -> String {
    let mut out = String::from("ImageNet challenge (ILSVRC), classification: top-5 error on the test set\n\n");
    let row = |out: &mut String, year: &str, error: f64, who: &str, source: &str| {
        let _ = writeln!(out, "  {year:<6} {:>6.2} %  {who:<34} {source}", 100.0 * error);
    };
    for w in &WINNERS {
        row(&mut out, &w.year.to_string(), w.error, &format!("{} ({})", w.team, w.method), w.source);
        if !w.note.is_empty() {
            let _ = writeln!(out, "{:18}{}", "", w.note);
        }
    }
    row(&mut out, "human", HUMAN.error, "a person", HUMAN.source);
    for part in HUMAN.caveat.split("; ").flat_map(|part| part.split(". ")) {
        let _ = writeln!(out, "{:18}{part}", "");
    }
    let _ = writeln!(out, "\n{AFTERWARDS}");
    out
}

const SIZE: (f64, f64) = (980.0, 572.0);
const PLOT: Rect = Rect::new(84.0, 92.0, 860.0, 340.0);
const TOP: f64 = 0.30;

/// The chart: a bar for each year, and the person as a line.
///
/// ```
/// let picture = striate::lab::history::picture()?;
/// assert!(picture.svg().contains("GoogLeNet") && picture.svg().contains("Kaggle"));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// None; the result is one so that all pictures are asked for alike.
pub fn picture() -> Result<Picture> {
    let title = "ImageNet challenge: error of each year's winner";
    let words: Vec<String> =
        WINNERS.iter().map(|w| format!("{}: {} {:.1} %", w.year, w.team, 100.0 * w.error)).collect();
    let mut scene = Scene::new(SIZE.0, SIZE.1, title, format!("{}; a person 5.1 %.", words.join("; ")));
    scene.text(Text::new(title).size(17.0).bold().at(32.0, 38.0));
    let subtitle = "Top-5 error of classification on the test set: the right class is not among five guesses.";
    scene.text(Text::new(subtitle).paint(Paint::Muted).at(32.0, 58.0));
    axis(&mut scene);
    for (i, winner) in WINNERS.iter().enumerate() {
        bar(&mut scene, winner, i);
    }
    human(&mut scene);
    legend(&mut scene);
    Ok(Picture::new(scene))
}

fn height(error: f64) -> f64 {
    PLOT.bottom() - error / TOP * PLOT.h
}

fn axis(scene: &mut Scene) {
    for percent in [0, 5, 10, 15, 20, 25, 30] {
        let y = height(f64::from(percent) / 100.0);
        let paint = if percent == 0 { Paint::Frame } else { Paint::Grid };
        scene.line((PLOT.x, y), (PLOT.right(), y), Stroke::new(paint, 1.0));
        let label = Text::new(format!("{percent} %")).size(11.0).paint(Paint::Muted).anchor(Anchor::End);
        scene.text(label.centred(PLOT.x - 8.0, y));
    }
    let label = Text::new("top-5 error").anchor(Anchor::Middle).upwards();
    scene.text(label.at(PLOT.x - 52.0, PLOT.y + PLOT.h / 2.0));
}

// The middle of the place of a year; the last place stands for what came after.
fn place(i: usize) -> f64 {
    PLOT.x + PLOT.w / (WINNERS.len() + 1) as f64 * (i as f64 + 0.5)
}

fn bar(scene: &mut Scene, winner: &Winner, i: usize) {
    let (x, y, half) = (place(i), height(winner.error), 30.0);
    let paint = if winner.is_cnn { Paint::Series(0) } else { Paint::Frame };
    scene.fill(Rect::new(x - half, y, 2.0 * half, PLOT.bottom() - y), paint);
    let middle = |text: &str| Text::new(text).anchor(Anchor::Middle);
    scene.text(middle(&format!("{:.1} %", 100.0 * winner.error)).bold().at(x, y - 5.0));
    let foot = PLOT.bottom();
    scene.text(middle(&winner.year.to_string()).bold().at(x, foot + 18.0));
    let room = PLOT.w / (WINNERS.len() + 1) as f64 - 6.0;
    scene.text(middle(winner.team).size(11.0).fit(room).at(x, foot + 34.0));
    // What is longer than its place is told in two lines.
    for (k, part) in winner.method.split(", ").enumerate() {
        let text = middle(part).size(10.5).paint(Paint::Muted).fit(room);
        scene.text(text.at(x, foot + 49.0 + 13.0 * k as f64));
    }
}

fn human(scene: &mut Scene) {
    let y = height(HUMAN.error);
    let stroke = Stroke::new(Paint::Series(1), 2.0).dash(&[7.0, 4.0]);
    scene.line((PLOT.x, y), (PLOT.right(), y), stroke);
    let label = Text::new("a person: 5.1 % *").bold().paint(Paint::Series(1)).anchor(Anchor::End);
    scene.text(label.at(PLOT.right(), y - 7.0));
    let x = place(WINNERS.len());
    for (k, line) in ["since then", "on Kaggle"].iter().enumerate() {
        let text = Text::new(line).size(11.0).paint(Paint::Muted).anchor(Anchor::Middle);
        scene.text(text.at(x, PLOT.bottom() + 18.0 + 15.0 * k as f64));
    }
}

fn legend(scene: &mut Scene) {
    let y = 76.0;
    for (x, paint, text) in
        [(560.0, Paint::Frame, "features made by hand"), (730.0, Paint::Series(0), "convolutional networks")]
    {
        scene.fill(Rect::new(x, y - 9.0, 12.0, 12.0), paint);
        scene.text(Text::new(text).at(x + 18.0, y + 1.0));
    }
    let notes = [
        "* One trained annotator on 1,500 images; a second one made 12.0 % on 258. Telling 1,000 given classes apart, not seeing.",
        "Entries with the challenge's own training data alone. 2012 and 2014 to 2016 are ensembles. 2014: VGG came second with 7.3 %.",
        "Sources: 2010, 2011, 2013 and the person: Russakovsky et al. 2015. 2012, 2016: results pages of image-net.org.",
        "2014: Szegedy et al. 2014. 2015: He et al. 2015. 2017: Hu et al. 2017.",
    ];
    for (i, note) in notes.iter().enumerate() {
        scene.text(Text::new(note).size(10.5).paint(Paint::Muted).fit(SIZE.0 - 64.0).at(32.0, 512.0 + 14.0 * i as f64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visual::{Shape, tests::assert_sound};

    // E28: years in order, errors that fall, a source for each.
    #[test]
    fn e28_every_year_has_a_winner_with_a_source() {
        assert!(WINNERS.windows(2).all(|w| w[1].year == w[0].year + 1 && w[1].error < w[0].error));
        assert!(WINNERS.iter().all(|w| !w.source.is_empty() && w.error > 0.0 && w.error < 1.0));
        assert_eq!(WINNERS.iter().find(|w| w.error < HUMAN.error).map(|w| w.year), Some(2015));
        let text = table();
        for wanted in ["16.42 %", "Clarifai", "Kaggle", "1,500 test images", "arXiv:1709.01507"] {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
    }

    // E28: the bars are as high as their errors, and the person's line lies where it should.
    #[test]
    fn e28_bars_have_the_height_of_their_errors() {
        let picture = picture().unwrap();
        assert_sound(&picture);
        let bars = picture.scene().shapes().iter().filter_map(|s| match s {
            Shape::Fill(r, _) if r.w == 60.0 => Some(r.h / PLOT.h * TOP),
            _ => None,
        });
        let bars: Vec<f64> = bars.collect();
        assert_eq!(bars.len(), WINNERS.len());
        for (bar, winner) in bars.iter().zip(&WINNERS) {
            assert!((bar - winner.error).abs() < 1e-9, "{winner:?} drawn as {bar}");
        }
    }
}
