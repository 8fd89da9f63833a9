//! The arguments of `striate explain` and `striate museum`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use striate::conv::Padding;
use striate::ops::PoolKind;

use super::GraphArgs;

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  striate explain conv                                          each output of a small example
  striate explain conv --x \"1 2 3; 4 5 6; 7 8 9\" --w \"1 0; 0 -1\" --padding same --cell 0,1
  striate explain conv --mode convolution --draw conv.gif       the kernel is flipped; it moves
  striate explain pool --kind average --window 3 --stride 1
  striate explain im2col --draw im2col.svg
  striate explain backward conv --dy \"1 0 0; 0 0 0; 0 0 2\"
  striate explain shapes keras-mnist
  striate explain shapes --in 28,28,1 --kernel 5 --stride 2
  striate explain receptive-field vgg-16 --draw field.png

Matrices: numbers apart by blanks or commas, rows by ';' or '/', channels by '|'; or a file, .npy or text.
Pictures: .svg and .gif move, .png stands still; with --cell the one step is drawn.";

#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct ExplainArgs {
    #[command(subcommand)]
    pub what: Explained,
}

#[derive(Debug, Subcommand)]
pub enum Explained {
    /// Convolution: each output with its patch, its products, their sum and the bias
    Conv(ConvArgs),
    /// Pooling: each output with its window
    Pool(PoolArgs),
    /// A convolution as one matrix product
    Im2col(LoweredArgs),
    /// The way back of im2col: where the gradient to the input adds up
    Col2im(LoweredArgs),
    /// The backward pass: each gradient with what it is the sum of, beside finite differences
    #[command(subcommand)]
    Backward(Layer),
    /// The size of each layer's output by its formula, and what the floor drops
    Shapes(ShapesArgs),
    /// How much of the image one value of a layer sees, layer by layer
    ReceptiveField(FieldArgs),
}

#[derive(Debug, Subcommand)]
pub enum Layer {
    /// Of a convolution
    Conv(BackwardConvArgs),
    /// Of a pool
    Pool(BackwardPoolArgs),
}

/// Where the result goes.
#[derive(Debug, Args)]
pub struct DrawArgs {
    /// Draw it into this file: .png, .svg or, where something moves, .gif
    #[arg(long, value_name = "FILE")]
    pub draw: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the result of many steps goes.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub to: DrawArgs,
    /// Show all steps, however many there are
    #[arg(long)]
    pub all: bool,
}

/// Where the windows of a kernel or a pool may lie.
#[derive(Debug, Clone, Copy, Args)]
pub struct ReachArgs {
    /// valid, same, full, a number, or four: top,bottom,left,right
    #[arg(long, value_name = "KIND", default_value = "valid", value_parser = padding)]
    pub padding: Padding,
    /// Distance between the places under a window
    #[arg(long, value_name = "N|N,N", default_value = "1", value_parser = pair)]
    pub dilation: [usize; 2],
}

/// What is convolved.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct ConvInput {
    /// The input: a matrix, or a file [default: a 4x4 example]
    #[arg(long, value_name = "MATRIX|FILE", allow_hyphen_values = true)]
    pub x: Option<String>,
    /// A kernel; give it again for each further one [default: a 2x2 example]
    #[arg(long, value_name = "MATRIX|FILE", allow_hyphen_values = true)]
    pub w: Vec<String>,
    /// The bias: a number for each kernel, apart by commas [default: 1 for the example, else none]
    #[arg(long, value_name = "NUMBERS", allow_hyphen_values = true, value_delimiter = ',')]
    pub bias: Vec<f64>,
    /// Step between outputs: one number, or down and to the right as 2,1
    #[arg(long, value_name = "N|N,N", default_value = "1", value_parser = pair)]
    pub stride: [usize; 2],
    #[command(flatten)]
    pub reach: ReachArgs,
    /// What stands in the padding
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0, allow_hyphen_values = true)]
    pub pad_value: f32,
    /// Groups of channels that do not see each other
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub groups: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The kernel as it is, as networks compute it
    CrossCorrelation,
    /// The kernel flipped, as mathematics defines it
    Convolution,
}

#[derive(Debug, Args)]
pub struct ConvArgs {
    #[command(flatten)]
    pub input: ConvInput,
    /// Whether the kernel is flipped
    #[arg(long, value_enum, default_value = "cross-correlation")]
    pub mode: Kind,
    /// One output alone: row,column or row,column,kernel, counted from 0
    #[arg(long, value_name = "I,J", value_parser = cell)]
    pub cell: Option<[usize; 3]>,
    #[command(flatten)]
    pub show: ShowArgs,
}

#[derive(Debug, Args)]
pub struct LoweredArgs {
    #[command(flatten)]
    pub input: ConvInput,
    /// The gradient to the output, for col2im [default: ones]
    #[arg(long, value_name = "MATRIX|FILE", allow_hyphen_values = true)]
    pub dy: Option<String>,
    #[command(flatten)]
    pub show: ShowArgs,
}

#[derive(Debug, Args)]
pub struct BackwardConvArgs {
    #[command(flatten)]
    pub input: ConvInput,
    /// The gradient to the output [default: that of the example, else ones]
    #[arg(long, value_name = "MATRIX|FILE", allow_hyphen_values = true)]
    pub dy: Option<String>,
    #[command(flatten)]
    pub show: ShowArgs,
}

#[derive(Debug, Args)]
pub struct PoolInput {
    /// The input: a matrix, or a file [default: the 4x4 example]
    #[arg(long, value_name = "MATRIX|FILE", allow_hyphen_values = true)]
    pub x: Option<String>,
    /// max, average or min
    #[arg(long, value_name = "KIND", default_value = "max", value_parser = kind)]
    pub kind: PoolKind,
    /// Size of the window: one number, or height,width
    #[arg(long, value_name = "N|N,N", default_value = "2", value_parser = pair)]
    pub window: [usize; 2],
    /// Step between windows [default: the window]
    #[arg(long, value_name = "N|N,N", value_parser = pair)]
    pub stride: Option<[usize; 2]>,
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Let a last, partial window count
    #[arg(long)]
    pub ceil: bool,
    /// Let an average count padded places
    #[arg(long)]
    pub count_padding: bool,
}

#[derive(Debug, Args)]
pub struct PoolArgs {
    #[command(flatten)]
    pub input: PoolInput,
    /// One output alone: row,column or row,column,channel, counted from 0
    #[arg(long, value_name = "I,J", value_parser = cell)]
    pub cell: Option<[usize; 3]>,
    #[command(flatten)]
    pub show: ShowArgs,
}

#[derive(Debug, Args)]
pub struct BackwardPoolArgs {
    #[command(flatten)]
    pub input: PoolInput,
    /// The gradient to the output [default: ones]
    #[arg(long, value_name = "MATRIX|FILE", allow_hyphen_values = true)]
    pub dy: Option<String>,
    #[command(flatten)]
    pub show: ShowArgs,
}

#[derive(Debug, Args)]
pub struct ShapesArgs {
    /// A name from `striate models`, a TOML file, a model file or a run folder
    #[arg(required_unless_present = "input", conflicts_with = "input")]
    pub model: Option<String>,
    /// A single window instead: its input, height,width or height,width,channels
    #[arg(long = "in", id = "input", value_name = "H,W,C", value_parser = dims, requires = "kernel")]
    pub input: Option<[usize; 3]>,
    /// Size of its kernel: one number, or height,width
    #[arg(long, value_name = "N|N,N", value_parser = pair, requires = "input")]
    pub kernel: Option<[usize; 2]>,
    /// Its step
    #[arg(long, value_name = "N|N,N", default_value = "1", value_parser = pair)]
    pub stride: [usize; 2],
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Channels of its output [default: those of the input]
    #[arg(long, value_name = "N")]
    pub filters: Option<usize>,
    #[command(flatten)]
    pub of: GraphArgs,
    #[command(flatten)]
    pub to: DrawArgs,
}

#[derive(Debug, Args)]
pub struct FieldArgs {
    /// A name from `striate models`, a TOML file, a model file or a run folder
    pub model: String,
    /// The layer [default: the last one that does not see all of the image]
    pub layer: Option<String>,
    #[command(flatten)]
    pub of: GraphArgs,
    #[command(flatten)]
    pub to: DrawArgs,
}

const MUSEUM_EXAMPLES: &str = "\
Examples:
  striate museum                       what there is to see
  striate museum D4                    run one: loss with and without the mistake, and both checks
  striate museum D4 --draw d4.svg      the two loss curves
  striate museum all --draw all.png    every exhibit, side by side

The mistakes live in a small network of its own, written with im2col and loops; nothing else can reach them.";

#[derive(Debug, Args)]
#[command(after_help = MUSEUM_EXAMPLES)]
pub struct MuseumArgs {
    /// The exhibit, or `all`; nothing lists what there is
    pub exhibit: Option<String>,
    /// Updates to train for
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub updates: u32,
    /// The seed of the weights and of the order of the images
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub to: DrawArgs,
}

fn padding(text: &str) -> Result<Padding, String> {
    text.parse().map_err(|e: striate::Error| e.to_string())
}

fn kind(text: &str) -> Result<PoolKind, String> {
    match text {
        "max" => Ok(PoolKind::Max),
        "average" | "mean" => Ok(PoolKind::Average),
        "min" => Ok(PoolKind::Min),
        _ => Err("give max, average or min".into()),
    }
}

fn numbers(text: &str) -> Option<Vec<usize>> {
    text.split([',', 'x']).map(|word| word.trim().parse().ok()).collect()
}

fn pair(text: &str) -> Result<[usize; 2], String> {
    match numbers(text).as_deref() {
        Some([both]) => Ok([*both; 2]),
        Some([a, b]) => Ok([*a, *b]),
        _ => Err("give one number, or two: down and to the right, such as 2,1".into()),
    }
}

fn cell(text: &str) -> Result<[usize; 3], String> {
    match numbers(text).as_deref() {
        Some([i, j]) => Ok([*i, *j, 0]),
        Some([i, j, k]) => Ok([*i, *j, *k]),
        _ => Err("give row,column, and with several kernels row,column,kernel; all count from 0".into()),
    }
}

fn dims(text: &str) -> Result<[usize; 3], String> {
    match numbers(text).as_deref() {
        Some([h, w]) => Ok([*h, *w, 1]),
        Some([h, w, c]) => Ok([*h, *w, *c]),
        _ => Err("give height,width or height,width,channels, such as 28,28,1".into()),
    }
}
