//! The arguments of `compare`.

use std::path::PathBuf;

use clap::Args;

use super::{MachineArgs, NetworkArgs, SizeArgs};

const EXAMPLES: &str = "\
Examples:
  striate compare optimizers                         all optimisers on the digits, each at its best learning rate
  striate compare optimizers --only adam,rmsprop --quick
  striate compare keras-mnist keras-mnist,batch_size=32 simple-convnet --updates 1000
  striate compare keras-mnist keras-mnist,optimizer=rmsprop,learning_rate=0.003 --seeds 20
  striate compare a.toml b.toml --data photos --epochs 10 --rates 0.001,0.003,0.01
  striate compare runs/mnist-1 digits.onnx --data mnist      two finished models on the same test images
  striate compare --resume runs/compare-1                    go on after Ctrl-C; finished runs are kept

Learning rates are chosen on images held out of the training set, with other seeds than those of the result. Then each
is trained with the same seeds: the same weights to start with, the same order of images. Pairs are compared by
Student's paired t test (finished models by McNemar's), with Holm's correction for their number.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct CompareArgs {
    /// `optimizers`; or two or more networks (names from `striate models`, TOML files), settings behind commas; or two
    /// or more finished models (files of any format, run folders)
    #[arg(required_unless_present = "resume", value_name = "WHAT")]
    pub what: Vec<String>,
    /// The data set: `mnist`, or a folder [default: mnist; for finished models, what they were trained on]
    #[arg(long, short, value_name = "DATA")]
    pub data: Option<String>,
    /// For `optimizers`, the network: a name from `striate models`, or a TOML file
    #[arg(long, short, value_name = "NAME|FILE", default_value = "keras-mnist")]
    pub model: String,
    /// For `optimizers`, only these: sgd, momentum (sgd with 0.9 of it), adagrad, adadelta, rmsprop, adam, adamw, nadam,
    /// adamax
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub size: SizeArgs,
    /// Updates of each run [default for `optimizers`: 300; else what the settings say]
    #[arg(long, value_name = "N")]
    pub updates: Option<u64>,
    /// Passes over the training set of each run
    #[arg(long, short, value_name = "N")]
    pub epochs: Option<u32>,
    /// Samples in a batch [default: what the settings say]
    #[arg(long, short, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Train on the first N samples only
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// How often each is trained, with as many seeds [default: 10]
    #[arg(long, value_name = "N")]
    pub seeds: Option<u32>,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// The learning rates to choose from [default for `optimizers`: 5 around where each works, and more at the end that
    /// is best; else the one of the settings]
    #[arg(long, value_name = "RATES", value_delimiter = ',')]
    pub rates: Vec<f32>,
    /// Take the learning rate of the settings, for `optimizers` the usual one of each, and search for none
    #[arg(long, conflicts_with = "rates")]
    pub untuned: bool,
    /// How often each learning rate is tried, with as many seeds [default: 2]
    #[arg(long, value_name = "N")]
    pub search_seeds: Option<u32>,
    /// The share of the training set that learning rates are chosen by
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub validate: f64,
    /// What is best: the highest test accuracy, or the lowest test loss
    #[arg(long, value_name = "accuracy|loss", default_value = "accuracy", value_parser = ["accuracy", "loss"])]
    pub by: String,
    /// A rough answer soon: 60 updates, 6 seeds, 3 learning rates with 1 seed each, unless said otherwise
    #[arg(long)]
    pub quick: bool,
    /// The folder for the results; one with the same settings goes on [default: runs/compare-1, or the next free number]
    #[arg(long, short, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the comparison in this folder, with more --seeds if you like
    #[arg(long, value_name = "DIR", conflicts_with_all = ["what", "data", "model", "only", "input_size", "classes", "updates", "epochs", "batch_size", "limit", "seed", "rates", "untuned", "search_seeds", "validate", "by", "quick", "out", "network"])]
    pub resume: Option<PathBuf>,
    /// Print the verdict alone
    #[arg(long, short)]
    pub quiet: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
}
