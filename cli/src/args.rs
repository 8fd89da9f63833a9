//! The arguments of every command, with the help that teaches them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
Start here:
  striate train mnist                          train a network on the digits that the program carries
  striate evaluate runs/mnist-1 mnist          how good is it on the test set?
  striate predict runs/mnist-1 digit.png       which digit is on my picture?

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
    /// Show the layers of a model: shapes and parameters
    Summary(SummaryArgs),
    /// Check every operation of a model: forward against the plain formula, gradients against finite differences
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

const TRAIN_EXAMPLES: &str = "\
Examples:
  striate train mnist                                        5 epochs of the Keras network of the notes
  striate train mnist --model simple-convnet                 10,000 updates of plain SGD
  striate train mnist --model simple-convnet --optimizer adam --learning-rate 0.001 --updates 12000
  striate summary keras-mnist --toml > net.toml              a network as a text file ...
  striate train mnist --model net.toml                       ... trains the same way
  striate train --resume runs/mnist-1                        go on after Ctrl-C, a crash or a power cut

The same seed gives the same weights, to the bit, for any number of threads, and after a resume.";

#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub struct TrainArgs {
    /// The data set: `mnist`, or a folder with IDX files or with a sub-folder of images for each class
    #[arg(required_unless_present = "resume")]
    pub data: Option<String>,
    /// The network: a name from `striate models`, or a TOML file
    #[arg(long, short, value_name = "NAME|FILE", default_value = "keras-mnist")]
    pub model: String,
    /// Passes over the training set
    #[arg(long, short, value_name = "N")]
    pub epochs: Option<u32>,
    /// Stop after so many updates
    #[arg(long, value_name = "N")]
    pub updates: Option<u64>,
    /// Samples in a batch
    #[arg(long, short, value_name = "N")]
    pub batch_size: Option<usize>,
    /// sgd, adagrad, adadelta, rmsprop, adam, adamw, nadam or adamax
    #[arg(long, value_name = "NAME")]
    pub optimizer: Option<String>,
    /// The learning rate
    #[arg(long, visible_alias = "lr", value_name = "RATE", allow_negative_numbers = true)]
    pub learning_rate: Option<f32>,
    /// How the learning rate changes: constant, step, exponential, cosine, one_cycle or on_plateau
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
    /// The loss
    #[arg(long, value_name = "NAME")]
    pub loss: Option<String>,
    /// Stop when the validation loss has not fallen for so many epochs, and keep the best weights
    #[arg(long, value_name = "EPOCHS")]
    pub early_stopping: Option<u32>,
    /// Measure after each epoch: on `test`, or on a share of the training set that is held out, such as 0.1
    #[arg(long, value_name = "test|SHARE")]
    pub validate: Option<String>,
    /// Train on the first N samples only
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The seed of the weights, of the order of the samples and of dropout [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The run folder [default: runs/DATA-1, or the next number that is free]
    #[arg(long, short, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the run in this folder; it ends with the same bits as a run that was never stopped
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "out", "seed", "batch_size", "optimizer", "learning_rate", "schedule", "loss", "early_stopping", "validate", "limit"])]
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

#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// A model file, or a run folder
    pub model: PathBuf,
    /// The data set: `mnist`, or a folder
    pub data: String,
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

#[derive(Debug, Args)]
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
