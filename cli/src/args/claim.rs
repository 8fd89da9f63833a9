//! The arguments of `striate claim`, `striate history` and `striate family`.

use std::path::PathBuf;

use clap::Args;

use super::MachineArgs;

const CLAIM_EXAMPLES: &str = "\
Examples:
  striate claim                          what is said of convolutional networks
  striate claim shift                    try one: numbers over several seeds, and a verdict by a stated rule
  striate claim shift --draw shift.svg   the picture, too
  striate claim flatten --quick          fewer updates and seeds
  striate claim --all --draw claims      every claim; a picture of each in a folder

Networks that are compared get the same seeds and batches. With fewer than 3 seeds nothing is decided. The same settings
give the same bits. Ctrl-C after three seeds judges by those that were done.";

#[derive(Debug, Args)]
#[command(after_help = CLAIM_EXAMPLES)]
pub struct ClaimArgs {
    /// The claim; nothing lists what there is
    #[arg(conflicts_with = "all")]
    pub name: Option<String>,
    /// Try every claim
    #[arg(long)]
    pub all: bool,
    /// Runs of each network, with a seed each [default: what the claim says]
    #[arg(long, value_name = "N")]
    pub seeds: Option<u32>,
    /// Updates of each run [default: what the claim says]
    #[arg(long, visible_alias = "steps", value_name = "N")]
    pub updates: Option<u64>,
    /// The first seed; the others follow it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// A fifth of the updates, at most 3 seeds, 2,000 test images
    #[arg(long)]
    pub quick: bool,
    /// Draw what was measured into this file, as .svg or .png; with --all the folder for all pictures
    #[arg(long, value_name = "FILE")]
    pub draw: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

const HISTORY_EXAMPLES: &str = "\
Examples:
  striate history                     the winners with their errors, each with its source
  striate history --draw history.svg  as a chart";

#[derive(Debug, Args)]
#[command(after_help = HISTORY_EXAMPLES)]
pub struct HistoryArgs {
    /// Draw the chart into this file, as .svg or .png
    #[arg(long, value_name = "FILE")]
    pub draw: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

const FAMILY_EXAMPLES: &str = "\
Examples:
  striate family                    the tree as text, with parameters, multiply-adds and published errors
  striate family --draw family.svg  the tree, and accuracy against multiply-adds

Parameters and multiply-adds are counted on the networks of `striate models`; errors are those of their publishers.";

#[derive(Debug, Args)]
#[command(after_help = FAMILY_EXAMPLES)]
pub struct FamilyArgs {
    /// Draw the tree and the chart into this file, as .svg or .png
    #[arg(long, value_name = "FILE")]
    pub draw: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}
