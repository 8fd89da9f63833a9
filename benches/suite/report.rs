//! The results as a table, as a plot, and as the page BENCHMARKS.md.

use std::fmt::Write as _;

use serde_json::{Value, json};
use striate::visual::{Anchor, Paint, Picture, Rect, Scene, Stroke, Text};

use crate::rows::{self, CONVOLUTIONS, Work};
use crate::run::{Outcome, Side, root, shapes};

/// All results: the machine, and the sides of all rows.
pub struct Results {
    pub machine: Value,
    pub sides: Vec<Side>,
}

/// One line of the table.
struct Entry {
    name: String,
    ours: Option<f64>,
    spread: Option<[f64; 2]>,
    best: Option<(f64, String)>,
    unit: &'static str,
    goal: f64,
}

impl Entry {
    /// The best peer's figure as a multiple of ours.
    fn ratio(&self) -> Option<f64> {
        Some(self.best.as_ref()?.0 / self.ours?)
    }
}

impl Results {
    /// The results that a file keeps; none if there is no such file.
    pub fn read(path: &std::path::Path) -> Outcome<Self> {
        let Ok(text) = std::fs::read_to_string(path) else {
            return Ok(Self { machine: Value::Null, sides: Vec::new() });
        };
        let value: Value = serde_json::from_str(&text)?;
        let sides = value["sides"].as_array().ok_or("the file of results has no sides")?;
        let sides =
            sides.iter().map(Side::from_json).collect::<Option<_>>().ok_or("a side of the results is not whole")?;
        Ok(Self { machine: value["machine"].clone(), sides })
    }

    pub fn write(&self, path: &std::path::Path) -> Outcome<()> {
        let sides: Vec<Value> = self.sides.iter().map(Side::as_json).collect();
        let text = serde_json::to_string_pretty(&json!({ "machine": self.machine, "sides": sides }))?;
        Ok(std::fs::write(path, text + "\n")?)
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

    fn entries(&self) -> Outcome<Vec<Entry>> {
        let shapes = shapes()?;
        let mut all = Vec::new();
        for work in rows::all() {
            match work {
                Work::Conv(_) => {}
                _ => all.extend(self.entry(&work.name(), work.name(), "ms")),
            }
        }
        all.extend(self.memory("train resnet-50 8"));
        for (passes, words) in [("forward", "forward"), ("all", "forward + backward")] {
            for (index, shape) in shapes.iter().enumerate().take(CONVOLUTIONS) {
                all.extend(self.entry(&format!("conv {index} {passes}"), format!("{shape}, {words}"), "ms"));
            }
        }
        Ok(all)
    }

    fn entry(&self, row: &str, name: String, unit: &'static str) -> Option<Entry> {
        let of = |side: &&Side| side.row == row;
        let ours = self.sides.iter().filter(of).find(|s| s.peer == "striate");
        let peers = self.sides.iter().filter(of).filter(|s| s.peer != "striate");
        let best = peers.min_by(|a, b| a.median().total_cmp(&b.median()));
        if ours.is_none() && best.is_none() {
            return None;
        }
        let best = best.map(|side| (side.median(), words(side)));
        Some(Entry {
            name,
            ours: ours.map(Side::median),
            spread: ours.map(Side::spread),
            best,
            unit,
            goal: rows::goal(row),
        })
    }

    fn memory(&self, row: &str) -> Option<Entry> {
        let of = |side: &&Side| side.row == row && side.peak_mb() < f64::MAX;
        let ours = self.sides.iter().filter(of).find(|s| s.peer == "striate").map(Side::peak_mb);
        let peers = self.sides.iter().filter(of).filter(|s| s.peer != "striate");
        let best = peers.min_by(|a, b| a.peak_mb().total_cmp(&b.peak_mb())).map(|side| (side.peak_mb(), words(side)));
        let name = format!("peak memory of {row}");
        (ours.is_some() || best.is_some()).then(|| Entry {
            goal: rows::goal(&name),
            name,
            ours,
            spread: None,
            best,
            unit: "MB",
        })
    }

    /// The table in Markdown.
    pub fn table(&self) -> Outcome<String> {
        let mut text = String::from(
            "| what | striate | spread | best peer | which | peer / striate | goal |\n|---|---|---|---|---|---|---|\n",
        );
        for e in self.entries()? {
            let number = |v: f64| format!("{} {}", digits(v), e.unit);
            let ours = e.ours.map_or("-".into(), number);
            let spread = e.spread.map_or(String::new(), |[low, high]| format!("{} - {}", digits(low), digits(high)));
            let (best, which) =
                e.best.as_ref().map_or(("-".into(), String::new()), |(v, who)| (number(*v), who.clone()));
            let ratio =
                e.ratio().map_or("-".into(), |r| if r >= e.goal { format!("**{r:.2}**") } else { format!("{r:.2}") });
            writeln!(text, "| {} | {ours} | {spread} | {best} | {which} | {ratio} | {:.1} |", e.name, e.goal)?;
        }
        Ok(text)
    }

    /// The ratios as bars: to the right of the line we are ahead.
    pub fn plot(&self) -> Outcome<Picture> {
        let entries: Vec<Entry> = self.entries()?.into_iter().filter(|e| e.ratio().is_some()).collect();
        const WIDTH: f64 = 900.0;
        const LEFT: f64 = 430.0;
        const TOP: f64 = 86.0;
        const STEP: f64 = 20.0;
        let height = TOP + STEP * entries.len() as f64 + 40.0;
        let title = "Time of the best peer, as a multiple of striate's";
        let ahead = entries.iter().filter(|e| e.ratio().is_some_and(|r| r >= 1.0)).count();
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
        // From a quarter to sixteen, by the logarithm.
        let place = |ratio: f64| LEFT + (ratio.clamp(0.25, 16.0).log2() + 2.0) / 6.0 * (WIDTH - LEFT - 70.0);
        for mark in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0] {
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
            let (ratio, y) = (entry.ratio().unwrap_or(1.0), TOP + STEP * i as f64);
            let (from, to) = (place(1.0).min(place(ratio)), place(1.0).max(place(ratio)));
            let paint = Paint::Series(usize::from(ratio < 1.0));
            scene.text(
                Text::new(&entry.name).size(11.0).anchor(Anchor::End).fit(LEFT - 36.0).centred(LEFT - 8.0, y + 7.0),
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
        let table = self.table()?;
        std::fs::write(root().join("BENCHMARKS.md"), format!("{HEAD}\n{machine}\n\n{TABLE}\n{table}\n{AGAIN}"))?;
        Ok(())
    }
}

const HEAD: &str = "# Benchmarks

striate beside TensorFlow with Keras, PyTorch and ONNX Runtime, on one machine. Times of a machine that others share move
by some per cent from minute to minute, so all sides run in turn, and only ratios of one run are compared.

![Time of the best peer, as a multiple of striate's](docs/benchmarks.png)

## Results
";

const TABLE: &str = "Medians: of each process over its runs, then over the rounds. The spread is from the lowest tenth to the highest of all
rounds. The best peer is the fastest of all its variants: `cl` is channels_last, `fused` the fused optimiser, `compile`
torch.compile, `function` tf.function, `batch` train_on_batch, and `mm` means that glibc was told to keep large blocks,
a trick that a user has to know. `ort` is ONNX Runtime. A cold start is a whole process that reads a model and a picture.
";

const AGAIN: &str = "## How to make it again

```text
benches/peers/setup.sh                                  the peers' environments, once
cargo build --release
cargo bench --bench suite -- --write                    some 20 minutes; writes this page, its plot and the JSON
cargo bench --bench suite -- \"train keras-mnist\" --write   one row again, merged into the others
cargo bench --bench suite -- --quick                    does everything work? one short round, nothing is written
```

`STRIATE_PEERS` names the folder of the environments, where it is not the default of `setup.sh`. The numbers are kept in
`benches/results.json`; `-- --table` prints the table from it. `--all` runs all variants of the peers, not only those that
were the best before. The plots of how cost grows are made by `cargo bench --bench growth -- --write`.

## How cost grows

![Time for a multiply-add, as batch, image and channels grow](docs/growth.png)

Time for a multiply-add of a 3x3 convolution as one size grows and the others stay (batch: 56x56x64; image side: one image,
64 channels; channels: 8 images of 28x28), and of a prediction by `keras-mnist`. A point more than 1.3 times above the line between its neighbours would be a cliff;
`cargo bench --bench growth` lists them.
";

fn words(side: &Side) -> String {
    let name = match (side.peer.as_str(), side.variant.contains("ort")) {
        (_, true) => return "ONNX Runtime".into(),
        ("torch", _) => "PyTorch",
        ("tf", _) => "Keras/TF",
        (other, _) => other,
    };
    format!("{name} {}", side.variant)
}

fn digits(v: f64) -> String {
    let digits = match v {
        v if v < 1.0 => 3,
        v if v < 100.0 => 2,
        _ => 0,
    };
    format!("{v:.digits$}")
}
