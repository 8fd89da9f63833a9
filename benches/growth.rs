//! How cost grows: the time of a multiply-add as batch, image and channels grow, on one thread and on two.
//!
//! ```text
//! cargo bench --bench growth -- [--write] [--seconds S]
//! ```
//!
//! A 3x3 convolution, in batch, image side and channels, and predictions by `keras-mnist`, in batch. A point that lies more than 1.3
//! times above the line between its neighbours is a cliff, and is listed. `--write` draws docs/growth.svg and .png.

use std::path::Path;
use std::time::{Duration, Instant};

use striate::conv::{Finish, Geometry, Machine, Pass, Work, choose};
use striate::parallel::{Pool, available};
use striate::rng::Rng;
use striate::session::{Machine as Engine, Session};
use striate::simd::Isa;
use striate::visual::{AxisStyle, Line, LineChart, Scale, Series};
use striate::{Model, zoo};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const CLIFF: f64 = 1.3;
const BATCHES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const SIDES: [usize; 9] = [32, 48, 64, 96, 128, 192, 256, 384, 512];
const CHANNELS: [usize; 13] = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sweep {
    Batch,
    Side,
    Channels,
    Network,
}

impl Sweep {
    const ALL: [Self; 4] = [Self::Batch, Self::Side, Self::Channels, Self::Network];

    fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch, 3x3 on 56x56x64",
            Self::Side => "image side, 3x3 on 64 channels, batch 1",
            Self::Channels => "channels, 3x3 on 28x28, batch 8",
            Self::Network => "batch, keras-mnist predicts",
        }
    }

    fn sizes(self) -> &'static [usize] {
        match self {
            Self::Batch | Self::Network => &BATCHES,
            Self::Side => &SIDES,
            Self::Channels => &CHANNELS,
        }
    }

    // Milliseconds and multiply-adds at one size.
    fn measure(self, size: usize, threads: usize, time: Duration) -> Outcome<(f64, f64)> {
        match self {
            Self::Batch => conv(&format!("n{size} h56 w56 ic64 oc64 k3 p1"), threads, time),
            Self::Side => conv(&format!("n1 h{size} w{size} ic64 oc64 k3 p1"), threads, time),
            Self::Channels => conv(&format!("n8 h28 w28 ic{size} oc{size} k3 p1"), threads, time),
            Self::Network => network(size, threads, time),
        }
    }
}

fn conv(text: &str, threads: usize, time: Duration) -> Outcome<(f64, f64)> {
    let g: Geometry = text.parse()?;
    let choice = choose(&g, Pass::Forward, Machine { isa: Isa::best(), threads }, None)?;
    let (x, w) = (numbers(g.x_len()), numbers(g.w_len()));
    let (mut y, mut scratch) = (vec![0.0; g.y_len()], vec![0.0; choice.kernel.work()]);
    let pool = Pool::new(threads)?;
    let ms = median(time, || {
        let work =
            Work { inputs: [&x, &w], packed: &[], out: &mut y, finish: Finish::default(), scratch: &mut scratch };
        pool.run(|team| choice.kernel.run(team, work));
        Ok(())
    })?;
    Ok((ms, g.mul_adds() as f64))
}

fn network(batch: usize, threads: usize, time: Duration) -> Outcome<(f64, f64)> {
    let model = Model::new(zoo::recipe("keras-mnist")?.graph, 0)?;
    let mut session = Session::new(&model, Engine { threads, ..Engine::default() })?;
    let x = numbers(batch * model.graph().input_shape()?.len());
    let ms = median(time, || Ok(session.infer(&x, batch)?))?;
    Ok((ms, batch as f64 * model.graph().mul_adds() as f64))
}

fn numbers(len: usize) -> Vec<f32> {
    let mut rng = Rng::new(0);
    (0..len).map(|_| rng.uniform()).collect()
}

// The median time of a run, after one that warms up.
fn median(time: Duration, mut run: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    run()?;
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 5 || start.elapsed() < time {
        let before = Instant::now();
        run()?;
        times.push(before.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

// The points that lie above the line between their neighbours, and by how much; the sizes by their logarithm.
fn cliffs(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let above = |w: &[(f64, f64)]| {
        let share = (w[1].0 / w[0].0).ln() / (w[2].0 / w[0].0).ln();
        let line = w[0].1.ln() + share * (w[2].1 / w[0].1).ln();
        (w[1].0, w[1].1 / line.exp())
    };
    points.windows(3).map(above).filter(|(_, times)| *times > CLIFF).collect()
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let seconds = words.iter().position(|w| w == "--seconds").and_then(|i| words.get(i + 1)).map(|s| s.parse::<f64>());
    let time = Duration::from_secs_f64(seconds.transpose()?.unwrap_or(0.2));
    let mut series = Vec::new();
    for (i, sweep) in Sweep::ALL.into_iter().enumerate() {
        for threads in [1, 2].into_iter().filter(|threads| *threads <= available()) {
            let mut points = Vec::new();
            for size in sweep.sizes() {
                let (ms, mul_adds) = sweep.measure(*size, threads, time)?;
                let ns = ms * 1e6 / mul_adds;
                println!("{:<42} {size:>4} {threads} threads {ms:>10.3} ms {ns:>9.5} ns a multiply-add", sweep.name());
                points.push((*size as f64, ns));
            }
            for (size, times) in cliffs(&points) {
                println!("CLIFF: {} = {size}, {threads} threads: {times:.2} times above its neighbours", sweep.name());
            }
            let line = if threads == 1 { Line::Dashed } else { Line::Solid };
            series.push(Series::new(format!("{}, {threads} thr.", sweep.name()), points).colour(i).line(line));
        }
    }
    if words.iter().any(|word| word == "--write") {
        let (x, y) =
            (AxisStyle::new("size").scale(Scale::Log), AxisStyle::new("ns for a multiply-add").scale(Scale::Log));
        let (title, subtitle) = ("How cost grows".into(), "Dashed: one thread; solid: two".into());
        let picture = LineChart { title, subtitle, x, y, series, width: 980.0, height: 560.0 }.picture()?;
        for name in ["docs/growth.svg", "docs/growth.png"] {
            picture.save(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))?;
        }
    }
    Ok(())
}
