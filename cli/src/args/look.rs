//! The arguments of the commands that look inside a network.

use std::path::PathBuf;

use clap::Args;

use super::{FeedArgs, MachineArgs};
use crate::look::place;

/// A model, and an image that it is shown.
#[derive(Debug, Args)]
pub struct SubjectArgs {
    /// A model file of any format, a run folder, or a name from `striate fetch`
    pub model: String,
    /// A PNG or JPEG file, or an array as .npy
    pub image: PathBuf,
}

/// Options of every command that looks inside.
#[derive(Debug, Args)]
pub struct LookArgs {
    /// The picture: .png, .svg or, where something moves, .gif by its ending [default: the command's name, as PNG]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(long)]
    pub json: bool,
    /// Never use the network
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    pub feed: FeedArgs,
}

/// The brightness that stands for nothing.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Blank {
    /// Byte 0
    Black,
    /// Byte 128
    Grey,
    /// Byte 255
    White,
}

const ATTRIBUTE_EXAMPLES: &str = "\
Examples:
  striate attribute runs/mnist-1 digit.png
  striate attribute efficientnet-lite0 photo.jpg --method integrated-gradients --out why.svg
  striate attribute efficientnet-lite0 photo.jpg --class 'tabby' --layer conv_head_act

Methods: saliency, guided (back-propagation), integrated-gradients, smoothgrad, grad-cam, grad-cam++, occlusion.

Each picture comes with a lie detector. The map is made again with fresh weights in the last layer, in half of the
layers and in all: it should change. And the pixels that it marks are taken away, or given to an empty image, the
highest first: the probability should fall (or rise) sooner than for the same map moved elsewhere.";

#[derive(Debug, Args)]
#[command(after_help = ATTRIBUTE_EXAMPLES)]
pub struct AttributeArgs {
    #[command(flatten)]
    pub of: SubjectArgs,
    /// How the map is made
    #[arg(long, short, value_name = "NAME", default_value = "grad-cam")]
    pub method: String,
    /// The class to explain, by label or number [default: the most probable]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// The layer of Grad-CAM [default: the last convolution]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<String>,
    /// What covered pixels become, and where integrated gradients start
    #[arg(long, value_name = "COLOUR", default_value = "black")]
    pub baseline: Blank,
    /// Steps of integrated gradients (up to four times as many where the score bends), or noisy copies of SmoothGrad
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub samples: usize,
    /// The standard deviation of SmoothGrad's noise, as a part of the range of the input
    #[arg(long, value_name = "PART", default_value_t = 0.15, allow_negative_numbers = true)]
    pub noise: f32,
    /// The side of occlusion's square in pixels [default: an eighth of the image]
    #[arg(long, value_name = "PIXELS", default_value_t = 0, hide_default_value = true)]
    pub window: usize,
    /// The seed of the noise and of the fresh weights
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Leave the lie detector out
    #[arg(long)]
    pub no_check: bool,
    #[command(flatten)]
    pub look: LookArgs,
}

const FEATURES_EXAMPLES: &str = "\
Examples:
  striate features runs/mnist-1 digit.png
  striate features efficientnet-lite0 photo.jpg --layer conv_stem --channels 32 --each
  striate features --lines china.jpg flower.jpg     two 7x7 line filters, without a model
  striate features runs/mnist-1 digit.png --out layers.gif

Pictures: .gif and .svg move from layer to layer, .png stands still.";

#[derive(Debug, Args)]
#[command(after_help = FEATURES_EXAMPLES)]
pub struct FeaturesArgs {
    /// A model and an image (PNG, JPEG, .npy); with --lines, images alone
    #[arg(required = true, value_name = "MODEL IMAGE")]
    pub inputs: Vec<PathBuf>,
    /// Instead of a model, convolve with two 7x7 filters: ones along a vertical or a horizontal line
    #[arg(long, conflicts_with_all = ["layer", "channels", "each"])]
    pub lines: bool,
    /// The layers to show [default: all with maps if they are few, else the last of each size]
    #[arg(long, value_name = "LAYER", num_args = 1..)]
    pub layer: Vec<String>,
    /// Channels to show of each layer, those that vary most; 0 for all
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub channels: usize,
    /// Give each map a range of its own, so that faint ones are seen too
    #[arg(long)]
    pub each: bool,
    #[command(flatten)]
    pub look: LookArgs,
}

const FILTERS_EXAMPLES: &str = "\
Examples:
  striate filters runs/mnist-1 --before          before and after training
  striate filters efficientnet-lite0 --out filters.svg
  striate filters a.striate --compare b.striate --layer conv2d_1";

#[derive(Debug, Args)]
#[command(after_help = FILTERS_EXAMPLES)]
pub struct FiltersArgs {
    /// A model file of any format, a run folder, or a name from `striate fetch`
    pub model: String,
    /// The layer [default: the first whose kernels are larger than one pixel]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<String>,
    /// Show also what the kernels were before training, drawn again from the seed of the run
    #[arg(long, conflicts_with = "compare")]
    pub before: bool,
    /// Show also the kernels of another model
    #[arg(long, value_name = "MODEL")]
    pub compare: Option<String>,
    /// Kernels to show; 0 for all
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub kernels: usize,
    #[command(flatten)]
    pub look: LookArgs,
}

const REPORT_EXAMPLES: &str = "\
Examples:
  striate report runs/mnist-1                     writes runs/mnist-1/report.html
  striate report runs/photos-1 --out report.html --data /new/place/photos
  striate report runs/mnist-1 --mistakes 100

The page is one file that opens without a network: accuracies with their intervals, curves, confusion matrix, worst
mistakes, filters before and after training, feature maps, Grad-CAM, settings, digests. The same run gives the same bytes.";

#[derive(Debug, Args)]
#[command(after_help = REPORT_EXAMPLES)]
pub struct ReportArgs {
    /// A run folder that `striate train` made
    pub run: PathBuf,
    /// The file to write [default: report.html in the run folder]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where the data of the run are now, if they have moved
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// How many of the worst mistakes to show
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub mistakes: usize,
    /// How many mistakes, and how many right answers, Grad-CAM explains
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub examples: usize,
    /// Print the name of the file alone
    #[arg(long, short)]
    pub quiet: bool,
    /// Print the numbers of the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

const UNIT_EXAMPLES: &str = "\
Examples:
  striate unit runs/mnist-1 digit.png --layer conv2d_1 --at 5,5,7
  striate unit runs/mnist-1 digit.png --layer conv2d_1 --at 5,5,7 --data mnist
  striate unit runs/mnist-1 digit.png --layer conv2d_1 --at 5,5,7 --out unit.gif

Pictures: .gif and .svg walk from the image to the value and back, .png stands still.";

#[derive(Debug, Args)]
#[command(after_help = UNIT_EXAMPLES)]
pub struct UnitArgs {
    #[command(flatten)]
    pub of: SubjectArgs,
    /// The layer
    #[arg(long, value_name = "LAYER")]
    pub layer: String,
    /// Row, column and channel of the unit, counted from 0
    #[arg(long, value_name = "Y,X,C", value_parser = place)]
    pub at: [usize; 3],
    /// Show also the images of this data set's test part that excite the channel most
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// How many of them
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub images: usize,
    /// Look through the first N images only; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub limit: usize,
    #[command(flatten)]
    pub look: LookArgs,
}

const DECONVNET_EXAMPLES: &str = "\
Examples:
  striate deconvnet runs/mnist-1 digit.png --layer conv2d_1
  striate deconvnet squeezenet.onnx photo.jpg --layer fire5 --strongest 12

Pictures: .gif and .svg go from channel to channel, .png stands still.";

#[derive(Debug, Args)]
#[command(after_help = DECONVNET_EXAMPLES)]
pub struct DeconvnetArgs {
    #[command(flatten)]
    pub of: SubjectArgs,
    /// The layer [default: the last convolution]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<String>,
    /// How many of the strongest channels to show
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub strongest: usize,
    /// The channels to show, instead of the strongest
    #[arg(long, value_name = "N", num_args = 1..)]
    pub channel: Vec<usize>,
    #[command(flatten)]
    pub look: LookArgs,
}

const INVERT_EXAMPLES: &str = "\
Examples:
  striate invert runs/mnist-1 digit.png
  striate invert efficientnet-lite0 photo.jpg --layer conv_stem --steps 400
  striate invert runs/mnist-1 digit.png --out restored.gif

Pictures: .gif and .svg show how the image comes about, .png its end. After Ctrl-C it shows how far it came.";

#[derive(Debug, Args)]
#[command(after_help = INVERT_EXAMPLES)]
pub struct InvertArgs {
    #[command(flatten)]
    pub of: SubjectArgs,
    /// The layers to restore from [default: as for `features`, and the output]
    #[arg(long, value_name = "LAYER", num_args = 1..)]
    pub layer: Vec<String>,
    /// Steps for each layer
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub steps: usize,
    /// The weight of smoothness
    #[arg(long, value_name = "WEIGHT", default_value_t = 2.0, allow_negative_numbers = true)]
    pub smooth: f32,
    /// The seed of the noise that it begins with
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub look: LookArgs,
}

const MAXIMISE_EXAMPLES: &str = "\
Examples:
  striate maximise runs/mnist-1 --class 0 1 2 3 4 5 6 7 8 9
  striate maximise efficientnet-lite0 --class daisy --steps 500
  striate maximise runs/mnist-1 --layer conv2d_1 --channel 0 1 2 3
  striate maximise runs/mnist-1 --class 3 8 --out seen.gif

Pictures: .gif and .svg show how the image comes about, .png its end. After Ctrl-C it shows how far it came.";

#[derive(Debug, Args)]
#[command(after_help = MAXIMISE_EXAMPLES)]
pub struct MaximiseArgs {
    /// A model file of any format, a run folder, or a name from `striate fetch`
    pub model: String,
    /// Classes, by label or number
    #[arg(long, value_name = "CLASS", num_args = 1..)]
    pub class: Vec<String>,
    /// A layer, with --channel
    #[arg(long, value_name = "LAYER", requires = "channel")]
    pub layer: Option<String>,
    /// Channels of the layer
    #[arg(long, value_name = "N", num_args = 1.., requires = "layer")]
    pub channel: Vec<usize>,
    /// Steps for each image
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub steps: usize,
    /// The weight of smoothness
    #[arg(long, value_name = "WEIGHT", default_value_t = 2.0, allow_negative_numbers = true)]
    pub smooth: f32,
    /// How far the image is moved at each step, in pixels [default: a sixteenth of its side]
    #[arg(long, value_name = "PIXELS")]
    pub jitter: Option<usize>,
    /// The seed of the noise and the moves
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub look: LookArgs,
}
