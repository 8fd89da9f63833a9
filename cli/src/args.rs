//! The arguments of every command, with the help that teaches them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
Start here:
  striate train mnist                      a network for the digits that the program carries
  striate evaluate runs/mnist-1            how good is it on the test set?
  striate predict runs/mnist-1 digit.png   which digit is on my picture?

Exit codes: 0 done; 1 failed; 2 an argument is wrong; 130 stopped with Ctrl-C (go on with --resume).
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
    /// Tell what is on a picture
    Predict(PredictArgs),
    /// Show the layers of a model: shapes, parameters, and what they cost
    Summary(SummaryArgs),
    /// Prove each operation of a model: outputs by the plain formula, gradients by finite differences
    Check(CheckArgs),
    /// List the networks that the program knows
    Models(ListArgs),
    /// List the data sets that the program carries
    Data(ListArgs),
    /// Print a script that completes commands in your shell
    Completions(CompletionsArgs),
}

/// Options of every command that computes.
#[derive(Debug, Args)]
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
    /// Print the result alone
    #[arg(long, short)]
    pub quiet: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

const EVALUATE_EXAMPLES: &str = "\
Examples:
  striate evaluate runs/mnist-1                 on the test set of what it was trained on
  striate evaluate runs/mnist-1 --on train      on what it was trained on
  striate evaluate model.striate photos --json  a model file on a folder, for a script";

#[derive(Debug, Args)]
#[command(after_help = EVALUATE_EXAMPLES)]
pub struct EvaluateArgs {
    /// A model file, or a run folder
    pub model: PathBuf,
    /// The data set: `mnist`, or a folder [default: the one that the model was trained on]
    pub data: Option<String>,
    /// The part of the data set: test or train
    #[arg(long, value_name = "PART", default_value = "test", value_parser = ["test", "train"])]
    pub on: String,
    /// Samples in a batch
    #[arg(long, short, value_name = "N", default_value_t = 32)]
    pub batch_size: usize,
    /// Print the result alone
    #[arg(long, short)]
    pub quiet: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

const PREDICT_EXAMPLES: &str = "\
Examples:
  striate predict runs/mnist-1 digit.png
  striate predict runs/mnist-1 scans/*.jpg --top 1 --json

Images may have any size, grey or colour. A model of the built-in digits finds the digit on a photo itself,
dark on light or light on dark.";

#[derive(Debug, Args)]
#[command(after_help = PREDICT_EXAMPLES)]
pub struct PredictArgs {
    /// A model file, or a run folder
    pub model: PathBuf,
    /// PNG or JPEG files
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// How many classes to show
    #[arg(long, short = 'k', value_name = "K", default_value_t = 3)]
    pub top: usize,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub struct SummaryArgs {
    /// A name from `striate models`, a TOML file, a model file or a run folder
    pub model: String,
    #[command(flatten)]
    pub size: SizeArgs,
    /// Show of each layer also multiply-adds, memory, and how much of the input one value sees
    #[arg(long, conflicts_with_all = ["json", "toml"])]
    pub details: bool,
    /// Samples in the batch for which the memory of a training step is told
    #[arg(long, short, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: u16,
    /// Draw the network into this file, as SVG or PNG by its ending
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "toml"])]
    pub draw: Option<PathBuf>,
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
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub samples: usize,
    /// The seed of the numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
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
