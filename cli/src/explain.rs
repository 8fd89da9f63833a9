//! `striate explain`: what a layer does to small numbers, step by step, as text, pictures and JSON.

use std::path::Path;

use serde_json::{Value, json};
use striate::conv::Window;
use striate::format::npy::Array;
use striate::inspect::explain::{Backward, Convolution, FieldSteps, Maps, PoolCase, Shapes, Show};
use striate::ops::Pool2D;
use striate::visual::{Animation, Picture};
use striate::{Error, Graph, Result, Tensor};

use crate::args::GraphArgs;
use crate::args::explain::{
    BackwardConvArgs, BackwardPoolArgs, ConvArgs, ConvInput, DrawArgs, ExplainArgs, Explained, FieldArgs, Kind, Layer,
    LoweredArgs, PoolArgs, PoolInput, ReachArgs, ShapesArgs, ShowArgs,
};
use crate::out::say;
use crate::{input, out};

// So many steps are shown unless all are asked for.
const FEW: usize = 9;
// A matrix that is explained number by number is small.
const LARGEST_FILE: u64 = 1 << 24;

pub fn run(args: &ExplainArgs) -> Result<()> {
    match &args.what {
        Explained::Conv(args) => conv(args),
        Explained::Pool(args) => pool(args),
        Explained::Im2col(args) => im2col(args),
        Explained::Col2im(args) => col2im(args),
        Explained::Backward(Layer::Conv(args)) => backward_conv(args),
        Explained::Backward(Layer::Pool(args)) => backward_pool(args),
        Explained::Shapes(args) => shapes(args),
        Explained::ReceptiveField(args) => receptive_field(args),
    }
}

fn conv(args: &ConvArgs) -> Result<()> {
    let steps = Convolution { flip: args.mode == Kind::Convolution, ..args.input.case()? }.steps()?;
    let picture = |at| steps.picture(at);
    draw(&args.show, args.cell, picture, || steps.animation())?;
    let (g, case) = (&steps.geometry, &steps.case);
    let cells = match args.cell {
        Some(at) => vec![steps.cell(at)?],
        None => steps.cells.iter().collect(),
    };
    let value = || {
        json!({ "name": case.name(), "geometry": g.to_string(), "formulas": [g.h.formula(), g.w.formula()],
                "dropped": [g.h.dropped(), g.w.dropped()], "x": case.x, "kernels": case.kernels, "bias": case.bias,
                "y": steps.y, "cells": cells })
    };
    answer(&args.show, value, || steps.text(args.cell.map_or(first(&args.show), Show::Cell)))
}

fn pool(args: &PoolArgs) -> Result<()> {
    let steps = args.input.case()?.steps()?;
    draw(&args.show, args.cell, |at| steps.picture(at), || steps.animation())?;
    let cells = match args.cell {
        Some(at) => vec![steps.cell(at)?],
        None => steps.cells.iter().collect(),
    };
    let axes = &steps.axes;
    let value = || {
        json!({ "name": steps.case.word(), "formulas": [axes[0].formula(), axes[1].formula()],
                "dropped": [axes[0].dropped(), axes[1].dropped()], "x": steps.case.x, "y": steps.y, "cells": cells })
    };
    answer(&args.show, value, || steps.text(args.cell.map_or(first(&args.show), Show::Cell)))
}

fn im2col(args: &LoweredArgs) -> Result<()> {
    if args.dy.is_some() {
        return Err(
            Error::argument("im2col goes forward and takes no --dy").with_help("striate explain col2im takes it")
        );
    }
    let lowered = args.input.case()?.im2col()?;
    draw(&args.show, None, |_| lowered.picture(0), || lowered.animation())?;
    let g = &lowered.steps.geometry;
    let value = || {
        json!({ "geometry": g.to_string(), "x": lowered.steps.case.x, "col": lowered.col, "w": lowered.w,
                "bias": lowered.steps.case.bias, "y": lowered.y, "folded": lowered.steps.y })
    };
    let rows = if args.show.all { usize::MAX } else { 16 };
    answer(&args.show, value, || Ok(lowered.text(rows)))
}

fn col2im(args: &LoweredArgs) -> Result<()> {
    let dy = args.dy.as_deref().map(maps).transpose()?;
    let back = args.input.case()?.col2im(dy.as_ref())?;
    draw(&args.show, None, |_| back.picture(), || back.animation())?;
    let value = || {
        json!({ "geometry": back.geometry.to_string(), "dy": back.dy, "w": back.w, "dcol": back.dcol, "dx": back.dx,
                "overwritten": back.overwritten, "summands": back.summands })
    };
    let rows = if args.show.all { usize::MAX } else { 16 };
    answer(&args.show, value, || Ok(back.text(rows)))
}

fn backward_conv(args: &BackwardConvArgs) -> Result<()> {
    let example = args.input.x.is_none() && args.input.w.is_empty();
    let case = args.input.case()?;
    let fits = example && case.geometry()?.y_len() == Convolution::example_dy().data().len();
    let dy = match &args.dy {
        Some(dy) => Some(maps(dy)?),
        None => fits.then(Convolution::example_dy),
    };
    backward(&case.backward(dy.as_ref())?, &args.show)
}

fn backward_pool(args: &BackwardPoolArgs) -> Result<()> {
    let dy = args.dy.as_deref().map(maps).transpose()?;
    backward(&args.input.case()?.backward(dy.as_ref())?, &args.show)
}

fn backward(steps: &Backward, show: &ShowArgs) -> Result<()> {
    draw(show, None, |_| steps.picture(), || steps.animation())?;
    let gradients = || {
        let of = |g: &striate::inspect::explain::Gradient| {
            json!({ "name": g.name, "value": g.value, "gradient": g.values, "below": g.below, "above": g.above,
                    "error": g.error(), "agrees": g.agrees(), "parts": g.parts })
        };
        steps.gradients.iter().map(of).collect::<Vec<_>>()
    };
    let value = || {
        json!({ "layer": steps.layer, "x": steps.x, "y": steps.y, "dy": steps.dy, "loss": steps.loss,
                "gradients": gradients() })
    };
    answer(show, value, || Ok(steps.text(if show.all { usize::MAX } else { FEW })))
}

fn shapes(args: &ShapesArgs) -> Result<()> {
    let shapes = match (&args.model, args.input, args.kernel) {
        (Some(model), ..) => Shapes::of(&graph(model, &args.of)?),
        (None, Some(input), Some(kernel)) => {
            let ShapesArgs { stride, reach: ReachArgs { padding, dilation }, .. } = *args;
            let window = Window { kernel, stride, dilation, padding, ceil: false };
            Shapes::of_window(input, &window, args.filters.unwrap_or(input[2]))?
        }
        // The arguments require one or the other.
        _ => return Err(Error::argument("nothing to explain").with_help("give a network, or --in and --kernel")),
    };
    still(&args.to, || shapes.picture())?;
    if args.to.json {
        out::json(json!({ "title": shapes.title, "layers": shapes.layers }));
    } else if args.to.draw.is_none() {
        out::raw(shapes.text().as_bytes());
    }
    Ok(())
}

fn receptive_field(args: &FieldArgs) -> Result<()> {
    let steps = FieldSteps::of(&graph(&args.model, &args.of)?, args.layer.as_deref())?;
    still(&args.to, || steps.picture())?;
    if args.to.json {
        out::json(json!(steps));
    } else if args.to.draw.is_none() {
        out::raw(steps.text().as_bytes());
    }
    Ok(())
}

// The graph alone: the weights of a large network take long to draw.
fn graph(name: &str, of: &GraphArgs) -> Result<Graph> {
    match input::recipe(name, &of.size.options()) {
        Ok(recipe) => Ok(recipe.graph),
        Err(_) if Path::new(name).exists() => {
            Ok(input::any_model(name, 0, &of.network, &of.size.options())?.graph().clone())
        }
        Err(e) => Err(e),
    }
}

impl ConvInput {
    fn case(&self) -> Result<Convolution> {
        let example = Convolution::example();
        let given = self.x.is_some() || !self.w.is_empty();
        let x = match &self.x {
            Some(text) => maps(text).map_err(|e| e.within("--x"))?,
            None => example.x.clone(),
        };
        let mut kernels = Vec::new();
        for text in &self.w {
            kernels.extend(several(text).map_err(|e| e.within("--w"))?);
        }
        let bias = if self.bias.is_empty() && !given { example.bias.clone() } else { self.bias.clone() };
        let kernels = if self.w.is_empty() { example.kernels } else { kernels };
        let ConvInput { stride, reach: ReachArgs { padding, dilation }, pad_value, groups, .. } = *self;
        Ok(Convolution { x, kernels, bias, stride, dilation, padding, pad_value, groups, flip: false })
    }
}

impl PoolInput {
    fn case(&self) -> Result<PoolCase> {
        let x = match &self.x {
            Some(text) => maps(text).map_err(|e| e.within("--x"))?,
            None => PoolCase::example().x,
        };
        let PoolInput { kind, window, stride, reach: ReachArgs { padding, dilation }, ceil, count_padding, .. } = *self;
        Ok(PoolCase { x, pool: Pool2D { kind, window, stride, padding, dilation, ceil, count_padding } })
    }
}

// The planes of an argument: a file, or the numbers themselves.
fn maps(text: &str) -> Result<Maps> {
    let path = Path::new(text);
    if !path.is_file() {
        return text.parse().map_err(|e: Error| or_file(e, text));
    }
    match array(path)? {
        Some(array) => Maps::from_tensor(&array),
        None => read(path)?.parse(),
    }
    .map_err(|e| e.within(path.display()))
}

// As `maps`, but an array of four axes holds several kernels, as layers do.
fn several(text: &str) -> Result<Vec<Maps>> {
    let path = Path::new(text);
    let array = if path.is_file() { array(path)? } else { None };
    match array.as_ref().map(Tensor::dims) {
        Some(&[h, w, c, k]) => {
            let data = array.as_ref().map_or(&[][..], Tensor::data);
            let kernel = |k0: usize| {
                let numbers = data.iter().skip(k0).step_by(k).map(|v| f64::from(*v)).collect();
                Maps::new([h, w, c], numbers).map_err(|e| e.within(path.display()))
            };
            (0..k).map(kernel).collect()
        }
        _ => Ok(vec![maps(text)?]),
    }
}

fn array(path: &Path) -> Result<Option<Tensor>> {
    let long = std::fs::metadata(path).map_err(|e| Error::io(path, "read", &e))?.len();
    if long > LARGEST_FILE {
        return Err(Error::format(path, format!("{long} bytes are too many to be explained number by number"))
            .with_help("give a small matrix"));
    }
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) {
        return Array::read(path)?.into_tensor().map(Some);
    }
    Ok(None)
}

// The text of a file of numbers; an empty line stands between two channels.
fn read(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", &e))?;
    let lines: Vec<&str> = text.trim().lines().map(|line| if line.trim().is_empty() { "|" } else { line }).collect();
    Ok(lines.join("\n"))
}

// What looks like the name of a file was meant as one.
fn or_file(error: Error, text: &str) -> Error {
    if !text.chars().any(|c| c.is_alphabetic() && c != 'e' && c != 'E') {
        return error;
    }
    let help = error.help().unwrap_or_default().to_string();
    Error::new(error.kind(), error.message()).with_help(format!("{help}; or give a file that exists"))
}

fn first(show: &ShowArgs) -> Show {
    Show::First(if show.all { usize::MAX } else { FEW })
}

// The picture of one step, or of all of them where the file can move.
fn draw(
    show: &ShowArgs,
    cell: Option<[usize; 3]>,
    picture: impl Fn([usize; 3]) -> Result<Picture>,
    animation: impl Fn() -> Result<Animation>,
) -> Result<()> {
    let Some(path) = &show.to.draw else { return Ok(()) };
    match cell {
        Some(_) if out::ends_in(path, &["gif"]) => {
            return Err(Error::argument("one step does not move, so it makes no .gif")
                .with_help("end the name in .svg or .png, or leave --cell away"));
        }
        None if out::ends_in(path, out::MOVING) => {
            let animation = animation()?;
            animation.save(path)?;
            told(show, path, &format!(" ({} steps, it moves)", animation.frames().len()));
        }
        _ => {
            picture(cell.unwrap_or_default())?.save(path)?;
            told(show, path, "");
        }
    }
    Ok(())
}

fn told(show: &ShowArgs, path: &Path, more: &str) {
    if !show.to.json {
        say!("Drawn: {}{more}", path.display());
    }
}

// A picture that never moves.
fn still(to: &DrawArgs, picture: impl Fn() -> Result<Picture>) -> Result<()> {
    let Some(path) = &to.draw else { return Ok(()) };
    picture()?.save(path)?;
    if !to.json {
        say!("Drawn: {}", path.display());
    }
    Ok(())
}

// The numbers, or the text unless a picture was asked for.
fn answer(show: &ShowArgs, value: impl Fn() -> Value, text: impl Fn() -> Result<String>) -> Result<()> {
    if show.to.json {
        out::json(value());
    } else if show.to.draw.is_none() {
        out::raw(text()?.as_bytes());
    }
    Ok(())
}
