//! The family tree of the networks: what came from what, what it costs, and how good it was published to be.
//!
//! Parameters and multiply-adds are counted on the networks of the zoo; errors are those of their publishers, each with
//! its source, since nobody else's training can be repeated here.

use std::fmt::Write as _;

use serde::Serialize;

use crate::error::Result;
use crate::visual::{Anchor, AxisStyle, Bubble, BubbleChart, Paint, Picture, Rect, Scale, Scene, Stroke, Text, Unit};
use crate::zoo;

/// A network of the tree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// What it is called.
    pub title: &'static str,
    /// Its name in the zoo.
    pub name: &'static str,
    /// The year of its first publication.
    pub year: u16,
    /// The name of the network that it goes on from.
    pub parent: Option<&'static str>,
    /// The name of another one that it took from.
    pub also: Option<&'static str>,
    /// What was new.
    pub new: &'static str,
    /// Top-1 error, as a share of 1.
    pub top1: f64,
    /// Top-5 error, where it was published.
    pub top5: Option<f64>,
    /// The data that the errors are of.
    pub data: &'static str,
    /// Where the errors stand, and how they were measured.
    pub source: &'static str,
    /// Trainable parameters, counted.
    pub params: usize,
    /// Multiply-adds for an image, counted.
    pub mul_adds: u64,
    #[serde(skip)]
    lane: usize,
}

const TORCHVISION: &str = "torchvision 0.10 documentation, one crop";
const IMAGENET: &str = "ImageNet, validation";

// What is not counted: name in the zoo, title, year, parent, other parent, lane of the drawing, news, errors, source.
struct Line {
    name: &'static str,
    title: &'static str,
    year: u16,
    parent: Option<&'static str>,
    also: Option<&'static str>,
    lane: usize,
    new: &'static str,
    errors: (f64, Option<f64>),
    data: &'static str,
    source: &'static str,
}

const fn line(name: &'static str, title: &'static str, year: u16, parent: Option<&'static str>, lane: usize) -> Line {
    let (new, errors, data, source) = ("", (0.0, None), IMAGENET, TORCHVISION);
    Line { name, title, year, parent, also: None, lane, new, errors, data, source }
}

// In the order of the tree: each behind its parent.
const LINES: [Line; 15] = [
    Line {
        new: "convolution, pooling, dense layers, trained as one",
        errors: (0.0095, None),
        data: "MNIST, test",
        source: "LeCun et al. 1998, without distorted training images",
        ..line("lenet-5", "LeNet-5", 1998, None, 2)
    },
    Line {
        new: "ReLU, dropout, two GPUs, a thousand classes",
        errors: (0.407, Some(0.182)),
        source: "Krizhevsky et al. 2012, one network, ten crops",
        ..line("alexnet", "AlexNet", 2012, Some("lenet-5"), 2)
    },
    Line {
        new: "only 3x3 kernels, and more of them",
        errors: (0.2841, Some(0.0962)),
        ..line("vgg-16", "VGG-16", 2014, Some("alexnet"), 1)
    },
    Line {
        new: "shortcuts: F(x) + x",
        errors: (0.2385, Some(0.0713)),
        ..line("resnet-50", "ResNet-50", 2015, Some("vgg-16"), 1)
    },
    Line {
        new: "152 layers",
        errors: (0.2169, Some(0.0594)),
        ..line("resnet-152", "ResNet-152", 2015, Some("resnet-50"), 0)
    },
    Line {
        new: "each layer sees all before it",
        errors: (0.2535, Some(0.0783)),
        ..line("densenet-121", "DenseNet-121", 2016, Some("resnet-50"), 0)
    },
    Line {
        also: Some("mobilenet-v1"),
        new: "inverted residual blocks",
        errors: (0.2812, Some(0.0971)),
        ..line("mobilenet-v2", "MobileNet v2", 2018, Some("resnet-50"), 2)
    },
    Line {
        new: "searched by machine, squeeze-and-excite",
        errors: (0.2596, Some(0.0866)),
        ..line("mobilenet-v3-large", "MobileNet v3", 2019, Some("mobilenet-v2"), 3)
    },
    Line {
        new: "width, depth and resolution scaled together",
        errors: (0.223_08, Some(0.064_68)),
        source: "torchvision 0.14 documentation, one crop",
        ..line("efficientnet-b0", "EfficientNet-B0", 2019, Some("mobilenet-v2"), 2)
    },
    Line {
        new: "without squeeze-and-excite, ReLU6: for small devices",
        errors: (0.249, None),
        source: "README of efficientnet/lite in github.com/tensorflow/tpu",
        ..line("efficientnet-lite0", "EfficientNet-Lite0", 2020, Some("efficientnet-b0"), 2)
    },
    Line {
        new: "ResNet with the habits of transformers: 7x7 depthwise",
        errors: (0.1748, Some(0.038_54)),
        source: "torchvision 0.14 documentation, one crop",
        ..line("convnext-tiny", "ConvNeXt-Tiny", 2022, Some("resnet-50"), 1)
    },
    Line {
        new: "branches of several kernel sizes side by side",
        errors: (0.3022, Some(0.1047)),
        ..line("googlenet-bn", "GoogLeNet", 2014, Some("alexnet"), 3)
    },
    Line {
        new: "one-sided kernels, batch normalisation",
        errors: (0.2255, Some(0.0644)),
        ..line("inception-v3", "Inception v3", 2015, Some("googlenet-bn"), 3)
    },
    Line {
        new: "depthwise and 1x1 convolutions only",
        errors: (0.294, None),
        source: "Howard et al. 2017, arXiv:1704.04861",
        ..line("mobilenet-v1", "MobileNet v1", 2017, Some("inception-v3"), 3)
    },
    Line {
        new: "as good as AlexNet with a fiftieth of its parameters",
        errors: (0.4181, Some(0.1938)),
        ..line("squeezenet-1.1", "SqueezeNet 1.1", 2016, Some("alexnet"), 4)
    },
];

/// All networks of the tree, each behind its parent.
///
/// ```
/// let family = striate::lab::family::members()?;
/// let resnet = family.iter().find(|m| m.name == "resnet-50").unwrap();
/// assert_eq!((resnet.parent, resnet.params), (Some("vgg-16"), 25_557_032));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
/// None of these networks fails to build.
pub fn members() -> Result<Vec<Member>> {
    LINES.iter().map(counted).collect()
}

fn counted(line: &Line) -> Result<Member> {
    let graph = zoo::recipe(line.name)?.graph;
    let params = graph.nodes().iter().flat_map(|n| graph.params(n)).filter(|p| p.trainable).map(|p| p.len()).sum();
    let Line { name, title, year, parent, also, lane, new, errors: (top1, top5), data, source } = *line;
    let mul_adds = graph.mul_adds();
    Ok(Member { title, name, year, parent, also, new, top1, top5, data, source, params, mul_adds, lane })
}

/// The tree as text: a table whose first column shows the descent.
pub fn table(family: &[Member]) -> String {
    let mut out = String::from("Networks, each below the one that it goes on from\n\n");
    let _ = writeln!(
        out,
        "{:<30} {:>4}  {:>9}  {:>13}  {:>6}  {:>6}  source of the errors",
        "", "year", "params", "multiply-adds", "top-1", "top-5"
    );
    for (i, m) in family.iter().enumerate() {
        let name = format!("{}{}", branch(family, i), m.title);
        let top5 = m.top5.map_or(String::new(), percent);
        let source = if m.data == IMAGENET { m.source.to_string() } else { format!("{}: {}", m.data, m.source) };
        let (params, mul_adds, top1) = (amount(m.params as f64), amount(m.mul_adds as f64), percent(m.top1));
        let _ = writeln!(out, "{name:<30} {:>4}  {params:>9}  {mul_adds:>13}  {top1:>6}  {top5:>6}  {source}", m.year);
        let also = m.also.and_then(|also| family.iter().find(|m| m.name == also));
        let also = also.map_or(String::new(), |m| format!(" (and from {})", m.title));
        let _ = writeln!(out, "{:<30}   new: {}{also}", stem(family, i), m.new);
    }
    out + "\nParameters and multiply-adds are counted here. Errors are those of their publishers: on ImageNet's validation set\n\
           where nothing else is said, and with the training of their time, which is a part of each difference.\n"
}

// The lines of descent before a name: one for each generation that has more children to come.
fn branch(family: &[Member], i: usize) -> String {
    match depth(family, i) {
        0 => String::new(),
        n => format!("{}{}", rails(family, i, n - 1), if is_last(family, i) { "└ " } else { "├ " }),
    }
}

fn stem(family: &[Member], i: usize) -> String {
    let n = depth(family, i);
    let own = if n == 0 {
        ""
    } else if is_last(family, i) {
        "  "
    } else {
        "│ "
    };
    let children = if has_child(family, i) { "│" } else { "" };
    format!("{}{own}{children}", rails(family, i, n.saturating_sub(1)))
}

fn rails(family: &[Member], i: usize, generations: usize) -> String {
    let mut rails = Vec::new();
    let mut at = parent(family, i);
    while let Some(p) = at.filter(|_| rails.len() < generations) {
        rails.push(if is_last(family, p) { "  " } else { "│ " });
        at = parent(family, p);
    }
    rails.into_iter().rev().collect()
}

fn parent(family: &[Member], i: usize) -> Option<usize> {
    family[i].parent.and_then(|name| family.iter().position(|m| m.name == name))
}

fn depth(family: &[Member], i: usize) -> usize {
    std::iter::successors(parent(family, i), |p| parent(family, *p)).count()
}

fn is_last(family: &[Member], i: usize) -> bool {
    !family[i + 1..].iter().any(|m| m.parent == family[i].parent)
}

fn has_child(family: &[Member], i: usize) -> bool {
    family.iter().any(|m| m.parent == Some(family[i].name))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

// Three digits and a unit.
fn amount(n: f64) -> String {
    let (value, unit) = match n {
        n if n < 1e6 => (n / 1e3, "k"),
        n if n < 1e9 => (n / 1e6, "M"),
        n => (n / 1e9, "G"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

const MARGIN: f64 = 28.0;
const COLUMN: f64 = 128.0;
const LANE: f64 = 64.0;
const NODE: (f64, f64) = (108.0, 42.0);
const HEAD: f64 = 84.0;
const LANES: usize = 5;
const CHART: f64 = 500.0;

/// The tree by years, and accuracy against multiply-adds with a bubble as large as the parameters are many.
///
/// # Errors
/// None; the family can be drawn.
pub fn picture(family: &[Member]) -> Result<Picture> {
    let mut years: Vec<u16> = family.iter().map(|m| m.year).collect();
    years.sort_unstable();
    years.dedup();
    let width = 2.0 * MARGIN + COLUMN * years.len() as f64;
    let tree = HEAD + 34.0 + LANE * LANES as f64;
    let title = "The family tree of the networks";
    let words: Vec<String> = family.iter().map(|m| format!("{} {}: {}.", m.title, m.year, m.new)).collect();
    let mut scene = Scene::new(width, tree + CHART + 64.0, title, words.join(" "));
    scene.text(Text::new(title).size(17.0).bold().at(MARGIN, 38.0));
    let subtitle = "From left to right by the year of publication; under each name its parameters and its multiply-adds, \
                    counted. Dashed: took from it, too.";
    scene.text(Text::new(subtitle).paint(Paint::Muted).fit(width - 2.0 * MARGIN).at(MARGIN, 58.0));
    let column = |m: &Member| years.iter().position(|y| *y == m.year).unwrap_or(0);
    for (k, year) in years.iter().enumerate() {
        let x = MARGIN + COLUMN * (k as f64 + 0.5);
        scene.text(Text::new(year.to_string()).bold().paint(Paint::Muted).anchor(Anchor::Middle).at(x, HEAD + 10.0));
    }
    let node = |m: &Member| {
        let x = MARGIN + COLUMN * column(m) as f64 + (COLUMN - NODE.0) / 2.0;
        Rect::new(x, HEAD + 24.0 + LANE * m.lane as f64 + (LANE - NODE.1) / 2.0, NODE.0, NODE.1)
    };
    for m in family {
        for (name, dash) in [(m.parent, &[][..]), (m.also, &[5.0, 4.0][..])] {
            if let Some(from) = family.iter().find(|p| Some(p.name) == name) {
                edge(&mut scene, node(from), node(m), Stroke::new(Paint::Frame, 1.5).dash(dash));
            }
        }
    }
    family.iter().for_each(|m| draw_node(&mut scene, m, node(m)));
    chart(family).draw(&mut scene, Rect::new(MARGIN, tree + 16.0, width - 2.0 * MARGIN, CHART))?;
    let foot = [
        "Errors are those of their publishers, not of a training here: torchvision's documentation (one crop) but for AlexNet \
         (Krizhevsky 2012, ten crops), MobileNet v1 (Howard 2017) and EfficientNet-Lite0 (its README).",
        "LeNet-5 is not in the chart: it was trained on digits (0.95 % error on MNIST, LeCun 1998).",
    ];
    for (i, note) in foot.iter().enumerate() {
        let text = Text::new(note).size(10.5).paint(Paint::Muted).fit(width - 2.0 * MARGIN);
        scene.text(text.at(MARGIN, tree + CHART + 32.0 + 15.0 * i as f64));
    }
    Ok(Picture::new(scene))
}

// Out of the parent to the right, up or down in the gap behind it, and along the lane of the child.
fn edge(scene: &mut Scene, from: Rect, to: Rect, stroke: Stroke) {
    let middle = |r: &Rect| r.y + r.h / 2.0;
    if (from.x - to.x).abs() < 1.0 {
        let x = from.x + from.w / 2.0;
        let (a, b) = if to.y < from.y { (from.y, to.bottom()) } else { (from.bottom(), to.y) };
        return scene.line((x, a), (x, b), stroke);
    }
    // What is dashed turns a little later, so that it is told from what is not.
    let turn = from.right() + if stroke.dash.is_empty() { 10.0 } else { 5.0 };
    let mut points = vec![(from.right(), middle(&from))];
    if (middle(&from) - middle(&to)).abs() > 1.0 {
        points.extend([(turn, middle(&from)), (turn, middle(&to))]);
    }
    points.push((to.x, middle(&to)));
    scene.polyline(points, stroke);
}

fn draw_node(scene: &mut Scene, m: &Member, place: Rect) {
    scene.fill(place, Paint::Page);
    scene.fill(place, Paint::Tint(m.lane));
    scene.outline(place, Stroke::new(Paint::Series(m.lane), 1.25));
    let x = place.x + place.w / 2.0;
    let line = |text: String| Text::new(text).anchor(Anchor::Middle).fit(place.w - 6.0);
    scene.text(line(m.title.into()).size(11.5).bold().fit(place.w - 6.0).at(x, place.y + 17.0));
    let size = format!("{} · {}", amount(m.params as f64), amount(m.mul_adds as f64));
    scene.text(line(size).size(10.5).at(x, place.y + 33.0));
}

fn chart(family: &[Member]) -> BubbleChart {
    let shown: Vec<&Member> = family.iter().filter(|m| m.data == IMAGENET).collect();
    let bubble = |m: &&Member| Bubble {
        label: m.title.into(),
        x: m.mul_adds as f64,
        y: 1.0 - m.top1,
        size: m.params as f64,
        colour: m.lane,
    };
    let place = |name: &str| shown.iter().position(|m| m.name == name);
    let links = shown.iter().enumerate().filter_map(|(i, m)| Some((place(m.parent?)?, i)));
    let key = [5e6, 50e6, 138e6].map(|n| (n, format!("{:.0} M parameters", n / 1e6))).to_vec();
    BubbleChart {
        title: "Accuracy against cost".into(),
        subtitle: "The area of a bubble is proportional to the number of parameters; lines lead from parent to child."
            .into(),
        x: AxisStyle::new("multiply-adds for an image").scale(Scale::Log),
        y: AxisStyle::new("top-1 accuracy on ImageNet, as published").unit(Unit::Percent),
        bubbles: shown.iter().map(bubble).collect(),
        links: links.collect(),
        key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visual::{Shape, tests::assert_sound};

    // E23 to E27: the lineage of the notes, with counted sizes.
    #[test]
    fn e23_e27_the_lineage_is_there_and_its_sizes_are_counted() {
        let family = members().unwrap();
        let of = |name: &str| family.iter().find(|m| m.name == name).unwrap();
        let chain = |name: &str| -> Vec<&str> {
            std::iter::successors(Some(of(name)), |m| m.parent.map(of)).map(|m| m.name).collect()
        };
        let lite =
            ["efficientnet-lite0", "efficientnet-b0", "mobilenet-v2", "resnet-50", "vgg-16", "alexnet", "lenet-5"];
        assert_eq!(chain("efficientnet-lite0"), lite);
        assert_eq!(chain("googlenet-bn"), ["googlenet-bn", "alexnet", "lenet-5"]);
        assert_eq!((of("alexnet").params, of("vgg-16").params), (60_965_224, 138_357_544));
        assert_eq!((of("resnet-50").params, of("resnet-152").params), (25_557_032, 60_192_808));
        // Nobody comes before the network that he goes on from, and each stands behind it.
        for (i, m) in family.iter().enumerate() {
            if let Some(p) = parent(&family, i) {
                assert!(p < i && family[p].year <= m.year, "{} from {}", m.name, family[p].name);
            }
            assert!(m.top1 > 0.0 && m.top5.is_none_or(|e| e < m.top1) && !m.source.is_empty());
            assert!(m.also.is_none_or(|also| family.iter().any(|m| m.name == also)));
        }
    }

    #[test]
    fn e23_e27_every_network_is_in_the_table_and_in_the_drawing() {
        let family = members().unwrap();
        let text = table(&family);
        assert!(text.contains("└ EfficientNet-Lite0") && text.contains("138 M"), "{text}");
        let picture = picture(&family).unwrap();
        assert_sound(&picture);
        let count = |wanted: &str| picture.scene().texts().filter(|t| t.content() == wanted).count();
        for m in &family {
            // In the tree and in the chart; LeNet-5 in the tree alone.
            let wanted = if m.data == IMAGENET { 2 } else { 1 };
            assert_eq!(count(m.title), wanted, "{}", m.title);
        }
        // Areas go with parameters: VGG-16 has 138 M, ResNet-50 25.6 M.
        let radius = |colour: usize, nth: usize| {
            let discs = picture.scene().shapes().iter().filter_map(|s| match s {
                Shape::Circle(_, r, Paint::Tint(c), _) if *c == colour => Some(*r),
                _ => None,
            });
            let mut discs: Vec<f64> = discs.collect();
            discs.sort_by(|a, b| b.total_cmp(a));
            discs[nth]
        };
        let (vgg, convnext) = (radius(1, 0), radius(1, 1));
        let of = |name: &str| family.iter().find(|m| m.name == name).unwrap().params as f64;
        assert!((vgg * vgg / (convnext * convnext) - of("vgg-16") / of("convnext-tiny")).abs() < 1e-6);
    }
}
