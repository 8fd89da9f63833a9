//! `striate diff A B`: what differs between two models, from which layer on, and why.

use std::process::ExitCode;

use serde_json::{Value, json};
use striate::exchange::diff::{Diff, DiffConfig, Likeness, Pair, diff};
use striate::{Error, Model, Result, Tensor};

use crate::args::DiffArgs;
use crate::input::Wanted;
use crate::out::say;
use crate::{input, out, sample};

// A longer table is cut down to what matters.
const ROWS: usize = 30;
const AROUND: usize = 3;
const LISTED: usize = 12;

pub fn run(args: &DiffArgs) -> Result<ExitCode> {
    if !(args.tolerance >= 0.0 && args.tolerance.is_finite()) {
        return Err(Error::argument(format!("--tolerance {} is not an error to allow", args.tolerance))
            .with_help("give a share of the largest value, such as 1e-4"));
    }
    let wanted = Wanted { network: &args.feed.network, offline: false };
    let (a, b) = (input::trained(&args.a, &wanted)?, input::trained(&args.b, &wanted)?);
    let config = DiffConfig {
        tolerance: args.tolerance,
        samples: args.samples,
        seed: args.seed,
        machine: args.feed.machine.machine()?,
    };
    let found = diff(&a, &b, samples(args, &a, &b)?.as_ref(), &config)?;
    if args.json {
        out::json(as_json(&found, &a, &b));
    } else {
        Report { found: &found, a: &a, b: &b }.print(args.all);
    }
    Ok(if found.equal() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

// The images, as A wants them; as B does, if A does not say.
fn samples(args: &DiffArgs, a: &Model, b: &Model) -> Result<Option<Tensor>> {
    if args.images.is_empty() {
        return Ok(None);
    }
    let known = a.preprocess.as_ref().or(b.preprocess.as_ref());
    let shape = a.graph().input_shape()?;
    let preprocess = sample::preprocess(known, &args.feed.pixels, shape)?;
    let all =
        args.images.iter().map(|path| sample::read(path, preprocess.as_ref(), shape)).collect::<Result<Vec<_>>>()?;
    let data: Vec<f32> = all.into_iter().flatten().collect();
    Tensor::new(&[&[data.len() / shape.len()], shape.dims()].concat(), data).map(Some)
}

struct Report<'a> {
    found: &'a Diff,
    a: &'a Model,
    b: &'a Model,
}

impl Report<'_> {
    fn print(&self, all: bool) {
        say!("{}", self.verdict());
        self.why().iter().for_each(|line| say!("{line}"));
        say!("");
        self.table(all).iter().for_each(|line| say!("{line}"));
        for (name, layers) in [("A", &self.found.only_a), ("B", &self.found.only_b)] {
            if !layers.is_empty() {
                say!("\nIn {name} alone: {}", input::list(layers));
            }
        }
        self.settings().iter().for_each(|line| say!("{line}"));
        self.weights().iter().for_each(|line| say!("{line}"));
    }

    fn verdict(&self) -> String {
        let found = self.found;
        let on = format!("{}; tolerance {}", found.origin, number(found.tolerance));
        match (&found.output, found.first.map(|i| &found.layers[i])) {
            (Some(gap), None) if found.equal() => format!(
                "The same: all layers agree, and the outputs differ by at most {} of the largest ({on})",
                number(gap.relative())
            ),
            (Some(gap), Some(pair)) if found.equal() => format!(
                "The same outputs, within {} of the largest ({on}); but layer {} deviates",
                number(gap.relative()),
                names(pair)
            ),
            (output, Some(pair)) => {
                let at = pair.gap.map_or("its output has another size".to_string(), |gap| {
                    format!("by {} of its largest value", number(gap.relative()))
                });
                let end =
                    output.map_or("of another size".to_string(), |gap| format!("off by {}", number(gap.relative())));
                format!(
                    "They differ: the first layer that deviates is {}, {at}; the outputs are {end} ({on})",
                    names(pair)
                )
            }
            (None, None) => format!("They differ: the outputs have not the same size ({on})"),
            (Some(gap), None) => format!("They differ: the outputs are off by {} ({on})", number(gap.relative())),
        }
    }

    fn why(&self) -> Vec<String> {
        let found = self.found;
        let Some(culprit) = found.culprits.first().map(|i| &found.layers[*i]) else {
            return match found.first {
                Some(_) => vec![
                    "Why: no layer does wrong by itself. Fed with A's values each gives what A's gives; small".into(),
                    "     differences grow on the way, as with another order of summation.".into(),
                ],
                None => Vec::new(),
            };
        };
        let Some(best) = found.guesses.first() else {
            return vec![format!("Why: {} computes something else, and no guess explains it.", names(culprit))];
        };
        let explains = best.after <= found.tolerance;
        let title = if explains { "Why" } else { "Perhaps in part" };
        let mut lines = vec![format!("{title}: {}", best.what)];
        lines.push(format!(
            "     {} alone, fed with A's values: error {}; with that put right: {}",
            names(culprit),
            number(best.before),
            number(best.after)
        ));
        let (explained, others) = best.others;
        if others > 0 {
            lines.push(format!(
                "     The same explains {explained} of {others} other layers that deviate by themselves."
            ));
        }
        let more = found.guesses.iter().skip(1);
        lines.extend(more.map(|g| format!("     or: {} (error {} then)", g.what, number(g.after))));
        lines
    }

    fn table(&self, all: bool) -> Vec<String> {
        let layers = &self.found.layers;
        let width = |name: fn(&Pair) -> &str, title: &str| {
            layers.iter().map(|p| name(p).chars().count()).max().unwrap_or(0).max(title.len())
        };
        let (wa, wb) = (width(|p| &p.a, "layer of A"), width(|p| &p.b, "layer of B"));
        let wc = width(|p| p.class, "class");
        let mut lines = vec![format!(
            "{:<wa$}  {:<wb$}  {:<wc$}  {:>8}  {:>8}",
            "layer of A", "layer of B", "class", "error", "alone"
        )];
        let mut skipped = false;
        for (i, pair) in layers.iter().enumerate() {
            if !all && !self.matters(i) {
                skipped = true;
                continue;
            }
            if std::mem::take(&mut skipped) {
                lines.push("...".into());
            }
            let error = pair.gap.map_or("size".to_string(), |gap| number(gap.relative()));
            let own = pair.own.map_or("-".to_string(), number);
            let mark = match () {
                () if self.found.culprits.contains(&i) => "  <- deviates by itself",
                () if pair.deviates(self.found.tolerance) => "  deviates",
                () => "",
            };
            lines.push(format!("{:<wa$}  {:<wb$}  {:<wc$}  {error:>8}  {own:>8}{mark}", pair.a, pair.b, pair.class));
        }
        lines
    }

    // Whether a row stays in a table that is cut down: around the first layer that deviates, the first culprits, the ends.
    fn matters(&self, i: usize) -> bool {
        let found = self.found;
        let near = found.first.is_some_and(|first| i + AROUND > first && i < first + 2 * AROUND);
        let culprit = found.culprits.iter().take(LISTED).any(|c| *c == i);
        found.layers.len() <= ROWS || near || culprit || i < AROUND || i + AROUND > found.layers.len()
    }

    fn settings(&self) -> Vec<String> {
        let settings = &self.found.settings;
        if settings.is_empty() {
            return Vec::new();
        }
        let mut lines = vec!["\nSettings that differ:".to_string()];
        for s in settings.iter().take(LISTED) {
            let layer = if s.a == s.b { s.a.clone() } else { format!("{} | {}", s.a, s.b) };
            lines.push(format!("  {layer}: {} is {} in A, {} in B", s.name, s.in_a, s.in_b));
        }
        if settings.len() > LISTED {
            lines.push(format!("  ... and {} more (--json lists them all)", settings.len() - LISTED));
        }
        lines
    }

    fn weights(&self) -> Vec<String> {
        let weights = &self.found.weights;
        let count = |likeness| weights.iter().filter(|w| w.likeness == likeness).count();
        let kinds = [
            (Likeness::Bits, "the same bits"),
            (Likeness::F16, "the same, rounded to half precision"),
            (Likeness::Bf16, "the same, rounded to bfloat16"),
            (Likeness::Differs, "other numbers"),
            (Likeness::Sizes, "other sizes"),
        ];
        let parts: Vec<String> = kinds
            .iter()
            .map(|(k, text)| (count(*k), text))
            .filter(|(n, _)| *n > 0)
            .map(|(n, t)| format!("{n} {t}"))
            .collect();
        let mut lines = vec![format!("\nWeights, {} pairs: {}", weights.len(), parts.join(", "))];
        let relative = |w: &&striate::exchange::diff::ParamPair| w.gap.map_or(0.0, |g| g.relative());
        let worst = weights.iter().filter(|w| w.likeness == Likeness::Differs);
        if let Some(worst) = worst.max_by(|x, y| relative(x).total_cmp(&relative(y))) {
            let by = number(relative(&worst));
            lines.push(format!("  the furthest apart: {} and {}, by {by} of the largest", worst.a, worst.b));
        }
        lines.push(format!("Digests of all weights: {} and {}", input::digest(self.a), input::digest(self.b)));
        lines
    }
}

fn names(pair: &Pair) -> String {
    if pair.a == pair.b { format!("'{}'", pair.a) } else { format!("'{}' ('{}' in B)", pair.a, pair.b) }
}

/// An error with two digits: 0, 3.1e-7; NaN and inf as they are.
pub fn number(error: f64) -> String {
    match error {
        0.0 => "0".into(),
        e if e.is_finite() => format!("{e:.1e}"),
        e => e.to_string(),
    }
}

fn as_json(found: &Diff, a: &Model, b: &Model) -> Value {
    let finite = |v: f64| if v.is_finite() { json!(v) } else { Value::Null };
    let gap = |gap: &Option<striate::exchange::diff::Gap>| {
        gap.map_or(
            Value::Null,
            |g| json!({ "relative": finite(g.relative()), "max_abs": finite(g.max_abs), "largest": finite(g.largest) }),
        )
    };
    let layer = |(i, p): (usize, &Pair)| {
        json!({
            "a": p.a, "b": p.b, "class": p.class, "error": gap(&p.gap), "alone": p.own.map(finite),
            "deviates": p.deviates(found.tolerance), "by_itself": found.culprits.contains(&i),
        })
    };
    let layers: Vec<Value> = found.layers.iter().enumerate().map(layer).collect();
    let guesses: Vec<Value> = found
        .guesses
        .iter()
        .map(|g| json!({ "what": g.what, "before": finite(g.before), "after": finite(g.after), "explains": g.others.0, "others": g.others.1 }))
        .collect();
    let settings: Vec<Value> = found
        .settings
        .iter()
        .map(|s| json!({ "a": s.a, "b": s.b, "name": s.name, "in_a": s.in_a, "in_b": s.in_b }))
        .collect();
    let likeness = |l: Likeness| match l {
        Likeness::Bits => "bits",
        Likeness::F16 => "f16",
        Likeness::Bf16 => "bf16",
        Likeness::Differs => "differs",
        Likeness::Sizes => "sizes",
    };
    let weights: Vec<Value> = found
        .weights
        .iter()
        .map(|w| json!({ "a": w.a, "b": w.b, "difference": gap(&w.gap), "likeness": likeness(w.likeness) }))
        .collect();
    json!({
        "equal": found.equal(), "tolerance": found.tolerance, "samples": found.origin.to_string(), "output": gap(&found.output),
        "first": found.first.map(|i| found.layers[i].a.clone()), "guesses": guesses, "layers": layers,
        "only_a": found.only_a, "only_b": found.only_b, "settings": settings, "weights": weights,
        "digests": [input::digest(a), input::digest(b)],
    })
}
