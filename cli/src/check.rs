//! `striate check MODEL`: the certificate of correctness.

use serde_json::json;
use striate::inspect::{Certificate, CheckConfig, Line, certificate};
use striate::{Error, ErrorKind, Graph, Model, Node, Result};

use crate::args::CheckArgs;
use crate::out::say;
use crate::{input, out};

// Multiply-adds of the plain formulas that are worth a warning: some minutes.
const LONG: f64 = 1e11;

pub fn run(args: &CheckArgs) -> Result<()> {
    let model = input::any_model(&args.model, args.seed, &args.network, &args.size.options())?;
    let config = CheckConfig { samples: args.samples, seed: args.seed, machine: args.machine.machine()? };
    if !args.json {
        introduce(&model, &config);
    }
    let certificate = certificate(&model, &config, &mut |line| {
        if !args.json {
            row(line);
        }
    })?;
    let worst = certificate.worst();
    if args.json {
        let lines: Vec<_> = certificate.lines.iter().map(|l| {
            json!({ "layer": l.layer, "class": l.class, "y": l.y, "dx": l.dx, "dw": l.dw, "tolerance": l.tolerance, "passed": l.passed })
        }).collect();
        let passed = certificate.passed();
        out::json(json!({ "model": model.graph().name(), "passed": passed, "worst": worst, "layers": lines }));
    } else {
        say!(
            "\nlargest error {worst:.1e}: {}",
            if certificate.passed() { "all operations are right" } else { "an operation is wrong" }
        );
    }
    if certificate.passed() { Ok(()) } else { Err(wrong(&model, &certificate)) }
}

fn introduce(model: &Model, config: &CheckConfig) {
    let (name, isa) = (model.graph().name(), config.machine.isa);
    say!("{name}: each operation on this network's weights, in f32 on {isa}, against its plain formula in f64;");
    say!("gradients against finite differences of that formula. Errors are relative to the largest true value.\n");
    let cost = cost(model.graph(), config.samples);
    if cost > LONG {
        say!("That is {:.0} billion steps of plain loops, which take long on one core.", cost / 1e9);
        say!("Quicker: --samples 2, or for a network of `striate models` --input-size, such as 64x64x3.\n");
    }
    say!("{:<28} {:>10} {:>10} {:>10}   verdict", "layer", "output", "dx", "dw");
}

fn row(line: &Line) {
    let show = |v: Option<f64>| v.map_or("-".to_string(), |v| format!("{v:.1e}"));
    let [y, dx, dw] = [Some(line.y), line.dx, line.dw].map(show);
    say!("{:<28} {y:>10} {dx:>10} {dw:>10}   {}", line.layer, if line.passed { "ok" } else { "WRONG" });
}

// Weights that are no numbers are not the fault of an operation.
fn wrong(model: &Model, certificate: &Certificate) -> Error {
    let bad: Vec<&str> = certificate.lines.iter().filter(|l| !l.passed).map(|l| l.layer.as_str()).collect();
    let error = Error::new(ErrorKind::Numeric, format!("the check failed at: {}", bad.join(", ")));
    match model.params().iter().find(|p| p.data.iter().any(|v| !v.is_finite())) {
        Some(param) => error.with_help(format!(
            "the operations are not to blame: {} holds numbers that went bad; train again, at a lower learning rate",
            param.name
        )),
        None => error.with_help("this is a defect of the program, or of a custom op: please report it"),
    }
}

// Multiply-adds of the plain formulas: each layer runs once, and twice for each number that is tried.
fn cost(graph: &Graph, samples: usize) -> f64 {
    let of = |node: &Node| {
        let shapes = graph.input_shapes(node);
        let params = graph.params(node);
        let trained = params.iter().filter(|p| p.trainable).map(|p| p.len());
        let lens = shapes.iter().map(|s| 2 * s.len()).chain(trained);
        let tries: usize = lens.map(|len| len.min(samples)).sum();
        2.0 * node.op.rule().mul_adds(&shapes, node.shape) as f64 * (1 + 2 * tries) as f64
    };
    graph.nodes().iter().map(of).sum()
}
