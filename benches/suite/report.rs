//! The results as tables, as a plot, and as the page BENCHMARKS.md.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use striate::conv::Pass;
use striate::visual::{Anchor, Paint, Picture, Rect, Scene, Stroke, Text};

use crate::page::{AGAIN, HEAD, PEAK, TABLE, THREADS};
use crate::peak::Layer;
use crate::rows::{self, CONVOLUTIONS, PEAK_GOAL, SHAPES, THREADS_GOAL, Work};
use crate::run::{Outcome, root, shapes, threads_word};
use crate::side::{Ratio, Side};

/// All results: the machine, the sides of all rows, and the layers beside the peak.
#[derive(Default)]
pub struct Results {
    pub machine: Value,
    pub sides: Vec<Side>,
    pub layers: Vec<Layer>,
}

/// One line of the table.
struct Entry {
    name: String,
    ours: Option<f64>,
    spread: Option<[f64; 2]>,
    best: Option<(f64, String)>,
    /// The best peer's figure as a multiple of ours.
    ratio: Option<Ratio>,
    unit: &'static str,
    goal: f64,
}

impl Results {
    /// The results that a file keeps, without rows that the suite no longer has; none if there is no such file.
    pub fn read(path: &Path) -> Outcome<Self> {
        let Ok(text) = std::fs::read_to_string(path) else {
            return Ok(Self::default());
        };
        let value: Value = serde_json::from_str(&text)?;
        let array = |key: &str| value[key].as_array().map_or(&[][..], Vec::as_slice);
        let sides = array("sides").iter().map(Side::from_json).collect::<Option<Vec<_>>>();
        let names: Vec<String> = rows::all().into_iter().map(Work::name).collect();
        let is_known = |row: &str| {
            names.iter().any(|name| {
                row.strip_prefix(name.as_str()).is_some_and(|rest| ["", " forward", " all"].contains(&rest))
            })
        };
        let layers = array("layers").iter().map(Layer::from_json).collect::<Option<_>>();
        let mut sides = sides.ok_or("a side of the results is not whole")?;
        sides.retain(|side| is_known(&side.row));
        Ok(Self {
            machine: value["machine"].clone(),
            sides,
            layers: layers.ok_or("a layer of the results is not whole")?,
        })
    }

    /// Writes the file, a line for each side and layer.
    pub fn write(&self, path: &Path) -> Outcome<()> {
        let lines = |all: Vec<Value>| all.iter().map(|v| format!("    {v}")).collect::<Vec<_>>().join(",\n");
        let sides = lines(self.sides.iter().map(Side::as_json).collect());
        let layers = lines(self.layers.iter().map(Layer::as_json).collect());
        let machine = json!(self.machine);
        let text = format!(
            "{{\n  \"machine\": {machine},\n  \"sides\": [\n{sides}\n  ],\n  \"layers\": [\n{layers}\n  ]\n}}\n"
        );
        Ok(std::fs::write(path, text)?)
    }

    /// Puts new measurements in the place of old ones: of the same row and side, or of the `whole` row, so that only what
    /// ran in turn is compared.
    pub fn merge(&mut self, new: Vec<Side>, whole: bool) {
        if whole {
            self.sides.retain(|old| new.iter().all(|side| side.row != old.row));
        }
        for side in new {
            self.sides.retain(|old| (&old.row, &old.peer, &old.variant) != (&side.row, &side.peer, &side.variant));
            self.sides.push(side);
        }
    }

    /// The same for the layers of a file.
    pub fn merge_layers(&mut self, new: Vec<Layer>) {
        self.layers.retain(|old| new.iter().all(|layer| layer.file != old.file));
        self.layers.extend(new);
    }

    fn entries(&self) -> Outcome<Vec<Entry>> {
        let shapes = shapes("peers")?;
        let mut all = Vec::new();
        for work in rows::all() {
            match work {
                Work::Conv(_) | Work::Threads { .. } | Work::Peak(_) => {}
                Work::Photo => all.extend(self.apart(work)),
                _ => all.extend(self.entry(&work.name(), work.name(), |_| true)),
            }
        }
        all.extend(self.memory("train resnet-50 8"));
        for (passes, words) in [("forward", "forward"), ("all", "forward + backward")] {
            for (index, shape) in shapes.iter().enumerate().take(CONVOLUTIONS) {
                all.extend(self.entry(&format!("conv {index} {passes}"), format!("{shape}, {words}"), |_| true));
            }
        }
        Ok(all)
    }

    // A line for each of some peers.
    fn apart(&self, work: Work) -> Vec<Entry> {
        let of = |(variant, goal): &(&str, f64)| {
            let entry = self.entry(&work.name(), work.name(), |side| side.variant == *variant)?;
            Some(Entry { goal: *goal, ..entry })
        };
        work.apart().iter().filter_map(of).collect()
    }

    fn entry(&self, row: &str, name: String, among: impl Fn(&Side) -> bool) -> Option<Entry> {
        let of = |side: &&Side| side.row == row;
        let ours = self.sides.iter().filter(of).find(|s| s.peer == "striate");
        let peers = self.sides.iter().filter(of).filter(|s| s.peer != "striate" && among(s));
        let best = peers.min_by(|a, b| a.median().total_cmp(&b.median()));
        if ours.is_none() && best.is_none() {
            return None;
        }
        Some(Entry {
            name,
            ours: ours.map(Side::median),
            spread: ours.map(Side::spread),
            best: best.map(|side| (side.median(), words(side))),
            ratio: best.zip(ours).map(|(best, ours)| best.over(ours)),
            unit: "ms",
            goal: rows::goal(row),
        })
    }

    fn memory(&self, row: &str) -> Option<Entry> {
        let of = |side: &&Side| side.row == row && side.peak_mb() < f64::MAX;
        let ours = self.sides.iter().filter(of).find(|s| s.peer == "striate").map(Side::peak_mb);
        let peers = self.sides.iter().filter(of).filter(|s| s.peer != "striate");
        let best = peers.min_by(|a, b| a.peak_mb().total_cmp(&b.peak_mb())).map(|side| (side.peak_mb(), words(side)));
        let name = format!("peak memory of {row}");
        let ratio = best.as_ref().zip(ours).map(|((best, _), ours)| best / ours);
        (ours.is_some() || best.is_some()).then(|| Entry {
            goal: rows::goal(&name),
            name,
            ours,
            spread: None,
            best,
            ratio: ratio.map(|one| Ratio { median: one, low: one, high: one }),
            unit: "MB",
        })
    }

    /// The table of the peers in Markdown.
    pub fn table(&self) -> Outcome<String> {
        let entries = self.entries()?;
        if entries.is_empty() {
            return Ok(String::new());
        }
        let mut text = String::from(
            "| what | striate | spread | best peer | which | peer / striate | of the rounds | goal |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for e in entries {
            let number = |v: f64| format!("{} {}", digits(v), e.unit);
            let ours = e.ours.map_or("-".into(), number);
            let spread = e.spread.map_or(String::new(), |[low, high]| format!("{} - {}", digits(low), digits(high)));
            let (best, which) =
                e.best.as_ref().map_or(("-".into(), String::new()), |(v, who)| (number(*v), who.clone()));
            let ratio = e.ratio.map_or("-".into(), |r| reached(r.median, e.goal));
            let range = e.ratio.map_or(String::new(), range);
            writeln!(
                text,
                "| {} | {ours} | {spread} | {best} | {which} | {ratio} | {range} | {:.1} |",
                e.name, e.goal
            )?;
        }
        Ok(text)
    }

    /// The table of one thread and two, in Markdown.
    pub fn threads(&self) -> Outcome<String> {
        let mut text = String::new();
        for work in rows::all() {
            let Work::Threads { train, network, batch } = work else { continue };
            let side = |threads| self.sides.iter().find(|s| s.row == work.name() && s.variant == threads_word(threads));
            let (Some(one), Some(two)) = (side(1), side(2)) else { continue };
            let (what, ratio) = (if train { "train" } else { "infer" }, one.over(two));
            let (a, b) = (digits(one.median()), digits(two.median()));
            let (reached, range) = (reached(ratio.median, THREADS_GOAL), range(ratio));
            writeln!(text, "| {what} {network} {batch} | {a} ms | {b} ms | {reached} | {range} | {THREADS_GOAL} |")?;
        }
        let head = "| what | 1 thread | 2 threads | 1 thread / 2 threads | of the rounds | goal |\n|---|---|---|---|---|---|\n";
        Ok(if text.is_empty() { text } else { format!("{head}{text}") })
    }

    /// The table of the layers beside the peak, in Markdown.
    pub fn peaks(&self) -> Outcome<String> {
        let mut text = String::new();
        for file in SHAPES {
            let of: Vec<&Layer> = self.layers.iter().filter(|l| l.file == file).collect();
            let Some(lowest) = of.iter().min_by(|a, b| a.share().total_cmp(&b.share())) else { continue };
            let cells = Pass::ALL.map(|pass| share(of.iter().copied().filter(|l| l.pass == pass.to_string())));
            let reach = of.iter().filter(|l| l.share() >= PEAK_GOAL).count();
            let Layer { geometry, pass, algorithm, .. } = lowest;
            let [forward, dx, dw] = cells;
            writeln!(
                text,
                "| {file} | {forward} | {dx} | {dw} | {reach} of {} | {:.0} %: {geometry}, {pass}, {algorithm} |",
                of.len(),
                100.0 * lowest.share()
            )?;
        }
        let head = format!(
            "| layers of | forward | gradient to the input | gradient to the weights | {:.0} % or more | the lowest |\n\
             |---|---|---|---|---|---|\n",
            100.0 * PEAK_GOAL
        );
        Ok(if text.is_empty() { text } else { format!("{head}{text}") })
    }

    /// All tables, one below the other.
    pub fn tables(&self) -> Outcome<String> {
        let all = [self.table()?, self.threads()?, self.peaks()?];
        Ok(all.into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n"))
    }

    /// The ratios as bars: to the right of the line we are ahead.
    pub fn plot(&self) -> Outcome<Picture> {
        let entries: Vec<Entry> = self.entries()?.into_iter().filter(|e| e.ratio.is_some()).collect();
        const WIDTH: f64 = 900.0;
        const LEFT: f64 = 430.0;
        const TOP: f64 = 86.0;
        const STEP: f64 = 20.0;
        let height = TOP + STEP * entries.len() as f64 + 40.0;
        let title = "Time of the best peer, as a multiple of striate's";
        let ahead = entries.iter().filter(|e| e.ratio.is_some_and(|r| r.median >= 1.0)).count();
        let about = format!("{title}. In {ahead} of {} rows striate is at least as fast.", entries.len());
        let mut scene = Scene::new(WIDTH, height, title, about);
        scene.text(Text::new(title).size(17.0).bold().at(20.0, 34.0));
        let machine = self.machine["cpu"].as_str().unwrap_or("");
        let threads = self.machine["threads"].as_u64().unwrap_or(0);
        scene.text(
            Text::new(format!("{machine}, {threads} threads; right of 1: striate is faster"))
                .paint(Paint::Muted)
                .at(20.0, 54.0),
        );
        // From a quarter to 32, by the logarithm.
        let place = |ratio: f64| LEFT + (ratio.clamp(0.25, 32.0).log2() + 2.0) / 7.0 * (WIDTH - LEFT - 70.0);
        for mark in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0] {
            let paint = if mark == 1.0 { Paint::Ink } else { Paint::Grid };
            scene.line((place(mark), TOP - 8.0), (place(mark), height - 32.0), Stroke::new(paint, 1.0));
            scene.text(
                Text::new(format!("{mark}"))
                    .size(11.0)
                    .paint(Paint::Muted)
                    .anchor(Anchor::Middle)
                    .at(place(mark), height - 16.0),
            );
        }
        for (i, entry) in entries.iter().enumerate() {
            let (ratio, y) = (entry.ratio.map_or(1.0, |r| r.median), TOP + STEP * i as f64);
            let (from, to) = (place(1.0).min(place(ratio)), place(1.0).max(place(ratio)));
            let paint = Paint::Series(usize::from(ratio < 1.0));
            scene.text(
                Text::new(entry.label()).size(11.0).anchor(Anchor::End).fit(LEFT - 36.0).centred(LEFT - 8.0, y + 7.0),
            );
            scene.fill(Rect::new(from, y, (to - from).max(1.0), 14.0), paint);
            let (x, anchor) = if ratio < 1.0 { (from - 5.0, Anchor::End) } else { (to + 5.0, Anchor::Start) };
            scene.text(
                Text::new(format!("{ratio:.2}")).size(11.0).paint(Paint::Muted).anchor(anchor).centred(x, y + 7.0),
            );
        }
        Ok(Picture::new(scene))
    }

    /// Writes BENCHMARKS.md and the plot beside it.
    pub fn publish(&self) -> Outcome<()> {
        let picture = self.plot()?;
        for name in ["docs/benchmarks.svg", "docs/benchmarks.png"] {
            picture.save(root().join(name))?;
        }
        let mut versions: Vec<&str> = self.sides.iter().map(|s| s.version.as_str()).filter(|v| !v.is_empty()).collect();
        versions.sort_unstable();
        versions.dedup();
        let text = |key: &str| self.machine[key].as_str().unwrap_or("unknown").to_string();
        let machine = format!(
            "{}, {} of its cores, {} threads, {}; {}; measured on {}.",
            text("cpu"),
            self.machine["cores"],
            self.machine["threads"],
            text("isa"),
            versions.join("; "),
            text("date")
        );
        let gflops = crate::side::median(self.layers.iter().map(|layer| layer.gflops).collect());
        let (table, threads, peaks) = (self.table()?, self.threads()?, self.peaks()?);
        let mut page = format!("{HEAD}\n{machine}\n\n{TABLE}\n{table}");
        if !threads.is_empty() {
            write!(page, "\n{THREADS}\n{threads}")?;
        }
        if !peaks.is_empty() {
            write!(page, "\n{PEAK}\n{peaks}\nThe peak beside the layers was {gflops:.0} GFLOP/s, by the median.\n")?;
        }
        write!(page, "\n{AGAIN}")?;
        Ok(std::fs::write(root().join("BENCHMARKS.md"), page)?)
    }
}

impl Entry {
    // The name, with the peer where a row has a line for each.
    fn label(&self) -> String {
        match &self.best {
            Some((_, who)) if self.name.starts_with("cold start resnet") => format!("{}, {who}", self.name),
            _ => self.name.clone(),
        }
    }
}

// What some layers reach of the peak together, and the lowest and highest of them.
fn share<'a>(layers: impl Iterator<Item = &'a Layer> + Clone) -> String {
    let sum = |of: fn(&Layer) -> f64| layers.clone().map(of).sum::<f64>();
    let all = sum(|l| l.floor_ms) / sum(|l| l.ms);
    let low = layers.clone().map(Layer::share).fold(f64::MAX, f64::min);
    let high = layers.clone().map(Layer::share).fold(0.0, f64::max);
    let mark = if all >= PEAK_GOAL { "**" } else { "" };
    format!("{mark}{:.0} %{mark} ({:.0} - {:.0})", 100.0 * all, 100.0 * low, 100.0 * high)
}

// A ratio, bold where it reaches its goal.
fn reached(ratio: f64, goal: f64) -> String {
    if ratio >= goal { format!("**{ratio:.2}**") } else { format!("{ratio:.2}") }
}

fn range(ratio: Ratio) -> String {
    let Ratio { low, high, .. } = ratio;
    if low == high { String::new() } else { format!("{low:.2} - {high:.2}") }
}

fn words(side: &Side) -> String {
    let name = match (side.peer.as_str(), side.variant.split('-').any(|word| word == "ort")) {
        (_, true) => return "ONNX Runtime".into(),
        ("torch", _) if side.row.starts_with("cold start resnet") => return cold(&side.variant),
        ("torch", _) => "PyTorch",
        ("tf", _) => "Keras/TF",
        (other, _) => other,
    };
    format!("{name} {}", side.variant)
}

fn cold(variant: &str) -> String {
    if variant == "script" { "PyTorch, TorchScript".into() } else { "PyTorch, torchvision".into() }
}

fn digits(v: f64) -> String {
    let digits = match v {
        v if v < 1.0 => 3,
        v if v < 100.0 => 2,
        _ => 0,
    };
    format!("{v:.digits$}")
}
