//! V5: is pooling robust to a shift of the input by one pixel? How much of the output really stays as it was.

use std::sync::Arc;

use super::bench::Bench;
use super::nets::{Down, cnn};
use super::report::{difference, dots, mean_curve, series};
use super::verdict::{Finding, Rule};
use super::views::{Order, View};
use super::{Claim, Estimate, Evidence, Sample};
use crate::data::Dataset;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::visual::{AxisStyle, Bitmap, Item, LineChart, Panel, Picture, Range, Section, Sheet, Unit};

pub(super) const CLAIM: Claim = Claim {
    name: "shift",
    title: "pooling makes a network robust to a shift of one pixel",
    says: "If the input moves to the right by one pixel, the pooled output is unchanged, or almost: pooling gives \
           invariance to small shifts.",
    measured: "Four networks of two 3x3 convolutions (16 and 32 kernels) that differ in what follows each convolution: \
               2x2 max pooling, 2x2 average pooling, stride 2 without pooling, nothing. Each is trained on MNIST as it \
               is, then shown the test images as they are and moved to the right by 1 to 4 pixels. Change of a feature \
               map: |y' - y| / |y| over the first 500 test images, place by place.",
    caveat: "Digits lie on black, so most of each map does not see the shift at all; a share of unchanged values is \
             therefore flattering, and the change is taken relative to the size of the map. A convolution of stride 1 \
             commutes with the shift (its map moves along); it is the comparison place by place that changes.",
    seeds: 5,
    updates: 400,
    run,
};

const ARMS: [Down; 4] = [Down::Max, Down::Average, Down::Stride, Down::Not];
const SHIFTS: usize = 5;
const IMAGES: usize = 500;
// A change of a tenth is not "almost unchanged".
const ALMOST: f64 = 0.1;

// What one seed gives: by arm the accuracy for each shift; of the first two arms how much maps change.
struct Run {
    accuracy: Vec<[f64; SHIFTS]>,
    answers: Vec<f64>,
    before: [Change; 2],
    pooled: [Change; 2],
    shown: Option<Shown>,
}

/// How much a map changes when its input moves.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Change {
    /// `|y' - y| / |y|`.
    size: f64,
    /// The share of values that differ at all.
    share: f64,
}

// One map of one image, before and after pooling, of the input as it is and moved.
struct Shown {
    input: [Vec<f32>; 2],
    map: [Vec<f32>; 2],
    pooled: [Vec<f32>; 2],
}

impl Change {
    fn of(y: &[f32], moved: &[f32]) -> Self {
        let size = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let difference = size(&mut y.iter().zip(moved).map(|(a, b)| f64::from(*b) - f64::from(*a)));
        let differ = y.iter().zip(moved).filter(|(a, b)| (**a - **b).abs() > 1e-6 * a.abs().max(b.abs())).count();
        let whole = size(&mut y.iter().map(|v| f64::from(*v)));
        Self { size: difference / whole.max(f64::MIN_POSITIVE), share: differ as f64 / y.len() as f64 }
    }
}

fn run(bench: &mut Bench<'_>) -> Result<Evidence> {
    let runs = bench.each_seed(one)?;
    let named = |what: &str, unit: Unit, f: &dyn Fn(&Run) -> f64| Sample::new(what, unit, runs.iter().map(f).collect());
    let pick = |what: &str, f: &dyn Fn(&Run) -> f64| named(what, Unit::Percent, f);
    let before = pick("change of the first map before max pooling", &|r| r.before[0].size);
    let pooled = pick("change after max pooling", &|r| r.pooled[0].size);
    let before_average = pick("change of the first map before average pooling", &|r| r.before[1].size);
    let averaged = pick("change after average pooling", &|r| r.pooled[1].size);
    let share = pick("values of the max-pooled map that differ", &|r| r.pooled[0].share);
    let share_before = pick("values of the map before it that differ", &|r| r.before[0].share);
    let arms = || ARMS.iter().enumerate();
    let accuracy: Vec<Sample> =
        arms().map(|(i, a)| pick(&format!("accuracy, {}", a.name()), &|r| r.accuracy[i][0])).collect();
    let drop = |i: usize, by: usize| move |r: &Run| r.accuracy[i][0] - r.accuracy[i][by];
    let drops: Vec<Sample> =
        arms().map(|(i, a)| pick(&format!("lost at 1 pixel, {}", a.name()), &drop(i, 1))).collect();
    let far: Vec<Sample> = arms().map(|(i, a)| pick(&format!("lost at 3 pixels, {}", a.name()), &drop(i, 3))).collect();
    let changed: Vec<Sample> = arms()
        .map(|(i, a)| pick(&format!("answers that change at 1 pixel, {}", a.name()), &|r| r.answers[i]))
        .collect();
    let near = [&drops[0], &drops[2], &drops[3]];
    let findings = findings([&before, &pooled], [&before_average, &averaged], near, [&far[0], &far[3]]);
    let facts = vec![format!("max pooling against no pooling, lost at 1 pixel: {}", difference(&drops[0], &drops[3]))];
    let curves: Vec<_> = arms()
        .map(|(i, a)| {
            let lines: Vec<Vec<f64>> = runs.iter().map(|r| r.accuracy[i].to_vec()).collect();
            mean_curve(a.name(), &lines, |i| i as f64)
        })
        .collect();
    let chart = LineChart {
        title: "Accuracy on moved images".into(),
        x: AxisStyle::new("moved to the right by (pixels)").unit(Unit::Whole),
        y: AxisStyle::new("accuracy").unit(Unit::Percent),
        series: curves.iter().enumerate().map(|(i, c)| series(c, i)).collect(),
        width: 520.0,
        height: 320.0,
        ..LineChart::default()
    };
    let axis = AxisStyle::new("|y' - y| / |y|, each dot a seed").unit(Unit::Percent);
    let rows = vec![
        before.row("before max pooling", 6),
        pooled.row("after it", 0),
        before_average.row("before average pooling", 6),
        averaged.row("after it", 1),
    ];
    let dots = dots("Change of the first feature map at 1 pixel", axis, rows, 520.0);
    let picture = picture(runs.iter().find_map(|r| r.shown.as_ref()), chart, dots)?;
    let samples = [vec![before, pooled, share_before, share, before_average, averaged], accuracy, drops, far, changed];
    Ok(Evidence { samples: samples.concat(), findings, facts, curves, picture })
}

fn one(bench: &mut Bench<'_>, seed: u64) -> Result<Run> {
    let plain = Arc::clone(&bench.data.test);
    let moved: Vec<View> = (1..SHIFTS).map(|by| View::new(&plain, Order::Right(by))).collect();
    let mut run = Run {
        accuracy: Vec::new(),
        answers: Vec::new(),
        before: Default::default(),
        pooled: Default::default(),
        shown: None,
    };
    for (i, arm) in ARMS.into_iter().enumerate() {
        let model = bench.train(arm.name(), cnn(arm, &[16, 32])?, seed)?.model;
        let all: Vec<Vec<Option<u32>>> = std::iter::once(&*plain as &dyn Dataset)
            .chain(moved.iter().map(|m| m as &dyn Dataset))
            .map(|data| bench.answers(&model, data))
            .collect::<Result<_>>()?;
        let right = |answers: &Vec<Option<u32>>| {
            let right = answers.iter().enumerate().filter(|(i, a)| **a == Some(plain.label(*i))).count();
            right as f64 / answers.len() as f64
        };
        run.accuracy.push(std::array::from_fn(|by| right(&all[by])));
        let changed = all[0].iter().zip(&all[1]).filter(|(a, b)| a != b).count();
        run.answers.push(changed as f64 / all[0].len() as f64);
        if i < 2 {
            let layers = ["conv1", "down1"];
            let (y, shifted) =
                (bench.look(&model, &*plain, IMAGES, &layers)?, bench.look(&model, &moved[0], IMAGES, &layers)?);
            run.before[i] = Change::of(y[0].data(), shifted[0].data());
            run.pooled[i] = Change::of(y[1].data(), shifted[1].data());
            if i == 0 {
                run.shown = Some(shown(&*plain, &moved[0], [&y, &shifted])?);
            }
        }
    }
    Ok(run)
}

// Lost at 1 pixel: with max pooling, with stride 2, without either; at 3 pixels: with and without.
fn findings(max: [&Sample; 2], average: [&Sample; 2], near: [&Sample; 3], far: [&Sample; 2]) -> Vec<Finding> {
    let less = |[a, b]: [&Sample; 2]| Estimate::of_differences(&a.values, &b.values);
    let unit = Unit::Percent;
    vec![
        Finding::new(
            "the max-pooled output is almost unchanged (by less than a tenth)",
            ("change after max pooling", unit),
            &max[1].estimate,
            Rule::Below(ALMOST),
        ),
        Finding::new(
            "max pooling makes the change smaller",
            ("change before less change after max pooling", unit),
            &less(max),
            Rule::Gain(0.01),
        ),
        Finding::new(
            "average pooling makes it smaller",
            ("change before less change after average pooling", unit),
            &less(average),
            Rule::Gain(0.01),
        ),
        Finding::new(
            "with max pooling a network loses less accuracy at 1 pixel than without pooling",
            ("lost without less lost with max pooling", unit),
            &less([near[2], near[0]]),
            Rule::Gain(0.001),
        ),
        Finding::new(
            "it loses less at 1 pixel than with stride 2, which makes the maps as small without pooling",
            ("lost with stride 2 less lost with max pooling", unit),
            &less([near[1], near[0]]),
            Rule::Gain(0.001),
        ),
        Finding::new(
            "with max pooling a network loses less accuracy at 3 pixels than without pooling",
            ("lost without less lost with max pooling", unit),
            &less([far[1], far[0]]),
            Rule::Gain(0.001),
        ),
    ]
}

// The map that answers most, of the first image.
fn shown(plain: &dyn Dataset, moved: &dyn Dataset, [y, shifted]: [&[Tensor]; 2]) -> Result<Shown> {
    let sample = |data: &dyn Dataset| {
        let mut x = vec![0.0; data.shape().len()];
        data.fill(0, &mut x).map(|()| x)
    };
    let channels = y[0].dims()[3];
    let first = |t: &Tensor, channel: usize| -> Vec<f32> {
        let len = t.dims()[1] * t.dims()[2] * channels;
        t.data()[..len].iter().skip(channel).step_by(channels).copied().collect()
    };
    let spread = |k: usize| {
        let map = first(&y[0], k);
        let mean = map.iter().sum::<f32>() / map.len() as f32;
        map.iter().map(|v| (v - mean).powi(2)).sum::<f32>()
    };
    let best = (0..channels).max_by(|a, b| spread(*a).total_cmp(&spread(*b))).unwrap_or(0);
    Ok(Shown {
        input: [sample(plain)?, sample(moved)?],
        map: [first(&y[0], best), first(&shifted[0], best)],
        pooled: [first(&y[1], best), first(&shifted[1], best)],
    })
}

fn picture(shown: Option<&Shown>, chart: LineChart, dots: Item) -> Result<Picture> {
    let mut sections = Vec::new();
    if let Some(shown) = shown {
        let rows = [
            ("Input", 28, &shown.input, "the image and the same moved to the right by 1 pixel"),
            ("First feature map", 28, &shown.map, "one kernel of the first convolution, after ReLU"),
            ("The same, 2x2 max-pooled", 14, &shown.pooled, "what pooling makes of it"),
        ];
        for (heading, side, maps, note) in rows {
            sections.push(triple(heading, note, side, maps)?);
        }
    }
    let items = vec![dots, Item::Chart(chart)];
    sections.push(Section { heading: "All seeds".into(), note: String::new(), items });
    let sheet = Sheet {
        title: "A shift by one pixel, before and after pooling".into(),
        subtitle: "Blue and red: where the output of the moved image is smaller or larger at the same place.".into(),
        sections,
        ..Sheet::default()
    };
    sheet.picture()
}

// As it is, moved, and the difference, place by place.
fn triple(heading: &str, note: &str, side: usize, [plain, moved]: &[Vec<f32>; 2]) -> Result<Section> {
    let all: Vec<f32> = plain.iter().chain(moved).copied().collect();
    let range = Range::of(&all);
    let difference: Vec<f32> = plain.iter().zip(moved).map(|(a, b)| b - a).collect();
    let signed = Range { low: -range.high, high: range.high, map: crate::visual::ColourMap::SIGNED };
    let change = Change::of(plain, moved);
    let (size, share) = (100.0 * change.size, 100.0 * change.share);
    let panel = |values: &[f32], range: &Range, title: &str| {
        Bitmap::of_map([side, side], values, range).map(|b| Panel::new(b, 168.0).title(title))
    };
    let items = vec![
        Item::Image(panel(plain, &range, "as it is")?),
        Item::Image(panel(moved, &range, "moved by 1 pixel")?.bar(range.bar("value"))),
        Item::Image(panel(&difference, &signed, "difference")?.bar(signed.bar("difference"))),
        Item::Words(
            vec![format!("|y' - y| / |y| = {size:.0} %"), format!("{share:.0} % of the {} values differ", plain.len())],
            220.0,
        ),
    ];
    Ok(Section { heading: heading.into(), note: note.into(), items })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    // V5: the change of a pooled map against plain loops.
    #[test]
    fn v5_a_change_is_what_a_reader_works_out() {
        // A row 0 2 0 0 that moves to the right: |(0,-2,2,0)| / |(0,2,0,0)| = sqrt(2), two of four values differ.
        let change = Change::of(&[0.0, 2.0, 0.0, 0.0], &[0.0, 0.0, 2.0, 0.0]);
        assert!((change.size - 2.0_f64.sqrt()).abs() < 1e-12 && change.share == 0.5);
        // Pooled in pairs, (2, 0) becomes (0, 2): nothing is gained; moved from place 0 to 1, it would stay.
        assert!((Change::of(&[2.0, 0.0], &[0.0, 2.0]).size - 2.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Change::of(&[2.0, 0.0], &[2.0, 0.0]), Change::default());
    }

    #[test]
    fn v5_the_verdict_goes_with_the_numbers() {
        let s = |v: f64| Sample::new("s", Unit::Percent, vec![v, v + 0.001, v - 0.001]);
        let (large, small) = (s(0.6), s(0.02));
        let said = |before: &Sample, after: &Sample, with: &Sample, without: &Sample| {
            let all = findings([before, after], [before, after], [with, without, without], [with, without]);
            (Verdict::of_all(&all), all.iter().map(|f| f.verdict).collect::<Vec<_>>())
        };
        assert_eq!(said(&large, &small, &small, &large).0, Verdict::Holds);
        // Pooling that changes more, and a network that loses more with it.
        assert_eq!(said(&small, &large, &large, &small).0, Verdict::Fails);
        // Smaller, but not small.
        let (verdict, all) = said(&large, &s(0.4), &small, &large);
        assert_eq!((verdict, all[0], all[1]), (Verdict::Partly, Verdict::Fails, Verdict::Holds));
    }
}
